//! What the encoder writes, read by others: the official Python parser, promtool of two generations,
//! and a protobuf decoder that knows the wire format only.
//!
//! `OBSERVATORY_TEST_PYTHON` names a Python that has `prometheus_client`; `OBSERVATORY_TEST_PEERS` a
//! directory with newer peers in `usr/bin`. A test whose program is missing is skipped, except in CI.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests fail by panic, say what they skip, and find programs through the environment"
)]

use observatory::exposition::{
    Encoder, Escaping, Exemplar, FamilyHead, Format, FormatKind, HistogramView, Kind, NativeView,
    Options, SummaryView,
};
use observatory::labels;
use proptest::{
    collection::vec,
    prelude::{Strategy, any},
    strategy::ValueTree,
    test_runner::TestRunner,
};
use serde_json::{Value, json};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const READER: &str = include_str!("exposition_oracle.py");
const BOUNDS: [f64; 8] = [1e-5, 0.0001, 0.25, 1.0, 100_000.0, 1e6, 2_592_000.0, 1.5e9];
const LES: [&str; 9] =
    ["1e-05", "0.0001", "0.25", "1", "100000", "1e+06", "2.592e+06", "1.5e+09", "+Inf"];
const CREATED_MS: i64 = 1_767_607_200_250;
const EXEMPLAR_NS: i64 = 1_767_607_200_000_000_001;

/// One series with arbitrary content.
#[derive(Clone, Debug)]
struct Series {
    labels: Vec<(String, String)>,
    value: f64,
    counts: [u32; 9],
    trace: String,
    /// Native buckets, which hold the same observations as the classic ones.
    positive: Vec<(i32, u64)>,
    negative: Vec<(i32, u64)>,
}

#[derive(Debug)]
struct Family {
    name: String,
    help: String,
    kind: Kind,
    series: Vec<Series>,
}

// === the families ===

/// Families of every kind with arbitrary text and numbers. The same on every run.
fn families() -> Vec<Family> {
    let mut runner = TestRunner::deterministic();
    let kinds = [Kind::Counter, Kind::Gauge, Kind::Untyped, Kind::Summary, Kind::Histogram];
    let strategy = (any::<String>(), vec(series(), 1..4));
    let mut family = |(at, kind): (usize, Kind)| {
        let (help, series) = strategy.new_tree(&mut runner).unwrap().current();
        let suffix = if kind == Kind::Counter { "_total" } else { "" };
        // Blanks around a help text are nothing that every reader keeps.
        let help = format!("About {help}.");
        let mut res = Family { name: format!("things{at}{suffix}"), help, kind, series };
        for (nth, it) in res.series.iter_mut().enumerate() {
            it.labels.push(("nth".to_owned(), nth.to_string()));
        }
        res
    };
    kinds.iter().copied().cycle().enumerate().take(200).map(&mut family).collect()
}

fn series() -> impl Strategy<Value = Series> {
    let labels = vec(any::<String>(), 0..4);
    let counts = proptest::array::uniform9(0_u32..1000);
    let gaps = proptest::array::uniform9(1_i32..6);
    (labels, any::<f64>(), counts, "[0-9a-f]{32}", gaps).prop_map(
        |(values, value, counts, trace, gaps)| {
            // Some histograms are empty.
            let counts = if trace.starts_with('0') { [0; 9] } else { counts };
            let mut index = -20;
            let native = counts.iter().zip(gaps).map(|(count, gap)| {
                index += gap;
                (index, u64::from(*count))
            });
            let native: Vec<_> = native.filter(|(_, count)| *count > 0).collect();
            let (negative, positive) = native.split_at(native.len() / 3);
            let labels =
                values.into_iter().enumerate().map(|(at, it)| (format!("l{at}"), it)).collect();
            let (positive, negative) = (positive.to_vec(), negative.to_vec());
            Series { labels, value, counts, trace, positive, negative }
        },
    )
}

/// What strict readers want of counters, sums and quantiles.
fn not_negative(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.abs() }
}

fn encode(families: &[Family], kind: FormatKind) -> Vec<u8> {
    let format = Format { kind, escaping: Escaping::Underscores };
    let mut encoder = Encoder::new(format, Options { created_series: true });
    for family in families {
        encoder.begin_family(&FamilyHead::new(&family.name, &family.help, family.kind));
        for it in &family.series {
            encode_series(&mut encoder, family.kind, it);
        }
        encoder.end_family();
    }
    encoder.finish();
    encoder.take()
}

fn encode_series(encoder: &mut Encoder, kind: Kind, series: &Series) {
    let pairs = series.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let block = labels::block(pairs);
    let trace = labels::block([("trace_id", series.trace.as_str())]);
    let exemplar = Exemplar { labels: &trace, value: 2.5, timestamp_ns: Some(EXEMPLAR_NS) };
    let sum = not_negative(series.value);
    let counts = series.counts.map(u64::from);
    match kind {
        Kind::Counter => encoder.counter(&block, sum, Some(CREATED_MS), Some(&exemplar)),
        Kind::Gauge => encoder.gauge(&block, series.value),
        Kind::Untyped => encoder.untyped(&block, series.value),
        Kind::Summary => encoder.summary(
            &block,
            &SummaryView {
                quantiles: &[(0.5, sum), (0.99, 1.0)],
                sum,
                count: counts[0],
                created_ms: Some(CREATED_MS),
            },
        ),
        _ => encoder.histogram(
            &block,
            &HistogramView {
                count: counts.iter().sum(),
                sum,
                bounds: &BOUNDS,
                counts: &counts,
                created_ms: Some(CREATED_MS),
                exemplars: &[None, Some(exemplar)],
                native: Some(NativeView {
                    schema: 3,
                    zero_threshold: 0.0,
                    zero_count: 0,
                    positive: &series.positive,
                    negative: &series.negative,
                }),
            },
        ),
    }
}

// === what readers should say ===

fn bits(value: f64) -> String {
    if value.is_nan() { "nan".to_owned() } else { format!("{:016x}", value.to_bits()) }
}

fn sample(name: &str, labels: &[(String, String)], value: f64, exemplar: Option<&Value>) -> Value {
    let mut labels = labels.to_vec();
    labels.sort();
    // Python reads `-0` as an integer, which has no sign.
    json!([name, labels, bits(value + 0.0), exemplar])
}

/// The samples of a family as a text format shows them.
fn samples(family: &Family, open_metrics: bool) -> Vec<Value> {
    let base = family.name.trim_end_matches("_total");
    let mut res = Vec::new();
    for it in &family.series {
        series_samples(&mut res, family, it, open_metrics);
        let has_created =
            matches!(family.kind, Kind::Counter | Kind::Summary | Kind::Histogram) && open_metrics;
        if has_created {
            let created = 1_767_607_200.25;
            res.push(sample(&format!("{base}_created"), &it.labels, created, None));
        }
    }
    res
}

fn series_samples(res: &mut Vec<Value>, family: &Family, series: &Series, open_metrics: bool) {
    let name = &family.name;
    let labels = &series.labels;
    let sum = not_negative(series.value);
    let exemplar = open_metrics
        .then(|| json!([[["trace_id", series.trace]], bits(2.5), "1767607200.000000001"]));
    let with = |key: &str, value: &str| {
        // OpenMetrics writes whole numbers as floats.
        let whole = open_metrics && value.bytes().all(|it| it.is_ascii_digit());
        let value = if whole { format!("{value}.0") } else { value.to_owned() };
        let mut res = labels.clone();
        res.push((key.to_owned(), value));
        res
    };
    match family.kind {
        Kind::Counter => res.push(sample(name, labels, sum, exemplar.as_ref())),
        Kind::Summary => {
            res.push(sample(name, &with("quantile", "0.5"), sum, None));
            res.push(sample(name, &with("quantile", "0.99"), 1.0, None));
            res.push(sample(&format!("{name}_sum"), labels, sum, None));
            res.push(sample(&format!("{name}_count"), labels, series.counts[0].into(), None));
        }
        Kind::Histogram => {
            let mut below = 0;
            for (at, (le, count)) in LES.iter().zip(series.counts).enumerate() {
                below += count;
                let exemplar = exemplar.as_ref().filter(|_| at == 1);
                let bucket = format!("{name}_bucket");
                res.push(sample(&bucket, &with("le", le), below.into(), exemplar));
            }
            res.push(sample(&format!("{name}_sum"), labels, sum, None));
            res.push(sample(&format!("{name}_count"), labels, below.into(), None));
        }
        _ => res.push(sample(name, labels, series.value, None)),
    }
}

/// A family as the protobuf decoder shows it.
fn message(family: &Family) -> Value {
    let series: Vec<Value> = family.series.iter().map(|it| metric(family.kind, it)).collect();
    let number = match family.kind {
        Kind::Counter => 0,
        Kind::Gauge => 1,
        Kind::Summary => 2,
        Kind::Untyped => 3,
        _ => 4,
    };
    json!([family.name, family.help, number, series])
}

fn metric(kind: Kind, series: &Series) -> Value {
    let sum = not_negative(series.value);
    let start = json!([1_767_607_200, 250_000_000]);
    let trace = json!([[["trace_id", series.trace]], bits(2.5), [1_767_607_200, 1]]);
    let value = match kind {
        Kind::Counter => json!({"counter": bits(sum), "exemplar": trace, "start": start}),
        Kind::Gauge => json!({"gauge": bits(series.value)}),
        Kind::Untyped => json!({"untyped": bits(series.value)}),
        Kind::Summary => json!({
            "count": series.counts[0],
            "sum": bits(sum),
            "quantiles": [[bits(0.5), bits(sum)], [bits(0.99), bits(1.0)]],
            "start": start,
        }),
        _ => {
            let mut below = 0;
            let bounds = BOUNDS.iter().chain([&f64::INFINITY]);
            let bucket = |(at, (bound, count)): (usize, (&f64, u32))| {
                below += count;
                json!([below, bits(*bound), (at == 1).then_some(&trace)])
            };
            let buckets: Vec<Value> = bounds.zip(series.counts).enumerate().map(bucket).collect();
            let none = series.positive.is_empty();
            json!({
                "count": series.counts.iter().sum::<u32>(),
                "sum": bits(sum),
                "buckets": buckets,
                "schema": 3,
                "zero_threshold": bits(0.0),
                "zero_count": 0,
                "positive": series.positive,
                "negative": series.negative,
                "noop_span": none,
                "exemplars": [trace],
                "start": start,
            })
        }
    };
    json!([series.labels, value])
}

// === the programs ===

/// The Python with `prometheus_client`, if there is one.
fn python() -> Option<PathBuf> {
    let name = std::env::var("OBSERVATORY_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let check = Command::new(&name).args(["-c", "import prometheus_client"]).output();
    if check.is_ok_and(|it| it.status.success()) {
        return Some(name.into());
    }
    missing(&format!("{name} with prometheus_client"));
    None
}

/// The promtools of the system and of the newer peers.
fn promtools() -> Vec<PathBuf> {
    let peers = std::env::var("OBSERVATORY_TEST_PEERS").unwrap_or_else(|_| "./peers".to_owned());
    let newer = Path::new(&peers).join("usr/bin/promtool");
    let mut res = Vec::new();
    for path in [PathBuf::from("promtool"), newer] {
        if Command::new(&path).arg("--version").output().is_ok_and(|it| it.status.success()) {
            res.push(path);
        } else {
            missing(&path.display().to_string());
        }
    }
    res
}

fn missing(program: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{program} is missing");
    println!("skipped: {program} is missing");
}

fn run(command: &mut Command, input: Vec<u8>) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Another thread writes, lest both sides wait for the other to read. A reader that stops early
    // says why on its own.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// What the Python reader says about `page`: one JSON value per line.
fn read(python: &Path, mode: &str, page: Vec<u8>) -> Vec<Value> {
    let output = run(Command::new(python).args(["-c", READER, mode]), page);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

#[track_caller]
fn check(found: &[Value], expected: &[Value]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

// === the tests ===

#[test]
fn python_reads_text() {
    let Some(python) = python() else { return };
    let families = families();
    let expected: Vec<Value> = families.iter().flat_map(|it| samples(it, false)).collect();
    check(&read(&python, "text", encode(&families, FormatKind::Text004)), &expected);
}

#[test]
fn python_reads_open_metrics() {
    let Some(python) = python() else { return };
    let families = families();
    let expected: Vec<Value> = families.iter().flat_map(|it| samples(it, true)).collect();
    check(&read(&python, "openmetrics", encode(&families, FormatKind::OpenMetrics100)), &expected);
}

#[test]
fn python_reads_quoted_names() {
    let Some(python) = python() else { return };
    for (mode, kind) in [("text", FormatKind::Text100), ("openmetrics", FormatKind::OpenMetrics100)]
    {
        let format = Format { kind, escaping: Escaping::AllowUtf8 };
        let mut encoder = Encoder::new(format, Options::default());
        let head = FamilyHead::new("größe.total", "Größe.", Kind::Gauge);
        encoder.begin_family(&FamilyHead { quoted_labels: true, ..head });
        encoder.gauge("{\"c.d\"=\"x,}\",e=\"y\"}", 1.0);
        encoder.gauge("", 2.0);
        encoder.end_family();
        encoder.finish();
        let labels = [("c.d", "x,}"), ("e", "y")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let expected =
            [sample("größe.total", &labels, 1.0, None), sample("größe.total", &[], 2.0, None)];
        check(&read(&python, mode, encoder.take()), &expected);
    }
}

#[test]
fn the_wire_format_is_right() {
    let Some(python) = python() else { return };
    let families = families();
    let expected: Vec<Value> = families.iter().map(message).collect();
    check(&read(&python, "protobuf", encode(&families, FormatKind::Protobuf)), &expected);
}

#[test]
fn promtool_finds_nothing() {
    let page = encode(&families(), FormatKind::Text004);
    for promtool in promtools() {
        let output = run(Command::new(&promtool).args(["check", "metrics"]), page.clone());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", promtool.display());
        assert!(said.is_empty(), "{}: {said}", promtool.display());
    }
}

#[test]
fn promtool_would_find_something() {
    for promtool in promtools() {
        let page = b"# TYPE a counter\na 1\n".to_vec();
        let output = run(Command::new(&promtool).args(["check", "metrics"]), page);
        assert_eq!(output.status.code(), Some(3), "{}", promtool.display());
    }
}
