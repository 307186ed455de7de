//! `/api/v1/events`: sending events, and asking for them.

mod receipt;
mod view;

use super::body;
use super::body::Incoming;
use super::endpoint::Call;
use super::error::{ApiError, Rejected};
use super::query;
use super::reply;
use super::routes::Rendering;
use crate::event::{Event, EventId};
use crate::journal::QueryError;
use crate::pipeline::{Ack, SubmitError};
use crate::sources;
use crate::sources::{CloudEventHeaders, RequestMeta, Shape};
use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode, header};
use bytes::Bytes;
use receipt::{Batch, Single};
use std::future::Future;

/// Bodies up to this many bytes are parsed where they were read; more would hold up other requests.
const INLINE_BYTES: usize = 64 << 10;

/// An event as it is shown everywhere.
pub(super) fn shown(sequence: u64, event: &Event<'_>) -> Result<Bytes, ApiError> {
    view::event(sequence, event)
}

// === sending ===

/// `POST /api/v1/events`: one event or a batch, as the body is.
pub(super) async fn send(call: Call) -> Result<Response<Body>, ApiError> {
    accept(call, false).await
}

/// `POST /api/v1/events/batch`: always a batch.
pub(super) async fn send_batch(call: Call) -> Result<Response<Body>, ApiError> {
    accept(call, true).await
}

async fn accept(mut call: Call, always_batch: bool) -> Result<Response<Body>, ApiError> {
    let atomic = query::flag(&call.uri, "atomic")?;
    let incoming = body::read(&mut call).await?;
    let large = incoming.encoding.is_some() || incoming.bytes.len() > INLINE_BYTES;
    let slow = large || may_come_back(&call.headers, &incoming.bytes);
    let job = move || submit(&call, incoming, Options { always_batch, atomic });
    // From here to the call of `submit` nothing awaits, so that a client that hangs up cannot stop half
    // way: a blocking task runs to its end.
    let submitted = if slow {
        tokio::task::spawn_blocking(job).await.map_err(ApiError::internal)?
    } else {
        job()
    }?;
    submitted.answer().await
}

/// Whether there may be an id that the server made, which is looked up in the store: as it is, with an
/// ASCII character escaped, or in a header.
fn may_come_back(headers: &HeaderMap, body: &[u8]) -> bool {
    let has = |what: &[u8]| memchr::memmem::find(body, what).is_some();
    has(b"\"evt_") || has(b"\\u00") || headers.contains_key("ce-id")
}

#[derive(Clone, Copy)]
struct Options {
    always_batch: bool,
    atomic: bool,
}

/// A body whose good events are on their way.
struct Submitted<F> {
    /// `None` if there was nothing to submit.
    ack: Option<F>,
    shape: Shape,
    total: usize,
    rejected: Vec<Rejected>,
    received: crate::event::Time,
}

fn submit(
    call: &Call,
    mut incoming: Incoming,
    options: Options,
) -> Result<Submitted<impl Future<Output = Result<Ack, SubmitError>> + Send + use<>>, ApiError> {
    incoming.decompress()?;
    let meta = meta(&call.headers);
    let parsed = sources::parse(&incoming.bytes, &meta, &call.state.config.events)?;
    let shape = if options.always_batch { Shape::Many } else { parsed.shape };
    let total = parsed.events.len();
    let mut rejected = Vec::new();
    let mut invalid = None;
    let events: Vec<_> = parsed
        .events
        .into_iter()
        .enumerate()
        .filter_map(|(index, it)| {
            it.inspect_err(|it| {
                rejected.push(Rejected::new(index, it));
                invalid = Some(ApiError::from(it));
            })
            .ok()
        })
        .collect();
    if let (Shape::One, Some(it)) = (shape, invalid) {
        return Err(it);
    }
    if !rejected.is_empty() && (options.atomic || events.is_empty()) {
        let message =
            format!("{} of {total} events are wrong; nothing was accepted", rejected.len());
        return Err(ApiError::bad_request("invalid_events", message).with_rejected(rejected));
    }
    let received = call.state.pipeline.now();
    let ack = if events.is_empty() { None } else { Some(call.state.pipeline.submit(events)) };
    Ok(Submitted { ack, shape, total, rejected, received })
}

impl<F: Future<Output = Result<Ack, SubmitError>>> Submitted<F> {
    async fn answer(self) -> Result<Response<Body>, ApiError> {
        let Self { ack, shape, total, rejected, received } = self;
        let ack = match ack {
            Some(it) => it.await?,
            None => Ack { received, events: Vec::new() },
        };
        Ok(match (shape, ack.events.as_slice()) {
            (Shape::One, [receipt]) => {
                reply::json(StatusCode::ACCEPTED, &Single::new(receipt, ack.received))
            }
            _ => reply::json(StatusCode::ACCEPTED, &Batch::new(&ack, total, &rejected)),
        })
    }
}

/// What the headers say about the body.
fn meta(headers: &HeaderMap) -> RequestMeta<'_> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let get = |name| headers.get(name).map(header::HeaderValue::as_bytes);
    let (specversion, id, event_type) = (get("ce-specversion"), get("ce-id"), get("ce-type"));
    let any = specversion.is_some() || id.is_some() || event_type.is_some();
    let cloud_event = any.then(|| CloudEventHeaders {
        specversion,
        id,
        event_type,
        source: get("ce-source"),
        time: get("ce-time"),
        subject: get("ce-subject"),
        traceparent: get("ce-traceparent"),
    });
    RequestMeta { content_type, cloud_event }
}

// === asking ===

/// `GET /api/v1/events`: a page of events.
pub(super) async fn list(call: Call) -> Result<Response<Body>, ApiError> {
    let history = call.rendering == Rendering::History;
    let question = query::events(&call.uri, call.state.pipeline.now(), history)?;
    let total = call.state.pipeline.health().events;
    let journal = call.state.pipeline.journal().clone();
    let body = blocking(move || {
        let page = journal.query(&question)?;
        if history { view::history(&page, total) } else { view::page(&page, question.ascending) }
    });
    Ok(reply::json_bytes(StatusCode::OK, body.await?))
}

/// `GET /api/v1/events/{id}`: one event.
pub(super) async fn get(call: Call) -> Result<Response<Body>, ApiError> {
    let id = call.last_segment();
    let journal = call.state.pipeline.journal().clone();
    let found = blocking(move || {
        let mut event = journal.get(&EventId::parse(&id))?;
        if event.is_none() && EventId::is_ours(&id) {
            // It was made by another server, and came here with its event.
            event = journal.get(&EventId::Given(id.as_str().into()))?;
        }
        let (sequence, event) = event
            .ok_or_else(|| ApiError::not_found(format!("there is no event with the id {id:?}")))?;
        view::event(sequence, &event)
    });
    Ok(reply::json_bytes(StatusCode::OK, found.await?))
}

/// Runs `work` off the reactor.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Store(_) => Self::store_unreadable(error),
            QueryError::Damaged(_) => Self::internal(error),
        }
    }
}
