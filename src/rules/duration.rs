//! Spans of time as people and Go programs write them: `30s`, `1h20m`, `7d`, `1.5h`.

use std::time::Duration;

/// The units, largest first, in seconds.
const UNITS: [(&str, f64); 9] = [
    ("w", 604_800.0),
    ("d", 86_400.0),
    ("h", 3_600.0),
    ("m", 60.0),
    ("s", 1.0),
    ("ms", 1e-3),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ns", 1e-9),
];

/// The seconds that `text` spells: numbers with units, each unit smaller than the one before. A sign may
/// stand in front; a number without a unit is no duration.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut sum = 0.0;
    let mut last = f64::INFINITY;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let end = tail.find(|it: char| it.is_ascii_digit() || it == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let unit = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        if unit >= last {
            return None;
        }
        last = unit;
        sum += number * unit;
        rest = tail;
    }
    Some(sign * sum)
}

/// As [`seconds`], also reading ISO 8601: `PT1M30S`.
pub(super) fn seconds_lenient(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.starts_with(['P', 'p']) {
        return text.parse::<jiff::SignedDuration>().ok().map(|it| it.as_secs_f64());
    }
    seconds(text)
}

/// A positive duration of a rule file, such as `90s` or `1h20m`.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let seconds = seconds(text).filter(|it| *it > 0.0)?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<f64>) {
        assert_eq!(seconds_lenient(text), expected, "{text}");
    }

    #[test]
    fn spellings() {
        check("30s", Some(30.0));
        check("1h20m", Some(4800.0));
        check("7d", Some(604_800.0));
        check("1.5h", Some(5400.0));
        check("-250ms", Some(-0.25));
        check("2m0.5s", Some(120.5));
        check("PT1M30S", Some(90.0));
        for text in ["", "30", "s", "1x", "1m1h", "1s1s", "1..2s", "-", "1 h", "P", "1h20"] {
            check(text, None);
        }
    }
}
