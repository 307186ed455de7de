//! Tickets: each lets one stream in, for clients that can set no header and have no cookie.

use crate::event::Time;
use crate::http::error::ApiError;
use crate::tokens::Identity;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long a ticket is good for. It stands in a URL, which logs and histories keep.
pub(in crate::http) const LIFETIME: Duration = Duration::from_secs(30);
/// Tickets that wait to be used.
const MAX: usize = 10_000;

/// The tickets that are out, by their hash: one that is guessed at cannot be felt for by its first bytes.
#[derive(Debug, Default)]
pub(in crate::http) struct Tickets(Mutex<HashMap<[u8; 32], Ticket>>);

#[derive(Debug)]
struct Ticket {
    identity: Identity,
    expires: Time,
}

impl Tickets {
    /// A ticket for `identity`, and when it expires.
    pub(in crate::http) fn issue(
        &self,
        identity: Identity,
        now: Time,
    ) -> Result<(String, Time), ApiError> {
        let mut random = [0; 24];
        getrandom::fill(&mut random).map_err(ApiError::internal)?;
        let text = format!("tic_{}", URL_SAFE_NO_PAD.encode(random));
        let expires = now.saturating_add(LIFETIME);
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() >= MAX {
            tickets.retain(|_, it| now < it.expires);
        }
        if tickets.len() >= MAX {
            return Err(ApiError::unavailable("busy", "too many tickets wait to be used"));
        }
        tickets.insert(hash(&text), Ticket { identity, expires });
        Ok((text, expires))
    }

    /// Whose ticket it is. It is used up.
    pub(in crate::http) fn redeem(&self, text: &str, now: Time) -> Option<Identity> {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = tickets.remove(&hash(text))?;
        (now < ticket.expires).then_some(ticket.identity)
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_and_not_for_long() {
        let tickets = Tickets::default();
        let now = Time::from_millis(1_000_000);
        let (first, expires) = tickets.issue(Identity::default(), now).unwrap();
        let (second, _) = tickets.issue(Identity::default(), now).unwrap();
        assert_ne!(first, second);
        assert!(tickets.redeem(&first, now).is_some());
        assert!(tickets.redeem(&first, now).is_none());
        assert!(tickets.redeem(&second, expires).is_none());
        assert!(tickets.redeem("tic_x", now).is_none());
    }

    #[test]
    fn old_tickets_make_room() {
        let tickets = Tickets::default();
        let now = Time::from_millis(1_000_000);
        for _ in 0..MAX {
            tickets.issue(Identity::default(), now).unwrap();
        }
        assert!(tickets.issue(Identity::default(), now).is_err());
        assert!(tickets.issue(Identity::default(), now.saturating_add(LIFETIME)).is_ok());
    }
}
