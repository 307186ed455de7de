//! Packages: a Debian package of the binary of the tests is made, unpacked and run. A wheel takes a release build, so
//! only what describes it is held here; docs/deployment.md says how it is made.

use super::{file, python_tool, root, said};
use crate::support::program;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
};

#[test]
fn a_debian_package_has_everything() {
    let Some(dpkg_deb) = program("dpkg-deb") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(root().join("scripts/package.sh"));
    command.args(["deb", env!("CARGO_BIN_EXE_observatory")]).current_dir(root());
    // Compressing the binary of the tests takes minutes.
    command.env("DIST", dir.path()).env("DEB_COMPRESSION", "none").stderr(Stdio::null());
    let package = said(&command.output().unwrap()).trim().to_owned();
    let deb = |arguments: &[&str]| said(&Command::new(&dpkg_deb).args(arguments).output().unwrap());

    let listed = deb(&["-c", &package]);
    let files: BTreeSet<_> = listed.lines().filter_map(|it| it.split(" ./").nth(1)).collect();
    for it in [
        "usr/bin/observatory",
        "usr/lib/systemd/system/observatory.service",
        "etc/observatory/observatory.yml",
        "usr/share/man/man1/observatory.1.gz",
        "usr/share/man/man1/observatory-token-create.1.gz",
        "usr/share/bash-completion/completions/observatory",
        "usr/share/zsh/vendor-completions/_observatory",
        "usr/share/fish/vendor_completions.d/observatory.fish",
        "usr/share/doc/observatory/copyright",
        "usr/share/doc/observatory/changelog.gz",
    ] {
        assert!(files.contains(it), "{it} is not in\n{listed}");
    }
    assert!(listed.lines().all(|it| it.contains(" root/root ")), "{listed}");
    let field = |name: &str| deb(&["-f", &package, name]).trim().to_owned();
    assert_eq!(field("Version"), env!("CARGO_PKG_VERSION"));
    assert!(field("Depends").starts_with("libc6 (>= "), "the binary of the tests is linked to it");
    let control = dir.path().join("control");
    deb(&["-e", &package, control.to_str().unwrap()]);
    let conffiles = fs::read_to_string(control.join("conffiles")).unwrap();
    assert_eq!(conffiles, "/etc/observatory/observatory.yml\n", "an upgrade keeps what was edited");
    for script in ["postinst", "prerm", "postrm"] {
        said(&Command::new("sh").arg("-n").arg(control.join(script)).output().unwrap());
    }

    let to = dir.path().join("unpacked");
    deb(&["-x", &package, to.to_str().unwrap()]);
    let version =
        said(&Command::new(to.join("usr/bin/observatory")).arg("--version").output().unwrap());
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    let mut check = Command::new(to.join("usr/bin/observatory"));
    said(
        &check
            .args(["config", "check"])
            .arg(to.join("etc/observatory/observatory.yml"))
            .output()
            .unwrap(),
    );
    let bash = to.join("usr/share/bash-completion/completions/observatory");
    said(&Command::new("bash").arg("-n").arg(bash).output().unwrap());
}

/// The script of bash completes, in a real bash.
#[test]
fn bash_completes_verbs_and_flags() {
    let complete = |words: &str, n: usize| {
        let script = format!(
            "source <({} completions bash); COMP_WORDS=({words}); COMP_CWORD={n}; \
             _observatory observatory \"${{COMP_WORDS[{n}]}}\" \"${{COMP_WORDS[{}]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            env!("CARGO_BIN_EXE_observatory"),
            n - 1,
        );
        said(&Command::new("bash").args(["-c", &script]).output().unwrap())
    };
    assert_eq!(complete("observatory bac", 1), "backup\n");
    assert_eq!(complete("observatory token cre", 2), "create\n");
    assert_eq!(complete("observatory serve --data", 2), "--data-dir\n");
}

#[test]
fn the_wheel_is_described_as_the_crate_is() {
    const READ: &str =
        "import json, sys, tomllib; print(json.dumps(tomllib.load(open(sys.argv[1], 'rb'))))";
    let Some(python) = crate::support::python() else { return };
    let read = |path: &str| -> Value {
        let mut command = Command::new(&python);
        serde_json::from_str(&said(
            &command.args(["-c", READ]).arg(root().join(path)).output().unwrap(),
        ))
        .unwrap()
    };
    let (project, cargo) = (read("pyproject.toml"), read("Cargo.toml"));
    assert_eq!(project["project"]["name"], "beast-observatory");
    assert_eq!(project["project"]["dynamic"], serde_json::json!(["version"]));
    assert_eq!(project["project"]["license"], cargo["package"]["license"]);
    assert_eq!(project["tool"]["maturin"]["bindings"], "bin");
    assert_eq!(project["build-system"]["build-backend"], "maturin");
    for it in ["readme", "license-files"] {
        let path = &project["project"][it];
        let path = path.as_str().or_else(|| path[0].as_str()).unwrap();
        assert!(root().join(path).exists(), "{path}");
    }
    let make = file("Makefile");
    assert!(make.contains("scripts/package.sh wheel") && make.contains("scripts/package.sh deb"));
    assert!(python_tool("python").is_some());
}

/// `man` reads the pages without a complaint.
#[test]
fn the_manual_pages_are_roff() {
    let Some(groff) = program("groff") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_observatory"));
    said(&command.args(["man", "--output"]).arg(dir.path()).output().unwrap());
    let pages: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().path()).collect();
    assert!(pages.len() > 20);
    let output =
        Command::new(groff).args(["-man", "-Tutf8", "-ww", "-z"]).args(pages).output().unwrap();
    said(&output);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
