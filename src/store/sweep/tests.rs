use super::super::{Batch, Config, Store, verify};
use std::collections::BTreeMap;

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
