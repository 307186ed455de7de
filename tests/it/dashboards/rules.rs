//! What the rule files of Prometheus ask.

use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

/// A rule of a file.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Its alert or record, with the file.
    pub(crate) name: String,
    pub(crate) expr: String,
    /// The metrics that it names.
    pub(crate) metrics: BTreeSet<String>,
}

/// The rules of all `*.yml` in `dir`; none if it is not there.
#[track_caller]
pub(crate) fn read(dir: &Path) -> Vec<Rule> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut rules = Vec::new();
    for path in entries.map(|it| it.unwrap().path()) {
        if path.extension().is_none_or(|it| it != "yml") {
            continue;
        }
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let yaml: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let groups = yaml["groups"].as_array().unwrap();
        for rule in groups.iter().flat_map(|it| it["rules"].as_array().unwrap()) {
            let name = rule["alert"].as_str().or(rule["record"].as_str()).unwrap();
            let expr = rule["expr"].as_str().unwrap().to_owned();
            rules.push(Rule { name: format!("{file}: {name}"), metrics: metrics(&expr), expr });
        }
    }
    rules
}

/// Whether a name is that of a recording rule, which this Prometheus may not have.
pub(crate) fn is_recorded(name: &str) -> bool {
    name.contains(':')
}

/// The names of metrics in PromQL: what is left without texts, matchers, ranges, lists of labels, functions and words.
pub(crate) fn metrics(expr: &str) -> BTreeSet<String> {
    const WORDS: &[&str] = &["and", "or", "unless", "bool", "offset", "inf", "nan", "start", "end"];
    const LISTS: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];
    let expr = without(expr, '"', '"');
    let expr = without(&expr, '\'', '\'');
    let expr = without(&without(&expr, '{', '}'), '[', ']');
    let is_part = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == ':';
    let mut names = BTreeSet::new();
    let mut rest = expr.as_str();
    while let Some(at) = rest.find(is_part) {
        rest = &rest[at..];
        let len = rest.find(|it| !is_part(it)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(len);
        // `sum (x)`, and `sum by (a) (x)`.
        let next = after.trim_start();
        let grouped = ["by", "without"]
            .iter()
            .any(|it| next.strip_prefix(it).is_some_and(|it| it.trim_start().starts_with('(')));
        let called = next.starts_with('(') || grouped;
        rest = after;
        if LISTS.contains(&word.to_ascii_lowercase().as_str()) {
            if called {
                rest = after.split_once(')').unwrap().1;
            }
        } else if !called
            && !word.starts_with(|it: char| it.is_ascii_digit())
            && !WORDS.contains(&word.to_ascii_lowercase().as_str())
        {
            names.insert(word.to_owned());
        }
    }
    names
}

/// `text` without what is between `open` and `close`.
fn without(text: &str, open: char, close: char) -> String {
    let mut res = String::new();
    let mut inside = false;
    for it in text.chars() {
        if inside {
            inside = it != close;
        } else if it == open {
            inside = true;
        } else {
            res.push(it);
        }
    }
    res
}

#[test]
fn the_metrics_of_an_expression() {
    let names = |it: &str| metrics(it).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(
        names("time() - max by (agent, b) (seen_seconds{a=\"x{y\"}) > 900 < 1e3"),
        "seen_seconds"
    );
    assert_eq!(
        names("sum(rate(a_total[5m])) by (x) / on (x) group_left () b:c:d offset 5m or up"),
        "a_total b:c:d up"
    );
    assert_eq!(names("absent(up{job='x'}) unless on () vector(1) > bool 0"), "up");
}
