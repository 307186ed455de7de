//! Slack: an incoming webhook, or a bot whose message changes when the alert is over.
//!
//! Limits as Slack documents them: a header has 150 characters, a section 3000, ten fields of 2000 each, a message 50 blocks.
//! What came with events cannot address people: `<`, `>` and `&` are escaped, and only between angle brackets does
//! Slack see `<!channel>` or `<@U123>`.

use super::http::{Answer, Client};
use super::{Attempt, Verdict, cut};
use crate::alerts::Severity;
use crate::notify::channel::Slack;
use crate::notify::message::{Entry, Kind, Message};
use crate::notify::render;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Slack takes one message per second and channel.
pub(in crate::notify) const GAP: Duration = Duration::from_secs(1);
/// Alerts that a message shows; how many more there are is told.
const MAX_SHOWN: usize = 10;
const MAX_FIELDS: usize = 10;
/// Errors after which nothing is taken any more, of both ways.
const GONE: [&str; 10] = [
    "no_service",
    "no_team",
    "invalid_token",
    "invalid_auth",
    "account_inactive",
    "token_revoked",
    "token_expired",
    "channel_not_found",
    "channel_is_archived",
    "is_archived",
];
/// Errors that pass.
const PASSING: [&str; 6] = [
    "ratelimited",
    "rate_limited",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
];
/// Errors after which a message that is there cannot be changed: somebody removed it, or it is too old. The end of
/// an alert is then a message of its own.
const UNCHANGEABLE: [&str; 3] = ["message_not_found", "cant_update_message", "edit_window_closed"];

pub(super) async fn send(
    client: &Client,
    slack: &Slack,
    message: &Message,
    handle: Option<&str>,
) -> Attempt {
    match slack {
        Slack::Hook(url) => match client.post(url, json_headers(), body(message), None).await {
            Ok(answer) => of_hook(&answer),
            Err(attempt) => attempt,
        },
        Slack::Bot { token, channel, api, update } => {
            let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            else {
                return Attempt::dead("the bot's token cannot be sent");
            };
            bearer.set_sensitive(true);
            let known = handle.and_then(|it| it.split_once(' ')).filter(|_| *update);
            if let Some((id, ts)) = known.filter(|_| message.is_resolved()) {
                let changed = with(payload(message), json!({"channel": id, "ts": ts}));
                let updated = call(client, api, &bearer, "chat.update", &changed).await;
                if !is_unchangeable(&updated) {
                    return updated;
                }
                // A call that came to nothing counts as well.
                tokio::time::sleep(GAP).await;
            }
            let more = json!({"channel": channel, "unfurl_links": false});
            call(client, api, &bearer, "chat.postMessage", &with(payload(message), more)).await
        }
    }
}

/// Calls a method of the API.
async fn call(
    client: &Client,
    api: &Url,
    bearer: &HeaderValue,
    method: &str,
    payload: &Value,
) -> Attempt {
    let mut headers = json_headers();
    headers.insert(AUTHORIZATION, bearer.clone());
    let Some(url) = below(api, method) else {
        return Attempt::dead("the URL of the API cannot be used");
    };
    match client.post(&url, headers, payload.to_string().into_bytes(), None).await {
        Ok(answer) => of_api(&answer),
        Err(attempt) => attempt,
    }
}

fn with(mut payload: Value, more: Value) -> Value {
    if let (Value::Object(payload), Value::Object(more)) = (&mut payload, more) {
        payload.extend(more);
    }
    payload
}

fn below(api: &Url, method: &str) -> Option<Url> {
    Url::parse(&format!("{}/{method}", api.as_str().trim_end_matches('/'))).ok()
}

fn json_headers() -> HeaderMap {
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    [(CONTENT_TYPE, json)].into_iter().collect()
}

/// The answer of an incoming webhook: `ok`, or one word.
fn of_hook(answer: &Answer) -> Attempt {
    let word = answer.text();
    let attempt = answer.attempt();
    let verdict = match attempt.verdict {
        it @ (Verdict::Delivered | Verdict::Retry(_)) => it,
        _ if GONE.contains(&word.trim()) => Verdict::Gone,
        it => it,
    };
    Attempt { verdict, ..attempt }
}

/// The body of an answer of the API.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    ok: bool,
    error: String,
    channel: Option<String>,
    ts: Option<String>,
}

/// Whether the message that was to be changed cannot be.
fn is_unchangeable(updated: &Attempt) -> bool {
    let said: Said = serde_json::from_str(&updated.said).unwrap_or_default();
    updated.verdict == Verdict::Dead && UNCHANGEABLE.contains(&said.error.as_str())
}

/// The answer of the API: 200, and `ok` in the body or not.
fn of_api(answer: &Answer) -> Attempt {
    let attempt = answer.attempt();
    if attempt.verdict != Verdict::Delivered {
        return attempt;
    }
    let said: Said = serde_json::from_slice(&answer.body).unwrap_or_default();
    if said.ok {
        let handle = said.channel.zip(said.ts).map(|(channel, ts)| format!("{channel} {ts}"));
        return Attempt { handle, ..attempt };
    }
    let verdict = match said.error.as_str() {
        it if GONE.contains(&it) => Verdict::Gone,
        it if PASSING.contains(&it) => Verdict::Retry(answer.retry_after()),
        "" => Verdict::Retry(None),
        _ => Verdict::Dead,
    };
    Attempt { verdict, ..attempt }
}

fn body(message: &Message) -> Vec<u8> {
    payload(message).to_string().into_bytes()
}

/// The message. Colours are only in attachments; `text` is what notifications and screen readers say.
pub(in crate::notify) fn payload(message: &Message) -> Value {
    let mut attachments: Vec<Value> =
        message.entries.iter().take(MAX_SHOWN).map(|it| attachment(message, it)).collect();
    let more = message.entries.len().saturating_sub(MAX_SHOWN);
    if more > 0 {
        let text = format!("… and {more} more alerts");
        attachments.push(json!({"fallback": text, "blocks": [context(&text)]}));
    }
    let title = cut(&escape(&render::title(message)), 3000);
    json!({"text": title, "attachments": attachments})
}

fn attachment(message: &Message, entry: &Entry) -> Value {
    let alert = &entry.alert;
    let heading = format!("[{}] {}", render::heading(entry), alert.rule_name);
    let mut blocks = vec![
        json!({"type": "header", "text": {"type": "plain_text", "text": cut(&heading, 150), "emoji": false}}),
        section(&render::summary(alert)),
    ];
    let facts = render::facts(entry).into_iter().map(|(name, value)| (name.to_owned(), value));
    let labels = alert.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
    let fields: Vec<Value> = facts.chain(labels).take(MAX_FIELDS).map(|it| field(&it)).collect();
    blocks.push(json!({"type": "section", "fields": fields}));
    if alert.labels.len() + 4 > MAX_FIELDS {
        blocks.push(context(&cut(&escape(&labels_line(entry)), 2000)));
    }
    let runbook = alert.annotations.get("runbook_url").filter(|it| is_link(it));
    let buttons: Vec<Value> = [("Open", render::link(message, alert)), ("Runbook", runbook.cloned())]
        .into_iter()
        .filter_map(|(text, url)| Some((text, url?)))
        .map(|(text, url)| json!({"type": "button", "text": {"type": "plain_text", "text": text}, "url": url}))
        .collect();
    if !buttons.is_empty() {
        blocks.push(json!({"type": "actions", "elements": buttons}));
    }
    let fallback = cut(&escape(&format!("{heading}: {}", render::summary(alert))), 2000);
    json!({"color": colour(entry), "fallback": fallback, "blocks": blocks})
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": cut(&escape(text), 3000)}})
}

fn context(text: &str) -> Value {
    json!({"type": "context", "elements": [{"type": "mrkdwn", "text": text}]})
}

fn field((name, value): &(String, String)) -> Value {
    let text = format!("*{}*\n{}", escape(name), escape(value));
    json!({"type": "mrkdwn", "text": cut(&text, 2000)})
}

fn labels_line(entry: &Entry) -> String {
    let pairs = entry.alert.labels.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join(" ")
}

/// Slack refuses a whole message for one address that is none.
fn is_link(text: &str) -> bool {
    text.len() <= 3000 && Url::parse(text).is_ok_and(|it| matches!(it.scheme(), "http" | "https"))
}

fn colour(entry: &Entry) -> &'static str {
    match (entry.kind, entry.alert.severity) {
        (Kind::Resolved, _) => "#2E7D32",
        (_, Severity::Critical) => "#D7263D",
        (_, Severity::High) => "#F46036",
        (_, Severity::Medium) => "#F2B705",
        (_, Severity::Low) => "#3A86FF",
    }
}

/// What Slack asks to escape. An empty text is no text for it.
fn escape(text: &str) -> String {
    if text.trim().is_empty() {
        return "-".to_owned();
    }
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
