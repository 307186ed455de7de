//! The members of an object, and the event they make.

use super::{Reader, trace};
use crate::event::{MAX_ID_BYTES, NewEvent, Time, TraceContext};
use crate::sources::{FieldError, Invalid, cloudevents, scan};
use std::borrow::Cow;

/// The `source` of an event that does not say.
const UNKNOWN_SOURCE: &str = "unknown";

/// The members of an object: those with a meaning by name, each as the text of its value.
#[derive(Default)]
pub(in crate::sources) struct Members<'a> {
    pub(in crate::sources) event_type: Option<&'a str>,
    pub(in crate::sources) kind: Option<&'a str>,
    pub(in crate::sources) source: Option<&'a str>,
    pub(in crate::sources) id: Option<&'a str>,
    pub(in crate::sources) timestamp: Option<&'a str>,
    pub(in crate::sources) time: Option<&'a str>,
    pub(in crate::sources) subject: Option<&'a str>,
    pub(in crate::sources) data: Option<&'a str>,
    pub(in crate::sources) traceparent: Option<&'a str>,
    pub(in crate::sources) trace_id: Option<&'a str>,
    pub(in crate::sources) span_id: Option<&'a str>,
    pub(in crate::sources) specversion: Option<&'a str>,
    pub(in crate::sources) data_base64: Option<&'a str>,
    pub(in crate::sources) datacontenttype: Option<&'a str>,
    /// All others, in order.
    other: Vec<(Cow<'a, str>, &'a str)>,
    /// Bytes of the names and values, with their punctuation.
    len: usize,
}

/// Collects what is wrong with one event, so that the sender learns everything at once.
#[derive(Default)]
pub(in crate::sources) struct Faults(Vec<FieldError>);

/// A member that should be a string.
enum Scalar<'a> {
    /// Not there, `null`, or an empty string: senders from shells write what they do not know as `""`.
    Absent,
    Text(Cow<'a, str>),
    /// A number, as it was written.
    Number(&'a str),
    Other,
}

impl<'a> Members<'a> {
    pub(super) fn put(&mut self, name: Cow<'a, str>, value: &'a str) {
        self.len += name.len() + value.len() + r#""":,"#.len();
        let slot = match name.as_ref() {
            "event_type" => &mut self.event_type,
            "type" => &mut self.kind,
            "source" => &mut self.source,
            "id" => &mut self.id,
            "timestamp" => &mut self.timestamp,
            "time" => &mut self.time,
            "subject" => &mut self.subject,
            "data" => &mut self.data,
            "traceparent" => &mut self.traceparent,
            "trace_id" => &mut self.trace_id,
            "span_id" => &mut self.span_id,
            "specversion" => &mut self.specversion,
            "data_base64" => &mut self.data_base64,
            "datacontenttype" => &mut self.datacontenttype,
            _ => return self.other.push((name, value)),
        };
        *slot = Some(value);
    }

    pub(super) fn has_type(&self) -> bool {
        self.event_type.is_some() || self.kind.is_some()
    }

    pub(super) fn into_event(self, reader: &Reader<'_>) -> Result<NewEvent<'a>, Invalid> {
        let limits = &reader.limits.event;
        let mut faults = Faults::default();
        if self.len > limits.event_bytes {
            // Nothing else is looked at: it would cost what the limit is to save.
            let reason = format!(
                "has {} bytes; the limit for one event is {}",
                self.len, limits.event_bytes
            );
            return Err(Invalid::new("body", reason));
        }
        if reader.cloud_events || self.specversion.is_some() {
            return cloudevents::structured(&self, reader);
        }
        let (field, value) = match self.event_type {
            Some(it) => ("event_type", Some(it)),
            None if self.kind.is_some() => ("type", self.kind),
            None => ("event_type", None),
        };
        let event_type = faults.required_name(field, value, limits.name_bytes);
        let source = faults.name("source", self.source, limits.name_bytes);
        let id = faults.id(self.id);
        let time = match self.timestamp {
            Some(it) => faults.time("timestamp", it),
            None => self.time.and_then(|it| faults.time("time", it)),
        };
        let (data, flat) = match self.data {
            Some(it) if it != "null" => (Cow::Borrowed(it), false),
            _ => (self.rest(), true),
        };
        let subject = if flat { self.subject_text() } else { faults.text("subject", self.subject) };
        faults.data(&data, reader);
        faults.finish()?;
        Ok(NewEvent {
            id,
            event_type: event_type.unwrap_or_default(),
            source: source.unwrap_or(Cow::Borrowed(UNKNOWN_SOURCE)),
            time,
            subject,
            trace: self.trace().or_else(|| reader.trace_in_data(&data)),
            data,
        })
    }

    /// The trace that the envelope names.
    pub(in crate::sources) fn trace(&self) -> Option<TraceContext> {
        if self.traceparent.is_none() && self.trace_id.is_none() {
            return None;
        }
        let text = |it| match scalar(it) {
            Scalar::Text(it) => Some(it),
            _ => None,
        };
        let (parent, trace_id) = (text(self.traceparent), text(self.trace_id));
        trace(parent.as_deref(), trace_id.as_deref(), text(self.span_id).as_deref())
    }

    fn subject_text(&self) -> Option<Cow<'a, str>> {
        match scalar(self.subject) {
            Scalar::Text(it) => Some(it),
            _ => None,
        }
    }

    /// The data of an event without `data`: an object of all members that the envelope did not take.
    fn rest(&self) -> Cow<'a, str> {
        let left = [
            ("type", self.kind.filter(|_| self.event_type.is_some())),
            ("time", self.time.filter(|_| self.timestamp.is_some())),
            ("subject", self.subject.filter(|_| self.subject_text().is_none())),
            ("traceparent", self.traceparent),
            ("trace_id", self.trace_id),
            ("span_id", self.span_id),
            ("data_base64", self.data_base64),
            ("datacontenttype", self.datacontenttype),
        ];
        let other = self.other.iter().map(|(name, value)| (name.as_ref(), *value));
        let left = left.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let mut res = String::new();
        for (name, value) in other.chain(left) {
            res.push(if res.is_empty() { '{' } else { ',' });
            push_string(&mut res, name);
            res.push(':');
            res.push_str(value);
        }
        if res.is_empty() {
            return Cow::Borrowed("{}");
        }
        res.push('}');
        Cow::Owned(res)
    }
}

/// Appends `text` as a JSON string.
pub(in crate::sources) fn push_string(out: &mut String, text: &str) {
    if text.bytes().any(|it| it < b' ' || matches!(it, b'"' | b'\\')) {
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

fn scalar(text: Option<&str>) -> Scalar<'_> {
    let Some(text) = text else { return Scalar::Absent };
    if let Some(inner) = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')) {
        if inner.is_empty() {
            return Scalar::Absent;
        }
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            return Scalar::Text(Cow::Borrowed(inner));
        }
        return serde_json::from_str(text).map_or(Scalar::Other, |it| Scalar::Text(Cow::Owned(it)));
    }
    match text.bytes().next() {
        Some(b'n') => Scalar::Absent,
        Some(b'-' | b'0'..=b'9') => Scalar::Number(text),
        _ => Scalar::Other,
    }
}

impl Faults {
    pub(in crate::sources) fn push(
        &mut self,
        field: &'static str,
        reason: impl Into<Cow<'static, str>>,
    ) {
        self.0.push(FieldError { field, reason: reason.into() });
    }

    pub(in crate::sources) fn finish(self) -> Result<(), Invalid> {
        if self.0.is_empty() { Ok(()) } else { Err(Invalid { fields: self.0 }) }
    }

    /// A member that may be absent, and else is a string.
    pub(in crate::sources) fn text<'a>(
        &mut self,
        field: &'static str,
        value: Option<&'a str>,
    ) -> Option<Cow<'a, str>> {
        match scalar(value) {
            Scalar::Absent => None,
            Scalar::Text(it) => Some(it),
            Scalar::Number(_) | Scalar::Other => {
                self.push(field, "must be a string");
                None
            }
        }
    }

    /// A string of at most `limit` bytes.
    pub(in crate::sources) fn name<'a>(
        &mut self,
        field: &'static str,
        value: Option<&'a str>,
        limit: usize,
    ) -> Option<Cow<'a, str>> {
        let text = self.text(field, value)?;
        self.check_len(field, &text, limit);
        Some(text)
    }

    /// A string of at most `limit` bytes that must be there and not be empty.
    pub(in crate::sources) fn required_name<'a>(
        &mut self,
        field: &'static str,
        value: Option<&'a str>,
        limit: usize,
    ) -> Option<Cow<'a, str>> {
        match scalar(value) {
            Scalar::Absent if value == Some("\"\"") => {
                self.push(field, "must not be empty");
                None
            }
            Scalar::Absent => {
                self.push(field, "is required");
                None
            }
            _ => self.name(field, value, limit),
        }
    }

    pub(in crate::sources) fn check_len(&mut self, field: &'static str, text: &str, limit: usize) {
        if text.len() > limit {
            self.push(field, format!("has {} bytes; the limit is {limit}", text.len()));
        }
    }

    /// The sender's id: a string, or a number, which is taken as it is written.
    pub(in crate::sources) fn id<'a>(&mut self, value: Option<&'a str>) -> Option<Cow<'a, str>> {
        let text = match scalar(value) {
            Scalar::Absent => return None,
            Scalar::Text(it) => it,
            Scalar::Number(it) => Cow::Borrowed(it),
            Scalar::Other => {
                self.push("id", "must be a string or a number");
                return None;
            }
        };
        self.check_len("id", &text, MAX_ID_BYTES);
        Some(text)
    }

    pub(in crate::sources) fn time(&mut self, field: &'static str, value: &str) -> Option<Time> {
        let text = match scalar(Some(value)) {
            Scalar::Absent => return None,
            Scalar::Text(it) => it,
            Scalar::Number(it) => Cow::Borrowed(it),
            Scalar::Other => {
                self.push(field, "must be a string or a number");
                return None;
            }
        };
        match Time::parse(&text) {
            Ok(it) => Some(it),
            Err(it) => {
                self.push(field, it.to_string());
                None
            }
        }
    }

    /// Checks that `data` is an object within the limits.
    pub(in crate::sources) fn data(&mut self, data: &str, reader: &Reader<'_>) {
        if !data.starts_with('{') {
            self.push("data", "must be an object");
        } else if let Err(reason) = scan::check(data, &reader.limits.event) {
            self.push("data", reason);
        }
    }
}
