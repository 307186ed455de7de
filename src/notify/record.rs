//! What is stored, all of it in the table of alerts: a prefix tells what a key names.

use super::VERSION;
use super::message::Kind;
use crate::alerts::Alert;
use crate::codec;
use crate::event::Time;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A channel, by its id.
pub(super) const CHANNEL: u8 = b'c';
/// A notification that is not delivered yet, by its id.
pub(super) const ROW: u8 = b'o';
/// What became of a notification, by its alert and its id.
pub(super) const LOG: u8 = b'd';
/// The alert of a notification, by its id: the log in the order of time.
pub(super) const ORDER: u8 = b't';
/// How a message is found again to change it, by channel and alert.
pub(super) const HANDLE: u8 = b'u';
/// An alert that Alertmanagers are sent again and again, by channel and alert.
pub(super) const ACTIVE: u8 = b'a';

/// Attempts that the log keeps, the newest.
const MAX_ATTEMPTS_KEPT: usize = 20;

/// A notification that is not delivered yet, to one channel.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Row {
    pub(super) channel: String,
    pub(super) group: Option<String>,
    pub(super) kind: Kind,
    pub(super) transition: u64,
    pub(super) alert: Alert,
    pub(super) created: Time,
    pub(super) due: Time,
    pub(super) attempts: u32,
    /// The message that it was made a part of.
    pub(super) message: Option<String>,
    /// Whether it is tried no more, unless somebody says so.
    pub(super) dead: bool,
}

/// A channel as it is stored; its key is its id.
#[derive(Deserialize, Serialize)]
pub(super) struct StoredChannel {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) enabled: bool,
    pub(super) disabled_reason: Option<String>,
    pub(super) send_resolved: bool,
    pub(super) created: Time,
    pub(super) updated: Time,
    /// How it is reached, sealed, in base64.
    pub(super) sealed: String,
}

/// An alert that Alertmanagers know of.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Active {
    pub(super) alert: Alert,
    /// When it was over.
    pub(super) resolved: Option<Time>,
}

/// What became of a notification to one channel.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Delivery {
    /// Its id.
    pub id: String,
    /// The alert.
    pub alert_id: String,
    /// The name of the alert's rule.
    pub rule_name: String,
    /// The id of the channel.
    pub channel_id: String,
    /// The name of the channel.
    pub channel: String,
    /// Why it was to be told.
    pub kind: Kind,
    /// Which change of the alert it was.
    pub transition: u64,
    /// What became of it.
    pub state: State,
    /// Why.
    pub reason: Option<String>,
    /// The id of the message that it went out with: the `webhook-id`, the Message-ID.
    pub message_id: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// When the state became what it is.
    pub updated_at: Time,
    /// When it is tried again.
    pub next_attempt_at: Option<Time>,
    /// How often it was tried.
    pub attempts: u32,
    /// The newest attempts.
    pub history: Vec<Tried>,
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Tried {
    /// When.
    pub at: Time,
    /// The status of HTTP or SMTP, if there was an answer.
    pub status: Option<u16>,
    /// The answer, cut, or why there was none.
    pub response: String,
    /// How long it took.
    pub duration_ms: u64,
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits, perhaps for its next attempt.
    Queued,
    /// It was taken.
    Sent,
    /// A later one of the same alert told it too.
    Merged,
    /// It is tried no more, unless somebody says so.
    Dead,
    /// It was not to be sent.
    Suppressed,
    /// Somebody removed it.
    Purged,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Sent, Self::Merged, Self::Dead, Self::Suppressed, Self::Purged];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Merged => "merged",
            Self::Dead => "dead",
            Self::Suppressed => "suppressed",
            Self::Purged => "purged",
        }
    }
}

impl Delivery {
    pub(super) fn tried(&mut self, tried: Tried) {
        self.attempts += 1;
        self.history.push(tried);
        let more = self.history.len().saturating_sub(MAX_ATTEMPTS_KEPT);
        self.history.drain(..more);
    }
}

/// A key of one part.
pub(super) fn key(prefix: u8, id: &str) -> Vec<u8> {
    [&[prefix], id.as_bytes()].concat()
}

/// A key of two parts. No id has a zero byte.
pub(super) fn key2(prefix: u8, first: &str, second: &str) -> Vec<u8> {
    [&[prefix], first.as_bytes(), &[0], second.as_bytes()].concat()
}

pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    // No map among these has keys that are no texts, so that writing cannot fail.
    codec::seal(VERSION, &serde_json::to_vec(value).unwrap_or_default())
}

pub(super) fn decode<T: DeserializeOwned>(value: &[u8]) -> Option<T> {
    serde_json::from_slice(codec::unseal(VERSION, value).ok()?).ok()
}
