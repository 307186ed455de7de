//! What a rule file means, as data.

mod diagnostics;
mod docs;
mod files;
mod properties;
mod templates;
mod updates;

use super::*;
use crate::event::{EventId, NewEvent, Time};

#[track_caller]
fn parse(text: &str) -> RuleSet {
    RuleSet::parse(text).unwrap_or_else(|it| panic!("{it}"))
}

fn event(event_type: &str, data: &str) -> Event<'static> {
    let time = Time::parse("2026-01-05T10:00:00Z").unwrap();
    let new = NewEvent {
        id: Some("e1".into()),
        event_type: event_type.to_owned().into(),
        source: "test".into(),
        time: Some(time),
        subject: None,
        trace: None,
        data: data.to_owned().into(),
    };
    new.accept(time, || EventId::Generated(1))
}

/// What the updates say, a line each.
fn shown(set: &RuleSet, out: &Updates) -> String {
    let name = |at: u32| set.families()[at as usize].name.as_str();
    let mut res: Vec<String> = Vec::new();
    for op in &out.ops {
        res.push(format!("{}{} {:?}", name(op.family), out.text(op.labels), op.change));
    }
    for op in &out.spans {
        let spec = &set.spans()[op.span as usize];
        let edge = match op.edge {
            Edge::Start => "Start".to_owned(),
            Edge::End { end_labels, duration } => {
                format!("End({}, {duration:?})", out.text(end_labels))
            }
        };
        res.push(format!("{}{} {:?} {edge}", spec.name, out.text(op.labels), out.text(op.key)));
    }
    for (at, error) in &out.errors {
        res.push(format!("{} {error:?}", name(*at)));
    }
    for it in &out.unmatched {
        res.push(format!("unmatched {}", out.text(*it)));
    }
    res.join("\n")
}

/// Evaluates one event of type `t` with `rules`, to which `version: 1` is added.
#[track_caller]
fn check(rules: &str, data: &str, expected: &str) {
    let set = parse(&format!("version: 1\n{rules}"));
    let mut out = Updates::default();
    set.evaluate(&event("t", data), &mut out);
    assert_eq!(shown(&set, &out), expected, "{rules}\n{data}");
}

/// Evaluates a gauge whose value is `template`.
#[track_caller]
fn check_value(template: &str, data: &str, expected: &str) {
    let rules = format!("metrics:\n  g:\n    help: G.\n    match: t\n    set: {template}\n");
    check(&rules, data, expected);
}

/// Evaluates the label `l` that `template` makes.
#[track_caller]
fn check_label(template: &str, data: &str, expected: &str) {
    let rules = format!(
        "maps: {{m: {{yes: [y*, 'true'], no: [n]}}, dd: {{yes: y, _: other}}}}\nfields: {{alias: '${{a, b}}'}}\n\
         metrics:\n  g: {{help: G., match: t, set: 1, labels: {{l: {template:?}}}}}\n"
    );
    let set = parse(&format!("version: 1\n{rules}"));
    let mut out = Updates::default();
    set.evaluate(&event("t", data), &mut out);
    let block = out.text(out.ops[0].labels);
    let value = crate::labels::pairs(block).next().unwrap().1.into_owned();
    assert_eq!(value, expected, "{template} {data}");
}
