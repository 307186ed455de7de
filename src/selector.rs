//! The one matching language.
//!
//! A selector is a glob over the event's type and matchers as `PromQL` writes them, all of which must hold:
//! `ci_build_completed{status!="skipped", branch=~"release/.*", tests_failed > 0}`. A field that is
//! absent, `null`, an array or an object is the empty text; regular expressions match the whole value;
//! a bare number compares numerically, also with a text that spells a number.

mod cursor;
mod glob;
mod labels;
mod parse;
mod path;
mod text;
mod view;

pub(crate) use cursor::Cursor;
pub use cursor::SyntaxError;
pub use glob::Glob;
pub use labels::LabelSelector;
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
pub(crate) struct Matcher {
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
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
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

    /// The same types, whatever is in the fields.
    #[must_use]
    pub fn without_matchers(&self) -> Self {
        Self { type_glob: self.type_glob.clone(), matchers: Vec::new() }
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

    /// The tests besides the glob, all of which must hold.
    pub(crate) fn matchers(&self) -> &[Matcher] {
        &self.matchers
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

impl Matcher {
    /// Where the value is that it looks at.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it holds for this value.
    pub(crate) fn holds(&self, actual: &Text<'_>) -> bool {
        self.test.holds(actual)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)?;
        self.test.fmt(f)
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { negated, text } => {
                f.write_str(if *negated { "!=" } else { "=" })?;
                path::write_quoted(f, text)
            }
            Self::Regex { negated, pattern } => {
                f.write_str(if *negated { "!~" } else { "=~" })?;
                path::write_quoted(f, &pattern.text)
            }
            Self::Number { comparison, number } => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, NewEvent, Time};
    use proptest::prelude::*;

    const DATA: &str = r#"{"status":"failed","n":5,"text":"5.0","empty":"","nil":null,"yes":true,
        "list":[1,{"a":"x"}],"obj":{"b c":{"d":2}},"type":"inner","x-y":"z","ünï":"ö","big":1e999,
        "lines":"a\nb","name with space":1,"id":12345678901234567890}"#;

    fn event() -> Event<'static> {
        let new = NewEvent {
            id: Some("evt-1".into()),
            event_type: "ci_build_completed".into(),
            source: "github".into(),
            time: Some(Time::from_millis(1_767_607_200_000)),
            subject: Some("o/r".into()),
            trace: crate::event::TraceContext::parse("0af7651916cd43dd8448eb211c80319c", None),
            data: DATA.into(),
        };
        new.accept(Time::from_millis(1_767_607_200_000), || EventId::Generated(1))
    }

    use crate::event::Event;

    #[track_caller]
    fn check(selector: &str, expected: bool) {
        let parsed = Selector::parse(selector).unwrap_or_else(|it| panic!("{it}\n{}", it.caret()));
        let event = event();
        assert_eq!(parsed.matches_event(&event), expected, "{selector}");
        assert_eq!(parsed.explain(&View::new(&event)).is_none(), expected, "{selector}");
        let again = Selector::parse(&parsed.to_string()).unwrap();
        assert_eq!(again, parsed, "{parsed}");
    }

    #[test]
    fn types() {
        check("ci_build_completed", true);
        check("ci_*", true);
        check(" ci_*_completed {} ", true);
        check("'ci_build_completed'", true);
        check("{}", true);
        check("ci_build", false);
        check("deployment_*", false);
    }

    #[test]
    fn texts_are_compared_as_they_are() {
        check(r#"*{status="failed"}"#, true);
        check(r#"*{status='failed', n="5"}"#, true);
        check(r#"*{text="5"}"#, false);
        check(r#"*{yes="true"}"#, true);
        check(r#"*{id="evt-1", data.id="12345678901234567890"}"#, true);
        check("*{lines=\"a\\nb\"}", true);
        check(r#"*{status!="ok",}"#, true);
    }

    #[test]
    fn what_is_absent_is_empty() {
        for name in ["gone", "empty", "nil", "list", "obj", "list[7]", "status.a", "list[1].b"] {
            check(&format!(r#"*{{{name}=""}}"#), true);
            check(&format!(r#"*{{{name}!=""}}"#), false);
            check(&format!(r#"*{{{name}=~".*"}}"#), true);
            check(&format!(r#"*{{{name}=~".+"}}"#), false);
            check(&format!("*{{{name}>0}}"), false);
            check(&format!("*{{{name}=0}}"), false);
            check(&format!("*{{{name}!=0}}"), true);
        }
    }

    #[test]
    fn expressions_match_the_whole_value() {
        check(r#"*{status=~"fail"}"#, false);
        check(r#"*{status=~"fail.*|error"}"#, true);
        check(r#"*{status=~"(?i)FAIL.*"}"#, true);
        check(r#"*{status!~"ok|error"}"#, true);
        check(r#"*{lines=~"a.b"}"#, true);
    }

    #[test]
    fn numbers_compare_numerically_in_texts_too() {
        check("*{n>4, n>=5, n<6, n<=5, n=5, n!=6, n=5.0}", true);
        check("*{text=5, text>4.5}", true);
        check("*{n>5}", false);
        check("*{n<5}", false);
        check("*{status>0}", false);
        check("*{status!=0}", true);
        check("*{n>-1e3}", true);
        check("*{big>1e308}", true);
        check("*{time>=1767607200, time<1767607201}", true);
    }

    #[test]
    fn paths() {
        check(r#"*{type="ci_build_completed", source="github", id="evt-1", subject="o/r"}"#, true);
        check(r#"*{trace_id="0af7651916cd43dd8448eb211c80319c"}"#, true);
        check(r#"*{time="2026-01-05T10:00:00Z"}"#, true);
        check(r#"*{data.type="inner", "type"="inner"}"#, true);
        check(r#"*{list[0]=1, list[1].a="x", obj."b c".d=2, x-y="z"}"#, true);
        check(r#"*{"name with space"=1, ünï="ö"}"#, true);
    }

    #[track_caller]
    fn check_error(selector: &str, column: usize, message: &str) {
        let error = Selector::parse(selector).unwrap_err();
        assert_eq!((error.column(), error.message.as_str()), (column, message), "{selector}");
    }

    #[test]
    fn errors_say_where() {
        check_error("", 1, "expected an event type, such as `ci_*`");
        check_error("a b", 3, "expected `{` or the end");
        check_error("a{b}", 4, "expected one of `=`, `!=`, `=~`, `!~`, `<`, `<=`, `>`, `>=`");
        check_error("a{b=}", 5, "expected a number or a text in quotes");
        check_error("a{b=\"x}", 5, "the quote is not closed");
        check_error("a{b=\"x\"", 8, "expected `,` or `}`");
        check_error("a{b>\"x\"}", 4, "`<` and `>` compare numbers: leave the quotes out");
        check_error("a{b=~5}", 6, "expected a text in quotes");
        check_error("a{b=~\"(\"}", 6, "no regular expression: unclosed group");
        check_error("a{b=~\"a)|(b\"}", 6, "no regular expression: unopened group");
        check_error("a{b=~\"(a{900}){900}\"}", 6, "the regular expression is too large");
        check_error("a{b=\"\\d\"}", 6, "unknown escape; write `\\\\` for a backslash");
        check_error("a{7=1}", 3, "the name of a field starts with a letter or `_`; quote it");
        check_error("a{b[x]=1}", 5, "expected an index such as `[0]`");
        check_error("a[", 2, "no glob: the `[` is not closed");
        check_error("a{ä=1,ö}", 8, "expected one of `=`, `!=`, `=~`, `!~`, `<`, `<=`, `>`, `>=`");
        check_error("a{b=1e999}", 5, "expected a number or a text in quotes");
    }

    #[test]
    fn a_caret_points_at_the_error() {
        let error = Selector::parse("a{ö=}").unwrap_err();
        assert_eq!(error.caret(), "a{ö=}\n    ^");
        assert_eq!(error.to_string(), "expected a number or a text in quotes at column 5");
    }

    #[test]
    fn the_failing_matcher_is_named() {
        let mismatch = |selector: &str| {
            let found = Selector::parse(selector).unwrap().explain(&View::new(&event())).unwrap();
            (found.matcher, found.actual)
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(mismatch("x_*"), pair("type x_*", "ci_build_completed"));
        assert_eq!(mismatch("*{n=5, status=~'ok' }"), pair("status=~\"ok\"", "failed"));
        assert_eq!(mismatch("*{gone>1}"), pair("gone>1", ""));
    }

    #[test]
    fn bound_names_are_looked_up_by_number() {
        struct Bound;
        impl Lookup for Bound {
            fn event_type(&self) -> &str {
                "t"
            }
            fn text<'v>(&'v self, path: &'v Path) -> Text<'v> {
                Text::borrowed(if matches!(path, Path::Bound(1, _)) { "bound" } else { "free" })
            }
        }
        let mut selector = Selector::parse(r#"t{b="bound", data.b="free", b.c="free"}"#).unwrap();
        selector.bind(&["a", "b"]);
        assert!(selector.matches(&Bound));
        assert_eq!(selector.to_string(), r#"t{b="bound",data.b="free",b.c="free"}"#);
    }

    fn path_text() -> impl Strategy<Value = String> {
        let name = prop_oneof!["[a-z_][a-z0-9_-]{0,5}", any::<String>().prop_map(|it| quote(&it))];
        let step = prop_oneof!["\\[[0-9]{1,3}\\]", name.clone().prop_map(|it| format!(".{it}")),];
        (name, proptest::collection::vec(step, 0..3))
            .prop_map(|(head, steps)| format!("{head}{}", steps.concat()))
    }

    fn quote(text: &str) -> String {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }

    fn matcher_text() -> impl Strategy<Value = String> {
        let test = prop_oneof![
            ("=|!=", any::<String>()).prop_map(|(op, it)| format!("{op}{}", quote(&it))),
            ("=~|!~", "[a-z.|*]{0,3}").prop_map(|(op, it)| format!("{op}\"a{it}\"")),
            ("=|!=|<|<=|>|>=", -1e300..1e300f64).prop_map(|(op, it)| format!("{op} {it}")),
        ];
        (path_text(), test).prop_map(|(path, test)| format!("{path} {test}"))
    }

    proptest! {
        #[test]
        fn anything_parses_or_fails_politely(text in any::<String>()) {
            if let Err(error) = Selector::parse(&text) {
                prop_assert!(text.is_char_boundary(error.offset));
                _ = error.caret();
            }
        }

        #[test]
        fn nearly_a_selector_is_no_bomb(text in "[a-z*\\[\\]{}\"'=~!<>0-9., \\\\-]{0,40}") {
            _ = Selector::parse(&text).map(|it| it.matches_event(&event()));
        }

        #[test]
        fn what_is_shown_parses_to_the_same(
            glob in "[a-z_*?]{1,8}",
            matchers in proptest::collection::vec(matcher_text(), 0..4),
        ) {
            let text = format!("{glob}{{{}}}", matchers.join(","));
            if let Ok(selector) = Selector::parse(&text) {
                let shown = selector.to_string();
                prop_assert_eq!(Selector::parse(&shown).unwrap(), selector, "{}", shown);
            }
        }
    }
}
