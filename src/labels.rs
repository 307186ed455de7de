//! Metric names, label names and label blocks.
//!
//! A *label block* is a set of labels as the text exposition writes them, braces included:
//! `{project="web",result="failure"}`; no labels are the empty string. It is built once, escaped, and
//! from then on serves as lookup key, stored key and exposition bytes.

use std::borrow::Cow;

/// Whether `name` is a metric name of the legacy character set `[a-zA-Z_:][a-zA-Z0-9_:]*`
/// (Prometheus data model).
#[must_use]
pub fn is_metric_name(name: &str) -> bool {
    is_name(name, |c| c == b':')
}

/// Whether `name` is a label name of the legacy character set `[a-zA-Z_][a-zA-Z0-9_]*`.
#[must_use]
pub fn is_label_name(name: &str) -> bool {
    is_name(name, |_| false)
}

fn is_name(name: &str, extra: impl Fn(u8) -> bool) -> bool {
    let ok = |c: u8| c.is_ascii_alphabetic() || c == b'_' || extra(c);
    let mut bytes = name.bytes();
    bytes.next().is_some_and(&ok) && bytes.all(|c| ok(c) || c.is_ascii_digit())
}

/// Appends `value` as it stands between the quotes of a label: `\`, `"` and line feed escaped.
pub fn escape_value(out: &mut String, value: &str) {
    let mut rest = value;
    while let Some(at) = memchr::memchr3(b'\\', b'"', b'\n', rest.as_bytes()) {
        let (head, tail) = rest.split_at(at);
        out.push_str(head);
        let mut chars = tail.chars();
        match chars.next() {
            Some('\n') => out.push_str("\\n"),
            Some(c) => {
                out.push('\\');
                out.push(c);
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// The inverse of [`escape_value`]; an unknown escape keeps its backslash, as Prometheus reads it.
#[must_use]
pub fn unescape_value(escaped: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', escaped.as_bytes()).is_none() {
        return Cow::Borrowed(escaped);
    }
    let mut res = String::with_capacity(escaped.len());
    let mut chars = escaped.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            res.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => res.push('\n'),
            Some(it @ ('\\' | '"')) => res.push(it),
            Some(it) => {
                res.push('\\');
                res.push(it);
            }
            None => res.push('\\'),
        }
    }
    Cow::Owned(res)
}

/// Appends the label `name="value"` to the block that begins at `start` in `out`, opening the block
/// with its first label. Call [`close`] after the last.
pub fn push(out: &mut String, start: usize, name: &str, value: &str) {
    out.push(if out.len() == start { '{' } else { ',' });
    out.push_str(name);
    out.push_str("=\"");
    escape_value(out, value);
    out.push('"');
}

/// Closes the block that begins at `start`; a block without labels stays empty.
pub fn close(out: &mut String, start: usize) {
    if out.len() > start {
        out.push('}');
    }
}

/// The block of `pairs`, in the order given.
#[must_use]
pub fn block<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut res = String::new();
    for (name, value) in pairs {
        push(&mut res, 0, name, value);
    }
    close(&mut res, 0);
    res
}

/// The labels of `a` followed by those of `b`.
#[must_use]
pub fn join(a: &str, b: &str) -> String {
    match (inner(a), inner(b)) {
        ("", "") => String::new(),
        ("", _) => b.to_owned(),
        (_, "") => a.to_owned(),
        (a, b) => format!("{{{a},{b}}}"),
    }
}

/// What stands between the braces of `block`; empty for an empty block.
#[must_use]
pub fn inner(block: &str) -> &str {
    block.strip_prefix('{').and_then(|it| it.strip_suffix('}')).unwrap_or(block)
}

/// The labels of a block, in order: name (as written) and *escaped* value. Ends at the first byte that
/// no block written by [`push`] can have.
pub fn escaped_pairs(block: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = inner(block);
    std::iter::from_fn(move || {
        let (name, tail) = rest.split_once("=\"")?;
        let (value, tail) = split_quoted(tail)?;
        rest = tail.trim_start_matches(',');
        Some((name, value))
    })
}

/// The labels of a block, in order: name and unescaped value.
pub fn pairs(block: &str) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    escaped_pairs(block).map(|(name, value)| (name, unescape_value(value)))
}

/// What stands before the first quote that no backslash escapes, and what after it.
#[must_use]
pub fn split_quoted(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'\\', b'"', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some((text.get(..at)?, text.get(at + 1..)?));
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names() {
        for (name, metric, label) in [
            ("a", true, true),
            ("a:b", true, false),
            ("_9", true, true),
            ("9a", false, false),
            ("", false, false),
            ("a-b", false, false),
            ("ä", false, false),
        ] {
            assert_eq!((is_metric_name(name), is_label_name(name)), (metric, label), "{name}");
        }
    }

    #[test]
    fn blocks_join() {
        assert_eq!(join("", ""), "");
        assert_eq!(join("{a=\"1\"}", ""), "{a=\"1\"}");
        assert_eq!(join("", "{b=\"2\"}"), "{b=\"2\"}");
        assert_eq!(join("{a=\"1\"}", "{b=\"2\"}"), "{a=\"1\",b=\"2\"}");
    }

    proptest! {
        #[test]
        fn a_block_reads_back(values in proptest::collection::vec(any::<String>(), 0..5)) {
            let names = ["a", "b", "c", "d", "e"];
            let text = block(names.iter().copied().zip(values.iter().map(String::as_str)));
            let back: Vec<_> = pairs(&text).map(|(_, value)| value.into_owned()).collect();
            prop_assert_eq!(back, values);
            prop_assert!(!text.contains('\n'));
        }
    }
}
