//! The dialects, and what they refuse.

use super::*;
use crate::exposition::Kind;
use proptest::prelude::*;

const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0";

fn group(path: &str, utf8: bool) -> String {
    match grouping(path, Options { utf8 }) {
        Ok(it) => it.iter().map(|(name, value)| format!("{name}={value};")).collect(),
        Err(it) => format!("! {it}"),
    }
}

#[track_caller]
fn check_path(path: &str, expected: &str) {
    assert_eq!(group(path, false), expected, "{path}");
}

#[test]
fn paths() {
    check_path("/metrics/job/j", "job=j;");
    check_path("/metrics/job/j/", "job=j;");
    check_path("//metrics//job/j", "job=j;");
    check_path("/metrics/job/j/instance/i", "instance=i;job=j;");
    check_path("/metrics/job/j/a/1/b/", "a=1;b=;job=j;");
    check_path("/metrics/job/j/a//b/2", "a=;b=2;job=j;");
    check_path("/metrics/job/j/path//x", "job=j;path=x;");
    check_path("/metrics/job/j//a/1", "a=1;job=j;");
    check_path("/metrics/job/j/a//b//c", "a=;b=;c=;job=j;");
    check_path("/metrics/job/j/a/../b", "a=..;b=;job=j;");
    check_path("/metrics/job/j/path/%2e%2e", "job=j;path=..;");
    check_path("/metrics/job/a%2Fb/c/d%2Fe", "c=d/e;job=a/b;");
    check_path("/metrics/job/a+b/x/a%20b%25", "job=a+b;x=a b%;");
    check_path("/metrics/job/j%3Fx=y", "job=j?x=y;");
    check_path("/metrics/job/\u{3a0}", "job=\u{3a0};");
    check_path("/metrics/job/%CE%A0", "job=\u{3a0};");
    check_path("/metrics/job/j/job/k/a/1/a/2", "a=2;job=j;");
}

#[test]
fn base64_in_paths() {
    for padding in ["", "=", "====", "%3D"] {
        check_path(&format!("/metrics/job@base64/dGVzdC9qb2I{padding}"), "job=test/job;");
    }
    check_path("/metrics/job%40base64/Zm9v", "job=foo;");
    check_path("/metrics/job/j/l%40base64/Zm9v", "job=j;l=foo;");
    check_path("/metrics/job/j/e@base64/", "e=;job=j;");
    check_path("/metrics/job/j/e@base64/=", "e=;job=j;");
    let wrong = "! invalid base64 encoding in job name \"\": illegal base64 data at input byte";
    check_path("/metrics/job@base64/ab+/", &format!("{wrong} 2"));
    check_path("/metrics/job@base64/YWFhY", &format!("{wrong} 4"));
    check_path(
        "/metrics/job/j/l@base64/foo.bar",
        "! invalid base64 encoding for label l=\"foo.bar\": illegal base64 data at input byte 3",
    );
}

#[test]
fn paths_that_name_no_group() {
    let no_job = "! job name is required";
    for path in ["/metrics/job", "/metrics/job/", "/metrics/job//a/b", "/metrics/job@base64/="] {
        check_path(path, no_job);
    }
    let odd = |it: &str| format!("! odd number of components in label string {it:?}");
    check_path("/metrics/job/j/instance", &odd("/instance"));
    check_path("/metrics/job/j/instance/i/", &odd("/instance/i/"));
    check_path("/metrics/job/j/a%22/b/c", &odd("/a\"/b/c"));
    for name in ["__x", "__name__", "a-b", "a.b", "1a", "\u{3a0}", "a=b", "a:b", "l@BASE64", ""] {
        let path = format!("/metrics/job/j/{name}/v");
        check_path(&path, &format!("! improper label name {name:?}"));
    }
    check_path("/metrics/job/j/@base64/Zm9v", "! improper label name \"\"");
    check_path("/metrics/job/j/l@base64@base64/Zm9v", "! improper label name \"l@base64\"");
    check_path("/metrics/job/j/%ff/v", "! improper label name \"\\xff\"");
    check_path("/metrics/job/%ff", "! the value of label \"job\" is not UTF-8");
    check_path("/metrics/job/j/a@base64/_w", "! the value of label \"a\" is not UTF-8");
    check_path("/metrics/job/%zz", "! 400 Bad Request: invalid escape in the path");
    let long = format!("/metrics/job/j/a/{}", "x".repeat(1 << 20));
    assert!(matches!(grouping(&long, Options::default()), Err(PathError::TooLarge(_))));
    let many: String = (0..100).map(|it| format!("/a{it}/1")).collect();
    let many = grouping(&format!("/metrics/job/j{many}"), Options::default());
    assert!(matches!(many, Err(PathError::TooLarge(_))));
}

#[test]
fn names_outside_of_the_legacy_set() {
    for (name, expected) in [
        ("a.b", "a.b=v;job=j;"),
        ("U__a_2E_b", "a.b=v;job=j;"),
        ("U__a__b", "a_b=v;job=j;"),
        ("U__a_zz_", "U__a_zz_=v;job=j;"),
        ("U__a_0000000_", "U__a_0000000_=v;job=j;"),
        ("U__1F600", "1F600=v;job=j;"),
        // They would be reserved names, and with the Pushgateway the end of every scrape.
        ("U______x", "! improper label name \"U______x\""),
        ("__x", "! improper label name \"__x\""),
        ("", "! improper label name \"\""),
    ] {
        assert_eq!(group(&format!("/metrics/job/j/{name}/v"), true), expected, "{name}");
    }
}

#[test]
fn what_is_a_push() {
    for path in ["/metrics/job", "/metrics/job/j", "//metrics/job/j", "/metrics/job%40base64/x"] {
        assert!(is_push(path), "{path}");
    }
    for path in
        ["/metrics", "/metrics/", "/metrics/jobs/x", "/metrics/instance/x", "/x/metrics/job/j"]
    {
        assert!(!is_push(path), "{path}");
    }
    assert!(!is_push("/metrics/job@base64/") && !is_push("/metrics/job@base64"));
}

/// The families of a text body on one line each, or the error.
fn show(body: &[u8], content_type: Option<&str>, utf8: bool) -> String {
    match families(body, content_type, utf8, &Limits::default()) {
        Ok(it) => it.iter().map(show_family).collect(),
        Err(it) => format!("{it}\n"),
    }
}

fn show_family(family: &Family) -> String {
    let Family { name, help, kind, metrics, .. } = family;
    let mut res = format!("{name} {kind:?} {help:?}");
    for it in metrics {
        let labels: Vec<_> = it.labels.iter().map(|(a, b)| format!("{a}={b}")).collect();
        res += &format!(" {{{}}} {:?}", labels.join(","), it.value);
        res += &it.timestamp.map(|it| format!(" @{}", it.millis)).unwrap_or_default();
    }
    res + "\n"
}

#[track_caller]
fn check_text(body: &str, expected: &str) {
    assert_eq!(show(body.as_bytes(), None, false), expected, "{body:?}");
}

#[track_caller]
fn check_error(body: impl AsRef<[u8]>, expected: &str) {
    let body = body.as_ref();
    let expected = format!("text format parsing error in {expected}\n");
    assert_eq!(show(body, None, false), expected, "{:?}", String::from_utf8_lossy(body));
}

#[test]
fn text() {
    check_text("", "");
    check_text("\n \t\n# x\n#\n# EOF\n# UNIT a b\n# type m x\n# TYPE unused gauge\n", "");
    check_text("  m\t 1\n", "m Untyped \"\" {} Number(1.0)\n");
    for (value, shown) in [
        ("NaN", "NaN"),
        ("nan", "NaN"),
        ("Inf", "inf"),
        ("-Infinity", "-inf"),
        (".5", "0.5"),
        ("1.", "1.0"),
        ("1e3", "1000.0"),
        ("+1", "1.0"),
        ("1e-400", "0.0"),
    ] {
        check_text(&format!("m {value}\n"), &format!("m Untyped \"\" {{}} Number({shown})\n"));
    }
    check_text(
        "#TYPE a GAUGE\na{x=\"\\\\\\\"\\n\" , b = \"{}\",}1\nb 2\n#  HELP  a  say \\\"x\\\" \na{}3\n",
        "a Gauge \"say \\\"x\\\" \" {b={},x=\\\"\n} Number(1.0) {} Number(3.0)\nb Untyped \"\" {} Number(2.0)\n",
    );
    check_text("m 1 -7\n", "m Untyped \"\" {} Number(1.0) @-7\n");
    check_text("{\"m\",a=\"b\"} 1\n", "m Untyped \"\" {a=b} Number(1.0)\n");
    let named = show(b"{\"m.x\",\"a.b\"=\"c\"} 1\n{a=\"1\",\"m.x\"} 2\n", None, true);
    assert_eq!(named, "m.x Untyped \"\" {a.b=c} Number(1.0) {a=1} Number(2.0)\n");
    let form = Some("application/x-www-form-urlencoded");
    assert_eq!(show(b"m 1\n", form, false), "m Untyped \"\" {} Number(1.0)\n");
    let help = show(b"# HELP m \xff\nm 1\n", None, false);
    assert_eq!(help, "m Untyped \"\u{fffd}\" {} Number(1.0)\n");
}

#[test]
fn text_summaries_and_histograms() {
    check_text(
        "# TYPE s summary\ns{a=\"1\",quantile=\"0.5\"} 3\ns_sum{a=\"1\"} 4\ns_count 1\ns_count{a=\"1\"} 2\n",
        "s Summary \"\" {a=1} Summary(Summary { count: 2, sum: 4.0, quantiles: [(0.5, 3.0)] }) {} Summary(Summary { count: 1, sum: 0.0, quantiles: [] })\n",
    );
    let body = b"# TYPE h histogram\nh_bucket{le=\"1\"} 1.5\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\nh_created 5\n";
    let found = families(body, None, false, &Limits::default()).unwrap();
    let [h, created] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((created.name.as_str(), created.kind), ("h_created", Kind::Untyped));
    let bucket = |bound, cumulative| Bucket { bound, cumulative, exemplar: None };
    let expected = Histogram {
        count: 2.0,
        sum: 3.0,
        float: true,
        buckets: vec![bucket(1.0, 1.5), bucket(f64::INFINITY, 2.0)],
        ..Histogram::default()
    };
    assert_eq!(h.metrics, [Metric::new(Vec::new(), Value::Histogram(Box::new(expected)))]);
}

#[test]
fn text_errors() {
    check_error("m 1", "line 1: unexpected end of input stream");
    check_error("m 1\nm", "line 2: unexpected end of input stream");
    check_error("m{a=\"x", "line 1: unexpected end of input stream");
    check_error("m 1\r\n", "line 1: expected float as value, got \"1\\r\"");
    for value in ["0x10", "1_000", "1e400", "", "x", "-NaN", "1e", "infinit"] {
        check_error(
            format!("m {value}\n"),
            &format!("line 1: expected float as value, got {value:?}"),
        );
    }
    check_error("m-x 1\n", "line 1: expected float as value, got \"-x\"");
    check_error("m 1 x\n", "line 1: expected integer as timestamp, got \"x\"");
    check_error("m 1 \n", "line 1: expected integer as timestamp, got \"\"");
    check_error("m 1 # c\n", "line 1: expected integer as timestamp, got \"#\"");
    check_error("m 1 1 1\n", "line 1: spurious string after timestamp: \" 1\"");
    for body in ["1m 1\n", "\u{feff}m 1\n", "{a=\"b\"} 1\n", "{} 1\n"] {
        check_error(body, "line 1: invalid metric name");
    }
    check_error("m 1\0\n", "line 1: expected float as value, got \"1\\x00\"");
}

#[test]
fn text_errors_in_labels_and_metadata() {
    check_error("{\"m.x\"} 1\n", "line 1: invalid metric name \"m.x\"");
    check_error("{\"m.x\",\"a.b\"=\"c\"} 1\n", "line 1: invalid metric name \"m.x\"");
    check_error("m{\"a.b\"=\"c\"} 1\n", "line 1: invalid label name \"a.b\"");
    check_error("m{a=b} 1\n", "line 1: expected '\"' at start of label value, found 'b'");
    check_error("m{a=\"b} 1\n", "line 1: label value \"b} 1\" contains unescaped new-line");
    check_error("m{a=\"b\",a=\"c\"} 1\n", "line 1: duplicate label names for metric \"m\"");
    check_error("m{__name__=\"x\"} 1\n", "line 1: label name \"__name__\" is reserved");
    check_error("m{a=\"\\t\"} 1\n", "line 1: invalid escape sequence '\\t'");
    check_error(b"m{a=\"\xff\"} 1\n", "line 1: invalid label value \"\\xff\"");
    check_error("m{,} 1\n", "line 1: invalid label name for metric \"m\"");
    check_error(
        "# TYPE h histogram\nh_bucket{,} 1\n",
        "line 2: invalid label name for metric \"h\"",
    );
    check_error("m{a} 1\n", "line 1: expected '=' after label name, found '}'");
    check_error("m{a=\"b\" c=\"d\"} 1\n", "line 1: unexpected end of label value \"b\"");
    check_error("{\"m\",\"n\"} 1\n", "line 1: multiple metric names for metric \"m\"");
    check_error("# HELP m C:\\temp\n", "line 1: invalid escape sequence '\\t'");
    check_error("# HELP m a\n# HELP m b\n", "line 2: second HELP line for metric name \"m\"");
    let twice = "line 2: second TYPE line for metric name \"m\", or TYPE reported after samples";
    check_error("# TYPE m gauge\n# TYPE m gauge\n", twice);
    check_error("m 1\n# TYPE m gauge\n", twice);
    check_error("# TYPE m foo\n", "line 1: unknown metric type \"foo\"");
    check_error("# TYPE m-x gauge\n", "line 1: invalid metric name in comment");
    check_error(
        "# TYPE h histogram\nh_bucket{le=\"x\"} 1\n",
        "line 2: expected float as value for 'le' label, got \"x\"",
    );
    check_error(
        "# TYPE s summary\ns{quantile=\"x\"} 1\n",
        "line 2: expected float as value for 'quantile' label, got \"x\"",
    );
    check_error(
        "# TYPE h histogram\nh_bucket{le=\"1\"} -1\n",
        "line 2: negative bucket population for histogram \"h\"",
    );
    check_error("# TYPE h histogram\nh_count -1\n", "line 2: negative count for histogram \"h\"");
    // What the Pushgateway mangles or drops.
    for count in ["-1", "1.5", "NaN", "1e300"] {
        check_error(
            format!("# TYPE s summary\ns_count {count}\n"),
            "line 2: count of summary \"s\" is not a whole number",
        );
    }
    check_error("# TYPE s summary\ns 1\n", "line 2: sample of summary \"s\" without a quantile");
    for sample in ["h 3", "h_bucket 3"] {
        let body = format!("# TYPE h histogram\n{sample}\n");
        check_error(body, "line 2: sample of histogram \"h\" without a bound (le)");
    }
}

#[test]
fn limits_hold() {
    let limits = Limits {
        samples: 2,
        labels: 1,
        name_bytes: 10,
        value_bytes: 10,
        help_bytes: 10,
        ..Limits::default()
    };
    let long = "x".repeat(11);
    for body in [
        "m 1\nm 1\nm 1\n".to_owned(),
        "m{a=\"\",b=\"\"} 1\n".to_owned(),
        format!("{long} 1\n"),
        format!("m{{{long}=\"\"}} 1\n"),
        format!("m{{a=\"{long}\"}} 1\n"),
        format!("# HELP m {long}\nm 1\n"),
    ] {
        let found = families(body.as_bytes(), None, false, &limits);
        assert!(matches!(found, Err(BodyError::TooLarge(_))), "{body}: {found:?}");
        let body = format!("{body}# EOF\n");
        assert!(families(body.as_bytes(), Some(OPEN_METRICS), false, &limits).is_err(), "{body}");
    }
    let family = family_of("m", 1, &[gauge(1.0), gauge(1.0), gauge(1.0)]);
    let found = families(&family, Some(PROTOBUF), false, &limits);
    assert!(matches!(found, Err(BodyError::TooLarge(_))), "{found:?}");
}

/// A length-delimited field.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

fn double(number: u8, value: f64) -> Vec<u8> {
    [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
}

fn gauge(value: f64) -> Vec<u8> {
    field(2, &double(1, value))
}

fn family_of(name: &str, kind: u8, metrics: &[Vec<u8>]) -> Vec<u8> {
    let metrics: Vec<u8> = metrics.iter().flat_map(|it| field(4, it)).collect();
    let family = [&field(1, name.as_bytes())[..], &[0x18, kind], &metrics].concat();
    [&[u8::try_from(family.len()).unwrap()][..], &family].concat()
}

#[test]
fn protobuf() {
    let show = |body: &[u8]| show(body, Some(PROTOBUF), false);
    assert_eq!(show(b""), "");
    let labels = [field(1, &[field(1, b"b"), field(2, b"2")].concat()), field(1, &field(1, b"a"))];
    let metric = [labels.concat(), gauge(1.5), vec![0x30, 7]].concat();
    let body = family_of("a.b", 1, &[metric]);
    assert_eq!(show(&body), "a.b Gauge \"\" {a=,b=2} Number(1.5) @7\n");
    // A family of a name that was there replaces it; one without a type counts.
    let body = [family_of("m", 1, &[gauge(1.0)]), family_of("m", 1, &[gauge(2.0)])].concat();
    assert_eq!(show(&body), "m Gauge \"\" {} Number(2.0)\n");
    let family = [field(1, b"m"), field(4, &field(3, &double(1, 3.0)))].concat();
    assert_eq!(
        show(&[vec![u8::try_from(family.len()).unwrap()], family].concat()),
        "m Counter \"\" {} Number(3.0)\n"
    );
    assert_eq!(show(&family_of("m", 0, &[gauge(1.0)])), "m Counter \"\" {} Mismatch\n");
    assert_eq!(show(&family_of("m", 1, &[])), "");
}

#[test]
fn protobuf_histograms() {
    let exemplar = [field(1, &[field(1, b"t"), field(2, b"x")].concat()), double(2, 0.5)].concat();
    let bucket = [vec![8, 1], double(2, 1.0), field(3, &exemplar)].concat();
    let spans = [field(12, &[8, 2, 16, 2]), field(12, &[8, 4, 16, 1])].concat();
    let native = [vec![0x28, 6], double(6, 0.125), vec![0x38, 1], spans].concat();
    // Counts 2, 3, 1 as differences.
    let deltas = field(13, &[4, 2, 3]);
    let histogram = [vec![8, 7], double(2, 9.0), field(3, &bucket), native, deltas].concat();
    let body = family_of("h", 4, &[field(7, &histogram)]);
    let found = families(&body, Some(PROTOBUF), false, &Limits::default()).unwrap();
    let Value::Histogram(it) = &found[0].metrics[0].value else { panic!("{found:?}") };
    assert_eq!((it.count, it.sum, it.float, it.buckets.len()), (7.0, 9.0, false, 1));
    let exemplar = it.buckets[0].exemplar.as_ref().unwrap();
    assert_eq!((exemplar.labels[0].1.as_str(), exemplar.value), ("x", 0.5));
    let native = it.native.as_ref().unwrap();
    assert_eq!((native.schema, native.zero_threshold, native.zero_count), (3, 0.125, 1.0));
    assert_eq!(native.positive, [(1, 2.0), (2, 3.0), (5, 1.0)]);
}

#[test]
fn protobuf_errors() {
    let check = |body: &[u8], expected: &str| {
        assert_eq!(show(body, Some(PROTOBUF), false), format!("{expected}\n"), "{body:?}");
    };
    check(&[5, 1], "unexpected EOF");
    check(&[0x80], "unexpected EOF");
    // A frame of 1 TiB, announced in seven bytes.
    let frame = [0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0];
    let found = families(&frame, Some(PROTOBUF), false, &Limits::default());
    assert!(matches!(found, Err(BodyError::TooLarge(_))), "{found:?}");
    check(&[0xff; 11], "proto: variable length integer overflow");
    check(&[1, 0xff], "proto: cannot parse invalid wire-format data");
    check(&[2, 0x0a, 5], "proto: cannot parse invalid wire-format data");
    check(&family_of("", 1, &[gauge(1.0)]), "a metric family has no name");
    check(&[0], "a metric family has no name");
    check(&family_of("m", 1, &[field(1, &field(2, b"x"))]), "a label has no name");
    let latin = field(1, &[field(1, b"a"), field(2, b"\xe4")].concat());
    check(&family_of("m", 1, &[latin]), "a label value is not UTF-8: \"\\xe4\"");
    // More buckets than there are counts, as many as a number can say.
    let spans = field(12, &[8, 0, 16, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    check(&family_of("h", 4, &[field(7, &spans)]), "the native buckets are unsound");
}

#[test]
fn open_metrics() {
    let show = |body: &str| show(body.as_bytes(), Some(OPEN_METRICS), false);
    let body = "# TYPE m counter\n# UNIT m seconds\nm_total 1 # {t=\"x\"} 1\nm_created 5\n";
    assert_eq!(show(&format!("{body}# EOF\n")), "m_total Counter \"\" {} Number(1.0)\n");
    let found = families(body.as_bytes(), Some(OPEN_METRICS), false, &Limits::default()).unwrap();
    assert_eq!(found[0].metrics[0].created_ms, Some(5000));
    assert_eq!(found[0].metrics[0].exemplar.as_ref().unwrap().labels[0].1, "x");
    let histogram = "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3\n# TYPE i info\ni_info{v=\"1\"} 1\n# EOF\n";
    let found = families(histogram.as_bytes(), Some(OPEN_METRICS), false, &Limits::default());
    let found = found.unwrap();
    let Value::Histogram(it) = &found[0].metrics[0].value else { panic!("{found:?}") };
    assert_eq!((it.count, it.sum, it.buckets.len(), it.buckets[0].bound), (2.0, 3.0, 2, 1.0));
    assert_eq!((found[1].name.as_str(), found[1].kind), ("i_info", Kind::Gauge));
    assert_eq!(show("# EOF\nm 1\n"), "OpenMetrics parsing error in line 2: text after # EOF\n");
    assert_eq!(
        show("# TYPE h histogram\nh_bucket{le=\"1.0\"} -1\nh_bucket{le=\"+Inf\"} 2\n# EOF\n"),
        "negative count for histogram \"h\"\n"
    );
}

#[test]
fn media_types() {
    let check = |text: &str, expected: Dialect| assert_eq!(Dialect::of(text), expected, "{text}");
    check("", Dialect::Text);
    check(PROTOBUF, Dialect::Protobuf);
    check(
        "APPLICATION/VND.GOOGLE.PROTOBUF; Encoding=delimited;x=y; proto=\"io.prometheus.client.MetricFamily\"",
        Dialect::Protobuf,
    );
    check("application/vnd.google.protobuf", Dialect::Text);
    check("application/x-protobuf; proto=io.prometheus.client.MetricFamily", Dialect::Text);
    check(OPEN_METRICS, Dialect::OpenMetrics);
}

/// Bodies that are right, to be made wrong.
fn seeds() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let text = "# HELP a x\\\\y\n# TYPE a counter\na{b=\"c\\n\",d=\"\u{e4}\"} 1\n# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 3\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n{\"m\",x=\"y\"} NaN 5\n";
    let open = "# TYPE a counter\na_total{b=\"c\"} 1 # {t=\"x\"} 2\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3\n# EOF\n";
    let bucket = [vec![8, 1], double(2, 1.0)].concat();
    let histogram = [
        vec![8, 7],
        double(2, 9.0),
        field(3, &bucket),
        vec![0x28, 6],
        field(12, &[8, 2, 16, 2]),
        field(13, &[4, 2]),
    ]
    .concat();
    let summary = [vec![8, 1], field(3, &double(1, 0.5))].concat();
    let label = field(1, &[field(1, b"a"), field(2, b"b")].concat());
    let protobuf = [
        family_of("m", 1, &[[label, gauge(1.0)].concat()]),
        family_of("h", 4, &[field(7, &histogram)]),
        family_of("s", 2, &[field(4, &summary)]),
    ]
    .concat();
    vec![
        (text.as_bytes().to_vec(), None),
        (open.as_bytes().to_vec(), Some(OPEN_METRICS)),
        (protobuf, Some(PROTOBUF)),
    ]
}

/// What every reader of families may rely on.
fn assert_sound(families: &[Family]) {
    for family in families {
        assert!(!family.name.is_empty() && !family.metrics.is_empty());
        for metric in &family.metrics {
            assert!(metric.labels.is_sorted_by(|a, b| a.0 <= b.0), "{metric:?}");
            assert!(metric.labels.iter().all(|(name, _)| !name.is_empty()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_bodies_are_read_or_refused(
        seed in 0_usize..3,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..8),
    ) {
        let (mut body, content_type) = seeds().swap_remove(seed);
        for (at, byte, change) in changes {
            let at = at.index(body.len().max(1));
            match change {
                0 if at < body.len() => body[at] = byte,
                1 if at < body.len() => body[at] ^= 1 << (byte % 8),
                2 => body.truncate(at.max(1)),
                _ => body.insert(at, byte),
            }
        }
        for utf8 in [false, true] {
            if let Ok(found) = families(&body, content_type, utf8, &Limits::default()) {
                assert_sound(&found);
            }
        }
    }

    #[test]
    fn any_path_is_read_or_refused(path in "/metrics/job(@base64)?/[a-zU_%0-9A-F/@.+=]{0,40}", utf8: bool) {
        if let Ok(found) = grouping(&path, Options { utf8 }) {
            prop_assert!(!found.job().is_empty());
            prop_assert!(found.iter().all(|(name, _)| !name.is_empty() && !name.starts_with("__")));
        }
    }
}
