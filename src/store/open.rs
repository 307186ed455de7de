//! Opening the directory: the lock, the look at the files, sled, the format.

use super::{Config, Damage, FORMAT_VERSION, OLDEST_VERSION, OpenError, files, space};
use std::{
    fs, io, panic,
    path::Path,
    sync::Once,
    thread,
    time::{Duration, Instant},
};

pub(super) const FORMAT_KEY: &[u8] = b"format";
const FORMAT_FILE: &str = "format";
const LOCK_FILE: &str = "lock";
const LOCK_RETRIES: u32 = 100;
/// sled panics if it is to keep less in memory.
const LEAST_CACHE_BYTES: u64 = 256;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// Attempts at our own lock beyond the first.
const HELD_RETRIES: u32 = 10;

/// What a start itself writes: sled's index, the commit log.
const START_BYTES: u64 = 8 << 20;

/// Locks the directory for this process.
pub(super) fn lock(path: &Path) -> Result<fs::File, OpenError> {
    let io_error = |source| OpenError::Io { path: path.to_owned(), source };
    let file = path.join(LOCK_FILE);
    let handle = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&file)
        .map_err(io_error)?;
    // A process that starts another one shares its locks with it for a moment, so one that was just given back may
    // be held.
    let mut patience = HELD_RETRIES;
    let locked = loop {
        match handle.try_lock() {
            Err(fs::TryLockError::WouldBlock) if patience > 0 => {
                patience -= 1;
                thread::sleep(LOCK_PAUSE);
            }
            other => break other,
        }
    };
    match locked {
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

/// Refuses a disk that is too full to start, and files that sled would cut.
pub(super) fn check_files(path: &Path) -> Result<(), OpenError> {
    let io_error = |source| OpenError::Io { path: path.to_owned(), source };
    let free = space::free_bytes(path).map_err(io_error)?;
    if free < START_BYTES {
        return Err(OpenError::Full { path: path.to_owned(), free, needed: START_BYTES });
    }
    let started = Instant::now();
    let found = files::check(path, |_| ()).map_err(io_error)?;
    tracing::debug!(bytes = found.bytes, took = ?started.elapsed(), "read the files of the store");
    match found.damage.first() {
        Some(Damage { file, offset, what }) => Err(OpenError::Damaged {
            path: path.to_owned(),
            what: format!("{} at byte {offset}: {what}", file.display()),
        }),
        None => files::remove_unfinished(path).map_err(io_error),
    }
}

/// Opens sled, which panics on some kinds of damage: that is damage like any other.
pub(super) fn open_sled(config: &Config) -> Result<sled::Db, OpenError> {
    let path = &config.path;
    let sled = sled::Config::new()
        .path(path.join("db"))
        .cache_capacity(config.cache_bytes.max(LEAST_CACHE_BYTES))
        .flush_every_ms(None);
    let damaged = |what| OpenError::Damaged { path: path.clone(), what };
    let mut patience = LOCK_RETRIES;
    loop {
        return match quietly(|| sled.open()) {
            Some(Ok(db)) => Ok(db),
            // Ours is the lock that tells processes apart. sled's own is let go by its threads, a moment
            // after the store was closed.
            Some(Err(sled::Error::Io(error)))
                if error.kind() == io::ErrorKind::Other && patience > 0 =>
            {
                patience -= 1;
                thread::sleep(LOCK_PAUSE);
                continue;
            }
            Some(Err(sled::Error::Io(source))) => Err(OpenError::Io { path: path.clone(), source }),
            Some(Err(source)) => Err(damaged(source.to_string())),
            None => Err(damaged("its index cannot be read".to_owned())),
        };
    }
}

/// What `work` returns; `None` if it panics, of which nothing is printed.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    thread_local! {
        static QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                print(info);
            }
        }));
    });
    QUIET.set(true);
    let res = panic::catch_unwind(panic::AssertUnwindSafe(work));
    QUIET.set(false);
    res.ok()
}

/// Refuses a directory that says that it has another format, before anything in it is opened.
pub(super) fn check_format_file(path: &Path) -> Result<(), OpenError> {
    match fs::read_to_string(path.join(FORMAT_FILE)) {
        Ok(it) if it.trim().parse().is_ok_and(is_known) => Ok(()),
        Ok(it) => {
            let digits = !it.trim().is_empty() && it.trim().bytes().all(|it| it.is_ascii_digit());
            let found = if digits { it.trim() } else { "unknown" };
            Err(OpenError::Format { path: path.to_owned(), found: found.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(OpenError::Format { path: path.to_owned(), found: "unknown".to_owned() })
        }
        Err(source) => Err(OpenError::Io { path: path.to_owned(), source }),
    }
}

/// Says which format the directory has, where it can be read without opening the store.
pub(super) fn write_format_file(path: &Path) -> io::Result<()> {
    let file = path.join(FORMAT_FILE);
    let text = format!("{FORMAT_VERSION}\n");
    if fs::read_to_string(&file).is_ok_and(|it| it == text) {
        return Ok(());
    }
    // In one step, so that a crash leaves none or a whole one.
    let unfinished = path.join("format.new");
    let mut handle = fs::File::create(&unfinished)?;
    io::Write::write_all(&mut handle, text.as_bytes())?;
    handle.sync_all()?;
    fs::rename(unfinished, file)?;
    fs::File::open(path)?.sync_all()
}

/// Reads the version of a store, and writes ours into a new one.
pub(super) fn check_format(path: &Path, db: &sled::Db) -> Result<(), OpenError> {
    let damaged = |source: sled::Error| OpenError::Damaged {
        path: path.to_owned(),
        what: source.to_string(),
    };
    let refuse = |found: String| Err(OpenError::Format { path: path.to_owned(), found });
    match db.get(FORMAT_KEY).map_err(damaged)? {
        Some(it) => match <[u8; 4]>::try_from(it.as_ref()).map(u32::from_be_bytes) {
            Ok(FORMAT_VERSION) => Ok(()),
            // From now on there may be what the older version would not see.
            Ok(older) if is_known(older) => put_format(db).map_err(damaged),
            Ok(other) => refuse(other.to_string()),
            Err(_) => refuse("unknown".to_owned()),
        },
        None if db.tree_names().len() > 1 => refuse("unknown".to_owned()),
        None => put_format(db).map_err(damaged),
    }
}

fn put_format(db: &sled::Db) -> Result<(), sled::Error> {
    db.insert(FORMAT_KEY, &FORMAT_VERSION.to_be_bytes())?;
    db.flush()?;
    Ok(())
}

/// Whether this version reads a store of `version`.
fn is_known(version: u32) -> bool {
    (OLDEST_VERSION..=FORMAT_VERSION).contains(&version)
}

#[cfg(test)]
pub(super) fn set_format(db: &sled::Db, version: u32) {
    db.insert(FORMAT_KEY, &version.to_be_bytes()).unwrap();
}
