//! Why an event moves what it moves.

use super::RuleSet;
use super::engine;
use super::model::{Change, Edge, SpanOp, Updates};
use super::program::{Action, Rule};
use super::template::Scope;
use crate::event::Event;
use crate::selector::{Mismatch, View};
use serde::Serialize;
use std::fmt;

/// What the rules make of an event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The type of the event.
    pub event_type: String,
    /// Whether a rule matched.
    pub matched: bool,
    /// All rules, in the order of the file.
    pub rules: Vec<RuleExplanation>,
}

/// What one rule makes of an event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleExplanation {
    /// The metric, or the span.
    pub name: String,
    /// What the rule does: `count`, `set`, `add`, `sub`, `observe`, `start` or `end`.
    pub verb: &'static str,
    /// Whether one of the selectors matches.
    pub matched: bool,
    /// The selectors, any of which is enough.
    pub selectors: Vec<SelectorExplanation>,
    /// What happens, such as `ci_builds_total{project="web"} += 1`.
    pub effects: Vec<String>,
    /// Why something does not happen, such as `missing`.
    pub errors: Vec<&'static str>,
}

/// What one selector makes of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SelectorExplanation {
    /// The selector in its normal form.
    pub selector: String,
    /// Whether the type alone matches.
    pub type_matched: bool,
    /// The first part that does not match; `None` if all do.
    pub mismatch: Option<Mismatch>,
}

pub(super) fn explain(set: &RuleSet, event: &Event<'_>) -> Explanation {
    let view = View::new(event);
    let scope = Scope { view: &view, aliases: &set.aliases, key: "", item: None };
    let rules: Vec<_> = set.rules.iter().map(|it| rule(set, it, scope)).collect();
    Explanation {
        event_type: event.event_type.clone().into_owned(),
        matched: rules.iter().any(|it| it.matched),
        rules,
    }
}

fn rule(set: &RuleSet, rule: &Rule, scope: Scope<'_, '_>) -> RuleExplanation {
    let selectors = rule.selectors.iter().map(|it| SelectorExplanation {
        selector: it.to_string(),
        type_matched: it.could_match_type(&scope.view.event().event_type),
        mismatch: it.explain(&scope),
    });
    let selectors: Vec<_> = selectors.collect();
    let matched = selectors.iter().any(|it| it.mismatch.is_none());
    let mut out = Updates::default();
    if matched {
        engine::apply(set, rule, scope, &mut out);
    }
    let (name, verb) = match &rule.action {
        Action::Update(it) => (family(set, it.family), it.verb.as_str()),
        Action::Span(it) => {
            let name = set.spans.get(it.span as usize).map_or("", |it| &it.name);
            (name, if it.end.is_some() { "end" } else { "start" })
        }
    };
    let ops = out.ops.iter().map(|op| {
        let (name, labels) = (family(set, op.family), out.text(op.labels));
        match op.change {
            Change::Count(it) | Change::Add(it) => format!("{name}{labels} += {it}"),
            Change::Set(it) => format!("{name}{labels} = {it}"),
            Change::Observe(it) => format!("{name}{labels} observes {it}"),
        }
    });
    let spans = out.spans.iter().map(|it| span(name, &out, it));
    RuleExplanation {
        name: name.to_owned(),
        verb,
        matched,
        effects: ops.chain(spans).collect(),
        errors: out.errors.iter().map(|(_, it)| it.as_str()).collect(),
        selectors,
    }
}

fn family(set: &RuleSet, at: u32) -> &str {
    set.families.get(at as usize).map_or("", |it| &it.name)
}

fn span(name: &str, out: &Updates, op: &SpanOp) -> String {
    let (key, labels) = (out.text(op.key), out.text(op.labels));
    match op.edge {
        Edge::Start => format!("{name}{labels} starts, key {key:?}"),
        Edge::End { end_labels, duration } => {
            let labels = crate::labels::join(labels, out.text(end_labels));
            let duration = duration.map_or(String::new(), |it| format!(", {it} seconds"));
            format!("{name}{labels} ends, key {key:?}{duration}")
        }
    }
}

impl fmt::Display for Explanation {
    /// What matches, and of what does not, what has the right type: the others would only be noise.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let near = |it: &&RuleExplanation| it.selectors.iter().any(|it| it.type_matched);
        let mut rules = self.rules.iter().filter(near).peekable();
        if rules.peek().is_none() {
            return writeln!(f, "no rule is about events of type {:?}", self.event_type);
        }
        rules.try_for_each(|it| it.fmt(f))
    }
}

impl fmt::Display for RuleExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.matched { "matches" } else { "does not match" };
        writeln!(f, "{} ({}) {mark}", self.name, self.verb)?;
        for it in self.selectors.iter().filter(|it| it.type_matched && !self.matched) {
            if let Some(mismatch) = &it.mismatch {
                let Mismatch { matcher, actual } = mismatch;
                writeln!(f, "  {}: `{matcher}` fails, the event has {actual:?}", it.selector)?;
            }
        }
        self.effects.iter().try_for_each(|it| writeln!(f, "  {it}"))?;
        self.errors.iter().try_for_each(|it| writeln!(f, "  no update: {it}"))
    }
}
