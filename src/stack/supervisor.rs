//! Runs the services of a plan, starts again what ends, and ends all of them when it is told to.

use super::local::{Dir, GRACE, wait};
use super::plan::{Plan, Service};
use super::processes::{Identity, MARK};
use super::state::{Phase, ServiceState, State};
use rustix::process::Signal;
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

const TICK: Duration = Duration::from_millis(50);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// So many ends within so long are a crash loop; whoever ran for longer begins anew.
const LOOP_ENDS: usize = 4;
const LOOP_TIME: Duration = Duration::from_secs(60);
/// How often logs are looked at.
const LOG_CHECK: Duration = Duration::from_secs(10);

/// Runs the plan in `dir` until `stop` is set, and returns when everything has ended. `said` is told what happens.
///
/// # Errors
///
/// Somebody supervises this stack already, or the directory cannot be used.
pub fn supervise(
    dir: &Dir,
    plan: &Plan,
    stop: &AtomicBool,
    said: &mut dyn FnMut(&str),
) -> io::Result<()> {
    let Some(lock) = dir.supervise()? else {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "this stack has a supervisor"));
    };
    let Some(own) = Identity::own() else { return Err(io::Error::other("/proc cannot be read")) };
    let mut runners: Vec<Runner<'_>> = plan.services.iter().map(Runner::new).collect();
    let mut shown = None;
    let mut logs = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        for it in &mut runners {
            it.tick(dir, Instant::now(), said);
        }
        let services = runners.iter().map(|it| (it.service.name.clone(), it.state())).collect();
        let state = State { supervisor: own, fingerprint: plan.fingerprint.clone(), services };
        if shown.as_ref() != Some(&state) {
            match dir.write_state(&state) {
                Ok(()) => shown = Some(state),
                Err(err) => said(&format!("cannot write the state: {err}")),
            }
        }
        if logs.elapsed() > LOG_CHECK {
            logs = Instant::now();
            plan.services.iter().for_each(|it| dir.rotate(&it.name));
        }
        thread::sleep(TICK);
    }
    said("stopping");
    // Whoever depends on others was started last.
    for it in runners.iter_mut().rev() {
        it.stop(said);
    }
    dir.remove_state();
    drop(lock);
    Ok(())
}

/// A service and its process.
struct Runner<'a> {
    service: &'a Service,
    child: Option<Child>,
    started: Instant,
    /// When it is started again.
    due: Instant,
    pause: Duration,
    ends: VecDeque<Instant>,
    restarts: u32,
    ended: Option<String>,
    begun: bool,
}

impl<'a> Runner<'a> {
    fn new(service: &'a Service) -> Self {
        let now = Instant::now();
        Self {
            service,
            child: None,
            started: now,
            due: now,
            pause: FIRST_PAUSE,
            ends: VecDeque::new(),
            restarts: 0,
            ended: None,
            begun: false,
        }
    }

    fn tick(&mut self, dir: &Dir, now: Instant, said: &mut dyn FnMut(&str)) {
        let name = &self.service.name;
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => {
                let how = ending(status);
                said(&format!("{name} ended: {how}"));
                self.child = None;
                self.note_end(how, now);
            }
            // It runs, or nobody can say.
            Some(_) => {}
            None if now >= self.due => self.start(dir, now, said),
            None => {}
        }
    }

    fn start(&mut self, dir: &Dir, now: Instant, said: &mut dyn FnMut(&str)) {
        if self.begun {
            self.restarts = self.restarts.saturating_add(1);
        }
        self.begun = true;
        self.started = now;
        match spawn(dir, self.service) {
            Ok(child) => {
                said(&format!("{} runs as process {}", self.service.name, child.id()));
                self.child = Some(child);
            }
            Err(err) => {
                let how = format!("cannot start {}: {err}", self.service.program.display());
                said(&how);
                self.note_end(how, now);
            }
        }
    }

    fn note_end(&mut self, how: String, now: Instant) {
        self.ended = Some(how);
        if now.duration_since(self.started) > LOOP_TIME {
            self.pause = FIRST_PAUSE;
        }
        self.due = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.ends.push_back(now);
        if self.ends.len() > LOOP_ENDS {
            self.ends.pop_front();
        }
    }

    /// Whether it ended often within a short time, and has not run well since.
    fn loops(&self, now: Instant) -> bool {
        let often = self.ends.len() == LOOP_ENDS
            && self
                .ends
                .front()
                .zip(self.ends.back())
                .is_some_and(|(a, b)| *b - *a <= LOOP_TIME * 2);
        often && (self.child.is_none() || now.duration_since(self.started) < FIRST_PAUSE * 2)
    }

    fn state(&self) -> ServiceState {
        let process = self.child.as_ref().and_then(|it| Identity::of(it.id().try_into().ok()?));
        let phase = match process {
            _ if self.loops(Instant::now()) => Phase::CrashLoop,
            Some(_) => Phase::Running,
            None => Phase::Waiting,
        };
        ServiceState { phase, process, restarts: self.restarts, ended: self.ended.clone() }
    }

    fn stop(&mut self, said: &mut dyn FnMut(&str)) {
        let Some(child) = &mut self.child else { return };
        // It is our child: its number is its own until it was waited for.
        let identity = child.id().try_into().ok().and_then(Identity::of);
        if let Some(it) = identity {
            it.signal(Signal::TERM);
        }
        if !wait(GRACE, || !matches!(child.try_wait(), Ok(None))) {
            said(&format!("{} does not end, and is killed", self.service.name));
            // It may have ended in this moment.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.child = None;
    }
}

fn spawn(dir: &Dir, service: &Service) -> io::Result<Child> {
    let log = dir.open_log(&service.name)?;
    let mut command = Command::new(&service.program);
    command.args(&service.arguments);
    let (gone, set): (BTreeMap<_, _>, BTreeMap<_, _>) =
        service.environment.iter().partition(|it| it.1.is_empty());
    command.envs(set).env(MARK, dir.path());
    gone.keys().for_each(|it| {
        command.env_remove(it);
    });
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // A Ctrl-C of the terminal is for the supervisor, which ends them in order.
    command.process_group(0).spawn()
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "nobody knows how".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn service(program: &str, arguments: &[&str]) -> Service {
        let address = ([127, 0, 0, 1], 1).into();
        Service {
            name: "a".to_owned(),
            program: PathBuf::from(program),
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
            environment: BTreeMap::from([("GONE".to_owned(), String::new())]),
            listen: address,
            address,
            health_path: "/".to_owned(),
        }
    }

    #[test]
    fn what_ends_is_started_again_with_longer_and_longer_pauses() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::new(temp.path());
        dir.create().unwrap();
        let service = service("/bin/false", &[]);
        let mut runner = Runner::new(&service);
        let mut now = runner.due;
        let mut pauses = Vec::new();
        while pauses.len() < 9 {
            runner.tick(&dir, now, &mut |_| ());
            if let Some(child) = &mut runner.child {
                child.wait().unwrap();
                runner.tick(&dir, now, &mut |_| ());
                pauses.push((runner.due - now).as_secs_f64());
                now = runner.due;
            }
        }
        assert_eq!(pauses, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(runner.restarts, 8);
        let state = runner.state();
        assert_eq!((state.phase, state.ended.as_deref()), (Phase::CrashLoop, Some("exit code 1")));
    }

    #[test]
    fn a_program_that_cannot_be_started_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::new(temp.path());
        dir.create().unwrap();
        let service = service("/does/not/exist", &[]);
        let mut runner = Runner::new(&service);
        let mut all = Vec::new();
        runner.tick(&dir, Instant::now(), &mut |it| all.push(it.to_owned()));
        assert!(all[0].starts_with("cannot start /does/not/exist: "), "{all:?}");
        assert_eq!(runner.state().phase, Phase::Waiting);
    }

    #[test]
    fn everything_ends_with_the_supervisor() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::new(temp.path());
        dir.create().unwrap();
        let plan = Plan {
            dir: temp.path().to_owned(),
            services: vec![service("/bin/sh", &["-c", "echo up; exec sleep 600"])],
            fingerprint: "f".to_owned(),
            notes: Vec::new(),
            files: BTreeMap::new(),
        };
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let running = scope.spawn(|| supervise(&dir, &plan, &stop, &mut |_| ()));
            let up = || dir.tail("a", 1).is_ok_and(|it| it.0 == b"up\n");
            assert!(wait(Duration::from_secs(10), || up() && dir.state().is_some()));
            let state = dir.state().unwrap();
            let process = state.services["a"].process.unwrap();
            assert!(process.runs() && state.fingerprint == "f");
            assert!(supervise(&dir, &plan, &stop, &mut |_| ()).is_err(), "there is one already");
            stop.store(true, Ordering::SeqCst);
            running.join().unwrap().unwrap();
            assert!(!process.runs());
            assert_eq!(dir.state(), None);
        });
    }
}
