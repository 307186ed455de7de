//! The live stream: every event once and in order, whatever happens to client and server.

use crate::support::{Random, Server, Settings, Sse, cli, eventually, python};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

fn numbered(n: u64) -> Value {
    json!({"id": format!("n-{n}"), "event_type": "t", "source": "s", "data": {"n": n}})
}

#[track_caller]
fn post(server: &Server, numbers: impl IntoIterator<Item = u64>) {
    let events: Vec<Value> = numbers.into_iter().map(numbered).collect();
    let body = Value::from(events).to_string();
    server.client().post("/api/v1/events", "application/json", body.as_bytes()).expect(202);
}

/// Posts event after event, each until it is acknowledged, wherever the server is at the moment.
struct Sender {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl Sender {
    fn start(addr: &Arc<Mutex<SocketAddr>>, pause: Duration) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (addr, stopped, counter) = (addr.clone(), stop.clone(), sent.clone());
        let thread = thread::spawn(move || {
            let mut client = None;
            while !stopped.load(Ordering::Relaxed) {
                let n = counter.load(Ordering::Relaxed) + 1;
                let to = *addr.lock().unwrap();
                let client = client.get_or_insert_with(|| (to, crate::support::Client::new(to)));
                if client.0 != to {
                    *client = (to, crate::support::Client::new(to));
                }
                let body = numbered(n).to_string();
                let headers = [("content-type", "application/json")];
                let answer =
                    client.1.try_request("POST", "/api/v1/events", &headers, body.as_bytes());
                match answer {
                    Ok(it) if it.status == 202 => counter.store(n, Ordering::Relaxed),
                    _ => thread::sleep(Duration::from_millis(20)),
                }
                thread::sleep(pause);
            }
        });
        Self { stop, sent, thread }
    }

    fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

#[test]
fn a_hundred_disconnects_and_a_kill_lose_nothing() {
    let mut server = Server::start();
    let addr = Arc::new(Mutex::new(server.addr));
    let sender = Sender::start(&addr, Duration::from_millis(1));
    let mut random = Random::new(0x5eed);
    let (mut seen, mut last_id): (Vec<u64>, u64) = (Vec::new(), 0);
    let mut read = |server: &Server, count: u64| {
        // By the header as a browser does it, and by the parameter as scripts do.
        let id = last_id.to_string();
        let opened = if count.is_multiple_of(2) {
            Sse::open(server.addr, "/api/v1/stream", &[("last-event-id", &id)])
        } else {
            Sse::open(server.addr, &format!("/api/v1/stream?since={id}"), &[])
        };
        let mut stream = opened.unwrap();
        let mut left = count;
        while left > 0 {
            let event = stream.next().unwrap().unwrap();
            assert_ne!(event.name, "reset", "{event:?}");
            assert!(event.id >= last_id, "{event:?} after {last_id}");
            last_id = event.id;
            if event.name == "event" {
                seen.push(event.data["data"]["n"].as_u64().unwrap());
                left -= 1;
            }
        }
    };
    for round in 0..100 {
        if round == 50 {
            server.kill9();
            server.restart();
            *addr.lock().unwrap() = server.addr;
        }
        read(&server, random.below(12));
    }
    let sent = sender.finish();
    let left = sent - u64::try_from(seen.len()).unwrap();
    let mut read_to_the_end = |count| {
        let mut stream =
            Sse::open(server.addr, &format!("/api/v1/stream?since={last_id}"), &[]).unwrap();
        seen.extend(stream.numbers(count));
    };
    read_to_the_end(usize::try_from(left).unwrap());
    assert!(sent > 300, "{sent}");
    assert_eq!(seen, (1..=sent).collect::<Vec<_>>());
}

/// A program of Python's with what it prints.
fn script(python: &Path, arguments: &[&str]) -> std::process::Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stream_clients.py");
    let mut command = Command::new(python);
    command.arg(script).args(arguments).stdout(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn clients_that_others_wrote_see_every_event() {
    let Some(python) = python() else { return };
    let server = Server::start();
    let addr = Arc::new(Mutex::new(server.addr));
    let sender = Sender::start(&addr, Duration::from_millis(2));
    for kind in ["sse", "websockets"] {
        // 10 connections, each broken off after 20 events.
        let child = script(&python, &[kind, &server.addr.to_string(), "10", "20"]);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{kind}");
        let text = String::from_utf8(output.stdout).unwrap();
        let seen: Vec<u64> = text.lines().map(|it| it.parse().unwrap()).collect();
        assert_eq!(seen, (1..=200).collect::<Vec<_>>(), "{kind}");
    }
    sender.finish();
}

#[test]
fn filters_and_history() {
    let server = Server::start();
    let send = |kind: &str, source: &str, data: Value| {
        let event = json!({"event_type": kind, "source": source, "data": data});
        server.client().event(&event).expect(202);
    };
    let open =
        |query: &str| Sse::open(server.addr, &format!("/api/v1/stream?{query}"), &[]).unwrap();
    for n in 1..=20 {
        let severity = if n % 2 == 0 { "high" } else { "low" };
        send("a", "x", json!({"n": n, "severity": severity, "who": {"id": n % 3}}));
        send("b", "y", json!({"n": 100 + n}));
    }
    assert_eq!(open("since=0&type=a&severity=high").numbers(3), [2, 4, 6]);
    assert_eq!(open("since=0&source=y").numbers(2), [101, 102]);
    assert_eq!(
        open("since=0&match=a%7Bwho.id=%220%22%7D&match=b%7Bn%3E119%7D").numbers(7)[5..],
        [18, 120]
    );
    assert_eq!(open("history=3&type=a").numbers(3), [18, 19, 20]);
    assert_eq!(open("since=1h&type=b").numbers(1), [101]);
    // What came before is not shown again, and what comes is.
    let mut live = open("history=1&severity=low,high");
    assert_eq!(live.numbers(1), [20]);
    send("b", "y", json!({"n": 1}));
    send("b", "y", json!({"n": 2, "severity": "low"}));
    assert_eq!(live.numbers(1), [2]);
    // As the query API shows it.
    let event = open("since=0&type=a").until("event");
    let id = event.data["id"].as_str().unwrap();
    let asked = server.client().get(&format!("/api/v1/events/{id}")).expect(200).json();
    assert_eq!(event.data, asked);
    for bad in ["match=a%7B", "since=soon", "history=10001", "severity=", "until=1h", "stauts=1"] {
        let answer = server.client().get(&format!("/api/v1/stream?{bad}")).expect(400).json();
        assert_eq!(answer["error"], "invalid_parameter", "{bad}");
    }
    let mut client = server.client().with_header("last-event-id", "x");
    client.get("/api/v1/stream").expect(400);
}

#[test]
fn what_cannot_be_resumed_is_told() {
    let server = Server::start_with(Settings::new().env("OBSERVATORY_STREAM_HEARTBEAT", "200ms"));
    post(&server, 1..=50);
    let reset = |since: u64| {
        let path = format!("/api/v1/stream?since={since}");
        let mut stream = Sse::open(server.addr, &path, &[]).unwrap();
        let hello = stream.until("hello");
        let next = stream.next().unwrap().unwrap();
        (hello, next)
    };
    let (hello, next) = reset(50);
    assert_eq!((hello.id, hello.data["newest"].as_u64()), (50, Some(50)));
    assert_eq!(hello.data["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((next.name.as_str(), next.id), ("heartbeat", 50));
    let (hello, next) = reset(70);
    assert_eq!((hello.id, next.name.as_str()), (50, "reset"));
    assert_eq!(next.data["reason"], "ahead");

    // Old events, by their own time, go at once.
    let old = json!({"event_type": "t", "source": "s", "timestamp": "2020-01-01T00:00:00Z", "data": {"n": 51}});
    server.client().event(&old).expect(202);
    server.client().post("/api/v1/maintenance/prune?days=0", "text/plain", b"");
    let pruned = eventually(Duration::from_secs(10), || {
        let path = "/api/v1/maintenance/prune?days=30";
        let answer = server.client().post(path, "text/plain", b"").expect(200).json();
        if answer["deleted"].as_u64() > Some(0) { Ok(answer) } else { Err(answer) }
    });
    assert_eq!(pruned["deleted"], 1);
    post(&server, [60]);
    let (_, next) = reset(50);
    assert_eq!((next.name.as_str(), &next.data["reason"]), ("reset", &json!("retention")));
    assert_eq!((&next.data["missing"], &next.data["since"]), (&json!(1), &json!(50)));
    let mut stream = Sse::open(server.addr, "/api/v1/stream?since=50", &[]).unwrap();
    assert_eq!(stream.numbers(1), [60]);
}

/// A connection for which the system reads next to nothing ahead.
fn narrow(addr: SocketAddr, path: &str) -> Sse {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
    // What another test starts meanwhile must not hold it open: with a copy there, closing it here tells nobody.
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
    connect(&socket, &addr).unwrap();
    let stream = std::net::TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    Sse::open_over(stream, addr, path, &[]).unwrap()
}

/// Posts `count` events of two kilobytes, numbered from `first` on.
fn post_large(server: &Server, first: u64, count: u64) {
    let padding = "x".repeat(2000);
    let mut client = server.client();
    for start in (first..first + count).step_by(50) {
        let events: Vec<Value> = (start..start + 50)
            .map(
                |n| json!({"event_type": "t", "source": "s", "data": {"n": n, "padding": padding}}),
            )
            .collect();
        let body = Value::from(events).to_string();
        client.post("/api/v1/events", "application/json", body.as_bytes()).expect(202);
    }
}

fn settings_of_slow() -> Settings {
    Settings::new()
        .env("OBSERVATORY_STREAM_MAX_LAG", "500ms")
        .env("OBSERVATORY_STREAM_BUFFER_EVENTS", "100")
        .env("OBSERVATORY_STREAM_BUFFER_BYTES", "1MiB")
}

#[test]
fn a_slow_reader_is_closed_with_its_place_and_others_go_on() {
    const EVENTS: u64 = 5000;
    let server = Server::start_with(settings_of_slow());
    let mut fast = Sse::open(server.addr, "/api/v1/stream", &[]).unwrap();
    fast.until("hello");
    let mut slow = narrow(server.addr, "/api/v1/stream");
    // So that it has been up to date once.
    thread::sleep(Duration::from_millis(200));
    let all = thread::spawn(move || fast.numbers(usize::try_from(EVENTS).unwrap()));
    post_large(&server, 1, EVENTS);
    assert_eq!(all.join().unwrap(), (1..=EVENTS).collect::<Vec<_>>());
    thread::sleep(Duration::from_secs(1));
    // What it finds when it reads again: a whole beginning, and a reason.
    let mut seen = 0;
    let close = loop {
        let event = slow.next().unwrap().unwrap();
        match event.name.as_str() {
            "event" => {
                seen += 1;
                assert_eq!((event.id, &event.data["data"]["n"]), (seen, &json!(seen)));
            }
            "close" => break event,
            _ => {}
        }
    };
    assert!(slow.next().unwrap().is_none());
    assert!(seen < EVENTS, "{seen}");
    assert_eq!(close.data, json!({"reason": "slow", "since": seen}));
    let mut again = Sse::open(server.addr, &format!("/api/v1/stream?since={seen}"), &[]).unwrap();
    let rest = again.numbers(usize::try_from(EVENTS - seen).unwrap());
    assert_eq!(rest, (seen + 1..=EVENTS).collect::<Vec<_>>());
    server.wait_for("observatory_stream_closed_total{reason=\"slow\"}", 1.0);
}

#[test]
fn two_hundred_stuck_readers_cost_little_memory() {
    const EVENTS: u64 = 4000;
    let server = Server::start_with(Settings::new().env("OBSERVATORY_STREAM_MAX_LAG", "20s"));
    let mut fast = Sse::open(server.addr, "/api/v1/stream", &[]).unwrap();
    fast.until("hello");
    // So that what is measured is not the journal's.
    post_large(&server, 1, 1000);
    fast.numbers(1000);
    let before = server.rss_bytes();
    let stuck: Vec<_> = (0..199)
        .map(|it| {
            narrow(
                server.addr,
                if it % 2 == 0 { "/api/v1/stream" } else { "/api/v1/stream?since=0&match=t" },
            )
        })
        .collect();
    let all = thread::spawn(move || fast.numbers(usize::try_from(EVENTS).unwrap()));
    let started = Instant::now();
    post_large(&server, 1001, EVENTS);
    assert_eq!(all.join().unwrap(), (1001..=1000 + EVENTS).collect::<Vec<_>>());
    let grown = server.rss_bytes().saturating_sub(before) >> 20;
    eprintln!(
        "{EVENTS} events in {:?} past {} stuck readers: {grown} MiB",
        started.elapsed(),
        stuck.len()
    );
    assert!(grown < 200, "{grown} MiB");
    // As other tests start servers: it would inherit what is not marked.
    let mut bystander = Command::new("sleep").arg("60").spawn().unwrap();
    drop(stuck);
    // A client that is gone ends its stream at once, whether the stream waits to write or for events: no heartbeat and
    // no timeout has to come first.
    eventually(Duration::from_secs(5), || {
        let open = server.metrics().sum("observatory_stream_open");
        if open == 0.0 { Ok(()) } else { Err(format!("{open} are open")) }
    });
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn streams_have_limits() {
    let settings = Settings::new()
        .env("OBSERVATORY_STREAM_MAX", "3")
        .env("OBSERVATORY_STREAM_MAX_PER_CLIENT", "2")
        .token("read:reader-of-streams,read:other-reader-of-streams");
    let server = Server::start_with(settings);
    let open = |secret: &str| {
        let bearer = format!("Bearer {secret}");
        Sse::open(server.addr, "/api/v1/stream", &[("authorization", &bearer)])
    };
    let refused = |secret: &str| {
        let bearer = format!("Bearer {secret}");
        let answer = server.client().with_header("authorization", &bearer).get("/api/v1/stream");
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
        answer.status
    };
    let _first = open("reader-of-streams").unwrap();
    let second = open("reader-of-streams").unwrap();
    assert_eq!(refused("reader-of-streams"), 429);
    let _third = open("other-reader-of-streams").unwrap();
    assert_eq!(refused("other-reader-of-streams"), 503);
    drop(second);
    eventually(Duration::from_secs(10), || open("other-reader-of-streams"));
}

#[test]
fn a_stop_ends_streams_at_once_even_stuck_ones() {
    let mut server = Server::start();
    let mut stream = Sse::open(server.addr, "/api/v1/stream", &[]).unwrap();
    stream.until("hello");
    let _stuck = narrow(server.addr, "/api/v1/stream?since=0");
    post_large(&server, 1, 2000);
    assert_eq!(stream.numbers(2000).last(), Some(&2000));
    let started = Instant::now();
    server.terminate();
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    let close = stream.until("close");
    assert_eq!((&close.data["reason"], close.id), (&json!("stopping"), 2000));
    assert!(stream.next().unwrap().is_none());
}

#[test]
fn tail_prints_everything_once_over_a_restart() {
    let mut server = Server::start();
    post(&server, 1..=30);
    let url = format!("http://{}", server.addr);
    let out = tempfile::NamedTempFile::new().unwrap();
    let mut command = crate::support::command(&Settings::new());
    command.args(["tail", "--json", "--history", "10", "--url", &url, "--timeout", "2"]);
    let mut tail = command.stdout(out.reopen().unwrap()).stderr(Stdio::piped()).spawn().unwrap();
    let printed = || -> Vec<u64> {
        let text = std::fs::read_to_string(out.path()).unwrap();
        let whole = text.lines().filter_map(|it| serde_json::from_str::<Value>(it).ok());
        whole.map(|it| it["data"]["n"].as_u64().unwrap()).collect()
    };
    let wait = |count: usize| {
        eventually(Duration::from_secs(20), || {
            let it = printed();
            if it.len() >= count { Ok(()) } else { Err(it) }
        });
    };
    wait(10);
    post(&server, 31..=40);
    wait(20);
    server.kill9();
    server.restart_at_its_port();
    post(&server, 41..=60);
    wait(40);
    let pid = tail.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert_eq!(tail.wait().unwrap().code(), Some(0));
    assert_eq!(printed(), (21..=60).collect::<Vec<_>>());
    let said: Vec<_> =
        BufReader::new(tail.stderr.take().unwrap()).lines().map_while(Result::ok).collect();
    assert!(said.iter().any(|it| it.contains("the server is back")), "{said:?}");
    let output =
        cli(&["tail", "--url", "http://127.0.0.1:1", "--timeout", "0.2"], &Settings::new(), "");
    assert!(!output.status.success());
}
