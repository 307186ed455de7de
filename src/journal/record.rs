//! One event as stored.
//!
//! ```text
//! varint  bytes that follow, padded to five bytes
//! u8      flags
//! i64     time of arrival, nanoseconds
//! signed  event time minus time of arrival
//! id      generated: 5 bytes of the server's start, 5 of the counter (the rest is the time of arrival);
//!         given: text
//! text    type
//! text    source
//! text    subject, if any
//! bytes   trace id (16) and span id (8), if any
//! bytes   data: the rest
//! ```
//!
//! Records do not depend on one another, so blocks are made and merged by concatenation.

use crate::codec::DecodeError;
use crate::codec::Reader;
use crate::codec::Writer;
use crate::event::{Event, EventId, Time, TraceContext};
use std::borrow::Cow;

const GENERATED_ID: u8 = 1;
const TIME_CLAMPED: u8 = 2;
const SUBJECT: u8 = 4;
const TRACE: u8 = 8;
const SPAN: u8 = 16;
const MASK_40: u128 = (1 << 40) - 1;

/// Bytes that a record takes beside its texts, at most.
const FIXED_BYTES: usize = 96;

/// Appends `event` to `out`.
pub fn encode(out: &mut Vec<u8>, event: &Event<'_>) {
    out.reserve(FIXED_BYTES + event.data.len() + event.event_type.len() + event.source.len());
    let mut body = Writer::new(std::mem::take(out));
    let start = body.len();
    body.bytes(&[0; LENGTH_BYTES]);
    body.u8(flags(event));
    body.i64(event.received.as_nanos());
    body.signed(event.time.as_nanos().wrapping_sub(event.received.as_nanos()));
    match &event.id {
        EventId::Given(id) => body.text(id),
        EventId::Generated(id) => {
            for part in [(id >> 40) & MASK_40, id & MASK_40] {
                body.bytes(part.to_le_bytes().get(..5).unwrap_or_default());
            }
        }
    }
    body.text(&event.event_type);
    body.text(&event.source);
    if let Some(subject) = &event.subject {
        body.text(subject);
    }
    if let Some(trace) = event.trace {
        body.bytes(&trace.trace_id.to_le_bytes());
        if let Some(span) = trace.span_id {
            body.u64(span);
        }
    }
    body.bytes(event.data.as_bytes());
    *out = body.into_inner();
    let len = out.len() - start - LENGTH_BYTES;
    if let Some(place) = out.get_mut(start..start + LENGTH_BYTES) {
        place.copy_from_slice(&length(len));
    }
}

/// Bytes of a record's length: a varint of fixed size, written when the record is.
const LENGTH_BYTES: usize = 5;

fn length(len: usize) -> [u8; LENGTH_BYTES] {
    let group = |i: usize| u8::try_from((len >> (7 * i)) & 0x7f).unwrap_or(0);
    [group(0) | 0x80, group(1) | 0x80, group(2) | 0x80, group(3) | 0x80, group(4)]
}

fn flags(event: &Event<'_>) -> u8 {
    let bit = |set: bool, bit: u8| if set { bit } else { 0 };
    bit(matches!(event.id, EventId::Generated(_)), GENERATED_ID)
        | bit(event.time_clamped, TIME_CLAMPED)
        | bit(event.subject.is_some(), SUBJECT)
        | bit(event.trace.is_some(), TRACE)
        | bit(event.trace.is_some_and(|it| it.span_id.is_some()), SPAN)
}

/// The bytes of the next record, without its length.
pub(super) fn next<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let n = reader.size()?;
    reader.bytes(n)
}

/// Reads the event that [`encode`] wrote here.
///
/// # Errors
///
/// It ends early, or is not what was written.
pub fn decode_next<'a>(reader: &mut Reader<'a>) -> Result<Event<'a>, DecodeError> {
    next(reader).and_then(decode)
}

/// Reads a record that [`next`] returned.
pub(super) fn decode(record: &[u8]) -> Result<Event<'_>, DecodeError> {
    let mut reader = Reader::new(record);
    let flags = reader.u8()?;
    let has = |bit: u8| flags & bit != 0;
    let received = Time::from_nanos(reader.i64()?);
    let time = Time::from_nanos(received.as_nanos().wrapping_add(reader.signed()?));
    let id = if has(GENERATED_ID) {
        let millis = u128::from(received.as_millis().unsigned_abs()) & ((1 << 48) - 1);
        EventId::Generated(millis << 80 | u40(&mut reader)? << 40 | u40(&mut reader)?)
    } else {
        EventId::Given(Cow::Borrowed(reader.text()?))
    };
    let event_type = Cow::Borrowed(reader.text()?);
    let source = Cow::Borrowed(reader.text()?);
    let subject = if has(SUBJECT) { Some(Cow::Borrowed(reader.text()?)) } else { None };
    let trace = if has(TRACE) {
        let low = u128::from(reader.u64()?);
        let trace_id = u128::from(reader.u64()?) << 64 | low;
        Some(TraceContext { trace_id, span_id: if has(SPAN) { Some(reader.u64()?) } else { None } })
    } else {
        None
    };
    let data = std::str::from_utf8(reader.rest()).map_err(|_| DecodeError::Malformed)?;
    let time_clamped = has(TIME_CLAMPED);
    let data = Cow::Borrowed(data);
    Ok(Event { id, event_type, source, time, received, time_clamped, subject, trace, data })
}

fn u40(reader: &mut Reader<'_>) -> Result<u128, DecodeError> {
    Ok(reader.bytes(5)?.iter().rev().fold(0, |acc, it| acc << 8 | u128::from(*it)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_encoded_reads_back(
            given in prop::option::of("[a-z]{0,9}"),
            names in ("\\PC{1,9}", "\\PC{1,9}"),
            subject in prop::option::of("\\PC{0,9}"),
            trace in prop::option::of((1..u128::MAX, prop::option::of(1..u64::MAX))),
            nanos in (0..i64::MAX, 0..i64::MAX),
            clamped: bool,
        ) {
            let received = Time::from_nanos(nanos.0);
            let ids = crate::event::IdGenerator::new(u64::MAX - 7);
            let event = Event {
                id: given.map_or_else(|| ids.next(received), |it| EventId::Given(it.into())),
                event_type: names.0.into(),
                source: names.1.into(),
                time: Time::from_nanos(nanos.1),
                received,
                time_clamped: clamped,
                subject: subject.map(Into::into),
                trace: trace.map(|(trace_id, span_id)| TraceContext { trace_id, span_id }),
                data: "{\"a\":1}".into(),
            };
            let mut bytes = Vec::new();
            encode(&mut bytes, &event);
            encode(&mut bytes, &event);
            let mut reader = Reader::new(&bytes);
            for _ in 0..2 {
                prop_assert_eq!(&decode(next(&mut reader).unwrap()).unwrap(), &event);
            }
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = decode(&bytes);
            let _ = next(&mut Reader::new(&bytes));
        }
    }
}
