//! A real Alertmanager.

use super::{Client, Peer, eventually, free_address, tools};
use serde_json::Value;
use std::{
    fs,
    fs::File,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A configuration that tells nobody.
const NOBODY: &str = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";

/// A running Alertmanager.
#[derive(Debug)]
pub(crate) struct Alertmanager {
    pub(crate) addr: SocketAddr,
    child: Child,
    dir: TempDir,
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Alertmanager {
    /// Starts one that tells nobody. `None`: there is no such program here, and that was said.
    #[track_caller]
    pub(crate) fn start(peer: Peer) -> Option<Self> {
        Self::start_prepared(peer, &[], |dir| fs::write(dir.join("am.yml"), NOBODY).unwrap())
    }

    /// Starts one with the configuration `am.yml` that `prepare` writes into a directory, and with variables.
    #[track_caller]
    pub(crate) fn start_prepared(
        peer: Peer,
        env: &[(&str, &str)],
        prepare: impl FnOnce(&Path),
    ) -> Option<Self> {
        let program = tools::alertmanager(peer)?;
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let addr = free_address();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", dir.path().join("am.yml").display()))
            .arg(format!("--storage.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={addr}"))
            .arg("--cluster.listen-address=")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let res = Self { addr, child, dir };
        eventually(Duration::from_secs(20), || {
            let ready = Client::new(addr).try_request("GET", "/-/ready", &[], b"");
            match ready {
                Ok(it) if it.status == 200 => Ok(()),
                other => Err(format!("{other:?}\n{}", res.log())),
            }
        });
        Some(res)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The names of the alerts that fire there.
    #[track_caller]
    pub(crate) fn firing(&self) -> Vec<String> {
        let alerts = Client::new(self.addr).get("/api/v2/alerts").expect(200).json();
        let name = |it: &Value| it["labels"]["alertname"].as_str().unwrap().to_owned();
        alerts.as_array().unwrap().iter().map(name).collect()
    }
}
