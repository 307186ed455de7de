//! Why a push is rejected, in the words of the Pushgateway. Clients match what stands before the first
//! colon; the rest is for people.

use super::limits::Exceeded;
use crate::exposition;
use crate::exposition::Kind;
use crate::labels;
use crate::push::{Timestamp, Value};

/// Errors that are told at once.
pub(super) const MAX_ERRORS: usize = 10;

/// Characters of a metric that an error shows.
const MAX_METRIC_CHARS: usize = 1000;

pub(super) const TWICE: &str = "was collected before with the same name and label values";

/// Why a push was rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It is wrong, or disagrees with what is there.
    #[error("pushed metrics are invalid or inconsistent with existing metrics: {0}")]
    Invalid(String),
    /// Its `Idempotency-Key` came with another push to the same group, which was taken. Nothing changed.
    #[error(
        "the Idempotency-Key was used for another push to this group: send a new key with a new push, and the same push with the same key"
    )]
    KeyReused,
    /// Its job would have more than it may.
    #[error(transparent)]
    Limit(#[from] Exceeded),
}

impl Rejected {
    pub(super) fn invalid(mut errors: Vec<String>) -> Self {
        if errors.len() == 1 {
            return Self::Invalid(errors.pop().unwrap_or_default());
        }
        errors.truncate(MAX_ERRORS);
        Self::Invalid(format!("{} error(s) occurred:\n* {}", errors.len(), errors.join("\n* ")))
    }
}

pub(super) fn kind(it: Kind) -> &'static str {
    match it {
        Kind::Counter => "COUNTER",
        Kind::Gauge | Kind::Info | Kind::StateSet => "GAUGE",
        Kind::Untyped => "UNTYPED",
        Kind::Summary => "SUMMARY",
        Kind::Histogram => "HISTOGRAM",
        Kind::GaugeHistogram => "GAUGE_HISTOGRAM",
    }
}

pub(super) fn own(name: &str) -> String {
    format!("metric family {name:?} is one of the server's own; push it under another name")
}

pub(super) fn timestamp(name: &str, it: Timestamp) -> String {
    let line = it.line.map_or_else(String::new, |it| format!(" in line {it}"));
    format!("pushed metrics must not have timestamps: {name:?} has one{line}")
}

pub(super) fn other_type(name: &str, found: Kind, expected: Kind) -> String {
    let (found, expected) = (kind(found), kind(expected));
    format!("gathered metric family {name} has type {found} but should have {expected}")
}

/// `metric`, as [`metric`] writes it, cannot be added to others.
pub(super) fn not_added(metric: &str, reason: &str) -> String {
    format!("{metric} cannot be added up: {reason}")
}

/// `collected metric "m" { label:{name:"job"  value:"j"}  gauge:{value:1}}`.
pub(super) fn metric(name: &str, block: &str, value: &Value, kind: Kind) -> String {
    let mut inner = String::new();
    for (name, value) in exposition::label_pairs(block) {
        let value = labels::unescape_value(value);
        inner.push_str(&format!("label:{{name:{name:?}  value:{value:?}}}  "));
    }
    match value {
        Value::Number(it) => {
            let field = match kind {
                Kind::Counter => "counter",
                Kind::Untyped => "untyped",
                _ => "gauge",
            };
            inner.push_str(&format!("{field}:{{value:{it}}}"));
        }
        Value::Summary(it) => {
            let (count, sum) = (it.count, it.sum);
            inner.push_str(&format!("summary:{{sample_count:{count}  sample_sum:{sum}}}"));
        }
        Value::Histogram(it) => {
            let (count, sum) = (it.count, it.sum);
            inner.push_str(&format!("histogram:{{sample_count:{count}  sample_sum:{sum}}}"));
        }
        Value::Mismatch => inner.truncate(inner.trim_end().len()),
    }
    if let Some((at, _)) = inner.char_indices().nth(MAX_METRIC_CHARS) {
        inner.truncate(at);
        inner.push_str("...");
    }
    format!("collected metric {name:?} {{ {inner}}}")
}
