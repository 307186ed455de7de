//! What waits for one channel, in memory: enough to choose what goes next. Pure.

use super::backoff::MAX_WAIT;
use super::message::{Kind, MAX_ENTRIES};
use crate::event::Time;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// After so many failures of one message, those of other alerts may pass it: it may be the message that its server
/// cannot take.
const PASS_AFTER: u32 = 6;
/// On a slow channel, more waiting messages than this go out as one.
const STORM: usize = 5;
/// Groups whose last message is remembered.
const MAX_GROUPS: usize = 10_000;

/// What waits for a channel.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By id, which is the order of time.
    pub(super) rows: BTreeMap<Arc<str>, Waiting>,
    /// Whether something is on its way: then nothing else is.
    pub(super) busy: bool,
    pub(super) paused_until: Option<Instant>,
    last_sent: Option<Instant>,
    /// When a message of a group was or will be sent last.
    groups: HashMap<Arc<str>, Time>,
    /// When Alertmanagers are sent their alerts again.
    pub(super) resend_at: Option<Instant>,
}

/// A notification that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) alert: Arc<str>,
    pub(super) group: Option<Arc<str>>,
    pub(super) kind: Kind,
    pub(super) created: Time,
    pub(super) due: Time,
    pub(super) attempts: u32,
    pub(super) message: Option<Arc<str>>,
}

/// How a kind of channel takes messages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// The least time between two messages.
    pub(super) gap: Duration,
    /// Whether many messages that wait become one, though no group asks for it.
    pub(super) gathers: bool,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing until something is added.
    Nothing,
    /// Nothing for so long.
    Wait(Duration),
    /// Send these as one message.
    Send(Vec<Arc<str>>),
}

impl Queue {
    /// When a notification that is made at `now` is to go out.
    pub(super) fn due(
        &self,
        group: Option<&str>,
        now: Time,
        wait: Duration,
        interval: Duration,
    ) -> Time {
        let Some(group) = group else { return now };
        let first = now.saturating_add(wait);
        match self.groups.get(group) {
            Some(last) => first.max(last.saturating_add(interval)),
            None => first,
        }
    }

    pub(super) fn add(&mut self, id: Arc<str>, row: Waiting) {
        if let Some(group) = &row.group {
            let last = self.groups.entry(group.clone()).or_insert(row.due);
            // Of those that wait together, the first decides.
            if *last <= row.created {
                *last = row.due;
            }
        }
        self.rows.insert(id, row);
    }

    /// What goes next at `now`, which is `at` on the clock that cannot be set.
    pub(super) fn next(&self, now: Time, at: Instant, pace: Pace) -> Next {
        if self.busy || self.rows.is_empty() {
            return Next::Nothing;
        }
        let rested = self.last_sent.map(|it| it + pace.gap);
        let rest = self.paused_until.max(rested).map(|it| it.saturating_duration_since(at));
        if let Some(rest) = rest.filter(|it| !it.is_zero()) {
            return Next::Wait(rest);
        }
        let mut wait: Option<Duration> = None;
        let mut blocked = HashSet::new();
        for (id, row) in &self.rows {
            if blocked.contains(&row.alert) {
                continue;
            }
            let left = left(row.due, now);
            if left.is_zero() {
                return Next::Send(self.together(id, now, pace));
            }
            wait = Some(wait.map_or(left, |it| it.min(left)));
            if row.attempts > 0 && row.attempts < PASS_AFTER {
                break;
            }
            blocked.insert(&row.alert);
        }
        wait.map_or(Next::Nothing, Next::Wait)
    }

    /// What goes out with `first`: the rest of its message, or what it may be put together with. Of each alert that is
    /// the oldest that wait, so that none overtakes another.
    fn together(&self, first: &Arc<str>, now: Time, pace: Pace) -> Vec<Arc<str>> {
        let Some(base) = self.rows.get(first) else { return Vec::new() };
        if base.message.is_some() {
            let same = self.rows.iter().filter(|(_, it)| it.message == base.message);
            return same.map(|(id, _)| id.clone()).collect();
        }
        let fresh = |it: &Waiting| it.attempts == 0 && it.message.is_none();
        let gathered =
            |it: &Waiting| fresh(it) && it.kind != Kind::Test && left(it.due, now).is_zero();
        let storm = pace.gathers && self.rows.values().filter(|it| gathered(it)).count() > STORM;
        let (mut held, mut alerts) = (HashSet::new(), HashSet::new());
        let mut res = Vec::new();
        for (id, row) in &self.rows {
            if held.contains(&row.alert) {
                continue;
            }
            let grouped = row.group.is_some() && row.group == base.group && fresh(row);
            let wanted =
                id == first || alerts.contains(&row.alert) || grouped || (storm && gathered(row));
            let room = alerts.contains(&row.alert) || alerts.len() < MAX_ENTRIES || id == first;
            if row.message.is_none() && wanted && room {
                alerts.insert(&row.alert);
                res.push(id.clone());
            } else {
                held.insert(&row.alert);
            }
        }
        res
    }

    /// A message was taken or will never be.
    pub(super) fn settled(&mut self, ids: &[Arc<str>], now: Time, at: Instant) {
        for id in ids {
            if let Some(group) = self.rows.remove(id).and_then(|it| it.group) {
                self.groups.insert(group, now);
            }
        }
        if self.groups.len() > MAX_GROUPS {
            self.groups.retain(|_, last| left(last.saturating_add(MAX_WAIT), now) > Duration::ZERO);
        }
        (self.busy, self.paused_until) = (false, None);
        self.last_sent = Some(at);
    }

    /// A message is tried again at `due`, and nothing at all, from `at` on, until `paused_until`.
    pub(super) fn failed(
        &mut self,
        ids: &[Arc<str>],
        message: Option<&Arc<str>>,
        due: Time,
        (at, paused_until): (Instant, Instant),
    ) {
        for id in ids {
            if let Some(row) = self.rows.get_mut(id) {
                row.attempts += 1;
                row.due = due;
                row.message = message.cloned().or(row.message.take());
            }
        }
        (self.busy, self.paused_until) = (false, Some(paused_until));
        self.last_sent = Some(at);
    }
}

/// How long until `due`. Nothing is ever made to wait for longer than [`MAX_WAIT`]: if it seems so, the clock was set back
/// since, and it is due.
fn left(due: Time, now: Time) -> Duration {
    let seconds = due.seconds_since(now);
    if seconds > MAX_WAIT.as_secs_f64() {
        Duration::ZERO
    } else {
        Duration::from_secs_f64(seconds.max(0.0))
    }
}

#[cfg(test)]
mod tests;
