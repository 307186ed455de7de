//! Families as a parser yields them, and their way back into an encoder.

use super::{Encoder, Exemplar, FamilyHead, HistogramView, Kind, SummaryView};
use crate::labels;
use std::{borrow::Cow, collections::HashMap};

/// A metric family that owns what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// The name as the format wrote it: in OpenMetrics a counter's is without `_total`.
    pub name: String,
    /// The help text, unescaped; empty if there is none.
    pub help: String,
    /// The type.
    pub kind: Kind,
    /// The unit, if the text names one.
    pub unit: Option<String>,
    /// The samples, in order.
    pub samples: Vec<Sample>,
}

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name, with any suffix such as `_bucket`.
    pub name: String,
    /// Names and values, unescaped, in order.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// The sample's own time in milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// The exemplar, if there is one.
    pub exemplar: Option<OwnedExemplar>,
}

/// An [`Exemplar`] that owns its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedExemplar {
    /// Names and values, unescaped, in order.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// When, in nanoseconds since the epoch.
    pub timestamp_ns: Option<i64>,
}

/// Writes `families`, putting histograms and summaries together from their samples. A counter that came
/// from OpenMetrics gets its `_total` back; an info becomes the gauge `<name>_info`, a state set a gauge.
/// The samples' own timestamps are left out.
pub fn encode_families(encoder: &mut Encoder, families: &[MetricFamily]) {
    for family in families {
        encode_family(encoder, family, |_| {});
    }
}

/// Writes `family` as [`encode_families`] does, and what `more` writes as part of it.
pub fn encode_family(
    encoder: &mut Encoder,
    family: &MetricFamily,
    more: impl FnOnce(&mut Encoder),
) {
    encoder.begin_family(&FamilyHead {
        name: &exposed_name(family),
        help: &family.help,
        kind: family.kind,
        unit: family.unit.as_deref(),
        quoted_labels: quoted_labels(family),
    });
    for series in assemble(family) {
        series.encode(encoder, family.kind);
    }
    more(encoder);
    encoder.end_family();
}

/// The name of the family in text 0.0.4.
#[must_use]
pub fn exposed_name(family: &MetricFamily) -> Cow<'_, str> {
    let suffix = match family.kind {
        Kind::Counter => "_total",
        Kind::Info => "_info",
        _ => return Cow::Borrowed(&family.name),
    };
    let suffixed = |it: &Sample| it.name.strip_suffix(suffix) == Some(&family.name);
    if family.samples.iter().any(suffixed) {
        Cow::Owned(format!("{}{suffix}", family.name))
    } else {
        Cow::Borrowed(&family.name)
    }
}

fn quoted_labels(family: &MetricFamily) -> bool {
    let exemplars = family.samples.iter().filter_map(|it| it.exemplar.as_ref());
    let labels = family.samples.iter().map(|it| &it.labels).chain(exemplars.map(|it| &it.labels));
    !labels.flatten().all(|(name, _)| labels::is_label_name(name))
}

/// The samples that make up one series of a family.
#[derive(Default)]
struct Series<'a> {
    block: String,
    /// Value, or sum.
    value: f64,
    count: Option<u64>,
    created_ms: Option<i64>,
    exemplar: Option<(String, &'a OwnedExemplar)>,
    /// Quantiles with their values, or bounds with their cumulative counts and exemplars.
    points: Vec<Point<'a>>,
}

struct Point<'a> {
    at: f64,
    value: f64,
    exemplar: Option<(String, &'a OwnedExemplar)>,
}

/// What a sample says about its series.
enum Part {
    Value,
    Count,
    Created,
    Point(f64),
    /// Nothing that could be shown, such as a bucket without a bound.
    Nothing,
}

fn assemble(family: &MetricFamily) -> Vec<Series<'_>> {
    let mut all: Vec<Series<'_>> = Vec::new();
    let mut by_block: HashMap<String, usize> = HashMap::new();
    for sample in &family.samples {
        let (part, label) = part(family, sample);
        let labels = sample.labels.iter().filter(|(name, _)| Some(name.as_str()) != label);
        let block = block(labels);
        let at = *by_block.entry(block.clone()).or_insert_with(|| {
            all.push(Series { block, ..Series::default() });
            all.len() - 1
        });
        let Some(series) = all.get_mut(at) else { continue };
        let exemplar = sample.exemplar.as_ref().map(|it| (block_of(&it.labels), it));
        match part {
            Part::Value => {
                series.value = sample.value;
                series.exemplar = exemplar;
            }
            Part::Count => series.count = Some(count(sample.value)),
            Part::Created => series.created_ms = Some(milliseconds(sample.value)),
            Part::Point(at) => series.points.push(Point { at, value: sample.value, exemplar }),
            Part::Nothing => {}
        }
    }
    all
}

/// What `sample` says, and the label that says it.
fn part(family: &MetricFamily, sample: &Sample) -> (Part, Option<&'static str>) {
    let point = |label: &'static str| {
        let value = sample.labels.iter().find(|(name, _)| name == label).map(|(_, value)| value);
        let at = value.and_then(|it| it.parse().ok()).filter(|it: &f64| !it.is_nan());
        (at.map_or(Part::Nothing, Part::Point), Some(label))
    };
    let suffix = sample.name.strip_prefix(&family.name).unwrap_or_default();
    match (family.kind, suffix) {
        (Kind::Counter | Kind::Summary | Kind::Histogram, "_created") => (Part::Created, None),
        (Kind::Summary | Kind::Histogram, "_count") => (Part::Count, None),
        (Kind::GaugeHistogram, "_count" | "_gcount") => (Part::Count, None),
        (Kind::Summary, "") => point("quantile"),
        (Kind::Histogram | Kind::GaugeHistogram, "_bucket") => point("le"),
        (Kind::Histogram | Kind::GaugeHistogram, "") => (Part::Nothing, None),
        _ => (Part::Value, None),
    }
}

fn block<'a>(labels: impl Iterator<Item = &'a (String, String)>) -> String {
    let mut res = String::new();
    for (name, value) in labels {
        if labels::is_label_name(name) {
            labels::push(&mut res, 0, name, value);
        } else {
            let mut quoted = String::from("\"");
            labels::escape_value(&mut quoted, name);
            quoted.push('"');
            labels::push(&mut res, 0, &quoted, value);
        }
    }
    labels::close(&mut res, 0);
    res
}

fn block_of(labels: &[(String, String)]) -> String {
    block(labels.iter())
}

fn view<'a>(exemplar: &'a Option<(String, &OwnedExemplar)>) -> Option<Exemplar<'a>> {
    exemplar.as_ref().map(|(labels, it)| Exemplar {
        labels,
        value: it.value,
        timestamp_ns: it.timestamp_ns,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer there is"
)]
fn count(value: f64) -> u64 {
    value.round() as u64
}

#[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest integer there is")]
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

// === impl Series ===

impl Series<'_> {
    fn encode(mut self, encoder: &mut Encoder, kind: Kind) {
        self.points.sort_by(|a, b| a.at.total_cmp(&b.at));
        self.points.dedup_by(|a, b| a.at.to_bits() == b.at.to_bits());
        match kind {
            Kind::Counter => {
                let exemplar = view(&self.exemplar);
                encoder.counter(&self.block, self.value, self.created_ms, exemplar.as_ref());
            }
            Kind::Gauge | Kind::Info | Kind::StateSet => encoder.gauge(&self.block, self.value),
            Kind::Untyped => encoder.untyped(&self.block, self.value),
            Kind::Summary => {
                let quantiles: Vec<_> = self.points.iter().map(|it| (it.at, it.value)).collect();
                let view = SummaryView {
                    quantiles: &quantiles,
                    sum: self.value,
                    count: self.count.unwrap_or(0),
                    created_ms: self.created_ms,
                };
                encoder.summary(&self.block, &view);
            }
            Kind::Histogram | Kind::GaugeHistogram => self.encode_histogram(encoder),
        }
    }

    fn encode_histogram(&self, encoder: &mut Encoder) {
        let finite: Vec<f64> =
            self.points.iter().map(|it| it.at).filter(|it| *it < f64::INFINITY).collect();
        let last = self.points.last().map_or(0, |it| count(it.value));
        let total = self.count.unwrap_or(last);
        let mut below = 0;
        let mut counts: Vec<u64> = Vec::with_capacity(finite.len() + 1);
        for point in self.points.iter().take(finite.len()) {
            let cumulative = count(point.value);
            counts.push(cumulative.saturating_sub(below));
            below = cumulative;
        }
        counts.push(total.saturating_sub(below));
        let exemplars: Vec<_> = self.points.iter().map(|it| view(&it.exemplar)).collect();
        let view = HistogramView {
            count: total,
            sum: self.value,
            bounds: &finite,
            counts: &counts,
            created_ms: self.created_ms,
            exemplars: &exemplars,
            native: None,
        };
        encoder.histogram(&self.block, &view);
    }
}
