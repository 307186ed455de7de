use super::*;
use crate::event::{EventId, IdGenerator};
use crate::selector::{Glob, Selector};
use crate::store;
use std::time::Duration;

pub(super) struct Fixture {
    pub(super) journal: Journal,
    pub(super) writer: Writer,
    pub(super) merger: Merger,
    pub(super) ids: IdGenerator,
}

pub(super) fn open_in(dir: &std::path::Path) -> Fixture {
    let store = Store::open(&store::Config::new(dir.to_owned())).unwrap();
    let now = Time::from_millis(1_000_000);
    let (journal, writer, merger) = open(&store, DedupConfig::default(), now, (1, 2)).unwrap();
    Fixture { journal, writer, merger, ids: IdGenerator::new(7) }
}

impl Fixture {
    pub(super) fn event(&self, millis: i64, id: Option<&str>, event_type: &str) -> Event<'static> {
        let time = Time::from_millis(millis);
        let id = match id {
            Some(id) => EventId::Given(id.to_owned().into()),
            None => self.ids.next(time),
        };
        Event {
            id,
            event_type: event_type.to_owned().into(),
            source: "s".into(),
            time,
            received: time,
            time_clamped: false,
            subject: None,
            trace: None,
            data: format!("{{\"n\":{millis}}}").into(),
        }
    }

    pub(super) fn append(&mut self, events: &[Event<'_>]) {
        let mut segment = Segment::default();
        for it in events {
            segment.push(it, self.journal.id_key());
        }
        segment.pack();
        self.writer.append(vec![segment]).unwrap();
    }

    pub(super) fn seqs(&self, query: &Query) -> Vec<u64> {
        self.journal.query(query).unwrap().events.iter().map(|it| it.0).collect()
    }
}

pub(super) fn all() -> Query {
    Query { limit: usize::MAX, ascending: true, ..Query::default() }
}

#[test]
fn events_survive_reopening_and_merging() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    let events: Vec<_> = (0..9000).map(|i| it.event(i, (i % 3 == 0).then_some("x"), "t")).collect();
    for events in events.chunks(5) {
        it.append(events);
    }
    it.writer.flush().unwrap();
    let before = it.journal.query(&all()).unwrap().events;
    assert_eq!(before.len(), 9000);
    assert!(it.merger.merge_all().unwrap() >= 2);
    let (blocks, sealed) = it.journal.blocks();
    assert!(blocks < 60 && sealed == 1, "{blocks} {sealed}");
    assert_eq!(it.journal.query(&all()).unwrap().events, before);
    it.writer.flush().unwrap();
    drop(it);
    let it = open_in(dir.path());
    assert_eq!(it.journal.len(), 9000);
    let after = it.journal.query(&all()).unwrap().events;
    assert_eq!(after, before);
    assert_eq!(after.iter().map(|it| &it.1).collect::<Vec<_>>(), events.iter().collect::<Vec<_>>());
    let mut replayed = 0;
    it.journal
        .replay(7001, |seq, event| {
            assert_eq!(*event, events[usize::try_from(seq).unwrap() - 1]);
            replayed += 1;
        })
        .unwrap();
    assert_eq!(replayed, 2000);
}

#[test]
fn pages_go_on_where_they_ended_while_blocks_merge() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    for i in 0..300 {
        let event = it.event(i, None, if i % 2 == 0 { "even" } else { "odd" });
        it.append(&[event]);
    }
    for ascending in [true, false] {
        let mut query =
            Query { types: vec!["even".into()], limit: 7, ascending, ..Query::default() };
        let mut seen = Vec::new();
        loop {
            let page = it.journal.query(&query).unwrap();
            seen.extend(page.events.iter().map(|it| it.0));
            it.merger.merge_all().unwrap();
            query.cursor = page.next;
            if page.next.is_none() {
                break;
            }
        }
        let mut expected: Vec<u64> = (1..=300).step_by(2).collect();
        if !ascending {
            expected.reverse();
        }
        assert_eq!(seen, expected);
    }
}

#[test]
fn time_and_kind_narrow() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    for i in 0..10 {
        let event = it.event(i * 10, None, if i < 5 { "a" } else { "b" });
        it.append(&[event]);
    }
    let at = |millis| Some(Time::from_millis(millis));
    assert_eq!(it.seqs(&Query { since: at(20), until: at(40), ..all() }), [3, 4]);
    assert_eq!(it.seqs(&Query { types: vec!["b".into()], until: at(70), ..all() }), [6, 7]);
    assert!(it.seqs(&Query { sources: vec!["other".into()], ..all() }).is_empty());
    assert_eq!(it.seqs(&Query { ascending: false, limit: 2, ..all() }), [10, 9]);
}

#[test]
fn a_page_is_bounded_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    for i in 0..10 {
        let event = it.event(i, None, "a");
        it.append(&[event]);
    }
    let whole = it.journal.query(&all()).unwrap();
    let one = whole.bytes / 10;
    let page = it.journal.query(&Query { max_bytes: Some(2 * one + 1), ..all() }).unwrap();
    assert_eq!((page.events.len(), page.bytes), (3, 3 * one));
    let rest = it.journal.query(&Query { cursor: page.next, ..all() }).unwrap();
    assert_eq!(rest.events, whole.events[3..]);
    let least = it.journal.query(&Query { max_bytes: Some(0), ..all() }).unwrap();
    assert_eq!(least.events.len(), 1, "a page makes progress");
}

#[test]
fn an_event_is_found_by_either_kind_of_id() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    let given = it.event(5, Some("mine"), "t");
    let generated = it.event(6, None, "t");
    it.append(&[given.clone(), generated.clone()]);
    for event in [given, generated] {
        assert_eq!(it.journal.get(&event.id).unwrap().unwrap().1, event);
    }
    assert_eq!(it.journal.get(&EventId::Given("other".into())).unwrap(), None);
}

#[test]
fn ids_are_known_within_the_window_also_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    let event = it.event(999_000, Some("x"), "t");
    let identity = it.journal.id_key().identity("s", "x");
    assert!(!it.writer.knows(identity));
    it.append(&[event]);
    assert!(it.writer.knows(identity));
    it.writer.flush().unwrap();
    drop(it);
    assert!(open_in(dir.path()).writer.knows(identity));
    let store = Store::open(&store::Config::new(dir.path().to_owned())).unwrap();
    let later = Time::from_millis(999_000).saturating_add(Duration::from_secs(90_000));
    let (_, writer, _) = open(&store, DedupConfig::default(), later, (3, 4)).unwrap();
    assert!(!writer.knows(identity));
}

#[test]
fn a_damaged_block_is_reported_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    let event = it.event(1, None, "t");
    it.append(&[event]);
    let key = block::key(block::SMALL, 1);
    let mut value = it.journal.table.get(&key).unwrap().unwrap();
    *value.last_mut().unwrap() ^= 1;
    let mut batch = Batch::default();
    batch.put(&key, &value);
    it.journal.table.apply(batch).unwrap();
    let err = it.journal.query(&all()).unwrap_err().to_string();
    assert_eq!(err, "the journal block at sequence 1 is damaged");
    assert_eq!(it.journal.table.get(&key).unwrap().unwrap(), value);
}

#[test]
fn segments_lose_only_what_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let it = open_in(dir.path());
    let key = *it.journal.id_key();
    let mut segment = Segment::default();
    for i in 0..4 {
        segment.push(&it.event(i, Some(&i.to_string()), "t"), &key);
    }
    let kept = segment.without(&key, |i| i % 2 == 0);
    let left: Vec<_> = kept.events().map(|it| it.unwrap().id.to_string()).collect();
    assert_eq!(left, ["1", "3"]);
    assert_eq!(kept.identities().map(|it| it.0).collect::<Vec<_>>(), [0, 1]);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

#[test]
fn small_commits_are_on_disk_before_the_store_has_them_there() {
    // A crash that loses all that the store had in memory: its files of before, and the log of after.
    let dir = tempfile::tempdir().unwrap();
    drop(open_in(dir.path()));
    let crashed = tempfile::tempdir().unwrap();
    copy(&dir.path().join("."), crashed.path());
    let mut it = open_in(dir.path());
    for i in 0..100 {
        let event = it.event(i, (i == 7).then_some("seven"), "t");
        it.append(&[event]);
        it.writer.flush().unwrap();
    }
    for name in ["log-a", "log-b"] {
        copy(&dir.path().join(name), crashed.path());
    }
    let again = open_in(crashed.path());
    let page = again.journal.query(&all()).unwrap();
    assert_eq!(page.events, it.journal.query(&all()).unwrap().events);
    assert!(again.writer.knows(again.journal.id_key().identity("s", "seven")));
    // What was recovered is in the store now, and counts once at the next start.
    drop(again);
    assert_eq!(open_in(crashed.path()).journal.len(), 100);
}

#[test]
fn a_small_commit_behind_an_unflushed_large_one_leaves_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    drop(open_in(dir.path()));
    let crashed = tempfile::tempdir().unwrap();
    copy(&dir.path().join("."), crashed.path());
    let mut it = open_in(dir.path());
    let large: Vec<_> = (0..900).map(|i| it.event(i, None, "t")).collect();
    it.append(&large);
    let small = it.event(901, None, "t");
    it.append(&[small]);
    for name in ["log-a", "log-b"] {
        copy(&dir.path().join(name), crashed.path());
    }
    assert_eq!(open_in(crashed.path()).journal.len(), 0, "neither was flushed");
    assert_eq!(it.journal.len(), 901);
}

#[test]
fn the_log_goes_round_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    let merger =
        std::mem::replace(&mut it.merger, open_in(tempfile::tempdir().unwrap().path()).merger);
    let merging = std::thread::spawn(move || merger.run());
    let padding = "x".repeat(20_000);
    for i in 0..1500 {
        let mut event = it.event(i, None, "t");
        event.data = format!("{{\"n\":{i},\"padding\":\"{padding}\"}}").into();
        it.append(&[event]);
        it.writer.flush().unwrap();
    }
    drop(it);
    merging.join().unwrap();
    assert_eq!(open_in(dir.path()).journal.len(), 1500);
}

pub(super) fn at(millis: i64) -> Option<Time> {
    Some(Time::from_millis(millis))
}

#[test]
fn a_fold_and_a_walk_see_what_a_query_answers() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    for i in 0..500 {
        let event = it.event(i, None, if i % 3 == 0 { "third" } else { "other" });
        it.append(&[event]);
    }
    it.merger.merge_all().unwrap();
    let matches = vec![Selector::parse("third{n>=100, n!=111}").unwrap()];
    for query in [
        all(),
        Query { types: vec!["third".into()], since: at(30), until: at(300), ..all() },
        Query { matches, sources: vec!["s".into()], ..all() },
        Query { sources: vec!["nobody".into()], ..all() },
    ] {
        let expected = it.journal.query(&query).unwrap().events;
        let folded = it.journal.fold(&query, Vec::new, |acc, seq, event| {
            acc.push((seq, block::into_owned(event.clone())));
        });
        let mut folded = folded.unwrap().concat();
        folded.sort_by_key(|it| it.0);
        assert_eq!(folded, expected);
        for ascending in [true, false] {
            let query = Query { ascending, ..query.clone() };
            let mut seen = Vec::new();
            it.journal
                .each(&query, |seq, event| {
                    seen.push((seq, block::into_owned(event.clone())));
                    if seen.len() == 50 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })
                .unwrap();
            let mut expected = expected.clone();
            if !ascending {
                expected.reverse();
            }
            expected.truncate(50);
            assert_eq!(seen, expected);
        }
    }
    let query = Query { cursor: Some(Cursor(400)), ..all() };
    let mut first = 0;
    it.journal
        .each(&query, |seq, _| {
            first = seq;
            ControlFlow::Break(())
        })
        .unwrap();
    assert_eq!(first, 400);
}

#[test]
fn counts_are_those_of_the_events() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    let minute = 60_000;
    for i in 0..300 {
        let event = it.event(i * minute, None, if i % 3 == 0 { "a" } else { "b" });
        it.append(&[event]);
    }
    for merged in [false, true] {
        if merged {
            it.merger.merge_all().unwrap();
        }
        for interval in [None, Some(60), Some(3600), Some(90), Some(86_400)] {
            for query in [
                all(),
                Query { since: at(7 * minute), until: at(200 * minute), ..all() },
                Query { types: vec!["a".into()], since: at(60 * minute), ..all() },
                Query { matches: vec![Selector::parse("*{n<1000000}").unwrap()], ..all() },
                Query { sources: vec!["nobody".into()], ..all() },
            ] {
                let mut expected = std::collections::BTreeMap::<_, u64>::new();
                for (_, event) in it.journal.query(&query).unwrap().events {
                    let start =
                        interval.map_or(0, |it| event.time.as_millis() / 1000 / it * it * 1000);
                    *expected.entry((event.event_type.to_string(), start)).or_default() += 1;
                }
                let interval = interval.map(|it| Duration::from_secs(it.cast_unsigned()));
                let found = it.journal.count(&query, interval).unwrap();
                let found: Vec<_> = found
                    .into_iter()
                    .map(|it| ((it.event_type.to_string(), it.start.as_millis()), it.events))
                    .collect();
                assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{interval:?}");
            }
        }
    }
    let kinds = it.journal.kinds();
    let kinds: Vec<_> = kinds.iter().map(|it| (&*it.event_type, &*it.source, it.events)).collect();
    assert_eq!(kinds, [("a", "s", 100), ("b", "s", 200)]);
}

pub(super) fn keep(classes: &[(&str, u64)]) -> Retention {
    let class = |(glob, seconds): &(&str, u64)| Class {
        types: vec![Glob::parse(glob).unwrap()],
        max_age: Some(Duration::from_secs(*seconds)),
    };
    Retention { classes: classes.iter().map(class).collect(), ..Retention::default() }
}

#[test]
fn what_is_pruned_is_gone_and_leaves_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    for i in 0..100 {
        let event = it.event(i * 1000, Some(&i.to_string()), "t");
        it.append(&[event]);
    }
    let now = Time::from_millis(100_000);
    let nothing = it.journal.prune(&keep(&[("other", 0)]), now, u64::MAX).unwrap();
    assert_eq!(nothing, Pruned::default());
    // The horizon is at event 40 (sequence 41), and the metrics still need sequence 31 and later.
    let pruned = it.journal.prune(&keep(&[("t", 60)]), now, 31).unwrap();
    assert_eq!((pruned.events, pruned.blocks), (30, 30));
    let pruned = it.journal.prune(&keep(&[("t", 60)]), now, u64::MAX).unwrap();
    assert_eq!(pruned.events, 10);
    it.writer.flush().unwrap();
    for _ in 0..2 {
        assert_eq!((it.journal.len(), it.journal.end()), (60, 101));
        assert_eq!(it.seqs(&all()), (41..=100).collect::<Vec<_>>());
        assert_eq!(it.journal.get(&EventId::Given("39".into())).unwrap(), None);
        assert_eq!(it.journal.get(&EventId::Given("40".into())).unwrap().unwrap().0, 41);
        drop(it);
        it = open_in(dir.path());
    }
    it.merger.merge_all().unwrap();
    let event = it.event(101_000, None, "t");
    it.append(&[event]);
    assert_eq!(it.seqs(&Query { ascending: false, limit: 2, ..all() }), [101, 100]);
    // Also everything may go: the numbers go on.
    let pruned = it.journal.prune(&keep(&[("t", 0)]), Time::from_millis(200_000), u64::MAX);
    assert_eq!((pruned.unwrap().events, it.journal.len()), (61, 0));
    it.writer.flush().unwrap();
    drop(it);
    let mut it = open_in(dir.path());
    assert_eq!((it.journal.len(), it.writer.next()), (0, 102));
    let event = it.event(300_000, None, "t");
    it.append(&[event]);
    assert_eq!(it.seqs(&all()), [102]);
}

#[test]
fn the_oldest_go_when_there_is_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    for i in 0..100 {
        let event = it.event(i, None, "t");
        it.append(&[event]);
    }
    let bytes = it.journal.index.stored_bytes();
    let retention = Retention { max_bytes: Some(bytes / 4), ..Retention::default() };
    let pruned = it.journal.prune(&retention, Time::from_millis(0), u64::MAX).unwrap();
    assert!(it.journal.index.stored_bytes() <= bytes / 4);
    assert_eq!(pruned.bytes, bytes - it.journal.index.stored_bytes());
    let left = it.seqs(&all());
    assert!((20..=25).contains(&left.len()), "{}", left.len());
    assert_eq!(*left.last().unwrap(), 100);
}

#[test]
fn a_block_that_is_missing_is_damage_and_not_a_merge() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    let event = it.event(1, None, "t");
    it.append(&[event]);
    let mut batch = Batch::default();
    batch.remove(&block::key(block::SMALL, 1));
    it.journal.table.apply(batch).unwrap();
    assert!(matches!(it.journal.query(&all()), Err(QueryError::Damaged(1))));
    assert!(matches!(it.journal.fold(&all(), || (), |(), _, _| ()), Err(QueryError::Damaged(1))));
}
