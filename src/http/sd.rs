//! `GET /api/v1/sd/agents`: the agents that announced where they can be scraped, for Prometheus' HTTP service discovery
//! (`http_sd_configs`: a list of `{"targets", "labels"}`; labels that begin with `__meta_` are for relabelling only).

mod agents;

pub(super) use agents::Agents;

use super::endpoint::Call;
use super::error::ApiError;
use super::params;
use super::reply;
use agents::Agent;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// Who was not heard of for so long is gone, unless the question says otherwise.
const WITHIN: Duration = Duration::from_hours(24);

/// One agent. The names are Prometheus'.
#[derive(Serialize)]
struct Target {
    targets: [String; 1],
    labels: BTreeMap<String, String>,
}

/// `GET /api/v1/sd/agents`. `within`: who was heard of since.
pub(super) async fn agents(call: Call) -> Result<Response<Body>, ApiError> {
    let mut within = WITHIN;
    for (name, value) in params::params(&call.uri) {
        if name != "within" {
            return Err(ApiError::parameter(&name, "is not a parameter here: there is within"));
        }
        let read = params::duration(value.trim());
        within = read.filter(|it| !it.is_zero() && *it <= agents::KEPT_FOR).ok_or_else(|| {
            ApiError::parameter("within", "must be a duration of up to 7d, such as 1h")
        })?;
    }
    let (journal, now) = (call.state.pipeline.journal().clone(), call.state.pipeline.now());
    let agents = call.state.agents.catch_up(journal, now).await.map_err(ApiError::internal)?;
    let since = now.saturating_sub(within);
    let live = agents.into_iter().filter(|it| it.1.seen >= since);
    let targets: Vec<_> = live.map(|(name, it)| target(name, it)).collect();
    Ok(reply::json(StatusCode::OK, &targets))
}

fn target(name: String, agent: Agent) -> Target {
    let mut labels = BTreeMap::from([
        ("agent".to_owned(), name),
        ("__scheme__".to_owned(), agent.endpoint.scheme),
        ("__metrics_path__".to_owned(), agent.endpoint.path),
        ("__meta_observatory_agent_source".to_owned(), agent.source),
    ]);
    let meta = [("type", agent.kind), ("version", agent.version)];
    labels.extend(
        meta.into_iter()
            .filter(|it| !it.1.is_empty())
            .map(|(name, it)| (format!("__meta_observatory_agent_{name}"), it)),
    );
    labels.extend(agent.endpoint.parameters);
    Target { targets: [agent.endpoint.address], labels }
}
