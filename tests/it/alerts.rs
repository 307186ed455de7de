//! Alerts over the API: what fires, what people do about it, and what survives kill -9.

mod backup;
mod preview;
mod restart;
mod told;
mod watch;

use crate::support::{Client, Peer, Server, eventually, tools};
use serde_json::{Value, json};
use std::{
    process::Command,
    time::{Duration, Instant},
};

const RULES: &str = "/api/v1/monitoring/alert-rules";
const ALERTS: &str = "/api/v1/monitoring/alerts";

fn post(client: &mut Client, path: &str, body: &Value) -> Value {
    let response = client.post(path, "application/json", body.to_string().as_bytes());
    assert!(
        (200..300).contains(&response.status),
        "{path}: {} {}",
        response.status,
        response.text()
    );
    response.json()
}

fn active(client: &mut Client) -> Vec<Value> {
    client.get(ALERTS).expect(200).json()["alerts"].as_array().unwrap().clone()
}

/// Waits until `probe` finds something.
#[track_caller]
fn found<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    eventually(Duration::from_secs(10), || probe().ok_or(what))
}

fn build(client: &mut Client, project: &str, status: &str) {
    let data = json!({"project": project, "branch": "main", "status": status});
    client
        .event(&json!({"event_type": "ci_build_completed", "source": "ci", "data": data}))
        .expect(202);
}

#[test]
fn a_failed_build_is_an_alert_at_once_and_the_next_good_one_ends_it() {
    let server = Server::start();
    let mut client = server.client();
    let begun = Instant::now();
    build(&mut client, "web", "failed");
    let alert = found("the alert", || active(&mut client).pop());
    // Milliseconds on a machine that does nothing else; never the second of a tick.
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(
        (&alert["rule_id"], &alert["status"], &alert["severity"]),
        (&json!("failed-build"), &json!("active"), &json!("high"))
    );
    assert_eq!(alert["message"], "web: the build of main failed");
    let path = format!("{ALERTS}/{}", alert["id"].as_str().unwrap());
    let acknowledged = post(
        &mut client,
        &format!("{path}/acknowledge"),
        &json!({"comment": "mine", "author": "ann"}),
    );
    assert_eq!(
        (&acknowledged["status"], &acknowledged["acknowledged"]["by"]),
        (&json!("acknowledged"), &json!("ann"))
    );
    let silenced = post(&mut client, &format!("{path}/silence"), &json!({"duration": 3600}));
    assert_eq!(silenced["alert"]["status"], "silenced");
    build(&mut client, "web", "success");
    found("the end", || active(&mut client).is_empty().then_some(()));
    let over = client.get(&format!("{ALERTS}?status=resolved")).expect(200).json();
    assert_eq!((&over["total"], &over["alerts"][0]["id"]), (&json!(1), &alert["id"]));
    let history = client.get(&format!("{ALERTS}/history")).expect(200).json();
    let changes: Vec<_> = history["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| if it["change"].is_null() { it["action"].clone() } else { it["change"].clone() })
        .collect();
    assert_eq!(changes, [json!("resolved"), json!("acknowledged"), json!("firing")]);
    client.get(&format!("{ALERTS}/nothing")).expect(404);
    client.get(&format!("{ALERTS}?colour=red")).expect(400);
}

/// The example of seed 004, from its making to its removal.
#[test]
fn rules_are_made_over_the_api_and_values_above_their_threshold_fire() {
    let server = Server::start();
    let mut client = server.client();
    let example = json!({"name": "High CPU Usage", "description": "CPU usage is above 80%", "metric_name": "cpu_usage",
        "operator": "gt", "threshold": 80.0, "severity": "high", "enabled": true, "notification_channels": ["email", "slack"],
        "labels": {"team": "platform", "component": "system"}});
    let rule = post(&mut client, RULES, &example);
    let path = format!("{RULES}/{}", rule["id"].as_str().unwrap());
    assert_eq!((&rule["operator"], &rule["origin"]), (&json!("gt"), &json!("api")));
    assert!(rule["created_at"].is_string() && rule["updated_at"].is_string());
    assert_eq!(client.post(RULES, "application/json", example.to_string().as_bytes()).status, 409);
    let wrong = client
        .post(
            RULES,
            "application/json",
            br#"{"name":"x","metric_name":"y","operator":"above","treshold":1}"#,
        )
        .expect(422)
        .json();
    assert_eq!(wrong["fields"].as_array().unwrap().len(), 2, "{wrong}");
    client.post("/metrics/job/machine", "text/plain", b"cpu_usage 80\n").expect(200);
    let evaluated = client.get(&format!("{path}/evaluate")).expect(200).json();
    assert_eq!(
        (&evaluated["current_value"], &evaluated["firing"]),
        (&json!(80.0), &json!(false)),
        "{evaluated}"
    );
    assert_eq!(evaluated["reason"], "no value of 1 is > 80");
    client.post("/metrics/job/machine", "text/plain", b"cpu_usage 81\n").expect(200);
    let alert = found("the alert", || active(&mut client).pop());
    assert_eq!(
        (&alert["labels"]["team"], &alert["current_value"], &alert["threshold"]),
        (&json!("platform"), &json!(81.0), &json!(80.0))
    );
    // A page of Prometheus and the list of rules have it too.
    let prometheus = client.get("/api/v1/alerts").expect(200).json();
    assert_eq!(
        (&prometheus["status"], &prometheus["data"]["alerts"][0]["state"]),
        (&json!("success"), &json!("firing"))
    );
    let rules = client.get("/api/v1/rules?type=alert").expect(200).json();
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap().clone();
    assert!(rules.iter().any(|it| it["name"] == "High CPU Usage" && it["state"] == "firing"));
    let off = client
        .request("PUT", &path, &[("content-type", "application/json")], br#"{"enabled":false}"#)
        .expect(200)
        .json();
    assert_eq!((&off["enabled"], &off["threshold"]), (&json!(false), &json!(80.0)));
    assert!(active(&mut client).is_empty());
    let removed = client.request("DELETE", &path, &[], b"").expect(200).json();
    assert_eq!(removed["deleted"], true);
    client.get(&path).expect(404);
}

#[test]
fn a_preview_says_what_would_have_happened() {
    let server = Server::start();
    let mut client = server.client();
    for status in ["failed", "success", "failed"] {
        build(&mut client, "api", status);
    }
    let rule = json!({"name": "P", "kind": "event", "match": "ci_build_completed{status=\"failed\"}", "resolve": "ci_build_completed{status=\"success\"}", "group_by": ["project"]});
    let preview = post(&mut client, &format!("{RULES}/preview?since=1h"), &rule);
    let changes: Vec<_> =
        preview["transitions"].as_array().unwrap().iter().map(|it| it["change"].clone()).collect();
    assert_eq!(changes, ["firing", "resolved", "firing"]);
    let rule = json!({"name": "M", "metric_name": "ci_builds_total{result=\"failure\"}", "function": "increase", "threshold": 1});
    let preview = post(&mut client, &format!("{RULES}/preview?since=1m"), &rule);
    assert_eq!(preview["events"], 3);
    let pushed = json!({"name": "C", "metric_name": "cpu_usage", "threshold": 1});
    client
        .post(&format!("{RULES}/preview"), "application/json", pushed.to_string().as_bytes())
        .expect(422);
}

/// What was answered 200 is there after kill -9, every time.
#[test]
fn silences_and_acknowledgements_survive_kill_9_right_after_their_200() {
    let mut server = Server::start();
    build(&mut server.client(), "web", "failed");
    let mut silences = Vec::new();
    for round in 0..20 {
        let mut client = server.client();
        let alert = found("the alert", || active(&mut client).pop());
        let id = alert["id"].as_str().unwrap().to_owned();
        let comment = format!("round {round}");
        let silence = json!({"matchers": [{"name": "alertname", "value": format!("a{round}"), "isRegex": false}],
            "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "ann", "comment": comment});
        silences.push(post(&mut client, "/api/v2/silences", &silence)["silenceID"].clone());
        post(&mut client, &format!("{ALERTS}/{id}/acknowledge"), &json!({"comment": comment}));
        server.kill9();
        server.restart();
        let mut client = server.client();
        let alert = client.get(&format!("{ALERTS}/{id}")).expect(200).json();
        assert_eq!(
            (&alert["status"], &alert["acknowledged"]["comment"]),
            (&json!("acknowledged"), &json!(comment))
        );
        let listed = client.get("/api/v2/silences").expect(200).json();
        let listed: Vec<_> = listed.as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
        assert!(silences.iter().all(|it| listed.contains(it)), "round {round}");
    }
}

#[test]
fn web_hooks_of_alertmanager_become_events_once() {
    let server = Server::start();
    let mut client = server.client();
    let alert = |status: &str| {
        json!({"status": status, "labels": {"alertname": "Down", "severity": "critical"}, "annotations": {},
        "startsAt": "2026-01-05T10:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": "0123456789abcdef"})
    };
    let hook = |alerts: Vec<Value>| json!({"version": "4", "receiver": "r", "status": "firing", "alerts": alerts, "groupLabels": {}, "truncatedAlerts": 0, "notification_reason": "x"});
    let take = |client: &mut Client, body: &Value| post(client, "/api/v1/alertmanager", body);
    assert_eq!(
        take(&mut client, &hook(vec![alert("firing")])),
        json!({"accepted": 1, "duplicates": 0})
    );
    assert_eq!(
        take(&mut client, &hook(vec![alert("firing"), alert("resolved")])),
        json!({"accepted": 1, "duplicates": 1})
    );
    let events = client.get("/api/v1/events?source=alertmanager&order=asc").expect(200).json();
    let events = events["events"].as_array().unwrap();
    assert_eq!(
        (events.len(), &events[0]["event_type"], &events[1]["event_type"]),
        (2, &json!("alert_firing"), &json!("alert_resolved"))
    );
    client.post("/api/v1/alertmanager", "application/json", b"{}").expect(400);
}

/// amtool as Debian has it (0.25): every command that talks to a server.
#[test]
fn amtool_lists_and_silences() {
    let Some(amtool) = tools::amtool(Peer::System) else { return };
    let server = Server::start();
    let url = format!("--alertmanager.url=http://{}", server.addr);
    let amtool = |arguments: &[&str]| {
        let output = Command::new(&amtool).args(arguments).arg(&url).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    build(&mut server.client(), "web", "failed");
    found("the alert", || active(&mut server.client()).pop());
    assert!(
        amtool(&["alert", "query", "-o", "simple"]).contains("Build failed on a default branch")
    );
    amtool(&["alert", "add", "Disk", "severity=critical", "--annotation=summary=full"]);
    let listed = amtool(&["alert", "query", "alertname=Disk", "-o", "json"]);
    assert!(
        listed.contains("\"summary\":\"full\"") && !listed.contains("Build failed"),
        "{listed}"
    );
    let id = amtool(&[
        "silence",
        "add",
        "alertname=Disk",
        "--comment=c",
        "--author=ann",
        "--duration=1h",
    ]);
    let id = id.trim();
    assert!(amtool(&["silence", "query"]).contains(id));
    assert!(!amtool(&["alert", "query", "-o", "simple"]).contains("Disk"));
    assert!(amtool(&["alert", "query", "--silenced", "-o", "simple"]).contains("Disk"));
    amtool(&["silence", "update", id, "--duration=2h"]);
    amtool(&["silence", "expire", id]);
    assert!(amtool(&["alert", "query", "-o", "simple"]).contains("Disk"));
    assert!(amtool(&["config", "routes", "show"]).contains("observatory"));
    amtool(&["cluster", "show"]);
}
