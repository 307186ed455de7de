//! Sealed blocks: the same answers as before they were sealed, and what is theirs alone.

use super::tests::{Fixture, all, at, keep, open_in};
use super::*;
use crate::event::EventId;
use crate::selector::Selector;
use crate::store;
use std::time::Duration;

pub(super) const MINUTE: i64 = 60_000;

/// An event a minute, of many shapes.
pub(super) fn event(it: &Fixture, i: i64, n_types: i64) -> Event<'static> {
    let id = (i % 11 == 0).then(|| format!("id-{i}"));
    let mut event = it.event(i * MINUTE, id.as_deref(), &format!("type_{}", i % n_types));
    event.source = format!("source-{}", i % 5).into();
    event.subject = (i % 3 == 0).then(|| format!("subject {}", i % 9).into());
    event.trace = crate::event::TraceContext::parse(&format!("{:032x}", i % 7), None);
    event.time = Time::from_millis(i * MINUTE - i % 13 * 1000);
    event.data = match i % 8 {
        0 => format!(r#"{{"status":"ok","n":{i}}}"#),
        1 => {
            format!(r#"{{"status":"fail\u0065d","n":{i}.50,"deep":{{"a":[{i},2],"b":{}}}}}"#, i % 4)
        }
        2 => format!(r#"{{ "n" : "{i}", "status": null }}"#),
        3 => r#"{"status":"failed","n":1e3,"deep":7}"#.to_owned(),
        4 => format!(r#"{{"key-{i}":true,"status":"failed"}}"#),
        5 => "{}".to_owned(),
        _ => {
            format!(r#"{{"status":"failed","n":{},"deep":{{"a":"x","b":"ä{}"}}}}"#, i % 100, i % 2)
        }
    }
    .into();
    event
}

pub(super) fn fill(it: &mut Fixture, n: i64, n_types: i64) {
    let mut next = 0;
    while next < n {
        let end = (next + 90 + next % 20).min(n);
        let events: Vec<_> = (next..end).map(|i| event(it, i, n_types)).collect();
        it.append(&events);
        next = end;
    }
}

fn questions() -> Vec<Query> {
    let selectors = [
        "*",
        "type_1*",
        r#"*{status="failed"}"#,
        r#"*{status!="failed", n>=50}"#,
        r#"type_2{status=""}"#,
        r#"*{n="77"}"#,
        "*{n=77}",
        "*{n=50.5}",
        r#"*{deep.b=~"ä.", deep.a="x"}"#,
        "*{deep.a[1]=2}",
        "*{deep=7}",
        r#"*{key-4="true"}"#,
        r#"*{source="source-3", status="ok"}"#,
        r#"*{type=~".*_3", subject="subject 3"}"#,
        r#"*{trace_id="00000000000000000000000000000005"}"#,
        r#"*{id="id-110"}"#,
        "*{time>30000}",
        "nothing_*",
    ];
    let matching = |text: &&str| Query { matches: vec![Selector::parse(text).unwrap()], ..all() };
    let mut res: Vec<_> = selectors.iter().map(matching).collect();
    let two = ["type_1{n>10}", r#"*{status="ok"}"#].map(|it| Selector::parse(it).unwrap());
    res.push(Query { matches: two.to_vec(), ..all() });
    res.push(Query { types: vec!["type_3".into(), "type_70".into()], ..all() });
    res.push(Query { sources: vec!["source-2".into(), "gone".into()], ..all() });
    res.push(Query { since: at(1000 * MINUTE), until: at(2500 * MINUTE), ..all() });
    let sources = vec!["source-1".into()];
    res.push(Query { since: at(90 * MINUTE), sources, matches: two.to_vec(), ..all() });
    res
}

/// What the journal says to all questions, in all the ways that they can be asked.
pub(super) fn answers(journal: &Journal) -> Vec<Vec<(u64, Event<'static>)>> {
    let mut res = Vec::new();
    for query in questions() {
        let expected = journal.query(&query).unwrap().events;
        let folded = journal.fold(&query, Vec::new, |acc, seq, event| {
            acc.push((seq, block::into_owned(event.clone())));
        });
        let mut folded = folded.unwrap().concat();
        folded.sort_by_key(|it| it.0);
        assert_eq!(folded, expected, "{query:?}");
        let descending = Query { ascending: false, limit: 37, ..query.clone() };
        let mut pages = Vec::new();
        let mut cursor = None;
        for _ in 0..3 {
            let page = journal.query(&Query { cursor, ..descending.clone() }).unwrap();
            pages.extend(page.events);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let newest: Vec<_> = expected.iter().rev().take(3 * 37).cloned().collect();
        assert_eq!(pages, newest, "{query:?}");
        for interval in [None, Some(60), Some(3600), Some(5400)] {
            let counts = journal.count(&query, interval.map(Duration::from_secs)).unwrap();
            let counts: Vec<_> = counts
                .iter()
                .map(|it| ((it.event_type.to_string(), it.start.as_millis()), it.events))
                .collect();
            let mut same = std::collections::BTreeMap::<_, u64>::new();
            for (_, event) in &expected {
                let width = interval.map_or(i64::MAX, |it| it.cast_signed() * 1000);
                let start = event.time.as_millis() / width * width;
                *same.entry((event.event_type.to_string(), start)).or_default() += 1;
            }
            assert!(counts == same.into_iter().collect::<Vec<_>>(), "{query:?} {interval:?}");
        }
        res.push(expected);
    }
    res
}

#[track_caller]
fn check_sealing(n: i64, n_types: i64) {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    fill(&mut it, n, n_types);
    let before = answers(&it.journal);
    let events = it.journal.query(&all()).unwrap().events;
    let kinds = it.journal.kinds();
    it.merger.merge_all().unwrap();
    let (blocks, sealed) = it.journal.blocks();
    assert!(sealed >= 2 && blocks < 40, "{blocks} {sealed}");
    assert!(answers(&it.journal) == before);
    assert!(it.journal.query(&all()).unwrap().events == events);
    let total = |kinds: &[Kind]| kinds.iter().map(|it| it.events).sum::<u64>();
    assert_eq!(total(&it.journal.kinds()), total(&kinds));
    if n_types < 64 {
        assert_eq!(it.journal.kinds(), kinds);
    }
    let kinds = it.journal.kinds();
    it.writer.flush().unwrap();
    drop(it);
    let it = open_in(dir.path());
    assert!(answers(&it.journal) == before);
    assert_eq!(it.journal.kinds(), kinds);
    assert_eq!(it.journal.len(), n.cast_unsigned());
    let mut next = 500;
    it.journal
        .replay(500, |seq, event| {
            assert_eq!((seq, event), (next, &events[usize::try_from(next).unwrap() - 1].1));
            next += 1;
        })
        .unwrap();
    assert_eq!(next, it.journal.end());
}

#[test]
fn sealing_changes_no_answer() {
    check_sealing(3000, 7);
}

#[test]
fn rare_types_are_stored_together_and_change_no_answer() {
    check_sealing(3000, 300);
}

#[test]
fn an_event_is_found_by_its_id_in_a_sealed_block() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    fill(&mut it, 3000, 7);
    it.merger.merge_all().unwrap();
    assert!(it.journal.blocks().1 >= 1);
    for (seq, event) in it.journal.query(&all()).unwrap().events.into_iter().step_by(97) {
        assert_eq!(it.journal.get(&event.id).unwrap(), Some((seq, event)));
    }
    assert_eq!(it.journal.get(&EventId::Given("id-1".into())).unwrap(), None);
    let mut other = it.ids.next(Time::from_millis(5 * MINUTE));
    assert_eq!(it.journal.get(&other).unwrap(), None);
    other = EventId::Generated(7);
    assert_eq!(it.journal.get(&other).unwrap(), None);
}

#[test]
fn ids_in_sealed_blocks_are_known_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    fill(&mut it, 3000, 7);
    it.merger.merge_all().unwrap();
    it.writer.flush().unwrap();
    drop(it);
    let store = Store::open(&store::Config::new(dir.path().to_owned())).unwrap();
    let config = DedupConfig { window: Duration::from_secs(86_400), max_ids: 1000 };
    let now = Time::from_millis(1500 * MINUTE);
    let (journal, writer, _) = open(&store, config, now, (3, 4)).unwrap();
    assert!(journal.blocks().1 >= 1);
    let knows = |i: i64| {
        let source = format!("source-{}", i % 5);
        writer.knows(journal.id_key().identity(&source, &format!("id-{i}")))
    };
    assert!((1584..3000).step_by(11).all(knows));
    assert!(!knows(1585));
}

#[test]
fn blocks_are_sealed_when_a_day_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    for i in 0..50 {
        let event = it.event(i * 120 * MINUTE, None, "t");
        it.append(&[event]);
    }
    it.merger.merge_all().unwrap();
    let headers = it.journal.index.from(0);
    let sealed: Vec<_> = headers.iter().filter(|it| it.form == Form::Sealed).collect();
    assert_eq!(sealed.len(), 3);
    assert!(sealed.iter().all(|it| it.count == 13), "{sealed:?}");
}

#[test]
fn classes_of_types_are_pruned_by_their_own_age() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    // What is not sealed yet is sealed for pruning.
    fill(&mut it, 4 * 1440, 4);
    it.merger.merge_all().unwrap();
    let hours = |n: u64| n * 3600;
    let retention = keep(&[("type_0", hours(12)), ("type_[12]", hours(30))]);
    let now = Time::from_millis(4 * 1440 * MINUTE);
    let before = it.journal.query(&all()).unwrap().events;
    let bytes = it.journal.stored_bytes();
    let pruned = it.journal.prune(&retention, now, u64::MAX).unwrap();
    assert!(pruned.bytes > 0 && it.journal.stored_bytes() < bytes);
    let after = it.journal.query(&all()).unwrap().events;
    assert_eq!(pruned.events, (before.len() - after.len()) as u64);
    let gone: Vec<_> = before.iter().filter(|it| !after.contains(it)).collect();
    let too_old = |event: &Event<'_>| {
        let age = now.seconds_since(event.time);
        match event.event_type.as_ref() {
            "type_0" => age > 12.0 * 3600.0,
            "type_1" | "type_2" => age > 30.0 * 3600.0,
            _ => false,
        }
    };
    assert!(gone.iter().all(|(_, it)| too_old(it)));
    // Up to a day of them stays.
    let expired = before.iter().filter(|(_, it)| too_old(it)).count();
    assert!(gone.len() * 10 > expired * 6, "{} of {expired}", gone.len());
    assert!(after.iter().all(|(seq, it)| before.contains(&(*seq, it.clone()))));
    let given = gone.iter().find(|(_, it)| matches!(it.id, EventId::Given(_))).unwrap();
    assert_eq!(it.journal.get(&given.1.id).unwrap(), None);
    let kinds = it.journal.kinds();
    assert_eq!(kinds.iter().map(|it| it.events).sum::<u64>(), after.len() as u64);
    let answered = answers(&it.journal);
    assert_eq!(it.journal.prune(&retention, now, u64::MAX).unwrap(), Pruned::default());
    it.writer.flush().unwrap();
    drop(it);
    let it = open_in(dir.path());
    assert!(answers(&it.journal) == answered);
    assert_eq!((it.journal.len(), it.journal.kinds()), (after.len() as u64, kinds));
}

#[test]
fn many_empty_blocks_become_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    fill(&mut it, 5 * 1440, 4);
    it.merger.merge_all().unwrap();
    let retention = |hours: u64| keep(&[("*", hours * 3600)]);
    for day in [2, 4, 3, 5, 7] {
        let now = Time::from_millis(day * 1440 * MINUTE);
        it.journal.prune(&retention(24), now, u64::MAX).unwrap();
        let headers = it.journal.index.from(0);
        assert!(headers.iter().filter(|it| it.count == 0).count() <= 1, "{headers:?}");
        let stored = it.journal.table.prefix(&[block::SEALED]).count();
        assert_eq!(stored, headers.iter().filter(|it| it.form == Form::Sealed).count());
    }
    assert_eq!((it.journal.len(), it.journal.end()), (0, 5 * 1440 + 1));
    for kind in [block::CHUNK, block::FILTER, block::ROWS, block::HEADER, block::SMALL] {
        assert_eq!(it.journal.table.prefix(&[kind]).count(), 0);
    }
}

#[test]
fn what_a_crash_left_of_a_seal_goes_with_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    fill(&mut it, 3000, 7);
    for chunk in [0, 6, 50, 700] {
        it.journal.table.put(&block::chunk_key(1, chunk), b"half of it").unwrap();
    }
    let before = it.journal.query(&all()).unwrap().events;
    it.writer.flush().unwrap();
    drop(it);
    let it = open_in(dir.path());
    assert!(it.journal.query(&all()).unwrap().events == before);
    it.merger.merge_all().unwrap();
    assert!(it.journal.query(&all()).unwrap().events == before);
    assert_eq!(it.journal.table.prefix(&block::key(block::CHUNK, 1)).count(), 7);
}

#[test]
fn a_damaged_chunk_fails_only_the_questions_that_need_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    fill(&mut it, 3000, 7);
    it.merger.merge_all().unwrap();
    let header = it.journal.index.at_or_after(1).unwrap();
    let part = header.parts.iter().find(|it| &*it.event_type == "type_3").unwrap();
    let key = block::chunk_key(1, part.chunk);
    let mut value = it.journal.table.get(&key).unwrap().unwrap();
    *value.last_mut().unwrap() ^= 1;
    it.journal.table.put(&key, &value).unwrap();
    let of = |name: &str| Query { types: vec![name.into()], ..all() };
    assert!(matches!(it.journal.query(&of("type_3")), Err(QueryError::Damaged(1))));
    let folded = it.journal.fold(&all(), || (), |(), _, _| ());
    assert!(matches!(folded, Err(QueryError::Damaged(1))));
    assert!(!it.seqs(&of("type_4")).is_empty());
    assert!(it.journal.count(&all(), None).is_ok(), "counts come from memory");
    assert_eq!(it.journal.table.get(&key).unwrap().unwrap(), value, "it is kept");
    it.journal.table.remove(&key).unwrap();
    assert!(matches!(it.journal.query(&of("type_3")), Err(QueryError::Damaged(1))));
}

#[test]
fn a_missing_header_is_a_gap_and_not_a_pruned_block() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    fill(&mut it, 4000, 7);
    it.merger.merge_all().unwrap();
    let second = it.journal.index.from(0)[1].first;
    it.journal.table.remove(&block::key(block::SEALED, second)).unwrap();
    it.writer.flush().unwrap();
    drop(it);
    let store = Store::open(&store::Config::new(dir.path().to_owned())).unwrap();
    let err = open(&store, DedupConfig::default(), Time::default(), (1, 2)).unwrap_err();
    assert!(matches!(err, OpenError::Gap { expected, .. } if expected == second), "{err}");
}

#[test]
fn readers_miss_nothing_while_blocks_merge_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    let n = 6000;
    fill(&mut it, n, 5);
    let kept = Query { types: vec!["type_1".into()], ..all() };
    let expected: Vec<u64> = it.seqs(&kept);
    let ids: Vec<_> =
        it.journal.query(&kept).unwrap().events.into_iter().map(|it| it.1.id).collect();
    let done = std::sync::atomic::AtomicBool::new(false);
    let journal = it.journal.clone();
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            while journal.merge_some().unwrap() {}
            let retention = keep(&[("type_[0234]", 3600)]);
            for hour in (0..200).step_by(5) {
                let now = Time::from_millis(hour * 60 * MINUTE);
                journal.prune(&retention, now, u64::MAX).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        let mut rounds = 0;
        while rounds < 3 || !done.load(std::sync::atomic::Ordering::Acquire) {
            let seen = it.journal.fold(&kept, Vec::new, |acc, seq, _| acc.push(seq)).unwrap();
            let mut seen = seen.concat();
            seen.sort_unstable();
            assert_eq!(seen, expected);
            for ascending in [true, false] {
                let mut seqs = it.seqs(&Query { ascending, ..kept.clone() });
                if !ascending {
                    seqs.reverse();
                }
                assert_eq!(seqs, expected);
            }
            let hour = Some(Duration::from_secs(3600));
            let counts = it.journal.count(&kept, hour).unwrap();
            assert_eq!(counts.iter().map(|it| it.events).sum::<u64>(), expected.len() as u64);
            for id in ids.iter().step_by(200) {
                assert!(it.journal.get(id).unwrap().is_some());
            }
            it.journal.fold(&all(), || (), |(), _, _| ()).unwrap();
            rounds += 1;
        }
        changing.join().unwrap();
    });
    assert!(it.journal.len() < n.cast_unsigned() / 2);
}

#[test]
fn a_type_of_several_chunks_is_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = open_in(dir.path());
    let mut random = 7u64;
    for i in 0..50 {
        let events: Vec<_> = (0..30)
            .map(|k| {
                let mut event = it.event((i * 30 + k) * 1000, None, "t");
                let mut text = String::new();
                for _ in 0..40 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    text.push_str(&format!("{random:016x}"));
                }
                event.data = format!("{{\"noise\":\"{text}\"}}").into();
                event
            })
            .collect();
        it.append(&events);
    }
    let header = {
        let _replacing = it.journal.replacing();
        it.journal.seal(&it.journal.index.from(0)).unwrap();
        it.journal.index.at_or_after(1).unwrap()
    };
    assert!(header.parts.len() > 3, "{}", header.parts.len());
    for seconds in [1, 400, 777, 1200, 1499, 1500, 4000] {
        let query = Query { until: at(seconds * 1000), ..all() };
        for interval in [None, Some(Duration::from_secs(3600))] {
            let counts = it.journal.count(&query, interval).unwrap();
            let n: u64 = counts.iter().map(|it| it.events).sum();
            assert_eq!(n, seconds.min(1500).cast_unsigned());
        }
    }
}
