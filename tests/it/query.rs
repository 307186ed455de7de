//! `observatory query` against a real server.

use crate::support::{Server, Settings, cli, command, eventually};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    process::{Child, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn at(server: &Server) -> Settings {
    Settings::new().env("OBSERVATORY_URL", &format!("http://{}", server.addr))
}

#[track_caller]
fn ok(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn numbers(ndjson: &str) -> Vec<u64> {
    let number = |it: &str| serde_json::from_str::<Value>(it).unwrap()["data"]["n"].as_u64();
    ndjson.lines().map(|it| number(it).unwrap()).collect()
}

/// Events `n` of `range`; every third is of the type `other`.
fn send(server: &Server, range: std::ops::Range<u64>) {
    let event = |n: u64| {
        let kind = if n.is_multiple_of(3) { "other" } else { "build" };
        let status = if n.is_multiple_of(2) { "success" } else { "failure" };
        json!({"type": kind, "source": "s", "data": {"n": n, "status": status}}).to_string()
    };
    let lines: Vec<_> = range.map(event).collect();
    let body = lines.join("\n");
    server.client().post("/api/v1/events", "application/x-ndjson", body.as_bytes()).expect(202);
}

#[test]
fn filters_limits_and_pages() {
    let server = Server::start();
    send(&server, 0..2500);
    let at = at(&server);
    let ask = |arguments: &[&str]| {
        numbers(&ok(&cli(&[&["query", "--json"], arguments].concat(), &at, "")))
    };
    // More than one page of the server, newest first.
    assert_eq!(ask(&["--limit", "2300"]), (200..2500).rev().collect::<Vec<_>>());
    assert_eq!(ask(&["--limit", "10000", "--order", "asc"]), (0..2500).collect::<Vec<_>>());
    assert_eq!(ask(&[]).len(), 100);
    let thirds: Vec<_> = (0..2500).filter(|it| it % 3 == 0).collect();
    assert_eq!(ask(&["--type", "other", "--limit", "5000", "--order", "asc"]), thirds);
    assert_eq!(ask(&["build{n >= 2498}"]), [2498]);
    assert_eq!(ask(&["*{n=1}", "--match", "*{n=5}", "--match", "none"]), [5, 1]);
    assert_eq!(ask(&["--since", "1h", "--limit", "1"]), [2499]);
    assert!(ask(&["--until", "1h"]).is_empty());
    assert!(ask(&["--source", "nobody"]).is_empty());

    let text = ok(&cli(&["query", "--limit", "1"], &at, ""));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "TIME (UTC)               TYPE   SOURCE  DATA");
    assert!(lines[1].ends_with("  other  s       status=failure  n=2499"), "{text}");
}

#[test]
fn counts_by_group() {
    let server = Server::start();
    send(&server, 0..600);
    let at = at(&server);
    let text = ok(&cli(&["query", "--by", "type,data.status", "--order", "group"], &at, ""));
    let rows: Vec<Vec<_>> = text.lines().map(|it| it.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["type", "data.status", "COUNT"]);
    assert_eq!(
        rows[1..],
        [
            ["build", "failure", "200"],
            ["build", "success", "200"],
            ["other", "failure", "100"],
            ["other", "success", "100"],
        ]
    );
    let arguments =
        ["query", "--type", "other", "--interval", "1000w", "--value", "data.n", "--json"];
    let answer: Value = serde_json::from_str(&ok(&cli(&arguments, &at, ""))).unwrap();
    assert_eq!(answer["groups"][0]["value"]["sum"], 59_700.0);
    assert_eq!(answer["groups"][0]["count"], 200);
}

#[test]
fn failures_say_what_to_do() {
    let nobody = Settings::new().env("OBSERVATORY_URL", "http://127.0.0.1:1");
    let output = cli(&["query", "--timeout", "0.3"], &nobody, "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("127.0.0.1:1") && said.contains("OBSERVATORY_URL"), "{said}");
    let server = Server::start_with(Settings::new().token("the-right-secret-0123"));
    let output = cli(&["query"], &at(&server), "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(77) && said.contains("OBSERVATORY_TOKEN"), "{said}");
    let right = at(&server).token("the-right-secret-0123");
    let output = cli(&["query", "--since", "soon"], &right, "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("since"), "{said}");
}

/// A `query --follow` whose lines are collected.
struct Follower {
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Follower {
    fn start(url: &str, arguments: &[&str]) -> Self {
        let mut command = command(&Settings::new().env("OBSERVATORY_URL", url));
        command.args(["query", "--follow", "--json"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = collect(child.stdout.take().unwrap());
        let err = collect(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    #[track_caller]
    fn wait_for(&self, expected: &[u64]) {
        eventually(PATIENCE, || {
            let found = numbers(&self.out.lock().unwrap());
            if found == expected { Ok(()) } else { Err((found, self.err.lock().unwrap().clone())) }
        });
    }

    #[track_caller]
    fn wait_for_message(&self, words: &str) {
        eventually(PATIENCE, || {
            let said = self.err.lock().unwrap().clone();
            if said.contains(words) { Ok(()) } else { Err(said) }
        });
    }

    #[track_caller]
    fn interrupt(mut self) {
        let pid = self.child.id().to_string();
        std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
        let status = eventually(PATIENCE, || self.child.try_wait().unwrap().ok_or("it runs"));
        assert_eq!(status.code(), Some(0));
    }
}

fn collect(from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let copy = Arc::clone(&text);
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            copy.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    text
}

#[test]
fn follow_shows_what_is_there_and_what_comes_across_a_restart() {
    // An address that stays the same when the server starts again.
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut server = Server::start_with(Settings::new().flag("--listen").flag(&addr.to_string()));
    send(&server, 0..10);
    let follower = Follower::start(&format!("http://{addr}"), &["--type", "build", "--limit", "3"]);
    follower.wait_for(&[5, 7, 8]);
    send(&server, 10..12);
    follower.wait_for(&[5, 7, 8, 10, 11]);
    // Nothing of another type in between is shown, and nothing twice.
    send(&server, 12..13);
    server.kill9();
    follower.wait_for_message("waiting for it");
    server.restart();
    send(&server, 13..2000);
    let expected: Vec<_> =
        [5, 7, 8].into_iter().chain((10..2000).filter(|it| it % 3 != 0)).collect();
    follower.wait_for(&expected);
    follower.wait_for_message("the server is back");
    follower.interrupt();
}

#[test]
fn follow_begins_with_an_empty_journal() {
    let server = Server::start();
    let follower = Follower::start(&format!("http://{}", server.addr), &["*{n > 1}"]);
    follower.wait_for(&[]);
    send(&server, 0..3);
    follower.wait_for(&[2]);
    follower.interrupt();
}
