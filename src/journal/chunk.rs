//! The events of one type in one sealed block, or of several rare types together, stored by columns.
//!
//! ```text
//! varint  number of events
//! text    event type; empty if there are several
//! varint  number of shapes
//! varint  number of sections
//! per section: varint 2 * stored bytes + whether they are compressed; if so, varint bytes they unpack to
//! the sections, one after the other
//! ```
//!
//! The first sections are columns of the envelope, see the constants. The others are the values of the
//! data, shape by shape (`shape`). Each is compressed on its own, so that a question reads what it asks
//! about.

mod write;

pub(super) use write::encode;

use super::column;
use super::column::Column;
use super::ints;
use super::pack::Unpacker;
use super::shape::{MAX_VALUES, Shape};
use crate::codec;
use crate::codec::{DecodeError, Reader};
use crate::event::{Event, EventId, Time, TraceContext};
use std::{borrow::Cow, cell::OnceCell, ops::Range};

const VERSION: u8 = 1;

/// Events of one sealed block at most.
pub(super) const MAX_EVENTS: usize = 1 << 16;

/// Positions of the events in the block.
const POSITIONS: usize = 0;
/// Times of arrival, in nanoseconds.
const RECEIVED: usize = 1;
/// Times of the events: one byte that says whether they are stored as differences to the times of
/// arrival, and the column.
const TIMES: usize = 2;
/// What an event has: see the bits.
const FLAGS: usize = 3;
/// Generated ids: the start of the server, and the counter less the position.
const STARTS: usize = 4;
const COUNTERS: usize = 5;
/// The ids that senders gave.
const GIVEN: usize = 6;
const SOURCES: usize = 7;
const SUBJECTS: usize = 8;
const TRACES: usize = 9;
const SPANS: usize = 10;
/// The shapes of the data, and which one each event has.
const SHAPES: usize = 11;
const SHAPE_OF: usize = 12;
/// The types of the events, in a chunk of several.
const TYPES: usize = 13;
/// The first of the values.
const VALUES: usize = 14;

const GENERATED_ID: i64 = 1;
const TIME_CLAMPED: i64 = 2;
const SUBJECT: i64 = 4;
const TRACE: i64 = 8;
const SPAN: i64 = 16;

const MASK_40: u128 = (1 << 40) - 1;

/// Shapes of one chunk at most: each of their values is a section.
const MAX_SHAPES: usize = 32;
const MAX_SECTIONS: usize = VALUES + MAX_SHAPES * MAX_VALUES;

/// A chunk whose sections are unpacked when they are asked for.
#[derive(Debug)]
pub(super) struct Chunk {
    value: Vec<u8>,
    n: usize,
    event_type: String,
    n_shapes: usize,
    sections: Vec<Section>,
    shapes: OnceCell<Shapes>,
}

#[derive(Debug)]
struct Section {
    stored: Range<usize>,
    /// Bytes that it unpacks to, if it is compressed.
    packed: Option<usize>,
    column: OnceCell<Column>,
}

/// The shapes of a chunk.
#[derive(Debug)]
pub(super) struct Shapes {
    pub(super) all: Vec<ShapeOf>,
    /// Which shape each event has, and which of the events of that shape it is; empty if all have one.
    places: Vec<(u8, u32)>,
}

/// A shape in a chunk.
#[derive(Debug)]
pub(super) struct ShapeOf {
    pub(super) shape: Shape,
    /// The section of its first value.
    first: usize,
    /// How many values it has.
    len: usize,
    /// How many events have it.
    count: usize,
}

impl Chunk {
    /// Reads what a chunk has, and none of it.
    pub(super) fn open(value: Vec<u8>) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(codec::unseal(VERSION, &value)?);
        let bounded = |it: usize, max| if it <= max { Ok(it) } else { Err(DecodeError::Malformed) };
        let n = bounded(reader.size()?, MAX_EVENTS)?;
        let event_type = reader.text()?.to_owned();
        let n_shapes = bounded(reader.size()?, MAX_SHAPES)?;
        let n_sections = bounded(reader.size()?, MAX_SECTIONS)?;
        let mut sizes = Vec::new();
        for _ in 0..n_sections {
            let it = reader.size()?;
            sizes.push((it >> 1, if it & 1 == 1 { Some(reader.size()?) } else { None }));
        }
        let mut at = value.len() - reader.rest().len();
        let mut sections = Vec::with_capacity(sizes.len());
        for (size, packed) in sizes {
            let end = at.checked_add(size).filter(|it| *it <= value.len());
            let stored = at..end.ok_or(DecodeError::Malformed)?;
            at = stored.end;
            sections.push(Section { stored, packed, column: OnceCell::new() });
        }
        Ok(Self { value, n, event_type, n_shapes, sections, shapes: OnceCell::new() })
    }

    /// The number of events.
    pub(super) fn len(&self) -> usize {
        self.n
    }

    pub(super) fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Whether there are events of several types.
    pub(super) fn is_mixed(&self) -> bool {
        self.event_type.is_empty()
    }

    /// The types of the events of a mixed chunk.
    pub(super) fn types(&self, unpacker: &mut Unpacker) -> Result<&Column, DecodeError> {
        self.texts(TYPES, if self.is_mixed() { self.n } else { 0 }, unpacker)
    }

    /// Where the events stand in their block, ascending.
    pub(super) fn positions(&self, unpacker: &mut Unpacker) -> Result<&[i64], DecodeError> {
        self.ints(POSITIONS, self.n, unpacker)
    }

    /// The times of the events, in nanoseconds.
    pub(super) fn times(&self, unpacker: &mut Unpacker) -> Result<&[i64], DecodeError> {
        let column = self.column(TIMES, unpacker, |bytes, unpacker| {
            let mut reader = Reader::new(bytes);
            let relative = reader.u8()? != 0;
            let mut times = ints::decode(&mut reader, self.n)?;
            if relative {
                let received = self.ints(RECEIVED, self.n, unpacker)?;
                for (it, received) in times.iter_mut().zip(received) {
                    *it = it.wrapping_add(*received);
                }
            }
            Ok(Column::Integers(times))
        });
        integers(column?)
    }

    /// The sources of the events.
    pub(super) fn sources(&self, unpacker: &mut Unpacker) -> Result<&Column, DecodeError> {
        self.texts(SOURCES, self.n, unpacker)
    }

    /// The shapes of the data.
    pub(super) fn shapes(&self, unpacker: &mut Unpacker) -> Result<&Shapes, DecodeError> {
        if let Some(it) = self.shapes.get() {
            return Ok(it);
        }
        let texts = self.texts(SHAPES, self.n_shapes, unpacker)?;
        let mut all = Vec::with_capacity(self.n_shapes);
        let (mut first, mut buffer) = (VALUES, Vec::new());
        for i in 0..self.n_shapes {
            let shape = Shape::from_bytes(texts.get(i, &mut buffer));
            let len = shape.len();
            all.push(ShapeOf { shape, first, len, count: 0 });
            first += len;
        }
        let mut places = Vec::with_capacity(self.n);
        for it in self.ints(SHAPE_OF, self.n, unpacker)? {
            let number = u8::try_from(*it).map_err(|_| DecodeError::Malformed)?;
            let shape = all.get_mut(usize::from(number)).ok_or(DecodeError::Malformed)?;
            places.push((number, u32::try_from(shape.count).unwrap_or(u32::MAX)));
            shape.count += 1;
        }
        if all.len() == 1 {
            places = Vec::new();
        }
        Ok(self.shapes.get_or_init(|| Shapes { all, places }))
    }

    /// The values of a shape at one place.
    pub(super) fn values(
        &self,
        shape: &ShapeOf,
        at: usize,
        unpacker: &mut Unpacker,
    ) -> Result<&Column, DecodeError> {
        self.texts(shape.first + at, shape.count, unpacker)
    }

    fn ints(&self, at: usize, n: usize, unpacker: &mut Unpacker) -> Result<&[i64], DecodeError> {
        let column = self.column(at, unpacker, |bytes, _| {
            ints::decode(&mut Reader::new(bytes), n).map(Column::Integers)
        });
        integers(column?)
    }

    fn texts(&self, at: usize, n: usize, unpacker: &mut Unpacker) -> Result<&Column, DecodeError> {
        self.column(at, unpacker, |bytes, _| column::decode(&mut Reader::new(bytes), n))
    }

    fn column(
        &self,
        at: usize,
        unpacker: &mut Unpacker,
        decode: impl FnOnce(&[u8], &mut Unpacker) -> Result<Column, DecodeError>,
    ) -> Result<&Column, DecodeError> {
        let section = self.sections.get(at).ok_or(DecodeError::Malformed)?;
        if let Some(it) = section.column.get() {
            return Ok(it);
        }
        let stored = self.value.get(section.stored.clone()).ok_or(DecodeError::Malformed)?;
        let column = match section.packed {
            Some(size) => decode(&unpacker.unpack(stored, size)?, unpacker)?,
            None => decode(stored, unpacker)?,
        };
        Ok(section.column.get_or_init(|| column))
    }

    /// The last event that may have this id.
    pub(super) fn find(
        &self,
        id: &EventId<'_>,
        unpacker: &mut Unpacker,
    ) -> Result<Option<usize>, DecodeError> {
        let flags = self.ints(FLAGS, self.n, unpacker)?;
        let generated = Ranks::new(flags, |it| it & GENERATED_ID != 0);
        let given = Ranks::new(flags, |it| it & GENERATED_ID == 0);
        match id {
            EventId::Given(id) => {
                let ids = self.texts(GIVEN, given.n, unpacker)?;
                let mut buffer = Vec::new();
                let mut same = |i: &usize| {
                    flags.get(*i).is_some_and(|it| it & GENERATED_ID == 0)
                        && ids.get(given.of(*i), &mut buffer) == id.as_bytes()
                };
                Ok((0..self.n).rev().find(&mut same))
            }
            EventId::Generated(id) => {
                let counters = self.ints(COUNTERS, generated.n, unpacker)?;
                let positions = self.positions(unpacker)?;
                let counter = i64::try_from(id & MASK_40).unwrap_or_default();
                let same = |i: &usize| {
                    flags.get(*i).is_some_and(|it| it & GENERATED_ID != 0)
                        && counters
                            .get(generated.of(*i))
                            .zip(positions.get(*i))
                            .is_some_and(|(it, position)| it.wrapping_add(*position) == counter)
                };
                Ok((0..self.n).rev().find(same))
            }
        }
    }

    /// Calls `each` with the source and the id of every event whose sender gave one.
    pub(super) fn given_ids(
        &self,
        unpacker: &mut Unpacker,
        each: &mut dyn FnMut(&str, &str),
    ) -> Result<(), DecodeError> {
        let flags = self.ints(FLAGS, self.n, unpacker)?;
        let given = Ranks::new(flags, |it| it & GENERATED_ID == 0);
        let (ids, sources) = (self.texts(GIVEN, given.n, unpacker)?, self.sources(unpacker)?);
        let (mut id, mut source) = (Vec::new(), Vec::new());
        for (i, _) in flags.iter().enumerate().filter(|(_, it)| **it & GENERATED_ID == 0) {
            let source = text(sources.get(i, &mut source))?;
            each(&source, &text(ids.get(given.of(i), &mut id))?);
        }
        Ok(())
    }

    /// The events, with all columns read.
    pub(super) fn events(&self, unpacker: &mut Unpacker) -> Result<Events<'_>, DecodeError> {
        let flags = self.ints(FLAGS, self.n, unpacker)?;
        let having = |bit: i64| Ranks::new(flags, |it| it & bit != 0);
        let generated = having(GENERATED_ID);
        let given = Ranks::new(flags, |it| it & GENERATED_ID == 0);
        let (subject, trace, span) = (having(SUBJECT), having(TRACE), having(SPAN));
        let shapes = self.shapes(unpacker)?;
        let mut values = Vec::new();
        for shape in &shapes.all {
            for at in 0..shape.len {
                values.push(self.values(shape, at, unpacker)?);
            }
        }
        Ok(Events {
            event_type: &self.event_type,
            types: self.types(unpacker)?,
            received: self.ints(RECEIVED, self.n, unpacker)?,
            times: self.times(unpacker)?,
            flags,
            positions: self.positions(unpacker)?,
            starts: self.ints(STARTS, generated.n, unpacker)?,
            counters: self.ints(COUNTERS, generated.n, unpacker)?,
            ids: self.texts(GIVEN, given.n, unpacker)?,
            sources: self.sources(unpacker)?,
            subjects: self.texts(SUBJECTS, subject.n, unpacker)?,
            traces: self.texts(TRACES, trace.n, unpacker)?,
            spans: self.texts(SPANS, span.n, unpacker)?,
            ranks: [generated, given, subject, trace, span],
            shapes,
            values,
        })
    }
}

fn integers(column: &Column) -> Result<&[i64], DecodeError> {
    match column {
        Column::Integers(it) => Ok(it),
        _ => Err(DecodeError::Malformed),
    }
}

impl Shapes {
    /// The shape of an event, and which of the events of that shape it is.
    pub(super) fn place(&self, event: usize) -> (usize, usize) {
        let place = |(shape, rank): &(u8, u32)| (usize::from(*shape), *rank as usize);
        self.places.get(event).map_or((0, event), place)
    }
}

/// Which of the values of an optional column belongs to which event.
#[derive(Debug)]
struct Ranks {
    /// How many values there are.
    n: usize,
    /// Empty if every event has one, or none has.
    of: Vec<u32>,
}

impl Ranks {
    fn new(flags: &[i64], has: impl Fn(i64) -> bool) -> Self {
        let n = flags.iter().filter(|it| has(**it)).count();
        if n == 0 || n == flags.len() {
            return Self { n, of: Vec::new() };
        }
        let mut rank = 0;
        let mut next = |it: &i64| {
            let res = rank;
            rank += u32::from(has(*it));
            res
        };
        Self { n, of: flags.iter().map(&mut next).collect() }
    }

    fn of(&self, event: usize) -> usize {
        self.of.get(event).map_or(event, |it| *it as usize)
    }
}

/// The events of a chunk.
#[derive(Debug)]
pub(super) struct Events<'c> {
    /// Empty if there are several.
    event_type: &'c str,
    types: &'c Column,
    pub(super) positions: &'c [i64],
    received: &'c [i64],
    times: &'c [i64],
    flags: &'c [i64],
    starts: &'c [i64],
    counters: &'c [i64],
    ids: &'c Column,
    sources: &'c Column,
    subjects: &'c Column,
    traces: &'c Column,
    spans: &'c Column,
    /// Of generated ids, given ids, subjects, traces and spans.
    ranks: [Ranks; 5],
    shapes: &'c Shapes,
    /// The values of all shapes.
    values: Vec<&'c Column>,
}

/// Room for what an event borrows.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    id: Vec<u8>,
    event_type: Vec<u8>,
    source: Vec<u8>,
    subject: Vec<u8>,
    bytes: Vec<u8>,
    data: Vec<u8>,
}

impl Events<'_> {
    /// One event.
    pub(super) fn get<'s>(
        &'s self,
        at: usize,
        scratch: &'s mut Scratch,
    ) -> Result<Event<'s>, DecodeError> {
        let int = |of: &[i64], at: usize| of.get(at).copied().ok_or(DecodeError::Malformed);
        let flags = int(self.flags, at)?;
        let has = |bit: i64| flags & bit != 0;
        let [generated, given, subject, trace, span] = &self.ranks;
        let received = Time::from_nanos(int(self.received, at)?);
        let id = if has(GENERATED_ID) {
            let rank = generated.of(at);
            let counter = int(self.counters, rank)?.wrapping_add(int(self.positions, at)?);
            let low = |it: i64| u128::from(it.cast_unsigned()) & MASK_40;
            let millis = u128::from(received.as_millis().unsigned_abs()) & ((1 << 48) - 1);
            let start = int(self.starts, rank)?;
            EventId::Generated(millis << 80 | low(start) << 40 | low(counter))
        } else {
            EventId::Given(text(self.ids.get(given.of(at), &mut scratch.id))?)
        };
        let subject = match has(SUBJECT) {
            true => Some(text(self.subjects.get(subject.of(at), &mut scratch.subject))?),
            false => None,
        };
        let trace = if has(TRACE) {
            let trace_id = self.traces.get(trace.of(at), &mut scratch.bytes);
            let trace_id = trace_id.try_into().map(u128::from_le_bytes);
            let span_id = match has(SPAN) {
                true => Some(self.spans.get(span.of(at), &mut scratch.bytes)),
                false => None,
            };
            let span_id = span_id.map(|it| it.try_into().map(u64::from_le_bytes)).transpose();
            Some(TraceContext {
                trace_id: trace_id.map_err(|_| DecodeError::Malformed)?,
                span_id: span_id.map_err(|_| DecodeError::Malformed)?,
            })
        } else {
            None
        };
        self.write_data(at, &mut scratch.data)?;
        Ok(Event {
            id,
            event_type: match self.event_type {
                "" => text(self.types.get(at, &mut scratch.event_type))?,
                it => Cow::Borrowed(it),
            },
            source: text(self.sources.get(at, &mut scratch.source))?,
            time: Time::from_nanos(int(self.times, at)?),
            received,
            time_clamped: has(TIME_CLAMPED),
            subject,
            trace,
            data: text(&scratch.data)?,
        })
    }

    fn write_data(&self, at: usize, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        out.clear();
        let (number, rank) = self.shapes.place(at);
        let shape = self.shapes.all.get(number).ok_or(DecodeError::Malformed)?;
        let first = shape.first - VALUES;
        let values = self.values.get(first..first + shape.len).ok_or(DecodeError::Malformed)?;
        let mut pieces = shape.shape.pieces();
        out.extend_from_slice(pieces.next().unwrap_or_default());
        for (piece, value) in pieces.zip(values) {
            value.push(rank, out);
            out.extend_from_slice(piece);
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<Cow<'_, str>, DecodeError> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| DecodeError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::block::into_owned;
    use crate::journal::pack::Packer;
    use proptest::prelude::*;

    fn read(value: Vec<u8>) -> Result<Vec<(i64, Event<'static>)>, DecodeError> {
        let chunk = Chunk::open(value)?;
        let mut unpacker = Unpacker::new();
        let events = chunk.events(&mut unpacker)?;
        let mut scratch = Scratch::default();
        let mut res = Vec::new();
        for at in 0..chunk.len() {
            let position = *events.positions.get(at).ok_or(DecodeError::Malformed)?;
            res.push((position, into_owned(events.get(at, &mut scratch)?)));
        }
        Ok(res)
    }

    fn event() -> impl Strategy<Value = Event<'static>> {
        let data = prop_oneof![
            (0..9u8, "[a-c]{1,2}", any::<i32>())
                .prop_map(|(a, b, c)| format!("{{\"a\":{a},\"b\":\"{b}\",\"c\":{c}}}")),
            (0..9u8).prop_map(|a| format!("{{\"a\":{a}.50,\"list\":[{a},\"x\"]}}")),
            "\\PC{0,9}".prop_map(|a| serde_json::json!({ "ü": a, a: 1 }).to_string()),
            Just("{}".to_owned()),
        ];
        let envelope = (any::<Option<u8>>(), "[t-u]", "[a-c]{1,3}", prop::option::of("[a-c]{0,3}"));
        let trace = prop::option::of((1..u128::MAX, prop::option::of(1..u64::MAX)));
        let times = (0..i64::MAX, prop_oneof![Just(0i64), any::<i64>()]);
        (envelope, trace, times, any::<bool>(), data).prop_map(
            |((id, event_type, source, subject), trace, (received, late), time_clamped, data)| {
                let received = Time::from_nanos(received);
                let id = match id {
                    Some(it) => EventId::Given(it.to_string().into()),
                    None => crate::event::IdGenerator::new(7).next(received),
                };
                Event {
                    id,
                    event_type: event_type.into(),
                    source: source.into(),
                    time: Time::from_nanos(received.as_nanos().wrapping_add(late)),
                    received,
                    time_clamped,
                    subject: subject.map(Into::into),
                    trace: trace.map(|(trace_id, span_id)| TraceContext { trace_id, span_id }),
                    data: data.into(),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn events_read_back(events in prop::collection::vec((1..9u32, event()), 0..60)) {
            let mut position = 0;
            let events: Vec<_> = events
                .into_iter()
                .map(|(step, event)| {
                    position += step;
                    (position, event)
                })
                .collect();
            let mixed = events.iter().any(|(_, it)| it.event_type != "t");
            let name = if mixed { "" } else { "t" };
            let value = encode(name, &events, &mut Packer::new(3).unwrap());
            let found = read(value).unwrap();
            prop_assert_eq!(found.len(), events.len());
            for ((at, found), (position, event)) in found.iter().zip(&events) {
                prop_assert_eq!(*at, i64::from(*position));
                prop_assert_eq!(found, event);
            }
        }

        #[test]
        fn garbage_never_panics(
            events in prop::collection::vec(event(), 1..30),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
            random: Vec<u8>,
        ) {
            let events: Vec<_> = (0..).zip(events).collect();
            let value = encode("", &events, &mut Packer::new(3).unwrap());
            let mut payload = codec::unseal(VERSION, &value).unwrap().to_vec();
            for (at, byte) in flips {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
            // With a sum that is right, so that the damage is not noticed before it is read.
            let _ = read(codec::seal(VERSION, &payload));
            let _ = read(codec::seal(VERSION, &random));
            let _ = read(random);
        }
    }
}
