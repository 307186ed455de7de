//! Every shape in which an event may arrive, over the real server.

use crate::support::{Client, Server};
use serde_json::{Value, json};
use std::io::Write;

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// The events that the server has, newest first.
fn stored(client: &mut Client) -> Vec<Value> {
    let page = client.get("/api/v1/events?limit=1000").expect(200).json();
    page["events"].as_array().unwrap().clone()
}

#[test]
fn the_first_request_of_the_readme_works_as_it_is() {
    let server = Server::start();
    let body = r#"{"event_type":"test_event","source":"manual_test","data":{"message":"Hello Observatory!"}}"#;
    let mut client = server.client();
    let answer = client.post("/api/events", JSON, body.as_bytes()).expect(202).json();
    let id = answer["event_id"].as_str().unwrap();
    assert!(!id.is_empty(), "{answer}");
    assert!(answer["received_at"].as_str().unwrap().ends_with('Z'), "{answer}");
    assert!(answer["status"].is_string(), "{answer}");

    // The answer means: visible. No waiting between here and there.
    let event = client.get(&format!("/api/v1/events/{id}")).expect(200).json();
    assert_eq!(event["event_type"], "test_event");
    assert_eq!(event["source"], "manual_test");
    assert_eq!(event["data"], json!({"message": "Hello Observatory!"}));
    let metrics = server.metrics();
    assert!(
        metrics.of("observatory_events_received_total").any(|(_, value)| value == 1.0),
        "{metrics:?}"
    );
}

/// What CI really sends: no `data` envelope, numbers as strings, empty strings.
#[test]
fn real_workflow_events_are_counted() {
    let server = Server::start();
    let mut client = server.client();
    let data = json!({
        "event_type": "ci_workflow_started", "source": "github-actions",
        "workflow": "quality-gates", "repository": "acme/web", "pr_number": "",
        "commit_sha": "9fceb02d0ae598e95dc970b74767f19372d61af8", "run_id": "7312945561"
    });
    client.event(&data).expect(202);
    server.metrics().check(r#"ci_build_in_flight{project="acme/web"}"#, 1.0);
    let data = json!({
        "event_type": "ci_workflow_completed", "source": "github-actions",
        "data": {"workflow": "quality-gates", "repository": "acme/web", "pr_number": "26",
                 "status": "success", "run_id": "7312945561", "duration_seconds": "61.5"}
    });
    client.event(&data).expect(202);
    server.wait_for(r#"ci_builds_total{project="acme/web",branch="main",result="success"}"#, 1.0);
    let metrics = server.metrics();
    metrics.check(r#"ci_builds_total{project="acme/web",branch="main",result="failure"}"#, 0.0);
    metrics.check(r#"ci_build_duration_seconds_sum{project="acme/web",result="success"}"#, 61.5);
    metrics.check(r#"ci_build_in_flight{project="acme/web"}"#, 0.0);
}

#[test]
fn all_fifteen_types_and_unknown_ones_are_taken() {
    let server = Server::start();
    let mut client = server.client();
    let types = [
        "ci_build_started",
        "ci_build_completed",
        "ci_tests_completed",
        "quality_check_completed",
        "agent_registered",
        "agent_request_started",
        "agent_request_completed",
        "agent_collaboration",
        "agent_error",
        "quality_score_updated",
        "quality_gate_passed",
        "quality_gate_failed",
        "coverage_updated",
        "deployment_started",
        "deployment_completed",
        "something.nobody/has-heard of",
    ];
    for event_type in types {
        client.event(&json!({"event_type": event_type, "source": "test", "data": {}})).expect(202);
    }
    assert_eq!(stored(&mut client).len(), types.len());
    server.wait_for(
        r#"observatory_events_unmatched_total{event_type="something.nobody/has-heard of"}"#,
        1.0,
    );
}

#[test]
fn type_is_read_for_event_type_and_times_keep_their_meaning() {
    let server = Server::start();
    let mut client = server.client();
    let event = json!({"type": "t", "source": "s", "timestamp": "2026-01-05T10:00:00", "a": 1});
    let id = client.event(&event).expect(202).json()["event_id"].as_str().unwrap().to_owned();
    let event = client.get(&format!("/api/v1/events/{id}")).expect(200).json();
    assert_eq!(event["data"], json!({"a": 1}));
    let time = event["timestamp"].as_str().unwrap();
    assert!(time.starts_with("2026-01-05T10:00:00") && time.ends_with('Z'), "{event}");
}

#[test]
fn cloud_events_structured_batched_and_binary() {
    let server = Server::start();
    let mut client = server.client();
    let event = |id: &str| {
        json!({"specversion": "1.0", "id": id, "source": "/ci", "type": "ci_build_completed",
               "time": "2026-01-05T10:00:00Z", "subject": "build/7",
               "data": {"project": "ce", "status": "success"}})
    };
    let body = event("1").to_string();
    client
        .post("/api/v1/events", "application/cloudevents+json; charset=utf-8", body.as_bytes())
        .expect(202);
    let body = json!([event("2"), event("3"), event("1")]).to_string();
    let answer =
        client.post("/api/v1/events", "application/cloudevents-batch+json", body.as_bytes());
    let answer = answer.expect(202).json();
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(2), &json!(1)), "{answer}");
    let headers = [
        ("content-type", JSON),
        ("ce-specversion", "1.0"),
        ("ce-id", "4"),
        ("ce-source", "/ci"),
        ("ce-type", "ci_build_completed"),
        ("ce-subject", "build%2F8"),
    ];
    let body = json!({"project": "ce", "status": "success"}).to_string();
    client.request("POST", "/api/v1/events", &headers, body.as_bytes()).expect(202);
    let events = stored(&mut client);
    assert_eq!(events.len(), 4);
    assert_eq!(events[0]["event_type"], "ci_build_completed");
    assert_eq!(events[0]["source"], "/ci");
    server.wait_for(r#"ci_builds_total{project="ce",branch="main",result="success"}"#, 4.0);
}

fn ndjson(events: usize) -> Vec<u8> {
    let event = |at: usize| {
        format!(
            r#"{{"event_type":"line","source":"nd","data":{{"n":{at},"pad":"xxxxxxxxxxxxxxxx"}}}}"#
        )
    };
    (0..events).map(event).collect::<Vec<_>>().join("\n").into_bytes()
}

#[test]
fn ndjson_plain_gzip_and_zstd() {
    let server = Server::start();
    let mut client = server.client();
    let body = ndjson(500);
    let answer = client.post("/api/v1/events", NDJSON, &body).expect(202).json();
    assert_eq!(answer["accepted"], 500, "{answer}");
    assert_eq!(answer["event_ids"].as_array().unwrap().len(), 500);

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&body).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(body.as_slice(), 1).unwrap();
    for (encoding, body) in [("gzip", gzip), ("zstd", zstd)] {
        let headers = [("content-type", NDJSON), ("content-encoding", encoding)];
        let answer = client.request("POST", "/api/v1/events", &headers, &body).expect(202).json();
        assert_eq!(answer["accepted"], 500, "{encoding}: {answer}");
    }
    let headers = [("content-type", NDJSON), ("content-encoding", "compress")];
    client.request("POST", "/api/v1/events", &headers, b"x").expect(415);
    let headers = [("content-type", NDJSON), ("content-encoding", "gzip")];
    client.request("POST", "/api/v1/events", &headers, b"not gzip").expect(400);
}

#[test]
fn a_batch_takes_the_good_and_names_the_bad() {
    let server = Server::start();
    let mut client = server.client();
    let good = |id: &str| json!({"id": id, "event_type": "b", "source": "s", "data": {}});
    let batch = json!([good("1"), {"source": "s"}, 7, good("2"), good("1"),
                       {"event_type": "b", "source": "s", "data": 3}]);
    let answer = client.event(&batch).expect(202).json();
    assert_eq!(answer["accepted"], 2, "{answer}");
    assert_eq!(answer["duplicates"], 1, "{answer}");
    let rejected = answer["rejected"].as_array().unwrap();
    let at: Vec<_> = rejected.iter().map(|it| it["index"].as_u64().unwrap()).collect();
    assert_eq!(at, [1, 2, 5], "{answer}");
    assert!(rejected.iter().all(|it| !it["error"].as_str().unwrap().is_empty()), "{answer}");
    assert_eq!(stored(&mut client).len(), 2);

    let atomic = json!([good("3"), {"source": "s"}]).to_string();
    let answer = client.post("/api/v1/events?atomic=true", JSON, atomic.as_bytes());
    assert!((400..500).contains(&answer.status), "{}", answer.text());
    assert_eq!(stored(&mut client).len(), 2, "nothing of an atomic batch may be stored");
    let atomic = json!({"events": [good("3"), good("4")]}).to_string();
    let answer =
        client.post("/api/v1/events/batch?atomic=true", JSON, atomic.as_bytes()).expect(202);
    assert_eq!(answer.json()["accepted"], 2);
    assert_eq!(stored(&mut client).len(), 4);
}

#[test]
fn pages_follow_the_cursor_and_filters_hold() {
    let server = Server::start();
    let mut client = server.client();
    for n in 0..25 {
        let event_type = if n % 5 == 0 { "five" } else { "other" };
        client
            .event(&json!({"event_type": event_type, "source": "p", "data": {"n": n}}))
            .expect(202);
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/events?limit=10&order=asc".to_owned();
    loop {
        let page = client.get(&path).expect(200).json();
        seen.extend(page["events"].as_array().unwrap().iter().map(|it| it["data"]["n"].clone()));
        let next = match &page["next"] {
            Value::Null => break,
            Value::String(it) => it.clone(),
            other => other.to_string(),
        };
        path = format!("/api/v1/events?limit=10&order=asc&cursor={next}");
        assert!(seen.len() <= 25, "the pages do not end");
    }
    assert_eq!(seen, (0..25).map(Value::from).collect::<Vec<_>>());
    let count = |client: &mut Client, filter: &str| {
        let page = client.get(&format!("/api/v1/events?limit=100&{filter}")).expect(200).json();
        page["events"].as_array().unwrap().len()
    };
    assert_eq!(count(&mut client, "type=five"), 5);
    assert_eq!(count(&mut client, "source=nobody"), 0);
    assert_eq!(count(&mut client, "match=other%7Bn%3E20%7D"), 4);
    client.get("/api/v1/events?match=other%7B").expect(400);
    client.get("/api/v1/events/evt_none").expect(404);
}

#[test]
fn errors_have_one_shape() {
    let server = Server::start();
    let mut client = server.client();
    for (body, status) in [("{", 400), ("", 400), ("7", 400), (r#"{"source":"s"}"#, 400)] {
        let answer = client.post("/api/v1/events", JSON, body.as_bytes()).expect(status).json();
        assert!(answer["error"].is_string() && answer["message"].is_string(), "{body}: {answer}");
    }
    client.get("/nothing/here").expect(404);
    client.request("DELETE", "/metrics", &[], b"").expect(405);
}
