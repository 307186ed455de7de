use super::*;
use crate::event::NewEvent;
use crate::exposition::negotiate;
use crate::journal::Query;
use crate::metrics::Audience;
use crate::pipeline::{Config, Pipeline, ScrapeFormat, Wanted};
use crate::store;
use crate::store::Store;
use crate::tokens;
use crate::tokens::{Role, Tokens};
use std::{path::Path, time::Duration};

const DAY: Duration = Duration::from_hours(24);

fn open(dir: &Path) -> (Store, Pipeline) {
    let store = Store::open(&store::Config::new(dir.to_owned())).unwrap();
    let pipeline = Pipeline::open(&Config::default(), &store).unwrap();
    (store, pipeline)
}

async fn send(pipeline: &Pipeline, n: usize, id: Option<&str>, days_ago: u32) {
    let types = ["ci_build_completed", "log_line", "deployment_started"];
    let event = |i: usize| NewEvent {
        id: id.map(Into::into),
        event_type: types[i % 3].into(),
        source: "s".into(),
        time: Some(pipeline.now().saturating_sub(days_ago * DAY)),
        subject: i.is_multiple_of(2).then(|| "subject".into()),
        trace: None,
        data: r#"{"project":"web","status":"success","duration_seconds":5}"#.into(),
    };
    pipeline.submit((0..n).map(event).collect()).await.unwrap();
}

/// All that a person sees: the metrics of the rules, and the events with their numbers.
async fn everything(pipeline: &Pipeline) -> (String, String) {
    let format = ScrapeFormat { format: negotiate(None), gzip: false };
    let page = pipeline.scrape(format, Audience::Person).await.chunks.concat();
    let page = String::from_utf8(page).unwrap();
    let of_rules = |it: &&str| !it.contains("observatory_") && !it.contains("process_");
    let lines: Vec<_> = page.lines().filter(of_rules).collect();
    let query = Query { limit: usize::MAX, ascending: true, ..Query::default() };
    let events = pipeline.journal().query(&query).unwrap().events;
    (lines.join("\n"), format!("{events:#?}"))
}

async fn backup(pipeline: &Pipeline) -> Vec<u8> {
    pipeline.snapshot().await.unwrap();
    let mut file = Vec::new();
    freeze(pipeline).unwrap().write(&mut file, pipeline.now()).unwrap();
    file
}

#[tokio::test]
async fn everything_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, pipeline) = open(&dir.path().join("data"));
    let tokens = Tokens::open(store, tokens::Config::default()).unwrap();
    tokens.create("ci", Role::Ingest.into(), None, pipeline.now()).unwrap();
    // Events that are gone leave holes, at the beginning and inside.
    for days_ago in [20, 1, 20, 0] {
        send(&pipeline, 700, None, days_ago).await;
    }
    send(&pipeline, 1, Some("mine"), 0).await;
    let wanted = Wanted { older_than: Some(10 * DAY), class: None };
    assert_eq!(pipeline.prune(wanted).await.unwrap().events, 1400);
    let before = everything(&pipeline).await;
    let file = backup(&pipeline).await;
    let next = pipeline.journal().end();
    // What comes later is not in it.
    send(&pipeline, 10, None, 0).await;
    pipeline.stop().await;

    let contents = verify(&file[..], |_| ()).unwrap();
    assert_eq!((contents.events, contents.next), (1401, next));
    let copy = dir.path().join("copy");
    let mut told = 0;
    assert_eq!(restore(&file[..], &copy, |it| told = it).unwrap(), contents);
    assert_eq!(told, 1401);
    let (store, restored) = open(&copy);
    assert_eq!(everything(&restored).await, before);
    assert_eq!(restored.journal().end(), next);
    let names: Vec<_> = Tokens::open(store, tokens::Config::default()).unwrap().list();
    assert_eq!(names.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["ci"]);
    // An id that was seen before counts once also there.
    send(&restored, 1, Some("mine"), 0).await;
    assert_eq!(everything(&restored).await, before);
    restored.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_one_moment_although_events_arrive_and_blocks_merge() {
    let dir = tempfile::tempdir().unwrap();
    let (_, pipeline) = open(&dir.path().join("data"));
    let sender = {
        let pipeline = pipeline.clone();
        tokio::spawn(async move {
            for _ in 0..1500 {
                send(&pipeline, 1, None, 0).await;
            }
        })
    };
    let mut taken = 0;
    while !sender.is_finished() || taken == 0 {
        let file = backup(&pipeline).await;
        taken += 1;
        let copy = dir.path().join(format!("copy-{taken}"));
        let contents = restore(&file[..], &copy, |_| ()).unwrap();
        let (_, restored) = open(&copy);
        assert_eq!(restored.journal().len(), contents.events);
        assert_eq!(contents.next, contents.events + 1);
        let (page, _) = everything(&restored).await;
        let builds = page.lines().find_map(|it| {
            it.starts_with("ci_builds_total{").then(|| it.rsplit(' ').next().unwrap())
        });
        // One of three events is a build.
        let expected = restored.journal().count(&Query::default(), None).unwrap();
        let expected = expected.iter().find(|it| &*it.event_type == "ci_build_completed");
        assert_eq!(builds.map_or(0, |it| it.parse().unwrap()), expected.map_or(0, |it| it.events));
        restored.stop().await;
    }
    sender.await.unwrap();
    pipeline.stop().await;
}

#[tokio::test]
async fn what_is_damaged_or_cut_off_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (_, pipeline) = open(&dir.path().join("data"));
    send(&pipeline, 50, None, 0).await;
    let file = backup(&pipeline).await;
    pipeline.stop().await;
    let copy = dir.path().join("copy");
    let refused = |bytes: &[u8]| {
        let err = restore(bytes, &copy, |_| ()).unwrap_err();
        assert!(verify(bytes, |_| ()).is_err());
        assert!(!copy.exists() && !beside(&copy).exists(), "{err}");
        err.to_string()
    };
    assert!(refused(&file[..file.len() - 1]).contains("cut off after part"));
    let mut flipped = file.clone();
    let middle = file.len() / 2;
    flipped[middle] ^= 1;
    assert!(refused(&flipped).contains("is damaged"));
    assert!(refused(b"something else").contains("no backup"));

    std::fs::create_dir(&copy).unwrap();
    restore(&file[..], &copy, |_| ()).unwrap();
    let err = restore(&file[..], &copy, |_| ()).unwrap_err();
    assert!(matches!(err, RestoreError::NotEmpty(_)), "{err}");
    let other = dir.path().join("other");
    std::fs::create_dir(beside(&other)).unwrap();
    let err = restore(&file[..], &other, |_| ()).unwrap_err();
    assert!(matches!(err, RestoreError::Unfinished(_)), "{err}");
}

#[tokio::test]
async fn nothing_is_forgotten_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (_, pipeline) = open(&dir.path().join("data"));
    send(&pipeline, 5, None, 100).await;
    pipeline.snapshot().await.unwrap();
    let frozen = freeze(&pipeline).unwrap();
    assert!(pipeline.prune(Wanted::default()).await.is_err());
    assert!(freeze(&pipeline).is_err());
    assert_eq!(frozen.write(&mut Vec::new(), pipeline.now()).unwrap(), 5);
    drop(frozen);
    assert_eq!(pipeline.prune(Wanted::default()).await.unwrap().events, 5);
    pipeline.stop().await;
}
