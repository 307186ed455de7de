//! What rules compile to and what an event makes of them: the contract between the rule engine, which is
//! pure, and the `metrics` projection, which holds the state.

use crate::exposition::Kind;
use std::{sync::Arc, time::Duration};

/// One metric family that a rule set can produce, in the order of the file; the families that belong to
/// a span stand at the end, in the order of [`SpanSpec`]'s fields. Its position is its index in [`Op`].
#[derive(Clone, Debug, PartialEq)]
pub struct FamilySpec {
    /// The metric's name, complete with `_total` for a counter. Legacy character set.
    pub name: String,
    /// The help text, unescaped.
    pub help: String,
    /// Its type, with what that type needs.
    pub kind: FamilyKind,
    /// The label names, in the order of every label block.
    pub labels: Vec<String>,
    /// Labels whose every listed value gets a series at 0 as soon as one of the group appears: position
    /// in `labels`, and the values.
    pub siblings: Vec<(usize, Vec<String>)>,
    /// Positions in `labels`: at most one series lives per combination of their values. Empty: no bound.
    pub unique_by: Vec<usize>,
    /// Distinct values that a label may take before further ones become `_overflow`: position in
    /// `labels`, and the bound.
    pub label_limits: Vec<(usize, usize)>,
    /// Series that may live before further ones fall into the overflow series.
    pub limit: usize,
    /// How long after its last update a series is hidden. Its value is remembered.
    pub ttl: Option<Duration>,
    /// How long after its last update a series is forgotten. Only with `ttl`; default ten times that.
    pub forget: Option<Duration>,
    /// Whether a new series shows 0 to each Prometheus once before it shows its value (counters and
    /// histograms).
    pub zero_first: bool,
    /// Label blocks that exist at 0 from the start.
    pub init: Vec<String>,
    /// Whether the events of the past are counted when the family is new.
    pub backfill: Option<Backfill>,
    /// A hash over everything that decides what its numbers mean (type, labels, matches, values,
    /// buckets), not over help, limit or ttl. A reload keeps the series of a family whose fingerprint
    /// stays.
    pub fingerprint: u64,
}

/// How much of the past a new family counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backfill {
    /// Everything that the journal has.
    All,
    /// What arrived so long ago or less.
    Within(Duration),
}

/// The type of a family.
#[derive(Clone, Debug, PartialEq)]
pub enum FamilyKind {
    /// A monotonic sum.
    Counter,
    /// A value that is set or moved.
    Gauge,
    /// A distribution.
    Histogram(HistogramSpec),
    /// A gauge that the projection computes from the open spans of the span with this index in
    /// [`RuleSet::spans`](super::RuleSet::spans).
    SpanGauge(usize, SpanGauge),
}

impl FamilyKind {
    /// As what it is shown.
    #[must_use]
    pub fn exposed(&self) -> Kind {
        match self {
            Self::Counter => Kind::Counter,
            Self::Gauge | Self::SpanGauge(..) => Kind::Gauge,
            Self::Histogram(_) => Kind::Histogram,
        }
    }
}

/// The buckets of a histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSpec {
    /// Upper bounds, ascending, without `+Inf`. May be empty if `native` is set.
    pub bounds: Arc<[f64]>,
    /// Whether and how a native histogram is kept beside the classic one.
    pub native: Option<NativeSpec>,
}

/// The resolution of a native histogram (Prometheus native histograms specification).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NativeSpec {
    /// The resolution to start with, -4 to 8: buckets grow by 2^(2^-schema).
    pub schema: i8,
    /// Observations whose absolute value is at most this fall into the zero bucket.
    pub zero_threshold: f64,
    /// Buckets that may be populated before the resolution is halved.
    pub max_buckets: usize,
}

/// What a span gauge shows, per label block of the span's `labels`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanGauge {
    /// Spans that are open.
    InFlight,
    /// Open spans older than `stuck_after`.
    Stuck,
    /// When the oldest open span started, in seconds since the epoch; absent when none is open.
    OldestStart,
}

/// A pair of start and end events. The numbers are indices of families.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanSpec {
    /// The span's name.
    pub name: String,
    /// `<name>_duration_seconds`: the labels, then the end labels.
    pub duration: usize,
    /// `<name>_in_flight`.
    pub in_flight: usize,
    /// `<name>_stuck`, if `stuck_after` is given.
    pub stuck: Option<usize>,
    /// `<name>_oldest_start_timestamp_seconds`.
    pub oldest_start: usize,
    /// `<name>_unmatched_ends_total`, without labels; `None` if unmatched ends are ignored.
    pub unmatched_ends: Option<usize>,
    /// `<name>_abandoned_total`, without labels.
    pub abandoned: usize,
    /// How old an open span is when it counts as stuck.
    pub stuck_after: Option<Duration>,
    /// How old an open span is when it is given up and counted as abandoned. Default 7 days.
    pub give_up_after: Duration,
    /// Which start counts when a key starts twice.
    pub keep: Keep,
    /// Spans that may be open at once. Default 10 000.
    pub max_open: usize,
    /// Hash over what decides the meaning of its open spans, as in [`FamilySpec::fingerprint`].
    pub fingerprint: u64,
}

/// Which start of a key counts while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The newest: a retry restarts the clock.
    Last,
    /// The oldest: time to restore runs from the first failure.
    First,
}

/// What a sequence of events does to the families. One value serves a whole batch, so that evaluation
/// allocates nothing per event; the caller remembers the lengths between events.
#[derive(Clone, Debug, Default)]
pub struct Updates {
    /// The text that all ranges point into.
    pub text: String,
    /// Changes of series, in order.
    pub ops: Vec<Op>,
    /// Starts and ends, in order.
    pub spans: Vec<SpanOp>,
    /// Exemplars that ops and spans point to.
    pub exemplars: Vec<crate::event::TraceContext>,
    /// What could not be evaluated, for `observatory_rule_errors_total`: family index and reason.
    pub errors: Vec<(u32, RuleError)>,
    /// Events for which no rule matched: their number, for `observatory_events_unmatched_total`.
    pub unmatched: Vec<TextRange>,
}

/// A range of [`Updates::text`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextRange {
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

/// One change of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Op {
    /// Index of the family.
    pub family: u32,
    /// The label block, escaped, as [`crate::labels`] writes it, all labels of the family in their order.
    pub labels: TextRange,
    /// What to do.
    pub change: Change,
    /// Index in [`Updates::exemplars`].
    pub exemplar: Option<u32>,
}

/// What an [`Op`] does. Never NaN; a count is finite and not negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Adds to a counter.
    Count(f64),
    /// Sets a gauge.
    Set(f64),
    /// Adds to a gauge, or subtracts.
    Add(f64),
    /// Observes a value in a histogram.
    Observe(f64),
}

/// A start or an end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpanOp {
    /// Index of the span.
    pub span: u32,
    /// The key that start and end share. Never empty.
    pub key: TextRange,
    /// The label block of the span's `labels`, from this event.
    pub labels: TextRange,
    /// Which edge it is.
    pub edge: Edge,
    /// When, in nanoseconds since the epoch (the event's own time).
    pub time: crate::event::Time,
    /// Index in [`Updates::exemplars`].
    pub exemplar: Option<u32>,
}

/// The two edges of a span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Edge {
    /// It began.
    Start,
    /// It ended.
    End {
        /// The label block of the span's `end_labels`.
        end_labels: TextRange,
        /// The sender's own figure in seconds, which wins over end minus start.
        duration: Option<f64>,
    },
}

/// Why a matching rule made no update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleError {
    /// The value, or the span's key, is absent.
    Missing,
    /// The value is no number, or not finite.
    NotANumber,
    /// A counter cannot go down.
    Negative,
}

impl RuleError {
    /// The value of the metric's `reason` label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotANumber => "not_a_number",
            Self::Negative => "negative",
        }
    }
}

impl Updates {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ops.clear();
        self.spans.clear();
        self.exemplars.clear();
        self.errors.clear();
        self.unmatched.clear();
    }

    /// The text of a range; empty if the range is not one of this value's.
    #[must_use]
    pub fn text(&self, range: TextRange) -> &str {
        self.text.get(range.start as usize..range.end as usize).unwrap_or_default()
    }
}
