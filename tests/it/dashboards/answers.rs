//! Asks a Prometheus what the boards and the rule files ask, and says what is not answered.

use super::boards::{self, Kind, Place, Question};
use super::rules::{self, Rule};
use crate::support::Client;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The time that a board would show, and how often Prometheus scrapes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// How far back.
    pub(crate) range: Duration,
    /// `$__rate_interval`: at least four scrapes.
    pub(crate) rate: Duration,
}

/// A question that has no answer, and why that is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silent {
    pub(crate) board: &'static str,
    pub(crate) panel: &'static str,
    /// The letter of the target; empty for variables and annotations.
    pub(crate) target: &'static str,
    pub(crate) reason: &'static str,
}

impl Silent {
    fn is(&self, place: &Place) -> bool {
        self.board == place.board && self.panel == place.panel && self.target == place.target
    }
}

/// Metrics that rules name and nobody makes, by the beginning of their names, and why that is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Foreign {
    pub(crate) prefix: &'static str,
    pub(crate) reason: &'static str,
}

/// What is known to have no answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) silent: &'a [Silent],
    pub(crate) foreign: &'a [Foreign],
}

/// Everything that is wrong with the answers of the Prometheus at `url` (`http://127.0.0.1:9090`) to what the boards and the
/// rules in `rule_dir` ask: an error, no data although that is not known, or data although it is known to have none. A
/// directory that is not there has no rules.
#[track_caller]
pub(crate) fn findings(url: &str, rule_dir: &Path, shown: Shown, known: Known<'_>) -> Vec<String> {
    let silent = known.silent;
    let mut wrong = Vec::new();
    let mut prometheus = Asked::new(url, shown);
    for question in boards::questions() {
        let listed = silent.iter().find(|it| it.is(&question.place));
        match (prometheus.answers(&question), listed) {
            (Err(said), _) => wrong.push(format!("{}: {said}: {}", question.place, question.expr)),
            (Ok(false), None) => {
                wrong.push(format!("{}: no data: {}", question.place, question.expr))
            }
            (Ok(true), Some(it)) => {
                wrong.push(format!("{}: has data, but is listed: {}", question.place, it.reason));
            }
            (Ok(true), None) | (Ok(false), Some(_)) => {}
        }
    }
    let places: Vec<_> = boards::questions().into_iter().map(|it| it.place).collect();
    for it in silent.iter().filter(|it| !places.iter().any(|place| it.is(place))) {
        wrong.push(format!("{it:?} is of no board"));
    }
    let names = prometheus.metrics();
    let rules = rules::read(rule_dir);
    for rule in &rules {
        wrong.extend(prometheus.rule(rule, &names, known.foreign));
    }
    for it in known.foreign.iter().filter(|_| !rules.is_empty()) {
        if let Some(name) = names.iter().find(|name| name.starts_with(it.prefix)) {
            wrong.push(format!("{name} is there, but listed: {}", it.reason));
        }
    }
    wrong
}

/// The questions of the boards to which the Prometheus at `url` has no data.
#[track_caller]
pub(crate) fn unanswered(url: &str, shown: Shown) -> Vec<Question> {
    let mut prometheus = Asked::new(url, shown);
    let mut all = boards::questions();
    all.retain(|it| prometheus.answers(it) == Ok(false));
    all
}

/// `expr` as Grafana would send it: everything is chosen.
pub(crate) fn substituted(expr: &str, shown: Shown) -> String {
    let seconds = |it: Duration| format!("{}s", it.as_secs());
    let mut res = expr
        .replace("$__rate_interval", &seconds(shown.rate))
        .replace("$__range_s", &shown.range.as_secs().to_string())
        .replace("$__range", &seconds(shown.range));
    // What is left are the variables of the board, whose value for all is `.+`.
    while let Some(at) = res.find('$') {
        let name = &res[at + 1..];
        let len =
            name.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(name.len());
        assert!(len > 0 && !name.starts_with("__"), "{expr}");
        res.replace_range(at..=at + len, ".+");
    }
    res
}

/// A Prometheus that is being asked.
struct Asked {
    client: Client,
    shown: Shown,
}

impl Asked {
    #[track_caller]
    fn new(url: &str, shown: Shown) -> Self {
        let addr: SocketAddr =
            url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        Self { client: Client::new(addr), shown }
    }

    /// Whether there is data: a series with a number, or a value of the label.
    fn answers(&mut self, question: &Question) -> Result<bool, String> {
        let expr = substituted(&question.expr, self.shown);
        match &question.kind {
            Kind::Instant => self.has_numbers(&expr, false),
            Kind::Range => self.has_numbers(&expr, true),
            Kind::LabelValues(label) => {
                let path = format!("/api/v1/label/{label}/values?match[]={}", encoded(&expr));
                Ok(!self.get(&path)?.as_array().is_none_or(Vec::is_empty))
            }
        }
    }

    fn has_numbers(&mut self, expr: &str, range: bool) -> Result<bool, String> {
        let expr = encoded(expr);
        let data = if range {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let start = now - self.shown.range.as_secs();
            self.get(&format!("/api/v1/query_range?query={expr}&start={start}&end={now}&step=1"))?
        } else {
            self.get(&format!("/api/v1/query?query={expr}"))?
        };
        let series = data["result"].as_array().ok_or("no result")?;
        Ok(series.iter().any(has_number))
    }

    fn get(&mut self, path: &str) -> Result<Value, String> {
        let answer = self.client.get(path);
        let json: Value = serde_json::from_slice(&answer.body).map_err(|it| it.to_string())?;
        if json["status"] == "success" {
            Ok(json["data"].clone())
        } else {
            Err(json["error"].to_string())
        }
    }

    /// The names of all metrics there are.
    fn metrics(&mut self) -> BTreeSet<String> {
        let names = self.get("/api/v1/label/__name__/values").unwrap();
        names.as_array().unwrap().iter().filter_map(|it| it.as_str().map(str::to_owned)).collect()
    }

    /// What is wrong with a rule. An alert that does not fire has no data, so of any rule it is asked whether it can be
    /// evaluated, and whether somebody makes what it is about.
    fn rule(&mut self, rule: &Rule, names: &BTreeSet<String>, foreign: &[Foreign]) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Err(said) = self.has_numbers(&rule.expr, false) {
            wrong.push(format!("{}: {said}: {}", rule.name, rule.expr));
        }
        for metric in rule.metrics.iter().filter(|it| !rules::is_recorded(it)) {
            let known = foreign.iter().any(|it| metric.starts_with(it.prefix));
            if !known && !is_made(metric, names) {
                wrong.push(format!("{}: nobody makes {metric}", rule.name));
            }
        }
        wrong
    }
}

/// Whether there is a metric: under its name or, if it is of a histogram, in the form in which it is scraped.
fn is_made(metric: &str, names: &BTreeSet<String>) -> bool {
    let parts = ["_bucket", "_count", "_sum"];
    let base = parts.iter().find_map(|it| metric.strip_suffix(it)).unwrap_or(metric);
    let forms = parts.map(|it| format!("{base}{it}"));
    names.contains(metric) || names.contains(base) || forms.iter().any(|it| names.contains(it))
}

fn encoded(expr: &str) -> String {
    utf8_percent_encode(expr, NON_ALPHANUMERIC).to_string()
}

/// Whether a series has a number other than NaN, or a native histogram.
fn has_number(series: &Value) -> bool {
    let is_number = |pair: &Value| pair[1].as_str().is_some_and(|it| it != "NaN");
    let values = series["values"].as_array().into_iter().flatten();
    series.get("histogram").is_some()
        || series.get("histograms").is_some()
        || is_number(&series["value"])
        || values.into_iter().any(is_number)
}
