//! What waits for the writer, and how much may.

use super::push::Pushing;
use super::replay::Swap;
use super::{Config, SubmitError};
use crate::event::Event;
use crate::journal::{BLOCK_EVENTS, IdKey, Segment};
use crate::metrics::Part;
use crate::rules::{RuleSet, Updates};
use crate::store::StoreError;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::oneshot;

/// What waits for the writer.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) requests: AtomicUsize,
    pub(super) bytes: AtomicUsize,
    pub(super) max_requests: usize,
    pub(super) max_bytes: usize,
}

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    Append(Box<Append>),
    Push(Box<Pushing>),
    UseRules(Arc<RuleSet>, oneshot::Sender<()>),
    Snapshot(oneshot::Sender<Result<(), StoreError>>),
    StoreMark(i64, oneshot::Sender<()>),
    Swap(Swap),
    Stop,
}

/// Events on their way to the writer, encoded and evaluated.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) segments: Vec<Segment>,
    pub(super) updates: Updates,
    /// Per event.
    pub(super) parts: Vec<Part>,
    /// The rules that `updates` comes from.
    pub(super) rules: Arc<RuleSet>,
    pub(super) received_ms: i64,
    pub(super) reply: oneshot::Sender<Result<Duplicates, SubmitError>>,
    pub(super) _place: Place,
}

/// The positions of the events that were known already, ascending.
pub(super) type Duplicates = Vec<usize>;

/// A place in the queue, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) queued: Arc<Queued>,
    pub(super) bytes: usize,
}

/// Events encoded and evaluated.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) segments: Vec<Segment>,
    pub(super) updates: Updates,
    pub(super) parts: Vec<Part>,
}

impl Prepared {
    /// Room for what so many events usually need, so that it does not grow step by step.
    pub(super) fn for_events(n: usize) -> Self {
        let some = n.min(BLOCK_EVENTS);
        let mut res = Self { parts: Vec::with_capacity(n), ..Self::default() };
        res.updates.text.reserve(320 * some);
        res.updates.ops.reserve(4 * some);
        res.updates.spans.reserve(some);
        res
    }

    pub(super) fn push(&mut self, event: &Event<'_>, rules: &RuleSet, key: &IdKey) {
        if self.segments.last().is_none_or(Segment::is_full) {
            self.segments.push(Segment::default());
        }
        if let Some(it) = self.segments.last_mut() {
            it.push(event, key);
        }
        self.parts.push(Part::evaluate(rules, event, &mut self.updates));
    }
}

// === impl Queued ===

impl Queued {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            requests: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            max_requests: config.queue_requests,
            max_bytes: config.queue_bytes,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.requests.load(Ordering::Relaxed) >= self.max_requests
            || self.bytes.load(Ordering::Relaxed) >= self.max_bytes
    }

    pub(super) fn enter(this: &Arc<Self>, bytes: usize) -> Option<Place> {
        let before = this.bytes.fetch_add(bytes, Ordering::Relaxed);
        this.requests.fetch_add(1, Ordering::Relaxed);
        let place = Place { queued: Arc::clone(this), bytes };
        // A request alone in the queue may be of any size: bodies have a limit of their own.
        (before == 0 || before + bytes <= this.max_bytes).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queued.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.queued.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
