//! `/api/v1/monitoring/notification-channels`: where notifications go.

use super::body;
use super::endpoint::Call;
use super::error::ApiError;
use super::params;
use super::reply;
use crate::notify::{Attempt, Channel, ChannelError, EnqueueError, Verdict};
use crate::store::Batch;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What came of a test.
#[derive(Serialize)]
struct Tested {
    success: bool,
    outcome: &'static str,
    /// The status of the server's answer, of HTTP or SMTP.
    status: Option<u16>,
    /// The server's own words, or why there are none.
    response: String,
    duration_ms: u64,
}

/// `GET /api/v1/monitoring/notification-channels`.
pub(super) async fn list(call: Call) -> Result<Response<Body>, ApiError> {
    let channels = call.state.outbox.list_channels();
    let views: Vec<Value> = channels.iter().map(|it| it.view()).collect();
    let total = views.len();
    Ok(reply::json(StatusCode::OK, &json!({"channels": views, "total": total})))
}

/// `POST /api/v1/monitoring/notification-channels`.
pub(super) async fn create(mut call: Call) -> Result<Response<Body>, ApiError> {
    let wanted = read(&mut call).await?;
    let (outbox, now) = (call.state.outbox.clone(), call.state.pipeline.now());
    let work = tokio::task::spawn_blocking(move || outbox.create_channel(&wanted, now));
    let channel = work.await.map_err(ApiError::internal)??;
    tracing::info!(channel = channel.name, by = call.by(), "notification channel made");
    Ok(reply::json(StatusCode::CREATED, &channel.view()))
}

/// `GET /api/v1/monitoring/notification-channels/{id}`.
pub(super) async fn get(call: Call) -> Result<Response<Body>, ApiError> {
    let channel = find(&call, &call.last_segment())?;
    Ok(reply::json(StatusCode::OK, &channel.view()))
}

/// `PUT` and `PATCH /api/v1/monitoring/notification-channels/{id}`.
pub(super) async fn change(mut call: Call) -> Result<Response<Body>, ApiError> {
    let wanted = read(&mut call).await?;
    let (outbox, now, id) =
        (call.state.outbox.clone(), call.state.pipeline.now(), call.last_segment());
    let work = tokio::task::spawn_blocking(move || outbox.change_channel(&id, &wanted, now));
    let channel = work.await.map_err(ApiError::internal)??;
    tracing::info!(channel = channel.name, by = call.by(), "notification channel changed");
    Ok(reply::json(StatusCode::OK, &channel.view()))
}

/// `DELETE /api/v1/monitoring/notification-channels/{id}`.
pub(super) async fn remove(call: Call) -> Result<Response<Body>, ApiError> {
    let mut force = false;
    for (name, value) in params::params(&call.uri) {
        match &*name {
            "force" => force = params::flag(&name, &value)?,
            _ => return Err(ApiError::parameter(&name, "is not known: there is `force`")),
        }
    }
    let channel = find(&call, &call.last_segment())?;
    let used_by = users(&call, &channel);
    if !force && !used_by.is_empty() {
        let message = format!(
            "the alert rules {} tell {:?}: change them, or remove it all the same with ?force=true",
            used_by.join(", "),
            channel.name
        );
        return Err(ApiError::new(StatusCode::CONFLICT, "conflict", message));
    }
    let (outbox, now) = (call.state.outbox.clone(), call.state.pipeline.now());
    let work = tokio::task::spawn_blocking(move || outbox.remove_channel(&channel.id, now));
    let channel = work.await.map_err(ApiError::internal)??;
    tracing::info!(channel = channel.name, by = call.by(), "notification channel removed");
    Ok(reply::json(
        StatusCode::OK,
        &json!({"id": channel.id, "name": channel.name, "deleted": true, "used_by": used_by}),
    ))
}

/// `POST /api/v1/monitoring/notification-channels/{id}/test`: now and beside the queue or, with `queued`, through
/// the outbox as an alert would go.
pub(super) async fn test(call: Call) -> Result<Response<Body>, ApiError> {
    let mut queued = false;
    for (name, value) in params::params(&call.uri) {
        match &*name {
            "queued" => queued = params::flag(&name, &value)?,
            _ => return Err(ApiError::parameter(&name, "is not known: there is `queued`")),
        }
    }
    let channel = find(&call, &call.segment_from_end(1))?;
    let (outbox, now) = (call.state.outbox.clone(), call.state.pipeline.now());
    if queued {
        let store = call.state.pipeline.store().clone();
        let work = tokio::task::spawn_blocking(move || {
            let notification = outbox.test_notification(&channel, now);
            let mut batch = Batch::default();
            let enqueued = outbox.enqueue(&mut batch, &notification, now)?;
            let ids = enqueued.ids();
            store.table(crate::notify::TABLE)?.apply(batch)?;
            store.flush()?;
            outbox.commit(enqueued);
            Ok::<_, ApiError>(ids)
        });
        let ids = work.await.map_err(ApiError::internal)??;
        return Ok(reply::json(StatusCode::ACCEPTED, &json!({"notification_ids": ids})));
    }
    // A client that hangs up ends the waiting, not the test.
    let work = tokio::spawn(async move { outbox.test_channel(&channel.id, now).await });
    let attempt = work.await.map_err(ApiError::internal)??;
    Ok(reply::json(StatusCode::OK, &Tested::from(attempt)))
}

/// The names of the alert rules that name `channel`.
fn users(call: &Call, channel: &Channel) -> Vec<String> {
    let rules = call.state.alerting.rules().into_iter().map(|it| it.rule);
    let is = |name: &String| *name == channel.id || *name == channel.name;
    let mut res: Vec<_> =
        rules.filter(|it| it.channels().any(is)).map(|it| format!("{:?}", it.name)).collect();
    res.sort_unstable();
    res
}

fn find(call: &Call, id: &str) -> Result<Arc<Channel>, ApiError> {
    let found = call.state.outbox.find_channel(id);
    found.ok_or_else(|| ChannelError::NotFound(id.to_owned()).into())
}

async fn read(call: &mut Call) -> Result<Map<String, Value>, ApiError> {
    let mut incoming = body::read(call).await?;
    incoming.decompress()?;
    serde_json::from_slice(&incoming.bytes).map_err(|it| {
        // Where it went wrong, without the text, which may hold a secret.
        let (line, column) = (it.line(), it.column());
        let message = format!(
            "no JSON object at line {line}, column {column}; a right body is {{\"name\": \"ops\", \"type\": \"webhook\", \"config\": {{\"url\": \"https://example.org/hook\"}}}}"
        );
        ApiError::bad_request("invalid_json", message)
    })
}

impl From<Attempt> for Tested {
    fn from(it: Attempt) -> Self {
        let outcome = match it.verdict {
            Verdict::Delivered => "delivered",
            Verdict::Retry(_) => "would be tried again",
            Verdict::Dead => "rejected",
            Verdict::Gone => "gone: a notification would switch the channel off",
        };
        Self {
            success: it.verdict == Verdict::Delivered,
            outcome,
            status: it.status,
            response: it.said,
            duration_ms: u64::try_from(it.took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl From<ChannelError> for ApiError {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Invalid(faults) => {
                let faults = faults.into_iter().map(|it| (it.field, it.reason));
                Self::fields("invalid_channel", faults)
            }
            ChannelError::NotFound(_) => Self::not_found(error),
            ChannelError::Exists(_) | ChannelError::Configured(_) | ChannelError::TooMany => {
                Self::new(StatusCode::CONFLICT, "conflict", error)
            }
            ChannelError::Store(it) => it.into(),
            ChannelError::Seal(it) => Self::internal(it),
        }
    }
}

impl From<EnqueueError> for ApiError {
    fn from(error: EnqueueError) -> Self {
        Self::not_found(error)
    }
}
