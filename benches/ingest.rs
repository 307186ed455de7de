//! Durable ingest without HTTP: parsed events into the pipeline, counted by the built-in rules.
#![expect(clippy::expect_used, reason = "a panic is how a benchmark fails")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use observatory::{
    event::NewEvent,
    pipeline::{Config, Pipeline},
    store,
    store::Store,
};

fn event(i: usize) -> NewEvent<'static> {
    let status = if i.is_multiple_of(5) { "failure" } else { "success" };
    let data = format!(
        r#"{{"repository":"acme/svc-{}","branch":"main","status":"{status}","duration_seconds":{}.5,"commit":"{:040x}","workflow":"build","run_id":"{}"}}"#,
        i % 40,
        30 + i % 300,
        i.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        7_312_945_561_u64 + i as u64,
    );
    NewEvent {
        id: None,
        event_type: "ci_build_completed".into(),
        source: "github-actions".into(),
        time: None,
        subject: None,
        trace: None,
        data: data.into(),
    }
}

fn ingest(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(&store::Config::new(dir.path().to_owned())).expect("a store");
    let pipeline = Pipeline::open(&Config::default(), &store).expect("a pipeline");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("ingest");
    for (n, parallel) in [(1, 1), (1, 50), (1000, 1), (1000, 4)] {
        let events: Vec<_> = (0..n).map(event).collect();
        group.throughput(Throughput::Elements((n * parallel) as u64));
        group.bench_function(format!("{parallel} x {n} events"), |b| {
            b.iter(|| {
                let submit = |_| {
                    runtime.spawn({
                        let (pipeline, events) = (pipeline.clone(), events.clone());
                        async move { pipeline.submit(events).await.map(|_| ()) }
                    })
                };
                let waiting: Vec<_> = (0..parallel).map(submit).collect();
                for it in waiting {
                    runtime.block_on(it).expect("no panic").expect("accepted");
                }
            });
        });
    }
    group.finish();
    runtime.block_on(pipeline.stop());
}

criterion_group!(benches, ingest);
criterion_main!(benches);
