//! The text formats: Prometheus text 0.0.4 and 1.0.0, OpenMetrics 1.0.

use super::{
    CumulativeView, Escaping, Exemplar, FamilyHead, Format, HistogramView, Kind, Options,
    SummaryView, names, number,
};
use crate::labels;
use std::borrow::Cow;

/// Exemplars with more code points in names and values are left out (OpenMetrics 1.0: MUST NOT).
const MAX_EXEMPLAR_CHARS: usize = 128;

/// Writes the text formats.
#[derive(Debug)]
pub(super) struct Text {
    out: Vec<u8>,
    escaping: Escaping,
    open_metrics: bool,
    created_series: bool,
    /// Whether label blocks of the family must be rewritten.
    rewrite: bool,
    /// Whether the name stands quoted within the braces.
    quoted: bool,
    /// Whether the family may carry exemplars and `_created` (OpenMetrics, and a type that has them).
    extras: bool,
    /// What starts a sample: `name`, or `{"na.me"`.
    plain: Vec<u8>,
    bucket: Vec<u8>,
    sum: Vec<u8>,
    count: Vec<u8>,
    created: Vec<u8>,
    /// The bounds for which `les` was written, by their bits.
    bounds: Vec<f64>,
    /// `le="..."} ` of each bound.
    les: Vec<Box<[u8]>>,
}

// === impl Text ===

impl Text {
    pub(super) fn new(format: Format, options: Options) -> Self {
        Self {
            out: Vec::new(),
            escaping: format.escaping,
            open_metrics: format.is_open_metrics(),
            created_series: options.created_series,
            rewrite: false,
            quoted: false,
            extras: false,
            plain: Vec::new(),
            bucket: Vec::new(),
            sum: Vec::new(),
            count: Vec::new(),
            created: Vec::new(),
            bounds: Vec::new(),
            les: Vec::new(),
        }
    }

    pub(super) fn replace(&mut self, buffer: Vec<u8>) -> Vec<u8> {
        std::mem::replace(&mut self.out, buffer)
    }

    pub(super) fn buffered(&self) -> usize {
        self.out.len()
    }

    pub(super) fn begin_family(&mut self, head: &FamilyHead<'_>) {
        let name = names::metric(head.name, self.escaping);
        let base = match name.strip_suffix("_total") {
            Some(base) if head.kind == Kind::Counter && !base.is_empty() => Some(base),
            _ => None,
        };
        self.quoted = !labels::is_metric_name(&name);
        self.rewrite = self.escaping == Escaping::Dots
            || (head.quoted_labels && self.escaping != Escaping::AllowUtf8);
        let has_extras = match head.kind {
            Kind::Counter => base.is_some(),
            Kind::Summary | Kind::Histogram => true,
            _ => false,
        };
        self.extras = self.open_metrics && has_extras;
        let family = if self.open_metrics { base.unwrap_or(&name) } else { &name };
        self.metadata(family, head, type_name(head.kind, self.open_metrics, base.is_some()));
        let gauge = self.open_metrics && head.kind == Kind::GaugeHistogram;
        self.plain = self.start_of_sample(&name, "");
        self.bucket = self.start_of_sample(&name, "_bucket");
        self.sum = self.start_of_sample(&name, if gauge { "_gsum" } else { "_sum" });
        self.count = self.start_of_sample(&name, if gauge { "_gcount" } else { "_count" });
        self.created = self.start_of_sample(family, "_created");
    }

    fn start_of_sample(&self, name: &str, suffix: &str) -> Vec<u8> {
        let name = format!("{name}{suffix}");
        if self.quoted { format!("{{{}", Quoted(&name)).into_bytes() } else { name.into_bytes() }
    }

    fn metadata(&mut self, name: &str, head: &FamilyHead<'_>, kind: &str) {
        let name =
            if self.quoted { Cow::Owned(Quoted(name).to_string()) } else { Cow::Borrowed(name) };
        if !head.help.is_empty() {
            self.line(&["# HELP ", &name, " "]);
            escape_help(&mut self.out, head.help, self.open_metrics);
            self.out.push(b'\n');
        }
        self.line(&["# TYPE ", &name, " ", kind, "\n"]);
        let bare = name.trim_end_matches('"');
        if let Some(unit) = head.unit.filter(|it| self.open_metrics && is_unit_of(bare, it)) {
            self.line(&["# UNIT ", &name, " ", unit, "\n"]);
        }
    }

    fn line(&mut self, parts: &[&str]) {
        for part in parts {
            self.out.extend_from_slice(part.as_bytes());
        }
    }

    /// A sample that is nothing but a value.
    #[inline]
    pub(super) fn plain(&mut self, block: &str, value: f64) {
        if self.rewrite || self.quoted {
            self.unusual(block, value);
            return;
        }
        self.out.extend_from_slice(&self.plain);
        self.out.extend_from_slice(block.as_bytes());
        self.out.push(b' ');
        number::value(&mut self.out, value);
        self.out.push(b'\n');
    }

    #[cold]
    fn unusual(&mut self, block: &str, value: f64) {
        let block = self.rewritten(block);
        series(&mut self.out, &self.plain, self.quoted, &block);
        number::value(&mut self.out, value);
        self.out.push(b'\n');
    }

    fn rewritten<'a>(&self, block: &'a str) -> Cow<'a, str> {
        if self.rewrite { names::block(block, self.escaping) } else { Cow::Borrowed(block) }
    }

    #[inline]
    pub(super) fn counter(
        &mut self,
        block: &str,
        value: f64,
        created_ms: Option<i64>,
        exemplar: Option<&Exemplar<'_>>,
    ) {
        if !self.extras || (exemplar.is_none() && !(self.created_series && created_ms.is_some())) {
            self.plain(block, value);
            return;
        }
        let block = &*self.rewritten(block);
        series(&mut self.out, &self.plain, self.quoted, block);
        number::value(&mut self.out, value);
        self.exemplar(exemplar);
        self.out.push(b'\n');
        self.created(block, created_ms);
    }

    pub(super) fn summary(&mut self, block: &str, view: &SummaryView<'_>) {
        let block = &*self.rewritten(block);
        for &(quantile, value) in view.quantiles {
            open_series(&mut self.out, &self.plain, self.quoted, block);
            self.out.extend_from_slice(b"quantile=\"");
            number::label(&mut self.out, quantile, self.open_metrics);
            self.out.extend_from_slice(b"\"} ");
            number::value(&mut self.out, value);
            self.out.push(b'\n');
        }
        self.sum_and_count(block, view.sum, view.count);
        self.created(block, view.created_ms);
    }

    pub(super) fn histogram(&mut self, block: &str, view: &HistogramView<'_>) {
        let block = &*self.rewritten(block);
        self.prepare(view.bounds);
        let mut cumulative = 0;
        let counts = view.counts.iter().copied().chain(std::iter::repeat(0));
        for (at, (le, count)) in self.les.iter().zip(counts).enumerate() {
            let last = at == view.bounds.len();
            cumulative = if last { view.count } else { count.saturating_add(cumulative) };
            open_series(&mut self.out, &self.bucket, self.quoted, block);
            self.out.extend_from_slice(le);
            number::integer(&mut self.out, cumulative);
            if self.extras {
                let exemplar = view.exemplars.get(at).and_then(Option::as_ref);
                exemplar_at(&mut self.out, self.escaping, exemplar);
            }
            self.out.push(b'\n');
        }
        self.sum_and_count(block, view.sum, view.count);
        self.created(block, view.created_ms);
    }

    pub(super) fn cumulative(&mut self, block: &str, view: &CumulativeView<'_>) {
        let block = &*self.rewritten(block);
        self.prepare(view.bounds);
        for (at, (le, count)) in self.les.iter().zip(view.cumulative).enumerate() {
            open_series(&mut self.out, &self.bucket, self.quoted, block);
            self.out.extend_from_slice(le);
            number::value(&mut self.out, *count);
            if self.extras {
                let exemplar = view.exemplars.get(at).and_then(Option::as_ref);
                exemplar_at(&mut self.out, self.escaping, exemplar);
            }
            self.out.push(b'\n');
        }
        series(&mut self.out, &self.sum, self.quoted, block);
        number::value(&mut self.out, view.sum);
        self.out.push(b'\n');
        series(&mut self.out, &self.count, self.quoted, block);
        number::value(&mut self.out, view.count);
        self.out.push(b'\n');
        self.created(block, view.created_ms);
    }

    /// Writes the text of each bound, unless the last histogram had the same ones.
    fn prepare(&mut self, bounds: &[f64]) {
        if !self.les.is_empty() && self.bounds == bounds {
            return;
        }
        bounds.clone_into(&mut self.bounds);
        let with_infinity = bounds.iter().copied().chain([f64::INFINITY]);
        self.les.clear();
        self.les.extend(with_infinity.map(|bound| {
            let mut le = b"le=\"".to_vec();
            number::label(&mut le, bound, self.open_metrics);
            le.extend_from_slice(b"\"} ");
            le.into_boxed_slice()
        }));
    }

    fn sum_and_count(&mut self, block: &str, sum: f64, count: u64) {
        series(&mut self.out, &self.sum, self.quoted, block);
        number::value(&mut self.out, sum);
        self.out.push(b'\n');
        series(&mut self.out, &self.count, self.quoted, block);
        number::integer(&mut self.out, count);
        self.out.push(b'\n');
    }

    fn exemplar(&mut self, exemplar: Option<&Exemplar<'_>>) {
        exemplar_at(&mut self.out, self.escaping, exemplar);
    }

    fn created(&mut self, block: &str, created_ms: Option<i64>) {
        let Some(created_ms) = created_ms.filter(|_| self.extras && self.created_series) else {
            return;
        };
        series(&mut self.out, &self.created, self.quoted, block);
        number::seconds(&mut self.out, created_ms, 1000);
        self.out.push(b'\n');
    }

    pub(super) fn finish(&mut self) {
        if self.open_metrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
    }
}

/// Writes the series and the space after it.
fn series(out: &mut Vec<u8>, start: &[u8], quoted: bool, block: &str) {
    out.extend_from_slice(start);
    if quoted {
        let inner = labels::inner(block);
        if !inner.is_empty() {
            out.push(b',');
            out.extend_from_slice(inner.as_bytes());
        }
        out.push(b'}');
    } else {
        out.extend_from_slice(block.as_bytes());
    }
    out.push(b' ');
}

/// Writes the series so far that one more label and the closing brace can follow.
fn open_series(out: &mut Vec<u8>, start: &[u8], quoted: bool, block: &str) {
    out.extend_from_slice(start);
    let inner = labels::inner(block);
    out.push(if quoted { b',' } else { b'{' });
    if !inner.is_empty() {
        out.extend_from_slice(inner.as_bytes());
        out.push(b',');
    }
}

fn exemplar_at(out: &mut Vec<u8>, escaping: Escaping, exemplar: Option<&Exemplar<'_>>) {
    let Some(exemplar) = exemplar.filter(|it| is_short(it.labels)) else { return };
    let block = names::block(exemplar.labels, escaping);
    out.extend_from_slice(b" # ");
    out.extend_from_slice(if block.is_empty() { b"{}" } else { block.as_bytes() });
    out.push(b' ');
    number::value(out, exemplar.value);
    if let Some(time) = exemplar.timestamp_ns {
        out.push(b' ');
        number::seconds(out, time, 1_000_000_000);
    }
}

/// Whether an exemplar's names and values together stay within the limit.
pub(super) fn is_short(block: &str) -> bool {
    // Every code point takes at least a byte, and the syntax around them takes some more.
    block.len() <= MAX_EXEMPLAR_CHARS
        || names::pairs(block)
            .map(|(name, value)| {
                name.chars().count() + labels::unescape_value(value).chars().count()
            })
            .sum::<usize>()
            <= MAX_EXEMPLAR_CHARS
}

fn type_name(kind: Kind, open_metrics: bool, total: bool) -> &'static str {
    match kind {
        // OpenMetrics demands `_total` of a counter. A name that lacks it keeps its name in every
        // format and loses the type instead.
        Kind::Counter if open_metrics && !total => "unknown",
        Kind::Counter => "counter",
        Kind::Gauge | Kind::Info | Kind::StateSet => "gauge",
        Kind::Untyped if open_metrics => "unknown",
        Kind::Untyped => "untyped",
        Kind::Summary => "summary",
        Kind::GaugeHistogram if open_metrics => "gaugehistogram",
        Kind::Histogram | Kind::GaugeHistogram => "histogram",
    }
}

fn is_unit_of(name: &str, unit: &str) -> bool {
    !unit.is_empty()
        && labels::is_metric_name(unit)
        && name.strip_suffix(unit).is_some_and(|it| it.ends_with('_'))
}

fn escape_help(out: &mut Vec<u8>, help: &str, quotes: bool) {
    for byte in help.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            _ => out.push(byte),
        }
    }
}

/// A name between quotes.
struct Quoted<'a>(&'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::with_capacity(self.0.len() + 2);
        labels::escape_value(&mut text, self.0);
        write!(f, "\"{text}\"")
    }
}
