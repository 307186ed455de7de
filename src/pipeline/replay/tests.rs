use super::super::tests::{event, open, page};
use super::super::{Config, Pipeline};
use super::*;
use crate::journal;
use crate::selector::Glob;
use std::{fs, path::Path};

const BASE: &str = "version: 1\nmetrics:\n  a_total: {help: A., match: a, count: 1}\n";

fn with_rules(dir: &Path, text: &str) -> Config {
    let file = dir.join("rules.yml");
    fs::write(&file, text).unwrap();
    Config { rules_file: Some(file), ..Config::default() }
}

async fn replay(pipeline: &Pipeline, order: Replay) -> Result<Replayed, ReplayError> {
    let pipeline = pipeline.clone();
    let work = move || pipeline.replay(&order, &mut |_| ControlFlow::Continue(()));
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn of(metric: &str) -> Replay {
    Replay { metrics: vec![metric.to_owned()], ..Replay::default() }
}

async fn send(pipeline: &Pipeline, n: usize) {
    let batch = (0..n).map(|it| event(None, if it % 2 == 0 { "a" } else { "b" })).collect();
    pipeline.submit(batch).await.unwrap();
}

/// Waits until the page has `line`.
async fn wait_for(pipeline: &Pipeline, line: &str) {
    let started = Instant::now();
    while !page(pipeline).await.lines().any(|it| it == line) {
        assert!(started.elapsed() < Duration::from_secs(30), "{line}:\n{}", page(pipeline).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_metric_with_backfill_counts_the_past_while_events_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let config = with_rules(dir.path(), BASE);
    let pipeline = open(dir.path(), config.clone());
    send(&pipeline, 20_000).await;
    let sender = pipeline.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..100 {
            send(&sender, 10).await;
        }
    });
    let more = "  bees_total: {help: B., match: b, count: 1, backfill: true}\n  seas_total: {help: C., match: b, count: 1}\n";
    with_rules(dir.path(), &format!("{BASE}{more}"));
    assert!(pipeline.reload_rules().await.unwrap().changed);
    sending.await.unwrap();
    wait_for(&pipeline, "bees_total 10500").await;
    let families = pipeline.rules();
    let state = |name: &str| {
        let spec = families.families().iter().find(|it| it.name == name).unwrap();
        pipeline.backfill_state(spec)
    };
    assert_eq!(state("bees_total"), Some(BackfillState::Done));
    assert_eq!(state("seas_total"), None);
    let before = page(&pipeline).await;
    assert!(before.contains("\na_total 10500\n"), "{before}");
    assert!(!before.contains("\nseas_total 10500\n"), "it was not asked for: {before}");
    pipeline.stop().await;
    drop(pipeline);
    // Nothing is counted again.
    let pipeline = open(dir.path(), config);
    assert_eq!(page(&pipeline).await, before);
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_counts_what_was_there_before_the_metric() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), with_rules(dir.path(), BASE));
    send(&pipeline, 5000).await;
    with_rules(dir.path(), &format!("{BASE}  bees_total: {{help: B., match: b, count: 1}}\n"));
    pipeline.reload_rules().await.unwrap();
    send(&pipeline, 10).await;
    assert!(page(&pipeline).await.contains("\nbees_total 5\n"));
    let dry = replay(&pipeline, Replay { dry_run: true, ..of("bees_total") }).await.unwrap();
    assert_eq!((dry.from, dry.events), (1, 2505));
    let [difference] = dry.metrics.as_slice() else { panic!("{dry:?}") };
    assert_eq!(
        (difference.examples[0].before, difference.examples[0].after),
        (Some(5.0), Some(2505.0))
    );
    assert!(page(&pipeline).await.contains("\nbees_total 5\n"), "a dry run changes nothing");
    replay(&pipeline, of("bees_total")).await.unwrap();
    let after = page(&pipeline).await;
    assert!(after.contains("\nbees_total 2505\n") && after.contains("\na_total 2505\n"), "{after}");
    // Without a stop: what a kill leaves is the snapshot of the replay, and the events after it.
    send(&pipeline, 10).await;
    let killed = tempfile::tempdir().unwrap();
    let mut copy = std::process::Command::new("cp");
    copy.arg("-a").arg(dir.path().join(".")).arg(killed.path());
    assert!(copy.status().unwrap().success());
    let again = open(
        killed.path(),
        with_rules(killed.path(), &fs::read_to_string(dir.path().join("rules.yml")).unwrap()),
    );
    assert!(page(&again).await.contains("\nbees_total 2510\n"));
    again.stop().await;
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_slower_than_ingest_ends() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), with_rules(dir.path(), BASE));
    send(&pipeline, 5000).await;
    with_rules(dir.path(), &format!("{BASE}  bees_total: {{help: B., match: b, count: 1}}\n"));
    pipeline.reload_rules().await.unwrap();
    // Whenever it has done some, there is more to do than the writer would take over.
    let (at_work, runtime) = (pipeline.clone(), tokio::runtime::Handle::current());
    let work = move || {
        let mut sent = 5000;
        const { assert!(4000 > LAST_EVENTS) };
        let mut progress = |it: Progress| {
            if it.done + 1000 > sent {
                runtime.block_on(send(&at_work, 4000));
                sent += 4000;
            }
            assert!(sent < 1_000_000, "it goes on for ever");
            ControlFlow::Continue(())
        };
        at_work.replay(&of("bees_total"), &mut progress).map(|_| sent)
    };
    let sent = tokio::task::spawn_blocking(work).await.unwrap().unwrap();
    let expected = format!("\nbees_total {}\n", sent / 2);
    assert!(page(&pipeline).await.contains(&expected), "{expected}");
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_lose_counts_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), with_rules(dir.path(), BASE));
    send(&pipeline, 10).await;
    let boundary = pipeline.now().saturating_add(Duration::from_millis(1));
    while pipeline.now() <= boundary {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    send(&pipeline, 4).await;
    let since = Replay { since: Some(boundary), ..of("a_total") };
    let refused = replay(&pipeline, since.clone()).await.unwrap_err().to_string();
    let expected = "a_total counts since event 1, and the replay would begin with event 11";
    assert!(refused.contains(expected), "{refused}");
    assert!(page(&pipeline).await.contains("\na_total 7\n"));
    let done = replay(&pipeline, Replay { reset: true, ..since.clone() }).await.unwrap();
    assert_eq!(done.from, 11);
    assert!(page(&pipeline).await.contains("\na_total 2\n"));
    // It counts since then now.
    replay(&pipeline, since).await.unwrap();
    replay(&pipeline, of("a_total")).await.unwrap();
    assert!(page(&pipeline).await.contains("\na_total 7\n"));

    // What retention deleted cannot be counted again.
    let retention = crate::journal::Retention { max_bytes: Some(0), ..Default::default() };
    let end = pipeline.journal().end();
    let pruned = pipeline.journal().prune(&retention, pipeline.now(), end).unwrap();
    assert!(pruned.events > 0);
    let refused = replay(&pipeline, of("a_total")).await.unwrap_err().to_string();
    assert!(refused.contains("would"), "{refused}");
    assert!(page(&pipeline).await.contains("\na_total 7\n"));
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_deleted_of_other_types_is_not_missed() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("{BASE}  bees_total: {{help: B., match: b*, count: 1}}\n");
    let pipeline = open(dir.path(), with_rules(dir.path(), &text));
    let prune = |event_type: &str| {
        let types = vec![Glob::parse(event_type).unwrap()];
        let class = journal::Class { types, max_age: Some(Duration::ZERO) };
        let retention = journal::Retention { classes: vec![class], ..Default::default() };
        let journal = pipeline.journal();
        journal.prune(&retention, pipeline.now(), journal.end()).unwrap().events
    };
    // Of the oldest block nothing is left, of the next one a part.
    pipeline.submit((0..40).map(|_| event(None, "b")).collect()).await.unwrap();
    assert_eq!(prune("b"), 40);
    send(&pipeline, 100).await;
    assert_eq!(prune("b"), 50);
    assert!(pipeline.journal().first() > 1);
    let done = replay(&pipeline, of("a_total")).await.unwrap();
    assert_eq!(done.events, 50);
    let err = replay(&pipeline, of("bees_total")).await.unwrap_err();
    assert!(matches!(err, ReplayError::WouldLose(_)), "{err}");
    let now = page(&pipeline).await;
    assert!(now.contains("\na_total 50\n") && now.contains("\nbees_total 90\n"), "{now}");

    // A store that does not know what is missing may miss anything.
    send(&pipeline, 100).await;
    assert_eq!(prune("b"), 50);
    replay(&pipeline, of("a_total")).await.unwrap();
    let table = pipeline.store().table(journal::TABLE).unwrap();
    table.remove(b"p").unwrap();
    replay(&pipeline, of("a_total")).await.unwrap_err();
    // So it stays, of what it did not know.
    send(&pipeline, 100).await;
    assert_eq!(prune("b"), 50);
    replay(&pipeline, of("a_total")).await.unwrap_err();
    replay(&pipeline, Replay { reset: true, ..of("a_total") }).await.unwrap();
    assert!(page(&pipeline).await.contains("\na_total 150\n"));
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_deletes_meanwhile_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), with_rules(dir.path(), BASE));
    send(&pipeline, 6000).await;
    let replaying = pipeline.clone();
    let work = move || {
        let mut pruned = false;
        replaying.replay(&of("a_total"), &mut |_| {
            if !std::mem::replace(&mut pruned, true) {
                let retention =
                    crate::journal::Retention { max_bytes: Some(0), ..Default::default() };
                let journal = replaying.journal();
                journal.prune(&retention, replaying.now(), journal.end()).unwrap();
            }
            ControlFlow::Continue(())
        })
    };
    let err = tokio::task::spawn_blocking(work).await.unwrap().unwrap_err();
    assert!(matches!(err, ReplayError::WouldLose(_)), "{err}");
    assert!(page(&pipeline).await.contains("\na_total 3000\n"));
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), with_rules(dir.path(), BASE));
    send(&pipeline, 6000).await;
    let err = replay(&pipeline, of("nope_total")).await.unwrap_err();
    assert!(matches!(err, ReplayError::Unknown(_)), "{err}");
    let err = replay(&pipeline, Replay::default()).await.unwrap_err();
    assert!(matches!(err, ReplayError::NoMetric), "{err}");
    let (given_up, inner) = (pipeline.clone(), pipeline.clone());
    let work = move || {
        let mut busy = None;
        let res = given_up.replay(&of("a_total"), &mut |_| {
            busy = Some(inner.replay(&of("a_total"), &mut |_| ControlFlow::Continue(())));
            ControlFlow::Break(())
        });
        (res.unwrap_err(), busy.unwrap().unwrap_err())
    };
    let (res, busy) = tokio::task::spawn_blocking(work).await.unwrap();
    assert!(matches!(res, ReplayError::GivenUp), "{res}");
    assert!(matches!(busy, ReplayError::Busy), "{busy}");
    assert!(page(&pipeline).await.contains("\na_total 3000\n"));
    // Rules that come into force meanwhile are noticed.
    let reloading = pipeline.clone();
    let changed =
        with_rules(dir.path(), &format!("{BASE}  bees_total: {{help: B., match: b, count: 1}}\n"));
    let handle = tokio::runtime::Handle::current();
    let work = move || {
        let mut reloaded = false;
        reloading.replay(&of("a_total"), &mut |_| {
            if !std::mem::replace(&mut reloaded, true) {
                handle.block_on(reloading.reload_rules()).unwrap();
            }
            ControlFlow::Continue(())
        })
    };
    let err = tokio::task::spawn_blocking(work).await.unwrap().unwrap_err();
    assert!(matches!(err, ReplayError::RulesChanged), "{err}");
    assert!(page(&pipeline).await.contains("\na_total 3000\n"));
    pipeline.stop().await;
    drop(pipeline);
    let pipeline = open(dir.path(), changed);
    assert!(page(&pipeline).await.contains("\na_total 3000\n"));
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_fails_the_backfill_and_shows_the_metric() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), with_rules(dir.path(), BASE));
    send(&pipeline, 3000).await;
    let table = pipeline.inner.store.table("journal").unwrap();
    let (key, mut value) = table.prefix(b"b").next().unwrap().unwrap();
    *value.last_mut().unwrap() ^= 1;
    table.put(&key, &value).unwrap();
    let more = "  bees_total: {help: B., match: b, count: 1, backfill: true}\n";
    with_rules(dir.path(), &format!("{BASE}{more}"));
    pipeline.reload_rules().await.unwrap();
    send(&pipeline, 10).await;
    wait_for(&pipeline, "bees_total 5").await;
    let rules = pipeline.rules();
    let state = pipeline.backfill_state(&rules.families()[1]);
    assert!(
        matches!(&state, Some(BackfillState::Failed(it)) if it.contains("damaged")),
        "{state:?}"
    );
    pipeline.stop().await;
}
