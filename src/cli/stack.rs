//! What the verbs around the stack share: which environment, where it is, and what runs it.

pub(super) mod down;
pub(super) mod logs;
pub(super) mod relay;
pub(super) mod remote;
pub(super) mod status;
pub(super) mod up;

use super::{Error, Session, settings};
use crate::config;
use crate::stack;
use crate::stack::{Backend, Compose, Dir, Plan, Ssh};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    sync::atomic::AtomicBool,
};

/// Which stack.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Environment of the configuration file, such as local or remote [default: stack.environment, else local]
    #[arg(long, short, value_name = "NAME")]
    pub(super) environment: Option<String>,
    #[arg(
        long,
        value_name = "FILE",
        help = "Configuration file [env: OBSERVATORY_CONFIG] [default: observatory.yml, if there is one]"
    )]
    pub(super) config: Option<PathBuf>,
    /// Machine to act on, over ssh; means the environment remote unless another is named
    #[arg(long, value_name = "HOST")]
    pub(super) host: Option<String>,
    /// Who logs in there [default: as ssh does]
    #[arg(long, value_name = "USER")]
    pub(super) ssh_user: Option<String>,
    /// Act on this machine, whatever host the environment names: what ssh runs there
    #[arg(long, conflicts_with = "host")]
    pub(super) here: bool,
}

/// A stack, as the settings have it.
pub(super) struct Context {
    pub(super) loaded: stack::Loaded,
    pub(super) file: Option<(PathBuf, String)>,
    here: PathBuf,
    path: String,
}

/// Where it is, and what runs it.
pub(super) enum Place {
    Remote(Ssh),
    Processes,
    Compose(Box<Compose>),
}

impl Args {
    pub(super) fn load(&self, session: &Session) -> Result<Context, Error> {
        let file = settings::file(self.config.as_deref(), session)?;
        self.load_from(file, session)
    }

    /// The same with a file that is at hand.
    pub(super) fn load_from(
        &self,
        file: Option<(PathBuf, String)>,
        session: &Session,
    ) -> Result<Context, Error> {
        let named = self.environment.clone();
        let implied = self.host.as_ref().map(|_| "remote".to_owned());
        if self.host.is_some() && named.as_deref() == Some("local") {
            return Err(Error::Usage(
                "the environment local is this machine: `--environment remote --host HOST` is another".to_owned(),
            ));
        }
        let mut flags = Vec::new();
        flags.extend(self.host.clone().map(|it| ("host", "--host", it)));
        flags.extend(self.ssh_user.clone().map(|it| ("ssh_user", "--ssh-user", it)));
        let sources = stack::Sources {
            file: file.clone(),
            environment: session.environment().clone(),
            chosen: named.or(implied),
            flags,
        };
        let loaded = stack::load(&sources)?;
        let here = std::env::current_dir();
        let here = here.map_err(|err| Error::System(format!("the working directory: {err}")))?;
        let path = session.variable("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin").to_owned();
        let mut context = Context { loaded, file, here, path };
        if self.here {
            context.loaded.profile.host = None;
        } else if context.loaded.environment == "remote" && context.loaded.profile.host.is_none() {
            return Err(Error::Usage(
                "the environment remote names no machine: give `--host HOST`, or say it for good with `observatory config set --environment remote host=HOST`".to_owned(),
            ));
        }
        Ok(context)
    }
}

impl Context {
    pub(super) fn place(&self) -> Result<Place, Error> {
        let profile = &self.loaded.profile;
        if let Some(ssh) = Ssh::of(profile) {
            return Ok(Place::Remote(ssh));
        }
        match profile.backend {
            Backend::Processes => Ok(Place::Processes),
            Backend::Compose => {
                let compose = Compose::new(profile, &self.path, &self.here);
                Ok(Place::Compose(Box::new(compose.map_err(Error::System)?)))
            }
        }
    }

    /// The directory of the stack.
    pub(super) fn dir(&self) -> Dir {
        let path: PathBuf = self.here.join(&self.loaded.profile.data_dir).components().collect();
        Dir::new(&path)
    }

    /// What would be run.
    pub(super) fn plan(&self, session: &Session) -> Result<Plan, Error> {
        let sources = config::Sources {
            file: self.file.clone(),
            environment: session.environment().clone(),
            flags: Vec::new(),
        };
        let server = config::load(&sources)?;
        let own = own_program()?;
        let around = stack::Around {
            config: self.file.as_ref().map(|it| it.0.as_path()),
            settings: &server.settings,
            path: &self.path,
            own: &own,
            here: &self.here,
        };
        Plan::new(&self.loaded.profile, &around).map_err(|err| Error::System(err.to_string()))
    }

    /// The arguments by which the other machine knows what is meant.
    fn remote_flags(&self) -> Vec<String> {
        let mut flags =
            vec!["--here".to_owned(), "--environment".to_owned(), self.loaded.environment.clone()];
        if self.file.is_some() {
            flags.extend(["--config".to_owned(), settings::DEFAULT_FILE.to_owned()]);
        }
        flags
    }
}

/// This program, as a file.
pub(super) fn own_program() -> Result<PathBuf, Error> {
    std::env::current_exe()
        .map_err(|err| Error::System(format!("this program cannot be found: {err}")))
}

/// Set as soon as somebody wants this process to end.
pub(super) fn end_wanted() -> Result<Arc<AtomicBool>, Error> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in
        [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
    {
        let registered = signal_hook::flag::register(signal, Arc::clone(&flag));
        registered.map_err(|err| Error::System(format!("signals: {err}")))?;
    }
    Ok(flag)
}

pub(super) fn unusable(dir: &Path, err: &io::Error) -> Error {
    Error::Data(format!("{}: {err}", dir.display()))
}
