//! Two million events of thirty days: what they take on disk, and how fast questions are answered.
//!
//! `EVENTS=200000 cargo bench --bench history` for fewer; `DIR=…` keeps and reuses the data directory.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "this is how a benchmark talks and listens"
)]

use observatory::{
    event::{Event, EventId, IdGenerator, Time},
    journal,
    journal::{DedupConfig, Journal, Query, Segment},
    selector::Selector,
    store,
    store::Store,
};
use std::{
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

const TYPES: [&str; 15] = [
    "ci_build_completed",
    "ci_build_started",
    "ci_tests_completed",
    "deployment_completed",
    "deployment_started",
    "quality_check_completed",
    "agent_registered",
    "agent_request_started",
    "agent_request_completed",
    "agent_collaboration",
    "agent_error",
    "quality_score_updated",
    "quality_gate_passed",
    "quality_gate_failed",
    "coverage_updated",
];
const DAYS: u64 = 30;
const DAY: Duration = Duration::from_secs(86_400);
const BATCH: u64 = 1000;

/// Numbers that look random (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let it = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    #[expect(clippy::cast_precision_loss, reason = "a fraction is enough")]
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn start() -> Time {
    Time::parse("2025-06-01").expect("a time")
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
fn event(i: u64, n: u64, received: Time, random: &mut Random, ids: &IdGenerator) -> Event<'static> {
    let [r1, r2, r3, r4, r5] = [(); 5].map(|()| random.fraction());
    let branch = match r4 {
        r if r < 0.7 => "main".to_owned(),
        r => format!("feature/{}", (1000.0 * r) as u64),
    };
    let status = match r5 {
        r if r < 0.85 => "success",
        r if r < 0.97 => "failure",
        _ => "cancelled",
    };
    let data = format!(
        r#"{{"repository":"acme/svc-{}","branch":"{branch}","status":"{status}","duration_seconds":{:.3},"commit":"{:016x}{:016x}{:08x}","build":{i}}}"#,
        (200.0 * r3) as u64,
        600.0 * r1 * r2,
        random.next(),
        random.next(),
        random.next() >> 32,
    );
    let event_type = TYPES.get((15.0 * r1 * r1) as usize).copied().unwrap_or("other");
    Event {
        id: ids.next(received),
        event_type: event_type.into(),
        source: format!("source-{}", (50.0 * r2) as u64).into(),
        time: start().saturating_add(Duration::from_nanos(i * (DAYS * 86_400_000_000_000 / n))),
        received,
        time_clamped: false,
        subject: None,
        trace: None,
        data: data.into(),
    }
}

fn load(dir: &Path, n: u64) {
    let store = Store::open(&store::Config::new(dir.to_owned())).expect("a store");
    let now = Time::parse("2025-07-02").expect("a time");
    let opened = journal::open(&store, DedupConfig::default(), now, (1, 2)).expect("a journal");
    let (journal, mut writer, merger) = opened;
    let merging = std::thread::spawn(move || merger.run());
    let (mut random, ids) = (Random(42), IdGenerator::new(7));
    let (mut appending, mut raw) = (Duration::ZERO, 0);
    let started = Instant::now();
    for first in (0..n).step_by(1000) {
        let received = now.saturating_add(Duration::from_millis(first / 100));
        let mut segment = Segment::default();
        for i in first..(first + BATCH).min(n) {
            let event = event(i + 1, n, received, &mut random, &ids);
            raw += event.data.len();
            segment.push(&event, journal.id_key());
        }
        segment.pack();
        let started = Instant::now();
        writer.append(vec![segment]).expect("appended");
        writer.flush().expect("flushed");
        appending += started.elapsed();
        if first % (n / 10).max(BATCH) == 0 {
            let (blocks, sealed) = journal.blocks();
            let (unsealed, mb) = (blocks - sealed, size(dir) >> 20);
            println!("{first} events: {unsealed} blocks not sealed, {mb} MB on disk");
        }
    }
    println!(
        "loaded {n} events of {} bytes of data in {:.1?} ({appending:.1?} of it appending), {} bytes each on disk",
        raw as u64 / n,
        started.elapsed(),
        size(dir) / n,
    );
    drop(writer);
    merging.join().expect("no panic");
    drop((journal, store));
    let store = Store::open(&store::Config::new(dir.to_owned())).expect("a store");
    let opened = journal::open(&store, DedupConfig::default(), now, (1, 2)).expect("a journal");
    let started = Instant::now();
    let merges = opened.2.merge_all().expect("merged");
    store.flush().expect("flushed");
    let (blocks, sealed) = opened.0.blocks();
    println!("merged {merges} more in {:.1?}: {blocks} blocks, {sealed} sealed", started.elapsed());
}

/// Bytes of all files but the log, which has a fixed size.
fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).expect("a directory").map(|it| it.expect("an entry"));
    let size_of = |it: fs::DirEntry| match it.metadata().expect("metadata") {
        meta if meta.is_dir() => size(&it.path()),
        _ if it.file_name().to_string_lossy().starts_with("log-") => 0,
        meta => meta.len(),
    };
    entries.map(size_of).sum()
}

/// Resident memory in MB.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// Asks a few times; prints the first, the median and the slowest time.
fn ask(name: &str, question: impl Fn() -> usize) {
    let mut times = Vec::new();
    let mut found = 0;
    for _ in 0..11 {
        let started = Instant::now();
        found = question();
        times.push(started.elapsed());
    }
    let first = times.remove(0);
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let slowest = times.last().copied().unwrap_or_default();
    println!("{name:48} {first:>9.2?} {median:>9.2?} {slowest:>9.2?}  {found} found");
}

fn questions(journal: &Journal) {
    let newest = |types: &[&str]| Query {
        types: types.iter().map(|it| (*it).to_owned()).collect(),
        limit: 100,
        ..Query::default()
    };
    let matching = |text: &str| Query {
        matches: vec![Selector::parse(text).expect("a selector")],
        ..Query::default()
    };
    let day = |query: Query| Query {
        since: Some(start().saturating_add(14 * DAY)),
        until: Some(start().saturating_add(15 * DAY)),
        ..query
    };
    let all_of = |query: &Query| {
        let found = journal.fold(query, || 0, |n, _, event| *n += event.data.len().min(1));
        found.expect("an answer").into_iter().sum::<usize>()
    };
    let page = |query: &Query| journal.query(query).expect("an answer").events.len();
    let hour = Some(Duration::from_secs(3600));
    let count = |query: &Query| journal.count(query, hour).expect("an answer").len();
    let two = "{status=\"failure\",repository=\"acme/svc-17\"}";
    println!("{:48} {:>9} {:>9} {:>9}", "", "first", "median", "slowest");
    ask("newest 100 of one type", || page(&newest(&["agent_error"])));
    ask("newest 100", || page(&newest(&[])));
    ask("count per type and hour", || count(&Query::default()));
    ask("count per type and hour, one day", || count(&day(Query::default())));
    ask("two fields, everything", || all_of(&matching(&format!("*{two}"))));
    ask("two fields, everything, newest 100", || {
        page(&Query { limit: 100, ..matching(&format!("*{two}")) })
    });
    let build = format!("ci_build_completed{two}");
    ask("two fields, one type, one day", || all_of(&day(matching(&build))));
    ask("two fields, all types, one day", || all_of(&day(matching(&format!("*{two}")))));
    ask("fold of one type, one day", || all_of(&day(matching("ci_build_completed"))));
    ask("fold of a field, one type, one day", || {
        let query = day(matching("ci_build_completed"));
        let found = journal.fold(&query, Vec::new, |acc: &mut Vec<f64>, _, event| {
            let fields = observatory::event::Fields::parse(&event.data).expect("an object");
            let text = fields.get("duration_seconds").and_then(|it| it.text());
            acc.extend(text.and_then(|it| it.parse::<f64>().ok()));
        });
        found.expect("an answer").concat().len()
    });
    ask("fold of everything", || all_of(&Query::default()));
    let id = journal.query(&day(newest(&[]))).expect("an answer").events.remove(0).1.id;
    ask("one generated id", || usize::from(journal.get(&id).expect("an answer").is_some()));
    let unknown = EventId::Given("unknown".into());
    ask("an unknown given id", || usize::from(journal.get(&unknown).expect("an answer").is_some()));
}

fn main() {
    let n = env::var("EVENTS").ok().and_then(|it| it.parse().ok()).unwrap_or(2_000_000);
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = env::var("DIR").map_or_else(|_| temporary.path().to_owned(), Into::into);
    if !dir.join("db").exists() {
        load(&dir, n);
    }
    let before = memory();
    let opening = Instant::now();
    let store = Store::open(&store::Config::new(dir.clone())).expect("a store");
    let now = Time::parse("2025-07-02").expect("a time");
    let opened = journal::open(&store, DedupConfig::default(), now, (1, 2)).expect("a journal");
    println!("{} bytes each in blocks, {} on disk", opened.0.stored_bytes() / n, size(&dir) / n);
    println!("opened in {:.2?}, {} MB ({before} before)", opening.elapsed(), memory());
    questions(&opened.0);
    println!("{} MB in the end", memory());
}
