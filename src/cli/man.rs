//! `observatory man`.

use super::{Error, Session};
use clap_mangen::Man;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Print the manual page of a verb, or write all of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A page is roff, which `man -l -` reads.

Examples:
  observatory man | man -l -
  observatory man token create | man -l -
  observatory man --output /usr/local/share/man/man1")]
pub(super) struct Args {
    /// The verb; without one, the program itself
    #[arg(value_name = "VERB", conflicts_with = "output")]
    verb: Vec<String>,
    /// Write every page into this directory, which is made if it is absent
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// One page: its name without the section, and its text.
type Page = (String, Vec<u8>);

/// Prints a page, or writes all.
pub(super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let wanted = ["observatory"].into_iter().chain(args.verb.iter().map(String::as_str));
    let wanted = wanted.collect::<Vec<_>>().join("-");
    let pages = pages().map_err(Error::Output)?;
    if let Some(dir) = &args.output {
        return write(dir, &pages).map_err(|err| {
            Error::Output(io::Error::new(err.kind(), format!("{}: {err}", dir.display())))
        });
    }
    match pages.into_iter().find(|(name, _)| *name == wanted) {
        Some((_, text)) => session.write(&text),
        None => Err(Error::Usage(format!(
            "there is no verb `{}`; `observatory --help` lists them",
            args.verb.join(" ")
        ))),
    }
}

/// The pages of the program and of every verb.
fn pages() -> io::Result<Vec<Page>> {
    let mut command = super::command();
    // Gives every verb the flags and the full name that it has on the command line.
    command.build();
    let mut pages = Vec::new();
    collect(&command, "observatory", &mut pages)?;
    Ok(pages)
}

fn collect(command: &clap::Command, name: &str, pages: &mut Vec<Page>) -> io::Result<()> {
    let verbs = command.get_subcommands().filter(|it| it.get_name() != "help");
    for verb in verbs {
        collect(verb, &format!("{name}-{}", verb.get_name()), pages)?;
    }
    let mut text = Vec::new();
    Man::new(command.clone().disable_help_subcommand(true)).title(name).render(&mut text)?;
    pages.push((name.to_owned(), text));
    Ok(())
}

fn write(dir: &Path, pages: &[Page]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    pages.iter().try_for_each(|(name, text)| fs::write(dir.join(format!("{name}.1")), text))
}

#[cfg(test)]
mod tests {
    use super::super::tests::observatory;
    use std::fs;

    #[test]
    fn a_verb_has_a_page() {
        let (status, out, err) = observatory(&["man", "token", "create"], &[], "");
        assert_eq!((status, err.as_str()), (0, ""));
        assert!(out.contains(".TH observatory-token-create 1"), "{out}");
        assert!(out.contains("\\-\\-expires"), "{out}");
        let (status, out, _) = observatory(&["man"], &[], "");
        assert!(status == 0 && out.contains(".SH SUBCOMMANDS"), "{out}");
    }

    #[test]
    fn what_is_no_verb_is_refused() {
        let (status, out, err) = observatory(&["man", "token", "mint"], &[], "");
        assert!(status == 2 && out.is_empty(), "{out}");
        assert!(err.contains("there is no verb `token mint`"), "{err}");
    }

    #[test]
    fn all_pages_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("man1");
        let (status, _, err) = observatory(&["man", "--output", into.to_str().unwrap()], &[], "");
        assert_eq!((status, err.as_str()), (0, ""));
        let mut names: Vec<_> =
            fs::read_dir(&into).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        assert!(names.len() > 20 && names[0] == "observatory-backup.1", "{names:?}");
        assert!(into.join("observatory-token-create.1").exists(), "{names:?}");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let (status, _, err) = observatory(&["man", "--output", "/dev/null/man"], &[], "");
        assert!(status == 74 && err.contains("/dev/null/man"), "{err}");
    }
}
