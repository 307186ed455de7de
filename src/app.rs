//! The composition root: builds every component bottom-up, and stops them top-down.

pub mod verify;

use crate::alerting;
use crate::alerting::Alerting;
use crate::config::Settings;
use crate::http;
use crate::notify;
use crate::notify::Outbox;
use crate::pipeline;
use crate::pipeline::Pipeline;
use crate::services;
use crate::services::Services;
use crate::shutdown;
use crate::store;
use crate::store::Store;
use crate::telemetry;
use crate::telemetry::ProcessMetrics;
use crate::tokens;
use crate::tokens::Tokens;
use prometheus_client::{metrics::info::Info, registry::Registry};
use std::{future::Future, io, time::Duration};
use tokio::{net::TcpListener, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What the parts are told.
#[derive(Debug)]
pub struct Config {
    /// Where the data is.
    pub store: store::Config,
    /// The writer and what it feeds.
    pub pipeline: pipeline::Config,
    /// The alert rules.
    pub alerting: alerting::Config,
    /// Who may do what.
    pub tokens: tokens::Config,
    /// How people are told of alerts.
    pub notify: notify::Config,
    /// The bounds of the HTTP surface.
    pub http: http::Config,
    /// How often the rule file is looked at for changes; `None` to not look. Default 2 s.
    pub watch_rules: Option<Duration>,
    /// How long a drain may take. Default 30 s.
    pub grace: Duration,
}

/// The open application: recovered and ready to serve.
#[derive(Debug)]
pub struct App {
    pipeline: Pipeline,
    alerting: Alerting,
    tokens: Tokens,
    services: Services,
    outbox: Outbox,
    http: http::Config,
    metrics: http::Metrics,
    watch_rules: Option<Duration>,
    grace: Duration,
}

/// Why it cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The journal, the metrics or the rules cannot be used.
    #[error(transparent)]
    Pipeline(#[from] pipeline::OpenError),
    /// The alerts cannot be read.
    #[error(transparent)]
    Alerting(#[from] alerting::AlertingError),
    /// The tokens cannot be read.
    #[error(transparent)]
    Tokens(#[from] tokens::TokenError),
    /// The services cannot be read.
    #[error(transparent)]
    Services(#[from] services::ServiceError),
    /// The notification channels, or what waits for them, cannot be read.
    #[error(transparent)]
    Notify(#[from] notify::OpenError),
}

// === impl Config ===

impl From<&Settings> for Config {
    fn from(settings: &Settings) -> Self {
        Self {
            store: settings.store(),
            pipeline: settings.pipeline(),
            alerting: settings.alerting(),
            tokens: settings.tokens(),
            notify: settings.notify(),
            http: settings.http(),
            watch_rules: settings.rules.watch.then_some(settings.rules.watch_interval),
            grace: settings.shutdown.grace,
        }
    }
}

// === impl App ===

impl App {
    /// Opens the store and brings everything up to date with it. Blocks while it replays.
    ///
    /// # Errors
    ///
    /// The data directory or the rules cannot be used. Nothing was changed then.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let store = Store::open(&config.store)?;
        let tokens = Tokens::open(store.clone(), config.tokens)?;
        let services = Services::open(store.clone())?;
        let pipeline = Pipeline::open(&config.pipeline, &store)?;
        let outbox = Outbox::open(store.clone(), config.notify)?;
        let end = pipeline.journal().end();
        let alerting = Alerting::open(store, config.alerting, outbox.clone(), end, pipeline.now())?;
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessMetrics::default()));
        let ours = registry.sub_registry_with_prefix("observatory");
        ours.register("build", "What this binary was built from", build_info());
        pipeline.register(ours);
        alerting.register(ours);
        outbox.register(ours);
        let metrics = http::Metrics::register(&mut registry);
        pipeline.expose(registry);
        let Config { http, watch_rules, grace, .. } = config;
        Ok(Self { pipeline, alerting, outbox, tokens, services, http, metrics, watch_rules, grace })
    }

    /// Whether any token is known.
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        !self.tokens.list().is_empty()
    }

    /// Serves on every listener until `shutdown` completes or a client asks for the end, then drains for at most the grace period:
    /// stops accepting, answers what was accepted, commits it, stores a snapshot.
    ///
    /// # Errors
    ///
    /// The signal handler for reloads cannot be set up. A drain that exceeds the grace period is logged,
    /// not returned.
    pub async fn run(
        self,
        listeners: Vec<TcpListener>,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let (stopping, quit) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        let surface = http::surface(http::Parts {
            pipeline: self.pipeline.clone(),
            alerting: self.alerting.clone(),
            tokens: self.tokens,
            services: self.services,
            outbox: self.outbox.clone(),
            metrics: self.metrics.clone(),
            config: self.http.clone(),
            stopping: stopping.clone(),
            quit: quit.clone(),
            tasks: tasks.clone(),
        });
        let server = http::Server::new(surface, &self.http, self.metrics);
        for listener in listeners {
            let (server, stopping) = (server.clone(), stopping.clone());
            tasks.spawn(server.run(listener, stopping, tasks.clone()));
        }
        let (outbox, ending) = (self.outbox, stopping.clone());
        tasks.spawn(async move { outbox.run(ending).await });
        let hangup = shutdown::hangup()?;
        let reloads = tokio::spawn(reload_on_hangup(self.pipeline.clone(), hangup));
        let watch = self.watch_rules.map(|interval| {
            let pipeline = self.pipeline.clone();
            tokio::spawn(async move { pipeline.watch_rules(interval).await })
        });
        let (alerting, pipeline) = (self.alerting.clone(), self.pipeline.clone());
        let ended = stopping.clone();
        tasks.spawn(async move { alerting.run(pipeline, ended).await });
        let pipeline = self.pipeline.clone();
        let keeping = tokio::spawn(async move { pipeline.keep().await });
        tokio::select! {
            () = shutdown => {}
            () = quit.cancelled() => {}
        }
        tracing::info!("draining");
        reloads.abort();
        keeping.abort();
        if let Some(it) = watch {
            it.abort();
        }
        stopping.cancel();
        tasks.close();
        if time::timeout(self.grace, tasks.wait()).await.is_err() {
            let seconds = self.grace.as_secs();
            tracing::warn!(grace_seconds = seconds, "requests were still open after {seconds} s");
        }
        self.pipeline.stop().await;
        Ok(())
    }
}

async fn reload_on_hangup(pipeline: Pipeline, mut hangup: shutdown::Hangup) {
    loop {
        hangup.recv().await;
        // The reload itself logs how it went.
        let _ = pipeline.reload_rules().await;
    }
}

fn build_info() -> Info<[(&'static str, &'static str); 3]> {
    let build = telemetry::BUILD;
    Info::new([("version", build.version), ("revision", build.revision), ("rustc", build.rustc)])
}
