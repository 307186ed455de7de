//! The client side of the server's API.

mod sse;
mod stream;

pub(super) use sse::ServerEvents;

use super::{Error, Session};
use crate::config;
use reqwest::{Method, StatusCode, header};
use serde::Deserialize;
use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Which server, and how to get in.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    #[arg(
        long,
        value_name = "URL",
        help = "Server [env: OBSERVATORY_URL] [default: http://127.0.0.1:9091]"
    )]
    pub(super) url: Option<String>,
    #[arg(
        long,
        value_name = "TOKEN",
        help = "Access token; better in the environment, where other users cannot see it [env: OBSERVATORY_TOKEN, the first of its list]"
    )]
    pub(super) token: Option<String>,
    /// Seconds after which to give up, retries included
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(super) timeout: Option<Duration>,
}

/// A server to talk to.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    timeout: Duration,
    /// Whether a failure that may pass is tried again.
    retries: bool,
    idempotency_key: Option<String>,
}

/// A request that can be sent again.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    /// The content type and the body.
    pub(super) body: Option<(&'static str, String)>,
}

/// What the server's errors look like.
#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(default)]
    message: String,
    #[serde(default)]
    rejected: Vec<Rejected>,
}

/// The answer to a single event.
#[derive(Debug, Deserialize)]
pub(super) struct Accepted {
    pub(super) event_id: String,
    pub(super) status: String,
}

/// The answer to a batch. If nothing was accepted, it is an error that has the rest of these fields.
#[derive(Debug, Deserialize)]
pub(super) struct Batch {
    #[serde(default)]
    pub(super) accepted: u64,
    #[serde(default)]
    pub(super) duplicates: u64,
    #[serde(default)]
    pub(super) rejected: Vec<Rejected>,
}

/// An event of a batch that was refused.
#[derive(Debug, Deserialize)]
pub(super) struct Rejected {
    pub(super) index: usize,
    pub(super) error: String,
}

/// How one attempt ended without an answer to hand on.
enum Attempt {
    /// Another attempt may succeed, after the pause that the server asked for.
    Again(String, Option<Duration>),
    /// Another attempt would end the same.
    Final(Failure),
}

impl Batch {
    /// Fails unless it tells of all `events` that were sent: what answers is something else then, and does not
    /// have them.
    pub(super) fn check(&self, events: usize) -> Result<(), Error> {
        let told = self.accepted + self.duplicates + self.rejected.len() as u64;
        if told == events as u64 {
            return Ok(());
        }
        Err(Error::Unavailable(format!(
            "the answer is not that of an observatory: it tells of {told} events, and {events} were sent"
        )))
    }
}

/// Why a request was not answered well.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server will never take this body.
    Bad(String),
    /// The server was not reached, took nothing, or does not know us: the body is not at fault.
    Other(Error),
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// What a person would rather know before waiting.
const PATIENCE: Duration = Duration::from_millis(500);

impl Client {
    pub(super) fn new(args: &Args, session: &Session) -> Result<Self, Error> {
        let url = args.url.as_deref().or_else(|| session.variable("OBSERVATORY_URL"));
        let base = base_url(url.unwrap_or("http://127.0.0.1:9091"))?;
        let list = session.variable("OBSERVATORY_TOKEN").unwrap_or_default();
        let first = list.split(',').map(str::trim).find(|it| !it.is_empty());
        let token = args.token.as_deref().or(first).map(|it| config::split_role(it).1.to_owned());
        // A redirect would carry the event, and perhaps the token, to where nobody sent it.
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("observatory/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        // Without TLS no certificate is asked for, so that a bare container needs none.
        if base.starts_with("http://") {
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|err| Error::System(reason(&err)))?;
        Ok(Self {
            http,
            base,
            token,
            timeout: args.timeout.unwrap_or(Duration::from_secs(10)),
            retries: true,
            idempotency_key: None,
        })
    }

    /// The same with one attempt per request, for what can wait until later.
    pub(super) fn without_retries(self) -> Self {
        Self { retries: false, ..self }
    }

    /// The same without a token, for a server that is not ours.
    pub(super) fn without_token(self) -> Self {
        Self { token: None, ..self }
    }

    /// The same with an `Idempotency-Key` on everything that it sends by [`Client::send`].
    pub(super) fn with_idempotency_key(self, key: String) -> Self {
        Self { idempotency_key: Some(key), ..self }
    }

    /// A request that is sent once, with the token if there is one.
    pub(super) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let builder = self.http.request(method, format!("{}{path}", self.base));
        let builder = match &self.token {
            Some(token) => builder.bearer_auth(token),
            None => builder,
        };
        builder.timeout(self.timeout)
    }

    /// The body of the answer to `request`, which has to be a success.
    pub(super) async fn bytes(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, Error> {
        let failed = |err: reqwest::Error| match self.unreachable(&err) {
            Attempt::Again(why, _) => Error::Unavailable(why),
            Attempt::Final(failure) => failure.into(),
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let body = response.bytes().await.map_err(failed)?;
        if status.is_success() {
            return Ok(body.to_vec());
        }
        Err(match self.refusal(status, None, &String::from_utf8_lossy(&body)) {
            Attempt::Again(why, _) => Error::Unavailable(why),
            Attempt::Final(failure) => failure.into(),
        })
    }

    /// How long a request may take, retries included.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The server's address.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Sends events, one per line.
    pub(super) async fn send_lines(
        &self,
        lines: String,
        session: &mut Session,
    ) -> Result<Batch, Error> {
        let mut tell = |it: String| session.note(&it);
        Ok(self.post_lines(lines, self.timeout, &mut tell).await?)
    }

    /// Sends events, one per line, for at most `timeout`; what a person would like to know meanwhile is told
    /// to `tell`.
    pub(super) async fn post_lines(
        &self,
        lines: String,
        timeout: Duration,
        tell: &mut dyn FnMut(String),
    ) -> Result<Batch, Failure> {
        let body = Some(("application/x-ndjson", lines));
        let request = Request { method: Method::POST, path: "/api/v1/events/batch", body };
        let body = self.exchange(&request, timeout, tell).await?;
        answer(&body).map_err(Failure::Other)
    }

    /// Sends `request` until it is answered or the time is over. The answer's body, if it is a success, or
    /// if it tells event by event what is wrong.
    pub(super) async fn send(
        &self,
        request: &Request<'_>,
        session: &mut Session,
    ) -> Result<String, Error> {
        let mut tell = |it: String| session.note(&it);
        Ok(self.exchange(request, self.timeout, &mut tell).await?)
    }

    /// The same for at most `timeout`, with what a person would like to know meanwhile told to `tell`.
    pub(super) async fn exchange(
        &self,
        request: &Request<'_>,
        timeout: Duration,
        tell: &mut dyn FnMut(String),
    ) -> Result<String, Failure> {
        self.persist(timeout, tell, |left| self.attempt(request, left)).await
    }

    /// Attempts until one is answered or `timeout` is over; each is told how much time is left.
    async fn persist<T, F: Future<Output = Result<T, Attempt>>>(
        &self,
        timeout: Duration,
        tell: &mut dyn FnMut(String),
        attempt: impl Fn(Duration) -> F,
    ) -> Result<T, Failure> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            let left = timeout.saturating_sub(started.elapsed()).max(FIRST_PAUSE);
            let (why, asked) = match attempt(left).await {
                Ok(it) => return Ok(it),
                Err(Attempt::Final(err)) => return Err(err),
                Err(Attempt::Again(why, asked)) => (why, asked),
            };
            let wait = asked.unwrap_or(pause);
            if !self.retries || started.elapsed() + wait >= timeout {
                return Err(Failure::Other(Error::Unavailable(why)));
            }
            if !told && started.elapsed() + wait >= PATIENCE {
                tell(format!("observatory: {why}; trying again for {}s", timeout.as_secs()));
                told = true;
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks for `path`. That the server refuses the question is a mistake in the arguments.
    pub(super) async fn ask(&self, path: &str, session: &mut Session) -> Result<String, Error> {
        let request = Request { method: Method::GET, path, body: None };
        let mut tell = |it: String| session.note(&it);
        self.exchange(&request, self.timeout, &mut tell).await.map_err(mistaken)
    }

    async fn attempt(&self, request: &Request<'_>, left: Duration) -> Result<String, Attempt> {
        let response = self.build(request).timeout(left).send().await;
        let response = response.map_err(|err| self.unreachable(&err))?;
        let (status, after) = (response.status(), retry_after(&response));
        let body = response.text().await.map_err(|err| self.unreachable(&err))?;
        if status.is_success() || tells_of_each(status, &body) {
            return Ok(body);
        }
        Err(self.refusal(status, after, &body))
    }

    fn build(&self, request: &Request<'_>) -> reqwest::RequestBuilder {
        let url = format!("{}{}", self.base, request.path);
        let mut builder = self.http.request(request.method.clone(), url);
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token);
        }
        if let Some(key) = &self.idempotency_key {
            builder = builder.header("idempotency-key", key);
        }
        if let Some((kind, body)) = &request.body {
            builder = builder.header(header::CONTENT_TYPE, *kind).body(body.clone());
        }
        builder
    }

    fn unreachable(&self, err: &reqwest::Error) -> Attempt {
        let why = if err.is_connect() {
            format!(
                "nothing answers at {} ({}); start a server with `observatory serve`, or name another with --url or OBSERVATORY_URL",
                self.base,
                reason(err)
            )
        } else {
            format!("{} does not answer: {}", self.base, reason(err))
        };
        if err.is_builder() {
            Attempt::Final(Failure::Other(Error::Usage(why)))
        } else {
            Attempt::Again(why, None)
        }
    }

    fn refusal(&self, status: StatusCode, after: Option<Duration>, body: &str) -> Attempt {
        let problem: Problem = serde_json::from_str(body).unwrap_or_default();
        let message = match problem.message.as_str() {
            "" => body.lines().next().unwrap_or_default().chars().take(200).collect(),
            it => it.to_owned(),
        };
        let why = format!("{} answers {status}: {message}", self.base);
        match status.as_u16() {
            401 | 403 => Attempt::Final(Failure::Other(Error::Denied(format!(
                "{why}; give a token with --token or OBSERVATORY_TOKEN"
            )))),
            408 | 429 | 500 | 502..=504 | 507 => Attempt::Again(why, after),
            400 | 413 | 422 => Attempt::Final(Failure::Bad(why)),
            _ => Attempt::Final(Failure::Other(Error::Refused(why))),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Bad(why) => Self::Refused(why),
            Failure::Other(err) => err,
        }
    }
}

/// Whether a refusal tells event by event what is wrong: then it is an answer.
fn tells_of_each(status: StatusCode, body: &str) -> bool {
    status == StatusCode::BAD_REQUEST
        && serde_json::from_str::<Problem>(body).is_ok_and(|it| !it.rejected.is_empty())
}

/// A question that the server refuses was asked wrongly by whoever typed it.
fn mistaken(failure: Failure) -> Error {
    match failure {
        Failure::Bad(why) => Error::Usage(why),
        Failure::Other(err) => err,
    }
}

fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let after = response.headers().get(header::RETRY_AFTER)?;
    after.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// Runs `future` to its end, on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|err| Error::System(format!("cannot start the runtime: {err}")))?;
    runtime.block_on(future)
}

/// Reads an answer.
pub(super) fn answer<'a, T: Deserialize<'a>>(body: &'a str) -> Result<T, Error> {
    serde_json::from_str(body).map_err(|err| {
        Error::Unavailable(format!("the answer is not that of an observatory: {err}"))
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 =
        text.trim_end_matches('s').parse().map_err(|_| "expected seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|err| err.to_string())
}

fn base_url(text: &str) -> Result<String, Error> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = reqwest::Url::parse(&text);
    match url {
        Ok(it) if ["http", "https"].contains(&it.scheme()) && it.has_host() => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(Error::Usage(format!(
            "expected a URL such as http://127.0.0.1:9091, found `{text}`"
        ))),
    }
}

fn is_loopback(base: &str) -> bool {
    let url = reqwest::Url::parse(base).ok();
    let host = url.as_ref().and_then(|it| it.host_str()).unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    config::Listen { host, port: 0 }.is_loopback()
}

/// The innermost reason: the outer ones only repeat the URL.
fn reason(err: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = err;
    while let Some(source) = inner.source() {
        inner = source;
    }
    if err.is_timeout() { "timed out".to_owned() } else { inner.to_string() }
}

#[cfg(test)]
pub(super) mod tests;
