//! What happens to groups of pushes, for whoever watches while it happens.
//!
//! Pushes are not events: they are not in the journal and have no sequence number, so a notice of one is shown to those
//! who listen and is gone. Nothing is made when nobody listens, and the writer waits for nobody.

use crate::event::Time;
use crate::groups::{Group, Push, Rejected};
use crate::pipeline::Pipeline;
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::broadcast;

/// Notices that are kept for who is slow; older ones are missed.
const KEPT: usize = 256;
/// Groups of one removal that are told of.
const MOST: usize = 100;
/// Bytes of a reason.
const REASON_BYTES: usize = 300;

/// Something that happened to a group of pushes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupMoved {
    /// When.
    pub at: Time,
    /// What: `pushed`, `rejected`, `deleted` or `expired`.
    pub change: &'static str,
    /// The labels that name the group.
    pub labels: BTreeMap<String, String>,
    /// Series that the push brought, or that went with the group.
    pub series: u64,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The writer's side.
#[derive(Clone, Debug)]
pub(in crate::pipeline) struct Notices(broadcast::Sender<Arc<GroupMoved>>);

impl Notices {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }

    /// What `push` will have done if it is taken; nothing if nobody listens.
    pub(super) fn of(&self, push: &Push, at: Time) -> Option<GroupMoved> {
        if self.0.receiver_count() == 0 {
            return None;
        }
        let change = if push.is_deletion() { "deleted" } else { "pushed" };
        Some(GroupMoved {
            at,
            change,
            labels: owned(push.labels()),
            series: push.series() as u64,
            reason: None,
        })
    }

    /// That `groups` are gone.
    pub(super) fn gone<'a>(
        &self,
        change: &'static str,
        groups: impl Iterator<Item = &'a Arc<Group>>,
        at: Time,
    ) -> Vec<GroupMoved> {
        if self.0.receiver_count() == 0 {
            return Vec::new();
        }
        let moved = |it: &Arc<Group>| {
            let labels = owned(it.labels());
            GroupMoved { at, change, labels, series: it.series(), reason: None }
        };
        groups.take(MOST).map(moved).collect()
    }

    /// Tells those who listen.
    pub(super) fn publish(&self, moved: Vec<GroupMoved>) {
        for it in moved {
            // Nobody to take it is no failure.
            let _ = self.0.send(Arc::new(it));
        }
    }
}

impl GroupMoved {
    /// The same, if the push was not taken.
    pub(super) fn rejected(mut self, why: &Rejected) -> Self {
        let mut reason = why.to_string();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES));
        (self.change, self.reason) = ("rejected", Some(reason));
        self
    }
}

fn owned<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Pipeline {
    /// What happens to groups from now on. Who is too slow misses some, and is told how many.
    #[must_use]
    pub fn group_moves(&self) -> broadcast::Receiver<Arc<GroupMoved>> {
        self.inner.notices.0.subscribe()
    }
}
