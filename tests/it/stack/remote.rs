//! Another machine, which is this one, over a real sshd.

use super::{Stack, free_ports};
use crate::support::{eventually, tools};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub(super) struct Sshd {
    child: Child,
    pub(super) config: PathBuf,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn key(path: &Path) {
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(made.unwrap().success());
}

impl Sshd {
    /// An sshd with keys and a configuration of its own below `dir`, as the host `vonnegut`.
    pub(super) fn start(dir: &Path) -> Option<Self> {
        let program = Path::new("/usr/sbin/sshd");
        let found = program.is_file().then_some(());
        tools::required("sshd (the package openssh-server; scripts/test.sh installs it)", found)?;
        fs::create_dir_all(dir).unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
        key(&dir.join("host"));
        key(&dir.join("user"));
        fs::copy(dir.join("user.pub"), dir.join("authorized")).unwrap();
        let port = free_ports(1)[0];
        let path = dir.display();
        fs::write(
            dir.join("sshd_config"),
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {path}/host\nPidFile none\nAuthorizedKeysFile {path}/authorized\n\
                 StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nPermitRootLogin yes\n"
            ),
        )
        .unwrap();
        let public = fs::read_to_string(dir.join("host.pub")).unwrap();
        fs::write(dir.join("known"), format!("[127.0.0.1]:{port} {public}")).unwrap();
        let config = dir.join("ssh_config");
        fs::write(
            &config,
            format!(
                "Host vonnegut\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {path}/user\n  IdentitiesOnly yes\n  UserKnownHostsFile {path}/known\n"
            ),
        )
        .unwrap();
        // Where it separates privileges; a system that never ran it has none.
        let _ = fs::create_dir_all("/run/sshd");
        let mut command = Command::new(program);
        command.args(["-D", "-e", "-f"]).arg(dir.join("sshd_config"));
        let log = fs::File::create(dir.join("sshd.log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let sshd = Self { child, config };
        eventually(Duration::from_secs(10), || std::net::TcpStream::connect(("127.0.0.1", port)));
        Some(sshd)
    }
}

#[test]
fn every_verb_works_on_another_machine() {
    let Some(stack) = Stack::new("") else { return };
    let Some(sshd) = Sshd::start(&stack.path("ssh")) else { return };
    let there = stack.path("there");
    let config = sshd.config.display().to_string();
    let set = [
        format!("ssh_config={config}"),
        format!("remote_dir={}", there.display()),
        format!("remote_program={}", env!("CARGO_BIN_EXE_observatory")),
        "services.grafana.enabled=false".to_owned(),
    ];
    let set: Vec<_> = ["config", "set", "--environment", "remote"]
        .into_iter()
        .chain(set.iter().map(String::as_str))
        .collect();
    stack.expect(0, &set);
    let at = ["--environment", "remote", "--host", "vonnegut"];
    let verb = |verb: &[&'static str]| -> Vec<&str> { verb.iter().copied().chain(at).collect() };
    let (out, err) = stack.expect(0, &verb(&["up"]));
    assert_eq!(out.lines().filter(|it| it.contains(" healthy ")).count(), 3, "{out}{err}");
    assert!(there.join("observatory-stack/observatory/db").is_dir());
    assert_eq!(
        fs::metadata(there.join("observatory.yml")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let (out, _) = stack.expect(0, &verb(&["status", "--json"]));
    let status: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&status["status"], &status["environment"]), (&"healthy".into(), &"remote".into()));
    let (out, _) = stack.expect(0, &verb(&["logs", "--tail", "1", "prometheus"]));
    assert_eq!(out.lines().count(), 1, "{out}");
    let (_, err) = stack.expect(0, &verb(&["up"]));
    assert!(err.contains("runs already"), "{err}");
    stack.expect(0, &verb(&["down", "--volumes", "--yes"]));
    stack.expect(3, &verb(&["status"]));
    assert!(!there.join("observatory-stack").exists());
    stack.expect_gone();

    stack.expect(0, &["config", "set", "-e", "remote", "remote_program=no-such-program"]);
    let (_, err) = stack.expect(71, &verb(&["status"]));
    assert!(err.contains("vonnegut has no program no-such-program"), "{err}");
    let (_, err) = stack.expect(2, &["up", "--environment", "remote"]);
    assert!(err.contains("--host HOST"), "{err}");
    let (_, err) = stack.expect(2, &["up", "--environment", "local", "--host", "vonnegut"]);
    assert!(err.contains("this machine"), "{err}");
}

#[test]
fn a_machine_that_cannot_be_reached_is_an_error_soon() {
    let stack = Stack::bare("");
    // It takes the connection and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let refused = free_ports(1)[0];
    stack.write(
        "ssh_config",
        &format!("Host silent\n  HostName 127.0.0.1\n  Port {port}\nHost refused\n  HostName 127.0.0.1\n  Port {refused}\n"),
    );
    stack.expect(0, &["config", "set", "ssh_config=ssh_config"]);
    for host in ["refused", "silent"] {
        let begin = Instant::now();
        let (out, err) = stack.expect(69, &["up", "--environment", "remote", "--host", host]);
        assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
        assert_eq!(out, "");
        assert!(err.contains(&format!("{host} cannot be reached: ")), "{err}");
    }
}
