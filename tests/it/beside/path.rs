//! The whole path of an alert: an event, and everybody who is to be told was told.
//!
//! Beside Prometheus and Alertmanager with the configuration that is shipped, of which only hosts and times are changed; and alone.

use super::{files, shipped};
use crate::notify::sink::{Got, Sink};
use crate::notify::{Smtpd, channel};
use crate::support::{Alertmanager, Client, Peer, Prometheus, Server, Settings, eventually};
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

const TOKEN: &str = "a-token-that-is-long-enough-for-anybody";
const LONG: Duration = Duration::from_secs(20);

/// Everybody who is told.
struct People {
    smtpd: Smtpd,
    slack: Sink,
    pager: Sink,
}

impl People {
    fn start() -> Option<Self> {
        // Alertmanager takes the first mechanism that it knows, and asks for LOGIN in other words than aiosmtpd.
        let smtpd = Smtpd::start("starttls-plain")?;
        Some(Self { smtpd, slack: Sink::start(|_| (200, "")), pager: Sink::start(|_| (200, "")) })
    }
}

/// A client that may do everything.
fn client(server: &Server) -> Client {
    server.client().with_header("authorization", &format!("Bearer {TOKEN}"))
}

fn deployment(client: &mut Client, status: &str) {
    let data =
        json!({"service": "api", "environment": "production", "version": "1.2", "status": status});
    client
        .event(&json!({"event_type": "deployment_completed", "source": "cd", "data": data}))
        .expect(202);
}

/// Waits for a request whose body has all `words`.
#[track_caller]
fn told(sink: &Sink, words: &[&str]) -> Got {
    heard(sink, words, String::new)
}

/// The same; if nobody is told, `why` is.
#[track_caller]
fn heard(sink: &Sink, words: &[&str], why: impl Fn() -> String) -> Got {
    eventually(LONG, || {
        let got = sink.got();
        let found = got.iter().find(|it| words.iter().all(|word| it.body.contains(word)));
        found.cloned().ok_or_else(|| format!("{words:?} in {got:?}\n{}", why()))
    })
}

/// The events of `kind` about the alert `name`.
fn events(client: &mut Client, kind: &str, name: &str) -> Vec<Value> {
    let all = client.get(&format!("/api/v1/events?type={kind}&limit=1000")).expect(200).json();
    let all = all["events"].as_array().unwrap();
    all.iter().filter(|it| it["data"]["alertname"] == name).cloned().collect()
}

/// Writes the shipped configuration of Alertmanager with these people in it.
fn alertmanager(dir: &Path, server: &Server, people: &People) {
    let mut text = fs::read_to_string(shipped("alertmanager/alertmanager.yml")).unwrap();
    let smtp = format!("localhost:{}", people.smtpd.port);
    for (from, to) in [
        ("observatory:9091", server.addr.to_string()),
        ("smtp.example.org:587", smtp),
        ("smtp_auth_username: alerts@example.org", "smtp_auth_username: robot".to_owned()),
        ("http://pager.example.org/alerts", people.pager.url()),
        ("/etc/alertmanager/secrets", dir.join("secrets").display().to_string()),
        ("repeat_interval: 5m", "repeat_interval: 1s".to_owned()),
        ("group_wait: 10s", "group_wait: 1s".to_owned()),
        ("group_interval: 15s", "group_interval: 1s".to_owned()),
        ("group_interval: 1m", "group_interval: 1s".to_owned()),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, &to);
    }
    fs::write(dir.join("am.yml"), text).unwrap();
    fs::create_dir(dir.join("secrets")).unwrap();
    for (name, secret) in [
        ("smtp_password", "pa55-of-the-robot"),
        ("slack_url", &people.slack.url()),
        ("webhook_token", "token-of-the-pager"),
        ("observatory_token", TOKEN),
    ] {
        // Alertmanager 0.25 takes a line end for a part of the password.
        fs::write(dir.join("secrets").join(name), secret).unwrap();
    }
}

/// Writes the shipped configuration of Prometheus, and its rules as they are.
fn prometheus(dir: &Path, server: SocketAddr, alertmanager: SocketAddr, own: SocketAddr) {
    let mut text = fs::read_to_string(shipped("prometheus/prometheus.yml")).unwrap();
    for (from, to) in [
        ("observatory:9091", server.to_string()),
        ("alertmanager:9093", alertmanager.to_string()),
        ("prometheus:9090", own.to_string()),
        ("scrape_interval: 15s", "scrape_interval: 1s".to_owned()),
        ("scrape_timeout: 10s", "scrape_timeout: 1s".to_owned()),
        ("evaluation_interval: 15s", "evaluation_interval: 1s".to_owned()),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, &to);
    }
    fs::write(dir.join("prometheus.yml"), text).unwrap();
    for path in files("prometheus/rules") {
        fs::create_dir_all(dir.join("rules")).unwrap();
        fs::copy(&path, dir.join("rules").join(path.file_name().unwrap())).unwrap();
    }
    fs::create_dir(dir.join("secrets")).unwrap();
    fs::write(dir.join("secrets/observatory_token"), format!("{TOKEN}\n")).unwrap();
}

#[test]
fn beside_prometheus_and_alertmanager_of_debian() {
    beside(Peer::System);
}

#[test]
fn beside_a_current_prometheus_and_alertmanager() {
    beside(Peer::Current);
}

/// Alertmanager and Prometheus beside `server`, with what is shipped for them.
fn stack(peer: Peer, server: &Server, people: &People) -> Option<(Alertmanager, Prometheus)> {
    let ca = people.smtpd.ca();
    let trust = [("SSL_CERT_FILE", ca.to_str().unwrap())];
    let am = Alertmanager::start_prepared(peer, &trust, |dir| alertmanager(dir, server, people))?;
    let features = ["native-histograms"];
    let prometheus = Prometheus::start_prepared(peer, &features, |dir, own| {
        prometheus(dir, server.addr, am.addr, own);
    })?;
    Some((am, prometheus))
}

fn beside(peer: Peer) {
    let Some(mut people) = People::start() else { return };
    let server = Server::start_with(Settings::new().token(TOKEN));
    let mut client = client(&server);
    let url = format!("http://{}/metrics", server.addr);
    let agent = json!({"agent_id": "coder-1", "agent_type": "coder", "metrics_url": url});
    client
        .event(&json!({"event_type": "agent_registered", "source": "s", "data": agent}))
        .expect(202);
    let Some((am, prometheus)) = stack(peer, &server, &people) else { return };
    prometheus.eventually("up{job=\"observatory\"}", |it| it > 0.0);
    let began = Instant::now();
    deployment(&mut client, "failed");
    eventually(LONG, || {
        let found = am.firing().iter().any(|it| it == "ProductionDeploymentFailed");
        found.then_some(()).ok_or_else(|| (prometheus.query("ALERTS"), prometheus.log(), am.log()))
    });
    // Slack, the webhook with its token, and mail.
    let slack = heard(&people.slack, &["FIRING:1", "ProductionDeploymentFailed"], || am.log());
    assert!(slack.body.contains("The deployment of api to production failed."), "{}", slack.body);
    let words = ["ProductionDeploymentFailed", "\"status\":\"firing\""];
    let pager = told(&people.pager, &words);
    eprintln!("{peer:?}: people were told within {:?}", began.elapsed());
    assert_eq!(pager.headers["authorization"], "Bearer token-of-the-pager");
    let mail = people.smtpd.mail();
    assert_eq!((&mail["tls"], &mail["authenticated"]), (&json!(true), &json!(true)), "{mail}");
    assert_eq!(mail["to"], json!(["ops@example.org"]));
    let text = mail["plain"].as_str().unwrap();
    assert!(text.contains("and none has succeeded since."), "{mail}");
    assert!(mail["headers"]["subject"].as_str().unwrap().starts_with("[FIRING:1] "), "{mail}");
    // The journal has it, once however often it is sent.
    let name = "ProductionDeploymentFailed";
    let event = eventually(LONG, || events(&mut client, "alert_firing", name).pop().ok_or("none"));
    assert_eq!(
        (&event["data"]["severity"], &event["data"]["labels"]["service"]),
        (&json!("critical"), &json!("api"))
    );
    let again = client.post("/api/v1/alertmanager", "application/json", pager.body.as_bytes());
    assert_eq!(again.expect(200).json(), json!({"accepted": 0, "duplicates": 1}));
    assert_eq!(events(&mut client, "alert_firing", name).len(), 1);
    // The watchdog is heard again and again.
    eventually(LONG, || {
        let n = events(&mut client, "alert_heartbeat", "Watchdog").len();
        if n >= 2 { Ok(()) } else { Err((n, am.firing(), am.log())) }
    });
    // The agent was found, and is scraped under its name.
    eventually(LONG, || {
        let up = prometheus.query("up{job=\"agents\",agent=\"coder-1\"}");
        if up.iter().any(|it| it.1 > 0.0) {
            return Ok(());
        }
        let listed = client.get("/api/v1/sd/agents").text();
        Err(format!("{up:?}, {listed}\n{}", prometheus.log()))
    });
    it_is_over(&mut client, &mut people);
    // No rule failed, and a rule about histograms has a value of what was scraped.
    prometheus.eventually("sum(prometheus_rule_evaluation_failures_total)", |it| it == 0.0);
    let of_histogram = "job:observatory_ingest_duration_seconds:p99_5m{job=\"observatory\"}";
    prometheus.eventually(of_histogram, |it| it > 0.0 && it < 10.0);
}

/// The next deployment succeeds, and everybody hears of it.
fn it_is_over(client: &mut Client, people: &mut People) {
    let name = "ProductionDeploymentFailed";
    deployment(client, "success");
    told(&people.slack, &["RESOLVED", name]);
    told(&people.pager, &[name, "\"status\":\"resolved\""]);
    let mail = people.smtpd.mail();
    assert!(mail["plain"].as_str().unwrap().contains("Over: "), "{mail}");
    eventually(LONG, || events(client, "alert_resolved", name).pop().ok_or("none"));
}

/// Without anything beside it: the shipped rule, and three channels.
#[test]
fn alone() {
    let Some(mut people) = People::start() else { return };
    let server =
        Server::start_with(people.smtpd.settings().env("OBSERVATORY_NOTIFY_GROUP_INTERVAL", "1s"));
    let mut client = server.client();
    channel(&mut client, "slack", &json!({"webhook_url": people.slack.url()}));
    channel(
        &mut client,
        "webhook",
        &json!({"url": people.pager.url(), "bearer_token": "token-of-the-pager"}),
    );
    let began = Instant::now();
    deployment(&mut client, "failed");
    let summary = "api: the deployment to production failed";
    let pager = told(&people.pager, &["alert.firing", summary]);
    eprintln!("alone: the webhook was told within {:?}", began.elapsed());
    assert_eq!(pager.headers["authorization"], "Bearer token-of-the-pager");
    told(&people.slack, &[summary]);
    let mail = people.smtpd.mail();
    assert_eq!((&mail["tls"], &mail["authenticated"]), (&json!(true), &json!(true)), "{mail}");
    assert!(mail["plain"].as_str().unwrap().contains(summary), "{mail}");
    deployment(&mut client, "success");
    told(&people.pager, &["alert.resolved", "Deployment failed"]);
    told(&people.slack, &["RESOLVED"]);
    let mail = people.smtpd.mail();
    assert_eq!(mail["headers"]["x-observatory-status"], "resolved", "{mail}");
}
