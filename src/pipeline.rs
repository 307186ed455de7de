//! The single writer, and the handle that everything submits to.
//!
//! # Contract
//!
//! - When [`Pipeline::submit`] answers, the events are on disk (with [`Durability::Sync`]) and in the
//!   metrics. Whoever asked may have hung up long before: what was queued is committed all the same.
//! - Requests are committed in the order in which they were queued; one fsync serves all that wait.
//! - The queue is bounded in requests and bytes. A full one refuses at once, before memory grows; nothing
//!   that was taken is dropped.
//! - [`Pipeline::stop`] commits what is queued, stores a snapshot and returns; later submissions are
//!   refused.

mod answers;
mod chronicle;
mod health;
mod keeper;
mod live;
mod own;
mod push;
mod queue;
mod reload;
mod replay;
mod retention;
mod scrape;
mod writer;

pub use chronicle::{Chronicle, ChronicleError};
pub use health::Health;
pub use keeper::{Hold, PruneError, Pruned};
pub use push::{GroupMoved, Pushed, Removed};
pub use reload::{ReloadError, Reloaded};
pub use replay::{BackfillState, Progress, Replay, ReplayError, Replayed};
pub use retention::{Class, ParseClassError, Retention, Wanted};
pub use scrape::ScrapeFormat;

use crate::event::{EventId, IdGenerator, NewEvent, Time};
use crate::groups;
use crate::journal;
use crate::journal::{Journal, Segment};
use crate::metrics;
use crate::metrics::Metrics;
use crate::rules::RuleSet;
use crate::store::{Store, StoreError};
use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use queue::{Append, Command, Duplicates, Prepared, Queued};
use std::{
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::{oneshot, watch};

/// How the pipeline behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// When a submission is answered. Default sync.
    pub durability: Durability,
    /// Requests that may wait for the writer. Default 4096.
    pub queue_requests: usize,
    /// Bytes that may wait for the writer. Default 64 MiB; a single request may exceed it when alone.
    pub queue_bytes: usize,
    /// How long ids are remembered.
    pub dedup: journal::DedupConfig,
    /// How often the metrics are stored, when events came. Default 5 minutes.
    pub snapshot_interval: Duration,
    /// The rule file; the built-in rules if there is none.
    pub rules_file: Option<PathBuf>,
    /// Bytes of a label value; what is longer is cut. Default 128.
    pub max_label_bytes: usize,
    /// How long a page may be shown again when nothing happened since. Default 1 s.
    pub page_cache: Duration,
    /// How the projection behaves.
    pub metrics: metrics::Config,
    /// How pushes are judged.
    pub groups: groups::Config,
    /// How long events are kept.
    pub retention: Retention,
}

/// When a submission is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk.
    Sync,
    /// When it is taken; it is on disk at most so much later. A crash may lose what came in between.
    Relaxed(Duration),
}

/// The handle that everything submits to. Clones share it.
#[derive(Clone, Debug)]
pub struct Pipeline {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    queue: mpsc::SyncSender<Command>,
    store: Store,
    queued: Arc<Queued>,
    journal: Journal,
    metrics: Metrics,
    groups: groups::View,
    rules: ArcSwap<RuleSet>,
    rules_source: reload::Source,
    page_cache: Duration,
    reloading: tokio::sync::Mutex<()>,
    ids: IdGenerator,
    started: Instant,
    pulse: Arc<health::Pulse>,
    own: Arc<own::Own>,
    registry: OnceLock<Registry>,
    pages: scrape::Pages,
    keeper: keeper::Keeper,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
    committed: watch::Receiver<u64>,
    notices: push::Notices,
    replays: replay::Replays,
}

/// What happened to a submitted batch: it is durable and visible.
#[derive(Clone, Debug)]
pub struct Ack {
    /// When it arrived.
    pub received: Time,
    /// Per event, in the order submitted.
    pub events: Vec<Receipt>,
}

/// What happened to one event.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The event's id, the sender's or ours.
    pub id: EventId<'static>,
    /// Whether it had been accepted before, so that nothing was done now.
    pub duplicate: bool,
}

/// Why nothing of a batch was accepted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full: try again in a moment.
    #[error("the queue is full")]
    Full,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The disk is full: the same request is taken as soon as there is room.
    #[error(
        "the server's disk is full: {free} bytes are free and {needed} are needed; nothing of this request was accepted, send it again when there is room"
    )]
    NoSpace {
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// The store cannot be written.
    #[error("the store cannot be written: {0}")]
    Store(Arc<str>),
}

impl From<&StoreError> for SubmitError {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Full { free, needed, .. } => Self::NoSpace { free: *free, needed: *needed },
            other => Self::Store(other.to_string().into()),
        }
    }
}

/// Why the pipeline could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal is damaged.
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    /// The journal cannot be replayed.
    #[error(
        "cannot replay the journal: {0}; nothing that was stored was changed: run `observatory verify` on the data directory to see what is lost, or restore a backup"
    )]
    Replay(#[from] journal::QueryError),
    /// The snapshot is damaged.
    #[error(transparent)]
    Snapshot(#[from] metrics::RestoreError),
    /// A pushed group is damaged.
    #[error(transparent)]
    Groups(#[from] groups::LoadError),
    /// The rules cannot be used.
    #[error(transparent)]
    Rules(#[from] ReloadError),
    /// There is no randomness.
    #[error("the operating system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            queue_requests: 4096,
            queue_bytes: 64 << 20,
            dedup: journal::DedupConfig::default(),
            snapshot_interval: Duration::from_secs(300),
            rules_file: None,
            max_label_bytes: 128,
            page_cache: Duration::from_secs(1),
            metrics: metrics::Config::default(),
            groups: groups::Config::default(),
            retention: Retention::default(),
        }
    }
}

// === impl Pipeline ===

impl Pipeline {
    /// Opens the journal in `store`, brings the metrics up to date and starts the writer. Blocks for as
    /// long as the replay takes, which is about a second per million events since the last snapshot.
    ///
    /// # Errors
    ///
    /// The rules do not compile, or what is stored cannot be read. Nothing was changed then.
    pub fn open(config: &Config, store: &Store) -> Result<Self, OpenError> {
        let rules_source = reload::Source::new(config);
        let rules = Arc::new(rules_source.load()?);
        let [key_a, key_b, ids, hash_a, hash_b] = random()?;
        let now = now();
        let (journal, mut journal_writer, merger) =
            journal::open(store, dedup_window(config, &rules), now, (key_a, key_b))?;
        let projection = writer::recover(config, store, &journal, &rules, now)?;
        let (queue, commands) = mpsc::sync_channel(config.queue_requests);
        let queued = Arc::new(Queued::new(config));
        let pulse = Arc::new(health::Pulse::default());
        let own = Arc::new(own::Own::default());
        own.reloaded(Ok(&rules), now);
        let metrics = projection.metrics();
        let hash_key = (hash_a, hash_b);
        let pushes =
            push::Pushes::open(store, config.groups.clone(), hash_key, &mut journal_writer)?;
        let (groups, notices) = (pushes.view(), pushes.notices());
        let keeper = keeper::Keeper::new(config, store)?;
        let (tap, committed) = live::Tap::with_follower(journal.end());
        let writer = writer::Writer::new(
            config,
            store,
            journal_writer,
            (projection, pushes),
            (Arc::clone(&pulse), Arc::clone(&own), tap),
        )?;
        let writer = spawn("writer", move || writer.run(&commands))?;
        let merger = spawn("merger", move || merger.run())?;
        let (replays, woken) = replay::Replays::new();
        let res = Self {
            inner: Arc::new(Inner {
                queue,
                store: store.clone(),
                queued,
                journal,
                metrics,
                groups,
                rules: ArcSwap::new(rules),
                rules_source,
                page_cache: config.page_cache,
                reloading: tokio::sync::Mutex::default(),
                ids: IdGenerator::new(ids),
                started: Instant::now(),
                pulse,
                own,
                registry: OnceLock::new(),
                pages: scrape::Pages::default(),
                keeper,
                threads: Mutex::new(vec![writer, merger]),
                committed,
                notices,
                replays,
            }),
        };
        res.start_backfills(woken)?;
        Ok(res)
    }

    /// The time by the pipeline's clock.
    #[must_use]
    pub fn now(&self) -> Time {
        now()
    }

    /// Takes `events` to be stored and counted. The work that depends on the body is done before this
    /// returns; the future waits for the commit and may be dropped without undoing anything.
    ///
    /// # Errors
    ///
    /// The queue or the disk is full, the server is stopping, or the store cannot be written. Nothing was
    /// accepted then, except that a store that failed between writing and flushing may have kept it; it takes
    /// nothing more until the next start, which finds out.
    pub fn submit(
        &self,
        events: Vec<NewEvent<'_>>,
    ) -> impl Future<Output = Result<Ack, SubmitError>> + Send + use<> {
        let started = Instant::now();
        let received = now();
        let queued = self.queue(events, received);
        let own = Arc::clone(&self.inner.own);
        async move {
            let Waiting { ids, stored, answer } = queued?;
            let mut duplicates = match answer {
                Some(it) => it.await.unwrap_or(Err(SubmitError::Stopping))?,
                None => Vec::new(),
            };
            if !stored.is_empty() {
                duplicates = among_all(&stored, &duplicates, ids.len());
            }
            own.ingested(ids.len() - duplicates.len(), duplicates.len(), started.elapsed());
            let is_duplicate = |at: &usize| duplicates.binary_search(at).is_ok();
            let receipt = |(at, id)| Receipt { id, duplicate: is_duplicate(&at) };
            Ok(Ack { received, events: ids.into_iter().enumerate().map(receipt).collect() })
        }
    }

    fn queue(&self, events: Vec<NewEvent<'_>>, received: Time) -> Result<Waiting, SubmitError> {
        let inner = &self.inner;
        if events.is_empty() {
            return Ok(Waiting { ids: Vec::new(), stored: Vec::new(), answer: None });
        }
        // Refuse before the work is done: an overload must be cheap.
        if inner.queued.is_full() {
            inner.own.refused();
            return Err(SubmitError::Full);
        }
        let stored = self.stored(&events)?;
        let rules = inner.rules.load_full();
        let (reply, answer) = oneshot::channel();
        let mut prepared = Prepared::for_events(events.len());
        let mut ids = Vec::with_capacity(events.len());
        for (at, event) in events.into_iter().enumerate() {
            let event = event.accept(received, || inner.ids.next(received));
            if stored.binary_search(&at).is_err() {
                prepared.push(&event, &rules, inner.journal.id_key());
            }
            ids.push(match event.id {
                EventId::Given(it) => EventId::Given(it.into_owned().into()),
                EventId::Generated(it) => EventId::Generated(it),
            });
        }
        let Prepared { mut segments, updates, parts } = prepared;
        if parts.is_empty() {
            return Ok(Waiting { ids, stored, answer: None });
        }
        segments.iter_mut().for_each(Segment::pack);
        let size = segments.iter().map(Segment::size_bytes).sum::<usize>() + updates.text.len();
        let Some(place) = Queued::enter(&inner.queued, size) else {
            inner.own.refused();
            return Err(SubmitError::Full);
        };
        let received_ms = received.as_millis();
        let append = Append { segments, updates, parts, rules, received_ms, reply, _place: place };
        match inner.queue.try_send(Command::Append(Box::new(append))) {
            Ok(()) => Ok(Waiting { ids, stored, answer: Some(answer) }),
            Err(mpsc::TrySendError::Full(_)) => {
                inner.own.refused();
                Err(SubmitError::Full)
            }
            Err(mpsc::TrySendError::Disconnected(_)) => Err(SubmitError::Stopping),
        }
    }

    /// The positions of the events that come back with the id that this server gave them, ascending.
    fn stored(&self, events: &[NewEvent<'_>]) -> Result<Vec<usize>, SubmitError> {
        let mut positions = Vec::new();
        let mut ids = Vec::new();
        for (at, event) in events.iter().enumerate() {
            if let Some(id) = event.id.as_deref().filter(|it| EventId::is_ours(it)) {
                positions.push(at);
                ids.push((EventId::parse(id), event.source.as_ref()));
            }
        }
        if ids.is_empty() {
            return Ok(positions);
        }
        let held = self.inner.journal.holds(&ids);
        let held = held.map_err(|it| SubmitError::Store(it.to_string().into()))?;
        let mut held = held.into_iter();
        positions.retain(|_| held.next().unwrap_or(false));
        Ok(positions)
    }

    /// The journal's read side.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.inner.journal
    }

    /// The series of the rules, for reading.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.inner.metrics.clone()
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Arc<RuleSet> {
        self.inner.rules.load_full()
    }

    /// Registers the own metrics of everything below, without prefix.
    pub fn register(&self, registry: &mut Registry) {
        self.inner.own.register(registry);
        self.inner.metrics.register(registry);
        self.inner.groups.register(registry);
        self.inner.keeper.register(registry);
        registry.register_collector(Box::new(own::Gauges(Arc::downgrade(&self.inner))));
    }

    /// Shows the metrics of `registry` on every page from now on. Only the first call counts.
    pub fn expose(&self, registry: Registry) {
        let _ = self.inner.registry.set(registry);
    }

    /// Commits what is queued, stores a snapshot and waits for the threads to end.
    pub async fn stop(&self) {
        self.inner.replays.stop();
        let pipeline = self.clone();
        let stopped = tokio::task::spawn_blocking(move || {
            // The queue may be full: this waits for a place, which is fine where nothing else does.
            let _ = pipeline.inner.queue.send(Command::Stop);
            let mut threads = pipeline.inner.threads.lock().unwrap_or_else(PoisonError::into_inner);
            for thread in threads.drain(..) {
                let _ = thread.join();
            }
        });
        if stopped.await.is_err() {
            tracing::error!("the writer ended with a panic");
        }
    }
}

fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// The window of the configuration, unless the rule file says another one.
fn dedup_window(config: &Config, rules: &RuleSet) -> journal::DedupConfig {
    let default = journal::DedupConfig::default().window;
    let window = Some(rules.defaults().dedup).filter(|it| *it != default);
    journal::DedupConfig { window: window.unwrap_or(config.dedup.window), ..config.dedup }
}

/// The positions of duplicates in a batch of `n` events: those that are stored, and of the others those
/// at the positions that `others` says.
fn among_all(stored: &[usize], others: &[usize], n: usize) -> Duplicates {
    let mut other = 0;
    let mut is_duplicate = |at: &usize| {
        if stored.binary_search(at).is_ok() {
            return true;
        }
        other += 1;
        others.binary_search(&(other - 1)).is_ok()
    };
    (0..n).filter(|it| is_duplicate(it)).collect()
}

/// A batch that was queued: its ids, the positions of events that are stored already, and where its
/// answer comes; none if there is nothing to store.
#[derive(Debug)]
struct Waiting {
    ids: Vec<EventId<'static>>,
    stored: Vec<usize>,
    answer: Option<oneshot::Receiver<Result<Duplicates, SubmitError>>>,
}

fn random() -> Result<[u64; 5], OpenError> {
    let mut bytes = [[0; 8]; 5];
    getrandom::fill(bytes.as_flattened_mut()).map_err(OpenError::Random)?;
    Ok(bytes.map(u64::from_le_bytes))
}

/// The only place that reads the clock for events, metrics and alerts.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
#[must_use]
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
