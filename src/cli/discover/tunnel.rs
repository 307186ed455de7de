//! Sockets and ports of another machine as sockets of this one, for as long as they are needed.

use super::super::Error;
use crate::stack::Ssh;
use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A directory for sockets, which only its owner may enter; removed when it is dropped.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

/// An ssh that passes connections on; ended when it is dropped.
#[derive(Debug)]
pub(super) struct Tunnel {
    child: Child,
    dir: PathBuf,
}

const PATIENCE: Duration = Duration::from_secs(13);

impl Drop for Directory {
    fn drop(&mut self) {
        // It holds sockets only, and nobody uses them any more.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tunnel {
    /// A new directory for sockets.
    pub(super) fn directory() -> Result<Directory, Error> {
        let mut bytes = [0_u8; 6];
        let filled = getrandom::fill(&mut bytes).map_err(|err| err.to_string());
        let name: String = bytes.iter().map(|it| format!("{it:02x}")).collect();
        let path = std::env::temp_dir().join(format!("observatory-{name}"));
        let made = filled.and_then(|()| {
            fs::DirBuilder::new().mode(0o700).create(&path).map_err(|err| err.to_string())
        });
        made.map_err(|err| Error::System(format!("{}: {err}", path.display())))?;
        Ok(Directory(path))
    }

    /// Opens a socket for each of `targets`, names with sockets or `HOST:PORT` there.
    pub(super) fn open(
        ssh: &Ssh,
        dir: &Directory,
        targets: &[(String, String)],
    ) -> Result<Self, Error> {
        let dir = dir.0.clone();
        let forwards: Vec<_> =
            targets.iter().map(|(name, it)| (socket(&dir, name), it.clone())).collect();
        let mut command = ssh.forward(&forwards);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().map_err(|err| Error::System(format!("cannot run ssh: {err}")))?;
        let mut tunnel = Self { child, dir };
        let deadline = Instant::now() + PATIENCE;
        while !forwards.iter().all(|it| it.0.exists()) {
            let ended = !matches!(tunnel.child.try_wait(), Ok(None));
            if ended || Instant::now() > deadline {
                return Err(Error::Unavailable(format!(
                    "{}: no connections are passed on",
                    ssh.host
                )));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(tunnel)
    }

    /// The socket for a target.
    pub(super) fn socket(&self, name: &str) -> PathBuf {
        socket(&self.dir, name)
    }
}

fn socket(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.sock"))
}
