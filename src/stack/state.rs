//! What the supervisor says of the services: a file that is replaced whenever something changes.

use super::processes::Identity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the supervisor says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Who says it.
    pub supervisor: Identity,
    /// Tells one set of settings and configuration from another.
    pub fingerprint: String,
    /// The services by name.
    pub services: BTreeMap<String, ServiceState>,
}

/// What it says of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceState {
    /// Whether it runs.
    pub phase: Phase,
    /// Its process, if it runs.
    pub process: Option<Identity>,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended last, such as `exit code 1` or `signal 9`.
    pub ended: Option<String>,
}

/// Whether a service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It runs.
    Running,
    /// It ended, and is started again after a pause.
    Waiting,
    /// The same, and it ended often within a short time.
    CrashLoop,
}

impl Phase {
    /// As it is told.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "restarting",
            Self::CrashLoop => "crash loop",
        }
    }
}
