//! Services that end, ports that are taken, and kills at bad moments.

use super::{Stack, processes_of};
use crate::support::eventually;
use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
    time::Duration,
};

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_service_that_ends_is_started_again() {
    let Some(stack) = Stack::new("  ephemeral: true\n") else { return };
    stack.expect(0, &["up"]);
    let before = stack.pid("alertmanager");
    kill("-KILL", before);
    eventually(Duration::from_secs(5), || match stack.run(&["status"]).status.code() {
        Some(1) => Ok(()),
        other => Err(other),
    });
    eventually(Duration::from_secs(10), || match stack.run(&["status"]).status.code() {
        Some(0) => Ok(()),
        other => Err(other),
    });
    assert_ne!(stack.pid("alertmanager"), before);
    let (out, _) = stack.expect(0, &["logs", "supervisor"]);
    assert!(out.contains("alertmanager ended: signal 9"), "{out}");

    // Without its supervisor the stack is degraded, and the next `up` mends it.
    let supervisor =
        fs::read_to_string(stack.path("observatory-stack/run/supervisor.lock")).unwrap();
    let supervisor: serde_json::Value = serde_json::from_str(&supervisor).unwrap();
    kill("-KILL", u32::try_from(supervisor["pid"].as_u64().unwrap()).unwrap());
    assert_eq!(stack.status(1, &[])["status"], "degraded");
    stack.expect(0, &["up"]);
    stack.status(0, &[]);
    stack.expect(0, &["down"]);
    stack.expect_gone();
}

#[test]
fn a_taken_port_is_named_with_its_holder_and_nothing_is_started() {
    let Some(stack) = Stack::new("") else { return };
    let port = stack.ports["prometheus"];
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (out, err) = stack.expect(71, &["up"]);
    assert_eq!(out, "");
    let words =
        format!("port {port} of prometheus is taken by it (process {})", std::process::id());
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    let words = words.replace("by it", &format!("by {}", name.trim()));
    assert!(err.contains(&words), "{words} in {err}");
    assert!(err.contains("config set services.prometheus.port="), "{err}");
    assert!(!stack.path("observatory-stack").exists(), "nothing was touched");
    drop(listener);
    stack.expect_gone();
}

#[test]
fn what_does_not_come_up_is_told_and_stopped() {
    let Some(stack) = Stack::new("") else { return };
    stack.write("prometheus.yml", "scrape_configs: [{job_name: 5m, scrape_interval: soon}]\n");
    stack.expect(0, &["config", "set", "services.prometheus.config=prometheus.yml"]);
    let (_, err) = stack.expect(69, &["up"]);
    assert!(err.contains("prometheus ended: exit code") && err.contains("soon"), "{err}");
    stack.expect_gone();
    stack.expect(0, &["config", "set", "services.prometheus.program=no-such-program"]);
    let (_, err) = stack.expect(71, &["up"]);
    assert!(err.contains("no no-such-program on the PATH"), "{err}");
    assert!(err.contains("services.prometheus.enabled=false"), "{err}");
    stack.expect(
        0,
        &["config", "set", "services.prometheus.enabled=false", "services.grafana.enabled=true"],
    );
    let (_, err) = stack.expect(71, &["up"]);
    assert!(err.contains("grafana: there is no grafana or grafana-server on the PATH"), "{err}");
    stack.expect(0, &["config", "set", "services.grafana.enabled=false"]);
    stack.expect(0, &["up"]);
    assert_eq!(stack.status(0, &[])["services"].as_array().unwrap().len(), 2);
    stack.expect(0, &["down"]);
    stack.expect_gone();
}

#[test]
fn an_up_that_is_ended_or_killed_leaves_what_the_next_one_mends() {
    let Some(mut stack) = Stack::new("  ephemeral: true\n") else { return };
    // Never healthy, so that `up` waits for as long as it takes.
    stack.program("prometheus", "#!/bin/sh\nexec sleep 600\n");
    let started = || processes_of(stack.path("").as_path()).len() >= 4;
    let up = || {
        let mut command = stack.command(&["up"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        eventually(Duration::from_secs(15), || if started() { Ok(()) } else { Err("not started") });
        child
    };
    let interrupted = up();
    kill("-INT", interrupted.id());
    let output = interrupted.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"), "{output:?}");
    stack.expect_gone();

    let mut killed = up();
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(started(), "nobody was there to stop it");
    stack.expect(0, &["down"]);
    stack.expect_gone();
    assert!(!stack.path("observatory-stack").exists());

    let mut foreground = stack.command(&["up", "--foreground"]);
    let foreground = foreground.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually(Duration::from_secs(15), || {
        if processes_of(stack.path("").as_path()).len() >= 3 { Ok(()) } else { Err(()) }
    });
    kill("-TERM", foreground.id());
    let output = foreground.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    stack.expect_gone();
}
