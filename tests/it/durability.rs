//! What was acknowledged survives: restarts, a stop under load, a second process. `torture` kills at random.

use crate::support::{Client, Random, Samples, Server, Settings, refused};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const SENDERS: u64 = 4;

/// Rules that count every event of the tests below by type, so that the journal can be held against
/// the metrics.
const RULES: &str = r#"
version: 1
metrics:
  load_events_total:
    help: Events of the load, by type.
    match: load_*
    count: 1
    labels: {type: $type}
  load_units_total:
    help: The sum of what the events carry.
    match: load_*
    count: $units
  load_size_units:
    help: The sizes seen.
    match: load_*
    observe: $units
    buckets: [1, 2, 5, 10]
"#;

/// Every event of the journal, oldest first.
fn journal(client: &mut Client) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/events?order=asc&limit=1000{cursor}");
        let page = client.get(&path).expect(200).json();
        all.extend(page["events"].as_array().unwrap().iter().cloned());
        cursor = match &page["next"] {
            Value::Null => return all,
            Value::String(it) => format!("&cursor={it}"),
            it => format!("&cursor={it}"),
        };
    }
}

fn id(event: &Value) -> String {
    let id = if event["id"].is_string() { &event["id"] } else { &event["event_id"] };
    id.as_str().unwrap_or_else(|| panic!("no id in {event}")).to_owned()
}

/// Sends single events and batches until the server is gone; returns the ids that were acknowledged, and
/// counts requests in `answered` as they are.
fn send(mut client: Client, prefix: &str, seed: u64, answered: &AtomicU64) -> Vec<String> {
    let mut random = Random::new(seed);
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let size = if random.below(3) == 0 { 1 + random.below(50) } else { 1 };
        let ids: Vec<_> = (0..size).map(|it| format!("{prefix}-{n}-{it}")).collect();
        let events: Vec<_> = ids.iter().map(|it| event(it, &mut random)).collect();
        let body = if size == 1 { events[0].to_string() } else { Value::from(events).to_string() };
        let headers = [("content-type", "application/json")];
        match client.try_request("POST", "/api/v1/events", &headers, body.as_bytes()) {
            Ok(it) if it.status == 202 => {
                acknowledged.extend(ids);
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(it) => assert_eq!(it.status, 503, "{}", it.text()),
            Err(_) => break,
        }
    }
    acknowledged
}

fn event(id: &str, random: &mut Random) -> Value {
    let kind = ["load_a", "load_b", "load_c"][usize::try_from(random.below(3)).unwrap()];
    json!({"id": id, "event_type": kind, "source": "load", "data": {"units": random.below(12)}})
}

/// Asserts that the metrics are the fold of the journal.
#[track_caller]
fn check_fold(events: &[Value], metrics: &Samples) {
    let mut per_type: BTreeMap<&str, f64> = BTreeMap::new();
    let (mut units, mut small) = (0.0, 0.0);
    for event in events {
        *per_type.entry(event["event_type"].as_str().unwrap()).or_default() += 1.0;
        let size = event["data"]["units"].as_f64().unwrap();
        units += size;
        small += f64::from(u8::from(size <= 2.0));
    }
    for (kind, count) in &per_type {
        metrics.check(&format!("load_events_total{{type=\"{kind}\"}}"), *count);
    }
    let total: f64 = per_type.values().sum();
    assert_eq!(metrics.sum("load_events_total"), total);
    metrics.check("load_units_total", units);
    metrics.check("load_size_units_count", total);
    metrics.check("load_size_units_sum", units);
    metrics.check("load_size_units_bucket{le=\"2\"}", small);
}

#[track_caller]
fn check_round(server: &Server, acknowledged: &[String]) {
    let events = journal(&mut server.client());
    let mut times: HashMap<String, usize> = HashMap::new();
    for event in &events {
        *times.entry(id(event)).or_default() += 1;
    }
    let twice: Vec<_> = times.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "stored twice: {twice:?}");
    let lost: Vec<_> = acknowledged.iter().filter(|it| !times.contains_key(*it)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    check_fold(&events, &server.metrics());
}

#[test]
fn an_id_is_a_duplicate_across_kill_and_restart() {
    let mut server = Server::start_with_rules(RULES, Settings::new());
    let event = json!({"id": "one", "event_type": "load_a", "source": "s", "data": {"units": 3}});
    let other_source =
        json!({"id": "one", "event_type": "load_a", "source": "s2", "data": {"units": 3}});
    let status = |server: &Server, event: &Value| {
        let answer = server.client().event(event).expect(202).json();
        answer["status"].as_str().unwrap().to_owned()
    };
    assert_ne!(status(&server, &event), "duplicate");
    assert_eq!(status(&server, &event), "duplicate");
    server.kill9();
    server.restart();
    assert_eq!(status(&server, &event), "duplicate");
    server.terminate();
    server.restart();
    assert_eq!(status(&server, &event), "duplicate");
    assert_ne!(status(&server, &other_source), "duplicate");
    assert_eq!(journal(&mut server.client()).len(), 2);
    server.wait_for("load_events_total{type=\"load_a\"}", 2.0);
}

#[test]
fn a_stop_under_load_answers_what_it_accepted() {
    let mut server = Server::start_with_rules(RULES, Settings::new());
    let senders: Vec<_> = (1..=SENDERS)
        .map(|it| (server.client(), format!("t{it}"), it))
        .map(|(client, prefix, seed)| {
            thread::spawn(move || send(client, &prefix, seed, &AtomicU64::default()))
        })
        .collect();
    thread::sleep(Duration::from_millis(500));
    server.terminate();
    let acknowledged: Vec<_> = senders.into_iter().flat_map(|it| it.join().unwrap()).collect();
    assert!(!acknowledged.is_empty());
    server.restart();
    check_round(&server, &acknowledged);
    // What was stored was answered: a graceful stop leaves no event whose sender does not know.
    let stored = journal(&mut server.client()).len();
    assert_eq!(stored, acknowledged.len(), "stored, but not acknowledged");
}

#[test]
fn a_second_process_is_told_who_holds_the_directory() {
    let server = Server::start();
    let data = server.data_dir();
    let settings = Settings::new().flag("--listen").flag("127.0.0.1:0");
    let (code, said) = refused(&settings.flag("--data-dir").flag(data.to_str().unwrap()));
    assert_ne!(code, 0);
    assert!(said.contains(&server.pid().to_string()), "{said}");
    server.client().get("/-/healthy").expect(200);
}

#[test]
fn reads_go_on_while_events_are_written() {
    let server = Server::start_with_rules(RULES, Settings::new());
    let stop = Arc::new(AtomicBool::new(false));
    let slowest = Arc::new(Mutex::new(Duration::ZERO));
    let reader = {
        let (mut client, stop, slowest) =
            (server.client(), Arc::clone(&stop), Arc::clone(&slowest));
        thread::spawn(move || {
            let mut last = 0.0;
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                let now = Samples::parse(&client.get("/metrics").expect(200).text());
                let mut slowest = slowest.lock().unwrap();
                *slowest = slowest.max(start.elapsed());
                let sum = now.sum("load_events_total");
                assert!(sum >= last, "a counter went down from {last} to {sum}");
                last = sum;
            }
        })
    };
    let mut random = Random::new(7);
    let mut client = server.client();
    for n in 0..500 {
        client.event(&event(&format!("w{n}"), &mut random)).expect(202);
    }
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    assert!(*slowest.lock().unwrap() < Duration::from_secs(2), "{slowest:?}");
    server.wait_for("load_size_units_count", 500.0);
}
