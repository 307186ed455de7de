//! Paths, filters, labels and values.

use super::*;

#[test]
fn labels_show_scalars_as_they_were_written() {
    check_label("$x", r#"{"x":12345678901234567890}"#, "12345678901234567890");
    check_label("$x", r#"{"x":1.50}"#, "1.50");
    check_label("$x", r#"{"x":true}"#, "true");
    check_label("$x", r#"{"x":"a\"b\\c\nd"}"#, "a\"b\\c\nd");
    for data in ["{}", r#"{"x":null}"#, r#"{"x":[1]}"#, r#"{"x":{"y":1}}"#, r#"{"x":""}"#] {
        check_label("$x", data, "unknown");
        check_label("${x:-none}", data, "none");
        check_label("${x:-}", data, "");
        check_label("${x, y:-none}", data, "none");
        check_label("a-$x-b", data, "a-unknown-b");
    }
}

#[test]
fn paths_and_aliases() {
    check_label("${x, y}", r#"{"y":"2"}"#, "2");
    check_label("${x, y}", r#"{"x":"","y":"2"}"#, "2");
    check_label("$alias", r#"{"b":"2"}"#, "2");
    check_label("$alias", r#"{"alias":"own","b":"2"}"#, "2");
    check_label("${data.alias}", r#"{"alias":"own","b":"2"}"#, "own");
    check_label("$a.b[1].c", r#"{"a":{"b":[0,{"c":"deep"}]}}"#, "deep");
    check_label("$a.b.", r#"{"a":{"b":"x"}}"#, "x.");
    check_label("$type/$source/$id", "{}", "t/test/e1");
    check_label("$time", "{}", "2026-01-05T10:00:00Z");
    check_label("${data.type}", r#"{"type":"inner"}"#, "inner");
    check_label("${\"a b\".c}", r#"{"a b":{"c":"x"}}"#, "x");
    check_label("$$x", r#"{"x":"1"}"#, "$x");
    check_label("$key$item", r#"{"key":"k","item":"i"}"#, "ki");
}

#[test]
fn filters() {
    check_label("${x | m}", r#"{"x":"YES"}"#, "yes");
    check_label("${x | m}", r#"{"x":true}"#, "yes");
    check_label("${x | m}", r#"{"x":"maybe"}"#, "maybe");
    check_label("${x | dd}", r#"{"x":"maybe"}"#, "other");
    check_label("${x | dd}", "{}", "unknown");
    check_label("${x:-y | dd}", "{}", "yes");
    check_label("${x | lower}", r#"{"x":"ÄbC"}"#, "äbc");
    check_label("${x | upper}", r#"{"x":"äbC"}"#, "ÄBC");
    check_label("${x | trim}", r#"{"x":" a "}"#, "a");
    check_label("${x | trim}", r#"{"x":"  "}"#, "unknown");
    check_label("${x | truncate(3)}", r#"{"x":"aäb"}"#, "aä");
    check_label("${x | truncate(2)}", r#"{"x":"aäb"}"#, "a");
    check_label("${x | basename}", r#"{"x":"/a/b.rs"}"#, "b.rs");
    check_label("${x | basename}", r#"{"x":"a/b/"}"#, "b");
    check_label("${x | host}", r#"{"x":"https://me@h.example:80/p?q"}"#, "h.example");
    check_label("${x | host}", r#"{"x":"h:9091/p"}"#, "h");
    check_label("${x | host}", r#"{"x":"http://[::1]:80/"}"#, "::1");
    for (status, expected) in
        [("200", "2xx"), ("\"503\"", "5xx"), ("99", "unknown"), ("\"x\"", "unknown")]
    {
        check_label("${x | class}", &format!("{{\"x\":{status}}}"), expected);
    }
    check_label("${x | ms}", r#"{"x":1500}"#, "1.5");
    check_label("${x | lower | m | upper}", r#"{"x":"Y"}"#, "YES");
    check_label("${x:-'a|}' | lower}", "{}", "a|}");
}

#[test]
fn long_labels_are_cut_between_characters() {
    let long = "ä".repeat(100);
    check_label("$x", &format!("{{\"x\":\"{long}\"}}"), &"ä".repeat(64));
    check_label("a$x", &format!("{{\"x\":\"{long}\"}}"), &format!("a{}", "ä".repeat(63)));
    let text = "version: 1\nmetrics: {g: {help: G., match: t, set: 1, labels: {l: $x}}}";
    let set = parse(text).with_max_label_bytes(3);
    let mut out = Updates::default();
    set.evaluate(&event("t", r#"{"x":"aäb"}"#), &mut out);
    assert_eq!(shown(&set, &out), "g{l=\"aä\"} Set(1.0)");
}

#[test]
fn values_are_numbers_however_they_are_spelt() {
    for (json, expected) in [
        ("61.5", "61.5"),
        ("\"61.5\"", "61.5"),
        ("\" 7 \"", "7.0"),
        ("true", "1.0"),
        ("\"false\"", "0.0"),
        ("\"1m30s\"", "90.0"),
        ("-2", "-2.0"),
        ("1e3", "1000.0"),
    ] {
        check_value("$x", &format!("{{\"x\":{json}}}"), &format!("g Set({expected})"));
    }
    for json in ["\"NaN\"", "\"inf\"", "1e999", "\"abc\"", "\"1,5\""] {
        check_value("$x", &format!("{{\"x\":{json}}}"), "g NotANumber");
    }
    for json in ["null", "\"\"", "[1]", "{}"] {
        check_value("$x", &format!("{{\"x\":{json}}}"), "g Missing");
    }
    check_value("$time", "{}", "g Set(1767607200.0)");
    check_value("[$x, $y]", r#"{"x":"abc","y":2}"#, "g Set(2.0)");
    check_value("[$x, $y]", r#"{"x":"abc"}"#, "g NotANumber");
    check_value("'${x:-3}'", "{}", "g Set(3.0)");
    check_value("'$x.5'", r#"{"x":1}"#, "g Set(1.5)");
    check_value("2", "{}", "g Set(2.0)");
}

#[test]
fn units_become_base_units() {
    for (filter, value, expected) in [
        ("ns", "5e8", "0.5"),
        ("us", "250", "0.00025"),
        ("ms", "250", "0.25"),
        ("s", "2", "2.0"),
        ("min", "2", "120.0"),
        ("h", "1.5", "5400.0"),
        ("d", "1", "86400.0"),
        ("kb", "2", "2000.0"),
        ("mb", "2", "2000000.0"),
        ("kib", "2", "2048.0"),
        ("mib", "1", "1048576.0"),
        ("percent", "85.5", "0.855"),
        ("ms", "\"1m30s\"", "90.0"),
        ("duration", "\"1h20m\"", "4800.0"),
        ("duration", "\"PT1M30S\"", "90.0"),
        ("duration", "12", "12.0"),
        ("since", "\"2026-01-05T09:00:00Z\"", "3600.0"),
        ("since", "\"2026-01-05T11:00:00+02:00\"", "3600.0"),
        ("since", "1767607190", "10.0"),
        ("since", "\"2026-01-05T10:00:01Z\"", "0.0"),
    ] {
        let data = format!("{{\"x\":{value}}}");
        check_value(&format!("'${{x | {filter}}}'"), &data, &format!("g Set({expected})"));
    }
    check_value("'${x | ms}'", r#"{"x":"soon"}"#, "g NotANumber");
    check_value("'${x | since}'", r#"{"x":"soon"}"#, "g NotANumber");
    check_value("'${x | ms}'", "{}", "g Missing");
}
