//! The questions that query strings ask the journal.

use super::error::ApiError;
use super::params;
use crate::event::Time;
use crate::history;
use crate::journal::Cursor;
use crate::journal::Query;
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
    let (mut cursor, mut before) = (None, None);
    let mut fields = Vec::new();
    for (name, value) in params::params(uri) {
        if filter(&mut query, &name, &value, now)? {
            continue;
        }
        match name.as_ref() {
            "limit" => query.limit = limit_of(&value, MAX_LIMIT)?,
            "cursor" => cursor = Some(value.into_owned()).filter(|it| !it.is_empty()),
            "before" if !history => before = Some(sequence(&value)?),
            "order" if !history => query.ascending = order(&value)?,
            _ if history => fields.push(format!("{name}={}", quoted(&value))),
            _ => return Err(unknown(&name, "limit, order, before and cursor")),
        }
    }
    if !fields.is_empty() {
        query.matches = vec![selector("query", &format!("*{{{}}}", fields.join(",")))?];
    }
    let read = |it: String| history::read_cursor(&it, query.ascending);
    query.cursor = cursor.map(read).transpose().map_err(|it| ApiError::parameter("cursor", it))?;
    if before.is_some() && (query.ascending || query.cursor.is_some()) {
        let reason = "goes with the order desc, and without a cursor: leave one of them out";
        return Err(ApiError::parameter("before", reason));
    }
    query.cursor = query.cursor.or(before.map(Cursor));
    Ok(query)
}

/// Adds the condition that a parameter stands for to `query`; false if it is another parameter.
pub(super) fn filter(
    query: &mut Query,
    name: &str,
    value: &str,
    now: Time,
) -> Result<bool, ApiError> {
    match name {
        "match" | "match[]" => query.matches.push(selector(name, value)?),
        "type" | "event_type" => query.types.extend(list(name, value)?),
        "source" => query.sources.extend(list(name, value)?),
        "since" => query.since = Some(params::time(name, value, now)?),
        "until" => query.until = Some(params::time(name, value, now)?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The refusal of a parameter that is none of the filters and none of `others`.
pub(super) fn unknown(name: &str, others: &str) -> ApiError {
    let reason = format!(
        "is not a parameter here: there are match, type, source, since, until, {others}; a field of the data is asked for as match=*{{{}=\"...\"}}",
        if name.is_empty() { "status" } else { name }
    );
    ApiError::parameter(name, reason)
}

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

pub(super) fn selector(name: &str, text: &str) -> Result<Selector, ApiError> {
    Selector::parse(text).map_err(|it| {
        let reason =
            format!("is no selector: {it}; a right one is ci_build_*{{status!=\"success\"}}");
        ApiError::parameter(name, reason)
    })
}

fn list(name: &str, value: &str) -> Result<Vec<String>, ApiError> {
    let names = value.split(',').map(str::trim).filter(|it| !it.is_empty());
    let names: Vec<_> = names.map(str::to_owned).collect();
    if names.is_empty() {
        let example = if name == "source" { "github-actions" } else { "ci_build_completed" };
        let reason = format!("is empty: leave it out, or name one or more, such as {example}");
        return Err(ApiError::parameter(name, reason));
    }
    Ok(names)
}

/// The parts between commas that are not within quotes.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let parts = text.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    parts.map(str::trim).filter(|it| !it.is_empty())
}

pub(super) fn limit_of(value: &str, max: usize) -> Result<usize, ApiError> {
    let limit = value.parse().ok().filter(|it| (1..=max).contains(it));
    limit.ok_or_else(|| {
        let range = if max == usize::MAX { "1 or more".to_owned() } else { format!("1 to {max}") };
        ApiError::parameter("limit", format!("must be {range}, such as limit=50"))
    })
}

fn sequence(value: &str) -> Result<u64, ApiError> {
    let reason = "must be the sequence number of an event, such as before=4711";
    value.parse().map_err(|_| ApiError::parameter("before", reason))
}

/// Whether oldest first.
pub(super) fn order(value: &str) -> Result<bool, ApiError> {
    match value {
        "asc" => Ok(true),
        "desc" => Ok(false),
        _ => Err(ApiError::parameter("order", "must be asc or desc, such as order=asc")),
    }
}

/// A value as it stands in a selector.
pub(super) fn quoted(value: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::write_cursor;

    fn ask(text: &str, history: bool) -> Result<Query, String> {
        let now = Time::parse("2026-01-05T10:00:00Z").unwrap();
        let uri: Uri = format!("/?{text}").parse().unwrap();
        events(&uri, now, history).map_err(|it| format!("{it:?}"))
    }

    #[test]
    fn what_is_asked() {
        let query =
            ask("type=a,b&event_type=c&source=x&since=2h&until=now&limit=7&order=asc", false);
        let query = query.unwrap();
        assert_eq!(query.types, ["a", "b", "c"]);
        assert_eq!(query.sources, ["x"]);
        assert_eq!(query.since.unwrap().to_string(), "2026-01-05T08:00:00Z");
        assert_eq!(query.until.unwrap().to_string(), "2026-01-05T10:00:00Z");
        assert_eq!((query.limit, query.ascending, query.cursor), (7, true, None));

        let query = ask("", false).unwrap();
        assert_eq!((query.limit, query.ascending, query.cursor), (100, false, None));
        assert_eq!(ask("before=7", false).unwrap().cursor, Some(Cursor(7)));
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
        check("limit=0", "must be 1 to 10000, such as limit=50");
        check("limit=10001", "must be 1 to 10000");
        check("limit=x", "must be 1 to 10000");
        check("limit=-1", "must be 1 to 10000");
        check("before=x", "such as before=4711");
        check("before=7&order=asc", "goes with the order desc");
        check("order=up", "must be asc or desc, such as order=asc");
        check("lmit=1", "lmit is not a parameter");
        check("status=ok", "is asked for as match=*{status=");
        check("since=soon", "since is not");
        check("since=soon", "such as 2026-01-05T10:00:00Z");
        check("until=1969-12-31", "until is not");
        check("type=", "type is empty");
        check("type=", "such as ci_build_completed");
        check("source=,", "source is empty");
        check("match=", "match is no selector");
        check("match=a%7Bb%7D", "a right one is ci_build_*");
        check("match[]=%7Bx=~%22(%22%7D", "no regular expression");
        let ascending = write_cursor(Cursor(7), true);
        check("cursor=x", "begin again without it");
        check(&format!("cursor={}", &ascending[1..]), "begin again without it");
        check(&format!("cursor={ascending}"), "made for order=asc");
        assert_eq!(
            ask(&format!("order=asc&cursor={ascending}"), false).unwrap().cursor,
            Some(Cursor(7))
        );
    }

    #[test]
    fn values_are_quoted() {
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\n\"");
    }
}
