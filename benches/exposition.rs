//! The inner loop of a scrape: a million series, each a boxed label block and a number.
//!
//! `cargo bench --bench exposition`; the time per element is the time per series.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use observatory::exposition::{
    Encoder, Escaping, FamilyHead, Format, FormatKind, HistogramView, Kind, Options,
};
use std::hint::black_box;

const N_SERIES: usize = 1_000_000;
const N_HISTOGRAMS: usize = 50_000;
const CHUNK: usize = 256 * 1024;

fn series(n: usize) -> Vec<(Box<str>, f64)> {
    let block = |at: usize| {
        let (project, branch) = (at / 7 % 1000, at / 7000);
        format!(
            "{{project=\"project-{project:04}\",branch=\"b-{branch:04}\",result=\"result-{}\"}}",
            at % 7
        )
    };
    // Most numbers of a scrape are small integers, some are not.
    let value = |at: usize| {
        let value = f64::from(u32::try_from(at % 100_000).unwrap_or(0));
        if at.is_multiple_of(8) { value * 0.37 } else { value }
    };
    (0..n).map(|at| (block(at).into_boxed_str(), value(at))).collect()
}

/// Encodes everything, recycling one chunk as a server would; returns the bytes written.
fn encode(
    format: Format,
    head: &FamilyHead<'_>,
    each: impl FnOnce(&mut Encoder, &mut dyn FnMut(&mut Encoder)),
) -> usize {
    let mut encoder = Encoder::new(format, Options::default());
    let mut spare = Vec::with_capacity(CHUNK + 4096);
    let mut n_bytes = 0;
    let mut drain = |encoder: &mut Encoder| {
        if encoder.buffered() >= CHUNK {
            let mut full = encoder.replace(std::mem::take(&mut spare));
            n_bytes += black_box(&full).len();
            full.clear();
            spare = full;
        }
    };
    encoder.begin_family(head);
    each(&mut encoder, &mut drain);
    encoder.end_family();
    encoder.finish();
    n_bytes + encoder.take().len()
}

fn formats() -> [(&'static str, Format); 3] {
    [
        ("text", FormatKind::Text004),
        ("openmetrics", FormatKind::OpenMetrics100),
        ("protobuf", FormatKind::Protobuf),
    ]
    .map(|(name, kind)| (name, Format { kind, escaping: Escaping::Underscores }))
}

fn counters(c: &mut Criterion) {
    let all = series(N_SERIES);
    let mut group = c.benchmark_group("counters");
    group.throughput(Throughput::Elements(N_SERIES as u64)).sample_size(20);
    let head = FamilyHead::new("ci_builds_total", "CI builds finished.", Kind::Counter);
    for (name, format) in formats() {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                encode(format, &head, |encoder, drain| {
                    for (block, value) in &all {
                        encoder.counter(block, *value, Some(1_767_607_200_000), None);
                        drain(encoder);
                    }
                })
            });
        });
    }
    group.finish();
}

fn histograms(c: &mut Criterion) {
    let all = series(N_HISTOGRAMS);
    let bounds = [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 2400.0, 4800.0, 9600.0];
    let counts = [3, 0, 7, 100, 250, 31, 12, 9, 4, 0, 1, 0, 2];
    let mut group = c.benchmark_group("histograms of 12 buckets");
    group.throughput(Throughput::Elements(N_HISTOGRAMS as u64)).sample_size(20);
    let head = FamilyHead::new("ci_build_duration_seconds", "CI builds.", Kind::Histogram);
    for (name, format) in formats() {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                encode(format, &head, |encoder, drain| {
                    for (block, value) in &all {
                        let view = HistogramView {
                            count: counts.iter().sum(),
                            sum: *value,
                            bounds: &bounds,
                            counts: &counts,
                            created_ms: Some(1_767_607_200_000),
                            exemplars: &[],
                            native: None,
                        };
                        encoder.histogram(block, &view);
                        drain(encoder);
                    }
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, counters, histograms);
criterion_main!(benches);
