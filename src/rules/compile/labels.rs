//! Labels of metrics and spans.

use super::{Compiler, unknown};
use crate::rules::lint;
use crate::rules::table;
use crate::rules::template::Template;
use crate::yaml::{Kind, Node, Place};

/// The label of a metric as one of its updates has it.
#[derive(Clone, Debug)]
pub(super) struct Label<'n> {
    pub(super) name: &'n str,
    pub(super) at: Place,
    pub(super) node: &'n Node,
}

impl Compiler<'_> {
    /// The labels under a `labels:` key. Their names are checked.
    pub(super) fn label_list<'n>(&mut self, node: Option<&'n Node>) -> Vec<Label<'n>> {
        let Some(node) = node else { return Vec::new() };
        let entries = table::entries(node, &mut self.report).unwrap_or_default();
        for (key, _) in entries {
            lint::label(&key.name, key.at, &mut self.report);
        }
        entries.iter().map(|(key, node)| Label { name: &key.name, at: key.at, node }).collect()
    }

    /// Compiles the templates of labels.
    pub(super) fn label_templates(
        &mut self,
        labels: &[Label<'_>],
        key: bool,
        item: bool,
    ) -> Vec<Template> {
        let compiled = labels.iter().map(|it| self.template(it.node, key, item));
        compiled.map(Option::unwrap_or_default).collect()
    }

    /// The bounds that `| limit(n)` puts on labels.
    pub(super) fn label_limits<'l>(
        &self,
        labels: impl Iterator<Item = &'l Template>,
    ) -> Vec<(usize, usize)> {
        let limit = |it: &Template| it.fields().filter_map(|it| it.limit()).min();
        labels.enumerate().filter_map(|(at, it)| Some((at, limit(it)?))).collect()
    }

    /// The positions of labels that a key such as `unique_by` names.
    pub(super) fn label_positions(
        &mut self,
        names: &[(&str, Place)],
        labels: &[String],
    ) -> Vec<usize> {
        let mut res = Vec::new();
        for (name, at) in names {
            match labels.iter().position(|it| it == name) {
                Some(it) if res.contains(&it) => {
                    self.report.error(*at, format!("`{name}` is there twice"));
                }
                Some(it) => res.push(it),
                None => self.report.error(*at, unknown("label", name, labels)),
            }
        }
        res
    }

    /// The label blocks under `init`.
    pub(super) fn init(&mut self, node: Option<&Node>, labels: &[String]) -> Vec<String> {
        let Some(node) = node else { return Vec::new() };
        let mut res = Vec::new();
        for item in table::items(node, &mut self.report) {
            let Some(entries) = table::entries(item, &mut self.report) else { continue };
            for (key, _) in entries {
                if !labels.contains(&key.name) {
                    self.report.error(key.at, unknown("label", &key.name, labels));
                }
            }
            let mut pairs = Vec::new();
            for name in labels {
                match entries.iter().find(|(key, _)| key.name == *name) {
                    Some((_, node)) if !matches!(node.kind, Kind::Null) => {
                        let value = table::text(node, &mut self.report).unwrap_or_default();
                        pairs.push((name.as_str(), value));
                    }
                    _ => self.report.error(item.at, format!("the label `{name}` has no value")),
                }
            }
            res.push(crate::labels::block(pairs));
        }
        res
    }
}
