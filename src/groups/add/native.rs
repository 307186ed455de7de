//! Native histograms that add up, as Prometheus adds them (`model/histogram/float_histogram.go`, `Add`): the zero
//! bucket of the sum is the wider one, and the resolution the coarser one.

use super::{finite, sum as add};
use crate::push::Native;
use std::collections::BTreeMap;

/// Schemas of exponential buckets: bucket `i` ends at `2^(i * 2^-schema)`.
const MIN_SCHEMA: i32 = -4;
const MAX_SCHEMA: i32 = 8;

/// Populated buckets that a sum may have on one side; with more it gets coarser. Client libraries keep to 160.
const MAX_BUCKETS: usize = 1000;

/// Whether native buckets say what such buckets can say.
///
/// # Errors
///
/// What is wrong.
pub(super) fn check(it: &Native) -> Result<(), String> {
    if !(MIN_SCHEMA..=MAX_SCHEMA).contains(&it.schema) {
        return Err(format!(
            "the schema {} of its native buckets is not one of {MIN_SCHEMA} to {MAX_SCHEMA}",
            it.schema
        ));
    }
    if finite("its zero threshold", it.zero_threshold)? < 0.0 {
        return Err("its zero threshold is negative".to_owned());
    }
    let counts = [&it.positive, &it.negative].into_iter().flatten().map(|it| it.1);
    for count in counts.chain([it.zero_count]) {
        if finite("a native bucket", count)? < 0.0 {
            return Err("a native bucket is negative".to_owned());
        }
    }
    Ok(())
}

/// What two histograms, both checked, come to.
///
/// # Errors
///
/// A count would not be finite, or there are too many buckets at the coarsest resolution.
pub(super) fn sum(a: &Native, b: &Native) -> Result<Native, String> {
    let zero_threshold = threshold(a, b);
    let mut zero_count = add("the zero bucket", a.zero_count, b.zero_count)?;
    let mut schema = a.schema.min(b.schema);
    loop {
        let mut sides = [BTreeMap::new(), BTreeMap::new()];
        let mut zero = 0.0;
        for it in [a, b] {
            let widened = it.zero_threshold < zero_threshold;
            for (side, buckets) in sides.iter_mut().zip([&it.positive, &it.negative]) {
                for (index, count) in buckets.iter().filter(|(_, count)| *count > 0.0) {
                    if widened && ends(it.schema, *index).0 < zero_threshold {
                        zero += count;
                    } else {
                        *side.entry(coarser(*index, it.schema - schema)).or_insert(0.0) += count;
                    }
                }
            }
        }
        if sides.iter().any(|it| it.len() > MAX_BUCKETS) {
            if schema == MIN_SCHEMA {
                return Err(format!("it would have more than {MAX_BUCKETS} native buckets"));
            }
            schema -= 1;
            continue;
        }
        for count in sides.iter().flat_map(BTreeMap::values) {
            finite("a native bucket", *count)?;
        }
        zero_count = add("the zero bucket", zero_count, zero)?;
        let [positive, negative] = sides.map(|it| it.into_iter().collect());
        return Ok(Native { schema, zero_threshold, zero_count, positive, negative });
    }
}

/// The width of the zero bucket: the larger one, and wide enough to cut no bucket in two.
fn threshold(a: &Native, b: &Native) -> f64 {
    let mut res = a.zero_threshold.max(b.zero_threshold);
    loop {
        let mut next = res;
        for it in [a, b].into_iter().filter(|it| it.zero_threshold < res) {
            for (index, _) in it.positive.iter().chain(&it.negative).filter(|it| it.1 > 0.0) {
                let (lower, upper) = ends(it.schema, *index);
                if lower < res {
                    next = next.max(upper);
                }
            }
        }
        if next <= res {
            return res;
        }
        res = next;
    }
}

/// The ends of the bucket `index` of positive values.
fn ends(schema: i32, index: i32) -> (f64, f64) {
    let bound = |index: i32| (f64::from(index) * f64::from(-schema).exp2()).exp2();
    (bound(index.saturating_sub(1)), bound(index))
}

/// The bucket that holds the bucket `index` at a resolution that is `steps` coarser.
fn coarser(index: i32, steps: i32) -> i32 {
    (index.saturating_sub(1) >> steps).saturating_add(1)
}
