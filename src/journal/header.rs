//! What is known of a block without reading its events: in memory of every block, and as stored of sealed
//! ones.
//!
//! In memory a part of a block takes about 200 bytes whatever is in it, so that ten million events fit in
//! a few megabytes. Sources are a filter of bits there and not names: fifty names for each type of each
//! block would be more than everything else together.

use super::segment::{Pair, Stats};
use crate::codec;
use crate::codec::{DecodeError, Reader, Writer};
use crate::event::Time;
use std::{collections::HashMap, sync::Arc};
use xxhash_rust::xxh3::xxh3_64;

const VERSION: u8 = 1;
const HOUR_NANOS: i64 = 3_600_000_000_000;
/// Hours that a part counts at most: one whose events are scattered over more has to be opened.
const MAX_HOURS: usize = 26;
/// Parts of one block at most: who sends a new type with every event must not fill the memory. The types
/// beyond are one part together, whose own type is empty.
pub(super) const MAX_PARTS: usize = 64;

/// How a block is stored: merging makes later ones of earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// One value: header, ids and rows.
    Small,
    /// Rows, header and ids.
    Rows,
    /// A chunk for each type, and a header. Also what is left of a block whose events were all pruned.
    Sealed,
}

/// A block, as it is kept in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The sequence number of its first event.
    pub(super) first: u64,
    /// Sequence numbers that it covers, whether or not their events are still there.
    pub(super) span: u64,
    pub(super) form: Form,
    /// How many events it has.
    pub(super) count: u32,
    /// Bytes that it takes in the store, but for keys.
    pub(super) stored_bytes: u32,
    pub(super) time: (Time, Time),
    pub(super) received: (Time, Time),
    /// What it has of each type. Only in a sealed block do they have times and hours of their own.
    pub(super) parts: Box<[Part]>,
}

/// The events of one type in a block, or of all types that are too rare to be parts of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Empty: several.
    pub(super) event_type: Arc<str>,
    /// The number of its chunk.
    pub(super) chunk: u16,
    pub(super) count: u32,
    pub(super) stored_bytes: u32,
    pub(super) time: (Time, Time),
    /// How many events happened in each hour since the epoch; empty if that is not known.
    pub(super) hours: Box<[(u32, u32)]>,
    pub(super) sources: Sources,
}

/// Which sources there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sources([u64; 4]);

/// A sealed block as its header is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) span: u64,
    pub(super) received: (Time, Time),
    pub(super) parts: Vec<SealedPart>,
}

/// The events of one type in a sealed block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SealedPart {
    pub(super) part: Part,
    /// How many events came from each source.
    pub(super) sources: Vec<(Arc<str>, u32)>,
}

// === impl Header ===

impl Header {
    /// The header of a block that is not sealed.
    pub(super) fn new(first: u64, form: Form, stored_bytes: u32, stats: &Stats) -> Self {
        let mut parts = Vec::<Part>::new();
        for pair in &stats.pairs {
            let part = match parts.iter_mut().position(|it| it.event_type == pair.event_type) {
                Some(at) => parts.get_mut(at),
                None if parts.len() < MAX_PARTS => {
                    let event_type = match parts.len() + 1 {
                        MAX_PARTS => Arc::from(""),
                        _ => Arc::clone(&pair.event_type),
                    };
                    parts.push(Part::empty(event_type, stats.time));
                    parts.last_mut()
                }
                None => parts.last_mut(),
            };
            if let Some(part) = part {
                part.count += pair.count;
                part.sources.insert(&pair.source);
            }
        }
        Self {
            first,
            span: u64::from(stats.count),
            form,
            count: stats.count,
            stored_bytes,
            time: stats.time,
            received: stats.received,
            parts: parts.into(),
        }
    }

    /// The header of a sealed block whose stored header has `header_bytes`.
    pub(super) fn sealed(first: u64, sealed: &Sealed, header_bytes: usize) -> Self {
        let parts: Box<[Part]> = sealed.parts.iter().map(|it| it.part.clone()).collect();
        let nothing = Stats::default().time;
        let widen = |a: (Time, Time), b: &Part| (a.0.min(b.time.0), a.1.max(b.time.1));
        let header_bytes = u32::try_from(header_bytes).unwrap_or(u32::MAX);
        Self {
            first,
            span: sealed.span,
            form: Form::Sealed,
            count: parts.iter().map(|it| it.count).sum(),
            // What is left of a block is not worth pruning.
            stored_bytes: match parts.is_empty() {
                true => 0,
                false => {
                    parts.iter().fold(header_bytes, |acc, it| acc.saturating_add(it.stored_bytes))
                }
            },
            time: parts.iter().fold(nothing, widen),
            received: sealed.received,
            parts,
        }
    }

    /// The sequence number after its last event.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(self.span)
    }
}

// === impl Part ===

impl Part {
    /// Whether it has events of several types.
    pub(super) fn is_mixed(&self) -> bool {
        self.event_type.is_empty()
    }

    fn empty(event_type: Arc<str>, time: (Time, Time)) -> Self {
        Self {
            event_type,
            chunk: 0,
            count: 0,
            stored_bytes: 0,
            time,
            hours: Box::default(),
            sources: Sources::default(),
        }
    }

    /// The start of an hour that [`Part::hours`] counts.
    pub(super) fn start_of(hour: u32) -> Time {
        Time::from_nanos(i64::from(hour).saturating_mul(HOUR_NANOS))
    }

    /// How many events happened in each hour, if there are not too many.
    pub(super) fn hours_of(times: impl Iterator<Item = Time>) -> Box<[(u32, u32)]> {
        let mut res = Vec::<(u32, u32)>::new();
        for it in times {
            let Ok(hour) = u32::try_from(it.as_nanos().div_euclid(HOUR_NANOS)) else {
                return Box::default();
            };
            // Events are mostly in the order of their times.
            if let Some((_, count)) = res.iter_mut().rev().find(|(it, _)| *it == hour) {
                *count += 1;
            } else if res.len() < MAX_HOURS {
                res.push((hour, 1));
            } else {
                return Box::default();
            }
        }
        res.sort_unstable();
        res.into()
    }
}

// === impl Sources ===

impl Sources {
    pub(super) fn insert(&mut self, source: &str) {
        let (word, bit) = Self::place(source);
        if let Some(it) = self.0.get_mut(word) {
            *it |= bit;
        }
    }

    /// Whether `source` may be among them.
    pub(super) fn may_have(&self, source: &str) -> bool {
        let (word, bit) = Self::place(source);
        self.0.get(word).is_some_and(|it| it & bit != 0)
    }

    fn place(source: &str) -> (usize, u64) {
        let hash = xxh3_64(source.as_bytes());
        ((hash >> 6 & 3) as usize, 1 << (hash & 63))
    }
}

// === impl SealedPart ===

impl SealedPart {
    /// How many events of its type came from each source.
    pub(super) fn pairs(&self) -> Vec<Pair> {
        let pair = |(source, count): &(Arc<str>, u32)| Pair {
            event_type: Arc::clone(&self.part.event_type),
            source: Arc::clone(source),
            count: *count,
        };
        self.sources.iter().map(pair).collect()
    }
}

// === impl Sealed ===

impl Sealed {
    /// What is stored of a run whose events were all pruned.
    pub(super) fn empty(span: u64) -> Self {
        Self { span, received: Stats::default().received, parts: Vec::new() }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut names = HashMap::<&str, usize>::new();
        let mut list = Writer::default();
        for (name, _) in self.parts.iter().flat_map(|it| &it.sources) {
            let next = names.len();
            names.entry(name).or_insert_with(|| {
                list.text(name);
                next
            });
        }
        let mut out = Writer::default();
        out.varint(self.span);
        write_times(&mut out, self.received);
        out.varint(names.len() as u64);
        out.bytes(&list.into_inner());
        for SealedPart { part, sources } in &self.parts {
            out.text(&part.event_type);
            out.varint(u64::from(part.chunk));
            out.varint(u64::from(part.count));
            out.varint(u64::from(part.stored_bytes));
            write_times(&mut out, part.time);
            out.varint(part.hours.len() as u64);
            let mut last = 0;
            for (hour, count) in &part.hours {
                out.varint(u64::from(hour - last));
                out.varint(u64::from(*count));
                last = *hour;
            }
            out.varint(sources.len() as u64);
            for (name, count) in sources {
                out.varint(names.get(name.as_ref()).copied().unwrap_or_default() as u64);
                out.varint(u64::from(*count));
            }
        }
        codec::seal(VERSION, &out.into_inner())
    }

    /// Reads a stored header; `intern` makes equal names share memory.
    pub(super) fn decode(
        value: &[u8],
        mut intern: impl FnMut(&str) -> Arc<str>,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(codec::unseal(VERSION, value)?);
        let span = reader.varint()?;
        let received = read_times(&mut reader)?;
        let mut names = Vec::new();
        for _ in 0..reader.size()? {
            names.push(intern(reader.text()?));
        }
        let mut parts = Vec::new();
        while !reader.is_empty() {
            let mut part = Part::empty(intern(reader.text()?), received);
            part.chunk = number(&mut reader)?;
            part.count = number(&mut reader)?;
            part.stored_bytes = number(&mut reader)?;
            part.time = read_times(&mut reader)?;
            let (mut hours, mut last) = (Vec::new(), 0u32);
            for _ in 0..reader.size()? {
                let step = number::<u32>(&mut reader)?;
                last = last.checked_add(step).ok_or(DecodeError::Malformed)?;
                hours.push((last, number(&mut reader)?));
            }
            part.hours = hours.into();
            let mut sources = Vec::new();
            for _ in 0..reader.size()? {
                let name = names.get(reader.size()?).ok_or(DecodeError::Malformed)?;
                part.sources.insert(name);
                sources.push((Arc::clone(name), number(&mut reader)?));
            }
            parts.push(SealedPart { part, sources });
        }
        let total = parts.iter().try_fold(0u32, |acc, it| acc.checked_add(it.part.count));
        match total {
            Some(it) if u64::from(it) <= span => Ok(Self { span, received, parts }),
            _ => Err(DecodeError::Malformed),
        }
    }
}

fn number<T: TryFrom<u64>>(reader: &mut Reader<'_>) -> Result<T, DecodeError> {
    T::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed)
}

fn write_times(out: &mut Writer, (first, last): (Time, Time)) {
    out.i64(first.as_nanos());
    out.signed(last.as_nanos().wrapping_sub(first.as_nanos()));
}

fn read_times(reader: &mut Reader<'_>) -> Result<(Time, Time), DecodeError> {
    let first = reader.i64()?;
    Ok((Time::from_nanos(first), Time::from_nanos(first.wrapping_add(reader.signed()?))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed() -> Sealed {
        let at = Time::from_millis;
        let sources = vec![(Arc::from("a"), 3), (Arc::from("b"), 4)];
        let mut bits = Sources::default();
        sources.iter().for_each(|(it, _): &(Arc<str>, u32)| bits.insert(it));
        let part = |event_type: &str, chunk| Part {
            event_type: event_type.into(),
            chunk,
            count: 7,
            stored_bytes: 900,
            time: (at(1_000), at(9_000_000)),
            hours: Part::hours_of([1_000, 9_000_000, 2_000].map(at).into_iter()),
            sources: bits,
        };
        let parts = [part("t", 0), part("u", 1)];
        let parts = parts.map(|part| SealedPart { part, sources: sources.clone() }).to_vec();
        Sealed { span: 20, received: (at(5), at(9_000_001)), parts }
    }

    #[test]
    fn headers_read_back() {
        for sealed in [sealed(), Sealed::empty(77)] {
            assert_eq!(Sealed::decode(&sealed.encode(), |it| Arc::from(it)).unwrap(), sealed);
        }
        let header = Header::sealed(42, &sealed(), 100);
        assert_eq!((header.end(), header.count, header.stored_bytes), (62, 14, 1900));
        assert_eq!(*header.parts[0].hours, [(0, 2), (2, 1)]);
        assert!(header.parts[0].sources.may_have("a") && header.parts[0].sources.may_have("b"));
        let others = (0..100).filter(|it| header.parts[0].sources.may_have(&it.to_string()));
        assert!(others.count() < 10);
    }

    #[test]
    fn more_events_than_numbers_are_refused() {
        let wrong = Sealed { span: 13, ..sealed() };
        assert!(Sealed::decode(&wrong.encode(), |it| Arc::from(it)).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            bytes: Vec<u8>,
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut payload = codec::unseal(VERSION, &sealed().encode()).unwrap().to_vec();
            for (at, byte) in flips {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
            for value in [bytes.clone(), codec::seal(VERSION, &bytes), codec::seal(VERSION, &payload)] {
                if let Ok(it) = Sealed::decode(&value, |it| Arc::from(it)) {
                    Header::sealed(1, &it, value.len());
                }
            }
        }
    }
}
