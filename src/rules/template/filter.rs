//! What can be done to a value between `|` and `}`.

use crate::event::{Event, Time};
use crate::rules::{duration, map::ValueMap};
use crate::selector::Text;
use std::{borrow::Cow, fmt::Write as _, sync::Arc};

/// A filter. All but the maps are built in.
#[derive(Clone, Debug)]
pub(in crate::rules) enum Filter {
    /// A named map of the file.
    Map(String, Arc<ValueMap>),
    /// Small letters.
    Lower,
    /// Capital letters.
    Upper,
    /// No white space at the ends.
    Trim,
    /// At most so many bytes.
    Truncate(usize),
    /// At most so many distinct values; the projection sees to it.
    Limit(usize),
    /// What follows the last slash.
    Basename,
    /// The host of a URL.
    Host,
    /// The class of an HTTP status: `2xx`.
    Class,
    /// A unit, to the base unit.
    Unit(Unit),
    /// A spelled duration to seconds.
    Duration,
    /// Seconds from the field's time to the event's.
    Since,
}

/// A unit and what it is in the base unit. Small units divide, so that 85.5 percent is 0.855.
#[derive(Clone, Copy, Debug)]
pub(in crate::rules) struct Unit {
    name: &'static str,
    factor: f64,
    divide: bool,
}

const fn unit(name: &'static str, factor: f64) -> Unit {
    Unit { name, factor, divide: false }
}

const fn part(name: &'static str, factor: f64) -> Unit {
    Unit { name, factor, divide: true }
}

const UNITS: [Unit; 12] = [
    part("ns", 1e9),
    part("us", 1e6),
    part("ms", 1e3),
    unit("s", 1.0),
    unit("min", 60.0),
    unit("h", 3_600.0),
    unit("d", 86_400.0),
    unit("kb", 1e3),
    unit("mb", 1e6),
    unit("kib", 1_024.0),
    unit("mib", 1_048_576.0),
    part("percent", 100.0),
];

/// Filters without an argument that are no units.
const PLAIN: [(&str, Filter); 8] = [
    ("lower", Filter::Lower),
    ("upper", Filter::Upper),
    ("trim", Filter::Trim),
    ("basename", Filter::Basename),
    ("host", Filter::Host),
    ("class", Filter::Class),
    ("duration", Filter::Duration),
    ("since", Filter::Since),
];

impl Filter {
    /// The names of all filters that are built in.
    pub(in crate::rules) fn names() -> impl Iterator<Item = &'static str> {
        let plain = PLAIN.iter().map(|(name, _)| *name);
        plain.chain(UNITS.iter().map(|it| it.name)).chain(["truncate", "limit"])
    }

    /// The filter called `name`, if it takes no argument.
    pub(super) fn plain(name: &str) -> Option<Self> {
        let plain = PLAIN.iter().find(|(it, _)| *it == name).map(|(_, filter)| filter.clone());
        plain.or_else(|| UNITS.iter().find(|it| it.name == name).map(|it| Self::Unit(*it)))
    }

    /// The filter called `name`, if it takes a number.
    pub(super) fn with_number(name: &str, n: usize) -> Option<Self> {
        match name {
            "truncate" => Some(Self::Truncate(n)),
            "limit" => Some(Self::Limit(n)),
            _ => None,
        }
    }

    /// Applies the filter. What is missing stays missing; what makes no sense stays as it is, so that a
    /// value that is no number is reported as such.
    pub(super) fn apply<'s>(&'s self, text: Text<'s>, event: &Event<'_>) -> Text<'s> {
        if matches!(text, Text::Missing) {
            return text;
        }
        match self {
            Self::Limit(_) => text,
            Self::Map(_, map) => match map.get(&text.as_str()) {
                Some(it) => Text::borrowed(it),
                None => text,
            },
            Self::Unit(unit) => unit.apply(text),
            Self::Duration => match duration::seconds_lenient(&text.as_str()) {
                Some(it) => Text::Number(it),
                None => text,
            },
            Self::Since => match Time::parse(&text.as_str()) {
                // A clock that is ahead must not make a sum of durations go down.
                Ok(it) => Text::Number(event.time.seconds_since(it).max(0.0)),
                Err(_) => text,
            },
            Self::Class => class(&text),
            words => words.on_text(text),
        }
    }

    fn on_text<'s>(&self, text: Text<'s>) -> Text<'s> {
        let text = match text {
            Text::Str(it) => it,
            other => Cow::Owned(other.as_str().into_owned()),
        };
        Text::Str(match self {
            Self::Lower if text.chars().any(char::is_uppercase) => text.to_lowercase().into(),
            Self::Upper if text.chars().any(char::is_lowercase) => text.to_uppercase().into(),
            Self::Trim => narrow(text, str::trim),
            Self::Truncate(n) => narrow(text, |it| truncate(it, *n)),
            Self::Basename => narrow(text, basename),
            Self::Host => narrow(text, host),
            _ => text,
        })
    }

    /// Appends everything that decides what comes out.
    pub(super) fn canonical(&self, out: &mut String) {
        _ = match self {
            Self::Map(_, map) => write!(out, "|{{{}}}", map.canonical()),
            Self::Unit(unit) => write!(out, "|{}", unit.name),
            // Not what numbers mean, but how many of them there may be.
            Self::Limit(_) => Ok(()),
            it => write!(out, "|{it:?}"),
        };
    }
}

impl Unit {
    /// A text that spells a duration has its own unit and is in seconds already.
    fn apply(self, text: Text<'_>) -> Text<'_> {
        match text.number() {
            Some(it) if self.divide => Text::Number(it / self.factor),
            Some(it) => Text::Number(it * self.factor),
            None => text,
        }
    }
}

/// Cuts a piece out without copying what is borrowed.
fn narrow<'s>(text: Cow<'s, str>, cut: impl Fn(&str) -> &str) -> Cow<'s, str> {
    match text {
        Cow::Borrowed(it) => Cow::Borrowed(cut(it)),
        Cow::Owned(it) => Cow::Owned(cut(&it).to_owned()),
    }
}

/// The longest beginning of at most `bytes` bytes that ends between two characters.
pub(in crate::rules) fn truncate(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

fn basename(text: &str) -> &str {
    let text = text.trim_end_matches('/');
    text.rsplit('/').next().unwrap_or(text)
}

fn host(text: &str) -> &str {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    match host.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    }
}

fn class<'s>(text: &Text<'_>) -> Text<'s> {
    let status = text.number().filter(|it| (100.0..600.0).contains(it));
    status.map_or(Text::Missing, |it| {
        Text::borrowed(match it {
            it if it < 200.0 => "1xx",
            it if it < 300.0 => "2xx",
            it if it < 400.0 => "3xx",
            it if it < 500.0 => "4xx",
            _ => "5xx",
        })
    })
}
