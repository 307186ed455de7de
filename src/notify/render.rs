//! What messages say.

use super::message::{Entry, Kind, Message};
use crate::alerts::{Alert, Severity, Status, fingerprint};
use crate::event::Time;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Steps that a template may take: enough for fifty alerts with a hundred labels.
const FUEL: u64 = 200_000;
/// Bytes that a template may make.
const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// What stands for a time that is not known, where Go programs read it.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// One line that says it all, its stable part first.
pub(super) fn title(message: &Message) -> String {
    let Some(lead) = message.leading() else { return String::new() };
    let [firing, resolved] = counts(message);
    let name = &lead.alert.rule_name;
    match (message.kind, firing, resolved) {
        (Kind::Test, ..) => "[TEST] Observatory can reach this channel".to_owned(),
        (Kind::Digest, firing, 0) => {
            format!("[FIRING:{firing}] {}", names(message))
        }
        (Kind::Digest, 0, resolved) => {
            format!("[RESOLVED:{resolved}] {}", names(message))
        }
        (Kind::Digest, firing, resolved) => {
            format!("[FIRING:{firing} RESOLVED:{resolved}] {}", names(message))
        }
        _ => {
            let key = key(&lead.alert);
            let key = if key.is_empty() { key } else { format!(" — {key}") };
            format!("[{}] {name}{key}", heading(lead))
        }
    }
}

/// `FIRING:critical`, `RESOLVED`, ...
pub(super) fn heading(entry: &Entry) -> String {
    match entry.kind {
        Kind::Resolved if entry.merged => "FIRED AND RESOLVED".to_owned(),
        Kind::Resolved => "RESOLVED".to_owned(),
        kind => {
            let word = if kind == Kind::Firing { "FIRING" } else { &kind.as_str().to_uppercase() };
            format!("{word}:{}", entry.alert.severity)
        }
    }
}

fn counts(message: &Message) -> [usize; 2] {
    let resolved = message.entries.iter().filter(|it| it.kind == Kind::Resolved).count();
    [message.entries.len() - resolved, resolved]
}

/// The names of the rules, each once.
fn names(message: &Message) -> String {
    let mut names: Vec<&str> = Vec::new();
    for it in &message.entries {
        if !names.contains(&it.alert.rule_name.as_str()) {
            names.push(&it.alert.rule_name);
        }
    }
    let more = names.len().saturating_sub(3);
    names.truncate(3);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.join(", ") + &more
}

/// The labels that tell an alert from others of its rule, in few words.
pub(super) fn key(alert: &Alert) -> String {
    let labels = alert.labels.iter().filter(|(name, value)| {
        !matches!(name.as_str(), "alertname" | "severity") && !value.is_empty()
    });
    let values: Vec<&str> = labels.map(|(_, value)| value.as_str()).take(4).collect();
    values.join(" ")
}

/// What people read first: the annotation, or what the numbers say.
pub(super) fn summary(alert: &Alert) -> String {
    let written = ["summary", "message", "description"];
    let written = written.iter().find_map(|it| alert.annotations.get(*it));
    if let Some(it) = written.filter(|it| !it.is_empty()) {
        return it.clone();
    }
    match (alert.value, alert.threshold) {
        (Some(value), Some(threshold)) => {
            format!("{}: {value}, threshold {threshold}", alert.rule_name)
        }
        (Some(value), None) => format!("{}: {value}", alert.rule_name),
        _ => alert.rule_name.clone(),
    }
}

/// What is known of an alert beside its labels, in words for people.
pub(super) fn facts(entry: &Entry) -> Vec<(&'static str, String)> {
    let alert = &entry.alert;
    let mut res = vec![("Severity", alert.severity.to_string())];
    let number = |it: f64| it.to_string();
    res.extend(alert.value.map(|it| ("Value", number(it))));
    res.extend(alert.threshold.map(|it| ("Threshold", number(it))));
    res.push(("Since", alert.starts_at.to_string()));
    if let Some(end) = alert.ends_at.filter(|_| entry.kind == Kind::Resolved) {
        let lasted = duration(end.seconds_since(alert.starts_at));
        res.push(("Until", format!("{end} (after {lasted})")));
    }
    if let Some(it) = &alert.acknowledged {
        let comment =
            if it.comment.is_empty() { String::new() } else { format!(": {}", it.comment) };
        res.push(("Acknowledged", format!("by {}{comment}", it.by)));
    }
    res
}

/// `1d 2h`, `3m 20s`, `0s`: the two largest units.
fn duration(seconds: f64) -> String {
    let mut rest = if seconds.is_finite() && seconds > 0.0 { seconds.round() } else { 0.0 };
    let mut parts = Vec::new();
    for (unit, size) in [("d", 86_400.0), ("h", 3_600.0), ("m", 60.0), ("s", 1.0)] {
        let n = (rest / size).floor();
        rest -= n * size;
        if n > 0.0 {
            parts.push(format!("{n}{unit}"));
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// Where people see the alert.
pub(super) fn link(message: &Message, alert: &Alert) -> Option<String> {
    let base = message.external_url.as_ref()?;
    Some(format!("{}/#/alerts/{}", base.trim_end_matches('/'), alert.id))
}

/// The whole message as plain text.
pub(super) fn text(message: &Message) -> String {
    let mut res = String::new();
    for entry in &message.entries {
        let alert = &entry.alert;
        res += &format!("[{}] {}\n{}\n", heading(entry), alert.rule_name, summary(alert));
        for (name, value) in facts(entry) {
            res += &format!("  {name}: {value}\n");
        }
        for (name, value) in &alert.labels {
            res += &format!("  {name} = {value}\n");
        }
        if let Some(it) = alert.annotations.get("runbook_url") {
            res += &format!("  Runbook: {it}\n");
        }
        if let Some(it) = link(message, alert) {
            res += &format!("  {it}\n");
        }
        res.push('\n');
    }
    res
}

/// The body of a webhook as Standard Webhooks has it.
pub(super) fn standard(message: &Message) -> Value {
    let what = match message.kind {
        Kind::Digest => "alerts.digest".to_owned(),
        kind => format!("alert.{kind}"),
    };
    json!({
        "type": what,
        "timestamp": message.created,
        "data": {
            "id": message.id,
            "title": title(message),
            "group": message.group,
            "external_url": message.external_url,
            "alerts": message.entries.iter().map(|it| {
                let mut alert = json!(it.alert);
                if let Value::Object(alert) = &mut alert {
                    alert.insert("kind".to_owned(), json!(it.kind));
                    alert.insert("transition".to_owned(), it.transition.into());
                    alert.insert("fired_and_resolved".to_owned(), it.merged.into());
                }
                alert
            }).collect::<Vec<_>>(),
        },
    })
}

/// The labels as Prometheus and Alertmanager know them: `alertname`, and a `severity` in their words; names that
/// they would refuse and empty values are left out.
pub(super) fn labels(alert: &Alert) -> BTreeMap<String, String> {
    let mut res: BTreeMap<String, String> = alert
        .labels
        .iter()
        .filter(|(name, value)| is_label(name) && !value.is_empty())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    res.entry("alertname".to_owned()).or_insert_with(|| alert.rule_name.clone());
    let severity = res.entry("severity".to_owned()).or_default();
    if severity.is_empty() || *severity == alert.severity.as_str() {
        *severity = alert.severity.as_alertmanager().to_owned();
    }
    res
}

fn is_label(name: &str) -> bool {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What people read of an alert, with a summary in any case.
fn annotations(alert: &Alert) -> BTreeMap<String, String> {
    let mut res: BTreeMap<String, String> = alert
        .annotations
        .iter()
        .filter(|(name, _)| is_label(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    res.entry("summary".to_owned()).or_insert_with(|| summary(alert));
    res
}

/// An alert for `/api/v2/alerts`.
pub(super) fn postable(alert: &Alert, ends_at: Time, external_url: Option<&str>) -> Value {
    let generator =
        external_url.map(|it| format!("{}/#/alerts/{}", it.trim_end_matches('/'), alert.id));
    json!({
        "labels": labels(alert),
        "annotations": annotations(alert),
        "startsAt": alert.starts_at.min(ends_at),
        "endsAt": ends_at,
        "generatorURL": generator.unwrap_or_default(),
    })
}

/// The body of a webhook as the Alertmanager sends it, version 4.
pub(super) fn alertmanager_v4(message: &Message, receiver: &str) -> Value {
    let all: Vec<_> = message.entries.iter().map(|it| labels(&it.alert)).collect();
    let notes: Vec<_> = message.entries.iter().map(|it| annotations(&it.alert)).collect();
    let name = all.first().and_then(|it| it.get("alertname")).cloned().unwrap_or_default();
    let same_name = all.iter().all(|it| it.get("alertname") == Some(&name));
    let group_labels: BTreeMap<&str, &str> =
        same_name.then_some(("alertname", name.as_str())).into_iter().collect();
    let group_key = match (&message.group, same_name) {
        (Some(it), _) => it.clone(),
        (None, true) => format!("{{}}:{{alertname={name:?}}}"),
        (None, false) => "{}:{}".to_owned(),
    };
    let base = message.external_url.clone().unwrap_or_default();
    let alerts = message.entries.iter().zip(&all).zip(&notes).map(|((entry, labels), notes)| {
        let alert = &entry.alert;
        let resolved = entry.kind == Kind::Resolved;
        let ends = alert.ends_at.filter(|_| resolved).map(|it| it.to_string());
        json!({
            "status": if resolved { "resolved" } else { "firing" },
            "labels": labels,
            "annotations": notes,
            "startsAt": alert.starts_at,
            "endsAt": ends.unwrap_or_else(|| ZERO_TIME.to_owned()),
            "generatorURL": link(message, alert).unwrap_or_default(),
            // Of these labels, as an Alertmanager has it, whose words for the severity they have.
            "fingerprint": fingerprint(labels),
        })
    });
    json!({
        "receiver": receiver,
        "status": if message.is_resolved() { "resolved" } else { "firing" },
        "alerts": alerts.collect::<Vec<_>>(),
        "groupLabels": group_labels,
        "commonLabels": common(&all),
        "commonAnnotations": common(&notes),
        "externalURL": base,
        "version": "4",
        "groupKey": group_key,
        "truncatedAlerts": 0,
    })
}

/// What all have alike.
fn common(all: &[BTreeMap<String, String>]) -> BTreeMap<&String, &String> {
    let Some((first, rest)) = all.split_first() else { return BTreeMap::new() };
    first
        .iter()
        .filter(|(name, value)| rest.iter().all(|it| it.get(*name) == Some(*value)))
        .collect()
}

/// What a template makes of a message. What should be JSON must be.
pub(super) fn template(template: &str, media: &str, message: &Message) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    let lead = message.leading().map(|it| &it.alert);
    let context = json!({
        "id": message.id,
        "kind": message.kind,
        "status": if message.is_resolved() { Status::Resolved } else { Status::Firing },
        "severity": lead.map(|it| it.severity),
        "title": title(message),
        "summary": lead.map(summary),
        "text": text(message),
        "group": message.group,
        "external_url": message.external_url,
        "timestamp": message.created,
        "alert": lead,
        "alerts": message.entries.iter().map(|it| &it.alert).collect::<Vec<_>>(),
    });
    let made = environment.render_str(template, minijinja::value::Serde(&context));
    let made = made.map_err(|it| match it.line() {
        Some(line) => format!("line {line} of the template: {it}"),
        None => format!("the template: {it}"),
    })?;
    if made.len() > MAX_OUTPUT_BYTES {
        return Err(format!("the template made more than {MAX_OUTPUT_BYTES} bytes"));
    }
    if media.starts_with("application/json")
        && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&made)
    {
        return Err(format!(
            "the template makes no JSON: {error}; write texts as {{{{ title|tojson }}}}"
        ));
    }
    Ok(made)
}

/// A message to try things with, all of whose parts are there, some with characters that are easily got wrong.
pub(super) fn sample() -> Message {
    let alert = test_alert("sample", Time::from_millis(1_767_607_200_000));
    let entry = Entry { kind: Kind::Test, transition: 1, merged: false, alert };
    Message {
        id: "msg_00000000000000000000000000".to_owned(),
        kind: Kind::Test,
        group: None,
        entries: vec![entry],
        external_url: Some("https://observatory.example.org".to_owned()),
        created: Time::from_millis(1_767_607_200_000),
    }
}

/// The alert of a test.
pub(super) fn test_alert(id: &str, now: Time) -> Alert {
    let texts = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    Alert {
        id: format!("test-{id}"),
        rule_id: "test".to_owned(),
        rule_name: "TestNotification".to_owned(),
        fingerprint: "0000000000000000".to_owned(),
        labels: texts(&[("alertname", "TestNotification"), ("sent_by", "a person")]),
        annotations: texts(&[(
            "summary",
            "This is a test: \"quotes\", <brackets> & an ampersand arrive as they are.",
        )]),
        severity: Severity::Low,
        status: Status::Firing,
        value: Some(1.0),
        threshold: Some(0.5),
        starts_at: now,
        ..Alert::default()
    }
}

#[cfg(test)]
mod tests;
