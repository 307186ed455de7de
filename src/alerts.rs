//! Alerts: which rules there are, what they find, and what people are told of it. Pure: no I/O, no clock.
//!
//! A [`Rule`] is what people write, a [`Compiled`] what is evaluated. Whatever evaluates it makes a [`Verdict`] for each
//! label set; [`State::step`] says what that changes, and [`State::news`] what is to be told.

mod alert;
mod calendar;
mod compile;
mod lenient;
mod rule;
mod silence;
mod state;

pub use alert::{Acknowledgement, Alert, Severity, Status, fingerprint};
pub use calendar::{Cron, MuteTime, Mutes};
pub use compile::{
    Absence, BurnRate, Compiled, Condition, Expected, Judge, Query, Ratio, Schedule,
};
pub use rule::{BurnWindow, Escalation, FieldError, Function, Kind, NoData, Operator, Rule, Span};
pub use silence::{Matcher, Silence};
pub use state::{Change, Hush, News, Phase, State, Tell, Timing, Verdict};
