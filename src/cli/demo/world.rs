//! A small software company, as its events show it: four projects that are built, tested and deployed, and
//! five agents that work for one another. Failures come in streaks, as a broken main branch does; coverage
//! and quality drift; what was built is deployed, first to staging.
//!
//! Deterministic: the same seed tells the same story. The world has a time of its own, which only orders
//! events; how fast they are sent is the sender's affair.

use super::random::Random;
use serde_json::{Map, Value, json};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Happening {
    pub(super) event_type: &'static str,
    pub(super) source: &'static str,
    pub(super) data: Map<String, Value>,
    /// How long ago the deployed commit was made.
    pub(super) commit_age: Option<Duration>,
}

/// The company.
#[derive(Debug)]
pub(super) struct World {
    random: Random,
    projects: Vec<Project>,
    plans: BinaryHeap<Reverse<(u64, u64, Plan)>>,
    ready: VecDeque<Happening>,
    planned: u64,
    builds: u64,
    deployments: u64,
    requests: u64,
}

#[derive(Debug)]
struct Project {
    name: &'static str,
    typical_seconds: f64,
    tests: u64,
    coverage: f64,
    quality: f64,
    /// Builds of the main branch that still fail until someone repairs it.
    broken: u64,
    minor: u64,
    patch: u64,
}

/// What will happen. The numbers are indices or ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Plan {
    Push { project: usize },
    BuildEnd { project: usize, build: u64, branch: String, millis: u64, fails: bool },
    Deploy(Release),
    DeployEnd { release: Release, id: u64, fails: bool },
    Register { agent: usize },
    Request { agent: usize },
    RequestEnd { agent: usize, request: u64, millis: u64 },
}

/// A version on its way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Release {
    project: usize,
    version: String,
    production: bool,
    age_seconds: u64,
}

const AGENTS: [(&str, &str); 5] = [
    ("planner-1", "planner"),
    ("coder-1", "coder"),
    ("coder-2", "coder"),
    ("reviewer-1", "reviewer"),
    ("tester-1", "tester"),
];
const TOPICS: [&str; 6] = ["login", "search", "export", "cache", "invoices", "dark-mode"];
const ERRORS: [&str; 4] = ["timeout", "rate_limited", "tool_failed", "context_too_long"];
const GATES: [&str; 3] = ["coverage", "security", "complexity"];

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let project = |name, typical_seconds, tests, coverage, quality| Project {
            name,
            typical_seconds,
            tests,
            coverage,
            quality,
            broken: 0,
            minor: 4,
            patch: 0,
        };
        let projects = vec![
            project("web", 95.0, 840, 78.0, 82.0),
            project("api", 160.0, 1310, 86.0, 88.0),
            project("mobile", 420.0, 530, 64.0, 74.0),
            project("billing", 210.0, 960, 91.0, 90.0),
        ];
        let mut world = Self {
            random: Random::new(seed),
            projects,
            plans: BinaryHeap::new(),
            ready: VecDeque::new(),
            planned: 0,
            builds: 1000,
            deployments: 0,
            requests: 0,
        };
        for agent in 0..AGENTS.len() {
            world.plan(0, 0.5, Plan::Register { agent });
            world.plan(0, 5.0, Plan::Request { agent });
        }
        for project in 0..world.projects.len() {
            world.plan(0, 10.0, Plan::Push { project });
        }
        world
    }

    /// What happens next. The story has no end.
    pub(super) fn next(&mut self) -> Option<Happening> {
        while self.ready.is_empty() {
            let Reverse((now, _, plan)) = self.plans.pop()?;
            self.happen(now, plan);
        }
        self.ready.pop_front()
    }

    /// Plans something about `seconds` after `now`, which is in milliseconds.
    fn plan(&mut self, now: u64, seconds: f64, plan: Plan) {
        let after = millis(self.random.around(seconds));
        self.planned += 1;
        self.plans.push(Reverse((now + after, self.planned, plan)));
    }

    fn tell(&mut self, event_type: &'static str, source: &'static str, data: Value) {
        let data = match data {
            Value::Object(it) => it,
            _ => Map::new(),
        };
        self.ready.push_back(Happening { event_type, source, data, commit_age: None });
    }

    fn happen(&mut self, now: u64, plan: Plan) {
        match plan {
            Plan::Push { project } => self.push(now, project),
            Plan::BuildEnd { project, build, branch, millis, fails } => {
                self.build_end(now, project, (build, &branch), (millis, fails));
            }
            Plan::Deploy(release) => self.deploy(now, release),
            Plan::DeployEnd { release, id, fails } => self.deploy_end(now, release, id, fails),
            Plan::Register { agent } => self.register(now, agent),
            Plan::Request { agent } => self.request(now, agent),
            Plan::RequestEnd { agent, request, millis } => {
                self.request_end(now, agent, request, millis);
            }
        }
    }

    /// Someone pushes: a build starts.
    fn push(&mut self, now: u64, index: usize) {
        let roll = self.random.unit();
        let topic = self.random.pick(&TOPICS).copied().unwrap_or("work");
        let Some(project) = self.projects.get_mut(index) else { return };
        let branch = match roll {
            it if it < 0.55 => "main".to_owned(),
            it if it < 0.62 => format!("release/2.{}", project.minor),
            _ => format!("feature/{topic}"),
        };
        let fails = if branch == "main" {
            if project.broken == 0 && self.random.chance(0.06) {
                project.broken = self.random.between(2, 5);
            }
            let broken = project.broken > 0;
            project.broken = project.broken.saturating_sub(1);
            broken || self.random.chance(0.02)
        } else {
            self.random.chance(0.14)
        };
        // What fails, fails early.
        let share = if fails { self.random.range(0.3, 0.9) } else { 1.0 };
        let (name, typical) = (project.name, project.typical_seconds);
        let seconds = self.random.around(typical) * share;
        self.builds += 1;
        let build = self.builds;
        let commit = format!("{:07x}", self.random.between(0, 0xFFF_FFFF));
        self.tell(
            "ci_build_started",
            "ci",
            json!({"project": name, "build_id": build, "branch": branch, "commit_sha": commit}),
        );
        let end = Plan::BuildEnd { project: index, build, branch, millis: millis(seconds), fails };
        self.planned += 1;
        self.plans.push(Reverse((now + millis(seconds), self.planned, end)));
        self.plan(now, 120.0, Plan::Push { project: index });
    }

    /// A build ends: with its tests, and on the main branch with what else is measured there.
    fn build_end(
        &mut self,
        now: u64,
        index: usize,
        (build, branch): (u64, &str),
        (millis, fails): (u64, bool),
    ) {
        let Some(project) = self.projects.get_mut(index) else { return };
        if self.random.chance(0.3) {
            project.tests += self.random.between(0, 3);
        }
        let (name, tests) = (project.name, project.tests);
        // Not every failure is a test: some builds do not compile.
        let compiled = !fails || self.random.chance(0.8);
        if compiled {
            let failed = if fails { self.random.between(1, 9) } else { 0 };
            let skipped = self.random.between(0, 6);
            let duration_seconds = round(seconds(millis) * self.random.range(0.4, 0.7));
            self.tell(
                "ci_tests_completed",
                "ci",
                json!({"project": name, "build_id": build, "branch": branch, "passed": tests - failed - skipped,
                       "failed": failed, "skipped": skipped, "duration_seconds": duration_seconds}),
            );
        }
        let status = if fails { "failure" } else { "success" };
        self.tell(
            "ci_build_completed",
            "ci",
            json!({"project": name, "build_id": build, "branch": branch, "status": status,
                   "duration_seconds": round(seconds(millis))}),
        );
        if branch == "main" && !fails {
            self.measure(index);
            if self.random.chance(0.6) {
                self.release(now, index);
            }
        }
    }

    /// Coverage and quality of the main branch, which drift.
    fn measure(&mut self, index: usize) {
        let Some(project) = self.projects.get_mut(index) else { return };
        project.coverage = (project.coverage + self.random.range(-0.4, 0.45)).clamp(40.0, 98.0);
        project.quality = (project.quality + self.random.range(-0.8, 0.85)).clamp(40.0, 99.0);
        let (name, coverage, score) =
            (project.name, round(project.coverage), round(project.quality));
        self.tell("coverage_updated", "ci", json!({"project": name, "coverage": coverage}));
        let failed: Vec<_> = GATES.iter().filter(|_| self.random.chance(0.05)).copied().collect();
        let status = if failed.is_empty() { "success" } else { "failure" };
        self.tell(
            "quality_check_completed",
            "quality",
            json!({"project": name, "check": "static-analysis", "status": status, "quality_score": score,
                   "gates_passed": GATES.len() - failed.len(), "gates_failed": failed.len()}),
        );
        self.tell("quality_score_updated", "quality", json!({"project": name, "score": score}));
        for gate in GATES {
            let passed = !failed.contains(&gate);
            let event_type = if passed { "quality_gate_passed" } else { "quality_gate_failed" };
            self.tell(event_type, "quality", json!({"project": name, "gate": gate}));
        }
    }

    /// A good build of the main branch gets a version and goes to staging.
    fn release(&mut self, now: u64, index: usize) {
        let Some(project) = self.projects.get_mut(index) else { return };
        project.patch += 1;
        if project.patch > 12 {
            project.minor += 1;
            project.patch = 0;
        }
        let version = format!("2.{}.{}", project.minor, project.patch);
        let age_seconds = self.random.between(900, 4 * 3600);
        let release = Release { project: index, version, production: false, age_seconds };
        self.plan(now, 30.0, Plan::Deploy(release));
    }

    fn deploy(&mut self, now: u64, release: Release) {
        let Some(name) = self.projects.get(release.project).map(|it| it.name) else { return };
        self.deployments += 1;
        let id = self.deployments;
        let Release { version, production, .. } = &release;
        self.tell(
            "deployment_started",
            "cd",
            json!({"service": name, "environment": environment(*production), "version": version,
                   "deployment_id": format!("dep-{id}")}),
        );
        let fails = self.random.chance(if *production { 0.07 } else { 0.1 });
        self.plan(now, 75.0, Plan::DeployEnd { release, id, fails });
    }

    fn deploy_end(&mut self, now: u64, mut release: Release, id: u64, fails: bool) {
        let Some(name) = self.projects.get(release.project).map(|it| it.name) else { return };
        let Release { version, production, .. } = &release;
        let status = if fails { "failure" } else { "success" };
        let duration_seconds = round(self.random.around(75.0));
        self.tell(
            "deployment_completed",
            "cd",
            json!({"service": name, "environment": environment(*production), "version": version,
                   "deployment_id": format!("dep-{id}"), "status": status, "duration_seconds": duration_seconds}),
        );
        if let Some(last) = self.ready.back_mut() {
            last.commit_age = Some(Duration::from_secs(release.age_seconds));
        }
        release.age_seconds += 600;
        if fails {
            // Someone repairs it and tries again.
            self.plan(now, 120.0, Plan::Deploy(release));
        } else if !release.production && self.random.chance(0.7) {
            release.production = true;
            self.plan(now, 90.0, Plan::Deploy(release));
        }
    }

    /// An agent comes online; now and then one is updated.
    fn register(&mut self, now: u64, agent: usize) {
        let Some((name, kind)) = AGENTS.get(agent) else { return };
        let version = format!("1.{}", now / 3_600_000);
        let data = json!({"agent_id": name, "agent_type": kind, "version": version,
                          "capabilities": [kind, "chat"]});
        self.tell("agent_registered", "agents", data);
        self.plan(now, 5400.0, Plan::Register { agent });
    }

    fn request(&mut self, now: u64, agent: usize) {
        let Some((name, kind)) = AGENTS.get(agent) else { return };
        self.requests += 1;
        let request = self.requests;
        let data = json!({"agent_id": name, "request_id": format!("req-{request}"), "task": kind});
        self.tell("agent_request_started", "agents", data);
        let typical = if *kind == "coder" { 14.0 } else { 4.0 };
        let millis = millis(self.random.around(typical));
        self.planned += 1;
        let end = Plan::RequestEnd { agent, request, millis };
        self.plans.push(Reverse((now + millis, self.planned, end)));
    }

    fn request_end(&mut self, now: u64, agent: usize, request: u64, millis: u64) {
        let Some((name, _)) = AGENTS.get(agent) else { return };
        let fails = self.random.chance(0.05);
        if fails {
            let kind = self.random.pick(&ERRORS).copied().unwrap_or("timeout");
            let fatal = self.random.chance(0.1);
            self.tell(
                "agent_error",
                "agents",
                json!({"agent_id": name, "request_id": format!("req-{request}"), "error_type": kind,
                       "fatal": fatal}),
            );
            if fatal {
                self.plan(now, 60.0, Plan::Register { agent });
            }
        }
        let (input, output) = (self.random.between(300, 9000), self.random.between(20, 1800));
        let status = if fails { "failure" } else { "success" };
        self.tell(
            "agent_request_completed",
            "agents",
            json!({"agent_id": name, "request_id": format!("req-{request}"), "status": status,
                   "duration_ms": millis, "input_tokens": input, "output_tokens": output}),
        );
        if self.random.chance(0.35) {
            let others: Vec<_> = AGENTS.iter().map(|it| it.0).filter(|it| it != name).collect();
            if let Some(other) = self.random.pick(&others) {
                let data = json!({"from_agent": name, "to_agent": other, "kind": "handover"});
                self.tell("agent_collaboration", "agents", data);
            }
        }
        self.plan(now, 38.0, Plan::Request { agent });
    }
}

fn environment(production: bool) -> &'static str {
    if production { "production" } else { "staging" }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "durations here are positive and short"
)]
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

#[expect(clippy::cast_precision_loss, reason = "durations here are short")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

/// To one decimal: nobody measures more.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn story(seed: u64, len: usize) -> Vec<Happening> {
        let mut world = World::new(seed);
        (0..len).map(|_| world.next().unwrap()).collect()
    }

    fn text(it: &Happening, key: &str) -> String {
        it.data.get(key).map_or_else(String::new, |it| it.to_string().replace('"', ""))
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        assert_eq!(story(7, 2000), story(7, 2000));
        assert_ne!(story(7, 200), story(8, 200));
    }

    #[test]
    fn every_event_type_appears_early() {
        let types: BTreeSet<_> = story(1, 1500).iter().map(|it| it.event_type).collect();
        let expected = [
            "agent_collaboration",
            "agent_error",
            "agent_registered",
            "agent_request_completed",
            "agent_request_started",
            "ci_build_completed",
            "ci_build_started",
            "ci_tests_completed",
            "coverage_updated",
            "deployment_completed",
            "deployment_started",
            "quality_check_completed",
            "quality_gate_failed",
            "quality_gate_passed",
            "quality_score_updated",
        ];
        assert_eq!(types.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_kind_of_event_drowns_the_others() {
        let story = story(2, 5000);
        for (source, least) in [("ci", 0.15), ("agents", 0.2), ("cd", 0.03), ("quality", 0.1)] {
            let share = story.iter().filter(|it| it.source == source).count() as f64 / 5000.0;
            assert!(share > least && share < 0.6, "{source} {share}");
        }
    }

    /// What ends was started before, once, and little is in work at once.
    #[track_caller]
    fn check_pairs(start: &str, end: &str, key: &str) {
        let mut open = BTreeSet::new();
        let mut most = 0;
        for it in story(3, 5000) {
            if it.event_type == start {
                assert!(open.insert(text(&it, key)), "{it:?} started twice");
                most = most.max(open.len());
            } else if it.event_type == end {
                assert!(open.remove(&text(&it, key)), "{it:?} was not started");
            }
        }
        assert!((1..40).contains(&most), "{most} of {start} at once");
    }

    #[test]
    fn what_ends_was_started() {
        check_pairs("ci_build_started", "ci_build_completed", "build_id");
        check_pairs("deployment_started", "deployment_completed", "deployment_id");
        check_pairs("agent_request_started", "agent_request_completed", "request_id");
    }

    #[test]
    fn failures_come_in_streaks() {
        let mut last: BTreeMap<String, bool> = BTreeMap::new();
        let (mut builds, mut failures, mut after, mut again) = (0.0, 0.0, 0.0, 0.0);
        for it in story(4, 60_000).iter().filter(|it| it.event_type == "ci_build_completed") {
            if text(it, "branch") != "main" {
                continue;
            }
            let failed = text(it, "status") == "failure";
            builds += 1.0;
            failures += f64::from(u8::from(failed));
            if last.insert(text(it, "project"), failed) == Some(true) {
                after += 1.0;
                again += f64::from(u8::from(failed));
            }
        }
        let rate = failures / builds;
        assert!((0.05..0.35).contains(&rate), "{rate}");
        assert!(again / after > 2.0 * rate, "{} after a failure, {rate} in all", again / after);
    }

    #[test]
    fn figures_are_plausible_and_drift() {
        let mut last: BTreeMap<String, f64> = BTreeMap::new();
        for it in story(5, 20_000) {
            let number = |key: &str| it.data.get(key).and_then(Value::as_f64);
            if let Some(seconds) = number("duration_seconds") {
                assert!(seconds > 0.0 && seconds < 20_000.0, "{it:?}");
            }
            if let Some(coverage) = number("coverage") {
                assert!((40.0..=98.0).contains(&coverage), "{it:?}");
                if let Some(before) = last.insert(text(&it, "project"), coverage) {
                    assert!((coverage - before).abs() <= 0.6, "{it:?} after {before}");
                }
            }
        }
        assert_eq!(last.len(), 4);
    }

    #[test]
    fn production_gets_only_what_was_on_staging() {
        let mut staged = BTreeSet::new();
        let mut deployed = 0;
        for it in story(6, 20_000).iter().filter(|it| it.event_type.starts_with("deployment")) {
            let what = (text(it, "service"), text(it, "version"));
            let ended = it.event_type == "deployment_completed";
            assert_eq!(it.commit_age.is_some(), ended);
            if text(it, "environment") == "production" {
                assert!(staged.contains(&what), "{it:?}");
                deployed += 1;
            } else if ended && text(it, "status") == "success" {
                staged.insert(what);
            }
        }
        assert!(deployed > 20, "{deployed}");
    }
}
