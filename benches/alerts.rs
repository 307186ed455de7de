//! What it costs to evaluate ten thousand label sets of alert rules, as happens each second.

use criterion::{Criterion, criterion_group, criterion_main};
use observatory::alerting::Dry;
use observatory::alerts::{Compiled, Rule};
use observatory::event::{EventId, NewEvent, Time};
use observatory::rules::RuleSet;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const START: Time = Time::from_millis(1_767_607_200_000);
const INSTANCES: u64 = 10_000;
const METRICS: &str = "version: 1
metrics:
  cpu:
    help: C.
    match: sample
    set: $value
    labels: {host: $host}
    limit: 20000
  requests_total:
    help: R.
    match: sample
    count: 1
    labels: {host: $host, result: $result}
    limit: 40000
";

fn world(rules: &[Value]) -> Option<Dry> {
    let compile = |(n, it): (usize, &Value)| {
        let rule = Rule::from_json(it).ok()?;
        Compiled::new(Rule { id: format!("r{n}"), name: format!("R{n}"), ..rule }).ok()
    };
    let rules: Vec<_> = rules.iter().enumerate().map(compile).collect::<Option<_>>()?;
    let mut dry = Dry::new(rules, Arc::new(RuleSet::parse(METRICS).ok()?), START);
    dry.tick(START);
    for n in 0..INSTANCES {
        let firing = n.is_multiple_of(10);
        let data = json!({"host": format!("host-{n}"), "value": if firing { 90 } else { 10 },
            "result": if firing { "failure" } else { "success" }});
        let event = NewEvent {
            id: None,
            event_type: "sample".into(),
            source: "bench".into(),
            time: None,
            subject: None,
            trace: None,
            data: data.to_string().into(),
        };
        dry.event(&event.accept(START, || EventId::Generated(u128::from(n))));
    }
    Some(dry)
}

fn evaluate(c: &mut Criterion) {
    let threshold = json!({"name": "t", "metric_name": "cpu", "threshold": 80, "for": "1m",
        "annotations": {"summary": "$host is at $value"}});
    let increase = json!({"name": "i", "metric_name": "requests_total", "function": "increase", "threshold": 5});
    let ratio = json!({"name": "q", "kind": "ratio", "numerator": "requests_total{result=\"failure\"}",
        "denominator": "requests_total", "group_by": ["host"], "threshold": 0.5});
    // A hundred rules of a hundred label sets each, as an installation has them rather than one of ten thousand.
    let many: Vec<_> = (0..100)
        .map(|n| json!({"name": "m", "metric_name": format!("cpu{{host=~\"host-{n:02}..\"}}"), "threshold": 80}))
        .collect();
    let cases = [
        ("10000 values", vec![threshold]),
        ("10000 increases of 5 minutes", vec![increase]),
        ("10000 ratios of 5 minutes", vec![ratio]),
        ("100 rules over 10000 series", many),
    ];
    for (name, rules) in cases {
        let Some(mut dry) = world(&rules) else { continue };
        let mut now = START;
        // Windows are as full as they get.
        for _ in 0..320 {
            now = now.saturating_add(Duration::from_secs(1));
            dry.tick(now);
            drop(dry.take());
        }
        c.bench_function(&format!("evaluate {name}"), |b| {
            b.iter(|| {
                now = now.saturating_add(Duration::from_secs(1));
                dry.tick(now);
                dry.take().len()
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = evaluate
}
criterion_main!(benches);
