//! What one rule makes of values, events and the time.

use super::engine::{Context, MAX_INSTANCES, Ruled, fresh, settle};
use super::sample::Sources;
use super::table::Instance;
use crate::alerts::{Absence, Condition, Expected, NoData, Phase, Schedule, Verdict};
use crate::event::Time;
use crate::groups;
use crate::labels;
use crate::rules::Phrase;
use crate::selector::View;
use hashbrown::HashMap;
use std::sync::Arc;

impl Ruled {
    /// Compares values.
    pub(super) fn compare(&mut self, sources: Sources<'_>, tick: u64, context: &mut Context<'_>) {
        let Self { compiled, evaluator, instances, .. } = self;
        let no_data = compiled.rule.no_data;
        let mut any = false;
        evaluator.tick(sources, context.now.as_millis(), &mut |found| {
            any = true;
            if !instances.contains_key(found.of.block) {
                if !found.fires {
                    return;
                }
                if instances.len() >= MAX_INSTANCES {
                    context.counts.dropped += 1;
                    return;
                }
                instances.insert(found.of.block.into(), fresh(compiled, found.of.block));
            }
            let Some(it) = instances.get_mut(found.of.block) else { return };
            it.touched = tick;
            it.value = Some(found.of.value);
            let holds = found.holds(it.state.phase == Phase::Firing);
            let verdict = match (holds, found.of.partial) {
                (true, _) => Verdict::True,
                (false, true) => Verdict::Unknown,
                (false, false) => Verdict::False,
            };
            settle(compiled, found.of.block, it, verdict, context);
        });
        let nothing = match no_data {
            NoData::Ok => Verdict::False,
            NoData::Alert => Verdict::True,
            NoData::Keep => Verdict::Unknown,
        };
        if !any && nothing == Verdict::True && instances.is_empty() {
            instances.insert("".into(), fresh(compiled, ""));
        }
        for (block, it) in instances.iter_mut().filter(|it| it.1.touched != tick) {
            let verdict = if any && block.is_empty() { Verdict::False } else { nothing };
            it.value = None;
            settle(compiled, block, it, verdict, context);
        }
    }

    /// Looks for what is overdue.
    pub(super) fn miss(
        &mut self,
        absence: &Absence,
        groups: Option<&groups::View>,
        began: Time,
        context: &mut Context<'_>,
    ) {
        let now = context.now;
        // Nothing could arrive while the server was down; a whole period must pass first.
        let since_start = |seen: Time| match absence.schedule {
            Schedule::Every(_) => seen.max(began),
            Schedule::Cron(_) => seen,
        };
        let absent = |seen: Time| absence.is_absent(since_start(seen), now);
        if let Expected::Pushes(selector) = &absence.expected {
            let mut present = HashMap::new();
            let groups = groups.map(groups::View::groups).unwrap_or_default();
            for group in groups.iter().filter(|it| selector.matches(|name| it.label(name))) {
                let block = labels::block(group.labels());
                present.insert(block, group.pushed().unwrap_or_default());
            }
            if present.is_empty() {
                present.insert(String::new(), self.stored.created);
            }
            for (block, seen) in &present {
                if absent(*seen)
                    && let Some(it) = self.instance(block, true, context, Instance::default)
                {
                    it.seen = Some(*seen);
                }
            }
            for (block, it) in &mut self.instances {
                // A push counts from when it came, and nothing is kept of it when it came in time.
                it.seen = present.get(block.as_ref()).copied();
                let verdict =
                    if it.seen.is_some_and(absent) { Verdict::True } else { Verdict::False };
                settle(&self.compiled, block, it, verdict, context);
                it.seen = None;
            }
            return;
        }
        for (block, it) in &mut self.instances {
            let verdict = if it.seen.is_some_and(absent) { Verdict::True } else { Verdict::False };
            settle(&self.compiled, block, it, verdict, context);
        }
    }

    /// An event began it, or ended it.
    pub(super) fn latch(
        &mut self,
        key: &[(String, Phrase)],
        view: &View<'_>,
        begins: bool,
        context: &mut Context<'_>,
    ) {
        let block = block_of_key(key, view);
        let (compiled, event) = (Arc::clone(&self.compiled), view.event());
        let Some(it) = self.instance(&block, begins, context, Instance::default) else {
            return;
        };
        if begins && it.state.phase == Phase::Inactive {
            it.annotations = compiled.annotations_of_event(event);
        }
        (it.latched, it.seen) = (begins, Some(event.received));
        if begins {
            // Each event is one of its own: what was resolved by hand is over.
            it.state.release();
        }
        let verdict = if begins { Verdict::True } else { Verdict::False };
        context.round.instances.insert((compiled.rule.id.clone(), block.clone()));
        settle(&compiled, &block, it, verdict, context);
    }

    /// What was expected came, or is expected no more.
    pub(super) fn see(
        &mut self,
        key: &[(String, Phrase)],
        view: &View<'_>,
        expected: bool,
        context: &mut Context<'_>,
    ) {
        let block = block_of_key(key, view);
        let (compiled, received) = (Arc::clone(&self.compiled), view.event().received);
        let Some(it) = self.instance(&block, expected, context, Instance::default) else {
            return;
        };
        it.seen = expected.then_some(received);
        if it.annotations.is_empty() {
            it.annotations = compiled.annotations_of_event(view.event());
        }
        context.round.instances.insert((compiled.rule.id.clone(), block.clone()));
        settle(&compiled, &block, it, Verdict::False, context);
    }

    /// The instance with these labels; a new one if `make`.
    pub(super) fn instance(
        &mut self,
        block: &str,
        make: bool,
        context: &mut Context<'_>,
        new: impl FnOnce() -> Instance,
    ) -> Option<&mut Instance> {
        if !self.instances.contains_key(block) {
            if !make {
                return None;
            }
            if self.instances.len() >= MAX_INSTANCES {
                context.counts.dropped += 1;
                return None;
            }
            let made = new();
            let it = if made.labels.is_empty() { fresh(&self.compiled, block) } else { made };
            self.instances.insert(block.into(), it);
        }
        let it = self.instances.get_mut(block)?;
        it.meaning.clone_from(&self.compiled.meaning);
        Some(it)
    }

    pub(super) fn forget(&mut self, context: &mut Context<'_>) {
        let (timing, now) = (&self.compiled.timing, context.now);
        let rule = &self.compiled.rule.id;
        let absence = matches!(self.compiled.condition, Condition::Absence(_));
        self.instances.retain(|block, it| {
            let expected = absence && it.seen.is_some();
            let idle = !expected && !it.latched && it.state.is_idle(timing, now);
            if idle {
                context.round.instances.insert((rule.clone(), block.to_string()));
            }
            !idle
        });
    }
}

fn block_of_key(key: &[(String, Phrase)], view: &View<'_>) -> String {
    let values: Vec<_> = key.iter().map(|(name, it)| (name.as_str(), it.fill(view))).collect();
    labels::block(values.iter().map(|(name, value)| (*name, value.as_str())))
}
