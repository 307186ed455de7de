//! `observatory tail`: events as they come, without a gap.

use super::client::{self, Client, Request, ServerEvents};
use super::query::{Event, Printer};
use super::{Error, Session, filter};
use reqwest::Method;
use serde::Deserialize;
use std::time::Duration;

/// Watch events as they come.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the newest events that match, oldest first, and then each new one when the server has it on disk, until Ctrl-C. When the server goes away it waits for it and goes on behind the last event printed: nothing is left out or printed twice, also over a restart of the server.

Examples:
  observatory tail
  observatory tail 'ci_build_completed{status!=\"success\"}'
  observatory tail --type 'agent_error,agent_registered' --since 2h
  observatory tail --json | jq -r .data.status")]
pub(super) struct Args {
    #[command(flatten)]
    which: filter::Which,
    /// Severity in the data; repeats, or several with commas
    #[arg(long)]
    severity: Vec<String>,
    /// Begin with events that arrived since: 2h (ago), RFC 3339, or behind a sequence number
    #[arg(long, value_name = "TIME", conflicts_with = "history")]
    since: Option<String>,
    /// Begin with so many of the newest events [default: 10]
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    history: Option<u32>,
    /// Print JSON, complete, one event per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: client::Args,
}

const PATH: &str = "/api/v1/stream";
const DEFAULT_HISTORY: u32 = 10;
/// Between two attempts to come back.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What the server says first.
#[derive(Deserialize)]
struct Hello {
    #[serde(default)]
    heartbeat_seconds: f64,
}

/// Why the server began elsewhere.
#[derive(Deserialize)]
struct Reset {
    reason: String,
    missing: Option<u64>,
}

/// Where it is.
struct Tail<'a> {
    client: Client,
    filters: Vec<(&'static str, String)>,
    /// Where to begin, as long as nothing was received.
    start: (&'static str, String),
    /// The id of the last event received.
    last: Option<String>,
    printer: Printer,
    session: &'a mut Session,
}

/// Watches what `args` say.
pub(super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let mut filters = args.which.parameters()?;
    filters.extend(args.severity.iter().map(|it| ("severity", it.clone())));
    let start = match &args.since {
        Some(it) => ("since", it.clone()),
        None => ("history", args.history.unwrap_or(DEFAULT_HISTORY).to_string()),
    };
    let client = Client::new(&args.server, session)?;
    let printer = Printer::new(args.json, session);
    let mut tail = Tail { client, filters, start, last: None, printer, session };
    client::block_on(async {
        let interrupted = tokio::signal::ctrl_c();
        tokio::select! {
            it = tail.follow() => it,
            it = interrupted => it.map_err(|err| Error::System(format!("cannot listen for Ctrl-C: {err}"))),
        }
    })
}

impl Tail<'_> {
    async fn follow(&mut self) -> Result<(), Error> {
        // That there is no server at all is told as by every other verb.
        let mut events = self.open().await?;
        self.client = self.client.clone().without_retries();
        let mut pause = FIRST_PAUSE;
        let mut away = false;
        loop {
            let before = self.last.clone();
            let why = self.print(&mut events, &mut away).await?;
            if self.last != before {
                pause = FIRST_PAUSE;
            }
            if !std::mem::replace(&mut away, true) {
                self.session.note(&format!("observatory: {why}; waiting for it, Ctrl-C ends"));
            }
            events = loop {
                tokio::time::sleep(jittered(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                match self.open().await {
                    Ok(it) => break it,
                    Err(Error::Unavailable(_)) => {}
                    Err(err) => return Err(err),
                }
            };
        }
    }

    async fn open(&mut self) -> Result<ServerEvents, Error> {
        let mut parameters = self.filters.clone();
        parameters.push(match &self.last {
            Some(it) => ("since", it.clone()),
            None => self.start.clone(),
        });
        let path = filter::with_query(PATH, &parameters);
        let request = Request { method: Method::GET, path: &path, body: None };
        Ok(ServerEvents::new(self.client.open(&request, self.session).await?))
    }

    /// Prints what comes; returns why nothing comes any more.
    async fn print(&mut self, events: &mut ServerEvents, away: &mut bool) -> Result<String, Error> {
        loop {
            let event = match events.next().await {
                Ok(Some(it)) => it,
                Ok(None) => return Ok(format!("{} has ended the stream", self.client.base())),
                Err(Error::Unavailable(why)) => return Ok(why),
                Err(err) => return Err(err),
            };
            match event.name.as_str() {
                "event" => {
                    let shown: Event = client::answer(&event.data)?;
                    self.printer.print(&[shown], self.session)?;
                }
                "hello" => {
                    let Hello { heartbeat_seconds: seconds } = client::answer(&event.data)?;
                    let silence = Duration::try_from_secs_f64(2.0 * seconds).unwrap_or_default();
                    events.set_patience(silence + self.client.timeout());
                    if std::mem::take(away) {
                        self.session.note("observatory: the server is back");
                    }
                }
                "reset" => self.reset(&event.data)?,
                _ => {}
            }
            // What is printed is not printed again.
            if !event.id.is_empty() {
                self.last = Some(event.id);
            }
        }
    }

    fn reset(&mut self, data: &str) -> Result<(), Error> {
        let Reset { reason, missing } = client::answer(data)?;
        let note = match (reason.as_str(), missing) {
            ("retention", Some(it)) => {
                format!("up to {it} events were deleted before they could be shown")
            }
            ("ahead", _) => {
                "the server has another journal now; it is followed from its end".to_owned()
            }
            (other, _) => format!("events may be missing ({other})"),
        };
        self.session.note(&format!("observatory: {note}"));
        Ok(())
    }
}

/// Half of `pause` to all of it, so that not all clients of a server come back at once.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 2];
    // Without randomness all wait the longest.
    let share = getrandom::fill(&mut random).map_or(u16::MAX, |()| u16::from_le_bytes(random));
    pause.mul_f64(0.5 + 0.5 * f64::from(share) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::observatory;

    #[test]
    fn pauses_differ_and_are_bounded() {
        let pauses: Vec<_> = (0..20).map(|_| jittered(LONGEST_PAUSE)).collect();
        assert!(pauses.iter().all(|it| (LONGEST_PAUSE / 2..=LONGEST_PAUSE).contains(it)));
        assert!(pauses.iter().any(|it| *it != pauses[0]), "{pauses:?}");
    }

    #[test]
    fn mistakes_are_told_before_anything_is_asked() {
        let (code, _, err) = observatory(&["tail", "a{"], &[], "");
        assert!(code == 2 && err.contains("is no selector"), "{err}");
        let (code, _, err) = observatory(&["tail", "--since", "1h", "--history", "5"], &[], "");
        assert!(code == 2 && err.contains("--history"), "{err}");
        let (code, _, _) = observatory(&["tail", "--history", "10001"], &[], "");
        assert_eq!(code, 2);
    }
}
