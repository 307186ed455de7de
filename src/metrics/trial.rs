//! Running the tests of a rule file. A stand-in that judges counters only.

use crate::event::EventId;
use crate::rules::{Change, Expected, RuleSet, RuleTest, Updates};
use std::{collections::HashSet, sync::Arc};

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

fn run_one(rules: &RuleSet, test: &RuleTest) -> Outcome {
    let mut updates = Updates::default();
    let mut seen = HashSet::new();
    for event in &test.events {
        if event.id.as_ref().is_some_and(|it| !seen.insert(it)) {
            continue;
        }
        let event =
            event.to_new_event().accept(crate::event::Time::default(), || EventId::Generated(0));
        rules.evaluate(&event, &mut updates);
    }
    let wrong = |it: &&Expected| {
        let mut sum = None;
        for op in &updates.ops {
            let name = rules.families().get(op.family as usize).map_or("", |it| it.name.as_str());
            if let (true, Change::Count(by)) =
                (it.is_about(name, updates.text(op.labels)), op.change)
            {
                sum = Some(sum.unwrap_or(0.0) + by);
            }
        }
        sum.is_some() && sum != it.value
    };
    let failures = test.expected.iter().filter(wrong).map(|it| it.name.clone()).collect();
    Outcome { name: test.name.clone(), failures, page: String::new() }
}
