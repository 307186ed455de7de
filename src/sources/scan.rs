//! Checks on the text of one JSON value that the parser does not make: how deep it nests, how many
//! members it has, and whether its escapes spell characters.
//!
//! An ordinary event passes by a look at its length and a search for a byte, so that the scan proper runs
//! only over what could be wrong.

use crate::event::Limits;
use memchr::{memchr, memchr2_iter};

/// What is wrong with a value, as the end of a sentence about it.
pub(super) fn check(text: &str, limits: &Limits) -> Result<(), String> {
    let bytes = text.as_bytes();
    // A member takes two bytes at least, and a level one.
    let elements_fit = bytes.len() / 2 <= limits.elements;
    let levels_fit = bytes.len() <= limits.depth
        || memchr2_iter(b'{', b'[', bytes).take(limits.depth + 1).count() <= limits.depth;
    if !(elements_fit && levels_fit) {
        let (depth, elements) = measure(bytes);
        if depth > limits.depth {
            return Err(format!("nests {depth} levels deep; the limit is {}", limits.depth));
        }
        if elements > limits.elements {
            return Err(format!("has {elements} elements; the limit is {}", limits.elements));
        }
    }
    match lone_surrogate(bytes) {
        Some(at) => Err(format!("has half a surrogate pair at byte {at}")),
        None => Ok(()),
    }
}

/// The depth, and the number of members and elements at all levels, of valid JSON.
fn measure(bytes: &[u8]) -> (usize, usize) {
    let (mut depth, mut deepest, mut elements) = (0_usize, 0, 0);
    let mut in_string = false;
    let mut opened = false;
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => {
                bytes.next();
            }
            b'"' => {
                in_string = !in_string;
                opened = false;
            }
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = depth.max(deepest);
                opened = true;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                // Commas separate: the last element is counted here, unless there is none.
                elements += usize::from(!opened);
                opened = false;
            }
            b',' => elements += 1,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => opened = false,
        }
    }
    (deepest, elements)
}

/// Where the first `\uD800`-`\uDFFF` that is no half of a pair stands. JSON's grammar allows it, but it is
/// no character, and whoever reads the string later would fail.
fn lone_surrogate(bytes: &[u8]) -> Option<usize> {
    let mut at = memchr(b'\\', bytes)?;
    loop {
        let unit = unit_at(bytes, at);
        match unit {
            Some(0xDC00..=0xDFFF) => return Some(at),
            Some(0xD800..=0xDBFF) => match unit_at(bytes, at + 6) {
                Some(0xDC00..=0xDFFF) => at += 12,
                _ => return Some(at),
            },
            Some(_) => at += 6,
            None => at += 2,
        }
        at += memchr(b'\\', bytes.get(at..)?)?;
    }
}

/// The UTF-16 unit that an escape `\uXXXX` at `at` spells.
fn unit_at(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_measure(text: &str, expected: (usize, usize)) {
        assert_eq!(measure(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn depth_and_elements() {
        check_measure("1", (0, 0));
        check_measure("{}", (1, 0));
        check_measure("[ ]", (1, 0));
        check_measure(r#"{"a":1}"#, (1, 1));
        check_measure(r#"[""]"#, (1, 1));
        check_measure(r#"[[],[]]"#, (2, 2));
        check_measure(r#"{"a":[1,2,3],"b":{"c":{}}}"#, (3, 6));
        check_measure(r#"{"a":"[[[[,,,\"{{"}"#, (1, 1));
        check_measure(r#"{"a\\":"b"}"#, (1, 1));
    }

    #[test]
    fn limits_hold_at_the_edge() {
        let limits = Limits { depth: 3, elements: 4, ..Limits::default() };
        let res = |text: &str| check(text, &limits).err().unwrap_or_default();
        assert_eq!(res("[[[1]]]"), "");
        assert_eq!(res("[[[[1]]]]"), "nests 4 levels deep; the limit is 3");
        assert_eq!(res(r#"["[[[[[","{{{{"]"#), "");
        assert_eq!(res("[1,2,3,4]"), "");
        assert_eq!(res("[1,2,3,4,5]"), "has 5 elements; the limit is 4");
    }

    #[test]
    fn surrogates() {
        let limits = Limits::default();
        let ok = |text: &str| check(text, &limits).is_ok();
        assert!(ok(r#"["\ud83d\ude00 \u00e9 \\ud83d \n \" \u0000"]"#));
        assert!(!ok(r#"["\ud83d"]"#));
        assert!(!ok(r#"["\ude00"]"#));
        assert!(!ok(r#"["\ud83d\n"]"#));
        assert!(!ok(r#"["\ud83d\ud83d\ude00"]"#));
        assert!(!ok(r#"["\\\ud83dx"]"#));
    }
}
