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
}
