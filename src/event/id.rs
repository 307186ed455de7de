//! Event ids.

use super::Time;
use std::{
    borrow::Cow,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// The longest id a sender may give, in bytes.
pub const MAX_ID_BYTES: usize = 256;

/// Crockford's base 32: no I, L, O, U, and in the order of the digits' values.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const PREFIX: &str = "evt_";
const ENCODED_LEN: usize = 26;

/// Who an event is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventId<'a> {
    /// The sender's own id; unique together with the event's source.
    Given(Cow<'a, str>),
    /// One of ours: 48 bits of milliseconds since the epoch, 40 of the server's start, 40 of a counter.
    /// Written `evt_` and 26 digits that sort by time.
    Generated(u128),
}

/// Makes ids that no other start of a server makes, with all but certainty.
#[derive(Debug)]
pub struct IdGenerator {
    start: u64,
    next: AtomicU64,
}

impl EventId<'_> {
    /// The id that `text` spells: one of ours if it has that form, else the sender's.
    #[must_use]
    pub fn parse(text: &str) -> EventId<'_> {
        decode(text).map_or(EventId::Given(Cow::Borrowed(text)), EventId::Generated)
    }

    /// Whether `text` has the form of one of ours.
    #[must_use]
    pub fn is_ours(text: &str) -> bool {
        decode(text).is_some()
    }

    /// When a generated id was made.
    #[must_use]
    pub fn generated_at(&self) -> Option<Time> {
        match self {
            Self::Given(_) => None,
            Self::Generated(it) => i64::try_from(it >> 80).ok().map(Time::from_millis),
        }
    }
}

impl fmt::Display for EventId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(it) => f.write_str(it),
            Self::Generated(it) => {
                f.write_str(PREFIX)?;
                let digit = |i: usize| DIGITS.get((it >> (5 * i)) as usize & 31).copied();
                (0..ENCODED_LEN).rev().try_for_each(|i| {
                    fmt::Write::write_char(f, char::from(digit(i).unwrap_or(b'0')))
                })
            }
        }
    }
}

fn decode(text: &str) -> Option<u128> {
    let text = text.strip_prefix(PREFIX)?;
    if text.len() != ENCODED_LEN || !text.starts_with(|c: char| c <= '7') {
        return None;
    }
    text.bytes().try_fold(0, |acc: u128, it| {
        let digit = DIGITS.iter().position(|digit| *digit == it)?;
        Some(acc << 5 | digit as u128)
    })
}

impl IdGenerator {
    /// A generator whose ids carry the low 40 bits of `start`, which should be random.
    #[must_use]
    pub fn new(start: u64) -> Self {
        Self { start: start & MASK_40, next: AtomicU64::new(0) }
    }

    /// The next id, made at `now`.
    #[must_use]
    pub fn next<'a>(&self, now: Time) -> EventId<'a> {
        let count = self.next.fetch_add(1, Ordering::Relaxed) & MASK_40;
        let millis = u128::from(now.as_millis().unsigned_abs()) & ((1 << 48) - 1);
        EventId::Generated(millis << 80 | u128::from(self.start) << 40 | u128::from(count))
    }
}

const MASK_40: u64 = (1 << 40) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_read_back_and_sort_by_time() {
        let ids = IdGenerator::new(u64::MAX);
        let texts: Vec<_> =
            [1, 2, 1_767_607_200_000].map(|it| ids.next(Time::from_millis(it)).to_string()).into();
        assert!(texts.is_sorted());
        for text in &texts {
            assert_eq!(text.len(), 30);
            let id = EventId::parse(text);
            assert!(matches!(id, EventId::Generated(_)), "{text}");
            assert_eq!(&id.to_string(), text);
        }
        let at = EventId::parse(&texts[2]).generated_at().unwrap();
        assert_eq!(at.as_millis(), 1_767_607_200_000);
    }

    #[test]
    fn what_only_looks_like_ours_is_the_senders() {
        for text in
            ["", "evt_", "evt_U0000000000000000000000000", "evt_ZZZZZZZZZZZZZZZZZZZZZZZZZZ", "a"]
        {
            assert_eq!(EventId::parse(text), EventId::Given(text.into()), "{text}");
        }
    }
}
