//! `observatory down`.

use super::super::{Error, Session};
use super::{Context, Place, relay, remote, unusable};
use crate::stack::Stopped;
use std::time::Duration;

/// Stop the stack.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Stops every service and its supervisor, and waits until they are gone. Data stays, unless --volumes or the key `stack.ephemeral` says otherwise. If nothing runs, that is fine.

Examples:
  observatory down
  observatory down --environment remote --host vonnegut
  observatory down --volumes           # asks before it removes all data
  observatory down --volumes --yes")]
pub(in super::super) struct Args {
    #[command(flatten)]
    stack: super::Args,
    /// Remove all data, too
    #[arg(long)]
    volumes: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// How long another `up` or `down` may take.
const OTHERS: Duration = Duration::from_secs(90);

/// Stops the stack.
pub(in super::super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let context = args.stack.load(session)?;
    let place = context.place()?;
    if args.volumes && !args.yes {
        confirm(&context, &place, session)?;
    }
    match place {
        Place::Remote(ssh) => {
            let verb: &[&str] =
                if args.volumes { &["down", "--volumes", "--yes"] } else { &["down"] };
            remote::run(&context, &ssh, verb, session)
        }
        Place::Compose(compose) => {
            if !compose.dir().is_dir() {
                return session.print("nothing runs");
            }
            let volumes = args.volumes || context.loaded.profile.ephemeral;
            match relay::relay(compose.down(volumes), session)? {
                0 if volumes => remove(&context),
                0 => Ok(()),
                code => {
                    Err(Error::System(format!("the containers were not stopped: exit code {code}")))
                }
            }
        }
        Place::Processes => processes(&context, args.volumes, session),
    }
}

fn processes(context: &Context, volumes: bool, session: &mut Session) -> Result<(), Error> {
    let dir = context.dir();
    let volumes = volumes || context.loaded.profile.ephemeral;
    if !dir.exists() {
        return session.print("nothing runs");
    }
    let held = dir.hold(OTHERS).map_err(|err| unusable(dir.path(), &err))?;
    if held.is_none() {
        let path = dir.path().display();
        return Err(Error::System(format!(
            "another `observatory up` or `down` is at work on {path}"
        )));
    }
    let stopped = dir.stop().map_err(|err| Error::System(err.to_string()))?;
    if volumes {
        remove(context)?;
    }
    let data = if volumes { "all data is removed" } else { "data is kept" };
    session.print(&match stopped {
        Stopped::Nothing => format!("nothing runs; {data}"),
        Stopped::Running => format!("stopped; {data} in {}", dir.path().display())
            .replace("removed in", "removed from"),
    })
}

fn remove(context: &Context) -> Result<(), Error> {
    let dir = context.dir();
    dir.remove().map_err(|err| unusable(dir.path(), &err))
}

fn confirm(context: &Context, place: &Place, session: &mut Session) -> Result<(), Error> {
    let what = match place {
        Place::Remote(ssh) => format!("of the stack on {}", ssh.host),
        Place::Compose(_) => format!("in the volumes of {}", context.loaded.profile.project),
        Place::Processes => format!("in {}", context.dir().path().display()),
    };
    session.note(&format!(
        "All data {what} will be removed: events, metrics, dashboards. Type `yes` to go on:"
    ));
    let mut answer = String::new();
    // Who cannot be asked has not said yes.
    let _ = session.input().read_line(&mut answer);
    if answer.trim() == "yes" {
        return Ok(());
    }
    Err(Error::Refused(
        "nothing was stopped or removed; `--yes` goes without the question".to_owned(),
    ))
}
