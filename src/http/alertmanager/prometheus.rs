//! `/api/v1/rules` and `/api/v1/alerts` as Prometheus answers them (HTTP API, version 1).

use super::super::endpoint::Call;
use super::super::error::ApiError;
use super::super::params;
use super::super::reply;
use crate::alerting::RuleView;
use crate::alerts::{Alert, Kind, Rule, Status};
use crate::event::Time;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Answer<T> {
    status: &'static str,
    data: T,
}

/// What `/api/v1/rules` has for clients of Prometheus.
#[derive(Serialize)]
pub(in crate::http) struct Groups<'a> {
    groups: Vec<Group<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group<'a> {
    name: &'static str,
    file: &'static str,
    rules: Vec<Alerting<'a>>,
    interval: f64,
    limit: u32,
    evaluation_time: f64,
    last_evaluation: Time,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alerting<'a> {
    state: &'static str,
    name: &'a str,
    query: String,
    duration: f64,
    keep_firing_for: f64,
    labels: BTreeMap<&'a str, &'a str>,
    annotations: &'a BTreeMap<String, String>,
    alerts: Vec<Active<'a>>,
    health: &'static str,
    evaluation_time: f64,
    last_evaluation: Time,
    r#type: &'static str,
}

#[derive(Serialize)]
struct Alerts<'a> {
    alerts: Vec<Active<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Active<'a> {
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    state: &'static str,
    active_at: Time,
    value: String,
}

fn active(it: &Alert) -> Active<'_> {
    Active {
        labels: &it.labels,
        annotations: &it.annotations,
        state: if it.status == Status::Firing { "firing" } else { "pending" },
        active_at: it.starts_at,
        value: format!("{:e}", it.value.unwrap_or(1.0)),
    }
}

/// `GET /api/v1/alerts`.
pub(in crate::http) async fn alerts(call: Call) -> Result<Response<Body>, ApiError> {
    let alerts = call.state.alerting.alerts(call.state.pipeline.now());
    let data = Alerts { alerts: alerts.iter().map(active).collect() };
    Ok(reply::json(StatusCode::OK, &Answer { status: "success", data }))
}

/// All alert rules, as one group.
pub(in crate::http) fn groups_of<'a>(views: &'a [RuleView], call: &Call) -> Groups<'a> {
    let now = call.state.pipeline.now();
    let kind = params::params(&call.uri).find(|it| it.0 == "type").map(|it| it.1.into_owned());
    let shown = views.iter().filter(|it| it.rule.enabled && kind.as_deref() != Some("record"));
    let group = Group {
        name: "observatory",
        file: "observatory.yml",
        rules: shown.map(|it| alerting(it, now)).collect(),
        interval: 1.0,
        limit: 0,
        evaluation_time: 0.0,
        last_evaluation: now,
    };
    Groups { groups: vec![group] }
}

fn alerting(view: &RuleView, now: Time) -> Alerting<'_> {
    let rule = &view.rule;
    let has = |status| view.alerts.iter().any(|it| it.status == status);
    let mut labels: BTreeMap<_, _> =
        rule.labels.iter().map(|(name, it)| (name.as_str(), it.as_str())).collect();
    labels.entry("severity").or_insert(rule.severity.as_str());
    Alerting {
        state: match (has(Status::Firing), has(Status::Pending)) {
            (true, _) => "firing",
            (false, true) => "pending",
            _ => "inactive",
        },
        name: &rule.name,
        query: query(rule),
        duration: rule.hold.unwrap_or_default().0.as_secs_f64(),
        keep_firing_for: rule.keep_firing_for.unwrap_or_default().0.as_secs_f64(),
        labels,
        annotations: &rule.annotations,
        alerts: view.alerts.iter().map(active).collect(),
        health: "ok",
        evaluation_time: 0.0,
        last_evaluation: now,
        r#type: "alerting",
    }
}

/// What the rule waits for, in a line.
fn query(rule: &Rule) -> String {
    let threshold = rule.threshold.unwrap_or_default();
    let compared = format!("{} {threshold}", rule.operator.sign());
    match rule.kind {
        Kind::Threshold => format!("{} {compared}", rule.metric_name),
        Kind::Ratio => format!("{} / {} {compared}", rule.numerator, rule.denominator),
        Kind::BurnRate => format!(
            "{} / {} burns {}",
            rule.numerator,
            rule.denominator,
            rule.objective.unwrap_or_default()
        ),
        Kind::Event => rule.matches.clone(),
        Kind::Absence if rule.push.is_empty() => format!("absent {}", rule.matches),
        Kind::Absence => format!("absent push {}", rule.push),
    }
}
