//! How long a stream may go on: until its token or session ends, or the server does.

use super::Streams;
use crate::pipeline::Pipeline;
use crate::tokens::{Identity, Tokens};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// What a stream ends with.
pub(super) struct Permit {
    tokens: Tokens,
    pipeline: Pipeline,
    identity: Identity,
    changes: watch::Receiver<()>,
    /// When the identity ceases to be valid.
    until: Option<Instant>,
    stopping: CancellationToken,
}

/// Why a stream ends that the client did not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The server stops.
    Stopping,
    /// The client reads too slowly.
    Slow,
    /// The token or the session is not valid any more.
    Unauthorized,
    /// The journal cannot be read.
    Failed,
}

impl Reason {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::Slow => "slow",
            Self::Unauthorized => "unauthorized",
            Self::Failed => "failed",
        }
    }
}

impl Permit {
    pub(super) fn new(
        streams: &Streams,
        (tokens, pipeline, identity): (Tokens, Pipeline, Identity),
    ) -> Self {
        let now = pipeline.now();
        let left = |until: crate::event::Time| {
            let millis = until.as_millis().saturating_sub(now.as_millis());
            Instant::now() + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
        };
        Self {
            until: identity.until.map(left),
            tokens,
            pipeline,
            identity,
            changes: streams.changes.subscribe(),
            stopping: streams.stopping.clone(),
        }
    }

    /// Waits until the stream may not go on, and says why.
    pub(super) async fn refused(&mut self) -> Reason {
        loop {
            if let Some(it) = self.refusal() {
                return it;
            }
            self.changed().await;
        }
    }

    /// Why the stream may not go on, if it may not.
    pub(super) fn refusal(&mut self) -> Option<Reason> {
        if self.stopping.is_cancelled() {
            return Some(Reason::Stopping);
        }
        let changed = self.changes.has_changed().unwrap_or(true);
        let over = self.until.is_some_and(|it| it <= Instant::now());
        if !changed && !over {
            return None;
        }
        self.changes.mark_unchanged();
        let valid = !over && self.tokens.is_still_valid(&self.identity, self.pipeline.now());
        (!valid).then_some(Reason::Unauthorized)
    }

    /// Waits until [`Self::refusal`] may have another answer.
    pub(super) async fn changed(&mut self) {
        let until = self.until;
        let over = async move {
            match until {
                Some(it) => sleep_until(it).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = over => {}
            // Only the server's end closes it.
            changed = self.changes.changed() => if changed.is_ok() { self.changes.mark_changed() },
        }
    }
}
