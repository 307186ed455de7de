//! Processes of this machine: which belong to a stack, and how they are ended.

use procfs::process::{Process, all_processes};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::{ffi::OsStr, path::Path};

/// The variable that everything of a stack has in its environment: the stack's directory.
pub const MARK: &str = "OBSERVATORY_STACK_DIR";

/// A process, told from a later one of the same number by when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: i32,
    /// Clock ticks from the boot to its start.
    pub started: u64,
}

impl Identity {
    /// This process.
    pub(super) fn own() -> Option<Self> {
        Self::of(i32::try_from(std::process::id()).ok()?)
    }

    /// The process `pid`, if it is there and has not ended.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let stat = Process::new(pid).ok()?.stat().ok()?;
        if matches!(stat.state, 'Z' | 'X') {
            None
        } else {
            Some(Self { pid, started: stat.starttime })
        }
    }

    /// Whether it still runs.
    #[must_use]
    pub fn runs(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends `signal`; nothing if it is gone. The handle is opened before the look, so that whoever has the
    /// number afterwards gets nothing.
    pub(super) fn signal(self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return };
        if self.runs() {
            // It may end in this moment.
            let _ = pidfd_send_signal(handle, signal);
        }
    }
}

/// The processes that carry the mark of the stack in `dir`, other than this one. Those of other users cannot be seen.
#[must_use]
pub fn marked(dir: &Path) -> Vec<Identity> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let Ok(all) = all_processes() else { return Vec::new() };
    let has = |it: &Process| {
        let variables = it.environ();
        variables.is_ok_and(|it| it.get(OsStr::new(MARK)).is_some_and(|it| it == dir.as_os_str()))
    };
    let found = all.flatten().filter(|it| it.pid != own).filter(has);
    found.filter_map(|it| Identity::of(it.pid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_mark_finds_its_processes_and_a_signal_ends_them() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep").arg("600").env(MARK, dir.path()).spawn().unwrap();
        let found = loop {
            let found = marked(dir.path());
            if !found.is_empty() {
                break found;
            }
        };
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].pid.cast_unsigned(), child.id());
        assert!(found[0].runs());
        let another = Identity { started: found[0].started + 1, ..found[0] };
        another.signal(Signal::KILL);
        assert!(child.try_wait().unwrap().is_none(), "a number alone kills nobody");
        found[0].signal(Signal::KILL);
        assert!(!child.wait().unwrap().success());
        assert!(!found[0].runs());
        assert_eq!(marked(dir.path()), []);
    }
}
