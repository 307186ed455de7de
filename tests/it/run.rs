//! `observatory run`: the command is untouched, and its events arrive, sooner or later, once.

use crate::support::{Server, Settings, cli, command, eventually};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
/// A machine that is busy with other tests answers late; only one test is about not waiting.
const TIMEOUT: &str = "--timeout=30";

/// Where events wait, and which server they are for.
struct Place {
    dir: TempDir,
    url: String,
}

impl Place {
    /// For a server that is not there.
    fn nowhere() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), url: "http://127.0.0.1:1".to_owned() }
    }

    fn at(server: &Server) -> Self {
        let url = format!("http://{}", server.addr);
        Self { dir: tempfile::tempdir().unwrap(), url }
    }

    /// The same spool for a server that is there now.
    fn moved_to(self, server: &Server) -> Self {
        Self { url: format!("http://{}", server.addr), ..self }
    }

    fn settings(&self) -> Settings {
        let spool = self.dir.path().to_str().unwrap();
        Settings::new().env("OBSERVATORY_SPOOL", spool).env("OBSERVATORY_URL", &self.url)
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        cli(arguments, &self.settings(), "")
    }

    /// `observatory run WORDS...`
    fn run(&self, words: &[&str]) -> Output {
        self.cli(&[&["run", TIMEOUT], words].concat())
    }

    /// The same, not waited for.
    fn start(&self, words: &[&str]) -> Child {
        let mut command = command(&self.settings());
        command.args(["run", TIMEOUT]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The files of events that wait, oldest first.
    fn waiting(&self) -> Vec<std::path::PathBuf> {
        json_files(self.dir.path())
    }
}

fn json_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|it| it.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|it| it.extension().is_some_and(|it| it == "json")).collect();
    files.sort();
    files
}

/// All events, in the order of their arrival.
#[track_caller]
fn events(server: &Server) -> Vec<Value> {
    let page = server.client().get("/api/v1/events?order=asc&limit=10000").expect(200).json();
    page["events"].as_array().unwrap().clone()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn send_signal(signal: &str, child: &Child) {
    let status =
        std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

#[test]
fn the_exit_code_is_that_of_the_command() {
    let server = Server::start();
    let place = Place::at(&server);
    let table: &[(&[&str], i32, Option<&str>)] = &[
        (&["true"], 0, None),
        (&["sh", "-c", "exit 42"], 42, None),
        (&["sh", "-c", "kill -TERM $$"], 143, Some("SIGTERM")),
        (&["sh", "-c", "kill -KILL $$"], 137, Some("SIGKILL")),
        (&["no-such-program-anywhere"], 127, None),
        (&["/no/such/program"], 127, None),
        (&["/"], 126, None),
    ];
    for (words, code, _) in table {
        let output = place.run(&[&["--name", "it", "--"], *words].concat());
        assert_eq!(output.status.code(), Some(*code), "{words:?}: {}", said(&output));
        let silent = !matches!(code, 126 | 127);
        assert_eq!(said(&output).is_empty(), silent, "{words:?}: {}", said(&output));
    }
    let events = events(&server);
    assert_eq!(events.len(), 2 * table.len());
    for ((words, code, signal), pair) in table.iter().zip(events.chunks(2)) {
        let [started, completed] = pair else { panic!("{pair:?}") };
        assert_eq!(started["type"], "ci_build_started", "{words:?}");
        assert_eq!(completed["type"], "ci_build_completed", "{words:?}");
        assert_eq!(started["data"]["build_id"], completed["data"]["build_id"]);
        let data = &completed["data"];
        assert_eq!(data["exit_code"], *code, "{words:?}");
        assert_eq!(data["status"], if *code == 0 { "success" } else { "failure" });
        assert_eq!(data.get("signal").and_then(Value::as_str), *signal, "{words:?}");
        assert!(data["duration_seconds"].as_f64().unwrap() < 60.0, "{data}");
    }
    assert!(place.waiting().is_empty());
    server.wait_for(r#"ci_builds_started_total{project="it",branch="main"}"#, 7.0);
    server.wait_for(r#"ci_builds_total{project="it",branch="main",result="failure"}"#, 6.0);
    server.wait_for(r#"ci_build_duration_seconds_count{project="it",result="success"}"#, 1.0);
    server.wait_for(r#"ci_build_in_flight{project="it"}"#, 0.0);
}

#[test]
fn the_streams_of_the_command_are_its_own() {
    let place = Place::nowhere();
    let script = "cat; echo problem >&2; exit 5";
    let arguments = ["run", "--", "sh", "-c", script];
    let output = cli(&arguments, &place.settings(), "from a pipe\n");
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "from a pipe\n");
    let errors = said(&output);
    assert!(errors.starts_with("problem\nobservatory: nothing answers"), "{errors}");
    assert!(errors.contains("2 events wait in"), "{errors}");
}

#[test]
fn signals_reach_the_command_and_its_answer_counts() {
    let server = Server::start();
    let place = Place::at(&server);
    for (signal, code) in [("TERM", 3), ("INT", 4), ("HUP", 5), ("USR1", 6)] {
        // The trap says how often it came; a second one would be seen.
        let script = format!(
            "n=0; trap 'n=$((n+1))' {signal}; echo ready; \
             while [ $n -eq 0 ]; do sleep 0.05; done; sleep 0.3; echo $n; exit {code}"
        );
        let mut run = place.start(&["--", "sh", "-c", &script]);
        let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        send_signal(&format!("-{signal}"), &run);
        assert_eq!(lines.next().unwrap().unwrap(), "1", "{signal}");
        assert_eq!(run.wait().unwrap().code(), Some(code), "{signal}");
    }
    // A command that does not catch it dies of it, and its parent says so.
    let mut run = place.start(&["--", "sh", "-c", "echo ready; exec sleep 60"]);
    let mut line = String::new();
    BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
    send_signal("-TERM", &run);
    assert_eq!(run.wait().unwrap().code(), Some(143));
    let last = events(&server).pop().unwrap();
    assert_eq!(
        (&last["data"]["signal"], &last["data"]["exit_code"]),
        (&"SIGTERM".into(), &143.into())
    );
}

/// Says who sent each SIGINT that it gets: 0 is the terminal.
const SENDERS: &str = "import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print('ready', flush=True)
senders = []
while True:
    it = signal.sigtimedwait([signal.SIGINT], 1)
    if it: senders.append(it.si_pid)
    elif senders: break
print('senders', sorted(set(senders)), flush=True)
sys.exit(9)";

/// Runs its arguments on a terminal and types Ctrl-C a few times, for two signals in one moment are one.
const TERMINAL: &str = "import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
said = b''
while b'ready' not in said: said += os.read(fd, 100)
for _ in range(5):
    os.write(fd, b'\\x03')
    time.sleep(0.1)
try:
    while True: said += os.read(fd, 1000) or sys.exit('eof')
except OSError: pass
sys.stdout.write(said.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))";

/// The terminal gives Ctrl-C to the command itself: passed on, it would come twice.
#[test]
fn what_the_terminal_sends_is_not_passed_on() {
    let place = Place::nowhere();
    let ours = command(&place.settings());
    let mut command = std::process::Command::new("python3");
    command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.args(["-c", TERMINAL]).arg(ours.get_program()).args(["run", "--"]);
    let Ok(output) = command.args(["python3", "-c", SENDERS]).output() else {
        eprintln!("skipped: needs python3");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("senders [0]"), "{text}{}", said(&output));
    assert_eq!(output.status.code(), Some(9), "{text}");
}

#[test]
fn what_a_parent_ignores_stays_ignored() {
    let ours = command(&Place::nowhere().settings());
    let mut command = std::process::Command::new("sh");
    command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let script = "trap '' HUP; exec \"$0\" run -- grep SigIgn /proc/self/status";
    let output = command.args(["-c", script]).arg(ours.get_program()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mask = u64::from_str_radix(text.split_whitespace().last().unwrap(), 16).unwrap();
    assert_eq!(mask & 1, 1, "SIGHUP is no longer ignored: {text}");
}

#[test]
fn what_the_server_missed_arrives_later_in_order_with_its_own_time() {
    let place = Place::nowhere();
    for name in ["one", "two", "three"] {
        let output = place.run(&["--name", name, "--", "true"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    let times: Vec<_> = place.waiting().iter().map(|it| time_of(it)).collect();
    assert_eq!(times.len(), 6);
    let server = Server::start();
    let place = place.moved_to(&server);
    // An event that is at hand comes after those that wait.
    let output = place.cli(&["send", "newer", TIMEOUT]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("delivered 6 events"), "{}", said(&output));
    assert!(place.waiting().is_empty());
    let events = events(&server);
    let names: Vec<_> = events.iter().map(|it| it["data"]["name"].as_str()).collect();
    let expected = ["one", "one", "two", "two", "three", "three"].map(Some);
    assert_eq!(names[..6], expected);
    assert_eq!(events[6]["type"], "newer");
    let arrived: Vec<_> =
        events[..6].iter().map(|it| it["timestamp"].as_str().unwrap().to_owned()).collect();
    assert_eq!(arrived, times);
    let output = place.cli(&["send", "--flush", TIMEOUT]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "delivered 0, put aside 0\n");
    server.wait_for("observatory_events_duplicate_total", 0.0);
}

fn time_of(file: &Path) -> String {
    let event: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    event["timestamp"].as_str().unwrap().to_owned()
}

/// The answer was lost, or the process was killed before it could remove the file.
#[test]
fn what_was_delivered_and_still_lies_there_counts_once() {
    let place = Place::nowhere();
    place.run(&["--name", "it", "--", "true"]);
    let copies: Vec<_> =
        place.waiting().into_iter().map(|it| (fs::read(&it).unwrap(), it)).collect();
    let server = Server::start();
    let place = place.moved_to(&server);
    for _ in 0..2 {
        for (bytes, path) in &copies {
            fs::write(path, bytes).unwrap();
        }
        let output = place.cli(&["send", "--flush", TIMEOUT]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "delivered 2, put aside 0\n");
    }
    assert_eq!(events(&server).len(), 2);
    server.wait_for(r#"ci_builds_total{project="it",branch="main",result="success"}"#, 1.0);
}

#[test]
fn a_killed_run_leaves_what_it_had_to_tell() {
    let place = Place::nowhere();
    let mut run = place.start(&["--name", "killed", "--", "sh", "-c", "echo $$; exec sleep 60"]);
    let mut line = String::new();
    BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    // The command goes on without its parent.
    let pid = line.trim();
    assert!(Path::new("/proc").join(pid).exists());
    std::process::Command::new("kill").arg(pid).status().unwrap();
    let server = Server::start();
    let place = place.moved_to(&server);
    let output = place.run(&["--name", "next", "--", "true"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let types = |it: &Value| {
        format!("{} {}", it["data"]["name"].as_str().unwrap(), it["type"].as_str().unwrap())
    };
    let types: Vec<_> = events(&server).iter().map(types).collect();
    let expected = ["killed ci_build_started", "next ci_build_started", "next ci_build_completed"];
    assert_eq!(types, expected);
}

#[test]
fn killed_at_any_moment_the_spool_stays_whole_and_nothing_counts_twice() {
    let server = Server::start();
    let place = Place::at(&server);
    for round in 0..30 {
        let mut run = place.start(&["--", "true"]);
        std::thread::sleep(Duration::from_millis(round * 2));
        // It may be at its end already.
        let _ = run.kill();
        run.wait().unwrap();
    }
    let output = place.cli(&["send", "--flush", TIMEOUT]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(place.waiting().is_empty());
    assert!(!place.dir.path().join("aside").exists(), "{}", said(&output));
    let events = events(&server);
    let mut ids: Vec<_> = events.iter().map(|it| it["id"].as_str().unwrap()).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    let completed = events.iter().filter(|it| it["type"] == "ci_build_completed");
    for it in completed {
        let id = it["data"]["build_id"].as_str().unwrap();
        assert!(ids.contains(&format!("{id}-started").as_str()), "{it}");
    }
}

#[test]
fn several_at_once_share_a_spool() {
    let place = Place::nowhere();
    let together = |place: &Place| {
        let runs: Vec<_> = (0..8).map(|_| place.start(&["--", "true"])).collect();
        for mut run in runs {
            assert_eq!(run.wait().unwrap().code(), Some(0));
        }
    };
    together(&place);
    assert_eq!(place.waiting().len(), 16);
    let server = Server::start();
    let place = place.moved_to(&server);
    together(&place);
    assert!(place.waiting().is_empty(), "{:?}", place.waiting());
    let events = events(&server);
    assert_eq!(events.len(), 32);
    server.wait_for("observatory_events_duplicate_total", 0.0);
    server.wait_for(r#"ci_builds_total{project="true",branch="main",result="success"}"#, 16.0);
}

#[test]
fn a_damaged_or_refused_event_is_put_aside_and_told() {
    let place = Place::nowhere();
    place.run(&["--name", "good", "--", "true"]);
    fs::write(place.dir.path().join("00000000000000000001.json"), "{\"id\": ").unwrap();
    // No event may have so long a type.
    let refused = format!(r#"{{"id":"x","event_type":"{}"}}"#, "t".repeat(300));
    fs::write(place.dir.path().join("00000000000000000002.json"), refused).unwrap();
    let server = Server::start();
    let place = place.moved_to(&server);
    let output = place.cli(&["send", "--flush", TIMEOUT]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "delivered 2, put aside 2\n");
    let errors = said(&output);
    assert!(errors.contains("the file is no JSON object"), "{errors}");
    assert!(errors.contains("event_type"), "{errors}");
    assert!(place.waiting().is_empty());
    assert_eq!(json_files(&place.dir.path().join("aside")).len(), 2);
    assert_eq!(events(&server).len(), 2);
}

#[test]
fn a_server_that_does_not_answer_holds_up_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let place = Place { url, ..Place::nowhere() };
    let began = Instant::now();
    let mut command = command(&place.settings());
    command.args(["run", "--", "sh", "-c", "echo here; exit 3"]);
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = String::new();
    BufReader::new(run.stdout.take().unwrap()).read_line(&mut output).unwrap();
    let ran = began.elapsed();
    assert_eq!(run.wait().unwrap().code(), Some(3));
    let ended = began.elapsed();
    assert_eq!(output, "here\n");
    // The command is done long before the two seconds of the time-out are over, and little comes after them.
    assert!(ran < Duration::from_millis(1500), "{ran:?}");
    assert!(ended < Duration::from_secs(10), "{ended:?}");
    assert_eq!(place.waiting().len(), 2);
}

#[test]
fn who_waits_for_the_end_may_end_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let place = Place { url, ..Place::nowhere() };
    let mut command = command(&place.settings());
    command.args(["run", "--timeout", "600", "--", "true"]);
    let mut run = command.stderr(Stdio::piped()).spawn().unwrap();
    // The command has ended when the second event is there.
    eventually(PATIENCE, || if place.waiting().len() == 2 { Ok(()) } else { Err("too few") });
    send_signal("-INT", &run);
    let status = eventually(PATIENCE, || run.try_wait().unwrap().ok_or("it waits"));
    assert_eq!(status.code(), Some(0));
    assert_eq!(place.waiting().len(), 2);
}

#[test]
fn a_full_spool_forgets_the_oldest_and_says_so() {
    let place = Place::nowhere();
    for number in 0..10_000 {
        let path = place.dir.path().join(format!("{number:020}.json"));
        fs::write(path, format!(r#"{{"id":"{number}","event_type":"t"}}"#)).unwrap();
    }
    let output = place.run(&["--", "true"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(said(&output).contains("the spool is full"), "{}", said(&output));
    let waiting = place.waiting();
    assert_eq!(waiting.len(), 10_000);
    assert!(waiting[0].ends_with("00000000000000000002.json"), "{:?}", waiting[0]);
}

#[test]
fn a_bad_address_or_spool_does_not_keep_the_command_from_running() {
    let place = Place { url: "ftp://nowhere".to_owned(), ..Place::nowhere() };
    let output = place.run(&["--", "sh", "-c", "exit 4"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output).contains("ftp://nowhere"), "{}", said(&output));
    let server = Server::start();
    let place = Place::at(&server);
    let output = place.run(&["--spool", "/dev/null/x", "--", "sh", "-c", "exit 4"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output).contains("/dev/null/x"), "{}", said(&output));
    // Without a spool the events are sent all the same.
    assert_eq!(events(&server).len(), 2);
    eventually(PATIENCE, || match place.waiting().len() {
        0 => Ok(()),
        n => Err(n),
    });
}
