//! Requests to hosts that people named.
//!
//! One client for all: its resolver classifies what a name means and hands the connector the same addresses, so that
//! nothing is resolved twice. It follows no redirect, knows no proxy and reads little of an answer.

use super::{Attempt, Verdict};
use crate::event::Time;
use crate::notify::backoff;
use crate::notify::guard::{Guard, Refused};
use crate::telemetry;
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode, Url};
use std::{error::Error, io, net::SocketAddr, sync::Arc, time::Duration};

/// Bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that goes only where the guard lets it.
#[derive(Clone, Debug)]
pub(in crate::notify) struct Client {
    client: reqwest::Client,
    guard: Guard,
    timeout: Duration,
    clock: fn() -> Time,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) at: Time,
}

/// The addresses that a name has, with this port, as somebody knows them.
type Lookup = fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

struct Resolver {
    guard: Guard,
    lookup: Lookup,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, found) = (self.guard, (self.lookup)(name.as_str().to_owned(), 0));
        Box::pin(async move {
            let found = judged(guard, name.as_str(), found.await?)?;
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// As the system knows them.
fn of_system(name: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
    Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
}

/// The addresses of a name, all of them good.
pub(super) async fn resolve(
    guard: Guard,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    judged(guard, host, of_system(host.to_owned(), port).await?)
}

fn judged(
    guard: Guard,
    host: &str,
    found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    if found.is_empty() {
        return Err(format!("the name {host} has no address").into());
    }
    guard.check_all(&found)?;
    Ok(found)
}

impl Client {
    pub(super) fn new(
        guard: Guard,
        timeout: Duration,
        clock: fn() -> Time,
    ) -> Result<Self, reqwest::Error> {
        Self::with_lookup(guard, timeout, clock, of_system)
    }

    fn with_lookup(
        guard: Guard,
        timeout: Duration,
        clock: fn() -> Time,
        lookup: Lookup,
    ) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .user_agent(format!("Observatory/{}", telemetry::BUILD.version))
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Resolver { guard, lookup }))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(2)
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { client, guard, timeout, clock })
    }

    /// Posts `body`. An error is an attempt that failed before there was an answer.
    pub(super) async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
        timeout: Option<Duration>,
    ) -> Result<Answer, Attempt> {
        // Addresses are not resolved; and what was good yesterday may be forbidden today.
        let url = self.guard.check_url(url.as_str()).map_err(|it| Attempt::dead(it.to_string()))?;
        let request = self.client.request(Method::POST, url).headers(headers).body(body);
        let request = request.timeout(timeout.unwrap_or(self.timeout));
        let mut response = request.send().await.map_err(|it| failed(&it))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        // Whoever answers has decided: that the rest of its answer does not come changes nothing.
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = MAX_ANSWER_BYTES - body.len();
            body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
            if body.len() >= MAX_ANSWER_BYTES {
                break;
            }
        }
        Ok(Answer { status, headers, body, at: (self.clock)() })
    }
}

#[cfg(test)]
impl Client {
    /// Asks for a name as the connector does, past the look at the URL: the error is what the resolver said.
    pub(in crate::notify) async fn check_name(&self, name: &str, port: u16) -> Result<(), String> {
        let sent = self.client.get(format!("http://{name}:{port}/")).send().await;
        sent.map(|_| ()).map_err(|it| failed(&it).said)
    }
}

/// An attempt without an answer. The address that was asked for may be a secret, so it is not said.
fn failed(error: &reqwest::Error) -> Attempt {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    let mut said = match error {
        it if it.is_timeout() => "there was no answer in time".to_owned(),
        it if it.is_connect() => "no connection".to_owned(),
        _ => "the request failed".to_owned(),
    };
    while let Some(it) = source {
        if let Some(refused) = it.downcast_ref::<Refused>() {
            return Attempt::dead(refused.to_string());
        }
        if it.source().is_none() && !error.is_timeout() {
            said = format!("{said}: {it}");
        }
        source = it.source();
    }
    Attempt::new(Verdict::Retry(None), None, said)
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What `Retry-After` says.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let value = self.headers.get(RETRY_AFTER)?.to_str().ok()?;
        backoff::retry_after(value, self.at, crate::notify::chance())
    }

    /// The attempt that this answers, as most servers mean their statuses.
    pub(super) fn attempt(&self) -> Attempt {
        let verdict = match self.status.as_u16() {
            200..=299 => Verdict::Delivered,
            404 | 410 => Verdict::Gone,
            408 | 425 | 429 | 500..=599 => Verdict::Retry(self.retry_after()),
            _ => Verdict::Dead,
        };
        let said = match self.status.as_u16() {
            300..=399 => {
                "a redirect, and none is followed: give the URL that it leads to".to_owned()
            }
            _ => self.text(),
        };
        Attempt::new(verdict, Some(self.status.as_u16()), said)
    }
}

#[cfg(test)]
mod tests;
