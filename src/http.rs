//! The HTTP surface: one file per resource.
//!
//! `routes` has the one table of what there is: method, path, who may, handler. Every request goes
//! through `Endpoint::call`, which lets it in, bounds it, counts it and logs it; the handler then
//! extracts, calls one handle and answers. Handlers never call each other.

mod admin;
mod alert_rules;
mod alertmanager;
mod alerts;
mod body;
mod channels;
mod encoding;
mod endpoint;
mod error;
mod events;
mod export;
mod gate;
mod health;
mod home;
mod instruments;
mod logs;
mod maintenance;
mod metrics;
mod notifications;
mod openapi;
mod openmetrics;
mod params;
mod push;
mod query;
mod replay;
mod reply;
mod routes;
mod rules;
mod sd;
mod serve;
mod services;
mod session;
mod status;
mod stream;
mod summary;
mod tokens;
mod ui;

pub use endpoint::Surface;
pub use instruments::Metrics;
pub use routes::{RouteInfo, route_infos};
pub use serve::Server;
pub use stream::Config as StreamConfig;

use crate::alerting::Alerting;
use crate::notify::Outbox;
use crate::pipeline::Pipeline;
use crate::services::Services;
use crate::sources;
use crate::tokens::Tokens;
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The bounds of the HTTP surface.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes of one request body, as sent and after decompression. More is 413. Default 10 MiB.
    pub body_bytes: usize,
    /// Bytes of all request bodies that are held at once, decompressed ones included. When they are
    /// used up, requests are answered 503. Default 256 MiB.
    pub bodies_bytes: usize,
    /// Requests that are worked on at once, health checks and scrapes not counted. More are answered
    /// 503 with `Retry-After`. Default 512.
    pub concurrent_requests: usize,
    /// Exports of events at once. More are answered 503 with `Retry-After`. Default 8.
    pub concurrent_exports: usize,
    /// Connections that are open at once; more wait to be accepted. Default 4096.
    pub max_connections: usize,
    /// How long a new connection may be silent, and how long a request's head may take from its first
    /// byte. Then the connection is closed. Default 10 s.
    pub header_timeout: Duration,
    /// How long a connection may rest between two requests. Default 75 s, more than most clients keep
    /// one, so that it is they who close.
    pub idle_timeout: Duration,
    /// How long a request's body may take in all. More is 408. Default 30 s.
    pub body_timeout: Duration,
    /// How long a client may leave an answer unread before its connection is closed. Default 30 s.
    pub write_timeout: Duration,
    /// What one event and one batch may measure.
    pub events: sources::Limits,
    /// Whether `/metrics` needs a token with the role `read`. Default no.
    pub metrics_auth: bool,
    /// How long a browser is let in after it has shown a token. Default 12 h.
    pub session: Duration,
    /// Pages of other sites that may open web sockets and use the session of a browser, as `https://HOST[:PORT]`.
    /// Default none.
    pub allowed_origins: Vec<String>,
    /// How streams behave.
    pub streams: StreamConfig,
    /// What is of the Pushgateway.
    pub push: Push,
    /// The settings that `/api/v1/status` shows, by name. Never secrets. Default none.
    pub flags: BTreeMap<String, String>,
}

/// How the paths of the Pushgateway behave. The defaults are its own.
#[derive(Clone, Debug)]
pub struct Push {
    /// How the paths of pushes are read, and whether text bodies may have names of any UTF-8.
    pub paths: crate::push::Options,
    /// What a body may hold.
    pub limits: crate::push::Limits,
    /// Whether pushes are answered 202, as the Pushgateway does when it does not check them. Default no.
    pub unchecked: bool,
    /// Whose clients push. Default the Pushgateway's.
    pub compat: Compat,
    /// Whether text bodies may have the line ends of Windows, and none at the end. Default no.
    pub lenient: bool,
    /// Where scrapes go. Default `/metrics`.
    pub telemetry_path: String,
    /// What stands before every path. Default nothing.
    pub route_prefix: String,
    /// Whether all groups can be removed at once. Default no.
    pub admin_api: bool,
    /// Whether the server can be stopped over HTTP. Default no.
    pub lifecycle: bool,
}

/// A gateway whose clients push here, and find what they know. What a push, or a rule about its job, says of itself is
/// stronger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// The Pushgateway: a push replaces.
    #[default]
    Pushgateway,
    /// The gravel gateway: `POST` adds up, as labels `clearmode` say.
    Gravel,
    /// prom-aggregation-gateway: everything adds up, and is answered 202.
    PromAggregationGateway,
}

/// What the surface is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where events go, and whom to ask.
    pub pipeline: Pipeline,
    /// Alert rules, and what they found.
    pub alerting: Alerting,
    /// Who may do what.
    pub tokens: Tokens,
    /// Who writes logs.
    pub services: Services,
    /// Who is told of alerts, and what waits for them.
    pub outbox: Outbox,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// The bounds.
    pub config: Config,
    /// Cancelled when the server begins to stop: `/-/ready` then says 503.
    pub stopping: CancellationToken,
    /// Cancelled here when a client may and does ask the server to stop.
    pub quit: CancellationToken,
    /// What a drain waits for.
    pub tasks: TaskTracker,
}

/// What handlers share.
struct State {
    pipeline: Pipeline,
    alerting: Alerting,
    services: Services,
    outbox: Outbox,
    gate: gate::Gate,
    config: Config,
    bodies: Arc<body::Budget>,
    streams: stream::Streams,
    /// Who announced where it can be scraped.
    agents: sd::Agents,
    /// The places of exports.
    exports: Arc<tokio::sync::Semaphore>,
    /// The turns of summaries that read events.
    summaries: tokio::sync::Semaphore,
    stopping: CancellationToken,
    quit: CancellationToken,
    instruments: push::Instruments,
    openapi: Bytes,
}

/// All routes and their aliases.
pub fn surface(parts: Parts) -> Surface {
    let Parts {
        pipeline,
        alerting,
        tokens,
        services,
        outbox,
        metrics,
        config,
        stopping,
        quit,
        tasks,
    } = parts;
    let ends = (stopping.clone(), tasks);
    let state = State {
        streams: stream::Streams::new(&pipeline, &config.streams, metrics.streams(), ends),
        pipeline,
        alerting,
        services,
        outbox,
        gate: gate::Gate::new(tokens, metrics.clone(), &config),
        agents: sd::Agents::new(),
        bodies: Arc::new(body::Budget::new(config.bodies_bytes)),
        exports: Arc::new(tokio::sync::Semaphore::new(config.concurrent_exports)),
        config,
        summaries: tokio::sync::Semaphore::new(summary::AT_ONCE),
        stopping,
        quit,
        instruments: metrics.pushes(),
        openapi: openapi::document(),
    };
    endpoint::surface(&Arc::new(state), &metrics)
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            body_bytes: 10 << 20,
            bodies_bytes: 256 << 20,
            concurrent_requests: 512,
            concurrent_exports: 8,
            max_connections: 4096,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            events: sources::Limits::default(),
            metrics_auth: false,
            session: Duration::from_hours(12),
            allowed_origins: Vec::new(),
            streams: StreamConfig::default(),
            push: Push::default(),
            flags: BTreeMap::new(),
        }
    }
}

impl Default for Push {
    fn default() -> Self {
        Self {
            paths: crate::push::Options::default(),
            limits: crate::push::Limits::default(),
            unchecked: false,
            compat: Compat::default(),
            lenient: false,
            telemetry_path: "/metrics".to_owned(),
            route_prefix: String::new(),
            admin_api: false,
            lifecycle: false,
        }
    }
}

#[cfg(test)]
mod tests;
