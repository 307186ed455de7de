//! Alerts: what a rule found, and what people are told of it. Pure: no I/O, no clock.

mod alert;

pub use alert::{Acknowledgement, Alert, Severity, Status};
