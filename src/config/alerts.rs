//! The settings of alerts.

use super::node::{Kind, Node};
use super::retention::Age;
use super::value::{Context, Fault, Value};
use crate::alerting;
use crate::alerts::{Compiled, Rule};
use serde_json::Value as Json;
use std::time::Duration;

/// The alert rules, and how long what came of them is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerts {
    /// Whether the shipped rules are evaluated.
    pub shipped: bool,
    /// Further rules.
    pub rules: AlertRules,
    /// Tests of the rules, for `observatory rules test`. A server does not look at them.
    pub tests: AlertTests,
    /// How long the history is kept.
    pub retention: Age,
    /// How long an alert that somebody else sent fires when it is not sent again.
    pub resolve_timeout: Duration,
}

/// Alert rules, each of which compiles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertRules(pub Vec<Rule>);

/// Tests of alert rules, as JSON. Whoever runs them reads them from the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertTests(Vec<Json>);

impl Alerts {
    pub(super) fn config(&self) -> alerting::Config {
        alerting::Config {
            shipped: self.shipped,
            rules: self.rules.0.clone(),
            retention: self.retention.0,
            resolve_timeout: self.resolve_timeout,
        }
    }
}

impl Default for Alerts {
    fn default() -> Self {
        let default = alerting::Config::default();
        Self {
            shipped: default.shipped,
            rules: AlertRules::default(),
            tests: AlertTests::default(),
            retention: Age(default.retention),
            resolve_timeout: default.resolve_timeout,
        }
    }
}

impl Value for AlertRules {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        let wrong = || {
            node.fault("expected a list of alert rules, each a map such as {name: High CPU, metric_name: cpu_usage, operator: gt, threshold: 80}")
        };
        let parsed;
        let (nodes, placed) = match &node.kind {
            Kind::List(nodes) => (nodes, true),
            // A variable has the list as text.
            Kind::Scalar(text) if node.at.is_none() => {
                parsed = Node::parse(text).map_err(|_| wrong())?;
                let Kind::List(nodes) = &parsed.kind else { return Err(wrong()) };
                (nodes, false)
            }
            _ => return Err(wrong()),
        };
        let (mut rules, mut faults) = (Vec::<Rule>::new(), Vec::new());
        for node in nodes {
            match rule(node) {
                Ok(it) if rules.iter().any(|other| other.id == it.id || other.name == it.name) => {
                    let twice = format!(
                        "there are two alert rules named {:?}, or with the id {:?}",
                        it.name, it.id
                    );
                    faults.extend(node.fault(twice));
                }
                Ok(it) => rules.push(it),
                Err(it) => faults.extend(it),
            }
        }
        if !placed {
            faults.iter_mut().for_each(|it| it.at = None);
        }
        if faults.is_empty() { Ok(Self(rules)) } else { Err(faults) }
    }

    fn show(&self) -> String {
        // A rule is always JSON, and JSON is YAML.
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

impl Value for AlertTests {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        let wrong = || node.fault("expected a list of tests, as `docs/alerts.md` describes them");
        match &node.kind {
            Kind::List(nodes) => Ok(Self(nodes.iter().map(json).collect())),
            // A variable has the list as text.
            Kind::Scalar(text) if node.at.is_none() => {
                match Node::parse(text).map(|it| json(&it)) {
                    Ok(Json::Array(it)) => Ok(Self(it)),
                    _ => Err(wrong()),
                }
            }
            _ => Err(wrong()),
        }
    }

    fn show(&self) -> String {
        Json::from(self.0.clone()).to_string()
    }
}

fn rule(node: &Node) -> Result<Rule, Vec<Fault>> {
    let faults = |errors: Vec<crate::alerts::FieldError>| {
        let fault = |it: crate::alerts::FieldError| {
            let at = match &node.kind {
                Kind::Map(entries) => {
                    entries.iter().find(|(key, _)| key.name == it.field).and_then(|(_, it)| it.at)
                }
                _ => None,
            };
            Fault { at: at.or(node.at), message: it.to_string() }
        };
        errors.into_iter().map(fault).collect::<Vec<_>>()
    };
    let mut rule = Rule::from_json(&json(node)).map_err(faults)?;
    if rule.id.is_empty() {
        rule.id = alerting::id_of(&rule.name);
    }
    Compiled::new(rule.clone()).map(|it| it.rule).map_err(faults)
}

/// Numbers and booleans are texts here, which rules read as what they look like.
fn json(node: &Node) -> Json {
    match &node.kind {
        Kind::Null => Json::Null,
        Kind::Scalar(it) => Json::from(it.as_str()),
        Kind::List(items) => items.iter().map(json).collect(),
        Kind::Map(entries) => {
            entries.iter().map(|(key, it)| (key.name.clone(), json(it))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[track_caller]
    fn read(text: &str) -> Result<AlertRules, String> {
        let value = AlertRules::read(&Node::parse(text).unwrap(), &Context { base: Path::new("") });
        value.map_err(|it| it.into_iter().map(|it| it.message).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn rules_are_read_and_shown() {
        let text =
            "[{name: High CPU, metric_name: cpu_usage, threshold: 80, for: 5m, enabled: false}]";
        let rules = read(text).unwrap();
        assert_eq!(
            (rules.0[0].id.as_str(), rules.0[0].threshold, rules.0[0].enabled),
            ("high-cpu", Some(80.0), false)
        );
        assert_eq!(read(&rules.show()).unwrap(), rules);
    }

    #[test]
    fn numbers_inside_lists_are_numbers() {
        let rules = read(
            "[{name: B, kind: burn_rate, numerator: e, denominator: r, objective: 0.99, windows: [{long: 1h, short: 5m, factor: 14.4}]}]",
        );
        assert!((rules.unwrap().0[0].windows[0].factor - 14.4).abs() < 1e-9);
        let wrong = read(
            "[{name: B, kind: burn_rate, numerator: e, denominator: r, objective: 0.99, windows: [{long: 1h, short: 5m, factor: much}]}]",
        );
        assert!(wrong.unwrap_err().contains("windows: \"much\" is no number such as 80"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        assert!(read("a").unwrap_err().contains("expected a list of alert rules"));
        assert!(
            read("[{name: a, treshold: 1}]")
                .unwrap_err()
                .contains("treshold: is no key of a rule; did you mean `threshold`?")
        );
        assert!(read("[{name: a}]").unwrap_err().contains("metric_name: \"\" is no metric"));
        let two =
            "[{name: a, metric_name: b, threshold: 1}, {name: A, metric_name: b, threshold: 1}]";
        assert!(read(two).unwrap_err().contains("two alert rules named \"A\""));
    }
}
