//! Names outside of the legacy character set: how each escaping writes them.

use super::Escaping;
use crate::labels;
use std::{borrow::Cow, fmt::Write as _};

/// A metric name as `escaping` writes it, without quotes.
#[must_use]
pub fn metric(name: &str, escaping: Escaping) -> Cow<'_, str> {
    escape(name, escaping, labels::is_metric_name(name), |c| c == ':')
}

/// A label name as `escaping` writes it, without quotes.
pub(super) fn label(name: &str, escaping: Escaping) -> Cow<'_, str> {
    escape(name, escaping, labels::is_label_name(name), |_| false)
}

fn escape(
    name: &str,
    escaping: Escaping,
    legacy: bool,
    extra: impl Fn(char) -> bool,
) -> Cow<'_, str> {
    // `dots` doubles the underscores of every name; the others leave a legacy name alone.
    if escaping == Escaping::AllowUtf8 || (legacy && escaping != Escaping::Dots) {
        return Cow::Borrowed(name);
    }
    let mut res = String::with_capacity(name.len() + 8);
    if escaping == Escaping::Values {
        res.push_str("U__");
    }
    for (at, c) in name.char_indices() {
        let legacy =
            c.is_ascii_alphabetic() || c == '_' || extra(c) || (at > 0 && c.is_ascii_digit());
        match (escaping, c) {
            (Escaping::Dots, '.') => res.push_str("_dot_"),
            (Escaping::Dots | Escaping::Values, '_') => res.push_str("__"),
            _ if legacy => res.push(c),
            (Escaping::Dots, _) => res.push_str("__"),
            (Escaping::Values, _) => {
                // Writing to a String cannot fail.
                let _ = write!(res, "_{:x}_", u32::from(c));
            }
            _ => res.push('_'),
        }
    }
    Cow::Owned(res)
}

/// The labels of a block, in order: unescaped name and *escaped* value, where a name may be quoted.
pub fn pairs(block: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let mut rest = labels::inner(block);
    std::iter::from_fn(move || {
        let (name, tail) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (name, tail) = labels::split_quoted(quoted)?;
                (labels::unescape_value(name), tail.strip_prefix('=')?)
            }
            None => {
                let (name, tail) = rest.split_once('=')?;
                (Cow::Borrowed(name), tail)
            }
        };
        let (value, tail) = labels::split_quoted(tail.strip_prefix('"')?)?;
        rest = tail.strip_prefix(',').unwrap_or(tail);
        Some((name, value))
    })
}

/// `block` with its names as `escaping` writes them. Of two labels whose names fall together the first
/// stays: a repeated name would cost the reader the whole page.
#[must_use]
pub fn block(block: &str, escaping: Escaping) -> Cow<'_, str> {
    if escaping == Escaping::AllowUtf8 {
        return Cow::Borrowed(block);
    }
    let mut seen: Vec<Cow<'_, str>> = Vec::new();
    let mut res = String::with_capacity(block.len());
    for (name, value) in pairs(block) {
        let name = Cow::<str>::Owned(label(&name, escaping).into_owned());
        if seen.contains(&name) {
            continue;
        }
        res.push(if res.is_empty() { '{' } else { ',' });
        res.push_str(&name);
        res.push_str("=\"");
        res.push_str(value);
        res.push('"');
        seen.push(name);
    }
    labels::close(&mut res, 0);
    Cow::Owned(res)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: [&str; 4]) {
        let all = [Escaping::Underscores, Escaping::Dots, Escaping::Values, Escaping::AllowUtf8];
        assert_eq!(all.map(|it| metric(name, it).into_owned()), expected);
    }

    #[test]
    fn escapings() {
        check("up", ["up", "up", "up", "up"]);
        check("a_b:c", ["a_b:c", "a__b:c", "a_b:c", "a_b:c"]);
        check("a.b_c", ["a_b_c", "a_dot_b__c", "U__a_2e_b__c", "a.b_c"]);
        check("9ä", ["__", "____", "U___39__e4_", "9ä"]);
        check("x😀", ["x_", "x__", "U__x_1f600_", "x😀"]);
        assert_eq!(label("a:b", Escaping::Underscores), "a_b");
    }

    #[test]
    fn quoted_names_in_blocks() {
        let text = r#"{"a="="1,",b="\"","c\"d"="2"}"#;
        let found: Vec<_> = pairs(text).map(|(name, value)| (name.into_owned(), value)).collect();
        let expected = [("a=", "1,"), ("b", "\\\""), ("c\"d", "2")].map(|(a, b)| (a.to_owned(), b));
        assert_eq!(found, expected);
        assert_eq!(block(text, Escaping::Underscores), r#"{a_="1,",b="\"",c_d="2"}"#);
        assert_eq!(block(text, Escaping::AllowUtf8), text);
    }

    #[test]
    fn names_that_fall_together_appear_once() {
        let text = r#"{a_b="1","a.b"="2"}"#;
        assert_eq!(block(text, Escaping::Underscores), r#"{a_b="1"}"#);
        assert_eq!(block("", Escaping::Underscores), "");
    }
}
