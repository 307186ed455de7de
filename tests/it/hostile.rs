//! Clients that hang up, stall, flood and lie: service goes on and memory stays bounded.

use crate::support::{Client, Response, Server, Settings, eventually};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    io::{BufReader, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

/// What the server may hold in memory whatever is thrown at it here.
const MEMORY_BOUND: u64 = 300 << 20;

const RULES: &str = r#"
version: 1
metrics:
  seen_total:
    help: Events seen, by a label without bound.
    match: seen
    count: 1
    labels: {who: $who}
    limit: 100
  units_total:
    help: The sum of what events carry.
    match: number
    count: $units
  last_value:
    help: The last value.
    match: number
    set: $units
"#;

#[track_caller]
fn check_well(server: &Server) {
    let event = json!({"event_type": "alive", "source": "s", "data": {}});
    server.client().event(&event).expect(202);
    server.client().get("/metrics").expect(200);
    let rss = server.rss_bytes();
    assert!(rss < MEMORY_BOUND, "{} MiB", rss >> 20);
}

#[test]
fn clients_that_hang_up_leave_whole_events_or_none() {
    let server = Server::start_with_rules(RULES, Settings::new());
    let body = json!({"event_type": "number", "source": "s", "data": {"units": 1}}).to_string();
    let head = format!(
        "POST /api/v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request = format!("{head}{body}");
    // At every place of the request, and after it without waiting for the answer.
    for at in (1..=request.len()).chain([request.len(); 20]) {
        let mut stream = server.connect();
        stream.write_all(&request.as_bytes()[..at]).unwrap();
        drop(stream);
    }
    check_well(&server);
    // Those that were complete count, unless the server saw the end first; journal and metrics agree.
    eventually(Duration::from_secs(10), || {
        let stored =
            server.client().get("/api/v1/events?type=number&limit=1000").expect(200).json();
        let stored = stored["events"].as_array().unwrap().len();
        let counted = server.metrics().get("units_total").unwrap_or(0.0);
        let same = f64::from(u32::try_from(stored).unwrap()) == counted;
        if same && stored <= 21 {
            Ok(())
        } else {
            Err(format!("{stored} stored, {counted} counted"))
        }
    });
}

#[test]
fn a_body_that_never_ends_is_answered_408() {
    let server = Server::start_with(Settings::new().body_timeout(Duration::from_secs(2)));
    let mut stream = server.connect();
    let head = "POST /api/v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    let start = Instant::now();
    let answer = Response::read(&mut BufReader::new(&stream), false).unwrap();
    assert_eq!(answer.status, 408, "{}", answer.text());
    assert!(start.elapsed() < Duration::from_secs(10));
    check_well(&server);
}

/// One byte per half second is no progress: the limit is on the whole body.
#[test]
fn a_body_that_drips_is_answered_408() {
    let server = Server::start_with(Settings::new().body_timeout(Duration::from_secs(2)));
    let stream = server.connect();
    let mut drip = stream.try_clone().unwrap();
    let head = "POST /api/v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    drip.write_all(head.as_bytes()).unwrap();
    let writer = thread::spawn(move || {
        for _ in 0..40 {
            if drip.write_all(b"1\r\n \r\n").is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(250));
        }
    });
    let answer = Response::read(&mut BufReader::new(&stream), false).unwrap();
    assert_eq!(answer.status, 408, "{}", answer.text());
    drop(stream);
    writer.join().unwrap();
}

#[test]
fn two_hundred_slow_clients_do_not_hold_up_a_good_one() {
    let server = Server::start_with(Settings::new().header_timeout(Duration::from_secs(5)));
    let mut slow: Vec<TcpStream> = (0..200).map(|_| server.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"POST /api/v1/events HTTP/1.1\r\nhost: x\r\nx-a: ").unwrap();
    }
    let start = Instant::now();
    for _ in 0..20 {
        check_well(&server);
        for stream in &mut slow {
            // Those whose time is up are closed already.
            let _ = stream.write_all(b"a");
        }
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    // The dripping did not keep them open.
    eventually(Duration::from_secs(20), || {
        slow.iter_mut().for_each(|it| drop(it.write_all(b"a")));
        let open = open_sockets(&server);
        if open < 50 { Ok(()) } else { Err(format!("{open} open files")) }
    });
}

fn open_sockets(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

#[test]
fn numbers_that_are_none_change_nothing() {
    let server = Server::start_with_rules(RULES, Settings::new());
    let mut client = server.client();
    let send = |client: &mut Client, units: &str| {
        let body = format!(r#"{{"event_type":"number","source":"s","data":{{"units":{units}}}}}"#);
        client.post("/api/v1/events", "application/json", body.as_bytes()).status
    };
    assert_eq!(send(&mut client, "2"), 202);
    let strings =
        [r#""NaN""#, r#""nan""#, r#""Infinity""#, r#""-inf""#, r#""1e999""#, r#""""#, r#""0x10""#];
    for units in strings.into_iter().chain(["null", "[]", "{}"]) {
        assert_eq!(send(&mut client, units), 202, "{units}");
    }
    // No JSON at all, or a number beyond all floats: refused or ignored, never counted.
    for units in ["NaN", "Infinity", "-Infinity", "01", "1e", "+1"] {
        assert_eq!(send(&mut client, units), 400, "{units}");
    }
    for units in ["1e999", "-1e999", &"9".repeat(400)] {
        let status = send(&mut client, units);
        assert!(status == 400 || status == 202, "{units}: {status}");
    }
    assert_eq!(send(&mut client, "-5"), 202);
    let metrics = server.metrics();
    metrics.check("units_total", 2.0);
    metrics.check("last_value", -5.0);
    assert!(metrics.0.values().all(|it| !it.is_nan()), "{metrics:?}");
    let errors = metrics.of("observatory_rule_errors_total").map(|(_, it)| it).sum::<f64>();
    assert!(errors > 0.0, "nothing says that rules failed");
}

#[test]
fn two_hundred_thousand_label_values_make_a_hundred_and_one_series() {
    let server = Server::start_with_rules(RULES, Settings::new().batch_events(20_000));
    let mut client = server.client();
    let chunks = chunks_of_labels();
    for chunk in 0..chunks {
        let mut body = String::new();
        for n in 0..10_000 {
            let who = chunk * 10_000 + n;
            let data = format!(r#"{{"who":"user-{who}"}}"#);
            writeln!(body, r#"{{"event_type":"seen","source":"s","data":{data}}}"#).unwrap();
        }
        let answer = client.post("/api/v1/events", "application/x-ndjson", body.as_bytes());
        assert_eq!(answer.expect(202).json()["accepted"], 10_000);
    }
    let metrics = server.metrics();
    assert_eq!(metrics.of("seen_total").count(), 101);
    let n = f64::from(chunks) * 10_000.0;
    assert_eq!(metrics.sum("seen_total"), n);
    metrics.check(r#"seen_total{who="_overflow"}"#, n - 100.0);
    metrics.check(r#"seen_total{who="user-0"}"#, 1.0);
    metrics.check(r#"observatory_series_overflow_total{metric="seen_total"}"#, n - 100.0);
    check_well(&server);
}

/// Ten thousand distinct values each; a million in all in the long form.
fn chunks_of_labels() -> u32 {
    if std::env::var_os("OBSERVATORY_SOAK_MINUTES").is_some() { 100 } else { 20 }
}

#[test]
fn bodies_beyond_the_limit_are_answered_413() {
    let limit = 1 << 20;
    let server = Server::start_with(Settings::new().body_bytes(limit));
    let headers = |encoding: &'static str| {
        [("content-type", "application/x-ndjson"), ("content-encoding", encoding)]
    };
    let large = vec![b' '; 2 * limit];
    let status = |headers: &[(&str, &str)], body: &[u8]| {
        server.client().request("POST", "/api/v1/events", headers, body).status
    };
    assert_eq!(status(&headers("identity"), &large), 413);
    // Bombs: a few kilobytes that become 200 MiB, also one inside another.
    let zeros = vec![b'0'; 200 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&zeros).unwrap();
    assert_eq!(status(&headers("gzip"), &gzip.finish().unwrap()), 413);
    let zstd = zstd::encode_all(zeros.as_slice(), 3).unwrap();
    assert_eq!(status(&headers("zstd"), &zstd), 413);
    drop(zeros);
    // Without a length, too.
    let mut stream = server.connect();
    let head = "POST /api/v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..40 {
        let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
        // The server may answer and close before all of it is sent.
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    let answer = Response::read(&mut BufReader::new(&stream), false);
    assert!(answer.is_err() || answer.is_ok_and(|it| it.status == 413));
    check_well(&server);
}

#[test]
fn malformed_text_is_answered_400() {
    let server = Server::start();
    let mut client = server.client();
    let deep = |open: &str, close: &str, n: usize| {
        let data = format!("{}1{}", open.repeat(n), close.repeat(n));
        format!(r#"{{"event_type":"t","source":"s","data":{{"a":{data}}}}}"#).into_bytes()
    };
    let many = (0..20_000).map(|it| it.to_string()).collect::<Vec<_>>().join(",");
    let bodies = [
        deep("[", "]", 200),
        deep("[", "]", 100_000),
        deep(r#"{"a":"#, "}", 100_000),
        format!(r#"{{"event_type":"t","source":"s","data":{{"a":[{many}]}}}}"#).into_bytes(),
        format!(r#"{{"event_type":"{}","source":"s","data":{{}}}}"#, "t".repeat(10_000))
            .into_bytes(),
        b"{\"event_type\":\"\xff\xfe\",\"source\":\"s\",\"data\":{}}".to_vec(),
        br#"{"event_type":"t","source":"s","data":{"a":"\ud800"}}"#.to_vec(),
        b"\x00\x01\x02".to_vec(),
        vec![b'['; 1_000_000],
        vec![b'"'; 1_000],
    ];
    for body in &bodies {
        let answer = client.post("/api/v1/events", "application/json", body);
        let start = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert!(matches!(answer.status, 400 | 422), "{start}: {} {}", answer.status, answer.text());
        assert!(answer.body.len() < 10_000, "the answer repeats the input: {start}");
    }
    check_well(&server);
}

#[test]
fn requests_that_are_no_http_are_refused() {
    let server = Server::start();
    for bytes in [
        b"GET / HTTP/9.9\r\n\r\n".as_slice(),
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
        b"POST /api/v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /api/v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{",
    ] {
        let mut stream = server.connect();
        stream.write_all(bytes).unwrap();
        let answer = Response::read(&mut BufReader::new(stream), false);
        assert!(answer.is_err() || answer.is_ok_and(|it| (400..506).contains(&it.status)));
    }
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000));
    let answer = server.raw(long.as_bytes());
    assert!((400..=431).contains(&answer.status), "{}", answer.status);
    check_well(&server);
}

/// More than the queue holds: each is either stored or told to come back; no answer is lost.
#[test]
fn a_full_queue_answers_503_with_retry_after() {
    let server = Server::start_with_rules(RULES, Settings::new().queue_requests(1));
    let senders: Vec<_> = (0..32).map(|_| server.client()).collect();
    let senders: Vec<_> = senders.into_iter().map(|it| thread::spawn(move || flood(it))).collect();
    let (mut accepted, mut refused) = (0, 0);
    for (taken, turned_away) in senders.into_iter().map(|it| it.join().unwrap()) {
        accepted += taken;
        refused += turned_away;
    }
    assert!(accepted > 0, "nothing was accepted");
    assert!(refused > 0, "the queue of one request was never full");
    server.wait_for("units_total", f64::from(accepted));
    check_well(&server);
}

/// Events that were accepted and requests that were turned away.
fn flood(mut client: Client) -> (u32, u32) {
    let event = json!({"event_type": "number", "source": "s", "data": {"units": 1}});
    let batch = Value::from(vec![event; 200]).to_string();
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..50 {
        let answer = client.post("/api/v1/events", "application/json", batch.as_bytes());
        match answer.status {
            202 => accepted += 200,
            429 | 503 => {
                let after: u32 = answer.header("retry-after").parse().expect("Retry-After");
                assert!((1..=60).contains(&after));
                refused += 1;
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    (accepted, refused)
}
