//! What is told: notifications as they are handed in, and messages as they go out.

use crate::alerts::Alert;
use crate::event::Time;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Alerts that one message tells of; further ones go with the next.
pub(super) const MAX_ENTRIES: usize = 50;

/// Something that channels are to be told of.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The alert as it is now.
    pub alert: Alert,
    /// Which change of the alert this is: 1 for the first.
    pub transition: u64,
    /// Why it is told.
    pub kind: Kind,
    /// The ids or names of the channels.
    pub channels: Vec<String>,
    /// Notifications of the same key, to the same channel, travel together: the first at once (or after
    /// `notify.group_wait`), the others in one digest per `notify.group_interval`. `None`: each by itself.
    pub group_key: Option<String>,
}

/// Why something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An alert fires.
    Firing,
    /// It is over.
    Resolved,
    /// It still fires.
    Repeat,
    /// It still fires, and nobody has taken it on.
    Escalation,
    /// Several alerts at once.
    Digest,
    /// A person tries the channel.
    Test,
}

/// What goes out as one message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    /// The same in every attempt, also after a crash.
    pub(super) id: String,
    /// Why it is told; a digest if there are several alerts.
    pub(super) kind: Kind,
    /// The key by which its notifications were put together.
    pub(super) group: Option<String>,
    /// The alerts, each once, as they were last. Never empty.
    pub(super) entries: Vec<Entry>,
    /// Where people reach this server.
    pub(super) external_url: Option<String>,
    /// When its last notification was made.
    pub(super) created: Time,
}

/// One alert of a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Entry {
    /// Why it is told.
    pub(super) kind: Kind,
    /// Which change of the alert this is.
    pub(super) transition: u64,
    /// Whether it fired and was over before anybody could be told that it fired.
    pub(super) merged: bool,
    /// The alert.
    pub(super) alert: Alert,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Repeat => "repeat",
            Self::Escalation => "escalation",
            Self::Digest => "digest",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Message {
    /// Its only alert, or the worst of those that still fire; never absent but in a message without entries.
    #[must_use]
    pub(super) fn leading(&self) -> Option<&Entry> {
        self.entries.iter().max_by_key(|it| (it.kind != Kind::Resolved, it.alert.severity))
    }

    /// Whether all of its alerts are over.
    #[must_use]
    pub(super) fn is_resolved(&self) -> bool {
        self.entries.iter().all(|it| it.kind == Kind::Resolved)
    }
}
