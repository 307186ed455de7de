//! Merging blocks in the background.
//!
//! A commit makes a block of whatever arrived since the last one. Small neighbours are joined, a few at
//! first, until they have about a thousand events; so that a trickle of single events is rewritten a
//! bounded number of times. Enough of those, or a day of them, become a sealed block (`seal`). Either is
//! one batch in the store: a crash finds the old blocks or the new.

use super::block;
use super::header::{Form, Header};
use super::seal;
use super::seal::SEALED_EVENTS;
use super::segment::{BLOCK_BYTES, BLOCK_EVENTS, Segment};
use super::{Journal, QueryError};
use crate::store::{Batch, Retired, Store, StoreError};
use crate::telemetry;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

/// Blocks that are joined when they are not enough for a full one.
const FEW_BLOCKS: usize = 64;

/// Bytes of stored blocks that one sealed block is made of at most.
const SEAL_BYTES: usize = 4 << 20;

const JOIN_LEVEL: i32 = 3;

/// Pages that are cleaned after each merge: more than it leaves as garbage.
const SWEEP_PAGES: usize = 64;

/// The store's files may take so much more than what is stored, beside a share of it, before they are
/// cleaned for nothing but that.
const SLACK_BYTES: u64 = 16 << 20;
/// Pages that are cleaned between two looks at the size.
const TIDY_PAGES: usize = 512;
/// Looks without anything gained after which it is as small as it gets.
const TIDY_TRIES: usize = 4;
/// The same slack for a look at what the store has forgotten, which costs less.
const SWEEP_SLACK_BYTES: u64 = 4 << 20;

/// Tells the merger that there is work, at the writer's side.
#[derive(Debug)]
pub(super) struct Trigger {
    sender: Sender<Work>,
    /// Whether the merger knows already that there is something to merge.
    told: Arc<AtomicBool>,
    events: usize,
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
    let trigger = Trigger { sender, told: Arc::clone(&told), events: 0, blocks: 0 };
    (trigger, Merger { journal, store, told, work })
}

impl Trigger {
    /// Called for every commit of so many events.
    pub(super) fn consider(&mut self, events: usize) {
        self.blocks += 1;
        self.events += events;
        let enough = self.blocks >= FEW_BLOCKS / 2 || self.events >= SEALED_EVENTS;
        if enough && !self.told.swap(true, Ordering::AcqRel) {
            (self.blocks, self.events) = (0, 0);
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
    /// Merges and flushes whenever there is enough, until the writer is dropped, at low priority. A
    /// failure is logged and tried again later: the small blocks stay readable, and the writer flushes
    /// what it must.
    pub fn run(self) {
        let (sender, merges) = channel();
        let (journal, told, stopping) = (&self.journal, &self.told, &AtomicBool::new(false));
        let store = &self.store;
        thread::scope(|scope| {
            // Apart from the flushes, which the writer waits for sooner or later.
            scope.spawn(move || {
                telemetry::lower_priority();
                let mut futile = 0;
                for () in merges {
                    told.store(false, Ordering::Release);
                    while !stopping.load(Ordering::Acquire) {
                        match journal
                            .merge_some()
                            .and_then(|it| Ok((it, store.reclaim(SWEEP_PAGES)?)))
                        {
                            Ok((true, ())) => continue,
                            Ok((false, ())) => {}
                            Err(error) => {
                                tracing::warn!(%error, "merging journal blocks failed; will retry");
                                break;
                            }
                        }
                        let stored_bytes = journal.stored_bytes();
                        if let Err(error) = tidy(store, stored_bytes, &mut futile, stopping) {
                            tracing::warn!(%error, "cleaning the store failed; will retry");
                        }
                        break;
                    }
                }
            });
            while let Ok(work) = self.work.recv() {
                match work {
                    Work::Merge => drop(sender.send(())),
                    Work::Checkpoint(left) => match self.store.flush() {
                        Ok(()) => left.release(),
                        Err(error) => {
                            tracing::warn!(%error, "flushing the store failed; will retry");
                        }
                    },
                }
            }
            stopping.store(true, Ordering::Release);
            drop(sender);
        });
    }

    /// Merges until nothing is left to merge; returns how many merges it took.
    ///
    /// # Errors
    ///
    /// The store failed, or a block is damaged.
    pub fn merge_all(&self) -> Result<usize, QueryError> {
        let mut res = 0;
        while self.journal.merge_some()? {
            self.store.reclaim(SWEEP_PAGES)?;
            res += 1;
        }
        Ok(res)
    }
}

/// Cleans the store until its files are not much larger than what is in them, or do not get smaller: a fast
/// import leaves them at the size of what waited to be merged. What they cannot be made smaller than is noted
/// in `futile`, and they are left alone until they are larger by an eighth.
fn tidy(
    store: &Store,
    stored_bytes: u64,
    futile: &mut u64,
    stopping: &AtomicBool,
) -> Result<(), StoreError> {
    let share = stored_bytes + stored_bytes / 4;
    let mut size = store.size_bytes()?;
    if size <= share + SWEEP_SLACK_BYTES || size <= *futile + *futile / 8 {
        return Ok(());
    }
    let mut tries = 0;
    while size > share + SLACK_BYTES && tries < TIDY_TRIES && !stopping.load(Ordering::Acquire) {
        store.reclaim(TIDY_PAGES)?;
        store.flush()?;
        let now = store.size_bytes()?;
        tries = if now < size { 0 } else { tries + 1 };
        size = size.min(now);
    }
    if let Some(bytes) = store.sweep()? {
        tracing::debug!(bytes, "removed files that the store had forgotten");
        *futile = store.size_bytes()?;
    }
    Ok(())
}

/// What to do with neighbours that are not sealed.
#[derive(Debug)]
enum Plan<'r> {
    Seal(&'r [Arc<Header>]),
    Join(&'r [Arc<Header>]),
}

impl Journal {
    /// Does one merge, if there is one to do.
    pub(super) fn merge_some(&self) -> Result<bool, QueryError> {
        let _replacing = self.replacing();
        let headers = self.index.from(0);
        let mut runs = headers.split(|it| it.form == Form::Sealed);
        match runs.find_map(plan) {
            Some(Plan::Seal(parts)) => self.seal(parts)?,
            Some(Plan::Join(parts)) => self.join(parts)?,
            None => return Ok(false),
        }
        Ok(true)
    }

    /// Makes one block of rows of several.
    fn join(&self, parts: &[Arc<Header>]) -> Result<(), QueryError> {
        let mut merged = Segment::default();
        let mut batch = Batch::default();
        let Some(first) = parts.first().map(|it| it.first) else { return Ok(()) };
        for header in parts {
            let damaged = || QueryError::Damaged(header.first);
            let rows = self.rows(header)?.ok_or_else(damaged)?;
            let ids = self.ids(header)?;
            let stats = self.stats(header)?.ok_or_else(damaged)?;
            merged.merge(&Segment { rows, packed: None, stats, ids });
            seal::remove(&mut batch, header);
        }
        let packed = zstd::bulk::compress(&merged.rows, JOIN_LEVEL).ok();
        let rows = block::encode_rows(merged.stats.count, &merged.rows, packed.as_deref());
        let stored_bytes = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        super::put_block(&mut batch, first, &merged.stats, &rows, &merged.ids);
        let header = Header::new(first, Form::Rows, stored_bytes, &merged.stats);
        self.replace(batch, vec![header])
    }
}

/// How many of a run from the first on go into one sealed block, and whether it is full with them.
pub(super) fn for_one_block(run: &[Arc<Header>]) -> (usize, bool) {
    let (mut events, mut bytes, mut n) = (0, 0, 0);
    let mut received = None::<(crate::event::Time, crate::event::Time)>;
    for it in run {
        events += it.count as usize;
        bytes += it.stored_bytes as usize;
        let span = received
            .map_or(it.received, |(from, to)| (from.min(it.received.0), to.max(it.received.1)));
        let fits = events <= SEALED_EVENTS && bytes <= SEAL_BYTES && seal::is_one_day(span);
        if n > 0 && !fits {
            return (n, true);
        }
        received = Some(span);
        n += 1;
    }
    (n, events >= SEALED_EVENTS)
}

/// What is to be done first with a run of neighbours that are not sealed.
fn plan(run: &[Arc<Header>]) -> Option<Plan<'_>> {
    if let (n, true) = for_one_block(run) {
        return run.get(..n).map(Plan::Seal);
    }
    let is_full = |it: &Arc<Header>| {
        it.count as usize >= BLOCK_EVENTS / 2 || it.stored_bytes as usize >= BLOCK_BYTES / 2
    };
    run.split(is_full).flat_map(joins).next().map(Plan::Join)
}

/// The parts of a run that should become one block of rows each: enough for a full one, or a few blocks.
fn joins(run: &[Arc<Header>]) -> impl Iterator<Item = &[Arc<Header>]> {
    let mut rest = run;
    std::iter::from_fn(move || {
        let (mut events, mut bytes, mut n) = (0, 0, 0);
        for it in rest {
            events += it.count as usize;
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
        let events: usize = part.iter().map(|it| it.count as usize).sum();
        let bytes: usize = part.iter().map(|it| it.stored_bytes as usize).sum();
        let full = events >= BLOCK_EVENTS / 2 || bytes >= BLOCK_BYTES / 2;
        part.len() > 1 && (full || part.len() >= FEW_BLOCKS)
    })
}
