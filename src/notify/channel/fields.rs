//! Reading the members of a JSON object, with everything that is wrong.

use crate::notify::secret::MASK;
use serde_json::{Map, Value};
use std::time::Duration;

/// What is wrong with one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// Its path, such as `config.url`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// The members of an object.
pub(super) struct Fields<'a> {
    prefix: &'static str,
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
    faults: Vec<FieldFault>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(prefix: &'static str, map: &'a Map<String, Value>) -> Self {
        Self { prefix, map, known: Vec::new(), faults: Vec::new() }
    }

    pub(super) fn fault(&mut self, key: &str, reason: impl Into<String>) {
        self.faults
            .push(FieldFault { field: format!("{}{key}", self.prefix), reason: reason.into() });
    }

    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.map.get(key).filter(|it| !it.is_null())
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, key: &'static str) -> Option<&'a str> {
        let value = self.get(key)?;
        let text = value.as_str().filter(|it| !it.trim().is_empty());
        match text {
            None => self.fault(key, "must be a text that is not empty"),
            Some(it) if is_mask(it) => self.fault(key, MASKED),
            Some(_) => {}
        }
        text
    }

    /// A text that `parse` reads; what it says is the fault.
    pub(super) fn parse<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(key)?;
        parse(text.trim()).map_err(|it| self.fault(key, it)).ok()
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        if !value.is_boolean() {
            self.fault(key, "must be true or false");
        }
        value.as_bool()
    }

    pub(super) fn port(&mut self, key: &'static str) -> Option<u16> {
        let value = self.get(key)?;
        let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
        let port = number.and_then(|it| u16::try_from(it).ok()).filter(|it| *it > 0);
        if port.is_none() {
            self.fault(key, "must be a port such as 587");
        }
        port
    }

    /// `15s`, `500ms`, `2m` or a number of seconds.
    pub(super) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let value = self.get(key)?;
        let res = match value {
            Value::Number(it) => it.as_u64().map(Duration::from_secs),
            Value::String(it) => duration(it),
            _ => None,
        };
        let res = res.filter(|it| (1..=300_000).contains(&it.as_millis()));
        if res.is_none() {
            self.fault(key, "must be a duration of at most 5m, such as 15s");
        }
        res
    }

    /// A list of texts, or one text with commas between its parts.
    pub(super) fn list(&mut self, key: &'static str) -> Option<Vec<&'a str>> {
        let value = self.get(key)?;
        let parts: Option<Vec<&str>> = match value {
            Value::String(it) => Some(it.split(',').collect()),
            Value::Array(it) => it.iter().map(Value::as_str).collect(),
            _ => None,
        };
        let parts = parts.map(|it| it.into_iter().map(str::trim).filter(|it| !it.is_empty()));
        let res: Option<Vec<&str>> = parts.map(Iterator::collect);
        if res.as_ref().is_none_or(Vec::is_empty) {
            self.fault(key, "must be a list of texts that is not empty");
        } else if res.iter().flatten().any(|it| is_mask(it)) {
            self.fault(key, MASKED);
        }
        res.filter(|it| !it.is_empty())
    }

    /// An object of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<(&'a str, &'a str)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let pairs = value.as_object().and_then(|it| {
            it.iter().map(|(name, it)| Some((name.as_str(), it.as_str()?))).collect()
        });
        if pairs.is_none() {
            self.fault(key, "must be an object of texts such as {\"X-Team\": \"ops\"}");
        }
        let pairs: Vec<(&str, &str)> = pairs.unwrap_or_default();
        if pairs.iter().any(|(_, it)| is_mask(it)) {
            self.fault(key, MASKED);
        }
        pairs
    }

    /// What is wrong, unknown members included.
    pub(super) fn finish(mut self) -> Vec<FieldFault> {
        for key in self.map.keys() {
            if !self.known.contains(&key.as_str()) {
                let near = self.known.iter().map(|it| (strsim::jaro_winkler(key, it), it));
                let hint = match near.max_by(|a, b| a.0.total_cmp(&b.0)) {
                    Some((score, it)) if score > 0.85 => format!(", did you mean `{it}`?"),
                    _ => format!(", known are {}", self.known.join(", ")),
                };
                let field = format!("{}{key}", self.prefix);
                self.faults.push(FieldFault { field, reason: format!("is not known{hint}") });
            }
        }
        self.faults
    }
}

const MASKED: &str = "is a mask, and nothing is behind it: give the whole value";

/// A mask that stands for nothing.
fn is_mask(text: &str) -> bool {
    text == MASK || text.ends_with(&format!("/{MASK}"))
}

fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" | "" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}
