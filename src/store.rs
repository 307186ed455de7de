//! The store: sled, and only here.
//!
//! One directory, one process. A [`Table`] is an ordered map of bytes; a [`Batch`] on it is applied whole
//! or not at all, also across a crash. What [`Store::flush`] returned for is on disk.

mod log;

pub use log::{Log, LogError, Retired};

use std::{
    fs, io, panic,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// The version of everything that is stored. A store of a version that is not known is refused, never
/// rewritten. Version 2 brought sealed blocks, which version 1 would not have seen; what version 1 wrote is
/// part of version 2.
pub const FORMAT_VERSION: u32 = 2;
const OLDEST_VERSION: u32 = 1;

const FORMAT_KEY: &[u8] = b"format";
/// Nothing is in it.
const SWEEP_TREE: &str = "sweep";
const SWEEP_KEY: &[u8] = b"w";
/// sled rewrites a page when so many changes have been appended to it.
const WRITES_PER_REWRITE: usize = 11;
const LOCK_FILE: &str = "lock";
const LOCK_RETRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// How the store uses memory.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory; created if it is absent.
    pub path: PathBuf,
    /// Bytes of stored pages kept in memory. Default 16 MiB.
    pub cache_bytes: u64,
}

/// The open store. A handle: clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
    db: sled::Db,
    /// The file that holds the data, to sync it for good.
    file: std::sync::Arc<fs::File>,
    // Holds the lock until the last clone is gone.
    _lock: std::sync::Arc<fs::File>,
}

/// An ordered map of bytes.
#[derive(Clone, Debug)]
pub struct Table(sled::Tree);

/// Changes that are applied together.
#[derive(Debug, Default)]
pub struct Batch(sled::Batch);

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the data directory {path} is in use by process {holder}; stop it, or choose another directory with --data-dir"
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The holder's process id, if it could be read.
        holder: String,
    },
    /// It was written by a version that this one does not read.
    #[error(
        "the data directory {path} has format {found}, and this version reads {FORMAT_VERSION}; nothing was changed: run the version that wrote it, or choose another directory with --data-dir"
    )]
    Format {
        /// The directory.
        path: PathBuf,
        /// The version found.
        found: String,
    },
    /// The directory cannot be used.
    #[error("cannot use the data directory {path}: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The files cannot be read.
    #[error(
        "the store in {path} is damaged: {source}; nothing was changed: keep a copy, restore a backup, or choose another directory with --data-dir"
    )]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: sled::Error,
    },
}

/// A read or write that failed.
#[derive(Debug, thiserror::Error)]
#[error("store: {0}")]
pub struct StoreError(#[from] sled::Error);

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self(sled::Error::Io(error))
    }
}

// === impl Config ===

impl Config {
    /// The defaults for `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, cache_bytes: 16 << 20 }
    }
}

// === impl Store ===

impl Store {
    /// Opens the store of `config`, creating it if the directory is absent or empty.
    ///
    /// # Errors
    ///
    /// The directory is in use, was written by another version, is damaged or cannot be used. Nothing in
    /// it was changed then.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let path = &config.path;
        let io_error = |source| OpenError::Io { path: path.clone(), source };
        fs::create_dir_all(path).map_err(io_error)?;
        let lock = lock(path)?;
        let db = open_sled(config)?;
        check_format(path, &db)?;
        let file = fs::File::open(path.join("db").join("db")).map_err(io_error)?;
        Ok(Self {
            path: path.clone(),
            db,
            file: std::sync::Arc::new(file),
            _lock: std::sync::Arc::new(lock),
        })
    }

    /// The table called `name`, created if it is absent.
    ///
    /// # Errors
    ///
    /// The store cannot be read or written.
    pub fn table(&self, name: &str) -> Result<Table, StoreError> {
        Ok(Table(self.db.open_tree(name)?))
    }

    /// Blocks until everything applied so far is on disk: written, and synced as a power cut needs it.
    ///
    /// # Errors
    ///
    /// The disk refused; what was applied since the last success may be lost by a crash.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.db.flush()?;
        // sled asks the kernel to write, but not the disk to keep it (sync_file_range): this does.
        self.file.sync_data().map_err(sled::Error::Io)?;
        Ok(())
    }

    /// Cleans so many pages out of segments of the file that are mostly garbage, so that they can be used
    /// again or cut off. sled does that for one page whenever it rewrites another, which is not enough
    /// for values as large as ours; so a page of its own is rewritten here for nothing else.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn sweep(&self, pages: usize) -> Result<(), StoreError> {
        let tree = self.db.open_tree(SWEEP_TREE)?;
        for i in 0..pages.saturating_mul(WRITES_PER_REWRITE) {
            tree.insert(SWEEP_KEY, &i.to_le_bytes())?;
        }
        Ok(())
    }

    /// Opens the commit log beside the data: there is one, so call it once.
    ///
    /// # Errors
    ///
    /// As [`Log::open`].
    pub fn log(&self) -> Result<(Log, Vec<Vec<u8>>), LogError> {
        Log::open(&self.path)
    }

    /// Bytes on disk.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn size_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.db.size_on_disk()?)
    }
}

/// Opens sled, which panics on some kinds of damage: that is damage like any other.
fn open_sled(config: &Config) -> Result<sled::Db, OpenError> {
    let path = &config.path;
    let sled = sled::Config::new()
        .path(path.join("db"))
        .cache_capacity(config.cache_bytes)
        .flush_every_ms(None);
    let damaged = |source| OpenError::Damaged { path: path.clone(), source };
    let mut patience = LOCK_RETRIES;
    loop {
        let opened = panic::catch_unwind(panic::AssertUnwindSafe(|| sled.open()));
        return match opened {
            Ok(Ok(db)) => Ok(db),
            // Ours is the lock that tells processes apart. sled's own is let go by its threads, a moment
            // after the store was closed.
            Ok(Err(sled::Error::Io(error)))
                if error.kind() == io::ErrorKind::Other && patience > 0 =>
            {
                patience -= 1;
                thread::sleep(LOCK_PAUSE);
                continue;
            }
            Ok(Err(sled::Error::Io(source))) => Err(OpenError::Io { path: path.clone(), source }),
            Ok(Err(source)) => Err(damaged(source)),
            Err(_) => {
                Err(damaged(sled::Error::ReportableBug("its index cannot be read".to_owned())))
            }
        };
    }
}

fn lock(path: &Path) -> Result<fs::File, OpenError> {
    let io_error = |source| OpenError::Io { path: path.to_owned(), source };
    let file = path.join(LOCK_FILE);
    let handle = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&file)
        .map_err(io_error)?;
    match handle.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&file).unwrap_or_default();
            let holder = if holder.is_empty() { "unknown".to_owned() } else { holder };
            return Err(OpenError::Locked { path: path.to_owned(), holder });
        }
        Err(fs::TryLockError::Error(source)) => return Err(io_error(source)),
    }
    handle.set_len(0).map_err(io_error)?;
    io::Write::write_all(&mut &handle, std::process::id().to_string().as_bytes())
        .map_err(io_error)?;
    Ok(handle)
}

/// Reads the version of a store, and writes ours into a new one.
fn check_format(path: &Path, db: &sled::Db) -> Result<(), OpenError> {
    let damaged = |source| OpenError::Damaged { path: path.to_owned(), source };
    let refuse = |found: String| Err(OpenError::Format { path: path.to_owned(), found });
    match db.get(FORMAT_KEY).map_err(damaged)? {
        Some(it) => match <[u8; 4]>::try_from(it.as_ref()).map(u32::from_be_bytes) {
            Ok(FORMAT_VERSION) => Ok(()),
            // From now on there is what the older version would not see.
            Ok(OLDEST_VERSION..FORMAT_VERSION) => write_format(db).map_err(damaged),
            Ok(other) => refuse(other.to_string()),
            Err(_) => refuse("unknown".to_owned()),
        },
        None if db.tree_names().len() > 1 => refuse("unknown".to_owned()),
        None => write_format(db).map_err(damaged),
    }
}

fn write_format(db: &sled::Db) -> Result<(), sled::Error> {
    db.insert(FORMAT_KEY, &FORMAT_VERSION.to_be_bytes())?;
    db.flush()?;
    Ok(())
}

// === impl Table ===

impl Table {
    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key)?.map(|it| it.to_vec()))
    }

    /// The entries from `key` on, in order.
    pub fn range_from(
        &self,
        key: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<> {
        self.0.range(key.to_vec()..).map(owned)
    }

    /// The entries whose key begins with `prefix`, in order.
    pub fn prefix(
        &self,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<> {
        self.0.scan_prefix(prefix).map(owned)
    }

    /// Sets `key` to `value`: visible at once, on disk after the next flush. Cheaper than a batch of one,
    /// which costs the store a write of its own.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.0.insert(key, value)?;
        Ok(())
    }

    /// Removes `key`, if it is there: visible at once, on disk after the next flush.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn remove(&self, key: &[u8]) -> Result<(), StoreError> {
        self.0.remove(key)?;
        Ok(())
    }

    /// Applies `batch`: whole or not at all, visible at once, on disk after the next flush.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        Ok(self.0.apply_batch(batch.0)?)
    }
}

fn owned(
    entry: Result<(sled::IVec, sled::IVec), sled::Error>,
) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    entry.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(StoreError)
}

// === impl Batch ===

impl Batch {
    /// Sets `key` to `value`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key, value);
    }

    /// Removes `key`.
    pub fn remove(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_applied_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path().join("data"));
        let store = Store::open(&config).unwrap();
        let mut batch = Batch::default();
        batch.put(b"a1", b"x");
        batch.put(b"a2", b"y");
        store.table("t").unwrap().apply(batch).unwrap();
        store.flush().unwrap();
        drop(store);
        let store = Store::open(&config).unwrap();
        let table = store.table("t").unwrap();
        assert_eq!(table.get(b"a1").unwrap().unwrap(), b"x");
        assert_eq!(table.prefix(b"a").count(), 2);
        assert_eq!(table.range_from(b"a2").count(), 1);
    }

    #[test]
    fn a_second_opener_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path().to_owned());
        let _store = Store::open(&config).unwrap();
        let err = Store::open(&config).unwrap_err().to_string();
        assert!(err.contains(&std::process::id().to_string()), "{err}");
    }

    #[test]
    fn an_older_format_is_read_and_becomes_ours() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path().to_owned());
        let store = Store::open(&config).unwrap();
        store.db.insert(FORMAT_KEY, &OLDEST_VERSION.to_be_bytes()).unwrap();
        store.flush().unwrap();
        drop(store);
        let store = Store::open(&config).unwrap();
        let found = store.db.get(FORMAT_KEY).unwrap().unwrap();
        assert_eq!(found.as_ref(), FORMAT_VERSION.to_be_bytes());
    }

    #[test]
    fn another_format_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path().to_owned());
        let store = Store::open(&config).unwrap();
        store.db.insert(FORMAT_KEY, &99u32.to_be_bytes()).unwrap();
        store.flush().unwrap();
        drop(store);
        for _ in 0..2 {
            let err = Store::open(&config).unwrap_err().to_string();
            assert!(err.contains("format 99"), "{err}");
        }
    }
}
