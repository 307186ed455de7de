//! What a setting is read from: the file, the environment and the flags alike.

use crate::yaml;
use crate::yaml::{Duplicates, Key, Place};

/// A value from the file, the environment or a flag.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it stands; `None` if it came from no file.
    pub(super) at: Option<Place>,
    pub(super) kind: Kind,
}

/// As the environment and the flags have only texts, a number or a boolean of the file is one too.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Nothing, `~` or `null`: as if the key were absent.
    Null,
    /// The text as it was written, without its quotes.
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

impl Node {
    /// A value that is text, such as that of an environment variable.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { at: None, kind: Kind::Scalar(text.into()) }
    }

    /// A list of texts, such as a flag that was given several times.
    pub(super) fn texts(texts: impl IntoIterator<Item = String>) -> Self {
        Self { at: None, kind: Kind::List(texts.into_iter().map(Self::text).collect()) }
    }

    /// Reads `source`. The error is the place, if it is known, and the reason.
    pub(super) fn parse(source: &str) -> Result<Self, (Option<Place>, String)> {
        yaml::parse(source, Duplicates::Refused).map(|it| Self::new(it, source))
    }

    fn new(node: yaml::Node, source: &str) -> Self {
        let written = node.written(source);
        let kind = match node.kind {
            yaml::Kind::Null => Kind::Null,
            yaml::Kind::Bool(_) => Kind::Scalar(written.to_owned()),
            yaml::Kind::Number(it) | yaml::Kind::Text(it) => Kind::Scalar(it),
            yaml::Kind::List(items) => {
                Kind::List(items.into_iter().map(|it| Self::new(it, source)).collect())
            }
            yaml::Kind::Map(entries) => {
                let entry = |(key, it)| (key, Self::new(it, source));
                Kind::Map(entries.into_iter().map(entry).collect())
            }
        };
        Self { at: Some(node.at), kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree on one line, each scalar with its place.
    fn show(node: &Node, source: &str) -> String {
        let place = |at: Place| {
            let at = at.position(source);
            format!("@{}:{}", at.line, at.column)
        };
        match &node.kind {
            Kind::Null => "null".to_owned(),
            Kind::Scalar(text) => format!("{text:?}{}", node.at.map_or_else(String::new, place)),
            Kind::List(items) => {
                format!(
                    "[{}]",
                    items.iter().map(|it| show(it, source)).collect::<Vec<_>>().join(", ")
                )
            }
            Kind::Map(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, it)| format!("{}{}={}", key.name, place(key.at), show(it, source)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }

    #[track_caller]
    fn check(source: &str, expected: &str) {
        assert_eq!(show(&Node::parse(source).unwrap(), source), expected);
    }

    #[test]
    fn scalars_keep_their_text_and_place() {
        check("a: 007", r#"{a@1:1="007"@1:4}"#);
        check("a: 1.10", r#"{a@1:1="1.10"@1:4}"#);
        check("a: 1_000", r#"{a@1:1="1_000"@1:4}"#);
        check("a: 0x1F # no", r#"{a@1:1="0x1F"@1:4}"#);
        check("a: 1e3", r#"{a@1:1="1e3"@1:4}"#);
        check("a: 99999999999999999999999", r#"{a@1:1="99999999999999999999999"@1:4}"#);
        check("a: true\nb: no", r#"{a@1:1="true"@1:4, b@2:1="no"@2:4}"#);
        check("a: 'x: y'", r#"{a@1:1="x: y"@1:4}"#);
        check("a: True", r#"{a@1:1="True"@1:4}"#);
        check("a: &x 5\nb: *x", r#"{a@1:1="5"@1:7, b@2:1="5"@2:4}"#);
        check("é: ü\nb:\n  c: 10MiB", r#"{é@1:1="ü"@1:4, b@2:1={c@3:3="10MiB"@3:6}}"#);
    }

    #[test]
    fn collections_and_nothing() {
        check("", "null");
        check("# only a comment\n", "null");
        check("a:\nb: ~", "{a@1:1=null, b@2:1=null}");
        check("a: [1, x]", r#"{a@1:1=["1"@1:5, "x"@1:8]}"#);
        check("a:\n  - b: 1\n", r#"{a@1:1=[{b@2:5="1"@2:8}]}"#);
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        for (source, words) in [
            ("a: [1", "bracket"),
            ("a: 1\na: 2", "duplicate"),
            ("a: b: c", "mapping"),
            ("a:\n\tb: 1", "tab"),
        ] {
            let (at, err) = Node::parse(source).unwrap_err();
            assert!(at.is_some() && err.to_lowercase().contains(words), "{source:?}: {at:?} {err}");
        }
    }
}
