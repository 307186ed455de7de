//! Reading an event's `data` without building a tree of it.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// The members of one JSON object, borrowed from its text. Nested values stay text until asked for.
///
/// A name that occurs twice has its last value, as in most JSON readers.
#[derive(Clone, Debug, Default)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

/// A JSON value, borrowed from its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, exactly as it was written: no digit of a 64-bit id is lost.
    Number(&'a str),
    /// A string.
    String(Cow<'a, str>),
    /// The text of an array.
    Array(&'a str),
    /// The text of an object.
    Object(&'a str),
}

impl<'a> Fields<'a> {
    /// Reads the text of a JSON object.
    ///
    /// # Errors
    ///
    /// `text` is no JSON object.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The member called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().rev().find(|(it, _)| it == name).map(|(_, value)| value)
    }

    /// All members as they stand, in order; a name may occur twice.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }
}

impl<'a> Value<'a> {
    /// Reads the text of one JSON value. `None` if it is none, which a checked event's data never has.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        Some(match text.bytes().next()? {
            b'n' => Value::Null,
            b't' => Value::Bool(true),
            b'f' => Value::Bool(false),
            b'"' => Value::String(serde_json::from_str::<Text<'a>>(text).ok()?.0),
            b'[' => Value::Array(text),
            b'{' => Value::Object(text),
            _ => Value::Number(text),
        })
    }

    /// The member called `name` of an object.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Value::Object(text) => Fields::parse(text).ok()?.get(name).cloned(),
            _ => None,
        }
    }

    /// The elements of an array; none for anything else.
    #[must_use]
    pub fn elements(&self) -> Vec<Value<'a>> {
        match self {
            Value::Array(text) => {
                serde_json::from_str::<Elements<'a>>(text).map_or(vec![], |it| it.0)
            }
            _ => Vec::new(),
        }
    }

    /// A scalar as a label shows it: the text of a number as written, `true`, `false`, the characters of
    /// a string. `null`, arrays and objects have none.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Bool(it) => Some(if *it { "true" } else { "false" }),
            Value::Number(it) => Some(it),
            Value::String(it) => Some(it),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// A JSON string; it borrows when it has no escapes.
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

/// The elements of an array.
struct Elements<'a>(Vec<Value<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        Value::parse(raw.get()).ok_or_else(|| D::Error::custom("not a JSON value"))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut res = Vec::with_capacity(8);
                while let Some((name, value)) = map.next_entry::<Text<'de>, Value<'de>>()? {
                    res.push((name.0, value));
                }
                Ok(Fields(res))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementsVisitor;
        impl<'de> Visitor<'de> for ElementsVisitor {
            type Value = Elements<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Elements<'de>, A::Error> {
                let mut res = Vec::new();
                while let Some(it) = seq.next_element()? {
                    res.push(it);
                }
                Ok(Elements(res))
            }
        }
        deserializer.deserialize_seq(ElementsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_keep_their_text() {
        let text = r#"{"a":"x","b":12345678901234567890,"c":true,"d":null,"e":1.50,"f":"q\"\n","g":[1,{"h":2}]}"#;
        let fields = Fields::parse(text).unwrap();
        let text_of = |name: &str| fields.get(name).unwrap().text().map(str::to_owned);
        assert_eq!(text_of("a").unwrap(), "x");
        assert_eq!(text_of("b").unwrap(), "12345678901234567890");
        assert_eq!(text_of("c").unwrap(), "true");
        assert_eq!(text_of("d"), None);
        assert_eq!(text_of("e").unwrap(), "1.50");
        assert_eq!(text_of("f").unwrap(), "q\"\n");
        assert_eq!(text_of("g"), None);
        let second = fields.get("g").unwrap().elements()[1].clone();
        assert_eq!(second.member("h").unwrap().text(), Some("2"));
    }

    #[test]
    fn the_last_of_two_wins() {
        let fields = Fields::parse(r#"{"a":1,"a":2}"#).unwrap();
        assert_eq!(fields.get("a").unwrap().text(), Some("2"));
    }

    #[test]
    fn only_objects_have_fields() {
        for text in ["", "1", "[]", "null", "{", "{\"a\"}"] {
            assert!(Fields::parse(text).is_err(), "{text}");
        }
    }
}
