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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NewEvent;
    use crate::pipeline;
    use crate::store;
    use crate::store::Store;

    const RULES: &str = "version: 1\nmetrics:\n  a_total: {help: A., match: a, count: 1}\n";

    async fn with_events(n: usize) -> (tempfile::TempDir, Pipeline) {
        let dir = tempfile::tempdir().unwrap();
        let rules_file = dir.path().join("rules.yml");
        std::fs::write(&rules_file, RULES).unwrap();
        let store = Store::open(&store::Config::new(dir.path().join("data"))).unwrap();
        let config =
            pipeline::Config { rules_file: Some(rules_file), ..pipeline::Config::default() };
        let pipeline = Pipeline::open(&config, &store).unwrap();
        let event = || NewEvent {
            id: None,
            event_type: "a".into(),
            source: "s".into(),
            time: None,
            subject: None,
            trace: None,
            data: "{}".into(),
        };
        pipeline.submit((0..n).map(|_| event()).collect()).await.unwrap();
        (dir, pipeline)
    }

    /// What the thread says in the end, and how many lines before.
    async fn run(pipeline: &Pipeline, listens: bool, stops: bool) -> (usize, Option<Message>) {
        let (send, mut lines) = mpsc::channel(LINES);
        let stopping = CancellationToken::new();
        if stops {
            stopping.cancel();
        }
        if !listens {
            lines.close();
        }
        // It would forget all events there are.
        let (since, metrics) = (Some(pipeline.now()), vec!["a_total".to_owned()]);
        let order = Replay { since, metrics, dry_run: false, reset: true };
        let pipeline = pipeline.clone();
        thread::spawn(move || work(&pipeline, &order, &stopping, &send));
        let (mut n, mut last) = (0, None);
        while let Some(it) = lines.recv().await {
            n += 1;
            last = Some(it);
        }
        (n, last)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_listens_or_the_server_stops() {
        let (_dir, pipeline) = with_events(6000).await;
        // The channel ends only when the replay has.
        assert!(run(&pipeline, false, false).await.1.is_none());
        assert_eq!(pipeline.counts_from("a_total"), Some(1), "nobody listened");
        let (_, last) = run(&pipeline, true, true).await;
        assert!(matches!(last, Some(Message::Refused(ReplayError::Stopping))));
        assert_eq!(pipeline.counts_from("a_total"), Some(1), "the server stops");
        // Neither has left anything behind.
        let (n, last) = run(&pipeline, true, false).await;
        let done = "{\"state\":\"done\"";
        assert!(
            n > 1 && matches!(last, Some(Message::Line(it)) if it.starts_with(done.as_bytes()))
        );
        assert_eq!(pipeline.counts_from("a_total"), Some(6001));
        pipeline.stop().await;
    }

    #[test]
    fn every_failure_has_a_status_and_a_code() {
        let lose = || ReplayError::WouldLose("a_total counts since event 1".to_owned());
        for (error, status) in [
            (ReplayError::Unknown("x".to_owned()), 404),
            (ReplayError::NoMetric, 400),
            (lose(), 409),
            (ReplayError::Busy, 409),
            (ReplayError::RulesChanged, 409),
            (ReplayError::Stopping, 503),
            (ReplayError::Journal(crate::journal::QueryError::Damaged(7)), 500),
        ] {
            assert_eq!(kind(&error).0.as_u16(), status, "{error}");
            assert_eq!(ApiError::from(error).status().as_u16(), status);
        }
        let line = String::from_utf8(failed(&lose()).to_vec()).unwrap();
        assert_eq!(
            line,
            "{\"state\":\"failed\",\"error\":\"would_lose_counts\",\"message\":\"a_total counts since event 1\"}\n"
        );
    }
}
