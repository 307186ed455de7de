//! Forgetting a part of a chunk: what of it is too old goes, and the rest is written anew.

use super::block;
use super::chunk;
use super::forgotten::Forgotten;
use super::header::{Form, Header, Part, Sealed, SealedPart, Sources};
use super::pack::{Packer, Unpacker};
use super::prune::{Pruned, Retention};
use super::query::QueryError;
use super::seal::LEVEL;
use super::segment::Pair;
use super::{Journal, block::into_owned};
use crate::event::{Event, EventId, Time};
use crate::store::{Batch, StoreError};
use std::sync::Arc;

/// What is too old, and which ids are to be remembered all the same.
#[derive(Clone, Copy)]
pub(super) struct Trim<'r> {
    pub(super) retention: &'r Retention,
    pub(super) now: Time,
    pub(super) since: Time,
}

/// Events with their positions in the block.
type Members = Vec<(u32, Event<'static>)>;

impl Trim<'_> {
    /// Whether some of the events of `part` are so long overdue that it is written anew.
    pub(super) fn cuts(&self, part: &Part) -> bool {
        let horizon = self.retention.latest_horizon(&part.event_type, self.now);
        horizon.is_some_and(|it| part.time.0 < it.saturating_sub(self.retention.patience))
    }

    fn keeps(&self, event: &Event<'_>) -> bool {
        self.retention.horizon(&event.event_type, self.now).is_none_or(|it| event.time >= it)
    }
}

impl Journal {
    /// Takes what is too old out of the chunks that also have what is not. One block after the other: a
    /// merge may go on in between.
    pub(super) fn trim(
        &self,
        trim: Trim<'_>,
        keep_from: u64,
        pruned: &mut Pruned,
    ) -> Result<(), QueryError> {
        let wanted = |it: &Header| {
            it.form == Form::Sealed
                && it.end() <= keep_from
                && it.parts.iter().any(|it| trim.cuts(it))
        };
        for it in self.index.from(0).iter().filter(|it| wanted(it)) {
            let _replacing = self.replacing();
            // It may have changed since.
            let header = self.index.at_or_after(it.first);
            if let Some(header) = header.filter(|it| wanted(it)) {
                self.trim_block(trim, &header, pruned)?;
            }
        }
        Ok(())
    }

    fn trim_block(
        &self,
        trim: Trim<'_>,
        header: &Arc<Header>,
        pruned: &mut Pruned,
    ) -> Result<(), QueryError> {
        let damaged = || QueryError::Damaged(header.first);
        let value = self.table.get(&block::key(block::SEALED, header.first))?;
        let sealed = value.and_then(|it| Sealed::decode(&it, |it| self.index.name(it)).ok());
        let mut sealed = sealed.ok_or_else(damaged)?;
        // Numbers that the block does not use, also not for what a crash may have left.
        let mut keys = self.table.prefix(&block::key(block::CHUNK, header.first));
        let mut number = match keys.next_back().transpose()? {
            Some((key, _)) => block::chunk_number(&key).ok_or_else(damaged)?,
            None => 0,
        };
        let (mut batch, mut ids) = (Batch::default(), Forgotten::default());
        let (mut less, mut deleted) = (Vec::new(), Pruned::default());
        let mut parts = Vec::new();
        for it in std::mem::take(&mut sealed.parts) {
            if !trim.cuts(&it.part) {
                parts.push(it);
                continue;
            }
            let (kept, gone) = self.divide(trim, header, &it.part)?;
            if gone.is_empty() {
                parts.push(it);
                continue;
            }
            less.extend(self.pairs(&it.part.event_type, &gone));
            for (_, event) in &gone {
                if let EventId::Given(id) = &event.id
                    && event.received >= trim.since
                {
                    ids.add(event.received, self.key.identity(&event.source, id));
                }
                *deleted.types.entry(self.index.name(&event.event_type)).or_default() += 1;
            }
            deleted.events += gone.len() as u64;
            batch.remove(&block::chunk_key(header.first, it.part.chunk));
            if !kept.is_empty() {
                number = number.checked_add(1).ok_or_else(damaged)?;
                let (part, value) = self.chunk_of(number, &it.part.event_type, &kept)?;
                // Nobody looks for it before the header says that it is there.
                self.table.put(&block::chunk_key(header.first, number), &value)?;
                parts.push(part);
            }
        }
        if deleted.events == 0 {
            return Ok(());
        }
        self.note_deleted(&mut batch, deleted.types.keys(), header.end())?;
        sealed.parts = parts;
        if sealed.parts.is_empty() {
            batch.remove(&block::key(block::FILTER, header.first));
            sealed = Sealed::empty(header.span);
        }
        let value = sealed.encode();
        batch.put(&block::key(block::SEALED, header.first), &value);
        ids.put(&mut batch, header.first);
        let new = Header::sealed(header.first, &sealed, value.len());
        deleted.bytes = u64::from(header.stored_bytes.saturating_sub(new.stored_bytes));
        deleted.blocks = 1;
        self.replace(batch, vec![new])?;
        self.index.recount(&less, &[]);
        pruned.add(deleted);
        Ok(())
    }

    /// The events of a chunk that stay, and those that go.
    fn divide(
        &self,
        trim: Trim<'_>,
        header: &Header,
        part: &Part,
    ) -> Result<(Members, Members), QueryError> {
        let damaged = |_| QueryError::Damaged(header.first);
        let chunk = self.chunk(header, part)?.ok_or(QueryError::Damaged(header.first))?;
        let mut unpacker = Unpacker::new();
        let mut scratch = chunk::Scratch::default();
        let events = chunk.events(&mut unpacker).map_err(damaged)?;
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for i in 0..chunk.len() {
            let event = events.get(i, &mut scratch).map_err(damaged)?;
            let position = events.positions.get(i).and_then(|it| u32::try_from(*it).ok());
            let position = position.ok_or(QueryError::Damaged(header.first))?;
            let side = if trim.keeps(&event) { &mut kept } else { &mut gone };
            side.push((position, into_owned(event)));
        }
        Ok((kept, gone))
    }

    /// A chunk, and what its block says of it.
    pub(super) fn chunk_of(
        &self,
        number: u16,
        event_type: &Arc<str>,
        events: &[(u32, Event<'_>)],
    ) -> Result<(SealedPart, Vec<u8>), QueryError> {
        let mut packer = Packer::new(LEVEL).map_err(StoreError::from)?;
        let value = chunk::encode(event_type, events, &mut packer);
        Ok((self.part_of(number, event_type, events, value.len()), value))
    }

    /// What a block says of a chunk that takes so many bytes.
    pub(super) fn part_of(
        &self,
        number: u16,
        event_type: &Arc<str>,
        events: &[(u32, Event<'_>)],
        stored_bytes: usize,
    ) -> SealedPart {
        let times = || events.iter().map(|(_, it)| it.time);
        let time = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
        let pairs: Vec<Pair> = self.pairs(event_type, events);
        let mut sources = Sources::default();
        pairs.iter().for_each(|it| sources.insert(&it.source));
        let part = Part {
            event_type: Arc::clone(event_type),
            chunk: number,
            count: u32::try_from(events.len()).unwrap_or(u32::MAX),
            stored_bytes: u32::try_from(stored_bytes).unwrap_or(u32::MAX),
            time,
            hours: Part::hours_of(times()),
            sources,
        };
        SealedPart { part, sources: pairs.into_iter().map(|it| (it.source, it.count)).collect() }
    }
}
