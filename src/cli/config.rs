//! `observatory config`.

mod diff;
mod render;
mod values;

use super::{Error, Session, settings};
use crate::config;
use crate::rules::RuleSet;
use crate::stack;
use std::path::{Path, PathBuf};

/// Check and show the configuration.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Report everything that is wrong with a configuration file
    Check(Check),
    /// Print the settings in force
    Show(Box<Show>),
    /// Print one setting
    Get(values::Get),
    /// Change settings in the file, which keeps its comments
    Set(values::Set),
    /// The same as check, for the file that is in use
    Validate(Validate),
    /// Tell in what two configurations differ
    Diff(diff::Args),
    /// Print, or write, the configuration of the services of the stack
    Render(render::Args),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reports everything that is wrong with the file, its section `stack` and all environments in it. Exit code 64 if something is wrong.

Examples:
  observatory config validate
  observatory config validate /etc/observatory/observatory.yml")]
pub(super) struct Validate {
    #[arg(help = "Configuration file [env: OBSERVATORY_CONFIG] [default: observatory.yml]")]
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Only the file counts, not the environment. Exit code 64 if something is wrong.

Example:
  observatory config check observatory.yml")]
pub(super) struct Check {
    /// Configuration file
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Takes the flags of `serve` and prints what the server would run with, as a configuration file, and the section `stack` of one environment. Secrets are `***`.

Examples:
  observatory config show --origin
  observatory config show --config /etc/observatory.yml --listen :9091
  observatory config show --builtin-rules > rules.yml")]
pub(super) struct Show {
    /// Say where each value comes from
    #[arg(long)]
    origin: bool,
    /// Print the built-in rules instead, as a start for your own
    #[arg(long)]
    builtin_rules: bool,
    /// Environment of the section `stack` [default: stack.environment, else local]
    #[arg(long, short, value_name = "NAME")]
    environment: Option<String>,
    #[command(flatten)]
    settings: settings::Args,
}

/// Checks or shows.
pub(super) fn run(command: &Command, session: &mut Session) -> Result<(), Error> {
    match command {
        Command::Check(args) => check(args, session),
        Command::Show(args) => show(args, session),
        Command::Get(args) => values::get(args, session),
        Command::Set(args) => values::set(args, session),
        Command::Validate(args) => {
            let file = settings::file(args.file.as_deref(), session)?;
            match file {
                Some((path, text)) => checked(&path, text, session),
                None => Err(settings::missing()),
            }
        }
        Command::Diff(args) => diff::run(args, session),
        Command::Render(args) => render::run(args, session),
    }
}

fn check(args: &Check, session: &mut Session) -> Result<(), Error> {
    checked(&args.file, settings::read(&args.file)?, session)
}

fn checked(path: &Path, text: String, session: &mut Session) -> Result<(), Error> {
    let loaded = problems(path, text)?;
    for warning in &loaded.warnings {
        session.note(&format!("warning: {warning}"));
    }
    // A token may still come from the environment or the data directory.
    if let Err(exposed) = loaded.settings.check_exposure(false) {
        session.note(&format!("warning: {exposed}"));
    }
    session.print(&format!("{}: ok", path.display()))
}

/// Everything that is wrong with a file: the server's settings, and the section `stack`.
fn problems(path: &Path, text: String) -> Result<config::Loaded, Error> {
    let file = Some((path.to_owned(), text));
    let section = stack::load(&stack::Sources { file: file.clone(), ..stack::Sources::default() });
    let loaded = config::load(&config::Sources { file, ..config::Sources::default() });
    match (loaded, section) {
        (Ok(it), Ok(_)) => Ok(it),
        (Ok(_), Err(it)) | (Err(it), Ok(_)) => Err(it.into()),
        (Err(mut it), Err(section)) => {
            // A file that is no YAML is told once.
            it.problems.extend(section.problems.into_iter().filter(|it| it.contains("stack.")));
            Err(it.into())
        }
    }
}

fn show(args: &Show, session: &mut Session) -> Result<(), Error> {
    if args.builtin_rules {
        return session.print(RuleSet::builtin_text().trim_end());
    }
    let loaded = args.settings.load(session)?;
    for warning in &loaded.warnings {
        session.note(&format!("warning: {warning}"));
    }
    session.print(config::show(&loaded, args.origin).trim_end())?;
    let chosen = args.environment.clone();
    let section = stack::load(&stack::Sources {
        file: args.settings.file(session)?,
        environment: session.environment().clone(),
        chosen,
        flags: Vec::new(),
    })?;
    session.print(section_text(&section, args.origin).trim_end())
}

/// The section `stack` as YAML that could be in the file.
fn section_text(loaded: &stack::Loaded, origins: bool) -> String {
    let mut text = format!("stack:\n  environment: {}\n", loaded.environment);
    let mut above: Vec<&str> = Vec::new();
    for key in stack::KEYS {
        let parts: Vec<_> = key.name.split('.').collect();
        let same = above.iter().zip(&parts).take_while(|(a, b)| a == b).count();
        let (last, sections) = parts.split_last().unwrap_or((&"", &[]));
        for (depth, name) in sections.iter().enumerate().skip(same) {
            text.push_str(&format!("{}{name}:\n", "  ".repeat(depth + 1)));
        }
        let line = format!("{}{last}: {}", "  ".repeat(parts.len()), key.show(&loaded.profile));
        let origin = if origins { format!(" # {}", loaded.origin(key)) } else { String::new() };
        text.push_str(&if origins { format!("{line:40}{origin}\n") } else { format!("{line}\n") });
        above = sections.to_vec();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::observatory;
    use std::fs;

    fn check(text: &str) -> (u8, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("o.yml");
        fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        let (code, out, err) = observatory(&["config", "check", path], &[], "");
        let short = |it: String| it.replace(&format!("{}/", dir.path().display()), "");
        (code, short(out), short(err))
    }

    #[test]
    fn a_good_file_is_ok() {
        assert_eq!(check("log: {level: debug}"), (0, "o.yml: ok\n".to_owned(), String::new()));
    }

    #[test]
    fn everything_wrong_is_reported_with_64() {
        let (code, out, err) = check("lisen: x\nlog: {level: loud}");
        assert_eq!((code, out.as_str()), (64, ""));
        assert!(
            err.starts_with("o.yml:1:1: unknown key `lisen`, did you mean `listen`?\n"),
            "{err}"
        );
        assert!(err.contains("o.yml:2:14: log.level: "), "{err}");
        assert!(err.ends_with("observatory: the configuration has 2 problems\n"), "{err}");
    }

    #[test]
    fn an_open_listener_without_a_token_is_warned_of() {
        let (code, out, err) = check("listen: ':9091'");
        assert_eq!((code, out.as_str()), (0, "o.yml: ok\n"));
        assert!(err.contains("--no-auth"), "{err}");
    }

    #[test]
    fn a_missing_file_is_a_bad_configuration() {
        let (code, _, err) = observatory(&["config", "check", "/does/not/exist"], &[], "");
        assert_eq!(code, 64);
        assert!(err.contains("cannot read /does/not/exist"), "{err}");
    }

    #[test]
    fn show_tells_the_origin_and_hides_secrets() {
        let environment =
            [("OBSERVATORY_TOKEN", "hunter2-hunter2"), ("OBSERVATORY_LOG_LEVEL", "warn")];
        let arguments = ["config", "show", "--origin", "--config", "observatory.yml", "--no-auth"];
        let (code, out, _) = observatory(&arguments, &environment, "");
        assert_eq!(code, 0, "{out}");
        assert!(!out.contains("hunter2"), "{out}");
        for words in ["# OBSERVATORY_LOG_LEVEL", "# --no-auth", "# default", "token: \"***\""] {
            assert!(out.contains(words), "{words} in {out}");
        }
    }

    #[test]
    fn the_builtin_rules_are_printed_as_they_are() {
        let (code, out, _) = observatory(&["config", "show", "--builtin-rules"], &[], "");
        assert_eq!((code, out.trim_end()), (0, crate::rules::RuleSet::builtin_text().trim_end()));
    }
}
