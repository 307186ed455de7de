//! The command as a child process: started, given its signals, waited for.
//!
//! The child stays in our process group, so that it may read from the terminal and is stopped and continued with
//! us. A Ctrl-C of the terminal therefore reaches it without us: passed on, it would arrive twice, which many
//! programs take for "stop at once". A signal that another process sent to us is passed on.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::{Origin, WithOrigin};
use signal_hook::low_level::siginfo::Cause;
use signal_hook::low_level::signal_name;
use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    process::{self, Command, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// What is passed on.
const SIGNALS: &[i32] = &[SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];

/// A command that runs.
pub(super) struct Child {
    process: process::Child,
    signals: Option<SignalsInfo<WithOrigin>>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// As a shell says it: 128 and the number of the signal, if one killed it.
    pub(super) code: u8,
    /// That signal, such as `SIGTERM`.
    pub(super) signal: Option<String>,
}

/// A command that could not be started.
#[derive(Debug)]
pub(super) struct NotStarted {
    /// As a shell says it: 127 if there is no such program, 126 if it cannot be run.
    pub(super) code: u8,
    pub(super) message: String,
}

/// Where signals go: to the child as long as there is one, then to whoever waits for us.
enum Recipient {
    Child(Pid),
    Nobody,
}

impl Child {
    /// Starts `command`, its program first, with our standard streams.
    pub(super) fn start(command: &[OsString]) -> Result<Self, NotStarted> {
        // Before the child exists, so that no signal ends us and leaves it alone.
        let mut signals = SignalsInfo::<WithOrigin>::new(wanted(ignored())).ok();
        let mut words = command.iter();
        let program = words.next().cloned().unwrap_or_default();
        let spawned = Command::new(&program).args(words).spawn();
        let process = spawned.map_err(|err| not_started(&program.to_string_lossy(), &err))?;
        // What came before the child was there, the terminal has not given to it.
        let early = signals.iter_mut().flat_map(SignalsInfo::pending);
        for it in early.filter(|it| it.signal != SIGCHLD) {
            send(Pid::from_child(&process), it.signal);
        }
        Ok(Self { process, signals })
    }

    /// Waits for its end. A signal that comes after that calls `impatient`.
    pub(super) fn wait(mut self, impatient: impl Fn() + Send + 'static) -> Ending {
        let pid = Pid::from_child(&self.process);
        let recipient = Arc::new(Mutex::new(Recipient::Child(pid)));
        if let Some(signals) = self.signals.take() {
            let recipient = Arc::clone(&recipient);
            thread::spawn(move || pass_on(signals, &recipient, impatient));
        }
        // Only when nobody will send to it any more may its number be given to another process.
        while let Err(rustix::io::Errno::INTR) =
            rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {
        }
        *recipient.lock().unwrap_or_else(PoisonError::into_inner) = Recipient::Nobody;
        match self.process.wait() {
            Ok(status) => Ending::of(status),
            // Nobody can say how it ended.
            Err(_) => Ending { code: 1, signal: None },
        }
    }
}

impl Ending {
    fn of(status: ExitStatus) -> Self {
        let signal = status.signal();
        let code = status.code().or_else(|| Some(128 + signal?)).unwrap_or(1);
        Self {
            code: u8::try_from(code).unwrap_or(u8::MAX),
            signal: signal.map(|it| match signal_name(it) {
                Some(name) => name.to_owned(),
                None => it.to_string(),
            }),
        }
    }
}

fn pass_on(
    mut signals: SignalsInfo<WithOrigin>,
    recipient: &Mutex<Recipient>,
    impatient: impl Fn(),
) {
    for Origin { signal, cause, .. } in &mut signals {
        if signal == SIGCHLD {
            continue;
        }
        let recipient = recipient.lock().unwrap_or_else(PoisonError::into_inner);
        match *recipient {
            Recipient::Child(_) if matches!(cause, Cause::Kernel) => {}
            Recipient::Child(pid) => send(pid, signal),
            Recipient::Nobody => impatient(),
        }
    }
}

fn send(pid: Pid, signal: i32) {
    if let Some(signal) = Signal::from_named_raw(signal) {
        // It may have ended in this moment.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The signals to take, of which a bit of `ignored` says that we were told to ignore them. `nohup` and a shell's `&`
/// do that, and a handler would take the protection from the command.
fn wanted(ignored: u64) -> Vec<i32> {
    let is_ignored = |it: i32| ignored & (1 << (it - 1)) != 0;
    let taken = SIGNALS.iter().copied().filter(|it| !is_ignored(*it));
    // Where the ends of children are ignored, nobody can wait for them.
    taken.chain(is_ignored(SIGCHLD).then_some(SIGCHLD)).collect()
}

fn ignored() -> u64 {
    let status = procfs::process::Process::myself().and_then(|it| it.status());
    status.map_or(0, |it| it.sigign)
}

fn not_started(program: &str, err: &io::Error) -> NotStarted {
    match err.kind() {
        io::ErrorKind::NotFound if program.contains('/') => NotStarted {
            code: 127,
            message: format!("there is no {program}, or the interpreter that it names"),
        },
        io::ErrorKind::NotFound => {
            NotStarted { code: 127, message: format!("there is no program {program} on the PATH") }
        }
        _ => NotStarted { code: 126, message: format!("{program} cannot be run: {err}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_told_as_a_shell_does() {
        let check = |raw, code, signal: Option<&str>| {
            let expected = Ending { code, signal: signal.map(str::to_owned) };
            assert_eq!(Ending::of(ExitStatus::from_raw(raw)), expected);
        };
        check(0, 0, None);
        check(42 << 8, 42, None);
        check(15, 143, Some("SIGTERM"));
        check(9, 137, Some("SIGKILL"));
    }

    #[test]
    fn what_we_were_told_to_ignore_stays_ignored() {
        assert_eq!(wanted(0), SIGNALS);
        let hup = 1 << (SIGHUP - 1);
        assert!(!wanted(hup).contains(&SIGHUP) && wanted(hup).contains(&SIGTERM));
        assert!(wanted(1 << (SIGCHLD - 1)).contains(&SIGCHLD));
    }
}
