//! What survives a kill -9, and what is not told again after it.

use super::{ALERTS, RULES, active, build, found, post};
use crate::notify::sink::Sink;
use crate::support::{Client, Server, Settings, eventually};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    thread,
    time::{Duration, Instant},
};

/// What is promised ten times a round; `OBSERVATORY_SOAK_ROUNDS` rounds in a soak.
#[test]
fn two_hundred_promises_are_kept() {
    #[expect(clippy::disallowed_methods, reason = "the tests read what CI and people set")]
    let rounds = std::env::var("OBSERVATORY_SOAK_ROUNDS").ok().map(|it| it.parse().unwrap());
    let mut server = Server::start();
    for n in 0..5 {
        build(&mut server.client(), &format!("p{n}"), "failed");
    }
    let mut kept = 0;
    let mut silences = HashSet::new();
    for round in 0..rounds.unwrap_or(20_usize) {
        let mut client = server.client();
        let alerts = found("the alerts", || Some(active(&mut client)).filter(|it| it.len() == 5));
        let comment = format!("round {round}");
        for (n, alert) in alerts.iter().enumerate() {
            let path = format!("{ALERTS}/{}/acknowledge", alert["id"].as_str().unwrap());
            post(&mut client, &path, &json!({"comment": comment}));
            let silence = json!({"matchers": [{"name": "a", "value": format!("{round}-{n}"), "isRegex": false}],
                "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "ann", "comment": comment});
            let made = post(&mut client, "/api/v2/silences", &silence);
            silences.insert(made["silenceID"].as_str().unwrap().to_owned());
        }
        server.kill9();
        server.restart();
        let mut client = server.client();
        let acknowledged = active(&mut client);
        kept += acknowledged.iter().filter(|it| it["acknowledged"]["comment"] == *comment).count();
        let listed = client.get("/api/v2/silences").expect(200).json();
        let listed: HashSet<_> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect();
        assert!(silences.is_subset(&listed), "round {round}");
        kept += 5;
        assert_eq!(kept, 10 * (round + 1), "round {round}: {acknowledged:?}");
    }
}

#[test]
fn a_thousand_firing_alerts_are_not_told_again_and_timers_go_on() {
    const N: usize = 1000;
    let sink = Sink::start(|_| (200, ""));
    let settings = Settings::new()
        .env("OBSERVATORY_NOTIFY_ALLOW_PRIVATE_TARGETS", "true")
        .env("OBSERVATORY_NOTIFY_GROUP_WAIT", "0s");
    let mut server = Server::start_with(settings);
    let mut client = server.client();
    let hook = json!({"name": "hook", "type": "webhook", "config": {"url": sink.url()}});
    post(&mut client, "/api/v1/monitoring/notification-channels", &hook);
    let slow = json!({"name": "Slow", "kind": "event", "match": "slow", "resolve": "done", "for": "8s",
        "severity": "critical"});
    post(&mut client, RULES, &slow);
    fail(&mut client, N);
    let is = |server: &Server, series: &str, value: f64| {
        eventually(Duration::from_secs(60), || match server.metrics().get(series) {
            Some(it) if it == value => Ok(()),
            other => Err(other),
        });
    };
    is(&server, "observatory_alerts{status=\"firing\"}", N as f64);
    is(&server, "observatory_notifications_pending", 0.0);
    let told = sink.got().len();
    assert!(told >= 1);
    // What is pending is written within five seconds; the event is there in any case.
    let begun = Instant::now();
    client.event(&json!({"event_type": "slow", "source": "t", "data": {}})).expect(202);
    is(&server, "observatory_alerts{status=\"pending\"}", 1.0);
    let slow = |client: &mut Client| {
        let list = client.get(&format!("{ALERTS}?rule=Slow")).expect(200).json();
        list["alerts"].as_array().unwrap().first().cloned()
    };
    let before = slow(&mut client).unwrap();
    server.kill9();
    server.restart();
    let up = begun.elapsed().as_secs_f64();
    let mut client = server.client();
    let again = found("the slow one", || slow(&mut client));
    assert_eq!((&again["id"], &again["starts_at"]), (&before["id"], &before["starts_at"]));
    found("its firing", || slow(&mut client).filter(|it| it["status"] == "active"));
    let history = client.get(&format!("{ALERTS}/history?rule=Slow")).expect(200).json();
    let entry = &history["history"][0];
    let at = |it: &Value| it.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let held = at(&entry["at"]).duration_since(at(&before["starts_at"])).as_secs_f64();
    // Eight seconds after its beginning, not after the restart; a busy machine may be late.
    assert!((8.0..up.max(8.0) + 3.0).contains(&held), "{held} with {up} down");
    // The one new alert is told, and none of the thousand again.
    found("the news", || (sink.got().len() > told).then_some(()));
    thread::sleep(Duration::from_secs(2));
    let news: Vec<_> = sink.got().split_off(told);
    assert!(
        news.iter().all(|it| it.body.contains("Slow") && !it.body.contains("ci_build")),
        "{news:?}"
    );
    assert_eq!(news.len(), 1);
    assert_eq!(active_total(&mut client), N + 1);
}

/// So many builds fail.
fn fail(client: &mut Client, n: usize) {
    let events: Vec<_> = (0..n)
        .map(|n| {
            let data = json!({"project": format!("p{n}"), "branch": "main", "status": "failed"});
            json!({"event_type": "ci_build_completed", "source": "ci", "data": data})
        })
        .collect();
    for chunk in events.chunks(500) {
        let body = serde_json::to_vec(chunk).unwrap();
        client.post("/api/v1/events", "application/json", &body).expect(202);
    }
}

fn active_total(client: &mut Client) -> usize {
    let list = client.get(&format!("{ALERTS}?limit=1")).expect(200).json();
    usize::try_from(list["total"].as_u64().unwrap()).unwrap()
}
