//! What was acknowledged is told, whatever happens to the sink and to the server.
//!
//! Some seconds here; `make soak` (`OBSERVATORY_SOAK_MINUTES` is set) has 1,000 notifications, a minute of trouble and ten kills.

use super::sink::{Reply, Sink};
use super::{private, probe, probe_rule, queue};
use crate::support::{Client, Random, Server, eventually};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

/// How much of it.
struct Plan {
    notifications: usize,
    trouble: Duration,
    kills: u32,
}

impl Plan {
    fn chosen() -> Self {
        match std::env::var_os("OBSERVATORY_SOAK_MINUTES") {
            Some(_) => Self { notifications: 1000, trouble: Duration::from_secs(60), kills: 10 },
            None => Self { notifications: 100, trouble: Duration::from_secs(6), kills: 4 },
        }
    }
}

/// Channels, all to the same sink: while one rests, others are tried.
const CHANNELS: usize = 4;

/// 429, 500, no answer at all, and half is taken: enough for something to be on its way at each kill.
fn trouble(random: u64) -> (u16, &'static str) {
    match random {
        0..2 => (429, "retry-after: 1\r\n"),
        2..4 => (500, ""),
        4 => (0, ""),
        5 => (503, "retry-after: 1\r\n"),
        _ => (200, ""),
    }
}

/// Puts tests into the outbox, over the time of the trouble; the ids that were acknowledged.
fn queue_tests(
    addr: SocketAddr,
    channels: &[String],
    (n, pause): (usize, Duration),
) -> Vec<String> {
    let queue_one = |n: usize| {
        thread::sleep(pause);
        loop {
            if let Some(id) = queue(&mut Client::new(addr), &channels[n % CHANNELS]) {
                return id;
            }
            thread::sleep(Duration::from_millis(20));
        }
    };
    (0..n).map(queue_one).collect()
}

/// Sends events until they are acknowledged: `keys` go bad, and every other is good again.
fn send_events(addr: SocketAddr, (keys, pause): (usize, Duration)) {
    let send = |key: usize, state: &str| {
        let mut event = probe(key, state);
        event["id"] = format!("{key}-{state}").into();
        loop {
            let body = event.to_string();
            let sent =
                Client::new(addr).try_request("POST", "/api/v1/events", &[], body.as_bytes());
            if sent.is_ok_and(|it| it.status == 202) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    };
    for key in 0..keys {
        thread::sleep(pause);
        send(key, "bad");
        if key % 2 == 0 {
            send(key, "good");
        }
    }
}

/// What the sink took.
#[derive(Debug, Default)]
struct Told {
    /// By the id of a message: how often.
    messages: BTreeMap<String, usize>,
    /// By key: what was told of it, in order, each once.
    alerts: BTreeMap<String, Vec<String>>,
    /// By alert and change: the messages that told it.
    changes: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Told {
    fn of(sink: &Sink) -> Self {
        let mut res = Self::default();
        for (got, body) in sink.taken() {
            let id = &got.headers["webhook-id"];
            let seen = res.messages.entry(id.clone()).or_default();
            *seen += 1;
            let again = *seen > 1;
            for alert in body["data"]["alerts"].as_array().unwrap() {
                let change = format!("{} {}", alert["transition"], alert["kind"]);
                let change = (alert["id"].as_str().unwrap().to_owned(), change);
                res.changes.entry(change).or_default().insert(id.clone());
                let Some(key) = alert["labels"]["key"].as_str().filter(|_| !again) else {
                    continue;
                };
                let both = alert["fired_and_resolved"] == true;
                let kind = if both { "firing resolved" } else { alert["kind"].as_str().unwrap() };
                res.alerts.entry(key.to_owned()).or_default().push(kind.to_owned());
            }
        }
        res
    }

    /// What of `ids` and of the first `keys` was not told.
    fn missing(&self, ids: &[String], keys: usize) -> Vec<String> {
        let ids = ids.iter().filter(|it| !self.messages.contains_key(*it)).cloned();
        let keys = (0..keys).filter_map(|key| {
            let told = self.alerts.get(&key.to_string()).map(|it| it.join(" ")).unwrap_or_default();
            let expected = if key % 2 == 0 { "firing resolved" } else { "firing" };
            (told != expected).then(|| format!("{key}: {told:?} instead of {expected:?}"))
        });
        ids.chain(keys).collect()
    }
}

fn webhook(client: &mut Client, n: usize, sink: &Sink) -> String {
    let body =
        json!({"name": format!("hook {n}"), "type": "webhook", "config": {"url": sink.url()}});
    let made = client.post(super::CHANNELS, "application/json", body.to_string().as_bytes());
    made.expect(201).json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn nothing_that_was_acknowledged_stays_untold() {
    let Plan { notifications, trouble: lasts, kills } = Plan::chosen();
    let keys = notifications / 3;
    let tests = notifications - keys - keys.div_ceil(2);
    let (random, end) = (Mutex::new(Random::new(11)), Instant::now() + lasts);
    let sink = Sink::start_with(move |_, _| {
        let now = Instant::now();
        let (status, headers) =
            if now < end { trouble(random.lock().unwrap().below(11)) } else { (200, "") };
        Reply { status, headers: headers.to_owned(), body: "ok".to_owned() }
    });
    let settings = private()
        .env("OBSERVATORY_NOTIFY_TIMEOUT", "2s")
        .env("OBSERVATORY_NOTIFY_GROUP_INTERVAL", "100ms");
    let mut server = Server::start_with(settings);
    let channels: Vec<_> = (0..CHANNELS).map(|n| webhook(&mut server.client(), n, &sink)).collect();
    probe_rule(&mut server.client(), "critical", &[&channels[0]]);
    let addr = server.addr;
    let share = |n: usize| (n, lasts / u32::try_from(n).unwrap() * 9 / 10);
    let ids = thread::scope(|scope| {
        let queued = scope.spawn(|| queue_tests(addr, &channels, share(tests)));
        scope.spawn(|| send_events(addr, share(keys)));
        for _ in 0..kills {
            thread::sleep(lasts / (kills + 1));
            server.kill9();
            server.restart_at_its_port();
        }
        queued.join().unwrap()
    });
    let patience = Duration::from_secs(90) + lasts;
    let told = eventually(patience, || {
        let told = Told::of(&sink);
        let missing = told.missing(&ids, keys);
        let waiting = server.metrics().get("observatory_notifications_pending");
        let done = missing.is_empty() && waiting == Some(0.0);
        if done { Ok(told) } else { Err((missing, waiting)) }
    });
    let twice: usize = told.messages.values().map(|it| it - 1).sum();
    let requests = sink.got();
    let refused = requests.iter().filter(|it| it.status != 200).count();
    eprintln!(
        "{notifications} notifications, {} s of trouble, {kills} kills: 0 lost, {twice} messages of {} twice; {} requests, {refused} of them failed",
        lasts.as_secs(),
        told.messages.len(),
        requests.len()
    );
    assert!(twice <= kills as usize, "{twice} came twice after {kills} kills");
    let renamed: Vec<_> = told.changes.iter().filter(|(_, ids)| ids.len() > 1).collect();
    assert!(renamed.is_empty(), "told again under another id: {renamed:?}");
    assert!(refused > 0, "there was no trouble");
    let states: Value = server.client().get(&format!("{}/{}", super::DELIVERIES, ids[0])).json();
    assert_eq!(states["state"], "sent");
}
