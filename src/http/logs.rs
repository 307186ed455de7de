//! `/api/v1/logs`: one line per request that a service answered, as an older service has it.
//!
//! A log is an event of the type `log`: its source is the service, and its data has `status_code`,
//! `latency_ms` and, as `event_type`, what the sender calls that. So everything that reads events reads
//! logs, and retention tells them apart by their type. The number of a log is its sequence number.

mod read;

use super::body;
use super::endpoint::Call;
use super::error::ApiError;
use super::reply;
use super::reply::Text;
use super::routes::Rendering;
use crate::event::{Event, NewEvent, Time};
use crate::history;
use crate::history::{Grouping, RowOrder, Summary};
use crate::journal::{Journal, QueryError};
use crate::selector::{DataPath, Lookup, Path, View};
use axum::body::Body;
use axum::http::{Response, StatusCode};
use read::{Asked, NewLog};
use serde::Serialize;
use std::{collections::BTreeMap, ops::ControlFlow};

/// The type of every log.
pub(super) const LOG: &str = "log";

/// Logs of one answer if the client does not say, and of a feed.
const LIMIT: usize = 20;
const FEED_LIMIT: usize = 25;
/// Status codes, and kinds of events, that a summary tells apart.
const MAX_ROWS: usize = 10_000;
/// What a log without an event type counts as.
const UNKNOWN: &str = "Unknown";

#[derive(Serialize)]
struct Created {
    id: Option<u64>,
    status: &'static str,
}

/// A log as it is shown.
#[derive(Debug, Serialize)]
struct Log {
    id: u64,
    timestamp: Text<Time>,
    service_name: String,
    status_code: Option<i64>,
    latency_ms: Option<f64>,
    event_type: Option<String>,
}

/// Logs as a monitoring page reads them.
#[derive(Serialize)]
struct Wrapped {
    logs: Vec<Log>,
    total: u64,
    query: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Serialize)]
struct LogSummary {
    total_logs: u64,
    error_rate_percent: f64,
    status_code_breakdown: BTreeMap<String, u64>,
    event_type_breakdown: BTreeMap<String, u64>,
}

/// `POST /api/v1/logs`.
pub(super) async fn create(mut call: Call) -> Result<Response<Body>, ApiError> {
    let mut incoming = body::read(&mut call).await?;
    incoming.decompress()?;
    let log = NewLog::read(&incoming.bytes, call.state.config.events.event.name_bytes)?;
    let data = log.data();
    let event = NewEvent {
        id: None,
        event_type: LOG.into(),
        source: log.service_name.as_str().into(),
        time: log.timestamp,
        subject: None,
        trace: None,
        data: data.as_str().into(),
    };
    let ack = call.state.pipeline.submit(vec![event]).await?;
    // The log is stored. Its number is looked up, and the service noted, for the answer: if the client
    // has gone, the list of services finds it in the journal.
    let id = ack.events.into_iter().next().map(|it| it.id);
    let (journal, services) = (call.state.pipeline.journal().clone(), call.state.services.clone());
    let noted = tokio::task::spawn_blocking(move || {
        if let Err(error) = services.note(&log.service_name) {
            tracing::warn!(%error, "a service could not be noted");
        }
        let found = id.map(|it| journal.get(&it)).transpose()?.flatten();
        Ok::<_, ApiError>(found.map(|(sequence, _)| sequence))
    });
    let id = noted.await.map_err(ApiError::internal)??;
    Ok(reply::json(StatusCode::OK, &Created { id, status: "created" }))
}

/// `GET /api/v1/logs`.
pub(super) async fn list(call: Call) -> Result<Response<Body>, ApiError> {
    let asked = Asked::read(&call.uri, call.state.pipeline.now(), LIMIT)?;
    answer(call, asked).await
}

/// `GET /api/v1/logs/live`: the newest.
pub(super) async fn live(call: Call) -> Result<Response<Body>, ApiError> {
    let asked = Asked::read(&call.uri, call.state.pipeline.now(), FEED_LIMIT)?;
    answer(call, asked).await
}

async fn answer(call: Call, asked: Asked) -> Result<Response<Body>, ApiError> {
    let journal = call.state.pipeline.journal().clone();
    let wrapped = call.rendering == Rendering::Wrapped;
    let work = tokio::task::spawn_blocking(move || {
        let logs = page(&journal, &asked)?;
        if !wrapped {
            return Ok(reply::json(StatusCode::OK, &logs));
        }
        let total = journal.count(&asked.query, None)?.iter().map(|it| it.events).sum();
        let query = asked.given;
        Ok(reply::json(StatusCode::OK, &Wrapped { logs, total, query }))
    });
    work.await.map_err(ApiError::internal)?
}

fn page(journal: &Journal, asked: &Asked) -> Result<Vec<Log>, QueryError> {
    let mut logs = Vec::new();
    let mut skip = asked.offset;
    journal.each(&asked.query, |sequence, event| {
        if logs.len() >= asked.limit {
            return ControlFlow::Break(());
        }
        if skip > 0 {
            skip -= 1;
        } else {
            logs.push(Log::new(sequence, event));
        }
        ControlFlow::Continue(())
    })?;
    Ok(logs)
}

/// `GET /api/v1/logs/summary`.
pub(super) async fn summary(call: Call) -> Result<Response<Body>, ApiError> {
    let asked = Asked::read(&call.uri, call.state.pipeline.now(), LIMIT)?;
    let _turn = call.state.summaries.acquire().await.map_err(ApiError::internal)?;
    let journal = call.state.pipeline.journal().clone();
    let work = tokio::task::spawn_blocking(move || {
        let by = |name| {
            let by = vec![path(name)];
            let grouping = Grouping { by, ..Grouping::default() };
            history::summarise(&journal, &asked.query, &grouping, RowOrder::Count, MAX_ROWS)
        };
        let summary = LogSummary::new(&by("status_code")?, &by("event_type")?);
        Ok(reply::json(StatusCode::OK, &summary))
    });
    work.await.map_err(ApiError::internal)?
}

/// The path of a member of the data.
fn path(name: &str) -> Path {
    Path::Data(DataPath { explicit: true, head: name.to_owned(), steps: Vec::new() })
}

// === impl Log ===

impl Log {
    #[expect(clippy::cast_possible_truncation, reason = "a whole number in range, or none")]
    fn new(id: u64, event: &Event<'_>) -> Self {
        let view = View::new(event);
        let number = |name| view.text(&path(name)).number().filter(|it| it.is_finite());
        let status_code = number("status_code").filter(|it| it.fract() == 0.0).map(|it| it as i64);
        let path_of_type = path("event_type");
        let event_type = view.text(&path_of_type);
        Self {
            id,
            timestamp: Text(event.time),
            service_name: event.source.clone().into_owned(),
            status_code,
            latency_ms: number("latency_ms"),
            event_type: (!event_type.is_empty()).then(|| event_type.as_str().into_owned()),
        }
    }
}

// === impl LogSummary ===

impl LogSummary {
    #[expect(clippy::cast_precision_loss, reason = "a percentage is a double")]
    fn new(by_status: &Summary, by_type: &Summary) -> Self {
        let errors = by_status.rows.iter().filter(|it| {
            let code = it.group.first().and_then(Option::as_deref);
            code.and_then(|it| it.parse::<f64>().ok()).is_some_and(|it| it >= 500.0)
        });
        let errors: u64 = errors.map(|it| it.count).sum();
        let total = by_status.events;
        let ratio = if total == 0 { 0.0 } else { errors as f64 / total as f64 };
        Self {
            total_logs: total,
            error_rate_percent: (ratio * 10_000.0).round() / 100.0,
            status_code_breakdown: breakdown(by_status),
            event_type_breakdown: breakdown(by_type),
        }
    }
}

fn breakdown(summary: &Summary) -> BTreeMap<String, u64> {
    let mut res = BTreeMap::new();
    for row in &summary.rows {
        let name = row.group.first().and_then(Option::as_deref).filter(|it| !it.is_empty());
        *res.entry(name.unwrap_or(UNKNOWN).to_owned()).or_default() += row.count;
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventId;
    use crate::history::Row;

    #[test]
    fn a_log_is_what_its_event_says() {
        let event = |data: &'static str| Event {
            id: EventId::Generated(1),
            event_type: LOG.into(),
            source: "web".into(),
            time: Time::from_millis(1_767_607_200_000),
            received: Time::from_millis(0),
            time_clamped: false,
            subject: None,
            trace: None,
            data: data.into(),
        };
        let check = |data, expected: &str| {
            let json = serde_json::to_string(&Log::new(7, &event(data))).unwrap();
            let start = r#"{"id":7,"timestamp":"2026-01-05T10:00:00Z","service_name":"web","#;
            assert_eq!(json, format!("{start}{expected}}}"));
        };
        check(
            r#"{"status_code":200,"latency_ms":12.5,"event_type":"PushEvent"}"#,
            r#""status_code":200,"latency_ms":12.5,"event_type":"PushEvent""#,
        );
        check(
            r#"{"status_code":"503","latency_ms":1}"#,
            r#""status_code":503,"latency_ms":1.0,"event_type":null"#,
        );
        // Sent as events, logs may have anything.
        check(
            r#"{"status_code":200.5,"latency_ms":1e999,"event_type":""}"#,
            r#""status_code":null,"latency_ms":null,"event_type":null"#,
        );
    }

    #[test]
    fn a_percent_is_a_percent() {
        let summary = |rows: &[(Option<&str>, u64)]| {
            let row = |(value, count): &(Option<&str>, u64)| Row {
                start: None,
                group: vec![value.map(str::to_owned)],
                count: *count,
                figures: None,
            };
            let events = rows.iter().map(|it| it.1).sum();
            Summary { rows: rows.iter().map(row).collect(), events, truncated: false }
        };
        let by_status = summary(&[(Some("200"), 1), (Some("201"), 1), (Some("503"), 1)]);
        let by_type = summary(&[(Some("PushEvent"), 1), (None, 1), (Some(""), 1)]);
        let res = LogSummary::new(&by_status, &by_type);
        assert_eq!((res.total_logs, res.error_rate_percent), (3, 33.33));
        assert_eq!(
            serde_json::to_value(&res.event_type_breakdown).unwrap(),
            serde_json::json!({"PushEvent": 1, "Unknown": 2})
        );
        let nothing = LogSummary::new(&summary(&[]), &summary(&[]));
        assert_eq!((nothing.total_logs, nothing.error_rate_percent), (0, 0.0));
        assert!(nothing.status_code_breakdown.is_empty());
    }
}
