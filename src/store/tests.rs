use super::*;
use std::{collections::BTreeMap, os::unix::fs::FileExt, path::Path};

#[test]
fn what_was_applied_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path().join("data"));
    let store = Store::open(&config).unwrap();
    let mut batch = Batch::default();
    batch.put(b"a1", b"x");
    batch.put(b"a2", b"y");
    store.table("t").unwrap().apply(batch).unwrap();
    store.flush().unwrap();
    drop(store);
    let store = Store::open(&config).unwrap();
    let table = store.table("t").unwrap();
    assert_eq!(table.get(b"a1").unwrap().unwrap(), b"x");
    assert_eq!(table.prefix(b"a").count(), 2);
    assert_eq!(table.range_from(b"a2").count(), 1);
}

#[test]
fn a_second_opener_is_told_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path().to_owned());
    let _store = Store::open(&config).unwrap();
    let err = Store::open(&config).unwrap_err().to_string();
    assert!(err.contains(&std::process::id().to_string()), "{err}");
}

#[test]
fn an_older_format_is_read_and_becomes_ours() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path().to_owned());
    let store = Store::open(&config).unwrap();
    open::set_format(&store.shared.db, OLDEST_VERSION);
    store.flush().unwrap();
    drop(store);
    let file = dir.path().join("format");
    std::fs::write(&file, "1\n").unwrap();
    let store = Store::open(&config).unwrap();
    let found = store.shared.db.get(open::FORMAT_KEY).unwrap().unwrap();
    assert_eq!(found.as_ref(), FORMAT_VERSION.to_be_bytes());
    assert_eq!(std::fs::read_to_string(file).unwrap(), "2\n");
}

#[test]
fn another_format_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path().to_owned());
    let store = Store::open(&config).unwrap();
    open::set_format(&store.shared.db, 99);
    store.flush().unwrap();
    drop(store);
    for _ in 0..2 {
        let err = Store::open(&config).unwrap_err().to_string();
        assert!(err.contains("format 99"), "{err}");
    }
}

/// A store with values of all sizes, closed, in a directory of its own.
fn written(rounds: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Config::new(dir.path().to_owned())).unwrap();
    let table = store.table("t").unwrap();
    for round in 0..rounds {
        let mut batch = Batch::default();
        for i in 0..20u32 {
            // Some pages are large enough for files of their own.
            let size = if round % 4 == 0 { 30_000 } else { 1 << (i % 15) };
            let value = vec![i.to_le_bytes()[0]; size];
            batch.put(&(round * 20 + i).to_be_bytes(), &value);
        }
        for i in 0..(if round > 2 { round % 3 } else { 0 }) {
            batch.remove(&((round - 2) * 20 + i).to_be_bytes());
        }
        table.apply(batch).unwrap();
        store.flush().unwrap();
    }
    drop(table);
    drop(store);
    dir
}

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// What is in the table, read anew.
fn content(dir: &Path) -> Result<Entries, String> {
    let store = Store::open(&Config::new(dir.to_owned())).map_err(|it| it.to_string())?;
    let table = store.table("t").map_err(|it| it.to_string())?;
    table.range_from(b"").collect::<Result<_, _>>().map_err(|it| it.to_string())
}

/// Every file below `dir` but the lock: name and bytes.
fn bytes(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut res = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            res.extend(bytes(&path));
        } else if !path.ends_with("lock") {
            res.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    res
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for (path, content) in bytes(from) {
        let path = to.path().join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    to
}

fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// Flips a byte in random places of the files; what is read may never differ without an error.
fn flip_anywhere(original: &Path, rounds: u32) -> (u32, u32) {
    let expected = content(copy(original).path()).unwrap();
    let mut random = 88_172_645_463_325_252_u64;
    let mut below = |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % n as u64).unwrap()
    };
    let files: Vec<_> = bytes(original).into_iter().filter(|it| !it.1.is_empty()).collect();
    assert!(files.iter().any(|it| it.0.to_string_lossy().contains("blobs")), "no blob");
    let (mut refused, mut harmless) = (0, 0);
    for _ in 0..rounds {
        let (path, content_of) = &files[below(files.len())];
        let path = path.strip_prefix(original).unwrap();
        let at = below(content_of.len());
        let damaged = copy(original);
        flip(&damaged.path().join(path), at as u64);
        let before = bytes(damaged.path());
        match content(damaged.path()) {
            Ok(it) => {
                assert!(it == expected, "a flip at {at} of {} changed the content", path.display());
                harmless += 1;
            }
            Err(error) => {
                // What is refused at the start is as it was; what fails when it is read was opened.
                if error.contains("nothing that was stored") && !error.contains("its index") {
                    assert!(before == bytes(damaged.path()), "{error}: {}", path.display());
                }
                refused += 1;
            }
        }
    }
    (refused, harmless)
}

#[test]
fn a_flipped_byte_anywhere_is_reported_or_harmless() {
    let original = written(30);
    let (refused, harmless) = flip_anywhere(original.path(), 100);
    assert!(refused > 80, "{refused} refused, {harmless} harmless");
}

/// What an earlier start has put into sled's index is only read when it is asked for.
#[test]
fn a_flipped_byte_in_what_is_older_is_reported_or_harmless() {
    let original = written(30);
    content(original.path()).unwrap();
    let (refused, harmless) = flip_anywhere(original.path(), 100);
    assert!(refused > 20, "{refused} refused, {harmless} harmless");
}

#[test]
fn a_file_that_was_cut_off_is_refused_and_kept() {
    let original = written(30);
    let expected = content(copy(original.path()).path()).unwrap();
    let len = fs::metadata(original.path().join("db/db")).unwrap().len();
    for part in 0..20 {
        let damaged = copy(original.path());
        let file = fs::OpenOptions::new().write(true).open(damaged.path().join("db/db")).unwrap();
        file.set_len(len * part / 20).unwrap();
        let before = bytes(damaged.path());
        match content(damaged.path()) {
            Ok(it) => assert!(it == expected, "cut at {part}/20"),
            Err(error) => {
                assert!(error.contains("damaged") || error.contains("store:"), "{error}");
                // sled notices some of it, after it has brought its index up to date.
                let by_us = !error.contains("its index cannot be read");
                assert!(!by_us || before == bytes(damaged.path()), "{error}");
                let again = content(damaged.path()).unwrap_err();
                assert!(again.contains("damaged") || again.contains("store:"), "{again}");
            }
        }
    }
}

#[test]
fn a_missing_file_is_refused() {
    let damaged = written(3);
    fs::remove_file(damaged.path().join("db/db")).unwrap();
    let before = bytes(damaged.path());
    let error = content(damaged.path()).unwrap_err();
    assert!(error.contains("missing") && error.contains("verify"), "{error}");
    assert_eq!(before, bytes(damaged.path()));
}

#[test]
fn an_index_that_was_not_finished_is_no_damage() {
    let dir = written(3);
    let expected = content(dir.path()).unwrap();
    let unfinished = dir.path().join("db/snap.7FFFFFFFFFFFFFFF.generating");
    fs::write(&unfinished, b"half").unwrap();
    assert_eq!(content(dir.path()).unwrap(), expected);
    assert!(!unfinished.exists());
}

#[test]
fn a_newer_format_is_refused_before_anything_is_opened() {
    let dir = written(3);
    let newer = FORMAT_VERSION + 1;
    fs::write(dir.path().join("format"), format!("{newer}\n")).unwrap();
    let before = bytes(dir.path());
    let error = content(dir.path()).unwrap_err();
    assert!(
        error.contains(&format!("format {newer}")) && error.contains("nothing was changed"),
        "{error}"
    );
    assert_eq!(before, bytes(dir.path()));
}

/// Free space is what the system says, so a bound that no disk can meet stands for a full one.
#[test]
fn a_full_disk_refuses_writes_and_takes_them_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&Config::new(dir.path().to_owned())).unwrap();
    let table = store.table("t").unwrap();
    table.put(b"a", b"x").unwrap();
    drop(table);
    let set = |store: &mut Store, bytes| {
        Arc::get_mut(&mut store.shared).unwrap().space = Space::new(dir.path(), bytes)
    };
    set(&mut store, u64::MAX);
    let table = store.table("t").unwrap();
    let error = table.put(b"b", b"x").unwrap_err();
    assert!(error.is_full() && error.to_string().contains("make room"), "{error}");
    let mut batch = Batch::default();
    batch.put(b"b", b"x");
    assert!(table.apply(batch).unwrap_err().is_full());
    assert_eq!(table.range_from(b"").count(), 1);
    store.flush().unwrap();
    drop(table);
    set(&mut store, 0);
    store.table("t").unwrap().put(b"b", b"x").unwrap();
}

#[test]
fn nothing_is_written_after_a_write_that_failed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Config::new(dir.path().to_owned())).unwrap();
    let table = store.table("t").unwrap();
    table.put(b"a", b"x").unwrap();
    store.wrote::<()>(Err(io::Error::other("the cable is out"))).unwrap_err();
    let closed = |res: Result<(), StoreError>| {
        let error = res.unwrap_err().to_string();
        assert!(
            error.contains("the cable is out") && error.contains("start the server"),
            "{error}"
        );
    };
    closed(table.put(b"b", b"x"));
    closed(table.apply(Batch::default()));
    closed(store.flush());
    closed(store.check_room(0));
    assert_eq!(table.get(b"a").unwrap().unwrap(), b"x");
}

/// sled does not write a value that stands there already, and moves nothing unless something is written.
#[test]
fn reclaiming_moves_what_is_left_in_mostly_dead_segments() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Config::new(dir.path().to_owned())).unwrap();
    let table = store.table("t").unwrap();
    let position = || {
        store.flush().unwrap();
        store.shared.db.context.pagecache.log.stable_offset()
    };
    for n in 0..2000_u32 {
        table.put(&n.to_be_bytes(), &vec![n.to_le_bytes()[0]; 10_000]).unwrap();
    }
    for n in (0..2000_u32).filter(|it| it % 16 != 0) {
        table.remove(&n.to_be_bytes()).unwrap();
    }
    let before = position();
    store.reclaim(500).unwrap();
    let moved = position() - before;
    // The small writes themselves are some bytes each.
    assert!(moved > 500_000, "{moved} bytes");
    let left = (0..2000_u32).filter(|it| table.get(&it.to_be_bytes()).unwrap().is_some());
    assert_eq!(left.count(), 125);
}
