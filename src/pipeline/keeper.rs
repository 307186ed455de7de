//! The keeper: prunes at the start and then at an interval, and whenever somebody asks.

use super::queue::Command;
use super::retention::{Class, Steady, Wanted, believed};
use super::writer::TABLE;
use super::{Config, Pipeline, Retention, now};
use crate::event::Time;
use crate::journal;
use crate::journal::QueryError;
use crate::metrics;
use crate::metrics::{Reach, RestoreError};
use crate::store::{Store, StoreError, Table};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{
    sync::{Mutex, MutexGuard, PoisonError, TryLockError, atomic::AtomicU64},
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time};

/// How often the clock is looked at, and a prune that found no way is tried again.
const LOOK: Duration = Duration::from_secs(60);

/// Pages of the store that a pruned block leaves half dead, generously; and how many are seen to at once.
const PAGES_PER_BLOCK: usize = 16;
const MAX_PAGES: usize = 20_000;

/// Seconds of a prune.
const DURATIONS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];

/// What was forgotten, or would be.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// Events.
    pub events: u64,
    /// Blocks of the journal, whole or in part; 0 if it was a trial.
    pub blocks: u64,
    /// Bytes that they took; 0 if it was a trial.
    pub bytes: u64,
    /// The time that ages were counted from.
    pub counted_from: Time,
    /// How far the clock is ahead of that, if it is not believed.
    pub clock_ahead: Option<Duration>,
}

/// Why nothing was forgotten.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// A backup is being taken, or events are being pruned already.
    #[error(
        "a backup is being taken, or events are being pruned already: try again when it is done"
    )]
    Busy,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// It ended with a panic.
    #[error("it ended with a panic: the log says where")]
    Panicked,
    /// The snapshot could not be stored.
    #[error(
        "the metrics could not be stored, so that a restart may need what is to be forgotten: {0}"
    )]
    Unstored(#[source] StoreError),
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] QueryError),
    /// The snapshot cannot be read.
    #[error(transparent)]
    Snapshot(#[from] RestoreError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The right to forget events, and to keep others from it, until it is dropped.
#[derive(Debug)]
pub struct Hold<'p> {
    _guard: MutexGuard<'p, ()>,
}

/// What the keeper knows.
#[derive(Debug)]
pub(super) struct Keeper {
    retention: Retention,
    store: Store,
    /// Where the snapshot is.
    table: Table,
    /// Held by whoever forgets events, or must not lose any meanwhile.
    keeping: Mutex<()>,
    steady: Mutex<Steady>,
    own: Own,
}

#[derive(Debug)]
struct Own {
    events: Family<Labels, Counter>,
    bytes: Counter,
    duration: Histogram,
    last_success: Gauge<f64, AtomicU64>,
    clock_ahead: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug, EncodeLabelSet, PartialEq, Eq, Hash)]
struct Labels {
    class: &'static str,
}

// === impl Keeper ===

impl Keeper {
    pub(super) fn new(config: &Config, store: &Store) -> Result<Self, StoreError> {
        let own = Own {
            events: Family::default(),
            bytes: Counter::default(),
            duration: Histogram::new(DURATIONS),
            last_success: Gauge::default(),
            clock_ahead: Gauge::default(),
        };
        // All classes are there from the start, at 0.
        for class in Class::ALL {
            let _ = own.events.get_or_create(&Labels { class: class.as_str() });
        }
        let steady = Mutex::new(Steady::new(Instant::now(), now()));
        Ok(Self {
            retention: config.retention.clone(),
            store: store.clone(),
            table: store.table(TABLE)?,
            keeping: Mutex::default(),
            steady,
            own,
        })
    }

    fn hold(&self) -> Result<Hold<'_>, PruneError> {
        match self.keeping.try_lock() {
            Ok(_guard) => Ok(Hold { _guard }),
            Err(TryLockError::Poisoned(it)) => Ok(Hold { _guard: it.into_inner() }),
            Err(TryLockError::WouldBlock) => Err(PruneError::Busy),
        }
    }

    fn look(&self, now: Time) -> Duration {
        let mut steady = self.steady.lock().unwrap_or_else(PoisonError::into_inner);
        steady.look(Instant::now(), now)
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let own = &self.own;
        registry.register("pruned", "Events that were forgotten, by class", own.events.clone());
        registry.register(
            "pruned_bytes",
            "Bytes of stored blocks that were given back for reuse",
            own.bytes.clone(),
        );
        registry.register("prune_duration_seconds", "Time of a prune", own.duration.clone());
        registry.register(
            "prune_last_success_timestamp_seconds",
            "Time of the last prune that succeeded",
            own.last_success.clone(),
        );
        registry.register(
            "prune_clock_ahead_seconds",
            "How far the clock is ahead of the time that ages are counted from",
            own.clock_ahead.clone(),
        );
    }
}

// === impl Pipeline ===

impl Pipeline {
    /// What the configuration says about forgetting.
    #[must_use]
    pub fn retention(&self) -> &Retention {
        &self.inner.keeper.retention
    }

    /// Forgets what the configuration says, now and at its interval, for ever. Returns at once if nothing
    /// is ever forgotten. What goes wrong is logged and tried again.
    pub async fn keep(&self) {
        let keeper = &self.inner.keeper;
        if !keeper.retention.forgets() {
            return;
        }
        let mut done: Option<Instant> = None;
        loop {
            keeper.look(now());
            if done.is_none_or(|it| it.elapsed() >= keeper.retention.interval) {
                match self.forget(Wanted::default()).await {
                    Ok(pruned) => {
                        done = Some(Instant::now());
                        pruned.log();
                    }
                    Err(PruneError::Busy) => {}
                    Err(PruneError::Stopping) => return,
                    Err(error) => tracing::error!(%error, "pruning the journal failed; will retry"),
                }
            }
            time::sleep(LOOK.min(keeper.retention.interval)).await;
        }
    }

    /// Forgets what is `wanted`, of everything that was answered before the call. Ingest goes on meanwhile.
    ///
    /// # Errors
    ///
    /// Somebody else prunes or takes a backup, the server is stopping, or the store failed. What was
    /// forgotten before stays so.
    pub async fn prune(&self, wanted: Wanted) -> Result<Pruned, PruneError> {
        // What the snapshot does not contain has to stay, for a restart to replay.
        self.snapshot().await?;
        self.forget(wanted).await
    }

    /// Says how many events [`Self::prune`] would forget, and forgets none.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub async fn prune_trial(&self, wanted: Wanted) -> Result<Pruned, PruneError> {
        self.blocking(move |it| {
            let keeper = &it.inner.keeper;
            let (from, clock_ahead) = it.counted_from(now())?;
            let counts = keeper.retention.count(it.journal(), &wanted, from)?;
            let events = counts.iter().map(|it| it.1).sum();
            Ok(Pruned { events, blocks: 0, bytes: 0, counted_from: from, clock_ahead })
        })
        .await
    }

    async fn forget(&self, wanted: Wanted) -> Result<Pruned, PruneError> {
        self.blocking(move |it| it.forget_at(&wanted, now())).await
    }

    fn forget_at(&self, wanted: &Wanted, now: Time) -> Result<Pruned, PruneError> {
        let keeper = &self.inner.keeper;
        let _hold = keeper.hold()?;
        let started = Instant::now();
        let (from, clock_ahead) = self.counted_from(now)?;
        let keep_from = self.reach()?.map_or(0, |it| it.next);
        // Only now the snapshot that makes events dispensable is sure to be on disk.
        keeper.store.flush()?;
        let plan = keeper.retention.plan(wanted);
        let pruned = self.journal().prune(&plan, from, keep_from)?;
        let blocks = usize::try_from(pruned.blocks).unwrap_or(usize::MAX);
        keeper.store.reclaim(blocks.saturating_mul(PAGES_PER_BLOCK).min(MAX_PAGES))?;
        let own = &keeper.own;
        for (event_type, events) in &pruned.types {
            let class = keeper.retention.class(event_type).as_str();
            own.events.get_or_create(&Labels { class }).inc_by(*events);
        }
        own.bytes.inc_by(pruned.bytes);
        own.duration.observe(started.elapsed().as_secs_f64());
        own.last_success.set(now.as_seconds());
        let journal::Pruned { events, blocks, bytes, .. } = pruned;
        Ok(Pruned { events, blocks, bytes, counted_from: from, clock_ahead })
    }

    /// The time that ages count from at `now`, and how far the clock is ahead if that is another one.
    fn counted_from(&self, now: Time) -> Result<(Time, Option<Duration>), PruneError> {
        let keeper = &self.inner.keeper;
        let from = believed(self.journal(), now, keeper.look(now))?;
        let ahead = Duration::try_from_secs_f64(now.seconds_since(from)).ok();
        let ahead = ahead.filter(|it| !it.is_zero());
        keeper.own.clock_ahead.set(ahead.unwrap_or_default().as_secs_f64());
        Ok((from, ahead))
    }

    /// Keeps events from being forgotten, and backups from being taken, for as long as the answer lives.
    ///
    /// # Errors
    ///
    /// Somebody else does.
    pub fn hold(&self) -> Result<Hold<'_>, PruneError> {
        self.inner.keeper.hold()
    }

    /// Up to where the stored snapshot goes; `None` if there is none. Blocking.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the snapshot is damaged.
    pub fn reach(&self) -> Result<Option<Reach>, PruneError> {
        Ok(metrics::reach(&self.inner.keeper.table)?)
    }

    /// The store below everything.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Stores a snapshot of everything that was answered before the call; where it stands.
    ///
    /// # Errors
    ///
    /// It could not be stored, or the server is stopping.
    pub async fn snapshot(&self) -> Result<Reach, PruneError> {
        let (reply, done) = oneshot::channel();
        self.order(Command::Snapshot(reply)).await;
        done.await.map_err(|_| PruneError::Stopping)?.map_err(PruneError::Unstored)?;
        self.blocking(Self::reach).await?.ok_or(PruneError::Stopping)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, PruneError> + Send + 'static,
    ) -> Result<T, PruneError> {
        let pipeline = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&pipeline)).await;
        done.unwrap_or_else(|it| {
            Err(if it.is_panic() { PruneError::Panicked } else { PruneError::Stopping })
        })
    }
}

// === impl Pruned ===

impl Pruned {
    fn log(&self) {
        if let Some(ahead) = self.clock_ahead {
            let hours = ahead.as_secs() / 3600;
            tracing::warn!(
                clock.ahead_hours = hours,
                "the clock is {hours} h ahead of the last event: until that is certain, ages count from that event"
            );
        }
        if self.events > 0 {
            let Self { events, bytes, .. } = self;
            tracing::info!(pruned.events = events, pruned.bytes = bytes, "pruned {events} events");
        }
    }
}

#[cfg(test)]
mod tests;
