//! Alertmanagers are sent what fires again and again, and what is over for a while.

use super::Outbox;
use super::channel::Channel;
use super::record::{self, ACTIVE, Active};
use super::render;
use super::send::{BATCH, INTERVALS, Verdict};
use crate::event::Time;
use crate::store::{Batch, StoreError};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long it is told that an alert is over: as Prometheus does, longer than anybody takes to start again.
const RESOLVED_FOR: Duration = Duration::from_mins(15);

impl Outbox {
    /// Sends the Alertmanagers of `channel` everything that they should know.
    pub(super) async fn resend(&self, channel: &Arc<Channel>) {
        let (outbox, id) = (self.clone(), channel.id.clone());
        let now = self.shared.now();
        let work = tokio::task::spawn_blocking(move || outbox.active(&id, now));
        let active = work.await.unwrap_or_else(|it| Err(std::io::Error::other(it).into()));
        let active = match active {
            Ok(it) => it,
            Err(error) => return self.store_failed(channel, &error),
        };
        let interval = self.shared.config.resend_interval;
        let until = now.saturating_add(interval.saturating_mul(INTERVALS));
        let external = self.shared.config.external_url.as_deref();
        let alerts: Vec<_> = active
            .iter()
            .map(|it| render::postable(&it.alert, it.resolved.unwrap_or(until), external))
            .collect();
        for batch in alerts.chunks(BATCH) {
            let Some(attempt) = self.shared.sender.resend(channel, batch).await else { break };
            self.shared.own.attempt(channel, &attempt);
            if attempt.verdict != Verdict::Delivered {
                tracing::warn!(
                    channel = channel.name,
                    said = attempt.said,
                    "alerts could not be sent again; they are after the next interval"
                );
            }
        }
        if let Some(queue) = self.shared.queues().get_mut(&channel.id) {
            queue.busy = false;
            queue.resend_at = (!active.is_empty()).then(|| Instant::now() + interval);
        }
    }

    /// What a channel is to be sent, without what was over long ago, which is forgotten.
    fn active(&self, channel: &str, now: Time) -> Result<Vec<Active>, StoreError> {
        let table = &self.shared.table;
        let (mut res, mut batch) = (Vec::new(), Batch::default());
        for entry in table.prefix(&record::key2(ACTIVE, channel, "")) {
            let (key, value) = entry?;
            let over = |it: &Active| {
                it.resolved.is_some_and(|it| now.seconds_since(it) > RESOLVED_FOR.as_secs_f64())
            };
            match record::decode::<Active>(&value) {
                Some(it) if !over(&it) => res.push(it),
                // What cannot be read is sent by nobody; `verify` names it.
                Some(_) => batch.remove(&key),
                None => {}
            }
        }
        table.apply(batch)?;
        Ok(res)
    }
}
