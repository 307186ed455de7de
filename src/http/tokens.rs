//! `/api/v1/tokens`.

use super::body;
use super::endpoint::Call;
use super::error::ApiError;
use super::params;
use super::reply;
use super::reply::Text;
use crate::event::Time;
use crate::tokens::{Role, Roles, TokenInfo};
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    roles: Vec<String>,
    /// When it ceases to be valid: RFC 3339, or how long from now, such as `30d`.
    expires: Option<String>,
}

#[derive(Serialize)]
struct View<'a> {
    id: &'a str,
    name: &'a str,
    roles: Vec<&'static str>,
    created_at: Option<Text<Time>>,
    expires_at: Option<Text<Time>>,
    revoked_at: Option<Text<Time>>,
    valid: bool,
    /// Shown once, when the token is created.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

#[derive(Serialize)]
struct List<'a> {
    tokens: Vec<View<'a>>,
}

impl<'a> View<'a> {
    fn new(info: &'a TokenInfo, now: Time, token: Option<&'a str>) -> Self {
        Self {
            id: &info.id,
            name: &info.name,
            roles: info.roles.iter().map(Role::as_str).collect(),
            created_at: info.created.map(Text),
            expires_at: info.expires.map(Text),
            revoked_at: info.revoked.map(Text),
            valid: info.is_valid(now),
            token,
        }
    }
}

/// `GET /api/v1/tokens`.
pub(super) async fn list(call: Call) -> Result<Response<Body>, ApiError> {
    let now = call.state.pipeline.now();
    let infos = call.state.gate.tokens().list();
    let tokens = infos.iter().map(|it| View::new(it, now, None)).collect();
    Ok(reply::json(StatusCode::OK, &List { tokens }))
}

/// `POST /api/v1/tokens`.
pub(super) async fn create(mut call: Call) -> Result<Response<Body>, ApiError> {
    let now = call.state.pipeline.now();
    let incoming = body::read(&mut call).await?;
    let wanted: Wanted = serde_json::from_slice(&incoming.bytes)
        .map_err(|it| ApiError::bad_request("invalid_json", it))?;
    let roles = wanted.roles.iter().map(|it| it.parse::<Role>()).collect::<Result<Roles, _>>();
    let roles = roles.map_err(|it| ApiError::parameter("roles", it))?;
    let expires = wanted.expires.as_deref().map(|it| expiry(it, now)).transpose()?;
    let tokens = call.state.gate.tokens().clone();
    let created =
        tokio::task::spawn_blocking(move || tokens.create(&wanted.name, roles, expires, now));
    let (info, secret) = created.await.map_err(ApiError::internal)??;
    // Where there was none, streams were open to everybody.
    call.state.streams.tokens_changed();
    tracing::info!(token.name = info.name, token.roles = %info.roles, by = call.by(), "token created");
    let mut response = reply::json(StatusCode::CREATED, &View::new(&info, now, Some(&secret)));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `DELETE /api/v1/tokens/{id}`.
pub(super) async fn revoke(call: Call) -> Result<Response<Body>, ApiError> {
    let now = call.state.pipeline.now();
    let id = call.last_segment();
    let tokens = call.state.gate.tokens().clone();
    let revoked = tokio::task::spawn_blocking(move || tokens.revoke(&id, now));
    let info = revoked.await.map_err(ApiError::internal)??;
    call.state.streams.tokens_changed();
    tracing::info!(token.name = info.name, by = call.by(), "token revoked");
    Ok(reply::json(StatusCode::OK, &View::new(&info, now, None)))
}

fn expiry(text: &str, now: Time) -> Result<Time, ApiError> {
    let at = match params::duration(text) {
        Some(it) => now.saturating_add(it),
        None => Time::parse(text).map_err(|it| ApiError::parameter("expires", it))?,
    };
    if at <= now { Err(ApiError::parameter("expires", "is in the past")) } else { Ok(at) }
}
