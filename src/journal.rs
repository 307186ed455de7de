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
//! blocks are merged in the background into sealed ones of some thousand events, a chunk of columns for
//! each type, so that questions and pruning touch only the types that they are about (`merge`, `seal`).

mod arrivals;
mod block;
mod chunk;
mod column;
mod commits;
mod count;
mod dedup;
mod deleted;
mod filter;
mod find;
mod forgotten;
mod garbage;
mod header;
mod holds;
mod ids;
mod index;
mod ints;
mod kinds;
mod load;
mod merge;
mod ordered;
mod pack;
mod prune;
mod query;
mod record;
mod scan;
mod seal;
mod segment;
mod shape;
mod trim;
mod verify;

pub use block::into_owned as owned_event;
pub use commits::beside;
pub use count::Count;
pub use dedup::Config as DedupConfig;
pub use garbage::read_anything;
pub use kinds::Kind;
pub use load::{LoadError, Loader};
pub use prune::{Class, Pruned, Retention};
pub use query::{Cursor, Page, Query, QueryError};
pub use record::{decode_next as decode_event, encode as encode_event};
pub use segment::{BLOCK_BYTES, BLOCK_EVENTS, IdKey, Segment};
pub use verify::Verify;

use crate::codec::DecodeError;
use crate::event::{Event, Time};
use crate::store::{Batch, LogError, Store, StoreError, Table};
use commits::Commits;
use header::{Form, Header};
use index::Index;
use pack::Unpacker;
use segment::Stats;
use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The table of the store that holds the journal.
pub const TABLE: &str = "journal";
const KEY_OF_IDS: &[u8] = b"k";

/// The journal's read side. A handle: clones share it. It blocks, so call it off the reactor.
#[derive(Clone, Debug)]
pub struct Journal {
    table: Table,
    index: Arc<Index>,
    key: IdKey,
    /// How long ids are remembered.
    window: Duration,
    /// Held by whoever replaces or deletes blocks.
    replacing: Arc<Mutex<()>>,
}

/// The journal's write side; there is one.
#[derive(Debug)]
pub struct Writer {
    journal: Journal,
    store: Store,
    window: dedup::Window,
    next: u64,
    merger: merge::Trigger,
    commits: Commits,
    /// What the log had beside the events.
    beside: Vec<Vec<u8>>,
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
        "the commit log: {0}; nothing that was stored was changed: run `observatory verify` on the data directory to see what is lost, or restore a backup"
    )]
    Log(#[from] LogError),
    /// A list of ids cannot be read.
    #[error(
        "{0}; nothing that was stored was changed: run `observatory verify` on the data directory to see what is lost, or restore a backup"
    )]
    Read(#[from] QueryError),
    /// A header is damaged.
    #[error(
        "the journal is damaged at sequence {first}: {source}; nothing that was stored was changed: run `observatory verify` on the data directory to see what is lost, or restore a backup"
    )]
    Damaged {
        /// The sequence number of the block.
        first: u64,
        /// What is wrong.
        source: DecodeError,
    },
    /// Sequence numbers are missing.
    #[error(
        "the journal has a gap: sequence {expected} is followed by {found}; nothing that was stored was changed: run `observatory verify` on the data directory to see what is lost, or restore a backup"
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
    let journal = Journal { table, index, key, window: dedup.window, replacing: Arc::default() };
    let (commits, records) = Commits::open(store)?;
    if !records.events.is_empty() || !records.beside.is_empty() {
        // Also what the store has already may be no further than in the system's cache; the log, which is
        // written over from now on, may be all that a power cut leaves.
        journal.recover(records.events)?;
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
        commits,
        beside: records.beside,
    };
    Ok((journal, writer, run))
}

/// Whether an entry of the journal's table is a part of its events; what is not is needed beside them.
#[must_use]
pub fn is_of_events(key: &[u8]) -> bool {
    key.first().is_some_and(|it| block::KINDS.contains(it))
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

    /// Bytes that the blocks take, as [`Retention::max_bytes`] counts them.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.index.stored_bytes()
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
        self.in_order(&Query::default(), from..u64::MAX, |seq, event| {
            each(seq, event);
            ControlFlow::Continue(())
        })
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
            let stats = block::decode_stats(small.header, |it| self.index.name(it));
            let (stored_bytes, stats) = stats.map_err(damaged)?;
            self.table.put(&block::key(block::SMALL, first), value)?;
            self.index.push(Header::new(first, Form::Small, stored_bytes, &stats), &stats);
        }
        Ok(())
    }

    /// The right to replace and delete blocks.
    fn replacing(&self) -> MutexGuard<'_, ()> {
        self.replacing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stored value of a block that is not sealed; `None` if a merge replaced it since its header was
    /// read.
    fn value(&self, header: &Header, kind: u8) -> Result<Option<Vec<u8>>, QueryError> {
        let kind = if header.form == Form::Small { block::SMALL } else { kind };
        Ok(self.table.get(&block::key(kind, header.first))?)
    }

    /// The rows of a block that is not sealed; `None` if a merge replaced it since its header was read.
    fn rows(&self, header: &Header) -> Result<Option<Vec<u8>>, QueryError> {
        let Some(value) = self.value(header, block::ROWS)? else { return Ok(None) };
        let mut unpacker = Unpacker::new();
        let decoded = match header.form {
            Form::Small => block::Small::decode(&value)
                .and_then(|it| block::decode_rows(it.rows, &mut unpacker)),
            _ => block::decode_rows(&value, &mut unpacker),
        };
        let (count, rows) = decoded.map_err(|_| QueryError::Damaged(header.first))?;
        Ok((count == header.count).then_some(rows))
    }

    /// The given ids of a block that is not sealed; none if a merge replaced it since its header was read.
    fn ids(&self, header: &Header) -> Result<Vec<segment::IdEntry>, QueryError> {
        let Some(value) = self.value(header, block::IDS)? else { return Ok(Vec::new()) };
        let decoded = match header.form {
            Form::Small => block::Small::decode(&value).and_then(|it| block::decode_ids(it.ids)),
            _ => block::decode_ids(&value),
        };
        decoded.map_err(|_| QueryError::Damaged(header.first))
    }

    /// All that is known of a block that is not sealed; `None` if a merge replaced it since its header was
    /// read.
    fn stats(&self, header: &Header) -> Result<Option<Stats>, QueryError> {
        let Some(value) = self.value(header, block::HEADER)? else { return Ok(None) };
        let name = |it: &str| self.index.name(it);
        let decoded = match header.form {
            Form::Small => {
                block::Small::decode(&value).and_then(|it| block::decode_stats(it.header, name))
            }
            _ => block::decode_stats(&value, name),
        };
        decoded.map(|(_, it)| Some(it)).map_err(|_| QueryError::Damaged(header.first))
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

    /// The read side.
    #[must_use]
    pub fn reader(&self) -> &Journal {
        &self.journal
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
    /// The disk is full, and nothing was appended; or the store cannot be written, and it is not known whether
    /// anything was: nothing is appended any more until the store is opened anew.
    pub fn append(&mut self, segments: Vec<Segment>) -> Result<u64, StoreError> {
        let first = self.next;
        // Before the log is written: what is refused must not come back from there after a crash.
        self.store.check_room(segments.iter().map(|it| it.size_bytes() as u64).sum())?;
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
            let form = if small { Form::Small } else { Form::Rows };
            let header = Header::new(next, form, stored_bytes, &stats);
            let start = std::mem::replace(&mut next, header.end());
            if small {
                let (header, ids) =
                    (&block::encode_stats(stored_bytes, &stats), &block::encode_ids(&segment.ids));
                let value = block::Small { header, ids, rows: &rows }.encode();
                let put = || self.journal.table.put(&block::key(block::SMALL, first), &value);
                self.commits.events((first, &value), &self.merger, put)?;
            } else {
                put_block(&mut batch, start, &stats, &rows, &segment.ids);
            }
            blocks.push((header, stats, segment.ids));
        }
        if !small {
            self.journal.table.apply(batch)?;
            self.commits.need_flush();
        }
        self.next = next;
        for (header, stats, ids) in blocks {
            for id in ids {
                self.window.insert(header.received.1, id.identity);
            }
            self.journal.index.push(header, &stats);
        }
        self.merger.consider(usize::try_from(next - first).unwrap_or(usize::MAX));
        Ok(first)
    }

    /// Appends what somebody commits beside the events; whoever does finds it with [`Self::take_beside`]. It is
    /// for what [`Table::defer`] gives the store later: on disk after the next flush.
    ///
    /// # Errors
    ///
    /// The disk is full, and nothing was appended; or it refused, and nothing is appended any more.
    pub fn append_beside(&mut self, payload: &[u8]) -> Result<(), StoreError> {
        self.store.check_room(payload.len() as u64)?;
        self.commits.beside(payload, &self.merger)
    }

    /// What was appended beside the events before the journal was opened and may not be in the store, oldest
    /// first. To be in it, and flushed, before anything is appended.
    pub fn take_beside(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.beside)
    }

    /// Blocks until everything appended is on disk.
    ///
    /// # Errors
    ///
    /// The disk refused, now or before: a second sync after one that failed would prove nothing.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.commits.flush()
    }
}

fn put_block(batch: &mut Batch, first: u64, stats: &Stats, rows: &[u8], ids: &[segment::IdEntry]) {
    let stored_bytes = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    batch.put(&block::key(block::ROWS, first), rows);
    batch.put(&block::key(block::HEADER, first), &block::encode_stats(stored_bytes, stats));
    if !ids.is_empty() {
        batch.put(&block::key(block::IDS, first), &block::encode_ids(ids));
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
mod fixture_tests;
#[cfg(test)]
mod sealed_tests;
#[cfg(test)]
mod tests;
