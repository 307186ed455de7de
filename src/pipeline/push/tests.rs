use super::*;
use crate::exposition::negotiate;
use crate::groups::Op;
use crate::metrics::Audience;
use crate::pipeline::{Config, ScrapeFormat};
use crate::push;
use crate::store;
use std::{fs, path::Path};

#[expect(clippy::needless_pass_by_value, reason = "the tests read better so")]
fn open(dir: &Path, config: Config) -> Pipeline {
    let store = Store::open(&store::Config::new(dir.join("data"))).unwrap();
    Pipeline::open(&config, &store).unwrap()
}

fn grouping(path: &str) -> Grouping {
    push::grouping(&format!("/metrics/{path}"), push::Options::default()).unwrap()
}

fn families(body: &str) -> Vec<Family> {
    push::families(body.as_bytes(), None, false, &push::Limits::default()).unwrap()
}

async fn put(pipeline: &Pipeline, path: &str, body: &str) -> Result<(), String> {
    let pushed = pipeline.push(Op::Put, &grouping(path), families(body)).await;
    pushed.unwrap().map_err(|it| it.to_string())
}

async fn page(pipeline: &Pipeline, accept: &str) -> String {
    let format = ScrapeFormat { format: negotiate(Some(accept)), gzip: false };
    let page = pipeline.scrape(format, Audience::Person).await.chunks.concat();
    String::from_utf8_lossy(&page).into_owned()
}

#[tokio::test]
async fn what_is_acknowledged_is_on_the_next_page_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), Config::default());
    for n in 0..20 {
        put(&pipeline, "job/j", &format!("m {n}\n")).await.unwrap();
        let page = page(&pipeline, "").await;
        assert!(page.contains(&format!("\nm{{instance=\"\",job=\"j\"}} {n}\n")), "{page}");
    }
    put(&pipeline, "job/j", "m 1 1\n").await.unwrap_err();
    pipeline.stop().await;
    drop(pipeline);
    let pipeline = open(dir.path(), Config::default());
    let text = page(&pipeline, "").await;
    assert!(text.contains("\nm{instance=\"\",job=\"j\"} 19\n"), "{text}");
    assert!(!text.contains("push_failure_time_seconds{instance=\"\",job=\"j\"} 0\n"), "{text}");
    pipeline.wipe_groups().await.unwrap();
    assert!(!page(&pipeline, "").await.contains("job=\"j\""));
    pipeline.stop().await;
    assert!(pipeline.push(Op::Put, &grouping("job/j"), Vec::new()).await.is_err());
}

#[tokio::test]
async fn whoever_hangs_up_has_pushed_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), Config::default());
    for n in 0..50 {
        drop(pipeline.push(Op::Put, &grouping(&format!("job/{n}")), families("m 1\n")));
    }
    pipeline.stop().await;
    drop(pipeline);
    let pipeline = open(dir.path(), Config::default());
    assert_eq!(pipeline.groups().len(), 50);
    pipeline.stop().await;
}

#[tokio::test]
async fn pushed_families_stand_beside_those_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), Config::default());
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(crate::telemetry::ProcessMetrics::default()));
    pipeline.expose(registry);
    put(&pipeline, "job/j", "# TYPE process_open_fds counter\nprocess_open_fds 1\n")
        .await
        .unwrap_err();
    let body = "# HELP process_open_fds Theirs.\n# TYPE process_open_fds gauge\nprocess_open_fds 1\nzzz 1\n";
    put(&pipeline, "job/j", body).await.unwrap();
    for accept in ["", "application/openmetrics-text"] {
        let page = page(&pipeline, accept).await;
        assert_eq!(page.matches("# TYPE process_open_fds gauge\n").count(), 1, "{page}");
        let (_, rest) = page.split_once("# TYPE process_open_fds gauge\n").unwrap();
        let lines: Vec<_> = rest.lines().take(2).collect();
        assert!(lines[0].starts_with("process_open_fds "), "{page}");
        assert_eq!(lines[1], "process_open_fds{instance=\"\",job=\"j\"} 1");
    }
    pipeline.stop().await;
}

/// The types of the process' families are known to the pushes from the start.
#[tokio::test]
async fn every_family_of_the_process_is_known() {
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(crate::telemetry::ProcessMetrics::default()));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let limits = crate::exposition::parse::Limits::default();
    let families = crate::exposition::parse::open_metrics(text.as_bytes(), limits).unwrap();
    let mut found: Vec<_> = families
        .iter()
        .map(|it| (crate::exposition::exposed_name(it).into_owned(), it.kind))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let known: Vec<_> = super::PROCESS.map(|(name, kind)| (name.to_owned(), kind)).into();
    assert_eq!(found, known);
}

#[tokio::test]
async fn a_reload_of_the_rules_quarantines_what_they_take() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yml");
    let rules = |name: &str| {
        format!(
            "version: 1\nmetrics:\n  {name}:\n    help: Of the rules.\n    match: x\n    set: $v\n    labels: {{job: $job}}\n"
        )
    };
    fs::write(&file, rules("one")).unwrap();
    let config = Config { rules_file: Some(file.clone()), ..Config::default() };
    let pipeline = open(dir.path(), config);
    let error = put(&pipeline, "job/j", "one 1\n").await.unwrap_err();
    assert!(error.contains("one has type UNTYPED but should have GAUGE"), "{error}");
    let gauge = "# TYPE two gauge\ntwo 1\ntwo{x=\"1\"} 2\n";
    put(&pipeline, "job/j", gauge).await.unwrap();
    put(&pipeline, "job/k", "three 1\n").await.unwrap();
    fs::write(&file, rules("two")).unwrap();
    assert!(pipeline.reload_rules().await.unwrap().changed);
    let text = page(&pipeline, "").await;
    assert!(!text.contains("two{instance=\"\",job=\"j\"}"), "{text}");
    let expected =
        "# HELP two Of the rules.\n# TYPE two gauge\ntwo{instance=\"\",job=\"j\",x=\"1\"} 2\n";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("three{instance=\"\",job=\"k\"} 1\n"), "{text}");
    let error = put(&pipeline, "job/j", gauge).await.unwrap_err();
    assert!(error.contains("the rules give to the metric of the same name"), "{error}");
    put(&pipeline, "job/j", "one 1\n").await.unwrap();
    pipeline.stop().await;
}

/// Concurrent pushes to one group leave one of them, whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_pushes_end_in_a_state_that_some_order_explains() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path(), Config::default());
    for round in 0..20 {
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let pipeline = pipeline.clone();
                tokio::spawn(async move {
                    let op = [Op::Put, Op::Put, Op::Post, Op::Delete][n % 4];
                    let body =
                        if op == Op::Delete { String::new() } else { format!("a {n}\nb {n}\n") };
                    pipeline.push(op, &grouping("job/j"), families(&body)).await.unwrap().unwrap();
                })
            })
            .collect();
        while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
            assert_whole(&page(&pipeline, "").await);
        }
        for it in tasks {
            it.await.unwrap();
        }
        assert_whole(&page(&pipeline, "").await);
        let stored = page(&pipeline, "").await;
        if round % 10 == 9 {
            put(&pipeline, "job/j", "last 1\n").await.unwrap();
            assert!(!page(&pipeline, "").await.contains("\na{"), "{stored}");
        }
    }
    pipeline.stop().await;
}

/// Both families are those of one push, or neither is there.
fn assert_whole(page: &str) {
    let value = |name: &str| {
        let start = format!("{name}{{instance=\"\",job=\"j\"}} ");
        page.lines().find_map(|it| it.strip_prefix(&start))
    };
    assert_eq!(value("a"), value("b"), "{page}");
}

/// The write side, without a thread.
struct Side {
    pushes: Pushes,
    journal: journal::Writer,
    store: Store,
}

impl Side {
    fn open(dir: &Path) -> Self {
        let store = Store::open(&store::Config::new(dir.to_owned())).unwrap();
        let (now, dedup) = (Time::from_millis(1), journal::DedupConfig::default());
        let (_, mut journal, _) = journal::open(&store, dedup, now, (1, 2)).unwrap();
        let pushes = Pushes::open(&store, groups::Config::default(), (1, 2), &mut journal).unwrap();
        Self { pushes, journal, store }
    }

    fn apply(&mut self, what: impl IntoIterator<Item = What>) -> Applied {
        let queued = Arc::new(Queued {
            requests: 100.into(),
            bytes: 100.into(),
            max_requests: 100,
            max_bytes: 100,
        });
        let pushing = |what| Pushing {
            what,
            received: Time::from_millis(1),
            size: 0,
            reply: oneshot::channel().0,
            _place: Some(Place { queued: Arc::clone(&queued), bytes: 0 }),
        };
        let what = what.into_iter().map(pushing).collect();
        self.pushes.apply(&Arc::new(RuleSet::builtin()), what, &mut self.journal)
    }

    fn put(&mut self, job: &str, body: &str) {
        let families = families(body);
        let push = self.pushes.view().prepare(Op::Put, &grouping(&format!("job/{job}")), families);
        self.apply([What::Push(push)]).appended.unwrap();
    }

    /// The jobs, and how many metrics they have.
    fn jobs(&self) -> Vec<(String, usize)> {
        let groups = self.pushes.view().groups();
        groups.iter().map(|it| (it.label_block().to_owned(), it.families().count())).collect()
    }
}

#[test]
fn what_only_the_log_has_is_there_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let mut side = Side::open(dir.path());
    side.put("stays", "m 1\n");
    side.put("goes", "m 1\n");
    side.store.flush().unwrap();
    let view = side.pushes.view();
    let delete = view.prepare(Op::Delete, &grouping("job/goes"), Vec::new());
    let comes = view.prepare(Op::Put, &grouping("job/comes"), families("m 1\nn 1\n"));
    side.apply([What::Push(delete), What::Push(comes)]).appended.unwrap();
    side.journal.flush().unwrap();
    let before = side.jobs();
    assert_eq!(before.len(), 2);
    assert_eq!(side.pushes.table.prefix(b"g").count(), 2, "the store has what it had");
    drop(side);
    // Once from the log, then from the store.
    for _ in 0..2 {
        let side = Side::open(dir.path());
        assert_eq!(side.jobs(), before);
        assert_eq!(side.pushes.table.prefix(b"g").count(), 2);
    }
    // What comes after is not taken back by what the log had.
    let mut side = Side::open(dir.path());
    side.apply([What::Wipe]).appended.unwrap();
    side.journal.flush().unwrap();
    drop(side);
    assert!(Side::open(dir.path()).jobs().is_empty());
}

#[test]
fn many_files_of_the_log_and_pushes_too_large_for_it_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut side = Side::open(dir.path());
    let large =
        (0..9000).map(|n| format!("m{{some=\"label\",n=\"{n}\"}} {n}\n")).collect::<String>();
    let small = large.split_at(large[..100_000].rfind('\n').unwrap() + 1).0;
    for n in 0..60 {
        side.put(&format!("small{}", n % 10), small);
        if n % 7 == 0 {
            side.put(&format!("large{n}"), &large);
        }
        side.journal.flush().unwrap();
    }
    let before = side.jobs();
    assert_eq!(before.len(), 19);
    drop(side);
    assert_eq!(Side::open(dir.path()).jobs(), before);
}
