//! `push.jobs`: what holds for the jobs of a pattern.

use super::node::{Kind, Node};
use super::retention::{Age, Bound};
use super::suggest::suggest;
use super::value::{Context, Fault, Value, quoted, read_list, show_list};
use crate::groups::{Blend, JobLimits, JobRule, JobTerms, Jobs};
use crate::selector::Glob;
use crate::yaml::Key;
use std::time::Duration;

/// The entries of `push.jobs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobList(pub Vec<Job>);

/// What holds for the jobs of a pattern. `None` where the entry says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// A glob over names of jobs.
    pub pattern: String,
    /// Whether what is pushed is added to what is there.
    pub sum: Option<bool>,
    /// What becomes of gauges when pushes add up.
    pub gauges: Option<Blend>,
    /// How long groups live after a push.
    pub ttl: Option<Age>,
    /// Groups of the job.
    pub max_groups: Option<Count>,
    /// Series of the job.
    pub max_series: Option<Count>,
    /// Bytes of one push.
    pub max_body_bytes: Option<Bound>,
}

/// How many there may be; `None` for as many as there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count(pub Option<usize>);

const KEYS: [&str; 7] =
    ["match", "mode", "gauges", "ttl", "max_groups", "max_series", "max_body_bytes"];
const SHAPE: &str = "a map such as {match: \"ci-*\", max_groups: 100}";

impl JobList {
    /// The entries and what holds for all other jobs.
    pub(super) fn jobs(&self, limits: JobLimits, ttl: Option<Duration>) -> Jobs {
        let rule = |it: &Job| {
            let limits = JobLimits {
                groups: it.max_groups.map(Count::get),
                series: it.max_series.map(Count::get),
                body_bytes: it.max_body_bytes.map(Bound::get),
            };
            let ttl = it.ttl.map(|it| it.0);
            let terms = JobTerms { sum: it.sum, gauges: it.gauges, ttl };
            // What does not compile was refused when it was read.
            Glob::parse(&it.pattern).ok().map(|pattern| JobRule { pattern, limits, terms })
        };
        Jobs { rules: self.0.iter().filter_map(rule).collect(), limits, ttl }
    }
}

impl Count {
    /// As a limit.
    pub(super) fn get(self) -> usize {
        self.0.unwrap_or(usize::MAX)
    }
}

impl Value for Count {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("a whole number, or `off`", |it| match it.trim() {
            "off" | "0" => Some(Self(None)),
            it => it.parse().ok().map(|it| Self(Some(it))),
        })
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "off".to_owned(), |it| it.to_string())
    }
}

impl Value for JobList {
    fn read(node: &Node, context: &Context<'_>) -> Result<Self, Vec<Fault>> {
        let wrong = || node.fault(format!("expected a list, each entry {SHAPE}"));
        match &node.kind {
            Kind::List(_) => read_list(node, context, job).map(Self),
            // A variable has the list as text.
            Kind::Scalar(text) if node.at.is_none() => match Node::parse(text) {
                Ok(it) if matches!(it.kind, Kind::List(_)) => {
                    // The places would be those in the variable.
                    let placeless = |it: Fault| Fault { at: None, ..it };
                    let read = read_list(&it, context, job).map(Self);
                    read.map_err(|it| it.into_iter().map(placeless).collect())
                }
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }

    fn show(&self) -> String {
        show_list(self.0.iter().map(|it| {
            let said = [
                it.sum.map(|it| if it { "sum" } else { "replace" }.to_owned()),
                it.gauges.map(|it| it.as_str().to_owned()),
                it.ttl.map(|it| it.show()),
                it.max_groups.map(|it| it.show()),
                it.max_series.map(|it| it.show()),
                it.max_body_bytes.map(|it| it.show()),
            ];
            let said = KEYS.iter().skip(1).zip(said);
            let said = said.filter_map(|(key, it)| Some(format!(", {key}: {}", it?)));
            format!("{{match: {}{}}}", quoted(&it.pattern), said.collect::<String>())
        }))
    }
}

fn job(node: &Node, context: &Context<'_>) -> Result<Job, Vec<Fault>> {
    let Kind::Map(entries) = &node.kind else {
        return Err(node.fault(format!("expected {SHAPE}")));
    };
    let (mut res, mut faults) = (Job::default(), Vec::new());
    if !entries.iter().any(|(key, _)| key.name == "match") {
        faults.extend(node.fault("`match` is missing, a pattern such as \"ci-*\""));
    }
    for (key, node) in entries {
        let read = match key.name.as_str() {
            "match" => pattern(node).map(|it| res.pattern = it),
            "mode" => mode(node).map(|it| res.sum = Some(it)),
            "gauges" => gauges(node).map(|it| res.gauges = Some(it)),
            "ttl" => Age::read(node, context).map(|it| res.ttl = Some(it)),
            "max_groups" => Count::read(node, context).map(|it| res.max_groups = Some(it)),
            "max_series" => Count::read(node, context).map(|it| res.max_series = Some(it)),
            "max_body_bytes" => Bound::read(node, context).map(|it| res.max_body_bytes = Some(it)),
            _ => Err(unknown(key)),
        };
        faults.extend(read.err().unwrap_or_default());
    }
    if faults.is_empty() { Ok(res) } else { Err(faults) }
}

fn unknown(key: &Key) -> Vec<Fault> {
    let message = format!("unknown key `{}`{}", key.name, suggest(&key.name, KEYS));
    vec![Fault { at: Some(key.at), message }]
}

fn mode(node: &Node) -> Result<bool, Vec<Fault>> {
    node.parse_as("`replace` or `sum`", |it| match it {
        "sum" => Some(true),
        "replace" => Some(false),
        _ => None,
    })
}

fn gauges(node: &Node) -> Result<Blend, Vec<Fault>> {
    node.parse_as("`last`, `sum`, `min` or `max`", |it| it.parse().ok())
}

fn pattern(node: &Node) -> Result<String, Vec<Fault>> {
    let text = node.scalar("a pattern such as \"ci-*\"")?;
    match Glob::parse(text) {
        Ok(_) if !text.is_empty() => Ok(text.to_owned()),
        Ok(_) => Err(node.fault("expected a pattern such as \"ci-*\", found nothing")),
        Err((_, reason)) => Err(node.fault(format!("{reason}, in the pattern `{text}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::tests::check;
    use super::*;

    #[test]
    fn jobs_are_told_by_patterns() {
        check::<JobList>(
            "[{match: 'ci-*', max_groups: 100, max_series: off}, {match: a, max_body_bytes: 1MiB}]",
            "[{match: \"ci-*\", max_groups: 100, max_series: off}, {match: a, max_body_bytes: 1MiB}]",
        );
        check::<JobList>(
            "[{match: a, ttl: 1h, gauges: max, mode: sum}, {match: b, mode: replace, ttl: 0}]",
            "[{match: a, mode: sum, gauges: max, ttl: 1h}, {match: b, mode: replace, ttl: off}]",
        );
        check::<JobList>("[]", "[]");
    }

    #[test]
    fn what_is_wrong_is_told() {
        check::<JobList>("a", &format!("expected a list, each entry {SHAPE}"));
        check::<JobList>("[a]", &format!("expected {SHAPE}"));
        check::<JobList>("[{}]", "`match` is missing, a pattern such as \"ci-*\"");
        check::<JobList>(
            "[{match: 'a[', max_group: 1, max_series: -1}]",
            "the `[` is not closed, in the pattern `a[`; unknown key `max_group`, did you mean `max_groups`?; \
             expected a whole number, or `off`, found `-1`",
        );
        check::<JobList>(
            "[{match: a, mode: add, gauges: mean, ttl: x}]",
            "expected `replace` or `sum`, found `add`; expected `last`, `sum`, `min` or `max`, found `mean`; \
             expected an age such as 12h, 7d or 90d, or `off` to keep for ever, found `x`",
        );
        check::<JobList>("[{match: ''}]", "expected a pattern such as \"ci-*\", found nothing");
    }
}
