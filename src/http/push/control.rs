//! `/api/v1/admin/wipe` and `/-/quit`, which are there only if the configuration says so.

use super::super::endpoint::Call;
use super::super::error::ApiError;
use super::super::reply;
use super::plain;
use axum::body::Body;
use axum::http::{Response, StatusCode};

/// `PUT /api/v1/admin/wipe`: removes all groups.
pub(in super::super) async fn wipe(call: Call) -> Result<Response<Body>, ApiError> {
    if !call.state.config.push.admin_api {
        return Ok(plain::not_found());
    }
    let by = call.by().to_owned();
    call.state.pipeline.wipe_groups().await?;
    tracing::warn!(by, "all pushed groups were removed");
    Ok(super::empty(StatusCode::ACCEPTED))
}

/// `PUT` and `POST /-/quit`: stops the server as SIGTERM does.
pub(in super::super) async fn quit(call: Call) -> Result<Response<Body>, ApiError> {
    if !call.state.config.push.lifecycle {
        return Ok(reply::text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled."));
    }
    tracing::info!(by = call.by(), "asked to stop over HTTP");
    call.state.quit.cancel();
    Ok(reply::text(StatusCode::OK, "Requesting termination... Goodbye!"))
}
