//! The first event counts in Prometheus too.
//!
//! A counter that appears at 1 has `increase() = 0`: Prometheus saw no 0 before. So a new series is *held*:
//! every Prometheus sees it at 0 until one scrape has carried the 0 and the longest scrape interval that
//! is known has passed, so that the others of a pair have seen it too; then all see the value. It is one
//! state for all: a value, once shown, is never taken back, whatever connection a scrape came over.
//!
//! The mark - every series made up to then has been shown - is stored before a value is shown, so
//! that after a crash no series falls back to 0, which would count it twice.

use super::Scraper;
use super::family::Data;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// A series that nobody scraped for so long is shown as it is: its history is not news.
const OLD_MS: i64 = 600_000;

/// A scraper that was away for so long is forgotten.
const AWAY_MS: i64 = 600_000;

const NEVER: i64 = i64::MIN;

/// No scraper is waited for longer than this.
const MAX_INTERVAL_MS: i64 = 120_000;

/// The series that are held.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    enabled: bool,
    /// Series made up to then, in milliseconds since the epoch, are never held.
    mark_ms: i64,
    held: Vec<Hold>,
    scrapers: HashMap<u64, Seen>,
}

#[derive(Debug)]
struct Hold {
    data: Arc<Data>,
    place: u32,
    created_ms: i64,
    /// When a scrape first carried the 0; [`NEVER`] before.
    shown_ms: i64,
    ready: bool,
}

#[derive(Debug)]
struct Seen {
    at_ms: i64,
    interval_ms: i64,
}

impl Holds {
    /// `enabled: false` holds nothing, for rule tests and replicas of no interest to a Prometheus.
    pub(super) fn new(enabled: bool, mark_ms: i64) -> Self {
        Self(Mutex::new(Inner { enabled, mark_ms, ..Inner::default() }))
    }

    /// Whether a series made at `created_ms` is to be held.
    pub(super) fn wants(&self, created_ms: i64) -> bool {
        let inner = self.lock();
        inner.enabled && created_ms > inner.mark_ms
    }

    pub(super) fn add(&self, data: &Arc<Data>, place: u32, created_ms: i64) {
        let (data, shown_ms, ready) = (Arc::clone(data), NEVER, false);
        self.lock().held.push(Hold { data, place, created_ms, shown_ms, ready });
    }

    /// Notes a scrape by a Prometheus. Returns the mark to store if that makes series ready: call
    /// [`Self::release`] once it is stored, before the page is rendered.
    pub(super) fn scraped(&self, scraper: Scraper, now_ms: i64) -> Option<i64> {
        let mut inner = self.lock();
        let wait_ms = inner.note(scraper, now_ms);
        let mut mark = None;
        for hold in &mut inner.held {
            match hold.shown_ms {
                NEVER if now_ms - hold.created_ms < OLD_MS => hold.shown_ms = now_ms,
                shown if shown != NEVER && now_ms - shown < wait_ms => {}
                _ => {
                    hold.ready = true;
                    mark = mark.max(Some(hold.created_ms));
                }
            }
        }
        mark
    }

    /// Shows the series that are ready as they are, from now on.
    pub(super) fn release(&self, mark_ms: i64) {
        let mut inner = self.lock();
        inner.mark_ms = inner.mark_ms.max(mark_ms);
        let (ready, held) = std::mem::take(&mut inner.held).into_iter().partition(|it| it.ready);
        inner.held = held;
        drop(inner);
        let ready: Vec<Hold> = ready;
        for it in ready {
            it.data.with(it.place, |it| it.held = false);
        }
    }

    /// Forgets what is gone or was replaced.
    pub(super) fn sweep(&self) {
        self.lock().held.retain(|it| it.data.with(it.place, |it| it.used && it.held) == Some(true));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Notes the scrape; how long a 0 must have been shown, a little less than the longest interval.
    fn note(&mut self, scraper: Scraper, now_ms: i64) -> i64 {
        let timeout_ms = i64::from(scraper.timeout_ms);
        let seen = self.scrapers.entry(scraper.id);
        let seen = seen.or_insert(Seen { at_ms: now_ms, interval_ms: timeout_ms });
        if now_ms > seen.at_ms {
            seen.interval_ms = now_ms - seen.at_ms;
        }
        seen.at_ms = now_ms;
        self.scrapers.retain(|_, it| now_ms - it.at_ms < AWAY_MS);
        let longest = self.scrapers.values().map(|it| it.interval_ms).max().unwrap_or(timeout_ms);
        longest.min(MAX_INTERVAL_MS) * 9 / 10
    }
}
