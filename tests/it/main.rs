//! Tests of the whole program, over its socket, its command line and its data directory.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a panic is how a test fails, and a skipped test says so"
)]

mod support;

// A newcomer's first minutes: every shape in which an event may arrive.
mod first_event;
// Who may do what, and what a server refuses to do without a token.
mod auth;
// What was acknowledged survives kill -9, a restart and a second process.
mod durability;
// What hostile clients can make the server use.
mod bounds;
// kill -9 at any moment, with everything under way that there is.
mod torture;
// A backup of a running server, and a server on what was restored.
mod backup;
// Old events go, and nothing else.
mod retention;
// A disk that is full, cannot be written or has changed.
mod disk;
// Whatever changes in the stored files is told, and can be repaired.
mod verify;
// Clients that hang up, stall, flood and lie.
mod hostile;
// Streams: nothing is lost or shown twice, and nobody waits for anybody.
mod stream;
// The sockets of an agent mesh, and pushes on the live feed.
mod mesh;
// Logging browsers in, and what streams do when a token ends.
mod session;
// What the journal is asked: lists, figures.
mod asking;
// Exports: whole or visibly broken off, in constant memory.
mod exports;
// The logs of services, as an older service has them.
mod logs;
// Real Prometheus servers scrape every format and answer PromQL.
mod prometheus;
// Rules: check, test, explain, reload.
mod rules_cli;
// Notifications: real mail servers, Alertmanagers and verifiers; kill -9 with a full outbox.
mod notify;
// Dashboards: what they ask is answered by a real Prometheus.
mod dashboards;
// Beside Prometheus and Alertmanager: what is shipped for them, and the whole path of an alert.
mod beside;
// The past: replays, backfills, and an export that a real Prometheus answers questions about.
mod past;
// A command between two events, and what waits on disk for the server.
mod run;
// Questions, and files of events in and out.
mod files;
mod query;
// Alerts: rules, what they find, what people do, and the clients of Alertmanager.
mod alerts;
// A wall clock that steps.
mod clock;
// The other verbs of the command line.
mod cli;
// The stack around the server: processes, another machine, containers.
mod stack;
// The documentation names what the program has, and every command in it works.
mod docs;
mod snippets;
// What is shipped around the binary: containers, units, proxies, actions, packages.
mod deploy;
// Pushes: conformance with real Pushgateways, real clients, the rest of the surface.
mod push;
