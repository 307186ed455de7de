//! What a client asks of a stream: which events, and from where on.

use crate::event::{Event, Time};
use crate::http::endpoint::Call;
use crate::http::error::ApiError;
use crate::http::params;
use crate::http::query;
use crate::journal::{Cursor, Journal, Query, QueryError};
use crate::selector::Selector;
use std::ops::ControlFlow;

/// Events of `history`.
const MAX_HISTORY: usize = 10_000;

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    /// Types, sources and selectors; nothing else of it.
    pub(super) query: Query,
    /// Of which one must match, if there are any.
    severities: Vec<Selector>,
    /// Whether what happens to groups of pushes is wanted as well.
    pub(super) pushes: bool,
}

/// From where on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// What comes now.
    Now,
    /// What follows this sequence number.
    After(u64),
    /// What has arrived since.
    Since(Time),
    /// So many of those that are there already.
    Last(usize),
}

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The first sequence number.
    pub(super) first: u64,
    pub(super) reset: Option<Reset>,
}

/// Why a stream does not go on where the client was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reset {
    /// `retention`: events in between were deleted. `ahead`: this journal does not go that far.
    pub(super) reason: &'static str,
    /// The sequence number that the client had seen.
    pub(super) since: u64,
    /// How many events are gone, if that is known.
    pub(super) missing: Option<u64>,
}

/// Reads what `call` asks; `history` is how many events come first if it does not say.
pub(super) fn read(call: &Call, history: usize, now: Time) -> Result<(Filter, Start), ApiError> {
    let mut filter = Filter::default();
    let mut start = if history > 0 { Start::Last(history) } else { Start::Now };
    for (name, value) in params::params(&call.uri) {
        match name.as_ref() {
            "since" => start = since(&value, now)?,
            "history" => start = last(&value)?,
            "severity" => filter.severities.extend(severities(&value)?),
            "pushes" => filter.pushes = params::flag(&name, &value)?,
            "ticket" => {}
            "until" => return Err(unknown("until")),
            _ if query::filter(&mut filter.query, &name, &value, now)? => {}
            _ => return Err(unknown(&name)),
        }
    }
    // A browser that comes back asks for the same address; where it was stands in the header.
    if let Some(id) = call.header("last-event-id").filter(|it| !it.is_empty()) {
        let id = id.trim().parse().map_err(|_| {
            ApiError::parameter(
                "Last-Event-ID",
                "must be the id of an event of this stream, such as 4711",
            )
        })?;
        start = Start::After(id);
    }
    Ok((filter, start))
}

fn unknown(name: &str) -> ApiError {
    let reason = format!(
        "is not a parameter here: there are match, type, source, severity, since, history, pushes and ticket; a field of the data is asked for as match=*{{{}=\"...\"}}",
        if name.is_empty() || name == "until" { "status" } else { name }
    );
    ApiError::parameter(name, reason)
}

/// A whole number is a sequence number; anything else is a time.
fn since(value: &str, now: Time) -> Result<Start, ApiError> {
    if !value.is_empty() && value.bytes().all(|it| it.is_ascii_digit()) {
        let seq = value.parse().map_err(|_| {
            ApiError::parameter(
                "since",
                "must be a sequence number such as 4711, or how long ago such as 2h",
            )
        })?;
        return Ok(Start::After(seq));
    }
    params::time("since", value, now).map(Start::Since)
}

fn last(value: &str) -> Result<Start, ApiError> {
    let count = value.parse().ok().filter(|it| *it <= MAX_HISTORY);
    match count {
        Some(0) => Ok(Start::Now),
        Some(it) => Ok(Start::Last(it)),
        None => {
            let reason = format!("must be 0 to {MAX_HISTORY}, such as history=100");
            Err(ApiError::parameter("history", reason))
        }
    }
}

fn severities(value: &str) -> Result<Vec<Selector>, ApiError> {
    let names = value.split(',').map(str::trim).filter(|it| !it.is_empty());
    let selectors = names
        .map(|it| query::selector("severity", &format!("*{{severity={}}}", query::quoted(it))));
    let selectors: Vec<_> = selectors.collect::<Result<_, _>>()?;
    if selectors.is_empty() {
        return Err(ApiError::parameter(
            "severity",
            "is empty: leave it out, or name one or more, such as critical,high",
        ));
    }
    Ok(selectors)
}

// === impl Filter ===

impl Filter {
    /// Whether `event` is wanted.
    pub(super) fn wants(&self, event: &Event<'_>) -> bool {
        self.query.wants(event) && self.is_severe(event)
    }

    /// The part that the journal does not look at.
    pub(super) fn is_severe(&self, event: &Event<'_>) -> bool {
        self.severities.is_empty() || self.severities.iter().any(|it| it.matches_event(event))
    }
}

// === impl Start ===

impl Start {
    /// Where that is in `journal`, of which what is before `end` is committed. Blocking.
    pub(super) fn find(
        self,
        journal: &Journal,
        end: u64,
        filter: &Filter,
    ) -> Result<Place, QueryError> {
        let place = |first| Place { first, reset: None };
        match self {
            Self::Now => Ok(place(end)),
            Self::Since(time) => journal.arrived_since(time).map(|it| place(it.min(end))),
            Self::Last(count) => newest(journal, end, filter, count).map(place),
            Self::After(since) => {
                let first = since.saturating_add(1);
                if first > end {
                    let reset = Reset { reason: "ahead", since, missing: None };
                    return Ok(Place { first: end, reset: Some(reset) });
                }
                let missing = journal.missing(first);
                let reset = Reset { reason: "retention", since, missing: Some(missing) };
                let first = first.max(journal.first()).min(end);
                Ok(Place { first, reset: (missing > 0).then_some(reset) })
            }
        }
    }
}

/// The sequence number of the first of the newest `count` events that are wanted.
fn newest(journal: &Journal, end: u64, filter: &Filter, count: usize) -> Result<u64, QueryError> {
    let query = Query { cursor: Some(Cursor(end)), ..filter.query.clone() };
    let (mut left, mut first) = (count, end);
    journal.each(&query, |seq, event| {
        if filter.is_severe(event) {
            (left, first) = (left.saturating_sub(1), seq);
        }
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(first)
}
