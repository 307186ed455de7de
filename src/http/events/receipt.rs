//! The answers to events that were sent.

use crate::event::{EventId, Time};
use crate::http::error::Rejected;
use crate::http::reply::Text;
use crate::pipeline::{Ack, Receipt};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// The answer to one event.
#[derive(Serialize)]
pub(super) struct Single<'a> {
    event_id: Text<&'a EventId<'static>>,
    received_at: Text<Time>,
    status: &'static str,
}

/// The answer to a batch.
#[derive(Serialize)]
pub(super) struct Batch<'a> {
    status: &'static str,
    /// Names this answer in logs; it is not stored.
    batch_id: String,
    received_at: Text<Time>,
    events_received: usize,
    accepted: usize,
    duplicates: usize,
    rejected: &'a [Rejected],
    /// The ids of accepted events and duplicates, in order; rejected ones have none.
    event_ids: Vec<Text<&'a EventId<'static>>>,
}

impl<'a> Single<'a> {
    pub(super) fn new(receipt: &'a Receipt, received: Time) -> Self {
        let status = if receipt.duplicate { "duplicate" } else { "accepted" };
        Self { event_id: Text(&receipt.id), received_at: Text(received), status }
    }
}

impl<'a> Batch<'a> {
    pub(super) fn new(ack: &'a Ack, total: usize, rejected: &'a [Rejected]) -> Self {
        let duplicates = ack.events.iter().filter(|it| it.duplicate).count();
        Self {
            status: "accepted",
            batch_id: batch_id(ack.received),
            received_at: Text(ack.received),
            events_received: total,
            accepted: ack.events.len() - duplicates,
            duplicates,
            rejected,
            event_ids: ack.events.iter().map(|it| Text(&it.id)).collect(),
        }
    }
}

fn batch_id(received: Time) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed) & 0xffff_ffff;
    format!("batch_{:011x}{n:08x}", received.as_millis())
}
