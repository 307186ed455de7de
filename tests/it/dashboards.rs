//! The boards of `grafana/dashboards`: everything they ask is PromQL of both generations, and is answered by real servers
//! that scrape a lively Observatory.

mod answers;
mod boards;
mod rules;

use crate::notify::sink::Sink;
use crate::support::{Peer, Prometheus, Server, Settings, Sse, cli, eventually, promtool};
use answers::{Foreign, Known, Shown, Silent};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    time::Duration,
};

/// Prometheus scrapes each second here.
const SHOWN: Shown = Shown { range: Duration::from_secs(300), rate: Duration::from_secs(15) };

/// What stays without an answer, whatever happens to a server.
const SILENT: &[Silent] = &[];

/// Rules of the stack are about more than Observatory.
const FOREIGN: &[Foreign] = &[
    Foreign { prefix: "alertmanager_", reason: "no Alertmanager is scraped here" },
    Foreign { prefix: "prometheus_", reason: "Prometheus does not scrape itself here" },
];

/// The system's Prometheus scrapes classic histograms, the current one native ones.
fn prometheuses(server: &Server) -> Vec<Prometheus> {
    let setups: [(Peer, &[&str]); 2] =
        [(Peer::System, &[]), (Peer::Current, &["native-histograms"])];
    let start = |(peer, features)| Prometheus::start_as_shipped(peer, server.addr, features);
    setups.into_iter().filter_map(start).collect()
}

/// On a fresh server a panel may be empty, but says what it waits for; then things happen, and nothing is empty any more.
#[test]
fn every_question_is_answered() {
    let settings = Settings::new()
        .env("OBSERVATORY_NOTIFY_ALLOW_PRIVATE_TARGETS", "true")
        .env("OBSERVATORY_SNAPSHOT_INTERVAL", "2s");
    let server = Server::start_with(settings);
    let peers = prometheuses(&server);
    for peer in &peers {
        peer.scrapes(4);
        check_that_empty_panels_say_why(peer);
    }
    let _stream = Sse::open(server.addr, "/api/v1/stream", &[]).unwrap();
    let sink = Sink::start(|_| (200, ""));
    live(&server, &sink);
    let rule_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("prometheus/rules");
    for peer in &peers {
        eventually(Duration::from_secs(15), || {
            let known = Known { silent: SILENT, foreign: FOREIGN };
            let findings = answers::findings(&peer.url(), &rule_dir, SHOWN, known);
            if findings.is_empty() { Ok(()) } else { Err(findings) }
        });
    }
}

/// A panel with a question that has no answer yet says `Empty until`, and no other panel does.
#[track_caller]
fn check_that_empty_panels_say_why(prometheus: &Prometheus) {
    let empty: BTreeSet<_> = answers::unanswered(&prometheus.url(), SHOWN)
        .into_iter()
        .map(|it| (it.place.board, it.place.panel))
        .collect();
    let panels = boards::questions().into_iter().filter(|it| !it.place.target.is_empty());
    let panels: BTreeMap<_, _> =
        panels.map(|it| ((it.place.board, it.place.panel), it.description)).collect();
    let mut wrong = Vec::new();
    for (panel, description) in &panels {
        match (empty.contains(panel), description.contains("\n\nEmpty until ")) {
            (true, false) => wrong.push(format!("{panel:?} is empty and does not say why")),
            (false, true) => wrong.push(format!("{panel:?} says why it is empty, and has data")),
            (true, true) | (false, false) => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Some seconds in the life of a server: the demo, pushes good and bad, an alert of which somebody is told, and what goes wrong.
fn live(server: &Server, sink: &Sink) {
    let mut client = server.client();
    let channel = json!({"name": "hook", "type": "webhook", "config": {"url": sink.url()}});
    let channels = "/api/v1/monitoring/notification-channels";
    client.post(channels, "application/json", channel.to_string().as_bytes()).expect(201);
    let push = |job: &str, body: &str, status: u16| {
        let path = format!("/metrics/job/{job}");
        server.client().request("PUT", &path, &[], body.as_bytes()).expect(status);
    };
    push("backup/instance/db1", "backup_rows 7\n", 200);
    push("report", "report_rows 3\n", 200);
    push("backup/instance/db1", "# TYPE backup_rows counter\nbackup_rows -\n", 400);
    let url = format!("http://{}", server.addr);
    // Two halves, so that counters go on after they have been scraped.
    for seed in ["3", "4"] {
        for event in extras(seed) {
            client.event(&event);
        }
        let demo = ["demo", "--url", &url, "--duration", "3s", "--rate", "700/s", "--seed", seed];
        let output = cli(&demo, &Settings::new(), "");
        assert!(output.status.success(), "{output:?}");
        client.post("/api/v1/events", "application/xml", b"<event/>");
        client.request("GET", "/nowhere", &[], b"");
    }
    push("backup/instance/db1", "backup_rows 8\n", 200);
    eventually(Duration::from_secs(10), || {
        if sink.got().is_empty() { Err("told nobody") } else { Ok(()) }
    });
}

/// What the demo does not tell.
fn extras(seed: &str) -> Vec<Value> {
    let event = |event_type: &str, data: Value| json!({"event_type": event_type, "source": "test", "data": data});
    let duplicate =
        json!({"id": format!("d{seed}"), "event_type": "unheard_of", "source": "test", "data": {}});
    let workflow = json!({"workflow": "gates", "repository": "o/r", "pr_number": seed});
    vec![
        event("ci_workflow_started", workflow.clone()),
        event(
            "ci_workflow_completed",
            json!({"workflow": "gates", "repository": "o/r", "pr_number": seed, "status": "success"}),
        ),
        event(
            "health_check_completed",
            json!({"endpoint": "/health", "status_code": 200, "response_time_ms": 7}),
        ),
        event(
            "health_check_completed",
            json!({"endpoint": "/health", "status_code": 503, "response_time_ms": 90}),
        ),
        // A score that is no number: a rule that matches, and cannot do its work.
        event("quality_score_updated", json!({"project": "web", "score": "good"})),
        event(
            "ci_build_completed",
            json!({"project": "web", "branch": "main", "status": "failure", "duration_seconds": 5}),
        ),
        event(
            "ci_build_completed",
            json!({"project": "web", "branch": "main", "status": "success", "duration_seconds": 5}),
        ),
        duplicate.clone(),
        duplicate,
    ]
}

/// Every expression is PromQL, for the oldest and the newest Prometheus that is supported.
#[test]
fn promtool_parses_every_expression() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yml");
    let records: Vec<_> = boards::questions()
        .iter()
        .enumerate()
        .map(|(number, it)| json!({"record": format!("q:{number}"), "expr": answers::substituted(&it.expr, SHOWN)}))
        .collect();
    assert!(records.len() > 180, "{}", records.len());
    // JSON is YAML.
    let rules =
        |records: &[Value]| json!({"groups": [{"name": "boards", "rules": records}]}).to_string();
    for program in Peer::ALL.iter().filter_map(|it| promtool(*it)) {
        let check = |records: &[Value]| {
            fs::write(&file, rules(records)).unwrap();
            Command::new(&program).args(["check", "rules"]).arg(&file).output().unwrap()
        };
        let output = check(&records);
        assert!(output.status.success(), "{output:?}");
        let broken = json!({"record": "q:broken", "expr": "sum by (x (up)"});
        let output = check(&[broken]);
        assert!(!output.status.success(), "{output:?}");
    }
}
