//! `observatory config render`.

use super::super::stack as verbs;
use super::super::{Error, Session};
use std::{fs, os::unix::fs::DirBuilderExt, path::PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
What `observatory up` gives to Prometheus, Alertmanager and Grafana for the environment. Printed, secrets are `***`; dashboards and rules are named only.

Examples:
  observatory config render
  observatory config render --output rendered && promtool check config rendered/prometheus/prometheus.yml")]
pub(in super::super) struct Args {
    /// Directory to write the files into
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    stack: verbs::Args,
}

/// Renders.
pub(in super::super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let plan = args.stack.load(session)?.plan(session)?;
    for note in &plan.notes {
        session.note(&format!("note: {note}"));
    }
    let Some(dir) = &args.output else {
        for (path, content) in &plan.files {
            let text = String::from_utf8_lossy(content);
            match path.as_str() {
                it if it.starts_with("secrets/") => session.print(&format!("# {path}\n***"))?,
                it if it.contains("/rules/")
                    || it.contains("/dashboards/") && it.ends_with(".json") =>
                {
                    session.print(&format!("# {path}: {} lines", text.lines().count()))?;
                }
                _ => session.print(&format!("# {path}\n{}", text.trim_end()))?,
            }
        }
        return Ok(());
    };
    let unwritable = |path: &std::path::Path, err: std::io::Error| {
        Error::Output(std::io::Error::new(err.kind(), format!("{}: {err}", path.display())))
    };
    for (path, content) in &plan.files {
        let path = dir.join(path);
        let parent = path.parent().unwrap_or(dir);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(parent);
        made.and_then(|()| fs::write(&path, content)).map_err(|err| unwritable(&path, err))?;
    }
    session.print(&format!("{} files in {}", plan.files.len(), dir.display()))
}
