//! Groups that expire, over HTTP and across restarts.

use crate::support::{Server, Settings, eventually};
use serde_json::Value;
use std::{thread, time::Duration};

fn push(server: &Server, path: &str, headers: &[(&str, &str)]) {
    server.client().request("PUT", path, headers, b"# TYPE m gauge\nm 1\n").expect(200);
}

fn series(job: &str, name: &str) -> String {
    format!("{name}{{instance=\"\",job=\"{job}\"}}")
}

/// What `/api/v1/push/groups` says of the group of `job`.
fn group(server: &Server, job: &str) -> Value {
    let list = server.client().get("/api/v1/push/groups").expect(200).json();
    let groups = list["groups"].as_array().unwrap().iter();
    groups.clone().find(|it| it["labels"]["job"] == job).cloned().unwrap_or(Value::Null)
}

#[track_caller]
fn wait_until_gone(server: &Server, job: &str, name: &str) {
    let gone = || match server.metrics().get(&series(job, name)) {
        None => Ok(()),
        Some(it) => Err(it),
    };
    eventually(Duration::from_secs(20), gone);
}

#[test]
fn groups_expire_and_their_times_stay() {
    let jobs = "[{match: 'ci-*', ttl: 2s}, {match: keep, ttl: off}]";
    let settings = Settings::new()
        .env("OBSERVATORY_PUSH_JOBS", jobs)
        .env("OBSERVATORY_PUSH_TTL", "1h")
        .env("OBSERVATORY_PUSH_KEEP_TIMES", "2x");
    let mut server = Server::start_with_rules("version: 1\n", settings);
    push(&server, "/metrics/job/ci-x", &[]);
    push(&server, "/metrics/job/asked?ttl=2s", &[]);
    push(&server, "/metrics/job/said", &[("X-Observatory-TTL", "2s")]);
    push(&server, "/metrics/job/ci-off?ttl=off", &[]);
    push(&server, "/metrics/job/hour", &[]);
    push(&server, "/metrics/job/keep", &[]);
    assert!(group(&server, "hour")["expires_at"].is_string());
    assert!(group(&server, "keep")["expires_at"].is_null());
    let pushed = server.metrics().get(&series("asked", "push_time_seconds"));
    for job in ["ci-x", "asked", "said"] {
        wait_until_gone(&server, job, "m");
        assert!(group(&server, job)["forgotten_at"].is_string());
    }
    let page = server.metrics();
    assert_eq!(page.get(&series("asked", "push_time_seconds")), pushed);
    page.check("observatory_push_groups_expired_total", 3.0);
    // What a Pushgateway lists has no more members than there.
    let list = server.client().get("/api/v1/metrics").expect(200).json();
    let asked = list["data"].as_array().unwrap().iter().find(|it| it["labels"]["job"] == "asked");
    let members: Vec<_> = asked.unwrap().as_object().unwrap().keys().cloned().collect();
    let expected =
        ["labels", "last_push_successful", "push_failure_time_seconds", "push_time_seconds"];
    assert_eq!(members, expected);
    server.kill9();
    server.restart();
    let page = server.metrics();
    for job in ["ci-off", "hour", "keep"] {
        page.check(&series(job, "m"), 1.0);
    }
    assert_eq!(page.get(&series("asked", "m")), None);
    wait_until_gone(&server, "asked", "push_time_seconds");
}

#[test]
fn what_is_due_at_a_start_is_on_no_page() {
    let mut server = Server::start_with_rules("version: 1\n", Settings::new());
    push(&server, "/metrics/job/j?ttl=1500ms", &[]);
    server.kill9();
    thread::sleep(Duration::from_secs(2));
    server.restart();
    let page = server.metrics();
    assert_eq!(page.get(&series("j", "m")), None);
    assert!(page.get(&series("j", "push_time_seconds")).is_some());
    page.check("observatory_push_groups_expired_total", 1.0);
    assert!(server.log().contains("1 pushed groups expired while nothing ran"), "{}", server.log());
    server.terminate();
    server.restart();
    assert_eq!(server.metrics().get(&series("j", "m")), None);
}

#[test]
fn a_wrong_life_is_refused() {
    let server = Server::start_with_rules("version: 1\n", Settings::new());
    for wrong in ["x", "-1h", "1", ""] {
        let path = format!("/metrics/job/j?ttl={wrong}");
        let said = server.client().request("PUT", &path, &[], b"m 1\n").expect(400).text();
        assert!(said.contains("ttl must be a duration such as 30m, 1h or 7d, or off"), "{said}");
    }
    assert!(group(&server, "j").is_null());
}
