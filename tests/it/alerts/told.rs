//! Who is told of alerts, who is not, and why.

use super::{ALERTS, RULES, active, build, found, post};
use crate::notify::sink::Sink;
use crate::support::{Client, Server, Settings, eventually};
use serde_json::{Value, json};
use std::{thread, time::Duration};

const CHANNELS: &str = "/api/v1/monitoring/notification-channels";
const LOG: &str = "/api/v1/monitoring/notifications";

/// A server that may tell people on this machine, and tells them at once.
fn settings() -> Settings {
    Settings::new()
        .env("OBSERVATORY_NOTIFY_ALLOW_PRIVATE_TARGETS", "true")
        .env("OBSERVATORY_NOTIFY_GROUP_WAIT", "0s")
        .env("OBSERVATORY_NOTIFY_GROUP_INTERVAL", "0s")
}

fn channel(client: &mut Client, name: &str, url: &str, enabled: bool) -> String {
    let body = json!({"name": name, "type": "webhook", "enabled": enabled, "config": {"url": url}});
    post(client, CHANNELS, &body)["id"].as_str().unwrap().to_owned()
}

/// An event rule whose alerts are one per `project`.
fn rule(name: &str, more: &Value) -> Value {
    let mut rule = json!({"name": name, "kind": "event", "severity": "critical", "group_by": ["project"],
        "match": format!("{name}{{status=\"failed\"}}"), "resolve": format!("{name}{{status=\"ok\"}}")});
    for (key, value) in more.as_object().unwrap() {
        rule[key] = value.clone();
    }
    rule
}

fn event(client: &mut Client, kind: &str, project: &str, status: &str) {
    let data = json!({"project": project, "status": status});
    client.event(&json!({"event_type": kind, "source": "t", "data": data})).expect(202);
}

/// The alert that is firing for `project`.
#[track_caller]
fn alert(client: &mut Client, project: &str) -> Value {
    found("the alert", || active(client).into_iter().find(|it| it["labels"]["project"] == project))
}

/// Waits until the log of `alert` has these entries: channel, kind, state, reason.
#[track_caller]
fn log(client: &mut Client, alert: &Value, expected: &[(&str, &str, &str, &str)]) {
    let path = format!("{LOG}?alert={}", alert["id"].as_str().unwrap());
    eventually(Duration::from_secs(10), || {
        let page = client.get(&path).expect(200).json();
        let text = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
        let mut found: Vec<_> = page["notifications"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| ["channel", "kind", "state", "reason"].map(|name| text(it, name)))
            .collect();
        found.sort();
        let mut wanted: Vec<_> =
            expected.iter().map(|it| [it.0, it.1, it.2, it.3].map(str::to_owned)).collect();
        wanted.sort();
        if found == wanted { Ok(()) } else { Err(found) }
    });
}

#[test]
fn the_log_says_who_was_not_told_and_why() {
    let sink = Sink::start(|_| (200, ""));
    let server = Server::start_with(settings());
    let mut client = server.client();
    channel(&mut client, "on", &sink.url(), true);
    channel(&mut client, "off", &sink.url(), false);
    post(&mut client, RULES, &rule("x", &json!({"repeat_interval": "1s"})));
    post(&mut client, RULES, &rule("muted", &json!({"mute_times": [{}]})));
    let silence = post(
        &mut client,
        "/api/v2/silences",
        &json!({"matchers": [{"name": "project", "value": "quiet", "isRegex": false}],
            "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "ann", "comment": "c"}),
    );
    let silenced = format!("silenced by {}", silence["silenceID"].as_str().unwrap());
    event(&mut client, "x", "quiet", "failed");
    let quiet = alert(&mut client, "quiet");
    log(
        &mut client,
        &quiet,
        &[("on", "firing", "suppressed", &silenced), ("off", "firing", "suppressed", &silenced)],
    );
    event(&mut client, "muted", "night", "failed");
    let night = alert(&mut client, "night");
    let muted = "a mute time of the rule holds";
    log(
        &mut client,
        &night,
        &[("on", "firing", "suppressed", muted), ("off", "firing", "suppressed", muted)],
    );
    // Loud: one is told, the other is switched off. Acknowledged before it would be told again.
    event(&mut client, "x", "loud", "failed");
    let loud = alert(&mut client, "loud");
    let path = format!("{ALERTS}/{}/acknowledge", loud["id"].as_str().unwrap());
    post(&mut client, &path, &json!({"author": "ann"}));
    let (off, by) = ("the channel is switched off", "acknowledged by ann");
    log(
        &mut client,
        &loud,
        &[
            ("on", "firing", "sent", ""),
            ("off", "firing", "suppressed", off),
            ("on", "repeat", "suppressed", by),
            ("off", "repeat", "suppressed", by),
        ],
    );
    // Flapping: the third time it fires nobody hears of it.
    for status in ["failed", "ok", "failed", "ok", "failed"] {
        event(&mut client, "x", "flap", status);
        thread::sleep(Duration::from_millis(20));
    }
    let flap = alert(&mut client, "flap");
    let flapping = "it fires again and again (flap_window)";
    log(
        &mut client,
        &flap,
        &[("on", "firing", "suppressed", flapping), ("off", "firing", "suppressed", flapping)],
    );
    let suppressed = server
        .metrics()
        .of("observatory_notifications_total")
        .any(|it| it.0.contains("suppressed"));
    assert!(suppressed, "{:?}", server.metrics().names());
}

#[test]
fn who_does_not_answer_in_time_is_not_the_last_to_be_told() {
    let (first, second) = (Sink::start(|_| (200, "")), Sink::start(|_| (200, "")));
    let mut server = Server::start_with(settings());
    let mut client = server.client();
    channel(&mut client, "first", &first.url(), true);
    channel(&mut client, "second", &second.url(), true);
    let steps = json!({"notification_channels": ["first"], "repeat_interval": "0s",
        "escalation": [{"after": "4s", "notification_channels": ["second"]}]});
    post(&mut client, RULES, &rule("x", &steps));
    for project in ["seen", "unseen"] {
        event(&mut client, "x", project, "failed");
    }
    let seen = alert(&mut client, "seen");
    let unseen = alert(&mut client, "unseen");
    post(
        &mut client,
        &format!("{ALERTS}/{}/acknowledge", seen["id"].as_str().unwrap()),
        &json!({}),
    );
    log(&mut client, &unseen, &[("first", "firing", "sent", "")]);
    assert!(second.got().is_empty());
    // The time goes on while it is down, and what was told is known.
    server.kill9();
    server.restart();
    let mut client = server.client();
    let told = [("first", "firing", "sent", ""), ("second", "escalation", "sent", "")];
    log(&mut client, &unseen, &told);
    let by = "acknowledged by anonymous";
    log(
        &mut client,
        &seen,
        &[("first", "firing", "sent", ""), ("second", "escalation", "suppressed", by)],
    );
    // Both hear of the end of what both were told of; of the other only the first.
    for project in ["seen", "unseen"] {
        event(&mut client, "x", project, "ok");
    }
    log(
        &mut client,
        &unseen,
        &[told[0], told[1], ("first", "resolved", "sent", ""), ("second", "resolved", "sent", "")],
    );
    log(
        &mut client,
        &seen,
        &[
            ("first", "firing", "sent", ""),
            ("second", "escalation", "suppressed", by),
            ("first", "resolved", "sent", ""),
        ],
    );
    assert_eq!(second.got().iter().filter(|it| it.body.contains("unseen")).count(), 2);
    assert!(second.got().iter().all(|it| !it.body.contains("\"seen\"")));
}

#[test]
fn a_rule_that_goes_while_the_server_is_down_ends_its_alerts() {
    let sink = Sink::start(|_| (200, ""));
    let rules =
        json!([rule("x", &json!({"notification_channels": ["on"]})), rule("y", &json!({}))]);
    let with = |rules: &Value| settings().env("OBSERVATORY_ALERTS_RULES", &rules.to_string());
    let mut server = Server::start_with(with(&rules));
    let mut client = server.client();
    channel(&mut client, "on", &sink.url(), true);
    channel(&mut client, "other", &sink.url(), true);
    for kind in ["x", "y"] {
        event(&mut client, kind, kind, "failed");
    }
    let (gone, off) = (alert(&mut client, "x"), alert(&mut client, "y"));
    log(&mut client, &gone, &[("on", "firing", "sent", "")]);
    server.terminate();
    let mut off_rule = rules[1].clone();
    off_rule["enabled"] = json!(false);
    server.restart_with(with(&json!([off_rule])));
    let mut client = server.client();
    // Who was told hears of the end, although nobody knows the rule any more.
    log(&mut client, &gone, &[("on", "firing", "sent", ""), ("on", "resolved", "sent", "")]);
    assert_eq!(active(&mut client), Vec::<Value>::new());
    let history = client.get(&format!("{ALERTS}/history?limit=2")).expect(200).json();
    let mut ends: Vec<_> = history["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            assert_eq!(it["change"], "resolved");
            (it["alert"]["id"].clone(), it["reason"].clone(), it["alert"]["severity"].clone())
        })
        .collect();
    ends.sort_by_key(|it| it.1.to_string());
    assert_eq!(
        ends,
        [
            (gone["id"].clone(), json!("rule removed"), json!("critical")),
            (off["id"].clone(), json!("rule switched off"), json!("critical")),
        ]
    );
    // Once.
    server.terminate();
    server.restart();
    let mut client = server.client();
    log(&mut client, &gone, &[("on", "firing", "sent", ""), ("on", "resolved", "sent", "")]);
}

#[test]
fn a_channel_that_rules_name_is_not_removed_by_the_way() {
    let server = Server::start_with(settings());
    let mut client = server.client();
    let id = channel(&mut client, "ops", "http://127.0.0.1:9/", true);
    post(&mut client, RULES, &rule("x", &json!({"notification_channels": ["ops"]})));
    let steps = json!({"escalation": [{"after": "1m", "notification_channels": [id]}]});
    post(&mut client, RULES, &rule("y", &steps));
    let path = format!("{CHANNELS}/{id}");
    let refused = client.request("DELETE", &path, &[], b"").expect(409).json();
    assert_eq!(
        refused["message"],
        "the alert rules \"x\", \"y\" tell \"ops\": change them, or remove it all the same with ?force=true"
    );
    client.request("DELETE", &format!("{path}?froce=true"), &[], b"").expect(400);
    let removed =
        client.request("DELETE", &format!("{path}?force=true"), &[], b"").expect(200).json();
    assert_eq!(removed["deleted"], true);
    let rule = client.get(&format!("{RULES}/x")).expect(200).json();
    assert_eq!(rule["missing_channels"], json!(["ops"]));
    // What an answer carries comes back with it.
    let again = rule.to_string();
    let headers = [("content-type", "application/json")];
    client.request("PUT", &format!("{RULES}/x"), &headers, again.as_bytes()).expect(200);
    client.request("DELETE", &path, &[], b"").expect(404);
    let free = channel(&mut client, "free", "http://127.0.0.1:9/", true);
    client.request("DELETE", &format!("{CHANNELS}/{free}"), &[], b"").expect(200);
}

#[test]
fn a_list_counts_all_and_goes_on_to_its_end() {
    let server = Server::start();
    let mut client = server.client();
    for n in 0..7 {
        build(&mut client, &format!("p{n}"), "failed");
    }
    for n in 0..3 {
        build(&mut client, &format!("p{n}"), "success");
    }
    found("the ends", || (active(&mut client).len() == 4).then_some(()));
    let check = |client: &mut Client, query: &str, expected: usize, pages: usize| {
        let (mut ids, mut cursor, mut n) = (Vec::new(), String::new(), 0);
        loop {
            let page = client.get(&format!("{ALERTS}?limit=2{query}{cursor}")).expect(200).json();
            assert_eq!(page["total"], expected, "{query}");
            assert!(page["total_is_at_least"].is_null());
            let alerts = page["alerts"].as_array().unwrap();
            assert!(alerts.len() <= 2);
            ids.extend(alerts.iter().map(|it| it["id"].to_string()));
            n += 1;
            match page["next_cursor"].as_str() {
                Some(it) => cursor = format!("&cursor={it}"),
                None => break,
            }
        }
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), all, n <= pages), (expected, expected, true), "{query}: {n} pages");
    };
    check(&mut client, "", 4, 2);
    check(&mut client, "&status=resolved", 3, 3);
    check(&mut client, "&status=all", 7, 6);
    check(&mut client, "&status=all&label=project=p1", 1, 2);
    check(&mut client, "&severity=low", 0, 1);
    for wrong in ["a-", "a-00", "zz", "a-zz"] {
        client.get(&format!("{ALERTS}?cursor={wrong}")).expect(400);
    }
}
