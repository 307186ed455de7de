//! The documentation names every route, verb, flag, setting and own metric.

use crate::support::{Server, Settings, cli};
use serde_json::json;
use std::{collections::BTreeSet, fs, path::Path};

/// The text of `README.md` and of everything in `docs/`.
fn docs() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = fs::read_to_string(root.join("README.md")).unwrap();
    for entry in fs::read_dir(root.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "md") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    text
}

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Fails with everything of `wanted` that `text` does not name.
#[track_caller]
fn check(text: &str, wanted: impl IntoIterator<Item = String>) {
    let missing: BTreeSet<_> = wanted.into_iter().filter(|it| !text.contains(it)).collect();
    assert!(missing.is_empty(), "not documented: {missing:#?}");
}

#[test]
fn every_route_is_in_the_api_reference() {
    let server = Server::start();
    let openapi = server.client().get("/openapi.json").expect(200).json();
    let paths = openapi["paths"].as_object().unwrap();
    assert!(paths.len() > 5, "{openapi}");
    let api = file("docs/api.md");
    check(&api, paths.keys().cloned());
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys().filter(|it| *it != "parameters") {
            let method = method.to_uppercase();
            let named = api.lines().any(|it| it.contains(path.as_str()) && it.contains(&method));
            assert!(named, "docs/api.md does not say that {path} takes {method}");
        }
    }
}

#[test]
fn every_own_metric_is_documented() {
    let server = Server::start();
    let mut client = server.client();
    // So that the families that need something to happen are there.
    let event = json!({"id": "a", "event_type": "ci_build_completed", "source": "s", "data": {"status": "ok"}});
    client.event(&event).expect(202);
    client.event(&event).expect(202);
    client.event(&json!({"event_type": "unheard_of", "source": "s", "data": {}})).expect(202);
    client.event(&json!({"source": "s"})).expect(400);
    client.post("/-/reload", "text/plain", b"");
    let page = client.get("/metrics").expect(200).text();
    let own: Vec<_> = page
        .lines()
        .filter_map(|it| it.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|it| it.starts_with("observatory_") || it.starts_with("process_"))
        .map(str::to_owned)
        .collect();
    assert!(own.len() >= 15, "{own:?}");
    check(&docs(), own);
}

/// The verbs that `--help` lists, and those below them.
fn verbs(above: &[&str]) -> Vec<Vec<String>> {
    let help = help(above);
    let listed = help.lines().skip_while(|it| !it.starts_with("Commands:")).skip(1);
    let listed = listed.take_while(|it| !it.trim().is_empty());
    // A verb stands two columns in; what is further in continues its description.
    let names = listed.filter(|it| it.starts_with("  ") && !it.starts_with("   "));
    let names = names.filter_map(|it| it.split_whitespace().next()).filter(|it| *it != "help");
    let mut all = Vec::new();
    for name in names {
        let path: Vec<&str> = above.iter().copied().chain([name]).collect();
        all.push(path.iter().map(|it| (*it).to_owned()).collect());
        all.extend(verbs(&path));
    }
    all
}

fn help(verb: &[&str]) -> String {
    let arguments: Vec<&str> = verb.iter().copied().chain(["--help"]).collect();
    let output = cli(&arguments, &Settings::new(), "");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_verb_and_flag_is_documented() {
    let docs = docs();
    let verbs = verbs(&[]);
    assert!(verbs.len() >= 8, "{verbs:?}");
    check(&docs, verbs.iter().map(|it| format!("observatory {}", it.join(" "))));
    for verb in &verbs {
        let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
        let flags = long_flags(&help(&verb));
        check(&docs, flags.into_iter().filter(|it| it != "--help" && it != "--version"));
    }
}

/// Every `--flag` that starts an entry of a help text.
fn long_flags(help: &str) -> BTreeSet<String> {
    let entries = help.lines().map(str::trim_start).filter(|it| it.starts_with('-'));
    let words = entries.flat_map(|it| it.split([' ', ',', '=', '[']).take(3));
    words.filter(|it| it.starts_with("--") && it.len() > 2).map(str::to_owned).collect()
}

#[test]
fn every_setting_is_documented_and_in_the_reference_file() {
    let output = cli(&["config", "show", "--origin"], &Settings::new(), "");
    assert!(output.status.success(), "{output:?}");
    let keys = observatory::config::KEYS;
    assert!(keys.len() >= 15);
    let documented = file("docs/configuration.md");
    check(&documented, keys.iter().map(|it| it.name.to_owned()));
    check(&documented, keys.iter().map(|it| it.variable().into_owned()));
    check(&documented, keys.iter().filter_map(|it| it.flag).map(str::to_owned));
    let reference = file("observatory.yml");
    let last = |name: &str| format!("{}:", name.rsplit('.').next().unwrap_or(name));
    check(&reference, keys.iter().map(|it| last(it.name)));
}
