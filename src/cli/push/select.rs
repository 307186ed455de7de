//! `observatory push --delete --match`: the groups whose labels match are removed, or shown before they are.

use super::super::client::{self, Client, Request};
use super::super::{Error, Session};
use crate::selector::LabelSelector;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Groups that are shown by name.
const SHOWN: usize = 10_000;

/// The server's answer.
#[derive(Debug, Deserialize)]
struct Deleted {
    deleted: usize,
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    labels: BTreeMap<String, String>,
    series: u64,
    pushed_at: Option<String>,
}

/// Removes the groups that one of `selectors` matches and prints them; with `dry_run` it prints them alone.
pub(super) fn remove(
    selectors: &[String],
    dry_run: bool,
    server: &client::Args,
    session: &mut Session,
) -> Result<(), Error> {
    let mut path = format!("/api/v1/push/groups?limit={SHOWN}&dry_run={dry_run}");
    for it in selectors {
        LabelSelector::parse(it)
            .map_err(|err| Error::Usage(format!("--match: {err}\n{}", err.caret())))?;
        path.push_str("&match%5B%5D=");
        path.extend(utf8_percent_encode(it, NON_ALPHANUMERIC));
    }
    let client = Client::new(server, session)?;
    let request = Request { method: Method::DELETE, path: &path, body: None };
    let body = client::block_on(client.send(&request, session))?;
    let answer: Deleted = client::answer(&body)?;
    for group in &answer.groups {
        session.print(&line(group))?;
    }
    let (n, done) = (answer.deleted, if dry_run { "would go" } else { "removed" });
    let more = n.saturating_sub(answer.groups.len());
    let more = if more > 0 { format!(", {more} of them not shown") } else { String::new() };
    session.note(&format!("observatory: {n} groups {done}{more}"));
    Ok(())
}

/// `{job="ci-1"}  12 series, pushed 2026-01-05T10:00:00Z`. What a group is called is escaped: it may be anything.
fn line(group: &Group) -> String {
    let label = |(name, value): (&String, &String)| format!("{}={value:?}", name.escape_debug());
    let labels = group.labels.iter().map(label).collect::<Vec<_>>().join(",");
    let pushed = group.pushed_at.as_deref().unwrap_or("never");
    format!("{{{labels}}}  {} series, pushed {}", group.series, pushed.escape_debug())
}
