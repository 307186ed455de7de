//! Server-side request forgery: what a channel may not lead to is not connected to, however it is written.
//!
//! A listener stands on all addresses of this machine and counts who comes; in the end nobody has.

use super::sink::{Reply, Sink};
use super::{CHANNELS, channel, copy, private, test};
use crate::support::{Client, Server, Settings};
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// Forms of hosts that lead to this machine, to its network, to the metadata of clouds or nowhere good.
const HOSTS: &[&str] = &[
    // Loopback, in the forms that parsers and systems know.
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7F.0x0.0x0.0x1",
    "0x7f.1",
    "0177.0.0.1",
    "0177.1",
    "017700000001",
    "127.0.0.1.",
    "%31%32%37.0.0.1",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "localhost.localdomain",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    // This machine as "any address".
    "0.0.0.0",
    "0",
    "0x0",
    "00",
    "0.0.0.1",
    "[::]",
    // IPv4 inside IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP.
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0.0.0.0]",
    "[::ffff:10.0.0.1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::10.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::]",
    "[2002:c0a8:1::1]",
    "[2001:0:1:2:3:4:80ff:fffe]",
    "[2001:0:1:2:3:4:f5ff:fffe]",
    "[2606:4700::5efe:7f00:1]",
    // Private networks and names that mean them.
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "0xc0a80001",
    "100.64.0.1",
    "[fc00::1]",
    "[fd12:3456:789a::1]",
    "db.internal",
    "printer.local",
    "router.lan",
    "nas.home.arpa",
    "wiki.intranet",
    // Metadata of clouds.
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.254.170.2",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "168.63.129.16",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata",
    "instance-data",
    // Nobody's.
    "169.254.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "[fe80::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    // Somebody else's name before it.
    "example.org@127.0.0.1",
    "user:password@127.0.0.1",
    "127.0.0.1:80@localhost",
];

/// Listens on all addresses, of both families if there are two, and counts who comes.
struct Trap {
    port: u16,
    came: Arc<AtomicUsize>,
}

impl Trap {
    fn start() -> Self {
        let any = ["[::]:0", "0.0.0.0:0"].iter().find_map(|it| TcpListener::bind(*it).ok());
        let listener = any.unwrap();
        let port = listener.local_addr().unwrap().port();
        let came = Arc::new(AtomicUsize::new(0));
        let count = came.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        Self { port, came }
    }

    /// Nobody came; and it would have been seen.
    fn check(&self) {
        // What was refused at once would have come by now.
        thread::sleep(Duration::from_millis(300));
        assert_eq!(self.came.load(Ordering::SeqCst), 0, "somebody connected");
        drop(TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port))).unwrap());
        thread::sleep(Duration::from_millis(100));
        assert_eq!(self.came.load(Ordering::SeqCst), 1, "the trap does not work");
    }
}

/// A channel of each kind that leads to `host`.
fn channels(host: &str, port: u16) -> [(&'static str, Value); 4] {
    let url = format!("http://{host}:{port}/");
    [
        ("webhook", json!({"url": url})),
        ("slack", json!({"webhook_url": url})),
        ("alertmanager", json!({"urls": [url]})),
        (
            "email",
            json!({"host": host, "port": port, "tls": "none", "from": "a@b.cc", "to": "d@e.ff"}),
        ),
    ]
}

fn make(client: &mut Client, name: &str, (kind, config): &(&str, Value)) -> (u16, Value) {
    let body = json!({"name": name, "type": kind, "config": config}).to_string();
    let res = client.post(CHANNELS, "application/json", body.as_bytes());
    (res.status, res.json())
}

#[test]
fn nothing_leads_where_it_must_not() {
    assert!(HOSTS.len() >= 60, "{} cases", HOSTS.len());
    let trap = Trap::start();
    let server = Server::start();
    let mut client = server.client();
    // Channels that can be made where they are allowed are tried again where they are not.
    let mut allowed = Server::start_with(private());
    let mut stored = Vec::new();
    for (n, host) in HOSTS.iter().enumerate() {
        for it in channels(host, trap.port) {
            let (status, said) = make(&mut client, "x", &it);
            // Mail servers may be private names only where the address of the name is judged: at the attempt.
            if it.0 == "email" && status == 201 {
                let id = said["id"].as_str().unwrap().to_owned();
                let tested = test(&mut client, &id);
                assert_eq!(tested["success"], false, "{host}: {tested}");
                client.request("DELETE", &format!("{CHANNELS}/{id}"), &[], b"").expect(200);
                continue;
            }
            assert_eq!(status, 400, "{} {host}: {said}", it.0);
            let (status, made) = make(&mut allowed.client(), &format!("{} {n}", it.0), &it);
            match status {
                201 => stored.push((*host, made["id"].as_str().unwrap().to_owned())),
                _ => assert_eq!(status, 400, "{} {host}: {made}", it.0),
            }
        }
    }
    allowed.kill9();
    let forbidden = Server::start_in(Settings::new(), |dir| copy(&allowed.data_dir(), dir));
    let mut client = forbidden.client();
    for (host, id) in &stored {
        let tested = test(&mut client, id);
        let said = tested["response"].as_str().unwrap();
        assert_eq!(tested["success"], false, "{host}: {tested}");
        assert!(said.contains("allow_private_targets"), "{host}: {tested}");
    }
    eprintln!("{} hosts, {} stored channels: nobody connected", HOSTS.len(), stored.len());
    assert!(stored.len() >= 60, "{} channels were tried at the attempt", stored.len());
    trap.check();
}

/// Where a good host sends us, nobody goes.
#[test]
fn redirects_are_not_followed() {
    let trap = Trap::start();
    let port = trap.port;
    let sink = Sink::start_with(move |n, _| Reply {
        status: [301, 302, 303, 307, 308][n % 5],
        headers: format!("location: http://127.0.0.1:{port}/\r\n"),
        body: String::new(),
    });
    let server = Server::start_with(private());
    let mut client = server.client();
    for (kind, config) in [
        ("webhook", json!({"url": sink.url()})),
        ("slack", json!({"webhook_url": sink.url()})),
        ("alertmanager", json!({"urls": [sink.url()]})),
    ] {
        let id = channel(&mut client, kind, &config);
        for _ in 0..5 {
            let tested = test(&mut client, &id);
            assert_eq!(tested["success"], false, "{tested}");
            assert!(tested["response"].as_str().unwrap().contains("redirect"), "{tested}");
        }
    }
    assert_eq!(sink.got().len(), 15);
    trap.check();
}

/// A proxy of the environment would see every secret, and go where the guard does not.
#[test]
fn proxies_of_the_environment_are_not_used() {
    let trap = Trap::start();
    let proxy = format!("http://127.0.0.1:{}/", trap.port);
    let names =
        ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let settings = names.iter().fold(private(), |settings, name| settings.env(name, &proxy));
    let sink = Sink::start(|_| (200, ""));
    let server = Server::start_with(settings);
    let mut client = server.client();
    let id = channel(&mut client, "webhook", &json!({"url": sink.url()}));
    assert_eq!(test(&mut client, &id)["success"], true);
    assert_eq!(sink.got()[0].path, "/hook");
    trap.check();
}
