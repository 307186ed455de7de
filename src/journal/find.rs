//! Finding an event by its id, and knowing ids again after a restart.

use super::block;
use super::chunk::{Chunk, Scratch};
use super::header::{Form, Header};
use super::ids;
use super::pack::Unpacker;
use super::query::QueryError;
use super::{Journal, dedup, segment};
use crate::event::{Event, EventId, Time};
use std::time::Duration;

/// How far the clock of the server may have stepped between making an id and storing its event.
const ID_SLACK: Duration = Duration::from_secs(60);

type Found = Option<(u64, Event<'static>)>;

impl Journal {
    /// The newest event with this id, and its sequence number.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a block that may hold the event is damaged.
    pub fn get(&self, id: &EventId<'_>) -> Result<Found, QueryError> {
        loop {
            let moves = self.index.moves();
            let found = self.find(id)?;
            // A merge may have moved the event from where we had not looked yet to where we had.
            if found.is_some() || !self.index.has_moved(moves) {
                return Ok(found);
            }
            std::thread::yield_now();
        }
    }

    fn find(&self, id: &EventId<'_>) -> Result<Found, QueryError> {
        let mut unpacker = Unpacker::new();
        let mut at = u64::MAX;
        while let Some(header) = self.index.before(at) {
            if self.may_hold(&header, id)? {
                let found = match header.form {
                    Form::Sealed => self.find_in_chunks(&header, id, &mut unpacker)?,
                    Form::Small | Form::Rows => {
                        let moves = self.index.moves();
                        let Some(rows) = self.rows(&header)? else {
                            if self.index.has_moved(moves) {
                                continue;
                            }
                            return Err(QueryError::Damaged(header.first));
                        };
                        find_in_rows(&header, &rows, id)?
                    }
                };
                if found.is_some() {
                    return Ok(found);
                }
            }
            at = header.first;
        }
        Ok(None)
    }

    fn may_hold(&self, header: &Header, id: &EventId<'_>) -> Result<bool, QueryError> {
        if header.count == 0 {
            return Ok(false);
        }
        match (id, id.generated_at()) {
            (EventId::Generated(_), at) => {
                let (oldest, newest) = header.received;
                Ok(at.is_some_and(|at| {
                    at.saturating_add(ID_SLACK) >= oldest && at.saturating_sub(ID_SLACK) <= newest
                }))
            }
            (EventId::Given(id), _) if header.form == Form::Sealed => {
                let Some(value) = self.table.get(&block::key(block::FILTER, header.first))? else {
                    return Ok(false);
                };
                let hash = self.key.hash(id);
                ids::may_have(&value, hash).map_err(|_| QueryError::Damaged(header.first))
            }
            (EventId::Given(id), _) => {
                let fingerprint = self.key.fingerprint(id);
                Ok(self.ids(header)?.iter().any(|it| it.fingerprint == fingerprint))
            }
        }
    }

    fn find_in_chunks(
        &self,
        header: &Header,
        id: &EventId<'_>,
        unpacker: &mut Unpacker,
    ) -> Result<Found, QueryError> {
        let damaged = |_| QueryError::Damaged(header.first);
        let mut scratch = Scratch::default();
        let mut newest: Found = None;
        for part in &header.parts {
            let Some(chunk) = self.chunk(header, part)? else { continue };
            let Some(at) = chunk.find(id, unpacker).map_err(damaged)? else { continue };
            let events = chunk.events(unpacker).map_err(damaged)?;
            let position = events.positions.get(at).copied().unwrap_or_default();
            let seq = header.first.saturating_add_signed(position);
            let event = block::into_owned(events.get(at, &mut scratch).map_err(damaged)?);
            if event.id == *id && newest.as_ref().is_none_or(|(it, _)| *it < seq) {
                newest = Some((seq, event));
            }
        }
        Ok(newest)
    }

    /// Fills the window with the ids that arrived at or after `since`.
    pub(super) fn remember(
        &self,
        window: &mut dedup::Window,
        since: Time,
    ) -> Result<(), QueryError> {
        for (received, identity) in self.forgotten(since)? {
            window.insert(received, identity);
        }
        let headers = self.index.from(0);
        // The newest are enough that the window can hold.
        let mut room = window.max_ids() as u64;
        let recent = headers.iter().rev().take_while(|it| {
            let wanted = room > 0;
            room = room.saturating_sub(u64::from(it.count));
            wanted
        });
        let mut recent: Vec<_> = recent.filter(|it| it.received.1 >= since).collect();
        recent.reverse();
        let mut unpacker = Unpacker::new();
        for header in recent {
            let received = header.received.1;
            if header.form == Form::Sealed {
                if self.table.get(&block::key(block::FILTER, header.first))?.is_none() {
                    continue;
                }
                for part in &header.parts {
                    let Some(chunk) = self.chunk(header, part)? else { continue };
                    let mut insert = |identity| window.insert(received, identity);
                    remember_chunk(self, &chunk, &mut unpacker, &mut insert)
                        .map_err(|_| QueryError::Damaged(header.first))?;
                }
            } else {
                for id in self.ids(header)? {
                    window.insert(received, id.identity);
                }
            }
        }
        Ok(())
    }
}

fn remember_chunk(
    journal: &Journal,
    chunk: &Chunk,
    unpacker: &mut Unpacker,
    insert: &mut dyn FnMut(u64),
) -> Result<(), crate::codec::DecodeError> {
    chunk.given_ids(unpacker, &mut |source, id| insert(journal.key.identity(source, id)))
}

/// The last event with this id.
fn find_in_rows(header: &Header, rows: &[u8], id: &EventId<'_>) -> Result<Found, QueryError> {
    let mut found = None;
    for (seq, event) in (header.first..).zip(segment::events(rows)) {
        let event = event.map_err(|_| QueryError::Damaged(header.first))?;
        if event.id == *id {
            found = Some((seq, event));
        }
    }
    Ok(found.map(|(seq, event)| (seq, block::into_owned(event))))
}
