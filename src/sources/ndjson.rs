//! One event per line. A line that is wrong spoils no other; blank lines are nothing.

use super::json::{Reader, reason};
use super::{BodyError, Invalid, Parsed, Shape};

pub(super) fn parse<'a>(text: &'a str, reader: &Reader<'_>) -> Result<Parsed<'a>, BodyError> {
    let mut events = Vec::new();
    for (i, line) in text.split('\n').enumerate() {
        // serde_json takes the carriage return before the line feed for white space.
        if line.bytes().all(|it| it.is_ascii_whitespace()) {
            continue;
        }
        if events.len() == reader.limits.events {
            return Err(BodyError::TooManyEvents(reader.limits.events));
        }
        events.push(reader.line(line).unwrap_or_else(|it| {
            let reason = reason(&it);
            let (line, column) = (i + 1, it.column());
            Err(Invalid::new(
                "body",
                format!("is not JSON: {reason} at line {line} column {column}"),
            ))
        }));
    }
    Ok(Parsed { shape: Shape::Many, events })
}
