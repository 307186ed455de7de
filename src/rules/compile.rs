//! From the tree of a rule file to a [`RuleSet`].

mod cases;
mod histogram;
mod labels;
mod metric;
mod span;

use super::lint;
use super::map::ValueMap;
use super::model::{FamilyKind, FamilySpec, SpanSpec};
use super::program::{Rule, Value};
use super::report::{Diagnostics, Report, did_you_mean};
use super::table::{self, Table};
use super::template::{self, Alias, Names, Template};
use super::types::TypeCache;
use super::{Defaults, RuleSet, RuleTest};
use crate::selector::{Glob, Selector, Text};
use crate::yaml;
use crate::yaml::{Duplicates, Kind, Node, Place};
use hashbrown::{HashMap, HashSet};
use std::{sync::Arc, time::Duration};

/// Series that a metric may have unless its `limit` says otherwise.
const LIMIT: usize = 1000;
/// The default of `defaults.dedup`.
const DEDUP: Duration = Duration::from_secs(24 * 3600);
/// The default of `defaults.max_label_bytes`.
const MAX_LABEL_BYTES: usize = 128;
/// `forget` is so many times `ttl`.
const FORGET_FACTOR: u32 = 10;

const FILE_KEYS: &[&str] = &["version", "defaults", "maps", "fields", "metrics", "spans", "tests"];
const DEFAULT_KEYS: &[&str] =
    &["limit", "missing", "dedup", "ttl", "forget", "zero_first", "max_label_bytes"];

/// What has been compiled so far.
struct Compiler<'t> {
    report: Report<'t>,
    defaults: Defaults,
    maps: HashMap<String, Arc<ValueMap>>,
    aliases: Vec<Alias>,
    /// Where each map and alias stands, until something uses it.
    unused: HashMap<String, Place>,
    families: Vec<FamilySpec>,
    /// Where the families of the same index stand.
    places: Vec<Place>,
    spans: Vec<SpanSpec>,
    rules: Vec<Rule>,
    /// All globs over types, and where they stand.
    globs: Vec<(Glob, Place)>,
    tests: Vec<RuleTest>,
}

pub(super) fn compile(text: &str) -> Result<RuleSet, Diagnostics> {
    let mut report = Report::new(text);
    let root = match yaml::parse(text, Duplicates::Kept) {
        Ok(it) => it,
        Err((at, message)) => {
            report.error(at.unwrap_or_default(), message);
            return Err(report.finish());
        }
    };
    let mut compiler = Compiler {
        report,
        defaults: Defaults::default(),
        maps: HashMap::new(),
        aliases: Vec::new(),
        unused: HashMap::new(),
        families: Vec::new(),
        places: Vec::new(),
        spans: Vec::new(),
        rules: Vec::new(),
        globs: Vec::new(),
        tests: Vec::new(),
    };
    compiler.file(&root);
    compiler.finish()
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            limit: LIMIT,
            missing: "unknown".to_owned(),
            dedup: DEDUP,
            ttl: None,
            forget: None,
            zero_first: true,
            max_label_bytes: MAX_LABEL_BYTES,
        }
    }
}

impl Compiler<'_> {
    fn file(&mut self, root: &Node) {
        let Some(file) = Table::new(root, root.at, FILE_KEYS, &mut self.report) else { return };
        match file.get("version") {
            Some(it) if it.scalar() == Some("1") => {}
            Some(it) => self.report.error(it.at, "the version is 1"),
            None => self.report.error(root.at, "`version: 1` is missing"),
        }
        if let Some(it) = file.get("defaults") {
            self.defaults(it);
        }
        if let Some(it) = file.get("maps") {
            self.maps(it);
        }
        if let Some(it) = file.get("fields") {
            self.fields(it);
        }
        if let Some(it) = file.get("metrics") {
            self.each(it, Self::metric);
        }
        let metrics = self.families.len();
        if let Some(it) = file.get("spans") {
            self.each(it, Self::span);
        }
        lint::families(&self.families, &self.places, metrics, &mut self.report);
        lint::globs(&self.globs, &mut self.report);
        if let Some(it) = file.get("tests") {
            self.tests(it);
        }
        // What could not be compiled might have used them.
        let unused = std::mem::take(&mut self.unused);
        let certain = !self.report.has_errors();
        for (what, at) in unused.into_iter().filter(|_| certain) {
            self.report.warn(at, format!("nothing uses {what}"));
        }
    }

    /// Compiles each entry of a map.
    fn each(&mut self, node: &Node, compile: fn(&mut Self, &str, Place, &Node)) {
        for (key, node) in table::entries(node, &mut self.report).unwrap_or_default() {
            compile(self, &key.name, key.at, node);
        }
    }

    fn finish(self) -> Result<RuleSet, Diagnostics> {
        if self.report.has_errors() {
            return Err(self.report.finish());
        }
        let set = RuleSet {
            fingerprint: xxhash_rust::xxh3::xxh3_64(self.report.text().as_bytes()),
            defaults: self.defaults,
            aliases: self.aliases,
            families: self.families,
            spans: self.spans,
            rules: self.rules,
            tests: self.tests,
            warnings: self.report.finish(),
            types: TypeCache::default(),
        };
        set.seed();
        Ok(set)
    }

    fn defaults(&mut self, node: &Node) {
        let report = &mut self.report;
        let Some(table) = Table::new(node, node.at, DEFAULT_KEYS, report) else { return };
        let base = Defaults::default();
        let ttl = table.duration("ttl", report);
        self.defaults = Defaults {
            limit: table.count("limit", report).unwrap_or(base.limit),
            missing: table.text("missing", report).map_or(base.missing, str::to_owned),
            dedup: table.duration("dedup", report).unwrap_or(base.dedup),
            ttl,
            forget: table.duration("forget", report),
            zero_first: table.bool("zero_first", report).unwrap_or(base.zero_first),
            max_label_bytes: table.count("max_label_bytes", report).unwrap_or(base.max_label_bytes),
        };
    }

    fn maps(&mut self, node: &Node) {
        for (name, node) in table::entries(node, &mut self.report).unwrap_or_default() {
            if template::filter_names().any(|it| it == name.name) {
                let message = format!("`{}` is a filter that is built in", name.name);
                self.report.error(name.at, message);
            }
            let map = self.map(node);
            self.unused.insert(format!("the map `{}`", name.name), name.at);
            self.maps.insert(name.name.clone(), Arc::new(map));
        }
    }

    fn map(&mut self, node: &Node) -> ValueMap {
        let mut map = ValueMap::default();
        for (output, node) in table::entries(node, &mut self.report).unwrap_or_default() {
            if output.name.is_empty() {
                self.report.error(output.at, "the word is empty");
            }
            if output.name == "_" {
                match table::text(node, &mut self.report) {
                    Some("") => self.report.error(node.at, "the word is empty"),
                    Some(it) => map.set_default(it),
                    None => {}
                }
                continue;
            }
            for pattern in table::one_or_many(node) {
                let Some(text) = table::text(pattern, &mut self.report) else { continue };
                if let Err((at, message)) = map.add(&output.name, text) {
                    let at = pattern.place_of(at, self.report.text());
                    self.report.error(at, format!("no glob: {message}"));
                }
            }
        }
        map
    }

    /// Inside `fields:` every name is one of the event: aliases cannot go in circles.
    fn fields(&mut self, node: &Node) {
        let mut aliases = Vec::new();
        for (name, node) in table::entries(node, &mut self.report).unwrap_or_default() {
            if !crate::labels::is_label_name(&name.name) || lint::is_envelope(&name.name) {
                let message = format!("`{}` cannot be the name of a field", name.name);
                self.report.error(name.at, message);
            }
            let mut templates = Vec::new();
            for item in table::one_or_many(node) {
                let template = self.template(item, false, false);
                self.no_limit(template.as_ref(), item.at);
                templates.extend(template);
            }
            self.unused.insert(format!("the field `{}`", name.name), name.at);
            aliases.push(Alias { name: name.name.clone(), templates });
        }
        self.aliases = aliases;
    }

    /// Compiles a template and marks what it uses.
    fn template(&mut self, node: &Node, key: bool, item: bool) -> Option<Template> {
        let text = table::text(node, &mut self.report)?;
        let names = Names { maps: &self.maps, aliases: &self.aliases, key, item };
        match template::parse(text, names) {
            Ok(it) => {
                self.mark(it.used_maps().map(|it| format!("the map `{it}`")).collect());
                let aliases = it.used_aliases().filter_map(|at| self.aliases.get(at));
                self.mark(aliases.map(|it| format!("the field `{}`", it.name)).collect());
                Some(it)
            }
            Err(error) => {
                let at = node.place_of(error.offset, self.report.text());
                self.report.error(at, error.message);
                None
            }
        }
    }

    /// `| limit(n)` says something about labels only.
    fn no_limit(&mut self, template: Option<&Template>, at: Place) {
        if template.is_some_and(|it| it.fields().any(|it| it.limit().is_some())) {
            self.report.error(at, "`limit` bounds the values of a label: put it there");
        }
    }

    fn mark(&mut self, used: HashSet<String>) {
        for it in used {
            self.unused.remove(&it);
        }
    }

    /// Compiles a selector or a list of them.
    fn selectors(&mut self, node: &Node) -> Vec<Selector> {
        let mut res = Vec::new();
        if table::one_or_many(node).is_empty() {
            self.report.error(node.at, "expected a selector");
        }
        for node in table::one_or_many(node) {
            let Some(text) = table::text(node, &mut self.report) else { continue };
            match Selector::parse(text) {
                Ok(mut selector) => {
                    let names: Vec<_> = self.aliases.iter().map(|it| it.name.as_str()).collect();
                    selector.bind(&names);
                    let used = selector.bound().filter_map(|it| self.aliases.get(it));
                    self.mark(used.map(|it| format!("the field `{}`", it.name)).collect());
                    self.globs.push((selector.type_glob().clone(), node.at));
                    res.push(selector);
                }
                Err(error) => {
                    let at = node.place_of(error.offset, self.report.text());
                    self.report.error(at, error.message);
                }
            }
        }
        res
    }

    /// Compiles a value: a number, a template, or a list of which the first number counts.
    fn value(&mut self, node: &Node, key: bool, item: bool) -> Option<Value> {
        if let Kind::Number(text) = &node.kind {
            let number = text.parse().ok().filter(|it: &f64| it.is_finite());
            if number.is_none() {
                self.report.error(node.at, "expected a finite decimal number");
            }
            return number.map(Value::Number);
        }
        let nodes = table::one_or_many(node);
        if nodes.is_empty() {
            self.report.error(node.at, "expected a value");
        }
        let templates: Vec<_> =
            nodes.iter().filter_map(|it| self.template(it, key, item)).collect();
        for (template, node) in templates.iter().zip(nodes) {
            self.no_limit(Some(template), node.at);
            let literal = template.literal().map(Text::borrowed);
            if literal.is_some_and(|it| template::number(&it).is_err()) {
                let message = "expected a number or a template such as `$field`";
                self.report.error(node.at, message);
            }
        }
        (templates.len() == nodes.len()).then_some(Value::First(templates))
    }

    /// What the selectors mean, for a fingerprint.
    fn canonical_selectors(&self, selectors: &[Selector], out: &mut String) {
        for selector in selectors {
            out.push_str(&selector.to_string());
            for alias in selector.bound().filter_map(|it| self.aliases.get(it)) {
                alias.templates.iter().for_each(|it| it.canonical(&self.aliases, out));
            }
            out.push('\n');
        }
    }

    fn canonical_value(&self, value: &Value, out: &mut String) {
        match value {
            Value::Number(it) => out.push_str(&it.to_string()),
            Value::First(it) => it.iter().for_each(|it| it.canonical(&self.aliases, out)),
        }
        out.push('\n');
    }

    fn canonical_labels<'l>(
        &self,
        labels: impl Iterator<Item = (&'l String, &'l Template)>,
        out: &mut String,
    ) {
        for (name, template) in labels {
            out.push_str(name);
            out.push('=');
            template.canonical(&self.aliases, out);
            out.push('\n');
        }
    }
}

/// The type of a family and its buckets, for a fingerprint.
fn canonical_kind(kind: &FamilyKind) -> String {
    match kind {
        FamilyKind::Counter => "counter\n".to_owned(),
        FamilyKind::Gauge => "gauge\n".to_owned(),
        FamilyKind::SpanGauge(_, it) => format!("{it:?}\n"),
        FamilyKind::Histogram(it) => {
            let native = it.native.map(|it| (it.schema, it.zero_threshold, it.max_buckets));
            format!("histogram {:?} {native:?}\n", it.bounds)
        }
    }
}

fn hash(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

/// Names for a message, with a hint.
fn unknown(what: &str, name: &str, known: &[String]) -> String {
    let hint = did_you_mean(name, known.iter().map(String::as_str));
    format!("no {what} is called `{name}`{hint}")
}

/// Every key that a file may have anywhere.
#[cfg(test)]
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    let lists = [
        FILE_KEYS,
        DEFAULT_KEYS,
        metric::METRIC_KEYS,
        metric::UPDATE_KEYS,
        histogram::NATIVE_KEYS,
        span::SPAN_KEYS,
        cases::TEST_KEYS,
        cases::EVENT_KEYS,
    ];
    lists.into_iter().flatten().copied()
}
