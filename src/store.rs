//! The store: sled, and only here.
//!
//! One directory, one process. A [`Table`] is an ordered map of bytes; a [`Batch`] on it is applied whole
//! or not at all, also across a crash. What [`Store::flush`] returned for is on disk.
//!
//! # When the disk does not do what it should
//!
//! - **Full.** A write is refused with [`StoreError::Full`] as long as less than [`Config::min_free_bytes`] are
//!   free, and nothing was changed. It is accepted again when there is room.
//! - **A write or a sync that fails.** What the disk holds is unknown then, and a second sync that succeeds would
//!   prove nothing. The store takes no more writes ([`StoreError::Closed`]) until it is opened anew, which finds
//!   out what is there. Reads go on.
//! - **Damage.** A store whose files are not as they were written is not opened, and not changed.

mod deferred;
mod durable;
mod files;
mod log;
mod open;
mod reclaim;
mod space;
mod sweep;
pub mod verify;

pub use files::Damage;
pub use log::{Log, LogError, Retired};

use deferred::Deferred;
use durable::Durable;
use space::{Space, mib};
use std::{
    collections::HashMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// The version of everything that is stored. A store of a version that is not known is refused, never
/// rewritten. Version 2 brought sealed blocks, which version 1 would not have seen; what version 1 wrote is
/// part of version 2.
pub const FORMAT_VERSION: u32 = 2;
const OLDEST_VERSION: u32 = 1;

/// How the store uses memory and disk.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory; created if it is absent.
    pub path: PathBuf,
    /// Bytes of stored pages kept in memory. Default 16 MiB.
    pub cache_bytes: u64,
    /// Bytes of the disk that are kept free: with less, writes are refused. Default 32 MiB.
    pub min_free_bytes: u64,
}

/// The open store. A handle: clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    db: sled::Db,
    deferred: Deferred,
    durable: Durable,
    space: Space,
    /// Why nothing is written any more.
    closed: OnceLock<Arc<str>>,
    /// Those who write a table, by its name, and those who want to read it while nobody does.
    gates: Mutex<HashMap<String, Arc<RwLock<()>>>>,
    // Holds the lock until the last clone is gone.
    _lock: fs::File,
}

/// An ordered map of bytes.
#[derive(Clone, Debug)]
pub struct Table {
    tree: sled::Tree,
    shared: Arc<Shared>,
    gate: Arc<RwLock<()>>,
}

/// Changes that are applied together.
#[derive(Debug, Default)]
pub struct Batch {
    changes: sled::Batch,
    /// Bytes that it adds.
    bytes: u64,
}

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
    /// The disk is too full to start.
    #[error(
        "the disk of the data directory {path} is full: {} are free, and a start needs {}; make room and start again", mib(*.free), mib(*.needed)
    )]
    Full {
        /// The directory.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
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
        "the store in {path} is damaged: {what}; nothing that was stored was changed: run `observatory verify --data-dir {path}` to see what is lost, restore a backup, or choose another directory with --data-dir"
    )]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
}

/// A read or write that failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or sled failed.
    #[error("store: {0}")]
    Failed(#[from] sled::Error),
    /// There is too little room; nothing was changed.
    #[error(
        "the disk of {path} is full: {} are free, and {} are needed; make room, and writes are accepted again by themselves", mib(*.free), mib(*.needed)
    )]
    Full {
        /// The data directory.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed for this write and to be kept free.
        needed: u64,
    },
    /// An earlier write failed, so that nothing is written any more.
    #[error(
        "a write failed ({0}), and nothing is written any more; see to the disk, and start the server again"
    )]
    Closed(Arc<str>),
}

impl StoreError {
    /// Whether the same write is taken as soon as there is room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Failed(sled::Error::Io(error))
    }
}

// === impl Config ===

impl Config {
    /// The defaults for `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, cache_bytes: 16 << 20, min_free_bytes: 32 << 20 }
    }
}

// === impl Store ===

impl Store {
    /// Opens the store of `config`, creating it if the directory is absent or empty.
    ///
    /// # Errors
    ///
    /// The directory is in use, was written by another version, is damaged or cannot be used, or the disk is
    /// full. Nothing in it was changed then, apart from the lock.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let path = &config.path;
        let io_error = |source| OpenError::Io { path: path.clone(), source };
        fs::create_dir_all(path).map_err(io_error)?;
        let lock = open::lock(path)?;
        open::check_format_file(path)?;
        open::check_files(path)?;
        let db = open::open_sled(config)?;
        open::check_format(path, &db)?;
        Self::of(config, db, lock)
    }

    fn of(config: &Config, db: sled::Db, lock: fs::File) -> Result<Self, OpenError> {
        let path = &config.path;
        let io_error = |source| OpenError::Io { path: path.clone(), source };
        let shared = Shared {
            path: path.clone(),
            db,
            deferred: Deferred::default(),
            durable: Durable::new(path).map_err(io_error)?,
            space: Space::new(path, config.min_free_bytes),
            closed: OnceLock::new(),
            gates: Mutex::default(),
            _lock: lock,
        };
        open::write_format_file(path).map_err(io_error)?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The table called `name`, created if it is absent.
    ///
    /// # Errors
    ///
    /// The store cannot be read or written.
    pub fn table(&self, name: &str) -> Result<Table, StoreError> {
        let tree = self.shared.db.open_tree(name)?;
        let mut gates = self.shared.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = Arc::clone(gates.entry(name.to_owned()).or_default());
        Ok(Table { tree, shared: Arc::clone(&self.shared), gate })
    }

    /// Whether so many bytes more would be taken now, by a table or the commit log.
    ///
    /// # Errors
    ///
    /// The disk is full, or an earlier write failed.
    pub fn check_room(&self, bytes: u64) -> Result<(), StoreError> {
        self.shared.check(bytes)
    }

    /// Blocks until everything applied so far is on disk: written, and synced as a power cut needs it.
    ///
    /// # Errors
    ///
    /// The disk refused; what was applied since the last success may be lost by a crash, and nothing is
    /// written any more.
    pub fn flush(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.open()?;
        shared.written(shared.deferred.apply())?;
        shared.written(shared.db.flush().map(|_| ()).map_err(StoreError::from))?;
        shared.written(shared.durable.sync(shared.position()).map_err(StoreError::from))
    }

    /// Opens the commit log beside the data: there is one, so call it once.
    ///
    /// # Errors
    ///
    /// As [`Log::open`].
    pub fn log(&self) -> Result<(Log, Vec<Vec<u8>>), LogError> {
        Log::open(&self.shared.path)
    }

    /// Whether writes are taken at all.
    ///
    /// # Errors
    ///
    /// An earlier write failed.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        self.shared.open()
    }

    /// Passes on how a write to the commit log went. After one that failed nothing is written any more.
    ///
    /// # Errors
    ///
    /// It failed.
    pub fn wrote<T>(&self, res: io::Result<T>) -> Result<T, StoreError> {
        self.shared.written(res.map_err(StoreError::from))
    }

    /// Bytes on disk.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn size_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.shared.db.size_on_disk()?)
    }

    /// Percent of the disk that is used; 0 if the system does not say.
    #[must_use]
    pub fn disk_percent(&self) -> f64 {
        space::used_percent(&self.shared.path).unwrap_or_default()
    }
}

impl Shared {
    fn open(&self) -> Result<(), StoreError> {
        match self.closed.get() {
            Some(reason) => Err(StoreError::Closed(Arc::clone(reason))),
            None => Ok(()),
        }
    }

    /// Up to where sled's log has been written.
    fn position(&self) -> i64 {
        // Hidden, but public.
        self.db.context.pagecache.log.stable_offset()
    }

    fn check(&self, bytes: u64) -> Result<(), StoreError> {
        self.open()?;
        let res = self.space.check(bytes, self.durable.data());
        match &res {
            Err(error) if !error.is_full() => self.close(error),
            _ => {}
        }
        res
    }

    /// Passes on how a write went. One that failed is the last, and its error says what to do.
    fn written<T>(&self, res: Result<T, StoreError>) -> Result<T, StoreError> {
        res.map_err(|error| {
            self.close(&error);
            self.open().err().unwrap_or(error)
        })
    }

    fn close(&self, reason: &StoreError) {
        if let StoreError::Closed(_) | StoreError::Full { .. } = reason {
            return;
        }
        if self.closed.set(reason.to_string().into()).is_ok() {
            tracing::error!(error = %reason, "a write failed; nothing is written any more");
            // After a failure sled may wait for ever when it is dropped.
            std::mem::forget(self.db.clone());
        }
    }
}

// === impl Table ===

impl Table {
    /// Nobody writes the table as long as the result lives: what is read of it is as of one moment, between two batches.
    /// What is deferred ([`Self::defer`]) may still be made. Whoever holds it must not write the table.
    #[must_use = "writers go on when it is dropped"]
    pub fn still(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tree.get(key)?.map(|it| it.to_vec()))
    }

    /// The entries from `key` on, in order.
    pub fn range_from(
        &self,
        key: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<> {
        self.tree.range(key.to_vec()..).map(owned)
    }

    /// The entries whose key begins with `prefix`, in order.
    pub fn prefix(
        &self,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<> {
        self.tree.scan_prefix(prefix).map(owned)
    }

    /// Sets `key` to `value`: visible at once, on disk after the next flush. Cheaper than a batch of one,
    /// which costs the store a write of its own.
    ///
    /// # Errors
    ///
    /// The disk is full, and nothing was changed; or the store cannot be written.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.shared.check((key.len() + value.len()) as u64)?;
        let _writing = self.writing();
        self.shared.written(self.tree.insert(key, value).map(|_| ()).map_err(StoreError::from))
    }

    /// Has `changes` made by the next [`Store::flush`], by whomever, all together and with whatever else waits for
    /// it; of several changes of a key, the last. Until then nobody reads them here: for what is in memory and
    /// in the commit log. It does not fail, as it does nothing yet: ask [`Store::check_room`] before.
    pub fn defer(&self, changes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>) {
        self.shared.deferred.add(&self.tree, changes);
    }

    /// Removes `key`, if it is there: visible at once, on disk after the next flush.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn remove(&self, key: &[u8]) -> Result<(), StoreError> {
        self.shared.check(0)?;
        let _writing = self.writing();
        self.shared.written(self.tree.remove(key).map(|_| ()).map_err(StoreError::from))
    }

    /// Applies `batch`: whole or not at all, visible at once, on disk after the next flush.
    ///
    /// # Errors
    ///
    /// The disk is full, and nothing was changed; or the store cannot be written.
    pub fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.shared.check(batch.bytes)?;
        let _writing = self.writing();
        self.shared.written(self.tree.apply_batch(batch.changes).map_err(StoreError::from))
    }
}

fn owned(
    entry: Result<(sled::IVec, sled::IVec), sled::Error>,
) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    entry.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(StoreError::from)
}

// === impl Batch ===

impl Batch {
    /// Sets `key` to `value`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.bytes += (key.len() + value.len()) as u64;
        self.changes.insert(key, value);
    }

    /// Removes `key`.
    pub fn remove(&mut self, key: &[u8]) {
        self.changes.remove(key);
    }
}

#[cfg(test)]
mod tests;
