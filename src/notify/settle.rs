//! What came of an attempt: rows, log, queue and channel follow from it.

use super::backoff::{self, MAX_CHANNEL_PAUSE};
use super::channel::{Channel, Target};
use super::deliver::Loaded;
use super::message::Kind;
use super::outbox::put_delivery;
use super::record::{self, ACTIVE, Active, Delivery, HANDLE, LOG, ORDER, ROW, Row, State, Tried};
use super::send::{Attempt, Verdict};
use super::{ChannelError, Outbox};
use crate::event::Time;
use crate::store::{Batch, StoreError};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Entries of the log that one batch forgets.
const FORGET_BATCH: usize = 1000;

/// What follows for a row.
#[derive(Clone, Copy)]
enum End<'a> {
    /// It is done, with this state.
    Done(State, Option<&'a str>),
    /// It is tried again then.
    Again(Time),
    /// It is tried no more.
    Dead(&'a str),
}

/// The attempt that ended a row, and the message that it went with.
struct Last<'a> {
    message: &'a str,
    tried: Tried,
}

/// How long a message waits for its next attempt, and whether its server said so.
#[derive(Clone, Copy)]
struct Wait {
    pause: Duration,
    asked: bool,
}

impl Outbox {
    /// Stores what came of `attempt`. Blocking.
    pub(super) fn settle(
        &self,
        channel: &Arc<Channel>,
        loaded: Loaded,
        attempt: &Attempt,
    ) -> Result<(), StoreError> {
        let now = self.shared.now();
        let Loaded { message, mut rows, .. } = loaded;
        let oldest = rows.iter().map(|(_, it)| it.created).min().unwrap_or(now);
        let given_up = now.seconds_since(oldest) >= self.shared.config.give_up_after.as_secs_f64();
        let wait = if given_up { None } else { wait(attempt, &rows) };
        let reason = dead_reason(attempt, given_up);
        let mut batch = Batch::default();
        for (id, row) in &mut rows {
            let end = match (attempt.verdict, wait) {
                (Verdict::Delivered, _) if told_later(&message.entries, row) => {
                    End::Done(State::Merged, Some("a later one told it too"))
                }
                (Verdict::Delivered, _) => End::Done(State::Sent, None),
                (_, Some(it)) => End::Again(now.saturating_add(it.pause)),
                (_, None) => End::Dead(&reason),
            };
            let last = Last { message: &message.id, tried: Tried::of(attempt, now) };
            self.end_row(&mut batch, (id, row), (end, Some(last)), (channel, now))?;
        }
        if attempt.verdict == Verdict::Delivered {
            self.remember_sent(&mut batch, channel, &message, attempt);
        }
        self.shared.table.apply(batch)?;
        // What is tried again may be forgotten to have failed, but what was sent may not be sent again.
        if wait.is_none() {
            self.shared.store.flush()?;
        }
        self.settle_queue(channel, &rows, wait, now);
        if attempt.verdict == Verdict::Gone {
            let status = attempt.status.map_or(String::new(), |it| format!("{it} "));
            let reason = format!("the server answered {status}{}", attempt.said);
            match self.disable_channel(&channel.id, reason, now) {
                Ok(()) => {}
                Err(ChannelError::Store(error)) => return Err(error),
                Err(error) => {
                    tracing::error!(channel = channel.name, %error, "it stays switched on")
                }
            }
        }
        Ok(())
    }

    /// The channel goes on, at once or after a pause.
    fn settle_queue(
        &self,
        channel: &Channel,
        rows: &[(Arc<str>, Row)],
        wait: Option<Wait>,
        now: Time,
    ) {
        let at = Instant::now();
        let ids: Vec<Arc<str>> = rows.iter().map(|(id, _)| id.clone()).collect();
        let mut queues = self.shared.queues();
        let Some(queue) = queues.get_mut(&channel.id) else { return };
        match wait {
            None => queue.settled(&ids, now, at),
            Some(Wait { pause, asked }) => {
                // A server that says when to come back means everything; one that fails may do so for this message.
                let rest = if asked { pause } else { pause.min(MAX_CHANNEL_PAUSE) };
                let fixed = rows.first().and_then(|(_, it)| it.message.as_deref().map(Arc::from));
                let due = now.saturating_add(pause);
                queue.failed(&ids, fixed.as_ref(), due, (at, at + rest));
            }
        }
        if matches!(channel.target, Target::Alertmanager(_)) {
            let next = at + self.shared.config.resend_interval;
            queue.resend_at = Some(queue.resend_at.map_or(next, |it| it.min(next)));
        }
    }

    /// Changes one row, and its entry of the log.
    fn end_row(
        &self,
        batch: &mut Batch,
        (id, row): (&str, &mut Row),
        (end, last): (End<'_>, Option<Last<'_>>),
        (channel, now): (&Channel, Time),
    ) -> Result<(), StoreError> {
        let key = record::key(ROW, id);
        row.attempts += u32::from(last.is_some());
        let (state, reason, next) = match end {
            End::Done(state, reason) => {
                batch.remove(&key);
                (state, reason, None)
            }
            End::Again(due) => {
                row.due = due;
                batch.put(&key, &record::encode(row));
                (State::Queued, None, Some(due))
            }
            End::Dead(reason) => {
                row.dead = true;
                batch.put(&key, &record::encode(row));
                tracing::error!(
                    channel = channel.name,
                    alert = row.alert.rule_name,
                    id,
                    reason,
                    "a notification was given up; POST /api/v1/monitoring/notifications/{id}/retry sends it again"
                );
                (State::Dead, Some(reason), None)
            }
        };
        if state == State::Sent {
            self.shared.own.delivered(now.seconds_since(row.created));
        }
        if state != State::Queued {
            self.shared.own.finished(channel, state);
        }
        self.change_log(batch, (id, row), |delivery| {
            if let Some(Last { message, tried }) = last {
                delivery.message_id = Some(message.to_owned());
                delivery.tried(tried);
            }
            (delivery.state, delivery.updated_at) = (state, now);
            (delivery.reason, delivery.next_attempt_at) = (reason.map(str::to_owned), next);
        })
    }

    /// Changes the entry of the log of a row, if it has one.
    fn change_log(
        &self,
        batch: &mut Batch,
        (id, row): (&str, &Row),
        change: impl FnOnce(&mut Delivery),
    ) -> Result<(), StoreError> {
        let log = self.shared.table.get(&record::key2(LOG, &row.alert.id, id))?;
        if let Some(mut delivery) = log.and_then(|it| record::decode::<Delivery>(&it)) {
            change(&mut delivery);
            put_delivery(batch, &delivery, false);
        }
        Ok(())
    }

    /// What later messages about the same alerts need.
    fn remember_sent(
        &self,
        batch: &mut Batch,
        channel: &Channel,
        message: &super::message::Message,
        attempt: &Attempt,
    ) {
        if let Some(handle) = &attempt.handle
            && let [entry] = message.entries.as_slice()
        {
            let key = record::key2(HANDLE, &channel.id, &entry.alert.id);
            match entry.kind {
                Kind::Resolved | Kind::Test => batch.remove(&key),
                _ => batch.put(&key, &record::encode(handle)),
            }
        }
        if let Target::Alertmanager(_) = channel.target {
            for entry in message.entries.iter().filter(|it| it.kind != Kind::Test) {
                let resolved = entry.alert.ends_at.filter(|_| entry.kind == Kind::Resolved);
                let active = Active { alert: entry.alert.clone(), resolved };
                let key = record::key2(ACTIVE, &channel.id, &entry.alert.id);
                batch.put(&key, &record::encode(&active));
            }
        }
    }

    /// Gives up what waits for a channel. Blocking.
    pub(super) fn give_up_queue(
        &self,
        id: &str,
        reason: &str,
        now: Time,
    ) -> Result<(), StoreError> {
        let ids: Vec<Arc<str>> = match self.shared.queues().remove(id) {
            Some(it) => it.rows.into_keys().collect(),
            None => return Ok(()),
        };
        self.give_up(&ids, reason, now)
    }

    fn give_up(&self, ids: &[Arc<str>], reason: &str, now: Time) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for id in ids {
            let value = self.shared.table.get(&record::key(ROW, id))?;
            let Some(mut row) = value.and_then(|it| record::decode::<Row>(&it)) else { continue };
            match self.find_channel(&row.channel) {
                Some(it) => {
                    self.end_row(
                        &mut batch,
                        (id, &mut row),
                        (End::Dead(reason), None),
                        (&it, now),
                    )?;
                }
                None => {
                    row.dead = true;
                    batch.put(&record::key(ROW, id), &record::encode(&row));
                    self.change_log(&mut batch, (id, &row), |delivery| {
                        (delivery.state, delivery.updated_at) = (State::Dead, now);
                        delivery.reason = Some(reason.to_owned());
                        delivery.next_attempt_at = None;
                    })?;
                }
            }
        }
        self.shared.table.apply(batch)?;
        self.shared.store.flush()
    }

    /// Gives up what is too old or for nobody, and forgets the old end of the log. Blocking.
    pub(super) fn keep(&self) {
        let now = self.shared.now();
        if let Err(error) = self.give_up_old(now).and_then(|()| self.forget_log(now)) {
            tracing::error!(%error, "the outbox cannot be tidied up");
        }
    }

    fn give_up_old(&self, now: Time) -> Result<(), StoreError> {
        let limit = self.shared.config.give_up_after.as_secs_f64();
        let known: Vec<String> = self.shared.channels().keys().cloned().collect();
        let (mut lost, mut old) = (Vec::new(), Vec::new());
        for (id, queue) in self.shared.queues().iter_mut().filter(|(_, it)| !it.busy) {
            if !known.contains(id) {
                lost.extend(std::mem::take(&mut queue.rows).into_keys());
                continue;
            }
            let too_old = |row: &super::queue::Waiting| now.seconds_since(row.created) >= limit;
            let found: Vec<Arc<str>> =
                queue.rows.iter().filter(|(_, it)| too_old(it)).map(|(id, _)| id.clone()).collect();
            found.iter().for_each(|it| drop(queue.rows.remove(it)));
            old.extend(found);
        }
        if !lost.is_empty() {
            self.give_up(&lost, "its channel is not there any more", now)?;
        }
        if !old.is_empty() {
            self.give_up(&old, "it could not be delivered in time (notify.give_up_after)", now)?;
        }
        Ok(())
    }

    fn forget_log(&self, now: Time) -> Result<(), StoreError> {
        let table = &self.shared.table;
        let oldest = now.saturating_sub(self.shared.config.log_retention);
        let mut batch = Batch::default();
        let mut n = 0;
        for entry in table.prefix(&[ORDER]) {
            let (key, value) = entry?;
            let id = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            let Some(alert) = record::decode::<String>(&value) else { continue };
            let log = record::key2(LOG, &alert, &id);
            let delivery = table.get(&log)?.and_then(|it| record::decode::<Delivery>(&it));
            // In the order of time: the first that is young enough is the end.
            if delivery.as_ref().is_some_and(|it| it.created_at >= oldest) {
                break;
            }
            if delivery.is_some_and(|it| it.state == State::Queued) {
                continue;
            }
            for it in [key, log, record::key(ROW, &id)] {
                batch.remove(&it);
            }
            n += 1;
            if n % FORGET_BATCH == 0 {
                table.apply(std::mem::take(&mut batch))?;
            }
        }
        table.apply(batch)
    }
}

/// How long until the next attempt, if there is one.
fn wait(attempt: &Attempt, rows: &[(Arc<str>, Row)]) -> Option<Wait> {
    let Verdict::Retry(asked) = attempt.verdict else { return None };
    let attempts = rows.iter().map(|(_, it)| it.attempts + 1).max().unwrap_or(1);
    let own = backoff::pause(attempts, super::chance());
    Some(Wait { pause: own.max(asked.unwrap_or_default()), asked: asked.is_some() })
}

impl Tried {
    fn of(attempt: &Attempt, at: Time) -> Self {
        let duration_ms = u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX);
        Self { at, status: attempt.status, response: attempt.said.clone(), duration_ms }
    }
}

/// Whether the message says something newer of the alert of `row` than that.
fn told_later(entries: &[super::message::Entry], row: &Row) -> bool {
    entries.iter().any(|it| {
        it.alert.id == row.alert.id && (it.transition, it.kind) != (row.transition, row.kind)
    })
}

fn dead_reason(attempt: &Attempt, given_up: bool) -> String {
    let answer = match attempt.status {
        Some(it) => format!("the server answered {it} {}", attempt.said),
        None => attempt.said.clone(),
    };
    if given_up { format!("it could not be delivered in time: {answer}") } else { answer }
}
