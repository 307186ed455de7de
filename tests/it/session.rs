//! Browsers: sessions, tickets, origins, and what becomes of streams when a token ends.

use crate::support::{Said, Server, Settings, Sse, Ws, cli};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ADMIN: &str = "secret-of-the-administrator";
const READER: &str = "secret-of-the-reader";

fn server() -> Server {
    Server::start_with(Settings::new().token(&format!("admin:{ADMIN},read:{READER}")))
}

/// Logs in with `secret`: the cookie as a browser sends it back.
#[track_caller]
fn log_in(server: &Server, secret: &str) -> String {
    let body = json!({ "token": secret }).to_string();
    let answer =
        server.client().post("/api/v1/session", "application/json", body.as_bytes()).expect(200);
    let cookie = answer.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(secret), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

#[test]
fn a_browser_logs_in_and_may_what_its_token_may() {
    let server = server();
    let origin = format!("http://{}", server.addr);
    let cookie = log_in(&server, READER);
    let status = |method: &str, path: &str, headers: &[(&str, &str)]| {
        server.client().with_header("cookie", &cookie).request(method, path, headers, b"").status
    };
    assert_eq!(status("GET", "/api/v1/events", &[]), 200);
    assert_eq!(status("POST", "/-/reload", &[("origin", &origin)]), 403);
    let who = server.client().with_header("cookie", &cookie).get("/api/v1/session").expect(200);
    assert_eq!(who.json()["roles"], json!(["read"]));
    assert_eq!(server.client().get("/api/v1/session").status, 401);

    // Another site cannot make the browser change anything.
    let cookie = log_in(&server, ADMIN);
    let reload = |headers: &[(&str, &str)]| {
        let mut client = server.client().with_header("cookie", &cookie);
        client.request("POST", "/-/reload", headers, b"").status
    };
    assert_eq!(reload(&[("origin", &origin)]), 200);
    assert_eq!(reload(&[("sec-fetch-site", "same-origin")]), 200);
    assert_eq!(reload(&[("origin", "http://evil.example")]), 403);
    assert_eq!(reload(&[("origin", "null")]), 403);
    assert_eq!(reload(&[("sec-fetch-site", "cross-site")]), 403);

    // A token in a header is stronger than a cookie, and none of it is taken when it is wrong.
    let mut wrong =
        server.client().with_header("cookie", &cookie).with_header("x-api-key", "wrong");
    wrong.get("/api/v1/events").expect(401);
    let out = server.client().with_header("cookie", &cookie).request(
        "DELETE",
        "/api/v1/session",
        &[],
        b"",
    );
    assert!(out.status == 204 && out.header("set-cookie").contains("Max-Age=0"), "{out:?}");
    for (body, status) in [("{\"token\":\"wrong-secret\"}", 401), ("{}", 400), ("x", 400)] {
        server.client().post("/api/v1/session", "application/json", body.as_bytes()).expect(status);
    }
    let evil = [("origin", "http://evil.example")];
    let body = json!({ "token": READER }).to_string();
    let answer = server.client().request("POST", "/api/v1/session", &evil, body.as_bytes());
    assert_eq!(answer.status, 403);
    assert!(!server.log().contains(READER) && !server.log().contains(ADMIN), "{}", server.log());
}

#[test]
fn a_forged_session_is_refused() {
    let server = server();
    let cookie = log_in(&server, ADMIN);
    let (name, session) = cookie.split_once('=').unwrap();
    let parts: Vec<&str> = session.split('.').collect();
    let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"none"}"#);
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    assert_eq!(claims.as_object().unwrap().len(), 3, "{claims}");
    let forged = [
        format!("{header}.{}.", parts[1]),
        format!("{header}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode([0; 32])),
    ];
    for it in forged {
        let cookie = format!("{name}={it}");
        server.client().with_header("cookie", &cookie).get("/api/v1/events").expect(401);
        assert_eq!(
            Ws::open(server.addr, "/api/v1/ws", &[("cookie", &cookie)]).unwrap_err().status,
            401
        );
    }
    server.client().with_header("cookie", &cookie).get("/api/v1/events").expect(200);
}

#[test]
fn a_session_outlives_the_server_and_not_its_time() {
    let mut server = Server::start_with(
        Settings::new().token(&format!("read:{READER}")).env("OBSERVATORY_AUTH_SESSION", "3s"),
    );
    let body = json!({ "token": READER }).to_string();
    let answer = server.client().post("/api/v1/session", "application/json", body.as_bytes());
    let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    let started = Instant::now();
    let mut stream = Sse::open(server.addr, "/api/v1/stream", &[("cookie", &cookie)]).unwrap();
    assert_eq!(stream.until("close").data["reason"], "unauthorized");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    server.client().with_header("cookie", &cookie).get("/api/v1/events").expect(401);

    let answer = server.client().post("/api/v1/session", "application/json", body.as_bytes());
    let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    server.kill9();
    server.restart();
    server.client().with_header("cookie", &cookie).get("/api/v1/events").expect(200);
}

#[test]
fn a_ticket_lets_one_stream_in() {
    let server = server();
    let mut reader = server.client().with_header("x-api-key", READER);
    let mut ticket = || {
        let answer = reader.request("POST", "/api/v1/stream/ticket", &[], b"").expect(201);
        answer.json()["ticket"].as_str().unwrap().to_owned()
    };
    let first = ticket();
    let path = format!("/api/v1/stream?ticket={first}");
    let mut stream = Sse::open(server.addr, &path, &[]).unwrap();
    stream.until("hello");
    server.client().get(&path).expect(401);
    Ws::open(server.addr, &format!("/api/v1/ws?ticket={}", ticket()), &[]).unwrap();
    // It is for streams, and for nothing else.
    server.client().get(&format!("/api/v1/events?ticket={}", ticket())).expect(401);
    server.client().get("/api/v1/stream?ticket=tic_x").expect(401);
    server.client().get("/api/v1/stream").expect(401);
    server.client().request("POST", "/api/v1/stream/ticket", &[], b"").expect(401);
}

#[test]
fn a_web_socket_is_for_pages_of_ours() {
    let settings = Settings::new().env("OBSERVATORY_WEB_ALLOWED_ORIGINS", "https://wall.example");
    let server = Server::start_with(settings);
    let own = format!("http://{}", server.addr);
    for path in ["/api/v1/ws", "/ws"] {
        let open = |headers: &[(&str, &str)]| match Ws::open(server.addr, path, headers) {
            Ok(_) => 101,
            Err(it) => it.status,
        };
        assert_eq!(open(&[]), 101);
        assert_eq!(open(&[("origin", &own)]), 101);
        assert_eq!(open(&[("origin", "https://wall.example")]), 101);
        assert_eq!(open(&[("origin", "https://evil.example")]), 403);
        assert_eq!(open(&[("origin", "null")]), 403);
        server.client().get(path).expect(426);
    }
}

#[test]
fn a_revoked_token_ends_its_streams_within_a_second() {
    let server = server();
    let mut admin = server.client().with_header("x-api-key", ADMIN);
    let body = json!({"name": "wall", "roles": ["read"]}).to_string();
    let created = admin.post("/api/v1/tokens", "application/json", body.as_bytes()).expect(201);
    let secret = created.json()["token"].as_str().unwrap().to_owned();
    let cookie = log_in(&server, &secret);
    let mut reader = server.client().with_header("x-api-key", &secret);
    let ticket = reader.request("POST", "/api/v1/stream/ticket", &[], b"").expect(201).json();
    let unused = reader.request("POST", "/api/v1/stream/ticket", &[], b"").expect(201).json();
    let with_ticket = format!("/api/v1/stream?ticket={}", ticket["ticket"].as_str().unwrap());

    let mut streams = [
        Sse::open(server.addr, "/api/v1/stream", &[("x-api-key", &secret)]).unwrap(),
        Sse::open(server.addr, "/api/v1/stream", &[("cookie", &cookie)]).unwrap(),
        Sse::open(server.addr, &with_ticket, &[]).unwrap(),
    ];
    let mut socket = Ws::open(server.addr, "/api/v1/ws", &[("cookie", &cookie)]).unwrap();
    let mut other = Sse::open(server.addr, "/api/v1/stream", &[("x-api-key", READER)]).unwrap();
    for it in streams.iter_mut().chain([&mut other]) {
        it.until("hello");
    }
    assert_eq!(socket.json()["type"], "hello");

    let url = format!("http://{}", server.addr);
    let arguments = ["token", "revoke", "wall", "--url", &url, "--token", ADMIN];
    let output = cli(&arguments, &Settings::new(), "");
    let started = Instant::now();
    assert!(output.status.success(), "{output:?}");
    for it in &mut streams {
        assert_eq!(it.until("close").data["reason"], "unauthorized");
        assert!(it.next().unwrap().is_none());
    }
    let (code, reason) = socket.closed();
    assert_eq!((code, &reason["reason"]), (1008, &json!("unauthorized")));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    server.client().with_header("cookie", &cookie).get("/api/v1/events").expect(401);
    let unused = format!("/api/v1/stream?ticket={}", unused["ticket"].as_str().unwrap());
    server.client().get(&unused).expect(401);

    // Another's stream goes on.
    let event = json!({"event_type": "t", "source": "s", "data": {"n": 7}});
    admin.event(&event).expect(202);
    assert_eq!(other.numbers(1), [7]);
}

#[test]
fn web_sockets_have_the_same_events() {
    let settings = Settings::new().env("OBSERVATORY_STREAM_HEARTBEAT", "300ms");
    let mut server = Server::start_with(settings);
    let send = |server: &Server, n: u64| {
        let kind = if n.is_multiple_of(2) { "even" } else { "odd" };
        let event = json!({"event_type": kind, "source": "s", "data": {"n": n}});
        server.client().event(&event).expect(202);
    };
    for n in 1..=120 {
        send(&server, n);
    }
    let mut socket = Ws::open(server.addr, "/api/v1/ws?since=100&type=even", &[]).unwrap();
    let hello = socket.json();
    assert_eq!(
        (&hello["type"], &hello["sequence"], &hello["newest"]),
        (&json!("hello"), &json!(100), &json!(120))
    );
    for n in (102..=120).step_by(2) {
        let message = socket.json();
        assert_eq!((&message["seq"], &message["event"]["data"]["n"]), (&json!(n), &json!(n)));
    }
    let shown = server.client().get("/api/v1/events?limit=1").expect(200).json();
    let mut all = Ws::open(server.addr, "/api/v1/ws?history=1", &[]).unwrap();
    all.json();
    assert_eq!(all.json()["event"], shown["events"][0]);
    loop {
        let message = socket.json();
        if message["type"] == "heartbeat" {
            assert_eq!(message["sequence"], 120);
            break;
        }
    }
    socket.say("ping");
    while socket.hear().unwrap() != Said::Text("pong".to_owned()) {}

    // As an older server has it: bare events, the last hundred first.
    let mut old = Ws::open(server.addr, "/ws", &[]).unwrap();
    for n in 21..=120 {
        let event = old.json();
        assert_eq!((&event["data"]["n"], &event["metadata"]["sequence"]), (&json!(n), &json!(n)));
        assert_eq!(event["type"], if n % 2 == 0 { "even" } else { "odd" });
    }
    send(&server, 121);
    assert_eq!(old.json()["data"]["n"], 121);
    old.say("ping");
    while old.hear().unwrap() != Said::Text("pong".to_owned()) {}

    server.signal("-TERM");
    let (code, reason) = socket.closed();
    assert_eq!((code, reason), (1001, json!({"reason": "stopping", "since": 121})));
    assert_eq!(server.wait().code(), Some(0));
}
