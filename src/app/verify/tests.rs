use super::*;
use crate::event::NewEvent;
use crate::journal::Query;
use crate::pipeline;
use crate::pipeline::Pipeline;
use crate::tokens::{Roles, Tokens};
use std::{collections::BTreeMap, fs, ops::ControlFlow, path::Path, time::Instant};

fn event(n: usize) -> NewEvent<'static> {
    NewEvent {
        id: n.is_multiple_of(2).then(|| format!("id-{n}").into()),
        event_type: ["ci_build_completed", "deploy", "other"][n % 3].into(),
        source: format!("s{}", n % 4).into(),
        time: None,
        subject: None,
        trace: None,
        data: format!(r#"{{"project":"p{}","status":"success","n":{n}}}"#, n % 5).into(),
    }
}

fn open(dir: &Path) -> Result<(Store, Pipeline), String> {
    if dir.join("lock").exists() {
        unlocked(dir);
    }
    let store = Store::open(&store::Config::new(dir.to_owned())).map_err(|it| it.to_string())?;
    let tokens = Tokens::open(store.clone(), tokens::Config::default());
    tokens.map_err(|it| it.to_string())?;
    let pipeline = Pipeline::open(&pipeline::Config::default(), &store);
    Ok((store, pipeline.map_err(|it| it.to_string())?))
}

/// Every event: sequence number and data.
fn events(pipeline: &Pipeline) -> Result<BTreeMap<u64, String>, String> {
    let mut res = BTreeMap::new();
    let walked = pipeline.journal().each(&Query::default(), |seq, event| {
        res.insert(seq, event.data.clone().into_owned());
        ControlFlow::Continue(())
    });
    walked.map(|()| res).map_err(|it| it.to_string())
}

/// A store with values of every kind of the journal, a snapshot and a token.
async fn filled() -> (tempfile::TempDir, BTreeMap<u64, String>) {
    let dir = tempfile::tempdir().unwrap();
    let (store, pipeline) = open(dir.path()).unwrap();
    for batch in 0..20 {
        let batch = (batch * 500..(batch + 1) * 500).map(event).collect();
        pipeline.submit(batch).await.unwrap();
    }
    let started = Instant::now();
    while pipeline.journal().blocks().1 == 0 {
        assert!(started.elapsed().as_secs() < 30, "nothing was sealed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pipeline.submit((10_000..10_900).map(event).collect()).await.unwrap();
    for n in 10_900..10_910 {
        pipeline.submit(vec![event(n)]).await.unwrap();
    }
    let tokens = Tokens::open(store.clone(), tokens::Config::default()).unwrap();
    tokens.create("ci", Roles::ALL, None, pipeline.now()).unwrap();
    crate::services::Services::open(store.clone()).unwrap().note("web").unwrap();
    let all = events(&pipeline).unwrap();
    assert_eq!(all.len(), 10_910);
    pipeline.stop().await;
    (dir, all)
}

fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copied = tempfile::tempdir().unwrap();
    let status =
        std::process::Command::new("cp").arg("-a").arg(dir.join(".")).arg(copied.path()).status();
    assert!(status.unwrap().success());
    copied
}

fn check(dir: &Path, repair: bool) -> Report {
    unlocked(dir);
    verify(&store::Config::new(dir.to_owned()), repair, &mut |_, _, _| ()).unwrap()
}

/// Waits until the threads of what was closed have let go of the directory.
fn unlocked(dir: &Path) {
    let started = Instant::now();
    let file = fs::File::open(dir.join("lock")).unwrap();
    while file.try_lock().is_err() {
        assert!(started.elapsed().as_secs() < 30, "the directory is not let go");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One key of every kind in every table, from the middle of its kind.
fn kinds(dir: &Path) -> BTreeMap<(&'static str, u8), Vec<u8>> {
    let store = Store::open(&store::Config::new(dir.to_owned())).unwrap();
    let mut res: BTreeMap<_, Vec<Vec<u8>>> = BTreeMap::new();
    for table in [JOURNAL, METRICS, TOKENS, SERVICES] {
        for entry in store.table(table).unwrap().range_from(b"") {
            let key = entry.unwrap().0;
            res.entry((table, key[0])).or_default().push(key);
        }
    }
    res.into_iter().map(|(kind, keys)| (kind, keys[keys.len() / 2].clone())).collect()
}

#[tokio::test]
async fn a_flipped_byte_in_any_kind_of_value_is_reported_and_repaired() {
    let (original, expected) = filled().await;
    assert!(check(original.path(), false).findings.is_empty());
    let kinds = kinds(original.path());
    for wanted in [b'a', b'b', b'h', b'i', b'k', b's', b'c', b'f'] {
        assert!(kinds.contains_key(&(JOURNAL, wanted)), "no {}", wanted as char);
    }
    for ((table, kind), key) in kinds {
        let place = format!("{table} {} {}", kind as char, key.escape_ascii());
        let damaged = copy_of(original.path());
        let dir = damaged.path();
        {
            let store = Store::open(&store::Config::new(dir.to_owned())).unwrap();
            let table = store.table(table).unwrap();
            let mut value = table.get(&key).unwrap().unwrap();
            let middle = value.len() / 2;
            value[middle] ^= 0x20;
            table.put(&key, &value).unwrap();
            store.flush().unwrap();
        }
        // Refused at the start or when it is read; never something else than was written.
        if let Ok((_store, pipeline)) = open(dir) {
            if let Ok(read) = events(&pipeline) {
                assert!(read == expected, "{place}: something else is read");
            }
            pipeline.stop().await;
        }
        let report = check(dir, false);
        assert!(!report.findings.is_empty(), "{place}: nothing was found");
        assert!(
            report.findings.iter().any(|it| it.place.starts_with(table)),
            "{place}: {report:?}"
        );
        let repaired = check(dir, true);
        assert!(repaired.quarantine.is_some());
        let left = check(dir, false);
        assert!(left.findings.is_empty(), "{place}: {left:?}");
        let (_store, pipeline) = open(dir).unwrap_or_else(|it| panic!("{place}: {it}"));
        let read = events(&pipeline).unwrap();
        assert!(read.iter().all(|(seq, data)| expected.get(seq) == Some(data)), "{place}");
        assert_eq!(read.len() as u64, repaired.events, "{place}");
        let lost: usize = repaired
            .findings
            .iter()
            .filter_map(|it| it.lost.strip_suffix(" events")?.parse::<usize>().ok())
            .sum();
        assert_eq!(read.len() + lost, expected.len(), "{place}: {repaired:?}");
        // Headers and lists are made again, and the log has the last small commits as well.
        let lists = [b'a', b's', b'f', b'k'].contains(&kind) || table != JOURNAL;
        assert!(lost > 0 || lists, "{place}: {repaired:?}");
        pipeline.stop().await;
        let kept = fs::read_to_string(repaired.quarantine.unwrap().join("manifest.json")).unwrap();
        assert!(kept.contains("\"lost\""), "{kept}");
    }
}

#[tokio::test]
async fn what_a_merge_replaced_and_is_there_again_is_dropped() {
    let (dir, expected) = filled().await;
    let dir = dir.path();
    {
        let store = Store::open(&store::Config::new(dir.to_owned())).unwrap();
        let table = store.table(JOURNAL).unwrap();
        let first_of = |kind| table.range_from(&[kind]).next().unwrap().unwrap();
        let (small, sealed) = (first_of(b'a').1, first_of(b's').0);
        let first = u64::from_be_bytes(*sealed.last_chunk().unwrap());
        for old in [first, first + 3] {
            let key = [&b"a"[..], &old.to_be_bytes()].concat();
            assert_eq!(table.get(&key).unwrap(), None);
            table.put(&key, &small).unwrap();
        }
        store.flush().unwrap();
    }
    let error = open(dir).map(|_| ()).unwrap_err();
    assert!(error.contains("is followed by"), "{error}");
    let report = check(dir, true);
    let found: Vec<_> = report.findings.iter().map(|it| (&*it.what, &*it.lost)).collect();
    let one = ("it overlaps with other blocks", "nothing: other blocks have its events as well");
    assert_eq!(found, [one, one]);
    assert!(report.findings.iter().all(|it| it.kept.len() == 1), "{report:?}");
    assert!(check(dir, false).findings.is_empty());
    let (_store, pipeline) = open(dir).unwrap();
    assert!(events(&pipeline).unwrap() == expected);
    pipeline.stop().await;
}

#[tokio::test]
async fn what_was_noted_of_pruned_types_is_checked() {
    let (dir, all) = filled().await;
    let dir = dir.path();
    {
        let (_store, pipeline) = open(dir).unwrap();
        let types = vec![crate::selector::Glob::parse("deploy").unwrap()];
        let class = journal::Class { types, max_age: Some(Duration::ZERO) };
        let retention = journal::Retention { classes: vec![class], ..Default::default() };
        let journal = pipeline.journal();
        let pruned = journal.prune(&retention, pipeline.now(), journal.end()).unwrap();
        assert_eq!(pruned.events, (all.len() as u64).div_ceil(3));
        pipeline.stop().await;
    }
    assert!(check(dir, false).findings.is_empty());
    {
        let store = Store::open(&store::Config::new(dir.to_owned())).unwrap();
        let table = store.table(JOURNAL).unwrap();
        let mut value = table.get(b"p").unwrap().unwrap();
        value[5] ^= 1;
        table.put(b"p", &value).unwrap();
        store.flush().unwrap();
    }
    let report = check(dir, true);
    let [finding] = report.findings.as_slice() else { panic!("{report:?}") };
    assert_eq!(finding.place, "journal: what was pruned of each type");
    assert!(check(dir, false).findings.is_empty());
    let (_store, pipeline) = open(dir).unwrap();
    let left = events(&pipeline).unwrap();
    assert_eq!(left.len(), all.len() - all.len().div_ceil(3));
    pipeline.stop().await;
}
