//! Alerts as a WebSocket shows them.

use super::{ALERTS, RULES, active, build, found, post};
use crate::support::{Client, Said, Server, Settings, Ws, eventually};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const WATCH: &str = "/api/v1/monitoring/ws/alerts";

fn watch(server: &Server, query: &str) -> Ws {
    Ws::open(server.addr, &format!("{WATCH}{query}"), &[]).unwrap()
}

#[track_caller]
fn within(seconds: u64, mut probe: impl FnMut() -> Option<()>) {
    eventually(Duration::from_secs(seconds), || probe().ok_or("not yet"));
}

/// The next message that is not a heartbeat.
fn next(ws: &mut Ws) -> Value {
    loop {
        let message = ws.json();
        if message["type"] != "heartbeat" {
            return message;
        }
    }
}

#[test]
fn the_whole_comes_first_and_then_each_change_in_order() {
    let server = Server::start();
    let mut client = server.client();
    build(&mut client, "web", "failed");
    found("the alert", || active(&mut client).pop());
    let mut ws = watch(&server, "");
    let all = next(&mut ws);
    assert_eq!((&all["type"], all["data"].as_array().unwrap().len()), (&json!("alerts"), 1));
    let first = &all["data"][0];
    // What agent meshes read.
    assert_eq!(
        (&first["name"], &first["severity"], &first["resolved"], &first["status"]),
        (
            &json!("Build failed on a default branch"),
            &json!("high"),
            &json!(false),
            &json!("active")
        )
    );
    assert!(first["timestamp"].is_string() && first["message"].is_string(), "{first}");
    let id = first["id"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    build(&mut client, "api", "failed");
    let fired = next(&mut ws);
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(
        (&fired["type"], &fired["change"], &fired["data"]["labels"]["project"]),
        (&json!("alert"), &json!("firing"), &json!("api"))
    );
    let mut sequence = all["sequence"].as_u64().unwrap();
    let mut expect = |ws: &mut Ws, message: Option<Value>, change: &str, status: &str| {
        let message = message.unwrap_or_else(|| next(ws));
        sequence += 1;
        assert_eq!(
            (&message["sequence"], &message["change"], &message["data"]["status"]),
            (&json!(sequence), &json!(change), &json!(status)),
            "{message}"
        );
        message
    };
    expect(&mut ws, Some(fired), "firing", "active");
    post(&mut client, &format!("{ALERTS}/{id}/acknowledge"), &json!({"author": "ann"}));
    let acknowledged = expect(&mut ws, None, "acknowledged", "acknowledged");
    assert_eq!(acknowledged["data"]["acknowledged"]["by"], "ann");
    let made = post(&mut client, &format!("{ALERTS}/{id}/silence"), &json!({"duration": 3600}));
    expect(&mut ws, None, "silenced", "silenced");
    let silence = made["silence"]["id"].as_str().unwrap();
    client.request("DELETE", &format!("/api/v2/silence/{silence}"), &[], b"").expect(200);
    expect(&mut ws, None, "unsilenced", "acknowledged");
    // A silence that ends by itself is told as well.
    post(&mut client, &format!("{ALERTS}/{id}/silence"), &json!({"duration": 1}));
    expect(&mut ws, None, "silenced", "silenced");
    expect(&mut ws, None, "unsilenced", "acknowledged");
    build(&mut client, "web", "success");
    let resolved = expect(&mut ws, None, "resolved", "resolved");
    assert_eq!(
        (&resolved["data"]["resolved"], &resolved["data"]["id"]),
        (&json!(true), &json!(id))
    );
}

#[test]
fn who_comes_back_is_given_what_there_is_now_and_only_what_was_asked_for() {
    let server = Server::start();
    let mut client = server.client();
    build(&mut client, "api", "failed");
    found("the alert", || active(&mut client).pop());
    let mut again = watch(&server, "?rule=failed-build&severity=high,low");
    assert_eq!(next(&mut again)["data"][0]["labels"]["project"], "api");
    let mut none = watch(&server, "?label=project=web");
    assert_eq!(next(&mut none)["data"], json!([]));
    build(&mut client, "db", "failed");
    build(&mut client, "web", "failed");
    assert_eq!(next(&mut none)["data"]["labels"]["project"], "web");
}

#[test]
fn what_is_pending_is_shown_when_it_begins_and_when_it_is_dropped() {
    let server = Server::start();
    let mut client = server.client();
    let rule = json!({"name": "Busy", "metric_name": "busy", "threshold": 1, "for": "1h"});
    post(&mut client, RULES, &rule);
    let mut ws = watch(&server, "?rule=Busy");
    next(&mut ws);
    client.post("/metrics/job/a", "text/plain", b"busy 2\n").expect(200);
    let pending = next(&mut ws);
    assert_eq!(
        (&pending["change"], &pending["data"]["status"]),
        (&json!("pending"), &json!("pending"))
    );
    client.post("/metrics/job/a", "text/plain", b"busy 0\n").expect(200);
    let dropped = next(&mut ws);
    assert_eq!(
        (&dropped["change"], &dropped["data"]["id"]),
        (&json!("dropped"), &pending["data"]["id"])
    );
}

/// More than a connection holds, and more changes than are kept. Returns how many.
fn storm(client: &mut Client) -> usize {
    let long = "x".repeat(1500);
    let events: Vec<_> = (0..3000)
        .map(|n| {
            let data =
                json!({"project": format!("{long}{n}"), "branch": "main", "status": "failed"});
            json!({"event_type": "ci_build_completed", "source": "ci", "data": data})
        })
        .collect();
    for chunk in events.chunks(500) {
        let body = serde_json::to_vec(chunk).unwrap();
        client.post("/api/v1/events", "application/json", &body).expect(202);
    }
    events.len()
}

/// It sees the whole anew, and what follows.
#[test]
fn who_is_far_behind_ends_with_what_is_the_case() {
    let server = Server::start_with(
        Settings::new()
            .env("OBSERVATORY_STREAM_MAX_LAG", "2m")
            .env("OBSERVATORY_LIMITS_WRITE_TIMEOUT", "2m"),
    );
    let mut client = server.client();
    let mut ws = watch(&server, "?rule=failed-build");
    assert_eq!(next(&mut ws)["data"], json!([]));
    let n = storm(&mut client);
    build(&mut client, "last", "failed");
    // Nothing is read before everything has happened.
    within(60, || {
        (server.metrics().get("observatory_alerts{status=\"firing\"}") == Some(n as f64 + 1.0))
            .then_some(())
    });
    let (mut known, mut sequence, mut whole) = (std::collections::HashSet::new(), 0, 0);
    while !known.contains("last") {
        let message = next(&mut ws);
        let project = |it: &Value| it["labels"]["project"].as_str().unwrap().to_owned();
        let number = message["sequence"].as_u64().unwrap();
        if message["type"] == "alerts" {
            assert!(number >= sequence);
            known = message["data"].as_array().unwrap().iter().map(project).collect();
            whole += 1;
        } else {
            assert!(sequence == 0 || number == sequence + 1, "{number} after {sequence}");
            known.insert(project(&message["data"]));
        }
        sequence = number;
    }
    assert_eq!(known.len(), n + 1);
    assert!(whole >= 1, "nothing was dropped: the test is too small");
}

#[test]
fn who_does_not_read_is_closed_and_costs_nobody_anything() {
    let server = Server::start_with(Settings::new().env("OBSERVATORY_STREAM_MAX_LAG", "1s"));
    let mut client = server.client();
    let mut ws = watch(&server, "");
    next(&mut ws);
    storm(&mut client);
    let is = |series: &str, value: f64| (server.metrics().get(series) == Some(value)).then_some(());
    within(60, || is("observatory_stream_closed_total{reason=\"slow\"}", 1.0));
    within(60, || is("observatory_stream_open{transport=\"websocket\"}", 0.0));
    drop(ws);
}

#[test]
fn only_who_may_read_watches_and_until_the_end() {
    let reader = "reader-secret-0123456789";
    let settings = Settings::new().token(&format!("read:{reader},ingest:sender-secret-0123456789"));
    let mut server = Server::start_with(settings);
    let refused = |path: &str, headers: &[(&str, &str)]| {
        Ws::open(server.addr, path, headers).unwrap_err().status
    };
    let shown = ("x-api-key", reader);
    assert_eq!(refused(WATCH, &[]), 401);
    assert_eq!(refused(WATCH, &[("x-api-key", "sender-secret-0123456789")]), 403);
    assert_eq!(refused(WATCH, &[shown, ("origin", "http://evil.example")]), 403);
    assert_eq!(refused(&format!("{WATCH}?status=resolved"), &[shown]), 400);
    assert_eq!(refused(&format!("{WATCH}?severity=loud"), &[shown]), 400);
    let mut client = server.client().with_header("x-api-key", reader);
    let plain = client.get(WATCH).expect(426).text();
    assert!(plain.contains("GET /api/v1/monitoring/alerts"), "{plain}");
    client.get(&format!("{ALERTS}?ticket=x")).expect(400);
    let ticket = client.request("POST", "/api/v1/stream/ticket", &[], b"").expect(201).json();
    let ticket = format!("?ticket={}", ticket["ticket"].as_str().unwrap());
    let mut ws = watch(&server, &ticket);
    assert_eq!(next(&mut ws)["type"], "alerts");
    ws.say("ping");
    assert_eq!(ws.hear().unwrap(), Said::Text("pong".to_owned()));
    assert_eq!(refused(&format!("{WATCH}{ticket}"), &[]), 401);
    server.signal("-TERM");
    let (code, reason) = ws.closed();
    assert_eq!((code, &reason["reason"]), (1001, &json!("stopping")));
    server.wait();
}
