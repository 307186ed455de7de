//! What is pushed, as values.

use crate::exposition::Kind;

/// An example of what was counted.
pub use crate::exposition::OwnedExemplar as Exemplar;

/// A metric family as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name as a scrape shows it: a counter's with `_total` if it was sent so. Never empty.
    pub name: String,
    /// The help text, unescaped; empty if there is none.
    pub help: String,
    /// The type. Never an info or a state set, which are gauges here.
    pub kind: Kind,
    /// The unit, if the sender said one.
    pub unit: Option<String>,
    /// One per set of labels, in the order in which they were sent. Never empty.
    pub metrics: Vec<Metric>,
}

/// One metric of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Names and values, sorted by name; the grouping's are not applied yet. From protobuf a name may
    /// stand twice or be one that no label may have.
    pub labels: Vec<(String, String)>,
    /// What it says.
    pub value: Value,
    /// The time that the sender gave it. A push with one is rejected.
    pub timestamp: Option<Timestamp>,
    /// When it began, in milliseconds since the epoch.
    pub created_ms: Option<i64>,
    /// The exemplar of a counter.
    pub exemplar: Option<Box<Exemplar>>,
}

/// The time that a sender gave a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Milliseconds since the epoch.
    pub millis: i64,
    /// The line of the body where it stands, from 1, if the body is text 0.0.4.
    pub line: Option<usize>,
}

/// What a metric says.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a counter, a gauge or an untyped metric.
    Number(f64),
    /// Of a summary.
    Summary(Summary),
    /// Of a histogram or a gauge histogram.
    Histogram(Box<Histogram>),
    /// The message has no value of its family's type, which only protobuf can bring about. A push with
    /// one is rejected.
    Mismatch,
}

/// One summary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Quantile and value, in the order in which they were sent.
    pub quantiles: Vec<(f64, f64)>,
}

/// One histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Whether counts may be fractions.
    pub float: bool,
    /// The classic buckets as they were sent, in that order; `+Inf` only if it was among them.
    pub buckets: Vec<Bucket>,
    /// The native buckets.
    pub native: Option<Native>,
    /// Exemplars that belong to no classic bucket.
    pub exemplars: Vec<Exemplar>,
}

/// One classic bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// Its upper bound.
    pub bound: f64,
    /// Observations up to the bound.
    pub cumulative: f64,
    /// An example of them.
    pub exemplar: Option<Box<Exemplar>>,
}

/// The native (exponential) buckets of a histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Native {
    /// The resolution, -4 to 8: bucket `i` ends at 2^(i * 2^-schema).
    pub schema: i32,
    /// The width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Index and count of the buckets of positive values, ascending by index.
    pub positive: Vec<(i32, f64)>,
    /// Index and count of the buckets of negative values, ascending by index.
    pub negative: Vec<(i32, f64)>,
}

impl Metric {
    /// A metric with nothing but labels, which are sorted by name, and a value.
    #[must_use]
    pub fn new(labels: Vec<(String, String)>, value: Value) -> Self {
        Self { labels, value, timestamp: None, created_ms: None, exemplar: None }
    }
}
