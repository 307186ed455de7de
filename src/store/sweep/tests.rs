use super::super::{Batch, Config, Store, verify};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// Of a store with large pages, under writers and readers: what sled has forgotten goes, and nothing else.
#[test]
fn a_sweep_removes_nothing_that_is_in_force() {
    const KEYS: u32 = 160;
    let dir = tempfile::tempdir().unwrap();
    let config = Config { cache_bytes: 1 << 20, ..Config::new(dir.path().to_owned()) };
    let value = |n: u32, turn: u32| {
        let len = 20_000 + usize::try_from(n * 577 % 15_000).unwrap();
        [&turn.to_be_bytes()[..], &vec![n.to_le_bytes()[0]; len]].concat()
    };
    let blobs = || std::fs::read_dir(dir.path().join("db/blobs")).unwrap().count();
    let mut swept = 0;
    // What each key has; `None` if it was removed.
    let mut model: BTreeMap<u32, u32> = BTreeMap::new();
    for round in 0..4_u32 {
        let store = Store::open(&config).unwrap();
        let table = store.table("t").unwrap();
        for turn in 0..12_u32 {
            let turn = round * 100 + turn;
            let part = |it: &u32| (it / 40 + turn).is_multiple_of(3);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for n in (0..KEYS).filter(part) {
                        table.put(&n.to_be_bytes(), &value(n, turn)).unwrap();
                    }
                    let mut batch = Batch::default();
                    (0..KEYS)
                        .filter(|it| !part(it) && it % 5 != 0)
                        .for_each(|it| batch.remove(&it.to_be_bytes()));
                    table.apply(batch).unwrap();
                    store.reclaim(100).unwrap();
                });
                scope
                    .spawn(|| (0..3).for_each(|_| assert!(table.prefix(b"").all(|it| it.is_ok()))));
                swept += store.sweep().unwrap().unwrap_or(0);
            });
            model.retain(|it, _| it % 5 == 0);
            model.extend((0..KEYS).filter(part).map(|it| (it, turn)));
            swept += store.sweep().unwrap().expect("nothing was written meanwhile");
            for n in 0..KEYS {
                let expected = model.get(&n).map(|turn| value(n, *turn));
                assert!(table.get(&n.to_be_bytes()).unwrap() == expected, "{n} in {turn}");
            }
        }
        store.flush().unwrap();
        if round % 2 == 0 {
            // As if it were killed: nothing of its end comes to pass.
            let copy = tempfile::tempdir().unwrap();
            verify::copy(dir.path(), copy.path()).unwrap();
            let config = Config { path: copy.path().to_owned(), ..config.clone() };
            let table = Store::open(&config).unwrap().table("t").unwrap();
            assert_eq!(table.prefix(b"").count(), model.len());
        }
    }
    assert!(swept > 1 << 20, "{swept} bytes were forgotten");
    assert!(blobs() < 60, "{}", blobs());
}

/// Names the directory for the process that is killed.
const VICTIM: &str = "OBSERVATORY_TEST_SWEEP_DIR";
const KEYS: u32 = 160;

/// What is in force after `turn`: the turn in which each key was written last. Every turn replaces a part of the
/// keys and ends another.
fn model(turn: u32) -> BTreeMap<u32, u32> {
    let mut res = BTreeMap::new();
    for turn in 1..=turn {
        res.retain(|it, _| !ended(*it, turn));
        res.extend((0..KEYS).filter(|it| written(*it, turn)).map(|it| (it, turn)));
    }
    res
}

fn written(key: u32, turn: u32) -> bool {
    (key / 40 + turn).is_multiple_of(3)
}

fn ended(key: u32, turn: u32) -> bool {
    !written(key, turn) && (key + turn).is_multiple_of(7)
}

/// Large enough that pages get files of their own.
fn value(key: u32, turn: u32) -> Vec<u8> {
    let len = 20_000 + usize::try_from(key * 577 % 15_000).unwrap();
    [&turn.to_be_bytes()[..], &vec![key.to_le_bytes()[0]; len]].concat()
}

/// Writes turn after turn and says which is on disk, while files are swept all the time; until it is killed.
#[expect(clippy::print_stdout, reason = "whoever kills it reads this")]
fn write_and_sweep(dir: &str) {
    let config = Config { cache_bytes: 1 << 20, ..Config::new(dir.into()) };
    let store = Store::open(&config).unwrap();
    let table = store.table("t").unwrap();
    let last =
        table.get(b"turn").unwrap().map_or(0, |it| u32::from_be_bytes(it[..].try_into().unwrap()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in last + 1.. {
                let mut batch = Batch::default();
                batch.put(b"turn", &turn.to_be_bytes());
                for key in 0..KEYS {
                    if written(key, turn) {
                        batch.put(&key.to_be_bytes(), &value(key, turn));
                    } else if ended(key, turn) {
                        batch.remove(&key.to_be_bytes());
                    }
                }
                table.apply(batch).unwrap();
                store.flush().unwrap();
                println!("turn {turn}");
                store.reclaim(20).unwrap();
            }
        });
        loop {
            let swept = store.sweep().unwrap().unwrap_or(0);
            println!("swept {swept}");
        }
    });
}

/// Whatever it was removing: what it had said is on disk is there, whole, and so is all of the last turn or nothing.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test starts itself anew, to be killed")]
#[expect(clippy::print_stderr, reason = "the soak says what it did")]
fn a_kill_during_a_sweep_loses_nothing() {
    if let Ok(dir) = std::env::var(VICTIM) {
        return write_and_sweep(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    let rounds = std::env::var("OBSERVATORY_SOAK_ROUNDS").map_or(6, |it| it.parse().unwrap());
    let mut swept = 0;
    for round in 0..rounds {
        let (said, bytes) = kill_one(dir.path(), Duration::from_millis(50 + round * 137 % 900));
        swept += bytes;
        let store = Store::open(&Config::new(dir.path().to_owned())).unwrap();
        let table = store.table("t").unwrap();
        let Some(turn) = table.get(b"turn").unwrap() else {
            assert_eq!(said, 0, "round {round}");
            continue;
        };
        let turn = u32::from_be_bytes(turn[..].try_into().unwrap());
        assert!(
            turn == said || turn == said + 1,
            "round {round}: {turn} is there, {said} was said"
        );
        let model = model(turn);
        for key in 0..KEYS {
            let expected = model.get(&key).map(|turn| value(key, *turn));
            assert!(
                table.get(&key.to_be_bytes()).unwrap() == expected,
                "round {round}: {key} in {turn}"
            );
        }
    }
    assert!(swept > 0, "nothing was swept in {rounds} rounds");
    eprintln!("{rounds} kills, {swept} bytes of forgotten files removed");
}

/// Kills a process that writes and sweeps, some time after its first turn; returns the last turn that it said was
/// on disk, and the bytes that it swept.
fn kill_one(dir: &Path, after: Duration) -> (u32, u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store::sweep::tests::a_kill_during_a_sweep_loses_nothing",
            "--nocapture",
        ])
        .env(VICTIM, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut turn, mut swept) = (0, 0);
    let mut killer = Some(child);
    let mut waiting = None;
    for line in lines.map_while(Result::ok) {
        // The test harness writes lines of its own.
        if let Some(it) = line.strip_prefix("turn ") {
            turn = it.parse().unwrap();
        } else if let Some(it) = line.strip_prefix("swept ") {
            swept += it.parse::<u64>().unwrap();
        }
        if turn > 0
            && let Some(mut child) = killer.take()
        {
            waiting = Some(thread::spawn(move || {
                thread::sleep(after);
                child.kill().unwrap();
                child.wait().unwrap()
            }));
        }
    }
    let status = waiting.expect("it wrote a turn").join().unwrap();
    assert_eq!(status.signal(), Some(9), "it ended by itself");
    (turn, swept)
}
