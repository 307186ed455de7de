//! Durations as people write them.

use crate::rules::parse_duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use std::{fmt, time::Duration};

/// A duration that is written as `5m`, or as a number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in
            [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)]
        {
            if rest >= millis {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let read = match &value {
            Value::Number(it) => it.as_f64().and_then(|it| Duration::try_from_secs_f64(it).ok()),
            Value::String(it) if matches!(it.trim(), "0" | "0s") => Some(Duration::ZERO),
            Value::String(it) => parse_duration(it.trim()),
            _ => None,
        };
        read.map(Self).ok_or_else(|| {
            de::Error::custom(format!("{value} is no duration such as 90s, 5m or 1h30m"))
        })
    }
}
