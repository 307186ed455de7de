//! Forgetting: what is too old or too much is deleted, block by block.

use super::Journal;
use super::block;
use super::block::Header;
use super::forgotten::Forgotten;
use super::query::QueryError;
use super::segment::Stats;
use crate::event::Time;
use crate::selector::Glob;
use crate::store::Batch;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Blocks that one batch of the store deletes at most.
const BATCH_BLOCKS: usize = 64;

/// How long events are kept, and how many.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// Ages by type; the first class that has a type counts.
    pub classes: Vec<Class>,
    /// The age of the types that are in no class; `None`: they are kept.
    pub default_age: Option<Duration>,
    /// Bytes that stored blocks may take, oldest deleted first; `None`: no bound. The store's files are
    /// larger, as space is given back for reuse and not to the system.
    pub max_bytes: Option<u64>,
}

/// Types that are kept equally long.
#[derive(Clone, Debug)]
pub struct Class {
    /// The types, of which one glob must match.
    pub types: Vec<Glob>,
    /// How old an event becomes, by its own time; `None`: it is kept.
    pub max_age: Option<Duration>,
}

/// What was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Events.
    pub events: u64,
    /// Blocks, whole or in part.
    pub blocks: u64,
    /// Stored bytes.
    pub bytes: u64,
    /// Events by type.
    pub types: BTreeMap<Arc<str>, u64>,
}

impl Retention {
    /// The time before which events of this type are too old.
    fn horizon(&self, event_type: &str, now: Time) -> Option<Time> {
        let has = |class: &&Class| class.types.iter().any(|it| it.matches(event_type));
        let age = self.classes.iter().find(has).map_or(self.default_age, |it| it.max_age);
        age.map(|it| now.saturating_sub(it))
    }

    /// Whether all events of the block are too old.
    fn forgets(&self, header: &Header, now: Time) -> bool {
        let old = |event_type: &str| {
            self.horizon(event_type, now).is_some_and(|it| header.stats.time.1 < it)
        };
        header.stats.pairs.iter().all(|it| old(&it.event_type))
    }
}

impl Journal {
    /// Deletes what `retention` says is too old or too much, in steps that neither writers nor readers
    /// wait for. Nothing is deleted at or after sequence number `keep_from`, nor from a block that
    /// reaches there. A block goes when all of its events may go, so some live a little longer.
    ///
    /// Ids of the dedup window are still known, also after a restart. Sequence numbers keep their meaning; a part that is gone is remembered as empty.
    ///
    /// # Errors
    ///
    /// The store cannot be read or written. What was deleted before stays deleted.
    pub fn prune(
        &self,
        retention: &Retention,
        now: Time,
        keep_from: u64,
    ) -> Result<Pruned, QueryError> {
        let mut res = Pruned::default();
        let since = now.saturating_sub(self.window);
        self.drop_forgotten(since)?;
        let old = |it: &Header| it.end() <= keep_from && retention.forgets(it, now);
        while self.delete(&old, since, &mut res)? {}
        if let Some(max) = retention.max_bytes {
            let mut excess = self.index.stored_bytes().saturating_sub(max);
            let mut until = 0;
            for it in self.index.from(0).iter().take_while(|it| it.end() <= keep_from) {
                if excess == 0 {
                    break;
                }
                excess = excess.saturating_sub(u64::from(it.stored_bytes));
                until = it.end();
            }
            while self.delete(&|it| it.end() <= until, since, &mut res)? {}
        }
        Ok(res)
    }

    /// Deletes some of the blocks that are `unwanted`, but not the ids that arrived at or after `since`; whether there may be more.
    fn delete(
        &self,
        unwanted: &dyn Fn(&Header) -> bool,
        since: Time,
        pruned: &mut Pruned,
    ) -> Result<bool, QueryError> {
        let _replacing = self.replacing();
        let some = |it: &Arc<Header>| it.stats.count > 0 && unwanted(it);
        let headers = self.index.from(0);
        let gone: Vec<_> = headers.iter().filter(|it| some(it)).take(BATCH_BLOCKS).collect();
        let mut batch = Batch::default();
        let mut empty = Vec::new();
        let mut ids = Forgotten::default();
        for header in &gone {
            if header.stats.received.1 >= since {
                self.forget_ids(&mut ids, header.first..header.end(), since)?;
            }
            for kind in [block::SMALL, block::ROWS, block::HEADER, block::IDS] {
                batch.remove(&block::key(kind, header.first));
            }
            let span = header.span;
            let it = Header {
                first: header.first,
                stored_bytes: 0,
                small: false,
                span,
                stats: Stats::default(),
            };
            batch.put(&block::key(block::EMPTY, it.first), &it.encode());
            empty.push(it);
        }
        let Some(first) = gone.first() else { return Ok(false) };
        ids.put(&mut batch, first.first);
        self.index.moving();
        let applied = self.table.apply(batch);
        if applied.is_ok() {
            empty.into_iter().for_each(|it| self.index.replace(it));
        }
        self.index.moving();
        applied?;
        pruned.blocks += gone.len() as u64;
        pruned.events += gone.iter().map(|it| u64::from(it.stats.count)).sum::<u64>();
        pruned.bytes += gone.iter().map(|it| u64::from(it.stored_bytes)).sum::<u64>();
        for it in gone.iter().flat_map(|it| &it.stats.pairs) {
            *pruned.types.entry(Arc::clone(&it.event_type)).or_default() += u64::from(it.count);
        }
        Ok(gone.len() == BATCH_BLOCKS)
    }
}
