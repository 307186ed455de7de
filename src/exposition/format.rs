//! Which format a client gets.

/// An exposition format: the syntax, and what becomes of names outside of the legacy character set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format {
    /// The syntax.
    pub kind: FormatKind,
    /// How names are escaped.
    pub escaping: Escaping,
}

/// The syntax of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FormatKind {
    /// Prometheus text 0.0.4.
    Text004,
    /// Prometheus text 1.0.0: the same, where names may be quoted.
    Text100,
    /// OpenMetrics 0.0.1: written as 1.0.0, which is what its clients read.
    OpenMetrics001,
    /// OpenMetrics 1.0.0.
    OpenMetrics100,
    /// `io.prometheus.client.MetricFamily`, each with its length before it.
    Protobuf,
}

/// How a name is written that has characters outside of the legacy set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Escaping {
    /// Each of them becomes `_`.
    Underscores,
    /// `.` becomes `_dot_`, `_` and all others `__`.
    Dots,
    /// `U__`, and each becomes its code point in hexadecimal, `_2e_`.
    Values,
    /// As it is, quoted.
    AllowUtf8,
}

const PROTOBUF: &str = "application/vnd.google.protobuf";
const MESSAGE: &str = "io.prometheus.client.MetricFamily";
const OPEN_METRICS: &str = "application/openmetrics-text";

/// Chooses the format for the value of an `Accept` header: the clause of the highest `q` that we speak,
/// the first of them if several are equal; text 0.0.4 if there is none.
///
/// The escaping is that of the chosen clause; if it has none (protobuf clauses never do), the first that
/// any clause names, so that a name does not change with the format; underscores if none does.
#[must_use]
pub fn negotiate(accept: Option<&str>) -> Format {
    let mut best: Option<(f32, FormatKind, Option<Escaping>)> = None;
    let mut any_escaping = None;
    for clause in accept.unwrap_or_default().split(',').map(Clause::parse) {
        any_escaping = any_escaping.or(clause.escaping);
        let Some(kind) = clause.kind() else { continue };
        if clause.q > best.map_or(0.0, |(q, ..)| q) {
            best = Some((clause.q, kind, clause.escaping));
        }
    }
    let (kind, escaping) = best.map_or((FormatKind::Text004, None), |(_, kind, it)| (kind, it));
    Format { kind, escaping: escaping.or(any_escaping).unwrap_or(Escaping::Underscores) }
}

/// One media range of an `Accept` header.
#[derive(Default)]
struct Clause<'a> {
    media: &'a str,
    version: &'a str,
    proto: &'a str,
    encoding: &'a str,
    escaping: Option<Escaping>,
    q: f32,
}

// === impl Clause ===

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let mut res = Self { media, q: 1.0, ..Self::default() };
        for (name, value) in parts.filter_map(|it| it.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "version" => res.version = value,
                "proto" => res.proto = value,
                "encoding" => res.encoding = value,
                "escaping" => res.escaping = Escaping::parse(value),
                "q" => res.q = value.parse().ok().filter(|it| *it <= 1.0).unwrap_or(0.0),
                _ => {}
            }
        }
        res
    }

    /// The format that satisfies this clause, if we speak one.
    fn kind(&self) -> Option<FormatKind> {
        let is = |media: &str| self.media.eq_ignore_ascii_case(media);
        if is(PROTOBUF) {
            let ok = self.proto == MESSAGE && matches!(self.encoding, "delimited" | "");
            return ok.then_some(FormatKind::Protobuf);
        }
        if is(OPEN_METRICS) {
            return match self.version {
                "1.0.0" | "" => Some(FormatKind::OpenMetrics100),
                "0.0.1" => Some(FormatKind::OpenMetrics001),
                _ => None,
            };
        }
        if is("text/plain") {
            return match self.version {
                "0.0.4" | "" => Some(FormatKind::Text004),
                "1.0.0" => Some(FormatKind::Text100),
                _ => None,
            };
        }
        (is("*/*") || is("text/*")).then_some(FormatKind::Text004)
    }
}

// === impl Escaping ===

impl Escaping {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "underscores" => Some(Self::Underscores),
            "dots" => Some(Self::Dots),
            "values" => Some(Self::Values),
            "allow-utf-8" => Some(Self::AllowUtf8),
            _ => None,
        }
    }
}

// === impl Format ===

impl Format {
    /// Text 0.0.4 with underscores: what a client gets that asks for nothing.
    pub const TEXT: Self = Self { kind: FormatKind::Text004, escaping: Escaping::Underscores };

    /// The value of `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        macro_rules! with_escaping {
            ($base:literal) => {
                match self.escaping {
                    Escaping::Underscores => concat!($base, "; escaping=underscores"),
                    Escaping::Dots => concat!($base, "; escaping=dots"),
                    Escaping::Values => concat!($base, "; escaping=values"),
                    Escaping::AllowUtf8 => concat!($base, "; escaping=allow-utf-8"),
                }
            };
        }
        match self.kind {
            FormatKind::Text004 => with_escaping!("text/plain; version=0.0.4; charset=utf-8"),
            FormatKind::Text100 => with_escaping!("text/plain; version=1.0.0; charset=utf-8"),
            FormatKind::OpenMetrics001 => {
                with_escaping!("application/openmetrics-text; version=0.0.1; charset=utf-8")
            }
            FormatKind::OpenMetrics100 => {
                with_escaping!("application/openmetrics-text; version=1.0.0; charset=utf-8")
            }
            FormatKind::Protobuf => with_escaping!(
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            ),
        }
    }

    /// Whether it is one of the OpenMetrics versions.
    #[must_use]
    pub fn is_open_metrics(self) -> bool {
        matches!(self.kind, FormatKind::OpenMetrics001 | FormatKind::OpenMetrics100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, kind: FormatKind, escaping: Escaping) {
        assert_eq!(negotiate(Some(accept)), Format { kind, escaping }, "{accept}");
    }

    #[test]
    fn what_prometheus_sends() {
        use Escaping::{AllowUtf8, Underscores};
        check(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            FormatKind::OpenMetrics100,
            Underscores,
        );
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            FormatKind::Protobuf,
            Underscores,
        );
        check(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            FormatKind::OpenMetrics100,
            AllowUtf8,
        );
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            FormatKind::Protobuf,
            AllowUtf8,
        );
        check(
            "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=underscores;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            FormatKind::OpenMetrics100,
            Underscores,
        );
    }

    #[test]
    fn what_others_send() {
        use Escaping::{AllowUtf8, Dots, Underscores, Values};
        use FormatKind::{OpenMetrics001, OpenMetrics100, Text004, Text100};
        assert_eq!(negotiate(None), Format::TEXT);
        check("", Text004, Underscores);
        check("*/*", Text004, Underscores);
        check("text/plain", Text004, Underscores);
        check("text/html,application/xhtml+xml,*/*;q=0.8", Text004, Underscores);
        check("application/json", Text004, Underscores);
        check("application/openmetrics-text", OpenMetrics100, Underscores);
        check("application/openmetrics-text; version=0.0.1", OpenMetrics001, Underscores);
        check("application/openmetrics-text;version=2.0.0,text/plain;q=0.1", Text004, Underscores);
        check("application/openmetrics-text;q=0,text/plain;q=0.1", Text004, Underscores);
        check("text/plain;q=0.5,application/openmetrics-text;q=NaN", Text004, Underscores);
        check("text/plain;version=1.0.0;escaping=allow-utf-8", Text100, AllowUtf8);
        check("Text/Plain; Version=\"1.0.0\"; escaping=dots", Text100, Dots);
        check("text/plain;version=0.0.4;escaping=values", Text004, Values);
        check("text/plain;escaping=rot13", Text004, Underscores);
        check("text/plain;version=0.0.4,text/plain;version=1.0.0", Text004, Underscores);
        check(
            "application/vnd.google.protobuf;proto=other;encoding=delimited,*/*;q=0.1",
            Text004,
            Underscores,
        );
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
            Text004,
            Underscores,
        );
    }

    #[test]
    fn content_types() {
        assert_eq!(
            Format::TEXT.content_type(),
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
        );
        let format = Format { kind: FormatKind::OpenMetrics100, escaping: Escaping::AllowUtf8 };
        assert_eq!(
            format.content_type(),
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
        );
        let format = Format { kind: FormatKind::Protobuf, ..Format::TEXT };
        assert_eq!(
            format.content_type(),
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores"
        );
    }
}
