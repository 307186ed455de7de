//! The journal: every accepted event, once, in the order of acceptance.
//!
//! # Contract
//!
//! - **Order.** Events have consecutive sequence numbers, given by the one [`Writer`].
//! - **Durability.** What [`Writer::append`] took is visible to readers at once, and on disk when the next
//!   [`Writer::flush`] returned. A crash in between loses whole commits, newest first, never a part of one.
//! - **Deduplication.** The writer knows which ids were seen within the window; it does not look for them
//!   in what it is told to append.
//! - **Reading** never blocks writing. A page is consistent: a merge that runs meanwhile neither hides an
//!   event nor shows it twice.
//! - **Damage** is reported where it is read; a damaged block is never rewritten.
//!
//! A commit is stored as a block of rows. A small one is written to the commit log and synced there, and is
//! on disk in the store when that is flushed, in the background; a large one flushes the store. Small
//! blocks are merged in the background into sealed ones of about a thousand events, compressed (`merge`).

mod block;
mod dedup;
mod index;
mod merge;
mod query;
mod record;
mod segment;

pub use dedup::Config as DedupConfig;
pub use query::{Cursor, Page, Query, QueryError};
pub use segment::{BLOCK_BYTES, BLOCK_EVENTS, IdKey, Segment};

use crate::codec::DecodeError;
use crate::event::{Event, Time};
use crate::store::{Batch, Log, LogError, Store, StoreError, Table};
use block::Header;
use index::Index;
use std::sync::Arc;

const TABLE: &str = "journal";
const KEY_OF_IDS: &[u8] = b"k";

/// The journal's read side. A handle: clones share it. It blocks, so call it off the reactor.
#[derive(Clone, Debug)]
pub struct Journal {
    table: Table,
    index: Arc<Index>,
    key: IdKey,
}

/// The journal's write side; there is one.
#[derive(Debug)]
pub struct Writer {
    journal: Journal,
    store: Store,
    window: dedup::Window,
    next: u64,
    merger: merge::Trigger,
    log: Log,
    /// Whether only a flush of the store brings the last commits to disk.
    unflushed: bool,
}

/// Merges small blocks until it is dropped or the writer is.
pub use merge::Merger;

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The commit log cannot be read.
    #[error(
        "the commit log: {0}; nothing was changed: keep a copy of the data directory and restore a backup"
    )]
    Log(#[from] LogError),
    /// A list of ids cannot be read.
    #[error("{0}; nothing was changed: keep a copy of the data directory and restore a backup")]
    Read(#[from] QueryError),
    /// A header is damaged.
    #[error(
        "the journal is damaged at sequence {first}: {source}; nothing was changed: keep a copy of the data directory and restore a backup"
    )]
    Damaged {
        /// The sequence number of the block.
        first: u64,
        /// What is wrong.
        source: DecodeError,
    },
    /// Sequence numbers are missing.
    #[error(
        "the journal has a gap: sequence {expected} is followed by {found}; nothing was changed: keep a copy of the data directory and restore a backup"
    )]
    Gap {
        /// What should have come.
        expected: u64,
        /// What came.
        found: u64,
    },
}

/// Opens the journal in `store`; ids that arrived less than the window before `now` are remembered.
/// The third part merges in the background: run it on a thread of its own.
///
/// # Errors
///
/// The store cannot be read, or what it holds is damaged. Nothing was changed then.
pub fn open(
    store: &Store,
    dedup: DedupConfig,
    now: Time,
    random: (u64, u64),
) -> Result<(Journal, Writer, Merger), OpenError> {
    let table = store.table(TABLE)?;
    let key = id_key(&table, random)?;
    let index = Arc::new(Index::load(&table)?);
    let journal = Journal { table, index, key };
    let (log, records) = store.log()?;
    if !records.is_empty() {
        // Also what the store has already may be no further than in the system's cache; the log, which is
        // written over from now on, may be all that a power cut leaves.
        journal.recover(records)?;
        store.flush()?;
    }
    let mut window = dedup::Window::new(dedup);
    journal.remember(&mut window, now.saturating_sub(dedup.window))?;
    let (merger, run) = merge::new(journal.clone(), store.clone());
    let writer = Writer {
        journal: journal.clone(),
        store: store.clone(),
        window,
        next: journal.index.end(),
        merger,
        log,
        unflushed: false,
    };
    Ok((journal, writer, run))
}

/// The store's own key of ids, made from `random` when the store is new.
fn id_key(table: &Table, random: (u64, u64)) -> Result<IdKey, OpenError> {
    let damaged = |source| OpenError::Damaged { first: 0, source };
    if let Some(value) = table.get(KEY_OF_IDS)? {
        let payload = crate::codec::unseal(1, &value).map_err(damaged)?;
        let mut reader = crate::codec::Reader::new(payload);
        return Ok(IdKey(reader.u64().map_err(damaged)?, reader.u64().map_err(damaged)?));
    }
    let mut writer = crate::codec::Writer::default();
    writer.u64(random.0);
    writer.u64(random.1);
    let mut batch = Batch::default();
    batch.put(KEY_OF_IDS, &crate::codec::seal(1, &writer.into_inner()));
    table.apply(batch)?;
    Ok(IdKey(random.0, random.1))
}

// === impl Journal ===

impl Journal {
    /// Events stored.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.index.events()
    }

    /// Whether nothing is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sequence number that the next event will get.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.index.end()
    }

    /// Blocks stored: in all, and sealed.
    #[must_use]
    pub fn blocks(&self) -> (usize, usize) {
        self.index.blocks()
    }

    /// The key that hashes ids in this store.
    #[must_use]
    pub fn id_key(&self) -> &IdKey {
        &self.key
    }

    /// Calls `each` for every event from sequence number `from` on, in order, with its number. For
    /// replay: nothing may be appended meanwhile.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a block is damaged.
    pub fn replay(
        &self,
        from: u64,
        mut each: impl FnMut(u64, &Event<'_>),
    ) -> Result<(), QueryError> {
        for header in self.index.from(from) {
            let rows = self.rows(&header)?.ok_or(QueryError::Damaged(header.first))?;
            for (seq, event) in (header.first..).zip(segment::events(&rows)) {
                let event = event.map_err(|_| QueryError::Damaged(header.first))?;
                if seq >= from {
                    each(seq, &event);
                }
            }
        }
        Ok(())
    }

    /// Gives the store the commits of the log that a crash kept from it.
    fn recover(&self, records: Vec<Vec<u8>>) -> Result<(), OpenError> {
        for record in records {
            let expected = self.index.end();
            let damaged = |source| OpenError::Damaged { first: expected, source };
            let mut reader = crate::codec::Reader::new(&record);
            let first = reader.u64().map_err(damaged)?;
            if first < expected {
                continue;
            }
            if first > expected {
                return Err(OpenError::Gap { expected, found: first });
            }
            let value = reader.rest();
            let small = block::Small::decode(value).map_err(damaged)?;
            let header = Header::decode(first, small.header, |it| self.index.name(it));
            let header = Header { small: true, ..header.map_err(damaged)? };
            self.table.put(&block::key(block::SMALL, first), value)?;
            self.index.push(header);
        }
        Ok(())
    }

    /// The rows of a block; `None` if a merge replaced it since its header was read.
    fn rows(&self, header: &Header) -> Result<Option<Vec<u8>>, QueryError> {
        let kind = if header.small { block::SMALL } else { block::ROWS };
        let Some(value) = self.table.get(&block::key(kind, header.first))? else {
            return Ok(None);
        };
        let decoded = match header.small {
            true => block::Small::decode(&value).and_then(|it| block::decode_rows(it.rows)),
            false => block::decode_rows(&value),
        };
        let (count, rows) = decoded.map_err(|_| QueryError::Damaged(header.first))?;
        Ok((count == header.stats.count).then_some(rows))
    }

    /// The given ids of a block; none if a merge replaced it since its header was read.
    fn ids(&self, header: &Header) -> Result<Vec<segment::IdEntry>, QueryError> {
        let kind = if header.small { block::SMALL } else { block::IDS };
        let Some(value) = self.table.get(&block::key(kind, header.first))? else {
            return Ok(Vec::new());
        };
        let decoded = match header.small {
            true => block::Small::decode(&value).and_then(|it| block::decode_ids(it.ids)),
            false => block::decode_ids(&value),
        };
        decoded.map_err(|_| QueryError::Damaged(header.first))
    }

    /// Fills the window with the ids that arrived at or after `since`.
    fn remember(&self, window: &mut dedup::Window, since: Time) -> Result<(), QueryError> {
        for header in self.index.from(0) {
            let received = header.stats.received.1;
            if received < since {
                continue;
            }
            for id in self.ids(&header)? {
                window.insert(received, id.identity);
            }
        }
        Ok(())
    }
}

// === impl Writer ===

impl Writer {
    /// Whether an event with this identity was appended within the window.
    #[must_use]
    pub fn knows(&self, identity: u64) -> bool {
        self.window.contains(identity)
    }

    /// The sequence number that the next event will get.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The key that hashes ids in this store.
    #[must_use]
    pub fn id_key(&self) -> &IdKey {
        &self.journal.key
    }

    /// Appends the events of `segments` in order, all or none, and returns the sequence number of the
    /// first.
    ///
    /// # Errors
    ///
    /// The store cannot be written; nothing was appended then.
    pub fn append(&mut self, segments: Vec<Segment>) -> Result<u64, StoreError> {
        let first = self.next;
        let segments = gather(segments);
        let small = matches!(segments.as_slice(), [it] if it.packed.is_none());
        let mut batch = Batch::default();
        let mut blocks = Vec::new();
        let mut next = first;
        for segment in segments {
            let rows =
                block::encode_rows(segment.stats.count, &segment.rows, segment.packed.as_deref());
            let stored_bytes = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            let stats = self.journal.index.intern(segment.stats);
            let header = Header { first: next, stored_bytes, small, stats };
            next = header.end();
            if small {
                let (header, ids) = (&header.encode(), &block::encode_ids(&segment.ids));
                let value = block::Small { header, ids, rows: &rows }.encode();
                self.log(first, &value)?;
                let put = self.journal.table.put(&block::key(block::SMALL, first), &value);
                // Its number goes to the next commit, which must not find it taken after a crash.
                put.inspect_err(|_| self.log.take_back())?;
            } else {
                put_block(&mut batch, &header, &rows, &segment.ids);
            }
            blocks.push((header, segment.ids));
        }
        if !small {
            self.journal.table.apply(batch)?;
            self.unflushed = true;
        }
        self.next = next;
        for (header, ids) in blocks {
            for id in ids {
                self.window.insert(header.stats.received.1, id.identity);
            }
            self.journal.index.push(header);
        }
        self.merger.consider();
        Ok(first)
    }

    /// Writes a small commit to the log; one that is too large for it, the store has to flush.
    fn log(&mut self, first: u64, value: &[u8]) -> Result<(), StoreError> {
        let mut record = crate::codec::Writer::new(Vec::with_capacity(8 + value.len()));
        record.u64(first);
        record.bytes(value);
        let record = record.into_inner();
        // Behind a commit that only a flush of the store puts on disk, a record would follow a gap.
        if self.unflushed || record.len() > Log::max_record_bytes() {
            self.unflushed = true;
            return Ok(());
        }
        if self.log.is_full_for(record.len()) {
            match self.log.turn()? {
                Some(left) => self.merger.checkpoint(left),
                None => {
                    self.store.flush()?;
                    self.log.reset();
                }
            }
        }
        Ok(self.log.append(&record)?)
    }

    /// Blocks until everything appended is on disk.
    ///
    /// # Errors
    ///
    /// The disk refused.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.log.sync()?;
        if self.unflushed {
            self.store.flush()?;
            self.unflushed = false;
        }
        Ok(())
    }
}

fn put_block(batch: &mut Batch, header: &Header, rows: &[u8], ids: &[segment::IdEntry]) {
    batch.put(&block::key(block::ROWS, header.first), rows);
    batch.put(&block::key(block::HEADER, header.first), &header.encode());
    if !ids.is_empty() {
        batch.put(&block::key(block::IDS, header.first), &block::encode_ids(ids));
    }
}

/// Joins neighbours that were not compressed into blocks of bounded size.
fn gather(segments: Vec<Segment>) -> Vec<Segment> {
    let mut res: Vec<Segment> = Vec::new();
    for segment in segments.into_iter().filter(|it| !it.is_empty()) {
        match res.last_mut() {
            Some(last)
                if last.packed.is_none()
                    && segment.packed.is_none()
                    && last.len() + segment.len() <= BLOCK_EVENTS
                    && last.rows.len() + segment.rows.len() <= BLOCK_BYTES =>
            {
                last.merge(&segment);
            }
            _ => res.push(segment),
        }
    }
    res.iter_mut().filter(|it| it.packed.is_none()).for_each(Segment::pack);
    res
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, IdGenerator};
    use crate::store;
    use std::time::Duration;

    struct Fixture {
        journal: Journal,
        writer: Writer,
        merger: Merger,
        ids: IdGenerator,
    }

    fn open_in(dir: &std::path::Path) -> Fixture {
        let store = Store::open(&store::Config::new(dir.to_owned())).unwrap();
        let now = Time::from_millis(1_000_000);
        let (journal, writer, merger) = open(&store, DedupConfig::default(), now, (1, 2)).unwrap();
        Fixture { journal, writer, merger, ids: IdGenerator::new(7) }
    }

    impl Fixture {
        fn event(&self, millis: i64, id: Option<&str>, event_type: &str) -> Event<'static> {
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

        fn append(&mut self, events: &[Event<'_>]) {
            let mut segment = Segment::default();
            for it in events {
                segment.push(it, self.journal.id_key());
            }
            segment.pack();
            self.writer.append(vec![segment]).unwrap();
        }

        fn seqs(&self, query: &Query) -> Vec<u64> {
            self.journal.query(query).unwrap().events.iter().map(|it| it.0).collect()
        }
    }

    fn all() -> Query {
        Query { limit: usize::MAX, ascending: true, ..Query::default() }
    }

    #[test]
    fn events_survive_reopening_and_merging() {
        let dir = tempfile::tempdir().unwrap();
        let mut it = open_in(dir.path());
        let events: Vec<_> =
            (0..2500).map(|i| it.event(i, (i % 3 == 0).then_some("x"), "t")).collect();
        for event in &events {
            it.append(std::slice::from_ref(event));
        }
        it.writer.flush().unwrap();
        let before = it.journal.query(&all()).unwrap().events;
        assert_eq!(before.len(), 2500);
        assert!(it.merger.merge_all().unwrap() >= 2);
        let (blocks, sealed) = it.journal.blocks();
        assert!(blocks < 60 && sealed >= 2, "{blocks} {sealed}");
        assert_eq!(it.journal.query(&all()).unwrap().events, before);
        it.writer.flush().unwrap();
        drop(it);
        let it = open_in(dir.path());
        assert_eq!(it.journal.len(), 2500);
        let after = it.journal.query(&all()).unwrap().events;
        assert_eq!(after, before);
        assert_eq!(
            after.iter().map(|it| &it.1).collect::<Vec<_>>(),
            events.iter().collect::<Vec<_>>()
        );
        let mut replayed = 0;
        it.journal
            .replay(2001, |seq, event| {
                assert_eq!(*event, events[usize::try_from(seq).unwrap() - 1]);
                replayed += 1;
            })
            .unwrap();
        assert_eq!(replayed, 500);
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
}
