//! Every command in `README.md` and `docs/` is run here, or says why it is not.
//!
//! The blocks of a page run one after the other in one empty directory, against one server; `http://127.0.0.1:9091` and
//! `http://localhost:9091` mean it. Comments right above a block say what else holds for it:
//!
//! - `<!-- not run: REASON -->`
//! - `<!-- run by: FILE::FUNCTION -->`: a test that runs it, and that exists.
//! - `<!-- fresh -->`: in a directory and against a server of its own, because it changes who is let in, say.
//! - `<!-- setup: COMMAND -->`: what the reader has done before.
//! - `<!-- exit: CODE -->`: how it ends, if not well.
//! - `<!-- file: NAME -->`: the block is a file that later ones use.
//! - `<!-- same as: FILE -->`: the block is a part of that file.
//! - `<!-- in the source -->`: messages; each line is in the program's source, between its `...`.
//!
//! In a block with lines that start with `$ ` those are the commands and the others what they print, where `...` is
//! anything. What would run for ever (`serve`, `tail`, `demo`, `curl -N`) is ended after a second and a half.

use crate::support::{Server, Settings, program, python};
use std::{
    cell::Cell,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

struct Block {
    page: String,
    line: usize,
    kind: String,
    marks: Vec<(String, String)>,
    text: String,
}

impl Block {
    fn mark(&self, name: &str) -> Option<&str> {
        self.marks.iter().find(|it| it.0 == name).map(|it| it.1.as_str())
    }

    /// Whether it is something that a reader would type or run.
    fn is_command(&self) -> bool {
        let first = self.text.lines().next().unwrap_or_default();
        let bare = self.kind.is_empty()
            && ["curl ", "observatory ", "$ "].iter().any(|it| first.starts_with(it));
        bare || ["console", "sh", "bash", "shell", "python", "js"].contains(&self.kind.as_str())
    }
}

const MARKS: [&str; 8] =
    ["not run", "run by", "fresh", "setup", "exit", "file", "same as", "in the source"];

/// What every script begins with. Commands that run for ever are given a moment.
const PRELUDE: &str = r#"
set -eo pipefail
moment() { local code=0; timeout --signal=INT 1.5 "$@" || code=$?; case $code in 124 | 130) ;; *) return $code ;; esac; }
observatory() {
  case $1 in
    serve) OBSERVATORY_LISTEN=127.0.0.1:0 OBSERVATORY_DATA_DIR=$(mktemp -d -p "$HOME") moment "$PROGRAM" "$@" ;;
    # Where nothing names a server, it works on the data directory.
    token) env -u OBSERVATORY_URL "$PROGRAM" "$@" ;;
    tail | demo) moment "$PROGRAM" "$@" ;;
    *) "$PROGRAM" "$@" ;;
  esac
}
curl() { case " $* " in *" -N "*) moment curl -sS "$@" ;; *) command curl -sS "$@" ;; esac; }
"#;

#[test]
fn every_command_is_run_or_says_why_not() {
    let mut wrong = String::new();
    let (mut run, mut left) = (0, 0);
    for page in pages() {
        let blocks = blocks(&page);
        let mut place = None;
        for block in &blocks {
            let res = match judge(block) {
                Some(it) => it,
                None if !block.is_command() && block.mark("file").is_none() => continue,
                None => {
                    run += 1;
                    if block.mark("fresh").is_some() {
                        Place::new().run(block)
                    } else {
                        place.get_or_insert_with(Place::new).run(block)
                    }
                }
            };
            left += usize::from(block.mark("not run").is_some());
            if let Err(it) = res {
                writeln!(wrong, "\n{}:{}: {it}", block.page, block.line).unwrap();
            }
        }
    }
    eprintln!("{run} blocks were run, {left} say why not");
    assert!(wrong.is_empty(), "{wrong}");
    assert!(run >= 25, "{run} blocks were run");
}

/// What can be said of a block without running it; `None` if it must run.
fn judge(block: &Block) -> Option<Result<(), String>> {
    if let Some((name, _)) = block.marks.iter().find(|it| !MARKS.contains(&it.0.as_str())) {
        return Some(Err(format!("`{name}` is no mark; they are {MARKS:?}")));
    }
    if let Some(reason) = block.mark("not run") {
        let told = reason.split(' ').count() >= 3;
        return Some(if told { Ok(()) } else { Err("why is it not run?".to_owned()) });
    }
    if let Some(test) = block.mark("run by") {
        let (path, function) = test.split_once("::").unwrap_or((test, ""));
        let text = fs::read_to_string(root().join(path)).unwrap_or_default();
        let there = text.contains(&format!("\nfn {function}()"));
        return Some(if there { Ok(()) } else { Err(format!("there is no test {test}")) });
    }
    if let Some(path) = block.mark("same as") {
        let there = fs::read_to_string(root().join(path)).is_ok_and(|it| it.contains(&block.text));
        return Some(if there { Ok(()) } else { Err(format!("it is not in {path}")) });
    }
    block.mark("in the source").map(|_| in_the_source(block))
}

/// Holds each line to the source, in which a text may be broken and have places for values.
fn in_the_source(block: &Block) -> Result<(), String> {
    let squeeze = |it: &str| {
        it.chars().filter(|c| !c.is_whitespace() && !"\\\"".contains(*c)).collect::<String>()
    };
    let source: String = sources(&root().join("src")).iter().map(|it| squeeze(it)).collect();
    for line in block.text.lines() {
        for part in line.split("...").map(str::trim).filter(|it| it.len() > 3) {
            if !source.contains(&squeeze(part)) {
                return Err(format!("`{part}` is not in the source"));
            }
        }
    }
    Ok(())
}

fn sources(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|it| it.unwrap().path());
    entries
        // What only tests say, nobody sees.
        .filter(|it| !it.to_string_lossy().contains("tests"))
        .flat_map(|it| match it.is_dir() {
            true => sources(&it),
            false => vec![fs::read_to_string(it).unwrap_or_default()],
        })
        .collect()
}

/// Where the blocks of a page run.
struct Place {
    server: Server,
    dir: tempfile::TempDir,
    /// Whether a block was left out for want of its interpreter: what later ones print depends on it.
    partial: Cell<bool>,
}

impl Place {
    fn new() -> Self {
        // Writable by its owner only, as the files of a person are.
        let (server, dir) = (Server::start_with(Settings::new()), tempfile::tempdir().unwrap());
        Self { server, dir, partial: Cell::new(false) }
    }

    fn run(&self, block: &Block) -> Result<(), String> {
        for (_, setup) in block.marks.iter().filter(|it| it.0 == "setup") {
            let output = self.bash(setup);
            if !output.status.success() {
                return Err(format!("setup: {setup}\n{}", said(&output)));
            }
        }
        if let Some(name) = block.mark("file") {
            fs::write(self.dir.path().join(name), &block.text).map_err(|it| it.to_string())?;
            return Ok(());
        }
        let (commands, printed) = match block.text.lines().any(|it| it.starts_with("$ ")) {
            true => conversation(&block.text),
            false => (block.text.clone(), Vec::new()),
        };
        let expected = block.mark("exit").map_or(Some(0), |it| it.parse().ok());
        let Some(output) = self.run_as(&block.kind, &commands) else {
            self.partial.set(true);
            return Ok(());
        };
        let printed = if self.partial.get() { Vec::new() } else { printed };
        if output.status.code() != expected {
            return Err(format!(
                "{:?} instead of {expected:?}\n{commands}\n{}",
                output.status,
                said(&output)
            ));
        }
        missing(&printed, &said(&output))
            .map_or(Ok(()), |it| Err(format!("it does not print `{it}`, but\n{}", said(&output))))
    }

    /// `None`: there is no such interpreter here, and that was said.
    fn run_as(&self, kind: &str, text: &str) -> Option<Output> {
        let (interpreter, name): (PathBuf, _) = match kind {
            "python" => (python()?, "snippet.py"),
            "js" => (program("node")?, "snippet.mjs"),
            _ => return Some(self.bash(text)),
        };
        fs::write(self.dir.path().join(name), self.here(text)).unwrap();
        Some(self.command(&interpreter).arg(name).output().unwrap())
    }

    fn bash(&self, text: &str) -> Output {
        let script = format!("{PRELUDE}{}", self.here(text));
        // What asks, or waits for ever, is a mistake of its page.
        let mut bash = self.command(Path::new("timeout"));
        bash.args(["--kill-after=5", "60", "bash", "-c", &script]).stdin(Stdio::null());
        bash.output().unwrap()
    }

    /// The server of the test in the place of that of the reader.
    fn here(&self, text: &str) -> String {
        let url = format!("http://{}", self.server.addr);
        text.replace("http://127.0.0.1:9091", &url).replace("http://localhost:9091", &url)
    }

    fn command(&self, program: &Path) -> Command {
        let own = env!("CARGO_BIN_EXE_observatory");
        let path = format!("{}:{}", Path::new(own).parent().unwrap().display(), path());
        let mut command = Command::new(program);
        command.env_clear().env("PATH", path).env("PROGRAM", own).env("NO_COLOR", "1");
        command.env("HOME", self.dir.path()).env("REPOSITORY", root());
        command.env("OBSERVATORY_URL", format!("http://{}", self.server.addr));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }
}

/// The commands of a block with `$ `, continued lines included, and what it shows as printed.
fn conversation(text: &str) -> (String, Vec<String>) {
    let (mut commands, mut printed, mut goes_on) = (String::new(), Vec::new(), false);
    for line in text.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push_str(command),
            None if goes_on => commands.push_str(line),
            None => {
                printed.push(line.to_owned());
                continue;
            }
        }
        commands.push('\n');
        goes_on = line.ends_with('\\');
    }
    (commands, printed)
}

/// The first line of `printed` that `output` does not have, in this order. Not every answer ends its line.
fn missing(printed: &[String], output: &str) -> Option<String> {
    let mut at = 0;
    for wanted in printed.iter().filter(|it| it.trim() != "..." && !it.trim().is_empty()) {
        let pattern = regex::escape(wanted.trim()).replace(r"\.\.\.", ".*?");
        match regex::Regex::new(&pattern).unwrap().find_at(output, at) {
            Some(it) => at = it.end(),
            None => return Some(wanted.clone()),
        }
    }
    None
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|it| format!("docs/{}", it.unwrap().file_name().to_string_lossy()));
    let mut pages: Vec<_> = docs.filter(|it| it.ends_with(".md")).collect();
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let (mut blocks, mut marks, mut open) = (Vec::new(), Vec::new(), None::<Block>);
    for (at, line) in text.lines().enumerate() {
        if let Some(block) = &mut open {
            if line.trim() == "```" {
                blocks.extend(open.take());
            } else {
                block.text.push_str(line);
                block.text.push('\n');
            }
        } else if let Some(kind) = line.trim().strip_prefix("```") {
            let (page, kind, marks) =
                (page.to_owned(), kind.to_owned(), std::mem::take(&mut marks));
            open = Some(Block { page, line: at + 1, kind, marks, text: String::new() });
        } else if let Some(mark) = line.strip_prefix("<!-- ").and_then(|it| it.strip_suffix(" -->"))
        {
            let (name, value) = mark.split_once(": ").unwrap_or((mark, ""));
            marks.push((name.to_owned(), value.to_owned()));
        } else if !line.trim().is_empty() {
            marks.clear();
        }
    }
    assert!(open.is_none(), "{page}: a block is not closed");
    blocks
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::disallowed_methods, reason = "a child with an environment of its own needs it")]
fn path() -> String {
    std::env::var("PATH").unwrap()
}
