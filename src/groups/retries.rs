//! Pushes that were taken with an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07), so that a
//! retry changes nothing and is answered the same.
//!
//! A key is stored in the same batch as what its push changed: both are there after a crash, or neither. It
//! outlives its group, since a retry may come after the group was removed. What is remembered is bounded: a key
//! is forgotten after a window, or as the oldest one when its group or the server has too many.

use super::Write;
use super::apply::Remembered;
use crate::codec;
use crate::codec::{DecodeError, Reader, Writer};
use crate::event::Time;
use hashbrown::HashMap;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A key within a group, by its identity.
pub(super) const RETRY: u8 = b'k';

const VERSION: u8 = 1;

/// Keys that one push forgets because they are too old: as it brings one, there are fewer and fewer.
const FORGET_AT_ONCE: usize = 4;

/// What is remembered of retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// How long a key is remembered. Default 24 hours.
    pub window: Duration,
    /// Keys of all groups that are remembered. Default 100 000.
    pub keys: usize,
    /// Keys of one group. Default 10 000.
    pub keys_per_group: usize,
}

/// The identity of a key within a group.
pub(super) type Id = [u8; 16];

/// A push that was taken.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    /// The version of what it changed, which orders keys by age.
    pub(super) version: u64,
    pub(super) fingerprint: u64,
    pub(super) at: Time,
    /// The key of its group.
    pub(super) group: Arc<[u8]>,
}

/// The keys that are remembered. The writer's alone.
#[derive(Debug)]
pub(super) struct Retries {
    config: RetryConfig,
    known: HashMap<Id, Known>,
    /// Oldest first, by version.
    order: BTreeMap<u64, Id>,
    /// The same for every group.
    groups: HashMap<Arc<[u8]>, BTreeMap<u64, Id>>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { window: Duration::from_hours(24), keys: 100_000, keys_per_group: 10_000 }
    }
}

// === impl Retries ===

impl Retries {
    pub(super) fn new(config: RetryConfig) -> Self {
        Self { config, known: HashMap::new(), order: BTreeMap::new(), groups: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The fingerprint of the push that was taken with `id`.
    pub(super) fn find(&self, id: &Id, now: Time) -> Option<u64> {
        self.known.get(id).filter(|it| !self.is_old(it, now)).map(|it| it.fingerprint)
    }

    /// Remembers a push, and forgets what there is no room for. What is to be stored goes to `writes`, what
    /// was before to `undo`.
    pub(super) fn remember(
        &mut self,
        id: Id,
        known: Known,
        (writes, undo): (&mut Vec<Write>, &mut Vec<Remembered>),
    ) {
        let (now, group) = (known.at, Arc::clone(&known.group));
        writes.push(write(&id, &known));
        undo.push((id, self.set(id, Some(known))));
        let mut forget = |this: &mut Self, id: Id| {
            writes.push(Write { key: key(&id), value: None });
            undo.push((id, this.set(id, None)));
        };
        let of_group = self.groups.get(&group);
        let first = of_group.filter(|it| it.len() > self.config.keys_per_group);
        if let Some(id) = first.and_then(|it| it.first_key_value()).map(|it| *it.1) {
            forget(self, id);
        }
        for _ in 0..FORGET_AT_ONCE {
            let Some(id) = self.oldest(now) else { break };
            forget(self, id);
        }
    }

    /// Puts `known` in place of what is known of `id`, which is returned.
    pub(super) fn set(&mut self, id: Id, known: Option<Known>) -> Option<Known> {
        let old = self.known.remove(&id);
        if let Some(it) = &old {
            self.order.remove(&it.version);
            if let Some(group) = self.groups.get_mut(&it.group) {
                group.remove(&it.version);
                if group.is_empty() {
                    self.groups.remove(&it.group);
                }
            }
        }
        if let Some(it) = known {
            self.order.insert(it.version, id);
            self.groups.entry(Arc::clone(&it.group)).or_default().insert(it.version, id);
            self.known.insert(id, it);
        }
        old
    }

    /// The oldest key, if there is no room for it or no need.
    fn oldest(&self, now: Time) -> Option<Id> {
        let id = *self.order.first_key_value()?.1;
        let old = self.known.get(&id).is_none_or(|it| self.is_old(it, now));
        (old || self.known.len() > self.config.keys).then_some(id)
    }

    fn is_old(&self, it: &Known, now: Time) -> bool {
        it.at.saturating_add(self.config.window) <= now
    }
}

fn key(id: &Id) -> Vec<u8> {
    [&[RETRY], id.as_slice()].concat()
}

fn write(id: &Id, it: &Known) -> Write {
    let mut out = Writer::default();
    out.u64(it.version);
    out.u64(it.fingerprint);
    out.i64(it.at.as_nanos());
    out.bytes(&it.group);
    Write { key: key(id), value: Some(codec::seal(VERSION, &out.into_inner())) }
}

/// What was stored under `key`, without its prefix.
pub(super) fn read(key: &[u8], value: &[u8]) -> Result<(Id, Known), DecodeError> {
    let id = key.try_into().map_err(|_| DecodeError::Malformed)?;
    let mut reader = Reader::new(codec::unseal(VERSION, value)?);
    let (version, fingerprint) = (reader.u64()?, reader.u64()?);
    let at = Time::from_nanos(reader.i64()?);
    Ok((id, Known { version, fingerprint, at, group: reader.rest().into() }))
}
