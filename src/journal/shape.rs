//! The shapes of JSON texts: what many events have in common, apart from the values.
//!
//! A shape is the text of an object with the mark `0xff`, which no text contains, in the place of every
//! scalar and every array: `{"status":"…","n":…}`. The text is the shape with the values put back, to the
//! byte. Equal members of events of one shape make a column.

use crate::event::{Fields, Value};
use crate::selector::{DataPath, Step};

/// Stands for a value.
const MARK: u8 = 0xff;
/// Values that one shape has at most.
pub(super) const MAX_VALUES: usize = 64;
const MAX_DEPTH: usize = 16;

/// A shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape(Vec<u8>);

/// Where the value of a path stands in all texts of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is this value; whether it is the inside of a string.
    Value(usize, bool),
    /// There is none, or an object.
    Missing,
    /// That differs, or cannot be told without reading the text.
    Unknown,
}

impl Shape {
    /// The shape of texts that have nothing in common: the only value is the text.
    pub(super) fn whole() -> Self {
        Self(vec![MARK])
    }

    pub(super) fn is_whole(&self) -> bool {
        self.0 == [MARK]
    }

    /// The shape of `text`, and its values in order. `None` if it is no object, or too large.
    pub(super) fn split(text: &str) -> Option<(Self, Vec<&str>)> {
        let bytes = text.as_bytes();
        let mut shape = Vec::with_capacity(bytes.len());
        let mut values = Vec::new();
        let (mut at, mut depth, mut value_next) = (0, 0usize, false);
        while let Some(byte) = bytes.get(at).copied() {
            let end = match byte {
                b'"' => end_of_string(bytes, at)?,
                b'{' if depth < MAX_DEPTH && (value_next || at == 0) => {
                    depth += 1;
                    value_next = false;
                    at + 1
                }
                b'}' => {
                    depth = depth.checked_sub(1)?;
                    value_next = false;
                    at + 1
                }
                b':' | b',' => {
                    value_next = byte == b':';
                    at + 1
                }
                b' ' | b'\n' | b'\r' | b'\t' => at + 1,
                b'[' if value_next => end_of_array(bytes, at)?,
                _ if value_next => {
                    let ends = |it: &u8| matches!(it, b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
                    at + bytes.get(at..)?.iter().position(ends)?
                }
                _ => return None,
            };
            let scalar = !matches!(byte, b'{' | b'}' | b':' | b',' | b' ' | b'\n' | b'\r' | b'\t');
            if value_next && scalar {
                let quoted = byte == b'"';
                let inside = if quoted { at + 1..end - 1 } else { at..end };
                values.push(text.get(inside)?);
                let mark: &[u8] = if quoted { &[b'"', MARK, b'"'] } else { &[MARK] };
                shape.extend_from_slice(mark);
                value_next = false;
            } else {
                shape.extend_from_slice(bytes.get(at..end)?);
            }
            at = end;
        }
        let fits = depth == 0 && !values.is_empty() && values.len() <= MAX_VALUES;
        fits.then_some((Self(shape), values))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many values it has.
    pub(super) fn len(&self) -> usize {
        memchr::memchr_iter(MARK, &self.0).count()
    }

    /// What is before, between and after the values.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|it| *it == MARK)
    }

    /// Where `path` leads.
    pub(super) fn place(&self, path: &DataPath) -> Place {
        if self.is_whole() {
            return Place::Unknown;
        }
        // With numbers for values, our own reader of JSON says where a path leads.
        let mut sample = Vec::new();
        for (i, piece) in self.pieces().enumerate() {
            if i > 0 {
                sample.extend_from_slice((i - 1).to_string().as_bytes());
            }
            sample.extend_from_slice(piece);
        }
        let Ok(sample) = String::from_utf8(sample) else { return Place::Unknown };
        let Ok(fields) = Fields::parse(&sample) else { return Place::Unknown };
        let mut value = fields.get(&path.head).cloned();
        for step in &path.steps {
            value = match (value, step) {
                // An array may stand there.
                (Some(Value::Number(_)), _) => return Place::Unknown,
                (Some(it), Step::Member(name)) => it.member(name),
                _ => None,
            };
        }
        let number = |it: &str| it.parse().ok().filter(|it| *it < MAX_VALUES);
        match value {
            Some(Value::Number(it)) => {
                number(it).map_or(Place::Unknown, |it| Place::Value(it, false))
            }
            Some(Value::String(it)) => {
                number(&it).map_or(Place::Unknown, |it| Place::Value(it, true))
            }
            None | Some(Value::Object(_)) => Place::Missing,
            Some(_) => Place::Unknown,
        }
    }
}

/// Where the string that starts at `at` ends.
fn end_of_string(bytes: &[u8], mut at: usize) -> Option<usize> {
    at += 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

/// Where the array that starts at `at` ends.
fn end_of_array(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = end_of_string(bytes, at)?;
                continue;
            }
            b'[' => depth += 1,
            b']' if depth == 1 => return Some(at + 1),
            b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::Path;
    use proptest::prelude::*;

    fn join(shape: &Shape, values: &[&str]) -> String {
        let mut res = Vec::new();
        for (i, piece) in shape.pieces().enumerate() {
            res.extend_from_slice(if i == 0 { b"" } else { values[i - 1].as_bytes() });
            res.extend_from_slice(piece);
        }
        String::from_utf8(res).unwrap()
    }

    #[test]
    fn a_text_is_its_shape_and_values() {
        let text = "{\"a\" : \"x\\\"y\",\n\"b\":-1.50e3,\"c\":{\"d\":null,\"e\":{}},\"f\":[1,\"]\",[2]] ,\"g\":true}";
        let (shape, values) = Shape::split(text).unwrap();
        assert_eq!(values, ["x\\\"y", "-1.50e3", "null", "[1,\"]\",[2]]", "true"]);
        assert_eq!(shape.len(), values.len());
        assert_eq!(join(&shape, &values), text);
        let (other, _) = Shape::split("{\"a\":1}").unwrap();
        let (same, _) = Shape::split("{\"a\":27}").unwrap();
        let (quoted, _) = Shape::split("{\"a\":\"1\"}").unwrap();
        assert_eq!(other, same);
        assert_ne!(other, quoted);
    }

    #[test]
    fn what_is_no_object_or_has_no_value_is_left_whole() {
        let deep = "{\"a\":".repeat(40) + "1" + &"}".repeat(40);
        for text in ["", "{}", "[]", "1", "{\"a\"", "{\"a\":", "{\"a\":\"x", "{\"a\":[", "}", &deep]
        {
            assert_eq!(Shape::split(text), None, "{text}");
        }
    }

    #[test]
    fn paths_lead_to_values() {
        let text = r#"{"a":"x","n":{"m":1,"s":"t"},"l":[{"m":1}],"a":"y","\u0062":2}"#;
        let (shape, _) = Shape::split(text).unwrap();
        let place = |path: &str| match Path::parse(path).unwrap() {
            Path::Data(it) => shape.place(&it),
            other => panic!("{other:?}"),
        };
        assert_eq!(place("a"), Place::Value(4, true), "the last of two counts");
        assert_eq!(place("n.m"), Place::Value(1, false));
        assert_eq!(place("n.s"), Place::Value(2, true));
        assert_eq!(place("b"), Place::Value(5, false));
        assert_eq!(place("l"), Place::Value(3, false));
        assert_eq!(place("l[0].m"), Place::Unknown);
        assert_eq!(place("n.m.x"), Place::Unknown, "an object may stand there in other events");
        assert_eq!(place("a.x"), Place::Missing);
        assert_eq!(place("n"), Place::Missing);
        assert_eq!(place("gone.x"), Place::Missing);
    }

    proptest! {
        #[test]
        fn anything_splits_into_what_it_was(text in "[{}\\[\\]\":,a1 \\\\]{0,40}") {
            if let Some((shape, values)) = Shape::split(&text) {
                prop_assert_eq!(join(&shape, &values), text);
            }
        }
    }
}
