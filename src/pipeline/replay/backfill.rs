//! New metrics with `backfill` count the past by themselves.

use super::super::{Inner, Pipeline, now};
use super::{Progress, Replay, ReplayError};
use crate::rules;
use crate::rules::FamilySpec;
use crate::telemetry;
use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc},
    time::{Duration, Instant},
};

/// How often the log says how far it is.
const REPORT: Duration = Duration::from_secs(5);

/// How the past of a metric is counted.
#[derive(Clone, Debug, PartialEq)]
pub enum BackfillState {
    /// It will be.
    Waiting,
    /// It is being counted.
    Running(Progress),
    /// It could not be: the metric counts from when it was new. The next start tries again.
    Failed(String),
    /// It was, or there was none.
    Done,
}

/// What runs and what failed.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Backfills(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: Vec<String>,
    progress: Option<Progress>,
    /// By name and fingerprint.
    failed: HashMap<(String, u64), String>,
}

/// Tells the thread that rules came into force.
#[derive(Debug)]
pub(in crate::pipeline) struct Wake(mpsc::Sender<()>);

impl Wake {
    /// The bell, and what hears it.
    pub(in crate::pipeline) fn new() -> (Self, mpsc::Receiver<()>) {
        let (sender, receiver) = mpsc::channel();
        (Self(sender), receiver)
    }

    pub(in crate::pipeline) fn ring(&self) {
        // The thread ends only after the pipeline has.
        let _ = self.0.send(());
    }
}

/// Counts the past of new metrics whenever it is woken, until the pipeline stops or is gone.
fn work(inner: &Weak<Inner>, woken: &mpsc::Receiver<()>) {
    telemetry::lower_priority();
    while woken.recv().is_ok() {
        let Some(inner) = inner.upgrade() else { return };
        if inner.replays.are_stopping() {
            return;
        }
        Pipeline { inner }.backfill();
    }
}

impl Pipeline {
    /// Starts the thread that counts the past of new metrics, of those that are new now to begin with.
    pub(in crate::pipeline) fn start_backfills(
        &self,
        woken: mpsc::Receiver<()>,
    ) -> std::io::Result<()> {
        let inner = Arc::downgrade(&self.inner);
        let thread = super::super::spawn("backfill", move || work(&inner, &woken))?;
        self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        self.inner.replays.wake.ring();
        Ok(())
    }

    /// How the past of the metric of `spec` is counted; `None` if it is not to be.
    #[must_use]
    pub fn backfill_state(&self, spec: &FamilySpec) -> Option<BackfillState> {
        spec.backfill?;
        let pending = self.inner.metrics.origin(&spec.name).is_some_and(|it| it.pending);
        let state = self.inner.replays.backfills.lock();
        if let Some(it) = state.failed.get(&(spec.name.clone(), spec.fingerprint)) {
            return Some(BackfillState::Failed(it.clone()));
        }
        Some(match (pending, state.progress) {
            (false, _) => BackfillState::Done,
            (true, Some(it)) if state.running.contains(&spec.name) => BackfillState::Running(it),
            (true, _) => BackfillState::Waiting,
        })
    }

    /// The sequence number of the first event that the metric called `name` counts.
    #[must_use]
    pub fn counts_from(&self, name: &str) -> Option<u64> {
        self.inner.metrics.origin(name).map(|it| it.from)
    }

    /// Counts the past of every metric that waits for it.
    fn backfill(&self) {
        while let Some((window, names)) = self.next_backfill() {
            let shown = names.join(", ");
            tracing::info!(metrics = shown, "counting the past of {shown}");
            self.inner.replays.backfills.begin(names.clone());
            let mut reported = Instant::now();
            let mut progress = |it: Progress| {
                self.inner.replays.backfills.lock().progress = Some(it);
                if reported.elapsed() >= REPORT {
                    reported = Instant::now();
                    let Progress { done, total } = it;
                    tracing::info!(
                        metrics = shown,
                        done,
                        total,
                        "counted {done} of {total} events"
                    );
                }
                ControlFlow::Continue(())
            };
            let since = match window {
                rules::Backfill::All => None,
                rules::Backfill::Within(it) => Some(now().saturating_sub(it)),
            };
            let order = Replay { since, metrics: names.clone(), dry_run: false, reset: false };
            let res = self.replay_new(&order, &mut progress);
            self.inner.replays.backfills.lock().running.clear();
            match res {
                Ok(it) => {
                    let millis = it.took.as_millis();
                    tracing::info!(
                        metrics = shown,
                        events = it.events,
                        duration_ms = millis,
                        "counted the past of {shown}: {} events",
                        it.events
                    );
                }
                // The new rules say what is to be done.
                Err(ReplayError::RulesChanged | ReplayError::Unknown(_)) => {}
                Err(ReplayError::Stopping | ReplayError::GivenUp) => return,
                Err(error) => self.failed(&names, &error),
            }
        }
    }

    /// The metrics of one window whose past is to be counted.
    fn next_backfill(&self) -> Option<(rules::Backfill, Vec<String>)> {
        let rules = self.rules();
        let waiting: Vec<_> = rules
            .families()
            .iter()
            .filter(|it| self.backfill_state(it) == Some(BackfillState::Waiting))
            .filter_map(|it| Some((it.backfill?, it.name.clone())))
            .collect();
        let window = waiting.first()?.0;
        let same = waiting.into_iter().filter(|it| it.0 == window);
        Some((window, same.map(|it| it.1).collect()))
    }

    /// Shows metrics as they are, without their past.
    fn failed(&self, names: &[String], error: &ReplayError) {
        let shown = names.join(", ");
        tracing::error!(
            %error,
            "the past of {shown} cannot be counted; it counts from when it was new, and the next start tries again"
        );
        self.inner.own.backfill_failed();
        let rules = self.rules();
        for spec in rules.families().iter().filter(|it| names.contains(&it.name)) {
            let key = (spec.name.clone(), spec.fingerprint);
            self.inner.replays.backfills.lock().failed.insert(key, error.to_string());
            self.inner.metrics.reveal(&spec.name);
        }
    }
}

impl Backfills {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the one that runs is, 0 to 1.
    pub(in crate::pipeline) fn ratio(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let ratio = |it: Progress| it.done as f64 / it.total.max(1) as f64;
        let state = self.lock();
        if state.running.is_empty() { 1.0 } else { state.progress.map_or(0.0, ratio) }
    }

    fn begin(&self, names: Vec<String>) {
        let mut state = self.lock();
        (state.running, state.progress) = (names, Some(Progress { done: 0, total: 0 }));
    }
}
