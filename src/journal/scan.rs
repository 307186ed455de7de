//! Going through many events: folds on all cores, walks in order, counts.

use super::block::Header;
use super::query::{Query, QueryError};
use super::{Journal, segment};
use crate::event::{Event, Time};
use std::{
    collections::BTreeMap,
    ops::{ControlFlow, Range},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// How many events of one type happened in one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What happened.
    pub event_type: Arc<str>,
    /// When the interval starts; the epoch if no interval was asked for.
    pub start: Time,
    /// How many.
    pub events: u64,
}

/// How many events of one type came from one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What happened.
    pub event_type: Arc<str>,
    /// Who said so.
    pub source: Arc<str>,
    /// How many.
    pub events: u64,
}

/// What became of a visit to a block.
pub(super) enum Visit {
    /// It was seen to its end.
    Done,
    /// The visitor had enough.
    Stopped,
    /// The block is gone: it was merged or pruned since its header was read.
    Moved,
}

/// Receives events with their sequence numbers.
pub(super) type Visitor<'v> = dyn FnMut(u64, &Event<'_>) -> ControlFlow<()> + 'v;

impl Journal {
    /// Folds every event that `query` wants (its types, sources, matches, since and until; not its limit,
    /// order and cursor), on as many threads as there are cores: `new` makes an accumulator per thread,
    /// and `each` gets every event once, with its sequence number, in no order. Events that arrive
    /// meanwhile are left out. Memory is bounded by a block per thread.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a block that may hold an answer is damaged.
    pub fn fold<T: Send>(
        &self,
        query: &Query,
        new: impl Fn() -> T + Sync,
        each: impl Fn(&mut T, u64, &Event<'_>) + Sync,
    ) -> Result<Vec<T>, QueryError> {
        let todo = Todo { journal: self, query, end: self.end(), at: Mutex::new(0) };
        let work = || {
            let mut acc = new();
            let mut visitor = |seq: u64, event: &Event<'_>| {
                each(&mut acc, seq, event);
                ControlFlow::Continue(())
            };
            while let Some(range) = todo.next() {
                if let Err(error) = self.walk(query, range, true, &mut visitor) {
                    todo.give_up();
                    return Err(error);
                }
            }
            Ok(acc)
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let join = |it: thread::ScopedJoinHandle<'_, Result<T, QueryError>>| {
                it.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            running.into_iter().map(join).collect()
        })
    }

    /// Calls `each` for every event that `query` wants, in its order, from its cursor on, until `each`
    /// breaks; the limits of the query do not apply. Memory is bounded by a block. Descending, events that
    /// arrive meanwhile are left out; ascending, they are seen.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a block that may hold an answer is damaged.
    pub fn each(
        &self,
        query: &Query,
        mut each: impl FnMut(u64, &Event<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        let range = match (query.cursor, query.ascending) {
            (None, _) => 0..u64::MAX,
            (Some(it), true) => it.0..u64::MAX,
            (Some(it), false) => 0..it.0,
        };
        self.walk(query, range, query.ascending, &mut each)
    }

    /// Counts the events that `query` wants, per type and interval of their own times; all intervals are
    /// aligned to the epoch. Without an interval there is one count per type. Ordered by type and start;
    /// what is 0 is left out.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a block that may hold an answer is damaged.
    pub fn count(
        &self,
        query: &Query,
        interval: Option<Duration>,
    ) -> Result<Vec<Count>, QueryError> {
        let width = interval.map(|it| i64::try_from(it.as_nanos()).unwrap_or(i64::MAX).max(1));
        let start = |at: Time| width.map_or(0, |it| at.as_nanos().div_euclid(it) * it);
        let found = self.fold(query, BTreeMap::<(String, i64), u64>::new, |acc, _, event| {
            *acc.entry((event.event_type.to_string(), start(event.time))).or_default() += 1;
        })?;
        let mut total = BTreeMap::<(Arc<str>, i64), u64>::new();
        for ((event_type, start), events) in found.into_iter().flatten() {
            *total.entry((self.index.name(&event_type), start)).or_default() += events;
        }
        let count = |((event_type, start), events)| Count {
            event_type,
            start: Time::from_nanos(start),
            events,
        };
        Ok(total.into_iter().map(count).collect())
    }

    /// The types and sources of all events that are stored, and how many there are of each, ordered by
    /// type and source. From memory.
    #[must_use]
    pub fn kinds(&self) -> Vec<Kind> {
        let mut res = BTreeMap::<(Arc<str>, Arc<str>), u64>::new();
        for header in self.index.from(0) {
            for it in &header.stats.pairs {
                let kind = (Arc::clone(&it.event_type), Arc::clone(&it.source));
                *res.entry(kind).or_default() += u64::from(it.count);
            }
        }
        let kind = |((event_type, source), events)| Kind { event_type, source, events };
        res.into_iter().map(kind).collect()
    }

    /// Shows `visitor` what `query` wants of the events in `range`, in order, whatever is merged or
    /// pruned meanwhile.
    pub(super) fn walk(
        &self,
        query: &Query,
        mut range: Range<u64>,
        ascending: bool,
        visitor: &mut Visitor<'_>,
    ) -> Result<(), QueryError> {
        while !range.is_empty() {
            let moves = self.index.moves();
            let header = match ascending {
                true => self.index.at_or_after(range.start).filter(|it| it.first < range.end),
                false => self.index.before(range.end).filter(|it| it.end() > range.start),
            };
            let Some(header) = header else { return Ok(()) };
            if query.wants_block(&header) {
                let part = range.start.max(header.first)..range.end.min(header.end());
                match self.visit(&header, query, part, ascending, visitor)? {
                    Visit::Done => {}
                    Visit::Stopped => return Ok(()),
                    // Nothing was shown yet: ask the index again.
                    Visit::Moved if !moves.is_multiple_of(2) || self.index.moves() != moves => {
                        thread::yield_now();
                        continue;
                    }
                    Visit::Moved => return Err(QueryError::Damaged(header.first)),
                }
            }
            match ascending {
                true => range.start = range.start.max(header.end()),
                false => range.end = range.end.min(header.first),
            }
        }
        Ok(())
    }

    /// Shows `visitor` what `query` wants of one block, within `range`.
    fn visit(
        &self,
        header: &Header,
        query: &Query,
        range: Range<u64>,
        ascending: bool,
        visitor: &mut Visitor<'_>,
    ) -> Result<Visit, QueryError> {
        let Some(rows) = self.rows(header)? else { return Ok(Visit::Moved) };
        let mut found = Vec::new();
        for (seq, event) in (header.first..).zip(segment::events(&rows)) {
            let event = event.map_err(|_| QueryError::Damaged(header.first))?;
            if !range.contains(&seq) || !query.wants(&event) {
                continue;
            }
            if !ascending {
                found.push((seq, event));
            } else if visitor(seq, &event).is_break() {
                return Ok(Visit::Stopped);
            }
        }
        for (seq, event) in found.into_iter().rev() {
            if visitor(seq, &event).is_break() {
                return Ok(Visit::Stopped);
            }
        }
        Ok(Visit::Done)
    }
}

/// The blocks of a fold that no thread has taken yet.
struct Todo<'f> {
    journal: &'f Journal,
    query: &'f Query,
    /// Where the fold ends.
    end: u64,
    /// Up to where blocks were taken.
    at: Mutex<u64>,
}

impl Todo<'_> {
    /// The next run of sequence numbers to look at. A run and not a block: the blocks may be merged
    /// before they are read.
    fn next(&self) -> Option<Range<u64>> {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let header = self.journal.index.at_or_after(*at).filter(|it| it.first < self.end)?;
            let range = header.first.max(*at)..header.end().min(self.end);
            *at = header.end();
            if self.query.wants_block(&header) {
                return Some(range);
            }
        }
    }

    fn give_up(&self) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = u64::MAX;
    }
}
