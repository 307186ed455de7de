//! The exposition formats: text 0.0.4 and 1.0.0, OpenMetrics 1.0 and delimited protobuf, written and
//! (the text ones) read. Pure: bytes in, bytes out.
//!
//! [`negotiate`] chooses a [`Format`] from an `Accept` header and an [`Encoder`] writes it, one family
//! after the other. A sample is given as the label block that [`crate::labels`] built, which is already
//! what a text format shows, so that a plain sample is two copies and one formatted number.

mod dated;
mod encoder;
mod families;
mod format;
mod names;
mod number;
pub mod parse;
mod protobuf;
mod text;

pub use dated::Dated;
pub use encoder::Encoder;
pub use families::{MetricFamily, OwnedExemplar, Sample, encode_families};
pub use format::{Escaping, Format, FormatKind, negotiate};

/// What an encoder writes beyond what a format demands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Options {
    /// Whether OpenMetrics carries `_created` samples. A scraper that does not know them stores them as
    /// series of their own, hence off by default.
    pub created_series: bool,
}

/// The type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A value of unknown type.
    Untyped,
    /// Quantiles that the sender computed.
    Summary,
    /// A distribution in buckets.
    Histogram,
    /// A distribution whose buckets may shrink. Text 0.0.4 shows it as a histogram.
    GaugeHistogram,
    /// An OpenMetrics info. Read only: encoded as the gauge `<name>_info`.
    Info,
    /// An OpenMetrics state set. Read only: encoded as a gauge.
    StateSet,
}

/// What is said once per family.
#[derive(Clone, Copy, Debug)]
pub struct FamilyHead<'a> {
    /// The name, complete with `_total` for a counter, unescaped.
    pub name: &'a str,
    /// The help text, unescaped; empty if there is none.
    pub help: &'a str,
    /// The type. [`Kind::Info`] and [`Kind::StateSet`] are written as gauges.
    pub kind: Kind,
    /// The unit, such as `seconds`.
    pub unit: Option<&'a str>,
    /// Whether a label block of this family may hold names outside of the legacy character set, which
    /// stand quoted in it (`{"a.b"="x"}`). `false` spares every sample the look.
    pub quoted_labels: bool,
}

impl<'a> FamilyHead<'a> {
    /// A family whose labels all have legacy names, without a unit.
    #[must_use]
    pub fn new(name: &'a str, help: &'a str, kind: Kind) -> Self {
        Self { name, help, kind, unit: None, quoted_labels: false }
    }
}

/// An example of what was counted, usually with the id of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// Its own label block, such as `{trace_id="..."}`.
    pub labels: &'a str,
    /// The value that was observed or added.
    pub value: f64,
    /// When, in nanoseconds since the epoch.
    pub timestamp_ns: Option<i64>,
}

/// One summary.
#[derive(Clone, Copy, Debug)]
pub struct SummaryView<'a> {
    /// Quantile (0 to 1) and value, ascending.
    pub quantiles: &'a [(f64, f64)],
    /// The sum of all observations.
    pub sum: f64,
    /// The number of observations.
    pub count: u64,
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: Option<i64>,
}

/// One histogram.
#[derive(Clone, Copy, Debug)]
pub struct HistogramView<'a> {
    /// The number of observations.
    pub count: u64,
    /// The sum of all observations.
    pub sum: f64,
    /// The upper bounds of the classic buckets, ascending, without `+Inf`.
    pub bounds: &'a [f64],
    /// Observations per bucket, not cumulative. One element more than `bounds`: the last is `+Inf`.
    /// The `+Inf` bucket always shows `count`.
    pub counts: &'a [u64],
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: Option<i64>,
    /// An exemplar per bucket; may be shorter than `counts`.
    pub exemplars: &'a [Option<Exemplar<'a>>],
    /// The native buckets, which only protobuf can carry.
    pub native: Option<NativeView<'a>>,
}

/// The native (exponential) buckets of a histogram.
#[derive(Clone, Copy, Debug)]
pub struct NativeView<'a> {
    /// The resolution, -4 to 8: bucket `i` ends at 2^(i * 2^-schema).
    pub schema: i8,
    /// The width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// Index and count of the buckets of positive values, ascending by index.
    pub positive: &'a [(i32, u64)],
    /// Index and count of the buckets of negative values, ascending by index.
    pub negative: &'a [(i32, u64)],
}

#[cfg(test)]
mod tests;
