//! Up to where pruning deleted events of each type: so a replay can tell whether it would miss any.
//!
//! Key: `p`. Value: a number before which it is not known of what type the deleted events were, and then each type
//! with the number that comes after its last deleted event, or after the block that had it. The type is empty if it
//! may be any. A store that has no such value (an earlier version pruned it, or a repair left it out) knows nothing of
//! what is missing so far.

use super::Journal;
use super::index::Index;
use super::query::QueryError;
use super::segment::Pair;
use crate::codec;
use crate::codec::{DecodeError, Reader, Writer};
use crate::selector::Selector;
use crate::store::Batch;
use std::{collections::BTreeMap, sync::Arc};

pub(super) const KEY: &[u8] = b"p";
const VERSION: u8 = 1;

/// Types that are told apart; the others count as any.
const MAX_TYPES: usize = 1000;

/// What was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Deleted {
    /// The sequence number before which the types are not known.
    unknown: u64,
    /// Per type, the sequence number that comes after the last deleted event.
    ends: BTreeMap<String, u64>,
}

impl Journal {
    /// Whether events with sequence numbers from `from` on were deleted that one of `types` may match.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or what it notes is damaged.
    pub fn may_miss(&self, from: u64, types: &[Selector]) -> Result<bool, QueryError> {
        let deleted = self.deleted()?;
        let of_types = |it: &str| it.is_empty() || types.iter().any(|of| of.could_match_type(it));
        let known = deleted.ends.iter().any(|(it, end)| *end > from && of_types(it));
        Ok(known || deleted.unknown > from)
    }

    /// Notes in `batch` that it deletes events of `types` before `end`.
    pub(super) fn note_deleted<'a>(
        &self,
        batch: &mut Batch,
        types: impl Iterator<Item = &'a Arc<str>>,
        end: u64,
    ) -> Result<(), QueryError> {
        let mut deleted = self.deleted()?;
        types.for_each(|it| deleted.note_type(it, end));
        deleted.put(batch);
        Ok(())
    }

    /// What was deleted so far.
    pub(super) fn deleted(&self) -> Result<Deleted, QueryError> {
        match self.table.get(KEY)? {
            Some(it) => Deleted::decode(&it).map_err(|_| QueryError::Damaged(0)),
            None => Ok(Deleted::unknown(&self.index)),
        }
    }
}

impl Deleted {
    /// Of everything that is missing the type is not known.
    fn unknown(index: &Index) -> Self {
        let headers = index.from(0);
        let start = headers.first().map(|it| it.first).filter(|it| *it > 1);
        let holes = headers.iter().filter(|it| u64::from(it.count) < it.span).map(|it| it.end());
        Self { unknown: holes.chain(start).max().unwrap_or(0), ends: BTreeMap::new() }
    }

    /// Notes that events of the types of `gone` were deleted before `end`.
    pub(super) fn note(&mut self, gone: &[Pair], end: u64) {
        for it in gone {
            self.note_type(&it.event_type, end);
        }
        if gone.is_empty() {
            // They could not be read.
            self.note_type("", end);
        }
    }

    fn note_type(&mut self, event_type: &str, end: u64) {
        let is_known = self.ends.contains_key(event_type);
        let name = if is_known || self.ends.len() < MAX_TYPES { event_type } else { "" };
        let last = self.ends.entry(name.to_owned()).or_default();
        *last = end.max(*last);
    }

    /// Puts it into the batch that deletes the events.
    pub(super) fn put(&self, batch: &mut Batch) {
        let mut value = Writer::default();
        value.u64(self.unknown);
        for (event_type, end) in &self.ends {
            value.text(event_type);
            value.u64(*end);
        }
        batch.put(KEY, &codec::seal(VERSION, &value.into_inner()));
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(codec::unseal(VERSION, value)?);
        let mut res = Self { unknown: reader.u64()?, ends: BTreeMap::new() };
        while !reader.is_empty() {
            let event_type = reader.text()?.to_owned();
            res.ends.insert(event_type, reader.u64()?);
        }
        Ok(res)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_types_are_any() {
        let mut deleted = Deleted { unknown: 3, ..Deleted::default() };
        for n in 0..MAX_TYPES as u64 + 5 {
            deleted.note_type(&format!("type_{n}"), n + 1);
        }
        deleted.note_type("type_7", 9000);
        deleted.note_type("type_7", 70);
        deleted.note(&[], 80);
        assert_eq!(deleted.ends.len(), MAX_TYPES + 1);
        assert_eq!((deleted.ends["type_7"], deleted.ends[""]), (9000, MAX_TYPES as u64 + 5));
        let mut batch = Batch::default();
        deleted.put(&mut batch);
        let dir = tempfile::tempdir().unwrap();
        let config = crate::store::Config::new(dir.path().to_owned());
        let table = crate::store::Store::open(&config).unwrap().table("t").unwrap();
        table.apply(batch).unwrap();
        let value = table.get(KEY).unwrap().unwrap();
        assert_eq!(Deleted::decode(&value).unwrap(), deleted);
        assert!(Deleted::decode(&value[..value.len() - 1]).is_err());
    }
}
