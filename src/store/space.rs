//! Keeping some of the disk free.
//!
//! sled does not survive a full disk: a value that cannot be written leaves its buffer locked, and every later
//! flush waits for it for ever. So nothing is given to it unless there is room for much more, and the blocks
//! that a flush will need are allocated ahead.

use super::StoreError;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// sled writes its log in segments of this size.
const SEGMENT_BYTES: u64 = 512 << 10;

/// Allocated behind the end of the data: what is in sled's buffers, and the segment after it.
const AHEAD_BYTES: u64 = 4 * SEGMENT_BYTES;

/// Of what a write adds, sled rewrites a page at most so many times larger.
const AMPLIFICATION: u64 = 4;

/// How much room there must be.
#[derive(Debug)]
pub(super) struct Space {
    path: PathBuf,
    min_free: u64,
    /// Up to where blocks of the data file are allocated.
    allocated: AtomicU64,
}

impl Space {
    pub(super) fn new(path: &Path, min_free: u64) -> Self {
        Self { path: path.to_owned(), min_free, allocated: AtomicU64::new(0) }
    }

    /// Whether `bytes` more may be written. What only removes may use half of what is kept free, so that
    /// a full disk can be emptied.
    pub(super) fn check(&self, bytes: u64, file: &fs::File) -> Result<(), StoreError> {
        let keep = if bytes == 0 { self.min_free / 2 } else { self.min_free };
        let needed = keep.saturating_add(bytes.saturating_mul(AMPLIFICATION));
        let free = free_bytes(&self.path)?;
        if free < needed {
            return Err(self.full(free, needed));
        }
        self.allocate(file).map_err(|error| match error {
            Errno::NOSPC | Errno::DQUOT => self.full(free, needed),
            other => StoreError::from(io::Error::from(other)),
        })
    }

    fn full(&self, free: u64, needed: u64) -> StoreError {
        StoreError::Full { path: self.path.clone(), free, needed }
    }

    /// Allocates blocks behind the end of `file`, without making it longer. Where that cannot be done, the
    /// room that is kept free has to do.
    fn allocate(&self, file: &fs::File) -> Result<(), Errno> {
        let end = file.metadata().map_or(0, |it| it.len());
        let allocated = self.allocated.load(Ordering::Relaxed);
        // A file that became shorter lost what was allocated behind its end.
        if (end + AHEAD_BYTES / 2..=end + 2 * AHEAD_BYTES).contains(&allocated) {
            return Ok(());
        }
        match fallocate(file, FallocateFlags::KEEP_SIZE, end, AHEAD_BYTES) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.allocated.store(end + AHEAD_BYTES, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Bytes that are free for us on the disk of `path`.
pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let it = statvfs(path)?;
    Ok(it.f_bavail.saturating_mul(it.f_frsize))
}

/// Percent of the disk of `path` that is used.
pub(super) fn used_percent(path: &Path) -> io::Result<f64> {
    let it = statvfs(path)?;
    let used = it.f_blocks.saturating_sub(it.f_bfree);
    // As df has it: what is kept for root is not there for us.
    let all = used.saturating_add(it.f_bavail);
    #[expect(clippy::cast_precision_loss, reason = "a share, for people")]
    let share = used as f64 / all.max(1) as f64;
    Ok(100.0 * share)
}

/// `12.3 MiB`.
pub(super) fn mib(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}
