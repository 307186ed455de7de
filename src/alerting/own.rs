//! The metrics of alerting itself.

use super::Alerting;
use crate::alerts::Phase;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::{counter::ConstCounter, gauge::ConstGauge};
use prometheus_client::registry::Registry;
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What is counted beside the engine.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// How long the last evaluation took.
    evaluation_nanos: AtomicU64,
}

impl Own {
    pub(super) fn evaluated(&self, took: Duration) {
        self.evaluation_nanos
            .store(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Alerting {
    /// Registers the own metrics, without prefix.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Gauges(self.clone())));
    }
}

#[derive(Debug)]
struct Gauges(Alerting);

impl Collector for Gauges {
    #[expect(clippy::cast_precision_loss, reason = "a metric value is a double")]
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let engine = self.0.lock();
        let active = engine.rules.values().filter(|it| it.is_active()).count();
        let count = |phase: Phase| {
            let instances = engine.rules.values().flat_map(|it| it.instances.values());
            instances.filter(|it| it.state.phase == phase).count()
        };
        let alerts = [("firing", count(Phase::Firing)), ("pending", count(Phase::Pending))];
        let counts = engine.counts;
        drop(engine);
        let gauge = ConstGauge::new(active as f64);
        let metric = encoder.encode_descriptor(
            "alert_rules",
            "Alert rules that are evaluated",
            None,
            gauge.metric_type(),
        )?;
        gauge.encode(metric)?;
        let kind = ConstGauge::new(0.0).metric_type();
        let mut family = encoder.encode_descriptor("alerts", "Alerts by status", None, kind)?;
        for (status, n) in alerts {
            ConstGauge::new(n as f64).encode(family.encode_family(&[("status", status)])?)?;
        }
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = encoder.encode_descriptor(
            "alert_transitions",
            "Changes of alerts by what they became",
            None,
            kind,
        )?;
        for (to, n) in
            [("firing", counts.firing), ("pending", counts.pending), ("resolved", counts.resolved)]
        {
            ConstCounter::new(n).encode(family.encode_family(&[("to", to)])?)?;
        }
        let dropped = ConstCounter::new(counts.dropped);
        let help =
            "Label sets of alert rules that were not followed because their rule has too many";
        let metric = encoder.encode_descriptor(
            "alert_instances_dropped",
            help,
            None,
            dropped.metric_type(),
        )?;
        dropped.encode(metric)?;
        let nanos = self.0.shared.own.evaluation_nanos.load(Ordering::Relaxed);
        let took = ConstGauge::new(nanos as f64 / 1e9);
        let help = "How long the last evaluation of all alert rules took, in seconds";
        let metric = encoder.encode_descriptor(
            "alert_evaluation_last_duration_seconds",
            help,
            None,
            took.metric_type(),
        )?;
        took.encode(metric)
    }
}
