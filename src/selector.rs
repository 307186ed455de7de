//! The one matching language.
//!
//! A selector is a glob over the event's type and matchers as `PromQL` writes them, all of which must hold:
//! `ci_build_completed{status!="skipped", branch=~"release/.*", tests_failed > 0}`. A field that is
//! absent, `null`, an array or an object is the empty text; regular expressions match the whole value;
//! a bare number compares numerically, also with a text that spells a number.

mod cursor;
mod glob;
mod parse;
mod path;
mod text;
mod view;

pub(crate) use cursor::Cursor;
pub use cursor::SyntaxError;
pub use glob::Glob;
pub use path::{DataPath, Path, Step};
pub use text::Text;
pub use view::{Lookup, View, text_of, walk};

use std::fmt;

/// Bytes that one compiled regular expression may take: a selector comes from whoever may query.
const REGEX_BYTES: usize = 1 << 20;

/// A compiled selector, such as `ci_build_completed{status!="skipped", tests_failed > 0}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    type_glob: Glob,
    matchers: Vec<Matcher>,
}

/// A test of one field.
#[derive(Clone, Debug, PartialEq)]
struct Matcher {
    path: Path,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Text { negated: bool, text: String },
    Regex { negated: bool, pattern: Pattern },
    Number { comparison: Comparison, number: f64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An anchored regular expression and its text.
#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    regex: regex::Regex,
}

/// Why a selector does not match an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The first part of the selector that does not hold: the glob or one matcher.
    pub matcher: String,
    /// What the event has there; empty if nothing.
    pub actual: String,
}

// === impl Selector ===

impl Selector {
    /// Compiles a selector.
    ///
    /// # Errors
    ///
    /// The text is no selector, or a regular expression is invalid or too large.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        parse::selector(text)
    }

    /// Makes the paths that consist of one of `names` alone [`Path::Bound`] to its position, so that a
    /// [`Lookup`] can give them a meaning of its own. A name written as `data.name` stays what it is.
    pub fn bind(&mut self, names: &[&str]) {
        for matcher in &mut self.matchers {
            let Some(name) = matcher.path.plain_name() else { continue };
            if let Some(at) = names.iter().position(|it| *it == name) {
                matcher.path = Path::Bound(at, name.to_owned());
            }
        }
    }

    /// The glob over the type.
    #[must_use]
    pub fn type_glob(&self) -> &Glob {
        &self.type_glob
    }

    /// Whether there are matchers besides the glob.
    #[must_use]
    pub fn has_matchers(&self) -> bool {
        !self.matchers.is_empty()
    }

    /// Whether an event of this type can match at all.
    #[must_use]
    pub fn could_match_type(&self, event_type: &str) -> bool {
        self.type_glob.matches(event_type)
    }

    /// Whether everything holds.
    pub fn matches(&self, view: &impl Lookup) -> bool {
        self.type_glob.matches(view.event_type()) && self.matchers_match(view)
    }

    /// As [`matches`](Self::matches), for a type that is known to match.
    pub fn matchers_match(&self, view: &impl Lookup) -> bool {
        self.matchers.iter().all(|it| it.test.holds(&view.text(&it.path)))
    }

    /// The first thing that does not hold; `None` if the selector matches.
    pub fn explain(&self, view: &impl Lookup) -> Option<Mismatch> {
        if !self.type_glob.matches(view.event_type()) {
            let actual = view.event_type().to_owned();
            return Some(Mismatch { matcher: format!("type {}", self.type_glob), actual });
        }
        let failed = self.matchers.iter().find(|it| !it.test.holds(&view.text(&it.path)))?;
        let actual = view.text(&failed.path).as_str().into_owned();
        Some(Mismatch { matcher: failed.to_string(), actual })
    }

    /// The numbers of the bound names that the matchers look at.
    pub(crate) fn bound(&self) -> impl Iterator<Item = usize> {
        self.matchers.iter().filter_map(|it| match it.path {
            Path::Bound(at, _) => Some(at),
            _ => None,
        })
    }
}

impl fmt::Display for Selector {
    /// The selector in its normal form, which parses to the same selector.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let glob = self.type_glob.as_str();
        let plain = |c: char| !c.is_whitespace() && !matches!(c, '{' | '}' | '"' | '\'' | '`');
        if glob.chars().all(plain) {
            f.write_str(glob)?
        } else {
            path::write_quoted(f, glob)?
        }
        for (i, matcher) in self.matchers.iter().enumerate() {
            f.write_str(if i == 0 { "{" } else { "," })?;
            matcher.fmt(f)?;
        }
        if self.matchers.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

impl std::str::FromStr for Selector {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Self::parse(text)
    }
}

// === impl Matcher ===

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)?;
        match &self.test {
            Test::Text { negated, text } => {
                f.write_str(if *negated { "!=" } else { "=" })?;
                path::write_quoted(f, text)
            }
            Test::Regex { negated, pattern } => {
                f.write_str(if *negated { "!~" } else { "=~" })?;
                path::write_quoted(f, &pattern.text)
            }
            Test::Number { comparison, number } => {
                f.write_str(comparison.as_str())?;
                number.fmt(f)
            }
        }
    }
}

// === impl Test ===

impl Test {
    fn holds(&self, actual: &Text<'_>) -> bool {
        match self {
            Self::Text { negated, text } => (actual.as_str() == text.as_str()) != *negated,
            Self::Regex { negated, pattern } => {
                pattern.regex.is_match(&actual.as_str()) != *negated
            }
            Self::Number { comparison, number } => comparison.holds(actual.number(), *number),
        }
    }
}

// === impl Comparison ===

impl Comparison {
    /// The longer of two that begin alike comes first.
    const ALL: [Self; 6] = [
        Self::NotEqual,
        Self::LessOrEqual,
        Self::GreaterOrEqual,
        Self::Equal,
        Self::Less,
        Self::Greater,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// What is no number is different from every number, and neither less nor greater.
    fn holds(self, actual: Option<f64>, number: f64) -> bool {
        #[expect(clippy::float_cmp, reason = "`=` means exactly equal")]
        actual.map_or(self == Self::NotEqual, |it| match self {
            Self::Equal => it == number,
            Self::NotEqual => it != number,
            Self::Less => it < number,
            Self::LessOrEqual => it <= number,
            Self::Greater => it > number,
            Self::GreaterOrEqual => it >= number,
        })
    }
}

// === impl Pattern ===

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        let compile = |text: &str| regex::RegexBuilder::new(text).size_limit(REGEX_BYTES).build();
        // Alone first: `a)|(b` must not become valid through the anchors.
        compile(text).and_then(|_| compile(&format!("^(?s:{text})$"))).map_or_else(
            |error| Err(regex_message(&error)),
            |regex| Ok(Self { text: text.to_owned(), regex }),
        )
    }
}

/// The last line of the error: the others repeat the expression and point into it.
fn regex_message(error: &regex::Error) -> String {
    if let regex::Error::CompiledTooBig(_) = error {
        return "the regular expression is too large".to_owned();
    }
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    format!("no regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
