//! Why a rule does or does not fire, and what it would have done.

use super::dry::Dry;
use super::engine::Ruled;
use super::sample::Sources;
use super::{Alerting, AlertingError};
use crate::alerts::{
    Alert, Change, Compiled, Condition, Expected, Function, Phase, Rule, Schedule,
};
use crate::event::{Event, Time};
use crate::exposition;
use crate::journal::Query;
use crate::labels;
use crate::pipeline::Pipeline;
use crate::rules::{RuleSet, Unit};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

/// Transitions that a preview lists; it stops there.
const MAX_TRANSITIONS: usize = 1000;
/// Ticks of the clock that a preview makes at most; for a longer past they are further apart.
const MAX_TICKS: i64 = 20_000;
/// How far apart they are otherwise.
const TICK: Duration = Duration::from_secs(1);
/// How long a preview may take.
const MAX_TIME: Duration = Duration::from_secs(10);
/// Previews that are made at once.
pub(super) const AT_ONCE: usize = 2;

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
    /// Why it ended before the present, if it did.
    pub cut: Option<Cut>,
    /// Up to when it looked.
    pub covered_until: Time,
}

/// Why a preview ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It found as much as it lists.
    Transitions,
    /// It took as long as it may.
    Time,
}

impl Cut {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transitions => "transitions",
            Self::Time => "time",
        }
    }
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The rule is about something that has no past.
    #[error("{0}")]
    NoPast(String),
    /// As many are being made as may be.
    #[error("other previews are being made: try again in some seconds")]
    Busy,
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
            let it = instances.get(found.of.block).filter(|it| it.state.phase != Phase::Inactive);
            let firing = it.is_some_and(|it| it.state.phase == Phase::Firing);
            of.push(EvaluationOf {
                labels: it.map_or_else(|| labels_of(found.of.block), |it| it.labels.clone()),
                value: Some(found.of.value).filter(|it| it.is_finite()),
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
    /// came, and the clock had ticked in between. Changes nothing. It ends early, and says so, when it has found enough or
    /// takes too long; few are made at once. Blocking.
    ///
    /// # Errors
    ///
    /// The rule is wrong or is about pushes, of which no past is kept, others are being made, or events cannot be read.
    pub fn preview(
        &self,
        mut rule: Rule,
        since: Time,
        pipeline: &Pipeline,
    ) -> Result<Preview, PreviewError> {
        rule.id = "preview".to_owned();
        rule.enabled = true;
        let compiled = Compiled::new(rule).map_err(AlertingError::Invalid)?;
        let rules = pipeline.rules();
        let units = units(&compiled.condition, &rules)?;
        let _turn = self.shared.previews.try_acquire().map_err(|_| PreviewError::Busy)?;
        let now = pipeline.now();
        let only = Arc::new(rules.only(&units));
        // Of a rule about metrics, what moves them; types are enough, the rules look at the rest.
        let matches = if units.is_empty() {
            compiled.selectors().into_iter().cloned().collect()
        } else {
            only.type_selectors()
        };
        let query = Query { matches, ascending: true, ..Query::default() };
        let lead = Lead::of(&compiled.condition);
        let begin = since.saturating_sub(lead.window);
        let journal = pipeline.journal();
        let first = if lead.whole {
            0
        } else {
            journal.arrived_since(begin).map_err(AlertingError::from)?
        };
        let end = *pipeline.committed().borrow();
        let mut past = Past::new(Dry::new([compiled], only, begin), (begin, since, now));
        let read = journal.in_order(&query, first..end.max(first), |_, event| past.event(event));
        read.map_err(AlertingError::from)?;
        past.tick_until(now);
        if past.found.cut.is_none() {
            past.found.covered_until = now;
        }
        Ok(past.found)
    }
}

/// The metrics that a rule is about, as parts of the rules.
fn units(condition: &Condition, rules: &RuleSet) -> Result<Vec<Unit>, PreviewError> {
    if let Condition::Absence(it) = condition
        && matches!(it.expected, Expected::Pushes(_))
    {
        return Err(PreviewError::NoPast(
            "when groups were pushed is not kept: a rule about pushes has no past to look at"
                .to_owned(),
        ));
    }
    let mut res = Vec::new();
    for name in metrics_of(condition) {
        let names = [Some(name), name.strip_suffix("_count"), name.strip_suffix("_sum")];
        let unit = names.into_iter().flatten().find_map(|it| rules.unit(it));
        res.push(unit.ok_or_else(|| {
            PreviewError::NoPast(format!(
                "the metric {name} is none of the rules: what was pushed has no past to look at"
            ))
        })?);
    }
    Ok(res)
}

/// What a rule looks back on from the first moment.
struct Lead {
    /// For so long it is evaluated before, without showing what it does.
    window: Duration,
    /// Whether older events count as well, as for a value that was set long ago.
    whole: bool,
}

impl Lead {
    fn of(condition: &Condition) -> Self {
        let of = |window, whole| Self { window, whole };
        match condition {
            Condition::Threshold(query, _) => match query.function {
                Function::Value | Function::Count => of(Duration::ZERO, true),
                Function::Avg | Function::Min | Function::Max => of(query.window, true),
                Function::Rate | Function::Increase | Function::Quantile => of(query.window, false),
            },
            Condition::Ratio(it, _) => of(it.numerator.window.max(it.denominator.window), false),
            Condition::BurnRate(it) => {
                let longest = it.windows.iter().map(|it| it.long.0).max();
                of(longest.unwrap_or_default(), false)
            }
            Condition::Absence(it) => match it.schedule {
                Schedule::Every(every) => of(every.saturating_add(it.grace), false),
                Schedule::Cron(_) => of(Duration::ZERO, true),
            },
            Condition::Event { .. } => of(Duration::ZERO, false),
        }
    }
}

/// A rule in the past.
struct Past {
    dry: Dry,
    begin: Time,
    since: Time,
    next: Time,
    step: Duration,
    deadline: Instant,
    found: Preview,
}

impl Past {
    fn new(dry: Dry, (begin, since, now): (Time, Time, Time)) -> Self {
        let span_ms = (now.as_millis() - begin.as_millis()).max(0);
        let step = u64::try_from((span_ms / MAX_TICKS).max(1000)).unwrap_or(1000);
        Self {
            dry,
            begin,
            since,
            next: begin,
            step: Duration::from_millis(step),
            deadline: Instant::now() + MAX_TIME,
            found: Preview::default(),
        }
    }

    fn event(&mut self, event: &Event<'_>) -> ControlFlow<()> {
        self.found.events += 1;
        self.found.covered_until = event.received;
        if event.received < self.begin {
            self.dry.count(event);
        } else {
            self.tick_until(event.received);
            self.dry.event(event);
            // What rises and falls again between two ticks is seen, if they are far apart.
            if self.step > TICK {
                self.dry.tick(event.received);
            }
            self.collect();
        }
        if self.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn tick_until(&mut self, until: Time) {
        while self.next <= until && !self.is_over() {
            self.dry.tick(self.next);
            self.found.covered_until = self.next;
            self.collect();
            self.next = self.next.saturating_add(self.step);
        }
    }

    fn is_over(&mut self) -> bool {
        if self.found.transitions.len() >= MAX_TRANSITIONS {
            self.found.cut = Some(Cut::Transitions);
        } else if Instant::now() >= self.deadline {
            self.found.cut = Some(Cut::Time);
        }
        self.found.cut.is_some()
    }

    fn collect(&mut self) {
        let since = self.since;
        let transition =
            |it: super::Entry| Some(Transition { at: it.at, change: it.change?, alert: it.alert });
        let found = self.dry.take().into_iter().filter_map(transition);
        self.found.transitions.extend(found.filter(|it| it.at >= since));
        self.found.transitions.truncate(MAX_TRANSITIONS);
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
