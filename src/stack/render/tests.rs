//! Tests of the rendered configuration.

use super::*;

fn inputs(services: &[(ServiceName, &str)]) -> Inputs {
    Inputs {
        addresses: services.iter().map(|(name, it)| (*name, (*it).to_owned())).collect(),
        config_dir: PathBuf::from("/s/config"),
        data_dir: PathBuf::from("/s"),
        secrets: PathBuf::from("/does/not/exist"),
        prometheus: None,
        alertmanager: None,
        grafana_listen: ("127.0.0.1".to_owned(), 13000),
        token: "read-me".to_owned(),
        prefix: String::new(),
        telemetry_path: "/metrics".to_owned(),
        notes: Vec::new(),
    }
}

const ALL: &[(ServiceName, &str)] = &[
    (ServiceName::Observatory, "127.0.0.1:19091"),
    (ServiceName::Prometheus, "127.0.0.1:19090"),
    (ServiceName::Alertmanager, "127.0.0.1:19093"),
    (ServiceName::Grafana, "127.0.0.1:13000"),
];

fn text(files: &BTreeMap<String, Vec<u8>>, path: &str) -> String {
    String::from_utf8(files[path].clone()).unwrap()
}

#[test]
fn every_address_is_in_its_place() {
    let mut inputs = inputs(ALL);
    let files = render(&mut inputs).unwrap();
    for (path, content) in files.iter().filter(|it| it.0.ends_with(".yml")) {
        let value = read(&String::from_utf8_lossy(content), path).unwrap();
        for name in ServiceName::ALL {
            let rules = path.starts_with("prometheus/rules/");
            assert!(rules || !targets(&value, name), "{path} names {}", usual_address(name));
        }
    }
    let prometheus = text(&files, "prometheus/prometheus.yml");
    for words in [
        "127.0.0.1:19091",
        "127.0.0.1:19090",
        "127.0.0.1:19093",
        "/s/config/secrets/observatory_token",
    ] {
        assert!(prometheus.contains(words), "{words} in {prometheus}");
    }
    assert_eq!(text(&files, "secrets/observatory_token"), "read-me\n");
    assert!(text(&files, "grafana/grafana.ini").contains("http_port = 13000\n"));
    let boards = text(&files, "grafana/provisioning/dashboards/observatory.yml");
    assert!(boards.contains("/s/config/grafana/dashboards"), "{boards}");
}

#[test]
fn what_is_left_out_is_not_scraped_and_not_told() {
    let mut inputs = inputs(&ALL[..2]);
    let files = render(&mut inputs).unwrap();
    let value = read(&text(&files, "prometheus/prometheus.yml"), "").unwrap();
    assert!(value.get("alerting").is_none(), "{value}");
    let jobs: Vec<_> = value["scrape_configs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["job_name"].as_str().unwrap())
        .collect();
    assert!(jobs.contains(&"observatory") && !jobs.contains(&"alertmanager"), "{jobs:?}");
    assert!(!files.keys().any(|it| it.starts_with("alertmanager/") || it.starts_with("grafana/")));
}

#[test]
fn receivers_without_secrets_go_and_that_is_told() {
    let mut some = inputs(ALL);
    let files = render(&mut some).unwrap();
    let without = text(&files, "alertmanager/alertmanager.yml");
    assert!(!without.contains("email_configs") && !without.contains("slack_configs"), "{without}");
    assert!(without.contains("127.0.0.1:19091/api/v1/alertmanager"), "{without}");
    assert!(some.notes[0].contains("not email, slack, webhook"), "{:?}", some.notes);

    let dir = tempfile::tempdir().unwrap();
    for name in ["smtp_password", "slack_url", "webhook_token"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let mut all = Inputs { secrets: dir.path().to_owned(), ..inputs(ALL) };
    let files = render(&mut all).unwrap();
    let with = text(&files, "alertmanager/alertmanager.yml");
    assert!(with.contains("email_configs") && with.contains("slack_configs"), "{with}");
    assert!(with.contains(&format!("{}/slack_url", dir.path().display())), "{with}");
    assert_eq!(all.notes, [""; 0]);
}

#[test]
fn a_prefix_is_part_of_every_address() {
    let mut inputs = Inputs { prefix: "/o".to_owned(), ..inputs(ALL) };
    let files = render(&mut inputs).unwrap();
    let prometheus = text(&files, "prometheus/prometheus.yml");
    assert!(prometheus.contains("127.0.0.1:19091/o/api/v1/sd/agents"), "{prometheus}");
    assert!(prometheus.contains("metrics_path: /o/metrics"), "{prometheus}");
    let manager = text(&files, "alertmanager/alertmanager.yml");
    assert!(manager.contains("127.0.0.1:19091/o/api/v1/alertmanager"), "{manager}");
}

#[test]
fn names_are_replaced_whole() {
    let check = |text: &str, expected: &str| {
        assert_eq!(replaced(text, "prometheus:9090", "X"), expected);
    };
    check("prometheus:9090", "X");
    check("http://prometheus:9090/a prometheus:9090", "http://X/a X");
    check(
        "my-prometheus:9090 prometheus:90901 a.prometheus:9090",
        "my-prometheus:9090 prometheus:90901 a.prometheus:9090",
    );
}
