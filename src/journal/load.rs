//! Filling an empty journal with events that have their sequence numbers: putting a backup back.

use super::block::{self, Header};
use super::segment::{Segment, Stats};
use super::{IdKey, OpenError, TABLE, id_key, put_block};
use crate::event::Event;
use crate::store::{Batch, Store, StoreError, Table};

/// Blocks that are written together.
const BATCH_BLOCKS: usize = 64;
/// Batches after which the store is flushed, so that it does not keep all in memory.
const FLUSH_BATCHES: usize = 16;

/// Writes the blocks of a new journal.
#[derive(Debug)]
pub struct Loader {
    store: Store,
    table: Table,
    key: IdKey,
    /// The sequence number that comes after the last event.
    next: u64,
    segment: Segment,
    batch: Batch,
    blocks: usize,
    batches: usize,
}

/// Why events could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The journal is not empty, or its key is missing.
    #[error("the events have no key: the backup is not whole")]
    NoKey,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Loader {
    /// Begins to fill the journal of `store`, which has nothing but its key.
    ///
    /// # Errors
    ///
    /// The key is not there, or the store failed.
    pub fn new(store: &Store) -> Result<Self, LoadError> {
        let table = store.table(TABLE)?;
        if table.get(super::KEY_OF_IDS)?.is_none() {
            return Err(LoadError::NoKey);
        }
        let key = id_key(&table, (0, 0)).map_err(|it| match it {
            OpenError::Store(it) => LoadError::Store(it),
            _ => LoadError::NoKey,
        })?;
        Ok(Self {
            store: store.clone(),
            table,
            key,
            next: 1,
            segment: Segment::default(),
            batch: Batch::default(),
            blocks: 0,
            batches: 0,
        })
    }

    /// Appends `event`, whose sequence number `seq` is larger than that of the one before.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn push(&mut self, seq: u64, event: &Event<'_>) -> Result<(), LoadError> {
        if seq != self.next || self.segment.is_full() {
            self.close(seq)?;
        }
        self.segment.push(event, &self.key);
        self.next = seq + 1;
        Ok(())
    }

    /// Writes what is left, such that the next event that is appended gets the sequence number `next`.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn finish(mut self, next: u64) -> Result<(), LoadError> {
        self.close(next)?;
        self.apply()?;
        Ok(self.store.flush()?)
    }

    /// Ends the block; what is missing up to `seq` is remembered as empty.
    fn close(&mut self, seq: u64) -> Result<(), LoadError> {
        let mut segment = std::mem::take(&mut self.segment);
        let (count, end) = (segment.len() as u64, self.next);
        if count > 0 {
            segment.pack();
            let rows =
                block::encode_rows(segment.stats.count, &segment.rows, segment.packed.as_deref());
            let stored_bytes = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            let (first, span) = (end - count, count);
            let header = Header { first, stored_bytes, small: false, span, stats: segment.stats };
            put_block(&mut self.batch, &header, &rows, &segment.ids);
            self.blocks += 1;
        }
        if let Some(span) = seq.checked_sub(end).filter(|it| *it > 0) {
            let stats = Stats::default();
            let header = Header { first: end, stored_bytes: 0, small: false, span, stats };
            self.batch.put(&block::key(block::EMPTY, end), &header.encode());
            self.blocks += 1;
        }
        self.next = seq;
        if self.blocks >= BATCH_BLOCKS { self.apply() } else { Ok(()) }
    }

    fn apply(&mut self) -> Result<(), LoadError> {
        self.table.apply(std::mem::take(&mut self.batch))?;
        self.blocks = 0;
        self.batches += 1;
        if self.batches.is_multiple_of(FLUSH_BATCHES) {
            self.store.flush()?;
        }
        Ok(())
    }
}
