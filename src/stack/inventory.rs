//! What runs, written down so that the same host gives the same bytes: no times, no counters, no order of arrival, and
//! no secrets.

use super::redact;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// The containers, by name.
    pub containers: Vec<Container>,
    /// The volumes: name, driver, place.
    pub volumes: Vec<Volume>,
    /// The networks: name, driver, subnets.
    pub networks: Vec<Network>,
    /// Command lines of programs of the stack that run outside of containers.
    pub processes: Vec<String>,
    /// What the services themselves say, by service.
    pub services: BTreeMap<String, Service>,
    /// Configuration files that were read out of containers: text by `CONTAINER:PATH`.
    pub files: BTreeMap<String, String>,
    /// What could not be found out, and why.
    pub missing: BTreeSet<String>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The image.
    pub image: String,
    /// `running`, `exited` and so on.
    pub state: String,
    /// `9090/tcp -> 0.0.0.0:9090`.
    pub ports: Vec<String>,
    /// The environment, secrets hidden.
    pub environment: Vec<String>,
    /// `SOURCE -> DESTINATION (rw)`.
    pub mounts: Vec<String>,
    /// The networks that it is part of.
    pub networks: Vec<String>,
    /// What is run at its start, with arguments.
    pub command: Vec<String>,
    /// The compose files that it comes from.
    pub compose_files: Vec<String>,
    /// Services that it waits for.
    pub depends_on: Vec<String>,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Where its data is.
    pub mountpoint: String,
}

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Its subnets.
    pub subnets: Vec<String>,
}

/// What a service says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Where it was asked.
    pub address: String,
    /// Its version.
    pub version: String,
    /// The configuration in force, secrets hidden.
    pub config: String,
    /// Where it keeps data, and the like.
    pub persistence: Vec<String>,
    /// What it is about: scrape targets, receivers, groups.
    pub items: Vec<String>,
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(value: &Value, pointer: &str) -> Vec<String> {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn keys(value: &Value, pointer: &str) -> Vec<String> {
    let map = value.pointer(pointer).and_then(Value::as_object);
    map.into_iter().flat_map(|it| it.keys()).cloned().collect()
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}

impl Container {
    /// From what `GET /containers/{id}/json` answers.
    #[must_use]
    pub fn of(inspected: &Value) -> Self {
        let label = |name: &str| {
            let labels = inspected.pointer("/Config/Labels");
            labels.and_then(|it| it.get(name)).and_then(Value::as_str).unwrap_or_default()
        };
        let words = |it: &str| {
            it.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let depends = words(label("com.docker.compose.depends_on"));
        let depends = depends.iter().map(|it| it.split(':').next().unwrap_or_default().to_owned());
        let command =
            [texts(inspected, "/Config/Entrypoint"), texts(inspected, "/Config/Cmd")].concat();
        Self {
            name: text(inspected, "/Name").trim_start_matches('/').to_owned(),
            image: text(inspected, "/Config/Image"),
            state: text(inspected, "/State/Status"),
            ports: ports(inspected),
            environment: sorted(
                texts(inspected, "/Config/Env").iter().map(|it| redact::variable(it)),
            ),
            mounts: mounts(inspected),
            networks: sorted(keys(inspected, "/NetworkSettings/Networks")),
            command: command.iter().map(|it| redact::words(it)).collect(),
            compose_files: sorted(words(label("com.docker.compose.project.config_files"))),
            depends_on: sorted(depends),
        }
    }
}

fn ports(inspected: &Value) -> Vec<String> {
    let map = inspected.pointer("/NetworkSettings/Ports").and_then(Value::as_object);
    let mut ports = Vec::new();
    for (inside, outside) in map.into_iter().flatten() {
        let outside = outside.as_array().map_or(&[][..], Vec::as_slice);
        if outside.is_empty() {
            ports.push(inside.clone());
        }
        ports.extend(
            outside
                .iter()
                .map(|it| format!("{inside} -> {}:{}", text(it, "/HostIp"), text(it, "/HostPort"))),
        );
    }
    sorted(ports)
}

fn mounts(inspected: &Value) -> Vec<String> {
    let list = inspected.pointer("/Mounts").and_then(Value::as_array);
    sorted(list.into_iter().flatten().map(|it| {
        let source = [text(it, "/Name"), text(it, "/Source")].into_iter().find(|it| !it.is_empty());
        let mode = if it.get("RW") == Some(&Value::Bool(true)) { "rw" } else { "ro" };
        format!("{} -> {} ({mode})", source.unwrap_or_default(), text(it, "/Destination"))
    }))
}

impl Inventory {
    /// Takes what `GET /volumes` answers.
    pub fn take_volumes(&mut self, answer: &Value) {
        let list = answer.pointer("/Volumes").and_then(Value::as_array);
        self.volumes = sorted(list.into_iter().flatten().map(|it| Volume {
            name: text(it, "/Name"),
            driver: text(it, "/Driver"),
            mountpoint: text(it, "/Mountpoint"),
        }));
    }

    /// Takes what `GET /networks` answers.
    pub fn take_networks(&mut self, answer: &Value) {
        let list = answer.as_array();
        self.networks = sorted(list.into_iter().flatten().map(|it| {
            let subnets = it.pointer("/IPAM/Config").and_then(Value::as_array);
            let subnets = subnets.into_iter().flatten().map(|it| text(it, "/Subnet"));
            Network {
                name: text(it, "/Name"),
                driver: text(it, "/Driver"),
                subnets: sorted(subnets),
            }
        }));
    }

    /// Takes command lines, one per line; only those of the programs of a stack.
    pub fn take_processes(&mut self, lines: &str) {
        const PROGRAMS: &[&str] = &[
            "prometheus",
            "alertmanager",
            "prometheus-alertmanager",
            "grafana",
            "grafana-server",
            "pushgateway",
            "prometheus-pushgateway",
            "node_exporter",
            "prometheus-node-exporter",
        ];
        let ours = |line: &&str| {
            let program =
                line.split(' ').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
            PROGRAMS.contains(&program) || program == "observatory" && line.contains(" serve")
        };
        self.processes = sorted(lines.lines().map(str::trim).filter(ours).map(redact::words));
        self.processes.dedup();
    }

    /// The port that the service listens on as far as containers and processes tell.
    #[must_use]
    pub fn port_of(&self, name: &str) -> Option<u16> {
        let of_container =
            self.containers.iter().filter(|it| it.image.contains(name) && it.state == "running");
        let mut published = of_container
            .flat_map(|it| &it.ports)
            .filter_map(|it| it.rsplit_once(" -> ")?.1.rsplit(':').next()?.parse().ok());
        published.next().or_else(|| {
            let lines = self
                .processes
                .iter()
                .filter(|it| it.split(' ').next().is_some_and(|it| it.contains(name)));
            let only = |it: &&String| {
                name != "prometheus" || !it.contains("alertmanager") && !it.contains("pushgateway")
            };
            let flags = lines.filter(only).flat_map(|it| it.split(' '));
            flags
                .filter_map(|it| {
                    it.strip_prefix("--web.listen-address=")?.rsplit(':').next()?.parse().ok()
                })
                .next()
        })
    }

    /// The page for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut page =
            String::from("# What runs\n\nWritten by `observatory discover`; secrets are `***`.\n");
        section(
            &mut page,
            "Containers",
            self.containers.iter().map(|it| {
                let Container { name, image, state, ports, mounts, networks, depends_on, .. } = it;
                let mut lines = vec![format!("**{name}**: {image}, {state}")];
                for (what, list) in [
                    ("ports", ports),
                    ("mounts", mounts),
                    ("networks", networks),
                    ("after", depends_on),
                ] {
                    if !list.is_empty() {
                        lines.push(format!("  - {what}: {}", list.join(", ")));
                    }
                }
                lines.join("\n")
            }),
        );
        section(
            &mut page,
            "Volumes",
            self.volumes.iter().map(|it| format!("{} ({}): {}", it.name, it.driver, it.mountpoint)),
        );
        section(
            &mut page,
            "Networks",
            self.networks
                .iter()
                .map(|it| format!("{} ({}) {}", it.name, it.driver, it.subnets.join(", "))),
        );
        section(&mut page, "Processes", self.processes.iter().map(|it| format!("`{it}`")));
        for (name, it) in &self.services {
            let head = [format!("version {}", it.version), format!("at {}", it.address)];
            let rest = it
                .persistence
                .iter()
                .map(|it| format!("data: {it}"))
                .chain(it.items.iter().cloned());
            section(&mut page, name, head.into_iter().chain(rest));
            if !it.config.is_empty() {
                let _ = write!(page, "\n```yaml\n{}\n```\n", it.config.trim_end());
            }
        }
        for (name, content) in &self.files {
            let _ = write!(page, "\n## `{name}`\n\n```\n{}\n```\n", content.trim_end());
        }
        section(&mut page, "Not found out", self.missing.iter().cloned());
        page
    }
}

fn section(page: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<_> = lines.collect();
    if !lines.is_empty() {
        let _ = write!(page, "\n## {title}\n\n");
        lines.iter().for_each(|it| {
            let _ = writeln!(page, "- {it}");
        });
    }
}

impl Service {
    /// A Prometheus, from its answers about the build, the configuration, the flags and the targets.
    #[must_use]
    pub fn prometheus(build: &Value, config: &Value, flags: &Value, targets: &Value) -> Self {
        let list = targets.pointer("/data/activeTargets").and_then(Value::as_array);
        let items = list.into_iter().flatten().map(|it| {
            format!(
                "target {} {}",
                text(it, "/labels/job"),
                redact::value("", &text(it, "/scrapeUrl"))
            )
        });
        let flag =
            |name: &str| Some(format!("{name}={}", flags.pointer("/data")?.get(name)?.as_str()?));
        let persistence = ["storage.tsdb.path", "storage.tsdb.retention.time", "config.file"]
            .into_iter()
            .filter_map(flag);
        Self {
            address: String::new(),
            version: text(build, "/data/version"),
            config: redact::config(&text(config, "/data/yaml")),
            persistence: persistence.collect(),
            items: sorted(items),
        }
    }

    /// An Alertmanager, from its answer about its status.
    #[must_use]
    pub fn alertmanager(status: &Value, receivers: &Value) -> Self {
        let items = receivers.as_array().into_iter().flatten();
        Self {
            address: String::new(),
            version: text(status, "/versionInfo/version"),
            config: redact::config(&text(status, "/config/original")),
            persistence: Vec::new(),
            items: sorted(items.map(|it| format!("receiver {}", text(it, "/name")))),
        }
    }

    /// A Pushgateway, or this program, from its answers about its status and its groups.
    #[must_use]
    pub fn pushgateway(status: &Value, groups: &Value) -> Self {
        let list = groups.pointer("/data").and_then(Value::as_array);
        let items = list.into_iter().flatten().map(|it| {
            let labels = it.get("labels").and_then(Value::as_object);
            let labels: Vec<_> =
                labels.into_iter().flatten().map(|(name, it)| format!("{name}={it}")).collect();
            let own = |it: &&String| !["labels", "last_push_successful"].contains(&it.as_str());
            let names: Vec<_> = keys(it, "").iter().filter(own).cloned().collect();
            format!("group {{{}}}: {}", labels.join(","), names.join(", "))
        });
        let file = text(status, "/data/flags/persistence.file");
        Self {
            address: String::new(),
            version: text(status, "/data/build_information/version"),
            config: String::new(),
            persistence: Some(file)
                .filter(|it| !it.is_empty())
                .map(|it| format!("persistence.file={it}"))
                .into_iter()
                .collect(),
            items: sorted(items),
        }
    }

    /// A Grafana, from what it says without a login.
    #[must_use]
    pub fn grafana(health: &Value) -> Self {
        Self { version: text(health, "/version"), ..Self::default() }
    }
}

/// The first file in a tar archive, as an engine hands files out.
#[must_use]
pub fn file_of_tar(bytes: &[u8]) -> Option<String> {
    let mut at = 0_usize;
    loop {
        let header = bytes.get(at..at.checked_add(512)?)?;
        let size = std::str::from_utf8(header.get(124..135)?).ok()?;
        let size = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).ok()?;
        let start = at + 512;
        if matches!(header.get(156), Some(b'0' | 0)) {
            return Some(
                String::from_utf8_lossy(bytes.get(start..start.checked_add(size)?)?).into_owned(),
            );
        }
        at = start.checked_add(size.div_ceil(512).checked_mul(512)?)?;
    }
}
