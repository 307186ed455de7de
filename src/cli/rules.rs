//! `observatory rules`.

mod alerts;
mod replay;

use super::{Error, Session};
use crate::alerting;
use crate::event::{Event, EventId};
use crate::metrics::trial;
use crate::rules::RuleSet;
use crate::sources;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Check, test, explain and replay metric rules.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Report everything that is wrong with a rule file
    Check(Check),
    /// Run the tests of a rule file
    Test(Test),
    /// Say what rules make of an event, and why
    Explain(Explain),
    /// Let the running server count the past by its rules
    Replay(replay::Replay),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every finding has its line, column and a caret; metric names are held to what `promtool check metrics` asks for. Of a file with `alerts.rules`, such as observatory.yml, the alert rules are checked. Exit code 1 if there is an error; warnings do not count.

Example:
  observatory rules check rules.yml")]
pub(super) struct Check {
    /// Rule file [default: the built-in rules]
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each entry of `tests:` in the file sends its events and compares the series. Of a file with `alerts.rules` or `alerts.tests`, such as observatory.yml, each entry of `alerts.tests` says what happens when, and which alerts there are then. Exit code 1 if one fails.

Examples:
  observatory rules test rules.yml
  observatory rules test observatory.yml")]
pub(super) struct Test {
    /// Rule file [default: the built-in rules]
    file: Option<PathBuf>,
    /// Print the page that each test of metrics ends with
    #[arg(long)]
    page: bool,
    /// Metric rules that tests of alert rules count by [default: `rules.file` of the file, or the built-in rules]
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Per rule: whether it matches, or which part of its selector fails, and which series it changes. The event is what would be posted: an object, an array, or one object per line.

Examples:
  observatory rules explain --event '{\"event_type\":\"ci_build_completed\",\"data\":{\"status\":\"failed\"}}'
  observatory rules explain rules.yml < event.json")]
pub(super) struct Explain {
    /// Rule file [default: the built-in rules]
    file: Option<PathBuf>,
    /// The event [default: read from standard input]
    #[arg(long, value_name = "JSON")]
    event: Option<String>,
    /// Read the event from this file
    #[arg(long, value_name = "FILE", conflicts_with = "event")]
    event_file: Option<PathBuf>,
    /// Answer in JSON, an object per event
    #[arg(long)]
    json: bool,
}

/// Checks, tests or explains.
pub(super) fn run(command: &Command, session: &mut Session) -> Result<(), Error> {
    match command {
        Command::Check(args) => check(args, session),
        Command::Test(args) => test(args, session),
        Command::Explain(args) => explain(args, session),
        Command::Replay(args) => replay::run(args, session),
    }
}

fn check(args: &Check, session: &mut Session) -> Result<(), Error> {
    if let Some(path) = &args.file {
        let text = read(path)?;
        if alerts::is_configuration(&text) {
            return alerts::check(&text, &name(Some(path)), session);
        }
    }
    let rules = load(args.file.as_deref(), session)?;
    let name = name(args.file.as_deref());
    if !rules.warnings().is_empty() {
        session.print(rules.warnings().clone().with_origin(&name).to_string().trim_end())?;
    }
    session.print(&format!(
        "{name}: {} metrics, {} spans, {} tests: ok",
        rules.families().len(),
        rules.spans().len(),
        rules.tests().len()
    ))
}

fn test(args: &Test, session: &mut Session) -> Result<(), Error> {
    let (path, name) = (args.file.as_deref(), name(args.file.as_deref()));
    let of_alerts = match path {
        Some(it) => alerts::of_file(it, session)?,
        None => Some(alerting::shipped_file()),
    };
    let (mut passed, mut failed) = (0, 0);
    if path.is_none() || of_alerts.is_none() {
        for outcome in trial::run(&Arc::new(load(path, session)?)) {
            failed += usize::from(!outcome.failures.is_empty());
            passed += usize::from(outcome.failures.is_empty());
            print_outcome(&outcome.name, &outcome.failures, session)?;
            if args.page {
                session.print(&outcome.page)?;
            }
        }
    }
    if let Some(file) = &of_alerts {
        let (good, bad) = alerts::test((file, path), args.metrics.as_deref(), session)?;
        (passed, failed) = (passed + good, failed + bad);
    }
    session.print(&format!("{name}: {passed} passed, {failed} failed"))?;
    if failed > 0 { Err(Error::Refused(String::new())) } else { Ok(()) }
}

fn print_outcome(name: &str, failures: &[String], session: &mut Session) -> Result<(), Error> {
    let word = if failures.is_empty() { "ok   " } else { "FAIL " };
    session.print(&format!("{word} {name}"))?;
    failures.iter().try_for_each(|it| session.print(&format!("      {it}")))
}

fn explain(args: &Explain, session: &mut Session) -> Result<(), Error> {
    let rules = load(args.file.as_deref(), session)?;
    let body = match (&args.event, &args.event_file) {
        (Some(it), _) => it.clone(),
        (None, Some(path)) => read(path)?,
        (None, None) => {
            let mut body = String::new();
            let read = session.input().read_to_string(&mut body);
            read.map_err(|err| Error::Input(format!("cannot read standard input: {err}")))?;
            body
        }
    };
    let (meta, limits) = (sources::RequestMeta::default(), sources::Limits::default());
    let parsed = sources::parse(body.as_bytes(), &meta, &limits)
        .map_err(|err| Error::Input(format!("the event cannot be read: {err}")))?;
    let mut wrong = false;
    let now = session.now();
    for (number, event) in parsed.events.into_iter().enumerate() {
        match event {
            Ok(event) => {
                let event = event.accept(now, || EventId::Generated(0));
                session.print(&explained(&rules, &event, args.json)?)?;
            }
            Err(invalid) => {
                wrong = true;
                let reasons: Vec<_> =
                    invalid.fields.iter().map(|it| format!("{} {}", it.field, it.reason)).collect();
                session.note(&format!("event {}: {}", number + 1, reasons.join(", ")));
            }
        }
    }
    if wrong { Err(Error::Input("not every event can be read".to_owned())) } else { Ok(()) }
}

fn explained(rules: &RuleSet, event: &Event<'_>, json: bool) -> Result<String, Error> {
    let explanation = rules.explain(event);
    if json {
        serde_json::to_string(&explanation).map_err(|err| Error::Output(err.into()))
    } else {
        Ok(explanation.to_string().trim_end().to_owned())
    }
}

/// Compiles a rule file, or tells what is wrong with it.
fn load(file: Option<&Path>, session: &mut Session) -> Result<RuleSet, Error> {
    let Some(path) = file else { return Ok(RuleSet::builtin()) };
    match RuleSet::parse(&read(path)?) {
        Ok(rules) => Ok(rules),
        Err(findings) => {
            let name = name(file);
            let errors = findings.error_count();
            session.print(findings.with_origin(&name).to_string().trim_end())?;
            let plural = if errors == 1 { "" } else { "s" };
            Err(Error::Refused(format!("{name} has {errors} error{plural}")))
        }
    }
}

fn name(file: Option<&Path>) -> String {
    file.map_or_else(|| "built-in rules".to_owned(), |it| it.display().to_string())
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path)
        .map_err(|err| Error::Input(format!("cannot read {}: {err}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::super::tests::observatory;
    use std::fs;

    const RULES: &str = "\
version: 1
metrics:
  builds_total:
    help: Builds.
    match: 'build{status!=\"skipped\"}'
    count: 1
    labels: {status: $status}
tests:
  - name: a build counts
    events: [{type: build, data: {status: ok}}]
    expect: |
      builds_total{status=\"ok\"} 1
";

    fn rules(verb: &[&str], text: &str, input: &str) -> (u8, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("r.yml");
        fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        let arguments: Vec<_> = ["rules"].iter().chain(verb).copied().chain([path]).collect();
        let (code, out, err) = observatory(&arguments, &[], input);
        let short = |it: String| it.replace(&format!("{}/", dir.path().display()), "");
        (code, short(out), short(err))
    }

    #[test]
    fn good_rules_pass() {
        let (code, out, err) = rules(&["check"], RULES, "");
        assert_eq!((code, out.as_str()), (0, "r.yml: 1 metrics, 0 spans, 1 tests: ok\n"), "{err}");
        let (code, out, _) = rules(&["test"], RULES, "");
        assert_eq!((code, out.as_str()), (0, "ok    a build counts\nr.yml: 1 passed, 0 failed\n"));
    }

    #[test]
    fn errors_are_shown_with_a_caret_and_end_with_1() {
        let bad = RULES.replace("count: 1", "cuont: 1").replace("builds_total:", "builds:");
        let (code, out, err) = rules(&["check"], &bad, "");
        assert_eq!(code, 1);
        assert!(out.contains("r.yml:") && out.contains('^') && out.contains("cuont"), "{out}");
        assert!(err.starts_with("observatory: r.yml has "), "{err}");
    }

    #[test]
    fn alert_rules_are_checked_too() {
        let good = "alerts:\n  rules:\n    - {name: High CPU, metric_name: cpu, threshold: 80}\n";
        let (code, out, err) = rules(&["check"], good, "");
        assert_eq!((code, out.as_str()), (0, "r.yml: 1 alert rules, 0 tests: ok\n"), "{err}");
        let (code, out, err) = rules(&["check"], &good.replace("threshold", "treshold"), "");
        assert_eq!(code, 1);
        assert!(
            out.starts_with(
                "r.yml:3:52: error: treshold: is no key of a rule; did you mean `threshold`?"
            ),
            "{out}"
        );
        assert_eq!(err, "observatory: r.yml has 1 error\n");
    }

    #[test]
    fn a_configuration_without_alert_rules_is_no_file_of_metric_rules() {
        let (code, out, err) = rules(&["check"], "log: {level: info}\n", "");
        assert!(code == 0 && out.contains("0 alert rules, 0 tests: ok"), "{out}{err}");
        let (code, out, err) = rules(&["check"], "metrcs: {}\n", "");
        assert!(
            code != 0 && (out + &err).contains("unknown key `metrcs`"),
            "a slip of a rule file"
        );
    }

    #[test]
    fn alert_rules_are_tested_too() {
        let good = "alerts:\n  rules:\n    - {name: Many, kind: threshold, metric_name: builds_total, threshold: 1}\n  tests:\n    - name: two builds are many\n      events: [{type: build, repeat: 2}]\n      expect: [{at: 5s, rule: many, firing: 1}]\n";
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (file, metrics) = (write("a.yml", good), write("m.yml", RULES));
        let (code, out, err) =
            observatory(&["rules", "test", &file, "--metrics", &metrics], &[], "");
        assert_eq!(code, 0, "{out}{err}");
        assert!(out.starts_with("ok    two builds are many\n"), "{out}");
        // The file may name its metric rules itself.
        let named = write("b.yml", &format!("rules: {{file: m.yml}}\n{good}"));
        assert_eq!(observatory(&["rules", "test", &named], &[], "").0, 0);
        let (code, out, _) = observatory(&["rules", "test", &file], &[], "");
        assert_eq!(code, 1);
        assert!(
            out.contains(
                "FAIL  two builds are many\n      at 5s of many: expected firing: 1; got none"
            ),
            "{out}"
        );
        for verb in [["check", "rules"], ["rules", "check"]] {
            let (code, out, _) = observatory(&[verb[0], verb[1], &file], &[], "");
            assert!(code == 0 && out.ends_with("a.yml: 1 alert rules, 1 tests: ok\n"), "{out}");
        }
        let wrong = write("c.yml", &good.replace("rule: many", "rule: few"));
        let (code, out, _) = observatory(&["check", "rules", &wrong], &[], "");
        assert_eq!(code, 1);
        assert!(out.contains("c.yml:5:7: error: expect: there is no alert rule \"few\""), "{out}");
    }

    #[test]
    fn a_failing_test_ends_with_1() {
        let (code, out, _) = rules(&["test"], &RULES.replace("} 1", "} 2"), "");
        assert_eq!(code, 1);
        assert!(
            out.contains("FAIL  a build counts") && out.contains("0 passed, 1 failed"),
            "{out}"
        );
    }

    #[test]
    fn an_event_is_explained() {
        let event = r#"{"event_type":"build","source":"s","data":{"status":"skipped"}}"#;
        let (code, out, _) = rules(&["explain"], RULES, event);
        assert_eq!(code, 0);
        assert!(out.contains("builds_total") && out.contains("skipped"), "{out}");
        let (code, out, _) =
            rules(&["explain", "--json", "--event", &event.replace("skipped", "ok")], RULES, "");
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &json["matched"]), (0, &serde_json::Value::Bool(true)));
    }

    #[test]
    fn what_is_no_event_or_no_file_ends_with_65() {
        assert_eq!(rules(&["explain"], RULES, "nonsense").0, 65);
        assert_eq!(rules(&["explain"], RULES, r#"{"source":"s"}"#).0, 65);
        assert_eq!(observatory(&["rules", "check", "/does/not/exist"], &[], "").0, 65);
    }

    #[test]
    fn the_rules_of_the_readme_work() {
        let readme = include_str!("../../README.md");
        let text = readme.split("```yaml\n").find(|it| it.starts_with("version: 1")).unwrap();
        let text = text.split("```").next().unwrap();
        let (code, out, err) = rules(&["check"], text, "");
        assert_eq!((code, out.as_str()), (0, "r.yml: 1 metrics, 0 spans, 1 tests: ok\n"), "{err}");
        let (code, out, _) = rules(&["test"], text, "");
        assert_eq!(code, 0, "{out}");
    }

    #[test]
    fn the_builtin_rules_pass_their_tests() {
        let (code, out, _) = observatory(&["rules", "check"], &[], "");
        assert!(code == 0 && out.ends_with(": ok\n"), "{out}");
        let (code, out, _) = observatory(&["rules", "test"], &[], "");
        assert!(code == 0 && out.contains(", 0 failed"), "{out}");
    }
}
