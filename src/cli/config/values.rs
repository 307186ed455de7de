//! `observatory config get` and `set`.

use super::super::{Error, Session, settings};
use super::problems;
use crate::config;
use crate::stack;
use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A key of the server (docs/configuration.md), or of the section `stack` (docs/stack.md) with or without `stack.` before it. The value is the one in force: flag, environment, file, default.

Examples:
  observatory config get retention.events
  observatory config get services.grafana.enabled
  observatory config get host --environment remote")]
pub(in super::super) struct Get {
    /// Key, such as services.prometheus.port
    key: String,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Everything is checked before anything is written: a value that is refused leaves the file as it is (exit code 64). With --environment the keys of the section `stack` are those of that environment. A file that is not there is made.

Examples:
  observatory config set services.grafana.enabled=false
  observatory config set retention.events=180d services.prometheus.port=19090
  observatory config set --environment remote host=vonnegut backend=compose
  observatory config set listen='[127.0.0.1:9091]' --config /etc/observatory/observatory.yml")]
pub(in super::super) struct Set {
    /// Keys with their values
    #[arg(value_name = "KEY=VALUE", required = true)]
    values: Vec<String>,
    #[command(flatten)]
    which: Which,
}

/// Which file, and which environment in it.
#[derive(Debug, clap::Args)]
#[group(skip)]
struct Which {
    #[arg(
        long,
        value_name = "FILE",
        help = "Configuration file [env: OBSERVATORY_CONFIG] [default: observatory.yml]"
    )]
    config: Option<PathBuf>,
    /// Environment of the section `stack`
    #[arg(long, short, value_name = "NAME")]
    environment: Option<String>,
}

/// A key, whoever it belongs to.
enum Found {
    Server(&'static config::Key),
    Stack(&'static stack::Key),
    /// Which environment counts.
    Environment,
}

fn find(name: &str) -> Result<Found, Error> {
    let short = name.strip_prefix("stack.");
    if short == Some("environment") {
        return Ok(Found::Environment);
    }
    let server = config::Key::find(name).map(Found::Server);
    let section = || stack::Key::find(short.unwrap_or(name)).map(Found::Stack);
    server.or_else(section).ok_or_else(|| {
        let names =
            config::KEYS.iter().map(|it| it.name).chain(stack::KEYS.iter().map(|it| it.name));
        let near = names.min_by_key(|it| strsim::levenshtein(it, short.unwrap_or(name)));
        let near = near.unwrap_or_default();
        Error::Usage(format!("there is no key `{name}`, did you mean `{near}`?"))
    })
}

/// Prints a value.
pub(in super::super) fn get(args: &Get, session: &mut Session) -> Result<(), Error> {
    let Which { config, environment } = &args.which;
    let found = find(&args.key)?;
    let file = settings::file(config.as_deref(), session)?;
    if let Found::Server(key) = found {
        let environment = session.environment().clone();
        let loaded = config::load(&config::Sources { file, environment, flags: Vec::new() })?;
        return session.print(&key.show(&loaded.settings));
    }
    let loaded = stack::load(&stack::Sources {
        file,
        environment: session.environment().clone(),
        chosen: environment.clone(),
        flags: Vec::new(),
    })?;
    match found {
        Found::Stack(key) => session.print(&key.show(&loaded.profile)),
        _ => session.print(&loaded.environment),
    }
}

/// Changes values.
pub(in super::super) fn set(args: &Set, session: &mut Session) -> Result<(), Error> {
    let Which { config, environment } = &args.which;
    let variable = session.variable("OBSERVATORY_CONFIG").map(PathBuf::from);
    let path = config.clone().or(variable);
    let path = path.unwrap_or_else(|| PathBuf::from(settings::DEFAULT_FILE));
    let old = match fs::read_to_string(&path) {
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => None,
        Err(err) => return Err(Error::Input(format!("cannot read {}: {err}", path.display()))),
        Ok(text) => Some(text),
    };
    let mut text = old.clone().unwrap_or_default();
    let mut shadowed = Vec::new();
    for given in &args.values {
        let Some((name, value)) = given.split_once('=') else {
            return Err(Error::Usage(format!("expected KEY=VALUE, found `{given}`")));
        };
        let (keys, variable) = keys_of(name, environment.as_deref())?;
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        text = stack::set(&text, &keys, value).map_err(|why| invalid(&path, &why))?;
        shadowed.extend(variable.filter(|it| session.variable(it).is_some()));
    }
    problems(&path, text.clone())?;
    if old.as_deref() == Some(&text) {
        return session.print(&format!("{}: nothing changes", path.display()));
    }
    write(&path, &text).map_err(|err| {
        Error::Output(std::io::Error::new(err.kind(), format!("{}: {err}", path.display())))
    })?;
    for it in shadowed {
        session.note(&format!("note: {it} is set, and wins over the file"));
    }
    session.print(&format!("{}: changed", path.display()))
}

/// Where a key stands in the file, and its variable.
fn keys_of(name: &str, environment: Option<&str>) -> Result<(Vec<String>, Option<String>), Error> {
    let split = |it: &str| it.split('.').map(str::to_owned).collect::<Vec<_>>();
    match (find(name)?, environment) {
        (Found::Server(_), Some(_)) => Err(Error::Usage(format!(
            "{name} is a setting of the server, which is the same in every environment"
        ))),
        (Found::Server(key), None) => Ok((split(key.name), Some(key.variable().into_owned()))),
        (Found::Environment, _) => Ok((split("stack.environment"), None)),
        (Found::Stack(key), environment) => {
            let mut keys = vec!["stack".to_owned()];
            keys.extend(
                environment.into_iter().flat_map(|it| ["environments".to_owned(), it.to_owned()]),
            );
            keys.extend(split(key.name));
            Ok((keys, Some(key.variable())))
        }
    }
}

fn invalid(path: &Path, why: &str) -> Error {
    Error::Config(config::Invalid { problems: vec![format!("{}: {why}", path.display())] })
}

/// Puts `text` at `path` in one step, with the permissions of what was there.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    // A link stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mode = fs::metadata(&path).map_or(0o600, |it| it.permissions().mode() & 0o777);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!(".{name}.part"));
    let _ = fs::remove_file(&part);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, &path)
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::observatory;
    use std::fs;

    const FILE: &str = "# mine\nretention: {events: 30d}   # a month\nstack:\n  services:\n    # why\n    grafana: {enabled: false}\n";

    #[test]
    fn values_are_got_and_set_and_comments_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.yml");
        fs::write(&path, FILE).unwrap();
        let file = path.to_str().unwrap();
        let run = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().copied().chain(["--config", file]).collect();
            let (code, out, err) = observatory(&arguments, &[], "");
            (code, out.trim_end().to_owned(), err)
        };
        assert_eq!(run(&["config", "get", "services.grafana.enabled"]).1, "false");
        assert_eq!(run(&["config", "get", "retention.events"]).1, "30d");
        let set = [
            "config",
            "set",
            "services.grafana.enabled=true",
            "retention.events=60d",
            "stack.project=o2",
        ];
        let (code, _, err) = run(&set);
        assert_eq!(code, 0, "{err}");
        let expected = "# mine\nretention: {events: 60d}   # a month\nstack:\n  project: o2\n  services:\n    # why\n    grafana: {enabled: true}\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert!(run(&set).1.ends_with("nothing changes"));
        run(&["config", "set", "--environment", "remote", "host=vonnegut"]);
        assert_eq!(run(&["config", "get", "host", "-e", "remote"]).1, "vonnegut");
        assert_eq!(run(&["config", "get", "host"]).1, "null");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_is_refused_leaves_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.yml");
        fs::write(&path, FILE).unwrap();
        let file = path.to_str().unwrap();
        let check = |value: &str, code: u8, words: &str| {
            let (found, out, err) =
                observatory(&["config", "set", value, "--config", file], &[], "");
            assert_eq!((found, out.as_str()), (code, ""), "{err}");
            assert!(err.contains(words), "{err}");
            assert_eq!(fs::read_to_string(&path).unwrap(), FILE);
        };
        check("services.prometheus.port=70000", 64, "expected a port from 1 to 65535");
        check("services.prometheus.port=9091", 64, "is the port of");
        check("retention.events=soon", 64, "retention.events: ");
        check("services.grafana.prt=1", 2, "did you mean `services.grafana.port`?");
        check("backend", 2, "expected KEY=VALUE");
        check("stack.environment=moon", 64, "there is no `moon`");
    }

    #[test]
    fn a_file_that_is_not_there_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.yml");
        let file = path.to_str().unwrap();
        let (code, ..) =
            observatory(&["config", "set", "backend=compose", "--config", file], &[], "");
        assert_eq!(code, 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "stack:\n  backend: compose\n");
    }
}
