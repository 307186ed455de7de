//! The rules that are shipped, and rules in YAML.

use super::cases::{self, RuleFile};
use super::trial;
use crate::alerts::Rule;
use crate::yaml;
use crate::yaml::{Duplicates, Kind, Node, Place};

/// The rules that are part of the program.
const SHIPPED: &str = include_str!("rules.yaml");

/// The shipped rules. They are on unless the configuration or somebody says otherwise.
#[must_use]
pub fn shipped() -> Vec<Rule> {
    let root = yaml::parse(SHIPPED, Duplicates::Refused).map_err(|it| vec![it]);
    #[expect(clippy::expect_used, reason = "a test reads and compiles the same text")]
    root.and_then(|it| rules_of(&it)).expect("the shipped alert rules are read")
}

/// The shipped rules and their tests.
#[must_use]
pub fn shipped_file() -> RuleFile {
    #[expect(clippy::expect_used, reason = "a test reads and compiles the same text")]
    parse_file(SHIPPED).expect("the shipped alert rules are read")
}

/// Something that is wrong in a file: where, if it is known, and what.
pub type Finding = (Option<Place>, String);

/// Reads `alerts.rules` and `alerts.tests` of a configuration file.
///
/// # Errors
///
/// Everything that is wrong with the rules or, if nothing is, with the tests, with its place.
pub fn parse_file(text: &str) -> Result<RuleFile, Vec<Finding>> {
    let root = yaml::parse(text, Duplicates::Refused).map_err(|it| vec![it])?;
    let rules = rules_of(&root)?;
    let alerts = member(&root, "alerts");
    let off = |it: &&Node| matches!(it.kind, Kind::Bool(false));
    let shipped = alerts.and_then(|it| member(it, "shipped")).filter(off).is_none();
    let named = member(&root, "rules").and_then(|it| member(it, "file"));
    let metric_rules = named.and_then(|it| match &it.kind {
        Kind::Text(it) => Some(it.clone()),
        _ => None,
    });
    let known = trial::in_force(&rules, shipped);
    let tests = alerts.map_or(Ok(Vec::new()), |it| cases::read(it, &known))?;
    Ok(RuleFile { rules, tests, shipped, metric_rules })
}

/// Reads `alerts.rules`.
fn rules_of(root: &Node) -> Result<Vec<Rule>, Vec<Finding>> {
    let Some(rules) = member(root, "alerts").and_then(|it| member(it, "rules")) else {
        return Ok(Vec::new());
    };
    let Kind::List(nodes) = &rules.kind else {
        return Err(vec![(Some(rules.at), "alerts.rules is a list of rules".to_owned())]);
    };
    let mut findings = Vec::new();
    let mut res: Vec<Rule> = Vec::new();
    for node in nodes {
        match rule(node) {
            Ok(it) if res.iter().any(|other| other.id == it.id || other.name == it.name) => {
                findings.push((
                    Some(node.at),
                    format!("there are two rules named {:?}, or with the id {:?}", it.name, it.id),
                ));
            }
            Ok(it) => res.push(it),
            Err(it) => findings.extend(it),
        }
    }
    if findings.is_empty() { Ok(res) } else { Err(findings) }
}

/// Whether `text` is a file with `alerts.rules` or `alerts.tests`.
#[must_use]
pub fn has_rules(text: &str) -> bool {
    let root = yaml::parse(text, Duplicates::Refused);
    let has = |alerts: &Node| ["rules", "tests"].iter().any(|it| member(alerts, it).is_some());
    root.is_ok_and(|it| member(&it, "alerts").is_some_and(has))
}

/// The member `name` of a map.
pub(super) fn member<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    match &node.kind {
        Kind::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, it)| it),
        _ => None,
    }
}

/// Reads and compiles one rule. Without an id it gets one from its name.
fn rule(node: &Node) -> Result<Rule, Vec<Finding>> {
    let place = |field: &str| member(node, field).map_or(node.at, |it| it.at);
    let located = |errors: Vec<crate::alerts::FieldError>| {
        errors.into_iter().map(|it| (Some(place(&it.field)), it.to_string())).collect::<Vec<_>>()
    };
    let mut rule = Rule::from_yaml(node).map_err(located)?;
    if rule.id.is_empty() {
        rule.id = id_of(&rule.name);
    }
    crate::alerts::Compiled::new(rule.clone()).map_err(located)?;
    Ok(rule)
}

/// An id from a name: its letters and digits in small, with hyphens between.
#[must_use]
pub fn id_of(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|it| !it.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_are_read_and_have_names_of_their_own() {
        let rules = shipped();
        assert_eq!(rules.len(), 10);
        for it in &rules {
            assert!(!it.description.is_empty() && !it.annotations.is_empty(), "{}", it.id);
        }
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        let text = "alerts:\n  rules:\n    - name: a\n      metric_name: x\n      treshold: 1\n    - {name: High CPU!, metric_name: x, threshold: 1}\n    - name: b\n      kind: event\n      match: 'x{'\n";
        let parse_rules = |text: &str| parse_file(text).map(|it| it.rules);
        let findings = parse_rules(text).unwrap_err();
        let told: Vec<_> = findings
            .iter()
            .map(|(at, it)| format!("{}: {it}", at.unwrap().position(text).line))
            .collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].starts_with("5: treshold: is no key of a rule; did you mean `threshold`?"),
            "{told:?}"
        );
        assert!(told[1].starts_with("9: match: is no selector"), "{told:?}");
        let rules =
            parse_rules("alerts: {rules: [{name: High CPU!, metric_name: x, threshold: 1}]}")
                .unwrap();
        assert_eq!(rules[0].id, "high-cpu");
        let two = "alerts: {rules: [{name: a, metric_name: x, threshold: 1}, {name: a, metric_name: y, threshold: 1}]}";
        assert!(parse_rules(two).unwrap_err()[0].1.contains("two rules named \"a\""));
    }
}
