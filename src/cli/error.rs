//! What can go wrong, and the exit code of each.

use crate::config;
use std::io;

/// Why a command failed. The variants are the exit codes: a script can tell them apart.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command ran, and its answer is no. The message may have been given already.
    #[error("{0}")]
    Refused(String),
    /// The arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// What was asked about does not run.
    #[error("{0}")]
    NotRunning(String),
    /// The configuration is bad.
    #[error(transparent)]
    Config(#[from] config::Invalid),
    /// The configuration would let everyone in.
    #[error(transparent)]
    Exposed(#[from] config::Exposed),
    /// A file or the standard input is not what it should be.
    #[error("{0}")]
    Input(String),
    /// The server cannot be reached, or takes nothing now.
    #[error("{0}")]
    Unavailable(String),
    /// The system refuses something, such as a port.
    #[error("{0}")]
    System(String),
    /// The data directory cannot be used.
    #[error("{0}")]
    Data(String),
    /// What was printed could not be written.
    #[error("cannot write: {0}")]
    Output(io::Error),
    /// The token is missing, wrong or lacks the role.
    #[error("{0}")]
    Denied(String),
    /// Whoever read the output has seen enough, as `| head` does.
    #[error("closed")]
    Closed,
}

/// Every exit code and what it means.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "it worked"),
    (
        1,
        "it ran, and the answer is no: findings in rules, a failing test, an event that was refused",
    ),
    (2, "the command line is wrong"),
    (3, "the stack does not run"),
    (64, "the configuration is bad"),
    (65, "a file or the standard input cannot be read as what it should be"),
    (69, "the server cannot be reached, or takes nothing now"),
    (71, "the system refuses something, such as a port that is taken"),
    (73, "the data directory cannot be used: in use, damaged, or of another version"),
    (74, "the output cannot be written"),
    (77, "the token is missing, wrong, or lacks the role"),
];

impl Error {
    /// The exit code of the program.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::NotRunning(_) => 3,
            Self::Config(_) | Self::Exposed(_) => 64,
            Self::Input(_) => 65,
            Self::Unavailable(_) => 69,
            Self::System(_) => 71,
            Self::Data(_) => 73,
            Self::Output(_) => 74,
            Self::Denied(_) => 77,
        }
    }

    /// The error of another `observatory` that ended with `code` and told the reason itself.
    pub(super) fn of_code(code: i32) -> Result<(), Self> {
        Err(match code {
            0 => return Ok(()),
            2 => Self::Usage(String::new()),
            3 => Self::NotRunning(String::new()),
            64 => Self::Config(config::Invalid { problems: Vec::new() }),
            65 => Self::Input(String::new()),
            69 => Self::Unavailable(String::new()),
            71 => Self::System(String::new()),
            73 => Self::Data(String::new()),
            77 => Self::Denied(String::new()),
            _ => Self::Refused(String::new()),
        })
    }

    /// What to tell the person; nothing if it was said already or there is nobody to tell.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        match (self, self.to_string()) {
            (Self::Closed, _) => None,
            (_, text) if text.is_empty() => None,
            (Self::Config(config::Invalid { problems }), text) => {
                let plural = if problems.len() == 1 { "" } else { "s" };
                let count = problems.len();
                Some(format!("{text}\nobservatory: the configuration has {count} problem{plural}"))
            }
            (_, text) => Some(format!("observatory: {text}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_documented_code() {
        let text = String::new;
        let exposed = config::Exposed { listen: config::Listen { host: String::new(), port: 0 } };
        let table = [
            (Error::Closed, 0),
            (Error::Refused(text()), 1),
            (Error::Usage(text()), 2),
            (Error::NotRunning(text()), 3),
            (Error::Config(config::Invalid { problems: Vec::new() }), 64),
            (Error::Exposed(exposed), 64),
            (Error::Input(text()), 65),
            (Error::Unavailable(text()), 69),
            (Error::System(text()), 71),
            (Error::Data(text()), 73),
            (Error::Output(io::ErrorKind::StorageFull.into()), 74),
            (Error::Denied(text()), 77),
        ];
        for (error, code) in &table {
            assert_eq!(error.exit_code(), *code, "{error:?}");
        }
        for (code, _) in EXIT_CODES {
            assert!(table.iter().any(|it| it.1 == *code), "no error ends with {code}");
        }
        for (_, code) in &table {
            assert!(EXIT_CODES.iter().any(|it| it.0 == *code), "{code} is not documented");
        }
    }

    #[test]
    fn the_readme_has_every_code() {
        let readme = include_str!("../../README.md");
        for (code, meaning) in EXIT_CODES {
            assert!(
                readme.contains(&format!("| {code} | {meaning} |")),
                "README.md lacks exit code {code}"
            );
        }
    }
}
