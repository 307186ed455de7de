//! Times that people write: five fields of a cron line, and hours of the week, in a time zone.

use crate::event::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde::{Deserialize, Serialize};

/// How many days back a cron line is looked for: every line that ever holds does within four years and a leap day.
const DAYS_BACK: i64 = 4 * 366;

/// The five fields of a cron line: minute, hour, day of the month, month, day of the week; `*`, lists, ranges and steps, and
/// names of months and days. As in cron, a day must match one of the two day fields if both are given.
#[derive(Clone, Debug)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether both day fields are given.
    either_day: bool,
    zone: TimeZone,
}

/// A part of the week in which nobody is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MuteTime {
    /// Days of the week on which it begins, such as `mon` or `saturday`. Default every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// When it begins, as `HH:MM`. Default midnight.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// When it ends; not after its beginning: on the next day. Default the next midnight.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// The time zone. Default UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub timezone: String,
}

/// Mute times, compiled.
#[derive(Clone, Debug, Default)]
pub struct Mutes(Vec<Mute>);

#[derive(Clone, Debug)]
struct Mute {
    days: u64,
    /// Minutes of the day.
    from: i16,
    to: i16,
    zone: TimeZone,
}

const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

pub(super) fn zone(name: &str) -> Result<TimeZone, String> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| format!("there is no time zone {name:?}; one is Europe/Berlin"))
}

fn zoned(at: Time, zone: &TimeZone) -> Zoned {
    let at = Timestamp::from_millisecond(at.as_millis()).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(zone.clone())
}

// === impl Cron ===

impl Cron {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// It has not five fields, one is out of range, or there is no such time zone.
    pub fn parse(line: &str, timezone: &str) -> Result<Self, String> {
        let line = match line.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            other => other,
        };
        let fields: Vec<_> = line.split_whitespace().collect();
        let &[minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(format!(
                "has {} fields, and a cron line has 5: minute, hour, day, month, day of the week, such as 0 3 * * mon-fri",
                fields.len()
            ));
        };
        let mut week = field(weekdays, (0, 7), &WEEKDAYS, 0)?;
        // 7 is Sunday as well.
        if week & (1 << 7) != 0 {
            week = week & !(1 << 7) | 1;
        }
        Ok(Self {
            minutes: field(minutes, (0, 59), &[], 0)?,
            hours: field(hours, (0, 23), &[], 0)?,
            days: field(days, (1, 31), &[], 0)?,
            months: field(months, (1, 12), &MONTHS, 1)?,
            weekdays: week,
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
            zone: zone(timezone)?,
        })
    }

    /// The last time at or before `now` that the line names; `None` if there was none in four years. A time that the
    /// clocks skip counts when they have skipped it.
    #[must_use]
    pub fn last(&self, now: Time) -> Option<Time> {
        let now = zoned(now, &self.zone);
        for back in 0..DAYS_BACK {
            let date = now.date().checked_sub(back.days()).ok()?;
            if !self.has_day(date) {
                continue;
            }
            for minute in (0..24 * 60_i16).rev() {
                let Ok(hour) = i8::try_from(minute / 60) else { continue };
                let Ok(minute) = i8::try_from(minute % 60) else { continue };
                if self.hours >> hour & 1 == 0 || self.minutes >> minute & 1 == 0 {
                    continue;
                }
                let at = date.at(hour, minute, 0, 0).to_zoned(self.zone.clone()).ok()?;
                if at <= now {
                    return Some(Time::from_millis(at.timestamp().as_millisecond()));
                }
            }
        }
        None
    }

    fn has_day(&self, date: jiff::civil::Date) -> bool {
        let day = self.days >> date.day() & 1 == 1;
        let weekday = self.weekdays >> date.weekday().to_sunday_zero_offset() & 1 == 1;
        let days = if self.either_day { day || weekday } else { day && weekday };
        days && self.months >> date.month() & 1 == 1
    }
}

/// The numbers that a field names, as bits. `names` are those of `first` and on.
fn field(text: &str, (low, high): (u32, u32), names: &[&str], first: u32) -> Result<u64, String> {
    let wrong = || {
        format!("has {text:?}, where {low} to {high} may stand, such as {low}, {low}-{high} or */2")
    };
    let number = |it: &str| {
        let lower = it.to_ascii_lowercase();
        let named = names.iter().position(|name| lower.starts_with(name) && lower.is_ascii());
        let number = match named {
            Some(at) => u32::try_from(at).ok().map(|it| it + first),
            None => it.parse().ok(),
        };
        number.filter(|it| (low..=high).contains(it)).ok_or_else(wrong)
    };
    let mut res = 0;
    for part in text.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let step: usize = step.parse().ok().filter(|it| *it > 0).ok_or_else(wrong)?;
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => (number(from)?, number(to)?),
            None if part.contains('/') => (number(range)?, high),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return Err(wrong());
        }
        (from..=to).step_by(step).for_each(|it| res |= 1 << it);
    }
    Ok(res)
}

// === impl Mutes ===

impl Mutes {
    /// Compiles `times`.
    ///
    /// # Errors
    ///
    /// A day, a time of the day or a time zone that does not exist.
    pub fn new(times: &[MuteTime]) -> Result<Self, String> {
        let mute = |it: &MuteTime| {
            let mut days = if it.days.is_empty() { 0x7f } else { 0 };
            for day in &it.days {
                days |= field(day, (0, 6), &WEEKDAYS, 0).map_err(|_| {
                    format!("there is no day {day:?}: write mon, tue, wed, thu, fri, sat or sun, or a range such as mon-fri")
                })?;
            }
            let (from, to) = (minute_of_day(&it.from, 0)?, minute_of_day(&it.to, 24 * 60)?);
            Ok(Mute { days, from, to, zone: zone(&it.timezone)? })
        };
        times.iter().map(mute).collect::<Result<_, String>>().map(Self)
    }

    /// Whether nobody is to be told at `now`.
    #[must_use]
    pub fn holds(&self, now: Time) -> bool {
        self.0.iter().any(|it| {
            let now = zoned(now, &it.zone);
            let minute = i16::from(now.hour()) * 60 + i16::from(now.minute());
            let today = now.weekday().to_sunday_zero_offset();
            let on = |day: i8| it.days >> day & 1 == 1;
            if it.from < it.to {
                on(today) && (it.from..it.to).contains(&minute)
            } else {
                (on(today) && minute >= it.from) || (on((today + 6) % 7) && minute < it.to)
            }
        })
    }
}

fn minute_of_day(text: &str, default: i16) -> Result<i16, String> {
    if text.is_empty() {
        return Ok(default);
    }
    let read = text.split_once(':').and_then(|(hour, minute)| {
        let (hour, minute): (i16, i16) = (hour.parse().ok()?, minute.parse().ok()?);
        let minutes = hour * 60 + minute;
        ((0..60).contains(&minute) && (0..=24 * 60).contains(&minutes)).then_some(minutes)
    });
    read.ok_or_else(|| format!("{text:?} is no time of the day such as 22:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line, its zone, a moment, and the last time that it names by then.
    const CRON_LINES: &str = "
0 3 * * * |  | 2026-01-05T10:00:00Z | 2026-01-05T03:00:00Z
0 3 * * * |  | 2026-01-05T02:59:59Z | 2026-01-04T03:00:00Z
0 3 * * * |  | 2026-01-05T03:00:00Z | 2026-01-05T03:00:00Z
*/15 9-17 * * mon-fri |  | 2026-01-05T08:00:00Z | 2026-01-02T17:45:00Z
30 22 * * Sunday |  | 2026-01-05T10:00:00Z | 2026-01-04T22:30:00Z
30 22 * * 7 |  | 2026-01-05T10:00:00Z | 2026-01-04T22:30:00Z
0 0 29 feb * |  | 2026-01-05T10:00:00Z | 2024-02-29T00:00:00Z
0 0 31 2 * |  | 2026-01-05T10:00:00Z | never
# One of the two day fields is enough.
0 0 1 * fri |  | 2026-01-05T10:00:00Z | 2026-01-02T00:00:00Z
@daily |  | 2026-01-05T10:00:00Z | 2026-01-05T00:00:00Z
# 3 o'clock in Berlin is 2 o'clock UTC in winter and 1 o'clock in summer.
0 3 * * * | Europe/Berlin | 2026-01-05T10:00:00Z | 2026-01-05T02:00:00Z
0 3 * * * | Europe/Berlin | 2026-07-05T10:00:00Z | 2026-07-05T01:00:00Z
# The clocks skip 2:30 on that night.
30 2 * * * | Europe/Berlin | 2026-03-29T10:00:00Z | 2026-03-29T01:30:00Z
";

    #[test]
    fn cron_lines() {
        let last = |line: &str, zone: &str, now: &str| {
            let last = Cron::parse(line, zone).unwrap().last(Time::parse(now).unwrap());
            last.map_or("never".to_owned(), |it| it.to_string())
        };
        for row in CRON_LINES.trim().lines().filter(|it| !it.starts_with('#')) {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            assert_eq!(last(cells[0], cells[1], cells[2]), cells[3], "{row}");
        }
    }

    #[test]
    fn what_is_no_cron_line_is_told() {
        let check = |line: &str, zone: &str, words: &str| {
            let error = Cron::parse(line, zone).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        };
        check("0 3 * *", "", "has 4 fields");
        check("60 3 * * *", "", "has \"60\", where 0 to 59 may stand");
        check("0 3 0 * *", "", "where 1 to 31");
        check("0 3 * * fr-mo", "", "has \"fr-mo\"");
        check("0 3 * * 5-1", "", "has \"5-1\"");
        check("*/0 3 * * *", "", "has \"*/0\"");
        check("0 3 * * *", "Mars/Base", "no time zone \"Mars/Base\"");
    }

    #[test]
    fn mute_times() {
        let time = |days: &[&str], from: &str, to: &str, timezone: &str| MuteTime {
            days: days.iter().map(|it| (*it).to_owned()).collect(),
            from: from.to_owned(),
            to: to.to_owned(),
            timezone: timezone.to_owned(),
        };
        let check = |mute: MuteTime, at: &str, expected: bool| {
            let mutes = Mutes::new(&[mute]).unwrap();
            assert_eq!(mutes.holds(Time::parse(at).unwrap()), expected, "{at}");
        };
        // 2026-01-05 is a Monday.
        check(time(&["sat", "sunday"], "", "", ""), "2026-01-05T00:00:00Z", false);
        check(time(&["sat", "sunday"], "", "", ""), "2026-01-04T23:59:00Z", true);
        check(time(&["mon-fri"], "22:00", "06:00", ""), "2026-01-05T05:59:00Z", false);
        check(time(&["mon-fri"], "22:00", "06:00", ""), "2026-01-05T22:00:00Z", true);
        check(time(&["mon-fri"], "22:00", "06:00", ""), "2026-01-06T05:59:00Z", true);
        check(time(&["mon-fri"], "22:00", "06:00", ""), "2026-01-06T06:00:00Z", false);
        check(time(&[], "22:00", "23:00", "Europe/Berlin"), "2026-01-05T21:30:00Z", true);
        check(time(&[], "", "", ""), "2026-01-05T21:30:00Z", true);
        assert!(Mutes::new(&[]).unwrap().0.is_empty());
        let error = |it: MuteTime| Mutes::new(&[it]).unwrap_err();
        assert!(error(time(&["someday"], "", "", "")).contains("no day \"someday\""));
        assert!(error(time(&[], "25:00", "", "")).contains("\"25:00\" is no time"));
        assert!(error(time(&[], "22", "", "")).contains("is no time of the day such as 22:00"));
    }
}
