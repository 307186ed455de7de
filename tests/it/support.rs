//! What every test here stands on: a real server process, a plain HTTP client, real peers.

mod alertmanager;
mod disk;
mod faults;
mod http;
mod prometheus;
mod samples;
mod server;
mod settings;
mod sse;
pub(crate) mod tools;
mod ws;

pub(crate) use alertmanager::Alertmanager;
pub(crate) use disk::Disk;
pub(crate) use faults::{Call, Faults};
pub(crate) use http::{Client, Response};
pub(crate) use prometheus::{Peer, Prometheus, free_address};
pub(crate) use samples::Samples;
pub(crate) use server::{Server, all_bytes, cli, command, refused};
pub(crate) use settings::Settings;
pub(crate) use sse::Sse;
pub(crate) use tools::{program, promtool, python};
pub(crate) use ws::{Said, Ws};

use std::{
    fmt::Debug,
    thread,
    time::{Duration, Instant},
};

/// Asks `probe` until it answers `Ok`; panics with its last answer after `timeout`.
#[track_caller]
pub(crate) fn eventually<T, E: Debug>(
    timeout: Duration,
    mut probe: impl FnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + timeout;
    loop {
        match probe() {
            Ok(it) => return it,
            Err(it) if Instant::now() > deadline => panic!("not within {timeout:?}: {it:?}"),
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A small deterministic generator (xorshift), so that a failing test fails again.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
