//! A wall clock that steps back and ahead under a running server, and across restarts.

use crate::support::{Client, Faults, Server, Settings};
use serde_json::{Value, json};
use std::{thread, time::Duration};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

const RULES: &str = r#"
version: 1
metrics:
  steps_total:
    help: Events, by the step of the clock.
    match: step
    count: 1
    labels: {at: $at}
spans:
  work:
    help: Work
    key: $key
    start: work_started
    end: work_completed
    give_up_after: 7d
    buckets: [1m, 1h, 1d]
"#;

/// What the senders of one test sent so far.
struct Story {
    server: Server,
    faults: Faults,
    /// The ids in the order in which they were accepted.
    ids: Vec<String>,
}

impl Story {
    fn begin(settings: Settings) -> Option<Self> {
        let faults = Faults::new()?;
        let server = Server::start_with_rules(RULES, faults.of(settings));
        Some(Self { server, faults, ids: Vec::new() })
    }

    /// The clock goes to `seconds` from now, and `n` events with ids arrive.
    fn step(&mut self, seconds: i64, n: usize) {
        self.faults.clock(seconds);
        let ids: Vec<_> = (0..n).map(|it| format!("{}-{it}", self.ids.len())).collect();
        for some in ids.chunks(1000) {
            let answer = send(&mut self.server.client(), some);
            assert_eq!(
                (answer["accepted"].as_u64(), answer["duplicates"].as_u64()),
                (Some(some.len() as u64), Some(0))
            );
        }
        self.ids.extend(ids);
    }

    /// Everything is there once, in the order of acceptance, and counted once; what is sent again is known.
    #[track_caller]
    fn check(&self) {
        let mut client = self.server.client();
        let mut stored = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/events?type=step&order=asc&limit=1000{cursor}");
            let page = client.get(&path).expect(200).json();
            let of = |it: &Value| it["id"].as_str().unwrap().to_owned();
            stored.extend(page["events"].as_array().unwrap().iter().map(of));
            match page["next"].as_str() {
                Some(it) => cursor = format!("&cursor={it}"),
                None => break,
            }
        }
        assert_eq!(stored.len(), self.ids.len());
        assert!(stored == self.ids, "the order has changed");
        self.server.wait_for("steps_total{at=\"x\"}", stored.len() as f64);
        let again = send(&mut client, &self.ids[self.ids.len().saturating_sub(500)..]);
        assert_eq!(again["accepted"], 0, "{again}");
        let first = send(&mut client, &self.ids[..10]);
        assert_eq!(first["accepted"], 0, "{first}");
    }

    fn span(&self, kind: &str, key: &str) {
        let event = json!({"event_type": kind, "source": "s", "data": {"key": key}});
        self.server.client().event(&event).expect(202);
    }
}

fn send(client: &mut Client, ids: &[String]) -> Value {
    let event =
        |id: &String| json!({"id": id, "event_type": "step", "source": "s", "data": {"at": "x"}});
    let body = Value::from(ids.iter().map(event).collect::<Vec<_>>()).to_string();
    client.post("/api/v1/events/batch", "application/json", body.as_bytes()).expect(202).json()
}

/// An hour back, a day and more back (beyond the window of ids), ahead again, with restarts of both kinds.
#[test]
fn a_clock_that_steps_keeps_order_ids_and_counts() {
    let Some(mut story) = Story::begin(Settings::new()) else { return };
    story.span("work_started", "a");
    for (at, seconds) in [0, -HOUR, 0, -30 * HOUR, -HOUR, -30 * HOUR, 0].into_iter().enumerate() {
        story.step(seconds, 1500);
        story.check();
        match at % 3 {
            1 => story.server.kill9(),
            2 => story.server.terminate(),
            _ => continue,
        }
        story.server.restart();
        story.check();
    }
    // It began at 0 and ends half an hour earlier: no time at all, not less than that.
    story.faults.clock(-HOUR / 2);
    story.span("work_completed", "a");
    story.server.wait_for("work_duration_seconds_count", 1.0);
    story.server.wait_for("work_duration_seconds_sum", 0.0);
    story.server.wait_for("work_in_flight", 0.0);
    story.server.wait_for("work_abandoned_total", 0.0);
    let before = story.server.metrics().of_rules();
    story.server.kill9();
    story.server.restart();
    assert_eq!(story.server.metrics().of_rules(), before);
}

/// Of a clock that goes back and forth, no more ids are remembered than are allowed, and memory does not grow.
#[test]
fn a_clock_that_steps_back_and_forth_stays_below_100_mib() {
    let settings = Settings::new().env("OBSERVATORY_DEDUP_MAX_IDS", "5000");
    let Some(mut story) = Story::begin(settings) else { return };
    for round in 0..30 {
        story.step(if round % 2 == 0 { 0 } else { -HOUR }, 2000);
    }
    let rss = story.server.rss_bytes();
    assert!(rss < 100 << 20, "{} MiB", rss >> 20);
    let again = send(&mut story.server.client(), &story.ids[story.ids.len() - 4000..]);
    assert_eq!(again["duplicates"], 4000, "{again}");
    let first = send(&mut story.server.client(), &story.ids[..10]);
    assert_eq!(first["accepted"], 10, "the oldest of 60,000 are forgotten: {first}");
}

/// A clock that is months ahead, for a moment or at a start, deletes nothing.
#[test]
fn a_clock_that_jumps_ahead_deletes_nothing() {
    let settings = Settings::new().env("OBSERVATORY_RETENTION_INTERVAL", "1s");
    let Some(mut story) = Story::begin(settings) else { return };
    story.step(0, 1000);
    story.faults.clock(400 * DAY);
    thread::sleep(Duration::from_secs(3));
    let ahead = story.server.metrics().sum("observatory_prune_clock_ahead_seconds");
    assert!(ahead > 399.0 * DAY as f64, "it has looked, and did not believe the clock: {ahead}");
    story.step(400 * DAY, 100);
    thread::sleep(Duration::from_secs(3));
    story.server.terminate();
    story.server.restart();
    thread::sleep(Duration::from_secs(3));
    story.step(0, 100);
    story.step(-HOUR, 100);
    thread::sleep(Duration::from_secs(2));
    let path = "/api/v1/events?type=step&limit=10000";
    let stored = story.server.client().get(path).expect(200).json();
    assert_eq!(stored["events"].as_array().unwrap().len(), 1300);
    assert_eq!(story.server.metrics().sum("observatory_pruned_total"), 0.0);
}
