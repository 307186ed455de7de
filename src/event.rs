//! An event: what a sender says happened, once it is well-formed.
//!
//! [`NewEvent`] is what a source parsed; [`Event`] is one that was given its identity and its time of
//! arrival. Both borrow from the request body: nothing is copied before the journal encodes it.
//! `data` is kept as the JSON text that came, and read through [`Fields`] by rules and selectors.

mod fields;
mod id;
mod time;

pub(crate) use fields::Text;
pub use fields::{Fields, Value};
pub use id::{EventId, IdGenerator, MAX_ID_BYTES};
pub use time::{MAX_AHEAD, ParseTimeError, Time};

use std::borrow::Cow;

/// An event as a source parsed it. The source has checked [`Limits`] and that `data` is a JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent<'a> {
    /// The sender's own id: with `source` it identifies the event across retries.
    pub id: Option<Cow<'a, str>>,
    /// What happened, such as `ci_build_completed`. Never empty.
    pub event_type: Cow<'a, str>,
    /// Who says so. Never empty: a source that was not told says `unknown`.
    pub source: Cow<'a, str>,
    /// When it happened, if the sender said.
    pub time: Option<Time>,
    /// The CloudEvents `subject`.
    pub subject: Option<Cow<'a, str>>,
    /// The trace this event belongs to.
    pub trace: Option<TraceContext>,
    /// The JSON text of an object.
    pub data: Cow<'a, str>,
}

/// An accepted event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The sender's id or ours.
    pub id: EventId<'a>,
    /// What happened.
    pub event_type: Cow<'a, str>,
    /// Who says so.
    pub source: Cow<'a, str>,
    /// When it happened; the time of arrival if the sender did not say.
    pub time: Time,
    /// When it arrived.
    pub received: Time,
    /// Whether the sender's time was more than [`MAX_AHEAD`] in the future and was replaced by the time
    /// of arrival.
    pub time_clamped: bool,
    /// The CloudEvents `subject`.
    pub subject: Option<Cow<'a, str>>,
    /// The trace this event belongs to.
    pub trace: Option<TraceContext>,
    /// The JSON text of an object.
    pub data: Cow<'a, str>,
}

/// The identifiers of a W3C trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace id; never zero.
    pub trace_id: u128,
    /// The span id, if known.
    pub span_id: Option<u64>,
}

/// What an event may measure. Sources enforce it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one event's JSON. Default 1 MiB.
    pub event_bytes: usize,
    /// Bytes of `event_type` and of `source`. Default 256.
    pub name_bytes: usize,
    /// How deep arrays and objects may nest. Default 32.
    pub depth: usize,
    /// Members and elements in one event, nested ones included. Default 10 000.
    pub elements: usize,
}

// === impl NewEvent ===

impl<'a> NewEvent<'a> {
    /// The accepted event, which arrived at `received`; `id` is used when the sender gave none.
    #[must_use]
    pub fn accept(self, received: Time, id: impl FnOnce() -> EventId<'a>) -> Event<'a> {
        let time = self.time.unwrap_or(received);
        let time_clamped = time > received.saturating_add(MAX_AHEAD);
        Event {
            id: self.id.map_or_else(id, EventId::Given),
            event_type: self.event_type,
            source: self.source,
            time: if time_clamped { received } else { time },
            received,
            time_clamped,
            subject: self.subject,
            trace: self.trace,
            data: self.data,
        }
    }
}

// === impl TraceContext ===

impl TraceContext {
    /// Reads a trace id of 32 hexadecimal digits and, if given, a span id of 16. An invalid or zero
    /// trace id is no trace (W3C Trace Context 3.2.2.3).
    #[must_use]
    pub fn parse(trace_id: &str, span_id: Option<&str>) -> Option<Self> {
        let trace_id = hex(trace_id, 32).filter(|it| *it != 0)?;
        let span_id = span_id.and_then(|it| hex(it, 16)).and_then(|it| u64::try_from(it).ok());
        Some(Self { trace_id, span_id: span_id.filter(|it| *it != 0) })
    }

    /// Reads a `traceparent`: `00-<trace-id>-<span-id>-<flags>`.
    #[must_use]
    pub fn from_traceparent(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(4, '-').skip(1);
        Self::parse(parts.next()?, parts.next())
    }
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let ok = text.len() == digits && text.bytes().all(|it| it.is_ascii_hexdigit());
    if ok { u128::from_str_radix(text, 16).ok() } else { None }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self { event_bytes: 1 << 20, name_bytes: 256, depth: 32, elements: 10_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = TraceContext::from_traceparent(text).unwrap();
        assert_eq!(format!("{:032x}", trace.trace_id), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(trace.span_id, Some(0xb7ad_6b71_6920_3331));
        for bad in ["", "00", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "x-y-z"] {
            assert_eq!(TraceContext::from_traceparent(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_time_far_ahead_is_replaced_and_flagged() {
        let event = |time| NewEvent {
            id: None,
            event_type: "t".into(),
            source: "s".into(),
            time: Some(Time::from_millis(time)),
            subject: None,
            trace: None,
            data: "{}".into(),
        };
        let now = Time::from_millis(1_000_000);
        let accept = |time| event(time).accept(now, || EventId::Given("x".into()));
        assert!(!accept(1_600_000).time_clamped);
        let clamped = accept(1_600_001);
        assert!(clamped.time_clamped);
        assert_eq!(clamped.time, now);
    }
}
