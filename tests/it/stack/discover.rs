//! `observatory discover`: an engine that answers as recorded, real services, this machine and "another".

use super::{Stack, remote::Sshd};
use crate::support::eventually;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixListener,
    path::Path,
    thread,
    time::Duration,
};

/// What must not be written down.
const PLANTED: &[&str] = &["hunter2-grafana", "hunter2-url", "hunter2-file", "hunter2-alert"];

fn container() -> Value {
    json!({
        "Name": "/grafana", "State": {"Status": "running", "StartedAt": "2026-11-21T10:00:00Z"},
        "Config": {
            "Image": "grafana/grafana:12.4.4", "Entrypoint": ["/run.sh"], "Cmd": null,
            "Env": ["GF_SECURITY_ADMIN_PASSWORD=hunter2-grafana", "DB=postgres://g:hunter2-url@db/g", "A=b"],
            "Labels": {
                "com.docker.compose.project.config_files": "/srv/docker-compose.yml",
                "com.docker.compose.depends_on": "prometheus:service_healthy:false",
            },
        },
        "NetworkSettings": {
            "Ports": {"3000/tcp": [{"HostIp": "0.0.0.0", "HostPort": "3000"}], "9/tcp": null},
            "Networks": {"observatory_default": {}},
        },
        "Mounts": [{"Type": "volume", "Name": "grafana-data", "Source": "/var/lib/docker/volumes/grafana-data/_data", "Destination": "/var/lib/grafana", "RW": true}],
    })
}

/// A tar archive with one file.
fn tar(content: &str) -> Vec<u8> {
    let mut header = vec![0_u8; 512];
    header[..11].copy_from_slice(b"grafana.ini");
    let size = format!("{:011o}", content.len());
    header[124..135].copy_from_slice(size.as_bytes());
    header[156] = b'0';
    let mut archive = header;
    archive.extend_from_slice(content.as_bytes());
    archive.resize(archive.len().div_ceil(512) * 512 + 1024, 0);
    archive
}

fn answer(path: &str) -> Option<Vec<u8>> {
    let json = |it: Value| Some(it.to_string().into_bytes());
    match path {
        "/containers/json?all=true" => json(json!([{"Id": "abc123", "Status": "Up 3 hours"}])),
        "/containers/abc123/json" => json(container()),
        "/containers/abc123/archive?path=/etc/grafana/grafana.ini" => {
            Some(tar("[security]\nadmin_password = hunter2-file\nadmin_user = admin\n"))
        }
        "/volumes" => json(
            json!({"Volumes": [{"Name": "grafana-data", "Driver": "local", "Mountpoint": "/m"}]}),
        ),
        "/networks" => json(
            json!([{"Name": "observatory_default", "Driver": "bridge", "IPAM": {"Config": [{"Subnet": "172.18.0.0/16"}]}}]),
        ),
        _ => None,
    }
}

fn engine(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|it| it.is_ok_and(|it| !it.is_empty())) {}
            let (status, body) = match answer(first.split(' ').nth(1).unwrap()) {
                Some(it) => ("200 OK", it),
                None => ("404 Not Found", Vec::new()),
            };
            let head = format!("HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
            // Who asked may have gone.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
}

fn written(dir: &Path) -> (String, String) {
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    (read("inventory.json"), read("SUMMARY.md"))
}

#[track_caller]
fn check(json: &str, summary: &str, stack: &Stack) {
    for secret in PLANTED {
        assert!(!json.contains(secret) && !summary.contains(secret), "{secret}");
    }
    let found: Value = serde_json::from_str(json).unwrap();
    let container = &found["containers"][0];
    assert_eq!(container["name"], "grafana");
    assert_eq!(container["ports"], json!(["3000/tcp -> 0.0.0.0:3000", "9/tcp"]));
    assert_eq!(
        container["environment"],
        json!(["A=b", "DB=postgres://g:***@db/g", "GF_SECURITY_ADMIN_PASSWORD=***"])
    );
    assert_eq!(container["mounts"], json!(["grafana-data -> /var/lib/grafana (rw)"]));
    assert_eq!(
        (&container["compose_files"], &container["depends_on"]),
        (&json!(["/srv/docker-compose.yml"]), &json!(["prometheus"]))
    );
    assert_eq!(found["networks"][0]["subnets"], json!(["172.18.0.0/16"]));
    assert!(
        found["files"]["grafana:/etc/grafana/grafana.ini"]
            .as_str()
            .unwrap()
            .contains("admin_user = admin")
    );
    let prometheus = &found["services"]["prometheus"];
    assert!(
        prometheus["config"].as_str().unwrap().contains("job_name: observatory"),
        "{prometheus}"
    );
    let data =
        format!("storage.tsdb.path={}", stack.path("observatory-stack/prometheus").display());
    assert_eq!(prometheus["persistence"][0], data.as_str());
    assert!(found["services"]["alertmanager"]["version"].as_str().unwrap().starts_with("0."));
    let groups = found["services"]["pushgateway"]["items"].to_string();
    assert!(groups.contains("backup") && groups.contains("last_success"), "{groups}");
    assert!(summary.contains("## prometheus") && summary.contains("**grafana**"), "{summary}");
}

#[test]
fn what_runs_is_written_down_here_and_over_ssh() {
    let Some(stack) = Stack::new("  ephemeral: true\n") else { return };
    stack.write(
        "alertmanager.yml",
        "route: {receiver: a}\nreceivers:\n- name: a\n  webhook_configs:\n  - url: http://127.0.0.1:1/\n    http_config:\n      basic_auth:\n        username: u\n        password: hunter2-alert\n",
    );
    stack.expect(
        0,
        &[
            "config",
            "set",
            "services.grafana.enabled=false",
            "services.alertmanager.config=alertmanager.yml",
        ],
    );
    let socket = stack.path("engine.sock");
    engine(&socket);
    let socket = socket.to_str().unwrap();
    stack.expect(0, &["up"]);
    let url = format!("http://127.0.0.1:{}", stack.ports["observatory"]);
    stack.expect(0, &["push", "--url", &url, "--job", "backup", "last_success=1"]);

    // Prometheus knows its targets after five seconds.
    eventually(Duration::from_secs(20), || {
        let targets = stack.client("prometheus").get("/api/v1/targets").json();
        let active = targets["data"]["activeTargets"].as_array().map_or(0, Vec::len);
        if active == 3 { Ok(()) } else { Err(targets) }
    });

    // Several stacks may run on this machine: these are the addresses of ours.
    let at = |service: &str, name: &str| format!("--{service}=127.0.0.1:{}", stack.ports[name]);
    let addresses = [
        at("prometheus", "prometheus"),
        at("alertmanager", "alertmanager"),
        at("pushgateway", "observatory"),
    ];
    let discover = |output: &'static str, more: &[&str]| {
        let mut all = vec!["discover", "--engine-socket", socket, "--output", output];
        all.extend(addresses.iter().map(String::as_str));
        all.extend(more);
        stack.expect(0, &all);
        written(&stack.path(output))
    };
    let (json, summary) = discover("first", &["--here"]);
    check(&json, &summary, &stack);
    let without_processes = |it: &str| {
        let mut it: Value = serde_json::from_str(it).unwrap();
        // Other tests start and end processes of this kind meanwhile.
        it["processes"] = Value::Null;
        it.to_string()
    };
    let (again, _) = discover("second", &["--here"]);
    assert_eq!(without_processes(&json), without_processes(&again));
    let found: Value = serde_json::from_str(&json).unwrap();
    let ours = format!("127.0.0.1:{}", stack.ports["prometheus"]);
    assert!(found["processes"].to_string().contains(&ours), "{found}");

    let Some(sshd) = Sshd::start(&stack.path("ssh")) else { return };
    stack.expect(
        0,
        &["config", "set", "-e", "remote", &format!("ssh_config={}", sshd.config.display())],
    );
    let (there, summary) = discover("there", &["--host", "vonnegut"]);
    check(&there, &summary, &stack);
    assert_eq!(without_processes(&json), without_processes(&there));
    stack.expect(0, &["down"]);
    stack.expect_gone();
}
