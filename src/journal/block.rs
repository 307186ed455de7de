//! A run of events as a commit stores it: the rows, and beside them a header that says what is in them.
//!
//! Keys are one letter and the sequence number of the first event, big-endian, so that they sort:
//! `b` the rows, `h` the header, `i` the hashes of given ids (absent if there are none). A small block,
//! such as a commit of single events, is one value under `a` until it is merged: header, ids and rows,
//! each with its length. One value is one write of the store; several cost a batch.
//!
//! Merging makes sealed blocks of them: `s` the header (`header`), `c` and a number the chunks (`chunk`),
//! `f` the filter of given ids (`ids`; absent if there are none).

use super::pack::Unpacker;
use super::segment::{IdEntry, Pair, Stats};
use crate::codec;
use crate::codec::{DecodeError, Reader, Writer};
use crate::event::{Event, Time};
use std::sync::Arc;

const VERSION: u8 = 1;
const CODEC_ROWS: u8 = 0;
const CODEC_ZSTD: u8 = 1;

pub(super) const SMALL: u8 = b'a';
pub(super) const ROWS: u8 = b'b';
pub(super) const HEADER: u8 = b'h';
pub(super) const IDS: u8 = b'i';
/// The header of a sealed block.
pub(super) const SEALED: u8 = b's';
/// A chunk of a sealed block.
pub(super) const CHUNK: u8 = b'c';
/// Which given ids a sealed block may have.
pub(super) const FILTER: u8 = b'f';

/// All of them.
pub(super) const KINDS: [u8; 7] = [SMALL, ROWS, HEADER, IDS, SEALED, CHUNK, FILTER];

pub(super) fn key(kind: u8, first: u64) -> [u8; 9] {
    let mut res = [kind; 9];
    if let Some(it) = res.last_chunk_mut() {
        *it = first.to_be_bytes();
    }
    res
}

/// The number in the key of a chunk.
pub(super) fn chunk_number(key: &[u8]) -> Option<u16> {
    key.get(9..)?.try_into().ok().map(u16::from_be_bytes)
}

/// The key of a chunk: it follows those of the same block.
pub(super) fn chunk_key(first: u64, chunk: u16) -> [u8; 11] {
    let mut res = [CHUNK; 11];
    if let (Some(head), Some(tail)) = (res.get_mut(1..9), key(CHUNK, first).get(1..)) {
        head.copy_from_slice(tail);
    }
    if let Some(it) = res.last_chunk_mut() {
        *it = chunk.to_be_bytes();
    }
    res
}

/// The sequence number in a key.
pub(super) fn first(key: &[u8]) -> Option<u64> {
    key.get(1..)?.try_into().ok().map(u64::from_be_bytes)
}

/// The stored form of rows: codec, number of events, size, payload.
pub(super) fn encode_rows(count: u32, rows: &[u8], packed: Option<&[u8]>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::with_capacity(16 + packed.map_or(rows.len(), <[u8]>::len)));
    writer.u8(if packed.is_some() { CODEC_ZSTD } else { CODEC_ROWS });
    writer.varint(u64::from(count));
    writer.varint(rows.len() as u64);
    writer.bytes(packed.unwrap_or(rows));
    codec::seal(VERSION, &writer.into_inner())
}

/// The number of events and the rows of a stored block.
pub(super) fn decode_rows(
    value: &[u8],
    unpacker: &mut Unpacker,
) -> Result<(u32, Vec<u8>), DecodeError> {
    let mut reader = Reader::new(codec::unseal(VERSION, value)?);
    let codec = reader.u8()?;
    let count = u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed)?;
    let size = reader.size()?;
    let payload = reader.rest();
    let rows = match codec {
        CODEC_ROWS => payload.to_vec(),
        CODEC_ZSTD => unpacker.unpack(payload, size)?,
        _ => return Err(DecodeError::Malformed),
    };
    if rows.len() == size { Ok((count, rows)) } else { Err(DecodeError::Malformed) }
}

/// The stored header of a block that is not sealed; `stored_bytes` are those of its rows.
pub(super) fn encode_stats(stored_bytes: u32, stats: &Stats) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.u32(stored_bytes);
    writer.u32(stats.count);
    for it in [stats.time.0, stats.time.1, stats.received.0, stats.received.1] {
        writer.i64(it.as_nanos());
    }
    for it in &stats.pairs {
        writer.varint(u64::from(it.count));
        writer.text(&it.event_type);
        writer.text(&it.source);
    }
    codec::seal(VERSION, &writer.into_inner())
}

/// Reads a stored header; `intern` makes equal names share memory.
pub(super) fn decode_stats(
    value: &[u8],
    mut intern: impl FnMut(&str) -> Arc<str>,
) -> Result<(u32, Stats), DecodeError> {
    let mut reader = Reader::new(codec::unseal(VERSION, value)?);
    let stored_bytes = reader.u32()?;
    let count = reader.u32()?;
    let mut time = || reader.i64().map(Time::from_nanos);
    let (time, received) = ((time()?, time()?), (time()?, time()?));
    let mut pairs = Vec::new();
    while !reader.is_empty() {
        let count = u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed)?;
        let event_type = intern(reader.text()?);
        pairs.push(Pair { event_type, source: intern(reader.text()?), count });
    }
    let total = pairs.iter().try_fold(0u32, |acc, it| acc.checked_add(it.count));
    let stats = Stats { count, time, received, pairs };
    if total == Some(count) { Ok((stored_bytes, stats)) } else { Err(DecodeError::Malformed) }
}

/// The parts of a small block, each as it would be stored alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Small<'a> {
    pub(super) header: &'a [u8],
    pub(super) ids: &'a [u8],
    pub(super) rows: &'a [u8],
}

impl<'a> Small<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let size = self.header.len() + self.ids.len() + self.rows.len() + 16;
        let mut writer = Writer::new(Vec::with_capacity(size));
        for part in [self.header, self.ids] {
            writer.varint(part.len() as u64);
            writer.bytes(part);
        }
        writer.bytes(self.rows);
        writer.into_inner()
    }

    pub(super) fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        let mut part = || {
            let n = reader.size()?;
            reader.bytes(n)
        };
        Ok(Self { header: part()?, ids: part()?, rows: reader.rest() })
    }
}

pub(super) fn encode_ids(ids: &[IdEntry]) -> Vec<u8> {
    let mut writer = Writer::default();
    for it in ids {
        writer.u32(it.index);
        writer.u64(it.identity);
        writer.u32(it.fingerprint);
    }
    codec::seal(VERSION, &writer.into_inner())
}

pub(super) fn decode_ids(value: &[u8]) -> Result<Vec<IdEntry>, DecodeError> {
    let mut reader = Reader::new(codec::unseal(VERSION, value)?);
    let mut res = Vec::new();
    while !reader.is_empty() {
        let (index, identity) = (reader.u32()?, reader.u64()?);
        res.push(IdEntry { index, identity, fingerprint: reader.u32()? });
    }
    Ok(res)
}

/// The same event, with nothing borrowed.
#[must_use]
pub fn into_owned(event: Event<'_>) -> Event<'static> {
    use crate::event::EventId;
    Event {
        id: match event.id {
            EventId::Given(it) => EventId::Given(it.into_owned().into()),
            EventId::Generated(it) => EventId::Generated(it),
        },
        event_type: event.event_type.into_owned().into(),
        source: event.source.into_owned().into(),
        subject: event.subject.map(|it| it.into_owned().into()),
        data: event.data.into_owned().into(),
        time: event.time,
        received: event.received,
        time_clamped: event.time_clamped,
        trace: event.trace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_read_back(rows: Vec<u8>, count: u32, pack: bool) {
            let packed = pack.then(|| zstd::bulk::compress(&rows, 1).unwrap());
            let value = encode_rows(count, &rows, packed.as_deref());
            prop_assert_eq!(decode_rows(&value, &mut Unpacker::new()).unwrap(), (count, rows));
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            for payload in [bytes.clone(), codec::seal(VERSION, &bytes)] {
                let _ = decode_rows(&payload, &mut Unpacker::new());
                let _ = decode_ids(&payload);
                let _ = decode_stats(&payload, |it| Arc::from(it));
                let _ = Small::decode(&payload);
            }
        }
    }

    #[test]
    fn headers_read_back() {
        let pair = |count| Pair { event_type: "t".into(), source: "s".into(), count };
        let time = (Time::from_nanos(1), Time::from_nanos(5));
        let stats = Stats { count: 7, time, received: time, pairs: vec![pair(3), pair(4)] };
        let value = encode_stats(9, &stats);
        assert_eq!(decode_stats(&value, |it| Arc::from(it)).unwrap(), (9, stats.clone()));
        // A header that disagrees with itself is damaged.
        let wrong = encode_stats(9, &Stats { count: 8, ..stats });
        assert!(decode_stats(&wrong, |it| Arc::from(it)).is_err());
    }

    #[test]
    fn chunks_sort_by_block_and_number() {
        let keys = [(1, 0), (1, 1), (1, 300), (2, 0), (1 << 40, 7)];
        let keys = keys.map(|(first, chunk)| chunk_key(first, chunk));
        assert!(keys.is_sorted());
        assert!(keys.iter().take(3).all(|it| it.starts_with(&key(CHUNK, 1))));
    }
}
