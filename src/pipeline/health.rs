//! How the parts are.

use super::Pipeline;
use crate::store::StoreError;
use arc_swap::ArcSwapOption;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long the writer may take for one thing before it is taken to hang: a disk that does not answer says
/// nothing. A snapshot of a million series takes a second.
const STALL: Duration = Duration::from_secs(30);

/// How the parts are, for `/health`.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether the store accepts writes; the reason if not.
    pub store: Result<(), String>,
    /// Whether the queue accepts more.
    pub queue: Result<(), String>,
    /// Events in the journal.
    pub events: u64,
    /// Seconds since the start.
    pub uptime_seconds: u64,
}

/// How the writer is: it says so itself, and is found out if it does not.
#[derive(Debug)]
pub(super) struct Pulse {
    started: Instant,
    /// When the writer last came round, in milliseconds since the start.
    beat: AtomicU64,
    failure: ArcSwapOption<String>,
}

// === impl Pulse ===

impl Default for Pulse {
    fn default() -> Self {
        Self { started: Instant::now(), beat: AtomicU64::new(0), failure: ArcSwapOption::empty() }
    }
}

impl Pulse {
    /// Called by the writer, at least every second.
    pub(super) fn beat(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat.store(millis, Ordering::Relaxed);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.load().is_some()
    }

    pub(super) fn failed(&self, error: &StoreError) {
        if !self.has_failed() {
            tracing::error!(%error, "the store cannot be written; events are refused");
        }
        self.failure.store(Some(Arc::new(error.to_string())));
    }

    pub(super) fn recovered(&self) {
        if self.has_failed() {
            tracing::info!("the store can be written again");
            self.failure.store(None);
        }
    }

    /// Whether the store takes writes; the reason if not.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(it) = self.failure.load().as_deref() {
            return Err(it.clone());
        }
        let beat = Duration::from_millis(self.beat.load(Ordering::Relaxed));
        let silent = self.started.elapsed().saturating_sub(beat);
        if silent < STALL {
            return Ok(());
        }
        Err(format!(
            "the writer has not come round for {} s: the disk may not answer; what waits is kept",
            silent.as_secs()
        ))
    }
}

impl Pipeline {
    /// How the parts are.
    #[must_use]
    pub fn health(&self) -> Health {
        let inner = &self.inner;
        let queue =
            if inner.queued.is_full() { Err("the queue is full".to_owned()) } else { Ok(()) };
        Health {
            store: inner.pulse.check(),
            queue,
            events: inner.journal.len(),
            uptime_seconds: inner.started.elapsed().as_secs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_hangs_is_found_out() {
        let long_ago = Instant::now().checked_sub(STALL + STALL).unwrap();
        let pulse = Pulse { started: long_ago, ..Pulse::default() };
        let error = pulse.check().unwrap_err();
        assert!(error.starts_with("the writer has not come round for 60 s"), "{error}");
        pulse.beat();
        assert_eq!(pulse.check(), Ok(()));
        pulse.failed(&StoreError::Closed("broken".into()));
        assert!(pulse.check().unwrap_err().contains("broken"));
        pulse.recovered();
        assert_eq!(pulse.check(), Ok(()));
    }
}
