//! The metrics of a family of a group on their way to a page.

use super::page::Filter;
use super::series::{Sample, Samples};
use crate::exposition;
use crate::exposition::{CumulativeView, Encoder, FloatNativeView, Kind, SummaryView};
use crate::labels;
use crate::push::{Exemplar, Histogram, Summary, Value};

/// Writes the metrics of a family, as one of type `shown`.
pub(super) fn samples(
    samples: Samples<'_>,
    shown: Kind,
    filter: &Filter<'_>,
    (encoder, pause): (&mut Encoder, &mut dyn FnMut(&mut Encoder)),
) {
    if !samples.is_rich() {
        for (block, value) in samples.plain() {
            if filter.lets_in(block) {
                number(encoder, shown, block, value);
                pause(encoder);
            }
        }
        return;
    }
    for sample in samples {
        if filter.lets_in(sample.labels) {
            rich(encoder, shown, &sample);
            pause(encoder);
        }
    }
}

#[inline]
fn number(encoder: &mut Encoder, shown: Kind, block: &str, value: f64) {
    match shown {
        Kind::Counter => encoder.counter(block, value, None, None),
        Kind::Untyped => encoder.untyped(block, value),
        _ => encoder.gauge(block, value),
    }
}

fn rich(encoder: &mut Encoder, shown: Kind, sample: &Sample<'_>) {
    match &sample.value {
        Value::Number(it) if shown == Kind::Counter => {
            let exemplar = sample.exemplar.as_deref().map(|it| (block_of(it), it));
            let exemplar = exemplar.as_ref().map(|(labels, it)| view_of(labels, it));
            encoder.counter(sample.labels, *it, sample.created_ms, exemplar.as_ref());
        }
        Value::Number(it) => number(encoder, shown, sample.labels, *it),
        Value::Summary(it) => summary(encoder, sample, it),
        Value::Histogram(it) => histogram(encoder, sample, it),
        Value::Mismatch => {}
    }
}

fn summary(encoder: &mut Encoder, sample: &Sample<'_>, it: &Summary) {
    let mut quantiles = it.quantiles.clone();
    quantiles.retain(|(quantile, _)| !quantile.is_nan());
    quantiles.sort_by(|a, b| a.0.total_cmp(&b.0));
    quantiles.dedup_by(|a, b| a.0 == b.0);
    let view = SummaryView {
        quantiles: &quantiles,
        sum: it.sum,
        count: it.count,
        created_ms: sample.created_ms,
    };
    encoder.summary(sample.labels, &view);
}

fn histogram(encoder: &mut Encoder, sample: &Sample<'_>, it: &Histogram) {
    let mut buckets: Vec<_> = it.buckets.iter().filter(|it| !it.bound.is_nan()).collect();
    buckets.sort_by(|a, b| a.bound.total_cmp(&b.bound));
    // A bound that was sent twice would be a series that is there twice.
    buckets.dedup_by(|a, b| a.bound == b.bound);
    let infinite = buckets.pop_if(|it| it.bound == f64::INFINITY);
    let bounds: Vec<f64> = buckets.iter().map(|it| it.bound).collect();
    let last = infinite.map_or(it.count, |it| it.cumulative);
    let cumulative: Vec<f64> = buckets.iter().map(|it| it.cumulative).chain([last]).collect();
    let of_buckets = buckets.iter().copied().chain(infinite).map(|it| it.exemplar.as_deref());
    let of_buckets: Vec<_> = of_buckets.map(|it| it.map(|it| (block_of(it), it))).collect();
    let exemplars: Vec<_> =
        of_buckets.iter().map(|it| it.as_ref().map(|(labels, it)| view_of(labels, it))).collect();
    let others: Vec<_> = it.exemplars.iter().map(|it| (block_of(it), it)).collect();
    let others: Vec<_> = others.iter().map(|(labels, it)| view_of(labels, it)).collect();
    let native = it.native.as_ref().map(|it| FloatNativeView {
        schema: it.schema,
        zero_threshold: it.zero_threshold,
        zero_count: it.zero_count,
        positive: &it.positive,
        negative: &it.negative,
        exemplars: &others,
    });
    let view = CumulativeView {
        count: it.count,
        sum: it.sum,
        float: it.float,
        bounds: &bounds,
        cumulative: &cumulative,
        created_ms: sample.created_ms,
        exemplars: &exemplars,
        native,
    };
    encoder.cumulative(sample.labels, &view);
}

fn view_of<'a>(labels: &'a str, it: &Exemplar) -> exposition::Exemplar<'a> {
    exposition::Exemplar { labels, value: it.value, timestamp_ns: it.timestamp_ns }
}

fn block_of(it: &Exemplar) -> String {
    let mut res = String::new();
    for (name, value) in &it.labels {
        if labels::is_label_name(name) {
            labels::push(&mut res, 0, name, value);
        }
    }
    labels::close(&mut res, 0);
    res
}
