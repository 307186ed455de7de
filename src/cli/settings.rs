//! The flags that are settings, shared by `serve` and `config show`.

use super::gateway_flags;
use super::{Error, Session};
use crate::config;
use crate::config::{Key, Origin};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The file that is read if none is named.
pub(super) const DEFAULT_FILE: &str = "observatory.yml";

/// Where settings come from.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    #[arg(
        long,
        value_name = "FILE",
        help = "Configuration file [env: OBSERVATORY_CONFIG] [default: observatory.yml, if there is one]"
    )]
    config: Option<PathBuf>,
    /// Address to listen on, HOST:PORT or :PORT; repeats [default: 127.0.0.1:9091]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Directory that holds everything [default: ./observatory-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// When an event is acknowledged: sync (on disk) or relaxed [default: sync]
    #[arg(long, value_name = "MODE")]
    durability: Option<String>,
    /// Rule file [default: the built-in rules]
    #[arg(long, value_name = "FILE")]
    rules: Option<String>,
    /// Let everyone who can connect do everything
    #[arg(long)]
    no_auth: bool,
    /// Ask for a token with the role read also on /metrics
    #[arg(long)]
    metrics_auth: bool,
    /// Log lines: text, json, or auto [default: auto]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    #[arg(
        long,
        value_name = "LEVEL",
        help = "Log level or filter, such as debug or info,observatory::http=debug [default: info]"
    )]
    log_level: Option<String>,
    /// How long a stop may wait for requests in work [default: 30s]
    #[arg(long, value_name = "DURATION")]
    shutdown_grace: Option<String>,
    #[command(flatten)]
    gateway: gateway_flags::Args,
}

impl Args {
    /// No flag but that of the data directory.
    pub(super) fn of_data_dir(data_dir: Option<String>) -> Self {
        Self { data_dir, ..Self::default() }
    }

    /// Reads the settings, and tells of what is odd about them.
    pub(super) fn load(&self, session: &mut Session) -> Result<config::Loaded, Error> {
        let file = file(self.config.as_deref(), session)?;
        let environment = session.environment().clone();
        let mapped = self.gateway.map()?;
        let sources = config::Sources { file, environment, flags: self.flags(&mapped) };
        let mut loaded = config::load(&sources)?;
        let chosen = Key::find("data_dir").map_or(&[][..], |it| loaded.origins(it));
        if let Some(dir) = mapped.data_dir
            && chosen == [Origin::Default]
        {
            loaded.warnings.push(format!(
                "--persistence.file: everything is stored in {dir}; --data-dir chooses another directory"
            ));
            loaded.settings.data_dir = dir.into();
        }
        loaded.warnings.extend(mapped.warnings);
        Ok(loaded)
    }

    /// The configuration file.
    pub(super) fn file(&self, session: &Session) -> Result<Option<(PathBuf, String)>, Error> {
        file(self.config.as_deref(), session)
    }

    fn flags(&self, mapped: &gateway_flags::Mapped) -> Vec<(&'static str, Vec<String>)> {
        let values = [
            ("--data-dir", &self.data_dir),
            ("--durability", &self.durability),
            ("--rules", &self.rules),
            ("--log-format", &self.log_format),
            ("--log-level", &self.log_level),
            ("--shutdown-grace", &self.shutdown_grace),
        ];
        let switches = [("--no-auth", self.no_auth), ("--metrics-auth", self.metrics_auth)];
        let mut flags: Vec<(&'static str, Vec<String>)> = Vec::new();
        let listen = [&self.listen[..], &mapped.listen].concat();
        if !listen.is_empty() {
            flags.push(("--listen", listen));
        }
        // Ours are applied after those, and win.
        flags.extend(mapped.flags.iter().map(|(flag, it)| (*flag, vec![it.clone()])));
        flags.extend(values.into_iter().filter_map(|(flag, it)| Some((flag, vec![it.clone()?]))));
        flags.extend(
            switches.into_iter().filter(|it| it.1).map(|(flag, _)| (flag, vec!["true".to_owned()])),
        );
        flags
    }
}

/// The configuration file: `named`, that of the environment, or the one in the working directory, if there is one.
pub(super) fn file(
    named: Option<&Path>,
    session: &Session,
) -> Result<Option<(PathBuf, String)>, Error> {
    let variable = session.variable("OBSERVATORY_CONFIG").map(Path::new);
    match named.or(variable) {
        Some(path) => Ok(Some((path.to_owned(), read(path)?))),
        None => match fs::read_to_string(DEFAULT_FILE) {
            Ok(text) => Ok(Some((PathBuf::from(DEFAULT_FILE), text))),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(unreadable(Path::new(DEFAULT_FILE), &err)),
        },
    }
}

/// There is no configuration file, and there has to be one.
pub(super) fn missing() -> Error {
    let problem =
        format!("there is no {DEFAULT_FILE} here; name a file with --config or OBSERVATORY_CONFIG");
    Error::Config(config::Invalid { problems: vec![problem] })
}

/// The text of the configuration file `path`.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|err| unreadable(path, &err))
}

fn unreadable(path: &Path, err: &io::Error) -> Error {
    Error::Config(config::Invalid {
        problems: vec![format!("cannot read {}: {err}", path.display())],
    })
}
