//! The headers of all blocks, in memory and in order.

use super::OpenError;
use super::block;
use super::header::{Form, Header, Sealed, SealedPart};
use super::kinds::{Kind, Kinds};
use super::segment::{Pair, Stats};
use crate::store::Table;
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Names that are remembered before those are forgotten that nobody uses.
const MIN_NAMES: usize = 4096;

/// The headers, sorted and without gaps.
#[derive(Debug, Default)]
pub(super) struct Index {
    headers: RwLock<Headers>,
    names: Mutex<Names>,
    kinds: Mutex<Kinds>,
    /// Counts the beginnings and ends of replacements, so that a reader knows that it may have looked for
    /// what was moving. Odd: one is under way.
    moves: AtomicU64,
}

#[derive(Debug, Default)]
struct Headers {
    list: Vec<Arc<Header>>,
    events: u64,
    stored_bytes: u64,
}

/// Equal names share memory.
#[derive(Debug, Default)]
struct Names {
    known: HashSet<Arc<str>>,
    /// How many there were when the unused ones were forgotten last.
    kept: usize,
}

impl Index {
    pub(super) fn load(table: &Table) -> Result<Self, OpenError> {
        let res = Self::default();
        let mut headers = Vec::new();
        for kind in [block::SEALED, block::HEADER, block::SMALL] {
            for entry in table.prefix(&[kind]) {
                let (key, value) = entry?;
                let first = block::first(&key).unwrap_or_default();
                let damaged = |source| OpenError::Damaged { first, source };
                let header = if kind == block::SEALED {
                    let sealed = Sealed::decode(&value, |it| res.name(it)).map_err(damaged)?;
                    let pairs = sealed.parts.iter().map(SealedPart::pairs);
                    pairs.for_each(|it| res.recount(&[], &it));
                    Header::sealed(first, &sealed, value.len())
                } else {
                    let form = if kind == block::SMALL { Form::Small } else { Form::Rows };
                    let (bytes, stats) = match form {
                        Form::Small => block::Small::decode(&value)
                            .and_then(|it| block::decode_stats(it.header, |it| res.name(it))),
                        _ => block::decode_stats(&value, |it| res.name(it)),
                    }
                    .map_err(damaged)?;
                    res.lock_kinds().add(stats.pairs.iter());
                    Header::new(first, form, bytes, &stats)
                };
                headers.push(header);
            }
        }
        headers.sort_by_key(|it| it.first);
        for (header, next) in headers.iter().zip(headers.iter().skip(1)) {
            if header.end() != next.first {
                return Err(OpenError::Gap { expected: header.end(), found: next.first });
            }
        }
        let mut all = res.write();
        for it in headers {
            all.add(&it);
            all.list.push(Arc::new(it));
        }
        drop(all);
        Ok(res)
    }

    /// The same stats with names that share memory with all others.
    pub(super) fn intern(&self, mut stats: Stats) -> Stats {
        for it in &mut stats.pairs {
            it.event_type = self.name(&it.event_type);
            it.source = self.name(&it.source);
        }
        stats
    }

    pub(super) fn name(&self, name: &str) -> Arc<str> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(it) = names.known.get(name) {
            return Arc::clone(it);
        }
        if names.known.len() >= (2 * names.kept).max(MIN_NAMES) {
            names.known.retain(|it| Arc::strong_count(it) > 1);
            names.kept = names.known.len();
        }
        let it: Arc<str> = name.into();
        names.known.insert(Arc::clone(&it));
        it
    }

    /// Adds the newest block, of which `stats` are known.
    pub(super) fn push(&self, header: Header, stats: &Stats) {
        self.lock_kinds().add(stats.pairs.iter());
        let mut headers = self.write();
        headers.add(&header);
        headers.list.push(Arc::new(header));
    }

    /// Replaces the blocks that begin in the range of `header` by it.
    pub(super) fn replace(&self, header: Header) {
        let mut headers = self.write();
        let start = headers.list.partition_point(|it| it.first < header.first);
        let end = headers.list.partition_point(|it| it.first < header.end());
        headers.add(&header);
        let gone: Vec<_> = headers.list.splice(start..end, [Arc::new(header)]).collect();
        gone.iter().for_each(|it| headers.remove(it));
    }

    /// Changes the counts of kinds.
    pub(super) fn recount(&self, less: &[Pair], more: &[Pair]) {
        let mut kinds = self.lock_kinds();
        kinds.remove(less.iter());
        kinds.add(more.iter());
    }

    /// The types and sources of all events.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        self.lock_kinds().list()
    }

    /// To be called before blocks are replaced in the store and here, and again after.
    pub(super) fn moving(&self) {
        self.moves.fetch_add(1, Ordering::AcqRel);
    }

    /// Changes whenever blocks move; odd while they do.
    pub(super) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
    }

    /// Whether blocks moved since [`Self::moves`] said `moves`, or did then.
    pub(super) fn has_moved(&self, moves: u64) -> bool {
        !moves.is_multiple_of(2) || self.moves() != moves
    }

    /// The blocks with events at or after `seq`, oldest first.
    pub(super) fn from(&self, seq: u64) -> Vec<Arc<Header>> {
        let headers = self.read();
        let start = headers.list.partition_point(|it| it.end() <= seq);
        headers.list.get(start..).unwrap_or_default().to_vec()
    }

    /// The block with the first event at or after `seq`.
    pub(super) fn at_or_after(&self, seq: u64) -> Option<Arc<Header>> {
        let headers = self.read();
        headers.list.get(headers.list.partition_point(|it| it.end() <= seq)).cloned()
    }

    /// The block with the last event before `seq`.
    pub(super) fn before(&self, seq: u64) -> Option<Arc<Header>> {
        let headers = self.read();
        let end = headers.list.partition_point(|it| it.first < seq);
        headers.list.get(end.checked_sub(1)?).cloned()
    }

    pub(super) fn end(&self) -> u64 {
        self.read().list.last().map_or(1, |it| it.end())
    }

    pub(super) fn events(&self) -> u64 {
        self.read().events
    }

    pub(super) fn stored_bytes(&self) -> u64 {
        self.read().stored_bytes
    }

    /// Blocks: in all, and sealed ones.
    pub(super) fn blocks(&self) -> (usize, usize) {
        let headers = self.read();
        let sealed = headers.list.iter().filter(|it| it.form == Form::Sealed).count();
        (headers.list.len(), sealed)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Headers> {
        self.headers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Headers> {
        self.headers.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_kinds(&self) -> MutexGuard<'_, Kinds> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Headers {
    fn add(&mut self, header: &Header) {
        self.events += u64::from(header.count);
        self.stored_bytes += u64::from(header.stored_bytes);
    }

    fn remove(&mut self, header: &Header) {
        self.events = self.events.saturating_sub(u64::from(header.count));
        self.stored_bytes = self.stored_bytes.saturating_sub(u64::from(header.stored_bytes));
    }
}
