//! `observatory check`: other names of `rules check` and `config check`, for those who look for them by what is done.

use super::{Error, Session, config, rules};

/// Report everything that is wrong with a file
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// The same as `rules check`
    Rules(rules::Check),
    /// The same as `config check`
    Config(config::Check),
}

/// Checks.
pub(super) fn run(command: Command, session: &mut Session) -> Result<(), Error> {
    match command {
        Command::Rules(args) => rules::run(&rules::Command::Check(args), session),
        Command::Config(args) => config::run(&config::Command::Check(args), session),
    }
}
