//! What it costs to turn an event into updates with the built-in rules.

use criterion::{Criterion, criterion_group, criterion_main};
use observatory::event::{Event, EventId, Fields, NewEvent, Time};
use observatory::rules::{RuleSet, Updates};
use observatory::selector::Selector;
use std::hint::black_box;

const BUILD: &str = r#"{"project":"web","repository":"o/r","build_id":"7781","branch":"feature/x","commit_sha":"0af7651916cd43dd8448eb211c80319c0af76519","status":"success","duration_seconds":182.5,"workflow":"quality-gates"}"#;
const AGENT: &str = r#"{"agent_id":"coder-1","request_id":"r-17","duration_ms":250,"status":"success","input_tokens":1200,"output_tokens":300}"#;

fn event(event_type: &'static str, data: &'static str) -> Event<'static> {
    let time = Time::from_millis(1_767_607_200_000);
    let new = NewEvent {
        id: Some("evt-1".into()),
        event_type: event_type.into(),
        source: "github-actions".into(),
        time: Some(time),
        subject: None,
        trace: None,
        data: data.into(),
    };
    new.accept(time, || EventId::Generated(1))
}

fn evaluate(c: &mut Criterion) {
    let set = RuleSet::builtin();
    let mut out = Updates::default();
    for (name, event) in [
        ("ci_build_completed", event("ci_build_completed", BUILD)),
        ("agent_request_completed", event("agent_request_completed", AGENT)),
        ("a type without rules", event("something_else", BUILD)),
    ] {
        c.bench_function(&format!("evaluate {name}"), |b| {
            b.iter(|| {
                out.text.clear();
                out.ops.clear();
                out.spans.clear();
                out.errors.clear();
                out.unmatched.clear();
                set.evaluate(black_box(&event), &mut out);
            });
        });
    }
    c.bench_function("parse fields", |b| b.iter(|| Fields::parse(black_box(BUILD)).is_ok()));
}

fn select(c: &mut Criterion) {
    let event = event("ci_build_completed", BUILD);
    for text in ["deployment_*", "ci_*", r#"ci_*{status!="skipped",duration_seconds>60}"#] {
        let Ok(selector) = Selector::parse(text) else { continue };
        c.bench_function(&format!("select {text}"), |b| {
            b.iter(|| selector.matches_event(black_box(&event)));
        });
    }
}

fn compile(c: &mut Criterion) {
    c.bench_function("compile the built-in rules", |b| b.iter(RuleSet::builtin));
}

criterion_group!(benches, evaluate, select, compile);
criterion_main!(benches);
