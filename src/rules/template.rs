//! The one template language: `text $path ${path, other:-default | filter}`.

mod filter;
mod parse;

use filter::Filter;
pub(super) use filter::truncate;
pub(super) use parse::{Names, parse};

use super::model::RuleError;
use crate::event::Value;
use crate::selector::{Lookup, Path, Step, Text, View, text_of, walk};
use std::{borrow::Cow, fmt::Write as _};

/// A compiled template.
#[derive(Clone, Debug, Default)]
pub(super) struct Template {
    pub(super) parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Literal(String),
    Field(Placeholder),
}

/// What stands between `${` and `}`.
#[derive(Clone, Debug)]
pub(super) struct Placeholder {
    sources: Vec<Source>,
    default: Option<String>,
    filters: Vec<Filter>,
}

#[derive(Clone, Debug)]
enum Source {
    Path(Path),
    /// An entry of `fields:`.
    Alias(usize),
    /// The name of the entry of a map of values that is being written.
    Key,
    /// The element of an array that `for` visits.
    Item(Vec<Step>),
}

/// An entry of `fields:`: the first template that yields something wins.
#[derive(Clone, Debug)]
pub(super) struct Alias {
    pub(super) name: String,
    pub(super) templates: Vec<Template>,
}

/// What templates and selectors of one rule can see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'s, 'e> {
    pub(super) view: &'s View<'e>,
    pub(super) aliases: &'s [Alias],
    pub(super) key: &'s str,
    pub(super) item: Option<&'s Value<'e>>,
}

impl Lookup for Scope<'_, '_> {
    fn event_type(&self) -> &str {
        self.view.event_type()
    }

    fn text<'v>(&'v self, path: &'v Path) -> Text<'v> {
        match path {
            Path::Bound(at, _) => self.alias(*at),
            path => self.view.text(path),
        }
    }
}

impl<'s> Scope<'s, '_> {
    fn alias(&self, at: usize) -> Text<'s> {
        let templates = self.aliases.get(at).map_or(&[][..], |it| &it.templates);
        let texts = templates.iter().map(|it| it.text(*self));
        texts.into_iter().find(|it| !it.is_empty()).unwrap_or(Text::Missing)
    }
}

impl Template {
    /// What the template yields. A missing placeholder leaves nothing behind; if all are, so is the whole.
    pub(super) fn text<'s>(&'s self, scope: Scope<'s, '_>) -> Text<'s> {
        match self.parts.as_slice() {
            [Part::Literal(it)] => return Text::borrowed(it),
            [Part::Field(it)] => return it.text(scope),
            _ => {}
        }
        let mut res = String::new();
        if self.write(scope, &mut res) { Text::Str(Cow::Owned(res)) } else { Text::Missing }
    }

    /// Appends what the template yields; `false` if all placeholders are missing.
    pub(super) fn write(&self, scope: Scope<'_, '_>, out: &mut String) -> bool {
        let mut found = self.literal().is_some();
        for part in &self.parts {
            match part {
                Part::Literal(it) => out.push_str(it),
                Part::Field(it) => {
                    let text = it.text(scope);
                    found |= !matches!(text, Text::Missing);
                    append(out, &text);
                }
            }
        }
        found
    }

    /// The placeholder, if there is nothing else.
    pub(super) fn single(&self) -> Option<&Placeholder> {
        match self.parts.as_slice() {
            [Part::Field(it)] => Some(it),
            _ => None,
        }
    }

    /// The placeholders.
    pub(super) fn fields(&self) -> impl Iterator<Item = &Placeholder> {
        self.parts.iter().filter_map(|it| match it {
            Part::Field(it) => Some(it),
            Part::Literal(_) => None,
        })
    }

    /// The text, if there are no placeholders.
    pub(super) fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Literal(it)] => Some(it),
            _ => None,
        }
    }

    /// The names of the maps that are used.
    pub(super) fn used_maps(&self) -> impl Iterator<Item = &str> {
        self.fields().flat_map(|it| &it.filters).filter_map(|it| match it {
            Filter::Map(name, _) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The positions of the aliases that are used.
    pub(super) fn used_aliases(&self) -> impl Iterator<Item = usize> {
        self.fields().flat_map(|it| &it.sources).filter_map(|it| match it {
            Source::Alias(at) => Some(*at),
            _ => None,
        })
    }

    /// Appends everything that decides what comes out, so that equal texts mean equal templates.
    pub(super) fn canonical(&self, aliases: &[Alias], out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Literal(it) => _ = write!(out, "{it:?}"),
                Part::Field(it) => it.canonical(aliases, out),
            }
        }
    }
}

impl Placeholder {
    /// What the placeholder yields.
    pub(super) fn text<'s>(&'s self, scope: Scope<'s, '_>) -> Text<'s> {
        let texts = self.sources.iter().map(|it| it.text(scope));
        let found = texts.into_iter().find(|it| !it.is_empty()).unwrap_or(Text::Missing);
        let start = match (found, &self.default) {
            // `:-` with nothing after it asks for an empty text.
            (Text::Missing, Some(it)) if it.is_empty() => return Text::borrowed(""),
            (Text::Missing, Some(it)) => Text::borrowed(it),
            (found, _) => found,
        };
        let filtered =
            self.filters.iter().fold(start, |text, it| it.apply(text, scope.view.event()));
        if filtered.is_empty() { Text::Missing } else { filtered }
    }

    /// What the placeholder looks like in a label.
    pub(super) fn label<'s>(&'s self, scope: Scope<'s, '_>, missing: &'s str) -> Cow<'s, str> {
        match self.text(scope) {
            Text::Missing => Cow::Borrowed(missing),
            Text::Str(it) => it,
            other => Cow::Owned(other.as_str().into_owned()),
        }
    }

    /// The words that the last map in the pipe can yield, besides its default.
    pub(super) fn outputs(&self) -> Option<&[String]> {
        self.filters.iter().rev().find_map(|it| match it {
            Filter::Map(_, map) => Some(map.outputs()),
            _ => None,
        })
    }

    /// The bound of `| limit(n)`.
    pub(super) fn limit(&self) -> Option<usize> {
        self.filters.iter().find_map(|it| if let Filter::Limit(n) = it { Some(*n) } else { None })
    }

    /// Whether it is `$key` and nothing else.
    pub(super) fn is_key(&self) -> bool {
        matches!(self.sources.as_slice(), [Source::Key]) && self.filters.is_empty()
    }

    fn canonical(&self, aliases: &[Alias], out: &mut String) {
        out.push_str("${");
        for source in &self.sources {
            match source {
                Source::Path(it) => _ = write!(out, "{it},"),
                Source::Key => out.push_str("$key,"),
                Source::Item(it) => _ = write!(out, "$item{it:?},"),
                Source::Alias(at) => {
                    let templates = aliases.get(*at).map_or(&[][..], |it| &it.templates);
                    out.push('(');
                    templates.iter().for_each(|it| it.canonical(aliases, out));
                    out.push_str("),");
                }
            }
        }
        if let Some(it) = &self.default {
            _ = write!(out, ":-{it:?}");
        }
        self.filters.iter().for_each(|it| it.canonical(out));
        out.push('}');
    }
}

impl Source {
    fn text<'s>(&'s self, scope: Scope<'s, '_>) -> Text<'s> {
        match self {
            Self::Path(it) => scope.view.text(it),
            Self::Alias(at) => scope.alias(*at),
            Self::Key => Text::borrowed(scope.key),
            Self::Item(steps) => match scope.item {
                Some(item) if steps.is_empty() => item.text().map_or(Text::Missing, Text::borrowed),
                Some(item) => owned(walk(item, steps).map_or(Text::Missing, text_of)),
                None => Text::Missing,
            },
        }
    }
}

/// The text without its ties to the event.
fn owned<'s>(text: Text<'_>) -> Text<'s> {
    match text {
        Text::Str(it) => Text::Str(Cow::Owned(it.into_owned())),
        Text::Missing => Text::Missing,
        Text::Number(it) => Text::Number(it),
        Text::Time(it) => Text::Time(it),
    }
}

/// Appends the characters of `text`.
fn append(out: &mut String, text: &Text<'_>) {
    match text {
        Text::Missing => {}
        Text::Str(it) => out.push_str(it),
        Text::Number(it) => _ = write!(out, "{it}"),
        Text::Time(it) => _ = write!(out, "{it}"),
    }
}

/// The names of the filters that are built in.
pub(super) fn filter_names() -> impl Iterator<Item = &'static str> {
    Filter::names()
}

/// The value of a metric: a number, a text that spells one, a duration in seconds, or a boolean.
pub(super) fn number(text: &Text<'_>) -> Result<f64, RuleError> {
    if text.is_empty() {
        return Err(RuleError::Missing);
    }
    let number = text.number().or_else(|| match text.as_str().trim() {
        "true" => Some(1.0),
        "false" => Some(0.0),
        text => super::duration::seconds_lenient(text),
    });
    number.filter(|it| it.is_finite()).ok_or(RuleError::NotANumber)
}
