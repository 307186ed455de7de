//! What a round of evaluation has to write: everything in one batch, or nothing yet.

use super::AlertingError;
use super::table;
use super::table::{Entry, MARK};
use super::watch::News;
use crate::event::Time;
use crate::notify::{Notification, Outbox};
use crate::store::{Batch, Store, Table};
use std::collections::{BTreeMap, BTreeSet};

/// What is not written yet. If a write fails it stays here, and the next one has it.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Instances that changed, by rule and label block.
    pub(super) instances: BTreeSet<(String, String)>,
    pub(super) history: Vec<Entry>,
    pub(super) notices: Vec<Notification>,
    /// What people are not told, and why.
    pub(super) held: Vec<(Notification, String)>,
    /// Other keys, and their values.
    pub(super) others: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// What those who watch are shown then. It is not written.
    pub(super) news: News,
}

impl Round {
    /// Whether something waits that people will be told of, or were promised.
    pub(super) fn is_urgent(&self) -> bool {
        !self.history.is_empty() || !self.notices.is_empty() || !self.others.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.held.is_empty() && !self.is_urgent()
    }

    /// Writes everything, with the mark up to which events were evaluated, and returns when it is on disk.
    pub(super) fn write<'i>(
        &mut self,
        (store, table, outbox): (&Store, &Table, &Outbox),
        mark: u64,
        instance: impl Fn(&str, &str) -> Option<&'i table::Instance>,
        now: Time,
    ) -> Result<(), AlertingError> {
        let mut batch = Batch::default();
        for (rule, block) in &self.instances {
            let key = table::instance_key(rule, block);
            match instance(rule, block) {
                Some(it) => batch.put(&key, &table::encode(it)),
                None => batch.remove(&key),
            }
        }
        for (n, entry) in self.history.iter().enumerate() {
            batch.put(&table::history_key(entry.at, &entry.alert.id, n), &table::encode(entry));
        }
        for (key, value) in &self.others {
            match value {
                Some(it) => batch.put(key, it),
                None => batch.remove(key),
            }
        }
        batch.put(MARK, &table::encode(&mark));
        let mut enqueued = Vec::new();
        for it in &self.notices {
            let it = Notification { channels: channels(outbox, &it.channels), ..it.clone() };
            match outbox.enqueue(&mut batch, &it, now) {
                Ok(it) => enqueued.push(it),
                Err(error) => {
                    tracing::error!(%error, alert = it.alert.id, "somebody is not told of an alert")
                }
            }
        }
        for (it, why) in &self.held {
            let it = Notification { channels: channels(outbox, &it.channels), ..it.clone() };
            outbox.suppress(&mut batch, &it, why, now);
        }
        table.apply(batch)?;
        // Who watches is shown it by the caller, once it is on disk.
        *self = Self { news: std::mem::take(&mut self.news), ..Self::default() };
        store.flush()?;
        enqueued.into_iter().for_each(|it| outbox.commit(it));
        Ok(())
    }
}

/// The channels that are told: those that are named, as far as there are such, or all. For those that are switched off the
/// log says so.
fn channels(outbox: &Outbox, named: &[String]) -> Vec<String> {
    if named.is_empty() {
        return outbox.list_channels().iter().map(|it| it.id.clone()).collect();
    }
    let (known, unknown): (Vec<_>, Vec<_>) =
        named.iter().cloned().partition(|it| outbox.find_channel(it).is_some());
    if !unknown.is_empty() {
        tracing::warn!(?unknown, "an alert rule names notification channels that do not exist");
    }
    known
}
