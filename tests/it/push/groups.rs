//! Groups chosen by their labels, listed and removed; and what a job may have.

use crate::support::{Client, Peer, Prometheus, Response, Server, Settings, cli};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn server(settings: Settings) -> Server {
    Server::start_with_rules("version: 1\n", settings)
}

fn put(client: &mut Client, path: &str, body: &str) -> Response {
    client.request("PUT", &format!("/metrics/{path}"), &[], body.as_bytes())
}

const PATHS: [&str; 5] = [
    "job/ci-a/branch/main",
    "job/ci-a/branch/dev",
    "job/ci-b/branch/dev/instance/i",
    "job/backup",
    "job/ci/branch@base64/=",
];

fn fill(server: &Server) {
    for path in PATHS {
        put(&mut server.client(), path, "m 1\nn 2\n").expect(200);
    }
}

/// A query with these selectors.
fn query(selectors: &[&str]) -> String {
    let encoded = |it: &&str| {
        let bytes = it.bytes().map(|it| format!("%{it:02x}"));
        format!("match[]={}", bytes.collect::<String>())
    };
    selectors.iter().map(encoded).collect::<Vec<_>>().join("&")
}

fn groups(answer: &Value) -> BTreeSet<String> {
    let groups = answer["groups"].as_array().unwrap();
    groups.iter().map(|it| it["labels"].to_string()).collect()
}

#[test]
fn groups_are_listed_and_removed_by_their_labels() {
    let mut server = server(Settings::new());
    fill(&server);
    let mut client = server.client();
    let all = client.get("/api/v1/push/groups").expect(200).json();
    assert_eq!((all["total"].as_u64(), all["series"].as_u64()), (Some(5), Some(10)));
    assert_eq!(all["truncated"], json!(false));
    let some = client.get("/api/v1/push/groups?limit=2").expect(200).json();
    assert_eq!(
        (&some["total"], &some["truncated"], groups(&some).len()),
        (&all["total"], &json!(true), 2)
    );
    let selectors = [r#"{job=~"ci-.*",branch!="main"}"#, r#"{job="nobody"}"#];
    let found =
        client.get(&format!("/api/v1/push/groups?{}", query(&selectors))).expect(200).json();
    let expected = [
        json!({"branch": "dev", "instance": "i", "job": "ci-b"}).to_string(),
        json!({"branch": "dev", "job": "ci-a"}).to_string(),
    ];
    assert_eq!(groups(&found), BTreeSet::from(expected.clone()));
    let group = &found["groups"][0];
    assert_eq!((&group["series"], &group["failed_at"]), (&json!(2), &Value::Null));
    assert!(group["bytes"].as_u64() > Some(20) && group["pushed_at"].is_string(), "{group}");
    let age = group["age_seconds"].as_f64().unwrap();
    assert!((0.0..60.0).contains(&age), "{group}");

    let path = format!("/api/v1/push/groups?{}", query(&selectors));
    let trial =
        client.request("DELETE", &format!("{path}&dry_run=true"), &[], b"").expect(200).json();
    assert_eq!((&trial["deleted"], &trial["dry_run"]), (&json!(2), &json!(true)));
    assert_eq!(groups(&trial), BTreeSet::from(expected.clone()));
    assert_eq!(server.metrics().of("push_time_seconds").count(), 5);
    let removed = client.request("DELETE", &path, &[], b"").expect(200).json();
    assert_eq!((&removed["deleted"], &removed["series"]), (&json!(2), &json!(4)));
    assert_eq!(groups(&removed), BTreeSet::from(expected));
    assert_eq!(server.metrics().of("push_time_seconds").count(), 3);
    let again = client.request("DELETE", &path, &[], b"").expect(200).json();
    assert_eq!((&again["deleted"], groups(&again).len()), (&json!(0), 0));
    // It was on disk before the answer.
    server.kill9();
    server.restart();
    assert_eq!(server.metrics().of("push_time_seconds").count(), 3);
}

#[test]
fn what_would_remove_more_than_was_meant_is_refused() {
    let server = server(Settings::new());
    fill(&server);
    let mut client = server.client();
    let mut check = |method: &str, query: &str, words: &str| {
        let response = client.request(method, &format!("/api/v1/push/groups?{query}"), &[], b"");
        let response = response.expect(400).json();
        let message = response["message"].as_str().unwrap();
        assert!(message.contains(words), "{query}: {message}");
    };
    check("DELETE", "", "match[] is missing");
    check("DELETE", "dry_run=true", "match[] is missing");
    for selector in ["{}", r#"{job=~".*"}"#, r#"{branch=""}"#, r#"{job!="x"}"#] {
        check("DELETE", &query(&[selector]), "does not match the empty text");
    }
    // One of several that is wrong spoils them all.
    check("DELETE", &query(&[r#"{job="backup"}"#, "{job=}"]), "at column 6");
    check("DELETE", &query(&["up"]), "expected matchers of labels");
    check("DELETE", &format!("{}&dryrun=true", query(&[r#"{job="ci"}"#])), "dryrun");
    check("DELETE", &format!("{}&dry_run=yes", query(&[r#"{job="ci"}"#])), "true or false");
    check("GET", "limit=0", "from 1 to 10000");
    check("GET", "dry_run=true", "DELETE alone");
    assert_eq!(server.metrics().of("push_time_seconds").count(), 5);
}

#[test]
fn a_selector_matches_what_it_matches_in_prometheus() {
    let server = server(Settings::new());
    fill(&server);
    let Some(prometheus) = Prometheus::start_honouring_labels(Peer::Current, server.addr) else {
        return;
    };
    prometheus.eventually("count(push_time_seconds)", |it| it > 4.5);
    for selector in [
        r#"{job="ci-a"}"#,
        r#"{job=~"ci.*"}"#,
        r#"{job=~"ci"}"#,
        r#"{job=~"ci-[ab]",branch!="main"}"#,
        r#"{job=~".+"}"#,
        r#"{job!~"ci.*",job!=""}"#,
        r#"{branch="",job=~".+"}"#,
        r#"{branch=~"|dev",job=~".+",}"#,
        r#"{branch=~".+"}"#,
        r#"{instance!="",job=~"ci-b|backup"}"#,
        r#"{nope="x"}"#,
        r#"{ job = 'ci-a' , branch =~ `m.in` }"#,
        r#"{"job"="backup"}"#,
    ] {
        let path = format!("/api/v1/push/groups?{}", query(&[selector]));
        let ours = server.client().get(&path).expect(200).json();
        let label = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
        let key = |it: &Value| ["job", "branch", "instance"].map(|name| label(it, name));
        let ours: BTreeSet<_> =
            ours["groups"].as_array().unwrap().iter().map(|it| key(&it["labels"])).collect();
        let theirs = prometheus.query(&format!("push_time_seconds{selector}"));
        let theirs: BTreeSet<_> = theirs.iter().map(|it| key(&it.0)).collect();
        assert_eq!(ours, theirs, "{selector}");
    }
}

#[test]
fn roles_of_a_removal() {
    let tokens = "ingest:pusher-secret,read:reader-secret";
    let server = server(Settings::new().token(tokens));
    let path = format!("/api/v1/push/groups?{}", query(&[r#"{job="x"}"#]));
    let ask = |token: &str, method: &str| {
        let mut client = server.client();
        if !token.is_empty() {
            client = client.with_header("authorization", &format!("Bearer {token}"));
        }
        client.request(method, &path, &[], b"").status
    };
    assert_eq!(["", "reader-secret", "pusher-secret"].map(|it| ask(it, "DELETE")), [401, 403, 200]);
    assert_eq!(["", "reader-secret", "pusher-secret"].map(|it| ask(it, "GET")), [401, 200, 403]);
}

#[test]
fn the_command_line_shows_what_would_go_and_removes_it() {
    let server = server(Settings::new());
    fill(&server);
    let url = format!("http://{}", server.addr);
    let arguments =
        ["push", "--url", &url, "--delete", "--match", r#"{job=~"ci-.*"}"#, "--dry-run"];
    let run = |arguments: &[&str]| {
        let output = cli(arguments, &Settings::new(), "");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = run(&arguments);
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert!(shown.contains("{branch=\"dev\",job=\"ci-a\"}  2 series, pushed 20"), "{shown}");
    assert_eq!(server.metrics().of("push_time_seconds").count(), 5);
    assert_eq!(run(&arguments[..arguments.len() - 1]), shown);
    assert_eq!(server.metrics().of("push_time_seconds").count(), 2);
}

#[test]
fn a_job_may_have_so_much_and_is_told_so() {
    let jobs =
        r#"[{match: "ci-*", max_groups: 1, max_body_bytes: 100}, {match: free, max_series: off}]"#;
    let settings = Settings::new()
        .env("OBSERVATORY_PUSH_JOBS", jobs)
        .env("OBSERVATORY_PUSH_MAX_SERIES_PER_JOB", "3");
    let server = server(settings);
    let mut client = server.client();
    put(&mut client, "job/ci-a/i/1", "a 1\n").expect(200);
    let refused = put(&mut client, "job/ci-a/i/2", "a 1\n").expect(429).text();
    assert!(
        refused.starts_with(
            "job \"ci-a\" has 1 groups, and max_groups of \"ci-*\" in push.jobs is 1: "
        ),
        "{refused}"
    );
    let large = "a 1\n".repeat(26);
    for headers in [&[][..], &[("content-encoding", "zstd")]] {
        let body = match headers {
            [] => large.as_bytes().to_vec(),
            _ => zstd::encode_all(large.as_bytes(), 1).unwrap(),
        };
        let refused = client.request("PUT", "/metrics/job/ci-a/i/1", headers, &body).expect(413);
        assert!(refused.text().contains("100 bytes at once, and max_body_bytes of"), "{refused:?}");
    }
    put(&mut client, "job/other", "a 1\nb 1\nc 1\n").expect(200);
    let refused = put(&mut client, "job/other/i/2", "d 1\n").expect(413).text();
    assert!(
        refused
            .starts_with("job \"other\" would have 4 series, and push.max_series_per_job is 3: "),
        "{refused}"
    );
    put(&mut client, "job/free", "a 1\nb 1\nc 1\nd 1\n").expect(200);
    let page = server.metrics();
    for (limit, n) in [("groups", 1.0), ("series", 1.0), ("body_bytes", 2.0)] {
        page.check(&format!("observatory_push_over_limit_total{{limit=\"{limit}\"}}"), n);
    }
    page.check("observatory_push_groups", 3.0);
    page.check("push_failure_time_seconds{i=\"1\",instance=\"\",job=\"ci-a\"}", 0.0);
}

#[test]
fn lines_of_windows_are_taken_by_who_says_so() {
    let body = "# TYPE a gauge\r\n# HELP a one\r\na{x=\"1\"} 1\r\n\r\nb 2";
    put(&mut server(Settings::new()).client(), "job/j", body).expect(400);
    let lenient = server(Settings::new().env("OBSERVATORY_PUSH_LENIENT", "true"));
    put(&mut lenient.client(), "job/j", body).expect(200);
    let page = lenient.metrics();
    page.check("a{instance=\"\",job=\"j\",x=\"1\"}", 1.0);
    page.check("b{instance=\"\",job=\"j\"}", 2.0);
    let text = lenient.client().get("/metrics").text();
    assert!(text.contains("# HELP a one\n# TYPE a gauge\n"), "{text}");
    put(&mut lenient.client(), "job/j", "a 1\rb 2\n").expect(400);
    put(&mut lenient.client(), "job/j", "").expect(200);
}

#[test]
fn brotli_is_understood() {
    let server = server(Settings::new());
    let mut client = server.client();
    // `m 1` and a line feed.
    let body = b"\x8b\x01\x80\x6d\x20\x31\x0a\x03";
    let encoding = [("content-encoding", "br")];
    client.request("PUT", "/metrics/job/j", &encoding, body).expect(200);
    server.metrics().check("m{instance=\"\",job=\"j\"}", 1.0);
    let refused = client.request("PUT", "/metrics/job/j", &encoding, b"m 1\n").expect(400);
    assert_eq!(refused.text(), "brotli: corrupt input\n");
}

#[test]
fn the_page_is_where_the_gateway_has_it() {
    let server = server(Settings::new());
    let mut client = server.client();
    for path in ["/", "/status"] {
        let page = client.get(path).expect(200);
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
    }
    for path in ["/static/", "/debug/pprof/", "/api/v1"] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
}
