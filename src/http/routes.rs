//! The table of all routes.

mod monitoring;

use super::endpoint::Call;
use super::error::ApiError;
use super::gate::Access;
use super::{
    admin, events, export, health, home, logs, maintenance, metrics, openapi, openmetrics, push,
    replay, rules, sd, services, session, status, stream, summary, tokens, ui,
};
use crate::tokens::Role;
use axum::body::Body;
use axum::http::{Method, Response};
use futures_util::future::BoxFuture;

pub(super) type Handler = fn(Call) -> BoxFuture<'static, Result<Response<Body>, ApiError>>;

/// One thing that can be done, and the paths it is done at.
pub(super) struct Route {
    pub(super) methods: &'static [Method],
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) handler: Handler,
    /// Other spellings that existing clients use.
    aliases: &'static [(&'static str, Rendering)],
    /// One sentence for the description of the API.
    pub(super) summary: &'static str,
}

/// How the same answer is shown to the clients of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rendering {
    /// As documented for the canonical path.
    Canonical,
    /// The newest events oldest first, with a total; of a stream, bare events after the newest ones.
    History,
    /// Health as one word, with the names that event bridges read.
    Healthy,
    /// Health as `{"status":"ok"}`.
    Ok,
    /// Logs with their total and the question.
    Wrapped,
    /// Status as health word, version and uptime.
    Brief,
    /// What was done as a word and a sentence.
    Success,
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const DELETE: &[Method] = &[Method::DELETE];
const GET_OR_POST: &[Method] = &[Method::GET, Method::POST];
const PUT: &[Method] = &[Method::PUT];
const POST_OR_PUT: &[Method] = &[Method::POST, Method::PUT];

/// The routes but those of alerts and notifications, which are in a table of their own.
const ROUTES: &[Route] = &[
    Route {
        methods: POST,
        path: "/api/v1/events",
        access: Access::Role(Role::Ingest),
        handler: |it| Box::pin(events::send(it)),
        aliases: &[("/api/events", Rendering::Canonical)],
        summary: "Send an event or a batch: JSON, NDJSON or CloudEvents",
    },
    Route {
        methods: POST,
        path: "/api/v1/events/batch",
        access: Access::Role(Role::Ingest),
        handler: |it| Box::pin(events::send_batch(it)),
        aliases: &[("/api/events/batch", Rendering::Canonical)],
        summary: "Send a batch of events",
    },
    Route {
        methods: GET,
        path: "/api/v1/events",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(events::list(it)),
        aliases: &[("/api/events", Rendering::History)],
        summary: "List events",
    },
    Route {
        methods: GET,
        path: "/api/v1/events/summary",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(summary::summary(it)),
        aliases: &[("/api/events/summary", Rendering::Canonical)],
        summary: "Count events, and sum a number up, by group and interval",
    },
    Route {
        methods: GET,
        path: "/api/v1/events/export",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(export::export(it)),
        aliases: &[("/api/events/export", Rendering::Canonical)],
        summary: "Export events as NDJSON, JSON or CSV",
    },
    Route {
        methods: GET,
        path: "/api/v1/events/{id}",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(events::get(it)),
        aliases: &[("/api/events/{id}", Rendering::Canonical)],
        summary: "Get one event",
    },
    Route {
        methods: GET,
        path: "/api/v1/stream",
        access: Access::Stream,
        handler: |it| Box::pin(stream::stream(it)),
        aliases: &[],
        summary: "Read events as they come, as server-sent events",
    },
    Route {
        methods: GET,
        path: "/api/v1/ws",
        access: Access::Stream,
        handler: |it| Box::pin(stream::socket(it)),
        aliases: &[("/ws", Rendering::History)],
        summary: "Read events as they come, as a WebSocket",
    },
    Route {
        methods: POST,
        path: "/api/v1/stream/ticket",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(stream::ticket(it)),
        aliases: &[],
        summary: "Get a ticket that lets one stream in",
    },
    Route {
        methods: POST,
        path: "/api/v1/session",
        access: Access::Public,
        handler: |it| Box::pin(session::begin(it)),
        aliases: &[],
        summary: "Log in with a token: its session is kept in a cookie",
    },
    Route {
        methods: GET,
        path: "/api/v1/session",
        access: Access::Public,
        handler: |it| Box::pin(session::show(it)),
        aliases: &[],
        summary: "Say who is logged in",
    },
    Route {
        methods: DELETE,
        path: "/api/v1/session",
        access: Access::Public,
        handler: |it| Box::pin(session::end(it)),
        aliases: &[],
        summary: "Log out",
    },
    Route {
        methods: POST,
        path: "/api/v1/logs",
        access: Access::Role(Role::Ingest),
        handler: |it| Box::pin(logs::create(it)),
        aliases: &[("/logs", Rendering::Canonical)],
        summary: "Send a log: the answer of a service to one request",
    },
    Route {
        methods: GET,
        path: "/api/v1/logs",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(logs::list(it)),
        aliases: &[
            ("/logs", Rendering::Canonical),
            ("/api/v1/monitoring/logs", Rendering::Wrapped),
        ],
        summary: "List logs, newest first",
    },
    Route {
        methods: GET,
        path: "/api/v1/logs/summary",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(logs::summary(it)),
        aliases: &[("/logs/summary", Rendering::Canonical)],
        summary: "Count logs by status code and event type",
    },
    Route {
        methods: GET,
        path: "/api/v1/logs/live",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(logs::live(it)),
        aliases: &[("/logs/live-feed", Rendering::Canonical)],
        summary: "List the newest logs",
    },
    Route {
        methods: GET,
        path: "/api/v1/services",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(services::list(it)),
        aliases: &[],
        summary: "List the services that write logs, and who owns them",
    },
    Route {
        methods: PUT,
        path: "/api/v1/services/{name}",
        access: Access::Role(Role::Control),
        handler: |it| Box::pin(services::put(it)),
        aliases: &[],
        summary: "Say who owns a service",
    },
    Route {
        methods: GET,
        path: "/metrics",
        access: Access::Scrape,
        handler: |it| Box::pin(metrics::scrape(it)),
        aliases: &[
            ("/api/v1/metrics/prometheus", Rendering::Canonical),
            ("/api/v1/monitoring/prometheus", Rendering::Canonical),
        ],
        summary: "Scrape the metrics",
    },
    Route {
        methods: POST_OR_PUT,
        path: "/metrics/job/{grouping}",
        access: Access::Role(Role::Ingest),
        handler: |it| Box::pin(push::push(it)),
        aliases: &[("/metrics/job@base64/{grouping}", Rendering::Canonical)],
        summary: "Push metrics to a group, as to a Pushgateway: PUT replaces the group, POST the families of the same names",
    },
    Route {
        methods: DELETE,
        path: "/metrics/job/{grouping}",
        access: Access::Role(Role::Ingest),
        handler: |it| Box::pin(push::delete(it)),
        aliases: &[("/metrics/job@base64/{grouping}", Rendering::Canonical)],
        summary: "Remove a group of pushed metrics",
    },
    Route {
        methods: GET,
        path: "/api/v1/metrics",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(push::list(it)),
        aliases: &[],
        summary: "List the groups of pushed metrics, as the Pushgateway does",
    },
    Route {
        methods: GET,
        path: "/api/v1/push/groups",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(push::groups(it)),
        aliases: &[],
        summary: "List groups of pushed metrics by their labels: times, age, series, bytes",
    },
    Route {
        methods: DELETE,
        path: "/api/v1/push/groups",
        access: Access::Role(Role::Ingest),
        handler: |it| Box::pin(push::delete_groups(it)),
        aliases: &[],
        summary: "Remove the groups of pushed metrics whose labels match",
    },
    Route {
        methods: PUT,
        path: "/api/v1/admin/wipe",
        access: Access::Role(Role::Admin),
        handler: |it| Box::pin(push::wipe(it)),
        aliases: &[],
        summary: "Remove all groups of pushed metrics, if web.enable_admin_api is on",
    },
    Route {
        methods: POST_OR_PUT,
        path: "/-/quit",
        access: Access::Role(Role::Control),
        handler: |it| Box::pin(push::quit(it)),
        aliases: &[],
        summary: "Stop the server, if web.enable_lifecycle is on",
    },
    Route {
        methods: GET,
        path: "/api/v1/rules",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(rules::list(it)),
        aliases: &[],
        summary: "List the metrics and spans that the rules define",
    },
    Route {
        methods: POST,
        path: "/api/v1/rules/explain",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(rules::explain(it)),
        aliases: &[],
        summary: "Say why each rule matches an event or not, and what would change",
    },
    Route {
        methods: POST,
        path: "/api/v1/rules/replay",
        access: Access::Role(Role::Control),
        handler: |it| Box::pin(replay::replay(it)),
        aliases: &[],
        summary: "Count the past by the rules in force",
    },
    Route {
        methods: GET,
        path: "/api/v1/sd/agents",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(sd::agents(it)),
        aliases: &[],
        summary: "List the agents that can be scraped, for Prometheus' HTTP service discovery",
    },
    Route {
        methods: GET_OR_POST,
        path: "/api/v1/export/openmetrics",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(openmetrics::export(it)),
        aliases: &[],
        summary: "Export the past as it would have been scraped, as OpenMetrics with timestamps",
    },
    Route {
        methods: GET,
        path: "/health",
        access: Access::Public,
        handler: |it| Box::pin(health::health(it)),
        aliases: &[
            ("/api/health", Rendering::Healthy),
            ("/api/v1/monitoring/health", Rendering::Healthy),
            ("/server/health", Rendering::Ok),
        ],
        summary: "Say how the parts are",
    },
    Route {
        methods: GET,
        path: "/-/healthy",
        access: Access::Public,
        handler: |it| Box::pin(health::healthy(it)),
        aliases: &[],
        summary: "Say in plain text whether the store can be written",
    },
    Route {
        methods: GET,
        path: "/-/ready",
        access: Access::Public,
        handler: |it| Box::pin(health::ready(it)),
        aliases: &[],
        summary: "Say in plain text whether events are accepted",
    },
    Route {
        methods: POST_OR_PUT,
        path: "/-/reload",
        access: Access::Role(Role::Control),
        handler: |it| Box::pin(admin::reload(it)),
        aliases: &[],
        summary: "Load the metric rules again",
    },
    Route {
        methods: GET,
        path: "/api/v1/status",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(status::status(it)),
        aliases: &[("/api/status", Rendering::Brief)],
        summary: "Say what is running, since when and with which settings",
    },
    Route {
        methods: POST,
        path: "/api/v1/maintenance/prune",
        access: Access::Role(Role::Control),
        handler: |it| Box::pin(maintenance::prune(it)),
        aliases: &[("/control/prune", Rendering::Success)],
        summary: "Forget events that are too old",
    },
    Route {
        methods: POST,
        path: "/api/v1/maintenance/backup",
        access: Access::Role(Role::Admin),
        handler: |it| Box::pin(maintenance::backup(it)),
        aliases: &[],
        summary: "Get a backup of everything, as one file",
    },
    Route {
        methods: GET,
        path: "/api/v1/tokens",
        access: Access::Role(Role::Admin),
        handler: |it| Box::pin(tokens::list(it)),
        aliases: &[],
        summary: "List the tokens, without their secrets",
    },
    Route {
        methods: POST,
        path: "/api/v1/tokens",
        access: Access::Role(Role::Admin),
        handler: |it| Box::pin(tokens::create(it)),
        aliases: &[],
        summary: "Create a token; its secret is shown once",
    },
    Route {
        methods: DELETE,
        path: "/api/v1/tokens/{id}",
        access: Access::Role(Role::Admin),
        handler: |it| Box::pin(tokens::revoke(it)),
        aliases: &[],
        summary: "Revoke the token of an id or name",
    },
    Route {
        methods: GET,
        path: "/openapi.json",
        access: Access::Public,
        handler: |it| Box::pin(openapi::get(it)),
        aliases: &[],
        summary: "Get the description of this API",
    },
    Route {
        methods: GET,
        path: "/",
        access: Access::Public,
        handler: |it| Box::pin(home::get(it)),
        // Where the Pushgateway has its page.
        aliases: &[("/status", Rendering::Canonical)],
        summary: "Get the home page",
    },
    Route {
        methods: GET,
        path: "/assets/{name}",
        access: Access::Public,
        handler: |it| Box::pin(ui::asset(it)),
        aliases: &[],
        summary: "Get a part of the home page",
    },
];

/// All routes. Docs, description and tests follow these tables.
pub(super) fn routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().chain(monitoring::ROUTES)
}

impl Route {
    /// All paths, the canonical one first, with what they render.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&'static str, Rendering)> {
        let canonical = (self.path, Rendering::Canonical);
        std::iter::once(canonical).chain(self.aliases.iter().copied())
    }
}

/// A line of the route table, for tests and documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// The method.
    pub method: &'static str,
    /// The path that is asked for, with `{name}` for parameters.
    pub path: &'static str,
    /// The path that it is another spelling of; the same for a canonical path.
    pub canonical: &'static str,
    /// The role that it needs by default; `None` if it needs no token.
    pub role: Option<Role>,
    /// What it does.
    pub summary: &'static str,
}

/// All methods and paths, aliases included.
pub fn route_infos() -> impl Iterator<Item = RouteInfo> {
    routes().flat_map(|route| {
        let role = match route.access {
            Access::Role(it) => Some(it),
            Access::Stream => Some(Role::Read),
            Access::Public | Access::Scrape => None,
        };
        let (canonical, summary) = (route.path, route.summary);
        route.methods.iter().flat_map(move |method| {
            let method = method.as_str();
            route.paths().map(move |(path, _)| RouteInfo { method, path, canonical, role, summary })
        })
    })
}
