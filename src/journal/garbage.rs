//! Reading what may be anything, for tests that look for panics.

use super::block;
use super::chunk::{Chunk, Scratch};
use super::filter;
use super::header::{Header, Sealed};
use super::ids;
use super::pack::Unpacker;
use super::query::{Ask, Order, Query};
use super::segment;
use crate::codec;
use crate::codec::DecodeError;
use std::sync::Arc;

/// Version of all values of the journal so far.
const VERSION: u8 = 1;

/// Reads `bytes` as every kind of stored value, as they are and with a checksum that is right, so that
/// what is behind it is reached; and asks a chunk that can be read for the answer to `query`. Returns how
/// many events were read.
///
/// For fuzzing: never panics, and never takes memory out of proportion to what really is in `bytes`.
#[must_use]
pub fn read_anything(bytes: &[u8], query: &Query) -> usize {
    let sealed = codec::seal(VERSION, bytes);
    [bytes, &sealed].into_iter().map(|it| read(it, query)).sum()
}

fn read(value: &[u8], query: &Query) -> usize {
    let mut unpacker = Unpacker::new();
    let mut res = 0;
    let _ = ids::may_have(value, 7);
    let _ = block::decode_ids(value);
    let _ = block::decode_stats(value, |it| Arc::from(it));
    if let Ok(small) = block::Small::decode(value) {
        let _ = block::decode_stats(small.header, |it| Arc::from(it));
        let _ = block::decode_rows(small.rows, &mut unpacker);
    }
    if let Ok((_, rows)) = block::decode_rows(value, &mut unpacker) {
        res += segment::events(&rows).filter(Result::is_ok).count();
    }
    res += segment::events(value).filter(Result::is_ok).count();
    if let Ok(it) = Sealed::decode(value, |it| Arc::from(it)) {
        let _ = Header::sealed(1, &it, value.len()).end();
    }
    res + read_chunk(value, query, &mut unpacker).unwrap_or(0)
}

fn read_chunk(value: &[u8], query: &Query, unpacker: &mut Unpacker) -> Result<usize, DecodeError> {
    let chunk = Chunk::open(value.to_vec())?;
    let header = Header::sealed(1, &Sealed::empty(u64::MAX), 0);
    let range = 2..u64::MAX - 1;
    // A section that cannot be read must not hide the others.
    let _ = filter::select(&chunk, &header, &Ask::new(query, Order::Any), &range, unpacker);
    let _ = chunk.given_ids(unpacker, &mut |_, _| ());
    let _ = chunk.find(&crate::event::EventId::Generated(7), unpacker);
    let _ = chunk.find(&crate::event::EventId::Given("7".into()), unpacker);
    let events = chunk.events(unpacker)?;
    let mut scratch = Scratch::default();
    let mut res = 0;
    for at in 0..chunk.len() {
        events.get(at, &mut scratch)?;
        res += 1;
    }
    Ok(res)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventId, Time};
    use crate::journal::chunk;
    use crate::journal::pack::Packer;
    use crate::selector::Selector;
    use proptest::prelude::*;

    fn chunk() -> Vec<u8> {
        let event = |i: u32| Event {
            id: if i.is_multiple_of(3) {
                EventId::Given(i.to_string().into())
            } else {
                EventId::Generated(u128::from(i))
            },
            event_type: "t".into(),
            source: "s".into(),
            time: Time::from_millis(i64::from(i)),
            received: Time::from_millis(i64::from(i)),
            time_clamped: false,
            subject: i.is_multiple_of(2).then(|| "x".into()),
            trace: None,
            data: format!("{{\"status\":\"{}\",\"n\":{i}.5}}", i % 3).into(),
        };
        let events: Vec<_> = (0..100).map(|i| (i, event(i))).collect();
        chunk::encode("t", &events, &mut Packer::new(3).unwrap())
    }

    fn query() -> Query {
        let matches = vec![Selector::parse(r#"*{status="1", n>3, source=~"s", id!=""}"#).unwrap()];
        Query { matches, since: Some(Time::from_millis(5)), ..Query::default() }
    }

    #[test]
    fn a_chunk_is_read_through_the_same_door() {
        let value = chunk();
        let payload = codec::unseal(VERSION, &value).unwrap();
        assert_eq!(read_anything(payload, &query()), 100);
        assert!(read_anything(&value, &query()) >= 100);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn nothing_panics(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
            random: Vec<u8>,
        ) {
            let value = chunk();
            let mut payload = codec::unseal(VERSION, &value).unwrap().to_vec();
            for (at, byte) in flips {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
            let _ = read_anything(&payload, &query());
            payload.truncate(cut.index(payload.len()));
            let _ = read_anything(&payload, &query());
            let _ = read_anything(&random, &query());
        }
    }
}
