//! Events on their way into the journal, already encoded.

use super::record;
use crate::codec::DecodeError;
use crate::codec::Reader;
use crate::event::{Event, EventId, Time};
use siphasher::sip::SipHasher24;
use std::{hash::Hasher, sync::Arc};

/// Events that one block holds at most.
pub const BLOCK_EVENTS: usize = 1000;

/// Uncompressed bytes after which a block is full; one large event may exceed it.
pub const BLOCK_BYTES: usize = 384 << 10;

/// Segments of at least so many bytes are compressed where they are made, off the writer's thread.
const PACK_BYTES: usize = 32 << 10;

/// Speed over size: sealed again by a merge if it is small.
const PACK_LEVEL: i32 = 1;

/// The secret that keys the hashes of ids, one per store.
#[derive(Clone, Copy, Debug)]
pub struct IdKey(pub(super) u64, pub(super) u64);

/// An id that a sender gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdEntry {
    /// The event's position in the segment or block.
    pub(super) index: u32,
    /// Hash of source and id: the identity for deduplication.
    pub(super) identity: u64,
    /// Hash of the id alone, to find it.
    pub(super) fingerprint: u32,
}

/// How many events of one type came from one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) event_type: Arc<str>,
    pub(super) source: Arc<str>,
    pub(super) count: u32,
}

/// What is known of a run of events without reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stats {
    pub(super) count: u32,
    pub(super) time: (Time, Time),
    pub(super) received: (Time, Time),
    pub(super) pairs: Vec<Pair>,
}

/// Encoded events, at most a block's worth.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    pub(super) rows: Vec<u8>,
    pub(super) packed: Option<Vec<u8>>,
    pub(super) stats: Stats,
    pub(super) ids: Vec<IdEntry>,
}

// === impl IdKey ===

impl IdKey {
    /// The identity of `(source, id)`.
    #[must_use]
    pub fn identity(&self, source: &str, id: &str) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        hasher.write(source.as_bytes());
        hasher.write_u8(0xff);
        hasher.write(id.as_bytes());
        hasher.finish()
    }

    /// The hash of an id alone.
    pub(super) fn hash(&self, id: &str) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.1, self.0);
        hasher.write(id.as_bytes());
        hasher.finish()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a fingerprint is the low half of the hash"
    )]
    pub(super) fn fingerprint(&self, id: &str) -> u32 {
        self.hash(id) as u32
    }
}

// === impl Stats ===

impl Default for Stats {
    fn default() -> Self {
        let nothing = (Time::from_nanos(i64::MAX), Time::from_nanos(i64::MIN));
        Self { count: 0, time: nothing, received: nothing, pairs: Vec::new() }
    }
}

impl Stats {
    pub(super) fn add(&mut self, event: &Event<'_>) {
        self.count += 1;
        self.time = widen(self.time, (event.time, event.time));
        self.received = widen(self.received, (event.received, event.received));
        // A batch is mostly of few kinds, so that the last one is the likeliest.
        let same = |it: &Pair| *it.event_type == *event.event_type && *it.source == *event.source;
        match self.pairs.iter_mut().rev().find(|it| same(it)) {
            Some(pair) => pair.count += 1,
            None => self.pairs.push(Pair {
                event_type: event.event_type.as_ref().into(),
                source: event.source.as_ref().into(),
                count: 1,
            }),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.time = widen(self.time, other.time);
        self.received = widen(self.received, other.received);
        for pair in &other.pairs {
            let same = |it: &Pair| it.event_type == pair.event_type && it.source == pair.source;
            match self.pairs.iter_mut().rev().find(|it| same(it)) {
                Some(it) => it.count += pair.count,
                None => self.pairs.push(pair.clone()),
            }
        }
    }
}

fn widen(a: (Time, Time), b: (Time, Time)) -> (Time, Time) {
    (a.0.min(b.0), a.1.max(b.1))
}

// === impl Segment ===

impl Segment {
    /// Whether no further event should be pushed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() >= BLOCK_EVENTS || self.rows.len() >= BLOCK_BYTES
    }

    /// The number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stats.count as usize
    }

    /// Whether there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stats.count == 0
    }

    /// Bytes it takes in memory, about.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.rows.len() + self.packed.as_ref().map_or(0, Vec::len) + 16 * self.ids.len() + 128
    }

    /// Appends `event`.
    pub fn push(&mut self, event: &Event<'_>, key: &IdKey) {
        if let EventId::Given(id) = &event.id {
            self.ids.push(IdEntry {
                index: self.stats.count,
                identity: key.identity(&event.source, id),
                fingerprint: key.fingerprint(id),
            });
        }
        record::encode(&mut self.rows, event);
        self.stats.add(event);
    }

    /// Compresses the rows if that pays. Costs about half a microsecond per event, so it is done by who
    /// made the segment and not by the writer.
    pub fn pack(&mut self) {
        if self.rows.len() >= PACK_BYTES {
            self.packed = zstd::bulk::compress(&self.rows, PACK_LEVEL).ok();
        }
    }

    /// The identities of the events whose sender gave an id: position and hash.
    pub fn identities(&self) -> impl Iterator<Item = (usize, u64)> {
        self.ids.iter().map(|it| (it.index as usize, it.identity))
    }

    /// The events, decoded.
    pub fn events(&self) -> impl Iterator<Item = Result<Event<'_>, DecodeError>> {
        events(&self.rows)
    }

    /// The segment without the events at the positions for which `drop` says so.
    #[must_use]
    pub fn without(&self, key: &IdKey, drop: impl Fn(usize) -> bool) -> Self {
        let mut res = Self::default();
        for (i, event) in self.events().enumerate() {
            if let (false, Ok(event)) = (drop(i), event) {
                res.push(&event, key);
            }
        }
        res
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let base = self.stats.count;
        self.ids.extend(other.ids.iter().map(|it| IdEntry { index: base + it.index, ..*it }));
        self.rows.extend_from_slice(&other.rows);
        self.stats.merge(&other.stats);
    }
}

/// The events of concatenated records; ends at the first that cannot be read.
pub(super) fn events(rows: &[u8]) -> impl Iterator<Item = Result<Event<'_>, DecodeError>> {
    let mut reader = Reader::new(rows);
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || reader.is_empty() {
            return None;
        }
        let res = record::next(&mut reader).and_then(record::decode);
        failed = res.is_err();
        Some(res)
    })
}
