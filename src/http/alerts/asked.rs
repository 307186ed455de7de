//! Which alerts are asked for, and from where on.

use super::status_of;
use crate::alerts::{Alert, Status};
use crate::event::Time;
use crate::http::endpoint::Call;
use crate::http::error::ApiError;
use crate::http::params;
use crate::http::query;
use std::{borrow::Cow, fmt};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// What is asked for.
#[derive(Default)]
pub(in crate::http) struct Asked {
    severities: Vec<String>,
    statuses: Vec<String>,
    rule: Option<String>,
    labels: Vec<(String, String)>,
    since: Option<Time>,
    pub(super) limit: usize,
    cursor: Option<Cursor>,
}

impl Asked {
    pub(super) fn read(call: &Call) -> Result<Self, ApiError> {
        Self::parse(call, params::params(&call.uri))
    }

    fn parse<'u>(
        call: &Call,
        params: impl Iterator<Item = (Cow<'u, str>, Cow<'u, str>)>,
    ) -> Result<Self, ApiError> {
        let now = call.state.pipeline.now();
        let mut res = Self { limit: DEFAULT_LIMIT, ..Self::default() };
        for (name, value) in params {
            match name.as_ref() {
                "severity" => {
                    res.severities = one_of(&name, &value, &["critical", "high", "medium", "low"])?
                }
                "status" => {
                    let known = [
                        "active",
                        "firing",
                        "pending",
                        "acknowledged",
                        "silenced",
                        "resolved",
                        "all",
                    ];
                    res.statuses = one_of(&name, &value, &known)?;
                }
                "rule" => res.rule = Some(value.into_owned()),
                "label" => {
                    let (label, value) = value.split_once('=').ok_or_else(|| {
                        ApiError::parameter(
                            "label",
                            "must be a name and a value, such as label=project=web",
                        )
                    })?;
                    res.labels.push((label.to_owned(), value.to_owned()));
                }
                "since" => res.since = Some(params::time(&name, &value, now)?),
                "limit" => res.limit = query::limit_of(&value, MAX_LIMIT)?,
                "cursor" => res.cursor = Some(Cursor::read(&value)?),
                _ => {
                    let reason = "is not a parameter here: there are severity, status, rule, label, since, limit and cursor";
                    return Err(ApiError::parameter(&name, reason));
                }
            }
        }
        Ok(res)
    }

    /// What a stream asks for: which alerts, but not in which state, for that is what it is to tell.
    pub(in crate::http) fn read_for_stream(call: &Call) -> Result<Self, ApiError> {
        let known = ["severity", "rule", "label", "ticket"];
        let wrong = params::params(&call.uri).find(|it| !known.contains(&it.0.as_ref()));
        if let Some((name, _)) = wrong {
            let reason = "is not a parameter here: there are severity, rule, label and ticket";
            return Err(ApiError::parameter(&name, reason));
        }
        Self::parse(call, params::params(&call.uri).filter(|it| it.0 != "ticket"))
    }

    pub(in crate::http) fn wants(&self, it: &Alert) -> bool {
        let status = status_of(it);
        let is = |asked: &String| match asked.as_str() {
            "all" => true,
            "firing" => it.status == Status::Firing,
            other => other == status,
        };
        let label = |(name, value): &(String, String)| {
            it.labels.get(name).map_or("", String::as_str) == value
        };
        (self.severities.is_empty()
            || self.severities.iter().any(|name| name == it.severity.as_str()))
            && (self.statuses.is_empty() || self.statuses.iter().any(is))
            && self.rule.as_ref().is_none_or(|rule| *rule == it.rule_id || *rule == it.rule_name)
            && self.labels.iter().all(label)
            && self.since.is_none_or(|since| it.starts_at >= since)
    }

    /// Whether the history has some of it.
    pub(super) fn is_past(&self) -> bool {
        self.statuses.iter().any(|it| it == "resolved" || it == "all")
    }

    /// Whether an alert that is pending or fires comes behind the cursor.
    pub(super) fn is_behind(&self, it: &Alert) -> bool {
        match &self.cursor {
            None => true,
            Some(Cursor::Active(at, id)) => {
                it.starts_at < *at || (it.starts_at == *at && it.id > *id)
            }
            Some(Cursor::Past(_)) => false,
        }
    }

    /// From where on the history is wanted.
    pub(super) fn past(&self) -> Option<&[u8]> {
        match &self.cursor {
            Some(Cursor::Past(key)) => Some(key),
            _ => None,
        }
    }
}

fn one_of(name: &str, value: &str, known: &[&str]) -> Result<Vec<String>, ApiError> {
    let names: Vec<_> = value.split(',').map(|it| it.trim().to_lowercase()).collect();
    match names.iter().find(|it| !known.contains(&it.as_str())) {
        Some(_) => Err(ApiError::parameter(name, format!("must be of {}", known.join(", ")))),
        None => Ok(names),
    }
}

/// Where a list goes on. What fires comes first, the newest first, and then what is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cursor {
    /// Behind the alert that began then, and has that id.
    Active(Time, String),
    /// Behind that entry of the history.
    Past(Vec<u8>),
}

impl Cursor {
    pub(super) fn behind(it: &Alert) -> Self {
        Self::Active(it.starts_at, it.id.clone())
    }

    fn read(text: &str) -> Result<Self, ApiError> {
        let active = text.strip_prefix("a-");
        let hex = active.unwrap_or(text);
        let byte = |at: usize| hex.get(at..at + 2).and_then(|it| u8::from_str_radix(it, 16).ok());
        let bytes: Option<Vec<_>> = (0..hex.len()).step_by(2).map(byte).collect();
        let read = bytes.and_then(|bytes| match active {
            None => Some(Self::Past(bytes)),
            Some(_) => {
                let (time, id) = bytes.split_at_checked(8)?;
                let time = Time::from_nanos(i64::from_be_bytes(time.try_into().ok()?));
                Some(Self::Active(time, String::from_utf8(id.to_vec()).ok()?))
            }
        });
        let wrong = || ApiError::parameter("cursor", "is none of ours: begin again without it");
        read.ok_or_else(wrong)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match self {
            Self::Past(key) => key.clone(),
            Self::Active(at, id) => {
                f.write_str("a-")?;
                [&at.as_nanos().to_be_bytes(), id.as_bytes()].concat()
            }
        };
        bytes.iter().try_for_each(|it| write!(f, "{it:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back() {
        for it in [
            Cursor::Past(vec![b'h', 0, 255]),
            Cursor::Active(Time::from_millis(1_767_225_600_000), "alert-1".to_owned()),
        ] {
            assert_eq!(Cursor::read(&it.to_string()).unwrap(), it);
        }
        for wrong in ["a-", "a-00", "x", "abc", "a-0000000000000000ff", "é", "日本"] {
            assert!(Cursor::read(wrong).is_err(), "{wrong}");
        }
    }
}
