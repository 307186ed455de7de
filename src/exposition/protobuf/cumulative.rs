//! Histograms that somebody else counted.

use super::{
    MAX_FILL, Protobuf, bytes, double, message, sint, start, uint, varint, write_exemplar,
    write_span, zigzag,
};
use crate::exposition::{CumulativeView, FloatNativeView};

impl Protobuf {
    pub(in crate::exposition) fn cumulative(&mut self, block: &str, view: &CumulativeView<'_>) {
        let escaping = self.escaping;
        let native = view.native.filter(|it| is_sound(view, it));
        self.metric(block, 7, |buf| {
            number(buf, [1, 4], view.count, view.float);
            double(buf, 2, view.sum);
            if native.is_none() || !view.bounds.is_empty() {
                let bounds = view.bounds.iter().copied().chain([f64::INFINITY]);
                for (at, (bound, count)) in bounds.zip(view.cumulative).enumerate() {
                    message(buf, 3, |buf| {
                        number(buf, [1, 4], *count, view.float);
                        double(buf, 2, bound);
                        let exemplar = view.exemplars.get(at).and_then(Option::as_ref);
                        write_exemplar(buf, 3, escaping, exemplar);
                    });
                }
            }
            if let Some(native) = &native {
                write_native(buf, native, view.float);
            }
            start(buf, 15, view.created_ms);
            // The list of a native histogram, in which the time is mandatory.
            let exemplars = native.map_or(&[][..], |it| it.exemplars);
            for exemplar in exemplars.iter().filter(|it| it.timestamp_ns.is_some()) {
                write_exemplar(buf, 16, escaping, Some(exemplar));
            }
        });
    }
}

/// A count: an integer in the first field, or a double in the second.
fn number(buf: &mut Vec<u8>, [integer, float]: [u32; 2], value: f64, is_float: bool) {
    if is_float {
        double(buf, float, value);
    } else {
        uint(buf, integer, whole(value));
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer there is"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// Whether Prometheus would take the native buckets; see the one for our own histograms.
fn is_sound(view: &CumulativeView<'_>, native: &FloatNativeView<'_>) -> bool {
    let buckets = || native.positive.iter().chain(native.negative).map(|(_, count)| *count);
    let ascending = |it: &[(i32, f64)]| it.is_sorted_by(|(a, _), (b, _)| a < b);
    let seen = native.zero_count + buckets().sum::<f64>();
    // An observation of NaN is counted and falls into no bucket. Sums of fractions are never exact.
    let complete = seen == view.count || view.float || (view.sum.is_nan() && seen < view.count);
    let far = |(index, _): &(i32, f64)| index.unsigned_abs() > MAX_INDEX;
    complete
        && (-4..=8).contains(&native.schema)
        && native.zero_threshold >= 0.0
        && native.zero_count >= 0.0
        && buckets().all(|it| it >= 0.0)
        && ascending(native.positive)
        && ascending(native.negative)
        && !native.positive.iter().chain(native.negative).any(far)
}

/// The largest index that a double has a bucket for, at the finest resolution.
const MAX_INDEX: u32 = 1024 << 8;

fn write_native(buf: &mut Vec<u8>, native: &FloatNativeView<'_>, float: bool) {
    sint(buf, 5, native.schema.into());
    double(buf, 6, native.zero_threshold);
    number(buf, [7, 8], native.zero_count, float);
    spans(buf, [9, 10, 11], native.negative, float);
    let empty = native.positive.is_empty() && native.negative.is_empty();
    if empty && native.zero_count == 0.0 && native.zero_threshold == 0.0 {
        // Nothing else would tell the reader that this is a native histogram.
        message(buf, 12, |buf| {
            sint(buf, 1, 0);
            uint(buf, 2, 0);
        });
    } else {
        spans(buf, [12, 13, 14], native.positive, float);
    }
}

/// Buckets as spans of neighbours, and their counts: as differences, or as they are if they are doubles.
fn spans(
    buf: &mut Vec<u8>,
    [spans, deltas, counts]: [u32; 3],
    buckets: &[(i32, f64)],
    float: bool,
) {
    if buckets.is_empty() {
        return;
    }
    let mut packed = Vec::with_capacity(buckets.len() * 8);
    let mut last = 0_i64;
    let mut push = |count: f64| {
        if float {
            packed.extend_from_slice(&count.to_le_bytes());
        } else {
            let count = whole(count).cast_signed();
            varint(&mut packed, zigzag(count.wrapping_sub(last)));
            last = count;
        }
    };
    let mut span: Option<(i64, u64)> = None;
    let mut next = 0_i64;
    for &(index, count) in buckets {
        let index = i64::from(index);
        let gap = index - next;
        match &mut span {
            Some((_, length)) if (0..=MAX_FILL).contains(&gap) => {
                (0..gap).for_each(|_| push(0.0));
                *length += gap.unsigned_abs() + 1;
            }
            _ => write_span(buf, spans, span.replace((gap, 1))),
        }
        push(count);
        next = index + 1;
    }
    write_span(buf, spans, span);
    bytes(buf, if float { counts } else { deltas }, &packed);
}
