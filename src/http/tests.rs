use super::endpoint::Connection;
use super::gate::{Access, Gate};
use super::routes::routes;
use super::*;
use crate::alerting;
use crate::event::Time;
use crate::notify;
use crate::notify::Outbox;
use crate::pipeline;
use crate::store;
use crate::store::Store;
use crate::tokens;
use crate::tokens::{Open, Role, StaticToken};
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

const SECRETS: [(Role, &str); 4] = [
    (Role::Ingest, "secret-ingest"),
    (Role::Read, "secret-read"),
    (Role::Control, "secret-control"),
    (Role::Admin, "secret-admin"),
];

fn store() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Store::open(&store::Config::new(dir.path().to_owned())).unwrap(), dir)
}

fn tokens(store: Store, open: Open) -> Tokens {
    let token = |(role, secret): (Role, &str)| StaticToken {
        name: role.as_str().to_owned(),
        roles: role.into(),
        secret: secret.to_owned(),
    };
    let tokens = SECRETS.into_iter().map(token).collect();
    Tokens::open(store, tokens::Config { tokens, open }).unwrap()
}

fn gate(open: Open, config: &Config) -> (Gate, tempfile::TempDir) {
    let (store, dir) = store();
    let metrics = Metrics::register(&mut Registry::default());
    (Gate::new(tokens(store, open), metrics, config), dir)
}

fn bearer(secret: &str) -> HeaderMap {
    let value = format!("Bearer {secret}").parse().unwrap();
    HeaderMap::from_iter([(header::AUTHORIZATION, value)])
}

/// The status that each caller gets at the gate: no token, a wrong one, one of each role.
fn statuses(gate: &Gate, access: Access, method: &Method) -> Vec<u16> {
    let none = HeaderMap::new();
    let callers = [none, bearer("wrong")].into_iter().chain(SECRETS.map(|(_, it)| bearer(it)));
    let status = |headers: HeaderMap| {
        gate.admit(access, (method, &Uri::default()), &headers, Time::default())
            .map_or_else(|it| it.status().as_u16(), |_| 200)
    };
    callers.map(status).collect()
}

#[test]
fn every_route_and_every_role() {
    let (gate, _dir) = gate(Open::Never, &Config::default());
    for route in routes() {
        let expected: [u16; 6] = match (route.path, &route.methods[0]) {
            ("/" | "/assets/{name}" | "/metrics" | "/openapi.json", _)
            // Who shows no token there is told so by the handler.
            | ("/health" | "/-/healthy" | "/-/ready" | "/api/v1/session", _) => [200; 6],
            ("/api/v1/events" | "/api/v1/events/batch" | "/api/v1/logs", &Method::POST)
            | ("/metrics/job/{grouping}" | "/api/v1/alertmanager", _)
            | ("/api/v2/alerts", &Method::POST)
            | ("/api/v1/push/groups", &Method::DELETE) => [401, 401, 200, 403, 200, 200],
            ("/api/v1/events" | "/api/v1/events/{id}" | "/api/v1/logs", &Method::GET)
            | ("/api/v1/events/summary" | "/api/v1/events/export" | "/api/v1/services", _)
            | ("/api/v1/logs/summary" | "/api/v1/logs/live" | "/api/v1/export/openmetrics", _)
            | ("/api/v1/rules" | "/api/v1/rules/explain" | "/api/v1/status", _)
            | ("/api/v1/stream" | "/api/v1/ws" | "/api/v1/stream/ticket", _)
            | ("/api/v1/metrics" | "/api/v1/alerts" | "/api/v1/sd/agents" | "/api/v1/monitoring/ws/alerts", _)
            | ("/api/v1/monitoring/ws/metrics" | "/api/v1/monitoring/ws/topology", _)
            | ("/api/v2/status" | "/api/v2/receivers" | "/api/v2/alerts/groups", _)
            | ("/api/v2/alerts" | "/api/v2/silences" | "/api/v2/silence/{id}", &Method::GET)
            | ("/api/v1/monitoring/alerts" | "/api/v1/monitoring/alerts/history", _)
            | ("/api/v1/monitoring/alerts/{id}" | "/api/v1/monitoring/alert-rules", &Method::GET)
            | ("/api/v1/monitoring/alert-rules/{id}", &Method::GET)
            | ("/api/v1/monitoring/alert-rules/{id}/evaluate", _)
            | ("/api/v1/monitoring/alert-rules/preview", _)
            | ("/api/v1/push/groups", &Method::GET) => [401, 401, 403, 200, 200, 200],
            ("/-/reload" | "/api/v1/services/{name}" | "/api/v1/rules/replay", _)
            | ("/api/v1/monitoring/alerts/{id}" | "/api/v1/monitoring/alert-rules", _)
            | ("/api/v1/monitoring/alerts/{id}/acknowledge", _)
            | ("/api/v1/monitoring/alerts/{id}/resolve", _)
            | ("/api/v1/monitoring/alerts/{id}/silence", _)
            | ("/api/v1/monitoring/alert-rules/{id}", _)
            | ("/api/v2/silences" | "/api/v2/silence/{id}", _)
            | ("/api/v1/maintenance/prune" | "/-/quit", _) => [401, 401, 403, 403, 200, 200],
            (path, method) if path.starts_with("/api/v1/monitoring/notifications") => {
                if *method == Method::GET {
                    [401, 401, 403, 200, 200, 200]
                } else {
                    [401, 401, 403, 403, 200, 200]
                }
            }
            (path, _) if path.starts_with("/api/v1/monitoring/notification-channels") => {
                [401, 401, 403, 403, 403, 200]
            }
            ("/api/v1/tokens" | "/api/v1/tokens/{id}" | "/api/v1/maintenance/backup", _)
            | ("/api/v1/admin/wipe", _) => [401, 401, 403, 403, 403, 200],
            (path, method) => panic!("say who may {method} {path}"),
        };
        for method in route.methods {
            assert_eq!(statuses(&gate, route.access, method), expected, "{method} {}", route.path);
        }
    }
}

#[test]
fn scrapes_can_be_closed() {
    let config = Config { metrics_auth: true, ..Config::default() };
    let (gate, _dir) = gate(Open::Never, &config);
    assert_eq!(statuses(&gate, Access::Scrape, &Method::GET), [401, 401, 403, 200, 200, 200]);
}

#[test]
fn without_a_token_other_sites_may_only_look() {
    let (gate, _dir) = gate(Open::Always, &Config::default());
    let status = |method: Method| {
        let headers =
            HeaderMap::from_iter([(header::ORIGIN, "http://evil.example".parse().unwrap())]);
        let uri = Uri::default();
        let read = Access::Role(Role::Read);
        let res = gate.admit(read, (&method, &uri), &headers, Time::default());
        res.map_or_else(|it| it.status().as_u16(), |_| 200)
    };
    assert_eq!((status(Method::GET), status(Method::POST)), (200, 403));
}

#[test]
fn the_gate_has_so_many_places() {
    let config = Config { concurrent_requests: 2, ..Config::default() };
    let (gate, _dir) = gate(Open::Always, &config);
    let (get, uri) = (Method::GET, Uri::default());
    let admit = |access| gate.admit(access, (&get, &uri), &HeaderMap::new(), Time::default());
    let read = Access::Role(Role::Read);
    let first = admit(read).unwrap();
    let _second = admit(read).unwrap();
    let refused = admit(read).unwrap_err().into_response();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
    assert!(admit(Access::Public).is_ok() && admit(Access::Scrape).is_ok());
    drop(first);
    assert!(admit(read).is_ok());
}

#[test]
fn the_documentation_names_every_route() {
    let docs = include_str!("../../docs/api.md");
    for RouteInfo { path, method, .. } in route_infos() {
        let path = format!("`{path}`");
        let named = docs.lines().any(|it| it.contains(&path) && it.contains(method));
        assert!(named, "docs/api.md lacks {method} {path}");
    }
}

#[test]
fn no_method_and_path_stands_twice() {
    let mut seen = std::collections::BTreeSet::new();
    for RouteInfo { path, method, .. } in route_infos() {
        assert!(seen.insert((path, method)), "{method} {path}");
    }
}

// === through the router ===

struct App {
    surface: Surface,
    registry: Registry,
    stopping: CancellationToken,
    _dir: tempfile::TempDir,
}

impl App {
    fn new(config: Config) -> Self {
        let (store, dir) = store();
        let pipeline = Pipeline::open(&pipeline::Config::default(), &store).unwrap();
        let tokens = tokens(store.clone(), Open::Always);
        let services = Services::open(store.clone()).unwrap();
        let outbox = Outbox::open(store.clone(), notify::Config::new(pipeline::now)).unwrap();
        let now = pipeline.now();
        let alerting =
            Alerting::open(store, alerting::Config::default(), outbox.clone(), 1, now).unwrap();
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let stopping = CancellationToken::new();
        let quit = CancellationToken::new();
        let stop = stopping.clone();
        let tasks = TaskTracker::new();
        let parts = Parts {
            pipeline,
            alerting,
            tokens,
            services,
            outbox,
            metrics,
            config,
            stopping: stop,
            quit,
            tasks,
        };
        let surface = surface(parts);
        Self { surface, registry, stopping, _dir: dir }
    }

    /// Status, some headers, and body of the answer to `request`: `METHOD /path`, then headers.
    async fn send(&self, request: &str, body: impl Into<Body>) -> String {
        let mut lines = request.lines().map(str::trim);
        let (method, uri) = lines.next().unwrap().split_once(' ').unwrap();
        let mut builder = Request::builder().method(method).uri(uri);
        for (name, value) in lines.filter_map(|it| it.split_once(": ")) {
            builder = builder.header(name, value);
        }
        let response =
            self.surface.answer(builder.body(body.into()).unwrap(), Connection::default()).await;
        let (head, body) = response.into_parts();
        let mut res = head.status.as_u16().to_string();
        let shown =
            [header::ALLOW, header::RETRY_AFTER, header::ACCEPT_ENCODING, header::CONTENT_ENCODING];
        for name in shown {
            if let Some(value) = head.headers.get(&name) {
                res += &format!(" [{name}: {}]", value.to_str().unwrap());
            }
        }
        let body = body.collect().await.unwrap().to_bytes();
        if !body.is_empty() {
            res += " ";
            res += &String::from_utf8_lossy(&body);
        }
        res
    }
}

/// Sends `request` with `body` to a fresh server; the answer must contain all of `expected`.
#[track_caller]
fn check(request: &str, body: &str, expected: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let app = App::new(Config { body_bytes: 1000, ..Config::default() });
    let res = runtime.block_on(app.send(request, body.to_owned()));
    for part in expected {
        assert!(res.contains(part), "{request}\n{body}\nanswers: {res}\nwithout: {part}");
    }
}

#[test]
fn what_is_not_there() {
    check("GET /nothing", "", &["404 ", "\"error\":\"not_found\"", "/nothing", "/openapi.json"]);
    check("GET /api/v1/eventz?x=%22", "", &["404 "]);
    check(
        "DELETE /api/v1/events",
        "",
        &["405 [allow: GET, HEAD, OPTIONS, POST]", "\"error\":\"method_not_allowed\""],
    );
    check("OPTIONS /api/v1/tokens/x", "", &["204 [allow: DELETE, OPTIONS]"]);
    check("POST /metrics", "", &["405 [allow: GET, HEAD, OPTIONS]"]);
}

#[test]
fn events_that_are_refused() {
    let send = |body: &str, expected: &[&str]| {
        check("POST /api/v1/events\ncontent-type: application/json", body, expected);
    };
    send(
        "{}",
        &[
            "400 ",
            r#"{"error":"invalid_event","message":"event_type is required","fields":[{"field":"event_type","reason":"is required"}],"detail":"event_type is required"}"#,
        ],
    );
    send("", &["400 ", "the body is empty"]);
    send("{\"a\":\n}", &["400 ", "\"error\":\"invalid_json\"", "line 2 column 1"]);
    send(
        "[{},{\"type\":1}]",
        &[
            "400 ",
            "\"error\":\"invalid_events\"",
            "2 of 2 events are wrong; nothing was accepted",
            r#""rejected":[{"index":0,"error":"event_type is required","fields":[{"field":"event_type","reason":"is required"}]},{"index":1,"#,
        ],
    );
    send(
        &format!("{{\"type\":\"{}\"}}", "x".repeat(1000)),
        &["413 ", "body_too_large", "1000 bytes"],
    );
    check(
        "POST /api/v1/events?atomic=true",
        "[{},{\"type\":\"a\"}]",
        &["400 ", "1 of 2 events are wrong; nothing was accepted", "\"index\":0"],
    );
    check("POST /api/v1/events?atomic=maybe", "{}", &["400 ", "must be true or false"]);
    check("POST /api/v1/events/batch", "{}", &["400 ", "invalid_events", "\"index\":0"]);
    check(
        "POST /api/v1/events\ncontent-type: text/html",
        "{}",
        &["415 ", "unsupported_media_type"],
    );
    check(
        "POST /api/v1/events\ncontent-encoding: compress",
        "{}",
        &["415 [accept-encoding: gzip, zstd"],
    );
    check("POST /api/v1/events\ncontent-encoding: gzip", "{}", &["400 ", "invalid_encoding"]);
    check("POST /api/v1/events\ncontent-length: 1001", "{}", &["413 "]);
}

#[test]
fn questions_that_are_refused() {
    check("GET /api/v1/events?limit=0", "", &["400 ", "invalid_parameter", "limit"]);
    check("POST /api/v1/rules/explain", "[]", &["400 ", "exactly one event"]);
    check("POST /api/v1/tokens", "{\"name\":\"a\",\"roles\":[\"root\"]}", &["400 ", "is no role"]);
    check("POST /api/v1/tokens", "{\"name\":\"a b\",\"roles\":[\"read\"]}", &["400 ", "name"]);
    check("POST /api/v1/tokens", "{\"nam\":1}", &["400 ", "invalid_json"]);
    check("DELETE /api/v1/tokens/nobody", "", &["404 ", "nobody"]);
    check("DELETE /api/v1/tokens/admin", "", &["409 ", "configuration"]);
}

#[test]
fn pages_that_need_nothing() {
    check("GET /", "", &["200 <!doctype html>", "/api/v1/events"]);
    check("GET /openapi.json", "", &["200 {", "\"openapi\":\"3.1.0\""]);
    let asks = "OPTIONS /api/v1/events\nwebhook-request-origin: eventgrid.example";
    check(asks, "", &["204 "]);
}

#[tokio::test]
async fn a_token_through_its_life() {
    let app = App::new(Config::default());
    let created = app
        .send("POST /api/v1/tokens", r#"{"name":"ci","roles":["ingest","read"],"expires":"30d"}"#)
        .await;
    assert!(created.starts_with("201 "), "{created}");
    let json: Value = serde_json::from_str(&created[4..]).unwrap();
    let secret = json["token"].as_str().unwrap();
    assert!(secret.starts_with("obs_"));
    assert_eq!(json["roles"], json!(["ingest", "read"]));

    let list = app.send("GET /api/v1/tokens", "").await;
    assert!(list.contains("\"name\":\"ci\"") && !list.contains(secret), "{list}");
    assert!(
        app.send("POST /api/v1/tokens", r#"{"name":"ci","roles":["read"]}"#)
            .await
            .starts_with("409 ")
    );
    let revoked = app.send("DELETE /api/v1/tokens/ci", "").await;
    assert!(revoked.starts_with("200 ") && revoked.contains("\"valid\":false"), "{revoked}");
}

#[tokio::test]
async fn requests_are_counted_by_template() {
    let app = App::new(Config::default());
    app.send("GET /api/events?limit=0", "").await;
    app.send("DELETE /api/v1/tokens/nobody", "").await;
    app.send("GET /some/secret/path", "").await;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &app.registry).unwrap();
    for series in [
        r#"observatory_http_request_duration_seconds_count{route="/api/v1/events",method="GET",code="400"} 1"#,
        r#"observatory_http_request_duration_seconds_count{route="/api/v1/tokens/{id}",method="DELETE",code="404"} 1"#,
        r#"observatory_http_request_duration_seconds_count{route="unmatched",method="any",code="404"} 1"#,
        "observatory_http_requests_in_flight 0",
    ] {
        assert!(text.contains(series), "{series} is not in\n{text}");
    }
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_body_that_never_ends_times_out() {
    let config = Config { body_timeout: Duration::from_millis(20), ..Config::default() };
    let app = App::new(config);
    let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
    let res = app.send("POST /api/v1/events", Body::from_stream(never)).await;
    assert!(res.starts_with("408 "), "{res}");
}

#[tokio::test]
async fn bodies_share_a_budget() {
    let config = Config { bodies_bytes: 100, ..Config::default() };
    let app = App::new(config);
    let res = app.send("POST /api/v1/events", "x".repeat(101)).await;
    assert!(res.starts_with("503 [retry-after: 1]"), "{res}");
    let res = app.send("POST /api/v1/events", "x".repeat(100)).await;
    assert!(res.starts_with("400 "), "the share was given back: {res}");
}

impl App {
    /// The JSON of the answer to `request`, which must have this status.
    async fn json(&self, status: u16, request: &str, body: &str) -> Value {
        let res = self.send(request, body.to_owned()).await;
        let body =
            res.strip_prefix(&format!("{status} ")).unwrap_or_else(|| panic!("{request}: {res}"));
        serde_json::from_str(body).unwrap()
    }
}

#[tokio::test]
async fn an_event_is_accepted_shown_and_counted() {
    let app = App::new(Config::default());
    let body = r#"{"event_type":"test_event","source":"manual_test","id":"a/1","data":{"n":12345678901234567890}}"#;
    let sent = app.json(202, "POST /api/events", body).await;
    assert_eq!((&sent["event_id"], &sent["status"]), (&json!("a/1"), &json!("accepted")));
    let again = app.json(202, "POST /api/v1/events", body).await;
    assert_eq!(again["status"], "duplicate");

    let event = app.json(200, "GET /api/v1/events/a%2F1", "").await;
    assert_eq!(event["data"].to_string(), r#"{"n":12345678901234567890}"#);
    assert_eq!(
        (&event["type"], &event["received_at"]),
        (&json!("test_event"), &sent["received_at"])
    );
    let page = app.json(200, "GET /api/v1/events?match=test_*{source=%22manual_test%22}", "").await;
    assert_eq!(page, json!({"events": [event], "next": null}));
    let one = app.send("GET /api/v1/events/nobody", "").await;
    assert!(one.starts_with("404 "), "{one}");
}

#[tokio::test]
async fn a_batch_tells_of_each_event() {
    let app = App::new(Config::default());
    let body = r#"[{"type":"a","id":1},{"type":2},{"type":"a","id":1},{"type":"b"}]"#;
    let res = app.json(202, "POST /api/v1/events", body).await;
    let counts = [&res["events_received"], &res["accepted"], &res["duplicates"]];
    assert_eq!(counts, [4, 2, 1]);
    assert_eq!(res["rejected"][0]["index"], 1);
    assert_eq!(res["event_ids"].as_array().unwrap().len(), 3);
    assert_eq!(app.json(202, "POST /api/v1/events", "[]").await["accepted"], 0);
    let one = app.json(202, "POST /api/v1/events/batch", r#"{"type":"c"}"#).await;
    assert_eq!(one["accepted"], 1);
    // More than is parsed where it was read, and compressed.
    let lines = "{\"type\":\"d\",\"data\":{\"text\":\"0123456789\"}}\n".repeat(2_000);
    assert_eq!(app.json(202, "POST /api/v1/events", &lines).await["accepted"], 2_000);
    let zstd = zstd::encode_all(lines.as_bytes(), 1).unwrap();
    let res = app.send("POST /api/v1/events\ncontent-encoding: zstd", zstd).await;
    assert!(res.contains("\"accepted\":2000,"), "{}", &res[..200]);
}

#[tokio::test]
async fn a_cloud_event_in_binary_mode() {
    let app = App::new(Config::default());
    let request = "POST /api/v1/events
        content-type: application/json
        ce-specversion: 1.0
        ce-type: com.example.done
        ce-source: /a%20b
        ce-id: 7";
    app.json(202, request, "{\"x\":1}").await;
    let event = app.json(200, "GET /api/v1/events/7", "").await;
    assert_eq!((&event["source"], &event["data"]), (&json!("/a b"), &json!({"x": 1})));
}

#[tokio::test]
async fn pages_and_history() {
    let app = App::new(Config::default());
    for n in 0..5 {
        let project = if n % 2 == 0 { "A" } else { "B" };
        let body = format!(r#"{{"type":"t","data":{{"n":{n},"project":"{project}"}}}}"#);
        app.json(202, "POST /api/v1/events", &body).await;
    }
    let numbers = |page: &Value| -> Vec<i64> {
        let events = page["events"].as_array().unwrap();
        events.iter().map(|it| it["data"]["n"].as_i64().unwrap()).collect()
    };
    let page = app.json(200, "GET /api/v1/events?limit=3", "").await;
    assert_eq!(numbers(&page), [4, 3, 2]);
    let next = page["next"].as_str().unwrap();
    let page = app.json(200, &format!("GET /api/v1/events?limit=3&cursor={next}"), "").await;
    assert_eq!((numbers(&page), &page["next"]), (vec![1, 0], &Value::Null));
    let page = app.json(200, "GET /api/v1/events?order=asc&limit=2", "").await;
    assert_eq!(numbers(&page), [0, 1]);
    let page = app.json(200, "GET /api/events?limit=2", "").await;
    assert_eq!((numbers(&page), &page["total"]), (vec![3, 4], &json!(5)));
    let page = app.json(200, "GET /api/events?project=B", "").await;
    assert_eq!(numbers(&page), [1, 3]);
}

#[tokio::test]
async fn health_as_each_reader_wants_it() {
    let app = App::new(Config::default());
    let health = app.json(200, "GET /health", "").await;
    assert_eq!(
        (&health["status"], &health["components"]["store"]["status"]),
        (&json!("ok"), &json!("ok"))
    );
    assert_eq!(app.json(200, "GET /api/health", "").await["status"], "healthy");
    assert_eq!(app.json(200, "GET /server/health", "").await, json!({"status": "ok"}));
    assert_eq!(app.send("GET /-/healthy", "").await, "200 OK");
    assert_eq!(app.send("GET /-/ready", "").await, "200 OK");
    assert_eq!(app.json(200, "GET /api/status", "").await["status"], "healthy");
    let status = app.json(200, "GET /api/v1/status", "").await;
    assert!(status["data"]["start_time"].is_string(), "{status}");
    app.stopping.cancel();
    assert_eq!(app.send("GET /-/ready", "").await, "503 the server is stopping\n");
}

#[tokio::test]
async fn scrapes() {
    let app = App::new(Config::default());
    app.json(202, "POST /api/v1/events", r#"{"type":"ci_build_completed"}"#).await;
    for path in ["/metrics", "/api/v1/metrics/prometheus", "/api/v1/monitoring/prometheus"] {
        let page = app.send(&format!("GET {path}"), "").await;
        assert!(page.starts_with("200 # HELP") && page.contains("ci_builds_total{"), "{page}");
    }
    assert_eq!(app.send("HEAD /metrics", "").await, "200");
    let gzip = app.send("GET /metrics\naccept-encoding: gzip", "").await;
    assert!(gzip.starts_with("200 [content-encoding: gzip] \u{1f}"), "{gzip}");
}

#[tokio::test]
async fn rules_are_listed_explained_and_reloaded() {
    let app = App::new(Config::default());
    let rules = app.json(200, "GET /api/v1/rules", "").await;
    assert!(rules["metrics"].as_array().unwrap().len() > 15, "{rules}");
    let event = r#"{"type":"ci_build_completed","data":{"status":"success"}}"#;
    let why = app.json(200, "POST /api/v1/rules/explain", event).await.to_string();
    assert!(why.contains("ci_builds_total"), "{why}");
    let draft = format!(r#"{{"event":{event},"rules":"version: 1\nmetrics: 7\n"}}"#);
    let wrong = app.json(422, "POST /api/v1/rules/explain", &draft).await;
    assert_eq!(wrong["error"], "invalid_rules", "{wrong}");
    let done = app.json(200, "POST /-/reload", "").await;
    assert_eq!((&done["status"], &done["changed"]), (&json!("success"), &json!(false)));
    assert_eq!(app.json(200, "GET /api/v1/events", "").await["events"], json!([]));
}
