//! The action for GitHub and the examples for GitLab and Jenkins: schemas hold them, and their scripts run, with what
//! the CI system would set, against a server, a dead port and a server that refuses.

use super::{file, fits, found, root, yaml};
use crate::support::{Server, Settings, program};
use serde_json::{Value, json};
use std::{
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

const ACTION: &str = ".github/actions/observatory/action.yml";
const GITHUB: &[(&str, &str)] = &[
    ("GITHUB_ACTIONS", "true"),
    ("GITHUB_REPOSITORY", "octo/web"),
    ("GITHUB_HEAD_REF", ""),
    ("GITHUB_REF_NAME", "main"),
    ("GITHUB_SHA", "0123456789012345678901234567890123456789"),
    ("GITHUB_RUN_ID", "4711"),
    ("GITHUB_RUN_ATTEMPT", "2"),
    ("GITHUB_WORKFLOW", "build \"and\" test"),
    ("GITHUB_JOB", "test"),
    ("GITHUB_EVENT_NAME", "push"),
    ("GITHUB_SERVER_URL", "https://github.com"),
];

#[test]
fn everything_fits_its_schema() {
    fits("github-actions", &[ACTION]);
    fits("github-workflows", &[".github/workflows/ci.yml", "deploy/ci/github.yml"]);
    fits("gitlab-ci", &["deploy/ci/gitlab.yml"]);
}

/// The one step of the action, run as the runner does: the inputs in the variables that `action.yml` names.
fn step(temp: &Path, inputs: &[(&str, &str)]) -> Option<Output> {
    let action = yaml(ACTION)?.remove(0);
    let step = &action["runs"]["steps"][0];
    let mut command = Command::new("bash");
    // As `shell: bash` is run.
    command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"].as_str().unwrap()]);
    command.env_clear().env("PATH", path()).env("RUNNER_TEMP", temp);
    command.env("GITHUB_ACTION_PATH", root().join(".github/actions/observatory"));
    command.envs(GITHUB.iter().copied());
    for (name, expression) in step["env"].as_object().unwrap() {
        let input = found(r"^\$\{\{ inputs\.(\w+) \}\}$", expression.as_str().unwrap());
        let input = input.first().unwrap();
        let given = inputs.iter().find(|it| it.0 == input).map(|it| it.1.to_owned());
        let default = &action["inputs"][input]["default"];
        // What the runner would put there.
        let default = default.as_str().unwrap_or_default().replace("${{ job.status }}", "success");
        command.env(name, given.unwrap_or(default));
    }
    Some(command.output().unwrap())
}

#[expect(clippy::disallowed_methods, reason = "a child with an environment of its own needs it")]
fn path() -> String {
    std::env::var("PATH").unwrap()
}

/// Says what was printed; the job must never fail.
#[track_caller]
fn harmless(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    said
}

fn events(server: &Server, token: &str) -> Vec<Value> {
    let mut client = server.client().with_header("authorization", &format!("Bearer {token}"));
    let page = client.get("/api/v1/events?order=asc").expect(200).json();
    page["events"].as_array().unwrap().clone()
}

#[test]
fn the_action_tells_the_start_and_the_end() {
    let server = Server::start_with(Settings::new().token("0123456789\"abc\\def"));
    let temp = tempfile::tempdir().unwrap();
    let url = format!("http://{}/", server.addr);
    let always = [("url", url.as_str()), ("token", "0123456789\"abc\\def")];
    let given = "runner=Linux\nn:=3\nweird=a \"b\" \\c\t=d\n";
    let with = |more: &[(&'static str, &'static str)]| [&always[..], more].concat();
    let Some(output) = step(temp.path(), &with(&[("phase", "started"), ("data", given)])) else {
        return;
    };
    assert!(harmless(&output).contains("sent ci_build_started"), "{output:?}");
    std::thread::sleep(Duration::from_millis(1100));
    let completed = [("phase", "completed"), ("status", "failure"), ("data", given)];
    assert!(
        harmless(&step(temp.path(), &with(&completed)).unwrap())
            .contains("sent ci_build_completed")
    );

    let events = events(&server, "0123456789\"abc\\def");
    let types: Vec<_> = events.iter().map(|it| it["event_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["ci_build_started", "ci_build_completed"]);
    let (start, end) = (&events[0]["data"], &events[1]["data"]);
    for data in [start, end] {
        assert_eq!(data["repository"], "octo/web");
        assert_eq!(data["branch"], "main");
        assert_eq!(data["workflow"], "build \"and\" test");
        assert_eq!(data["run_attempt"], "2");
        assert_eq!(data["run_url"], "https://github.com/octo/web/actions/runs/4711");
        assert_eq!((&data["n"], &data["weird"]), (&json!(3), &json!("a \"b\" \\c\t=d")));
    }
    assert_eq!(start["build_id"], end["build_id"], "the two belong together");
    assert!(start.get("status").is_none() && start.get("duration_seconds").is_none(), "{start}");
    assert_eq!(end["status"], "failure");
    assert!((1..60).contains(&end["duration_seconds"].as_u64().unwrap()), "{end}");
    let counted = r#"ci_builds_total{project="octo/web",branch="main",result="failure"}"#;
    server.wait_for(counted, 1.0);
}

/// Each job of a matrix is a build of its own, although all have one name.
#[test]
fn two_jobs_of_a_matrix_are_two() {
    let server = Server::start_with(Settings::new().token("0123456789abcdef"));
    let url = format!("http://{}", server.addr);
    for _ in 0..2 {
        let temp = tempfile::tempdir().unwrap();
        let inputs = [
            ("url", url.as_str()),
            ("token", "0123456789abcdef"),
            ("phase", "started"),
            ("type", "deployment"),
            ("name", "api"),
        ];
        let Some(output) = step(temp.path(), &inputs) else { return };
        harmless(&output);
    }
    let events = events(&server, "0123456789abcdef");
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["data"]["project"], "api");
    assert_ne!(events[0]["data"]["deployment_id"], events[1]["data"]["deployment_id"]);
}

#[test]
fn nothing_that_goes_wrong_fails_the_build() {
    let server = Server::start_with(Settings::new().token("0123456789abcdef"));
    let url = format!("http://{}", server.addr);
    let temp = tempfile::tempdir().unwrap();
    let run = |inputs: &[(&str, &str)]| Some(harmless(&step(temp.path(), inputs)?));
    let Some(said) = run(&[("url", &url), ("token", "not-the-right-one"), ("phase", "completed")])
    else {
        return;
    };
    assert!(
        said.starts_with("::warning title=Observatory::the server refuses the token (401)"),
        "{said}"
    );
    assert!(!said.contains("not-the-right-one"), "{said}");
    let said = run(&[("url", "http://127.0.0.1:1"), ("phase", "completed")]).unwrap();
    assert!(
        said.starts_with("::warning title=Observatory::no answer from http://127.0.0.1:1/"),
        "{said}"
    );
    let said = run(&[("url", ""), ("phase", "started")]).unwrap();
    assert_eq!(said, "no url: nothing is sent\n");
    let said = run(&[("url", &url), ("phase", "begun")]).unwrap();
    assert!(
        said.contains(
            "::warning title=Observatory::phase: expected started or completed, found begun"
        ),
        "{said}"
    );
    let said = run(&[
        ("url", &url),
        ("token", "0123456789abcdef"),
        ("phase", "started"),
        ("data", "n:={"),
    ])
    .unwrap();
    assert!(said.starts_with("::warning title=Observatory::the server answered 400"), "{said}");
    assert_eq!(said.lines().count(), 1, "a warning is a line: {said}");
    let said = run(&[
        ("url", "http://127.0.0.1:1"),
        ("phase", "started"),
        ("data", "nonsense"),
        ("timeout", "x"),
    ])
    .unwrap();
    assert!(said.contains("data: expected key=text or key:=JSON, found nonsense"), "{said}");
}

/// A server that takes the connection and says nothing holds the job up for the time-out, and no longer.
#[test]
fn a_server_that_hangs_is_not_waited_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let temp = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let inputs = [("url", url.as_str()), ("phase", "started"), ("timeout", "1")];
    let Some(output) = step(temp.path(), &inputs) else { return };
    assert!(harmless(&output).contains("::warning title=Observatory::no answer"), "{output:?}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

/// The lines of a list of scripts, as GitLab joins them.
fn lines(value: &Value) -> String {
    value.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned() + "\n").collect()
}

fn gitlab(url: &str, script: &Value, status: &str) -> Output {
    let mut command = Command::new("bash");
    command.args(["-eo", "pipefail", "-c", &lines(script)]).env_clear().env("PATH", path());
    command.env("OBSERVATORY_URL", url).env("OBSERVATORY_TOKEN", "0123456789abcdef");
    command.envs([
        ("GITLAB_CI", "true"),
        ("CI_JOB_ID", "77"),
        ("CI_PROJECT_PATH", "group/web"),
        ("CI_COMMIT_REF_NAME", "main"),
        ("CI_COMMIT_SHA", "abc"),
        ("CI_PIPELINE_ID", "12"),
        ("CI_JOB_NAME", "test 1/2"),
        ("CI_JOB_STARTED_AT", "2026-01-05T10:00:00Z"),
        ("CI_JOB_STATUS", status),
    ]);
    command.output().unwrap()
}

#[test]
fn jobs_of_gitlab_tell_the_start_and_the_end() {
    let Some(mut files) = yaml("deploy/ci/gitlab.yml") else { return };
    let job = &files.remove(0)[".observatory"];
    let server = Server::start_with(Settings::new().token("0123456789abcdef"));
    let url = format!("http://{}", server.addr);
    assert!(gitlab(&url, &job["before_script"], "running").status.success());
    let output = gitlab(&url, &job["after_script"], "failed");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let events = events(&server, "0123456789abcdef");
    assert_eq!(events[0]["event_type"], "ci_build_started");
    assert_eq!(events[1]["event_type"], "ci_build_completed");
    assert_eq!(events[1]["data"]["build_id"], events[0]["data"]["build_id"]);
    assert_eq!(events[1]["data"]["status"], "failed");
    assert!(events[1]["data"]["duration_seconds"].as_u64().unwrap() > 1000);
    server.wait_for(r#"ci_builds_total{project="group/web",branch="main",result="failure"}"#, 1.0);
    // A server that is away fails nothing.
    let output = gitlab("http://127.0.0.1:1", &job["before_script"], "running");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("Observatory was not told"), "{output:?}");
}

/// There is no Jenkins here: its steps are run as the shell of an agent runs them.
#[test]
fn steps_of_jenkins_run() {
    let Some(bash) = program("bash") else { return };
    let steps = found("(?m)sh '([^']+)'", &file("deploy/ci/Jenkinsfile"));
    assert_eq!(steps.len(), 2, "{steps:?}");
    let server = Server::start_with(Settings::new().token("0123456789abcdef"));
    let dir = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_observatory")).parent().unwrap();
    std::fs::write(dir.path().join("deploy.sh"), "#!/bin/sh\nexit 3\n").unwrap();
    std::fs::write(dir.path().join("Makefile"), "test:\n\ttrue\n").unwrap();
    said_ok(&Command::new("chmod").arg("755").arg(dir.path().join("deploy.sh")).output().unwrap());
    for step in &steps {
        let mut command = Command::new(&bash);
        command.args(["-xec", step]).current_dir(dir.path()).env_clear();
        command.env("PATH", format!("{}:{}", binary.display(), path()));
        command.env("OBSERVATORY_URL", format!("http://{}", server.addr));
        command.env("OBSERVATORY_TOKEN", "0123456789abcdef").env("HOME", dir.path());
        command
            .env("JENKINS_URL", "http://jenkins")
            .env("JOB_NAME", "web")
            .env("GIT_COMMIT", "abc");
        let expected = if step.contains("deploy.sh") { 3 } else { 0 };
        assert_eq!(command.output().unwrap().status.code(), Some(expected), "{step}");
    }
    let events = events(&server, "0123456789abcdef");
    assert_eq!(events.len(), 4, "{events:#?}");
    let deployed = events.iter().find(|it| it["event_type"] == "deployment_completed").unwrap();
    assert_eq!(deployed["data"]["version"], "abc");
    assert_eq!(deployed["data"]["status"], "failure");
    assert_eq!(deployed["source"], "jenkins");
}

#[track_caller]
fn said_ok(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}
