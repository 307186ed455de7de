//! `/api/v1/monitoring/alert-rules`.

use super::alerts::{View as AlertView, blocking};
use super::body;
use super::endpoint::Call;
use super::error::ApiError;
use super::params;
use super::reply;
use crate::alerting::{Cut, EvaluationOf, Origin, PreviewError, RuleView, Transition};
use crate::alerts::{Alert, Change, Rule};
use crate::event::Time;
use crate::notify::Outbox;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, time::Duration};

/// How far back a preview looks unless it is told.
const LOOK_BACK: Duration = Duration::from_hours(24);

#[derive(Serialize)]
struct List {
    rules: Vec<Value>,
    total: usize,
}

#[derive(Serialize)]
struct Removed {
    id: String,
    deleted: bool,
    /// The alerts that it had: they are over.
    resolved_alerts: usize,
}

#[derive(Serialize)]
struct Evaluated<'a> {
    rule_id: &'a str,
    rule_name: &'a str,
    /// Of the first label set, which is the only one of most rules.
    current_value: Option<f64>,
    threshold: Option<f64>,
    operator: &'static str,
    firing: bool,
    reason: &'a str,
    evaluated_at: Time,
    series: Vec<Series<'a>>,
}

#[derive(Serialize)]
struct Series<'a> {
    labels: &'a BTreeMap<String, String>,
    value: Option<f64>,
    holds: bool,
    alert: Option<AlertView<'a>>,
}

#[derive(Serialize)]
struct Previewed<'a> {
    since: Time,
    until: Time,
    events: u64,
    transitions: Vec<Happened<'a>>,
    firings: usize,
    /// Whether it ended early, and why: `transitions` (there are more than it lists) or `time` (it took too long).
    truncated: bool,
    truncated_by: Option<&'static str>,
    /// Up to when it looked.
    covered_until: Time,
}

#[derive(Serialize)]
struct Happened<'a> {
    at: Time,
    change: Change,
    labels: &'a BTreeMap<String, String>,
    value: Option<f64>,
    message: Option<&'a str>,
}

/// A rule with what is known about it.
fn shown(view: &RuleView, outbox: &Outbox) -> Value {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(&view.rule) else {
        return Value::Object(Map::new());
    };
    let origin = match view.origin {
        Origin::Shipped => "shipped",
        Origin::Configured => "configuration",
        Origin::Api | Origin::External => "api",
    };
    let firing = |it: &&Alert| it.status == crate::alerts::Status::Firing;
    fields.insert("created_at".to_owned(), Value::from(view.created.to_string()));
    fields.insert("updated_at".to_owned(), Value::from(view.updated.to_string()));
    fields.insert("origin".to_owned(), Value::from(origin));
    fields.insert("firing".to_owned(), Value::from(view.alerts.iter().filter(firing).count()));
    let missing = view.rule.channels().filter(|it| outbox.find_channel(it).is_none());
    let missing: std::collections::BTreeSet<_> = missing.map(String::as_str).collect();
    if !missing.is_empty() {
        // Nobody is told over these.
        fields.insert("missing_channels".to_owned(), missing.into_iter().collect());
    }
    Value::Object(fields)
}

/// `GET /api/v1/monitoring/alert-rules`.
pub(super) async fn list(call: Call) -> Result<Response<Body>, ApiError> {
    let rules: Vec<_> =
        call.state.alerting.rules().iter().map(|it| shown(it, &call.state.outbox)).collect();
    let total = rules.len();
    Ok(reply::json(StatusCode::OK, &List { rules, total }))
}

/// `GET /api/v1/monitoring/alert-rules/{id}`.
pub(super) async fn get(call: Call) -> Result<Response<Body>, ApiError> {
    let view = call.state.alerting.rule(&call.last_segment())?;
    Ok(reply::json(StatusCode::OK, &shown(&view, &call.state.outbox)))
}

/// `POST /api/v1/monitoring/alert-rules`.
pub(super) async fn create(mut call: Call) -> Result<Response<Body>, ApiError> {
    let rule = Rule::from_json(&read(&mut call).await?)?;
    let (alerting, now) = (call.state.alerting.clone(), call.state.pipeline.now());
    let view = blocking(move || Ok(alerting.create_rule(rule, now)?)).await?;
    tracing::info!(
        rule = view.rule.id,
        name = view.rule.name,
        by = call.by(),
        "an alert rule was made"
    );
    Ok(reply::json(StatusCode::CREATED, &shown(&view, &call.state.outbox)))
}

/// `PUT` and `PATCH /api/v1/monitoring/alert-rules/{id}`: the fields that are there are changed.
pub(super) async fn update(mut call: Call) -> Result<Response<Body>, ApiError> {
    let mut changes = read(&mut call).await?;
    // What an answer carries besides the rule itself comes back with it.
    if let Value::Object(fields) = &mut changes {
        for name in ["id", "origin", "firing", "created_at", "updated_at", "missing_channels"] {
            fields.remove(name);
        }
    }
    let (alerting, now, id) =
        (call.state.alerting.clone(), call.state.pipeline.now(), call.last_segment());
    let view = blocking(move || Ok(alerting.update_rule(&id, &changes, now)?)).await?;
    tracing::info!(
        rule = view.rule.id,
        name = view.rule.name,
        by = call.by(),
        "an alert rule was changed"
    );
    Ok(reply::json(StatusCode::OK, &shown(&view, &call.state.outbox)))
}

/// `DELETE /api/v1/monitoring/alert-rules/{id}`.
pub(super) async fn remove(call: Call) -> Result<Response<Body>, ApiError> {
    let (alerting, now, id) =
        (call.state.alerting.clone(), call.state.pipeline.now(), call.last_segment());
    let view = blocking(move || Ok(alerting.remove_rule(&id, now)?)).await?;
    tracing::info!(
        rule = view.rule.id,
        name = view.rule.name,
        by = call.by(),
        "an alert rule was removed"
    );
    let removed = Removed { id: view.rule.id, deleted: true, resolved_alerts: view.alerts.len() };
    Ok(reply::json(StatusCode::OK, &removed))
}

/// `GET /api/v1/monitoring/alert-rules/{id}/evaluate`.
pub(super) async fn evaluate(call: Call) -> Result<Response<Body>, ApiError> {
    let (alerting, pipeline) = (call.state.alerting.clone(), call.state.pipeline.clone());
    let id = call.last_segment_but_one();
    blocking(move || {
        let it = alerting.evaluate(&id, &pipeline)?;
        let fires = |it: &EvaluationOf| {
            it.alert.as_ref().is_some_and(|it| it.status == crate::alerts::Status::Firing)
        };
        let series = it.of.iter().map(|it| Series {
            labels: &it.labels,
            value: it.value,
            holds: it.holds,
            alert: it.alert.as_ref().map(AlertView::from),
        });
        let evaluated = Evaluated {
            rule_id: &it.rule.id,
            rule_name: &it.rule.name,
            current_value: it.of.first().and_then(|it| it.value),
            threshold: it.rule.threshold,
            operator: it.rule.operator.sign(),
            firing: it.of.iter().any(fires),
            reason: &it.reason,
            evaluated_at: pipeline.now(),
            series: series.collect(),
        };
        Ok(reply::json(StatusCode::OK, &evaluated))
    })
    .await
}

/// `POST /api/v1/monitoring/alert-rules/preview`.
pub(super) async fn preview(mut call: Call) -> Result<Response<Body>, ApiError> {
    let now = call.state.pipeline.now();
    let mut since = now.saturating_sub(LOOK_BACK);
    for (name, value) in params::params(&call.uri) {
        match name.as_ref() {
            "since" => since = params::time("since", &value, now)?,
            _ => {
                return Err(ApiError::parameter(
                    &name,
                    "is not a parameter here: there is since, such as since=24h",
                ));
            }
        }
    }
    let rule = Rule::from_json(&read(&mut call).await?)?;
    let (alerting, pipeline) = (call.state.alerting.clone(), call.state.pipeline.clone());
    blocking(move || {
        let it = alerting.preview(rule, since, &pipeline).map_err(|error| match error {
            PreviewError::NoPast(reason) => {
                ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "no_past", reason)
            }
            PreviewError::Busy => ApiError::unavailable("busy", error)
                .with_header(header::RETRY_AFTER, HeaderValue::from_static("5")),
            PreviewError::Alerting(error) => error.into(),
        })?;
        let transitions: Vec<_> = it.transitions.iter().map(happened).collect();
        let firings = it.transitions.iter().filter(|it| it.change == Change::Firing).count();
        let previewed = Previewed {
            since,
            until: now,
            events: it.events,
            transitions,
            firings,
            truncated: it.cut.is_some(),
            truncated_by: it.cut.map(Cut::as_str),
            covered_until: it.covered_until,
        };
        Ok(reply::json(StatusCode::OK, &previewed))
    })
    .await
}

fn happened(it: &Transition) -> Happened<'_> {
    let message = it.alert.annotations.get("summary").map(String::as_str);
    Happened {
        at: it.at,
        change: it.change,
        labels: &it.alert.labels,
        value: it.alert.value,
        message,
    }
}

async fn read(call: &mut Call) -> Result<Value, ApiError> {
    let mut incoming = body::read(call).await?;
    incoming.decompress()?;
    serde_json::from_slice(&incoming.bytes).map_err(|it| {
        let message = format!("{it}; a right body is {{\"name\": \"High CPU\", \"metric_name\": \"cpu_usage\", \"operator\": \"gt\", \"threshold\": 80, \"severity\": \"high\"}}");
        ApiError::bad_request("invalid_json", message)
    })
}
