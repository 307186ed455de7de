//! The exposition formats.

/// An exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Text 0.0.4.
    Text004,
}

/// Chooses the format for the value of an `Accept` header.
#[must_use]
pub fn negotiate(_accept: Option<&str>) -> Format {
    Format::Text004
}

impl Format {
    /// The `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        "text/plain; version=0.0.4; charset=utf-8"
    }
}
