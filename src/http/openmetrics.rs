//! `/api/v1/export/openmetrics`: the past as it would have been scraped.
//!
//! A thread of its own computes it and fills a channel of a few chunks, which the client empties by reading.
//! What ends it before its end breaks the connection off; a whole text ends with `# EOF`.

use super::body;
use super::endpoint::Call;
use super::error::ApiError;
use super::params;
use crate::event::Time;
use crate::pipeline::{Chronicle, ChronicleError, Pipeline};
use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, StatusCode, Uri, header};
use bytes::Bytes;
use futures_util::stream;
use std::{io, ops::ControlFlow, sync::Arc, thread, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

const STEP: Duration = Duration::from_secs(60);
const LEAST_STEP: Duration = Duration::from_secs(1);

/// Samples of one series that an export may have: a month of seconds.
const MAX_SAMPLES: u128 = 31 * 86_400;

/// Chunks that wait for the client.
const CHUNKS: usize = 2;

/// What the thread hands over. A channel that ends without an end was broken off.
enum Part {
    Chunk(Bytes),
    End,
    Failed(ChronicleError),
}

/// `GET /api/v1/export/openmetrics`; with `POST`, the body is the rule file to compute it by.
pub(super) async fn export(mut call: Call) -> Result<Response<Body>, ApiError> {
    let mut order = read(&call.uri, call.state.pipeline.now())?;
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(header::CONTENT_TYPE, OPENMETRICS);
    if call.method == Method::HEAD {
        return Ok(response);
    }
    if call.method == Method::POST {
        let mut incoming = body::read(&mut call).await?;
        incoming.decompress()?;
        let text = std::str::from_utf8(&incoming.bytes);
        let text = text.map_err(|_| ApiError::bad_request("invalid_rules", "no UTF-8 text"))?;
        order.rules = Some(text.to_owned());
    }
    let place = Arc::clone(&call.state.exports).try_acquire_owned().map_err(|_| {
        let message = "too many exports at once: try again when one has ended";
        ApiError::unavailable("busy", message)
    })?;
    let (send, mut parts) = mpsc::channel(CHUNKS);
    let (pipeline, stopping) = (call.state.pipeline.clone(), call.state.stopping.clone());
    let work = move || {
        compute(&pipeline, &order, &stopping, &send);
        drop(place);
    };
    thread::Builder::new().name("export".to_owned()).spawn(work).map_err(ApiError::internal)?;
    // What fails at once is answered as any failure is.
    let first = match parts.recv().await {
        Some(Part::Failed(error)) => return Err(error.into()),
        Some(it) => it,
        None => return Err(ApiError::internal("an export ended with a panic")),
    };
    let chunks = stream::unfold((Some(first), parts), |(first, mut parts)| async move {
        let part = match first {
            Some(it) => Some(it),
            None => parts.recv().await,
        };
        let res = match part {
            Some(Part::Chunk(it)) => Ok(it),
            Some(Part::End) => return None,
            Some(Part::Failed(error)) => Err(io::Error::other(error)),
            None => Err(io::Error::other("broken off")),
        };
        Some((res, (None, parts)))
    });
    *response.body_mut() = Body::from_stream(chunks);
    Ok(response)
}

fn read(uri: &Uri, now: Time) -> Result<Chronicle, ApiError> {
    let (mut since, mut until, mut step, mut metrics) = (None, now, STEP, Vec::new());
    for (name, value) in params::params(uri) {
        match name.as_ref() {
            "since" => since = Some(params::time("since", &value, now)?),
            "until" => until = params::time("until", &value, now)?,
            "step" => step = step_of(&value)?,
            "metric" | "metric[]" => metrics.push(value.into_owned()),
            _ => {
                let message = "is not a parameter here: there are since, until, step and metric";
                return Err(ApiError::parameter(&name, message));
            }
        }
    }
    let since = since.ok_or_else(|| {
        ApiError::parameter("since", "is missing: from when on, such as since=7d")
    })?;
    if since >= until.min(now) {
        return Err(ApiError::parameter("since", "must be before until, and in the past"));
    }
    let samples = Duration::try_from_secs_f64(until.min(now).seconds_since(since));
    if samples.is_ok_and(|it| it.as_millis() / step.as_millis().max(1) > MAX_SAMPLES) {
        let message =
            format!("makes more than {MAX_SAMPLES} samples per series: take a longer one");
        return Err(ApiError::parameter("step", message));
    }
    Ok(Chronicle { rules: None, since, until, step, metrics })
}

fn step_of(text: &str) -> Result<Duration, ApiError> {
    let step = params::duration(text).filter(|it| *it >= LEAST_STEP);
    step.ok_or_else(|| ApiError::parameter("step", "must be 1s or longer, such as 15s or 1m"))
}

fn compute(
    pipeline: &Pipeline,
    order: &Chronicle,
    stopping: &CancellationToken,
    send: &mpsc::Sender<Part>,
) {
    crate::telemetry::lower_priority();
    let mut whole = true;
    let mut sink = |chunk: Vec<u8>| {
        let sent =
            !stopping.is_cancelled() && send.blocking_send(Part::Chunk(chunk.into())).is_ok();
        whole &= sent;
        if sent { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let end = match pipeline.chronicle(order, &mut sink) {
        Ok(()) if whole => Part::End,
        Ok(()) => return,
        Err(error) => Part::Failed(error),
    };
    // Nobody reads any more: then nobody misses it.
    let _ = send.blocking_send(end);
}

impl From<ChronicleError> for ApiError {
    fn from(error: ChronicleError) -> Self {
        match error {
            ChronicleError::Rules(it) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_rules", it)
            }
            ChronicleError::Replay(it) => it.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> Result<Chronicle, String> {
        let now = Time::parse("2026-01-05T10:00:00Z").unwrap();
        let uri: Uri = format!("/?{text}").parse().unwrap();
        read(&uri, now).map_err(|it| format!("{it:?}"))
    }

    #[test]
    fn what_is_asked() {
        let it = ask("since=1d&until=2026-01-05T00:00:00Z&step=15s&metric=a&metric=b").unwrap();
        assert_eq!(it.since.to_string(), "2026-01-04T10:00:00Z");
        assert_eq!(it.until.to_string(), "2026-01-05T00:00:00Z");
        assert_eq!((it.step, it.metrics), (Duration::from_secs(15), vec!["a".into(), "b".into()]));
        assert_eq!(ask("since=1d").unwrap().step, STEP);
    }

    #[test]
    fn what_cannot_be_asked() {
        for (text, expected) in [
            ("", "such as since=7d"),
            ("since=soon", "since"),
            ("since=2026-01-06T00:00:00Z", "must be before until"),
            ("since=1d&until=2d", "must be before until"),
            ("since=1d&step=0s", "such as 15s"),
            ("since=1d&step=x", "such as 15s"),
            ("since=365d&step=1s", "take a longer one"),
            ("since=1d&stpe=1s", "since, until, step and metric"),
        ] {
            let err = ask(text).unwrap_err();
            assert!(err.contains(expected), "{text}: {err}");
        }
    }
}
