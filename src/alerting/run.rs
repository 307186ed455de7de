//! Keeping the rules evaluated: each second by the clock, and at each commit by its events.

use super::engine::Engine;
use super::sample::Sources;
use super::{Alerting, AlertingError};
use crate::event::Time;
use crate::journal;
use crate::journal::Query;
use crate::pipeline::Pipeline;
use crate::selector::Selector;
use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often values are compared.
const TICK: Duration = Duration::from_secs(1);
/// How often what nobody waits for is written.
const LAZY: Duration = Duration::from_secs(5);
/// Events that are evaluated in one batch.
const AT_ONCE: usize = 1000;
/// How often old history is looked for.
const SWEEP: Duration = Duration::from_mins(10);

impl Alerting {
    /// Evaluates until `stopping` is cancelled, and then writes what is not written yet.
    pub async fn run(&self, pipeline: Pipeline, stopping: CancellationToken) {
        let mut committed = pipeline.committed();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut written, mut swept) = (Instant::now(), None);
        loop {
            let ticked = tokio::select! {
                () = stopping.cancelled() => break,
                moved = committed.changed() => if moved.is_err() { break } else { false },
                _ = ticks.tick() => true,
            };
            let end = *committed.borrow_and_update();
            let lazily = written.elapsed() >= LAZY;
            let sweep = ticked && swept.is_none_or(|it: Instant| it.elapsed() >= SWEEP);
            if lazily {
                written = Instant::now();
            }
            if sweep {
                swept = Some(Instant::now());
            }
            let (this, pipeline) = (self.clone(), pipeline.clone());
            let work = tokio::task::spawn_blocking(move || {
                this.follow(&pipeline, end)?;
                if ticked {
                    this.tick(&pipeline);
                }
                if sweep {
                    this.sweep(pipeline.now())?;
                }
                this.settle(pipeline.now(), lazily)
            });
            match work.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(%error, "alert rules cannot be evaluated; it is tried again");
                    pause(&mut committed).await;
                }
                Err(error) => {
                    tracing::error!(%error, "the evaluation of alert rules ended with a panic")
                }
            }
        }
        let (this, now) = (self.clone(), pipeline.now());
        let last = tokio::task::spawn_blocking(move || this.settle(now, true)).await;
        if !matches!(last, Ok(Ok(()))) {
            tracing::error!(
                "what is known of alerts could not be written; events are evaluated again at the next start"
            );
        }
    }

    /// Evaluates the events before `end` that were not yet.
    pub(super) fn follow(&self, pipeline: &Pipeline, end: u64) -> Result<(), AlertingError> {
        while self.follow_some(pipeline, end)? {}
        Ok(())
    }

    /// Evaluates some of them; whether there may be more.
    fn follow_some(&self, pipeline: &Pipeline, end: u64) -> Result<bool, AlertingError> {
        let (start, matches) = {
            let mut engine = self.lock();
            let matches = selectors(&engine);
            if matches.is_empty() {
                engine.mark = end.max(engine.mark);
            }
            (engine.mark, matches)
        };
        if start >= end {
            return Ok(false);
        }
        let query = Query { matches, ascending: true, ..Query::default() };
        // Read without the lock, so that nobody waits for the disk; one task alone moves the mark.
        let mut found = Vec::new();
        pipeline.journal().in_order(&query, start..end, |seq, event| {
            found.push((seq, journal::owned_event(event.clone())));
            if found.len() >= AT_ONCE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let more = found.len() >= AT_ONCE;
        let mut engine = self.lock();
        for (_, event) in &found {
            engine.event(event);
        }
        engine.mark = match found.last() {
            Some((seq, _)) if more => seq + 1,
            _ => end,
        };
        self.write_if_urgent(&mut engine, pipeline.now())?;
        Ok(more)
    }

    /// Evaluates what time and values decide.
    pub(super) fn tick(&self, pipeline: &Pipeline) {
        let metrics = pipeline.metrics();
        let sources = Sources { metrics: &metrics, groups: Some(pipeline.groups()) };
        let begun = Instant::now();
        self.lock().tick(sources, pipeline.now());
        self.shared.own.evaluated(begun.elapsed());
    }

    /// Writes what people wait for; with `lazily`, all that changed.
    fn settle(&self, now: Time, lazily: bool) -> Result<(), AlertingError> {
        let mut engine = self.lock();
        if lazily && !engine.round.is_empty() {
            return self.write(&mut engine, now);
        }
        self.write_if_urgent(&mut engine, now)
    }

    fn write_if_urgent(&self, engine: &mut Engine, now: Time) -> Result<(), AlertingError> {
        if engine.round.is_urgent() {
            return self.write(engine, now);
        }
        // What is only pending is shown at once and written later: after a crash it is found again.
        self.publish(engine);
        Ok(())
    }
}

/// The selectors of all rules that events are evaluated by.
fn selectors(engine: &Engine) -> Vec<Selector> {
    let active = engine.rules.values().filter(|it| it.is_active());
    active.flat_map(|it| it.compiled.selectors().into_iter().cloned().collect::<Vec<_>>()).collect()
}

/// A store that fails is not asked again at once.
async fn pause(committed: &mut watch::Receiver<u64>) {
    tokio::time::sleep(TICK).await;
    committed.mark_changed();
}
