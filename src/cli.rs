//! The command line: one verb per file. Results go to standard output, messages to standard error, and the
//! exit code says what kind of failure it was ([`EXIT_CODES`]).

mod backup;
mod check;
mod client;
mod completions;
mod config;
mod deliver;
mod demo;
mod discover;
mod error;
mod export;
mod filter;
mod gateway_flags;
mod import;
mod man;
mod pairs;
mod progress;
mod push;
mod query;
mod rules;
mod run;
mod send;
mod serve;
mod session;
mod settings;
mod spool;
mod stack;
mod tail;
mod token;
mod verify;

pub use error::{EXIT_CODES, Error};
pub use session::Session;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::{ffi::OsString, process::ExitCode};

#[derive(Debug, Parser)]
#[command(
    name = "observatory",
    version = crate::telemetry::BUILD.version,
    long_version = LONG_VERSION,
    about = "Events in, Prometheus metrics out: a durable event journal in one binary",
    after_help = EXAMPLES,
    arg_required_else_help = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the stack: the server, Prometheus, Alertmanager and Grafana
    Up(stack::up::Args),
    /// Stop the stack
    Down(stack::down::Args),
    /// Tell how the services of the stack are
    Status(stack::status::Args),
    /// Show the logs of the services
    Logs(stack::logs::Args),
    /// Write down what runs: containers or processes, and what they say of themselves
    Discover(discover::Args),
    /// Run the server
    Serve(serve::Args),
    /// Send an event, or a file of events, to a server
    Send(send::Args),
    /// Push metrics to a group, as scripts do to a Pushgateway
    Push(push::Args),
    /// Run a command, and send an event before and after it
    Run(run::Args),
    /// Send a believable stream of events to a server, to see it alive
    Demo(demo::Args),
    /// Ask a server for events
    Query(query::Args),
    /// Watch events as they come
    Tail(tail::Args),
    /// Take a backup of a running server
    Backup(backup::Take),
    /// Make a data directory from a backup
    Restore(backup::Restore),
    /// Write what the server knows into files
    #[command(subcommand)]
    Export(export::Command),
    /// Bring events from elsewhere
    #[command(subcommand)]
    Import(import::Command),
    /// Check, test, explain and replay metric rules
    #[command(subcommand)]
    Rules(rules::Command),
    /// Report everything that is wrong with a rule file or a configuration
    #[command(subcommand)]
    Check(check::Command),
    /// Check and show the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Create, list and revoke access tokens
    #[command(subcommand)]
    Token(token::Command),
    /// Check everything that is stored, while no server runs
    Verify(verify::Args),
    /// Print the completions of a shell
    Completions(completions::Args),
    /// Print the manual page of a verb, or write all of them
    Man(man::Args),
}

const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (revision ",
    env!("OBSERVATORY_REVISION"),
    ", rustc ",
    env!("OBSERVATORY_RUSTC"),
    ")"
);

const EXAMPLES: &str = "\
Examples:
  observatory serve
  observatory send ci_build_completed --source ci project=web status=success
  observatory run -- make test
  observatory demo --rate 5/s
  observatory query --since 2h
  curl http://127.0.0.1:9091/metrics";

/// Runs the program with the arguments and the environment of this process.
#[must_use]
pub fn main() -> ExitCode {
    let mut session = Session::of_this_process();
    ExitCode::from(run(std::env::args_os(), &mut session))
}

/// Runs the program; the first argument is its name. Returns the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>, session: &mut Session) -> u8 {
    let command = match parse(arguments) {
        Ok(it) => it,
        Err(err) => return usage(&err, session),
    };
    let result = match command {
        Command::Run(args) => return run::run(&args, session),
        Command::Up(args) => stack::up::run(&args, session),
        Command::Down(args) => stack::down::run(&args, session),
        Command::Status(args) => stack::status::run(&args, session),
        Command::Logs(args) => stack::logs::run(&args, session),
        Command::Discover(args) => discover::run(&args, session),
        Command::Serve(args) => serve::run(&args, session),
        Command::Send(args) => send::run(&args, session),
        Command::Push(args) => push::run(&args, session),
        Command::Demo(args) => demo::run(&args, session),
        Command::Query(args) => query::run(&args, session),
        Command::Tail(args) => tail::run(&args, session),
        Command::Backup(args) => backup::take(&args, session),
        Command::Restore(args) => backup::restore(&args, session),
        Command::Export(command) => export::run(&command, session),
        Command::Import(command) => import::run(&command, session),
        Command::Rules(command) => rules::run(&command, session),
        Command::Check(command) => check::run(command, session),
        Command::Config(command) => config::run(&command, session),
        Command::Token(command) => token::run(&command, session),
        Command::Verify(args) => verify::run(&args, session),
        Command::Completions(args) => completions::run(&args, session),
        Command::Man(args) => man::run(&args, session),
    };
    match result {
        Ok(()) => 0,
        Err(err) => {
            if let Some(message) = err.message() {
                session.note(&message);
            }
            err.exit_code()
        }
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    Ok(Cli::from_arg_matches(&matches)?.command)
}

/// The whole command line, with the exit codes in the long help.
fn command() -> clap::Command {
    let mut codes = format!("{EXAMPLES}\n\nExit codes:\n");
    for (code, meaning) in EXIT_CODES {
        codes.push_str(&format!("  {code:>3}  {meaning}\n"));
    }
    Cli::command().after_long_help(codes)
}

/// Help and version are answers, everything else is a mistake.
fn usage(err: &clap::Error, session: &mut Session) -> u8 {
    let text = err.render().ansi().to_string();
    let plain = err.render().to_string();
    if err.use_stderr() {
        session.note((if session.colour_err() { text } else { plain }).trim_end());
        return Error::Usage(String::new()).exit_code();
    }
    match session.print((if session.colour_out() { text } else { plain }).trim_end()) {
        Ok(()) => 0,
        Err(err) => err.exit_code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    fn walk(command: &clap::Command, path: &str, visit: &mut impl FnMut(&str, &clap::Command)) {
        visit(path, command);
        for sub in command.get_subcommands().filter(|it| it.get_name() != "help") {
            walk(sub, &format!("{path} {}", sub.get_name()), visit);
        }
    }

    #[test]
    fn every_command_and_argument_has_help() {
        walk(&command(), "observatory", &mut |path, it| {
            assert!(it.get_about().is_some(), "{path} has no help");
            for arg in
                it.get_arguments().filter(|it| !["help", "version"].contains(&it.get_id().as_str()))
            {
                assert!(arg.get_help().is_some(), "{path} {} has no help", arg.get_id());
            }
            if it.get_subcommands().next().is_none() {
                assert!(it.get_after_help().is_some(), "{path} has no example");
            }
        });
    }

    #[test]
    fn the_documentation_names_every_command_and_flag() {
        let docs = include_str!("../docs/cli.md");
        walk(&command(), "observatory", &mut |path, it| {
            if it.get_subcommands().next().is_none() {
                assert!(docs.contains(&format!("`{path}")), "docs/cli.md lacks `{path}`");
            }
            for flag in it.get_arguments().filter_map(clap::Arg::get_long) {
                let known = ["help", "version"].contains(&flag);
                assert!(known || docs.contains(&format!("--{flag}")), "docs/cli.md lacks --{flag}");
            }
        });
    }

    #[test]
    fn the_readme_names_every_command() {
        let readme = include_str!("../README.md");
        walk(&command(), "observatory", &mut |path, it| {
            if it.get_subcommands().next().is_none() {
                assert!(readme.contains(path), "README.md lacks `{path}`");
            }
        });
    }

    #[test]
    fn every_flag_of_the_settings_exists() {
        let command = command();
        let serve = command.find_subcommand("serve").unwrap();
        let flags: Vec<_> = serve.get_arguments().filter_map(clap::Arg::get_long).collect();
        for flag in crate::config::KEYS.iter().filter_map(|it| it.flag) {
            assert!(flags.contains(&flag.trim_start_matches("--")), "serve lacks {flag}");
        }
    }

    /// Runs `observatory ARGUMENTS...`: its exit code, results and messages.
    pub(super) fn observatory(
        arguments: &[&str],
        environment: &[(&str, &str)],
        input: &str,
    ) -> (u8, String, String) {
        let (mut session, out, err) = Session::recorded(environment, input);
        let arguments = ["observatory"].iter().chain(arguments).map(OsString::from);
        let code = run(arguments, &mut session);
        (code, out.text(), err.text())
    }

    #[test]
    fn help_and_version_are_answers_and_mistakes_are_not() {
        let (status, out, err) = observatory(&["--help"], &[], "");
        assert!(status == 0 && out.contains("Exit codes:") && err.is_empty(), "{out}{err}");
        let (status, out, _) = observatory(&["--version"], &[], "");
        assert!(status == 0 && out.contains(env!("CARGO_PKG_VERSION")), "{out}");
        let (status, out, err) = observatory(&["srve"], &[], "");
        assert!(status == 2 && out.is_empty() && err.contains("serve"), "{err}");
    }

    #[test]
    fn a_bad_configuration_ends_with_64() {
        let (status, out, err) = observatory(&["serve", "--durability", "eventual"], &[], "");
        assert_eq!((status, out.as_str()), (64, ""));
        assert!(
            err.contains("--durability: expected `sync` or `relaxed`, found `eventual`"),
            "{err}"
        );
    }
}
