//! The rule file that is written.

use super::annotation;
use super::annotation::Meaning;
use super::promql;
use crate::alerts::{Compiled, Rule};
use std::{collections::BTreeMap, fmt::Write as _};

/// What became of the rules.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// The file.
    pub(super) text: String,
    /// Rules that it has.
    pub(super) said: usize,
    /// Rules that stand as comments.
    pub(super) unsaid: usize,
}

const HEAD: &str = "\
# The alert rules of Observatory as alerting rules of Prometheus, written by `observatory export prometheus-rules`.
# What PromQL cannot say stands as a comment, with the reason. Whom alerts go to, and when, is Alertmanager's business.
groups:
  - name: observatory-alert-rules
";

/// Writes `rules`, in their order.
pub(super) fn document(rules: &[Rule]) -> Document {
    let mut res = Document::default();
    let mut written = String::new();
    for rule in rules {
        match said(rule) {
            Ok(it) => {
                res.said += 1;
                written.push_str(&it);
            }
            Err(reason) => {
                res.unsaid += 1;
                comment(&mut written, &format!("{}: {reason}", named(rule)));
            }
        }
    }
    // A list of which nothing but comments is left is none.
    let rules = if res.said == 0 { "    rules: []\n" } else { "    rules:\n" };
    res.text = format!("{HEAD}{rules}{written}");
    res
}

/// Its name as JSON, which has no line breaks.
fn named(rule: &Rule) -> String {
    serde_json::Value::from(rule.name.as_str()).to_string()
}

fn comment(out: &mut String, text: &str) {
    _ = writeln!(out, "      # {text}");
}

fn said(rule: &Rule) -> Result<String, String> {
    if !rule.enabled {
        return Err("it is switched off".to_owned());
    }
    let errors = |it: Vec<crate::alerts::FieldError>| {
        it.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let compiled = Compiled::new(rule.clone()).map_err(errors)?;
    let promql::Expression { text, notes } = promql::expression(&compiled)?;
    let mut out = String::new();
    for it in notes.iter().chain(&left_out(rule)) {
        comment(&mut out, it);
    }
    let labels = labels(rule);
    _ = writeln!(out, "      - alert: {}", named(rule));
    _ = writeln!(out, "        expr: {}", yaml(&text));
    for (key, span) in [("for", rule.hold), ("keep_firing_for", rule.keep_firing_for)] {
        if let Some(it) = span.filter(|it| !it.0.is_zero()) {
            _ = writeln!(out, "        {key}: {it}");
        }
    }
    map(&mut out, "labels", labels.iter().map(|(name, it)| (name, annotation::verbatim(it))));
    let mut visible = labels;
    visible.insert("alertname".to_owned(), rule.name.clone());
    let meaning = Meaning { labels: &visible, threshold: compiled.threshold() };
    let mut annotations = BTreeMap::new();
    for (name, text) in &rule.annotations {
        match annotation::converted(text, meaning) {
            Some(it) => _ = annotations.insert(name.as_str(), it),
            None => comment(
                &mut out,
                &format!(
                    "the annotation {name} uses what Prometheus has no word for: {}",
                    yaml(text)
                ),
            ),
        }
    }
    if !rule.description.is_empty() {
        annotations.entry("description").or_insert_with(|| annotation::verbatim(&rule.description));
    }
    map(&mut out, "annotations", annotations);
    Ok(out)
}

/// The labels that the rule gives, with a severity as Alertmanager's routes have it: as our own channel sends it.
fn labels(rule: &Rule) -> BTreeMap<String, String> {
    let mut res = rule.labels.clone();
    res.entry("severity".to_owned()).or_insert_with(|| rule.severity.as_alertmanager().to_owned());
    res
}

/// What is set and belongs to Alertmanager.
fn left_out(rule: &Rule) -> Option<String> {
    let set = [
        ("notification_channels", !rule.notification_channels.is_empty()),
        ("repeat_interval", rule.repeat_interval.is_some()),
        ("flap_window", rule.flap_window.is_some()),
        ("escalation", !rule.escalation.is_empty()),
        ("mute_times", !rule.mute_times.is_empty()),
    ];
    let set: Vec<_> = set.iter().filter(|it| it.1).map(|it| it.0).collect();
    (!set.is_empty()).then(|| format!("left out, for Alertmanager: {}", set.join(", ")))
}

fn map<N: AsRef<str>>(out: &mut String, key: &str, entries: impl IntoIterator<Item = (N, String)>) {
    let mut entries = entries.into_iter().peekable();
    if entries.peek().is_none() {
        return;
    }
    _ = writeln!(out, "        {key}:");
    for (name, value) in entries {
        // In quotes: words such as `on` would be read as something else.
        _ = writeln!(out, "          {}: {}", yaml(name.as_ref()), yaml(&value));
    }
}

/// A scalar of YAML: what stands in quotes in JSON does so there.
fn yaml(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
