//! Alerting: evaluates the alert rules, and is the one that writes what came of them.
//!
//! # Contract
//!
//! - Rules about events are evaluated when events are committed, all others each second.
//! - A change of state, its entry in the history, what people are to be told of it and the mark up to which events were
//!   evaluated are one batch of the store. After a crash the events after the mark are evaluated again, to the same end.
//! - What somebody did over the API (a rule, a silence, an acknowledgement) is on disk when the method returns.
//! - Nobody is told before what they are told is on disk.

mod cases;
mod dry;
mod engine;
mod evaluate;
mod manage;
mod own;
mod preview;
mod round;
mod ruled;
mod run;
mod sample;
mod shipped;
mod silences;
mod table;
mod tell;
mod trial;
mod watch;

pub use cases::{AlertTest, RuleFile};
pub use dry::Dry;
pub use engine::Origin;
pub use manage::{ExternalAlert, RuleView};
pub use preview::{Cut, Evaluation, EvaluationOf, Preview, PreviewError, Transition};
pub use shipped::{Finding, has_rules, id_of, parse_file, shipped, shipped_file};
pub use table::{Entry, TABLE, check, is_ours, mark};
pub use trial::{Outcome, run};
pub use watch::{Moved, Watch, What};

use crate::alerts::{Compiled, FieldError, Kind, Rule, Silence};
use crate::event::Time;
use crate::notify::Outbox;
use crate::store::{Store, StoreError, Table};
use engine::{EXTERNAL, Engine, Ruled, Silenced};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use table::{Instance, StoredRule};
use tokio::sync::Semaphore;

/// Which rules there are, and how long what came of them is kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether the shipped rules are evaluated. Default true.
    pub shipped: bool,
    /// The rules of the configuration. One with the id of a shipped one takes its place.
    pub rules: Vec<Rule>,
    /// How long the history is kept. Default 90 days.
    pub retention: Option<Duration>,
    /// How long an alert that somebody else sent fires when it is not sent again. Default 5 minutes.
    pub resolve_timeout: Duration,
}

/// Alerting. A handle: clones share it.
#[derive(Clone)]
pub struct Alerting {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    table: Table,
    config: Config,
    outbox: Outbox,
    engine: Mutex<Engine>,
    own: own::Own,
    watchers: watch::Watchers,
    /// The places for previews.
    previews: Semaphore,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AlertingError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored value cannot be read.
    #[error(
        "the stored value {0} of the alerts is damaged; nothing was changed: run `observatory verify`, or restore a backup"
    )]
    Damaged(String),
    /// A rule is wrong.
    #[error("{}", said(.0))]
    Invalid(Vec<FieldError>),
    /// A rule of the configuration is wrong.
    #[error("the alert rule {name:?} of the configuration is wrong: {}", said(.errors))]
    Configured {
        /// Its name.
        name: String,
        /// What is wrong.
        errors: Vec<FieldError>,
    },
    /// There is a rule of that name.
    #[error("there is an alert rule named {0:?} already")]
    Exists(String),
    /// There is no such rule, alert or silence.
    #[error("there is no {what} {id:?}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// By which id or name.
        id: String,
    },
    /// There is no randomness.
    #[error("the operating system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// Events cannot be read.
    #[error(transparent)]
    Journal(#[from] crate::journal::QueryError),
}

fn said(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            shipped: true,
            rules: Vec::new(),
            retention: Some(Duration::from_hours(90 * 24)),
            resolve_timeout: Duration::from_secs(300),
        }
    }
}

// === impl Alerting ===

impl Alerting {
    /// The rules of `config` and of `store`, and where their alerts stand. `end` is the sequence number of the next event:
    /// a store without alerts begins with it.
    ///
    /// # Errors
    ///
    /// A rule of the configuration is wrong, or what is stored cannot be read. Nothing was changed then.
    pub fn open(
        store: Store,
        config: Config,
        outbox: Outbox,
        end: u64,
        now: Time,
    ) -> Result<Self, AlertingError> {
        let table = store.table(table::TABLE)?;
        let mut engine = Engine { began: now, ..Engine::default() };
        let mark = table::mark(&table)?.unwrap_or(end);
        // A backup may be older than its alerts: no event after its end may be passed over.
        engine.mark = end.min(mark);
        let shipped = if config.shipped { shipped() } else { Vec::new() };
        let stored = |rule: &Rule| StoredRule {
            rule: rule.clone(),
            created: now,
            updated: now,
            removed: false,
        };
        let given = shipped.into_iter().map(|it| (it, Origin::Shipped));
        let given = given.chain(config.rules.iter().cloned().map(|it| (it, Origin::Configured)));
        let external = Rule {
            id: EXTERNAL.to_owned(),
            name: "Alerts of others".to_owned(),
            kind: Kind::Event,
            matches: "observatory_external_alert".to_owned(),
            resolve_after: Some(crate::alerts::Span(Duration::from_hours(24 * 3650))),
            ..Rule::default()
        };
        for (rule, origin) in given.chain([(external, Origin::External)]) {
            let (name, stored) = (rule.name.clone(), stored(&rule));
            let compiled =
                Compiled::new(rule).map_err(|errors| AlertingError::Configured { name, errors })?;
            engine.rules.insert(stored.rule.id.clone(), Ruled::new(compiled, origin, stored));
        }
        table::each(&table, table::RULE, |key, stored: StoredRule| {
            let id = stored.rule.id.clone();
            match Compiled::new(stored.rule.clone()) {
                Ok(it) => _ = engine.rules.insert(id, Ruled::new(it, Origin::Api, stored)),
                Err(errors) => {
                    tracing::error!(key = %key.escape_ascii(), errors = said(&errors), "an alert rule is not evaluated: this version does not understand it")
                }
            }
        })?;
        // Before what is over is told: it may be quiet.
        table::each(&table, table::SILENCE, |_, silence: Silence| {
            if let Ok(selector) = silence.compile() {
                engine.silences.insert(silence.id.clone(), Silenced { silence, selector });
            }
        })?;
        table::each(&table, table::INSTANCE, |key, it: Instance| {
            let Some((rule, block)) = table::instance_of(key) else { return };
            let same = |it: &Instance, ruled: &Ruled| ruled.compiled.meaning == it.meaning;
            match engine.rules.get_mut(rule).filter(|ruled| ruled.is_active() && same(&it, ruled)) {
                Some(ruled) => _ = ruled.instances.insert(block.into(), it),
                // The rule is gone or off, or means something else now.
                None => engine.end_stored((rule, block), it, now),
            }
        })?;
        let (engine, own) = (Mutex::new(engine), own::Own::default());
        let watchers = watch::Watchers::default();
        let previews = Semaphore::new(preview::AT_ONCE);
        let shared = Shared { store, table, config, outbox, engine, own, watchers, previews };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn lock(&self) -> MutexGuard<'_, Engine> {
        self.shared.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `change`, and writes what came of it.
    fn change<T>(
        &self,
        now: Time,
        change: impl FnOnce(&mut Engine) -> Result<T, AlertingError>,
    ) -> Result<T, AlertingError> {
        // Before anything is changed: a full disk is told while nothing is promised.
        self.shared.store.check_room(64 << 10)?;
        let mut engine = self.lock();
        let res = change(&mut engine)?;
        self.write(&mut engine, now)?;
        Ok(res)
    }

    /// Writes what changed since the last time, and returns when it is on disk.
    fn write(&self, engine: &mut Engine, now: Time) -> Result<(), AlertingError> {
        let Shared { store, table, outbox, .. } = &*self.shared;
        let Engine { rules, round, mark, .. } = engine;
        let instance = |rule: &str, block: &str| rules.get(rule)?.instances.get(block);
        round.write((store, table, outbox), *mark, instance, now)?;
        self.publish(engine);
        Ok(())
    }
}

impl fmt::Debug for Alerting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerting").field("rules", &self.lock().rules.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
