//! Reading the maps and scalars of a rule file, reporting instead of giving up.

use super::duration;
use super::model::Backfill;
use super::report::{Report, did_you_mean};
use crate::yaml::{Key, Kind, Node, Place};
use std::time::Duration;

/// A map with known keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'n> {
    entries: &'n [(Key, Node)],
    /// Where to point when a key is absent.
    pub(super) at: Place,
}

impl<'n> Table<'n> {
    /// Reads `node` as a map that may only have the keys `known`.
    pub(super) fn new(
        node: &'n Node,
        at: Place,
        known: &[&str],
        report: &mut Report<'_>,
    ) -> Option<Self> {
        let entries = entries(node, report)?;
        for (key, _) in entries {
            if !known.contains(&key.name.as_str()) {
                let hint = did_you_mean(&key.name, known.iter().copied());
                let hint =
                    if hint.is_empty() { format!("; known are {}", list(known)) } else { hint };
                report.error(key.at, format!("unknown key `{}`{hint}", key.name));
            }
        }
        Some(Self { entries, at })
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(it, _)| it.name == key).map(|(_, node)| node)
    }

    /// Where `key` stands.
    pub(super) fn key_at(&self, key: &str) -> Place {
        self.entries.iter().find(|(it, _)| it.name == key).map_or(self.at, |(it, _)| it.at)
    }

    /// The text of `key`.
    pub(super) fn text(&self, key: &str, report: &mut Report<'_>) -> Option<&'n str> {
        self.get(key).and_then(|it| text(it, report))
    }

    /// The duration of `key`.
    pub(super) fn duration(&self, key: &str, report: &mut Report<'_>) -> Option<Duration> {
        let node = self.get(key)?;
        let found = node.scalar().and_then(duration::parse);
        if found.is_none() {
            report
                .error(node.at, "expected a duration with a unit, such as `30s`, `1h20m` or `7d`");
        }
        found
    }

    /// The whole number above zero of `key`.
    pub(super) fn count(&self, key: &str, report: &mut Report<'_>) -> Option<usize> {
        let node = self.get(key)?;
        let found = node.scalar().and_then(|it| it.parse().ok()).filter(|it: &usize| *it > 0);
        if found.is_none() {
            report.error(node.at, "expected a whole number above 0");
        }
        found
    }

    /// The number of `key`.
    pub(super) fn number(&self, key: &str, report: &mut Report<'_>) -> Option<f64> {
        let node = self.get(key)?;
        let found = match &node.kind {
            Kind::Number(it) => it.parse().ok().filter(|it: &f64| it.is_finite()),
            _ => None,
        };
        if found.is_none() {
            report.error(node.at, "expected a number");
        }
        found
    }

    /// The boolean of `key`.
    pub(super) fn bool(&self, key: &str, report: &mut Report<'_>) -> Option<bool> {
        let node = self.get(key)?;
        let Kind::Bool(it) = node.kind else {
            report.error(node.at, "expected `true` or `false`");
            return None;
        };
        Some(it)
    }

    /// How much of the past to count: `true`, `false`, or a duration.
    pub(super) fn backfill(&self, report: &mut Report<'_>) -> Option<Backfill> {
        let node = self.get("backfill")?;
        if let Kind::Bool(it) = node.kind {
            return it.then_some(Backfill::All);
        }
        let found = node.scalar().and_then(duration::parse);
        if found.is_none() {
            let message = "expected `true`, `false`, or how far back to go, such as `30d`";
            report.error(node.at, message);
        }
        found.map(Backfill::Within)
    }

    /// The list of texts of `key`; a single text is a list of one.
    pub(super) fn names(&self, key: &str, report: &mut Report<'_>) -> Vec<(&'n str, Place)> {
        let Some(node) = self.get(key) else { return Vec::new() };
        let names = one_or_many(node).iter().map(|it| (text(it, report), it.at));
        names.filter_map(|(name, at)| name.map(|it| (it, at))).collect()
    }
}

/// The entries of a map. Keys that occur twice are reported.
pub(super) fn entries<'n>(node: &'n Node, report: &mut Report<'_>) -> Option<&'n [(Key, Node)]> {
    let Kind::Map(entries) = &node.kind else {
        report.error(node.at, format!("expected a map, found {}", node.describe()));
        return None;
    };
    for (i, (key, _)) in entries.iter().enumerate() {
        if entries.iter().take(i).any(|(it, _)| it.name == key.name) {
            report.error(key.at, format!("`{}` is there twice", key.name));
        }
    }
    Some(entries)
}

/// A scalar's text.
pub(super) fn text<'n>(node: &'n Node, report: &mut Report<'_>) -> Option<&'n str> {
    let found = node.scalar();
    if found.is_none() {
        report.error(node.at, format!("expected a text, found {}", node.describe()));
    }
    found
}

/// The items of a list, or the node itself.
pub(super) fn one_or_many(node: &Node) -> &[Node] {
    match &node.kind {
        Kind::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}

/// The items of a list.
pub(super) fn items<'n>(node: &'n Node, report: &mut Report<'_>) -> &'n [Node] {
    let Kind::List(items) = &node.kind else {
        report.error(node.at, format!("expected a list, found {}", node.describe()));
        return &[];
    };
    items
}

/// Names for a message.
fn list(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|it| format!("`{it}`")).collect();
    names.join(", ")
}
