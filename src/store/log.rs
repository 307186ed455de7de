//! The commit log: small commits, on disk before the store has them there.
//!
//! A flush of the store costs half a millisecond and wakes all of its threads; a write and a sync of one
//! file cost a fifth of that. So a small commit is written here and synced, and given to the store, which
//! keeps it in memory for the moment. Once the store was flushed the log may be written over.
//!
//! Two files of fixed size take turns, so that one is written while what the other holds gets flushed.
//! Their blocks are allocated once: a sync then has no metadata to write. A record is
//!
//! ```text
//! u32  magic
//! u64  turn: grows whenever the files take turns, so that what is left of an earlier turn is told apart
//! u64  checksum of turn and payload
//! u32  length
//!      payload
//! ```

use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const NAMES: [&str; 2] = ["log-a", "log-b"];
const FILE_BYTES: usize = 2 << 20;
const MAGIC: [u8; 4] = *b"OLG1";
const HEAD_BYTES: usize = 24;
/// What a disk writes whole or not at all.
const PAGE: usize = 4096;
const ZEROS: [u8; 16 << 10] = [0; 16 << 10];

/// The log's write side; there is one.
#[derive(Debug)]
pub struct Log {
    halves: [Half; 2],
    active: usize,
    turn: u64,
    position: usize,
    /// Where the last record stands.
    last: usize,
}

#[derive(Debug)]
struct Half {
    file: Arc<fs::File>,
    /// Whether it holds what the store may not have on disk.
    busy: Arc<AtomicBool>,
}

/// A file of the log that may be written over once the store was flushed.
#[derive(Debug)]
pub struct Retired(Arc<AtomicBool>);

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A record that was complete once is not any more.
    #[error("record {0} is damaged")]
    Damaged(usize),
    /// A file is shorter than it was made, or gone.
    #[error("the file {0} {1}")]
    Cut(&'static str, &'static str),
}

impl LogError {
    /// The file, and what is wrong.
    pub(super) fn place(&self) -> (&'static str, String) {
        match self {
            Self::Io(error) => ("log-a", error.to_string()),
            Self::Damaged(record) => {
                ("log-a", format!("the commit log (both files): record {record} is damaged"))
            }
            Self::Cut(name, what) => (name, format!("the file {what}")),
        }
    }
}

impl Retired {
    /// To be called when the store was flushed after the file was retired.
    pub fn release(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Log {
    /// Checks the log in `dir` without changing anything; one that is absent is as good as an empty one.
    pub(super) fn check(dir: &Path) -> Result<(), LogError> {
        check_lengths(dir)?;
        let [a, b] = NAMES.map(|it| dir.join(it));
        let made = |it: &Path| it.metadata().is_ok_and(|it| it.len() >= FILE_BYTES as u64);
        if made(&a) && made(&b) {
            let mut buffer = vec![0; FILE_BYTES];
            let a = read(&fs::File::open(a)?, &mut buffer)?;
            check_both(&a, &read(&fs::File::open(b)?, &mut buffer)?)?;
        }
        Ok(())
    }

    /// Opens the log in `dir`, creating it if it is absent, and returns the records that are in it, oldest
    /// first. Nothing is changed in it before the first [`Self::append`], which begins with an empty file.
    ///
    /// # Errors
    ///
    /// The files cannot be used, or a record in the middle is damaged. A record at the end that is not
    /// whole was never acknowledged, and is left out.
    pub fn open(dir: &Path) -> Result<(Self, Vec<Vec<u8>>), LogError> {
        check_lengths(dir)?;
        // One buffer for both: what is allocated twice is not given back to the system.
        let mut buffer = vec![0; FILE_BYTES];
        let mut open = |name: &str| -> Result<(Half, Found), LogError> {
            let file = open_file(&dir.join(name))?;
            let found = read(&file, &mut buffer)?;
            Ok((Half { file: Arc::new(file), busy: Arc::default() }, found))
        };
        let [a, b] = NAMES;
        let ((half_a, a), (half_b, b)) = (open(a)?, open(b)?);
        check_both(&a, &b)?;
        let (turn, active) = (a.turn.max(b.turn), usize::from(b.turn > a.turn));
        let (older, newer) = if active == 1 { (a, b) } else { (b, a) };
        let records = older.records.into_iter().chain(newer.records).collect();
        // Full, so that the first append takes the other turn.
        let position = FILE_BYTES;
        Ok((Self { halves: [half_a, half_b], active, turn, position, last: position }, records))
    }

    /// Bytes that one record may have.
    #[must_use]
    pub fn max_record_bytes() -> usize {
        FILE_BYTES / 8
    }

    /// Whether a record of `n` bytes does not fit any more: call [`Self::turn`] before.
    #[must_use]
    pub fn is_full_for(&self, n: usize) -> bool {
        self.position + HEAD_BYTES + n > FILE_BYTES
    }

    /// Goes on in the other file. Returns the file that was left, to release when the store was flushed.
    /// `None` if the other file is not released yet: flush the store, and call [`Self::reset`].
    pub fn turn(&mut self) -> Option<Retired> {
        let next = 1 - self.active;
        if self.halves.get(next)?.busy.load(Ordering::Acquire) {
            return None;
        }
        let left = self.halves.get(self.active).map(|it| Retired(Arc::clone(&it.busy)));
        self.begin(next);
        left
    }

    /// Begins anew: everything in the log is on disk in the store.
    pub fn reset(&mut self) {
        for half in &self.halves {
            half.busy.store(false, Ordering::Release);
        }
        self.begin(1 - self.active);
    }

    fn begin(&mut self, half: usize) {
        self.active = half;
        self.turn += 1;
        self.position = 0;
    }

    /// Appends a record that fits. On disk after the next [`Self::sync`].
    ///
    /// # Errors
    ///
    /// The file cannot be written. The next record takes the place of this one.
    pub fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let Some(half) = self.halves.get(self.active) else { return Ok(()) };
        let mut record = Vec::with_capacity(HEAD_BYTES + payload.len());
        record.extend_from_slice(&MAGIC);
        record.extend_from_slice(&self.turn.to_le_bytes());
        record.extend_from_slice(&checksum(self.turn, payload).to_le_bytes());
        record.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        record.extend_from_slice(payload);
        half.busy.store(true, Ordering::Release);
        half.file.write_all_at(&record, self.position as u64)?;
        self.last = self.position;
        self.position += record.len();
        Ok(())
    }

    /// Takes back the last record: the next takes its place. For what the store then refused.
    pub fn take_back(&mut self) {
        self.position = self.last;
    }

    /// Blocks until everything appended to the current file is on disk.
    ///
    /// # Errors
    ///
    /// The disk refused.
    pub fn sync(&self) -> io::Result<()> {
        self.halves.get(self.active).map_or(Ok(()), |it| it.file.sync_data())
    }
}

fn check_both(a: &Found, b: &Found) -> Result<(), LogError> {
    for (it, other) in [(a, b), (b, a)] {
        it.check(other.turn)?;
    }
    let (newer, older) = if b.turn > a.turn { (b, a) } else { (a, b) };
    // The next record stands behind the newest, or begins the next turn in the other file.
    let begun = older.records.is_empty() && older.is_spoilt(newer.turn + 1);
    if begun || newer.is_spoilt(newer.turn) {
        return Err(LogError::Damaged(if begun { 0 } else { newer.records.len() }));
    }
    Ok(())
}

/// Every record of the log in `dir` that can be read and was not written over, oldest first.
pub(super) fn readable(dir: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut found: Vec<(u64, usize, Vec<u8>)> = Vec::new();
    for name in NAMES {
        let bytes = match fs::read(dir.join(name)) {
            Ok(it) => it,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for at in memchr::memmem::find_iter(&bytes, &MAGIC) {
            if let Some((turn, payload)) = record(bytes.get(at..).unwrap_or_default()) {
                found.push((turn, at, payload.to_vec()));
            }
        }
    }
    let newest = found.iter().map(|it| it.0).max().unwrap_or(0);
    found.retain(|it| it.0 + 1 >= newest);
    found.sort_by_key(|it| (it.0, it.1));
    Ok(found.into_iter().map(|it| it.2).collect())
}

/// Refuses files that were cut off, which would be filled with zeros otherwise. What a start left that was ended
/// while it made them has nothing but zeros.
fn check_lengths(dir: &Path) -> Result<(), LogError> {
    let mut present = 0;
    for name in NAMES {
        let bytes = match fs::read(dir.join(name)) {
            Ok(it) => it,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        if bytes.len() < FILE_BYTES && bytes.iter().any(|it| *it != 0) {
            return Err(LogError::Cut(name, "was cut off"));
        }
        present += usize::from(bytes.len() >= FILE_BYTES && bytes.iter().any(|it| *it != 0));
    }
    let gone = NAMES.into_iter().find(|it| !dir.join(it).exists());
    match gone {
        Some(name) if present > 0 => Err(LogError::Cut(name, "is missing")),
        _ => Ok(()),
    }
}

fn checksum(turn: u64, payload: &[u8]) -> u64 {
    xxh3_64_with_seed(payload, xxh3_64(&turn.to_le_bytes()))
}

fn open_file(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    let file = options.create(true).truncate(false).read(true).write(true).open(path)?;
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(FILE_BYTES);
    if len < FILE_BYTES {
        // Zeros are no record; real ones, and not a hole, so that the blocks are there.
        for at in (len..FILE_BYTES).step_by(ZEROS.len()) {
            let zeros = ZEROS.get(..ZEROS.len().min(FILE_BYTES - at)).unwrap_or_default();
            file.write_all_at(zeros, at as u64)?;
        }
        file.sync_all()?;
    }
    Ok(file)
}

/// What a file holds.
struct Found {
    /// The turn of its records; 0 if there is none.
    turn: u64,
    records: Vec<Vec<u8>>,
    /// The highest turn of a record behind one that is not whole.
    stray: u64,
    /// What stands in the page behind the last whole record.
    tail: Vec<u8>,
}

impl Found {
    /// A torn record can only be the last one of its turn, and what is left of an earlier turn was flushed:
    /// anything else behind a record that is not whole was acknowledged, and so was that one.
    fn check(&self, other_turn: u64) -> Result<(), LogError> {
        let newest = if self.records.is_empty() { other_turn + 1 } else { self.turn };
        if self.stray >= newest { Err(LogError::Damaged(self.records.len())) } else { Ok(()) }
    }

    /// Whether a record of `turn` that follows the last whole one was whole once. A write that was torn leaves
    /// pages that came and pages that did not, so what lies within one page came whole or not at all: if only
    /// one part of it is wrong, that part was changed since. Of a longer record this cannot be told.
    fn is_spoilt(&self, turn: u64) -> bool {
        let Some((head, body)) = self.tail.split_at_checked(HEAD_BYTES) else { return false };
        let turn_bytes = turn.to_le_bytes();
        let (magic, fields) = head.split_at(MAGIC.len());
        let (its_turn, fields) = fields.split_at(turn_bytes.len());
        let Some((sum, len)) = fields.split_first_chunk() else { return false };
        let sum = u64::from_le_bytes(*sum);
        let len = len.first_chunk().map_or(0, |it| u32::from_le_bytes(*it) as usize);
        let is_good = |len: usize| body.get(..len).is_some_and(|it| checksum(turn, it) == sum);
        let named = magic == MAGIC && its_turn == turn_bytes;
        let payload_or_sum = named && len <= body.len();
        let length = named && (0..body.len()).any(is_good);
        let magic_or_turn = is_good(len);
        payload_or_sum || length || magic_or_turn
    }
}

fn read(file: &fs::File, bytes: &mut [u8]) -> Result<Found, LogError> {
    file.read_exact_at(bytes, 0)?;
    let mut at = 0;
    let mut res = Found { turn: 0, records: Vec::new(), stray: 0, tail: Vec::new() };
    while let Some((turn, payload)) = record(bytes.get(at..).unwrap_or_default()) {
        if res.turn != 0 && turn != res.turn {
            break;
        }
        res.turn = turn;
        at += HEAD_BYTES + payload.len();
        res.records.push(payload.to_vec());
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let turn_at = |at: usize| record(rest.get(at..)?).map(|it| it.0);
    res.stray = memchr::memmem::find_iter(rest, &MAGIC).filter_map(turn_at).max().unwrap_or(0);
    res.tail = rest.get(..rest.len().min(PAGE - at % PAGE)).unwrap_or_default().to_vec();
    Ok(res)
}

/// The record at the start of `bytes`, if there is a whole one: its turn and payload.
fn record(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (turn, rest) = rest.split_first_chunk().map(|it| (u64::from_le_bytes(*it.0), it.1))?;
    let (sum, rest) = rest.split_first_chunk().map(|it| (u64::from_le_bytes(*it.0), it.1))?;
    let (len, rest) = rest.split_first_chunk().map(|it| (u32::from_le_bytes(*it.0), it.1))?;
    let payload = rest.get(..len as usize)?;
    (checksum(turn, payload) == sum).then_some((turn, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reopen(dir: &Path) -> Result<Vec<Vec<u8>>, String> {
        Log::open(dir).map(|it| it.1).map_err(|it| it.to_string())
    }

    fn begin(dir: &Path) -> Log {
        let (mut log, records) = Log::open(dir).unwrap();
        assert!(records.is_empty() && log.is_full_for(1));
        assert!(log.turn().is_some());
        log
    }

    #[test]
    fn records_are_found_again_in_order_across_turns() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = begin(dir.path());
        let big = vec![7; FILE_BYTES / 3];
        log.append(b"one").unwrap();
        log.append(&big).unwrap();
        log.append(&big).unwrap();
        assert!(log.is_full_for(big.len()));
        let left = log.turn().unwrap();
        log.append(b"four").unwrap();
        log.sync().unwrap();
        let expected = vec![b"one".to_vec(), big.clone(), big.clone(), b"four".to_vec()];
        assert_eq!(reopen(dir.path()).unwrap(), expected);
        assert!(log.turn().is_none(), "the first file is not released");
        left.release();
        log.turn().unwrap();
        log.append(b"five").unwrap();
        assert_eq!(reopen(dir.path()).unwrap(), [b"four".to_vec(), b"five".to_vec()]);
    }

    fn flip_in(path: &Path, at: u64) {
        let mut byte = [0];
        let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }

    #[test]
    fn a_torn_end_is_left_out_and_damage_before_it_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = begin(dir.path());
        for it in [b"one", b"two", b"six"] {
            log.append(it).unwrap();
        }
        let path = dir.path().join(NAMES[log.active]);
        let flip = |at: u64| flip_in(&path, at);
        flip(HEAD_BYTES as u64);
        assert_eq!(reopen(dir.path()).unwrap_err(), "record 0 is damaged");
        flip(HEAD_BYTES as u64);
        // The last one lies within a page: no byte of it can have been torn off.
        let last = log.last as u64;
        for at in last..log.position as u64 {
            flip(at);
            assert_eq!(reopen(dir.path()).unwrap_err(), "record 2 is damaged", "{}", at - last);
            flip(at);
        }
        // So does the first of the next turn.
        let left = log.turn().unwrap();
        log.append(b"ten").unwrap();
        let path = dir.path().join(NAMES[log.active]);
        for at in 0..log.position as u64 {
            flip_in(&path, at);
            assert_eq!(reopen(dir.path()).unwrap_err(), "record 0 is damaged", "{at}");
            flip_in(&path, at);
        }
        left.release();
        // One that spans pages may be torn.
        log.append(&[7; 2 * PAGE]).unwrap();
        assert_eq!(reopen(dir.path()).unwrap().len(), 5);
        flip_in(&path, log.position as u64 - 1);
        assert_eq!(reopen(dir.path()).unwrap().len(), 4);
    }

    #[test]
    fn a_file_that_was_cut_off_or_removed_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = begin(dir.path());
        log.append(b"one").unwrap();
        let path = dir.path().join(NAMES[log.active]);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..100]).unwrap();
        let name = NAMES[log.active];
        assert_eq!(reopen(dir.path()).unwrap_err(), format!("the file {name} was cut off"));
        assert_eq!(fs::read(&path).unwrap(), &whole[..100]);
        fs::write(&path, &whole).unwrap();
        let other = NAMES[1 - log.active];
        fs::remove_file(dir.path().join(other)).unwrap();
        assert_eq!(reopen(dir.path()).unwrap_err(), format!("the file {other} is missing"));
        // What a start left that made them is no damage.
        fs::write(dir.path().join(other), [0; 100]).unwrap();
        assert_eq!(reopen(dir.path()).unwrap(), [b"one".to_vec()]);
    }

    #[test]
    fn what_is_left_of_an_earlier_turn_is_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = begin(dir.path());
        for i in 0..100 {
            log.append(format!("record {i}").as_bytes()).unwrap();
        }
        for _ in 0..2 {
            log.reset();
        }
        log.append(b"record x").unwrap();
        assert_eq!(reopen(dir.path()).unwrap(), [b"record x".to_vec()]);
    }
}
