//! One line.

use super::{Dialect, Limits};
use crate::exposition::{OwnedExemplar, Sample};
use crate::labels;

/// A list of label names and values.
type Labels = Vec<(String, String)>;

/// What a line says.
#[derive(Debug)]
pub(super) enum Line<'a> {
    /// Nothing: a blank line or a comment.
    Blank,
    /// `# HELP name text`.
    Help(String, String),
    /// `# TYPE name type`.
    Type(String, &'a str),
    /// `# UNIT name unit`.
    Unit(String, &'a str),
    /// A sample.
    Sample(Sample),
}

/// Reads one line without its line feed.
pub(super) fn parse(line: &str, dialect: Dialect, limits: Limits) -> Result<Line<'_>, String> {
    match dialect {
        Dialect::OpenMetrics if line.is_empty() => Err("blank line".to_owned()),
        Dialect::OpenMetrics => match line.strip_prefix("# ") {
            Some(rest) => metadata(rest, dialect),
            None => sample(line, dialect, limits).map(Line::Sample),
        },
        Dialect::Text => {
            let line = trim_start(line);
            match line.strip_prefix('#') {
                Some(rest) => metadata(trim_start(rest), dialect),
                None if line.is_empty() => Ok(Line::Blank),
                None => sample(line, dialect, limits).map(Line::Sample),
            }
        }
    }
}

fn metadata(text: &str, dialect: Dialect) -> Result<Line<'_>, String> {
    let strict = dialect == Dialect::OpenMetrics;
    let keyword_end = text.find([' ', '\t']).unwrap_or(text.len());
    let (keyword, rest) = text.split_at(keyword_end);
    let known = matches!(keyword, "HELP" | "TYPE") || (strict && keyword == "UNIT");
    if !known {
        return if strict { Err(format!("unknown keyword {keyword:?}")) } else { Ok(Line::Blank) };
    }
    let mut cursor = Cursor { rest, dialect };
    if rest.is_empty() {
        return Err(format!("no metric name after {keyword}"));
    }
    cursor.gap()?;
    let name = cursor.metric_name()?;
    if cursor.rest.is_empty() && (keyword == "HELP" || keyword == "UNIT") {
        let empty = String::new();
        return Ok(if keyword == "HELP" { Line::Help(name, empty) } else { Line::Unit(name, "") });
    }
    if !cursor.rest.starts_with([' ', '\t']) {
        return Err(format!("invalid metric name after {keyword}"));
    }
    cursor.gap()?;
    Ok(match keyword {
        "HELP" => Line::Help(name, unescape(cursor.rest)?),
        "UNIT" => Line::Unit(name, cursor.rest),
        _ => Line::Type(
            name,
            if strict { cursor.rest } else { cursor.rest.trim_end_matches(BLANKS) },
        ),
    })
}

const BLANKS: [char; 2] = [' ', '\t'];

fn trim_start(text: &str) -> &str {
    text.trim_start_matches(BLANKS)
}

/// Reads a sample.
pub(super) fn sample(line: &str, dialect: Dialect, limits: Limits) -> Result<Sample, String> {
    let mut cursor = Cursor { rest: line, dialect };
    let (name, labels) = cursor.series(limits)?;
    cursor.gap()?;
    let value = number(cursor.token())?;
    let mut res = Sample { name, labels, value, timestamp_ms: None, exemplar: None };
    if dialect == Dialect::Text {
        cursor.rest = trim_start(cursor.rest);
        if !cursor.rest.is_empty() {
            let text = cursor.token();
            let time = text.parse().map_err(|_| format!("expected a timestamp, got {text:?}"))?;
            res.timestamp_ms = Some(time);
        }
        let rest = trim_start(cursor.rest);
        return if rest.is_empty() { Ok(res) } else { Err(format!("unexpected {rest:?}")) };
    }
    if !cursor.rest.is_empty() && !cursor.rest.starts_with(" #") {
        cursor.gap()?;
        res.timestamp_ms = Some(nanoseconds(cursor.token())?.div_euclid(1_000_000));
    }
    if !cursor.rest.is_empty() {
        res.exemplar = Some(cursor.exemplar(limits)?);
    }
    Ok(res)
}

/// The value of a number as Prometheus reads it: no hexadecimal, no underscores, nothing too large.
fn number(text: &str) -> Result<f64, String> {
    let fail = || format!("expected a number, got {text:?}");
    let value: f64 = text.parse().map_err(|_| fail())?;
    let words = text.trim_start_matches(['+', '-']);
    let ok = if value.is_nan() {
        words.len() == text.len()
    } else {
        value.is_finite() || words.starts_with(['i', 'I'])
    };
    if ok { Ok(value) } else { Err(fail()) }
}

/// The nanoseconds of a decimal number of seconds.
fn nanoseconds(text: &str) -> Result<i64, String> {
    let fail = || format!("expected a timestamp, got {text:?}");
    let seconds = number(text)?;
    if !seconds.is_finite() {
        return Err(fail());
    }
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |it| (-1, it));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |it: &str| it.bytes().all(|it| it.is_ascii_digit());
    if plain(whole) && plain(fraction) && !whole.is_empty() {
        let fraction: String = fraction.chars().chain("000000000".chars()).take(9).collect();
        let nanos = whole.parse::<i64>().ok().and_then(|it| it.checked_mul(1_000_000_000));
        let fraction = fraction.parse::<i64>().ok();
        let nanos = nanos.zip(fraction).and_then(|(a, b)| a.checked_add(b));
        return nanos.map(|it| sign * it).ok_or_else(fail);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float becomes the nearest integer there is"
    )]
    let nanos = (seconds * 1e9) as i64;
    Ok(nanos)
}

/// A label value or help text without its escapes. Unlike `labels::unescape_value`, which reads what was
/// accepted before, this refuses an unknown escape.
fn unescape(text: &str) -> Result<String, String> {
    let mut chars = text.chars();
    let mut res = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        if c != '\\' {
            res.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => res.push('\n'),
            Some(it @ ('\\' | '"')) => res.push(it),
            Some(it) => return Err(format!("invalid escape \\{it}")),
            None => return Err("escape at the end".to_owned()),
        }
    }
    Ok(res)
}

/// What is left of a line.
struct Cursor<'a> {
    rest: &'a str,
    dialect: Dialect,
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    /// Blanks where the dialect wants or allows them: exactly one space in OpenMetrics.
    fn gap(&mut self) -> Result<(), String> {
        self.rest = match self.dialect {
            Dialect::Text => trim_start(self.rest),
            Dialect::OpenMetrics => self
                .rest
                .strip_prefix(' ')
                .ok_or_else(|| format!("expected a space before {:?}", self.rest))?,
        };
        Ok(())
    }

    /// Blanks that only the text format allows.
    fn blanks(&mut self) {
        if self.dialect == Dialect::Text {
            self.rest = trim_start(self.rest);
        }
    }

    fn eat(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Everything up to the next blank.
    fn token(&mut self) -> &'a str {
        self.split_at(self.rest.find(BLANKS).unwrap_or(self.rest.len()))
    }

    fn split_at(&mut self, at: usize) -> &'a str {
        let (head, tail) = self.rest.split_at(at);
        self.rest = tail;
        head
    }

    /// The longest run of characters that names are made of.
    fn word(&mut self) -> &'a str {
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        self.split_at(self.rest.find(|c| !part(c)).unwrap_or(self.rest.len()))
    }

    fn metric_name(&mut self) -> Result<String, String> {
        if self.rest.starts_with('"') {
            return self.quoted_name();
        }
        let name = self.word();
        if labels::is_metric_name(name) {
            Ok(name.to_owned())
        } else {
            Err("invalid metric name".to_owned())
        }
    }

    fn quoted_name(&mut self) -> Result<String, String> {
        let name = self.quoted()?;
        if name.is_empty() { Err("empty name".to_owned()) } else { Ok(name) }
    }

    /// Text between quotes.
    fn quoted(&mut self) -> Result<String, String> {
        if !self.eat('"') {
            return Err(format!("expected a quote before {:?}", self.rest));
        }
        let (text, rest) = labels::split_quoted(self.rest).ok_or("no closing quote")?;
        self.rest = rest;
        unescape(text)
    }

    /// The name and labels of a sample.
    fn series(&mut self, limits: Limits) -> Result<(String, Labels), String> {
        if self.rest.starts_with('{') {
            let (name, labels) = self.labels(limits)?;
            return Ok((name.ok_or("no metric name")?, labels));
        }
        let name = self.word();
        if !labels::is_metric_name(name) {
            return Err("invalid metric name".to_owned());
        }
        if !self.rest.is_empty() && !self.rest.starts_with([' ', '\t', '{']) {
            return Err("invalid metric name".to_owned());
        }
        self.blanks();
        if !self.rest.starts_with('{') {
            return Ok((name.to_owned(), Labels::new()));
        }
        match self.labels(limits)? {
            (None, labels) => Ok((name.to_owned(), labels)),
            (Some(_), _) => Err(format!("multiple metric names for metric {name:?}")),
        }
    }

    /// The list between braces, and the metric name if it stands in there.
    fn labels(&mut self, limits: Limits) -> Result<(Option<String>, Labels), String> {
        let mut name = None;
        let mut list = Labels::new();
        self.eat('{');
        self.blanks();
        while !self.eat('}') {
            let quoted = self.rest.starts_with('"');
            let key = if quoted { self.quoted_name()? } else { self.word().to_owned() };
            self.blanks();
            if self.eat('=') {
                self.blanks();
                if !quoted && !labels::is_label_name(&key) {
                    return Err(format!("invalid label name {key:?}"));
                }
                if key == "__name__" {
                    return Err("label name \"__name__\" is reserved".to_owned());
                }
                list.push((key, self.quoted()?));
            } else if !quoted {
                return Err(format!("expected a label before {:?}", self.rest));
            } else if name.replace(key).is_some() {
                return Err("multiple metric names".to_owned());
            }
            if list.len() > limits.labels {
                return Err(format!("more than {} labels", limits.labels));
            }
            self.blanks();
            if !self.eat(',') && !self.rest.starts_with('}') {
                return Err(format!("expected , or }} before {:?}", self.rest));
            }
            self.blanks();
        }
        no_duplicates(&list)?;
        Ok((name, list))
    }

    /// ` # {labels} value [time]`.
    fn exemplar(&mut self, limits: Limits) -> Result<OwnedExemplar, String> {
        self.rest = self.rest.strip_prefix(" # ").ok_or("expected an exemplar")?;
        if !self.rest.starts_with('{') {
            return Err("expected the labels of an exemplar".to_owned());
        }
        let (None, labels) = self.labels(limits)? else {
            return Err("metric name in an exemplar".to_owned());
        };
        self.gap()?;
        let value = number(self.token())?;
        let mut timestamp_ns = None;
        if !self.rest.is_empty() {
            self.gap()?;
            timestamp_ns = Some(nanoseconds(self.token())?);
        }
        if !self.rest.is_empty() {
            return Err(format!("unexpected {:?}", self.rest));
        }
        Ok(OwnedExemplar { labels, value, timestamp_ns })
    }
}

fn no_duplicates(labels: &Labels) -> Result<(), String> {
    let mut names: Vec<&str> = labels.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let twice = names.windows(2).find_map(|it| match it {
        [a, b] if a == b => Some(a),
        _ => None,
    });
    twice.map_or(Ok(()), |name| Err(format!("duplicate label name {name:?}")))
}
