//! The server under test: the real binary, a data directory of its own, a port that the system chose.

use super::{
    Client, Samples, Settings, eventually,
    http::{self, Response},
};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a start, with its replay, may take on a busy machine.
const START: Duration = Duration::from_secs(30);
/// How long a graceful end may take.
const STOP: Duration = Duration::from_secs(30);

/// A running server. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    settings: Settings,
    /// The port to listen on; 0 lets the system choose.
    port: u16,
    dir: TempDir,
    running: Option<Running>,
    log: Arc<Mutex<String>>,
}

#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What a test that fails found on the disk is worth more than the space.
        if std::thread::panicking() {
            self.running = None;
            self.dir.disable_cleanup(true);
            eprintln!("the data directory is kept in {}", self.dir.path().display());
        }
    }
}

/// `observatory` with `arguments`, without any setting of the environment.
pub(crate) fn command(settings: &Settings) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_observatory"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OBSERVATORY_") {
            command.env_remove(name);
        }
    }
    command.env_remove("PORT").env_remove("RUST_LOG").env("NO_COLOR", "1");
    // Events of other programs may wait in the spool of whoever runs the tests, and `run` looks for CI.
    command.env_remove("HOME").env_remove("XDG_STATE_HOME");
    command.env_remove("GITHUB_ACTIONS").env_remove("GITLAB_CI").env_remove("JENKINS_URL");
    command.args(&settings.flags).envs(settings.env.iter().map(|(name, value)| (name, value)));
    command
}

/// Runs `observatory ARGUMENTS...` to its end with `input` on standard input.
#[track_caller]
pub(crate) fn cli(arguments: &[&str], settings: &Settings, input: &str) -> Output {
    let mut command = command(&Settings { flags: Vec::new(), env: settings.env.clone() });
    command.args(arguments).args(&settings.flags);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that does not read its input may be gone already.
    let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// Starts a server that must refuse: its exit code and what it said. It may not run on.
#[track_caller]
pub(crate) fn refused(settings: &Settings) -> (i32, String) {
    let mut command = command(&Settings { flags: Vec::new(), env: settings.env.clone() });
    command.arg("serve").args(&settings.flags);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + START;
    let status = loop {
        if let Some(it) = child.try_wait().unwrap() {
            break it;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("the server runs, but should have refused: {settings:?}");
        }
        thread::sleep(Duration::from_millis(20));
    };
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.code().unwrap_or(-1), said)
}

impl Server {
    /// A server with the defaults and an empty data directory.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::start_with(Settings::new())
    }

    #[track_caller]
    pub(crate) fn start_with(settings: Settings) -> Self {
        Self::start_in(settings, |_| ())
    }

    /// A server whose data directory `prepare` makes.
    #[track_caller]
    pub(crate) fn start_in(settings: Settings, prepare: impl FnOnce(&Path)) -> Self {
        let mut server = Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            settings,
            port: 0,
            dir: tempfile::tempdir().unwrap(),
            running: None,
            log: Arc::default(),
        };
        prepare(&server.data_dir());
        server.launch();
        server
    }

    /// A server whose rules are `rules`, in a file that [`Server::rules_file`] names.
    #[track_caller]
    pub(crate) fn start_with_rules(rules: &str, settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules.yaml");
        fs::write(&file, rules).unwrap();
        let mut server = Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            settings: settings.rules(&file),
            port: 0,
            dir,
            running: None,
            log: Arc::default(),
        };
        server.launch();
        server
    }

    /// A server with these rules, whose data is in the directory `data`, which outlives it.
    #[track_caller]
    pub(crate) fn start_at(data: &Path, rules: &str, settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules.yaml");
        fs::write(&file, rules).unwrap();
        std::os::unix::fs::symlink(data, dir.path().join("data")).unwrap();
        let mut server = Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            settings: settings.rules(&file),
            port: 0,
            dir,
            running: None,
            log: Arc::default(),
        };
        server.launch();
        server
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn rules_file(&self) -> PathBuf {
        self.dir.path().join("rules.yaml")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().expect("the server runs").0.id()
    }

    /// Everything the server printed so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// A client of its own connection.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.addr)
    }

    /// A raw connection.
    #[track_caller]
    pub(crate) fn connect(&self) -> TcpStream {
        http::connect(self.addr).unwrap()
    }

    /// Sends `bytes` as they are and reads the answer.
    #[track_caller]
    pub(crate) fn raw(&self, bytes: &[u8]) -> Response {
        let mut stream = self.connect();
        std::io::Write::write_all(&mut stream, bytes).unwrap();
        Response::read(&mut BufReader::new(stream), false).unwrap()
    }

    /// What a person sees on `/metrics`.
    #[track_caller]
    pub(crate) fn metrics(&self) -> Samples {
        Samples::parse(&self.client().get("/metrics").expect(200).text())
    }

    /// Asks `/metrics` until `series` has `value`: a render may be shared for a second.
    #[track_caller]
    pub(crate) fn wait_for(&self, series: &str, value: f64) {
        eventually(Duration::from_secs(5), || match self.metrics().get(series) {
            Some(it) if (it - value).abs() < 1e-9 => Ok(()),
            other => Err(format!("{series}: {other:?} instead of {value}")),
        });
    }

    /// SIGKILL: no snapshot, no goodbye.
    pub(crate) fn kill9(&mut self) {
        self.running = None;
    }

    /// Starts again on the same data directory and is killed before long, perhaps while it reads.
    pub(crate) fn start_and_kill(&mut self, after: Duration) {
        let child = self.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let running = Running(child);
        thread::sleep(after);
        drop(running);
    }

    /// Starts again on the same data directory.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.running = None;
        self.launch();
    }

    /// Starts again on the same data directory, with other settings.
    #[track_caller]
    pub(crate) fn restart_with(&mut self, settings: Settings) {
        self.settings = settings;
        self.restart();
    }

    /// The same, where clients look for it.
    #[track_caller]
    pub(crate) fn restart_at_its_port(&mut self) {
        self.port = self.addr.port();
        self.restart();
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.pid().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// SIGTERM; the server must exit 0 in time.
    #[track_caller]
    pub(crate) fn terminate(&mut self) {
        self.signal("-TERM");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// Waits for the process to end by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("the server runs");
        let log = Arc::clone(&self.log);
        eventually(STOP, || match running.0.try_wait() {
            Ok(Some(it)) => Ok(it),
            other => Err(format!("{other:?}\n{}", log.lock().unwrap())),
        })
    }

    /// Bytes of memory that the process holds.
    #[track_caller]
    pub(crate) fn rss_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }

    fn command(&self) -> Command {
        let mut command = command(&Settings { flags: Vec::new(), env: self.settings.env.clone() });
        let listen = format!("127.0.0.1:{}", self.port);
        command.arg("serve").args(["--listen", &listen, "--data-dir"]).arg(self.data_dir());
        command.args(&self.settings.flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    #[track_caller]
    fn launch(&mut self) {
        let mut child = self.command().spawn().unwrap();
        let (send, addresses) = mpsc::channel();
        follow(child.stdout.take().unwrap(), Arc::clone(&self.log), send.clone());
        follow(child.stderr.take().unwrap(), Arc::clone(&self.log), send);
        self.running = Some(Running(child));
        let Ok(addr) = addresses.recv_timeout(START) else {
            panic!("the server did not say where it listens:\n{}", self.log())
        };
        self.addr = addr;
        eventually(START, || match self.client().try_request("GET", "/-/ready", &[], b"") {
            // With a prefix it is elsewhere.
            Ok(it) if it.status == 200 || it.status == 404 => Ok(()),
            other => Err(format!("{other:?}\n{}", self.log())),
        });
    }
}

/// Collects what the process prints and reports the first address that it names.
fn follow(
    from: impl Read + Send + 'static,
    log: Arc<Mutex<String>>,
    found: mpsc::Sender<SocketAddr>,
) {
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some(addr) = address(&line) {
                // Only the first one is awaited.
                let _ = found.send(addr);
            }
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    });
}

/// The address of `... listening on http://127.0.0.1:40123 ...`.
fn address(line: &str) -> Option<SocketAddr> {
    let rest = line.split("http://").nth(1)?;
    let end = rest.find(|it: char| !it.is_ascii_digit() && it != '.' && it != ':');
    let addr: SocketAddr =
        rest[..end.unwrap_or(rest.len())].trim_end_matches([':', '.']).parse().ok()?;
    (addr.port() != 0).then_some(addr)
}

/// The bytes of all files below `dir`, for a test that looks for what must not be there.
pub(crate) fn all_bytes(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            bytes.extend(all_bytes(&path));
        } else {
            bytes.extend(fs::read(&path).unwrap());
        }
    }
    bytes
}
