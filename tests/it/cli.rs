//! The other verbs of the command line, against a real server.

use crate::support::{Server, Settings, cli};
use serde_json::json;
use std::{fs, process::Output};

#[track_caller]
fn ok(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}{errors}");
    said
}

fn url(server: &Server) -> String {
    format!("http://{}", server.addr)
}

#[test]
fn send_stores_an_event() {
    let server = Server::start();
    let at = Settings::new().env("OBSERVATORY_URL", &url(&server));
    let arguments =
        ["send", "ci_build_completed", "--source", "here", "project=web", "status=success", "n:=3"];
    ok(&cli(&arguments, &at, ""));
    ok(&cli(&["send", "with_json", "--data", r#"{"a":{"b":[1,2]}}"#], &at, ""));
    let page = server.client().get("/api/v1/events?order=asc&limit=10").expect(200).json();
    assert_eq!(page["events"][0]["event_type"], "ci_build_completed");
    assert_eq!(page["events"][0]["source"], "here");
    assert_eq!(page["events"][0]["data"]["project"], "web");
    assert_eq!(page["events"][1]["data"], json!({"a": {"b": [1, 2]}}));
    server.wait_for(r#"ci_builds_total{project="web",branch="main",result="success"}"#, 1.0);
}

#[test]
fn send_says_so_when_there_is_no_server_or_no_permission() {
    let nobody = Settings::new().env("OBSERVATORY_URL", "http://127.0.0.1:1");
    let output = cli(&["send", "t", "--timeout", "1"], &nobody, "");
    assert_ne!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("127.0.0.1:1"), "{output:?}");

    let server = Server::start_with(Settings::new().token("the-right-secret-0123"));
    let wrong =
        Settings::new().env("OBSERVATORY_URL", &url(&server)).token("the-wrong-secret-0123");
    let output = cli(&["send", "t", "--timeout", "5"], &wrong, "");
    assert_ne!(output.status.code(), Some(0));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("the-wrong-secret"), "{output:?}");
    let right =
        Settings::new().env("OBSERVATORY_URL", &url(&server)).token("the-right-secret-0123");
    ok(&cli(&["send", "t"], &right, ""));
}

#[test]
fn the_demo_is_lively_and_ends() {
    let server = Server::start();
    let url = url(&server);
    let demo = ["demo", "--url", &url, "--duration", "2s", "--rate", "100/s", "--seed", "1"];
    ok(&cli(&demo, &Settings::new(), ""));
    let metrics = server.metrics();
    let received = metrics.sum("observatory_events_received_total");
    assert!((50.0..=400.0).contains(&received), "{received} events in 2 s at 100/s");
    for name in ["ci_builds_total", "deployments_total", "agent_info", "quality_gates_total"] {
        assert!(metrics.of(name).count() > 0, "the demo shows no {name}");
    }
}

#[test]
fn tokens_are_created_listed_used_and_revoked() {
    let admin = "the-first-admin-secret";
    let server = Server::start_with(Settings::new().token(&format!("admin:{admin}")));
    let at = Settings::new().env("OBSERVATORY_URL", &url(&server)).token(admin);
    let said = ok(&cli(&["token", "create", "ci", "--role", "ingest"], &at, ""));
    // The secret is the longest word that is printed, and is never shown again.
    let secret = said.split_whitespace().max_by_key(|it| it.len()).unwrap().to_owned();
    let list = ok(&cli(&["token", "list"], &at, ""));
    assert!(list.contains("ci") && list.contains("ingest"), "{list}");
    assert!(!list.contains(&secret), "{list}");
    let event = json!({"event_type": "t", "source": "s", "data": {}});
    let mut client = server.client().with_header("x-api-key", &secret);
    client.event(&event).expect(202);
    client.get("/api/v1/events").expect(403);
    ok(&cli(&["token", "revoke", "ci"], &at, ""));
    client.event(&event).expect(401);
    let list = ok(&cli(&["token", "list"], &at, ""));
    assert!(list.lines().any(|it| it.starts_with("ci ") && it.contains("revoked")), "{list}");
}

#[test]
fn created_tokens_outlive_a_restart() {
    let admin = "the-first-admin-secret";
    let mut server = Server::start_with(Settings::new().token(&format!("admin:{admin}")));
    let at = Settings::new().env("OBSERVATORY_URL", &url(&server)).token(admin);
    let said = ok(&cli(&["token", "create", "reader", "--role", "read"], &at, ""));
    let secret = said.split_whitespace().max_by_key(|it| it.len()).unwrap().to_owned();
    server.kill9();
    server.restart();
    server.client().with_header("x-api-key", &secret).get("/api/v1/events").expect(200);
}

#[test]
fn a_bad_configuration_is_reported_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("observatory.yml");
    fs::write(&file, "durability: perhaps\nlimits:\n  body_bytes: -3\nnonsense: 1\n").unwrap();
    let output = cli(&["config", "check", file.to_str().unwrap()], &Settings::new(), "");
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    for word in ["durability", "body_bytes", "nonsense"] {
        assert!(said.contains(word), "{word} is not named: {said}");
    }
    fs::write(&file, "durability: relaxed\nlimits: {body_bytes: 1MiB}\n").unwrap();
    ok(&cli(&["config", "check", file.to_str().unwrap()], &Settings::new(), ""));
    // The reference that is shipped is a good file, and says the defaults.
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/observatory.yml");
    ok(&cli(&["config", "check", shipped], &Settings::new(), ""));
}

#[test]
fn config_show_tells_where_each_value_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("observatory.yml");
    fs::write(&file, "durability: relaxed\n").unwrap();
    let settings =
        Settings::new().env("OBSERVATORY_LIMITS_DEPTH", "7").token("a-secret-that-must-not-show");
    let arguments = ["config", "show", "--origin", "--config", file.to_str().unwrap()];
    let said = ok(&cli(&arguments, &settings, ""));
    let line = |key: &str| {
        let line = said.lines().find(|it| it.trim_start().starts_with(key));
        line.unwrap_or_else(|| panic!("no {key} in: {said}")).to_owned()
    };
    assert!(
        line("durability").contains("relaxed") && line("durability").contains("observatory.yml")
    );
    let depth = said.lines().find(|it| it.contains("OBSERVATORY_LIMITS_DEPTH"));
    assert!(depth.is_some_and(|it| it.contains('7')), "{said}");
    assert!(!said.contains("a-secret-that-must-not-show"), "{said}");
}

#[test]
fn wrong_usage_exits_64_or_2_and_names_the_help() {
    for arguments in [&["no-such-verb"][..], &["serve", "--no-such-flag"], &["send"]] {
        let output = cli(arguments, &Settings::new(), "");
        let code = output.status.code().unwrap();
        assert!(matches!(code, 2 | 64), "{arguments:?}: {code}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--help"), "{output:?}");
    }
    let version = ok(&cli(&["--version"], &Settings::new(), ""));
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

#[test]
fn serve_says_where_it_listens_where_the_data_is_and_what_to_try() {
    let server = Server::start();
    let log = server.log();
    assert!(log.contains(&url(&server)), "{log}");
    assert!(log.contains(server.data_dir().to_str().unwrap()), "{log}");
    assert!(log.contains("curl"), "{log}");
}

#[test]
fn logs_as_json_are_json() {
    let mut server = Server::start_with(Settings::new().flag("--log-format").flag("json"));
    server
        .client()
        .event(&json!({"event_type": "t", "source": "s", "data": {"x": "planted-body"}}))
        .expect(202);
    server.terminate();
    let log = server.log();
    assert!(!log.contains("planted-body"), "{log}");
    let lines: Vec<_> = log.lines().filter(|it| it.starts_with('{')).collect();
    assert!(lines.len() >= 2, "{log}");
    for line in lines {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(entry.is_object(), "{line}");
    }
}
