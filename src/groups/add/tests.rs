use super::*;
use crate::push::{Bucket, Histogram, Native};
use proptest::prelude::*;

fn histogram(buckets: &[(f64, f64)], count: f64) -> Histogram {
    let bucket = |(bound, cumulative): &(f64, f64)| Bucket {
        bound: *bound,
        cumulative: *cumulative,
        exemplar: None,
    };
    Histogram {
        count,
        sum: count,
        buckets: buckets.iter().map(bucket).collect(),
        ..Histogram::default()
    }
}

fn shown(it: &Histogram) -> Vec<(f64, f64)> {
    it.buckets.iter().map(|it| (it.bound, it.cumulative)).collect()
}

const INF: f64 = f64::INFINITY;

#[test]
fn unequal_buckets_never_go_down() {
    let check = |a: (&[(f64, f64)], f64), b: (&[(f64, f64)], f64), expected: &[(f64, f64)]| {
        let (a, b) = (histogram(a.0, a.1), histogram(b.0, b.1));
        for (a, b) in [(a.clone(), b.clone()), (b, a)] {
            let res = histogram::sum(a, b).unwrap();
            assert_eq!(shown(&res), expected);
            histogram::check(&res).unwrap();
        }
    };
    let same = [(1.0, 1.0), (INF, 2.0)];
    check((&same, 2.0), (&same, 2.0), &[(1.0, 2.0), (INF, 4.0)]);
    let (a, b) = ([(1.0, 3.0), (INF, 5.0)], [(2.0, 1.0), (INF, 1.0)]);
    check((&a, 5.0), (&b, 1.0), &[(1.0, 3.0), (2.0, 4.0), (INF, 6.0)]);
    // Infinity is the count, whether it was sent or not.
    check((&a, 5.0), (&[(1.0, 1.0)], 7.0), &[(1.0, 4.0), (INF, 12.0)]);
    check((&a, 5.0), (&[], 7.0), &[(1.0, 3.0), (INF, 12.0)]);
    check((&[], 5.0), (&[], 7.0), &[]);
}

#[test]
fn what_no_histogram_says_is_refused() {
    let check = |buckets: &[(f64, f64)], count: f64, expected: &str| {
        let mut it = histogram(buckets, count);
        histogram::sort(&mut it);
        assert_eq!(histogram::check(&it).unwrap_err(), expected);
    };
    check(&[(1.0, 2.0), (2.0, 1.0)], 2.0, "its buckets are not cumulative: le=\"2\" has 1 after 2");
    check(&[(1.0, 2.0), (1.0, 1.0)], 2.0, "the bucket le=\"1\" is there twice");
    check(&[(INF, 2.0)], 3.0, "its last bucket has 2, its count is 3");
    check(&[(1.0, 4.0)], 3.0, "its last bucket has 4, its count is 3");
    check(&[(f64::NAN, 1.0)], 3.0, "the bound of a bucket is NaN");
    check(&[(1.0, f64::NAN)], 3.0, "the bucket le=\"1\" is NaN");
    check(&[], -1.0, "its count is negative");
    check(&[], INF, "its sum is infinite");
    let many: Vec<(f64, f64)> = (0..600).map(|it| (f64::from(it), 0.0)).collect();
    let more: Vec<(f64, f64)> = many.iter().map(|it| (it.0 + 0.5, 0.0)).collect();
    let error = histogram::sum(histogram(&many, 1.0), histogram(&more, 1.0)).unwrap_err();
    assert_eq!(error, "it would have more than 1000 buckets");
}

#[track_caller]
fn check_number(kind: Kind, gauges: Blend, old: f64, new: f64, expected: Result<f64, &str>) {
    let how = how(kind, gauges);
    let both = [old, new].map(|it| check(kind, how, &Value::Number(it)));
    let res = both.into_iter().collect::<Result<Vec<()>, _>>();
    let res = res.and_then(|_| values(how, Value::Number(old), Value::Number(new)));
    let expected = expected.map(Value::Number).map_err(str::to_owned);
    assert_eq!(res, expected, "{old} and {new}");
}

#[test]
fn numbers() {
    let counter = |old, new, expected| {
        for gauges in [Blend::Last, Blend::Min] {
            check_number(Kind::Counter, gauges, old, new, expected);
        }
    };
    counter(1.5, 2.0, Ok(3.5));
    counter(1.0, f64::NAN, Err("it is NaN"));
    // A stale marker of Prometheus is a NaN as well.
    counter(1.0, f64::from_bits(0x7ff0_0000_0000_0002), Err("it is NaN"));
    counter(1.0, INF, Err("it is infinite"));
    counter(1.0, -1.0, Err("a counter cannot go down by 1"));
    counter(f64::MAX, f64::MAX, Err("the sum is infinite"));
    for kind in [Kind::Gauge, Kind::Untyped] {
        check_number(kind, Blend::Last, 3.0, 2.0, Ok(2.0));
        check_number(kind, Blend::Sum, 3.0, -2.0, Ok(1.0));
        check_number(kind, Blend::Min, 3.0, 2.0, Ok(2.0));
        check_number(kind, Blend::Max, 3.0, 2.0, Ok(3.0));
        check_number(kind, Blend::Max, 3.0, INF, Ok(INF));
        check_number(kind, Blend::Last, f64::NAN, 2.0, Ok(2.0));
        check_number(kind, Blend::Sum, INF, 2.0, Err("it is infinite"));
        check_number(kind, Blend::Min, 1.0, f64::NAN, Err("it is NaN"));
    }
}

fn native(schema: i32, zero: (f64, f64), positive: &[(i32, f64)]) -> Native {
    Native {
        schema,
        zero_threshold: zero.0,
        zero_count: zero.1,
        positive: positive.to_vec(),
        negative: positive.to_vec(),
    }
}

#[test]
fn native_buckets_add_up_as_in_prometheus() {
    let check = |a: Native, b: Native, expected: Native| {
        assert_eq!(native::sum(&a, &b).unwrap(), expected);
        assert_eq!(native::sum(&b, &a).unwrap(), expected);
    };
    let zero = (0.0, 1.0);
    check(
        native(0, zero, &[(1, 2.0), (3, 1.0)]),
        native(0, zero, &[(1, 5.0), (2, 1.0)]),
        native(0, (0.0, 2.0), &[(1, 7.0), (2, 1.0), (3, 1.0)]),
    );
    // Schema 1 has two buckets for one of schema 0: (1, √2], (√2, 2] is (1, 2].
    check(
        native(1, zero, &[(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0)]),
        native(0, zero, &[(1, 16.0)]),
        native(0, (0.0, 2.0), &[(0, 1.0), (1, 22.0), (2, 8.0)]),
    );
    // The wider zero bucket takes what is below it, on both sides, and whole buckets only: (2, 4] is cut by 3.
    check(
        native(0, (0.5, 1.0), &[(0, 1.0), (2, 2.0), (5, 4.0)]),
        native(0, (3.0, 1.0), &[(5, 1.0)]),
        native(0, (4.0, 8.0), &[(5, 5.0)]),
    );
    // An empty bucket does not widen it.
    check(
        native(0, (0.5, 1.0), &[(2, 0.0)]),
        native(0, (3.0, 1.0), &[]),
        native(0, (3.0, 2.0), &[]),
    );
    assert!(native::check(&native(-53, zero, &[])).is_err());
    assert!(native::check(&native(0, zero, &[(1, -1.0)])).is_err());
    assert!(native::check(&native(0, (f64::NAN, 1.0), &[])).is_err());
}

#[test]
fn too_many_native_buckets_get_coarser() {
    let side = |step: i32| (0..1000).map(|it| (it * 2 + step, 1.0)).collect::<Vec<_>>();
    let (a, b) = (native(8, (0.0, 0.0), &side(1)), native(8, (0.0, 0.0), &side(2)));
    let res = native::sum(&a, &b).unwrap();
    assert_eq!((res.schema, res.positive.len()), (7, 1000));
    assert_eq!(res.positive.iter().map(|it| it.1).sum::<f64>(), 2000.0);
    let wild: Vec<(i32, f64)> = (0..1001).map(|it| (it * 1_000_000, 1.0)).collect();
    let wild = native(8, (0.0, 0.0), &wild);
    assert_eq!(
        native::sum(&wild, &wild).unwrap_err(),
        "it would have more than 1000 native buckets"
    );
}

#[test]
fn native_and_classic_do_not_mix() {
    let classic = histogram(&[(1.0, 1.0)], 1.0);
    let both = Histogram { native: Some(native(0, (0.0, 1.0), &[])), ..classic.clone() };
    assert!(histogram::sum(classic.clone(), both.clone()).is_err());
    assert!(histogram::sum(both.clone(), classic).is_err());
    let sum = histogram::sum(both.clone(), both).unwrap();
    assert_eq!((shown(&sum), sum.native.unwrap().zero_count), (vec![(1.0, 2.0)], 2.0));
}

/// Observations under the bounds of some sender, as it would send them.
fn observed(bounds: &[u8], values: &[u8]) -> Histogram {
    let below = |bound: f64| {
        #[expect(clippy::cast_precision_loss, reason = "few")]
        let n = values.iter().filter(|it| f64::from(**it) <= bound).count() as f64;
        (bound, n)
    };
    let mut buckets: Vec<_> = bounds.iter().map(|it| below(f64::from(*it))).collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets.dedup();
    buckets.push(below(INF));
    let (_, count) = below(INF);
    let sum = values.iter().map(|it| f64::from(*it)).sum();
    Histogram { sum, ..histogram(&buckets, count) }
}

proptest! {
    /// Whatever the bounds, and in whatever order: a bucket of the sum has, of every sender, what the sender's
    /// own next lower bucket has.
    #[test]
    fn histograms_of_any_bounds_add_up(
        sent in prop::collection::vec((
            prop::collection::vec(any::<u8>(), 0..6),
            prop::collection::vec(any::<u8>(), 0..20),
        ), 1..8),
    ) {
        let all: Vec<_> = sent.iter().map(|(bounds, values)| observed(bounds, values)).collect();
        let add = |acc: Histogram, it: &Histogram| {
            let res = histogram::sum(acc, it.clone()).unwrap();
            histogram::check(&res).unwrap();
            res
        };
        let sum = all[1..].iter().fold(all[0].clone(), add);
        let (last, rest) = all.split_last().unwrap();
        prop_assert_eq!(&rest.iter().rev().fold(last.clone(), add), &sum);
        let mut bounds: Vec<f64> = all.iter().flat_map(shown).map(|it| it.0).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let below = |it: &Histogram, bound: f64| {
            shown(it).into_iter().rfind(|it| it.0 <= bound).map_or(0.0, |it| it.1)
        };
        let of_all = |bound: &f64| (*bound, all.iter().map(|it| below(it, *bound)).sum::<f64>());
        prop_assert_eq!(shown(&sum), bounds.iter().map(of_all).collect::<Vec<_>>());
        prop_assert_eq!(sum.sum, all.iter().map(|it| it.sum).sum::<f64>());
    }
}
