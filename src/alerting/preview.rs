//! Why a rule does or does not fire, and what it would have done.

use super::engine::{Engine, Origin, Ruled};
use super::sample::Sources;
use super::table::StoredRule;
use super::{Alerting, AlertingError};
use crate::alerts::{Alert, Change, Compiled, Condition, Expected, Phase, Rule};
use crate::event::{Event, Time};
use crate::exposition;
use crate::journal::Query;
use crate::labels;
use crate::metrics;
use crate::metrics::{Part, Projection};
use crate::pipeline::Pipeline;
use crate::rules::Updates;
use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc, time::Duration};

/// Transitions that a preview lists; it stops there.
const MAX_TRANSITIONS: usize = 1000;
/// Ticks that a preview makes at most.
const MAX_TICKS: i64 = 20_000;

/// How one label set of a rule stands.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationOf {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value now.
    pub value: Option<f64>,
    /// Whether the condition holds.
    pub holds: bool,
    /// The alert, if it is pending or fires.
    pub alert: Option<Alert>,
}

/// How a rule stands.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The rule.
    pub rule: Rule,
    /// Its label sets: those that have a value, and those that are pending or fire.
    pub of: Vec<EvaluationOf>,
    /// Why it fires, or does not.
    pub reason: String,
}

/// Something that would have happened.
#[derive(Clone, Debug)]
pub struct Transition {
    /// When.
    pub at: Time,
    /// What.
    pub change: Change,
    /// The alert as it would have been.
    pub alert: Alert,
}

/// What a rule would have done.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// What would have happened, oldest first.
    pub transitions: Vec<Transition>,
    /// Events that were looked at.
    pub events: u64,
    /// Whether there was more than is listed.
    pub truncated: bool,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The rule is about something that has no past.
    #[error("{0}")]
    NoPast(String),
    /// It could not be made.
    #[error(transparent)]
    Alerting(#[from] AlertingError),
}

impl Alerting {
    /// Evaluates a rule now, and says why it does or does not fire. Blocking.
    ///
    /// # Errors
    ///
    /// There is no such rule.
    pub fn evaluate(&self, id: &str, pipeline: &Pipeline) -> Result<Evaluation, AlertingError> {
        let view = self.rule(id)?;
        let metrics = pipeline.metrics();
        let sources = Sources { metrics: &metrics, groups: Some(pipeline.groups()) };
        let (now, mut of) = (pipeline.now(), Vec::new());
        let mut engine = self.lock();
        let Some(ruled) = engine.rules.get_mut(&view.rule.id) else {
            return Ok(nothing(view.rule));
        };
        let Ruled { compiled, evaluator, instances, .. } = ruled;
        evaluator.tick(sources, now.as_millis(), &mut |found| {
            let it = instances.get(found.block).filter(|it| it.state.phase != Phase::Inactive);
            let firing = it.is_some_and(|it| it.state.phase == Phase::Firing);
            of.push(EvaluationOf {
                labels: it.map_or_else(|| labels_of(found.block), |it| it.labels.clone()),
                value: Some(found.value).filter(|it| it.is_finite()),
                holds: found.holds(firing),
                alert: it.map(|it| super::engine::alert(compiled, it)),
            });
        });
        if matches!(compiled.condition, Condition::Event { .. } | Condition::Absence(_)) {
            of.extend(instances.values().filter(|it| it.state.phase != Phase::Inactive).map(
                |it| EvaluationOf {
                    labels: it.labels.clone(),
                    value: None,
                    holds: true,
                    alert: Some(super::engine::alert(compiled, it)),
                },
            ));
        }
        let reason = reason(compiled, &of, now);
        Ok(Evaluation { rule: view.rule, of, reason })
    }

    /// What `rule` would have done with the events since `since`: they are taken as if each had come at the time at which it
    /// came, and the clock had ticked in between. Changes nothing. Blocking.
    ///
    /// # Errors
    ///
    /// The rule is wrong or is about pushes, of which no past is kept, or events cannot be read.
    pub fn preview(
        &self,
        mut rule: Rule,
        since: Time,
        pipeline: &Pipeline,
    ) -> Result<Preview, PreviewError> {
        rule.id = "preview".to_owned();
        rule.enabled = true;
        let compiled = Compiled::new(rule.clone()).map_err(AlertingError::Invalid)?;
        let rules = pipeline.rules();
        let needs = metrics_of(&compiled.condition);
        let known = |name: &&str| {
            let names = [Some(*name), name.strip_suffix("_count"), name.strip_suffix("_sum")];
            rules.families().iter().any(|it| names.contains(&Some(it.name.as_str())))
        };
        if let Some(name) = needs.iter().find(|it| !known(it)) {
            return Err(PreviewError::NoPast(format!(
                "the metric {name} is none of the rules: what was pushed has no past to look at"
            )));
        }
        if let Condition::Absence(it) = &compiled.condition
            && matches!(it.expected, Expected::Pushes(_))
        {
            return Err(PreviewError::NoPast(
                "when groups were pushed is not kept: a rule about pushes has no past to look at"
                    .to_owned(),
            ));
        }
        let now = pipeline.now();
        let selectors: Vec<_> = compiled.selectors().into_iter().cloned().collect();
        let by_metrics = !needs.is_empty();
        let config = metrics::Config { zero_first: false, ..metrics::Config::default() };
        let mut projection = Projection::new(Arc::clone(&rules), config, None, i64::MIN);
        projection.use_rules(Arc::clone(&rules), 1, since.as_millis());
        let mut past = Past::new(compiled, rule, (since, now), (projection, by_metrics));
        let query = Query {
            matches: if by_metrics { Vec::new() } else { selectors },
            ascending: true,
            ..Query::default()
        };
        let end = *pipeline.committed().borrow();
        let read = pipeline.journal().in_order(&query, 0..end, |_, event| {
            if event.received < since {
                return ControlFlow::Continue(());
            }
            past.event(event);
            if past.found.transitions.len() >= MAX_TRANSITIONS {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        read.map_err(AlertingError::from)?;
        past.tick_until(now);
        past.found.truncated = past.found.transitions.len() >= MAX_TRANSITIONS;
        past.found.transitions.truncate(MAX_TRANSITIONS);
        Ok(past.found)
    }
}

/// A rule in the past.
struct Past {
    engine: Engine,
    projection: Projection,
    /// Whether the rule is about metrics.
    by_metrics: bool,
    updates: Updates,
    next: Time,
    step: Duration,
    found: Preview,
}

impl Past {
    fn new(
        compiled: Compiled,
        rule: Rule,
        (since, now): (Time, Time),
        (projection, by_metrics): (Projection, bool),
    ) -> Self {
        let stored = StoredRule { rule, created: since, updated: since, removed: false };
        let mut engine = Engine { began: since, ..Engine::default() };
        engine.rules.insert("preview".to_owned(), Ruled::new(compiled, Origin::Api, stored));
        let span_ms = (now.as_millis() - since.as_millis()).max(0);
        let step = u64::try_from((span_ms / MAX_TICKS).max(1000)).unwrap_or(1000);
        Self {
            engine,
            projection,
            by_metrics,
            updates: Updates::default(),
            next: since,
            step: Duration::from_millis(step),
            found: Preview::default(),
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        self.found.events += 1;
        self.tick_until(event.received);
        self.engine.event(event);
        if self.by_metrics {
            self.updates.clear();
            let rules = Arc::clone(self.projection.rules());
            let part = Part::evaluate(&rules, event, &mut self.updates);
            self.projection.apply(&self.updates, &part, event.received.as_millis());
        }
        self.collect();
    }

    fn tick_until(&mut self, until: Time) {
        while self.next <= until && self.found.transitions.len() < MAX_TRANSITIONS {
            let now = self.next;
            self.projection.tick(now.as_millis());
            let metrics = self.projection.metrics();
            self.engine.tick(Sources { metrics: &metrics, groups: None }, now);
            self.collect();
            self.next = now.saturating_add(self.step);
        }
    }

    fn collect(&mut self) {
        let history = std::mem::take(&mut self.engine.round.history);
        let transition =
            |it: super::Entry| Some(Transition { at: it.at, change: it.change?, alert: it.alert });
        self.found.transitions.extend(history.into_iter().filter_map(transition));
        self.engine.round.instances.clear();
        self.engine.round.notices.clear();
    }
}

fn metrics_of(condition: &Condition) -> Vec<&str> {
    match condition {
        Condition::Threshold(query, _) => vec![&query.metric],
        Condition::Ratio(it, _) => vec![&it.numerator.metric, &it.denominator.metric],
        Condition::BurnRate(it) => vec![&it.ratio.numerator.metric, &it.ratio.denominator.metric],
        Condition::Event { .. } | Condition::Absence(_) => Vec::new(),
    }
}

fn labels_of(block: &str) -> BTreeMap<String, String> {
    let pairs = exposition::label_pairs(block);
    pairs
        .map(|(name, value)| (name.into_owned(), labels::unescape_value(value).into_owned()))
        .collect()
}

fn nothing(rule: Rule) -> Evaluation {
    Evaluation { rule, of: Vec::new(), reason: "it was removed meanwhile".to_owned() }
}

/// Why it fires, or does not, in a sentence.
fn reason(compiled: &Compiled, of: &[EvaluationOf], now: Time) -> String {
    let rule = &compiled.rule;
    if !rule.enabled {
        return "it is switched off".to_owned();
    }
    let count = |it: Phase| {
        let status = |of: &EvaluationOf| of.alert.as_ref().map(|it| it.status.as_str());
        let name = if it == Phase::Firing { "firing" } else { "pending" };
        of.iter().filter(|it| status(it) == Some(name)).count()
    };
    let (firing, pending) = (count(Phase::Firing), count(Phase::Pending));
    let muted =
        if compiled.mutes.holds(now) { "; a mute time holds, so nobody is told" } else { "" };
    if firing > 0 {
        return format!("it fires for {firing} of {} label sets{muted}", of.len());
    }
    if pending > 0 {
        let hold = rule.hold.unwrap_or_default();
        return format!(
            "its condition holds for {pending} of {} label sets, but not for {hold} yet",
            of.len()
        );
    }
    match &compiled.condition {
        Condition::Event { .. } => "no event has begun it that was not ended".to_owned(),
        Condition::Absence(_) => "nothing that is expected is overdue".to_owned(),
        _ if of.is_empty() => format!(
            "there is no data: no series of {} has a value",
            metrics_of(&compiled.condition).join(" and ")
        ),
        _ if of.iter().any(|it| it.holds) => "its condition holds since now".to_owned(),
        Condition::Threshold(_, judge) | Condition::Ratio(_, judge) => {
            format!("no value of {} is {} {}", of.len(), judge.operator.sign(), judge.threshold)
        }
        Condition::BurnRate(_) => "no budget burns too fast".to_owned(),
    }
}
