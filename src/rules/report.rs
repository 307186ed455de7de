//! Everything that is wrong with a rule file, and where.

use crate::yaml::{Place, Position};
use serde::Serialize;
use std::fmt;

/// One finding in a rule file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether it makes the file unusable.
    pub severity: Severity,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong. Lower case, without a full stop.
    pub message: String,
    /// The line of the file.
    pub source_line: String,
    /// How many characters of the line are meant; at least 1.
    pub width: usize,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file works, but probably not as intended.
    Warning,
}

/// All errors of a rule file, in its order, and its warnings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diagnostics {
    origin: String,
    findings: Vec<Diagnostic>,
}

impl Diagnostics {
    /// The same findings, with the name of the file that [`Display`](fmt::Display) puts in front.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = origin.into();
        self
    }

    /// The findings, in the order of the file.
    #[must_use]
    pub fn findings(&self) -> &[Diagnostic] {
        &self.findings
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// How many of the findings are errors.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.findings.iter().filter(|it| it.severity == Severity::Error).count()
    }
}

impl fmt::Display for Diagnostics {
    /// Each finding with its line and a caret, as compilers show them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = if self.origin.is_empty() { "rules" } else { &self.origin };
        for (i, it) in self.findings.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{origin}:{it}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, message, .. } = self;
        writeln!(f, "{line}:{column}: {}: {message}", self.severity)?;
        let margin = line.to_string().len().max(4);
        writeln!(f, "{line:margin$} | {}", self.source_line)?;
        let (before, width) = (column.saturating_sub(1), self.width);
        writeln!(f, "{:margin$} | {:before$}{:^<width$}", "", "", "")
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// Collects findings while a file is compiled.
#[derive(Debug)]
pub(super) struct Report<'t> {
    text: &'t str,
    found: Vec<(Place, Severity, String)>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// The whole file.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    pub(super) fn error(&mut self, at: Place, message: impl Into<String>) {
        self.found.push((at, Severity::Error, message.into()));
    }

    pub(super) fn warn(&mut self, at: Place, message: impl Into<String>) {
        self.found.push((at, Severity::Warning, message.into()));
    }

    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(|(_, severity, _)| *severity == Severity::Error)
    }

    pub(super) fn finish(mut self) -> Diagnostics {
        self.found.sort_by_key(|(at, _, _)| at.start);
        self.found.dedup();
        let text = self.text;
        let findings =
            self.found.into_iter().map(|(at, severity, it)| locate(text, at, severity, it));
        Diagnostics { origin: String::new(), findings: findings.collect() }
    }
}

fn locate(text: &str, at: Place, severity: Severity, message: String) -> Diagnostic {
    let Position { line, column, len } = at.position(text);
    let source_line = text.lines().nth(line - 1).unwrap_or_default();
    let source_line = source_line.replace('\t', " ");
    Diagnostic { severity, line, column, message, source_line, width: len }
}

/// `; did you mean ...?` if one of `known` is close to `name`.
#[must_use]
pub fn did_you_mean<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let near = known.map(|it| (distance(name, it), it)).min();
    match near {
        Some((steps, it)) if steps <= 2 && steps < name.len() => format!("; did you mean `{it}`?"),
        _ => String::new(),
    }
}

/// How many characters must be put in, taken out or replaced (Levenshtein). Long names are not compared.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, c) in a.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for (j, (other, above)) in b.iter().zip(row.windows(2)).enumerate() {
            let &[diagonal, above] = above else { continue };
            let left = next.get(j).copied().unwrap_or(0);
            next.push((diagonal + usize::from(c != *other)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
