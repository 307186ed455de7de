//! The path of a push: which group it is about.
//!
//! The path is split at `/` first and decoded afterwards, so that `%2F` stands for itself in a value, an
//! empty segment is an empty value and `..` is a value like any other. The Pushgateway decodes first and
//! redirects paths with empty or dot segments, which loses the push with most clients.

use crate::labels;
use percent_encoding::percent_decode_str;
use std::{borrow::Cow, collections::BTreeMap};

/// What tells one group from another: label names and values, `job` among them unless a gateway wants none. Values
/// may be empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grouping(BTreeMap<String, String>);

/// How a path is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether label names may hold any UTF-8, and `U__` escapes are decoded. Default no.
    pub utf8: bool,
}

/// Why a path names no group. The texts are those of the Pushgateway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// There is no job, or it is empty.
    #[error("job name is required")]
    NoJob,
    /// A name without a value.
    #[error("odd number of components in label string {0}")]
    Odd(String),
    /// Not a label name.
    #[error("improper label name {0}")]
    Name(String),
    /// The job is not base64.
    #[error("invalid base64 encoding in job name \"\": illegal base64 data at input byte {0}")]
    JobBase64(usize),
    /// A label's value is not base64.
    #[error("invalid base64 encoding for label {0}: illegal base64 data at input byte {1}")]
    LabelBase64(String, usize),
    /// A value is not UTF-8, so that no page could show it.
    #[error("the value of label {0} is not UTF-8")]
    NotUtf8(String),
    /// A percent sign without two hexadecimal digits.
    #[error("400 Bad Request: invalid escape in the path")]
    Escape,
    /// More labels, or longer ones, than are taken.
    #[error("{0}")]
    TooLarge(String),
}

/// Labels that a grouping may have.
const MAX_LABELS: usize = 64;
/// Bytes of a name.
const MAX_NAME_BYTES: usize = 1 << 10;
/// Bytes of a value.
const MAX_VALUE_BYTES: usize = 64 << 10;

/// Whether `path` (as it came, without the query) is that of a push: `/metrics/job...`, also with
/// `@base64` and with slashes that are repeated before the job.
#[must_use]
pub fn is_push(path: &str) -> bool {
    split(path).is_some()
}

/// Whether `path` is one of a gateway that wants no job: `/metrics` and everything below.
#[must_use]
pub fn is_jobless_push(path: &str) -> bool {
    let path = path.trim_start_matches('/');
    path == "metrics" || path.starts_with("metrics/")
}

/// The group that `path` names where no job is wanted: `/metrics` the one without labels, `/metrics/a/1` the one of
/// `a="1"`. A path with a job is read as [`grouping`] reads it.
///
/// # Errors
///
/// It names none; see [`PathError`].
pub fn jobless_grouping(path: &str, options: Options) -> Result<Grouping, PathError> {
    if is_push(path) {
        return grouping(path, options);
    }
    let rest = path.trim_start_matches('/').trim_start_matches("metrics").trim_matches('/');
    if !escapes_are_sound(rest) {
        return Err(PathError::Escape);
    }
    let segments: Vec<&str> = rest.split('/').filter(|_| !rest.is_empty()).collect();
    labels_of(&segments, options).map(Grouping)
}

/// The group that `path` names (as it came, without the query).
///
/// # Errors
///
/// It names none; see [`PathError`].
pub fn grouping(path: &str, options: Options) -> Result<Grouping, PathError> {
    let (base64, rest) = split(path).ok_or(PathError::NoJob)?;
    let mut segments: Vec<&str> = match rest.strip_prefix('/') {
        Some(it) => it.split('/').collect(),
        None => return Err(PathError::NoJob),
    };
    if !escapes_are_sound(rest) {
        return Err(PathError::Escape);
    }
    let job = segments.remove(0);
    let job = bytes(job);
    let job = if base64 { decode(&job).map_err(PathError::JobBase64)? } else { job.into_owned() };
    // One slash at the end is nothing, unless it makes a value.
    if segments.len() == 1 && segments.first() == Some(&"") {
        segments.clear();
    }
    let mut res = labels_of(&segments, options)?;
    if job.is_empty() {
        return Err(PathError::NoJob);
    }
    res.insert("job".to_owned(), text("job", job)?);
    Ok(Grouping(res))
}

fn labels_of(segments: &[&str], options: Options) -> Result<BTreeMap<String, String>, PathError> {
    let mut res = BTreeMap::new();
    // An odd number with slashes in a row: one of them was not meant, and a redirect would lead to this.
    let odd = segments.len() % 2 == 1;
    let clean: Vec<&str> = segments.iter().copied().filter(|it| !it.is_empty()).collect();
    let doubled = odd && clean.len().is_multiple_of(2) && is_redirected(segments);
    let segments = if doubled { &clean } else { segments };
    if segments.len() % 2 == 1 && !is_redirected(segments) {
        let all: Vec<u8> =
            segments.iter().flat_map(|it| [&b"/"[..], &bytes(it)].concat()).collect();
        return Err(PathError::Odd(quote(&all)));
    }
    if segments.len() > 2 * MAX_LABELS {
        let message = format!("more than {MAX_LABELS} labels in the path");
        return Err(PathError::TooLarge(message));
    }
    for pair in segments.chunks(2) {
        // The last name of a path that the Pushgateway redirects may lack its value.
        let (raw, value) = match pair {
            [name, value] => (bytes(name), bytes(value)),
            [name] => (bytes(name), Cow::Borrowed(&b""[..])),
            _ => continue,
        };
        let (raw, base64) = match raw.strip_suffix(b"@base64") {
            Some(it) => (it, true),
            None => (&*raw, false),
        };
        let name = name(raw, options)?;
        let value = if base64 {
            decode(&value).map_err(|at| {
                let shown = format!("{name}={}", quote(&value));
                PathError::LabelBase64(shown, at)
            })?
        } else {
            value.into_owned()
        };
        let value = text(&name, value)?;
        if name.len() > MAX_NAME_BYTES || value.len() > MAX_VALUE_BYTES {
            let message = format!(
                "a label in the path is too long: names have at most {MAX_NAME_BYTES} bytes, values {MAX_VALUE_BYTES}"
            );
            return Err(PathError::TooLarge(message));
        }
        res.insert(name, value);
    }
    Ok(res)
}

/// Whether the Pushgateway answers these segments with a redirect, which most clients take for success.
/// Such a push is stored rather than refused.
fn is_redirected(segments: &[&str]) -> bool {
    let inner = segments.split_last().map_or(&[][..], |(_, inner)| inner);
    inner.contains(&"") || segments.iter().any(|it| matches!(*it, "." | ".."))
}

/// What follows `/metrics/job` or `/metrics/job@base64` (then true) in `path`.
fn split(path: &str) -> Option<(bool, &str)> {
    let rest = path.trim_start_matches('/');
    let rest = rest.strip_prefix("metrics/")?.trim_start_matches('/');
    let end = rest.find('/').unwrap_or(rest.len());
    let (word, tail) = rest.split_at(end);
    match &*bytes(word) {
        b"job" => Some((false, tail)),
        // The Pushgateway has nothing at `job@base64` without a value.
        b"job@base64" if tail.len() > 1 => Some((true, tail)),
        _ => None,
    }
}

fn bytes(segment: &str) -> Cow<'_, [u8]> {
    percent_decode_str(segment).into()
}

fn escapes_are_sound(path: &str) -> bool {
    let bytes = path.as_bytes();
    memchr::memchr_iter(b'%', bytes).all(|at| {
        let digits = bytes.get(at + 1..at + 3);
        digits.is_some_and(|it| it.iter().all(u8::is_ascii_hexdigit))
    })
}

fn text(name: &str, value: Vec<u8>) -> Result<String, PathError> {
    String::from_utf8(value).map_err(|_| PathError::NotUtf8(quote(name.as_bytes())))
}

/// The label name that `raw` stands for.
fn name(raw: &[u8], options: Options) -> Result<String, PathError> {
    let improper = || PathError::Name(quote(raw));
    let raw = str::from_utf8(raw).map_err(|_| improper())?;
    let name = if options.utf8 { unescape(raw) } else { Cow::Borrowed(raw) };
    let valid = if options.utf8 { !name.is_empty() } else { labels::is_label_name(&name) };
    if valid && !raw.starts_with("__") && !name.starts_with("__") {
        Ok(name.into_owned())
    } else {
        Err(improper())
    }
}

/// The name that `U__...` stands for; the same again if it is no such escape, or a broken one.
fn unescape(name: &str) -> Cow<'_, str> {
    match name.strip_prefix("U__").and_then(unescape_values) {
        Some(it) => Cow::Owned(it),
        None => Cow::Borrowed(name),
    }
}

fn unescape_values(mut rest: &str) -> Option<String> {
    let mut res = String::with_capacity(rest.len());
    while let Some((plain, tail)) = rest.split_once('_') {
        res.push_str(plain);
        if let Some(tail) = tail.strip_prefix('_') {
            res.push('_');
            rest = tail;
            continue;
        }
        let (digits, tail) = tail.split_once('_')?;
        let hex =
            (1..=6).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_hexdigit());
        let code = u32::from_str_radix(digits, 16).ok().filter(|_| hex)?;
        res.push(char::from_u32(code)?);
        rest = tail;
    }
    res.push_str(rest);
    Some(res)
}

/// Decodes base64 in the URL alphabet with any padding; the position of the first wrong byte otherwise.
fn decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    let end = text.iter().rposition(|it| *it != b'=').map_or(0, |at| at + 1);
    let text = text.get(..end).unwrap_or_default();
    let mut res = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut n_bits, mut digits) = (0_u32, 0_u32, 0_usize);
    for (at, byte) in text.iter().enumerate() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            // Go's decoder passes over line ends.
            b'\r' | b'\n' => continue,
            _ => return Err(at),
        };
        digits += 1;
        bits = bits << 6 | u32::from(digit);
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            res.push((bits >> n_bits & 0xff).to_le_bytes()[0]);
        }
    }
    // A last digit of its own holds only six bits.
    if digits % 4 == 1 { Err(text.len().saturating_sub(1)) } else { Ok(res) }
}

/// `text` between quotes, as Go writes it.
pub(super) fn quote(text: &[u8]) -> String {
    let mut res = String::from("\"");
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_escaped(&mut res, c, '"');
        }
        for byte in chunk.invalid() {
            res.push_str(&format!("\\x{byte:02x}"));
        }
    }
    res.push('"');
    res
}

/// One byte between single quotes, as Go writes it.
pub(super) fn quote_byte(byte: u8) -> String {
    let mut res = String::from("'");
    push_escaped(&mut res, char::from(byte), '\'');
    res.push('\'');
    res
}

fn push_escaped(out: &mut String, c: char, quote: char) {
    match c {
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        '\\' => out.push_str("\\\\"),
        _ if c == quote => {
            out.push('\\');
            out.push(c);
        }
        ' '..='~' => out.push(c),
        '\0'..='\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
        // What Rust shows as it is Go shows as well; the others by their number.
        _ if c.escape_debug().len() == 1 => out.push(c),
        '\u{80}'..='\u{ffff}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        _ => out.push_str(&format!("\\U{:08x}", u32::from(c))),
    }
}

// === impl Grouping ===

impl Grouping {
    /// A grouping of `labels`, in any order.
    ///
    /// # Errors
    ///
    /// There is no `job`, it is empty, or a name is none that a label may have.
    pub fn new(
        labels: impl IntoIterator<Item = (String, String)>,
        options: Options,
    ) -> Result<Self, PathError> {
        let res: BTreeMap<_, _> = labels.into_iter().collect();
        for it in res.keys() {
            let legacy = options.utf8 || labels::is_label_name(it);
            if !legacy || it.is_empty() || it.starts_with("__") {
                return Err(PathError::Name(quote(it.as_bytes())));
            }
        }
        match res.get("job") {
            Some(job) if !job.is_empty() => Ok(Self(res)),
            _ => Err(PathError::NoJob),
        }
    }

    /// Takes off the label `name`.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// The job; empty if there is none.
    #[must_use]
    pub fn job(&self) -> &str {
        self.get("job").unwrap_or_default()
    }

    /// The value of label `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_without_a_job() {
        let check = |path: &str, expected: Result<&str, PathError>| {
            assert!(is_jobless_push(path), "{path}");
            let labels = jobless_grouping(path, Options::default()).map(|it| {
                it.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
            });
            assert_eq!(labels.map(|it| it.join(",")), expected.map(str::to_owned), "{path}");
        };
        check("/metrics", Ok(""));
        check("/metrics/", Ok(""));
        check("/metrics/b/2/a/1", Ok("a=1,b=2"));
        check("/metrics/a/1/", Ok("a=1"));
        check("/metrics/a/x%2Fy", Ok("a=x/y"));
        check("/metrics/a@base64/eA", Ok("a=x"));
        check("/metrics/job/j/a/1", Ok("a=1,job=j"));
        check("/metrics/a/1/job/j", Ok("a=1,job=j"));
        check("/metrics/job@base64/ag", Ok("job=j"));
        check("/metrics/job/", Err(PathError::NoJob));
        check("/metrics/a", Err(PathError::Odd("\"/a\"".to_owned())));
        check("/metrics/__a/1", Err(PathError::Name("\"__a\"".to_owned())));
        check("/metrics/a/%zz", Err(PathError::Escape));
        for other in ["/metric", "/metricsx", "/", "/api/metrics"] {
            assert!(!is_jobless_push(other), "{other}");
        }
    }
}
