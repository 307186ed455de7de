//! The groups of pushed metrics: what the Pushgateway stores, kept consistent by an index.
//!
//! # Contract
//!
//! - [`Groups`] is the write side; there is one. A push is first made a [`Push`] (on any thread), then applied:
//!   checked against the index and committed, or rejected. A rejected push changes nothing but the failure
//!   time of its group. What it costs depends on the push and its group, never on the other groups.
//! - [`View`] is the read side, a handle. A page sees every group whole, as one push left it.
//! - Whatever was stored, the page stays valid: what disagrees all the same is left out and counted.
//! - What is to be made durable comes back as after-images ([`Write`]). Every one carries the version of its
//!   group, so that an older one can be told from a newer one.

mod group;
mod prepare;
mod reject;
mod series;

pub use group::{FamilyView, Group};
pub use prepare::Push;
pub use reject::Rejected;
pub use series::{Sample, Samples};

/// What a push does to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Replaces the whole group.
    Put,
    /// Replaces the families of the same names.
    Post,
    /// Removes the group.
    Delete,
}
