use super::*;

fn alert(id: &str, severity: Severity) -> Alert {
    let labels =
        [("branch", "main"), ("severity", severity.as_str()), ("bad-name", "x"), ("empty", "")];
    Alert {
        id: id.to_owned(),
        rule_name: "BuildFailed".to_owned(),
        fingerprint: "00000000000000ff".to_owned(),
        labels: labels.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        severity,
        status: Status::Firing,
        value: Some(3.0),
        threshold: Some(2.0),
        starts_at: Time::parse("2026-01-05T10:00:00Z").unwrap(),
        ..Alert::default()
    }
}

fn message(kinds: &[Kind]) -> Message {
    let entry = |(at, kind): (usize, &Kind)| {
        let mut alert = alert(&format!("a{at}"), Severity::Critical);
        if *kind == Kind::Resolved {
            alert.ends_at = Some(Time::parse("2026-01-05T11:02:03Z").unwrap());
        }
        Entry { kind: *kind, transition: 1, merged: false, alert }
    };
    let entries: Vec<_> = kinds.iter().enumerate().map(entry).collect();
    let kind = if let [it] = kinds { *it } else { Kind::Digest };
    Message { kind, entries, ..sample() }
}

#[test]
fn titles_say_it_all() {
    let check = |kinds: &[Kind], expected: &str| assert_eq!(title(&message(kinds)), expected);
    check(&[Kind::Firing], "[FIRING:critical] BuildFailed — x main");
    check(&[Kind::Resolved], "[RESOLVED] BuildFailed — x main");
    check(&[Kind::Repeat], "[REPEAT:critical] BuildFailed — x main");
    check(&[Kind::Firing, Kind::Firing], "[FIRING:2] BuildFailed");
    check(&[Kind::Firing, Kind::Resolved], "[FIRING:1 RESOLVED:1] BuildFailed");
    check(&[Kind::Test], "[TEST] Observatory can reach this channel");
    let mut merged = message(&[Kind::Resolved]);
    merged.entries[0].merged = true;
    assert_eq!(title(&merged), "[FIRED AND RESOLVED] BuildFailed — x main");
    assert!(text(&merged).contains("(after 1h 2m)"), "{}", text(&merged));
}

#[test]
fn the_body_of_an_alertmanager() {
    let body = alertmanager_v4(&message(&[Kind::Firing, Kind::Resolved]), "ops");
    assert_eq!(body["status"], "firing");
    assert_eq!(
        body["commonLabels"],
        json!({"alertname": "BuildFailed", "branch": "main", "severity": "critical"})
    );
    assert_eq!(body["alerts"][0]["endsAt"], ZERO_TIME);
    assert_eq!(body["alerts"][1]["endsAt"], "2026-01-05T11:02:03Z");
    assert_eq!(body["alerts"][1]["status"], "resolved");
    assert_eq!((&body["version"], &body["truncatedAlerts"]), (&json!("4"), &json!(0)));
    assert_eq!(body["groupLabels"], json!({"alertname": "BuildFailed"}));
    // A notification of Alertmanager 0.25 has these members, in whatever order.
    let expected = [
        "alerts",
        "commonAnnotations",
        "commonLabels",
        "externalURL",
        "groupKey",
        "groupLabels",
        "receiver",
        "status",
        "truncatedAlerts",
        "version",
    ];
    let mut names: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn severities_in_the_words_of_others() {
    let words = Severity::ALL.map(|it| labels(&alert("a", it)).remove("severity").unwrap());
    assert_eq!(words, ["info", "warning", "error", "critical"]);
    let mut own = alert("a", Severity::High);
    own.labels.insert("severity".to_owned(), "page".to_owned());
    assert_eq!(labels(&own)["severity"], "page");
}

#[test]
fn templates_are_bounded_and_make_what_they_say() {
    let json = "application/json";
    let made =
        template("{\"text\": {{ (title ~ ' ' ~ alert.labels.sent_by)|tojson }}}", json, &sample());
    let made: Value = serde_json::from_str(&made.unwrap()).unwrap();
    assert_eq!(made["text"], "[TEST] Observatory can reach this channel a person");
    assert_eq!(template("{{ nothing.at.all }}", "text/plain", &sample()).unwrap(), "");
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
    assert!(template(endless, "text/plain", &sample()).unwrap_err().contains("fuel"));
    assert!(template("{{ title }}", json, &sample()).unwrap_err().contains("no JSON"));
    assert!(template("{% include 'x' %}", "text/plain", &sample()).is_err());
}
