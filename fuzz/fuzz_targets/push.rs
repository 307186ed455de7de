//! Any bytes as the path and the body of a push in every dialect: no panic, and whatever is accepted keeps what
//! its readers rely on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observatory::push::{self, Limits, Options};

const TYPES: [Option<&str>; 3] = [
    None,
    Some("application/openmetrics-text; version=1.0.0"),
    Some(
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
    ),
];

fuzz_target!(|input: (u8, &str, &[u8])| {
    let (dialect, path, body) = input;
    let utf8 = dialect & 0x80 != 0;
    if let Ok(found) = push::grouping(&format!("/metrics/job{path}"), Options { utf8 }) {
        assert!(!found.job().is_empty());
        assert!(found.iter().all(|(name, _)| !name.is_empty() && !name.starts_with("__")));
    }
    let _ = push::raw_families(body);
    let content_type = TYPES[usize::from(dialect) % TYPES.len()];
    let limits = Limits { samples: 1000, ..Limits::default() };
    let Ok(families) = push::families(body, content_type, utf8, &limits) else { return };
    for family in families {
        assert!(!family.name.is_empty() && !family.metrics.is_empty());
        for metric in family.metrics {
            assert!(metric.labels.is_sorted_by(|a, b| a.0 <= b.0));
            assert!(metric.labels.iter().all(|(name, _)| !name.is_empty()));
        }
    }
});
