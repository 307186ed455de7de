//! The past as it would have been scraped: samples with times, computed from the journal.
//!
//! Each family is computed by itself, from the events of the types that can move it. They are taken in
//! windows of their own times, each window sorted, because the journal has them in the order of arrival. A
//! window that has too many events is made shorter, down to one step; so memory is bounded by the series
//! and by the events of a window.

use super::replay::{ReplayError, chosen};
use super::{Pipeline, now};
use crate::event::{Event, Time};
use crate::exposition::Dated;
use crate::journal::Query;
use crate::metrics::{Part, Past};
use crate::rules::{Diagnostics, RuleSet, Unit, Updates};
use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// Events of a window after which it is made shorter.
const WINDOW_EVENTS: usize = 100_000;

/// How long a window is at first, and at most.
const FIRST_WINDOW_MS: i64 = 3_600_000;
const LONGEST_WINDOW_MS: i64 = 7 * 24 * 3_600_000;

/// Bytes that are handed on at once, about.
const CHUNK_BYTES: usize = 64 << 10;

/// What to compute.
#[derive(Clone, Debug)]
pub struct Chronicle {
    /// The text of a rule file; `None`: the rules in force.
    pub rules: Option<String>,
    /// Events that happened at or after this time, by their own time.
    pub since: Time,
    /// Events that happened before this time; the last sample is at it.
    pub until: Time,
    /// Between two samples; at least a second.
    pub step: Duration,
    /// The names of metrics or spans; none: all.
    pub metrics: Vec<String>,
}

/// Why nothing, or not all, was computed.
#[derive(Debug, thiserror::Error)]
pub enum ChronicleError {
    /// The rules that were given are wrong.
    #[error("{0}")]
    Rules(Diagnostics),
    /// A metric is not known, or the journal cannot be read.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

/// Where chunks go; it breaks when nobody wants more.
type Sink<'s> = dyn FnMut(Vec<u8>) -> ControlFlow<()> + 's;

/// What events of a window do.
#[derive(Default)]
struct Step {
    updates: Updates,
    /// Time, sequence number, and what it does.
    parts: Vec<(Time, u64, Part)>,
}

/// A window's events, in the order of their own times.
#[derive(Default)]
struct Window {
    steps: Vec<Updates>,
    /// Time, sequence number, its step, and what it does.
    parts: Vec<(Time, u64, usize, Part)>,
}

/// The times at which samples are taken, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug)]
struct Grid {
    since: i64,
    until: i64,
    step: i64,
}

impl Pipeline {
    /// Writes timestamped OpenMetrics to `sink`, in chunks: for every family of the rules its samples at
    /// every step, as if it had been scraped then. Blocks; stops when the sink breaks. What is handed out
    /// ends with `# EOF` if and only if it is whole.
    ///
    /// # Errors
    ///
    /// The rules or names are wrong: nothing was handed out then. Or the journal cannot be read.
    pub fn chronicle(&self, order: &Chronicle, sink: &mut Sink<'_>) -> Result<(), ChronicleError> {
        let rules = self.rules();
        let rules = match &order.rules {
            Some(text) => {
                let max_label_bytes = rules.defaults().max_label_bytes;
                let rules = RuleSet::parse(text).map_err(ChronicleError::Rules)?;
                Arc::new(rules.with_max_label_bytes(max_label_bytes))
            }
            None => rules,
        };
        let units = match order.metrics.as_slice() {
            [] => rules.units(),
            names => chosen(&rules, names)?,
        };
        let grid = Grid::new(order);
        let mut out = Dated::new();
        for unit in units {
            for family in rules.members(unit) {
                if self.family(&rules, (unit, family), grid, (&mut out, &mut *sink))?.is_break() {
                    return Ok(());
                }
            }
        }
        out.finish();
        let _ = sink(out.take());
        Ok(())
    }

    fn family(
        &self,
        rules: &Arc<RuleSet>,
        (unit, family): (Unit, usize),
        grid: Grid,
        (out, sink): (&mut Dated, &mut Sink<'_>),
    ) -> Result<ControlFlow<()>, ChronicleError> {
        let Some(mut past) = Past::new(rules, unit, family, grid.since) else {
            return Ok(ControlFlow::Continue(()));
        };
        past.begin(out);
        let (mut start, mut length) = (grid.since, FIRST_WINDOW_MS.max(grid.step));
        while start < grid.until {
            let (window, end) = self.window(past.rules(), grid, (start, length))?;
            let found = window.parts.len();
            if show(&mut past, &window, grid, (start, end), (&mut *out, &mut *sink)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            length = match found {
                n if n < WINDOW_EVENTS / 4 => (length * 2).min(LONGEST_WINDOW_MS.max(grid.step)),
                _ => (end - start).max(grid.step),
            };
            start = end;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The events from `start` on, of `length` or fewer milliseconds if there are too many, and where they
    /// end: at a step.
    fn window(
        &self,
        rules: &Arc<RuleSet>,
        grid: Grid,
        (start, length): (i64, i64),
    ) -> Result<(Window, i64), ChronicleError> {
        let end = AtomicI64::new(grid.at_or_after(start + length));
        let mut res = Window::default();
        let query = Query {
            matches: rules.type_selectors(),
            since: Some(Time::from_millis(start)),
            until: Some(Time::from_millis(end.load(Ordering::Relaxed))),
            ..Query::default()
        };
        let visit = |step: &mut Step, seq: u64, event: &Event<'_>| {
            if event.time < Time::from_millis(end.load(Ordering::Relaxed)) {
                let part = Part::evaluate(rules, event, &mut step.updates);
                step.parts.push((event.time, seq, part));
            }
        };
        let each = |_, step: Step| {
            let at = res.steps.len();
            res.steps.push(step.updates);
            let part = |(time, seq, part)| (time, seq, at, part);
            res.parts.extend(step.parts.into_iter().map(part));
            let mut until = end.load(Ordering::Relaxed);
            while res.parts.len() > WINDOW_EVENTS && until > grid.after(start) {
                until = grid.at_or_after(start + (until - start) / 2).max(grid.after(start));
                res.parts.retain(|it| it.0 < Time::from_millis(until));
                end.store(until, Ordering::Relaxed);
            }
            if self.inner.replays.are_stopping() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let journal = &self.inner.journal;
        journal.ordered(&query, 0..journal.end(), visit, each).map_err(ReplayError::from)?;
        if self.inner.replays.are_stopping() {
            return Err(ReplayError::Stopping.into());
        }
        let end = end.load(Ordering::Relaxed);
        res.parts.retain(|it| it.0 < Time::from_millis(end));
        res.parts.sort_unstable_by_key(|it| (it.0, it.1));
        Ok((res, end))
    }
}

/// Applies the events of a window and takes the samples within.
fn show(
    past: &mut Past,
    window: &Window,
    grid: Grid,
    (start, end): (i64, i64),
    (out, sink): (&mut Dated, &mut Sink<'_>),
) -> ControlFlow<()> {
    let mut parts = window.parts.iter().peekable();
    let mut before = start;
    while before < end {
        let at = grid.after(before);
        while let Some((time, _, step, part)) = parts.next_if(|it| it.0 < Time::from_millis(at)) {
            if let Some(updates) = window.steps.get(*step) {
                past.apply(updates, part, time.as_millis());
            }
        }
        past.sample((before, at), out);
        if out.buffered() >= CHUNK_BYTES {
            sink(out.take())?;
        }
        before = at;
    }
    ControlFlow::Continue(())
}

impl Grid {
    fn new(order: &Chronicle) -> Self {
        let step = i64::try_from(order.step.as_millis()).unwrap_or(i64::MAX).max(1000);
        let until = order.until.min(now());
        Self { since: order.since.as_millis(), until: until.as_millis(), step }
    }

    /// The first time for a sample after `at`.
    fn after(self, at: i64) -> i64 {
        (at.div_euclid(self.step) + 1).saturating_mul(self.step).min(self.until)
    }

    /// The first time for a sample at or after `at`.
    fn at_or_after(self, at: i64) -> i64 {
        self.after(at.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests;
