//! The lines of a file of events, compressed or not.

use crate::cli::{Error, Session};
use flate2::bufread::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Reads line by line in constant memory.
pub(super) struct Lines {
    /// The file as messages name it.
    pub(super) name: String,
    input: Box<dyn BufRead>,
    position: Arc<AtomicU64>,
    number: u64,
    line: Vec<u8>,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Its bytes, with the line break.
    Text(&'a [u8]),
    /// So many bytes that it is no event; they were passed over.
    TooLong,
}

/// Bytes of a line that is surely no event.
const LONGEST: usize = 16 << 20;
const BUFFER: usize = 256 << 10;

/// The bytes in the file `path`; `None` if that is not known, as for a pipe.
pub(super) fn size(path: &Path) -> Option<u64> {
    let it = std::fs::metadata(path).ok()?;
    it.is_file().then_some(it.len())
}

impl Lines {
    /// Opens `path`; `-` is standard input.
    pub(super) fn open(path: &Path, session: &mut Session) -> Result<Self, Error> {
        let wrong = |err: io::Error| Error::Input(format!("cannot read {}: {err}", path.display()));
        let position = Arc::new(AtomicU64::new(0));
        let (name, bytes): (_, Box<dyn Read>) = if path == Path::new("-") {
            ("standard input".to_owned(), Box::new(session.take_input()))
        } else {
            (path.display().to_string(), Box::new(File::open(path).map_err(wrong)?))
        };
        let counted = Counted { bytes, position: Arc::clone(&position) };
        let input = decompressed(counted).map_err(wrong)?;
        Ok(Self { name, input, position, number: 0, line: Vec::new() })
    }

    /// The next line and its number, counted from 1.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        self.line.clear();
        let read = (&mut self.input).take(LONGEST as u64).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if read == LONGEST && !self.line.ends_with(b"\n") {
            self.line.clear();
            self.input.skip_until(b'\n')?;
            return Ok(Some((self.number, Line::TooLong)));
        }
        Ok(Some((self.number, Line::Text(&self.line))))
    }

    /// The number of the last line.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// How many bytes of the file were read.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }
}

impl Line<'_> {
    /// Whether a file that begins with this line seems to be one JSON array.
    pub(super) fn begins_array(&self) -> bool {
        matches!(self, Self::Text(it) if it.trim_ascii_start().starts_with(b"["))
    }
}

/// What `bytes` hold, told by how they begin.
fn decompressed(mut bytes: impl Read + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut head = Vec::new();
    (&mut bytes).take(4).read_to_end(&mut head)?;
    let is_gzip = head.starts_with(&[0x1f, 0x8b]);
    let is_zstd = head == [0x28, 0xb5, 0x2f, 0xfd];
    let whole = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(bytes));
    Ok(match (is_gzip, is_zstd) {
        (true, _) => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(whole))),
        (_, true) => {
            let decoder = zstd::Decoder::with_buffer(whole)?;
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        }
        _ => Box::new(whole),
    })
}

/// Counts what is read.
struct Counted {
    bytes: Box<dyn Read>,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn open(bytes: &[u8]) -> Lines {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        std::fs::write(&path, bytes).unwrap();
        Lines::open(&path, &mut Session::recorded(&[], "").0).unwrap()
    }

    fn read(lines: &mut Lines) -> Vec<String> {
        let mut all = Vec::new();
        while let Some((number, Line::Text(it))) = lines.next().unwrap() {
            assert_eq!(number, all.len() as u64 + 1);
            all.push(String::from_utf8(it.to_vec()).unwrap());
        }
        all
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compression_is_told_by_the_first_bytes() {
        let text = "{\"a\":1}\n\n{\"b\":2}";
        let expected = ["{\"a\":1}\n", "\n", "{\"b\":2}"];
        assert_eq!(read(&mut open(text.as_bytes())), expected);
        assert_eq!(read(&mut open(&gzip(text))), expected);
        assert_eq!(read(&mut open(&zstd::encode_all(text.as_bytes(), 1).unwrap())), expected);
        // Files that were put one behind the other.
        let two = [gzip("a\n"), gzip("b\n")].concat();
        assert_eq!(read(&mut open(&two)), ["a\n", "b\n"]);
        assert!(read(&mut open(b"")).is_empty());
    }

    #[test]
    fn the_position_is_that_in_the_file() {
        let bytes = gzip(&"the same line again\n".repeat(10_000));
        let mut lines = open(&bytes);
        assert_eq!(read(&mut lines).len(), 10_000);
        assert_eq!((lines.position(), lines.number()), (bytes.len() as u64, 10_000));
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let mut bytes = vec![b'x'; LONGEST + 10];
        bytes.extend(b"\nlast\n");
        let mut lines = open(&bytes);
        assert_eq!(lines.next().unwrap(), Some((1, Line::TooLong)));
        assert_eq!(lines.next().unwrap(), Some((2, Line::Text(b"last\n"))));
        assert_eq!(lines.next().unwrap(), None);
    }

    #[test]
    fn a_file_that_ends_early_is_an_error() {
        let bytes = gzip("a line\n");
        let mut lines = open(&bytes[..bytes.len() - 9]);
        let mut last = lines.next().map(|_| ());
        while last.is_ok() && lines.number() < 5 {
            last = lines.next().map(|_| ());
        }
        assert!(last.is_err());
    }
}
