//! The groups of pushed metrics: what the Pushgateway stores, kept consistent by an index.
//!
//! # Contract
//!
//! - [`Groups`] is the write side; there is one. A push is first made a [`Push`] (on any thread), then applied:
//!   checked against the index and committed, or rejected. A rejected push changes nothing but the failure
//!   time of its group. What it costs depends on the push and its group, never on the other groups.
//! - [`View`] is the read side, a handle. A page sees every group whole, as one push left it.
//! - Whatever was stored, the page stays valid: what disagrees all the same is left out and counted.
//! - What is to be made durable comes back as after-images ([`Write`]), which go to the commit log as one record
//!   for all pushes of a commit ([`record`]) and to the table later. Every one carries the version of its group,
//!   so that an older one can be told from a newer one.

mod add;
mod apply;
mod blends;
mod check;
mod encode;
mod group;
mod index;
mod jobs;
mod life;
mod limits;
mod own;
mod page;
mod prepare;
pub mod record;
mod reject;
mod remove;
mod retries;
mod series;
mod stored;
mod sum;
mod terms;
mod verify;

pub use apply::{Outcome, Undo, Write};
pub use group::{FamilyView, Group};
pub use jobs::{JobLimit, JobLimits, JobRule, JobTerms, Jobs, Limit};
pub use life::Keep;
pub use limits::Exceeded;
pub use page::{Page, PageFamily};
pub use prepare::Push;
pub use reject::Rejected;
pub use remove::Selection;
pub use retries::RetryConfig;
pub use series::{Sample, Samples};
pub use stored::{LoadError, version};
pub use terms::{Blend, CLEAR_MODE, ClearMode, Mode, Retry, Terms};
pub use verify::Verify;

use crate::event::Time;
use crate::exposition::Kind;
use crate::push::{Family, Grouping};
use crate::store::Table;
use hashbrown::HashMap;
use index::Index;
use own::Own;
use retries::Retries;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// How pushes are judged.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether a push that disagrees with what is stored is rejected. If not, it is taken, and what disagrees
    /// is left out of the page. Default true.
    pub check: bool,
    /// What is said about jobs. Default nothing, and as much as there is.
    pub jobs: Jobs,
    /// How long the times of a group outlive its metrics. Default ten times its TTL.
    pub keep_times: Keep,
    /// What is remembered of pushes with an `Idempotency-Key`.
    pub retries: RetryConfig,
}

/// When it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// By the clock on the wall, which people set.
    pub wall: Time,
    /// By one that nobody sets: the wall's when the process began, and what has passed since.
    pub steady: Time,
}

/// What a push does to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Replaces the whole group.
    Put,
    /// Replaces the families of the same names.
    Post,
    /// Removes the group.
    Delete,
}

/// The families that the page has from elsewhere: type and label names by name.
pub type Foreign = HashMap<String, (Kind, Vec<String>)>;

/// The write side.
#[derive(Debug)]
pub struct Groups {
    view: View,
    index: Index,
    foreign: Foreign,
    retries: Retries,
    now: Now,
    /// Of the last change.
    version: u64,
}

/// The read side. Clones share it.
#[derive(Clone, Debug)]
pub struct View {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Sorted by key. The lock is held to copy pointers.
    groups: Mutex<BTreeMap<Arc<[u8]>, Arc<Group>>>,
    /// Counts changes, so that a rendered page is known to be stale.
    changes: AtomicU64,
    series: AtomicU64,
    /// Keys of retries.
    keys: AtomicU64,
    twins: Arc<AtomicBool>,
    hash_key: (u64, u64),
    config: Config,
    own: Own,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        let (jobs, retries) = (Jobs::default(), RetryConfig::default());
        Self { check: true, jobs, keep_times: Keep::default(), retries }
    }
}

// === impl Groups ===

impl Groups {
    /// The groups that `table` holds. `hash_key` is random, so that nobody can aim at a collision; `now` is when
    /// the process began.
    ///
    /// # Errors
    ///
    /// The table cannot be read, or a group is damaged.
    pub fn load(
        table: &Table,
        config: Config,
        hash_key: (u64, u64),
        now: Time,
    ) -> Result<Self, LoadError> {
        let mut index = Index::new(hash_key);
        let loaded = stored::load(table, &mut index, now)?;
        Ok(Self::of(loaded, index, config, (hash_key, now)))
    }

    /// No groups yet; as [`Self::load`] of an empty table, which it does not need.
    #[must_use]
    pub fn new(config: Config, hash_key: (u64, u64), now: Time) -> Self {
        let loaded = stored::Loaded { groups: Vec::new(), retries: Vec::new(), version: 0 };
        Self::of(loaded, Index::new(hash_key), config, (hash_key, now))
    }

    fn of(
        stored::Loaded { groups, retries: known, version }: stored::Loaded,
        index: Index,
        config: Config,
        (hash_key, now): ((u64, u64), Time),
    ) -> Self {
        let mut retries = Retries::new(config.retries);
        for (id, it) in known {
            // One from the future, before the clock was set back, is not remembered for longer than others.
            retries.set(id, Some(retries::Known { at: it.at.min(now), ..it }));
        }
        let shared = Shared {
            groups: Mutex::default(),
            changes: AtomicU64::new(0),
            series: AtomicU64::new(0),
            keys: AtomicU64::new(retries.len() as u64),
            twins: Arc::clone(&index.twins),
            hash_key,
            config,
            own: Own::default(),
        };
        let view = View { shared: Arc::new(shared) };
        let now = Now { wall: now, steady: now };
        let mut res = Self { view, index, foreign: Foreign::new(), retries, now, version };
        let groups = groups.into_iter().map(|it| (Arc::clone(&it.key), Arc::new(it)));
        let indexed = groups.inspect(|(_, it)| res.index.replace(None, Some(it)));
        let groups: BTreeMap<_, _> = indexed.collect();
        *res.view.lock() = groups;
        res.changed();
        res
    }

    /// The read side.
    #[must_use]
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Says which families the page has from elsewhere from now on. No push may disagree with them.
    pub fn set_foreign(&mut self, foreign: Foreign) {
        self.foreign = foreign;
    }

    /// Says when it is from now on.
    pub fn set_now(&mut self, now: Now) {
        self.now = now;
    }

    /// The version of the last change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    fn changed(&self) {
        self.view.shared.series.store(self.index.len() as u64, Ordering::Relaxed);
        self.view.shared.changes.fetch_add(1, Ordering::Release);
    }
}

// === impl View ===

impl View {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<[u8]>, Arc<Group>>> {
        self.shared.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a push of `families` to the group that `grouping` names. Does what can be done without the
    /// other groups.
    #[must_use]
    pub fn prepare(
        &self,
        terms: impl Into<Terms>,
        grouping: &Grouping,
        families: Vec<Family>,
    ) -> Push {
        Push::new(self.shared.hash_key, terms.into(), grouping, families)
    }

    /// How pushes are judged.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Counts changes: a page that was rendered at this count is not stale.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.shared.changes.load(Ordering::Acquire)
    }

    /// All groups, sorted by labels.
    #[must_use]
    pub fn groups(&self) -> Vec<Arc<Group>> {
        self.lock().values().cloned().collect()
    }

    /// How many groups there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many metrics there are, a histogram or summary being one; the two times of a group are one.
    #[must_use]
    pub fn series(&self) -> u64 {
        self.shared.series.load(Ordering::Relaxed)
    }

    /// How many `Idempotency-Key`s are remembered.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.shared.keys.load(Ordering::Relaxed)
    }

    /// The group that `grouping` names.
    #[must_use]
    pub fn get(&self, grouping: &Grouping) -> Option<Arc<Group>> {
        self.by_key(&group::key(grouping.iter()))
    }

    fn by_key(&self, key: &[u8]) -> Option<Arc<Group>> {
        self.lock().get(key).cloned()
    }
}

#[cfg(test)]
mod tests;
