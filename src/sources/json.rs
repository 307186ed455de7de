//! Our own envelope, and batches of it.
//!
//! A body is read in one pass. The members of an event are kept as the text that came; only those that
//! mean something to us are looked into, and `data` stays text for good.

mod body;
mod envelope;

use super::{BodyError, Invalid, Limits, Parsed, Shape};
use crate::event::{Fields, NewEvent, TraceContext};
use body::{Batch, Body, Element, Seed};
pub(super) use envelope::{Faults, Members, push_string};
use memchr::memmem::Finder;
use serde::de::DeserializeSeed;

/// How JSON becomes events.
pub(super) struct Reader<'l> {
    pub(super) limits: &'l Limits,
    /// Whether every object is a CloudEvent, whatever it looks like.
    cloud_events: bool,
    /// Finds what may be the name of a member with a trace in it.
    trace_name: Finder<'static>,
}

impl<'l> Reader<'l> {
    pub(super) fn new(limits: &'l Limits, cloud_events: bool) -> Self {
        Self { limits, cloud_events, trace_name: Finder::new("\"trace") }
    }

    /// Reads a body that is an event, an array, an object with an array `events`, or NDJSON that does
    /// not say so.
    pub(super) fn body<'a>(&self, text: &'a str) -> Result<Parsed<'a>, BodyError> {
        let mut batch_allowed = true;
        loop {
            let mut json = serde_json::Deserializer::from_str(text);
            let body = Seed(Batch { reader: self, batch_allowed }).deserialize(&mut json);
            match body.map_err(|it| syntax(&it))? {
                Body::Ambiguous => batch_allowed = false,
                Body::TooMany => return Err(BodyError::TooManyEvents(self.limits.events)),
                Body::Scalar => return Err(BodyError::NotAnEvent),
                Body::Many(events) => {
                    json.end().map_err(|it| syntax(&it))?;
                    return Ok(Parsed { shape: Shape::Many, events });
                }
                Body::One(event) => {
                    return match json.end() {
                        Ok(()) => Ok(Parsed { shape: Shape::One, events: vec![event] }),
                        Err(it) if begins_line(text, &it) => super::ndjson::parse(text, self),
                        Err(it) => Err(syntax(&it)),
                    };
                }
            }
        }
    }

    /// Reads one line of NDJSON.
    pub(super) fn line<'a>(
        &self,
        text: &'a str,
    ) -> Result<Result<NewEvent<'a>, Invalid>, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(text);
        let event = Seed(Element(self)).deserialize(&mut json)?;
        json.end()?;
        Ok(event)
    }

    /// The trace that the members of an event's data name.
    pub(super) fn trace_in_data(&self, data: &str) -> Option<TraceContext> {
        self.trace_name.find(data.as_bytes())?;
        let fields = Fields::parse(data).ok()?;
        let text = |name| fields.get(name).and_then(|it| it.text());
        trace(text("traceparent"), text("trace_id"), text("span_id"))
    }
}

/// What the JSON parser says, without the place, which it appends.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason).to_owned()
}

fn syntax(error: &serde_json::Error) -> BodyError {
    BodyError::Syntax { reason: reason(error), line: error.line(), column: error.column() }
}

/// Whether the place of `error` is the first thing in its line, and that is not the first line.
fn begins_line(text: &str, error: &serde_json::Error) -> bool {
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let before = line.as_bytes().get(..error.column().saturating_sub(1)).unwrap_or_default();
    error.line() > 1 && before.iter().all(u8::is_ascii_whitespace)
}

/// The trace that a `traceparent`, or else a trace id and perhaps a span id, name.
fn trace(
    traceparent: Option<&str>,
    trace_id: Option<&str>,
    span_id: Option<&str>,
) -> Option<TraceContext> {
    traceparent
        .and_then(TraceContext::from_traceparent)
        .or_else(|| TraceContext::parse(trace_id?, span_id))
}
