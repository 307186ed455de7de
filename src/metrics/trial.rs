//! Running the tests of a rule file on the real projection.

use super::{Config, Part, Projection};
use crate::event::{IdGenerator, Time};
use crate::exposition::parse;
use crate::rules::{RuleSet, RuleTest, Updates};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// After this long, an end without a start is counted as one.
const SETTLE: Duration = Duration::from_secs(61);

/// When events without a time happen: 2026-01-01T00:00:00Z.
const START: Time = Time::from_millis(1_767_225_600_000);

/// What became of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The test's name.
    pub name: String,
    /// What did not hold, a line each; empty if the test passed.
    pub failures: Vec<String>,
    /// The page as it was after the events, text 0.0.4.
    pub page: String,
}

/// Runs all tests of `rules`.
#[must_use]
pub fn run(rules: &Arc<RuleSet>) -> Vec<Outcome> {
    rules.tests().iter().map(|it| run_one(rules, it)).collect()
}

fn run_one(rules: &Arc<RuleSet>, test: &RuleTest) -> Outcome {
    let page = fold(rules, test);
    let families = parse::text(page.as_bytes(), parse::Limits::default()).unwrap_or_default();
    let samples: Vec<_> = families.iter().flat_map(|it| &it.samples).collect();
    let mut failures = Vec::new();
    for expected in &test.expected {
        let same = |labels: &[(String, String)]| {
            let mut labels = labels.to_vec();
            labels.sort();
            labels == expected.labels
        };
        let found = samples.iter().find(|it| it.name == expected.name && same(&it.labels));
        let labels = expected.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let series = format!("{}{}", expected.name, crate::labels::block(labels));
        match (expected.value, found.map(|it| it.value)) {
            (Some(wanted), Some(value)) if close(wanted, value) => {}
            (None, None) => {}
            (Some(wanted), Some(value)) => {
                failures.push(format!("{series}: expected {wanted}, got {value}"))
            }
            (Some(wanted), None) => {
                failures.push(format!("{series}: expected {wanted}, but there is none"))
            }
            (None, Some(value)) => failures.push(format!("{series}: expected none, got {value}")),
        }
    }
    Outcome { name: test.name.clone(), failures, page }
}

/// The page after the events of `test`, each of which arrives when it happened.
fn fold(rules: &Arc<RuleSet>, test: &RuleTest) -> String {
    let config = Config { zero_first: false, ..Config::default() };
    let mut projection = Projection::new(Arc::clone(rules), config, None, i64::MIN);
    let first = test.events.iter().filter_map(|it| it.time).min().unwrap_or(START);
    projection.use_rules(Arc::clone(rules), 1, first.as_millis());
    let ids = IdGenerator::new(0);
    let mut seen = HashSet::new();
    let mut now = first;
    for event in &test.events {
        let given = event.id.as_ref().map(|it| (event.source.clone(), it.clone()));
        if given.is_some_and(|it| !seen.insert(it)) {
            continue;
        }
        now = now.max(event.time.unwrap_or(now));
        let event = event.to_new_event().accept(now, || ids.next(now));
        let mut updates = Updates::default();
        let part = Part::evaluate(rules, &event, &mut updates);
        projection.apply(&updates, &part, now.as_millis());
    }
    let settled = now.saturating_add(SETTLE).as_millis();
    projection.tick(settled);
    let rendered = projection.metrics().render(
        (crate::exposition::negotiate(None), false),
        false,
        now.as_millis(),
        (&[], &crate::exposition::no_others),
    );
    String::from_utf8_lossy(&rendered.chunks.concat()).into_owned()
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_the_builtin_rules_pass() {
        let rules = Arc::new(RuleSet::builtin());
        let outcomes = run(&rules);
        assert!(!outcomes.is_empty());
        for it in outcomes {
            assert!(it.failures.is_empty(), "{}: {:#?}\n{}", it.name, it.failures, it.page);
        }
    }

    #[test]
    fn what_does_not_hold_is_said() {
        let text = r#"
version: 1
metrics:
  a_total: {help: A., match: a, count: 1, labels: {x: $x}}
tests:
  - name: t
    events: [{type: a, data: {x: "1"}}]
    expect: |
      a_total{x="1"} 2
      a_total{x="2"} 1
"#;
        let rules = Arc::new(RuleSet::parse(text).unwrap());
        let failures = run(&rules).remove(0).failures;
        assert_eq!(
            failures,
            [
                "a_total{x=\"1\"}: expected 2, got 1",
                "a_total{x=\"2\"}: expected 1, but there is none",
            ]
        );
    }
}
