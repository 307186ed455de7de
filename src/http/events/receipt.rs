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

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Time = Time::from_millis(1_767_607_200_123);

    fn receipt(id: &'static str, duplicate: bool) -> Receipt {
        Receipt { id: EventId::Given(id.into()), duplicate }
    }

    #[test]
    fn one_event() {
        let check = |duplicate: bool, status: &str| {
            let json = serde_json::to_string(&Single::new(&receipt("a", duplicate), AT)).unwrap();
            let expected = format!(
                r#"{{"event_id":"a","received_at":"2026-01-05T10:00:00.123Z","status":"{status}"}}"#
            );
            assert_eq!(json, expected);
        };
        check(false, "accepted");
        check(true, "duplicate");
    }

    #[test]
    fn a_batch() {
        let events = vec![receipt("a", false), receipt("b", true)];
        let ack = Ack { received: AT, events };
        let rejected = [Rejected { index: 1, error: "no".into(), fields: Vec::new() }];
        let json = serde_json::to_value(Batch::new(&ack, 3, &rejected)).unwrap();
        assert_eq!((&json["events_received"], &json["accepted"]), (&3.into(), &1.into()));
        assert_eq!((&json["duplicates"], &json["status"]), (&1.into(), &"accepted".into()));
        assert_eq!(json["event_ids"], serde_json::json!(["a", "b"]));
        assert_eq!(
            json["rejected"],
            serde_json::json!([{"index": 1, "error": "no", "fields": []}])
        );
        assert!(json["batch_id"].as_str().is_some_and(|it| it.starts_with("batch_")));
        assert_ne!(batch_id(AT), batch_id(AT));
    }
}
