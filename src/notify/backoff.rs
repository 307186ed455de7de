//! When something that failed is tried again.

use crate::event::Time;
use jiff::fmt::rfc2822;
use std::time::Duration;

/// The pauses after the first, second, ... failure; the last one goes on. In seconds.
const PAUSES: [u64; 10] = [1, 2, 5, 15, 30, 60, 120, 300, 600, 1800];
/// The longest pause of a whole channel: how late it is noticed that its server is back.
pub(super) const MAX_CHANNEL_PAUSE: Duration = Duration::from_mins(1);
/// The longest time that a server is believed when it says when to come back.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);
/// No stored time is waited for longer than this: the clock may have been set back.
pub(super) const MAX_WAIT: Duration = Duration::from_mins(66);

/// The pause after the `failures`th failure in a row, a fifth more or less by `chance`, which is in 0..=255.
pub(super) fn pause(failures: u32, chance: u8) -> Duration {
    let at = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    let seconds = PAUSES.get(at).or(PAUSES.last()).copied().unwrap_or(1);
    let percent = 80 + u64::from(chance) * 40 / 255;
    Duration::from_millis(seconds * 10 * percent)
}

/// How long `Retry-After` says, in seconds or as a date, at most [`MAX_RETRY_AFTER`]; up to a tenth later by `chance`, so that
/// not everybody comes back at once.
pub(super) fn retry_after(value: &str, now: Time, chance: u8) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<f64>() {
        Ok(it) if it.is_finite() => {
            Duration::try_from_secs_f64(it.max(0.0)).unwrap_or(MAX_RETRY_AFTER)
        }
        _ => {
            let at = rfc2822::parse(value).ok()?.timestamp();
            let seconds = at.as_second().saturating_sub(now.as_millis().div_euclid(1000));
            Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
        }
    };
    let wait = wait.min(MAX_RETRY_AFTER);
    Some(wait + wait.mul_f64(f64::from(chance) / 255.0 * 0.08))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_vary_by_a_fifth() {
        assert_eq!(pause(1, 0), Duration::from_millis(800));
        assert_eq!(pause(1, 255), Duration::from_millis(1200));
        assert_eq!(pause(0, 0), pause(1, 0));
        assert_eq!(pause(10, 0), Duration::from_secs(1440));
        assert_eq!(pause(u32::MAX, 255), Duration::from_secs(2160));
        assert!(pause(u32::MAX, 255) <= MAX_WAIT);
        assert!((1..12).all(|it| pause(it, 0) <= pause(it + 1, 0)));
    }

    #[test]
    fn a_server_says_when_to_come_back() {
        let now = Time::parse("2026-01-05T10:00:00Z").unwrap();
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(retry_after(text, now, 0), expected.map(Duration::from_secs), "{text}");
        };
        check("0", Some(0));
        check(" 30 ", Some(30));
        check("-5", Some(0));
        check("1e9", Some(3600));
        check("1e300", Some(3600));
        check("Mon, 05 Jan 2026 10:00:30 GMT", Some(30));
        check("Mon, 05 Jan 2026 09:00:30 GMT", Some(0));
        check("Tue, 05 Jan 2027 09:00:30 GMT", Some(3600));
        check("soon", None);
        check("", None);
        check("NaN", None);
        let late = retry_after("100", now, 255).unwrap();
        assert!((100.0..=110.0).contains(&late.as_secs_f64()), "{late:?}");
    }
}
