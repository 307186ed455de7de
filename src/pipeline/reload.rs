//! Loading the rules, at the start and again.

use super::queue::Command;
use super::{Config, Pipeline, now};
use crate::rules::RuleSet;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::oneshot, time};

/// Where the rules come from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) file: Option<PathBuf>,
    max_label_bytes: usize,
}

/// What a reload of the rules did.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// Whether the rules differ from before.
    pub changed: bool,
    /// Metrics in the new rules.
    pub metrics: usize,
}

/// The rules that could not be loaded; the old ones stay in force.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReloadError(pub String);

impl Pipeline {
    /// Loads the rules again from where they came from. Atomic: every event is counted by the old rules
    /// or by the new, and a page shows the one or the other.
    ///
    /// # Errors
    ///
    /// The new rules cannot be read or compiled; the message has line, column and a caret. The old ones
    /// stay in force.
    pub async fn reload_rules(&self) -> Result<Reloaded, ReloadError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.reloading.lock().await;
        let source = inner.rules_source.clone();
        let loaded = tokio::task::spawn_blocking(move || source.load()).await;
        let loaded =
            loaded.unwrap_or_else(|_| Err(ReloadError("loading the rules failed".to_owned())));
        let rules = match loaded {
            Ok(rules) => Arc::new(rules),
            Err(error) => {
                tracing::error!("the rules were not reloaded, the old ones stay in force: {error}");
                inner.own.reloaded(Err(()), now());
                return Err(error);
            }
        };
        let metrics = rules.families().len();
        let changed = rules.fingerprint() != inner.rules.load().fingerprint();
        if changed {
            let (reply, done) = oneshot::channel();
            self.order(Command::UseRules(Arc::clone(&rules), reply)).await;
            if done.await.is_err() {
                return Err(ReloadError("the server is stopping".to_owned()));
            }
            inner.rules.store(Arc::clone(&rules));
            inner.replays.wake.ring();
            tracing::info!(rules.metrics = metrics, "reloaded the rules: {metrics} metrics");
        }
        inner.own.reloaded(Ok(&rules), now());
        Ok(Reloaded { changed, metrics })
    }

    /// Reloads the rules whenever their file changes, looked at once per `interval`, for ever. Looks at
    /// the content, so that replaced files and mounted ones are noticed too. Returns at once if the rules
    /// are the built-in ones.
    pub async fn watch_rules(&self, interval: Duration) {
        let Some(file) = self.inner.rules_source.file.clone() else { return };
        // What was loaded at the start may have changed since; loading it again changes nothing.
        let mut tried = None;
        loop {
            time::sleep(interval).await;
            let path = file.clone();
            let Ok(found) = tokio::task::spawn_blocking(move || read(&path)).await else {
                continue;
            };
            let found = found.ok();
            if found.is_some() && found != tried {
                // A bad file is reported once, not at every look; the reload itself says how it went.
                let _ = self.reload_rules().await;
                tried = found;
            }
        }
    }

    /// Puts an order into the queue, waiting for a place.
    pub(super) async fn order(&self, command: Command) {
        let pipeline = self.clone();
        let sent =
            tokio::task::spawn_blocking(move || pipeline.inner.queue.send(command).is_ok()).await;
        if !matches!(sent, Ok(true)) {
            tracing::debug!("the writer is gone");
        }
    }
}

// === impl Source ===

impl Source {
    pub(super) fn new(config: &Config) -> Self {
        Self { file: config.rules_file.clone(), max_label_bytes: config.max_label_bytes }
    }

    /// The rules of the file, or the built-in ones.
    pub(super) fn load(&self) -> Result<RuleSet, ReloadError> {
        let Some(file) = &self.file else {
            return Ok(RuleSet::builtin().with_max_label_bytes(self.max_label_bytes));
        };
        let name = file.display();
        let text = read(file)
            .map_err(|err| ReloadError(format!("cannot read the rules {name}: {err}")))?;
        let rules = RuleSet::parse(&text);
        let rules =
            rules.map_err(|it| ReloadError(it.with_origin(name.to_string()).to_string()))?;
        Ok(rules.with_max_label_bytes(self.max_label_bytes))
    }
}

fn read(file: &Path) -> std::io::Result<String> {
    fs::read_to_string(file)
}
