//! `observatory run`.
//!
//! The command comes first: it is started before anything is sent, nothing that goes wrong with an event changes
//! its exit code, and at its end it is waited for the server no longer than the time-out. Events are written to the
//! spool before they are sent, so that a kill at any moment loses none that was made.

mod child;
mod ci;
mod courier;

use super::deliver;
use super::{Error, Session, client, pairs, send};
use child::{Child, Ending};
use courier::Courier;
use serde_json::{Map, Number, Value};
use std::{
    ffi::OsString,
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Run a command, and send an event before and after it.
#[derive(Debug, clap::Args)]
#[command(mut_arg("timeout", |it| it.default_value("2").help("Seconds that the end may wait for the server")))]
#[command(after_help = "\
Sends ci_build_started and ci_build_completed (--type deployment: deployment_started and so on) with the name, the program, the host, what CI says about the repository and, in the end, duration_seconds, exit_code, status (success or failure) and signal. The built-in rules count them by project, which is the name.

The exit code is that of the command; 128 and the number of the signal that killed it; 127 if there is no such program and 126 if it cannot be run. Signals are passed on. A server that is slow or away changes nothing: after two seconds (--timeout) the event waits on disk, and the next `observatory run` or `observatory send`, or `observatory send --flush`, delivers it.

Examples:
  observatory run -- make test
  observatory run --name nightly-backup --data host_class=db -- pg_dump -f dump.sql app
  observatory run --type deployment --name api --data environment=production -- ./deploy.sh
  OBSERVATORY_SPOOL=/var/spool/observatory observatory run -- make")]
pub(super) struct Args {
    #[arg(
        long,
        help = "What it is called; becomes the label `project` [default: the repository in CI, else the program]"
    )]
    name: Option<String>,
    #[arg(
        long = "type",
        value_name = "PREFIX",
        default_value = "ci_build",
        help = "What kind of work it is: PREFIX_started and PREFIX_completed are sent"
    )]
    kind: String,
    /// Who sends it
    #[arg(long, default_value = "cli")]
    source: String,
    /// More data: key=text, or key:=JSON; repeats, and wins over what is sent anyway
    #[arg(long, value_name = "KEY=VALUE")]
    data: Vec<String>,
    /// Also send the arguments of the command; not if they may hold secrets
    #[arg(long)]
    arguments: bool,
    #[command(flatten)]
    waiting: deliver::Args,
    #[command(flatten)]
    server: client::Args,
    /// The command and its arguments
    #[arg(
        value_name = "CMD",
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<OsString>,
}

/// Runs the command; its exit code.
pub(super) fn run(args: &Args, session: &mut Session) -> u8 {
    let story = match Story::new(args, session) {
        Ok(it) => it,
        Err(err) => {
            session.note(&format!("observatory: {err}"));
            return err.exit_code();
        }
    };
    let mut courier = Courier::new(args.waiting.spool(session));
    courier.take(story.started(session), session);
    let began = Instant::now();
    let child = Child::start(&args.command);
    // Whatever is wrong with the server's address must not keep the command from running.
    match client::Client::new(&args.server, session) {
        // What is not taken at once waits in the spool: a server that is away holds up nothing.
        Ok(it) => courier.start(it.without_retries()),
        Err(err) => courier.give_up(err),
    }
    let ending = match child {
        Ok(it) => it.wait(courier.impatience()),
        Err(err) => {
            session.note(&format!("observatory: {}", err.message));
            Ending { code: err.code, signal: None }
        }
    };
    courier.take(story.completed(&ending, began.elapsed(), session), session);
    courier.finish(session);
    ending.code
}

/// What the two events tell.
struct Story {
    id: String,
    kind: String,
    source: String,
    /// What both have in common.
    data: Map<String, Value>,
    /// What was given with `--data`: it wins over everything.
    given: Map<String, Value>,
}

impl Story {
    fn new(args: &Args, session: &Session) -> Result<Self, Error> {
        let id = send::random_id()?;
        let given = pairs::read(Map::new(), &args.data).map_err(Error::Usage)?;
        let program = args.command.first().map(|it| it.to_string_lossy().into_owned());
        let program = program.unwrap_or_default();
        let base = Path::new(&program).file_name().map(|it| it.to_string_lossy().into_owned());
        let base = base.unwrap_or_else(|| program.clone());
        let mut data = Map::new();
        let mut tell = |key: &str, value: String| {
            data.insert(key.to_owned(), Value::String(value));
        };
        tell(id_name(&args.kind), id.clone());
        tell("name", args.name.clone().unwrap_or_else(|| base.clone()));
        tell("command", command_line(args, program));
        if let Some(host) = host() {
            tell("host", host);
        }
        let context = ci::context(session.environment());
        let in_repository = context.iter().any(|(key, _)| *key == "repository");
        for (key, value) in context {
            tell(key, value);
        }
        match &args.name {
            Some(name) => tell("project", name.clone()),
            None if in_repository => {}
            None => tell("project", base),
        }
        Ok(Self { id, kind: args.kind.clone(), source: args.source.clone(), data, given })
    }

    fn started(&self, session: &Session) -> String {
        self.event("started", self.data.clone(), session)
    }

    fn completed(&self, ending: &Ending, took: Duration, session: &Session) -> String {
        let mut data = self.data.clone();
        let status = if ending.code == 0 { "success" } else { "failure" };
        let millis = Number::from_f64((took.as_secs_f64() * 1e3).round() / 1e3);
        data.insert("duration_seconds".to_owned(), millis.map_or(Value::Null, Value::Number));
        data.insert("exit_code".to_owned(), Value::from(ending.code));
        data.insert("status".to_owned(), Value::from(status));
        if let Some(signal) = &ending.signal {
            data.insert("signal".to_owned(), Value::from(signal.as_str()));
        }
        self.event("completed", data, session)
    }

    /// One line of JSON. The id says which of the two it is, so that a second delivery counts once.
    fn event(&self, what: &str, mut data: Map<String, Value>, session: &Session) -> String {
        data.extend(self.given.clone());
        let event = send::Outgoing {
            id: format!("{}-{what}", self.id),
            event_type: format!("{}_{what}", self.kind),
            source: self.source.clone(),
            timestamp: Some(session.now().to_string()),
            data,
        };
        // A map with text keys is always JSON.
        serde_json::to_string(&event).unwrap_or_default()
    }
}

/// The member by which the built-in rules pair the two events of one run.
fn id_name(kind: &str) -> &'static str {
    match kind {
        "deployment" => "deployment_id",
        "agent_request" => "request_id",
        _ => "build_id",
    }
}

fn command_line(args: &Args, program: String) -> String {
    if !args.arguments {
        return program;
    }
    let words: Vec<_> = args.command.iter().map(|it| it.to_string_lossy()).collect();
    words.join(" ")
}

fn host() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests;
