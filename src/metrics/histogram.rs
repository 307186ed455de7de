//! A distribution: classic buckets and, beside them, native ones.
//!
//! Native buckets follow the Prometheus native histograms specification: bucket `i` of schema `s` holds
//! the values in `(2^((i-1) * 2^-s), 2^(i * 2^-s)]`.

use super::series::Exemplar;
use crate::codec::DecodeError;
use crate::codec::Reader;
use crate::codec::Writer;
use crate::rules::{HistogramSpec, NativeSpec};

/// The coarsest resolution there is.
const MIN_SCHEMA: i8 = -4;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Histogram {
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Per bucket, not cumulative; the last is `+Inf`.
    pub(super) counts: Box<[u64]>,
    pub(super) native: Option<Native>,
    /// Per bucket; empty until the first exemplar.
    pub(super) exemplars: Vec<Option<Exemplar>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Native {
    pub(super) schema: i8,
    pub(super) zero_count: u64,
    /// Index and count, ascending.
    pub(super) positive: Vec<(i32, u64)>,
    pub(super) negative: Vec<(i32, u64)>,
}

impl Histogram {
    pub(super) fn new(spec: &HistogramSpec) -> Self {
        let native = spec.native.map(|it| Native {
            schema: it.schema,
            zero_count: 0,
            positive: Vec::new(),
            negative: Vec::new(),
        });
        let counts = vec![0; spec.bounds.len() + 1].into_boxed_slice();
        Self { counts, native, ..Self::default() }
    }

    /// Counts `value`, which is finite.
    pub(super) fn observe(&mut self, spec: &HistogramSpec, value: f64, exemplar: Option<Exemplar>) {
        self.count += 1;
        self.sum += value;
        let bucket = spec.bounds.partition_point(|bound| *bound < value);
        if let Some(it) = self.counts.get_mut(bucket) {
            *it += 1;
        }
        if let (Some(native), Some(spec)) = (&mut self.native, spec.native) {
            native.observe(spec, value);
        }
        if let Some(exemplar) = exemplar {
            self.exemplars.resize(self.counts.len(), None);
            if let Some(it) = self.exemplars.get_mut(bucket) {
                *it = Some(exemplar);
            }
        }
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.varint(self.count);
        writer.f64(self.sum);
        writer.varint(self.counts.len() as u64);
        self.counts.iter().for_each(|it| writer.varint(*it));
        writer.u8(u8::from(self.native.is_some()));
        if let Some(native) = &self.native {
            writer.signed(i64::from(native.schema));
            writer.varint(native.zero_count);
            for side in [&native.positive, &native.negative] {
                writer.varint(side.len() as u64);
                for (index, count) in side {
                    writer.signed(i64::from(*index));
                    writer.varint(*count);
                }
            }
        }
        writer.varint(self.exemplars.len() as u64);
        for it in &self.exemplars {
            writer.u8(u8::from(it.is_some()));
            if let Some(it) = it {
                it.encode(writer);
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.varint()?;
        let sum = reader.f64()?;
        let n = reader.size()?;
        let counts = (0..n).map(|_| reader.varint()).collect::<Result<_, _>>()?;
        let native = if reader.u8()? == 0 { None } else { Some(Native::decode(reader)?) };
        let n = reader.size()?;
        let exemplar = |reader: &mut Reader<'_>| match reader.u8()? {
            0 => Ok(None),
            _ => Exemplar::decode(reader).map(Some),
        };
        let exemplars = (0..n).map(|_| exemplar(reader)).collect::<Result<_, _>>()?;
        Ok(Self { count, sum, counts, native, exemplars })
    }
}

impl Native {
    fn observe(&mut self, spec: NativeSpec, value: f64) {
        if value.abs() <= spec.zero_threshold {
            self.zero_count += 1;
            return;
        }
        let index = bucket_index(value.abs(), self.schema);
        let side = if value > 0.0 { &mut self.positive } else { &mut self.negative };
        match side.binary_search_by_key(&index, |it| it.0) {
            Ok(at) => {
                if let Some(it) = side.get_mut(at) {
                    it.1 += 1;
                }
            }
            Err(at) => side.insert(at, (index, 1)),
        }
        while self.positive.len() + self.negative.len() > spec.max_buckets
            && self.schema > MIN_SCHEMA
        {
            self.schema -= 1;
            halve(&mut self.positive);
            halve(&mut self.negative);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let schema = i8::try_from(reader.signed()?).map_err(|_| DecodeError::Malformed)?;
        let zero_count = reader.varint()?;
        let mut side = || {
            let n = reader.size()?;
            let index = |it| i32::try_from(it).map_err(|_| DecodeError::Malformed);
            (0..n)
                .map(|_| Ok((index(reader.signed()?)?, reader.varint()?)))
                .collect::<Result<_, DecodeError>>()
        };
        Ok(Self { schema, zero_count, positive: side()?, negative: side()? })
    }
}

/// Joins neighbouring buckets, as one step to a coarser schema does.
fn halve(side: &mut Vec<(i32, u64)>) {
    let mut res: Vec<(i32, u64)> = Vec::with_capacity(side.len());
    for (index, count) in side.drain(..) {
        let index = (index + 1) >> 1;
        match res.last_mut() {
            Some(last) if last.0 == index => last.1 += count,
            _ => res.push((index, count)),
        }
    }
    *side = res;
}

/// The bucket of a positive, finite value.
#[expect(clippy::cast_possible_truncation, reason = "the logarithm of a double is small")]
fn bucket_index(value: f64, schema: i8) -> i32 {
    let scale = f64::from(schema).exp2();
    let index = (value.log2() * scale).ceil() as i32;
    // The logarithm may be off by one unit in the last place at a bucket's edge.
    let bound = |index: i32| (f64::from(index) / scale).exp2();
    if value > bound(index) {
        index + 1
    } else if value <= bound(index - 1) {
        index - 1
    } else {
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_belong_to_the_bucket_below() {
        for (value, schema, index) in [
            (1.0, 0, 0),
            (2.0, 0, 1),
            (2.1, 0, 2),
            (0.5, 0, -1),
            (4.0, 3, 16),
            (4.1, 3, 17),
            (16.0, -2, 1),
        ] {
            assert_eq!(bucket_index(value, schema), index, "{value} at {schema}");
        }
    }

    #[test]
    fn too_many_buckets_halve_the_resolution_and_lose_no_count() {
        let native = NativeSpec { schema: 3, zero_threshold: 1e-9, max_buckets: 10 };
        let spec = HistogramSpec { bounds: [1.0, 10.0].into(), native: Some(native) };
        let mut it = Histogram::new(&spec);
        for i in 0..1000 {
            it.observe(&spec, f64::from(i) / 10.0 - 5.0, None);
        }
        let native = it.native.as_ref().unwrap();
        assert!(native.schema < 3 && native.positive.len() + native.negative.len() <= 10);
        let total: u64 = native.positive.iter().chain(&native.negative).map(|it| it.1).sum();
        assert_eq!(total + native.zero_count, 1000);
        assert_eq!(&*it.counts, [61, 90, 849]);
    }

    #[test]
    fn reads_back() {
        let native = NativeSpec { schema: 3, zero_threshold: 0.0, max_buckets: 160 };
        let spec = HistogramSpec { bounds: [1.0].into(), native: Some(native) };
        let mut it = Histogram::new(&spec);
        let trace = crate::event::TraceContext { trace_id: 7, span_id: None };
        let time = crate::event::Time::from_millis(5);
        it.observe(&spec, 0.5, Some(Exemplar { trace, value: 0.5, time }));
        it.observe(&spec, -3.0, None);
        let mut writer = Writer::default();
        it.encode(&mut writer);
        let bytes = writer.into_inner();
        assert_eq!(Histogram::decode(&mut Reader::new(&bytes)).unwrap(), it);
    }
}
