//! Which events of a chunk a question wants, told from as few columns as possible.

use super::chunk::Chunk;
use super::column::Column;
use super::header::Header;
use super::pack::Unpacker;
use super::query::{Ask, Query};
use super::shape::Place;
use crate::codec::DecodeError;
use crate::event::Value;
use crate::selector::{Matcher, Path, Selector, Text, text_of};
use std::ops::Range;

/// Whether an event is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    No,
    /// The columns do not tell: the event has to be looked at.
    Maybe,
    Yes,
}

/// For every event of a chunk, whether `ask` wants it and whether its sequence number is in `range`.
pub(super) fn select(
    chunk: &Chunk,
    header: &Header,
    ask: &Ask<'_>,
    range: &Range<u64>,
    unpacker: &mut Unpacker,
) -> Result<Vec<Wanted>, DecodeError> {
    let query = ask.query;
    let mut res = vec![Wanted::Yes; chunk.len()];
    if range.start > header.first || range.end < header.end() {
        for (it, position) in res.iter_mut().zip(chunk.positions(unpacker)?) {
            keep(it, range.contains(&header.first.saturating_add_signed(*position)));
        }
    }
    if chunk.is_mixed() {
        let types = chunk.types(unpacker)?;
        let only = |it: &str| ask.only.is_none_or(|only| only.iter().any(|only| **only == *it));
        let known = |it: &[u8]| text(it).is_some_and(|it| only(it) && query.wants_type(it));
        test(types, &mut res, Some, known);
    }
    let (oldest, newest) = header.time;
    if query.since.is_some_and(|it| oldest < it) || query.until.is_some_and(|it| newest >= it) {
        let since = query.since.map_or(i64::MIN, |it| it.as_nanos());
        let before = |it: i64| query.until.is_none_or(|until| it < until.as_nanos());
        for (it, time) in res.iter_mut().zip(chunk.times(unpacker)?) {
            keep(it, *time >= since && before(*time));
        }
    }
    if !query.sources.is_empty() && any(&res) {
        let known = |it: &[u8]| query.sources.iter().any(|source| source.as_bytes() == it);
        test(chunk.sources(unpacker)?, &mut res, Some, known);
    }
    if !query.matches.is_empty() && any(&res) {
        narrow(chunk, query, &mut res, unpacker)?;
    }
    Ok(res)
}

/// Whether any event may be wanted.
pub(super) fn any(wanted: &[Wanted]) -> bool {
    wanted.iter().any(|it| *it != Wanted::No)
}

fn keep(it: &mut Wanted, condition: bool) {
    if !condition {
        *it = Wanted::No;
    }
}

/// Keeps what one of the selectors of `query` matches.
fn narrow(
    chunk: &Chunk,
    query: &Query,
    wanted: &mut [Wanted],
    unpacker: &mut Unpacker,
) -> Result<(), DecodeError> {
    if chunk.is_mixed() {
        // Each event may match another of the selectors.
        wanted.iter_mut().for_each(|it| *it = (*it).min(Wanted::Maybe));
        return Ok(());
    }
    let mut matched = vec![Wanted::No; wanted.len()];
    for selector in query.matches.iter().filter(|it| it.could_match_type(chunk.event_type())) {
        let mut these = wanted.to_vec();
        narrow_by(chunk, selector, &mut these, unpacker)?;
        for (it, this) in matched.iter_mut().zip(these) {
            *it = (*it).max(this);
        }
    }
    wanted.copy_from_slice(&matched);
    Ok(())
}

/// Keeps what `selector` matches, whose glob matches the type.
fn narrow_by(
    chunk: &Chunk,
    selector: &Selector,
    wanted: &mut [Wanted],
    unpacker: &mut Unpacker,
) -> Result<(), DecodeError> {
    for matcher in selector.matchers() {
        if !any(wanted) {
            return Ok(());
        }
        match matcher.path() {
            Path::Type => {
                let holds = matcher.holds(&Text::borrowed(chunk.event_type()));
                wanted.iter_mut().for_each(|it| keep(it, holds));
            }
            Path::Source => {
                let holds =
                    |it: &[u8]| text(it).is_none_or(|it| matcher.holds(&Text::borrowed(it)));
                test(chunk.sources(unpacker)?, wanted, Some, holds);
            }
            Path::Data(path) => {
                let shapes = chunk.shapes(unpacker)?;
                for (number, shape) in shapes.all.iter().enumerate() {
                    let rank = |i: usize| {
                        let (of, rank) = shapes.place(i);
                        (of == number).then_some(rank)
                    };
                    match shape.shape.place(path) {
                        Place::Value(at, quoted) => {
                            let column = chunk.values(shape, at, unpacker)?;
                            test(column, wanted, rank, |it| holds(matcher, it, quoted));
                        }
                        Place::Missing if matcher.holds(&Text::Missing) => {}
                        place => {
                            let most =
                                if place == Place::Missing { Wanted::No } else { Wanted::Maybe };
                            let of_shape = |(i, _): &(usize, _)| rank(*i).is_some();
                            for (_, it) in wanted.iter_mut().enumerate().filter(of_shape) {
                                *it = (*it).min(most);
                            }
                        }
                    }
                }
            }
            _ => wanted.iter_mut().for_each(|it| *it = (*it).min(Wanted::Maybe)),
        }
    }
    Ok(())
}

/// Keeps the events whose value `holds`; `rank` says which value an event has, if any.
fn test(
    column: &Column,
    wanted: &mut [Wanted],
    rank: impl Fn(usize) -> Option<usize>,
    holds: impl Fn(&[u8]) -> bool,
) {
    let todo = wanted.iter_mut().enumerate().filter(|(_, it)| **it != Wanted::No);
    let todo = todo.filter_map(|(i, it)| rank(i).map(|rank| (rank, it)));
    if let Column::Dictionary(entries, places) = column {
        // Every different value is looked at once.
        let holds: Vec<_> = entries.iter().map(|it| holds(it)).collect();
        for (rank, it) in todo {
            let place = places.get(rank).map_or(usize::MAX, |it| *it as usize);
            keep(it, holds.get(place).copied().unwrap_or_default());
        }
    } else {
        let mut buffer = Vec::new();
        for (rank, it) in todo {
            keep(it, holds(column.get(rank, &mut buffer)));
        }
    }
}

/// Whether `matcher` holds for a value as it stands in JSON, inside quotes or bare. What cannot be read
/// is left to who reads the whole event.
fn holds(matcher: &Matcher, value: &[u8], quoted: bool) -> bool {
    let Some(value) = text(value) else { return true };
    if quoted && memchr::memchr(b'\\', value.as_bytes()).is_none() {
        return matcher.holds(&Text::borrowed(value));
    }
    let json = if quoted { &format!("\"{value}\"") } else { value };
    Value::parse(json).is_none_or(|it| matcher.holds(&text_of(it)))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
