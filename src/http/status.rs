//! `/api/v1/status`: what is running.

use super::endpoint::Call;
use super::error::ApiError;
use super::health::VERSION;
use super::reply;
use super::reply::Text;
use super::routes::Rendering;
use crate::event::Time;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// The shape of the Pushgateway's answer.
#[derive(Serialize)]
struct Status<'a> {
    status: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    build_information: BuildInformation,
    flags: &'a BTreeMap<String, String>,
    start_time: Text<Time>,
}

#[derive(Serialize)]
struct BuildInformation {
    version: &'static str,
}

#[derive(Serialize)]
struct Brief {
    status: &'static str,
    version: &'static str,
    uptime_seconds: u64,
}

/// `GET /api/v1/status`.
pub(super) async fn status(call: Call) -> Result<Response<Body>, ApiError> {
    let health = call.state.pipeline.health();
    let (version, uptime_seconds) = (VERSION, health.uptime_seconds);
    if call.rendering == Rendering::Brief {
        let status = if health.store.is_ok() { "healthy" } else { "unhealthy" };
        return Ok(reply::json(StatusCode::OK, &Brief { status, version, uptime_seconds }));
    }
    let start = call.state.pipeline.now().saturating_sub(Duration::from_secs(uptime_seconds));
    let data = Data {
        build_information: BuildInformation { version },
        flags: &call.state.config.flags,
        start_time: Text(start),
    };
    Ok(reply::json(StatusCode::OK, &Status { status: "success", data }))
}
