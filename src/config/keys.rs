//! The one table of settings: key, flag, meaning, how it is read and how it is shown. The name of the
//! environment variable follows from the key, and the default from [`Settings::default`].

use super::node::Node;
use super::settings::Settings;
use super::value::{Context, Fault, Value};
use std::borrow::Cow;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in the file, sections joined by dots, such as `limits.body_bytes`.
    pub name: &'static str,
    /// The flag of `observatory serve`, if a person would type it.
    pub flag: Option<&'static str>,
    /// What it means, in one sentence.
    pub doc: &'static str,
    pub(super) set: fn(&mut Settings, &Node, &Context<'_>) -> Result<(), Vec<Fault>>,
    pub(super) show: fn(&Settings) -> String,
}

macro_rules! key {
    ($section:ident.$field:ident, $flag:expr, $doc:literal) => {
        key!(concat!(stringify!($section), ".", stringify!($field)), [$section.$field], $flag, $doc)
    };
    ($field:ident, $flag:expr, $doc:literal) => {
        key!(stringify!($field), [$field], $flag, $doc)
    };
    ($name:expr, [$($path:ident).+], $flag:expr, $doc:literal) => {
        Key {
            name: $name,
            flag: $flag,
            doc: $doc,
            set: |settings, node, context| {
                settings.$($path).+ = Value::read(node, context)?;
                Ok(())
            },
            show: |settings| settings.$($path).+.show(),
        }
    };
}

/// Every setting, in the order of the reference file.
pub const KEYS: &[Key] = &[
    key!(
        listen,
        Some("--listen"),
        "Addresses to listen on, as `HOST:PORT`; `:PORT` is every address of this machine."
    ),
    key!(
        data_dir,
        Some("--data-dir"),
        "The directory that holds everything; created if it is absent."
    ),
    key!(
        durability,
        Some("--durability"),
        "`sync`: an event is acknowledged when it is on disk. `relaxed`: when it is taken; a crash may lose the last ones."
    ),
    key!(
        relaxed_flush_interval,
        None,
        "How often data is flushed to disk under `durability: relaxed`."
    ),
    key!(
        log.format,
        Some("--log-format"),
        "`text`, `json`, or `auto`: text, coloured on a terminal."
    ),
    key!(
        log.level,
        Some("--log-level"),
        "`error`, `warn`, `info`, `debug` or `trace`, or a filter such as `info,observatory::http=debug`."
    ),
    key!(rules.file, Some("--rules"), "The rule file; without one the built-in rules count."),
    key!(rules.watch, None, "Whether the rule file is loaded again when it changes."),
    key!(rules.watch_interval, None, "How often the rule file is looked at."),
    Key {
        name: "auth.tokens",
        flag: None,
        doc: "Tokens: `name`, `roles` (`ingest`, `read`, `control`, `admin`), and `token` or `token_file`. Those of the environment come on top.",
        set: |settings, node, context| {
            let tokens: Vec<super::settings::Token> = Value::read(node, context)?;
            settings.auth.tokens.extend(tokens);
            Ok(())
        },
        show: |settings| settings.auth.tokens.show(),
    },
    key!(auth.disabled, Some("--no-auth"), "Whether everyone who can connect may do everything."),
    key!(
        auth.metrics,
        Some("--metrics-auth"),
        "Whether a scrape of `/metrics` needs a token with the role `read`."
    ),
    key!(
        auth.session,
        None,
        "How long a browser that logged in with a token is let in without showing it again."
    ),
    key!(
        limits.body_bytes,
        None,
        "Bytes of a request body, after decompression; more is answered 413."
    ),
    key!(
        limits.bodies_bytes,
        None,
        "Bytes of all request bodies that are held at once; beyond it requests are answered 503."
    ),
    key!(limits.event_bytes, None, "Bytes of one event."),
    key!(limits.name_bytes, None, "Bytes of an event's type, and of its source."),
    key!(limits.depth, None, "How deep arrays and objects of an event may nest."),
    key!(limits.elements, None, "Members and elements in one event, nested ones included."),
    key!(limits.label_bytes, None, "Bytes of a label value; longer ones are cut."),
    key!(limits.batch_events, None, "Events in one request."),
    key!(limits.connections, None, "Open connections; further ones wait to be accepted."),
    key!(limits.concurrent_requests, None, "Requests in work at once; more are answered 503."),
    key!(
        limits.concurrent_exports,
        None,
        "Exports of events at once; more are answered 503 with `Retry-After`."
    ),
    key!(limits.header_timeout, None, "How long a client may take to send the head of a request."),
    key!(
        limits.body_timeout,
        None,
        "How long a client may take to send the body of a request; longer is answered 408."
    ),
    key!(limits.idle_timeout, None, "How long a connection may rest between two requests."),
    key!(
        limits.write_timeout,
        None,
        "How long a client may leave an answer unread before its connection is closed."
    ),
    key!(limits.queue_requests, None, "Requests that wait for the writer; more are answered 503."),
    key!(
        limits.queue_bytes,
        None,
        "Bytes of the requests that wait for the writer; more are answered 503."
    ),
    key!(dedup.window, None, "How long an event's id is remembered, so that a retry counts once."),
    key!(dedup.max_ids, None, "Ids that are remembered; beyond it the oldest are forgotten early."),
    key!(
        snapshot.interval,
        None,
        "How often the metrics are written to disk, so that a start replays little."
    ),
    key!(
        retention.events,
        None,
        "How long events are kept, by their own time; `0` or `off` keeps them for ever."
    ),
    key!(retention.logs, None, "The same for logs: events whose type `retention.log_types` names."),
    key!(
        retention.samples,
        None,
        "The same for samples: events whose type `retention.sample_types` names."
    ),
    key!(retention.log_types, None, "Globs over event types: what counts as a log."),
    key!(
        retention.sample_types,
        None,
        "Globs over event types: what counts as a sample, unless it is a log."
    ),
    key!(
        retention.max_bytes,
        None,
        "Bytes of stored events; beyond it the oldest go, whatever their type. `0` or `off`: no bound."
    ),
    key!(retention.interval, None, "How often the server looks for what is too old."),
    key!(store.cache_bytes, None, "Bytes of stored pages kept in memory."),
    key!(
        store.min_free_bytes,
        None,
        "Bytes of the disk that are kept free; with less, events are answered 507."
    ),
    key!(
        shutdown.grace,
        Some("--shutdown-grace"),
        "How long a stop may wait for requests in work."
    ),
    key!(metrics.created_series, None, "Whether the OpenMetrics text has `_created` series."),
    key!(metrics.cache, None, "How long a rendered scrape serves further scrapes."),
    key!(
        notify.allow_private_targets,
        None,
        "Whether notifications may go to private and loopback addresses."
    ),
    key!(notify.timeout, None, "How long one attempt to send a notification may take."),
    key!(
        notify.group_wait,
        None,
        "How long the first notification of a group waits for others, unless it is critical; at most 1h."
    ),
    key!(
        notify.group_interval,
        None,
        "The least time between two messages of a group, whose notifications meanwhile become one; at most 1h."
    ),
    key!(
        notify.resend_interval,
        None,
        "How often Alertmanagers are sent what fires; it is over there after four of them without. 1s to 10m."
    ),
    key!(
        notify.give_up_after,
        None,
        "How long a notification is tried before it is given up; it can be tried again by hand."
    ),
    key!(notify.log_retention, None, "How long it is kept what became of notifications."),
    key!(
        notify.max_pending,
        None,
        "Notifications that may wait for one channel; further ones are only noted."
    ),
    key!(notify.external_url, None, "Where people reach this server, for links in notifications."),
    key!(
        notify.smtp_host,
        None,
        "The mail server of channels that name none; with `notify.smtp_to` there is a channel `email`."
    ),
    key!(notify.smtp_port, None, "Its port: 465 is TLS from the first byte, any other STARTTLS."),
    key!(notify.smtp_user, None, "The user name there; without one, there is no AUTH."),
    key!(notify.smtp_password, None, "The password there."),
    key!(
        notify.smtp_from,
        None,
        "The sender of mail; without one, the user name if that is an address."
    ),
    key!(notify.smtp_to, None, "The recipients of the channel `email`, separated by commas."),
    key!(notify.smtp_tls, None, "Whether mail goes over TLS, or not at all."),
    key!(
        notify.webhook_url,
        None,
        "Where the channel `slack` leads if the host is hooks.slack.com, and the channel `webhook` otherwise."
    ),
    key!(
        push.disable_consistency_check,
        Some("--push.disable-consistency-check"),
        "Whether pushes are not compared with what is there; what disagrees is left out of the page, and they are answered 202."
    ),
    key!(
        push.enable_utf8_names,
        Some("--push.enable-utf8-names"),
        "Whether the paths and text bodies of pushes may have names of any UTF-8; protobuf bodies always may."
    ),
    key!(
        push.lenient,
        None,
        "Whether text bodies of pushes may have the line ends of Windows, and a last line without one."
    ),
    key!(
        push.jobs,
        None,
        "What holds for the jobs of a pattern: `match`, a glob over their names; `mode` (`replace`, `sum`), `gauges` (`last`, `sum`, `min`, `max`), `ttl`; `max_groups`, `max_series`, `max_body_bytes`. Of several entries that match a job and say something, the first counts."
    ),
    key!(
        push.max_groups_per_job,
        None,
        "Groups that a job may have; a push that would make another is answered 429. `0` or `off`: no bound."
    ),
    key!(
        push.max_series_per_job,
        None,
        "Series of all groups of a job; a push that would make more is answered 413. `0` or `off`: no bound."
    ),
    key!(
        push.max_body_bytes,
        None,
        "Bytes of the body of one push, after decompression; more is answered 413. `0` or `off`: `limits.body_bytes` alone."
    ),
    key!(
        push.ttl,
        None,
        "How long a group lives after its last push; then its metrics go. `off`: until it is removed."
    ),
    key!(
        push.keep_times,
        None,
        "How long the two times of a group outlive its metrics: a number of its TTLs such as `10x`, or a duration such as `7d`. `0`: not at all."
    ),
    key!(
        push.compat,
        None,
        "Whose clients push: `pushgateway`; `gravel`, where `POST` adds up as labels `clearmode` say; `prom-aggregation-gateway`, where everything adds up. The latter two need no job in the path."
    ),
    key!(
        push.idempotency_window,
        None,
        "How long the `Idempotency-Key` of a push is remembered, so that a retry counts once."
    ),
    key!(
        push.idempotency_keys,
        None,
        "Keys that are remembered; beyond it the oldest are forgotten early."
    ),
    key!(push.idempotency_keys_per_group, None, "The same for the keys of one group."),
    key!(web.telemetry_path, Some("--web.telemetry-path"), "Where scrapes go."),
    key!(
        web.route_prefix,
        Some("--web.route-prefix"),
        "What stands before every path, such as `/push`."
    ),
    key!(
        web.enable_admin_api,
        Some("--web.enable-admin-api"),
        "Whether `PUT /api/v1/admin/wipe` removes all pushed groups."
    ),
    key!(
        web.enable_lifecycle,
        Some("--web.enable-lifecycle"),
        "Whether `PUT /-/quit` stops the server."
    ),
    key!(
        web.allowed_origins,
        None,
        "Pages of other sites that may open WebSockets and use the session of a browser, as `https://HOST[:PORT]`."
    ),
    key!(stream.max, None, "Streams that are open at once; more are answered 503."),
    key!(
        stream.max_per_client,
        None,
        "Streams of one token or, without tokens, of one address; more are answered 429."
    ),
    key!(stream.heartbeat, None, "How often a stream says that it lives."),
    key!(
        stream.buffer_events,
        None,
        "Newest events kept in memory for all streams; who is further behind is read for from disk."
    ),
    key!(stream.buffer_bytes, None, "Bytes of them."),
    key!(
        stream.max_lag,
        None,
        "How long a stream may be behind what is kept in memory before it is closed, and how long a message may take to be sent."
    ),
    key!(alerts.shipped, None, "Whether the alert rules that come with the program are evaluated."),
    key!(
        alerts.rules,
        None,
        "Further alert rules, as `docs/alerts.md` describes them. One with the `id` of a shipped rule takes its place."
    ),
    key!(
        alerts.tests,
        None,
        "Tests of the alert rules, for `observatory rules test`, as `docs/alerts.md` describes them. A server does not look at them."
    ),
    key!(
        alerts.retention,
        None,
        "How long the history of alerts is kept; `0` or `off` keeps it for ever."
    ),
    key!(
        alerts.resolve_timeout,
        None,
        "How long an alert that a Prometheus sent fires when it is not sent again."
    ),
];

/// Variables that other tools of this kind read: a number of days, and the setting it is. The variable
/// of the setting itself is stronger.
pub const DAYS_VARIABLES: &[(&str, &str)] = &[
    ("LOGS_RETENTION_DAYS", "retention.logs"),
    ("METRICS_RETENTION_DAYS", "retention.samples"),
    ("ALERTS_RETENTION_DAYS", "alerts.retention"),
];

/// Variables that other tools read for the same as a setting. The variable of the setting itself is stronger.
pub(super) const OTHER_NAMES: &[(&str, &str)] = &[
    ("SMTP_HOST", "notify.smtp_host"),
    ("SMTP_PORT", "notify.smtp_port"),
    ("SMTP_USER", "notify.smtp_user"),
    ("SMTP_PASSWORD", "notify.smtp_password"),
    ("SMTP_FROM", "notify.smtp_from"),
    ("SMTP_TO", "notify.smtp_to"),
    ("SMTP_TLS", "notify.smtp_tls"),
    ("WEBHOOK_URL", "notify.webhook_url"),
];

/// Variables that are no setting of the server: what they are for.
pub const OTHER_VARIABLES: &[(&str, &str)] = &[
    ("OBSERVATORY_CONFIG", "The configuration file; `--config` wins."),
    ("OBSERVATORY_URL", "The server that every verb but `serve` talks to."),
    ("OBSERVATORY_SPOOL", "The directory where events of `run` wait for their server."),
    (
        "LOGS_RETENTION_DAYS",
        "Days, as other tools name `retention.logs`; `OBSERVATORY_RETENTION_LOGS` wins. `0` keeps them for ever.",
    ),
    (
        "METRICS_RETENTION_DAYS",
        "Days, as other tools name `retention.samples`; `OBSERVATORY_RETENTION_SAMPLES` wins. `0` keeps them for ever.",
    ),
    ("SMTP_HOST", "As other tools name `notify.smtp_host`; `OBSERVATORY_NOTIFY_SMTP_HOST` wins."),
    ("SMTP_PORT", "The same of `notify.smtp_port`."),
    ("SMTP_USER", "The same of `notify.smtp_user`."),
    ("SMTP_PASSWORD", "The same of `notify.smtp_password`."),
    ("SMTP_FROM", "The same of `notify.smtp_from`."),
    ("SMTP_TO", "The same of `notify.smtp_to`."),
    ("SMTP_TLS", "The same of `notify.smtp_tls`."),
    ("WEBHOOK_URL", "The same of `notify.webhook_url`."),
    (
        "ALERTS_RETENTION_DAYS",
        "Days, as other tools name `alerts.retention`; `OBSERVATORY_ALERTS_RETENTION` wins. `0` keeps it for ever.",
    ),
    (
        "PORT",
        "A further port to listen on: every address if a token is set or `auth.disabled` is, 127.0.0.1 otherwise.",
    ),
];

impl Key {
    /// The setting called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|it| it.name == name)
    }

    /// The setting that `flag` sets.
    #[must_use]
    pub fn of_flag(flag: &str) -> Option<&'static Self> {
        KEYS.iter().find(|it| it.flag == Some(flag))
    }

    /// Its environment variable: the name in capitals, except that the tokens have the short name that
    /// clients use as well.
    #[must_use]
    pub fn variable(&self) -> Cow<'static, str> {
        match self.name {
            "auth.tokens" => Cow::Borrowed("OBSERVATORY_TOKEN"),
            name => {
                Cow::Owned(format!("OBSERVATORY_{}", name.replace('.', "_").to_ascii_uppercase()))
            }
        }
    }

    /// Its value in `settings` as YAML, secrets replaced by `***`.
    #[must_use]
    pub fn show(&self, settings: &Settings) -> String {
        (self.show)(settings)
    }
}
