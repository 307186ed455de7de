//! Metric rules: declarative, compiled once, evaluated per event. Pure.

mod model;

pub use model::{
    Change, Edge, FamilyKind, FamilySpec, HistogramSpec, Keep, NativeSpec, Op, RuleError,
    SpanGauge, SpanOp, SpanSpec, TextRange, Updates,
};

/// A compiled rule file. Immutable; shared behind an `Arc`.
#[derive(Debug)]
pub struct RuleSet;

impl RuleSet {
    /// The rules that are built into the binary.
    #[must_use]
    pub fn builtin() -> Self {
        Self
    }
    /// All families, span families last.
    #[must_use]
    pub fn families(&self) -> &[FamilySpec] {
        &[]
    }
    /// All spans.
    #[must_use]
    pub fn spans(&self) -> &[SpanSpec] {
        &[]
    }
    /// Appends what `event` does to `out`.
    pub fn evaluate(&self, _event: &crate::event::Event<'_>, _out: &mut Updates) {}
    /// Why each rule matches `event` or not.
    #[must_use]
    pub fn explain(&self, _event: &crate::event::Event<'_>) -> Explanation {
        Explanation {}
    }
    /// Compiles a rule file.
    ///
    /// # Errors
    ///
    /// The file is wrong.
    pub fn parse(_text: &str) -> Result<Self, Diagnostics> {
        Ok(Self)
    }
}

/// What rules make of an event.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Explanation {}

/// What is wrong with a rule file.
#[derive(Clone, Debug, thiserror::Error)]
#[error("wrong")]
pub struct Diagnostics;
