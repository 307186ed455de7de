//! Delivering one message.

use super::Outbox;
use super::channel::{Channel, Slack, Target};
use super::message::{Entry, Kind, Message};
use super::record::{self, HANDLE, ROW, Row};
use crate::store::{Batch, StoreError};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a channel rests when the store fails.
const STORE_PAUSE: Duration = Duration::from_secs(10);

/// A message and what it is made of.
pub(super) struct Loaded {
    pub(super) message: Message,
    pub(super) rows: Vec<(Arc<str>, Row)>,
    pub(super) handle: Option<String>,
}

impl Outbox {
    /// Sends the notifications `ids` as one message, and settles what came of it.
    pub(super) async fn deliver(&self, channel: &Arc<Channel>, ids: Vec<Arc<str>>) {
        let outbox = self.clone();
        let (to, wanted) = (channel.clone(), ids.clone());
        let loaded = match ids.as_slice() {
            // One row is in the store's cache; several are made a message first, which is a write.
            [_] => self.load(&to, &wanted),
            _ => {
                let work = tokio::task::spawn_blocking(move || outbox.load(&to, &wanted));
                work.await.unwrap_or_else(|it| Err(std::io::Error::other(it).into()))
            }
        };
        let loaded = match loaded {
            Ok(it) => it,
            Err(error) => return self.store_failed(channel, &error),
        };
        let now = self.shared.now();
        if loaded.rows.is_empty() {
            if let Some(queue) = self.shared.queues().get_mut(&channel.id) {
                queue.settled(&ids, now, Instant::now());
            }
            return;
        }
        let (message, handle) = (&loaded.message, loaded.handle.as_deref());
        let attempt = self.shared.sender.send(channel, message, handle, now).await;
        self.shared.own.attempt(channel, &attempt);
        let (outbox, to) = (self.clone(), channel.clone());
        let work = tokio::task::spawn_blocking(move || outbox.settle(&to, loaded, &attempt));
        match work.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.store_failed(channel, &error),
            Err(error) => self.store_failed(channel, &std::io::Error::other(error).into()),
        }
    }

    /// The message that `ids` make, which is fixed from now on: also after a crash, what may have arrived once under an
    /// id has it again.
    fn load(&self, channel: &Channel, ids: &[Arc<str>]) -> Result<Loaded, StoreError> {
        let table = &self.shared.table;
        let mut rows = Vec::new();
        for id in ids {
            let value = table.get(&record::key(ROW, id))?;
            match value.and_then(|it| record::decode::<Row>(&it)) {
                Some(row) => rows.push((id.clone(), row)),
                None => tracing::error!(id = %id, "a notification cannot be read, and is left out"),
            }
        }
        let fixed = rows.iter().find_map(|(_, it)| it.message.clone());
        let newest = ids.last().map(ToString::to_string).unwrap_or_default();
        let id = fixed.clone().unwrap_or(newest);
        if fixed.is_none() && rows.len() > 1 {
            let mut batch = Batch::default();
            for (key, row) in &mut rows {
                row.message = Some(id.clone());
                batch.put(&record::key(ROW, key), &record::encode(row));
            }
            table.apply(batch)?;
            self.shared.store.flush()?;
        }
        let message = self.message(id, &rows);
        let bot = matches!(channel.target, Target::Slack(Slack::Bot { .. }));
        let handle = match message.entries.as_slice() {
            [it] if bot => table.get(&record::key2(HANDLE, &channel.id, &it.alert.id))?,
            _ => None,
        };
        let handle = handle.and_then(|it| record::decode(&it));
        Ok(Loaded { message, rows, handle })
    }

    fn message(&self, id: String, rows: &[(Arc<str>, Row)]) -> Message {
        let mut entries: Vec<Entry> = Vec::new();
        for (_, row) in rows {
            let (kind, transition, alert) = (row.kind, row.transition, row.alert.clone());
            match entries.iter_mut().find(|it| it.alert.id == alert.id) {
                // Whether it fired is known from what nobody was told.
                Some(it) => {
                    let untold = it.kind == Kind::Firing || it.merged;
                    let merged = untold && kind == Kind::Resolved;
                    *it = Entry { kind, transition, merged, alert };
                }
                None => entries.push(Entry { kind, transition, merged: false, alert }),
            }
        }
        let kind = match entries.as_slice() {
            [it] => it.kind,
            _ => Kind::Digest,
        };
        Message {
            id,
            kind,
            group: rows.first().and_then(|(_, it)| it.group.clone()),
            entries,
            external_url: self.shared.config.external_url.clone(),
            created: rows.last().map(|(_, it)| it.created).unwrap_or_default(),
        }
    }

    /// The channel rests; what it was sent may be sent again, under the same id.
    pub(super) fn store_failed(&self, channel: &Channel, error: &StoreError) {
        tracing::error!(channel = channel.name, %error, "the outbox cannot be read or written");
        if let Some(queue) = self.shared.queues().get_mut(&channel.id) {
            queue.busy = false;
            queue.paused_until = Some(Instant::now() + STORE_PAUSE);
        }
    }
}
