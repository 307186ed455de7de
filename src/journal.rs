//! The journal.

use crate::event::{Event, EventId, Time};
use crate::selector::Selector;

/// A question to the journal. Conditions are ANDed; the selectors are ORed among themselves.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Selectors of which one must match; none: everything matches.
    pub matches: Vec<Selector>,
    /// Event types of which one must be equal; none: any.
    pub types: Vec<String>,
    /// Sources of which one must be equal; none: any.
    pub sources: Vec<String>,
    /// Events at or after this time (the event's own).
    pub since: Option<Time>,
    /// Events before this time.
    pub until: Option<Time>,
    /// Oldest first instead of newest first (in order of arrival).
    pub ascending: bool,
    /// At most this many events.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
}

/// A place between two events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub u64);

/// One page of an answer.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The events with their sequence numbers.
    pub events: Vec<(u64, Event<'static>)>,
    /// Where to go on, if there may be more.
    pub next: Option<Cursor>,
}

/// Why a question could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// A block is damaged.
    #[error("the journal block at sequence {0} is damaged")]
    Damaged(u64),
}

/// The journal's read side. A handle. Blocking: call it off the reactor.
#[derive(Clone, Debug)]
pub struct Journal {}

impl Journal {
    /// Answers `query`.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn query(&self, _query: &Query) -> Result<Page, QueryError> {
        Ok(Page::default())
    }

    /// The newest event with this id, and its sequence number.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn get(&self, _id: &EventId<'_>) -> Result<Option<(u64, Event<'static>)>, QueryError> {
        Ok(None)
    }
}
