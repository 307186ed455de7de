//! `GET /api/v1/events/summary`: how many, and the figures of a number, by group and interval.

use super::endpoint::Call;
use super::error::ApiError;
use super::params;
use super::query;
use super::reply;
use super::reply::Text;
use crate::event::Time;
use crate::history;
use crate::history::{Figures, Grouping, RowOrder, Summary};
use crate::journal::Query;
use crate::selector::Path;
use axum::body::Body;
use axum::http::{Response, StatusCode, Uri};
use serde::ser::{Serialize, Serializer};
use std::time::Duration;

/// Summaries that read events at once; each works on all cores already, and has its memory. More wait.
pub(super) const AT_ONCE: usize = 2;

/// The most rows of one answer.
const MAX_ROWS: usize = 100_000;
/// The rows of an answer if the client does not say.
const DEFAULT_ROWS: usize = 10_000;
/// The most paths to group by.
const MAX_PATHS: usize = 8;

/// What is asked.
#[derive(Debug)]
struct Question {
    query: Query,
    grouping: Grouping,
    /// The paths as they were asked for: so are the members of a row called.
    names: Vec<String>,
    value: Option<String>,
    order: RowOrder,
    limit: usize,
}

/// `GET /api/v1/events/summary`.
pub(super) async fn summary(call: Call) -> Result<Response<Body>, ApiError> {
    let question = read(&call.uri, call.state.pipeline.now())?;
    let _turn = match question.grouping.counts_only() {
        true => None,
        false => Some(call.state.summaries.acquire().await.map_err(ApiError::internal)?),
    };
    let journal = call.state.pipeline.journal().clone();
    let work = tokio::task::spawn_blocking(move || {
        let Question { query, grouping, order, limit, .. } = &question;
        let summary = history::summarise(&journal, query, grouping, *order, *limit)?;
        Ok(reply::json(StatusCode::OK, &view(&question, &summary)))
    });
    work.await.map_err(ApiError::internal)?
}

fn read(uri: &Uri, now: Time) -> Result<Question, ApiError> {
    let mut query = Query::default();
    let (mut names, mut interval, mut value) = (Vec::new(), None, None);
    let (mut order, mut limit) = (None, DEFAULT_ROWS);
    for (name, text) in params::params(uri) {
        if query::filter(&mut query, &name, &text, now)? {
            continue;
        }
        match name.as_ref() {
            "by" | "group_by" => names.extend(query::split(&text).map(str::to_owned)),
            "interval" => interval = Some(interval_of(&text)?),
            "value" => value = Some(text.trim().to_owned()),
            "order" => order = Some(order_of(&text)?),
            "limit" => limit = query::limit_of(&text, MAX_ROWS)?,
            _ => return Err(query::unknown(&name, "by, interval, value, order and limit")),
        }
    }
    if names.len() > MAX_PATHS {
        let reason = format!("names {} paths; there may be {MAX_PATHS}", names.len());
        return Err(ApiError::parameter("by", reason));
    }
    let by = names.iter().map(|it| path("by", it, "type,data.status"));
    let by = by.collect::<Result<_, _>>()?;
    let path_of = |it: &String| path("value", it, "data.duration_seconds");
    let grouping = Grouping { by, interval, value: value.as_ref().map(path_of).transpose()? };
    let default = if interval.is_some() { RowOrder::Start } else { RowOrder::Count };
    Ok(Question { query, grouping, names, value, order: order.unwrap_or(default), limit })
}

fn path(name: &str, text: &str, example: &str) -> Result<Path, ApiError> {
    let wrong = |reason: &dyn std::fmt::Display| {
        let reason =
            format!("has no usable path in {text:?}: {reason}; a right one is {name}={example}");
        ApiError::parameter(name, reason)
    };
    match Path::parse(text).map_err(|it| wrong(&it))? {
        Path::Time => Err(wrong(&"events are grouped by time with interval=1h")),
        it => Ok(it),
    }
}

fn interval_of(text: &str) -> Result<Duration, ApiError> {
    params::duration(text.trim()).filter(|it| !it.is_zero()).ok_or_else(|| {
        let reason =
            "must be a length of time from ms to weeks, such as interval=1h or interval=1d12h";
        ApiError::parameter("interval", reason)
    })
}

fn order_of(text: &str) -> Result<RowOrder, ApiError> {
    match text {
        "count" => Ok(RowOrder::Count),
        "start" => Ok(RowOrder::Start),
        "group" => Ok(RowOrder::Group),
        _ => {
            Err(ApiError::parameter("order", "must be count, start or group, such as order=count"))
        }
    }
}

// === the answer ===

#[derive(serde::Serialize)]
struct View<'a> {
    by: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    interval_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    groups: Vec<RowView<'a>>,
    events: u64,
    truncated: bool,
}

#[derive(serde::Serialize)]
struct RowView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Text<Time>>,
    group: Group<'a>,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<FiguresView>,
}

/// The values of a group under the names that were asked for, in their order.
struct Group<'a>(&'a [String], &'a [Option<String>]);

#[derive(serde::Serialize)]
struct FiguresView {
    count: u64,
    skipped: u64,
    sum: f64,
    avg: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
    approximate: bool,
}

impl Serialize for Group<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1))
    }
}

fn view<'a>(question: &'a Question, summary: &'a Summary) -> View<'a> {
    let row = |it: &'a history::Row| RowView {
        start: it.start.map(Text),
        group: Group(&question.names, &it.group),
        count: it.count,
        value: it.figures.as_ref().map(figures),
    };
    View {
        by: &question.names,
        interval_seconds: question.grouping.interval.map(|it| it.as_secs_f64()),
        value: question.value.as_deref(),
        groups: summary.rows.iter().map(row).collect(),
        events: summary.events,
        truncated: summary.truncated,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a mean is a double")]
fn figures(it: &Figures) -> FiguresView {
    let avg = (it.count > 0).then(|| it.sum / it.count as f64);
    let [p50, p95, p99] = it.quantiles.map_or([None; 3], |it| it.map(Some));
    FiguresView {
        count: it.count,
        skipped: it.skipped,
        sum: it.sum,
        avg,
        min: it.min,
        max: it.max,
        p50,
        p95,
        p99,
        approximate: it.approximate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Row;

    fn ask(text: &str) -> Result<Question, String> {
        let now = Time::parse("2026-01-05T10:00:00Z").unwrap();
        let uri: Uri = format!("/?{text}").parse().unwrap();
        read(&uri, now).map_err(|it| format!("{it:?}"))
    }

    #[test]
    fn what_is_asked() {
        let it =
            ask("by=type,data.status&by=data.%22a,b%22&interval=1d12h&value=n&since=2h&limit=3")
                .unwrap();
        assert_eq!(it.names, ["type", "data.status", "data.\"a,b\""]);
        assert_eq!(it.grouping.by.len(), 3);
        assert_eq!(it.grouping.interval, Some(Duration::from_secs(36 * 3600)));
        assert_eq!((it.order, it.limit), (RowOrder::Start, 3));
        assert!(it.query.since.is_some() && it.grouping.value.is_some());
        let it = ask("group_by=source").unwrap();
        assert_eq!(
            (it.names, it.order, it.limit),
            (vec!["source".to_owned()], RowOrder::Count, DEFAULT_ROWS)
        );
        assert!(ask("by=type&interval=1h&type=a").unwrap().grouping.counts_only());
        assert!(!ask("by=type&value=n").unwrap().grouping.counts_only());
        assert!(!ask("by=source").unwrap().grouping.counts_only());
    }

    #[test]
    fn what_cannot_be_asked() {
        let check = |text: &str, expected: &str| {
            let res = ask(text).unwrap_err();
            assert!(res.contains(expected), "{text}: {res}");
        };
        check("by=a..b", "by=type,data.status");
        check("by=time", "interval=1h");
        check("value=%7B", "value=data.duration_seconds");
        check("value=", "value=data.duration_seconds");
        check("interval=0s", "interval=1h");
        check("interval=hour", "interval=1h");
        check("order=asc", "order=count");
        check("limit=0", "limit=50");
        check("cursor=1", "cursor is not a parameter here");
        check("by=a,b,c,d,e,f,g,h,i", "names 9 paths");
        check("since=x", "since");
    }

    #[test]
    fn an_answer() {
        let question = ask("by=type,status&interval=1h&value=n").unwrap();
        let figures = Figures {
            count: 2,
            skipped: 1,
            sum: 3.0,
            min: Some(1.0),
            max: Some(2.0),
            quantiles: Some([1.5, 1.95, 1.99]),
            approximate: false,
        };
        let row = Row {
            start: Time::parse("2026-01-05T10:00:00Z").ok(),
            group: vec![Some("t".to_owned()), None],
            count: 3,
            figures: Some(figures),
        };
        let summary = Summary { rows: vec![row], events: 3, truncated: false };
        let json = serde_json::to_string(&view(&question, &summary)).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"by":["type","status"],"interval_seconds":3600.0,"value":"n","groups":[{"#,
                r#""start":"2026-01-05T10:00:00Z","group":{"type":"t","status":null},"count":3,"#,
                r#""value":{"count":2,"skipped":1,"sum":3.0,"avg":1.5,"min":1.0,"max":2.0,"#,
                r#""p50":1.5,"p95":1.95,"p99":1.99,"approximate":false}}],"events":3,"truncated":false}"#
            )
        );
    }
}
