//! What is asked of the server, and what is printed.

use crate::cli::client::tests::{http, serve};
use crate::cli::tests::observatory;

fn query(arguments: &[&str], answers: &[&str]) -> (u8, String, String, Vec<String>) {
    let (url, server) = serve(answers.iter().map(|it| http("200 OK", "", it)).collect());
    let all = ["query", "--url", &url, "--timeout", "2"];
    let all: Vec<_> = all.iter().chain(arguments).copied().collect();
    let (code, out, err) = observatory(&all, &[], "");
    let requests = server.join().unwrap();
    let path = |it: String| it.split(' ').nth(1).unwrap().to_owned();
    (code, out, err, requests.into_iter().map(path).collect())
}

fn event(sequence: u64) -> String {
    format!(
        r#"{{"timestamp":"2026-01-05T10:00:00Z","event_type":"t","source":"s","data":{{"n":{sequence}}},"sequence":{sequence}}}"#
    )
}

fn page(sequences: &[u64], next: &str) -> String {
    let events: Vec<_> = sequences.iter().map(|it| event(*it)).collect();
    format!(r#"{{"events":[{}],"next":{next}}}"#, events.join(","))
}

#[test]
fn pages_are_read_until_there_are_enough() {
    let answers = [page(&[9, 8], "\"c/1\""), page(&[7], "\"c2\"")];
    let (code, out, err, paths) =
        query(&["a{b=1}", "--limit", "3", "--json"], &[&answers[0], &answers[1]]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, format!("{}\n{}\n{}\n", event(9), event(8), event(7)));
    assert_eq!(
        paths,
        [
            "/api/v1/events?match=a%7Bb%3D1%7D&limit=3&order=desc",
            "/api/v1/events?match=a%7Bb%3D1%7D&limit=1&order=desc&cursor=c%2F1"
        ]
    );
}

#[test]
fn an_answer_that_ends_early_is_the_end() {
    let (code, out, _, paths) = query(&["--order", "asc"], &[&page(&[1], "null")]);
    assert_eq!(code, 0);
    assert!(out.starts_with("TIME (UTC)") && out.ends_with("  n=1\n"), "{out}");
    assert_eq!(paths, ["/api/v1/events?limit=100&order=asc"]);
    let (code, out, ..) = query(&[], &[&page(&[], "null")]);
    assert_eq!((code, out.as_str()), (0, ""));
}

#[test]
fn counts_are_asked_of_the_summary() {
    let answer = r#"{"by":["type"],"groups":[{"group":{"type":"t"},"count":2}],"events":2,"truncated":true}"#;
    let (code, out, err, paths) = query(&["--summary", "--limit", "1"], &[answer]);
    assert_eq!((code, out.as_str()), (0, "type  COUNT\nt         2\n"));
    assert!(err.contains("the first 1 groups of 2 events"), "{err}");
    assert_eq!(paths, ["/api/v1/events/summary?by=type&limit=1"]);
    let arguments = ["--by", "type,data.x", "--interval", "1h", "--value", "data.n", "--json"];
    let (code, out, _, paths) = query(&arguments, &[answer]);
    assert_eq!((code, out.trim_end()), (0, answer));
    assert_eq!(paths, ["/api/v1/events/summary?by=type%2Cdata%2Ex&interval=1h&value=data%2En"]);
}

#[test]
fn mistakes_are_told_before_anything_is_asked() {
    let check = |arguments: &[&str], words: &str| {
        let (code, _, err) = observatory(&[&["query"], arguments].concat(), &[], "");
        assert_eq!(code, 2, "{arguments:?}");
        assert!(err.contains(words), "{err}");
    };
    check(&["a{"], "a right one is");
    check(&["--order", "count"], "for groups");
    check(&["--order", "up"], "up");
    check(&["--by", "type", "--order", "desc"], "for events");
    check(&["--follow", "--by", "type"], "cannot be used with");
    check(&["--limit", "0"], "0");
}
