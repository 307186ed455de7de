//! How long groups live: their metrics go some time after the last push that was taken, all at once, and the two times
//! that tell of it some time later, so that an alert on a job that did not run outlives what the job pushed.
//!
//! # Clocks
//!
//! While the process runs, a life is measured by a clock that nobody sets ([`Now::steady`]): a step of the wall's clock,
//! back or ahead, makes no group expire early or late. Across a restart there is only the wall's clock: what is due by it
//! goes at once, and a life that a step back made longer than its TTL is cut to it.

use super::Groups;
use super::Now;
use super::apply::Outcome;
use super::group::{Content, Group};
use super::stored;
use crate::codec::{DecodeError, Reader, Writer};
use crate::event::Time;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Groups that expire in one commit.
const AT_ONCE: usize = 1000;

/// How long the two times of a group outlive its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// As many of its TTLs. Default ten.
    Lives(u32),
    /// As long.
    For(Duration),
}

/// How long a group lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    /// Until it is removed.
    #[default]
    Endless,
    /// Its metrics go when it ends.
    Lives(Span),
    /// Its metrics are gone; its times go when it ends.
    Over(Span),
}

/// A time that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) length: Duration,
    /// When it ends, by the wall's clock.
    pub(super) end: Time,
    /// The same by the steady one.
    due: Time,
}

/// Which groups are due when, by the steady clock.
#[derive(Debug, Default)]
pub(super) struct Due(BTreeSet<(Time, Arc<[u8]>)>);

// === impl Keep ===

impl Default for Keep {
    fn default() -> Self {
        Self::Lives(10)
    }
}

impl Keep {
    fn after(self, ttl: Duration) -> Duration {
        match self {
            Self::Lives(it) => ttl.saturating_mul(it),
            Self::For(it) => it,
        }
    }
}

// === impl Life ===

impl Life {
    /// The life of a group after a push that came at `received`.
    pub(super) fn begin(ttl: Option<Duration>, received: Time, now: Now) -> Self {
        let Some(length) = ttl else { return Self::Endless };
        let end = received.saturating_add(length);
        Self::Lives(Span { length, end, due: now.due(length, end) })
    }

    fn span(&self) -> Option<&Span> {
        match self {
            Self::Endless => None,
            Self::Lives(it) | Self::Over(it) => Some(it),
        }
    }

    pub(super) fn write(self, out: &mut Writer) {
        let (tag, span) = match self {
            Self::Endless => return out.u8(0),
            Self::Lives(it) => (1, it),
            Self::Over(it) => (2, it),
        };
        out.u8(tag);
        out.varint(u64::try_from(span.length.as_nanos()).unwrap_or(u64::MAX));
        out.i64(span.end.as_nanos());
    }

    /// Reads a life, in a process that began at `now`.
    pub(super) fn read(reader: &mut Reader<'_>, now: Time) -> Result<Self, DecodeError> {
        let tag = reader.u8()?;
        if tag == 0 {
            return Ok(Self::Endless);
        }
        let length = Duration::from_nanos(reader.varint()?);
        let end = Time::from_nanos(reader.i64()?);
        let span = Span { length, end, due: end.min(now.saturating_add(length)) };
        match tag {
            1 => Ok(Self::Lives(span)),
            2 => Ok(Self::Over(span)),
            _ => Err(DecodeError::Malformed),
        }
    }
}

impl Now {
    /// When something that lasts `length` and ends at `end` by the wall's clock is due by the steady one.
    fn due(self, length: Duration, end: Time) -> Time {
        let left = end.as_nanos().saturating_sub(self.wall.as_nanos());
        let left = Duration::from_nanos(u64::try_from(left).unwrap_or(0));
        self.steady.saturating_add(left.min(length))
    }
}

// === impl Due ===

impl Due {
    /// Follows a group from `old` to `new`.
    pub(super) fn replace(&mut self, old: Option<&Group>, new: Option<&Group>) {
        let entry = |it: &Group| Some((it.life.span()?.due, Arc::clone(&it.key)));
        if let Some(it) = old.and_then(entry) {
            self.0.remove(&it);
        }
        self.0.extend(new.and_then(entry));
    }
}

// === impl Group ===

impl Group {
    /// When its metrics go, or went, if they ever do.
    #[must_use]
    pub fn expires(&self) -> Option<Time> {
        match self.life {
            Life::Endless => None,
            Life::Lives(it) => Some(it.end),
            Life::Over(it) => Some(it.end.saturating_sub(it.length)),
        }
    }

    /// When its times go, if its metrics are gone.
    #[must_use]
    pub fn forgotten(&self) -> Option<Time> {
        match self.life {
            Life::Over(it) => Some(it.end),
            Life::Endless | Life::Lives(_) => None,
        }
    }
}

// === impl Groups ===

impl Groups {
    /// Whether a group is due.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.index.due.0.first().is_some_and(|it| it.0 <= self.now.steady)
    }

    /// Takes what is due: of groups whose life is over the metrics, and groups whose times were kept for long enough.
    /// Looks at nothing else, and does a thousand at once; how many groups expired comes back as well.
    pub fn expire(&mut self) -> (Outcome, usize) {
        let due = self.index.due.0.iter().take_while(|it| it.0 <= self.now.steady).take(AT_ONCE);
        let due: Vec<_> = due.filter_map(|it| self.view.by_key(&it.1)).collect();
        let (over, lives): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|it| matches!(it.life, Life::Over(_)));
        let keep = self.view.shared.config.keep_times;
        let kept = |it: &Group| match it.life {
            Life::Lives(it) => Some(it).filter(|it| !keep.after(it.length).is_zero()),
            Life::Endless | Life::Over(_) => None,
        };
        let (times, gone): (Vec<_>, Vec<_>) = lives.into_iter().partition(|it| kept(it).is_some());
        let expired = times.len() + gone.len();
        let mut outcome = self.remove(over.into_iter().chain(gone).collect());
        if !times.is_empty() {
            self.version += 1;
        }
        for old in times {
            let Some(span) = kept(&old) else { continue };
            let length = keep.after(span.length);
            let [end, due] = [span.end, span.due].map(|it| it.saturating_add(length));
            let group = Group {
                key: Arc::clone(&old.key),
                block: old.block.clone(),
                version: self.version,
                life: Life::Over(Span { length, end, due }),
                content: Arc::new(Content::default()),
                ..*old
            };
            outcome.writes.push(stored::group(&group));
            let undo = self.put(Some(old), group);
            outcome.undo.groups.extend(undo.groups);
        }
        self.view.shared.own.expired(expired);
        (outcome, expired)
    }
}
