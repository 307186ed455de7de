//! Notifications, with the real programs at the other end.

// What a real Alertmanager sends, and what we send in its manner.
mod bodies;
// Many at once: memory, digests, groups, flapping.
mod flood;
// A sink that fails in every way and kill -9: nothing is lost.
mod lost;
pub(crate) mod sink;
// Slack, as its API behaves.
mod slack;
// What must not be connected to is not.
mod ssrf;
// The channels that the variables of other tools make.
mod variables;

use crate::support::{
    Alertmanager, Client, Peer, Random, Server, Settings, all_bytes, eventually, tools,
};
use serde_json::{Value, json};
use sink::Sink;
use std::{
    collections::{HashMap, HashSet},
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

const CHANNELS: &str = "/api/v1/monitoring/notification-channels";
const DELIVERIES: &str = "/api/v1/monitoring/notifications";
const SECRET: &str = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";

/// A server that may tell people on this machine.
pub(crate) fn private() -> Settings {
    Settings::new().env("OBSERVATORY_NOTIFY_ALLOW_PRIVATE_TARGETS", "true")
}

#[track_caller]
pub(crate) fn channel(client: &mut Client, kind: &str, config: &Value) -> String {
    let name = format!("the {kind} channel");
    let body = json!({"name": name, "type": kind, "config": config}).to_string();
    let made = client.post(CHANNELS, "application/json", body.as_bytes()).expect(201).json();
    made["id"].as_str().unwrap().to_owned()
}

/// Puts a test into the outbox; its id.
fn queue(client: &mut Client, channel: &str) -> Option<String> {
    let path = format!("{CHANNELS}/{channel}/test?queued=true");
    let res = client.try_request("POST", &path, &[], b"").ok()?;
    assert_eq!(res.status, 202, "{}", res.text());
    Some(res.json()["notification_ids"][0].as_str().unwrap().to_owned())
}

#[track_caller]
fn wait_for_state(client: &mut Client, id: &str, state: &str) -> Value {
    eventually(Duration::from_secs(20), || {
        let it = client.get(&format!("{DELIVERIES}/{id}")).expect(200).json();
        if it["state"] == state { Ok(it) } else { Err(it) }
    })
}

/// Makes an alert rule, which tells `channels` at once of events `probe` whose `state` is bad, and by their `key`
/// when it is good again.
#[track_caller]
fn probe_rule(client: &mut Client, severity: &str, channels: &[&str]) {
    let rule = json!({"name": "Probe", "kind": "event", "severity": severity, "match": "probe{state=\"bad\"}",
        "resolve": "probe{state=\"good\"}", "group_by": ["key"], "notification_channels": channels});
    let rules = "/api/v1/monitoring/alert-rules";
    client.post(rules, "application/json", rule.to_string().as_bytes()).expect(201);
}

/// The event that such a rule looks for.
fn probe(key: usize, state: &str) -> Value {
    json!({"event_type": "probe", "source": "test", "data": {"key": key.to_string(), "state": state}})
}

/// 220 notifications wait, their sink is slow and fails in every way that passes, and the server is killed ten times.
#[test]
fn nothing_is_lost_and_hardly_anything_comes_twice() {
    const N: usize = 220;
    const KILLS: usize = 10;
    let random = Mutex::new(Random::new(7));
    let sink = Sink::start(move |_| {
        thread::sleep(Duration::from_millis(5));
        match random.lock().unwrap().below(40) {
            0 => (429, "retry-after: 1\r\n"),
            1 => (500, ""),
            2 => (0, ""),
            3 => (503, ""),
            _ => (200, ""),
        }
    });
    let settings = private().env("OBSERVATORY_NOTIFY_TIMEOUT", "1s");
    let mut server = Server::start_with(settings);
    let channel = channel(&mut server.client(), "webhook", &json!({"url": sink.url()}));
    let mut client = server.client();
    let ids: Vec<String> = (0..N).map(|_| queue(&mut client, &channel).unwrap()).collect();
    for round in 0..KILLS {
        thread::sleep(Duration::from_millis(150 + 40 * round as u64));
        server.kill9();
        server.restart();
    }
    let mut client = server.client();
    eventually(Duration::from_secs(180), || {
        let pending = server.metrics().get("observatory_notifications_pending");
        if pending == Some(0.0) { Ok(()) } else { Err(pending) }
    });
    let mut taken: HashMap<String, usize> = HashMap::new();
    let mut order = Vec::new();
    for it in sink.got().iter().filter(|it| it.status == 200) {
        let id = it.headers["webhook-id"].clone();
        let n = taken.entry(id.clone()).or_default();
        if *n == 0 {
            order.push(id);
        }
        *n += 1;
    }
    let lost: Vec<_> = ids.iter().filter(|it| !taken.contains_key(*it)).collect();
    assert!(lost.is_empty(), "lost {} of {N}: {lost:?}", lost.len());
    let twice: usize = taken.values().map(|it| it - 1).sum();
    eprintln!("{N} delivered in {} requests, {twice} of them twice", sink.got().len());
    assert!(twice <= KILLS, "{twice} came twice after {KILLS} kills");
    assert_eq!(taken.len(), N, "an id that nobody was told");
    assert_eq!(order, ids, "they came in another order");
    for id in [&ids[0], &ids[N - 1]] {
        assert_eq!(client.get(&format!("{DELIVERIES}/{id}")).expect(200).json()["state"], "sent");
    }
}

/// The reference library accepts what we sign, with both secrets of a rotation.
#[test]
fn signatures_are_those_of_standard_webhooks() {
    let Some(python) = tools::python() else { return };
    let other = "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldC1vdGhlcg==";
    let sink = Sink::start(|_| (200, ""));
    let server = Server::start_with(private());
    let mut client = server.client();
    let config = json!({"url": sink.url(), "secrets": [SECRET, other]});
    let channel = channel(&mut client, "webhook", &config);
    let tested = client
        .post(&format!("{CHANNELS}/{channel}/test"), "application/json", b"")
        .expect(200)
        .json();
    assert_eq!(
        (&tested["success"], &tested["status"], &tested["response"]),
        (&json!(true), &json!(200), &json!("ok"))
    );
    for _ in 0..20 {
        let id = queue(&mut client, &channel).unwrap();
        wait_for_state(&mut client, &id, "sent");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/notify/verify.py");
    let mut verifier = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = verifier.stdin.take().unwrap();
    for (n, it) in sink.got().iter().enumerate() {
        let secret = [SECRET, other][n % 2];
        let line = json!({"secret": secret, "headers": it.headers, "body": it.body});
        writeln!(stdin, "{line}").unwrap();
    }
    drop(stdin);
    let output = verifier.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 21);
}

/// A mail server of aiosmtpd.
pub(crate) struct Smtpd {
    child: Child,
    /// Its mails, each a line of JSON.
    mails: mpsc::Receiver<String>,
    pub(crate) port: u16,
    dir: tempfile::TempDir,
}

impl Drop for Smtpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Smtpd {
    pub(crate) fn start(mode: &str) -> Option<Self> {
        let python = tools::python()?;
        let dir = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/notify/smtpd.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(mode)
            .arg(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        output.read_line(&mut port).unwrap();
        let (send, mails) = mpsc::channel();
        thread::spawn(move || {
            // Until the server or the test ends.
            output.lines().map_while(Result::ok).all(|it| send.send(it).is_ok())
        });
        Some(Self { child, mails, port: port.trim().parse().unwrap(), dir })
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The next mail. One that does not come fails the test.
    #[track_caller]
    pub(crate) fn mail(&mut self) -> Value {
        let line = self.mails.recv_timeout(Duration::from_secs(30)).expect("a mail");
        serde_json::from_str(&line).unwrap()
    }

    pub(crate) fn settings(&self) -> Settings {
        private()
            .env("SSL_CERT_FILE", self.ca().to_str().unwrap())
            .env("SMTP_HOST", "localhost")
            .env("SMTP_PORT", &self.port.to_string())
            .env("SMTP_USER", "robot")
            .env("SMTP_PASSWORD", "pa55-of-the-robot")
            .env("SMTP_FROM", "Observatory <alerts@example.org>")
            .env("SMTP_TO", "ops@example.org, Night Shift <night@example.org>")
    }
}

fn test(client: &mut Client, channel: &str) -> Value {
    client.post(&format!("{CHANNELS}/{channel}/test"), "application/json", b"").expect(200).json()
}

#[test]
fn mail_goes_over_starttls_with_auth() {
    let Some(mut smtpd) = Smtpd::start("starttls") else { return };
    let server = Server::start_with(smtpd.settings());
    let tested = test(&mut server.client(), "email");
    assert_eq!(tested["response"], "kept as number 42", "{tested}");
    let mail = smtpd.mail();
    assert_eq!((&mail["tls"], &mail["authenticated"]), (&json!(true), &json!(true)));
    assert_eq!(mail["to"], json!(["ops@example.org", "night@example.org"]));
    assert!(
        mail["plain"].as_str().unwrap().contains("\"quotes\", <brackets> & an ampersand"),
        "{mail}"
    );
    assert!(mail["html"].as_str().unwrap().contains("&lt;brackets&gt; &amp; an"), "{mail}");
    let id = queue(&mut server.client(), "email").unwrap();
    wait_for_state(&mut server.client(), &id, "sent");
    assert_eq!(smtpd.mail()["headers"]["message-id"], format!("<{id}@example.org>"));
    assert!(!server.log().contains("pa55-of-the-robot"), "{}", server.log());
    // Who knows the wrong password is told so, and the server's answer is the reason.
    let config = json!({"host": "localhost", "port": smtpd.port, "username": "robot", "password": "wrong",
        "from": "a@example.org", "to": "b@example.org"});
    let wrong = channel(&mut server.client(), "email", &config);
    let tested = test(&mut server.client(), &wrong);
    assert_eq!((&tested["success"], &tested["status"]), (&json!(false), &json!(535)), "{tested}");
}

#[test]
fn mail_goes_over_tls_from_the_first_byte() {
    let Some(mut smtpd) = Smtpd::start("tls") else { return };
    let server = Server::start_with(smtpd.settings());
    let config = json!({"host": "localhost", "port": smtpd.port, "tls": "tls", "username": "robot",
        "password": "pa55-of-the-robot", "from": "a@example.org", "to": "b@example.org"});
    let channel = channel(&mut server.client(), "email", &config);
    let tested = test(&mut server.client(), &channel);
    assert_eq!(tested["success"], true, "{tested}");
    assert_eq!(smtpd.mail()["to"], json!(["b@example.org"]));
}

#[test]
fn mail_never_goes_plain_when_tls_is_asked_for() {
    let Some(smtpd) = Smtpd::start("plain") else { return };
    let server = Server::start_with(smtpd.settings());
    let tested = test(&mut server.client(), "email");
    assert_eq!(tested["success"], false, "{tested}");
    assert!(tested["response"].as_str().unwrap().contains("STARTTLS"), "{tested}");
    // A certificate that nobody vouches for is no better.
    let Some(unknown) = Smtpd::start("starttls") else { return };
    let settings = unknown.settings().env("SSL_CERT_FILE", smtpd.ca().to_str().unwrap());
    let server = Server::start_with(settings);
    assert_eq!(test(&mut server.client(), "email")["success"], false);
}

/// What may not be connected to is not: nobody asks the listener that stands there.
#[test]
fn private_targets_are_not_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Server::start();
    let mut client = server.client();
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[::127.0.0.1]",
        "0.0.0.0",
        "0",
        "[::]",
    ];
    for host in hosts {
        let url = format!("http://{host}:{port}/");
        for (kind, config) in [
            ("webhook", json!({"url": url})),
            ("alertmanager", json!({"urls": [url]})),
            ("slack", json!({"webhook_url": url})),
        ] {
            let body = json!({"name": "x", "type": kind, "config": config}).to_string();
            let res = client.post(CHANNELS, "application/json", body.as_bytes());
            assert_eq!(res.status, 400, "{kind} {host}: {}", res.text());
        }
    }
    let mail = json!({"name": "x", "type": "email", "config": {"host": "localhost", "port": port, "from": "a@b.c", "to": "d@e.f"}});
    client.post(CHANNELS, "application/json", mail.to_string().as_bytes()).expect(400);
    // A channel from the time when it was allowed.
    let mut server = Server::start_with(private());
    let url = format!("http://localhost:{port}/");
    let made = channel(&mut server.client(), "webhook", &json!({"url": url}));
    server.kill9();
    let server = Server::start_in(Settings::new(), |dir| copy(&server.data_dir(), dir));
    let tested = test(&mut server.client(), &made);
    assert!(tested["response"].as_str().unwrap().contains("allow_private_targets"), "{tested}");
    assert!(listener.accept().is_err(), "somebody connected");
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

#[test]
fn secrets_are_nowhere_to_be_seen() {
    let sink = Sink::start(|_| (500, ""));
    let mut server = Server::start_with(private().env("OBSERVATORY_LOG_LEVEL", "trace"));
    let mut client = server.client();
    let secrets = [
        "topsecretpath",
        "topsecretheader",
        "topsecretbearer",
        "topsecretpassword",
        "xoxb-topsecret",
    ];
    let key = "dG9wc2VjcmV0dG9wc2VjcmV0dG9wc2VjcmV0";
    let hook = json!({"url": format!("http://{}/topsecretpath", sink.addr), "secret": format!("whsec_{key}"),
        "headers": {"x-key": "topsecretheader"}, "bearer_token": "topsecretbearer"});
    let hook = channel(&mut client, "webhook", &hook);
    let mail = json!({"host": "localhost", "port": 1, "username": "u", "password": "topsecretpassword", "from": "a@b.cc", "to": "d@e.ff"});
    let mail = channel(&mut client, "email", &mail);
    let bot = json!({"bot_token": "xoxb-topsecret", "channel": "#ops", "api_url": sink.url()});
    let bot = channel(&mut client, "slack", &bot);
    let mut seen = String::new();
    for it in [&hook, &mail, &bot] {
        seen += &test(&mut client, it).to_string();
        queue(&mut client, it).unwrap();
        seen += &client.get(&format!("{CHANNELS}/{it}")).expect(200).text();
    }
    // What is wrong is said without what it is wrong about.
    let wrong = br#"{"name": "x", "type": "webhook", "config": {"url": "https://u:topsecretpassword@example.org/"}}"#;
    seen += &client.post(CHANNELS, "application/json", wrong).expect(400).text();
    seen += &client.post(CHANNELS, "application/json", b"{\"topsecretpath\"").expect(400).text();
    thread::sleep(Duration::from_millis(500));
    for path in [CHANNELS, DELIVERIES, "/metrics", "/api/v1/status"] {
        seen += &client.get(path).expect(200).text();
    }
    // The sinks did get them.
    let got = format!("{:?}", sink.got());
    assert!(got.contains("topsecretheader") && got.contains("xoxb-topsecret"), "{got}");
    server.terminate();
    seen += &server.log();
    let stored = all_bytes(&server.data_dir());
    for secret in secrets.iter().chain(&[key, "topsecrettopsecret"]) {
        assert!(!seen.contains(secret), "{secret} is shown");
        let found = stored.windows(secret.len()).any(|it| it == secret.as_bytes());
        assert!(!found, "{secret} is in the data directory");
    }
    server.restart();
    assert_eq!(test(&mut server.client(), &hook)["status"], 500);
}

#[test]
fn alertmanagers_take_what_is_forwarded() {
    let (Some(first), Some(second)) =
        (Alertmanager::start(Peer::System), Alertmanager::start(Peer::System))
    else {
        return;
    };
    let Some(amtool) = tools::amtool(Peer::System) else { return };
    let server = Server::start_with(private());
    let config = json!({"urls": [first.url(), second.url()]});
    let channel = channel(&mut server.client(), "alertmanager", &config);
    let id = queue(&mut server.client(), &channel).unwrap();
    wait_for_state(&mut server.client(), &id, "sent");
    for it in [&first, &second] {
        let output = Command::new(&amtool)
            .args(["alert", "query", "-o", "json", "--alertmanager.url", &it.url()])
            .output()
            .unwrap();
        let alerts: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(alerts.as_array().unwrap().len(), 1, "{alerts}");
        assert_eq!(alerts[0]["labels"]["alertname"], "TestNotification");
        assert_eq!(alerts[0]["labels"]["severity"], "info");
    }
}

#[test]
fn channels_are_made_changed_and_removed() {
    let server = Server::start_with(private());
    let mut client = server.client();
    let sink = Sink::start(|_| (200, ""));
    let id = channel(&mut client, "webhook", &json!({"url": sink.url(), "secret": SECRET}));
    let path = format!("{CHANNELS}/{id}");
    let twice =
        json!({"name": "the webhook channel", "type": "webhook", "config": {"url": sink.url()}})
            .to_string();
    client.post(CHANNELS, "application/json", twice.as_bytes()).expect(409);
    let mut view = client.get(&path).expect(200).json();
    assert_eq!(view["config"]["secrets"], json!(["***"]));
    // What was read is sent back: nothing changes but the name.
    view["name"] = "other".into();
    client
        .request("PUT", &path, &[("content-type", "application/json")], view.to_string().as_bytes())
        .expect(200);
    assert_eq!(test(&mut client, "other")["success"], true);
    assert!(sink.got()[0].headers["webhook-signature"].starts_with("v1,"));
    let off = br#"{"enabled": false}"#;
    client.request("PATCH", &path, &[], off).expect(200);
    let listed = client.get(&format!("{DELIVERIES}?state=suppressed")).expect(200).json();
    assert_eq!(listed["notifications"], json!([]));
    let res =
        client.request("POST", &format!("{path}/test?queued=true"), &[], b"").expect(202).json();
    assert_eq!(res["notification_ids"], json!([]));
    let listed = client.get(&format!("{DELIVERIES}?state=suppressed")).expect(200).json();
    assert_eq!(listed["notifications"][0]["reason"], "the channel is switched off");
    client.request("DELETE", &path, &[], b"").expect(200);
    client.get(&path).expect(404);
    let ids: HashSet<_> =
        sink.got().into_iter().map(|it| it.headers["webhook-id"].clone()).collect();
    assert_eq!(ids.len(), 1);
}
