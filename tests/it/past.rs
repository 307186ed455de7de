//! The past, turned into metrics: replays and backfills while events arrive and when the server is killed,
//! and an export from which a real Prometheus answers questions about a day that it never saw.

use crate::support::{
    Client, Peer, Prometheus, Random, Samples, Server, Settings, cli, eventually, promtool,
};
use serde_json::{Value, json};
use std::{
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const BASE: &str = r#"
version: 1
metrics:
  load_events_total: {help: Events., match: load, count: 1}
"#;

/// What is added later.
const MORE: &str = r#"
  load_units_total: {help: Units., match: load, count: $units, labels: {team: $team}}
  load_size_units: {help: Sizes., match: load, observe: $units, buckets: [3, 6]}
"#;

fn settings() -> Settings {
    Settings::new().env("OBSERVATORY_RULES_WATCH", "false")
}

fn event(n: u64) -> Value {
    let data = json!({"units": n % 10, "team": format!("t{}", n % 3)});
    json!({"event_type": "load", "source": "s", "data": data})
}

/// Sends so many events in batches, from the number `first` on.
fn send(client: &mut Client, first: u64, n: u64) {
    for from in (first..first + n).step_by(1000) {
        let to = (from + 1000).min(first + n);
        let lines: String = (from..to).map(|it| format!("{}\n", event(it))).collect();
        client.post("/api/v1/events/batch", "application/x-ndjson", lines.as_bytes()).expect(202);
    }
}

/// Asserts that all metrics are the fold of the events 0 to `n`.
#[track_caller]
fn check_fold(metrics: &Samples, n: u64) {
    let count = |it: u64| f64::from(u32::try_from(it).unwrap());
    metrics.check("load_events_total", count(n));
    for team in 0..3 {
        let units = (0..n).filter(|it| it % 3 == team).map(|it| it % 10).sum();
        metrics.check(&format!("load_units_total{{team=\"t{team}\"}}"), count(units));
    }
    metrics.check("load_size_units_count", count(n));
    metrics.check("load_size_units_sum", count((0..n).map(|it| it % 10).sum()));
    let small = (0..n).filter(|it| it % 10 <= 3).count();
    metrics.check("load_size_units_bucket{le=\"3\"}", count(small as u64));
}

fn reload(server: &Server, rules: &str) {
    fs::write(server.rules_file(), rules).unwrap();
    server.client().post("/-/reload", "text/plain", b"").expect(200);
}

#[track_caller]
fn observatory(server: &Server, arguments: &[&str]) -> (i32, String) {
    let url = format!("http://{}", server.addr);
    let arguments: Vec<_> = arguments.iter().copied().chain(["--url", url.as_str()]).collect();
    let output = cli(&arguments, &Settings::new(), "");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn a_replay_from_the_command_line_while_events_arrive() {
    let mut server = Server::start_with_rules(BASE, settings());
    send(&mut server.client(), 0, 30_000);
    reload(&server, &format!("{BASE}{MORE}"));
    // More events arrive all the time.
    let stop = Arc::new(AtomicBool::new(false));
    let sender = {
        let (mut client, stop) = (server.client(), Arc::clone(&stop));
        thread::spawn(move || {
            let mut n = 30_000;
            while !stop.load(Ordering::Relaxed) {
                send(&mut client, n, 50);
                n += 50;
            }
            n
        })
    };
    let chosen = ["--metric", "load_units_total", "--metric", "load_size_units"];
    let replay = |more: &[&str]| {
        let all = ["rules", "replay", "--since", "1d"].iter().chain(&chosen).chain(more);
        observatory(&server, &all.copied().collect::<Vec<_>>())
    };
    let before = server.metrics().sum("load_units_total");
    let (code, said) = replay(&["--dry-run"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("load_units_total: 3 series before, 3 after"), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    assert!(before < 130_000.0, "the past is not in yet");
    let (code, said) = replay(&[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(" events from event 1 on"), "{said}");
    stop.store(true, Ordering::Relaxed);
    let n = sender.join().unwrap();
    check_fold(&server.metrics(), n);
    // It is so after a kill, too: the snapshot of the replay, and what came after it.
    send(&mut server.client(), n, 10);
    server.kill9();
    server.restart();
    check_fold(&server.metrics(), n + 10);

    // What cannot be done says why, and what to do.
    let (code, said) = observatory(&server, &["rules", "replay", "--metric", "nope"]);
    assert!(code == 1 && said.contains("`nope`"), "{code} {said}");
    let (code, said) = observatory(&server, &["rules", "replay"]);
    assert!(code != 0 && said.contains("name metrics"), "{code} {said}");
    let late = ["rules", "replay", "--since", "0s", "--metric", "load_events_total"];
    let (code, said) = observatory(&server, &late);
    assert!(code == 1 && said.contains("load_events_total counts since event 1"), "{code} {said}");
    check_fold(&server.metrics(), n + 10);
    let (code, said) = observatory(&server, &[&late[..], &["--reset"]].concat());
    assert_eq!(code, 0, "{said}");
    assert_eq!(server.metrics().sum("load_events_total"), 0.0);
}

#[test]
fn a_new_metric_with_backfill_appears_with_its_past() {
    let server = Server::start_with_rules(BASE, settings());
    send(&mut server.client(), 0, 5000);
    let more = MORE.replace("help: ", "backfill: 30d, help: ");
    reload(&server, &format!("{BASE}{more}"));
    send(&mut server.client(), 5000, 100);
    // Never a part of it: the metric is not there, or whole.
    eventually(Duration::from_secs(30), || {
        let metrics = server.metrics();
        match metrics.get("load_size_units_count") {
            None => Err("not there yet"),
            Some(_) => {
                check_fold(&metrics, 5100);
                Ok(())
            }
        }
    });
    let rules = server.client().get("/api/v1/rules").expect(200).json();
    let of = |name: &str| {
        let metrics = rules["metrics"].as_array().unwrap();
        metrics.iter().find(|it| it["name"] == name).unwrap().clone()
    };
    assert_eq!(of("load_units_total")["backfill"], json!({"state": "done"}));
    assert_eq!(of("load_units_total")["first_sequence"], 1);
    assert_eq!(of("load_events_total")["backfill"], Value::Null);
    let metrics = server.metrics();
    metrics.check("observatory_backfill_pending", 0.0);
    metrics.check("observatory_backfill_progress_ratio", 1.0);
    metrics.check("observatory_backfill_failures_total", 0.0);
    assert!(metrics.sum("observatory_backfill_events_total") >= 5000.0);
    // Said once the metric is there.
    eventually(Duration::from_secs(5), || {
        server.log().contains("counted the past of").then_some(()).ok_or("not said yet")
    });
}

/// Whenever the server is killed, the metric is as before the replay or as after it.
#[test]
fn a_kill_during_a_replay_leaves_the_old_or_the_new() {
    const EVENTS: u64 = 20_000;
    const ORDER: &[u8] = br#"{"metrics":["load_units_total"]}"#;
    let mut server = Server::start_with_rules(BASE, settings());
    send(&mut server.client(), 0, EVENTS);
    // In every round the metric is another one, which has counted nothing.
    let renew = |server: &Server, round: usize| {
        let more = MORE.replacen("match: load", &format!("match: [load, never_{round}]"), 1);
        reload(server, &format!("{BASE}{more}"));
        assert_eq!(server.metrics().sum("load_units_total"), 0.0);
    };
    renew(&server, 0);
    let started = Instant::now();
    server.client().post("/api/v1/rules/replay", "application/json", ORDER).expect(200);
    let takes = u64::try_from(started.elapsed().as_millis()).unwrap();
    let mut random = Random::new(0x9a57);
    let (mut old, mut new) = (0, 0);
    for round in 1..=12 {
        renew(&server, round);
        let mut client = server.client();
        let asking = thread::spawn(move || {
            let headers = [("content-type", "application/json")];
            // The server may be killed in the middle.
            let _ = client.try_request("POST", "/api/v1/rules/replay", &headers, ORDER);
        });
        thread::sleep(Duration::from_millis(random.below(2 * takes + 2)));
        server.kill9();
        asking.join().unwrap();
        server.restart();
        let metrics = server.metrics();
        metrics.check("load_events_total", 20_000.0);
        assert_eq!(metrics.sum("load_size_units_count"), 0.0, "another metric");
        // Units 0 to 9 come up equally often: 4.5 each.
        match metrics.sum("load_units_total") {
            0.0 => old += 1,
            90_000.0 => new += 1,
            other => panic!("{other} units: neither none nor all"),
        }
    }
    eprintln!("killed {old} times before the end of the replay, and {new} times after it");
    let both = ["rules", "replay", "--metric", "load_size_units", "--metric", "load_units_total"];
    let (code, said) = observatory(&server, &both);
    assert_eq!(code, 0, "{said}");
    check_fold(&server.metrics(), EVENTS);
}

#[test]
fn a_backfill_that_was_killed_begins_again() {
    let mut server = Server::start_with_rules(BASE, settings());
    send(&mut server.client(), 0, 20_000);
    let more = MORE.replace("help: ", "backfill: true, help: ");
    reload(&server, &format!("{BASE}{more}"));
    server.kill9();
    server.restart();
    eventually(Duration::from_secs(30), || match server.metrics().get("load_size_units_count") {
        Some(_) => Ok(()),
        None => Err("not there yet"),
    });
    check_fold(&server.metrics(), 20_000);
}

/// Midnight before last, in seconds since 1970: a whole day that is over, and that is not too old.
fn a_day() -> i64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let today = i64::try_from(now / 86_400).unwrap() * 86_400;
    today - 2 * 86_400
}

const EXPORTED: &str = r#"
version: 1
metrics:
  jobs_total: {help: Jobs., match: job, count: 1, labels: {team: $team}}
  job_duration_seconds: {help: How long jobs took., match: job, observe: $seconds, buckets: [10, 20, 40, 80]}
  queue_jobs: {help: Jobs that wait., match: job, set: $waiting}
spans:
  turn: {help: Turns, key: $key, start: begin, end: job, labels: {team: $team}}
"#;

/// 2000 jobs of the day that begins at `day`, in no order, those of its first and last second among them;
/// returns the second of each.
fn send_jobs(server: &Server, day: i64) -> Vec<i64> {
    let mut random = Random::new(77);
    let mut second = || i64::try_from(random.below(86_400)).unwrap();
    let mut seconds: Vec<i64> = (0..1998).map(|_| second()).collect();
    seconds.extend([0, 86_399]);
    let mut lines = String::new();
    for (n, second) in seconds.iter().enumerate() {
        let team = if n % 4 == 0 { "a" } else { "b" };
        let data = json!({"team": team, "seconds": n % 80, "waiting": second / 3600, "key": n});
        for event_type in ["begin", "job"] {
            let time = day + second;
            let event =
                json!({"event_type": event_type, "source": "s", "timestamp": time, "data": data});
            lines.push_str(&format!("{event}\n"));
        }
    }
    let mut client = server.client();
    client.post("/api/v1/events/batch", "application/x-ndjson", lines.as_bytes()).expect(202);
    seconds
}

/// What a Prometheus must know that has blocks of the day.
#[track_caller]
fn check_day(prometheus: &Prometheus, day: i64, seconds: &[i64]) {
    let end = day + 86_400;
    let ask = |promql: &str, at: i64| match prometheus.query_at(promql, at).as_slice() {
        [(_, value)] => *value,
        other => panic!("{promql}: {other:?}\n{}", prometheus.log()),
    };
    assert_eq!(ask("sum(jobs_total)", end), 2000.0);
    let near = |value: f64, expected: f64| (value - expected).abs() <= expected * 1e-9;
    for (promql, expected) in [
        ("sum(increase(jobs_total[1d]))", 2000.0),
        ("sum(increase(jobs_total{team=\"a\"}[1d]))", 500.0),
        ("sum(increase(job_duration_seconds_count[1d]))", 2000.0),
        ("sum(increase(turn_duration_seconds_count[1d]))", 2000.0),
    ] {
        let value = ask(promql, end);
        assert!(near(value, expected), "{promql} is {value}");
    }
    // 0 to 79 seconds, equally often.
    let buckets = "sum by (le) (increase(job_duration_seconds_bucket[1d]))";
    let median = ask(&format!("histogram_quantile(0.5, {buckets})"), end);
    assert!((median - 40.0).abs() < 1.5, "{median}");
    // Within the day: what was so at noon, to the minute.
    let before_noon = seconds.iter().filter(|it| **it < 43_200).count();
    let noon = day + 43_200;
    assert_eq!(ask("sum(jobs_total)", noon), f64::from(u32::try_from(before_noon).unwrap()));
    assert!((ask("queue_jobs", noon) - 11.0).abs() < 1.5);
    assert_eq!(ask("sum(turn_in_flight)", end), 0.0);
    assert!(prometheus.query_at("sum(jobs_total)", day - 60).is_empty(), "nothing before");
}

#[test]
fn a_real_prometheus_answers_questions_about_a_day_that_it_never_scraped() {
    let server = Server::start_with_rules(BASE, settings());
    let day = a_day();
    let seconds = send_jobs(&server, day);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (rules, file) = (path("rules.yml"), path("day.om"));
    fs::write(&rules, EXPORTED).unwrap();
    let (since, until) = (day.to_string(), (day + 86_400).to_string());
    let export = ["export", "openmetrics", "--since", &since, "--until", &until];
    let into = ["--rules", &rules, "-o", &file];
    let (code, said) = observatory(&server, &[&export[..], &into[..]].concat());
    assert_eq!(code, 0, "{said}");
    assert!(fs::read_to_string(&file).unwrap().ends_with("\n# EOF\n"));
    for peer in Peer::ALL {
        let Some(promtool) = promtool(peer) else { continue };
        let blocks = tempfile::tempdir().unwrap();
        let mut make = Command::new(&promtool);
        make.args(["tsdb", "create-blocks-from", "openmetrics", &file]).arg(blocks.path());
        let made = make.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let prometheus = Prometheus::on_blocks(peer, blocks.path()).unwrap();
        check_day(&prometheus, day, &seconds);
    }
}
