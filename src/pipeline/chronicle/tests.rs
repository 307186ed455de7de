use super::super::Config;
use super::super::tests::open;
use super::*;
use crate::event::NewEvent;
use crate::exposition::parse;
use std::{collections::BTreeMap, fs};

const DAY_MS: i64 = 86_400_000;
/// 2026-01-05T00:00:00Z.
const START: i64 = 1_767_571_200_000;

const RULES: &str = r#"
version: 1
metrics:
  jobs_total: {help: J., match: job, count: 1, labels: {x: $x}}
  job_size_bytes: {help: S., match: job, observe: $n, buckets: [10, 100], labels: {x: $x}}
  last_bytes: {help: L., match: job, set: $n}
  other_total: {help: O., match: other, count: 1, init: [{}]}
spans:
  run: {help: R, key: $n, start: begin, end: job, labels: {x: $x}}
"#;

fn event(event_type: &'static str, at_ms: i64, x: &str, n: i64) -> NewEvent<'static> {
    NewEvent {
        id: None,
        event_type: event_type.into(),
        source: "s".into(),
        time: Some(Time::from_millis(at_ms)),
        subject: None,
        trace: None,
        data: format!("{{\"x\":\"{x}\",\"n\":{n}}}").into(),
    }
}

async fn with_events(events: Vec<NewEvent<'static>>) -> (tempfile::TempDir, Pipeline) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yml");
    fs::write(&file, RULES).unwrap();
    let pipeline = open(dir.path(), Config { rules_file: Some(file), ..Config::default() });
    if !events.is_empty() {
        pipeline.submit(events).await.unwrap();
    }
    (dir, pipeline)
}

fn order(metrics: &[&str]) -> Chronicle {
    Chronicle {
        rules: None,
        since: Time::from_millis(START),
        until: Time::from_millis(START + DAY_MS),
        step: Duration::from_secs(60),
        metrics: metrics.iter().map(|it| (*it).to_owned()).collect(),
    }
}

fn text(pipeline: &Pipeline, order: &Chronicle) -> String {
    let mut res = Vec::new();
    let mut sink = |chunk: Vec<u8>| {
        res.extend(chunk);
        ControlFlow::Continue(())
    };
    pipeline.chronicle(order, &mut sink).unwrap();
    String::from_utf8(res).unwrap()
}

/// The values of each series with their times in milliseconds after the start, which must ascend.
fn series(text: &str) -> BTreeMap<String, Vec<(i64, f64)>> {
    let mut res = BTreeMap::<String, Vec<(i64, f64)>>::new();
    for line in text.lines().filter(|it| !it.starts_with('#')) {
        let (rest, at) = line.rsplit_once(' ').unwrap();
        let (series, value) = rest.rsplit_once(' ').unwrap();
        let (seconds, millis) = at.split_once('.').unwrap_or((at, "0"));
        let at = seconds.parse::<i64>().unwrap() * 1000 + millis.parse::<i64>().unwrap() - START;
        let samples = res.entry(series.to_owned()).or_default();
        assert!(samples.last().is_none_or(|it| it.0 < at), "{line} is out of order");
        samples.push((at, value.parse().unwrap()));
    }
    res
}

#[tokio::test]
async fn events_count_from_their_own_time_whenever_they_arrive() {
    let minute = |m: i64| START + m * 60_000;
    // Out of order, on both edges, and outside.
    let events = vec![
        event("job", minute(10) + 30_000, "a", 50),
        event("job", minute(2), "a", 5),
        event("job", minute(0), "b", 500),
        event("job", START - 1, "a", 1),
        event("job", START + DAY_MS, "a", 1),
        event("job", START + DAY_MS - 1, "b", 7),
        event("begin", minute(1), "a", 5),
    ];
    let (_dir, pipeline) = with_events(events).await;
    let text = text(&pipeline, &order(&[]));
    assert!(text.ends_with("# EOF\n"));
    // Families stand together, and the official kind of parser takes them.
    let heads = text.lines().filter(|it| it.starts_with("# TYPE ")).count();
    assert_eq!(heads, pipeline.rules().families().len());
    let all = series(&text);
    let a = &all["jobs_total{x=\"a\"}"];
    assert_eq!(a[..3], [(120_001, 0.0), (180_000, 1.0), (240_000, 1.0)], "0 before the first");
    assert_eq!(a.iter().find(|it| it.1 == 2.0), Some(&(660_000, 2.0)));
    assert_eq!(a.last(), Some(&(DAY_MS, 2.0)), "what is outside does not count");
    assert_eq!(a.len(), 1 + 24 * 60 - 2);
    let b = &all["jobs_total{x=\"b\"}"];
    assert_eq!((b[0], b[1], *b.last().unwrap()), ((1, 0.0), (60_000, 1.0), (DAY_MS, 2.0)));
    let bucket =
        |le: &str| *all[&format!("job_size_bytes_bucket{{x=\"a\",le=\"{le}\"}}")].last().unwrap();
    assert_eq!((bucket("10.0").1, bucket("100.0").1, bucket("+Inf").1), (1.0, 2.0, 2.0));
    assert_eq!(all["job_size_bytes_count{x=\"a\"}"][0], (120_001, 0.0));
    // A gauge has the value of the last event by its own time, and none before the first.
    let last = &all["last_bytes"];
    assert_eq!(
        (last[0], last[2], *last.last().unwrap()),
        ((60_000, 500.0), (180_000, 5.0), (DAY_MS, 7.0))
    );
    assert_eq!(all["other_total"][0], (1, 0.0), "what exists from the start");
    let took = all["run_duration_seconds_sum{x=\"a\"}"].last().unwrap();
    assert_eq!(took.1, 60.0);
    let in_flight = &all["run_in_flight{x=\"a\"}"];
    assert_eq!((in_flight[0], in_flight[1]), ((120_000, 1.0), (180_000, 0.0)));
    pipeline.stop().await;
}

#[tokio::test]
async fn crowded_windows_are_made_shorter_and_nothing_is_lost() {
    // More than a window takes within an hour, and all of one minute at once.
    let n = WINDOW_EVENTS as i64;
    let mut events: Vec<_> =
        (0..n / 2).map(|it| event("job", START + it * 60_000 / n, "a", it)).collect();
    events.extend((0..n).map(|it| event("job", START + it * 3_500_000 / n, "b", it)));
    events.push(event("job", START + DAY_MS / 2, "a", 1));
    events.reverse();
    let (_dir, pipeline) = with_events(events).await;
    let all = series(&text(&pipeline, &order(&["jobs_total"])));
    let a = &all["jobs_total{x=\"a\"}"];
    let total = |it: i64| it as f64;
    assert_eq!(a[1], (60_000, total(n / 2)));
    assert_eq!(*a.last().unwrap(), (DAY_MS, total(n / 2 + 1)));
    let b = &all["jobs_total{x=\"b\"}"];
    for minute in 1..=58 {
        // The first event at or after the minute is not in yet.
        let expected = (minute * 60_000 * n + 3_499_999) / 3_500_000;
        assert_eq!(b[usize::try_from(minute).unwrap()].1, total(expected), "{minute}");
    }
    assert_eq!(b.last().unwrap().1, total(n));
    pipeline.stop().await;
}

#[tokio::test]
async fn other_rules_other_steps_and_what_is_wrong() {
    let (_dir, pipeline) = with_events(vec![event("job", START + 1500, "a", 5)]).await;
    let rules = "version: 1\nmetrics:\n  works_total: {help: W., match: job, count: 2}\n";
    let with = |rules: &str| Chronicle { rules: Some(rules.to_owned()), ..order(&[]) };
    let steps = Chronicle {
        step: Duration::from_secs(15),
        until: Time::from_millis(START + 40_000),
        ..with(rules)
    };
    let all = series(&text(&pipeline, &steps));
    assert_eq!(all.len(), 1);
    assert_eq!(
        all["works_total"],
        [(1, 0.0), (15_000, 2.0), (30_000, 2.0), (40_000, 2.0)],
        "the last sample is at the end"
    );
    let mut sink = |_: Vec<u8>| -> ControlFlow<()> { panic!("nothing is handed out") };
    let err = pipeline.chronicle(&with("version: 2"), &mut sink).unwrap_err().to_string();
    assert!(err.contains('^'), "{err}");
    let err = pipeline.chronicle(&order(&["nope"]), &mut sink).unwrap_err().to_string();
    assert!(err.contains("`nope`"), "{err}");
    // Nobody wants more: it stops, and there is no end.
    let mut chunks = 0;
    let mut sink = |chunk: Vec<u8>| {
        chunks += 1;
        assert!(!chunk.ends_with(b"# EOF\n"));
        ControlFlow::Break(())
    };
    pipeline.chronicle(&order(&[]), &mut sink).unwrap();
    assert_eq!(chunks, 1);
    // Without dates it is what our own parser of OpenMetrics takes.
    let families =
        parse::open_metrics(text(&pipeline, &steps).as_bytes(), parse::Limits::default());
    assert!(families.is_ok(), "{families:?}");
    pipeline.stop().await;
}
