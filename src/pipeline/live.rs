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

    /// The tap, and one who follows it.
    pub(super) fn with_follower(end: u64) -> (Self, watch::Receiver<u64>) {
        let tap = Self::new(end);
        let follower = tap.follow();
        (tap, follower)
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

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::tests::{event, open};
    use crate::journal::Query;
    use std::ops::ControlFlow;

    /// A follower that looks only now and then, as one does that has other things to do.
    #[tokio::test]
    async fn a_follower_sees_every_event_once_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let pipeline = open(dir.path(), Config::default());
        let mut committed = pipeline.committed();
        let (mut at, mut seen) = (*committed.borrow(), Vec::new());
        for n in 0..200_u64 {
            let ids = [format!("a{n}"), format!("b{n}")];
            let events = ids.iter().map(|it| event(Some(it), "t")).collect();
            pipeline.submit(events).await.unwrap();
            // What was acknowledged is there.
            assert_eq!(*committed.borrow(), 2 * n + 3);
            if n % 7 == 0 || n == 199 {
                let end = *committed.borrow_and_update();
                let each = |seq, _: &crate::event::Event<'_>| {
                    seen.push(seq);
                    ControlFlow::Continue(())
                };
                pipeline.journal().in_order(&Query::default(), at..end, each).unwrap();
                at = end;
            }
        }
        assert_eq!(seen, (1..=400).collect::<Vec<_>>());
        // A retry moves nothing.
        pipeline.submit(vec![event(Some("a5"), "t")]).await.unwrap();
        assert!(!committed.has_changed().unwrap());
        pipeline.stop().await;
        drop(pipeline);
        let again = open(dir.path(), Config::default());
        assert_eq!(*again.committed().borrow(), 401);
        again.stop().await;
    }
}
