//! `observatory config diff`.

use super::super::{Error, Session, settings};
use crate::config;
use crate::config::KEYS;
use crate::stack;
use std::{collections::BTreeMap, path::PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each side is an environment of the configuration file, a file, or FILE@ENVIRONMENT. Without any, the file in use is compared with the defaults; with one, that side. Only files count, not variables and flags. Exit code 0 if they say the same, 1 if they differ.

Examples:
  observatory config diff
  observatory config diff local remote
  observatory config diff observatory.yml /backup/observatory.yml
  observatory config diff here.yml@local there.yml@remote")]
pub(in super::super) struct Args {
    /// Environment or file
    a: Option<String>,
    /// What it is compared with [default: the defaults]
    b: Option<String>,
    #[arg(
        long,
        value_name = "FILE",
        help = "Configuration file with the environments [env: OBSERVATORY_CONFIG] [default: observatory.yml]"
    )]
    config: Option<PathBuf>,
}

type Values = BTreeMap<String, String>;

/// Compares.
pub(in super::super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let in_use = settings::file(args.config.as_deref(), session)?;
    let side = |it: &Option<String>| match it {
        None => values(in_use.clone(), None),
        Some(it) => side(it, in_use.as_ref()),
    };
    let (a, b) = match (&args.a, &args.b) {
        (a, None) => (values(None, None)?, side(a)?),
        (a, b) => (side(a)?, side(b)?),
    };
    let mut differ = false;
    for (name, old) in &a {
        let new = b.get(name).unwrap_or(old);
        if old != new {
            differ = true;
            session.print(&format!("{name}: {old} -> {new}"))?;
        }
    }
    if differ { Err(Error::Refused(String::new())) } else { Ok(()) }
}

fn side(text: &str, in_use: Option<&(PathBuf, String)>) -> Result<Values, Error> {
    let (file, environment) = match text.rsplit_once('@') {
        Some((file, environment)) => (Some(file), Some(environment)),
        None if text.contains(['/', '.']) => (Some(text), None),
        None => (None, Some(text)),
    };
    let file = match file {
        Some(it) => Some((PathBuf::from(it), settings::read(it.as_ref())?)),
        None => in_use.cloned(),
    };
    values(file, environment)
}

/// Every setting by its name. Paths are as in the file, wherever that is.
fn values(file: Option<(PathBuf, String)>, environment: Option<&str>) -> Result<Values, Error> {
    let file = file.map(|(path, text)| (PathBuf::from(path.file_name().unwrap_or_default()), text));
    let section = stack::load(&stack::Sources {
        file: file.clone(),
        chosen: environment.map(str::to_owned),
        ..stack::Sources::default()
    })?;
    let server = config::load(&config::Sources { file, ..config::Sources::default() })?;
    let server = KEYS.iter().map(|it| (it.name.to_owned(), it.show(&server.settings)));
    let plain = |it: String| it.replace("./", "");
    let section = stack::KEYS
        .iter()
        .map(|it| (format!("stack.{}", it.name), plain(it.show(&section.profile))));
    Ok(server.map(|(name, it)| (name, plain(it))).chain(section).collect())
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::observatory;
    use std::fs;

    #[test]
    fn only_what_differs_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.yml");
        fs::write(&path, "log: {level: debug}\nstack:\n  environments: {remote: {host: h}}\n")
            .unwrap();
        let file = path.to_str().unwrap();
        let diff = |sides: &[&str]| {
            let arguments: Vec<_> = ["config", "diff"]
                .into_iter()
                .chain(sides.iter().copied())
                .chain(["--config", file])
                .collect();
            let (code, out, _) = observatory(&arguments, &[], "");
            (code, out)
        };
        assert_eq!(diff(&[]), (1, "log.level: info -> debug\n".to_owned()));
        assert_eq!(diff(&["local", "remote"]), (1, "stack.host: null -> h\n".to_owned()));
        assert_eq!(diff(&["local", "local"]), (0, String::new()));
        assert_eq!(diff(&[file, &format!("{file}@local")]), (0, String::new()));
    }
}
