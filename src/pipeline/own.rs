//! What the pipeline says about itself.

use super::Inner;
use crate::event::Time;
use crate::rules::RuleSet;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        MetricType,
        counter::Counter,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::Registry,
};
use std::{
    fmt,
    sync::{Weak, atomic::AtomicU64},
    time::Duration,
};

/// Seconds: from a fraction of an fsync to a request's timeout.
const LATENCY: [f64; 14] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Counters of the pipeline.
#[derive(Debug)]
pub(super) struct Own {
    received: Counter,
    duplicate: Counter,
    refused: Counter,
    ingest: Histogram,
    commit: Histogram,
    scrape: Histogram,
    snapshot: Histogram,
    reload_successful: Gauge,
    reload_success_timestamp: Gauge<f64, AtomicU64>,
    rules: Gauge,
    config_hash: Gauge<f64, AtomicU64>,
    backfill_events: Counter,
    backfill_failures: Counter,
}

impl Default for Own {
    fn default() -> Self {
        let latency = || Histogram::new(LATENCY);
        Self {
            received: Counter::default(),
            duplicate: Counter::default(),
            refused: Counter::default(),
            ingest: latency(),
            commit: latency(),
            scrape: latency(),
            snapshot: latency(),
            reload_successful: Gauge::default(),
            reload_success_timestamp: Gauge::default(),
            rules: Gauge::default(),
            config_hash: Gauge::default(),
            backfill_events: Counter::default(),
            backfill_failures: Counter::default(),
        }
    }
}

impl Own {
    pub(super) fn ingested(&self, received: usize, duplicate: usize, took: Duration) {
        self.received.inc_by(received as u64);
        self.duplicate.inc_by(duplicate as u64);
        self.ingest.observe(took.as_secs_f64());
    }

    pub(super) fn refused(&self) {
        self.refused.inc();
    }

    pub(super) fn committed(&self, took: Duration) {
        self.commit.observe(took.as_secs_f64());
    }

    pub(super) fn scraped(&self, took: Duration) {
        self.scrape.observe(took.as_secs_f64());
    }

    pub(super) fn snapshotted(&self, took: Duration) {
        self.snapshot.observe(took.as_secs_f64());
    }

    /// Notes events of the past to which rules were applied.
    pub(super) fn replayed(&self, events: usize) {
        self.backfill_events.inc_by(events as u64);
    }

    pub(super) fn backfill_failed(&self) {
        self.backfill_failures.inc();
    }

    pub(super) fn reloaded(&self, outcome: Result<&RuleSet, ()>, now: Time) {
        self.reload_successful.set(i64::from(outcome.is_ok()));
        if let Ok(rules) = outcome {
            self.reload_success_timestamp.set(now.as_seconds());
            self.rules.set(i64::try_from(rules.families().len()).unwrap_or(i64::MAX));
            self.config_hash.set(hash(rules.fingerprint()));
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("events_received", "Events accepted", self.received.clone());
        registry.register(
            "events_duplicate",
            "Events that had been accepted before and were not counted again",
            self.duplicate.clone(),
        );
        registry.register(
            "queue_refused_requests",
            "Requests that were refused because the queue was full",
            self.refused.clone(),
        );
        registry.register(
            "ingest_duration_seconds",
            "Time from a parsed request to its events being durable and visible",
            self.ingest.clone(),
        );
        registry.register(
            "commit_duration_seconds",
            "Time of a group commit: append, fsync, apply",
            self.commit.clone(),
        );
        registry.register("scrape_duration_seconds", "Time to render a page", self.scrape.clone());
        registry.register(
            "snapshot_duration_seconds",
            "Time to store a snapshot of the metrics",
            self.snapshot.clone(),
        );
        registry.register(
            "config_last_reload_successful",
            "Whether the last reload of the rules succeeded",
            self.reload_successful.clone(),
        );
        registry.register(
            "config_last_reload_success_timestamp_seconds",
            "Time of the last successful reload of the rules",
            self.reload_success_timestamp.clone(),
        );
        registry.register(
            "config_hash",
            "Hash of the rules in force, to compare servers",
            self.config_hash.clone(),
        );
        registry.register(
            "backfill_events",
            "Events of the past to which a replay or backfill applied rules",
            self.backfill_events.clone(),
        );
        registry.register(
            "backfill_failures",
            "Backfills that failed; the log says why",
            self.backfill_failures.clone(),
        );
        registry.register("rules", "Metric families that the rules define", self.rules.clone());
    }
}

/// The part of a hash that a double holds exactly.
#[expect(clippy::cast_precision_loss, reason = "48 bits fit")]
fn hash(it: u64) -> f64 {
    (it >> 16) as f64
}

/// What is looked at when it is asked for.
#[derive(Debug)]
pub(super) struct Gauges(pub(super) Weak<Inner>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(inner) = self.0.upgrade() else { return Ok(()) };
        let (blocks, sealed) = inner.journal.blocks();
        let mut gauge = |name: &str, help: &str, value: u64| {
            let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            value.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        gauge("store_events", "Events in the journal", inner.journal.len())?;
        gauge("store_blocks", "Blocks in the journal", blocks as u64)?;
        gauge("store_sealed_blocks", "Blocks in the journal that are full", sealed as u64)?;
        let size = inner.store.size_bytes().unwrap_or(0);
        gauge("store_size_bytes", "Bytes on disk", size)?;
        let writable = u64::from(inner.pulse.check().is_ok());
        gauge("store_writable", "Whether the last write succeeded", writable)?;
        let load = |it: &std::sync::atomic::AtomicUsize| {
            it.load(std::sync::atomic::Ordering::Relaxed) as u64
        };
        let rules = inner.rules.load();
        let is_pending = |name: &str| inner.metrics.origin(name).is_some_and(|it| it.pending);
        let pending = rules.families().iter().filter(|it| is_pending(&it.name)).count() as u64;
        gauge("backfill_pending", "Metrics whose past is still to be counted", pending)?;
        gauge("queue_requests", "Requests that wait for the writer", load(&inner.queued.requests))?;
        gauge("queue_bytes", "Bytes that wait for the writer", load(&inner.queued.bytes))?;
        let ratio = ConstGauge::new(inner.replays.backfills.ratio());
        let help = "How much of the past the backfill at work has counted; 1 if there is none";
        let name = "backfill_progress_ratio";
        ratio.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }
}
