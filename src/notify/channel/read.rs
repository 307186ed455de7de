//! Reading a channel.

use super::fields::{FieldFault, Fields};
use super::{
    Alertmanager, Body, Channel, Email, MAX_NAME_BYTES, MAX_TEMPLATE_BYTES, Secrets, Slack,
    SmtpServer, SmtpTls, Target, Webhook,
};
use crate::notify::guard::Guard;
use crate::notify::render;
use crate::notify::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::message::{Mailbox, Mailboxes};
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// What a channel may be.
#[derive(Clone, Copy, Debug)]
pub(in crate::notify) struct Reading {
    /// Where it may lead; `None`: it was judged before, and is judged again when it is used.
    pub(in crate::notify) guard: Option<Guard>,
    /// Whether the configuration names a mail server and a sender.
    pub(in crate::notify) has_smtp: bool,
}

/// What was read of a channel: all but its id and times.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::notify) struct Draft {
    pub(in crate::notify) name: String,
    pub(in crate::notify) enabled: bool,
    pub(in crate::notify) send_resolved: bool,
    pub(in crate::notify) target: Target,
}

const KINDS: [&str; 4] = ["email", "slack", "webhook", "alertmanager"];
const DEFAULT_SLACK_API: &str = "https://slack.com/api";
/// Headers that the sender sets itself.
const OUR_HEADERS: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "te",
    "upgrade",
    "trailer",
    "expect",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

impl Reading {
    /// Reads a channel. With `old`, what `body` does not say stays as it is, and a mask in it means: as it was.
    pub(in crate::notify) fn read(
        self,
        body: &Map<String, Value>,
        old: Option<&Channel>,
    ) -> Result<Draft, Vec<FieldFault>> {
        let mut fields = Fields::new("", body);
        // What a channel is shown with may come back.
        for shown in ["id", "configured", "created_at", "updated_at", "disabled_reason"] {
            fields.get(shown);
        }
        let name = fields.parse("name", name).or_else(|| old.map(|it| it.name.clone()));
        let enabled = fields.flag("enabled").or(old.map(|it| it.enabled)).unwrap_or(true);
        let resolved = fields.flag("send_resolved");
        let send_resolved = resolved.or(old.map(|it| it.send_resolved)).unwrap_or(true);
        let kind = fields.parse("type", |it| match KINDS.iter().find(|kind| **kind == it) {
            Some(it) => Ok(*it),
            None => Err("must be email, slack, webhook or alertmanager".to_owned()),
        });
        let kind = kind.or(old.map(|it| it.target.kind()));
        let config = fields.get("config");
        if name.is_none() && !body.contains_key("name") {
            fields.fault("name", "is missing: a name such as \"ops\"");
        }
        if kind.is_none() && !body.contains_key("type") {
            fields.fault("type", "is missing: email, slack, webhook or alertmanager");
        }
        let config = match config {
            Some(Value::Object(it)) => Some(it.clone()),
            None if old.is_some() => Some(Map::new()),
            None => {
                fields.fault("config", "is missing: an object such as {\"url\": \"https://...\"}");
                None
            }
            Some(_) => {
                fields.fault("config", "must be an object");
                None
            }
        };
        let mut faults = fields.finish();
        let target = kind.zip(config).and_then(|(kind, config)| {
            let same = old.filter(|it| it.target.kind() == kind);
            let config = same.map_or(config.clone(), |it| overlay(&config, &it.target));
            let mut fields = Fields::new("config.", &config);
            let target = self.target(kind, &mut fields);
            faults.extend(fields.finish());
            target
        });
        match (name, target) {
            (Some(name), Some(target)) if faults.is_empty() => {
                Ok(Draft { name, enabled, send_resolved, target })
            }
            _ => Err(faults),
        }
    }

    fn target(self, kind: &str, fields: &mut Fields<'_>) -> Option<Target> {
        match kind {
            "email" => self.email(fields).map(Target::Email),
            "slack" => self.slack(fields).map(Target::Slack),
            "webhook" => self.webhook(fields).map(Target::Webhook),
            _ => self.alertmanager(fields).map(Target::Alertmanager),
        }
    }

    fn email(self, fields: &mut Fields<'_>) -> Option<Email> {
        // Some call the recipient `email`.
        let key = if fields.get("email").is_some() { "email" } else { "to" };
        let to = fields.list(key).map(|it| it.join(", "));
        let to: Option<Vec<Mailbox>> = to.and_then(|it| match it.parse::<Mailboxes>() {
            Ok(it) => Some(it.into_iter().collect()),
            Err(error) => {
                fields.fault(key, format!("must be addresses such as ops@example.org: {error}"));
                None
            }
        });
        if to.is_none() && fields.get("to").is_none() && key == "to" {
            fields.fault("to", "is missing: one or more addresses such as ops@example.org");
        }
        let from = fields.parse("from", |it| {
            let mailbox = it.parse::<Mailbox>();
            mailbox.map_err(|it| format!("must be an address such as alerts@example.org: {it}"))
        });
        let host = fields.parse("host", |it| self.host(it));
        let port = fields.port("port").unwrap_or(587);
        let tls = fields.parse("tls", |it| match it {
            "starttls" => Ok(SmtpTls::StartTls),
            "tls" => Ok(SmtpTls::Tls),
            "none" => Ok(SmtpTls::None),
            _ => Err("must be starttls, tls or none".to_owned()),
        });
        let user = fields.text("username").map(str::to_owned);
        let password = fields.text("password").map(Secret::new);
        let login = match (user, password) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            _ => {
                fields.fault("username", "and `password` belong together");
                None
            }
        };
        if host.is_none() && !self.has_smtp {
            fields.fault("host", "is missing, and SMTP_HOST names no server either");
        }
        if from.is_none() && !self.has_smtp {
            fields.fault("from", "is missing, and SMTP_FROM names no sender either");
        }
        let tls = tls.unwrap_or(SmtpTls::of_port(port));
        let server = host.map(|host| SmtpServer { host, port, tls, login });
        Some(Email { server, from, to: to? })
    }

    fn host(self, text: &str) -> Result<String, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if !text.chars().all(plain) {
            return Err("must be a host name or an address such as smtp.example.org".to_owned());
        }
        if let Some(guard) = self.guard {
            guard.check_host(text).map_err(|it| it.to_string())?;
        }
        Ok(text.trim_start_matches('[').trim_end_matches(']').to_owned())
    }

    fn slack(self, fields: &mut Fields<'_>) -> Option<Slack> {
        let hook = if fields.get("url").is_some() { "url" } else { "webhook_url" };
        let url = fields.parse(hook, |it| self.slack_url(it));
        let hook_given = fields.get(hook).is_some();
        let token = fields.text("bot_token").map(Secret::new);
        let channel = fields.text("channel").map(str::to_owned);
        let api = fields.parse("api_url", |it| self.slack_url(it));
        let api = api.or_else(|| Url::parse(DEFAULT_SLACK_API).ok());
        let update = fields.flag("update_on_resolve").unwrap_or(true);
        match (hook_given, token, channel) {
            (true, None, None) => url.map(Slack::Hook),
            (false, Some(token), Some(channel)) => {
                api.map(|api| Slack::Bot { token, channel, api, update })
            }
            _ => {
                let reason = "or `bot_token` and `channel`: one of the two ways is needed";
                fields.fault("webhook_url", reason);
                None
            }
        }
    }

    /// Slack is spoken to over TLS, but for tests inside a private network.
    fn slack_url(self, text: &str) -> Result<Url, String> {
        let url = self.url(text)?;
        let private = self.guard.is_none_or(|it| it.allow_private);
        if url.scheme() == "https" || private {
            Ok(url)
        } else {
            Err("must begin with https://".to_owned())
        }
    }

    fn url(self, text: &str) -> Result<Url, String> {
        let guard = self.guard.unwrap_or(Guard { allow_private: true });
        guard.check_url(text).map_err(|it| it.to_string())
    }

    fn webhook(self, fields: &mut Fields<'_>) -> Option<Webhook> {
        let url = fields.parse("url", |it| self.url(it));
        if fields.get("url").is_none() {
            fields.fault("url", "is missing: a URL such as https://example.org/hook");
        }
        let key = if fields.get("secret").is_some() { "secret" } else { "secrets" };
        let secrets = fields.list(key).unwrap_or_default();
        if secrets.iter().any(|it| signing_key(it).is_none()) {
            let reason = "must be `whsec_` and 24 to 64 bytes in base64, as `openssl rand -base64 32` makes them";
            fields.fault(key, reason);
        }
        let template = fields.text("template");
        let media = fields.text("content_type").unwrap_or("application/json");
        if HeaderValue::from_str(media).is_err() {
            fields.fault("content_type", "must be a media type such as application/json");
        }
        let body = fields.text("body");
        let body = match (body, template) {
            (Some("standard") | None, None) => Body::Standard,
            (Some("alertmanager-v4"), None) => Body::AlertmanagerV4,
            (Some("template") | None, Some(template)) => {
                if let Err(reason) = check_template(template, media) {
                    fields.fault("template", reason);
                }
                Body::Template(template.to_owned(), media.to_owned())
            }
            (Some("template"), None) => {
                fields.fault("template", "is missing: text such as {\"text\": {{ title|tojson }}}");
                Body::Standard
            }
            _ => {
                fields.fault(
                    "body",
                    "must be standard, alertmanager-v4 or template; only the last has a `template`",
                );
                Body::Standard
            }
        };
        let mut headers = read_headers(fields);
        authorization(fields, &mut headers);
        headers.sort_by(|a, b| a.0.cmp(&b.0));
        let timeout = fields.duration("timeout");
        let secrets = secrets.into_iter().map(Secret::new).collect();
        Some(Webhook { url: url?, secrets, body, headers, timeout })
    }

    fn alertmanager(self, fields: &mut Fields<'_>) -> Option<Alertmanager> {
        let key = if fields.get("url").is_some() { "url" } else { "urls" };
        let texts = fields.list(key);
        if texts.is_none() && fields.get("urls").is_none() && key == "urls" {
            fields.fault("urls", "is missing: one or more URLs such as http://alertmanager:9093");
        }
        let mut urls = Vec::new();
        for text in texts.unwrap_or_default() {
            match self.url(text) {
                Ok(it) => urls.push(it),
                Err(reason) => fields.fault(key, format!("`{text}` {reason}")),
            }
        }
        let mut headers = read_headers(fields);
        authorization(fields, &mut headers);
        headers.sort_by(|a, b| a.0.cmp(&b.0));
        if urls.is_empty() { None } else { Some(Alertmanager { urls, headers }) }
    }
}

/// The bytes of a signing secret.
pub(in crate::notify) fn signing_key(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
    (24..=64).contains(&bytes.len()).then_some(bytes)
}

fn name(text: &str) -> Result<String, String> {
    let fits = (1..=MAX_NAME_BYTES).contains(&text.len());
    if fits && !text.chars().any(|c| c.is_control() || c == '/') {
        Ok(text.to_owned())
    } else {
        Err(format!("must have at most {MAX_NAME_BYTES} bytes, none of them a control or `/`"))
    }
}

fn check_template(template: &str, media: &str) -> Result<(), String> {
    if template.len() > MAX_TEMPLATE_BYTES {
        return Err(format!("must have at most {MAX_TEMPLATE_BYTES} bytes"));
    }
    render::template(template, media, &render::sample()).map(|_| ())
}

fn read_headers(fields: &mut Fields<'_>) -> Vec<(String, Secret)> {
    let mut headers = Vec::new();
    for (name, value) in fields.texts("headers") {
        let name = name.trim().to_ascii_lowercase();
        if OUR_HEADERS.contains(&name.as_str()) {
            fields.fault("headers", format!("must not have `{name}`, which the sender sets"));
        } else if HeaderName::from_bytes(name.as_bytes()).is_err()
            || HeaderValue::from_str(value).is_err()
        {
            fields.fault("headers", format!("`{name}` cannot be a header, or its value not one's"));
        } else {
            headers.push((name, Secret::new(value)));
        }
    }
    headers
}

/// `bearer_token`, or `username` and `password`: shorter ways to say `Authorization`.
fn authorization(fields: &mut Fields<'_>, headers: &mut Vec<(String, Secret)>) {
    let bearer = fields.text("bearer_token").map(|it| format!("Bearer {it}"));
    let user = fields.text("username");
    let password = fields.text("password");
    let basic = user
        .zip(password)
        .map(|(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
    if user.is_some() != password.is_some() {
        fields.fault("username", "and `password` belong together");
    }
    let Some(value) = bearer.or(basic) else { return };
    if HeaderValue::from_str(&value).is_err() {
        return fields.fault("bearer_token", "must be visible ASCII");
    }
    headers.retain(|(name, _)| name != "authorization");
    headers.push(("authorization".to_owned(), Secret::new(value)));
}

/// The members of `old` with what `new` says; a mask in it stands for what it masks.
fn overlay(new: &Map<String, Value>, old: &Target) -> Map<String, Value> {
    let mut plain = old.to_json(Secrets::Plain);
    let masked = old.to_json(Secrets::Masked);
    // Another way to reach Slack, another spelling and another body take the place of the old ones.
    const INSTEAD: [(&str, &[&str]); 8] = [
        ("webhook_url", &["bot_token", "channel", "api_url", "update_on_resolve"]),
        ("url", &["webhook_url", "urls", "bot_token", "channel", "api_url", "update_on_resolve"]),
        ("bot_token", &["webhook_url"]),
        ("secret", &["secrets"]),
        ("body", &["template", "content_type"]),
        ("email", &["to"]),
        ("port", &["tls"]),
        ("host", &["tls"]),
    ];
    for (key, gone) in INSTEAD {
        if new.get(key).is_some_and(|it| masked.get(key) != Some(it)) {
            gone.iter().for_each(|it| drop(plain.remove(*it)));
        }
    }
    for (key, value) in new {
        let unmasked = match (masked.get(key), old.to_json(Secrets::Plain).get(key)) {
            (Some(masked), Some(plain)) => unmask(value, masked, plain),
            _ => value.clone(),
        };
        match unmasked {
            Value::Null => drop(plain.remove(key)),
            it => drop(plain.insert(key.clone(), it)),
        }
    }
    plain
}

fn unmask(new: &Value, masked: &Value, plain: &Value) -> Value {
    match (new, masked, plain) {
        (new, masked, plain) if new == masked => plain.clone(),
        (Value::Object(new), Value::Object(masked), Value::Object(plain)) => {
            let member = |(key, it): (&String, &Value)| {
                let it = match (masked.get(key), plain.get(key)) {
                    (Some(masked), Some(plain)) => unmask(it, masked, plain),
                    _ => it.clone(),
                };
                (key.clone(), it)
            };
            Value::Object(new.iter().map(member).collect())
        }
        (Value::Array(new), Value::Array(masked), Value::Array(plain)) => {
            let item = |(at, it): (usize, &Value)| match (masked.get(at), plain.get(at)) {
                (Some(masked), Some(plain)) => unmask(it, masked, plain),
                _ => it.clone(),
            };
            Value::Array(new.iter().enumerate().map(item).collect())
        }
        (new, ..) => new.clone(),
    }
}
