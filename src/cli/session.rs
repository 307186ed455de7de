//! What a command may touch: its three streams and its environment.

use super::Error;
use crate::event::Time;
use crate::telemetry;
use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufRead, IsTerminal, Write},
};

/// The streams and the environment of one run.
pub struct Session {
    environment: BTreeMap<String, String>,
    input: Box<dyn BufRead>,
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    terminals: Terminals,
    /// Whether the last line of the terminal is one that will be replaced.
    drawn: bool,
}

/// Which streams a person looks at.
#[derive(Clone, Copy, Debug, Default)]
struct Terminals {
    out: bool,
    err: bool,
}

impl Session {
    /// The streams and the environment of this process. A variable that is not UTF-8 is left out: no setting
    /// needs one.
    #[must_use]
    pub fn of_this_process() -> Self {
        let text = |it: std::ffi::OsString| it.into_string().ok();
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        Self {
            environment: environment.collect(),
            input: Box::new(io::stdin().lock()),
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            terminals: Terminals {
                out: io::stdout().is_terminal(),
                err: io::stderr().is_terminal(),
            },
            drawn: false,
        }
    }

    /// The environment, whole.
    #[must_use]
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// The variable `name`, unless it is empty.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|it| !it.is_empty())
    }

    /// The present time. Commands are where a person's clock counts; the server has its own.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::from_millis(telemetry::unix_millis())
    }

    /// The standard input.
    pub fn input(&mut self) -> &mut dyn BufRead {
        &mut *self.input
    }

    /// The standard input for somebody who keeps it; from now on [`Session::input`] is empty.
    pub fn take_input(&mut self) -> Box<dyn BufRead> {
        std::mem::replace(&mut self.input, Box::new(io::empty()))
    }

    /// Prints a result line.
    ///
    /// # Errors
    ///
    /// Nobody reads it any more, or it cannot be written.
    pub fn print(&mut self, text: &str) -> Result<(), Error> {
        self.end_progress();
        let written = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        written.map_err(unwritten)
    }

    /// Writes results as they are.
    ///
    /// # Errors
    ///
    /// Nobody reads them any more, or they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.out.write_all(bytes).and_then(|()| self.out.flush());
        written.map_err(unwritten)
    }

    /// Tells the person something. That nobody can be told is no reason to stop.
    pub fn note(&mut self, text: &str) {
        self.end_progress();
        let _ = writeln!(self.err, "{text}");
    }

    /// Replaces the line that the person looks at. Call it only if [`Session::is_watched`].
    pub fn progress(&mut self, text: &str) {
        let _ = write!(self.err, "\r\x1b[2K{text}").and_then(|()| self.err.flush());
        self.drawn = true;
    }

    /// Removes the line that [`Session::progress`] drew, if it is there.
    pub fn end_progress(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(self.err, "\r\x1b[2K").and_then(|()| self.err.flush());
        }
    }

    /// Whether a person looks at the messages.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.terminals.err
    }

    /// Characters of a line of the terminal that results go to; `None` if they go elsewhere.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        let size = self.terminals.out.then(|| rustix::termios::tcgetwinsize(io::stdout()).ok())?;
        // A terminal that does not know its size says 0.
        size.map(|it| usize::from(it.ws_col)).filter(|it| *it > 0)
    }

    /// Whether results may have colours.
    #[must_use]
    pub fn colour_out(&self) -> bool {
        self.terminals.out && self.allows_colour()
    }

    /// Whether messages may have colours.
    #[must_use]
    pub fn colour_err(&self) -> bool {
        self.terminals.err && self.allows_colour()
    }

    /// Whether the environment allows colours at all (<https://no-color.org>).
    #[must_use]
    pub fn allows_colour(&self) -> bool {
        self.variable("NO_COLOR").is_none()
    }
}

fn unwritten(err: io::Error) -> Error {
    match err.kind() {
        io::ErrorKind::BrokenPipe => Error::Closed,
        _ => Error::Output(err),
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment holds tokens.
        f.debug_struct("Session").field("terminals", &self.terminals).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod recorded {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// What a command under test wrote to one stream.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Recording(Arc<Mutex<Vec<u8>>>);

    impl Recording {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Recording {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Session {
        /// A session of a test, with what will be written to its two streams.
        pub(crate) fn recorded(
            environment: &[(&str, &str)],
            input: &str,
        ) -> (Self, Recording, Recording) {
            let (out, err) = (Recording::default(), Recording::default());
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let session = Self {
                environment: environment.iter().map(owned).collect(),
                input: Box::new(io::Cursor::new(input.as_bytes().to_vec())),
                out: Box::new(out.clone()),
                err: Box::new(err.clone()),
                terminals: Terminals::default(),
                drawn: false,
            };
            (session, out, err)
        }

        /// The same before somebody who watches both streams.
        pub(crate) fn with_terminal(mut self) -> Self {
            self.terminals = Terminals { out: true, err: true };
            self
        }

        pub(crate) fn with_output(mut self, out: impl Write + 'static) -> Self {
            self.out = Box::new(out);
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_ends_quietly_and_a_full_disk_does_not() {
        let session = |kind| Session::recorded(&[], "").0.with_output(Failing(kind));
        let closed = session(io::ErrorKind::BrokenPipe).print("x").unwrap_err();
        assert_eq!((closed.exit_code(), closed.message()), (0, None));
        let full = session(io::ErrorKind::StorageFull).print("x").unwrap_err();
        assert_eq!(full.exit_code(), 74);
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let session = Session::recorded(&[("A", ""), ("B", "b")], "").0;
        assert_eq!((session.variable("A"), session.variable("B")), (None, Some("b")));
    }
}
