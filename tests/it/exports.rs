//! Exports: whole, or visibly broken off; in constant memory; and read back by others.

use crate::asking::{encoded, send};
use crate::support::{Server, Settings, eventually};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// Distinct events of about 700 bytes.
fn fill(server: &Server, n: u64) {
    let mut client = server.client();
    let filler = "x".repeat(500);
    for start in (0..n).step_by(10_000) {
        let event =
            |n| json!({"event_type": "t", "source": "s", "data": {"n": n, "filler": filler}});
        let answer =
            send(&mut client, &(start..(start + 10_000).min(n)).map(event).collect::<Vec<_>>());
        assert_eq!(answer["rejected"], json!([]));
    }
}

/// Begins an export and reads its head.
fn begin(server: &Server, question: &str) -> (u16, BufReader<TcpStream>) {
    let mut stream = server.connect();
    let request = format!("GET /api/v1/events/export?{question} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status).unwrap();
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    (status.split(' ').nth(1).unwrap().parse().unwrap(), reader)
}

/// Reads a chunked body to the end of the connection; its text, and whether it was whole.
fn rest(mut reader: BufReader<TcpStream>) -> (String, bool) {
    let mut text = Vec::new();
    loop {
        let mut size = String::new();
        if reader.read_line(&mut size).unwrap_or(0) == 0 {
            return (String::from_utf8_lossy(&text).into_owned(), false);
        }
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        if size == 0 {
            return (String::from_utf8(text).unwrap(), true);
        }
        let before = text.len();
        text.resize(before + size, 0);
        if reader.read_exact(&mut text[before..]).is_err()
            || reader.read_line(&mut String::new()).is_err()
        {
            return (String::from_utf8_lossy(&text).into_owned(), false);
        }
    }
}

/// Events with and without id, subject and trace.
fn varied() -> Vec<Value> {
    let mut events: Vec<Value> = (0..2000)
        .map(|n| json!({"event_type": "ci_build_completed", "source": format!("s{}", n % 7), "timestamp": format!("2026-01-05T10:00:{:02}.{n:09}Z", n % 60),
            "data": {"n": n, "project": "web", "status": "ok", "text": "a\n\"b\", é"}}))
        .collect();
    for (i, event) in events.iter_mut().enumerate() {
        if i % 2 == 0 {
            event["id"] = format!("mine-{i}").into();
        }
        if i % 5 == 0 {
            event["subject"] = "sub".into();
            event["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into();
        }
    }
    events
}

#[test]
fn an_export_comes_back_as_duplicates_and_makes_the_same_store() {
    let server = Server::start();
    let mut client = server.client();
    let events = varied();
    send(&mut client, &events);
    // As a person writes it: one event in several lines.
    let pretty = serde_json::to_string_pretty(
        &json!({"event_type": "t", "source": "s", "data": {"a": [1, {"b": 2}]}}),
    )
    .unwrap();
    client.post("/api/v1/events", "application/json", pretty.as_bytes()).expect(202);

    let ndjson = client.get("/api/v1/events/export").expect(200);
    assert_eq!(ndjson.header("content-type"), "application/x-ndjson");
    let name = ndjson.header("content-disposition").to_owned();
    assert!(
        name.starts_with("attachment; filename=\"observatory-events-")
            && name.ends_with(".ndjson\""),
        "{name}"
    );
    let lines: Vec<Value> =
        ndjson.text().lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(lines.len(), 2001);
    for (sequence, line) in (1..).zip(&lines) {
        assert_eq!(line["sequence"], sequence, "oldest first");
        assert!(line["received_at"].is_string() && line["id"].is_string());
    }
    assert_eq!(lines[1]["data"], events[1]["data"]);
    let json = client.get("/api/v1/events/export?format=json").expect(200);
    assert_eq!(json.json(), Value::from(lines.clone()));

    // Back to where it came from, as lines and as an array: nothing new.
    for (media, body) in [("application/x-ndjson", &ndjson.body), ("application/json", &json.body)]
    {
        let answer = client.post("/api/v1/events/batch", media, body).expect(202).json();
        assert_eq!((&answer["duplicates"], &answer["accepted"]), (&json!(2001), &json!(0)));
    }

    // To another server: the same events, once.
    let other = Server::start();
    let mut there = other.client();
    for expected in [(2001, 0), (0, 2001)] {
        let answer =
            there.post("/api/v1/events", "application/x-ndjson", &ndjson.body).expect(202).json();
        assert_eq!(
            (&answer["accepted"], &answer["duplicates"]),
            (&json!(expected.0), &json!(expected.1))
        );
    }
    let same = |text: String| -> Vec<Value> {
        let parse = |it: &str| {
            let mut it: Value = serde_json::from_str(it).unwrap();
            it.as_object_mut().unwrap().remove("received_at");
            it
        };
        text.lines().map(parse).collect()
    };
    let copy = there.get("/api/v1/events/export").expect(200);
    assert_eq!(same(copy.text()), same(ndjson.text()));
    let id = encoded(lines[1]["id"].as_str().unwrap());
    assert!(id.starts_with("evt"));
    assert_eq!(
        there.get(&format!("/api/v1/events/{id}")).expect(200).json()["data"],
        events[1]["data"]
    );
}

#[test]
fn csv_is_read_by_others() {
    let server = Server::start();
    let mut client = server.client();
    let texts = ["plain", "comma, and \"quotes\"", "line\nbreak\r\n", "=1+1", " spaces ", "", "é✓"];
    let events: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| json!({"id": format!("e{n}"), "event_type": "t", "source": text, "data": {"text": text, "n": n, "o": {"list": [n, text]}}}))
        .collect();
    send(&mut client, &events);
    let read = |body: &[u8]| -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(body);
        reader.records().map(|it| it.unwrap().iter().map(str::to_owned).collect()).collect()
    };
    let answer = client.get("/api/v1/events/export?format=csv").expect(200);
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert!(answer.text().ends_with("\r\n"));
    let records = read(&answer.body);
    assert_eq!(
        records[0].join(","),
        "id,sequence,event_type,source,subject,timestamp,received_at,data"
    );
    assert_eq!(records.len(), texts.len() + 1);
    for (n, (record, text)) in records[1..].iter().zip(texts).enumerate() {
        assert_eq!(record[0], format!("e{n}"));
        assert_eq!(record[1], (n + 1).to_string());
        assert_eq!(record[3], if text.is_empty() { "unknown" } else { text });
        assert_eq!(serde_json::from_str::<Value>(&record[7]).unwrap(), events[n]["data"]);
    }
    let question =
        "/api/events/export?format=csv&columns=data.text,n,o.list,gone,type&order=desc&limit=3";
    let records = read(&client.get(question).expect(200).body);
    assert_eq!(records[0], ["data.text", "n", "o.list", "gone", "type"]);
    assert_eq!(records[1], ["é✓", "6", "[6,\"é✓\"]", "", "t"]);
    assert_eq!(records.len(), 4);
    // Alone in its line, nothing is still a record.
    assert_eq!(
        read(&client.get("/api/v1/events/export?format=csv&columns=gone").expect(200).body).len(),
        8
    );
}

#[test]
fn filters_choose_what_is_exported() {
    let server = Server::start();
    let mut client = server.client();
    let event = |n: u64| json!({"event_type": if n < 50 {"a"} else {"b"}, "source": format!("s{}", n % 2), "data": {"n": n}});
    send(&mut client, &(0..100).map(event).collect::<Vec<_>>());
    let mut check = |question: &str, expected: &[u64]| {
        let text = client.get(&format!("/api/v1/events/export?{question}")).expect(200).text();
        let parse =
            |it: &str| serde_json::from_str::<Value>(it).unwrap()["data"]["n"].as_u64().unwrap();
        assert_eq!(text.lines().map(parse).collect::<Vec<_>>(), expected, "{question}");
    };
    check("type=b&source=s1&limit=2", &[51, 53]);
    check("type=b&source=s1&limit=2&order=desc", &[99, 97]);
    check(&format!("match={}&match={}", encoded("*{n < 2}"), encoded("b{n > 98}")), &[0, 1, 99]);
    check("until=2020-01-01", &[]);
}

/// 100 000 events of 700 bytes, and readers that stop: what each may hold is a few chunks.
#[test]
fn readers_that_stop_cost_nothing_and_are_cut_off() {
    let settings = Settings::new()
        .env("OBSERVATORY_LIMITS_WRITE_TIMEOUT", "8s")
        .env("OBSERVATORY_LIMITS_CONCURRENT_EXPORTS", "4");
    let server = Server::start_with(settings);
    fill(&server, 110_000);
    // Once to its end, so that what a walk needs at all is there.
    let (status, reader) = begin(&server, "format=ndjson");
    let (text, whole) = rest(reader);
    assert!(status == 200 && whole);
    let ids: BTreeSet<_> = text.lines().map(|it| it.split('"').nth(3).unwrap()).collect();
    assert_eq!((text.lines().count(), ids.len()), (110_000, 110_000));
    drop(text);

    let before = server.rss_bytes();
    let stopped: Vec<_> = (0..4).map(|_| begin(&server, "format=ndjson")).collect();
    assert!(stopped.iter().all(|(status, _)| *status == 200));
    // There is no place for another one, and everything else goes on.
    let mut client = server.client();
    let refused = client.get("/api/v1/events/export").expect(503);
    assert_eq!(refused.header("retry-after"), "5");
    assert_eq!(refused.json()["error"], "busy");
    client.event(&json!({"event_type": "t"})).expect(202);
    client.get("/api/v1/events?limit=10").expect(200);
    let grown = server.rss_bytes().saturating_sub(before);
    assert!(grown < 24 << 20, "four exports hold {} KiB", grown >> 10);

    // They are cut off, all of them, and their places are free again.
    eventually(Duration::from_secs(40), || {
        // Ours, and that of the question.
        match server.metrics().get("observatory_http_connections") {
            Some(it) if it <= 2.0 => Ok(()),
            it => Err(it),
        }
    });
    for _ in 0..4 {
        client.get("/api/v1/events/export?limit=1").expect(200);
    }
    for (_, reader) in stopped {
        let (text, whole) = rest(reader);
        assert!(!whole && text.lines().count() < 110_000);
    }
}

#[test]
fn a_stop_ends_exports_at_once_and_visibly() {
    let mut server = Server::start();
    fill(&server, 60_000);
    let (status, slow) = begin(&server, "format=ndjson");
    assert_eq!(status, 200);
    // Exits 0 well within the 30 seconds that a stop may wait for requests.
    let begun = std::time::Instant::now();
    server.signal("-TERM");
    let (text, whole) = rest(slow);
    assert!(!whole, "{} lines", text.lines().count());
    let last = text.lines().last().unwrap();
    assert!(
        serde_json::from_str::<Value>(last).is_err(),
        "a reader would take it for whole: {last}"
    );
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
