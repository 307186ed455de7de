//! YAML as a tree in which every node knows where it stands.
//!
//! Deserialising straight into structs would stop at the first wrong value; a tree lets its reader report
//! everything that is wrong with a file at once.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};
use std::fmt;

/// A node of the file.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it stands; of an alias, where the alias does.
    pub at: Place,
    /// Where it is written; of an alias, where the anchor is.
    written: Place,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// The number's text, exactly as it was written.
    Number(String),
    /// A text without its quotes and escapes.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key itself.
    pub name: String,
    /// Where it stands.
    pub at: Place,
}

/// A range of bytes of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// A place as people count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How many characters of the first line are meant; at least 1.
    pub len: usize,
}

/// What becomes of a key that occurs twice in a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// The document is refused.
    Refused,
    /// Both are in the tree.
    Kept,
}

/// How deep lists and maps may nest: they are read recursively, at some 32 KiB of stack per level.
const MAX_DEPTH: usize = 24;

/// Reads a document; an empty one is [`Kind::Null`].
///
/// # Errors
///
/// `text` is no YAML, too large, or nests too deeply: the place, if it is known, and the reason. The reason
/// quotes no lines of the file, which may hold a secret.
pub fn parse(text: &str, duplicates: Duplicates) -> Result<Node, (Option<Place>, String)> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        strict_booleans: true,
        // A section of which everything is commented out is longer than what the parser would keep of them.
        emit_comments: false,
        duplicate_keys: match duplicates {
            Duplicates::Refused => DuplicateKeyPolicy::Error,
            Duplicates::Kept => DuplicateKeyPolicy::PassThrough,
        },
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => Ok(Node::from_raw(raw, text)),
        Err(error) => Err((error.location().map(|it| place(&it, text)), message(&error))),
    }
}

impl Place {
    /// Where in `text` the place is.
    #[must_use]
    pub fn position(self, text: &str) -> Position {
        let before = text.get(..self.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |it| it + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        let meant = text.get(self.start..self.end).and_then(|it| it.lines().next());
        Position {
            line: before.matches('\n').count() + 1,
            column: column + 1,
            len: meant.unwrap_or_default().trim_end().chars().count().max(1),
        }
    }

    fn text(self, file: &str) -> &str {
        file.get(self.start..self.end).unwrap_or_default().trim()
    }
}

/// The error without the location, which is told apart from it.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let text = text.lines().next().unwrap_or_default();
    let text = text.split(" at line ").next().unwrap_or(text);
    let text = text.strip_prefix("error: ").unwrap_or(text);
    if text.starts_with("budget breached") {
        return "the file is too large or nests too deeply".to_owned();
    }
    match text.split_once(": ") {
        Some((head, tail)) if head.starts_with("line ") => tail.to_owned(),
        _ => text.to_owned(),
    }
}

fn place(at: &Location, text: &str) -> Place {
    let span = at.span();
    let number = |it: Option<u64>| it.and_then(|it| usize::try_from(it).ok());
    let start = number(span.byte_offset()).unwrap_or_else(|| offset_of(at, text)).min(text.len());
    let end = start.saturating_add(number(span.byte_len()).unwrap_or(0)).min(text.len());
    Place { start, end }
}

/// The scanner's errors have a line and a column only.
fn offset_of(at: &Location, text: &str) -> usize {
    let line = usize::try_from(at.line()).unwrap_or(0).saturating_sub(1);
    let column = usize::try_from(at.column()).unwrap_or(0).saturating_sub(1);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    start + rest.chars().take(column).map(char::len_utf8).sum::<usize>()
}

/// What the deserialiser yields, before numbers get their text back.
enum Raw {
    Null,
    Bool(bool),
    Number,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl Node {
    /// What stands in `text`, the file, for a scalar: a number or a boolean as it was written.
    #[must_use]
    pub fn written<'t>(&self, text: &'t str) -> &'t str {
        self.written.text(text)
    }

    /// The same as JSON. A number that JSON cannot have stays a text.
    #[must_use]
    pub fn json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(it) => Value::Bool(*it),
            Kind::Number(it) => {
                serde_json::from_str(it).unwrap_or_else(|_| Value::from(it.as_str()))
            }
            Kind::Text(it) => Value::from(it.as_str()),
            Kind::List(items) => items.iter().map(Self::json).collect(),
            Kind::Map(entries) => {
                entries.iter().map(|(key, it)| (key.name.clone(), it.json())).collect()
            }
        }
    }

    fn from_raw(raw: Spanned<Raw>, text: &str) -> Self {
        let at = place(&raw.referenced, text);
        let written = place(&raw.defined, text);
        let kind = match raw.value {
            Raw::Null => Kind::Null,
            Raw::Bool(it) => Kind::Bool(it),
            Raw::Number => Kind::Number(written.text(text).to_owned()),
            Raw::Text(it) => Kind::Text(it),
            Raw::List(items) => {
                Kind::List(items.into_iter().map(|it| Self::from_raw(it, text)).collect())
            }
            Raw::Map(entries) => {
                let entry = |(key, value): (Spanned<String>, Spanned<Raw>)| {
                    let at = place(&key.referenced, text);
                    (Key { name: key.value, at }, Self::from_raw(value, text))
                };
                Kind::Map(entries.into_iter().map(entry).collect())
            }
        };
        Self { kind, at, written }
    }
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
        f.write_str("a YAML value")
    }
    fn visit_unit<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_none<E: Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_bool<E: Error>(self, it: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(it))
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }
    fn visit_i128<E: Error>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Number)
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }
    fn visit_u128<E: Error>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Number)
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }
    fn visit_str<E: Error>(self, it: &str) -> Result<Raw, E> {
        Ok(Raw::Text(it.to_owned()))
    }
    fn visit_string<E: Error>(self, it: String) -> Result<Raw, E> {
        Ok(Raw::Text(it))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut res = Vec::new();
        while let Some(it) = seq.next_element()? {
            res.push(it);
        }
        Ok(Raw::List(res))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut res = Vec::new();
        while let Some(it) = map.next_entry()? {
            res.push(it);
        }
        Ok(Raw::Map(res))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let res = match parse(text, Duplicates::Kept) {
            Ok(node) => show(&node, text),
            Err((at, message)) => format!("{}: {message}", at.unwrap().start),
        };
        assert_eq!(res, expected, "{text}");
    }

    fn show(node: &Node, text: &str) -> String {
        match &node.kind {
            Kind::Map(entries) => {
                let entry = |(key, value): &(Key, Node)| {
                    format!("{}={}", &text[key.at.start..key.at.end], show(value, text))
                };
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
            }
            Kind::List(items) => {
                let items: Vec<_> = items.iter().map(|it| show(it, text)).collect();
                format!("[{}]", items.join(","))
            }
            kind => format!("{kind:?}@{}", &text[node.at.start..node.at.end]),
        }
    }

    #[test]
    fn scalars_keep_their_text_and_place() {
        check("a: 1.10", r#"{a=Number("1.10")@1.10}"#);
        check("no: no", r#"{no=Text("no")@no}"#);
        check("true: [\"true\", true]", r#"{true=[Text("true")@"true",Bool(true)@true]}"#);
        check("ö: 'ä'\nb:", r#"{ö=Text("ä")@'ä',b=Null@}"#);
        check("a: &x y\nb: *x", r#"{a=Text("y")@y,b=Text("y")@*x}"#);
        check("a: 1\na: 2", r#"{a=Number("1")@1,a=Number("2")@2}"#);
    }

    #[test]
    fn errors_have_a_place() {
        check("x: 1\na: [", "8: unclosed bracket '['");
        check("a: b: c", "4: mapping values are not allowed in this context");
        check("a: *x", "3: alias references unknown anchor");
        check("x: 1\n[1]: 2", "5: expected string scalar");
        let deep = format!("a: {}{}", "[".repeat(30), "]".repeat(30));
        check(&deep, "26: the file is too large or nests too deeply");
    }

    #[test]
    fn keys_that_occur_twice_can_be_refused() {
        let (at, message) = parse("a: 1\na: 2", Duplicates::Refused).unwrap_err();
        assert_eq!(at, Some(Place { start: 5, end: 6 }));
        assert!(message.starts_with("duplicate mapping key: a"), "{message}");
    }

    #[test]
    fn positions_count_characters() {
        let text = "ö: 1\n\tä: [é,\n x]\n";
        let position = |start, end| {
            let Position { line, column, len } = Place { start, end }.position(text);
            (line, column, len)
        };
        assert_eq!(position(0, 2), (1, 1, 1));
        assert_eq!(position(7, 9), (2, 2, 1));
        assert_eq!(position(11, 19), (2, 5, 3), "the first line only");
        assert_eq!(position(text.len(), text.len()), (4, 1, 1));
    }

    #[test]
    fn any_number_of_comments() {
        let comments = "  # nothing\n".repeat(10_000);
        let text = format!("a:\n{comments}b:\n{comments}  c: 1\n");
        let node = parse(&text, Duplicates::Refused).unwrap();
        assert!(matches!(&node.kind, Kind::Map(entries) if entries.len() == 2), "{node:?}");
    }
}
