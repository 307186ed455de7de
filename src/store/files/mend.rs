//! Making sled's log readable again around a record that is damaged.
//!
//! sled gives up a segment at the first record that it cannot read, and with it everything behind it there. So
//! the damaged bytes are made a record that says that it was cancelled, up to the next one that is whole.

use super::{CANCELED, RED_ZONE, SEGMENT, SEGMENT_BYTES, SEGMENT_HEAD, message, read_some};
use std::{fs, io, os::unix::fs::FileExt, path::Path};

/// Mends the log of the store in `path` at each of `damaged`, which are offsets of records. Keep a copy before.
pub(in crate::store) fn mend(path: &Path, damaged: &[u64]) -> io::Result<()> {
    let file = fs::OpenOptions::new().read(true).write(true).open(path.join("db").join("db"))?;
    let mut buffer = vec![0; SEGMENT];
    for offset in damaged {
        let start = offset - offset % SEGMENT_BYTES;
        let n = read_some(&file, &mut buffer, start)?;
        let bytes = buffer.get(..n).unwrap_or_default();
        let position = super::head(bytes).map(|it| it.0.cast_unsigned());
        let (Some(position), Ok(at)) = (position, usize::try_from(offset - start)) else {
            continue;
        };
        let mut at = at.max(SEGMENT_HEAD);
        // Behind one that is damaged there may be others.
        while at <= SEGMENT - RED_ZONE {
            let number = position / SEGMENT_BYTES;
            let is_whole = |at: usize| {
                let bytes = bytes.get(at..).unwrap_or_default();
                message(bytes).filter(|it| it.segment == number).map(|it| it.len)
            };
            if let Some(len) = is_whole(at) {
                at += len;
                continue;
            }
            let Some(next) = (at + 1..=SEGMENT - RED_ZONE).find(|it| is_whole(*it).is_some())
            else {
                break;
            };
            if let Some(record) = cancelled(number, next - at) {
                file.write_all_at(&record, start + at as u64)?;
            }
            at = next;
        }
    }
    file.sync_all()
}

/// A cancelled record of so many bytes; `None` if it has no place.
pub(super) fn cancelled(segment: u64, len: usize) -> Option<Vec<u8>> {
    // The length of the body takes more bytes the larger it is; where that leaves a length out, the number of
    // the page, which means nothing here, takes one more.
    let shapes = [0, 300].into_iter().flat_map(|page| (1..=4).map(move |it| (page, it)));
    shapes.into_iter().find_map(|(page, digits)| {
        let mut res = vec![0; 4];
        res.push(CANCELED);
        let mut rest = Vec::new();
        super::write_number(&mut rest, segment);
        super::write_number(&mut rest, page);
        let body = len.checked_sub(4 + 1 + digits + rest.len())?;
        let before = res.len();
        super::write_number(&mut res, body as u64);
        if res.len() - before != digits {
            return None;
        }
        res.append(&mut rest);
        let head = res.get(4..)?.to_vec();
        res.resize(len, 0);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(res.get(4 + head.len()..)?);
        hasher.update(&head);
        let sum = (hasher.finalize() ^ u32::MAX).to_le_bytes();
        res.get_mut(..4)?.copy_from_slice(&sum);
        Some(res)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_record_has_any_length() {
        for segment in [0, 300, 70_000, u64::from(u32::MAX)] {
            let least = 4 + 1 + 1 + 1 + 5;
            for len in (least..6000).chain([100_000]) {
                let record = cancelled(segment, len).unwrap();
                let read = message(&record).unwrap();
                assert_eq!((read.kind, read.segment, read.len), (CANCELED, segment, len));
            }
        }
    }
}
