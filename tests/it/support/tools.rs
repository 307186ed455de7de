//! The programs that tests run beside the server.

use super::prometheus::Peer;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The Prometheus server of `peer`, or `None` after saying that the test is skipped.
pub(crate) fn prometheus(peer: Peer) -> Option<PathBuf> {
    of_peer(peer, "prometheus")
}

/// The promtool of `peer`, or `None` after saying that the test is skipped.
pub(crate) fn promtool(peer: Peer) -> Option<PathBuf> {
    of_peer(peer, "promtool")
}

/// The Pushgateway, that of the system or the current one, or `None` after saying that the test is skipped.
pub(crate) fn pushgateway(current: bool) -> Option<PathBuf> {
    of_peer(if current { Peer::Current } else { Peer::System }, "prometheus-pushgateway")
}

/// The Alertmanager of the system (0.25), or a current one, or `None` after saying that the test is skipped.
pub(crate) fn alertmanager(peer: Peer) -> Option<PathBuf> {
    of_peer(peer, "prometheus-alertmanager")
}

/// Its command line, or `None` after saying that the test is skipped.
pub(crate) fn amtool(peer: Peer) -> Option<PathBuf> {
    of_peer(peer, "amtool")
}

/// A Node program that has prom-client, or `None` after saying that the test is skipped.
pub(crate) fn prom_client() -> Option<(PathBuf, PathBuf)> {
    let modules = existing_dir(root().join(".npm-test/node_modules/prom-client"));
    let found = on_path("node").zip(modules);
    required("node with prom-client (scripts/test.sh sets it up)", found)
}

/// A Ruby that has a client that pushes, or `None` after saying that the test is skipped.
pub(crate) fn ruby_client() -> Option<PathBuf> {
    let has = |it: &PathBuf| succeeds(it, &["-e", "require 'prometheus/client/push'"]);
    required(
        "ruby with prometheus/client (scripts/test.sh sets it up)",
        on_path("ruby").filter(has),
    )
}

/// A compiler that has prometheus-cpp, or `None` after saying that the test is skipped.
pub(crate) fn cpp_client() -> Option<PathBuf> {
    let header = ["-E", "-x", "c++", "-include", "prometheus/gateway.h", "/dev/null"];
    let found = on_path("g++").filter(|it| succeeds(it, &header));
    required("g++ with prometheus-cpp (scripts/test.sh sets it up)", found)
}

fn succeeds(program: &Path, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|it| it.status.success())
}

/// A Python that has the official parsers, or `None` after saying that the test is skipped.
pub(crate) fn python() -> Option<PathBuf> {
    let chosen = variable("OBSERVATORY_TEST_PYTHON").map(PathBuf::from);
    let python = chosen.or_else(|| existing(root().join(".venv-test/bin/python")));
    required("python3 with prometheus_client (scripts/test.sh sets it up)", python)
}

/// A program of a Debian package that `scripts/test.sh` installs, or `None` after saying that the test is skipped.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    // Some are in directories that only root has on its path.
    let found = on_path(name).or_else(|| existing(Path::new("/usr/sbin").join(name)));
    required(&format!("{name} (scripts/test.sh sets it up)"), found)
}

fn of_peer(peer: Peer, program: &str) -> Option<PathBuf> {
    let found = match peer {
        Peer::System => on_path(program),
        Peer::Current => {
            let chosen = variable("OBSERVATORY_TEST_PEERS").map(PathBuf::from);
            existing(chosen.unwrap_or_else(|| root().join("peers")).join("usr/bin").join(program))
        }
    };
    required(&format!("{program} ({peer:?}; scripts/test.sh sets it up)"), found)
}

/// `found`, or `None` after saying that the test is skipped; where nothing may be skipped, the test fails.
pub(crate) fn required<T>(what: &str, found: Option<T>) -> Option<T> {
    if found.is_none() {
        assert!(variable("CI").as_deref() != Some("true"), "this test needs {what}");
        eprintln!("skipped: needs {what}");
    }
    found
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = variable("PATH")?;
    path.split(':').find_map(|dir| existing(Path::new(dir).join(program)))
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.is_file().then_some(path)
}

fn existing_dir(path: PathBuf) -> Option<PathBuf> {
    path.is_dir().then_some(path)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::disallowed_methods, reason = "the tests are told by the environment what to run")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|it| !it.is_empty())
}
