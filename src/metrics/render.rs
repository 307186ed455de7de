//! A page of `/metrics`.

use super::family;
use super::family::millis;
use super::gzip;
use super::series::{Exemplar, Extra, Series};
use super::{Metrics, View, has_series};
use crate::exposition;
use crate::exposition::{
    Encoder, FamilyHead, Format, HistogramView, Kind, MetricFamily, NativeView, Options, Others,
    Taken, Writable,
};
use crate::rules::{FamilyKind, FamilySpec, HistogramSpec};
use bytes::Bytes;
use std::{borrow::Cow, sync::Arc};

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
    /// `own` are the server's own families; `others` chooses what else is to stand there. Takes a while with
    /// many series: call it off the reactor.
    #[must_use]
    pub fn render(
        &self,
        (format, gzip): (Format, bool),
        held: bool,
        now_ms: i64,
        (own, others): (&[MetricFamily], Others<'_>),
    ) -> Rendered {
        let options = Options { created_series: self.shared.config.created_series };
        let view = self.shared.view.load();
        let taken = taken(&view, own);
        let taken: Vec<_> =
            taken.iter().map(|(name, kind, labels)| Taken { name, kind: *kind, labels }).collect();
        let page = |push: &mut dyn FnMut(Vec<u8>)| {
            let mut page = Some((Encoder::new(format, options), push));
            others(&taken, &mut |others| {
                if let Some((encoder, push)) = page.take() {
                    Page { view: &view, held, now_ms, encoder, push }.render(own, others);
                }
            });
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

/// Name, type and label names of the families that stand on every page.
fn taken<'a>(view: &'a View, own: &'a [MetricFamily]) -> Vec<(Cow<'a, str>, Kind, &'a [String])> {
    let rules = view.families.iter().map(|it| &it.spec);
    let rules = rules.map(|it| (it.name.as_str().into(), it.kind.exposed(), it.labels.as_slice()));
    rules.chain(own.iter().map(|it| (exposition::exposed_name(it), it.kind, &[][..]))).collect()
}

struct Page<'a> {
    view: &'a View,
    held: bool,
    now_ms: i64,
    encoder: Encoder,
    push: &'a mut dyn FnMut(Vec<u8>),
}

impl Page<'_> {
    /// `others` are sorted by name, as the families of the rules are.
    fn render(mut self, own: &[MetricFamily], others: &[&dyn Writable]) {
        let mut own: Vec<_> =
            own.iter().map(|it| (exposition::exposed_name(it), Some(it))).collect();
        let mut others = others.iter().copied().peekable();
        for it in self.view.families.iter().filter(|it| !it.data.is_hidden()) {
            while let Some(it) = others.next_if(|other| other.head().name < it.spec.name.as_str()) {
                self.other(it, &mut own);
            }
            let more = others.next_if(|other| other.head().name == it.spec.name);
            if has_series(&it.spec.kind) {
                self.family(it, more);
            } else {
                self.span_gauge(&it.spec, more);
            }
        }
        for it in others {
            self.other(it, &mut own);
        }
        for (_, it) in own {
            if let Some(it) = it {
                exposition::encode_family(&mut self.encoder, it, |_| {});
            }
        }
        self.encoder.finish();
        let rest = self.encoder.take();
        if !rest.is_empty() {
            (self.push)(rest);
        }
    }

    /// A family from elsewhere; together with one of our own if there is one of that name.
    fn other(&mut self, it: &dyn Writable, own: &mut [(Cow<'_, str>, Option<&MetricFamily>)]) {
        let head = it.head();
        let ours = own.iter_mut().find(|(name, _)| *name == head.name);
        if let Some(ours) = ours.and_then(|it| it.1.take()) {
            let push = &mut self.push;
            exposition::encode_family(&mut self.encoder, ours, |encoder| {
                it.write(encoder, &mut |encoder| hand_on(encoder, push));
            });
            return;
        }
        self.encoder.begin_family(&head);
        self.more(it);
        self.encoder.end_family();
        hand_on(&mut self.encoder, self.push);
    }

    fn more(&mut self, it: &dyn Writable) {
        let push = &mut self.push;
        it.write(&mut self.encoder, &mut |encoder| hand_on(encoder, push));
    }

    fn family(&mut self, family: &family::Shared, more: Option<&dyn Writable>) {
        let spec = &family.spec;
        let ttl_ms = spec.ttl.map(millis);
        let mut begun = false;
        let now_ms = self.now_ms;
        family.data.for_each(|series| {
            if series.is_hidden(ttl_ms, now_ms) {
                return;
            }
            if !std::mem::replace(&mut begun, true) {
                self.begin(spec, more);
            }
            self.series(spec, series);
            hand_on(&mut self.encoder, self.push);
        });
        self.end(spec, begun, more);
    }

    fn begin(&mut self, spec: &FamilySpec, more: Option<&dyn Writable>) {
        let head = FamilyHead::new(&spec.name, &spec.help, spec.kind.exposed());
        let quoted_labels = more.is_some_and(|it| it.head().quoted_labels);
        self.encoder.begin_family(&FamilyHead { quoted_labels, ..head });
    }

    /// Writes what there is `more` of a family, and ends it if it was begun.
    fn end(&mut self, spec: &FamilySpec, mut begun: bool, more: Option<&dyn Writable>) {
        if let Some(it) = more {
            if !std::mem::replace(&mut begun, true) {
                self.begin(spec, more);
            }
            self.more(it);
        }
        if begun {
            self.encoder.end_family();
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

    fn span_gauge(&mut self, spec: &FamilySpec, more: Option<&dyn Writable>) {
        let FamilyKind::SpanGauge(at, gauge) = spec.kind else { return };
        let Some(state) = self.view.spans.get(at) else { return };
        let spans = state.lock();
        let samples = spans.gauge(&state.spec, gauge, self.now_ms);
        let begun = !samples.is_empty();
        if begun {
            self.begin(spec, more);
        }
        for (labels, value) in samples {
            self.encoder.gauge(labels, value);
        }
        self.end(spec, begun, more);
    }
}

/// Hands on what is complete, once it is enough.
fn hand_on(encoder: &mut Encoder, push: &mut dyn FnMut(Vec<u8>)) {
    if encoder.buffered() >= CHUNK_BYTES {
        let chunk = encoder.replace(Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8));
        push(chunk);
    }
}

fn view_of<'a>(it: &Exemplar, labels: &'a str) -> exposition::Exemplar<'a> {
    exposition::Exemplar { labels, value: it.value, timestamp_ns: Some(it.time.as_nanos()) }
}
