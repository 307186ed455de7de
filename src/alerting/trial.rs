//! Running the tests of alert rules.

use super::cases::{AlertTest, Alerts, Expectation, RuleFile, Step};
use super::dry::Dry;
use super::shipped::shipped;
use crate::alerts::{Alert, Change, Compiled, Rule, Status};
use crate::event::{EventId, NewEvent, Time};
use crate::rules::RuleSet;
use std::{collections::BTreeMap, sync::Arc};

/// What became of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The test's name.
    pub name: String,
    /// What did not hold, a line each; empty if the test passed.
    pub failures: Vec<String>,
}

/// Runs all tests of `file`, over the metrics that `metrics` makes of events. The shipped rules are evaluated as well, if the
/// file does not switch them off.
#[must_use]
pub fn run(file: &RuleFile, metrics: &Arc<RuleSet>) -> Vec<Outcome> {
    let rules = in_force(&file.rules, file.shipped);
    let run = |test: &AlertTest| {
        // They were compiled when they were read.
        let compiled = rules.iter().filter_map(|it| Compiled::new(it.clone()).ok());
        let mut trial = Trial {
            dry: Dry::new(compiled, Arc::clone(metrics), test.start),
            over: BTreeMap::new(),
            outcome: Outcome { name: test.name.clone(), failures: Vec::new() },
        };
        trial.run(test);
        trial.outcome
    };
    file.tests.iter().map(run).collect()
}

/// `rules`, and those of the shipped ones whose place they do not take.
pub(super) fn in_force(rules: &[Rule], with_shipped: bool) -> Vec<Rule> {
    let mut res = rules.to_vec();
    if with_shipped {
        res.extend(shipped().into_iter().filter(|it| rules.iter().all(|other| other.id != it.id)));
    }
    res
}

struct Trial {
    dry: Dry,
    /// What was resolved last, by rule and fingerprint.
    over: BTreeMap<(String, String), Alert>,
    outcome: Outcome,
}

impl Trial {
    fn run(&mut self, test: &AlertTest) {
        let mut steps = test.steps.iter().peekable();
        let mut expected = test.expected.iter().peekable();
        let mut next = test.start;
        while let Some(expectation) = expected.peek() {
            // The clock ticks at whole steps, and when something is looked at.
            let now = next.min(expectation.at);
            while let Some((at, step)) = steps.next_if(|it| it.0 <= now) {
                self.step(step, *at);
            }
            self.dry.tick(now);
            self.note();
            while let Some(it) = expected.next_if(|it| it.at <= now) {
                self.look(it);
            }
            if now == next {
                next = next.saturating_add(test.step);
            }
        }
    }

    fn step(&mut self, step: &Step, at: Time) {
        match step {
            Step::Event { event_type, source, data } => {
                let event = NewEvent {
                    id: None,
                    event_type: event_type.as_str().into(),
                    source: source.as_str().into(),
                    time: None,
                    subject: None,
                    trace: None,
                    data: data.as_str().into(),
                };
                self.dry.event(&event.accept(at, || EventId::Generated(0)));
                self.note();
            }
            Step::Push(op, grouping, families) => {
                if let Err(it) = self.dry.push(*op, (grouping, families.clone()), at) {
                    self.outcome.failures.push(format!("a push is rejected: {it}"));
                }
            }
        }
    }

    fn note(&mut self) {
        for it in self.dry.take() {
            let key = (it.alert.rule_id.clone(), it.alert.fingerprint.clone());
            match it.change {
                Some(Change::Resolved) => _ = self.over.insert(key, it.alert),
                _ => _ = self.over.remove(&key),
            }
        }
    }

    fn look(&mut self, it: &Expectation) {
        let all = self.dry.alerts(it.at);
        let of_rule = |alert: &&Alert| it.rule.as_ref().is_none_or(|id| *id == alert.rule_id);
        let with = |status: Status| {
            all.iter().filter(of_rule).filter(|it| it.status == status).collect::<Vec<_>>()
        };
        let over: Vec<_> = self.over.values().filter(of_rule).collect();
        let resolved = it.resolved.as_ref().map(|it| (it, over, "resolved"));
        let states = [
            (&it.pending, with(Status::Pending), "pending"),
            (&it.firing, with(Status::Firing), "firing"),
        ];
        let mut failures = Vec::new();
        for (wanted, found, state) in states.into_iter().chain(resolved) {
            if !wanted.are(&found) {
                let rule = it.rule.as_deref().map(|it| format!(" of {it}")).unwrap_or_default();
                let found: Vec<_> = found.iter().map(|it| shown(&it.labels)).collect();
                let found = if found.is_empty() { "none".to_owned() } else { found.join(" ") };
                failures.push(format!(
                    "at {}{rule}: expected {state}: {}; got {found}",
                    it.shown,
                    wanted.shown()
                ));
            }
        }
        self.outcome.failures.append(&mut failures);
    }
}

impl Alerts {
    /// Whether `found` are those: each has one set of labels, and none is left over.
    fn are(&self, found: &[&Alert]) -> bool {
        let sets = match self {
            Self::Count(n) => return *n == found.len(),
            Self::With(sets) => sets,
        };
        let mut left = found.to_vec();
        // What asks for more labels chooses first.
        let mut sets: Vec<_> = sets.iter().collect();
        sets.sort_by_key(|it| std::cmp::Reverse(it.len()));
        for set in sets {
            let fits =
                |it: &&Alert| set.iter().all(|(name, value)| it.labels.get(name) == Some(value));
            let Some(at) = left.iter().position(fits) else { return false };
            left.swap_remove(at);
        }
        left.is_empty()
    }

    fn shown(&self) -> String {
        match self {
            Self::Count(0) => "none".to_owned(),
            Self::Count(n) => n.to_string(),
            Self::With(sets) if sets.is_empty() => "none".to_owned(),
            Self::With(sets) => sets.iter().map(shown).collect::<Vec<_>>().join(" "),
        }
    }
}

fn shown(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = labels.iter().map(|(name, it)| format!("{name}={it:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::{parse_file, shipped_file};
    use super::*;

    fn failures(text: &str) -> Vec<String> {
        let metrics = Arc::new(RuleSet::builtin());
        run(&parse_file(text).unwrap(), &metrics).into_iter().flat_map(|it| it.failures).collect()
    }

    #[test]
    fn the_tests_of_the_shipped_rules_pass_and_each_rule_has_some() {
        let file = shipped_file();
        for it in run(&file, &Arc::new(RuleSet::builtin())) {
            assert!(it.failures.is_empty(), "{}: {:#?}", it.name, it.failures);
        }
        let of = |rule: &str, firing: bool| {
            let quiet = |it: &&AlertTest| {
                let mut about =
                    it.expected.iter().filter(|it| it.rule.as_deref() == Some(rule)).peekable();
                about.peek().is_some() && about.all(|it| it.firing == Alerts::Count(0)) != firing
            };
            file.tests.iter().filter(quiet).count()
        };
        for rule in &file.rules {
            assert!(of(&rule.id, true) >= 1, "{} has no test in which it fires", rule.id);
            assert!(of(&rule.id, false) >= 1, "{} has no test in which it stays quiet", rule.id);
        }
    }

    const FILE: &str = "
alerts:
  rules:
    - {id: cpu, name: High CPU, metric_name: cpu_usage, threshold: 80, for: 2m}
    - {id: late, name: Late, kind: absence, push: '{job=\"backup\"}', every: 10m, grace: 1m}
  tests:
    - name: values, pushes and events
      step: 10s
      series:
        - {series: 'cpu_usage{host=\"a\"}', values: '70 81x3 79'}
        - {series: 'cpu_usage{host=\"b\", instance=\"i/1\"}', values: '10x4'}
      pushes:
        - {at: 1m, path: /metrics/job/backup, body: \"ok 1\\n\"}
      events:
        - {at: 1m, type: ci_build_completed, data: {project: web, branch: main, status: failed}}
      expect:
        - {at: 90s, rule: cpu, pending: [{host: a}], resolved: 0}
        - {at: 90s, rule: Build failed on a default branch, firing: [{project: web, branch: main}]}
        - {at: 3m, rule: High CPU, firing: [{host: a, alertname: High CPU}]}
        - {at: 5m10s, rule: cpu, resolved: [{host: a}]}
        - {at: 11m, rule: late}
        - {at: 12m10s, rule: late, firing: [{job: backup}]}
";

    #[test]
    fn a_test_says_what_happens_and_what_is_the_case_then() {
        assert_eq!(failures(FILE), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_hold_is_said() {
        let wrong = FILE
            .replace(
                "at: 3m, rule: High CPU, firing: [{host: a, alertname: High CPU}]",
                "at: 3m, rule: cpu, firing: [{host: b}], pending: 1",
            )
            .replace(
                "at: 5m10s, rule: cpu, resolved: [{host: a}]",
                "at: 5m10s, rule: cpu, resolved: 2",
            )
            .replace("{at: 11m, rule: late}", "{at: 11m, firing: [{project: web}]}");
        assert_eq!(
            failures(&wrong),
            [
                "at 3m of cpu: expected pending: 1; got none",
                "at 3m of cpu: expected firing: {host=\"b\"}; got {alertname=\"High CPU\", host=\"a\", job=\"test\", severity=\"medium\"}",
                "at 5m10s of cpu: expected resolved: 2; got {alertname=\"High CPU\", host=\"a\", job=\"test\", severity=\"medium\"}",
            ]
        );
    }

    #[test]
    fn what_is_no_test_is_told_with_its_place() {
        let check = |test: &str, words: &str| {
            let text = format!("alerts:\n  tests:\n    - {test}\n");
            let (at, message) = parse_file(&text).unwrap_err().remove(0);
            assert_eq!(at.unwrap().position(&text).line, 3);
            assert!(message.contains(words), "{test}: {message}");
        };
        check("{name: a}", "missing field `expect`");
        check("{name: a, expect: []}", "expect: say what must be the case");
        check("{name: a, expect: [{at: 1m, rule: nothing}]}", "there is no alert rule \"nothing\"");
        check("{name: a, expect: [{at: 1m, firing: some}]}", "says not which alerts");
        check("{name: a, expect: [{at: 1000d}]}", "say a longer `step`");
        check("{name: a, step: 0s, expect: [{at: 1m}]}", "say a longer `step`");
        check("{name: a, start: soon, expect: [{at: 1m}]}", "start: ");
        check("{name: a, happens: [], expect: [{at: 1m}]}", "unknown field `happens`");
        check("{name: a, pushes: [{path: /x}], expect: [{at: 1m}]}", "is no path such as");
        check(
            "{name: a, pushes: [{path: /metrics/job/a, body: '1'}], expect: [{at: 1m}]}",
            "pushes: ",
        );
        check("{name: a, series: [{series: 'a{', values: '1'}], expect: [{at: 1m}]}", "has no }");
        check(
            "{name: a, series: [{series: 'a{b}', values: '1'}], expect: [{at: 1m}]}",
            "cannot be read",
        );
        check(
            "{name: a, series: [{series: a, values: b}], expect: [{at: 1m}]}",
            "has the value \"b\"",
        );
        check(
            "{name: a, events: [{type: a, repeat: 9999999}], expect: [{at: 1m}]}",
            "repeat is more than",
        );
    }
}
