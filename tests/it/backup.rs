//! A backup of a running server, and a server that runs on what was restored from it.

use crate::support::{Random, Server, Settings, all_bytes, cli};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

const ADMIN: &str = "admin:secret-of-the-admin";

fn backup(server: &Server, arguments: &[&str]) -> Output {
    let url = format!("http://{}", server.addr);
    let settings = Settings::new().env("OBSERVATORY_URL", &url).env("OBSERVATORY_TOKEN", ADMIN);
    cli(&[&["backup"], arguments].concat(), &settings, "")
}

fn restore(file: &Path, dir: &Path) -> Output {
    let (file, dir) = (file.to_str().unwrap(), dir.to_str().unwrap());
    cli(&["restore", file, "--data-dir", dir], &Settings::new(), "")
}

#[track_caller]
fn good(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

fn event(n: u64) -> Value {
    let types = ["ci_build_completed", "log_line", "deployment_started", "deployment_completed"];
    let mut random = Random::new(n * 7919 + 1);
    json!({
        "id": format!("e{n}"),
        "event_type": types[usize::try_from(n % 4).unwrap()],
        "source": format!("s{}", random.below(3)),
        "data": {"project": "web", "status": "success", "service": format!("x{}", random.below(9)), "duration_seconds": random.below(90)},
    })
}

fn events(server: &Server) -> Vec<Value> {
    let mut client = server.client().with_header("authorization", "Bearer secret-of-the-admin");
    let page = client.get("/api/v1/events?order=asc&limit=10000").expect(200).json();
    page["events"].as_array().unwrap().clone()
}

#[test]
fn a_server_runs_on_what_was_restored() {
    let settings = Settings::new().token(ADMIN);
    let server = Server::start_with(settings.clone());
    let mut client = server.client().with_header("authorization", "Bearer secret-of-the-admin");
    let created =
        client.post("/api/v1/tokens", "application/json", br#"{"name":"ci","roles":["ingest"]}"#);
    let secret = created.expect(201).json()["token"].as_str().unwrap().to_owned();
    for n in 0..500 {
        client.event(&event(n)).expect(202);
    }
    let (before, metrics) = (events(&server), server.metrics().of_rules());
    assert!(metrics.sum("ci_builds_total") >= 125.0);

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.backup");
    let output = backup(&server, &["-o", file.to_str().unwrap()]);
    assert_eq!(good(&output), file.to_str().unwrap());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    let bytes = fs::read(&file).unwrap();
    let found = bytes.windows(secret.len()).any(|it| it == secret.as_bytes());
    assert!(!found, "the secret of a token is in the backup");
    // What comes after it is not in it.
    client.event(&event(500)).expect(202);
    drop(server);

    let output = cli(&["restore", file.to_str().unwrap(), "--verify"], &Settings::new(), "");
    assert!(good(&output).contains("500 events"), "{output:?}");
    let restored = Server::start_in(settings, |data| {
        good(&restore(&file, data));
    });
    assert_eq!(events(&restored), before);
    assert_eq!(restored.metrics().of_rules(), metrics);
    let mut ci = restored.client().with_header("authorization", &format!("Bearer {secret}"));
    assert_eq!(ci.event(&event(7)).expect(202).json()["status"], "duplicate");
    assert_eq!(ci.event(&event(500)).expect(202).json()["status"], "accepted");
    assert!(!all_bytes(&restored.data_dir()).is_empty());
}

#[test]
fn a_backup_under_load_is_one_moment() {
    let server = Server::start_with(Settings::new().token(ADMIN));
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..3)
        .map(|sender| {
            let stop = Arc::clone(&stop);
            let mut client =
                server.client().with_header("authorization", "Bearer secret-of-the-admin");
            thread::spawn(move || {
                let mut n = sender * 1_000_000;
                while !stop.load(Ordering::Relaxed) {
                    client.event(&event(n)).expect(202);
                    n += 1;
                }
            })
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    for n in 0..3 {
        let file = dir.path().join(format!("{n}.backup"));
        good(&backup(&server, &["-o", file.to_str().unwrap()]));
        let restored = Server::start_in(Settings::new().token(ADMIN), |data| {
            good(&restore(&file, data));
        });
        let events = events(&restored);
        let count = |kind: &str| events.iter().filter(|it| it["event_type"] == kind).count();
        let builds = u32::try_from(count("ci_build_completed")).unwrap();
        assert_eq!(restored.metrics().sum("ci_builds_total"), f64::from(builds));
        let sequences: Vec<_> = events.iter().map(|it| it["sequence"].as_u64().unwrap()).collect();
        assert_eq!(sequences, (1..=events.len() as u64).collect::<Vec<_>>());
    }
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|it| it.join().unwrap());
}

#[test]
fn a_backup_that_was_cut_off_and_a_directory_in_use_are_refused() {
    let server = Server::start_with(Settings::new().token(ADMIN));
    let mut client = server.client().with_header("authorization", "Bearer secret-of-the-admin");
    client.event(&event(0)).expect(202);
    let dir = tempfile::tempdir().unwrap();
    let name = good(&backup(&server, &["--output", dir.path().to_str().unwrap()]));
    let whole = fs::read(&name).unwrap();
    let cut = dir.path().join("cut.backup");
    fs::write(&cut, &whole[..whole.len() - 20]).unwrap();
    let target = dir.path().join("target");
    let output = restore(&cut, &target);
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cut off"), "{output:?}");
    assert!(!target.exists());
    // The directory of the running server is not empty.
    let output = restore(Path::new(&name), &server.data_dir());
    assert_eq!(output.status.code(), Some(73), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"), "{output:?}");
    client.get("/api/v1/events").expect(200);
    server.client().post("/api/v1/maintenance/backup", "", b"").expect(401);
}
