use super::*;
use crate::exposition::negotiate;
use crate::metrics::Audience;
use crate::store;
use std::{fs, path::Path};

#[expect(clippy::needless_pass_by_value, reason = "the tests read better so")]
pub(super) fn open(dir: &Path, config: Config) -> Pipeline {
    let store = Store::open(&store::Config::new(dir.join("data"))).unwrap();
    Pipeline::open(&config, &store).unwrap()
}

pub(super) fn event<'a>(id: Option<&'a str>, event_type: &'a str) -> NewEvent<'a> {
    NewEvent {
        id: id.map(Into::into),
        event_type: event_type.into(),
        source: "s".into(),
        time: None,
        subject: None,
        trace: None,
        data: r#"{"project":"web","status":"success","duration_seconds":5}"#.into(),
    }
}

pub(super) async fn page(pipeline: &Pipeline) -> String {
    let format = ScrapeFormat { format: negotiate(None), gzip: false };
    String::from_utf8(pipeline.scrape(format, Audience::Person).await.chunks.concat()).unwrap()
}

async fn builds(pipeline: &Pipeline) -> String {
    let page = page(pipeline).await;
    let line =
        page.lines().find(|it| it.starts_with("ci_builds_total{") && it.contains("\"success\""));
    line.map_or("none", |it| it.rsplit(' ').next().unwrap()).to_owned()
}

#[tokio::test]
async fn what_is_acknowledged_is_in_the_next_page_and_the_next_answer() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), Config::default());
    for n in 1..20 {
        let ack = pipeline.submit(vec![event(None, "ci_build_completed")]).await.unwrap();
        assert_eq!(builds(&pipeline).await, n.to_string());
        let found = pipeline.journal().get(&ack.events[0].id).unwrap().unwrap();
        assert_eq!(found.0, n);
    }
    pipeline.stop().await;
}

#[tokio::test]
async fn a_retry_counts_once_within_a_batch_across_batches_and_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), Config::default());
    let batch =
        || vec![event(Some("a"), "ci_build_completed"), event(Some("a"), "ci_build_completed")];
    let duplicates = |ack: Ack| ack.events.iter().map(|it| it.duplicate).collect::<Vec<_>>();
    assert_eq!(duplicates(pipeline.submit(batch()).await.unwrap()), [false, true]);
    assert_eq!(duplicates(pipeline.submit(batch()).await.unwrap()), [true, true]);
    pipeline.stop().await;
    drop(pipeline);
    let pipeline = open(dir.path(), Config::default());
    let mixed =
        vec![event(Some("a"), "ci_build_completed"), event(Some("b"), "ci_build_completed")];
    assert_eq!(duplicates(pipeline.submit(mixed).await.unwrap()), [true, false]);
    assert_eq!(builds(&pipeline).await, "2");
    assert_eq!(pipeline.journal().len(), 2);
    pipeline.stop().await;
}

#[tokio::test]
async fn what_comes_back_with_an_id_of_ours_is_a_duplicate() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), Config::default());
    let made = || event(None, "ci_build_completed");
    let ack = pipeline.submit(vec![made(), made(), made()]).await.unwrap();
    let ids: Vec<_> = ack.events.iter().map(|it| it.id.to_string()).collect();
    let back = |at: usize| event(Some(ids[at].as_str()), "ci_build_completed");
    let foreign = "evt_01KED5000000000000000000000".get(..30).unwrap();
    let batch = || {
        let stranger = event(Some(foreign), "ci_build_completed");
        let other_source = NewEvent { source: "other".into(), ..back(1) };
        vec![back(0), made(), back(2), other_source, stranger, back(1)]
    };
    let duplicates = |ack: Ack| ack.events.iter().map(|it| it.duplicate).collect::<Vec<_>>();
    let first = pipeline.submit(batch()).await.unwrap();
    assert_eq!(duplicates(first.clone()), [true, false, true, false, false, true]);
    assert_eq!(first.events[0].id.to_string(), ids[0]);
    let again = pipeline.submit(batch()).await.unwrap();
    assert_eq!(duplicates(again), [true, false, true, true, true, true]);
    assert_eq!(duplicates(pipeline.submit(vec![back(0), back(1)]).await.unwrap()), [true, true]);
    assert_eq!(builds(&pipeline).await, "7");
    pipeline.stop().await;
    drop(pipeline);
    let pipeline = open(dir.path(), Config::default());
    assert_eq!(duplicates(pipeline.submit(vec![back(1)]).await.unwrap()), [true]);
    assert_eq!(pipeline.journal().len(), 7);
    pipeline.stop().await;
}

#[tokio::test]
async fn whoever_hangs_up_is_counted_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), Config::default());
    for _ in 0..100 {
        drop(pipeline.submit(vec![event(None, "ci_build_completed")]));
    }
    pipeline.stop().await;
    drop(pipeline);
    let pipeline = open(dir.path(), Config::default());
    assert_eq!(builds(&pipeline).await, "100");
    pipeline.stop().await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_loses_nothing_that_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { queue_requests: 4, ..Config::default() };
    let pipeline = open(dir.path(), config);
    let answers: Vec<_> =
        (0..500).map(|_| pipeline.submit(vec![event(None, "ci_build_completed")])).collect();
    let (mut taken, mut refused) = (0, 0);
    for it in answers {
        match it.await {
            Ok(_) => taken += 1,
            Err(SubmitError::Full) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} {refused}");
    assert_eq!(builds(&pipeline).await, taken.to_string());
    pipeline.stop().await;
}

#[tokio::test]
async fn large_batches_are_split_and_all_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), Config::default());
    let batch: Vec<_> = (0..3500).map(|_| event(None, "ci_build_completed")).collect();
    let ack = pipeline.submit(batch).await.unwrap();
    assert_eq!(ack.events.len(), 3500);
    pipeline.stop().await;
    drop(pipeline);
    let pipeline = open(dir.path(), Config::default());
    assert_eq!(builds(&pipeline).await, "3500");
    assert_eq!(pipeline.journal().len(), 3500);
    pipeline.stop().await;
}

#[tokio::test]
async fn stopped_means_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), Config::default());
    pipeline.stop().await;
    let err = pipeline.submit(vec![event(None, "t")]).await.unwrap_err();
    assert!(matches!(err, SubmitError::Stopping), "{err}");
}

const RULES: &str = "version: 1\nmetrics:\n  a_total: {help: A., match: a, count: 1}\n";

#[tokio::test]
async fn a_bad_reload_keeps_the_old_rules_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yml");
    fs::write(&file, RULES).unwrap();
    let config = Config { rules_file: Some(file.clone()), ..Config::default() };
    let pipeline = open(dir.path(), config.clone());
    pipeline.submit(vec![event(None, "a")]).await.unwrap();
    fs::write(&file, "version: 1\nmetrics:\n  a_total: {help: A., match: a, cuont: 1}\n").unwrap();
    let err = pipeline.reload_rules().await.unwrap_err().to_string();
    assert!(err.contains("rules.yml:3:") && err.contains("cuont"), "{err}");
    pipeline.submit(vec![event(None, "a")]).await.unwrap();
    assert!(page(&pipeline).await.contains("\na_total 2\n"));
    fs::write(&file, RULES.replace("match: a", "match: z")).unwrap();
    assert!(pipeline.reload_rules().await.unwrap().changed);
    pipeline.submit(vec![event(None, "a"), event(None, "z")]).await.unwrap();
    assert!(page(&pipeline).await.contains("\na_total 1\n"));
    pipeline.stop().await;
    drop(pipeline);
    let pipeline = open(dir.path(), config);
    assert!(page(&pipeline).await.contains("\na_total 1\n"), "as it was before the restart");
    pipeline.stop().await;
}

#[tokio::test]
async fn reloads_under_load_lose_no_event_of_a_metric_that_stays() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yml");
    fs::write(&file, RULES).unwrap();
    let pipeline = open(dir.path(), Config { rules_file: Some(file.clone()), ..Config::default() });
    let sender = pipeline.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..300 {
            sender.submit(vec![event(None, "a"), event(None, "b")]).await.unwrap();
        }
    });
    for i in 0..10 {
        let extra = format!("  x{i}_total: {{help: X., match: b, count: 1}}\n");
        fs::write(&file, format!("{RULES}{extra}")).unwrap();
        pipeline.reload_rules().await.unwrap();
    }
    sending.await.unwrap();
    assert!(page(&pipeline).await.contains("\na_total 300\n"));
    pipeline.stop().await;
}

#[tokio::test]
async fn relaxed_durability_answers_before_the_flush_and_flushes_soon() {
    let dir = tempfile::tempdir().unwrap();
    let durability = Durability::Relaxed(Duration::from_millis(20));
    let pipeline = open(dir.path(), Config { durability, ..Config::default() });
    for _ in 0..50 {
        pipeline.submit(vec![event(None, "ci_build_completed")]).await.unwrap();
    }
    assert_eq!(builds(&pipeline).await, "50");
    pipeline.stop().await;
    drop(pipeline);
    let pipeline = open(dir.path(), Config::default());
    assert_eq!(builds(&pipeline).await, "50");
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_scrapes_at_once_shares_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), Config::default());
    pipeline.submit(vec![event(None, "ci_build_completed")]).await.unwrap();
    let format = ScrapeFormat { format: negotiate(None), gzip: false };
    let scrape = || {
        let pipeline = pipeline.clone();
        tokio::spawn(async move { pipeline.scrape(format, Audience::Person).await })
    };
    let scrapes: Vec<_> = (0..50).map(|_| scrape()).collect();
    let mut pages = Vec::new();
    for it in scrapes {
        pages.push(it.await.unwrap().chunks);
    }
    pages.dedup_by(|a, b| Arc::ptr_eq(a, b));
    assert!(pages.len() <= 2, "{} renders for 50 scrapes", pages.len());
    pipeline.stop().await;
}

#[tokio::test]
async fn the_metrics_are_stored_at_intervals() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { snapshot_interval: Duration::from_millis(1), ..Config::default() };
    let pipeline = open(dir.path(), config);
    let mut registry = Registry::default();
    pipeline.register(&mut registry);
    pipeline.expose(registry);
    pipeline.submit(vec![event(None, "ci_build_completed")]).await.unwrap();
    let stored = async || page(&pipeline).await.contains("\nsnapshot_duration_seconds_count 1\n");
    let started = Instant::now();
    while !stored().await {
        assert!(started.elapsed() < Duration::from_secs(20), "no snapshot came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Nothing happens, so nothing is stored again.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(stored().await);
    pipeline.stop().await;
}
