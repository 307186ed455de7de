//! On which terms a push is taken.

use super::Op;
use sha2::{Digest, Sha256};
use std::str::FromStr;

/// How a push is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What it does to its group.
    pub op: Op,
    /// How it meets what the group has.
    pub mode: Mode,
    /// What tells that it was sent before.
    pub retry: Option<Retry>,
}

/// How what is pushed meets what is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It takes its place.
    #[default]
    Replace,
    /// It is added to it. Families that are not pushed stay, whatever the [`Op`].
    Sum(Gauges),
}

/// What becomes of two values of a gauge, or of an untyped metric, under [`Mode::Sum`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gauges {
    /// The one that came last.
    #[default]
    Last,
    /// Their sum.
    Sum,
    /// The smaller one.
    Min,
    /// The larger one.
    Max,
}

/// The `Idempotency-Key` of a push, and what was pushed with it, as digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    pub(super) key: [u8; 16],
    pub(super) fingerprint: u64,
}

impl From<Op> for Terms {
    fn from(op: Op) -> Self {
        Self { op, mode: Mode::default(), retry: None }
    }
}

impl FromStr for Gauges {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "last" => Ok(Self::Last),
            "sum" => Ok(Self::Sum),
            "min" => Ok(Self::Min),
            "max" => Ok(Self::Max),
            _ => Err(()),
        }
    }
}

impl Gauges {
    /// Its name in requests and in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}

impl Retry {
    /// The push that was sent with `key` and consists of `parts`.
    #[must_use]
    pub fn new(key: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let fingerprint = first(&hasher.finalize());
        Self {
            key: first(&Sha256::digest(key.as_bytes())),
            fingerprint: u64::from_le_bytes(fingerprint),
        }
    }

    /// The same key in the group of `group`: another group may use it too.
    pub(super) fn within(self, group: &[u8]) -> [u8; 16] {
        let mut hasher = Sha256::new();
        hasher.update(self.key);
        hasher.update(group);
        first(&hasher.finalize())
    }
}

fn first<const N: usize>(digest: &[u8]) -> [u8; N] {
    digest.first_chunk().copied().unwrap_or([0; N])
}
