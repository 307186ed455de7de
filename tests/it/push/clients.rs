//! Clients as they are, and the Prometheus that scrapes what they pushed.

use crate::support::{Peer, Prometheus, Server, Settings, eventually, python, tools};
use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

const TOKEN: &str = "secret-of-the-clients";

fn server() -> Server {
    Server::start_with_rules("version: 1\n", Settings::new().token(TOKEN))
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
}

fn script(name: &str) -> String {
    format!("{}/tests/it/push/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_python_client_pushes() {
    let Some(python) = python() else { return };
    let server = server();
    run(Command::new(python).arg(script("clients.py")).arg(server.addr.to_string()).arg(TOKEN));
    server.wait_for("extra{instance=\"\",job=\"python\"}", 2.0);
    let page = server.metrics();
    page.check("last_success{instance=\"\",job=\"python\"}", 1.0);
    page.check("rows_total{instance=\"\",job=\"python\",table=\"a \\\"b\\\"\\n\"}", 3.0);
    page.check("took_seconds_bucket{instance=\"\",job=\"python\",le=\"1\"}", 0.0);
    page.check("took_seconds_count{instance=\"\",job=\"python\"}", 1.0);
    page.check("size_bytes_sum{instance=\"\",job=\"python\"}", 7.0);
    let odd = "{empty=\"\",instance=\"\",job=\"with/slash\",path=\"a/b\",space=\"a b\",umlaut=\"\u{e4}\"}";
    page.check(&format!("last_success{odd}"), 3.0);
    for compression in ["gzip", "snappy"] {
        page.check(&format!("last_success{{instance=\"\",job=\"{compression}\"}}"), 4.0);
    }
    assert_eq!(page.get("push_time_seconds{instance=\"\",job=\"gone\"}"), None);
    assert_eq!(page.get("push_time_seconds{instance=\"\",job=\"nobody\"}"), None);
}

#[test]
fn the_node_client_pushes() {
    let Some((node, modules)) = tools::prom_client() else { return };
    let server = server();
    let url = format!("http://{}", server.addr);
    run(Command::new(node).arg(script("clients.js")).arg(modules).args([&url, TOKEN]));
    // With a Pushgateway the first of these is lost: the slash moves it, and the empty value redirects it.
    let series = "last_success{empty=\"\",instance=\"\",job=\"node\",path=\"a/b\"}";
    server.wait_for(series, 1.0);
    let page = server.metrics();
    page.check("rows_total{instance=\"\",job=\"node js\",table=\"a\"}", 3.0);
    assert_eq!(page.get("push_time_seconds{instance=\"\",job=\"gone\"}"), None);
}

#[test]
fn the_ruby_client_pushes() {
    let Some(ruby) = tools::ruby_client() else { return };
    let server = server();
    let url = format!("http://user:{TOKEN}@{}", server.addr);
    run(Command::new(ruby).arg(script("clients.rb")).arg(&url));
    server.wait_for("extra{instance=\"\",job=\"ruby\"}", 2.0);
    let page = server.metrics();
    page.check("last_success{instance=\"\",job=\"ruby\"}", 1.0);
    page.check("rows_total{instance=\"\",job=\"ruby\",table=\"a \\\"b\\\"\\n\"}", 3.0);
    page.check("extra{instance=\"i\",job=\"a b\"}", 2.0);
    assert_eq!(page.get("last_success{instance=\"i\",job=\"a b\"}"), None);
    assert_eq!(page.get("push_time_seconds{instance=\"\",job=\"gone\"}"), None);
}

#[test]
fn the_cpp_client_pushes() {
    let Some(compiler) = tools::cpp_client() else { return };
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("clients");
    let mut build = Command::new(compiler);
    build.arg("-std=c++17").arg(script("clients.cpp")).arg("-o").arg(&program);
    run(build.args(["-lprometheus-cpp-push", "-lprometheus-cpp-core"]));
    let server = server();
    let (host, port) = (server.addr.ip().to_string(), server.addr.port().to_string());
    run(Command::new(program).args([&host, &port, TOKEN]));
    let group = "instance=\"\",job=\"cpp\"";
    server.wait_for(&format!("extra{{{group},region=\"eu\"}}"), 2.0);
    let page = server.metrics();
    page.check(&format!("last_success{{{group},region=\"eu\"}}"), 1.0);
    let table = "table=\"a \\\"b\\\"\\n\"";
    page.check(&format!("rows_total{{{group},region=\"eu\",{table}}}"), 3.0);
    page.check(&format!("took_seconds_bucket{{{group},le=\"5\",region=\"eu\"}}"), 1.0);
    assert_eq!(page.get("push_time_seconds{instance=\"\",job=\"gone\"}"), None);
}

#[test]
fn curl_pushes() {
    let server = server();
    let url = format!("http://{}/metrics/job/backup/instance/db", server.addr);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--user", &format!("x:{TOKEN}")]);
    curl.args(["--data-binary", "@-", &url]).stdin(Stdio::piped()).stdout(Stdio::null());
    let Ok(mut child) = curl.spawn() else {
        eprintln!("skipped: needs curl");
        return;
    };
    child.stdin.take().unwrap().write_all(b"# TYPE rows counter\nrows 42\n").unwrap();
    assert!(child.wait().unwrap().success());
    server.wait_for("rows{instance=\"db\",job=\"backup\"}", 42.0);
}

#[test]
fn prometheus_honours_the_labels_that_were_pushed() {
    for peer in Peer::ALL {
        let server = Server::start_with_rules("version: 1\n", Settings::new());
        let body = b"# TYPE took_seconds histogram\ntook_seconds_bucket{le=\"1\"} 1\ntook_seconds_count 2\ntook_seconds_sum 3\nlast_success 7\n";
        server.client().post("/metrics/job/backup/instance/db", "text/plain", body).expect(200);
        server
            .client()
            .post("/metrics/job/no_instance", "text/plain", b"last_success 8\n")
            .expect(200);
        let Some(prometheus) = Prometheus::start_honouring_labels(peer, server.addr) else {
            continue;
        };
        let value = |promql: &str, expected: f64| {
            let found = prometheus.eventually(promql, |it| (it - expected).abs() < 1e-9);
            assert!((found - expected).abs() < 1e-9);
        };
        value("last_success{job=\"backup\",instance=\"db\"}", 7.0);
        // An empty instance is none, not that of the server.
        value("last_success{job=\"no_instance\",instance=\"\"}", 8.0);
        value("took_seconds_bucket{job=\"backup\",le=\"+Inf\"}", 2.0);
        value("time() - push_time_seconds{job=\"backup\"} < bool 600", 1.0);
        // A metric that is pushed again later is the same series.
        server.client().post("/metrics/job/backup/instance/db", "text/plain", b"last_success 9\n");
        eventually(Duration::from_secs(30), || {
            match prometheus.query("last_success{job=\"backup\"}").as_slice() {
                [(_, value)] if (value - 9.0).abs() < 1e-9 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        assert_eq!(prometheus.target()["health"], "up");
    }
}
