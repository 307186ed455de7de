//! The logs of services, as an older service has them.

use crate::support::{Client, Server, Settings};
use serde_json::{Value, json};

fn post(client: &mut Client, log: &Value) -> u64 {
    let answer =
        client.post("/logs", "application/json", log.to_string().as_bytes()).expect(200).json();
    assert_eq!(answer["status"], "created");
    answer["id"].as_u64().unwrap()
}

fn ids(logs: &Value) -> Vec<u64> {
    logs.as_array().unwrap().iter().map(|it| it["id"].as_u64().unwrap()).collect()
}

fn time(log: &Value) -> &str {
    log["timestamp"].as_str().unwrap()
}

/// Posts logs of every kind; as they must be listed, oldest first.
fn sixty(client: &mut Client) -> Vec<Value> {
    let mut sent = Vec::new();
    for n in 0..60_u64 {
        let service = ["web", "api", "o/r"][usize::try_from(n % 3).unwrap()];
        let status = [200, 201, 503, 404][usize::try_from(n % 4).unwrap()];
        let kind = [json!("PushEvent"), json!("ForkEvent"), Value::Null]
            [usize::try_from(n / 2 % 3).unwrap()]
        .clone();
        let time = format!("2026-01-05T10:{n:02}:00");
        let mut log = json!({"service_name": service, "status_code": status, "latency_ms": n as f64 + 0.5, "timestamp": time});
        if !kind.is_null() {
            log["event_type"] = kind.clone();
        }
        let id = post(client, &log);
        log["id"] = id.into();
        log["event_type"] = kind;
        log["timestamp"] = format!("{time}Z").into();
        sent.push(log);
    }
    sent
}

#[test]
fn each_filter_alone_and_together() {
    let server = Server::start();
    let mut client = server.client();
    let mut sent = sixty(&mut client);
    assert!(ids(&Value::from(sent.clone())).is_sorted_by(|a, b| a < b), "ids rise");
    // Another event is no log.
    client
        .event(&json!({"event_type": "deploy", "source": "web", "data": {"status_code": 200}}))
        .expect(202);
    sent.reverse();

    let mut check = |question: &str, wanted: &dyn Fn(&Value) -> bool, skip: usize, limit: usize| {
        let expected: Vec<_> =
            sent.iter().filter(|it| wanted(it)).skip(skip).take(limit).cloned().collect();
        for path in ["/logs", "/api/v1/logs"] {
            let found = client.get(&format!("{path}?{question}")).expect(200).json();
            assert_eq!(found, Value::from(expected.clone()), "{path}?{question}");
        }
        expected.len()
    };
    let any = |_: &Value| true;
    check("", &any, 0, 20);
    check("limit=100", &any, 0, 100);
    check("limit=7&offset=55", &any, 55, 7);
    check("offset=60", &any, 60, 20);
    let all = "limit=100&";
    assert_eq!(
        check(&format!("{all}service_name=o%2Fr"), &|it| it["service_name"] == "o/r", 0, 100),
        20
    );
    assert_eq!(check(&format!("{all}status_code=503"), &|it| it["status_code"] == 503, 0, 100), 15);
    assert_eq!(
        check(&format!("{all}event_type=PushEvent"), &|it| it["event_type"] == "PushEvent", 0, 100),
        20
    );
    let late = |it: &Value| time(it) >= "2026-01-05T10:30:00Z";
    assert_eq!(check(&format!("{all}start_time=2026-01-05T10:30:00"), &late, 0, 100), 30);
    let early = |it: &Value| time(it) <= "2026-01-05T10:30:00Z";
    assert_eq!(check(&format!("{all}end_time=2026-01-05T10:30:00Z"), &early, 0, 100), 31);
    let together = |it: &Value| {
        it["service_name"] == "web"
            && it["status_code"] == 200
            && it["event_type"] == "PushEvent"
            && late(it)
    };
    let question = "service_name=web&status_code=200&event_type=PushEvent&start_time=2026-01-05T10:30:00&limit=2&offset=1";
    check(question, &together, 1, 2);
    check("service_name=none", &|_| false, 0, 20);
    check("service_name=&status_code=&_=123", &any, 0, 20);
}

#[test]
fn feed_summary_and_wrapped_list() {
    let server = Server::start();
    let mut client = server.client();
    let empty = client.get("/logs/summary").expect(200).json();
    assert_eq!(
        empty,
        json!({"total_logs": 0, "error_rate_percent": 0.0, "status_code_breakdown": {}, "event_type_breakdown": {}})
    );
    assert_eq!(client.get("/logs").expect(200).json(), json!([]));
    let log = |status: u64, kind: Option<&str>| json!({"service_name": "web", "status_code": status, "latency_ms": 1, "event_type": kind});
    let mut posted: Vec<_> =
        [log(200, Some("PushEvent")), log(201, None), log(503, Some("PushEvent"))]
            .iter()
            .map(|it| post(&mut client, it))
            .collect();
    for path in ["/logs/summary", "/api/v1/logs/summary"] {
        let answer = client.get(path).expect(200).json();
        assert_eq!(
            answer,
            json!({"total_logs": 3, "error_rate_percent": 33.33,
            "status_code_breakdown": {"200": 1, "201": 1, "503": 1},
            "event_type_breakdown": {"PushEvent": 2, "Unknown": 1}})
        );
    }
    let some = client.get("/logs/summary?status_code=503").expect(200).json();
    assert_eq!((&some["total_logs"], &some["error_rate_percent"]), (&json!(1), &json!(100.0)));
    for _ in 0..30 {
        posted.push(post(&mut client, &log(200, None)));
    }
    posted.reverse();
    assert_eq!(ids(&client.get("/logs/live-feed?limit=2").expect(200).json()), posted[..2]);
    assert_eq!(ids(&client.get("/api/v1/logs/live").expect(200).json()), posted[..25]);
    let wrapped = client.get("/api/v1/monitoring/logs?service_name=web&limit=3").expect(200).json();
    assert_eq!(ids(&wrapped["logs"]), posted[..3]);
    assert_eq!(
        (&wrapped["total"], &wrapped["query"]),
        (&json!(33), &json!({"service_name": "web", "limit": "3"}))
    );
    // A log is an event, and can be asked for as one.
    let events = client.get("/api/v1/events?type=log&limit=1").expect(200).json();
    assert_eq!(events["events"][0]["source"], "web");
    assert_eq!(events["events"][0]["sequence"], posted[0]);
}

#[test]
fn what_is_wrong_is_422_and_says_where() {
    let server = Server::start();
    let mut client = server.client();
    let mut check = |body: &str, kind: &str, place: &[&str]| {
        let answer = client.post("/logs", "application/json", body.as_bytes()).expect(422).json();
        let detail = &answer["detail"][0];
        assert_eq!((&detail["type"], &detail["loc"]), (&json!(kind), &json!(place)), "{answer}");
        assert!(detail["msg"].is_string() && answer["error"] == "invalid_log");
    };
    check("{", "json_invalid", &["body"]);
    check("[]", "model_attributes_type", &["body"]);
    check(r#"{"service_name":"a","latency_ms":1}"#, "missing", &["body", "status_code"]);
    check(
        r#"{"service_name":"a","status_code":"x","latency_ms":1}"#,
        "int_parsing",
        &["body", "status_code"],
    );
    check(
        r#"{"service_name":"a","status_code":200,"latency_ms":"fast"}"#,
        "float_parsing",
        &["body", "latency_ms"],
    );
    check(
        r#"{"service_name":7,"status_code":200,"latency_ms":1}"#,
        "string_type",
        &["body", "service_name"],
    );
    for (question, kind, name) in [
        ("limit=0", "greater_than", "limit"),
        ("limit=many", "int_parsing", "limit"),
        ("offset=-1", "greater_than_equal", "offset"),
        ("status_code=ok", "int_parsing", "status_code"),
        ("start_time=soon", "datetime_parsing", "start_time"),
    ] {
        for path in ["/logs", "/logs/live-feed", "/logs/summary"] {
            let answer = client.get(&format!("{path}?{question}")).expect(422).json();
            let detail = &answer["detail"][0];
            assert_eq!(
                (&detail["type"], &detail["loc"]),
                (&json!(kind), &json!(["query", name])),
                "{answer}"
            );
        }
    }
    assert_eq!(client.get("/logs").expect(200).json(), json!([]), "nothing was stored");
}

#[test]
fn services_appear_with_their_first_log_and_keep_their_owner() {
    let mut server = Server::start_with(Settings::new());
    let mut client = server.client();
    let log = |service: &str| json!({"service_name": service, "status_code": 200, "latency_ms": 1});
    post(&mut client, &log("web"));
    post(&mut client, &log("o/r"));
    post(&mut client, &log("web"));
    // Sent as an event, it is a log all the same.
    client
        .event(&json!({"event_type": "log", "source": "api", "data": {"status_code": 200}}))
        .expect(202);
    let services = client.get("/api/v1/services").expect(200).json();
    assert_eq!(
        services,
        json!({"services": [
            {"id": 3, "name": "api", "team_owner": null},
            {"id": 2, "name": "o/r", "team_owner": null},
            {"id": 1, "name": "web", "team_owner": null},
        ]})
    );
    let put = |client: &mut Client, path: &str, body: &str| {
        client.request("PUT", path, &[], body.as_bytes())
    };
    let set = put(&mut client, "/api/v1/services/o%2Fr", r#"{"team_owner":"Payments Team"}"#)
        .expect(200)
        .json();
    assert_eq!(set, json!({"id": 2, "name": "o/r", "team_owner": "Payments Team"}));
    put(&mut client, "/api/v1/services/web", "{}").expect(400);
    put(&mut client, "/api/v1/services/web", r#"{"owner":"x"}"#).expect(400);
    put(&mut client, "/api/v1/services/web", r#"{"team_owner":""}"#).expect(400);
    server.kill9();
    server.restart();
    let services = server.client().get("/api/v1/services").expect(200).json();
    assert_eq!(services["services"][1], set);
    assert_eq!(services["services"].as_array().unwrap().len(), 3);
}
