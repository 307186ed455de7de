//! The tap: up to where the journal is committed, for whoever follows it while it grows.
//!
//! A follower keeps a sequence number, waits until the end is past it, and reads what is between from the
//! journal ([`crate::journal::Journal::in_order`]): nothing is lost, nothing comes twice, and the order is that
//! of the journal, however slow the follower is. The writer pays for a number; it knows no follower.

use super::Pipeline;
use tokio::sync::watch;

/// The writer's side of the tap.
#[derive(Debug)]
pub(super) struct Tap(watch::Sender<u64>);

impl Tap {
    /// `end` is the sequence number that the next event will get.
    pub(super) fn new(end: u64) -> Self {
        Self(watch::Sender::new(end))
    }

    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    /// Everything before `end` is committed, and on disk if the pipeline promises that. Called before anybody
    /// is answered, so that what was acknowledged is seen.
    pub(super) fn committed(&self, end: u64) {
        self.0.send_if_modified(|it| std::mem::replace(it, end) != end);
    }
}

impl Pipeline {
    /// The sequence number after the last committed event, and a notice whenever it moves. It lags behind
    /// [`crate::journal::Journal::end`] by the commit that is being flushed.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.inner.committed.clone()
    }
}
