//! One family as it was at chosen times, for an export.

use super::family::millis;
use super::histogram::Histogram;
use super::series::{Extra, Series};
use super::{Config, Part, Projection};
use crate::exposition::{Dated, FamilyHead, HistogramView};
use crate::rules::{FamilyKind, FamilySpec, HistogramSpec, RuleSet, Unit, Updates};
use std::{collections::HashSet, sync::Arc};

/// A family that is given the events of the past in the order of their own times, and asked in between how
/// it is. Holds its series, and nothing per event.
#[derive(Debug)]
pub struct Past {
    projection: Projection,
    spec: FamilySpec,
    /// The label blocks that were written.
    known: HashSet<Box<str>>,
}

impl Past {
    /// The family with this index of `rules` before the first event, at `since_ms` in milliseconds since
    /// the epoch. `None` if there is no such family.
    #[must_use]
    pub fn new(rules: &Arc<RuleSet>, unit: Unit, family: usize, since_ms: i64) -> Option<Self> {
        let spec = rules.families().get(family)?.clone();
        let only = Arc::new(rules.only(&[unit]));
        let config = Config { zero_first: false, created_series: false };
        let mut projection = Projection::new(Arc::clone(&only), config, None, i64::MIN);
        projection.use_rules(only, 1, since_ms);
        Some(Self { projection, spec, known: HashSet::new() })
    }

    /// The rules to evaluate events with.
    #[must_use]
    pub fn rules(&self) -> &Arc<RuleSet> {
        self.projection.rules()
    }

    /// Applies what an event does that happened at `time_ms`.
    pub fn apply(&mut self, updates: &Updates, part: &Part, time_ms: i64) {
        self.projection.apply(updates, part, time_ms);
    }

    /// Begins the family.
    pub fn begin(&self, out: &mut Dated) {
        let kind = self.spec.kind.exposed();
        out.begin_family(&FamilyHead::new(&self.spec.name, &self.spec.help, kind));
    }

    /// Writes how every series is at `at_ms`. A counter or histogram that is new since `before_ms`, when
    /// this was asked last, was 0 then, and that is written too, a millisecond later: a range that begins
    /// at `before_ms` does not contain its beginning.
    pub fn sample(&mut self, (before_ms, at_ms): (i64, i64), out: &mut Dated) {
        self.projection.tick(at_ms);
        let metrics = self.projection.metrics();
        let view = metrics.shared.view.load();
        if let FamilyKind::SpanGauge(at, gauge) = self.spec.kind {
            let Some(state) = view.spans.get(at) else { return };
            let spans = state.lock();
            for (labels, value) in spans.gauge(&state.spec, gauge, at_ms) {
                out.gauge(labels, value, at_ms);
            }
            return;
        }
        let family = view.families.iter().find(|it| it.spec.name == self.spec.name);
        let Some(family) = family else { return };
        let ttl_ms = self.spec.ttl.map(millis);
        let (spec, known) = (&self.spec, &mut self.known);
        family.data.for_each(|series| {
            if series.is_hidden(ttl_ms, at_ms) {
                return;
            }
            if !known.contains(&series.labels) {
                known.insert(series.labels.clone());
                zero(spec, series, before_ms + 1, out);
            }
            write(spec, series, at_ms, out);
        });
    }
}

fn zero(spec: &FamilySpec, series: &Series, at_ms: i64, out: &mut Dated) {
    match &spec.kind {
        FamilyKind::Counter => out.counter(&series.labels, 0.0, at_ms),
        FamilyKind::Histogram(spec) => {
            histogram(spec, &series.labels, &Histogram::new(spec), at_ms, out);
        }
        FamilyKind::Gauge | FamilyKind::SpanGauge(..) => {}
    }
}

fn write(spec: &FamilySpec, series: &Series, at_ms: i64, out: &mut Dated) {
    match (&spec.kind, series.extra.as_deref()) {
        (FamilyKind::Counter, _) => out.counter(&series.labels, series.value, at_ms),
        (FamilyKind::Histogram(spec), Some(Extra::Histogram(it))) => {
            histogram(spec, &series.labels, it, at_ms, out);
        }
        _ => out.gauge(&series.labels, series.value, at_ms),
    }
}

fn histogram(spec: &HistogramSpec, labels: &str, it: &Histogram, at_ms: i64, out: &mut Dated) {
    let view = HistogramView {
        count: it.count,
        sum: it.sum,
        bounds: &spec.bounds,
        counts: &it.counts,
        created_ms: None,
        exemplars: &[],
        native: None,
    };
    out.histogram(labels, &view, at_ms);
}
