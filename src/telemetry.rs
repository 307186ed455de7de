//! Logs, build information and the metrics of this process.
//!
//! Log lines go to standard error. A line is text for a person unless JSON was asked for: what a pipe or a
//! container collects stays readable, and only who asks for JSON gets it. A line never holds a secret or a body.

mod host;
mod process;

pub use host::{Host, Load};
pub use process::ProcessMetrics;

use std::{
    fmt,
    io::{self, IsTerminal},
};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// How the program logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How a line looks. Default [`Format::Auto`].
    pub format: Format,
    /// A level, or a filter such as `info,observatory::pipeline=debug`. Default `info`.
    pub level: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text, coloured if standard error is a terminal and `NO_COLOR` does not forbid it.
    #[default]
    Auto,
    /// Text without colours.
    Text,
    /// One JSON object per line.
    Json,
}

/// A level or filter that cannot be read, or logging that was set up before.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// What this binary was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// The version of the crate.
    pub version: &'static str,
    /// The git revision, or `unknown`.
    pub revision: &'static str,
    /// The version of the compiler, or `unknown`.
    pub rustc: &'static str,
}

/// What this binary was built from.
pub const BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    revision: match option_env!("OBSERVATORY_REVISION") {
        Some(it) => it,
        None => "unknown",
    },
    rustc: match option_env!("OBSERVATORY_RUSTC") {
        Some(it) => it,
        None => "unknown",
    },
};

/// The store's and the HTTP client's own lines help only when something is wrong with them.
const QUIET: &str = "sled=warn,hyper=warn,hyper_util=warn,reqwest=warn,rustls=warn";

/// Sets logging up for this process. `colour` is whether the environment allows colours.
///
/// # Errors
///
/// The filter cannot be read, or logging is set up already.
pub fn init(config: &Config, colour: bool) -> Result<(), Error> {
    let colour = colour && config.format == Format::Auto && io::stderr().is_terminal();
    let subscriber = subscriber(config, colour, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_| Error("logging is set up already".to_owned()))
}

/// The present time in milliseconds since the epoch, for commands at a terminal; the server's events get
/// theirs from the pipeline.
#[must_use]
pub fn unix_millis() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// How nice a thread of low priority is: it gets a tenth of what another gets when both want the processor.
const NICENESS: i32 = 10;

/// Makes this thread give way to the others of the machine. For work that nobody waits for within a
/// moment; cannot be taken back, so not for a thread that is shared.
pub fn lower_priority() {
    let this = rustix::thread::gettid();
    // A thread that may not be nicer works all the same.
    let _ = rustix::process::setpriority_process(Some(this), NICENESS);
}

/// Whether `level` is a level or a filter that [`init`] takes.
///
/// # Errors
///
/// It is not; the message says what was expected.
pub fn check_level(level: &str) -> Result<(), Error> {
    filter(level).map(|_| ())
}

fn subscriber<W>(
    config: &Config,
    colour: bool,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let base = tracing_subscriber::fmt()
        .with_env_filter(filter(&config.level)?)
        .with_writer(writer)
        .with_ansi(colour);
    Ok(match config.format {
        Format::Json => Box::new(base.json().flatten_event(true).finish()),
        Format::Auto | Format::Text => Box::new(base.finish()),
    })
}

fn filter(level: &str) -> Result<EnvFilter, Error> {
    let plain = ["off", "error", "warn", "info", "debug", "trace"];
    // A bare word that is no level would be taken for the name of a module, and everything would be silent.
    let words = level.split(',').map(str::trim);
    for word in words.clone().filter(|it| !it.contains(['=', '['])) {
        if !plain.contains(&word.to_ascii_lowercase().as_str()) {
            let plain = plain.join(", ");
            return Err(Error(format!(
                "expected one of {plain}, or a filter such as `info,observatory=debug`"
            )));
        }
    }
    EnvFilter::try_new(format!("{QUIET},{level}")).map_err(|it| Error(it.to_string()))
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (revision {}, rustc {})", self.version, self.revision, self.rustc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `log` writes under `config`.
    fn logged(format: Format, level: &str, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let config = Config { format, level: level.to_owned() };
        let subscriber = subscriber(&config, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_is_one_object_per_line() {
        let lines = logged(Format::Json, "info", || tracing::info!(port = 1, "listening"));
        let line: serde_json::Value = serde_json::from_str(lines.trim()).unwrap();
        assert_eq!(line["message"], "listening");
        assert_eq!(line["port"], 1);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn text_has_no_escapes() {
        let lines = logged(Format::Text, "info", || tracing::info!(port = 1, "listening"));
        assert!(lines.contains("listening port=1") && !lines.contains('\u{1b}'), "{lines}");
    }

    #[test]
    fn the_level_holds_and_chatty_libraries_are_quiet() {
        let lines = logged(Format::Text, "info", || {
            tracing::debug!("too fine");
            tracing::info!(target: "sled", "chatter");
            tracing::warn!(target: "sled", "trouble");
        });
        assert!(!lines.contains("too fine") && !lines.contains("chatter"), "{lines}");
        assert!(lines.contains("trouble"), "{lines}");
        let lines =
            logged(Format::Text, "info,sled=info", || tracing::info!(target: "sled", "chatter"));
        assert!(lines.contains("chatter"), "{lines}");
    }

    #[test]
    fn levels() {
        for good in ["info", "WARN", "debug", "info,observatory=debug", "off"] {
            assert!(check_level(good).is_ok(), "{good}");
        }
        for bad in ["", "loud", "info,verbose", "observatory=loud"] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_build_is_known() {
        assert_eq!(BUILD.version, env!("CARGO_PKG_VERSION"));
        assert!(BUILD.rustc.starts_with("1."), "{}", BUILD.rustc);
    }
}
