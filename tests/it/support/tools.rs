//! The programs that tests run beside the server.

use super::prometheus::Peer;
use std::path::{Path, PathBuf};

/// The Prometheus server of `peer`, or `None` after saying that the test is skipped.
pub(crate) fn prometheus(peer: Peer) -> Option<PathBuf> {
    of_peer(peer, "prometheus")
}

/// The promtool of `peer`, or `None` after saying that the test is skipped.
pub(crate) fn promtool(peer: Peer) -> Option<PathBuf> {
    of_peer(peer, "promtool")
}

/// A Python that has the official parsers, or `None` after saying that the test is skipped.
pub(crate) fn python() -> Option<PathBuf> {
    let chosen = variable("OBSERVATORY_TEST_PYTHON").map(PathBuf::from);
    let python = chosen.or_else(|| existing(root().join(".venv-test/bin/python")));
    required("python3 with prometheus_client (scripts/test.sh sets it up)", python)
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

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::disallowed_methods, reason = "the tests are told by the environment what to run")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|it| !it.is_empty())
}
