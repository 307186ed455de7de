//! Beside Prometheus and Alertmanager.

// What is shipped for them is right, by their own tools.
mod files;
// Every metric that a shipped rule is about is there.
mod metrics;
// From an event to whoever is told, with the real programs and without them.
mod path;
// Prometheus tells us, and we tell Alertmanager.
mod forward;
// Our rules as those of Prometheus.
mod export;
// Agents that Prometheus finds.
mod sd;

use observatory::yaml;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A file or directory of the repository.
fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The YAML files in a directory of the repository, by name.
fn files(dir: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(shipped(dir)).unwrap().map(|it| it.unwrap().path());
    let mut res: Vec<_> = all.filter(|it| it.extension().is_some_and(|it| it == "yml")).collect();
    res.sort();
    assert!(!res.is_empty(), "{dir}");
    res
}

/// A YAML file as JSON.
fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    json(&yaml::parse(&text, yaml::Duplicates::Refused).unwrap())
}

fn json(node: &yaml::Node) -> Value {
    match &node.kind {
        yaml::Kind::Null => Value::Null,
        yaml::Kind::Bool(it) => Value::Bool(*it),
        yaml::Kind::Number(it) | yaml::Kind::Text(it) => Value::from(it.as_str()),
        yaml::Kind::List(it) => it.iter().map(json).collect(),
        yaml::Kind::Map(it) => it.iter().map(|(key, it)| (key.name.clone(), json(it))).collect(),
    }
}

/// The shipped rules, each with the name of its file.
fn rules() -> Vec<(String, Value)> {
    let mut res = Vec::new();
    for path in files("prometheus/rules") {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        for group in read(&path)["groups"].as_array().unwrap() {
            let rules = group["rules"].as_array().unwrap();
            res.extend(rules.iter().map(|it| (name.clone(), it.clone())));
        }
    }
    res
}

/// Runs a program that must succeed; what it printed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{out}\n{err}");
    out.into_owned()
}
