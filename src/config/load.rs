//! The settings from all their sources. Everything that is wrong is reported, not only the first thing.

use super::keys::{DAYS_VARIABLES, KEYS, Key, OTHER_NAMES, OTHER_VARIABLES};
use super::node::{Kind, Node};
use super::settings::{Listen, Settings};
use super::suggest::suggest;
use super::value::{Context, Fault};
use crate::yaml::{Place, Position};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where settings come from. Of two sources the later field wins.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The path and the text of the file.
    pub file: Option<(PathBuf, String)>,
    /// The environment, whole.
    pub environment: BTreeMap<String, String>,
    /// Flags as the table names them, with their values.
    pub flags: Vec<(&'static str, Vec<String>)>,
}

/// The settings and how they came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What is odd but no error.
    pub warnings: Vec<String>,
    origins: BTreeMap<&'static str, Vec<Origin>>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said otherwise.
    Default,
    /// The file, and the line in it.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(&'static str),
}

/// A bad configuration, with everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct Invalid {
    /// One complete message each: place, key, value, reason. May have several lines.
    pub problems: Vec<String>,
}

/// Reads the settings from `sources`.
///
/// # Errors
///
/// Keys are unknown or values are bad; the error has them all.
pub fn load(sources: &Sources) -> Result<Loaded, Invalid> {
    let mut loader = Loader::default();
    if let Some((path, text)) = &sources.file {
        loader.file(path, text);
    }
    loader.days(&sources.environment);
    loader.other_names(&sources.environment);
    loader.environment(&sources.environment);
    loader.flags(&sources.flags);
    loader.port(&sources.environment);
    loader.check();
    let Loader { settings, warnings, origins, problems } = loader;
    if problems.is_empty() {
        Ok(Loaded { settings, warnings, origins })
    } else {
        Err(Invalid { problems })
    }
}

impl Loaded {
    /// Where the value of `key` came from; several if sources add up.
    #[must_use]
    pub fn origins(&self, key: &Key) -> &[Origin] {
        self.origins.get(key.name).map_or(&[Origin::Default], Vec::as_slice)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

#[derive(Default)]
struct Loader {
    settings: Settings,
    warnings: Vec<String>,
    origins: BTreeMap<&'static str, Vec<Origin>>,
    problems: Vec<String>,
}

/// The file that is being read.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Loader {
    fn file(&mut self, path: &Path, text: &str) {
        let file = File { path, text };
        match Node::parse(text) {
            Ok(root) => self.section(&file, "", &root),
            Err((at, message)) => self.problems.push(file.problem(at, &message)),
        }
    }

    /// Reads the keys below `prefix`.
    fn section(&mut self, file: &File<'_>, prefix: &str, node: &Node) {
        let entries = match &node.kind {
            Kind::Null => return,
            Kind::Map(entries) => entries,
            Kind::Scalar(_) | Kind::List(_) => {
                let what = if prefix.is_empty() { "the file" } else { prefix };
                return self
                    .problems
                    .push(file.problem(node.at, &format!("{what}: expected keys")));
            }
        };
        for (entry, value) in entries {
            let full = if prefix.is_empty() {
                entry.name.clone()
            } else {
                format!("{prefix}.{}", entry.name)
            };
            if full == "stack" {
                // Not of the server: `stack` reads it, and tells what is wrong with it.
            } else if let Some(key) = Key::find(&full) {
                self.file_value(file, key, value, entry.at.position(file.text).line);
            } else if KEYS.iter().any(|it| is_below(it.name, &full)) {
                self.section(file, &full, value);
            } else {
                let hint = suggest(&full, KEYS.iter().map(|it| it.name));
                let message = format!("unknown key `{full}`{hint}");
                self.problems.push(file.problem(Some(entry.at), &message));
            }
        }
    }

    fn file_value(&mut self, file: &File<'_>, key: &'static Key, value: &Node, line: usize) {
        if matches!(value.kind, Kind::Null) {
            return;
        }
        let context = Context { base: file.path.parent().unwrap_or(Path::new("")) };
        let origin = Origin::File(file.path.to_owned(), line);
        for fault in self.apply(key, value, &context, origin) {
            let message = format!("{}: {}", key.name, fault.message);
            self.problems.push(file.problem(fault.at, &message));
        }
    }

    fn environment(&mut self, environment: &BTreeMap<String, String>) {
        let known: BTreeMap<_, _> = KEYS.iter().map(|it| (it.variable(), it)).collect();
        let others = OTHER_VARIABLES.iter().map(|it| it.0).chain(["OBSERVATORY_REVISION"]);
        let others: BTreeSet<_> = others.collect();
        // An empty variable is an unset one: compose files and CI systems cannot leave one out.
        for (name, value) in environment.iter().filter(|(_, value)| !value.is_empty()) {
            if let Some(key) = known.get(name.as_str()) {
                let origin = Origin::Environment(name.clone());
                let context = Context { base: Path::new("") };
                for fault in self.apply(key, &Node::text(value), &context, origin) {
                    self.problems.push(format!("{name}: {}", fault.message));
                }
            } else if name.starts_with("OBSERVATORY_")
                && !name.starts_with("OBSERVATORY_STACK_")
                && !others.contains(name.as_str())
            {
                let names = known.keys().map(AsRef::as_ref).chain(others.iter().copied());
                let hint = suggest(name, names);
                self.warnings.push(format!("unknown environment variable {name}{hint}"));
            }
        }
    }

    /// Variables that other tools read, in days. To be read before our own, which are stronger.
    fn days(&mut self, environment: &BTreeMap<String, String>) {
        for (name, key) in DAYS_VARIABLES {
            let value = environment.get(*name).filter(|it| !it.is_empty());
            let (Some(value), Some(key)) = (value, Key::find(key)) else { continue };
            let Ok(days) = value.trim().parse::<u16>() else {
                self.problems.push(format!("{name}: expected a number of days, found `{value}`"));
                continue;
            };
            let origin = Origin::Environment((*name).to_owned());
            let context = Context { base: Path::new("") };
            for fault in self.apply(key, &Node::text(format!("{days}d")), &context, origin) {
                self.problems.push(format!("{name}: {}", fault.message));
            }
        }
    }

    /// Variables of other tools. To be read before our own, which are stronger.
    fn other_names(&mut self, environment: &BTreeMap<String, String>) {
        for (name, key) in OTHER_NAMES {
            let value = environment.get(*name).filter(|it| !it.is_empty());
            let (Some(value), Some(key)) = (value, Key::find(key)) else { continue };
            let origin = Origin::Environment((*name).to_owned());
            let context = Context { base: Path::new("") };
            for fault in self.apply(key, &Node::text(value), &context, origin) {
                self.problems.push(format!("{name}: {}", fault.message));
            }
        }
    }

    fn flags(&mut self, flags: &[(&'static str, Vec<String>)]) {
        for (flag, values) in flags {
            let Some(key) = Key::of_flag(flag) else {
                self.problems.push(format!("unknown flag {flag}"));
                continue;
            };
            let node = match values.as_slice() {
                [value] => Node::text(value),
                values => Node::texts(values.iter().cloned()),
            };
            let context = Context { base: Path::new("") };
            for fault in self.apply(key, &node, &context, Origin::Flag(flag)) {
                self.problems.push(format!("{flag}: {}", fault.message));
            }
        }
    }

    fn apply(
        &mut self,
        key: &'static Key,
        node: &Node,
        context: &Context<'_>,
        origin: Origin,
    ) -> Vec<Fault> {
        let mut changed = self.settings.clone();
        match (key.set)(&mut changed, node, context) {
            Ok(()) => {
                self.settings = changed;
                let origins = self.origins.entry(key.name).or_default();
                if key.name != "auth.tokens" {
                    origins.clear();
                }
                origins.push(origin);
                Vec::new()
            }
            Err(faults) => faults,
        }
    }

    /// `PORT`, as platforms set it. A platform's proxy comes from another machine; without a token that
    /// would let everyone in, so then it is this machine only.
    fn port(&mut self, environment: &BTreeMap<String, String>) {
        let Some(text) = environment.get("PORT").filter(|it| !it.is_empty()) else { return };
        let Ok(port) = text.parse::<u16>() else {
            return self.problems.push(format!("PORT: expected a port number, found `{text}`"));
        };
        if self.settings.listen.iter().any(|it| it.port == port) {
            return;
        }
        let open = self.settings.auth.disabled || !self.settings.auth.tokens.is_empty();
        if !open {
            self.warnings.push(format!(
                "PORT is set and no token is: listening on 127.0.0.1:{port} only; set OBSERVATORY_TOKEN to listen on every address"
            ));
        }
        let host = if open { "0.0.0.0" } else { "127.0.0.1" };
        self.settings.listen.push(Listen { host: host.to_owned(), port });
        let origins = self.origins.entry("listen").or_insert_with(|| vec![Origin::Default]);
        origins.push(Origin::Environment("PORT".to_owned()));
    }

    /// What can only be judged when everything is known.
    fn check(&mut self) {
        let settings = &self.settings;
        let durations = [
            ("relaxed_flush_interval", settings.relaxed_flush_interval),
            ("rules.watch_interval", settings.rules.watch_interval),
            ("limits.header_timeout", settings.limits.header_timeout),
            ("limits.body_timeout", settings.limits.body_timeout),
            ("limits.idle_timeout", settings.limits.idle_timeout),
            ("limits.write_timeout", settings.limits.write_timeout),
            ("dedup.window", settings.dedup.window),
            ("snapshot.interval", settings.snapshot.interval),
            ("retention.interval", settings.retention.interval),
            ("notify.timeout", settings.notify.timeout),
            ("notify.give_up_after", settings.notify.give_up_after),
        ];
        for (name, _) in durations.iter().filter(|(_, value)| *value == Duration::ZERO) {
            let origin =
                self.origins.get(name).and_then(|it| it.last()).unwrap_or(&Origin::Default);
            self.problems
                .push(format!("{name}: expected a duration above 0, found `0s` ({origin})"));
        }
        self.problems.extend(settings.notify.check());
        let mut names = BTreeSet::new();
        let mut secrets = BTreeSet::new();
        for token in &settings.auth.tokens {
            if !names.insert(token.name.as_str()) {
                self.problems.push(format!("auth.tokens: two tokens are called `{}`", token.name));
            }
            if !secrets.insert(token.secret.expose()) {
                let message = format!("auth.tokens: the token of `{}` is given twice", token.name);
                self.problems.push(message);
            }
        }
        if settings.auth.disabled && !settings.auth.tokens.is_empty() {
            let message = "auth.disabled is set: the tokens are not asked for";
            self.warnings.push(message.to_owned());
        }
    }
}

/// Whether `key` is in the section `section`.
fn is_below(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|it| it.starts_with('.'))
}

impl File<'_> {
    /// `message` with the place, and the line with a caret below what is meant.
    fn problem(&self, at: Option<Place>, message: &str) -> String {
        let path = self.path.display();
        let Some(at) = at else { return format!("{path}: {message}") };
        let Position { line, column, len } = at.position(self.text);
        let place = format!("{path}:{line}:{column}: {message}");
        let shown = self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let secret = ["password", "webhook_url"].iter().any(|it| shown.contains(it));
        if secret || self.may_hold_secret(line) {
            return place;
        }
        let width = line.to_string().len();
        let before: String = shown
            .chars()
            .take(column.saturating_sub(1))
            .map(|it| if it == '\t' { '\t' } else { ' ' })
            .collect();
        let left = shown.chars().count().saturating_sub(column.saturating_sub(1));
        let carets = "^".repeat(len.clamp(1, left.max(1)));
        format!("{place}\n {:width$} |\n {line} | {shown}\n {:width$} | {before}{carets}", "", "")
    }

    /// Whether a token may stand in this line; a mistake beside one must not bring it into a log.
    fn may_hold_secret(&self, line: usize) -> bool {
        let lines = self.text.lines().take(line);
        let mut indent = None;
        for text in lines {
            let depth = text.len() - text.trim_start().len();
            if text.trim_start().starts_with("tokens:")
                || text.trim_start().starts_with("auth.tokens:")
            {
                indent = Some(depth);
            } else if !text.trim().is_empty() && indent.is_some_and(|it| depth < it) {
                indent = None;
            }
        }
        indent.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(
        file: &str,
        environment: &[(&str, &str)],
        flags: &[(&'static str, &str)],
    ) -> Sources {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Sources {
            file: Some((PathBuf::from("o.yml"), file.to_owned())),
            environment: environment.iter().map(owned).collect(),
            flags: flags.iter().map(|(name, value)| (*name, vec![(*value).to_owned()])).collect(),
        }
    }

    #[track_caller]
    fn check(sources: &Sources, key: &str, value: &str, origin: &str) {
        let loaded = load(sources).unwrap_or_else(|it| panic!("{it}"));
        let key = Key::find(key).unwrap();
        let origins: Vec<_> = loaded.origins(key).iter().map(ToString::to_string).collect();
        assert_eq!(
            (key.show(&loaded.settings).as_str(), origins.join(" ").as_str()),
            (value, origin)
        );
    }

    #[test]
    fn flag_over_environment_over_file_over_default() {
        let file = "listen: ['a:1']\ndata_dir: f\n";
        let environment = [("OBSERVATORY_LISTEN", "b:2,c:3"), ("OBSERVATORY_DATA_DIR", "e")];
        let flags = [("--listen", "d:4")];
        check(&sources("", &[], &[]), "listen", "[127.0.0.1:9091]", "default");
        check(&sources(file, &[], &[]), "listen", "[a:1]", "o.yml:1");
        check(&sources(file, &environment, &[]), "listen", "[b:2, c:3]", "OBSERVATORY_LISTEN");
        check(&sources(file, &environment, &flags), "listen", "[d:4]", "--listen");
        check(&sources(file, &environment, &flags), "data_dir", "e", "OBSERVATORY_DATA_DIR");
    }

    #[test]
    fn sections_nulls_and_empty_variables() {
        check(&sources("limits: {depth: 3}", &[], &[]), "limits.depth", "3", "o.yml:1");
        check(&sources("limits.depth: 3", &[], &[]), "limits.depth", "3", "o.yml:1");
        check(&sources("limits:\nlog:\n  level:\n", &[], &[]), "log.level", "info", "default");
        let empty = sources("", &[("OBSERVATORY_LOG_LEVEL", "")], &[]);
        check(&empty, "log.level", "info", "default");
    }

    #[test]
    fn paths_of_the_file_begin_where_the_file_is() {
        let mut sources = sources("rules: {file: my.yml}\ndata_dir: /d", &[], &[]);
        sources.file.as_mut().unwrap().0 = PathBuf::from("/etc/observatory/o.yml");
        check(&sources, "rules.file", "/etc/observatory/my.yml", "/etc/observatory/o.yml:1");
        check(&sources, "data_dir", "/d", "/etc/observatory/o.yml:2");
    }

    #[test]
    fn tokens_of_all_sources_add_up() {
        let file = "auth:\n  tokens: [{name: ci, roles: [ingest], token: 12345678}]";
        let sources = sources(file, &[("OBSERVATORY_TOKEN", "abcdefgh")], &[]);
        let shown = "[{name: ci, roles: [ingest], token: \"***\"}, {name: environment-1, roles: [ingest, read], token: \"***\"}]";
        check(&sources, "auth.tokens", shown, "o.yml:2 OBSERVATORY_TOKEN");
    }

    #[test]
    fn other_tools_give_days() {
        let days = ("LOGS_RETENTION_DAYS", "3");
        let file = "retention: {logs: 5d}";
        check(&sources(file, &[days], &[]), "retention.logs", "3d", "LOGS_RETENTION_DAYS");
        let ours = ("OBSERVATORY_RETENTION_LOGS", "12h");
        let stronger = sources(file, &[days, ours], &[]);
        check(&stronger, "retention.logs", "12h", "OBSERVATORY_RETENTION_LOGS");
        let off = sources("", &[("METRICS_RETENTION_DAYS", "0")], &[]);
        check(&off, "retention.samples", "off", "METRICS_RETENTION_DAYS");
        check_problems(
            &sources("", &[("LOGS_RETENTION_DAYS", "7d")], &[]),
            &["LOGS_RETENTION_DAYS: expected a number of days, found `7d`"],
        );
    }

    #[test]
    fn port_opens_only_with_a_token() {
        let port = ("PORT", "8000");
        let closed = sources("", &[port], &[]);
        check(&closed, "listen", "[127.0.0.1:9091, 127.0.0.1:8000]", "default PORT");
        assert!(load(&closed).unwrap().warnings[0].contains("OBSERVATORY_TOKEN"));
        let open = sources("", &[port, ("OBSERVATORY_TOKEN", "abcdefgh")], &[]);
        check(&open, "listen", "[127.0.0.1:9091, 0.0.0.0:8000]", "default PORT");
        let there = sources("listen: ':8000'", &[port], &[]);
        check(&there, "listen", "[0.0.0.0:8000]", "o.yml:1");
    }

    #[track_caller]
    fn check_problems(sources: &Sources, expected: &[&str]) {
        assert_eq!(load(sources).unwrap_err().problems, expected);
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let file =
            "lisen: [x]\nlimits:\n  dept: 3\n  body_bytes: tiny\n  elements: [1]\nlog: loud\n";
        let environment = [("OBSERVATORY_LIMITS_DEPTH", "deep"), ("PORT", "http")];
        check_problems(
            &sources(file, &environment, &[("--durability", "eventual")]),
            &[
                "o.yml:1:1: unknown key `lisen`, did you mean `listen`?\n   |\n 1 | lisen: [x]\n   | ^^^^^",
                "o.yml:3:3: unknown key `limits.dept`, did you mean `limits.depth`?\n   |\n 3 |   dept: 3\n   |   ^^^^",
                "o.yml:4:15: limits.body_bytes: expected a size above 0 such as 10MiB, 10MB or a number of bytes, found `tiny`\n   |\n 4 |   body_bytes: tiny\n   |               ^^^^",
                "o.yml:5:13: limits.elements: expected a whole number above 0, found a list\n   |\n 5 |   elements: [1]\n   |             ^",
                "o.yml:6:6: log: expected keys\n   |\n 6 | log: loud\n   |      ^^^^",
                "OBSERVATORY_LIMITS_DEPTH: expected a whole number above 0, found `deep`",
                "--durability: expected `sync` or `relaxed`, found `eventual`",
                "PORT: expected a port number, found `http`",
            ],
        );
    }

    #[test]
    fn what_is_no_yaml_is_shown_with_a_caret() {
        let err = load(&sources("listen: [a:1\nlog: {}", &[], &[])).unwrap_err();
        assert!(err.problems[0].starts_with("o.yml:") && err.problems[0].contains('^'), "{err}");
        check_problems(
            &sources("- a", &[], &[]),
            &["o.yml:1:1: the file: expected keys\n   |\n 1 | - a\n   | ^"],
        );
    }

    #[test]
    fn zero_is_no_interval() {
        check_problems(
            &sources("snapshot: {interval: 0s}", &[], &[]),
            &["snapshot.interval: expected a duration above 0, found `0s` (o.yml:1)"],
        );
    }

    #[test]
    fn no_problem_shows_a_token() {
        let secret = "s3cret-s3cret";
        let broken = [
            "auth:\n  tokens:\n    - {name: a, roles: [boss], token: s3cret-s3cret}",
            "auth:\n  tokens:\n    - name: a\n      roles: [read]\n      token: s3cret-s3cret s3cret-s3cret",
            "auth:\n  tokens:\n    - name: a\n      roles: [read]\n      token: s3cret-s3cret: s3cret-s3cret",
            "auth:\n  tokens: [{name: a, token: s3cret-s3cret, token: s3cret-s3cret}]",
            "auth:\n  tokens: [{name: a, roles: [read], token: s3cret-s3cret}, {name: b, roles: [read], token: s3cret-s3cret}]",
        ];
        for file in broken {
            let err = load(&sources(file, &[], &[])).unwrap_err().to_string();
            assert!(!err.contains(secret), "{err}");
        }
        let environment = [("OBSERVATORY_TOKEN", "s3cret-s3cret s3cret-s3cret")];
        let err = load(&sources("", &environment, &[])).unwrap_err().to_string();
        assert!(!err.contains(secret), "{err}");
    }

    #[test]
    fn an_unknown_variable_is_a_warning() {
        let environment = [("OBSERVATORY_DATADIR", "x"), ("OBSERVATORY_URL", "x"), ("HOME", "x")];
        let loaded = load(&sources("", &environment, &[])).unwrap();
        let expected = "unknown environment variable OBSERVATORY_DATADIR, did you mean `OBSERVATORY_DATA_DIR`?";
        assert_eq!(loaded.warnings, [expected]);
    }
}
