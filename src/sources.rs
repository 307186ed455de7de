//! From the bytes of a request to events. One file per dialect; pure.
//!
//! Everything borrows from the body. An element of a batch stands for itself: one that is wrong is reported
//! and spoils no other. Only a body that cannot be taken apart at all is refused whole.

mod cloudevents;
mod json;
mod ndjson;
mod scan;

pub use cloudevents::CloudEventHeaders;

use crate::event;
use crate::event::NewEvent;
use json::Reader;
use std::borrow::Cow;

/// What a request says about its body.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestMeta<'a> {
    /// The `Content-Type` header.
    pub content_type: Option<&'a str>,
    /// The `ce-*` headers, if there is any: the body then is the data of one CloudEvent.
    pub cloud_event: Option<CloudEventHeaders<'a>>,
}

/// What a body may measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What one event may measure.
    pub event: event::Limits,
    /// Events in one body. Default 100 000.
    pub events: usize,
}

/// A body taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// Whether the body is an event or a batch of them.
    pub shape: Shape,
    /// The events in order; of an event that is wrong, what is wrong.
    pub events: Vec<Result<NewEvent<'a>, Invalid>>,
}

/// How a body holds its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// It is one event.
    One,
    /// It is a batch, perhaps of one or none.
    Many,
}

/// What is wrong with one event. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The fields at fault.
    pub fields: Vec<FieldError>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Its name as the sender knows it; `body` if it is the event as a whole.
    pub field: &'static str,
    /// What it must be, such as `must be a string`.
    pub reason: Cow<'static, str>,
}

/// Why a body could not be taken apart. Nothing of it is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The media type is none of ours.
    #[error(
        "the content type {0:?} is not supported: send application/json, application/x-ndjson or application/cloudevents+json"
    )]
    MediaType(String),
    /// The body is said to be in another encoding than UTF-8.
    #[error("the charset {0:?} is not supported: send UTF-8")]
    Charset(String),
    /// The body is not UTF-8.
    #[error("the body is not UTF-8: byte {offset} is wrong")]
    NotUtf8 {
        /// The first byte that is wrong, counted from 0.
        offset: usize,
    },
    /// There is nothing in the body.
    #[error("the body is empty: send a JSON object with an event_type")]
    Empty,
    /// The body is not JSON.
    #[error("the body is not JSON: {reason} at line {line} column {column}")]
    Syntax {
        /// What the parser expected.
        reason: String,
        /// The line, counted from 1.
        line: usize,
        /// The byte in that line, counted from 1.
        column: usize,
    },
    /// The body is JSON, but neither an event nor a batch.
    #[error("the body must be a JSON object, an array of objects, or one object per line")]
    NotAnEvent,
    /// There are too many events in one body.
    #[error("the body has more than {0} events: send smaller batches")]
    TooManyEvents(usize),
}

/// Takes the body of a request apart.
///
/// `Content-Type` decides the dialect; a type that says nothing (absent, `text/plain`, and what `curl -d`
/// sends) is told by the body: an object, an array, or one object per line.
///
/// # Errors
///
/// The body cannot be taken apart.
pub fn parse<'a>(
    body: &'a [u8],
    meta: &RequestMeta<'a>,
    limits: &Limits,
) -> Result<Parsed<'a>, BodyError> {
    let media = media_type(meta.content_type.unwrap_or_default());
    let dialect = dialect(media)?;
    if let (Dialect::Json, Some(headers)) | (Dialect::Other, Some(headers)) =
        (dialect, &meta.cloud_event)
    {
        return Ok(cloudevents::binary(body, media, headers, limits));
    }
    check_charset(meta.content_type.unwrap_or_default())?;
    let text = text(body)?;
    let reader = Reader::new(limits, matches!(dialect, Dialect::CloudEvents));
    match dialect {
        Dialect::Json | Dialect::CloudEvents => reader.body(text),
        Dialect::Ndjson => ndjson::parse(text, &reader),
        Dialect::Other => Err(BodyError::MediaType(media.to_owned())),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Json,
    Ndjson,
    CloudEvents,
    /// Not ours, but it may be the data of a binary CloudEvent.
    Other,
}

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

fn dialect(media: &str) -> Result<Dialect, BodyError> {
    const TABLE: &[(&str, Dialect)] = &[
        ("application/json", Dialect::Json),
        ("", Dialect::Json),
        ("application/x-www-form-urlencoded", Dialect::Json),
        ("application/x-ndjson", Dialect::Ndjson),
        ("application/ndjson", Dialect::Ndjson),
        ("application/jsonl", Dialect::Ndjson),
        ("application/cloudevents+json", Dialect::CloudEvents),
        ("application/cloudevents", Dialect::CloudEvents),
        ("application/cloudevents-batch+json", Dialect::CloudEvents),
        ("application/cloudevents-batch", Dialect::CloudEvents),
        ("text/plain", Dialect::Json),
    ];
    let found = TABLE.iter().find(|(name, _)| media.eq_ignore_ascii_case(name));
    match found {
        Some((_, dialect)) => Ok(*dialect),
        // A CloudEvents format that is not JSON: it must not be taken for the data of a binary one.
        None if media.to_ascii_lowercase().starts_with("application/cloudevents") => {
            Err(BodyError::MediaType(media.to_owned()))
        }
        None => Ok(Dialect::Other),
    }
}

fn check_charset(content_type: &str) -> Result<(), BodyError> {
    let parameters = content_type.split(';').skip(1).filter_map(|it| it.split_once('='));
    let charset = parameters
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim().trim_matches('"'))
        .next();
    match charset {
        Some(it) if !["utf-8", "utf8", "us-ascii"].iter().any(|ok| it.eq_ignore_ascii_case(ok)) => {
            Err(BodyError::Charset(it.to_owned()))
        }
        _ => Ok(()),
    }
}

/// The body as text, without a byte order mark.
fn text(body: &[u8]) -> Result<&str, BodyError> {
    let text =
        std::str::from_utf8(body).map_err(|it| BodyError::NotUtf8 { offset: it.valid_up_to() })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.bytes().all(|it| it.is_ascii_whitespace()) { Err(BodyError::Empty) } else { Ok(text) }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self { event: event::Limits::default(), events: 100_000 }
    }
}

// === impl Invalid ===

impl Invalid {
    pub(crate) fn new(field: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { fields: vec![FieldError { field, reason: reason.into() }] }
    }
}

impl std::fmt::Display for Invalid {
    /// `event_type: is required; source: must be a string`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, FieldError { field, reason }) in self.fields.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{field} {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
