//! The question that a query string asks the journal.

use super::error::ApiError;
use super::params;
use crate::event::Time;
use crate::journal::{Cursor, Query};
use crate::selector::Selector;
use axum::http::Uri;

const DEFAULT_LIMIT: usize = 100;
const HISTORY_LIMIT: usize = 50;
const MAX_LIMIT: usize = 10_000;
/// Bytes of data in one answer, so that a page of large events does not fill the memory; the last event
/// may exceed it.
const MAX_PAGE_BYTES: usize = 16 << 20;

/// Reads the question of `uri`. The older path (`history`) has its own default limit, is always newest
/// first, and takes any other parameter for a field that must be equal: `?project=web`.
pub(super) fn events(uri: &Uri, now: Time, history: bool) -> Result<Query, ApiError> {
    let limit = if history { HISTORY_LIMIT } else { DEFAULT_LIMIT };
    let max_bytes = Some(MAX_PAGE_BYTES);
    let mut query = Query { limit, max_bytes, ..Query::default() };
    let mut cursor = None;
    let mut fields = Vec::new();
    for (name, value) in params::params(uri) {
        match name.as_ref() {
            "match" | "match[]" => query.matches.push(selector(&name, &value)?),
            "type" | "event_type" => query.types.extend(list(&value)),
            "source" => query.sources.extend(list(&value)),
            "since" => query.since = Some(params::time("since", &value, now)?),
            "until" => query.until = Some(params::time("until", &value, now)?),
            "limit" => query.limit = limit_of(&value)?,
            "cursor" => cursor = Some(value.into_owned()).filter(|it| !it.is_empty()),
            "order" if !history => query.ascending = order(&value)?,
            _ if history => fields.push(format!("{name}={}", quoted(&value))),
            _ => return Err(ApiError::parameter(&name, UNKNOWN)),
        }
    }
    if !fields.is_empty() {
        query.matches = vec![selector("query", &format!("*{{{}}}", fields.join(",")))?];
    }
    query.cursor = cursor.map(|it| read_cursor(&it, query.ascending)).transpose()?;
    Ok(query)
}

const UNKNOWN: &str =
    "is not a parameter here: there are match, type, source, since, until, limit, order and cursor";

/// Whether the query string of `uri` sets `name`, the only parameter it may have.
pub(super) fn flag(uri: &Uri, name: &str) -> Result<bool, ApiError> {
    let mut res = false;
    for (key, value) in params::params(uri) {
        if key == name {
            res = params::flag(name, &value)?;
        }
    }
    Ok(res)
}

fn selector(name: &str, text: &str) -> Result<Selector, ApiError> {
    Selector::parse(text).map_err(|it| ApiError::parameter(name, it))
}

fn list(value: &str) -> impl Iterator<Item = String> {
    value.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned)
}

fn limit_of(value: &str) -> Result<usize, ApiError> {
    let limit = value.parse().ok().filter(|it| (1..=MAX_LIMIT).contains(it));
    limit.ok_or_else(|| ApiError::parameter("limit", format!("must be 1 to {MAX_LIMIT}")))
}

fn order(value: &str) -> Result<bool, ApiError> {
    match value {
        "asc" => Ok(true),
        "desc" => Ok(false),
        _ => Err(ApiError::parameter("order", "must be asc or desc")),
    }
}

/// A value as it stands in a selector.
fn quoted(value: &str) -> String {
    let mut res = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => res.extend(['\\', c]),
            '\n' => res.push_str("\\n"),
            _ => res.push(c),
        }
    }
    res + "\""
}

/// The text of a cursor: the direction that it was made for, and where it stands.
pub(super) fn write_cursor(cursor: Cursor, ascending: bool) -> String {
    let direction = if ascending { 'a' } else { 'd' };
    format!("{direction}{:x}", cursor.0)
}

fn read_cursor(text: &str, ascending: bool) -> Result<Cursor, ApiError> {
    let wrong = |reason: &str| ApiError::parameter("cursor", reason);
    let place = match (text.strip_prefix('a'), text.strip_prefix('d')) {
        (Some(_), _) if !ascending => return Err(wrong("was made for order=asc")),
        (_, Some(_)) if ascending => return Err(wrong("was made for order=desc")),
        (Some(it), _) | (_, Some(it)) => it,
        (None, None) => "",
    };
    let place = u64::from_str_radix(place, 16);
    place.map(Cursor).map_err(|_| wrong("must be the next of an earlier answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str, history: bool) -> Result<Query, String> {
        let now = Time::parse("2026-01-05T10:00:00Z").unwrap();
        let uri: Uri = format!("/?{text}").parse().unwrap();
        events(&uri, now, history).map_err(|it| format!("{it:?}"))
    }

    #[test]
    fn what_is_asked() {
        let query = ask(
            "type=a,b&event_type=c&source=x&since=2h&until=now&limit=7&order=asc&cursor=aff",
            false,
        );
        let query = query.unwrap();
        assert_eq!(query.types, ["a", "b", "c"]);
        assert_eq!(query.sources, ["x"]);
        assert_eq!(query.since.unwrap().to_string(), "2026-01-05T08:00:00Z");
        assert_eq!(query.until.unwrap().to_string(), "2026-01-05T10:00:00Z");
        assert_eq!((query.limit, query.ascending, query.cursor), (7, true, Some(Cursor(255))));

        let query = ask("", false).unwrap();
        assert_eq!((query.limit, query.ascending, query.cursor), (100, false, None));
        assert_eq!(ask("match=a&match=b", false).unwrap().matches.len(), 2);
        let query = ask("project=web&branch=main", true).unwrap();
        assert_eq!((query.limit, query.matches.len()), (50, 1));
    }

    #[test]
    fn what_cannot_be_asked() {
        let check = |text: &str, expected: &str| {
            let res = ask(text, false).unwrap_err();
            assert!(res.contains(expected), "{text}: {res}");
        };
        check("limit=0", "must be 1 to 10000");
        check("limit=10001", "must be 1 to 10000");
        check("limit=x", "must be 1 to 10000");
        check("order=up", "must be asc or desc");
        check("lmit=1", "is not a parameter");
        check("since=soon", "since");
        check("cursor=x", "next of an earlier answer");
        check("cursor=a1", "made for order=asc");
        check("cursor=d1&order=asc", "made for order=desc");
        check("match=", "match");
    }

    #[test]
    fn cursors_read_back() {
        for ascending in [true, false] {
            for place in [0, 1, u64::MAX] {
                let text = write_cursor(Cursor(place), ascending);
                assert_eq!(read_cursor(&text, ascending).unwrap(), Cursor(place));
            }
        }
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\n\"");
    }
}
