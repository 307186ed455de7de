//! Whatever is stored, the page is valid.

use super::*;
use crate::exposition::{Escaping, FormatKind};

fn unchecked() -> World {
    World::with(Config { check: false, ..Config::default() })
}

#[test]
fn without_a_check_the_older_type_stays() {
    let mut world = unchecked();
    world.put("job/b", "m 1\n").unwrap();
    world.put("job/a", "# TYPE m gauge\nm 1\nm{x=\"1\"} 1\n").unwrap();
    world.put("job/b", "m 2\n").unwrap();
    for _ in 0..2 {
        assert_eq!(world.samples(), ["m{instance=\"\",job=\"b\"} 2"]);
        assert_eq!(dropped(&world.groups.view(), "type"), 2);
        assert_valid(&world.groups.view());
        world.reload();
    }
    world.push(Op::Delete, "job/b", "").unwrap();
    assert_eq!(world.samples().len(), 2);
    assert_eq!(dropped(&world.groups.view(), "type"), 0);
}

#[test]
fn without_a_check_the_older_series_stays() {
    let mut world = unchecked();
    world.put("job/j/x/1", "m 1\n").unwrap();
    world.put("job/j", "m{x=\"1\"} 2\nm{x=\"2\"} 2\n").unwrap();
    world.put("job/j/e@base64/=", "m 3\n").unwrap();
    for _ in 0..2 {
        let expected = [
            "m{instance=\"\",job=\"j\",x=\"1\"} 1",
            "m{instance=\"\",job=\"j\",x=\"2\"} 2",
            "m{e=\"\",instance=\"\",job=\"j\"} 3",
        ];
        assert_eq!(world.samples(), expected);
        // One of the series, and both times of the group that differs in an empty label.
        assert_eq!(dropped(&world.groups.view(), "duplicate"), 3);
        assert_valid(&world.groups.view());
        world.reload();
    }
}

#[test]
fn without_a_check_the_older_name_stays() {
    let mut world = unchecked();
    let histogram = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n";
    world.put("job/a", "h_sum 5\n").unwrap();
    world.put("job/b", histogram).unwrap();
    assert_eq!(world.samples(), ["h_sum{instance=\"\",job=\"a\"} 5"]);
    assert_eq!(dropped(&world.groups.view(), "name"), 1);
    world.push(Op::Delete, "job/a", "").unwrap();
    world.put("job/a", "h_sum 5\n").unwrap();
    assert_eq!(world.samples().len(), 3);
    assert_valid(&world.groups.view());
}

#[test]
fn what_the_rules_took_since_is_left_out() {
    let mut world = World::new();
    world.put("job/j", "# TYPE a gauge\na 1\n").unwrap();
    world.put("job/j/x/1", "b{r=\"1\"} 1\nb{r=\"2\",s=\"\"} 2\nb{q=\"1\"} 3\n").unwrap();
    world.put("job/k", "c_count 1\n").unwrap();
    let labels = ["job", "x", "r"].map(str::to_owned);
    let taken = [
        Taken { name: "a", kind: Kind::Counter, labels: &labels },
        Taken { name: "b", kind: Kind::Untyped, labels: &labels },
        Taken { name: "c", kind: Kind::Histogram, labels: &labels },
    ];
    let view = world.groups.view();
    let page = page(&view, &taken, negotiate(None));
    assert_eq!(samples(&page), ["b{instance=\"\",job=\"j\",q=\"1\",x=\"1\"} 3"]);
    for (reason, n) in [("type", 1), ("rule", 2), ("name", 1)] {
        assert_eq!(dropped(&view, reason), n, "{reason}");
    }
}

#[test]
fn names_that_fall_together_when_escaped_are_shown_once() {
    let mut world = World::new();
    world.put("job/a", "{\"a.b\"} 1\n{\"a-b\"} 2\n").unwrap();
    world.put("job/b", "m{\"x.y\"=\"1\"} 1\nm{\"x-y\"=\"1\"} 2\n").unwrap();
    let view = world.groups.view();
    let underscores = samples(&page(&view, &[], Format::TEXT));
    assert_eq!(underscores.len(), 2, "{underscores:?}");
    assert_eq!(dropped(&view, "escaping"), 1);
    assert_eq!(dropped(&view, "duplicate"), 1);
    let utf8 = Format { kind: FormatKind::Text100, escaping: Escaping::AllowUtf8 };
    assert_eq!(samples(&page(&view, &[], utf8)).len() + 2, 4 + 2);
    world.put("job/c", "a_b 7\n").unwrap();
    assert_eq!(world.samples()[0], "a_b{instance=\"\",job=\"c\"} 7");
    assert_valid(&view);
}

#[test]
fn open_metrics_stays_strict() {
    let mut world = World::new();
    let body = "# TYPE a_total counter\na_total 1\n# TYPE a gauge\na 2\n\
        # TYPE b_total counter\nb_total -1\n# TYPE c counter\nc 1\n\
        # TYPE d_total counter\nd_total 5\n";
    world.put("job/j", body).unwrap();
    let format = negotiate(Some("application/openmetrics-text;version=1.0.0"));
    let page = page(&world.groups.view(), &[], format);
    for expected in [
        "# TYPE a gauge\n",
        "# TYPE a_total unknown\n",
        "# TYPE b_total unknown\n",
        "# TYPE c unknown\n",
        "# TYPE d counter\nd_total{",
    ] {
        assert!(page.contains(expected), "{expected} in {page}");
    }
    assert_valid(&world.groups.view());
}

#[test]
fn a_senseless_histogram_is_shown_as_it_came() {
    let mut world = World::new();
    let body = "# TYPE h histogram\nh_bucket{le=\"2\"} 1\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"1\"} 4\nh_count 2.5\nh_sum 3\n";
    world.put("job/j", body).unwrap();
    let expected = [
        "h_bucket{instance=\"\",job=\"j\",le=\"1\"} 3",
        "h_bucket{instance=\"\",job=\"j\",le=\"2\"} 1",
        "h_bucket{instance=\"\",job=\"j\",le=\"+Inf\"} 2.5",
        "h_sum{instance=\"\",job=\"j\"} 3",
        "h_count{instance=\"\",job=\"j\"} 2.5",
    ];
    assert_eq!(world.samples(), expected);
}
