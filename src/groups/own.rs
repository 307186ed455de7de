//! What the groups say about themselves.

use super::View;
use super::jobs::Limit;
use super::page::Dropped;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge, gauge::Gauge},
    registry::Registry,
};
use std::fmt;

/// Counters of the groups.
#[derive(Debug)]
pub(super) struct Own {
    pushes: Family<ResultLabels, Counter>,
    limited: Family<LimitLabels, Counter>,
    expired: Counter,
    dropped: Family<ReasonLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

impl Default for Own {
    fn default() -> Self {
        let res = Self::empty();
        for result in ["stored", "repeated", "rejected", "deleted"] {
            drop(res.pushes.get_or_create(&ResultLabels { result }));
        }
        for limit in Limit::ALL {
            drop(res.limited.get_or_create(&LimitLabels { limit: limit.as_str() }));
        }
        res.dropped(&Dropped::default());
        res
    }
}

impl Own {
    fn empty() -> Self {
        Self {
            pushes: Family::default(),
            limited: Family::default(),
            expired: Counter::default(),
            dropped: Family::default(),
        }
    }

    pub(super) fn stored(&self) {
        self.pushes.get_or_create(&ResultLabels { result: "stored" }).inc();
    }

    /// A retry of a push that was taken already.
    pub(super) fn repeated(&self) {
        self.pushes.get_or_create(&ResultLabels { result: "repeated" }).inc();
    }

    pub(super) fn rejected(&self) {
        self.pushes.get_or_create(&ResultLabels { result: "rejected" }).inc();
    }

    pub(super) fn deleted(&self) {
        self.pushes.get_or_create(&ResultLabels { result: "deleted" }).inc();
    }

    pub(super) fn limited(&self, limit: Limit) {
        self.limited.get_or_create(&LimitLabels { limit: limit.as_str() }).inc();
    }

    pub(super) fn expired(&self, n: usize) {
        self.expired.inc_by(n as u64);
    }

    pub(super) fn dropped(&self, dropped: &Dropped) {
        for (reason, n) in dropped.iter() {
            let n = i64::try_from(n).unwrap_or(i64::MAX);
            self.dropped.get_or_create(&ReasonLabels { reason }).set(n);
        }
    }
}

impl View {
    /// Registers the own metrics of the groups, without prefix.
    pub fn register(&self, registry: &mut Registry) {
        let own = &self.shared.own;
        registry.register(
            "push_requests",
            "Pushes and deletions, by what became of them",
            own.pushes.clone(),
        );
        registry.register(
            "push_over_limit",
            "Pushes that were refused because their job would have had more than it may, by limit",
            own.limited.clone(),
        );
        registry.register(
            "push_groups_expired",
            "Groups whose metrics went because no push was taken for the time that they live",
            own.expired.clone(),
        );
        registry.register(
            "scrape_dropped_series",
            "Pushed series that the last page left out because they disagree with others, by reason",
            own.dropped.clone(),
        );
        registry.register_collector(Box::new(Gauges(self.clone())));
    }
}

/// What is counted when it is asked for.
#[derive(Debug)]
struct Gauges(View);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let failed = self.0.groups().iter().filter(|it| !it.last_push_successful()).count();
        let mut gauge = |name: &str, help: &str, value: u64| {
            let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            value.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        gauge("push_groups", "Groups of pushed metrics", self.0.len() as u64)?;
        gauge("push_idempotency_keys", "Keys of pushes that are remembered", self.0.keys())?;
        gauge("push_failed_groups", "Groups whose last push was rejected", failed as u64)?;
        gauge(
            "push_series",
            "Pushed series, a histogram or summary being one, and one for the times of each group",
            self.0.series(),
        )
    }
}
