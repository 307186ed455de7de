//! Making room for reuse.
//!
//! sled writes into segments, and uses one again when nothing in it is in force any more. What is left in a
//! segment that is mostly dead it writes elsewhere, but only one page whenever some other page is written
//! whole; and that happens too rarely to keep up with a journal that deletes as much as it writes. So, after
//! something was deleted, a small page is written so often that all of them had their turn.

use super::{Store, StoreError};

/// What is written: a key of the default tree that means nothing.
const KEY: &[u8] = b"reclaim";
/// Writes after which sled writes a page whole. A value that stands there already it does not write, so each
/// has its own.
const WRITES: u8 = 10;
/// What moving a page may write.
const PAGE_BYTES: u64 = 128 << 10;

impl Store {
    /// Lets sled move so many pages out of segments that are mostly dead. Costs about 50 µs for each.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn reclaim(&self, pages: usize) -> Result<(), StoreError> {
        for _ in 0..pages {
            self.shared.check(PAGE_BYTES)?;
            for value in 0..WRITES {
                let written = self.shared.db.insert(KEY, &[value]);
                self.shared.written(written.map_err(StoreError::from))?;
            }
        }
        Ok(())
    }
}
