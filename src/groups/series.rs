//! How one metric of a group is kept: its label block and its value, as bytes.
//!
//! Most metrics are a block and a number, which costs a length of a byte or two, the block and eight bytes.
//! Only the families whose metrics have more to say (a summary, a histogram, an exemplar, a beginning) pay
//! for it: they are *rich*.

use crate::codec::DecodeError;
use crate::codec::Reader;
use crate::codec::Writer;
use crate::exposition::Kind;
use crate::push::{Bucket, Exemplar, Histogram, Metric, Native, Summary, Value};

/// Integers below this are exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// One metric as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Its label block, those of the grouping included.
    pub labels: &'a str,
    /// What it says.
    pub value: Value,
    /// When it began, in milliseconds since the epoch.
    pub created_ms: Option<i64>,
    /// The exemplar of a counter.
    pub exemplar: Option<Box<Exemplar>>,
}

/// The metrics of one family of a group, in order.
#[derive(Clone, Debug)]
pub struct Samples<'a> {
    reader: Reader<'a>,
    kind: Kind,
    rich: bool,
}

/// Whether a metric has more to say than a number.
pub(super) fn is_rich(metric: &Metric) -> bool {
    !matches!(metric.value, Value::Number(_))
        || metric.created_ms.is_some()
        || metric.exemplar.is_some()
}

/// Appends a metric with the labels of `block`.
pub(super) fn write(out: &mut Writer, block: &str, metric: &Metric, rich: bool) {
    out.text(block);
    if !rich {
        if let Value::Number(it) = metric.value {
            out.f64(it);
        }
        return;
    }
    option(out, metric.created_ms, Writer::signed);
    option(out, metric.exemplar.as_deref(), exemplar);
    match &metric.value {
        Value::Number(it) => out.f64(*it),
        Value::Summary(it) => {
            out.varint(it.count);
            out.f64(it.sum);
            out.varint(it.quantiles.len() as u64);
            for (quantile, value) in &it.quantiles {
                out.f64(*quantile);
                out.f64(*value);
            }
        }
        Value::Histogram(it) => histogram(out, it),
        Value::Mismatch => {}
    }
}

fn histogram(out: &mut Writer, it: &Histogram) {
    out.u8(it.float.into());
    number(out, it.count);
    out.f64(it.sum);
    out.varint(it.buckets.len() as u64);
    for bucket in &it.buckets {
        out.f64(bucket.bound);
        number(out, bucket.cumulative);
        option(out, bucket.exemplar.as_deref(), exemplar);
    }
    option(out, it.native.as_ref(), native);
    out.varint(it.exemplars.len() as u64);
    it.exemplars.iter().for_each(|it| exemplar(out, it));
}

fn native(out: &mut Writer, it: &Native) {
    out.signed(it.schema.into());
    out.f64(it.zero_threshold);
    number(out, it.zero_count);
    for buckets in [&it.positive, &it.negative] {
        out.varint(buckets.len() as u64);
        for (index, count) in buckets {
            out.signed((*index).into());
            number(out, *count);
        }
    }
}

fn exemplar(out: &mut Writer, it: &Exemplar) {
    out.varint(it.labels.len() as u64);
    for (name, value) in &it.labels {
        out.text(name);
        out.text(value);
    }
    out.f64(it.value);
    option(out, it.timestamp_ns, Writer::signed);
}

fn option<T>(out: &mut Writer, it: Option<T>, write: impl FnOnce(&mut Writer, T)) {
    out.u8(it.is_some().into());
    if let Some(it) = it {
        write(out, it);
    }
}

/// A number that usually is a count: short if it is one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the range is checked, and so is that it reads back"
)]
fn number(out: &mut Writer, it: f64) {
    let whole = it as u64;
    if (0.0..EXACT).contains(&it) && (whole as f64).to_bits() == it.to_bits() {
        out.varint(whole << 1);
    } else {
        out.varint(1);
        out.f64(it);
    }
}

// === impl Samples ===

impl<'a> Samples<'a> {
    pub(super) fn new(bytes: &'a [u8], kind: Kind, rich: bool) -> Self {
        Self { reader: Reader::new(bytes), kind, rich }
    }

    /// What is left to be read.
    pub(super) fn bytes(&self) -> &'a [u8] {
        let mut reader = self.reader;
        reader.rest()
    }

    pub(super) fn is_rich(&self) -> bool {
        self.rich
    }

    /// The next metric; `None` at the end.
    pub(super) fn read(&mut self) -> Result<Option<Sample<'a>>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let reader = &mut self.reader;
        let labels = reader.text()?;
        if !self.rich {
            let value = Value::Number(reader.f64()?);
            return Ok(Some(Sample { labels, value, created_ms: None, exemplar: None }));
        }
        let created_ms = read_option(reader, Reader::signed)?;
        let exemplar = read_option(reader, read_exemplar)?.map(Box::new);
        let value = match self.kind {
            Kind::Summary => Value::Summary(read_summary(reader)?),
            Kind::Histogram | Kind::GaugeHistogram => {
                Value::Histogram(Box::new(read_histogram(reader)?))
            }
            _ => Value::Number(reader.f64()?),
        };
        Ok(Some(Sample { labels, value, created_ms, exemplar }))
    }

    /// The label blocks and numbers of a family that is not rich. Spares a page what [`Sample`] costs.
    pub(super) fn plain(mut self) -> impl Iterator<Item = (&'a str, f64)> {
        std::iter::from_fn(move || {
            let labels = self.reader.text().ok()?;
            Some((labels, self.reader.f64().ok()?))
        })
    }
}

impl<'a> Iterator for Samples<'a> {
    type Item = Sample<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        // What was loaded or stored was read once already.
        self.read().ok().flatten()
    }
}

fn read_summary(reader: &mut Reader<'_>) -> Result<Summary, DecodeError> {
    let count = reader.varint()?;
    let sum = reader.f64()?;
    let n = reader.size()?;
    let quantiles = list(n, || Ok((reader.f64()?, reader.f64()?)))?;
    Ok(Summary { count, sum, quantiles })
}

fn read_histogram(reader: &mut Reader<'_>) -> Result<Histogram, DecodeError> {
    let float = reader.u8()? != 0;
    let count = read_number(reader)?;
    let sum = reader.f64()?;
    let n = reader.size()?;
    let buckets = list(n, || {
        let bound = reader.f64()?;
        let cumulative = read_number(reader)?;
        let exemplar = read_option(reader, read_exemplar)?.map(Box::new);
        Ok(Bucket { bound, cumulative, exemplar })
    })?;
    let native = read_option(reader, read_native)?;
    let n = reader.size()?;
    let exemplars = list(n, || read_exemplar(reader))?;
    Ok(Histogram { count, sum, float, buckets, native, exemplars })
}

fn read_native(reader: &mut Reader<'_>) -> Result<Native, DecodeError> {
    let schema = i32::try_from(reader.signed()?).map_err(|_| DecodeError::Malformed)?;
    let zero_threshold = reader.f64()?;
    let zero_count = read_number(reader)?;
    let mut buckets = || {
        let n = reader.size()?;
        list(n, || {
            let index = i32::try_from(reader.signed()?).map_err(|_| DecodeError::Malformed)?;
            Ok((index, read_number(reader)?))
        })
    };
    let (positive, negative) = (buckets()?, buckets()?);
    Ok(Native { schema, zero_threshold, zero_count, positive, negative })
}

fn read_exemplar(reader: &mut Reader<'_>) -> Result<Exemplar, DecodeError> {
    let n = reader.size()?;
    let labels = list(n, || Ok((reader.text()?.to_owned(), reader.text()?.to_owned())))?;
    let value = reader.f64()?;
    let timestamp_ns = read_option(reader, Reader::signed)?;
    Ok(Exemplar { labels, value, timestamp_ns })
}

fn read_option<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    Ok(if reader.u8()? == 0 { None } else { Some(read(reader)?) })
}

#[expect(clippy::cast_precision_loss, reason = "what was written is below 2^53")]
fn read_number(reader: &mut Reader<'_>) -> Result<f64, DecodeError> {
    match reader.varint()? {
        1 => reader.f64(),
        it => Ok((it >> 1) as f64),
    }
}

/// `n` elements; a length that lies costs no memory before they are read.
fn list<T>(
    n: usize,
    mut read: impl FnMut() -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut res = Vec::with_capacity(n.min(64));
    for _ in 0..n {
        res.push(read()?);
    }
    Ok(res)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(kind: Kind, metric: &Metric) {
        let mut writer = Writer::default();
        let rich = is_rich(metric);
        write(&mut writer, "{a=\"1\"}", metric, rich);
        let bytes = writer.into_inner();
        let mut samples = Samples::new(&bytes, kind, rich);
        let back = samples.read().unwrap().unwrap();
        assert_eq!(back.labels, "{a=\"1\"}");
        assert_eq!(back.value, metric.value);
        assert_eq!(back.created_ms, metric.created_ms);
        assert_eq!(back.exemplar, metric.exemplar);
        assert!(samples.read().unwrap().is_none());
        for end in 1..bytes.len() {
            let mut cut = Samples::new(&bytes[..end], kind, rich);
            assert!(cut.read().is_err(), "{end}");
        }
    }

    fn metric(value: Value) -> Metric {
        Metric { labels: Vec::new(), value, timestamp: None, created_ms: None, exemplar: None }
    }

    #[test]
    fn every_kind_reads_back() {
        let exemplar = Exemplar {
            labels: vec![("trace_id".into(), "ab".into())],
            value: 0.5,
            timestamp_ns: Some(-7),
        };
        check(Kind::Gauge, &metric(Value::Number(1.5)));
        let counter = metric(Value::Number(2.0));
        check(
            Kind::Counter,
            &Metric { created_ms: Some(5), exemplar: Some(Box::new(exemplar.clone())), ..counter },
        );
        let quantiles = vec![(0.5, 1.0), (0.9, f64::INFINITY)];
        check(Kind::Summary, &metric(Value::Summary(Summary { count: 3, sum: -0.5, quantiles })));
        let bucket = |bound, cumulative| Bucket {
            bound,
            cumulative,
            exemplar: Some(exemplar.clone().into()),
        };
        let native = Native {
            schema: -4,
            zero_threshold: 1e-9,
            zero_count: 0.5,
            positive: vec![(-3, 1.0), (7, 2.5)],
            negative: vec![(0, 1e20)],
        };
        let histogram = Histogram {
            count: 2.5,
            sum: 7.0,
            float: true,
            buckets: vec![bucket(1.0, 1.0), bucket(f64::INFINITY, 2.5)],
            native: Some(native),
            exemplars: vec![exemplar.clone()],
        };
        check(Kind::GaugeHistogram, &metric(Value::Histogram(Box::new(histogram))));
    }

    proptest! {
        #[test]
        fn counts_read_back(it: f64, whole: u64) {
            for it in [it, whole as f64, -0.0] {
                let mut writer = Writer::default();
                number(&mut writer, it);
                let bytes = writer.into_inner();
                let back = read_number(&mut Reader::new(&bytes)).unwrap();
                prop_assert_eq!(back.to_bits(), it.to_bits());
            }
        }
    }
}
