use super::*;
use crate::cli::client::tests::{http, serve};
use crate::cli::tests::observatory;
use serde_json::json;
use std::fs;

#[track_caller]
fn rule(value: &Value) -> Rule {
    Rule::from_json(value).unwrap()
}

/// The expression of a rule, as it is written.
#[track_caller]
fn check(value: &Value, expected: &str) {
    let rule = rule(value);
    let compiled = crate::alerts::Compiled::new(rule).unwrap();
    assert_eq!(promql::expression(&compiled).unwrap().text, expected);
}

/// Why a rule stands as a comment.
#[track_caller]
fn check_unsaid(value: &Value, reason: &str) {
    let written = document(&[rule(value)]);
    assert_eq!((written.said, written.unsaid), (0, 1), "{}", written.text);
    assert!(written.text.contains(reason), "{}", written.text);
    assert!(written.text.contains("    rules: []\n      # \"r\": "), "{}", written.text);
}

#[test]
fn thresholds() {
    let of = |more: Value| {
        let mut it = json!({"name": "r", "metric_name": "cpu{host=\"a\"}", "threshold": 80});
        it.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        it
    };
    check(&of(json!({})), r#"cpu{host="a"} > 80"#);
    check(&of(json!({"operator": "lte", "threshold": 0.5})), r#"cpu{host="a"} <= 0.5"#);
    check(&of(json!({"group_by": ["dc"]})), r#"sum by (dc) (cpu{host="a"}) > 80"#);
    check(
        &of(json!({"function": "rate", "window": "10m", "group_by": ["dc", "team"]})),
        r#"sum by (dc, team) (rate(cpu{host="a"}[10m])) > 80"#,
    );
    check(&of(json!({"function": "increase"})), r#"increase(cpu{host="a"}[5m]) > 80"#);
    check(
        &of(json!({"function": "avg", "group_by": ["dc"]})),
        r#"avg by (dc) (avg_over_time(cpu{host="a"}[5m])) > 80"#,
    );
    check(&of(json!({"function": "min"})), r#"min_over_time(cpu{host="a"}[5m]) > 80"#);
    check(&of(json!({"function": "max"})), r#"max_over_time(cpu{host="a"}[5m]) > 80"#);
    check(&of(json!({"function": "count"})), r#"count(cpu{host="a"}) > 80"#);
    check(
        &json!({"name": "r", "metric_name": "x_seconds", "function": "quantile", "quantile": 0.9, "group_by": ["a"], "threshold": 1}),
        "(histogram_quantile(0.9, sum by (a, le) (rate(x_seconds_bucket[5m]))) or histogram_quantile(0.9, sum by (a) (rate(x_seconds[5m])))) > 1",
    );
    check(
        &json!({"name": "r", "metric_name": "x_seconds_count", "function": "increase", "threshold": 1}),
        "(increase(x_seconds_count[5m]) or histogram_count(increase(x_seconds[5m]))) > 1",
    );
    check(
        &json!({"name": "CPU \"high\"", "metric_name": "cpu", "threshold": 80, "recovery_threshold": 75, "labels": {"team": "a"}}),
        r#"cpu > 80 or (cpu > 75 and ignoring (alertname, alertstate, severity, team) ALERTS{alertname="CPU \"high\"", alertstate="firing"})"#,
    );
    check(
        &json!({"name": "r", "metric_name": "cpu", "threshold": 80, "no_data": "alert"}),
        "cpu > 80 or absent(cpu)",
    );
    check(
        &json!({"name": "r", "metric_name": "cpu", "threshold": 80, "no_data": "keep"}),
        "cpu > 80",
    );
    check_unsaid(
        &json!({"name": "r", "metric_name": "cpu{\"a.b\"=\"c\"}", "threshold": 80}),
        "is no name of a label that every Prometheus understands",
    );
    check_unsaid(
        &json!({"name": "r", "metric_name": "cpu", "threshold": 80, "enabled": false}),
        "it is switched off",
    );
}

#[test]
fn quotients() {
    check(
        &json!({"name": "r", "kind": "ratio", "numerator": "e_total", "denominator": "r_total", "group_by": ["a"], "threshold": 0.05, "min_denominator": 20}),
        "((sum by (a) (increase(e_total[5m])) or 0 * (sum by (a) (increase(r_total[5m])) >= 20)) / (sum by (a) (increase(r_total[5m])) >= 20)) > 0.05",
    );
    check(
        &json!({"name": "r", "kind": "ratio", "numerator": "e_total", "denominator": "r_total", "threshold": 0.05, "no_data": "alert"}),
        "((sum(increase(e_total[5m])) or 0 * (sum(increase(r_total[5m])) > 0)) / (sum(increase(r_total[5m])) > 0)) > 0.05 or absent(sum(increase(r_total[5m])) > 0)",
    );
    check(
        &json!({"name": "r", "kind": "burn_rate", "numerator": "e_total", "denominator": "r_total", "objective": 0.999, "windows": [{"long": "1h", "short": "5m", "factor": 14.4}]}),
        "(((sum(increase(e_total[1h])) or 0 * (sum(increase(r_total[1h])) > 0)) / (sum(increase(r_total[1h])) > 0)) > 14.4 * (1 - 0.999) \
         and ((sum(increase(e_total[5m])) or 0 * (sum(increase(r_total[5m])) > 0)) / (sum(increase(r_total[5m])) > 0)) > 14.4 * (1 - 0.999))",
    );
}

#[test]
fn absences_and_events() {
    check(
        &json!({"name": "r", "kind": "absence", "push": "{job=\"backup\"}", "every": "1d", "grace": "1h"}),
        r#"time() - push_time_seconds{job="backup"} > 90000 or absent_over_time(push_time_seconds{job="backup"}[1d1h])"#,
    );
    check_unsaid(
        &json!({"name": "r", "kind": "absence", "push": "{job=\"backup\"}", "cron": "0 3 * * *"}),
        "PromQL knows no cron lines",
    );
    check_unsaid(
        &json!({"name": "r", "kind": "absence", "match": "agent_heartbeat", "every": "1m"}),
        "events are no series",
    );
    check_unsaid(&json!({"name": "r", "kind": "event", "match": "x"}), "an event is no series");
}

#[test]
fn a_whole_rule() {
    let whole = json!({"name": "on: \"call\"\n- alert: x", "description": "{{ evil }}", "metric_name": "cpu", "threshold": 80, "for": "90s",
        "keep_firing_for": "5m", "severity": "high", "labels": {"on": "yes", "t": "{{ x }}"}, "escalation": [{"after": "1h", "notification_channels": ["a"]}],
        "annotations": {"summary": "$host: $value > $threshold in ${on} (${severity})", "odd": "${host | basename}"}});
    let written = document(&[rule(&whole)]);
    let expected = r##"    rules:
      # left out, for Alertmanager: escalation
      - alert: "on: \"call\"\n- alert: x"
        expr: "cpu > 80"
        for: 1m30s
        keep_firing_for: 5m
        labels:
          "on": "yes"
          "severity": "error"
          "t": "{{ \"{{\" }} x }}"
      # the annotation odd uses what Prometheus has no word for: "${host | basename}"
        annotations:
          "description": "{{ \"{{\" }} evil }}"
          "summary": "{{ $labels.host }}: {{ (printf \"%.4g\" $value) }} > {{ \"80\" }} in {{ \"yes\" }} ({{ \"error\" }})"
"##;
    assert!(written.text.ends_with(expected), "{}", written.text);
}

#[test]
fn a_file_of_settings_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (config, out) = (path("observatory.yml"), path("rules.yml"));
    fs::write(
        &config,
        "alerts:\n  rules:\n    - {id: cpu-usage, name: CPU, metric_name: cpu, threshold: 95}\n",
    )
    .unwrap();
    let (code, text, err) =
        observatory(&["export", "prometheus-rules", "--config", &config], &[], "");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(text.contains("- alert: \"CPU\"\n        expr: \"cpu > 95\"\n"), "{text}");
    // One that was shipped, one that cannot be said, and none of that whose place was taken.
    assert!(text.contains("- alert: \"Memory usage above 80 %\""), "{text}");
    assert!(text.contains("# \"Build is stuck\": an event is no series"), "{text}");
    assert!(!text.contains("CPU usage above 80 %"), "{text}");
    let (code, said, err) =
        observatory(&["export", "prometheus-rules", "--config", &config, "--out", &out], &[], "");
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(err.contains("5 rules in ") && err.contains(", 5 as comments"), "{err}");
    assert_eq!(fs::read_to_string(&out).unwrap(), text);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left");
    fs::write(&config, "alerts: {rules: [{name: a}]}").unwrap();
    let wrong =
        observatory(&["export", "prometheus-rules", "--config", &config, "--out", &out], &[], "");
    assert_eq!(wrong.0, 64, "{}", wrong.2);
    assert_eq!(fs::read_to_string(&out).unwrap(), text, "the old file stays");
}

#[test]
fn the_server_is_asked() {
    let body = json!({"rules": [{"id": "a", "name": "A", "metric_name": "x", "threshold": 1, "created_at": "2026-01-05T10:00:00Z",
        "updated_at": "2026-01-05T10:00:00Z", "origin": "api", "firing": 1}], "total": 1});
    let (url, server) = serve(vec![http("200 OK", "", &body.to_string())]);
    let (code, out, err) = observatory(&["export", "prometheus-rules", "--url", &url], &[], "");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("- alert: \"A\"\n        expr: \"x > 1\"\n"), "{out}");
    let request = server.join().unwrap().pop().unwrap();
    assert!(request.starts_with("GET /api/v1/monitoring/alert-rules HTTP"), "{request}");
    // A later server may have rules that mean more than is known here: nothing is written then.
    let body = json!({"rules": [{"name": "A", "metric_name": "x", "threshold": 1, "phase_of_moon": "full"}]});
    let (url, _server) = serve(vec![http("200 OK", "", &body.to_string())]);
    let (code, out, err) = observatory(&["export", "prometheus-rules", "--url", &url], &[], "");
    assert_eq!((code, out.as_str()), (69, ""));
    assert!(err.contains("phase_of_moon: is no key of a rule"), "{err}");
}
