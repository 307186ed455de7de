//! The tokens of text 0.0.4, with the words that the Pushgateway's parser has for what is wrong.

use super::path::{quote, quote_byte};
use super::{BodyError, Limits};

/// What is left of a body. Line feeds are tokens: a body that ends within a line is cut off.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
    /// The line, counted from 1.
    pub(super) line: usize,
}

/// Why a line cannot be read.
#[derive(Debug)]
pub(super) enum Fail {
    /// The input ends within it.
    End,
    /// It is malformed.
    Malformed(String),
    /// It exceeds a limit.
    TooLarge(String),
}

pub(super) type Res<T> = Result<T, Fail>;

/// An error of the parser.
pub(super) fn malformed<T>(message: String) -> Res<T> {
    Err(Fail::Malformed(message))
}

impl Fail {
    /// The error of line `line`.
    pub(super) fn at(self, line: usize) -> BodyError {
        let prefix = |it: &str| format!("text format parsing error in line {line}: {it}");
        match self {
            Self::End => BodyError::Malformed(prefix("unexpected end of input stream")),
            Self::Malformed(it) => BodyError::Malformed(prefix(&it)),
            Self::TooLarge(it) => BodyError::TooLarge(prefix(&it)),
        }
    }
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0, line: 0 }
    }

    /// The next byte, which stays.
    pub(super) fn peek(&self) -> Res<u8> {
        self.input.get(self.at).copied().ok_or(Fail::End)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.input.len()
    }

    pub(super) fn skip(&mut self) {
        self.at += 1;
    }

    /// Passes over `byte` if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> Res<bool> {
        let there = self.peek()? == byte;
        self.at += usize::from(there);
        Ok(there)
    }

    /// Passes over blanks.
    pub(super) fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.iter().position(|it| !matches!(it, b' ' | b'\t')).unwrap_or(rest.len());
    }

    fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// The bytes before the next that `end` accepts, which must be there.
    fn until(&mut self, end: impl Fn(u8) -> bool) -> Res<&'a [u8]> {
        let rest = self.rest();
        let len = rest.iter().position(|it| end(*it)).ok_or(Fail::End)?;
        self.at += len;
        Ok(rest.get(..len).unwrap_or_default())
    }

    /// What stands before the next blank or line feed.
    pub(super) fn token(&mut self) -> Res<&'a [u8]> {
        self.until(|it| matches!(it, b' ' | b'\t' | b'\n'))
    }

    /// What stands before the line feed, which stays.
    pub(super) fn rest_of_line(&mut self) -> Res<&'a [u8]> {
        let rest = self.rest();
        let len = memchr::memchr(b'\n', rest).ok_or(Fail::End)?;
        self.at += len;
        Ok(rest.get(..len).unwrap_or_default())
    }

    /// A help text: the rest of the line without its escapes.
    pub(super) fn help(&mut self, limits: &Limits) -> Res<String> {
        let rest = self.rest();
        let len = memchr::memchr(b'\n', rest);
        let raw = rest.get(..len.unwrap_or(rest.len())).unwrap_or_default();
        let mut text = Vec::with_capacity(raw.len());
        let mut bytes = raw.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => match (bytes.next(), len) {
                    (Some(it), _) => text.push(escape(*it)?),
                    (None, Some(_)) => text.push(escape(b'\n')?),
                    (None, None) => return Err(Fail::End),
                },
                it => text.push(*it),
            }
        }
        self.at += len.ok_or(Fail::End)?;
        if text.len() > limits.help_bytes {
            let max = limits.help_bytes;
            return Err(Fail::TooLarge(format!("a help text is longer than {max} bytes")));
        }
        // Shown as it is, it would make the page invalid.
        Ok(String::from_utf8(text)
            .unwrap_or_else(|it| String::from_utf8_lossy(it.as_bytes()).into_owned()))
    }

    /// The name of a metric (`colon`) or label: what characters of names there are, or what stands
    /// between quotes. Empty if neither begins here. Says whether it was quoted.
    pub(super) fn name(&mut self, colon: bool, limits: &Limits) -> Res<(Vec<u8>, bool)> {
        let quoted = self.peek()? == b'"';
        let name = if quoted {
            self.skip();
            self.quoted(if colon { "metric name" } else { "label name" })?
        } else if self.peek()?.is_ascii_digit() {
            Vec::new()
        } else {
            let part = |it: u8| it.is_ascii_alphanumeric() || it == b'_' || (colon && it == b':');
            self.until(|it| !part(it))?.to_vec()
        };
        if name.len() > limits.name_bytes {
            let max = limits.name_bytes;
            return Err(Fail::TooLarge(format!("a name is longer than {max} bytes")));
        }
        Ok((name, quoted))
    }

    /// The value of a label, from its quote on.
    pub(super) fn label_value(&mut self, limits: &Limits) -> Res<String> {
        let byte = self.peek()?;
        if byte != b'"' {
            let found = quote_byte(byte);
            return malformed(format!("expected '\"' at start of label value, found {found}"));
        }
        self.skip();
        let value = self.quoted("label value")?;
        if value.len() > limits.value_bytes {
            let max = limits.value_bytes;
            return Err(Fail::TooLarge(format!("a label value is longer than {max} bytes")));
        }
        String::from_utf8(value)
            .or_else(|it| malformed(format!("invalid label value {}", quote(it.as_bytes()))))
    }

    /// What stands before the closing quote, without its escapes; passes over that quote.
    fn quoted(&mut self, what: &str) -> Res<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            let rest = self.rest();
            let len = memchr::memchr3(b'"', b'\\', b'\n', rest).ok_or(Fail::End)?;
            text.extend_from_slice(rest.get(..len).unwrap_or_default());
            self.at += len;
            match self.peek()? {
                b'"' => {
                    self.skip();
                    return Ok(text);
                }
                b'\\' => {
                    self.skip();
                    text.push(escape(self.peek()?)?);
                    self.skip();
                }
                _ => {
                    let text = quote(&text);
                    return malformed(format!("{what} {text} contains unescaped new-line"));
                }
            }
        }
    }
}

/// What stands for `\` and `byte`.
fn escape(byte: u8) -> Res<u8> {
    match byte {
        b'n' => Ok(b'\n'),
        b'\\' | b'"' => Ok(byte),
        _ => malformed(format!("invalid escape sequence '\\{}'", char::from(byte))),
    }
}
