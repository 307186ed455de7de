//! The newest events, written once for all streams.
//!
//! One task follows the journal while anybody listens, and keeps the newest steps in a ring. Readers take steps
//! from there by sequence number; what the ring has not, they read from the journal. Nobody waits for a reader:
//! one that is slow finds its place gone from the ring, and nothing else happens.

use super::frames::{Builder, Step};
use super::wanted::Filter;
use crate::http::error::ApiError;
use crate::journal::Journal;
use crate::pipeline::Pipeline;
use std::{
    collections::VecDeque,
    ops::{ControlFlow, Range},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The newest events. A handle: clones share them.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    journal: Journal,
    committed: watch::Receiver<u64>,
    ring: Mutex<Ring>,
    /// The end of the ring.
    end: watch::Sender<u64>,
    listeners: watch::Sender<usize>,
    started: AtomicBool,
    stopping: CancellationToken,
    max_events: usize,
    max_bytes: usize,
}

/// Consecutive steps.
#[derive(Debug, Default)]
struct Ring {
    steps: VecDeque<Arc<Step>>,
    range: Range<u64>,
    events: usize,
    bytes: usize,
}

/// What there is at a sequence number.
#[derive(Debug)]
pub(super) enum Place {
    /// The step that has it, and whether it is the newest.
    Step(Arc<Step>, bool),
    /// It is older than the ring.
    Behind,
    /// Nothing yet.
    Ahead,
}

/// Keeps the feed at work until it is dropped.
#[derive(Debug)]
pub(super) struct Listening(Arc<Shared>);

impl Feed {
    pub(super) fn new(
        pipeline: &Pipeline,
        (max_events, max_bytes): (usize, usize),
        stopping: CancellationToken,
    ) -> Self {
        let committed = pipeline.committed();
        let end = *committed.borrow();
        let shared = Shared {
            journal: pipeline.journal().clone(),
            committed,
            ring: Mutex::new(Ring { range: end..end, ..Ring::default() }),
            end: watch::Sender::new(end),
            listeners: watch::Sender::new(0),
            started: AtomicBool::new(false),
            stopping,
            max_events,
            max_bytes,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Keeps the ring up to date as long as somebody listens.
    pub(super) fn listen(&self) -> Listening {
        let shared = &self.shared;
        shared.listeners.send_modify(|it| *it += 1);
        if !shared.started.swap(true, Ordering::Relaxed) {
            tokio::spawn(run(shared.clone()));
        }
        Listening(shared.clone())
    }

    /// The sequence number after the last committed event.
    pub(super) fn committed(&self) -> u64 {
        *self.shared.committed.borrow()
    }

    /// The end of the ring, and a notice whenever it moves.
    pub(super) fn end(&self) -> watch::Receiver<u64> {
        self.shared.end.subscribe()
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    pub(super) fn at(&self, seq: u64) -> Place {
        let ring = self.shared.ring();
        if seq < ring.range.start {
            return Place::Behind;
        }
        let at = ring.steps.partition_point(|it| it.range.end <= seq);
        match ring.steps.get(at) {
            Some(it) => Place::Step(it.clone(), at + 1 == ring.steps.len()),
            None => Place::Ahead,
        }
    }
}

async fn run(shared: Arc<Shared>) {
    let stopping = shared.stopping.clone();
    let _ = stopping.run_until_cancelled(follow(&shared)).await;
}

async fn follow(shared: &Arc<Shared>) {
    let mut committed = shared.committed.clone();
    let mut listeners = shared.listeners.subscribe();
    while listeners.wait_for(|it| *it > 0).await.is_ok() {
        shared.begin(*committed.borrow_and_update());
        loop {
            tokio::select! {
                moved = committed.changed() => if moved.is_err() { return },
                gone = listeners.wait_for(|it| *it == 0) => {
                    if gone.is_err() { return }
                    break;
                }
            }
            let (end, this) = (*committed.borrow_and_update(), shared.clone());
            let written = tokio::task::spawn_blocking(move || this.write_up_to(end)).await;
            if !matches!(written, Ok(Ok(()))) {
                tracing::error!(?written, "the newest events cannot be read for the streams");
                // Readers try for themselves, and tell their clients.
                shared.begin(end);
            }
        }
        shared.begin(*committed.borrow());
    }
}

impl Shared {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Empties the ring; it goes on from `end`.
    fn begin(&self, end: u64) {
        *self.ring() = Ring { range: end..end, ..Ring::default() };
        self.end.send_replace(end);
    }

    fn write_up_to(&self, end: u64) -> Result<(), ApiError> {
        let start = self.ring().range.end;
        let mut builder = Builder::new(start, true);
        write(&self.journal, &Filter::default(), start..end, &mut builder, |step| {
            self.push(step);
            ControlFlow::Continue(())
        })?;
        self.push(builder.take(end));
        Ok(())
    }

    fn push(&self, step: Step) {
        if step.range.is_empty() {
            return;
        }
        let end = step.range.end;
        let mut ring = self.ring();
        ring.range.end = end;
        ring.events += step.len();
        ring.bytes += step.size_bytes();
        ring.steps.push_back(Arc::new(step));
        while ring.steps.len() > 1 && (ring.events > self.max_events || ring.bytes > self.max_bytes)
        {
            if let Some(oldest) = ring.steps.pop_front() {
                ring.events -= oldest.len();
                ring.bytes -= oldest.size_bytes();
                ring.range.start = oldest.range.end;
            }
        }
        drop(ring);
        self.end.send_replace(end);
    }
}

/// Writes what `filter` wants in `range`; `full` gets each step that is full, and may break.
pub(super) fn write(
    journal: &Journal,
    filter: &Filter,
    range: Range<u64>,
    builder: &mut Builder,
    mut full: impl FnMut(Step) -> ControlFlow<()>,
) -> Result<(), ApiError> {
    let mut failed = None;
    journal.in_order(&filter.query, range, |seq, event| {
        if !filter.is_severe(event) {
            return ControlFlow::Continue(());
        }
        if let Err(error) = builder.push(seq, event) {
            failed = Some(error);
            return ControlFlow::Break(());
        }
        if builder.is_full() { full(builder.take(seq + 1)) } else { ControlFlow::Continue(()) }
    })?;
    failed.map_or(Ok(()), Err)
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listeners.send_modify(|it| *it -= 1);
    }
}
