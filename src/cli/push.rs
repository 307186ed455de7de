//! `observatory push`.

mod select;

use super::client::{self, Client, Request};
use super::{Error, Session, send};
use crate::config;
use crate::push;
use crate::telemetry;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;

/// Push metrics to a group, to a server or to any Pushgateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A metric is a name, with labels if it has any, and a number or `now`, which is the present time in seconds. Without --put the families of the same names are replaced and the others of the group stay.

Examples:
  observatory push --job backup last_success_seconds=now rows=42
  observatory push --job backup --grouping instance=db1 'rows{table=\"users\"}=42'
  my-exporter --once | observatory push --job nightly --put -
  observatory push --job preview-42 --ttl 2h ready=1
  printf '# TYPE builds_total counter\nbuilds_total 1\n' | observatory push --job ci --mode sum -
  observatory push --job backup --delete
  observatory push --delete --match '{job=~\"ci-.*\",branch!=\"main\"}' --dry-run")]
pub(super) struct Args {
    /// Job of the group
    #[arg(long, value_name = "NAME", required_unless_present = "selectors")]
    job: Option<String>,
    /// Further label of the group; repeats
    #[arg(long, value_name = "NAME=VALUE")]
    grouping: Vec<String>,
    /// Replace the whole group
    #[arg(long, conflicts_with = "delete")]
    put: bool,
    /// How long the group lives after this push, such as 90s, 1h or 7d; `off`: for ever
    #[arg(long, value_name = "DURATION", value_parser = ttl, conflicts_with = "delete")]
    ttl: Option<String>,
    /// `sum` adds to what the group has, `replace` does not; without it what the server's settings say
    #[arg(long, value_name = "MODE", value_parser = ["sum", "replace"], conflicts_with = "delete")]
    mode: Option<String>,
    /// With the same key the same push counts once; with `--mode sum` each run has one of its own otherwise
    #[arg(long, value_name = "KEY", conflicts_with = "delete")]
    idempotency_key: Option<String>,
    /// Remove the group, or those that match
    #[arg(long, conflicts_with = "metrics")]
    delete: bool,
    /// Instead of one group, all whose labels match: a Prometheus selector such as {job=~"ci-.*"}; repeats
    #[arg(long = "match", value_name = "SELECTOR", requires = "delete", conflicts_with_all = ["job", "grouping"])]
    selectors: Vec<String>,
    /// Show the groups that match, and remove none
    #[arg(long, requires = "selectors")]
    dry_run: bool,
    /// Metrics, or `-` for Prometheus text on standard input
    #[arg(value_name = "NAME=VALUE", required_unless_present = "delete")]
    metrics: Vec<String>,
    #[command(flatten)]
    server: client::Args,
}

/// What may stand in a path as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Pushes what `args` say.
pub(super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let Some(job) = &args.job else {
        return select::remove(&args.selectors, args.dry_run, &args.server, session);
    };
    let mut labels = Vec::new();
    for pair in &args.grouping {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            Error::Usage(format!("--grouping: expected NAME=VALUE, found `{pair}`"))
        })?;
        labels.push((name.to_owned(), value.to_owned()));
    }
    let mut path = path(job, &labels);
    let body = if args.delete { String::new() } else { body(&args.metrics, session)? };
    let method = match (args.delete, args.put) {
        (true, _) => Method::DELETE,
        (false, true) => Method::PUT,
        (false, false) => Method::POST,
    };
    // What any server would refuse is told without asking one.
    let options = push::Options { utf8: true };
    push::grouping(&path, options).map_err(|err| Error::Usage(err.to_string()))?;
    push::families(body.as_bytes(), None, true, &push::Limits::default())
        .map_err(|err| Error::Input(err.to_string()))?;
    let body = (!args.delete).then_some(("text/plain; version=0.0.4; charset=utf-8", body));
    let terms = [("ttl", &args.ttl), ("mode", &args.mode)];
    for (name, value) in terms.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(&format!("{name}={value}"));
    }
    let mut client = Client::new(&args.server, session)?;
    if let Some(key) = key(args)? {
        client = client.with_idempotency_key(key);
    }
    let request = Request { method, path: &path, body };
    client::block_on(client.send(&request, session))?;
    Ok(())
}

/// What makes sending again safe. Only sums count twice what is sent twice.
fn key(args: &Args) -> Result<Option<String>, Error> {
    match (&args.idempotency_key, args.mode.as_deref()) {
        (Some(key), _) => Ok(Some(key.clone())),
        (None, Some("sum")) => send::random_id().map(Some),
        (None, _) => Ok(None),
    }
}

/// A time to live, as the server reads it.
fn ttl(text: &str) -> Result<String, String> {
    let known = text == "off" || config::parse_duration(text).is_some_and(|it| !it.is_zero());
    known
        .then(|| text.to_owned())
        .ok_or_else(|| "expected a duration such as 90s, 1h or 7d, or off".to_owned())
}

/// The path of a group, readable by every Pushgateway: what would be lost in it is base64.
pub(super) fn path<'a>(
    job: &str,
    labels: impl IntoIterator<Item = &'a (String, String)>,
) -> String {
    let mut res = String::from("/metrics");
    segment(&mut res, "job", job);
    for (name, value) in labels {
        segment(&mut res, name, value);
    }
    res
}

fn segment(path: &mut String, name: &str, value: &str) {
    let dots = value.bytes().all(|it| it == b'.');
    let unsafe_here = value.is_empty() || dots || value.contains('/');
    path.push('/');
    path.extend(utf8_percent_encode(name, PLAIN));
    if unsafe_here {
        path.push_str(&format!("@base64/{}=", URL_SAFE_NO_PAD.encode(value)));
    } else {
        path.push('/');
        path.extend(utf8_percent_encode(value, PLAIN));
    }
}

/// The text to push.
fn body(metrics: &[String], session: &mut Session) -> Result<String, Error> {
    if metrics == ["-"] {
        let mut text = String::new();
        let read = session.input().read_to_string(&mut text);
        read.map_err(|err| Error::Input(format!("cannot read: {err}")))?;
        let mended = push::mended(text.as_bytes(), None).map(String::from_utf8);
        // A line end cut off, or put at the end, leaves text as it was.
        return Ok(mended.and_then(Result::ok).unwrap_or(text));
    }
    let mut text = String::new();
    for metric in metrics {
        let (name, value) = metric
            .rsplit_once('=')
            .ok_or_else(|| Error::Usage(format!("expected NAME=VALUE or -, found `{metric}`")))?;
        if value == "now" {
            let millis = telemetry::unix_millis();
            text.push_str(&format!("{name} {}.{:03}\n", millis / 1000, millis % 1000));
        } else if value.parse::<f64>().is_ok() {
            text.push_str(&format!("{name} {value}\n"));
        } else {
            let message = format!("{name}: expected a number or now, found `{value}`");
            return Err(Error::Usage(message));
        }
    }
    Ok(text)
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

    fn push(arguments: &[&str], input: &str, answers: Vec<String>) -> (u8, String, Vec<String>) {
        let (url, server) = serve(answers);
        let arguments = ["push", "--url", &url].into_iter().chain(arguments.iter().copied());
        let args = Line::try_parse_from(arguments).unwrap().args;
        let (mut session, _, err) = Session::recorded(&[], input);
        let result = run(&args, &mut session);
        let message = result.as_ref().err().and_then(Error::message).unwrap_or_default();
        let code = result.map_or_else(|err| err.exit_code(), |()| 0);
        (code, err.text() + &message, server.join().unwrap())
    }

    fn ok() -> Vec<String> {
        vec![http("200 OK", "", "")]
    }

    #[test]
    fn metrics_become_a_push() {
        let arguments = [
            "--job",
            "a b",
            "--grouping",
            "path=x/y",
            "--grouping",
            "e=",
            "rows{t=\"1\"}=42",
            "n=-1e3",
        ];
        let (code, _, requests) = push(&arguments, "", ok());
        assert_eq!(code, 0);
        let line = "POST /metrics/job/a%20b/path@base64/eC95=/e@base64/= HTTP/1.1\r\n";
        assert!(requests[0].starts_with(line), "{}", requests[0]);
        assert!(requests[0].ends_with("\r\n\r\nrows{t=\"1\"} 42\nn -1e3\n"), "{}", requests[0]);
    }

    #[test]
    fn the_terms_go_along_and_a_sum_is_safe_to_send_again() {
        let arguments = ["--job", "j", "--ttl", "2h", "--mode", "sum", "n_total=1"];
        let again = vec![http("503 Service Unavailable", "", ""), http("200 OK", "", "")];
        let (code, _, requests) = push(&arguments, "", again);
        assert_eq!(code, 0);
        let line = "POST /metrics/job/j?ttl=2h&mode=sum HTTP/1.1\r\n";
        let key = |it: &str| {
            it.split("idempotency-key: ").nth(1).unwrap().split_once('\r').unwrap().0.to_owned()
        };
        assert!(requests.iter().all(|it| it.starts_with(line)), "{requests:?}");
        assert_eq!((requests.len(), key(&requests[0])), (2, key(&requests[1])));
        let (_, _, other) = push(&arguments, "", ok());
        assert_ne!(key(&other[0]), key(&requests[0]), "another run counts as well");

        let arguments = ["--job", "j", "--idempotency-key", "build-4711", "m=1"];
        let (_, _, requests) = push(&arguments, "", ok());
        assert_eq!(key(&requests[0]), "build-4711");
        let (_, _, requests) = push(&["--job", "j", "m=1"], "", ok());
        assert!(!requests[0].contains("idempotency-key"), "{}", requests[0]);
    }

    #[test]
    fn terms_that_no_server_takes_are_refused() {
        for (flag, value) in [("--ttl", "soon"), ("--ttl", "0s"), ("--mode", "max")] {
            let arguments = ["push", "--job", "j", flag, value, "m=1"];
            let error = Line::try_parse_from(arguments).unwrap_err().to_string();
            assert!(error.contains(flag) && error.contains(value), "{error}");
        }
        let arguments = ["push", "--job", "j", "--delete", "--ttl", "1h"];
        assert!(Line::try_parse_from(arguments).is_err());
    }

    #[test]
    fn now_is_the_time_in_seconds() {
        let (_, _, requests) = push(&["--job", "j", "at=now"], "", ok());
        let value = requests[0].rsplit_once("at ").unwrap().1.trim().parse::<f64>().unwrap();
        assert!((1.7e9..5e9).contains(&value), "{value}");
    }

    #[test]
    fn text_is_passed_on_with_its_line_ends_mended() {
        let (code, _, requests) =
            push(&["--job", "j", "--put", "-"], "# TYPE m gauge\r\nm 1", ok());
        assert_eq!(code, 0);
        assert!(requests[0].starts_with("PUT /metrics/job/j HTTP"), "{}", requests[0]);
        assert!(requests[0].ends_with("\r\n\r\n# TYPE m gauge\nm 1\n"), "{}", requests[0]);
        let (_, _, requests) = push(&["--job", "j", "--delete"], "", ok());
        assert!(requests[0].starts_with("DELETE /metrics/job/j HTTP"), "{}", requests[0]);
    }

    #[test]
    fn groups_that_match_are_removed_or_shown() {
        let answer = r#"{"deleted":3,"groups":[{"labels":{"job":"ci-\u001b","e":""},"series":2,"pushed_at":null}]}"#;
        let arguments =
            ["--delete", "--match", "{job=~\"ci-.+\"}", "--match", "{a=\"b\"}", "--dry-run"];
        let (code, said, requests) = push(&arguments, "", vec![http("200 OK", "", answer)]);
        assert_eq!(code, 0, "{said}");
        let line = "DELETE /api/v1/push/groups?limit=10000&dry_run=true&match%5B%5D=%7Bjob%3D%7E%22ci%2D%2E%2B%22%7D&match%5B%5D=%7Ba%3D%22b%22%7D HTTP/1.1\r\n";
        assert!(requests[0].starts_with(line), "{}", requests[0]);
        assert!(said.contains("3 groups would go, 2 of them not shown"), "{said}");
        let (code, said, _) = push(&["--delete", "--match", "{job=~\".*\"}"], "", Vec::new());
        assert!(code == 2 && said.contains("does not match the empty text"), "{code} {said}");
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_server() {
        let answer = http("400 Bad Request", "", "pushed metrics are invalid\n");
        let (code, said, _) = push(&["--job", "j", "m=1"], "", vec![answer]);
        assert!(code == 1 && said.contains("pushed metrics are invalid"), "{code} {said}");
    }

    #[test]
    fn mistakes_are_found_before_anything_is_sent() {
        for (arguments, input, expected) in [
            (["--job", "j", "m"].as_slice(), "", 2),
            (&["--job", "j", "m=x"], "", 2),
            (&["--job", "", "m=1"], "", 2),
            (&["--job", "j", "--grouping", "x", "m=1"], "", 2),
            (&["--job", "j", "--grouping", "__x=1", "m=1"], "", 2),
            (&["--job", "j", "-"], "m one\n", 65),
        ] {
            let (code, said, _) = push(arguments, input, Vec::new());
            assert_eq!(code, expected, "{arguments:?}: {said}");
        }
    }
}
