//! Events as text to be kept elsewhere: lines of JSON, an array of JSON, or comma-separated values.
//!
//! An object is what `POST /api/v1/events` takes back, the id included, so that what was exported can be
//! imported, here or elsewhere, and counts once. CSV is RFC 4180: for spreadsheets and databases.

use crate::event::{Event, Value};
use crate::selector::{DataPath, Lookup, Path, SyntaxError, View};
use std::io::Write;

/// How events are written.
#[derive(Clone, Debug)]
pub enum Format {
    /// An object per line.
    Ndjson,
    /// An array of the same objects.
    Json,
    /// A header, then a record per event, each ended by CR LF.
    Csv(Vec<Column>),
}

/// A column of CSV.
#[derive(Clone, Debug)]
pub struct Column {
    name: String,
    field: Field,
}

#[derive(Clone, Debug)]
enum Field {
    Sequence,
    Received,
    SpanId,
    Data,
    At(Path),
}

/// Writes events one after the other.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    events: u64,
}

/// The columns if none were chosen.
const COLUMNS: [&str; 8] =
    ["id", "sequence", "event_type", "source", "subject", "timestamp", "received_at", "data"];

// === impl Format ===

impl Format {
    /// CSV with the columns that hold everything, the data as JSON.
    #[must_use]
    pub fn csv() -> Self {
        Self::Csv(COLUMNS.into_iter().filter_map(|it| Column::parse(it).ok()).collect())
    }

    /// What is written when an export breaks off, so that the text cannot be taken for a whole one.
    #[must_use]
    pub fn broken(&self) -> &'static [u8] {
        match self {
            // No line is ended, and no object.
            Self::Ndjson => b"{\"error\":\"the export broke off here",
            // The array is never closed.
            Self::Json => b"",
            // The quotes are never closed.
            Self::Csv(_) => b"\"the export broke off here",
        }
    }
}

// === impl Column ===

impl Column {
    /// The column called `text`: a member of an exported event, or a path as in selectors.
    ///
    /// # Errors
    ///
    /// It is neither.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let field = match text {
            "sequence" => Field::Sequence,
            "received_at" => Field::Received,
            "span_id" => Field::SpanId,
            "data" => Field::Data,
            "event_type" => Field::At(Path::Type),
            "timestamp" => Field::At(Path::Time),
            _ => Field::At(Path::parse(text)?),
        };
        Ok(Self { name: text.to_owned(), field })
    }
}

// === impl Encoder ===

impl Encoder {
    /// An encoder that has written nothing yet.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, events: 0 }
    }

    /// Appends what comes before the first event.
    pub fn begin(&self, out: &mut Vec<u8>) {
        match &self.format {
            Format::Ndjson => {}
            Format::Json => out.push(b'['),
            Format::Csv(columns) => record(out, columns, |out, it| push_field(out, &it.name)),
        }
    }

    /// Appends an event.
    pub fn event(&mut self, out: &mut Vec<u8>, sequence: u64, event: &Event<'_>) {
        match &self.format {
            Format::Ndjson => {
                push_object(out, sequence, event);
                out.push(b'\n');
            }
            Format::Json => {
                out.extend_from_slice(if self.events == 0 { b"\n" } else { b",\n" });
                push_object(out, sequence, event);
            }
            Format::Csv(columns) => {
                let view = View::new(event);
                record(out, columns, |out, it| it.field.push(out, sequence, &view));
            }
        }
        self.events += 1;
    }

    /// Appends what comes after the last event.
    pub fn end(&self, out: &mut Vec<u8>) {
        if let Format::Json = self.format {
            out.extend_from_slice(b"\n]\n");
        }
    }
}

// === JSON ===

fn push_object(out: &mut Vec<u8>, sequence: u64, event: &Event<'_>) {
    out.extend_from_slice(b"{\"id\":");
    push_text(out, &event.id.to_string());
    out.extend_from_slice(b",\"event_type\":");
    push_text(out, &event.event_type);
    out.extend_from_slice(b",\"source\":");
    push_text(out, &event.source);
    if let Some(subject) = &event.subject {
        out.extend_from_slice(b",\"subject\":");
        push_text(out, subject);
    }
    push(out, format_args!(",\"timestamp\":\"{}\"", event.time));
    if let Some(trace) = &event.trace {
        push(out, format_args!(",\"trace_id\":\"{:032x}\"", trace.trace_id));
        if let Some(span) = trace.span_id {
            push(out, format_args!(",\"span_id\":\"{span:016x}\""));
        }
    }
    push(out, format_args!(",\"received_at\":\"{}\",\"sequence\":{sequence}", event.received));
    out.extend_from_slice(b",\"data\":");
    push_data(out, &event.data);
    out.push(b'}');
}

/// Data as it was sent, on one line: between the tokens of JSON, where alone there can be line breaks, a
/// space does the same.
fn push_data(out: &mut Vec<u8>, data: &str) {
    let start = out.len();
    out.extend_from_slice(data.as_bytes());
    if memchr::memchr2(b'\n', b'\r', data.as_bytes()).is_some() {
        let breaks = out.iter_mut().skip(start).filter(|it| matches!(it, b'\n' | b'\r'));
        breaks.for_each(|it| *it = b' ');
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    // A vector takes everything, and a text is always JSON.
    let _ = serde_json::to_writer(out, text);
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A vector takes everything.
    let _ = out.write_fmt(text);
}

// === CSV ===

fn record(out: &mut Vec<u8>, columns: &[Column], mut push: impl FnMut(&mut Vec<u8>, &Column)) {
    let start = out.len();
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push(out, column);
    }
    if out.len() == start {
        // An empty line would be skipped by those who read it.
        out.extend_from_slice(b"\"\"");
    }
    out.extend_from_slice(b"\r\n");
}

impl Field {
    fn push(&self, out: &mut Vec<u8>, sequence: u64, view: &View<'_>) {
        let event = view.event();
        match self {
            Self::Sequence => push(out, format_args!("{sequence}")),
            Self::Received => push(out, format_args!("{}", event.received)),
            Self::SpanId => {
                if let Some(it) = event.trace.and_then(|it| it.span_id) {
                    push(out, format_args!("{it:016x}"));
                }
            }
            Self::Data => push_field(out, &event.data),
            Self::At(Path::Data(path)) => push_value(out, view, path),
            Self::At(path) => push_field(out, &view.text(path).as_str()),
        }
    }
}

/// A value of the data: scalars as selectors see them, arrays and objects as JSON.
fn push_value(out: &mut Vec<u8>, view: &View<'_>, path: &DataPath) {
    match view.value(path).as_deref() {
        Some(Value::Array(it) | Value::Object(it)) => push_field(out, it),
        Some(it) => push_field(out, it.text().unwrap_or_default()),
        None => {}
    }
}

fn push_field(out: &mut Vec<u8>, text: &str) {
    if !text.contains([',', '"', '\r', '\n']) {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    for (i, part) in text.split('"').enumerate() {
        if i > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, Time, TraceContext};
    use proptest::prelude::*;

    fn event(id: &str, data: &str) -> Event<'static> {
        Event {
            id: EventId::Given(id.to_owned().into()),
            event_type: "t,1".into(),
            source: "say \"s\"".into(),
            time: Time::from_nanos(1_767_607_200_000_000_001),
            received: Time::from_millis(1_767_607_200_500),
            time_clamped: false,
            subject: None,
            trace: None,
            data: data.to_owned().into(),
        }
    }

    fn written(format: Format, events: &[Event<'_>]) -> String {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(format);
        encoder.begin(&mut out);
        for (sequence, it) in (7..).zip(events) {
            encoder.event(&mut out, sequence, it);
        }
        encoder.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn columns(names: &[&str]) -> Format {
        Format::Csv(names.iter().map(|it| Column::parse(it).unwrap()).collect())
    }

    #[test]
    fn lines() {
        let mut full = event("a\"b", "{\"n\": 1,\r\n\"s\":\"x\\ny\"}");
        full.subject = Some("sub".into());
        full.trace = Some(TraceContext { trace_id: 0xabc, span_id: Some(1) });
        assert_eq!(
            written(Format::Ndjson, &[event("1", "{}"), full]),
            concat!(
                r#"{"id":"1","event_type":"t,1","source":"say \"s\"","timestamp":"2026-01-05T10:00:00.000000001Z","#,
                r#""received_at":"2026-01-05T10:00:00.5Z","sequence":7,"data":{}}"#,
                "\n",
                r#"{"id":"a\"b","event_type":"t,1","source":"say \"s\"","subject":"sub","timestamp":"2026-01-05T10:00:00.000000001Z","#,
                r#""trace_id":"00000000000000000000000000000abc","span_id":"0000000000000001","#,
                r#""received_at":"2026-01-05T10:00:00.5Z","sequence":8,"data":{"n": 1,  "s":"x\ny"}}"#,
                "\n",
            )
        );
        assert_eq!(written(Format::Ndjson, &[]), "");
    }

    #[test]
    fn an_array() {
        assert_eq!(written(Format::Json, &[]), "[\n]\n");
        let text = written(Format::Json, &[event("1", "{}"), event("2", "{}")]);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&json[0]["id"], &json[1]["sequence"]), (&"1".into(), &8.into()));
    }

    #[test]
    fn records() {
        assert_eq!(
            written(Format::csv(), &[event("1", r#"{"a":"x,y"}"#)]),
            concat!(
                "id,sequence,event_type,source,subject,timestamp,received_at,data\r\n",
                r#"1,7,"t,1","say ""s""",,2026-01-05T10:00:00.000000001Z,2026-01-05T10:00:00.5Z,"{""a"":""x,y""}""#,
                "\r\n",
            )
        );
        let data = r#"{"a":"line\nbreak","n":1.50,"o":{"b":[1,2]},"z":null}"#;
        let format = columns(&[
            "data.a", "n", "o", "o.b[1]", "z", "gone", "type", "time", "trace_id", "span_id",
        ]);
        assert_eq!(
            written(format, &[event("1", data)]),
            concat!(
                "data.a,n,o,o.b[1],z,gone,type,time,trace_id,span_id\r\n",
                "\"line\nbreak\",1.50,\"{\"\"b\"\":[1,2]}\",2,,,\"t,1\",2026-01-05T10:00:00.000000001Z,,\r\n",
            )
        );
        assert_eq!(written(columns(&["gone"]), &[event("1", "{}")]), "gone\r\n\"\"\r\n");
        assert!(Column::parse("a..b").is_err());
    }

    /// The fields of a record, read by the rules of RFC 4180.
    fn read_record(text: &str) -> Vec<String> {
        let mut fields = vec![String::new()];
        let mut chars = text.strip_suffix("\r\n").unwrap().chars().peekable();
        let mut quoted = false;
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    fields.last_mut().unwrap().push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                c => fields.last_mut().unwrap().push(c),
            }
        }
        assert!(!quoted);
        fields
    }

    proptest! {
        #[test]
        fn any_text_reads_back_from_csv(a: String, b in "[\",\r\n a-z]*") {
            let mut out = Vec::new();
            push_field(&mut out, &a);
            out.push(b',');
            push_field(&mut out, &b);
            out.extend_from_slice(b"\r\n");
            prop_assert_eq!(read_record(&String::from_utf8(out).unwrap()), vec![a, b]);
        }
    }
}
