//! What is stored, and read again.

use super::*;

/// Labels, version and both times of a group.
type Times = (String, u64, Option<Time>, Option<Time>);

fn state(world: &World) -> (String, Vec<Times>) {
    let groups = world.groups.view().groups();
    let times =
        |it: &Arc<Group>| (it.label_block().to_owned(), it.version(), it.pushed(), it.failed());
    (world.page(), groups.iter().map(times).collect())
}

#[test]
fn everything_is_as_it_was_after_a_restart() {
    let mut world = World::new();
    world.put("job/j/p/%2Fa", "# HELP m Help.\n# TYPE m counter\nm{b=\"\\\"\"} 1\n").unwrap();
    world
        .put("job/k", "# TYPE h histogram\nh_bucket{le=\"1\"} 1.5\nh_count 2.5\nh_sum 3\n")
        .unwrap();
    world.post("job/k", "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 3\n").unwrap();
    world.put("job/k", "x 1 1\n").unwrap_err();
    world.put("job/new", "x 1 1\n").unwrap_err();
    world.put("job/gone", "y 1\n").unwrap();
    world.push(Op::Delete, "job/gone", "").unwrap();
    let before = state(&world);
    world.reload();
    assert_eq!(state(&world), before);
    // The index too: what was refused is refused.
    world.put("job/l", "# TYPE m gauge\nm 1\n").unwrap_err();
    world.put("job/j/p/%2Fa", "m 1\n").unwrap();
}

#[test]
fn versions_only_grow() {
    let mut world = World::new();
    let mut last = 0;
    for round in 0..5 {
        world.put("job/j", "m 1\n").unwrap();
        world.put("job/j", "m 1 1\n").unwrap_err();
        let now = world.groups.view().groups()[0].version();
        assert!(now > last, "{round}");
        last = now;
        world.push(Op::Delete, "job/j", "").unwrap();
        world.reload();
    }
}

#[test]
fn after_images_tell_their_version() {
    let mut world = World::new();
    let grouping = push::grouping("/metrics/job/j", push::Options::default()).unwrap();
    for op in [Op::Put, Op::Put, Op::Delete] {
        let push = world.groups.view().prepare(op, &grouping, Vec::new());
        let writes = world.groups.apply(push, Time::from_millis(1)).writes;
        let versions = writes.iter().filter_map(|it| version(it.value.as_ref()?));
        assert_eq!(versions.collect::<Vec<_>>(), [world.groups.version]);
    }
    assert_eq!(version(b"something else"), None);
}

#[test]
fn a_damaged_group_is_refused_and_named() {
    let mut world = World::new();
    world.put("job/j/instance/i", "m 1\n").unwrap();
    let (key, value) = world.table.prefix(b"g").next().unwrap().unwrap();
    for at in 0..value.len() {
        let mut damaged = value.clone();
        damaged[at] ^= 1;
        world.table.put(&key, &damaged).unwrap();
        let error = Groups::load(&world.table, Config::default(), (1, 2), Time::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("{instance=\"i\",job=\"j\"} is damaged"), "{error}");
    }
    world.store.flush().unwrap();
}

#[test]
fn a_check_of_the_store_finds_what_is_damaged_and_nothing_else() {
    let mut world = World::new();
    world.put("job/j", "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_count 3\n").unwrap();
    world.put("job/j", "m 1 1\n").unwrap_err();
    world.push(Op::Delete, "job/k", "").unwrap();
    world.put("job/k", "m 1\n").unwrap();
    world.push(Op::Delete, "job/k", "").unwrap();
    let entries: Vec<_> = world.table.prefix(b"").map(Result::unwrap).collect();
    assert_eq!(entries.len(), 3);
    for (key, value) in entries {
        let check = |value: &[u8]| {
            let mut verify = Verify::default();
            verify.entry(&key, value);
            verify.finish([].into_iter())
        };
        let verdict = check(&value);
        assert!(verdict.findings.is_empty(), "{:?}", verdict.findings);
        let verdict = check(&value[..value.len() - 1]);
        assert_eq!(verdict.findings.len(), 1);
        assert!(verdict.remove.contains(&key));
    }
}

#[test]
fn a_check_takes_over_what_only_the_log_has() {
    let mut world = World::new();
    world.put("job/old", "m 1\n").unwrap();
    world.put("job/stays", "m 1\n").unwrap();
    let entries: Vec<_> = world.table.prefix(b"").map(Result::unwrap).collect();
    let grouping = |path: &str| push::grouping(path, push::Options::default()).unwrap();
    let records: Vec<_> =
        [("old", Op::Delete), ("new", Op::Put), ("lost", Op::Put), ("lost", Op::Delete)]
            .into_iter()
            .map(|(job, op)| {
                let grouping = grouping(&format!("/metrics/job/{job}"));
                let push = world.groups.view().prepare(op, &grouping, Vec::new());
                let writes = world.groups.apply(push, Time::from_millis(1)).writes;
                record::encode(world.groups.version(), &writes)
            })
            .collect();
    let check = |records: &[Vec<u8>]| {
        let mut verify = Verify::default();
        entries.iter().for_each(|(key, value)| verify.entry(key, value));
        verify.finish(records.iter().map(Vec::as_slice))
    };
    let verdict = check(&records);
    assert!(verdict.findings.is_empty(), "{:?}", verdict.findings);
    let mut table: BTreeMap<_, _> = entries.iter().cloned().collect();
    table.retain(|key, _| !verdict.remove.contains(key));
    table.extend(verdict.put);
    for (key, _) in world.table.prefix(b"").map(Result::unwrap) {
        world.table.remove(&key).unwrap();
    }
    for (key, value) in &table {
        world.table.put(key, value).unwrap();
    }
    let before = state(&world);
    world.reload();
    assert_eq!(state(&world), before);
    assert_eq!(before.1.len(), 2);
    // One that cannot be read is named.
    let cut = [records[0][..records[0].len() - 1].to_vec()];
    let verdict = check(&cut);
    assert_eq!(verdict.findings[0].place, "commit log: record 0 of pushes");
}

#[test]
fn what_could_not_be_stored_is_taken_back() {
    let mut world = World::new();
    world.put("job/j", "# TYPE m gauge\nm{x=\"1\"} 1\n").unwrap();
    let before = state(&world);
    let view = world.groups.view();
    let grouping = |path: &str| push::grouping(path, push::Options::default()).unwrap();
    let (j, k) = (grouping("/metrics/job/j"), grouping("/metrics/job/k"));
    let families =
        |body: &[u8]| push::families(body, None, false, &push::Limits::default()).unwrap();
    let mut undo = Vec::new();
    for (op, grouping, body) in [
        (Op::Put, &j, &b"m{x=\"2\"} 1\nother 1\n"[..]),
        (Op::Delete, &j, b""),
        (Op::Put, &k, b"m 1\n"),
        (Op::Put, &k, b"m 1\nm 1\n"),
        (Op::Put, &j, b"m 5\n"),
    ] {
        let push = view.prepare(op, grouping, families(body));
        undo.push(world.groups.apply(push, Time::from_millis(5)).undo);
    }
    for it in undo.into_iter().rev() {
        world.groups.undo(it);
    }
    assert_eq!(state(&world), before);
    // Nothing of what was taken back is in the way.
    assert_eq!(view.series(), 2);
    world.put("job/k", "m 1\n").unwrap_err();
    world.put("job/k", "# TYPE m gauge\nm 1\nother 1\n").unwrap();
}
