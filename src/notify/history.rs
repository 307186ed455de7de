//! The log of deliveries: what became of each notification; and trying again what was given up.

use super::Outbox;
use super::outbox::put_delivery;
use super::queue::Waiting;
use super::record::{self, Delivery, LOG, ORDER, ROW, Row, State};
use crate::event::Time;
use crate::store::{Batch, StoreError};
use std::sync::Arc;

/// Entries that are looked at for one page; beyond it the page ends early, with a cursor.
const MAX_LOOKED_AT: usize = 20_000;

/// Which entries are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The id or name of a channel.
    pub channel: Option<String>,
    /// The id of an alert.
    pub alert: Option<String>,
    /// What became of it.
    pub state: Option<State>,
    /// Entries that are older than this id.
    pub before: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// Some entries, the newest first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The entries.
    pub deliveries: Vec<Delivery>,
    /// Where to go on: `before` of the next page; `None` at the end.
    pub next: Option<String>,
}

impl Outbox {
    /// The newest entries of the log that are wanted. Blocking.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn deliveries(&self, wanted: &Wanted) -> Result<Page, StoreError> {
        let table = &self.shared.table;
        let mut page = Page::default();
        let matches = |it: &Delivery| {
            let channel = wanted.channel.as_deref();
            channel.is_none_or(|name| name == it.channel_id || name == it.channel)
                && wanted.state.is_none_or(|state| state == it.state)
        };
        let older = |id: &str| wanted.before.as_deref().is_none_or(|before| id < before);
        let prefix = match &wanted.alert {
            Some(it) => record::key2(LOG, it, ""),
            None => vec![ORDER],
        };
        for (looked_at, entry) in table.prefix(&prefix).rev().enumerate() {
            let (key, value) = entry?;
            let id = String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default());
            if !older(&id) {
                continue;
            }
            let value = match (&wanted.alert, record::decode::<String>(&value)) {
                (Some(_), _) => Some(value),
                (None, Some(alert)) => table.get(&record::key2(LOG, &alert, &id))?,
                (None, None) => None,
            };
            let found = value.and_then(|it| record::decode::<Delivery>(&it));
            page.deliveries.extend(found.filter(matches));
            if page.deliveries.len() >= wanted.limit || looked_at >= MAX_LOOKED_AT {
                page.next = Some(id.into_owned());
                break;
            }
        }
        Ok(page)
    }

    /// The entry of a notification. Blocking.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn delivery(&self, id: &str) -> Result<Option<Delivery>, StoreError> {
        let table = &self.shared.table;
        let alert = table.get(&record::key(ORDER, id))?;
        let Some(alert) = alert.and_then(|it| record::decode::<String>(&it)) else {
            return Ok(None);
        };
        Ok(table.get(&record::key2(LOG, &alert, id))?.and_then(|it| record::decode(&it)))
    }

    /// Tries those of `ids` that were given up once more; returns how many. Their ids stay the same, and so they come
    /// after what was told since. Durable when this returns. Blocking.
    ///
    /// # Errors
    ///
    /// The store cannot be read or written.
    pub fn retry(&self, ids: &[String], now: Time) -> Result<usize, StoreError> {
        let _changing = self.changing();
        let table = &self.shared.table;
        let (mut batch, mut again) = (Batch::default(), Vec::new());
        for id in ids {
            let row = table.get(&record::key(ROW, id))?;
            let Some(mut row) = row.and_then(|it| record::decode::<Row>(&it)) else { continue };
            // Without its channel it would be given up at once.
            if !row.dead || self.find_channel(&row.channel).is_none() {
                continue;
            }
            // Its age counts from now, and what it was put together with has gone its own way.
            (row.dead, row.attempts, row.due, row.created) = (false, 0, now, now);
            row.message = row.message.filter(|it| it == id);
            batch.put(&record::key(ROW, id), &record::encode(&row));
            if let Some(mut delivery) = self.delivery(id)? {
                (delivery.state, delivery.updated_at) = (State::Queued, now);
                (delivery.reason, delivery.next_attempt_at) = (None, Some(now));
                put_delivery(&mut batch, &delivery, false);
            }
            again.push((row.channel.clone(), Arc::from(id.as_str()), Waiting::of(&row)));
        }
        table.apply(batch)?;
        self.shared.store.flush()?;
        let n = again.len();
        self.commit(super::Enqueued::of(again));
        Ok(n)
    }

    /// Removes those of `ids` that were given up; returns how many. The log keeps that they were. Durable when this
    /// returns. Blocking.
    ///
    /// # Errors
    ///
    /// The store cannot be read or written.
    pub fn purge(&self, ids: &[String], now: Time) -> Result<usize, StoreError> {
        let _changing = self.changing();
        let table = &self.shared.table;
        let (mut batch, mut n) = (Batch::default(), 0);
        for id in ids {
            let row = table.get(&record::key(ROW, id))?;
            let dead = row.and_then(|it| record::decode::<Row>(&it)).is_some_and(|it| it.dead);
            if !dead {
                continue;
            }
            batch.remove(&record::key(ROW, id));
            if let Some(mut delivery) = self.delivery(id)? {
                (delivery.state, delivery.updated_at) = (State::Purged, now);
                put_delivery(&mut batch, &delivery, false);
            }
            n += 1;
        }
        table.apply(batch)?;
        self.shared.store.flush()?;
        Ok(n)
    }

    /// The ids of what was given up, the oldest first: of one channel, or of all. Blocking.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn dead(&self, channel: Option<&str>) -> Result<Vec<String>, StoreError> {
        let channel =
            channel.map(|it| self.find_channel(it).map_or(it.to_owned(), |it| it.id.clone()));
        let mut res = Vec::new();
        for entry in self.shared.table.prefix(&[ROW]) {
            let (key, value) = entry?;
            let wanted = |it: &Row| it.dead && channel.as_ref().is_none_or(|id| *id == it.channel);
            if record::decode::<Row>(&value).is_some_and(|it| wanted(&it)) {
                res.push(String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned());
            }
        }
        Ok(res)
    }
}
