//! What a path or a template yields.

use crate::event::Time;
use std::borrow::Cow;

/// A scalar as selectors and templates see it.
#[derive(Clone, Debug, PartialEq)]
pub enum Text<'v> {
    /// There is none, or it is `null`, an array or an object.
    Missing,
    /// Characters, the digits of a number as they were written, `true` or `false`.
    Str(Cow<'v, str>),
    /// A number that a filter computed.
    Number(f64),
    /// The event's own time: RFC 3339 as text, seconds since the epoch as number.
    Time(Time),
}

impl<'v> Text<'v> {
    /// A borrowed text.
    #[must_use]
    pub fn borrowed(text: &'v str) -> Self {
        Self::Str(Cow::Borrowed(text))
    }

    /// Whether there is nothing to see: an empty text is as good as an absent one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Missing => true,
            Self::Str(it) => it.is_empty(),
            Self::Number(_) | Self::Time(_) => false,
        }
    }

    /// The characters; empty if missing.
    #[must_use]
    pub fn as_str(&self) -> Cow<'_, str> {
        match self {
            Self::Missing => Cow::Borrowed(""),
            Self::Str(it) => Cow::Borrowed(it),
            Self::Number(it) => Cow::Owned(it.to_string()),
            Self::Time(it) => Cow::Owned(it.to_string()),
        }
    }

    /// The number that the text spells, decimal or with an exponent. May be infinite: `1e999` is.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Missing => None,
            Self::Str(it) => parse_number(it),
            Self::Number(it) => Some(*it),
            Self::Time(it) => Some(it.as_seconds()),
        }
    }
}

fn parse_number(text: &str) -> Option<f64> {
    let text = text.trim();
    // `parse` also takes `inf`, `infinity` and `nan`, which no sender means as a measurement.
    let digit = |it: u8| it.is_ascii_digit() || matches!(it, b'+' | b'-' | b'.' | b'e' | b'E');
    if text.bytes().all(digit) { text.parse().ok() } else { None }
}
