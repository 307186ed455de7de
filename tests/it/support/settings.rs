//! How settings are spelled on the command line and in the environment: the one place that knows.

use std::{path::Path, time::Duration};

/// Flags and variables for a server under test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) flags: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
}

impl Settings {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The rule file that replaces the built-in rules.
    pub(crate) fn rules(self, file: &Path) -> Self {
        self.env("OBSERVATORY_RULES_FILE", file.to_str().unwrap())
    }

    /// Secrets that grant everything, comma separated.
    pub(crate) fn token(self, tokens: &str) -> Self {
        self.env("OBSERVATORY_TOKEN", tokens)
    }

    /// Bytes of a request body, after decompression.
    pub(crate) fn body_bytes(self, bytes: usize) -> Self {
        self.env("OBSERVATORY_LIMITS_BODY_BYTES", &bytes.to_string())
    }

    /// How long a body may take to arrive.
    pub(crate) fn body_timeout(self, timeout: Duration) -> Self {
        self.env("OBSERVATORY_LIMITS_BODY_TIMEOUT", &format!("{}s", timeout.as_secs()))
    }

    /// How long the headers may take to arrive.
    pub(crate) fn header_timeout(self, timeout: Duration) -> Self {
        self.env("OBSERVATORY_LIMITS_HEADER_TIMEOUT", &format!("{}s", timeout.as_secs()))
    }

    /// Requests that may wait for the writer.
    pub(crate) fn queue_requests(self, requests: usize) -> Self {
        self.env("OBSERVATORY_LIMITS_QUEUE_REQUESTS", &requests.to_string())
    }

    /// Events in one request.
    pub(crate) fn batch_events(self, events: usize) -> Self {
        self.env("OBSERVATORY_LIMITS_BATCH_EVENTS", &events.to_string())
    }
}
