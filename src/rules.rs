//! Metric rules: declarative, compiled once, evaluated per event. Pure.
//!
//! A rule file says which events move which series; `docs/rules.md` describes the language. [`RuleSet`]
//! is a compiled file: [`RuleSet::evaluate`] turns an event into [`Updates`], which the series projection
//! applies.

mod cases;
mod compile;
mod duration;
mod engine;
mod explain;
mod lint;
mod map;
mod model;
mod node;
mod phrase;
mod program;
mod report;
mod table;
mod template;
mod types;
mod units;

pub use cases::{Expected, RuleTest, TestEvent};
pub use duration::parse as parse_duration;
pub use explain::{Explanation, RuleExplanation, SelectorExplanation};
pub use model::{
    Backfill, Change, Edge, FamilyKind, FamilySpec, HistogramSpec, Keep, NativeSpec, Op, RuleError,
    SpanGauge, SpanOp, SpanSpec, TextRange, Updates,
};
pub use phrase::Phrase;
pub use report::{Diagnostic, Diagnostics, Severity, did_you_mean};
pub use units::Unit;

use crate::event::Event;
use program::Rule;
use std::time::Duration;
use template::Alias;
use types::TypeCache;

/// The rules that are built into the binary.
const BUILTIN: &str = include_str!("rules/builtin.yaml");

/// A compiled rule file. Immutable; shared behind an `Arc`.
#[derive(Debug)]
pub struct RuleSet {
    defaults: Defaults,
    aliases: Vec<Alias>,
    families: Vec<FamilySpec>,
    spans: Vec<SpanSpec>,
    rules: Vec<Rule>,
    tests: Vec<RuleTest>,
    warnings: Diagnostics,
    fingerprint: u64,
    types: TypeCache,
}

/// What holds for all rules of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Series that a metric may have. Default 1000.
    pub limit: usize,
    /// The label value for an absent field. Default `unknown`.
    pub missing: String,
    /// How long an event's (source, id) is remembered. Default 24 hours.
    pub dedup: Duration,
    /// How long after its last update a series is hidden. Default never.
    pub ttl: Option<Duration>,
    /// How long after its last update a series with a `ttl` is forgotten. Default ten times `ttl`.
    pub forget: Option<Duration>,
    /// Whether new counters and histograms show 0 first. Default true.
    pub zero_first: bool,
    /// Bytes of a label value; what is longer is cut between two characters. Default 128.
    pub max_label_bytes: usize,
}

impl RuleSet {
    /// The rules that are built into the binary.
    #[must_use]
    pub fn builtin() -> Self {
        #[expect(clippy::expect_used, reason = "a test compiles the same text")]
        Self::parse(BUILTIN).expect("the built-in rules compile")
    }

    /// The text of the rules that are built into the binary.
    #[must_use]
    pub fn builtin_text() -> &'static str {
        BUILTIN
    }

    /// Compiles the text of a rule file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, with lines and columns.
    pub fn parse(text: &str) -> Result<Self, Diagnostics> {
        compile::compile(text)
    }

    /// The same rules with another bound on the bytes of label values.
    #[must_use]
    pub fn with_max_label_bytes(mut self, max_label_bytes: usize) -> Self {
        self.defaults.max_label_bytes = max_label_bytes;
        self
    }

    /// All families, span families last.
    #[must_use]
    pub fn families(&self) -> &[FamilySpec] {
        &self.families
    }

    /// All spans.
    #[must_use]
    pub fn spans(&self) -> &[SpanSpec] {
        &self.spans
    }

    /// What holds for all rules.
    #[must_use]
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// The tests of the file.
    #[must_use]
    pub fn tests(&self) -> &[RuleTest] {
        &self.tests
    }

    /// What is legal but probably not meant.
    #[must_use]
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }

    /// A hash over the whole text.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// How many metrics the rules can make, those of spans included.
    #[must_use]
    pub fn metric_count(&self) -> usize {
        self.families.len()
    }

    /// Appends what `event` does to `out`. Allocates nothing besides, except for what the event itself
    /// needs: nested values and texts with escapes.
    pub fn evaluate(&self, event: &Event<'_>, out: &mut Updates) {
        engine::evaluate(self, event, out);
    }

    /// Why `event` moves what it moves: for people, not for the path of every event.
    #[must_use]
    pub fn explain(&self, event: &Event<'_>) -> Explanation {
        explain::explain(self, event)
    }
}

#[cfg(test)]
mod fold;
#[cfg(test)]
mod tests;
