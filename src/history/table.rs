//! Groups of events, counted in bounded memory.

use super::figures::{Figures, Numbers};
use crate::event::{Event, Time};
use crate::selector::{Lookup, Path, View};
use hashbrown::HashMap;
use std::{sync::Arc, time::Duration};

/// Bytes that a group takes besides its key and numbers, about.
const GROUP_BYTES: usize = 160;

/// By what events are grouped, and what is counted of them.
#[derive(Clone, Debug, Default)]
pub struct Grouping {
    /// The paths whose values tell groups apart.
    pub by: Vec<Path>,
    /// The length of the intervals that tell groups apart, aligned to the epoch in UTC.
    pub interval: Option<Duration>,
    /// The path of the number whose figures are wanted.
    pub value: Option<Path>,
}

impl Grouping {
    /// Whether it can be answered by counting types, for which the journal need not read events.
    #[must_use]
    pub fn counts_only(&self) -> bool {
        matches!(self.by.as_slice(), [] | [Path::Type]) && self.value.is_none()
    }
}

/// A group: the start of its interval, and its values. Encoded, so that a look-up copies nothing.
type Key = Box<[u8]>;

/// The groups of some of the events.
#[derive(Debug)]
pub(super) struct Table {
    grouping: Arc<Grouping>,
    groups: HashMap<Key, Group>,
    /// Whether groups that are not in the table are not wanted.
    closed: bool,
    max_bytes: usize,
    bytes: usize,
    /// Events seen, whether their group was kept or not.
    pub(super) events: u64,
    /// Whether groups were given up for want of memory.
    pub(super) lossy: bool,
    scratch: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
struct Group {
    count: u64,
    numbers: Option<Box<Numbers>>,
    /// Given up for want of memory: what was counted is no longer all.
    lost: bool,
}

/// A group and what was counted of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The start of its interval, if intervals were asked for.
    pub start: Option<Time>,
    /// Its values, in the order of [`Grouping::by`]; `None` where an event has none.
    pub group: Vec<Option<String>>,
    /// Its events.
    pub count: u64,
    /// The figures of its numbers, if they were asked for.
    pub figures: Option<Figures>,
}

/// The start of the interval that `time` is in.
pub(super) fn start_of(time: Time, interval: Duration) -> Time {
    let nanos = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX).max(1);
    Time::from_nanos(time.as_nanos().div_euclid(nanos) * nanos)
}

// === impl Table ===

impl Table {
    /// A table that gives up the smallest groups before it takes more than `max_bytes`.
    pub(super) fn new(grouping: Arc<Grouping>, max_bytes: usize) -> Self {
        let (groups, scratch) = (HashMap::new(), Vec::new());
        let (closed, bytes, events, lossy) = (false, 0, 0, false);
        Self { grouping, groups, closed, max_bytes, bytes, events, lossy, scratch }
    }

    /// A table that counts only the groups of `keys`.
    pub(super) fn of(grouping: Arc<Grouping>, max_bytes: usize, keys: &[Key]) -> Self {
        let mut res = Self { closed: true, ..Self::new(grouping, max_bytes) };
        for key in keys {
            res.bytes += key.len() + GROUP_BYTES;
            res.groups.insert(key.clone(), Group::default());
        }
        res
    }

    /// Counts one event.
    pub(super) fn add(&mut self, event: &Event<'_>) {
        self.events += 1;
        let view = View::new(event);
        self.encode(&view);
        let group = match self.groups.get_mut(self.scratch.as_slice()) {
            Some(it) => it,
            None if self.closed => return,
            None => {
                self.bytes += self.scratch.len() + GROUP_BYTES;
                self.groups.entry(self.scratch.as_slice().into()).or_default()
            }
        };
        group.count += 1;
        if let (Some(path), false) = (&self.grouping.value, group.lost) {
            let numbers = group.numbers.get_or_insert_default();
            let before = numbers.size_bytes();
            numbers.add(view.text(path).number());
            self.bytes = self.bytes + numbers.size_bytes() - before;
        }
        if self.bytes > self.max_bytes {
            self.shrink();
        }
    }

    /// Writes the key of an event: the start of the interval, then each value with its length, so that a
    /// value can hold anything.
    fn encode(&mut self, view: &View<'_>) {
        self.scratch.clear();
        if let Some(interval) = self.grouping.interval {
            let start = start_of(view.event().time, interval);
            self.scratch.extend_from_slice(&start.as_nanos().to_be_bytes());
        }
        for path in &self.grouping.by {
            let text = view.text(path);
            if text == crate::selector::Text::Missing {
                self.scratch.extend_from_slice(&u32::MAX.to_be_bytes());
                continue;
            }
            let text = text.as_str();
            let len = u32::try_from(text.len()).unwrap_or(u32::MAX - 1);
            self.scratch.extend_from_slice(&len.to_be_bytes());
            self.scratch.extend_from_slice(text.as_bytes());
        }
    }

    /// Adds the groups of `other`.
    pub(super) fn merge(&mut self, other: Self) {
        self.events += other.events;
        self.lossy |= other.lossy;
        for (key, theirs) in other.groups {
            let len = key.len();
            let ours = self.groups.entry(key).or_insert_with(|| {
                self.bytes += len + GROUP_BYTES;
                Group::default()
            });
            ours.count += theirs.count;
            ours.lost |= theirs.lost;
            let before = ours.size_bytes();
            match (&mut ours.numbers, theirs.numbers) {
                (Some(ours), Some(theirs)) => ours.merge(*theirs),
                (ours @ None, theirs) => *ours = theirs,
                (Some(_), None) => {}
            }
            self.bytes = self.bytes + ours.size_bytes() - before;
            if self.bytes > self.max_bytes {
                self.shrink();
            }
        }
    }

    /// Makes room: first by keeping sketches for numbers, then by giving up the smallest groups.
    fn shrink(&mut self) {
        self.groups.values_mut().filter_map(|it| it.numbers.as_mut()).for_each(|it| it.compact());
        self.measure();
        if self.bytes <= self.max_bytes / 4 * 3 {
            return;
        }
        self.lossy = true;
        let mut counts: Vec<u64> =
            self.groups.values().filter(|it| !it.lost).map(|it| it.count).collect();
        let half = counts.len() / 2;
        if half == 0 {
            return;
        }
        let (_, bound, _) = counts.select_nth_unstable(half);
        let (bound, closed) = (*bound, self.closed);
        // Of those of the same size as the one in the middle some must go as well.
        let mut left = half;
        self.groups.retain(|_, it| {
            let small = !it.lost && it.count <= bound && left > 0;
            left -= usize::from(small);
            if small && closed {
                // Its key stays, so that it is not counted anew.
                (it.lost, it.numbers) = (true, None);
            }
            closed || !small
        });
        self.measure();
    }

    fn measure(&mut self) {
        let size = |(key, it): (&Key, &Group)| key.len() + GROUP_BYTES + it.size_bytes();
        self.bytes = self.groups.iter().map(size).sum();
    }

    /// Bytes that the groups take, about.
    #[cfg(test)]
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// The keys of the `n` largest groups, or of fewer, so that most of the memory is left for what is
    /// counted of them.
    pub(super) fn largest(&self, n: usize) -> Vec<Key> {
        let mut keys: Vec<_> = self.groups.iter().map(|(key, it)| (it.count, key)).collect();
        keys.sort_unstable_by(|a, b| (b.0, a.1).cmp(&(a.0, b.1)));
        let mut bytes = 0;
        let fits = |(_, key): &(u64, &Key)| {
            bytes += key.len() + GROUP_BYTES;
            bytes <= self.max_bytes / 4
        };
        keys.into_iter().take(n).take_while(fits).map(|(_, key)| key.clone()).collect()
    }

    /// The rows, in no order.
    pub(super) fn into_rows(self) -> Vec<Row> {
        let Self { grouping, groups, .. } = self;
        let counted = groups.into_iter().filter(|(_, it)| it.count > 0 && !it.lost);
        let row = |(key, group): (Key, Group)| {
            let (start, values) = decode(&grouping, &key);
            let figures =
                grouping.value.as_ref().map(|_| group.numbers.unwrap_or_default().figures());
            Row { start, group: values, count: group.count, figures }
        };
        counted.map(row).collect()
    }
}

/// What [`Table::encode`] wrote.
fn decode(grouping: &Grouping, mut key: &[u8]) -> (Option<Time>, Vec<Option<String>>) {
    let mut start = None;
    if let (Some(_), Some((nanos, rest))) = (grouping.interval, key.split_first_chunk::<8>()) {
        start = Some(Time::from_nanos(i64::from_be_bytes(*nanos)));
        key = rest;
    }
    let values = grouping.by.iter().map(|_| {
        let (len, rest) = key.split_first_chunk::<4>()?;
        let len = u32::from_be_bytes(*len) as usize;
        // The length of nothing is more than there can be.
        let (value, after) = rest.split_at_checked(len).map_or((None, rest), |(a, b)| (Some(a), b));
        key = after;
        value.map(|it| String::from_utf8_lossy(it).into_owned())
    });
    (start, values.collect())
}

// === impl Group ===

impl Group {
    fn size_bytes(&self) -> usize {
        self.numbers.as_ref().map_or(0, |it| size_of::<Numbers>() + it.size_bytes())
    }
}
