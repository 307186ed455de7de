//! Values of a rule that may be written in several ways.

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use std::collections::BTreeMap;

/// A number, or a text that spells one: settings in the environment and in the file are texts.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let read = match &value {
        Value::Number(it) => it.as_f64(),
        Value::String(it) => it.trim().parse().ok(),
        _ => None,
    };
    let read = read.filter(|it| it.is_finite());
    read.map(Some).ok_or_else(|| de::Error::custom(format!("{value} is no number such as 80")))
}

/// A number that must be there.
pub(super) fn required_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    number(deserializer).map(Option::unwrap_or_default)
}

pub(super) fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Bool(it) => Ok(it),
        Value::String(it) if it == "true" => Ok(true),
        Value::String(it) if it == "false" => Ok(false),
        it => Err(de::Error::custom(format!("{it} is neither true nor false"))),
    }
}

/// Texts by name; numbers and booleans are taken as what they look like.
pub(super) fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let entries = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let text = |(name, it): (String, Value)| match it {
        Value::String(it) => Ok((name, it)),
        Value::Number(_) | Value::Bool(_) => Ok((name, it.to_string())),
        it => Err(de::Error::custom(format!("{name} is {it}, and must be a text"))),
    };
    entries.into_iter().map(text).collect()
}
