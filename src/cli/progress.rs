//! How far a long piece of work is: one line on standard error.

use super::Session;
use std::time::{Duration, Instant};

/// The line that says how far a long piece of work is.
///
/// Make one where the work begins, call [`Progress::update`] (or [`Progress::update_part`]) as often as is
/// convenient, for it draws rarely, and [`Progress::finish`] before the result is printed:
///
/// ```text
/// importing: 120000 events, 60 %, 20000/s, 4s left
/// ```
///
/// On a terminal the line appears once the work has taken two seconds, and is redrawn at most five times a
/// second. Elsewhere, as in the log of a CI job, a line of its own is written every ten seconds. Messages that
/// are written with [`Session::note`] meanwhile stand above the line.
#[derive(Debug)]
pub(super) struct Progress {
    what: String,
    unit: Unit,
    total: Option<u64>,
    started: Instant,
    /// When the next line may be shown; `None` until the first update.
    next: Option<Instant>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Things with this name, in the plural: `events`.
    Things(&'static str),
    /// Bytes, shown as KiB, MiB and so on.
    Bytes,
}

/// Work that is done sooner is not worth a line.
const PATIENCE: Duration = Duration::from_secs(2);
const REDRAW: Duration = Duration::from_millis(200);
/// Between two lines where nobody watches.
const LOG: Duration = Duration::from_secs(10);

impl Progress {
    /// The work called `what`, such as `importing`, begins now.
    pub(super) fn new(what: impl Into<String>, unit: Unit) -> Self {
        Self { what: what.into(), unit, total: None, started: Instant::now(), next: None }
    }

    /// How much there is in all, so that the percentage and the time that is left can be told.
    pub(super) fn of(mut self, total: u64) -> Self {
        self.total = Some(total);
        self
    }

    /// So much is done. Draws if it is time to.
    pub(super) fn update(&mut self, done: u64, session: &mut Session) {
        self.show(done, None, Instant::now(), session);
    }

    /// So much is done, which is this part of the whole (0 to 1), for work whose size is known in another
    /// unit than is counted, such as events of a file of which the bytes are known.
    pub(super) fn update_part(&mut self, done: u64, part: f64, session: &mut Session) {
        self.show(done, Some(part), Instant::now(), session);
    }

    /// The work has ended, well or badly: the line goes.
    pub(super) fn finish(&mut self, session: &mut Session) {
        session.end_progress();
    }

    fn show(&mut self, done: u64, part: Option<f64>, now: Instant, session: &mut Session) {
        let watched = session.is_watched();
        let first = self.started + if watched { PATIENCE } else { LOG };
        if now < *self.next.get_or_insert(first) {
            return;
        }
        self.next = Some(now + if watched { REDRAW } else { LOG });
        let line = self.line(done, part, now.saturating_duration_since(self.started));
        if watched { session.progress(&line) } else { session.note(&line) }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn line(&self, done: u64, part: Option<f64>, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(1e-3);
        let rate = done as f64 / seconds;
        let mut line =
            format!("{}: {}", self.what, self.unit.amount(done as f64, self.unit.name()));
        let of_total = self.total.filter(|it| *it > 0).map(|it| done as f64 / it as f64);
        let part = part.or(of_total).filter(|it| it.is_finite()).map(|it| it.clamp(0.0, 1.0));
        if let Some(part) = part {
            line.push_str(&format!(", {:.0} %", (part * 100.0).floor()));
        }
        line.push_str(&format!(", {}/s", self.unit.amount(rate, "")));
        // The first hundredth says too little about the rest.
        if let Some(part) = part.filter(|it| (0.01..1.0).contains(it)) {
            let left = Duration::from_secs_f64(seconds * (1.0 - part) / part);
            line.push_str(&format!(", {} left", clock(left)));
        }
        line
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Things(it) => it,
            Self::Bytes => "",
        }
    }

    fn amount(self, number: f64, name: &str) -> String {
        match self {
            Self::Bytes => size(number),
            Self::Things(_) if name.is_empty() => format!("{number:.0}"),
            Self::Things(_) => format!("{number:.0} {name}"),
        }
    }
}

/// `1.5 MiB`.
#[expect(clippy::cast_precision_loss, reason = "a size for people")]
pub(super) fn bytes_text(number: u64) -> String {
    size(number as f64)
}

fn size(number: f64) -> String {
    let mut number = number;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if number < 1024.0 {
            let decimals = usize::from(unit != "B");
            return format!("{number:.decimals$} {unit}");
        }
        number /= 1024.0;
    }
    format!("{number:.1} TiB")
}

/// `4s`, `2m05s`, `1h02m`.
fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().ceil();
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).as_secs();
    match whole {
        it if it < 60 => format!("{it}s"),
        it if it < 3600 => format!("{}m{:02}s", it / 60, it % 60),
        it => format!("{}h{:02}m", it / 3600, it % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(unit: Unit, total: Option<u64>) -> Progress {
        Progress { total, ..Progress::new("importing", unit) }
    }

    #[test]
    fn the_line_tells_what_is_known() {
        let check = |progress: Progress, done, part, seconds, expected: &str| {
            assert_eq!(progress.line(done, part, Duration::from_secs(seconds)), expected);
        };
        let events = Unit::Things("events");
        check(work(events, None), 100, None, 4, "importing: 100 events, 25/s");
        check(work(events, Some(400)), 100, None, 4, "importing: 100 events, 25 %, 25/s, 12s left");
        check(work(events, None), 9, Some(0.999), 9, "importing: 9 events, 99 %, 1/s, 1s left");
        check(work(events, Some(5)), 5, None, 5, "importing: 5 events, 100 %, 1/s");
        check(work(events, Some(0)), 0, None, 5, "importing: 0 events, 0/s");
        check(work(events, Some(10_000)), 1, None, 2, "importing: 1 events, 0 %, 0/s");
        let half = "importing: 1.0 MiB, 25 %, 512.0 KiB/s, 6s left";
        check(work(Unit::Bytes, Some(4 << 20)), 1 << 20, None, 2, half);
    }

    #[test]
    fn durations_and_sizes() {
        let clock = |seconds| clock(Duration::from_secs_f64(seconds));
        assert_eq!([0.2, 59.0, 125.0, 3725.0].map(clock), ["1s", "59s", "2m05s", "1h02m"]);
        assert_eq!([0.0, 1023.0, 1536.0, 3e12].map(size), ["0 B", "1023 B", "1.5 KiB", "2.7 TiB"]);
    }

    /// The lines that are shown if an update comes every 100 ms for so many seconds.
    fn shown(mut session: Session, seconds: u64) {
        let mut progress = work(Unit::Things("events"), None);
        for tick in 0..=seconds * 10 {
            let now = progress.started + Duration::from_millis(tick * 100);
            progress.show(tick, None, now, &mut session);
        }
        progress.finish(&mut session);
    }

    #[test]
    fn a_terminal_sees_five_lines_a_second_and_none_for_short_work() {
        let (session, _, err) = Session::recorded(&[], "");
        shown(session.with_terminal(), 1);
        assert_eq!(err.text(), "");
        let (session, _, err) = Session::recorded(&[], "");
        shown(session.with_terminal(), 3);
        assert_eq!(err.text().matches("importing").count(), 6, "{}", err.text());
        assert!(err.text().ends_with("\r\x1b[2K"), "the line goes: {:?}", err.text());
    }

    #[test]
    fn a_log_sees_a_line_every_ten_seconds() {
        let (session, _, err) = Session::recorded(&[], "");
        shown(session, 25);
        let expected = "importing: 100 events, 10/s\nimporting: 200 events, 10/s\n";
        assert_eq!(err.text(), expected);
    }

    #[test]
    fn a_message_stands_above_the_line() {
        let (session, _, err) = Session::recorded(&[], "");
        let mut session = session.with_terminal();
        session.progress("half");
        session.note("line 3 is wrong");
        assert_eq!(err.text(), "\r\x1b[2Khalf\r\x1b[2Kline 3 is wrong\n");
    }
}
