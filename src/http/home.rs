//! `GET /`: the first page. A binary that was built without the web page has a small one that says how to build it.

use super::endpoint::Call;
use super::error::ApiError;
use super::reply;
use super::ui;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;

const PAGE: &str = include_str!("home.html");
/// The page needs nothing from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

pub(super) async fn get(call: Call) -> Result<Response<Body>, ApiError> {
    Ok(ui::page(&call.headers).unwrap_or_else(small_page))
}

fn small_page() -> Response<Body> {
    let media = HeaderValue::from_static("text/html; charset=utf-8");
    let mut response = reply::with_type(StatusCode::OK, media, Bytes::from_static(PAGE.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
