//! `/api/v1/rules`: what the rules define, and what they make of an event.

use super::alertmanager;
use super::body;
use super::endpoint::Call;
use super::error::ApiError;
use super::reply;
use crate::event::{EventId, NewEvent};
use crate::pipeline::{BackfillState, Pipeline, Progress};
use crate::rules::{FamilyKind, FamilySpec, RuleSet, SpanSpec};
use crate::sources;
use crate::sources::RequestMeta;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

#[derive(Serialize)]
struct List<'a> {
    metrics: Vec<Metric<'a>>,
    spans: Vec<Span<'a>>,
    /// What clients of Prometheus read here: the alert rules.
    status: &'static str,
    data: alertmanager::Groups<'a>,
}

#[derive(Serialize)]
struct Metric<'a> {
    name: &'a str,
    help: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    labels: &'a [String],
    limit: usize,
    ttl_seconds: Option<f64>,
    /// The sequence number of the first event that it counts.
    first_sequence: Option<u64>,
    backfill: Option<Backfill>,
}

/// How the past of a metric is counted.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Backfill {
    Waiting,
    Running { done: u64, total: u64 },
    Failed { message: String },
    Done,
}

#[derive(Serialize)]
struct Span<'a> {
    name: &'a str,
    stuck_after_seconds: Option<f64>,
    give_up_after_seconds: f64,
    max_open: usize,
}

/// A question about rules that are not in force.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    /// The text of a rule file.
    rules: String,
}

impl<'a> Metric<'a> {
    fn new(spec: &'a FamilySpec, pipeline: &Pipeline) -> Self {
        let kind = match spec.kind {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge | FamilyKind::SpanGauge(..) => "gauge",
            FamilyKind::Histogram(_) => "histogram",
        };
        let FamilySpec { name, help, labels, limit, ttl, .. } = spec;
        Self {
            name,
            help,
            kind,
            labels,
            limit: *limit,
            ttl_seconds: ttl.map(|it| it.as_secs_f64()),
            first_sequence: pipeline.counts_from(name),
            backfill: pipeline.backfill_state(spec).map(Backfill::from),
        }
    }
}

impl From<BackfillState> for Backfill {
    fn from(state: BackfillState) -> Self {
        match state {
            BackfillState::Waiting => Self::Waiting,
            BackfillState::Running(Progress { done, total }) => Self::Running { done, total },
            BackfillState::Failed(message) => Self::Failed { message },
            BackfillState::Done => Self::Done,
        }
    }
}

impl<'a> From<&'a SpanSpec> for Span<'a> {
    fn from(spec: &'a SpanSpec) -> Self {
        Self {
            name: &spec.name,
            stuck_after_seconds: spec.stuck_after.map(|it| it.as_secs_f64()),
            give_up_after_seconds: spec.give_up_after.as_secs_f64(),
            max_open: spec.max_open,
        }
    }
}

/// `GET /api/v1/rules`.
pub(super) async fn list(call: Call) -> Result<Response<Body>, ApiError> {
    let pipeline = &call.state.pipeline;
    let rules = pipeline.rules();
    let metrics = rules.families().iter().map(|it| Metric::new(it, pipeline)).collect();
    let spans = rules.spans().iter().map(Span::from).collect();
    let views = call.state.alerting.rules();
    let data = alertmanager::groups_of(&views, &call);
    Ok(reply::json(StatusCode::OK, &List { metrics, spans, status: "success", data }))
}

/// `POST /api/v1/rules/explain`: the body is an event, or `{"event": ..., "rules": "..."}` to try rules
/// that are not in force. Nothing is stored.
pub(super) async fn explain(mut call: Call) -> Result<Response<Body>, ApiError> {
    let mut incoming = body::read(&mut call).await?;
    let work = move || {
        incoming.decompress()?;
        let now = call.state.pipeline.now();
        let limits = &call.state.config.events;
        let draft = serde_json::from_slice::<Draft<'_>>(&incoming.bytes).ok();
        let event = draft.as_ref().map_or(&incoming.bytes[..], |it| it.event.get().as_bytes());
        let event = one_event(event, limits)?;
        let event = event.accept(now, || EventId::Given("explained".into()));
        let rules = match &draft {
            Some(draft) => Arc::new(RuleSet::parse(&draft.rules).map_err(|it| {
                ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_rules", it)
            })?),
            None => call.state.pipeline.rules(),
        };
        Ok(reply::json(StatusCode::OK, &rules.explain(&event)))
    };
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?
}

fn one_event<'a>(body: &'a [u8], limits: &sources::Limits) -> Result<NewEvent<'a>, ApiError> {
    let mut parsed = sources::parse(body, &RequestMeta::default(), limits)?;
    match (parsed.events.pop(), parsed.events.is_empty()) {
        (Some(event), true) => event.map_err(|it| ApiError::from(&it)),
        _ => Err(ApiError::bad_request("invalid_event", "send exactly one event")),
    }
}
