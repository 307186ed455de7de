//! A text with our placeholders as one with those of Prometheus (Go templates).

use std::collections::BTreeMap;

/// What placeholders mean in the annotations of one rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meaning<'r> {
    /// The labels that the rule itself gives its alerts. Prometheus does not show them to templates.
    pub(super) labels: &'r BTreeMap<String, String>,
    /// What values are compared with.
    pub(super) threshold: Option<f64>,
}

/// A text that Prometheus takes as it is.
pub(super) fn verbatim(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

/// `text`, which is a valid text with placeholders, for Prometheus; `None` if a filter has no counterpart there.
pub(super) fn converted(text: &str, meaning: Meaning<'_>) -> Option<String> {
    let mut res = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        res.push_str(&verbatim(&rest[..at]));
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            res.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let end = closing(inner)?;
            res.push_str(&placeholder(&inner[..end], meaning)?);
            rest = &inner[end + 1..];
        } else {
            let end = rest.find(|it: char| !is_name(it)).unwrap_or(rest.len());
            res.push_str(&shown(&[&rest[..end]], None, "", meaning));
            rest = &rest[end..];
        }
    }
    res.push_str(&verbatim(rest));
    Some(res)
}

fn is_name(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

/// Where the `}` is that ends a placeholder; a default in quotes may hold one.
fn closing(inner: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    inner.char_indices().find_map(|(at, c)| {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '}') => return Some(at),
            (None, _) => {}
        }
        None
    })
}

/// `a, b:-default | filter`.
fn placeholder(inner: &str, meaning: Meaning<'_>) -> Option<String> {
    let (names, default) = match inner.split_once(":-") {
        Some((names, default)) => (names, Some(default)),
        None => (inner, None),
    };
    let (names, default, filters) = match default {
        None => {
            let (names, filters) = names.split_once('|').unwrap_or((names, ""));
            (names, None, filters)
        }
        Some(default) => {
            let (default, filters) = after_default(default.trim_start());
            (names, Some(default), filters)
        }
    };
    let names: Vec<_> = names.split(',').map(str::trim).collect();
    if names.iter().any(|it| it.is_empty() || !it.chars().all(is_name)) {
        return None;
    }
    let mut piped = String::new();
    for filter in filters.split('|').map(str::trim).filter(|it| !it.is_empty()) {
        piped.push_str(match filter {
            "lower" => " | toLower",
            "upper" => " | toUpper",
            _ => return None,
        });
    }
    Some(shown(&names, default.as_deref(), &piped, meaning))
}

/// A default, with or without quotes, and the filters after it.
fn after_default(text: &str) -> (String, &str) {
    let quote = text.chars().next().filter(|it| matches!(it, '"' | '\''));
    if let Some(quote) = quote
        && let Some(end) = text[1..].find(quote)
    {
        let rest = text[end + 2..].trim_start();
        return (text[1..=end].to_owned(), rest.strip_prefix('|').unwrap_or(rest));
    }
    let (default, filters) = text.split_once('|').unwrap_or((text, ""));
    (default.trim_end().to_owned(), filters)
}

/// The first of `names` that is there, or the default.
fn shown(names: &[&str], default: Option<&str>, piped: &str, meaning: Meaning<'_>) -> String {
    let mut terms = Vec::new();
    for name in names {
        match (*name, meaning.threshold, meaning.labels.get(*name)) {
            ("value", ..) => terms.push("(printf \"%.4g\" $value)".to_owned()),
            ("threshold", Some(it), _) => terms.push(quoted(&it.to_string())),
            (_, _, Some(it)) => terms.push(quoted(it)),
            (name, ..) => terms.push(format!("$labels.{name}")),
        }
    }
    terms.extend(default.filter(|it| !it.is_empty()).map(quoted));
    match terms.as_slice() {
        [one] => format!("{{{{ {one}{piped} }}}}"),
        several => format!("{{{{ or {}{piped} }}}}", several.join(" ")),
    }
}

/// A text of Go, which JSON is.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Phrase;

    #[test]
    fn placeholders_become_those_of_prometheus() {
        let labels = BTreeMap::from([("team".to_owned(), "a \"b\"".to_owned())]);
        let check = |text: &str, expected: Option<&str>| {
            Phrase::parse(text).unwrap();
            let meaning = Meaning { labels: &labels, threshold: Some(80.5) };
            assert_eq!(converted(text, meaning).as_deref(), expected, "{text}");
        };
        check("plain, 5 % {{ x }}", Some("plain, 5 % {{ \"{{\" }} x }}"));
        check("costs $$5", Some("costs $5"));
        check("$host is up", Some("{{ $labels.host }} is up"));
        check("${host}!", Some("{{ $labels.host }}!"));
        check(
            "${instance, host:-a machine} is slow",
            Some("{{ or $labels.instance $labels.host \"a machine\" }} is slow"),
        );
        check("${host:-\"a } b\" | upper}", Some("{{ or $labels.host \"a } b\" | toUpper }}"));
        check("$value > $threshold", Some("{{ (printf \"%.4g\" $value) }} > {{ \"80.5\" }}"));
        check("${team | lower}", Some("{{ \"a \\\"b\\\"\" | toLower }}"));
        check("${host:-}", Some("{{ $labels.host }}"));
        // What has no counterpart.
        check("${host | truncate(5)}", None);
        check("${a.b}", None);
    }
}
