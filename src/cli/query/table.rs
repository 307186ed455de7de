//! Events as lines for people.

use super::listing::{Event, View};
use crate::cli::{Error, Session};
use crate::event::{Fields, Value};
use std::fmt::Write;

/// Writes a line per event, in columns.
#[derive(Debug)]
pub(super) struct Table {
    /// Characters of a line; `None`: as many as it takes.
    width: Option<usize>,
    colour: bool,
    has_head: bool,
    /// The widths of the columns `type` and `source`: they only grow.
    columns: (usize, usize),
}

/// What tells the most about an event stands first; the rest follows as it was sent.
const FIRST: &[&str] = &[
    "status",
    "project",
    "repository",
    "name",
    "service",
    "environment",
    "branch",
    "agent_id",
    "agent",
    "error",
    "message",
    "duration_seconds",
];
/// Columns are not made wider than this by one long name.
const WIDEST: usize = 32;
/// Characters of one value, so that others have room.
const LONGEST: usize = 48;
const TIME: usize = "2026-01-05 10:00:00.000".len();

const GREY: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const BLUE: &str = "\x1b[1;34m";
const MAGENTA: &str = "\x1b[1;35m";
const YELLOW: &str = "\x1b[1;33m";
const BOLD_RED: &str = "\x1b[1;31m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const RESET: &str = "\x1b[0m";

impl Table {
    /// A table for whoever looks at the results.
    pub(super) fn of(session: &Session) -> Self {
        Self {
            width: session.width(),
            colour: session.colour_out(),
            has_head: false,
            columns: ("TYPE".len(), "SOURCE".len()),
        }
    }

    /// Adds `events` to `text`; the head first, if this is the beginning.
    pub(super) fn rows(&mut self, events: &[Event], text: &mut String) -> Result<(), Error> {
        let views: Vec<_> = events.iter().map(Event::view).collect::<Result<_, _>>()?;
        // On a narrow terminal the data would have no room behind long names.
        let part = |of: usize| self.width.map_or(WIDEST, |it| (it / of).clamp(8, WIDEST));
        let (kind_most, source_most) = (part(4), part(5));
        for it in &views {
            let (kind, source) = &mut self.columns;
            *kind = (*kind).max(clean(&it.event_type).chars().count()).min(kind_most);
            *source = (*source).max(clean(&it.source).chars().count()).min(source_most);
        }
        if !views.is_empty() && !std::mem::replace(&mut self.has_head, true) {
            let (kind, source) = self.columns;
            let head =
                format!("{:TIME$}  {:kind$}  {:source$}  DATA", "TIME (UTC)", "TYPE", "SOURCE");
            self.paint(GREY, &head, text);
            text.push('\n');
        }
        for it in &views {
            self.row(it, text);
            text.push('\n');
        }
        Ok(())
    }

    fn row(&self, view: &View<'_>, text: &mut String) {
        let (kind, source) = self.columns;
        self.paint(GREY, &time(&view.timestamp), text);
        text.push_str("  ");
        self.paint(class(&view.event_type), &padded(&view.event_type, kind), text);
        text.push_str("  ");
        text.push_str(&padded(&view.source, source));
        let used = TIME + 2 + kind + 2 + source;
        let mut left = self.width.map_or(usize::MAX, |it| it.saturating_sub(used));
        for (name, value) in members(view.data.map_or("{}", |it| it.get())) {
            let shown = format!("{}={}", clean(&name), shown(&value, self.width.is_some()));
            // Two columns before it and, if it is cut, the mark.
            if left < 6 {
                break;
            }
            let cut = cut(&shown, left - 2);
            left -= 2 + cut.chars().count();
            text.push_str("  ");
            self.paint(colour(&name, &value), &cut, text);
        }
    }

    fn paint(&self, colour: &str, what: &str, text: &mut String) {
        if self.colour && !colour.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{colour}{what}{RESET}");
        } else {
            text.push_str(what);
        }
    }
}

/// The members of the data, the telling ones first; each once, with its last value. Empty ones tell nothing.
fn members(data: &str) -> Vec<(String, Value<'_>)> {
    let Ok(fields) = Fields::parse(data) else { return Vec::new() };
    let mut members: Vec<(String, Value<'_>)> = Vec::new();
    for (name, value) in fields.iter() {
        members.retain(|it| it.0 != name);
        members.push((name.to_owned(), value.clone()));
    }
    members.retain(|(_, value)| !is_empty(value));
    let rank = |name: &str| FIRST.iter().position(|it| *it == name).unwrap_or(FIRST.len());
    let nested = |value: &Value<'_>| matches!(value, Value::Array(_) | Value::Object(_));
    // Stable: what has the same rank stays as it was sent.
    members.sort_by_key(|(name, value)| (nested(value), rank(name)));
    members
}

fn is_empty(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::String(it) => it.is_empty(),
        _ => false,
    }
}

fn shown(value: &Value<'_>, short: bool) -> String {
    let text = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(it) => it.to_string(),
        Value::Number(it) | Value::Array(it) | Value::Object(it) => clean(it),
        Value::String(it) => {
            let plain = it.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '"');
            if plain { clean(it) } else { format!("\"{}\"", clean(it)) }
        }
    };
    if short { cut(&text, LONGEST) } else { text }
}

/// The colour of a type, by its first word: those of one subject are told apart from others at a glance.
fn class(event_type: &str) -> &'static str {
    let word = event_type.split(['_', '.', '-', '/']).next().unwrap_or_default();
    match word {
        "ci" | "build" | "planning" => BLUE,
        "deployment" | "deploy" | "orchestration" => GREEN,
        "quality" | "test" | "context" => MAGENTA,
        "agent" | "workflow" | "tool" => YELLOW,
        "alert" | "alerts" | "incident" => BOLD_RED,
        _ => BOLD,
    }
}

fn colour(name: &str, value: &Value<'_>) -> &'static str {
    let Value::String(value) = value else { return "" };
    let value = value.to_ascii_lowercase();
    let is = |marks: &[&str]| marks.iter().any(|it| value.starts_with(it));
    match name {
        "status" | "result" | "conclusion" if is(&["succ", "pass", "ok", "green"]) => GREEN,
        "status" | "result" | "conclusion" if is(&["fail", "err", "broken", "red"]) => RED,
        "error" => RED,
        _ => "",
    }
}

/// Without anything that a terminal would obey: what senders say is not to be trusted.
pub(super) fn clean(text: &str) -> String {
    let mut res = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => res.push_str("\\n"),
            '\t' => res.push_str("\\t"),
            // Marks that turn the direction of writing are no control characters to Unicode.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => res.extend(c.escape_unicode()),
            c if c.is_control() => res.extend(c.escape_unicode()),
            c => res.push(c),
        }
    }
    res
}

fn padded(text: &str, width: usize) -> String {
    format!("{:width$}", cut(&clean(text), width))
}

/// At most `width` characters, the last of which says that there are more.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut res: String = text.chars().take(width.saturating_sub(1)).collect();
    res.push('…');
    res
}

/// `2026-01-05 10:00:00.123` of an RFC 3339 time in UTC.
pub(super) fn time(text: &str) -> String {
    let text = clean(text.trim_end_matches('Z')).replacen('T', " ", 1);
    let (seconds, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let millis: String = decimals.chars().chain("000".chars()).take(3).collect();
    format!("{seconds}.{millis}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(width: Option<usize>, colour: bool, events: &[&str]) -> Vec<String> {
        let events: Vec<Event> = events
            .iter()
            .map(|data| {
                let event = format!(
                    r#"{{"timestamp":"2026-01-05T10:00:00.5Z","event_type":"t","source":"s","data":{data},"sequence":1}}"#
                );
                serde_json::from_str(&event).unwrap()
            })
            .collect();
        let mut table = Table { width, colour, has_head: false, columns: (4, 6) };
        let mut text = String::new();
        table.rows(&events, &mut text).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn long_names_leave_room() {
        let event = r#"{"timestamp":"2026-01-05T10:00:00Z","event_type":"a_very_long_name_of_a_type",
            "source":"a/very/long/source","data":{"status":"ok"},"sequence":1}"#;
        let events: Vec<Event> = vec![serde_json::from_str(event).unwrap()];
        let mut table = Table { width: Some(80), colour: false, has_head: true, columns: (4, 6) };
        let mut text = String::new();
        table.rows(&events, &mut text).unwrap();
        assert_eq!(
            text,
            "2026-01-05 10:00:00.000  a_very_long_name_of…  a/very/long/sou…  status=ok\n"
        );
    }

    const START: &str = "2026-01-05 10:00:00.500  t     s     ";

    #[track_caller]
    fn check(width: Option<usize>, data: &str, expected: &str) {
        let lines = lines(width, false, &[data]);
        assert_eq!(lines[0], "TIME (UTC)               TYPE  SOURCE  DATA");
        assert_eq!(lines[1], format!("{START}{expected}"));
        if let Some(width) = width {
            assert!(lines[1].chars().count() <= width, "{lines:?}");
        }
    }

    #[test]
    fn what_tells_the_most_stands_first() {
        check(
            None,
            r#"{"z":{"a":[1]},"n":1.50,"build":"7 a","project":"web","gone":null,"none":"","status":"ok"}"#,
            "  status=ok  project=web  n=1.50  build=\"7 a\"  z={\"a\":[1]}",
        );
        check(None, r#"{"a":1,"b":2,"a":3}"#, "  b=2  a=3");
        check(None, "{}", "");
    }

    #[test]
    fn a_line_is_as_wide_as_the_terminal() {
        check(Some(60), r#"{"status":"ok","project":"web-frontend"}"#, "  status=ok  project=w…");
        check(Some(52), r#"{"status":"ok","project":"web-frontend"}"#, "  status=ok");
        check(Some(40), r#"{"status":"ok"}"#, "");
        let long = "x".repeat(100);
        let data = format!(r#"{{"message":"{long}","n":1}}"#);
        check(Some(200), &data, &format!("  message={}…  n=1", "x".repeat(47)));
        check(None, &data, &format!("  message={long}  n=1"));
    }

    #[test]
    fn a_terminal_is_told_nothing() {
        let data = r#"{"a\u001b[2J":"\u001b]0;x\u0007","b":"\u202e1\n2"}"#;
        check(None, data, "  a\\u{1b}[2J=\"\\u{1b}]0;x\\u{7}\"  b=\"\\u{202e}1\\n2\"");
    }

    #[test]
    fn colours_are_for_terminals() {
        let lines = lines(None, true, &[r#"{"status":"failure","n":1}"#]);
        assert!(lines[1].ends_with("  \x1b[31mstatus=failure\x1b[0m  n=1"), "{lines:?}");
        assert!(lines[0].starts_with("\x1b[2mTIME"), "{lines:?}");
    }

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(time("2026-01-05T10:00:00Z"), "2026-01-05 10:00:00.000");
        assert_eq!(time("2026-01-05T10:00:00.123456789Z"), "2026-01-05 10:00:00.123");
    }
}
