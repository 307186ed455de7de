//! Showing what happens to alerts to those who watch, as it happens.
//!
//! Whoever watches is given what is pending or fires, and then each change in order, numbered without a gap. A change is
//! shown once it is on disk; only what is pending, which nobody is told of, is shown before. Nothing is made for nobody.

use super::Alerting;
use super::engine::{Engine, alert, silenced_by};
use crate::alerts::{Alert, Change, Phase};
use crate::event::Time;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Changes that are kept for who is slow. Who is further behind is given everything anew.
const KEPT: usize = 1024;

/// Something that happened to an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// Its number since the start of the process; one more than the one before.
    pub sequence: u64,
    /// When.
    pub at: Time,
    /// What.
    pub what: What,
    /// The alert as it is then.
    pub alert: Alert,
}

/// What happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Its condition began to hold.
    Pending,
    /// Its condition ceased to hold before it fired.
    Dropped,
    /// It fired.
    Firing,
    /// It is over.
    Resolved,
    /// Somebody took it on.
    Acknowledged,
    /// A silence holds.
    Silenced,
    /// No silence holds any more.
    Unsilenced,
}

/// What is to be shown, as long as somebody watches.
#[derive(Debug, Default)]
pub(super) struct News {
    watched: bool,
    waiting: Vec<(Time, What, Alert)>,
}

/// Those who watch.
#[derive(Debug)]
pub(super) struct Watchers {
    sender: broadcast::Sender<Arc<Moved>>,
    /// The number of the last change. Changed with the engine locked.
    sequence: std::sync::atomic::AtomicU64,
}

/// One who watches.
#[derive(Debug)]
pub struct Watch {
    /// What was pending or fired when it began, the newest first.
    pub alerts: Vec<Alert>,
    /// The number of the last change that is in it.
    pub sequence: u64,
    receiver: broadcast::Receiver<Arc<Moved>>,
}

// === impl Alerting ===

impl Alerting {
    /// Everything that is pending or fires now, and from then on each change. Blocking.
    #[must_use]
    pub fn watch(&self, now: Time) -> Watch {
        let mut engine = self.lock();
        // What waits to be shown is in the list already. What waits for the disk is shown once more when it is there.
        if !engine.round.is_urgent() {
            self.publish(&mut engine);
        }
        let watchers = &self.shared.watchers;
        let receiver = watchers.sender.subscribe();
        if !engine.round.news.watched {
            engine.round.news.watched = true;
            engine.look_at_all(now, false);
        }
        let mut alerts = engine.alerts(now);
        alerts.sort_by(|a, b| (b.starts_at, &a.id).cmp(&(a.starts_at, &b.id)));
        let sequence = watchers.sequence.load(std::sync::atomic::Ordering::Relaxed);
        Watch { alerts, sequence, receiver }
    }

    /// Shows what waits to be shown.
    pub(super) fn publish(&self, engine: &mut Engine) {
        let news = &mut engine.round.news;
        let watchers = &self.shared.watchers;
        for (at, what, alert) in news.waiting.drain(..) {
            let before = watchers.sequence.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            // Nobody to take it is no failure.
            let _ = watchers.sender.send(Arc::new(Moved { sequence: before + 1, at, what, alert }));
        }
        news.watched = watchers.sender.receiver_count() > 0;
    }
}

// === impl Watch ===

impl Watch {
    /// The next change; `None` if this one is too far behind, or alerting is over: then it is to watch anew. May be dropped at
    /// any time and called again.
    pub async fn next(&mut self) -> Option<Arc<Moved>> {
        // That it lagged behind is the one error while there is an `Alerting`.
        self.receiver.recv().await.ok()
    }
}

// === impl News ===

impl News {
    pub(super) fn add(&mut self, at: Time, what: What, alert: impl FnOnce() -> Alert) {
        if self.watched {
            self.waiting.push((at, what, alert()));
        }
    }
}

// === impl Engine ===

impl Engine {
    /// Looks whether other silences hold than before, and of which alerts.
    pub(super) fn look_at_silences(&mut self, now: Time) {
        if !self.round.news.watched {
            return;
        }
        let active = self.silences.values().filter(|it| it.silence.is_active(now));
        let holding: Vec<_> = active.map(|it| it.silence.id.clone()).collect();
        if holding != self.holding {
            self.holding = holding;
            self.look_at_all(now, true);
        }
    }

    /// Notes which silences hold of each alert, and with `show` what changed about them.
    fn look_at_all(&mut self, now: Time, show: bool) {
        let Self { rules, silences, round, .. } = self;
        for ruled in rules.values_mut() {
            let compiled = &ruled.compiled;
            for it in ruled.instances.values_mut() {
                if it.state.phase == Phase::Inactive {
                    continue;
                }
                let by = silenced_by(silences, &it.labels, now);
                if by == it.silenced_by {
                    continue;
                }
                it.silenced_by = by;
                if show {
                    let what =
                        if it.silenced_by.is_empty() { What::Unsilenced } else { What::Silenced };
                    let by = it.silenced_by.clone();
                    let shown = || Alert { silenced_by: by, ..alert(compiled, it) };
                    round.news.add(now, what, shown);
                }
            }
        }
    }
}

// === impl Watchers ===

impl Default for Watchers {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(KEPT), sequence: 0.into() }
    }
}

// === impl What ===

impl What {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Dropped => "dropped",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Acknowledged => "acknowledged",
            Self::Silenced => "silenced",
            Self::Unsilenced => "unsilenced",
        }
    }
}

impl From<Change> for What {
    fn from(it: Change) -> Self {
        match it {
            Change::Pending => Self::Pending,
            Change::Dropped => Self::Dropped,
            Change::Firing => Self::Firing,
            Change::Resolved => Self::Resolved,
        }
    }
}
