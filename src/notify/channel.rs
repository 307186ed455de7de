//! Channels: where notifications go.
//!
//! There is one form of a channel, a JSON object: what the API reads and, with masks in place of its secrets,
//! shows; sealed, it is what is stored.

mod fields;
mod read;

pub use fields::FieldFault;
pub(super) use read::{Reading, signing_key};

use super::secret::{MASK, Secret};
use crate::event::Time;
use lettre::message::Mailbox;
use reqwest::Url;
use serde_json::{Map, Value, json};
use std::{fmt, time::Duration};

/// The longest name of a channel, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Bytes of a template.
pub(super) const MAX_TEMPLATE_BYTES: usize = 64 << 10;

/// Where notifications go, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// Names it for good.
    pub id: String,
    /// Its name, for people and rules. Unique.
    pub name: String,
    /// Whether it is used.
    pub enabled: bool,
    /// Why the server stopped using it, if it was not a person.
    pub disabled_reason: Option<String>,
    /// Whether it is told that an alert is over. Default yes.
    pub send_resolved: bool,
    /// How it is reached.
    pub target: Target,
    /// When it was made; `None` for a channel of the configuration, which only that can change.
    pub created: Option<Time>,
    /// When it was last changed.
    pub updated: Option<Time>,
}

/// How a channel is reached. Its `Debug` is what may be shown.
#[derive(Clone, PartialEq)]
pub enum Target {
    /// Mail.
    Email(Email),
    /// Slack.
    Slack(Slack),
    /// An HTTP endpoint.
    Webhook(Webhook),
    /// Alertmanagers.
    Alertmanager(Alertmanager),
}

/// Mail to some people.
#[derive(Clone, Debug, PartialEq)]
pub struct Email {
    /// The server; `None`: that of the configuration.
    pub server: Option<SmtpServer>,
    /// The sender; `None`: that of the configuration.
    pub from: Option<Mailbox>,
    /// The recipients. Never empty.
    pub to: Vec<Mailbox>,
}

/// A server that takes mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub tls: SmtpTls,
    /// Who we are; `None`: no AUTH.
    pub login: Option<(String, Secret)>,
}

/// How a connection to a mail server is secured. What is asked for is never given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// STARTTLS before anything else, or no mail. Default on every port but 465.
    StartTls,
    /// TLS from the first byte. Default on port 465.
    Tls,
    /// None at all.
    None,
}

/// A Slack channel.
#[derive(Clone, PartialEq)]
pub enum Slack {
    /// By an incoming webhook.
    Hook(Url),
    /// By a bot, whose messages can be changed.
    Bot {
        /// Its token, `xoxb-...`.
        token: Secret,
        /// The channel's name or id.
        channel: String,
        /// Where the API is. Default `https://slack.com/api`.
        api: Url,
        /// Whether the message of an alert is changed when the alert is over, instead of a new one. Default yes.
        update: bool,
    },
}

/// An HTTP endpoint.
#[derive(Clone, PartialEq)]
pub struct Webhook {
    /// Where to.
    pub url: Url,
    /// What it is signed with; several while one takes the place of another.
    pub secrets: Vec<Secret>,
    /// What it gets.
    pub body: Body,
    /// Further headers.
    pub headers: Vec<(String, Secret)>,
    /// How long an attempt may take; `None`: as the configuration says.
    pub timeout: Option<Duration>,
}

/// The body of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// `{"type", "timestamp", "data"}`, as Standard Webhooks has it.
    Standard,
    /// As the Alertmanager sends it, version 4.
    AlertmanagerV4,
    /// What a template makes, and its media type.
    Template(String, String),
}

/// One or more Alertmanagers, all of which are told everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Alertmanager {
    /// Their addresses, `/api/v2/alerts` is below. Never empty.
    pub urls: Vec<Url>,
    /// Further headers: `Authorization`.
    pub headers: Vec<(String, Secret)>,
}

/// Whether secrets are written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrets {
    /// For the sealed form.
    Plain,
    /// For everything else.
    Masked,
}

// === impl Channel ===

impl Channel {
    /// Whether it comes from the configuration, which alone can change it.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.created.is_none()
    }

    /// What may be shown of it.
    #[must_use]
    pub fn view(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "type": self.target.kind(),
            "enabled": self.enabled,
            "disabled_reason": self.disabled_reason,
            "send_resolved": self.send_resolved,
            "configured": self.is_configured(),
            "config": self.target.to_json(Secrets::Masked),
            "created_at": self.created,
            "updated_at": self.updated,
        })
    }
}

impl Target {
    /// The name of its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Slack(_) => "slack",
            Self::Webhook(_) => "webhook",
            Self::Alertmanager(_) => "alertmanager",
        }
    }

    /// Its members, by the names under which they are read.
    pub(super) fn to_json(&self, secrets: Secrets) -> Map<String, Value> {
        let mut res = Map::new();
        let mut put = |key: &str, value: Value| {
            res.insert(key.to_owned(), value);
        };
        match self {
            Self::Email(Email { server, from, to }) => {
                if let Some(SmtpServer { host, port, tls, login }) = server {
                    put("host", host.as_str().into());
                    put("port", (*port).into());
                    put("tls", tls.as_str().into());
                    if let Some((user, password)) = login {
                        put("username", user.as_str().into());
                        put("password", secrets.show(password));
                    }
                }
                if let Some(it) = from {
                    put("from", it.to_string().into());
                }
                put("to", to.iter().map(ToString::to_string).collect());
            }
            Self::Slack(Slack::Hook(url)) => put("webhook_url", secrets.show_url(url)),
            Self::Slack(Slack::Bot { token, channel, api, update }) => {
                put("bot_token", secrets.show(token));
                put("channel", channel.as_str().into());
                put("api_url", api.as_str().into());
                put("update_on_resolve", (*update).into());
            }
            Self::Webhook(it) => {
                put("url", secrets.show_url(&it.url));
                put("body", it.body.as_str().into());
                if let Body::Template(template, media) = &it.body {
                    put("template", template.as_str().into());
                    put("content_type", media.as_str().into());
                }
                if !it.secrets.is_empty() {
                    put("secrets", it.secrets.iter().map(|it| secrets.show(it)).collect());
                }
                if !it.headers.is_empty() {
                    put("headers", secrets.show_headers(&it.headers));
                }
                if let Some(it) = it.timeout {
                    put("timeout", format!("{}ms", it.as_millis()).into());
                }
            }
            Self::Alertmanager(it) => {
                put("urls", it.urls.iter().map(Url::as_str).collect());
                if !it.headers.is_empty() {
                    put("headers", secrets.show_headers(&it.headers));
                }
            }
        }
        res
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), Value::Object(self.to_json(Secrets::Masked)))
    }
}

impl Secrets {
    fn show(self, secret: &Secret) -> Value {
        match self {
            Self::Plain => secret.expose().into(),
            Self::Masked => MASK.into(),
        }
    }

    fn show_headers(self, headers: &[(String, Secret)]) -> Value {
        headers.iter().map(|(name, value)| (name.clone(), self.show(value))).collect()
    }

    /// A URL: its path and query often are the secret, its host never is.
    fn show_url(self, url: &Url) -> Value {
        match self {
            Self::Plain => url.as_str().into(),
            Self::Masked if url.path() == "/" && url.query().is_none() => url.as_str().into(),
            Self::Masked => format!("{}/{MASK}", url.origin().ascii_serialization()).into(),
        }
    }
}

impl SmtpTls {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StartTls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        }
    }

    /// What a port stands for.
    #[must_use]
    pub const fn of_port(port: u16) -> Self {
        if port == 465 { Self::Tls } else { Self::StartTls }
    }
}

impl fmt::Display for SmtpTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Body {
    /// Its name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::AlertmanagerV4 => "alertmanager-v4",
            Self::Template(..) => "template",
        }
    }
}

#[cfg(test)]
mod tests;
