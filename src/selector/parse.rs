//! From the text of a selector to its matchers.

use super::cursor::{Cursor, SyntaxError};
use super::{Comparison, Glob, Matcher, Pattern, Selector, Test};

/// The longest selector, in bytes: it is text that a person writes.
const MAX_BYTES: usize = 16 << 10;

pub(super) fn check_length(text: &str) -> Result<(), SyntaxError> {
    if text.len() > MAX_BYTES {
        return Err(SyntaxError::new(text, 0, format!("a selector has at most {MAX_BYTES} bytes")));
    }
    Ok(())
}

pub(super) fn selector(text: &str) -> Result<Selector, SyntaxError> {
    check_length(text)?;
    let mut cursor = Cursor::new(text);
    cursor.skip_space();
    let type_glob = type_glob(&mut cursor)?;
    cursor.skip_space();
    let matchers = if cursor.eat("{") { list(&mut cursor, matcher)? } else { Vec::new() };
    cursor.skip_space();
    if !cursor.is_done() {
        return Err(cursor.error("expected `{` or the end"));
    }
    Ok(Selector { type_glob, matchers })
}

/// The glob in front of the braces; none means any type, as `PromQL` has it.
fn type_glob(cursor: &mut Cursor<'_>) -> Result<Glob, SyntaxError> {
    let start = cursor.at();
    let quoted = matches!(cursor.peek(), Some('"' | '\'' | '`'));
    let pattern = match cursor.peek() {
        Some('{') => "*".to_owned(),
        Some('"' | '\'' | '`') => cursor.quoted()?,
        _ => {
            cursor.take_while(|it| !it.is_whitespace() && !matches!(it, '{' | '}' | '"')).to_owned()
        }
    };
    if pattern.is_empty() {
        return Err(cursor.error_at(start, "expected an event type, such as `ci_*`"));
    }
    Glob::parse(&pattern).map_err(|(at, message)| {
        cursor.error_at(start + usize::from(quoted) + at, format!("no glob: {message}"))
    })
}

/// What stands between braces, separated by commas. The first brace is behind the cursor.
pub(super) fn list<T>(
    cursor: &mut Cursor<'_>,
    item: fn(&mut Cursor<'_>) -> Result<T, SyntaxError>,
) -> Result<Vec<T>, SyntaxError> {
    let mut res = Vec::new();
    loop {
        cursor.skip_space();
        if cursor.eat("}") {
            return Ok(res);
        }
        res.push(item(cursor)?);
        cursor.skip_space();
        if !cursor.eat(",") {
            cursor.expect("}").map_err(|it| cursor.error_at(it.offset, "expected `,` or `}`"))?;
            return Ok(res);
        }
    }
}

fn matcher(cursor: &mut Cursor<'_>) -> Result<Matcher, SyntaxError> {
    let path = cursor.path(true)?;
    cursor.skip_space();
    Ok(Matcher { path, test: test(cursor)? })
}

/// An operator and what it compares with.
pub(super) fn test(cursor: &mut Cursor<'_>) -> Result<Test, SyntaxError> {
    let at = cursor.at();
    let op = operator(cursor)?;
    cursor.skip_space();
    let is_text = matches!(cursor.peek(), Some('"' | '\'' | '`'));
    let value_at = cursor.at();
    Ok(match op {
        Op::Regex { negated } => {
            let text = cursor.quoted()?;
            let pattern = Pattern::new(&text).map_err(|it| cursor.error_at(value_at, it))?;
            Test::Regex { negated, pattern }
        }
        Op::Compare(Comparison::Equal) if is_text => {
            Test::Text { negated: false, text: cursor.quoted()? }
        }
        Op::Compare(Comparison::NotEqual) if is_text => {
            Test::Text { negated: true, text: cursor.quoted()? }
        }
        Op::Compare(_) if is_text => {
            return Err(cursor.error_at(at, "`<` and `>` compare numbers: leave the quotes out"));
        }
        Op::Compare(comparison) => Test::Number { comparison, number: cursor.number()? },
    })
}

enum Op {
    Regex { negated: bool },
    Compare(Comparison),
}

/// The longer of two operators that begin alike comes first.
fn operator(cursor: &mut Cursor<'_>) -> Result<Op, SyntaxError> {
    for (token, op) in [("=~", false), ("!~", true)] {
        if cursor.eat(token) {
            return Ok(Op::Regex { negated: op });
        }
    }
    let found = Comparison::ALL.into_iter().find(|it| cursor.eat(it.as_str()));
    found
        .map(Op::Compare)
        .ok_or_else(|| cursor.error("expected one of `=`, `!=`, `=~`, `!~`, `<`, `<=`, `>`, `>=`"))
}
