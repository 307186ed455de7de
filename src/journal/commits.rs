//! Commits on their way to disk: small ones by the commit log, large ones by a flush of the store.
//!
//! What others commit beside the events goes the same way, so that one sync serves both. A record begins with
//! the sequence number of its first event, or with [`BESIDE`].

use super::merge::Trigger;
use crate::codec::{Reader, Writer};
use crate::store::{Log, LogError, Store, StoreError};

/// Where a record of events has a sequence number, which is never so large.
const BESIDE: u64 = u64::MAX;

/// The write side of the log; there is one.
#[derive(Debug)]
pub(super) struct Commits {
    store: Store,
    log: Log,
    /// Whether only a flush of the store brings the last commits to disk.
    unflushed: bool,
}

/// What the log holds, oldest first.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Those of events.
    pub(super) events: Vec<Vec<u8>>,
    /// What was logged beside them.
    pub(super) beside: Vec<Vec<u8>>,
}

/// What a record of the log holds that was logged beside the events; `None` if it holds events.
#[must_use]
pub fn beside(record: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(record);
    (reader.u64() == Ok(BESIDE)).then(|| reader.rest())
}

impl Commits {
    pub(super) fn open(store: &Store) -> Result<(Self, Records), LogError> {
        let (log, found) = store.log()?;
        let mut records = Records::default();
        for record in found {
            match beside(&record) {
                Some(it) => records.beside.push(it.to_vec()),
                None => records.events.push(record),
            }
        }
        Ok((Self { store: store.clone(), log, unflushed: false }, records))
    }

    /// Appends the events of `block`, of which the first has the number `first`, unless the store refuses them:
    /// then `put` fails, and the number goes to the next commit, which must not find it taken after a crash.
    pub(super) fn events(
        &mut self,
        (first, block): (u64, &[u8]),
        merger: &Trigger,
        put: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let logged = self.append(first, block, merger)?;
        put().inspect_err(|_| {
            if logged {
                self.log.take_back();
            }
        })
    }

    /// Appends what is committed beside the events.
    pub(super) fn beside(&mut self, payload: &[u8], merger: &Trigger) -> Result<(), StoreError> {
        self.append(BESIDE, payload, merger).map(|_| ())
    }

    /// Says that the store has to be flushed for what it was given.
    pub(super) fn need_flush(&mut self) {
        self.unflushed = true;
    }

    /// `false` if it is left to a flush of the store.
    fn append(&mut self, mark: u64, payload: &[u8], merger: &Trigger) -> Result<bool, StoreError> {
        let mut record = Writer::new(Vec::with_capacity(8 + payload.len()));
        record.u64(mark);
        record.bytes(payload);
        let record = record.into_inner();
        // Behind a commit that only a flush of the store puts on disk, a record would follow a gap.
        if self.unflushed || record.len() > Log::max_record_bytes() {
            self.unflushed = true;
            return Ok(false);
        }
        if self.log.is_full_for(record.len()) {
            match self.store.wrote(self.log.turn())? {
                Some(left) => merger.checkpoint(left),
                None => {
                    self.store.flush()?;
                    self.log.reset();
                }
            }
        }
        self.store.wrote(self.log.append(&record)).map(|()| true)
    }

    /// Blocks until everything appended is on disk.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        self.store.check_writable()?;
        self.store.wrote(self.log.sync())?;
        if self.unflushed {
            self.store.flush()?;
            self.unflushed = false;
        }
        Ok(())
    }
}
