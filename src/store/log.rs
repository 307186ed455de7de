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
//! u64  checksum of turn, synced length and payload
//! u32  length
//! u32  how much of the file was synced when it was written: what is not whole below that is damage, and
//!      what is not whole above was never acknowledged
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
use xxhash_rust::xxh3::xxh3_64_with_seed;

const NAMES: [&str; 2] = ["log-a", "log-b"];
const FILE_BYTES: usize = 2 << 20;
const MAGIC: [u8; 4] = *b"OLG1";
const HEAD_BYTES: usize = 28;
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
    /// Up to where the active file is on disk.
    synced: usize,
    /// A sync failed: the system may have dropped what it could not write, and says so only once.
    broken: bool,
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
        let log = Self {
            halves: [half_a, half_b],
            active,
            turn,
            position,
            last: position,
            synced: position,
            broken: false,
        };
        Ok((log, records))
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

    /// Goes on in the other file, after a sync of this one. Returns the file that was left, to release when
    /// the store was flushed. `None` if the other file is not released yet: flush the store, and call
    /// [`Self::reset`].
    ///
    /// # Errors
    ///
    /// The disk refused; the file stays the same then.
    pub fn turn(&mut self) -> io::Result<Option<Retired>> {
        self.sync()?;
        let next = 1 - self.active;
        if self.halves.get(next).is_none_or(|it| it.busy.load(Ordering::Acquire)) {
            return Ok(None);
        }
        let left = self.halves.get(self.active).map(|it| Retired(Arc::clone(&it.busy)));
        self.begin(next);
        Ok(left)
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
        self.synced = 0;
    }

    /// Appends a record that fits. On disk after the next [`Self::sync`].
    ///
    /// # Errors
    ///
    /// The file cannot be written. The next record takes the place of this one.
    pub fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let Some(half) = self.halves.get(self.active) else { return Ok(()) };
        let short = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
        let (turn, synced) = (self.turn, short(self.synced));
        let mut record = Vec::with_capacity(HEAD_BYTES + payload.len());
        record.extend_from_slice(&MAGIC);
        record.extend_from_slice(&turn.to_le_bytes());
        record.extend_from_slice(&checksum(turn, synced, payload).to_le_bytes());
        record.extend_from_slice(&short(payload.len()).to_le_bytes());
        record.extend_from_slice(&synced.to_le_bytes());
        record.extend_from_slice(payload);
        half.busy.store(true, Ordering::Release);
        half.file.write_all_at(&record, self.position as u64)?;
        self.last = self.position;
        self.position += record.len();
        Ok(())
    }

    /// Takes back the last record, which was not synced: the next takes its place. For what the store then
    /// refused.
    pub fn take_back(&mut self) {
        self.position = self.last;
    }

    /// Blocks until everything that was appended is on disk.
    ///
    /// # Errors
    ///
    /// The disk refused, now or before: what was appended since the last success may be lost.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier sync of the commit log failed"));
        }
        // What is in the other file was synced before it was left.
        if self.synced < self.position
            && let Some(half) = self.halves.get(self.active)
        {
            half.file.sync_data().inspect_err(|_| self.broken = true)?;
            self.synced = self.position;
        }
        Ok(())
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
            if let Some(it) = record(bytes.get(at..).unwrap_or_default()) {
                found.push((it.turn, at, it.payload.to_vec()));
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

fn checksum(turn: u64, synced: u32, payload: &[u8]) -> u64 {
    let seed = xxh3_64_with_seed(&turn.to_le_bytes(), u64::from(synced));
    xxh3_64_with_seed(payload, seed)
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
    /// Where the records end.
    end: usize,
    /// Of the records behind one that is not whole: the turn, and how much was synced by then.
    stray: Vec<(u64, usize)>,
    /// What stands in the page behind the last whole record.
    tail: Vec<u8>,
}

impl Found {
    /// What is not whole was never acknowledged, unless a later record of the same turn says that it was on
    /// disk. What is left of an earlier turn was flushed.
    fn check(&self, other_turn: u64) -> Result<(), LogError> {
        let is_later = |turn: u64| match self.turn {
            0 => turn > other_turn,
            own => turn == own,
        };
        match self.stray.iter().any(|(turn, synced)| is_later(*turn) && *synced > self.end) {
            true => Err(LogError::Damaged(self.records.len())),
            false => Ok(()),
        }
    }

    /// Whether a record of `turn` that follows the last whole one was whole once. A write that was torn leaves
    /// pages that came and pages that did not, so what lies within one page came whole or not at all: if only
    /// one part of it is wrong, that part was changed since. Of a longer record this cannot be told.
    fn is_spoilt(&self, turn: u64) -> bool {
        // Of several that were not synced, the disk may have kept the later ones.
        let followed = self.stray.iter().any(|it| it.0 == turn);
        let tail = self.tail.split_at_checked(HEAD_BYTES).filter(|_| !followed);
        let Some((head, body)) = tail else { return false };
        let turn_bytes = turn.to_le_bytes();
        let (magic, fields) = head.split_at(MAGIC.len());
        let (its_turn, fields) = fields.split_at(turn_bytes.len());
        let Some((sum, fields)) = fields.split_first_chunk() else { return false };
        let Some((len, synced)) = fields.split_first_chunk() else { return false };
        let sum = u64::from_le_bytes(*sum);
        let len = u32::from_le_bytes(*len) as usize;
        let synced = synced.first_chunk().map_or(0, |it| u32::from_le_bytes(*it));
        let is_good =
            |len: usize| body.get(..len).is_some_and(|it| checksum(turn, synced, it) == sum);
        let named = magic == MAGIC && its_turn == turn_bytes;
        let payload_or_sum = named && len <= body.len();
        let length = named && (0..body.len()).any(is_good);
        let magic_or_turn = is_good(len);
        payload_or_sum || length || magic_or_turn
    }
}

fn read(file: &fs::File, bytes: &mut [u8]) -> Result<Found, LogError> {
    file.read_exact_at(bytes, 0)?;
    let mut res =
        Found { turn: 0, records: Vec::new(), end: 0, stray: Vec::new(), tail: Vec::new() };
    while let Some(it) = record(bytes.get(res.end..).unwrap_or_default()) {
        if res.turn != 0 && it.turn != res.turn {
            break;
        }
        res.turn = it.turn;
        res.end += HEAD_BYTES + it.payload.len();
        res.records.push(it.payload.to_vec());
    }
    let rest = bytes.get(res.end..).unwrap_or_default();
    let stray = |at: usize| record(rest.get(at..)?).map(|it| (it.turn, it.synced));
    res.stray = memchr::memmem::find_iter(rest, &MAGIC).filter_map(stray).collect();
    res.tail = rest.get(..rest.len().min(PAGE - res.end % PAGE)).unwrap_or_default().to_vec();
    Ok(res)
}

struct Record<'a> {
    turn: u64,
    synced: usize,
    payload: &'a [u8],
}

/// The record at the start of `bytes`, if there is a whole one.
fn record(bytes: &[u8]) -> Option<Record<'_>> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (turn, rest) = rest.split_first_chunk().map(|it| (u64::from_le_bytes(*it.0), it.1))?;
    let (sum, rest) = rest.split_first_chunk().map(|it| (u64::from_le_bytes(*it.0), it.1))?;
    let (len, rest) = rest.split_first_chunk().map(|it| (u32::from_le_bytes(*it.0), it.1))?;
    let (synced, rest) = rest.split_first_chunk().map(|it| (u32::from_le_bytes(*it.0), it.1))?;
    let payload = rest.get(..len as usize)?;
    let is_whole = checksum(turn, synced, payload) == sum;
    is_whole.then_some(Record { turn, synced: synced as usize, payload })
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
        assert!(log.turn().unwrap().is_some());
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
        let left = log.turn().unwrap().unwrap();
        log.append(b"four").unwrap();
        log.sync().unwrap();
        let expected = vec![b"one".to_vec(), big.clone(), big.clone(), b"four".to_vec()];
        assert_eq!(reopen(dir.path()).unwrap(), expected);
        assert!(log.turn().unwrap().is_none(), "the first file is not released");
        left.release();
        log.turn().unwrap().unwrap();
        log.append(b"five").unwrap();
        assert_eq!(reopen(dir.path()).unwrap(), [b"four".to_vec(), b"five".to_vec()]);
    }

    fn flip(dir: &Path, log: &Log, at: usize) {
        let mut byte = [0];
        let path = dir.join(NAMES[log.active]);
        let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        file.read_exact_at(&mut byte, at as u64).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at as u64).unwrap();
    }

    #[test]
    fn a_torn_end_is_left_out_and_damage_before_it_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = begin(dir.path());
        for it in [b"one", b"two", b"six"] {
            log.append(it).unwrap();
            log.sync().unwrap();
        }
        flip(dir.path(), &log, HEAD_BYTES);
        assert_eq!(reopen(dir.path()).unwrap_err(), "record 0 is damaged");
        flip(dir.path(), &log, HEAD_BYTES);
        // The last one lies within a page: no byte of it can have been torn off.
        for at in log.last..log.position {
            flip(dir.path(), &log, at);
            assert_eq!(reopen(dir.path()).unwrap_err(), "record 2 is damaged", "{at}");
            flip(dir.path(), &log, at);
        }
        // So does the first of the next turn.
        let left = log.turn().unwrap().unwrap();
        log.append(b"ten").unwrap();
        for at in 0..log.position {
            flip(dir.path(), &log, at);
            assert_eq!(reopen(dir.path()).unwrap_err(), "record 0 is damaged", "{at}");
            flip(dir.path(), &log, at);
        }
        left.release();
        // One that spans pages may be torn.
        log.append(&[7; 2 * PAGE]).unwrap();
        assert_eq!(reopen(dir.path()).unwrap().len(), 5);
        flip(dir.path(), &log, log.position - 1);
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
    fn what_was_not_synced_may_be_torn_anywhere() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = begin(dir.path());
        log.append(b"one").unwrap();
        log.sync().unwrap();
        // Three that nobody was told of: the disk may have kept any of them.
        for it in [b"two", b"six", b"ten"] {
            log.append(it).unwrap();
        }
        flip(dir.path(), &log, 2 * HEAD_BYTES + 4);
        assert_eq!(reopen(dir.path()).unwrap(), [b"one".to_vec()]);
        log.sync().unwrap();
        log.append(b"and one that knows of them").unwrap();
        assert_eq!(reopen(dir.path()).unwrap_err(), "record 1 is damaged");
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
