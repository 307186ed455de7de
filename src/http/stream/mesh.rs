//! What the sockets of an agent mesh show: a fold of the events of agents, kept up while anybody watches.
//!
//! With the first who watches, the newest events of agents are read from the journal, oldest first; then each commit is
//! followed. With the last, everything is forgotten: nobody pays for what nobody sees.

use crate::agents::{Agents, Measure};
use crate::event::Event;
use crate::journal::{Cursor, Journal, Query, QueryError};
use crate::pipeline::Pipeline;
use crate::selector::Selector;
use crate::telemetry::Host;
use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

/// Events of agents that are read from the past.
const HISTORY: usize = 10_000;
/// Measures that are kept for who is slow; who is slower misses some.
const KEPT: usize = 1024;

/// The fold, and who is told of what changes. A handle: clones share it.
#[derive(Clone, Debug)]
pub(super) struct Mesh(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pipeline: Pipeline,
    agents: Mutex<Agents>,
    /// Counts changes; 0 until the past is here.
    version: watch::Sender<u64>,
    measures: broadcast::Sender<Arc<Measure>>,
    watchers: watch::Sender<usize>,
    started: AtomicBool,
    stopping: CancellationToken,
    host: Host,
}

/// Keeps the fold at work until it is dropped.
#[derive(Debug)]
pub(super) struct Watching {
    mesh: Mesh,
    /// Moves when something changed; 0 until the past is here.
    pub(super) version: watch::Receiver<u64>,
}

impl Mesh {
    pub(super) fn new(pipeline: &Pipeline, stopping: CancellationToken) -> Self {
        Self(Arc::new(Shared {
            pipeline: pipeline.clone(),
            agents: Mutex::default(),
            version: watch::Sender::new(0),
            measures: broadcast::Sender::new(KEPT),
            watchers: watch::Sender::new(0),
            started: AtomicBool::new(false),
            stopping,
            host: Host::default(),
        }))
    }

    pub(super) fn watch(&self) -> Watching {
        let shared = &self.0;
        shared.watchers.send_modify(|it| *it += 1);
        if !shared.started.swap(true, Ordering::Relaxed) {
            let (this, stopping) = (Arc::clone(shared), shared.stopping.clone());
            tokio::spawn(async move { stopping.run_until_cancelled(this.follow()).await });
        }
        Watching { mesh: self.clone(), version: shared.version.subscribe() }
    }

    /// The numbers that events bring from now on.
    pub(super) fn measures(&self) -> broadcast::Receiver<Arc<Measure>> {
        self.0.measures.subscribe()
    }

    /// The fold as it is.
    pub(super) fn agents(&self) -> MutexGuard<'_, Agents> {
        self.0.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pipeline(&self) -> &Pipeline {
        &self.0.pipeline
    }

    pub(super) fn host(&self) -> &Host {
        &self.0.host
    }
}

impl Watching {
    pub(super) fn mesh(&self) -> &Mesh {
        &self.mesh
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.mesh.0.watchers.send_modify(|it| *it -= 1);
    }
}

impl Shared {
    async fn follow(self: Arc<Self>) {
        let mut committed = self.pipeline.committed();
        let mut watchers = self.watchers.subscribe();
        while watchers.wait_for(|it| *it > 0).await.is_ok() {
            let mut at = *committed.borrow_and_update();
            let this = self.clone();
            let loaded = tokio::task::spawn_blocking(move || this.load(at)).await;
            self.told("the past of the agents cannot be read", loaded);
            loop {
                tokio::select! {
                    moved = committed.changed() => if moved.is_err() { return },
                    gone = watchers.wait_for(|it| *it == 0) => {
                        if gone.is_err() { return }
                        break;
                    }
                }
                let end = *committed.borrow_and_update();
                let (this, range) = (self.clone(), at..end);
                at = end;
                let taken = tokio::task::spawn_blocking(move || this.take(range)).await;
                self.told("events of agents cannot be read", taken);
            }
            *self.agents.lock().unwrap_or_else(PoisonError::into_inner) = Agents::default();
            self.version.send_replace(0);
        }
    }

    /// Whoever watches is shown what there is: what could not be read is missing, and the log says so.
    fn told(
        &self,
        what: &'static str,
        changed: Result<Result<bool, QueryError>, tokio::task::JoinError>,
    ) {
        match changed {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => self.version.send_modify(|it| *it += 1),
            other => {
                tracing::error!(?other, "{what}");
                self.version.send_modify(|it| *it += 1);
            }
        }
    }

    /// Reads the newest events of agents before `end`.
    fn load(&self, end: u64) -> Result<bool, QueryError> {
        let journal: &Journal = self.pipeline.journal();
        let query = Query { cursor: Some(Cursor(end)), ..query() };
        let mut past = Vec::new();
        journal.each(&query, |_, event| {
            past.push(crate::journal::owned_event(event.clone()));
            if past.len() < HISTORY { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        *agents = Agents::default();
        for it in past.iter().rev() {
            let _ = agents.take(it);
        }
        Ok(true)
    }

    fn take(&self, range: std::ops::Range<u64>) -> Result<bool, QueryError> {
        let mut changed = false;
        self.pipeline.journal().in_order(&query(), range, |_, event: &Event<'_>| {
            let taken = self.agents.lock().unwrap_or_else(PoisonError::into_inner).take(event);
            changed |= taken.is_some();
            for it in taken.into_iter().flatten() {
                // Nobody to take it is no failure.
                let _ = self.measures.send(Arc::new(it));
            }
            ControlFlow::Continue(())
        })?;
        Ok(changed)
    }
}

/// The events of agents.
fn query() -> Query {
    let selector = Selector::parse("agent_*");
    Query { matches: selector.into_iter().collect(), limit: usize::MAX, ..Query::default() }
}
