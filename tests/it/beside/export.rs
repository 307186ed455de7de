//! `observatory export prometheus-rules`: what is written is accepted by promtool, and fires on what our rules fire on.

use super::run;
use crate::support::{Peer, Server, Settings, cli, eventually, promtool};
use serde_json::json;
use std::{fs, path::Path, process::Command, time::Duration};

/// A rule of every kind, with everything that a rule may say.
const RULES: &str = r#"
alerts:
  rules:
    - {name: Level, metric_name: 'level{job="tank"}', operator: gt, threshold: 80, recovery_threshold: 70, severity: high,
       labels: {team: plumbing}, annotations: {summary: '${tank, instance:-a tank} is at $value of $threshold (${team})'}}
    - {name: Few, metric_name: level, function: count, operator: lt, threshold: 2}
    - {name: Errors, kind: ratio, numerator: 'e_total{code=~"5.."}', denominator: e_total, group_by: [site], threshold: 0.1, min_denominator: 10, for: 1m, keep_firing_for: 2m}
    - {name: Budget, kind: burn_rate, numerator: 'e_total{code="500"}', denominator: e_total, objective: 0.99,
       windows: [{long: 30m, short: 5m, factor: 10}]}
    - {name: Backup, kind: absence, push: '{job="backup"}', every: 1h, grace: 10m}
    - {name: Nightly, kind: absence, push: '{job="backup"}', cron: "0 3 * * *", timezone: Europe/Berlin}
    - {name: Beat, kind: absence, match: agent_heartbeat, every: 1m}
    - {name: Slow, metric_name: x_seconds, function: quantile, quantile: 0.99, group_by: [site], threshold: 1, no_data: alert}
    - {name: Mean, kind: ratio, numerator: x_seconds_sum, denominator: x_seconds_count, threshold: 2, no_data: keep, escalation: [{after: 1h, notification_channels: [boss]}]}
    - {name: Grows, metric_name: x_seconds_count, function: rate, window: 90s, group_by: [site], operator: gte, threshold: 1.5}
    - {name: "odd \"name\"\n- alert: x # {{ y }}", metric_name: level, function: avg, operator: ne, threshold: 1e-7, labels: {on: '{{ no }} template'}, mute_times: [{days: [sat]}]}
    - {name: Lowest, metric_name: level, function: min, operator: lte, threshold: -3}
    - {name: Most, metric_name: level, function: max, operator: gt, threshold: 1e21, enabled: false}
    - {name: Event, kind: event, match: x}
"#;

/// One firing and one quiet case of each kind that `PromQL` can say.
const TESTS: &str = r#"
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'level{job="tank",tank="a"}', values: '10 81 75 69 75 81'}
      - {series: 'level{job="other",tank="b"}', values: '99x9'}
    alert_rule_test:
      - {eval_time: 0m, alertname: Level, exp_alerts: []}
      - &fires
        eval_time: 1m
        alertname: Level
        exp_alerts:
          - exp_labels: {job: tank, tank: a, severity: error, team: plumbing}
            exp_annotations: {summary: 'a is at 81 of 80 (plumbing)'}
      # It goes on down to 70, and does not begin again before 80.
      - eval_time: 2m
        alertname: Level
        exp_alerts:
          - exp_labels: {job: tank, tank: a, severity: error, team: plumbing}
            exp_annotations: {summary: 'a is at 75 of 80 (plumbing)'}
      - {eval_time: 3m, alertname: Level, exp_alerts: []}
      - {eval_time: 4m, alertname: Level, exp_alerts: []}
      - {eval_time: 5m, alertname: Few, exp_alerts: []}
  - interval: 1m
    input_series: [{series: 'level{job="tank"}', values: '1x9'}]
    alert_rule_test:
      - {eval_time: 5m, alertname: Few, exp_alerts: [{exp_labels: {severity: warning}}]}
  - interval: 1m
    input_series:
      - {series: 'e_total{site="x",code="200"}', values: '0+8x60'}
      - {series: 'e_total{site="x",code="500"}', values: '0+2x60'}
      - {series: 'e_total{site="y",code="200"}', values: '0+20x60'}
      - {series: 'e_total{site="z",code="500"}', values: '0+1x60'}
    alert_rule_test:
      # z has too few, y none, and that is not nothing.
      - {eval_time: 10m, alertname: Errors, exp_alerts: [{exp_labels: {site: x, severity: warning}}]}
      - {eval_time: 1m, alertname: Errors, exp_alerts: []}
    promql_expr_test:
      - expr: count(((sum by (site) (increase(e_total{code=~"5.."}[5m])) or 0 * (sum by (site) (increase(e_total[5m])) >= 10)) / (sum by (site) (increase(e_total[5m])) >= 10)))
        eval_time: 10m
        exp_samples: [{value: 2}]
  - interval: 1m
    input_series:
      - {series: 'e_total{code="200"}', values: '0+80x60 4800+100x60'}
      - {series: 'e_total{code="500"}', values: '0+20x60 1200+0x60'}
    alert_rule_test:
      - {eval_time: 40m, alertname: Budget, exp_alerts: [{exp_labels: {severity: warning}}]}
      # It is over as soon as the short window says so.
      - {eval_time: 68m, alertname: Budget, exp_alerts: []}
  - interval: 5m
    input_series: [{series: 'push_time_seconds{job="backup",instance=""}', values: '0x12 3600x60'}]
    alert_rule_test:
      - {eval_time: 2h, alertname: Backup, exp_alerts: []}
      - {eval_time: 2h15m, alertname: Backup, exp_alerts: [{exp_labels: {job: backup, severity: warning}}]}
  - interval: 5m
    input_series: [{series: 'push_time_seconds{job="other",instance=""}', values: '0x60'}]
    alert_rule_test:
      # Whoever was never there is missed, too.
      - {eval_time: 2h, alertname: Backup, exp_alerts: [{exp_labels: {job: backup, severity: warning}}]}
"#;

#[test]
fn promtool_accepts_every_kind_and_it_fires_as_ours_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("observatory.yml"), RULES).unwrap();
    let arguments = ["export", "prometheus-rules", "--config", &path("observatory.yml")];
    let output =
        cli(&[&arguments[..], &["--out", &path("rules.yml")]].concat(), &Settings::new(), "");
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(path("rules.yml")).unwrap();
    for reason in [
        "# \"Nightly\": PromQL knows no cron lines",
        "# \"Beat\": events are no series",
        "# \"Event\": an event is no series",
        "# \"Most\": it is switched off",
        "# left out, for Alertmanager: escalation",
        "# left out, for Alertmanager: mute_times",
        "# no_data: keep cannot be said",
    ] {
        assert!(text.contains(reason), "{reason}\n{text}");
    }
    fs::write(path("tests.yml"), TESTS).unwrap();
    for peer in Peer::ALL {
        check(peer, dir.path());
    }
}

fn check(peer: Peer, dir: &Path) {
    let Some(promtool) = promtool(peer) else { return };
    let promtool = |arguments: &[&str]| {
        run(Command::new(&promtool).args(arguments).current_dir(dir));
    };
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "rules.yml"]);
    promtool(&["test", "rules", "tests.yml"]);
}

/// What a server has now: its own rules, one that was made over the API among them.
#[test]
fn the_rules_of_a_server_are_written_and_are_those_that_fire_there() {
    let server = Server::start();
    let mut client = server.client();
    let rule =
        json!({"name": "Level", "metric_name": "level", "threshold": 80, "severity": "critical"});
    client
        .post("/api/v1/monitoring/alert-rules", "application/json", rule.to_string().as_bytes())
        .expect(201);
    client.post("/metrics/job/tank", "text/plain", b"level 81\n").expect(200);
    let alert = eventually(Duration::from_secs(10), || {
        let alerts = client.get("/api/v1/monitoring/alerts").expect(200).json();
        alerts["alerts"].as_array().unwrap().first().cloned().ok_or("no alert")
    });
    assert_eq!(alert["rule_name"], "Level", "{alert}");
    let url = format!("http://{}", server.addr);
    let output = cli(&["export", "prometheus-rules", "--url", &url], &Settings::new(), "");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("- alert: \"Level\"\n        expr: \"level > 80\"\n"), "{text}");
    assert!(text.contains("- alert: \"Agent error rate above 5 %\""), "{text}");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("rules.yml"), text).unwrap();
    // On the same data the same fires, with the same labels.
    let labels = &alert["labels"];
    let series = format!(
        "level{{job=\"tank\",instance=\"{}\"}}",
        labels["instance"].as_str().unwrap_or_default()
    );
    let test = json!({"rule_files": ["rules.yml"], "tests": [{"interval": "1m",
        "input_series": [{"series": series, "values": "81x5"}],
        "alert_rule_test": [{"eval_time": "1m", "alertname": "Level", "exp_alerts": [{"exp_labels": {"job": "tank", "severity": "critical"}}]},
            {"eval_time": "1m", "alertname": "CPU usage above 80 %", "exp_alerts": []}]}]});
    assert_eq!((&labels["job"], &labels["severity"]), (&json!("tank"), &json!("critical")));
    fs::write(dir.path().join("tests.yml"), test.to_string()).unwrap();
    for peer in Peer::ALL {
        check(peer, dir.path());
    }
}
