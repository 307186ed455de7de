//! What the projection says about itself.

use super::{Metrics, has_series};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        MetricType, counter::ConstCounter, counter::Counter, family::Family, gauge::ConstGauge,
    },
    registry::Registry,
};
use std::{
    collections::HashSet,
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Event types that `observatory_events_unmatched_total` tells apart.
const MAX_UNMATCHED_TYPES: usize = 100;

/// Counters of the projection. A handle.
#[derive(Debug, Default)]
pub struct Own {
    rule_errors: Family<RuleErrorLabels, Counter>,
    unmatched: Family<UnmatchedLabels, Counter>,
    unmatched_types: Mutex<HashSet<String>>,
    /// While events are replayed, which were counted when they came.
    paused: AtomicBool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleErrorLabels {
    metric: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnmatchedLabels {
    event_type: String,
}

impl Own {
    pub(super) fn rule_error(&self, metric: &str, reason: &'static str) {
        if !self.paused.load(Ordering::Relaxed) {
            self.rule_errors
                .get_or_create(&RuleErrorLabels { metric: metric.to_owned(), reason })
                .inc();
        }
    }

    pub(super) fn unmatched(&self, event_type: &str) {
        if self.paused.load(Ordering::Relaxed) {
            return;
        }
        let mut types = self.unmatched_types.lock().unwrap_or_else(PoisonError::into_inner);
        let known = types.contains(event_type);
        let event_type =
            if known || types.len() < MAX_UNMATCHED_TYPES { event_type } else { "_overflow" };
        if !known {
            types.insert(event_type.to_owned());
        }
        let event_type = event_type.to_owned();
        self.unmatched.get_or_create(&UnmatchedLabels { event_type }).inc();
    }

    /// Counts nothing while `paused`.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Registers the projection's own metrics, without prefix.
    pub fn register(&self, registry: &mut Registry) {
        let own = self.own();
        registry.register(
            "rule_errors",
            "Updates that a matching rule could not make, by metric and reason",
            own.rule_errors.clone(),
        );
        registry.register(
            "events_unmatched",
            "Events that no metric rule matched, by type",
            own.unmatched.clone(),
        );
        registry.register_collector(Box::new(Series(self.clone())));
    }
}

/// What is counted when it is asked for.
#[derive(Debug)]
struct Series(Metrics);

impl Collector for Series {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let view = self.0.shared.view.load();
        let families = || view.families.iter().filter(|it| has_series(&it.spec.kind));
        let mut series = encoder.encode_descriptor(
            "series",
            "Series that live, by metric",
            None,
            MetricType::Gauge,
        )?;
        for it in families() {
            let labels = [("metric", it.spec.name.as_str())];
            ConstGauge::new(number(it.data.live())).encode(series.encode_family(&labels)?)?;
        }
        let mut limits = encoder.encode_descriptor(
            "series_limit",
            "Series that may live before further ones overflow, by metric",
            None,
            MetricType::Gauge,
        )?;
        for it in families() {
            let labels = [("metric", it.spec.name.as_str())];
            ConstGauge::new(number(it.spec.limit)).encode(limits.encode_family(&labels)?)?;
        }
        let mut overflow = encoder.encode_descriptor(
            "series_overflow",
            "Updates that went to an overflow series, by metric",
            None,
            MetricType::Counter,
        )?;
        for it in families() {
            let labels = [("metric", it.spec.name.as_str())];
            ConstCounter::new(it.data.overflowed()).encode(overflow.encode_family(&labels)?)?;
        }
        let mut open = encoder.encode_descriptor(
            "open_spans",
            "Spans that are open",
            None,
            MetricType::Gauge,
        )?;
        for it in &view.spans {
            let n = it.lock().len();
            ConstGauge::new(number(n))
                .encode(open.encode_family(&[("span", it.spec.name.as_str())])?)?;
        }
        Ok(())
    }
}

fn number(it: usize) -> i64 {
    i64::try_from(it).unwrap_or(i64::MAX)
}
