//! A data directory that an earlier version wrote: every later one reads it.
//!
//! `tests/fixtures/journal-2.tar.gz` is what [`make`] made with format 2. When the format changes, a new
//! fixture is added, and this one stays.

use super::sealed_tests::{MINUTE, answers, event, fill};
use super::tests::{Fixture, all, keep, open_in};
use super::*;
use crate::event::EventId;
use std::{path::Path, process::Command};

const N: i64 = 2200;
const TYPES: i64 = 70;

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Sealed blocks, a mixed chunk, a pruned one, rows and small commits; in `crashed` as a crash leaves it,
/// with the last commits in the log alone.
fn make(dir: &Path, crashed: &Path) -> Fixture {
    let mut it = open_in(dir);
    fill(&mut it, N, TYPES);
    it.merger.merge_all().unwrap();
    let now = Time::from_millis(1500 * MINUTE);
    it.journal.prune(&keep(&[("type_1", 3600)]), now, 1500).unwrap();
    it.writer.flush().unwrap();
    drop(it);
    copy(&dir.join("."), crashed);
    let mut it = open_in(dir);
    for i in N..N + 3 {
        let event = event(&it, i, TYPES);
        it.append(&[event]);
        it.writer.flush().unwrap();
    }
    for name in ["log-a", "log-b"] {
        copy(&dir.join(name), crashed);
    }
    it
}

fn unpack(name: &str, to: &Path) {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let unpacked = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(to).status();
    assert!(unpacked.unwrap().success());
}

#[test]
fn what_format_2_stored_is_read() {
    let [old, new, crashed] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    unpack("journal-2.tar.gz", old.path());
    let (mut old, new) = (open_in(old.path()), make(new.path(), crashed.path()));
    let expected = answers(&new.journal);
    for merged in [false, true] {
        assert!(answers(&old.journal) == expected);
        assert_eq!(old.journal.len(), new.journal.len());
        assert_eq!(old.journal.end(), N.cast_unsigned() + 4);
        assert_eq!(old.journal.kinds(), new.journal.kinds());
        for (seq, event) in new.journal.query(&all()).unwrap().events.into_iter().step_by(111) {
            assert_eq!(old.journal.get(&event.id).unwrap(), Some((seq, event)));
        }
        let cursor = Some(Cursor(777));
        let page = Query { cursor, limit: 5, ..all() };
        assert_eq!(old.seqs(&page), new.seqs(&page));
        let known = old.journal.id_key().identity("source-0", "id-2200");
        assert!(old.writer.knows(known));
        if !merged {
            old.merger.merge_all().unwrap();
        }
    }
    let pruned = Query { types: vec!["type_1".into()], ..all() };
    assert_eq!(old.seqs(&pruned).first(), new.seqs(&pruned).first());
    assert!(old.seqs(&pruned).first().is_some_and(|it| *it > 1000));
    assert_eq!(old.journal.get(&EventId::Given("id-2".into())).unwrap(), None);
    let next = event(&old, N + 3, TYPES);
    old.append(&[next]);
    assert_eq!(old.journal.end(), N.cast_unsigned() + 5);
}
