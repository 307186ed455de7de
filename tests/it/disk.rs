//! What a disk can do: be full, refuse, or give back something else than was written.

use crate::support::{Call, Client, Disk, Faults, Samples, Server, Settings, eventually, refused};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(30);

const RULES: &str = r#"
version: 1
metrics:
  load_events_total:
    help: Events of the load.
    match: load
    count: 1
  load_units_total:
    help: The sum of what the events carry.
    match: load
    count: $units
"#;

/// A batch whose events carry 1 each and do not compress well.
fn batch(prefix: &str, n: usize, size: usize) -> (Vec<String>, String) {
    let ids: Vec<_> = (0..size).map(|it| format!("{prefix}-{n}-{it}")).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ n as u64;
    let mut noise = || {
        let mut text = String::new();
        for _ in 0..12 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(&format!("{state:016x}"));
        }
        text
    };
    let event = |id: &String| json!({"id": id, "event_type": "load", "source": prefix, "data": {"units": 1, "noise": noise()}});
    let events: Vec<_> = ids.iter().map(event).collect();
    let body = if size == 1 { events[0].to_string() } else { Value::from(events).to_string() };
    (ids, body)
}

fn post(client: &mut Client, body: &str) -> crate::support::Response {
    client.post("/api/v1/events", "application/json", body.as_bytes())
}

/// Sends single events and batches until it is told to stop; returns what was acknowledged. Whatever is not
/// taken is answered 507 with a reason and a time to come back.
fn load(mut client: Client, prefix: &str, stop: &AtomicBool) -> (Vec<String>, u32) {
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (ids, body) = batch(prefix, n, if n % 3 == 0 { 400 } else { 1 });
        let answer = post(&mut client, &body);
        match answer.status {
            202 => acknowledged.extend(ids),
            507 => {
                let said = answer.json();
                assert_eq!(said["error"], "insufficient_storage");
                assert!(said["message"].as_str().unwrap().contains("bytes are free"), "{said}");
                assert!(!answer.header("retry-after").is_empty());
                refused += 1;
                thread::sleep(Duration::from_millis(10));
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    (acknowledged, refused)
}

/// Every id that is stored, with how often.
fn stored(client: &mut Client) -> HashMap<String, u32> {
    let mut res = HashMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/events?type=load&order=asc&limit=1000{cursor}");
        let page = client.get(&path).expect(200).json();
        for event in page["events"].as_array().unwrap() {
            let id = ["id", "event_id"].iter().find_map(|it| event[*it].as_str()).unwrap();
            *res.entry(id.to_owned()).or_default() += 1;
        }
        cursor = match &page["next"] {
            Value::Null => return res,
            it => format!("&cursor={}", it.as_str().map_or(it.to_string(), str::to_owned)),
        };
    }
}

/// Nothing acknowledged is lost, nothing is there twice, the counters are the fold of the journal.
#[track_caller]
fn check(server: &Server, acknowledged: &[String]) {
    let stored = stored(&mut server.client());
    let twice: Vec<_> = stored.iter().filter(|it| *it.1 > 1).collect();
    assert!(twice.is_empty(), "stored twice: {twice:?}");
    let lost: Vec<_> = acknowledged.iter().filter(|it| !stored.contains_key(*it)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let n = f64::from(u32::try_from(stored.len()).unwrap());
    server.wait_for("load_events_total", n);
    server.wait_for("load_units_total", n);
}

#[test]
fn a_full_disk_refuses_events_and_takes_them_when_there_is_room() {
    let Some(disk) = Disk::mount(96) else { return };
    let mut server = Server::start_at(disk.path(), RULES, Settings::new());
    let pid = server.pid();
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..3)
            .map(|it| (server.client(), format!("r{round}s{it}"), Arc::clone(&stop)))
            .map(|(client, prefix, stop)| thread::spawn(move || load(client, &prefix, &stop)))
            .collect();
        thread::sleep(Duration::from_millis(300));
        let filler = disk.fill();
        eventually(PATIENCE, || match server.client().get("/health").status {
            503 => Ok(()),
            other => Err(other),
        });
        // A full disk is no reason not to answer.
        server.client().get("/metrics").expect(200);
        // What was stored last may be in a buffer of the store that has to be written before it is read.
        let page = server.client().get("/api/v1/events?limit=1");
        let unavailable = page.status == 503 && page.json()["error"] == "store_unavailable";
        assert!(page.status == 200 || unavailable, "{}\n{}", page.text(), server.log());
        thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        let mut refused = 0;
        for sender in senders {
            let (taken, turned_away) = sender.join().unwrap();
            acknowledged.extend(taken);
            refused += turned_away;
        }
        assert!(refused > 0, "the disk was full, and nothing was refused");
        if round == 2 {
            // Killed while it is full: it says what it needs, and starts when it has that.
            server.kill9();
            let (code, said) = refused_at(disk.path());
            assert!(code != 0 && said.contains("is full") && said.contains("make room"), "{said}");
            fs::remove_file(filler).unwrap();
            server.restart();
        } else {
            // Nobody sends anything: it finds out by itself.
            fs::remove_file(filler).unwrap();
            eventually(PATIENCE, || match server.client().get("/-/ready").status {
                200 => Ok(()),
                other => Err(other),
            });
            assert_eq!(server.pid(), pid);
        }
        let (ids, body) = batch("after", round, 1);
        post(&mut server.client(), &body).expect(202);
        acknowledged.extend(ids);
        check(&server, &acknowledged);
    }
    server.kill9();
    server.restart();
    check(&server, &acknowledged);
    drop(server);
}

fn refused_at(data: &Path) -> (i32, String) {
    let settings = Settings::new().flag("--listen").flag("127.0.0.1:0");
    refused(&settings.flag("--data-dir").flag(data.to_str().unwrap()))
}

#[test]
fn events_that_fill_the_disk_leave_room_to_go_on() {
    let Some(disk) = Disk::mount(24) else { return };
    let settings = Settings::new().env("OBSERVATORY_STORE_MIN_FREE_BYTES", "10MiB");
    let mut server = Server::start_at(disk.path(), RULES, settings);
    let mut acknowledged = Vec::new();
    for (round, mib) in [(0, 32), (1, 64)] {
        let (mut n, mut client) = (0, server.client());
        loop {
            let (ids, body) = batch(&format!("r{round}"), n, 1000);
            match post(&mut client, &body).status {
                202 => acknowledged.extend(ids),
                507 => break,
                other => panic!("{other}"),
            }
            n += 1;
            assert!(n < 10_000, "it never filled");
        }
        if round == 1 {
            server.kill9();
            server.restart();
        }
        check(&server, &acknowledged);
        disk.resize(mib);
        eventually(PATIENCE, || match post(&mut server.client(), &batch("x", round, 1).1).status {
            202 => Ok(()),
            other => Err(other),
        });
        acknowledged.push(format!("x-{round}-0"));
    }
    check(&server, &acknowledged);
    server.terminate();
    server.restart();
    check(&server, &acknowledged);
    let before: Samples = server.metrics().of_rules();
    server.kill9();
    server.restart();
    assert_eq!(server.metrics().of_rules(), before);
    drop(server);
}

/// The guard switched off: sled meets the full disk, and may wait for ever inside. The server does not.
#[test]
fn a_write_that_fails_ends_all_writing_until_the_next_start() {
    let Some(disk) = Disk::mount(48) else { return };
    let settings = Settings::new().env("OBSERVATORY_STORE_MIN_FREE_BYTES", "1");
    let mut server = Server::start_at(disk.path(), RULES, settings);
    let (mut acknowledged, mut client) = (Vec::new(), server.client());
    for n in 0..20 {
        let (ids, body) = batch("before", n, 500);
        post(&mut client, &body).expect(202);
        acknowledged.extend(ids);
    }
    let filler = disk.fill();
    let mut failed = None;
    for n in 0..3000 {
        let (ids, body) = batch("full", n, 500);
        let answer = post(&mut client, &body);
        match answer.status {
            202 => acknowledged.extend(ids),
            503 => {
                failed = Some(body);
                break;
            }
            507 => {}
            other => panic!("{other}: {}", answer.text()),
        }
    }
    let Some(body) = failed else {
        // The room that was allocated ahead has sufficed for what was taken.
        fs::remove_file(filler).unwrap();
        return check(&server, &acknowledged);
    };
    // A retry is no duplicate of what may be lost, also when there is room again.
    fs::remove_file(filler).unwrap();
    for _ in 0..5 {
        post(&mut client, &body).expect(503);
    }
    let health = client.get("/health").expect(503).json();
    let reason = health["components"]["store"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("start the server again"), "{reason}");
    client.get("/metrics").expect(200);
    server.kill9();
    server.restart();
    check(&server, &acknowledged);
    post(&mut server.client(), &body).expect(202);
}

#[test]
fn a_read_only_directory_is_refused_with_its_name() {
    let Some(disk) = Disk::mount(96) else { return };
    let mut server = Server::start_at(disk.path(), RULES, Settings::new());
    post(&mut server.client(), &batch("a", 0, 10).1).expect(202);
    server.terminate();
    disk.remount("ro");
    let (code, said) = refused_at(disk.path());
    assert_eq!(code, 73, "{said}");
    assert!(said.contains(disk.path().to_str().unwrap()) && said.contains("Read-only"), "{said}");
    disk.remount("rw");
    server.restart();
    check(&server, &batch("a", 0, 10).0);
    drop(server);
}

/// Sends until the server takes nothing more; returns what was acknowledged, and one request that was not.
fn load_until_refused(mut client: Client, prefix: &str) -> (Vec<String>, String) {
    let mut acknowledged = Vec::new();
    for n in 0..100_000 {
        let (ids, body) = batch(prefix, n, if n % 3 == 0 { 400 } else { 1 });
        let answer = post(&mut client, &body);
        match answer.status {
            202 => acknowledged.extend(ids),
            503 => {
                let said = answer.json();
                assert_eq!(said["error"], "store_unavailable", "{said}");
                assert!(!said["message"].as_str().unwrap().is_empty());
                return (acknowledged, body);
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    panic!("a call fails, and all is well");
}

/// Wherever a write or a sync fails: the answer says so, nothing acknowledged is lost, nothing more is taken
/// before the next start, which finds all of it.
#[test]
fn io_errors_end_all_writing_until_the_next_start() {
    let places = [
        (Call::Sync, "/data/log-"),
        (Call::Write, "/data/log-"),
        (Call::Sync, "/data/db/db"),
        (Call::Write, "/data/db/"),
        (Call::Write, "/data/flushed"),
        (Call::Sync, "/data/"),
        (Call::Write, "/data/"),
    ];
    let Some(faults) = Faults::new() else { return };
    let mut server = Server::start_with_rules(RULES, faults.of(Settings::new()));
    let mut acknowledged = Vec::new();
    for (round, (call, part)) in places.into_iter().enumerate() {
        let senders: Vec<_> = (0..3)
            .map(|it| (server.client(), format!("r{round}s{it}")))
            .map(|(client, prefix)| thread::spawn(move || load_until_refused(client, &prefix)))
            .collect();
        thread::sleep(Duration::from_millis(300));
        faults.fail(call, part);
        let mut failed = Vec::new();
        for sender in senders {
            let (taken, body) = sender.join().unwrap();
            acknowledged.extend(taken);
            failed.push(body);
        }
        let mut client = server.client();
        let health = client.get("/health").expect(503).json();
        let reason = health["components"]["store"]["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("start the server again"), "{call:?} {part}: {reason}");
        client.get("/metrics").expect(200);
        // What the disk holds is not known, so that a disk that is well again changes nothing.
        faults.mend();
        for body in &failed {
            let answer = post(&mut client, body).expect(503).json();
            assert!(answer["message"].as_str().unwrap().contains("/health"), "{answer}");
        }
        client.get("/-/ready").expect(503);
        if round % 2 == 0 {
            server.kill9();
        } else {
            server.signal("-TERM");
            server.wait();
        }
        server.restart();
        check(&server, &acknowledged);
        // Some of it may have been stored; sent again, all of it counts once.
        for body in &failed {
            post(&mut server.client(), body).expect(202);
        }
        check(&server, &acknowledged);
    }
}

/// A part that cannot be read is no reason to stop, nor to give an answer without it.
#[test]
fn what_cannot_be_read_is_said_and_read_when_it_can_be() {
    let Some(faults) = Faults::new() else { return };
    // So little of it in memory that the disk must be read.
    let settings = faults.of(Settings::new().env("OBSERVATORY_STORE_CACHE_BYTES", "1"));
    let mut server = Server::start_with_rules(RULES, settings);
    let mut acknowledged = Vec::new();
    for n in 0..40 {
        let (ids, body) = batch("a", n, 500);
        post(&mut server.client(), &body).expect(202);
        acknowledged.extend(ids);
    }
    server.terminate();
    server.restart();
    faults.fail(Call::Read, "/data/db/");
    let path = "/api/v1/events?type=load&order=asc&limit=10000";
    let answer = server.client().get(path).expect(503).json();
    assert_eq!(answer["error"], "store_unavailable", "{answer}");
    server.client().get("/metrics").expect(200);
    faults.mend();
    check(&server, &acknowledged);
    let (ids, body) = batch("b", 0, 1);
    post(&mut server.client(), &body).expect(202);
    acknowledged.extend(ids);
    server.kill9();
    server.restart();
    check(&server, &acknowledged);
}
