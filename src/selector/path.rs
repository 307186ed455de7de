//! Where in an event a value stands.

use super::cursor::{Cursor, SyntaxError};
use std::fmt::{self, Write as _};

/// A path: a name of the envelope, or names and indices into `data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// `type`: what happened.
    Type,
    /// `source`: who says so.
    Source,
    /// `time`: when it happened.
    Time,
    /// `id`: the sender's id or the server's.
    Id,
    /// `subject`: the `CloudEvents` subject.
    Subject,
    /// `trace_id`: 32 hexadecimal digits.
    TraceId,
    /// A name that [`Lookup`](super::Lookup) resolves itself, by this number: see
    /// [`Selector::bind`](super::Selector::bind).
    Bound(usize, String),
    /// A value in `data`.
    Data(DataPath),
}

/// A path into `data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPath {
    /// Whether it was written with `data.` in front, which is never an envelope name or an alias.
    pub explicit: bool,
    /// The member of `data`.
    pub head: String,
    /// Where to go on from there.
    pub steps: Vec<Step>,
}

/// One step into a nested value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A member of an object.
    Member(String),
    /// An element of an array, from 0.
    Index(usize),
}

/// Names that are not in `data`.
const ENVELOPE: [(&str, Path); 6] = [
    ("type", Path::Type),
    ("source", Path::Source),
    ("time", Path::Time),
    ("id", Path::Id),
    ("subject", Path::Subject),
    ("trace_id", Path::TraceId),
];

impl Path {
    /// The path of a head and the steps after it.
    pub(super) fn new(head: String, quoted: bool, mut steps: Vec<Step>) -> Self {
        if steps.is_empty() && !quoted {
            let envelope = ENVELOPE.iter().find(|(name, _)| *name == head);
            if let Some((_, path)) = envelope {
                return path.clone();
            }
        }
        if head == "data"
            && !quoted
            && let Some(Step::Member(member)) = steps.first()
        {
            let head = member.clone();
            steps.remove(0);
            return Self::Data(DataPath { explicit: true, head, steps });
        }
        Self::Data(DataPath { explicit: quoted, head, steps })
    }

    /// Reads a path, such as `steps[0].name`.
    ///
    /// # Errors
    ///
    /// The text is no path.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let mut cursor = Cursor::new(text);
        let path = cursor.path(true)?;
        if cursor.is_done() { Ok(path) } else { Err(cursor.error("expected `.`, `[` or the end")) }
    }

    /// The name alone, if the path is one that an alias may stand for.
    #[must_use]
    pub fn plain_name(&self) -> Option<&str> {
        match self {
            Self::Data(it) if !it.explicit && it.steps.is_empty() => Some(&it.head),
            _ => None,
        }
    }
}

/// Whether `c` may stand in a name that is not quoted. With `wide`, also `-`, which templates without
/// braces leave to the text around them.
pub(super) fn is_name_char(c: char, wide: bool) -> bool {
    c.is_alphanumeric() || c == '_' || (wide && c == '-')
}

fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let plain = !name.is_empty()
        && name.chars().all(|it| is_name_char(it, true))
        && !name.starts_with(|it: char| it.is_numeric() || it == '-');
    if plain { f.write_str(name) } else { write_quoted(f, name) }
}

/// Writes `text` between double quotes, as the parser reads it.
pub(super) fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bound(_, name) => write_name(f, name),
            Self::Data(it) => it.fmt(f),
            it => {
                let name = ENVELOPE.iter().find(|(_, path)| path == it);
                f.write_str(name.map_or("", |(name, _)| name))
            }
        }
    }
}

impl fmt::Display for DataPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.explicit {
            f.write_str("data.")?;
        }
        write_name(f, &self.head)?;
        write_steps(f, &self.steps)
    }
}

/// Writes the steps after a head.
pub(super) fn write_steps(f: &mut fmt::Formatter<'_>, steps: &[Step]) -> fmt::Result {
    steps.iter().try_for_each(|step| match step {
        Step::Index(it) => write!(f, "[{it}]"),
        Step::Member(it) => {
            f.write_char('.')?;
            write_name(f, it)
        }
    })
}
