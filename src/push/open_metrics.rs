//! OpenMetrics bodies: read by the parser that reads our own pages, then put together.

use super::family::{Bucket, Family, Histogram, Metric, Summary, Timestamp, Value};
use super::{BodyError, Limits};
use crate::exposition::{Kind, MetricFamily, Sample, parse};
use std::{borrow::Cow, collections::HashMap};

/// Names and values, sorted by name.
type Labels = Vec<(String, String)>;

/// Reads a body.
///
/// # Errors
///
/// The first line that is malformed, a summary or histogram that is impossible, or a limit.
pub(super) fn read(body: &[u8], limits: &Limits) -> Result<Vec<Family>, BodyError> {
    let body = lenient(body);
    let bounds = parse::Limits { samples: limits.samples, labels: limits.labels };
    let families = parse::open_metrics(&body, bounds)
        .map_err(|it| BodyError::Malformed(format!("OpenMetrics parsing error in {it}")))?;
    let mut res = Vec::with_capacity(families.len());
    for family in families {
        bounded(&family, limits)?;
        if !family.samples.is_empty() {
            res.push(assemble(family)?);
        }
    }
    Ok(res)
}

/// What clients get wrong without being misunderstood: the Go client leaves the end mark out, and many
/// say a unit that the name does not end with.
fn lenient(body: &[u8]) -> Cow<'_, [u8]> {
    const EOF: &[u8] = b"# EOF";
    let complete = body.strip_suffix(b"\n").unwrap_or(body).ends_with(EOF);
    let units = memchr::memmem::find(body, b"# UNIT ").is_some();
    if complete && !units {
        return Cow::Borrowed(body);
    }
    let mut res = Vec::with_capacity(body.len() + EOF.len());
    for line in body.split_inclusive(|it| *it == b'\n') {
        let odd = line.strip_prefix(b"# UNIT ").and_then(|rest| {
            let rest = rest.strip_suffix(b"\n").unwrap_or(rest);
            let space = memchr::memchr(b' ', rest)?;
            let (name, unit) = (rest.get(..space)?, rest.get(space + 1..)?);
            let matches = name.strip_suffix(unit).is_some_and(|it| it.ends_with(b"_"));
            (!matches).then_some(name)
        });
        match odd {
            Some(name) => res.extend_from_slice(&[b"# UNIT ", name, b" \n"].concat()),
            None => res.extend_from_slice(line),
        }
    }
    if !complete {
        res.extend_from_slice(EOF);
    }
    Cow::Owned(res)
}

fn bounded(family: &MetricFamily, limits: &Limits) -> Result<(), BodyError> {
    let exemplars = family.samples.iter().filter_map(|it| it.exemplar.as_ref());
    let labels = family.samples.iter().map(|it| &it.labels).chain(exemplars.map(|it| &it.labels));
    let (mut longest_name, mut longest_value) = (family.name.len(), 0);
    for (name, value) in labels.flatten() {
        longest_name = longest_name.max(name.len());
        longest_value = longest_value.max(value.len());
    }
    let parts = [
        ("a name", longest_name, limits.name_bytes),
        ("a label value", longest_value, limits.value_bytes),
        ("a help text", family.help.len(), limits.help_bytes),
    ];
    match parts.into_iter().find(|(_, len, max)| len > max) {
        Some((what, _, max)) => {
            Err(BodyError::TooLarge(format!("{what} is longer than {max} bytes")))
        }
        None => Ok(()),
    }
}

/// What a sample says about its metric.
enum Part {
    Value,
    Count,
    Sum,
    Created,
    Point(f64),
}

/// The family under the name and the type that a text page has for it.
fn assemble(family: MetricFamily) -> Result<Family, BodyError> {
    let MetricFamily { name, help, kind, unit, samples } = family;
    let suffix = match kind {
        Kind::Counter => "_total",
        Kind::Info => "_info",
        _ => "",
    };
    let mut metrics: Vec<Metric> = Vec::new();
    let mut by_labels: HashMap<Labels, usize> = HashMap::new();
    for sample in samples {
        let part = part(&name, kind, &sample)?;
        let mut labels = sample.labels;
        if matches!(part, Part::Point(_)) {
            let point = if kind == Kind::Summary { "quantile" } else { "le" };
            labels.retain(|(name, _)| name != point);
        }
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        let merges = !matches!(kind, Kind::Gauge | Kind::Untyped | Kind::Info | Kind::StateSet);
        let at = match by_labels.get(&labels).filter(|_| merges) {
            Some(at) => *at,
            None => {
                by_labels.insert(labels.clone(), metrics.len());
                metrics.push(Metric::new(labels, empty(kind)));
                metrics.len() - 1
            }
        };
        let Some(metric) = metrics.get_mut(at) else { continue };
        let timestamp = sample.timestamp_ms.map(|millis| Timestamp { millis, line: None });
        metric.timestamp = metric.timestamp.or(timestamp);
        let exemplar = sample.exemplar.map(Box::new);
        match (part, &mut metric.value) {
            (Part::Created, _) => metric.created_ms = Some(milliseconds(sample.value)),
            (Part::Value, Value::Number(it)) => {
                *it = sample.value;
                metric.exemplar = exemplar;
            }
            (Part::Count, Value::Summary(it)) => {
                it.count = whole(sample.value).ok_or_else(|| {
                    BodyError::Malformed(format!("count of summary {name:?} is not a whole number"))
                })?;
            }
            (Part::Count, Value::Histogram(it)) => {
                it.count = positive(&name, sample.value)?;
                it.float |= whole(sample.value).is_none();
            }
            (Part::Sum, Value::Summary(it)) => it.sum = sample.value,
            (Part::Sum, Value::Histogram(it)) => it.sum = sample.value,
            (Part::Point(at), Value::Summary(it)) => it.quantiles.push((at, sample.value)),
            (Part::Point(bound), Value::Histogram(it)) => {
                let cumulative = positive(&name, sample.value)?;
                it.float |= whole(cumulative).is_none();
                it.buckets.push(Bucket { bound, cumulative, exemplar });
            }
            _ => {}
        }
    }
    let kind = if matches!(kind, Kind::Info | Kind::StateSet) { Kind::Gauge } else { kind };
    let unit = unit.filter(|it| !it.is_empty());
    Ok(Family { name: format!("{name}{suffix}"), help, kind, unit, metrics })
}

fn empty(kind: Kind) -> Value {
    match kind {
        Kind::Summary => Value::Summary(Summary::default()),
        Kind::Histogram | Kind::GaugeHistogram => Value::Histogram(Box::<Histogram>::default()),
        _ => Value::Number(0.0),
    }
}

fn part(family: &str, kind: Kind, sample: &Sample) -> Result<Part, BodyError> {
    let suffix = sample.name.strip_prefix(family).unwrap_or_default();
    let point = |label: &str| {
        let value = sample.labels.iter().find(|(name, _)| name == label);
        let bound = value.and_then(|(_, it)| it.parse().ok()).filter(|it: &f64| !it.is_nan());
        bound.map(Part::Point).ok_or_else(|| {
            BodyError::Malformed(format!("a sample of {family:?} has no number as {label:?}"))
        })
    };
    Ok(match (kind, suffix) {
        (Kind::Counter | Kind::Summary | Kind::Histogram, "_created") => Part::Created,
        (Kind::Summary | Kind::Histogram, "_count") | (Kind::GaugeHistogram, "_gcount") => {
            Part::Count
        }
        (Kind::Summary | Kind::Histogram, "_sum") | (Kind::GaugeHistogram, "_gsum") => Part::Sum,
        (Kind::Summary, _) => point("quantile")?,
        (Kind::Histogram | Kind::GaugeHistogram, _) => point("le")?,
        _ => Part::Value,
    })
}

fn positive(name: &str, value: f64) -> Result<f64, BodyError> {
    if value >= 0.0 {
        return Ok(value);
    }
    Err(BodyError::Malformed(format!("negative count for histogram {name:?}")))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "a number that is not whole, negative or too large comes back different"
)]
fn whole(value: f64) -> Option<u64> {
    let count = value as u64;
    (count as f64 == value).then_some(count)
}

#[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest integer there is")]
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}
