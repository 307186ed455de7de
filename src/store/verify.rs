//! Reading everything that is stored, also of a store that cannot be opened the plain way, and moving what
//! cannot be read out of the way.
//!
//! A repair never changes what it found. It reads what can be read into a new store beside the old one
//! (`repaired/`), takes that into use, and keeps the old one in `quarantine/`, with a list of what is wrong.

use super::open::quietly;
use super::{Config, Damage, Log, OpenError, Store, Table, files, log, open};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Where a repair puts what it takes out of use.
const QUARANTINE: &str = "quarantine";
const REPAIRED: &str = "repaired";
/// A copy of a store that cannot be read as it is.
const SALVAGE: &str = "salvage";

/// A directory that nobody else has open while this exists.
#[derive(Debug)]
pub struct Closed {
    config: Config,
    lock: fs::File,
}

/// What is read of a table.
#[derive(Debug)]
pub enum Read {
    /// A key and its value, as they are stored.
    Entry(Vec<u8>, Vec<u8>),
    /// A part that cannot be read.
    Unreadable(Unreadable),
}

/// A part of a table that cannot be read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// The last key before it; `None`: it is at the start.
    pub after: Option<Vec<u8>>,
    /// A key from which on it can be read again; `None`: nothing behind it can.
    pub until: Option<Vec<u8>>,
    /// What is wrong.
    pub error: String,
}

/// Something that is not as it was written, for people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Where: a table and what of it, or a file.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What is lost by it.
    pub lost: String,
    /// The files of the quarantine that hold the values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// The keys of the values, in the table.
    #[serde(skip)]
    pub keys: Vec<Vec<u8>>,
}

/// What a check of one table found, and how to go on without what is wrong.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Keys that a repaired table does not have.
    pub remove: BTreeSet<Vec<u8>>,
    /// Keys whose value a repaired table has under another key.
    pub moved: Vec<(Vec<u8>, Vec<u8>)>,
    /// Entries that a repaired table has on top.
    pub put: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Verdict {
    /// Notes that `keys` cannot be used.
    pub fn add(&mut self, place: String, what: String, lost: String, keys: Vec<Vec<u8>>) {
        self.remove.extend(keys.iter().cloned());
        self.findings.push(Finding { place, what, lost, kept: Vec::new(), keys });
    }

    /// Takes over what `other` says of other keys.
    pub fn append(&mut self, mut other: Self) {
        self.findings.append(&mut other.findings);
        self.remove.append(&mut other.remove);
        self.moved.append(&mut other.moved);
        self.put.append(&mut other.put);
    }
}

impl Closed {
    /// Locks the directory of `config`.
    ///
    /// # Errors
    ///
    /// There is no store, it is in use, or it has another format.
    pub fn lock(config: &Config) -> Result<Self, OpenError> {
        let path = &config.path;
        if !path.join("db").is_dir() {
            let source = io::Error::new(io::ErrorKind::NotFound, "there is no store in it");
            return Err(OpenError::Io { path: path.clone(), source });
        }
        let lock = open::lock(path)?;
        open::check_format_file(path)?;
        Ok(Self { config: config.clone(), lock })
    }

    /// Bytes of the store's files, to say how far a check is.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        files::size(&self.config.path)
    }

    /// Checks the files, without changing anything; `each` is told the bytes that were read.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn check_files(&self, each: impl FnMut(u64)) -> io::Result<Vec<Damage>> {
        let path = &self.config.path;
        let mut found = files::check(path, each)?.damage;
        if let Err(error) = Log::check(path) {
            let (name, what) = error.place();
            found.push(Damage { file: name.into(), offset: 0, what });
        }
        Ok(found)
    }

    /// The records of the commit log that can be read, oldest first.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn log_records(&self) -> io::Result<Vec<Vec<u8>>> {
        log::readable(&self.config.path)
    }

    /// Opens the store to read it. If its files are `damaged`, that is done with a copy, in which sled leaves out
    /// what it cannot read; so nothing is changed.
    ///
    /// # Errors
    ///
    /// It cannot be opened at all.
    pub fn open(&self, damaged: &[Damage]) -> Result<Store, OpenError> {
        let mut config = self.config.clone();
        let io_error = |source| OpenError::Io { path: self.config.path.clone(), source };
        if !damaged.is_empty() {
            config.path = self.salvage(damaged).map_err(io_error)?;
        }
        files::remove_unfinished(&config.path).map_err(io_error)?;
        let lock = self.lock.try_clone().map_err(io_error)?;
        let db = open::open_sled(&config)?;
        open::check_format(&config.path, &db)?;
        Store::of(&config, db, lock)
    }

    /// A copy of the store in which sled can read what is whole.
    fn salvage(&self, damaged: &[Damage]) -> io::Result<PathBuf> {
        let path = self.config.path.join(SALVAGE);
        self.forget_copy()?;
        copy(&self.config.path.join("db"), &path.join("db"))?;
        // Beside its log sled can do without: it makes its parameters and its index anew, and a page whose file
        // is gone is missing, while one that is damaged would end the reading of the log.
        let log = Path::new("db").join("db");
        let (in_log, beside): (Vec<_>, Vec<_>) =
            damaged.iter().filter(|it| it.file.starts_with("db")).partition(|it| it.file == log);
        for it in beside {
            let file = path.join(&it.file);
            if file.exists() {
                fs::remove_file(file)?;
            }
        }
        let records: Vec<_> = in_log.iter().map(|it| it.offset).collect();
        files::mend(&path, &records)?;
        Ok(path)
    }

    /// Removes the copy that [`Self::open`] made.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub fn forget_copy(&self) -> io::Result<()> {
        let path = self.config.path.join(SALVAGE);
        if path.exists() { fs::remove_dir_all(path) } else { Ok(()) }
    }
}

impl Table {
    /// The value of `key`; `None` too if it cannot be read.
    #[must_use]
    pub fn try_read(&self, key: &[u8]) -> Option<Vec<u8>> {
        quietly(|| self.get(key).ok().flatten()).flatten()
    }

    /// Reads everything, and goes on behind what cannot be read.
    pub fn read_all(&self, each: &mut dyn FnMut(Read)) {
        let mut from = Vec::new();
        loop {
            let mut last = None;
            let error = quietly(|| {
                for entry in self.range_from(&from) {
                    match entry {
                        // Pages that do not fit together may lead in circles.
                        Ok((key, _))
                            if last.as_ref().is_some_and(|it| *it >= key) || key < from =>
                        {
                            return Some("its pages are in no order".to_owned());
                        }
                        Ok((key, value)) => {
                            last = Some(key.clone());
                            each(Read::Entry(key, value));
                        }
                        Err(error) => return Some(error.to_string()),
                    }
                }
                None
            });
            let Some(error) = error.unwrap_or_else(|| Some("it cannot be read".to_owned())) else {
                return;
            };
            let after = last.or_else(|| Some(from.clone()).filter(|it| !it.is_empty()));
            let until = self.next_readable(after.as_deref().unwrap_or_default());
            each(Read::Unreadable(Unreadable { after, until: until.clone(), error }));
            match until {
                Some(it) => from = it,
                None => return,
            }
        }
    }

    /// A key behind `key` from which on can be read: found by counting up the number that keys end with, and
    /// then by their first byte.
    fn next_readable(&self, key: &[u8]) -> Option<Vec<u8>> {
        if let Some((prefix, number)) = key.split_last_chunk::<8>()
            && let Some(it) = self.next_number(prefix, u64::from_be_bytes(*number))
        {
            return Some(it);
        }
        let first = key.first().copied();
        for letter in first.map_or(0, |it| it.saturating_add(1))..=u8::MAX {
            if Some(letter) == first {
                continue;
            }
            if self.is_readable(&[letter]) {
                return Some(vec![letter]);
            }
            if let Some(it) = self.next_number(&[letter], 0) {
                return Some(it);
            }
        }
        None
    }

    /// The lowest key of `prefix` and a number above `number` from which on can be read, and something is there.
    fn next_number(&self, prefix: &[u8], number: u64) -> Option<Vec<u8>> {
        let key = |number: u64| [prefix, &number.to_be_bytes()].concat();
        let steps = (0..64).map_while(|it| number.checked_add(1 << it));
        let mut high = steps.into_iter().find(|it| self.is_readable(&key(*it)))?;
        let mut low = number;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.is_readable(&key(middle)) { high = middle } else { low = middle }
        }
        Some(key(high))
    }

    /// Whether something follows `key` that can be read.
    fn is_readable(&self, key: &[u8]) -> bool {
        quietly(|| self.range_from(key).next().is_some_and(|it| it.is_ok())).unwrap_or(false)
    }
}

impl Store {
    /// The names of all tables.
    #[must_use]
    pub fn tables(&self) -> Vec<String> {
        let names = self.shared.db.tree_names();
        let name = |it: &sled::IVec| String::from_utf8_lossy(it).into_owned();
        let mut res: Vec<_> = names.iter().map(name).collect();
        res.retain(|it| it != "__sled__default");
        res.sort();
        res
    }
}

/// A directory of its own for what one repair takes out of use.
#[derive(Debug)]
pub struct Quarantine {
    data: PathBuf,
    path: PathBuf,
    /// The names of the values, so that none is written twice.
    values: usize,
}

impl Quarantine {
    /// Makes the next one in the data directory `data`: `quarantine/1`, `quarantine/2` and so on.
    ///
    /// # Errors
    ///
    /// The directory cannot be written.
    pub fn create(data: &Path) -> io::Result<Self> {
        let all = data.join(QUARANTINE);
        fs::create_dir_all(&all)?;
        for number in 1.. {
            let path = all.join(number.to_string());
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { data: data.to_owned(), path, values: 0 }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("too many of them"))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies a value that cannot be used, and returns the name of its file.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn keep_value(&mut self, value: &[u8]) -> io::Result<String> {
        self.values += 1;
        let name = format!("value-{}", self.values);
        fs::write(self.path.join(&name), value)?;
        Ok(name)
    }

    /// Writes the list of what is wrong.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write_list(&self, text: &str) -> io::Result<()> {
        let mut file = fs::File::create(self.path.join("manifest.json"))?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        file.sync_all()
    }

    /// An empty store beside the old one.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn new_store(&self, config: &Config) -> Result<Store, OpenError> {
        let path = self.data.join(REPAIRED);
        let io_error = |source| OpenError::Io { path: path.clone(), source };
        if path.exists() {
            // Of a repair that did not come to its end: nobody has ever used it.
            fs::remove_dir_all(&path).map_err(io_error)?;
        }
        Store::open(&Config { path, ..config.clone() })
    }

    /// Takes the new store into use, whole and on disk, and keeps the old one. Both must be closed.
    ///
    /// # Errors
    ///
    /// A file cannot be moved.
    pub fn exchange(&self) -> io::Result<()> {
        let repaired = self.data.join(REPAIRED);
        // In one step, so that a crash leaves the old store or the new one.
        let (old, new) = (self.data.join("db"), repaired.join("db"));
        sync(&new)?;
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        let here = rustix::fs::CWD;
        // What the old one noted says nothing about the new one.
        for name in [super::durable::NOTE, "log-a", "log-b"] {
            let file = self.data.join(name);
            if file.exists() {
                fs::rename(file, self.path.join(name))?;
            }
        }
        rustix::fs::renameat_with(here, &old, here, &new, flags)?;
        fs::rename(&new, self.path.join("db"))?;
        fs::remove_dir_all(&repaired)?;
        fs::File::open(&self.data)?.sync_all()
    }
}

pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    fs::File::open(to)?.sync_all()
}

/// Syncs every file below `dir`.
fn sync(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { sync(&path)? } else { fs::File::open(&path)?.sync_all()? }
    }
    fs::File::open(dir)?.sync_all()
}
