//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use super::begin;
use super::instruments::Open;
use super::reader::{Item, Reader};
use super::wanted::Reset;
use crate::http::endpoint::{Call, Endless};
use crate::http::error::ApiError;
use crate::http::health::VERSION;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, header};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::json;
use std::{convert::Infallible, time::Duration};

/// How long a client waits before it comes back, in milliseconds.
const RETRY: u32 = 2000;

/// `GET /api/v1/stream`.
pub(in crate::http) async fn stream(call: Call) -> Result<Response<Body>, ApiError> {
    let reader = begin(&call, 0).await?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Neither kept nor collected nor compressed on the way: each event is there when it is sent.
    let cache = HeaderValue::from_static("no-store, no-transform");
    headers.insert(header::CACHE_CONTROL, cache);
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if call.method == Method::HEAD {
        return Ok(response);
    }
    response.extensions_mut().insert(Endless);
    let open = call.state.streams.instruments.open("sse");
    let frames = stream::unfold((reader, open), |(mut reader, mut open)| async {
        let item = reader.next().await?;
        let text = text(&item, &reader, &mut open);
        Some((Ok::<_, Infallible>(Frame::data(text)), (reader, open)))
    });
    *response.body_mut() = Body::new(StreamBody::new(frames));
    Ok(response)
}

/// What a stream begins with: which server it is, behind which number it begins, and how often it says that it
/// lives.
pub(super) fn hello(last: u64, newest: u64, heartbeat: Duration) -> serde_json::Value {
    let seconds = heartbeat.as_secs_f64();
    json!({"version": VERSION, "sequence": last, "newest": newest, "heartbeat_seconds": seconds})
}

fn text(item: &Item, reader: &Reader, open: &mut Open) -> Bytes {
    let last = reader.last();
    let (name, data) = match item {
        Item::Events(step, from) => {
            let Some(picked) = reader.pick(step, *from) else { return Bytes::new() };
            open.sent(picked.len());
            return picked.text();
        }
        Item::Hello { newest } => ("hello", hello(last, *newest, reader.heartbeat())),
        Item::Reset(Reset { reason, since, missing }) => (
            "reset",
            json!({"reason": reason, "since": since, "sequence": last, "missing": missing, "events": "/api/v1/events"}),
        ),
        // Without an id: it is not in the journal, and does not move the place to come back to.
        Item::Push(it) => return format!("event: push\ndata: {}\n\n", json!(**it)).into(),
        Item::PushesMissed(n) => {
            return format!("event: pushes_missed\ndata: {}\n\n", json!({"missed": n})).into();
        }
        Item::Heartbeat => ("heartbeat", json!({"sequence": last})),
        Item::Close(reason) => {
            open.closing(reason.as_str());
            ("close", json!({"reason": reason.as_str(), "since": last}))
        }
    };
    let retry = if name == "hello" { format!("retry: {RETRY}\n") } else { String::new() };
    // The id moves with what was looked at, so that a client whose filter matches little comes back to the end.
    format!("{retry}id: {last}\nevent: {name}\ndata: {data}\n\n").into()
}
