//! A program whose output becomes ours, line by line as it comes.

use super::super::{Error, Session};
use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

enum Said {
    Out(Vec<u8>),
    Err(String),
}

/// Runs `command` to its end; its exit code, 128 if a signal ended it.
pub(super) fn relay(mut command: Command, session: &mut Session) -> Result<i32, Error> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child =
        command.spawn().map_err(|err| Error::System(format!("cannot run {name}: {err}")))?;
    let (send, said) = mpsc::channel();
    let readers = [
        child.stdout.take().map(|it| reader(it, send.clone(), Said::Out)),
        child.stderr.take().map(|it| {
            reader(it, send.clone(), |it| {
                Said::Err(String::from_utf8_lossy(&it).trim_end_matches('\n').to_owned())
            })
        }),
    ];
    drop(send);
    let mut closed = None;
    for it in &said {
        let told = match it {
            Said::Out(it) => session.write(&it),
            Said::Err(it) => {
                session.note(&it);
                Ok(())
            }
        };
        if let Err(err) = told {
            // Nobody reads on, so nobody needs the program.
            let _ = child.kill();
            closed = Some(err);
            break;
        }
    }
    drop(said);
    let status = child.wait().map_err(|err| Error::System(err.to_string()))?;
    for it in readers.into_iter().flatten() {
        // It has nothing left to read.
        let _ = it.join();
    }
    closed.map_or(Ok(()), Err)?;
    Ok(status.code().unwrap_or(128))
}

fn reader(
    from: impl Read + Send + 'static,
    to: mpsc::Sender<Said>,
    make: impl Fn(Vec<u8>) -> Said + Send + 'static,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        loop {
            let mut line = Vec::new();
            match from.read_until(b'\n', &mut line) {
                Ok(n) if n > 0 && to.send(make(line)).is_ok() => {}
                _ => return,
            }
        }
    })
}

/// Runs `command` and gives what it prints.
pub(in super::super) fn output(mut command: Command) -> Result<(i32, Vec<u8>, String), Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|err| Error::System(format!("cannot run {name}: {err}")))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.code().unwrap_or(128), output.stdout, said))
}
