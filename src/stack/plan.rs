//! What is to be run, on this machine, for some settings.

use super::render::{Inputs, render};
use super::settings::{Enabled, Profile, ServiceName};
use crate::config;
use crate::tokens::Role;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::xxh3_128;

/// Everything that a supervisor needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The directory of the stack, absolute.
    pub dir: PathBuf,
    /// What is run, in the order in which it is started.
    pub services: Vec<Service>,
    /// Tells this plan, with its configuration, from another.
    pub fingerprint: String,
    /// What a person should know: what is left out, and why.
    pub notes: Vec<String>,
    /// The configuration, by path below `DIR/config`.
    #[serde(skip)]
    pub files: BTreeMap<String, Vec<u8>>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables that it gets on top of those of the supervisor; an empty one is removed.
    pub environment: BTreeMap<String, String>,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it is asked whether it is healthy.
    pub address: SocketAddr,
    /// The path of that question.
    pub health_path: String,
}

/// Why there is no plan: everything that is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct NoPlan(pub Vec<String>);

/// What a plan is made from, besides the profile.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// The configuration file of the server, if there is one.
    pub config: Option<&'a Path>,
    /// The settings of the server.
    pub settings: &'a config::Settings,
    /// Where programs are looked for, as in `PATH`.
    pub path: &'a str,
    /// This program.
    pub own: &'a Path,
    /// The working directory.
    pub here: &'a Path,
}

impl Plan {
    /// The plan for `profile`.
    ///
    /// # Errors
    ///
    /// Programs or files are missing; all of them are told.
    pub fn new(profile: &Profile, around: &Around<'_>) -> Result<Self, NoPlan> {
        let mut maker = Maker { profile, around, notes: Vec::new(), missing: Vec::new() };
        let programs = maker.programs();
        let mut inputs = maker.inputs(&programs);
        let rendered = render(&mut inputs);
        let files = rendered.unwrap_or_else(|why| {
            maker.missing.push(why);
            BTreeMap::new()
        });
        maker.notes.append(&mut inputs.notes);
        let dir = around.here.join(&profile.data_dir);
        let dir: PathBuf = dir.components().collect();
        let services = programs
            .into_iter()
            .map(|(name, program)| maker.service(name, program, &dir))
            .collect();
        if !maker.missing.is_empty() {
            return Err(NoPlan(maker.missing));
        }
        let mut plan =
            Self { dir, services, fingerprint: String::new(), notes: maker.notes, files };
        plan.fingerprint = plan.digest();
        Ok(plan)
    }

    fn digest(&self) -> String {
        let mut text = serde_json::to_vec(&self.services).unwrap_or_default();
        for (path, content) in &self.files {
            text.extend_from_slice(path.as_bytes());
            text.extend_from_slice(&(content.len() as u64).to_le_bytes());
            text.extend_from_slice(content);
        }
        format!("{:032x}", xxh3_128(&text))
    }
}

struct Maker<'a> {
    profile: &'a Profile,
    around: &'a Around<'a>,
    notes: Vec<String>,
    missing: Vec<String>,
}

impl Maker<'_> {
    fn programs(&mut self) -> Vec<(ServiceName, PathBuf)> {
        ServiceName::ALL.into_iter().filter_map(|it| Some((it, self.program(it)?))).collect()
    }

    fn program(&mut self, name: ServiceName) -> Option<PathBuf> {
        if name == ServiceName::Observatory {
            return Some(self.around.own.to_owned());
        }
        let settings = self.profile.service(name);
        if settings.enabled == Enabled::No {
            return None;
        }
        let names = settings.program.map_or_else(|| usual(name), |it| vec![it]);
        let found = names.iter().find_map(|it| find(it, self.around.path, self.around.here));
        if found.is_none() {
            let names = names.join(" or ");
            let package = package(name);
            if settings.enabled == Enabled::Auto {
                self.notes.push(format!(
                    "{name} is left out: there is no {names} on the PATH ({package}; `observatory config set services.{name}.enabled=false` ends this note)"
                ));
            } else {
                self.missing.push(format!(
                    "{name}: there is no {names} on the PATH. Install it ({package}), name it with `observatory config set services.{name}.program=PATH`, or leave it out with `observatory config set services.{name}.enabled=false`"
                ));
            }
        }
        found
    }

    fn inputs(&self, programs: &[(ServiceName, PathBuf)]) -> Inputs {
        let bind = self.bind();
        let reach = super::ports::reachable(bind);
        let address = |it: &ServiceName| SocketAddr::new(reach, self.profile.service(*it).port);
        let dir = self.around.here.join(&self.profile.data_dir);
        let own_config = |name| self.profile.service(name).config;
        Inputs {
            addresses: programs
                .iter()
                .map(|(name, _)| (*name, address(name).to_string()))
                .collect(),
            config_dir: dir.components().collect::<PathBuf>().join("config"),
            data_dir: dir.components().collect(),
            secrets: self.around.here.join(&self.profile.secrets).components().collect(),
            prometheus: own_config(ServiceName::Prometheus),
            alertmanager: own_config(ServiceName::Alertmanager),
            grafana_listen: (bind.to_string(), self.profile.service(ServiceName::Grafana).port),
            token: self.token(),
            prefix: self.around.settings.web.route_prefix.0.clone(),
            telemetry_path: self.around.settings.web.telemetry_path.0.clone(),
            notes: Vec::new(),
        }
    }

    /// A token with which Prometheus and Alertmanager talk to the server; without tokens any text will do.
    fn token(&self) -> String {
        let tokens = &self.around.settings.auth.tokens;
        let can = |roles: &[Role]| {
            tokens.iter().find(|it| roles.iter().all(|role| it.roles.contains(*role)))
        };
        let token = can(&[Role::Read, Role::Ingest])
            .or_else(|| can(&[Role::Admin]))
            .or_else(|| can(&[Role::Read]));
        token.map_or_else(|| "none".to_owned(), |it| it.secret.expose().to_owned())
    }

    fn bind(&self) -> IpAddr {
        self.profile.bind_address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    fn service(&mut self, name: ServiceName, program: PathBuf, dir: &Path) -> Service {
        let listen = SocketAddr::new(self.bind(), self.profile.service(name).port);
        let config = dir.join("config");
        let data = dir.join(name.as_str()).display().to_string();
        let file = |path: &str| config.join(path).display().to_string();
        let mut environment = BTreeMap::new();
        let arguments = match name {
            ServiceName::Observatory => {
                // A platform's PORT is for what it starts itself.
                environment.insert("PORT".to_owned(), String::new());
                let given =
                    self.around.config.map(|it| self.around.here.join(it).display().to_string());
                let given = given.into_iter().flat_map(|it| ["--config".to_owned(), it]);
                let own =
                    ["--listen".to_owned(), listen.to_string(), "--data-dir".to_owned(), data];
                ["serve".to_owned()].into_iter().chain(given).chain(own).collect()
            }
            ServiceName::Prometheus => vec![
                format!("--config.file={}", file("prometheus/prometheus.yml")),
                format!("--storage.tsdb.path={data}"),
                format!("--storage.tsdb.retention.time={}", self.profile.retention),
                format!("--web.listen-address={listen}"),
                "--web.enable-lifecycle".to_owned(),
                "--enable-feature=native-histograms".to_owned(),
            ],
            ServiceName::Alertmanager => vec![
                format!("--config.file={}", file("alertmanager/alertmanager.yml")),
                format!("--storage.path={data}"),
                format!("--web.listen-address={listen}"),
                // One of it: no gossip, and no port for it.
                "--cluster.listen-address=".to_owned(),
            ],
            ServiceName::Grafana => self.grafana(&program, &file("grafana/grafana.ini")),
        };
        let prefix = match name {
            ServiceName::Observatory => {
                self.around.settings.web.route_prefix.0.trim_end_matches('/').to_owned()
            }
            _ => String::new(),
        };
        Service {
            name: name.as_str().to_owned(),
            program,
            arguments,
            environment,
            listen,
            address: SocketAddr::new(super::ports::reachable(listen.ip()), listen.port()),
            health_path: format!("{prefix}{}", name.health_path()),
        }
    }

    fn grafana(&mut self, program: &Path, config: &str) -> Vec<String> {
        let beside =
            program.canonicalize().ok().and_then(|it| Some(it.parent()?.parent()?.to_owned()));
        let homes = [Some(PathBuf::from("/usr/share/grafana")), beside];
        let home = homes.into_iter().flatten().find(|it| it.join("conf/defaults.ini").is_file());
        let one = program.file_name().is_some_and(|it| it == "grafana");
        let verb = if one { vec!["server".to_owned()] } else { Vec::new() };
        let home = home.map(|it| format!("--homepath={}", it.display()));
        verb.into_iter().chain(home).chain([format!("--config={config}")]).collect()
    }
}

fn usual(name: ServiceName) -> Vec<String> {
    let names: &[&str] = match name {
        ServiceName::Observatory => &["observatory"],
        ServiceName::Prometheus => &["prometheus"],
        ServiceName::Alertmanager => &["prometheus-alertmanager", "alertmanager"],
        ServiceName::Grafana => &["grafana", "grafana-server"],
    };
    names.iter().map(|it| (*it).to_owned()).collect()
}

fn package(name: ServiceName) -> &'static str {
    match name {
        ServiceName::Observatory => "this program",
        ServiceName::Prometheus => "the package prometheus, or https://prometheus.io/download",
        ServiceName::Alertmanager => {
            "the package prometheus-alertmanager, or https://prometheus.io/download"
        }
        ServiceName::Grafana => "https://grafana.com/grafana/download",
    }
}

/// The program `name`, a path or a name in one of the directories of `path`.
pub(super) fn find(name: &str, path: &str, here: &Path) -> Option<PathBuf> {
    let runs = |it: &PathBuf| {
        it.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(here.join(name)).filter(runs);
    }
    path.split(':').filter(|it| !it.is_empty()).map(|it| here.join(it).join(name)).find(runs)
}
