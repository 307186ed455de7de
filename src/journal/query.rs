//! Questions to the journal.

use super::Journal;
use super::block;
use super::header::{Header, Part};
use crate::event::{Event, Time};
use crate::selector::Selector;
use crate::store::StoreError;
use std::{ops::ControlFlow, sync::Arc};

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
    pub(super) fn wants_type(&self, event_type: &str) -> bool {
        (self.types.is_empty() || self.types.iter().any(|it| it == event_type))
            && (self.matches.is_empty()
                || self.matches.iter().any(|it| it.could_match_type(event_type)))
    }

    /// Whether an event between these times can be wanted.
    fn overlaps(&self, (oldest, newest): (Time, Time)) -> bool {
        self.since.is_none_or(|it| newest >= it) && self.until.is_none_or(|it| oldest < it)
    }

    /// Whether `event` is one of those that are asked for; limits and cursor do not count.
    #[must_use]
    pub fn wants(&self, event: &Event<'_>) -> bool {
        self.since.is_none_or(|it| event.time >= it)
            && self.until.is_none_or(|it| event.time < it)
            && self.wants_type(&event.event_type)
            && (self.sources.is_empty() || self.sources.iter().any(|it| *it == event.source))
            && (self.matches.is_empty() || self.matches.iter().any(|it| it.matches_event(event)))
    }
}

/// The order in which events are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
    /// Blocks in ascending order, and the events of each as they come.
    Any,
}

/// A question to a part of the journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'q> {
    pub(super) query: &'q Query,
    /// The types that matter; `None`: all.
    pub(super) only: Option<&'q [Arc<str>]>,
    pub(super) order: Order,
}

impl<'q> Ask<'q> {
    pub(super) fn new(query: &'q Query, order: Order) -> Self {
        Self { query, only: None, order }
    }

    pub(super) fn wants_part(&self, part: &Part) -> bool {
        let query = self.query;
        query.overlaps(part.time)
            && (part.is_mixed()
                || (self.only.is_none_or(|it| it.contains(&part.event_type))
                    && query.wants_type(&part.event_type)))
            && (query.sources.is_empty()
                || query.sources.iter().any(|it| part.sources.may_have(it)))
    }

    pub(super) fn wants_block(&self, header: &Header) -> bool {
        self.query.overlaps(header.time) && header.parts.iter().any(|it| self.wants_part(it))
    }

    pub(super) fn wants(&self, event: &Event<'_>) -> bool {
        self.only.is_none_or(|it| it.iter().any(|it| **it == *event.event_type))
            && self.query.wants(event)
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
}
