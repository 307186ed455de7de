//! The composition root.

use crate::config::Settings;
use std::{future::Future, io};
use tokio::net::TcpListener;

/// What the parts are told.
#[derive(Clone, Debug)]
pub struct Config {}

/// The open application.
#[derive(Debug)]
pub struct App {}

/// Why it cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store.
    #[error(transparent)]
    Store(#[from] crate::store::OpenError),
    /// The rules cannot be used; the message has every finding.
    #[error("{0}")]
    Rules(String),
}

impl From<&Settings> for Config {
    fn from(_: &Settings) -> Self {
        Self {}
    }
}

impl App {
    /// Opens everything.
    ///
    /// # Errors
    ///
    /// The data directory or the rules cannot be used.
    pub fn open(_config: Config) -> Result<Self, OpenError> {
        Ok(Self {})
    }

    /// Whether the data directory holds a token.
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        false
    }

    /// Serves until `shutdown` completes, then drains.
    ///
    /// # Errors
    ///
    /// A listener fails.
    pub async fn run(
        self,
        _listeners: Vec<TcpListener>,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        shutdown.await;
        Ok(())
    }
}
