//! Reading sled's files without sled, before it opens them.
//!
//! sled takes whatever it cannot read for the torn end of its log: it cuts there, writes zeros over the rest and
//! goes on without a word. That is right for the end of a log that a crash left, and wrong for damage. So
//! everything that it would replay at a start, and that a flush had made durable, is read here first, with the
//! same checksums; what is not whole is reported before anything is changed. What is older than that, sled
//! reads through a checksum whenever it is asked for.
//!
//! The log is a file of segments. A segment is a header (checksum, position in the log, position up to which
//! the log was durable then) and messages (checksum, kind, length, number of the segment, page, body). Segments
//! that are free are used again, so their order in the file is not that of the log.

mod mend;
mod named;

pub(super) use mend::mend;
pub(super) use named::named;

use super::durable;
use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

pub(super) const SEGMENT_BYTES: u64 = 512 << 10;
const SEGMENT: usize = 512 << 10;
const SEGMENT_HEAD: usize = 20;
/// No message begins in the last bytes of a segment, unless it ends it exactly.
const RED_ZONE: usize = 32;
/// Segments that may be begun before the durable end of the log reaches them: far more than ever are.
const MAX_AHEAD: u64 = 1 << 12;
const MASK: i64 = i64::MAX;

const CANCELED: u8 = 1;
const CAP: u8 = 2;
const LAST_KIND: u8 = 11;
/// The kinds whose body is the name of a file.
const IN_BLOB: [u8; 3] = [7, 9, 11];

/// Something in sled's files that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, within the data directory.
    pub file: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// What was found in the files.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) damage: Vec<Damage>,
    /// Bytes that were read.
    pub(super) bytes: u64,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}: {}", self.file.display(), self.offset, self.what)
    }
}

/// Reads what sled would replay at a start. `each` is told the bytes that were read.
pub(super) fn check(path: &Path, mut each: impl FnMut(u64)) -> io::Result<Found> {
    let db = path.join("db");
    let mut found = Found::default();
    let noted = durable::noted(path)?;
    let file = match fs::File::open(db.join("db")) {
        Ok(it) => it,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if noted.is_some() {
                found.add("db/db", 0, "the file is missing");
            }
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    check_conf(&db, &mut found)?;
    let replay_from = check_snapshot(&db, &mut found)?;
    let segments = segments(&file, &mut found)?;
    let stable = segments.iter().map(|it| it.stable).max().unwrap_or(-1);
    let durable = noted.unwrap_or(-1).max(stable);
    let base = |position: i64| position - position.rem_euclid(SEGMENT_BYTES.cast_signed());
    // The last durable segment may be gone because all in it was replaced, but then there are later ones.
    if durable >= 0 && segments.last().is_none_or(|it| it.position < base(durable)) {
        let len = file.metadata()?.len();
        let what = "the file ends before what was written last: it was cut off or exchanged";
        found.add("db/db", len, what);
    }
    let replayed = segments.iter().filter(|it| it.position >= base(replay_from));
    let mut buffer = vec![0; SEGMENT];
    for segment in replayed.filter(|it| it.position <= durable) {
        let n = read_some(&file, &mut buffer, segment.offset)?;
        let bytes = buffer.get(..n).unwrap_or_default();
        check_segment(&db, bytes, segment, durable, &mut found)?;
        found.bytes += n as u64;
        each(found.bytes);
    }
    Ok(found)
}

/// Bytes in sled's files, to say how far a check is.
pub(super) fn size(path: &Path) -> u64 {
    fs::metadata(path.join("db").join("db")).map_or(0, |it| it.len())
}

/// Removes what a start left that was ended while it wrote sled's index: sled would take it for a whole one.
pub(super) fn remove_unfinished(path: &Path) -> io::Result<()> {
    for (name, _) in snapshots(&path.join("db"))? {
        if name.ends_with(".generating") {
            fs::remove_file(path.join("db").join(name))?;
        }
    }
    Ok(())
}

impl Found {
    fn add(&mut self, file: &str, offset: u64, what: &str) {
        self.damage.push(Damage { file: file.into(), offset, what: what.to_owned() });
    }
}

/// `conf`: sled's parameters and their checksum. One that is too short, sled writes again as it was.
fn check_conf(db: &Path, found: &mut Found) -> io::Result<()> {
    let bytes = match fs::read(db.join("conf")) {
        Ok(it) => it,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if let Some((body, sum)) = bytes.split_last_chunk().filter(|it| it.0.len() > 4)
        && crc32fast::hash(body) != u32::from_le_bytes(*sum)
    {
        found.add("db/conf", 0, "its checksum does not match");
    }
    Ok(())
}

/// The files of sled's index: name and position in the log.
fn snapshots(db: &Path) -> io::Result<Vec<(String, i64)>> {
    let mut res = Vec::new();
    let entries = match fs::read_dir(db) {
        Ok(it) => it,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(res),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(position) = name.strip_prefix("snap.") {
            let position = position.trim_end_matches(".generating");
            res.push((name.to_owned(), i64::from_str_radix(position, 16).unwrap_or(0)));
        }
    }
    res.sort();
    Ok(res)
}

/// Checks the newest index, and returns from which position of the log it is brought up to date.
fn check_snapshot(db: &Path, found: &mut Found) -> io::Result<i64> {
    let whole = |it: &(String, i64)| !it.0.ends_with(".generating");
    let Some((name, position)) = snapshots(db)?.into_iter().rfind(whole) else { return Ok(0) };
    let bytes = fs::read(db.join(&name))?;
    let file = format!("db/{name}");
    // Body, length of the body, checksum of the body.
    let sum = bytes.split_last_chunk::<12>().and_then(|(body, tail)| {
        let sum = u32::from_le_bytes(*tail.last_chunk()?);
        (crc32fast::hash(body) == sum).then_some(())
    });
    if sum.is_none() {
        found.add(&file, 0, "its checksum does not match");
    }
    Ok(position)
}

/// Where a segment is.
struct Segment {
    offset: u64,
    position: i64,
    /// Up to where the log was durable when it was begun.
    stable: i64,
}

/// The segments in the order of the log.
fn segments(file: &fs::File, found: &mut Found) -> io::Result<Vec<Segment>> {
    let len = file.metadata()?.len();
    let mut res = Vec::new();
    for offset in (0..len).step_by(SEGMENT) {
        let mut head = [0; SEGMENT_HEAD];
        if read_some(file, &mut head, offset)? < SEGMENT_HEAD {
            continue;
        }
        if let Some((position, stable)) = self::head(&head) {
            res.push(Segment { offset, position, stable });
        } else if head != [0; SEGMENT_HEAD] {
            found.add("db/db", offset, "the checksum of a segment's head does not match");
        }
    }
    res.sort_by_key(|it| it.position);
    Ok(res)
}

/// The position of a segment, and up to where the log was durable when it was begun; `None` if its head is
/// damaged.
fn head(bytes: &[u8]) -> Option<(i64, i64)> {
    let (sum, rest) = bytes.get(..SEGMENT_HEAD)?.split_first_chunk()?;
    let (position, stable) = rest.split_first_chunk()?;
    let good = crc32fast::hash(rest) == u32::from_le_bytes(*sum) ^ u32::MAX;
    let number = |it| i64::from_le_bytes(it) ^ MASK;
    good.then_some((number(*position), number(*stable.first_chunk()?)))
}

/// One message of the log.
struct Message<'a> {
    kind: u8,
    segment: u64,
    body: &'a [u8],
    /// Bytes in all.
    len: usize,
}

fn check_segment(
    db: &Path,
    bytes: &[u8],
    segment: &Segment,
    durable: i64,
    found: &mut Found,
) -> io::Result<()> {
    let number = segment.position.cast_unsigned() / SEGMENT_BYTES;
    let mut at = SEGMENT_HEAD;
    while at < SEGMENT - RED_ZONE && segment.position + at as i64 <= durable {
        let offset = segment.offset + at as u64;
        match message(bytes.get(at..).unwrap_or_default()) {
            Some(it) if it.segment == number => {
                if it.kind == CAP {
                    break;
                }
                if IN_BLOB.contains(&it.kind) {
                    check_blob(db, it.body, found)?;
                }
                at += it.len;
            }
            _ if is_used_again(bytes, at, durable) => break,
            _ => {
                found.add("db/db", offset, "a record is not what was written");
                break;
            }
        }
    }
    Ok(())
}

/// Whether a segment is being used again, so that nothing of what it was is in force: its buffers are written in
/// any order, so that a message of the new one may stand behind, and across, those of the old one before the
/// new head does.
fn is_used_again(bytes: &[u8], at: usize, durable: i64) -> bool {
    let first_new = durable.cast_unsigned() / SEGMENT_BYTES + 1;
    let new = first_new..first_new + MAX_AHEAD;
    (at..=SEGMENT - RED_ZONE).any(|it| {
        let rest = bytes.get(it..).unwrap_or_default();
        claimed(rest).is_some_and(|it| new.contains(&it.segment) && it.is_whole(rest))
    })
}

/// The whole message at the start of `bytes`.
fn message(bytes: &[u8]) -> Option<Message<'_>> {
    claimed(bytes).filter(|it| it.is_whole(bytes))
}

/// The message at the start of `bytes`, if its head says that there is one.
fn claimed(bytes: &[u8]) -> Option<Message<'_>> {
    let mut rest = bytes.get(4..)?;
    let (kind, tail) = rest.split_first().filter(|it| (CANCELED..=LAST_KIND).contains(it.0))?;
    rest = tail;
    let len = usize::try_from(number(&mut rest)?).ok()?;
    let segment = number(&mut rest)?;
    number(&mut rest)?;
    let head = bytes.len() - rest.len();
    Some(Message { kind: *kind, segment, body: rest.get(..len)?, len: head + len })
}

impl Message<'_> {
    /// Whether it is what was written at the start of `bytes`.
    fn is_whole(&self, bytes: &[u8]) -> bool {
        let head = bytes.get(4..self.len - self.body.len()).unwrap_or_default();
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.body);
        hasher.update(head);
        let sum = bytes.first_chunk().map(|it| u32::from_le_bytes(*it));
        sum == Some(hasher.finalize() ^ u32::MAX)
    }
}

/// A number as sled writes it: one to nine bytes.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    let byte = |at: usize| rest.get(at).map(|it| u64::from(*it));
    let (value, used) = match *first {
        it @ 0..=240 => (u64::from(it), 0),
        it @ 241..=248 => (240 + 256 * (u64::from(it) - 241) + byte(0)?, 1),
        249 => (2288 + 256 * byte(0)? + byte(1)?, 2),
        it => {
            let n = usize::from(it) - 247;
            let value = (0..n).rev().try_fold(0, |acc, at| Some(acc << 8 | byte(at)?))?;
            (value, n)
        }
    };
    *bytes = rest.get(used..)?;
    Some(value)
}

/// Appends a number as sled writes it.
fn write_number(out: &mut Vec<u8>, it: u64) {
    let two = |first: u64, it: u64| [first + it / 256, it % 256].map(|it| it.to_le_bytes()[0]);
    match it {
        0..=240 => out.push(it.to_le_bytes()[0]),
        241..=2287 => out.extend(two(241, it - 240)),
        2288..=67_823 => {
            out.push(249);
            out.extend(two(0, it - 2288));
        }
        _ => {
            let used =
                it.to_le_bytes().iter().rposition(|it| *it != 0).map_or(3, |it| it + 1).max(3);
            out.push(u8::try_from(247 + used).unwrap_or(u8::MAX));
            out.extend(it.to_le_bytes().iter().take(used));
        }
    }
}

/// A page in a file of its own: checksum, kind, page. One that is gone was replaced later.
fn check_blob(db: &Path, body: &[u8], found: &mut Found) -> io::Result<()> {
    let Some(name) = body.first_chunk().map(|it| i64::from_le_bytes(*it)) else { return Ok(()) };
    let bytes = match fs::read(db.join("blobs").join(name.to_string())) {
        Ok(it) => it,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    found.bytes += bytes.len() as u64;
    let good = bytes
        .split_first_chunk()
        .is_some_and(|(sum, rest)| crc32fast::hash(rest) == u32::from_le_bytes(*sum));
    if !good {
        found.add(&format!("db/blobs/{name}"), 0, "its checksum does not match");
    }
    Ok(())
}

/// Reads as much as there is.
fn read_some(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|it| !it.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests;
