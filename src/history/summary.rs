//! Figures by group.

use super::table::{Grouping, Row, Table, start_of};
use crate::journal::{Journal, Query, QueryError};
use std::{cmp::Ordering, collections::HashMap, sync::Arc, thread};

/// Bytes of memory that the groups of one summary take at most, besides its rows.
const MAX_BYTES: usize = 64 << 20;

/// In which order rows come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowOrder {
    /// The largest first.
    #[default]
    Count,
    /// The oldest interval first, and in it the largest first.
    Start,
    /// By their values, and those of one group by interval.
    Group,
}

/// The rows of a summary.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The rows, in the order asked for.
    pub rows: Vec<Row>,
    /// All events that were looked for, whether their group has a row or not.
    pub events: u64,
    /// Whether groups were left out: the largest are here.
    pub truncated: bool,
}

/// Groups the events that `query` wants, and counts each group: the `limit` largest, in the order of
/// `order`. What is counted of a row is exact. The groups take at most [64 MiB](MAX_BYTES): of more,
/// first the numbers are kept as sketches, and then the smallest groups are given up; the largest are
/// counted again, so that none of them lacks the events from before it was known to be one. Events that
/// arrive meanwhile may be left out. Blocks.
///
/// # Errors
///
/// The store cannot be read, or a block that may hold an answer is damaged.
pub fn summarise(
    journal: &Journal,
    query: &Query,
    grouping: &Grouping,
    order: RowOrder,
    limit: usize,
) -> Result<Summary, QueryError> {
    if grouping.counts_only() {
        return Ok(finish(count(journal, query, grouping)?, order, limit));
    }
    let threads = thread::available_parallelism().map_or(1, usize::from);
    within(journal, query, grouping, (order, limit), MAX_BYTES / threads)
}

/// Counts by what the journal knows without reading events.
fn count(journal: &Journal, query: &Query, grouping: &Grouping) -> Result<Found, QueryError> {
    let counts = journal.count(query, grouping.interval)?;
    let events = counts.iter().map(|it| it.events).sum();
    let start = |at| grouping.interval.map(|it| start_of(at, it));
    if !grouping.by.is_empty() {
        let row = |it: crate::journal::Count| Row {
            start: start(it.start),
            group: vec![Some(it.event_type.to_string())],
            count: it.events,
            figures: None,
        };
        let rows = counts.into_iter().map(row).collect();
        return Ok(Found { rows, events, truncated: false });
    }
    let mut by_start = HashMap::<_, u64>::new();
    for it in counts {
        *by_start.entry(start(it.start)).or_default() += it.events;
    }
    let row = |(start, count)| Row { start, group: Vec::new(), count, figures: None };
    let rows = by_start.into_iter().map(row).collect();
    Ok(Found { rows, events, truncated: false })
}

/// Rows in no order.
struct Found {
    rows: Vec<Row>,
    events: u64,
    truncated: bool,
}

fn within(
    journal: &Journal,
    query: &Query,
    grouping: &Grouping,
    (order, limit): (RowOrder, usize),
    max_bytes: usize,
) -> Result<Summary, QueryError> {
    let grouping = Arc::new(grouping.clone());
    let table = || Table::new(Arc::clone(&grouping), max_bytes);
    let tables = journal.fold(query, table, |acc, _, event| acc.add(event))?;
    let mut whole = merged(tables, table());
    let truncated = whole.lossy;
    let events = whole.events;
    if truncated {
        // What was given up was not counted, and may have come again: count those that are left anew.
        let keys = whole.largest(limit);
        drop(whole);
        let table = || Table::of(Arc::clone(&grouping), max_bytes, &keys);
        let tables = journal.fold(query, table, |acc, _, event| acc.add(event))?;
        whole = merged(tables, table());
    }
    Ok(finish(Found { rows: whole.into_rows(), events, truncated }, order, limit))
}

fn merged(tables: Vec<Table>, empty: Table) -> Table {
    tables
        .into_iter()
        .reduce(|mut all, it| {
            all.merge(it);
            all
        })
        .unwrap_or(empty)
}

fn finish(found: Found, order: RowOrder, limit: usize) -> Summary {
    let Found { mut rows, events, mut truncated } = found;
    if rows.len() > limit {
        truncated = true;
        // Whatever the order, it is the largest that stay.
        rows.sort_unstable_by(by_count);
        rows.truncate(limit);
    }
    match order {
        RowOrder::Count => rows.sort_unstable_by(by_count),
        RowOrder::Start => {
            rows.sort_unstable_by(|a, b| a.start.cmp(&b.start).then_with(|| by_count(a, b)))
        }
        RowOrder::Group => {
            rows.sort_unstable_by(|a, b| (&a.group, a.start).cmp(&(&b.group, b.start)));
        }
    }
    Summary { rows, events, truncated }
}

/// The largest first; of the same size by start and values, so that the order is always the same.
fn by_count(a: &Row, b: &Row) -> Ordering {
    b.count.cmp(&a.count).then_with(|| (a.start, &a.group).cmp(&(b.start, &b.group)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventId, Time};
    use crate::journal;
    use crate::journal::{DedupConfig, Segment};
    use crate::selector::Path;
    use crate::store;
    use crate::store::Store;
    use std::time::Duration;

    const HOUR_MS: i64 = 3_600_000;

    fn event(n: i64, event_type: &str, data: String) -> Event<'static> {
        let time = Time::from_millis(n);
        Event {
            id: EventId::Generated(u128::from(n.unsigned_abs())),
            event_type: event_type.to_owned().into(),
            source: format!("s{}", n % 2).into(),
            time,
            received: time,
            time_clamped: false,
            subject: (n % 3 == 0).then(|| "x".into()),
            trace: None,
            data: data.into(),
        }
    }

    fn journal(events: impl IntoIterator<Item = Event<'static>>) -> (Journal, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&store::Config::new(dir.path().to_owned())).unwrap();
        let now = Time::from_millis(0);
        let opened = journal::open(&store, DedupConfig::default(), now, (1, 2)).unwrap();
        let (journal, mut writer, _merger) = opened;
        let mut segments = vec![Segment::default()];
        for it in events {
            if segments.last().unwrap().is_full() {
                segments.push(Segment::default());
            }
            segments.last_mut().unwrap().push(&it, journal.id_key());
        }
        segments.iter_mut().for_each(Segment::pack);
        writer.append(segments).unwrap();
        (journal, dir)
    }

    fn paths(by: &[&str]) -> Vec<Path> {
        by.iter().map(|it| Path::parse(it).unwrap()).collect()
    }

    /// The rows as text: start in hours, values, count.
    fn rows(summary: &Summary) -> Vec<String> {
        let row = |it: &Row| {
            let start =
                it.start.map_or(String::new(), |it| format!("{}h ", it.as_millis() / HOUR_MS));
            let values: Vec<_> = it.group.iter().map(|it| it.as_deref().unwrap_or("-")).collect();
            format!("{start}{} {}", values.join(","), it.count)
        };
        summary.rows.iter().map(row).collect()
    }

    #[track_caller]
    fn check(journal: &Journal, by: &[&str], hours: u64, order: RowOrder, expected: &[&str]) {
        let interval = (hours > 0).then(|| Duration::from_secs(hours * 3600));
        let grouping = Grouping { by: paths(by), interval, value: None };
        let res = summarise(journal, &Query::default(), &grouping, order, 100).unwrap();
        assert_eq!(rows(&res), expected, "{by:?}");
        assert!(!res.truncated);
    }

    #[test]
    fn groups_and_intervals() {
        let (journal, _dir) = journal((0..12).map(|n| {
            let data = match n % 4 {
                0 => r#"{"status":"ok","deep":{"n":[1,2]}}"#.to_owned(),
                1 => r#"{"status":5}"#.to_owned(),
                2 => r#"{"status":""}"#.to_owned(),
                _ => r#"{"status":null}"#.to_owned(),
            };
            event(n * HOUR_MS / 4, if n < 9 { "a" } else { "b" }, data)
        }));
        let it = &journal;
        check(it, &["type"], 0, RowOrder::Count, &["a 9", "b 3"]);
        check(it, &[], 0, RowOrder::Count, &[" 12"]);
        check(it, &[], 1, RowOrder::Count, &["0h  4", "1h  4", "2h  4"]);
        check(it, &["type"], 1, RowOrder::Start, &["0h a 4", "1h a 4", "2h b 3", "2h a 1"]);
        check(it, &["type"], 1, RowOrder::Group, &["0h a 4", "1h a 4", "2h a 1", "2h b 3"]);
        check(it, &["data.status"], 0, RowOrder::Group, &["- 3", " 3", "5 3", "ok 3"]);
        let expected = ["ok,a 3", "-,a 2", ",a 2", "5,a 2", "-,b 1", ",b 1", "5,b 1"];
        check(it, &["status", "type"], 0, RowOrder::Count, &expected);
        check(it, &["deep.n[1]"], 0, RowOrder::Group, &["- 9", "2 3"]);
        check(it, &["source"], 2, RowOrder::Start, &["0h s0 8", "2h s0 4"]);
        check(it, &["subject"], 0, RowOrder::Group, &["x 12"]);
    }

    #[test]
    fn both_ways_of_counting_agree() {
        let (journal, _dir) = journal((0..3000).map(|n| {
            let event_type = if n % 7 < 3 { "a" } else { "b" };
            event(n * 1_234_567, if n % 5 == 0 { "c" } else { event_type }, "{}".to_owned())
        }));
        for interval in
            [None, Some(Duration::from_secs(3600)), Some(Duration::from_millis(777_777))]
        {
            for by in [&[][..], &["type"]] {
                let since = Some(Time::from_millis(1_000_000));
                let query =
                    Query { since, types: vec!["a".into(), "b".into()], ..Query::default() };
                let grouping = Grouping { by: paths(by), interval, value: None };
                let fast = summarise(&journal, &query, &grouping, RowOrder::Count, 10_000).unwrap();
                let slow =
                    within(&journal, &query, &grouping, (RowOrder::Count, 10_000), MAX_BYTES)
                        .unwrap();
                assert_eq!(fast, slow);
                assert!(fast.events > 1000);
            }
        }
    }

    #[test]
    fn figures_of_a_field() {
        let (journal, _dir) = journal((0..100).map(|n| {
            let data = match n {
                0..50 => format!("{{\"d\":{n}}}"),
                50..99 => format!("{{\"d\":\"{n}\"}}"),
                _ => r#"{"d":"slow"}"#.to_owned(),
            };
            event(n, "t", data)
        }));
        let grouping =
            Grouping { value: Some(Path::parse("data.d").unwrap()), ..Grouping::default() };
        let res = summarise(&journal, &Query::default(), &grouping, RowOrder::Count, 10).unwrap();
        let figures = res.rows[0].figures.clone().unwrap();
        assert_eq!((res.rows[0].count, figures.count, figures.skipped), (100, 99, 1));
        assert_eq!((figures.sum, figures.min, figures.max), (4851.0, Some(0.0), Some(98.0)));
        assert_eq!(figures.quantiles.unwrap()[0], 49.0);
    }

    #[test]
    fn the_largest_stay_when_there_are_too_many() {
        let (journal, _dir) = journal((0..500).map(|n| {
            let key = if n % 5 == 0 { 0 } else { n };
            event(n, "t", format!("{{\"k\":{key}}}"))
        }));
        let grouping = Grouping { by: paths(&["k"]), ..Grouping::default() };
        for order in [RowOrder::Count, RowOrder::Group] {
            let res = summarise(&journal, &Query::default(), &grouping, order, 1).unwrap();
            assert_eq!(rows(&res), ["0 100"]);
            assert!(res.truncated);
            assert_eq!(res.events, 500);
        }
    }

    #[test]
    fn memory_is_bounded_and_what_is_shown_is_right() {
        // Three groups begin as small as 20 000 others, are given up among them, and become the largest.
        let (journal, _dir) = journal((0..25_000).map(|n| {
            let is_late = !(3..20_000).contains(&n);
            let key = if is_late { format!("late-{}", n % 3) } else { format!("light-{n}") };
            event(n, "t", format!("{{\"k\":\"{key}\",\"v\":{n}}}"))
        }));
        let value = Some(Path::parse("v").unwrap());
        let grouping = Grouping { by: paths(&["k"]), interval: None, value };
        let res = within(&journal, &Query::default(), &grouping, (RowOrder::Count, 3), 256 << 10)
            .unwrap();
        assert!(res.truncated);
        assert_eq!(res.events, 25_000);
        assert_eq!(rows(&res), ["late-0 1668", "late-2 1668", "late-1 1667"]);
        for row in &res.rows {
            assert_eq!(row.figures.as_ref().unwrap().count, row.count);
        }
        let bytes = |max_bytes: usize| {
            let mut table = Table::new(Arc::new(grouping.clone()), max_bytes);
            let each = |acc: &mut Table, _, event: &Event<'_>| acc.add(event);
            for n in 0..25_000 {
                each(&mut table, 0, &event(n, "t", format!("{{\"k\":{n}}}")));
                assert!(table.size_bytes() <= max_bytes, "{} at {n}", table.size_bytes());
            }
        };
        bytes(256 << 10);
    }
}
