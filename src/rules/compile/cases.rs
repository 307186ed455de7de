//! Entries of `tests:`.

use super::Compiler;
use crate::event::{Time, TraceContext};
use crate::labels;
use crate::rules::cases::{Expected, RuleTest, TestEvent};
use crate::rules::table::{self, Table};
use crate::yaml::{Kind, Node, Place};

pub(super) const TEST_KEYS: &[&str] = &["name", "events", "expect"];
pub(super) const EVENT_KEYS: &[&str] = &[
    "id",
    "type",
    "event_type",
    "source",
    "time",
    "timestamp",
    "subject",
    "trace_id",
    "span_id",
    "data",
];

impl Compiler<'_> {
    pub(super) fn tests(&mut self, node: &Node) {
        for node in table::items(node, &mut self.report) {
            let Some(table) = Table::new(node, node.at, TEST_KEYS, &mut self.report) else {
                continue;
            };
            let name = table.text("name", &mut self.report).unwrap_or_default().to_owned();
            if name.is_empty() {
                self.report.error(node.at, "`name` is missing: say what must hold");
            }
            let events = match table.get("events") {
                Some(it) => table::items(it, &mut self.report)
                    .iter()
                    .filter_map(|it| self.test_event(it))
                    .collect(),
                None => Vec::new(),
            };
            if events.is_empty() {
                self.report.error(table.key_at("events"), "the test has no events");
            }
            let expect = table.text("expect", &mut self.report).unwrap_or_default().to_owned();
            let at = table.get("expect").map_or(node.at, |it| it.at);
            let expected = self.expected(&expect, at);
            self.tests.push(RuleTest { name, events, expect, expected });
        }
    }

    fn test_event(&mut self, node: &Node) -> Option<TestEvent> {
        let report = &mut self.report;
        let table = Table::new(node, node.at, EVENT_KEYS, report)?;
        let event_type = table.text("type", report).or_else(|| table.text("event_type", report));
        if event_type.is_none_or(str::is_empty) {
            report.error(node.at, "`type` is missing");
        }
        let time_text = table.text("time", report).or_else(|| table.text("timestamp", report));
        let time = time_text.and_then(|it| Time::parse(it).ok());
        if time.is_none() && time_text.is_some() {
            report.error(table.key_at("time"), "no time: write it as `2026-01-05T10:00:00Z`");
        }
        let trace = table.text("trace_id", report).and_then(|it| {
            let trace = TraceContext::parse(it, table.text("span_id", report));
            if trace.is_none() {
                report.error(table.key_at("trace_id"), "a trace id has 32 hexadecimal digits");
            }
            trace
        });
        let mut data = String::new();
        match table.get("data") {
            Some(node) if matches!(node.kind, Kind::Map(_)) => json(node, &mut data),
            Some(node) => report.error(node.at, "`data` is a map"),
            None => data.push_str("{}"),
        }
        Some(TestEvent {
            id: table.text("id", report).map(str::to_owned),
            event_type: event_type?.to_owned(),
            source: table.text("source", report).unwrap_or("test").to_owned(),
            time,
            subject: table.text("subject", report).map(str::to_owned),
            trace,
            data,
        })
    }

    /// Reads lines such as `name{label="value"} 1`.
    fn expected(&mut self, text: &str, at: Place) -> Vec<Expected> {
        let lines = text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#'));
        let mut res = Vec::new();
        for line in lines {
            match expected_line(line) {
                Some(it) => res.push(it),
                None => {
                    let message = format!("no series and value: `{line}`");
                    self.report.error(at, message);
                }
            }
        }
        if res.is_empty() {
            self.report.error(at, "the test expects nothing");
        }
        res
    }
}

fn expected_line(line: &str) -> Option<Expected> {
    let (series, value) = line.rsplit_once(char::is_whitespace)?;
    let series = series.trim();
    let (name, block) = match series.find('{') {
        Some(at) => series.split_at_checked(at)?,
        None => (series, ""),
    };
    if !labels::is_metric_name(name) || (!block.is_empty() && !block.ends_with('}')) {
        return None;
    }
    let value = if value == "absent" { None } else { Some(value.parse().ok()?) };
    Some(Expected { name: name.to_owned(), labels: Expected::sorted(block), value })
}

/// Writes a node as JSON.
fn json(node: &Node, out: &mut String) {
    match &node.kind {
        Kind::Null => out.push_str("null"),
        Kind::Bool(it) => out.push_str(if *it { "true" } else { "false" }),
        Kind::Text(it) => json_text(it, out),
        Kind::Number(it) => {
            // YAML knows more spellings of numbers than JSON, such as `.5`, `+1` and `0x1f`.
            if serde_json::from_str::<serde_json::Number>(it).is_ok() {
                out.push_str(it);
            } else {
                json_text(it, out);
            }
        }
        Kind::List(items) => {
            for (i, it) in items.iter().enumerate() {
                out.push(if i == 0 { '[' } else { ',' });
                json(it, out);
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Kind::Map(entries) => {
            for (i, (key, it)) in entries.iter().enumerate() {
                out.push(if i == 0 { '{' } else { ',' });
                json_text(&key.name, out);
                out.push(':');
                json(it, out);
            }
            out.push_str(if entries.is_empty() { "{}" } else { "}" });
        }
    }
}

fn json_text(text: &str, out: &mut String) {
    // A string cannot fail to serialise.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}
