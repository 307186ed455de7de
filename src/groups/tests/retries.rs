//! Pushes that are sent again with their `Idempotency-Key`.

use super::*;

fn keyed(key: &str, body: &str) -> Terms {
    let retry = Some(Retry::new(key, &[body.as_bytes()]));
    Terms { mode: Mode::Sum(Blend::Last), retry, ..Op::Post.into() }
}

impl World {
    fn add(&mut self, key: &str, n: u32) -> Result<(), String> {
        self.add_to("job/j", key, n)
    }

    fn add_to(&mut self, path: &str, key: &str, n: u32) -> Result<(), String> {
        let body = format!("# TYPE c counter\nc {n}\n");
        self.push(keyed(key, &body), path, &body)
    }

    fn keys_stored(&self) -> usize {
        self.table.prefix(b"k").count()
    }
}

fn config(keys: usize, keys_per_group: usize, secs: u64) -> Config {
    let window = std::time::Duration::from_secs(secs);
    Config { retries: RetryConfig { window, keys, keys_per_group }, ..Config::default() }
}

#[test]
fn a_retry_counts_once() {
    let mut world = World::new();
    world.add("a", 1).unwrap();
    let pushed = world.groups.view().groups()[0].pushed();
    world.add("a", 1).unwrap();
    assert_eq!(world.value("c"), Some(1.0));
    assert_eq!(world.groups.view().groups()[0].pushed(), pushed);
    world.add("b", 1).unwrap();
    // Another group has keys of its own.
    world.add_to("job/k", "a", 5).unwrap();
    world.reload();
    for key in ["a", "b"] {
        world.add(key, 1).unwrap();
    }
    assert_eq!(world.value("c{instance=\"\",job=\"j\"}"), Some(2.0));
    assert_eq!(world.value("c{instance=\"\",job=\"k\"}"), Some(5.0));
    assert_eq!(world.groups.view().keys(), 3);
}

#[test]
fn a_key_with_another_push_is_refused() {
    let mut world = World::new();
    world.add("a", 1).unwrap();
    let error = world.add("a", 2).unwrap_err();
    assert!(error.starts_with("the Idempotency-Key was used for another push"), "{error}");
    assert_eq!(world.value("c"), Some(1.0));
    assert!(world.groups.view().groups()[0].last_push_successful());
}

#[test]
fn a_rejected_push_uses_no_key() {
    let mut world = World::new();
    world.push(keyed("a", ""), "job/j", "c 1 1\n").unwrap_err();
    assert_eq!(world.keys_stored(), 0);
    world.add("a", 1).unwrap();
    assert_eq!(world.value("c"), Some(1.0));
}

#[test]
fn a_key_outlives_its_group() {
    let mut world = World::new();
    world.add("a", 1).unwrap();
    world.push(Op::Delete, "job/j", "").unwrap();
    world.add("a", 1).unwrap();
    assert_eq!(world.value("c"), None);
}

#[test]
fn keys_are_bounded_and_the_oldest_go() {
    let mut world = World::with(config(5, 3, 3600));
    for key in ["a", "b", "c", "d"] {
        world.add(key, 1).unwrap();
    }
    assert_eq!((world.groups.view().keys(), world.keys_stored()), (3, 3));
    // The first one is forgotten, so that it counts again; the last one is not.
    world.add("d", 1).unwrap();
    assert_eq!(world.value("c"), Some(4.0));
    world.add("a", 1).unwrap();
    assert_eq!(world.value("c"), Some(5.0));
    for group in 0..9 {
        world.add_to(&format!("job/{group}"), "a", 1).unwrap();
    }
    assert_eq!((world.groups.view().keys(), world.keys_stored()), (5, 5));
    world.reload();
    assert_eq!(world.groups.view().keys(), 5);
    world.add_to("job/8", "a", 1).unwrap();
    assert_eq!(world.value("c{instance=\"\",job=\"8\"}"), Some(1.0));
}

#[test]
fn keys_are_forgotten_after_their_window() {
    let mut world = World::with(config(1000, 1000, 10));
    for n in 0..100 {
        // A second passes with every push.
        world.add(&n.to_string(), 1).unwrap();
        assert!(world.groups.view().keys() <= 11);
    }
    assert_eq!(world.keys_stored(), 10);
    world.now_ms += 60_000;
    world.add("99", 1).unwrap();
    assert_eq!(world.value("c"), Some(101.0));
}

/// After a crash both are there, the sum and the key, or neither: they are in one outcome.
#[test]
fn the_key_is_stored_with_what_it_changed() {
    let mut world = World::new();
    let grouping = push::grouping("/metrics/job/j", push::Options::default()).unwrap();
    let prepare = |world: &World| {
        let body = b"# TYPE c counter\nc 1\n";
        let families = push::families(body, None, false, &push::Limits::default()).unwrap();
        world.groups.view().prepare(keyed("a", "x"), &grouping, families)
    };
    let outcome = world.groups.apply(prepare(&world), Time::from_millis(1));
    let prefixes: Vec<u8> = outcome.writes.iter().map(|it| it.key[0]).collect();
    assert_eq!(prefixes, *b"gk");
    let versions = outcome.writes.iter().map(|it| version(it.value.as_ref().unwrap()));
    assert_eq!(versions.collect::<Vec<_>>(), [Some(1), Some(1)]);
    // It could not be stored: the retry counts.
    world.groups.undo(outcome.undo);
    assert_eq!(world.groups.view().keys(), 0);
    let outcome = world.groups.apply(prepare(&world), Time::from_millis(2));
    world.keep(outcome.writes);
    assert_eq!(world.value("c"), Some(1.0));
    world.reload();
    assert_eq!((world.value("c"), world.groups.view().keys()), (Some(1.0), 1));
}

#[test]
fn a_damaged_key_is_found() {
    let mut world = World::new();
    world.add("a", 1).unwrap();
    let (key, value) = world.table.prefix(b"k").next().unwrap().unwrap();
    let findings = |value: &[u8]| {
        let mut verify = Verify::default();
        verify.entry(&key, value);
        verify.finish([].into_iter()).findings.len()
    };
    assert_eq!((findings(&value), findings(&value[..value.len() - 1])), (0, 1));
    world.table.put(&key, b"x").unwrap();
    let error = Groups::load(&world.table, Config::default(), (1, 2), Time::default());
    assert!(error.unwrap_err().to_string().contains("Idempotency-Key is damaged"));
}
