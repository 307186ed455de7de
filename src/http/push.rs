//! The Pushgateway's own part of the surface: pushes, the list of groups, wiping and quitting. Statuses,
//! bodies and headers are the Pushgateway's, whose clients compare them.

mod control;
mod groups;
mod instruments;
mod list;
mod plain;
mod terms;

pub(super) use control::{quit, wipe};
pub(super) use groups::{delete_groups, groups};
pub(super) use instruments::Instruments;
pub(super) use list::list;
pub(super) use plain::{
    allow_other_sites, answers_plainly, handler_name, moved, not_allowed, not_found, options,
};

use super::Compat;
use super::body;
use super::body::{Encoding, Incoming};
use super::endpoint::Call;
use super::error::ApiError;
use crate::event::Time;
use crate::groups::{Exceeded, Limit, Op, Rejected};
use crate::pipeline::{Pushed, SubmitError};
use crate::push;
use crate::push::{BodyError, Grouping, PathError};
use crate::tokens::Role;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use std::time::Instant;

/// Bodies up to this many bytes are parsed where they were read; more would hold up other requests.
const INLINE_BYTES: usize = 64 << 10;

/// `PUT` and `POST /metrics/job/...`: a push.
pub(super) async fn push(mut call: Call) -> Result<Response<Body>, ApiError> {
    let started = Instant::now();
    let mut grouping = grouping(&call)?;
    let received = received(&call)?;
    let terms = terms::of(&call, &mut grouping)?;
    let max = call.state.pipeline.groups().body_limit(grouping.job());
    let incoming = body::read_within(&mut call, max.unwrap_or(usize::MAX)).await;
    let incoming = incoming.map_err(|it| limited(&call, &grouping, it))?;
    let size = request_bytes(&call, incoming.bytes.len());
    let large = incoming.encoding.is_some() || incoming.bytes.len() > INLINE_BYTES;
    let state = call.state.clone();
    let put = call.method == Method::PUT;
    let job = move || submit(&call, &grouping, incoming, (terms, received));
    // From here to the call of `submit` nothing awaits, so that a client that hangs up cannot stop half
    // way: a blocking task runs to its end.
    let submitted = if large {
        tokio::task::spawn_blocking(job).await.map_err(ApiError::internal)?
    } else {
        job()
    }?;
    let result = submitted.await;
    state.instruments.pushed(if put { "put" } else { "post" }, started.elapsed(), size);
    match result? {
        Ok(()) if state.config.push.compat == Compat::PromAggregationGateway => Ok(accepted()),
        Ok(()) if state.config.push.unchecked => Ok(empty(StatusCode::ACCEPTED)),
        Ok(()) => Ok(empty(StatusCode::OK)),
        Err(reason) => {
            tracing::warn!(%reason, "a push was rejected");
            match reason {
                Rejected::Limit(it) => Err(it.into()),
                // What nobody checks cannot be refused; the group's failure time tells.
                Rejected::Invalid(_) if state.config.push.unchecked => {
                    Ok(empty(StatusCode::ACCEPTED))
                }
                Rejected::KeyReused => {
                    let status = StatusCode::UNPROCESSABLE_ENTITY;
                    Err(ApiError::new(status, "idempotency_key_reused", reason))
                }
                Rejected::Invalid(_) => Err(ApiError::bad_request("rejected", reason)),
            }
        }
    }
}

/// `DELETE /metrics/job/...`: removes a group. It is the same whether there was one.
pub(super) async fn delete(call: Call) -> Result<Response<Body>, ApiError> {
    let grouping = match grouping(&call) {
        Ok(it) => it,
        // There is no such group, and never will be.
        Err(PathError::NotUtf8(_)) => return Ok(empty(StatusCode::ACCEPTED)),
        Err(it) => return Err(it.into()),
    };
    // A deletion disagrees with nothing.
    let _ = call.state.pipeline.push(Op::Delete, &grouping, Vec::new()).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// The header in which an import says when another server received a push.
const PUSH_TIME: &str = "x-observatory-push-time";

/// When the push was received: now, unless whoever operates the server says otherwise.
fn received(call: &Call) -> Result<Time, ApiError> {
    let now = call.state.pipeline.now();
    let Some(text) = call.header(PUSH_TIME) else { return Ok(now) };
    if !call.identity.roles.contains(Role::Control) {
        let message = format!("{PUSH_TIME} needs a token with the role control");
        return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message));
    }
    let time = Time::parse(text).ok().filter(|it| *it <= now);
    time.ok_or_else(|| {
        ApiError::bad_request("invalid_time", format!("{PUSH_TIME}: expected a time that is past"))
    })
}

fn submit(
    call: &Call,
    grouping: &Grouping,
    mut incoming: Incoming,
    (terms, received): (terms::Asked, Time),
) -> Result<impl Future<Output = Result<Pushed, SubmitError>> + Send + use<>, ApiError> {
    let encoding = incoming.encoding;
    let compressed = incoming.bytes.clone();
    incoming.decompress().map_err(|it| match encoding {
        Some(encoding) if it.status() == StatusCode::BAD_REQUEST => {
            ApiError::bad_request("invalid_encoding", reason(encoding, &compressed))
        }
        _ => limited(call, grouping, it),
    })?;
    drop(compressed);
    let config = &call.state.config.push;
    let content_type = call.header(header::CONTENT_TYPE);
    let limits = push::Limits { message_bytes: call.state.config.body_bytes, ..config.limits };
    let mended = if config.lenient { push::mended(&incoming.bytes, content_type) } else { None };
    let body = mended.as_deref().unwrap_or(&incoming.bytes);
    let families = push::families(body, content_type, config.paths.utf8, &limits)?;
    let terms = terms.into_terms(&call.method, &incoming.bytes);
    Ok(call.state.pipeline.push_at(terms, grouping, families, received))
}

/// `error`, or that the body is larger than its job may push, if that is why.
fn limited(call: &Call, grouping: &Grouping, error: ApiError) -> ApiError {
    let (groups, job) = (call.state.pipeline.groups(), grouping.job());
    let by_job = groups.body_limit(job).is_some_and(|it| it < call.state.config.body_bytes);
    if error.status() != StatusCode::PAYLOAD_TOO_LARGE || !by_job {
        return error;
    }
    groups.body_exceeds(job).map_or(error, Into::into)
}

/// What the Pushgateway says about bytes that it cannot decompress.
fn reason(encoding: Encoding, bytes: &[u8]) -> &'static str {
    match encoding {
        Encoding::Gzip if bytes.is_empty() => "EOF",
        Encoding::Gzip if bytes.len() < 10 => "unexpected EOF",
        Encoding::Gzip if !bytes.starts_with(&[0x1f, 0x8b, 8]) => "gzip: invalid header",
        Encoding::Gzip => "unexpected EOF",
        Encoding::Snappy => "snappy: corrupt input",
        Encoding::Zstd => "zstd: corrupt input",
        Encoding::Deflate => "deflate: corrupt input",
        Encoding::Brotli => "brotli: corrupt input",
    }
}

/// The group that the path names.
fn grouping(call: &Call) -> Result<Grouping, PathError> {
    let config = &call.state.config.push;
    let read =
        if config.compat == Compat::Pushgateway { push::grouping } else { push::jobless_grouping };
    read(call.uri.path(), config.paths)
}

/// What prom-aggregation-gateway answers, also to the pages of other sites.
fn accepted() -> Response<Body> {
    let mut response = empty(StatusCode::ACCEPTED);
    let any = HeaderValue::from_static("*");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The size of the request, nearly: the parts of its head, and its body.
fn request_bytes(call: &Call, body: usize) -> usize {
    let headers = call.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let line = call.method.as_str().len() + call.uri.path().len() + "HTTP/1.1".len();
    line + headers.sum::<usize>() + body
}

impl From<PathError> for ApiError {
    fn from(error: PathError) -> Self {
        match error {
            PathError::TooLarge(it) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", it),
            it => Self::bad_request("invalid_path", it),
        }
    }
}

impl From<Exceeded> for ApiError {
    fn from(error: Exceeded) -> Self {
        match error.limit {
            Limit::Groups => Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_groups", error),
            Limit::Series => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_series", error),
            // The rest of the body is not read.
            Limit::BodyBytes => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", error)
                .with_header(header::CONNECTION, HeaderValue::from_static("close")),
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(it) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", it),
            BodyError::Malformed(it) => Self::bad_request("invalid_body", it),
        }
    }
}
