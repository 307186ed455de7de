//! Sending a message, once.

mod alertmanager;
mod email;
mod http;
mod slack;
mod webhook;

pub(super) use alertmanager::{BATCH, INTERVALS};
pub use email::Smtp;
pub(super) use slack::GAP as SLACK_GAP;

use super::channel::{Channel, Target};
use super::guard::Guard;
use super::message::Message;
use crate::event::Time;
use http::Client;
use std::time::{Duration, Instant};

/// Bytes of an answer that are kept for people.
const MAX_SHOWN_BYTES: usize = 500;

/// How things are sent.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// Where may be connected to.
    pub(super) guard: Guard,
    /// How long an attempt may take. Default 15 s.
    pub(super) timeout: Duration,
    /// How often Alertmanagers are sent what fires. Default 1 min.
    pub(super) resend_interval: Duration,
    /// The mail server of the configuration, and the sender.
    pub(super) smtp: Option<Smtp>,
    /// What time it is.
    pub(super) clock: fn() -> Time,
}

/// What can send. A handle.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    client: Client,
    config: Config,
}

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What follows from it.
    pub verdict: Verdict,
    /// The status of HTTP or SMTP, if there was an answer.
    pub status: Option<u16>,
    /// The answer, cut, or why there was none. No secrets.
    pub said: String,
    /// How long it took.
    pub took: Duration,
    /// How a sent message is found again, if it can be changed.
    pub handle: Option<String>,
}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Delivered,
    /// It may be taken later: not before so long, if the server said.
    Retry(Option<Duration>),
    /// It will never be taken.
    Dead,
    /// Nothing will be taken there any more.
    Gone,
}

/// Why there is no client for outgoing requests.
#[derive(Debug, thiserror::Error)]
#[error("there is no client for outgoing requests: {0}")]
pub struct ClientError(#[from] reqwest::Error);

impl Sender {
    pub(super) fn new(config: Config) -> Result<Self, ClientError> {
        Ok(Self { client: Client::new(config.guard, config.timeout, config.clock)?, config })
    }

    /// Sends `message` to `channel`. `handle` is that of an earlier message about the same alert.
    pub(super) async fn send(
        &self,
        channel: &Channel,
        message: &Message,
        handle: Option<&str>,
        now: Time,
    ) -> Attempt {
        let start = Instant::now();
        let attempt = match &channel.target {
            Target::Webhook(it) => webhook::send(&self.client, it, channel, message, now).await,
            Target::Slack(it) => slack::send(&self.client, it, message, handle).await,
            Target::Email(it) => email::send(&self.config, it, message).await,
            Target::Alertmanager(it) => {
                let alerts = alertmanager::of_message(message, self.config.resend_interval, now);
                alertmanager::post(&self.client, it, &alerts).await
            }
        };
        Attempt { took: start.elapsed(), ..attempt }
    }

    /// Sends alerts to Alertmanagers again.
    pub(super) async fn resend(
        &self,
        channel: &Channel,
        alerts: &[serde_json::Value],
    ) -> Option<Attempt> {
        match &channel.target {
            Target::Alertmanager(it) => Some(alertmanager::post(&self.client, it, alerts).await),
            _ => None,
        }
    }
}

impl Attempt {
    fn new(verdict: Verdict, status: Option<u16>, said: impl AsRef<str>) -> Self {
        let said = shown(said.as_ref());
        Self { verdict, status, said, took: Duration::ZERO, handle: None }
    }

    /// It never left.
    fn dead(said: impl AsRef<str>) -> Self {
        Self::new(Verdict::Dead, None, said)
    }
}

/// A client by itself, to see what it refuses.
#[cfg(test)]
pub(super) fn test_client(guard: Guard, clock: fn() -> Time) -> Client {
    Client::new(guard, Duration::from_secs(5), clock).unwrap()
}

/// `text` on one line, without control characters, cut.
fn shown(text: &str) -> String {
    let mut res: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if res.len() > MAX_SHOWN_BYTES {
        res.truncate(res.floor_char_boundary(MAX_SHOWN_BYTES));
        res.push('…');
    }
    res
}

/// `text` with at most `max` characters, an ellipsis for the rest.
pub(super) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max.saturating_sub(1)).chain(['…']).collect(),
    }
}
