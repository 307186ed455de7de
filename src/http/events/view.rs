//! Events as they are shown.

use crate::event::{Event, EventId, Time};
use crate::history::write_cursor;
use crate::http::error::ApiError;
use crate::http::reply::Text;
use crate::journal::Page;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

/// An event with everything that is known about it. `event_type` and `type`, and `sequence` and
/// `metadata`, say the same: each is the name that some clients read.
#[derive(Serialize)]
struct View<'a> {
    id: Text<&'a EventId<'a>>,
    event_type: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    source: &'a str,
    subject: Option<&'a str>,
    timestamp: Text<Time>,
    received_at: Text<Time>,
    data: Option<&'a RawValue>,
    sequence: u64,
    metadata: Metadata,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    time_clamped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<String>,
}

#[derive(Serialize)]
struct Metadata {
    sequence: u64,
    stream: &'static str,
}

#[derive(Serialize)]
struct PageView<'a> {
    events: Vec<View<'a>>,
    next: Option<String>,
}

/// A page as the older `/api/events` has it.
#[derive(Serialize)]
struct History<'a> {
    events: Vec<View<'a>>,
    total: u64,
    next: Option<String>,
}

/// One event.
pub(super) fn event(sequence: u64, event: &Event<'_>) -> Result<Bytes, ApiError> {
    json(&view(sequence, event))
}

/// A page of events.
pub(super) fn page(page: &Page, ascending: bool) -> Result<Bytes, ApiError> {
    let next = page.next.map(|it| write_cursor(it, ascending));
    json(&PageView { events: views(page).collect(), next })
}

/// The newest events, oldest first, and how many there are in all.
pub(super) fn history(page: &Page, total: u64) -> Result<Bytes, ApiError> {
    let next = page.next.map(|it| write_cursor(it, false));
    let mut events: Vec<_> = views(page).collect();
    events.reverse();
    json(&History { events, total, next })
}

fn views(page: &Page) -> impl Iterator<Item = View<'_>> {
    page.events.iter().map(|(sequence, event)| view(*sequence, event))
}

fn view<'a>(sequence: u64, event: &'a Event<'_>) -> View<'a> {
    View {
        id: Text(&event.id),
        event_type: &event.event_type,
        kind: &event.event_type,
        source: &event.source,
        subject: event.subject.as_deref(),
        timestamp: Text(event.time),
        received_at: Text(event.received),
        data: serde_json::from_str(&event.data).ok(),
        sequence,
        metadata: Metadata { sequence, stream: "events" },
        time_clamped: event.time_clamped,
        trace_id: event.trace.map(|it| format!("{:032x}", it.trace_id)),
        span_id: event.trace.and_then(|it| it.span_id).map(|it| format!("{it:016x}")),
    }
}

fn json(value: &impl Serialize) -> Result<Bytes, ApiError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(ApiError::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TraceContext;
    use crate::journal::Cursor;

    fn sample() -> Event<'static> {
        Event {
            id: EventId::Given("run-7".into()),
            event_type: "t".into(),
            source: "s".into(),
            time: Time::from_millis(1_767_607_200_000),
            received: Time::from_millis(1_767_607_200_500),
            time_clamped: false,
            subject: None,
            trace: None,
            data: "{\"big\":12345678901234567890}".into(),
        }
    }

    #[track_caller]
    fn check(bytes: Result<Bytes, ApiError>, expected: &str) {
        assert_eq!(String::from_utf8(bytes.unwrap().to_vec()).unwrap(), expected);
    }

    #[test]
    fn an_event() {
        check(
            event(3, &sample()),
            r#"{"id":"run-7","event_type":"t","type":"t","source":"s","subject":null,"timestamp":"2026-01-05T10:00:00Z","received_at":"2026-01-05T10:00:00.5Z","data":{"big":12345678901234567890},"sequence":3,"metadata":{"sequence":3,"stream":"events"}}"#,
        );
        let trace = TraceContext { trace_id: 0xabc, span_id: Some(1) };
        let full = Event {
            trace: Some(trace),
            time_clamped: true,
            subject: Some("x".into()),
            data: "{}".into(),
            ..sample()
        };
        check(
            event(3, &full),
            r#"{"id":"run-7","event_type":"t","type":"t","source":"s","subject":"x","timestamp":"2026-01-05T10:00:00Z","received_at":"2026-01-05T10:00:00.5Z","data":{},"sequence":3,"metadata":{"sequence":3,"stream":"events"},"time_clamped":true,"trace_id":"00000000000000000000000000000abc","span_id":"0000000000000001"}"#,
        );
    }

    #[test]
    fn pages() {
        check(page(&Page::default(), false), r#"{"events":[],"next":null}"#);
        let events = vec![(2, sample()), (1, sample())];
        let two = Page { events, next: Some(Cursor(1)), bytes: 0 };
        let text = String::from_utf8(history(&two, 9).unwrap().to_vec()).unwrap();
        let next = write_cursor(Cursor(1), false);
        assert!(text.ends_with(&format!(r#""total":9,"next":"{next}"}}"#)), "{text}");
        let first = text.find("\"sequence\":1").unwrap();
        assert!(first < text.find("\"sequence\":2").unwrap(), "oldest first");
    }
}
