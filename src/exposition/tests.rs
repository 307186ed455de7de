//! What is encoded reads back the same.

use super::{
    Encoder, Escaping, Format, FormatKind, Kind, MetricFamily, Options, OwnedExemplar, Sample,
    encode_families, parse,
};
use proptest::{collection::vec, prelude::*, sample::select};

type Labels = Vec<(String, String)>;

fn encode(families: &[MetricFamily], kind: FormatKind, escaping: Escaping) -> Vec<u8> {
    let mut encoder = Encoder::new(Format { kind, escaping }, Options { created_series: true });
    encode_families(&mut encoder, families);
    encoder.finish();
    encoder.take()
}

fn sample(name: &str, labels: &Labels, value: f64) -> Sample {
    Sample {
        name: name.to_owned(),
        labels: labels.clone(),
        value,
        timestamp_ms: None,
        exemplar: None,
    }
}

fn with(labels: &Labels, name: &str, value: &str) -> Labels {
    let last = (name.to_owned(), value.to_owned());
    labels.iter().cloned().chain([last]).collect()
}

/// Labels `l0`, `l1`... with any values; the first differs between the series of a family.
fn labels() -> impl Strategy<Value = Labels> {
    vec(any::<String>(), 0..4).prop_map(|values| {
        values.into_iter().enumerate().map(|(at, it)| (format!("l{at}"), it)).collect()
    })
}

/// A family as text 0.0.4 shows it.
fn family() -> impl Strategy<Value = MetricFamily> {
    let kinds = [Kind::Counter, Kind::Gauge, Kind::Untyped, Kind::Summary, Kind::Histogram];
    let series = vec((labels(), any::<f64>(), vec(0_u32..1000, 3)), 1..4);
    (select(kinds.to_vec()), any::<String>(), series).prop_map(|(kind, help, series)| {
        let name = if kind == Kind::Counter { "n_total" } else { "n" };
        let mut samples = Vec::new();
        for (at, (labels, value, counts)) in series.iter().enumerate() {
            let labels = with(labels, "nth", &at.to_string());
            samples.extend(samples_of(kind, name, &labels, *value, counts));
        }
        MetricFamily { name: name.to_owned(), help, kind, unit: None, samples }
    })
}

fn samples_of(kind: Kind, name: &str, labels: &Labels, value: f64, counts: &[u32]) -> Vec<Sample> {
    let mut below = 0.0;
    let mut next = |at: usize| {
        below += f64::from(counts[at]);
        below
    };
    match kind {
        // OpenMetrics wants counters not negative.
        Kind::Counter => vec![sample(name, labels, if value.is_nan() { 0.0 } else { value.abs() })],
        Kind::Summary => vec![
            sample(name, &with(labels, "quantile", "0.5"), value),
            sample("n_sum", labels, value),
            sample("n_count", labels, next(0)),
        ],
        Kind::Histogram => vec![
            sample("n_bucket", &with(labels, "le", "0.5"), next(0)),
            sample("n_bucket", &with(labels, "le", "1e+06"), next(1)),
            sample("n_bucket", &with(labels, "le", "+Inf"), next(2)),
            sample("n_sum", labels, value),
            sample("n_count", labels, below),
        ],
        _ => vec![sample(name, labels, value)],
    }
}

/// Everything about a family in text, where NaN equals NaN and a zero has its sign.
fn show(families: &[MetricFamily]) -> Vec<String> {
    families.iter().map(|it| format!("{it:?}")).collect()
}

proptest! {
    #[test]
    fn text_reads_back(mut family in family()) {
        // Blanks before a help text are no part of it in this format.
        family.help = family.help.trim_start_matches([' ', '\t']).to_owned();
        let families = [family];
        for (kind, escaping) in [
            (FormatKind::Text004, Escaping::Underscores),
            (FormatKind::Text100, Escaping::AllowUtf8),
        ] {
            let page = encode(&families, kind, escaping);
            let back = parse::text(&page, parse::Limits::default()).unwrap();
            prop_assert_eq!(show(&back), show(&families));
        }
    }

    #[test]
    fn open_metrics_reads_back(family in family()) {
        let page = encode(std::slice::from_ref(&family), FormatKind::OpenMetrics100, Escaping::Underscores);
        let back = parse::open_metrics(&page, parse::Limits::default()).unwrap();
        let mut expected = family;
        expected.name = "n".to_owned();
        prop_assert_eq!(show(&back), show(&[expected]));
        // And from the OpenMetrics model to text, which has the full name again.
        let again = encode(&back, FormatKind::OpenMetrics100, Escaping::Underscores);
        prop_assert_eq!(page, again);
    }

    #[test]
    fn any_name_reads_back(name in "\\PC{1,12}", label in "\\PC{1,12}", value in any::<String>()) {
        prop_assume!(label != "__name__");
        let labels = vec![(label, value)];
        let samples = vec![sample(&name, &labels, 1.0)];
        let kind = Kind::Gauge;
        let families = [MetricFamily { name, help: "x".to_owned(), kind, unit: None, samples }];
        let page = encode(&families, FormatKind::Text100, Escaping::AllowUtf8);
        let back = parse::text(&page, parse::Limits::default()).unwrap();
        prop_assert_eq!(show(&back), show(&families));
        for escaping in [Escaping::Underscores, Escaping::Dots, Escaping::Values] {
            let page = encode(&families, FormatKind::OpenMetrics100, escaping);
            let back = parse::open_metrics(&page, parse::Limits::default()).unwrap();
            prop_assert_eq!(&back[0].samples[0].labels[0].1, &families[0].samples[0].labels[0].1);
        }
    }
}

#[test]
fn every_part_of_a_family_comes_back() {
    let page = r##"# HELP a A.
# TYPE a counter
a_total{x="1"} 2 # {trace_id="t"} 1 1767607200.5
a_created{x="1"} 1767607200.25
# HELP h_seconds H.
# TYPE h_seconds histogram
# UNIT h_seconds seconds
h_seconds_bucket{le="1.0"} 2
h_seconds_bucket{le="+Inf"} 3 # {"t.x"="t"} 7
h_seconds_sum 9
h_seconds_count 3
h_seconds_created 1767607200
# TYPE s summary
s{quantile="0.5"} 2
s_sum 4
s_count 2
s_created 5
# TYPE g gaugehistogram
g_bucket{le="+Inf"} 3
g_gsum 9
g_gcount 3
# EOF
"##;
    let families = parse::open_metrics(page.as_bytes(), parse::Limits::default()).unwrap();
    let again = encode(&families, FormatKind::OpenMetrics100, Escaping::AllowUtf8);
    assert_eq!(String::from_utf8(again).unwrap(), page);
    assert_eq!(
        families[0].samples[0].exemplar,
        Some(OwnedExemplar {
            labels: vec![("trace_id".to_owned(), "t".to_owned())],
            value: 1.0,
            timestamp_ns: Some(1_767_607_200_500_000_000),
        })
    );
}

#[test]
fn info_and_state_sets_become_gauges() {
    let page =
        "# TYPE build info\nbuild_info{version=\"1\"} 1\n# TYPE s stateset\ns{s=\"on\"} 1\n# EOF\n";
    let families = parse::open_metrics(page.as_bytes(), parse::Limits::default()).unwrap();
    let text = encode(&families, FormatKind::Text004, Escaping::Underscores);
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n# TYPE s gauge\ns{s=\"on\"} 1\n"
    );
}
