//! Alertmanagers: alerts go to all of them, as Prometheus sends them.
//!
//! An Alertmanager forgets an alert that is not sent again before its `endsAt`, and its peers and restarts know only
//! what they are sent; so what fires is sent again every interval, and what is over for another quarter of an hour.

use super::http::Client;
use super::webhook::of_people;
use super::{Attempt, Verdict};
use crate::event::Time;
use crate::notify::channel::Alertmanager;
use crate::notify::message::{Kind, Message};
use crate::notify::render;
use futures_util::future::join_all;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use std::time::Duration;

/// Alerts of one request, as Prometheus has it.
pub(in crate::notify) const BATCH: usize = 256;
/// An alert fires there for so many intervals if it is not sent again, as Prometheus has it.
pub(in crate::notify) const INTERVALS: u32 = 4;
/// How long a test stays.
const TEST_FOR: Duration = Duration::from_mins(1);

/// The alerts of `message` as they are posted at `now`, if what fires is sent again every `interval`.
pub(super) fn of_message(message: &Message, interval: Duration, now: Time) -> Vec<Value> {
    let each = message.entries.iter().map(|it| {
        let ends = match it.kind {
            Kind::Resolved => it.alert.ends_at.unwrap_or(now),
            Kind::Test => now.saturating_add(TEST_FOR),
            _ => now.saturating_add(interval.saturating_mul(INTERVALS)),
        };
        render::postable(&it.alert, ends, message.external_url.as_deref())
    });
    each.collect()
}

/// Posts `alerts` to all, at the same time. It is delivered if one took them: the others are told again within a
/// minute, as all are.
pub(in crate::notify) async fn post(
    client: &Client,
    target: &Alertmanager,
    alerts: &[Value],
) -> Attempt {
    let body = Value::from(alerts).to_string();
    let attempts = target.urls.iter().map(|url| one(client, target, url, &body));
    let attempts = join_all(attempts).await;
    let several = attempts.len() > 1;
    let said = attempts.iter().zip(&target.urls).map(|(it, url)| {
        let host = url.host_str().unwrap_or_default();
        let place = if several { format!("{host}: ") } else { String::new() };
        match (it.verdict, it.status) {
            (Verdict::Delivered, _) => format!("{place}taken"),
            (_, Some(status)) => format!("{place}{status} {}", it.said),
            (_, None) => format!("{place}{}", it.said),
        }
    });
    let said = said.collect::<Vec<_>>().join("; ");
    let best = attempts.into_iter().min_by_key(|it| match it.verdict {
        Verdict::Delivered => 0,
        Verdict::Retry(_) => 1,
        Verdict::Dead => 2,
        Verdict::Gone => 3,
    });
    match best {
        // An Alertmanager that answers 404 is behind a proxy that has lost it, not gone for good.
        Some(it) if it.verdict == Verdict::Gone => {
            Attempt::new(Verdict::Retry(None), it.status, said)
        }
        Some(it) => Attempt::new(it.verdict, it.status, said),
        None => Attempt::dead("the channel has no URL"),
    }
}

async fn one(client: &Client, target: &Alertmanager, url: &Url, body: &str) -> Attempt {
    let text = url.as_str().trim_end_matches('/').trim_end_matches("/api/v2/alerts");
    let Ok(url) = Url::parse(&format!("{text}/api/v2/alerts")) else {
        return Attempt::dead("the URL cannot be used");
    };
    let mut headers = of_people(&target.headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match client.post(&url, headers, body.as_bytes().to_vec(), None).await {
        Ok(answer) => answer.attempt(),
        Err(attempt) => attempt,
    }
}
