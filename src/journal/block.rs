//! A run of events as stored: the rows, and beside them a header that says what is in them.
//!
//! Keys are one letter and the sequence number of the first event, big-endian, so that they sort:
//! `b` the rows, `h` the header, `i` the hashes of given ids (absent if there are none). A small block,
//! such as a commit of single events, is one value under `a` until it is merged: header, ids and rows,
//! each with its length. One value is one write of the store; several cost a batch.

use super::segment::{IdEntry, Pair, Stats};
use crate::codec;
use crate::codec::{DecodeError, Reader, Writer};
use crate::event::{Event, Time};
use std::sync::Arc;

const VERSION: u8 = 1;
const CODEC_ROWS: u8 = 0;
const CODEC_ZSTD: u8 = 1;
/// More than any block that is written: a single event of the largest body there may be.
const MAX_ROWS_BYTES: usize = 1 << 30;

pub(super) const SMALL: u8 = b'a';
pub(super) const ROWS: u8 = b'b';
pub(super) const HEADER: u8 = b'h';
pub(super) const IDS: u8 = b'i';
/// The header of a run whose events were all deleted.
pub(super) const EMPTY: u8 = b'e';

/// All of them.
pub(super) const KINDS: [u8; 5] = [SMALL, ROWS, HEADER, IDS, EMPTY];

/// What is kept in memory of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The sequence number of its first event.
    pub(super) first: u64,
    /// Bytes of its stored rows.
    pub(super) stored_bytes: u32,
    /// Whether all of it is one value.
    pub(super) small: bool,
    /// Sequence numbers that it covers, whether or not their events are still there.
    pub(super) span: u64,
    pub(super) stats: Stats,
}

pub(super) fn key(kind: u8, first: u64) -> [u8; 9] {
    let mut res = [kind; 9];
    if let Some(it) = res.last_chunk_mut() {
        *it = first.to_be_bytes();
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
pub(super) fn decode_rows(value: &[u8]) -> Result<(u32, Vec<u8>), DecodeError> {
    let mut reader = Reader::new(codec::unseal(VERSION, value)?);
    let codec = reader.u8()?;
    let count = u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed)?;
    let size = reader.size()?;
    let payload = reader.rest();
    let rows = match codec {
        CODEC_ROWS => payload.to_vec(),
        CODEC_ZSTD if size <= MAX_ROWS_BYTES => {
            zstd::bulk::decompress(payload, size).map_err(|_| DecodeError::Malformed)?
        }
        _ => return Err(DecodeError::Malformed),
    };
    if rows.len() == size { Ok((count, rows)) } else { Err(DecodeError::Malformed) }
}

// === impl Header ===

impl Header {
    /// The sequence number after its last event.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(self.span)
    }

    /// Whether it may hold an event for which `wanted` holds of type and source.
    pub(super) fn has(&self, wanted: impl Fn(&str, &str) -> bool) -> bool {
        self.stats.pairs.iter().any(|it| wanted(&it.event_type, &it.source))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u32(self.stored_bytes);
        writer.varint(self.span);
        writer.u32(self.stats.count);
        for it in
            [self.stats.time.0, self.stats.time.1, self.stats.received.0, self.stats.received.1]
        {
            writer.i64(it.as_nanos());
        }
        for it in &self.stats.pairs {
            writer.varint(u64::from(it.count));
            writer.text(&it.event_type);
            writer.text(&it.source);
        }
        codec::seal(VERSION, &writer.into_inner())
    }

    /// Reads a stored header; `intern` makes equal names share memory.
    pub(super) fn decode(
        first: u64,
        value: &[u8],
        mut intern: impl FnMut(&str) -> Arc<str>,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(codec::unseal(VERSION, value)?);
        let stored_bytes = reader.u32()?;
        let span = reader.varint()?;
        let count = reader.u32()?;
        let mut time = || reader.i64().map(Time::from_nanos);
        let (time, received) = ((time()?, time()?), (time()?, time()?));
        let mut pairs = Vec::new();
        while !reader.is_empty() {
            let count = u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed)?;
            let event_type = intern(reader.text()?);
            pairs.push(Pair { event_type, source: intern(reader.text()?), count });
        }
        pairs.shrink_to_fit();
        let stats = Stats { count, time, received, pairs };
        Ok(Self { first, stored_bytes, small: false, span, stats })
    }
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
pub(super) fn into_owned(event: Event<'_>) -> Event<'static> {
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
            prop_assert_eq!(decode_rows(&value).unwrap(), (count, rows));
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            for payload in [bytes.clone(), codec::seal(VERSION, &bytes)] {
                let _ = decode_rows(&payload);
                let _ = decode_ids(&payload);
                let _ = Header::decode(0, &payload, |it| Arc::from(it));
                let _ = Small::decode(&payload);
            }
        }
    }

    #[test]
    fn headers_read_back() {
        let pair = |count| Pair { event_type: "t".into(), source: "s".into(), count };
        let time = (Time::from_nanos(1), Time::from_nanos(5));
        let stats = Stats { count: 7, time, received: time, pairs: vec![pair(3), pair(4)] };
        let header = Header { first: 42, stored_bytes: 9, small: false, span: 7, stats };
        assert_eq!(Header::decode(42, &header.encode(), |it| Arc::from(it)).unwrap(), header);
    }
}
