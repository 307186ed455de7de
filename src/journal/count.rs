//! Counting, from memory wherever that is enough.

use super::Journal;
use super::header::{Form, Header, Part};
use super::kinds::Kind;
use super::query::{Ask, Order, Query, QueryError};
use super::scan::{Sink, Tally, Tools, in_parallel};
use crate::event::{Event, Time};
use std::{
    collections::BTreeMap,
    ops::{ControlFlow, Range},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What one of [`Part::hours`] is long.
const HOUR: Duration = Duration::from_secs(3600);

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

/// Counts by type and start of the interval.
#[derive(Debug)]
struct Counts {
    interval: Option<i64>,
    counts: BTreeMap<Arc<str>, BTreeMap<i64, u64>>,
}

/// A block that has to be opened, and for which types; `None`: for all.
struct Open {
    range: Range<u64>,
    types: Option<Vec<Arc<str>>>,
}

impl Journal {
    /// Counts the events that `query` wants, per type and interval of their own times; all intervals are
    /// aligned to the epoch. Without an interval there is one count per type. Ordered by type and start;
    /// what is 0 is left out. Blocks are opened only where the hours that are known of them do not tell.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a block that may hold an answer is damaged.
    pub fn count(
        &self,
        query: &Query,
        interval: Option<Duration>,
    ) -> Result<Vec<Count>, QueryError> {
        let interval = interval.map(|it| i64::try_from(it.as_nanos()).unwrap_or(i64::MAX).max(1));
        let mut total = Counts { interval, counts: BTreeMap::new() };
        let ask = Ask::new(query, Order::Any);
        let mut open = Vec::new();
        for header in self.index.from(0) {
            let wanted = || header.parts.iter().filter(|it| ask.wants_part(it));
            let range = header.first..header.end();
            if wanted().any(Part::is_mixed) {
                open.push(Open { range, types: None });
                continue;
            }
            let known: Vec<_> =
                wanted().map(|it| (it, total.counts_of(query, &header, it))).collect();
            let unknown = known.iter().filter(|(_, counts)| counts.is_none());
            let types: Vec<_> = unknown.map(|(it, _)| Arc::clone(&it.event_type)).collect();
            // A type may have several chunks: it is counted here or there as a whole.
            for (part, counts) in known.iter().filter(|(it, _)| !types.contains(&it.event_type)) {
                for (time, n) in counts.iter().flatten() {
                    total.add(&part.event_type, *time, *n);
                }
            }
            if !types.is_empty() {
                open.push(Open { range, types: Some(types) });
            }
        }
        if !open.is_empty() {
            let next = AtomicUsize::new(0);
            let found = in_parallel(|| {
                let mut acc = Counts { interval, counts: BTreeMap::new() };
                let mut tools = Tools::new();
                while let Some(it) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let only = it.types.as_deref();
                    let ask = Ask { only, ..Ask::new(query, Order::Any) };
                    let mut add = |event_type: &str, time| acc.add(event_type, time, 1);
                    let mut sink = Times(&mut add);
                    self.walk(ask, it.range.clone(), &mut sink, &mut tools)?;
                }
                Ok(acc)
            });
            found?.into_iter().for_each(|it| total.merge(it));
        }
        Ok(total.list())
    }

    /// The types and sources of all events that are stored, and how many there are of each, ordered by
    /// type and source. From memory.
    #[must_use]
    pub fn kinds(&self) -> Vec<Kind> {
        self.index.kinds()
    }
}

impl Counts {
    fn start(&self, at: Time) -> i64 {
        self.interval.map_or(0, |it| at.as_nanos().div_euclid(it).saturating_mul(it))
    }

    fn add(&mut self, event_type: &str, time: Time, n: u64) {
        let start = self.start(time);
        if let Some(it) = self.counts.get_mut(event_type) {
            *it.entry(start).or_default() += n;
        } else {
            self.counts.entry(event_type.into()).or_default().insert(start, n);
        }
    }

    /// The counts of a part by what is known of it: a time in each interval, and how many. `None` if that
    /// is not enough.
    fn counts_of(&self, query: &Query, header: &Header, part: &Part) -> Option<Vec<(Time, u64)>> {
        let exact = |it: &&crate::selector::Selector| {
            !it.has_matchers() && it.could_match_type(&part.event_type)
        };
        if !query.sources.is_empty()
            || !(query.matches.is_empty() || query.matches.iter().any(|it| exact(&it)))
        {
            return None;
        }
        let (oldest, newest) = part.time;
        let until = query.until.unwrap_or(Time::from_nanos(i64::MAX));
        let since = query.since.unwrap_or(Time::from_nanos(i64::MIN));
        let all = oldest >= since && (newest < until || query.until.is_none());
        if all && self.start(oldest) == self.start(newest) {
            return Some(vec![(oldest, u64::from(part.count))]);
        }
        if header.form != Form::Sealed || part.hours.is_empty() {
            return None;
        }
        // Each hour must be wanted whole or not at all, and lie in one interval.
        let last = |start: Time| {
            Time::from_nanos(start.saturating_add(HOUR).as_nanos() - 1).min(newest).max(oldest)
        };
        let hours = part.hours.iter().map(|(hour, count)| {
            let start = Part::start_of(*hour);
            (start.max(oldest), last(start), u64::from(*count))
        });
        let within = |first: Time, last: Time| first >= since && last < until;
        let outside = |first: Time, last: Time| last < since || first >= until;
        let tells = |(first, last, _): &(Time, Time, u64)| {
            outside(*first, *last)
                || ((within(*first, *last) || all) && self.start(*first) == self.start(*last))
        };
        let hours: Vec<_> = hours.collect();
        if !hours.iter().all(tells) {
            return None;
        }
        let inside = hours.into_iter().filter(|(first, last, _)| !outside(*first, *last));
        Some(inside.map(|(first, _, count)| (first, count)).collect())
    }

    fn merge(&mut self, other: Self) {
        for (event_type, starts) in other.counts {
            let counts = self.counts.entry(event_type).or_default();
            for (start, n) in starts {
                *counts.entry(start).or_default() += n;
            }
        }
    }

    fn list(self) -> Vec<Count> {
        let starts = self.counts.into_iter().flat_map(|(event_type, starts)| {
            starts.into_iter().map(move |(start, events)| (Arc::clone(&event_type), start, events))
        });
        starts
            .map(|(event_type, start, events)| Count {
                event_type,
                start: Time::from_nanos(start),
                events,
            })
            .collect()
    }
}

/// Shows types and times to a closure.
struct Times<'t>(&'t mut Tally<'t>);

impl Sink for Times<'_> {
    fn event(&mut self, _: u64, event: &Event<'_>) -> ControlFlow<()> {
        (self.0)(&event.event_type, event.time);
        ControlFlow::Continue(())
    }

    fn tally(&mut self) -> Option<&mut Tally<'_>> {
        Some(&mut *self.0)
    }
}
