//! The settings as types. Every field is a key; [`Settings::default`] is where the defaults stand.

use super::keys::KEYS;
use super::pushgateway;
use super::pushgateway::{Push, Web};
use super::retention::Retention;
use super::stream::Stream;
use crate::http;
use crate::journal;
use crate::metrics;
use crate::pipeline;
use crate::telemetry;
use crate::tokens;
use crate::tokens::Roles;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// All settings of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// The directory that holds everything.
    pub data_dir: PathBuf,
    /// When an event is acknowledged.
    pub durability: Durability,
    /// How often data is flushed under [`Durability::Relaxed`].
    pub relaxed_flush_interval: Duration,
    /// Logging.
    pub log: Log,
    /// The metric rules.
    pub rules: Rules,
    /// Who may do what.
    pub auth: Auth,
    /// What a request, an event and the queue may measure.
    pub limits: Limits,
    /// How long ids are remembered.
    pub dedup: Dedup,
    /// Snapshots of the metrics.
    pub snapshot: Snapshot,
    /// How long events are kept.
    pub retention: Retention,
    /// The store.
    pub store: Store,
    /// Stopping.
    pub shutdown: Shutdown,
    /// The exposition.
    pub metrics: Metrics,
    /// How pushes are taken.
    pub push: Push,
    /// Where the paths are, which of them work, and for whom.
    pub web: Web,
    /// How streams behave.
    pub stream: Stream,
}

/// An address to listen on: a name or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// A host name, or an IP address (an IPv6 one without brackets).
    pub host: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

/// When an event is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk.
    #[default]
    Sync,
    /// When it is taken; the disk follows at an interval, so that a crash may lose the last ones.
    Relaxed,
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: telemetry::Format,
    /// A level or a filter.
    pub level: String,
}

/// The metric rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The rule file; `None` for the built-in rules.
    pub file: Option<PathBuf>,
    /// Whether the file is loaded again when it changes.
    pub watch: bool,
    /// How often the file is looked at.
    pub watch_interval: Duration,
}

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The tokens of the configuration.
    pub tokens: Vec<Token>,
    /// Whether everyone may do everything.
    pub disabled: bool,
    /// Whether a scrape of `/metrics` needs a token with the role `read`.
    pub metrics: bool,
    /// How long a browser is let in after it has shown a token.
    pub session: Duration,
}

/// A token of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is called in logs and lists.
    pub name: String,
    /// What it may do. Never empty.
    pub roles: Roles,
    /// What its holder sends.
    pub secret: Secret,
}

/// Text that must not be shown: its `Debug` is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What a request, an event and the queue may measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body after decompression.
    pub body_bytes: Size,
    /// Bytes of all request bodies that are held at once.
    pub bodies_bytes: Size,
    /// Bytes of one event.
    pub event_bytes: Size,
    /// Bytes of an event's type and of its source.
    pub name_bytes: Size,
    /// Nesting of arrays and objects in one event.
    pub depth: usize,
    /// Members and elements in one event.
    pub elements: usize,
    /// Bytes of a label value.
    pub label_bytes: Size,
    /// Events in one request.
    pub batch_events: usize,
    /// Open connections.
    pub connections: usize,
    /// Requests in work at once.
    pub concurrent_requests: usize,
    /// Exports of events at once.
    pub concurrent_exports: usize,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// How long a client may take to send the body of a request.
    pub body_timeout: Duration,
    /// How long a connection may rest between two requests.
    pub idle_timeout: Duration,
    /// How long a client may leave an answer unread.
    pub write_timeout: Duration,
    /// Requests that wait for the writer.
    pub queue_requests: usize,
    /// Bytes of the requests that wait for the writer.
    pub queue_bytes: Size,
}

/// How long ids are remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// The window within which an id counts once.
    pub window: Duration,
    /// Ids that are remembered.
    pub max_ids: usize,
}

/// Snapshots of the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// How often one is written.
    pub interval: Duration,
}

/// The store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Bytes of stored pages kept in memory.
    pub cache_bytes: Size,
    /// Bytes of the disk that are kept free.
    pub min_free_bytes: Size,
}

/// Stopping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long the server may take to answer what it accepted.
    pub grace: Duration,
}

/// The exposition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Whether the OpenMetrics text has `_created` series.
    pub created_series: bool,
    /// How long a rendered scrape serves further scrapes.
    pub cache: Duration,
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A server that everyone could reach would have no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{listen} can be reached from other machines, and no token is set: set OBSERVATORY_TOKEN (or auth.tokens, or `observatory token create`), or say --no-auth to let everyone in"
)]
pub struct Exposed {
    /// The address.
    pub listen: Listen,
}

// === impl Settings ===

impl Settings {
    /// Refuses to serve a network without a token. `stored_tokens` is whether the data directory holds one.
    ///
    /// # Errors
    ///
    /// An address is not a loopback address, there is no token, and authentication is not disabled.
    pub fn check_exposure(&self, stored_tokens: bool) -> Result<(), Exposed> {
        if stored_tokens || self.auth.disabled || !self.auth.tokens.is_empty() {
            return Ok(());
        }
        match self.listen.iter().find(|it| !it.is_loopback()) {
            Some(listen) => Err(Exposed { listen: listen.clone() }),
            None => Ok(()),
        }
    }

    /// How the program logs.
    #[must_use]
    pub fn telemetry(&self) -> telemetry::Config {
        telemetry::Config { format: self.log.format, level: self.log.level.clone() }
    }

    /// What an event may measure.
    #[must_use]
    pub fn event_limits(&self) -> crate::event::Limits {
        crate::event::Limits {
            event_bytes: self.limits.event_bytes.get(),
            name_bytes: self.limits.name_bytes.get(),
            depth: self.limits.depth,
            elements: self.limits.elements,
        }
    }

    /// The tokens of the configuration, and who needs one. Without any token a loopback address is open to
    /// everyone on the machine; [`Settings::check_exposure`] keeps other addresses from being so.
    #[must_use]
    pub fn tokens(&self) -> tokens::Config {
        let token = |it: &Token| tokens::StaticToken {
            name: it.name.clone(),
            roles: it.roles,
            secret: it.secret.expose().to_owned(),
        };
        let open =
            if self.auth.disabled { tokens::Open::Always } else { tokens::Open::WithoutTokens };
        tokens::Config { tokens: self.auth.tokens.iter().map(token).collect(), open }
    }

    /// What a request body may measure.
    #[must_use]
    pub fn source_limits(&self) -> crate::sources::Limits {
        crate::sources::Limits { event: self.event_limits(), events: self.limits.batch_events }
    }

    /// The bounds of the HTTP surface, and the settings that it shows.
    #[must_use]
    pub fn http(&self) -> http::Config {
        let flags = KEYS.iter().map(|it| (it.name.to_owned(), it.show(self)));
        let flags = flags.chain(pushgateway::flags(self));
        http::Config {
            body_bytes: self.limits.body_bytes.get(),
            bodies_bytes: self.limits.bodies_bytes.get(),
            concurrent_requests: self.limits.concurrent_requests,
            concurrent_exports: self.limits.concurrent_exports,
            max_connections: self.limits.connections,
            header_timeout: self.limits.header_timeout,
            body_timeout: self.limits.body_timeout,
            idle_timeout: self.limits.idle_timeout,
            write_timeout: self.limits.write_timeout,
            events: self.source_limits(),
            metrics_auth: self.auth.metrics,
            session: self.auth.session,
            allowed_origins: self.web.allowed_origins.0.clone(),
            streams: self.stream.http(),
            push: pushgateway::http(&self.push, &self.web),
            flags: flags.collect(),
        }
    }

    /// How the writer and what it feeds behave.
    #[must_use]
    pub fn pipeline(&self) -> pipeline::Config {
        pipeline::Config {
            groups: pushgateway::groups(&self.push),
            durability: match self.durability {
                Durability::Sync => pipeline::Durability::Sync,
                Durability::Relaxed => pipeline::Durability::Relaxed(self.relaxed_flush_interval),
            },
            queue_requests: self.limits.queue_requests,
            queue_bytes: self.limits.queue_bytes.get(),
            dedup: journal::DedupConfig { window: self.dedup.window, max_ids: self.dedup.max_ids },
            snapshot_interval: self.snapshot.interval,
            rules_file: self.rules.file.clone(),
            max_label_bytes: self.limits.label_bytes.get(),
            page_cache: self.metrics.cache,
            retention: self.retention.pipeline(),
            metrics: metrics::Config {
                created_series: self.metrics.created_series,
                ..metrics::Config::default()
            },
        }
    }

    /// How the store uses disk and memory.
    #[must_use]
    pub fn store(&self) -> crate::store::Config {
        crate::store::Config {
            path: self.data_dir.clone(),
            cache_bytes: self.store.cache_bytes.0,
            min_free_bytes: self.store.min_free_bytes.0,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![Listen { host: "127.0.0.1".to_owned(), port: 9091 }],
            data_dir: PathBuf::from("./observatory-data"),
            durability: Durability::Sync,
            relaxed_flush_interval: Duration::from_millis(500),
            log: Log { format: telemetry::Format::Auto, level: "info".to_owned() },
            rules: Rules { file: None, watch: true, watch_interval: Duration::from_secs(2) },
            auth: Auth {
                tokens: Vec::new(),
                disabled: false,
                metrics: false,
                session: Duration::from_hours(12),
            },
            limits: Limits::default(),
            dedup: Dedup { window: Duration::from_hours(24), max_ids: 1_000_000 },
            snapshot: Snapshot { interval: Duration::from_mins(5) },
            retention: Retention::default(),
            store: Store { cache_bytes: Size(16 << 20), min_free_bytes: Size(32 << 20) },
            shutdown: Shutdown { grace: Duration::from_secs(30) },
            metrics: Metrics { created_series: false, cache: Duration::from_secs(1) },
            push: Push::default(),
            web: Web::default(),
            stream: Stream::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: Size(10 << 20),
            bodies_bytes: Size(256 << 20),
            event_bytes: Size(1 << 20),
            name_bytes: Size(256),
            depth: 32,
            elements: 10_000,
            label_bytes: Size(128),
            batch_events: 100_000,
            connections: 4096,
            concurrent_requests: 512,
            concurrent_exports: 8,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            queue_requests: 4096,
            queue_bytes: Size(64 << 20),
        }
    }
}

// === impl Listen ===

impl Listen {
    /// Whether only this machine can reach it. A host name counts as reachable, `localhost` excepted.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(it) => it.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, self.port).fmt(f),
            Err(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

// === impl Secret ===

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text. Call it only to compare, hash or send it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

// === impl Size ===

impl Size {
    /// The bytes as a length in memory.
    #[must_use]
    pub fn get(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_exposure(host: &str, change: impl FnOnce(&mut Settings), refused: bool) {
        let mut settings = Settings::default();
        settings.listen.push(Listen { host: host.to_owned(), port: 80 });
        change(&mut settings);
        assert_eq!(settings.check_exposure(false).is_err(), refused, "{host}");
        assert!(settings.check_exposure(true).is_ok());
    }

    #[test]
    fn a_network_needs_a_token_or_a_word() {
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "localhost"] {
            check_exposure(loopback, |_| (), false);
        }
        for open in ["0.0.0.0", "::", "10.0.0.1", "example.org"] {
            check_exposure(open, |_| (), true);
            check_exposure(open, |it| it.auth.disabled = true, false);
        }
    }

    #[test]
    fn the_refusal_names_both_ways_out() {
        let listen = Listen { host: "::".to_owned(), port: 80 };
        let text = Exposed { listen }.to_string();
        for words in ["[::]:80", "OBSERVATORY_TOKEN", "--no-auth"] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let token = Token {
            name: "ci".to_owned(),
            roles: Roles::ALL,
            secret: Secret::new("hunter2".to_owned()),
        };
        assert!(!format!("{token:?}").contains("hunter2"));
    }

    #[test]
    fn defaults_agree_with_the_components() {
        let settings = Settings::default();
        assert_eq!(settings.source_limits(), crate::sources::Limits::default());
        let flags = settings.http().flags;
        let http = http::Config { flags, ..http::Config::default() };
        assert_eq!(format!("{:?}", settings.http()), format!("{http:?}"));
        let store = crate::store::Config::new(settings.data_dir.clone());
        assert_eq!(settings.store().cache_bytes, store.cache_bytes);
        assert_eq!(settings.store().min_free_bytes, store.min_free_bytes);
    }
}
