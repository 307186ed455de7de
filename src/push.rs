//! What a push says, in the dialects of the Pushgateway: the path becomes a [`Grouping`], the body
//! becomes [`Family`]s. Pure: bytes in, values out.
//!
//! Whatever is wrong is refused here with the words that the Pushgateway has for it, before anything is
//! stored; what only the stored groups can tell (types, series and names that collide) is not looked at.

mod cursor;
mod family;
mod open_metrics;
mod path;
mod protobuf;
mod raw;
mod text;
mod wire;

pub use family::{Bucket, Exemplar, Family, Histogram, Metric, Native, Summary, Timestamp, Value};
pub use path::{
    Grouping, Options, PathError, grouping, is_jobless_push, is_push, jobless_grouping,
};
pub use raw::{RawError, RawFamily, RawMetric, raw_families};

/// What a body may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Samples in all, buckets and quantiles counted. Default 500 000.
    pub samples: usize,
    /// Labels of one sample. Default 128.
    pub labels: usize,
    /// Bytes of a metric's or a label's name. Default 1 KiB.
    pub name_bytes: usize,
    /// Bytes of a label's value. Default 64 KiB.
    pub value_bytes: usize,
    /// Bytes of a help text. Default 64 KiB.
    pub help_bytes: usize,
    /// Bytes that one message of a protobuf body may announce. Default 10 MiB.
    pub message_bytes: usize,
}

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is malformed. The text is the Pushgateway's.
    #[error("{0}")]
    Malformed(String),
    /// It holds more than a limit allows.
    #[error("{0}")]
    TooLarge(String),
}

/// Reads a body: delimited protobuf or OpenMetrics if `content_type` says so, text 0.0.4 otherwise. The
/// families are in the order of their first appearance; those without samples are left out. `utf8` is
/// whether names outside of the legacy character set are let in by the text formats; protobuf always
/// lets them in.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub fn families(
    body: &[u8],
    content_type: Option<&str>,
    utf8: bool,
    limits: &Limits,
) -> Result<Vec<Family>, BodyError> {
    match Dialect::of(content_type.unwrap_or_default()) {
        Dialect::Text => text::read(body, utf8, limits),
        Dialect::Protobuf => protobuf::read(body, limits),
        Dialect::OpenMetrics => open_metrics::read(body, limits),
    }
}

/// `body` with the line ends that the text format wants, where it has those of Windows or none at the end;
/// `None` if it has them, or `content_type` says that it is no text. No value is changed: a line end stands in
/// none.
#[must_use]
pub fn mended(body: &[u8], content_type: Option<&str>) -> Option<Vec<u8>> {
    let unended = body.last().is_some_and(|it| *it != b'\n');
    let windows = || memchr::memmem::find(body, b"\r\n").is_some();
    let text = Dialect::of(content_type.unwrap_or_default()) == Dialect::Text;
    if !text || !(unended || windows()) {
        return None;
    }
    let mut res = Vec::with_capacity(body.len() + 1);
    for line in body.split(|it| *it == b'\n') {
        res.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        res.push(b'\n');
    }
    // After the last line end there is no line.
    if !unended {
        res.pop();
    }
    Some(res)
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Text,
    Protobuf,
    OpenMetrics,
}

impl Dialect {
    /// The dialect of a media type with its parameters. Everything that says nothing else is text, a
    /// form as well: that is what `curl --data-binary` calls it.
    fn of(content_type: &str) -> Self {
        let mut parts = content_type.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if media.eq_ignore_ascii_case("application/openmetrics-text") {
            return Self::OpenMetrics;
        }
        if !media.eq_ignore_ascii_case("application/vnd.google.protobuf") {
            return Self::Text;
        }
        let (mut proto, mut delimited) = (false, false);
        for (name, value) in parts.filter_map(|it| it.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "proto" => proto = value == "io.prometheus.client.MetricFamily",
                "encoding" => delimited = value == "delimited",
                _ => {}
            }
        }
        if proto && delimited { Self::Protobuf } else { Self::Text }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            samples: 500_000,
            labels: 128,
            name_bytes: 1 << 10,
            value_bytes: 64 << 10,
            help_bytes: 64 << 10,
            message_bytes: 10 << 20,
        }
    }
}

#[cfg(test)]
mod tests;
