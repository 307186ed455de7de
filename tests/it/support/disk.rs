//! A small disk of its own (a tmpfs), to fill.

use super::tools::required;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// A mounted disk. Dropping it unmounts it, so end the server that uses it before.
#[derive(Debug)]
pub(crate) struct Disk(TempDir);

impl Disk {
    /// A disk of so many MiB, or `None` after saying that the test is skipped: mounting needs root.
    pub(crate) fn mount(mib: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m");
        let mount = run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs"], dir.path());
        required("a user who may mount a tmpfs", mount.then_some(Self(dir)))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes it larger or smaller.
    pub(crate) fn resize(&self, mib: u32) {
        self.remount(&format!("size={mib}m"));
    }

    /// Changes its options, such as `ro`.
    pub(crate) fn remount(&self, options: &str) {
        assert!(run("mount", &["-o", &format!("remount,{options}")], self.path()));
    }

    /// Takes all the space there is, as fast as a disk of 64 MiB per second would; removing the file gives it
    /// back.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = fs::File::create(&path).unwrap();
        let chunk = vec![1; 64 << 10];
        while file.write_all(&chunk).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l"], self.path());
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    let output = Command::new(program).args(arguments).arg(path).output();
    output.is_ok_and(|it| it.status.success())
}
