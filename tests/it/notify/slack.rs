//! Slack, at the other end a server that behaves as its API is documented to.

use super::sink::{Got, Reply, Sink};
use super::{
    CHANNELS, DELIVERIES, channel, private, probe, probe_rule, queue, test, wait_for_state,
};
use crate::support::{Server, Settings, eventually};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const TOKEN: &str = "xoxb-1234";

/// Slack's API: methods answer 200 with `ok` in the body or not, more than one message a second gets 429.
#[derive(Clone, Default)]
struct Api {
    /// By `ts`: the colour of the first attachment, and the text.
    messages: Arc<Mutex<HashMap<String, (String, String)>>>,
    last: Arc<Mutex<Option<Instant>>>,
    /// The errors that the next calls are answered instead.
    errors: Arc<Mutex<Vec<&'static str>>>,
}

fn answer(status: u16, body: &Value) -> Reply {
    Reply { status, headers: String::new(), body: body.to_string() }
}

fn error(name: &str) -> Reply {
    answer(200, &json!({"ok": false, "error": name}))
}

impl Api {
    fn start(&self) -> Sink {
        let api = self.clone();
        Sink::start_with(move |_, request| api.call(request))
    }

    fn call(&self, request: &Got) -> Reply {
        if request.headers.get("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return error("invalid_auth");
        }
        if let Some(it) = self.errors.lock().unwrap().pop() {
            return error(it);
        }
        let mut last = self.last.lock().unwrap();
        if last.is_some_and(|it| request.at - it < Duration::from_millis(990)) {
            let headers = "retry-after: 1\r\n".to_owned();
            let body = json!({"ok": false, "error": "ratelimited"}).to_string();
            return Reply { status: 429, headers, body };
        }
        *last = Some(request.at);
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let mut messages = self.messages.lock().unwrap();
        let attachment = &body["attachments"][0];
        let text = |it: &Value| it.as_str().unwrap().to_owned();
        let message = (text(&attachment["color"]), text(&body["text"]));
        let ts = match (request.path.as_str(), body["channel"].as_str()) {
            ("/api/chat.postMessage", Some("#ops")) => {
                format!("1767607200.{:06}", messages.len() + 1)
            }
            ("/api/chat.postMessage", _) => return error("channel_not_found"),
            ("/api/chat.update", Some("C0OPS")) => {
                let ts = text(&body["ts"]);
                if !messages.contains_key(&ts) {
                    return error("message_not_found");
                }
                ts
            }
            ("/api/chat.update", _) => return error("channel_not_found"),
            _ => return error("unknown_method"),
        };
        messages.insert(ts.clone(), message);
        answer(
            200,
            &json!({"ok": true, "channel": "C0OPS", "ts": ts, "message": {"text": body["text"]}}),
        )
    }
}

fn bot(sink: &Sink, more: &Value) -> Value {
    let api = format!("http://{}/api", sink.addr);
    let mut res = json!({"bot_token": TOKEN, "channel": "#ops", "api_url": api});
    res.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    res
}

fn settings() -> Settings {
    private().env("OBSERVATORY_NOTIFY_GROUP_INTERVAL", "100ms")
}

/// The methods that were called and answered with 200.
fn calls(sink: &Sink) -> Vec<String> {
    let taken = sink.got().into_iter().filter(|it| it.status == 200);
    taken.map(|it| it.path.trim_start_matches("/api/chat.").to_owned()).collect()
}

/// Waits until all is delivered that was handed in, which is `n` notifications by now.
#[track_caller]
fn wait_for_sent(server: &Server, n: usize) {
    let sent = format!("{DELIVERIES}?state=sent");
    eventually(Duration::from_secs(30), || {
        let it = server.client().get(&sent).expect(200).json();
        let found = it["notifications"].as_array().unwrap().len();
        if found == n { Ok(()) } else { Err(it) }
    });
}

#[test]
fn a_bot_changes_its_message_when_the_alert_is_over() {
    let api = Api::default();
    let sink = api.start();
    let server = Server::start_with(settings());
    let mut client = server.client();
    let id = channel(&mut client, "slack", &bot(&sink, &json!({})));
    probe_rule(&mut client, "critical", &[&id]);
    // What passes is tried again, though its status is 200.
    *api.errors.lock().unwrap() = vec!["internal_error"];
    client.event(&probe(1, "bad")).expect(202);
    wait_for_sent(&server, 1);
    let first = api.messages.lock().unwrap().clone();
    assert_eq!(first.len(), 1);
    assert!(first["1767607200.000001"].1.starts_with("[FIRING:critical] Probe"), "{first:?}");
    client.event(&probe(1, "good")).expect(202);
    wait_for_sent(&server, 2);
    let second = api.messages.lock().unwrap().clone();
    assert_eq!(second.len(), 1, "{second:?}");
    let (colour, text) = &second["1767607200.000001"];
    assert_eq!(colour, "#2E7D32");
    assert!(text.contains("RESOLVED") && text.contains("Probe"), "{text}");
    assert_eq!(calls(&sink), ["postMessage", "postMessage", "update"]);
    assert!(!server.log().contains(TOKEN));
}

/// The message that should be changed may be gone: that the alert is over is told all the same.
#[test]
fn a_message_that_somebody_removed_is_told_anew() {
    let api = Api::default();
    let sink = api.start();
    let mut server = Server::start_with(settings());
    let id = channel(&mut server.client(), "slack", &bot(&sink, &json!({})));
    probe_rule(&mut server.client(), "critical", &[&id]);
    server.client().event(&probe(1, "bad")).expect(202);
    wait_for_sent(&server, 1);
    // Which message it was is known after a crash, too.
    server.kill9();
    server.restart();
    api.messages.lock().unwrap().clear();
    server.client().event(&probe(1, "good")).expect(202);
    wait_for_sent(&server, 2);
    let calls = calls(&sink);
    assert!(calls.contains(&"update".to_owned()), "{calls:?}");
    let messages = api.messages.lock().unwrap().clone();
    assert_eq!(messages.values().map(|it| it.0.as_str()).collect::<Vec<_>>(), ["#2E7D32"]);
}

#[test]
fn a_bot_may_leave_its_messages_as_they_are() {
    let api = Api::default();
    let sink = api.start();
    let server = Server::start_with(settings());
    let mut client = server.client();
    let id = channel(&mut client, "slack", &bot(&sink, &json!({"update_on_resolve": false})));
    probe_rule(&mut client, "critical", &[&id]);
    client.event(&probe(1, "bad")).expect(202);
    wait_for_sent(&server, 1);
    client.event(&probe(1, "good")).expect(202);
    wait_for_sent(&server, 2);
    assert_eq!(calls(&sink), ["postMessage", "postMessage"]);
    assert_eq!(api.messages.lock().unwrap().len(), 2);
}

#[test]
fn a_bot_that_slack_does_not_know_is_switched_off_and_the_reason_is_told() {
    let api = Api::default();
    let sink = api.start();
    let server = Server::start_with(settings());
    let mut client = server.client();
    for (more, reason) in [
        (json!({"bot_token": "xoxb-of-somebody-else"}), "invalid_auth"),
        (json!({"channel": "#nowhere"}), "channel_not_found"),
    ] {
        let id = channel(&mut client, "slack", &bot(&sink, &more));
        let tested = test(&mut client, &id);
        assert_eq!((&tested["success"], &tested["status"]), (&json!(false), &json!(200)));
        let queued = queue(&mut client, &id).unwrap();
        let dead = wait_for_state(&mut client, &queued, "dead");
        assert!(dead["reason"].as_str().unwrap().contains(reason), "{dead}");
        let off = eventually(Duration::from_secs(5), || {
            let it = client.get(&format!("{CHANNELS}/{id}")).expect(200).json();
            if it["enabled"] == false { Ok(it) } else { Err(it) }
        });
        assert!(off["disabled_reason"].as_str().unwrap().contains(reason), "{off}");
        client.request("DELETE", &format!("{CHANNELS}/{id}"), &[], b"").expect(200);
    }
}

/// One message a second, whatever waits; and what Slack asks for is kept.
#[test]
fn slack_gets_a_message_a_second_and_rests_when_it_says_so() {
    let sink = Sink::start(|n| if n == 2 { (429, "retry-after: 3\r\n") } else { (200, "") });
    let server = Server::start_with(private());
    let mut client = server.client();
    let id = channel(&mut client, "slack", &json!({"webhook_url": sink.url()}));
    let queued: Vec<_> = (0..5).map(|_| queue(&mut client, &id).unwrap()).collect();
    for it in &queued {
        wait_for_state(&mut client, it, "sent");
    }
    let got = sink.got();
    let pauses: Vec<f64> = got.windows(2).map(|it| (it[1].at - it[0].at).as_secs_f64()).collect();
    assert_eq!(pauses.len(), 5, "{pauses:?}");
    assert!(pauses.iter().all(|it| *it >= 0.99), "more than one a second: {pauses:?}");
    // At least what it asked for, and at most a tenth more; the rest is this machine's.
    assert!((3.0..5.0).contains(&pauses[2]), "Retry-After: 3, {pauses:?}");
}
