//! CloudEvents 1.0 over HTTP: structured, batched and binary (the specification's HTTP binding 1.0.2).
//!
//! `type`, `source`, `id`, `time` and `subject` become those of the event, and the extension
//! `traceparent` its trace; other extension attributes are not kept. Data that is no JSON object is put
//! into one: `{"data": ...}`, or `{"data_base64": "..."}` if it is not text.

use super::json::{Faults, Members, Reader, push_string};
use super::{Invalid, Limits, Parsed, Shape};
use crate::event::{MAX_ID_BYTES, NewEvent, Time, TraceContext};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The headers of a CloudEvent in binary mode, as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloudEventHeaders<'a> {
    /// `ce-specversion`.
    pub specversion: Option<&'a [u8]>,
    /// `ce-id`.
    pub id: Option<&'a [u8]>,
    /// `ce-source`.
    pub source: Option<&'a [u8]>,
    /// `ce-type`.
    pub event_type: Option<&'a [u8]>,
    /// `ce-time`.
    pub time: Option<&'a [u8]>,
    /// `ce-subject`.
    pub subject: Option<&'a [u8]>,
    /// `ce-traceparent`.
    pub traceparent: Option<&'a [u8]>,
}

// === structured ===

pub(super) fn structured<'a>(
    members: &Members<'a>,
    reader: &Reader<'_>,
) -> Result<NewEvent<'a>, Invalid> {
    let limit = reader.limits.event.name_bytes;
    let mut faults = Faults::default();
    let version = faults.required_name("specversion", members.specversion, limit);
    check_version(&mut faults, version.as_deref());
    let event_type = faults.required_name("type", members.kind, limit);
    let source = faults.required_name("source", members.source, limit);
    let id = faults.required_name("id", members.id, MAX_ID_BYTES);
    let time = members.time.and_then(|it| faults.time("time", it));
    let subject = faults.text("subject", members.subject);
    let data = structured_data(&mut faults, members);
    faults.data(&data, reader);
    faults.finish()?;
    Ok(NewEvent {
        id,
        event_type: event_type.unwrap_or_default(),
        source: source.unwrap_or_default(),
        time,
        subject,
        trace: members.trace().or_else(|| reader.trace_in_data(&data)),
        data,
    })
}

fn check_version(faults: &mut Faults, version: Option<&str>) {
    if version.is_some_and(|it| it != "1.0") {
        faults.push("specversion", "must be \"1.0\"");
    }
}

fn structured_data<'a>(faults: &mut Faults, members: &Members<'a>) -> Cow<'a, str> {
    if members.data.is_none()
        && let Some(text) = faults.text("data_base64", members.data_base64)
    {
        let Ok(bytes) = STANDARD.decode(text.as_bytes()) else {
            faults.push("data_base64", "must be base64");
            return Cow::Borrowed("{}");
        };
        let media = faults.text("datacontenttype", members.datacontenttype).unwrap_or_default();
        return Cow::Owned(
            data_of(&bytes, &media).map_or_else(|| wrapped("data_base64", &text), Cow::into_owned),
        );
    }
    match members.data {
        None | Some("null") => Cow::Borrowed("{}"),
        Some(it) if it.starts_with('{') => Cow::Borrowed(it),
        Some(it) => Cow::Owned(format!("{{\"data\":{it}}}")),
    }
}

// === binary ===

pub(super) fn binary<'a>(
    body: &'a [u8],
    media: &str,
    headers: &CloudEventHeaders<'a>,
    limits: &Limits,
) -> Parsed<'a> {
    Parsed { shape: Shape::One, events: vec![binary_event(body, media, headers, limits)] }
}

fn binary_event<'a>(
    body: &'a [u8],
    media: &str,
    headers: &CloudEventHeaders<'a>,
    limits: &Limits,
) -> Result<NewEvent<'a>, Invalid> {
    let limit = limits.event.name_bytes;
    let mut faults = Faults::default();
    if body.len() > limits.event.event_bytes {
        let limit = limits.event.event_bytes;
        return Err(Invalid::new(
            "body",
            format!("has {} bytes; the limit is {limit}", body.len()),
        ));
    }
    let mut get =
        |field, value, limit, required| header(&mut faults, field, value, (limit, required));
    let version = get("ce-specversion", headers.specversion, limit, true);
    let event_type = get("ce-type", headers.event_type, limit, true);
    let source = get("ce-source", headers.source, limit, true);
    let id = get("ce-id", headers.id, MAX_ID_BYTES, true);
    let time = get("ce-time", headers.time, limit, false);
    let subject = get("ce-subject", headers.subject, limits.event.event_bytes, false);
    let trace = get("ce-traceparent", headers.traceparent, limits.event.event_bytes, false);
    check_version(&mut faults, version.as_deref());
    let time = time.and_then(|it| match Time::parse(&it) {
        Ok(it) => Some(it),
        Err(it) => {
            faults.push("ce-time", it.to_string());
            None
        }
    });
    let reader = Reader::new(limits, true);
    let data = binary_data(&mut faults, body, media);
    faults.data(&data, &reader);
    faults.finish()?;
    Ok(NewEvent {
        id,
        event_type: event_type.unwrap_or_default(),
        source: source.unwrap_or_default(),
        time,
        subject,
        trace: trace
            .and_then(|it| TraceContext::from_traceparent(&it))
            .or_else(|| reader.trace_in_data(&data)),
        data,
    })
}

/// A header's value: unquoted, then percent-decoded once, then UTF-8.
fn header<'a>(
    faults: &mut Faults,
    field: &'static str,
    value: Option<&'a [u8]>,
    (limit, required): (usize, bool),
) -> Option<Cow<'a, str>> {
    let value = value.map(<[u8]>::trim_ascii).filter(|it| !it.is_empty());
    let Some(value) = value else {
        if required {
            faults.push(field, "is required");
        }
        return None;
    };
    let Some(text) = decode(value) else {
        faults.push(field, "must be UTF-8, percent-encoded");
        return None;
    };
    faults.check_len(field, &text, limit);
    Some(text)
}

fn decode(value: &[u8]) -> Option<Cow<'_, str>> {
    let quoted = value.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\""));
    let Some(inner) = quoted else {
        return percent_encoding::percent_decode(value).decode_utf8().ok();
    };
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        plain.push(if *byte == b'\\' { *bytes.next()? } else { *byte });
    }
    let text = percent_encoding::percent_decode(&plain).decode_utf8().ok()?;
    Some(Cow::Owned(text.into_owned()))
}

fn binary_data<'a>(faults: &mut Faults, body: &'a [u8], media: &str) -> Cow<'a, str> {
    if body.trim_ascii().is_empty() {
        return Cow::Borrowed("{}");
    }
    if let Some(data) = data_of(body, media) {
        return data;
    }
    if is_json(media) {
        faults.push("data", "is not JSON, which its content type says it is");
    }
    match std::str::from_utf8(body) {
        Ok(text) => Cow::Owned(wrapped("data", text)),
        Err(_) => Cow::Owned(wrapped("data_base64", &STANDARD.encode(body))),
    }
}

// === both ===

fn is_json(media: &str) -> bool {
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media.is_empty() || media.ends_with("/json") || media.ends_with("+json")
}

/// The data object of `bytes`, if they are JSON and said to be.
fn data_of<'a>(bytes: &'a [u8], media: &str) -> Option<Cow<'a, str>> {
    let text = if is_json(media) { std::str::from_utf8(bytes).ok()? } else { return None };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let json = serde_json::from_str::<&RawValue>(text).ok()?.get();
    Some(if json.starts_with('{') {
        Cow::Borrowed(json)
    } else {
        Cow::Owned(format!("{{\"data\":{json}}}"))
    })
}

fn wrapped(name: &str, text: &str) -> String {
    let mut res = format!("{{\"{name}\":");
    push_string(&mut res, text);
    res.push('}');
    res
}
