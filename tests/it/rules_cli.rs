//! Rules: check, test and explain on the command line; reload in the running server.

use crate::support::{Server, Settings, cli, eventually};
use serde_json::json;
use std::{fs, process::Output, time::Duration};

const GOOD: &str = r#"
version: 1
metrics:
  jobs_total:
    help: Jobs finished.
    match: job_done
    count: 1
    labels: {team: $team}
  job_duration_seconds:
    help: How long jobs took.
    match: 'job_done{seconds > 0}'
    observe: $seconds
    buckets: [1, 10]
tests:
  - name: a job is counted
    events:
      - {id: a, type: job_done, data: {team: x, seconds: 3}}
    expect: |
      jobs_total{team="x"} 1
      job_duration_seconds_sum 3
"#;

#[track_caller]
fn rules(verb: &str, file: &str, input: &str) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rules.yaml");
    fs::write(&path, file).unwrap();
    let output = cli(&["rules", verb, path.to_str().unwrap()], &Settings::new(), input);
    (output.status.code().unwrap(), said(&output))
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn a_good_file_passes_check_and_test() {
    let (code, said) = rules("check", GOOD, "");
    assert_eq!(code, 0, "{said}");
    let (code, said) = rules("test", GOOD, "");
    assert_eq!(code, 0, "{said}");
}

#[test]
fn the_built_in_rules_pass_their_own_tests() {
    let output = cli(&["config", "show", "--builtin-rules"], &Settings::new(), "");
    assert!(output.status.success(), "{}", said(&output));
    let builtin = String::from_utf8(output.stdout).unwrap();
    for verb in ["check", "test"] {
        let (code, said) = rules(verb, &builtin, "");
        assert_eq!(code, 0, "rules {verb}: {said}");
    }
}

/// Every error has its line and a caret, and all of them come at once.
#[test]
fn a_bad_file_shows_every_error_at_its_place() {
    let bad = GOOD
        .replace("match: job_done\n", "match: 'job_done{'\n")
        .replace("observe: $seconds", "observe: ${seconds | nosuchfilter}");
    let (code, said) = rules("check", &bad, "");
    assert_ne!(code, 0);
    let line = |needle: &str| bad.lines().position(|it| it.contains(needle)).unwrap() + 1;
    for needle in ["job_done{'", "nosuchfilter"] {
        let line = line(needle);
        assert!(said.contains(&format!(":{line}:")), "no line {line} in: {said}");
    }
    assert!(said.matches('^').count() >= 2, "no carets: {said}");
    for (from, to, word) in [
        ("help: Jobs finished.", "halp: Jobs finished.", "halp"),
        ("jobs_total:", "jobs:", "_total"),
        ("version: 1", "version: 9", "version"),
        ("team: $team", "le: $team", "le"),
    ] {
        let (code, said) = rules("check", &GOOD.replacen(from, to, 1), "");
        assert_ne!(code, 0, "{to} passed");
        assert!(said.contains(word), "{to}: {said}");
    }
}

#[test]
fn a_failing_test_shows_what_was_and_what_should_be() {
    let (code, said) = rules("test", &GOOD.replace("\"x\"} 1", "\"x\"} 2"), "");
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("a job is counted") && said.contains("jobs_total"), "{said}");
}

#[test]
fn explain_names_the_matcher_that_failed() {
    let event =
        json!({"event_type": "job_done", "source": "s", "data": {"team": "x", "seconds": 0}});
    let (code, said) = rules("explain", GOOD, &event.to_string());
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("jobs_total{team=\"x\"}"), "{said}");
    assert!(said.contains("seconds > 0") || said.contains("seconds>0"), "{said}");

    let server = Server::start_with_rules(GOOD, Settings::new());
    let body = event.to_string();
    let answer = server.client().post("/api/v1/rules/explain", "application/json", body.as_bytes());
    let answer = answer.expect(200);
    assert!(answer.json().is_object() || answer.json().is_array());
    assert!(answer.text().contains("jobs_total"), "{}", answer.text());
    // To explain is not to count.
    assert_eq!(server.metrics().sum("jobs_total"), 0.0);
}

#[test]
fn a_reload_keeps_what_did_not_change() {
    let server =
        Server::start_with_rules(GOOD, Settings::new().env("OBSERVATORY_RULES_WATCH", "false"));
    let mut client = server.client();
    let event =
        json!({"event_type": "job_done", "source": "s", "data": {"team": "x", "seconds": 3}});
    for _ in 0..3 {
        client.event(&event).expect(202);
    }
    // One metric gets other buckets, one stays, one is new.
    let changed = GOOD.replace("[1, 10]", "[1, 10, 100]").replace(
        "tests:",
        "  teams_seen_total:\n    help: Teams.\n    match: job_done\n    count: 1\ntests:",
    );
    fs::write(server.rules_file(), changed).unwrap();
    client.post("/-/reload", "text/plain", b"").expect(200);
    client.event(&event).expect(202);
    server.wait_for("jobs_total{team=\"x\"}", 4.0);
    let metrics = server.metrics();
    metrics.check("job_duration_seconds_count", 1.0);
    metrics.check("job_duration_seconds_bucket{le=\"100\"}", 1.0);
    metrics.check("teams_seen_total", 1.0);
    metrics.check("observatory_config_last_reload_successful", 1.0);
}

#[test]
fn a_bad_file_leaves_the_old_rules_in_force() {
    let settings = Settings::new().env("OBSERVATORY_RULES_WATCH", "false");
    let mut server = Server::start_with_rules(GOOD, settings);
    let mut client = server.client();
    let event =
        json!({"event_type": "job_done", "source": "s", "data": {"team": "x", "seconds": 3}});
    client.event(&event).expect(202);
    fs::write(server.rules_file(), GOOD.replace("match: job_done\n", "match: 'job_done{'\n"))
        .unwrap();
    let answer = client.post("/-/reload", "text/plain", b"");
    assert!(answer.status >= 400, "{}", answer.text());
    assert!(answer.text().contains("job_done{"), "the answer says why: {}", answer.text());
    client.event(&event).expect(202);
    server.wait_for("jobs_total{team=\"x\"}", 2.0);
    server.metrics().check("observatory_config_last_reload_successful", 0.0);
    assert!(server.log().contains("job_done{"), "the log says why: {}", server.log());
    // By signal as well; the server lives on.
    server.signal("-HUP");
    client.event(&event).expect(202);
    // Mended, it is taken.
    fs::write(server.rules_file(), GOOD).unwrap();
    server.signal("-HUP");
    server.wait_for("observatory_config_last_reload_successful", 1.0);
    server.wait_for("jobs_total{team=\"x\"}", 3.0);
    server.terminate();
}

#[test]
fn a_changed_file_is_noticed() {
    let settings = Settings::new().env("OBSERVATORY_RULES_WATCH_INTERVAL", "1s");
    let server = Server::start_with_rules(GOOD, settings);
    // Replaced by renaming, as editors and config managers do.
    let changed = GOOD.replace("jobs_total", "works_total");
    let beside = server.rules_file().with_extension("new");
    fs::write(&beside, changed).unwrap();
    fs::rename(&beside, server.rules_file()).unwrap();
    let event =
        json!({"event_type": "job_done", "source": "s", "data": {"team": "x", "seconds": 3}});
    eventually(Duration::from_secs(15), || {
        server.client().event(&event).expect(202);
        let seen = server.metrics().sum("works_total");
        if seen > 0.0 { Ok(()) } else { Err("the file is not read again") }
    });
    assert_eq!(server.metrics().sum("jobs_total"), 0.0);
}

#[test]
fn a_server_with_bad_rules_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yaml");
    fs::write(&file, GOOD.replace("count: 1", "count: ${")).unwrap();
    let settings =
        Settings::new().rules(&file).flag("--listen").flag("127.0.0.1:0").flag("--data-dir");
    let data = dir.path().join("data");
    let (code, said) = crate::support::refused(&settings.flag(data.to_str().unwrap()));
    assert_eq!(code, 64, "{said}");
    assert!(said.contains('^'), "{said}");
}
