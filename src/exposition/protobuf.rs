//! Delimited protobuf: `io.prometheus.client.MetricFamily`, each with its length before it.
//!
//! The messages are few and small, so they are written by hand. A message stands in the buffer after one
//! byte for its length; the length is set when it is known, and what follows moves up if it needs more.

use super::{
    Escaping, Exemplar, FamilyHead, Format, HistogramView, Kind, NativeView, SummaryView, names,
    text,
};
use crate::labels;
use std::borrow::Cow;

/// Writes delimited protobuf.
#[derive(Debug)]
pub(super) struct Protobuf {
    /// Whole families with their lengths.
    out: Vec<u8>,
    /// The family that is being written.
    family: Vec<u8>,
    escaping: Escaping,
    /// Whether label blocks of the family must be rewritten.
    rewrite: bool,
}

/// The wire types of the encoding.
const VARINT: u32 = 0;
const DOUBLE: u32 = 1;
const BYTES: u32 = 2;

/// Native buckets this far apart are joined by empty ones, which is shorter than another span.
const MAX_FILL: i64 = 2;

// === impl Protobuf ===

impl Protobuf {
    pub(super) fn new(format: Format) -> Self {
        Self { out: Vec::new(), family: Vec::new(), escaping: format.escaping, rewrite: false }
    }

    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    pub(super) fn buffered(&self) -> usize {
        self.out.len()
    }

    pub(super) fn begin_family(&mut self, head: &FamilyHead<'_>) {
        self.rewrite = self.escaping == Escaping::Dots
            || (head.quoted_labels && self.escaping != Escaping::AllowUtf8);
        let buf = &mut self.family;
        buf.clear();
        bytes(buf, 1, names::metric(head.name, self.escaping).as_bytes());
        if !head.help.is_empty() {
            bytes(buf, 2, head.help.as_bytes());
        }
        uint(buf, 3, type_number(head.kind));
        if let Some(unit) = head.unit.filter(|it| !it.is_empty()) {
            bytes(buf, 5, unit.as_bytes());
        }
    }

    pub(super) fn end_family(&mut self) {
        varint(&mut self.out, self.family.len() as u64);
        self.out.extend_from_slice(&self.family);
        self.family.clear();
    }

    pub(super) fn gauge(&mut self, block: &str, value: f64) {
        self.metric(block, 2, |buf| double(buf, 1, value));
    }

    pub(super) fn untyped(&mut self, block: &str, value: f64) {
        self.metric(block, 5, |buf| double(buf, 1, value));
    }

    pub(super) fn counter(
        &mut self,
        block: &str,
        value: f64,
        created_ms: Option<i64>,
        exemplar: Option<&Exemplar<'_>>,
    ) {
        let escaping = self.escaping;
        self.metric(block, 3, |buf| {
            double(buf, 1, value);
            write_exemplar(buf, 2, escaping, exemplar);
            start(buf, 3, created_ms);
        });
    }

    pub(super) fn summary(&mut self, block: &str, view: &SummaryView<'_>) {
        self.metric(block, 4, |buf| {
            uint(buf, 1, view.count);
            double(buf, 2, view.sum);
            for &(quantile, value) in view.quantiles {
                message(buf, 3, |buf| {
                    double(buf, 1, quantile);
                    double(buf, 2, value);
                });
            }
            start(buf, 4, view.created_ms);
        });
    }

    pub(super) fn histogram(&mut self, block: &str, view: &HistogramView<'_>) {
        let escaping = self.escaping;
        self.metric(block, 7, |buf| {
            uint(buf, 1, view.count);
            double(buf, 2, view.sum);
            buckets(buf, escaping, view);
            if let Some(native) = &view.native {
                write_native(buf, native);
            }
            start(buf, 15, view.created_ms);
            if view.native.is_some() {
                // A native histogram has a list of its own, in which the time is mandatory.
                let timed = |it: &&Exemplar<'_>| it.timestamp_ns.is_some();
                for exemplar in view.exemplars.iter().flatten().filter(timed) {
                    write_exemplar(buf, 16, escaping, Some(exemplar));
                }
            }
        });
    }

    /// One metric: its labels, and as `field` the message that `write` writes.
    #[inline]
    fn metric(&mut self, block: &str, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let block =
            if self.rewrite { names::block(block, self.escaping) } else { Cow::Borrowed(block) };
        message(&mut self.family, 4, |buf| {
            label_pairs(buf, &block);
            message(buf, field, write);
        });
    }
}

fn buckets(buf: &mut Vec<u8>, escaping: Escaping, view: &HistogramView<'_>) {
    if view.bounds.is_empty() && view.native.is_some() {
        return;
    }
    let bounds = view.bounds.iter().copied().chain([f64::INFINITY]);
    let counts = view.counts.iter().copied().chain(std::iter::repeat(0));
    let mut cumulative = 0_u64;
    for (at, (bound, count)) in bounds.zip(counts).enumerate() {
        let last = at == view.bounds.len();
        cumulative = if last { view.count } else { count.saturating_add(cumulative) };
        message(buf, 3, |buf| {
            uint(buf, 1, cumulative);
            double(buf, 2, bound);
            write_exemplar(buf, 3, escaping, view.exemplars.get(at).and_then(Option::as_ref));
        });
    }
}

fn write_native(buf: &mut Vec<u8>, native: &NativeView<'_>) {
    sint(buf, 5, native.schema.into());
    double(buf, 6, native.zero_threshold);
    uint(buf, 7, native.zero_count);
    spans(buf, [9, 10], native.negative);
    let empty = native.positive.is_empty() && native.negative.is_empty();
    if empty && native.zero_count == 0 && native.zero_threshold == 0.0 {
        // Nothing else would tell the reader that this is a native histogram.
        message(buf, 12, |buf| {
            sint(buf, 1, 0);
            uint(buf, 2, 0);
        });
    } else {
        spans(buf, [12, 13], native.positive);
    }
}

/// Buckets as spans of neighbours, each with its distance from the one before, and counts, each as the
/// difference to the one before.
fn spans(buf: &mut Vec<u8>, [spans, deltas]: [u32; 2], buckets: &[(i32, u64)]) {
    if buckets.is_empty() {
        return;
    }
    let mut packed = Vec::with_capacity(buckets.len() * 2);
    let mut last_count = 0_i64;
    let mut delta = |count: u64| {
        let count = count.cast_signed();
        varint(&mut packed, zigzag(count.wrapping_sub(last_count)));
        last_count = count;
    };
    let mut span: Option<(i64, u64)> = None;
    let mut next = 0_i64;
    for &(index, count) in buckets {
        let index = i64::from(index);
        let gap = index - next;
        match &mut span {
            Some((_, length)) if (0..=MAX_FILL).contains(&gap) => {
                (0..gap).for_each(|_| delta(0));
                *length += gap.unsigned_abs() + 1;
            }
            _ => {
                write_span(buf, spans, span.replace((gap, 1)));
            }
        }
        delta(count);
        next = index + 1;
    }
    write_span(buf, spans, span);
    bytes(buf, deltas, &packed);
}

fn write_span(buf: &mut Vec<u8>, field: u32, span: Option<(i64, u64)>) {
    let Some((offset, length)) = span else { return };
    message(buf, field, |buf| {
        sint(buf, 1, offset);
        uint(buf, 2, length);
    });
}

fn write_exemplar(
    buf: &mut Vec<u8>,
    field: u32,
    escaping: Escaping,
    exemplar: Option<&Exemplar<'_>>,
) {
    let Some(exemplar) = exemplar.filter(|it| text::is_short(it.labels)) else { return };
    message(buf, field, |buf| {
        label_pairs(buf, &names::block(exemplar.labels, escaping));
        double(buf, 2, exemplar.value);
        if let Some(time) = exemplar.timestamp_ns {
            timestamp(buf, 3, time, 1_000_000_000);
        }
    });
}

fn start(buf: &mut Vec<u8>, field: u32, created_ms: Option<i64>) {
    if let Some(created_ms) = created_ms {
        timestamp(buf, field, created_ms, 1000);
    }
}

/// A `google.protobuf.Timestamp`; `per_second` is the unit of `time`.
fn timestamp(buf: &mut Vec<u8>, field: u32, time: i64, per_second: i64) {
    let nanos = time.rem_euclid(per_second) * (1_000_000_000 / per_second);
    message(buf, field, |buf| {
        uint(buf, 1, time.div_euclid(per_second).cast_unsigned());
        uint(buf, 2, nanos.unsigned_abs());
    });
}

fn label_pairs(buf: &mut Vec<u8>, block: &str) {
    for (name, value) in names::pairs(block) {
        let value = labels::unescape_value(value);
        message(buf, 1, |buf| {
            bytes(buf, 1, name.as_bytes());
            bytes(buf, 2, value.as_bytes());
        });
    }
}

fn type_number(kind: Kind) -> u64 {
    match kind {
        Kind::Counter => 0,
        Kind::Gauge | Kind::Info | Kind::StateSet => 1,
        Kind::Summary => 2,
        Kind::Untyped => 3,
        Kind::Histogram => 4,
        Kind::GaugeHistogram => 5,
    }
}

/// Writes the message `field`, whose content `write` appends.
#[inline]
fn message(buf: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    key(buf, field, BYTES);
    let at = buf.len();
    buf.push(0);
    write(buf);
    let len = buf.len() - at - 1;
    match (u8::try_from(len), buf.get_mut(at)) {
        (Ok(short @ 0..128), Some(byte)) => *byte = short,
        _ => {
            let mut prefix = Vec::with_capacity(10);
            varint(&mut prefix, len as u64);
            buf.splice(at..=at, prefix);
        }
    }
}

#[inline]
fn bytes(buf: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    key(buf, field, BYTES);
    varint(buf, bytes.len() as u64);
    buf.extend_from_slice(bytes);
}

#[inline]
fn double(buf: &mut Vec<u8>, field: u32, value: f64) {
    key(buf, field, DOUBLE);
    buf.extend_from_slice(&value.to_le_bytes());
}

#[inline]
fn uint(buf: &mut Vec<u8>, field: u32, value: u64) {
    key(buf, field, VARINT);
    varint(buf, value);
}

#[inline]
fn sint(buf: &mut Vec<u8>, field: u32, value: i64) {
    uint(buf, field, zigzag(value));
}

#[inline]
fn key(buf: &mut Vec<u8>, field: u32, wire: u32) {
    varint(buf, u64::from(field << 3 | wire));
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[inline]
fn varint(buf: &mut Vec<u8>, mut value: u64) {
    while value >= 128 {
        buf.push((value & 127 | 128).to_le_bytes()[0]);
        value >>= 7;
    }
    buf.push(value.to_le_bytes()[0]);
}
