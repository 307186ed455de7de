//! A real Pushgateway.

use crate::support::{Client, eventually, tools};
use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Which Pushgateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// The one of the system: 1.5.1 on Debian 12.
    System,
    /// The one that `scripts/peers.sh` unpacked: 1.11 or later.
    Current,
}

/// A running Pushgateway, which keeps nothing.
#[derive(Debug)]
pub(super) struct Pushgateway {
    pub(super) addr: SocketAddr,
    child: Child,
}

impl Drop for Pushgateway {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// Its program, or `None` after saying that the test is skipped.
    pub(super) fn program(self) -> Option<PathBuf> {
        tools::pushgateway(self == Self::Current)
    }
}

impl Pushgateway {
    /// Starts `program` with `flags`; `None` if it does not take them.
    #[track_caller]
    pub(super) fn start(program: &PathBuf, flags: &[String]) -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let mut command = Command::new(program);
        // Debian's own default would be a file in /var/lib that outlives the test.
        command.arg("--persistence.file=").arg(format!("--web.listen-address={addr}")).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut gateway = Self { addr, child: command.spawn().unwrap() };
        eventually(Duration::from_secs(30), || {
            if gateway.child.try_wait().unwrap().is_some() {
                return Ok(None);
            }
            match Client::new(addr).try_request("GET", "/-/ready", &[], b"") {
                Ok(_) => Ok(Some(())),
                Err(it) => Err(it.to_string()),
            }
        })?;
        Some(gateway)
    }
}
