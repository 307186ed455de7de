//! From a rule as it is written to what is evaluated.

mod compiler;

use super::rule::{BurnWindow, FieldError, Function, Operator, Rule, Span};
use super::state::Timing;
use super::{Cron, Mutes, fingerprint};
use crate::event::{Event, EventId, NewEvent, Time};
use crate::rules::Phrase;
use crate::selector::{LabelSelector, Selector, View};
use compiler::Compiler;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, time::Duration};

/// The default of `repeat_interval`.
const REPEAT: Duration = Duration::from_hours(4);
/// The default of `flap_window`.
const FLAP: Duration = Duration::from_secs(600);

/// A rule that can be evaluated. Immutable; shared behind an `Arc`.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The rule as it was written.
    pub rule: Rule,
    /// What is evaluated.
    pub condition: Condition,
    /// Its durations.
    pub timing: Timing,
    /// When nobody is told.
    pub mutes: Mutes,
    /// What decides what its alerts are about: if it changes, what was found before means nothing any more.
    pub meaning: String,
    annotations: Vec<(String, Phrase)>,
}

/// What is evaluated.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Values of a metric are compared.
    Threshold(Query, Judge),
    /// The quotient of two increases is compared.
    Ratio(Ratio, Judge),
    /// An error budget burns.
    BurnRate(BurnRate),
    /// An event begins it, and perhaps another ends it.
    Event {
        /// Which events begin it.
        fire: Selector,
        /// Which end it.
        resolve: Option<Selector>,
        /// The labels that tell one from another: name and value.
        key: Vec<(String, Phrase)>,
        /// After how long without a further event it is over.
        resolve_after: Option<Duration>,
    },
    /// What is expected did not happen.
    Absence(Absence),
}

/// Which values of a metric, and what is made of them.
#[derive(Clone, Debug)]
pub struct Query {
    /// The metric's name.
    pub metric: String,
    /// Which of its series.
    pub selector: Option<LabelSelector>,
    /// What is made of their values.
    pub function: Function,
    /// Which quantile.
    pub quantile: f64,
    /// Over how long.
    pub window: Duration,
    /// The labels whose combinations are one each; `None`: each series is one.
    pub group_by: Option<Vec<String>>,
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judge {
    /// The comparison.
    pub operator: Operator,
    /// With what.
    pub threshold: f64,
    /// With what while it fires.
    pub recovery: f64,
}

/// One increase divided by another.
#[derive(Clone, Debug)]
pub struct Ratio {
    /// What is divided.
    pub numerator: Query,
    /// By what.
    pub denominator: Query,
    /// With a smaller denominator there is no data.
    pub min_denominator: f64,
}

/// How fast an error budget burns.
#[derive(Clone, Debug)]
pub struct BurnRate {
    /// Errors over everything; the windows are those of the pairs.
    pub ratio: Ratio,
    /// Which part may be bad.
    pub budget: f64,
    /// One pair in which both burn too fast is enough.
    pub windows: Vec<BurnWindow>,
}

/// What is expected, and when.
#[derive(Clone, Debug)]
pub struct Absence {
    /// What is expected.
    pub expected: Expected,
    /// When.
    pub schedule: Schedule,
    /// How late it may be.
    pub grace: Duration,
}

/// What is expected.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Events, per key.
    Events {
        /// Which.
        selector: Selector,
        /// Which say that nothing is expected any more.
        gone: Option<Selector>,
        /// The labels that tell one from another.
        key: Vec<(String, Phrase)>,
    },
    /// Pushes to the groups with such labels.
    Pushes(LabelSelector),
}

/// When something is expected.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// So often.
    Every(Duration),
    /// By a cron line.
    Cron(Cron),
}

// === impl Compiled ===

impl Compiled {
    /// Compiles `rule`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, by field.
    pub fn new(rule: Rule) -> Result<Self, Vec<FieldError>> {
        let mut compiler = Compiler { rule: &rule, errors: Vec::new() };
        compiler.common();
        let condition = compiler.condition();
        let mutes = match Mutes::new(&rule.mute_times) {
            Ok(it) => it,
            Err(it) => {
                compiler.wrong("mute_times", it);
                Mutes::default()
            }
        };
        let phrase = |(name, text): (&String, &String)| match Phrase::parse(text) {
            Ok(it) => Some((name.clone(), it)),
            Err(it) => {
                compiler.wrong("annotations", format!("{name} is no text with placeholders: {it}"));
                None
            }
        };
        let annotations = rule.annotations.iter().filter_map(phrase).collect();
        let errors = compiler.errors;
        match condition {
            Some(condition) if errors.is_empty() => Ok(Self {
                timing: timing(&rule),
                meaning: meaning(&rule),
                rule,
                condition,
                mutes,
                annotations,
            }),
            _ => Err(errors),
        }
    }

    /// The labels of an alert: the rule's, those of what it found, its name and severity.
    #[must_use]
    pub fn labels<'a>(
        &self,
        found: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> BTreeMap<String, String> {
        let rule = &self.rule;
        let found = found.into_iter().filter(|it| !it.1.is_empty() && it.0 != "__name__");
        let mut res: BTreeMap<_, _> =
            found.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        res.extend(rule.labels.iter().map(|(name, value)| (name.clone(), value.clone())));
        res.insert("alertname".to_owned(), rule.name.clone());
        res.entry("severity".to_owned()).or_insert_with(|| rule.severity.as_str().to_owned());
        res
    }

    /// What people read of an alert that an event began.
    #[must_use]
    pub fn annotations_of_event(&self, event: &Event<'_>) -> BTreeMap<String, String> {
        let view = View::new(event);
        self.annotations.iter().map(|(name, it)| (name.clone(), it.fill(&view))).collect()
    }

    /// What people read of an alert that a value began: placeholders are its labels, `value` and `threshold`.
    #[must_use]
    pub fn annotations_of_value(
        &self,
        labels: &BTreeMap<String, String>,
        value: Option<f64>,
        now: Time,
    ) -> BTreeMap<String, String> {
        if self.annotations.is_empty() {
            return BTreeMap::new();
        }
        let mut data: Map<String, Value> =
            labels.iter().map(|(name, it)| (name.clone(), Value::from(it.as_str()))).collect();
        data.insert("value".to_owned(), value.map_or(Value::Null, |it| Value::from(shown(it))));
        if let Some(it) = self.threshold() {
            data.insert("threshold".to_owned(), Value::from(shown(it)));
        }
        let event = NewEvent {
            id: None,
            event_type: self.rule.name.as_str().into(),
            source: "observatory".into(),
            time: None,
            subject: None,
            trace: None,
            data: Value::Object(data).to_string().into(),
        };
        self.annotations_of_event(&event.accept(now, || EventId::Generated(0)))
    }

    /// What values are compared with, if they are.
    #[must_use]
    pub fn threshold(&self) -> Option<f64> {
        match &self.condition {
            Condition::Threshold(_, judge) | Condition::Ratio(_, judge) => Some(judge.threshold),
            _ => None,
        }
    }

    /// Whether it is evaluated when events arrive, and not by the clock alone.
    #[must_use]
    pub fn selectors(&self) -> Vec<&Selector> {
        match &self.condition {
            Condition::Event { fire, resolve, .. } => {
                std::iter::once(fire).chain(resolve).collect()
            }
            Condition::Absence(Absence {
                expected: Expected::Events { selector, gone, .. },
                ..
            }) => std::iter::once(selector).chain(gone).collect(),
            _ => Vec::new(),
        }
    }
}

impl Judge {
    /// Whether `value` is what the rule waits for; while it fires, whether it still is.
    #[must_use]
    pub fn holds(&self, value: f64, firing: bool) -> bool {
        self.operator.holds(value, if firing { self.recovery } else { self.threshold })
    }
}

impl Absence {
    /// Whether it is absent at `now`, having been seen last at `seen`.
    #[must_use]
    pub fn is_absent(&self, seen: Time, now: Time) -> bool {
        match &self.schedule {
            Schedule::Every(every) => now > seen.saturating_add(*every).saturating_add(self.grace),
            Schedule::Cron(cron) => {
                cron.last(now.saturating_sub(self.grace)).is_some_and(|due| seen < due)
            }
        }
    }
}

/// A number as people write it, without digits that mean nothing.
fn shown(value: f64) -> String {
    let rounded = (value * 1e4).round() / 1e4;
    if rounded == 0.0 { format!("{value:e}").replace("0e0", "0") } else { rounded.to_string() }
}

fn meaning(rule: &Rule) -> String {
    let rule = Rule {
        id: String::new(),
        description: String::new(),
        enabled: true,
        hold: None,
        keep_firing_for: None,
        repeat_interval: None,
        flap_window: None,
        threshold: None,
        recovery_threshold: None,
        operator: Operator::default(),
        annotations: BTreeMap::new(),
        notification_channels: Vec::new(),
        escalation: Vec::new(),
        mute_times: Vec::new(),
        ..rule.clone()
    };
    // A rule is always JSON.
    let text = serde_json::to_string(&rule).unwrap_or_default();
    fingerprint(&BTreeMap::from([(String::new(), text)]))
}

fn timing(rule: &Rule) -> Timing {
    let or = |it: Option<Span>, default| it.map_or(default, |it| it.0);
    Timing {
        hold: or(rule.hold, Duration::ZERO),
        keep_firing: or(rule.keep_firing_for, Duration::ZERO),
        repeat: or(rule.repeat_interval, REPEAT),
        flap: or(rule.flap_window, FLAP),
        escalation: rule.escalation.iter().map(|it| it.after.0).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compile(rule: &Value) -> Result<Compiled, String> {
        let text =
            |it: Vec<FieldError>| it.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Compiled::new(Rule::from_json(rule).map_err(text)?).map_err(text)
    }

    #[test]
    fn every_kind_compiles() {
        for rule in [
            json!({"name": "a", "metric_name": "cpu_usage{host=\"a\"}", "threshold": 80}),
            json!({"name": "a", "metric_name": "x_seconds", "function": "quantile", "quantile": 0.9, "threshold": 1}),
            json!({"name": "a", "kind": "ratio", "numerator": "e_total", "denominator": "r_total", "threshold": 0.05, "group_by": ["agent"]}),
            json!({"name": "a", "kind": "burn_rate", "numerator": "e_total", "denominator": "r_total", "objective": 0.99}),
            json!({"name": "a", "kind": "event", "match": "x", "resolve": "y{a=\"b\"}", "group_by": ["project=project,repo", "branch"]}),
            json!({"name": "a", "kind": "absence", "match": "beat", "every": "1m", "resolve": "gone"}),
            json!({"name": "a", "kind": "absence", "push": "{job=\"b\"}", "cron": "0 3 * * *", "timezone": "Europe/Berlin"}),
        ] {
            compile(&rule).unwrap_or_else(|it| panic!("{rule}: {it}"));
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_field() {
        let check = |rule: Value, expected: &str| {
            let error = compile(&rule).map(|_| ()).unwrap_err();
            assert!(error.contains(expected), "{rule}: {error}");
        };
        check(json!({"metric_name": "a", "threshold": 1}), "name: must have 1 to 256 bytes");
        check(
            json!({"name": "a", "threshold": 1}),
            "metric_name: \"\" is no metric such as cpu_usage",
        );
        check(json!({"name": "a", "metric_name": "a"}), "threshold: is missing");
        check(
            json!({"name": "a", "metric_name": "a{b}", "threshold": 1}),
            "metric_name: its matchers",
        );
        check(
            json!({"name": "a", "metric_name": "a", "threshold": 1, "function": "quantile"}),
            "quantile: must be 0 to 1",
        );
        check(
            json!({"name": "a", "metric_name": "a", "threshold": 1, "recovery_threshold": 2}),
            "recovery_threshold: is 2",
        );
        check(
            json!({"name": "a", "metric_name": "a", "threshold": 1, "every": "1m"}),
            "every: belongs to rules with \"kind\": \"absence\"",
        );
        check(
            json!({"name": "a", "metric_name": "a", "threshold": 1, "labels": {"a-b": "c"}}),
            "labels: \"a-b\" cannot be a label",
        );
        check(json!({"name": "a", "kind": "event"}), "match: is no selector of events such as");
        check(
            json!({"name": "a", "kind": "event", "match": "x", "group_by": ["a b"]}),
            "group_by: \"a b\" is neither",
        );
        check(
            json!({"name": "a", "kind": "absence", "match": "x"}),
            "every: say when it is expected",
        );
        check(
            json!({"name": "a", "kind": "absence", "every": "1m"}),
            "match: say what is expected",
        );
        check(
            json!({"name": "a", "kind": "absence", "match": "x", "cron": "1"}),
            "cron: has 1 fields",
        );
        check(
            json!({"name": "a", "kind": "burn_rate", "numerator": "a", "denominator": "b", "objective": 1}),
            "objective: must be",
        );
        check(
            json!({"name": "a", "metric_name": "a", "threshold": 1, "annotations": {"s": "${x"}}),
            "annotations: s is no text",
        );
        check(
            json!({"name": "a", "metric_name": "a", "threshold": 1, "mute_times": [{"days": ["x"]}]}),
            "mute_times: there is no day",
        );
    }

    #[test]
    fn values_show_without_noise() {
        for (value, expected) in
            [(0.1 + 0.2, "0.3"), (80.0, "80"), (0.0, "0"), (1e-7, "1e-7"), (1234.5, "1234.5")]
        {
            assert_eq!(shown(value), expected);
        }
    }

    #[test]
    fn annotations_say_what_was_found() {
        let rule = json!({"name": "High CPU", "metric_name": "cpu", "threshold": 80, "labels": {"team": "a"},
            "annotations": {"summary": "${host}: $value > $threshold ($severity)"}});
        let compiled = compile(&rule).unwrap();
        let labels = compiled.labels([("host", "x"), ("empty", "")]);
        assert_eq!(
            serde_json::to_string(&labels).unwrap(),
            r#"{"alertname":"High CPU","host":"x","severity":"medium","team":"a"}"#
        );
        let said = compiled.annotations_of_value(&labels, Some(81.25), Time::from_millis(0));
        assert_eq!(said["summary"], "x: 81.25 > 80 (medium)");
    }

    #[test]
    fn absence_is_told_by_period_or_by_line() {
        let at = |text: &str| Time::parse(text).unwrap();
        let absent = |rule: Value, seen: &str, now: &str| {
            let Condition::Absence(it) = compile(&rule).unwrap().condition else { panic!() };
            it.is_absent(at(seen), at(now))
        };
        let every =
            json!({"name": "a", "kind": "absence", "match": "x", "every": "5m", "grace": "1m"});
        assert!(!absent(every.clone(), "2026-01-05T10:00:00Z", "2026-01-05T10:06:00Z"));
        assert!(absent(every, "2026-01-05T10:00:00Z", "2026-01-05T10:06:00.001Z"));
        let nightly = json!({"name": "a", "kind": "absence", "push": "{job=\"x\"}", "cron": "0 3 * * *", "timezone": "Europe/Berlin", "grace": "1h"});
        assert!(!absent(nightly.clone(), "2026-01-04T02:10:00Z", "2026-01-05T02:59:00Z"));
        assert!(absent(nightly.clone(), "2026-01-04T02:10:00Z", "2026-01-05T03:00:00Z"));
        assert!(!absent(nightly, "2026-01-05T02:00:01Z", "2026-01-05T03:00:00Z"));
    }
}
