//! Groups that expire.

use super::*;
use std::time::Duration;

const MINUTE: i64 = 60_000;

fn lasting(op: Op, secs: u64) -> Terms {
    Terms { ttl: Some(Duration::from_secs(secs)), ..op.into() }
}

impl World {
    fn put_for(&mut self, path: &str, body: &str, secs: u64) -> Result<(), String> {
        self.push(lasting(Op::Put, secs), path, body)
    }

    /// Lets `ms` pass, the wall's clock being `off` by then, and takes what is due.
    fn pass(&mut self, ms: i64, off: i64) -> usize {
        self.now_ms += ms;
        let steady = Time::from_millis(self.now_ms);
        self.groups.set_now(Now { wall: Time::from_millis(self.now_ms + off), steady });
        let mut total = 0;
        while self.groups.is_due() {
            let (outcome, n) = self.groups.expire();
            assert!(outcome.result.is_ok() && !outcome.writes.is_empty());
            self.keep(outcome.writes);
            total += n;
        }
        total
    }

    fn jobs(&self) -> Vec<String> {
        let groups = self.groups.view().groups();
        groups.iter().map(|it| it.label("job").unwrap().to_owned()).collect()
    }

    fn has_times(&self, job: &str) -> bool {
        let page = self.page();
        ["push_time_seconds", "push_failure_time_seconds"]
            .iter()
            .all(|it| page.contains(&format!("{it}{{instance=\"\",job=\"{job}\"}}")))
    }

    fn expired_total(&self) -> u64 {
        let mut registry = prometheus_client::registry::Registry::default();
        self.groups.view().register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let value = text.lines().find_map(|it| it.strip_prefix("push_groups_expired_total "));
        value.unwrap().parse().unwrap()
    }
}

#[test]
fn the_metrics_go_first_and_the_times_later() {
    let mut world = World::new();
    world.put("job/stays", "stays 1\n").unwrap();
    world.put_for("job/j", "# TYPE m gauge\nm 1\nn 1\n", 60).unwrap();
    let pushed = world.value("push_time_seconds{instance=\"\",job=\"j\"}");
    assert_eq!(world.pass(MINUTE - 1, 0), 0);
    assert_eq!(world.samples().len(), 3);
    assert_eq!(world.pass(1, 0), 1);
    assert_eq!(world.samples(), ["stays{instance=\"\",job=\"stays\"} 1"]);
    assert!(world.has_times("j"));
    assert_eq!(world.value("push_time_seconds{instance=\"\",job=\"j\"}"), pushed);
    // Its names are free for others.
    world.put("job/k", "m{x=\"1\"} 1\n").unwrap();
    world.reload();
    assert_eq!((world.pass(9 * MINUTE, 0), world.jobs().len()), (0, 3));
    assert_eq!(
        (world.pass(MINUTE, 0), world.jobs()),
        (0, vec!["k".to_owned(), "stays".to_owned()])
    );
    assert_eq!(world.table.prefix(b"g").count(), 2);
    assert_eq!(world.groups.view().series(), 4);
    assert_valid(&world.groups.view());
}

#[test]
fn a_push_begins_a_new_life_and_a_rejected_one_does_not() {
    let mut world = World::new();
    world.put_for("job/j", "m 1\n", 60).unwrap();
    world.pass(MINUTE / 2, 0);
    world.push(lasting(Op::Post, 60), "job/j", "n 1\n").unwrap();
    assert_eq!(world.pass(MINUTE / 2, 0), 0);
    world.push(lasting(Op::Post, 3600), "job/j", "n 1 1\n").unwrap_err();
    assert_eq!(world.pass(MINUTE / 2, 0), 1);
    assert_eq!(world.samples(), Vec::<String>::new());
    assert!(world.has_times("j"));
    // Back to life, and the last push says for how long.
    world.put("job/j", "m 1\n").unwrap();
    world.pass(100 * MINUTE, 0);
    assert_eq!(world.samples().len(), 1);
    assert_eq!(world.expired_total(), 1);
}

#[test]
fn a_sum_begins_anew_after_its_group_expired() {
    let mut world = World::new();
    let adding = Terms { mode: Mode::Sum(Blend::Last), ..lasting(Op::Post, 60) };
    for expected in [1.0, 2.0] {
        world.push(adding, "job/j", "# TYPE c counter\nc 1\n").unwrap();
        assert_eq!(world.value("c"), Some(expected));
    }
    world.pass(MINUTE, 0);
    world.push(adding, "job/j", "# TYPE c counter\nc 1\n").unwrap();
    assert_eq!(world.value("c"), Some(1.0));
}

#[test]
fn times_are_kept_for_as_long_as_is_said() {
    for (keep, ms) in [
        (Keep::Lives(0), 0),
        (Keep::For(Duration::ZERO), 0),
        (Keep::Lives(2), 2 * MINUTE),
        (Keep::For(Duration::from_secs(30)), MINUTE / 2),
    ] {
        let mut world = World::with(Config { keep_times: keep, ..Config::default() });
        world.put_for("job/j", "m 1\n", 60).unwrap();
        assert_eq!(world.pass(MINUTE, 0), 1, "{keep:?}");
        if ms > 0 {
            world.pass(ms - 1, 0);
            assert!(world.has_times("j"), "{keep:?}");
            world.pass(1, 0);
        }
        assert_eq!(world.jobs(), Vec::<String>::new(), "{keep:?}");
        assert_eq!(world.table.prefix(b"g").count(), 0);
    }
}

/// A step of the wall's clock in either direction changes nothing while the process runs.
#[test]
fn a_clock_that_is_set_makes_nothing_early_or_late() {
    for off in [-1_000_000 * MINUTE, -MINUTE, MINUTE, 1_000_000 * MINUTE] {
        let mut world = World::new();
        world.now_ms = 2_000_000 * MINUTE;
        world.put_for("job/before", "m 1\n", 60).unwrap();
        assert_eq!(world.pass(MINUTE / 2, off), 0, "{off}");
        // A push by the clock that was set.
        let grouping = push::grouping("/metrics/job/after", push::Options::default()).unwrap();
        let families = push::families(b"n 1\n", None, false, &push::Limits::default()).unwrap();
        let push = world.groups.view().prepare(lasting(Op::Put, 60), &grouping, families);
        let outcome = world.groups.apply(push, Time::from_millis(world.now_ms + off));
        world.keep(outcome.writes);
        assert_eq!(world.pass(MINUTE / 2 - 1, off), 0, "{off}");
        assert_eq!(world.pass(1, off), 1, "{off}");
        assert_eq!(world.pass(MINUTE / 2 - 1, off), 0, "{off}");
        assert_eq!(world.pass(1, off), 1, "{off}");
        world.pass(9 * MINUTE + MINUTE / 2 - 1, off);
        assert_eq!(world.jobs(), ["after", "before"], "{off}");
        world.pass(MINUTE, off);
        assert_eq!(world.jobs(), Vec::<String>::new(), "{off}");
    }
}

#[test]
fn a_restart_takes_what_is_due_and_trusts_no_clock_for_more_than_a_life() {
    let mut world = World::new();
    world.put_for("job/j", "m 1\n", 60).unwrap();
    world.put_for("job/longer", "n 1\n", 3600).unwrap();
    world.now_ms += MINUTE + 1;
    world.reload();
    assert_eq!(world.pass(0, 0), 1);
    assert_eq!(world.samples(), ["n{instance=\"\",job=\"longer\"} 1"]);
    // Long after, its times are over as well.
    world.now_ms += 600 * MINUTE;
    world.reload();
    assert_eq!(world.pass(0, 0), 1);
    assert_eq!(world.jobs(), ["longer"]);
    // The clock was set back by a day: it lives for no longer than it may.
    world.put_for("job/j", "m 1\n", 60).unwrap();
    world.now_ms -= 1440 * MINUTE;
    world.reload();
    assert_eq!(world.pass(MINUTE - 1, 0), 0);
    assert_eq!(world.pass(1, 0), 1);
}

#[test]
fn an_expiry_that_could_not_be_stored_is_taken_back() {
    let mut world = World::new();
    world.put_for("job/j", "m 1\n", 60).unwrap();
    let before = world.page();
    world.now_ms += 2 * MINUTE;
    let now = Time::from_millis(world.now_ms);
    world.groups.set_now(Now { wall: now, steady: now });
    let (outcome, n) = world.groups.expire();
    let versions = outcome.writes.iter().filter_map(|it| version(it.value.as_ref()?));
    assert_eq!((n, versions.max()), (1, Some(world.groups.version())));
    world.groups.undo(outcome.undo);
    assert_eq!(world.page(), before);
    // It is due still.
    assert_eq!(world.pass(0, 0), 1);
    world.reload();
    assert_eq!(world.samples(), Vec::<String>::new());
}

#[test]
fn many_expire_in_steps_and_nothing_else_is_looked_at() {
    let mut world = World::new();
    for n in 0..1500 {
        world.put_for(&format!("job/j/n/{n}"), "m 1\n", 36_000 + n % 2).unwrap();
    }
    world.put("job/stays", "m 1\n").unwrap();
    world.now_ms += 601 * MINUTE;
    let now = Time::from_millis(world.now_ms);
    world.groups.set_now(Now { wall: now, steady: now });
    let (outcome, n) = world.groups.expire();
    world.keep(outcome.writes);
    assert_eq!((n, world.groups.is_due()), (1000, true));
    assert_eq!(world.pass(0, 0), 500);
    assert_eq!(world.samples().len(), 1);
    let groups = world.groups.view().groups();
    assert!(groups.iter().filter(|it| it.forgotten().is_some()).count() == 1500);
}

#[test]
fn an_import_is_as_old_as_it_says() {
    let mut world = World::new();
    let grouping = push::grouping("/metrics/job/j", push::Options::default()).unwrap();
    let families = push::families(b"n 1\n", None, false, &push::Limits::default()).unwrap();
    world.pass(10 * MINUTE, 0);
    let push = world.groups.view().prepare(lasting(Op::Put, 60), &grouping, families);
    let received = Time::from_millis(world.now_ms - MINUTE / 2);
    let outcome = world.groups.apply(push, received);
    world.keep(outcome.writes);
    let group = world.groups.view().groups()[0].clone();
    assert_eq!(group.expires(), Some(Time::from_millis(world.now_ms + MINUTE / 2)));
    assert_eq!((world.pass(MINUTE / 2 - 1, 0), world.pass(1, 0)), (0, 1));
    let group = world.groups.view().groups()[0].clone();
    assert_eq!(
        group.forgotten(),
        Some(group.expires().unwrap().saturating_add(Duration::from_secs(600)))
    );
}

/// A group as version 1 stored it: two families with a label, a rejected push after them.
const VERSION_1: &str = include_str!("version_1.hex");

#[test]
fn groups_of_version_1_are_read_and_do_not_expire() {
    let mut world = World::new();
    let bytes = |text: &str| -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits.map(|it| u8::from_str_radix(str::from_utf8(it).unwrap(), 16).unwrap()).collect()
    };
    for line in VERSION_1.lines() {
        let (key, value) = line.split_once(' ').unwrap();
        let (key, value) = (bytes(key), bytes(value));
        assert_eq!(value[0], 1);
        assert_eq!(version(&value), Some(if key[0] == b'g' { 1 } else { 2 }));
        world.table.put(&key, &value).unwrap();
    }
    world.reload();
    assert_eq!(
        world.samples(),
        [
            "h_bucket{instance=\"i\",job=\"j\",le=\"1\"} 1",
            "h_bucket{instance=\"i\",job=\"j\",le=\"+Inf\"} 2",
            "h_sum{instance=\"i\",job=\"j\"} 3",
            "h_count{instance=\"i\",job=\"j\"} 2",
            "m{instance=\"i\",job=\"j\",x=\"1\"} 1",
        ]
    );
    let group = world.groups.view().groups()[0].clone();
    assert_eq!((group.expires(), group.last_push_successful()), (None, false));
    world.pass(1_000_000 * MINUTE, 0);
    assert_eq!(world.jobs(), ["j"]);
}
