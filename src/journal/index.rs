//! The headers of all blocks, in memory and in order.

use super::OpenError;
use super::block;
use super::block::Header;
use super::segment::{BLOCK_BYTES, BLOCK_EVENTS, Stats};
use crate::store::Table;
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// A block of at least so many events, or half the bytes of a full one, is not merged further.
const SEALED_EVENTS: usize = BLOCK_EVENTS / 2;

/// The headers, sorted and without gaps.
#[derive(Debug, Default)]
pub(super) struct Index {
    headers: RwLock<Vec<Arc<Header>>>,
    names: Mutex<HashSet<Arc<str>>>,
    /// Counts the beginnings and ends of replacements, so that a reader knows that it may have looked for
    /// what was moving. Odd: one is under way.
    moves: AtomicU64,
}

pub(super) fn is_sealed(header: &Header) -> bool {
    header.stats.count == 0
        || header.stats.count as usize >= SEALED_EVENTS
        || header.stored_bytes as usize >= BLOCK_BYTES / 2
}

impl Index {
    pub(super) fn load(table: &Table) -> Result<Self, OpenError> {
        let res = Self::default();
        let mut headers = Vec::new();
        for entry in
            [block::HEADER, block::SMALL, block::EMPTY].iter().flat_map(|it| table.prefix(&[*it]))
        {
            let (key, value) = entry?;
            let first = block::first(&key).unwrap_or_default();
            let small = key.first() == Some(&block::SMALL);
            let header = match small {
                true => block::Small::decode(&value)
                    .and_then(|it| Header::decode(first, it.header, |it| res.name(it))),
                false => Header::decode(first, &value, |it| res.name(it)),
            };
            let header = header.map_err(|source| OpenError::Damaged { first, source })?;
            headers.push(Header { small, ..header });
        }
        headers.sort_by_key(|it| it.first);
        for (header, next) in headers.iter().zip(headers.iter().skip(1)) {
            if header.end() != next.first {
                return Err(OpenError::Gap { expected: header.end(), found: next.first });
            }
        }
        *res.write() = headers.into_iter().map(Arc::new).collect();
        Ok(res)
    }

    /// The same stats with names that share memory with all others.
    pub(super) fn intern(&self, mut stats: Stats) -> Stats {
        for it in &mut stats.pairs {
            it.event_type = self.name(&it.event_type);
            it.source = self.name(&it.source);
        }
        stats.pairs.shrink_to_fit();
        stats
    }

    pub(super) fn name(&self, name: &str) -> Arc<str> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(it) = names.get(name) {
            return Arc::clone(it);
        }
        let it: Arc<str> = name.into();
        names.insert(Arc::clone(&it));
        it
    }

    pub(super) fn push(&self, header: Header) {
        self.write().push(Arc::new(header));
    }

    /// Replaces the blocks that begin in the range of `merged` by it.
    pub(super) fn replace(&self, merged: Header) {
        let mut headers = self.write();
        let start = headers.partition_point(|it| it.first < merged.first);
        let end = headers.partition_point(|it| it.first < merged.end());
        headers.splice(start..end, [Arc::new(merged)]);
    }

    /// To be called before blocks are replaced in the store and here, and again after.
    pub(super) fn moving(&self) {
        self.moves.fetch_add(1, Ordering::AcqRel);
    }

    /// Changes whenever blocks move; odd while they do.
    pub(super) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
    }

    /// The blocks with events at or after `seq`, oldest first.
    pub(super) fn from(&self, seq: u64) -> Vec<Arc<Header>> {
        let headers = self.read();
        let start = headers.partition_point(|it| it.end() <= seq);
        headers.get(start..).unwrap_or_default().to_vec()
    }

    /// The block with the first event at or after `seq`.
    pub(super) fn at_or_after(&self, seq: u64) -> Option<Arc<Header>> {
        let headers = self.read();
        headers.get(headers.partition_point(|it| it.end() <= seq)).cloned()
    }

    /// The block with the last event before `seq`.
    pub(super) fn before(&self, seq: u64) -> Option<Arc<Header>> {
        let headers = self.read();
        let end = headers.partition_point(|it| it.first < seq);
        headers.get(end.checked_sub(1)?).cloned()
    }

    /// The runs of neighbours that are not sealed, oldest first.
    pub(super) fn unsealed_runs(&self) -> Vec<Vec<Arc<Header>>> {
        let headers = self.read();
        headers
            .split(|it| is_sealed(it))
            .filter(|run| run.len() > 1)
            .map(<[Arc<Header>]>::to_vec)
            .collect()
    }

    pub(super) fn end(&self) -> u64 {
        self.read().last().map_or(1, |it| it.end())
    }

    pub(super) fn events(&self) -> u64 {
        self.read().iter().map(|it| u64::from(it.stats.count)).sum()
    }

    pub(super) fn stored_bytes(&self) -> u64 {
        self.read().iter().map(|it| u64::from(it.stored_bytes)).sum()
    }

    pub(super) fn blocks(&self) -> (usize, usize) {
        let headers = self.read();
        (headers.len(), headers.iter().filter(|it| is_sealed(it)).count())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Vec<Arc<Header>>> {
        self.headers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Vec<Arc<Header>>> {
        self.headers.write().unwrap_or_else(PoisonError::into_inner)
    }
}
