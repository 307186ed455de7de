//! `/-/reload`.

use super::endpoint::Call;
use super::error::ApiError;
use super::reply;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::Serialize;

#[derive(Serialize)]
struct Reloaded {
    status: &'static str,
    changed: bool,
    metrics: usize,
}

/// `POST /-/reload`: loads the rules again. A bad file leaves the old ones in force and says why.
pub(super) async fn reload(call: Call) -> Result<Response<Body>, ApiError> {
    let done = call
        .state
        .pipeline
        .reload_rules()
        .await
        .map_err(|it| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_rules", it))?;
    let (changed, metrics) = (done.changed, done.metrics);
    Ok(reply::json(StatusCode::OK, &Reloaded { status: "success", changed, metrics }))
}
