//! Durations and sizes as people write them.

use std::time::Duration;

/// Names of units with their worth in nanoseconds, largest first.
const DURATIONS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Names of units with their worth in bytes; binary ones first, so that 1048576 is shown as 1MiB.
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads `500ms`, `5m`, `24h`, `7d` or a sum such as `1h30m`; a bare `0` is no time.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanos: u128 = 0;
    let mut previous = u128::MAX;
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after, |c| c.is_ascii_alphabetic());
        let (_, worth) = DURATIONS.iter().find(|(name, _)| *name == unit)?;
        // `5m1h` and `5m5m` are more likely slips than sums.
        if *worth >= previous {
            return None;
        }
        previous = *worth;
        nanos = nanos.checked_add(number.parse::<u128>().ok()?.checked_mul(*worth)?)?;
        rest = after;
    }
    if text.trim().is_empty() { None } else { u64::try_from(nanos).ok().map(Duration::from_nanos) }
}

/// Writes a duration in its largest whole unit, so that [`duration`] reads it back.
pub(super) fn show_duration(value: Duration) -> String {
    let nanos = value.as_nanos();
    // One day is more familiar as 24h.
    let one_day = value == Duration::from_hours(24);
    let whole = |name: &str, worth: u128| nanos.is_multiple_of(worth) && !(one_day && name == "d");
    match DURATIONS.iter().find(|(name, worth)| whole(name, *worth)) {
        Some((name, worth)) if nanos > 0 => format!("{}{name}", nanos / worth),
        _ => "0s".to_owned(),
    }
}

/// Reads `10MiB`, `10MB`, `64KiB` or a plain number of bytes. `K`, `M` and `G` alone mean the binary units.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text.trim(), |c| c.is_ascii_digit());
    let unit = unit.trim_start().to_ascii_lowercase();
    let worth = match unit.as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&unit))?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(worth)
}

/// Writes a size so that [`size`] reads it back.
pub(super) fn show_size(value: u64) -> String {
    let unit = SIZES.iter().find(|(_, worth)| value != 0 && value.is_multiple_of(*worth));
    match unit {
        Some((name, worth)) => format!("{}{name}", value / worth),
        None => "0B".to_owned(),
    }
}

/// The longest beginning of `text` whose characters all are `wanted`, and the rest.
fn split(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !wanted(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_duration(text: &str, millis: Option<u64>) {
        let value = duration(text);
        assert_eq!(value, millis.map(Duration::from_millis), "{text}");
        if let Some(value) = value {
            assert_eq!(duration(&show_duration(value)), Some(value), "{text}");
        }
    }

    #[test]
    fn durations() {
        check_duration("500ms", Some(500));
        check_duration("5m", Some(300_000));
        check_duration("24h", Some(86_400_000));
        check_duration("7d", Some(604_800_000));
        check_duration("1h30m", Some(5_400_000));
        check_duration("0", Some(0));
        check_duration(" 1s ", Some(1_000));
        for bad in ["", "5", "m", "5 m", "-5m", "1.5h", "5m1h", "5m5m", "5y", "5M", "99999999999d"]
        {
            check_duration(bad, None);
        }
    }

    #[test]
    fn durations_are_shown_as_they_are_written() {
        for text in ["500ms", "75s", "5m", "90m", "24h", "36h", "7d", "0s", "1500us"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
    }

    #[track_caller]
    fn check_size(text: &str, bytes: Option<u64>) {
        assert_eq!(size(text), bytes, "{text}");
        if let Some(value) = bytes {
            assert_eq!(size(&show_size(value)), bytes, "{text}");
        }
    }

    #[test]
    fn sizes() {
        check_size("10MiB", Some(10 << 20));
        check_size("10MB", Some(10_000_000));
        check_size("10 mib", Some(10 << 20));
        check_size("64K", Some(65_536));
        check_size("128", Some(128));
        check_size("1025", Some(1025));
        check_size("0", Some(0));
        for bad in ["", "MiB", "-1", "1.5MiB", "10MiBs", "99999999999GiB", "1e6"] {
            check_size(bad, None);
        }
    }

    #[test]
    fn sizes_are_shown_as_they_are_written() {
        for text in ["10MiB", "10MB", "64KiB", "128B", "1GiB"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
    }
}
