//! What `promtool check metrics` and OpenMetrics would hold against the metrics of a rule file: better
//! refused when the file is loaded than at every scrape.

use super::model::{FamilyKind, FamilySpec};
use super::program::Verb;
use super::report::Report;
use crate::labels::{is_label_name, is_metric_name};
use crate::selector::Glob;
use crate::yaml::Place;
use hashbrown::HashMap;

/// Names that the server or Prometheus itself exposes.
const RESERVED_PREFIXES: [&str; 4] = ["observatory_", "process_", "pushgateway_", "scrape_"];
const RESERVED_NAMES: [&str; 3] = ["up", "push_time_seconds", "push_failure_time_seconds"];
/// Suffixes of the samples of other metrics.
const SAMPLE_SUFFIXES: [&str; 4] = ["_bucket", "_count", "_sum", "_created"];
const TYPES: [&str; 5] = ["counter", "gauge", "summary", "untyped", "histogram"];
const ABBREVIATIONS: [&str; 14] =
    ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];
/// Units that are not base units, and the one to use.
const UNITS: [(&str, &str); 14] = [
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];
const BASE_UNITS: [&str; 11] = [
    "amperes", "bytes", "celsius", "grams", "joules", "kelvin", "meters", "metres", "moles",
    "seconds", "volts",
];
const UNIT_PREFIXES: [&str; 20] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "deka", "hecto", "kilo", "kibi",
    "mega", "mebi", "mibi", "giga", "gibi", "tera", "tebi", "peta", "pebi",
];
/// The event types that the documentation names: a glob that matches neither these nor a type that the
/// file names is probably misspelt.
pub(super) const KNOWN_TYPES: [&str; 20] = [
    "ci_build_started",
    "ci_build_completed",
    "ci_tests_completed",
    "ci_workflow_started",
    "ci_workflow_completed",
    "quality_check_completed",
    "quality_score_updated",
    "quality_gate_passed",
    "quality_gate_failed",
    "coverage_updated",
    "deployment_started",
    "deployment_completed",
    "agent_registered",
    "agent_request_started",
    "agent_request_completed",
    "agent_request_processed",
    "agent_collaboration",
    "agent_error",
    "health_check_completed",
    "test_event",
];
const ENVELOPE: [&str; 7] = ["type", "source", "time", "id", "subject", "trace_id", "data"];

/// Whether `name` means something of the envelope, so that no alias may have it.
pub(super) fn is_envelope(name: &str) -> bool {
    ENVELOPE.contains(&name)
}

/// The name of a metric, whatever its type.
pub(super) fn metric_name(name: &str, at: Place, report: &mut Report<'_>) {
    if !is_metric_name(name) || name.contains(':') || name != name.to_ascii_lowercase() {
        let message = "the name of a metric consists of `a-z`, `0-9` and `_` (snake_case)";
        return report.error(at, message);
    }
    if RESERVED_NAMES.contains(&name) || RESERVED_PREFIXES.iter().any(|it| name.starts_with(it)) {
        report.error(at, format!("`{name}` is reserved for the server and for Prometheus"));
    }
    if let Some(it) = SAMPLE_SUFFIXES.iter().find(|it| name.ends_with(**it)) {
        report.error(at, format!("`{it}` is the suffix of the samples of other metrics"));
    }
    for token in name.split('_') {
        if TYPES.contains(&token) && !name.starts_with(token) {
            report.error(at, format!("the name has the type `{token}` in it"));
        }
        if let Some((_, base)) = UNITS.iter().find(|(it, _)| *it == token) {
            report.error(at, format!("`{token}` is no base unit: use `{base}`"));
        }
        let prefixed =
            |base: &&&str| token.strip_suffix(**base).is_some_and(|it| UNIT_PREFIXES.contains(&it));
        if let Some(base) = BASE_UNITS.iter().find(prefixed) {
            report.error(at, format!("`{token}` is no base unit: use `{base}`"));
        }
        if token == "percent" {
            report.warn(at, "by convention metrics are ratios from 0 to 1: `_ratio`, `| percent`");
        }
        if ABBREVIATIONS.contains(&token) {
            report.error(at, format!("`{token}` is an abbreviated unit: write it out"));
        }
    }
}

/// The name of a span, which is the beginning of the names of metrics.
pub(super) fn span_name(name: &str, at: Place, report: &mut Report<'_>) {
    metric_name(name, at, report);
    if name.ends_with("_total") {
        report.error(at, "a span is no counter: leave `_total` out");
    }
}

/// Whether name and type go together.
pub(super) fn metric_type(name: &str, at: Place, verb: Verb, report: &mut Report<'_>) {
    let total = name.ends_with("_total");
    if verb == Verb::Count && !total {
        report.error(at, format!("a counter ends in `_total`: `{name}_total`"));
    }
    if verb != Verb::Count && total {
        report.error(at, format!("`{}` makes no counter: leave `_total` out", verb.as_str()));
    }
}

/// The name of a label.
pub(super) fn label(name: &str, at: Place, report: &mut Report<'_>) {
    if !is_label_name(name) {
        report.error(at, "the name of a label consists of letters, digits and `_`");
    } else if name.starts_with("__") || matches!(name, "le" | "quantile") {
        report.error(at, format!("the label `{name}` is reserved"));
    } else if camel_case(name) {
        report.error(at, format!("the label `{name}` is not snake_case"));
    } else if matches!(name, "job" | "instance") {
        let message =
            format!("Prometheus sets `{name}` itself and renames this label to `exported_{name}`");
        report.warn(at, message);
    }
}

fn camel_case(name: &str) -> bool {
    name.as_bytes().array_windows().any(|[a, b]| a.is_ascii_lowercase() && b.is_ascii_uppercase())
}

/// Names that get into each other's way. Families from `metrics` on belong to spans.
pub(super) fn families(
    families: &[FamilySpec],
    places: &[Place],
    metrics: usize,
    report: &mut Report<'_>,
) {
    let mut samples: HashMap<String, &str> = HashMap::new();
    for (at, (family, place)) in families.iter().zip(places).enumerate() {
        for sample in sample_names(family) {
            let Some(other) = samples.insert(sample.clone(), &family.name) else { continue };
            let message = if other == family.name {
                // The same key twice in one map was reported when the map was read.
                if at < metrics { continue } else { format!("`{other}` is there twice") }
            } else {
                format!("`{}` and `{other}` both have samples called `{sample}`", family.name)
            };
            report.error(*place, message);
        }
    }
}

/// The names that a family takes: those of its samples, and that of the family in OpenMetrics, where a
/// counter's has no `_total`.
fn sample_names(family: &FamilySpec) -> Vec<String> {
    let name = &family.name;
    let mut res = vec![name.clone()];
    match family.kind {
        FamilyKind::Histogram(_) => {
            res.extend(SAMPLE_SUFFIXES.iter().map(|it| format!("{name}{it}")));
        }
        FamilyKind::Counter => {
            let base = name.strip_suffix("_total").unwrap_or(name);
            res.extend([base.to_owned(), format!("{base}_created")]);
        }
        FamilyKind::Gauge | FamilyKind::SpanGauge(..) => {}
    }
    res.dedup();
    res
}

/// Globs that match nothing that is known.
pub(super) fn globs(globs: &[(Glob, Place)], report: &mut Report<'_>) {
    let named = || globs.iter().filter_map(|(it, _)| it.exact()).chain(KNOWN_TYPES);
    for (glob, at) in globs.iter().filter(|(it, _)| it.exact().is_none()) {
        if !named().any(|it| glob.matches(it)) {
            let message = format!("`{glob}` matches no event type that is known or named here");
            report.warn(*at, message);
        }
    }
}
