//! How the parts are.

use super::Pipeline;

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

impl Pipeline {
    /// How the parts are.
    #[must_use]
    pub fn health(&self) -> Health {
        let inner = &self.inner;
        let queue =
            if inner.queued.is_full() { Err("the queue is full".to_owned()) } else { Ok(()) };
        Health {
            store: inner.failure.load().as_deref().map_or(Ok(()), |it| Err(it.clone())),
            queue,
            events: inner.journal.len(),
            uptime_seconds: inner.started.elapsed().as_secs(),
        }
    }
}
