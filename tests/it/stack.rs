//! The stack around the server, with real peers.

mod compose;
mod discover;
mod faults;
mod processes;
mod remote;

use crate::support::{Client, Peer, tools};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// A directory with a configuration file. Dropping it ends whatever runs.
pub(super) struct Stack {
    dir: TempDir,
    pub(super) ports: BTreeMap<&'static str, u16>,
    pub(super) env: Vec<(String, String)>,
}

impl Drop for Stack {
    fn drop(&mut self) {
        // A test that failed must leave nothing behind, and one that did not has nothing.
        for data in ["observatory-stack", "a", "b"] {
            let file = self.dir.path().join("observatory.yml");
            let file = file.to_str().unwrap();
            let data = self.dir.path().join(data);
            let _ = self
                .command(&["down", "--volumes", "--yes", "--here", "--config", file])
                .env("OBSERVATORY_STACK_DATA_DIR", &data)
                .output();
        }
    }
}

impl Stack {
    /// Ports of its own, and `more` below `stack`. `None`: there is no Prometheus or Alertmanager here.
    pub(super) fn new(more: &str) -> Option<Self> {
        tools::prometheus(Peer::System)?;
        tools::alertmanager(Peer::System)?;
        Some(Self::bare(more))
    }

    /// The same without asking for programs.
    pub(super) fn bare(more: &str) -> Self {
        let names = ["observatory", "prometheus", "alertmanager", "grafana"];
        let ports: BTreeMap<_, _> = names.into_iter().zip(free_ports(4)).collect();
        let stack = Self { dir: tempfile::tempdir().unwrap(), ports, env: Vec::new() };
        let services: String = stack
            .ports
            .iter()
            .map(|(name, port)| format!("    {name}: {{port: {port}}}\n"))
            .collect();
        stack
            .write("observatory.yml", &format!("# by hand\nstack:\n{more}  services:\n{services}"));
        stack
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A program of this stack, which is found before others.
    pub(super) fn program(&mut self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let bin = self.path("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join(name), text).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = format!("{}:{}", bin.display(), path.to_string_lossy());
        self.env.retain(|it| it.0 != "PATH");
        self.env.push(("PATH".to_owned(), path));
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = crate::support::command(&crate::support::Settings::new());
        command.args(arguments).current_dir(self.dir.path());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    #[track_caller]
    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs and expects this exit code: what was printed, and said.
    #[track_caller]
    pub(super) fn expect(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
        (out, err)
    }

    /// `status --json`, with its exit code.
    #[track_caller]
    pub(super) fn status(&self, code: i32, more: &[&str]) -> Value {
        let arguments: Vec<_> = ["status", "--json"].iter().chain(more).copied().collect();
        serde_json::from_str(&self.expect(code, &arguments).0).unwrap()
    }

    /// The process of a service.
    #[track_caller]
    pub(super) fn pid(&self, name: &str) -> u32 {
        let status: Value =
            serde_json::from_slice(&self.run(&["status", "--json"]).stdout).unwrap();
        let services = status["services"].as_array().unwrap();
        let service = services.iter().find(|it| it["name"] == name).unwrap();
        u32::try_from(service["pid"].as_u64().unwrap_or_else(|| panic!("{status}"))).unwrap()
    }

    pub(super) fn client(&self, service: &str) -> Client {
        Client::new(SocketAddr::from(([127, 0, 0, 1], self.ports[service])))
    }

    /// Nothing of it runs, and nothing listens.
    #[track_caller]
    pub(super) fn expect_gone(&self) {
        let left = processes_of(self.dir.path());
        assert_eq!(left, [""; 0]);
        for (name, port) in &self.ports {
            let bound = TcpListener::bind(("127.0.0.1", *port));
            assert!(bound.is_ok(), "{name} still has its port");
        }
    }
}

/// The command lines of the processes that have `dir` in their environment or their arguments.
pub(super) fn processes_of(dir: &Path) -> Vec<String> {
    let needle = dir.to_str().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|it| it.is_ascii_digit()) || pid == std::process::id().to_string() {
            continue;
        }
        let text = |name: &str| {
            let bytes = fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        if text("environ").contains(&format!("OBSERVATORY_STACK_DIR={needle}")) {
            found.push(text("cmdline"));
        }
    }
    found
}

/// Ports that were free a moment ago.
pub(super) fn free_ports(n: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..n).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|it| it.local_addr().unwrap().port()).collect()
}
