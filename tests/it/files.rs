//! `observatory import` and `observatory export` against a real server.

use crate::support::{Server, Settings, cli, command, eventually};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    thread,
    time::Duration,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const EVENTS: u64 = 50_000;

fn at(server: &Server) -> Settings {
    Settings::new().env("OBSERVATORY_URL", &format!("http://{}", server.addr))
}

#[track_caller]
fn check(output: &Output, code: i32, out: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), out, "{errors}");
    assert_eq!(output.status.code(), Some(code), "{errors}");
}

fn import(server: &Server, file: &Path) -> Output {
    cli(&["import", "events", file.to_str().unwrap()], &at(server), "")
}

/// A file of events, of which every second has an id.
fn file(dir: &TempDir, events: u64) -> PathBuf {
    let mut text = String::new();
    for n in 0..events {
        let time = format!("2026-01-05T10:{:02}:{:02}Z", n / 60 % 60, n % 60);
        let mut event = json!({"type": "ci_build_completed", "source": "file", "timestamp": time,
            "data": {"n": n, "project": "web", "status": "success"}});
        if n % 2 == 0 {
            event["id"] = json!(format!("file-{n}"));
        }
        text.push_str(&(event.to_string() + "\n"));
    }
    let path = dir.path().join("events.ndjson");
    fs::write(&path, text).unwrap();
    path
}

const COUNTED: &str = r#"ci_builds_total{project="web",branch="main",result="success"}"#;

#[test]
#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn a_file_that_is_imported_twice_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, EVENTS);
    let server = Server::start();
    check(&import(&server, &path), 0, "accepted 50000, duplicates 0, rejected 0\n");
    check(&import(&server, &path), 0, "accepted 0, duplicates 50000, rejected 0\n");
    // Under another name, and compressed, it is the same.
    let zst = dir.path().join("other.zst");
    fs::write(&zst, zstd::encode_all(&*fs::read(&path).unwrap(), 1).unwrap()).unwrap();
    check(&import(&server, &zst), 0, "accepted 0, duplicates 50000, rejected 0\n");
    server.wait_for(COUNTED, EVENTS as f64);
    let first = server.client().get("/api/v1/events?order=asc&limit=1").expect(200).json();
    assert_eq!(first["events"][0]["timestamp"], "2026-01-05T10:00:00Z");
    assert_eq!(first["events"][0]["id"], "file-0");
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn a_killed_import_is_continued() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, EVENTS);
    let server = Server::start();
    let mut command = command(&at(&server));
    command.args(["import", "events", "-"]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let bytes = fs::read(&path).unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&bytes[..bytes.len() / 2]).unwrap();
    eventually(PATIENCE, || match server.metrics().get(COUNTED) {
        Some(it) if it > 0.0 => Ok(()),
        other => Err(other),
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let output = import(&server, &path);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("accepted 0") && !said.contains("duplicates 0"), "{said}");
    server.wait_for(COUNTED, EVENTS as f64);
}

#[test]
fn an_import_outlives_a_restart_of_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, 2000);
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut server = Server::start_with(Settings::new().flag("--listen").flag(&addr.to_string()));
    let mut command = command(&Settings::new().env("OBSERVATORY_URL", &format!("http://{addr}")));
    command.args(["import", "events", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    server.kill9();
    input.write_all(&fs::read(&path).unwrap()).unwrap();
    drop(input);
    thread::sleep(Duration::from_millis(300));
    server.restart();
    check(&child.wait_with_output().unwrap(), 0, "accepted 2000, duplicates 0, rejected 0\n");
}

#[test]
fn what_is_rejected_is_named_and_the_rest_is_imported() {
    let server = Server::start();
    let input = "{\"type\":\"a\",\"data\":{}}\nnonsense\n\n{\"source\":\"s\",\"data\":{}}\n{\"type\":\"b\",\"data\":{}}\n";
    let output = cli(&["import", "events", "-"], &at(&server), input);
    check(&output, 1, "accepted 2, duplicates 0, rejected 2\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("standard input:2: "), "{said}");
    assert!(said.contains("standard input:4: event_type is required"), "{said}");
}

#[test]
fn what_was_exported_can_be_imported_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, 3000);
    let server = Server::start();
    import(&server, &path);
    server
        .client()
        .event(&json!({"type": "traced", "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "subject": "x", "data": {"big": 12_345_678_901_234_567_890_u64}}))
        .expect(202);
    let out = dir.path().join("out.ndjson.gz");
    let name = out.to_str().unwrap();
    let output = cli(&["export", "events", "-o", name], &at(&server), "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let other = Server::start();
    check(&import(&other, &out), 0, "accepted 3001, duplicates 0, rejected 0\n");
    // Where it came from, all of it is known: the ids of its senders, and those that the server made.
    check(&import(&server, &out), 0, "accepted 0, duplicates 3001, rejected 0\n");
    let all = |server: &Server| -> Vec<Value> {
        let text = cli(&["export", "events"], &at(server), "").stdout;
        let lines = String::from_utf8(text).unwrap();
        let mut events: Vec<Value> =
            lines.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        for it in &mut events {
            it.as_object_mut().unwrap().remove("received_at");
        }
        events
    };
    assert_eq!(all(&other), all(&server));
    assert_eq!(all(&server).len(), 3001);
}

#[test]
fn an_export_is_filtered_and_has_a_format() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start();
    import(&server, &file(&dir, 10));
    let out = dir.path().join("out.csv");
    let name = out.to_str().unwrap();
    let arguments = ["export", "events", "*{n >= 8}", "--columns", "timestamp,data.n", "-o", name];
    let output = cli(&arguments, &at(&server), "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = fs::read_to_string(&out).unwrap();
    let rows: Vec<_> = text.lines().skip(1).map(str::trim_end).collect();
    assert_eq!(rows, ["2026-01-05T10:00:08Z,8", "2026-01-05T10:00:09Z,9"], "{text}");
    let arguments = ["export", "events", "--format", "json", "--limit", "2", "--order", "desc"];
    let array: Value = serde_json::from_slice(&cli(&arguments, &at(&server), "").stdout).unwrap();
    assert_eq!(array[1]["data"]["n"], 8);
}

/// The server is killed while it writes: nothing may look like a whole export.
#[test]
fn an_export_that_breaks_off_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start();
    import(&server, &file(&dir, EVENTS));
    let out = dir.path().join("out.ndjson");
    // A relay that stops in the middle of the stream until the server is gone.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut command = command(&Settings::new().env("OBSERVATORY_URL", &url));
    command.args(["export", "events", "-o", out.to_str().unwrap()]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut client, _) = listener.accept().unwrap();
    let mut upstream = server.connect();
    let mut head = [0; 4096];
    let read = client.read(&mut head).unwrap();
    upstream.write_all(&head[..read]).unwrap();
    let mut some = vec![0; 200_000];
    upstream.read_exact(&mut some).unwrap();
    client.write_all(&some).unwrap();
    eventually(PATIENCE, || {
        if dir.path().join("out.ndjson.part").exists() { Ok(()) } else { Err("no .part") }
    });
    server.kill9();
    drop((client, upstream));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["events.ndjson"]);
}
