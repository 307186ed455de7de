//! Another machine, by ssh: never a question, never without an end.

use super::settings::Profile;
use std::{path::PathBuf, process::Command};

/// How a machine is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// Its name, as ssh knows it.
    pub host: String,
    /// Who logs in.
    pub user: Option<String>,
    /// A configuration file.
    pub config: Option<PathBuf>,
}

impl Ssh {
    /// The machine of `profile`, if it is another.
    #[must_use]
    pub fn of(profile: &Profile) -> Option<Self> {
        let host = profile.host.clone()?;
        Some(Self { host, user: profile.ssh_user.clone(), config: profile.ssh_config.clone() })
    }

    /// Runs `words` there, as one line of its shell.
    #[must_use]
    pub fn command(&self, words: &str) -> Command {
        let mut command = self.options();
        command.args(["-T", "--", &self.host, words]);
        command
    }

    /// Passes on connections, from sockets here to sockets or `HOST:PORT` there, until it is ended.
    #[must_use]
    pub fn forward(&self, targets: &[(PathBuf, String)]) -> Command {
        let mut command = self.options();
        command.args(["-N", "-o", "ExitOnForwardFailure=yes"]);
        for (here, there) in targets {
            command.arg("-L").arg(format!("{}:{there}", here.display()));
        }
        command.args(["--", &self.host]);
        command
    }

    fn options(&self) -> Command {
        let mut command = Command::new("ssh");
        if let Some(it) = &self.config {
            command.arg("-F").arg(it);
        }
        // The time to connect counts until the server has said who it is; afterwards a silent peer is given up.
        for option in [
            "BatchMode=yes",
            "ControlMaster=no",
            "ConnectTimeout=8",
            "ConnectionAttempts=1",
            "ServerAliveInterval=5",
            "ServerAliveCountMax=3",
        ] {
            command.args(["-o", option]);
        }
        if let Some(it) = &self.user {
            command.args(["-l", it]);
        }
        command
    }
}

/// `word` for a shell.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "/._-=:,@%+".contains(it);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_shell_as_they_are() {
        assert_eq!(quoted("a/b-c"), "a/b-c");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn nothing_is_asked_and_nothing_waits_for_ever() {
        let ssh = Ssh { host: "h".to_owned(), user: Some("u".to_owned()), config: None };
        let command = ssh.command("ls");
        let arguments: Vec<_> = command.get_args().map(|it| it.to_string_lossy()).collect();
        let text = arguments.join(" ");
        assert!(text.starts_with("-o BatchMode=yes -o ControlMaster=no "), "{text}");
        assert!(text.ends_with("-l u -T -- h ls"), "{text}");
    }
}
