//! `/api/v1/monitoring/ws/metrics` and `/api/v1/monitoring/ws/topology`: how the agents of a mesh do, in the messages that
//! its dashboards know.

use super::board::{self, Source};
use super::mesh::{Mesh, Watching};
use crate::agents::{Cluster, Edge, Measure, Node, Topology, TopologyMetrics};
use crate::event::Time;
use crate::http::endpoint::Call;
use crate::http::error::ApiError;
use crate::http::params;
use axum::body::Body;
use axum::extract::ws::Utf8Bytes;
use axum::http::Response;
use serde::Serialize;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Instant, sleep_until};

/// The longest between two overviews; also how often the passing of time is looked at, which makes agents silent.
const EVERY: Duration = Duration::from_secs(10);
/// The shortest: events come in crowds.
const APART: Duration = Duration::from_secs(1);

/// All agents, and the machine that watches them.
#[derive(Serialize)]
struct Overview {
    total_agents: usize,
    active_agents: usize,
    failed_agents: usize,
    total_requests: u64,
    /// Percent.
    success_rate: f64,
    /// Seconds.
    average_response_time: f64,
    /// Percent.
    cpu_usage: f64,
    /// Gigabytes.
    memory_usage: f64,
    /// Percent.
    disk_usage: f64,
    /// Such as `2d 14h 32m`.
    uptime: String,
    timestamp: Time,
}

#[derive(Serialize)]
struct Message<T> {
    r#type: &'static str,
    data: T,
}

#[derive(Serialize)]
struct Dated<'a> {
    nodes: &'a [Node],
    edges: &'a [Edge],
    clusters: &'a [Cluster],
    metrics: TopologyMetrics,
    timestamp: Time,
}

/// When something is shown again: at once, when it changed but not too soon, and every so often.
struct Pace {
    watching: Watching,
    /// When it was shown the last time.
    shown: Option<Instant>,
    changed: bool,
}

struct Metrics {
    pace: Pace,
    measures: broadcast::Receiver<Arc<Measure>>,
    /// Whose measures are shown; of all if there are none.
    agents: BTreeSet<String>,
}

struct Links {
    pace: Pace,
    /// What was shown last.
    last: Option<Topology>,
}

/// `GET /api/v1/monitoring/ws/metrics`.
pub(in crate::http) async fn metrics(call: Call) -> Result<Response<Body>, ApiError> {
    let mut agents = BTreeSet::new();
    for (name, value) in params::params(&call.uri) {
        match name.as_ref() {
            "agent_ids" | "agent_id" => {
                let ids = value.split(',').map(str::trim).filter(|it| !it.is_empty());
                agents.extend(ids.map(str::to_owned));
            }
            "ticket" => {}
            _ => return Err(unknown(&name, "agent_ids and ticket")),
        }
    }
    let (pace, measures) = (Pace::new(&call), call.state.streams.mesh.measures());
    let source = Metrics { pace, measures, agents };
    board::show(call, source, "GET /metrics").await
}

/// `GET /api/v1/monitoring/ws/topology`.
pub(in crate::http) async fn topology(call: Call) -> Result<Response<Body>, ApiError> {
    if let Some((name, _)) = params::params(&call.uri).find(|(it, _)| it != "ticket") {
        return Err(unknown(&name, "ticket"));
    }
    let source = Links { pace: Pace::new(&call), last: None };
    board::show(call, source, "GET /api/v1/events?match=agent_collaboration").await
}

fn unknown(name: &str, known: &str) -> ApiError {
    ApiError::parameter(name, format!("is not a parameter here: there are {known}"))
}

impl Pace {
    fn new(call: &Call) -> Self {
        Self { watching: call.state.streams.mesh.watch(), shown: None, changed: false }
    }

    /// Waits until it is time to show it. May be dropped at any time and called again.
    async fn due(&mut self) {
        let Some(shown) = self.shown else {
            // The past is being read; without it the first message would be wrong. The mesh outlives who watches it.
            let _ = self.watching.version.wait_for(|it| *it > 0).await;
            return;
        };
        while !self.changed {
            tokio::select! {
                moved = self.watching.version.changed() => match moved {
                    Ok(()) => self.changed = true,
                    Err(_) => return sleep_until(shown + EVERY).await,
                },
                () = sleep_until(shown + EVERY) => return,
            }
        }
        sleep_until(shown + APART).await;
    }

    fn shown(&mut self) {
        self.watching.version.mark_unchanged();
        (self.shown, self.changed) = (Some(Instant::now()), false);
    }
}

impl Source for Metrics {
    async fn next(&mut self) -> Option<Utf8Bytes> {
        loop {
            // The first message is the overview.
            let begun = self.pace.shown.is_some();
            tokio::select! {
                it = self.measures.recv(), if begun => match it {
                    Ok(it) if self.wants(&it) => return text("agent_metric", &*it),
                    // Who is slow misses some: the overview has what they add up to.
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
                () = self.pace.due() => {
                    self.pace.shown();
                    return text("system_overview", &overview(self.pace.watching.mesh()));
                }
            }
        }
    }

    fn sequence(&self) -> Option<u64> {
        None
    }
}

impl Metrics {
    fn wants(&self, it: &Measure) -> bool {
        self.agents.is_empty() || self.agents.contains(&it.agent_id)
    }
}

impl Source for Links {
    async fn next(&mut self) -> Option<Utf8Bytes> {
        loop {
            self.pace.due().await;
            self.pace.shown();
            let mesh = self.pace.watching.mesh();
            let timestamp = mesh.pipeline().now();
            let topology = mesh.agents().topology(timestamp);
            if self.last.as_ref() == Some(&topology) {
                continue;
            }
            let Topology { nodes, edges, clusters, metrics } = &topology;
            let message = Dated { nodes, edges, clusters, metrics: *metrics, timestamp };
            let message = text("network_topology", &message);
            self.last = Some(topology);
            return message;
        }
    }

    fn sequence(&self) -> Option<u64> {
        None
    }
}

#[expect(clippy::cast_precision_loss, reason = "gigabytes, for people")]
fn overview(mesh: &Mesh) -> Overview {
    let timestamp = mesh.pipeline().now();
    let totals = mesh.agents().totals(timestamp);
    let load = mesh.host().look();
    Overview {
        total_agents: totals.agents,
        active_agents: totals.active,
        failed_agents: totals.failed,
        total_requests: totals.requests,
        success_rate: totals.success_rate,
        average_response_time: totals.response_seconds,
        cpu_usage: load.cpu_percent,
        memory_usage: load.memory_bytes as f64 / 1e9,
        disk_usage: mesh.pipeline().store().disk_percent(),
        uptime: uptime(mesh.pipeline().health().uptime_seconds),
        timestamp,
    }
}

/// `2d 14h 32m`.
fn uptime(seconds: u64) -> String {
    let minutes = seconds / 60;
    format!("{}d {}h {}m", minutes / 1440, minutes / 60 % 24, minutes % 60)
}

fn text(r#type: &'static str, data: &impl Serialize) -> Option<Utf8Bytes> {
    serde_json::to_string(&Message { r#type, data }).ok().map(Utf8Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_it_is_up() {
        assert_eq!(uptime(59), "0d 0h 0m");
        assert_eq!(uptime(2 * 86_400 + 14 * 3600 + 32 * 60 + 5), "2d 14h 32m");
    }
}
