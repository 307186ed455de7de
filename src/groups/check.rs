//! Whether a push agrees with what other groups, the rules and the server itself show.

use super::Foreign;
use super::Op;
use super::group::{Content, Group, Part};
use super::index::Index;
use super::prepare::{NewPart, PUSHED, Push};
use super::reject;
use super::series::Samples;
use crate::exposition;
use crate::exposition::Kind;
use hashbrown::HashSet;
use std::sync::atomic::Ordering;

/// What `push` would make inconsistent; empty if nothing.
pub(super) fn check(
    index: &mut Index,
    foreign: &Foreign,
    push: &Push,
    old: Option<&Group>,
) -> Vec<String> {
    let content = old.map(|it| &*it.content);
    let mut errors = Vec::new();
    if old.is_none() && index.has(push.hash) {
        errors.push(twin(push));
    }
    let mut before = content.map(|it| it.parts.iter().enumerate().peekable());
    for part in &push.parts {
        let after = After { index, foreign, push, content };
        // Both are sorted by name.
        let same = before.as_mut().and_then(|it| {
            while it.next_if(|(_, it)| *it.name.text < *part.name).is_some() {}
            it.next_if(|(_, it)| *it.name.text == *part.name)
        });
        let steady =
            content.zip(same).is_some_and(|(content, it)| is_steady(&after, part, content, it));
        if steady {
            errors.extend(suffixes(&after, part));
        } else if let Some(error) = kind(&after, part) {
            errors.push(error);
        } else if let Some(error) = suffixes(&after, part) {
            errors.push(error);
        } else if let Some(error) =
            series(index, push, part, content).or_else(|| foreign_series(foreign, push, part))
        {
            errors.push(error);
        }
        if errors.len() >= reject::MAX_ERRORS {
            break;
        }
    }
    errors
}

/// Whether the group had the family `part` with the same type and series before, nobody disagrees about its
/// name, and nobody but groups has it: then it agrees with all others as before.
fn is_steady(
    after: &After<'_>,
    part: &NewPart,
    content: &Content,
    (at, same): (usize, &Part),
) -> bool {
    let bytes = after.push.data.get(part.bytes.clone()).unwrap_or_default();
    let new = Samples::new(bytes, part.kind, part.traits.rich).map(|it| it.labels);
    same.kind == part.kind
        && !same.name.suspect.load(Ordering::Relaxed)
        && !after.foreign.contains_key(part.name.as_str())
        && content.samples(at).map(|it| it.labels).eq(new)
}

/// Says that another group has the same labels but for empty ones, which nobody who scrapes can tell apart.
fn twin(push: &Push) -> String {
    let value = crate::push::Value::Number(0.0);
    let metric = reject::metric(PUSHED, &push.block, &value, Kind::Gauge);
    format!("{metric} {}", reject::TWICE)
}

/// What there is once the push is applied.
#[derive(Clone, Copy)]
struct After<'a> {
    index: &'a Index,
    foreign: &'a Foreign,
    push: &'a Push,
    content: Option<&'a Content>,
}

impl After<'_> {
    /// The type of the family `name`.
    fn kind(&self, name: &str) -> Option<Kind> {
        let pushed = || self.push.find(name).map(|it| it.kind);
        let kept = || {
            let content = self.content.filter(|_| self.push.op == Op::Post)?;
            Some(content.parts.get(content.find(name)?)?.kind)
        };
        let foreign = || self.foreign.get(name).map(|it| it.0);
        pushed()
            .or_else(kept)
            .or_else(|| self.index.kind(name, self.content))
            .or_else(foreign)
            .or_else(|| times(name))
    }
}

/// The type of the two families that every group has.
fn times(name: &str) -> Option<Kind> {
    (name == PUSHED || name == super::prepare::FAILED).then_some(Kind::Gauge)
}

fn kind(after: &After<'_>, part: &NewPart) -> Option<String> {
    if let Some((kind, _)) = after.foreign.get(part.name.as_str())
        && *kind != part.kind
    {
        return Some(reject::other_type(&part.name, part.kind, *kind));
    }
    let kind = after.index.kind(&part.name, after.content)?;
    (kind != part.kind).then(|| {
        let metric = first(after.push, part);
        format!("{metric} is not a {}", reject::kind(kind))
    })
}

fn first(push: &Push, part: &NewPart) -> String {
    nth(push, part, 0)
}

fn nth(push: &Push, part: &NewPart, n: usize) -> String {
    let bytes = push.data.get(part.bytes.clone()).unwrap_or_default();
    match Samples::new(bytes, part.kind, part.traits.rich).nth(n) {
        Some(it) => reject::metric(&part.name, it.labels, &it.value, part.kind),
        None => format!("collected metric {:?}", part.name),
    }
}

/// A histogram or summary shows samples under names of its own, which no other family may have.
fn suffixes(after: &After<'_>, part: &NewPart) -> Option<String> {
    let name = &part.name;
    for suffix in ["_count", "_sum", "_bucket"] {
        let Some(base) = name.strip_suffix(suffix) else { continue };
        let Some(kind) = after.kind(base).filter(|it| owned(*it).contains(&suffix)) else {
            continue;
        };
        let kind = if kind == Kind::Summary { "summary" } else { "histogram" };
        return Some(format!(
            "collected metric named {name:?} collides with previously collected {kind} named {base:?}"
        ));
    }
    owned(part.kind).iter().find_map(|suffix| {
        let other = format!("{name}{suffix}");
        after.kind(&other).map(|_| {
            format!(
                "collected histogram or summary named {name:?} collides with previously collected metric named {other:?}"
            )
        })
    })
}

/// The suffixes of the samples that a family of this type shows.
pub(super) fn owned(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Summary => &["_count", "_sum"],
        Kind::Histogram | Kind::GaugeHistogram => &["_count", "_sum", "_bucket"],
        _ => &[],
    }
}

/// Looks for a series that another group has.
fn series(
    index: &mut Index,
    push: &Push,
    part: &NewPart,
    content: Option<&Content>,
) -> Option<String> {
    let old = content.and_then(|it| Some((it, it.find(&part.name)?)));
    let bytes = push.data.get(part.bytes.clone()).unwrap_or_default();
    let new = || Samples::new(bytes, part.kind, part.traits.rich).map(|it| it.labels);
    if old.is_some_and(|(it, at)| it.samples(at).map(|it| it.labels).eq(new())) {
        return None;
    }
    let hashes = push.hashes.get(part.hashes.clone()).unwrap_or_default();
    let mut known = hashes.iter().enumerate().filter(|(_, it)| index.has(**it)).peekable();
    known.peek()?;
    let known: Vec<_> = known.map(|(at, it)| (at, *it)).collect();
    let own: HashSet<u64> =
        old.map(|(it, at)| index.hashes(it, at)).unwrap_or_default().into_iter().collect();
    let (at, _) = known.into_iter().find(|(_, it)| !own.contains(it))?;
    Some(format!("{} {}", nth(push, part, at), reject::TWICE))
}

/// Whether a series could be one of the rules' own. What series the rules will make is not known, so that the
/// label names decide.
fn foreign_series(foreign: &Foreign, push: &Push, part: &NewPart) -> Option<String> {
    let (_, labels) = foreign.get(part.name.as_str())?;
    let bytes = push.data.get(part.bytes.clone()).unwrap_or_default();
    let mut samples = Samples::new(bytes, part.kind, part.traits.rich);
    let at = samples.position(|it| may_be_one_of(it.labels, labels))?;
    let metric = nth(push, part, at);
    Some(format!("{metric} has only labels that the rules give to the metric of the same name"))
}

/// Whether a series of `block` could be a series of a family with these label names.
pub(super) fn may_be_one_of(block: &str, labels: &[String]) -> bool {
    exposition::label_pairs(block)
        .all(|(name, value)| value.is_empty() || labels.iter().any(|it| *it == name))
}
