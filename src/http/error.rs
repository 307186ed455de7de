//! The one place where a failure becomes a status and a body.
//!
//! The client sees status, code and message; the log sees the source. Nothing internal reaches the
//! client.

use super::reply;
use crate::pipeline::SubmitError;
use crate::sources::{BodyError, FieldError, Invalid};
use crate::tokens::{AuthError, TokenError};
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use std::{error::Error, fmt};

/// A failed request. Boxed: nearly every handler returns a `Result` of it, and nearly none fails.
#[derive(Debug)]
pub(super) struct ApiError(Box<Failure>);

#[derive(Debug)]
struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    fields: Vec<Field>,
    rejected: Vec<Rejected>,
    /// What is wrong, as older clients of the logs read it, in place of the message.
    details: Vec<Detail>,
    header: Option<(header::HeaderName, HeaderValue)>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What is wrong with one field or parameter.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Field {
    pub(super) field: String,
    pub(super) reason: String,
}

/// What is wrong with one member or parameter, as web frameworks of Python say it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Detail {
    #[serde(rename = "type")]
    kind: &'static str,
    loc: Vec<String>,
    msg: String,
    input: serde_json::Value,
}

/// An event of a batch that was not accepted.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Rejected {
    /// Its position in the batch, counted from 0.
    pub(super) index: usize,
    pub(super) error: String,
    pub(super) fields: Vec<Field>,
}

#[derive(Serialize)]
struct Shown<'a> {
    error: &'a str,
    message: &'a str,
    fields: &'a [Field],
    /// The message again, under the name that older clients read, or more of it.
    detail: Said<'a>,
    #[serde(skip_serializing_if = "<[Rejected]>::is_empty")]
    rejected: &'a [Rejected],
}

#[derive(Serialize)]
#[serde(untagged)]
enum Said<'a> {
    Message(&'a str),
    Details(&'a [Detail]),
}

impl Detail {
    /// What is wrong with `name`, or with the whole `place`, which is `body` or `query`.
    pub(super) fn new(
        place: &str,
        name: Option<&str>,
        kind: &'static str,
        msg: &str,
        input: serde_json::Value,
    ) -> Self {
        let loc = std::iter::once(place).chain(name).map(str::to_owned).collect();
        Self { kind, loc, msg: msg.to_owned(), input }
    }
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        let (fields, rejected, details) = (Vec::new(), Vec::new(), Vec::new());
        let (header, source) = (None, None);
        Self(Box::new(Failure { status, code, message, fields, rejected, details, header, source }))
    }

    /// The client sent something wrong, and `message` tells it what.
    pub(super) fn bad_request(code: &'static str, message: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A parameter of the query, or a member of the body, is wrong.
    pub(super) fn parameter(field: &str, reason: impl fmt::Display) -> Self {
        let reason = reason.to_string();
        let message = format!("{field} {reason}");
        let mut res = Self::bad_request("invalid_parameter", message);
        res.0.fields.push(Field { field: field.to_owned(), reason });
        res
    }

    /// Members or parameters are wrong, in the form in which older clients of the logs read it.
    pub(super) fn unprocessable(details: Vec<Detail>) -> Self {
        let field = |it: &Detail| it.loc.last().cloned().unwrap_or_default();
        let said = details.iter().map(|it| format!("{}: {}", field(it), it.msg));
        let message = said.collect::<Vec<_>>().join("; ");
        let mut res = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_log", message);
        let fields = details.iter().map(|it| Field { field: field(it), reason: it.msg.clone() });
        (res.0.fields, res.0.details) = (fields.collect(), details);
        res
    }

    /// Nothing is there.
    pub(super) fn not_found(message: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The server cannot do it now; the client should come back.
    pub(super) fn unavailable(code: &'static str, message: impl fmt::Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// The disk is full; the client should come back when somebody may have made room.
    fn insufficient_storage(message: impl fmt::Display) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "insufficient_storage", message)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("10"))
    }

    /// We failed. The client learns only that.
    pub(super) fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut res =
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "internal error; see the log");
        res.0.source = Some(source.into());
        res
    }

    /// The store cannot be read now; on a full disk, what was stored last is such.
    pub(super) fn store_unreadable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut res =
            Self::unavailable("store_unavailable", "the store cannot be read; see the log");
        res.0.source = Some(source.into());
        res
    }

    pub(super) fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    pub(super) fn with_rejected(mut self, rejected: Vec<Rejected>) -> Self {
        self.0.rejected = rejected;
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The message as a line of text, for clients of the Pushgateway. Whoever is not let in reads what a
    /// Prometheus web configuration answers.
    pub(super) fn into_plain_response(self) -> Response<Body> {
        if let Some(source) = &self.0.source {
            tracing::error!(error = %source, "request failed");
        }
        let Failure { status, message, header, .. } = *self.0;
        let unauthorized = status == StatusCode::UNAUTHORIZED;
        let message = if unauthorized { "Unauthorized\n".to_owned() } else { message + "\n" };
        let mut response = reply::text_owned(status, message);
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some((name, value)) = header {
            headers.insert(name, value);
        }
        if unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        }
        response
    }

    pub(super) fn into_response(self) -> Response<Body> {
        if let Some(source) = &self.0.source {
            tracing::error!(error = %source, "request failed");
        }
        let Failure { status, code, message, fields, rejected, details, header, source: _ } =
            *self.0;
        let detail = match details.as_slice() {
            [] => Said::Message(&message),
            it => Said::Details(it),
        };
        let shown =
            Shown { error: code, message: &message, fields: &fields, detail, rejected: &rejected };
        let mut response = reply::json(status, &shown);
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl Rejected {
    pub(super) fn new(index: usize, invalid: &Invalid) -> Self {
        Self { index, error: invalid.to_string(), fields: fields(invalid) }
    }
}

fn fields(invalid: &Invalid) -> Vec<Field> {
    let field = |FieldError { field, reason }: &FieldError| Field {
        field: (*field).to_owned(),
        reason: reason.clone().into_owned(),
    };
    invalid.fields.iter().map(field).collect()
}

impl From<&Invalid> for ApiError {
    fn from(invalid: &Invalid) -> Self {
        let mut res = Self::bad_request("invalid_event", invalid);
        res.0.fields = fields(invalid);
        res
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let (status, code) = match &error {
            BodyError::MediaType(_) | BodyError::Charset(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            BodyError::TooManyEvents(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_events"),
            BodyError::NotUtf8 { .. } | BodyError::Syntax { .. } => {
                (StatusCode::BAD_REQUEST, "invalid_json")
            }
            BodyError::Empty | BodyError::NotAnEvent => (StatusCode::BAD_REQUEST, "invalid_event"),
        };
        Self::new(status, code, error)
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Full => {
                Self::unavailable("queue_full", "the queue is full: try again in a moment")
            }
            SubmitError::Stopping => Self::unavailable("stopping", "the server is stopping"),
            SubmitError::NoSpace { .. } => Self::insufficient_storage(error),
            SubmitError::Store(_) => {
                let message = "the store cannot be written; /health says why and what to do";
                let mut res = Self::unavailable("store_unavailable", message);
                res.0.source = Some(Box::new(error));
                res
            }
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"observatory\"");
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", error)
            .with_header(header::WWW_AUTHENTICATE, challenge)
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Name => Self::parameter("name", error),
            TokenError::NoRole => Self::parameter("roles", error),
            TokenError::Exists(_) | TokenError::Configured(_) => {
                Self::new(StatusCode::CONFLICT, "conflict", error)
            }
            TokenError::NotFound(_) => Self::not_found(error),
            TokenError::Store(it) if it.is_full() => Self::insufficient_storage(
                "the server's disk is full: nothing was changed; make room and try again",
            ),
            error => Self::internal(error),
        }
    }
}
