//! What hostile clients can make the server use: the bounds that `docs/operations.md` states.

use crate::support::{Server, Settings, eventually};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

const MIB: u64 = 1 << 20;

#[track_caller]
fn check_memory(server: &Server, bound: u64) {
    let event = json!({"event_type": "alive", "source": "s", "data": {}});
    server.client().event(&event).expect(202);
    server.client().get("/metrics").expect(200);
    let rss = server.rss_bytes();
    assert!(rss < bound, "{} MiB, and {} MiB are stated", rss / MIB, bound / MIB);
}

#[test]
fn a_thousand_slow_connections_stay_below_150_mib() {
    let server = Server::start_with(Settings::new().header_timeout(Duration::from_secs(60)));
    let mut slow: Vec<TcpStream> = Vec::new();
    for _ in 0..1000 {
        let mut stream = server.connect();
        stream.write_all(b"POST /api/v1/events HTTP/1.1\r\nhost: x\r\nx-a: ").unwrap();
        slow.push(stream);
    }
    for round in 0..5 {
        for stream in &mut slow {
            stream.write_all(&[b'a'; 100]).unwrap_or_else(|it| panic!("round {round}: {it}"));
        }
        check_memory(&server, 150 * MIB);
    }
}

/// Ten readers that stop after the first bytes of an export that is far larger than what is buffered.
#[test]
fn ten_exports_that_nobody_reads_stay_below_150_mib() {
    let settings = Settings::new().env("OBSERVATORY_LIMITS_WRITE_TIMEOUT", "5s");
    let server = Server::start_with(settings);
    let mut client = server.client();
    let padding = "x".repeat(2000);
    for n in 0..40 {
        let event = |i: usize| json!({"event_type": "wide", "source": "s", "data": {"n": n * 1000 + i, "padding": padding}});
        let batch = Value::from((0..1000).map(event).collect::<Vec<_>>()).to_string();
        client.post("/api/v1/events", "application/json", batch.as_bytes()).expect(202);
    }
    let (mut stalled, mut taken) = (Vec::new(), 0);
    for _ in 0..10 {
        let mut stream = server.connect();
        let head = "GET /api/v1/events/export?format=ndjson HTTP/1.1\r\nhost: x\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut start = [0; 64];
        stream.read_exact(&mut start).unwrap();
        // There may be fewer at once; the others are told to come back.
        let answered = [&b"HTTP/1.1 200"[..], b"HTTP/1.1 503"].map(|it| start.starts_with(it));
        assert!(answered.contains(&true), "{}", String::from_utf8_lossy(&start));
        taken += u32::from(answered[0]);
        stalled.push(stream);
    }
    assert!(taken > 0);
    for _ in 0..20 {
        check_memory(&server, 150 * MIB);
        std::thread::sleep(Duration::from_millis(100));
    }
    // Who does not read is not waited for: another one is read to its end.
    let path = "/api/v1/events/export?format=ndjson&type=wide";
    let all = eventually(Duration::from_secs(60), || {
        check_memory(&server, 150 * MIB);
        let answer = server.client().get(path);
        if answer.status == 200 { Ok(answer.text()) } else { Err(answer.status) }
    });
    assert_eq!(all.lines().count(), 40_000);
    check_memory(&server, 150 * MIB);
}
