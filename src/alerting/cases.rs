//! Tests of alert rules as they stand in a file, beside the rules: what happens when, and which alerts there are then.

use super::shipped::{Finding, member};
use crate::alerts::{Rule, Span};
use crate::event::Time;
use crate::groups::Op;
use crate::push::{self, Family, Grouping};
use crate::yaml::{Kind, Node};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, time::Duration};

/// When a test begins that does not say: 2026-01-01T00:00:00Z, as those of metric rules.
const START: Time = Time::from_millis(1_767_225_600_000);
/// Ticks of the clock in one test.
const MAX_TICKS: u128 = 200_000;
/// Events and pushes of one test.
const MAX_STEPS: usize = 100_000;

/// The alert rules of a file, and their tests.
#[derive(Clone, Debug, Default)]
pub struct RuleFile {
    /// The rules, each of which compiles.
    pub rules: Vec<Rule>,
    /// The tests.
    pub tests: Vec<AlertTest>,
    /// Whether the shipped rules are evaluated beside them (`alerts.shipped`).
    pub shipped: bool,
    /// The file of the metric rules that the same file names (`rules.file`), as it is written there.
    pub metric_rules: Option<String>,
}

/// A test of alert rules.
#[derive(Clone, Debug)]
pub struct AlertTest {
    /// What must hold.
    pub name: String,
    pub(super) start: Time,
    pub(super) step: Duration,
    /// What happens, in the order of time.
    pub(super) steps: Vec<(Time, Step)>,
    /// What is to be the case, in the order of time.
    pub(super) expected: Vec<Expectation>,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Event { event_type: String, source: String, data: String },
    Push(Op, Grouping, Vec<Family>),
}

/// What is to be the case at a time.
#[derive(Clone, Debug)]
pub(super) struct Expectation {
    pub(super) at: Time,
    /// How the file writes it.
    pub(super) shown: String,
    /// Of which rule; `None` for all.
    pub(super) rule: Option<String>,
    pub(super) pending: Alerts,
    pub(super) firing: Alerts,
    /// `None`: it is not looked at.
    pub(super) resolved: Option<Alerts>,
}

/// Which alerts: how many, or the labels that each has, perhaps with others.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Alerts {
    Count(usize),
    With(Vec<BTreeMap<String, String>>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    start: Option<String>,
    #[serde(default)]
    step: Option<Span>,
    #[serde(default)]
    events: Vec<CaseEvent>,
    #[serde(default)]
    pushes: Vec<CasePush>,
    #[serde(default)]
    series: Vec<CaseSeries>,
    expect: Vec<CaseExpected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseEvent {
    #[serde(default)]
    at: Span,
    #[serde(alias = "event_type")]
    r#type: String,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    data: Map<String, Value>,
    #[serde(default)]
    every: Option<Span>,
    #[serde(default)]
    repeat: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CasePush {
    #[serde(default)]
    at: Span,
    path: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    method: Method,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Method {
    #[default]
    Post,
    Put,
    Delete,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseSeries {
    series: String,
    values: String,
    #[serde(default)]
    at: Span,
    #[serde(default)]
    every: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseExpected {
    at: Span,
    #[serde(default)]
    rule: Option<String>,
    #[serde(default)]
    pending: Alerts,
    #[serde(default)]
    firing: Alerts,
    #[serde(default)]
    resolved: Option<Alerts>,
}

/// Reads `alerts.tests`; the rules that they may name are `rules`.
pub(super) fn read(alerts: &Node, rules: &[Rule]) -> Result<Vec<AlertTest>, Vec<Finding>> {
    let Some(tests) = member(alerts, "tests") else { return Ok(Vec::new()) };
    let Kind::List(nodes) = &tests.kind else {
        return Err(vec![(Some(tests.at), "alerts.tests is a list of tests".to_owned())]);
    };
    let (mut res, mut findings) = (Vec::new(), Vec::new());
    for node in nodes {
        match serde_json::from_value::<Case>(node.json()) {
            Ok(case) => match case.compile(rules) {
                Ok(it) => res.push(it),
                Err(it) => findings.push((Some(node.at), it)),
            },
            Err(it) => findings.push((Some(node.at), format!("the test cannot be read: {it}"))),
        }
    }
    if findings.is_empty() { Ok(res) } else { Err(findings) }
}

impl Case {
    fn compile(self, rules: &[Rule]) -> Result<AlertTest, String> {
        let start = match &self.start {
            Some(it) => Time::parse(it).map_err(|it| format!("start: {it}"))?,
            None => START,
        };
        let step = self.step.map_or(Duration::from_secs(1), |it| it.0);
        let mut steps = Vec::new();
        for it in &self.events {
            it.compile(start, &mut steps)?;
        }
        for it in &self.pushes {
            let at = start.saturating_add(it.at.0);
            let families = families(&it.body).map_err(|error| format!("pushes: {error}"))?;
            let op = match it.method {
                Method::Post => Op::Post,
                Method::Put => Op::Put,
                Method::Delete => Op::Delete,
            };
            steps.push((at, Step::Push(op, grouping(&it.path)?, families)));
        }
        series(&self.series, start, &mut steps)?;
        if steps.len() > MAX_STEPS {
            return Err(format!("more than {MAX_STEPS} things happen"));
        }
        steps.sort_by_key(|it| it.0);
        let last = self.expect.iter().map(|it| it.at.0).max();
        let Some(last) = last else {
            return Err(
                "expect: say what must be the case, such as [{at: 5m, rule: high-cpu, firing: 1}]"
                    .to_owned(),
            );
        };
        if step.is_zero() || last.as_nanos() / step.as_nanos() > MAX_TICKS {
            return Err(format!(
                "the clock would tick more than {MAX_TICKS} times: say a longer `step` than {step:?}"
            ));
        }
        let mut expected = Vec::new();
        for it in self.expect {
            let named = |name: &String| rules.iter().find(|it| it.id == *name || it.name == *name);
            let rule = match &it.rule {
                Some(name) => {
                    let rule = named(name)
                        .ok_or_else(|| format!("expect: there is no alert rule {name:?}"))?;
                    Some(rule.id.clone())
                }
                None => None,
            };
            let (at, shown) = (start.saturating_add(it.at.0), it.at.to_string());
            let CaseExpected { pending, firing, resolved, .. } = it;
            expected.push(Expectation { at, shown, rule, pending, firing, resolved });
        }
        expected.sort_by_key(|it| it.at);
        Ok(AlertTest { name: self.name, start, step, steps, expected })
    }
}

impl CaseEvent {
    fn compile(&self, start: Time, steps: &mut Vec<(Time, Step)>) -> Result<(), String> {
        let times = self.repeat.unwrap_or(1);
        if times > MAX_STEPS {
            return Err(format!("events: repeat is more than {MAX_STEPS}"));
        }
        let every = self.every.map_or(Duration::from_secs(1), |it| it.0);
        let mut at = start.saturating_add(self.at.0);
        for _ in 0..times {
            let event = Step::Event {
                event_type: self.r#type.clone(),
                source: self.source.clone().unwrap_or_else(|| "test".to_owned()),
                data: Value::Object(self.data.clone()).to_string(),
            };
            steps.push((at, event));
            at = at.saturating_add(every);
        }
        Ok(())
    }
}

/// Series are pushes, of one body per group and moment: the labels `job` and `instance` say to which group.
fn series(all: &[CaseSeries], start: Time, steps: &mut Vec<(Time, Step)>) -> Result<(), String> {
    let mut bodies: BTreeMap<(Time, String), String> = BTreeMap::new();
    for it in all {
        let wrong = |reason: &str| format!("series: {:?} {reason}", it.series);
        let (name, block) = it.series.split_at(it.series.find('{').unwrap_or(it.series.len()));
        if !block.is_empty() && !block.ends_with('}') {
            return Err(wrong("has no } at its end"));
        }
        if !crate::labels::inner(block).trim().is_empty()
            && crate::labels::pairs(block).next().is_none()
        {
            return Err(wrong("has labels that cannot be read: write {host=\"a\"}"));
        }
        let (mut job, mut instance, mut others) = ("test".to_owned(), None, Vec::new());
        for (label, value) in crate::labels::pairs(block) {
            match label.trim() {
                "job" => job = value.into_owned(),
                "instance" => instance = Some(value.into_owned()),
                label => others.push((label.to_owned(), value.into_owned())),
            }
        }
        let escape = |it: &str| {
            percent_encoding::utf8_percent_encode(it, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        let mut path = format!("/metrics/job/{}", escape(&job));
        if let Some(it) = instance.filter(|it| !it.is_empty()) {
            path.push_str(&format!("/instance/{}", escape(&it)));
        }
        let others = crate::labels::block(others.iter().map(|(a, b)| (a.as_str(), b.as_str())));
        let every = it.every.map_or(Duration::from_secs(60), |it| it.0);
        let mut at = start.saturating_add(it.at.0);
        for value in values(&it.values).map_err(|it| wrong(&it))? {
            if let Some(value) = value {
                let body = bodies.entry((at, path.clone())).or_default();
                body.push_str(&format!("{}{others} {value}\n", name.trim()));
            }
            at = at.saturating_add(every);
        }
    }
    for ((at, path), body) in bodies {
        let families = families(&body).map_err(|error| format!("series: {error}"))?;
        steps.push((at, Step::Push(Op::Post, grouping(&path)?, families)));
    }
    Ok(())
}

/// The values of a series as promtool writes them: `1 2 3`, `_` for none, `5x3` for four of 5, `0+10x3` for 0 10 20 30.
fn values(text: &str) -> Result<Vec<Option<f64>>, String> {
    let mut res = Vec::new();
    for word in text.split_whitespace() {
        let wrong = || format!("has the value {word:?}: write 1 2 3, _ for none, 5x3 or 0+10x3");
        let number = |it: &str| it.parse::<f64>().map_err(|_| wrong());
        let (one, times) = match word.rsplit_once('x') {
            Some((one, times)) => (one, times.parse::<usize>().map_err(|_| wrong())?),
            None => (word, 0),
        };
        if res.len() + times > MAX_STEPS {
            return Err(format!("has more than {MAX_STEPS} values"));
        }
        if one == "_" {
            res.extend(std::iter::repeat_n(None, times.max(1)));
            continue;
        }
        let sign = one.char_indices().skip(1).find(|(at, c)| {
            matches!(c, '+' | '-') && !matches!(one.as_bytes().get(at - 1), Some(b'e' | b'E'))
        });
        let (first, by) = match sign {
            Some((at, _)) => (number(&one[..at])?, number(&one[at..])?),
            None => (number(one)?, 0.0),
        };
        let mut value = first;
        for _ in 0..=times {
            res.push(Some(value));
            value += by;
        }
    }
    Ok(res)
}

fn grouping(path: &str) -> Result<Grouping, String> {
    push::grouping(path, push::Options { utf8: true })
        .map_err(|it| format!("pushes: {path:?} is no path such as /metrics/job/backup: {it}"))
}

fn families(body: &str) -> Result<Vec<Family>, String> {
    push::families(body.as_bytes(), None, true, &push::Limits::default())
        .map_err(|it| it.to_string())
}

impl Default for Alerts {
    fn default() -> Self {
        Self::Count(0)
    }
}

impl<'de> Deserialize<'de> for Alerts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let wrong = || {
            de::Error::custom(format!(
                "{value} says not which alerts: give their number, such as 1, or a list of labels, such as [{{host: a}}]"
            ))
        };
        let text = |it: &Value| match it {
            Value::String(it) => Some(it.clone()),
            Value::Number(_) | Value::Bool(_) => Some(it.to_string()),
            _ => None,
        };
        match &value {
            Value::Number(it) => it
                .as_u64()
                .and_then(|it| usize::try_from(it).ok())
                .map(Self::Count)
                .ok_or_else(wrong),
            Value::Array(sets) => {
                let set = |it: &Value| {
                    let labels = it.as_object()?.iter();
                    labels.map(|(name, it)| Some((name.clone(), text(it)?))).collect::<Option<_>>()
                };
                sets.iter().map(set).collect::<Option<Vec<_>>>().map(Self::With).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_for_promtool() {
        let check = |text: &str, expected: &[f64]| {
            let values: Vec<_> =
                values(text).unwrap().into_iter().map(|it| it.unwrap_or(-1.0)).collect();
            assert_eq!(values, expected, "{text}");
        };
        check("1 2.5 _ 1e3", &[1.0, 2.5, -1.0, 1000.0]);
        check("5x2 _x2", &[5.0, 5.0, 5.0, -1.0, -1.0]);
        check("0+10x2 4-2x1 1e-1+1x1", &[0.0, 10.0, 20.0, 4.0, 2.0, 0.1, 1.1]);
        for wrong in ["a", "1x", "x3", "1+x2", "1x99999999", "é+1x2", "1+éx2"] {
            assert!(values(wrong).is_err(), "{wrong}");
        }
    }
}
