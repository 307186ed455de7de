//! `/api/v2/silences`.

use super::super::alerts::{author, blocking};
use super::super::body;
use super::super::endpoint::Call;
use super::super::error::ApiError;
use super::super::params;
use super::super::reply;
use crate::alerts::{Matcher, Silence};
use crate::event::Time;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

/// `gettableSilence`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Gettable {
    id: String,
    status: State,
    updated_at: Time,
    comment: String,
    created_by: String,
    ends_at: Time,
    matchers: Vec<Matcher>,
    starts_at: Time,
}

#[derive(Serialize)]
struct State {
    state: &'static str,
}

/// `postableSilence`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Postable {
    #[serde(default)]
    id: String,
    matchers: Vec<Matcher>,
    starts_at: Time,
    ends_at: Time,
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    comment: String,
}

#[derive(Serialize)]
struct Created {
    #[serde(rename = "silenceID")]
    id: String,
}

fn gettable(it: Silence, now: Time) -> Gettable {
    Gettable {
        status: State { state: it.state(now) },
        id: it.id,
        updated_at: it.updated_at,
        comment: it.comment,
        created_by: it.created_by,
        ends_at: it.ends_at,
        matchers: it.matchers,
        starts_at: it.starts_at,
    }
}

/// `GET /api/v2/silences`: those that hold first, then those to come, then those that are over.
pub(in crate::http) async fn list(call: Call) -> Result<Response<Body>, ApiError> {
    let now = call.state.pipeline.now();
    let mut filters = Vec::new();
    for (name, value) in params::params(&call.uri) {
        match name.as_ref() {
            "filter" => filters.push(super::filter(&value)?),
            _ => {
                return Err(ApiError::parameter(&name, "is not a parameter here: there is filter"));
            }
        }
    }
    let wanted = |it: &Silence| {
        let label = |name: &str| {
            let found = it.matchers.iter().find(|it| it.name == name).map(|it| it.value.as_str());
            // A filter is only about the labels that it names.
            found.or((name == "alertname").then_some("any"))
        };
        filters.iter().all(|it| it.matches(label))
    };
    let mut silences = call.state.alerting.silences();
    silences.retain(wanted);
    let order = |it: &Silence| match it.state(now) {
        "active" => 0,
        "pending" => 1,
        _ => 2,
    };
    silences.sort_by_key(|it| (order(it), it.ends_at));
    let silences: Vec<_> = silences.into_iter().map(|it| gettable(it, now)).collect();
    Ok(reply::json(StatusCode::OK, &silences))
}

/// `POST /api/v2/silences`.
pub(in crate::http) async fn create(mut call: Call) -> Result<Response<Body>, ApiError> {
    let incoming = body::read(&mut call).await?;
    let it: Postable = serde_json::from_slice(&incoming.bytes).map_err(|it| {
        let message = format!("{it}; a right body is {{\"matchers\": [{{\"name\": \"alertname\", \"value\": \"x\", \"isRegex\": false}}], \"startsAt\": \"2026-01-05T10:00:00Z\", \"endsAt\": \"2026-01-05T12:00:00Z\", \"createdBy\": \"me\", \"comment\": \"why\"}}");
        ApiError::bad_request("invalid_json", message)
    })?;
    let now = call.state.pipeline.now();
    let silence = Silence {
        id: it.id,
        matchers: it.matchers,
        starts_at: it.starts_at,
        ends_at: it.ends_at,
        created_by: author(&call, &it.created_by),
        comment: it.comment,
        updated_at: now,
    };
    let alerting = call.state.alerting.clone();
    let silence = blocking(move || Ok(alerting.put_silence(silence, now)?)).await?;
    tracing::info!(silence = silence.id, by = silence.created_by, "a silence was made");
    Ok(reply::json(StatusCode::OK, &Created { id: silence.id }))
}

/// `GET /api/v2/silence/{id}`.
pub(in crate::http) async fn get(call: Call) -> Result<Response<Body>, ApiError> {
    let (id, now) = (call.last_segment(), call.state.pipeline.now());
    let found = call.state.alerting.silences().into_iter().find(|it| it.id == id);
    let found = found.ok_or_else(|| ApiError::not_found(format!("there is no silence {id:?}")))?;
    Ok(reply::json(StatusCode::OK, &gettable(found, now)))
}

/// `DELETE /api/v2/silence/{id}`.
pub(in crate::http) async fn expire(call: Call) -> Result<Response<Body>, ApiError> {
    let (id, now) = (call.last_segment(), call.state.pipeline.now());
    let alerting = call.state.alerting.clone();
    let silence = blocking(move || Ok(alerting.expire_silence(&id, now)?)).await?;
    tracing::info!(silence = silence.id, by = call.by(), "a silence was ended");
    Ok(reply::text(StatusCode::OK, ""))
}
