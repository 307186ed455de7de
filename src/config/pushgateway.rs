//! The settings of the Pushgateway, under its names.

use super::jobs::{Count, JobList};
use super::node::Node;
use super::retention::{Age, Bound};
use super::settings::Settings;
use super::stream::Origins;
use super::units;
use super::value::{Context, Fault, Value};
use crate::groups;
use crate::groups::JobLimits;
use crate::http;
use crate::push;
use std::time::Duration;

/// How pushes are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Whether pushes are not compared with what is there, and answered 202. What is inconsistent is left
    /// out of the page.
    pub disable_consistency_check: bool,
    /// Whether paths and text bodies may have names of any UTF-8. Protobuf always may.
    pub enable_utf8_names: bool,
    /// Whether text bodies may have the line ends of Windows, and none at the end.
    pub lenient: bool,
    /// What holds for the jobs of patterns.
    pub jobs: JobList,
    /// Groups that a job may have.
    pub max_groups_per_job: Count,
    /// Series that a job may have.
    pub max_series_per_job: Count,
    /// Bytes of the body of one push.
    pub max_body_bytes: Bound,
    /// How long a group lives after its last push.
    pub ttl: Age,
    /// How long its times outlive it.
    pub keep_times: KeepTimes,
    /// Whose clients push.
    pub compat: http::Compat,
    /// How long an `Idempotency-Key` is remembered.
    pub idempotency_window: Duration,
    /// How many of them, of all groups.
    pub idempotency_keys: usize,
    /// And of one group.
    pub idempotency_keys_per_group: usize,
}

/// How long the times of a group outlive its metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepTimes(pub groups::Keep);

/// Where the paths are, and which of them work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Web {
    /// Where scrapes go.
    pub telemetry_path: TelemetryPath,
    /// What stands before every path.
    pub route_prefix: Prefix,
    /// Whether `PUT /api/v1/admin/wipe` works.
    pub enable_admin_api: bool,
    /// Whether `PUT /-/quit` works.
    pub enable_lifecycle: bool,
    /// Pages of other sites that may do what ours may.
    pub allowed_origins: Origins,
}

/// The path of scrapes; begins with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryPath(pub String);

/// What stands before every path: nothing, or it begins with a slash and does not end with one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(pub String);

impl Default for Push {
    fn default() -> Self {
        let groups::RetryConfig { window, keys, keys_per_group } = groups::RetryConfig::default();
        Self {
            disable_consistency_check: false,
            enable_utf8_names: false,
            lenient: false,
            jobs: JobList::default(),
            max_groups_per_job: Count::default(),
            max_series_per_job: Count::default(),
            max_body_bytes: Bound(None),
            ttl: Age(None),
            keep_times: KeepTimes::default(),
            compat: http::Compat::default(),
            idempotency_window: window,
            idempotency_keys: keys,
            idempotency_keys_per_group: keys_per_group,
        }
    }
}

impl Default for TelemetryPath {
    fn default() -> Self {
        Self("/metrics".to_owned())
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|it| it.is_ascii_graphic() && !b"?#%\"".contains(&it))
}

impl Value for TelemetryPath {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("a path such as /metrics", |it| {
            (is_path(it) && it.len() > 1).then(|| Self(it.to_owned()))
        })
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

impl Value for KeepTimes {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("a number of TTLs such as 10x, or a duration such as 7d", |it| {
            let lives = it.strip_suffix('x').map(|it| it.parse().ok().map(groups::Keep::Lives));
            lives.unwrap_or_else(|| units::duration(it).map(groups::Keep::For)).map(Self)
        })
    }

    fn show(&self) -> String {
        match self.0 {
            groups::Keep::Lives(it) => format!("{it}x"),
            groups::Keep::For(it) => units::show_duration(it),
        }
    }
}

const COMPATS: [(&str, http::Compat); 3] = [
    ("pushgateway", http::Compat::Pushgateway),
    ("gravel", http::Compat::Gravel),
    ("prom-aggregation-gateway", http::Compat::PromAggregationGateway),
];

impl Value for http::Compat {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("pushgateway, gravel or prom-aggregation-gateway", |it| {
            COMPATS.iter().find(|(name, _)| *name == it).map(|it| it.1)
        })
    }

    fn show(&self) -> String {
        COMPATS.iter().find(|it| it.1 == *self).map_or("", |it| it.0).to_owned()
    }
}

impl Value for Prefix {
    fn read(node: &Node, _: &Context<'_>) -> Result<Self, Vec<Fault>> {
        node.parse_as("a path such as /push", |it| {
            let slashed = format!("/{}", it.trim_matches('/'));
            let path = slashed.trim_end_matches('/');
            (path.is_empty() || is_path(path)).then(|| Self(path.to_owned()))
        })
    }

    fn show(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

/// The settings under the names of the Pushgateway's flags, for those who ask a Pushgateway.
pub(super) fn flags(settings: &Settings) -> [(String, String); 14] {
    let Settings { push, web, .. } = settings;
    let listen: Vec<_> = settings.listen.iter().map(ToString::to_string).collect();
    let format = settings.log.format.show();
    let format = if format == "json" { "json" } else { "logfmt" };
    [
        ("log.format", format.to_owned()),
        ("log.level", settings.log.level.clone()),
        ("persistence.file", settings.data_dir.display().to_string()),
        ("persistence.interval", "0s".to_owned()),
        ("push.disable-consistency-check", push.disable_consistency_check.to_string()),
        ("push.enable-utf8-names", push.enable_utf8_names.to_string()),
        ("web.config.file", String::new()),
        ("web.enable-admin-api", web.enable_admin_api.to_string()),
        ("web.enable-lifecycle", web.enable_lifecycle.to_string()),
        ("web.external-url", String::new()),
        ("web.listen-address", listen.join(",")),
        ("web.route-prefix", web.route_prefix.0.clone()),
        ("web.systemd-socket", false.to_string()),
        ("web.telemetry-path", web.telemetry_path.0.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

/// What of this concerns the groups.
pub(super) fn groups(push: &Push) -> groups::Config {
    let limits = JobLimits {
        groups: Some(push.max_groups_per_job.get()),
        series: Some(push.max_series_per_job.get()),
        body_bytes: Some(push.max_body_bytes.get()),
    };
    groups::Config {
        check: !push.disable_consistency_check,
        jobs: push.jobs.jobs(limits, push.ttl.0),
        keep_times: push.keep_times.0,
        retries: groups::RetryConfig {
            window: push.idempotency_window,
            keys: push.idempotency_keys,
            keys_per_group: push.idempotency_keys_per_group,
        },
    }
}

/// What of this concerns the HTTP surface.
pub(super) fn http(push: &Push, web: &Web) -> http::Push {
    http::Push {
        paths: push::Options { utf8: push.enable_utf8_names },
        unchecked: push.disable_consistency_check,
        compat: push.compat,
        lenient: push.lenient,
        telemetry_path: web.telemetry_path.0.clone(),
        route_prefix: web.route_prefix.0.clone(),
        admin_api: web.enable_admin_api,
        lifecycle: web.enable_lifecycle,
        ..http::Push::default()
    }
}
