//! How a value is compared.

use serde::{Deserialize, Serialize};

/// How a value is compared with the threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// It is greater.
    #[default]
    #[serde(rename = "gt", alias = ">")]
    Gt,
    /// It is greater or equal.
    #[serde(rename = "gte", alias = ">=")]
    Gte,
    /// It is less.
    #[serde(rename = "lt", alias = "<")]
    Lt,
    /// It is less or equal.
    #[serde(rename = "lte", alias = "<=")]
    Lte,
    /// It is equal.
    #[serde(rename = "eq", alias = "==", alias = "=")]
    Eq,
    /// It is another.
    #[serde(rename = "ne", alias = "!=")]
    Ne,
}

impl Operator {
    /// The sign that people know.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Gt => ">",
            Self::Gte => ">=",
            Self::Lt => "<",
            Self::Lte => "<=",
            Self::Eq => "==",
            Self::Ne => "!=",
        }
    }

    /// Whether the comparison holds.
    #[must_use]
    #[expect(clippy::float_cmp, reason = "`eq` means exactly equal")]
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Gt => value > threshold,
            Self::Gte => value >= threshold,
            Self::Lt => value < threshold,
            Self::Lte => value <= threshold,
            Self::Eq => value == threshold,
            Self::Ne => value != threshold,
        }
    }
}
