//! Count, sum, extremes and quantiles of the numbers of one group.

use std::collections::BTreeMap;

/// Up to so many values a group's quantiles are exact; beyond it they come from a sketch.
pub const EXACT_VALUES: usize = 1000;

/// How far a value of the sketch may be from the one that it stands for, relative to it.
pub const SKETCH_ERROR: f64 = 0.005;

/// The quotient of the bounds of neighbouring buckets.
const GAMMA: f64 = (1.0 + SKETCH_ERROR) / (1.0 - SKETCH_ERROR);

/// Added to the exponents of positive numbers, so that the smallest double has a bucket above that of 0:
/// the logarithm of the smallest double to the base [`GAMMA`] is about -74 500.
const OFFSET: i32 = 80_000;

/// What is known of the numbers of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// How many there are.
    pub count: u64,
    /// Events of the group that have no number there.
    pub skipped: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// The quantiles 0.5, 0.95 and 0.99.
    pub quantiles: Option<[f64; 3]>,
    /// Whether the quantiles come from the sketch.
    pub approximate: bool,
}

/// The numbers of one group, as many as there are in bounded memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    count: u64,
    skipped: u64,
    sum: Sum,
    extremes: Option<(f64, f64)>,
    kept: Kept,
}

/// All numbers, or the sketch of them once there is one.
#[derive(Clone, Debug, Default)]
struct Kept {
    all: Vec<f64>,
    sketch: Option<Sketch>,
}

/// How many numbers fell into each bucket: negative ones below 0, 0 in the bucket 0, positive ones above.
/// The width of a bucket is proportional to where it stands (Masson et al., `DDSketch`, 2019).
#[derive(Clone, Debug, Default)]
struct Sketch(BTreeMap<i32, u64>);

/// A sum with the error of its roundings (Neumaier), so that the order of events does not show.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    sum: f64,
    error: f64,
}

// === impl Numbers ===

impl Numbers {
    /// Adds a number, or counts an event that has none. What is not finite is none.
    pub(super) fn add(&mut self, number: Option<f64>) {
        let Some(number) = number.filter(|it| it.is_finite()) else {
            self.skipped += 1;
            return;
        };
        self.count += 1;
        self.sum.add(number);
        let (min, max) = self.extremes.unwrap_or((number, number));
        self.extremes = Some((min.min(number), max.max(number)));
        self.kept.add(number);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.skipped += other.skipped;
        self.sum.add(other.sum.sum);
        self.sum.add(other.sum.error);
        self.extremes = match (self.extremes, other.extremes) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        other.kept.all.into_iter().for_each(|it| self.kept.add(it));
        if let Some(other) = other.kept.sketch {
            let sketch = self.kept.sketch();
            for (bucket, count) in other.0 {
                *sketch.0.entry(bucket).or_default() += count;
            }
        }
    }

    /// Gives memory back: from now on the quantiles come from the sketch.
    pub(super) fn compact(&mut self) {
        self.kept.sketch();
    }

    /// Bytes on the heap, about.
    pub(super) fn size_bytes(&self) -> usize {
        8 * self.kept.all.capacity() + 24 * self.kept.sketch.as_ref().map_or(0, |it| it.0.len())
    }

    pub(super) fn figures(self) -> Figures {
        let Self { count, skipped, sum, extremes, kept: Kept { mut all, sketch } } = self;
        all.sort_unstable_by(f64::total_cmp);
        let at = |rank: u64| match &sketch {
            Some(it) => it.value(rank),
            None => all.get(usize::try_from(rank).ok()?).copied(),
        };
        let quantiles = extremes.map(|(min, max)| {
            let at = |rank| at(rank).unwrap_or(max);
            [0.5, 0.95, 0.99].map(|it| interpolate(it, count, &at).clamp(min, max))
        });
        let (min, max) = (extremes.map(|it| it.0), extremes.map(|it| it.1));
        let (sum, approximate) = (sum.value(), sketch.is_some());
        Figures { count, skipped, sum, min, max, quantiles, approximate }
    }
}

/// The quantile `q` of `count` numbers, between the two that are next to it, as `percentile_cont` of SQL
/// and most tools have it. `at` is the number of a rank, counted from 0.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank is not negative, and below 2^53"
)]
fn interpolate(q: f64, count: u64, at: &dyn Fn(u64) -> f64) -> f64 {
    let place = q * count.saturating_sub(1) as f64;
    let (below, part) = (place.floor(), place.fract());
    let low = at(below as u64);
    if part == 0.0 {
        return low;
    }
    // Not low + part * (high - low), which overflows for the largest numbers of both signs.
    low * (1.0 - part) + at(below as u64 + 1) * part
}

// === impl Kept ===

impl Kept {
    fn add(&mut self, number: f64) {
        if self.sketch.is_none() && self.all.len() < EXACT_VALUES {
            self.all.push(number);
        } else {
            self.sketch().add(number);
        }
    }

    /// The sketch, which is made if there is none.
    fn sketch(&mut self) -> &mut Sketch {
        let all = std::mem::take(&mut self.all);
        self.sketch.get_or_insert_with(|| {
            let mut sketch = Sketch::default();
            all.iter().for_each(|it| sketch.add(*it));
            sketch
        })
    }
}

// === impl Sketch ===

impl Sketch {
    fn add(&mut self, number: f64) {
        *self.0.entry(bucket(number)).or_default() += 1;
    }

    /// The number at a rank, counted from 0.
    fn value(&self, rank: u64) -> Option<f64> {
        let mut before = 0;
        for (bucket, count) in &self.0 {
            before += count;
            if before > rank {
                return Some(middle(*bucket));
            }
        }
        None
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the exponents of all doubles fit")]
fn bucket(number: f64) -> i32 {
    if number == 0.0 {
        return 0;
    }
    let bucket = (number.abs().ln() / GAMMA.ln()).ceil() as i32 + OFFSET;
    if number < 0.0 { -bucket } else { bucket }
}

/// The number that is nearest, relatively, to all numbers of a bucket.
fn middle(bucket: i32) -> f64 {
    if bucket == 0 {
        return 0.0;
    }
    let exponent = f64::from(bucket.abs() - OFFSET);
    let middle = (2.0 / (GAMMA + 1.0) * (exponent * GAMMA.ln()).exp()).min(f64::MAX);
    if bucket < 0 { -middle } else { middle }
}

// === impl Sum ===

impl Sum {
    fn add(&mut self, number: f64) {
        let sum = self.sum + number;
        self.error += if self.sum.abs() >= number.abs() {
            (self.sum - sum) + number
        } else {
            (number - sum) + self.sum
        };
        self.sum = sum;
    }

    fn value(self) -> f64 {
        // Beyond the largest double the error is not a number, and the sum infinite.
        if self.error.is_finite() { self.sum + self.error } else { self.sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(numbers: impl IntoIterator<Item = f64>) -> Numbers {
        let mut res = Numbers::default();
        numbers.into_iter().for_each(|it| res.add(Some(it)));
        res
    }

    /// The numbers next to a percentile, and the definition of it, over all numbers.
    fn exact(numbers: &[f64], percent: usize) -> (f64, f64, f64) {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let place = percent * (sorted.len() - 1);
        let (low, high) = (sorted[place / 100], sorted[place.div_ceil(100)]);
        let part = u32::try_from(place % 100).map(f64::from).unwrap() / 100.0;
        (low, high, low * (1.0 - part) + high * part)
    }

    #[test]
    fn figures_of_a_few() {
        let mut numbers = of([4.0, 1.0, 3.0, 2.0]);
        numbers.add(None);
        numbers.add(Some(f64::INFINITY));
        let res = numbers.figures();
        assert_eq!((res.count, res.skipped, res.sum), (4, 2, 10.0));
        assert_eq!((res.min, res.max, res.approximate), (Some(1.0), Some(4.0), false));
        let [p50, p95, p99] = res.quantiles.unwrap();
        assert_eq!(p50, 2.5);
        assert!((p95 - 3.85).abs() < 1e-12 && (p99 - 3.97).abs() < 1e-12, "{p95} {p99}");

        let nothing = Numbers::default().figures();
        assert_eq!((nothing.count, nothing.min, nothing.quantiles), (0, None, None));
        assert_eq!(of([7.0]).figures().quantiles, Some([7.0; 3]));
    }

    #[test]
    fn exact_up_to_the_bound() {
        let at = of((0..EXACT_VALUES).map(|it| it as f64)).figures();
        assert!(!at.approximate);
        assert_eq!(at.quantiles.unwrap()[0], 499.5);
        assert!(of((0..=EXACT_VALUES).map(|it| it as f64)).figures().approximate);
    }

    #[test]
    fn the_sum_does_not_depend_on_the_order() {
        let mut numbers: Vec<f64> = (0..10_000).map(|it| f64::from(it) / 10.0).collect();
        numbers.push(1e16);
        let forwards = of(numbers.iter().copied()).figures().sum;
        let backwards = of(numbers.iter().rev().copied()).figures().sum;
        let mut parts = of(numbers[..5000].iter().copied());
        parts.merge(of(numbers[5000..].iter().copied()));
        assert_eq!((forwards, parts.figures().sum), (backwards, backwards));
        assert_eq!(forwards, 1e16 + 4_999_500.0);
        assert_eq!(of([f64::MAX, f64::MAX]).figures().sum, f64::INFINITY);
    }

    #[test]
    fn the_sketch_has_a_bucket_for_every_double() {
        for number in [f64::MIN_POSITIVE, 5e-324, 1.0, f64::MAX, 1e-300, 123.456] {
            for number in [number, -number] {
                let found = middle(bucket(number));
                let error = ((found - number) / number).abs();
                // The smallest doubles have too few digits to be told apart better.
                let allowed =
                    if number.abs() < f64::MIN_POSITIVE { 1.0 } else { SKETCH_ERROR * 1.001 };
                assert!(error <= allowed, "{number}: {found}");
                assert_eq!(bucket(number) < 0, number < 0.0);
            }
        }
        assert_eq!(middle(bucket(0.0)), 0.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_sketch_errs_by_no_more_than_it_says(
            numbers in proptest::collection::vec(
                prop_oneof![-1e6..1e6f64, 1e-9..1e-3f64, Just(0.0)], 1001..3000,
            ),
            split in 0..1000usize,
        ) {
            let mut whole = of(numbers[..split].iter().copied());
            whole.merge(of(numbers[split..].iter().copied()));
            let res = whole.figures();
            prop_assert!(res.approximate);
            for (percent, found) in [50, 95, 99].into_iter().zip(res.quantiles.unwrap()) {
                let (low, high, right) = exact(&numbers, percent);
                // Between two numbers of different size the error is that of the larger one.
                let allowed = SKETCH_ERROR * 1.001 * low.abs().max(high.abs());
                prop_assert!((found - right).abs() <= allowed, "{percent}: {found} for {right}");
            }
        }
    }
}
