//! The one thread that changes things.

use super::answers::Answers;
use super::health::Pulse;
use super::live::Tap;
use super::own::Own;
use super::push::{Applied, Pushes, Pushing};
use super::queue::{Append, Command, Duplicates};
use super::{Config, Durability, OpenError, SubmitError, now};
use crate::codec;
use crate::event::Time;
use crate::journal;
use crate::journal::{Journal, Segment};
use crate::metrics::{Part, Projection};
use crate::rules::{RuleSet, Updates};
use crate::store::{Batch, Store, StoreError, Table};
use std::{
    collections::HashSet,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

pub(super) const TABLE: &str = "metrics";
/// Up to when series have been shown to every Prometheus, in milliseconds since the epoch.
const MARK: &[u8] = b"z";
const VERSION: u8 = 1;

/// Requests and bytes that one commit takes.
const COMMIT_REQUESTS: usize = 1024;
const COMMIT_BYTES: usize = 8 << 20;

/// When a commit took so many requests, more are on their way: waiting for them costs a moment and saves
/// every other one of them an fsync.
const CROWD: usize = 8;
const PATIENCE: Duration = Duration::from_micros(200);

const TICK: Duration = Duration::from_secs(1);

/// Commits of expired groups, a thousand of them each, in a tick.
const EXPIRIES: usize = 32;

pub(super) struct Writer {
    store: Store,
    table: Table,
    pub(super) journal: journal::Writer,
    pub(super) projection: Projection,
    durability: Durability,
    snapshot_interval: Duration,
    /// The sequence number that the next event gets.
    pub(super) next: u64,
    /// Up to which sequence number the snapshot in force goes.
    snapshot_next: u64,
    snapshot_at: Instant,
    /// When something was appended that is not on disk yet.
    unflushed: Option<Instant>,
    /// Requests that the last commit took.
    crowd: usize,
    pulse: Arc<Pulse>,
    own: Arc<Own>,
    answers: Answers<Result<Duplicates, SubmitError>>,
    pushes: Pushes,
    tap: Tap,
}

/// The projection as it was: the snapshot, and the events after it.
pub(super) fn recover(
    config: &Config,
    store: &Store,
    journal: &Journal,
    rules: &Arc<RuleSet>,
    now: Time,
) -> Result<Projection, OpenError> {
    let table = store.table(TABLE)?;
    let mark_ms = match table.get(MARK)? {
        Some(value) => codec::unseal(VERSION, &value)
            .and_then(|it| codec::Reader::new(it).i64())
            .unwrap_or(now.as_millis()),
        None => i64::MIN,
    };
    let mut projection =
        Projection::new(Arc::clone(rules), config.metrics, Some(table.clone()), mark_ms);
    projection.use_rules(Arc::clone(rules), 1, now.as_millis());
    let metrics = projection.metrics();
    metrics.own().pause(true);
    let from = projection.restore(&table)?;
    // Numbers that the metrics have counted must not be given to other events.
    if from > journal.end() {
        return Err(journal::OpenError::Gap { expected: journal.end(), found: from }.into());
    }
    let (mut updates, mut replayed) = (Updates::default(), 0u64);
    let started = Instant::now();
    journal.replay(from, |_, event| {
        updates.clear();
        let part = Part::evaluate(rules, event, &mut updates);
        projection.apply(&updates, &part, event.received.as_millis());
        replayed += 1;
    })?;
    metrics.own().pause(false);
    if replayed > 0 {
        let millis = started.elapsed().as_millis();
        tracing::info!(
            replayed.events = replayed,
            duration_ms = millis,
            "replayed {replayed} events"
        );
    }
    projection.tick(now.as_millis());
    Ok(projection)
}

impl Writer {
    pub(super) fn new(
        config: &Config,
        store: &Store,
        journal: journal::Writer,
        (projection, pushes): (Projection, Pushes),
        (pulse, own, tap): (Arc<Pulse>, Arc<Own>, Tap),
    ) -> Result<Self, StoreError> {
        let next = journal.next();
        Ok(Self {
            store: store.clone(),
            table: store.table(TABLE)?,
            journal,
            projection,
            durability: config.durability,
            snapshot_interval: config.snapshot_interval,
            next,
            snapshot_next: 0,
            snapshot_at: Instant::now(),
            unflushed: None,
            crowd: 0,
            pulse,
            own,
            answers: Answers::start(),
            pushes,
            tap,
        })
    }

    /// Works until it is told to stop or every handle is gone.
    pub(super) fn run(mut self, commands: &mpsc::Receiver<Command>) {
        let mut ticked = Instant::now();
        loop {
            self.pulse.beat();
            match commands.recv_timeout(self.patience()) {
                Ok(command) => {
                    if self.crowd >= CROWD {
                        thread::sleep(PATIENCE);
                    }
                    if !self.gather(command, commands) {
                        break;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            self.flush_if_due();
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.look_for_room();
                self.expire();
                self.projection.tick(now().as_millis());
                if self.snapshot_at.elapsed() >= self.snapshot_interval
                    && self.next != self.snapshot_next
                {
                    self.snapshot();
                }
            }
        }
        self.snapshot();
    }

    /// Takes the pushed groups that are due, some thousands at most so that nobody waits for long.
    fn expire(&mut self) {
        for _ in 0..EXPIRIES {
            // What cannot be stored now is due later as well.
            if self.pulse.has_failed() {
                return;
            }
            let Some(expiry) = self.pushes.expiry() else { return };
            self.commit(Vec::new(), vec![expiry]);
        }
    }

    fn patience(&self) -> Duration {
        match (self.durability, self.unflushed) {
            (Durability::Relaxed(every), Some(since)) => {
                every.saturating_sub(since.elapsed()).min(TICK)
            }
            _ => TICK,
        }
    }

    /// Does `first` and what else waits, the appends in commits as large as possible. `false` to stop.
    fn gather(&mut self, first: Command, commands: &mpsc::Receiver<Command>) -> bool {
        let mut appends: Vec<Append> = Vec::new();
        let mut pushes: Vec<Pushing> = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(command) = next.take() {
            match command {
                Command::Append(it) => {
                    bytes += it.segments.iter().map(Segment::size_bytes).sum::<usize>();
                    appends.push(*it);
                }
                Command::Push(it) => {
                    bytes += it.size_bytes();
                    pushes.push(*it);
                }
                other => {
                    self.commit(std::mem::take(&mut appends), std::mem::take(&mut pushes));
                    bytes = 0;
                    if !self.obey(other) {
                        // What was queued behind the order to stop was taken all the same.
                        return self.finish(commands);
                    }
                }
            }
            if appends.len() + pushes.len() < COMMIT_REQUESTS && bytes < COMMIT_BYTES {
                next = commands.try_recv().ok();
            }
        }
        self.commit(appends, pushes);
        true
    }

    fn finish(&mut self, commands: &mpsc::Receiver<Command>) -> bool {
        while let Ok(command) = commands.try_recv() {
            self.obey(command);
        }
        false
    }

    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Append(it) => self.commit(vec![*it], Vec::new()),
            Command::Push(it) => self.commit(Vec::new(), vec![*it]),
            Command::UseRules(rules, reply) => {
                self.projection.use_rules(rules, self.next, now().as_millis());
                // From here on a replay must use the new rules.
                self.snapshot();
                let _ = reply.send(());
            }
            Command::Snapshot(reply) => {
                let _ = reply.send(self.try_snapshot());
            }
            Command::StoreMark(mark_ms, reply) => {
                if let Err(error) = self.store_mark(mark_ms) {
                    tracing::warn!(%error, "storing which series were scraped failed");
                }
                let _ = reply.send(());
            }
            Command::Swap(it) => self.swap(it),
            Command::Stop => return false,
        }
        true
    }

    /// Commits what was gathered; one sync serves all.
    fn commit(&mut self, appends: Vec<Append>, pushes: Vec<Pushing>) {
        let started = Instant::now();
        self.crowd = appends.len() + pushes.len();
        let pushed = (!pushes.is_empty())
            .then(|| self.pushes.apply(self.projection.rules(), pushes, &mut self.journal));
        if !appends.is_empty() {
            self.commit_appends(appends);
        }
        if let Some(it) = pushed {
            self.commit_pushes(it, started);
        }
    }

    fn commit_pushes(&mut self, pushed: Applied, started: Instant) {
        let done = match pushed.appended {
            // Nothing is left to do if events were committed with them.
            Ok(()) => self.make_durable(started),
            it => it,
        };
        match &done {
            Ok(()) => {
                self.own.committed(started.elapsed());
                self.pulse.recovered();
            }
            Err(error) => self.pulse.failed(error),
        }
        self.pushes.answer(pushed.replies, pushed.moved, done.as_ref().err());
    }

    /// Brings to disk what was appended; or has it brought there in time, as the durability is.
    fn make_durable(&mut self, started: Instant) -> Result<(), StoreError> {
        match self.durability {
            Durability::Sync => self.journal.flush(),
            Durability::Relaxed(_) => {
                self.unflushed.get_or_insert(started);
                Ok(())
            }
        }
    }

    fn commit_appends(&mut self, mut appends: Vec<Append>) {
        let started = Instant::now();
        // What was appended and is not on disk must not be told a retry to be a duplicate.
        if let Err(error) = &self.store.check_writable() {
            return self.refuse(appends, error);
        }
        let duplicates = self.drop_duplicates(&mut appends);
        for (append, duplicates) in appends.iter_mut().zip(&duplicates) {
            if !Arc::ptr_eq(&append.rules, self.projection.rules()) {
                self.reevaluate(append, duplicates);
            }
        }
        let segments = appends.iter_mut().flat_map(|it| std::mem::take(&mut it.segments)).collect();
        if let Err(error) = &self.append(segments) {
            return self.refuse(appends, error);
        }
        let flushed = self.make_durable(started);
        // What is in the journal is in the metrics, whatever became of the flush.
        for (append, duplicates) in appends.iter().zip(&duplicates) {
            for (at, part) in append.parts.iter().enumerate() {
                if duplicates.binary_search(&at).is_err() {
                    self.projection.apply(&append.updates, part, append.received_ms);
                }
            }
        }
        self.own.committed(started.elapsed());
        match flushed {
            Ok(()) => {
                self.pulse.recovered();
                self.tap.committed(self.next);
                let answer =
                    |(append, duplicates): (Append, Duplicates)| (append.reply, Ok(duplicates));
                self.answers.send(appends.into_iter().zip(duplicates).map(answer).collect());
            }
            Err(error) => self.refuse(appends, &error),
        }
    }

    fn refuse(&self, appends: Vec<Append>, error: &StoreError) {
        self.pulse.failed(error);
        let refused = || Err(SubmitError::from(error));
        self.answers.send(appends.into_iter().map(|it| (it.reply, refused())).collect());
    }

    fn append(&mut self, segments: Vec<Segment>) -> Result<(), StoreError> {
        let n: u64 = segments.iter().map(|it| it.len() as u64).sum();
        if n > 0 {
            self.next = self.journal.append(segments)? + n;
        }
        Ok(())
    }

    /// Takes out of every append the events that are known, or came twice in this commit.
    fn drop_duplicates(&self, appends: &mut [Append]) -> Vec<Duplicates> {
        let mut fresh = HashSet::new();
        let key = *self.journal.id_key();
        let mut res = Vec::with_capacity(appends.len());
        for append in appends {
            let mut duplicates = Vec::new();
            let mut base = 0;
            for segment in &mut append.segments {
                let n = segment.len();
                let known: Vec<usize> = segment
                    .identities()
                    .filter(|(_, it)| self.journal.knows(*it) || !fresh.insert(*it))
                    .map(|it| it.0)
                    .collect();
                if !known.is_empty() {
                    *segment = segment.without(&key, |at| known.binary_search(&at).is_ok());
                    segment.pack();
                    duplicates.extend(known.iter().map(|at| base + at));
                }
                base += n;
            }
            res.push(duplicates);
        }
        res
    }

    /// Evaluates again what was evaluated before a reload. A duplicate, which is in no segment any more,
    /// keeps its place in `parts`, where nothing looks at it.
    fn reevaluate(&self, append: &mut Append, duplicates: &Duplicates) {
        let rules = Arc::clone(self.projection.rules());
        let mut updates = Updates::default();
        let events = append.segments.iter().flat_map(Segment::events).flatten();
        let mut parts = events
            .map(|it| Part::evaluate(&rules, &it, &mut updates))
            .collect::<Vec<_>>()
            .into_iter();
        let part = |at| match duplicates.binary_search(&at) {
            Ok(_) => Part::default(),
            Err(_) => parts.next().unwrap_or_default(),
        };
        append.parts = (0..append.parts.len()).map(part).collect();
        append.updates = updates;
        append.rules = rules;
    }

    fn flush_if_due(&mut self) {
        if let (Durability::Relaxed(every), Some(since)) = (self.durability, self.unflushed)
            && since.elapsed() >= every
        {
            match self.journal.flush() {
                Ok(()) => self.pulse.recovered(),
                Err(error) => self.pulse.failed(&error),
            }
            self.unflushed = None;
        }
    }

    fn store_mark(&self, mark_ms: i64) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(MARK, &codec::seal(VERSION, &mark_ms.to_le_bytes()));
        self.table.apply(batch)?;
        self.store.flush()
    }

    fn snapshot(&mut self) {
        if let Err(error) = self.try_snapshot() {
            tracing::error!(%error, "storing a snapshot of the metrics failed; will retry");
        }
    }

    pub(super) fn try_snapshot(&mut self) -> Result<(), StoreError> {
        self.snapshot_at = Instant::now();
        let started = Instant::now();
        self.projection.snapshot((&self.store, &self.table), self.next, now().as_millis())?;
        self.snapshot_next = self.next;
        self.unflushed = None;
        self.own.snapshotted(started.elapsed());
        Ok(())
    }

    /// A full disk is not asked about by events alone: nobody may send any to a server that is not ready.
    fn look_for_room(&self) {
        if self.pulse.has_failed() && self.store.check_room(1).is_ok() {
            self.pulse.recovered();
        }
    }
}
