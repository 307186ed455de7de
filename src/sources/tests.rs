use super::*;
use proptest::prelude::*;

const JSON: RequestMeta<'static> =
    RequestMeta { content_type: Some("application/json"), cloud_event: None };

fn typed(content_type: &str) -> RequestMeta<'_> {
    RequestMeta { content_type: Some(content_type), cloud_event: None }
}

/// One line per event: `type|source|id|time|subject|trace|data`, or `! field reason; ...`; in front, `1`
/// or `*` for the shape. A body that is refused: `!! message`.
fn show(body: &[u8], meta: &RequestMeta<'_>, limits: &Limits) -> String {
    let parsed = match parse(body, meta, limits) {
        Ok(it) => it,
        Err(it) => return format!("!! {it}"),
    };
    let mut res = String::from(if parsed.shape == Shape::One { "1" } else { "*" });
    for event in &parsed.events {
        res += "\n";
        res += &event.as_ref().map_or_else(|it| format!("! {it}"), line);
    }
    res
}

fn line(event: &NewEvent<'_>) -> String {
    let NewEvent { id, event_type, source, time, subject, trace, data } = event;
    let trace = trace.map(|it| format!("{:x}/{:x}", it.trace_id, it.span_id.unwrap_or(0)));
    let text = |it: &Option<Cow<'_, str>>| it.as_deref().unwrap_or("-").to_owned();
    [
        event_type.to_string(),
        source.to_string(),
        text(id),
        time.map_or("-".to_owned(), |it| it.to_string()),
        text(subject),
        trace.unwrap_or("-".to_owned()),
        data.to_string(),
    ]
    .join("|")
}

#[track_caller]
fn check(body: &str, expected: &str) {
    assert_eq!(show(body.as_bytes(), &JSON, &Limits::default()), expected, "{body}");
}

#[track_caller]
fn check_as(content_type: &str, body: &str, expected: &str) {
    let res = show(body.as_bytes(), &typed(content_type), &Limits::default());
    assert_eq!(res, expected, "{content_type}: {body}");
}

#[test]
fn the_envelope() {
    check(
        r#"{"event_type":"test_event","source":"manual_test","data":{"message":"Hello Observatory!"}}"#,
        "1\ntest_event|manual_test|-|-|-|-|{\"message\":\"Hello Observatory!\"}",
    );
    check(
        r#" {"type":"t","id":"i","time":"2026-01-05T10:00:00Z","subject":"s","data": { "a" : 1 } } "#,
        "1\nt|unknown|i|2026-01-05T10:00:00Z|s|-|{ \"a\" : 1 }",
    );
    check(r#"{"event_type":"a","type":"b"}"#, "1\na|unknown|-|-|-|-|{\"type\":\"b\"}");
    check(r#"{"event_type":"a","data":null,"id":17}"#, "1\na|unknown|17|-|-|-|{}");
    check(
        r#"{"event_type":"a","id":"","source":"","timestamp":"","data":{}}"#,
        "1\na|unknown|-|-|-|-|{}",
    );
    check(r#"{"event_type":"a\u00e4\n","source":"q\"","data":{}}"#, "1\naä\n|q\"|-|-|-|-|{}");
    check(r#"{"event_type":"a","data":{"x":1,"x":2}}"#, "1\na|unknown|-|-|-|-|{\"x\":1,\"x\":2}");
    check(r#"{"event_type":"a","event_type":"b","data":{}}"#, "1\nb|unknown|-|-|-|-|{}");
    check("\u{feff}{\"type\":\"a\"}", "1\na|unknown|-|-|-|-|{}");
}

#[test]
fn without_data_the_other_members_are_it() {
    check(
        r#"{"event_type":"ci_build_started","repository":"acme/web","branch":"main","pr_number":7,"timestamp":"2026-01-05T10:00:00"}"#,
        r#"1
ci_build_started|unknown|-|2026-01-05T10:00:00Z|-|-|{"repository":"acme/web","branch":"main","pr_number":7}"#,
    );
    check(
        r#"{"type":"t","a\"b":1,"ä":{}}"#,
        r#"1
t|unknown|-|-|-|-|{"a\"b":1,"ä":{}}"#,
    );
    check(
        r#"{"type":"t","timestamp":1767607200,"time":"soon","subject":{"id":1}}"#,
        r#"1
t|unknown|-|2026-01-05T10:00:00Z|-|-|{"time":"soon","subject":{"id":1}}"#,
    );
}

#[test]
fn what_ci_really_sends() {
    check(
        r#"{"event_type":"ci_workflow_started","source":"github-actions","data":{"workflow":"Quality Gates","repository":"louspringer/OpenFlow-Playground","pr_number":"","commit_sha":"10bdc5d"}}"#,
        r#"1
ci_workflow_started|github-actions|-|-|-|-|{"workflow":"Quality Gates","repository":"louspringer/OpenFlow-Playground","pr_number":"","commit_sha":"10bdc5d"}"#,
    );
    check(
        r#"{"event_type":"ci_workflow_completed","source":"github-actions","workflow":"Quality Gates","repository":"r","pr_number":"26","status":"success","run_id":"7312945561"}"#,
        r#"1
ci_workflow_completed|github-actions|-|-|-|-|{"workflow":"Quality Gates","repository":"r","pr_number":"26","status":"success","run_id":"7312945561"}"#,
    );
}

#[test]
fn traces() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let trace = "af7651916cd43dd8448eb211c80319c/b7ad6b7169203331";
    let ids = r#""trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331""#;
    for (body, data) in [
        (format!(r#"{{"type":"t","traceparent":"{parent}","data":{{}}}}"#), "{}".to_owned()),
        (format!(r#"{{"type":"t",{ids},"data":{{}}}}"#), "{}".to_owned()),
        (format!(r#"{{"type":"t",{ids}}}"#), format!("{{{ids}}}")),
        (format!(r#"{{"type":"t","data":{{{ids}}}}}"#), format!("{{{ids}}}")),
    ] {
        check(&body, &format!("1\nt|unknown|-|-|-|{trace}|{data}"));
    }
    check(
        r#"{"type":"t","data":{"trace_id":"none","trace":1}}"#,
        "1\nt|unknown|-|-|-|-|{\"trace_id\":\"none\",\"trace\":1}",
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    check("{}", "1\n! event_type is required");
    check(r#"{"event_type":""}"#, "1\n! event_type must not be empty");
    check(
        r#"{"event_type":1,"source":[],"id":{},"timestamp":"soon","data":"x"}"#,
        "1\n! event_type must be a string; source must be a string; id must be a string or a number; \
         timestamp is not an RFC 3339 time such as 2026-01-05T10:00:00Z, nor seconds since 1970; \
         data must be an object",
    );
    check(r#"{"type":{},"data":[]}"#, "1\n! type must be a string; data must be an object");
    check(r#"{"type":"\ud800","data":{}}"#, "1\n! type must be a string");
    check(r#"{"type":"t","data":{"a":"\ud800"}}"#, "1\n! data has half a surrogate pair at byte 6");
}

#[test]
fn batches() {
    let one = r#"{"type":"a"}"#;
    let good = "a|unknown|-|-|-|-|{}";
    check("[]", "*");
    check(&format!("[{one},{one}]"), &format!("*\n{good}\n{good}"));
    check(&format!(r#"{{"events":[{one}]}}"#), &format!("*\n{good}"));
    check(&format!(r#"{{"sender":{{}},"events":[{one}],"n":[1]}}"#), &format!("*\n{good}"));
    check(
        &format!(r#"[{one},1,null,"x",[{one}],{{"type":3}},{one}]"#),
        &format!(
            "*\n{good}\n! body must be a JSON object\n! body must be a JSON object\n\
             ! body must be a JSON object\n! body must be a JSON object\n! type must be a string\n{good}"
        ),
    );
    // An event may have members called `events`, before its type or after.
    check(r#"{"type":"a","events":[1]}"#, "1\na|unknown|-|-|-|-|{\"events\":[1]}");
    check(r#"{"events":[1],"type":"a"}"#, "1\na|unknown|-|-|-|-|{\"events\":[1]}");
    check(r#"{"events":3}"#, "1\n! event_type is required");
}

#[test]
fn lines() {
    let expected = "*\na|unknown|-|-|-|-|{}\n! body is not JSON: expected `:` at line 3 column 8\nb|unknown|-|-|-|-|{}";
    let body = "{\"type\":\"a\"}\r\n\n{\"type\"}\n  {\"type\":\"b\"}\r\n";
    for content_type in ["application/x-ndjson", "application/jsonl; charset=UTF-8"] {
        check_as(content_type, body, expected);
    }
    for content_type in ["application/json", "text/plain", "application/x-www-form-urlencoded", ""]
    {
        check_as(content_type, body, expected);
    }
    check_as("application/x-ndjson", "{\"type\":\"a\"}", "*\na|unknown|-|-|-|-|{}");
    check_as("application/x-ndjson", "[1]", "*\n! body must be a JSON object");
    check_as("application/x-ndjson", "\u{feff}\n{\"type\":\"a\"}", "*\na|unknown|-|-|-|-|{}");
}

#[test]
fn bodies_that_are_refused() {
    check("", "!! the body is empty: send a JSON object with an event_type");
    check(" \r\n", "!! the body is empty: send a JSON object with an event_type");
    check("17", "!! the body must be a JSON object, an array of objects, or one object per line");
    check("hello", "!! the body is not JSON: expected value at line 1 column 1");
    check(
        "[{\"type\":\"a\"},\n{\"type\":]",
        "!! the body is not JSON: expected value at line 2 column 9",
    );
    check("{\"type\":\"a\"} x", "!! the body is not JSON: trailing characters at line 1 column 14");
    check("[] []", "!! the body is not JSON: trailing characters at line 1 column 4");
    let media = "is not supported: send application/json, application/x-ndjson or application/cloudevents+json";
    check_as("text/html", "{}", &format!("!! the content type \"text/html\" {media}"));
    check_as(
        "application/cloudevents+xml",
        "{}",
        &format!("!! the content type \"application/cloudevents+xml\" {media}"),
    );
    check_as(
        "application/json; charset=latin1",
        "{}",
        "!! the charset \"latin1\" is not supported: send UTF-8",
    );
    let res = show(b"{\"type\":\"\xff\"}", &JSON, &Limits::default());
    assert_eq!(res, "!! the body is not UTF-8: byte 9 is wrong");
}

#[test]
fn limits_hold() {
    let event = event::Limits { event_bytes: 40, name_bytes: 4, depth: 2, elements: 3 };
    let limits = Limits { event, events: 2 };
    let check = |body: &str, expected: &str| {
        assert_eq!(show(body.as_bytes(), &JSON, &limits), expected, "{body}");
    };
    check(r#"{"type":"abcd","data":{"a":[1]}}"#, "1\nabcd|unknown|-|-|-|-|{\"a\":[1]}");
    check(r#"{"type":"abcde"}"#, "1\n! type has 5 bytes; the limit is 4");
    check(r#"{"type":"a","data":{"a":[[]]}}"#, "1\n! data nests 3 levels deep; the limit is 2");
    check(r#"{"type":"a","data":{"a":[1,2,3]}}"#, "1\n! data has 4 elements; the limit is 3");
    check(
        r#"{"type":"a","data":{"a":"0123456789012345678901"}}"#,
        "1\n! body has 49 bytes; the limit for one event is 40",
    );
    check("[1,2,3]", "!! the body has more than 2 events: send smaller batches");
    check("{\"type\":\"a\"}\n{}\n{}", "!! the body has more than 2 events: send smaller batches");
}

#[test]
fn depth_is_no_stack() {
    let deep =
        format!(r#"{{"type":"t","data":{{"a":{}{}}}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    check(&deep, "1\n! data nests 200001 levels deep; the limit is 32");
}

#[test]
fn cloud_events_structured() {
    let event = r#"{"specversion":"1.0","id":"A234-1234-1234","source":"/mycontext","type":"com.example.someevent","time":"2018-04-05T17:31:00Z","subject":"larger-context","datacontenttype":"application/json","comexampleextension1":"value","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","data":{"appinfoA":"abc"}}"#;
    let expected = "com.example.someevent|/mycontext|A234-1234-1234|2018-04-05T17:31:00Z|larger-context|af7651916cd43dd8448eb211c80319c/b7ad6b7169203331|{\"appinfoA\":\"abc\"}";
    for content_type in [
        "application/cloudevents+json; charset=utf-8",
        "Application/CloudEvents",
        "application/json",
    ] {
        check_as(content_type, event, &format!("1\n{expected}"));
    }
    let batch = format!("[{event},{{\"specversion\":\"1.0\"}}]");
    let expected = format!("*\n{expected}\n! type is required; source is required; id is required");
    check_as("application/cloudevents-batch+json", &batch, &expected);
    check_as("application/cloudevents-batch", "[]", "*");
}

#[test]
fn cloud_events_data() {
    let check = |members: &str, expected: &str| {
        let head = r#""specversion":"1.0","id":"1","source":"s","type":"t""#;
        let body = format!("{{{head},{members}}}");
        check_as("application/cloudevents+json", &body, &format!("1\n{expected}"));
    };
    check(r#""data":[1,2]"#, r#"t|s|1|-|-|-|{"data":[1,2]}"#);
    check(
        r#""data":"<much wow=\"xml\"/>","datacontenttype":"text/xml""#,
        r#"t|s|1|-|-|-|{"data":"<much wow=\"xml\"/>"}"#,
    );
    check(r#""data":null"#, "t|s|1|-|-|-|{}");
    check(r#""data_base64":"eyJhIjoxfQ==""#, r#"t|s|1|-|-|-|{"a":1}"#);
    check(
        r#""data_base64":"eyJhIjoxfQ==","datacontenttype":"application/octet-stream""#,
        r#"t|s|1|-|-|-|{"data_base64":"eyJhIjoxfQ=="}"#,
    );
    check(r#""data_base64":"*""#, "! data_base64 must be base64");
    check(
        r#""time":"soon""#,
        "! time is not an RFC 3339 time such as 2026-01-05T10:00:00Z, nor seconds since 1970",
    );
    check(r#""specversion":"0.3""#, "! specversion must be \"1.0\"");
}

#[test]
fn cloud_events_binary() {
    let headers = CloudEventHeaders {
        specversion: Some(b"1.0"),
        id: Some(b"1234-1234-1234"),
        source: Some(b"/mycontext/sub%20context"),
        event_type: Some(b"\"com.example.\\\"some%E2%82%AC\""),
        time: Some(b"2018-04-05T03:56:24Z"),
        subject: None,
        traceparent: None,
    };
    let check = |content_type: &str, body: &[u8], headers, expected: &str| {
        let meta = RequestMeta { content_type: Some(content_type), cloud_event: Some(headers) };
        assert_eq!(show(body, &meta, &Limits::default()), format!("1\n{expected}"));
    };
    let head = "com.example.\"some€|/mycontext/sub context|1234-1234-1234|2018-04-05T03:56:24Z|-|-";
    check("application/json", b" {\"a\":1} ", headers, &format!("{head}|{{\"a\":1}}"));
    check("application/vnd.x+json", b"[1]", headers, &format!("{head}|{{\"data\":[1]}}"));
    check(
        "text/xml",
        b"<a b=\"c\"/>",
        headers,
        &format!("{head}|{{\"data\":\"<a b=\\\"c\\\"/>\"}}"),
    );
    check("image/png", b"\xff\x00", headers, &format!("{head}|{{\"data_base64\":\"/wA=\"}}"));
    check("", b"", headers, &format!("{head}|{{}}"));
    check(
        "application/json",
        b"{",
        headers,
        "! data is not JSON, which its content type says it is",
    );
    check(
        "application/json",
        b"{}",
        CloudEventHeaders { source: Some(b"%ff"), id: None, time: Some(b"x"), ..headers },
        "! ce-source must be UTF-8, percent-encoded; ce-id is required; ce-time is not an RFC 3339 time such as 2026-01-05T10:00:00Z, nor seconds since 1970",
    );
}

/// What a sender might type in a hurry.
fn nearly_json() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\n",
        "\r\n",
        " ",
        "1",
        "-",
        "1e999",
        "null",
        "true",
        "\"type\"",
        "\"event_type\"",
        "\"events\"",
        "\"data\"",
        "\"a\"",
        "\"\\ud800\"",
        "\u{feff}",
        "ä",
        "\"specversion\"",
        "\"1.0\"",
        "\"data_base64\"",
        "\"timestamp\"",
        "{\"type\":\"a\"}",
        "\u{0}",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|it| it.concat())
}

proptest! {
    #[test]
    fn nothing_panics(body in prop::collection::vec(any::<u8>(), 0..200), near in nearly_json()) {
        for content_type in ["", "application/x-ndjson", "application/cloudevents+json", "image/png"] {
            let headers = CloudEventHeaders { id: Some(&body), ..CloudEventHeaders::default() };
            for cloud_event in [None, Some(headers)] {
                let meta = RequestMeta { content_type: Some(content_type), cloud_event };
                for body in [&body[..], near.as_bytes()] {
                    let Ok(parsed) = parse(body, &meta, &Limits::default()) else { continue };
                    for event in parsed.events.iter().flatten() {
                        prop_assert!(!event.event_type.is_empty() && !event.source.is_empty());
                        prop_assert!(event::Fields::parse(&event.data).is_ok(), "{}", event.data);
                    }
                }
            }
        }
    }

    #[test]
    fn every_string_survives(text in any::<String>(), name in any::<String>()) {
        let json = |it: &str| serde_json::to_string(it).unwrap();
        let type_ = format!("t{text}").chars().take(50).collect::<String>();
        let name = format!("_{name}");
        let (t, n) = (json(&type_), json(&name));
        let (flat, whole) = (
            format!("{{\"type\":{t},\"source\":{t},{n}:{t}}}"),
            format!("{{\"type\":{t},\"source\":{t},\"data\":{{{n}:{t}}}}}"),
        );
        for body in [flat, whole] {
            let parsed = parse(body.as_bytes(), &JSON, &Limits::default()).unwrap();
            let event = parsed.events[0].as_ref().unwrap();
            prop_assert_eq!(&event.event_type, &type_);
            prop_assert_eq!(&event.source, &type_);
            let fields = event::Fields::parse(&event.data).unwrap();
            prop_assert_eq!(fields.get(&name).unwrap().text(), Some(type_.as_str()));
        }
    }

    #[test]
    fn one_bad_line_spoils_no_other(lines in prop::collection::vec(prop::option::of("[a-z]{1,8}"), 1..20)) {
        let text = |it: &Option<String>| match it {
            Some(it) => format!("{{\"type\":\"{it}\"}}\n"),
            None => "{\"type\":\n".to_owned(),
        };
        let body: String = lines.iter().map(text).collect();
        let parsed = parse(body.as_bytes(), &typed("application/x-ndjson"), &Limits::default()).unwrap();
        let types: Vec<_> = parsed.events.iter()
            .map(|it| it.as_ref().ok().map(|it| it.event_type.to_string())).collect();
        prop_assert_eq!(types, lines);
    }
}
