//! Reading selectors and templates character by character.

use super::path::{Path, Step, is_name_char};
use std::fmt;

/// Where a selector or a template is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The byte of the text at which the parser gave up.
    pub offset: usize,
    /// What it expected there. Lower case, without a full stop.
    pub message: String,
    text: String,
}

impl SyntaxError {
    /// An error at byte `offset` of `text`.
    pub(crate) fn new(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let offset = (0..=offset.min(text.len())).rev().find(|it| text.is_char_boundary(*it));
        Self { offset: offset.unwrap_or(0), message: message.into(), text: text.to_owned() }
    }

    /// The column of the error, in characters, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.before().chars().count() + 1
    }

    /// The text and, on the next line, a caret under the error.
    #[must_use]
    pub fn caret(&self) -> String {
        let text = self.text.replace(['\n', '\t', '\r'], " ");
        format!("{text}\n{:width$}^", "", width = self.before().chars().count())
    }

    fn before(&self) -> &str {
        self.text.get(..self.offset).unwrap_or_default()
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at column {}", self.message, self.column())
    }
}

impl std::error::Error for SyntaxError {}

/// A position in a text.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.text.len()
    }

    pub(crate) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Skips `token` if it comes next.
    pub(crate) fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Takes characters as long as they please.
    pub(crate) fn take_while(&mut self, mut good: impl FnMut(char) -> bool) -> &'t str {
        let rest = self.rest();
        let len = rest.find(|c| !good(c)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    pub(crate) fn skip_space(&mut self) {
        self.take_while(char::is_whitespace);
    }

    pub(crate) fn error(&self, message: impl Into<String>) -> SyntaxError {
        self.error_at(self.at, message)
    }

    pub(crate) fn error_at(&self, offset: usize, message: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.text, offset, message)
    }

    pub(crate) fn expect(&mut self, token: &str) -> Result<(), SyntaxError> {
        if self.eat(token) { Ok(()) } else { Err(self.error(format!("expected `{token}`"))) }
    }

    /// A text between `"`, `'` or backquotes; the latter has no escapes.
    pub(crate) fn quoted(&mut self) -> Result<String, SyntaxError> {
        let start = self.at;
        let quote = match self.peek() {
            Some(it @ ('"' | '\'' | '`')) => it,
            _ => return Err(self.error("expected a text in quotes")),
        };
        self.bump();
        let mut res = String::new();
        loop {
            match self.bump() {
                None => return Err(self.error_at(start, "the quote is not closed")),
                Some(c) if c == quote => return Ok(res),
                Some('\\') if quote != '`' => self.escape(&mut res, quote)?,
                Some(c) => res.push(c),
            }
        }
    }

    fn escape(&mut self, out: &mut String, quote: char) -> Result<(), SyntaxError> {
        let at = self.at - 1;
        out.push(match self.bump() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some(c) if c == '\\' || c == quote => c,
            _ => return Err(self.error_at(at, "unknown escape; write `\\\\` for a backslash")),
        });
        Ok(())
    }

    /// A path. With `wide`, names may hold `-` or be quoted, as between braces.
    pub(crate) fn path(&mut self, wide: bool) -> Result<Path, SyntaxError> {
        let quoted = wide && self.peek() == Some('"');
        let head = self.name(wide)?;
        let mut steps = Vec::new();
        loop {
            let mark = self.at;
            if self.eat(".") {
                match self.name(wide) {
                    Ok(name) => steps.push(Step::Member(name)),
                    Err(error) if wide => return Err(error),
                    Err(_) => {
                        self.at = mark;
                        break;
                    }
                }
            } else if self.eat("[") {
                match self.index() {
                    Ok(index) => steps.push(Step::Index(index)),
                    Err(error) if wide => return Err(error),
                    Err(_) => {
                        self.at = mark;
                        break;
                    }
                }
            } else {
                break;
            }
        }
        Ok(Path::new(head, quoted, steps))
    }

    fn name(&mut self, wide: bool) -> Result<String, SyntaxError> {
        if wide && self.peek() == Some('"') {
            return self.quoted();
        }
        let start = self.at;
        let name = self.take_while(|it| is_name_char(it, wide));
        match name.chars().next() {
            None => Err(self.error("expected the name of a field")),
            Some(c) if c.is_numeric() || c == '-' => {
                self.at = start;
                Err(self.error("the name of a field starts with a letter or `_`; quote it"))
            }
            Some(_) => Ok(name.to_owned()),
        }
    }

    fn index(&mut self) -> Result<usize, SyntaxError> {
        let digits = self.take_while(|it| it.is_ascii_digit());
        let index = digits.parse().map_err(|_| self.error("expected an index such as `[0]`"))?;
        self.expect("]")?;
        Ok(index)
    }

    /// A decimal number with a point or an exponent.
    pub(crate) fn number(&mut self) -> Result<f64, SyntaxError> {
        let start = self.at;
        let mut sign_may_follow = true;
        let text = self.take_while(|it| {
            let sign = matches!(it, '+' | '-') && sign_may_follow;
            sign_may_follow = matches!(it, 'e' | 'E');
            sign || sign_may_follow || it.is_ascii_digit() || it == '.'
        });
        match text.parse::<f64>() {
            Ok(it) if it.is_finite() => Ok(it),
            _ => Err(self.error_at(start, "expected a number or a text in quotes")),
        }
    }
}
