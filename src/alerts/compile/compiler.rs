//! What the fields of a rule come to, and everything that is wrong with them.

use super::{Absence, BurnRate, Condition, Expected, Judge, Query, Ratio, Schedule};
use crate::alerts::Cron;
use crate::alerts::calendar::zone;
use crate::alerts::rule::{BurnWindow, FieldError, Function, Kind, Operator, Rule, Span};
use crate::labels;
use crate::rules::Phrase;
use crate::selector::{LabelSelector, Selector};
use std::time::Duration;

/// The default of `window`.
const WINDOW: Duration = Duration::from_secs(300);
/// The longest window: its samples are kept in memory.
const MAX_WINDOW: Duration = Duration::from_hours(7 * 24);
/// The default of `grace`.
const GRACE: Duration = Duration::from_secs(60);
/// The default of `resolve_after` of a rule that nothing else ends.
const RESOLVE_AFTER: Duration = Duration::from_hours(1);
/// The longest name of a rule, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// Bytes of a rule as it is kept: as many rules as there may be must not fill the memory.
const MAX_RULE_BYTES: usize = 64 << 10;

/// Collects what is wrong with a rule while it is compiled.
pub(super) struct Compiler<'r> {
    pub(super) rule: &'r Rule,
    pub(super) errors: Vec<FieldError>,
}

impl Compiler<'_> {
    pub(super) fn wrong(&mut self, field: &str, reason: impl Into<String>) {
        self.errors.push(FieldError::new(field, reason));
    }

    pub(super) fn common(&mut self) {
        let rule = self.rule;
        if rule.name.is_empty() || rule.name.len() > MAX_NAME_BYTES {
            self.wrong("name", format!("must have 1 to {MAX_NAME_BYTES} bytes, such as High CPU"));
        }
        let bytes = serde_json::to_string(rule).map_or(0, |it| it.len());
        if bytes > MAX_RULE_BYTES {
            self.wrong("", format!("the rule has {bytes} bytes, and may have {MAX_RULE_BYTES}"));
        }
        for name in rule.labels.keys().filter(|it| !labels::is_label_name(it) || *it == "alertname")
        {
            self.wrong("labels", format!("{name:?} cannot be a label: letters, digits and _ make one, and alertname is the rule's name"));
        }
        if !rule.escalation.is_sorted_by_key(|it| it.after) {
            self.wrong("escalation", "must be in the order of `after`, the soonest first");
        }
        let others: &[(&str, bool, Kind)] = &[
            ("metric_name", !rule.metric_name.is_empty(), Kind::Threshold),
            ("push", !rule.push.is_empty(), Kind::Absence),
            ("cron", !rule.cron.is_empty(), Kind::Absence),
            ("every", rule.every.is_some(), Kind::Absence),
            ("resolve_after", rule.resolve_after.is_some(), Kind::Event),
            ("objective", rule.objective.is_some(), Kind::BurnRate),
        ];
        for (field, given, kind) in others {
            if *given && *kind != rule.kind {
                let kind = serde_json::to_string(kind).unwrap_or_default();
                self.wrong(field, format!("belongs to rules with \"kind\": {kind}"));
            }
        }
    }

    pub(super) fn condition(&mut self) -> Option<Condition> {
        let rule = self.rule;
        match rule.kind {
            Kind::Threshold => {
                let query = self.query("metric_name", &rule.metric_name, rule.function);
                let judge = self.judge();
                Some(Condition::Threshold(query?, judge?))
            }
            Kind::Ratio => {
                let ratio = self.ratio();
                let judge = self.judge();
                Some(Condition::Ratio(ratio?, judge?))
            }
            Kind::BurnRate => self.burn_rate(),
            Kind::Event => {
                let fire =
                    self.selector("match", &rule.matches, "ci_build_completed{status=\"failed\"}");
                let resolve = self.optional("resolve", &rule.resolve);
                let key = self.key();
                let (fire, resolve) = (fire?, resolve?);
                let default = resolve.is_none().then_some(RESOLVE_AFTER);
                let resolve_after = rule.resolve_after.map(|it| it.0).or(default);
                Some(Condition::Event { fire, resolve, key, resolve_after })
            }
            Kind::Absence => self.absence(),
        }
    }

    fn judge(&mut self) -> Option<Judge> {
        let Some(threshold) = self.rule.threshold else {
            self.wrong(
                "threshold",
                "is missing: the number that the value is compared with, such as 80",
            );
            return None;
        };
        let operator = self.rule.operator;
        let recovery = self.rule.recovery_threshold.unwrap_or(threshold);
        let backwards = match operator {
            Operator::Gt | Operator::Gte => recovery > threshold,
            Operator::Lt | Operator::Lte => recovery < threshold,
            Operator::Eq | Operator::Ne => self.rule.recovery_threshold.is_some(),
        };
        if backwards {
            self.wrong("recovery_threshold", format!("is {recovery}, which value {} {threshold} never has to leave: with gt it is below the threshold, with lt above, and eq and ne have none", operator.sign()));
        }
        Some(Judge { operator, threshold, recovery })
    }

    fn query(&mut self, field: &str, text: &str, function: Function) -> Option<Query> {
        let (metric, matchers) = match text.find('{') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let metric = metric.trim();
        if !labels::is_metric_name(metric) {
            self.wrong(field, format!("{text:?} is no metric such as cpu_usage or ci_builds_total{{result=\"failure\"}}"));
            return None;
        }
        let selector =
            if matchers.is_empty() { Ok(None) } else { LabelSelector::parse(matchers).map(Some) };
        let selector = selector
            .map_err(|it| self.wrong(field, format!("its matchers cannot be read: {it}")))
            .ok()?;
        let quantile = match (function, self.rule.quantile) {
            (Function::Quantile, Some(it)) if (0.0..=1.0).contains(&it) => it,
            (Function::Quantile, _) => {
                self.wrong("quantile", "must be 0 to 1, such as 0.99");
                return None;
            }
            _ => 0.0,
        };
        let window = self.rule.window.map_or(WINDOW, |it| it.0);
        if window.is_zero() || window > MAX_WINDOW {
            self.wrong("window", "must be up to 7d, such as 5m");
        }
        for name in self.rule.group_by.iter().filter(|it| !labels::is_label_name(it)) {
            self.errors
                .push(FieldError::new("group_by", format!("{name:?} is no name of a label")));
        }
        let group_by = (!self.rule.group_by.is_empty()).then(|| self.rule.group_by.clone());
        let group_by = group_by.or((function == Function::Count).then(Vec::new));
        Some(Query { metric: metric.to_owned(), selector, function, quantile, window, group_by })
    }

    fn ratio(&mut self) -> Option<Ratio> {
        let rule = self.rule;
        if !matches!(rule.function, Function::Value | Function::Increase | Function::Rate) {
            self.wrong("function", "is always the increase within the window");
        }
        let numerator = self.query("numerator", &rule.numerator, Function::Increase);
        let denominator = self.query("denominator", &rule.denominator, Function::Increase);
        // What is divided must be summed up by the same labels.
        let summed = |it: Query| Query { group_by: it.group_by.or_else(|| Some(Vec::new())), ..it };
        let min_denominator = rule.min_denominator.unwrap_or(f64::MIN_POSITIVE);
        if min_denominator <= 0.0 {
            self.wrong("min_denominator", "must be above 0, such as 10");
        }
        Some(Ratio {
            numerator: summed(numerator?),
            denominator: summed(denominator?),
            min_denominator,
        })
    }

    fn burn_rate(&mut self) -> Option<Condition> {
        let rule = self.rule;
        let objective = rule.objective.filter(|it| (0.0..1.0).contains(it));
        if objective.is_none() {
            self.wrong("objective", "must be at least 0 and below 1, such as 0.999");
        }
        let mut windows = rule.windows.clone();
        if windows.is_empty() {
            // Google's SRE workbook, chapter 5: 2 % of a month's budget in an hour, 5 % in six.
            let span = |minutes: u64| Span(Duration::from_secs(60 * minutes));
            windows = vec![
                BurnWindow { long: span(60), short: span(5), factor: 14.4 },
                BurnWindow { long: span(360), short: span(30), factor: 6.0 },
            ];
        }
        for it in &windows {
            if it.short >= it.long
                || it.short.0.is_zero()
                || it.long.0 > MAX_WINDOW
                || it.factor <= 0.0
            {
                self.wrong("windows", "each has a short window, a longer one of up to 7d and a factor above 0, such as {\"long\": \"1h\", \"short\": \"5m\", \"factor\": 14.4}");
            }
        }
        let ratio = self.ratio();
        Some(Condition::BurnRate(BurnRate { ratio: ratio?, budget: 1.0 - objective?, windows }))
    }

    fn absence(&mut self) -> Option<Condition> {
        let rule = self.rule;
        let expected = match (rule.matches.is_empty(), rule.push.is_empty()) {
            (false, true) => {
                let selector = self.selector("match", &rule.matches, "agent_heartbeat");
                let gone = self.optional("resolve", &rule.resolve);
                let key = self.key();
                Some(Expected::Events { selector: selector?, gone: gone?, key })
            }
            (true, false) => match LabelSelector::parse(&rule.push) {
                Ok(it) => Some(Expected::Pushes(it)),
                Err(it) => {
                    self.wrong(
                        "push",
                        format!("is no selector of groups such as {{job=\"backup\"}}: {it}"),
                    );
                    None
                }
            },
            _ => {
                self.wrong(
                    "match",
                    "say what is expected: events by `match`, or pushes by `push`, and not both",
                );
                None
            }
        };
        let schedule = match (rule.every, rule.cron.is_empty()) {
            (Some(it), true) if !it.0.is_zero() => Some(Schedule::Every(it.0)),
            (None, false) => match Cron::parse(&rule.cron, &rule.timezone) {
                Ok(it) => Some(Schedule::Cron(it)),
                Err(it) => {
                    self.wrong("cron", it);
                    None
                }
            },
            _ => {
                self.wrong("every", "say when it is expected: `every`, such as 5m, or `cron`, such as 0 3 * * *, and not both");
                None
            }
        };
        if rule.cron.is_empty() && zone(&rule.timezone).is_ok() && !rule.timezone.is_empty() {
            self.wrong("timezone", "belongs to `cron`");
        }
        let grace = rule.grace.map_or(GRACE, |it| it.0);
        Some(Condition::Absence(Absence { expected: expected?, schedule: schedule?, grace }))
    }

    fn selector(&mut self, field: &str, text: &str, example: &str) -> Option<Selector> {
        Selector::parse(text)
            .map_err(|it| {
                self.wrong(field, format!("is no selector of events such as {example}: {it}"))
            })
            .ok()
    }

    /// `None` if it is wrong, `Some(None)` if it is absent.
    fn optional(&mut self, field: &str, text: &str) -> Option<Option<Selector>> {
        if text.is_empty() {
            return Some(None);
        }
        self.selector(field, text, "ci_build_completed{status=\"success\"}").map(Some)
    }

    /// `project` or `project=project,repository`: a label, and the fields of which the first that is there counts.
    fn key(&mut self) -> Vec<(String, Phrase)> {
        let mut res = Vec::new();
        for entry in &self.rule.group_by {
            let (label, fields) = entry.split_once('=').unwrap_or((entry, entry));
            let phrase = Phrase::parse(&format!("${{{fields}}}"));
            match phrase {
                Ok(it) if labels::is_label_name(label) => res.push((label.to_owned(), it)),
                _ => self.wrong("group_by", format!("{entry:?} is neither a field such as project nor a label with its fields such as project=project,repository")),
            }
        }
        res
    }
}
