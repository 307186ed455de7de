//! Taking notifications: rows in the caller's batch, and what waits in memory.

use super::channel::{Channel, Target};
use super::message::{Kind, Notification};
use super::own::Own;
use super::queue::{Queue, Waiting};
use super::record::{self, Delivery, LOG, ORDER, ROW, Row, State};
use super::secret::Seal;
use super::send;
use super::{Config, OpenError, Outbox, Shared, TABLE};
use crate::alerts::Severity;
use crate::event::{EventId, IdGenerator, Time};
use crate::store::{Batch, Store};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, RwLock, atomic::AtomicI64, atomic::Ordering},
};

/// What the ids of notifications begin with.
const PREFIX: &str = "msg_";

/// Notifications whose rows are in a batch. Hand it to [`Outbox::commit`] when the batch is on disk; dropped, they
/// are not sent before the next start.
#[derive(Debug, Default)]
#[must_use = "without Outbox::commit the notifications are not sent before the next start"]
pub struct Enqueued(Vec<(String, Arc<str>, Waiting)>);

/// Why a notification is not taken.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// There is no such channel.
    #[error("there is no notification channel {0:?}")]
    NoChannel(String),
}

impl Outbox {
    /// The channels of `store` and of `config`, and what waits for them.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or something in it is damaged.
    pub fn open(store: Store, config: Config) -> Result<Self, OpenError> {
        let table = store.table(TABLE)?;
        let seal = Seal::open(&table)?;
        store.flush()?;
        let mut start = [0; 8];
        getrandom::fill(&mut start).map_err(super::SealError::from)?;
        let sender = send::Sender::new(send::Config {
            guard: config.guard(),
            timeout: config.timeout,
            resend_interval: config.resend_interval,
            smtp: config.smtp.clone(),
            clock: config.clock,
        })?;
        let shared = Shared {
            store,
            table,
            seal,
            config,
            sender,
            channels: RwLock::default(),
            changing: Mutex::default(),
            queues: Mutex::default(),
            ids: IdGenerator::new(u64::from_le_bytes(start)),
            newest_id: AtomicI64::new(0),
            wake: tokio::sync::Notify::new(),
            own: Own::default(),
        };
        let outbox = Self { shared: Arc::new(shared) };
        outbox.load_channels()?;
        outbox.load_rows()?;
        Ok(outbox)
    }

    fn load_rows(&self) -> Result<(), OpenError> {
        let shared = &self.shared;
        let mut queues: HashMap<String, Queue> = HashMap::new();
        for entry in shared.table.prefix(&[ROW]) {
            let (key, value) = entry?;
            let id = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            let row: Row = record::decode(&value)
                .ok_or_else(|| OpenError::Damaged(format!("the notification {id}")))?;
            self.note_id(&id);
            if !row.dead {
                let waiting = Waiting::of(&row);
                queues.entry(row.channel).or_default().add(id.into(), waiting);
            }
        }
        *shared.queues() = queues;
        Ok(())
    }

    /// Puts `notification` into `batch`, once for each of its channels, together with entries of the log. What a channel
    /// is not to get is only in the log.
    ///
    /// # Errors
    ///
    /// A channel is not known. The batch then has none of it.
    pub fn enqueue(
        &self,
        batch: &mut Batch,
        notification: &Notification,
        now: Time,
    ) -> Result<Enqueued, EnqueueError> {
        let channels = notification
            .channels
            .iter()
            .map(|it| self.find_channel(it).ok_or_else(|| EnqueueError::NoChannel(it.clone())));
        let mut channels = channels.collect::<Result<Vec<_>, _>>()?;
        channels.sort_by(|a, b| a.id.cmp(&b.id));
        channels.dedup_by(|a, b| a.id == b.id);
        let mut enqueued = Enqueued::default();
        for channel in channels {
            match self.why_not(&channel, notification) {
                Some(reason) => self.log_suppressed(batch, notification, (&channel, reason), now),
                None => enqueued.0.push(self.put_row(batch, notification, &channel, now)),
            }
        }
        Ok(enqueued)
    }

    /// Notes in the log that `notification` is not sent, and why: silenced, acknowledged, muted, ...
    pub fn suppress(
        &self,
        batch: &mut Batch,
        notification: &Notification,
        reason: &str,
        now: Time,
    ) {
        for channel in notification.channels.iter().filter_map(|it| self.find_channel(it)) {
            self.log_suppressed(batch, notification, (&channel, reason), now);
        }
    }

    /// Sends what is on disk now.
    pub fn commit(&self, enqueued: Enqueued) {
        if enqueued.0.is_empty() {
            return;
        }
        let mut queues = self.shared.queues();
        for (channel, id, waiting) in enqueued.0 {
            queues.entry(channel).or_default().add(id, waiting);
        }
        drop(queues);
        self.shared.wake.notify_one();
    }

    fn put_row(
        &self,
        batch: &mut Batch,
        notification: &Notification,
        channel: &Channel,
        now: Time,
    ) -> (String, Arc<str>, Waiting) {
        let Notification { alert, transition, kind, group_key, channels: _ } = notification;
        let config = &self.shared.config;
        // Critical alerts do not wait for company. Alertmanagers group by themselves.
        let waits = alert.severity != Severity::Critical && *kind != Kind::Resolved;
        let wait = if waits { config.group_wait } else { std::time::Duration::ZERO };
        let groups = !matches!(channel.target, Target::Alertmanager(_));
        let group = group_key.clone().filter(|_| groups);
        let due = match self.shared.queues().get(&channel.id) {
            Some(it) => it.due(group.as_deref(), now, wait, config.group_interval),
            None => Queue::default().due(group.as_deref(), now, wait, config.group_interval),
        };
        let id = self.next_id(now);
        let row = Row {
            channel: channel.id.clone(),
            group,
            kind: *kind,
            transition: *transition,
            alert: alert.clone(),
            created: now,
            due,
            attempts: 0,
            message: None,
            dead: false,
        };
        let mut delivery = delivery(&id, notification, channel, State::Queued, now);
        delivery.next_attempt_at = Some(due);
        batch.put(&record::key(ROW, &id), &record::encode(&row));
        put_delivery(batch, &delivery, true);
        (channel.id.clone(), id.into(), Waiting::of(&row))
    }

    fn log_suppressed(
        &self,
        batch: &mut Batch,
        notification: &Notification,
        (channel, reason): (&Channel, &str),
        now: Time,
    ) {
        let mut delivery =
            delivery(&self.next_id(now), notification, channel, State::Suppressed, now);
        delivery.reason = Some(reason.to_owned());
        put_delivery(batch, &delivery, true);
        self.shared.own.finished(channel, State::Suppressed);
    }

    /// Why `channel` does not get `notification`.
    fn why_not(&self, channel: &Channel, notification: &Notification) -> Option<&'static str> {
        let pending = self.shared.queues().get(&channel.id).map_or(0, |it| it.rows.len());
        match (channel.enabled, &channel.disabled_reason, notification.kind) {
            // What the server switched off, because nobody was there, gets it when it is switched on again.
            (false, None, _) => Some("the channel is switched off"),
            (_, _, Kind::Resolved) if !channel.send_resolved => {
                Some("the channel is not told that alerts are over")
            }
            _ if pending >= self.shared.config.max_pending => {
                Some("too many notifications wait for the channel (notify.max_pending)")
            }
            _ => None,
        }
    }

    /// The next id: greater than all before it, also when the clock was set back.
    pub(super) fn next_id(&self, now: Time) -> String {
        let newest = &self.shared.newest_id;
        let millis = now.as_millis().max(newest.fetch_max(now.as_millis(), Ordering::Relaxed));
        let id = self.shared.ids.next(Time::from_millis(millis)).to_string();
        id.replacen("evt_", PREFIX, 1)
    }

    pub(super) fn note_id(&self, id: &str) {
        let ours = id.strip_prefix(PREFIX).map(|it| format!("evt_{it}"));
        let made = ours.and_then(|it| EventId::parse(&it).generated_at());
        // One further, as the counter of this start may be behind.
        let millis = made.map_or(0, |it| it.as_millis() + 1);
        self.shared.newest_id.fetch_max(millis, Ordering::Relaxed);
    }
}

impl Enqueued {
    pub(super) fn of(rows: Vec<(String, Arc<str>, Waiting)>) -> Self {
        Self(rows)
    }

    /// The ids of the notifications.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.0.iter().map(|(_, id, _)| id.to_string()).collect()
    }

    /// Adds those of `other`.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl Waiting {
    pub(super) fn of(row: &Row) -> Self {
        Self {
            alert: row.alert.id.as_str().into(),
            group: row.group.as_deref().map(Arc::from),
            kind: row.kind,
            created: row.created,
            due: row.due,
            attempts: row.attempts,
            message: row.message.as_deref().map(Arc::from),
        }
    }
}

fn delivery(
    id: &str,
    notification: &Notification,
    channel: &Channel,
    state: State,
    now: Time,
) -> Delivery {
    Delivery {
        id: id.to_owned(),
        alert_id: notification.alert.id.clone(),
        rule_name: notification.alert.rule_name.clone(),
        channel_id: channel.id.clone(),
        channel: channel.name.clone(),
        kind: notification.kind,
        transition: notification.transition,
        state,
        reason: None,
        message_id: None,
        created_at: now,
        updated_at: now,
        next_attempt_at: None,
        attempts: 0,
        history: Vec::new(),
    }
}

/// Puts an entry of the log into `batch`; a new one with its place in the order of time.
pub(super) fn put_delivery(batch: &mut Batch, delivery: &Delivery, new: bool) {
    let key = record::key2(LOG, &delivery.alert_id, &delivery.id);
    batch.put(&key, &record::encode(delivery));
    if new {
        batch.put(&record::key(ORDER, &delivery.id), &record::encode(&delivery.alert_id));
    }
}
