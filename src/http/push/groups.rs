//! `/api/v1/push/groups`: groups chosen by their labels, shown or removed.

use super::super::endpoint::Call;
use super::super::error::ApiError;
use super::super::params;
use super::super::reply;
use super::super::reply::Text;
use crate::event::Time;
use crate::groups;
use crate::groups::{Group, Selection};
use crate::selector::LabelSelector;
use axum::body::Body;
use axum::http::{Response, StatusCode, Uri};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// Groups that an answer shows, if nobody says how many.
const SHOWN: usize = 100;
/// The most that an answer shows.
const MAX_SHOWN: usize = 10_000;

const UNKNOWN: &str = "is not a parameter here: there are match[], limit and, to delete, dry_run";
const NO_MATCH: &str = "is missing: say which groups go, as in match[]={job=~\"ci-.*\"}";

#[derive(Serialize)]
struct List<'a> {
    /// All groups that match.
    total: usize,
    /// Their series.
    series: u64,
    /// Their bytes.
    bytes: usize,
    groups: Vec<View<'a>>,
    /// Whether there are more than are shown.
    truncated: bool,
}

#[derive(Serialize)]
struct Deleted<'a> {
    /// All groups that are gone, or would be.
    deleted: usize,
    series: u64,
    dry_run: bool,
    groups: Vec<View<'a>>,
    truncated: bool,
}

#[derive(Serialize)]
struct View<'a> {
    labels: BTreeMap<&'a str, &'a str>,
    pushed_at: Option<Text<Time>>,
    failed_at: Option<Text<Time>>,
    last_push_successful: bool,
    /// Since a push was last taken.
    age_seconds: Option<f64>,
    /// When its metrics go, or went.
    expires_at: Option<Text<Time>>,
    /// When its times go, if its metrics are gone.
    forgotten_at: Option<Text<Time>>,
    series: u64,
    bytes: usize,
}

/// What is asked for.
struct Question {
    selection: Selection,
    limit: usize,
    dry_run: bool,
}

impl Question {
    fn read(uri: &Uri) -> Result<Self, ApiError> {
        let (mut selectors, mut limit, mut dry_run) = (Vec::new(), SHOWN, false);
        for (name, value) in params::params(uri) {
            match name.as_ref() {
                "match[]" | "match" => {
                    let selector = LabelSelector::parse(&value);
                    let wrong = |it| ApiError::parameter("match[]", format!("{value:?}: {it}"));
                    selectors.push(selector.map_err(wrong)?);
                }
                "limit" => limit = read_limit(&value)?,
                "dry_run" => dry_run = params::flag("dry_run", &value)?,
                _ => return Err(ApiError::parameter(&name, UNKNOWN)),
            }
        }
        Ok(Self { selection: Selection::new(selectors), limit, dry_run })
    }
}

fn read_limit(text: &str) -> Result<usize, ApiError> {
    let limit = text.parse().ok().filter(|it| (1..=MAX_SHOWN).contains(it));
    let reason = || format!("must be a whole number from 1 to {MAX_SHOWN}");
    limit.ok_or_else(|| ApiError::parameter("limit", reason()))
}

/// `GET /api/v1/push/groups`: the groups that match, or all.
pub(in super::super) async fn groups(call: Call) -> Result<Response<Body>, ApiError> {
    let question = Question::read(&call.uri)?;
    if question.dry_run {
        return Err(ApiError::parameter("dry_run", "is a parameter of DELETE alone"));
    }
    let now = call.state.pipeline.now();
    let limit = question.limit;
    let shown = call.state.pipeline.groups().clone();
    let selected = selected(shown, question.selection).await?;
    let list = List {
        total: selected.len(),
        series: selected.iter().map(|it| it.series()).sum(),
        bytes: selected.iter().map(|it| it.size_bytes()).sum(),
        groups: views(&selected, limit, now),
        truncated: selected.len() > limit,
    };
    Ok(reply::json(StatusCode::OK, &list))
}

/// `DELETE /api/v1/push/groups`: removes the groups that match, all or none.
pub(in super::super) async fn delete_groups(call: Call) -> Result<Response<Body>, ApiError> {
    let Question { selection, limit, dry_run } = Question::read(&call.uri)?;
    if selection.is_empty() {
        return Err(ApiError::parameter("match[]", NO_MATCH));
    }
    let now = call.state.pipeline.now();
    let removed = match dry_run {
        true => selected(call.state.pipeline.groups().clone(), selection).await?,
        false => call.state.pipeline.remove_groups(selection).await?,
    };
    if !dry_run && !removed.is_empty() {
        let by = call.by();
        tracing::info!(push.groups = removed.len(), by, "{} pushed groups removed", removed.len());
    }
    let answer = Deleted {
        deleted: removed.len(),
        series: removed.iter().map(|it| it.series()).sum(),
        dry_run,
        groups: views(&removed, limit, now),
        truncated: removed.len() > limit,
    };
    Ok(reply::json(StatusCode::OK, &answer))
}

/// The groups of `selection`, all if it is empty. An expression against a hundred thousand groups would hold
/// up other requests.
async fn selected(groups: groups::View, selection: Selection) -> Result<Vec<Arc<Group>>, ApiError> {
    if selection.is_empty() {
        return Ok(groups.groups());
    }
    tokio::task::spawn_blocking(move || groups.select(&selection)).await.map_err(ApiError::internal)
}

fn views(groups: &[Arc<Group>], limit: usize, now: Time) -> Vec<View<'_>> {
    groups.iter().take(limit).map(|it| View::new(it, now)).collect()
}

impl<'a> View<'a> {
    fn new(group: &'a Group, now: Time) -> Self {
        Self {
            labels: group.labels().collect(),
            pushed_at: group.pushed().map(Text),
            failed_at: group.failed().map(Text),
            last_push_successful: group.last_push_successful(),
            age_seconds: group.pushed().map(|it| now.seconds_since(it).max(0.0)),
            expires_at: group.expires().map(Text),
            forgotten_at: group.forgotten().map(Text),
            series: group.series(),
            bytes: group.size_bytes(),
        }
    }
}
