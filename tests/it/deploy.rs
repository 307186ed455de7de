//! What is shipped around the binary: containers, units, proxies, actions and packages. Each is held by its own tool, or
//! by a schema, and what can run without a container engine or a cluster does run.

mod ci;
mod compose;
mod image;
mod kubernetes;
mod nginx;
mod packages;
mod systemd;

use crate::support::{program, python};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn file(path: &str) -> String {
    match fs::read_to_string(root().join(path)) {
        Ok(it) => it,
        Err(err) => panic!("{path}: {err}"),
    }
}

/// The documents of a YAML file, anchors and merges resolved, or `None` after saying that the test is skipped.
#[track_caller]
fn yaml(path: &str) -> Option<Vec<Value>> {
    const READ: &str =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let output = Command::new(python()?).args(["-c", READ]).arg(root().join(path)).output();
    Some(serde_json::from_str(&said(&output.unwrap())).unwrap())
}

/// A program that pip installed beside the Python of the tests.
fn python_tool(name: &str) -> Option<PathBuf> {
    Some(python()?.parent()?.join(name))
}

/// What a program that must succeed printed.
#[track_caller]
fn said(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}\n{out}{err}", output.status);
    out
}

/// Holds `files` to a schema that check-jsonschema brings along.
#[track_caller]
fn fits(schema: &str, files: &[&str]) {
    let Some(check) = python_tool("check-jsonschema") else { return };
    let files = files.iter().map(|it| root().join(it));
    let schema = format!("vendor.{schema}");
    said(&Command::new(check).args(["--builtin-schema", &schema]).args(files).output().unwrap());
}

/// What `pattern`, a regular expression with one group, finds in `text`.
fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = regex::Regex::new(pattern).unwrap();
    pattern.captures_iter(text).map(|it| it[1].to_owned()).collect()
}

/// Shell scripts that nobody sees run often.
#[test]
fn shell_scripts_are_clean() {
    let Some(check) = python_tool("shellcheck") else { return };
    let scripts = [".github/actions/observatory/send.sh", "scripts/package.sh"];
    said(&Command::new(check).args(scripts.map(|it| root().join(it))).output().unwrap());
}

/// Redis starts with the file, and says what it made of it.
#[test]
fn the_configuration_of_redis_is_what_it_says() {
    let Some(redis) = program("redis-server") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (socket, config) = (dir.path().join("redis.sock"), dir.path().join("redis.conf"));
    let text = file("deploy/redis/redis.conf");
    let here = format!("\ndir {}\n", dir.path().display());
    fs::write(&config, text.replace("\ndir /data\n", &here)).unwrap();
    let mut command = Command::new(redis);
    command.arg(&config).args(["--port", "0"]).arg("--unixsocket").arg(&socket);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let ask = |words: &[&str]| {
        let mut command = Command::new(program("redis-cli").unwrap());
        said(&command.arg("-s").arg(&socket).args(words).output().unwrap())
    };
    crate::support::eventually(std::time::Duration::from_secs(10), || {
        if socket.exists() && ask(&["PING"]).contains("PONG") { Ok(()) } else { Err("no socket") }
    });
    for (key, value) in
        [("maxmemory", "536870912"), ("maxmemory-policy", "allkeys-lru"), ("appendonly", "yes")]
    {
        assert_eq!(ask(&["CONFIG", "GET", key]).trim(), format!("{key}\n{value}"));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
