//! What happens to groups of pushes, on the streams that ask for it (`pushes=true`).
//!
//! A push is no event: it has no sequence number, so it does not move the place from which a stream goes on. Who was away
//! does not hear of it later, and who is slow is told how many it missed.

use super::reader::Item;
use crate::pipeline::{GroupMoved, Pipeline};
use std::sync::Arc;
use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};

/// The notices of one stream.
pub(super) struct Pushes {
    receiver: Option<Receiver<Arc<GroupMoved>>>,
    /// Whether the last thing that was taken came from here: then it is the turn of the events.
    served: bool,
}

impl Pushes {
    pub(super) fn new(pipeline: &Pipeline, wanted: bool) -> Self {
        Self { receiver: wanted.then(|| pipeline.group_moves()), served: false }
    }

    /// A notice that is there, every other time.
    pub(super) fn waiting(&mut self) -> Option<Item> {
        let receiver = self.receiver.as_mut()?;
        if std::mem::take(&mut self.served) {
            return None;
        }
        let item = match receiver.try_recv() {
            Ok(it) => Item::Push(it),
            Err(TryRecvError::Lagged(missed)) => Item::PushesMissed(missed),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
        };
        self.served = true;
        Some(item)
    }

    /// Waits for a notice; for ever if none are wanted, or none will come. May be dropped at any time.
    pub(super) async fn next(&mut self) -> Item {
        let Some(receiver) = &mut self.receiver else { return std::future::pending().await };
        match receiver.recv().await {
            Ok(it) => Item::Push(it),
            Err(RecvError::Lagged(missed)) => Item::PushesMissed(missed),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
