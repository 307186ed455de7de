//! The client against servers that answer what they are told to.

use super::*;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread::{self, JoinHandle},
};

/// A server that gives `answers` one by one and returns what it was sent, head and body.
pub(in crate::cli) fn serve(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = thread::spawn(move || {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut request = String::new();
            let mut len = 0;
            while !request.ends_with("\r\n\r\n") {
                let from = request.len();
                assert!(reader.read_line(&mut request).unwrap() > 0);
                let line = request[from..].to_ascii_lowercase();
                if let Some(it) = line.strip_prefix("content-length:") {
                    len = it.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; len];
            reader.read_exact(&mut body).unwrap();
            request.push_str(&String::from_utf8(body).unwrap());
            requests.push(request);
            stream.write_all(answer.as_bytes()).unwrap();
        }
        requests
    });
    (url, thread)
}

pub(in crate::cli) fn http(status: &str, headers: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {len}\r\n\r\n{body}"
    )
}

fn send(url: &str, timeout: f64, environment: &[(&str, &str)]) -> (Result<String, Error>, String) {
    let (mut session, _, err) = Session::recorded(environment, "");
    let args = Args {
        url: Some(url.to_owned()),
        token: None,
        timeout: Some(Duration::from_secs_f64(timeout)),
    };
    let client = Client::new(&args, &session).unwrap();
    let body = Some(("application/json", "{}".to_owned()));
    let request = Request { method: Method::POST, path: "/x", body };
    let result = block_on(client.send(&request, &mut session));
    (result, err.text())
}

#[test]
fn what_may_pass_is_tried_again() {
    let (url, server) = serve(vec![
        http("503 Service Unavailable", "retry-after: 0\r\n", "{}"),
        http("429 Too Many Requests", "", ""),
        http("202 Accepted", "", "yes"),
    ]);
    let (result, _) = send(&url, 10.0, &[("OBSERVATORY_TOKEN", "admin:first,second")]);
    assert_eq!(result.unwrap(), "yes");
    let requests = server.join().unwrap();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|it| it.contains("authorization: Bearer first\r\n")));
}

#[track_caller]
fn check_final(status: &str, body: &str, code: u8, words: &str) {
    let (url, server) = serve(vec![http(status, "", body)]);
    let err = send(&url, 10.0, &[]).0.unwrap_err();
    server.join().unwrap();
    assert_eq!(err.exit_code(), code, "{err}");
    assert!(err.to_string().contains(words), "{err}");
}

#[test]
fn what_will_not_pass_is_final() {
    let body = r#"{"error":"invalid_event","message":"no type","fields":[]}"#;
    check_final("400 Bad Request", body, 1, "400 Bad Request: no type");
    check_final("401 Unauthorized", "{}", 77, "OBSERVATORY_TOKEN");
    check_final("403 Forbidden", "{}", 77, "--token");
    check_final("404 Not Found", "<html>", 1, "<html>");
    check_final("302 Found", "", 1, "302");
}

#[test]
fn a_server_that_is_not_there_is_explained() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (result, notes) = send(&url, 1.5, &[]);
    let err = result.unwrap_err();
    assert_eq!(err.exit_code(), 69);
    assert!(err.to_string().contains("observatory serve"), "{err}");
    assert_eq!(notes.matches("trying again").count(), 1, "{notes}");
}

#[test]
fn a_long_pause_is_not_waited_for_in_vain() {
    let (url, server) = serve(vec![http("503 Service Unavailable", "retry-after: 3600\r\n", "")]);
    let started = Instant::now();
    assert_eq!(send(&url, 5.0, &[]).0.unwrap_err().exit_code(), 69);
    assert!(started.elapsed() < Duration::from_secs(3));
    server.join().unwrap();
}

#[test]
fn urls() {
    assert_eq!(base_url("http://x:1/").unwrap(), "http://x:1");
    assert_eq!(base_url("127.0.0.1:9091").unwrap(), "http://127.0.0.1:9091");
    assert_eq!(base_url("https://x/obs/").unwrap(), "https://x/obs");
    assert!(base_url("ftp://x").is_err() && base_url("http://").is_err());
    assert!(is_loopback("http://[::1]:9091") && !is_loopback("http://example.org"));
}
