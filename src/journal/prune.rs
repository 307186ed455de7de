//! Forgetting: what is too old or too much is deleted, chunk by chunk.

use super::Journal;
use super::block;
use super::forgotten::Forgotten;
use super::header::{Form, Header, Part, Sealed};
use super::merge;
use super::query::QueryError;
use super::seal;
use super::segment::Pair;
use super::trim::Trim;
use crate::event::Time;
use crate::selector::Glob;
use crate::store::Batch;
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// Keys that one batch of the store deletes, about: commits wait for it.
const BATCH_KEYS: usize = 64;

/// How long events are kept, and how many.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// Ages by type; the first class that has a type counts.
    pub classes: Vec<Class>,
    /// The age of the types that are in no class; `None`: they are kept.
    pub default_age: Option<Duration>,
    /// An event that is alone in its chunk with others that are not too old may live so much longer, so
    /// that a chunk is not written anew for every few of them. Default none.
    pub patience: Duration,
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

impl Pruned {
    pub(super) fn add(&mut self, other: Self) {
        self.events += other.events;
        self.blocks += other.blocks;
        self.bytes += other.bytes;
        for (event_type, events) in other.types {
            *self.types.entry(event_type).or_default() += events;
        }
    }
}

impl Retention {
    /// The time before which events of this type are too old. The type is empty for a chunk of several:
    /// it is kept as long as any type may be.
    pub(super) fn horizon(&self, event_type: &str, now: Time) -> Option<Time> {
        let age = if event_type.is_empty() {
            let ages = self.classes.iter().map(|it| it.max_age).chain([self.default_age]);
            ages.reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b))).flatten()
        } else {
            let has = |class: &&Class| class.types.iter().any(|it| it.matches(event_type));
            self.classes.iter().find(has).map_or(self.default_age, |it| it.max_age)
        };
        age.map(|it| now.saturating_sub(it))
    }

    /// The latest time before which an event of a part is too old. A part of many types, which has no name,
    /// may have any.
    pub(super) fn latest_horizon(&self, event_type: &str, now: Time) -> Option<Time> {
        match event_type {
            "" => self.ages().flatten().min().map(|it| now.saturating_sub(it)),
            it => self.horizon(it, now),
        }
    }

    fn ages(&self) -> impl Iterator<Item = Option<Duration>> {
        self.classes.iter().map(|it| it.max_age).chain([self.default_age])
    }

    /// Whether all events of a part are too old.
    fn forgets(&self, part: &Part, now: Time) -> bool {
        let horizon = match part.event_type.as_ref() {
            // It may have any type: the oldest age counts, if there is one for all.
            "" => {
                let ages = self.ages().collect::<Option<Vec<_>>>();
                ages.and_then(|it| it.into_iter().max()).map(|it| now.saturating_sub(it))
            }
            it => self.horizon(it, now),
        };
        horizon.is_some_and(|it| part.time.1 < it)
    }
}

/// A block of which some parts go.
struct Goner {
    header: Arc<Header>,
    /// The numbers of the chunks that go; of a block that is not sealed all parts go.
    chunks: HashSet<u16>,
    all: bool,
}

impl Journal {
    /// Deletes what `retention` says is too old or too much, in steps that neither writers nor readers
    /// wait for. Nothing is deleted at or after sequence number `keep_from`, nor from a block that
    /// reaches there.
    ///
    /// Ids of the dedup window are still known, also after a restart. Sequence numbers keep their meaning;
    /// a block that is gone is remembered as empty.
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
        let trim = Trim { retention, now, since };
        self.drop_forgotten(since)?;
        self.seal_for(trim, keep_from)?;
        let old = |header: &Header, part: &Part| {
            header.end() <= keep_from && retention.forgets(part, now)
        };
        while self.delete(&old, since, &mut res)? {}
        self.trim(trim, keep_from, &mut res)?;
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
            while self.delete(&|it, _| it.end() <= until, since, &mut res)? {}
        }
        Ok(res)
    }

    /// Seals the blocks of which some events are too old and others not: only then can they go alone.
    fn seal_for(&self, trim: Trim<'_>, keep_from: u64) -> Result<(), QueryError> {
        let forgets = |it: &Part| trim.retention.forgets(it, trim.now);
        loop {
            let _replacing = self.replacing();
            let headers = self.index.from(0);
            let in_part = |it: &Arc<Header>| {
                let old = it.parts.iter().filter(|it| forgets(it)).count();
                old < it.parts.len() && (old > 0 || it.parts.iter().any(|it| trim.cuts(it)))
            };
            let apart = |it: &Arc<Header>| it.form == Form::Sealed || it.end() > keep_from;
            let Some(run) = headers.split(apart).find(|run| run.iter().any(in_part)) else {
                return Ok(());
            };
            let (n, _) = merge::for_one_block(run);
            self.seal(run.get(..n).unwrap_or(run))?;
        }
    }

    /// Deletes some of the parts that are `unwanted`, but not the ids that arrived at or after `since`; whether
    /// there may be more.
    fn delete(
        &self,
        unwanted: &dyn Fn(&Header, &Part) -> bool,
        since: Time,
        pruned: &mut Pruned,
    ) -> Result<bool, QueryError> {
        let _replacing = self.replacing();
        let headers = self.index.from(0);
        let mut keys = 0;
        let mut more = false;
        let mut goners = Vec::new();
        for header in headers.iter().filter(|it| it.count > 0) {
            let parts = header.parts.iter().filter(|it| unwanted(header, it));
            let chunks: HashSet<_> = parts.clone().map(|it| it.chunk).collect();
            let n = parts.count();
            let all = n == header.parts.len();
            if n == 0 || !(all || header.form == Form::Sealed) {
                continue;
            }
            if keys >= BATCH_KEYS {
                more = true;
                break;
            }
            keys += n + 2;
            goners.push(Goner { header: Arc::clone(header), chunks, all });
        }
        if goners.is_empty() {
            return Ok(false);
        }
        let mut batch = Batch::default();
        let mut ids = Forgotten::default();
        let mut of_types = self.deleted()?;
        let mut replaced = Vec::new();
        let mut gone: Vec<Pair> = Vec::new();
        let mut deleted = Pruned::default();
        for it in goners {
            if it.header.received.1 >= since {
                self.forget_ids(&mut ids, &it.header, &it.chunks)?;
            }
            let (sealed, pairs) = self.without(&it, &mut batch)?;
            of_types.note(&pairs, it.header.end());
            gone.extend(pairs);
            let value = sealed.encode();
            let header = Header::sealed(it.header.first, &sealed, value.len());
            deleted.blocks += 1;
            deleted.events += u64::from(it.header.count - header.count.min(it.header.count));
            deleted.bytes += u64::from(it.header.stored_bytes.saturating_sub(header.stored_bytes));
            batch.put(&block::key(block::SEALED, header.first), &value);
            replaced.push(header);
        }
        if let Some(it) = replaced.first() {
            ids.put(&mut batch, it.first);
        }
        of_types.put(&mut batch);
        for it in &gone {
            *deleted.types.entry(Arc::clone(&it.event_type)).or_default() += u64::from(it.count);
        }
        join_empty(&mut replaced, &headers, &mut batch);
        self.replace(batch, replaced)?;
        self.index.recount(&gone, &[]);
        pruned.add(deleted);
        Ok(more)
    }

    /// Removes what goes of a block. Returns its new header, and what is not there any more.
    fn without(&self, goner: &Goner, batch: &mut Batch) -> Result<(Sealed, Vec<Pair>), QueryError> {
        let header = &goner.header;
        let damaged = || QueryError::Damaged(header.first);
        if header.form != Form::Sealed {
            seal::remove(batch, header);
            // What cannot be read goes too: it is not worth keeping for the count of its kinds.
            let stats = self.stats(header).ok().flatten().unwrap_or_default();
            return Ok((Sealed::empty(header.span), stats.pairs));
        }
        let value = self.table.get(&block::key(block::SEALED, header.first))?;
        let sealed = value.and_then(|it| Sealed::decode(&it, |it| self.index.name(it)).ok());
        let mut sealed = sealed.ok_or_else(damaged)?;
        let mut gone = Vec::new();
        sealed.parts.retain(|it| {
            let goes = goner.chunks.contains(&it.part.chunk);
            if goes {
                gone.extend(it.pairs());
                batch.remove(&block::chunk_key(header.first, it.part.chunk));
            }
            !goes
        });
        if goner.all {
            batch.remove(&block::key(block::FILTER, header.first));
            sealed = Sealed::empty(header.span);
        }
        Ok((sealed, gone))
    }
}

/// Makes one empty header of empty neighbours, among those that are replaced and those that are there.
fn join_empty(replaced: &mut Vec<Header>, headers: &[Arc<Header>], batch: &mut Batch) {
    let mut res: Vec<Header> = Vec::new();
    let place = |first: u64| headers.partition_point(|it| it.first < first);
    for mut it in replaced.drain(..) {
        if it.count > 0 {
            res.push(it);
            continue;
        }
        let mut grown = false;
        let before = place(it.first).checked_sub(1).and_then(|at| headers.get(at));
        if let Some(last) = res.last().filter(|last| last.count == 0 && last.end() == it.first) {
            batch.remove(&block::key(block::SEALED, it.first));
            (it.span, it.first, grown) = (it.span + last.span, last.first, true);
            res.pop();
        } else if let Some(empty) = before.filter(|before| before.count == 0) {
            batch.remove(&block::key(block::SEALED, it.first));
            (it.span, it.first, grown) = (it.span + empty.span, empty.first, true);
        }
        let after = headers.get(place(it.end()));
        if let Some(empty) = after.filter(|after| after.count == 0 && after.first == it.end()) {
            batch.remove(&block::key(block::SEALED, empty.first));
            (it.span, grown) = (it.span + empty.span, true);
        }
        if grown {
            let value = Sealed::empty(it.span).encode();
            batch.put(&block::key(block::SEALED, it.first), &value);
        }
        res.push(it);
    }
    *replaced = res;
}
