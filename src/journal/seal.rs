//! Making a sealed block: a chunk for each type.

use super::block;
use super::chunk;
use super::header::{Form, Header, MAX_PARTS, Sealed, SealedPart};
use super::ids;
use super::pack::Packer;
use super::query::QueryError;
use super::segment::Pair;
use super::{Journal, segment};
use crate::event::{Event, EventId, Time};
use crate::store::Batch;
use hashbrown::HashMap;
use std::sync::Arc;

/// Sealed blocks are written once and read often.
pub(super) const LEVEL: i32 = 3;

/// Events of one sealed block at most, and bytes of their rows after which it is closed.
pub(super) const SEALED_EVENTS: usize = 8000;
pub(super) const SEALED_BYTES: usize = 2 << 20;

/// Bytes of one chunk. sled keeps a value of an eighth of a megabyte and more in a file of its own, and never
/// deletes that file.
const CHUNK_BYTES: usize = 120 << 10;

/// The events of a chunk with their positions in the block.
pub(super) type Members<'e> = Vec<(u32, Event<'e>)>;

/// Which sequence numbers a block covers, and when their events arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) span: u64,
    pub(super) received: (Time, Time),
}

impl Journal {
    /// Replaces neighbours that are not sealed by a sealed block: all of `parts`, or as many from the
    /// first on as are enough. To be called by whoever holds the right to replace blocks.
    pub(super) fn seal(&self, parts: &[Arc<Header>]) -> Result<(), QueryError> {
        let Some(first) = parts.first().map(|it| it.first) else { return Ok(()) };
        let (mut rows, mut size, mut span) = (Vec::new(), 0, 0);
        for header in parts {
            if size >= SEALED_BYTES {
                break;
            }
            let found = self.rows(header)?.ok_or(QueryError::Damaged(header.first))?;
            size += found.len();
            span = header.end() - first;
            rows.push((header, found));
        }
        let mut by_type = HashMap::<Arc<str>, Members<'_>>::new();
        let mut hashes = Vec::new();
        for (header, rows) in &rows {
            for (seq, event) in (header.first..).zip(segment::events(rows)) {
                let event = event.map_err(|_| QueryError::Damaged(header.first))?;
                if let EventId::Given(id) = &event.id {
                    hashes.push(self.key.hash(id));
                }
                let position = u32::try_from(seq - first).unwrap_or(u32::MAX);
                if let Some(it) = by_type.get_mut(event.event_type.as_ref()) {
                    it.push((position, event));
                } else {
                    by_type.insert(self.index.name(&event.event_type), vec![(position, event)]);
                }
            }
        }
        let received = rows.iter().map(|(it, _)| it.received);
        let received = received.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let mut batch = Batch::default();
        for (header, _) in &rows {
            remove(&mut batch, header);
        }
        let run = Run { first, span, received: received.unwrap_or_default() };
        let (was, is) = self.write_sealed(run, by_type, &hashes, batch)?;
        self.index.recount(&was, &is);
        Ok(())
    }

    /// Writes a sealed block; `batch` removes what it replaces. Returns how the counts of kinds change
    /// because rare types are put together.
    pub(super) fn write_sealed(
        &self,
        run: Run,
        by_type: HashMap<Arc<str>, Members<'_>>,
        hashes: &[u64],
        mut batch: Batch,
    ) -> Result<(Vec<Pair>, Vec<Pair>), QueryError> {
        let Run { first, span, received } = run;
        let (chunks, moved) = self.chunks(by_type)?;
        let mut sealed = Sealed { received, ..Sealed::empty(span) };
        // What a crash in an earlier attempt may have left.
        for entry in self.table.prefix(&block::key(block::CHUNK, first)) {
            self.table.remove(&entry?.0)?;
        }
        // Nobody looks for the chunks before the header says that they are there: so they are written
        // one by one, and a commit waits for none but the one that is being written.
        for (part, value) in chunks {
            self.table.put(&block::chunk_key(first, part.part.chunk), &value)?;
            sealed.parts.push(part);
        }
        let value = sealed.encode();
        let filter = ids::encode(hashes);
        let header_bytes = value.len() + filter.as_ref().map_or(0, Vec::len);
        batch.put(&block::key(block::SEALED, first), &value);
        if let Some(it) = filter {
            batch.put(&block::key(block::FILTER, first), &it);
        }
        self.replace(batch, vec![Header::sealed(first, &sealed, header_bytes)])?;
        Ok(moved)
    }

    /// Applies `batch` to the store and puts `headers` in the place of what they replace.
    pub(super) fn replace(&self, batch: Batch, headers: Vec<Header>) -> Result<(), QueryError> {
        self.index.moving();
        let applied = self.table.apply(batch);
        if applied.is_ok() {
            headers.into_iter().for_each(|it| self.index.replace(it));
        }
        self.index.moving();
        Ok(applied?)
    }

    /// The chunks of a block, and how the counts of kinds change because rare types are put together.
    #[expect(clippy::type_complexity, reason = "two lists that belong together")]
    fn chunks(
        &self,
        by_type: HashMap<Arc<str>, Members<'_>>,
    ) -> Result<(Vec<(SealedPart, Vec<u8>)>, (Vec<Pair>, Vec<Pair>)), QueryError> {
        let mut groups: Vec<_> = by_type.into_iter().collect();
        groups.sort_by(|(a, of_a), (b, of_b)| of_b.len().cmp(&of_a.len()).then(a.cmp(b)));
        let rare = groups.split_off(groups.len().min(MAX_PARTS - 1));
        let mut moved = (Vec::new(), Vec::new());
        if rare.len() == 1 {
            groups.extend(rare);
        } else if !rare.is_empty() {
            moved.0 = rare.iter().flat_map(|(it, of)| self.pairs(it, of)).collect();
            let mut mixed: Members<'_> = rare.into_iter().flat_map(|(_, it)| it).collect();
            mixed.sort_unstable_by_key(|(position, _)| *position);
            let name = self.index.name("");
            moved.1 = self.pairs(&name, &mixed);
            groups.push((name, mixed));
        }
        let mut packer = Packer::new(LEVEL).map_err(crate::store::StoreError::from)?;
        let mut res = Vec::new();
        // What is too large for one chunk is divided until it is not.
        let mut todo: Vec<_> = groups.into_iter().rev().collect();
        while let Some((event_type, mut events)) = todo.pop() {
            let value = chunk::encode(&event_type, &events, &mut packer);
            if value.len() > CHUNK_BYTES && events.len() > 1 {
                let rest = events.split_off(events.len() / 2);
                todo.extend([(Arc::clone(&event_type), rest), (event_type, events)]);
                continue;
            }
            let number = u16::try_from(res.len()).unwrap_or(u16::MAX);
            res.push((self.part_of(number, &event_type, &events, value.len()), value));
        }
        Ok((res, moved))
    }

    /// How many of `events` came from each source, under the name of `event_type`.
    pub(super) fn pairs(&self, event_type: &Arc<str>, events: &[(u32, Event<'_>)]) -> Vec<Pair> {
        let mut counts = HashMap::<&str, u32>::new();
        for (_, it) in events {
            *counts.entry(it.source.as_ref()).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_unstable();
        let pair = |(source, count)| Pair {
            event_type: Arc::clone(event_type),
            source: self.index.name(source),
            count,
        };
        counts.into_iter().map(pair).collect()
    }
}

/// Removes a block that is not sealed.
pub(super) fn remove(batch: &mut Batch, header: &Header) {
    let kinds: &[u8] = match header.form {
        Form::Small => &[block::SMALL],
        Form::Rows => &[block::ROWS, block::HEADER, block::IDS],
        Form::Sealed => &[],
    };
    kinds.iter().for_each(|it| batch.remove(&block::key(*it, header.first)));
}

/// Whether the events that arrived between these times belong into one block: pruning deletes whole
/// chunks, so that a block of a year would live a year longer than its oldest event should.
pub(super) fn is_one_day((oldest, newest): (Time, Time)) -> bool {
    const DAY_NANOS: i64 = 86_400_000_000_000;
    newest.as_nanos().saturating_sub(oldest.as_nanos()) <= DAY_NANOS
}
