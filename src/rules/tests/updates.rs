//! What rules do with an event.

use super::*;
use crate::event::TraceContext;

#[test]
fn every_verb() {
    let rules = |verb: &str, name: &str| {
        format!("metrics:\n  {name}: {{help: G., match: t, {verb}: $x, buckets: [1]}}\n")
            .replace(", buckets: [1]", if verb == "observe" { ", buckets: [1]" } else { "" })
    };
    check(&rules("count", "c_total"), r#"{"x":2}"#, "c_total Count(2.0)");
    check(&rules("count", "c_total"), r#"{"x":-2}"#, "c_total Negative");
    check(&rules("set", "g"), r#"{"x":-2}"#, "g Set(-2.0)");
    check(&rules("add", "g"), r#"{"x":2}"#, "g Add(2.0)");
    check(&rules("sub", "g"), r#"{"x":2}"#, "g Add(-2.0)");
    check(&rules("observe", "hist"), r#"{"x":2}"#, "hist Observe(2.0)");
}

#[test]
fn a_map_of_values_makes_an_update_per_entry() {
    check(
        "metrics: {c_total: {help: C., match: t, count: {a: $a, b: '${b:-0}', c: [$x, $y]}, labels: {k: $key}}}",
        r#"{"a":1,"key":"own"}"#,
        "c_total{k=\"a\"} Count(1.0)\nc_total{k=\"b\"} Count(0.0)\nc_total Missing",
    );
}

#[test]
fn an_array_makes_an_update_per_element() {
    let rules = "metrics: {c_total: {help: C., match: t, for: $jobs, count: $item.n, labels: {j: '${item.name:-x}'}}}";
    check(
        rules,
        r#"{"jobs":[{"name":"a","n":1},{"n":"2"},{"name":"c"}]}"#,
        "c_total{j=\"a\"} Count(1.0)\nc_total{j=\"x\"} Count(2.0)\nc_total Missing",
    );
    check(rules, r#"{"jobs":[]}"#, "");
    check(rules, "{}", "c_total Missing");
    check(rules, r#"{"jobs":5}"#, "c_total Missing");
    check(
        "metrics: {c_total: {help: C., match: t, for: a.b, count: 1, labels: {j: $item}}}",
        r#"{"a":{"b":["x",7,null]}}"#,
        "c_total{j=\"x\"} Count(1.0)\nc_total{j=\"7\"} Count(1.0)\nc_total{j=\"unknown\"} Count(1.0)",
    );
}

#[test]
fn all_rules_that_match_fire() {
    check(
        "metrics:\n  a_total: {help: A., match: ['t{x=1}', 't'], count: 1}\n  g:\n    help: G.\n    labels: {l: z}\n    \
         updates:\n    - {match: t, set: 1}\n    - {match: 't{x=1}', add: 2, labels: {l: $x}}\n    - {match: u, set: 9}\n",
        r#"{"x":1}"#,
        "a_total Count(1.0)\ng{l=\"z\"} Set(1.0)\ng{l=\"1\"} Add(2.0)",
    );
}

#[test]
fn an_alias_works_in_selectors() {
    let rules = "fields: {who: '${a, b}'}\nmetrics: {g: {help: G., match: 't{who=\"x\"}', set: 1}}";
    check(rules, r#"{"b":"x"}"#, "g Set(1.0)");
    check(rules, r#"{"who":"x"}"#, "");
}

const SPAN: &str = "spans: {sp: {help: S, key: $a/$b, start: 't{e=0}', end: 't{e=1}', duration: $d, labels: {a: $a}, end_labels: {r: $r}}}";

#[test]
fn starts_and_ends() {
    check(SPAN, r#"{"e":0,"a":"x","b":1}"#, "sp{a=\"x\"} \"x/1\" Start");
    check(SPAN, r#"{"e":0,"a":"x"}"#, "sp{a=\"x\"} \"x/\" Start");
    check(SPAN, r#"{"e":0}"#, "sp_duration_seconds Missing");
    check(SPAN, r#"{"e":1,"a":"x","r":"ok"}"#, "sp{a=\"x\"} \"x/\" End({r=\"ok\"}, None)");
    check(
        SPAN,
        r#"{"e":1,"a":"x","d":"2m"}"#,
        "sp{a=\"x\"} \"x/\" End({r=\"unknown\"}, Some(120.0))",
    );
    check(
        SPAN,
        r#"{"e":1,"a":"x","d":-1}"#,
        "sp{a=\"x\"} \"x/\" End({r=\"unknown\"}, None)\nsp_duration_seconds Negative",
    );
    check(
        SPAN,
        r#"{"e":1,"d":5,"r":"ok"}"#,
        "sp_duration_seconds{a=\"unknown\",r=\"ok\"} Observe(5.0)",
    );
    let both = "spans: {sp: {help: S, key: $k, start: t, end: t}}";
    check(both, r#"{"k":1}"#, "sp \"1\" End(, None)\nsp \"1\" Start");
}

#[test]
fn a_type_that_no_rule_is_about_is_unmatched() {
    let rules = "metrics: {g: {help: G., match: 't{x=1}', set: 1}}";
    check(rules, "{}", "");
    let set = parse(&format!("version: 1\n{rules}"));
    let mut out = Updates { text: "before".to_owned(), ..Updates::default() };
    for _ in 0..2 {
        set.evaluate(&event("other", "{}"), &mut out);
    }
    assert_eq!(shown(&set, &out), "unmatched other\nunmatched other");
}

#[test]
fn a_flood_of_types_changes_nothing() {
    let set = parse("version: 1\nmetrics: {g: {help: G., match: 't*', set: 1}}");
    for i in 0..3000 {
        let mut out = Updates::default();
        set.evaluate(&event(&format!("t{i}"), "{}"), &mut out);
        set.evaluate(&event(&format!("u{i}"), "{}"), &mut out);
        assert_eq!(shown(&set, &out), format!("g Set(1.0)\nunmatched u{i}"));
    }
}

#[test]
fn a_trace_becomes_one_exemplar_for_counters_and_histograms() {
    let set = parse(
        "version: 1\nmetrics:\n  c_total: {help: C., match: t, count: 1}\n  g: {help: G., match: t, set: 1}\n  \
         hist: {help: H., match: t, observe: 1, buckets: [1]}\n",
    );
    let mut event = event("t", "{}");
    event.trace = TraceContext::parse("0af7651916cd43dd8448eb211c80319c", None);
    let mut out = Updates::default();
    set.evaluate(&event, &mut out);
    set.evaluate(&event, &mut out);
    let exemplars: Vec<_> = out.ops.iter().map(|it| it.exemplar).collect();
    assert_eq!(exemplars, [Some(0), None, Some(0), Some(1), None, Some(1)]);
    assert_eq!(out.exemplars.len(), 2);
}
