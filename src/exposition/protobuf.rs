//! Delimited protobuf: `io.prometheus.client.MetricFamily`, each with its length before it.
//!
//! The messages are few and small, so they are written by hand. A message stands in the buffer after one
//! byte for its length; the length is set when it is known, and what follows moves up if it needs more.

mod cumulative;

use super::{
    Escaping, Exemplar, FamilyHead, Format, HistogramView, Kind, NativeView, SummaryView, names,
    text,
};
use crate::labels;
use std::borrow::Cow;

/// Writes delimited protobuf.
#[derive(Debug)]
pub(super) struct Protobuf {
    /// Whole families with their lengths, and the one that is being written.
    out: Vec<u8>,
    /// Where the whole families end.
    complete: usize,
    escaping: Escaping,
    /// Whether label blocks of the family must be rewritten.
    rewrite: bool,
}

/// The wire types of the encoding.
const VARINT: u32 = 0;
const DOUBLE: u32 = 1;
const BYTES: u32 = 2;

/// Bytes reserved for the length of a family, enough for 32 GiB.
const LEN_BYTES: usize = 5;

/// Families of at most this many bytes move to close the gap that a shorter length leaves.
const MAX_MOVE: usize = 64 * 1024;

/// Native buckets this far apart are joined by empty ones, which is shorter than another span.
const MAX_FILL: i64 = 2;

// === impl Protobuf ===

impl Protobuf {
    pub(super) fn new(format: Format) -> Self {
        Self { out: Vec::new(), complete: 0, escaping: format.escaping, rewrite: false }
    }

    pub(super) fn replace(&mut self, mut buffer: Vec<u8>) -> Vec<u8> {
        let start = buffer.len();
        buffer.extend_from_slice(self.out.get(self.complete..).unwrap_or_default());
        self.out.truncate(self.complete);
        self.complete = start;
        std::mem::replace(&mut self.out, buffer)
    }

    pub(super) fn buffered(&self) -> usize {
        self.complete
    }

    pub(super) fn begin_family(&mut self, head: &FamilyHead<'_>) {
        self.rewrite = self.escaping == Escaping::Dots
            || (head.quoted_labels && self.escaping != Escaping::AllowUtf8);
        let buf = &mut self.out;
        buf.truncate(self.complete);
        buf.extend_from_slice(&[0; LEN_BYTES]);
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
        let start = self.complete;
        let len = self.out.len().saturating_sub(start + LEN_BYTES);
        let mut prefix = Vec::with_capacity(LEN_BYTES);
        varint(&mut prefix, len as u64);
        if len > MAX_MOVE && prefix.len() < LEN_BYTES {
            // Bits of continuation and zeros fill the length up: valid, and the family stays in place.
            if let Some(last) = prefix.last_mut() {
                *last |= 0x80;
            }
            prefix.resize(LEN_BYTES - 1, 0x80);
            prefix.push(0);
        }
        if self.out.len() >= start + LEN_BYTES {
            self.out.splice(start..start + LEN_BYTES, prefix);
        }
        self.complete = self.out.len();
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
        let native = view.native.filter(|it| is_sound(view, it));
        self.metric(block, 7, |buf| {
            uint(buf, 1, view.count);
            double(buf, 2, view.sum);
            if native.is_none() || !view.bounds.is_empty() {
                buckets(buf, escaping, view);
            }
            if let Some(native) = &native {
                write_native(buf, native);
            }
            start(buf, 15, view.created_ms);
            if native.is_some() {
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
        message(&mut self.out, 4, |buf| {
            label_pairs(buf, &block);
            message(buf, field, write);
        });
    }
}

fn buckets(buf: &mut Vec<u8>, escaping: Escaping, view: &HistogramView<'_>) {
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

/// Whether Prometheus would take the native buckets. One histogram that it does not take costs the whole
/// page, so that an unsound one is shown as a classic histogram only.
fn is_sound(view: &HistogramView<'_>, native: &NativeView<'_>) -> bool {
    let buckets = native.positive.iter().chain(native.negative);
    let seen = buckets.map(|(_, count)| *count).try_fold(native.zero_count, u64::checked_add);
    // An observation of NaN is counted and falls into no bucket.
    let complete =
        seen.is_some_and(|it| it == view.count || (view.sum.is_nan() && it < view.count));
    let ascending = |it: &[(i32, u64)]| it.is_sorted_by(|(a, _), (b, _)| a < b);
    complete
        && (-4..=8).contains(&native.schema)
        && native.zero_threshold >= 0.0
        && ascending(native.positive)
        && ascending(native.negative)
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
        label_pair(buf, name.as_bytes(), labels::unescape_value(value).as_bytes());
    }
}

#[inline]
fn label_pair(buf: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let lens = [name.len() + value.len() + 4, name.len(), value.len()];
    match lens.map(u8::try_from) {
        // All lengths take one byte, as nearly always.
        [Ok(len @ 0..128), Ok(name_len), Ok(value_len)] => {
            buf.extend_from_slice(&[0x0a, len, 0x0a, name_len]);
            buf.extend_from_slice(name);
            buf.extend_from_slice(&[0x12, value_len]);
            buf.extend_from_slice(value);
        }
        _ => message(buf, 1, |buf| {
            bytes(buf, 1, name);
            bytes(buf, 2, value);
        }),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::FormatKind;

    fn encoder() -> Protobuf {
        Protobuf::new(Format { kind: FormatKind::Protobuf, escaping: Escaping::Underscores })
    }

    #[test]
    fn a_counter() {
        let mut encoder = encoder();
        let head = FamilyHead::new("a_total", "Ä", Kind::Counter);
        encoder.begin_family(&FamilyHead { unit: Some("s"), ..head });
        encoder.counter("{x=\"1\\n\"}", 1.0, Some(1500), None);
        assert_eq!(encoder.buffered(), 0);
        encoder.end_family();
        let metric = [
            &b"\x0a\x07\x0a\x01x\x12\x021\n"[..],
            b"\x1a\x13\x09\0\0\0\0\0\0\xf0\x3f\x1a\x08\x08\x01\x10\x80\xca\xb5\xee\x01",
        ]
        .concat();
        let family =
            [&b"\x0a\x07a_total\x12\x02\xc3\x84\x18\x00\x2a\x01s\x22\x1e"[..], &metric].concat();
        assert_eq!(encoder.replace(Vec::new()), [&[0x32][..], &family].concat());
    }

    #[test]
    fn a_long_message_has_a_long_length() {
        let mut buf = Vec::new();
        message(&mut buf, 1, |buf| buf.extend_from_slice(&[7; 127]));
        message(&mut buf, 1, |buf| buf.extend_from_slice(&[8; 300]));
        let expected = [&[0x0a, 127][..], &[7; 127], &[0x0a, 0xac, 0x02], &[8; 300]].concat();
        assert_eq!(buf, expected);
    }

    #[test]
    fn families_of_any_size_have_their_length_before_them() {
        for n_series in [0, 1, 10, 1000, 20_000] {
            let mut encoder = encoder();
            let mut page = Vec::new();
            for _ in 0..2 {
                encoder.begin_family(&FamilyHead::new("a", "", Kind::Gauge));
                for _ in 0..n_series {
                    encoder.gauge("{x=\"1\"}", 1.0);
                }
                // What is taken while a family is written is whole.
                page.extend(encoder.replace(Vec::new()));
                encoder.end_family();
            }
            page.extend(encoder.replace(Vec::new()));
            let family = 3 + 2 + n_series * 21;
            let mut rest = page.as_slice();
            for _ in 0..2 {
                let n_len = 1 + rest.iter().position(|it| *it < 128).unwrap();
                let bits = rest[..n_len].iter().rev();
                let len = bits.fold(0, |acc, it| acc << 7 | usize::from(it & 127));
                assert_eq!(len, family);
                rest = &rest[n_len + len..];
            }
            assert!(rest.is_empty());
        }
    }

    #[track_caller]
    fn check_spans(buckets: &[(i32, u64)], expected: &[u8]) {
        let mut buf = Vec::new();
        spans(&mut buf, [12, 13], buckets);
        assert_eq!(buf, expected);
    }

    #[test]
    fn native_buckets() {
        check_spans(&[], b"");
        // One span from -1 on: counts 3, 5.
        check_spans(&[(-1, 3), (0, 5)], b"\x62\x04\x08\x01\x10\x02\x6a\x02\x06\x04");
        // A gap of two is filled: counts 3, 0, 0, 5.
        check_spans(&[(0, 3), (3, 5)], b"\x62\x04\x08\x00\x10\x04\x6a\x04\x06\x05\x00\x0a");
        // A gap of three begins another span.
        check_spans(
            &[(0, 3), (4, 2)],
            b"\x62\x04\x08\x00\x10\x01\x62\x04\x08\x06\x10\x01\x6a\x02\x06\x01",
        );
    }

    #[test]
    fn unsound_native_buckets_are_left_out() {
        let view = HistogramView {
            count: 5,
            sum: 1.0,
            bounds: &[],
            counts: &[],
            created_ms: None,
            exemplars: &[],
            native: None,
        };
        let sound = NativeView {
            schema: 3,
            zero_threshold: 0.0,
            zero_count: 1,
            positive: &[(0, 1), (2, 2)],
            negative: &[(7, 1)],
        };
        assert!(is_sound(&view, &sound));
        assert!(!is_sound(&HistogramView { count: 6, ..view }, &sound));
        assert!(is_sound(&HistogramView { count: 6, sum: f64::NAN, ..view }, &sound));
        for unsound in [
            NativeView { schema: 9, ..sound },
            NativeView { zero_count: 2, ..sound },
            NativeView { zero_count: u64::MAX, ..sound },
            NativeView { zero_threshold: f64::NAN, ..sound },
            NativeView { positive: &[(2, 1), (0, 2)], ..sound },
            NativeView { negative: &[(7, 0), (7, 1)], ..sound },
        ] {
            assert!(!is_sound(&view, &unsound), "{unsound:?}");
        }
    }

    #[test]
    fn an_empty_native_histogram_says_that_it_is_one() {
        let mut encoder = encoder();
        encoder.begin_family(&FamilyHead::new("h", "", Kind::Histogram));
        let native = NativeView {
            schema: 0,
            zero_threshold: 0.0,
            zero_count: 0,
            positive: &[],
            negative: &[],
        };
        let view = HistogramView {
            count: 0,
            sum: 0.0,
            bounds: &[],
            counts: &[],
            created_ms: None,
            exemplars: &[],
            native: Some(native),
        };
        encoder.histogram("", &view);
        encoder.end_family();
        assert!(encoder.replace(Vec::new()).ends_with(b"\x62\x04\x08\x00\x10\x00"));
    }
}
