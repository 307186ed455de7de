//! What was acknowledged survives kill -9 at any moment, with merges, prunes, snapshots, reloads and backups
//! under way: it is there once, and the metrics are the fold of it.
//!
//! A few rounds and seconds here; `make soak` does hundreds of rounds and some minutes (`OBSERVATORY_SOAK_ROUNDS`,
//! `OBSERVATORY_SOAK_MINUTES`, and `OBSERVATORY_SOAK_SEED` for other choices).

use crate::support::{Client, Random, Samples, Server, Settings, eventually};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    thread::JoinHandle,
    time::{Duration, Instant},
};

const ROUNDS: u64 = 10;
/// After so long the disk must not grow any more.
const SETTLED: Duration = Duration::from_secs(120);
const SENDERS: u64 = 4;

/// Every event is counted by type and round. Logs are old when they arrive, so that they are pruned as soon
/// as a snapshot contains them; the others stay.
const TYPES: [&str; 4] = ["load_a", "load_b", "load_c", "log_load"];
const LOG: &str = "log_load";

fn rules(variant: u64) -> String {
    format!(
        r#"
version: 1
metrics:
  load_events_total:
    help: Events of the load, by type and round.
    match: [load_*, log_load]
    count: 1
    labels: {{type: $type, round: $source}}
    limit: 100000
  load_units_total:
    help: The sum of what the events carry.
    match: [load_*, log_load]
    count: $units
    labels: {{round: $source}}
    limit: 100000
  load_size_units:
    help: The sizes seen.
    match: load_*
    observe: $units
    buckets: [1, 2, 5, 10]
  variant_{variant}_total:
    help: Makes every reload a change.
    match: never
    count: 1
"#
    )
}

/// What one sender did.
#[derive(Default)]
struct Sent {
    acknowledged: Vec<Value>,
    /// The request that was under way when the server was killed: all of it is stored, or nothing.
    lost: Vec<Value>,
}

/// What is known of a round that is over.
struct Round {
    /// Per type: distinct ids.
    events: BTreeMap<&'static str, u64>,
    units: u64,
}

fn event(id: &str, round: u64, random: &mut Random) -> Value {
    let kind = TYPES[usize::try_from(random.below(4)).unwrap()];
    let mut event = json!({"id": id, "event_type": kind, "source": format!("r{round}"), "data": {"units": random.below(12), "padding": "x".repeat(usize::try_from(random.below(300)).unwrap())}});
    if kind == LOG {
        event["timestamp"] = json!(days_ago(30));
    }
    event
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "what is sent has times of today")]
fn days_ago(days: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_secs() - days * 86_400
}

/// Sends single events and batches until the server is gone; counts answers in `answered`.
fn send(mut client: Client, prefix: &str, round: u64, seed: u64, answered: &AtomicU64) -> Sent {
    let mut random = Random::new(seed);
    let mut sent = Sent::default();
    // Some send as fast as they are answered, most of them do not.
    let pause = Duration::from_millis(random.below(12).saturating_sub(3));
    for n in 0.. {
        thread::sleep(pause);
        let size = if random.below(5) == 0 { 1 + random.below(60) } else { 1 };
        let events: Vec<_> =
            (0..size).map(|it| event(&format!("{prefix}-{n}-{it}"), round, &mut random)).collect();
        match post(&mut client, &events) {
            Ok(202) => {
                sent.acknowledged.extend(events);
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(status) => assert_eq!(status, 503),
            Err(_) => {
                sent.lost = events;
                break;
            }
        }
    }
    sent
}

fn post(client: &mut Client, events: &[Value]) -> std::io::Result<u16> {
    let headers = [("content-type", "application/json")];
    let body = Value::from(events.to_vec()).to_string();
    client.try_request("POST", "/api/v1/events", &headers, body.as_bytes()).map(|it| it.status)
}

/// Does what operators do, at random moments, until the server is gone.
fn operate(mut client: Client, rules_file: &Path, seed: u64, stop: &AtomicBool) {
    let mut random = Random::new(seed);
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(random.below(40)));
        let path = match random.below(6) {
            0 => {
                fs::write(rules_file, rules(random.below(1000))).unwrap();
                "/-/reload"
            }
            1 => "/api/v1/maintenance/backup",
            2 | 3 => "/api/v1/maintenance/prune",
            4 => "/api/v1/maintenance/prune?days=7&class=logs",
            _ => "/metrics",
        };
        let method = if path == "/metrics" { "GET" } else { "POST" };
        match client.try_request(method, path, &[], b"") {
            // Busy is an answer as well.
            Ok(it) => assert!([200, 503].contains(&it.status), "{path}: {}", it.text()),
            Err(_) => return,
        }
    }
}

struct Torture {
    server: Server,
    random: Random,
    rounds: Vec<Round>,
    /// Events that were pruned while the server ran, as far as it said.
    pruned: f64,
}

impl Torture {
    fn start(seed: u64) -> Self {
        // The server prunes and stores snapshots all the time, beside what the operator does.
        let settings = Settings::new()
            .env("OBSERVATORY_SNAPSHOT_INTERVAL", "100ms")
            .env("OBSERVATORY_RETENTION_INTERVAL", "50ms")
            .env("OBSERVATORY_RULES_WATCH", "false");
        let server = Server::start_with_rules(&rules(0), settings);
        Self { server, random: Random::new(seed), rounds: Vec::new(), pruned: 0.0 }
    }

    /// Load until a kill at a random moment, a start, and a look at what is there.
    fn round(&mut self) {
        let round = self.rounds.len() as u64;
        let answered = Arc::<AtomicU64>::default();
        let stop = Arc::<AtomicBool>::default();
        let senders: Vec<JoinHandle<Sent>> = (0..SENDERS)
            .map(|it| {
                let (client, answered) = (self.server.client(), Arc::clone(&answered));
                let (prefix, seed) = (format!("r{round}s{it}"), self.random.below(u64::MAX));
                thread::spawn(move || send(client, &prefix, round, seed, &answered))
            })
            .collect();
        let operator = {
            let (client, file) = (self.server.client(), self.server.rules_file());
            let (seed, stop) = (self.random.below(u64::MAX), Arc::clone(&stop));
            thread::spawn(move || operate(client, &file, seed, &stop))
        };
        // A loaded machine may take its time; the moment of the kill is random from the first answer on.
        eventually(Duration::from_secs(60), || match answered.load(Ordering::Relaxed) {
            0 => Err(format!("round {round} acknowledged nothing")),
            _ => Ok(()),
        });
        thread::sleep(Duration::from_millis(self.random.below(600)));
        self.server.kill9();
        stop.store(true, Ordering::Relaxed);
        let sent: Vec<_> = senders.into_iter().map(|it| it.join().unwrap()).collect();
        operator.join().unwrap();
        // Half of the time it is killed again while it starts.
        if self.random.below(2) == 0 {
            self.server.start_and_kill(Duration::from_millis(self.random.below(150)));
        }
        self.server.restart();
        let round = self.check_round(round, &sent);
        self.rounds.push(round);
    }

    /// Everything acknowledged is there once. Then the senders send again what they do not know about, and
    /// some of what they do, as clients do: it all counts once.
    fn check_round(&mut self, round: u64, sent: &[Sent]) -> Round {
        let mut client = self.server.client();
        let stored = stored(&mut client, Some(round));
        let mut times: HashMap<&str, usize> = HashMap::new();
        for event in &stored {
            *times.entry(event["id"].as_str().unwrap()).or_default() += 1;
        }
        let twice: Vec<_> = times.iter().filter(|it| *it.1 > 1).collect();
        assert!(twice.is_empty(), "round {round}: stored twice: {twice:?}");
        let acknowledged = sent.iter().flat_map(|it| &it.acknowledged);
        let stays = |it: &&Value| it["event_type"] != LOG;
        let known = |it: &Value| times.contains_key(it["id"].as_str().unwrap());
        let lost: Vec<_> = acknowledged.filter(stays).filter(|it| !known(it)).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged and lost: {lost:?}");
        for it in sent {
            let half = it.lost.iter().filter(stays).map(known).collect::<BTreeSet<_>>();
            assert!(half.len() <= 1, "round {round}: half of a request is stored");
        }

        let mut all: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut units = 0;
        for Sent { acknowledged, lost } in sent {
            let again = acknowledged.len() - acknowledged.len().min(20);
            for batch in [&acknowledged[again..], lost] {
                if !batch.is_empty() {
                    assert_eq!(post(&mut client, batch).unwrap(), 202);
                }
            }
            for event in acknowledged.iter().chain(lost) {
                let kind = TYPES.iter().find(|it| event["event_type"] == **it).unwrap();
                *all.entry(kind).or_default() += 1;
                units += event["data"]["units"].as_u64().unwrap();
            }
        }
        let round_of = Round { events: all, units };
        round_of.check(round, &self.server.metrics());
        round_of
    }

    /// Holds the whole journal and all metrics against all rounds.
    fn check_all(&mut self) {
        let metrics = self.server.metrics();
        let mut per_type: BTreeMap<&str, u64> = BTreeMap::new();
        for (round, it) in (0..).zip(&self.rounds) {
            it.check(round, &metrics);
            for (kind, n) in &it.events {
                *per_type.entry(kind).or_default() += n;
            }
        }
        let events = stored(&mut self.server.client(), None);
        let mut ids = BTreeSet::new();
        let (mut small, mut total) = (0, 0);
        for event in &events {
            assert!(ids.insert(event["id"].as_str().unwrap()), "stored twice: {event}");
            if event["event_type"] != LOG {
                total += 1;
                small += u64::from(event["data"]["units"].as_u64().unwrap() <= 2);
            }
        }
        for kind in TYPES.iter().filter(|it| **it != LOG) {
            let n = events.iter().filter(|it| it["event_type"] == **kind).count() as u64;
            assert_eq!(Some(&n), per_type.get(kind), "{kind}");
        }
        metrics.check("load_size_units_count", number(total));
        metrics.check("load_size_units_bucket{le=\"2\"}", number(small));
        self.pruned = number(*per_type.get(LOG).unwrap_or(&0))
            - number(events.iter().filter(|it| it["event_type"] == LOG).count() as u64);
    }
}

impl Round {
    fn check(&self, round: u64, metrics: &Samples) {
        for (kind, n) in &self.events {
            let series = format!("load_events_total{{round=\"r{round}\",type=\"{kind}\"}}");
            assert_eq!(metrics.get(&series), Some(number(*n)), "{series}");
        }
        let series = format!("load_units_total{{round=\"r{round}\"}}");
        assert_eq!(metrics.get(&series), Some(number(self.units)), "{series}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "small enough")]
fn number(n: u64) -> f64 {
    n as f64
}

/// The events of one round, or all, oldest first.
fn stored(client: &mut Client, round: Option<u64>) -> Vec<Value> {
    let source = round.map_or_else(String::new, |it| format!("&source=r{it}"));
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/events?order=asc&limit=1000{source}{cursor}");
        let page = client.get(&path).expect(200).json();
        all.extend(page["events"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(it) => cursor = format!("&cursor={it}"),
            None => return all,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests are told by the environment how long to go on"
)]
fn variable(name: &str) -> Option<u64> {
    env::var(name).ok().map(|it| it.parse().unwrap_or_else(|_| panic!("{name}: {it}")))
}

fn torture(rounds: u64, seed: u64) {
    let started = Instant::now();
    let mut torture = Torture::start(seed);
    for round in 0..rounds {
        torture.round();
        if round % 50 == 49 && round + 1 < rounds {
            torture.check_all();
            let seconds = started.elapsed().as_secs();
            eprintln!("{} rounds, {seconds} s", round + 1);
        }
    }
    torture.check_all();
    // A clean stop and start changes nothing either.
    let before = torture.server.metrics().of_rules();
    torture.server.terminate();
    torture.server.restart();
    assert_eq!(torture.server.metrics().of_rules(), before);
    torture.check_all();
    let events: u64 = torture.rounds.iter().flat_map(|it| it.events.values()).sum();
    let (pruned, seconds) = (torture.pruned, started.elapsed().as_secs());
    eprintln!(
        "{rounds} rounds of kill -9 in {seconds} s: {events} events, {pruned} of them pruned, none lost, none twice; seed {seed}"
    );
    assert!(pruned > 0.0, "nothing was pruned");
}

/// What the server takes up, looked at every few seconds.
struct Looks(Vec<(u64, u64)>);

impl Looks {
    /// The largest of the later ones is not much more than the largest of those before.
    #[track_caller]
    fn check_flat(&self, what: &str, of: impl Fn(&(u64, u64)) -> u64) {
        let third = self.0.len() / 3;
        let max = |from: usize, to: usize| self.0[from..to].iter().map(&of).max().unwrap();
        let (middle, late) = (max(third, 2 * third), max(2 * third, self.0.len()));
        let mib = |it: u64| it >> 20;
        let all: Vec<_> = self.0.iter().map(|it| mib(of(it)).to_string()).collect();
        eprintln!("{what}, MiB: {}", all.join(" "));
        assert!(late <= middle + middle / 5 + (8 << 20), "{what} grows: {middle} to {late} bytes");
    }
}

/// Bytes that the files below `dir` take on disk.
fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let size = |it: fs::DirEntry| match it.metadata() {
        Ok(found) if found.is_dir() => disk_bytes(&it.path()),
        Ok(found) => found.blocks() * 512,
        // It was renamed or removed meanwhile.
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// Ingest and retention in balance: the same space is used again and again.
fn grow(duration: Duration) {
    let settings = Settings::new()
        .env("OBSERVATORY_SNAPSHOT_INTERVAL", "2s")
        .env("OBSERVATORY_RETENTION_INTERVAL", "1s")
        .env("OBSERVATORY_DEDUP_WINDOW", "5s")
        .env("OBSERVATORY_RETENTION_LOGS", &format!("{}s", duration.as_secs().div_ceil(12).max(1)));
    let server = Server::start_with_rules(&rules(0), settings);
    let stop = Arc::<AtomicBool>::default();
    let sent = Arc::<AtomicU64>::default();
    let senders: Vec<_> = (0..2)
        .map(|sender| {
            let (mut client, stop, sent) = (server.client(), Arc::clone(&stop), Arc::clone(&sent));
            thread::spawn(move || {
                let mut random = Random::new(sender + 1);
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let log = |it: u64| {
                        let id = format!("g{sender}-{n}-{it}");
                        let data = json!({"units": random.below(12), "line": format!("{:x}", random.below(u64::MAX)).repeat(12)});
                        json!({"id": id, "event_type": LOG, "source": "grow", "data": data})
                    };
                    let events: Vec<_> = (0..50).map(log).collect();
                    assert_eq!(post(&mut client, &events).unwrap(), 202);
                    sent.fetch_add(50, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(10));
                }
            })
        })
        .collect();
    let (started, mut looks) = (Instant::now(), Looks(Vec::new()));
    while started.elapsed() < duration {
        thread::sleep(duration / 60);
        // Large pages, which sled keeps in files of their own, it does not always delete (README.md, limits).
        let (all, pages) = (server.data_dir(), server.data_dir().join("db/blobs"));
        let disk = disk_bytes(&all).saturating_sub(disk_bytes(&pages));
        looks.0.push((disk, server.rss_bytes()));
    }
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|it| it.join().unwrap());
    let sent = sent.load(Ordering::Relaxed);
    let metrics = server.metrics();
    metrics.check("load_events_total{round=\"grow\",type=\"log_load\"}", number(sent));
    let left = metrics.get("observatory_store_events").unwrap();
    let pruned = metrics.get("observatory_pruned_total{class=\"logs\"}").unwrap();
    let (seconds, pages) =
        (duration.as_secs(), disk_bytes(&server.data_dir().join("db/blobs")) >> 20);
    eprintln!("large pages of the store: {pages} MiB");
    eprintln!("{seconds} s of ingest and pruning: {sent} events, {pruned} pruned, {left} left");
    assert_eq!(pruned + left, number(sent));
    assert!(pruned > 0.0, "nothing was pruned of {sent} events");
    // It takes a while until what is used again is enough.
    if duration >= SETTLED {
        assert!(left < number(sent) / 3.0, "it is not pruned as it comes: {left} of {sent}");
        looks.check_flat("disk", |it| it.0);
        looks.check_flat("memory", |it| it.1);
    }
}

#[test]
fn ingest_and_pruning_balance() {
    let minutes = variable("OBSERVATORY_SOAK_MINUTES");
    grow(minutes.map_or(Duration::from_secs(6), |it| Duration::from_secs(60 * it)));
}

#[test]
fn kills_lose_nothing_and_count_nothing_twice() {
    let rounds = variable("OBSERVATORY_SOAK_ROUNDS").unwrap_or(ROUNDS);
    torture(rounds, variable("OBSERVATORY_SOAK_SEED").unwrap_or(0x5eed));
}
