//! Pushes: how they get to the writer, and what it does with them.

mod moved;

pub use moved::GroupMoved;
pub(super) use moved::Notices;

use super::answers::{Answer, Answers};
use super::queue::{Command, Place, Queued};
use super::{OpenError, Pipeline, SubmitError, now};
use crate::event::Time;
use crate::exposition::Kind;
use crate::groups;
use crate::groups::{
    Foreign, Group, Groups, Now, Push, Rejected, Selection, Terms, Undo, View, record,
};
use crate::journal;
use crate::push::{Family, Grouping};
use crate::rules::RuleSet;
use crate::store::{Batch, Store, StoreError, Table};
use std::{
    future::Future,
    sync::{Arc, OnceLock, mpsc},
    time::Instant,
};
use tokio::sync::oneshot;

const TABLE: &str = "groups";

/// The families of the process, which pushes may have too: as a Prometheus client exposes them, they say
/// something else about each job.
const PROCESS: [(&str, Kind); 10] = [
    ("process_cpu_seconds_total", Kind::Counter),
    ("process_max_fds", Kind::Gauge),
    ("process_network_receive_bytes_total", Kind::Counter),
    ("process_network_transmit_bytes_total", Kind::Counter),
    ("process_open_fds", Kind::Gauge),
    ("process_resident_memory_bytes", Kind::Gauge),
    ("process_start_time_seconds", Kind::Gauge),
    ("process_threads", Kind::Gauge),
    ("process_virtual_memory_bytes", Kind::Gauge),
    ("process_virtual_memory_max_bytes", Kind::Gauge),
];

/// What became of a push: it is durable and on the next page, or it was rejected, which is durable too.
pub type Pushed = Result<(), Rejected>;

type Reply = Result<Pushed, SubmitError>;

/// A push that waits for the writer.
#[derive(Debug)]
pub(super) struct Pushing {
    what: What,
    received: Time,
    size: usize,
    reply: oneshot::Sender<Reply>,
    /// None for what the writer tells itself.
    _place: Option<Place>,
}

#[derive(Debug)]
enum What {
    Push(Push),
    /// Takes what is due.
    Expire,
    /// Removes the groups of a selection, and says which those were.
    Remove(Selection, Arc<OnceLock<Removed>>),
    Wipe,
}

/// Groups that are gone, as they were.
pub type Removed = Vec<Arc<Group>>;

/// The groups, and where they are stored: the writer's side.
#[derive(Debug)]
pub(super) struct Pushes {
    groups: Groups,
    table: Table,
    /// The rules whose families the groups know.
    rules: Option<Arc<RuleSet>>,
    answers: Answers<Reply>,
    notices: Notices,
    /// When the process began, by both clocks.
    began: (Time, Instant),
}

/// Pushes that were applied.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) replies: Vec<(oneshot::Sender<Reply>, Pushed)>,
    /// What is to be told of them.
    pub(super) moved: Vec<GroupMoved>,
    /// Whether what they changed was appended; if not, they were taken back.
    pub(super) appended: Result<(), StoreError>,
}

impl Pipeline {
    /// The groups' read side.
    #[must_use]
    pub fn groups(&self) -> &View {
        &self.inner.groups
    }

    /// Takes a push of `families` to the group that `grouping` names (none for a deletion). The work that
    /// depends on the body is done before this returns; the future waits for the commit and may be dropped
    /// without undoing anything.
    ///
    /// # Errors
    ///
    /// The queue is full, the server is stopping, or the store cannot be written, as for
    /// [`Self::submit`].
    pub fn push<T: Into<Terms>>(
        &self,
        terms: T,
        grouping: &Grouping,
        families: Vec<Family>,
    ) -> impl Future<Output = Result<Pushed, SubmitError>> + Send + use<T> {
        self.push_at(terms, grouping, families, now())
    }

    /// As [`Self::push`], for a push that another server received at `received`.
    ///
    /// # Errors
    ///
    /// As [`Self::push`].
    pub fn push_at<T: Into<Terms>>(
        &self,
        terms: T,
        grouping: &Grouping,
        families: Vec<Family>,
        received: Time,
    ) -> impl Future<Output = Result<Pushed, SubmitError>> + Send + use<T> {
        let full = self.inner.queued.is_full();
        let waiting = if full {
            self.inner.own.refused();
            Err(SubmitError::Full)
        } else {
            let push = self.inner.groups.prepare(terms, grouping, families);
            let size = push.size_bytes();
            self.queue_push(What::Push(push), size, received)
        };
        async move { waiting?.await.unwrap_or(Err(SubmitError::Stopping)) }
    }

    /// Removes the groups of `selection`, all or none, as [`Self::push`] removes one. Which they are is
    /// decided when it is its turn.
    ///
    /// # Errors
    ///
    /// As [`Self::push`].
    pub fn remove_groups(
        &self,
        selection: Selection,
    ) -> impl Future<Output = Result<Removed, SubmitError>> + Send + use<> {
        let removed = Arc::default();
        let what = What::Remove(selection, Arc::clone(&removed));
        let waiting = self.queue_push(what, 0, now());
        async move {
            // A removal disagrees with nothing.
            let _ = waiting?.await.unwrap_or(Err(SubmitError::Stopping))?;
            Ok(removed.get().cloned().unwrap_or_default())
        }
    }

    /// Removes all groups, as [`Self::push`] does one.
    ///
    /// # Errors
    ///
    /// As [`Self::push`].
    pub fn wipe_groups(&self) -> impl Future<Output = Result<(), SubmitError>> + Send + use<> {
        let waiting = self.queue_push(What::Wipe, 0, now());
        async move { waiting?.await.unwrap_or(Err(SubmitError::Stopping)).map(|_| ()) }
    }

    fn queue_push(
        &self,
        what: What,
        size: usize,
        received: Time,
    ) -> Result<oneshot::Receiver<Reply>, SubmitError> {
        let refused = || {
            self.inner.own.refused();
            SubmitError::Full
        };
        let place = Queued::enter(&self.inner.queued, size).ok_or_else(refused)?;
        let (reply, answer) = oneshot::channel();
        let pushing = Pushing { what, received, size, reply, _place: Some(place) };
        match self.inner.queue.try_send(Command::Push(Box::new(pushing))) {
            Ok(()) => Ok(answer),
            Err(mpsc::TrySendError::Full(_)) => Err(refused()),
            Err(mpsc::TrySendError::Disconnected(_)) => Err(SubmitError::Stopping),
        }
    }
}

// === impl Pushing ===

impl Pushing {
    pub(super) fn size_bytes(&self) -> usize {
        self.size
    }
}

// === impl Pushes ===

impl Pushes {
    /// The groups of `store`, with those that only the commit log has.
    pub(super) fn open(
        store: &Store,
        config: groups::Config,
        hash_key: (u64, u64),
        journal: &mut journal::Writer,
    ) -> Result<Self, OpenError> {
        let table = store.table(TABLE)?;
        let began = (now(), Instant::now());
        let mut groups = Groups::load(&table, config.clone(), hash_key, began.0)?;
        let mut batch = Batch::default();
        let mut any = false;
        for record in journal.take_beside() {
            let (version, writes) = record::decode(&record).map_err(groups::LoadError::Record)?;
            if version > groups.version() {
                put(&mut batch, writes);
                any = true;
            }
        }
        if any {
            table.apply(batch)?;
            // The log is written over from now on.
            store.flush()?;
            groups = Groups::load(&table, config, hash_key, began.0)?;
        }
        let (answers, notices) = (Answers::start(), Notices::new());
        let mut res = Self { groups, table, rules: None, answers, notices, began };
        res.expire_at_start();
        Ok(res)
    }

    fn now(&self) -> Now {
        Now { wall: now(), steady: self.began.0.saturating_add(self.began.1.elapsed()) }
    }

    /// Takes what was due while no process ran. What cannot be stored now is due at the next tick as well.
    fn expire_at_start(&mut self) {
        let mut total = 0;
        self.groups.set_now(self.now());
        while self.groups.is_due() {
            let (outcome, n) = self.groups.expire();
            let mut batch = Batch::default();
            put(&mut batch, outcome.writes);
            if let Err(error) = self.table.apply(batch) {
                tracing::warn!(%error, "removing pushed groups that expired failed; will retry");
                return self.groups.undo(outcome.undo);
            }
            total += n;
        }
        if total > 0 {
            tracing::info!(groups = total, "{total} pushed groups expired while nothing ran");
        }
    }

    /// What takes the groups that are due, if there are any. Looks at the first alone.
    pub(super) fn expiry(&mut self) -> Option<Pushing> {
        self.groups.set_now(self.now());
        let (reply, _) = oneshot::channel();
        let what = What::Expire;
        self.groups.is_due().then(|| Pushing {
            what,
            received: now(),
            size: 0,
            reply,
            _place: None,
        })
    }

    pub(super) fn view(&self) -> View {
        self.groups.view()
    }

    /// Applies `pushes` in order, under `rules`, and appends what they changed to `journal`: one record, which
    /// the next flush makes durable. The table gets it when the store is flushed.
    pub(super) fn apply(
        &mut self,
        rules: &Arc<RuleSet>,
        pushes: Vec<Pushing>,
        journal: &mut journal::Writer,
    ) -> Applied {
        if self.rules.as_ref().is_none_or(|it| !Arc::ptr_eq(it, rules)) {
            self.groups.set_foreign(foreign(rules));
            self.rules = Some(Arc::clone(rules));
        }
        self.groups.set_now(self.now());
        let mut writes = Vec::with_capacity(pushes.len());
        let mut undo: Vec<Undo> = Vec::with_capacity(pushes.len());
        let mut replies = Vec::with_capacity(pushes.len());
        let mut moved = Vec::new();
        for it in pushes {
            let at = it.received;
            let gone = match &it.what {
                What::Push(_) => None,
                What::Expire => Some("expired"),
                What::Remove(..) | What::Wipe => Some("deleted"),
            };
            let outcome = match it.what {
                What::Push(push) => {
                    let notice = self.notices.of(&push, at);
                    let outcome = self.groups.apply(push, at);
                    moved.extend(notice.map(|it| match &outcome.result {
                        Ok(()) => it,
                        Err(why) => it.rejected(why),
                    }));
                    outcome
                }
                What::Remove(selection, removed) => {
                    let outcome = self.groups.remove_selected(&selection);
                    removed.get_or_init(|| outcome.undo.before().cloned().collect());
                    outcome
                }
                What::Expire => self.groups.expire().0,
                What::Wipe => self.groups.wipe(),
            };
            if let Some(change) = gone {
                moved.extend(self.notices.gone(change, outcome.undo.before(), at));
            }
            writes.extend(outcome.writes);
            undo.push(outcome.undo);
            replies.push((it.reply, outcome.result));
        }
        let appended = self.append(writes, journal);
        if appended.is_err() {
            // Nobody saw a success: what is shown is what is stored.
            undo.into_iter().rev().for_each(|it| self.groups.undo(it));
        }
        Applied { replies, moved, appended }
    }

    fn append(
        &self,
        writes: Vec<groups::Write>,
        journal: &mut journal::Writer,
    ) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        journal.append_beside(&record::encode(self.groups.version(), &writes))?;
        self.table.defer(writes.into_iter().map(|it| (it.key, it.value)));
        Ok(())
    }

    pub(super) fn notices(&self) -> Notices {
        self.notices.clone()
    }

    /// Answers everybody; with `error` if there is one. Who watches is told first, if there is none.
    pub(super) fn answer(
        &mut self,
        replies: Vec<(oneshot::Sender<Reply>, Pushed)>,
        moved: Vec<GroupMoved>,
        error: Option<&StoreError>,
    ) {
        if error.is_none() {
            self.notices.publish(moved);
        }
        let answer = |(reply, pushed)| -> Answer<Reply> {
            (reply, error.map_or(Ok(pushed), |it| Err(SubmitError::from(it))))
        };
        self.answers.send(replies.into_iter().map(answer).collect());
    }
}

fn put(batch: &mut Batch, writes: Vec<groups::Write>) {
    for it in writes {
        match it.value {
            Some(value) => batch.put(&it.key, &value),
            None => batch.remove(&it.key),
        }
    }
}

/// The families that `rules` and the process bring to the page.
fn foreign(rules: &RuleSet) -> Foreign {
    let rules = rules.families().iter();
    let rules = rules.map(|it| (it.name.clone(), (it.kind.exposed(), it.labels.clone())));
    let process = PROCESS.map(|(name, kind)| (name.to_owned(), (kind, Vec::new())));
    rules.chain(process).collect()
}

#[cfg(test)]
mod tests;
