//! Events on disk that wait for their server.
//!
//! One file per event, named by a number that grows, so that the order of names is the order of events. A file
//! appears by a rename and goes only after the server has answered for it: whatever is killed in between, an event
//! is there whole, or was delivered; one that was delivered and is still there is sent again with the same id,
//! and counts once.
//!
//! Two locks, both gone with the process that holds them: `lock` for the moment in which files come and go,
//! `delivery` for as long as one process sends.

use crate::event::Time;
use serde_json::{Map, Value};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// What a spool may hold. Beyond it the oldest events are dropped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) events: usize,
    pub(super) bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { events: 10_000, bytes: 10 << 20 }
    }
}

/// A directory of events that wait.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    bounds: Bounds,
}

/// An event that waits. Ordered by age.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    number: u64,
}

/// What a file of the spool turned out to hold.
#[derive(Debug)]
pub(super) enum Content {
    /// An event, as one line of JSON without its line break.
    Event(String),
    /// Something that is no event.
    Damaged(String),
    /// It was delivered or dropped by another process meanwhile.
    Gone,
}

const SUFFIX: &str = ".json";
const ASIDE: &str = "aside";
/// The locks are held for moments. Who stops for longer must not hold up a build.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

impl Spool {
    /// The spool in `dir`, which need not exist.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, bounds: Bounds::default() }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Adds the event `line`, one JSON object, behind all others. Returns how many of the oldest were dropped
    /// to make room for it.
    pub(super) fn put(&self, line: &str, now: Time) -> io::Result<usize> {
        make_dir(&self.dir)?;
        let _lock = lock(&self.dir.join("lock"), Instant::now() + LOCK_PATIENCE)?;
        let waiting = self.list()?;
        let dropped = self.make_room(&waiting, line.len() as u64)?;
        // The clock makes a number that no earlier file had, not even one that was put aside.
        let after = waiting.last().map_or(0, |it| it.number.saturating_add(1));
        let number = after.max(now.as_millis().unsigned_abs());
        let to = self.path(&Waiting { number });
        // Only the holder of the lock writes here: what a killed one left is written over.
        let temporary = self.dir.join("new.tmp");
        let options =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
        let mut file = options?;
        file.write_all(line.as_bytes())?;
        file.write_all(b"\n")?;
        drop(file);
        fs::rename(&temporary, to)?;
        Ok(dropped)
    }

    /// The events that wait, oldest first.
    pub(super) fn list(&self) -> io::Result<Vec<Waiting>> {
        numbers(&self.dir)
    }

    /// Reads one.
    pub(super) fn read(&self, it: &Waiting) -> io::Result<Content> {
        let bytes = match fs::read(self.path(it)) {
            Ok(it) => it,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Content::Gone),
            Err(err) => return Err(err),
        };
        let Ok(text) = String::from_utf8(bytes) else {
            return Ok(Content::Damaged("is not UTF-8".to_owned()));
        };
        let event: Result<Map<String, Value>, _> = serde_json::from_str(&text);
        Ok(match event {
            Err(err) => Content::Damaged(format!("is no JSON object: {err}")),
            // Without an id a second attempt would count again.
            Ok(it) if !it.contains_key("id") => Content::Damaged("has no id".to_owned()),
            // Line breaks can only be white space between tokens: a string of JSON has none.
            Ok(_) => Content::Event(text.trim().replace(['\n', '\r'], " ")),
        })
    }

    /// Removes one that was delivered.
    pub(super) fn remove(&self, it: &Waiting) -> io::Result<()> {
        remove(&self.path(it))
    }

    /// Puts one away where it is not sent again, with the reason beside it. Returns where it lies.
    pub(super) fn put_aside(&self, it: &Waiting, reason: &str) -> io::Result<PathBuf> {
        let dir = self.dir.join(ASIDE);
        make_dir(&dir)?;
        let to = dir.join(name(it.number));
        fs::write(to.with_extension("reason"), format!("{reason}\n"))?;
        fs::rename(self.path(it), &to)?;
        // Bounded as the spool is: what nobody looked at goes, the oldest first.
        let aside = numbers(&dir)?;
        for old in aside.iter().take(aside.len().saturating_sub(self.bounds.events)) {
            let path = dir.join(name(old.number));
            remove(&path)?;
            remove(&path.with_extension("reason"))?;
        }
        Ok(to)
    }

    /// The right to deliver, until it is dropped. Waits for another process that delivers until `deadline`.
    pub(super) fn delivery(&self, deadline: Instant) -> io::Result<File> {
        lock(&self.dir.join("delivery"), deadline)
    }

    fn make_room(&self, waiting: &[Waiting], bytes: u64) -> io::Result<usize> {
        let sizes: Vec<_> =
            waiting.iter().map(|it| fs::metadata(self.path(it)).map_or(0, |it| it.len())).collect();
        let mut total = sizes.iter().sum::<u64>() + bytes;
        let mut left = waiting.len() + 1;
        let mut dropped = 0;
        for (it, size) in waiting.iter().zip(sizes) {
            if left <= self.bounds.events && total <= self.bounds.bytes {
                break;
            }
            self.remove(it)?;
            (total, left, dropped) = (total - size, left - 1, dropped + 1);
        }
        Ok(dropped)
    }

    fn path(&self, it: &Waiting) -> PathBuf {
        self.dir.join(name(it.number))
    }
}

fn name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

/// The events in `dir`, oldest first; none if there is no such directory.
fn numbers(dir: &Path) -> io::Result<Vec<Waiting>> {
    let entries = match fs::read_dir(dir) {
        Ok(it) => it,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|it| it.strip_suffix(SUFFIX)?.parse().ok());
        found.extend(number.map(|number| Waiting { number }));
    }
    found.sort();
    Ok(found)
}

/// Removes what may be gone already.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}

/// Events may say what is not for everyone on this machine.
fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn lock(path: &Path, deadline: Instant) -> io::Result<File> {
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(err)) => return Err(err),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                let message = format!("another process holds {}", path.display());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn spool(bounds: Bounds) -> (TempDir, Spool) {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool { bounds, ..Spool::new(dir.path().join("a/b")) };
        (dir, spool)
    }

    fn contents(spool: &Spool) -> Vec<String> {
        let read = |it: &Waiting| match spool.read(it).unwrap() {
            Content::Event(it) => it,
            other => panic!("{other:?}"),
        };
        spool.list().unwrap().iter().map(read).collect()
    }

    fn event(id: usize) -> String {
        format!(r#"{{"id":"{id}"}}"#)
    }

    fn at(millis: i64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn events_wait_in_the_order_in_which_they_came_whatever_the_clock_does() {
        let (_dir, spool) = spool(Bounds::default());
        assert_eq!(spool.list().unwrap(), []);
        for (id, millis) in [(1, 5000), (2, 5000), (3, 100), (4, 9000), (5, 5000)] {
            assert_eq!(spool.put(&event(id), at(millis)).unwrap(), 0);
        }
        let expected: Vec<_> = (1..=5).map(event).collect();
        assert_eq!(contents(&spool), expected);
        let first = spool.list().unwrap()[0].clone();
        spool.remove(&first).unwrap();
        spool.remove(&first).unwrap();
        assert!(matches!(spool.read(&first).unwrap(), Content::Gone));
        assert_eq!(contents(&spool), expected[1..]);
    }

    #[test]
    fn the_oldest_make_room() {
        let (_dir, spool) = spool(Bounds { events: 3, bytes: 1000 });
        let dropped: Vec<_> = (0..5).map(|it| spool.put(&event(it), at(1)).unwrap()).collect();
        assert_eq!(dropped, [0, 0, 0, 1, 1]);
        assert_eq!(contents(&spool), [event(2), event(3), event(4)]);
        let large = format!(r#"{{"id":"large","x":"{}"}}"#, "x".repeat(970));
        assert_eq!(spool.put(&large, at(1)).unwrap(), 3);
        assert_eq!(contents(&spool), [large]);
    }

    #[test]
    fn what_is_damaged_is_told_and_put_aside_with_the_reason() {
        let (_dir, spool) = spool(Bounds { events: 2, bytes: 1000 });
        spool.put(&event(1), at(1)).unwrap();
        spool.put(&event(2), at(1)).unwrap();
        let [one, two] = spool.list().unwrap().try_into().unwrap();
        for bytes in [b"".as_slice(), b"{\"id\":", b"\xff", b"[1]", b"{}"] {
            fs::write(spool.path(&one), bytes).unwrap();
            assert!(matches!(spool.read(&one).unwrap(), Content::Damaged(_)), "{bytes:?}");
        }
        let aside = spool.put_aside(&one, "is no JSON").unwrap();
        assert_eq!(fs::read_to_string(aside.with_extension("reason")).unwrap(), "is no JSON\n");
        assert_eq!(spool.list().unwrap(), [two]);
        // What lies aside is bounded, too.
        for id in 3..6 {
            spool.put(&event(id), at(id as i64)).unwrap();
            let last = spool.list().unwrap().pop().unwrap();
            spool.put_aside(&last, "x").unwrap();
        }
        assert!(!aside.exists());
        assert_eq!(fs::read_dir(spool.dir().join(ASIDE)).unwrap().count(), 4);
    }

    #[test]
    fn an_event_over_several_lines_is_sent_as_one() {
        let (_dir, spool) = spool(Bounds::default());
        spool.put("{\"id\":1,\r\n \"a\":\"x\\ny\"}", at(1)).unwrap();
        assert_eq!(contents(&spool), ["{\"id\":1,   \"a\":\"x\\ny\"}"]);
    }

    #[test]
    fn many_writers_lose_nothing() {
        let (_dir, spool) = spool(Bounds::default());
        thread::scope(|scope| {
            for writer in 0..4 {
                let spool = &spool;
                scope.spawn(move || {
                    for number in 0..25 {
                        spool.put(&event(writer * 100 + number), at(7)).unwrap();
                    }
                });
            }
        });
        let mut all = contents(&spool);
        assert_eq!(all.len(), 100);
        for writer in 0..4 {
            let own: Vec<_> = (0..25).map(|it| event(writer * 100 + it)).collect();
            let kept: Vec<_> = all.iter().filter(|it| own.contains(it)).cloned().collect();
            assert_eq!(kept, own);
        }
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 100);
    }

    #[test]
    fn a_lock_that_is_held_is_not_waited_for_in_vain() {
        let (_dir, spool) = spool(Bounds::default());
        spool.put(&event(1), at(1)).unwrap();
        let held = spool.delivery(Instant::now()).unwrap();
        let err = spool.delivery(Instant::now()).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::TimedOut);
        drop(held);
        spool.delivery(Instant::now()).unwrap();
    }

    #[test]
    fn nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, spool) = spool(Bounds::default());
        spool.put(&event(1), at(1)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let file = spool.path(&spool.list().unwrap()[0]);
        assert_eq!((mode(spool.dir()), mode(&file)), (0o700, 0o600));
    }
}
