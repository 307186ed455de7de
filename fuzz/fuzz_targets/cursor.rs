//! Any cursor, as number or text, order and limit: no panic; a page keeps the limit and its order, and the
//! next one goes on behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observatory::event::{Event, EventId, Time};
use observatory::history::{read_cursor, write_cursor};
use observatory::journal::{Cursor, DedupConfig, Journal, Query, Segment, open};
use observatory::store::{Config, Store};
use std::sync::OnceLock;

static JOURNAL: OnceLock<Journal> = OnceLock::new();
const EVENTS: u64 = 300;

fn journal() -> Journal {
    let dir = std::env::temp_dir().join(format!("observatory-fuzz-{}", std::process::id()));
    let store = Store::open(&Config::new(dir)).expect("a store");
    let opened = open(&store, DedupConfig::default(), Time::from_millis(0), (1, 2));
    let (journal, mut writer, _merger) = opened.expect("a journal");
    for n in 0..EVENTS {
        let time = Time::from_millis(n as i64);
        let event = Event {
            id: EventId::Generated(n.into()),
            event_type: if n % 3 == 0 { "third" } else { "other" }.into(),
            source: "s".into(),
            time,
            received: time,
            time_clamped: false,
            subject: None,
            trace: None,
            data: "{}".into(),
        };
        let mut segment = Segment::default();
        segment.push(&event, journal.id_key());
        writer.append(vec![segment]).expect("appended");
    }
    journal
}

fuzz_target!(|input: (u64, bool, u8, bool, &str)| {
    let (cursor, ascending, limit, third, text) = input;
    let cursor = match read_cursor(text, ascending) {
        Ok(it) => {
            assert_eq!(write_cursor(it, ascending), text);
            it.0
        }
        Err(_) => cursor,
    };
    assert_eq!(
        read_cursor(&write_cursor(Cursor(cursor), ascending), ascending),
        Ok(Cursor(cursor))
    );
    let journal = JOURNAL.get_or_init(journal);
    let types = if third { vec!["third".to_owned()] } else { Vec::new() };
    let limit = usize::from(limit).max(1);
    let query = Query { cursor: Some(Cursor(cursor)), ascending, limit, types, ..Query::default() };
    let page = journal.query(&query).expect("a page");
    assert!(page.events.len() <= limit);
    let seqs: Vec<u64> = page.events.iter().map(|it| it.0).collect();
    assert!(seqs.is_sorted_by(|a, b| if ascending { a < b } else { a > b }));
    assert!(seqs.iter().all(|it| if ascending { *it >= cursor } else { *it < cursor }));
    if let Some(next) = page.next {
        let query = Query { cursor: Some(next), ..query };
        let after = journal.query(&query).expect("a page").events;
        let (last, first) = (seqs.last().expect("a full page"), after.first().expect("more").0);
        assert!(if ascending { *last < first } else { *last > first });
    }
});
