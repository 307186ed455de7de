//! Backup and restore: everything that the server knows, as of one moment, in one file.
//!
//! # Contract
//!
//! - **One moment.** A backup is the state at one sequence number: the events before it, and the snapshot
//!   of the metrics that contains exactly these. Ingest goes on while it is written; nothing is forgotten
//!   meanwhile. The table of the alerts is copied while nobody writes it, with the events that they know of. Memory is bounded by the snapshot, compressed, and a megabyte of events.
//! - **Events are told, not copied.** The archive holds events and not blocks, so that it does not depend on
//!   how they were stored; they keep their sequence numbers. The snapshot and the tokens are copied as they
//!   are: each value says its own version.
//! - **Whole or not at all.** A restore checks everything before the directory has its name, and never
//!   writes into a directory that holds anything.
//!
//! The tokens are in it as hashes of their secrets, and whatever the events say: it is as confidential as
//! the data directory.

mod archive;
mod restore;
mod take;

pub use archive::ArchiveError;
pub use restore::{RestoreError, restore, verify};
pub use take::{BackupError, Frozen, freeze};

use crate::event::Time;
use serde::{Deserialize, Serialize};

/// What an archive is: its first part.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Header {
    /// The version of the program that made it.
    program: String,
    /// When it was made, RFC 3339.
    created: String,
    /// The sequence number that the next event would have got.
    next: u64,
    /// About how many events there are, for progress.
    events: u64,
}

/// What is in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// When it was made.
    pub created: Option<Time>,
    /// The program that made it.
    pub program: String,
    /// Events in it.
    pub events: u64,
    /// The sequence number that the next event would have got.
    pub next: u64,
}

#[cfg(test)]
use restore::beside;
#[cfg(test)]
mod tests;
