//! `push.jobs`: what is said about the pushes of some jobs.

use super::node::{Kind, Node};
use super::suggest::suggest;
use super::value::{Context, Fault, Value, quoted, read_list, show_list};
use crate::groups;
use crate::groups::Blend;
use crate::selector::Glob;

/// What is said about the jobs of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRule {
    /// A glob over the names of jobs.
    pub pattern: String,
    /// Whether what is pushed is added to what is there.
    pub sum: Option<bool>,
    /// What becomes of gauges when pushes add up.
    pub gauges: Option<Blend>,
}

const KEYS: [&str; 3] = ["match", "mode", "gauges"];

const EXPECTED: &str = "expected a list of rules such as {match: \"ci-*\", mode: sum, gauges: max}";

impl JobRule {
    /// What does not compile was refused when it was read.
    pub(super) fn compile(&self) -> Option<groups::JobRule> {
        let pattern = Glob::parse(&self.pattern).ok()?;
        Some(groups::JobRule { pattern, sum: self.sum, gauges: self.gauges })
    }
}

impl Value for Vec<JobRule> {
    fn read(node: &Node, context: &Context<'_>) -> Result<Self, Vec<Fault>> {
        match &node.kind {
            // A variable holds the list as YAML.
            Kind::Scalar(text) => match Node::parse(text) {
                Ok(Node { kind: Kind::List(list), .. }) => {
                    let list = Node { at: node.at, kind: Kind::List(list) };
                    read_list(&list, context, rule)
                }
                _ => Err(node.fault(EXPECTED)),
            },
            Kind::List(_) => read_list(node, context, rule),
            Kind::Null | Kind::Map(_) => Err(node.fault(EXPECTED)),
        }
    }

    fn show(&self) -> String {
        show_list(self.iter().map(|it| {
            let mode = it.sum.map(|it| if it { "sum" } else { "replace" });
            let gauges = it.gauges.map(Blend::as_str);
            let mut res = format!("{{match: {}", quoted(&it.pattern));
            for (name, value) in [("mode", mode), ("gauges", gauges)] {
                if let Some(value) = value {
                    res.push_str(&format!(", {name}: {value}"));
                }
            }
            res + "}"
        }))
    }
}

fn rule(node: &Node, _: &Context<'_>) -> Result<JobRule, Vec<Fault>> {
    let Kind::Map(entries) = &node.kind else {
        return Err(node.fault("expected a map such as {match: \"ci-*\", mode: sum}"));
    };
    let mut faults = Vec::new();
    let (mut pattern, mut sum, mut gauges) = (None, None, None);
    for (key, value) in entries {
        let result = match key.name.as_str() {
            "match" => self::pattern(value).map(|it| pattern = Some(it)),
            "mode" => mode(value).map(|it| sum = Some(it)),
            "gauges" => value
                .parse_as("last, sum, min or max", |it| it.parse().ok())
                .map(|it| gauges = Some(it)),
            name => {
                let hint = suggest(name, KEYS);
                let message = format!("unknown key `{name}`{hint}");
                Err(vec![Fault { at: Some(key.at), message }])
            }
        };
        faults.extend(result.err().into_iter().flatten());
    }
    let named = entries.iter().any(|(key, _)| key.name == "match");
    if !named {
        faults.extend(node.fault("`match` is missing: a glob over names of jobs such as \"ci-*\""));
    }
    match pattern {
        Some(pattern) if faults.is_empty() => Ok(JobRule { pattern, sum, gauges }),
        _ => Err(faults),
    }
}

fn pattern(node: &Node) -> Result<String, Vec<Fault>> {
    let text = node.scalar("a glob such as \"ci-*\"")?;
    match Glob::parse(text) {
        Ok(_) if !text.is_empty() => Ok(text.to_owned()),
        Ok(_) => Err(node.fault("expected a glob such as \"ci-*\", found nothing")),
        Err((at, reason)) => Err(node.fault(format!("`{text}`: {reason} at byte {at}"))),
    }
}

fn mode(node: &Node) -> Result<bool, Vec<Fault>> {
    node.parse_as("replace or sum", |it| match it {
        "sum" => Some(true),
        "replace" => Some(false),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let node = Node::parse(text).unwrap();
        let rules = Vec::<JobRule>::read(&node, &Context { base: Path::new("") });
        let messages =
            |it: Vec<Fault>| it.into_iter().map(|it| it.message).collect::<Vec<_>>().join("; ");
        assert_eq!(rules.map(|it| it.show()).unwrap_or_else(messages), expected);
    }

    #[test]
    fn rules_are_read_and_shown() {
        check("[]", "[]");
        check(
            "[{match: \"ci-*\", mode: sum, gauges: max}, {match: x, mode: replace}]",
            "[{match: \"ci-*\", mode: sum, gauges: max}, {match: x, mode: replace}]",
        );
        check("'[{match: x, mode: sum}]'", "[{match: x, mode: sum}]");
    }

    #[test]
    fn what_is_wrong_is_said() {
        check("x", EXPECTED);
        check("{match: x}", EXPECTED);
        check("[x]", "expected a map such as {match: \"ci-*\", mode: sum}");
        check(
            "[{mode: add, gauge: max}]",
            "expected replace or sum, found `add`; unknown key `gauge`, did you mean `gauges`?; \
             `match` is missing: a glob over names of jobs such as \"ci-*\"",
        );
        check("[{match: \"[a\"}]", "`[a`: the set is not closed at byte 0");
        check("[{match: a, gauges: mean}]", "expected last, sum, min or max, found `mean`");
    }
}
