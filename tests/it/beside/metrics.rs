//! Every metric that a shipped rule is about is really there.

use super::{rules, shipped};
use crate::support::{Alertmanager, Client, Peer, Prometheus, Server, Settings};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs};

const TOKEN: &str = "a-token-that-is-long-enough-for-anybody";

/// The names in a text of `PromQL` that stand where a metric does.
fn names(promql: &str) -> BTreeSet<String> {
    let mut res = BTreeSet::new();
    let mut rest = promql;
    let (mut quote, mut braces) = (None, 0);
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|it: char| !(it.is_alphanumeric() || it == '_' || it == ':'));
        let word = &rest[..word.unwrap_or(rest.len())];
        let taken = match (quote, c) {
            (Some(open), _) => {
                quote = Some(open).filter(|it| *it != c);
                c.len_utf8()
            }
            (None, '"' | '\'') => {
                quote = Some(c);
                1
            }
            (None, '{' | '[') => {
                braces += 1;
                1
            }
            (None, '}' | ']') => {
                braces -= 1;
                1
            }
            (None, _) if word.is_empty() => c.len_utf8(),
            (None, _) => {
                let after = rest[word.len()..].trim_start();
                let grouping = matches!(word, "by" | "without" | "on" | "ignoring");
                if grouping {
                    // The labels in parentheses are none.
                    let end = rest.find(')').unwrap();
                    rest = &rest[end..];
                    continue;
                }
                let operator = matches!(word, "and" | "or" | "unless" | "offset" | "bool");
                let number = word.starts_with(|it: char| it.is_ascii_digit());
                if braces == 0
                    && !operator
                    && !number
                    && !after.starts_with('(')
                    && !is_function(word, after)
                {
                    res.insert(word.to_owned());
                }
                word.len()
            }
        };
        rest = &rest[taken..];
    }
    res
}

/// An aggregation may have its labels before its argument.
fn is_function(word: &str, after: &str) -> bool {
    matches!(word, "sum" | "min" | "max" | "avg" | "count") && after.starts_with("by")
}

#[test]
fn the_names_are_found() {
    let expected = ["a_total", "b:c:d", "e_bucket", "f"].map(str::to_owned);
    let promql = r#"sum by (x, le) (increase(a_total{l="in } it",m=~"z"}[5m])) / on (y) b:c:d > 0.5
        unless histogram_quantile(0.9, max(e_bucket)) or (time() - f >= 26 * 3600)"#;
    assert_eq!(names(promql), BTreeSet::from(expected));
}

/// A server to which everything happened that makes a metric appear.
fn server() -> Server {
    let settings = Settings::new()
        .body_bytes(100_000)
        .env("OBSERVATORY_PUSH_MAX_SERIES_PER_JOB", "3")
        .token(TOKEN);
    let server = Server::start_with(settings);
    server.client().get("/api/v1/events").expect(401);
    let mut client = server.client().with_header("authorization", &format!("Bearer {TOKEN}"));
    let events: Vec<Value> = [
        ("ci_build_started", json!({"project": "web", "build_id": 1})),
        ("ci_build_completed", json!({"project": "web", "build_id": 1, "status": "success"})),
        ("ci_workflow_started", json!({"project": "web", "workflow": "w"})),
        ("ci_tests_completed", json!({"project": "web", "passed": 1, "failed": 1})),
        ("deployment_started", json!({"service": "api", "environment": "production"})),
        (
            "deployment_completed",
            json!({"service": "api", "environment": "production", "status": "failed"}),
        ),
        ("agent_registered", json!({"agent_id": "a"})),
        ("agent_error", json!({"agent_id": "a"})),
        ("agent_request_started", json!({"agent_id": "a", "request_id": "r"})),
        ("agent_request_completed", json!({"agent_id": "a", "request_id": "r"})),
        ("quality_gate_failed", json!({"project": "web"})),
        ("quality_score_updated", json!({"project": "web", "score": 80})),
        ("coverage_updated", json!({"project": "web", "coverage": 80})),
        ("coverage_updated", json!({"project": "web", "coverage": "much"})),
        (
            "health_check_completed",
            json!({"endpoint": "/", "status_code": 200, "response_time_ms": 8}),
        ),
    ]
    .into_iter()
    .map(|(kind, data)| json!({"event_type": kind, "source": "s", "data": data}))
    .chain((0..401).map(|n| {
        let data = json!({"from_agent": format!("a{n}"), "to_agent": "b"});
        json!({"event_type": "agent_collaboration", "source": "s", "data": data})
    }))
    .collect();
    let body = Value::from(events).to_string();
    client.post("/api/v1/events/batch", "application/json", body.as_bytes()).expect(202);
    client.post("/metrics/job/backup", "text/plain", b"a 1\n").expect(200);
    assert_ne!(
        client
            .post(
                "/metrics/job/backup",
                "text/plain",
                b"a{b=\"1\"} 1\na{b=\"2\"} 1\na{b=\"3\"} 1\na{b=\"4\"} 1\n"
            )
            .status,
        200
    );
    client.post("/api/v1/events", "application/json", &[b' '; 200_000]).expect(413);
    server
}

/// A Prometheus that evaluates something.
fn with_rules(peer: Peer) -> Option<Prometheus> {
    Prometheus::start_prepared(peer, &[], |dir, _| {
        fs::write(dir.join("prometheus.yml"), "rule_files: [rules.yml]\n").unwrap();
        let rules = "groups: [{name: g, rules: [{record: 'a:b:c', expr: vector(1)}]}]";
        fs::write(dir.join("rules.yml"), rules).unwrap();
    })
}

/// The names that a page has: of families, and of samples.
fn on_page(page: &str, into: &mut BTreeSet<String>) {
    for line in page.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(it) => into.extend(it.split(' ').next().map(str::to_owned)),
            None if line.starts_with('#') => {}
            None => into.extend(line.split(['{', ' ']).next().map(str::to_owned)),
        }
    }
}

#[test]
fn every_metric_of_the_rules_is_there() {
    let server = server();
    let mut there: BTreeSet<String> = ["up".to_owned()].into();
    on_page(&server.client().get("/metrics").expect(200).text(), &mut there);
    let mut beside = true;
    for peer in Peer::ALL {
        let (Some(alertmanager), Some(prometheus)) = (Alertmanager::start(peer), with_rules(peer))
        else {
            beside = false;
            continue;
        };
        on_page(&Client::new(alertmanager.addr).get("/metrics").expect(200).text(), &mut there);
        on_page(&prometheus.client().get("/metrics").expect(200).text(), &mut there);
    }
    let rules = rules();
    there.extend(rules.iter().filter_map(|it| it.1["record"].as_str().map(str::to_owned)));
    let mut missing = BTreeSet::new();
    for (file, rule) in &rules {
        let names = names(rule["expr"].as_str().unwrap());
        assert!(!names.is_empty() || rule["alert"] == "Watchdog", "{rule}");
        let absent = names.into_iter().filter(|it| !there.contains(it));
        missing.extend(absent.map(|it| format!("{file}: {it}")));
    }
    if !beside {
        missing.retain(|it| !it.starts_with("stack.yml"));
    }
    assert!(missing.is_empty(), "no such metrics: {missing:#?}");
}

#[test]
fn the_labels_that_rules_match_are_those_of_the_metrics() {
    let server = server();
    let page = server.client().get("/metrics").expect(200).text();
    for series in [
        "ci_builds_total{project=\"web\",branch=\"main\",result=\"failure\"}",
        "ci_test_runs_total{project=\"web\",result=\"failure\"}",
        "deployment_restore_in_flight{service=\"api\",environment=\"production\"} 1",
        "quality_gates_total{project=\"web\",gate=\"default\",result=\"success\"}",
        "health_checks_total{endpoint=\"/\",status=\"2xx\"}",
        "observatory_push_requests_total{result=\"rejected\"}",
        "observatory_notifications_total{type=\"email\",outcome=\"dead\"}",
    ] {
        assert!(page.lines().any(|it| it.starts_with(series)), "{series}\n{page}");
    }
    // And the shipped files are read as they stand.
    assert!(
        fs::read_to_string(shipped("prometheus/rules/ci.yml")).unwrap().contains("branch=\"main\"")
    );
}
