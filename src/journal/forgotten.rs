//! The ids of events that were pruned although they arrived within the dedup window, as old events of an
//! import are: they still count once, also after a restart.
//!
//! Key: `g`, the newest arrival, the sequence number of the first block, and a number, all big-endian. Value:
//! arrivals and identities. A list is dropped when its newest arrival is out of the window.

use super::Journal;
use super::header::{Form, Header};
use super::pack::Unpacker;
use super::query::QueryError;
use crate::codec;
use crate::codec::{DecodeError, Reader, Writer};
use crate::event::Time;
use crate::store::Batch;
use std::collections::HashSet;

pub(super) const FORGOTTEN: u8 = b'g';
pub(super) const KEY_BYTES: usize = 1 + 8 + 8 + 2;
const VERSION: u8 = 1;
/// What is larger does not suit the store.
const LIST_IDS: usize = 4000;

/// The ids of events that go.
#[derive(Debug, Default)]
pub(super) struct Forgotten(Vec<(Time, u64)>);

impl Journal {
    /// Adds the given ids of a block, or of some chunks of a sealed one.
    pub(super) fn forget_ids(
        &self,
        ids: &mut Forgotten,
        header: &Header,
        chunks: &HashSet<u16>,
    ) -> Result<(), QueryError> {
        let received = header.received.1;
        if header.form != Form::Sealed {
            self.ids(header)?.iter().for_each(|it| ids.add(received, it.identity));
            return Ok(());
        }
        let mut unpacker = Unpacker::new();
        for part in header.parts.iter().filter(|it| chunks.contains(&it.chunk)) {
            let Some(chunk) = self.chunk(header, part)? else { continue };
            let mut add = |source: &str, id: &str| ids.add(received, self.key.identity(source, id));
            let read = chunk.given_ids(&mut unpacker, &mut add);
            read.map_err(|_| QueryError::Damaged(header.first))?;
        }
        Ok(())
    }

    /// Drops the lists that nobody needs any more.
    pub(super) fn drop_forgotten(&self, since: Time) -> Result<(), QueryError> {
        let mut batch = Batch::default();
        for entry in self.table.prefix(&[FORGOTTEN]) {
            let (key, _) = entry?;
            if newest(&key).is_some_and(|it| it >= since) {
                break;
            }
            batch.remove(&key);
        }
        Ok(self.table.apply(batch)?)
    }

    /// The ids that were pruned and arrived at or after `since`, oldest first.
    pub(super) fn forgotten(&self, since: Time) -> Result<Vec<(Time, u64)>, QueryError> {
        let mut res = Vec::new();
        for entry in self.table.prefix(&[FORGOTTEN]) {
            let (key, value) = entry?;
            let damaged = |_| QueryError::Damaged(first(&key).unwrap_or_default());
            let ids = decode(&value).map_err(damaged)?;
            res.extend(ids.into_iter().filter(|it| it.0 >= since));
        }
        res.sort_unstable();
        Ok(res)
    }
}

impl Forgotten {
    pub(super) fn add(&mut self, received: Time, identity: u64) {
        self.0.push((received, identity));
    }

    /// Puts the list into the batch that deletes the events, the first of which has sequence number `first`.
    pub(super) fn put(&self, batch: &mut Batch, first: u64) {
        for (number, ids) in (0u16..).zip(self.0.chunks(LIST_IDS)) {
            let mut list = Writer::default();
            let mut newest = 0;
            for (received, identity) in ids {
                list.i64(received.as_nanos());
                list.u64(*identity);
                newest = newest.max(received.as_nanos());
            }
            let newest = newest.cast_unsigned().to_be_bytes();
            let place = [&first.to_be_bytes()[..], &number.to_be_bytes()].concat();
            let key = [&[FORGOTTEN][..], &newest, &place].concat();
            batch.put(&key, &codec::seal(VERSION, &list.into_inner()));
        }
    }
}

fn newest(key: &[u8]) -> Option<Time> {
    let nanos = u64::from_be_bytes(key.get(1..9)?.try_into().ok()?);
    Some(Time::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX)))
}

fn first(key: &[u8]) -> Option<u64> {
    key.get(9..17)?.try_into().ok().map(u64::from_be_bytes)
}

pub(super) fn decode(value: &[u8]) -> Result<Vec<(Time, u64)>, DecodeError> {
    let mut list = Reader::new(codec::unseal(VERSION, value)?);
    let mut res = Vec::new();
    while !list.is_empty() {
        res.push((Time::from_nanos(list.i64()?), list.u64()?));
    }
    Ok(res)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventId};
    use crate::journal;
    use crate::journal::{DedupConfig, Retention, Segment};
    use crate::store;
    use crate::store::Store;
    use std::{path::Path, time::Duration};

    const DAY: Duration = Duration::from_hours(24);

    fn open(dir: &Path, now: Time) -> (Journal, journal::Writer) {
        let store = Store::open(&store::Config::new(dir.to_owned())).unwrap();
        let opened = journal::open(&store, DedupConfig::default(), now, (1, 2)).unwrap();
        (opened.0, opened.1)
    }

    #[test]
    fn the_id_of_a_pruned_event_counts_once_until_the_window_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let now = Time::default().saturating_add(1000 * DAY);
        let (journal, mut writer) = open(dir.path(), now);
        for (id, received) in [("old", now.saturating_sub(2 * DAY)), ("new", now)] {
            let mut segment = Segment::default();
            let event = Event {
                id: EventId::Given(id.into()),
                event_type: "t".into(),
                source: "s".into(),
                time: Time::default(),
                received,
                time_clamped: false,
                subject: None,
                trace: None,
                data: "{}".into(),
            };
            segment.push(&event, journal.id_key());
            writer.append(vec![segment]).unwrap();
        }
        let identities = ["old", "new"].map(|it| journal.id_key().identity("s", it));
        let week = Retention { default_age: Some(7 * DAY), ..Retention::default() };
        assert_eq!(journal.prune(&week, now, 100).unwrap().events, 2);
        assert!(writer.knows(identities[1]));
        writer.flush().unwrap();
        drop((journal, writer));

        let (journal, writer) = open(dir.path(), now);
        assert_eq!(identities.map(|it| writer.knows(it)), [false, true]);
        assert_eq!((journal.len(), journal.end()), (0, 3));
        // A day later nobody needs it.
        let later = now.saturating_add(DAY + DAY);
        journal.prune(&week, later, 100).unwrap();
        assert!(journal.forgotten(Time::default()).unwrap().is_empty());
        drop((journal, writer));
        assert!(!open(dir.path(), now).1.knows(identities[1]));
    }
}
