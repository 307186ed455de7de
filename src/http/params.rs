//! The parameters of a query string.

use super::error::ApiError;
use crate::event::Time;
use axum::http::Uri;
use std::{borrow::Cow, time::Duration};

/// The parameters in order, decoded; `+` is a space.
pub(super) fn params(uri: &Uri) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|it| !it.is_empty());
    pairs.map(|it| {
        let (name, value) = it.split_once('=').unwrap_or((it, ""));
        (decode(name), decode(value))
    })
}

fn decode(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return Cow::Owned(
            percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned(),
        );
    }
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}

/// A switch: `true`, `1` or nothing for yes, `false` or `0` for no.
pub(super) fn flag(name: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "true" | "1" | "" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(ApiError::parameter(name, "must be true or false")),
    }
}

/// A point in time: RFC 3339, seconds since 1970, `now`, or how long ago: `2h`, `now-1d12h`.
pub(super) fn time(name: &str, text: &str, now: Time) -> Result<Time, ApiError> {
    let text = text.trim();
    let ago = text.strip_prefix("now").map_or(text, |it| it.trim());
    if ago.is_empty() && !text.is_empty() {
        return Ok(now);
    }
    if let Some(it) = duration(ago.strip_prefix('-').unwrap_or(ago)) {
        return Ok(now.saturating_sub(it));
    }
    // A `+` that was not encoded reads as a space: `2026-01-05T10:00:00 01:00`.
    let spaced = text.contains('T').then(|| text.replace(' ', "+"));
    Time::parse(spaced.as_deref().unwrap_or(text)).map_err(|it| {
        ApiError::parameter(name, format!("{it}, nor how long ago such as 2h or now-1d"))
    })
}

/// A duration such as `1d12h` or `90s`, of whole numbers with units from `ms` to `w`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut res = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        res = res.checked_add(Duration::from_millis(number.checked_mul(millis)?))?;
        rest = tail;
    }
    if text.is_empty() { None } else { Some(res) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        let check = |query: &str, expected: &[(&str, &str)]| {
            let uri: Uri = format!("/x?{query}").parse().unwrap();
            let res: Vec<_> = params(&uri).map(|(a, b)| (a.into_owned(), b.into_owned())).collect();
            let expected: Vec<_> =
                expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            assert_eq!(res, expected, "{query}");
        };
        check("", &[]);
        check("a=1&&b=x%20y+z&c", &[("a", "1"), ("b", "x y z"), ("c", "")]);
        check("m=a%7Bb%3D%22c%22%7D&d=%ff", &[("m", "a{b=\"c\"}"), ("d", "\u{fffd}")]);
    }

    #[test]
    fn times() {
        let now = Time::parse("2026-01-05T10:00:00Z").unwrap();
        let check = |text: &str, expected: Option<&str>| {
            let res = time("since", text, now).ok().map(|it| it.to_string());
            assert_eq!(res.as_deref(), expected, "{text}");
        };
        check("2026-01-01T00:00:00Z", Some("2026-01-01T00:00:00Z"));
        check("2026-01-01T01:00:00 01:00", Some("2026-01-01T00:00:00Z"));
        check("1767607200", Some("2026-01-05T10:00:00Z"));
        check("now", Some("2026-01-05T10:00:00Z"));
        check("2h", Some("2026-01-05T08:00:00Z"));
        check("now-1d12h", Some("2026-01-03T22:00:00Z"));
        check("now - 90m", None);
        check("now-90m", Some("2026-01-05T08:30:00Z"));
        check("1500ms", Some("2026-01-05T09:59:58.5Z"));
        check("9999999999999999w", None);
        check("yesterday", None);
        check("", None);
    }
}
