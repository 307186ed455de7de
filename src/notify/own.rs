//! What the notifications say about themselves.

use super::Outbox;
use super::channel::Channel;
use super::record::State;
use super::send::{Attempt, Verdict};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        MetricType, counter::Counter, family::Family, gauge::ConstGauge, histogram::Histogram,
    },
    registry::Registry,
};
use std::fmt;

/// Seconds from the change to its delivery.
const DELIVERY: [f64; 11] = [0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 86_400.0];

/// Counters of the notifications.
#[derive(Debug)]
pub(super) struct Own {
    notifications: Family<OutcomeLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    delivery: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    r#type: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    r#type: &'static str,
    result: &'static str,
}

const TYPES: [&str; 4] = ["email", "slack", "webhook", "alertmanager"];

impl Default for Own {
    fn default() -> Self {
        let notifications: Family<OutcomeLabels, Counter> = Family::default();
        let attempts: Family<AttemptLabels, Counter> = Family::default();
        // The first failure counts, too.
        for r#type in TYPES {
            for outcome in [State::Sent, State::Merged, State::Dead, State::Suppressed] {
                let outcome = outcome.as_str();
                drop(notifications.get_or_create(&OutcomeLabels { r#type, outcome }));
            }
            for result in ["delivered", "retry", "rejected"] {
                drop(attempts.get_or_create(&AttemptLabels { r#type, result }));
            }
        }
        Self { notifications, attempts, delivery: Histogram::new(DELIVERY) }
    }
}

impl Own {
    pub(super) fn finished(&self, channel: &Channel, state: State) {
        let labels = OutcomeLabels { r#type: channel.target.kind(), outcome: state.as_str() };
        self.notifications.get_or_create(&labels).inc();
    }

    pub(super) fn attempt(&self, channel: &Channel, attempt: &Attempt) {
        let result = match attempt.verdict {
            Verdict::Delivered => "delivered",
            Verdict::Retry(_) => "retry",
            Verdict::Dead | Verdict::Gone => "rejected",
        };
        let labels = AttemptLabels { r#type: channel.target.kind(), result };
        self.attempts.get_or_create(&labels).inc();
    }

    pub(super) fn delivered(&self, seconds: f64) {
        self.delivery.observe(seconds.max(0.0));
    }
}

impl Outbox {
    /// Registers the own metrics of the notifications, without prefix.
    pub fn register(&self, registry: &mut Registry) {
        let own = &self.shared.own;
        registry.register(
            "notifications",
            "Notifications that are done with, by kind of channel and what became of them",
            own.notifications.clone(),
        );
        registry.register(
            "notification_attempts",
            "Attempts to send a message, by kind of channel and how they went",
            own.attempts.clone(),
        );
        registry.register(
            "notification_delivery_seconds",
            "Time from making a notification until its channel took it",
            own.delivery.clone(),
        );
        registry.register_collector(Box::new(Gauges(self.clone())));
    }
}

/// What is counted when it is asked for.
#[derive(Debug)]
struct Gauges(Outbox);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let shared = &self.0.shared;
        let (pending, oldest) = {
            let queues = shared.queues();
            let rows = || queues.values().flat_map(|it| it.rows.values());
            (rows().count(), rows().map(|it| it.created).min())
        };
        let age = oldest.map_or(0.0, |it| shared.now().seconds_since(it).max(0.0));
        let broken = shared.channels().values().filter(|it| it.disabled_reason.is_some()).count();
        let mut gauge = |name: &str, help: &str, value: f64| {
            let value = ConstGauge::new(value);
            value.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        #[expect(clippy::cast_precision_loss, reason = "a metric value is a double")]
        let (pending, broken) = (pending as f64, broken as f64);
        gauge("notifications_pending", "Notifications that wait to be delivered", pending)?;
        gauge(
            "notification_oldest_pending_seconds",
            "Age of the oldest notification that waits; 0 if none does",
            age,
        )?;
        gauge(
            "notification_channels_disabled",
            "Channels that the server switched off because nobody was there",
            broken,
        )
    }
}
