//! Health: one probe, shown as its readers expect it. The status code carries the meaning: 200, or 503
//! when the store cannot be written.

use super::endpoint::Call;
use super::error::ApiError;
use super::reply;
use super::routes::Rendering;
use crate::pipeline;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::Serialize;

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Health<'a> {
    status: &'a str,
    version: &'a str,
    uptime_seconds: u64,
    events: u64,
    components: Components<'a>,
}

#[derive(Serialize)]
struct Components<'a> {
    store: Component<'a>,
    queue: Component<'a>,
}

#[derive(Serialize)]
struct Component<'a> {
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The keys that bridges of other event systems read.
#[derive(Serialize)]
struct Healthy<'a> {
    status: &'a str,
    version: &'a str,
    uptime_seconds: u64,
    events_cached: u64,
    nats_connected: bool,
    active_subscribers: u64,
}

#[derive(Serialize)]
struct Word<'a> {
    status: &'a str,
}

/// `GET /health`.
pub(super) async fn health(call: Call) -> Result<Response<Body>, ApiError> {
    let health = call.state.pipeline.health();
    let status = status(&health);
    let pipeline::Health { events, uptime_seconds, .. } = health;
    let version = VERSION;
    let good = status.is_success();
    Ok(match call.rendering {
        Rendering::Healthy => reply::json(
            status,
            &Healthy {
                status: if good { "healthy" } else { "unhealthy" },
                version,
                uptime_seconds,
                events_cached: events,
                nats_connected: false,
                active_subscribers: 0,
            },
        ),
        Rendering::Ok => reply::json(status, &Word { status: if good { "ok" } else { "error" } }),
        _ => {
            let components =
                Components { store: component(&health.store), queue: component(&health.queue) };
            let word = match (good, &health.queue) {
                (false, _) => "error",
                (true, Err(_)) => "degraded",
                (true, Ok(())) => "ok",
            };
            reply::json(
                status,
                &Health { status: word, version, uptime_seconds, events, components },
            )
        }
    })
}

/// `GET /-/healthy`, as the Pushgateway has it.
pub(super) async fn healthy(call: Call) -> Result<Response<Body>, ApiError> {
    let status = status(&call.state.pipeline.health());
    let good = status.is_success();
    Ok(reply::text(status, if good { "OK" } else { "the store cannot be written\n" }))
}

/// `GET /-/ready`: whether to send requests here.
pub(super) async fn ready(call: Call) -> Result<Response<Body>, ApiError> {
    if call.state.stopping.is_cancelled() {
        return Ok(reply::text(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping\n"));
    }
    let health = call.state.pipeline.health();
    Ok(match (health.store, health.queue) {
        (Err(_), _) => {
            reply::text(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be written\n")
        }
        (_, Err(_)) => reply::text(StatusCode::SERVICE_UNAVAILABLE, "the queue is full\n"),
        (Ok(()), Ok(())) => reply::text(StatusCode::OK, "OK"),
    })
}

fn status(health: &pipeline::Health) -> StatusCode {
    if health.store.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn component(state: &Result<(), String>) -> Component<'_> {
    match state {
        Ok(()) => Component { status: "ok", reason: None },
        Err(it) => Component { status: "error", reason: Some(it) },
    }
}
