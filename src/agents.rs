//! Agents, as their events tell of them: who is there, how they do, and who works with whom.
//!
//! A fold over events of the types `agent_…`, pure and bounded: the agents that were heard of longest ago give way. The
//! conventions are those of the built-in rules (`agent_id` or `agent`, `agent_request_completed`, `agent_collaboration`,
//! `agent_error` with `fatal`).

use crate::event::{Event, Fields, Time};
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Whoever has said nothing for so long is not active.
pub const SILENT: Duration = Duration::from_mins(5);
/// Agents that are known at once.
const MAX_AGENTS: usize = 1000;
/// Pairs who work together that are known at once.
const MAX_LINKS: usize = 4000;
/// Measures that one event brings.
const MAX_MEASURES: usize = 16;
/// Characters of an agent's name.
const MAX_NAME_CHARS: usize = 200;

/// Everything that is known of agents.
#[derive(Clone, Debug, Default)]
pub struct Agents {
    agents: BTreeMap<String, Agent>,
    links: BTreeMap<(String, String), u64>,
    /// Keys of both in the order in which they came first.
    order: VecDeque<String>,
    linked: VecDeque<(String, String)>,
}

/// One agent.
#[derive(Clone, Debug, Default, PartialEq)]
struct Agent {
    kind: String,
    seen: i64,
    down: bool,
    requests: u64,
    failed: u64,
    /// Seconds of requests that told how long they took, and how many did.
    took: f64,
    timed: u64,
}

/// A number that an agent's event brought.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measure {
    /// Whose.
    pub agent_id: String,
    /// The field's name; of how long a request took, `response_time_seconds`.
    pub metric_name: String,
    /// The number.
    pub value: f64,
    /// When, by the sender.
    pub timestamp: Time,
    /// `event_type` and, of a request, `status`.
    pub labels: BTreeMap<String, String>,
}

/// All agents in a few figures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// All that are known.
    pub agents: usize,
    /// Who was heard of within [`SILENT`] and is not down.
    pub active: usize,
    /// Who said that it cannot go on, and has not come back.
    pub failed: usize,
    /// Requests that ended.
    pub requests: u64,
    /// Percent of them that did not fail; 100 without any.
    pub success_rate: f64,
    /// Seconds in the mean; 0 without any.
    pub response_seconds: f64,
}

/// Who works with whom.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Topology {
    /// The agents.
    pub nodes: Vec<Node>,
    /// Who sent to whom.
    pub edges: Vec<Edge>,
    /// Agents of one type.
    pub clusters: Vec<Cluster>,
    /// All in a few figures.
    pub metrics: TopologyMetrics,
}

/// An agent of a topology.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are the wire's, and say what they are")]
pub struct Node {
    pub id: String,
    pub name: String,
    pub r#type: &'static str,
    /// `active`, `inactive` or `error`.
    pub status: &'static str,
    pub metrics: NodeMetrics,
}

/// How an agent does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are the wire's, and say what they are")]
pub struct NodeMetrics {
    pub request_count: u64,
    pub success_rate: f64,
    /// Seconds.
    pub average_response_time: f64,
}

/// That one agent works with another.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are the wire's, and say what they are")]
pub struct Edge {
    pub source: String,
    pub target: String,
    pub r#type: &'static str,
    pub metrics: EdgeMetrics,
}

/// How much two agents work together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are the wire's, and say what they are")]
pub struct EdgeMetrics {
    pub message_count: u64,
    /// Seconds; of the receiver's requests, as messages do not tell their own.
    pub avg_latency: f64,
}

/// Agents of one type.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are the wire's, and say what they are")]
pub struct Cluster {
    pub id: String,
    pub name: String,
    pub nodes: Vec<String>,
    /// `healthy`, `degraded` (some are not active) or `down` (none is).
    pub status: &'static str,
}

/// A topology in a few figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are the wire's, and say what they are")]
pub struct TopologyMetrics {
    pub total_nodes: usize,
    pub active_connections: usize,
    /// Percent of the agents that are active; 100 without any.
    pub cluster_health: f64,
}

impl Agents {
    /// Takes an event in, and says which numbers it brought; nothing if it is about no agent.
    pub fn take(&mut self, event: &Event<'_>) -> Option<Vec<Measure>> {
        if !event.event_type.starts_with("agent_") {
            return None;
        }
        let fields = Fields::parse(&event.data).ok()?;
        let text = |names: &[&str]| {
            let it = names.iter().find_map(|it| fields.get(it)?.text().filter(|it| !it.is_empty()));
            it.map(|it| it.chars().take(MAX_NAME_CHARS).collect::<String>())
        };
        let at = event.time.as_millis();
        if event.event_type == "agent_collaboration" {
            let from = text(&["from_agent", "from", "agent_id", "agent"])?;
            let to = text(&["to_agent", "to", "target_agent"])?;
            self.seen(&from, at);
            self.seen(&to, at);
            self.link(from, to);
            return Some(Vec::new());
        }
        let id = text(&["agent_id", "agent"])?;
        let number =
            |name: &str| fields.get(name)?.text()?.parse::<f64>().ok().filter(|it| it.is_finite());
        let took = number("duration_seconds").or_else(|| Some(number("duration_ms")? / 1000.0));
        let status = text(&["status"]);
        let agent = self.seen(&id, at);
        match &*event.event_type {
            "agent_registered" => {
                agent.kind = text(&["agent_type", "type"]).unwrap_or_default();
                agent.down = false;
            }
            "agent_request_completed" | "agent_request_processed" => {
                agent.requests += 1;
                let lower = status.as_deref().unwrap_or_default().to_lowercase();
                agent.failed += u64::from(lower.starts_with("fail") || lower.starts_with("error"));
                if let Some(it) = took {
                    (agent.took, agent.timed) = (agent.took + it, agent.timed + 1);
                }
            }
            "agent_error" => {
                agent.down = fields.get("fatal").and_then(|it| it.text()) == Some("true");
            }
            _ => {}
        }
        let mut labels = BTreeMap::from([("event_type".to_owned(), event.event_type.to_string())]);
        labels.extend(status.map(|it| ("status".to_owned(), it)));
        let measure = |name: &str, value| Measure {
            agent_id: id.clone(),
            metric_name: name.to_owned(),
            value,
            timestamp: event.time,
            labels: labels.clone(),
        };
        let own = fields.iter().filter_map(|(name, value)| {
            let is_number = matches!(value, crate::event::Value::Number(_));
            let known = name.ends_with("_id") || name.starts_with("duration_");
            (is_number && !known).then(|| number(name).map(|it| measure(name, it)))?
        });
        let took = took.map(|it| measure("response_time_seconds", it));
        Some(took.into_iter().chain(own).take(MAX_MEASURES).collect())
    }

    /// All of them in a few figures, at `now`.
    #[must_use]
    pub fn totals(&self, now: Time) -> Totals {
        let all = || self.agents.values();
        let sum = |of: fn(&Agent) -> u64| all().map(of).sum::<u64>();
        let (requests, failed, timed) =
            (sum(|it| it.requests), sum(|it| it.failed), sum(|it| it.timed));
        Totals {
            agents: self.agents.len(),
            active: all().filter(|it| it.status(now) == "active").count(),
            failed: all().filter(|it| it.down).count(),
            requests,
            success_rate: percent(requests - failed, requests),
            response_seconds: mean(all().map(|it| it.took).sum(), timed),
        }
    }

    /// Who works with whom, at `now`.
    #[must_use]
    pub fn topology(&self, now: Time) -> Topology {
        let node = |(id, it): (&String, &Agent)| Node {
            id: id.clone(),
            name: id.clone(),
            r#type: "agent",
            status: it.status(now),
            metrics: NodeMetrics {
                request_count: it.requests,
                success_rate: percent(it.requests - it.failed, it.requests),
                average_response_time: mean(it.took, it.timed),
            },
        };
        let edge = |((from, to), count): (&(String, String), &u64)| Edge {
            source: from.clone(),
            target: to.clone(),
            r#type: "triggers",
            metrics: EdgeMetrics {
                message_count: *count,
                avg_latency: self.agents.get(to).map_or(0.0, |it| mean(it.took, it.timed)),
            },
        };
        let nodes: Vec<_> = self.agents.iter().map(node).collect();
        // Whoever is in an edge is a node.
        let known = |it: &(&(String, String), &u64)| {
            self.agents.contains_key(&it.0.0) && self.agents.contains_key(&it.0.1)
        };
        let edges: Vec<_> = self.links.iter().filter(known).map(edge).collect();
        let active = nodes.iter().filter(|it| it.status == "active").count();
        let metrics = TopologyMetrics {
            total_nodes: nodes.len(),
            active_connections: edges.len(),
            cluster_health: percent(active as u64, nodes.len() as u64),
        };
        Topology { clusters: self.clusters(now), nodes, edges, metrics }
    }

    fn clusters(&self, now: Time) -> Vec<Cluster> {
        let mut by_kind = BTreeMap::<&str, Vec<(&String, &Agent)>>::new();
        for (id, it) in &self.agents {
            let kind = if it.kind.is_empty() { "agent" } else { &it.kind };
            by_kind.entry(kind).or_default().push((id, it));
        }
        let cluster = |(kind, of): (&str, Vec<(&String, &Agent)>)| {
            let active = of.iter().filter(|(_, it)| it.status(now) == "active").count();
            let status = match active {
                0 => "down",
                it if it < of.len() => "degraded",
                _ => "healthy",
            };
            let nodes = of.iter().map(|(id, _)| (*id).clone()).collect();
            Cluster { id: kind.to_owned(), name: kind.to_owned(), nodes, status }
        };
        by_kind.into_iter().map(cluster).collect()
    }

    fn seen(&mut self, id: &str, at: i64) -> &mut Agent {
        if !self.agents.contains_key(id) {
            self.order.push_back(id.to_owned());
            if self.order.len() > MAX_AGENTS
                && let Some(oldest) = self.order.pop_front()
            {
                self.agents.remove(&oldest);
            }
        }
        let agent = self.agents.entry(id.to_owned()).or_default();
        agent.seen = agent.seen.max(at);
        agent
    }

    fn link(&mut self, from: String, to: String) {
        let key = (from, to);
        if !self.links.contains_key(&key) {
            self.linked.push_back(key.clone());
            if self.linked.len() > MAX_LINKS
                && let Some(oldest) = self.linked.pop_front()
            {
                self.links.remove(&oldest);
            }
        }
        *self.links.entry(key).or_default() += 1;
    }
}

impl Agent {
    fn status(&self, now: Time) -> &'static str {
        let silent = i64::try_from(SILENT.as_millis()).unwrap_or(i64::MAX);
        if self.down {
            "error"
        } else if now.as_millis().saturating_sub(self.seen) < silent {
            "active"
        } else {
            "inactive"
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a part of something, for people")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 100.0 } else { 100.0 * part as f64 / whole as f64 }
}

#[expect(clippy::cast_precision_loss, reason = "a mean, for people")]
fn mean(sum: f64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}

#[cfg(test)]
mod tests;
