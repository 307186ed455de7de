//! `docker-compose.yml` and `.env.example`. No engine runs them here: Debian's docker-compose reads the file as it would
//! before it starts anything, and the schema of the compose specification holds it for newer ones.

use super::{file, fits, found, root, said, yaml};
use crate::support::program;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::{Command, Output},
};

const PROFILES: [&str; 5] = ["nginx", "tunnel", "redis", "nats", "postgresql"];

/// `docker-compose ARGUMENTS` with `.env.example`, filled in or as it is. `None`: there is none here, and that was said.
fn docker_compose(filled: bool, arguments: &[&str]) -> Option<Output> {
    let program = program("docker-compose")?;
    let dir = tempfile::tempdir().unwrap();
    let env = dir.path().join("env");
    let mut text = file(".env.example");
    if filled {
        text = text.replace("\nOBSERVATORY_TOKEN=\n", "\nOBSERVATORY_TOKEN=0123456789abcdef\n");
        text = text.replace("\nGRAFANA_ADMIN_PASSWORD=\n", "\nGRAFANA_ADMIN_PASSWORD=secret\n");
    }
    fs::write(&env, text).unwrap();
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["OBSERVATORY_", "GRAFANA_", "COMPOSE_"].iter().any(|it| name.starts_with(it)) {
            command.env_remove(name);
        }
    }
    command.arg("--env-file").arg(env).arg("-f").arg(root().join("docker-compose.yml"));
    Some(command.args(arguments).output().unwrap())
}

fn services() -> Option<BTreeMap<String, Value>> {
    let file = yaml("docker-compose.yml")?.remove(0);
    Some(serde_json::from_value(file["services"].clone()).unwrap())
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[test]
fn it_fits_the_schema() {
    fits("compose-spec", &["docker-compose.yml"]);
}

#[test]
fn compose_reads_it() {
    let Some(output) = docker_compose(true, &["config", "--services"]) else { return };
    // Newer ones leave out those of profiles that were not asked for.
    let names: BTreeSet<_> = said(&output).lines().map(str::to_owned).collect();
    for it in ["observatory", "prometheus", "grafana", "alertmanager"] {
        assert!(names.contains(it), "{names:?}");
    }
    for profile in PROFILES {
        let output = docker_compose(true, &["--profile", profile, "config", "--services"]).unwrap();
        let said = said(&output);
        assert!(said.lines().any(|it| it == profile), "{profile}: {said}");
    }
}

#[test]
fn four_services_are_there_without_a_profile() {
    let Some(services) = services() else { return };
    let of = |profile: &str| -> Vec<&str> {
        let has = |it: &Value| texts(&it["profiles"]).join(",") == profile;
        services.iter().filter(|it| has(it.1)).map(|it| it.0.as_str()).collect()
    };
    assert_eq!(of(""), ["alertmanager", "grafana", "observatory", "prometheus"]);
    for it in PROFILES {
        assert_eq!(of(it), [it]);
    }
}

/// `cp .env.example .env` and nothing else: compose says what is missing instead of starting something open.
#[test]
fn a_missing_secret_is_named() {
    let Some(output) = docker_compose(false, &["config", "-q"]) else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("set OBSERVATORY_TOKEN in .env"), "{said}");
}

#[test]
fn the_example_lists_every_variable_with_its_default() {
    let compose = file("docker-compose.yml");
    let used = regex::Regex::new(r"(?:^|[^$])\$\{([A-Z_]+)(?::([-?])([^}]*))?\}").unwrap();
    let mut defaults = BTreeMap::new();
    for it in used.captures_iter(&compose) {
        let required = it.get(2).is_some_and(|it| it.as_str() == "?");
        let default = if required { "" } else { it.get(3).map_or("", |it| it.as_str()) };
        let said = (required, default.to_owned());
        let before = defaults.insert(it[1].to_owned(), said.clone());
        assert!(before.is_none_or(|it| it == said), "{} has two defaults", &it[1]);
    }
    let example = file(".env.example");
    let lines = regex::Regex::new("(?m)^(#?)([A-Z_]+)=(.*)$").unwrap();
    let listed: BTreeMap<_, _> = lines
        .captures_iter(&example)
        // What compose itself reads.
        .filter(|it| !it[2].starts_with("COMPOSE_"))
        .map(|it| (it[2].to_owned(), (it[1].is_empty(), it[3].to_owned())))
        .collect();
    assert!(listed.len() > 20, "{listed:#?}");
    assert_eq!(listed, defaults, "left: .env.example, right: docker-compose.yml");
}

#[test]
fn every_mounted_path_exists() {
    let Some(services) = services() else { return };
    let mounts = services.values().flat_map(|it| texts(&it["volumes"]));
    let paths: BTreeSet<_> = mounts
        .filter_map(|it| it.strip_prefix("./")?.split(':').next().map(str::to_owned))
        .collect();
    assert!(paths.len() >= 5, "{paths:?}");
    let lost: Vec<_> = paths.iter().filter(|it| !root().join(it).exists()).collect();
    assert!(lost.is_empty(), "mounted, and not in the repository: {lost:?}");
}

#[test]
fn every_volume_is_declared_and_used() {
    let Some(mut files) = yaml("docker-compose.yml") else { return };
    let file = files.remove(0);
    let declared: BTreeSet<_> = file["volumes"].as_object().unwrap().keys().cloned().collect();
    let mounts = services().unwrap();
    let mounts = mounts.values().flat_map(|it| texts(&it["volumes"]));
    let used: BTreeSet<_> = mounts
        .filter(|it| !it.starts_with("./"))
        .map(|it| it.split(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(used, declared);
}

#[test]
fn every_service_is_hardened_and_watched() {
    let Some(services) = services() else { return };
    assert_eq!(services.len(), 4 + PROFILES.len());
    for (name, it) in &services {
        assert_eq!(it["read_only"], true, "{name}");
        assert_eq!(texts(&it["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(texts(&it["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert_eq!(it["restart"], "unless-stopped", "{name}");
        assert!(it["healthcheck"]["test"].is_array(), "{name} has no health check");
        let user = it["user"].as_str().unwrap_or_default();
        let uid = user.split(':').next().and_then(|it| it.parse::<u32>().ok());
        assert!(uid.is_some_and(|it| it > 0), "{name} runs as {user:?}");
        assert!(it.get("privileged").is_none() && it.get("network_mode").is_none(), "{name}");
    }
}

#[test]
fn every_image_has_a_version() {
    let Some(services) = services() else { return };
    // Two numbers at least.
    let whole = regex::Regex::new(r"^v?[0-9]+\.[0-9]+").unwrap();
    for (name, it) in &services {
        let image = it["image"].as_str().unwrap();
        let tag = found(r"[:](?:\$\{[A-Z_]+:-)?([^:}]+)\}?$", image);
        let tag = tag.first().unwrap_or_else(|| panic!("{name}: {image}"));
        assert!(whole.is_match(tag), "{name}: {image}");
    }
    let own = services["observatory"]["image"].as_str().unwrap();
    assert!(own.contains(&format!("observatory:{}", env!("CARGO_PKG_VERSION"))), "{own}");
}

#[test]
fn no_secret_is_in_the_file_and_no_port_is_open() {
    let Some(services) = services() else { return };
    let mut secrets = 0;
    for (name, it) in &services {
        let environment = it["environment"].as_object().into_iter().flatten();
        for (key, value) in environment {
            if ["TOKEN", "PASSWORD", "SECRET", "KEY"].iter().any(|it| key.contains(it)) {
                let value = value.as_str().unwrap();
                let from_outside =
                    value.starts_with("${") && !value.contains(":-") || value.ends_with(":-}");
                assert!(from_outside, "{name}: {key}: {value}");
                secrets += 1;
            }
        }
        for port in texts(&it["ports"]) {
            let local =
                port.starts_with("${BIND_ADDRESS:-127.0.0.1}:") || port.starts_with("127.0.0.1:");
            assert!(local, "{name}: {port}");
        }
    }
    assert_eq!(secrets, 5, "a secret came or went");
}

/// The ports that other files of the stack count on.
#[test]
fn services_listen_where_others_look_for_them() {
    let Some(services) = services() else { return };
    for (name, port) in
        [("observatory", 9091), ("prometheus", 9090), ("alertmanager", 9093), ("grafana", 3000)]
    {
        let ports = texts(&services[name]["ports"]);
        assert!(ports.iter().all(|it| it.ends_with(&format!(":{port}"))), "{name}: {ports:?}");
    }
}
