use super::*;
use crate::alerts::Alert;
use crate::store;
use crate::store::Batch;
use serde_json::{Value, json};
use std::{
    sync::mpsc,
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// A request that a sink got: its `webhook-id`, its body, and when its first byte came.
type Got = (String, Value, Instant);

/// An HTTP server that answers with what `answer` says of the count of requests before, and tells of each.
async fn sink(answer: fn(usize) -> &'static str) -> (u16, mpsc::Receiver<Got>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = mpsc::channel();
    tokio::spawn(async move {
        let mut n = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = Vec::new();
            loop {
                let mut chunk = [0; 4096];
                let Ok(read @ 1..) = stream.read(&mut chunk).await else { break };
                let at = Instant::now();
                buffer.extend_from_slice(&chunk[..read]);
                let Some(request) = take_request(&mut buffer, at) else { continue };
                sender.send(request).unwrap();
                stream.write_all(answer(n).as_bytes()).await.unwrap();
                n += 1;
            }
        }
    });
    (port, receiver)
}

/// A whole request off the front of `buffer`.
fn take_request(buffer: &mut Vec<u8>, at: Instant) -> Option<Got> {
    let text = String::from_utf8(buffer.clone()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let header = |name: &str| {
        let line = head.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().to_owned()
    };
    let len: usize = header("content-length").parse().unwrap();
    let body = serde_json::from_str(body.get(..len)?).unwrap();
    let id = header("webhook-id");
    *buffer = Vec::new();
    Some((id, body, at))
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

struct Fixture {
    outbox: Outbox,
    store: Store,
    stopping: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Fixture {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&store::Config::new(dir.path().to_owned())).unwrap();
        let mut config =
            Config { allow_private_targets: true, ..Config::new(crate::pipeline::now) };
        change(&mut config);
        let outbox = Outbox::open(store.clone(), config).unwrap();
        let stopping = CancellationToken::new();
        let (running, ending) = (outbox.clone(), stopping.clone());
        tokio::spawn(async move { running.run(ending).await });
        Self { outbox, store, stopping, _dir: dir }
    }

    fn webhook(&self, port: u16) -> String {
        let url = format!("http://127.0.0.1:{port}/");
        let body = json!({"name": "ops", "type": "webhook", "config": {"url": url}});
        let now = crate::pipeline::now();
        self.outbox.create_channel(body.as_object().unwrap(), now).unwrap().id.clone()
    }

    fn notify(&self, channel: &str, alert: &str, kind: Kind, group: Option<&str>) -> Vec<String> {
        let alert = Alert {
            id: alert.to_owned(),
            rule_name: "Rule".to_owned(),
            ends_at: (kind == Kind::Resolved).then(crate::pipeline::now),
            ..Alert::default()
        };
        let notification = Notification {
            alert,
            transition: if kind == Kind::Resolved { 2 } else { 1 },
            kind,
            channels: vec![channel.to_owned()],
            group_key: group.map(str::to_owned),
        };
        let mut batch = Batch::default();
        let enqueued =
            self.outbox.enqueue(&mut batch, &notification, crate::pipeline::now()).unwrap();
        self.store.table(TABLE).unwrap().apply(batch).unwrap();
        self.store.flush().unwrap();
        let ids = enqueued.ids();
        self.outbox.commit(enqueued);
        ids
    }

    fn state(&self, id: &str) -> Delivery {
        self.outbox.delivery(id).unwrap().unwrap()
    }

    /// The entry of `id` once it is no longer queued.
    async fn settled(&self, id: &str) -> Delivery {
        for _ in 0..500 {
            let delivery = self.state(id);
            if delivery.state != State::Queued {
                return delivery;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.state(id));
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

async fn next(got: &mpsc::Receiver<Got>) -> Got {
    for _ in 0..1000 {
        if let Ok(it) = got.try_recv() {
            return it;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nothing came");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_under_the_same_id() {
    const BUSY: &str = "HTTP/1.1 429 Too Many\r\nretry-after: 2\r\ncontent-length: 4\r\n\r\nbusy";
    let (port, got) = sink(|n| if n == 0 { BUSY } else { OK }).await;
    let fixture = Fixture::new(|_| ());
    let channel = fixture.webhook(port);
    let ids = fixture.notify(&channel, "a", Kind::Firing, None);
    let (first, second) = (next(&got).await, next(&got).await);
    assert_eq!((&first.0, &second.0), (&ids[0], &ids[0]));
    let waited = (second.2 - first.2).as_secs_f64();
    assert!((2.0..2.3).contains(&waited), "Retry-After: 2, and it took {waited} s");
    let delivery = fixture.settled(&ids[0]).await;
    assert_eq!((delivery.state, delivery.attempts), (State::Sent, 2));
    assert_eq!(
        (delivery.history[0].status, delivery.history[0].response.as_str()),
        (Some(429), "busy")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_told_yet_is_told_once_and_a_group_is_one_digest() {
    let (port, got) = sink(|_| OK).await;
    let fixture = Fixture::new(|it| {
        it.group_wait = Duration::from_millis(300);
        it.group_interval = Duration::from_millis(600);
    });
    let channel = fixture.webhook(port);
    let a = fixture.notify(&channel, "a", Kind::Firing, Some("g"));
    fixture.notify(&channel, "b", Kind::Firing, Some("g"));
    fixture.notify(&channel, "a", Kind::Resolved, Some("g"));
    let (_, body, first) = next(&got).await;
    assert_eq!(body["type"], "alerts.digest");
    let alerts = body["data"]["alerts"].as_array().unwrap();
    assert_eq!(alerts.len(), 2);
    assert_eq!(
        (&alerts[0]["kind"], &alerts[0]["fired_and_resolved"]),
        (&json!("resolved"), &json!(true))
    );
    assert_eq!(fixture.settled(&a[0]).await.state, State::Merged);
    fixture.notify(&channel, "c", Kind::Firing, Some("g"));
    fixture.notify(&channel, "d", Kind::Firing, Some("g"));
    let (_, body, second) = next(&got).await;
    assert_eq!(body["data"]["alerts"].as_array().unwrap().len(), 2);
    assert!(second - first >= Duration::from_millis(550), "{:?}", second - first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_gone_is_switched_off_and_what_comes_waits() {
    const GONE: &str = "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n";
    let (port, got) = sink(|n| if n == 0 { GONE } else { OK }).await;
    let fixture = Fixture::new(|_| ());
    let channel = fixture.webhook(port);
    let first = fixture.notify(&channel, "a", Kind::Firing, None);
    assert_eq!(fixture.settled(&first[0]).await.state, State::Dead);
    for _ in 0..200 {
        if !fixture.outbox.find_channel(&channel).unwrap().enabled {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let off = fixture.outbox.find_channel(&channel).unwrap();
    assert!(!off.enabled && off.disabled_reason.as_ref().unwrap().contains("410"), "{off:?}");
    let second = fixture.notify(&channel, "b", Kind::Firing, None);
    let now = crate::pipeline::now();
    let on = json!({"enabled": true});
    fixture.outbox.change_channel(&channel, on.as_object().unwrap(), now).unwrap();
    assert_eq!(fixture.settled(&second[0]).await.state, State::Sent);
    assert_eq!(fixture.outbox.retry(&first, now).unwrap(), 1);
    assert_eq!(fixture.settled(&first[0]).await.state, State::Sent);
    let ids: Vec<_> = [next(&got).await, next(&got).await, next(&got).await].map(|it| it.0).into();
    assert_eq!(ids, [&first[0][..], &second[0], &first[0]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_leaves_a_dead_letter() {
    const BAD: &str = "HTTP/1.1 400 Bad\r\ncontent-length: 2\r\n\r\nno";
    const MOVED: &str =
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let (port, got) = sink(|n| if n == 0 { BAD } else { MOVED }).await;
    let fixture = Fixture::new(|_| ());
    let channel = fixture.webhook(port);
    let first = fixture.notify(&channel, "a", Kind::Firing, None);
    let delivery = fixture.settled(&first[0]).await;
    assert_eq!(
        (delivery.state, delivery.reason.as_deref()),
        (State::Dead, Some("the server answered 400 no"))
    );
    let second = fixture.notify(&channel, "a", Kind::Resolved, None);
    assert!(fixture.settled(&second[0]).await.reason.unwrap().contains("redirect"));
    assert_eq!(fixture.outbox.dead(None).unwrap(), [&first[0][..], &second[0]]);
    let now = crate::pipeline::now();
    assert_eq!(fixture.outbox.purge(&first, now).unwrap(), 1);
    assert_eq!(fixture.state(&first[0]).state, State::Purged);
    assert_eq!(got.try_iter().count(), 2);
}

/// What the engine and the outbox share of "event to first byte": from handing in to the sink's first byte.
#[tokio::test(flavor = "multi_thread")]
async fn from_hand_to_wire_takes_milliseconds() {
    let (port, got) = sink(|_| OK).await;
    let fixture = Fixture::new(|_| ());
    let channel = fixture.webhook(port);
    let mut took = Vec::new();
    for n in 0..200 {
        let alert = n.to_string();
        let start = Instant::now();
        let ids = fixture.notify(&channel, &alert, Kind::Firing, None);
        let (id, _, at) = tokio::task::block_in_place(|| got.recv().unwrap());
        assert_eq!(id, ids[0]);
        took.push(at - start);
        fixture.settled(&ids[0]).await;
    }
    took.sort();
    // A bound for a busy machine: it says the figures when it is not held.
    let figures = format!("p50 {:?} p99 {:?} max {:?}", took[100], took[197], took[199]);
    assert!(took[100] < Duration::from_millis(50), "{figures}");
}

/// A name whose address is private is not connected to, though nothing in the URL tells.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_name_means_is_checked_before_the_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = send::test_client(Guard::default(), Time::default);
    // The system's own resolver knows this one, and the guard sees only what it means.
    let error = client.check_name("localhost", port).await.unwrap_err();
    assert!(error.contains("loopback"), "{error}");
    let accepted = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
    assert!(accepted.is_err(), "it was connected to");
}
