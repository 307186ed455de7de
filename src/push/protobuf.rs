//! Delimited protobuf: `io.prometheus.client.MetricFamily`, each with its length before it.
//!
//! Nothing is allocated for what is announced, only for what is there; every element is counted.

use super::family::{
    Bucket, Exemplar, Family, Histogram, Metric, Native, Summary, Timestamp, Value,
};
use super::path::quote;
use super::wire::{Field, Wire, WireError, unzigzag};
use super::{BodyError, Limits};
use crate::exposition::Kind;
use std::collections::HashMap;

/// Names and values.
type Labels = Vec<(String, String)>;

/// Reads a body. Of two families of one name the later counts.
///
/// # Errors
///
/// The body is malformed, a name is empty, text is not UTF-8, or a limit is exceeded.
pub(super) fn read(body: &[u8], limits: &Limits) -> Result<Vec<Family>, BodyError> {
    let mut wire = Wire::new(body);
    let mut reader = Reader { limits, n_elements: 0 };
    let mut families: Vec<Family> = Vec::new();
    let mut by_name = HashMap::new();
    while !wire.is_empty() {
        let bytes = match wire.delimited(limits.message_bytes) {
            Err(WireError::TooLarge(announced)) => {
                let max = limits.message_bytes;
                return Err(BodyError::TooLarge(format!(
                    "a message of {announced} bytes is announced; {max} are taken at most"
                )));
            }
            it => it?,
        };
        let family = reader.family(bytes)?;
        match by_name.get(&family.name).and_then(|at: &usize| families.get_mut(*at)) {
            Some(it) => *it = family,
            None => {
                by_name.insert(family.name.clone(), families.len());
                families.push(family);
            }
        }
    }
    families.retain(|it| !it.metrics.is_empty());
    Ok(families)
}

impl From<WireError> for BodyError {
    fn from(error: WireError) -> Self {
        Self::Malformed(error.to_string())
    }
}

struct Reader<'a> {
    limits: &'a Limits,
    n_elements: usize,
}

/// The values of a metric, one per type; only the one of the family's type counts.
#[derive(Default)]
struct Values {
    gauge: Option<f64>,
    counter: Option<Counter>,
    untyped: Option<f64>,
    summary: Option<(Summary, Option<i64>)>,
    histogram: Option<(Histogram, Option<i64>)>,
}

#[derive(Default)]
struct Counter {
    value: f64,
    exemplar: Option<Box<Exemplar>>,
    created_ms: Option<i64>,
}

/// Native buckets as they travel: spans of neighbours, and differences or counts.
#[derive(Default)]
struct Side {
    spans: Vec<(i64, u64)>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

// === impl Reader ===

impl Reader<'_> {
    /// Counts one element of the body.
    fn count(&mut self) -> Result<(), BodyError> {
        self.n_elements += 1;
        let max = self.limits.samples;
        if self.n_elements > max {
            return Err(BodyError::TooLarge(format!("more than {max} samples in one push")));
        }
        Ok(())
    }

    fn family(&mut self, bytes: &[u8]) -> Result<Family, BodyError> {
        let mut wire = Wire::new(bytes);
        let (mut name, mut help, mut unit) = (String::new(), String::new(), None);
        let mut kind = Kind::Counter;
        let mut metrics = Vec::new();
        while !wire.is_empty() {
            match wire.field()? {
                (1, Field::Bytes(it)) => {
                    name = text(it, "a metric name", self.limits.name_bytes)?;
                }
                (2, Field::Bytes(it)) => help = text(it, "a help text", self.limits.help_bytes)?,
                (3, Field::Varint(it)) => {
                    kind = match it {
                        1 => Kind::Gauge,
                        2 => Kind::Summary,
                        3 => Kind::Untyped,
                        4 => Kind::Histogram,
                        5 => Kind::GaugeHistogram,
                        _ => Kind::Counter,
                    }
                }
                (4, Field::Bytes(it)) => {
                    self.count()?;
                    metrics.push(self.metric(it)?);
                }
                (5, Field::Bytes(it)) => {
                    unit = Some(text(it, "a unit", self.limits.name_bytes)?);
                }
                _ => {}
            }
        }
        if name.is_empty() {
            return Err(BodyError::Malformed("a metric family has no name".to_owned()));
        }
        let metrics = metrics.into_iter().map(|it: Raw| it.of(kind)).collect();
        Ok(Family { name, help, kind, unit: unit.filter(|it| !it.is_empty()), metrics })
    }

    fn metric(&mut self, bytes: &[u8]) -> Result<Raw, BodyError> {
        let mut wire = Wire::new(bytes);
        let (mut labels, mut values, mut timestamp_ms) = (Labels::new(), Values::default(), None);
        while !wire.is_empty() {
            match wire.field()? {
                (1, Field::Bytes(it)) => self.label(&mut labels, it)?,
                (2, Field::Bytes(it)) => values.gauge = Some(number(it)?),
                (3, Field::Bytes(it)) => values.counter = Some(self.counter(it)?),
                (4, Field::Bytes(it)) => values.summary = Some(self.summary(it)?),
                (5, Field::Bytes(it)) => values.untyped = Some(number(it)?),
                (6, Field::Varint(it)) => timestamp_ms = Some(it.cast_signed()),
                (7, Field::Bytes(it)) => values.histogram = Some(self.histogram(it)?),
                _ => {}
            }
        }
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Raw { labels, values, timestamp_ms })
    }

    fn label(&self, labels: &mut Labels, bytes: &[u8]) -> Result<(), BodyError> {
        if labels.len() >= self.limits.labels {
            let max = self.limits.labels;
            return Err(BodyError::TooLarge(format!("a sample has more than {max} labels")));
        }
        let mut wire = Wire::new(bytes);
        let (mut name, mut value) = (String::new(), String::new());
        while !wire.is_empty() {
            match wire.field()? {
                (1, Field::Bytes(it)) => name = text(it, "a label name", self.limits.name_bytes)?,
                (2, Field::Bytes(it)) => {
                    value = text(it, "a label value", self.limits.value_bytes)?;
                }
                _ => {}
            }
        }
        if name.is_empty() {
            return Err(BodyError::Malformed("a label has no name".to_owned()));
        }
        labels.push((name, value));
        Ok(())
    }

    fn counter(&mut self, bytes: &[u8]) -> Result<Counter, BodyError> {
        let mut wire = Wire::new(bytes);
        let mut res = Counter::default();
        while !wire.is_empty() {
            match wire.field()? {
                (1, Field::Fixed64(it)) => res.value = f64::from_bits(it),
                (2, Field::Bytes(it)) => res.exemplar = Some(Box::new(self.exemplar(it)?)),
                (3, Field::Bytes(it)) => res.created_ms = milliseconds(it)?,
                _ => {}
            }
        }
        Ok(res)
    }

    fn summary(&mut self, bytes: &[u8]) -> Result<(Summary, Option<i64>), BodyError> {
        let mut wire = Wire::new(bytes);
        let (mut res, mut created_ms) = (Summary::default(), None);
        while !wire.is_empty() {
            match wire.field()? {
                (1, Field::Varint(it)) => res.count = it,
                (2, Field::Fixed64(it)) => res.sum = f64::from_bits(it),
                (3, Field::Bytes(it)) => {
                    self.count()?;
                    res.quantiles.push(pair(it)?);
                }
                (4, Field::Bytes(it)) => created_ms = milliseconds(it)?,
                _ => {}
            }
        }
        Ok((res, created_ms))
    }

    fn histogram(&mut self, bytes: &[u8]) -> Result<(Histogram, Option<i64>), BodyError> {
        let mut wire = Wire::new(bytes);
        let (mut res, mut created_ms) = (Histogram::default(), None);
        let (mut schema, mut threshold, mut zero) = (0, 0.0, 0.0);
        let (mut negative, mut positive) = (Side::default(), Side::default());
        while !wire.is_empty() {
            match wire.field()? {
                (1, Field::Varint(it)) if !res.float => res.count = float(it),
                (2, Field::Fixed64(it)) => res.sum = f64::from_bits(it),
                (3, Field::Bytes(it)) => {
                    self.count()?;
                    let (bucket, is_float) = self.bucket(it)?;
                    res.float |= is_float;
                    res.buckets.push(bucket);
                }
                (4, Field::Fixed64(it)) if f64::from_bits(it) > 0.0 => {
                    res.count = f64::from_bits(it);
                    res.float = true;
                }
                (5, Field::Varint(it)) => {
                    schema = i32::try_from(unzigzag(it)).map_err(|_| WireError::Invalid)?;
                }
                (6, Field::Fixed64(it)) => threshold = f64::from_bits(it),
                (7, Field::Varint(it)) if zero == 0.0 => zero = float(it),
                (8, Field::Fixed64(it)) if f64::from_bits(it) > 0.0 => {
                    zero = f64::from_bits(it);
                    res.float = true;
                }
                (field @ 9..=11, it) => self.side(&mut negative, field - 9, it)?,
                (field @ 12..=14, it) => self.side(&mut positive, field - 12, it)?,
                (15, Field::Bytes(it)) => created_ms = milliseconds(it)?,
                (16, Field::Bytes(it)) => {
                    self.count()?;
                    res.exemplars.push(self.exemplar(it)?);
                }
                _ => {}
            }
        }
        let spans = !negative.spans.is_empty() || !positive.spans.is_empty();
        if spans || threshold != 0.0 || zero != 0.0 {
            res.float |= !negative.counts.is_empty() || !positive.counts.is_empty();
            res.native = Some(Native {
                schema,
                zero_threshold: threshold,
                zero_count: zero,
                positive: positive.buckets()?,
                negative: negative.buckets()?,
            });
        }
        Ok((res, created_ms))
    }

    fn bucket(&mut self, bytes: &[u8]) -> Result<(Bucket, bool), BodyError> {
        let mut wire = Wire::new(bytes);
        let mut res = Bucket { bound: 0.0, cumulative: 0.0, exemplar: None };
        let mut is_float = false;
        while !wire.is_empty() {
            match wire.field()? {
                (1, Field::Varint(it)) if !is_float => res.cumulative = float(it),
                (2, Field::Fixed64(it)) => res.bound = f64::from_bits(it),
                (3, Field::Bytes(it)) => res.exemplar = Some(Box::new(self.exemplar(it)?)),
                (4, Field::Fixed64(it)) if f64::from_bits(it) > 0.0 => {
                    res.cumulative = f64::from_bits(it);
                    is_float = true;
                }
                _ => {}
            }
        }
        Ok((res, is_float))
    }

    /// One field of the native buckets of one sign: 0 a span, 1 differences, 2 counts.
    fn side(&mut self, side: &mut Side, part: u64, field: Field<'_>) -> Result<(), BodyError> {
        match (part, field) {
            (0, Field::Bytes(bytes)) => {
                self.count()?;
                let mut wire = Wire::new(bytes);
                let (mut offset, mut length) = (0, 0);
                while !wire.is_empty() {
                    match wire.field()? {
                        (1, Field::Varint(it)) => offset = unzigzag(it),
                        (2, Field::Varint(it)) => length = it,
                        _ => {}
                    }
                }
                side.spans.push((offset, length));
            }
            (1, Field::Varint(it)) => {
                self.count()?;
                side.deltas.push(unzigzag(it));
            }
            (1, Field::Bytes(packed)) => {
                let mut wire = Wire::new(packed);
                while !wire.is_empty() {
                    self.count()?;
                    side.deltas.push(unzigzag(wire.varint().map_err(|_| WireError::Invalid)?));
                }
            }
            (2, Field::Fixed64(it)) => {
                self.count()?;
                side.counts.push(f64::from_bits(it));
            }
            (2, Field::Bytes(packed)) => {
                let (chunks, rest) = packed.as_chunks();
                if !rest.is_empty() {
                    return Err(WireError::Invalid.into());
                }
                for chunk in chunks {
                    self.count()?;
                    side.counts.push(f64::from_le_bytes(*chunk));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn exemplar(&mut self, bytes: &[u8]) -> Result<Exemplar, BodyError> {
        let mut wire = Wire::new(bytes);
        let mut res = Exemplar { labels: Labels::new(), value: 0.0, timestamp_ns: None };
        while !wire.is_empty() {
            match wire.field()? {
                (1, Field::Bytes(it)) => self.label(&mut res.labels, it)?,
                (2, Field::Fixed64(it)) => res.value = f64::from_bits(it),
                (3, Field::Bytes(it)) => res.timestamp_ns = nanoseconds(it)?,
                _ => {}
            }
        }
        Ok(res)
    }
}

/// A metric whose family's type is not known yet: it may stand behind.
struct Raw {
    labels: Labels,
    values: Values,
    timestamp_ms: Option<i64>,
}

impl Raw {
    fn of(self, kind: Kind) -> Metric {
        let Self { labels, values, timestamp_ms } = self;
        let mut res = Metric::new(labels, Value::Mismatch);
        res.timestamp = timestamp_ms.map(|millis| Timestamp { millis, line: None });
        let (value, created_ms) = match kind {
            Kind::Counter => match values.counter {
                Some(it) => {
                    res.exemplar = it.exemplar;
                    (Some(Value::Number(it.value)), it.created_ms)
                }
                None => (None, None),
            },
            Kind::Gauge | Kind::Info | Kind::StateSet => (values.gauge.map(Value::Number), None),
            Kind::Untyped => (values.untyped.map(Value::Number), None),
            Kind::Summary => match values.summary {
                Some((it, created_ms)) => (Some(Value::Summary(it)), created_ms),
                None => (None, None),
            },
            Kind::Histogram | Kind::GaugeHistogram => match values.histogram {
                Some((it, created_ms)) => (Some(Value::Histogram(Box::new(it))), created_ms),
                None => (None, None),
            },
        };
        res.created_ms = created_ms;
        if let Some(it) = value {
            res.value = it;
        }
        res
    }
}

impl Side {
    /// Index and count of every bucket. There are as many as there are counts, whatever the spans say.
    fn buckets(self) -> Result<Vec<(i32, f64)>, BodyError> {
        let mut counts: Box<dyn Iterator<Item = f64>> = if self.counts.is_empty() {
            let absolute = self.deltas.into_iter().scan(0_i64, |last, delta| {
                *last = last.wrapping_add(delta);
                Some(signed(*last))
            });
            Box::new(absolute)
        } else {
            Box::new(self.counts.into_iter())
        };
        let unsound = || BodyError::Malformed("the native buckets are unsound".to_owned());
        let mut res = Vec::new();
        let mut index = 0_i64;
        for (offset, length) in self.spans {
            index = index.checked_add(offset).ok_or_else(unsound)?;
            for _ in 0..length {
                let count = counts.next().ok_or_else(unsound)?;
                res.push((i32::try_from(index).map_err(|_| unsound())?, count));
                index += 1;
            }
        }
        if counts.next().is_some() {
            return Err(unsound());
        }
        Ok(res)
    }
}

/// The double of field 1 of a message.
fn number(bytes: &[u8]) -> Result<f64, BodyError> {
    Ok(pair(bytes)?.0)
}

/// The doubles of fields 1 and 2 of a message.
fn pair(bytes: &[u8]) -> Result<(f64, f64), BodyError> {
    let mut wire = Wire::new(bytes);
    let mut res = (0.0, 0.0);
    while !wire.is_empty() {
        match wire.field()? {
            (1, Field::Fixed64(it)) => res.0 = f64::from_bits(it),
            (2, Field::Fixed64(it)) => res.1 = f64::from_bits(it),
            _ => {}
        }
    }
    Ok(res)
}

/// A `google.protobuf.Timestamp`; none if it is out of range.
fn nanoseconds(bytes: &[u8]) -> Result<Option<i64>, BodyError> {
    let mut wire = Wire::new(bytes);
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    while !wire.is_empty() {
        match wire.field()? {
            (1, Field::Varint(it)) => seconds = it.cast_signed(),
            (2, Field::Varint(it)) => nanos = it.cast_signed(),
            _ => {}
        }
    }
    Ok(seconds.checked_mul(1_000_000_000).and_then(|it| it.checked_add(nanos)))
}

fn milliseconds(bytes: &[u8]) -> Result<Option<i64>, BodyError> {
    Ok(nanoseconds(bytes)?.map(|it| it.div_euclid(1_000_000)))
}

fn text(bytes: &[u8], what: &str, max: usize) -> Result<String, BodyError> {
    if bytes.len() > max {
        return Err(BodyError::TooLarge(format!("{what} is longer than {max} bytes")));
    }
    match str::from_utf8(bytes) {
        Ok(it) => Ok(it.to_owned()),
        Err(_) => Err(BodyError::Malformed(format!("{what} is not UTF-8: {}", quote(bytes)))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 the nearest number will do")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 the nearest number will do")]
fn signed(count: i64) -> f64 {
    count as f64
}
