//! Answers.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use serde::{Serialize, Serializer};
use std::fmt::Display;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// `value` as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(body) => with_type(status, JSON, body.into()),
        // Only a map with keys that are no strings can fail, and no answer has one.
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            with_type(
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                Bytes::from_static(b"internal error\n"),
            )
        }
    }
}

/// JSON that was written before.
pub(super) fn json_bytes(status: StatusCode, body: Bytes) -> Response<Body> {
    with_type(status, JSON, body)
}

/// One line of plain text.
pub(super) fn text(status: StatusCode, body: &'static str) -> Response<Body> {
    with_type(status, TEXT, Bytes::from_static(body.as_bytes()))
}

/// Plain text that was put together.
pub(super) fn text_owned(status: StatusCode, body: String) -> Response<Body> {
    with_type(status, TEXT, body.into())
}

/// A body of the given type.
pub(super) fn with_type(status: StatusCode, media: HeaderValue, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// Serializes a value as the text it displays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
