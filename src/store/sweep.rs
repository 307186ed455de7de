//! Removing the files that sled has forgotten.
//!
//! sled keeps a page of more than 128 KiB in a file of its own (`db/blobs`). It forgets to remove that file when
//! the page is replaced as a whole, or when it is ended before it comes to it. A page that is in force has a
//! message in the log that names its file, or has one that is not written yet. So a file is nobody's if it was
//! written before some position of the log, and no message names it, in no segment at all, be it in use or not.
//!
//! sled goes on while the log is read. But what was written behind the position cannot make it use a segment
//! again that names a file: it does so only when the segment with what replaces the name is full, and the one
//! after it, and both are written. If less than a segment was written, that did not happen. And what replaced
//! the names that are gone already is before the position, whole, and on disk: no crash brings them back.

use super::{Store, StoreError, files};
use std::{collections::BTreeMap, fs, io, path::Path};

impl Store {
    /// Removes what nobody refers to, and returns its bytes; `None` if that could not be told, as too much was
    /// written meanwhile. It reads all of sled's log, which takes about a millisecond per megabyte, and holds
    /// nobody up.
    ///
    /// # Errors
    ///
    /// The disk refused.
    pub fn sweep(&self) -> Result<Option<u64>, StoreError> {
        let db = self.shared.path.join("db");
        // What waits to be written is nothing that is written meanwhile.
        self.flush()?;
        let position = self.shared.position();
        let blobs = blobs(&db)?;
        // Also ends the batches that were being written at the position.
        self.flush()?;
        let Some(named) = files::named(&db)? else { return Ok(None) };
        // Whatever the order in which it is written: all of it counts.
        self.flush()?;
        if self.shared.position() - position >= files::SEGMENT_BYTES.cast_signed() {
            return Ok(None);
        }
        let mut res = 0;
        for (name, bytes) in blobs.range(..position).filter(|it| !named.contains(it.0)) {
            match fs::remove_file(db.join("blobs").join(name.to_string())) {
                Ok(()) => res += bytes,
                // sled does remove some.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(res))
    }
}

/// The files, by the positions at which they were written, with their sizes.
fn blobs(db: &Path) -> io::Result<BTreeMap<i64, u64>> {
    let mut res = BTreeMap::new();
    for entry in fs::read_dir(db.join("blobs"))? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        match entry.metadata() {
            Ok(it) => drop(res.insert(name, it.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(res)
}

#[cfg(test)]
mod tests;
