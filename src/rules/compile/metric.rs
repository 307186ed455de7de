//! Entries of `metrics:`.

use super::labels::Label;
use super::{Compiler, FORGET_FACTOR, canonical_kind, hash};
use crate::rules::lint;
use crate::rules::model::{FamilyKind, FamilySpec};
use crate::rules::program::{Action, Rule, Update, Values, Verb};
use crate::rules::table::{self, Table};
use crate::rules::template::Template;
use crate::selector::{DataPath, Path};
use crate::yaml::{Kind, Node, Place};
use std::time::Duration;

pub(super) const METRIC_KEYS: &[&str] = &[
    "help",
    "match",
    "updates",
    "count",
    "set",
    "add",
    "sub",
    "observe",
    "labels",
    "siblings",
    "unique_by",
    "buckets",
    "native",
    "ttl",
    "forget",
    "limit",
    "init",
    "for",
    "zero_first",
    "backfill",
];
pub(super) const UPDATE_KEYS: &[&str] =
    &["match", "count", "set", "add", "sub", "observe", "labels", "for"];

/// An update before its templates are compiled.
struct Item<'n> {
    table: Table<'n>,
    verb: Verb,
    labels: Vec<Label<'n>>,
}

impl Compiler<'_> {
    pub(super) fn metric(&mut self, name: &str, at: Place, node: &Node) {
        lint::metric_name(name, at, &mut self.report);
        let Some(table) = Table::new(node, at, METRIC_KEYS, &mut self.report) else { return };
        let help = self.help(table);
        let shared = self.label_list(table.get("labels"));
        let items = self.items(table, &shared);
        let Some(verb) = self.verb(name, at, &items) else { return };
        let labels = label_names(&shared, &items);
        let kind = match verb {
            Verb::Count => FamilyKind::Counter,
            Verb::Set | Verb::Add | Verb::Sub => FamilyKind::Gauge,
            Verb::Observe => FamilyKind::Histogram(self.histogram(name, at, table)),
        };
        self.only_for_histograms(&kind, table);
        let family = u32::try_from(self.families.len()).unwrap_or(u32::MAX);
        let rules = self.updates(family, &labels, items, table);
        self.selected(
            rules,
            table,
            FamilySpec {
                name: name.to_owned(),
                help,
                kind,
                labels,
                siblings: Vec::new(),
                unique_by: Vec::new(),
                label_limits: Vec::new(),
                limit: self.defaults.limit,
                ttl: None,
                forget: None,
                zero_first: self.defaults.zero_first,
                init: Vec::new(),
                backfill: None,
                fingerprint: 0,
            },
        );
        self.places.push(at);
    }

    pub(super) fn help(&mut self, table: Table<'_>) -> String {
        let help = table.text("help", &mut self.report).unwrap_or_default().trim();
        if help.is_empty() {
            self.report.error(table.key_at("help"), "`help` is missing: say what is measured");
        }
        help.to_owned()
    }

    /// The updates of a metric: those under `updates`, or the metric itself.
    fn items<'n>(&mut self, table: Table<'n>, shared: &[Label<'n>]) -> Vec<Item<'n>> {
        let Some(list) = table.get("updates") else {
            return self.item(table, shared.to_vec()).into_iter().collect();
        };
        for key in UPDATE_KEYS.iter().filter(|it| **it != "labels" && **it != "for") {
            if table.get(key).is_some() {
                let message = format!("`{key}` belongs to the entries of `updates`");
                self.report.error(table.key_at(key), message);
            }
        }
        let mut res = Vec::new();
        for node in table::items(list, &mut self.report) {
            let Some(table) = Table::new(node, node.at, UPDATE_KEYS, &mut self.report) else {
                continue;
            };
            let mut labels = self.label_list(table.get("labels"));
            for label in shared {
                if !labels.iter().any(|it| it.name == label.name) {
                    labels.push(label.clone());
                }
            }
            res.extend(self.item(table, labels));
        }
        if res.is_empty() {
            self.report.error(list.at, "expected a list of updates");
        }
        res
    }

    fn item<'n>(&mut self, table: Table<'n>, labels: Vec<Label<'n>>) -> Option<Item<'n>> {
        if table.get("match").is_none() {
            self.report.error(table.at, "`match` is missing: which events count");
        }
        let verbs = Verb::ALL.into_iter().filter(|it| table.get(it.as_str()).is_some());
        match verbs.collect::<Vec<_>>().as_slice() {
            [verb] => Some(Item { table, verb: *verb, labels }),
            [] => {
                let message = "one of `count`, `set`, `add`, `sub`, `observe` is missing";
                self.report.error(table.at, message);
                None
            }
            [_, second, ..] => {
                let message = "only one of `count`, `set`, `add`, `sub`, `observe`";
                self.report.error(table.key_at(second.as_str()), message);
                None
            }
        }
    }

    /// The verb that decides the type; all updates agree on the type.
    fn verb(&mut self, name: &str, at: Place, items: &[Item<'_>]) -> Option<Verb> {
        let verb = items.first()?.verb;
        for item in items {
            if item.verb.metric_type() != verb.metric_type() {
                let message = format!(
                    "`{}` makes a {}, but the first update makes a {}",
                    item.verb.as_str(),
                    item.verb.metric_type(),
                    verb.metric_type()
                );
                self.report.error(item.table.key_at(item.verb.as_str()), message);
            }
        }
        lint::metric_type(name, at, verb, &mut self.report);
        Some(verb)
    }

    fn only_for_histograms(&mut self, kind: &FamilyKind, table: Table<'_>) {
        if matches!(kind, FamilyKind::Histogram(_)) {
            return;
        }
        for key in ["buckets", "native"] {
            if table.get(key).is_some() {
                self.report.error(table.key_at(key), format!("`{key}` needs `observe`"));
            }
        }
    }

    /// Compiles the updates of a metric.
    fn updates(
        &mut self,
        family: u32,
        names: &[String],
        items: Vec<Item<'_>>,
        metric: Table<'_>,
    ) -> Vec<Rule> {
        let mut res = Vec::new();
        for Item { table, verb, labels } in items {
            let selectors = table.get("match").map_or(vec![], |it| self.selectors(it));
            let each = self.each_path(if table.get("for").is_some() { table } else { metric });
            let Some(node) = table.get(verb.as_str()) else { continue };
            let Some(values) = self.values(node, verb, each.is_some()) else { continue };
            let keyed = matches!(values, Values::Keyed(_));
            let mut ordered = Vec::new();
            for name in names {
                match labels.iter().find(|it| it.name == name) {
                    Some(it) => ordered.push(it.clone()),
                    None => {
                        let message = format!("the label `{name}` of other updates has no value");
                        self.report.error(table.at, message);
                    }
                }
            }
            let labels = self.label_templates(&ordered, keyed, each.is_some());
            let update = Update { family, verb, values, labels, each };
            res.push(Rule { selectors, action: Action::Update(update) });
        }
        res
    }

    fn values(&mut self, node: &Node, verb: Verb, item: bool) -> Option<Values> {
        let Kind::Map(_) = &node.kind else {
            let value = self.value(node, false, item)?;
            if let (Verb::Count, crate::rules::program::Value::Number(it)) = (verb, &value)
                && *it < 0.0
            {
                self.report.error(node.at, "a counter cannot go down");
            }
            return Some(Values::One(value));
        };
        let entries = table::entries(node, &mut self.report)?;
        let mut res = Vec::new();
        for (key, node) in entries {
            res.push((key.name.clone(), self.value(node, true, item)?));
        }
        if res.is_empty() {
            self.report.error(node.at, "expected a value");
        }
        Some(Values::Keyed(res))
    }

    /// The array that `for` names, with or without a dollar.
    fn each_path(&mut self, table: Table<'_>) -> Option<DataPath> {
        let node = table.get("for")?;
        let text = table::text(node, &mut self.report)?;
        let inner = text.strip_prefix('$').unwrap_or(text);
        let inner = inner.strip_prefix('{').and_then(|it| it.strip_suffix('}')).unwrap_or(inner);
        match Path::parse(inner) {
            Ok(Path::Data(it)) => Some(it),
            Ok(_) => {
                self.report.error(node.at, "expected a field of `data` that holds a list");
                None
            }
            Err(error) => {
                self.report.error(node.at, error.message);
                None
            }
        }
    }

    /// Fills in what depends on the compiled labels, and keeps the metric.
    fn selected(&mut self, rules: Vec<Rule>, table: Table<'_>, mut family: FamilySpec) {
        let updates: Vec<&Update> = rules.iter().filter_map(Rule::update).collect();
        family.siblings = self.siblings(table, &family.labels, &updates);
        let names = table.names("unique_by", &mut self.report);
        family.unique_by = self.label_positions(&names, &family.labels);
        let limits = updates.iter().map(|it| self.label_limits(it.labels.iter()));
        family.label_limits = limits.flatten().collect();
        family.label_limits.sort_unstable();
        family.label_limits.dedup_by_key(|it| it.0);
        family.init = self.init(table.get("init"), &family.labels);
        family.limit = table.count("limit", &mut self.report).unwrap_or(family.limit);
        (family.ttl, family.forget) = self.lifetime(table);
        family.zero_first = table.bool("zero_first", &mut self.report).unwrap_or(family.zero_first);
        family.backfill = table.backfill(&mut self.report);
        let mut text = canonical_kind(&family.kind);
        for rule in &rules {
            self.canonical_rule(rule, &family.labels, &mut text);
        }
        family.fingerprint = hash(&text);
        self.families.push(family);
        self.rules.extend(rules);
    }

    /// `ttl` and `forget`.
    fn lifetime(&mut self, table: Table<'_>) -> (Option<Duration>, Option<Duration>) {
        let ttl = table.duration("ttl", &mut self.report).or(self.defaults.ttl);
        let forget = table.duration("forget", &mut self.report).or(self.defaults.forget);
        match (ttl, forget) {
            (None, _) if table.get("forget").is_some() => {
                self.report.error(table.key_at("forget"), "`forget` needs `ttl`");
            }
            (Some(ttl), Some(forget)) if forget < ttl => {
                self.report.error(table.key_at("forget"), "`forget` is shorter than `ttl`");
            }
            _ => {}
        }
        (ttl, ttl.map(|it| forget.unwrap_or(it * FORGET_FACTOR)))
    }

    /// Every value that a sibling label can take: what its map lists, or the names of the values.
    fn siblings(
        &mut self,
        table: Table<'_>,
        labels: &[String],
        updates: &[&Update],
    ) -> Vec<(usize, Vec<String>)> {
        let names = table.names("siblings", &mut self.report);
        let mut res = Vec::new();
        for (position, (name, at)) in
            self.label_positions(&names, labels).into_iter().zip(names.iter())
        {
            let mut values: Vec<String> = Vec::new();
            for update in updates {
                let found = update.labels.get(position).and_then(|it| outputs(it, &update.values));
                for value in found.unwrap_or_default() {
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
            }
            if values.is_empty() {
                let message = format!("the values of `{name}` are not known: use a map or `$key`");
                self.report.error(*at, message);
            }
            res.push((position, values));
        }
        res
    }

    fn canonical_rule(&self, rule: &Rule, labels: &[String], out: &mut String) {
        self.canonical_selectors(&rule.selectors, out);
        let Action::Update(update) = &rule.action else { return };
        out.push_str(update.verb.as_str());
        out.push('\n');
        if let Some(path) = &update.each {
            out.push_str(&format!("for {path}\n"));
        }
        match &update.values {
            Values::One(it) => self.canonical_value(it, out),
            Values::Keyed(entries) => {
                for (key, value) in entries {
                    out.push_str(&format!("{key:?}:"));
                    self.canonical_value(value, out);
                }
            }
        }
        self.canonical_labels(labels.iter().zip(&update.labels), out);
    }
}

impl Rule {
    fn update(&self) -> Option<&Update> {
        match &self.action {
            Action::Update(it) => Some(it),
            Action::Span(_) => None,
        }
    }
}

/// The labels of a metric: those that all updates share, then the others.
fn label_names(shared: &[Label<'_>], items: &[Item<'_>]) -> Vec<String> {
    let mut res: Vec<String> = shared.iter().map(|it| it.name.to_owned()).collect();
    for label in items.iter().flat_map(|it| &it.labels) {
        if !res.iter().any(|it| it == label.name) {
            res.push(label.name.to_owned());
        }
    }
    res
}

fn outputs(template: &Template, values: &Values) -> Option<Vec<String>> {
    if let Some(text) = template.literal() {
        return Some(vec![text.to_owned()]);
    }
    let field = template.single()?;
    match values {
        Values::Keyed(entries) if field.is_key() => {
            Some(entries.iter().map(|(key, _)| key.clone()).collect())
        }
        _ => field.outputs().map(<[String]>::to_vec),
    }
}
