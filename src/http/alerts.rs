//! `/api/v1/monitoring/alerts`: what fires, what fired, and what people do about it.

mod asked;

pub(super) use asked::Asked;

use super::body;
use super::endpoint::Call;
use super::error::ApiError;
use super::reply;
use crate::alerting::Entry;
use crate::alerts::{Alert, Change, Severity, Silence, Status};
use crate::event::Time;
use asked::Cursor;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Entries of the history that are looked at to count what is over.
const MAX_COUNTED: usize = 100_000;

/// An alert as it is answered: its own members, and those that clients of agent meshes know.
#[derive(Serialize)]
pub(super) struct View<'a> {
    id: &'a str,
    rule_id: &'a str,
    rule_name: &'a str,
    /// The rule's name once more, as older sockets call it.
    name: &'a str,
    fingerprint: &'a str,
    severity: Severity,
    /// `pending`, `active`, `acknowledged`, `silenced` or `resolved`.
    status: &'static str,
    message: &'a str,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    current_value: Option<f64>,
    threshold: Option<f64>,
    agent_id: Option<&'a str>,
    timestamp: Time,
    starts_at: Time,
    resolved_at: Option<Time>,
    resolved: bool,
    acknowledged: Option<&'a crate::alerts::Acknowledgement>,
    silenced_by: &'a [String],
}

#[derive(Serialize)]
struct List<'a> {
    alerts: Vec<View<'a>>,
    /// All that are asked for, on this page or another.
    total: usize,
    /// Whether there are so many that they were not counted to the end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    total_is_at_least: bool,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Events<'a> {
    history: Vec<&'a Entry>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Silenced<'a> {
    #[serde(rename = "silence")]
    made: &'a Silence,
    alert: View<'a>,
}

/// The body of what is done to an alert.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Said {
    comment: String,
    /// Who, where nobody shows a token.
    author: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SilenceFor {
    /// Seconds, or a duration such as `1h`.
    duration: crate::alerts::Span,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    author: String,
}

impl<'a> From<&'a Alert> for View<'a> {
    fn from(it: &'a Alert) -> Self {
        let text = |name: &str| it.annotations.get(name).map(String::as_str);
        Self {
            id: &it.id,
            rule_id: &it.rule_id,
            rule_name: &it.rule_name,
            name: &it.rule_name,
            fingerprint: &it.fingerprint,
            severity: it.severity,
            status: status_of(it),
            message: text("summary").or_else(|| text("description")).unwrap_or(&it.rule_name),
            labels: &it.labels,
            annotations: &it.annotations,
            current_value: it.value,
            threshold: it.threshold,
            agent_id: it
                .labels
                .get("agent_id")
                .or_else(|| it.labels.get("agent"))
                .map(String::as_str),
            timestamp: it.starts_at,
            starts_at: it.starts_at,
            resolved_at: it.ends_at,
            resolved: it.status == Status::Resolved,
            acknowledged: it.acknowledged.as_ref(),
            silenced_by: &it.silenced_by,
        }
    }
}

/// What is most worth knowing of it.
fn status_of(it: &Alert) -> &'static str {
    match it.status {
        Status::Resolved => "resolved",
        Status::Pending => "pending",
        Status::Firing if !it.silenced_by.is_empty() => "silenced",
        Status::Firing if it.acknowledged.is_some() => "acknowledged",
        Status::Firing => "active",
    }
}

/// `GET /api/v1/monitoring/alerts`.
pub(super) async fn list(call: Call) -> Result<Response<Body>, ApiError> {
    let asked = Asked::read(&call)?;
    let (alerting, now) = (call.state.alerting.clone(), call.state.pipeline.now());
    blocking(move || {
        let mut alerts = alerting.alerts(now);
        alerts.retain(|it| asked.wants(it));
        let resolved = |it: &Entry| it.change == Some(Change::Resolved) && asked.wants(&it.alert);
        let (past, whole) =
            if asked.is_past() { alerting.count(MAX_COUNTED, resolved)? } else { (0, true) };
        let total = alerts.len() + past;
        alerts.retain(|it| asked.is_behind(it));
        // A page that is full of what fires goes on with the rest of it, and then with what is over.
        let full = alerts.len() > asked.limit || (alerts.len() == asked.limit && asked.is_past());
        alerts.truncate(asked.limit);
        let mut next = alerts.last().filter(|_| full).map(Cursor::behind);
        if asked.is_past() && !full {
            let limit = asked.limit - alerts.len();
            let (past, more) = alerting.history(asked.past(), limit, resolved)?;
            alerts.extend(past.into_iter().map(|it| it.alert));
            next = more.map(Cursor::Past);
        }
        let list = List {
            alerts: alerts.iter().map(View::from).collect(),
            total,
            total_is_at_least: !whole,
            next_cursor: next.map(|it| it.to_string()),
        };
        Ok(reply::json(StatusCode::OK, &list))
    })
    .await
}

/// `GET /api/v1/monitoring/alerts/history`.
pub(super) async fn history(call: Call) -> Result<Response<Body>, ApiError> {
    let asked = Asked::read(&call)?;
    let alerting = call.state.alerting.clone();
    blocking(move || {
        let wanted = |it: &Entry| asked.wants(&it.alert);
        let (entries, next) = alerting.history(asked.past(), asked.limit, wanted)?;
        let next_cursor = next.map(|it| Cursor::Past(it).to_string());
        Ok(reply::json(StatusCode::OK, &Events { history: entries.iter().collect(), next_cursor }))
    })
    .await
}

/// `GET /api/v1/monitoring/alerts/{id}`.
pub(super) async fn get(call: Call) -> Result<Response<Body>, ApiError> {
    let (alerting, now, id) =
        (call.state.alerting.clone(), call.state.pipeline.now(), call.last_segment());
    blocking(move || {
        let alert = match alerting.alerts(now).into_iter().find(|it| it.id == id) {
            Some(it) => Some(it),
            None => alerting.history(None, 1, |it| it.alert.id == id)?.0.pop().map(|it| it.alert),
        };
        let alert =
            alert.ok_or_else(|| ApiError::not_found(format!("there is no alert {id:?}")))?;
        Ok(reply::json(StatusCode::OK, &View::from(&alert)))
    })
    .await
}

/// `POST /api/v1/monitoring/alerts/{id}/acknowledge`.
pub(super) async fn acknowledge(mut call: Call) -> Result<Response<Body>, ApiError> {
    let said: Said = body_or_nothing(&mut call).await?;
    let (id, by) = (call.last_segment_but_one(), author(&call, &said.author));
    tracing::info!(alert = id, by, "an alert was acknowledged");
    let (alerting, now) = (call.state.alerting.clone(), call.state.pipeline.now());
    blocking(move || {
        let alert = alerting.acknowledge(&id, (&by, &said.comment), now)?;
        Ok(reply::json(StatusCode::OK, &View::from(&alert)))
    })
    .await
}

/// `POST /api/v1/monitoring/alerts/{id}/resolve`.
pub(super) async fn resolve(mut call: Call) -> Result<Response<Body>, ApiError> {
    let said: Said = body_or_nothing(&mut call).await?;
    // The older spelling deletes the alert itself.
    let id = if call.method == axum::http::Method::DELETE {
        call.last_segment()
    } else {
        call.last_segment_but_one()
    };
    let by = author(&call, &said.author);
    tracing::info!(alert = id, by, "an alert was resolved");
    let (alerting, now) = (call.state.alerting.clone(), call.state.pipeline.now());
    blocking(move || {
        let alert = alerting.resolve(&id, (&by, &said.comment), now)?;
        Ok(reply::json(StatusCode::OK, &View::from(&alert)))
    })
    .await
}

/// `POST /api/v1/monitoring/alerts/{id}/silence`.
pub(super) async fn silence(mut call: Call) -> Result<Response<Body>, ApiError> {
    let incoming = body::read(&mut call).await?;
    let wanted: SilenceFor = serde_json::from_slice(&incoming.bytes).map_err(|it| {
        ApiError::bad_request(
            "invalid_json",
            format!("{it}; a right body is {{\"duration\": 3600}}"),
        )
    })?;
    if wanted.duration.0 < Duration::from_secs(1) {
        return Err(ApiError::parameter(
            "duration",
            "must be a second or more, such as 3600 or \"1h\"",
        ));
    }
    let (id, by) = (call.last_segment_but_one(), author(&call, &wanted.author));
    tracing::info!(alert = id, by, "an alert was silenced");
    let (alerting, now) = (call.state.alerting.clone(), call.state.pipeline.now());
    blocking(move || {
        let said = (by.as_str(), wanted.comment.as_str());
        let (alert, made) = alerting.silence_alert(&id, wanted.duration.0, said, now)?;
        Ok(reply::json(StatusCode::OK, &Silenced { made: &made, alert: View::from(&alert) }))
    })
    .await
}

/// Who does it: whom the token names, or what the body says where there is none.
pub(super) fn author(call: &Call, said: &str) -> String {
    let token = call.identity.name.as_deref();
    let said = Some(said).filter(|it| !it.is_empty());
    token.or(said).unwrap_or("anonymous").to_owned()
}

/// A JSON body, or the default if there is none.
async fn body_or_nothing<T: DeserializeOwned + Default>(call: &mut Call) -> Result<T, ApiError> {
    let incoming = body::read(call).await?;
    if incoming.bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    // The library would read a list as the members in their order.
    let read = match serde_json::from_slice::<serde_json::Map<_, _>>(&incoming.bytes) {
        Ok(it) => serde_json::from_value(serde_json::Value::Object(it)),
        Err(it) => Err(it),
    };
    read.map_err(|it| {
        let message = format!("{it}; a right body is {{\"comment\": \"looking into it\"}}");
        ApiError::bad_request("invalid_json", message)
    })
}

/// Does what may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?
}
