//! `alertmanager-v4` beside a real Alertmanager that is told of the same alert.

use super::sink::Sink;
use super::{channel, private, probe, probe_rule};
use crate::support::{Alertmanager, Peer, Server, eventually};
use serde_json::{Map, Value, json};
use std::{fs, path::Path, time::Duration};

/// The names and types of a value, without what it is.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(it) => {
            it.iter().map(|(name, it)| (name.clone(), shape(it))).collect::<Map<_, _>>().into()
        }
        Value::Array(it) => it.iter().map(shape).collect(),
        Value::String(_) => "a text".into(),
        Value::Number(_) => "a number".into(),
        Value::Bool(_) => "yes or no".into(),
        Value::Null => Value::Null,
    }
}

/// The body of the first message with this status.
#[track_caller]
fn body(sink: &Sink, status: &str) -> Value {
    eventually(Duration::from_secs(30), || {
        let found = sink.taken().into_iter().map(|(_, it)| it).find(|it| it["status"] == status);
        found.ok_or_else(|| sink.got())
    })
}

#[test]
fn a_webhook_in_the_manner_of_alertmanager_has_what_a_real_one_sends() {
    let (theirs, ours) = (Sink::start(|_| (200, "")), Sink::start(|_| (200, "")));
    let configuration = format!(
        "route: {{receiver: the webhook channel, group_by: [alertname], group_wait: 0s, group_interval: 1s}}\n\
         receivers: [{{name: the webhook channel, webhook_configs: [{{url: '{}'}}]}}]\n",
        theirs.url()
    );
    let prepare = |dir: &Path| fs::write(dir.join("am.yml"), &configuration).unwrap();
    let Some(alertmanager) = Alertmanager::start_prepared(Peer::System, &[], prepare) else {
        return;
    };
    let settings = private()
        .env("OBSERVATORY_NOTIFY_GROUP_INTERVAL", "100ms")
        .env("OBSERVATORY_NOTIFY_EXTERNAL_URL", "http://observatory.example.org");
    let server = Server::start_with(settings);
    let mut client = server.client();
    let forward = channel(&mut client, "alertmanager", &json!({"urls": [alertmanager.url()]}));
    let config = json!({"url": ours.url(), "body": "alertmanager-v4"});
    let hook = channel(&mut client, "webhook", &config);
    probe_rule(&mut client, "high", &[&forward, &hook]);
    for (state, status) in [("bad", "firing"), ("good", "resolved")] {
        client.event(&probe(7, state)).expect(202);
        let (theirs, ours) = (body(&theirs, status), body(&ours, status));
        assert_eq!(shape(&theirs), shape(&ours), "{theirs:#}\n{ours:#}");
        for name in [
            "receiver",
            "status",
            "version",
            "groupLabels",
            "commonLabels",
            "commonAnnotations",
            "truncatedAlerts",
        ] {
            assert_eq!(theirs[name], ours[name], "{name}");
        }
        for name in ["status", "labels", "annotations", "generatorURL", "fingerprint"] {
            assert_eq!(theirs["alerts"][0][name], ours["alerts"][0][name], "{name}");
        }
        let times = |it: &Value| {
            let alert = &it["alerts"][0];
            // Alertmanagers keep milliseconds.
            [&alert["startsAt"], &alert["endsAt"]].map(|it| it.as_str().unwrap()[..19].to_owned())
        };
        assert_eq!(times(&theirs), times(&ours));
    }
}
