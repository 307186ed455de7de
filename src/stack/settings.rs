//! The section `stack` of the configuration file: one table of keys, and environments that differ in some of them.
//!
//! Of several sources the later wins: default, `stack.KEY`, `stack.environments.NAME.KEY`, the variable
//! `OBSERVATORY_STACK_KEY`, a flag.

mod keys;

pub use keys::{KEYS, Key};

use crate::config::{Invalid, Origin};
use crate::yaml::{Duplicates, Kind, Node, parse};
use keys::Text;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// What the settings of one environment say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What runs the services.
    pub backend: Backend,
    /// The machine they run on; `None` is this one.
    pub host: Option<String>,
    /// Who logs in there; `None` leaves it to ssh.
    pub ssh_user: Option<String>,
    /// A configuration file for ssh, besides the person's own.
    pub ssh_config: Option<PathBuf>,
    /// The directory on the other machine in which the stack is.
    pub remote_dir: String,
    /// The program on the other machine.
    pub remote_program: String,
    /// Where everything of the stack is.
    pub data_dir: PathBuf,
    /// Whether a stop removes all data.
    pub ephemeral: bool,
    /// The address that all services listen on.
    pub bind_address: String,
    /// How long Prometheus keeps samples, as it writes durations.
    pub retention: String,
    /// The directory with the secrets that the configuration of Alertmanager names.
    pub secrets: PathBuf,
    /// How long a start may take.
    pub start_timeout: Duration,
    /// The program that runs containers.
    pub engine: Tool,
    /// The name that containers and volumes begin with.
    pub project: String,
    /// The services, by name.
    pub services: BTreeMap<ServiceName, Settings>,
}

/// What runs the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Programs of this machine.
    Processes,
    /// Containers, by the compose file.
    Compose,
}

/// The program that runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The first that is there.
    Auto,
    /// `docker compose`.
    Docker,
    /// `podman compose`.
    Podman,
}

/// A service of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceName {
    /// This program.
    Observatory,
    /// Scrapes it, and evaluates rules.
    Prometheus,
    /// Tells people of what the rules find.
    Alertmanager,
    /// Shows it.
    Grafana,
}

/// Whether a service is part of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enabled {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// If its program is there.
    Auto,
}

/// The settings of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether it is part of the stack.
    pub enabled: Enabled,
    /// Its port.
    pub port: u16,
    /// The program, a name or a path; `None` looks for the usual names.
    pub program: Option<String>,
    /// A configuration file instead of the one that comes with the program.
    pub config: Option<PathBuf>,
}

/// Where the settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The path and the text of the configuration file.
    pub file: Option<(PathBuf, String)>,
    /// The environment, whole.
    pub environment: BTreeMap<String, String>,
    /// The environment of the stack that was asked for.
    pub chosen: Option<String>,
    /// Keys that flags set, with the flag.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

/// The settings of one environment, and where each came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Which environment it is.
    pub environment: String,
    /// All that there are.
    pub environments: Vec<String>,
    /// What it says.
    pub profile: Profile,
    origins: BTreeMap<&'static str, Origin>,
}

/// Those that need no line in the file.
const BUILT_IN: [&str; 2] = ["local", "remote"];

/// Reads the settings of one environment.
///
/// # Errors
///
/// Everything that is wrong with the section, with the environments besides the chosen one, or with the flags.
pub fn load(sources: &Sources) -> Result<Loaded, Invalid> {
    let mut problems = Vec::new();
    let section =
        sources.file.as_ref().and_then(|(path, text)| Section::read(path, text, &mut problems));
    let section = section.unwrap_or_default();
    let names: Vec<String> = section.environments.keys().cloned().collect();
    let variable =
        sources.environment.get("OBSERVATORY_STACK_ENVIRONMENT").filter(|it| !it.is_empty());
    let chosen = sources.chosen.as_ref().or(variable).or(section.chosen.as_ref());
    let chosen = chosen.map_or_else(|| "local".to_owned(), Clone::clone);
    let mut environments: Vec<String> =
        BUILT_IN.iter().map(|it| (*it).to_owned()).chain(names).collect();
    environments.sort();
    environments.dedup();
    if !environments.contains(&chosen) {
        let known = environments.join(", ");
        problems.push(format!("environment: there is no `{chosen}`; there are {known}"));
    }
    // An environment that is not asked for is read as well: `validate` tells of all.
    for values in section.environments.iter().filter(|it| *it.0 != chosen).map(|it| it.1) {
        apply(&mut section.profile(), &mut BTreeMap::new(), values, &mut problems);
    }
    let mut profile = Profile::default();
    let mut origins = BTreeMap::new();
    apply(&mut profile, &mut origins, &section.values, &mut problems);
    let of_chosen = section.environments.get(&chosen).map_or(&[][..], Vec::as_slice);
    apply(&mut profile, &mut origins, of_chosen, &mut problems);
    let variables = KEYS.iter().filter_map(|key| {
        let name = key.variable();
        let text = sources.environment.get(&name).filter(|it| !it.is_empty())?;
        Some(Given {
            key,
            text: text.clone(),
            base: PathBuf::new(),
            origin: Origin::Environment(name),
        })
    });
    apply(&mut profile, &mut origins, &variables.collect::<Vec<_>>(), &mut problems);
    let flags = sources.flags.iter().filter_map(|(name, flag, text)| {
        let key = Key::find(name)?;
        Some(Given { key, text: text.clone(), base: PathBuf::new(), origin: Origin::Flag(flag) })
    });
    apply(&mut profile, &mut origins, &flags.collect::<Vec<_>>(), &mut problems);
    profile.check(&mut problems);
    problems.dedup();
    if problems.is_empty() {
        Ok(Loaded { environment: chosen, environments, profile, origins })
    } else {
        Err(Invalid { problems })
    }
}

/// A value that some source gives.
#[derive(Clone, Debug)]
struct Given {
    key: &'static Key,
    text: String,
    base: PathBuf,
    origin: Origin,
}

/// What the file says.
#[derive(Clone, Debug, Default)]
struct Section {
    chosen: Option<String>,
    values: Vec<Given>,
    environments: BTreeMap<String, Vec<Given>>,
}

fn apply(
    profile: &mut Profile,
    origins: &mut BTreeMap<&'static str, Origin>,
    values: &[Given],
    problems: &mut Vec<String>,
) {
    for Given { key, text, base, origin } in values {
        match (key.set)(profile, &Text { text, base }) {
            Ok(()) => {
                origins.insert(key.name, origin.clone());
            }
            Err(why) => problems.push(format!("{origin}: stack.{}: {why}", key.name)),
        }
    }
}

impl Section {
    fn read(path: &Path, text: &str, problems: &mut Vec<String>) -> Option<Self> {
        let root = match parse(text, Duplicates::Refused) {
            Ok(it) => it,
            Err((at, why)) => {
                let line = at.map_or(1, |it| it.position(text).line);
                problems.push(format!("{}:{line}: {why}", path.display()));
                return None;
            }
        };
        let Kind::Map(entries) = root.kind else { return None };
        let node = entries.into_iter().find(|(key, _)| key.name == "stack")?.1;
        let mut section = Self::default();
        let mut reader = Reader { path, text, problems };
        reader.level(&node, "", &mut |reader, name, node| match (name, &node.kind) {
            ("environment", _) => {
                section.chosen = reader.scalar(name, node);
                true
            }
            ("environments", Kind::Map(entries)) => {
                for (key, node) in entries {
                    let mut values = Vec::new();
                    let below = |reader: &mut Reader<'_>, name: &str, node: &Node| {
                        reader.value(name, node, &mut values)
                    };
                    reader.level(node, "", &mut { below });
                    section.environments.insert(key.name.clone(), values);
                }
                true
            }
            ("environments", Kind::Null) => true,
            _ => reader.value(name, node, &mut section.values),
        });
        Some(section)
    }

    fn profile(&self) -> Profile {
        let mut profile = Profile::default();
        apply(&mut profile, &mut BTreeMap::new(), &self.values, &mut Vec::new());
        profile
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    problems: &'a mut Vec<String>,
}

impl Reader<'_> {
    /// Shows every entry below `prefix` to `take`; what it does not take is gone into, or unknown.
    fn level(
        &mut self,
        node: &Node,
        prefix: &str,
        take: &mut dyn FnMut(&mut Self, &str, &Node) -> bool,
    ) {
        let entries = match &node.kind {
            Kind::Map(it) => it,
            Kind::Null => return,
            _ => {
                return self.problem(node, &format!("stack{}{prefix}: expected keys", dot(prefix)));
            }
        };
        for (key, value) in entries {
            let name = format!("{prefix}{}{}", dot(prefix), key.name);
            if take(self, &name, value) {
                continue;
            }
            if KEYS.iter().any(|it| it.name.starts_with(&format!("{name}."))) {
                self.level(value, &name, take);
            } else {
                let line = key.at.position(self.text).line;
                let hint = KEYS.iter().map(|it| it.name).min_by_key(|it| distance(it, &name));
                let hint = hint.filter(|it| distance(it, &name) < 4);
                let hint =
                    hint.map_or_else(String::new, |it| format!(", did you mean `stack.{it}`?"));
                self.problems.push(format!(
                    "{}:{line}: unknown key `stack.{name}`{hint}",
                    self.path.display()
                ));
            }
        }
    }

    fn value(&mut self, name: &str, node: &Node, values: &mut Vec<Given>) -> bool {
        let Some(key) = Key::find(name) else { return false };
        if let Some(text) = self.scalar(name, node) {
            let line = node.at.position(self.text).line;
            let base = self.path.parent().unwrap_or(Path::new("")).to_owned();
            let origin = Origin::File(self.path.to_owned(), line);
            values.push(Given { key, text, base, origin });
        }
        true
    }

    fn scalar(&mut self, name: &str, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Null => None,
            Kind::Bool(it) => Some(it.to_string()),
            Kind::Number(it) | Kind::Text(it) => Some(it.clone()),
            Kind::List(_) | Kind::Map(_) => {
                self.problem(node, &format!("stack.{name}: expected one value"));
                None
            }
        }
    }

    fn problem(&mut self, node: &Node, message: &str) {
        let line = node.at.position(self.text).line;
        self.problems.push(format!("{}:{line}: {message}", self.path.display()));
    }
}

fn dot(prefix: &str) -> &'static str {
    if prefix.is_empty() { "" } else { "." }
}

fn distance(a: &str, b: &str) -> usize {
    strsim::levenshtein(a, b)
}

impl Loaded {
    /// Where the value of `key` came from.
    #[must_use]
    pub fn origin(&self, key: &Key) -> &Origin {
        self.origins.get(key.name).unwrap_or(&Origin::Default)
    }
}

impl Default for Profile {
    fn default() -> Self {
        let service = |name: ServiceName| {
            let enabled = if name == ServiceName::Grafana { Enabled::Auto } else { Enabled::Yes };
            (name, Settings { enabled, port: name.usual_port(), program: None, config: None })
        };
        Self {
            backend: Backend::Processes,
            host: None,
            ssh_user: None,
            ssh_config: None,
            remote_dir: "observatory".to_owned(),
            remote_program: "observatory".to_owned(),
            data_dir: PathBuf::from("./observatory-stack"),
            ephemeral: false,
            bind_address: "127.0.0.1".to_owned(),
            retention: "90d".to_owned(),
            secrets: PathBuf::from("./secrets"),
            start_timeout: Duration::from_secs(60),
            engine: Tool::Auto,
            project: "observatory".to_owned(),
            services: ServiceName::ALL.into_iter().map(service).collect(),
        }
    }
}

impl Profile {
    /// The settings of a service.
    #[must_use]
    pub fn service(&self, name: ServiceName) -> Settings {
        let found = self.services.get(&name).cloned();
        found.unwrap_or(Settings {
            enabled: Enabled::No,
            port: name.usual_port(),
            program: None,
            config: None,
        })
    }

    fn service_mut(&mut self, name: ServiceName) -> Result<&mut Settings, String> {
        self.services.get_mut(&name).ok_or_else(|| format!("there is no {name}"))
    }

    fn check(&self, problems: &mut Vec<String>) {
        let on = self.services.iter().filter(|it| it.1.enabled != Enabled::No);
        let mut ports: BTreeMap<u16, ServiceName> = BTreeMap::new();
        for (name, settings) in on {
            if let Some(other) = ports.insert(settings.port, *name) {
                problems.push(format!(
                    "stack.services.{name}.port: {} is the port of {other}, too",
                    settings.port
                ));
            }
        }
    }
}

impl ServiceName {
    /// All, in the order in which they are started.
    pub const ALL: [Self; 4] =
        [Self::Observatory, Self::Alertmanager, Self::Prometheus, Self::Grafana];

    /// The name in the file, in the compose file, and in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observatory => "observatory",
            Self::Prometheus => "prometheus",
            Self::Alertmanager => "alertmanager",
            Self::Grafana => "grafana",
        }
    }

    /// The service called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// The port that it has everywhere.
    #[must_use]
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Observatory => 9091,
            Self::Prometheus => 9090,
            Self::Alertmanager => 9093,
            Self::Grafana => 3000,
        }
    }

    /// The path that answers 200 when it serves.
    #[must_use]
    pub fn health_path(self) -> &'static str {
        match self {
            Self::Observatory | Self::Prometheus | Self::Alertmanager => "/-/ready",
            Self::Grafana => "/api/health",
        }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Enabled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "true",
            Self::No => "false",
            Self::Auto => "auto",
        })
    }
}

#[cfg(test)]
mod tests;
