//! The series projection: what `/metrics` shows.

pub mod trial;

use bytes::Bytes;

/// Who asks for a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A Prometheus: a new series shows 0 first. `timeout_ms` is its own scrape timeout, if it said so.
    Prometheus,
    /// Anyone else: sees the truth at once.
    Person,
}

/// A rendered scrape.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The body, in chunks.
    pub chunks: std::sync::Arc<[Bytes]>,
    /// Bytes in all chunks.
    pub len: usize,
}
