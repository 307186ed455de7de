//! The single writer.

use crate::event::{EventId, NewEvent, Time};
use crate::exposition;
use crate::journal::Journal;
use crate::metrics::{Audience, Rendered};
use crate::rules::RuleSet;
use std::{future::Future, sync::Arc};

/// The handle that everything submits to. Clones share it.
#[derive(Clone, Debug)]
pub struct Pipeline {}

/// What happened to a submitted batch: it is durable and visible.
#[derive(Clone, Debug)]
pub struct Ack {
    /// When it arrived.
    pub received: Time,
    /// Per event, in the order submitted.
    pub events: Vec<Receipt>,
}

/// What happened to one event.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The event's id, the sender's or ours.
    pub id: EventId<'static>,
    /// Whether it had been accepted before, so that nothing was done now.
    pub duplicate: bool,
}

/// Why nothing of a batch was accepted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full: try again in a moment.
    #[error("the queue is full")]
    Full,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The store cannot be written.
    #[error("the store cannot be written: {0}")]
    Store(Arc<str>),
}

/// What a reload of the rules did.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// Whether the rules differ from before.
    pub changed: bool,
    /// Metrics in the new rules.
    pub metrics: usize,
}

/// The rules that could not be loaded; the old ones stay in force.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReloadError(pub String);

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
    /// The time by the pipeline's clock.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::default()
    }

    /// Takes `events` to be stored and counted. The work that depends on the body is done before this
    /// returns; the future waits for the commit and may be dropped without undoing anything.
    pub fn submit(
        &self,
        _events: Vec<NewEvent<'_>>,
    ) -> impl Future<Output = Result<Ack, SubmitError>> + Send + use<> {
        async { Err(SubmitError::Stopping) }
    }

    /// The journal's read side.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        unreachable!()
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Arc<RuleSet> {
        unreachable!()
    }

    /// Loads the rules again from where they came from. Atomic.
    ///
    /// # Errors
    ///
    /// The new rules cannot be read or compiled; the message has line, column and a caret.
    pub async fn reload_rules(&self) -> Result<Reloaded, ReloadError> {
        Err(ReloadError(String::new()))
    }

    /// Renders `/metrics`. N callers within a second cost one render.
    pub async fn scrape(&self, _format: ScrapeFormat, _audience: Audience) -> Rendered {
        unreachable!()
    }

    /// How the parts are.
    #[must_use]
    pub fn health(&self) -> Health {
        unreachable!()
    }
}

/// How a scrape is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScrapeFormat {
    /// The exposition format.
    pub format: exposition::Format,
    /// Whether the body is compressed with gzip.
    pub gzip: bool,
}
