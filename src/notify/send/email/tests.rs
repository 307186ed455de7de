use super::*;
use crate::notify::render::sample;
use proptest::prelude::*;

fn mail(message: &Message) -> String {
    let from = "Alerts <alerts@example.org>".parse().unwrap();
    let to = ["ops@example.org".parse().unwrap()];
    String::from_utf8(compose(&from, &to, message).unwrap().1).unwrap()
}

/// The names of the headers, continued lines left out.
fn header_names(mail: &str) -> Vec<&str> {
    let head = mail.split("\r\n\r\n").next().unwrap();
    let lines = head.split("\r\n").filter(|it| !it.starts_with([' ', '\t']));
    lines.map(|it| it.split(':').next().unwrap()).collect()
}

#[test]
fn machines_and_people_find_what_they_need() {
    let mail = mail(&sample());
    for line in [
        "Message-ID: <msg_00000000000000000000000000@example.org>",
        "Auto-Submitted: auto-generated",
        "List-Id: Observatory alerts <alerts.example.org>",
        "X-Observatory-Severity: low",
        "Content-Type: multipart/alternative",
    ] {
        assert!(mail.contains(line), "{line}\n{mail}");
    }
    let (plain, html) = (mail.find("text/plain").unwrap(), mail.find("text/html").unwrap());
    assert!(plain < html, "what is read at last comes last");
    assert!(mail.contains("In-Reply-To: <alert-"), "{mail}");
}

proptest! {
    #[test]
    fn nothing_that_came_with_an_event_makes_a_header(
        name in "(.|\r|\n|\r\nBcc: x@example.org|\u{2028}|\u{85}){0,300}",
        id in "[a-z\r\n:]{0,40}",
    ) {
        let expected = mail(&sample());
        let expected = header_names(&expected);
        let mut message = sample();
        message.kind = Kind::Firing;
        message.entries[0].kind = Kind::Firing;
        message.entries[0].alert.rule_name = name;
        message.entries[0].alert.id = id;
        let mail = mail(&message);
        prop_assert_eq!(header_names(&mail), expected, "{}", mail);
    }
}
