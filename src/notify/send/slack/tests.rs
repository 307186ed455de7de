use super::*;
use crate::notify::render::{sample, test_alert};
use proptest::prelude::*;

/// What Slack would refuse, by its documented limits.
fn faults(payload: &Value) -> Vec<String> {
    let mut res = Vec::new();
    let mut check = |what: &str, text: &Value, max: usize| {
        let text = text.as_str().unwrap_or_default();
        let n = text.chars().count();
        if n == 0 || n > max {
            res.push(format!("{what}: {n} characters"));
        }
        // In plain text, which headers are, nobody is addressed.
        for word in ["<!", "<@", "<#"] {
            if what != "header" && text.contains(word) {
                res.push(format!("{what}: {word} addresses people"));
            }
        }
    };
    check("text", &payload["text"], 4000);
    let attachments = payload["attachments"].as_array().unwrap();
    for it in attachments {
        check("fallback", &it["fallback"], 4000);
        for block in it["blocks"].as_array().unwrap() {
            match block["type"].as_str().unwrap() {
                "header" => check("header", &block["text"]["text"], 150),
                "section" => {
                    if block.get("text").is_some() {
                        check("section", &block["text"]["text"], 3000);
                    }
                    for field in block["fields"].as_array().into_iter().flatten() {
                        check("field", &field["text"], 2000);
                    }
                }
                "context" => check("context", &block["elements"][0]["text"], 3000),
                _ => {
                    for button in block["elements"].as_array().unwrap() {
                        check("url", &button["url"], 3000);
                        assert!(Url::parse(button["url"].as_str().unwrap()).is_ok());
                    }
                }
            }
        }
    }
    let fields = attachments.iter().flat_map(|it| it["blocks"].as_array().unwrap());
    let most = fields.map(|it| it["fields"].as_array().map_or(0, Vec::len)).max().unwrap_or(0);
    let blocks: usize = attachments.iter().map(|it| it["blocks"].as_array().unwrap().len()).sum();
    if most > 10 || attachments.len() > 20 || blocks > 60 {
        res.push(format!("{most} fields, {} attachments, {blocks} blocks", attachments.len()));
    }
    res
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_alert_breaks_the_limits(
        name in ".{0,400}",
        summary in "(.|<!channel>|<@U1>|&){0,5000}",
        labels in prop::collection::btree_map("[a-z<>!@]{1,20}", ".{0,300}", 0..20),
        runbook in "(https?://[a-z./]{0,40}|.{0,40})",
        n in 1..30usize,
    ) {
        let mut message = sample();
        let entry = message.entries.remove(0);
        for at in 0..n {
            let mut alert = test_alert(&at.to_string(), Default::default());
            alert.rule_name = name.clone();
            alert.labels = labels.clone();
            alert.annotations.insert("summary".to_owned(), summary.clone());
            alert.annotations.insert("runbook_url".to_owned(), runbook.clone());
            message.entries.push(Entry { alert, kind: Kind::Firing, ..entry.clone() });
        }
        message.kind = if n == 1 { Kind::Firing } else { Kind::Digest };
        prop_assert_eq!(faults(&payload(&message)), Vec::<String>::new());
    }
}

#[test]
fn answers_of_the_api() {
    let check = |status: u16, body: &str, expected: Verdict| {
        let answer = Answer {
            status: reqwest::StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
            at: Default::default(),
        };
        assert_eq!(of_api(&answer).verdict, expected, "{status} {body}");
    };
    check(200, r#"{"ok":true,"channel":"C1","ts":"1.2"}"#, Verdict::Delivered);
    check(200, r#"{"ok":false,"error":"invalid_auth"}"#, Verdict::Gone);
    check(200, r#"{"ok":false,"error":"ratelimited"}"#, Verdict::Retry(None));
    check(200, r#"{"ok":false,"error":"msg_too_long"}"#, Verdict::Dead);
    check(200, "<html>", Verdict::Retry(None));
    check(429, "", Verdict::Retry(None));
    check(500, "", Verdict::Retry(None));
    check(404, "", Verdict::Gone);
}
