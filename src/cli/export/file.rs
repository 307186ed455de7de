//! A file that appears when it is whole.

use crate::cli::Error;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// A file under its temporary name.
pub(super) struct Target {
    path: PathBuf,
    temporary: PathBuf,
    writer: Writer,
}

enum Writer {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl Target {
    /// Begins the file `path`, as `path` and `.part`; compressed if the name says so.
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".part");
        let temporary = PathBuf::from(temporary);
        let writer = File::create(&temporary).and_then(|file| Writer::new(path, file));
        let writer = writer.map_err(|err| wrong(&temporary, &err))?;
        Ok(Self { path: path.to_owned(), temporary, writer })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = match &mut self.writer {
            Writer::Plain(it) => it.write_all(bytes),
            Writer::Gzip(it) => it.write_all(bytes),
            Writer::Zstd(it) => it.write_all(bytes),
        };
        written.map_err(|err| wrong(&self.temporary, &err))
    }

    /// Gives it its name, once it is on disk. Returns the name.
    pub(super) fn finish(self) -> Result<PathBuf, Error> {
        let Self { path, temporary, writer } = self;
        let done = writer.finish().and_then(|()| fs::rename(&temporary, &path));
        match done {
            Ok(()) => Ok(path),
            Err(err) => {
                let _ = fs::remove_file(&temporary);
                Err(wrong(&path, &err))
            }
        }
    }

    /// Removes it: half of an export looks like a whole one.
    pub(super) fn discard(self) {
        let _ = fs::remove_file(&self.temporary);
    }
}

impl Writer {
    fn new(path: &Path, file: File) -> io::Result<Self> {
        let file = BufWriter::with_capacity(256 << 10, file);
        Ok(match path.extension().and_then(|it| it.to_str()) {
            Some("gz") => Self::Gzip(GzEncoder::new(file, Compression::default())),
            Some("zst") => Self::Zstd(zstd::Encoder::new(file, 0)?),
            _ => Self::Plain(file),
        })
    }

    fn finish(self) -> io::Result<()> {
        let file = match self {
            Self::Plain(it) => it,
            Self::Gzip(it) => it.finish()?,
            Self::Zstd(it) => it.finish()?,
        };
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

fn wrong(path: &Path, err: &io::Error) -> Error {
    let message = format!("{}: {err}", path.display());
    Error::Output(io::Error::new(err.kind(), message))
}
