//! `/api/v1/monitoring/notifications`: what became of notifications, and what was given up.

use super::endpoint::Call;
use super::error::ApiError;
use super::params;
use super::reply;
use crate::event::Time;
use crate::notify::{Delivery, Outbox, State, Wanted};
use crate::store::StoreError;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::json;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// `GET /api/v1/monitoring/notifications`.
pub(super) async fn list(call: Call) -> Result<Response<Body>, ApiError> {
    let mut wanted = Wanted { limit: DEFAULT_LIMIT, ..Wanted::default() };
    for (name, value) in params::params(&call.uri) {
        let text = || Some(value.clone().into_owned());
        match &*name {
            "channel" => wanted.channel = text(),
            "alert" => wanted.alert = text(),
            "cursor" => wanted.before = text(),
            "state" => wanted.state = Some(state(&value)?),
            "limit" => {
                let limit = value.parse().ok().filter(|it| (1..=MAX_LIMIT).contains(it));
                wanted.limit = limit.ok_or_else(|| {
                    ApiError::parameter("limit", format!("must be a number from 1 to {MAX_LIMIT}"))
                })?;
            }
            _ => {
                let reason = "is not known: there are channel, alert, state, limit and cursor";
                return Err(ApiError::parameter(&name, reason));
            }
        }
    }
    let outbox = call.state.outbox.clone();
    let page = blocking(move || outbox.deliveries(&wanted)).await?;
    let body = json!({"notifications": page.deliveries, "next_cursor": page.next});
    Ok(reply::json(StatusCode::OK, &body))
}

/// `GET /api/v1/monitoring/notifications/{id}`.
pub(super) async fn get(call: Call) -> Result<Response<Body>, ApiError> {
    let delivery = find(&call.state.outbox, call.last_segment()).await?;
    Ok(reply::json(StatusCode::OK, &delivery))
}

/// `POST /api/v1/monitoring/notifications/{id}/retry`.
pub(super) async fn retry(call: Call) -> Result<Response<Body>, ApiError> {
    change_one(call, 1, Outbox::retry, "retried").await
}

/// `DELETE /api/v1/monitoring/notifications/{id}`.
pub(super) async fn purge(call: Call) -> Result<Response<Body>, ApiError> {
    change_one(call, 0, Outbox::purge, "purged").await
}

/// `POST /api/v1/monitoring/notifications/retry`.
pub(super) async fn retry_all(call: Call) -> Result<Response<Body>, ApiError> {
    change_all(call, Outbox::retry, "retried").await
}

/// `DELETE /api/v1/monitoring/notifications`.
pub(super) async fn purge_all(call: Call) -> Result<Response<Body>, ApiError> {
    change_all(call, Outbox::purge, "purged").await
}

type Change = fn(&Outbox, &[String], Time) -> Result<usize, StoreError>;

async fn change_one(
    call: Call,
    behind: usize,
    change: Change,
    done: &'static str,
) -> Result<Response<Body>, ApiError> {
    let (outbox, now) = (call.state.outbox.clone(), call.state.pipeline.now());
    let id = call.segment_from_end(behind);
    let wanted = id.clone();
    let n = blocking(move || change(&outbox, &[wanted], now)).await?;
    let delivery = find(&call.state.outbox, id).await?;
    if n == 0 {
        let message = format!(
            "only a notification that was given up, and whose channel is there, can be {done}; this one is {}",
            delivery.state.as_str()
        );
        return Err(ApiError::new(StatusCode::CONFLICT, "conflict", message));
    }
    tracing::info!(id = delivery.id, by = call.by(), "notification {done}");
    Ok(reply::json(StatusCode::OK, &delivery))
}

async fn change_all(
    call: Call,
    change: Change,
    done: &'static str,
) -> Result<Response<Body>, ApiError> {
    let mut channel = None;
    for (name, value) in params::params(&call.uri) {
        match (&*name, &*value) {
            ("channel", it) => channel = Some(it.to_owned()),
            // Only these can be; saying so keeps anybody from removing more than was meant.
            ("state", "dead") => {}
            _ => {
                let reason = "is not known: there are `channel`, and `state`, which is `dead`";
                return Err(ApiError::parameter(&name, reason));
            }
        }
    }
    let (outbox, now) = (call.state.outbox.clone(), call.state.pipeline.now());
    let n = blocking(move || {
        let ids = outbox.dead(channel.as_deref())?;
        change(&outbox, &ids, now)
    });
    let n = n.await?;
    tracing::info!(n, by = call.by(), "notifications {done}");
    Ok(reply::json(StatusCode::OK, &json!({ done: n })))
}

async fn find(outbox: &Outbox, id: String) -> Result<Delivery, ApiError> {
    let outbox = outbox.clone();
    let wanted = id.clone();
    let found = blocking(move || outbox.delivery(&wanted)).await?;
    found.ok_or_else(|| ApiError::not_found(format!("there is no notification {id:?}")))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)??)
}

fn state(text: &str) -> Result<State, ApiError> {
    State::ALL.into_iter().find(|it| it.as_str() == text).ok_or_else(|| {
        let known: Vec<_> = State::ALL.iter().map(|it| it.as_str()).collect();
        ApiError::parameter("state", format!("must be one of {}", known.join(", ")))
    })
}
