//! What the stored parts of a block say, by themselves.

use super::Block;
use crate::codec;
use crate::codec::{DecodeError, Reader};
use crate::event::{EventId, Time};
use crate::journal::block;
use crate::journal::block::Small;
use crate::journal::chunk::{Chunk, Scratch};
use crate::journal::header::{Part, Sealed, SealedPart, Sources};
use crate::journal::ids;
use crate::journal::pack::Unpacker;
use crate::journal::segment;
use crate::journal::segment::{IdKey, Stats};
use std::{collections::BTreeMap, sync::Arc};

/// What the header of a block that is not sealed says, or its events do.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) count: u32,
    stats: Stats,
    /// Events whose sender gave an id.
    pub(super) given: u32,
}

/// What the events of a chunk say.
#[derive(Debug)]
pub(super) struct ChunkFacts {
    event_type: Arc<str>,
    pub(super) count: u32,
    stored_bytes: u32,
    /// The position after the last.
    pub(super) end: u64,
    time: (Time, Time),
    pub(super) received: (Time, Time),
    hours: Box<[(u32, u32)]>,
    sources: BTreeMap<Arc<str>, u32>,
    /// Hashes of the ids that senders gave.
    pub(super) hashes: Vec<u64>,
}

impl Rows {
    fn of_stats(mut stats: Stats) -> Self {
        stats.pairs.sort_by(|a, b| (&a.event_type, &a.source).cmp(&(&b.event_type, &b.source)));
        Self { count: stats.count, stats, given: 0 }
    }

    fn read(value: &[u8]) -> Result<Self, DecodeError> {
        let (n, rows) = block::decode_rows(value, &mut Unpacker::new())?;
        let (mut stats, mut given) = (Stats::default(), 0);
        for event in segment::events(&rows) {
            let event = event?;
            given += u32::from(matches!(event.id, EventId::Given(_)));
            stats.add(&event);
        }
        let res = Self { given, ..Self::of_stats(stats) };
        if res.count == n { Ok(res) } else { Err(DecodeError::Malformed) }
    }

    /// Whether they agree but for the ids.
    pub(super) fn is_as(&self, header: &Self) -> bool {
        self.stats == header.stats
    }
}

impl ChunkFacts {
    fn read(value: &[u8], key: Option<&IdKey>) -> Result<Self, DecodeError> {
        let stored_bytes = u32::try_from(value.len()).unwrap_or(u32::MAX);
        let chunk = Chunk::open(value.to_vec())?;
        let mut unpacker = Unpacker::new();
        let events = chunk.events(&mut unpacker)?;
        let (mut scratch, mut stats) = (Scratch::default(), Stats::default());
        let (mut times, mut hashes, mut sources) = (Vec::new(), Vec::new(), BTreeMap::new());
        for at in 0..chunk.len() {
            let event = events.get(at, &mut scratch)?;
            times.push(event.time);
            stats.time = (stats.time.0.min(event.time), stats.time.1.max(event.time));
            let received = event.received;
            stats.received = (stats.received.0.min(received), stats.received.1.max(received));
            *sources.entry(Arc::from(event.source.as_ref())).or_default() += 1;
            if let (EventId::Given(id), Some(key)) = (&event.id, key) {
                hashes.push(key.hash(id));
            }
        }
        let rising = events.positions.windows(2).all(|it| matches!(it, [a, b] if a < b));
        let last = events.positions.last().map_or(Ok(0), |it| u64::try_from(it + 1));
        let first = events.positions.first().copied().unwrap_or_default();
        match last {
            Ok(end) if rising && first >= 0 => Ok(Self {
                event_type: chunk.event_type().into(),
                count: u32::try_from(chunk.len()).unwrap_or(u32::MAX),
                stored_bytes,
                end,
                time: stats.time,
                received: stats.received,
                hours: Part::hours_of(times.into_iter()),
                sources,
                hashes,
            }),
            _ => Err(DecodeError::Malformed),
        }
    }

    /// Whether a header that covers `span` numbers says the same.
    pub(super) fn is_as(&self, it: &SealedPart, span: u64) -> bool {
        let mut sources = BTreeMap::new();
        for (source, count) in &it.sources {
            *sources.entry(Arc::clone(source)).or_default() += *count;
        }
        it.part.event_type == self.event_type
            && it.part.count == self.count
            && it.part.time == self.time
            && sources == self.sources
            && self.end <= span
    }

    /// What a header says of it.
    pub(super) fn part(&self, chunk: u16) -> SealedPart {
        let mut sources = Sources::default();
        self.sources.keys().for_each(|it| sources.insert(it));
        let part = Part {
            event_type: Arc::clone(&self.event_type),
            chunk,
            count: self.count,
            stored_bytes: self.stored_bytes,
            time: self.time,
            hours: self.hours.clone(),
            sources,
        };
        let sources = self.sources.iter().map(|(it, count)| (Arc::clone(it), *count)).collect();
        SealedPart { part, sources }
    }
}

impl Block {
    /// Reads a part of the block.
    pub(super) fn read(
        &mut self,
        kind: u8,
        key: &[u8],
        value: &[u8],
        id_key: Option<&IdKey>,
    ) -> Result<(), DecodeError> {
        let header = |value: &[u8]| {
            block::decode_stats(value, |it| it.into()).map(|it| Some(Rows::of_stats(it.1)))
        };
        match kind {
            block::SMALL => {
                let small = Small::decode(value)?;
                self.header = header(small.header)?;
                self.ids = count(block::decode_ids(small.ids)?.len());
                self.rows = Some(Rows::read(small.rows)?);
            }
            block::ROWS => self.rows = Some(Rows::read(value)?),
            block::HEADER => self.header = header(value)?,
            block::IDS => self.ids = count(block::decode_ids(value)?.len()),
            block::SEALED => self.sealed = Some(Sealed::decode(value, |it| it.into())?),
            block::FILTER => {
                ids::may_have(value, 0)?;
                self.filter = Some(value.to_vec());
            }
            _ => {
                let number = key.last_chunk().map_or(0, |it| u16::from_be_bytes(*it));
                self.chunks.insert(number, ChunkFacts::read(value, id_key)?);
            }
        }
        Ok(())
    }
}

/// The key that ids are hashed with.
pub(super) fn id_key(value: &[u8]) -> Result<IdKey, DecodeError> {
    let mut reader = Reader::new(codec::unseal(1, value)?);
    Ok(IdKey(reader.u64()?, reader.u64()?))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// What a kind of key is for.
pub(super) fn name(kind: u8) -> &'static str {
    match kind {
        block::ROWS => "events",
        block::IDS => "ids",
        block::HEADER | block::SEALED => "header",
        block::CHUNK => "chunk",
        block::FILTER => "filter",
        _ => "block",
    }
}
