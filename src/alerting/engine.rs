//! What there is of rules, label sets and silences, and how it moves. The one owner of the state; it reads no clock.

use super::evaluate::Evaluator;
use super::round::Round;
use super::sample::Sources;
use super::table::{Entry, Instance, StoredRule};
use super::tell::announce;
use super::watch::What;
use crate::alerts::{
    Absence, Alert, Change, Compiled, Condition, Expected, Kind, Phase, Rule, Severity, Silence,
    Status, Verdict, fingerprint,
};
use crate::event::{Event, Time};
use crate::labels;
use crate::selector::{LabelSelector, View};
use hashbrown::HashMap;
use std::{collections::BTreeMap, sync::Arc};

/// Label sets that one rule may have; further ones are not followed, and counted.
pub(super) const MAX_INSTANCES: usize = 20_000;

/// Why an alert is over that nobody ended and whose condition may hold on.
pub(super) const REMOVED: &str = "rule removed";
pub(super) const SWITCHED_OFF: &str = "rule switched off";
pub(super) const CHANGED: &str = "rule changed";

/// The id of the rule that stands for alerts that others send.
pub(super) const EXTERNAL: &str = "external";

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Engine {
    pub(super) rules: BTreeMap<String, Ruled>,
    pub(super) silences: BTreeMap<String, Silenced>,
    pub(super) round: Round,
    /// The sequence number up to which events were evaluated.
    pub(super) mark: u64,
    pub(super) counts: Counts,
    pub(super) ticks: u64,
    /// When the process began: nothing could arrive before.
    pub(super) began: Time,
    /// The silences that held when the engine last looked, as long as somebody watches.
    pub(super) holding: Vec<String>,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) pending: u64,
    pub(super) firing: u64,
    pub(super) resolved: u64,
    /// Label sets that were not followed.
    pub(super) dropped: u64,
}

/// Where a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is part of the program.
    Shipped,
    /// It stands in the configuration.
    Configured,
    /// It was made, or changed, over the API.
    Api,
    /// It stands for the alerts that others send.
    External,
}

/// A rule and what it found.
#[derive(Debug)]
pub(super) struct Ruled {
    pub(super) compiled: Arc<Compiled>,
    pub(super) origin: Origin,
    pub(super) stored: StoredRule,
    pub(super) evaluator: Evaluator,
    pub(super) instances: HashMap<Box<str>, Instance>,
}

/// A silence, ready to be asked.
#[derive(Debug)]
pub(super) struct Silenced {
    pub(super) silence: Silence,
    pub(super) selector: LabelSelector,
}

/// What settles an instance besides its rule.
pub(super) struct Context<'a> {
    pub(super) silences: &'a BTreeMap<String, Silenced>,
    pub(super) round: &'a mut Round,
    pub(super) counts: &'a mut Counts,
    pub(super) now: Time,
}

impl Ruled {
    pub(super) fn new(compiled: Compiled, origin: Origin, stored: StoredRule) -> Self {
        Self {
            evaluator: Evaluator::new(&compiled.condition),
            compiled: Arc::new(compiled),
            origin,
            stored,
            instances: HashMap::new(),
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.compiled.rule.enabled && !self.stored.removed
    }
}

impl Engine {
    /// Evaluates what time and values decide.
    pub(super) fn tick(&mut self, sources: Sources<'_>, now: Time) {
        self.ticks += 1;
        let Self { rules, silences, round, counts, ticks, began, .. } = self;
        let mut context = Context { silences, round, counts, now };
        for ruled in rules.values_mut().filter(|it| it.is_active()) {
            match &ruled.compiled.clone().condition {
                Condition::Event { resolve_after, .. } => {
                    let over = |it: &Instance| {
                        let after = resolve_after.zip(it.seen);
                        after.is_some_and(|(after, seen)| now >= seen.saturating_add(after))
                            || it.until.is_some_and(|it| now >= it)
                    };
                    for (block, it) in &mut ruled.instances {
                        it.latched &= !over(it);
                        let verdict = if it.latched { Verdict::True } else { Verdict::False };
                        settle(&ruled.compiled, block, it, verdict, &mut context);
                    }
                }
                Condition::Absence(absence) => {
                    ruled.miss(absence, sources.groups, *began, &mut context)
                }
                _ => ruled.compare(sources, *ticks, &mut context),
            }
            ruled.forget(&mut context);
        }
        self.look_at_silences(now);
    }

    /// Evaluates what `event` decides.
    pub(super) fn event(&mut self, event: &Event<'_>) {
        let Self { rules, silences, round, counts, .. } = self;
        let mut context = Context { silences, round, counts, now: event.received };
        let view = View::new(event);
        for ruled in rules.values_mut().filter(|it| it.is_active()) {
            match &ruled.compiled.clone().condition {
                Condition::Event { fire, resolve, key, .. } => {
                    // What both mean ends it: an event that is its own counterpart begins nothing.
                    let ends = resolve.as_ref().is_some_and(|it| it.matches(&view));
                    if ends || fire.matches(&view) {
                        ruled.latch(key, &view, !ends, &mut context);
                    }
                }
                Condition::Absence(Absence {
                    expected: Expected::Events { selector, gone, key },
                    ..
                }) => {
                    let is_gone = gone.as_ref().is_some_and(|it| it.matches(&view));
                    if is_gone || selector.matches(&view) {
                        ruled.see(key, &view, !is_gone, &mut context);
                    }
                }
                _ => {}
            }
        }
    }

    /// Takes alerts that somebody else found.
    pub(super) fn external(&mut self, instance: Instance, now: Time) {
        let Self { rules, silences, round, counts, .. } = self;
        let mut context = Context { silences, round, counts, now };
        let Some(ruled) = rules.get_mut(EXTERNAL) else { return };
        let block = block_of(&instance.labels);
        let verdict = if instance.latched { Verdict::True } else { Verdict::False };
        let compiled = Arc::clone(&ruled.compiled);
        let made = || instance.clone();
        let Some(it) = ruled.instance(&block, instance.latched, &mut context, made) else { return };
        let Instance { annotations, latched, until, starts, generator, .. } = instance;
        (it.annotations, it.latched, it.until) = (annotations, latched, until);
        (it.starts, it.generator) = (starts, generator);
        context.round.instances.insert((EXTERNAL.to_owned(), block.clone()));
        settle(&compiled, &block, it, verdict, &mut context);
    }

    /// All alerts that are pending or fire, with the ids of the silences that keep them quiet.
    pub(super) fn alerts(&self, now: Time) -> Vec<Alert> {
        let mut res = Vec::new();
        for ruled in self.rules.values() {
            for it in ruled.instances.values().filter(|it| it.state.phase != Phase::Inactive) {
                let mut alert = alert(&ruled.compiled, it);
                alert.silenced_by = silenced_by(&self.silences, &alert.labels, now);
                res.push(alert);
            }
        }
        res
    }

    /// The rule and the label block of an alert that is pending or fires.
    pub(super) fn find(&self, id: &str) -> Option<(String, Box<str>)> {
        self.rules.iter().find_map(|(rule, ruled)| {
            let is_it = |it: &Instance| it.state.phase != Phase::Inactive && alert_id(it) == id;
            let (block, _) = ruled.instances.iter().find(|(_, it)| is_it(it))?;
            Some((rule.clone(), block.clone()))
        })
    }

    /// Moves one instance by hand: `change` says what happened to it.
    pub(super) fn by_hand(
        &mut self,
        (rule, block): (&str, &str),
        now: Time,
        change: impl FnOnce(&Compiled, &mut Instance) -> Option<Change>,
        entry: impl FnOnce(Alert) -> Entry,
    ) -> Option<Alert> {
        let Self { rules, silences, round, counts, .. } = self;
        let mut context = Context { silences, round, counts, now };
        let ruled = rules.get_mut(rule)?;
        let it = ruled.instances.get_mut(block)?;
        let changed = change(&ruled.compiled, it);
        context.count(changed);
        let mut alert = alert(&ruled.compiled, it);
        if changed.is_some() {
            (alert.status, alert.ends_at) = (Status::Resolved, Some(now));
        }
        alert.silenced_by = silenced_by(silences, &alert.labels, now);
        let what = changed.map_or(What::Acknowledged, What::from);
        context.round.news.add(now, what, || alert.clone());
        context.round.history.push(Entry { change: changed, ..entry(alert.clone()) });
        announce(&ruled.compiled, it, &mut context);
        context.round.instances.insert((rule.to_owned(), block.to_owned()));
        Some(alert)
    }

    /// Ends everything that a rule found, because it is removed, switched off or means something else: `reason` says so.
    pub(super) fn end(&mut self, rule: &str, reason: &'static str, now: Time) {
        let Self { rules, silences, round, counts, .. } = self;
        let mut context = Context { silences, round, counts, now };
        let Some(ruled) = rules.get_mut(rule) else { return };
        for (block, it) in ruled.instances.drain() {
            context.end(&ruled.compiled, &block, it, reason);
        }
    }

    /// Ends what is stored of a rule that is not evaluated any more: it was removed or changed while no server ran.
    pub(super) fn end_stored(&mut self, (rule, block): (&str, &str), it: Instance, now: Time) {
        let Self { rules, silences, round, counts, .. } = self;
        let mut context = Context { silences, round, counts, now };
        let (compiled, reason) = match rules.get(rule) {
            Some(ruled) if ruled.stored.removed => (Arc::clone(&ruled.compiled), REMOVED),
            Some(ruled) if !ruled.is_active() => (Arc::clone(&ruled.compiled), SWITCHED_OFF),
            Some(ruled) => (Arc::clone(&ruled.compiled), CHANGED),
            None => match Compiled::new(removed(rule, &it)) {
                Ok(it) => (Arc::new(it), REMOVED),
                Err(_) => {
                    context.round.instances.insert((rule.to_owned(), block.to_owned()));
                    return;
                }
            },
        };
        context.end(&compiled, block, it, reason);
    }
}

impl Context<'_> {
    fn count(&mut self, change: Option<Change>) {
        match change {
            Some(Change::Pending) => self.counts.pending += 1,
            Some(Change::Firing) => self.counts.firing += 1,
            Some(Change::Resolved) => self.counts.resolved += 1,
            Some(Change::Dropped) | None => {}
        }
    }

    /// What `it` was about is over, because of its rule.
    fn end(&mut self, compiled: &Compiled, block: &str, mut it: Instance, reason: &'static str) {
        if let Some(change) = it.state.resolve(&compiled.timing, self.now) {
            self.note(compiled, &mut it, change, Some(reason));
        }
        announce(compiled, &mut it, self);
        self.round.instances.insert((compiled.rule.id.clone(), block.to_owned()));
    }

    /// A change that people may look up later.
    fn note(
        &mut self,
        compiled: &Compiled,
        it: &mut Instance,
        change: Change,
        reason: Option<&str>,
    ) {
        self.count(Some(change));
        let (silences, now) = (self.silences, self.now);
        self.round.news.add(now, change.into(), || {
            it.silenced_by = silenced_by(silences, &it.labels, now);
            Alert { silenced_by: it.silenced_by.clone(), ..alert(compiled, it) }
        });
        if matches!(change, Change::Firing | Change::Resolved) {
            let alert = alert(compiled, it);
            let (at, change) = (self.now, Some(change));
            self.round.history.push(Entry {
                at,
                change,
                action: None,
                by: None,
                comment: String::new(),
                reason: reason.map(str::to_owned),
                alert,
            });
        }
    }
}

/// What an alert looks like whose rule is not known any more.
fn removed(id: &str, it: &Instance) -> Rule {
    Rule {
        id: id.to_owned(),
        name: it.labels.get("alertname").cloned().unwrap_or_else(|| id.to_owned()),
        kind: Kind::Event,
        matches: "observatory_removed_rule".to_owned(),
        severity: severity_of(&it.labels),
        // Nobody waits for it to be calm.
        flap_window: Some(crate::alerts::Span(std::time::Duration::ZERO)),
        ..Rule::default()
    }
}

/// A new instance of a rule that compares values or waits for something.
pub(super) fn fresh(compiled: &Compiled, block: &str) -> Instance {
    let found: Vec<_> = crate::exposition::label_pairs(block)
        .map(|(name, value)| (name.into_owned(), labels::unescape_value(value).into_owned()))
        .collect();
    let labels = compiled.labels(found.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    Instance { labels, meaning: compiled.meaning.clone(), ..Instance::default() }
}

/// Moves an instance, and notes what is to be written and told.
pub(super) fn settle(
    compiled: &Compiled,
    block: &str,
    it: &mut Instance,
    verdict: Verdict,
    context: &mut Context<'_>,
) {
    let before = it.state.clone();
    let change = it.state.step(&compiled.timing, verdict, context.now);
    if let Some(change) = change {
        let by_event = matches!(compiled.condition, Condition::Event { .. });
        if !by_event && matches!(change, Change::Pending | Change::Firing) {
            it.annotations = compiled.annotations_of_value(&it.labels, it.value, context.now);
        }
        context.note(compiled, it, change, None);
    }
    announce(compiled, it, context);
    if it.state != before {
        context.round.instances.insert((compiled.rule.id.clone(), block.to_owned()));
    }
}

/// An alert as it is shown.
pub(super) fn alert(compiled: &Compiled, it: &Instance) -> Alert {
    let rule = &compiled.rule;
    Alert {
        id: alert_id(it),
        rule_id: rule.id.clone(),
        rule_name: it.labels.get("alertname").cloned().unwrap_or_else(|| rule.name.clone()),
        fingerprint: fingerprint(&it.labels),
        labels: it.labels.clone(),
        annotations: it.annotations.clone(),
        severity: if rule.id == EXTERNAL { severity_of(&it.labels) } else { rule.severity },
        status: match it.state.phase {
            Phase::Pending => Status::Pending,
            Phase::Firing => Status::Firing,
            Phase::Inactive => Status::Resolved,
        },
        value: it.value,
        threshold: compiled.threshold(),
        starts_at: it.starts.unwrap_or(it.state.since),
        ends_at: it.state.ended,
        acknowledged: it.state.acknowledged.clone(),
        silenced_by: Vec::new(),
    }
}

/// How bad an alert of somebody else is, by the label that is usual for it.
fn severity_of(labels: &BTreeMap<String, String>) -> Severity {
    match labels.get("severity").map(String::as_str) {
        Some("critical" | "page" | "emergency") => Severity::Critical,
        Some("high" | "error" | "major") => Severity::High,
        Some("low" | "info" | "none") => Severity::Low,
        _ => Severity::Medium,
    }
}

/// The same after every restart: it follows from the labels and the moment at which it began.
pub(super) fn alert_id(it: &Instance) -> String {
    format!("alert-{}-{:x}", fingerprint(&it.labels), it.state.since.as_millis())
}

pub(super) fn silenced_by(
    silences: &BTreeMap<String, Silenced>,
    labels: &BTreeMap<String, String>,
    now: Time,
) -> Vec<String> {
    let holding = silences.values().filter(|it| it.holds(labels, now));
    holding.map(|it| it.silence.id.clone()).collect()
}

impl Silenced {
    pub(super) fn holds(&self, labels: &BTreeMap<String, String>, now: Time) -> bool {
        self.silence.is_active(now)
            && self.selector.matches(|name| labels.get(name).map(String::as_str))
    }
}

fn block_of(labels: &BTreeMap<String, String>) -> String {
    labels::block(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}
