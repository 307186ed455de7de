//! Entries of `spans:`.

use super::{Compiler, canonical_kind, hash};
use crate::rules::lint;
use crate::rules::model::{
    Backfill, FamilyKind, FamilySpec, HistogramSpec, Keep, SpanGauge, SpanSpec,
};
use crate::rules::program::{Action, Rule, SpanEdge, SpanEnd};
use crate::rules::table::{self, Table};
use crate::rules::template::Template;
use crate::yaml::{Node, Place};
use std::time::Duration;

/// Spans that may be open at once.
const MAX_OPEN: usize = 10_000;
/// When an open span is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) const SPAN_KEYS: &[&str] = &[
    "help",
    "key",
    "start",
    "end",
    "labels",
    "end_labels",
    "duration",
    "stuck_after",
    "give_up_after",
    "keep",
    "unmatched_end",
    "buckets",
    "native",
    "max_open",
    "limit",
    "zero_first",
    "backfill",
];

/// What the families of a span have in common.
struct Parts {
    name: String,
    help: String,
    at: Place,
    labels: Vec<String>,
    limits: Vec<(usize, usize)>,
    limit: usize,
    zero_first: bool,
    backfill: Option<Backfill>,
    /// Everything that decides what its numbers mean.
    canonical: String,
    histogram: HistogramSpec,
}

/// The compiled templates of a span.
struct Templates {
    key: Template,
    labels: Vec<Template>,
    end: SpanEnd,
}

impl Compiler<'_> {
    pub(super) fn span(&mut self, name: &str, at: Place, node: &Node) {
        lint::span_name(name, at, &mut self.report);
        let Some(table) = Table::new(node, at, SPAN_KEYS, &mut self.report) else { return };
        let help = self.help(table).trim_end_matches('.').to_owned();
        for key in ["key", "start", "end"] {
            if table.get(key).is_none() {
                self.report.error(at, format!("`{key}` is missing"));
            }
        }
        let start = table.get("start").map_or(vec![], |it| self.selectors(it));
        let end = table.get("end").map_or(vec![], |it| self.selectors(it));
        let labels = self.label_list(table.get("labels"));
        let end_labels = self.label_list(table.get("end_labels"));
        for label in end_labels.iter().filter(|it| labels.iter().any(|l| l.name == it.name)) {
            self.report.error(label.at, format!("`{}` is in `labels` already", label.name));
        }
        let Some(key) = table.get("key").and_then(|it| self.template(it, false, false)) else {
            return;
        };
        self.no_limit(Some(&key), table.key_at("key"));
        if key.fields().next().is_none() {
            self.report.error(table.key_at("key"), "the key is the same for every event");
        }
        let duration = table.get("duration").and_then(|it| self.value(it, false, false));
        let templates = Templates {
            key,
            labels: self.label_templates(&labels, false, false),
            end: SpanEnd { labels: self.label_templates(&end_labels, false, false), duration },
        };
        let mut canonical = String::new();
        self.canonical_selectors(&start, &mut canonical);
        canonical.push_str("end\n");
        self.canonical_selectors(&end, &mut canonical);
        let strings = |it: &[super::labels::Label<'_>]| -> Vec<String> {
            it.iter().map(|it| it.name.to_owned()).collect()
        };
        let (names, end_names) = (strings(&labels), strings(&end_labels));
        self.canonical_span(&templates, &names, &end_names, &mut canonical);
        let parts = Parts {
            name: name.to_owned(),
            help,
            at,
            limits: self.label_limits(templates.labels.iter()),
            labels: names,
            limit: table.count("limit", &mut self.report).unwrap_or(self.defaults.limit),
            zero_first: table
                .bool("zero_first", &mut self.report)
                .unwrap_or(self.defaults.zero_first),
            backfill: table.backfill(&mut self.report),
            canonical,
            histogram: self.histogram(&format!("{name}_duration_seconds"), at, table),
        };
        self.span_families(parts, table, end_names, &templates);
        self.span_rules(start, end, templates);
    }

    fn canonical_span(
        &self,
        templates: &Templates,
        labels: &[String],
        end_labels: &[String],
        out: &mut String,
    ) {
        out.push_str("key ");
        templates.key.canonical(&self.aliases, out);
        out.push('\n');
        self.canonical_labels(labels.iter().zip(&templates.labels), out);
        out.push_str("end\n");
        self.canonical_labels(end_labels.iter().zip(&templates.end.labels), out);
        if let Some(it) = &templates.end.duration {
            self.canonical_value(it, out);
        }
    }

    /// Makes the families and the span itself.
    fn span_families(
        &mut self,
        parts: Parts,
        table: Table<'_>,
        end_names: Vec<String>,
        templates: &Templates,
    ) {
        let span = self.spans.len();
        let stuck_after = table.duration("stuck_after", &mut self.report);
        let give_up = table.duration("give_up_after", &mut self.report).unwrap_or(GIVE_UP_AFTER);
        if stuck_after.is_some_and(|it| it >= give_up) {
            let message = "`stuck_after` is not shorter than `give_up_after`";
            self.report.error(table.key_at("stuck_after"), message);
        }
        let keep = self.choice(table, "keep", [("last", Keep::Last), ("first", Keep::First)]);
        let count = self.choice(table, "unmatched_end", [("count", true), ("ignore", false)]);
        let gauge = |it| FamilyKind::SpanGauge(span, it);
        let mut duration = parts.family(
            "duration_seconds",
            "duration",
            FamilyKind::Histogram(parts.histogram.clone()),
        );
        duration.labels.extend(end_names);
        let all = templates.labels.iter().chain(&templates.end.labels);
        duration.label_limits = self.label_limits(all);
        let duration = self.keep(&parts, duration);
        let in_flight = self.keep(
            &parts,
            parts.family("in_flight", "started and not ended", gauge(SpanGauge::InFlight)),
        );
        let stuck = stuck_after.map(|_| {
            let help = "open for longer than is normal";
            self.keep(&parts, parts.family("stuck", help, gauge(SpanGauge::Stuck)))
        });
        let help = "when the oldest open one started";
        let oldest =
            parts.family("oldest_start_timestamp_seconds", help, gauge(SpanGauge::OldestStart));
        let oldest_start = self.keep(&parts, oldest);
        let unmatched_ends = count.unwrap_or(true).then(|| {
            let family = parts.total("unmatched_ends_total", "ends without a start");
            self.keep(&parts, family)
        });
        let abandoned = parts.total("abandoned_total", "given up without an end");
        let abandoned = self.keep(&parts, abandoned);
        self.spans.push(SpanSpec {
            duration,
            in_flight,
            stuck,
            oldest_start,
            unmatched_ends,
            abandoned,
            stuck_after,
            give_up_after: give_up,
            keep: keep.unwrap_or(Keep::Last),
            max_open: table.count("max_open", &mut self.report).unwrap_or(MAX_OPEN),
            fingerprint: hash(&format!("{}{keep:?}", parts.canonical)),
            name: parts.name,
        });
    }

    /// Keeps a family and returns its index.
    fn keep(&mut self, parts: &Parts, family: FamilySpec) -> usize {
        self.families.push(family);
        self.places.push(parts.at);
        self.families.len() - 1
    }

    /// Ends come first: an event that is both ends what is open and starts the next.
    fn span_rules(
        &mut self,
        start: Vec<crate::selector::Selector>,
        end: Vec<crate::selector::Selector>,
        templates: Templates,
    ) {
        let Some(spec) = self.spans.last() else { return };
        let number = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
        let family = number(spec.duration);
        let span = number(self.spans.len() - 1);
        let Templates { key, labels, end: span_end } = templates;
        let edge = SpanEdge { span, family, key, labels, end: None };
        let ending = SpanEdge { end: Some(span_end), ..edge.clone() };
        self.rules.push(Rule { selectors: end, action: Action::Span(ending) });
        self.rules.push(Rule { selectors: start, action: Action::Span(edge) });
    }

    /// One of two words.
    fn choice<T>(&mut self, table: Table<'_>, key: &str, words: [(&str, T); 2]) -> Option<T> {
        let node = table.get(key)?;
        let text = table::text(node, &mut self.report)?;
        let [first, second] = words;
        let message = format!("`{key}` is `{}` or `{}`", first.0, second.0);
        let found = [first, second].into_iter().find(|it| it.0 == text).map(|it| it.1);
        if found.is_none() {
            self.report.error(node.at, message);
        }
        found
    }
}

impl Parts {
    /// A family with the span's labels.
    fn family(&self, suffix: &str, help: &str, kind: FamilyKind) -> FamilySpec {
        let fingerprint = hash(&format!("{}{}", canonical_kind(&kind), self.canonical));
        FamilySpec {
            name: format!("{}_{suffix}", self.name),
            help: format!("{}: {help}.", self.help),
            kind,
            labels: self.labels.clone(),
            siblings: Vec::new(),
            unique_by: Vec::new(),
            label_limits: self.limits.clone(),
            limit: self.limit,
            ttl: None,
            forget: None,
            zero_first: self.zero_first,
            init: Vec::new(),
            backfill: self.backfill,
            fingerprint,
        }
    }

    /// A counter without labels, which is there from the start.
    fn total(&self, suffix: &str, help: &str) -> FamilySpec {
        FamilySpec {
            labels: Vec::new(),
            label_limits: Vec::new(),
            init: vec![String::new()],
            ..self.family(suffix, help, FamilyKind::Counter)
        }
    }
}
