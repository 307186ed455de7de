use super::*;
use crate::event::NewEvent;
use crate::exposition::negotiate;
use crate::journal::Query;
use crate::metrics::Audience;
use crate::pipeline::{Config, ScrapeFormat};
use crate::store;
use std::path::Path;

const DAY: Duration = Duration::from_hours(24);

fn open(dir: &Path) -> Pipeline {
    let store = Store::open(&store::Config::new(dir.join("data"))).unwrap();
    Pipeline::open(&Config::default(), &store).unwrap()
}

/// Stores one event of `event_type` that happened so many days ago.
async fn event(pipeline: &Pipeline, event_type: &str, days_ago: u32) {
    let event = NewEvent {
        id: None,
        event_type: event_type.into(),
        source: "s".into(),
        time: Some(pipeline.now().saturating_sub(days_ago * DAY)),
        subject: None,
        trace: None,
        data: r#"{"project":"web","status":"success"}"#.into(),
    };
    pipeline.submit(vec![event]).await.unwrap();
}

async fn rules_page(pipeline: &Pipeline) -> Vec<String> {
    let format = ScrapeFormat { format: negotiate(None), gzip: false };
    let page = pipeline.scrape(format, Audience::Person).await.chunks.concat();
    let lines = String::from_utf8(page).unwrap();
    let own = |it: &&str| !it.contains("observatory_") && !it.contains("process_");
    lines.lines().filter(own).map(str::to_owned).collect()
}

/// The types of all events, in the order of their arrival.
fn types(pipeline: &Pipeline) -> Vec<String> {
    let query = Query { limit: 1000, ascending: true, ..Query::default() };
    let events = pipeline.journal().query(&query).unwrap().events;
    events.into_iter().map(|it| it.1.event_type.into_owned()).collect()
}

async fn some(pipeline: &Pipeline) {
    for days_ago in [100, 50, 10, 1] {
        for event_type in ["ci_build_completed", "log_line", "metric_cpu"] {
            event(pipeline, event_type, days_ago).await;
        }
    }
}

#[tokio::test]
async fn every_class_has_its_age_and_no_metric_changes() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path());
    some(&pipeline).await;
    let before = rules_page(&pipeline).await;
    assert!(before.iter().any(|it| it.starts_with("ci_builds_total{")), "{before:?}");
    let trial = pipeline.prune_trial(Wanted::default()).await.unwrap();
    assert_eq!((trial.events, pipeline.journal().len()), (6, 12));
    let pruned = pipeline.prune(Wanted::default()).await.unwrap();
    // Of the builds that of 100 days ago; of the logs all but yesterday's; of the samples those of 50 and
    // 100 days ago.
    assert_eq!(pruned.events, 6);
    assert!(pruned.clock_ahead.is_none() && pruned.bytes > 0 && pruned.blocks > 0, "{pruned:?}");
    let kept = ["ci_build_completed", "ci_build_completed", "metric_cpu"];
    let yesterday = ["ci_build_completed", "log_line", "metric_cpu"];
    assert_eq!(types(&pipeline), [&kept[..], &yesterday[..]].concat());
    assert_eq!(rules_page(&pipeline).await, before);
    pipeline.stop().await;
    drop(pipeline);
    let pipeline = open(dir.path());
    assert_eq!(rules_page(&pipeline).await, before);
    assert_eq!(pipeline.journal().len(), 6);
    assert_eq!(pipeline.prune(Wanted::default()).await.unwrap().events, 0);
    pipeline.stop().await;
}

#[tokio::test]
async fn somebody_may_want_more_gone_or_one_class_only() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path());
    some(&pipeline).await;
    let wanted = Wanted { older_than: Some(20 * DAY), class: Some(Class::Events) };
    assert_eq!(pipeline.prune_trial(wanted).await.unwrap().events, 2);
    assert_eq!(pipeline.prune(wanted).await.unwrap().events, 2);
    let wanted = Wanted { older_than: Some(5 * DAY), class: None };
    assert_eq!(pipeline.prune(wanted).await.unwrap().events, 7);
    assert_eq!(types(&pipeline), ["ci_build_completed", "log_line", "metric_cpu"]);
    pipeline.stop().await;
}

#[tokio::test]
async fn what_no_snapshot_contains_stays() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path());
    event(&pipeline, "ci_build_completed", 200).await;
    // The keeper itself makes no snapshot.
    assert_eq!(pipeline.forget(Wanted::default()).await.unwrap().events, 0);
    assert_eq!(pipeline.journal().len(), 1);
    pipeline.snapshot().await.unwrap();
    assert_eq!(pipeline.forget(Wanted::default()).await.unwrap().events, 1);
    pipeline.stop().await;
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path());
    for days_ago in [10, 1] {
        event(&pipeline, "log_line", days_ago).await;
    }
    pipeline.snapshot().await.unwrap();
    let jumped = pipeline.now().saturating_add(400 * DAY);
    let pruned = pipeline.forget_at(&Wanted::default(), jumped).unwrap();
    // What is too old by the last arrival goes, what is too old by the new clock does not.
    assert_eq!((pruned.events, pipeline.journal().len()), (1, 1));
    assert!(pruned.clock_ahead.is_some_and(|it| it > 399 * DAY), "{pruned:?}");
    assert!(pipeline.inner.keeper.own.clock_ahead.get() > 399.0 * 86_400.0);
    let pruned = pipeline.forget_at(&Wanted::default(), pipeline.now()).unwrap();
    assert!(pruned.clock_ahead.is_none() && pruned.events == 0, "{pruned:?}");
    pipeline.stop().await;
}

#[test]
fn a_clock_is_even_until_it_jumps() {
    let (start, at) = (Instant::now(), Time::from_millis(1_000_000_000));
    let after = |seconds: u64, clock: u64| {
        let shift = Duration::from_secs;
        (start + shift(seconds), at.saturating_add(shift(clock)))
    };
    let mut steady = Steady::new(start, at);
    let mut look = |(instant, now)| steady.look(instant, now).as_secs();
    assert_eq!(look(after(60, 60)), 60);
    assert_eq!(look(after(120, 125)), 120, "a clock may be set right a little");
    assert_eq!(look(after(180, 3600)), 0, "ahead");
    assert_eq!(look(after(240, 3660)), 60);
    assert_eq!(look(after(300, 310)), 0, "back");
    assert_eq!(look(after(90_000, 90_010)), 89_700);
}

#[tokio::test]
async fn a_clock_that_was_even_for_a_day_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path());
    event(&pipeline, "log_line", 0).await;
    let last = pipeline.journal().arrival_before_gap(pipeline.now(), Duration::ZERO, DAY).unwrap();
    let later = pipeline.now().saturating_add(30 * DAY);
    assert_eq!(believed(pipeline.journal(), later, DAY / 2).unwrap(), last.unwrap());
    assert_eq!(believed(pipeline.journal(), later, DAY).unwrap(), later);
    pipeline.stop().await;
}

#[tokio::test]
async fn one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path());
    let keeping = pipeline.hold().unwrap();
    let refused = pipeline.forget_at(&Wanted::default(), pipeline.now());
    assert!(matches!(refused, Err(PruneError::Busy)), "{refused:?}");
    drop(keeping);
    pipeline.forget_at(&Wanted::default(), pipeline.now()).unwrap();
    pipeline.stop().await;
}
