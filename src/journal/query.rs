//! Questions to the journal.

use super::Journal;
use super::block;
use super::block::Header;
use super::segment;
use crate::event::{Event, EventId, Time};
use crate::selector::Selector;
use crate::store::StoreError;
use std::{ops::ControlFlow, time::Duration};

/// How far the clock of the server may have stepped between making an id and storing its event.
const ID_SLACK: Duration = Duration::from_secs(60);

/// A question. All conditions must hold; of the selectors one must, and so of types and of sources.
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
    /// The page ends with the event that brings the data of all to so many bytes; `None`: no bound.
    pub max_bytes: Option<usize>,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
}

/// A place between two events: the page goes on at this sequence number when ascending, before it when
/// descending. It stays right while events arrive and blocks merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub u64);

/// One page of an answer.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The events with their sequence numbers.
    pub events: Vec<(u64, Event<'static>)>,
    /// Where to go on, if there may be more.
    pub next: Option<Cursor>,
    /// Bytes of the data of all events.
    pub bytes: usize,
}

/// Why a question could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A block is damaged.
    #[error("the journal block at sequence {0} is damaged")]
    Damaged(u64),
}

impl Query {
    fn wants_kind(&self, event_type: &str, source: &str) -> bool {
        (self.types.is_empty() || self.types.iter().any(|it| it == event_type))
            && (self.sources.is_empty() || self.sources.iter().any(|it| it == source))
            && (self.matches.is_empty()
                || self.matches.iter().any(|it| it.could_match_type(event_type)))
    }

    pub(super) fn wants_block(&self, header: &Header) -> bool {
        let (oldest, newest) = header.stats.time;
        self.since.is_none_or(|it| newest >= it)
            && self.until.is_none_or(|it| oldest < it)
            && header.has(|event_type, source| self.wants_kind(event_type, source))
    }

    pub(super) fn wants(&self, event: &Event<'_>) -> bool {
        self.since.is_none_or(|it| event.time >= it)
            && self.until.is_none_or(|it| event.time < it)
            && self.wants_kind(&event.event_type, &event.source)
            && (self.matches.is_empty() || self.matches.iter().any(|it| it.matches_event(event)))
    }
}

impl Journal {
    /// Answers `query`.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a block that may hold an answer is damaged.
    pub fn query(&self, query: &Query) -> Result<Page, QueryError> {
        let mut page = Page::default();
        self.each(query, |seq, event| {
            let full = query.max_bytes.is_some_and(|it| page.bytes >= it.max(1));
            if full || page.events.len() >= query.limit {
                let last = page.events.last().map_or(seq, |(seq, _)| *seq);
                page.next = Some(Cursor(if query.ascending { last + 1 } else { last }));
                return ControlFlow::Break(());
            }
            page.bytes += event.data.len();
            page.events.push((seq, block::into_owned(event.clone())));
            ControlFlow::Continue(())
        })?;
        Ok(page)
    }

    /// The newest event with this id, and its sequence number.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a block that may hold the event is damaged.
    pub fn get(&self, id: &EventId<'_>) -> Result<Option<(u64, Event<'static>)>, QueryError> {
        loop {
            let moves = self.index.moves();
            let found = self.find(id)?;
            // A merge may have moved the event from where we had not looked yet to where we had.
            if found.is_some() || (moves.is_multiple_of(2) && self.index.moves() == moves) {
                return Ok(found);
            }
            std::thread::yield_now();
        }
    }

    fn find(&self, id: &EventId<'_>) -> Result<Option<(u64, Event<'static>)>, QueryError> {
        let mut at = u64::MAX;
        while let Some(header) = self.index.before(at) {
            if self.may_hold(&header, id)? {
                let Some(rows) = self.rows(&header)? else { continue };
                for (seq, event) in (header.first..).zip(segment::events(&rows)) {
                    let event = event.map_err(|_| QueryError::Damaged(header.first))?;
                    if event.id == *id {
                        return Ok(Some((seq, block::into_owned(event))));
                    }
                }
            }
            at = header.first;
        }
        Ok(None)
    }

    fn may_hold(&self, header: &Header, id: &EventId<'_>) -> Result<bool, QueryError> {
        match (id, id.generated_at()) {
            (EventId::Given(id), _) => {
                let fingerprint = self.key.fingerprint(id);
                Ok(self.ids(header)?.iter().any(|it| it.fingerprint == fingerprint))
            }
            (EventId::Generated(_), at) => {
                let (oldest, newest) = header.stats.received;
                Ok(at.is_some_and(|at| {
                    at.saturating_add(ID_SLACK) >= oldest && at.saturating_sub(ID_SLACK) <= newest
                }))
            }
        }
    }
}
