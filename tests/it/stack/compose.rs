//! Containers: what the engine is asked for. There is no engine here; a program in its place notes its arguments.

use super::Stack;
use std::{fs, os::unix::fs::PermissionsExt};

fn engine(name: &str, ps: &str, fails: &str) -> Stack {
    let mut stack = Stack::bare("  backend: compose\n  project: o7\n");
    let dir = stack.path("").display().to_string();
    let dir = dir.trim_end_matches('/');
    let script = format!(
        "#!/bin/sh\necho \"$0 $*\" | sed 's|{dir}/||g' >>{dir}/calls\ncase \"$*\" in\n  *\" ps \"*) cat <<'EOF'\n{ps}\nEOF\n;;\n  *\" {fails} \"*) echo no >&2; exit 17;;\nesac\n"
    );
    stack.program(name, &script);
    stack
}

fn calls(stack: &Stack) -> Vec<String> {
    let text = fs::read_to_string(stack.path("calls")).unwrap();
    fs::remove_file(stack.path("calls")).unwrap();
    text.lines().map(str::to_owned).collect()
}

const COMMON: &str = "--project-name o7 --project-directory observatory-stack/compose --file observatory-stack/compose/docker-compose.yml --env-file observatory-stack/compose/.env";

const PS: &str = r#"{"Service":"observatory","State":"running","Health":"healthy","Publishers":[{"PublishedPort":9091}]}
{"Service":"prometheus","State":"running","Health":"starting"}
{"Service":"alertmanager","State":"exited","Health":""}"#;

fn docker() -> Stack {
    let stack = engine("docker", PS, "nothing");
    stack.expect(0, &["config", "set", "services.grafana.enabled=false", "engine=docker"]);
    stack
}

#[test]
fn the_engine_is_asked_for_what_the_verbs_mean() {
    let stack = docker();
    let docker = format!("bin/docker compose {COMMON}");
    stack.expect(0, &["up"]);
    let up =
        "up --detach --wait --wait-timeout 60 --remove-orphans observatory alertmanager prometheus";
    assert_eq!(calls(&stack), [format!("{docker} {up}")]);
    let status = stack.status(1, &[]);
    let rows = status["services"].as_array().unwrap();
    let rows: Vec<_> = rows.iter().map(|it| format!("{} {}", it["name"], it["status"])).collect();
    let expected = [
        r#""observatory" "healthy""#,
        r#""alertmanager" "stopped""#,
        r#""prometheus" "unhealthy""#,
    ];
    assert_eq!(rows, expected);
    assert_eq!(calls(&stack), [format!("{docker} ps --all --format json")]);
    stack.expect(0, &["logs", "-f", "--tail", "20", "prometheus"]);
    assert_eq!(calls(&stack), [format!("{docker} logs --no-color --tail 20 --follow prometheus")]);
    stack.expect(0, &["down"]);
    assert_eq!(calls(&stack), [format!("{docker} down --remove-orphans")]);
    stack.expect(0, &["down", "--volumes", "--yes"]);
    assert_eq!(calls(&stack), [format!("{docker} down --remove-orphans --volumes")]);
}

#[test]
fn what_containers_mount_is_there_and_secrets_are_made_once() {
    let stack = docker();
    stack.expect(0, &["up"]);
    let compose = stack.path("observatory-stack/compose");
    let env = || fs::read_to_string(compose.join(".env")).unwrap();
    let port = format!("PROMETHEUS_PORT={}", stack.ports["prometheus"]);
    for line in [port.as_str(), "PROMETHEUS_RETENTION=90d", "BIND_ADDRESS=127.0.0.1"] {
        assert!(env().lines().any(|it| it == line), "{line} in {}", env());
    }
    let secret = || {
        let env = env();
        env.lines().find_map(|it| it.strip_prefix("OBSERVATORY_TOKEN=")).unwrap().to_owned()
    };
    let first = secret();
    assert_eq!(first.len(), 48, "a secret was made");
    let mode = fs::metadata(compose.join(".env")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = fs::read_to_string(compose.join("prometheus/secrets/observatory_token")).unwrap();
    assert_eq!(token.trim(), first);
    let file = fs::read_to_string(compose.join("docker-compose.yml")).unwrap();
    for path in [
        "./prometheus:",
        "./alertmanager:",
        "./grafana/provisioning:",
        "./grafana/dashboards:",
        "./observatory.yml:",
    ] {
        assert!(file.contains(path), "{path}");
        assert!(compose.join(path.trim_end_matches(':')).exists(), "{path}");
    }
    stack.expect(0, &["up"]);
    assert_eq!(secret(), first, "it is kept");
    stack.expect(0, &["down", "--volumes", "--yes"]);
    assert!(!stack.path("observatory-stack").exists());
}

#[test]
fn containers_that_do_not_become_healthy_are_stopped() {
    let stack = engine("podman", "[]", "up");
    stack.expect(0, &["config", "set", "engine=podman"]);
    let (_, err) = stack.expect(69, &["up"]);
    assert!(err.contains("did not become healthy"), "{err}");
    let calls = calls(&stack);
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[0].starts_with(&format!("bin/podman compose {COMMON} up ")), "{calls:?}");
    assert!(calls[1].ends_with(" down --remove-orphans"), "{calls:?}");
    assert_eq!(stack.status(3, &[])["status"], "stopped");
}

#[test]
fn without_an_engine_the_way_out_is_told() {
    let mut stack = Stack::bare("  backend: compose\n");
    stack.env.push(("PATH".to_owned(), "/nowhere".to_owned()));
    let (_, err) = stack.expect(71, &["up"]);
    assert!(err.contains("no docker, docker-compose, podman, podman-compose on the PATH"), "{err}");
    assert!(err.contains("backend=processes"), "{err}");
}
