//! The sockets of an agent mesh, and pushes on the live feed.

use crate::support::{Said, Server, Settings, Sse, Ws, eventually, python};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

const METRICS: &str = "/api/v1/monitoring/ws/metrics";
const TOPOLOGY: &str = "/api/v1/monitoring/ws/topology";

fn send(server: &Server, kind: &str, data: &Value) {
    let event = json!({"event_type": kind, "source": "agents", "data": data});
    server
        .client()
        .post("/api/v1/events", "application/json", event.to_string().as_bytes())
        .expect(202);
}

/// The lines of a Python client of `path`.
struct Reader(BufReader<ChildStdout>, Child);

impl Reader {
    fn start(python: &Path, server: &Server, path: &str, count: usize) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mesh_clients.py");
        let mut command = Command::new(python);
        command.arg(script).arg(server.addr.to_string()).arg(path).arg(count.to_string());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        Self(BufReader::new(child.stdout.take().unwrap()), child)
    }

    #[track_caller]
    fn next(&mut self, kind: &str) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"));
        assert_eq!(message["type"], kind, "{message}");
        message["data"].clone()
    }

    fn end(mut self) {
        assert!(self.1.wait().unwrap().success());
    }
}

#[test]
fn an_overview_comes_at_once_and_when_something_changed() {
    let Some(python) = python() else { return };
    let server = Server::start();
    send(&server, "agent_registered", &json!({"agent_id": "a", "agent_type": "coder"}));
    send(&server, "agent_error", &json!({"agent_id": "b", "fatal": true}));
    let mut reader = Reader::start(&python, &server, METRICS, 4);
    let first = reader.next("system_overview");
    assert_eq!(
        (&first["total_agents"], &first["active_agents"], &first["failed_agents"]),
        (&json!(2), &json!(1), &json!(1))
    );
    // The clients of these do arithmetic without asking.
    for name in [
        "total_requests",
        "success_rate",
        "average_response_time",
        "cpu_usage",
        "memory_usage",
        "disk_usage",
    ] {
        assert!(first[name].is_number(), "{name} in {first}");
    }
    assert!(
        first["disk_usage"].as_f64().unwrap() > 0.0
            && first["memory_usage"].as_f64().unwrap() > 0.0
    );
    assert!(first["uptime"].is_string() && first["timestamp"].is_string(), "{first}");
    let done = json!({"agent_id": "a", "status": "success", "duration_ms": 2400, "tokens": 7});
    send(&server, "agent_request_completed", &done);
    let took = reader.next("agent_metric");
    assert_eq!(
        (&took["agent_id"], &took["metric_name"], &took["value"]),
        (&json!("a"), &json!("response_time_seconds"), &json!(2.4))
    );
    assert_eq!(
        took["labels"],
        json!({"event_type": "agent_request_completed", "status": "success"})
    );
    assert_eq!(reader.next("agent_metric")["metric_name"], "tokens");
    let second = reader.next("system_overview");
    assert_eq!(
        (&second["total_requests"], &second["average_response_time"]),
        (&json!(1), &json!(2.4))
    );
    reader.end();
}

#[test]
fn an_overview_comes_every_ten_seconds() {
    let server = Server::start();
    let mut ws = Ws::open(server.addr, METRICS, &[]).unwrap();
    assert_eq!(ws.json()["type"], "system_overview");
    let started = Instant::now();
    assert_eq!(ws.json()["type"], "system_overview");
    let after = started.elapsed();
    assert!(after > Duration::from_secs(8) && after < Duration::from_secs(13), "{after:?}");
}

#[test]
fn numbers_of_some_agents() {
    let server = Server::start();
    let mut ws = Ws::open(server.addr, &format!("{METRICS}?agent_ids=b,c"), &[]).unwrap();
    assert_eq!(ws.json()["type"], "system_overview");
    for agent in ["a", "b", "c"] {
        send(&server, "agent_heartbeat", &json!({"agent_id": agent, "load": 1}));
    }
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let it = ws.json();
        if it["type"] == "agent_metric" {
            seen.push(it["data"]["agent_id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(seen, ["b", "c"]);
}

#[test]
fn a_topology_comes_at_once_and_when_it_changed() {
    let Some(python) = python() else { return };
    let server = Server::start();
    send(&server, "agent_collaboration", &json!({"from_agent": "planner", "to_agent": "coder"}));
    let mut reader = Reader::start(&python, &server, TOPOLOGY, 2);
    let first = reader.next("network_topology");
    let ids = |it: &Value| -> Vec<String> {
        it["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&first), ["coder", "planner"]);
    assert_eq!(first["edges"][0]["source"], "planner");
    assert_eq!(first["edges"][0]["metrics"]["message_count"], 1);
    assert_eq!(
        (&first["metrics"]["total_nodes"], &first["nodes"][0]["status"]),
        (&json!(2), &json!("active"))
    );
    // What is about no agent changes nothing.
    send(&server, "ci_build_started", &json!({"project": "web"}));
    send(&server, "agent_collaboration", &json!({"from_agent": "coder", "to_agent": "tester"}));
    assert_eq!(ids(&reader.next("network_topology")), ["coder", "planner", "tester"]);
    reader.end();
}

#[test]
fn who_may_watch_and_from_where() {
    let server =
        Server::start_with(Settings::new().token("read:reader-of-meshes,ingest:sender-of-events"));
    let bearer = [("authorization", "Bearer reader-of-meshes")];
    for path in [METRICS, TOPOLOGY] {
        let refused = |headers: &[(&str, &str)], path: &str| {
            Ws::open(server.addr, path, headers).unwrap_err().status
        };
        assert_eq!(refused(&[], path), 401, "{path}");
        assert_eq!(refused(&[("authorization", "Bearer sender-of-events")], path), 403, "{path}");
        let foreign = [bearer[0], ("origin", "http://evil.example")];
        assert_eq!(refused(&foreign, path), 403, "{path}");
        assert_eq!(refused(&bearer, &format!("{path}?colour=red")), 400, "{path}");
        let answer = server.client().with_header("authorization", bearer[0].1).get(path);
        assert_eq!(answer.status, 426, "{answer:?}");
        let mut client = server.client().with_header("authorization", bearer[0].1);
        let ticket =
            client.post("/api/v1/stream/ticket", "application/json", b"").expect(201).json();
        let path = format!("{path}?ticket={}", ticket["ticket"].as_str().unwrap());
        let mut ws = Ws::open(server.addr, &path, &[]).unwrap();
        assert!(ws.json()["data"].is_object());
        ws.say("ping");
        assert_eq!(ws.hear().unwrap(), Said::Text("pong".to_owned()));
    }
}

#[test]
fn these_sockets_count_as_streams_and_end_with_the_server() {
    let settings = Settings::new().env("OBSERVATORY_STREAM_MAX", "2");
    let mut server = Server::start_with(settings);
    let mut metrics = Ws::open(server.addr, METRICS, &[]).unwrap();
    let mut topology = Ws::open(server.addr, TOPOLOGY, &[]).unwrap();
    assert_eq!(Ws::open(server.addr, METRICS, &[]).unwrap_err().status, 503);
    metrics.json();
    topology.json();
    server.terminate();
    for mut it in [metrics, topology] {
        assert_eq!(it.closed(), (1001, json!({"reason": "stopping"})));
    }
}

#[test]
fn pushes_come_on_the_feed_of_who_asks() {
    let server = Server::start();
    let mut plain = Sse::open(server.addr, "/api/v1/stream", &[]).unwrap();
    let mut ws = Ws::open(server.addr, "/api/v1/ws?pushes=true&match=none", &[]).unwrap();
    let mut sse = Sse::open(server.addr, "/api/v1/stream?pushes=true", &[]).unwrap();
    assert_eq!(ws.json()["type"], "hello");
    for it in [&mut plain, &mut sse] {
        it.until("hello");
    }
    let mut client = server.client();
    client
        .request("PUT", "/metrics/job/build/branch/main", &[], b"a 1\nb{x=\"1\"} 2\n")
        .expect(200);
    client.request("PUT", "/metrics/job/build/branch/main", &[], b"a 1\na 2\n").expect(400);
    client.request("DELETE", "/metrics/job/build/branch/main", &[], b"").expect(202);
    send(&server, "after", &json!({"n": 1}));
    let labels = json!({"branch": "main", "job": "build"});
    for (change, series) in [("pushed", 2), ("rejected", 1), ("deleted", 0)] {
        let it = sse.until("push");
        assert_eq!(
            (&it.data["change"], &it.data["labels"], &it.data["series"]),
            (&json!(change), &labels, &json!(series))
        );
        assert_eq!(it.data["reason"].is_string(), change == "rejected", "{}", it.data);
        // It has no number, so it moves nobody's place.
        assert_eq!(it.id, 0);
        let it = ws.json();
        assert_eq!((&it["type"], &it["push"]["change"]), (&json!("push"), &json!(change)));
    }
    let event = sse.until("event");
    assert_eq!((event.id, &event.data["event_type"]), (1, &json!("after")));
    // Who did not ask is told of events alone.
    let event = plain.next().unwrap().unwrap();
    assert_eq!((event.name.as_str(), &event.data["event_type"]), ("event", &json!("after")));
}

#[test]
fn groups_that_expire_or_are_wiped_are_told() {
    let server = Server::start_with(Settings::new().flag("--web.enable-admin-api"));
    let mut sse = Sse::open(server.addr, "/api/v1/stream?pushes=true", &[]).unwrap();
    sse.until("hello");
    let mut client = server.client();
    client.request("PUT", "/metrics/job/short?ttl=1s", &[], b"a 1\n").expect(200);
    client.request("PUT", "/metrics/job/long", &[], b"b 1\n").expect(200);
    let mut told = Vec::new();
    for _ in 0..3 {
        let it = sse.until("push").data;
        told.push((it["change"].clone(), it["labels"]["job"].clone()));
    }
    client.request("PUT", "/api/v1/admin/wipe", &[], b"").expect(202);
    eventually(Duration::from_secs(10), || {
        let it = sse.until("push").data;
        told.push((it["change"].clone(), it["labels"]["job"].clone()));
        if told.contains(&(json!("deleted"), json!("long"))) {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        }
    });
    assert!(told.contains(&(json!("expired"), json!("short"))), "{told:?}");
}
