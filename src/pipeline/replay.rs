//! The past, counted by rules that are in force now.
//!
//! A replay fills a [`Shadow`] with the chosen metrics from the journal while events go on arriving, then
//! with what arrived meanwhile, and so on until little is left. The writer applies that little between two
//! commits, exchanges the families and stores a snapshot at once. Until then nothing that anyone can see
//! has changed; if the snapshot cannot be stored, the families are exchanged back.

mod backfill;
mod commit;

pub use backfill::BackfillState;
pub(super) use backfill::{Backfills, Wake};

use super::queue::Command;
use super::{Pipeline, now};
use crate::event::Time;
use crate::journal::{Cursor, Query, QueryError};
use crate::metrics::{Difference, Part, Shadow};
use crate::rules::{RuleSet, Unit, Updates};
use crate::selector::Selector;
use crate::store::{StoreError, Table};
use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

/// Events that the writer may apply between two commits: some milliseconds' worth.
const LAST_EVENTS: u64 = 2000;

/// Rounds after which the writer takes over whatever is left: ingest is as fast as the replay, then, and
/// more rounds would leave no less.
const MAX_ROUNDS: usize = 50;

/// What to count again.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Events that arrived at or after this time; `None`: all that there are.
    pub since: Option<Time>,
    /// The names of metrics or spans; none: every metric that has a `backfill`.
    pub metrics: Vec<String>,
    /// Whether to change nothing, and only to say what would be.
    pub dry_run: bool,
    /// Whether events that a metric counted and that are not counted again may be lost.
    pub reset: bool,
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Sequence numbers that it is through with.
    pub done: u64,
    /// Those that it has to go through, as known by now.
    pub total: u64,
}

/// What a replay did.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The sequence number that it began with.
    pub from: u64,
    /// Events that the rules were applied to.
    pub events: u64,
    /// How long it took.
    pub took: Duration,
    /// Per metric, what changed.
    pub metrics: Vec<Difference>,
}

/// Why metrics were not replayed. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such metric.
    #[error("no metric or span of the rules in force is called `{0}`")]
    Unknown(String),
    /// There is nothing to do.
    #[error("no metric of the rules in force has `backfill`: name metrics")]
    NoMetric,
    /// The replay would lose counts.
    #[error("{0}")]
    WouldLose(String),
    /// There is a replay already.
    #[error("another replay or backfill is under way: try again when it is done")]
    Busy,
    /// Other rules came into force again and again.
    #[error("the rules were reloaded meanwhile: try again")]
    RulesChanged,
    /// Whoever asked has gone.
    #[error("the replay was given up")]
    GivenUp,
    /// The server stops.
    #[error("the server is stopping")]
    Stopping,
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] QueryError),
    /// The store cannot be written.
    #[error("the store cannot be written: {0}")]
    Store(#[from] StoreError),
}

/// What replays share.
#[derive(Debug)]
pub(super) struct Replays {
    /// Held by the one that is under way.
    at_work: Mutex<()>,
    pub(super) backfills: Backfills,
    pub(super) wake: Wake,
    /// Whether what goes on in the background is to be given up.
    stopping: AtomicBool,
}

/// A shadow on its way to the writer.
#[derive(Debug)]
pub(super) struct Swap {
    pub(super) shadow: Box<Shadow>,
    /// Whether to take it however much is left to do.
    pub(super) finally: bool,
    pub(super) reply: mpsc::SyncSender<Swapped>,
}

/// What the writer did with it.
#[derive(Debug)]
pub(super) enum Swapped {
    /// It is in force, and a snapshot says so.
    Done,
    /// Too much is left to do between two commits.
    Behind(Box<Shadow>),
    /// Other rules are in force.
    RulesChanged(Box<Shadow>),
    /// What was in force before still is.
    Failed(ReplayError, Box<Shadow>),
}

/// Events of a step, evaluated.
#[derive(Default)]
struct Step {
    updates: Updates,
    /// Per event, and when it arrived.
    parts: Vec<(Part, i64)>,
}

/// A replay at work.
struct Run<'p> {
    pipeline: &'p Pipeline,
    rules: Arc<RuleSet>,
    units: Vec<Unit>,
    from: u64,
    /// Whether it must not lose counts.
    keeps: bool,
    rounds: usize,
    events: u64,
    progress: &'p mut dyn FnMut(Progress) -> ControlFlow<()>,
}

impl Replays {
    /// With what hears [`Self::wake`].
    pub(super) fn new() -> (Self, mpsc::Receiver<()>) {
        let (wake, woken) = Wake::new();
        let (at_work, backfills) = (Mutex::default(), Backfills::default());
        (Self { at_work, backfills, wake, stopping: AtomicBool::new(false) }, woken)
    }

    /// Has everything given up.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.wake.ring();
    }

    pub(super) fn are_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

impl Pipeline {
    /// Counts the past by the rules in force, as `order` says. Blocks for as long as it takes, about a second
    /// per million events; `progress` is told how far it is, several times a second, and can give it up.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    pub fn replay(
        &self,
        order: &Replay,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Replayed, ReplayError> {
        let _one_at_a_time = match self.inner.replays.at_work.try_lock() {
            Ok(it) => it,
            Err(TryLockError::Poisoned(it)) => it.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(ReplayError::Busy),
        };
        let rules = self.rules();
        let units = chosen(&rules, &order.metrics)?;
        let from = self.begin(order.since)?;
        if !order.reset {
            self.check_losses(&rules, &units, from)?;
        }
        let keeps = !order.reset;
        let run = Run { pipeline: self, rules, units, from, keeps, rounds: 0, events: 0, progress };
        run.run(order.dry_run)
    }

    /// The same for metrics that are new, which cannot lose anything: it begins where they do if that is
    /// earlier. Waits for a replay that is under way.
    fn replay_new(
        &self,
        order: &Replay,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Replayed, ReplayError> {
        let lock = self.inner.replays.at_work.lock();
        let _one_at_a_time = lock.unwrap_or_else(PoisonError::into_inner);
        let rules = self.rules();
        let units = chosen(&rules, &order.metrics)?;
        let members = units.iter().flat_map(|it| rules.members(*it));
        let names = members.filter_map(|it| rules.families().get(it)).map(|it| &it.name);
        let counts = names.filter_map(|it| self.inner.metrics.origin(it)).map(|it| it.from).min();
        let from = self.begin(order.since)?.min(counts.unwrap_or(u64::MAX));
        let keeps = false;
        Run { pipeline: self, rules, units, from, keeps, rounds: 0, events: 0, progress }.run(false)
    }

    /// The sequence number of the first event that arrived at or after `since`.
    fn begin(&self, since: Option<Time>) -> Result<u64, ReplayError> {
        let journal = &self.inner.journal;
        Ok(match since {
            Some(since) => journal.arrived_since(since)?,
            None => journal.first(),
        })
    }

    /// Refuses what would count less than is counted now.
    fn check_losses(&self, rules: &RuleSet, units: &[Unit], from: u64) -> Result<(), ReplayError> {
        for unit in units {
            let types = rules.only(&[*unit]).type_selectors();
            for family in rules.members(*unit) {
                if let Some(spec) = rules.families().get(family) {
                    self.check_losses_of(&spec.name, &types, from)?;
                }
            }
        }
        Ok(())
    }

    /// The same for the metric called `name`, which counts events of `types`.
    fn check_losses_of(
        &self,
        name: &str,
        types: &[Selector],
        from: u64,
    ) -> Result<(), ReplayError> {
        let journal = &self.inner.journal;
        let Some(origin) = self.inner.metrics.origin(name) else { return Ok(()) };
        // Where nothing is stored before `from`, nothing more can be covered.
        if origin.from < from && journal.first() < from {
            return Err(ReplayError::WouldLose(format!(
                "{name} counts since event {}, and the replay would begin with event {from}: what lies between would be lost; go further back, or say reset to count anew from there",
                origin.from
            )));
        }
        let missing = journal.missing(origin.from);
        if missing > 0 && journal.may_miss(origin.from, types)? {
            return Err(ReplayError::WouldLose(format!(
                "{name} counts since event {}, and {missing} events since then are not in the journal any more: {name} may have counted some of them, which would be lost; say reset to count what is left",
                origin.from
            )));
        }
        Ok(())
    }
}

/// The units that `names` mean.
pub(super) fn chosen(rules: &RuleSet, names: &[String]) -> Result<Vec<Unit>, ReplayError> {
    let mut units = Vec::new();
    for name in names {
        units.push(rules.unit(name).ok_or_else(|| ReplayError::Unknown(name.clone()))?);
    }
    if names.is_empty() {
        let families = rules.families().iter().filter(|it| it.backfill.is_some());
        units.extend(families.filter_map(|it| rules.unit(&it.name)));
    }
    units.sort_unstable();
    units.dedup();
    if units.is_empty() { Err(ReplayError::NoMetric) } else { Ok(units) }
}

impl Run<'_> {
    fn run(mut self, dry_run: bool) -> Result<Replayed, ReplayError> {
        let started = Instant::now();
        let inner = &self.pipeline.inner;
        let all = self.progress(self.from, inner.journal.end());
        if all.is_break() {
            return Err(ReplayError::GivenUp);
        }
        let shadow = self.fill(self.shadow()?)?;
        let metrics = shadow.differences(&inner.metrics, now().as_millis());
        // Retention may have deleted events before they were read.
        if self.keeps
            && let Err(error) = self.pipeline.check_losses(&self.rules, &self.units, self.from)
        {
            return Err(discarded(shadow, error));
        }
        if dry_run {
            shadow.discard()?;
        } else {
            self.finish(shadow)?;
        }
        let (from, events, took) = (self.from, self.events, started.elapsed());
        Ok(Replayed { from, events, took, metrics })
    }

    /// Tells that the events before `up_to` are counted of those before `end`.
    fn progress(&mut self, up_to: u64, end: u64) -> ControlFlow<()> {
        let done = up_to.saturating_sub(self.from);
        let total = end.saturating_sub(self.from).max(done);
        (self.progress)(Progress { done, total })
    }

    fn shadow(&self) -> Result<Box<Shadow>, ReplayError> {
        let inner = &self.pipeline.inner;
        let table: Table = inner.store.table(super::writer::TABLE)?;
        let since_ms = self.first_arrival()?.unwrap_or_else(now).as_millis();
        let place = (self.from, since_ms);
        let shadow = Shadow::new(&self.rules, &self.units, place, (&inner.metrics, Some(table)));
        Ok(Box::new(shadow?))
    }

    /// When the event that it begins with arrived.
    fn first_arrival(&self) -> Result<Option<Time>, ReplayError> {
        let mut res = None;
        let cursor = Some(Cursor(self.from));
        let query = Query { ascending: true, cursor, ..Query::default() };
        self.pipeline.inner.journal.each(&query, |_, event| {
            res = Some(event.received);
            ControlFlow::Break(())
        })?;
        Ok(res)
    }

    /// Fills `shadow` until little is left to do; on failure it is discarded.
    fn fill(&mut self, mut shadow: Box<Shadow>) -> Result<Box<Shadow>, ReplayError> {
        loop {
            let end = self.pipeline.inner.journal.end();
            if let Err(error) = self.round(&mut shadow, end) {
                return Err(discarded(shadow, error));
            }
            self.rounds += 1;
            let left = self.pipeline.inner.journal.end() - end;
            if left <= LAST_EVENTS || self.rounds >= MAX_ROUNDS {
                return Ok(shadow);
            }
        }
    }

    /// Applies the events before `end` that `shadow` has not seen.
    fn round(&mut self, shadow: &mut Shadow, end: u64) -> Result<(), ReplayError> {
        let rules = Arc::clone(shadow.rules());
        let query = Query { matches: rules.type_selectors(), ..Query::default() };
        let range = shadow.next()..end.max(shadow.next());
        let inner = &self.pipeline.inner;
        let mut failure = None;
        let visit = |step: &mut Step, _seq: u64, event: &crate::event::Event<'_>| {
            let part = Part::evaluate(&rules, event, &mut step.updates);
            step.parts.push((part, event.received.as_millis()));
        };
        let each = |up_to: u64, step: Step| {
            for (part, received_ms) in &step.parts {
                if let Err(error) = shadow.apply(&step.updates, part, *received_ms) {
                    failure = Some(error.into());
                    return ControlFlow::Break(());
                }
            }
            self.events += step.parts.len() as u64;
            inner.own.replayed(step.parts.len());
            shadow.seen(up_to);
            if inner.replays.are_stopping() {
                failure = Some(ReplayError::Stopping);
                return ControlFlow::Break(());
            }
            let going_on = self.progress(up_to, end);
            if going_on.is_break() {
                failure = Some(ReplayError::GivenUp);
            }
            going_on
        };
        inner.journal.ordered(&query, range, visit, each)?;
        if let Some(error) = failure {
            return Err(error);
        }
        shadow.seen(end);
        Ok(())
    }

    /// Hands `shadow` to the writer, after another round whenever too much has arrived meanwhile.
    fn finish(&mut self, mut shadow: Box<Shadow>) -> Result<(), ReplayError> {
        loop {
            let (reply, answer) = mpsc::sync_channel(1);
            let swap = Swap { shadow, finally: self.rounds >= MAX_ROUNDS, reply };
            if self.pipeline.inner.queue.send(Command::Swap(swap)).is_err() {
                return Err(ReplayError::Stopping);
            }
            match answer.recv() {
                Ok(Swapped::Done) => return Ok(()),
                Ok(Swapped::Behind(it)) => shadow = self.fill(it)?,
                Ok(Swapped::RulesChanged(it)) => {
                    return Err(discarded(it, ReplayError::RulesChanged));
                }
                Ok(Swapped::Failed(error, it)) => return Err(discarded(it, error)),
                Err(mpsc::RecvError) => return Err(ReplayError::Stopping),
            }
        }
    }
}

/// Gives back `error`; what `shadow` put away is deleted, if the store can be written.
fn discarded(shadow: Box<Shadow>, error: ReplayError) -> ReplayError {
    if let Err(error) = shadow.discard() {
        tracing::warn!(%error, "what a replay left in the store is deleted at the next start");
    }
    error
}

#[cfg(test)]
mod tests;
