//! The table `alerts`: what of it belongs to rules, instances, silences and history. Values are JSON in an envelope.

use super::AlertingError;
use crate::alerts::{Alert, Change, Rule, Silence, State};
use crate::codec;
use crate::event::Time;
use crate::store::Table;
use crate::store::verify::Verdict;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// The table, which notifications share.
pub const TABLE: &str = "alerts";
const VERSION: u8 = 1;

/// What a key begins with.
pub(super) const RULE: u8 = b'r';
pub(super) const INSTANCE: u8 = b'i';
pub(super) const HISTORY: u8 = b'h';
pub(super) const SILENCE: u8 = b's';
/// The sequence number up to which events were evaluated.
pub(super) const MARK: &[u8] = b"vevents";

/// A rule that was made over the API, or what somebody changed of one that was not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredRule {
    pub(super) rule: Rule,
    pub(super) created: Time,
    pub(super) updated: Time,
    /// Whether it was removed: one of the configuration or the shipped ones stays away.
    #[serde(default)]
    pub(super) removed: bool,
}

/// One label set of a rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Instance {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) state: State,
    pub(super) value: Option<f64>,
    /// Of event rules: whether the last event began it.
    #[serde(default)]
    pub(super) latched: bool,
    /// When the last event of it came: what began it, or what was expected.
    #[serde(default)]
    pub(super) seen: Option<Time>,
    /// Of alerts that others send: since when they fire, when they are over unless they are sent again, and where they come from.
    #[serde(default)]
    pub(super) starts: Option<Time>,
    #[serde(default)]
    pub(super) until: Option<Time>,
    #[serde(default)]
    pub(super) generator: String,
    /// The channels that were told that it fires; none in it for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) told_to: Option<Vec<String>>,
    /// What decides what it means ([`crate::alerts::Compiled::meaning`]).
    #[serde(default)]
    pub(super) meaning: String,
    /// The tick that last had a value of it.
    #[serde(skip)]
    pub(super) touched: u64,
    /// The silences that those who watch know of.
    #[serde(skip)]
    pub(super) silenced_by: Vec<String>,
}

/// Something that happened to an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Time,
    /// What; `None` for what somebody did, which `by` tells.
    pub change: Option<Change>,
    /// What somebody did: `acknowledged`, `resolved`, `removed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Who, if it was somebody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What they said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Why, if neither somebody nor its condition ended it: `rule removed`, `rule switched off`, `rule changed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The alert as it was then.
    pub alert: Alert,
}

/// Up to which sequence number events were evaluated, as `table` has it.
///
/// # Errors
///
/// It cannot be read.
pub fn mark(table: &Table) -> Result<Option<u64>, AlertingError> {
    table.get(MARK)?.map(|it| decode(MARK, &it)).transpose()
}

pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    // Maps with keys that are texts are always JSON.
    codec::seal(VERSION, &serde_json::to_vec(value).unwrap_or_default())
}

pub(super) fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, AlertingError> {
    let damaged = || AlertingError::Damaged(key.escape_ascii().to_string());
    let json = codec::unseal(VERSION, value).map_err(|_| damaged())?;
    serde_json::from_slice(json).map_err(|_| damaged())
}

pub(super) fn key(kind: u8, id: &str) -> Vec<u8> {
    let mut res = vec![kind];
    res.extend_from_slice(id.as_bytes());
    res
}

pub(super) fn instance_key(rule: &str, block: &str) -> Vec<u8> {
    let mut res = key(INSTANCE, rule);
    res.push(0);
    res.extend_from_slice(block.as_bytes());
    res
}

/// The rule and the label block of an instance's key.
pub(super) fn instance_of(key: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(key.get(1..)?).ok()?.split_once('\0')
}

/// In the order of time; several of the same moment differ by the alert and a number.
pub(super) fn history_key(at: Time, alert: &str, n: usize) -> Vec<u8> {
    let mut res = vec![HISTORY];
    res.extend_from_slice(&at.as_nanos().to_be_bytes());
    res.extend_from_slice(alert.as_bytes());
    res.push(0);
    res.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes());
    res
}

/// When the history entry with this key was made.
pub(super) fn history_time(key: &[u8]) -> Option<Time> {
    let nanos = key.get(1..9)?.try_into().ok()?;
    Some(Time::from_nanos(i64::from_be_bytes(nanos)))
}

/// Calls `each` for every entry whose key begins with `kind`.
pub(super) fn each<T: DeserializeOwned>(
    table: &Table,
    kind: u8,
    mut each: impl FnMut(&[u8], T),
) -> Result<(), AlertingError> {
    for entry in table.prefix(&[kind]) {
        let (key, value) = entry?;
        each(&key, decode(&key, &value)?);
    }
    Ok(())
}

/// Whether `key` of the table is one of alerting's, and not of the notifications'.
#[must_use]
pub fn is_ours(key: &[u8]) -> bool {
    key.first().is_some_and(|it| [RULE, INSTANCE, HISTORY, SILENCE, b'v'].contains(it))
}

/// Checks the value that is stored under `key`, for `observatory verify`.
pub fn check(key: &[u8], value: &[u8], verdict: &mut Verdict) {
    let (readable, lost) = match key.first() {
        Some(&RULE) => (decode::<StoredRule>(key, value).is_ok(), "an alert rule"),
        Some(&INSTANCE) => {
            (decode::<Instance>(key, value).is_ok(), "where an alert stood: it begins anew")
        }
        Some(&HISTORY) => {
            (decode::<Entry>(key, value).is_ok(), "an entry of the history of alerts")
        }
        Some(&SILENCE) => (decode::<Silence>(key, value).is_ok(), "a silence"),
        Some(b'v') => (
            decode::<u64>(key, value).is_ok(),
            "up to where events were evaluated: alert rules go on with the next one",
        ),
        _ => return,
    };
    if !readable {
        let place = format!("alerts: {}", key.escape_ascii());
        verdict.add(place, "it cannot be read".to_owned(), lost.to_owned(), vec![key.to_vec()]);
    }
}
