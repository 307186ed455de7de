//! `/api/v1/stream` and the web sockets: events as they are committed.
//!
//! # Contract
//!
//! - A stream shows the events that match, in the order of their sequence numbers, each once, when they are
//!   committed. A client that names the last number it saw (`Last-Event-ID`, `since`) goes on behind it, also after
//!   a restart.
//! - If that cannot be, because events were deleted meanwhile or the journal is another, one `reset` says so.
//! - A client that falls behind is read for from the journal; if it does not catch up in time, its stream ends with
//!   a reason and the number to go on from. Nothing is queued for a client, and none waits for another.
//! - A stream ends within a second of its token, and at once when the server stops.

mod alerts;
mod board;
mod feed;
mod frames;
mod instruments;
mod mesh;
mod overview;
mod permit;
mod places;
mod pushes;
mod reader;
mod sse;
pub(super) mod tickets;
mod wanted;
mod ws;

pub(super) use alerts::alerts;
pub(super) use instruments::Instruments;
pub(super) use overview::{metrics, topology};
pub(super) use sse::stream;
pub(super) use ws::socket;

use super::endpoint::Call;
use super::error::ApiError;
use super::reply;
use super::reply::Text;
use crate::event::Time;
use crate::pipeline::Pipeline;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use feed::Feed;
use mesh::Mesh;
use places::{Client, Places};
use reader::Reader;
use serde::Serialize;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, watch};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// Streams of a kind that read the journal at once; others wait for their turn.
const AT_ONCE: usize = 2;

/// How streams behave.
#[derive(Clone, Debug)]
pub struct Config {
    /// Streams in all. More are answered 503 with `Retry-After`. Default 2000.
    pub max: usize,
    /// Streams of one token or, without tokens, of one address. More are answered 429. Default 200.
    pub max_per_client: usize,
    /// How often a stream says that it lives. Default 15 s.
    pub heartbeat: Duration,
    /// Events kept in memory for all streams; who is further behind reads from disk. Default 4096.
    pub buffer_events: usize,
    /// Bytes of them. Default 4 MiB.
    pub buffer_bytes: usize,
    /// How long a stream that has shown everything may then be behind what is kept in memory. Default 10 s.
    pub max_lag: Duration,
}

/// What streams share.
#[derive(Debug)]
pub(super) struct Streams {
    feed: Feed,
    mesh: Mesh,
    places: Places,
    turns: Turns,
    /// Tells that tokens have changed.
    changes: watch::Sender<()>,
    instruments: Instruments,
    stopping: CancellationToken,
    tasks: TaskTracker,
    config: Config,
}

/// The turns to read the journal.
#[derive(Clone, Debug)]
struct Turns {
    /// Of streams that have not been up to date yet.
    past: Arc<Semaphore>,
    /// Of those that have been.
    behind: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let turns = || Arc::new(Semaphore::new(AT_ONCE));
        Self { past: turns(), behind: turns() }
    }
}

impl Streams {
    pub(super) fn new(
        pipeline: &Pipeline,
        config: &Config,
        instruments: Instruments,
        (stopping, tasks): (CancellationToken, TaskTracker),
    ) -> Self {
        let bounds = (config.buffer_events, config.buffer_bytes);
        Self {
            feed: Feed::new(pipeline, bounds, stopping.clone()),
            mesh: Mesh::new(pipeline, stopping.clone()),
            places: Places::new(config.max, config.max_per_client),
            turns: Turns::default(),
            changes: watch::Sender::new(()),
            instruments,
            stopping,
            tasks,
            config: config.clone(),
        }
    }

    /// Makes every stream look whether it may go on. Call it when tokens have changed.
    pub(super) fn tokens_changed(&self) {
        self.changes.send_replace(());
    }

    /// Keeps the drain waiting until it is dropped.
    fn token(&self) -> TaskTrackerToken {
        self.tasks.token()
    }
}

/// Begins the stream that `call` asks for; `history` is how many events come first if it does not say.
fn begin(
    call: &Call,
    history: usize,
) -> impl Future<Output = Result<Reader, ApiError>> + Send + use<> {
    let (state, identity, peer) = (call.state.clone(), call.identity.clone(), call.peer);
    let asked = wanted::read(call, history, state.pipeline.now());
    async move {
        let (filter, start) = asked?;
        let streams = &state.streams;
        let seat = streams.places.take(Client::new(&identity, peer)).inspect_err(|it| {
            let share = it.status() == StatusCode::TOO_MANY_REQUESTS;
            streams.instruments.refused(if share { "share" } else { "busy" });
        })?;
        let (feed, journal) = (streams.feed.clone(), state.pipeline.journal().clone());
        let found = tokio::task::spawn_blocking(move || {
            let place = start.find(&journal, feed.committed(), &filter)?;
            Ok::<_, ApiError>((filter, place))
        });
        let (filter, place) = found.await.map_err(ApiError::internal)??;
        if let Some(reset) = place.reset {
            streams.instruments.reset(reset.reason);
        }
        let whose = (state.gate.tokens().clone(), state.pipeline.clone(), identity);
        Ok(Reader::new(streams, seat, (filter, place), whose))
    }
}

#[derive(Serialize)]
struct Ticket<'a> {
    ticket: &'a str,
    expires_at: Text<Time>,
}

/// `POST /api/v1/stream/ticket`.
pub(super) async fn ticket(call: Call) -> Result<Response<Body>, ApiError> {
    let now = call.state.pipeline.now();
    let (ticket, expires) = call.state.gate.tickets().issue(call.identity.clone(), now)?;
    let view = Ticket { ticket: &ticket, expires_at: Text(expires) };
    let mut response = reply::json(StatusCode::CREATED, &view);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max: 2000,
            max_per_client: 200,
            heartbeat: Duration::from_secs(15),
            buffer_events: 4096,
            buffer_bytes: 4 << 20,
            max_lag: Duration::from_secs(10),
        }
    }
}
