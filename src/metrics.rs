//! The series projection: the fold of the journal that `/metrics` shows.
//!
//! # Contract
//!
//! - The [`Projection`] is the write side; there is one, and it applies events in the order of the journal.
//!   Its state is a function of the rules and the events, and of nothing else: a snapshot plus a replay of
//!   the rest gives the same numbers.
//! - [`Metrics`] is the read side, a handle. Rendering never blocks an update for longer than it takes to
//!   format a few hundred series.
//! - Whatever a rule or a label does, the page stays valid: names come from checked rules, label blocks are
//!   escaped when they are made, and a series stands once.

mod family;
mod gzip;
mod histogram;
mod origin;
mod own;
mod past;
mod read;
mod render;
mod series;
mod shadow;
mod snapshot;
mod spans;
pub mod trial;
pub mod verify;
mod zero;

pub use origin::Origin;
pub use own::Own;
pub use past::Past;
pub use read::Reading;
pub use render::{Audience, Rendered, Scraper};
pub use shadow::{Difference, Example, Shadow};
pub use snapshot::{Reach, RestoreError, reach};

use crate::rules::{Change, FamilyKind, FamilySpec, Op, RuleSet, SpanSpec, Updates};
use crate::store::Table;
use arc_swap::ArcSwap;
use family::{Context, Family};
use hashbrown::HashMap;
use series::Exemplar;
use spans::{Effect, Spans};
use std::{
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use zero::Holds;

/// How the projection behaves beyond its rules.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Whether each Prometheus sees a new series at 0 first. Default true.
    pub zero_first: bool,
    /// Whether OpenMetrics carries `_created` samples. Default false.
    pub created_series: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { zero_first: true, created_series: false }
    }
}

/// The read side: what is scraped. Clones share it.
#[derive(Clone, Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
}

/// The write side: applies events.
#[derive(Debug)]
pub struct Projection {
    rules: Arc<RuleSet>,
    families: Vec<Family>,
    spans: Vec<SpanState>,
    shared: Arc<Shared>,
    /// Where series go when their time is over; absent in rule tests.
    dormant: Option<Table>,
    /// The keys of series that came back since the last snapshot.
    resumed: Mutex<Vec<Vec<u8>>>,
    /// The generation of the snapshot in force.
    generation: u64,
    /// When forgotten series were last looked for, in milliseconds since the epoch.
    swept_ms: i64,
    /// The second in which spans were last given up.
    ticked: i64,
}

/// What the two sides share.
#[derive(Debug)]
struct Shared {
    view: ArcSwap<View>,
    holds: Holds,
    /// Counts changes, so that a rendered page is known to be stale.
    version: AtomicU64,
    own: Own,
    config: Config,
}

/// What there is to render, sorted by name.
#[derive(Debug, Default)]
struct View {
    families: Vec<Arc<family::Shared>>,
    spans: Vec<SpanState>,
}

/// The open spans of one kind. The lock is held for one update or one gauge.
#[derive(Clone, Debug)]
struct SpanState {
    spec: SpanSpec,
    spans: Arc<Mutex<Spans>>,
}

/// What one event does, within an [`Updates`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its range of [`Updates::ops`].
    pub ops: Range<usize>,
    /// Its range of [`Updates::spans`].
    pub spans: Range<usize>,
    /// Its range of [`Updates::errors`].
    pub errors: Range<usize>,
    /// Its range of [`Updates::unmatched`].
    pub unmatched: Range<usize>,
}

// === impl Part ===

impl Part {
    /// Evaluates `event` into `updates` and returns what was added.
    pub fn evaluate(
        rules: &RuleSet,
        event: &crate::event::Event<'_>,
        updates: &mut Updates,
    ) -> Self {
        let lengths =
            |it: &Updates| (it.ops.len(), it.spans.len(), it.errors.len(), it.unmatched.len());
        let before = lengths(updates);
        rules.evaluate(event, updates);
        let after = lengths(updates);
        Self {
            ops: before.0..after.0,
            spans: before.1..after.1,
            errors: before.2..after.2,
            unmatched: before.3..after.3,
        }
    }
}

// === impl Projection ===

impl Projection {
    /// A projection without series; call [`Self::use_rules`] next. Series made up to `mark_ms`
    /// (milliseconds since the epoch) are not held at zero.
    #[must_use]
    pub fn new(rules: Arc<RuleSet>, config: Config, dormant: Option<Table>, mark_ms: i64) -> Self {
        let shared = Arc::new(Shared {
            view: ArcSwap::default(),
            holds: Holds::new(config.zero_first, mark_ms),
            version: AtomicU64::new(0),
            own: Own::default(),
            config,
        });
        Self {
            rules,
            families: Vec::new(),
            spans: Vec::new(),
            shared,
            dormant,
            resumed: Mutex::default(),
            generation: 0,
            swept_ms: 0,
            ticked: 0,
        }
    }

    /// The read side.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics { shared: Arc::clone(&self.shared) }
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Puts `rules` in force for the events that are applied from now on, the next of which has the
    /// sequence number `next`. A family or span that means the same keeps its series; any other starts
    /// anew. Readers see the old families or the new; one that is to count its past first, they do not see.
    pub fn use_rules(&mut self, rules: Arc<RuleSet>, next: u64, now_ms: i64) {
        let mut families: HashMap<_, _> =
            self.families.drain(..).map(|it| (it.shared.spec.name.clone(), it)).collect();
        let mut spans: HashMap<_, _> =
            self.spans.drain(..).map(|it| (it.spec.name.clone(), it)).collect();
        for spec in rules.families() {
            let old = families
                .remove(&spec.name)
                .filter(|it| it.shared.spec.fingerprint == spec.fingerprint);
            self.families.push(match old {
                Some(old) => old.with_spec(spec.clone()),
                None => {
                    let origin = Origin { pending: wants_past(spec, next), ..Origin::at(next) };
                    Family::new(spec.clone(), origin, now_ms, &self.shared.holds)
                }
            });
        }
        for spec in rules.spans() {
            let old = spans.remove(&spec.name).filter(|it| it.spec.fingerprint == spec.fingerprint);
            let spans = old.map(|it| it.spans).unwrap_or_default();
            self.spans.push(SpanState { spec: spec.clone(), spans });
        }
        self.rules = rules;
        self.publish();
    }

    /// Shows readers what there is now.
    fn publish(&self) {
        let mut families: Vec<_> = self.families.iter().map(|it| Arc::clone(&it.shared)).collect();
        families.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        self.shared.view.store(Arc::new(View { families, spans: self.spans.clone() }));
        self.changed();
    }

    fn changed(&self) {
        self.shared.version.fetch_add(1, Ordering::Release);
    }

    /// Applies what one event does, which arrived at `received_ms`.
    pub fn apply(&mut self, updates: &Updates, part: &Part, received_ms: i64) {
        if received_ms / 1000 > self.ticked {
            self.tick(received_ms);
        }
        for op in updates.ops.get(part.ops.clone()).unwrap_or_default() {
            self.apply_op(updates, op, received_ms);
        }
        for op in updates.spans.get(part.spans.clone()).unwrap_or_default() {
            let at = op.span as usize;
            let Some(state) = self.spans.get(at) else { continue };
            let effects = state.lock().apply(&state.spec, updates, op, received_ms);
            let trace = op.exemplar.and_then(|it| updates.exemplars.get(it as usize).copied());
            let exemplar = trace.map(|trace| Exemplar { trace, value: 0.0, time: op.time });
            self.apply_effects(at, effects, exemplar, received_ms);
        }
        for (family, error) in updates.errors.get(part.errors.clone()).unwrap_or_default() {
            if let Some(family) = self.families.get(*family as usize) {
                self.shared.own.rule_error(&family.shared.spec.name, error.as_str());
            }
        }
        for range in updates.unmatched.get(part.unmatched.clone()).unwrap_or_default() {
            self.shared.own.unmatched(updates.text(*range));
        }
        self.changed();
    }

    fn apply_op(&mut self, updates: &Updates, op: &Op, received_ms: i64) {
        let trace = op.exemplar.and_then(|it| updates.exemplars.get(it as usize).copied());
        let exemplar = trace.map(|trace| {
            let (Change::Count(value)
            | Change::Set(value)
            | Change::Add(value)
            | Change::Observe(value)) = op.change;
            Exemplar { trace, value, time: crate::event::Time::from_millis(received_ms) }
        });
        self.change(
            op.family as usize,
            updates.text(op.labels),
            op.change,
            (exemplar, received_ms),
        );
    }

    fn change(
        &mut self,
        family: usize,
        labels: &str,
        change: Change,
        (exemplar, received_ms): (Option<Exemplar>, i64),
    ) {
        let Some(family) = self.families.get_mut(family) else { return };
        let (table, resumed) = (self.dormant.as_ref(), &self.resumed);
        let dormant = |spec: &FamilySpec, epoch: u64, labels: &str| {
            let key = snapshot::dormant_key(spec, epoch, labels);
            let series = snapshot::decode_dormant(&table?.get(&key).ok()??).ok()?;
            resumed.lock().unwrap_or_else(PoisonError::into_inner).push(key);
            let forget_ms = spec.forget.map(family::millis);
            Some(series).filter(|it| !it.is_hidden(forget_ms, received_ms))
        };
        let holds = &self.shared.holds;
        family.apply(labels, change, &Context { received_ms, exemplar, holds, dormant: &dormant });
    }

    fn apply_effects(
        &mut self,
        span: usize,
        effects: Vec<Effect>,
        exemplar: Option<Exemplar>,
        received_ms: i64,
    ) {
        let Some(spec) = self.spans.get(span).map(|it| &it.spec) else { return };
        let (duration, unmatched, abandoned) = (spec.duration, spec.unmatched_ends, spec.abandoned);
        for effect in effects {
            let (family, labels, change) = match effect {
                Effect::Ended(labels, seconds) => {
                    (Some(duration), labels, Change::Observe(seconds))
                }
                Effect::Unmatched => (unmatched, String::new(), Change::Count(1.0)),
                Effect::Abandoned => (Some(abandoned), String::new(), Change::Count(1.0)),
                Effect::TooMany => {
                    let name = self.spans.get(span).map_or("", |it| it.spec.name.as_str());
                    self.shared.own.rule_error(name, "too_many_open");
                    continue;
                }
            };
            let exemplar = match change {
                Change::Observe(value) => exemplar.map(|it| Exemplar { value, ..it }),
                _ => None,
            };
            if let Some(family) = family {
                self.change(family, &labels, change, (exemplar, received_ms));
            }
        }
    }

    /// Does what the passing of time does: gives up spans that are too old at `now_ms`.
    pub fn tick(&mut self, now_ms: i64) {
        self.ticked = self.ticked.max(now_ms / 1000);
        for at in 0..self.spans.len() {
            let Some(state) = self.spans.get(at) else { continue };
            let effects = state.lock().tick(&state.spec, now_ms);
            if !effects.is_empty() {
                self.apply_effects(at, effects, None, now_ms);
                self.changed();
            }
        }
    }
}

// === impl SpanState ===

impl SpanState {
    fn lock(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Metrics ===

impl Metrics {
    /// Counts changes: a page that was rendered at this version is not stale.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// Notes that a Prometheus scrapes at `now_ms`. If that makes held series ready, returns the mark to
    /// store before [`Self::release`].
    #[must_use]
    pub fn scraped(&self, scraper: Scraper, now_ms: i64) -> Option<i64> {
        self.shared.holds.scraped(scraper, now_ms)
    }

    /// Shows the series that are ready to every Prometheus, once their mark is stored.
    pub fn release(&self, mark_ms: i64) {
        self.shared.holds.release(mark_ms);
        self.shared.version.fetch_add(1, Ordering::Release);
    }

    /// The counters of the projection itself.
    #[must_use]
    pub fn own(&self) -> &Own {
        &self.shared.own
    }
}

/// Whether a new family that counts from `next` on is to count what was before.
fn wants_past(spec: &FamilySpec, next: u64) -> bool {
    spec.backfill.is_some() && next > 1
}

/// Whether a family has series of its own, and not gauges over spans.
fn has_series(kind: &FamilyKind) -> bool {
    !matches!(kind, FamilyKind::SpanGauge(..))
}

#[cfg(test)]
mod tests;
