//! The rest of the surface: the list, flags, roles, lifecycle, the command line, hostile bodies.

use super::real::{Peer, Pushgateway};
use crate::support::{Server, Settings, cli, refused};
use serde_json::{Value, json};
use std::{collections::BTreeSet, io::Write};

fn server(flags: &[&str]) -> Server {
    let settings = flags.iter().fold(Settings::new(), |acc, it| acc.flag(it));
    Server::start_with_rules("version: 1\n", settings)
}

const EVERY_TYPE: &str = "# HELP c how many <&>\n# TYPE c counter\nc{a=\"x\\\"y\"} 3\n# TYPE g gauge\ng 1e22\n# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 1\ns_count 2\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\nu 123456789\nv 1e-7\n";

/// The list with its times taken out.
fn list(addr: std::net::SocketAddr) -> Value {
    let mut client = crate::support::Client::new(addr);
    let response = client.get("/api/v1/metrics").expect(200);
    for (name, value) in [
        ("content-type", "application/json"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, POST, DELETE, OPTIONS"),
        ("access-control-expose-headers", "Date"),
        ("cache-control", "no-cache, no-store, must-revalidate"),
    ] {
        assert_eq!(response.header(name), value, "{name}");
    }
    let mut list = response.json();
    for group in list["data"].as_array_mut().unwrap() {
        for (name, family) in group.as_object_mut().unwrap() {
            if let Some(time) = family.get_mut("time_stamp") {
                assert!(time.as_str().unwrap().len() > 19, "{time}");
                *time = json!("<T>");
            }
            if name == "push_time_seconds" {
                let value = family["metrics"][0]["value"].as_str().unwrap();
                assert!(value.starts_with("1.") && value.ends_with("e+09"), "{value}");
                family["metrics"][0]["value"] = json!("<TS>");
            }
        }
    }
    list
}

#[test]
fn the_list_is_that_of_a_pushgateway() {
    let server = server(&[]);
    let mut lists = Vec::new();
    let mut ask = |addr| {
        let mut client = crate::support::Client::new(addr);
        let pushed = client.request("PUT", "/metrics/job/j/instance/i", &[], EVERY_TYPE.as_bytes());
        pushed.expect(200);
        lists.push(list(addr));
    };
    ask(server.addr);
    for peer in [Peer::System, Peer::Current] {
        let Some(program) = peer.program() else { continue };
        ask(Pushgateway::start(&program, &[]).unwrap().addr);
    }
    for other in &lists {
        assert_eq!(other, &lists[0]);
    }
    let group = &lists[0]["data"][0];
    assert_eq!(group["labels"], json!({"instance": "i", "job": "j"}));
    assert_eq!(group["last_push_successful"], json!(true));
    assert_eq!(group["h"]["metrics"][0]["buckets"], json!({"0.5": "1", "+Inf": "2"}));
    assert_eq!(group["s"]["metrics"][0]["quantiles"], json!({"0.5": "NaN"}));
    assert_eq!(group["g"]["metrics"][0]["value"], "1e+22");
    assert_eq!(group["u"]["metrics"][0]["value"], "1.23456789e+08");
    assert_eq!(group["v"]["metrics"][0]["value"], "1e-07");
}

#[test]
fn many_groups_are_listed_as_well() {
    let server = server(&[]);
    let mut client = server.client();
    for i in 0..150 {
        let path = format!("/metrics/job/j/instance/{i}");
        client.request("PUT", &path, &[], format!("m {i}\n").as_bytes()).expect(200);
    }
    let list = client.get("/api/v1/metrics").expect(200).json();
    let groups = list["data"].as_array().unwrap();
    let instances: BTreeSet<_> =
        groups.iter().map(|it| it["labels"]["instance"].as_str().unwrap()).collect();
    assert_eq!((groups.len(), instances.len()), (150, 150));
    for it in groups {
        assert_eq!(it["m"]["metrics"][0]["value"], it["labels"]["instance"]);
    }
}

#[test]
fn a_metric_cannot_pretend_to_be_a_member_of_its_group() {
    let server = server(&[]);
    let body = b"labels 1\nlast_push_successful 2\nmetrics 3\n";
    server.client().request("PUT", "/metrics/job/j", &[], body).expect(200);
    let group = &list(server.addr)["data"][0];
    assert_eq!(group["labels"], json!({"job": "j"}));
    assert_eq!(group["last_push_successful"], json!(true));
    assert_eq!(group["metrics"]["labels"]["metrics"][0]["value"], "1");
    assert_eq!(group["metrics"]["metrics"]["metrics"][0]["value"], "3");
}

#[test]
fn the_status_has_what_that_of_a_pushgateway_has() {
    let server = server(&["--push.enable-utf8-names"]);
    let ours = server.client().get("/api/v1/status").expect(200).json();
    let keys = |it: &Value| it.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let flags = [
        "log.format",
        "log.level",
        "persistence.file",
        "persistence.interval",
        "push.disable-consistency-check",
        "push.enable-utf8-names",
        "web.config.file",
        "web.enable-admin-api",
        "web.enable-lifecycle",
        "web.external-url",
        "web.listen-address",
        "web.route-prefix",
        "web.systemd-socket",
        "web.telemetry-path",
    ];
    for flag in flags {
        assert!(ours["data"]["flags"][flag].is_string(), "{flag}: {ours}");
    }
    assert_eq!(ours["data"]["flags"]["push.enable-utf8-names"], "true");
    let Some(program) = Peer::Current.program() else { return };
    let gateway = Pushgateway::start(&program, &[]).unwrap();
    let theirs = crate::support::Client::new(gateway.addr).get("/api/v1/status").expect(200).json();
    for part in ["/data", "/data/flags", "/data/build_information"] {
        let (ours, theirs) = (ours.pointer(part).unwrap(), theirs.pointer(part).unwrap());
        let mut missing: Vec<_> = keys(theirs).difference(&keys(ours)).cloned().collect();
        // Debian's alone.
        missing.retain(|it| it != "web.local-assets");
        assert!(missing.is_empty(), "{part} lacks {missing:?}");
    }
}

#[test]
fn roles_and_their_refusals() {
    let tokens = "ingest:pusher-secret,read:reader-secret,control:keeper-secret,admin:admin-secret";
    let settings =
        Settings::new().token(tokens).flag("--web.enable-admin-api").flag("--web.enable-lifecycle");
    let server = Server::start_with_rules("version: 1\n", settings);
    let check = |token: &str, method: &str, path: &str, status: u16| {
        let mut client = server.client();
        if !token.is_empty() {
            client = client.with_header("authorization", &format!("Bearer {token}"));
        }
        let response = client.request(method, path, &[], b"");
        assert_eq!(response.status, status, "{token} {method} {path}: {}", response.text());
        response
    };
    let refused = check("", "PUT", "/metrics/job/j", 401);
    assert_eq!(refused.text(), "Unauthorized\n");
    assert_eq!(refused.header("www-authenticate"), "Basic");
    check("reader-secret", "PUT", "/metrics/job/j", 403);
    check("pusher-secret", "PUT", "/metrics/job/j", 200);
    check("pusher-secret", "DELETE", "/metrics/job/j", 202);
    check("pusher-secret", "GET", "/api/v1/metrics", 403);
    check("reader-secret", "GET", "/api/v1/metrics", 200);
    check("keeper-secret", "PUT", "/api/v1/admin/wipe", 403);
    check("admin-secret", "PUT", "/api/v1/admin/wipe", 202);
    check("pusher-secret", "PUT", "/-/quit", 403);
    // The time of a push is for those to say who operate the server.
    let time = [("x-observatory-push-time", "2026-01-05T10:00:00Z")];
    let push = |token: &str| {
        let mut client = server.client().with_header("authorization", &format!("Bearer {token}"));
        client.request("PUT", "/metrics/job/j", &time, b"m 1\n").status
    };
    assert_eq!((push("pusher-secret"), push("keeper-secret")), (403, 200));
}

#[test]
fn the_server_ends_when_it_is_asked_to_and_may_be() {
    let mut server = server(&["--web.enable-lifecycle"]);
    server.client().request("PUT", "/metrics/job/j", &[], b"m 1\n").expect(200);
    let answer = server.client().request("PUT", "/-/quit", &[], b"").expect(200);
    assert_eq!(answer.text(), "Requesting termination... Goodbye!");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    server.restart();
    server.metrics().check("m{instance=\"\",job=\"j\"}", 1.0);
}

#[test]
fn paths_move_with_the_flags() {
    let server = server(&["--web.external-url=http://x.example/push/"]);
    let mut client = server.client();
    client.request("PUT", "/push//metrics/job/j", &[], b"m 1\n").expect(200);
    client.request("PUT", "/metrics/job/j", &[], b"m 1\n").expect(404);
    assert!(
        client.get("/push/metrics").expect(200).text().contains("m{instance=\"\",job=\"j\"} 1")
    );
    client.get("/pushed/metrics").expect(404);
    assert_eq!(client.get("/push/-/healthy").expect(200).text(), "OK");
}

#[test]
fn flags_that_cannot_be_honoured_are_explained() {
    let check = |flag: &str, expected: i32, words: &str| {
        let (code, said) = refused(&Settings::new().flag(flag).flag("--listen=127.0.0.1:0"));
        assert!(code == expected && said.contains(words), "{flag}: {code} {said}");
    };
    check("--web.config.file=web.yml", 2, "observatory token create");
    check("--web.systemd-socket", 2, "--listen");
    check("--web.telemetry-path=metrics", 64, "a path such as /metrics");
    let dir = tempfile::tempdir().unwrap();
    let file = format!("--persistence.file={}/gw.db", dir.path().display());
    let output = cli(&["config", "show", &file], &Settings::new(), "");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = dir.path().join("observatory-data").display().to_string();
    assert!(said.contains(&expected), "{said} {output:?}");
}

#[test]
fn dashboards_of_the_pushgateway_stay() {
    let server = server(&[]);
    let mut client = server.client();
    client.request("PUT", "/metrics/job/j", &[], b"m 1\n").expect(200);
    client.request("POST", "/metrics/job/j", &[], b"bad\n").expect(400);
    client.request("DELETE", "/metrics/job/j", &[], b"").expect(202);
    client.get("/-/healthy").expect(200);
    let requests = |labels: &str| format!("pushgateway_http_requests_total{{{labels}}}");
    server.wait_for(&requests("handler=\"push\",code=\"200\",method=\"put\""), 1.0);
    let page = server.metrics();
    page.check(&requests("handler=\"push\",code=\"400\",method=\"post\""), 1.0);
    page.check(&requests("handler=\"delete\",code=\"202\",method=\"delete\""), 1.0);
    page.check(&requests("handler=\"healthy\",code=\"200\",method=\"get\""), 1.0);
    page.check("pushgateway_http_push_duration_seconds_count{method=\"put\"}", 1.0);
    let size = page.get("pushgateway_http_push_size_bytes{method=\"put\",quantile=\"0.5\"}");
    assert!(size.is_some_and(|it| (20.0..1000.0).contains(&it)), "{size:?}");
    assert_eq!(page.of("pushgateway_build_info").count(), 1);
}

#[test]
fn hostile_bodies_end_in_a_refusal() {
    let server = server(&[]);
    let before = server.rss_bytes();
    let put = |headers: &[(&str, &str)], body: &[u8]| {
        server.client().request("PUT", "/metrics/job/j", headers, body).status
    };
    let gzip = |size: usize| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b'a'; size]).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(put(&[("content-encoding", "gzip")], &gzip(256 << 20)), 413);
    let block = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0];
    assert_eq!(put(&[("content-encoding", "snappy")], &block), 413);
    assert_eq!(put(&[], format!("{} 1\n", "x".repeat(9 << 20)).as_bytes()), 413);
    assert_eq!(put(&[], format!("m{{a=\"{}\"}} 1\n", "x".repeat(9 << 20)).as_bytes()), 413);
    let labels: String = (0..1_000_000).map(|i| format!("a{i}=\"\",")).take(700_000).collect();
    assert_eq!(put(&[], format!("m{{{labels}}} 1\n").as_bytes()), 413);
    assert_eq!(put(&[], b"m{a=\"\xff\"} 1\n"), 400);
    assert_eq!(put(&[], &[0xff; 1 << 20]), 400);
    let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    for seed in 1..50_u8 {
        let noise: Vec<u8> = (0..2000_u32)
            .map(|i| i.wrapping_mul(u32::from(seed) * 7919).to_le_bytes()[1])
            .collect();
        let status = put(&[("content-type", protobuf)], &noise);
        assert!([200, 400, 413].contains(&status), "{status}");
    }
    // The page is what it was, and memory was not the sender's to fill.
    assert_eq!(server.metrics().of("m").count(), 0);
    let grown = server.rss_bytes().saturating_sub(before) >> 20;
    assert!(grown < 200, "{grown} MiB more");
}

#[test]
fn every_way_to_send_a_body() {
    let server = server(&[]);
    let check = |request: &str| {
        let response = server.raw(request.as_bytes());
        assert_eq!(response.status, 200, "{request}: {}", response.text());
        server.metrics().check("m{instance=\"\",job=\"j\"}", 1.0);
        server.client().request("DELETE", "/metrics/job/j", &[], b"").expect(202);
    };
    let chunked = "host: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nm \r\n2\r\n1\n\r\n0\r\n\r\n";
    let plain = "content-length: 4\r\n\r\nm 1\n";
    check(&format!("PUT /metrics/job/j HTTP/1.1\r\n{chunked}"));
    check(&format!("POST /metrics/job/j HTTP/1.0\r\n{plain}"));
    check(&format!("PUT http://gateway.example/metrics/job/j HTTP/1.1\r\nhost: x\r\n{plain}"));
    check(&format!("PUT /metrics/job/j?x=y HTTP/1.1\r\nhost: x\r\n{plain}"));
    let expect = "host: x\r\nexpect: 100-continue\r\n";
    check(&format!("PUT /metrics/job/j HTTP/1.1\r\n{expect}{plain}"));
    check(&format!(
        "PUT /metrics/job/j HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n{plain}"
    ));
    // No body and no length is an empty push.
    assert_eq!(server.raw(b"PUT /metrics/job/j HTTP/1.1\r\nhost: x\r\n\r\n").status, 200);
}

#[test]
fn the_command_line_pushes() {
    let server = server(&[]);
    let url = Settings::new().env("OBSERVATORY_URL", &format!("http://{}", server.addr));
    let run = |arguments: &[&str], input: &str| {
        let output = cli(arguments, &url, input);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    run(&["push", "--job", "backup", "--grouping", "path=/a", "rows=42", "at=now"], "");
    run(&["push", "--job", "text", "-"], "# TYPE m counter\nm{a=\"b\"} 1");
    server.wait_for("rows{instance=\"\",job=\"backup\",path=\"/a\"}", 42.0);
    let page = server.metrics();
    page.check("m{a=\"b\",instance=\"\",job=\"text\"}", 1.0);
    run(&["push", "--job", "text", "--put", "n=2"], "");
    run(&["push", "--job", "backup", "--grouping", "path=/a", "--delete"], "");
    server.wait_for("n{instance=\"\",job=\"text\"}", 2.0);
    let page = server.metrics();
    assert_eq!((page.of("m").count(), page.of("rows").count()), (0, 0));
}

#[test]
fn the_groups_of_a_pushgateway_move_over() {
    for peer in [Peer::System, Peer::Current] {
        let Some(program) = peer.program() else { continue };
        let gateway = Pushgateway::start(&program, &[]).unwrap();
        let mut theirs = crate::support::Client::new(gateway.addr);
        theirs
            .request("PUT", "/metrics/job/a/path@base64/eC95", &[], EVERY_TYPE.as_bytes())
            .expect(200);
        theirs.request("PUT", "/metrics/job/b", &[], b"g2 2\n").expect(200);
        theirs.request("PUT", "/metrics/job/failed", &[], b"g3 2 1\n").expect(400);
        let server = server(&[]);
        let url = format!("http://{}", server.addr);
        let source = format!("http://{}", gateway.addr);
        let import = || {
            let output =
                cli(&["import", "pushgateway", &source, "--url", &url], &Settings::new(), "");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(import(), "took over 2 groups with 7 metrics, newer here 0, refused 0\n");
        let times = |addr| {
            let list = crate::support::Client::new(addr).get("/api/v1/metrics").json();
            let groups = list["data"].as_array().unwrap().clone();
            let mut groups: Vec<_> =
                groups.into_iter().filter(|it| it["labels"]["job"] != "failed").collect();
            for group in &mut groups {
                for (_, family) in group.as_object_mut().unwrap() {
                    if let Some(family) = family.as_object_mut() {
                        family.remove("time_stamp");
                    }
                }
                let time = &mut group["push_time_seconds"]["metrics"][0]["value"];
                // Theirs are in nanoseconds, which a number of seconds cannot hold.
                *time = json!((time.as_str().unwrap().parse::<f64>().unwrap() * 1e3).round());
            }
            groups.sort_by_key(|it| it["labels"].to_string());
            groups
        };
        assert_eq!(times(server.addr), times(gateway.addr));
        // Once more changes nothing, and what was pushed here since stays.
        assert_eq!(import(), "took over 0 groups with 0 metrics, newer here 2, refused 0\n");
        server.client().request("PUT", "/metrics/job/b", &[], b"g2 3\n").expect(200);
        import();
        server.wait_for("g2{instance=\"\",job=\"b\"}", 3.0);
    }
}
