//! Making a flush of sled good for a power cut, and remembering how far it went.
//!
//! sled asks the kernel to write its log, but not the disk to keep it, and the large pages that it puts into
//! files of their own (`db/blobs`) not even that. And at a start it takes whatever it cannot read for the torn
//! end of its log, and cuts there. So a flush syncs both, and notes in the file `flushed` up to where the log
//! is whole; with that note, damage is told apart from a torn end ([`super::files`]).

use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use xxhash_rust::xxh3::xxh3_64;

pub(super) const NOTE: &str = "flushed";
const MAGIC: [u8; 4] = *b"OFL1";
const NOTE_BYTES: usize = 20;

/// What is known to be on disk.
#[derive(Debug)]
pub(super) struct Durable {
    /// sled's log.
    data: fs::File,
    blobs: PathBuf,
    note: fs::File,
    /// Up to which position of sled's log everything is on disk; -1 at first. Held while it is brought there.
    position: Mutex<i64>,
}

impl Durable {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let db = path.join("db");
        let mut options = fs::OpenOptions::new();
        let note =
            options.create(true).truncate(false).read(true).write(true).open(path.join(NOTE))?;
        Ok(Self {
            // Written by sled alone; blocks are allocated through this handle.
            data: fs::OpenOptions::new().read(true).write(true).open(db.join("db"))?,
            blobs: db.join("blobs"),
            note,
            position: Mutex::new(-1),
        })
    }

    pub(super) fn data(&self) -> &fs::File {
        &self.data
    }

    /// Syncs what sled has written up to `position` of its log, and notes that.
    pub(super) fn sync(&self, position: i64) -> io::Result<()> {
        let mut last = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        self.sync_blobs(*last, position)?;
        self.data.sync_data()?;
        if position > *last {
            *last = position;
            // Not synced itself: an older note only knows less.
            self.note.write_all_at(&encode(position), 0)?;
        }
        Ok(())
    }

    /// Syncs the blobs that were written after the position `last`: they are named by theirs.
    fn sync_blobs(&self, last: i64, position: i64) -> io::Result<()> {
        let mut any = false;
        for entry in fs::read_dir(&self.blobs)? {
            let entry = entry?;
            let at = entry.file_name().to_str().and_then(|it| it.parse::<i64>().ok());
            if at.is_none_or(|it| it <= last || it > position) {
                continue;
            }
            match fs::File::open(entry.path()).and_then(|it| it.sync_data()) {
                Ok(()) => any = true,
                // It was replaced meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if any { fs::File::open(&self.blobs)?.sync_all() } else { Ok(()) }
    }
}

fn encode(position: i64) -> Vec<u8> {
    let position = position.to_le_bytes();
    [&MAGIC[..], &position, &xxh3_64(&position).to_le_bytes()].concat()
}

/// The position in the note; `None` if there is no note that can be read.
pub(super) fn noted(path: &Path) -> io::Result<Option<i64>> {
    let bytes = match fs::read(path.join(NOTE)) {
        Ok(it) => it,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let read = || {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let position = i64::from_le_bytes(*rest.first_chunk()?);
        (bytes.len() == NOTE_BYTES && bytes == encode(position)).then_some(position)
    };
    Ok(read())
}
