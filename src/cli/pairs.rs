//! `key=value` arguments.

use serde_json::{Map, Value};

/// Reads `key=text` and `key:=JSON` arguments into one object, on top of `data`.
///
/// Text stays text, also `1` and `true`: a branch may be called so. What is meant as a number says so.
pub(super) fn read(
    mut data: Map<String, Value>,
    pairs: &[String],
) -> Result<Map<String, Value>, String> {
    let mut seen = Vec::new();
    for pair in pairs {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            format!(
                "`{pair}` is no key=value; text is written key=text, a number or other JSON key:=1"
            )
        })?;
        let (key, value) = match key.strip_suffix(':') {
            Some(key) => (key, json(key, value)?),
            None => (key, Value::String(value.to_owned())),
        };
        if key.is_empty() {
            return Err(format!("`{pair}` has no key"));
        }
        if seen.contains(&key) {
            return Err(format!("`{key}` is given twice"));
        }
        seen.push(key);
        data.insert(key.to_owned(), value);
    }
    Ok(data)
}

fn json(key: &str, text: &str) -> Result<Value, String> {
    serde_json::from_str(text)
        .map_err(|err| format!("`{key}:={text}` is no JSON: {err}; text is written {key}={text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pairs: &[&str], expected: &str) {
        let pairs: Vec<_> = pairs.iter().map(|it| (*it).to_owned()).collect();
        let read = read(Map::new(), &pairs).map(|it| Value::Object(it).to_string());
        assert_eq!(read.unwrap_or_else(|it| it), expected);
    }

    #[test]
    fn text_stays_text() {
        check(&["branch=true", "n=1", "empty="], r#"{"branch":"true","empty":"","n":"1"}"#);
        check(&["url=http://x/?a=b:=c"], r#"{"url":"http://x/?a=b:=c"}"#);
    }

    #[test]
    fn json_is_typed() {
        check(&["n:=1.50", "b:=true", "z:=null"], r#"{"b":true,"n":1.5,"z":null}"#);
        check(&[r#"tags:=["a","b"]"#, r#"o:={"x":1}"#], r#"{"o":{"x":1},"tags":["a","b"]}"#);
        check(&[r#"text:="1""#], r#"{"text":"1"}"#);
    }

    #[test]
    fn mistakes_say_how_it_is_written() {
        check(
            &["branch"],
            "`branch` is no key=value; text is written key=text, a number or other JSON key:=1",
        );
        check(&["=x"], "`=x` has no key");
        check(&[":=1"], "`:=1` has no key");
        check(&["a=1", "a:=2"], "`a` is given twice");
        check(
            &["a:=x"],
            "`a:=x` is no JSON: expected value at line 1 column 1; text is written a=x",
        );
    }

    #[test]
    fn pairs_win_over_the_data() {
        let data = serde_json::from_str(r#"{"a":1,"b":2}"#).unwrap();
        let read = read(data, &["a=x".to_owned()]).unwrap();
        assert_eq!(Value::Object(read).to_string(), r#"{"a":"x","b":2}"#);
    }
}
