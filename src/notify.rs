//! Telling people: channels, and the outbox from which they are served.
//!
//! A notification is a row of the store, written in the same batch as the change that it tells of. It stays until its channel
//! has taken it, whatever happens to the process or the network meanwhile, under one id that every attempt carries: at
//! least once, and whoever receives it twice can tell. What becomes of it is in the log of deliveries.
//!
//! Each channel is served in order. A message that fails is tried again, after a while that grows and varies and is at least
//! what the server asked for. What has not gone out yet when the same alert changes again is merged into the newer message.
//!
//! Nothing here knows rules or states: what is to be told, and whom, is decided above.

mod backoff;
mod channel;
mod channels;
mod deliver;
mod guard;
mod history;
mod message;
mod outbox;
mod own;
mod queue;
mod record;
mod render;
mod resend;
mod run;
mod secret;
mod send;
mod settle;
pub mod verify;

pub use channel::{
    Alertmanager, Body, Channel, Email, FieldFault, MAX_NAME_BYTES, Slack, SmtpServer, SmtpTls,
    Target, Webhook,
};
pub use channels::ChannelError;
pub use guard::{Guard, Refused};
pub use history::{Page, Wanted};
pub use message::{Kind, Notification};
pub use outbox::{EnqueueError, Enqueued};
pub use record::{Delivery, State, Tried};
pub use secret::{MASK, SealError, Secret};
pub use send::{Attempt, ClientError, Smtp, Verdict};

use crate::event::{IdGenerator, Time};
use crate::store::{Store, StoreError, Table};
use own::Own;
use queue::Queue;
use secret::Seal;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, atomic::AtomicI64},
    time::Duration,
};

/// The table that alerts, channels and the outbox share.
pub const TABLE: &str = "alerts";
/// The version of what is stored here.
const VERSION: u8 = 1;
/// Channels that there may be.
pub const MAX_CHANNELS: usize = 1000;

/// How notifications are sent.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether private and loopback addresses may be connected to. Default no.
    pub allow_private_targets: bool,
    /// How long an attempt may take. Default 15 s.
    pub timeout: Duration,
    /// How long the first notification of a group waits for others, unless it is critical. Default 0.
    pub group_wait: Duration,
    /// The least time between two messages of a group. Default 30 s.
    pub group_interval: Duration,
    /// How long a notification is tried before it is given up. Default 24 h.
    pub give_up_after: Duration,
    /// How long the log of deliveries is kept. Default 90 days.
    pub log_retention: Duration,
    /// Notifications that may wait for one channel; more are given up at once. Default 100 000.
    pub max_pending: usize,
    /// How often Alertmanagers are sent what fires. Default 1 min.
    pub resend_interval: Duration,
    /// Where people reach this server, for links. Default nowhere.
    pub external_url: Option<String>,
    /// The mail server of the configuration, and the sender.
    pub smtp: Option<Smtp>,
    /// Channels of the configuration, by their names, which are their ids.
    pub channels: Vec<(String, Target)>,
    /// What time it is.
    pub clock: fn() -> Time,
}

/// The channels and what waits for them. A handle: clones share them.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    table: Table,
    seal: Seal,
    config: Config,
    sender: send::Sender,
    /// By id.
    channels: RwLock<BTreeMap<String, Arc<Channel>>>,
    /// Serialises changes of channels: read, write to the store, remember.
    changing: Mutex<()>,
    /// By channel.
    queues: Mutex<HashMap<String, Queue>>,
    ids: IdGenerator,
    /// The newest time that an id was made of, in milliseconds: the clock may be set back, ids go on.
    newest_id: AtomicI64,
    wake: tokio::sync::Notify,
    own: Own,
}

/// Why the outbox cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The key of the secrets cannot be used.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Something that is stored cannot be read.
    #[error(
        "{0} of the notifications is damaged; nothing was changed: run `observatory verify`, or restore a backup"
    )]
    Damaged(String),
    /// There is no TLS.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

// === impl Config ===

impl Config {
    /// The defaults. `clock` says what time it is.
    #[must_use]
    pub fn new(clock: fn() -> Time) -> Self {
        Self {
            allow_private_targets: false,
            timeout: Duration::from_secs(15),
            group_wait: Duration::ZERO,
            group_interval: Duration::from_secs(30),
            give_up_after: Duration::from_hours(24),
            log_retention: Duration::from_hours(90 * 24),
            max_pending: 100_000,
            resend_interval: Duration::from_mins(1),
            external_url: None,
            smtp: None,
            channels: Vec::new(),
            clock,
        }
    }

    fn guard(&self) -> Guard {
        Guard { allow_private: self.allow_private_targets }
    }
}

// === impl Shared ===

impl Shared {
    fn now(&self) -> Time {
        (self.config.clock)()
    }

    fn channels(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Channel>>> {
        self.channels.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<String, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("channels", &self.shared.channels().len())
            .finish_non_exhaustive()
    }
}

/// A random byte, for jitter; in the middle if the system gives none.
fn chance() -> u8 {
    let mut byte = [128];
    // Without randomness everybody comes back at once, which is no reason to fail.
    let _ = getrandom::fill(&mut byte);
    let [res] = byte;
    res
}

#[cfg(test)]
mod tests;
