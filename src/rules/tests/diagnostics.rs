//! What is wrong with a rule file, and where.

use super::*;

/// The findings as `line:column severity message`.
#[track_caller]
fn check_file(text: &str, expected: &[&str]) {
    let found = match RuleSet::parse(text) {
        Ok(set) => set.warnings().clone(),
        Err(it) => it,
    };
    let line =
        |it: &Diagnostic| format!("{}:{} {}: {}", it.line, it.column, it.severity, it.message);
    let found: Vec<_> = found.findings().iter().map(line).collect();
    assert_eq!(found, expected, "{text}");
}

/// The findings in one metric, which begins in line 2.
#[track_caller]
fn check_metric(metric: &str, expected: &[&str]) {
    check_file(&format!("version: 1\nmetrics: {{{metric}}}"), expected);
}

#[test]
fn everything_is_reported_at_once() {
    let text = "version: 2\nmetrics:\n  builds:\n    match: 'ci{'\n    count: ${x | nope}\n    lables: {}\n\ntestz: []\n";
    let errors = RuleSet::parse(text).unwrap_err().with_origin("rules.yml");
    insta::assert_snapshot!(errors, @r"
    rules.yml:1:10: error: the version is 1
       1 | version: 2
         |          ^

    rules.yml:3:3: error: `help` is missing: say what is measured
       3 |   builds:
         |   ^^^^^^

    rules.yml:3:3: error: a counter ends in `_total`: `builds_total`
       3 |   builds:
         |   ^^^^^^

    rules.yml:4:16: error: expected the name of a field
       4 |     match: 'ci{'
         |                ^

    rules.yml:5:18: error: no filter and no map is called `nope`
       5 |     count: ${x | nope}
         |                  ^

    rules.yml:6:5: error: unknown key `lables`; did you mean `labels`?
       6 |     lables: {}
         |     ^^^^^^

    rules.yml:8:1: error: unknown key `testz`; did you mean `tests`?
       8 | testz: []
         | ^^^^^
    ");
    assert_eq!(errors.error_count(), 7);
}

#[test]
fn yaml_errors_have_a_place() {
    check_file("version: 1\nmetrics: [", &["2:10 error: unclosed bracket '['"]);
    check_file("", &["1:1 error: expected a map, found nothing"]);
    check_file("- a", &["1:1 error: expected a map, found a list"]);
    check_file("version: 1\nversion: 1", &["2:1 error: `version` is there twice"]);
    check_file("metrics: {}", &["1:1 error: `version: 1` is missing"]);
}

#[test]
fn names_of_metrics() {
    let name = |name: &str, verb: &str, expected: &[&str]| {
        check_metric(
            &format!("{name}: {{help: H., match: t, {verb}: 1, native: true}}")
                .replace(", native: true", if verb == "observe" { ", native: true" } else { "" }),
            expected,
        );
    };
    name("a_total", "count", &[]);
    name("a", "count", &["2:11 error: a counter ends in `_total`: `a_total`"]);
    name("a_total", "set", &["2:11 error: `set` makes no counter: leave `_total` out"]);
    name(
        "aB",
        "set",
        &["2:11 error: the name of a metric consists of `a-z`, `0-9` and `_` (snake_case)"],
    );
    name(
        "a-b",
        "set",
        &["2:11 error: the name of a metric consists of `a-z`, `0-9` and `_` (snake_case)"],
    );
    name("a_count", "set", &["2:11 error: `_count` is the suffix of the samples of other metrics"]);
    name("a_gauge", "set", &["2:11 error: the name has the type `gauge` in it"]);
    name("a_minutes", "set", &["2:11 error: `minutes` is no base unit: use `seconds`"]);
    name("a_milliseconds", "set", &["2:11 error: `milliseconds` is no base unit: use `seconds`"]);
    name("a_megabytes_total", "count", &["2:11 error: `megabytes` is no base unit: use `bytes`"]);
    name("a_ms", "set", &["2:11 error: `ms` is an abbreviated unit: write it out"]);
    name(
        "observatory_a",
        "set",
        &["2:11 error: `observatory_a` is reserved for the server and for Prometheus"],
    );
    name(
        "process_a",
        "set",
        &["2:11 error: `process_a` is reserved for the server and for Prometheus"],
    );
    name("up", "set", &["2:11 error: `up` is reserved for the server and for Prometheus"]);
    name(
        "a_percent",
        "set",
        &["2:11 warning: by convention metrics are ratios from 0 to 1: `_ratio`, `| percent`"],
    );
}

#[test]
fn names_of_labels() {
    let name = |name: &str, expected: &[&str]| {
        check_metric(
            &format!("a: {{help: H., match: t, set: 1, labels: {{{name}: x}}}}"),
            expected,
        );
    };
    name("env", &[]);
    name("le", &["2:52 error: the label `le` is reserved"]);
    name("quantile", &["2:52 error: the label `quantile` is reserved"]);
    name("__a", &["2:52 error: the label `__a` is reserved"]);
    name("a-b", &["2:52 error: the name of a label consists of letters, digits and `_`"]);
    name("aB", &["2:52 error: the label `aB` is not snake_case"]);
    name(
        "job",
        &["2:52 warning: Prometheus sets `job` itself and renames this label to `exported_job`"],
    );
    name("a: 1, a", &["2:58 error: `a` is there twice"]);
}

#[test]
fn names_that_collide() {
    check_metric(
        "a_total: {help: H., match: t, count: 1}, a: {help: H., match: t, set: 1}",
        &["2:52 error: `a` and `a_total` both have samples called `a`"],
    );
    check_metric(
        "a: {help: H., match: t, set: 1}, a: {help: H., match: t, set: 1}",
        &["2:44 error: `a` is there twice"],
    );
    check_file(
        "version: 1\nmetrics: {x_in_flight: {help: H., match: t, set: 1}}\n\
         spans: {x: {help: H., key: $k, start: a, end: b}}",
        &["3:9 error: `x_in_flight` is there twice"],
    );
    // A histogram's samples are spoken for; the suffix alone is refused as well.
    check_metric(
        "x_seconds: {help: H., match: t, observe: 1}, x_seconds_sum: {help: H., match: t, set: 1}",
        &[
            "2:56 error: `_sum` is the suffix of the samples of other metrics",
            "2:56 error: `x_seconds_sum` and `x_seconds` both have samples called `x_seconds_sum`",
        ],
    );
}

#[test]
fn keys_of_metrics() {
    let metric = |keys: &str, expected: &[&str]| check_metric(&format!("a: {{{keys}}}"), expected);
    metric("match: t, set: 1", &["2:11 error: `help` is missing: say what is measured"]);
    metric("help: '', match: t, set: 1", &["2:15 error: `help` is missing: say what is measured"]);
    metric("help: H., set: 1", &["2:11 error: `match` is missing: which events count"]);
    metric(
        "help: H., match: t",
        &["2:11 error: one of `count`, `set`, `add`, `sub`, `observe` is missing"],
    );
    metric(
        "help: H., match: t, set: 1, add: 1",
        &["2:43 error: only one of `count`, `set`, `add`, `sub`, `observe`"],
    );
    metric(
        "help: H., mach: t, match: t, set: 1",
        &["2:25 error: unknown key `mach`; did you mean `match`?"],
    );
    metric("help: H., match: t, set: 1, buckets: [1]", &["2:43 error: `buckets` needs `observe`"]);
    metric(
        "help: H., match: t, set: 1, ttl: 30",
        &["2:48 error: expected a duration with a unit, such as `30s`, `1h20m` or `7d`"],
    );
    metric("help: H., match: t, set: 1, forget: 1h", &["2:43 error: `forget` needs `ttl`"]);
    metric(
        "help: H., match: t, set: 1, ttl: 2h, forget: 1h",
        &["2:52 error: `forget` is shorter than `ttl`"],
    );
    metric(
        "help: H., match: t, set: 1, limit: 0",
        &["2:50 error: expected a whole number above 0"],
    );
    metric(
        "help: H., match: t, set: 1, zero_first: no",
        &["2:55 error: expected `true` or `false`"],
    );
}

#[test]
fn keys_that_refer_to_others() {
    let metric = |keys: &str, expected: &[&str]| check_metric(&format!("a: {{{keys}}}"), expected);
    metric("help: H., match: t, set: 1, unique_by: [x]", &["2:55 error: no label is called `x`"]);
    metric(
        "help: H., match: t, set: 1, labels: {l: $x}, siblings: [l]",
        &["2:71 error: the values of `l` are not known: use a map or `$key`"],
    );
    metric(
        "help: H., match: t, set: 1, labels: {l: $x}, init: [{}]",
        &["2:67 error: the label `l` has no value"],
    );
    metric(
        "help: H., match: t, set: abc",
        &["2:40 error: expected a number or a template such as `$field`"],
    );
    metric("help: H., match: t, set: []", &["2:40 error: expected a value"]);
    metric("help: H., match: [], set: 1", &["2:32 error: expected a selector"]);
    metric(
        "help: H., match: t, set: 1, for: $type",
        &["2:48 error: expected a field of `data` that holds a list"],
    );
    metric(
        "help: H., match: t, observe: 1",
        &["2:11 error: give `buckets`, or `native: true`: there is a default for `_seconds` only"],
    );
    metric(
        "help: H., match: t, observe: 1, buckets: [1, 1]",
        &["2:60 error: the buckets are not in ascending order"],
    );
    metric(
        "help: H., match: t, observe: 1, native: true, buckets: [1m]",
        &["2:71 error: expected a number; `+Inf` is there by itself"],
    );
    metric(
        "help: H., match: t, observe: 1, buckets: [1], native: {schema: 9}",
        &["2:78 error: the schema is a whole number from -4 to 8"],
    );
    check_metric(
        "a_total: {help: H., match: t, count: -1}",
        &["2:48 error: a counter cannot go down"],
    );
}

#[test]
fn updates_agree() {
    check_metric(
        "a: {help: H., updates: [{match: t, set: 1}, {match: u, count: 1}]}",
        &["2:66 error: `count` makes a counter, but the first update makes a gauge"],
    );
    check_metric(
        "a: {help: H., updates: [{match: t, set: 1, labels: {l: x}}, {match: u, set: 1}]}",
        &["2:71 error: the label `l` of other updates has no value"],
    );
    check_metric(
        "a: {help: H., match: t, updates: [{match: t, set: 1}]}",
        &["2:25 error: `match` belongs to the entries of `updates`"],
    );
    check_metric("a: {help: H., updates: []}", &["2:34 error: expected a list of updates"]);
}

#[test]
fn templates_selectors_and_globs_point_into_the_text() {
    let metric = |keys: &str, expected: &[&str]| {
        check_metric(&format!("a: {{help: H., {keys}}}"), expected);
    };
    metric("match: 'ci{b=~\"(\"}', set: 1", &["2:39 error: no regular expression: unclosed group"]);
    metric(
        "match: t, set: '${x | mss}'",
        &["2:47 error: no filter and no map is called `mss`; did you mean `ms`?"],
    );
    metric("match: t, set: '${x'", &["2:41 error: the `${` is not closed"]);
    metric("match: t, set: $", &["2:41 error: expected a name after `$`; write `$$` for a dollar"]);
    metric("match: t, set: '${x | limit}'", &["2:47 error: `limit` takes a number: `limit(20)`"]);
    metric(
        "match: t, set: '${x | limit(0)}'",
        &["2:47 error: `limit` takes a number: `limit(20)`"],
    );
    metric("match: t, set: '${x y}'", &["2:45 error: expected `,`, `:-`, `|` or `}`"]);
    check_file(
        "version: 1\nmaps: {m: {a: ['[']}}\nmetrics: {a: {help: H., match: t, set: '${x | m}'}}",
        &["2:17 error: no glob: the `[` is not closed"],
    );
}

#[test]
fn a_limit_is_for_labels() {
    let expected = "error: `limit` bounds the values of a label: put it there";
    for (file, at) in [
        ("metrics: {a: {help: H., match: t, set: '${x | limit(3)}'}}", "2:40"),
        ("fields: {a: '${x | limit(3)}'}", "2:13"),
        ("spans: {a: {help: H, key: '${x | limit(3)}', start: a, end: b}}", "2:22"),
    ] {
        check_file(&format!("version: 1\n{file}"), &[&format!("{at} {expected}")]);
    }
}

#[test]
fn what_is_probably_not_meant() {
    check_file(
        "version: 1\nmaps: {m: {a: b}}\nfields: {f: $x}\nmetrics: {a: {help: H., match: c?_*, set: 1}}",
        &["2:8 warning: nothing uses the map `m`", "3:10 warning: nothing uses the field `f`"],
    );
    check_file(
        "version: 1\nmetrics: {a: {help: H., match: zz_*, set: 1}}",
        &["2:32 warning: `zz_*` matches no event type that is known or named here"],
    );
    check_file(
        "version: 1\nmaps: {lower: {a: b}}",
        &["2:8 error: `lower` is a filter that is built in"],
    );
    check_file(
        "version: 1\nfields: {type: $x}",
        &["2:10 error: `type` cannot be the name of a field"],
    );
}

#[test]
fn keys_of_spans() {
    let span = |keys: &str, expected: &[&str]| {
        check_file(&format!("version: 1\nspans: {{x: {{help: H, {keys}}}}}"), expected);
    };
    span("key: $k, start: a, end: b", &[]);
    span("start: a, end: b", &["2:9 error: `key` is missing"]);
    span("key: $k, start: a", &["2:9 error: `end` is missing"]);
    span("key: k, start: a, end: b", &["2:22 error: the key is the same for every event"]);
    span("key: $k, start: a, end: b, keep: both", &["2:55 error: `keep` is `last` or `first`"]);
    span(
        "key: $k, start: a, end: b, unmatched_end: x",
        &["2:64 error: `unmatched_end` is `count` or `ignore`"],
    );
    span(
        "key: $k, start: a, end: b, stuck_after: 8d",
        &["2:49 error: `stuck_after` is not shorter than `give_up_after`"],
    );
    span(
        "key: $k, start: a, end: b, labels: {l: x}, end_labels: {l: y}",
        &["2:78 error: `l` is in `labels` already"],
    );
    check_file(
        "version: 1\nspans: {x_total: {help: H, key: $k, start: a, end: b}}",
        &["2:9 error: a span is no counter: leave `_total` out"],
    );
}

#[test]
fn tests_of_the_file() {
    let test = |keys: &str, expected: &[&str]| {
        check_file(&format!("version: 1\ntests:\n- {{{keys}}}"), expected);
    };
    test("name: n, events: [{type: t}], expect: 'a 1'", &[]);
    test(
        "events: [{type: t}], expect: 'a 1'",
        &["3:3 error: `name` is missing: say what must hold"],
    );
    test("name: n, expect: 'a 1'", &["3:3 error: the test has no events"]);
    test(
        "name: n, events: [{}], expect: 'a 1'",
        &["3:13 error: the test has no events", "3:22 error: `type` is missing"],
    );
    test(
        "name: n, events: [{type: t}], expect: 'a'",
        &["3:42 error: no series and value: `a`", "3:42 error: the test expects nothing"],
    );
    test(
        "name: n, events: [{type: t, time: soon}], expect: 'a 1'",
        &["3:32 error: no time: write it as `2026-01-05T10:00:00Z`"],
    );
    test("name: n, events: [{type: t, data: 1}], expect: 'a 1'", &["3:38 error: `data` is a map"]);
}
