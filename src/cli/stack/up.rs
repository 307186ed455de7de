//! `observatory up`.

use super::super::{Error, Session};
use super::{Context, Place, relay, remote, status, unusable};
use crate::stack;
use crate::stack::{Compose, Dir, Phase, Plan, ServiceState};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Start the stack: the server, Prometheus, Alertmanager and Grafana.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts every service of the stack, and a supervisor that starts again what ends. Returns 0 when all of them are healthy; otherwise it says what is wrong, stops what it started, and leaves nothing behind but logs. If they run already nothing happens; if the settings have changed since, they are started anew.

Programs are looked for on the PATH. Ports, directories and services are keys of the section `stack` of observatory.yml; `observatory config set` changes them (docs/stack.md).

Examples:
  observatory up
  observatory up --environment local
  observatory up --environment remote --host vonnegut
  observatory config set services.prometheus.port=19090 && observatory up
  observatory up --foreground          # until Ctrl-C, which stops everything")]
pub(in super::super) struct Args {
    #[command(flatten)]
    stack: super::Args,
    /// Stay, supervise, and stop everything when it ends: for systemd and the like
    #[arg(long)]
    foreground: bool,
    /// Supervise the stack in DIR: what `up` starts
    #[arg(long, value_name = "DIR", hide = true, exclusive = true)]
    supervise: Option<PathBuf>,
}

/// Who waits for `up` may have to wait for a `down`.
const OTHERS: Duration = Duration::from_secs(30);
const PROBE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);
/// Lines of a log that say why a service does not come up.
const LOG_LINES: usize = 10;

/// Starts the stack.
pub(in super::super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    if let Some(dir) = &args.supervise {
        return supervise(&Dir::new(dir), session);
    }
    let context = args.stack.load(session)?;
    match context.place()? {
        Place::Remote(_) if args.foreground => {
            Err(Error::Usage("--foreground is for this machine".to_owned()))
        }
        Place::Remote(ssh) => remote::run(&context, &ssh, &["up"], session),
        Place::Compose(_) if args.foreground => {
            Err(Error::Usage("--foreground is for the backend processes".to_owned()))
        }
        Place::Compose(compose) => containers(&context, &compose, session),
        Place::Processes => processes(&context, args.foreground, session),
    }
}

/// What the detached process does.
fn supervise(dir: &Dir, session: &mut Session) -> Result<(), Error> {
    let stop = super::end_wanted()?;
    let plan = dir.plan().map_err(|err| unusable(dir.path(), &err))?;
    let mut said = |text: &str| {
        let now = session.now();
        session.note(&format!("{now} {text}"));
    };
    stack::supervise(dir, &plan, &stop, &mut said).map_err(|err| unusable(dir.path(), &err))
}

fn processes(context: &Context, foreground: bool, session: &mut Session) -> Result<(), Error> {
    let stop = super::end_wanted()?;
    let plan = context.plan(session)?;
    let dir = context.dir();
    for note in &plan.notes {
        session.note(&format!("note: {note}"));
    }
    let wanted: Vec<_> = plan.services.iter().map(|it| (it.name.clone(), it.listen)).collect();
    let runs = || dir.supervisor().is_some() || !stack::marked(dir.path()).is_empty();
    if !runs() {
        free(&wanted)?;
    }
    dir.create().map_err(|err| unusable(dir.path(), &err))?;
    let held = dir.hold(OTHERS).map_err(|err| unusable(dir.path(), &err))?;
    let Some(held) = held else {
        return Err(Error::System(format!(
            "another `observatory up` or `down` is at work on {}",
            dir.path().display()
        )));
    };
    let same = dir.supervisor().is_some()
        && dir.state().is_some_and(|it| it.fingerprint == plan.fingerprint);
    if same {
        if foreground {
            return Err(Error::System(
                "the stack runs already: `observatory down` stops it".to_owned(),
            ));
        }
        await_health(&plan, &dir, &Waiting { stop: &stop, first: false, context }, session)?;
        session.note("observatory: the stack runs already");
        return status::table(&plan, &dir, session);
    }
    if runs() {
        session
            .note("observatory: stopping what runs with other settings, or without a supervisor");
        dir.stop().map_err(|err| Error::System(err.to_string()))?;
        free(&wanted)?;
    }
    dir.write_plan(&plan).map_err(|err| unusable(dir.path(), &err))?;
    if foreground {
        drop(held);
        return in_foreground(context, &plan, &dir, &stop, session);
    }
    let waiting = Waiting { stop: &stop, first: true, context };
    let own = super::own_program()?;
    let started = dir.start_supervisor(&own).map_err(|err| unusable(dir.path(), &err));
    let healthy = started.and_then(|()| await_health(&plan, &dir, &waiting, session));
    if let Err(err) = healthy {
        session.note("observatory: stopping what was started");
        dir.stop().map_err(|err| Error::System(err.to_string()))?;
        return Err(err);
    }
    status::table(&plan, &dir, session)
}

/// Fails with every port that is taken.
fn free(wanted: &[(String, std::net::SocketAddr)]) -> Result<(), Error> {
    let conflicts = stack::conflicts(wanted);
    if conflicts.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = conflicts
        .iter()
        .map(|it| {
            format!(
                "{it}; `observatory config set services.{}.port=PORT` chooses another",
                it.service
            )
        })
        .collect();
    Err(Error::System(format!("nothing was started: {}", lines.join("\n"))))
}

fn in_foreground(
    context: &Context,
    plan: &Plan,
    dir: &Dir,
    stop: &AtomicBool,
    session: &mut Session,
) -> Result<(), Error> {
    thread::scope(|scope| {
        let supervisor = scope.spawn(|| {
            let mut log = |_: &str| ();
            stack::supervise(dir, plan, stop, &mut log)
        });
        let waiting = Waiting { stop, first: true, context };
        let healthy = await_health(plan, dir, &waiting, session);
        let told = match &healthy {
            Ok(()) => status::table(plan, dir, session),
            Err(_) => Ok(()),
        };
        let interrupted = stop.load(Ordering::SeqCst);
        if healthy.is_err() || told.is_err() {
            stop.store(true, Ordering::SeqCst);
        }
        let ended = supervisor.join().unwrap_or_else(|_| Err(std::io::Error::other("it panicked")));
        ended.map_err(|err| unusable(dir.path(), &err))?;
        // To be told to end is what one stays for.
        if interrupted { Ok(()) } else { healthy.and(told) }
    })
}

/// How to wait.
struct Waiting<'a> {
    stop: &'a AtomicBool,
    /// Whether it was started now: then one end is enough to give up.
    first: bool,
    context: &'a Context,
}

/// Waits until every service is healthy, and tells how far it is.
fn await_health(
    plan: &Plan,
    dir: &Dir,
    how: &Waiting<'_>,
    session: &mut Session,
) -> Result<(), Error> {
    let started = Instant::now();
    let patience = how.context.loaded.profile.start_timeout;
    let mut healthy = vec![false; plan.services.len()];
    loop {
        let state = dir.state();
        let mut left = Vec::new();
        for (service, healthy) in plan.services.iter().zip(&mut healthy) {
            let said = state.as_ref().and_then(|it| it.services.get(&service.name));
            if let Some(why) = said.and_then(|it| failed(it, how.first)) {
                return Err(not_up(&service.name, &why, dir));
            }
            let runs = said.is_some_and(|it| it.phase == Phase::Running);
            let answer = if runs {
                stack::healthy(service.address, &service.health_path, PROBE)
            } else {
                Err("is not started yet".to_owned())
            };
            match answer {
                Ok(()) if !*healthy => {
                    *healthy = true;
                    let seconds = started.elapsed().as_secs_f64();
                    session.note(&format!("{} is healthy ({seconds:.1} s)", service.name));
                }
                Ok(()) => {}
                Err(why) => {
                    *healthy = false;
                    left.push((service.name.as_str(), why));
                }
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        if how.stop.load(Ordering::SeqCst) {
            return Err(Error::Refused("interrupted".to_owned()));
        }
        let elapsed = started.elapsed();
        if elapsed > Duration::from_secs(5) && dir.supervisor().is_none() {
            return Err(not_up("supervisor", "it is gone", dir));
        }
        if elapsed > patience {
            let (name, why) = left.first().cloned().unwrap_or_default();
            let why = format!("{why} after {} s (stack.start_timeout)", patience.as_secs());
            return Err(not_up(name, &why, dir));
        }
        if session.is_watched() {
            let names: Vec<_> = left.iter().map(|it| it.0).collect();
            session.progress(&format!(
                "waiting for {} ({} s)",
                names.join(", "),
                elapsed.as_secs()
            ));
        }
        thread::sleep(PAUSE);
    }
}

fn failed(it: &ServiceState, first: bool) -> Option<String> {
    let ended = it.ended.as_deref().unwrap_or("nobody knows how");
    match it.phase {
        Phase::CrashLoop => Some(format!("ends again and again: {ended}")),
        _ if first && it.ended.is_some() => Some(format!("ended: {ended}")),
        _ => None,
    }
}

fn not_up(name: &str, why: &str, dir: &Dir) -> Error {
    let log = dir.tail(name, LOG_LINES).map(|it| it.0).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let log: Vec<_> = log.lines().map(|it| format!("  {it}")).collect();
    let end = if log.is_empty() {
        String::new()
    } else {
        format!("\nthe end of {}:\n{}", dir.log(name).display(), log.join("\n"))
    };
    Error::Unavailable(format!("{name} {why}{end}"))
}

fn containers(context: &Context, compose: &Compose, session: &mut Session) -> Result<(), Error> {
    let mut random = |bytes: usize| {
        let mut buffer = vec![0_u8; bytes];
        getrandom::fill(&mut buffer).map_err(|err| std::io::Error::other(err.to_string()))?;
        Ok(buffer.iter().map(|it| format!("{it:02x}")).collect::<String>())
    };
    let config = context.file.as_ref().map_or("{}\n", |it| it.1.as_str());
    let written = compose.write(config, session.environment(), &mut random);
    written.map_err(|err| unusable(compose.dir(), &err))?;
    let seconds = context.loaded.profile.start_timeout.as_secs();
    let code = relay::relay(compose.up(seconds), session)?;
    if code != 0 {
        session.note("observatory: not every service is healthy: stopping what was started");
        let code = relay::relay(compose.down(false), session)?;
        let left = if code == 0 { "" } else { ", and could not be stopped" };
        return Err(Error::Unavailable(format!("the containers did not become healthy{left}")));
    }
    session.print(&format!("the containers of {} are healthy", context.loaded.profile.project))
}
