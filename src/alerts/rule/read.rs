//! From JSON and YAML to a rule, and what is wrong with it by field.

use super::Rule;
use crate::rules::did_you_mean;
use crate::yaml;
use serde_json::{Map, Value};
use std::fmt;

/// Every key that a rule may have. The last two are what answers carry besides, and what a client sends back with them.
const KEYS: [&str; 40] = [
    "name",
    "description",
    "kind",
    "enabled",
    "severity",
    "metric_name",
    "function",
    "quantile",
    "window",
    "operator",
    "threshold",
    "recovery_threshold",
    "numerator",
    "denominator",
    "min_denominator",
    "objective",
    "windows",
    "match",
    "resolve",
    "resolve_after",
    "push",
    "every",
    "cron",
    "timezone",
    "grace",
    "group_by",
    "for",
    "duration",
    "keep_firing_for",
    "no_data",
    "repeat_interval",
    "flap_window",
    "labels",
    "annotations",
    "notification_channels",
    "escalation",
    "mute_times",
    "id",
    "created_at",
    "updated_at",
];

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Its name.
    pub field: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

// === impl Rule ===

impl Rule {
    /// Reads a rule. Keys that are `null` are as if they were absent.
    ///
    /// # Errors
    ///
    /// Every field that is unknown or has a value of the wrong kind.
    pub fn from_json(value: &Value) -> Result<Self, Vec<FieldError>> {
        let Value::Object(fields) = value else {
            let reason = "a rule is an object such as {\"name\": \"High CPU\", \"metric_name\": \"cpu_usage\", \"operator\": \"gt\", \"threshold\": 80}";
            return Err(vec![FieldError::new("", reason)]);
        };
        let fields: Map<_, _> = fields
            .iter()
            .filter(|(name, it)| {
                !it.is_null() && !matches!(name.as_str(), "created_at" | "updated_at")
            })
            .map(|(name, it)| (name.clone(), it.clone()))
            .collect();
        let mut errors = Vec::new();
        // Each alone first: what is wrong is then wrong with that field.
        for (name, value) in &fields {
            if !KEYS.contains(&name.as_str()) {
                let hint = did_you_mean(name, KEYS.iter().copied());
                errors.push(FieldError::new(name, format!("is no key of a rule{hint}")));
                continue;
            }
            let alone = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
            if let Err(error) = serde_json::from_value::<Self>(alone) {
                errors.push(FieldError::new(name, error.to_string()));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let whole = serde_json::from_value(Value::Object(fields));
        whole.map_err(|it| {
            vec![FieldError::new("for", format!("{it}: `duration` is another name of it"))]
        })
    }

    /// Reads a rule of a YAML file.
    ///
    /// # Errors
    ///
    /// As [`Self::from_json`].
    pub fn from_yaml(node: &yaml::Node) -> Result<Self, Vec<FieldError>> {
        Self::from_json(&node.json())
    }

    /// The rule with the fields that `changes` has, `null` putting a field back to its default.
    ///
    /// # Errors
    ///
    /// As [`Self::from_json`].
    pub fn with_changes(&self, changes: &Value) -> Result<Self, Vec<FieldError>> {
        let (Ok(Value::Object(mut fields)), Value::Object(changes)) =
            (serde_json::to_value(self), changes)
        else {
            return Self::from_json(changes);
        };
        for (name, value) in changes {
            let name = if name == "duration" { "for" } else { name };
            fields.insert(name.to_owned(), value.clone());
        }
        let id = self.id.clone();
        Self::from_json(&Value::Object(fields)).map(|it| Self { id, ..it })
    }
}

// === impl FieldError ===

impl FieldError {
    pub(in crate::alerts) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "{}: {}", self.field, self.reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Operator, Span};
    use super::*;
    use crate::alerts::Severity;
    use serde_json::json;
    use std::time::Duration;

    /// The example of seed 004, to the letter.
    fn example() -> Value {
        json!({
            "name": "High CPU Usage",
            "description": "CPU usage is above 80%",
            "metric_name": "cpu_usage",
            "operator": "gt",
            "threshold": 80.0,
            "severity": "high",
            "enabled": true,
            "notification_channels": ["email", "slack"],
            "labels": {"team": "platform", "component": "system"}
        })
    }

    #[test]
    fn the_json_of_other_services_is_read_and_comes_back() {
        let rule = Rule::from_json(&example()).unwrap();
        assert_eq!((rule.threshold, rule.operator), (Some(80.0), Operator::Gt));
        let back = serde_json::to_value(&rule).unwrap();
        for (name, value) in example().as_object().unwrap() {
            assert_eq!(&back[name], value, "{name}");
        }
        assert_eq!(Rule::from_json(&back).unwrap(), rule);
        let keys: Vec<_> = back.as_object().unwrap().keys().cloned().collect();
        assert!(keys.iter().all(|it| KEYS.contains(&it.as_str())), "{keys:?}");
    }

    #[test]
    fn signs_warnings_and_texts_are_understood() {
        let rule = json!({"operator": ">=", "severity": "warning", "threshold": "80", "duration": "5m",
            "enabled": "false", "window": 90, "labels": {"n": 1}});
        let rule = Rule::from_json(&rule).unwrap();
        assert_eq!((rule.operator, rule.severity), (Operator::Gte, Severity::Medium));
        assert_eq!((rule.threshold, rule.enabled), (Some(80.0), false));
        assert_eq!(rule.hold.unwrap().to_string(), "5m");
        assert_eq!(rule.window.unwrap().to_string(), "1m30s");
        assert_eq!(rule.labels["n"], "1");
    }

    #[test]
    fn every_field_that_is_wrong_is_told() {
        let check = |value: Value, expected: &[&str]| {
            let errors = Rule::from_json(&value).unwrap_err();
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(errors.len(), expected.len(), "{errors:?}");
            for (error, words) in errors.iter().zip(expected) {
                assert!(error.contains(words), "{error} has no {words}");
            }
        };
        check(
            json!({"treshold": 1}),
            &["treshold: is no key of a rule; did you mean `threshold`?"],
        );
        check(
            json!({"operator": "above", "threshold": "many", "for": "soon", "severity": "bad"}),
            &[
                "for: \"soon\" is no duration such as",
                "operator: unknown variant `above`",
                "severity: unknown",
                "threshold: \"many\" is no number",
            ],
        );
        check(json!([]), &["a rule is an object such as"]);
        check(json!({"for": "1m", "duration": "2m"}), &["duplicate field `for`"]);
        check(
            json!({"escalation": [{"after": "1m"}]}),
            &["escalation: missing field `notification_channels`"],
        );
    }

    #[test]
    fn a_part_of_a_rule_changes_that_part() {
        let rule = Rule { id: "r1".to_owned(), ..Rule::from_json(&example()).unwrap() };
        let off = rule.with_changes(&json!({"enabled": false})).unwrap();
        assert_eq!(off, Rule { enabled: false, ..rule.clone() });
        let changed =
            rule.with_changes(&json!({"description": null, "duration": "1m", "id": "x"})).unwrap();
        assert_eq!((changed.id.as_str(), changed.description.as_str()), ("r1", ""));
        assert_eq!(changed.hold, Some(Span(Duration::from_secs(60))));
    }
}
