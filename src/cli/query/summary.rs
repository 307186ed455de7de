//! Counts and figures by group.

use super::Args;
use super::table::{clean, time};
use crate::cli::client::{self, Client};
use crate::cli::filter;
use crate::cli::{Error, Session};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
struct Answer {
    by: Vec<String>,
    interval_seconds: Option<f64>,
    value: Option<String>,
    groups: Vec<Row>,
    events: u64,
    truncated: bool,
}

#[derive(Debug, Deserialize)]
struct Row {
    start: Option<String>,
    group: Map<String, Value>,
    count: u64,
    value: Option<Figures>,
}

#[derive(Debug, Deserialize)]
struct Figures {
    sum: f64,
    avg: Option<f64>,
    min: Option<f64>,
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
}

const PATH: &str = "/api/v1/events/summary";

/// Asks for the counts that `args` mean and prints them.
pub(super) async fn run(args: &Args, client: &Client, session: &mut Session) -> Result<(), Error> {
    let path = filter::with_query(PATH, &parameters(args)?);
    let text = client.ask(&path, session).await?;
    if args.json {
        return session.print(&text);
    }
    let answer: Answer = client::answer(&text)?;
    let groups = answer.groups.len();
    session.write(table(&answer).as_bytes())?;
    if answer.truncated {
        session.note(&format!(
            "observatory: these are the first {groups} groups of {} events; ask for less with --since or a selector, or for more with --limit",
            answer.events
        ));
    }
    Ok(())
}

fn parameters(args: &Args) -> Result<Vec<(&'static str, String)>, Error> {
    let mut parameters = args.filter.parameters()?;
    parameters.extend(args.by.iter().map(|it| ("by", it.clone())));
    if args.summary && args.by.is_empty() {
        parameters.push(("by", "type".to_owned()));
    }
    parameters.extend(args.interval.clone().map(|it| ("interval", it)));
    parameters.extend(args.value.clone().map(|it| ("value", it)));
    match args.order.as_deref() {
        None => {}
        Some(it @ ("asc" | "desc")) => {
            let message =
                format!("--order {it} is for events; groups come by count, start or group");
            return Err(Error::Usage(message));
        }
        Some(it) => parameters.push(("order", it.to_owned())),
    }
    parameters.extend(args.limit.map(|it| ("limit", it.to_string())));
    Ok(parameters)
}

/// A head and a line per group, in columns; numbers to the right.
fn table(answer: &Answer) -> String {
    let mut head: Vec<String> = Vec::new();
    head.extend(answer.interval_seconds.map(|_| "START (UTC)".to_owned()));
    head.extend(answer.by.iter().map(|it| clean(it)));
    let texts = head.len();
    head.push("COUNT".to_owned());
    if answer.value.is_some() {
        head.extend(["SUM", "AVG", "MIN", "P50", "P95", "P99", "MAX"].map(str::to_owned));
    }
    let rows = answer.groups.iter().map(|it| cells(it, answer));
    let all: Vec<_> = std::iter::once(head).chain(rows).collect();
    let columns = all.first().map_or(0, Vec::len);
    let width = |at: usize| {
        all.iter().filter_map(|it| it.get(at)).map(|it| it.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &all {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| {
            if at < texts { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cells(row: &Row, answer: &Answer) -> Vec<String> {
    let mut cells = Vec::new();
    if answer.interval_seconds.is_some() {
        let start = row.start.as_deref().map(time).unwrap_or_default();
        cells.push(start.trim_end_matches(".000").to_owned());
    }
    cells.extend(answer.by.iter().map(|it| match row.group.get(it) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(it)) => clean(it),
        Some(it) => clean(&it.to_string()),
    }));
    cells.push(row.count.to_string());
    if let Some(it) = &row.value {
        let all = [Some(it.sum), it.avg, it.min, it.p50, it.p95, it.p99, it.max];
        cells.extend(all.map(|it| it.map_or_else(|| "-".to_owned(), number)));
    }
    cells
}

/// Three decimals at most, and none that say nothing.
fn number(it: f64) -> String {
    let text = format!("{it:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, expected: &[&str]) {
        let text = table(&serde_json::from_str(answer).unwrap());
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn counts() {
        check(
            r#"{"by":["type","data.status"],"groups":[
                {"group":{"type":"build","data.status":"ok"},"count":12},
                {"group":{"type":"deployment","data.status":null},"count":3}],"events":15,"truncated":false}"#,
            &[
                "type        data.status  COUNT",
                "build       ok              12",
                "deployment  -                3",
            ],
        );
        check(r#"{"by":[],"groups":[],"events":0,"truncated":false}"#, &["COUNT"]);
    }

    #[test]
    fn intervals_and_figures() {
        check(
            r#"{"by":[],"interval_seconds":3600.0,"value":"n","groups":[
                {"start":"2026-01-05T10:00:00Z","group":{},"count":3,"value":{"count":2,"skipped":1,
                 "sum":3.0,"avg":1.5,"min":1.0,"max":2.0,"p50":1.5,"p95":1.95,"p99":1.9912,"approximate":false}},
                {"start":"2026-01-05T11:00:00Z","group":{},"count":1,"value":{"count":0,"skipped":1,
                 "sum":0.0,"avg":null,"min":null,"max":null,"p50":null,"p95":null,"p99":null,"approximate":false}}],
                "events":4,"truncated":false}"#,
            &[
                "START (UTC)          COUNT  SUM  AVG  MIN  P50   P95    P99  MAX",
                "2026-01-05 10:00:00      3    3  1.5    1  1.5  1.95  1.991    2",
                "2026-01-05 11:00:00      1    0    -    -    -     -      -    -",
            ],
        );
    }

    #[test]
    fn numbers() {
        assert_eq!([0.0, 1.0, 100.0, -0.0004, 2.5].map(number), ["0", "1", "100", "0", "2.5"]);
    }
}
