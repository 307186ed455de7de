//! The YAML of a rule file as a tree in which every node knows where it stands.
//!
//! Deserialising straight into structs would stop at the first wrong value; a tree lets the compiler
//! report everything that is wrong with a file at once.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};
use std::fmt;

/// A node of the file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) at: Place,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    /// The number's text, exactly as it was written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) at: Place,
}

/// A range of bytes of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// How deep lists and maps may nest: they are read recursively, at some 32 KiB of stack per level.
const MAX_DEPTH: usize = 24;

/// Reads a document. Keys that occur twice are kept: the compiler reports them.
pub(super) fn parse(text: &str) -> Result<Node, (Place, String)> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        strict_booleans: true,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => Ok(Node::from_raw(raw, text)),
        Err(error) => {
            let at = error.location().map_or(Place::default(), |it| place(&it, text));
            Err((at, message(&error)))
        }
    }
}

/// The error without the location, which the diagnostic gives.
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
    fn from_raw(raw: Spanned<Raw>, text: &str) -> Self {
        let at = place(&raw.referenced, text);
        let kind = match raw.value {
            Raw::Null => Kind::Null,
            Raw::Bool(it) => Kind::Bool(it),
            Raw::Number => {
                let defined = place(&raw.defined, text);
                let number = text.get(defined.start..defined.end).unwrap_or_default();
                Kind::Number(number.trim().to_owned())
            }
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
        Self { kind, at }
    }

    /// The words for a message.
    pub(super) fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// A scalar's text, as it was written.
    pub(super) fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Bool(it) => Some(if *it { "true" } else { "false" }),
            Kind::Number(it) | Kind::Text(it) => Some(it),
            Kind::Null | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// Where byte `offset` of the node's text stands in the file, as far as that can be told: in a plain
    /// or quoted text on one line without escapes. Elsewhere the node itself.
    pub(super) fn place_of(&self, offset: usize, file: &str) -> Place {
        let Kind::Text(value) = &self.kind else { return self.at };
        let Some(written) = file.get(self.at.start..self.at.end) else { return self.at };
        let Some(skip) = written.find(value.as_str()) else { return self.at };
        let start = self.at.start + skip + offset.min(value.len());
        let len = value.get(offset..).and_then(|it| it.chars().next()).map_or(1, char::len_utf8);
        Place { start, end: start + len }
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
        let res = match parse(text) {
            Ok(node) => show(&node, text),
            Err((at, message)) => format!("{}: {message}", at.start),
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
    fn a_place_inside_a_text() {
        let text = "a: 'xy${z'";
        let Kind::Map(entries) = parse(text).unwrap().kind else { panic!("no map") };
        assert_eq!(entries[0].1.place_of(2, text), Place { start: 6, end: 7 });
    }
}
