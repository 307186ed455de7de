//! Observatory: events and pushed metrics in, Prometheus out.
//!
//! The modules in the order in which to read them; each imports only those of lower layers
//! (`docs/ARCHITECTURE.md`).

pub mod agents;
pub mod alerting;
pub mod alerts;
pub mod app;
pub mod backup;
pub mod cli;
pub mod codec;
pub mod config;
pub mod event;
pub mod exposition;
pub mod groups;
pub mod history;
pub mod http;
pub mod journal;
pub mod labels;
pub mod metrics;
pub mod notify;
pub mod pipeline;
pub mod push;
pub mod rules;
pub mod selector;
pub mod services;
pub mod shutdown;
pub mod sources;
pub mod stack;
pub mod store;
pub mod telemetry;
pub mod tokens;
pub mod yaml;
