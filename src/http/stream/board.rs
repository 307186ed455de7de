//! Web sockets that show how something stands, rather than events: all of it first, and then what changes.
//!
//! What is shown comes from a [`Source`]. The rest is here, and is as for `/api/v1/ws`: who may, from which origin, how many
//! and for how long; heartbeats; `ping` and `pong`; and the end of a client that does not read.

use super::instruments::Open;
use super::permit::{Permit, Reason};
use super::places::{Client, Place};
use super::ws::{self, In, Out};
use crate::http::endpoint::Call;
use crate::http::error::ApiError;
use axum::body::Body;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::{future::Future, ops::ControlFlow, time::Duration};
use tokio::time::{Instant, sleep_until, timeout};

/// Bytes of the largest message: all that there is to show is one.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// What is shown on a web socket.
pub(super) trait Source: Send + 'static {
    /// The next message, the first being everything; `None` if it cannot go on. May be dropped at any time and called again:
    /// nothing is lost by it.
    fn next(&mut self) -> impl Future<Output = Option<Utf8Bytes>> + Send;

    /// The sequence number of the last message, if they have one; it goes out with heartbeats and with the end.
    fn sequence(&self) -> Option<u64>;
}

/// One client.
struct Board<S> {
    source: S,
    permit: Permit,
    open: Open,
    /// Free again when the client is gone.
    _seat: Place,
    /// How long a message may take to be sent.
    patience: Duration,
    heartbeat: Duration,
}

/// Shows `source` to the client of `call`, which must have asked for a web socket; otherwise it is told what to read `instead`.
pub(super) async fn show<S: Source>(
    mut call: Call,
    source: S,
    instead: &str,
) -> Result<Response<Body>, ApiError> {
    call.state.gate.check_origin(&call.headers)?;
    let upgrade = ws::upgrade(&mut call, instead).await?;
    let (state, identity) = (call.state.clone(), call.identity.clone());
    let streams = &state.streams;
    let seat = streams.places.take(Client::new(&identity, call.peer)).inspect_err(|it| {
        let share = it.status() == StatusCode::TOO_MANY_REQUESTS;
        streams.instruments.refused(if share { "share" } else { "busy" });
    })?;
    let whose = (state.gate.tokens().clone(), state.pipeline.clone(), identity);
    let board = Board {
        source,
        permit: Permit::new(streams, whose),
        open: streams.instruments.open("websocket"),
        _seat: seat,
        patience: streams.config.max_lag,
        heartbeat: streams.config.heartbeat,
    };
    let running = streams.token();
    let upgrade = upgrade.max_write_buffer_size(MAX_MESSAGE_BYTES);
    Ok(upgrade.on_upgrade(|it| async move {
        board.run(it).await;
        drop(running);
    }))
}

impl<S: Source> Board<S> {
    async fn run(mut self, socket: WebSocket) {
        let (mut out, mut from) = socket.split();
        let Some(reason) = self.talk(&mut out, &mut from).await else { return };
        self.open.closing(reason.as_str());
        let mut text = json!({"reason": reason.as_str()});
        if let (Some(it), Some(fields)) = (self.source.sequence(), text.as_object_mut()) {
            fields.insert("since".to_owned(), it.into());
        }
        ws::close(reason, text.to_string(), &mut out, &mut from).await;
    }

    /// Shows until the end, and says why it ends if the client is still to be told.
    async fn talk(&mut self, out: &mut Out, from: &mut In) -> Option<Reason> {
        let (mut heard, mut beat) = (Instant::now(), Instant::now() + self.heartbeat);
        loop {
            if let Some(it) = self.permit.refusal() {
                return Some(it);
            }
            let silent = heard + 2 * self.heartbeat + self.patience;
            let done = tokio::select! {
                biased;
                said = from.next() => {
                    heard = Instant::now();
                    ws::answer(said, self.patience, out).await
                }
                () = self.permit.changed() => ControlFlow::Continue(()),
                () = sleep_until(beat) => {
                    beat = Instant::now() + self.heartbeat;
                    let text = json!({"type": "heartbeat", "sequence": self.source.sequence()});
                    let text = Message::Text(text.to_string().into());
                    self.send([Message::Ping(Bytes::new()), text], out).await
                }
                () = sleep_until(silent) => ControlFlow::Break(None),
                next = self.source.next() => match next {
                    Some(it) => {
                        self.open.sent(1);
                        self.send([Message::Text(it)], out).await
                    }
                    None => ControlFlow::Break(Some(Reason::Failed)),
                },
            };
            if let ControlFlow::Break(it) = done {
                return it;
            }
        }
    }

    async fn send(
        &mut self,
        messages: impl IntoIterator<Item = Message>,
        out: &mut Out,
    ) -> ControlFlow<Option<Reason>> {
        let write = async {
            for it in messages {
                out.feed(it).await?;
            }
            out.flush().await
        };
        tokio::select! {
            written = timeout(self.patience, write) => match written {
                Ok(Ok(())) => ControlFlow::Continue(()),
                Ok(Err(_)) => ControlFlow::Break(None),
                Err(_) => ControlFlow::Break(Some(Reason::Slow)),
            },
            reason = self.permit.refused() => ControlFlow::Break(Some(reason)),
        }
    }
}
