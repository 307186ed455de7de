//! The stream as a WebSocket (RFC 6455).

use super::begin;
use super::frames::{Frame, Step};
use super::instruments::Open;
use super::permit::Reason;
use super::reader::{Item, Reader};
use super::sse::hello;
use super::wanted::{Filter, Reset};
use crate::http::endpoint::Call;
use crate::http::error::ApiError;
use crate::http::routes::Rendering;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderValue, Request, Response, StatusCode, header, request::Parts};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream::SplitSink, stream::SplitStream};
use serde_json::json;
use std::{ops::ControlFlow, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until, timeout};

/// Events that the older path sends first.
const HISTORY: usize = 100;
/// Bytes of what a client may say. It has little to say.
const MAX_MESSAGE_BYTES: usize = 4 << 10;
/// Bytes that are collected before they are sent, and that are kept for the client's words: the defaults are for few
/// connections.
const BUFFER_BYTES: usize = 8 << 10;
const MAX_BUFFER_BYTES: usize = 4 << 20;
/// How long a close may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// One client.
struct Socket {
    reader: Reader,
    link: Link,
    /// When something came from the client.
    heard: Instant,
}

/// The way to the client.
struct Link {
    filter: Arc<Filter>,
    open: Open,
    /// Whether it gets the frames of an older server: events as they are, and nothing else.
    bare: bool,
    /// How long a message may take to be sent.
    patience: Duration,
    /// How often the client is asked whether it is there.
    heartbeat: Duration,
    /// The sequence number to go on from: up to it, everything was sent.
    sent: u64,
}

pub(super) type Out = SplitSink<WebSocket, Message>;
pub(super) type In = SplitStream<WebSocket>;

/// `GET /api/v1/ws`, and `/ws`.
pub(in crate::http) async fn socket(mut call: Call) -> Result<Response<Body>, ApiError> {
    call.state.gate.check_origin(&call.headers)?;
    let upgrade = upgrade(&mut call, "GET /api/v1/stream, which has the same events").await?;
    let bare = call.rendering == Rendering::History;
    let reader = begin(&call, if bare { HISTORY } else { 0 }).await?;
    let streams = &call.state.streams;
    let link = Link {
        filter: reader.filter(),
        open: streams.instruments.open("websocket"),
        bare,
        patience: streams.config.max_lag,
        heartbeat: reader.heartbeat(),
        sent: reader.last(),
    };
    let mut socket = Socket { reader, link, heard: Instant::now() };
    let running = streams.token();
    Ok(upgrade.on_upgrade(|it| async move {
        socket.run(it).await;
        drop(running);
    }))
}

/// What the handshake is about.
fn handshake(call: &mut Call) -> Parts {
    let mut request = Request::new(());
    *request.method_mut() = call.method.clone();
    *request.headers_mut() = call.headers.clone();
    if let Some(it) = call.upgrade.take() {
        request.extensions_mut().insert(it);
    }
    request.into_parts().0
}

/// Becomes a web socket, or says that it would have to, or what there is `instead`.
pub(super) async fn upgrade(call: &mut Call, instead: &str) -> Result<WebSocketUpgrade, ApiError> {
    let mut parts = handshake(call);
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.map_err(|error| {
        let message =
            format!("this is a WebSocket ({error}): connect to it as one, or read {instead}");
        ApiError::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message)
            .with_header(header::UPGRADE, HeaderValue::from_static("websocket"))
    })?;
    let upgrade = upgrade
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .read_buffer_size(MAX_MESSAGE_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(MAX_BUFFER_BYTES);
    Ok(upgrade)
}

impl Socket {
    async fn run(&mut self, socket: WebSocket) {
        let (mut out, mut from) = socket.split();
        let ended = loop {
            let silent = self.heard + 2 * self.link.heartbeat + self.link.patience;
            let done = tokio::select! {
                biased;
                said = from.next() => {
                    self.heard = Instant::now();
                    answer(said, self.link.patience, &mut out).await
                }
                item = self.reader.next() => match item {
                    Some(it) => self.send(&it, &mut out).await,
                    None => return,
                },
                () = sleep_until(silent) => ControlFlow::Break(None),
            };
            if let ControlFlow::Break(it) = done {
                break it;
            }
        };
        if let Some(reason) = ended {
            self.link.open.closing(reason.as_str());
            // From where to go on.
            let text = json!({"reason": reason.as_str(), "since": self.link.sent}).to_string();
            close(reason, text, &mut out, &mut from).await;
        }
    }

    /// Sends `item`; breaks if that was the end, with the reason if the client is still to be told.
    async fn send(&mut self, item: &Item, out: &mut Out) -> ControlFlow<Option<Reason>> {
        if let Item::Close(reason) = item {
            // Whatever came before it was sent, or not wanted.
            self.link.sent = self.reader.last();
            return ControlFlow::Break(Some(*reason));
        }
        let (last, patience) = (self.reader.last(), self.link.patience);
        tokio::select! {
            written = timeout(patience, self.link.write(item, last, out)) => match written {
                Ok(Ok(())) => ControlFlow::Continue(()),
                Ok(Err(_)) => ControlFlow::Break(None),
                // It may take the reason, if it reads again at all.
                Err(_) => ControlFlow::Break(Some(Reason::Slow)),
            },
            reason = self.reader.refused() => ControlFlow::Break(Some(reason)),
        }
    }
}

impl Link {
    async fn write(&mut self, item: &Item, last: u64, out: &mut Out) -> Result<(), axum::Error> {
        let control = match item {
            Item::Events(step, from) => {
                self.write_events(step, *from, out).await?;
                self.sent = last;
                return Ok(());
            }
            Item::Heartbeat => {
                // A client that is gone does not answer.
                out.feed(Message::Ping(Bytes::new())).await?;
                json!({"type": "heartbeat", "sequence": last})
            }
            Item::Hello { newest } => {
                let mut hello = hello(last, *newest, self.heartbeat);
                if let Some(it) = hello.as_object_mut() {
                    it.insert("type".to_owned(), "hello".into());
                }
                hello
            }
            Item::Reset(Reset { reason, since, missing }) => {
                json!({"type": "reset", "reason": reason, "since": since, "sequence": last, "missing": missing})
            }
            Item::Push(it) => json!({"type": "push", "push": **it}),
            Item::PushesMissed(n) => json!({"type": "pushes_missed", "missed": n}),
            Item::Close(_) => return Ok(()),
        };
        self.sent = last;
        if !self.bare {
            out.feed(Message::Text(control.to_string().into())).await?;
        }
        out.flush().await
    }

    async fn write_events(
        &mut self,
        step: &Step,
        from: u64,
        out: &mut Out,
    ) -> Result<(), axum::Error> {
        let filter = Arc::clone(&self.filter);
        let Some(picked) = step.pick(from, |it| filter.wants(it)) else { return Ok(()) };
        for frame in picked.frames() {
            out.feed(Message::Text(self.message(step, frame))).await?;
            self.sent = frame.seq;
            self.open.sent(1);
        }
        out.flush().await
    }

    fn message(&self, step: &Step, frame: &Frame) -> Utf8Bytes {
        if !self.bare {
            return step.message(frame);
        }
        Utf8Bytes::try_from(step.json(frame)).unwrap_or_default()
    }
}

/// Hears what the client says; breaks if it is gone. The library answers pings.
pub(super) async fn answer(
    said: Option<Result<Message, axum::Error>>,
    patience: Duration,
    out: &mut Out,
) -> ControlFlow<Option<Reason>> {
    let reply = async {
        match said {
            Some(Ok(Message::Text(it))) if it.as_str() == "ping" => {
                out.send(Message::Text("pong".into())).await.ok()
            }
            Some(Ok(Message::Ping(_))) => out.flush().await.ok(),
            Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Pong(_))) => Some(()),
            Some(Ok(Message::Close(_))) => {
                // The library has put its goodbye in line.
                let _ = out.flush().await;
                None
            }
            Some(Err(_)) | None => None,
        }
    };
    match timeout(patience, reply).await {
        Ok(Some(())) => ControlFlow::Continue(()),
        _ => ControlFlow::Break(None),
    }
}

/// Says why it ends, as the JSON `text`, and waits for the client's goodbye, but not for long.
pub(super) async fn close(reason: Reason, text: String, out: &mut Out, from: &mut In) {
    let code = match reason {
        Reason::Stopping => 1001,
        Reason::Unauthorized => 1008,
        Reason::Failed => 1011,
        Reason::Slow => 1013,
    };
    let frame = CloseFrame { code, reason: text.into() };
    let goodbye = async {
        if out.send(Message::Close(Some(frame))).await.is_ok() {
            // Until the client has said goodbye too, what it has not read could be lost with the connection.
            while let Some(Ok(_)) = from.next().await {}
        }
    };
    let _ = timeout(GOODBYE, goodbye).await;
}
