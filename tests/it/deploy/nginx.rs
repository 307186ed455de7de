//! `deploy/nginx`, with a real nginx before a real server. Addresses and paths of certificates are all that is changed.

use super::{file, found, root, said, yaml};
use crate::support::{Client, Server, Settings, Sse, Ws, eventually, program};
use serde_json::json;
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use tempfile::TempDir;

const TOKEN: &str = "0123456789abcdef";
const READER: &str = "reader-0123456789";

/// A running nginx with one site.
struct Nginx {
    child: Child,
    _dir: TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that it takes its workers along.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Writes a whole configuration around `site` and has nginx check it.
#[track_caller]
fn configured(nginx: &Path, site: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display().to_string();
    fs::copy(
        root().join("deploy/nginx/observatory-proxy.conf"),
        dir.path().join("observatory-proxy.conf"),
    )
    .unwrap();
    let site =
        site.replace("/etc/nginx/observatory-proxy.conf", &format!("{at}/observatory-proxy.conf"));
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|it| format!("{it}_temp_path {at}/{it};\n"))
        .collect();
    let text = format!(
        "daemon off; worker_processes 1; pid {at}/pid; error_log {at}/error.log;\n\
         events {{ worker_connections 256; }}\nhttp {{\naccess_log off;\n{temp}{site}\n}}\n"
    );
    let config = dir.path().join("nginx.conf");
    fs::write(&config, text).unwrap();
    said(&Command::new(nginx).arg("-t").arg("-c").arg(&config).output().unwrap());
    (dir, config)
}

#[track_caller]
fn start(nginx: &Path, site: &str, at: SocketAddr) -> Nginx {
    let (dir, config) = configured(nginx, site);
    let mut command = Command::new(nginx);
    command.arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
    let child = Nginx { child: command.spawn().unwrap(), _dir: dir };
    eventually(Duration::from_secs(10), || {
        std::net::TcpStream::connect(at).map_err(|it| it.to_string())
    });
    child
}

/// Answers every request with its path, and with the headers that should not have come.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = vec![0; 4096];
            let n = stream.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..n]).to_lowercase();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let leaked = head.contains("\nauthorization:") || head.contains("\ncookie:");
            let body = format!("{path} leaked={leaked}");
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    addr
}

fn server() -> Server {
    Server::start_with(Settings::new().token(&format!("admin:{TOKEN},read:{READER}")))
}

fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

/// An event goes in, and comes out of a stream and a WebSocket that were opened before, all through `addr` and `prefix`.
#[track_caller]
fn everything_passes(addr: SocketAddr, prefix: &str) {
    let (name, value) = bearer(TOKEN);
    let token = [(name, value.as_str())];
    let path = |it: &str| format!("{prefix}{it}");
    let mut sse = Sse::open(addr, &path("/api/v1/stream?type=proxied"), &token).unwrap();
    let origin = format!("http://{addr}");
    let mut headers = token.to_vec();
    headers.push(("origin", &origin));
    let mut ws = Ws::open(addr, &path("/api/v1/ws?type=proxied"), &headers).unwrap();
    let mut client = Client::new(addr).with_header(name, &value);
    for n in 0..3 {
        let event = json!({"event_type": "proxied", "source": "s", "data": {"n": n}}).to_string();
        client.post(&path("/api/v1/events"), "application/json", event.as_bytes()).expect(202);
        // Before the next is sent: nothing waits in a buffer.
        assert_eq!(sse.numbers(1), [n]);
        let heard = loop {
            let message = ws.json();
            if message["type"] == "event" || message["event"]["data"]["n"].is_u64() {
                break message;
            }
        };
        assert!(heard.to_string().contains(&format!("\"n\":{n}")), "{heard}");
    }
    let page = client.get(&path("/")).expect(200);
    assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
    assert!(client.get(&path("/metrics")).expect(200).text().contains("observatory_build_info"));
    // A page of another site may not open a WebSocket, also behind the proxy.
    headers.pop();
    headers.push(("origin", "http://elsewhere.example"));
    let Err(refused) = Ws::open(addr, &path("/api/v1/ws"), &headers) else {
        panic!("another origin was let in")
    };
    assert_eq!(refused.status, 403);
    // What the server refuses, it refuses through the proxy.
    Client::new(addr).get(&path("/api/v1/events")).expect(401);
}

#[test]
fn the_site_with_tls_passes_everything() {
    let Some(nginx) = program("nginx") else { return };
    let server = server();
    let (plain, tls) = (free(), free());
    let dir = tempfile::tempdir().unwrap();
    let (key, cert) = (dir.path().join("key.pem"), dir.path().join("cert.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]);
    openssl.args(["-days", "2", "-subj", "/CN=observatory.example.com", "-keyout"]).arg(&key);
    said(&openssl.arg("-out").arg(&cert).output().unwrap());
    let live = "/etc/letsencrypt/live/observatory.example.com";
    let site = file("deploy/nginx/observatory.conf")
        .replace("listen [::]:80;", "")
        .replace("listen [::]:443 ssl http2;", "")
        .replace("listen 80;", &format!("listen {plain};"))
        .replace("listen 443 ssl http2;", &format!("listen {tls} ssl http2;"))
        .replace(&format!("{live}/fullchain.pem"), cert.to_str().unwrap())
        .replace(&format!("{live}/privkey.pem"), key.to_str().unwrap())
        .replace("127.0.0.1:9091", &server.addr.to_string());
    let _nginx = start(&nginx, &site, plain);
    let host = "observatory.example.com";
    let moved = Client::new(plain).request("GET", "/metrics?a=b", &[], b"").expect(308);
    assert!(
        moved.header("location").starts_with("https://")
            && moved.header("location").ends_with("/metrics?a=b")
    );
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--cacert"])
        .arg(&cert)
        .arg("--resolve")
        .arg(format!("{host}:{}:127.0.0.1", tls.port()));
    curl.args([
        "-D",
        "-",
        "-H",
        &format!("Authorization: Bearer {TOKEN}"),
        "-d",
        r#"{"type":"a","data":{}}"#,
    ]);
    let answer =
        said(&curl.arg(format!("https://{host}:{}/api/v1/events", tls.port())).output().unwrap());
    assert!(answer.starts_with("HTTP/2 202"), "{answer}");
    assert!(answer.to_lowercase().contains("strict-transport-security: max-age"), "{answer}");
}

/// The same location without TLS, which the clients of the tests do not speak; and below a path.
#[test]
fn streams_and_web_sockets_pass_also_below_a_path() {
    let Some(nginx) = program("nginx") else { return };
    let (server, at) = (server(), free());
    let whole = file("deploy/nginx/observatory.conf");
    // What stands in the http block, and the location that leads to the server.
    let shared = whole.split("\nserver {").next().unwrap();
    let location = whole.rsplit("    location / {").next().unwrap().split('}').next().unwrap();
    let site = format!(
        "{}\nserver {{ listen {at};\n{}\nlocation / {{{location}}}\n}}",
        shared.replace("127.0.0.1:9091", &server.addr.to_string()),
        file("deploy/nginx/prefix.conf")
    );
    let _nginx = start(&nginx, &site, at);
    everything_passes(at, "");
    everything_passes(at, "/observatory");
    let moved = Client::new(at).get("/observatory").expect(308);
    assert_eq!(moved.header("location"), format!("http://{at}/observatory/"));
}

#[test]
fn the_stack_is_behind_one_address_and_the_tokens() {
    let Some(nginx) = program("nginx") else { return };
    let (server, at, echo) = (server(), free(), echo());
    let site = file("deploy/nginx/compose.conf")
        .replace("listen 8080;", &format!("listen {at};"))
        .replace("observatory:9091", &server.addr.to_string())
        .replace("prometheus:9090", &echo.to_string())
        .replace("alertmanager:9093", &echo.to_string())
        .replace("grafana:3000", &echo.to_string());
    assert_eq!(found("(http://[a-z]+:[0-9]+)", &site).len(), 0, "every upstream was replaced");
    let _nginx = start(&nginx, &site, at);
    everything_passes(at, "");
    let ask = |method: &str, path: &str, token: &str| {
        let (name, value) = bearer(token);
        let headers =
            if token.is_empty() { vec![] } else { vec![(name, value.as_str()), ("cookie", "a=b")] };
        Client::new(at).request(method, path, &headers, b"")
    };
    for path in ["/prometheus/graph?a=b", "/alertmanager/api/v2/silences"] {
        ask("GET", path, "").expect(401);
        ask("GET", path, "wrong-0123456789").expect(401);
        let below = path.splitn(3, '/').nth(2).unwrap();
        assert_eq!(ask("GET", path, READER).expect(200).text(), format!("/{below} leaked=false"));
        // Whoever may only read may not silence, push alerts or delete series.
        ask("POST", path, READER).expect(403);
        ask("POST", path, TOKEN).expect(200);
    }
    ask("POST", "/prometheus/-/quit", TOKEN).expect(403);
    ask("POST", "/alertmanager/-/reload", TOKEN).expect(403);
    assert!(ask("GET", "/grafana/login", "").expect(200).text().starts_with("/login "));
    ask("GET", "/prometheus", "").expect(308);
    // The place that is asked is not for people.
    ask("GET", "/_may", TOKEN).expect(404);
}

/// The rules of a tunnel: no tool of Cloudflare's is here, so what its documentation asks for is compared.
#[test]
fn the_tunnel_leads_to_the_server_and_nowhere_else() {
    let Some(mut files) = yaml("deploy/cloudflare/config.yml") else { return };
    let config = files.remove(0);
    let rules = config["ingress"].as_array().unwrap();
    let (last, others) = rules.split_last().unwrap();
    assert_eq!(last, &json!({"service": "http_status:404"}), "the last rule takes everything");
    for it in others {
        assert_eq!(it["service"], "http://127.0.0.1:9091");
        assert!(it["hostname"].is_string(), "only the last rule has no host name");
    }
    for key in ["tunnel", "credentials-file"] {
        assert!(config[key].is_string(), "{key}");
    }
}
