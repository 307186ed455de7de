//! Shell globs over whole texts.

use std::fmt;

/// A compiled glob: `*` is any text, `?` one character, `[a-z]` and `[!a-z]` one of a set, and `\` takes
/// the next character as it is. It matches whole texts; `/` and `.` are ordinary characters.
#[derive(Clone, Debug)]
pub struct Glob {
    pattern: String,
    program: Program,
}

/// The common shapes have short cuts.
#[derive(Clone, Debug)]
enum Program {
    Exact(String),
    Prefix(String),
    Any(Vec<Token>),
}

#[derive(Clone, Debug)]
enum Token {
    Char(char),
    One,
    Many,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Glob {
    /// Compiles a glob.
    ///
    /// # Errors
    ///
    /// A set that is not closed, is empty or runs backwards, or a `\` at the end: byte offset and message.
    pub fn parse(pattern: &str) -> Result<Self, (usize, &'static str)> {
        let tokens = tokenize(pattern)?;
        Ok(Self { pattern: pattern.to_owned(), program: Program::new(tokens) })
    }

    /// The glob as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match &self.program {
            Program::Exact(it) => it == text,
            Program::Prefix(it) => text.starts_with(it.as_str()),
            Program::Any(tokens) => run(tokens, text),
        }
    }

    /// The only text it matches, if it has no wildcard.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        match &self.program {
            Program::Exact(it) => Some(it),
            Program::Prefix(_) | Program::Any(_) => None,
        }
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Glob {}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

impl Program {
    fn new(tokens: Vec<Token>) -> Self {
        let literal = |tokens: &[Token]| {
            let char = |it: &Token| if let Token::Char(c) = it { Some(*c) } else { None };
            tokens.iter().map(char).collect::<Option<String>>()
        };
        if let Some(text) = literal(&tokens) {
            return Self::Exact(text);
        }
        match tokens.split_last() {
            Some((Token::Many, head)) => literal(head).map_or(Self::Any(tokens), Self::Prefix),
            _ => Self::Any(tokens),
        }
    }
}

fn tokenize(pattern: &str) -> Result<Vec<Token>, (usize, &'static str)> {
    let mut res = Vec::new();
    let mut chars = pattern.char_indices();
    while let Some((at, c)) = chars.next() {
        res.push(match c {
            '*' if matches!(res.last(), Some(Token::Many)) => continue,
            '*' => Token::Many,
            '?' => Token::One,
            '[' => class(at, &mut chars)?,
            '\\' => Token::Char(chars.next().ok_or((at, "nothing follows the `\\`"))?.1),
            c => Token::Char(c),
        });
    }
    Ok(res)
}

fn class(at: usize, chars: &mut std::str::CharIndices<'_>) -> Result<Token, (usize, &'static str)> {
    let open = (at, "the `[` is not closed");
    let mut ranges = Vec::new();
    let mut next = chars.next().ok_or(open)?;
    let negated = matches!(next.1, '!' | '^');
    if negated {
        next = chars.next().ok_or(open)?;
    }
    loop {
        let (start, low) = match next {
            (_, ']') if ranges.is_empty() => return Err((at, "the set is empty")),
            (_, ']') => return Ok(Token::Class { negated, ranges }),
            (start, '\\') => (start, chars.next().ok_or(open)?.1),
            other => other,
        };
        next = chars.next().ok_or(open)?;
        let mut high = low;
        if next.1 == '-' {
            next = chars.next().ok_or(open)?;
            if next.1 == ']' {
                ranges.push(('-', '-'));
            } else {
                high = if next.1 == '\\' { chars.next().ok_or(open)?.1 } else { next.1 };
                next = chars.next().ok_or(open)?;
            }
        }
        if high < low {
            return Err((start, "the range runs backwards"));
        }
        ranges.push((low, high));
    }
}

/// Greedy matching with one point to return to: a later `*` makes an earlier one irrelevant.
fn run(tokens: &[Token], text: &str) -> bool {
    let (mut at, mut token) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        let c = text.get(at..).and_then(|it| it.chars().next());
        let step = match (tokens.get(token), c) {
            (None, None) => return true,
            (Some(Token::Many), _) => {
                back = Some((token + 1, at));
                token += 1;
                continue;
            }
            (Some(it), Some(c)) => it.matches(c),
            _ => false,
        };
        if step {
            at += c.map_or(0, char::len_utf8);
            token += 1;
            continue;
        }
        let Some((after_many, from)) = &mut back else { return false };
        let Some(skipped) = text.get(*from..).and_then(|it| it.chars().next()) else {
            return false;
        };
        *from += skipped.len_utf8();
        (token, at) = (*after_many, *from);
    }
}

impl Token {
    fn matches(&self, c: char) -> bool {
        match self {
            Self::Char(it) => *it == c,
            Self::One => true,
            Self::Many => false,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let glob = Glob::parse(pattern).unwrap();
        for text in yes {
            assert!(glob.matches(text), "{pattern} must match {text}");
        }
        for text in no {
            assert!(!glob.matches(text), "{pattern} must not match {text}");
        }
    }

    #[test]
    fn shapes() {
        check("", &[""], &["a"]);
        check("ab", &["ab"], &["abc", "a", "xab"]);
        check("ab*", &["ab", "abc"], &["a", "xab"]);
        check("*", &["", "a/b.c"], &[]);
        check("*_done", &["_done", "a_done", "_done_done"], &["done", "a_done_"]);
        check("a*b*c", &["abc", "axbxbxc"], &["ab", "acb", "abcx"]);
        check("a?c", &["abc", "aäc"], &["ac", "abbc"]);
        check("v[0-9]*", &["v1", "v1.2"], &["v", "vx"]);
        check("[!a-c]", &["d", "-"], &["a", "", "dd"]);
        check("[a-]", &["a", "-"], &["b"]);
        check("a\\*", &["a*"], &["ab"]);
    }

    #[test]
    fn what_is_no_glob() {
        for (pattern, expected) in [
            ("a[b", (1, "the `[` is not closed")),
            ("[]", (0, "the set is empty")),
            ("[z-a]", (1, "the range runs backwards")),
            ("a\\", (1, "nothing follows the `\\`")),
        ] {
            assert_eq!(Glob::parse(pattern).unwrap_err(), expected, "{pattern}");
        }
    }

    #[test]
    fn many_stars_are_no_bomb() {
        let glob = Glob::parse(&"*a".repeat(50)).unwrap();
        assert!(!glob.matches(&"a".repeat(20_000).replace('a', "b")));
    }
}
