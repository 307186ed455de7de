//! `/api/v1/session`: what lets a browser in, which can set no headers on streams and should keep no token.
//!
//! The cookie is `HttpOnly`, so that no script reads it, and `SameSite=Strict`, so that no other site sends it; what
//! changes something is refused all the same if its origin is another (`gate`).

use super::body;
use super::endpoint::Call;
use super::error::ApiError;
use super::reply;
use super::reply::Text;
use crate::event::Time;
use crate::tokens::{Identity, Role};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::{Deserialize, Serialize};

const COOKIE: &str = "observatory_session";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

#[derive(Serialize)]
struct View<'a> {
    /// The token's name; `None` if everybody is let in.
    name: Option<&'a str>,
    roles: Vec<&'static str>,
    expires_at: Option<Text<Time>>,
}

/// The session in the cookies of a request.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
    let pairs = cookies.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
    pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value).find(|it| !it.is_empty())
}

/// `POST /api/v1/session`: logs in with a token.
pub(super) async fn begin(mut call: Call) -> Result<Response<Body>, ApiError> {
    call.state.gate.check_origin(&call.headers)?;
    let incoming = body::read(&mut call).await?;
    let Login { token } = serde_json::from_slice(&incoming.bytes).map_err(|it| {
        let message = format!("{it}; a right body is {{\"token\": \"obs_...\"}}");
        ApiError::bad_request("invalid_json", message)
    })?;
    let now = call.state.pipeline.now();
    let tokens = call.state.gate.tokens();
    if tokens.is_open() {
        return Ok(describe(&tokens.verify(None, now)?));
    }
    let session = tokens.begin_session(&token, call.state.config.session, now)?;
    tracing::info!(token.name = session.identity.name.as_deref(), "a session was begun");
    let left = session.ends.as_millis().saturating_sub(now.as_millis()) / 1000;
    let mut response = describe(&session.identity);
    set_cookie(&call, &mut response, &session.secret, left)?;
    Ok(response)
}

/// `GET /api/v1/session`: who the client is.
pub(super) async fn show(call: Call) -> Result<Response<Body>, ApiError> {
    let (identity, _) = call.state.gate.whose(&call.headers, call.state.pipeline.now())?;
    Ok(describe(&identity))
}

/// `DELETE /api/v1/session`: logs out.
pub(super) async fn end(call: Call) -> Result<Response<Body>, ApiError> {
    call.state.gate.check_origin(&call.headers)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    set_cookie(&call, &mut response, "", 0)?;
    Ok(response)
}

fn describe(identity: &Identity) -> Response<Body> {
    let view = View {
        name: identity.name.as_deref(),
        roles: identity.roles.iter().map(Role::as_str).collect(),
        expires_at: identity.until.map(Text),
    };
    let mut response = reply::json(StatusCode::OK, &view);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn set_cookie(
    call: &Call,
    response: &mut Response<Body>,
    value: &str,
    seconds: i64,
) -> Result<(), ApiError> {
    let prefix = &call.state.config.push.route_prefix;
    let path = if prefix.is_empty() { "/" } else { prefix };
    // We speak plain HTTP; what the browser speaks to a proxy before us stands in its origin.
    let encrypted = call.header(header::ORIGIN).is_some_and(|it| it.starts_with("https://"));
    let secure = if encrypted { "; Secure" } else { "" };
    let cookie = format!(
        "{COOKIE}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    );
    let cookie = HeaderValue::from_str(&cookie).map_err(ApiError::internal)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_among_others() {
        let check = |cookies: &[&'static str], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for it in cookies {
                headers.append(header::COOKIE, HeaderValue::from_static(it));
            }
            assert_eq!(cookie(&headers), expected, "{cookies:?}");
        };
        check(&[], None);
        check(&["a=b"], None);
        check(&["a=b; observatory_session=x.y.z; c=d"], Some("x.y.z"));
        check(&["a=b", "observatory_session=x"], Some("x"));
        check(&["observatory_session="], None);
        check(&["xobservatory_session=x"], None);
    }
}
