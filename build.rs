//! Tells the binary what it was built from. Works without git and outside a checkout.
#![expect(clippy::disallowed_methods, reason = "a build script is configured by its environment")]

use std::{env, process::Command};

fn main() {
    let revision = env::var("OBSERVATORY_REVISION")
        .ok()
        .or_else(|| output("git", &["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown".to_owned());
    let compiler = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = output(&compiler, &["--version"]).unwrap_or_default();
    let version = version.split_whitespace().nth(1).unwrap_or("unknown");
    println!("cargo:rustc-env=OBSERVATORY_REVISION={revision}");
    println!("cargo:rustc-env=OBSERVATORY_RUSTC={version}");
    println!("cargo:rerun-if-env-changed=OBSERVATORY_REVISION");
    println!("cargo:rerun-if-changed=build.rs");
    // The embedded page: its files have new names whenever they change, so the directory is watched.
    println!("cargo:rerun-if-changed=web/dist");
    // The configuration of the stack, embedded as well.
    for path in ["prometheus", "alertmanager", "grafana/provisioning", "grafana/dashboards"] {
        println!("cargo:rerun-if-changed={path}");
    }
    // A release names its exact commit; a development build is not rebuilt for every commit.
    let watched =
        if env::var("PROFILE").is_ok_and(|it| it == "release") { "logs/HEAD" } else { "HEAD" };
    if let Some(path) = output("git", &["rev-parse", "--git-path", watched]) {
        println!("cargo:rerun-if-changed={path}");
    }
}

/// What `program` prints, if it is there, succeeds and prints something.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|it| it.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    if text.is_empty() { None } else { Some(text) }
}
