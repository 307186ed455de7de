//! An event as selectors and templates look at it.

use super::{DataPath, Path, Selector, Step, Text};
use crate::event::{Event, EventId, Fields, Value};
use std::{borrow::Cow, cell::OnceCell};

/// Something that paths can be looked up in.
pub trait Lookup {
    /// What happened.
    fn event_type(&self) -> &str;

    /// The value at `path`.
    fn text<'v>(&'v self, path: &'v Path) -> Text<'v>;
}

/// An event and its `data`, parsed at the first look into it and then shared by all who look.
#[derive(Debug)]
pub struct View<'e> {
    event: &'e Event<'e>,
    fields: OnceCell<Fields<'e>>,
}

impl<'e> View<'e> {
    /// A view of `event`.
    #[must_use]
    pub fn new(event: &'e Event<'e>) -> Self {
        Self { event, fields: OnceCell::new() }
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &'e Event<'e> {
        self.event
    }

    /// The members of `data`. Text that is no object, which no source lets through, has none.
    pub fn fields(&self) -> &Fields<'e> {
        self.fields.get_or_init(|| Fields::parse(&self.event.data).unwrap_or_default())
    }

    /// The value at `path` in `data`, of whatever kind.
    #[must_use]
    pub fn value(&self, path: &DataPath) -> Option<Cow<'_, Value<'e>>> {
        let value = self.fields().get(&path.head)?;
        if path.steps.is_empty() {
            Some(Cow::Borrowed(value))
        } else {
            Some(Cow::Owned(walk(value, &path.steps)?))
        }
    }
}

impl Lookup for View<'_> {
    fn event_type(&self) -> &str {
        &self.event.event_type
    }

    fn text<'v>(&'v self, path: &'v Path) -> Text<'v> {
        let event = self.event;
        match path {
            Path::Type => Text::borrowed(&event.event_type),
            Path::Source => Text::borrowed(&event.source),
            Path::Time => Text::Time(event.time),
            Path::Id => match &event.id {
                EventId::Given(it) => Text::borrowed(it),
                generated @ EventId::Generated(_) => Text::Str(Cow::Owned(generated.to_string())),
            },
            Path::Subject => event.subject.as_deref().map_or(Text::Missing, Text::borrowed),
            Path::TraceId => match event.trace {
                Some(it) => Text::Str(Cow::Owned(format!("{:032x}", it.trace_id))),
                None => Text::Missing,
            },
            Path::Bound(_, name) => member(self.fields(), name),
            Path::Data(path) if path.steps.is_empty() => member(self.fields(), &path.head),
            Path::Data(path) => {
                let value = self.fields().get(&path.head).and_then(|it| walk(it, &path.steps));
                value.map_or(Text::Missing, text_of)
            }
        }
    }
}

/// The value that `steps` lead to.
#[must_use]
pub fn walk<'e>(value: &Value<'e>, steps: &[Step]) -> Option<Value<'e>> {
    let mut res = Cow::Borrowed(value);
    for step in steps {
        res = Cow::Owned(match step {
            Step::Member(name) => res.member(name)?,
            Step::Index(index) => res.elements().into_iter().nth(*index)?,
        });
    }
    Some(res.into_owned())
}

/// The text of a value that is not kept.
#[must_use]
pub fn text_of(value: Value<'_>) -> Text<'_> {
    match value {
        Value::Bool(it) => Text::borrowed(if it { "true" } else { "false" }),
        Value::Number(it) => Text::borrowed(it),
        Value::String(it) => Text::Str(it),
        Value::Null | Value::Array(_) | Value::Object(_) => Text::Missing,
    }
}

fn member<'v>(fields: &'v Fields<'_>, name: &str) -> Text<'v> {
    fields.get(name).and_then(Value::text).map_or(Text::Missing, Text::borrowed)
}

impl Selector {
    /// Whether `event` matches. Its `data` is parsed only if the type matches and a matcher looks into it.
    #[must_use]
    pub fn matches_event(&self, event: &Event<'_>) -> bool {
        self.matches(&View::new(event))
    }
}
