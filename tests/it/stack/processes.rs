//! A stack of processes, from the first `up` to the last `down`.

use super::{Stack, free_ports};
use crate::support::{Peer, eventually, tools};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

/// A webhook that hands on what it is sent.
fn sink() -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, received) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let mut text = Vec::new();
            // The client keeps the connection: what came until it pauses is the request.
            let _ = stream.read_to_end(&mut text);
            let answer = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            if answer.is_err() || send.send(String::from_utf8_lossy(&text).into_owned()).is_err() {
                return;
            }
        }
    });
    (port, received)
}

fn end_to_end(peer: Peer) {
    let (Some(program), Some(stack)) = (tools::prometheus(peer), Stack::new("  retention: 30d\n"))
    else {
        return;
    };
    let (port, received) = sink();
    // Intervals of seconds. Prometheus looks for its Alertmanagers every five, and tells an alert that fired before that
    // only a minute later: this one waits.
    let rules = stack.path("own.rules.yml");
    stack.write(
        "own.rules.yml",
        "groups: [{name: own, rules: [{alert: Built, expr: 'sum(ci_builds_total) > 0', for: 7s}]}]\n",
    );
    stack.write(
        "prometheus.yml",
        &format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: [rules/*.yml, '{}']\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['alertmanager:9093']}}]}}]}}\n\
             scrape_configs:\n- {{job_name: observatory, honor_labels: true, static_configs: [{{targets: ['observatory:9091']}}]}}\n",
            rules.display()
        ),
    );
    stack.write(
        "alertmanager.yml",
        &format!(
            "route: {{receiver: sink, group_by: [alertname], group_wait: 0s, group_interval: 1s}}\n\
             receivers: [{{name: sink, webhook_configs: [{{url: 'http://127.0.0.1:{port}/'}}]}}]\n"
        ),
    );
    let set = [
        "config",
        "set",
        &format!("services.prometheus.program={}", program.display()),
        "services.prometheus.config=prometheus.yml",
        "services.alertmanager.config=alertmanager.yml",
        "services.grafana.enabled=false",
    ];
    stack.expect(0, &set);
    let (out, err) = stack.expect(0, &["up", "--environment", "local"]);
    assert_eq!(out.lines().filter(|it| it.contains("healthy")).count(), 3, "{out}{err}");
    for name in ["observatory", "prometheus", "alertmanager"] {
        assert!(err.contains(&format!("{name} is healthy")), "{err}");
    }
    let pids = ["observatory", "prometheus", "alertmanager"].map(|it| stack.pid(it));

    let url = format!("http://127.0.0.1:{}", stack.ports["observatory"]);
    stack.expect(0, &["demo", "--url", &url, "--duration", "2s", "--rate", "100/s", "--seed", "1"]);
    eventually(Duration::from_secs(15), || {
        let answer =
            stack.client("prometheus").get("/api/v1/query?query=sum(ci_builds_total)").json();
        let value: f64 =
            answer["data"]["result"][0]["value"][1].as_str().unwrap_or("0").parse().unwrap();
        if value > 0.0 { Ok(()) } else { Err(answer) }
    });
    let told = received.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(told.contains("\"alertname\":\"Built\""), "{told}");

    let (_, err) = stack.expect(0, &["up"]);
    assert!(err.contains("runs already"), "{err}");
    assert_eq!(
        pids,
        ["observatory", "prometheus", "alertmanager"].map(|it| stack.pid(it)),
        "a no-op"
    );
    stack.status(0, &[]);
    let (out, _) = stack.expect(0, &["logs", "--tail", "1", "prometheus"]);
    assert_eq!(out.lines().count(), 1, "{out}");
    let (_, err) = stack.expect(2, &["logs", "nginx"]);
    assert!(err.contains("observatory, alertmanager, prometheus, grafana, supervisor"), "{err}");

    let (out, _) = stack.expect(0, &["down"]);
    assert!(out.contains("data is kept"), "{out}");
    stack.expect_gone();
    assert_eq!(stack.status(3, &[])["status"], "stopped");
    stack.expect(0, &["down"]);
    assert!(stack.path("observatory-stack/observatory/db").is_dir());
    let mut names: Vec<_> =
        fs::read_dir(stack.path("")).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "alertmanager.yml",
            "observatory-stack",
            "observatory.yml",
            "own.rules.yml",
            "prometheus.yml"
        ]
    );
    stack.expect(1, &["down", "--volumes"]);
    assert!(stack.path("observatory-stack/observatory/db").is_dir(), "nobody said yes");
    stack.expect(0, &["down", "--volumes", "--yes"]);
    assert!(!stack.path("observatory-stack").exists());
}

#[test]
fn up_load_alert_down_with_the_prometheus_of_the_system() {
    end_to_end(Peer::System);
}

#[test]
fn up_load_alert_down_with_a_current_prometheus() {
    end_to_end(Peer::Current);
}

#[test]
fn two_stacks_run_at_once_and_are_told_apart() {
    let Some(stack) = Stack::new("") else { return };
    let ports = free_ports(6);
    let mut text = "stack:\n  services: {grafana: {enabled: false}}\n  environments:\n".to_owned();
    for (name, ports) in ["a", "b"].iter().zip(ports.chunks(3)) {
        text.push_str(&format!(
            "    {name}:\n      data_dir: {name}\n      ephemeral: true\n      services: {{observatory: {{port: {}}}, prometheus: {{port: {}}}, alertmanager: {{port: {}}}}}\n",
            ports[0], ports[1], ports[2]
        ));
    }
    stack.write("observatory.yml", &text);
    stack.expect(0, &["up", "-e", "a"]);
    stack.expect(0, &["up", "-e", "b"]);
    stack.expect(0, &["down", "-e", "a"]);
    assert!(!stack.path("a").exists(), "an ephemeral stack leaves nothing");
    assert_eq!(stack.status(3, &["-e", "a"])["services"], serde_json::json!([]));
    let status = stack.status(0, &["-e", "b"]);
    let found: Vec<_> = status["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["port"].as_u64().unwrap())
        .collect();
    assert_eq!(found, [ports[3], ports[5], ports[4]].map(u64::from));
    stack.expect(0, &["down", "-e", "b"]);
    assert!(!stack.path("b").exists());
    stack.expect_gone();
}

#[test]
fn the_rendered_configuration_is_accepted_by_its_programs() {
    let (Some(amtool), Some(stack)) = (tools::amtool(Peer::System), Stack::new("")) else { return };
    fs::create_dir(stack.path("secrets")).unwrap();
    for name in ["smtp_password", "slack_url", "webhook_token"] {
        stack.write(&format!("secrets/{name}"), "https://example.org/x\n");
    }
    stack.expect(0, &["config", "render", "--output", "rendered"]);
    let check = |program: &std::path::Path, arguments: &[&str], file: &str| {
        let output = Command::new(program).args(arguments).arg(stack.path(file)).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    for peer in Peer::ALL {
        let Some(promtool) = tools::promtool(peer) else { return };
        check(&promtool, &["check", "config"], "rendered/prometheus/prometheus.yml");
    }
    check(&amtool, &["check-config"], "rendered/alertmanager/alertmanager.yml");
    let (out, _) = stack.expect(0, &["config", "render"]);
    assert!(out.contains(&format!("127.0.0.1:{}", stack.ports["prometheus"])), "{out}");
}

/// Grafana cannot be had here; what is run in its place notes how, and serves what Grafana would.
#[test]
fn grafana_is_started_with_its_provisioning() {
    let Some(mut stack) = Stack::new("") else { return };
    let health = stack.path("web/api");
    fs::create_dir_all(&health).unwrap();
    fs::write(health.join("health"), "{}").unwrap();
    stack.program(
        "grafana",
        &format!(
            "#!/bin/sh\necho \"$@\" >{dir}/arguments\nexec python3 -m http.server {port} --bind 127.0.0.1 --directory {dir}/web\n",
            dir = stack.path("").display().to_string().trim_end_matches('/'),
            port = stack.ports["grafana"],
        ),
    );
    stack.expect(0, &["up"]);
    let status: Value = stack.status(0, &[]);
    assert_eq!(status["services"].as_array().unwrap().len(), 4);
    let arguments = fs::read_to_string(stack.path("arguments")).unwrap();
    let ini = arguments.trim_end().rsplit_once("--config=").unwrap().1;
    assert!(arguments.starts_with("server "), "{arguments}");
    let ini = fs::read_to_string(ini).unwrap();
    assert!(ini.contains(&format!("http_port = {}", stack.ports["grafana"])), "{ini}");
    let provisioning = ini.lines().find_map(|it| it.strip_prefix("provisioning = ")).unwrap();
    let sources =
        fs::read_to_string(format!("{provisioning}/datasources/observatory.yml")).unwrap();
    assert!(sources.contains(&format!("127.0.0.1:{}", stack.ports["prometheus"])), "{sources}");
    assert!(
        fs::read_dir(stack.path("observatory-stack/config/grafana/dashboards")).unwrap().count()
            >= 8
    );
    stack.expect(0, &["down"]);
    stack.expect_gone();
}
