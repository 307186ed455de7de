//! What the events of a run tell. How a command is run is tested with the real program.

use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(words: &[&str]) -> Args {
    Line::try_parse_from(["run"].iter().chain(words)).unwrap().args
}

/// The two events of `run WORDS`, which ended with `code` after a second and a half.
fn story(words: &[&str], environment: &[(&str, &str)], code: u8) -> [Value; 2] {
    let session = Session::recorded(environment, "").0;
    let story = Story::new(&args(words), &session).unwrap();
    let ending = Ending { code, signal: (code > 128).then(|| "SIGTERM".to_owned()) };
    let completed = story.completed(&ending, Duration::from_micros(1_500_400), &session);
    [story.started(&session), completed].map(|it| serde_json::from_str(&it).unwrap())
}

#[test]
fn the_command_begins_where_the_flags_end() {
    let command = |words: &[&str]| {
        let words = args(words).command;
        words.iter().map(|it| it.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(command(&["--name", "x", "--", "make", "--name", "y"]), ["make", "--name", "y"]);
    assert_eq!(command(&["make", "-j4", "--", "all"]), ["make", "-j4", "--", "all"]);
    assert!(Line::try_parse_from(["run", "--name", "x"]).is_err());
}

#[test]
fn both_events_say_what_was_run() {
    let [started, completed] = story(&["--name", "web", "--", "/usr/bin/make", "-s", "x"], &[], 0);
    assert_eq!(started["event_type"], "ci_build_started");
    assert_eq!(completed["event_type"], "ci_build_completed");
    let id = started["data"]["build_id"].as_str().unwrap();
    assert_eq!(started["id"], format!("{id}-started"));
    assert_eq!(completed["id"], format!("{id}-completed"));
    for event in [&started, &completed] {
        let data = &event["data"];
        assert_eq!(data["name"], "web");
        assert_eq!(data["project"], "web");
        assert_eq!(data["command"], "/usr/bin/make", "arguments may be secrets");
        assert_eq!(data["build_id"], id);
        assert!(data["host"].is_string() && event["timestamp"].is_string(), "{event}");
    }
    assert!(started["data"].get("status").is_none());
    assert_eq!(completed["data"]["status"], "success");
    assert_eq!(completed["data"]["exit_code"], 0);
    assert_eq!(completed["data"]["duration_seconds"], 1.5);
    assert!(completed["data"].get("signal").is_none());
}

#[test]
fn a_failure_says_its_code_and_its_signal() {
    let [_, completed] = story(&["false"], &[], 1);
    assert_eq!(completed["data"]["status"], "failure");
    assert_eq!(completed["data"]["exit_code"], 1);
    let [_, completed] = story(&["false"], &[], 143);
    assert_eq!(completed["data"]["signal"], "SIGTERM");
}

#[test]
fn the_project_is_the_name_or_the_repository_or_the_program() {
    let github = [("GITHUB_ACTIONS", "true"), ("GITHUB_REPOSITORY", "o/r")];
    let project = |words: &[&str], environment: &[(&str, &str)]| {
        let [started, _] = story(words, environment, 0);
        let text = |name: &str| started["data"][name].as_str().map(str::to_owned);
        text("project").or_else(|| text("repository")).unwrap()
    };
    assert_eq!(project(&["/bin/true"], &[]), "true");
    assert_eq!(project(&["/bin/true"], &github), "o/r");
    assert_eq!(project(&["--name", "n", "--", "true"], &github), "n");
    assert_eq!(project(&["--data", "project=p", "--name", "n", "--", "true"], &github), "p");
}

#[test]
fn data_type_source_and_arguments_are_for_the_asking() {
    let words = ["--type", "deployment", "--source", "cd", "--data", "environment=prod"];
    let more = ["--data", "n:=2", "--arguments", "--", "sh", "-c", "x y"];
    let words: Vec<_> = words.into_iter().chain(more).collect();
    let [started, _] = story(&words, &[], 0);
    assert_eq!(started["event_type"], "deployment_started");
    assert_eq!(started["source"], "cd");
    let data = &started["data"];
    assert_eq!(data["environment"], "prod");
    assert_eq!(data["n"], 2);
    assert_eq!(data["command"], "sh -c x y");
    assert!(data["deployment_id"].is_string());
}

#[test]
fn the_builtin_rules_count_a_run() {
    let rules = crate::rules::RuleSet::builtin();
    let mut updates = crate::rules::Updates::default();
    for (kind, data) in [("ci_build", "x=y"), ("deployment", "environment=prod")] {
        for event in story(&["--type", kind, "--data", data, "--", "true"], &[], 0) {
            let body = event.to_string();
            let limits = crate::sources::Limits::default();
            let meta = crate::sources::RequestMeta::default();
            let parsed = crate::sources::parse(body.as_bytes(), &meta, &limits).unwrap();
            let event = parsed.events.into_iter().next().unwrap().unwrap();
            let event =
                event.accept(crate::event::Time::default(), || unreachable!("it has an id"));
            rules.evaluate(&event, &mut updates);
        }
    }
    assert!(updates.errors.is_empty() && updates.unmatched.is_empty(), "{updates:?}");
    assert_eq!(updates.spans.len(), 4 + 1, "two starts, two ends, and a restore that ends");
}
