//! Putting a backup back.

use super::archive::{ArchiveError, Kind, Reader};
use super::{Contents, Header};
use crate::codec;
use crate::codec::DecodeError;
use crate::event::{Event, Time};
use crate::journal;
use crate::journal::{LoadError, Loader};
use crate::store;
use crate::store::{Batch, Store, StoreError};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why a backup could not be put back. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup cannot be read.
    #[error("the backup cannot be used: {0}")]
    Archive(#[from] ArchiveError),
    /// There is something where it should go.
    #[error(
        "{0} is not empty: nothing was changed; name a directory that is empty, or that does not exist"
    )]
    NotEmpty(PathBuf),
    /// Another restore is under way, or one was interrupted.
    #[error("{0} is there: another restore is under way, or one was interrupted; then remove it")]
    Unfinished(PathBuf),
    /// The directory cannot be used.
    #[error("cannot use {0}: {1}")]
    Directory(PathBuf, io::Error),
    /// The new store cannot be made.
    #[error(transparent)]
    Open(#[from] store::OpenError),
    /// The new store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The events do not fit together.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// What wants to know what is in an archive.
trait Sink {
    fn entry(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), RestoreError>;
    fn event(&mut self, seq: u64, event: &Event<'_>) -> Result<(), RestoreError>;
}

/// Reads the backup in `from` to its end and checks everything. `progress` is told how many events were
/// read.
///
/// # Errors
///
/// It is damaged, cut off, of another version, or no backup.
pub fn verify(from: impl io::Read, progress: impl FnMut(u64)) -> Result<Contents, RestoreError> {
    read(from, &mut Nowhere, progress)
}

/// Makes the data directory `dir` from the backup in `from`. It is made beside, under a name that ends in
/// `.part`, and gets its name when everything is on disk. `progress` is told how many events were read.
///
/// # Errors
///
/// The backup cannot be used, or the directory is not empty or cannot be written. Nothing was changed then.
pub fn restore(
    from: impl io::Read,
    dir: &Path,
    progress: impl FnMut(u64),
) -> Result<Contents, RestoreError> {
    let refused = |at: &Path, err| RestoreError::Directory(at.to_owned(), err);
    match fs::read_dir(dir).map(|mut it| it.next().is_some()) {
        Ok(true) => return Err(RestoreError::NotEmpty(dir.to_owned())),
        Ok(false) => {}
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        Err(err) => return Err(refused(dir, err)),
    }
    let part = beside(dir);
    match fs::create_dir(&part) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
            return Err(RestoreError::Unfinished(part));
        }
        it => it.map_err(|err| refused(&part, err))?,
    }
    let restored = fill(from, &part, progress).and_then(|contents| {
        // An empty directory gives way to a renamed one.
        fs::rename(&part, dir).map_err(|err| refused(dir, err))?;
        sync_parent(dir).map_err(|err| refused(dir, err))?;
        Ok(contents)
    });
    if restored.is_err() {
        // What is left if this fails as well is told by its name.
        let _ = fs::remove_dir_all(&part);
    }
    restored
}

/// `data` becomes `data.part`.
pub(super) fn beside(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    dir.with_file_name(name)
}

fn sync_parent(dir: &Path) -> io::Result<()> {
    let parent = dir.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(parent)?.sync_all()
}

fn fill(
    from: impl io::Read,
    dir: &Path,
    progress: impl FnMut(u64),
) -> Result<Contents, RestoreError> {
    let store = Store::open(&store::Config::new(dir.to_owned()))?;
    let mut filler = Filler { store: store.clone(), loader: None };
    let contents = read(from, &mut filler, progress)?;
    filler.loader()?.finish(contents.next)?;
    drop(filler);
    store.flush()?;
    Ok(contents)
}

/// Checks and drops.
struct Nowhere;

impl Sink for Nowhere {
    fn entry(&mut self, _: &str, _: &[u8], _: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }

    fn event(&mut self, _: u64, _: &Event<'_>) -> Result<(), RestoreError> {
        Ok(())
    }
}

/// Fills a new store.
struct Filler {
    store: Store,
    /// Made when the first event comes: it needs the key of the ids, which is in a table.
    loader: Option<Loader>,
}

impl Filler {
    fn loader(&mut self) -> Result<Loader, RestoreError> {
        match self.loader.take() {
            Some(it) => Ok(it),
            None => Ok(Loader::new(&self.store)?),
        }
    }
}

impl Sink for Filler {
    fn entry(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
        let mut batch = Batch::default();
        batch.put(key, value);
        Ok(self.store.table(table)?.apply(batch)?)
    }

    fn event(&mut self, seq: u64, event: &Event<'_>) -> Result<(), RestoreError> {
        let mut loader = self.loader()?;
        loader.push(seq, event)?;
        self.loader = Some(loader);
        Ok(())
    }
}

fn read(
    from: impl io::Read,
    sink: &mut impl Sink,
    mut progress: impl FnMut(u64),
) -> Result<Contents, RestoreError> {
    let mut reader = Reader::begin(from)?;
    let first = reader.next()?;
    let header: Header = match &first {
        Some((Kind::Header, payload)) => serde_json::from_slice(payload).ok(),
        _ => None,
    }
    .ok_or_else(|| reader.malformed())?;
    let mut events = 0;
    // Of events only the number of the last one is to be remembered.
    let mut next = 0;
    while let Some((kind, payload)) = reader.next()? {
        let mut payload = codec::Reader::new(&payload);
        let done = match kind {
            Kind::Table => table(&mut payload, sink),
            Kind::Events => some_events(&mut payload, (&mut next, header.next), sink).map(|n| {
                events += n;
                reader.count(n);
                progress(events);
            }),
            Kind::Header | Kind::End => Err(Fault::Malformed),
        };
        done.map_err(|it| match it {
            Fault::Malformed => reader.malformed().into(),
            Fault::Sink(it) => it,
        })?;
    }
    let created = Time::parse(&header.created).ok();
    Ok(Contents { created, program: header.program, events, next: header.next })
}

/// Something wrong within a part, or with where it goes.
enum Fault {
    Malformed,
    Sink(RestoreError),
}

impl From<DecodeError> for Fault {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

fn table(payload: &mut codec::Reader<'_>, sink: &mut impl Sink) -> Result<(), Fault> {
    let name = payload.text()?.to_owned();
    while !payload.is_empty() {
        let mut bytes = || payload.size().and_then(|n| payload.bytes(n));
        let (key, value) = (bytes()?, bytes()?);
        sink.entry(&name, key, value).map_err(Fault::Sink)?;
    }
    Ok(())
}

fn some_events(
    payload: &mut codec::Reader<'_>,
    (next, end): (&mut u64, u64),
    sink: &mut impl Sink,
) -> Result<u64, Fault> {
    let (mut events, mut base) = (0, 0);
    while !payload.is_empty() {
        let seq = u64::checked_add(base, payload.varint()?).ok_or(Fault::Malformed)?;
        if seq < *next || seq >= end {
            return Err(Fault::Malformed);
        }
        let event = journal::decode_event(payload)?;
        sink.event(seq, &event).map_err(Fault::Sink)?;
        (base, *next) = (seq + 1, seq + 1);
        events += 1;
    }
    Ok(events)
}
