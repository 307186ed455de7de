//! What a rule file is compiled to.

use super::template::Template;
use crate::selector::{DataPath, Selector};

/// One thing to do for an event that matches.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Any of them.
    pub(super) selectors: Vec<Selector>,
    pub(super) action: Action,
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Update(Update),
    Span(SpanEdge),
}

/// An update of series.
#[derive(Clone, Debug)]
pub(super) struct Update {
    /// Index of the family.
    pub(super) family: u32,
    pub(super) verb: Verb,
    pub(super) values: Values,
    /// In the order of the family's labels.
    pub(super) labels: Vec<Template>,
    /// The array whose elements each make an update.
    pub(super) each: Option<DataPath>,
}

/// What an update does; it decides the type of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Count,
    Set,
    Add,
    Sub,
    Observe,
}

#[derive(Clone, Debug)]
pub(super) enum Values {
    One(Value),
    /// One update per entry; its name is `$key`.
    Keyed(Vec<(String, Value)>),
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Number(f64),
    /// The first that is a number.
    First(Vec<Template>),
}

/// The start or the end of a span.
#[derive(Clone, Debug)]
pub(super) struct SpanEdge {
    /// Index of the span.
    pub(super) span: u32,
    /// Index of the family of its durations.
    pub(super) family: u32,
    pub(super) key: Template,
    pub(super) labels: Vec<Template>,
    /// `None`: it is the start.
    pub(super) end: Option<SpanEnd>,
}

#[derive(Clone, Debug)]
pub(super) struct SpanEnd {
    pub(super) labels: Vec<Template>,
    pub(super) duration: Option<Value>,
}

impl Verb {
    pub(super) const ALL: [Self; 5] = [Self::Count, Self::Set, Self::Add, Self::Sub, Self::Observe];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Set => "set",
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Observe => "observe",
        }
    }

    /// The type of metric it makes.
    pub(super) fn metric_type(self) -> &'static str {
        match self {
            Self::Count => "counter",
            Self::Set | Self::Add | Self::Sub => "gauge",
            Self::Observe => "histogram",
        }
    }
}
