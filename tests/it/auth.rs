//! Who may do what, over the real server.

use crate::support::{Server, Settings, all_bytes, refused};
use base64::Engine;
use serde_json::json;
use std::fs;

const SECRET: &str = "planted-secret-0123456789";

#[test]
fn a_token_is_taken_from_every_carrier_and_nothing_else() {
    let server = Server::start_with(Settings::new().token(SECRET));
    let event = json!({"event_type": "t", "source": "s", "data": {}}).to_string();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("anyone:{SECRET}"));
    let carriers = [
        ("authorization", format!("Bearer {SECRET}"), 202),
        ("authorization", format!("bearer {SECRET}"), 202),
        ("x-api-key", SECRET.to_owned(), 202),
        ("authorization", format!("Basic {basic}"), 202),
        ("authorization", "Bearer wrong".to_owned(), 401),
        ("authorization", format!("Bearer {SECRET}x"), 401),
        ("authorization", "Basic !!!".to_owned(), 401),
        ("x-nothing", "x".to_owned(), 401),
    ];
    for (name, value, status) in &carriers {
        let headers = [("content-type", "application/json"), (*name, value.as_str())];
        let answer = server.client().request("POST", "/api/v1/events", &headers, event.as_bytes());
        assert_eq!(answer.status, *status, "{name}: {value}: {}", answer.text());
        if *status == 401 {
            assert!(!answer.header("www-authenticate").is_empty(), "{answer:?}");
        }
    }
    // Whether it lives is everybody's business; what it knows is not.
    server.client().get("/-/healthy").expect(200);
    server.client().get("/-/ready").expect(200);
    server.client().get("/health").expect(200);
    server.client().get("/api/v1/events").expect(401);
    let mut reader = server.client().with_header("authorization", &format!("Bearer {SECRET}"));
    let page = reader.get("/api/v1/events?limit=100").expect(200).json();
    assert_eq!(page["events"].as_array().unwrap().len(), 4);
    let metrics = reader.get("/metrics").expect(200).text();
    assert!(!metrics.contains(SECRET));
    assert!(!server.log().contains(SECRET), "{}", server.log());
}

/// Role by role: what each may do.
#[test]
fn roles_open_what_they_name() {
    let roles = ["ingest", "read", "control", "admin"];
    let secret = |role: &str| format!("a-long-enough-secret-for-{role}");
    let mut config = "auth:\n  tokens:\n".to_owned();
    for role in roles {
        config.push_str(&format!(
            "    - {{name: {role}, roles: [{role}], token: {}}}\n",
            secret(role)
        ));
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("observatory.yml");
    fs::write(&file, config).unwrap();
    let server = Server::start_with(Settings::new().flag("--config").flag(file.to_str().unwrap()));

    let event = json!({"event_type": "t", "source": "s", "data": {}}).to_string();
    let routes = [
        ("POST", "/api/v1/events", event.as_str(), ["ingest", "control", "admin"].as_slice()),
        ("POST", "/api/events", &event, &["ingest", "control", "admin"]),
        ("GET", "/api/v1/events", "", &["read", "control", "admin"]),
        ("POST", "/-/reload", "", &["control", "admin"]),
    ];
    for (method, path, body, allowed) in routes {
        for role in roles {
            let bearer = format!("Bearer {}", secret(role));
            let headers = [("content-type", "application/json"), ("authorization", &bearer)];
            let answer = server.client().request(method, path, &headers, body.as_bytes());
            if allowed.contains(&role) {
                assert!(answer.status < 300, "{role} {method} {path}: {}", answer.text());
            } else {
                assert_eq!(answer.status, 403, "{role} {method} {path}: {}", answer.text());
            }
        }
        let answer = server.client().request(method, path, &[], body.as_bytes());
        assert_eq!(answer.status, 401, "nobody {method} {path}");
    }
}

#[test]
fn a_public_address_without_a_token_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let public = |settings: Settings| {
        settings.flag("--listen").flag("0.0.0.0:0").flag("--data-dir").flag(data.to_str().unwrap())
    };
    let (code, said) = refused(&public(Settings::new()));
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("--no-auth"), "{said}");
    // With a token or against better knowledge it starts.
    let elsewhere = |it: Settings| it.flag("--listen").flag("0.0.0.0:0");
    drop(Server::start_with(elsewhere(Settings::new().token(SECRET))));
    drop(Server::start_with(elsewhere(Settings::new().flag("--no-auth"))));
}

#[test]
fn no_secret_is_left_in_the_data_directory() {
    let mut server = Server::start_with(Settings::new().token(SECRET));
    let mut client = server.client().with_header("x-api-key", SECRET);
    client.event(&json!({"event_type": "t", "source": "s", "data": {}})).expect(202);
    server.terminate();
    let bytes = all_bytes(&server.data_dir());
    let found = bytes.windows(SECRET.len()).any(|it| it == SECRET.as_bytes());
    assert!(!found, "the token stands in the data directory in plain text");
}
