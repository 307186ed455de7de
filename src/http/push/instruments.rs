//! What the Pushgateway counts of itself, under its names, so that dashboards and alerts stay.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::telemetry;

/// Pushes whose durations and sizes the quantiles are of, per method.
const WINDOW: usize = 1024;
const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];
const METHODS: [&str; 2] = ["post", "put"];

/// The counters. Clones share them.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Instruments {
    requests: Family<Labels, Counter>,
    /// By method, as [`METHODS`].
    windows: Arc<[Mutex<Pushes>; METHODS.len()]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    handler: &'static str,
    code: u16,
    method: &'static str,
}

/// The pushes of one method.
#[derive(Debug, Default)]
struct Pushes {
    seconds: Window,
    bytes: Window,
}

/// A summary over the last [`WINDOW`] observations; sum and count are of all.
#[derive(Clone, Debug, Default)]
struct Window {
    last: VecDeque<f64>,
    sum: f64,
    count: u64,
}

impl Instruments {
    /// Registers the metrics under their full names: `registry` must not add a prefix.
    pub(in super::super) fn register(registry: &mut Registry) -> Self {
        let res = Self::default();
        registry.register(
            "pushgateway_http_requests",
            "Requests to the paths of the Pushgateway, by handler, status code and method",
            res.requests.clone(),
        );
        let build = telemetry::BUILD;
        let info = Info::new([
            ("version", build.version),
            ("revision", build.revision),
            ("branch", ""),
            ("goversion", ""),
            ("goos", std::env::consts::OS),
            ("goarch", std::env::consts::ARCH),
            ("tags", ""),
        ]);
        registry.register("pushgateway_build", "What answers as a Pushgateway here", info);
        registry.register_collector(Box::new(res.clone()));
        res
    }

    /// Counts a request. Methods are in lower case.
    pub(in super::super) fn answered(
        &self,
        handler: &'static str,
        code: u16,
        method: &'static str,
    ) {
        self.requests.get_or_create(&Labels { handler, code, method }).inc();
    }

    /// Observes a push of `bytes` that took so long.
    pub(super) fn pushed(&self, method: &'static str, took: Duration, bytes: usize) {
        let at = usize::from(method == "put");
        let Some(pushes) = self.windows.get(at) else { return };
        let mut pushes = pushes.lock().unwrap_or_else(PoisonError::into_inner);
        pushes.seconds.observe(took.as_secs_f64());
        pushes.bytes.observe(f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)));
    }
}

impl Window {
    fn observe(&mut self, value: f64) {
        if self.last.len() == WINDOW {
            self.last.pop_front();
        }
        self.last.push_back(value);
        self.sum += value;
        self.count += 1;
    }

    fn quantiles(&self) -> impl Iterator<Item = (f64, f64)> {
        let mut sorted: Vec<f64> = self.last.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        QUANTILES.into_iter().map(move |quantile| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a position in a short list"
            )]
            let at = (quantile * sorted.len().saturating_sub(1) as f64).round() as usize;
            (quantile, sorted.get(at).copied().unwrap_or(f64::NAN))
        })
    }
}

/// The library has no summaries, so that their samples are shown one by one, without the type.
impl Collector for Instruments {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let both: Vec<(&str, Window, Window)> = METHODS
            .iter()
            .zip(&*self.windows)
            .map(|(method, it)| {
                let it = it.lock().unwrap_or_else(PoisonError::into_inner);
                (*method, it.seconds.clone(), it.bytes.clone())
            })
            .filter(|(_, it, _)| it.count > 0)
            .collect();
        let seconds: Vec<_> = both.iter().map(|(method, it, _)| (*method, it)).collect();
        let bytes: Vec<_> = both.iter().map(|(method, _, it)| (*method, it)).collect();
        let (duration, size) = ("pushgateway_http_push_duration", "pushgateway_http_push_size");
        encode(
            &mut encoder,
            duration,
            &Unit::Seconds,
            "How long pushes took, by method",
            &seconds,
        )?;
        encode(
            &mut encoder,
            size,
            &Unit::Bytes,
            "How large requests with pushes were, by method",
            &bytes,
        )
    }
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    unit: &Unit,
    help: &str,
    windows: &[(&str, &Window)],
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, Some(unit), MetricType::Unknown)?;
    for (method, window) in windows {
        for (quantile, value) in window.quantiles() {
            let quantile = quantile.to_string();
            let labels = [("method", *method), ("quantile", quantile.as_str())];
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
    }
    for (suffix, value) in [("sum", true), ("count", false)] {
        let name = format!("{name}_{}_{suffix}", unit.as_str());
        let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Unknown)?;
        for (method, window) in windows {
            #[expect(clippy::cast_precision_loss, reason = "the nearest number will do")]
            let value = if value { window.sum } else { window.count as f64 };
            ConstGauge::new(value).encode(family.encode_family(&[("method", *method)])?)?;
        }
    }
    Ok(())
}
