//! One client's way through the journal: what is there, then what comes, each event once and in order.
//!
//! All that is kept of a client is a sequence number. What the feed has is taken from there; what it has not, from
//! the journal, a page at a time. So nothing is queued for anybody, and a client that comes back with the number of
//! the last event it saw has missed nothing.

use super::feed::{self, Feed, Listening};
use super::frames::{Builder, Picked, Step};
use super::permit::{Permit, Reason};
use super::places::Place as Seat;
use super::pushes::Pushes;
use super::wanted::{Filter, Place, Reset};
use super::{Config, Streams, Turns};
use crate::http::error::ApiError;
use crate::pipeline::{GroupMoved, Pipeline};
use crate::tokens::{Identity, Tokens};
use std::{collections::VecDeque, ops::ControlFlow, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// Sequence numbers that one page covers at most, so that a page takes no longer than some milliseconds.
const PAGE_EVENTS: u64 = 20_000;
/// Steps of a page. A block is read whole for each page of it, and all of them wait for a client that does not read.
const PAGE_STEPS: usize = 4;

/// A client's way through the journal.
pub(super) struct Reader {
    feed: Feed,
    _listening: Listening,
    _seat: Seat,
    filter: Arc<Filter>,
    /// The sequence number to go on at.
    at: u64,
    reset: Option<Reset>,
    state: State,
    page: Option<JoinHandle<Result<VecDeque<Step>, ApiError>>>,
    /// What is left of the last page.
    steps: VecDeque<Step>,
    turns: Turns,
    ends: watch::Receiver<u64>,
    beat: Instant,
    /// When it had everything the last time; `None` until then.
    up_to_date: Option<Instant>,
    permit: Permit,
    pushes: Pushes,
    config: Config,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Closed,
}

/// What a client is sent.
pub(super) enum Item {
    /// The beginning.
    Hello {
        /// The newest sequence number of all.
        newest: u64,
    },
    Reset(Reset),
    /// A step, and from which sequence number on it is wanted; not every event of it may be.
    Events(Arc<Step>, u64),
    Heartbeat,
    /// Something happened to a group of pushes.
    Push(Arc<GroupMoved>),
    /// So many of those were missed.
    PushesMissed(u64),
    /// The end.
    Close(Reason),
}

impl Reader {
    pub(super) fn new(
        streams: &Streams,
        seat: Seat,
        (filter, Place { first, reset }): (Filter, Place),
        whose: (Tokens, Pipeline, Identity),
    ) -> Self {
        let pushes = Pushes::new(&whose.1, filter.pushes);
        let permit = Permit::new(streams, whose);
        Self {
            _listening: streams.feed.listen(),
            ends: streams.feed.end(),
            feed: streams.feed.clone(),
            _seat: seat,
            filter: Arc::new(filter),
            at: first,
            reset,
            state: State::New,
            page: None,
            steps: VecDeque::new(),
            turns: streams.turns.clone(),
            beat: Instant::now() + streams.config.heartbeat,
            up_to_date: None,
            permit,
            pushes,
            config: streams.config.clone(),
        }
    }

    /// The sequence number of the last event that the client was given, or could have been.
    pub(super) fn last(&self) -> u64 {
        self.at.saturating_sub(1)
    }

    /// How often it says that it lives.
    pub(super) fn heartbeat(&self) -> Duration {
        self.config.heartbeat
    }

    /// Which events the client wants.
    pub(super) fn filter(&self) -> Arc<Filter> {
        Arc::clone(&self.filter)
    }

    /// Waits until the stream may not go on, and says why.
    pub(super) async fn refused(&mut self) -> Reason {
        self.permit.refused().await
    }

    /// What of `step` the client wants.
    pub(super) fn pick<'s>(&self, step: &'s Step, from: u64) -> Option<Picked<'s>> {
        step.pick(from, |it| self.filter.wants(it))
    }

    /// The next thing to send; nothing after the end. May be dropped at any time and called again.
    pub(super) async fn next(&mut self) -> Option<Item> {
        match self.state {
            State::Closed => return None,
            State::New => {
                self.state = State::Open;
                let newest = self.feed.committed().saturating_sub(1);
                return Some(Item::Hello { newest });
            }
            State::Open => {}
        }
        if let Some(it) = self.reset.take() {
            return Some(Item::Reset(it));
        }
        loop {
            if let Some(it) = self.before_events() {
                return Some(it);
            }
            if let Some(step) = self.steps.pop_front() {
                if let Some(it) = self.advance(Arc::new(step)) {
                    return Some(it);
                }
                continue;
            }
            match self.feed.at(self.at) {
                feed::Place::Step(step, newest) => {
                    if newest {
                        self.up_to_date = Some(Instant::now());
                    }
                    if let Some(it) = self.advance(step) {
                        return Some(it);
                    }
                    // Other streams want to get on as well.
                    tokio::task::yield_now().await;
                }
                feed::Place::Behind if self.is_slow() => return Some(self.close(Reason::Slow)),
                feed::Place::Behind => match self.page().await {
                    Ok(page) => self.steps = page,
                    Err(error) => {
                        tracing::error!(?error, "a stream ends: its events cannot be read");
                        return Some(self.close(Reason::Failed));
                    }
                },
                feed::Place::Ahead => {
                    self.up_to_date = Some(Instant::now());
                    tokio::select! {
                        moved = self.ends.changed() => if moved.is_err() {
                            return Some(self.close(Reason::Stopping));
                        },
                        () = self.permit.changed() => {}
                        () = sleep_until(self.beat) => {}
                        it = self.pushes.next() => return Some(it),
                    }
                }
            }
        }
    }

    /// What goes before events now, if there is something.
    fn before_events(&mut self) -> Option<Item> {
        if let Some(reason) = self.permit.refusal() {
            return Some(self.close(reason));
        }
        if self.beat <= Instant::now() {
            self.beat = Instant::now() + self.config.heartbeat;
            return Some(Item::Heartbeat);
        }
        self.pushes.waiting()
    }

    fn close(&mut self, reason: Reason) -> Item {
        self.state = State::Closed;
        Item::Close(reason)
    }

    /// Whether it had everything once, and has not for too long. Asked when the feed has moved on without it: what
    /// waits in the feed is no burden to anybody.
    fn is_slow(&self) -> bool {
        self.up_to_date.is_some_and(|it| it.elapsed() > self.config.max_lag)
    }

    fn advance(&mut self, step: Arc<Step>) -> Option<Item> {
        let from = std::mem::replace(&mut self.at, step.range.end);
        self.pick(&step, from).is_some().then_some(Item::Events(step, from))
    }

    /// The next page of the journal; empty if something else is to be looked at first.
    async fn page(&mut self) -> Result<VecDeque<Step>, ApiError> {
        if self.page.is_none() {
            let (feed, filter, at) = (self.feed.clone(), self.filter.clone(), self.at);
            // Whoever was up to date does not stand in line behind those who read the past.
            let turns =
                if self.up_to_date.is_some() { &self.turns.behind } else { &self.turns.past };
            let turns = turns.clone();
            self.page = Some(tokio::spawn(async move {
                // Never closed. What waits for its turn is as bounded as the streams.
                let _turn = turns.acquire_owned().await.map_err(ApiError::internal)?;
                let read = move || read(&feed, &filter, at);
                tokio::task::spawn_blocking(read).await.map_err(ApiError::internal)?
            }));
        }
        let Some(page) = &mut self.page else { return Ok(VecDeque::new()) };
        tokio::select! {
            read = page => {
                self.page = None;
                read.map_err(ApiError::internal)?
            }
            () = self.permit.changed() => Ok(VecDeque::new()),
            () = sleep_until(self.beat) => Ok(VecDeque::new()),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // A page that waits for its turn is not read for nobody.
        if let Some(page) = &self.page {
            page.abort();
        }
    }
}

fn read(feed: &Feed, filter: &Filter, at: u64) -> Result<VecDeque<Step>, ApiError> {
    let end = feed.committed().min(at + PAGE_EVENTS);
    let mut builder = Builder::new(at, false);
    let mut steps = VecDeque::new();
    feed::write(feed.journal(), filter, at..end, &mut builder, |step| {
        steps.push_back(step);
        if steps.len() < PAGE_STEPS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if steps.len() < PAGE_STEPS {
        steps.push_back(builder.take(end));
    }
    Ok(steps)
}
