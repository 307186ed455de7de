//! `observatory backup` and `observatory restore`.

use super::client::{self, Client, Request};
use super::progress::{Progress, Unit, bytes_text};
use super::{Error, Session, settings};
use crate::backup;
use crate::backup::{Contents, RestoreError};
use reqwest::Method;
use std::{
    cell::Cell,
    fs, io,
    io::{BufReader, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    rc::Rc,
};

/// Take a backup of a running server.
#[derive(Debug, clap::Args)]
#[command(mut_arg("timeout", |it| it.default_value("60").help("Seconds that the server may be silent")))]
#[command(after_help = "\
The backup is one file, as of one moment; the server goes on meanwhile. It holds all events, the metrics, and the tokens as hashes: keep it as safe as the data directory. It needs a token with the role admin, if the server asks for one.

Examples:
  observatory backup
  observatory backup -o /var/backups/observatory/ --url http://127.0.0.1:9091
  observatory restore observatory-2026-01-05T10-00-00Z.backup --verify")]
pub(super) struct Take {
    /// File to write, or directory to write a file into whose name is the time [default: the working directory]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: client::Args,
}

/// Make a data directory from a backup.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The directory must be empty, or not exist: a restore never writes over anything. It has its name only when all of the backup was checked and is on disk.

Examples:
  observatory restore monday.backup --data-dir ./restored
  observatory serve --data-dir ./restored")]
pub(super) struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Data directory to make [default: that of the configuration]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Only check the backup, and say what is in it
    #[arg(long)]
    verify: bool,
}

const BUFFER_BYTES: usize = 1 << 20;

/// Takes a backup.
pub(super) fn take(args: &Take, session: &mut Session) -> Result<(), Error> {
    let client = Client::new(&args.server, session)?;
    let path = destination(args.output.as_deref(), session);
    let part = beside(&path);
    let taken = download(&client, &part, session).and_then(|bytes| {
        // What arrived is what counts, not what was sent.
        let contents = check(&part, session)?;
        fs::rename(&part, &path).map_err(Error::Output)?;
        sync_directory(&path).map_err(Error::Output)?;
        Ok((bytes, contents))
    });
    let (bytes, contents) = taken.inspect_err(|_| {
        // What is left if this fails as well is told by its name.
        let _ = fs::remove_file(&part);
    })?;
    session.note(&format!("observatory: {}, {}", told(&contents), bytes_text(bytes)));
    session.print(&path.display().to_string())
}

/// Where the backup goes.
fn destination(output: Option<&Path>, session: &Session) -> PathBuf {
    let second = session.now().to_string();
    let second = second.split(['.', 'Z']).next().unwrap_or_default().replace(':', "-");
    let name = format!("observatory-{second}Z.backup");
    match output {
        None => PathBuf::from(name),
        Some(it) if it.is_dir() => it.join(name),
        Some(it) => it.to_owned(),
    }
}

/// `a.backup` is written as `.a.backup.part`, in the same directory.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.part"))
}

/// Writes what the server sends into a file that only its owner may read.
fn download(client: &Client, part: &Path, session: &mut Session) -> Result<u64, Error> {
    let _ = fs::remove_file(part);
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(part);
    let file = file.map_err(|err| unwritable(part, &err))?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let mut progress = Progress::new("backup", Unit::Bytes);
    let mut bytes = 0;
    let request = Request { method: Method::POST, path: "/api/v1/maintenance/backup", body: None };
    let received = client::block_on(async {
        let mut stream = client.open(&request, session).await?;
        while let Some(chunk) = stream.chunk().await? {
            out.write_all(&chunk).map_err(Error::Output)?;
            bytes += chunk.len() as u64;
            progress.update(bytes, session);
        }
        Ok(())
    });
    progress.finish(session);
    received?;
    let file = out.into_inner().map_err(|err| Error::Output(err.into_error()))?;
    file.sync_all().map_err(Error::Output)?;
    Ok(bytes)
}

fn unwritable(path: &Path, err: &io::Error) -> Error {
    Error::Output(io::Error::new(err.kind(), format!("{}: {err}", path.display())))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(parent)?.sync_all()
}

/// Makes a data directory, or only checks.
pub(super) fn restore(args: &Restore, session: &mut Session) -> Result<(), Error> {
    if args.verify {
        let contents = check(&args.file, session)?;
        return session.print(&format!("the backup is whole: {}", told(&contents)));
    }
    let dir = settings::Args::of_data_dir(args.data_dir.clone()).load(session)?.settings.data_dir;
    let contents = reading(&args.file, "restore", session, |from, progress| {
        backup::restore(from, &dir, progress)
    })?;
    let dir = dir.display();
    session.print(&format!(
        "restored {} into {dir}; start it with `observatory serve --data-dir {dir}`",
        told(&contents)
    ))
}

fn check(file: &Path, session: &mut Session) -> Result<Contents, Error> {
    reading(file, "verify", session, |from, progress| backup::verify(from, progress))
}

/// Does `work` with the file, and shows how far it is.
fn reading(
    path: &Path,
    what: &str,
    session: &mut Session,
    work: impl FnOnce(Counted, &mut dyn FnMut(u64)) -> Result<Contents, RestoreError>,
) -> Result<Contents, Error> {
    let unreadable = |err| Error::Input(format!("cannot read {}: {err}", path.display()));
    let file = fs::File::open(path).map_err(unreadable)?;
    let total = file.metadata().map_err(unreadable)?.len();
    let read = Rc::new(Cell::new(0));
    let from = BufReader::with_capacity(BUFFER_BYTES, file);
    let from = Counted { from, read: Rc::clone(&read) };
    let mut progress = Progress::new(what, Unit::Things("events"));
    let done = work(from, &mut |events| {
        #[expect(clippy::cast_precision_loss, reason = "a part for people")]
        let part = read.get() as f64 / total.max(1) as f64;
        progress.update_part(events, part, session);
    });
    progress.finish(session);
    done.map_err(|err| match err {
        RestoreError::Archive(_) | RestoreError::Load(_) => {
            Error::Input(format!("{}: {err}", path.display()))
        }
        it => Error::Data(it.to_string()),
    })
}

/// Counts what is read.
struct Counted {
    from: BufReader<fs::File>,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.read.set(self.read.get() + n as u64);
        Ok(n)
    }
}

fn told(contents: &Contents) -> String {
    let Contents { created, program, events, .. } = contents;
    let at = created.map_or_else(String::new, |it| format!(" as of {it}"));
    format!("{events} events{at}, taken by version {program}")
}

#[cfg(test)]
mod tests {
    use super::super::client::tests::{http, serve};
    use super::super::tests::observatory;
    use super::*;

    #[test]
    fn where_it_goes() {
        let dir = tempfile::tempdir().unwrap();
        let session = Session::recorded(&[], "").0;
        let named = destination(Some(&dir.path().join("a.backup")), &session);
        assert_eq!(named, dir.path().join("a.backup"));
        let dated = destination(Some(dir.path()), &session);
        let name = dated.file_name().unwrap().to_str().unwrap();
        assert_eq!(dated.parent(), Some(dir.path()));
        assert!(name.starts_with("observatory-20") && name.ends_with("Z.backup"), "{name}");
        assert!(!name.contains(':'), "{name}");
    }

    #[test]
    fn what_is_no_backup_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.backup");
        let text = path.to_str().unwrap();
        let check = |answer: String, expected: u8, words: &str| {
            let (url, server) = serve(vec![answer]);
            let (code, out, err) =
                observatory(&["backup", "-o", text, "--url", &url, "--timeout", "20"], &[], "");
            server.join().unwrap();
            assert_eq!((code, out.as_str()), (expected, ""), "{err}");
            assert!(err.contains(words), "{err}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{err}");
        };
        check(http("200 OK", "", "OBSBACK\n\u{1}\0\0\0"), 65, "cut off after part 0");
        check(http("200 OK", "", "<html>"), 65, "no backup of Observatory");
        check(http("403 Forbidden", "", "{}"), 77, "--token");
        let cut = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 99\r\n\r\nOBSBACK";
        check(cut.to_owned(), 69, "broke off");
    }

    #[test]
    fn a_file_that_is_not_there() {
        let (code, _, err) = observatory(&["restore", "/nowhere/a.backup", "--verify"], &[], "");
        assert!(code == 65 && err.contains("cannot read /nowhere/a.backup"), "{err}");
    }
}
