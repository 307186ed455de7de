//! What is shipped for Prometheus and Alertmanager, as their own tools see it.

use super::{files, read, rules, run, shipped};
use crate::support::{Peer, promtool, tools};
use serde_json::Value;
use std::{collections::BTreeMap, fs, process::Command};

/// A promtool of 2.42 cannot write native histograms down.
const NATIVE: &str = "native.yml";

#[test]
fn promtool_accepts_the_configuration_and_the_rules() {
    for peer in Peer::ALL {
        let Some(promtool) = promtool(peer) else { continue };
        let config = shipped("prometheus/prometheus.yml");
        let said = run(Command::new(&promtool).args(["check", "config"]).arg(&config));
        let n = files("prometheus/rules").len();
        assert!(said.contains(&format!("SUCCESS: {n} rule files found")), "{said}");
        let lint = ["check", "rules", "--lint=all", "--lint-fatal"];
        run(Command::new(&promtool).args(lint).args(files("prometheus/rules")));
    }
}

#[test]
fn promtool_runs_the_tests_of_the_rules() {
    for peer in Peer::ALL {
        let Some(promtool) = promtool(peer) else { continue };
        let mut tests = files("prometheus/tests");
        tests.retain(|it| peer == Peer::Current || !it.ends_with(NATIVE));
        run(Command::new(&promtool).args(["test", "rules"]).args(tests));
    }
}

#[test]
fn every_rule_has_a_test_that_fires_and_one_that_is_quiet() {
    // Of each alert: how often it is expected to fire, and not to.
    let mut seen: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for path in files("prometheus/tests").iter().filter(|it| !it.ends_with(NATIVE)) {
        for test in read(path)["tests"].as_array().unwrap() {
            for it in test["alert_rule_test"].as_array().unwrap() {
                let counts = seen.entry(it["alertname"].as_str().unwrap().to_owned()).or_default();
                match it["exp_alerts"].as_array() {
                    Some(alerts) if !alerts.is_empty() => counts.0 += 1,
                    _ => counts.1 += 1,
                }
            }
        }
    }
    let rules = rules();
    let alerts: Vec<_> = rules.iter().filter_map(|it| it.1["alert"].as_str()).collect();
    assert!(alerts.len() >= 25, "{}", alerts.len());
    for name in &alerts {
        let (fires, quiet) = seen.get(*name).copied().unwrap_or_default();
        // The watchdog is never quiet: that is what it is for.
        let enough = fires > 0 && (quiet > 0 || *name == "Watchdog");
        assert!(enough, "{name}: {fires} firing, {quiet} quiet");
    }
    let unknown: Vec<_> = seen.keys().filter(|it| !alerts.contains(&it.as_str())).collect();
    assert!(unknown.is_empty(), "tests of alerts that are not there: {unknown:?}");
}

#[test]
fn every_rule_says_how_bad_it_is_and_what_to_do() {
    let runbooks = fs::read_to_string(shipped("docs/runbooks.md")).unwrap();
    let mut names = Vec::new();
    for (file, rule) in rules() {
        let Some(name) = rule["alert"].as_str() else {
            let record = rule["record"].as_str().unwrap();
            assert_eq!(record.split(':').count(), 3, "{record}: level:metric:operation");
            continue;
        };
        let camel = name.starts_with(|it: char| it.is_ascii_uppercase())
            && name.chars().all(|it| it.is_ascii_alphanumeric());
        assert!(camel, "{file}: {name}");
        let severity = rule["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("critical" | "warning" | "info")), "{name}: {severity:?}");
        let annotation = |key: &str| rule["annotations"][key].as_str().unwrap_or_default();
        assert!(annotation("summary").ends_with('.'), "{name}");
        assert!(annotation("description").ends_with('.'), "{name}");
        let anchor = format!("/docs/runbooks.md#{}", name.to_lowercase());
        assert!(annotation("runbook_url").ends_with(&anchor), "{name}");
        let heading = format!("\n### {name}\n\n");
        let text = runbooks.split_once(&heading).map(|it| it.1.lines().next().unwrap());
        assert!(text.is_some_and(|it| it.len() > 40), "docs/runbooks.md: {name}: {text:?}");
        names.push(name.to_owned());
    }
    let described = runbooks.lines().filter_map(|it| it.strip_prefix("### "));
    let gone: Vec<_> = described.filter(|it| !names.iter().any(|name| name == it)).collect();
    assert!(gone.is_empty(), "docs/runbooks.md describes what is not there: {gone:?}");
}

#[test]
fn the_hosts_of_the_stack_stand_as_they_are_written() {
    let prometheus = fs::read_to_string(shipped("prometheus/prometheus.yml")).unwrap();
    for host in ["\"observatory:9091\"", "\"prometheus:9090\"", "\"alertmanager:9093\""] {
        assert!(prometheus.contains(host), "{host}");
    }
    assert!(prometheus.contains("http://observatory:9091/api/v1/sd/agents"));
    let config = read(&shipped("prometheus/prometheus.yml"));
    assert_eq!(config["global"]["scrape_interval"], "15s");
    let jobs = config["scrape_configs"].as_array().unwrap();
    let job = |name: &str| jobs.iter().find(|it| it["job_name"] == name).unwrap();
    assert_eq!(job("observatory")["honor_labels"], Value::Bool(true));
    let alertmanager = fs::read_to_string(shipped("alertmanager/alertmanager.yml")).unwrap();
    assert!(alertmanager.contains("http://observatory:9091/api/v1/alertmanager\n"));
}

#[test]
fn amtool_accepts_the_configuration_and_its_routes() {
    for peer in Peer::ALL {
        let Some(amtool) = tools::amtool(peer) else { continue };
        let config = shipped("alertmanager/alertmanager.yml");
        let said = run(Command::new(&amtool).arg("check-config").arg(&config));
        assert!(said.contains("SUCCESS") && said.contains(" 5 receivers"), "{said}");
        let check = |labels: &[&str], receivers: &str| {
            let file = format!("--config.file={}", config.display());
            let verify = format!("--verify.receivers={receivers}");
            let routes = ["config", "routes", "test", &file, &verify];
            run(Command::new(&amtool).args(routes).args(labels));
        };
        check(&["alertname=X", "severity=critical"], "observatory,critical");
        check(&["alertname=X", "severity=warning"], "observatory,warning");
        check(&["alertname=X", "severity=info"], "observatory,info");
        // What our own channel calls a high alert, and what has none.
        check(&["alertname=X", "severity=error"], "observatory,warning");
        check(&["alertname=X"], "observatory,warning");
        check(&["alertname=Watchdog", "severity=info"], "watchdog");
    }
}

#[test]
fn secrets_are_in_files() {
    let text = fs::read_to_string(shipped("alertmanager/alertmanager.yml")).unwrap();
    for line in text.lines().map(str::trim) {
        let wrong = ["smtp_auth_password:", "slack_api_url:", "api_url:", "credentials:"];
        assert!(!wrong.iter().any(|it| line.starts_with(it)), "{line}");
    }
    for file in ["smtp_password", "slack_url", "webhook_token", "observatory_token"] {
        assert!(text.contains(&format!(": /etc/alertmanager/secrets/{file}")), "{file}");
        // And it is said what is in it.
        assert!(text.contains(&format!("#   {file} ")), "{file}");
    }
}
