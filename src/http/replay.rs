//! `POST /api/v1/rules/replay`: the past is counted by the rules in force.
//!
//! The answer is a line of JSON several times a second and one at the end. A thread of its own does the
//! work; if nobody listens any more, or the server stops, it gives up and nothing has changed.

use super::body;
use super::endpoint::Call;
use super::error::ApiError;
use super::params;
use crate::metrics::{Difference, Example};
use crate::pipeline::{Pipeline, Progress, Replay, ReplayError, Replayed};
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use std::{
    convert::Infallible,
    ops::ControlFlow,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// Between two lines.
const PACE: Duration = Duration::from_millis(200);

/// Lines that wait for the client.
const LINES: usize = 4;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Order {
    /// How long ago, or a time.
    since: Option<String>,
    metrics: Vec<String>,
    dry_run: bool,
    reset: bool,
}

/// A line of the answer.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Line<'a> {
    Running {
        done: u64,
        total: u64,
    },
    Done {
        dry_run: bool,
        first_sequence: u64,
        events: u64,
        seconds: f64,
        metrics: Vec<Changed<'a>>,
    },
    Failed {
        error: &'static str,
        message: String,
    },
}

#[derive(Serialize)]
struct Changed<'a> {
    metric: &'a str,
    series_before: usize,
    series_after: usize,
    examples: Vec<ExampleView<'a>>,
}

#[derive(Serialize)]
struct ExampleView<'a> {
    labels: &'a str,
    before: Option<f64>,
    after: Option<f64>,
}

/// What the thread hands over.
enum Message {
    Line(Bytes),
    Refused(ReplayError),
}

/// `POST /api/v1/rules/replay`.
pub(super) async fn replay(mut call: Call) -> Result<Response<Body>, ApiError> {
    let now = call.state.pipeline.now();
    let mut incoming = body::read(&mut call).await?;
    incoming.decompress()?;
    let order: Order = match incoming.bytes.is_empty() {
        true => Order::default(),
        false => serde_json::from_slice(&incoming.bytes).map_err(|it| {
            let message = format!(
                "{it}; send an object such as {{\"since\":\"7d\",\"metrics\":[\"ci_builds_total\"],\"dry_run\":true}}"
            );
            ApiError::bad_request("invalid_json", message)
        })?,
    };
    let since = order.since.as_deref().map(|it| params::time("since", it, now)).transpose()?;
    let Order { metrics, dry_run, reset, .. } = order;
    let order = Replay { since, metrics, dry_run, reset };
    let (send, mut lines) = mpsc::channel(LINES);
    let (pipeline, stopping) = (call.state.pipeline.clone(), call.state.stopping.clone());
    let work = move || work(&pipeline, &order, &stopping, &send);
    thread::Builder::new().name("replay".to_owned()).spawn(work).map_err(ApiError::internal)?;
    // What fails at once is answered as any failure is.
    let first = match lines.recv().await {
        Some(Message::Line(it)) => it,
        Some(Message::Refused(error)) => return Err(error.into()),
        None => return Err(ApiError::internal("a replay ended with a panic")),
    };
    let lines = stream::unfold((Some(first), lines), |(first, mut lines)| async move {
        let line = match first {
            Some(it) => it,
            None => match lines.recv().await? {
                Message::Line(it) => it,
                Message::Refused(error) => failed(&error),
            },
        };
        Some((Ok::<_, Infallible>(line), (None, lines)))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, NDJSON);
    Ok(response)
}

fn work(
    pipeline: &Pipeline,
    order: &Replay,
    stopping: &CancellationToken,
    send: &mpsc::Sender<Message>,
) {
    crate::telemetry::lower_priority();
    let mut sent: Option<Instant> = None;
    let mut progress = |Progress { done, total }: Progress| {
        if send.is_closed() || stopping.is_cancelled() {
            return ControlFlow::Break(());
        }
        if sent.is_none_or(|it| it.elapsed() >= PACE) {
            sent = Some(Instant::now());
            // A client that does not read misses lines, and holds up nothing.
            let _ = send.try_send(Message::Line(line(&Line::Running { done, total })));
        }
        ControlFlow::Continue(())
    };
    let message = match pipeline.replay(order, &mut progress) {
        Ok(it) => Message::Line(done(order, &it)),
        Err(ReplayError::GivenUp) if stopping.is_cancelled() => {
            Message::Refused(ReplayError::Stopping)
        }
        Err(error) => Message::Refused(error),
    };
    // Nobody listens any more: then nobody misses it.
    let _ = send.blocking_send(message);
}

fn done(order: &Replay, it: &Replayed) -> Bytes {
    line(&Line::Done {
        dry_run: order.dry_run,
        first_sequence: it.from,
        events: it.events,
        seconds: it.took.as_secs_f64(),
        metrics: it.metrics.iter().map(changed).collect(),
    })
}

fn changed(it: &Difference) -> Changed<'_> {
    Changed {
        metric: &it.metric,
        series_before: it.before,
        series_after: it.after,
        examples: it.examples.iter().map(example).collect(),
    }
}

fn example(it: &Example) -> ExampleView<'_> {
    ExampleView { labels: &it.labels, before: it.before, after: it.after }
}

fn failed(error: &ReplayError) -> Bytes {
    let (_, code) = kind(error);
    if let ReplayError::Journal(_) | ReplayError::Store(_) = error {
        tracing::error!(%error, "a replay failed");
    }
    line(&Line::Failed { error: code, message: error.to_string() })
}

fn line(line: &Line<'_>) -> Bytes {
    // Nothing in it fails to serialise.
    let mut res = serde_json::to_vec(line).unwrap_or_default();
    res.push(b'\n');
    res.into()
}

fn kind(error: &ReplayError) -> (StatusCode, &'static str) {
    match error {
        ReplayError::Unknown(_) => (StatusCode::NOT_FOUND, "not_found"),
        ReplayError::NoMetric => (StatusCode::BAD_REQUEST, "no_metric"),
        ReplayError::WouldLose(_) => (StatusCode::CONFLICT, "would_lose_counts"),
        ReplayError::Busy => (StatusCode::CONFLICT, "busy"),
        ReplayError::RulesChanged => (StatusCode::CONFLICT, "rules_changed"),
        ReplayError::GivenUp => (StatusCode::SERVICE_UNAVAILABLE, "given_up"),
        ReplayError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        ReplayError::Journal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "journal_unreadable"),
        ReplayError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
    }
}

impl From<ReplayError> for ApiError {
    fn from(error: ReplayError) -> Self {
        match (kind(&error), error) {
            (_, ReplayError::Journal(error)) => Self::internal(error),
            ((StatusCode::SERVICE_UNAVAILABLE, code), error) => Self::unavailable(code, error),
            ((status, code), error) => Self::new(status, code, error),
        }
    }
}
