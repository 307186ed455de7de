//! On which terms a push is taken.

use super::Op;
use sha2::{Digest, Sha256};
use std::{str::FromStr, time::Duration};

/// The label of the gravel gateway.
pub const CLEAR_MODE: &str = "clearmode";

/// How a push is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What it does to its group.
    pub op: Op,
    /// How it meets what the group has.
    pub mode: Mode,
    /// How long the group lives after it; `None` for until it is removed.
    pub ttl: Option<Duration>,
    /// What tells that it was sent before.
    pub retry: Option<Retry>,
}

/// How what is pushed meets what is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It takes its place.
    #[default]
    Replace,
    /// It is added to it, and gauges and untyped metrics become what is said here. Families that are not pushed
    /// stay, whatever the [`Op`].
    Sum(Blend),
    /// As with the gravel gateway: every metric says in a label `clearmode`, which is taken off, what becomes of it,
    /// unless all are told the same here.
    Labelled(Option<ClearMode>),
}

/// What the gravel gateway does with a metric. Without it, gauges are replaced and everything else adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClearMode {
    /// It is added to what is there.
    Aggregate,
    /// It takes the place of the same series.
    Replace,
    /// Its family takes the place of the whole family.
    Family,
}

/// What becomes of two values of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blend {
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
        Self { op, mode: Mode::default(), ttl: None, retry: None }
    }
}

impl Mode {
    /// What tells it from others, in words that stay as they are from release to release.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Replace => "replace".to_owned(),
            Self::Sum(it) => format!("sum {}", it.as_str()),
            Self::Labelled(it) => format!("clearmode {}", it.map_or("", ClearMode::as_str)),
        }
    }
}

impl ClearMode {
    /// All of them, with their names in paths and labels; the first name of each is its own.
    const NAMES: [(&str, Self); 5] = [
        ("aggregate", Self::Aggregate),
        ("replace", Self::Replace),
        ("family", Self::Family),
        ("sum", Self::Aggregate),
        ("info", Self::Family),
    ];

    fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|it| it.1 == self).map_or("", |it| it.0)
    }
}

impl FromStr for ClearMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|it| it.0 == text).map(|it| it.1);
        found.ok_or_else(|| {
            let windows = ["mean", "sum"].iter().any(|it| text.starts_with(it));
            let hint =
                if windows { "; sums and means over a window are not kept here" } else { "" };
            format!("{CLEAR_MODE} must be aggregate, replace or family, not {text:?}{hint}")
        })
    }
}

impl FromStr for Blend {
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

impl Blend {
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
