//! `observatory import`.

mod lines;

use super::client::{self, Client, Failure};
use super::progress::{Progress, Unit};
use super::{Error, Session};
use lines::{Line, Lines};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, path::PathBuf};

/// Bring events from elsewhere.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Send files of events to a server
    Events(Args),
}

/// Send files of events to a server.
#[derive(Debug, clap::Args)]
#[command(mut_arg("timeout", |it| it.default_value("60")))]
#[command(after_help = "\
A file has one JSON object per line, as `observatory export events` writes it and as the server takes it; it may be compressed with gzip or zstd, which is told by its first bytes. Times and ids are kept. An event without an id gets one made of its line and its line number, so that a second run counts nothing twice, and a run that was ended is continued by starting it again.

The server remembers ids for dedup.window (24h), and at most dedup.max_ids (1000000): raise them before you import more, or import again later, for what it has forgotten counts again.

Prints how many events were accepted, duplicates, and rejected; exits with 1 if any was rejected.

Examples:
  observatory import events events.ndjson
  observatory import events 2026-01-*.ndjson.zst
  journalctl -u agent -o cat | observatory import events -")]
pub(super) struct Args {
    /// Files, oldest first; `-` for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    server: client::Args,
}

/// Events that are sent together.
#[derive(Debug, Default)]
struct Batch {
    /// Each with the number of its line.
    events: Vec<(u64, String)>,
    bytes: usize,
}

/// What became of the lines.
#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
}

/// One import, over all its files.
struct Import<'a> {
    client: Client,
    session: &'a mut Session,
    progress: Progress,
    tally: Tally,
    /// The file that is read, as messages name it.
    name: String,
    /// Bytes of the files that are done, and of all if that is known.
    done: u64,
    total: Option<u64>,
}

const MOST_EVENTS: usize = 5000;
const MOST_BYTES: usize = 4 << 20;
/// Who sends the wrong file need not read a message for each of its lines.
const MOST_MESSAGES: u64 = 1000;

/// Imports what `command` says.
pub(super) fn run(command: &Command, session: &mut Session) -> Result<(), Error> {
    let Command::Events(args) = command;
    let client = Client::new(&args.server, session)?;
    let sizes = args.files.iter().map(|it| lines::size(it));
    let mut import = Import {
        client,
        session,
        progress: Progress::new("importing", Unit::Things("events")),
        tally: Tally::default(),
        name: String::new(),
        done: 0,
        total: sizes.sum(),
    };
    let result = client::block_on(import.files(&args.files));
    import.finish(result)
}

impl Import<'_> {
    async fn files(&mut self, paths: &[PathBuf]) -> Result<(), Error> {
        for path in paths {
            let mut lines = Lines::open(path, self.session)?;
            self.name.clone_from(&lines.name);
            let result = self.file(&mut lines).await;
            self.done += lines.position();
            result?;
        }
        Ok(())
    }

    async fn file(&mut self, lines: &mut Lines) -> Result<(), Error> {
        let mut batch = Batch::default();
        let mut first = true;
        let damaged = loop {
            let (number, line) = match lines.next() {
                Ok(Some(it)) => it,
                Ok(None) => break None,
                // What came before the damage is good.
                Err(err) => break Some(err),
            };
            match event(number, &line) {
                Ok(None) => {}
                Ok(Some(event)) => batch.push(number, event),
                Err(_) if first && line.begins_array() => return Err(self.array()),
                Err(why) => self.reject(number, &why),
            }
            first = false;
            if batch.events.len() >= MOST_EVENTS || batch.bytes >= MOST_BYTES {
                self.send(std::mem::take(&mut batch)).await?;
                self.show(lines);
            }
        };
        self.send(batch).await?;
        match damaged {
            None => Ok(()),
            Some(err) => {
                Err(Error::Input(format!("{}: after line {}: {err}", self.name, lines.number())))
            }
        }
    }

    /// Sends a batch, in parts if it is too much for the server.
    async fn send(&mut self, batch: Batch) -> Result<(), Error> {
        let mut parts = vec![batch.events];
        while let Some(mut events) = parts.pop() {
            if events.is_empty() {
                continue;
            }
            let lines: String = events.iter().flat_map(|(_, it)| [it.as_str(), "\n"]).collect();
            let session = &mut *self.session;
            let mut tell = |it: String| session.note(&it);
            match self.client.post_lines(lines, self.client.timeout(), &mut tell).await {
                Ok(answer) => {
                    answer.check(events.len())?;
                    self.tally.accepted += answer.accepted;
                    self.tally.duplicates += answer.duplicates;
                    for it in &answer.rejected {
                        let number = events.get(it.index).map_or(0, |it| it.0);
                        self.reject(number, &it.error);
                    }
                }
                Err(Failure::Bad(why)) => match events.as_slice() {
                    [(number, _)] => self.reject(*number, &why),
                    several => {
                        let rest = events.split_off(several.len() / 2);
                        parts.extend([rest, events]);
                    }
                },
                Err(Failure::Other(err)) => return Err(err),
            }
        }
        Ok(())
    }

    fn reject(&mut self, number: u64, why: &str) {
        self.tally.rejected += 1;
        if self.tally.rejected <= MOST_MESSAGES {
            self.session.note(&format!("{}:{number}: {why}", self.name));
        }
        if self.tally.rejected == MOST_MESSAGES {
            self.session.note("observatory: further lines that are rejected are only counted");
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
    fn show(&mut self, lines: &Lines) {
        let Tally { accepted, duplicates, rejected } = self.tally;
        let events = accepted + duplicates + rejected;
        let read = self.done + lines.position();
        match self.total.filter(|it| *it > 0) {
            Some(total) => {
                self.progress.update_part(events, read as f64 / total as f64, self.session);
            }
            None => self.progress.update(events, self.session),
        }
    }

    fn array(&self) -> Error {
        Error::Input(format!(
            "{0} is one JSON array, and a file of events has one object per line; jq makes it one: jq -c '.[]' {0}",
            self.name
        ))
    }

    fn finish(mut self, result: Result<(), Error>) -> Result<(), Error> {
        self.progress.finish(self.session);
        let Tally { accepted, duplicates, rejected } = self.tally;
        let summary = format!("accepted {accepted}, duplicates {duplicates}, rejected {rejected}");
        match result {
            Ok(()) => {}
            // With the wrong file there is nothing to tell.
            Err(err) if accepted + duplicates + rejected == 0 => return Err(err),
            Err(err) => {
                self.session.print(&summary)?;
                let hint = "observatory: not everything is imported; start it again to go on: what was accepted counts once";
                self.session.note(hint);
                return Err(err);
            }
        }
        self.session.print(&summary)?;
        if rejected > 0 { Err(Error::Refused(String::new())) } else { Ok(()) }
    }
}

impl Batch {
    fn push(&mut self, number: u64, event: String) {
        self.bytes += event.len() + 1;
        self.events.push((number, event));
    }
}

/// The event of a line: as it stands if it has an id, else with one that the same line at the same place always
/// gets. Nothing if the line is blank.
fn event(number: u64, line: &Line<'_>) -> Result<Option<String>, String> {
    let Line::Text(bytes) = line else { return Err("the line is too long".to_owned()) };
    let text = std::str::from_utf8(bytes).map_err(|_| "the line is not UTF-8".to_owned())?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Ok(None);
    }
    let mut members: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|err| format!("the line is no JSON object: {err}"))?;
    match members.get("id").map(|it| it.get()) {
        // As for the server, these are no ids.
        Some("null" | "\"\"") => {}
        Some(_) => return Ok(Some(text.to_owned())),
        None => {}
    }
    members.remove("id");
    let hash = xxhash_rust::xxh3::xxh3_128_with_seed(text.as_bytes(), number);
    let rest = serde_json::to_string(&members).map_err(|err| err.to_string())?;
    let comma = if members.is_empty() { "" } else { "," };
    let rest = rest.strip_prefix('{').unwrap_or_default();
    Ok(Some(format!("{{\"id\":\"import-{hash:032x}\"{comma}{rest}")))
}

#[cfg(test)]
mod tests;
