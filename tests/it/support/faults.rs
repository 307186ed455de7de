//! A disk that fails and a clock that is wrong, for one server: a small library (`faults.c`) stands between it
//! and the system.

use super::{Settings, tools::required};
use std::{fs, path::Path, process::Command};
use tempfile::TempDir;

/// What fails, and by how much the clock is wrong. Nothing and not at all at first.
#[derive(Debug)]
pub(crate) struct Faults {
    /// The library, and one file for each thing that is wrong.
    dir: TempDir,
}

/// A kind of call that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Write,
    Sync,
}

impl Call {
    fn file(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
        }
    }
}

impl Faults {
    /// Builds the library; `None` after saying that the test is skipped.
    pub(crate) fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/faults.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(dir.path().join("faults.so"));
        let built = compiler.arg(source).arg("-ldl").status().is_ok_and(|it| it.success());
        required("cc, a C compiler", built.then_some(Self { dir }))
    }

    /// For a server that is to suffer from them.
    pub(crate) fn of(&self, settings: Settings) -> Settings {
        let text = |it: &Path| it.to_str().unwrap().to_owned();
        settings
            .env("LD_PRELOAD", &text(&self.dir.path().join("faults.so")))
            .env("FAULTS_DIR", &text(self.dir.path()))
    }

    /// From now on `call` fails on every file whose path contains `part`.
    pub(crate) fn fail(&self, call: Call, part: &str) {
        self.order(call.file(), part);
    }

    /// Nothing fails any more.
    pub(crate) fn mend(&self) {
        for it in [Call::Read, Call::Write, Call::Sync] {
            // Those that do not fail have no file.
            let _ = fs::remove_file(self.dir.path().join(it.file()));
        }
    }

    /// The wall clock is ahead by so many seconds.
    pub(crate) fn clock(&self, seconds: i64) {
        self.order("clock", &seconds.to_string());
    }

    /// In one step: it is read all the time.
    fn order(&self, name: &str, content: &str) {
        let unfinished = self.dir.path().join("unfinished");
        fs::write(&unfinished, content).unwrap();
        fs::rename(unfinished, self.dir.path().join(name)).unwrap();
    }
}
