//! Making, changing and removing channels.

use super::channel::{Body, Channel, Email, FieldFault, Reading, Secrets, Slack, Target, Webhook};
use super::message::{Entry, Kind, Message, Notification};
use super::record::{self, ACTIVE, CHANNEL, HANDLE, StoredChannel};
use super::secret::SealError;
use super::send::Attempt;
use super::{Config, MAX_CHANNELS, OpenError, Outbox, render};
use crate::event::Time;
use crate::store::{Batch, StoreError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use lettre::message::Mailboxes;
use reqwest::Url;
use serde_json::{Map, Value};
use std::sync::{Arc, MutexGuard, PoisonError};

/// Why a channel is not as it was wanted.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Something in it is wrong.
    #[error("{}", .0.iter().map(|it| format!("{} {}", it.field, it.reason)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldFault>),
    /// There is no such channel.
    #[error("there is no notification channel with the id or name {0:?}")]
    NotFound(String),
    /// There is a channel of that name.
    #[error("there is a notification channel named {0:?} already")]
    Exists(String),
    /// It can be changed only in the configuration.
    #[error("the notification channel {0:?} comes from the configuration: change it there")]
    Configured(String),
    /// There are too many.
    #[error("there are {MAX_CHANNELS} notification channels, which is as many as are kept")]
    TooMany,
    /// Secrets cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Outbox {
    /// All channels, in the order of their names.
    #[must_use]
    pub fn list_channels(&self) -> Vec<Arc<Channel>> {
        let mut res: Vec<_> = self.shared.channels().values().cloned().collect();
        res.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        res
    }

    /// The channel of an id or a name.
    #[must_use]
    pub fn find_channel(&self, id_or_name: &str) -> Option<Arc<Channel>> {
        let channels = self.shared.channels();
        let by_name = || channels.values().find(|it| it.name == id_or_name);
        channels.get(id_or_name).or_else(by_name).cloned()
    }

    /// Makes a channel of `body`. Durable when this returns. Blocking.
    ///
    /// # Errors
    ///
    /// Something in it is wrong, its name is taken, or the store cannot be written.
    pub fn create_channel(
        &self,
        body: &Map<String, Value>,
        now: Time,
    ) -> Result<Arc<Channel>, ChannelError> {
        let _changing = self.changing();
        let draft = self.reading().read(body, None).map_err(ChannelError::Invalid)?;
        if self.shared.channels().len() >= MAX_CHANNELS {
            return Err(ChannelError::TooMany);
        }
        let channel = Channel {
            id: self.next_id(now).replacen("msg_", "ch_", 1),
            name: draft.name,
            enabled: draft.enabled,
            disabled_reason: None,
            send_resolved: draft.send_resolved,
            target: draft.target,
            created: Some(now),
            updated: Some(now),
        };
        self.check_name(&channel)?;
        self.put_channel(channel)
    }

    /// Changes what `body` says. Durable when this returns, and in force for the next attempt. Blocking.
    ///
    /// # Errors
    ///
    /// As [`Self::create_channel`], or there is no such channel, or only the configuration can change it.
    pub fn change_channel(
        &self,
        id: &str,
        body: &Map<String, Value>,
        now: Time,
    ) -> Result<Arc<Channel>, ChannelError> {
        let _changing = self.changing();
        let old = self.changeable(id)?;
        let draft = self.reading().read(body, Some(&old)).map_err(ChannelError::Invalid)?;
        let channel = Channel {
            name: draft.name,
            // Whoever changes a channel that was switched off says whether it stays so.
            enabled: draft.enabled,
            disabled_reason: old.disabled_reason.clone().filter(|_| !draft.enabled),
            send_resolved: draft.send_resolved,
            target: draft.target,
            updated: Some(now),
            ..Channel::clone(&old)
        };
        self.check_name(&channel)?;
        let channel = self.put_channel(channel)?;
        // What failed before may go now.
        if let Some(queue) = self.shared.queues().get_mut(&channel.id) {
            queue.paused_until = None;
        }
        self.shared.wake.notify_one();
        Ok(channel)
    }

    /// Removes a channel. What waits for it is given up. Durable when this returns. Blocking.
    ///
    /// # Errors
    ///
    /// There is no such channel, only the configuration can change it, or the store cannot be written.
    pub fn remove_channel(&self, id: &str, now: Time) -> Result<Arc<Channel>, ChannelError> {
        let _changing = self.changing();
        let channel = self.changeable(id)?;
        let mut batch = Batch::default();
        batch.remove(&record::key(CHANNEL, &channel.id));
        for prefix in [HANDLE, ACTIVE] {
            for entry in self.shared.table.prefix(&record::key2(prefix, &channel.id, "")) {
                batch.remove(&entry?.0);
            }
        }
        self.shared.table.apply(batch)?;
        self.shared.store.flush()?;
        self.shared.channels.write().unwrap_or_else(PoisonError::into_inner).remove(&channel.id);
        self.give_up_queue(&channel.id, "its channel was removed", now)?;
        Ok(channel)
    }

    /// Switches off a channel that nobody is behind.
    pub(super) fn disable_channel(
        &self,
        id: &str,
        reason: String,
        now: Time,
    ) -> Result<(), ChannelError> {
        let _changing = self.changing();
        let Some(old) = self.find_channel(id).filter(|it| it.enabled) else { return Ok(()) };
        tracing::error!(
            channel = old.name,
            reason,
            "a notification channel was switched off; what comes for it waits until it is switched on again"
        );
        let channel = Channel {
            enabled: false,
            disabled_reason: Some(reason),
            updated: old.updated.map(|_| now),
            ..Channel::clone(&old)
        };
        if channel.is_configured() {
            // Until the next start, which may find another configuration.
            self.remember(channel);
            return Ok(());
        }
        self.put_channel(channel).map(|_| ())
    }

    /// Sends a test to a channel, at once and beside its queue: the server's own answer comes back.
    ///
    /// # Errors
    ///
    /// There is no such channel.
    pub async fn test_channel(&self, id: &str, now: Time) -> Result<Attempt, ChannelError> {
        let channel = self.find_channel(id).ok_or_else(|| ChannelError::NotFound(id.to_owned()))?;
        let Notification { alert, kind, transition, .. } = self.test_notification(&channel, now);
        let message = Message {
            id: self.next_id(now),
            kind,
            group: None,
            entries: vec![Entry { kind, transition, merged: false, alert }],
            external_url: self.shared.config.external_url.clone(),
            created: now,
        };
        let attempt = self.shared.sender.send(&channel, &message, None, now).await;
        self.shared.own.attempt(&channel, &attempt);
        Ok(attempt)
    }

    /// A notification that tries `channel`.
    #[must_use]
    pub fn test_notification(&self, channel: &Channel, now: Time) -> Notification {
        let alert = render::test_alert(&self.next_id(now).replacen("msg_", "", 1), now);
        let channels = vec![channel.id.clone()];
        Notification { alert, transition: 1, kind: Kind::Test, channels, group_key: None }
    }

    pub(super) fn load_channels(&self) -> Result<(), OpenError> {
        for entry in self.shared.table.prefix(&[CHANNEL]) {
            let (key, value) = entry?;
            let id = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            let channel = self.decode_channel(&id, &value);
            self.remember(channel.ok_or_else(|| OpenError::Damaged(format!("the channel {id}")))?);
        }
        for (name, target) in &self.shared.config.channels {
            if let Some(other) = self.find_channel(name) {
                tracing::warn!(
                    channel = name,
                    id = other.id,
                    "a channel of the configuration is left out: there is one of its name"
                );
                continue;
            }
            self.remember(Channel {
                id: name.clone(),
                name: name.clone(),
                enabled: true,
                disabled_reason: None,
                send_resolved: true,
                target: target.clone(),
                created: None,
                updated: None,
            });
        }
        Ok(())
    }

    fn decode_channel(&self, id: &str, value: &[u8]) -> Option<Channel> {
        let stored: StoredChannel = record::decode(value)?;
        let sealed = STANDARD_NO_PAD.decode(&stored.sealed).ok()?;
        let config: Value =
            serde_json::from_slice(&self.shared.seal.open_sealed(id, &sealed).ok()?).ok()?;
        let body = serde_json::json!({"name": stored.name, "type": stored.kind, "config": config});
        // What it leads to was judged when it was made, and is judged again when it is used.
        let reading = Reading { guard: None, has_smtp: true };
        let draft = reading.read(body.as_object()?, None).ok()?;
        Some(Channel {
            id: id.to_owned(),
            name: stored.name,
            enabled: stored.enabled,
            disabled_reason: stored.disabled_reason,
            send_resolved: stored.send_resolved,
            target: draft.target,
            created: Some(stored.created),
            updated: Some(stored.updated),
        })
    }

    fn put_channel(&self, channel: Channel) -> Result<Arc<Channel>, ChannelError> {
        let config = Value::Object(channel.target.to_json(Secrets::Plain)).to_string();
        let sealed = self.shared.seal.seal(&channel.id, config.as_bytes())?;
        let stored = StoredChannel {
            name: channel.name.clone(),
            kind: channel.target.kind().to_owned(),
            enabled: channel.enabled,
            disabled_reason: channel.disabled_reason.clone(),
            send_resolved: channel.send_resolved,
            created: channel.created.unwrap_or_default(),
            updated: channel.updated.unwrap_or_default(),
            sealed: STANDARD_NO_PAD.encode(sealed),
        };
        self.shared.table.put(&record::key(CHANNEL, &channel.id), &record::encode(&stored))?;
        self.shared.store.flush()?;
        Ok(self.remember(channel))
    }

    fn remember(&self, channel: Channel) -> Arc<Channel> {
        let channel = Arc::new(channel);
        let mut channels = self.shared.channels.write().unwrap_or_else(PoisonError::into_inner);
        channels.insert(channel.id.clone(), channel.clone());
        channel
    }

    fn changeable(&self, id: &str) -> Result<Arc<Channel>, ChannelError> {
        let found = self.find_channel(id).ok_or_else(|| ChannelError::NotFound(id.to_owned()))?;
        if found.is_configured() {
            return Err(ChannelError::Configured(found.name.clone()));
        }
        Ok(found)
    }

    fn check_name(&self, channel: &Channel) -> Result<(), ChannelError> {
        let taken = |it: &Arc<Channel>| {
            it.id != channel.id && (it.name == channel.name || it.id == channel.name)
        };
        if self.shared.channels().values().any(taken) {
            return Err(ChannelError::Exists(channel.name.clone()));
        }
        Ok(())
    }

    pub(super) fn changing(&self) -> MutexGuard<'_, ()> {
        self.shared.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading(&self) -> Reading {
        let Config { smtp, .. } = &self.shared.config;
        Reading { guard: Some(self.shared.config.guard()), has_smtp: smtp.is_some() }
    }
}

impl Target {
    /// Mail to these addresses, separated by commas, through the server of the configuration.
    ///
    /// # Errors
    ///
    /// They are none.
    pub fn mail_to(addresses: &str) -> Result<Self, String> {
        let to: Mailboxes = addresses
            .parse()
            .map_err(|it| format!("expected addresses such as ops@example.org: {it}"))?;
        Ok(Self::Email(Email { server: None, from: None, to: to.into_iter().collect() }))
    }

    /// An incoming webhook of Slack.
    #[must_use]
    pub fn slack_hook(url: Url) -> Self {
        Self::Slack(Slack::Hook(url))
    }

    /// A webhook with the standard body, not signed.
    #[must_use]
    pub fn plain_webhook(url: Url) -> Self {
        let (secrets, headers) = (Vec::new(), Vec::new());
        Self::Webhook(Webhook { url, secrets, body: Body::Standard, headers, timeout: None })
    }
}
