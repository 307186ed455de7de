//! `observatory verify`: whatever byte of the stored files changes, it is told, and can be repaired.

use crate::support::{Random, Server, Settings, cli, refused};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

const RULES: &str = r#"
version: 1
metrics:
  load_events_total:
    help: Events of the load.
    match: load
    count: 1
    labels: {kind: $kind}
"#;

/// Single events and batches, with ids and without, merged and not; then a stop of either kind.
fn filled(clean: bool) -> Server {
    let mut server = Server::start_with_rules(RULES, Settings::new());
    let mut client = server.client();
    for n in 0..150 {
        let noise = format!("{:x}", (n + 7) * 0x9e37_79b9_7f4a_7c15_u128);
        let event = |i: usize| json!({"id": format!("e{n}-{i}"), "event_type": "load", "source": "s", "data": {"kind": n % 7, "noise": noise}});
        let body = match n % 10 {
            0 => Value::from((0..300).map(event).collect::<Vec<_>>()),
            _ => event(0),
        };
        client.post("/api/v1/events", "application/json", body.to_string().as_bytes()).expect(202);
    }
    client.post("/api/v1/tokens", "application/json", br#"{"name": "ci", "roles": ["read"]}"#);
    if clean {
        server.terminate()
    } else {
        server.kill9()
    }
    server
}

fn verify(data: &Path, flags: &[&str]) -> (i32, Value) {
    let arguments = [&["verify", "--json", "--data-dir", data.to_str().unwrap()], flags].concat();
    let output = cli(&arguments, &Settings::new(), "");
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(!err.contains("panicked"), "{err}");
    let report = serde_json::from_str(&out).unwrap_or_else(|_| json!({"error": err}));
    (output.status.code().unwrap(), report)
}

fn files(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut res = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            res.extend(files(&path));
        } else {
            let len = path.metadata().unwrap().len();
            res.push((path, len));
        }
    }
    res.sort();
    res
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for (path, _) in files(from) {
        let target = to.path().join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
    to
}

/// A server on `data` that asks nobody for a token: there is one in it.
fn open(data: &Path) -> Server {
    Server::start_at(data, RULES, Settings::new().flag("--no-auth"))
}

fn ids(server: &Server) -> BTreeSet<String> {
    let mut res = BTreeSet::new();
    let (mut client, mut cursor) = (server.client(), String::new());
    loop {
        let page = client.get(&format!("/api/v1/events?limit=1000{cursor}")).expect(200).json();
        for event in page["events"].as_array().unwrap() {
            let id = ["id", "event_id"].iter().find_map(|it| event[*it].as_str()).unwrap();
            assert!(res.insert(id.to_owned()), "{id} is there twice");
        }
        cursor = match &page["next"] {
            Value::Null => return res,
            it => format!("&cursor={}", it.as_str().map_or(it.to_string(), str::to_owned)),
        };
    }
}

/// Events whose loss is reported.
fn lost(report: &Value) -> usize {
    let findings = report["findings"].as_array().unwrap();
    let texts = findings.iter().map(|it| it["lost"].as_str().unwrap());
    texts.filter_map(|it| it.strip_suffix(" events")?.parse::<usize>().ok()).sum()
}

#[test]
fn a_whole_store_is_well() {
    for clean in [true, false] {
        let server = filled(clean);
        let (code, report) = verify(&server.data_dir(), &[]);
        assert_eq!((code, &report["findings"]), (0, &json!([])), "{report}");
        assert_eq!(report["events"], 15 * 300 + 135);
        // Repairing what is well changes nothing.
        let (code, report) = verify(&server.data_dir(), &["--repair"]);
        assert_eq!((code, &report["quarantine"]), (0, &Value::Null), "{report}");
    }
}

#[test]
fn a_running_server_is_not_checked() {
    let server = Server::start();
    let (code, report) = verify(&server.data_dir(), &[]);
    assert_eq!(code, 73, "{report}");
    assert!(report["error"].as_str().unwrap().contains(&server.pid().to_string()), "{report}");
    let (code, report) = verify(Path::new("/nonexistent"), &[]);
    assert_eq!(code, 73, "{report}");
    assert!(!Path::new("/nonexistent").exists());
}

#[test]
fn a_flipped_byte_is_reported_and_repaired() {
    for (clean, seed) in [(true, 5), (false, 11)] {
        let original = filled(clean);
        let reference = copy(&original.data_dir());
        let expected = ids(&open(reference.path()));
        let mut random = Random::new(seed);
        let mut damaged_stores = 0;
        for round in 0..14 {
            let damaged = copy(&original.data_dir());
            let data = damaged.path();
            let all = files(data);
            // Every file in turn, and then wherever most bytes are.
            let (path, len) = match all.iter().filter(|it| it.1 > 0).nth(round) {
                Some(it) => it.clone(),
                None => (data.join("db/db"), data.join("db/db").metadata().unwrap().len()),
            };
            let at = random.below(len);
            flip(&path, at);
            let place = format!("{} at {at} of {len}", path.strip_prefix(data).unwrap().display());
            check_repair(data, &expected, &place, &mut damaged_stores);
        }
        assert!(damaged_stores >= 3, "only {damaged_stores} flips mattered");
    }
}

fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
}

#[track_caller]
fn check_repair(data: &Path, expected: &BTreeSet<String>, place: &str, damaged_stores: &mut u32) {
    let (code, report) = verify(data, &[]);
    if code == 0 {
        assert_eq!(&ids(&open(data)), expected, "{place}");
        return;
    }
    *damaged_stores += 1;
    if report.get("findings").is_none() {
        // Another format, or pages that do not fit together: told, and not changed.
        assert_eq!(code, 73, "{place}: {report}");
        return;
    }
    assert_eq!(code, 1, "{place}: {report}");
    let settings = Settings::new().flag("--listen").flag("127.0.0.1:0");
    let before = files(data);
    let (code, said) = refused(&settings.flag("--data-dir").flag(data.to_str().unwrap()));
    assert_eq!(code, 73, "{place}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    assert!(said.contains("verify"), "{place}: {said}");
    assert!(before.iter().all(|it| it.0.exists()), "{place}: a file is gone");
    let (code, repaired) = verify(data, &["--repair"]);
    if code == 73 {
        // The pages that are left do not fit together: nothing can be done, and nothing was changed.
        assert!(repaired["error"].as_str().unwrap().contains("restore a backup"), "{repaired}");
        assert_eq!(before, files(data), "{place}");
        return;
    }
    assert_eq!(code, 1, "{place}: {repaired}");
    let kept = PathBuf::from(repaired["quarantine"].as_str().unwrap());
    assert!(kept.join("manifest.json").exists() && kept.join("db").exists(), "{place}");
    assert!(!data.join("salvage").exists() && !data.join("repaired").exists(), "{place}");
    let (code, report) = verify(data, &[]);
    assert_eq!(code, 0, "{place}: {report} after {repaired}");
    let server = open(data);
    let left = ids(&server);
    assert!(left.is_subset(expected), "{place}");
    assert_eq!(left.len() + lost(&repaired), expected.len(), "{place}: {repaired}");
    // And it goes on.
    let event = json!({"id": "new", "event_type": "load", "source": "s", "data": {"kind": "new"}});
    assert_eq!(server.client().event(&event).expect(202).json()["status"], "accepted");
    server.wait_for("load_events_total{kind=\"new\"}", 1.0);
    assert_eq!(ids(&server).len(), left.len() + 1, "{place}");
}
