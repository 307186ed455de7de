//! `SMTP_*` and `WEBHOOK_URL`, as other tools know them, make channels that rules name.

use super::sink::Sink;
use super::{CHANNELS, DELIVERIES, Smtpd, probe, probe_rule};
use crate::support::{Server, eventually};
use serde_json::{Value, json};
use std::time::Duration;

/// One alert, three channels, three deliveries.
#[test]
fn one_alert_goes_to_mail_slack_and_webhook() {
    let Some(mut smtpd) = Smtpd::start("starttls") else { return };
    let (hook, slack) = (Sink::start(|_| (200, "")), Sink::start(|_| (200, "")));
    let server = Server::start_with(smtpd.settings().env("WEBHOOK_URL", &hook.url()));
    let mut client = server.client();
    let made = json!({"name": "slack", "type": "slack", "config": {"webhook_url": slack.url()}});
    client.post(CHANNELS, "application/json", made.to_string().as_bytes()).expect(201);
    let listed = client.get(CHANNELS).expect(200).json();
    let listed: Vec<_> = listed["channels"].as_array().unwrap().iter().collect();
    let shown: Vec<_> =
        listed.iter().map(|it| (&it["name"], &it["type"], &it["configured"])).collect();
    let expected = [("email", true), ("slack", false), ("webhook", true)];
    let expected = expected.map(|(name, configured)| (json!(name), json!(name), json!(configured)));
    assert_eq!(shown, expected.each_ref().map(|(a, b, c)| (a, b, c)));
    assert_eq!(listed[2]["config"]["url"], format!("http://{}/***", hook.addr));
    client.request("DELETE", &format!("{CHANNELS}/email"), &[], b"").expect(409);

    probe_rule(&mut client, "critical", &["email", "slack", "webhook"]);
    client.event(&probe(1, "bad")).expect(202);
    let mail = smtpd.mail();
    assert_eq!(mail["headers"]["x-observatory-severity"], "critical", "{mail}");
    assert_eq!((&mail["tls"], &mail["authenticated"]), (&json!(true), &json!(true)));
    assert_eq!(mail["from"], "alerts@example.org", "{mail}");
    assert_eq!(mail["to"], json!(["ops@example.org", "night@example.org"]));
    let first = |sink: &Sink| -> Value {
        eventually(Duration::from_secs(20), || {
            sink.taken().first().map(|it| it.1.clone()).ok_or("nothing came")
        })
    };
    let (said, sent) = (first(&slack), first(&hook));
    assert!(said["text"].as_str().unwrap().starts_with("[FIRING:critical] Probe"), "{said}");
    assert_eq!(said["attachments"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&sent["type"], &sent["data"]["alerts"][0]["labels"]["key"]),
        (&json!("alert.firing"), &json!("1"))
    );
    eventually(Duration::from_secs(20), || {
        let log = server.client().get(&format!("{DELIVERIES}?state=sent")).expect(200).json();
        if log["notifications"].as_array().unwrap().len() == 3 { Ok(()) } else { Err(log) }
    });
}
