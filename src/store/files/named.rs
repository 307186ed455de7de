//! Which pages in files of their own the log names.

use super::{
    CAP, IN_BLOB, RED_ZONE, SEGMENT, SEGMENT_BYTES, SEGMENT_HEAD, head, message, read_some,
};
use std::{collections::HashSet, fs, io, path::Path};

/// The names in all segments, also of those that are not in force; `None` if not all of the log can be read.
pub(in crate::store) fn named(db: &Path) -> io::Result<Option<HashSet<i64>>> {
    let file = fs::File::open(db.join("db"))?;
    let mut res = HashSet::new();
    let mut buffer = vec![0; SEGMENT];
    let mut ends = Vec::new();
    for offset in (0..file.metadata()?.len()).step_by(SEGMENT) {
        let n = read_some(&file, &mut buffer, offset)?;
        let bytes = buffer.get(..n).unwrap_or_default();
        let Some((position, _)) = head(bytes) else {
            // sled made it zeros, or the file became shorter.
            if bytes.iter().all(|it| *it == 0) {
                continue;
            }
            return Ok(None);
        };
        ends.push((position, names(bytes, position, &mut res)));
    }
    // The newest one is still written to.
    ends.sort_unstable();
    ends.pop();
    Ok(ends.iter().all(|it| it.1).then_some(res))
}

/// Adds the names in a segment, and returns whether it was read to its end.
fn names(bytes: &[u8], position: i64, res: &mut HashSet<i64>) -> bool {
    let number = position.cast_unsigned() / SEGMENT_BYTES;
    let mut at = SEGMENT_HEAD;
    while at < SEGMENT - RED_ZONE {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(it) = message(rest).filter(|it| it.segment == number) else {
            // A start cut it here, up to the last byte.
            return rest.split_last().is_some_and(|(_, it)| it.iter().all(|it| *it == 0));
        };
        if it.kind == CAP {
            break;
        }
        if IN_BLOB.contains(&it.kind)
            && let Some(name) = it.body.first_chunk()
        {
            res.insert(i64::from_le_bytes(*name));
        }
        at += it.len;
    }
    true
}
