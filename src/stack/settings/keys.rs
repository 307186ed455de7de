//! The keys of the section `stack`: how each is read and shown.

use super::{Backend, Enabled, Profile, ServiceName, Tool};
use crate::config;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// One key of the section.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name below `stack` or below an environment, such as `services.prometheus.port`.
    pub name: &'static str,
    /// What it means, in one sentence.
    pub doc: &'static str,
    pub(super) set: fn(&mut Profile, &Text<'_>) -> Result<(), String>,
    show: fn(&Profile) -> String,
}

/// A value as text, and where relative paths begin.
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) base: &'a Path,
}

macro_rules! service_keys {
    ($service:ident, $name:literal) => {
        [
            Key {
                name: concat!("services.", $name, ".enabled"),
                doc: "Whether it is part of the stack: `true`, `false`, or `auto`, which is whether its program is there.",
                set: |it, text| {
            it.service_mut(ServiceName::$service)?.enabled = text.enabled()?;
            Ok(())
        },
                show: |it| it.service(ServiceName::$service).enabled.to_string(),
            },
            Key {
                name: concat!("services.", $name, ".port"),
                doc: "Its port.",
                set: |it, text| {
            it.service_mut(ServiceName::$service)?.port = text.port()?;
            Ok(())
        },
                show: |it| it.service(ServiceName::$service).port.to_string(),
            },
            Key {
                name: concat!("services.", $name, ".program"),
                doc: "Its program, a name on the PATH or a path.",
                set: |it, text| {
            it.service_mut(ServiceName::$service)?.program = text.optional();
            Ok(())
        },
                show: |it| optional(it.service(ServiceName::$service).program.as_ref()),
            },
            Key {
                name: concat!("services.", $name, ".config"),
                doc: "A configuration file of your own instead of the one that comes with the program; addresses of the stack in it are put in their place.",
                set: |it, text| {
            it.service_mut(ServiceName::$service)?.config = text.optional_path();
            Ok(())
        },
                show: |it| optional(it.service(ServiceName::$service).config.as_ref().map(|it| it.display())),
            },
        ]
    };
}

const PROMETHEUS: [Key; 4] = service_keys!(Prometheus, "prometheus");
const ALERTMANAGER: [Key; 4] = service_keys!(Alertmanager, "alertmanager");
const GRAFANA: [Key; 4] = service_keys!(Grafana, "grafana");
const OBSERVATORY: [Key; 4] = service_keys!(Observatory, "observatory");

/// Every key, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    Key {
        name: "backend",
        doc: "What runs the services: `processes`, programs of the machine, or `compose`, containers.",
        set: |it, text| {
            it.backend =
                text.one_of(&[("processes", Backend::Processes), ("compose", Backend::Compose)])?;
            Ok(())
        },
        show: |it| match it.backend {
            Backend::Processes => "processes".to_owned(),
            Backend::Compose => "compose".to_owned(),
        },
    },
    Key {
        name: "host",
        doc: "The machine on which the stack runs, reached by ssh; none is this machine.",
        set: |it, text| {
            it.host = text.host()?;
            Ok(())
        },
        show: |it| optional(it.host.as_ref()),
    },
    Key {
        name: "ssh_user",
        doc: "Who logs in there; none leaves it to ssh.",
        set: |it, text| {
            it.ssh_user = text.host()?;
            Ok(())
        },
        show: |it| optional(it.ssh_user.as_ref()),
    },
    Key {
        name: "ssh_config",
        doc: "A configuration file for ssh, instead of your own.",
        set: |it, text| {
            it.ssh_config = text.optional_path();
            Ok(())
        },
        show: |it| optional(it.ssh_config.as_ref().map(|it| it.display())),
    },
    Key {
        name: "remote_dir",
        doc: "The directory there in which the stack is, from the home directory.",
        set: |it, text| {
            it.remote_dir = text.some("a directory such as observatory")?;
            Ok(())
        },
        show: |it| quoted(&it.remote_dir),
    },
    Key {
        name: "remote_program",
        doc: "The program there, a name on the PATH or a path.",
        set: |it, text| {
            it.remote_program = text.some("a program such as observatory")?;
            Ok(())
        },
        show: |it| quoted(&it.remote_program),
    },
    Key {
        name: "data_dir",
        doc: "The directory that holds everything of the stack: data, rendered configuration, logs.",
        set: |it, text| {
            it.data_dir = text.base.join(text.some("a directory")?);
            Ok(())
        },
        show: |it| quoted(&it.data_dir.to_string_lossy()),
    },
    Key {
        name: "ephemeral",
        doc: "Whether `down` removes all data.",
        set: |it, text| {
            it.ephemeral = text.one_of(&[("true", true), ("false", false)])?;
            Ok(())
        },
        show: |it| it.ephemeral.to_string(),
    },
    Key {
        name: "bind_address",
        doc: "The address that all services listen on. Prometheus and Alertmanager have no login.",
        set: |it, text| {
            let parsed: Result<std::net::IpAddr, _> = text.text.parse();
            let address =
                parsed.map_err(|_| text.expected("an address such as 127.0.0.1 or 0.0.0.0"))?;
            it.bind_address = address.to_string();
            Ok(())
        },
        show: |it| quoted(&it.bind_address),
    },
    Key {
        name: "retention",
        doc: "How long Prometheus keeps samples, such as `15d`.",
        set: |it, text| {
            let good = config::parse_duration(text.text).is_some_and(|it| !it.is_zero());
            let plain = text.text.chars().all(|it| it.is_ascii_alphanumeric());
            if !(good && plain) {
                return Err(text.expected("a duration such as 15d or 12h"));
            }
            text.text.clone_into(&mut it.retention);
            Ok(())
        },
        show: |it| quoted(&it.retention),
    },
    Key {
        name: "secrets",
        doc: "The directory with the secrets that the configuration of Alertmanager names; what has none is left out.",
        set: |it, text| {
            it.secrets = text.base.join(text.some("a directory")?);
            Ok(())
        },
        show: |it| quoted(&it.secrets.to_string_lossy()),
    },
    Key {
        name: "start_timeout",
        doc: "How long it may take until every service is healthy.",
        set: |it, text| {
            let parsed = config::parse_duration(text.text).filter(|it| !it.is_zero());
            it.start_timeout =
                parsed.ok_or_else(|| text.expected("a duration such as 60s or 2m"))?;
            Ok(())
        },
        show: |it| format!("{}s", it.start_timeout.as_secs()),
    },
    Key {
        name: "engine",
        doc: "The program that runs containers: `docker`, `podman`, or `auto`, the first that is there.",
        set: |it, text| {
            let tools = [("auto", Tool::Auto), ("docker", Tool::Docker), ("podman", Tool::Podman)];
            it.engine = text.one_of(&tools)?;
            Ok(())
        },
        show: |it| match it.engine {
            Tool::Auto => "auto".to_owned(),
            Tool::Docker => "docker".to_owned(),
            Tool::Podman => "podman".to_owned(),
        },
    },
    Key {
        name: "project",
        doc: "What the names of containers and volumes begin with.",
        set: |it, text| {
            let name = text.some("a name such as observatory")?;
            let good =
                |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-' || it == '_';
            if !name.chars().all(good) || !name.starts_with(|it: char| it.is_ascii_alphanumeric()) {
                return Err(text.expected("lower-case letters, digits, - and _"));
            }
            it.project = name;
            Ok(())
        },
        show: |it| quoted(&it.project),
    },
    OBSERVATORY[1],
    PROMETHEUS[0],
    PROMETHEUS[1],
    PROMETHEUS[2],
    PROMETHEUS[3],
    ALERTMANAGER[0],
    ALERTMANAGER[1],
    ALERTMANAGER[2],
    ALERTMANAGER[3],
    GRAFANA[0],
    GRAFANA[1],
    GRAFANA[2],
];

impl Key {
    /// The key called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|it| it.name == name)
    }

    /// Its environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("OBSERVATORY_STACK_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// Its value in `profile`, as YAML on one line.
    #[must_use]
    pub fn show(&self, profile: &Profile) -> String {
        (self.show)(profile)
    }

    /// Whether `text` could be its value.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self, text: &str) -> Result<(), String> {
        (self.set)(&mut Profile::default(), &Text { text, base: Path::new("") })
    }
}

impl Text<'_> {
    fn expected(&self, what: &str) -> String {
        format!("expected {what}, found `{}`", self.text)
    }

    fn some(&self, what: &str) -> Result<String, String> {
        let good = !self.text.is_empty() && !self.text.contains(['\0', '\n']);
        if good { Ok(self.text.to_owned()) } else { Err(self.expected(what)) }
    }

    fn one_of<T: Copy>(&self, values: &[(&str, T)]) -> Result<T, String> {
        let found = values.iter().find(|it| it.0 == self.text).map(|it| it.1);
        found.ok_or_else(|| {
            let names: Vec<_> = values.iter().map(|it| format!("`{}`", it.0)).collect();
            self.expected(&names.join(" or "))
        })
    }

    fn enabled(&self) -> Result<Enabled, String> {
        self.one_of(&[("true", Enabled::Yes), ("false", Enabled::No), ("auto", Enabled::Auto)])
    }

    fn port(&self) -> Result<u16, String> {
        let port = self.text.parse().ok().filter(|it| *it > 0);
        port.ok_or_else(|| self.expected("a port from 1 to 65535"))
    }

    fn optional(&self) -> Option<String> {
        if self.text.is_empty() { None } else { Some(self.text.to_owned()) }
    }

    fn optional_path(&self) -> Option<PathBuf> {
        self.optional().map(|it| self.base.join(it))
    }

    /// A word that ssh cannot take for an option.
    fn host(&self) -> Result<Option<String>, String> {
        let good = |it: char| it.is_ascii_alphanumeric() || "-._:%@[]".contains(it);
        if self.text.starts_with('-') || !self.text.chars().all(good) {
            return Err(self.expected("a name such as vonnegut or 192.0.2.1"));
        }
        Ok(self.optional())
    }
}

fn optional<T: fmt::Display>(it: Option<T>) -> String {
    it.map_or_else(|| "null".to_owned(), |it| quoted(&it.to_string()))
}

/// `text` as a YAML scalar.
fn quoted(text: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "/_.-".contains(it);
    let word = text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '/' || it == '.')
        && text.chars().all(plain)
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text);
    if word { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
