//! What the HTTP surface counts of itself.

use super::push;
use super::stream;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

/// From a hit in memory to a query that reads the disk for long, in seconds.
const BUCKETS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// The status codes that the routes answer, for which a series is at hand without a lookup; 499 is a
/// client that hung up before its answer.
const CODES: [u16; 20] = [
    200, 201, 202, 204, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 499, 500, 501, 503,
    0,
];
/// The code of a request whose client hung up before the answer, as nginx has it.
pub(super) const CLIENT_CLOSED: u16 = 499;

/// The metrics of the HTTP surface. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    durations: Family<Labels, Histogram, fn() -> Histogram>,
    rejected: Family<Reason, Counter>,
    in_flight: Gauge,
    connections: Gauge,
    pushes: push::Instruments,
    streams: stream::Instruments,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: &'static str,
    method: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// The durations of one route and method.
#[derive(Debug)]
pub(super) struct RouteMetrics {
    durations: Family<Labels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    route: &'static str,
    method: &'static str,
    by_code: [OnceLock<Histogram>; CODES.len()],
}

/// Observes the duration of one request when it is dropped, which is also when the client hangs up.
pub(super) struct Observation {
    metrics: Arc<RouteMetrics>,
    started: Instant,
    code: u16,
}

/// Counts a connection while it lives.
pub(super) struct OpenConnection(Gauge);

impl Metrics {
    /// Registers the metrics under their full names: `registry` must not add a prefix.
    pub fn register(registry: &mut Registry) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let res = Self {
            durations: Family::new_with_constructor(histogram),
            rejected: Family::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            pushes: push::Instruments::register(registry),
            streams: stream::Instruments::register(registry),
        };
        registry.register_with_unit(
            "observatory_http_request_duration",
            "Time from a request's head to its answer, by route, method and status code (499: the client hung up)",
            Unit::Seconds,
            res.durations.clone(),
        );
        registry.register(
            "observatory_http_requests_rejected",
            "Requests that were refused before a handler saw them, by reason",
            res.rejected.clone(),
        );
        registry.register(
            "observatory_http_requests_in_flight",
            "Requests that are being worked on",
            res.in_flight.clone(),
        );
        registry.register(
            "observatory_http_connections",
            "Connections that are open",
            res.connections.clone(),
        );
        res
    }

    pub(super) fn route(&self, route: &'static str, method: &'static str) -> RouteMetrics {
        RouteMetrics {
            durations: self.durations.clone(),
            in_flight: self.in_flight.clone(),
            route,
            method,
            by_code: Default::default(),
        }
    }

    /// What is counted under the names of the Pushgateway.
    pub(super) fn pushes(&self) -> push::Instruments {
        self.pushes.clone()
    }

    /// What is counted of streams.
    pub(super) fn streams(&self) -> stream::Instruments {
        self.streams.clone()
    }

    /// Counts a request that is not let in.
    pub(super) fn reject(&self, reason: &'static str) {
        self.rejected.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl RouteMetrics {
    /// Begins to measure a request.
    pub(super) fn observe(self: &Arc<Self>) -> Observation {
        self.in_flight.inc();
        Observation { metrics: self.clone(), started: Instant::now(), code: CLIENT_CLOSED }
    }

    fn record(&self, code: u16, seconds: f64) {
        let labels = || Labels { route: self.route, method: self.method, code };
        let slot = CODES.iter().position(|it| *it == code).and_then(|it| self.by_code.get(it));
        match slot {
            Some(slot) => {
                slot.get_or_init(|| self.durations.get_or_create_owned(&labels())).observe(seconds);
            }
            None => self.durations.get_or_create(&labels()).observe(seconds),
        }
    }
}

impl Observation {
    /// The answer is `code`.
    pub(super) fn answer(&mut self, code: u16) {
        self.code = code;
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.metrics.in_flight.dec();
        self.metrics.record(self.code, seconds);
        let RouteMetrics { route, method, .. } = &*self.metrics;
        tracing::debug!(
            http.route = route,
            http.method = method,
            http.status = self.code,
            duration_seconds = seconds,
            "request"
        );
    }
}
