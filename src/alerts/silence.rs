//! Silences: who is not to be told of what, and for how long. As Alertmanager has them.

use crate::event::Time;
use crate::selector::LabelSelector;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// The most matchers of a silence.
const MAX_MATCHERS: usize = 64;
/// Bytes of them all.
const MAX_BYTES: usize = 16 << 10;

/// A test of one label. A label that is absent is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// A text, or an expression that must match the whole value.
    pub value: String,
    /// Whether the value is an expression.
    pub is_regex: bool,
    /// Whether it must match; otherwise it must not.
    #[serde(default = "yes")]
    pub is_equal: bool,
}

const fn yes() -> bool {
    true
}

/// Keeps people from being told of the alerts that all its matchers hold for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Names it for good.
    pub id: String,
    /// All must hold. Never empty.
    pub matchers: Vec<Matcher>,
    /// From when on it holds.
    pub starts_at: Time,
    /// Until when.
    pub ends_at: Time,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// When it was last changed.
    pub updated_at: Time,
}

impl Silence {
    /// Whether it holds at `now`.
    #[must_use]
    pub fn is_active(&self, now: Time) -> bool {
        self.starts_at <= now && now < self.ends_at
    }

    /// `pending`, `active` or `expired`, as Alertmanager names them.
    #[must_use]
    pub fn state(&self, now: Time) -> &'static str {
        if now >= self.ends_at {
            "expired"
        } else if now < self.starts_at {
            "pending"
        } else {
            "active"
        }
    }

    /// Its matchers, ready to be asked.
    ///
    /// # Errors
    ///
    /// There is none, one has no name or an expression that cannot be read, or they would match everything.
    pub fn compile(&self) -> Result<LabelSelector, String> {
        if self.matchers.is_empty() || self.matchers.len() > MAX_MATCHERS {
            return Err(format!(
                "has {} matchers: give 1 to {MAX_MATCHERS}, such as {{\"name\":\"alertname\",\"value\":\"High CPU\",\"isRegex\":false}}",
                self.matchers.len()
            ));
        }
        let bytes: usize = self.matchers.iter().map(|it| it.name.len() + it.value.len()).sum();
        if bytes > MAX_BYTES {
            return Err(format!("have {bytes} bytes, and may have {MAX_BYTES}"));
        }
        let mut text = String::from("{");
        for it in &self.matchers {
            if it.name.is_empty() {
                return Err("has a matcher without a name".to_owned());
            }
            let sign = match (it.is_equal, it.is_regex) {
                (true, false) => "=",
                (false, false) => "!=",
                (true, true) => "=~",
                (false, true) => "!~",
            };
            let _ = write!(text, "{}{sign}{},", quoted(&it.name), quoted(&it.value));
        }
        text.push('}');
        LabelSelector::parse(&text).map_err(|it| it.to_string())
    }
}

fn quoted(text: &str) -> String {
    let mut res = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => res.extend(['\\', c]),
            '\n' => res.push_str("\\n"),
            _ => res.push(c),
        }
    }
    res + "\""
}

impl Matcher {
    /// That label `name` is `value`.
    #[must_use]
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: value.to_owned(), is_regex: false, is_equal: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn silence(matchers: Vec<Matcher>) -> Silence {
        let (starts_at, ends_at) = (Time::from_millis(1000), Time::from_millis(2000));
        Silence {
            id: "s".to_owned(),
            matchers,
            starts_at,
            ends_at,
            created_by: String::new(),
            comment: String::new(),
            updated_at: starts_at,
        }
    }

    #[test]
    fn matchers_are_those_of_alertmanager() {
        let labels: BTreeMap<_, _> = [("alertname", "a\"b\\"), ("job", "ci-1")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .into();
        let check = |value: &str, is_regex: bool, is_equal: bool, expected: bool| {
            let matcher = Matcher { is_regex, is_equal, ..Matcher::equal("job", value) };
            let compiled =
                silence(vec![Matcher::equal("alertname", "a\"b\\"), matcher]).compile().unwrap();
            let holds = compiled.matches(|name| labels.get(name).map(String::as_str));
            assert_eq!(holds, expected, "{value} {is_regex} {is_equal}");
        };
        check("ci-1", false, true, true);
        check("ci-1", false, false, false);
        check("ci-.*", true, true, true);
        check("ci", true, true, false);
        check("ci-[2-9]", true, false, true);
        let error = |it: Vec<Matcher>| silence(it).compile().unwrap_err();
        assert!(error(vec![]).contains("has 0 matchers"));
        assert!(error(vec![Matcher::equal("a", &"x".repeat(20_000))]).contains("may have 16384"));
        assert!(error(vec![Matcher::equal("", "x")]).contains("without a name"));
        assert!(error(vec![Matcher::equal("a", "")]).contains("does not match the empty text"));
        let broken = Matcher { is_regex: true, ..Matcher::equal("a", "(") };
        assert!(error(vec![broken]).contains("no regular expression"));
    }

    #[test]
    fn it_holds_from_start_to_end() {
        let silence = silence(vec![Matcher::equal("a", "b")]);
        let state = |ms| silence.state(Time::from_millis(ms));
        assert_eq!(
            [state(999), state(1000), state(1999), state(2000)],
            ["pending", "active", "active", "expired"]
        );
    }
}
