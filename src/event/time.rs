//! Points in time, in nanoseconds since the Unix epoch.

use jiff::{Timestamp, civil};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, fmt, time::Duration};

/// How far ahead of our clock a sender's time may be before it is replaced by the time of arrival.
pub const MAX_AHEAD: Duration = Duration::from_secs(600);

/// A point in time between the years 1970 and 2262, with nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// A text or number that is no [`Time`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an RFC 3339 time such as 2026-01-05T10:00:00Z, nor seconds since 1970")]
pub struct ParseTimeError;

impl Time {
    /// The given number of nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The given number of milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Seconds since the Unix epoch, as Prometheus writes timestamps.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a metric value is a double")]
    pub fn as_seconds(self) -> f64 {
        self.as_millis() as f64 / 1e3
    }

    /// The moment `duration` later, or the last one there is.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// The moment `duration` earlier, or the first one there is.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Seconds from `earlier` to `self`; negative if it is later.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a metric value is a double")]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e9
    }

    /// Reads RFC 3339 (a time without a zone is UTC), or a number of seconds, milliseconds, microseconds
    /// or nanoseconds since the Unix epoch, told apart by their size.
    ///
    /// # Errors
    ///
    /// Anything else, and a time before 1970 or after 2262.
    pub fn parse(text: &str) -> Result<Self, ParseTimeError> {
        let text = text.trim();
        if let Ok(at) = text.parse::<Timestamp>() {
            return Self::from_timestamp(at);
        }
        if let Ok(number) = text.parse::<f64>() {
            return Self::from_number(number);
        }
        let at = text.parse::<civil::DateTime>().map_err(|_| ParseTimeError)?;
        let at = at.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| ParseTimeError)?;
        Self::from_timestamp(at.timestamp())
    }

    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    fn from_number(number: f64) -> Result<Self, ParseTimeError> {
        let unit = match number {
            it if it < 0.0 || it.is_nan() => return Err(ParseTimeError),
            it if it < 1e11 => 1e9,
            it if it < 1e14 => 1e6,
            it if it < 1e17 => 1e3,
            _ => 1.0,
        };
        let nanos = number * unit;
        if nanos < 9.2e18 { Ok(Self(nanos as i64)) } else { Err(ParseTimeError) }
    }

    fn from_timestamp(at: Timestamp) -> Result<Self, ParseTimeError> {
        let nanos = i64::try_from(at.as_nanosecond()).map_err(|_| ParseTimeError)?;
        if nanos < 0 { Err(ParseTimeError) } else { Ok(Self(nanos)) }
    }
}

impl fmt::Display for Time {
    /// RFC 3339 in UTC, with as many decimals as the time has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(at) => fmt::Display::fmt(&at, f),
            Err(_) => f.write_str("1970-01-01T00:00:00Z"),
        }
    }
}

impl Serialize for Time {
    /// As the text that it displays.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(|it| serde::de::Error::custom(format_args!("`{text}` {it}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let res = Time::parse(text).map_or_else(|it| it.to_string(), |it| it.to_string());
        assert_eq!(res, expected, "{text}");
    }

    #[test]
    fn every_spelling() {
        check("2026-01-05T10:00:00Z", "2026-01-05T10:00:00Z");
        check("2026-01-05T10:00:00.5+02:00", "2026-01-05T08:00:00.5Z");
        check("2026-01-05T10:00:00", "2026-01-05T10:00:00Z");
        check("2026-01-05 10:00:00.123456", "2026-01-05T10:00:00.123456Z");
        check("2026-01-05", "2026-01-05T00:00:00Z");
        check("1767607200", "2026-01-05T10:00:00Z");
        check("1767607200000", "2026-01-05T10:00:00Z");
        check("1767607200.5", "2026-01-05T10:00:00.5Z");
        check("1767607200000000000", "2026-01-05T10:00:00Z");
    }

    #[test]
    fn what_is_no_time() {
        for text in
            ["", "yesterday", "-1", "NaN", "1e300", "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z"]
        {
            check(text, &ParseTimeError.to_string());
        }
    }
}
