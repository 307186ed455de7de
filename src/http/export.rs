//! `GET /api/v1/events/export`: all events that match, as a stream.
//!
//! A blocking task walks the journal and fills a channel of a few chunks; what the client reads empties
//! it, so that neither side holds more than that, however much there is. Whatever ends an export before
//! its end - the store fails, the server stops, the task panics - breaks the connection off, and the
//! client is left with a text that cannot be taken for a whole one.

use super::endpoint::Call;
use super::error::ApiError;
use super::params;
use super::query;
use crate::event::Time;
use crate::history::{Column, Encoder, Format};
use crate::journal::{Journal, Query, QueryError};
use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, Uri, header};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use std::{io, ops::ControlFlow, sync::Arc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Bytes that are sent at once; an event may exceed it.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait for the client.
const CHUNKS: usize = 2;
/// Seconds after which a client may find a place.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// What is asked.
#[derive(Debug)]
struct Question {
    query: Query,
    format: Format,
}

/// What the walk hands over. A channel that ends without an end was broken off.
enum Part {
    Chunk(Bytes),
    End,
    Failed(QueryError),
}

/// `GET /api/v1/events/export`.
pub(super) async fn export(call: Call) -> Result<Response<Body>, ApiError> {
    let now = call.state.pipeline.now();
    let Question { query, format } = read(&call.uri, now)?;
    let mut response = Response::new(Body::empty());
    let (media, ending) = kind(&format);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CONTENT_DISPOSITION, disposition(now, ending)?);
    if call.method == Method::HEAD {
        return Ok(response);
    }
    let place = Arc::clone(&call.state.exports).try_acquire_owned().map_err(|_| {
        let message = "too many exports at once: try again when one has ended";
        ApiError::unavailable("busy", message).with_header(header::RETRY_AFTER, RETRY_AFTER)
    })?;
    let (send, mut parts) = mpsc::channel(CHUNKS);
    let journal = call.state.pipeline.journal().clone();
    let encoder = Encoder::new(format.clone());
    tokio::task::spawn_blocking(move || {
        walk(&journal, &query, encoder, &send);
        drop(place);
    });
    let stopping = call.state.stopping.clone();
    // What fails at once is answered as any failure is.
    let first = stopping.run_until_cancelled(parts.recv()).await;
    let first = first.ok_or_else(|| ApiError::unavailable("stopping", "the server is stopping"))?;
    let first = match first {
        Some(Part::Failed(error)) => return Err(error.into()),
        Some(it) => it,
        None => return Err(ApiError::internal("an export ended with a panic")),
    };
    *response.body_mut() = body(Reading { first: Some(first), parts, format, stopping });
    Ok(response)
}

fn read(uri: &Uri, now: Time) -> Result<Question, ApiError> {
    let mut query = Query { limit: usize::MAX, ascending: true, ..Query::default() };
    let (mut format, mut columns) = (None, None);
    for (name, value) in params::params(uri) {
        if query::filter(&mut query, &name, &value, now)? {
            continue;
        }
        match name.as_ref() {
            "format" => format = Some(format_of(&value)?),
            "columns" => columns = Some(columns_of(&value)?),
            "order" => query.ascending = query::order(&value)?,
            "limit" => query.limit = query::limit_of(&value, usize::MAX)?,
            _ => return Err(query::unknown(&name, "format, columns, order and limit")),
        }
    }
    let format = match (format.unwrap_or(Format::Ndjson), columns) {
        (Format::Csv(_), Some(columns)) => Format::Csv(columns),
        (_, Some(_)) => {
            return Err(ApiError::parameter("columns", "are chosen with format=csv only"));
        }
        (format, None) => format,
    };
    Ok(Question { query, format })
}

fn format_of(text: &str) -> Result<Format, ApiError> {
    match text {
        "ndjson" => Ok(Format::Ndjson),
        "json" => Ok(Format::Json),
        "csv" => Ok(Format::csv()),
        _ => Err(ApiError::parameter("format", "must be ndjson, json or csv, such as format=csv")),
    }
}

fn columns_of(text: &str) -> Result<Vec<Column>, ApiError> {
    const EXAMPLE: &str = "a right one is columns=id,timestamp,data.status";
    let wrong = |reason: String| ApiError::parameter("columns", format!("{reason}; {EXAMPLE}"));
    let column = |it: &str| {
        Column::parse(it).map_err(|error| wrong(format!("has no usable column in {it:?}: {error}")))
    };
    let columns: Vec<_> = query::split(text).map(column).collect::<Result<_, _>>()?;
    if columns.is_empty() { Err(wrong("names none".to_owned())) } else { Ok(columns) }
}

/// The media type, and how the name of a file ends.
fn kind(format: &Format) -> (&'static str, &'static str) {
    match format {
        Format::Ndjson => ("application/x-ndjson", "ndjson"),
        Format::Json => ("application/json", "json"),
        Format::Csv(_) => ("text/csv; charset=utf-8; header=present", "csv"),
    }
}

/// The name under which a browser keeps it, such as `observatory-events-20260105T100000Z.csv`.
fn disposition(now: Time, ending: &str) -> Result<HeaderValue, ApiError> {
    let text = now.to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    let stamp: String = seconds.chars().filter(char::is_ascii_alphanumeric).collect();
    let stamp = stamp.trim_end_matches('Z');
    let value = format!("attachment; filename=\"observatory-events-{stamp}Z.{ending}\"");
    HeaderValue::from_str(&value).map_err(ApiError::internal)
}

/// Sends what matches, up to what was stored when the walk began, until nobody reads any more.
fn walk(journal: &Journal, query: &Query, mut encoder: Encoder, send: &mpsc::Sender<Part>) {
    let end = journal.end();
    let mut left = query.limit;
    let mut out = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
    encoder.begin(&mut out);
    let walked = journal.each(query, |sequence, event| {
        if left == 0 || sequence >= end || send.is_closed() {
            return ControlFlow::Break(());
        }
        left -= 1;
        encoder.event(&mut out, sequence, event);
        if out.len() < CHUNK_BYTES {
            return ControlFlow::Continue(());
        }
        let room = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        let chunk = std::mem::replace(&mut out, room);
        match send.blocking_send(Part::Chunk(chunk.into())) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    let last = match walked {
        Ok(()) => {
            encoder.end(&mut out);
            // Nobody may be there to take it, nor what follows.
            let _ = send.blocking_send(Part::Chunk(out.into()));
            Part::End
        }
        Err(error) => Part::Failed(error),
    };
    let _ = send.blocking_send(last);
}

/// The client's end of an export.
struct Reading {
    first: Option<Part>,
    parts: mpsc::Receiver<Part>,
    format: Format,
    stopping: CancellationToken,
}

fn body(reading: Reading) -> Body {
    let frames = stream::unfold(Some(Ok(reading)), |state| async {
        match state? {
            Ok(reading) => reading.next().await,
            Err(error) => {
                // Lets what was written so far go out before the connection is broken off.
                tokio::task::yield_now().await;
                Some((Err(error), None))
            }
        }
    });
    Body::new(StreamBody::new(frames))
}

type Next = (io::Result<Frame<Bytes>>, Option<io::Result<Reading>>);

impl Reading {
    async fn next(mut self) -> Option<Next> {
        let stopping = self.stopping.clone();
        let part = match self.first.take() {
            Some(it) => Ok(Some(it)),
            None => stopping.run_until_cancelled(self.parts.recv()).await.ok_or(()),
        };
        let reason = match part {
            Ok(Some(Part::Chunk(chunk))) => return Some((Ok(Frame::data(chunk)), Some(Ok(self)))),
            Ok(Some(Part::End)) => return None,
            Ok(Some(Part::Failed(error))) => {
                tracing::error!(%error, "an export broke off");
                error.to_string()
            }
            Ok(None) => "an export ended with a panic".to_owned(),
            Err(()) => "the server is stopping".to_owned(),
        };
        let broken = Frame::data(Bytes::from_static(self.format.broken()));
        Some((Ok(broken), Some(Err(io::Error::other(reason)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn ask(text: &str) -> Result<Question, String> {
        let now = Time::parse("2026-01-05T10:00:00Z").unwrap();
        let uri: Uri = format!("/?{text}").parse().unwrap();
        read(&uri, now).map_err(|it| format!("{it:?}"))
    }

    #[test]
    fn what_is_asked() {
        let it = ask("").unwrap();
        assert!(matches!(it.format, Format::Ndjson) && it.query.ascending);
        assert_eq!(it.query.limit, usize::MAX);
        let it = ask("format=csv&columns=id,data.%22a,b%22&order=desc&limit=3&type=x").unwrap();
        assert!(matches!(it.format, Format::Csv(columns) if columns.len() == 2));
        assert!(!it.query.ascending && it.query.limit == 3 && it.query.types == ["x"]);
        let check = |text: &str, expected: &str| {
            let res = ask(text).unwrap_err();
            assert!(res.contains(expected), "{text}: {res}");
        };
        check("format=xml", "such as format=csv");
        check("columns=id", "format=csv only");
        check("format=csv&columns=", "columns=id,timestamp,data.status");
        check("format=csv&columns=a..b", "columns=id,timestamp,data.status");
        check("limit=0", "limit must be 1 or more");
        check("cursor=x", "cursor is not a parameter here");
        check("until=x", "until");
    }

    #[test]
    fn a_file_has_a_name() {
        let at = |text| disposition(Time::parse(text).unwrap(), "csv").unwrap();
        let expected = "attachment; filename=\"observatory-events-20260105T100000Z.csv\"";
        assert_eq!(at("2026-01-05T10:00:00Z"), expected);
        assert_eq!(at("2026-01-05T10:00:00.25Z"), expected);
    }

    /// What a client gets of these parts, and whether it is whole.
    async fn received(parts: Vec<Part>, format: Format, stop: bool) -> (String, bool) {
        let (send, receive) = mpsc::channel(8);
        let stopping = CancellationToken::new();
        let reading = Reading { first: None, parts: receive, format, stopping: stopping.clone() };
        for it in parts {
            send.send(it).await.ok().unwrap();
        }
        let keep = stop.then_some(send);
        if stop {
            stopping.cancel();
        }
        let mut body = body(reading);
        let mut text = String::new();
        let whole = loop {
            match body.frame().await {
                None => break true,
                Some(Err(_)) => break false,
                Some(Ok(it)) => text.push_str(std::str::from_utf8(it.data_ref().unwrap()).unwrap()),
            }
        };
        drop(keep);
        (text, whole)
    }

    #[tokio::test]
    async fn only_an_end_is_an_end() {
        let chunk = || Part::Chunk(Bytes::from_static(b"{}\n"));
        let whole = received(vec![chunk(), chunk(), Part::End], Format::Ndjson, false).await;
        assert_eq!(whole, ("{}\n{}\n".to_owned(), true));
        let broken = "{}\n{\"error\":\"the export broke off here".to_owned();
        let failed = vec![chunk(), Part::Failed(QueryError::Damaged(1))];
        assert_eq!(received(failed, Format::Ndjson, false).await, (broken.clone(), false));
        let panicked = vec![chunk()];
        assert_eq!(received(panicked, Format::Ndjson, false).await, (broken, false));
        let (text, whole) = received(vec![chunk()], Format::csv(), true).await;
        assert!(!whole && text.ends_with("\"the export broke off here"), "{text}");
    }
}
