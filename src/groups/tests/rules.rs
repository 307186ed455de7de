//! What a push does, and when it is rejected.

use super::*;

const PREFIX: &str = "pushed metrics are invalid or inconsistent with existing metrics: ";

#[track_caller]
fn assert_rejected(result: Result<(), String>, expected: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.strip_prefix(PREFIX), Some(expected));
}

#[test]
fn put_replaces_the_group_and_post_the_families_of_the_same_names() {
    let mut world = World::new();
    world.put("job/j", "a{x=\"1\"} 1\na{x=\"2\"} 2\nb 1\n").unwrap();
    world.post("job/j", "a{x=\"3\"} 3\n").unwrap();
    let expected = ["a{instance=\"\",job=\"j\",x=\"3\"} 3", "b{instance=\"\",job=\"j\"} 1"];
    assert_eq!(world.samples(), expected);
    world.put("job/j", "c 3\n").unwrap();
    assert_eq!(world.samples(), ["c{instance=\"\",job=\"j\"} 3"]);
    world.post("job/j", "").unwrap();
    assert_eq!(world.samples(), ["c{instance=\"\",job=\"j\"} 3"]);
    world.put("job/j", "").unwrap();
    assert!(world.samples().is_empty());
    assert_eq!(world.groups.view().len(), 1);
}

#[test]
fn delete_removes_that_group_and_no_other() {
    let mut world = World::new();
    world.put("job/j", "a 1\n").unwrap();
    world.put("job/j/instance/i", "a 2\n").unwrap();
    world.push(Op::Delete, "job/j", "").unwrap();
    world.push(Op::Delete, "job/j", "").unwrap();
    assert_eq!(world.samples(), ["a{instance=\"i\",job=\"j\"} 2"]);
    world.groups.wipe();
    assert_eq!(world.page(), "");
    assert_eq!(world.groups.view().series(), 0);
}

#[test]
fn labels_of_the_grouping_override_and_instance_is_added() {
    let mut world = World::new();
    let body = "m{instance=\"x\",job=\"z\",k=\"v\"} 1\n";
    world.put("job/j/instance/q", body).unwrap();
    world.put("job/k", body).unwrap();
    let expected =
        ["m{instance=\"q\",job=\"j\",k=\"v\"} 1", "m{instance=\"x\",job=\"k\",k=\"v\"} 1"];
    assert_eq!(world.samples(), expected);
}

#[test]
fn times_are_those_of_the_last_push_and_the_last_rejection() {
    let mut world = World::new();
    world.put("job/j", "m 1\n").unwrap();
    assert_eq!(world.value("push_time_seconds{instance=\"\",job=\"j\"}"), Some(1001.0));
    assert_eq!(world.value("push_failure_time_seconds{"), Some(0.0));
    assert_rejected(
        world.put("job/j", "a 1\n# x\nm 1 1\n"),
        "pushed metrics must not have timestamps: \"m\" has one in line 3",
    );
    assert_eq!(world.samples(), ["m{instance=\"\",job=\"j\"} 1"]);
    assert_eq!(world.value("push_time_seconds{"), Some(1001.0));
    assert_eq!(world.value("push_failure_time_seconds{"), Some(1002.0));
    assert!(!world.groups.view().groups()[0].last_push_successful());
    world.put("job/j", "m 2\n").unwrap();
    assert_eq!(world.value("push_time_seconds{"), Some(1003.0));
    assert_eq!(world.value("push_failure_time_seconds{"), Some(1002.0));
    assert!(world.groups.view().groups()[0].last_push_successful());
}

#[test]
fn a_rejected_push_makes_a_group_for_its_failure_time() {
    let mut world = World::new();
    world.put("job/j", "m 1 0\n").unwrap_err();
    assert_eq!(world.value("push_time_seconds{"), Some(0.0));
    assert_eq!(world.value("push_failure_time_seconds{"), Some(1001.0));
}

#[test]
fn nobody_can_forge_the_times() {
    let mut world = World::new();
    for body in [
        "push_time_seconds 1\n",
        "# TYPE push_failure_time_seconds counter\npush_failure_time_seconds{a=\"1\"} 9\n",
    ] {
        for _ in 0..2 {
            world.put("job/j", body).unwrap();
            assert_eq!(world.value("push_failure_time_seconds{"), Some(0.0));
            assert_eq!(world.page().matches("\npush_").count(), 2, "{}", world.page());
        }
    }
    assert_valid(&world.groups.view());
}

#[test]
fn one_type_per_name_over_all_groups() {
    let mut world = World::new();
    world.put("job/a", "# TYPE m gauge\nm 1\n").unwrap();
    let error = "collected metric \"m\" { label:{name:\"instance\"  value:\"\"}  label:{name:\"job\"  value:\"b\"}  untyped:{value:1}} is not a GAUGE";
    assert_rejected(world.put("job/b", "m 1\n"), error);
    assert_rejected(
        world.post("job/b", "# TYPE m counter\nm 1\n"),
        &error.replace("untyped", "counter"),
    );
    // Alone with its name, a group may change its mind.
    world.put("job/a", "m 1\n").unwrap();
    world.put("job/b", "m 1\n").unwrap();
    world.post("job/b", "# TYPE m counter\nm 1\n").unwrap_err();
}

#[test]
fn no_series_twice_over_all_groups() {
    let mut world = World::new();
    let twice = "was collected before with the same name and label values";
    let metric =
        |labels: &str| format!("collected metric \"m\" {{ {labels}untyped:{{value:2}}}} {twice}");
    let label = |name: &str, value: &str| format!("label:{{name:\"{name}\"  value:\"{value}\"}}  ");
    let (instance, job) = (label("instance", ""), label("job", "j"));
    assert_rejected(world.put("job/j", "m 1\nm 2\n"), &metric(&format!("{instance}{job}")));
    let body = "m{instance=\"x\"} 1\nm{instance=\"y\"} 2\n";
    assert_rejected(
        world.put("job/j/instance/q", body),
        &metric(&format!("{}{job}", label("instance", "q"))),
    );
    world.put("job/j/x/1", "m 1\n").unwrap();
    let error = metric(&format!("{instance}{job}{}", label("x", "1")));
    assert_rejected(world.put("job/j", "m 1\nm{x=\"1\"} 2\n"), &error);
    // For Prometheus an empty label is none.
    assert_rejected(
        world.put("job/j", "m{x=\"1\",y=\"\"} 2\n"),
        &metric(&format!("{instance}{job}{}{}", label("x", "1"), label("y", ""))),
    );
    world.put("job/j", "m{x=\"2\"} 2\n").unwrap();
    world.put("job/j", "m{x=\"3\"} 2\n").unwrap();
    world.put("job/j/x/2", "m 2\n").unwrap();
    world.put("job/j/x/3", "m 2\n").unwrap_err();
}

#[test]
fn groups_that_differ_in_empty_labels_only_are_one_to_prometheus() {
    let mut world = World::new();
    world.put("job/j", "m 1\n").unwrap();
    let before = world.page();
    world.put("job/j/e@base64/=", "other 2\n").unwrap_err();
    world.put("job/j/instance@base64/=", "other 2 7\n").unwrap_err();
    assert_eq!(world.page(), before);
    world.push(Op::Delete, "job/j", "").unwrap();
    world.put("job/j/e@base64/=", "other 2\n").unwrap();
    assert_eq!(world.samples(), ["other{e=\"\",instance=\"\",job=\"j\"} 2"]);
}

#[test]
fn names_of_the_samples_of_histograms_and_summaries_are_taken() {
    let mut world = World::new();
    let histogram = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n";
    world.put("job/a", histogram).unwrap();
    for suffix in ["count", "sum", "bucket"] {
        let error = format!(
            "collected metric named \"h_{suffix}\" collides with previously collected histogram named \"h\""
        );
        assert_rejected(world.put("job/b", &format!("h_{suffix} 2\n")), &error);
        assert_rejected(world.post("job/a", &format!("h_{suffix} 2\n")), &error);
    }
    world.put("job/b", "h_created 2\n").unwrap();
    world.put("job/a", "h_count 1\n").unwrap();
    let error = "collected histogram or summary named \"h\" collides with previously collected metric named \"h_count\"";
    assert_rejected(world.put("job/b", histogram), error);
    world.put("job/s", "# TYPE s summary\ns_sum 1\ns_count 2\n").unwrap();
    world.put("job/b", "s_bucket 1\n").unwrap();
    world.put("job/b", "s_count 1\n").unwrap_err();
    assert_valid(&world.groups.view());
}

#[test]
fn le_and_quantile_belong_to_us() {
    let mut world = World::new();
    let histogram = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n";
    let error = world.put("job/j/le/v", histogram).unwrap_err();
    assert!(error.ends_with("must not have an explicit \"le\" label"), "{error}");
    let error = world.put("job/j/quantile/v", "# TYPE s summary\ns_count 2\n").unwrap_err();
    assert!(error.ends_with("must not have an explicit \"quantile\" label"), "{error}");
    world.put("job/j/le/v", "m 1\n").unwrap();
    assert_valid(&world.groups.view());
}

#[test]
fn improper_labels_and_values_are_rejected() {
    let mut world = World::new();
    let metric = |labels: &[(&str, &str)], value| push::Metric {
        labels: labels.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        value,
        timestamp: None,
        created_ms: None,
        exemplar: None,
    };
    let options = push::Options::default();
    let grouping = push::grouping("/metrics/job/j", options).unwrap();
    let number = push::Value::Number(1.0);
    for (labels, value, expected) in [
        (&[("a", "1"), ("a", "2")][..], number.clone(), "two or more labels with the same name: a"),
        (
            &[("job", "1"), ("job", "2")],
            number.clone(),
            "two or more labels with the same name: job",
        ),
        (&[("__x", "1")], number.clone(), "has a label with an invalid name: __x"),
        (&[("", "1")], number, "has a label with an invalid name: "),
        (&[], push::Value::Mismatch, "is not a GAUGE"),
    ] {
        let family = Family {
            name: "m".to_owned(),
            help: String::new(),
            kind: Kind::Gauge,
            unit: None,
            metrics: vec![metric(labels, value)],
        };
        let error = world.apply(Op::Put, &grouping, vec![family]).unwrap_err();
        assert!(error.starts_with(PREFIX) && error.ends_with(expected), "{error}");
    }
    assert!(world.samples().is_empty());
}

#[test]
fn the_servers_own_names_are_reserved() {
    let mut world = World::new();
    for name in [
        "observatory_events_received_total",
        "pushgateway_http_requests_total",
        "pushgateway_http_push_size_bytes_sum",
    ] {
        let error = world.put("job/j", &format!("{name} 1\n")).unwrap_err();
        assert!(error.contains("one of the server's own"), "{error}");
    }
    world.put("job/j", "pushgateway_mine 1\ngo_goroutines 7\n").unwrap();
}

#[test]
fn families_of_the_rules_are_respected() {
    let mut world = World::new();
    let labels = ["job".to_owned(), "result".to_owned()];
    let foreign = |name: &str, kind| (name.to_owned(), (kind, labels.to_vec()));
    world.groups.set_foreign(
        [foreign("builds_total", Kind::Counter), foreign("h", Kind::Histogram)].into(),
    );
    assert_rejected(
        world.put("job/j", "# TYPE builds_total gauge\nbuilds_total 1\n"),
        "gathered metric family builds_total has type GAUGE but should have COUNTER",
    );
    let body = "# TYPE builds_total counter\nbuilds_total{result=\"ok\"} 1\n";
    let error = world.put("job/j", body).unwrap_err();
    assert!(error.ends_with("the rules give to the metric of the same name"), "{error}");
    world.put("job/j/host/a", body).unwrap();
    let error = world.put("job/j", "h_count 1\n").unwrap_err();
    assert!(error.contains("collides with previously collected histogram named \"h\""), "{error}");
}

#[test]
fn several_errors_are_told_at_once_but_not_all() {
    let mut world = World::new();
    let body: String = (0..50).map(|it| format!("m{it} 1\nm{it} 2\n")).collect();
    let error = world.put("job/j", &body).unwrap_err();
    assert!(error.starts_with(&format!("{PREFIX}10 error(s) occurred:\n* collected")), "{error}");
    assert_eq!(error.lines().count(), 11);
}

#[test]
fn help_is_that_of_the_group_that_had_one_first() {
    let mut world = World::new();
    world.put("job/c", "m 1\n").unwrap();
    world.put("job/b", "# HELP m of b\nm 1\n").unwrap();
    world.put("job/a", "# HELP m of a\nm 1\n").unwrap();
    for _ in 0..3 {
        world.put("job/b", "# HELP m of b\nm 2\n").unwrap();
        assert!(world.page().starts_with("# HELP m of b\n"), "{}", world.page());
        world.reload();
    }
    world.put("job/b", "# HELP m new\nm 2\n").unwrap();
    assert!(world.page().starts_with("# HELP m of a\n"), "{}", world.page());
}

#[test]
fn without_changes_in_series_the_index_stays() {
    let mut world = World::new();
    world.put("job/j", "a 1\nb{x=\"1\"} 2\n").unwrap();
    for n in 0..10 {
        world.put("job/j", &format!("a {n}\nb{{x=\"1\"}} {n}\n")).unwrap();
        assert_eq!(world.groups.view().series(), 3);
    }
    world.put("job/j", "a 1\n").unwrap();
    assert_eq!(world.groups.view().series(), 2);
}
