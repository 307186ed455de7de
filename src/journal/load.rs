//! Filling an empty journal with events that have their sequence numbers: putting a backup back.

use super::header::{Form, Header, Sealed};
use super::index::Index;
use super::seal::{self, Members, Run, SEALED_BYTES, SEALED_EVENTS};
use super::{Journal, OpenError, QueryError, TABLE, block, id_key};
use crate::event::{Event, EventId, Time};
use crate::store::{Batch, Store, StoreError};
use hashbrown::HashMap;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// Blocks after which the store is flushed, so that it does not keep all in memory.
const FLUSH_BLOCKS: usize = 16;

/// Writes the blocks of a new journal.
#[derive(Debug)]
pub struct Loader {
    store: Store,
    journal: Journal,
    /// The sequence number of the first event of the block that is being made.
    first: u64,
    /// The sequence number that comes after the last event.
    next: u64,
    events: Vec<(u32, Event<'static>)>,
    bytes: usize,
    received: Option<(Time, Time)>,
    blocks: usize,
}

/// Why events could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The key of the ids is missing.
    #[error("the key of the ids is missing: the backup is not whole")]
    NoKey,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A block could not be written.
    #[error(transparent)]
    Journal(#[from] QueryError),
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
        let index = Arc::new(Index::default());
        let window = Duration::ZERO;
        let journal = Journal { table, index, key, window, replacing: Arc::new(Mutex::default()) };
        let (events, received) = (Vec::new(), None);
        let store = store.clone();
        Ok(Self { store, journal, first: 1, next: 1, events, bytes: 0, received, blocks: 0 })
    }

    /// Appends `event`, whose sequence number `seq` is larger than that of the one before.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn push(&mut self, seq: u64, event: &Event<'_>) -> Result<(), LoadError> {
        let at = event.received;
        let wide = self.received.map_or((at, at), |(from, to)| (from.min(at), to.max(at)));
        let full = self.events.len() >= SEALED_EVENTS || self.bytes >= SEALED_BYTES;
        // What is missing in between is a part of the block, unless it is more than the block has.
        let far = seq - self.first > 2 * SEALED_EVENTS as u64;
        if full || far || !seal::is_one_day(wide) {
            self.close(seq)?;
        }
        let at_now = self.received.map_or((at, at), |(from, to)| (from.min(at), to.max(at)));
        self.received = Some(at_now);
        self.bytes += event.data.len() + event.source.len() + event.event_type.len();
        let position = u32::try_from(seq - self.first).unwrap_or(u32::MAX);
        self.events.push((position, block::into_owned(event.clone())));
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
        Ok(self.store.flush()?)
    }

    /// Ends the block, and begins one at `seq`; what is missing in between is remembered as empty.
    fn close(&mut self, seq: u64) -> Result<(), LoadError> {
        let mut end = self.first;
        if let Some(received) = self.received.take() {
            end = self.next;
            let run = Run { first: self.first, span: end - self.first, received };
            let mut by_type = HashMap::<Arc<str>, Members<'_>>::new();
            let mut hashes = Vec::new();
            for (position, event) in self.events.drain(..) {
                if let EventId::Given(id) = &event.id {
                    hashes.push(self.journal.key.hash(id));
                }
                let name = self.journal.index.name(&event.event_type);
                by_type.entry(name).or_default().push((position, event));
            }
            self.journal.write_sealed(run, by_type, &hashes, Batch::default())?;
            self.blocks += 1;
        }
        if let Some(span) = seq.checked_sub(end).filter(|it| *it > 0) {
            self.empty(end, span)?;
        }
        (self.first, self.next, self.bytes) = (seq, seq, 0);
        if self.blocks >= FLUSH_BLOCKS {
            self.blocks = 0;
            self.store.flush()?;
        }
        Ok(())
    }

    fn empty(&self, first: u64, span: u64) -> Result<(), LoadError> {
        let sealed = Sealed::empty(span);
        let value = sealed.encode();
        let header = Header::sealed(first, &sealed, value.len());
        debug_assert!(header.form == Form::Sealed && header.count == 0);
        let mut batch = Batch::default();
        batch.put(&block::key(block::SEALED, first), &value);
        Ok(self.journal.table.apply(batch)?)
    }
}
