//! The same verb on another machine.

use super::super::{Error, Session, settings};
use super::{Context, relay};
use crate::stack::{Ssh, quoted};
use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long it may take until the machine has taken the configuration. ssh gives up after 8 s by itself, but not
/// while it looks a name up.
const PATIENCE: Duration = Duration::from_secs(13);

/// Runs `observatory VERB` there, with the configuration file of here.
pub(super) fn run(
    context: &Context,
    ssh: &Ssh,
    verb: &[&str],
    session: &mut Session,
) -> Result<(), Error> {
    send(context, ssh)?;
    let profile = &context.loaded.profile;
    let mut words = vec![profile.remote_program.clone()];
    words.extend(verb.iter().map(|it| (*it).to_owned()));
    words.extend(context.remote_flags());
    let words: Vec<_> = words.iter().map(|it| quoted(it)).collect();
    let dir = quoted(&profile.remote_dir);
    let code = relay::relay(ssh.command(&format!("cd {dir} && {}", words.join(" "))), session)?;
    match code {
        127 => Err(Error::System(format!(
            "{} has no program {}: copy this one there (`scp \"$(command -v observatory)\" {}:`), and name it with `observatory config set --environment {} remote_program=PATH` unless it is on the PATH",
            ssh.host, profile.remote_program, ssh.host, context.loaded.environment
        ))),
        255 => Err(Error::Unavailable(format!("{}: the connection broke off", ssh.host))),
        code => Error::of_code(code),
    }
}

/// Fails unless the machine can be reached.
pub(in super::super) fn reach(ssh: &Ssh) -> Result<(), Error> {
    let (code, said) = within(ssh.command("true"), "", PATIENCE)?;
    let said = match code {
        Some(0) => return Ok(()),
        Some(_) => said.trim().replace('\n', "; "),
        None => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    Err(Error::Unavailable(format!("{} cannot be reached: {said}", ssh.host)))
}

/// Puts the configuration file into the directory of the stack there.
fn send(context: &Context, ssh: &Ssh) -> Result<(), Error> {
    let dir = quoted(&context.loaded.profile.remote_dir);
    let file = settings::DEFAULT_FILE;
    let make = format!("umask 077 && mkdir -p {dir} && cd {dir}");
    let (words, text) = match &context.file {
        Some((_, text)) => {
            (format!("{make} && cat >.{file}.part && mv .{file}.part {file}"), text.as_str())
        }
        None => (make, ""),
    };
    let (code, said) = within(ssh.command(&words), text, PATIENCE)?;
    let said = said.trim().replace('\n', "; ");
    match code {
        Some(0) => Ok(()),
        Some(255) => Err(Error::Unavailable(format!("{} cannot be reached: {said}", ssh.host))),
        Some(code) => Err(Error::System(format!("{}: exit code {code}: {said}", ssh.host))),
        None => Err(Error::Unavailable(format!(
            "{} cannot be reached: no answer within {} s",
            ssh.host,
            PATIENCE.as_secs()
        ))),
    }
}

/// Runs `command` with `input`: its exit code, unless it takes too long, and its messages.
fn within(
    mut command: Command,
    input: &str,
    patience: Duration,
) -> Result<(Option<i32>, String), Error> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let spawned = command.spawn();
    let mut child = spawned.map_err(|err| Error::System(format!("cannot run ssh: {err}")))?;
    let deadline = Instant::now() + patience;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(move || {
            // Who does not read it says why.
            let _ = stdin.map(|mut it| it.write_all(input.as_bytes()));
        });
        let said = scope.spawn(move || {
            let mut said = String::new();
            let _ = stderr.map(|mut it| it.read_to_string(&mut said));
            said
        });
        let code = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Some(status.code().unwrap_or(255)),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
                _ => {
                    // It may have ended in this moment.
                    let _ = child.kill();
                    let _ = child.wait();
                    break None;
                }
            }
        };
        Ok((code, said.join().unwrap_or_default()))
    })
}
