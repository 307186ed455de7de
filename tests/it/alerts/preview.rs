//! What rules would have done.

use super::{RULES, build, post};
use crate::support::{Client, Server};
use serde_json::{Value, json};
use std::{thread, time::Duration};

fn preview(client: &mut Client, rule: &Value, since: &str) -> Value {
    let mut rule = rule.clone();
    rule["name"] = json!("P");
    post(client, &format!("{RULES}/preview?since={since}"), &rule)
}

fn changes(preview: &Value) -> Vec<&str> {
    let transitions = preview["transitions"].as_array().unwrap();
    transitions.iter().map(|it| it["change"].as_str().unwrap()).collect()
}

/// Events become metrics once more, beside those of the server, for every kind of rule.
#[test]
fn every_kind_that_events_feed_has_a_past() {
    let server = Server::start();
    let mut client = server.client();
    for n in 0..16 {
        build(&mut client, "web", if n % 2 == 0 { "failed" } else { "success" });
    }
    client.event(&json!({"event_type": "beat", "source": "t", "data": {"host": "a"}})).expect(202);
    // Something must be overdue, and a tick of the clock be between.
    thread::sleep(Duration::from_millis(3200));
    let failures = "ci_builds_total{result=\"failure\"}";
    let page = client.get("/metrics").expect(200).text();
    assert!(page.contains("ci_builds_total{"), "{page}");
    let check = |client: &mut Client, rule: Value, since: &str, expected: &[&str]| {
        let found = preview(client, &rule, since);
        assert_eq!(changes(&found), expected, "{rule}: {found}");
        assert_eq!((&found["truncated"], &found["truncated_by"]), (&json!(false), &json!(null)));
        found
    };
    let value = json!({"metric_name": failures, "threshold": 7});
    let found = check(&mut client, value, "1h", &["firing"]);
    assert_eq!((&found["transitions"][0]["value"], &found["firings"]), (&json!(8.0), &json!(1)));
    // A value that was set before is known.
    check(&mut client, json!({"metric_name": failures, "threshold": 7}), "1s", &["firing"]);
    check(&mut client, json!({"metric_name": failures, "threshold": 8}), "1h", &[]);
    let increase = json!({"metric_name": failures, "function": "increase", "window": "1m", "threshold": 7, "group_by": ["project"]});
    let found = check(&mut client, increase, "1h", &["firing"]);
    assert_eq!(found["transitions"][0]["labels"]["project"], "web");
    let ratio = json!({"kind": "ratio", "numerator": failures, "denominator": "ci_builds_total", "threshold": 0.4, "window": "1m", "min_denominator": 10});
    check(&mut client, ratio, "1h", &["firing"]);
    let burn = json!({"kind": "burn_rate", "numerator": failures, "denominator": "ci_builds_total", "objective": 0.9,
        "windows": [{"long": "1m", "short": "30s", "factor": 2}]});
    check(&mut client, burn.clone(), "1h", &["firing"]);
    let mut slower = burn;
    slower["windows"][0]["factor"] = json!(6);
    check(&mut client, slower, "1h", &[]);
    let absence = json!({"kind": "absence", "match": "beat", "group_by": ["host"], "every": "1s", "grace": "1s"});
    let found = check(&mut client, absence, "1h", &["firing"]);
    assert_eq!(found["transitions"][0]["labels"]["host"], "a");
    let event = json!({"kind": "event", "match": "ci_build_completed{status=\"failed\"}", "resolve": "ci_build_completed{status=\"success\"}"});
    let found = preview(&mut client, &event, "1h");
    assert_eq!((found["firings"].as_u64(), changes(&found).len()), (Some(8), 16));
    // Nothing of it is left: no rule, no alert.
    let rules = client.get(RULES).expect(200).json();
    assert!(rules["rules"].as_array().unwrap().iter().all(|it| it["name"] != "P"));
}

#[test]
fn a_preview_ends_when_it_has_found_enough() {
    let server = Server::start();
    let mut client = server.client();
    let event = |n: usize| json!({"event_type": "flip", "source": "t", "data": {"up": n % 2}});
    for chunk in (0..1500).collect::<Vec<_>>().chunks(500) {
        let body: Vec<_> = chunk.iter().map(|n| event(*n)).collect();
        let body = serde_json::to_vec(&body).unwrap();
        client.post("/api/v1/events", "application/json", &body).expect(202);
    }
    let rule = json!({"kind": "event", "match": "flip{up=\"1\"}", "resolve": "flip{up=\"0\"}"});
    let found = preview(&mut client, &rule, "1h");
    assert_eq!(
        (changes(&found).len(), &found["truncated"], &found["truncated_by"]),
        (1000, &json!(true), &json!("transitions"))
    );
    assert!(found["covered_until"].as_str().unwrap() < found["until"].as_str().unwrap(), "{found}");
    // A long past is looked at in larger steps, and in time.
    let begun = std::time::Instant::now();
    let rule = json!({"metric_name": "events_total", "threshold": 1, "function": "rate"});
    let path = format!("{RULES}/preview?since=3650d");
    let mut named = rule;
    named["name"] = json!("P");
    let answer = client.post(&path, "application/json", named.to_string().as_bytes());
    assert!(matches!(answer.status, 200 | 422), "{}", answer.text());
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

/// What is no rule is refused whole, whatever it is.
#[test]
fn hostile_rules_are_refused_in_time() {
    let server = Server::start();
    let mut client = server.client();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let long = "a".repeat(3 << 20);
    let bodies = [
        "".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{\"name\"".to_owned(),
        "\u{0}".to_owned(),
        deep.clone(),
        format!("{{\"name\": {deep}}}"),
        json!({"name": "x", "metric_name": "a", "threshold": 1, "window": "99999999999999d"}).to_string(),
        json!({"name": "x", "metric_name": "a", "threshold": 1, "for": -1}).to_string(),
        json!({"name": "x", "kind": "event", "match": format!("x{{a=~\"{}\"}}", "(".repeat(5000))}).to_string(),
        json!({"name": "x", "kind": "event", "match": long.clone()}).to_string(),
        json!({"name": long, "metric_name": "a", "threshold": 1}).to_string(),
        json!({"name": "x", "metric_name": "a", "threshold": "NaN"}).to_string(),
        json!({"name": "x", "metric_name": "a", "threshold": 1, "labels": {"__name__": {"a": 1}}}).to_string(),
        json!({"name": "x", "metric_name": "a", "threshold": 1, "escalation": [{"after": "1s", "notification_channels": "all"}]}).to_string(),
    ];
    for body in &bodies {
        for path in [RULES.to_owned(), format!("{RULES}/preview")] {
            let answer = client.post(&path, "application/json", body.as_bytes());
            let shown = &body[..body.len().min(60)];
            assert!((400..500).contains(&answer.status), "{path} {shown}: {}", answer.status);
            if answer.header("connection").eq_ignore_ascii_case("close") {
                client = server.client();
            }
        }
    }
    client = server.client();
    assert_eq!(client.get("/api/v1/monitoring/alerts").expect(200).json()["total"], 0);
}

#[test]
fn hostile_words_are_refused_and_change_nothing() {
    let server = Server::start();
    let mut client = server.client();
    build(&mut client, "web", "failed");
    let alert = super::found("the alert", || super::active(&mut client).pop());
    let path = format!("/api/v1/monitoring/alerts/{}", alert["id"].as_str().unwrap());
    let long = "x".repeat(5000);
    let words = [
        json!({"comment": long}),
        json!({"author": long}),
        json!({"comment": 1}),
        json!({"kommentar": "x"}),
        json!([]),
    ];
    for word in &words {
        for action in ["acknowledge", "resolve"] {
            let path = format!("{path}/{action}");
            let answer = client.post(&path, "application/json", word.to_string().as_bytes());
            assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        }
    }
    let mut until = json!({"matchers": [{"name": "a", "value": "b", "isRegex": false}],
        "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "ann", "comment": long});
    let refused = |client: &mut Client, path: &str, body: &Value| {
        let answer = client.post(path, "application/json", body.to_string().as_bytes());
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
    };
    refused(&mut client, "/api/v2/silences", &until);
    until["comment"] = json!("c");
    until["matchers"][0]["value"] = json!("x".repeat(20_000));
    refused(&mut client, "/api/v2/silences", &until);
    for duration in [json!(0), json!(-1), json!("soon"), json!(1e300), json!(null)] {
        refused(&mut client, &format!("{path}/silence"), &json!({"duration": duration}));
    }
    let labels: serde_json::Map<_, _> = (0..200).map(|n| (format!("l{n}"), json!("v"))).collect();
    refused(&mut client, "/api/v2/alerts", &json!([{"labels": labels}]));
    let annotations = json!({"summary": "x".repeat(70_000)});
    refused(
        &mut client,
        "/api/v2/alerts",
        &json!([{"labels": {"alertname": "x"}, "annotations": annotations}]),
    );
    assert_eq!(super::active(&mut client), [alert]);
    assert_eq!(client.get("/api/v2/silences").expect(200).json(), json!([]));
}
