//! How long a body takes to become events: a batch of 1000 events of about 250 bytes, as an array, as
//! `{"events": [...]}` and as lines, and one event alone.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use observatory::sources::{Limits, RequestMeta, parse};
use std::hint::black_box;

const EVENTS: u64 = 1000;

fn event(i: u64) -> String {
    format!(
        r#"{{"event_type":"ci_build_completed","source":"github-actions","data":{{"repository":"acme/checkout","branch":"main","status":"success","duration_seconds":182.4,"commit":"9fceb02d0ae598e95dc970b74767f19372d61af8","workflow":"build","run_id":"{:010}"}}}}"#,
        7_312_945_561 + i
    )
}

fn flat(i: u64) -> String {
    format!(
        r#"{{"event_type":"ci_build_completed","source":"github-actions","timestamp":"2026-01-05T10:00:00Z","repository":"acme/checkout","branch":"main","status":"success","duration_seconds":182.4,"commit":"9fceb02d0ae598e95dc970b74767f19372d61af8","run_id":"{:010}"}}"#,
        7_312_945_561 + i
    )
}

fn benchmark(c: &mut Criterion) {
    let list = |make: fn(u64) -> String, separator| {
        (0..EVENTS).map(make).collect::<Vec<_>>().join(separator)
    };
    let bodies = [
        ("array", format!("[{}]", list(event, ",")), EVENTS),
        ("object", format!("{{\"events\":[{}]}}", list(event, ",")), EVENTS),
        ("lines", list(event, "\n"), EVENTS),
        ("flat", format!("[{}]", list(flat, ",")), EVENTS),
        ("single", event(0), 1),
    ];
    let meta = RequestMeta { content_type: Some("application/json"), cloud_event: None };
    let limits = Limits::default();
    let mut group = c.benchmark_group("sources");
    for (name, body, events) in &bodies {
        group.throughput(Throughput::Elements(*events));
        group.bench_function(*name, |b| {
            b.iter(|| parse(black_box(body.as_bytes()), &meta, &limits).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
