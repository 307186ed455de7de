//! Agents that announce an address are found by Prometheus. (That one scrapes them is a part of `path`.)

use crate::support::{Client, Server, Settings};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/sd/agents";

fn send(client: &mut Client, kind: &str, data: &Value) {
    client.event(&json!({"event_type": kind, "source": "s", "data": data})).expect(202);
}

fn targets(client: &mut Client, path: &str) -> Vec<String> {
    let answer = client.get(path).expect(200);
    // Prometheus takes no other type.
    assert_eq!(answer.header("content-type"), "application/json");
    let target = |it: &Value| it["targets"][0].as_str().unwrap().to_owned();
    answer.json().as_array().unwrap().iter().map(target).collect()
}

#[test]
fn agents_with_an_address_are_targets() {
    let mut server = Server::start();
    let mut client = server.client();
    assert_eq!(targets(&mut client, PATH), Vec::<String>::new());
    let agent = json!({"agent_id": "coder", "agent_type": "coder", "version": "1.2", "metrics_url": "https://10.0.0.5:9200/m?x=1"});
    send(&mut client, "agent_registered", &agent);
    send(
        &mut client,
        "agent_registered",
        &json!({"agent_id": "b", "metrics_address": "[fd00::7]:9200"}),
    );
    send(&mut client, "agent_registered", &json!({"agent_id": "silent"}));
    send(
        &mut client,
        "agent_registered",
        &json!({"agent_id": "evil", "metrics_url": "http://169.254.169.254/"}),
    );
    let answer = client.get(PATH).expect(200).json();
    let expected = json!([
        {"targets": ["[fd00::7]:9200"], "labels": {"agent": "b", "__scheme__": "http", "__metrics_path__": "/metrics", "__meta_observatory_agent_source": "s"}},
        {"targets": ["10.0.0.5:9200"], "labels": {"agent": "coder", "__scheme__": "https", "__metrics_path__": "/m", "__param_x": "1",
            "__meta_observatory_agent_source": "s", "__meta_observatory_agent_type": "coder", "__meta_observatory_agent_version": "1.2"}},
    ]);
    assert_eq!(answer, expected);
    // A restart changes nothing.
    server.kill9();
    server.restart();
    let mut client = server.client();
    assert_eq!(client.get(PATH).expect(200).json(), expected);
    // Who says good-bye is gone; who moves is found where it is.
    send(&mut client, "agent_terminated", &json!({"agent_id": "b"}));
    send(
        &mut client,
        "agent_registered",
        &json!({"agent_id": "coder", "metrics_url": "http://10.0.0.6:9200/m"}),
    );
    assert_eq!(targets(&mut client, PATH), ["10.0.0.6:9200"]);
}

#[test]
fn who_was_not_heard_of_for_long_is_no_target() {
    let server = Server::start();
    let mut client = server.client();
    let at =
        |hours: i64| (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours)).to_string();
    for (name, hours) in [("old", 30), ("older", 24 * 8), ("new", 1)] {
        let data = json!({"agent_id": name, "metrics_url": format!("http://{name}:1/")});
        client
            .event(&json!({"event_type": "agent_registered", "source": "s", "timestamp": at(hours), "data": data}))
            .expect(202);
    }
    assert_eq!(targets(&mut client, PATH), ["new:1"]);
    assert_eq!(targets(&mut client, &format!("{PATH}?within=7d")), ["new:1", "old:1"]);
    assert_eq!(targets(&mut client, &format!("{PATH}?within=30m")), Vec::<String>::new());
    // Any event of an agent says that it lives.
    send(&mut client, "agent_request_completed", &json!({"agent_id": "old"}));
    assert_eq!(targets(&mut client, &format!("{PATH}?within=30m")), ["old:1"]);
    for wrong in ["within=8d", "within=0s", "within=x", "since=1h"] {
        client.get(&format!("{PATH}?{wrong}")).expect(400);
    }
}

#[test]
fn a_token_is_asked_for() {
    let secret = "a-token-that-is-long-enough-for-anybody";
    let server = Server::start_with(Settings::new().token(secret));
    server.client().get(PATH).expect(401);
    let mut client = server.client().with_header("authorization", &format!("Bearer {secret}"));
    assert_eq!(targets(&mut client, PATH), Vec::<String>::new());
}
