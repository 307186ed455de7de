//! The stack as containers: the compose file that comes with the program, and the arguments of what runs it.

use super::assets::{assets, compose_file};
use super::local::{replace, write_tree};
use super::plan::find;
use super::settings::{Enabled, Profile, ServiceName, Tool};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// A stack of containers.
#[derive(Clone, Debug)]
pub struct Compose {
    program: PathBuf,
    first: Vec<String>,
    dir: PathBuf,
    project: String,
    services: Vec<&'static str>,
    variables: BTreeMap<&'static str, String>,
}

/// Who can run a compose file: the tool, its program, and what stands before its arguments.
const PROGRAMS: &[(Tool, &str, &[&str])] = &[
    (Tool::Docker, "docker", &["compose"]),
    (Tool::Docker, "docker-compose", &[]),
    (Tool::Podman, "podman", &["compose"]),
    (Tool::Podman, "podman-compose", &[]),
];

/// Variables of the compose file that must have a value, with how many random bytes one is made of.
const SECRETS: &[(&str, usize)] = &[("OBSERVATORY_TOKEN", 24), ("GRAFANA_ADMIN_PASSWORD", 12)];

impl Compose {
    /// The stack of `profile`, with programs from `path`.
    ///
    /// # Errors
    ///
    /// There is no program that runs containers.
    pub fn new(profile: &Profile, path: &str, here: &Path) -> Result<Self, String> {
        let wanted = |tool: Tool| profile.engine == Tool::Auto || profile.engine == tool;
        let programs = PROGRAMS.iter().filter(|it| wanted(it.0));
        let found = programs.clone().find_map(|it| Some((find(it.1, path, here)?, it.2)));
        let Some((program, first)) = found else {
            let names: Vec<_> = programs.map(|it| it.1).collect();
            return Err(format!(
                "there is no {} on the PATH; `observatory config set backend=processes` needs none",
                names.join(", ")
            ));
        };
        let on = |it: &ServiceName| profile.service(*it).enabled != Enabled::No;
        let port = |name| profile.service(name).port.to_string();
        Ok(Self {
            program,
            first: first.iter().map(|it| (*it).to_owned()).collect(),
            dir: here.join(&profile.data_dir).components().collect::<PathBuf>().join("compose"),
            project: profile.project.clone(),
            services: ServiceName::ALL.into_iter().filter(on).map(ServiceName::as_str).collect(),
            variables: BTreeMap::from([
                ("BIND_ADDRESS", profile.bind_address.clone()),
                ("OBSERVATORY_PORT", port(ServiceName::Observatory)),
                ("PROMETHEUS_PORT", port(ServiceName::Prometheus)),
                ("ALERTMANAGER_PORT", port(ServiceName::Alertmanager)),
                ("GRAFANA_PORT", port(ServiceName::Grafana)),
                ("PROMETHEUS_RETENTION", profile.retention.clone()),
            ]),
        })
    }

    /// The directory with the compose file and what it mounts.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The services that are part of it.
    #[must_use]
    pub fn services(&self) -> &[&'static str] {
        &self.services
    }

    /// Writes the compose file, what it mounts, and `.env`. `config` is the server's own configuration, `random` makes
    /// a secret of so many bytes, and `given` are variables that the person has set, which win.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(
        &self,
        config: &str,
        given: &BTreeMap<String, String>,
        random: &mut dyn FnMut(usize) -> io::Result<String>,
    ) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let kept = fs::read_to_string(self.dir.join(".env")).unwrap_or_default();
        let kept: BTreeMap<&str, &str> = kept.lines().filter_map(|it| it.split_once('=')).collect();
        let mut variables = self.variables.clone();
        let mut secrets = BTreeMap::new();
        for (name, bytes) in SECRETS {
            let own = given.get(*name).filter(|it| !it.is_empty() && !it.contains('\n')).cloned();
            let own = own.or_else(|| kept.get(name).map(|it| (*it).to_owned()));
            let secret = own.map_or_else(|| random(*bytes), Ok)?;
            secrets.insert(*name, secret.clone());
            variables.insert(name, secret);
        }
        let mut files: BTreeMap<String, Vec<u8>> =
            assets().into_iter().map(|(path, it)| (path, it.into_owned())).collect();
        files.insert("docker-compose.yml".to_owned(), compose_file().into());
        files.insert("observatory.yml".to_owned(), config.into());
        let token = secrets.get("OBSERVATORY_TOKEN").and_then(|it| it.split(',').next());
        let token = token.unwrap_or_default().rsplit(':').next().unwrap_or_default();
        for service in ["prometheus", "alertmanager"] {
            files.insert(
                format!("{service}/secrets/observatory_token"),
                format!("{token}\n").into(),
            );
        }
        let lines = variables.iter().map(|(name, value)| format!("{name}={value}\n"));
        files.insert(".env".to_owned(), lines.collect::<String>().into());
        write_tree(&self.dir, &files)?;
        // Containers read them as users of their own; the directory above is closed to others.
        open_to_containers(&self.dir)?;
        replace(&self.dir.join(".env"), files.get(".env").map_or(&[][..], Vec::as_slice))
    }

    /// Starts everything and waits until it is healthy.
    #[must_use]
    pub fn up(&self, seconds: u64) -> Command {
        let wait = seconds.to_string();
        let mut command = self.command(&[
            "up",
            "--detach",
            "--wait",
            "--wait-timeout",
            &wait,
            "--remove-orphans",
        ]);
        command.args(&self.services);
        command
    }

    /// Removes the containers and, if `volumes`, their data.
    #[must_use]
    pub fn down(&self, volumes: bool) -> Command {
        let more: &[&str] = if volumes { &["--volumes"] } else { &[] };
        self.command(&[&["down", "--remove-orphans"], more].concat())
    }

    /// Lists the containers as JSON.
    #[must_use]
    pub fn ps(&self) -> Command {
        self.command(&["ps", "--all", "--format", "json"])
    }

    /// Prints logs.
    #[must_use]
    pub fn logs(&self, service: Option<&str>, lines: usize, follow: bool) -> Command {
        let lines = lines.to_string();
        let mut command = self.command(&["logs", "--no-color", "--tail", &lines]);
        command.args(follow.then_some("--follow")).args(service);
        command
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.first).args(["--project-name", &self.project]);
        command.arg("--project-directory").arg(&self.dir);
        command.arg("--file").arg(self.dir.join("docker-compose.yml"));
        command.arg("--env-file").arg(self.dir.join(".env")).args(arguments);
        // What is in .env counts, whatever the person's shell has.
        for name in self.variables.keys().copied().chain(SECRETS.iter().map(|it| it.0)) {
            command.env_remove(name);
        }
        command
    }
}

fn open_to_containers(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            open_to_containers(&path)?;
        } else if path.file_name().is_none_or(|it| it != ".env") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}
