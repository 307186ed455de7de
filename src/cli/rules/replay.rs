//! `observatory rules replay`.

use crate::cli::client;
use crate::cli::client::{Client, Request, block_on};
use crate::cli::progress::{Progress, Unit};
use crate::cli::{Error, Session};
use reqwest::Method;
use serde::{Deserialize, Serialize};

#[derive(Debug, clap::Args)]
#[command(mut_arg("timeout", |it| it.default_value("60").help("Seconds that the server may be silent")))]
#[command(after_help = "\
The running server counts the events that arrived since then by its rules, beside what it shows, and exchanges the result for that at once; events go on arriving. If this command is interrupted, nothing has changed. A metric that has counted what the replay would not is refused without --reset.

Examples:
  observatory rules replay --since 7d --metric ci_builds_total --dry-run
  observatory rules replay --since 7d --metric ci_builds_total")]
pub(in crate::cli) struct Replay {
    /// Events that arrived since: how long ago, such as 7d, or a time [default: all that are stored]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Metric or span; repeats [default: every metric with `backfill`]
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<String>,
    /// Change nothing, and say what would change
    #[arg(long)]
    dry_run: bool,
    /// Let go of what a metric has counted and the replay does not cover
    #[arg(long)]
    reset: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: client::Args,
}

#[derive(Serialize)]
struct Order<'a> {
    since: Option<&'a str>,
    metrics: &'a [String],
    dry_run: bool,
    reset: bool,
}

/// A line of the answer.
#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Line {
    Running { done: u64, total: u64 },
    Done(Done),
    Failed { message: String },
}

#[derive(Deserialize)]
struct Done {
    first_sequence: u64,
    events: u64,
    seconds: f64,
    metrics: Vec<Changed>,
}

#[derive(Deserialize)]
struct Changed {
    metric: String,
    series_before: usize,
    series_after: usize,
    examples: Vec<Example>,
}

#[derive(Deserialize)]
struct Example {
    labels: String,
    before: Option<f64>,
    after: Option<f64>,
}

pub(super) fn run(args: &Replay, session: &mut Session) -> Result<(), Error> {
    let client = Client::new(&args.client, session)?;
    let Replay { since, metrics, dry_run, reset, .. } = args;
    let order = Order { since: since.as_deref(), metrics, dry_run: *dry_run, reset: *reset };
    let body = serde_json::to_string(&order).map_err(|err| Error::Output(err.into()))?;
    let body = Some(("application/json", body));
    let request = Request { method: Method::POST, path: "/api/v1/rules/replay", body };
    let mut reader = Reader { progress: None, rest: Vec::new(), result: None };
    let read = block_on(async {
        let mut stream = client.open(&request, session).await?;
        while let Some(piece) = stream.chunk().await? {
            reader.read(&piece, session)?;
        }
        Ok(())
    });
    if let Some(progress) = &mut reader.progress {
        progress.finish(session);
    }
    read?;
    let (text, done) = reader.result.ok_or_else(|| {
        Error::Unavailable(format!("the answer of {} ended before its end", client.base()))
    })?;
    if args.json {
        return session.print(&text);
    }
    session.print(describe(&done, args.dry_run).trim_end())
}

/// Reads lines from pieces.
struct Reader {
    progress: Option<Progress>,
    /// The beginning of a line.
    rest: Vec<u8>,
    result: Option<(String, Done)>,
}

impl Reader {
    fn read(&mut self, piece: &[u8], session: &mut Session) -> Result<(), Error> {
        self.rest.extend_from_slice(piece);
        while let Some(end) = self.rest.iter().position(|it| *it == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            match client::answer(&line)? {
                Line::Running { done, total } => {
                    let new = || Progress::new("replaying", Unit::Things("events")).of(total);
                    #[expect(clippy::cast_precision_loss, reason = "for people")]
                    let part = done as f64 / total.max(1) as f64;
                    self.progress.get_or_insert_with(new).update_part(done, part, session);
                }
                Line::Done(done) => self.result = Some((line, done)),
                Line::Failed { message } => return Err(Error::Refused(message)),
            }
        }
        Ok(())
    }
}

fn describe(done: &Done, dry_run: bool) -> String {
    let mut res = String::new();
    for it in &done.metrics {
        let Changed { metric, series_before, series_after, .. } = it;
        res.push_str(&format!("{metric}: {series_before} series before, {series_after} after\n"));
        for it in &it.examples {
            let labels = if it.labels.is_empty() { "(no labels)" } else { &it.labels };
            let (before, after) = (shown(it.before), shown(it.after));
            res.push_str(&format!("  {labels} {before} -> {after}\n"));
        }
    }
    let Done { first_sequence, events, seconds, .. } = done;
    let verb = if dry_run { "would count" } else { "counted" };
    res.push_str(&format!(
        "{verb} {events} events from event {first_sequence} on, in {seconds:.1} s"
    ));
    if dry_run {
        res.push_str("; nothing was changed");
    }
    res
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "none".to_owned(), |it| it.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::super::client::tests::{http, serve};
    use super::super::super::tests::observatory;

    const ANSWER: &str = r#"{"state":"running","done":0,"total":9}
{"state":"done","dry_run":true,"first_sequence":1,"events":9,"seconds":0.25,"metrics":[{"metric":"a_total","series_before":1,"series_after":2,"examples":[{"labels":"{x=\"1\"}","before":null,"after":7},{"labels":"","before":1,"after":2.5}]}]}
"#;

    fn replay(answer: String, more: &[&str]) -> (u8, String, String, String) {
        let (url, server) = serve(vec![answer]);
        let arguments = ["rules", "replay", "--since", "7d", "--metric", "a_total", "--url", &url];
        let arguments: Vec<_> = arguments.into_iter().chain(more.iter().copied()).collect();
        let (code, out, err) = observatory(&arguments, &[], "");
        (code, out, err, server.join().unwrap().remove(0))
    }

    #[test]
    fn what_it_did_is_told() {
        let (code, out, err, asked) = replay(http("200 OK", "", ANSWER), &["--dry-run"]);
        assert_eq!((code, err.as_str()), (0, ""));
        let expected = "a_total: 1 series before, 2 after\n  {x=\"1\"} none -> 7\n  (no labels) 1 -> 2.5\nwould count 9 events from event 1 on, in 0.2 s; nothing was changed\n";
        assert_eq!(out, expected);
        let body = r#"{"since":"7d","metrics":["a_total"],"dry_run":true,"reset":false}"#;
        assert!(
            asked.starts_with("POST /api/v1/rules/replay ") && asked.ends_with(body),
            "{asked}"
        );
        let (code, out, _, asked) = replay(http("200 OK", "", ANSWER), &["--json", "--reset"]);
        assert!(code == 0 && out.starts_with("{\"state\":\"done\"") && out.lines().count() == 1);
        assert!(asked.ends_with(r#""dry_run":false,"reset":true}"#), "{asked}");
    }

    #[test]
    fn what_failed_is_told() {
        let line = "{\"state\":\"failed\",\"error\":\"rules_changed\",\"message\":\"try again\"}\n";
        let (code, out, err, _) = replay(http("200 OK", "", line), &[]);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains("try again"), "{err}");
        let (code, _, err, _) =
            replay(http("200 OK", "", "{\"state\":\"running\",\"done\":0,\"total\":9}\n"), &[]);
        assert!(code == 69 && err.contains("before its end"), "{err}");
    }
}
