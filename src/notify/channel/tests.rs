use super::*;
use crate::notify::guard::Guard;

const GUARD: Guard = Guard { allow_private: false };

fn reading() -> Reading {
    Reading { guard: Some(GUARD), has_smtp: false }
}

fn channel(body: &Value) -> Channel {
    let draft = reading().read(body.as_object().unwrap(), None).unwrap();
    Channel {
        id: "ch_1".to_owned(),
        name: draft.name,
        enabled: draft.enabled,
        disabled_reason: None,
        send_resolved: draft.send_resolved,
        target: draft.target,
        created: Some(Time::default()),
        updated: Some(Time::default()),
    }
}

fn webhook() -> Channel {
    channel(&json!({"name": "ops", "type": "webhook", "config": {
        "url": "https://example.org/hook/s3cr3t?token=s3cr3t",
        "secret": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0",
        "headers": {"X-Api-Key": "s3cr3t"}, "bearer_token": "s3cr3t", "timeout": "5s"}}))
}

#[track_caller]
fn check_faults(body: &Value, expected: &[&str]) {
    let faults = reading().read(body.as_object().unwrap(), None).unwrap_err();
    let said: Vec<_> = faults.iter().map(|it| format!("{} {}", it.field, it.reason)).collect();
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said}\n{expected}");
    }
    assert_eq!(said.len(), expected.len(), "{said:#?}");
}

#[test]
fn secrets_are_masked_and_a_mask_that_comes_back_changes_nothing() {
    let old = webhook();
    let view = old.view();
    assert!(!view.to_string().contains("s3cr3t"), "{view}");
    assert!(!view.to_string().contains("c2VjcmV0"), "{view}");
    let debug = format!("{old:?}");
    assert!(!debug.contains("c2VjcmV0") && !debug.contains("s3cr3t"), "{debug}");
    assert_eq!(view["config"]["url"], "https://example.org/***");
    assert_eq!(view["config"]["headers"], json!({"x-api-key": "***", "authorization": "***"}));
    let same = reading().read(view.as_object().unwrap(), Some(&old)).unwrap();
    assert_eq!(same.target, old.target);
}

#[test]
fn a_part_of_a_channel_can_be_changed() {
    let old = webhook();
    let change = |body: Value| reading().read(body.as_object().unwrap(), Some(&old)).unwrap();
    let disabled = change(json!({"enabled": false}));
    assert!(!disabled.enabled);
    assert_eq!((disabled.target, disabled.name.as_str()), (old.target.clone(), "ops"));
    let Target::Webhook(it) = change(json!({"config": {"headers": {"x-api-key": "***"}}})).target
    else {
        panic!()
    };
    assert_eq!(it.headers, [("x-api-key".to_owned(), Secret::new("s3cr3t"))]);
    assert_eq!(it.secrets.len(), 1);
    let Target::Webhook(it) = change(json!({"config": {"secrets": null}})).target else { panic!() };
    assert!(it.secrets.is_empty());
    let slack = json!({"type": "slack", "config": {"url": "https://hooks.slack.com/services/x"}});
    assert!(matches!(change(slack).target, Target::Slack(Slack::Hook(_))));
}

#[test]
fn every_kind_reads_back_what_it_wrote() {
    let bodies = [
        json!({"name": "a", "type": "email", "config": {"host": "smtp.example.org", "port": 465,
            "username": "u", "password": "p", "from": "Alerts <a@example.org>", "to": ["b@example.org", "C D <c@example.org>"]}}),
        json!({"name": "a", "type": "slack", "config": {"bot_token": "xoxb-1", "channel": "#ops"}}),
        json!({"name": "a", "type": "webhook", "send_resolved": false, "config": {"url": "https://example.org/",
            "body": "template", "template": "{\"text\": {{ title|tojson }}}"}}),
        json!({"name": "a", "type": "alertmanager", "config": {"urls": ["https://am.example.org/"],
            "username": "u", "password": "p"}}),
    ];
    for body in bodies {
        let channel = channel(&body);
        let config = Value::Object(channel.target.to_json(Secrets::Plain));
        let body = json!({"name": "a", "type": channel.target.kind(), "config": config});
        let again = reading().read(body.as_object().unwrap(), None).unwrap();
        assert_eq!(again.target, channel.target);
    }
}

#[test]
fn what_is_wrong_is_said_with_its_field() {
    check_faults(&json!({}), &["name is missing", "type is missing", "config is missing"]);
    check_faults(
        &json!({"nam": "x", "name": "a/b", "type": "webhook", "config": {"url": "http://127.0.0.1/", "secret": "short", "bdy": "x"}}),
        &[
            "name must have",
            "nam is not known, did you mean `name`?",
            "config.url 127.0.0.1 is a loopback address",
            "config.secret must be `whsec_`",
            "config.bdy is not known, did you mean `body`?",
        ],
    );
    check_faults(
        &json!({"name": "a", "type": "webhook", "config": {"url": "https://example.org/***", "headers": {"Host": "x", "a b": "c"}}}),
        &[
            "config.url is a mask",
            "config.headers must not have `host`",
            "config.headers `a b` cannot",
        ],
    );
    check_faults(
        &json!({"name": "a", "type": "webhook", "config": {"url": "https://example.org/", "template": "{{ x"}}),
        &["config.template line 1 of the template"],
    );
    check_faults(
        &json!({"name": "a", "type": "webhook", "config": {"url": "https://example.org/", "template": "{\"text\": {{ title }}}"}}),
        &["config.template the template makes no JSON"],
    );
    check_faults(
        &json!({"name": "a", "type": "email", "config": {"to": "nobody", "password": "x", "tls": "maybe"}}),
        &[
            "config.to must be addresses",
            "config.tls must be",
            "config.username and `password`",
            "config.host is missing",
            "config.from is missing",
        ],
    );
    check_faults(
        &json!({"name": "a", "type": "slack", "config": {"url": "http://hooks.slack.com/x"}}),
        &["config.url must begin with https://"],
    );
    check_faults(
        &json!({"name": "a", "type": "alertmanager", "config": {"urls": ["http://10.0.0.1:9093"]}}),
        &["config.urls `http://10.0.0.1:9093` 10.0.0.1 is a private address"],
    );
}

#[test]
fn what_other_tools_write_is_read() {
    let reading = Reading { guard: Some(GUARD), has_smtp: true };
    let body = json!({"name": "mail", "type": "email", "config": {"email": "ops@example.org"}, "enabled": true});
    let draft = reading.read(body.as_object().unwrap(), None).unwrap();
    let Target::Email(it) = draft.target else { panic!() };
    assert_eq!((it.server, it.from, it.to.len()), (None, None, 1));
}
