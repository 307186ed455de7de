//! Mail. TLS that was asked for is used or nothing is sent; the server is taken to have a message when it says so after
//! its last line.

use super::http::resolve;
use super::{Attempt, Config, Verdict, cut};
use crate::notify::channel::{Email, SmtpServer, SmtpTls};
use crate::notify::guard::{Guard, Refused};
use crate::notify::message::{Kind, Message};
use crate::notify::render;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;

/// The mail server of the configuration, and the sender. Whoever configures the server chooses it, so it may be
/// anywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Smtp {
    /// The server.
    pub server: SmtpServer,
    /// The sender.
    pub from: Mailbox,
}

impl Smtp {
    /// A server, and the address that mail comes from.
    ///
    /// # Errors
    ///
    /// It is no address.
    pub fn new(server: SmtpServer, from: &str) -> Result<Self, String> {
        let from = from.parse();
        let from =
            from.map_err(|it| format!("expected an address such as alerts@example.org: {it}"))?;
        Ok(Self { server, from })
    }
}

pub(super) async fn send(config: &Config, email: &Email, message: &Message) -> Attempt {
    let default = config.smtp.as_ref();
    let (server, guard) = match (&email.server, default) {
        (Some(it), _) => (it, config.guard),
        (None, Some(it)) => (&it.server, Guard { allow_private: true }),
        (None, None) => {
            return Attempt::dead("the channel names no mail server, nor does SMTP_HOST");
        }
    };
    let Some(from) = email.from.as_ref().or(default.map(|it| &it.from)) else {
        return Attempt::dead("the channel names no sender, nor does SMTP_FROM");
    };
    let mail = match compose(from, &email.to, message) {
        Ok(it) => it,
        Err(error) => return Attempt::dead(error),
    };
    if let Err(error) = guard.check_host(&server.host) {
        return Attempt::dead(error.to_string());
    }
    let addresses = match resolve(guard, &server.host, server.port).await {
        Ok(it) => it,
        Err(error) if error.downcast_ref::<Refused>().is_some() => {
            return Attempt::dead(error.to_string());
        }
        Err(error) => return Attempt::new(Verdict::Retry(None), None, error.to_string()),
    };
    let mut last = Attempt::dead("the name of the mail server has no address");
    for address in addresses {
        last = deliver(config, server, address, &mail).await;
        // The next address is for the case that nobody answers at this one.
        if last.verdict == Verdict::Delivered || last.status.is_some() {
            break;
        }
    }
    last
}

async fn deliver(
    config: &Config,
    server: &SmtpServer,
    address: SocketAddr,
    (envelope, bytes): &(Envelope, Vec<u8>),
) -> Attempt {
    let parameters = match TlsParameters::new(server.host.clone()) {
        Ok(it) => it,
        Err(error) => return Attempt::dead(error.to_string()),
    };
    let tls = match server.tls {
        SmtpTls::StartTls => Tls::Required(parameters),
        SmtpTls::Tls => Tls::Wrapper(parameters),
        SmtpTls::None => Tls::None,
    };
    let ip = address.ip().to_string();
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(ip);
    let mut builder = builder.port(server.port).tls(tls).timeout(Some(config.timeout));
    if let Some((user, password)) = &server.login {
        builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
    }
    let transport: AsyncSmtpTransport<Tokio1Executor> = builder.build();
    // The timeout above is for each step; a server that always does a little would take for ever.
    let sent = tokio::time::timeout(4 * config.timeout, transport.send_raw(envelope, bytes)).await;
    match sent {
        Ok(Ok(response)) => {
            let status = response.code().to_string().parse().ok();
            let lines = response.message().collect::<Vec<_>>().join(" ");
            Attempt::new(Verdict::Delivered, status, lines)
        }
        Ok(Err(error)) => failed(&error),
        Err(_) => Attempt::new(Verdict::Retry(None), None, "the mail server took too long"),
    }
}

fn failed(error: &SmtpError) -> Attempt {
    let status = error.status().and_then(|it| it.to_string().parse().ok());
    let mut said = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(it) = source {
        said = format!("{said}: {it}");
        source = it.source();
    }
    // Client errors: no STARTTLS, no AUTH that both know. They last until somebody does something.
    let lasting = error.is_permanent() || error.is_client();
    let verdict = if lasting { Verdict::Dead } else { Verdict::Retry(None) };
    Attempt::new(verdict, status, said)
}

/// The mail and its envelope.
fn compose(
    from: &Mailbox,
    to: &[Mailbox],
    message: &Message,
) -> Result<(Envelope, Vec<u8>), String> {
    let domain = from.email.domain();
    let thread = format!("<alert-{}@{domain}>", thread(message));
    let mut builder = lettre::Message::builder()
        .from(from.clone())
        .subject(one_line(&cut(&render::title(message), 200)))
        .message_id(Some(format!("<{}@{domain}>", message.id)))
        .in_reply_to(thread.clone())
        .references(thread);
    for it in to {
        builder = builder.to(it.clone());
    }
    let mut headers = vec![
        ("List-Id", format!("Observatory alerts <alerts.{domain}>")),
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("X-Auto-Response-Suppress", "All".to_owned()),
        ("X-Observatory-Notification", message.id.clone()),
    ];
    if let Some(lead) = message.leading() {
        headers.push(("X-Observatory-Alert", lead.alert.id.clone()));
        headers.push(("X-Observatory-Rule", lead.alert.rule_name.clone()));
        headers.push(("X-Observatory-Severity", lead.alert.severity.to_string()));
        let status = if message.is_resolved() { "resolved" } else { "firing" };
        headers.push(("X-Observatory-Status", status.to_owned()));
    }
    for (name, value) in headers {
        let name = HeaderName::new_from_ascii_str(name);
        builder = builder.raw_header(HeaderValue::new(name, one_line(&cut(&value, 500))));
    }
    let parts = MultiPart::alternative_plain_html(render::text(message), html(message));
    let mail =
        builder.multipart(parts).map_err(|it| format!("the mail cannot be written: {it}"))?;
    Ok((mail.envelope().clone(), mail.formatted()))
}

/// What mail programs put a conversation together by: the alert, or the group.
fn thread(message: &Message) -> String {
    let lead = message.leading().map_or("", |it| it.alert.id.as_str());
    let key = match (&message.group, message.kind) {
        (Some(it), Kind::Digest) => it.as_str(),
        _ => lead,
    };
    let hash = Sha256::digest(key.as_bytes());
    hash.iter().take(8).map(|it| format!("{it:02x}")).collect()
}

/// A header has one line: what would begin another one is a space.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn html(message: &Message) -> String {
    let mut res =
        String::from("<!doctype html><html><body style=\"font-family:sans-serif;color:#222\">\n");
    for entry in &message.entries {
        let alert = &entry.alert;
        let colour = if entry.kind == Kind::Resolved { "#2E7D32" } else { "#B3261E" };
        let heading = escape(&format!("[{}] {}", render::heading(entry), alert.rule_name));
        res += &format!("<h2 style=\"color:{colour};font-size:18px\">{heading}</h2>\n");
        res += &format!("<p>{}</p>\n<table cellpadding=\"3\">\n", escape(&render::summary(alert)));
        let facts = render::facts(entry).into_iter().map(|(name, it)| (name.to_owned(), it));
        let labels = alert.labels.iter().map(|(name, it)| (name.clone(), it.clone()));
        for (name, value) in facts.chain(labels) {
            res += &format!(
                "<tr><th align=\"left\">{}</th><td>{}</td></tr>\n",
                escape(&name),
                escape(&value)
            );
        }
        res += "</table>\n";
        let runbook = alert.annotations.get("runbook_url").cloned();
        let runbook = runbook.filter(|it| it.starts_with("https://") || it.starts_with("http://"));
        for (text, url) in [("Open", render::link(message, alert)), ("Runbook", runbook)] {
            if let Some(url) = url {
                res += &format!("<p><a href=\"{}\">{text}</a></p>\n", escape(&url));
            }
        }
    }
    res + "</body></html>\n"
}

fn escape(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    escaped.replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests;
