//! `observatory completions`.

use super::{Error, Session};
use clap_complete::Shell;

/// Print the completions of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints a script that lets the shell complete verbs and flags. It knows the flags of this version: make it anew after an
upgrade. The Debian package brings it for bash, zsh and fish.

Examples:
  observatory completions bash > ~/.local/share/bash-completion/completions/observatory
  observatory completions zsh > ~/.zfunc/_observatory      # a directory of $fpath
  observatory completions fish > ~/.config/fish/completions/observatory.fish")]
pub(super) struct Args {
    /// Which shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Prints them.
pub(super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "observatory", &mut script);
    session.write(&script)
}

#[cfg(test)]
mod tests {
    use super::super::tests::observatory;

    #[test]
    fn every_shell_is_told_the_verbs() {
        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            let (status, out, err) = observatory(&["completions", shell], &[], "");
            assert_eq!((status, err.as_str()), (0, ""), "{shell}");
            assert!(out.contains("completions") && out.contains("data-dir"), "{shell}: {out}");
        }
    }

    #[test]
    fn another_shell_is_refused() {
        let (status, out, err) = observatory(&["completions", "tcsh"], &[], "");
        assert!(status == 2 && out.is_empty() && err.contains("bash"), "{err}");
    }
}
