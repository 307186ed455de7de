//! Histograms that add up.
//!
//! Two that have not the same classic buckets come to one that has the bounds of both. Where one of them has no
//! bound, it counts what it is known to have below: its own next lower bucket. So every bucket counts nothing that
//! is above it, the buckets never go down, and the order in which histograms are added does not matter.

use super::native;
use super::{finite, sum as add};
use crate::push::{Bucket, Histogram};

/// Classic buckets that a sum may have: senders whose bounds never agree must not fill the memory.
const MAX_BUCKETS: usize = 1000;

/// Puts the classic buckets in order. A bucket that was sent twice with the same count stays once.
pub(super) fn sort(it: &mut Histogram) {
    it.buckets.sort_by(|a, b| a.bound.total_cmp(&b.bound));
    it.buckets.dedup_by(|a, b| a.bound == b.bound && a.cumulative == b.cumulative);
}

/// Whether a histogram, sorted, says what a histogram can say.
///
/// # Errors
///
/// What is wrong.
pub(super) fn check(it: &Histogram) -> Result<(), String> {
    finite("its sum", it.sum)?;
    if finite("its count", it.count)? < 0.0 {
        return Err("its count is negative".to_owned());
    }
    let (mut last, mut below) = (None, 0.0);
    for Bucket { bound, cumulative, .. } in &it.buckets {
        if bound.is_nan() {
            return Err("the bound of a bucket is NaN".to_owned());
        }
        if last.is_some_and(|last| last >= *bound) {
            return Err(format!("the bucket le=\"{bound}\" is there twice"));
        }
        let counts = finite(&format!("the bucket le=\"{bound}\""), *cumulative)?;
        if counts < below {
            return Err(format!(
                "its buckets are not cumulative: le=\"{bound}\" has {counts} after {below}"
            ));
        }
        (last, below) = (Some(*bound), counts);
    }
    let wrong = if last == Some(f64::INFINITY) { below != it.count } else { below > it.count };
    if wrong {
        return Err(format!("its last bucket has {below}, its count is {}", it.count));
    }
    it.native.as_ref().map_or(Ok(()), native::check)
}

/// What two histograms, both checked, come to.
///
/// # Errors
///
/// Only one has native buckets, there would be too many buckets, or a count or the sum would not be finite.
pub(super) fn sum(a: Histogram, b: Histogram) -> Result<Histogram, String> {
    let native = match (a.native.as_ref(), b.native.as_ref()) {
        (None, None) => None,
        (Some(a), Some(b)) => Some(native::sum(a, b)?),
        (Some(_), None) => {
            return Err("it has no native buckets, and what is stored has".to_owned());
        }
        (None, Some(_)) => {
            return Err("it has native buckets, and what is stored has none".to_owned());
        }
    };
    let counts = (a.count, b.count);
    Ok(Histogram {
        count: add("its count", a.count, b.count)?,
        sum: add("its sum", a.sum, b.sum)?,
        float: a.float || b.float,
        buckets: buckets(a.buckets, b.buckets, counts)?,
        native,
        exemplars: if b.exemplars.is_empty() { a.exemplars } else { b.exemplars },
    })
}

/// The buckets of both; `counts` is what the two have below infinity.
fn buckets(a: Vec<Bucket>, b: Vec<Bucket>, counts: (f64, f64)) -> Result<Vec<Bucket>, String> {
    let mut res: Vec<Bucket> = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    let (mut of_a, mut of_b) = (0.0, 0.0);
    loop {
        let bound = match (a.peek(), b.peek()) {
            (None, None) => return Ok(res),
            (Some(it), None) | (None, Some(it)) => it.bound,
            (Some(a), Some(b)) => a.bound.min(b.bound),
        };
        if res.len() == MAX_BUCKETS {
            return Err(format!("it would have more than {MAX_BUCKETS} buckets"));
        }
        let (old, new) = (a.next_if(|it| it.bound == bound), b.next_if(|it| it.bound == bound));
        of_a = old.as_ref().map_or(of_a, |it| it.cumulative);
        of_b = new.as_ref().map_or(of_b, |it| it.cumulative);
        if bound == f64::INFINITY {
            (of_a, of_b) = counts;
        }
        let cumulative = add("a bucket", of_a, of_b)?;
        let exemplar = new.and_then(|it| it.exemplar).or(old.and_then(|it| it.exemplar));
        res.push(Bucket { bound, cumulative, exemplar });
    }
}
