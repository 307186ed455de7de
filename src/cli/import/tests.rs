//! What is made of lines, and of the server's answers.

use super::super::client::tests::{http, serve};
use super::*;
use crate::cli::tests::observatory;

fn import(input: &str, answers: Vec<String>) -> (u8, String, String, Vec<String>) {
    let (url, server) = serve(answers);
    let arguments = ["import", "events", "-", "--url", &url, "--timeout", "1"];
    let (code, out, err) = observatory(&arguments, &[], input);
    let body = |it: String| it.split_once("\r\n\r\n").unwrap().1.to_owned();
    (code, out, err, server.join().unwrap().into_iter().map(body).collect())
}

fn accepted(accepted: usize, duplicates: usize, rejected: &str) -> String {
    let body =
        format!(r#"{{"accepted":{accepted},"duplicates":{duplicates},"rejected":[{rejected}]}}"#);
    http("202 Accepted", "", &body)
}

fn line(text: &str) -> Result<Option<String>, String> {
    event(7, &Line::Text(text.as_bytes()))
}

#[test]
fn an_event_keeps_its_id_or_gets_the_same_one_each_time() {
    assert_eq!(line(" {\"id\": 1.0, \"x\" :1}\r\n").unwrap().unwrap(), "{\"id\": 1.0, \"x\" :1}");
    assert_eq!(line(" \n").unwrap(), None);
    let made = line("{\"n\":1.10}").unwrap().unwrap();
    assert!(made.starts_with("{\"id\":\"import-") && made.ends_with("\",\"n\":1.10}"), "{made}");
    assert_eq!(line("{\"n\":1.10} \n").unwrap().unwrap(), made, "white space around it is nothing");
    assert_ne!(line("{\"n\":1.11}").unwrap().unwrap(), made);
    assert_ne!(event(8, &Line::Text(b"{\"n\":1.10}")).unwrap().unwrap(), made);
    for empty in ["{\"id\":null,\"n\":1}", "{\"id\":\"\",\"n\":1}"] {
        let made = line(empty).unwrap().unwrap();
        assert!(made.starts_with("{\"id\":\"import-") && made.ends_with(",\"n\":1}"), "{made}");
    }
    assert!(line("{}").unwrap().unwrap().ends_with("\"}"));
    for wrong in ["[1]", "1", "{", "{\"a\":1} x"] {
        assert!(line(wrong).unwrap_err().contains("no JSON object"), "{wrong}");
    }
    assert!(event(1, &Line::Text(b"\xff")).is_err() && event(1, &Line::TooLong).is_err());
}

#[test]
fn what_is_rejected_has_its_line_number() {
    let input = "{\"id\":1}\n\nnonsense\n{\"id\":2}\n{\"id\":3}\n";
    let answer = accepted(1, 1, r#"{"index":1,"error":"event_type is required"}"#);
    let (code, out, err, bodies) = import(input, vec![answer]);
    assert_eq!((code, out.as_str()), (1, "accepted 1, duplicates 1, rejected 2\n"));
    assert!(err.contains("standard input:3: the line is no JSON object"), "{err}");
    assert!(err.contains("standard input:4: event_type is required\n"), "{err}");
    assert_eq!(bodies, ["{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n"]);
}

#[test]
fn what_is_too_much_for_the_server_is_cut() {
    let large = || http("413 Payload Too Large", "", "{\"message\":\"too large\"}");
    let (code, out, err, bodies) =
        import("{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n", vec![large(), large(), accepted(2, 0, "")]);
    assert_eq!(bodies.iter().map(|it| it.lines().count()).collect::<Vec<_>>(), [3, 1, 2]);
    assert_eq!((code, out.as_str()), (1, "accepted 2, duplicates 0, rejected 1\n"));
    assert!(err.contains("standard input:1: ") && err.contains("too large"), "{err}");
}

#[test]
fn a_server_that_is_busy_is_waited_for_and_one_that_stays_so_is_told() {
    let busy = || http("503 Service Unavailable", "retry-after: 0\r\n", "{}");
    let (code, out, _, _) = import("{\"id\":1}\n", vec![busy(), busy(), accepted(1, 0, "")]);
    assert_eq!((code, out.as_str()), (0, "accepted 1, duplicates 0, rejected 0\n"));
    let later = http("503 Service Unavailable", "retry-after: 9\r\n", "{}");
    let (code, out, err, _) = import("nonsense\n{\"id\":1}\n", vec![later]);
    assert_eq!((code, out.as_str()), (69, "accepted 0, duplicates 0, rejected 1\n"));
    assert!(err.contains("start it again"), "{err}");
}

#[test]
fn one_array_is_explained() {
    let (code, out, err, _) = import("[\n{\"id\":1}]", Vec::new());
    assert_eq!((code, out.as_str()), (65, ""));
    assert!(err.contains("jq -c '.[]'"), "{err}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let (code, _, err) = observatory(&["import", "events", "/no/such/file"], &[], "");
    assert!(code == 65 && err.contains("cannot read /no/such/file"), "{err}");
}
