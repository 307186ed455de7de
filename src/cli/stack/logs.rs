//! `observatory logs`.

use super::super::{Error, Session};
use super::{Context, Place, relay, remote, unusable};
use crate::stack::{Dir, ServiceName};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    thread,
    time::Duration,
};

/// Show the logs of the services.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a service, those of all, each line with the name of its service. `supervisor` is who starts and stops them.

Examples:
  observatory logs
  observatory logs --tail 20 prometheus
  observatory logs -f observatory
  observatory logs --environment remote --host vonnegut alertmanager")]
pub(in super::super) struct Args {
    /// Service: observatory, prometheus, alertmanager, grafana or supervisor
    service: Option<String>,
    /// Go on with what comes, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Begin with so many of the last lines of each service
    #[arg(long, value_name = "N", default_value = "100")]
    tail: usize,
    #[command(flatten)]
    stack: super::Args,
}

const PAUSE: Duration = Duration::from_millis(200);
const SUPERVISOR: &str = "supervisor";

/// Shows them.
pub(in super::super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    if let Some(name) = args.service.as_deref() {
        let known: Vec<_> =
            ServiceName::ALL.iter().map(|it| it.as_str()).chain([SUPERVISOR]).collect();
        if !known.contains(&name) {
            let known = known.join(", ");
            return Err(Error::Usage(format!("there is no service `{name}`; there are {known}")));
        }
    }
    let context = args.stack.load(session)?;
    match context.place()? {
        Place::Remote(ssh) => {
            let lines = args.tail.to_string();
            let mut verb = vec!["logs", "--tail", &lines];
            verb.extend(args.follow.then_some("--follow"));
            verb.extend(args.service.as_deref());
            remote::run(&context, &ssh, &verb, session)
        }
        Place::Compose(compose) => {
            let service = args.service.as_deref();
            let code = relay::relay(compose.logs(service, args.tail, args.follow), session)?;
            if code == 0 { Ok(()) } else { Err(Error::System(String::new())) }
        }
        Place::Processes => processes(&context, args, session),
    }
}

fn processes(context: &Context, args: &Args, session: &mut Session) -> Result<(), Error> {
    let dir = context.dir();
    let names: Vec<&str> = match args.service.as_deref() {
        Some(it) => vec![it],
        None => ServiceName::ALL.iter().map(|it| it.as_str()).chain([SUPERVISOR]).collect(),
    };
    if !names.iter().any(|it| dir.log(it).is_file()) && !args.follow {
        let path = dir.path().join("logs");
        return Err(Error::NotRunning(format!("there are no logs in {}", path.display())));
    }
    let mut followed = Vec::new();
    for name in names {
        let (bytes, end) = dir.tail(name, args.tail).map_err(|err| unusable(dir.path(), &err))?;
        let mut it = Followed {
            name: name.to_owned(),
            named: args.service.is_none(),
            at: end,
            rest: Vec::new(),
        };
        it.show(&bytes, session)?;
        followed.push(it);
    }
    if !args.follow {
        return followed.iter_mut().try_for_each(|it| it.finish(session));
    }
    loop {
        for it in &mut followed {
            let bytes = it.read(&dir);
            it.show(&bytes, session)?;
        }
        thread::sleep(PAUSE);
    }
}

/// A log that is followed.
struct Followed {
    name: String,
    /// Whether each line has the name before it.
    named: bool,
    at: u64,
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
}

impl Followed {
    /// What came since. A log that was cut, or cannot be read now, begins anew.
    fn read(&mut self, dir: &Dir) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = File::open(dir.log(&self.name)).and_then(|mut file| {
            if file.metadata()?.len() < self.at {
                self.at = 0;
            }
            file.seek(SeekFrom::Start(self.at))?;
            file.take(1 << 20).read_to_end(&mut bytes)
        });
        self.at += read.unwrap_or(0) as u64;
        bytes
    }

    fn show(&mut self, bytes: &[u8], session: &mut Session) -> Result<(), Error> {
        self.rest.extend_from_slice(bytes);
        let Some(end) = memchr::memrchr(b'\n', &self.rest) else { return Ok(()) };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        if !self.named {
            return session.write(&whole);
        }
        let mut text = Vec::new();
        for line in whole.split_inclusive(|it| *it == b'\n') {
            text.extend_from_slice(format!("{:<12} | ", self.name).as_bytes());
            text.extend_from_slice(line);
        }
        session.write(&text)
    }

    fn finish(&mut self, session: &mut Session) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { self.show(b"\n", session) }
    }
}
