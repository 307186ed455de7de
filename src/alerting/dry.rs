//! Alert rules beside the server: on the past, on what a test says, or to be measured. Nothing is stored and nobody is told.

use super::engine::{Engine, Origin, Ruled};
use super::sample::Sources;
use super::table::{Entry, StoredRule};
use crate::alerts::{Alert, Compiled};
use crate::event::{Event, Time};
use crate::groups::{self, Groups, Op};
use crate::metrics::{self, Part, Projection};
use crate::push::{Family, Grouping};
use crate::rules::{RuleSet, Updates};
use std::{fmt, sync::Arc};

/// Alert rules with metrics and push groups of their own.
pub struct Dry {
    engine: Engine,
    projection: Projection,
    updates: Updates,
    groups: Groups,
}

impl Dry {
    /// `rules`, of which no two have the same id, over the metrics that `metrics` makes of events. The world begins at `began`.
    #[must_use]
    pub fn new(
        rules: impl IntoIterator<Item = Compiled>,
        metrics: Arc<RuleSet>,
        began: Time,
    ) -> Self {
        let mut engine = Engine { began, ..Engine::default() };
        for it in rules {
            let rule = it.rule.clone();
            let stored = StoredRule { rule, created: began, updated: began, removed: false };
            engine.rules.insert(it.rule.id.clone(), Ruled::new(it, Origin::Api, stored));
        }
        let config = metrics::Config { zero_first: false, ..metrics::Config::default() };
        let mut projection = Projection::new(Arc::clone(&metrics), config, None, i64::MIN);
        projection.use_rules(metrics, 1, began.as_millis());
        // Nobody aims at the hashes of what a test says.
        let groups = Groups::new(groups::Config::default(), (1, 2), began);
        Self { engine, projection, updates: Updates::default(), groups }
    }

    /// An event arrives, at the time at which it was received.
    pub fn event(&mut self, event: &Event<'_>) {
        self.engine.event(event);
        self.count(event);
    }

    /// An event is counted by the metrics, and no alert rule sees it.
    pub fn count(&mut self, event: &Event<'_>) {
        self.updates.clear();
        let rules = Arc::clone(self.projection.rules());
        let part = Part::evaluate(&rules, event, &mut self.updates);
        self.projection.apply(&self.updates, &part, event.received.as_millis());
    }

    /// `families` are pushed to a group.
    ///
    /// # Errors
    ///
    /// Why the push is rejected.
    pub fn push(
        &mut self,
        op: Op,
        (grouping, families): (&Grouping, Vec<Family>),
        now: Time,
    ) -> Result<(), String> {
        self.groups.set_now(groups::Now { wall: now, steady: now });
        let push = self.groups.view().prepare(op, grouping, families);
        self.groups.apply(push, now).result.map_err(|it| it.to_string())
    }

    /// Time has come to `now`: whatever time and values decide is evaluated.
    pub fn tick(&mut self, now: Time) {
        self.projection.tick(now.as_millis());
        let (metrics, view) = (self.projection.metrics(), self.groups.view());
        self.engine.tick(Sources { metrics: &metrics, groups: Some(&view) }, now);
    }

    /// What is pending or fires.
    #[must_use]
    pub fn alerts(&self, now: Time) -> Vec<Alert> {
        self.engine.alerts(now)
    }

    /// What fired and was resolved since the last call.
    pub fn take(&mut self) -> Vec<Entry> {
        let round = &mut self.engine.round;
        let history = std::mem::take(&mut round.history);
        round.instances.clear();
        round.notices.clear();
        round.held.clear();
        history
    }
}

impl fmt::Debug for Dry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dry").field("rules", &self.engine.rules.len()).finish_non_exhaustive()
    }
}
