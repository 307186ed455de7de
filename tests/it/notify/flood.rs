//! Many alerts at once: what waits takes little memory, and people get a few messages, not a storm.

use super::sink::{Reply, Sink};
use super::{channel, private, probe, probe_rule};
use crate::support::{Client, Server, eventually};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    ops::Range,
    thread,
    time::{Duration, Instant},
};

/// What a server takes anyway for the work: caches, buffers of the store.
const BYTES_ANYWAY: u64 = 64 << 20;
/// What an alert and its waiting notification take: what the rule knows of it is most of it.
const BYTES_EACH: u64 = 4 << 10;
/// And while thousands come at once, with or without a channel: measured, not derived.
const BYTES_EACH_COMING: u64 = 32 << 10;

/// Notifications that wait for the sink that is not there.
const MANY: usize = 4000;

/// Sends the events of these keys, a thousand in a request.
fn send(client: &mut Client, keys: Range<usize>, state: &str) {
    for start in keys.clone().step_by(1000) {
        let lines: Vec<_> =
            (start..keys.end.min(start + 1000)).map(|key| probe(key, state).to_string()).collect();
        let body = lines.join("\n");
        client.post("/api/v1/events", "application/x-ndjson", body.as_bytes()).expect(202);
    }
}

fn wait_for_pending(server: &Server, n: usize) {
    let series = "observatory_notifications_pending";
    eventually(Duration::from_secs(120), || {
        let found = server.metrics().get(series).map(|it| it.to_string());
        if found == Some(n.to_string()) { Ok(()) } else { Err((found, n)) }
    });
}

/// The keys that the messages of a sink tell of.
fn keys(bodies: &[Value]) -> BTreeSet<usize> {
    let alerts = bodies.iter().flat_map(|it| it["data"]["alerts"].as_array().unwrap());
    alerts.map(|it| it["labels"]["key"].as_str().unwrap().parse().unwrap()).collect()
}

fn bodies(sink: &Sink) -> Vec<Value> {
    sink.taken().into_iter().map(|(_, it)| it).collect()
}

#[test]
fn what_waits_for_a_dead_sink_is_on_disk_and_comes_as_digests() {
    let n = MANY;
    // Nobody listens there.
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut server = Server::start_with(private().env("OBSERVATORY_NOTIFY_GROUP_INTERVAL", "1s"));
    let mut client = server.client();
    let id = channel(&mut client, "webhook", &json!({"url": format!("http://{addr}/hook")}));
    probe_rule(&mut client, "critical", &[&id]);
    // What the first events need anyway is none of it.
    send(&mut client, 0..1, "bad");
    wait_for_pending(&server, 1);
    let before = server.rss_bytes();
    send(&mut client, 1..n, "bad");
    wait_for_pending(&server, n);
    let grown = server.rss_bytes().saturating_sub(before);
    server.kill9();
    server.restart();
    wait_for_pending(&server, n);
    let again = server.rss_bytes();
    let sink = listen_again(addr);
    wait_for_pending(&server, 0);
    let (bodies, got) = (bodies(&sink), sink.got());
    eprintln!(
        "{n} notifications wait: {} MB more while they came, {} MB in all after a restart; told in {} messages within {:.1} s",
        grown >> 20,
        again >> 20,
        bodies.len(),
        (got[got.len() - 1].at - got[0].at).as_secs_f64()
    );
    assert_eq!(keys(&bodies), (0..n).collect());
    assert!(bodies.len() <= n / 50 + 5, "{} messages", bodies.len());
    let bound = |each: u64| BYTES_ANYWAY + each * n as u64;
    let coming = bound(BYTES_EACH_COMING);
    assert!(grown <= coming, "{grown} B more while they came, at most {coming} are promised");
    let waiting = before + bound(BYTES_EACH);
    assert!(again <= waiting, "{again} B after a restart, at most {waiting} are promised");
}

/// A sink where there was none.
fn listen_again(addr: SocketAddr) -> Sink {
    let ok = |_: usize, _: &super::sink::Got| Reply {
        status: 200,
        headers: String::new(),
        body: "ok".to_owned(),
    };
    Sink::start_at(addr, ok)
}

/// Slack was away while 120 alerts came: people read three messages, not 120.
#[test]
fn a_storm_on_slack_is_a_few_digests() {
    const N: usize = 120;
    let sink = Sink::start(|n| if n < 2 { (503, "") } else { (200, "") });
    let server = Server::start_with(private().env("OBSERVATORY_NOTIFY_GROUP_INTERVAL", "100ms"));
    let mut client = server.client();
    let id = channel(&mut client, "slack", &json!({"webhook_url": sink.url()}));
    probe_rule(&mut client, "high", &[&id]);
    send(&mut client, 0..N, "bad");
    // `[FIRING:50] Probe` of many, `[FIRING:high] Probe — 7` of one.
    let told = |text: &str| {
        let n = text.strip_prefix("[FIRING:").unwrap().split(']').next().unwrap();
        n.parse().unwrap_or(1)
    };
    let told: Vec<usize> = eventually(Duration::from_secs(60), || {
        let texts = bodies(&sink);
        let told: Vec<_> = texts.iter().map(|it| told(it["text"].as_str().unwrap())).collect();
        if told.iter().sum::<usize>() >= N { Ok(told) } else { Err(told) }
    });
    // One that was tried while the others came, and at most 50 alerts in each of the others.
    assert!((3..=4).contains(&told.len()), "{told:?}");
    assert_eq!(told.iter().sum::<usize>(), N, "{told:?}");
    assert!(told.iter().all(|it| *it <= 50), "{told:?}");
}

/// The first of a group waits for company, unless it is critical.
#[test]
fn those_of_a_rule_that_come_together_are_one_message() {
    let settings = || {
        private()
            .env("OBSERVATORY_NOTIFY_GROUP_WAIT", "2s")
            .env("OBSERVATORY_NOTIFY_GROUP_INTERVAL", "3s")
    };
    let sink = Sink::start(|_| (200, ""));
    let server = Server::start_with(settings());
    let mut client = server.client();
    let id = channel(&mut client, "webhook", &json!({"url": sink.url()}));
    probe_rule(&mut client, "medium", &[&id]);
    (0..10).for_each(|key| drop(client.event(&probe(key, "bad")).expect(202)));
    wait_for_taken(&sink, 1);
    (10..15).for_each(|key| drop(client.event(&probe(key, "bad")).expect(202)));
    wait_for_taken(&sink, 2);
    let got = sink.taken();
    let sizes: Vec<_> =
        got.iter().map(|(_, it)| it["data"]["alerts"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [10, 5]);
    assert_eq!(got[0].1["type"], "alerts.digest");
    let pause = got[1].0.at - got[0].0.at;
    assert!(pause >= Duration::from_millis(2900), "{pause:?} between two messages of a group");

    let sink = Sink::start(|_| (200, ""));
    let server = Server::start_with(settings());
    let mut client = server.client();
    let id = channel(&mut client, "webhook", &json!({"url": sink.url()}));
    probe_rule(&mut client, "critical", &[&id]);
    let begun = Instant::now();
    client.event(&probe(0, "bad")).expect(202);
    wait_for_taken(&sink, 1);
    let took = sink.got()[0].at - begun;
    assert!(took < Duration::from_millis(1900), "a critical alert waited {took:?}");
}

fn wait_for_taken(sink: &Sink, n: usize) {
    eventually(Duration::from_secs(20), || {
        let it = sink.taken().len();
        if it >= n { Ok(()) } else { Err(it) }
    });
}

/// A hundred flips: told at once, then that it flaps, and no more.
#[test]
fn what_flaps_is_told_three_times_at_most() {
    let sink = Sink::start(|_| (200, ""));
    let server = Server::start_with(private().env("OBSERVATORY_NOTIFY_GROUP_INTERVAL", "50ms"));
    let mut client = server.client();
    let id = channel(&mut client, "webhook", &json!({"url": sink.url()}));
    probe_rule(&mut client, "critical", &[&id]);
    let begun = Instant::now();
    client.event(&probe(1, "bad")).expect(202);
    wait_for_taken(&sink, 1);
    let first = sink.got()[0].at - begun;
    // By the event, not by a tick; the rest is what else this machine does.
    assert!(first < Duration::from_millis(900), "the first was told after {first:?}");
    client.event(&probe(1, "good")).expect(202);
    wait_for_taken(&sink, 2);
    for _ in 0..49 {
        client.event(&probe(1, "bad")).expect(202);
        client.event(&probe(1, "good")).expect(202);
    }
    let flapping = |bodies: &[Value]| {
        let alerts = bodies.iter().flat_map(|it| it["data"]["alerts"].as_array().unwrap().clone());
        alerts.filter(|it| it["annotations"]["flapping"] == "true").count()
    };
    eventually(Duration::from_secs(20), || {
        let it = bodies(&sink);
        if flapping(&it) == 1 { Ok(()) } else { Err(it) }
    });
    wait_for_pending(&server, 0);
    // Long enough for a tick that had something more to say.
    thread::sleep(Duration::from_secs(2));
    let all = bodies(&sink);
    assert_eq!((all.len(), flapping(&all)), (3, 1), "{all:#?}");
}
