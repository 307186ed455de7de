//! Pushes that add up.

use super::*;
use proptest::prelude::*;

fn adding(op: Op, gauges: Blend) -> Terms {
    Terms { mode: Mode::Sum(gauges), ..op.into() }
}

impl World {
    fn sum(&mut self, path: &str, body: &str) -> Result<(), String> {
        self.push(adding(Op::Post, Blend::Last), path, body)
    }
}

const EVERY_TYPE: &str = "# TYPE c counter\nc{x=\"1\"} 2\n# TYPE g gauge\ng 7\n# TYPE s summary\n\
    s{quantile=\"0.5\"} 1\ns_sum 3\ns_count 2\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\n\
    h_bucket{le=\"+Inf\"} 2\nh_sum 5\nh_count 2\nu 4\n";

#[test]
fn every_type_adds_up() {
    let mut world = World::new();
    for _ in 0..3 {
        world.sum("job/j", EVERY_TYPE).unwrap();
    }
    let labels = "instance=\"\",job=\"j\"";
    let expected = [
        format!("c{{{labels},x=\"1\"}} 6"),
        format!("g{{{labels}}} 7"),
        format!("h_bucket{{{labels},le=\"1\"}} 3"),
        format!("h_bucket{{{labels},le=\"+Inf\"}} 6"),
        format!("h_sum{{{labels}}} 15"),
        format!("h_count{{{labels}}} 6"),
        format!("s_sum{{{labels}}} 9"),
        format!("s_count{{{labels}}} 6"),
        format!("u{{{labels}}} 4"),
    ];
    assert_eq!(world.samples(), expected);
    assert_valid(&world.groups.view());
    world.reload();
    assert_eq!(world.samples(), expected);
}

#[test]
fn a_quantile_is_left_out_of_the_first_push_too() {
    let mut world = World::new();
    world.sum("job/j", EVERY_TYPE).unwrap();
    assert!(!world.page().contains("quantile="));
}

#[test]
fn what_is_not_pushed_stays_whatever_the_method() {
    let mut world = World::new();
    world
        .sum("job/j", "# TYPE a counter\na{x=\"1\"} 1\na{x=\"2\"} 1\n# TYPE b counter\nb 1\n")
        .unwrap();
    let put = adding(Op::Put, Blend::Last);
    world.push(put, "job/j", "# TYPE a counter\na{x=\"2\"} 1\na{x=\"3\"} 5\n").unwrap();
    let value = |it: &str| world.value(&format!("a{{instance=\"\",job=\"j\",x=\"{it}\"}} "));
    assert_eq!(["1", "2", "3"].map(value), [Some(1.0), Some(2.0), Some(5.0)]);
    assert_eq!(world.value("b"), Some(1.0));
    // Without the mode a PUT is a PUT.
    world.put("job/j", "# TYPE a counter\na{x=\"2\"} 1\n").unwrap();
    assert_eq!(world.samples(), ["a{instance=\"\",job=\"j\",x=\"2\"} 1"]);
}

#[test]
fn an_empty_label_is_no_other_series() {
    let mut world = World::new();
    world.sum("job/j", "# TYPE a counter\na{x=\"\"} 1\na{y=\"1\"} 1\n").unwrap();
    world.sum("job/j", "# TYPE a counter\na{y=\"1\",x=\"\"} 2\na 3\n").unwrap();
    assert_eq!(
        world.samples(),
        ["a{instance=\"\",job=\"j\",x=\"\"} 4", "a{instance=\"\",job=\"j\",y=\"1\"} 3"]
    );
    assert_eq!(world.groups.view().series(), 3);
    assert_valid(&world.groups.view());
}

#[test]
fn gauges_do_what_is_asked() {
    for (gauges, expected) in
        [(Blend::Last, 2.0), (Blend::Sum, 11.0), (Blend::Min, 2.0), (Blend::Max, 5.0)]
    {
        let mut world = World::new();
        for value in [4, 5, 2] {
            let body = format!("# TYPE g gauge\ng {value}\n# TYPE c counter\nc {value}\n");
            world.push(adding(Op::Put, gauges), "job/j", &body).unwrap();
        }
        assert_eq!((world.value("g"), world.value("c")), (Some(expected), Some(11.0)));
    }
}

#[test]
fn what_does_not_add_up_is_refused_and_changes_nothing() {
    let mut world = World::new();
    world.sum("job/j", "# TYPE c counter\nc 1\n# TYPE g gauge\ng NaN\n").unwrap();
    let before = world.samples();
    let mut check = |gauges: Blend, body: &str, words: &str| {
        let error = world.push(adding(Op::Post, gauges), "job/j", body).unwrap_err();
        assert!(error.contains(words), "{error}");
        assert_eq!(world.samples(), before);
    };
    let last = Blend::Last;
    check(last, "# TYPE c counter\nc NaN\n", "cannot be added up: it is NaN");
    check(last, "# TYPE c counter\nc -1\n", "cannot be added up: a counter cannot go down by 1");
    check(last, "# TYPE c gauge\nc 1\n", "is not a COUNTER, as the group has it");
    check(
        last,
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"2\"} 1\nh_count 3\nh_sum 1\n",
        "not cumulative",
    );
    check(
        Blend::Sum,
        "# TYPE g gauge\ng 1\n",
        "what is stored does not add up, it is NaN: replace it first",
    );
    // Half of it is fine, and is not taken either.
    check(last, "# TYPE a counter\na 1\n# TYPE c counter\nc NaN\n", "it is NaN");
    assert!(!world.groups.view().groups()[0].last_push_successful());
}

#[test]
fn the_beginning_is_the_earliest_and_the_exemplar_the_latest() {
    let mut world = World::new();
    let grouping = push::grouping("/metrics/job/j", push::Options::default()).unwrap();
    for (created, trace, value) in [(20, "a", 1), (10, "b", 2)] {
        let body = format!(
            "# TYPE c counter\nc_total {value} # {{trace_id=\"{trace}\"}} 1\nc_created {created}\n# EOF\n"
        );
        let families = push::families(
            body.as_bytes(),
            Some("application/openmetrics-text"),
            false,
            &push::Limits::default(),
        );
        world.apply(adding(Op::Post, Blend::Last), &grouping, families.unwrap()).unwrap();
    }
    world.sum("job/j", "# TYPE c_total counter\nc_total 4\n").unwrap();
    let groups = world.groups.view().groups();
    let sample = groups[0].families().next().unwrap().samples().next().unwrap();
    assert_eq!(sample.value, push::Value::Number(7.0));
    assert_eq!(sample.created_ms, Some(10_000));
    assert_eq!(sample.exemplar.unwrap().labels, [("trace_id".to_owned(), "b".to_owned())]);
}

#[test]
fn a_sum_that_could_not_be_stored_is_taken_back() {
    let mut world = World::new();
    world.sum("job/j", "# TYPE c counter\nc 1\n").unwrap();
    let grouping = push::grouping("/metrics/job/j", push::Options::default()).unwrap();
    let body = b"# TYPE c counter\nc 1\n";
    let families = push::families(body, None, false, &push::Limits::default()).unwrap();
    let push = world.groups.view().prepare(adding(Op::Post, Blend::Last), &grouping, families);
    let undo = world.groups.apply(push, Time::from_millis(5)).undo;
    assert_eq!(world.value("c"), Some(2.0));
    world.groups.undo(undo);
    assert_eq!(world.value("c"), Some(1.0));
}

/// Group, counter by series, and whether the server restarts after it.
type Step = (usize, Vec<(usize, u16)>, bool);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Random pushes come to what adding their numbers comes to.
    #[test]
    fn random_pushes_add_up(steps in prop::collection::vec(
        (0..3_usize, prop::collection::vec((0..5_usize, any::<u16>()), 1..6), prop::bool::weighted(0.1)),
        1..40,
    )) {
        let mut world = World::new();
        let mut model = std::collections::BTreeMap::<(usize, usize), (u64, u16, u64)>::new();
        for (group, series, restart) in &steps as &Vec<Step> {
            let series: std::collections::BTreeMap<usize, u16> = series.iter().copied().collect();
            let mut body = String::from("# TYPE c counter\n");
            for (at, value) in &series {
                body += &format!("c{{s=\"{at}\"}} {value}\n");
            }
            body += "# TYPE g gauge\n";
            for (at, value) in &series {
                body += &format!("g{{s=\"{at}\"}} {value}\n");
            }
            body += "# TYPE h histogram\n";
            for (at, value) in &series {
                body += &format!("h_bucket{{s=\"{at}\",le=\"{value}\"}} 1\nh_sum{{s=\"{at}\"}} {value}\nh_count{{s=\"{at}\"}} 1\n");
                let (sum, max, n) = model.entry((*group, *at)).or_default();
                *sum += u64::from(*value);
                *max = (*max).max(*value);
                *n += 1;
            }
            world.push(adding(Op::Put, Blend::Max), &format!("job/{group}"), &body).unwrap();
            if *restart {
                world.reload();
            }
        }
        let page = world.page();
        let lines: std::collections::HashSet<&str> = page.lines().collect();
        for ((group, at), (sum, max, n)) in &model {
            let labels = format!("{{instance=\"\",job=\"{group}\",s=\"{at}\"}}");
            for line in [
                format!("g{labels} {max}"),
                format!("h_count{labels} {n}"),
            ] {
                prop_assert!(lines.contains(line.as_str()), "{line} is not in {page}");
            }
            let all = ["c", "h_sum"].map(|it| world.value(&format!("{it}{labels} ")));
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let sum = Some(*sum as f64);
            prop_assert_eq!(all, [sum, sum]);
        }
        assert_valid(&world.groups.view());
    }
}
