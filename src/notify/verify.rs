//! Checking what is stored, for `observatory verify`.

use super::VERSION;
use super::record::{
    self, ACTIVE, Active, CHANNEL, Delivery, HANDLE, LOG, ORDER, ROW, Row, StoredChannel,
};
use super::secret::KEY;
use crate::codec;
use crate::store::verify::Verdict;

/// Checks one entry.
pub fn check(key: &[u8], value: &[u8], verdict: &mut Verdict) {
    let (whole, lost) = match key.first() {
        _ if key == KEY => (
            codec::unseal(VERSION, value).is_ok_and(|it| it.len() == 32),
            "the key of the channels' secrets: they have to be given again",
        ),
        Some(&CHANNEL) => (
            record::decode::<StoredChannel>(value).is_some(),
            "a notification channel: make it again",
        ),
        Some(&ROW) => {
            (record::decode::<Row>(value).is_some(), "a notification that was not delivered yet")
        }
        Some(&LOG) => {
            (record::decode::<Delivery>(value).is_some(), "what became of a notification")
        }
        Some(&ORDER) => (
            record::decode::<String>(value).is_some(),
            "a place in the log of deliveries; the entry is found by its alert",
        ),
        Some(&HANDLE) => (
            record::decode::<String>(value).is_some(),
            "which message is to be changed; a new one is sent instead",
        ),
        Some(&ACTIVE) => (
            record::decode::<Active>(value).is_some(),
            "an alert that Alertmanagers are reminded of",
        ),
        _ => (false, "what a newer version may know"),
    };
    if !whole {
        let place = format!("alerts: {}", key.escape_ascii());
        let what = "it cannot be read".to_owned();
        verdict.add(place, what, lost.to_owned(), vec![key.to_vec()]);
    }
}
