//! Merging small blocks in the background.
//!
//! A commit makes a block of whatever arrived since the last one. Neighbours are joined, a few at first,
//! until a block has its thousand events and is sealed; so that a trickle of single events is rewritten
//! a bounded number of times. A merge is one batch in the store: a crash finds the old blocks or the new.

use super::block;
use super::block::Header;
use super::index::is_sealed;
use super::segment::{BLOCK_BYTES, BLOCK_EVENTS, Segment};
use super::{Journal, QueryError};
use crate::store::{Batch, Retired, Store};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
    mpsc::{Receiver, Sender, channel},
};

/// Blocks that a merge joins when they are not enough for a sealed one.
const FEW_BLOCKS: usize = 64;

/// Sealed blocks are written once and read often.
const SEALED_LEVEL: i32 = 3;

/// Tells the merger that there is work, at the writer's side.
#[derive(Debug)]
pub(super) struct Trigger {
    sender: Sender<Work>,
    /// Whether the merger knows already that there is something to merge.
    told: Arc<AtomicBool>,
    blocks: usize,
}

/// The background merger. [`Merger::run`] returns when the writer is gone.
#[derive(Debug)]
pub struct Merger {
    journal: Journal,
    store: Store,
    told: Arc<AtomicBool>,
    work: Receiver<Work>,
}

#[derive(Debug)]
enum Work {
    Merge,
    /// Flush the store, so that the file of the log can be written over.
    Checkpoint(Retired),
}

pub(super) fn new(journal: Journal, store: Store) -> (Trigger, Merger) {
    let (sender, work) = channel();
    let told = Arc::<AtomicBool>::default();
    let trigger = Trigger { sender, told: Arc::clone(&told), blocks: 0 };
    (trigger, Merger { journal, store, told, work })
}

impl Trigger {
    /// Called for every commit.
    pub(super) fn consider(&mut self) {
        self.blocks += 1;
        if self.blocks >= FEW_BLOCKS / 2 && !self.told.swap(true, Ordering::AcqRel) {
            self.blocks = 0;
            // A merger that is gone leaves small blocks, which are as readable.
            let _ = self.sender.send(Work::Merge);
        }
    }

    /// Called when a file of the log was left.
    pub(super) fn checkpoint(&self, left: Retired) {
        // A merger that is gone leaves it to the writer, which flushes when it needs the file.
        let _ = self.sender.send(Work::Checkpoint(left));
    }
}

impl Merger {
    /// Merges and flushes whenever there is enough, until the writer is dropped. A failure is logged and
    /// tried again later: the small blocks stay readable, and the writer flushes what it must.
    pub fn run(self) {
        while let Ok(work) = self.work.recv() {
            match work {
                Work::Merge => {
                    self.told.store(false, Ordering::Release);
                    if let Err(error) = self.merge_all() {
                        tracing::warn!(%error, "merging journal blocks failed; will retry");
                    }
                }
                Work::Checkpoint(left) => match self.store.flush() {
                    Ok(()) => left.release(),
                    Err(error) => tracing::warn!(%error, "flushing the store failed; will retry"),
                },
            }
        }
    }

    /// Merges until nothing is left to merge; returns how many merges it took.
    ///
    /// # Errors
    ///
    /// The store failed, or a block is damaged.
    pub fn merge_all(&self) -> Result<usize, QueryError> {
        let mut res = 0;
        loop {
            let _replacing = self.journal.replacing();
            let runs = self.journal.index.unsealed_runs();
            let Some(parts) = runs.iter().flat_map(|run| plan(run)).next() else { return Ok(res) };
            self.merge(parts)?;
            res += 1;
        }
    }

    fn merge(&self, parts: &[Arc<Header>]) -> Result<(), QueryError> {
        let mut merged = Segment::default();
        let mut batch = Batch::default();
        let mut first = None;
        for header in parts {
            let rows = self.journal.rows(header)?.ok_or(QueryError::Damaged(header.first))?;
            let ids = self.journal.ids(header)?;
            merged.merge(&Segment { rows, packed: None, stats: header.stats.clone(), ids });
            for kind in [block::SMALL, block::ROWS, block::HEADER, block::IDS] {
                batch.remove(&block::key(kind, header.first));
            }
            first.get_or_insert(header.first);
        }
        let Some(first) = first else { return Ok(()) };
        let packed = zstd::bulk::compress(&merged.rows, SEALED_LEVEL).ok();
        let rows = block::encode_rows(merged.stats.count, &merged.rows, packed.as_deref());
        let stored_bytes = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let span = u64::from(merged.stats.count);
        let header = Header { first, stored_bytes, small: false, span, stats: merged.stats };
        super::put_block(&mut batch, &header, &rows, &merged.ids);
        self.journal.index.moving();
        let applied = self.journal.table.apply(batch);
        if applied.is_ok() {
            self.journal.index.replace(header);
        }
        self.journal.index.moving();
        Ok(applied?)
    }
}

/// The parts of a run that should become one block each: enough for a sealed one, or a few blocks.
fn plan(run: &[Arc<Header>]) -> impl Iterator<Item = &[Arc<Header>]> {
    let mut rest = run;
    std::iter::from_fn(move || {
        let (mut events, mut bytes, mut n) = (0, 0, 0);
        for it in rest {
            events += it.stats.count as usize;
            bytes += it.stored_bytes as usize;
            if n > 0 && (events > BLOCK_EVENTS || bytes > BLOCK_BYTES) {
                break;
            }
            n += 1;
        }
        let (part, tail) = rest.split_at_checked(n)?;
        rest = tail;
        (n > 0).then_some(part)
    })
    .filter(|part| {
        let events: u32 = part.iter().map(|it| it.stats.count).sum();
        let sealed = is_sealed(&Header {
            first: 0,
            small: false,
            span: u64::from(events),
            stored_bytes: part.iter().map(|it| it.stored_bytes).sum(),
            stats: super::segment::Stats { count: events, ..Default::default() },
        });
        part.len() > 1 && (sealed || part.len() >= FEW_BLOCKS)
    })
}
