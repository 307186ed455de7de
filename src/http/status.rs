//! `/api/v1/status`: what is running.

use super::endpoint::Call;
use super::error::ApiError;
use super::health::VERSION;
use super::push;
use super::reply;
use super::reply::Text;
use super::routes::Rendering;
use crate::event::Time;
use crate::telemetry::BUILD;
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
#[serde(rename_all = "camelCase")]
struct BuildInformation {
    branch: &'static str,
    build_date: &'static str,
    build_user: &'static str,
    go_version: &'static str,
    revision: &'static str,
    version: &'static str,
    /// What stands where Go's version would.
    rustc: &'static str,
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
        build_information: BuildInformation {
            branch: "",
            build_date: "",
            build_user: "",
            go_version: "",
            revision: BUILD.revision,
            version,
            rustc: BUILD.rustc,
        },
        flags: &call.state.config.flags,
        start_time: Text(start),
    };
    let mut response = reply::json(StatusCode::OK, &Status { status: "success", data });
    push::allow_other_sites(response.headers_mut());
    Ok(response)
}
