//! Prometheus tells us as it would an Alertmanager, and we tell Alertmanagers as a Prometheus would.

use super::run;
use crate::notify::{channel, private};
use crate::support::{Alertmanager, Client, Peer, Prometheus, Server, eventually, tools};
use serde_json::{Value, json};
use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

const LONG: Duration = Duration::from_secs(20);

fn active(client: &mut Client) -> Vec<Value> {
    let alerts = client.get("/api/v1/monitoring/alerts").expect(200).json();
    alerts["alerts"].as_array().unwrap().clone()
}

#[test]
fn prometheus_of_debian_takes_us_for_an_alertmanager() {
    told_by(Peer::System);
}

#[test]
fn a_current_prometheus_takes_us_for_an_alertmanager() {
    told_by(Peer::Current);
}

/// A rule fires there, and is one of our alerts, which the amtool of the same age lists and silences, until it is over.
fn told_by(peer: Peer) {
    let Some(amtool) = tools::amtool(peer) else { return };
    let server = Server::start();
    let rules = "groups: [{name: g, rules: [{alert: Pushed, expr: 'level > 5', labels: {severity: critical, team: a}, \
                 annotations: {summary: 'level {{ $value }}'}}]}]";
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         rule_files: [rules.yml]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{0}']}}]}}]}}\n\
         scrape_configs:\n- {{job_name: observatory, honor_labels: true, static_configs: [{{targets: ['{0}']}}]}}\n\
         - {{job_name: prometheus, static_configs: [{{targets: ['OWN']}}]}}\n",
        server.addr
    );
    let Some(prometheus) = Prometheus::start_prepared(peer, &[], |dir, own| {
        fs::write(dir.join("prometheus.yml"), config.replace("OWN", &own.to_string())).unwrap();
        fs::write(dir.join("rules.yml"), rules).unwrap();
    }) else {
        return;
    };
    let mut client = server.client();
    client.post("/metrics/job/tank", "text/plain", b"level 7\n").expect(200);
    let alert = eventually(LONG, || active(&mut client).pop().ok_or("no alert"));
    assert_eq!(
        (&alert["labels"]["alertname"], &alert["labels"]["job"], &alert["labels"]["team"]),
        (&json!("Pushed"), &json!("tank"), &json!("a"))
    );
    assert_eq!(alert["annotations"]["summary"], "level 7", "{alert}");
    let url = format!("--alertmanager.url=http://{}", server.addr);
    let amtool = |arguments: &[&str]| run(Command::new(&amtool).args(arguments).arg(&url));
    assert!(amtool(&["alert", "query", "team=a", "-o", "simple"]).contains("Pushed"));
    let add =
        ["silence", "add", "alertname=Pushed", "--comment=c", "--author=ann", "--duration=1h"];
    let id = amtool(&add);
    assert!(!amtool(&["alert", "query", "-o", "simple"]).contains("Pushed"));
    let silenced = active(&mut client).pop().unwrap();
    assert_eq!((&silenced["id"], &silenced["status"]), (&alert["id"], &json!("silenced")));
    assert!(amtool(&["silence", "query"]).contains(id.trim()));
    amtool(&["silence", "expire", id.trim()]);
    assert!(amtool(&["alert", "query", "-o", "simple"]).contains("Pushed"));
    // Prometheus says that it is over.
    client.post("/metrics/job/tank", "text/plain", b"level 3\n").expect(200);
    eventually(LONG, || active(&mut client).is_empty().then_some(()).ok_or("it still fires"));
    let over = client.get("/api/v1/monitoring/alerts?status=resolved").expect(200).json();
    assert_eq!(over["alerts"][0]["id"], alert["id"], "{over}");
    // And is content with our answers.
    prometheus.eventually("sum(prometheus_notifications_sent_total)", |it| it > 0.0);
    let failed =
        "sum(prometheus_notifications_errors_total) + sum(prometheus_notifications_dropped_total)";
    prometheus.eventually(failed, |it| it == 0.0);
}

#[test]
fn what_fires_stays_alive_in_an_alertmanager_for_as_long_as_it_fires() {
    let (Some(debian), Some(current)) =
        (Alertmanager::start(Peer::System), Alertmanager::start(Peer::Current))
    else {
        return;
    };
    // It ends there four seconds after it was last sent.
    let settings = private().env("OBSERVATORY_NOTIFY_RESEND_INTERVAL", "1s");
    let mut server = Server::start_with(settings);
    let mut client = server.client();
    channel(&mut client, "alertmanager", &json!({"urls": [debian.url(), current.url()]}));
    let data = json!({"project": "web", "branch": "main", "status": "failed"});
    client
        .event(&json!({"event_type": "ci_build_completed", "source": "ci", "data": data}))
        .expect(202);
    let ours = "Build failed on a default branch".to_owned();
    // One that nobody sends again, with the same end.
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(4);
    let once = json!([{"labels": {"alertname": "Once"}, "endsAt": end.to_string()}]).to_string();
    let both = [&debian, &current];
    for it in both {
        let mut client = Client::new(it.addr);
        client.post("/api/v2/alerts", "application/json", once.as_bytes()).expect(200);
        eventually(LONG, || it.firing().contains(&ours).then_some(()).ok_or_else(|| it.firing()));
        assert!(it.firing().contains(&"Once".to_owned()));
    }
    // Twice as long as it would live by itself.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        assert!(both.iter().all(|it| it.firing().contains(&ours)), "after {:?}", began.elapsed());
        thread::sleep(Duration::from_millis(200));
    }
    assert!(both.iter().all(|it| !it.firing().contains(&"Once".to_owned())));
    // Who is dead sends nothing, and it is forgotten; who comes back sends it at once.
    server.kill9();
    eventually(LONG, || both.iter().all(|it| it.firing().is_empty()).then_some(()).ok_or(()));
    server.restart();
    eventually(LONG, || both.iter().all(|it| it.firing().contains(&ours)).then_some(()).ok_or(()));
}
