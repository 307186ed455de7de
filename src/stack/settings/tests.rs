//! Tests of the settings.

use super::*;

fn loaded(text: &str, chosen: Option<&str>) -> Result<Loaded, Invalid> {
    load(&Sources {
        file: Some((PathBuf::from("/etc/o.yml"), text.to_owned())),
        chosen: chosen.map(str::to_owned),
        ..Sources::default()
    })
}

const FILE: &str = "
listen: [127.0.0.1:9091]
stack:
  data_dir: data
  services:
    prometheus: {port: 19090}
    grafana: {enabled: false}
  environments:
    remote:
      host: vonnegut
      backend: compose
      services: {prometheus: {port: 29090}}
    staging:
";

#[test]
fn environments_differ_in_what_they_say() {
    let local = loaded(FILE, None).unwrap();
    assert_eq!(local.environment, "local");
    assert_eq!(local.environments, ["local", "remote", "staging"]);
    assert_eq!(local.profile.service(ServiceName::Prometheus).port, 19090);
    assert_eq!(local.profile.service(ServiceName::Grafana).enabled, Enabled::No);
    assert_eq!(local.profile.data_dir, PathBuf::from("/etc/data"));
    let remote = loaded(FILE, Some("remote")).unwrap();
    assert_eq!(remote.profile.service(ServiceName::Prometheus).port, 29090);
    assert_eq!(remote.profile.host.as_deref(), Some("vonnegut"));
    assert_eq!(remote.profile.backend, Backend::Compose);
    assert_eq!(remote.profile.service(ServiceName::Grafana).enabled, Enabled::No);
    let port = Key::find("services.prometheus.port").unwrap();
    assert_eq!(remote.origin(port).to_string(), "/etc/o.yml:12");
    assert_eq!(local.origin(Key::find("retention").unwrap()), &Origin::Default);
}

#[test]
fn what_is_wrong_is_told_whole() {
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let problems = loaded(text, None).unwrap_err().problems;
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (problem, words) in problems.iter().zip(expected) {
            assert!(problem.contains(words), "{problem}");
        }
    }
    check("stack: {backnd: compose}", &["did you mean `stack.backend`?"]);
    check(
        "stack:\n  backend: swarm\n  services: {prometheus: {port: x}}",
        &[
            "/etc/o.yml:2: stack.backend: expected `processes` or `compose`, found `swarm`",
            "stack.services.prometheus.port: expected a port from 1 to 65535, found `x`",
        ],
    );
    check("stack: {host: -oProxyCommand=x}", &["stack.host: expected a name"]);
    check("stack: {environment: moon}", &["there is no `moon`; there are local, remote"]);
    check("stack: {services: {prometheus: {port: 9091}}}", &["9091 is the port of"]);
    check("stack: {environments: {remote: {retention: long}}}", &["stack.retention: expected"]);
    check("stack: 5", &["expected keys"]);
    check("stack: {data_dir: [a]}", &["expected one value"]);
    check("a: [", &["/etc/o.yml:1: "]);
}

#[test]
fn variables_win_over_the_file_and_flags_over_both() {
    let environment = BTreeMap::from([
        ("OBSERVATORY_STACK_SERVICES_PROMETHEUS_PORT".to_owned(), "1".to_owned()),
        ("OBSERVATORY_STACK_HOST".to_owned(), "a".to_owned()),
    ]);
    let flags = vec![("host", "--host", "b".to_owned())];
    let file = Some((PathBuf::from("o.yml"), FILE.to_owned()));
    let it = load(&Sources { file, environment, chosen: None, flags }).unwrap();
    assert_eq!(it.profile.service(ServiceName::Prometheus).port, 1);
    assert_eq!(it.profile.host.as_deref(), Some("b"));
    assert_eq!(it.origin(Key::find("host").unwrap()), &Origin::Flag("--host"));
}

#[test]
fn what_is_shown_can_be_read() {
    for key in KEYS {
        let shown = key.show(&Profile::default());
        let mut text = String::new();
        let parts: Vec<_> = key.name.split('.').collect();
        for (depth, part) in parts.iter().enumerate() {
            let end = if depth + 1 == parts.len() { format!(" {shown}") } else { String::new() };
            text.push_str(&format!("{}{part}:{end}\n", "  ".repeat(depth + 1)));
        }
        let again = loaded(&format!("stack:\n{text}"), None).unwrap_or_else(|it| panic!("{it}"));
        let plain = |it: &str| it.trim_start_matches("/etc/").to_owned();
        assert_eq!(plain(&key.show(&again.profile)), plain(&shown), "{}", key.name);
    }
}

#[test]
fn the_documentation_has_every_key() {
    let docs = include_str!("../../../docs/stack.md");
    for key in KEYS {
        let row = format!("| `{}` | `{}` | {} |", key.name, key.show(&Profile::default()), key.doc);
        assert!(docs.contains(&row), "docs/stack.md lacks\n{row}");
    }
}
