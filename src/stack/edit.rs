//! Changes one value of a YAML file, and leaves everything else as it is, comments too.

use crate::yaml::{Duplicates, Key, Kind, Node, parse};
use std::collections::BTreeMap;

/// `text` with `value` at `path`, keys from the outermost on. A value that is no list or map in one line is text.
///
/// # Errors
///
/// The file is no YAML, what stands at `path` cannot be replaced in place, or the change would change more than that.
pub fn set(text: &str, path: &[&str], value: &str) -> Result<String, String> {
    let root = read(text)?;
    let value = scalar(value)?;
    let edited = Edit { text, value: &value }.at(&root, None, path)?;
    // Whatever is odd about the file is found here, and not later by whoever reads it.
    let mut expected = flat(&root);
    let name = path.join(".");
    let replaced: Vec<_> = expected.keys().filter(|it| below(it, &name)).cloned().collect();
    replaced.iter().for_each(|it| drop(expected.remove(it)));
    // An empty section that gets its first key is one no more.
    expected.retain(|key, value| value != "~" || !below(&name, key));
    let mut found = flat(&read(&edited)?);
    found.retain(|key, _| !below(key, &name));
    found.retain(|key, value| value != "~" || !below(&name, key));
    if found != expected {
        return Err(format!("cannot change {name} without changing more: do it by hand"));
    }
    Ok(edited)
}

fn below(key: &str, name: &str) -> bool {
    key.strip_prefix(name).is_some_and(|it| it.is_empty() || it.starts_with('.'))
}

fn read(text: &str) -> Result<Node, String> {
    parse(text, Duplicates::Refused).map_err(|(at, why)| match at {
        Some(at) => format!("line {}: {why}", at.position(text).line),
        None => why,
    })
}

/// `value` as it is written in YAML.
fn scalar(value: &str) -> Result<String, String> {
    if value.contains(['\n', '\r', '\0']) {
        return Err("a value has one line".to_owned());
    }
    let structured = value.starts_with(['[', '{']);
    let odd =
        value.is_empty() || value.trim() != value || value.contains(": ") || value.contains(" #");
    match parse(value, Duplicates::Refused).map(|it| it.kind) {
        Ok(Kind::List(_) | Kind::Map(_)) if structured => Ok(value.to_owned()),
        Ok(Kind::Map(_) | Kind::List(_)) | Err(_) => Ok(serde_json::Value::from(value).to_string()),
        Ok(_) if odd => Ok(serde_json::Value::from(value).to_string()),
        Ok(_) => Ok(value.to_owned()),
    }
}

struct Edit<'a> {
    text: &'a str,
    value: &'a str,
}

impl Edit<'_> {
    /// Goes into `node`, which stands behind `key`, as far as there is something.
    fn at(&self, node: &Node, key: Option<&Key>, path: &[&str]) -> Result<String, String> {
        if path.is_empty() {
            return self.replace(node, key);
        }
        if let Kind::Map(entries) = &node.kind {
            // `a.b: 1` is the same as `b` below `a`.
            for n in (1..=path.len()).rev() {
                let (head, rest) = path.split_at(n);
                if let Some((key, node)) = entries.iter().find(|it| it.0.name == head.join(".")) {
                    return self.at(node, Some(key), rest);
                }
            }
        }
        match (&node.kind, key) {
            (Kind::Map(_), None) | (Kind::Null, None) => Ok(self.appended(path)),
            (Kind::Map(entries), Some(key)) => self.inserted(entries, key, path),
            (Kind::Null, Some(key)) => Ok(self.below(key, self.indent(key) + 2, path)),
            _ => Err(format!("{} is not below something with keys", path.join("."))),
        }
    }

    fn replace(&self, node: &Node, key: Option<&Key>) -> Result<String, String> {
        let Some(key) = key else { return Err("the file has one value".to_owned()) };
        match &node.kind {
            Kind::Null => {
                let (head, tail) = self.text.split_at(self.colon(key)?);
                // `key: null` has a text of its own.
                let rest = tail.trim_start_matches(' ');
                let rest = rest.strip_prefix("null").or(rest.strip_prefix('~')).unwrap_or(tail);
                Ok(format!("{head} {}{rest}", self.value))
            }
            Kind::List(_) | Kind::Map(_) => {
                let start = self.colon(key)?;
                let rest = self.text.get(start..).unwrap_or_default();
                let line = rest.lines().next().unwrap_or_default();
                let old = line.split(" #").next().unwrap_or_default();
                let flow = old.trim_start().starts_with(['[', '{']) && read(old).is_ok();
                if !flow {
                    return Err("a list or map of several lines is changed by hand".to_owned());
                }
                let end = start + old.trim_end().len();
                Ok(self.spliced(start, end, &format!(" {}", self.value)))
            }
            _ => Ok(self.spliced(node.at.start, node.at.end, self.value)),
        }
    }

    fn spliced(&self, start: usize, end: usize, with: &str) -> String {
        let head = self.text.get(..start).unwrap_or_default();
        let kept = self.text.get(start..end).unwrap_or_default();
        // A scalar may be taken with the white space behind it.
        let behind = &kept[kept.trim_end().len()..];
        let tail = self.text.get(end..).unwrap_or_default();
        format!("{head}{with}{behind}{tail}")
    }

    /// The byte behind the colon of `key`.
    fn colon(&self, key: &Key) -> Result<usize, String> {
        let rest = self.text.get(key.at.end..).unwrap_or_default();
        let at = rest.find(':').ok_or("a key without a colon")?;
        Ok(key.at.end + at + 1)
    }

    fn indent(&self, key: &Key) -> usize {
        key.at.position(self.text).column - 1
    }

    fn inserted(
        &self,
        entries: &[(Key, Node)],
        key: &Key,
        path: &[&str],
    ) -> Result<String, String> {
        let colon = self.colon(key)?;
        let line = self.text.get(colon..).unwrap_or_default().lines().next().unwrap_or_default();
        if let Some(at) = line.find('{').filter(|at| line[..*at].trim().is_empty()) {
            let nested = path.iter().rev().skip(1).fold(self.value.to_owned(), |it, _| it);
            let open: String =
                path.iter().take(path.len() - 1).map(|it| format!("{it}: {{")).collect();
            let close = "}".repeat(path.len() - 1);
            let last = path.last().copied().unwrap_or_default();
            let comma = if entries.is_empty() { "" } else { ", " };
            let at = colon + at + 1;
            return Ok(self.spliced(at, at, &format!("{open}{last}: {nested}{close}{comma}")));
        }
        let indent = entries.first().map_or(self.indent(key) + 2, |it| self.indent(&it.0));
        Ok(self.below(key, indent, path))
    }

    /// The lines for `path` right below the line of `key`.
    fn below(&self, key: &Key, indent: usize, path: &[&str]) -> String {
        let rest = self.text.get(key.at.end..).unwrap_or_default();
        match rest.find('\n') {
            Some(at) => {
                let at = key.at.end + at + 1;
                self.spliced(at, at, &self.lines(indent, path))
            }
            None => format!("{}\n{}", self.text, self.lines(indent, path)),
        }
    }

    fn appended(&self, path: &[&str]) -> String {
        let newline = if self.text.is_empty() || self.text.ends_with('\n') { "" } else { "\n" };
        format!("{}{newline}{}", self.text, self.lines(0, path))
    }

    fn lines(&self, indent: usize, path: &[&str]) -> String {
        let line = |(depth, name): (usize, &&str)| {
            let space = " ".repeat(indent + depth * 2);
            let end =
                if depth + 1 == path.len() { format!(" {}", self.value) } else { String::new() };
            format!("{space}{name}:{end}\n")
        };
        path.iter().enumerate().map(line).collect()
    }
}

/// Every scalar by its path.
fn flat(node: &Node) -> BTreeMap<String, String> {
    fn walk(node: &Node, path: &str, acc: &mut BTreeMap<String, String>) {
        let below =
            |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match &node.kind {
            Kind::Null => drop(acc.insert(path.to_owned(), "~".to_owned())),
            Kind::Bool(it) => drop(acc.insert(path.to_owned(), it.to_string())),
            Kind::Number(it) | Kind::Text(it) => {
                drop(acc.insert(path.to_owned(), format!("{it:?}")))
            }
            Kind::List(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(at, it)| walk(it, &below(&at.to_string()), acc));
            }
            Kind::Map(entries) => {
                entries.iter().for_each(|(key, it)| walk(it, &below(&key.name), acc))
            }
        }
    }
    let mut acc = BTreeMap::new();
    walk(node, "", &mut acc);
    acc.remove("");
    acc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, path: &str, value: &str, expected: &str) {
        let path: Vec<_> = path.split('.').collect();
        assert_eq!(set(text, &path, value).as_deref(), Ok(expected), "{text}");
    }

    #[test]
    fn a_value_is_replaced_where_it_stands() {
        check("a: 1 # one\nb: 2\n", "a", "3", "a: 3 # one\nb: 2\n");
        check("a: 'x y' # one", "a", "z", "a: z # one");
        check("a:\n  # why\n  b: 1\n  c: 2\n", "a.b", "true", "a:\n  # why\n  b: true\n  c: 2\n");
        check("a: {b: 1, c: 2}\n", "a.c", "9", "a: {b: 1, c: 9}\n");
        check("a: {b: {c: 2}}\n", "a.b.c", "9", "a: {b: {c: 9}}\n");
        check("a: [x, y] # z\nb: 1\n", "a", "[q]", "a: [q] # z\nb: 1\n");
        check("a: null\nb:\n", "a", "1", "a: 1\nb:\n");
        check("a:   # nothing\nb: 1\n", "a", "1", "a: 1   # nothing\nb: 1\n");
        check("a.b: 1\n", "a.b", "2", "a.b: 2\n");
    }

    #[test]
    fn a_key_that_is_not_there_is_put_below_its_section() {
        check("", "a", "1", "a: 1\n");
        check("# only this", "a.b", "1", "# only this\na:\n  b: 1\n");
        check(
            "a:\n    # why\n    b: 1\nc: 2\n",
            "a.d",
            "x",
            "a:\n    d: x\n    # why\n    b: 1\nc: 2\n",
        );
        check("a:\n  #b: 1\nc: 2\n", "a.b", "x", "a:\n  b: x\n  #b: 1\nc: 2\n");
        check("a:\n  b:\n    c: 1\n", "a.d.e", "x", "a:\n  d:\n    e: x\n  b:\n    c: 1\n");
        check("a: {b: 1}\n", "a.c.d", "2", "a: {c: {d: 2}, b: 1}\n");
        check("a: {}\n", "a.c", "2", "a: {c: 2}\n");
        check("a:", "a.c", "2", "a:\n  c: 2\n");
    }

    #[test]
    fn odd_values_are_quoted() {
        check("", "a", "x: y", "a: \"x: y\"\n");
        check("", "a", "", "a: \"\"\n");
        check("", "a", "x #1", "a: \"x #1\"\n");
        check("", "a", ":9091", "a: :9091\n");
        check("", "a", "[1, 2", "a: \"[1, 2\"\n");
    }

    #[test]
    fn what_cannot_be_changed_alone_is_refused() {
        let refused = |text: &str, path: &str, value: &str| {
            set(text, &path.split('.').collect::<Vec<_>>(), value).unwrap_err()
        };
        assert!(refused("a: &x 1\nb: *x\n", "a", "2\n").contains("one line"));
        assert!(refused("a: &x 1\nb: *x\n", "a", "2").contains("by hand"));
        assert!(refused("a:\n  - 1\n", "a", "2").contains("by hand"));
        assert!(refused("a: 1\n", "a.b", "2").contains("not below something"));
        assert!(refused("a: [", "a", "2").contains("line 1"));
    }
}
