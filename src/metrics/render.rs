//! A page of `/metrics`.

use super::family;
use super::family::millis;
use super::gzip;
use super::series::{Exemplar, Extra, Series};
use super::{Metrics, View, has_series};
use crate::exposition;
use crate::exposition::{
    Encoder, FamilyHead, Format, HistogramView, Kind, MetricFamily, NativeView, Options,
};
use crate::rules::{FamilyKind, FamilySpec, HistogramSpec};
use bytes::Bytes;
use std::sync::Arc;

/// Bytes after which a chunk is handed on.
const CHUNK_BYTES: usize = 512 << 10;

/// Who asks for a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A Prometheus: held series show 0.
    Prometheus(Scraper),
    /// Anyone else sees the truth at once.
    Person,
}

/// A Prometheus, as far as a request tells it apart from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scraper {
    /// A hash of whatever identifies it, such as its connection.
    pub id: u64,
    /// Its scrape timeout in milliseconds, which is at most its interval (10 000 if it did not say).
    pub timeout_ms: u32,
}

/// A rendered page.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The body, in chunks.
    pub chunks: Arc<[Bytes]>,
    /// Bytes in all chunks.
    pub len: usize,
}

impl Metrics {
    /// Renders the page as of `now_ms`, in `format`, compressed if `gzip`; `held` shows held series at 0.
    /// `own` are the server's own families. Takes a while with many series: call it off the reactor.
    #[must_use]
    pub fn render(
        &self,
        (format, gzip): (Format, bool),
        held: bool,
        now_ms: i64,
        own: &[MetricFamily],
    ) -> Rendered {
        let options = Options { created_series: self.shared.config.created_series };
        let view = self.shared.view.load();
        let page = |push: &mut dyn FnMut(Vec<u8>)| {
            let encoder = Encoder::new(format, options);
            Page { view: &view, held, now_ms, encoder, push }.render(own);
        };
        let chunks: Vec<Bytes> = if gzip {
            gzip::compress(std::thread::available_parallelism().map_or(1, usize::from), page)
        } else {
            let mut chunks = Vec::new();
            page(&mut |chunk| chunks.push(Bytes::from(chunk)));
            chunks
        };
        let len = chunks.iter().map(Bytes::len).sum();
        Rendered { chunks: chunks.into(), len }
    }
}

struct Page<'a> {
    view: &'a View,
    held: bool,
    now_ms: i64,
    encoder: Encoder,
    push: &'a mut dyn FnMut(Vec<u8>),
}

impl Page<'_> {
    fn render(mut self, own: &[MetricFamily]) {
        for it in self.view.families.iter().filter(|it| !it.data.is_hidden()) {
            if has_series(&it.spec.kind) {
                self.family(it);
            } else {
                self.span_gauge(&it.spec);
            }
        }
        exposition::encode_families(&mut self.encoder, own);
        self.encoder.finish();
        let rest = self.encoder.take();
        if !rest.is_empty() {
            (self.push)(rest);
        }
    }

    fn family(&mut self, family: &family::Shared) {
        let spec = &family.spec;
        let ttl_ms = spec.ttl.map(millis);
        let mut begun = false;
        let now_ms = self.now_ms;
        family.data.for_each(|series| {
            if series.is_hidden(ttl_ms, now_ms) {
                return;
            }
            if !std::mem::replace(&mut begun, true) {
                self.begin(spec);
            }
            self.series(spec, series);
            self.hand_on();
        });
        if begun {
            self.encoder.end_family();
        }
    }

    fn begin(&mut self, spec: &FamilySpec) {
        let kind = match spec.kind {
            FamilyKind::Counter => Kind::Counter,
            FamilyKind::Gauge | FamilyKind::SpanGauge(..) => Kind::Gauge,
            FamilyKind::Histogram(_) => Kind::Histogram,
        };
        self.encoder.begin_family(&FamilyHead::new(&spec.name, &spec.help, kind));
    }

    fn hand_on(&mut self) {
        if self.encoder.buffered() >= CHUNK_BYTES {
            let chunk = self.encoder.replace(Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8));
            (self.push)(chunk);
        }
    }

    fn series(&mut self, spec: &FamilySpec, series: &Series) {
        let zero = self.held && series.held;
        let value = if zero { 0.0 } else { series.value };
        let created_ms = Some(series.created_ms);
        match (&spec.kind, series.extra.as_deref()) {
            (FamilyKind::Counter, Some(Extra::Exemplar(it))) if !zero => {
                let labels = it.labels();
                self.encoder.counter(
                    &series.labels,
                    value,
                    created_ms,
                    Some(&view_of(it, &labels)),
                );
            }
            (FamilyKind::Counter, _) => {
                self.encoder.counter(&series.labels, value, created_ms, None)
            }
            (FamilyKind::Histogram(spec), Some(Extra::Histogram(it))) => {
                if zero {
                    self.histogram(spec, series, &super::histogram::Histogram::new(spec));
                } else {
                    self.histogram(spec, series, it);
                }
            }
            _ => self.encoder.gauge(&series.labels, value),
        }
    }

    fn histogram(
        &mut self,
        spec: &HistogramSpec,
        series: &Series,
        it: &super::histogram::Histogram,
    ) {
        let labels: Vec<String> =
            it.exemplars.iter().map(|it| it.map(|it| it.labels()).unwrap_or_default()).collect();
        let exemplars: Vec<_> = it
            .exemplars
            .iter()
            .zip(&labels)
            .map(|(it, labels)| it.as_ref().map(|it| view_of(it, labels)))
            .collect();
        let native = it.native.as_ref().zip(spec.native).map(|(native, spec)| NativeView {
            schema: native.schema,
            zero_threshold: spec.zero_threshold,
            zero_count: native.zero_count,
            positive: &native.positive,
            negative: &native.negative,
        });
        self.encoder.histogram(
            &series.labels,
            &HistogramView {
                count: it.count,
                sum: it.sum,
                bounds: &spec.bounds,
                counts: &it.counts,
                created_ms: Some(series.created_ms),
                exemplars: &exemplars,
                native,
            },
        );
    }

    fn span_gauge(&mut self, spec: &FamilySpec) {
        let FamilyKind::SpanGauge(at, gauge) = spec.kind else { return };
        let Some(state) = self.view.spans.get(at) else { return };
        let spans = state.lock();
        let samples = spans.gauge(&state.spec, gauge, self.now_ms);
        if samples.is_empty() {
            return;
        }
        self.begin(spec);
        for (labels, value) in samples {
            self.encoder.gauge(labels, value);
        }
        self.encoder.end_family();
    }
}

fn view_of<'a>(it: &Exemplar, labels: &'a str) -> exposition::Exemplar<'a> {
    exposition::Exemplar { labels, value: it.value, timestamp_ns: Some(it.time.as_nanos()) }
}
