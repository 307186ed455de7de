//! Whole rule files.

use super::*;

#[test]
fn the_builtin_rules_pass_their_own_tests() {
    let set = parse(RuleSet::builtin_text());
    assert_eq!(set.warnings().to_string(), "");
    fold::run_tests(&set);
}

#[test]
fn the_events_of_the_builtin_tests_make_no_errors() {
    let set = RuleSet::builtin();
    for test in set.tests() {
        let mut model = fold::Model::new(&set);
        for event in &test.events {
            let out = model.apply(&set, event.to_new_event());
            let name = |at: u32| &set.families()[at as usize].name;
            let errors: Vec<_> = out.errors.iter().map(|(at, it)| (name(*at), it)).collect();
            assert_eq!(errors, [], "{}: {event:?}", test.name);
            assert_eq!(out.unmatched, [], "{}: {event:?}", test.name);
        }
    }
}

/// Every event type of the documentation moves something, and no test forgets one.
#[test]
fn the_builtin_rules_know_all_types() {
    let set = RuleSet::builtin();
    for event_type in lint::KNOWN_TYPES.into_iter().filter(|it| *it != "test_event") {
        let tested = set.tests().iter().flat_map(|it| &it.events);
        assert!(tested.into_iter().any(|it| it.event_type == event_type), "{event_type}");
    }
}

/// The file that the language was designed with: every feature, every event type.
#[test]
fn the_example_passes_its_tests() {
    fold::run_tests(&parse(include_str!("../testdata/example.yaml")));
}

#[test]
fn the_families_of_a_file() {
    let set = parse(
        "version: 1\ndefaults: {limit: 7, ttl: 1h, missing: none, zero_first: false, dedup: 2d, max_label_bytes: 9}\n\
         maps: {m: {ok: [x], bad: [y], _: other}}\n\
         metrics:\n  x_total:\n    help: B.\n    match: t\n    count: 1\n    labels: {p: $p, r: '${r | m}', k: '${k | limit(5)}'}\n    \
         siblings: [r]\n    unique_by: [p]\n    init: [{p: a, r: ok, k: \"x\\\"\"}]\n    forget: 3h\n    zero_first: true\n  \
         hist_seconds: {help: H., match: t, observe: 1, ttl: 30s, limit: 5}\n  \
         hist: {help: H., match: t, observe: 1, buckets: [], native: {schema: 0, max_buckets: 10, zero_threshold: 0}}\n\
         spans: {sp: {help: S., key: $k, start: a, end: b, labels: {l: '${l | limit(3)}'}, end_labels: {e: x}, stuck_after: 1h, keep: first, unmatched_end: ignore, max_open: 5, buckets: [30s, 1h20m]}}\n",
    );
    assert_eq!(set.metric_count(), 8);
    let defaults = set.defaults();
    assert_eq!((defaults.limit, defaults.missing.as_str()), (7, "none"));
    assert_eq!((defaults.dedup.as_secs(), defaults.max_label_bytes), (172_800, 9));
    let line = |it: &FamilySpec| format!("{:?}", FamilySpec { fingerprint: 0, ..it.clone() });
    let lines: Vec<_> = set.families().iter().map(line).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    FamilySpec { name: "x_total", help: "B.", kind: Counter, labels: ["p", "r", "k"], siblings: [(1, ["ok", "bad"])], unique_by: [0], label_limits: [(2, 5)], limit: 7, ttl: Some(3600s), forget: Some(10800s), zero_first: true, init: ["{p=\"a\",r=\"ok\",k=\"x\\\"\"}"], backfill: None, fingerprint: 0 }
    FamilySpec { name: "hist_seconds", help: "H.", kind: Histogram(HistogramSpec { bounds: [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 2400.0, 4800.0, 9600.0], native: Some(NativeSpec { schema: 3, zero_threshold: 2.938735877055719e-39, max_buckets: 160 }) }), labels: [], siblings: [], unique_by: [], label_limits: [], limit: 5, ttl: Some(30s), forget: Some(300s), zero_first: false, init: [], backfill: None, fingerprint: 0 }
    FamilySpec { name: "hist", help: "H.", kind: Histogram(HistogramSpec { bounds: [], native: Some(NativeSpec { schema: 0, zero_threshold: 0.0, max_buckets: 10 }) }), labels: [], siblings: [], unique_by: [], label_limits: [], limit: 7, ttl: Some(3600s), forget: Some(36000s), zero_first: false, init: [], backfill: None, fingerprint: 0 }
    FamilySpec { name: "sp_duration_seconds", help: "S: duration.", kind: Histogram(HistogramSpec { bounds: [30.0, 4800.0], native: Some(NativeSpec { schema: 3, zero_threshold: 2.938735877055719e-39, max_buckets: 160 }) }), labels: ["l", "e"], siblings: [], unique_by: [], label_limits: [(0, 3)], limit: 7, ttl: None, forget: None, zero_first: false, init: [], backfill: None, fingerprint: 0 }
    FamilySpec { name: "sp_in_flight", help: "S: started and not ended.", kind: SpanGauge(0, InFlight), labels: ["l"], siblings: [], unique_by: [], label_limits: [(0, 3)], limit: 7, ttl: None, forget: None, zero_first: false, init: [], backfill: None, fingerprint: 0 }
    FamilySpec { name: "sp_stuck", help: "S: open for longer than is normal.", kind: SpanGauge(0, Stuck), labels: ["l"], siblings: [], unique_by: [], label_limits: [(0, 3)], limit: 7, ttl: None, forget: None, zero_first: false, init: [], backfill: None, fingerprint: 0 }
    FamilySpec { name: "sp_oldest_start_timestamp_seconds", help: "S: when the oldest open one started.", kind: SpanGauge(0, OldestStart), labels: ["l"], siblings: [], unique_by: [], label_limits: [(0, 3)], limit: 7, ttl: None, forget: None, zero_first: false, init: [], backfill: None, fingerprint: 0 }
    FamilySpec { name: "sp_abandoned_total", help: "S: given up without an end.", kind: Counter, labels: [], siblings: [], unique_by: [], label_limits: [], limit: 7, ttl: None, forget: None, zero_first: false, init: [""], backfill: None, fingerprint: 0 }
    "#);
    let spans = set.spans().iter().map(|it| SpanSpec { fingerprint: 0, ..it.clone() });
    insta::assert_snapshot!(format!("{:?}", spans.collect::<Vec<_>>()), @r#"[SpanSpec { name: "sp", duration: 3, in_flight: 4, stuck: Some(5), oldest_start: 6, unmatched_ends: None, abandoned: 7, stuck_after: Some(3600s), give_up_after: 604800s, keep: First, max_open: 5, fingerprint: 0 }]"#);
}

#[test]
fn a_fingerprint_follows_what_the_numbers_mean() {
    let base = "version: 1\nmaps: {m: {ok: [x]}}\nfields: {f: '${a}'}\n\
                metrics: {g: {help: G., match: 't{f=1}', set: '${f | ms}', labels: {l: '${r | m}'}}}";
    let fingerprint = |text: &str| parse(text).families()[0].fingerprint;
    let change = |from: &str, to: &str| {
        assert!(base.contains(from), "{from}");
        fingerprint(&base.replace(from, to)) != fingerprint(base)
    };
    assert!(!change("help: G.", "help: Other."));
    assert!(!change("set:", "limit: 5, ttl: 1h, set:"));
    assert!(!change("t{f=1}", "t{ f = 1.0 }"));
    assert!(!change("${r | m}", "${r | m | limit(5)}"));
    assert!(change("t{f=1}", "t{f=2}"));
    assert!(change("| ms", "| s"));
    assert!(change("ok: [x]", "ok: [x, y]"));
    assert!(change("${a}", "${a, b}"));
    assert!(change("{l:", "{k:"));
    assert!(change("set:", "add:"));
    assert_ne!(parse(base).fingerprint(), parse(&format!("{base}\n")).fingerprint());
}

#[test]
fn an_explanation_names_what_fails() {
    let set = parse(
        "version: 1\nmetrics:\n  a_total: {help: A., match: ['t{x=1}', 'u'], count: 1}\n  \
         g: {help: G., match: t, set: $gone}\n  hist: {help: H., match: other, set: 1}\n\
         spans: {sp: {help: S, key: $x, start: t, end: v, labels: {l: $x}}}\n",
    );
    let explanation = set.explain(&event("t", r#"{"x":2}"#));
    assert!(explanation.matched);
    insta::assert_snapshot!(explanation, @r#"
    a_total (count) does not match
      t{x=1}: `x=1` fails, the event has "2"
    g (set) matches
      no update: missing
    sp (start) matches
      sp{l="2"} starts, key "2"
    "#);
    insta::assert_snapshot!(set.explain(&event("zzz", "{}")), @r#"no rule is about events of type "zzz""#);
    insta::assert_snapshot!(serde_json::to_string(&explanation.rules[0]).unwrap(), @r#"{"name":"a_total","verb":"count","matched":false,"selectors":[{"selector":"t{x=1}","type_matched":true,"mismatch":{"matcher":"x=1","actual":"2"}},{"selector":"u","type_matched":false,"mismatch":{"matcher":"type u","actual":"t"}}],"effects":[],"errors":[]}"#);
}
