//! What the journal is asked: lists that go on, figures by group.

use crate::support::{Client, Random, Response, Server};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Percent-encodes a parameter.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|it| {
            if it.is_ascii_alphanumeric() {
                char::from(it).to_string()
            } else {
                format!("%{it:02x}")
            }
        })
        .collect()
}

#[track_caller]
pub(crate) fn send(client: &mut Client, events: &[Value]) -> Value {
    let lines: Vec<_> = events.iter().map(Value::to_string).collect();
    let body = lines.join("\n");
    client.post("/api/v1/events/batch", "application/x-ndjson", body.as_bytes()).expect(202).json()
}

fn list(client: &mut Client, question: &str) -> Value {
    client.get(&format!("/api/v1/events?{question}")).expect(200).json()
}

/// The numbers `n` of the events of a page.
fn numbers(page: &Value) -> Vec<u64> {
    page["events"].as_array().unwrap().iter().map(|it| it["data"]["n"].as_u64().unwrap()).collect()
}

#[test]
fn a_list_goes_on_while_events_arrive_and_blocks_merge() {
    let server = Server::start();
    let mut client = server.client();
    let event = |n: u64| json!({"event_type": if n.is_multiple_of(3) {"c"} else {"t"}, "source": "s", "data": {"n": n}});
    // Small commits, which are merged while we read.
    for n in 0..400 {
        client.event(&event(n)).expect(202);
    }
    let mut more = 400;
    for order in ["desc", "asc"] {
        let expected: Vec<u64> = (0..400).filter(|it| it % 3 != 0).collect();
        let mut seen = Vec::new();
        let mut question = format!("type=t&limit=7&order={order}");
        loop {
            let page = list(&mut client, &question);
            seen.extend(numbers(&page));
            let batch: Vec<_> = (more..more + 40).map(event).collect();
            send(&mut client, &batch);
            more += 40;
            let Some(next) = page["next"].as_str() else { break };
            assert!(
                next.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it)),
                "{next}"
            );
            question = format!("type=t&limit=7&order={order}&cursor={next}");
            if seen.len() > 1000 {
                break;
            }
        }
        let distinct: BTreeSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len(), "nothing comes twice");
        let of_before: Vec<_> = seen.iter().copied().filter(|it| *it < 400).collect();
        if order == "asc" {
            assert_eq!(of_before, expected);
        } else {
            assert_eq!(of_before, expected.into_iter().rev().collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_cursor_that_is_wrong_is_refused() {
    let server = Server::start();
    let mut client = server.client();
    let events: Vec<_> = (0..5).map(|n| json!({"event_type": "t", "data": {"n": n}})).collect();
    send(&mut client, &events);
    let next = list(&mut client, "limit=2")["next"].as_str().unwrap().to_owned();
    assert_eq!(numbers(&list(&mut client, &format!("limit=9&cursor={next}"))), [2, 1, 0]);
    for wrong in [
        format!("cursor={next}&order=asc"),
        format!("cursor={}", &next[..next.len() - 1]),
        format!("cursor={}", next.to_lowercase()),
        "cursor=17".to_owned(),
    ] {
        let answer = client.get(&format!("/api/v1/events?{wrong}")).expect(400).json();
        assert_eq!(answer["fields"][0]["field"], "cursor", "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("begin again without it"), "{answer}");
    }
}

#[test]
fn a_match_is_the_whole_selector_language() {
    let server = Server::start();
    let mut client = server.client();
    let data = [
        json!({"n": 0, "status": "ok", "deep": {"list": [1, {"a b": "x"}]}, "time": "inner"}),
        json!({"n": 1, "status": "failed", "duration": "12.5", "branch": "release/1"}),
        json!({"n": 2, "status": "failed", "duration": 3, "branch": "main", "flag": true}),
        json!({"n": 3}),
    ];
    let events: Vec<_> = data
        .iter()
        .enumerate()
        .map(|(i, it)| json!({"id": format!("e{i}"), "event_type": if i < 3 {"ci_build"} else {"deploy"},
            "source": format!("s{i}"), "subject": "sub", "timestamp": format!("2026-01-0{}", i + 1), "data": it}))
        .collect();
    send(&mut client, &events);
    let mut check = |matches: &[&str], expected: &[u64]| {
        let question: Vec<_> = matches.iter().map(|it| format!("match={}", encoded(it))).collect();
        let found = numbers(&list(&mut client, &format!("order=asc&{}", question.join("&"))));
        assert_eq!(found, expected, "{matches:?}");
    };
    check(&["ci_*"], &[0, 1, 2]);
    check(&[r#"ci_build{status!="ok"}"#], &[1, 2]);
    check(&[r#"{branch=~"release/.*"}"#], &[1]);
    check(&[r#"{branch!~"release/.*"}"#], &[0, 2, 3]);
    check(&["{duration > 3}"], &[1]);
    check(&["{duration >= 3, flag=\"true\"}"], &[2]);
    check(&[r#"{deep.list[1]."a b"="x"}"#], &[0]);
    check(&[r#"{data.time="inner"}"#], &[0]);
    check(&[r#"{id="e2"}"#], &[2]);
    check(&[r#"{source="s3"}"#], &[3]);
    check(&[r#"{type=~".*deploy", subject="sub"}"#], &[3]);
    check(&[r#"{status=""}"#], &[3]);
    check(&[r#"{status="ok"}"#, "deploy", "{duration=3}"], &[0, 2, 3]);
    let found = list(
        &mut client,
        "order=asc&match=ci_*&type=ci_build&source=s0,s2&since=2026-01-02&until=2026-01-04",
    );
    assert_eq!(numbers(&found), [2]);
}

#[test]
fn what_cannot_be_asked_is_named_and_a_right_one_shown() {
    let server = Server::start();
    let mut client = server.client();
    for (path, question, field, example) in [
        ("/api/v1/events", "match=a%7Bb%7D", "match", "ci_build_*{status!=\"success\"}"),
        ("/api/v1/events", "since=soon", "since", "2026-01-05T10:00:00Z"),
        ("/api/v1/events", "limit=0", "limit", "limit=50"),
        ("/api/v1/events", "order=up", "order", "order=asc"),
        ("/api/v1/events", "type=", "type", "ci_build_completed"),
        ("/api/v1/events", "status=ok", "status", "match=*{status="),
        ("/api/events", "until=x", "until", "2h"),
        ("/api/v1/events/summary", "by=a..b", "by", "by=type,data.status"),
        ("/api/events/summary", "interval=1", "interval", "interval=1h"),
        ("/api/v1/events/summary", "value=%5B", "value", "value=data.duration_seconds"),
        ("/api/v1/events/summary", "order=asc", "order", "order=count"),
        ("/api/v1/events/export", "format=xml", "format", "format=csv"),
        ("/api/v1/events/export", "format=csv&columns=,", "columns", "columns=id,timestamp"),
        ("/api/v1/events/export", "match=", "match", "ci_build_*"),
    ] {
        let answer = client.get(&format!("{path}?{question}")).expect(400).json();
        assert_eq!(answer["error"], "invalid_parameter");
        assert_eq!(answer["fields"][0]["field"], field, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(example), "{answer}");
    }
}

// === summaries ===

/// An event and what the test knows of it.
struct Sent {
    event_type: &'static str,
    source: String,
    status: Option<&'static str>,
    /// Hours since the first.
    hour: u64,
    duration: Option<f64>,
}

fn sent(n: u64) -> Vec<Sent> {
    let mut random = Random::new(42);
    let one = |_| {
        let event_type = ["build", "test", "deploy"][usize::try_from(random.below(3)).unwrap()];
        let source = format!("s{}", random.below(5));
        let status = [Some("ok"), Some("failed"), None][usize::try_from(random.below(3)).unwrap()];
        let hour = random.below(48);
        let duration = (random.below(10) > 0).then(|| random.below(100_000) as f64 / 1000.0);
        Sent { event_type, source, status, hour, duration }
    };
    (0..n).map(one).collect()
}

fn load(server: &Server, sent: &[Sent]) {
    let mut client = server.client();
    for (i, batch) in sent.chunks(5000).enumerate() {
        let event = |(at, it): (usize, &Sent)| {
            let mut data = json!({});
            if let Some(status) = it.status {
                data["status"] = status.into();
            }
            match it.duration {
                // A number may come as text.
                Some(it) if at % 2 == 0 => data["d"] = it.into(),
                Some(it) => data["d"] = it.to_string().into(),
                None => data["d"] = "none".into(),
            }
            let time = format!(
                "2026-01-{:02}T{:02}:{:02}:00Z",
                1 + it.hour / 24,
                it.hour % 24,
                (at + i) % 60
            );
            json!({"event_type": it.event_type, "source": it.source, "timestamp": time, "data": data})
        };
        send(&mut client, &batch.iter().enumerate().map(event).collect::<Vec<_>>());
    }
}

fn summary(client: &mut Client, question: &str) -> Value {
    let answer = client.get(&format!("/api/v1/events/summary?{question}")).expect(200).json();
    assert_eq!(answer["truncated"], false);
    answer
}

/// Count per key.
fn counts<'a>(
    sent: impl Iterator<Item = &'a Sent>,
    key: impl Fn(&Sent) -> String,
) -> BTreeMap<String, u64> {
    let mut res = BTreeMap::new();
    for it in sent {
        *res.entry(key(it)).or_default() += 1;
    }
    res
}

/// The same of an answer: the start of each row and its values, joined.
fn rows(answer: &Value) -> BTreeMap<String, u64> {
    let key = |row: &Value| {
        let start = row["start"].as_str().map(str::to_owned);
        let names = answer["by"].as_array().unwrap().iter();
        let values =
            names.map(|it| row["group"][it.as_str().unwrap()].as_str().unwrap_or("-").to_owned());
        start.into_iter().chain(values).collect::<Vec<_>>().join(" ")
    };
    let rows = answer["groups"].as_array().unwrap().iter();
    rows.map(|row| (key(row), row["count"].as_u64().unwrap())).collect()
}

fn hour(it: &Sent) -> String {
    format!("2026-01-{:02}T{:02}:00:00Z", 1 + it.hour / 24, it.hour % 24)
}

#[test]
fn summaries_are_what_was_sent() {
    let server = Server::start();
    let sent = sent(20_000);
    load(&server, &sent);
    let mut client = server.client();
    let it = &mut client;

    let all = summary(it, "");
    assert_eq!(all["events"], 20_000);
    assert_eq!(all["groups"][0]["count"], 20_000);
    assert_eq!(rows(&summary(it, "by=type")), counts(sent.iter(), |it| it.event_type.to_owned()));
    let by_hour = |it: &Sent| format!("{} {}", hour(it), it.event_type);
    assert_eq!(rows(&summary(it, "by=type&interval=1h")), counts(sent.iter(), by_hour));
    let by_all = |it: &Sent| {
        let day = format!("2026-01-{:02}T00:00:00Z", 1 + it.hour / 24);
        format!("{day} {} {} {}", it.event_type, it.source, it.status.unwrap_or("-"))
    };
    let answer = summary(it, "by=type,source&group_by=data.status&interval=1d");
    assert_eq!(rows(&answer), counts(sent.iter(), by_all));
    let starts: Vec<_> = answer["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["start"].as_str().unwrap())
        .collect();
    assert!(starts.is_sorted(), "with an interval the oldest comes first");

    // All filters of the list hold here as well.
    let question = format!(
        "by=source&type=build,test&source=s1,s2,s3&since=2026-01-01T06:00:00Z&until=2026-01-02T06:00:00Z&match={}&match={}",
        encoded("*{status=\"ok\"}"),
        encoded("test{d > 50}")
    );
    let wanted = |it: &&Sent| {
        it.event_type != "deploy"
            && ["s1", "s2", "s3"].contains(&it.source.as_str())
            && (6..30).contains(&it.hour)
            && (it.status == Some("ok")
                || (it.event_type == "test" && it.duration.is_some_and(|it| it > 50.0)))
    };
    let answer = summary(it, &question);
    assert_eq!(rows(&answer), counts(sent.iter().filter(wanted), |it| it.source.clone()));
    let listed: Vec<_> = answer["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["count"].as_u64().unwrap())
        .collect();
    assert!(listed.is_sorted_by(|a, b| a >= b), "the largest comes first");

    // The seed's spelling.
    let seed = client.get("/api/events/summary?group_by=source").expect(200).json();
    assert_eq!(rows(&seed), counts(sent.iter(), |it| it.source.clone()));
}

fn close(found: &Value, expected: f64, relative: f64) {
    let found = found.as_f64().unwrap();
    assert!((found - expected).abs() <= relative * expected.abs() + 1e-9, "{found} for {expected}");
}

#[test]
fn figures_are_those_of_the_numbers_that_were_sent() {
    let server = Server::start();
    let sent = sent(9_000);
    load(&server, &sent);
    let mut client = server.client();
    // Some 180 numbers per row are exact, some 3000 are not any more.
    for (question, key, exact) in [
        (
            "by=type,source,status&value=d&until=2026-01-03&interval=2d",
            (|it: &Sent| format!("{} {} {}", it.event_type, it.source, it.status.unwrap_or("-")))
                as fn(&Sent) -> String,
            true,
        ),
        ("by=type&value=data.d", |it: &Sent| it.event_type.to_owned(), false),
    ] {
        let answer = summary(&mut client, question);
        let groups = answer["groups"].as_array().unwrap();
        assert!(groups.len() >= 3);
        for row in groups {
            let values = answer["by"].as_array().unwrap().iter();
            let values =
                values.map(|it| row["group"][it.as_str().unwrap()].as_str().unwrap_or("-"));
            let name = values.collect::<Vec<_>>().join(" ");
            let in_row = |it: &&Sent| key(it) == name;
            // Intervals of two days begin on even days since 1970, and 2026-01-01 is one.
            if let Some(start) = row["start"].as_str() {
                assert_eq!(start, "2026-01-01T00:00:00Z");
            }
            let group: Vec<_> = sent.iter().filter(in_row).collect();
            let mut numbers: Vec<f64> = group.iter().filter_map(|it| it.duration).collect();
            numbers.sort_by(f64::total_cmp);
            assert_eq!(row["count"], group.len());
            let value = &row["value"];
            assert_eq!(value["count"], numbers.len());
            assert_eq!(value["skipped"], group.len() - numbers.len());
            let sum: f64 = numbers.iter().sum();
            close(&value["sum"], sum, 1e-12);
            close(&value["avg"], sum / numbers.len() as f64, 1e-12);
            close(&value["min"], numbers[0], 0.0);
            close(&value["max"], *numbers.last().unwrap(), 0.0);
            assert_eq!(value["approximate"], !exact);
            for (name, percent) in [("p50", 50), ("p95", 95), ("p99", 99)] {
                let place = percent * (numbers.len() - 1);
                let (low, high) = (numbers[place / 100], numbers[place.div_ceil(100)]);
                let part = u32::try_from(place % 100).map(f64::from).unwrap() / 100.0;
                let expected = low + (high - low) * part;
                close(&value[name], expected, if exact { 1e-9 } else { 0.005_1 });
            }
        }
    }
}

#[test]
fn too_many_groups_are_cut_and_said_so() {
    let server = Server::start();
    let mut client = server.client();
    for batch in 0..3 {
        let event = |n: u64| {
            let key =
                if n.is_multiple_of(10) { "often".to_owned() } else { format!("{batch}-{n}") };
            json!({"event_type": "t", "source": "s", "data": {"k": key}})
        };
        send(&mut client, &(0..5000).map(event).collect::<Vec<_>>());
    }
    let ask = |client: &mut Client, question: &str| -> Response {
        client.get(&format!("/api/v1/events/summary?{question}")).expect(200)
    };
    let answer = ask(&mut client, "by=k").json();
    assert_eq!(answer["truncated"], true);
    assert_eq!(answer["events"], 15_000);
    let groups = answer["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 10_000);
    assert_eq!((&groups[0]["group"]["k"], &groups[0]["count"]), (&json!("often"), &json!(1500)));
    let answer = ask(&mut client, "by=k&limit=1&order=group").json();
    assert_eq!(answer["groups"], json!([{"group": {"k": "often"}, "count": 1500}]));
}
