//! Writing a chunk.

use super::{GENERATED_ID, MASK_40, MAX_SHAPES, SPAN, SUBJECT, TIME_CLAMPED, TRACE, VERSION};
use crate::codec;
use crate::codec::Writer;
use crate::event::{Event, EventId};
use crate::journal::column;
use crate::journal::ints;
use crate::journal::pack::Packer;
use crate::journal::shape::Shape;
use hashbrown::HashMap;

/// Events that a shape needs to have sections of its own.
const MIN_EVENTS_OF_SHAPE: usize = 8;

/// The stored form of `events`, with their positions in the block. They are all of `event_type`, or of
/// several types if that is empty.
pub(in crate::journal) fn encode(
    event_type: &str,
    events: &[(u32, Event<'_>)],
    packer: &mut Packer,
) -> Vec<u8> {
    let mut sections = Sections { packer, directory: Writer::default(), bytes: Vec::new(), n: 0 };
    envelope(events, &mut sections);
    let types = match event_type {
        "" => events.iter().map(|(_, it)| it.event_type.as_bytes()).collect(),
        _ => Vec::new(),
    };
    let n_shapes = data(events, &types, &mut sections);
    let mut out = Writer::new(Vec::with_capacity(sections.bytes.len() + 256));
    out.varint(events.len() as u64);
    out.text(event_type);
    out.varint(n_shapes as u64);
    out.varint(sections.n);
    out.bytes(&sections.directory.into_inner());
    out.bytes(&sections.bytes);
    codec::seal(VERSION, &out.into_inner())
}

struct Sections<'p> {
    packer: &'p mut Packer,
    directory: Writer,
    bytes: Vec<u8>,
    n: u64,
}

impl Sections<'_> {
    fn push(&mut self, write: impl FnOnce(&mut Writer)) {
        let mut raw = Writer::default();
        write(&mut raw);
        let raw = raw.into_inner();
        let packed = self.packer.pack(&raw);
        let stored = packed.as_deref().unwrap_or(&raw);
        self.directory.varint((stored.len() as u64) << 1 | u64::from(packed.is_some()));
        if packed.is_some() {
            self.directory.varint(raw.len() as u64);
        }
        self.bytes.extend_from_slice(stored);
        self.n += 1;
    }

    fn ints(&mut self, values: impl Iterator<Item = i64>) {
        let values: Vec<_> = values.collect();
        self.push(|out| ints::encode(out, &values));
    }

    fn texts(&mut self, values: &[&[u8]]) {
        self.push(|out| column::encode(out, values));
    }
}

fn envelope(events: &[(u32, Event<'_>)], out: &mut Sections<'_>) {
    let all = || events.iter().map(|(_, it)| it);
    let texts = |of: &dyn Fn(&'_ Event<'_>) -> Option<Vec<u8>>| -> Vec<Vec<u8>> {
        events.iter().filter_map(|(_, it)| of(it)).collect()
    };
    out.ints(events.iter().map(|(it, _)| i64::from(*it)));
    out.ints(all().map(|it| it.received.as_nanos()));
    out.push(|out| times(events, out));
    out.ints(all().map(flags));
    let generated = |part: fn(u32, u128) -> i64| {
        events.iter().filter_map(move |(at, it)| match it.id {
            EventId::Generated(id) => Some(part(*at, id)),
            EventId::Given(_) => None,
        })
    };
    out.ints(generated(|_, id| low_bits(id >> 40)));
    out.ints(generated(|at, id| low_bits(id) - i64::from(at)));
    let of = |values: &[Vec<u8>], out: &mut Sections<'_>| {
        out.texts(&values.iter().map(Vec::as_slice).collect::<Vec<_>>());
    };
    let given = |it: &Event<'_>| match &it.id {
        EventId::Given(id) => Some(id.as_bytes().to_vec()),
        EventId::Generated(_) => None,
    };
    of(&texts(&given), out);
    out.texts(&all().map(|it| it.source.as_bytes()).collect::<Vec<_>>());
    of(&texts(&|it| it.subject.as_ref().map(|it| it.as_bytes().to_vec())), out);
    of(&texts(&|it| it.trace.map(|it| it.trace_id.to_le_bytes().to_vec())), out);
    of(&texts(&|it| Some(it.trace?.span_id?.to_le_bytes().to_vec())), out);
}

/// Writes the event times as they are or relative to the times of arrival, whichever is smaller.
fn times(events: &[(u32, Event<'_>)], out: &mut Writer) {
    let written = |values: Vec<i64>| {
        let mut out = Writer::default();
        ints::encode(&mut out, &values);
        out.into_inner()
    };
    let absolute = written(events.iter().map(|(_, it)| it.time.as_nanos()).collect());
    let late = |it: &Event<'_>| it.time.as_nanos().wrapping_sub(it.received.as_nanos());
    let relative = written(events.iter().map(|(_, it)| late(it)).collect());
    let use_relative = relative.len() <= absolute.len();
    out.u8(u8::from(use_relative));
    out.bytes(if use_relative { &relative } else { &absolute });
}

fn flags(event: &Event<'_>) -> i64 {
    let bit = |set: bool, bit: i64| if set { bit } else { 0 };
    bit(matches!(event.id, EventId::Generated(_)), GENERATED_ID)
        | bit(event.time_clamped, TIME_CLAMPED)
        | bit(event.subject.is_some(), SUBJECT)
        | bit(event.trace.is_some(), TRACE)
        | bit(event.trace.is_some_and(|it| it.span_id.is_some()), SPAN)
}

fn low_bits(id: u128) -> i64 {
    i64::try_from(id & MASK_40).unwrap_or_default()
}

/// Writes the sections from the shapes on; returns the number of shapes.
fn data(events: &[(u32, Event<'_>)], types: &[&[u8]], out: &mut Sections<'_>) -> usize {
    let mut numbers = HashMap::<Shape, usize>::new();
    let mut members = Vec::<(Shape, Vec<(usize, Vec<&str>)>)>::new();
    let mut rest = Vec::new();
    for (i, (_, event)) in events.iter().enumerate() {
        let Some((shape, values)) = Shape::split(&event.data) else {
            rest.push(i);
            continue;
        };
        let number = *numbers.entry(shape).or_insert_with_key(|shape| {
            members.push((shape.clone(), Vec::new()));
            members.len() - 1
        });
        if let Some((_, members)) = members.get_mut(number) {
            members.push((i, values));
        }
    }
    members.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
    // What hardly any event has would cost more than it saves; but a lone shape has all.
    let least = if rest.is_empty() && members.len() == 1 { 1 } else { MIN_EVENTS_OF_SHAPE };
    let common = members.iter().take_while(|(_, members)| members.len() >= least).count();
    let rare = members.split_off(common.min(MAX_SHAPES - 1));
    rest.extend(rare.into_iter().flat_map(|(_, members)| members).map(|(i, _)| i));
    rest.sort_unstable();
    if !rest.is_empty() {
        let whole = |i: usize| events.get(i).map(|(_, it)| (i, vec![it.data.as_ref()]));
        members.push((Shape::whole(), rest.into_iter().filter_map(whole).collect()));
    }
    let mut shape_of = vec![0; events.len()];
    for (number, (_, members)) in members.iter().enumerate() {
        for (i, _) in members {
            if let Some(it) = shape_of.get_mut(*i) {
                *it = i64::try_from(number).unwrap_or_default();
            }
        }
    }
    out.texts(&members.iter().map(|(shape, _)| shape.as_bytes()).collect::<Vec<_>>());
    out.ints(shape_of.into_iter());
    out.texts(types);
    for (shape, members) in &members {
        for at in 0..shape.len() {
            let values = members.iter().filter_map(|(_, it)| it.get(at).map(|it| it.as_bytes()));
            out.texts(&values.collect::<Vec<_>>());
        }
    }
    members.len()
}
