//! `/api/v1/maintenance`: forgetting events, and taking a backup.

use super::endpoint::Call;
use super::error::ApiError;
use super::params;
use super::reply;
use super::reply::Text;
use super::routes::Rendering;
use crate::backup;
use crate::backup::BackupError;
use crate::event::Time;
use crate::pipeline::{PruneError, Pruned, Wanted};
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, Uri, header};
use bytes::Bytes;
use serde::Serialize;
use std::{io, io::BufWriter, time::Duration};
use tokio::sync::{mpsc, oneshot};

/// A thousand years would be a slip.
const MAX_DAYS: u32 = 36_500;

#[derive(Serialize)]
struct Answer {
    deleted: u64,
    blocks: u64,
    bytes: u64,
    dry_run: bool,
    /// What ages were counted from: the present, unless the clock is not believed.
    counted_from: Text<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// What clients of a log service read.
#[derive(Serialize)]
struct Success {
    status: &'static str,
    message: String,
    deleted: u64,
}

/// What is asked for.
#[derive(Debug, Default)]
struct Question {
    wanted: Wanted,
    dry_run: bool,
}

impl Question {
    fn read(uri: &Uri) -> Result<Self, ApiError> {
        let mut res = Self::default();
        for (name, value) in params::params(uri) {
            match name.as_ref() {
                "days" => res.wanted.older_than = Some(days(&value)?),
                "class" => {
                    let class = value.parse().map_err(|it| ApiError::parameter("class", it))?;
                    res.wanted.class = Some(class);
                }
                "dry_run" => res.dry_run = params::flag("dry_run", &value)?,
                _ => return Err(ApiError::parameter(&name, UNKNOWN)),
            }
        }
        Ok(res)
    }
}

const UNKNOWN: &str =
    "is not a parameter here: there are days, class and dry_run, as in ?days=30&class=logs";

fn days(text: &str) -> Result<Duration, ApiError> {
    let days = text.parse().ok().filter(|it| (1..=MAX_DAYS).contains(it));
    let days = days.ok_or_else(|| {
        let reason = format!("must be a whole number from 1 to {MAX_DAYS}, as in ?days=30");
        ApiError::parameter("days", reason)
    })?;
    Ok(Duration::from_hours(24 * u64::from(days)))
}

/// `POST /api/v1/maintenance/prune`: forgets what is older than `days`, or what the configuration says.
pub(super) async fn prune(call: Call) -> Result<Response<Body>, ApiError> {
    let Question { wanted, dry_run } = Question::read(&call.uri)?;
    let pipeline = &call.state.pipeline;
    let pruned = match dry_run {
        true => pipeline.prune_trial(wanted).await?,
        false => pipeline.prune(wanted).await?,
    };
    let Pruned { events: deleted, blocks, bytes, counted_from, clock_ahead } = pruned;
    if !dry_run {
        tracing::info!(pruned.events = deleted, by = call.by(), "pruned {deleted} events");
    }
    if call.rendering == Rendering::Success {
        let message = match dry_run {
            true => format!("{deleted} old logs would be pruned."),
            false => format!("{deleted} old logs pruned."),
        };
        return Ok(reply::json(StatusCode::OK, &Success { status: "success", message, deleted }));
    }
    let note = clock_ahead.map(|it| {
        let hours = it.as_secs() / 3600;
        format!(
            "the clock is {hours} h ahead of the last event; until events have arrived by it for a day, or the server has run for a day, ages count from that event"
        )
    });
    let counted_from = Text(counted_from);
    let answer = Answer { deleted, blocks, bytes, dry_run, counted_from, note };
    Ok(reply::json(StatusCode::OK, &answer))
}

/// `POST /api/v1/maintenance/backup`: everything, as one file. It is made while it is sent, so that a client
/// that does not read holds it up; the server's patience with such clients bounds that.
pub(super) async fn backup(call: Call) -> Result<Response<Body>, ApiError> {
    let pipeline = call.state.pipeline.clone();
    let now = pipeline.now();
    let by = call.by().to_owned();
    pipeline.snapshot().await?;
    let (begun, begin) = oneshot::channel();
    let (chunks, mut sent) = mpsc::channel(CHUNKS);
    tokio::task::spawn_blocking(move || {
        let frozen = match backup::freeze(&pipeline) {
            Ok(it) => it,
            Err(error) => {
                let _ = begun.send(Err(error));
                return;
            }
        };
        // If nobody waits any more, the first chunk says so.
        let _ = begun.send(Ok(()));
        let out = BufWriter::with_capacity(CHUNK_BYTES, Chunks(chunks.clone()));
        match frozen.write(out, now) {
            Ok(events) => tracing::info!(backup.events = events, by, "a backup was taken"),
            Err(error) => {
                tracing::warn!(%error, by, "a backup was not taken to its end");
                // The client sees a body that breaks off.
                let _ = chunks.blocking_send(Err(io::Error::other(error)));
            }
        }
    });
    begin.await.map_err(ApiError::internal)??;
    let stream = futures_util::stream::poll_fn(move |context| sent.poll_recv(context));
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let name = now.to_string().replace(':', "-");
    let disposition = format!("attachment; filename=\"observatory-{name}.backup\"");
    if let Ok(it) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, it);
    }
    Ok(response)
}

/// Chunks of a body that is being written, and that wait for the client.
const CHUNKS: usize = 4;
const CHUNK_BYTES: usize = 256 << 10;

/// Sends what is written.
struct Chunks(mpsc::Sender<io::Result<Bytes>>);

impl io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Pipeline(error) => error.into(),
            BackupError::Unquiet | BackupError::Store(_) => {
                Self::unavailable("store_unavailable", error)
            }
            it => Self::internal(it),
        }
    }
}

impl From<PruneError> for ApiError {
    fn from(error: PruneError) -> Self {
        match error {
            PruneError::Busy => Self::unavailable("busy", error),
            PruneError::Stopping => Self::unavailable("stopping", error),
            PruneError::Unstored(_) | PruneError::Store(_) => {
                Self::unavailable("store_unavailable", error)
            }
            PruneError::Panicked | PruneError::Journal(_) | PruneError::Snapshot(_) => {
                Self::internal(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Class;

    fn ask(query: &str) -> Result<Question, String> {
        let uri: Uri = format!("/x?{query}").parse().unwrap();
        Question::read(&uri).map_err(|it| format!("{it:?}"))
    }

    #[test]
    fn what_is_asked() {
        let question = ask("days=7&class=logs&dry_run=true").unwrap();
        assert_eq!(question.wanted.older_than, Some(Duration::from_hours(168)));
        assert_eq!((question.wanted.class, question.dry_run), (Some(Class::Logs), true));
        let question = ask("").unwrap();
        assert_eq!((question.wanted.older_than, question.dry_run), (None, false));
    }

    #[test]
    fn what_cannot_be_asked() {
        let check = |query: &str, expected: &str| {
            let err = ask(query).unwrap_err();
            assert!(err.contains(expected), "{query}: {err}");
        };
        for bad in ["0", "-1", "7d", "1.5", "", "36501", "99999999999999999999"] {
            check(&format!("days={bad}"), "from 1 to 36500, as in ?days=30");
        }
        check("class=errors", "must be events, logs or samples");
        check("dry_run=maybe", "must be true or false");
        check("day=7", "is not a parameter here");
    }
}
