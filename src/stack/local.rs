//! The directory of a stack of processes: its locks, its files, and the ways to start and to end what runs there.
//!
//! ```text
//! DIR/observatory, prometheus, alertmanager, grafana    data
//! DIR/config                                             what was rendered
//! DIR/logs                                               a log per service, and the supervisor's
//! DIR/run                                                locks, the plan, what the supervisor says
//! ```

use super::plan::Plan;
use super::processes::{Identity, MARK, marked};
use super::settings::ServiceName;
use super::state::State;
use rustix::process::Signal;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a service may take to end before it is killed: longer than the server's own grace, 30 s.
pub(super) const GRACE: Duration = Duration::from_secs(35);
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes of a log that are kept before it is put aside; there is one older part.
const LOG_BYTES: u64 = 10 << 20;

/// The directory of a stack.
#[derive(Clone, Debug)]
pub struct Dir(PathBuf);

/// A stop that did not work.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// Processes are still there after they were killed.
    #[error("cannot end the processes {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Left(Vec<i32>),
    /// The directory cannot be used.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What a stop found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing ran.
    Nothing,
    /// It ran, and is gone.
    Running,
}

impl Dir {
    /// The directory at `path`, which is absolute.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether there ever was a stack.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.run_dir().is_dir()
    }

    /// The log of a service, or of `supervisor`.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.0.join("logs").join(format!("{name}.log"))
    }

    fn run_dir(&self) -> PathBuf {
        self.0.join("run")
    }

    /// Makes the directories, which only their owner may read.
    ///
    /// # Errors
    ///
    /// They cannot be made.
    pub fn create(&self) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for name in ["", "run", "logs", "config"] {
            builder.create(self.0.join(name))?;
        }
        Ok(())
    }

    /// Keeps others from starting and stopping until the file is dropped; `None` if another is at it for longer
    /// than `patience`.
    ///
    /// # Errors
    ///
    /// The directory cannot be used.
    pub fn hold(&self, patience: Duration) -> io::Result<Option<File>> {
        self.lock("work.lock", patience)
    }

    /// The right to supervise; `None` if somebody has it.
    pub(super) fn supervise(&self) -> io::Result<Option<File>> {
        // Who looks whether there is one holds it for an instant.
        let Some(mut file) = self.lock("supervisor.lock", Duration::from_secs(1))? else {
            return Ok(None);
        };
        let own = serde_json::to_vec(&Identity::own()).map_err(io::Error::other)?;
        file.set_len(0)?;
        file.write_all(&own)?;
        Ok(Some(file))
    }

    fn lock(&self, name: &str, patience: Duration) -> io::Result<Option<File>> {
        let path = self.run_dir().join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path)?;
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(err)) => return Err(err),
            }
        }
    }

    /// The supervisor, if there is one.
    #[must_use]
    pub fn supervisor(&self) -> Option<Identity> {
        let path = self.run_dir().join("supervisor.lock");
        let mut file = OpenOptions::new().read(true).write(true).open(path).ok()?;
        if file.try_lock().is_ok() {
            return None;
        }
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        let identity: Identity = serde_json::from_str(&text).ok()?;
        identity.runs().then_some(identity)
    }

    /// What the supervisor said last.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        serde_json::from_slice(&fs::read(self.run_dir().join("state.json")).ok()?).ok()
    }

    pub(super) fn write_state(&self, state: &State) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(state).map_err(io::Error::other)?;
        replace(&self.run_dir().join("state.json"), &text)
    }

    pub(super) fn remove_state(&self) {
        // What is left is not believed without a supervisor.
        let _ = fs::remove_file(self.run_dir().join("state.json"));
    }

    /// Writes the configuration, and the plan for the supervisor. What is no longer part of the configuration goes.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write_plan(&self, plan: &Plan) -> io::Result<()> {
        self.create()?;
        let config = self.0.join("config");
        write_tree(&config, &plan.files)?;
        for service in &plan.services {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(self.0.join(&service.name))?;
        }
        let text = serde_json::to_vec_pretty(plan).map_err(io::Error::other)?;
        replace(&self.run_dir().join("plan.json"), &text)
    }

    /// The plan that was written.
    ///
    /// # Errors
    ///
    /// It is not there or cannot be read.
    pub fn plan(&self) -> io::Result<Plan> {
        let text = fs::read(self.run_dir().join("plan.json"))?;
        serde_json::from_slice(&text).map_err(io::Error::other)
    }

    /// Starts the supervisor of the plan as a process of its own, which outlives this one and its terminal.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start_supervisor(&self, own: &Path) -> io::Result<()> {
        use std::os::unix::process::CommandExt;
        self.rotate("supervisor");
        let log = self.open_log("supervisor")?;
        let mut command = Command::new(own);
        command.arg("up").arg("--supervise").arg(&self.0).env(MARK, &self.0);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        // It is ended by its lock and its mark, and inherited by the first process of the system.
        command.spawn().map(drop)
    }

    pub(super) fn open_log(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(self.log(name))
    }

    /// Puts a log aside that has grown large: it is copied and cut, for its writer keeps it open.
    pub(super) fn rotate(&self, name: &str) {
        let path = self.log(name);
        if fs::metadata(&path).is_ok_and(|it| it.len() > LOG_BYTES) {
            let aside = path.with_extension("log.1");
            let cut = fs::copy(&path, aside)
                .and_then(|_| OpenOptions::new().write(true).open(&path)?.set_len(0));
            // It is tried again soon; a disk that is full must not end the supervisor.
            let _ = cut;
        }
    }

    /// Ends the supervisor and everything that carries the mark of this stack, and waits for it.
    ///
    /// # Errors
    ///
    /// Something could not be ended.
    pub fn stop(&self) -> Result<Stopped, StopError> {
        let supervisor = self.supervisor();
        if supervisor.is_none() && marked(&self.0).is_empty() {
            self.remove_state();
            return Ok(Stopped::Nothing);
        }
        if let Some(it) = supervisor {
            it.signal(Signal::TERM);
            // It ends its services one after the other, each within the grace.
            wait(GRACE * 2, || !it.runs());
            it.signal(Signal::KILL);
        }
        for (signal, patience) in [(Signal::TERM, GRACE), (Signal::KILL, Duration::from_secs(10))] {
            for it in marked(&self.0) {
                it.signal(signal);
            }
            if wait(patience, || marked(&self.0).is_empty()) {
                self.remove_state();
                return Ok(Stopped::Running);
            }
        }
        Err(StopError::Left(marked(&self.0).iter().map(|it| it.pid).collect()))
    }

    /// Removes all data of the stack, and the directory if nothing else is in it.
    ///
    /// # Errors
    ///
    /// Something could not be removed.
    pub fn remove(&self) -> io::Result<()> {
        let services = ServiceName::ALL.into_iter().map(ServiceName::as_str);
        for name in services.chain(["config", "logs", "compose", "run"]) {
            match fs::remove_dir_all(self.0.join(name)) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                _ => {}
            }
        }
        match fs::remove_dir(&self.0) {
            // Somebody keeps something of their own there.
            Err(err) if err.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            it => it,
        }
    }

    /// The last `lines` lines of a log, and how long it is.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn tail(&self, name: &str, lines: usize) -> io::Result<(Vec<u8>, u64)> {
        let mut file = match File::open(self.log(name)) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
            it => it?,
        };
        let end = file.metadata()?.len();
        let mut start = end;
        let mut bytes = Vec::new();
        while start > 0 && memchr::memchr_iter(b'\n', &bytes).count() <= lines {
            let step = start.min(1 << 16);
            start -= step;
            file.seek(SeekFrom::Start(start))?;
            let mut part = Vec::new();
            Read::by_ref(&mut file).take(step).read_to_end(&mut part)?;
            part.extend_from_slice(&bytes);
            bytes = part;
        }
        let last = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let cut = match lines {
            0 => bytes.len(),
            it => memchr::memrchr_iter(b'\n', last).nth(it - 1).map_or(0, |at| at + 1),
        };
        Ok((bytes.split_off(cut), end))
    }
}

/// Asks `done` until it says so; whether it did in time.
pub(super) fn wait(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if done() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(PAUSE);
    }
}

/// Writes `files` below `dir`, each whole or not at all, and removes what else is there.
pub(super) fn write_tree(
    dir: &Path,
    files: &std::collections::BTreeMap<String, Vec<u8>>,
) -> io::Result<()> {
    for (path, content) in files {
        let path = dir.join(path);
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        if fs::read(&path).ok().as_ref() != Some(content) {
            replace(&path, content)?;
        }
    }
    sweep(dir, dir, files)
}

fn sweep(
    root: &Path,
    dir: &Path,
    files: &std::collections::BTreeMap<String, Vec<u8>>,
) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            sweep(root, &path, files)?;
            // Not empty is as good.
            let _ = fs::remove_dir(&path);
        } else if !path
            .strip_prefix(root)
            .is_ok_and(|it| files.contains_key(&*it.to_string_lossy()))
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Puts `content` at `path` in one step; only its owner may read it.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!(".{name}.part"));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_tail_of_a_log_has_so_many_lines() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::new(temp.path());
        dir.create().unwrap();
        assert_eq!(dir.tail("a", 5).unwrap(), (Vec::new(), 0));
        let text: String = (0..30_000).map(|it| format!("line {it}\n")).collect();
        fs::write(dir.log("a"), &text).unwrap();
        let (bytes, end) = dir.tail("a", 2).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), "line 29998\nline 29999\n");
        assert_eq!(end, text.len() as u64);
        assert_eq!(dir.tail("a", 0).unwrap().0, b"");
        assert_eq!(dir.tail("a", 1_000_000).unwrap().0, text.as_bytes());
        fs::write(dir.log("a"), "no end").unwrap();
        assert_eq!(dir.tail("a", 1).unwrap().0, b"no end");
    }

    #[test]
    fn a_tree_is_what_was_written_and_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let tree = |paths: &[&str]| -> BTreeMap<String, Vec<u8>> {
            paths.iter().map(|it| ((*it).to_owned(), it.as_bytes().to_vec())).collect()
        };
        write_tree(temp.path(), &tree(&["a/b", "c", "d/e/f"])).unwrap();
        write_tree(temp.path(), &tree(&["a/b", "g"])).unwrap();
        assert_eq!(fs::read(temp.path().join("a/b")).unwrap(), b"a/b");
        let names: Vec<_> =
            fs::read_dir(temp.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }

    #[test]
    fn what_is_removed_is_ours_alone() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::new(&temp.path().join("stack"));
        dir.create().unwrap();
        fs::write(dir.path().join("mine.txt"), "x").unwrap();
        dir.remove().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::remove_file(dir.path().join("mine.txt")).unwrap();
        dir.create().unwrap();
        dir.remove().unwrap();
        assert!(!dir.path().exists());
        dir.remove().unwrap();
    }

    #[test]
    fn one_lock_one_holder() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::new(temp.path());
        dir.create().unwrap();
        let first = dir.hold(Duration::ZERO).unwrap();
        assert!(first.is_some() && dir.hold(Duration::ZERO).unwrap().is_none());
        drop(first);
        assert!(dir.hold(Duration::ZERO).unwrap().is_some());
        assert_eq!(dir.supervisor(), None);
        let supervisor = dir.supervise().unwrap();
        assert_eq!(dir.supervisor(), Identity::own());
        drop(supervisor);
        assert_eq!(dir.supervisor(), None);
    }
}
