//! A rule as people write it: the keys of the API and of the configuration file.

use super::lenient::{number, required_number, switch, texts};
use super::{MuteTime, Severity};
use crate::rules::{did_you_mean, parse_duration};
use crate::yaml;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt, time::Duration};

/// A rule. Which fields count depends on its [`kind`](Rule::kind); `docs/alerts.md` describes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Names it for good.
    pub id: String,
    /// Its name, which is also the label `alertname`. Unique.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What its condition is about.
    pub kind: Kind,
    /// Whether it is evaluated.
    #[serde(deserialize_with = "switch")]
    pub enabled: bool,
    /// How bad its alerts are.
    pub severity: Severity,
    /// `threshold`: the metric, and perhaps matchers: `cpu_usage{host="a"}`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metric_name: String,
    /// `threshold`: what is made of the metric. Default its value.
    pub function: Function,
    /// `threshold` with `quantile`: which one, 0 to 1.
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f64>,
    /// Over how long functions look back. Default 5 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
    /// How the value is compared. Default `gt`.
    pub operator: Operator,
    /// With what the value is compared.
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// While it fires, what the value must get back to before it is over. Default the threshold.
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub recovery_threshold: Option<f64>,
    /// `ratio`, `burn_rate`: the metric whose increase is divided.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub numerator: String,
    /// `ratio`, `burn_rate`: the metric by whose increase it is divided.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub denominator: String,
    /// `ratio`, `burn_rate`: with a smaller denominator there is no data. Default: with none.
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub min_denominator: Option<f64>,
    /// `burn_rate`: which part of all must be good, such as 0.999.
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub objective: Option<f64>,
    /// `burn_rate`: pairs of windows; one pair in which both burn too fast is enough.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<BurnWindow>,
    /// `event`: which events it fires on. `absence`: which events are expected.
    #[serde(rename = "match", skip_serializing_if = "String::is_empty")]
    pub matches: String,
    /// `event`: which events end it. `absence`: which events say that nothing is expected any more.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resolve: String,
    /// `event`: after how long without a further event it is over. Default never, or an hour
    /// without `resolve`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve_after: Option<Span>,
    /// `absence`: which push groups are expected to be pushed, by their labels: `{job="backup"}`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub push: String,
    /// `absence`: how often it is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// `absence`: when it is expected, as five fields of a cron line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cron: String,
    /// `absence` with `cron`: the time zone, such as `Europe/Berlin`. Default UTC.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub timezone: String,
    /// `absence`: how late it may be. Default a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<Span>,
    /// Metrics: one alert per combination of these labels, whose series are added up. Events: the fields that make the
    /// key, each `field` or `label=field,other_field`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_by: Vec<String>,
    /// How long the condition must hold before it fires. Default not at all.
    #[serde(rename = "for", alias = "duration", skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
    /// How long it goes on firing after the condition has ceased to hold. Default not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_firing_for: Option<Span>,
    /// What it means that there is no value. Default that all is well.
    pub no_data: NoData,
    /// How often a firing alert is told again as long as nobody acknowledged it. Default 4 hours; `0s` for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_interval: Option<Span>,
    /// An alert that fires twice within this time is told once as flapping, and then when it has been calm for so long.
    /// Default 10 minutes; `0s` for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flap_window: Option<Span>,
    /// Labels of its alerts.
    #[serde(deserialize_with = "texts")]
    pub labels: BTreeMap<String, String>,
    /// What people read, with placeholders.
    #[serde(deserialize_with = "texts", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Names or ids of the channels that are told. Default those that are told of everything.
    pub notification_channels: Vec<String>,
    /// Who is told as well when nobody has acknowledged it for so long.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub escalation: Vec<Escalation>,
    /// When nobody is told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mute_times: Vec<MuteTime>,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A metric is compared with a number.
    #[default]
    Threshold,
    /// A metric divided by another is compared with a number.
    Ratio,
    /// An event happened.
    Event,
    /// Something that was expected did not happen.
    Absence,
    /// An error budget is used up too fast.
    BurnRate,
}

/// What is made of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Its value now.
    #[default]
    Value,
    /// How much it grew per second within the window.
    Rate,
    /// How much it grew within the window.
    Increase,
    /// The mean of its values within the window.
    Avg,
    /// The smallest of them.
    Min,
    /// The largest of them.
    Max,
    /// How many series there are.
    Count,
    /// A quantile of what a histogram observed within the window.
    Quantile,
}

/// How a value is compared with the threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// It is greater.
    #[default]
    #[serde(rename = "gt", alias = ">")]
    Gt,
    /// It is greater or equal.
    #[serde(rename = "gte", alias = ">=")]
    Gte,
    /// It is less.
    #[serde(rename = "lt", alias = "<")]
    Lt,
    /// It is less or equal.
    #[serde(rename = "lte", alias = "<=")]
    Lte,
    /// It is equal.
    #[serde(rename = "eq", alias = "==", alias = "=")]
    Eq,
    /// It is another.
    #[serde(rename = "ne", alias = "!=")]
    Ne,
}

/// What it means that there is no value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoData {
    /// That all is well.
    #[default]
    Ok,
    /// That something is wrong: it counts as the condition.
    Alert,
    /// Nothing: what was, stays.
    Keep,
}

/// A pair of windows of a burn rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurnWindow {
    /// The longer window, which says that it matters.
    pub long: Span,
    /// The shorter window, which says that it goes on.
    pub short: Span,
    /// How many times faster than allowed.
    #[serde(deserialize_with = "required_number")]
    pub factor: f64,
}

/// Who is told as well, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// How long after it fired.
    pub after: Span,
    /// Names or ids of channels.
    pub notification_channels: Vec<String>,
}

/// A duration that is written as `5m`, or as a number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Its name.
    pub field: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

// === impl Rule ===

impl Default for Rule {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: String::new(),
            description: String::new(),
            kind: Kind::default(),
            enabled: true,
            severity: Severity::default(),
            metric_name: String::new(),
            function: Function::default(),
            quantile: None,
            window: None,
            operator: Operator::default(),
            threshold: None,
            recovery_threshold: None,
            numerator: String::new(),
            denominator: String::new(),
            min_denominator: None,
            objective: None,
            windows: Vec::new(),
            matches: String::new(),
            resolve: String::new(),
            resolve_after: None,
            push: String::new(),
            every: None,
            cron: String::new(),
            timezone: String::new(),
            grace: None,
            group_by: Vec::new(),
            hold: None,
            keep_firing_for: None,
            no_data: NoData::default(),
            repeat_interval: None,
            flap_window: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            notification_channels: Vec::new(),
            escalation: Vec::new(),
            mute_times: Vec::new(),
        }
    }
}

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
        Self::from_json(&json(node))
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

/// A YAML node as JSON. A number that JSON cannot have stays a text, and is told as such.
fn json(node: &yaml::Node) -> Value {
    match &node.kind {
        yaml::Kind::Null => Value::Null,
        yaml::Kind::Bool(it) => Value::Bool(*it),
        yaml::Kind::Number(it) => {
            serde_json::from_str(it).unwrap_or_else(|_| Value::from(it.as_str()))
        }
        yaml::Kind::Text(it) => Value::from(it.as_str()),
        yaml::Kind::List(items) => items.iter().map(json).collect(),
        yaml::Kind::Map(entries) => {
            entries.iter().map(|(key, it)| (key.name.clone(), json(it))).collect()
        }
    }
}

// === impl FieldError ===

impl FieldError {
    pub(super) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
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

// === impl Operator ===

impl Operator {
    /// The sign that people know.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Gt => ">",
            Self::Gte => ">=",
            Self::Lt => "<",
            Self::Lte => "<=",
            Self::Eq => "==",
            Self::Ne => "!=",
        }
    }

    /// Whether the comparison holds.
    #[must_use]
    #[expect(clippy::float_cmp, reason = "`eq` means exactly equal")]
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Gt => value > threshold,
            Self::Gte => value >= threshold,
            Self::Lt => value < threshold,
            Self::Lte => value <= threshold,
            Self::Eq => value == threshold,
            Self::Ne => value != threshold,
        }
    }
}

// === impl Span ===

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in
            [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)]
        {
            if rest >= millis {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let read = match &value {
            Value::Number(it) => it.as_f64().and_then(|it| Duration::try_from_secs_f64(it).ok()),
            Value::String(it) if matches!(it.trim(), "0" | "0s") => Some(Duration::ZERO),
            Value::String(it) => parse_duration(it.trim()),
            _ => None,
        };
        read.map(Self).ok_or_else(|| {
            de::Error::custom(format!("{value} is no duration such as 90s, 5m or 1h30m"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
