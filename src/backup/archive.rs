//! The archive file: parts in a row, each compressed and with a checksum, and a last one that says that
//! nothing is missing.
//!
//! ```text
//! "OBSBACK\n"           8 bytes
//! u32  format version
//! parts:
//!   u8   kind
//!   u32  bytes of the payload
//!   u32  bytes of the payload as stored
//!   u64  checksum (XXH3-64, seeded with the number of the part) of the three numbers and what is stored
//!        the payload, compressed with zstd
//! ```
//!
//! Numbers are little-endian. The first part is the header, the last one the end; after it there is
//! nothing. The end repeats how many parts and events there are and has the checksum of all checksums, so
//! that a file that was cut off, or put together from two, is told apart.

use crate::codec::{DecodeError, Reader as Values, Writer as Value};
use std::io;
use std::io::Read;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// The version of the format. An archive of another version is refused.
pub(super) const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"OBSBACK\n";
const LEVEL: i32 = 3;
const FIELDS_BYTES: usize = 9;
const HEAD_BYTES: usize = FIELDS_BYTES + 8;

/// More than any part that is written: parts are closed after a megabyte, and one event may follow.
const MAX_PART_BYTES: usize = 1 << 30;

/// What a part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What the archive is, as JSON.
    Header,
    /// Entries of a table of the store: name, then keys and values.
    Table,
    /// Events: the first sequence number, then distances and records.
    Events,
    /// The end.
    End,
}

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Io(io::Error),
    /// It is something else.
    #[error("it is no backup of Observatory")]
    Foreign,
    /// It was made by a version that this one does not read.
    #[error(
        "it has format {0}, and this version reads {VERSION}: restore it with the version that made it"
    )]
    Version(u32),
    /// The end is missing.
    #[error("it is cut off after part {0}: it was not written to its end, or not copied whole")]
    Truncated(u64),
    /// A part is not what was written.
    #[error("part {0} is damaged: copy it again from where it was made, or take an older backup")]
    Damaged(u64),
}

/// The payload of a part, compressed.
#[derive(Debug)]
pub(super) struct Packed {
    size: usize,
    bytes: Vec<u8>,
}

/// Writes an archive.
#[derive(Debug)]
pub(super) struct Writer<W> {
    out: W,
    parts: u64,
    events: u64,
    /// The checksum of the checksums so far, one after the other.
    sums: u64,
}

/// Reads an archive, checking every part.
#[derive(Debug)]
pub(super) struct Reader<R> {
    from: R,
    parts: u64,
    events: u64,
    /// The checksum of the checksums so far, one after the other.
    sums: u64,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Header => 1,
            Self::Table => 2,
            Self::Events => 3,
            Self::End => 4,
        }
    }

    fn of(code: u8) -> Option<Self> {
        [Self::Header, Self::Table, Self::Events, Self::End]
            .into_iter()
            .find(|it| it.code() == code)
    }
}

impl Packed {
    pub(super) fn new(payload: &[u8]) -> io::Result<Self> {
        Ok(Self { size: payload.len(), bytes: zstd::bulk::compress(payload, LEVEL)? })
    }
}

impl<W: io::Write> Writer<W> {
    /// Begins an archive.
    pub(super) fn begin(mut out: W) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        Ok(Self { out, parts: 0, events: 0, sums: 0 })
    }

    /// Writes a part that holds so many events.
    pub(super) fn part(&mut self, kind: Kind, payload: &Packed, events: u64) -> io::Result<()> {
        let Packed { size, bytes: packed } = payload;
        let length = |n: usize| {
            u32::try_from(n).map_err(|_| io::Error::other("a part of the backup is too large"))
        };
        let mut head = Value::new(Vec::with_capacity(HEAD_BYTES));
        head.u8(kind.code());
        head.u32(length(*size)?);
        head.u32(length(packed.len())?);
        let mut head = head.into_inner();
        let sum = checksum(&head, packed, self.parts);
        head.extend_from_slice(&sum.to_le_bytes());
        self.out.write_all(&head)?;
        self.out.write_all(packed)?;
        self.sums = xxh3_64_with_seed(&sum.to_le_bytes(), self.sums);
        self.parts += 1;
        self.events += events;
        Ok(())
    }

    /// Writes the end and hands back where the archive went.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let mut end = Value::default();
        end.u64(self.parts);
        end.u64(self.events);
        end.u64(self.sums);
        self.part(Kind::End, &Packed::new(&end.into_inner())?, 0)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl<R: io::Read> Reader<R> {
    /// Begins to read an archive.
    pub(super) fn begin(mut from: R) -> Result<Self, ArchiveError> {
        let mut magic = [0; MAGIC.len() + 4];
        from.read_exact(&mut magic).map_err(|it| match it.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::Foreign,
            _ => ArchiveError::Io(it),
        })?;
        let version = magic.strip_prefix(&MAGIC).and_then(|it| it.try_into().ok());
        match version.map(u32::from_le_bytes) {
            Some(VERSION) => Ok(Self { from, parts: 0, events: 0, sums: 0 }),
            Some(other) => Err(ArchiveError::Version(other)),
            None => Err(ArchiveError::Foreign),
        }
    }

    /// The next part, `None` at the end. Only then is it certain that nothing is missing.
    pub(super) fn next(&mut self) -> Result<Option<(Kind, Vec<u8>)>, ArchiveError> {
        let damaged = ArchiveError::Damaged(self.parts);
        let head = self.exactly(HEAD_BYTES)?;
        let Ok((code, size, stored, sum)) = read_head(&head) else { return Err(damaged) };
        let (Some(kind), true) = (Kind::of(code), size.max(stored) <= MAX_PART_BYTES) else {
            return Err(damaged);
        };
        let packed = self.exactly(stored)?;
        let fields = head.get(..FIELDS_BYTES).unwrap_or_default();
        if checksum(fields, &packed, self.parts) != sum {
            return Err(damaged);
        }
        let Ok(payload) = zstd::bulk::decompress(&packed, size) else { return Err(damaged) };
        if kind == Kind::End {
            let mine = (self.parts, self.events, self.sums);
            if payload.len() != size || read_end(&payload) != Ok(mine) {
                return Err(damaged);
            }
            return self.nothing_follows().map(|()| None);
        }
        self.sums = xxh3_64_with_seed(&sum.to_le_bytes(), self.sums);
        self.parts += 1;
        Ok(Some((kind, payload)))
    }

    /// To be called for every event, so that the end can be held against their number.
    pub(super) fn count(&mut self, events: u64) {
        self.events += events;
    }

    /// A part that reads wrong although its checksum is right.
    pub(super) fn malformed(&self) -> ArchiveError {
        ArchiveError::Damaged(self.parts.saturating_sub(1))
    }

    /// `n` bytes. What a damaged length promises is not allocated before it is there.
    fn exactly(&mut self, n: usize) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        let read = (&mut self.from).take(n as u64).read_to_end(&mut bytes);
        read.map_err(ArchiveError::Io)?;
        if bytes.len() == n { Ok(bytes) } else { Err(ArchiveError::Truncated(self.parts)) }
    }

    fn nothing_follows(&mut self) -> Result<(), ArchiveError> {
        let n = (&mut self.from).take(1).read_to_end(&mut Vec::new()).map_err(ArchiveError::Io)?;
        if n == 0 { Ok(()) } else { Err(ArchiveError::Damaged(self.parts)) }
    }
}

fn read_head(head: &[u8]) -> Result<(u8, usize, usize, u64), DecodeError> {
    let mut fields = Values::new(head);
    let kind = fields.u8()?;
    let mut size = || fields.u32().map(|it| it as usize);
    Ok((kind, size()?, size()?, fields.u64()?))
}

fn read_end(payload: &[u8]) -> Result<(u64, u64, u64), DecodeError> {
    let mut fields = Values::new(payload);
    Ok((fields.u64()?, fields.u64()?, fields.u64()?))
}

/// The number of a part seeds its checksum, so that parts cannot change places.
fn checksum(fields: &[u8], stored: &[u8], number: u64) -> u64 {
    let mut sum = Xxh3::with_seed(number);
    sum.update(fields);
    sum.update(stored);
    sum.digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn archive(parts: &[(Kind, &[u8], u64)]) -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new()).unwrap();
        for (kind, payload, events) in parts {
            writer.part(*kind, &Packed::new(payload).unwrap(), *events).unwrap();
        }
        writer.finish().unwrap()
    }

    /// All parts; every part of events counts as one event.
    fn read(bytes: &[u8]) -> Result<Vec<(Kind, Vec<u8>)>, ArchiveError> {
        let mut reader = Reader::begin(bytes)?;
        let mut res = Vec::new();
        while let Some(part) = reader.next()? {
            reader.count(u64::from(part.0 == Kind::Events));
            res.push(part);
        }
        Ok(res)
    }

    fn some() -> Vec<u8> {
        let zeros = [0; 5000];
        archive(&[(Kind::Header, b"{}", 0), (Kind::Table, &zeros, 0), (Kind::Events, b"one", 1)])
    }

    #[test]
    fn what_was_written_is_read() {
        let parts = read(&some()).unwrap();
        let kinds: Vec<_> = parts.iter().map(|it| (it.0, it.1.len())).collect();
        assert_eq!(kinds, [(Kind::Header, 2), (Kind::Table, 5000), (Kind::Events, 3)]);
        assert!(some().len() < 300, "it is compressed");
        assert!(read(&archive(&[])).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_archive_says_so() {
        let check = |bytes: &[u8], expected: &str| {
            let err = read(bytes).unwrap_err().to_string();
            assert!(err.contains(expected), "{err}");
        };
        check(b"", "no backup of Observatory");
        check(b"PK\x03\x04 and more than that", "no backup of Observatory");
        let mut newer = some();
        newer[8] = 2;
        check(&newer, "format 2, and this version reads 1");
    }

    #[test]
    fn wherever_it_is_cut_it_is_refused() {
        let whole = some();
        for n in 12..whole.len() {
            let err = read(&whole[..n]).unwrap_err();
            assert!(matches!(err, ArchiveError::Truncated(_)), "{n}: {err}");
        }
        // Also between two parts.
        let mut cut = Writer::begin(Vec::new()).unwrap();
        cut.part(Kind::Header, &Packed::new(b"{}").unwrap(), 0).unwrap();
        assert!(matches!(read(&cut.out), Err(ArchiveError::Truncated(1))));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let whole = some();
        for at in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(read(&bytes).is_err(), "bit {at}");
        }
    }

    #[test]
    fn parts_that_are_missing_twice_or_elsewhere_are_noticed() {
        let (a, b) = ((Kind::Table, &b"a"[..], 0), (Kind::Table, &b"b"[..], 0));
        let whole = archive(&[a, b]);
        let head = 12;
        let part = (whole.len() - head - archive(&[]).len() + head) / 2;
        let parts: Vec<_> = [0, 1].map(|it| &whole[head + it * part..][..part]).to_vec();
        let end = &whole[head + 2 * part..];
        for order in [&[1, 0][..], &[0], &[0, 0], &[0, 1, 1], &[0, 1, 0], &[]] {
            let mut bytes = whole[..head].to_vec();
            order.iter().for_each(|it| bytes.extend_from_slice(parts[*it]));
            bytes.extend_from_slice(end);
            assert!(read(&bytes).is_err(), "{order:?}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert!(read(&longer).is_err());
        assert_eq!(read(&whole).unwrap().len(), 2);
    }

    #[test]
    fn events_that_are_missing_are_noticed() {
        let short = archive(&[(Kind::Events, b"one", 2)]);
        assert!(matches!(read(&short), Err(ArchiveError::Damaged(1))));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let mut all = archive(&[]);
            all.truncate(12);
            all.extend_from_slice(&bytes);
            let _ = read(&all);
        }
    }
}
