//! Series selectors as Prometheus has them: matchers over labels and nothing else.

use super::cursor::{Cursor, SyntaxError};
use super::parse;
use super::{Test, Text, path};
use std::fmt;

/// Matchers over labels, all of which must hold, such as `{job=~"ci-.*", branch!="main"}`. A label that is
/// absent is empty. At least one matcher refuses the empty text, so that a selector never means everything
/// by accident.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelSelector {
    matchers: Vec<Matcher>,
}

#[derive(Clone, Debug, PartialEq)]
struct Matcher {
    name: String,
    test: Test,
}

impl LabelSelector {
    /// Compiles a selector.
    ///
    /// # Errors
    ///
    /// The text is no selector of labels, would match what has no labels at all, or a regular expression is
    /// invalid or too large.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        parse::check_length(text)?;
        let mut cursor = Cursor::new(text);
        cursor.skip_space();
        let start = cursor.at();
        if !cursor.eat("{") {
            return Err(cursor.error("expected matchers of labels, such as `{job=~\"ci-.*\"}`"));
        }
        let matchers = parse::list(&mut cursor, matcher)?;
        cursor.skip_space();
        if !cursor.is_done() {
            return Err(cursor.error("expected the end"));
        }
        if matchers.iter().all(|it| it.test.holds(&Text::Missing)) {
            let message = "expected at least one matcher that does not match the empty text";
            return Err(cursor.error_at(start, message));
        }
        Ok(Self { matchers })
    }

    /// The names of the labels that are matched.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.matchers.iter().map(|it| it.name.as_str())
    }

    /// Whether all matchers hold; `label` has the value of each label by name, `None` if it is absent.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let holds =
            |it: &Matcher| it.test.holds(&label(&it.name).map_or(Text::Missing, Text::borrowed));
        self.matchers.iter().all(holds)
    }
}

impl fmt::Display for LabelSelector {
    /// The selector in its normal form, which parses to the same selector.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, it) in self.matchers.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            if is_plain(&it.name) {
                f.write_str(&it.name)?;
            } else {
                path::write_quoted(f, &it.name)?;
            }
            it.test.fmt(f)?;
        }
        f.write_str("}")
    }
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
        && name.chars().all(is_name_char)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn matcher(cursor: &mut Cursor<'_>) -> Result<Matcher, SyntaxError> {
    let start = cursor.at();
    let name = match cursor.peek() {
        Some('"' | '\'' | '`') => cursor.quoted()?,
        _ => {
            let name = cursor.take_while(is_name_char);
            if !is_plain(name) {
                return Err(cursor.error_at(start, "expected the name of a label"));
            }
            name.to_owned()
        }
    };
    cursor.skip_space();
    let at = cursor.at();
    let test = parse::test(cursor)?;
    if matches!(test, Test::Number { .. }) {
        let message = "a label is compared by `=`, `!=`, `=~` or `!~` with a text in quotes";
        return Err(cursor.error_at(at, message));
    }
    Ok(Matcher { name, test })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [(&str, &str); 3] = [("job", "ci-build"), ("branch", "main"), ("a.b", "x")];

    #[track_caller]
    fn check(selector: &str, expected: bool) {
        let parsed = LabelSelector::parse(selector).unwrap_or_else(|it| panic!("{}", it.caret()));
        let label = |name: &str| LABELS.iter().find(|it| it.0 == name).map(|it| it.1);
        assert_eq!(parsed.matches(label), expected, "{selector}");
        assert_eq!(LabelSelector::parse(&parsed.to_string()), Ok(parsed.clone()), "{parsed}");
    }

    #[test]
    fn labels_match_as_in_prometheus() {
        check(r#"{job="ci-build"}"#, true);
        check(r#"{ job = 'ci-build' , }"#, true);
        check(r#"{job=~"ci-.*",branch!="main"}"#, false);
        check(r#"{job=~"ci"}"#, false);
        check(r#"{job!~"ci",branch=~"main|dev"}"#, true);
        check(r#"{job=~".+",instance=""}"#, true);
        check(r#"{job=~".+",instance!=""}"#, false);
        check(r#"{"a.b"="x",`job`!="y"}"#, true);
    }

    #[track_caller]
    fn check_error(selector: &str, column: usize, words: &str) {
        let error = LabelSelector::parse(selector).unwrap_err();
        assert!(error.message.contains(words), "{selector}: {error}");
        assert_eq!(error.column(), column, "{selector}: {error}");
    }

    #[test]
    fn what_would_match_everything_is_refused() {
        for selector in ["{}", r#"{job=~".*"}"#, r#"{job=""}"#, r#"{job!="x",a!~"y"}"#] {
            check_error(selector, 1, "does not match the empty text");
        }
    }

    #[test]
    fn errors_say_where() {
        check_error("", 1, "expected matchers of labels");
        check_error("up{job=\"x\"}", 1, "expected matchers of labels");
        check_error("{job=\"x\"} or", 11, "expected the end");
        check_error("{1=\"x\"}", 2, "the name of a label");
        check_error("{a.b=\"x\"}", 3, "expected one of");
        check_error("{job=5}", 5, "a text in quotes");
        check_error("{job>5}", 5, "a text in quotes");
        check_error("{job=~\"(\"}", 7, "no regular expression");
        check_error("{job=\"x\" b=\"y\"}", 10, "expected `,` or `}`");
        check_error("{job=\"x\"", 9, "expected `,` or `}`");
        check_error(&format!("{{job=\"{}\"}}", "x".repeat(20_000)), 1, "at most");
    }
}
