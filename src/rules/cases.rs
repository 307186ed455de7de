//! The tests that stand in a rule file.

use crate::event::{NewEvent, Time, TraceContext};
use crate::labels;
use std::borrow::Cow;

/// A test of a rule file: after these events, these series have these values.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleTest {
    /// What must hold.
    pub name: String,
    /// What happens, in order. An event whose id and source came before is a duplicate and does not count.
    pub events: Vec<TestEvent>,
    /// The expectation as it was written.
    pub expect: String,
    /// The expectation, line by line.
    pub expected: Vec<Expected>,
}

/// An event of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestEvent {
    /// The sender's id.
    pub id: Option<String>,
    /// What happened.
    pub event_type: String,
    /// Who says so; `test` if the file does not say.
    pub source: String,
    /// When it happened.
    pub time: Option<Time>,
    /// The `CloudEvents` subject.
    pub subject: Option<String>,
    /// The trace it belongs to.
    pub trace: Option<TraceContext>,
    /// The JSON text of an object.
    pub data: String,
}

/// A line of an expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// The name of the sample, such as `x_duration_seconds_sum`.
    pub name: String,
    /// Its labels in the order of their names, values unescaped.
    pub labels: Vec<(String, String)>,
    /// Its value; `None` if there must be no such series (written `absent`).
    pub value: Option<f64>,
}

impl TestEvent {
    /// The event as a source would have parsed it.
    #[must_use]
    pub fn to_new_event(&self) -> NewEvent<'_> {
        NewEvent {
            id: self.id.as_deref().map(Cow::Borrowed),
            event_type: Cow::Borrowed(&self.event_type),
            source: Cow::Borrowed(&self.source),
            time: self.time,
            subject: self.subject.as_deref().map(Cow::Borrowed),
            trace: self.trace,
            data: Cow::Borrowed(&self.data),
        }
    }
}

impl Expected {
    /// The labels of a block in the order of their names, to compare blocks regardless of it.
    #[must_use]
    pub fn sorted(block: &str) -> Vec<(String, String)> {
        let pairs = labels::pairs(block);
        let mut res: Vec<_> =
            pairs.map(|(name, it)| (name.trim().to_owned(), it.into_owned())).collect();
        res.sort();
        res
    }

    /// Whether this line is about the sample `name` with this label block.
    #[must_use]
    pub fn is_about(&self, name: &str, block: &str) -> bool {
        self.name == name && self.labels == Self::sorted(block)
    }
}
