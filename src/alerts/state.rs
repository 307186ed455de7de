//! The state machine of one label set: inactive, pending, firing, and what is told of it.
//!
//! It is a function of verdicts and times, and of nothing else: stored after any step and read back, it goes on as if
//! nothing had happened. [`State::step`] moves it; [`State::news`] says what people are to be told, which silences,
//! acknowledgements and the flap guard decide apart from what is the case.

use super::Acknowledgement;
use crate::event::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Whether the condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    True,
    /// It does not.
    False,
    /// It cannot be told: what was, stays.
    Unknown,
}

/// The durations of a rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timing {
    /// How long the condition must hold before it fires.
    pub hold: Duration,
    /// How long it goes on firing after the condition has ceased to hold.
    pub keep_firing: Duration,
    /// How often a firing alert is told again; zero for never.
    pub repeat: Duration,
    /// Within which time a second firing is flapping; zero for never.
    pub flap: Duration,
    /// After how long further people are told, ascending.
    pub escalation: Vec<Duration>,
}

/// Where a label set stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The condition does not hold.
    #[default]
    Inactive,
    /// It holds, but not for long enough yet.
    Pending,
    /// It has held for long enough.
    Firing,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The condition began to hold.
    Pending,
    /// It ceased to hold before it fired.
    Dropped,
    /// It fired.
    Firing,
    /// It is over.
    Resolved,
}

/// What people are to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// It fired.
    Firing,
    /// It fires again and again, and is not told until it is calm.
    Flapping,
    /// It still fires.
    Repeat,
    /// It still fires, and nobody has acknowledged it: the number of the escalation, from 0.
    Escalation(usize),
    /// It is over.
    Resolved,
}

/// Why somebody is not told of what they would be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hush {
    /// A silence or a mute time holds.
    Quiet,
    /// It fires again and again.
    Flapping,
    /// Somebody has taken it on.
    Acknowledged,
}

/// What there is to say of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// People are to be told.
    Tell(Tell),
    /// They would be told, were it not for that. Said once.
    Held(Tell, Hush),
}

/// The state of one label set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Where it stands.
    pub phase: Phase,
    /// When the condition began to hold; of the last time, if it does not hold now.
    pub since: Time,
    /// When it fired.
    pub fired: Option<Time>,
    /// When it was resolved.
    pub ended: Option<Time>,
    /// Who has taken it on.
    pub acknowledged: Option<Acknowledgement>,
    /// How often it was told: the number of a notification.
    pub told_count: u64,
    /// While it fires: since when the condition does not hold any more.
    clear: Option<Time>,
    /// Resolved by hand: it does not fire again before the condition was seen not to hold.
    held: bool,
    /// The episode (its `since`) that people know to be firing.
    told: Option<Time>,
    /// When they were last told so.
    told_at: Option<Time>,
    /// Whether they were not told because it was quiet.
    muffled: bool,
    escalated: usize,
    /// When it fired or was resolved lately, newest last: two firings within the window are flapping.
    flips: Vec<(Time, bool)>,
    flapping: bool,
    flapping_told: bool,
    /// What was last held back: in which phase, and why.
    #[serde(default)]
    hushed: Option<(Phase, Hush)>,
}

impl State {
    /// Takes `verdict` at `now`. At most one thing happens at a time: a next step does the next.
    pub fn step(&mut self, timing: &Timing, verdict: Verdict, now: Time) -> Option<Change> {
        if verdict == Verdict::False {
            self.held = false;
        }
        match (self.phase, verdict) {
            (Phase::Inactive, Verdict::True) if !self.held => {
                self.begin(now);
                if timing.hold.is_zero() {
                    return Some(self.fire(timing, now));
                }
                self.phase = Phase::Pending;
                Some(Change::Pending)
            }
            (Phase::Pending, Verdict::True) if now >= self.since.saturating_add(timing.hold) => {
                Some(self.fire(timing, now))
            }
            (Phase::Pending, Verdict::False) => {
                self.phase = Phase::Inactive;
                Some(Change::Dropped)
            }
            (Phase::Firing, Verdict::True) => {
                self.clear = None;
                None
            }
            (Phase::Firing, Verdict::False) => {
                let clear = *self.clear.get_or_insert(now);
                let over = now >= clear.saturating_add(timing.keep_firing);
                over.then(|| self.end(timing, now))
            }
            _ => None,
        }
    }

    /// Resolves it by hand; `None` if it does not fire. While the condition goes on it stays resolved.
    pub fn resolve(&mut self, timing: &Timing, now: Time) -> Option<Change> {
        match self.phase {
            Phase::Firing => {
                self.held = true;
                Some(self.end(timing, now))
            }
            Phase::Pending => {
                self.held = true;
                self.phase = Phase::Inactive;
                Some(Change::Dropped)
            }
            Phase::Inactive => None,
        }
    }

    /// Says that the condition was seen not to hold, without resolving anything: what ends an event by hand.
    pub fn release(&mut self) {
        self.held = false;
    }

    fn begin(&mut self, now: Time) {
        self.since = now;
        (self.fired, self.ended, self.clear) = (None, None, None);
        (self.acknowledged, self.escalated, self.hushed) = (None, 0, None);
    }

    fn fire(&mut self, timing: &Timing, now: Time) -> Change {
        self.phase = Phase::Firing;
        self.fired = Some(now);
        self.flip(timing, now, true);
        Change::Firing
    }

    fn end(&mut self, timing: &Timing, now: Time) -> Change {
        self.phase = Phase::Inactive;
        self.ended = Some(now);
        self.clear = None;
        self.flip(timing, now, false);
        Change::Resolved
    }

    fn flip(&mut self, timing: &Timing, now: Time, firing: bool) {
        if timing.flap.is_zero() {
            return;
        }
        self.forget_flips(timing, now);
        // Two firings are all that is asked for; more would only grow.
        if self.flips.len() >= 4 {
            self.flips.remove(0);
        }
        self.flips.push((now, firing));
        self.flapping |= self.flips.iter().filter(|it| it.1).count() >= 2;
    }

    fn forget_flips(&mut self, timing: &Timing, now: Time) {
        self.flips.retain(|(at, _)| now < at.saturating_add(timing.flap));
        if self.flips.is_empty() {
            (self.flapping, self.flapping_told) = (false, false);
        }
    }

    /// What is to be told at `now`, which counts as told when this returns, or what is held back, once. `quiet` is whether a
    /// silence or a mute time holds; it is asked only of what fires, or was told to.
    pub fn news(
        &mut self,
        timing: &Timing,
        now: Time,
        quiet: impl FnOnce() -> bool,
    ) -> Option<News> {
        if self.flapping {
            self.forget_flips(timing, now);
        }
        match self.phase {
            Phase::Firing => self.news_of_firing(timing, now, quiet),
            // Who was told that it fires is told that it does not, when they may be disturbed again.
            Phase::Inactive | Phase::Pending if self.told.is_some() => {
                if self.flapping {
                    return self.hold_back(Tell::Resolved, Hush::Flapping);
                }
                if quiet() {
                    return self.hold_back(Tell::Resolved, Hush::Quiet);
                }
                self.told = None;
                Some(self.tell(Tell::Resolved, now))
            }
            _ => None,
        }
    }

    fn news_of_firing(
        &mut self,
        timing: &Timing,
        now: Time,
        quiet: impl FnOnce() -> bool,
    ) -> Option<News> {
        let due = self.due(timing, now);
        if quiet() {
            self.muffled = true;
            return due.and_then(|it| self.hold_back(it, Hush::Quiet));
        }
        if self.told != Some(self.since) {
            if self.flapping_told {
                return self.hold_back(Tell::Flapping, Hush::Flapping);
            }
            self.told = Some(self.since);
            self.flapping_told = self.flapping;
            let tell = if self.flapping { Tell::Flapping } else { Tell::Firing };
            return Some(self.tell(tell, now));
        }
        if self.acknowledged.is_some() {
            self.muffled = false;
            return due.and_then(|it| self.hold_back(it, Hush::Acknowledged));
        }
        match due {
            Some(Tell::Escalation(n)) => {
                self.escalated = n + 1;
                Some(self.tell(Tell::Escalation(n), now))
            }
            None if self.muffled => Some(self.tell(Tell::Repeat, now)),
            due => due.map(|it| self.tell(it, now)),
        }
    }

    /// What of it that fires is due, whoever may not be told.
    fn due(&self, timing: &Timing, now: Time) -> Option<Tell> {
        if self.told != Some(self.since) {
            return Some(Tell::Firing);
        }
        let fired = self.fired.unwrap_or(self.since);
        let next = timing.escalation.get(self.escalated);
        if next.is_some_and(|after| now >= fired.saturating_add(*after)) {
            return Some(Tell::Escalation(self.escalated));
        }
        let due = |it: Time| !timing.repeat.is_zero() && now >= it.saturating_add(timing.repeat);
        self.told_at.is_some_and(due).then_some(Tell::Repeat)
    }

    /// Says that `tell` is held back, if that was not said of this phase yet.
    fn hold_back(&mut self, tell: Tell, why: Hush) -> Option<News> {
        let before = self.hushed.replace((self.phase, why));
        (before != Some((self.phase, why))).then_some(News::Held(tell, why))
    }

    fn tell(&mut self, tell: Tell, now: Time) -> News {
        self.told_at = Some(now);
        (self.muffled, self.hushed) = (false, None);
        self.told_count += 1;
        News::Tell(tell)
    }

    /// Whether it fires too often to be told each time.
    #[must_use]
    pub fn is_flapping(&self) -> bool {
        self.flapping
    }

    /// Whether there is nothing to remember of it at `now`: it can be forgotten.
    #[must_use]
    pub fn is_idle(&self, timing: &Timing, now: Time) -> bool {
        let calm = |it: &(Time, bool)| now >= it.0.saturating_add(timing.flap);
        self.phase == Phase::Inactive
            && !self.held
            && self.told.is_none()
            && self.flips.last().is_none_or(calm)
    }
}

#[cfg(test)]
mod tests;
