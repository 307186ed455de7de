//! What some families would be if their rules had been in force earlier.
//!
//! A [`Shadow`] is filled from the journal beside the projection and then exchanged for the families that
//! are in force, at once for every reader. Series that it puts away because their time is over go to the
//! store under an epoch of their own, which means nothing until a snapshot says that it is in force.

use super::family::{Data, Family};
use super::origin::Origin;
use super::series::{Extra, Series};
use super::snapshot;
use super::{Config, Metrics, Part, Projection};
use crate::rules::{FamilyKind, RuleSet, Unit, Updates};
use crate::store::{Batch, StoreError, Table};
use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, PoisonError},
};

/// How often, by the time of arrival of the events, series are put away whose time is over.
const EVICT_MS: i64 = 300_000;

/// Series of a family whose values are given as examples.
const EXAMPLES: usize = 5;

/// Families that count the past.
#[derive(Debug)]
pub struct Shadow {
    projection: Projection,
    /// The rules in force, of which those of the projection are a part.
    base: Arc<RuleSet>,
    members: Vec<usize>,
    spans: Vec<usize>,
    /// The sequence number that the next applied event has at least.
    next: u64,
    evicted_ms: i64,
}

/// A family that is in force beside what it would be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// The name of the family.
    pub metric: String,
    /// Its series now.
    pub before: usize,
    /// Its series then.
    pub after: usize,
    /// Series whose values differ, a few.
    pub examples: Vec<Example>,
}

/// A series with its values; of a histogram, its count.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The label block.
    pub labels: String,
    /// The value now; `None`: there is no such series.
    pub before: Option<f64>,
    /// The value then.
    pub after: Option<f64>,
}

impl Shadow {
    /// Families of `units` without series, which count every event from the sequence number `from` on;
    /// `since_ms` is when the first of those arrived, in milliseconds since the epoch. `rules` are in
    /// force, `metrics` show what they count, and `table` is where series go when their time is over.
    ///
    /// # Errors
    ///
    /// What an earlier one left in `table` cannot be deleted.
    pub fn new(
        rules: &Arc<RuleSet>,
        units: &[Unit],
        (from, since_ms): (u64, i64),
        (metrics, table): (&Metrics, Option<Table>),
    ) -> Result<Self, StoreError> {
        let config = Config { zero_first: false, ..metrics.shared.config };
        let only = Arc::new(rules.only(units));
        let mut projection = Projection::new(Arc::clone(&only), config, table, i64::MIN);
        projection.use_rules(only, from, since_ms);
        let members: Vec<usize> = units.iter().flat_map(|it| rules.members(*it)).collect();
        for family in members.iter().filter_map(|it| projection.families.get(*it)) {
            let spec = &family.shared.spec;
            let epoch = metrics.origin(&spec.name).map_or(0, |it| it.epoch) + 1;
            if let Some(table) = &projection.dormant {
                snapshot::remove_epoch(table, spec, epoch)?;
            }
            family.shared.data.set_origin(Origin { epoch, ..Origin::at(from) });
            family.shared.data.hide(false);
        }
        let span = |it: &Unit| match it {
            Unit::Span(at) => Some(*at),
            Unit::Metric(_) => None,
        };
        let spans = units.iter().filter_map(span).collect();
        let base = Arc::clone(rules);
        Ok(Self { projection, base, members, spans, next: from, evicted_ms: 0 })
    }

    /// The rules to evaluate events with.
    #[must_use]
    pub fn rules(&self) -> &Arc<RuleSet> {
        self.projection.rules()
    }

    /// The sequence number of the first event that it has not seen.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Notes that it has seen all events before the sequence number `next`.
    pub fn seen(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// Applies what one event does, which arrived at `received_ms`. Events are applied in the order of the
    /// journal.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn apply(
        &mut self,
        updates: &Updates,
        part: &Part,
        received_ms: i64,
    ) -> Result<(), StoreError> {
        if received_ms - self.evicted_ms >= EVICT_MS {
            self.evicted_ms = received_ms;
            self.evict(received_ms)?;
        }
        self.projection.apply(updates, part, received_ms);
        let resumed = self.projection.resumed.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let (Some(table), false) = (&self.projection.dormant, resumed.is_empty()) {
            let mut batch = Batch::default();
            resumed.drain(..).for_each(|it| batch.remove(&it));
            table.apply(batch)?;
        }
        Ok(())
    }

    fn evict(&mut self, now_ms: i64) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for at in &self.members {
            let Some(family) = self.projection.families.get_mut(*at) else { continue };
            let (kept, _forgotten) = family.evict(now_ms);
            let epoch = family.shared.data.origin().epoch;
            for it in kept {
                let key = snapshot::dormant_key(&family.shared.spec, epoch, &it.labels);
                batch.put(&key, &snapshot::encode_dormant(&it));
            }
        }
        self.projection.dormant.as_ref().map_or(Ok(()), |it| it.apply(batch))
    }

    /// Deletes what it has put away: it will not be used.
    ///
    /// # Errors
    ///
    /// The store cannot be written. The next start deletes it, then.
    pub fn discard(self) -> Result<(), StoreError> {
        let Some(table) = &self.projection.dormant else { return Ok(()) };
        for family in self.members.iter().filter_map(|it| self.projection.families.get(*it)) {
            let epoch = family.shared.data.origin().epoch;
            snapshot::remove_epoch(table, &family.shared.spec, epoch)?;
        }
        Ok(())
    }

    /// What would become of each family if it were exchanged at `now_ms`.
    #[must_use]
    pub fn differences(&self, metrics: &Metrics, now_ms: i64) -> Vec<Difference> {
        let new = self.projection.metrics();
        let members = self.members.iter().filter_map(|it| self.base.families().get(*it));
        members
            .map(|spec| {
                let of = |it: &Metrics| it.values(&spec.name, now_ms);
                difference(&spec.name, &of(metrics), &of(&new))
            })
            .collect()
    }
}

impl Projection {
    /// Exchanges the families that `shadow` has counted for those in force; again, and they are as before.
    /// `false`, and nothing was done, if other rules are in force by now.
    pub fn swap(&mut self, shadow: &mut Shadow) -> bool {
        if !Arc::ptr_eq(&self.rules, &shadow.base) {
            return false;
        }
        for at in &shadow.members {
            let theirs = shadow.projection.families.get_mut(*at);
            if let (Some(ours), Some(theirs)) = (self.families.get_mut(*at), theirs) {
                mem::swap(ours, theirs);
                ours.hold_what_is_new(theirs, &self.shared.holds);
            }
        }
        for at in &shadow.spans {
            let theirs = shadow.projection.spans.get_mut(*at);
            if let (Some(ours), Some(theirs)) = (self.spans.get_mut(*at), theirs) {
                mem::swap(&mut ours.spans, &mut theirs.spans);
            }
        }
        self.publish();
        true
    }
}

impl Family {
    /// Holds the series at 0 that no Prometheus can have seen: those made since the last mark, unless
    /// `before`, which readers saw until now, shows them already.
    fn hold_what_is_new(&mut self, before: &Self, holds: &super::Holds) {
        let spec = &self.shared.spec;
        let counts = matches!(spec.kind, FamilyKind::Counter | FamilyKind::Histogram(_));
        if !counts || !spec.zero_first {
            return;
        }
        let data = Arc::clone(&self.shared.data);
        for (place, created_ms) in self.places_made_since(holds) {
            let shown = |labels: &str| {
                let old = before.find(labels).and_then(|it| before.with(it, |it| !it.held));
                old == Some(true) && !before.shared.data.is_hidden()
            };
            let held = self.with(place, |it| {
                it.held = !shown(&it.labels);
                it.held
            });
            if held == Some(true) {
                holds.add(&data, place, created_ms);
            }
        }
    }
}

impl Metrics {
    /// The values of a family by label block: of a histogram, its counts.
    fn values(&self, name: &str, now_ms: i64) -> BTreeMap<String, f64> {
        let view = self.shared.view.load();
        let mut res = BTreeMap::new();
        let Some(family) = view.families.iter().find(|it| it.spec.name == name) else { return res };
        if let FamilyKind::SpanGauge(at, gauge) = family.spec.kind {
            let Some(state) = view.spans.get(at) else { return res };
            let spans = state.lock();
            let samples = spans.gauge(&state.spec, gauge, now_ms);
            return samples.into_iter().map(|(labels, it)| (labels.to_owned(), it)).collect();
        }
        let ttl_ms = family.spec.ttl.map(super::family::millis);
        let data: &Data = &family.data;
        data.for_each(|it| {
            if !it.is_hidden(ttl_ms, now_ms) {
                res.insert(it.labels.to_string(), value(it));
            }
        });
        res
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric value is a double")]
fn value(series: &Series) -> f64 {
    match series.extra.as_deref() {
        Some(Extra::Histogram(it)) => it.count as f64,
        _ => series.value,
    }
}

fn difference(
    metric: &str,
    before: &BTreeMap<String, f64>,
    after: &BTreeMap<String, f64>,
) -> Difference {
    let gone = before.keys().filter(|it| !after.contains_key(*it));
    let pairs = after.keys().chain(gone).map(|labels| Example {
        labels: labels.clone(),
        before: before.get(labels).copied(),
        after: after.get(labels).copied(),
    });
    let changed = pairs.filter(|it| it.before != it.after);
    Difference {
        metric: metric.to_owned(),
        before: before.len(),
        after: after.len(),
        examples: changed.take(EXAMPLES).collect(),
    }
}
