//! Old events go, by age and class; nothing else changes.

use crate::support::{Client, Server, Settings, eventually};
use serde_json::{Value, json};
use std::time::Duration;

/// Events of one type that happened 1 to 30 days ago, 10 of each day, as one batch.
fn month(event_type: &str) -> Vec<u8> {
    let now = now_seconds();
    let event = |n: i64| {
        let at = now - (1 + n / 10) * 86_400 + 60;
        json!({"event_type": event_type, "source": "s", "timestamp": at, "data": {"n": n, "project": "web", "status": "success"}})
    };
    Value::from((0..300).map(event).collect::<Vec<_>>()).to_string().into_bytes()
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "what is sent has times of today")]
fn now_seconds() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

fn post(client: &mut Client, path: &str) -> Value {
    client.post(path, "application/json", b"").expect(200).json()
}

fn stored(server: &Server, event_type: &str) -> usize {
    let path = format!("/api/v1/events?type={event_type}&limit=10000");
    server.client().get(&path).expect(200).json()["events"].as_array().unwrap().len()
}

fn send(server: &Server, event_type: &str) {
    server.client().post("/api/v1/events", "application/json", &month(event_type)).expect(202);
}

#[test]
fn pruning_by_hand_leaves_the_newest_days_and_every_counter() {
    let mut server = Server::start();
    for event_type in ["ci_build_completed", "log_line"] {
        send(&server, event_type);
    }
    let metrics = server.metrics().of_rules();
    assert_eq!(metrics.sum("ci_builds_total"), 300.0);
    let mut client = server.client();
    let trial = post(&mut client, "/api/v1/maintenance/prune?days=7&dry_run=true");
    assert_eq!(trial["deleted"], 460, "{trial}");
    let trial = post(&mut client, "/api/v1/maintenance/prune?class=logs&dry_run=true");
    assert_eq!(trial["deleted"], 230, "{trial}");
    assert_eq!(stored(&server, "log_line"), 300);

    let pruned = post(&mut client, "/control/prune?days=7");
    let message = "460 old logs pruned.";
    assert_eq!(pruned, json!({"status": "success", "message": message, "deleted": 460}));
    let again = post(&mut client, "/api/v1/maintenance/prune?days=7");
    assert_eq!((again["deleted"].as_u64(), again["dry_run"].as_bool()), (Some(0), Some(false)));
    let check = |server: &Server| {
        assert_eq!((stored(server, "ci_build_completed"), stored(server, "log_line")), (70, 70));
        assert_eq!(server.metrics().of_rules(), metrics);
    };
    check(&server);
    server.wait_for("observatory_pruned_total{class=\"logs\"}", 230.0);
    server.wait_for("observatory_pruned_total{class=\"events\"}", 230.0);
    server.kill9();
    server.restart();
    check(&server);
    server.terminate();
    server.restart();
    check(&server);
}

#[test]
fn a_start_forgets_what_is_too_old() {
    let settings = Settings::new().env("OBSERVATORY_RETENTION_EVENTS", "off");
    let mut server = Server::start_with(settings.env("LOGS_RETENTION_DAYS", "7"));
    for event_type in ["ci_build_completed", "log_line", "metric_cpu"] {
        send(&server, event_type);
    }
    let metrics = server.metrics().of_rules();
    // A clean stop stores the snapshot without which nothing goes.
    server.terminate();
    server.restart();
    eventually(Duration::from_secs(30), || match stored(&server, "log_line") {
        70 => Ok(()),
        n => Err(n),
    });
    assert_eq!(stored(&server, "ci_build_completed"), 300);
    assert_eq!(stored(&server, "metric_cpu"), 300);
    assert_eq!(server.metrics().of_rules(), metrics);
}

#[test]
fn who_may_prune_and_how() {
    let server = Server::start_with(Settings::new().token("read:reader-12345,control:operator-1"));
    let mut stranger = server.client();
    for path in ["/control/prune?days=1", "/api/v1/maintenance/prune?days=1"] {
        stranger.post(path, "", b"").expect(401);
        let mut reader = server.client().with_header("x-api-key", "reader-12345");
        reader.post(path, "", b"").expect(403);
        let mut operator = server.client().with_header("x-api-key", "operator-1");
        operator.post(path, "", b"").expect(200);
        operator.get(path).expect(405);
    }
    let mut operator = server.client().with_header("x-api-key", "operator-1");
    for bad in ["days=0", "days=x", "days=-3", "days=", "class=other", "day=3"] {
        let answer = operator.post(&format!("/control/prune?{bad}"), "", b"").expect(400).json();
        assert!(answer["message"].as_str().unwrap().len() > 10, "{answer}");
        assert_eq!(answer["fields"][0]["field"], bad.split('=').next().unwrap());
    }
}
