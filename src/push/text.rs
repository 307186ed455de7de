//! Text 0.0.4 as the Pushgateway reads it, and refuses it.

use super::cursor::{Cursor, Fail, Res, malformed};
use super::family::{Bucket, Family, Histogram, Metric, Summary, Timestamp, Value};
use super::path::{quote, quote_byte};
use super::{BodyError, Limits};
use crate::exposition::Kind;
use crate::labels;
use std::collections::HashMap;

/// Names and values, sorted by name.
type Labels = Vec<(String, String)>;

/// Reads a body.
///
/// # Errors
///
/// The first line that is malformed or exceeds a limit.
pub(super) fn read(input: &[u8], utf8: bool, limits: &Limits) -> Result<Vec<Family>, BodyError> {
    let mut parser = Parser {
        cursor: Cursor::new(input),
        utf8,
        limits,
        n_samples: 0,
        families: Vec::new(),
        by_name: HashMap::new(),
    };
    loop {
        parser.cursor.line += 1;
        parser.cursor.blanks();
        if parser.cursor.is_at_end() {
            break;
        }
        let line = parser.cursor.line;
        parser.line().map_err(|it| it.at(line))?;
    }
    let families = parser.families.into_iter().filter(|it| !it.family.metrics.is_empty());
    Ok(families.map(|it| it.family).collect())
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    utf8: bool,
    limits: &'a Limits,
    n_samples: usize,
    families: Vec<Building>,
    by_name: HashMap<String, usize>,
}

/// A family that is being read.
struct Building {
    family: Family,
    has_help: bool,
    has_kind: bool,
    /// Where the summary or histogram of a set of labels is, if there are more than one.
    by_labels: HashMap<Labels, usize>,
}

/// What the name of a sample says about it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Its family's own name, or a bucket.
    Point,
    Count,
    Sum,
}

/// The list between braces.
#[derive(Default)]
struct Braces {
    /// The metric name, if it stands in there.
    name: Option<Vec<u8>>,
    labels: Vec<(Vec<u8>, String)>,
}

// === impl Parser ===

impl Parser<'_> {
    /// Reads one line with its line feed.
    fn line(&mut self) -> Res<()> {
        match self.cursor.peek()? {
            b'#' => {
                self.cursor.skip();
                self.comment()?;
            }
            b'\n' => {}
            _ => self.sample()?,
        }
        self.cursor.skip();
        Ok(())
    }

    /// Reads up to the line feed, which stays.
    fn comment(&mut self) -> Res<()> {
        self.cursor.blanks();
        let keyword = self.cursor.token()?;
        if !matches!(keyword, b"HELP" | b"TYPE") {
            self.cursor.rest_of_line()?;
            return Ok(());
        }
        self.cursor.blanks();
        if self.cursor.peek()? == b'\n' {
            return Ok(());
        }
        let (name, _) = self.cursor.name(true, self.limits)?;
        match self.cursor.peek()? {
            b'\n' => return Ok(()),
            b' ' | b'\t' => {}
            _ => return malformed("invalid metric name in comment".to_owned()),
        }
        let (at, _) = self.family(&name)?;
        self.cursor.blanks();
        if self.cursor.peek()? == b'\n' {
            return Ok(());
        }
        let limits = self.limits;
        let Some(building) = self.families.get_mut(at) else { return Ok(()) };
        let name = || quote(building.family.name.as_bytes());
        if keyword == b"HELP" {
            if building.has_help {
                return malformed(format!("second HELP line for metric name {}", name()));
            }
            building.has_help = true;
            building.family.help = self.cursor.help(limits)?;
            return Ok(());
        }
        if building.has_kind {
            let name = name();
            return malformed(format!(
                "second TYPE line for metric name {name}, or TYPE reported after samples"
            ));
        }
        let word = self.cursor.rest_of_line()?;
        building.family.kind = match &*word.to_ascii_lowercase() {
            b"counter" => Kind::Counter,
            b"gauge" => Kind::Gauge,
            b"summary" => Kind::Summary,
            b"untyped" => Kind::Untyped,
            b"histogram" => Kind::Histogram,
            b"gaugehistogram" | b"gauge_histogram" => Kind::GaugeHistogram,
            _ => return malformed(format!("unknown metric type {}", quote(word))),
        };
        building.has_kind = true;
        Ok(())
    }

    /// `name` if a metric may have it.
    fn metric_name<'a>(&self, name: &'a [u8]) -> Res<&'a str> {
        let text = str::from_utf8(name).ok();
        let valid = |it: &&str| !it.is_empty() && (self.utf8 || labels::is_metric_name(it));
        let wrong = || Fail::Malformed(format!("invalid metric name {}", quote(name)));
        text.filter(valid).ok_or_else(wrong)
    }

    /// The family that a line with `name` is about, and what its name says.
    fn family(&mut self, name: &[u8]) -> Res<(usize, Part)> {
        let name = self.metric_name(name)?;
        if let Some(at) = self.by_name.get(name) {
            return Ok((*at, Part::Point));
        }
        for (suffix, part) in
            [("_count", Part::Count), ("_sum", Part::Sum), ("_bucket", Part::Point)]
        {
            let Some(base) = name.strip_suffix(suffix).filter(|it| !it.is_empty()) else {
                continue;
            };
            let Some(at) = self.by_name.get(base) else { continue };
            match self.families.get(*at).map(|it| it.family.kind) {
                Some(Kind::Summary) if suffix != "_bucket" => return Ok((*at, part)),
                Some(Kind::Histogram | Kind::GaugeHistogram) => return Ok((*at, part)),
                _ => {}
            }
        }
        let at = self.families.len();
        self.by_name.insert(name.to_owned(), at);
        self.families.push(Building {
            family: Family {
                name: name.to_owned(),
                help: String::new(),
                kind: Kind::Untyped,
                unit: None,
                metrics: Vec::new(),
            },
            has_help: false,
            has_kind: false,
            by_labels: HashMap::new(),
        });
        Ok((at, Part::Point))
    }

    /// Reads up to the line feed, which stays.
    fn sample(&mut self) -> Res<()> {
        let mut braces = Braces::default();
        let (at, part) = if self.cursor.eat(b'{')? {
            self.braces(&mut braces, None)?;
            let Some(name) = braces.name.take() else {
                return malformed("invalid metric name".to_owned());
            };
            self.family(&name)?
        } else {
            let (name, quoted) = self.cursor.name(true, self.limits)?;
            if name.is_empty() && !quoted {
                return malformed("invalid metric name".to_owned());
            }
            let found = self.family(&name)?;
            self.cursor.blanks();
            if self.cursor.eat(b'{')? {
                self.braces(&mut braces, Some(found.0))?;
            }
            found
        };
        self.cursor.blanks();
        self.n_samples += 1;
        if self.n_samples > self.limits.samples {
            let max = self.limits.samples;
            return Err(Fail::TooLarge(format!("more than {max} samples in one push")));
        }
        let token = self.cursor.token()?;
        let Some(value) = number(token) else {
            return malformed(format!("expected float as value, got {}", quote(token)));
        };
        let Some(building) = self.families.get_mut(at) else { return Ok(()) };
        building.has_kind = true;
        let metric = building.add(braces.labels, part, value)?;
        if self.cursor.peek()? == b'\n' {
            return Ok(());
        }
        self.cursor.blanks();
        let token = self.cursor.token()?;
        let line = self.cursor.line;
        let Some(millis) = str::from_utf8(token).ok().and_then(|it| it.parse().ok()) else {
            return malformed(format!("expected integer as timestamp, got {}", quote(token)));
        };
        metric.timestamp = Some(Timestamp { millis, line: Some(line) });
        let rest = self.cursor.rest_of_line()?;
        if rest.is_empty() {
            return Ok(());
        }
        malformed(format!("spurious string after timestamp: {}", quote(rest)))
    }

    /// Reads the list after an opening brace, and the closing one. `metric` is the family whose name stands
    /// before it.
    fn braces(&mut self, res: &mut Braces, metric: Option<usize>) -> Res<()> {
        loop {
            self.cursor.blanks();
            if self.cursor.eat(b'}')? {
                return Ok(());
            }
            let (key, quoted) = self.cursor.name(false, self.limits)?;
            if key.is_empty() && !quoted {
                let metric = self.metric_of(res, metric);
                return malformed(format!("invalid label name for metric {metric}"));
            }
            self.cursor.blanks();
            let next = self.cursor.peek()?;
            if next == b'=' {
                self.cursor.skip();
                self.label(res, key, metric)?;
                continue;
            }
            let found = quote_byte(next);
            if metric.is_some() {
                return malformed(format!("expected '=' after label name, found {found}"));
            }
            if let Some(name) = &res.name {
                return malformed(format!("multiple metric names for metric {}", quote(name)));
            }
            match next {
                b',' => self.cursor.skip(),
                b'}' => {}
                _ => return malformed(format!("unexpected end of metric name {found}")),
            }
            self.metric_name(&key)?;
            res.name = Some(key);
        }
    }

    /// The metric that a list belongs to, between quotes.
    fn metric_of(&self, list: &Braces, family: Option<usize>) -> String {
        let before =
            family.and_then(|at| self.families.get(at)).map(|it| it.family.name.as_bytes());
        quote(before.or(list.name.as_deref()).unwrap_or_default())
    }

    /// Reads the value of label `key`, and a comma after it.
    fn label(&mut self, res: &mut Braces, key: Vec<u8>, metric: Option<usize>) -> Res<()> {
        if key == b"__name__" {
            return malformed("label name \"__name__\" is reserved".to_owned());
        }
        let valid = str::from_utf8(&key)
            .is_ok_and(|it| labels::is_label_name(it) || (self.utf8 && !it.is_empty()));
        if !valid {
            return malformed(format!("invalid label name {}", quote(&key)));
        }
        if res.labels.iter().any(|(name, _)| *name == key) {
            let metric = self.metric_of(res, metric);
            return malformed(format!("duplicate label names for metric {metric}"));
        }
        if res.labels.len() >= self.limits.labels {
            let max = self.limits.labels;
            return Err(Fail::TooLarge(format!("a sample has more than {max} labels")));
        }
        self.cursor.blanks();
        let value = self.cursor.label_value(self.limits)?;
        self.cursor.blanks();
        let ended = self.cursor.peek()? == b'}';
        if !ended && !self.cursor.eat(b',')? {
            return malformed(format!("unexpected end of label value {}", quote(value.as_bytes())));
        }
        res.labels.push((key, value));
        Ok(())
    }
}

// === impl Building ===

impl Building {
    /// Adds a sample; the metric that it became, or became part of.
    fn add(&mut self, labels: Vec<(Vec<u8>, String)>, part: Part, value: f64) -> Res<&mut Metric> {
        let point = match self.family.kind {
            Kind::Summary => Some("quantile"),
            Kind::Histogram | Kind::GaugeHistogram => Some("le"),
            _ => None,
        };
        let mut at_point = None;
        let mut own = Labels::with_capacity(labels.len());
        for (name, text) in labels {
            // Names were seen to be UTF-8.
            let name = String::from_utf8(name).unwrap_or_default();
            if point == Some(name.as_str()) {
                let Some(bound) = number(text.as_bytes()) else {
                    let text = quote(text.as_bytes());
                    return malformed(format!(
                        "expected float as value for '{name}' label, got {text}"
                    ));
                };
                at_point = Some(bound);
            } else {
                own.push((name, text));
            }
        }
        own.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let name = quote(self.family.name.as_bytes());
        match (self.family.kind, point) {
            (Kind::Summary, _) => {
                let Some(metric) = self.composite(own) else { return Err(Fail::End) };
                if let Value::Summary(it) = &mut metric.value {
                    add_to_summary(it, (part, at_point), value, &name)?;
                }
                Ok(metric)
            }
            (_, Some(_)) => {
                let Some(metric) = self.composite(own) else { return Err(Fail::End) };
                if let Value::Histogram(it) = &mut metric.value {
                    add_to_histogram(it, (part, at_point), value, &name)?;
                }
                Ok(metric)
            }
            _ => {
                self.family.metrics.push(Metric::new(own, Value::Number(value)));
                self.family.metrics.last_mut().ok_or(Fail::End)
            }
        }
    }

    /// The summary or histogram with `labels`.
    fn composite(&mut self, labels: Labels) -> Option<&mut Metric> {
        let metrics = &mut self.family.metrics;
        // Its lines nearly always stand together.
        let last = metrics.last().is_some_and(|it| it.labels == labels);
        if last {
            return metrics.last_mut();
        }
        if let Some(first) = metrics.first()
            && self.by_labels.is_empty()
        {
            self.by_labels.insert(first.labels.clone(), 0);
        }
        if let Some(at) = self.by_labels.get(&labels) {
            return metrics.get_mut(*at);
        }
        if !metrics.is_empty() {
            self.by_labels.insert(labels.clone(), metrics.len());
        }
        let value = match self.family.kind {
            Kind::Summary => Value::Summary(Summary::default()),
            _ => Value::Histogram(Box::default()),
        };
        metrics.push(Metric::new(labels, value));
        metrics.last_mut()
    }
}

fn add_to_summary(
    summary: &mut Summary,
    (part, quantile): (Part, Option<f64>),
    value: f64,
    name: &str,
) -> Res<()> {
    match (part, quantile) {
        (Part::Count, _) => {
            // The Pushgateway makes 18446744073709551615 of -1.
            let Some(count) = whole(value) else {
                return malformed(format!("count of summary {name} is not a whole number"));
            };
            summary.count = count;
        }
        (Part::Sum, _) => summary.sum = value,
        (Part::Point, Some(at)) if !at.is_nan() => summary.quantiles.push((at, value)),
        // The Pushgateway drops it and says 200.
        (Part::Point, _) => {
            return malformed(format!("sample of summary {name} without a quantile"));
        }
    }
    Ok(())
}

fn add_to_histogram(
    histogram: &mut Histogram,
    (part, bound): (Part, Option<f64>),
    value: f64,
    name: &str,
) -> Res<()> {
    let fraction = whole(value).is_none();
    match (part, bound) {
        (Part::Count, _) => {
            if value < 0.0 {
                return malformed(format!("negative count for histogram {name}"));
            }
            histogram.count = value;
            histogram.float |= fraction;
        }
        (Part::Sum, _) => histogram.sum = value,
        (Part::Point, Some(bound)) if !bound.is_nan() => {
            if value < 0.0 {
                return malformed(format!("negative bucket population for histogram {name}"));
            }
            histogram.float |= fraction;
            histogram.buckets.push(Bucket { bound, cumulative: value, exemplar: None });
        }
        // The Pushgateway drops it and says 200.
        (Part::Point, _) => {
            return malformed(format!("sample of histogram {name} without a bound (le)"));
        }
    }
    Ok(())
}

/// `value` if it is a number of observations.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "a number that is not whole, negative or too large comes back different"
)]
fn whole(value: f64) -> Option<u64> {
    let count = value as u64;
    (count as f64 == value).then_some(count)
}

/// A number as Go reads it, without hexadecimals and underscores.
fn number(text: &[u8]) -> Option<f64> {
    let text = str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    let words = text.trim_start_matches(['+', '-']);
    let sound = if value.is_nan() {
        words.len() == text.len()
    } else {
        value.is_finite() || words.starts_with(['i', 'I'])
    };
    sound.then_some(value)
}
