//! One encoder for all formats.

use super::{
    CumulativeView, Exemplar, FamilyHead, Format, FormatKind, HistogramView, Options, SummaryView,
    protobuf::Protobuf, text::Text,
};

/// Writes families in one format.
///
/// Call [`begin_family`](Self::begin_family), then the method of the family's kind for each of its
/// samples, then [`end_family`](Self::end_family); after the last family [`finish`](Self::finish).
/// Between any two calls [`take`](Self::take) hands over what is complete.
///
/// The encoder trusts its caller for what it cannot see without remembering the page: that no name is
/// begun twice, and no series written twice.
#[derive(Debug)]
pub struct Encoder {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Text(Text),
    Protobuf(Protobuf),
}

// === impl Encoder ===

impl Encoder {
    /// An encoder with nothing in it.
    #[must_use]
    pub fn new(format: Format, options: Options) -> Self {
        let inner = match format.kind {
            FormatKind::Protobuf => Inner::Protobuf(Protobuf::new(format)),
            _ => Inner::Text(Text::new(format, options)),
        };
        Self { inner }
    }

    /// Begins a family.
    pub fn begin_family(&mut self, head: &FamilyHead<'_>) {
        match &mut self.inner {
            Inner::Text(it) => it.begin_family(head),
            Inner::Protobuf(it) => it.begin_family(head),
        }
    }

    /// Writes a counter. `labels` is a block of [`crate::labels`]; `created_ms` is in milliseconds since
    /// the epoch.
    #[inline]
    pub fn counter(
        &mut self,
        labels: &str,
        value: f64,
        created_ms: Option<i64>,
        exemplar: Option<&Exemplar<'_>>,
    ) {
        match &mut self.inner {
            Inner::Text(it) => it.counter(labels, value, created_ms, exemplar),
            Inner::Protobuf(it) => it.counter(labels, value, created_ms, exemplar),
        }
    }

    /// Writes a gauge.
    #[inline]
    pub fn gauge(&mut self, labels: &str, value: f64) {
        match &mut self.inner {
            Inner::Text(it) => it.plain(labels, value),
            Inner::Protobuf(it) => it.gauge(labels, value),
        }
    }

    /// Writes a sample of an untyped family.
    #[inline]
    pub fn untyped(&mut self, labels: &str, value: f64) {
        match &mut self.inner {
            Inner::Text(it) => it.plain(labels, value),
            Inner::Protobuf(it) => it.untyped(labels, value),
        }
    }

    /// Writes a summary.
    pub fn summary(&mut self, labels: &str, view: &SummaryView<'_>) {
        match &mut self.inner {
            Inner::Text(it) => it.summary(labels, view),
            Inner::Protobuf(it) => it.summary(labels, view),
        }
    }

    /// Writes a histogram (or gauge histogram).
    pub fn histogram(&mut self, labels: &str, view: &HistogramView<'_>) {
        match &mut self.inner {
            Inner::Text(it) => it.histogram(labels, view),
            Inner::Protobuf(it) => it.histogram(labels, view),
        }
    }

    /// Writes a histogram (or gauge histogram) that somebody else counted.
    pub fn cumulative(&mut self, labels: &str, view: &CumulativeView<'_>) {
        match &mut self.inner {
            Inner::Text(it) => it.cumulative(labels, view),
            Inner::Protobuf(it) => it.cumulative(labels, view),
        }
    }

    /// Ends the family. In protobuf, only now it can be taken.
    pub fn end_family(&mut self) {
        match &mut self.inner {
            Inner::Text(_) => {}
            Inner::Protobuf(it) => it.end_family(),
        }
    }

    /// Writes what ends a page: `# EOF` in OpenMetrics.
    pub fn finish(&mut self) {
        match &mut self.inner {
            Inner::Text(it) => it.finish(),
            Inner::Protobuf(_) => {}
        }
    }

    /// Bytes that [`take`](Self::take) would give.
    #[must_use]
    pub fn buffered(&self) -> usize {
        match &self.inner {
            Inner::Text(it) => it.buffered(),
            Inner::Protobuf(it) => it.buffered(),
        }
    }

    /// Drains what is complete so far.
    pub fn take(&mut self) -> Vec<u8> {
        self.replace(Vec::new())
    }

    /// Drains what is complete so far and goes on writing at the end of `buffer`, which usually is an
    /// empty one with the capacity of a chunk: memory that was written before is much faster than fresh
    /// memory.
    pub fn replace(&mut self, buffer: Vec<u8>) -> Vec<u8> {
        match &mut self.inner {
            Inner::Text(it) => it.replace(buffer),
            Inner::Protobuf(it) => it.replace(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::{Escaping, Kind, NativeView};

    fn page(kind: FormatKind, escaping: Escaping, created_series: bool) -> String {
        let format = Format { kind, escaping };
        let mut encoder = Encoder::new(format, Options { created_series });
        every_kind(&mut encoder);
        encoder.finish();
        String::from_utf8(encoder.take()).unwrap()
    }

    fn every_kind(encoder: &mut Encoder) {
        let exemplar = Exemplar {
            labels: "{trace_id=\"0af7651916cd43dd8448eb211c80319c\"}",
            value: 2.0,
            timestamp_ns: Some(1_767_607_200_500_000_000),
        };
        encoder.begin_family(&FamilyHead::new(
            "ci_builds_total",
            "Builds \\ \"done\"\n.",
            Kind::Counter,
        ));
        encoder.counter("{result=\"ok\"}", 3.0, Some(1_767_607_200_000), Some(&exemplar));
        encoder.counter("", 1e15, None, None);
        encoder.end_family();

        encoder.begin_family(&FamilyHead::new("pushed", "", Kind::Counter));
        encoder.counter("{a=\"x\\\"y\"}", 0.5, Some(0), Some(&exemplar));
        encoder.end_family();

        let head = FamilyHead::new("coverage_ratio", "Coverage.", Kind::Gauge);
        encoder.begin_family(&FamilyHead { unit: Some("ratio"), ..head });
        encoder.gauge("{project=\"web\"}", f64::NAN);
        encoder.end_family();

        encoder.begin_family(&FamilyHead::new("anything", "Any.", Kind::Untyped));
        encoder.untyped("", -1.5e-9);
        encoder.end_family();

        let head = FamilyHead::new("rpc_seconds", "Calls.", Kind::Summary);
        encoder.begin_family(&FamilyHead { unit: Some("minutes"), ..head });
        let view = SummaryView {
            quantiles: &[(0.5, 1.0), (1.0, f64::INFINITY)],
            sum: 4.5,
            count: 3,
            created_ms: Some(1_767_607_200_250),
        };
        encoder.summary("{m=\"GET\"}", &view);
        encoder.end_family();

        encoder.begin_family(&FamilyHead::new("build_seconds", "Time.", Kind::Histogram));
        let view = HistogramView {
            count: 6,
            sum: 130.0,
            bounds: &[1.0, 2.5, 60.0],
            counts: &[1, 2, 0, 3],
            created_ms: None,
            exemplars: &[None, Some(exemplar)],
            native: Some(NativeView {
                schema: 0,
                zero_threshold: 0.0,
                zero_count: 0,
                positive: &[(0, 6)],
                negative: &[],
            }),
        };
        encoder.histogram("{p=\"web\"}", &view);
        let empty = HistogramView { bounds: &[], counts: &[], exemplars: &[], count: 0, ..view };
        encoder.histogram("", &HistogramView { sum: 0.0, native: None, ..empty });
        encoder.end_family();
    }

    #[test]
    fn text() {
        let expected = r#"# HELP ci_builds_total Builds \\ "done"\n.
# TYPE ci_builds_total counter
ci_builds_total{result="ok"} 3
ci_builds_total 1000000000000000
# TYPE pushed counter
pushed{a="x\"y"} 0.5
# HELP coverage_ratio Coverage.
# TYPE coverage_ratio gauge
coverage_ratio{project="web"} NaN
# HELP anything Any.
# TYPE anything untyped
anything -1.5e-9
# HELP rpc_seconds Calls.
# TYPE rpc_seconds summary
rpc_seconds{m="GET",quantile="0.5"} 1
rpc_seconds{m="GET",quantile="1"} +Inf
rpc_seconds_sum{m="GET"} 4.5
rpc_seconds_count{m="GET"} 3
# HELP build_seconds Time.
# TYPE build_seconds histogram
build_seconds_bucket{p="web",le="1"} 1
build_seconds_bucket{p="web",le="2.5"} 3
build_seconds_bucket{p="web",le="60"} 3
build_seconds_bucket{p="web",le="+Inf"} 6
build_seconds_sum{p="web"} 130
build_seconds_count{p="web"} 6
build_seconds_bucket{le="+Inf"} 0
build_seconds_sum 0
build_seconds_count 0
"#;
        assert_eq!(page(FormatKind::Text004, Escaping::Underscores, true), expected);
        assert_eq!(page(FormatKind::Text100, Escaping::AllowUtf8, true), expected);
    }

    #[test]
    fn open_metrics() {
        let expected = r##"# HELP ci_builds Builds \\ \"done\"\n.
# TYPE ci_builds counter
ci_builds_total{result="ok"} 3 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 2 1767607200.5
ci_builds_created{result="ok"} 1767607200
ci_builds_total 1000000000000000
# TYPE pushed unknown
pushed{a="x\"y"} 0.5
# HELP coverage_ratio Coverage.
# TYPE coverage_ratio gauge
# UNIT coverage_ratio ratio
coverage_ratio{project="web"} NaN
# HELP anything Any.
# TYPE anything unknown
anything -1.5e-9
# HELP rpc_seconds Calls.
# TYPE rpc_seconds summary
rpc_seconds{m="GET",quantile="0.5"} 1
rpc_seconds{m="GET",quantile="1.0"} +Inf
rpc_seconds_sum{m="GET"} 4.5
rpc_seconds_count{m="GET"} 3
rpc_seconds_created{m="GET"} 1767607200.25
# HELP build_seconds Time.
# TYPE build_seconds histogram
build_seconds_bucket{p="web",le="1.0"} 1
build_seconds_bucket{p="web",le="2.5"} 3 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 2 1767607200.5
build_seconds_bucket{p="web",le="60.0"} 3
build_seconds_bucket{p="web",le="+Inf"} 6
build_seconds_sum{p="web"} 130
build_seconds_count{p="web"} 6
build_seconds_bucket{le="+Inf"} 0
build_seconds_sum 0
build_seconds_count 0
# EOF
"##;
        let created = page(FormatKind::OpenMetrics100, Escaping::Underscores, true);
        assert_eq!(created, expected);
        assert_eq!(page(FormatKind::OpenMetrics001, Escaping::AllowUtf8, true), expected);
        let without: String =
            expected.split_inclusive('\n').filter(|it| !it.contains("_created")).collect();
        assert_eq!(page(FormatKind::OpenMetrics100, Escaping::Underscores, false), without);
    }

    #[track_caller]
    fn check_utf8(kind: FormatKind, escaping: Escaping, expected: &str) {
        let mut encoder = Encoder::new(Format { kind, escaping }, Options::default());
        let head = FamilyHead::new("a.b_total", "", Kind::Counter);
        encoder.begin_family(&FamilyHead { quoted_labels: true, ..head });
        encoder.counter("{\"c.d\"=\"x\",e=\"y\"}", 1.0, None, None);
        encoder.counter("", 2.0, None, None);
        encoder.end_family();
        let view = HistogramView {
            count: 1,
            sum: 1.0,
            bounds: &[],
            counts: &[1],
            created_ms: None,
            exemplars: &[],
            native: None,
        };
        encoder.begin_family(&FamilyHead::new("h.i", "", Kind::Histogram));
        encoder.histogram("", &view);
        encoder.end_family();
        assert_eq!(String::from_utf8(encoder.take()).unwrap(), expected);
    }

    #[test]
    fn names_outside_of_the_legacy_set() {
        check_utf8(
            FormatKind::Text100,
            Escaping::AllowUtf8,
            r#"# TYPE "a.b_total" counter
{"a.b_total","c.d"="x",e="y"} 1
{"a.b_total"} 2
# TYPE "h.i" histogram
{"h.i_bucket",le="+Inf"} 1
{"h.i_sum"} 1
{"h.i_count"} 1
"#,
        );
        check_utf8(
            FormatKind::OpenMetrics100,
            Escaping::AllowUtf8,
            r#"# TYPE "a.b" counter
{"a.b_total","c.d"="x",e="y"} 1
{"a.b_total"} 2
# TYPE "h.i" histogram
{"h.i_bucket",le="+Inf"} 1
{"h.i_sum"} 1
{"h.i_count"} 1
"#,
        );
        check_utf8(
            FormatKind::Text004,
            Escaping::Underscores,
            r#"# TYPE a_b_total counter
a_b_total{c_d="x",e="y"} 1
a_b_total 2
# TYPE h_i histogram
h_i_bucket{le="+Inf"} 1
h_i_sum 1
h_i_count 1
"#,
        );
        check_utf8(
            FormatKind::OpenMetrics100,
            Escaping::Dots,
            r#"# TYPE a_dot_b_ counter
a_dot_b__total{c_dot_d="x",e="y"} 1
a_dot_b__total 2
# TYPE h_dot_i histogram
h_dot_i_bucket{le="+Inf"} 1
h_dot_i_sum 1
h_dot_i_count 1
"#,
        );
        check_utf8(
            FormatKind::Text004,
            Escaping::Values,
            r#"# TYPE U__a_2e_b__total counter
U__a_2e_b__total{U__c_2e_d="x",e="y"} 1
U__a_2e_b__total 2
# TYPE U__h_2e_i histogram
U__h_2e_i_bucket{le="+Inf"} 1
U__h_2e_i_sum 1
U__h_2e_i_count 1
"#,
        );
    }

    #[test]
    fn a_long_exemplar_is_left_out() {
        let text = |chars: usize| {
            let labels = format!("{{a=\"{}\"}}", "ä".repeat(chars));
            let format = Format { kind: FormatKind::OpenMetrics100, ..Format::TEXT };
            let mut encoder = Encoder::new(format, Options::default());
            encoder.begin_family(&FamilyHead::new("a_total", "", Kind::Counter));
            let exemplar = Exemplar { labels: &labels, value: 1.0, timestamp_ns: None };
            encoder.counter("", 1.0, None, Some(&exemplar));
            String::from_utf8(encoder.take()).unwrap().contains(" # {")
        };
        assert!(text(127));
        assert!(!text(128));
    }
}
