//! Forgetting what is too old: what counts as what, by which clock, and when.
//!
//! Events go by their own time. No metric changes when they go: a prune never reaches what a restart
//! would have to replay ([`crate::journal::Journal::prune`] gets the end of the stored snapshot).
//!
//! The clock is not believed blindly. If it is more than a day ahead of the last arrival, it was set
//! ahead, or the server was off, or nothing happened; nobody can tell which. Then ages count from that
//! last arrival, until events have arrived by the new time for a day, or this process has seen the clock
//! go evenly for a day. So a wrong clock costs nothing at once, and there is a day to notice it.

use crate::event::Time;
use crate::journal;
use crate::journal::{Journal, Query, QueryError};
use crate::selector::Glob;
use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

/// How long events are kept, and how much of them.
#[derive(Clone, Debug)]
pub struct Retention {
    /// The age at which events that are neither logs nor samples go; `None` keeps them. Default 90 days.
    pub events: Option<Duration>,
    /// The same for logs. Default 7 days.
    pub logs: Option<Duration>,
    /// The same for samples. Default 30 days.
    pub samples: Option<Duration>,
    /// Globs over the types that are logs. Default [`Self::LOG_TYPES`].
    pub log_types: Vec<Glob>,
    /// Globs over the types that are samples, unless they are logs. Default [`Self::SAMPLE_TYPES`].
    pub sample_types: Vec<Glob>,
    /// Bytes of stored blocks beyond which the oldest events go; `None` for no bound. Default none.
    pub max_bytes: Option<u64>,
    /// How often to look. Default 1 hour.
    pub interval: Duration,
}

/// What an event is to the retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Neither of the others.
    Events,
    /// A line of a log.
    Logs,
    /// One of many measurements.
    Samples,
}

/// What is to be forgotten.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Everything of at least this age, instead of what the configuration says.
    pub older_than: Option<Duration>,
    /// Only events of this class.
    pub class: Option<Class>,
}

/// The word for a class was none of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be events, logs or samples")]
pub struct ParseClassError;

/// How much longer an event may live than it should, if it is in one block with others that stay.
const PATIENCE: Duration = Duration::from_hours(24);
/// The clock must be no further ahead of the last arrival to be believed.
const GAP: Duration = Duration::from_hours(24);
/// For so long arrivals, or the clock of this process, must have gone on to be believed again.
const PROOF: Duration = Duration::from_hours(24);
/// The two clocks of the machine may differ by so much between two looks.
const DRIFT: Duration = Duration::from_secs(30);

/// Watches whether the wall clock goes as evenly as the other clock of the machine, which nobody can set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steady {
    since: Instant,
    last: (Instant, Time),
}

// === impl Retention ===

impl Default for Retention {
    fn default() -> Self {
        let days = |it: u64| Some(Duration::from_hours(24 * it));
        let globs = |it: &[&str]| it.iter().filter_map(|it| Glob::parse(it).ok()).collect();
        Self {
            events: days(90),
            logs: days(7),
            samples: days(30),
            log_types: globs(Self::LOG_TYPES),
            sample_types: globs(Self::SAMPLE_TYPES),
            max_bytes: None,
            interval: Duration::from_hours(1),
        }
    }
}

impl Retention {
    /// What counts as a log if nobody says otherwise.
    pub const LOG_TYPES: &[&str] = &["log", "log_*", "log.*", "*_log"];
    /// What counts as a sample if nobody says otherwise.
    pub const SAMPLE_TYPES: &[&str] =
        &["sample", "sample_*", "metric", "metric_*", "metrics_*", "*_heartbeat"];

    /// The class of an event type.
    #[must_use]
    pub fn class(&self, event_type: &str) -> Class {
        let has = |types: &[Glob]| types.iter().any(|it| it.matches(event_type));
        if has(&self.log_types) {
            Class::Logs
        } else if has(&self.sample_types) {
            Class::Samples
        } else {
            Class::Events
        }
    }

    /// Whether anything ever goes.
    pub(super) fn forgets(&self) -> bool {
        self.max_bytes.is_some() || Class::ALL.iter().any(|it| self.age(*it).is_some())
    }

    fn age(&self, class: Class) -> Option<Duration> {
        match class {
            Class::Events => self.events,
            Class::Logs => self.logs,
            Class::Samples => self.samples,
        }
    }

    /// The age at which the events of `class` go, if `wanted` is done.
    fn age_of(&self, class: Class, wanted: &Wanted) -> Option<Duration> {
        let meant = wanted.class.is_none_or(|it| it == class);
        wanted.older_than.or(self.age(class)).filter(|_| meant)
    }

    /// The order for the journal.
    pub(super) fn plan(&self, wanted: &Wanted) -> journal::Retention {
        let class = |class, types: &[Glob]| journal::Class {
            types: types.to_vec(),
            max_age: self.age_of(class, wanted),
        };
        let all = wanted.older_than.is_none() && wanted.class.is_none();
        journal::Retention {
            classes: vec![
                class(Class::Logs, &self.log_types),
                class(Class::Samples, &self.sample_types),
            ],
            default_age: self.age_of(Class::Events, wanted),
            // Whoever asks by hand wants exactly that; the keeper comes again.
            patience: if wanted.older_than.is_some() { Duration::ZERO } else { PATIENCE },
            max_bytes: self.max_bytes.filter(|_| all),
        }
    }

    /// How many events per class are old enough to go at `now`. What `max_bytes` would take is not counted.
    pub(super) fn count(
        &self,
        journal: &Journal,
        wanted: &Wanted,
        now: Time,
    ) -> Result<Vec<(Class, u64)>, QueryError> {
        let mut res = Vec::new();
        for class in Class::ALL {
            let Some(age) = self.age_of(class, wanted) else { continue };
            let query = Query { until: Some(now.saturating_sub(age)), ..Query::default() };
            let counts = journal.count(&query, None)?;
            let of_class = counts.iter().filter(|it| self.class(&it.event_type) == class);
            res.push((class, of_class.map(|it| it.events).sum()));
        }
        Ok(res)
    }
}

// === impl Class ===

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Events, Self::Logs, Self::Samples];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Logs => "logs",
            Self::Samples => "samples",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Class {
    type Err = ParseClassError;

    fn from_str(text: &str) -> Result<Self, ParseClassError> {
        Self::ALL.into_iter().find(|it| it.as_str() == text).ok_or(ParseClassError)
    }
}

// === the clock ===

impl Steady {
    pub(super) fn new(at: Instant, now: Time) -> Self {
        Self { since: at, last: (at, now) }
    }

    /// Looks at both clocks; how long they have gone evenly. A suspended machine breaks it as well.
    pub(super) fn look(&mut self, at: Instant, now: Time) -> Duration {
        let (last_at, last) = self.last;
        let expected = last.saturating_add(at.saturating_duration_since(last_at));
        let early = now < expected.saturating_sub(DRIFT);
        if early || now > expected.saturating_add(DRIFT) {
            self.since = at;
        }
        self.last = (at, now);
        at.saturating_duration_since(self.since)
    }
}

/// The time that ages count from, when the clock says `now` and has gone evenly for `steady`.
pub(super) fn believed(journal: &Journal, now: Time, steady: Duration) -> Result<Time, QueryError> {
    if steady >= PROOF {
        return Ok(now);
    }
    Ok(journal.arrival_before_gap(now, GAP, PROOF)?.unwrap_or(now))
}
