//! `observatory export prometheus-rules`.

mod annotation;
mod document;
mod promql;

use super::file::Target;
use crate::alerting;
use crate::alerts::Rule;
use crate::cli::client;
use crate::cli::client::{Client, Request};
use crate::cli::settings;
use crate::cli::{Error, Session};
use crate::config;
use document::{Document, document};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Write the alert rules as those of Prometheus.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Rules about metrics, ratios, burn rates and missing pushes become PromQL, with the same names and labels; a recovery threshold too. Rules about events, which are no series, stand as comments with the reason. `promtool check rules FILE` accepts what is written.

Examples:
  observatory export prometheus-rules --out prometheus/rules/own.yml
  observatory export prometheus-rules --config observatory.yml | promtool check rules")]
pub(in crate::cli) struct Args {
    /// Configuration file whose rules, and those that are shipped, are written, without asking a server
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "token"])]
    config: Option<PathBuf>,
    /// File to write [default: standard output]
    #[arg(long, short, visible_alias = "output", value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    server: client::Args,
}

/// What the server answers. Each rule has members besides that tell how it stands.
#[derive(Deserialize)]
struct Listed {
    rules: Vec<Value>,
}

/// Members of an answer that are no keys of a rule.
const BESIDES: [&str; 2] = ["origin", "firing"];

pub(super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let mut rules = match &args.config {
        Some(path) => of_file(path)?,
        None => of_server(&args.server, session)?,
    };
    // Whoever compares two files sees what changed.
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    let Document { text, said, unsaid } = document(&rules);
    let Some(path) = args.out.as_deref().filter(|it| *it != Path::new("-")) else {
        return session.write(text.as_bytes());
    };
    let mut target = Target::create(path)?;
    if let Err(err) = target.write(text.as_bytes()) {
        target.discard();
        return Err(err);
    }
    let path = target.finish()?;
    let place = path.display();
    session.note(&format!("observatory: {said} rules in {place}, {unsaid} as comments"));
    Ok(())
}

/// The rules that a server with this configuration begins with.
fn of_file(path: &Path) -> Result<Vec<Rule>, Error> {
    let text = settings::read(path)?;
    let file = Some((path.to_owned(), text));
    let loaded = config::load(&config::Sources { file, ..config::Sources::default() })?;
    let alerting::Config { shipped, rules, .. } = loaded.settings.alerting();
    let mut res = if shipped { alerting::shipped() } else { Vec::new() };
    res.retain(|it| rules.iter().all(|other| other.id != it.id));
    res.extend(rules);
    Ok(res)
}

fn of_server(args: &client::Args, session: &mut Session) -> Result<Vec<Rule>, Error> {
    let client = Client::new(args, session)?;
    let path = "/api/v1/monitoring/alert-rules";
    let request = Request { method: Method::GET, path, body: None };
    let body = client::block_on(client.send(&request, session))?;
    let unread =
        |what: &str| Error::Unavailable(format!("the server's rules cannot be read: {what}"));
    let listed: Listed = serde_json::from_str(&body).map_err(|it| unread(&it.to_string()))?;
    let read = |mut it: Value| {
        if let Value::Object(fields) = &mut it {
            fields.retain(|name, _| !BESIDES.contains(&name.as_str()));
        }
        Rule::from_json(&it).map_err(|errors| {
            let name = it.get("name").and_then(Value::as_str).unwrap_or_default();
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            unread(&format!("{name:?}: {}", errors.join("; ")))
        })
    };
    listed.rules.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests;
