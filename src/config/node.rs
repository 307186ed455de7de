//! YAML as a tree that remembers where every part stood, so that one pass can report every error.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Options, Spanned};
use std::fmt;

/// A value from the file, the environment or a flag.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it stands; `None` if it came from no file.
    pub(super) at: Option<At>,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Nothing, `~` or `null`: as if the key were absent.
    Null,
    /// The text as it was written, without its quotes.
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Name, Node)>),
}

/// A key of a map.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) at: At,
}

/// A place in the file: line and column from 1, and characters up to the end of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) len: usize,
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
    pub(super) fn parse(source: &str) -> Result<Self, (Option<At>, String)> {
        let mut options = Options::default();
        options.strict_booleans = true;
        options.leading_zero_numbers_as_strings = true;
        options.underscored_numbers_as_strings = true;
        let root = serde_saphyr::from_str_with_options::<Option<Spanned<Raw>>>(source, options);
        let fault = |it: serde_saphyr::Error| (it.location().map(At::new), reason(&it));
        match root.map_err(fault)? {
            Some(root) => Ok(root.value.place(source, root.referenced)),
            None => Ok(Self { at: None, kind: Kind::Null }),
        }
    }
}

impl At {
    fn new(location: Location) -> Self {
        let number = |it: u64| usize::try_from(it).unwrap_or(usize::MAX);
        Self {
            line: number(location.line()),
            column: number(location.column()),
            len: number(location.span().len()),
        }
    }
}

/// The reason alone: the place is told in our own way, and without lines that may hold a secret.
fn reason(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let text = text.lines().next().unwrap_or_default();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// What serde sees. Numbers and booleans are only marked: their text is taken from the source, so that
/// nothing is lost by reading them as a number and writing them again.
enum Raw {
    Null,
    Text(String),
    Plain(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl Raw {
    fn place(self, source: &str, location: Location) -> Node {
        let kind = match self {
            Self::Null => Kind::Null,
            Self::Text(it) => Kind::Scalar(it),
            Self::Plain(fallback) => {
                Kind::Scalar(written(source, location).map_or(fallback, str::to_owned))
            }
            Self::List(items) => Kind::List(
                items.into_iter().map(|it| it.value.place(source, it.referenced)).collect(),
            ),
            Self::Map(entries) => Kind::Map(
                entries
                    .into_iter()
                    .map(|(name, it)| {
                        let at = At::new(name.referenced);
                        let name = Name { text: name.value, at };
                        (name, it.value.place(source, it.referenced))
                    })
                    .collect(),
            ),
        };
        Node { at: Some(At::new(location)), kind }
    }
}

/// The source text of a plain scalar.
fn written(source: &str, location: Location) -> Option<&str> {
    let start = usize::try_from(location.span().byte_offset()?).ok()?;
    let len = usize::try_from(location.span().byte_len()?).ok()?;
    let text = source.get(start..start.checked_add(len)?)?.trim();
    if text.is_empty() { None } else { Some(text) }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree on one line, each scalar with its place.
    fn show(node: &Node) -> String {
        let place = node.at.map_or_else(String::new, |it| format!("@{}:{}", it.line, it.column));
        match &node.kind {
            Kind::Null => "null".to_owned(),
            Kind::Scalar(text) => format!("{text:?}{place}"),
            Kind::List(items) => {
                format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", "))
            }
            Kind::Map(entries) => {
                let entries = entries.iter().map(|(name, it)| {
                    format!("{}@{}:{}={}", name.text, name.at.line, name.at.column, show(it))
                });
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }

    #[track_caller]
    fn check(source: &str, expected: &str) {
        assert_eq!(show(&Node::parse(source).unwrap()), expected);
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
