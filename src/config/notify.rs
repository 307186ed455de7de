//! The settings of notifications: `notify.*`, and the variables of other tools for a mail server and a webhook.

use super::node::Node;
use super::settings::Secret;
use super::value::{Context, Fault, Value, quoted};
use crate::notify;
use crate::notify::{Guard, Smtp, SmtpServer, SmtpTls, Target};
use std::time::Duration;

/// How people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Whether private and loopback addresses may be connected to.
    pub allow_private_targets: bool,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// How long the first notification of a group waits for others.
    pub group_wait: Duration,
    /// The least time between two messages of a group.
    pub group_interval: Duration,
    /// How often Alertmanagers are sent what fires.
    pub resend_interval: Duration,
    /// How long a notification is tried.
    pub give_up_after: Duration,
    /// How long the log of deliveries is kept.
    pub log_retention: Duration,
    /// Notifications that may wait for one channel.
    pub max_pending: usize,
    /// Where people reach this server.
    pub external_url: Text,
    /// The mail server.
    pub smtp_host: Text,
    /// Its port.
    pub smtp_port: Port,
    /// Who we are there.
    pub smtp_user: Text,
    /// And how we show it.
    pub smtp_password: Hidden,
    /// The sender.
    pub smtp_from: Text,
    /// The recipients of the channel `email`, separated by commas.
    pub smtp_to: Text,
    /// Whether mail goes over TLS only.
    pub smtp_tls: bool,
    /// Where the channel `slack` or `webhook` leads.
    pub webhook_url: Hidden,
}

/// A text, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub Option<String>);

/// A text that is not shown, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden(pub Option<Secret>);

/// A port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

/// The host of Slack's incoming webhooks.
const SLACK_HOST: &str = "hooks.slack.com";

impl Default for Notify {
    fn default() -> Self {
        let notify::Config {
            allow_private_targets,
            timeout,
            group_wait,
            group_interval,
            resend_interval,
            give_up_after,
            log_retention,
            max_pending,
            ..
        } = notify::Config::new(crate::pipeline::now);
        Self {
            allow_private_targets,
            timeout,
            group_wait,
            group_interval,
            resend_interval,
            give_up_after,
            log_retention,
            max_pending,
            external_url: Text(None),
            smtp_host: Text(None),
            smtp_port: Port(587),
            smtp_user: Text(None),
            smtp_password: Hidden(None),
            smtp_from: Text(None),
            smtp_to: Text(None),
            smtp_tls: true,
            webhook_url: Hidden(None),
        }
    }
}

impl Notify {
    /// As the component takes it. What is wrong was refused when it was read.
    pub(super) fn component(&self) -> notify::Config {
        let email = self.recipients().ok().flatten().map(|it| ("email".to_owned(), it));
        let webhook = self.webhook().ok().flatten();
        notify::Config {
            allow_private_targets: self.allow_private_targets,
            timeout: self.timeout,
            group_wait: self.group_wait,
            group_interval: self.group_interval,
            resend_interval: self.resend_interval,
            give_up_after: self.give_up_after,
            log_retention: self.log_retention,
            max_pending: self.max_pending,
            external_url: self.external_url.0.clone(),
            smtp: self.smtp().ok().flatten(),
            channels: email.into_iter().chain(webhook).collect(),
            ..notify::Config::new(crate::pipeline::now)
        }
    }

    /// Everything that is wrong, each with the name of its setting.
    pub(super) fn check(&self) -> Vec<String> {
        let mut res = Vec::new();
        res.extend(self.smtp().err());
        res.extend(self.recipients().err().map(|it| format!("notify.smtp_to: {it}")));
        res.extend(self.webhook().err().map(|it| format!("notify.webhook_url: {it}")));
        if self.smtp_host.0.is_none() && self.smtp_to.0.is_some() {
            res.push("notify.smtp_to: notify.smtp_host is missing".to_owned());
        }
        if self.smtp_user.0.is_some() != self.smtp_password.0.is_some() {
            res.push("notify.smtp_user: it belongs together with notify.smtp_password".to_owned());
        }
        if let Some(url) = &self.external_url.0
            && let Err(error) = (Guard { allow_private: true }).check_url(url)
        {
            res.push(format!("notify.external_url: {error}"));
        }
        if self.group_wait.max(self.group_interval) > Duration::from_hours(1) {
            res.push("notify.group_interval and notify.group_wait: expected at most 1h".to_owned());
        }
        if !(Duration::from_secs(1)..=Duration::from_mins(10)).contains(&self.resend_interval) {
            res.push("notify.resend_interval: expected 1s to 10m".to_owned());
        }
        res
    }

    fn smtp(&self) -> Result<Option<Smtp>, String> {
        let Some(host) = self.smtp_host.0.clone() else { return Ok(None) };
        let port = self.smtp_port.0;
        let tls = if self.smtp_tls { SmtpTls::of_port(port) } else { SmtpTls::None };
        let password = self.smtp_password.0.as_ref();
        let login = self.smtp_user.0.clone().zip(password);
        let login = login.map(|(user, it)| (user, notify::Secret::new(it.expose())));
        // Many accounts are called as their mailbox.
        let from = self.smtp_from.0.as_ref().or(self.smtp_user.0.as_ref());
        let from =
            from.ok_or("notify.smtp_from: missing, an address such as alerts@example.org")?;
        let server = SmtpServer { host, port, tls, login };
        Smtp::new(server, from).map(Some).map_err(|it| format!("notify.smtp_from: {it}"))
    }

    fn recipients(&self) -> Result<Option<Target>, String> {
        self.smtp_to.0.as_deref().map(Target::mail_to).transpose()
    }

    /// The channel that other tools make of `WEBHOOK_URL`, and its name.
    fn webhook(&self) -> Result<Option<(String, Target)>, String> {
        let Some(secret) = &self.webhook_url.0 else { return Ok(None) };
        let guard = Guard { allow_private: self.allow_private_targets };
        let url = guard.check_url(secret.expose()).map_err(|it| format!("the URL {it}"))?;
        let slack = url.host_str() == Some(SLACK_HOST);
        let (name, target) = if slack {
            ("slack", Target::slack_hook(url))
        } else {
            ("webhook", Target::plain_webhook(url))
        };
        Ok(Some((name.to_owned(), target)))
    }
}

impl Value for Text {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        let text = node.scalar("a text")?.trim();
        Ok(Self(Some(text.to_owned()).filter(|it| !it.is_empty())))
    }

    fn show(&self) -> String {
        quoted(self.0.as_deref().unwrap_or_default())
    }
}

impl Value for Hidden {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        let text = node.scalar("a text")?;
        Ok(Self(Some(Secret::new(text.to_owned())).filter(|it| !it.expose().is_empty())))
    }

    fn show(&self) -> String {
        quoted(self.0.as_ref().map_or("", |_| "***"))
    }
}

impl Value for Port {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("a port such as 587", |it| {
            it.trim().parse().ok().filter(|it| *it > 0).map(Self)
        })
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn read(environment: &[(&str, &str)]) -> Result<notify::Config, Vec<String>> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment = environment.iter().map(owned).collect();
        let loaded = load(&Sources { environment, ..Sources::default() });
        loaded.map(|it| it.settings.notify()).map_err(|it| it.problems)
    }

    const MAIL: [(&str, &str); 6] = [
        ("SMTP_HOST", "smtp.example.org"),
        ("SMTP_PORT", "465"),
        ("SMTP_USER", "u"),
        ("SMTP_PASSWORD", "hunter2-hunter2"),
        ("SMTP_FROM", "Alerts <alerts@example.org>"),
        ("SMTP_TO", "a@example.org, b@example.org"),
    ];

    #[test]
    fn the_variables_of_other_tools_make_channels() {
        let config = read(&MAIL).unwrap();
        let smtp = config.smtp.unwrap();
        assert_eq!((smtp.server.port, smtp.server.tls), (465, SmtpTls::Tls));
        assert_eq!(config.channels[0].0, "email");
        let slack = read(&[("WEBHOOK_URL", "https://hooks.slack.com/services/T/B/x")]).unwrap();
        assert_eq!(slack.channels[0].0, "slack");
        let other = read(&[("WEBHOOK_URL", "https://example.org/hook")]).unwrap();
        assert_eq!((other.channels[0].0.as_str(), other.channels.len()), ("webhook", 1));
        assert!(read(&[]).unwrap().channels.is_empty());
    }

    #[test]
    fn tls_is_the_default_and_only_a_word_takes_it_away() {
        let tls = |more: &[(&str, &str)]| {
            let all = [("SMTP_HOST", "h"), ("SMTP_FROM", "a@b.c")];
            let all: Vec<_> = all.iter().chain(more).copied().collect();
            read(&all).unwrap().smtp.unwrap().server.tls
        };
        assert_eq!(tls(&[]), SmtpTls::StartTls);
        assert_eq!(tls(&[("SMTP_TLS", "true"), ("SMTP_PORT", "2525")]), SmtpTls::StartTls);
        assert_eq!(tls(&[("SMTP_TLS", "false")]), SmtpTls::None);
    }

    #[test]
    fn alerts_are_sent_again_neither_all_the_time_nor_never() {
        let read = |value| read(&[("OBSERVATORY_NOTIFY_RESEND_INTERVAL", value)]);
        assert_eq!(read("1s").unwrap().resend_interval, Duration::from_secs(1));
        for wrong in ["0s", "500ms", "11m"] {
            assert_eq!(read(wrong).unwrap_err(), ["notify.resend_interval: expected 1s to 10m"]);
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secrets() {
        let problems = read(&[
            ("SMTP_HOST", "h"),
            ("SMTP_FROM", "nobody"),
            ("SMTP_PASSWORD", "hunter2-hunter2"),
            ("WEBHOOK_URL", "http://127.0.0.1/hunter2-hunter2"),
            ("SMTP_PORT", "mail"),
        ])
        .unwrap_err();
        let said = problems.join("\n");
        for words in
            ["SMTP_PORT: expected a port", "notify.smtp_from", "notify.smtp_user", "loopback"]
        {
            assert!(said.contains(words), "{said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
        let allowed = [
            ("WEBHOOK_URL", "http://127.0.0.1/x"),
            ("OBSERVATORY_NOTIFY_ALLOW_PRIVATE_TARGETS", "true"),
        ];
        assert!(read(&allowed).is_ok());
    }
}
