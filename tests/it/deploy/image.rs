//! The `Dockerfile`. No engine builds it here; what can be held without one is: that cargo takes the tree that each
//! step has, that what is copied is there and let through, and that it says what the other files count on.

use super::{file, found, root, said};
use std::{fs, process::Command};

/// The step that builds the dependencies has stubs in the place of every target: cargo refuses a manifest with a
/// target that has no file, so a new benchmark must be listed there.
#[test]
fn cargo_takes_the_tree_of_the_first_step() {
    let dockerfile = file("Dockerfile");
    let stubs = found(r"((?:src|tests|benches)/[\w/]+\.rs)", &dockerfile);
    assert!(stubs.len() >= 8, "{stubs:?}");
    let dir = tempfile::tempdir().unwrap();
    for it in ["Cargo.toml", "Cargo.lock", "build.rs"] {
        fs::copy(root().join(it), dir.path().join(it)).unwrap();
    }
    for it in &stubs {
        let path = dir.path().join(it);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    said(&command.current_dir(dir.path()).output().unwrap());
}

#[test]
fn what_is_copied_is_there_and_let_through() {
    let ignore = file(".dockerignore");
    for line in file("Dockerfile").lines().filter(|it| it.starts_with("COPY ")) {
        if line.contains("--from=") {
            continue;
        }
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        for it in &words[..words.len() - 1] {
            assert!(root().join(it).exists(), "{line}");
            let top = it.trim_end_matches('/').split('/').next().unwrap();
            let through = |line: &str| line == format!("!{top}") || line == format!("!{it}");
            assert!(ignore.lines().any(through), "{it} is ignored");
        }
    }
    // What is built elsewhere must not come along.
    for it in ["web/dist", "web/node_modules", "prometheus/secrets", "alertmanager/secrets"] {
        assert!(ignore.lines().any(|line| line == it), "{it}");
    }
}

/// A file that the program has inside must be in the tree that it is built from.
#[test]
fn nothing_outside_that_tree_is_built_in() {
    let sources =
        said(&Command::new("git").args(["ls-files", "src"]).current_dir(root()).output().unwrap());
    let dockerfile = file("Dockerfile");
    let copied: Vec<_> = found(r"(?m)^COPY ([a-z][^\s=]*) \./", &dockerfile)
        .iter()
        .map(|it| fs::canonicalize(root().join(it)).unwrap())
        .collect();
    let built =
        |it: &&str| it.ends_with(".rs") && !it.ends_with("tests.rs") && !it.contains("/tests/");
    for path in sources.lines().filter(built) {
        let text = file(path);
        let code = text.split("\n#[cfg(test)]").next().unwrap();
        let above = found(r#"include_(?:str|bytes)!\("((?:\.\./)+[^"]+)"#, code);
        for it in above {
            let file = fs::canonicalize(root().join(path).parent().unwrap().join(&it)).unwrap();
            assert!(copied.iter().any(|it| file.starts_with(it)), "{path}: {it}");
        }
        for it in found(r#"#\[folder = "([^"]+)"\]"#, code) {
            // What another step builds.
            let page = it.starts_with("web/dist");
            let folder = root().join(&it).canonicalize().unwrap_or_default();
            assert!(page || copied.iter().any(|it| folder.starts_with(it)), "{path}: {it}");
        }
    }
}

#[test]
fn it_says_what_the_others_count_on() {
    let text = file("Dockerfile");
    let version = env!("CARGO_PKG_VERSION");
    assert!(text.contains(&format!("image.version=\"{version}\"")), "the label");
    assert!(
        text.contains(&format!("FROM rust:{}-", env!("CARGO_PKG_RUST_VERSION"))),
        "the compiler"
    );
    assert!(text.contains("\nUSER 65532:65532\n"));
    assert!(text.contains("OBSERVATORY_DATA_DIR=/var/lib/observatory"));
    assert!(text.contains("COPY --from=build --chown=65532:65532 /out/data /var/lib/observatory"));
    assert!(text.contains("VOLUME [\"/var/lib/observatory\"]"));
    assert!(text.contains("CMD [\"/usr/local/bin/observatory\", \"status\", \"--self\"]"));
    let last = text.rsplit("\nFROM ").next().unwrap();
    assert!(last.starts_with("gcr.io/distroless/static"), "{last}");
    assert!(!last.contains("\nRUN "), "there is nothing in it that could run");
    let images = found(r"(?m)^FROM (\S+)", &text);
    assert!(images.iter().all(|it| it.contains(':') && !it.ends_with(":latest")), "{images:?}");
}
