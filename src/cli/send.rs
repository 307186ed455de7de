//! `observatory send`.

use super::client::{self, Accepted, Client, Request};
use super::deliver;
use super::spool::Spool;
use super::{Error, Session, pairs};
use crate::event::Time;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};
use std::collections::BTreeMap;

/// Send an event, or a file of events, to a server.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the event's id. A retry carries the same id, so that the event counts once. With TYPE `-`, events are read from standard input, one JSON object per line; they are sent as they come, and a line that is refused is reported with its number.

Events of `observatory run` that wait on disk because the server was away are delivered first; --flush does only that.

Examples:
  observatory send deployment_completed --source cd service=api environment=staging status=ok
  observatory send ci_tests_completed --source ci project=web passed:=120 failed:=2
  observatory send ci_build_completed --data '{\"project\":\"web\",\"status\":\"failure\"}'
  observatory send - < events.ndjson
  observatory send --flush")]
pub(super) struct Args {
    #[arg(
        value_name = "TYPE",
        required_unless_present = "flush",
        help = "Type of the event, such as ci_build_completed; `-` for events on standard input"
    )]
    event_type: Option<String>,
    /// Data: key=text, or key:=JSON for numbers, booleans, null, lists and objects
    #[arg(value_name = "KEY=VALUE")]
    pairs: Vec<String>,
    /// Who sends it
    #[arg(long, default_value = "cli")]
    source: String,
    /// Id: a second event with the same source and id is ignored [default: a random one]
    #[arg(long)]
    id: Option<String>,
    /// Data as a JSON object; KEY=VALUE come on top
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// When it happened: RFC 3339, or seconds since the epoch [default: when it arrives]
    #[arg(long, value_name = "TIME")]
    timestamp: Option<String>,
    /// Only deliver the events that wait on disk
    #[arg(long, conflicts_with_all = ["event_type", "pairs", "id", "data", "timestamp"])]
    flush: bool,
    #[command(flatten)]
    waiting: deliver::Args,
    #[command(flatten)]
    server: client::Args,
}

/// An event as it travels.
#[derive(Debug, Serialize)]
pub(super) struct Outgoing {
    pub(super) id: String,
    pub(super) event_type: String,
    pub(super) source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timestamp: Option<String>,
    pub(super) data: Map<String, Value>,
}

/// What became of the lines of a stream.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    accepted: u64,
    duplicates: u64,
    refused: u64,
}

/// Sends what `args` say.
pub(super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let spool = args.waiting.spool(session);
    let Some(event_type) = args.event_type.as_deref() else {
        let client = Client::new(&args.server, session)?;
        return client::block_on(flush(&client, spool.as_ref(), session));
    };
    if event_type == "-" {
        let extra = args.data.is_some() || args.id.is_some() || args.timestamp.is_some();
        if extra || !args.pairs.is_empty() {
            let message = "events on standard input bring their own id, timestamp and data";
            return Err(Error::Usage(message.to_owned()));
        }
        let client = Client::new(&args.server, session)?;
        return client::block_on(async {
            deliver_first(&client, spool.as_ref(), session).await?;
            send_lines(&client, session).await
        });
    }
    let event = event(args, event_type)?;
    let client = Client::new(&args.server, session)?;
    client::block_on(async {
        deliver_first(&client, spool.as_ref(), session).await?;
        send_one(&client, &event, session).await
    })
}

/// Delivers what waits, and nothing else.
async fn flush(client: &Client, spool: Option<&Spool>, session: &mut Session) -> Result<(), Error> {
    let Some(spool) = spool else {
        let message =
            "there is no spool: neither --spool, OBSERVATORY_SPOOL, XDG_STATE_HOME nor HOME is set";
        return Err(Error::Usage(message.to_owned()));
    };
    let report = deliver::deliver(client, spool, &mut |it| session.note(&it)).await;
    report.tell(session);
    if let Some(waiting) = deliver::waiting(spool) {
        session.note(&format!("observatory: {waiting}"));
    }
    let aside = report.aside.len();
    session.print(&format!("delivered {}, put aside {aside}", report.delivered))?;
    match report.problem {
        Some(err) => Err(err),
        None if aside > 0 => Err(Error::Refused(String::new())),
        None => Ok(()),
    }
}

/// Delivers what waits before something newer is sent.
async fn deliver_first(
    client: &Client,
    spool: Option<&Spool>,
    session: &mut Session,
) -> Result<(), Error> {
    let Some(spool) = spool else { return Ok(()) };
    let report = deliver::deliver(client, spool, &mut |it| session.note(&it)).await;
    report.tell(session);
    match report.problem {
        // A directory that cannot be used is no reason to hold back what is at hand.
        Some(Error::System(why)) => session.note(&format!("observatory: {why}")),
        Some(err) => return Err(err),
        None => {}
    }
    if report.delivered > 0 {
        session.note(&format!("observatory: delivered {} events that waited", report.delivered));
    }
    Ok(())
}

fn event(args: &Args, event_type: &str) -> Result<Outgoing, Error> {
    let data = match args.data.as_deref().map(serde_json::from_str) {
        None => Map::new(),
        Some(Ok(Value::Object(it))) => it,
        Some(Ok(_)) => return Err(Error::Usage("--data: expected a JSON object".to_owned())),
        Some(Err(err)) => return Err(Error::Usage(format!("--data is no JSON: {err}"))),
    };
    if let Some(time) = &args.timestamp {
        Time::parse(time)
            .map_err(|err| Error::Usage(format!("--timestamp: {err}, found `{time}`")))?;
    }
    let id = match &args.id {
        Some(it) => it.clone(),
        None => random_id()?,
    };
    Ok(Outgoing {
        id,
        event_type: event_type.to_owned(),
        source: args.source.clone(),
        timestamp: args.timestamp.clone(),
        data: pairs::read(data, &args.pairs).map_err(Error::Usage)?,
    })
}

/// An id that nobody else makes.
pub(super) fn random_id() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|err| Error::System(format!("the system has no random numbers: {err}")))?;
    Ok(format!("cli-{:032x}", u128::from_be_bytes(bytes)))
}

async fn send_one(client: &Client, event: &Outgoing, session: &mut Session) -> Result<(), Error> {
    let body = serde_json::to_string(event).map_err(|err| Error::Usage(err.to_string()))?;
    let body = Some(("application/json", body));
    let request = Request { method: Method::POST, path: "/api/v1/events", body };
    let text = client.send(&request, session).await?;
    let accepted: Accepted = client::answer(&text)?;
    session.print(&accepted.event_id)?;
    if accepted.status == "duplicate" {
        session.note("observatory: this event was accepted before");
    }
    Ok(())
}

/// Bytes of a line that is surely no event.
const LONGEST_LINE: usize = 16 << 20;

/// Sends the lines of standard input, as many at once as have arrived.
async fn send_lines(client: &Client, session: &mut Session) -> Result<(), Error> {
    let mut tally = Tally::default();
    let mut rest = Vec::new();
    let mut line = 0;
    loop {
        let input = session.input();
        let chunk = input.fill_buf().map_err(|err| Error::Input(format!("cannot read: {err}")))?;
        let read = chunk.len();
        rest.extend_from_slice(chunk);
        input.consume(read);
        let end = match memchr::memrchr(b'\n', &rest) {
            // The last line may lack its line break.
            _ if read == 0 => rest.len(),
            Some(at) => at + 1,
            None if rest.len() > LONGEST_LINE => {
                return Err(Error::Input(format!("line {} is too long", line + 1)));
            }
            None => continue,
        };
        let complete: Vec<u8> = rest.drain(..end).collect();
        line = send_chunk(client, session, &complete, (line, &mut tally)).await?;
        if read == 0 {
            break;
        }
    }
    let Tally { accepted, duplicates, refused } = tally;
    session.print(&format!("accepted {accepted}, duplicates {duplicates}, refused {refused}"))?;
    if refused > 0 { Err(Error::Refused(String::new())) } else { Ok(()) }
}

/// Sends complete lines, of which `line` came before; returns how many have come now.
async fn send_chunk(
    client: &Client,
    session: &mut Session,
    bytes: &[u8],
    (mut line, tally): (usize, &mut Tally),
) -> Result<usize, Error> {
    let mut body = String::new();
    let mut lines = Vec::new();
    for bytes in bytes.split_inclusive(|it| *it == b'\n') {
        line += 1;
        match with_id(bytes) {
            Ok(Some(event)) => {
                body.push_str(&event);
                body.push('\n');
                lines.push(line);
            }
            Ok(None) => {}
            Err(why) => {
                session.note(&format!("line {line}: {why}"));
                tally.refused += 1;
            }
        }
    }
    if lines.is_empty() {
        return Ok(line);
    }
    let batch = client.send_lines(body, session).await?;
    tally.accepted += batch.accepted;
    tally.duplicates += batch.duplicates;
    for it in &batch.rejected {
        let line = lines.get(it.index).copied().unwrap_or_default();
        session.note(&format!("line {line}: {}", it.error));
        tally.refused += 1;
    }
    Ok(line)
}

/// The event of a line, with an id if it had none, else byte for byte; nothing if the line is blank.
fn with_id(line: &[u8]) -> Result<Option<String>, String> {
    let text = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|err| format!("the line is no JSON object: {err}"))?;
    if members.contains_key("id") {
        return Ok(Some(text.to_owned()));
    }
    let id = random_id().map_err(|it| it.to_string())?;
    let comma = if members.is_empty() { "" } else { "," };
    let rest = text.strip_prefix('{').unwrap_or_default();
    Ok(Some(format!("{{\"id\":\"{id}\"{comma}{rest}")))
}

#[cfg(test)]
mod tests {
    use super::super::client::tests::{http, serve};
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn send(
        arguments: &[&str],
        input: &str,
        answers: Vec<String>,
    ) -> (u8, String, String, Vec<String>) {
        let (url, server) = serve(answers);
        let arguments = ["send", "--url", &url].into_iter().chain(arguments.iter().copied());
        let args = Line::try_parse_from(arguments).unwrap().args;
        let (mut session, out, err) = Session::recorded(&[], input);
        let code = run(&args, &mut session).map_or_else(|err| err.exit_code(), |()| 0);
        (code, out.text(), err.text(), server.join().unwrap())
    }

    fn body(request: &str) -> Value {
        serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    const ACCEPTED: &str =
        r#"{"event_id":"evt_1","received_at":"2026-01-05T10:00:00Z","status":"accepted"}"#;

    #[test]
    fn an_event_is_sent_and_its_id_printed() {
        let arguments = [
            "t",
            "a=1",
            "b:=2",
            "--source",
            "s",
            "--timestamp",
            "2026-01-05T10:00:00Z",
            "--id",
            "x",
        ];
        let (code, out, _, requests) =
            send(&arguments, "", vec![http("202 Accepted", "", ACCEPTED)]);
        assert_eq!((code, out.as_str()), (0, "evt_1\n"));
        assert!(requests[0].starts_with("POST /api/v1/events HTTP/1.1\r\n"), "{}", requests[0]);
        let expected = r#"{"data":{"a":"1","b":2},"event_type":"t","id":"x","source":"s","timestamp":"2026-01-05T10:00:00Z"}"#;
        assert_eq!(body(&requests[0]).to_string(), expected);
    }

    #[test]
    fn a_retry_carries_the_same_id() {
        let answers =
            vec![http("503 Service Unavailable", "", ""), http("202 Accepted", "", ACCEPTED)];
        let (code, _, _, requests) = send(&["t"], "", answers);
        assert_eq!(code, 0);
        assert_eq!(body(&requests[0])["id"], body(&requests[1])["id"]);
        assert!(body(&requests[0])["id"].as_str().unwrap().len() > 20);
    }

    #[test]
    fn lines_are_sent_together_and_refusals_have_their_line() {
        let input = "{\"event_type\":\"a\"}\n\nnonsense\n{\"id\":\"7\",\"n\":1.10}";
        let answer = r#"{"accepted":1,"duplicates":0,"rejected":[{"index":1,"error":"no type"}],"event_ids":[]}"#;
        let (code, out, err, requests) = send(
            &["-"],
            input,
            vec![http("202 Accepted", "", answer), http("202 Accepted", "", answer)],
        );
        assert_eq!(code, 1);
        assert_eq!(out, "accepted 2, duplicates 0, refused 3\n");
        assert!(err.contains("line 3: the line is no JSON object"), "{err}");
        assert!(requests[0].contains("application/x-ndjson"), "{}", requests[0]);
        assert!(requests[1].ends_with("\r\n\r\n{\"id\":\"7\",\"n\":1.10}\n"), "{}", requests[1]);
    }

    #[test]
    fn a_batch_without_a_good_event_is_told_by_line_too() {
        let answer = r#"{"error":"invalid_events","message":"1 of 1","rejected":[{"index":0,"error":"no type"}]}"#;
        let (code, out, err, _) = send(&["-"], "\n{}\n", vec![http("400 Bad Request", "", answer)]);
        assert_eq!((code, out.as_str()), (1, "accepted 0, duplicates 0, refused 1\n"));
        assert_eq!(err, "line 2: no type\n");
    }

    #[test]
    fn an_id_is_added_only_where_there_is_none() {
        let line = with_id(br#" {"a": 1.10} "#).unwrap().unwrap();
        assert!(line.starts_with("{\"id\":\"cli-") && line.ends_with(",\"a\": 1.10}"), "{line}");
        let line = with_id(b"{}").unwrap().unwrap();
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
        assert_eq!(with_id(br#"{"id":1}"#).unwrap().unwrap(), r#"{"id":1}"#);
        assert_eq!(with_id(b"\r\n").unwrap(), None);
        assert!(with_id(b"[1]").is_err() && with_id(b"\xff").is_err());
    }

    #[test]
    fn mistakes_are_found_before_anything_is_sent() {
        for arguments in [
            ["t", "--data", "[1]"].as_slice(),
            &["t", "--data", "{"],
            &["t", "--timestamp", "yesterday"],
            &["t", "novalue"],
            &["-", "a=1"],
        ] {
            let (code, ..) = send(arguments, "", Vec::new());
            assert_eq!(code, 2, "{arguments:?}");
        }
    }
}
