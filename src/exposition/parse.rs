//! Reading text 0.0.4 (and 1.0.0, whose quoted names are always understood) and OpenMetrics 1.0.
//!
//! The readers are strict: whatever a reader of Prometheus would reject is an error that names its line.
//! They hold no more than a small multiple of the input, bounded further by [`Limits`], and never panic.

mod group;
mod line;

use super::{MetricFamily, Sample};

/// What an input may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Samples in all. Default 1 000 000.
    pub samples: usize,
    /// Labels of one sample. Default 256.
    pub labels: usize,
}

/// Why an input cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// The two grammars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// Prometheus text: free with blanks, comments and the order of lines.
    Text,
    /// OpenMetrics: everything in its place.
    OpenMetrics,
}

/// Reads text 0.0.4 or 1.0.0. Families appear in the order of their first line; those without samples
/// are left out.
///
/// # Errors
///
/// The first line that is malformed, repeats metadata or exceeds a limit.
pub fn text(input: &[u8], limits: Limits) -> Result<Vec<MetricFamily>, ParseError> {
    read(input, limits, Dialect::Text)
}

/// Reads OpenMetrics 1.0.
///
/// # Errors
///
/// As [`text`]; also families that are interleaved, and a missing `# EOF`.
pub fn open_metrics(input: &[u8], limits: Limits) -> Result<Vec<MetricFamily>, ParseError> {
    read(input, limits, Dialect::OpenMetrics)
}

/// Reads one sample as text 0.0.4 writes it, such as `ci_builds_total{result="ok"} 1`, without a line
/// feed.
///
/// # Errors
///
/// The line is malformed; [`ParseError::line`] is 1.
pub fn sample_line(line: &str) -> Result<Sample, ParseError> {
    line::sample(line, Dialect::Text, Limits::default())
        .map_err(|reason| ParseError { line: 1, reason })
}

fn read(input: &[u8], limits: Limits, dialect: Dialect) -> Result<Vec<MetricFamily>, ParseError> {
    let input = match str::from_utf8(input) {
        Ok(input) => input,
        Err(error) => {
            let valid = input.get(..error.valid_up_to()).unwrap_or_default();
            let line = memchr::memchr_iter(b'\n', valid).count() + 1;
            return Err(ParseError { line, reason: "invalid utf-8".to_owned() });
        }
    };
    let mut groups = group::Groups::new(dialect, limits);
    let mut n_lines = 0;
    let mut eof = false;
    for (at, raw) in input.split_inclusive('\n').enumerate() {
        n_lines = at + 1;
        let fail = |reason| ParseError { line: at + 1, reason };
        if eof {
            return Err(fail("text after # EOF".to_owned()));
        }
        if dialect == Dialect::OpenMetrics && matches!(raw, "# EOF\n" | "# EOF") {
            eof = true;
            continue;
        }
        let line = raw.strip_suffix('\n').ok_or_else(|| fail("no line feed at the end".into()))?;
        groups.line(line).map_err(fail)?;
    }
    if dialect == Dialect::OpenMetrics && !eof {
        return Err(ParseError { line: n_lines + 1, reason: "no # EOF at the end".to_owned() });
    }
    Ok(groups.finish())
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self { samples: 1_000_000, labels: 256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Kind;
    use proptest::prelude::*;

    /// Samples as `name {(label, value)...} value`, or the error.
    fn show(result: Result<Vec<MetricFamily>, ParseError>) -> String {
        match result {
            Err(error) => format!("{error}\n"),
            Ok(families) => families.iter().map(show_family).collect(),
        }
    }

    fn show_family(family: &MetricFamily) -> String {
        let MetricFamily { name, help, kind, unit, samples } = family;
        let mut res = format!("{name} {kind:?} {help:?} {unit:?}\n");
        for it in samples {
            res += &format!("  {} {:?} {}", it.name, it.labels, it.value);
            res += &it.timestamp_ms.map(|it| format!(" @{it}")).unwrap_or_default();
            if let Some(it) = &it.exemplar {
                res += &format!(" # {:?} {} {:?}", it.labels, it.value, it.timestamp_ns);
            }
            res.push('\n');
        }
        res
    }

    #[track_caller]
    fn check_text(input: &str, expected: &str) {
        assert_eq!(show(text(input.as_bytes(), Limits::default())), expected, "{input}");
    }

    #[track_caller]
    fn check_open_metrics(input: &str, expected: &str) {
        assert_eq!(show(open_metrics(input.as_bytes(), Limits::default())), expected, "{input}");
    }

    #[test]
    fn text_samples() {
        check_text("", "");
        check_text("\n  \t\n# comment\n#\n# EOF\n# UNIT a b\n", "");
        check_text("m 1\n", "m Untyped \"\" None\n  m [] 1\n");
        check_text("  m\t 1.5  -7 \n", "m Untyped \"\" None\n  m [] 1.5 @-7\n");
        check_text(
            "m {a=\"x\\\\\\\"\\n\" , b = \"{}, \",}2\n",
            "m Untyped \"\" None\n  m [(\"a\", \"x\\\\\\\"\\n\"), (\"b\", \"{}, \")] 2\n",
        );
        check_text(
            "m{} nan\nm{a=\"\"} -Inf\n",
            "m Untyped \"\" None\n  m [] NaN\n  m [(\"a\", \"\")] -inf\n",
        );
        check_text(
            "{\"m.x\",\"a.b\"=\"c\"} 1\n{a=\"1\",\"m.x\"} .5\n",
            "m.x Untyped \"\" None\n  m.x [(\"a.b\", \"c\")] 1\n  m.x [(\"a\", \"1\")] 0.5\n",
        );
    }

    #[test]
    fn text_families() {
        check_text(
            "#TYPE h histogram\n# HELP h a\\\\b\\n\\\"c\\\"\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\nh_created 5\n",
            "h Histogram \"a\\\\b\\n\\\"c\\\"\" None\n  h_bucket [(\"le\", \"+Inf\")] 1\n  h_sum [] 2\n  h_count [] 1\nh_created Untyped \"\" None\n  h_created [] 5\n",
        );
        check_text(
            "# TYPE a GAUGE\na 1\nb_total 2\n# HELP a late\na{x=\"y\"} 3\n# TYPE unused counter\n",
            "a Gauge \"late\" None\n  a [] 1\n  a [(\"x\", \"y\")] 3\nb_total Untyped \"\" None\n  b_total [] 2\n",
        );
    }

    #[test]
    fn text_errors() {
        check_text("m 1", "line 1: no line feed at the end\n");
        check_text("ok 1\nm 1\r\n", "line 2: expected a number, got \"1\\r\"\n");
        for bad in ["0x10", "1_000", "1e400", "x", "-NaN", "1e", "infinit"] {
            let expected = format!("line 1: expected a number, got {bad:?}\n");
            check_text(&format!("m {bad}\n"), &expected);
        }
        check_text("m\n", "line 1: expected a number, got \"\"\n");
        check_text("m 1 x\n", "line 1: expected a timestamp, got \"x\"\n");
        check_text("m 1 # c\n", "line 1: expected a timestamp, got \"#\"\n");
        check_text("m 1 1 1\n", "line 1: unexpected \"1\"\n");
        check_text("1m 1\n", "line 1: invalid metric name\n");
        check_text("m-x 1\n", "line 1: invalid metric name\n");
        check_text("\u{feff}m 1\n", "line 1: invalid metric name\n");
        check_text("{a=\"b\"} 1\n", "line 1: no metric name\n");
        check_text("m{a=b} 1\n", "line 1: expected a quote before \"b} 1\"\n");
        check_text("m{a=\"b} 1\n", "line 1: no closing quote\n");
        check_text("m{a=\"\\t\"} 1\n", "line 1: invalid escape \\t\n");
        check_text("m{a=\"b\",a=\"c\"} 1\n", "line 1: duplicate label name \"a\"\n");
        check_text("m{__name__=\"x\"} 1\n", "line 1: label name \"__name__\" is reserved\n");
        check_text("m{a:b=\"x\"} 1\n", "line 1: invalid label name \"a:b\"\n");
        check_text("m{,} 1\n", "line 1: expected a label before \",} 1\"\n");
        check_text("m{a=\"b\" c=\"d\"} 1\n", "line 1: expected , or } before \"c=\\\"d\\\"} 1\"\n");
        check_text("m{\"x\"} 1\n", "line 1: multiple metric names for metric \"m\"\n");
        check_text("# HELP m C:\\temp\n", "line 1: invalid escape \\t\n");
        check_text("# HELP m a\n# HELP m b\n", "line 2: second HELP line for metric name \"m\"\n");
        check_text("# TYPE m foo\n", "line 1: unknown metric type \"foo\"\n");
        check_text("# TYPE m\n", "line 1: invalid metric name after TYPE\n");
        check_text("# TYPE\n", "line 1: no metric name after TYPE\n");
        let twice =
            "line 2: second TYPE line for metric name \"m\", or TYPE reported after samples\n";
        check_text("# TYPE m gauge\n# TYPE m gauge\n", twice);
        check_text("m 1\n# TYPE m gauge\n", twice);
        let invalid = text(b"m 1\nm{a=\"\xff\"} 1\n", Limits::default());
        assert_eq!(show(invalid), "line 2: invalid utf-8\n");
    }

    #[test]
    fn limits_hold() {
        let limits = Limits { samples: 2, labels: 1 };
        assert_eq!(show(text(b"m 1\nm 1\nm 1\n", limits)), "line 3: more than 2 samples\n");
        assert_eq!(show(text(b"m{a=\"\",b=\"\"} 1\n", limits)), "line 1: more than 1 labels\n");
    }

    #[test]
    fn open_metrics_samples() {
        check_open_metrics("# EOF\n", "");
        check_open_metrics(
            "# TYPE a counter\n# UNIT a \n# HELP a \\\"x\\\"\na_total{b=\"c\"} 3 1.5 # {t=\"x\"} 2 1767607200.000000001\na_created{b=\"c\"} 1\n# TYPE i info\ni_info{v=\"1\"} 1\n# EOF",
            "a Counter \"\\\"x\\\"\" Some(\"\")\n  a_total [(\"b\", \"c\")] 3 @1500 # [(\"t\", \"x\")] 2 Some(1767607200000000001)\n  a_created [(\"b\", \"c\")] 1\ni Info \"\" None\n  i_info [(\"v\", \"1\")] 1\n",
        );
        check_open_metrics(
            "# TYPE s_seconds stateset\n# UNIT s_seconds seconds\ns_seconds{s_seconds=\"a\"} 1\n# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 1 # {} -1e3\ng_gsum 2\ng_gcount 1\n# EOF\n",
            "s_seconds StateSet \"\" Some(\"seconds\")\n  s_seconds [(\"s_seconds\", \"a\")] 1\ng GaugeHistogram \"\" None\n  g_bucket [(\"le\", \"+Inf\")] 1 # [] -1000 None\n  g_gsum [] 2\n  g_gcount [] 1\n",
        );
    }

    #[test]
    fn open_metrics_errors() {
        check_open_metrics("a 1\n", "line 2: no # EOF at the end\n");
        check_open_metrics("# EOF\na 1\n", "line 2: text after # EOF\n");
        check_open_metrics("\n# EOF\n", "line 1: blank line\n");
        check_open_metrics("# comment\n# EOF\n", "line 1: unknown keyword \"comment\"\n");
        check_open_metrics("#TYPE a gauge\n", "line 1: invalid metric name\n");
        check_open_metrics("a  1\n", "line 1: expected a number, got \"\"\n");
        check_open_metrics("a{b=\"c\"}1\n", "line 1: expected a space before \"1\"\n");
        check_open_metrics("a 1 NaN\n", "line 1: expected a timestamp, got \"NaN\"\n");
        check_open_metrics("a 1 1 \n", "line 1: expected an exemplar\n");
        check_open_metrics("a 1 # {b=\"c\"} 1\n", "line 1: sample \"a\" cannot have an exemplar\n");
        check_open_metrics("# TYPE a untyped\n", "line 1: unknown metric type \"untyped\"\n");
        check_open_metrics(
            "# UNIT a_seconds bytes\n",
            "line 1: unit \"bytes\" is not the end of the name \"a_seconds\"\n",
        );
        let wrong = "line 2: sample \"a\" does not fit the type of its family\n";
        for kind in ["counter", "histogram", "summary", "info", "stateset"] {
            check_open_metrics(&format!("# TYPE a {kind}\na 1\n"), wrong);
        }
        check_open_metrics(
            "# TYPE a counter\na_total -1\n",
            "line 2: counter \"a_total\" is negative or no number\n",
        );
        check_open_metrics(
            "# TYPE a histogram\na_bucket 1\n",
            "line 2: bucket \"a_bucket\" without le\n",
        );
        check_open_metrics(
            "a 1\nb 1\na{x=\"\"} 1\n",
            "line 3: the lines of \"a\" are not together\n",
        );
    }

    #[test]
    fn one_sample() {
        let sample = sample_line("ci_builds_total{result=\"ok\", project=\"w\"} 2").unwrap();
        assert_eq!((sample.name.as_str(), sample.value), ("ci_builds_total", 2.0));
        assert_eq!(sample.labels.len(), 2);
        assert_eq!(
            sample_line("m").unwrap_err().to_string(),
            "line 1: expected a number, got \"\""
        );
    }

    #[test]
    fn what_prometheus_client_writes() {
        use prometheus_client::{metrics::counter::Counter, registry::Registry};
        let mut registry = Registry::default();
        let counter: Counter = Counter::default();
        counter.inc_by(2);
        registry.register("hits", "Hits", counter);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        let families = open_metrics(page.as_bytes(), Limits::default()).unwrap();
        assert_eq!(families.first().unwrap().kind, Kind::Counter);
        check_open_metrics(&page, "hits Counter \"Hits.\" None\n  hits_total [] 2\n");
    }

    /// Text made of what the grammars are made of, which gets further than random bytes.
    fn nearly_valid() -> impl Strategy<Value = String> {
        let parts = [
            "# TYPE ",
            "# HELP ",
            "# UNIT ",
            "# EOF",
            "counter",
            "histogram",
            "summary",
            "a",
            "a_total",
            "a_bucket",
            "{",
            "}",
            "le=\"1\"",
            "\"a.b\"",
            "=",
            "\"",
            "\\",
            ",",
            " ",
            "\n",
            "1",
            "-1e9",
            "NaN",
            "1.5",
            " # {",
            "ä",
            "\t",
            "99999999999999999999.9",
        ];
        proptest::collection::vec(proptest::sample::select(parts.to_vec()), 0..40)
            .prop_map(|it| it.concat())
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_rejected(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = text(&input, Limits::default());
            let _ = open_metrics(&input, Limits::default());
        }

        #[test]
        fn nearly_valid_text_is_read_or_rejected(input in nearly_valid()) {
            for result in [
                text(input.as_bytes(), Limits::default()),
                open_metrics(input.as_bytes(), Limits::default()),
            ] {
                if let Err(error) = result {
                    prop_assert!((1..=input.lines().count() + 1).contains(&error.line));
                }
            }
        }
    }
}
