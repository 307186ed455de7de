//! The same requests to a Pushgateway and to ours. `cases.txt` says what a Pushgateway 1.11 answers; real
//! ones show that it does; and every difference of ours stands here, with its reason.

use super::real::{Peer, Pushgateway};
use crate::support::{Client, Response, Server, Settings};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

const CASES: &str = include_str!("cases.txt");

/// One case: requests to a server without groups.
#[derive(Debug, Default)]
struct Case {
    id: String,
    flags: Vec<String>,
    steps: Vec<Step>,
}

/// One request, and what is expected.
#[derive(Debug, Default)]
struct Step {
    method: String,
    path: Vec<u8>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    status: u16,
    expected: Vec<(String, String)>,
    page: Option<BTreeSet<String>>,
}

/// Where ours answers something else: case, step from 1, what there is instead, and why.
///
/// What there is instead: a status, and then `| ` and lines that the page has, or the start of the text.
const OURS: &[(&str, usize, &str, &str)] = &[
    ("B04", 1, "400 job name is required", "a push without a job is told so, not redirected"),
    ("B04", 2, "400 job name is required", "a push without a job is told so"),
    (
        "B06",
        1,
        "200",
        "a redirect loses the push with most clients: it is stored where it would lead",
    ),
    ("B06", 2, "200", "a redirect loses the push with most clients"),
    (
        "B06",
        3,
        "200 | m{instance=\"\",job=\"j\"} 1 | m{instance=\"\",job=\"j\",path=\"x\"} 1",
        "both were stored",
    ),
    ("B07", 1, "200", "dots are values like any other"),
    (
        "B07",
        3,
        "200 | m{a=\"..\",b=\"\",instance=\"\",job=\"j\"} 1 | m{instance=\"\",job=\"j\",path=\"..\"} 1",
        "both were stored",
    ),
    ("B09", 1, "200", "an encoded slash is part of the value"),
    ("B18", 4, "200", "HEAD is GET without the body"),
    ("B18", 5, "405 Method Not Allowed", "and Allow names HEAD"),
    (
        "D04",
        1,
        "400 pushed metrics are invalid or inconsistent with existing metrics: pushed metrics must not have timestamps: \"m\" has one in line 1",
        "and which, and where",
    ),
    (
        "D04",
        2,
        "400 pushed metrics are invalid or inconsistent with existing metrics: pushed metrics must not have timestamps: \"m\" has one in line 1",
        "and which, and where",
    ),
    (
        "D13",
        2,
        "200 | m_total{instance=\"\",job=\"j\"} 1",
        "OpenMetrics is read as what it is: m_created is not a series",
    ),
    ("D13", 3, "400 OpenMetrics parsing error in line 1", "an exemplar needs a counter"),
    (
        "D26",
        1,
        "400 text format parsing error in line 2: count of summary \"s\"",
        "a count that is none is refused, not mangled",
    ),
    ("D26", 2, "200", "nothing was stored"),
    (
        "E03",
        1,
        "400 brotli: corrupt input",
        "br is undone, and a body that is none is said to be so",
    ),
    ("E03", 3, "200", "x-gzip is gzip"),
    ("E03", 4, "415", "an encoding that cannot be undone is said to be so"),
    ("E04", 2, "200", "snappy without frames is understood as well"),
    ("E06", 1, "200 OK", "a request without a body has no encoding"),
    ("E06", 2, "202", "a request without a body has no encoding"),
    (
        "F10",
        1,
        "400 pushed metrics are invalid or inconsistent with existing metrics: pushed metrics must not have timestamps: \"m\" has one",
        "and which",
    ),
    ("F13", 2, "400 a metric family has no name", "it would empty every page"),
    ("F13", 3, "200 | zzz{instance=\"\",job=\"zz\"} 1", "the page is there"),
    ("F15", 1, "413", "an announced size is not believed; theirs dies"),
    ("G07", 2, "200", "there are no go_* metrics of ours to collide with"),
    (
        "G08",
        1,
        "400 pushed metrics are invalid or inconsistent with existing metrics: ",
        "own names are reserved from the start",
    ),
    ("G08", 2, "200", "so the page is there"),
    ("G08", 3, "200", "and so are other pushes"),
    (
        "G10",
        1,
        "400 pushed metrics are invalid or inconsistent with existing metrics: ",
        "a page with two le labels cannot be read",
    ),
    ("G10", 2, "200", "so the page can be read"),
    ("G11", 2, "400 the value of label \"job\" is not UTF-8", "nothing is stored of such a group"),
    ("G11", 3, "200 | m{instance=\"\",job=\"ok\"} 1", "so the page is there"),
    ("G11", 4, "200", "and so are other pushes"),
    ("G11", 6, "200 | m{instance=\"\",job=\"ok\"} 2", "the second push was taken"),
    (
        "G13",
        2,
        "400 pushed metrics are invalid or inconsistent with existing metrics: ",
        "for Prometheus an empty label is no label: one of the two would be lost",
    ),
    ("G13", 3, "200 | m{instance=\"\",job=\"j\"} 1", "so there is one"),
    (
        "G14",
        1,
        "400 improper label name \"U______x\"",
        "reserved names are seen through their escapes; nothing is stored",
    ),
    ("G14", 2, "200", "so the page is there"),
    (
        "H02",
        2,
        "400 pushed metrics are invalid or inconsistent with existing metrics: pushed metrics must not have timestamps: \"n\" has one in line 1",
        "and which, and where",
    ),
    (
        "H03",
        1,
        "400 pushed metrics are invalid or inconsistent with existing metrics: pushed metrics must not have timestamps: \"m\" has one in line 1",
        "and which, and where",
    ),
    (
        "H06",
        4,
        "200 | push_failure_time_seconds{instance=\"\",job=\"j\"} 0",
        "nobody can push a failure time",
    ),
    (
        "I01",
        5,
        "200 | m{instance=\"\",job=\"j\"} 1",
        "what disagrees is left out, and the page is there",
    ),
    ("K10", 3, "405 Method Not Allowed", "and Allow names HEAD"),
    ("K10", 4, "200", "HEAD is GET without the body"),
    ("L01", 1, "200", "OpenMetrics is given to who asks for it"),
    ("L01", 3, "200", "protobuf as text, which nobody scrapes, is not written"),
];

/// Cases in which a current Pushgateway of Debian's differs from the recorded one.
const CURRENT: &[(&str, &str)] = &[
    ("B07", "built with a Go that redirects encoded dots as well"),
    ("G08", "its own counters are there from the start"),
];

/// Cases in which that of the system (1.5) differs.
const OLD: &[(&str, &str)] = &[
    ("B07", "built with a Go that redirects encoded dots as well"),
    ("D10", "no quoted names"),
    ("D16", "no float histograms"),
    ("D17", "negative counts are taken"),
    ("D22", "no escaped quote in HELP"),
    ("E01", "the encoding in lower case only"),
    ("E04", "no snappy"),
    ("F12", "names are checked"),
    ("G08", "its own counters are there from the start"),
    ("L01", "content types without an escaping"),
];

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in CASES.lines().filter(|it| !it.is_empty() && !it.starts_with('#')) {
        if let Some(rest) = line.strip_prefix("case ") {
            let id = rest.split(' ').next().unwrap().to_owned();
            cases.push(Case { id, ..Case::default() });
            continue;
        }
        let case = cases.last_mut().unwrap();
        if let Some(flags) = line.strip_prefix("flags ") {
            case.flags = flags.split(' ').map(str::to_owned).collect();
        } else if let Some(detail) = line.strip_prefix("  ") {
            case.steps.last_mut().unwrap().detail(detail);
        } else {
            let (method, path) = line.split_once(' ').unwrap();
            let (method, path) = (method.to_owned(), unescape(path));
            case.steps.push(Step { method, path, ..Step::default() });
        }
    }
    cases
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut res = Vec::new();
    while let Some(byte) = bytes.next() {
        res.push(match byte {
            b'\\' => match bytes.next().unwrap() {
                b'n' => b'\n',
                b'r' => b'\r',
                b'x' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                it => it,
            },
            it => it,
        });
    }
    res
}

impl Step {
    fn detail(&mut self, detail: &str) {
        if let Some(status) = detail.strip_prefix("= ") {
            self.status = status.parse().unwrap();
        } else if detail == "page" {
            self.page = Some(BTreeSet::new());
        } else if let Some(line) = detail.strip_prefix("| ") {
            let line = String::from_utf8(unescape(line)).unwrap();
            self.page.as_mut().unwrap().insert(canonical(&line));
        } else if let Some(body) = detail.strip_prefix("body ") {
            self.body = unescape(body);
        } else if let Some(text) = detail.strip_prefix("text ") {
            self.expected.push(("text".into(), String::from_utf8(unescape(text)).unwrap()));
        } else if let Some(json) = detail.strip_prefix("json ") {
            self.expected.push(("text".into(), json.to_owned()));
        } else {
            let (name, value) = detail.split_once(": ").unwrap();
            let list = if self.status == 0 { &mut self.headers } else { &mut self.expected };
            list.push((name.to_owned(), value.to_owned()));
        }
    }

    fn send(&self, addr: SocketAddr) -> Option<Response> {
        let headers: Vec<_> = self.headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        Client::new(addr).try_raw_path(&self.method, &self.path, &headers, &self.body).ok()
    }

    /// What is not as a Pushgateway answers; empty if all is.
    fn differences(&self, response: &Response) -> Vec<String> {
        let mut res = Vec::new();
        // Which one depends on the Go that built it.
        let redirects = [301, 307];
        let moved = redirects.contains(&response.status) && redirects.contains(&self.status);
        if response.status != self.status && !moved {
            res.push(format!("status {}", response.status));
        }
        for (name, expected) in &self.expected {
            let same = match name.as_str() {
                "text" => is_text(&response.text(), expected),
                _ => response.header(name) == expected,
            };
            if !same {
                res.push(format!("{name}: {:?} {:?}", response.header(name), response.text()));
            }
        }
        if let Some(expected) = &self.page {
            let found = page(response);
            res.extend(expected.difference(&found).map(|it| format!("lacks {it}")));
            res.extend(found.difference(expected).map(|it| format!("has {it}")));
        }
        res
    }
}

/// Whether `text` is `expected`, or begins with it if that is cut off.
fn is_text(text: &str, expected: &str) -> bool {
    match expected.strip_suffix("...").or(expected.strip_suffix("...\n")) {
        Some(start) => text.starts_with(start),
        None => text == expected,
    }
}

/// The lines of a page that come from pushes, each in one spelling.
fn page(response: &Response) -> BTreeSet<String> {
    const OWN: [&str; 6] = ["go_", "process_", "pushgateway_", "promhttp_", "observatory_", "own_"];
    let body = response.text();
    let lines = body.lines().filter(|line| {
        let name = line.trim_start_matches("# TYPE ").trim_start_matches("# HELP ");
        let own = OWN.iter().any(|it| name.starts_with(it));
        let constant = line.starts_with('#') && name.starts_with("push_");
        !own && !constant && *line != "# EOF"
    });
    lines.map(canonical).collect()
}

/// A line with its labels sorted, its number in one spelling, and times as `<TS>`.
fn canonical(line: &str) -> String {
    if line.starts_with('#') {
        return line.to_owned();
    }
    let Some((series, value)) = line.rsplit_once(' ') else { return line.to_owned() };
    let time = series.starts_with("push_") && value != "0";
    let value = match value.parse::<f64>() {
        Ok(it) if !time => it.to_string(),
        _ => "<TS>".to_owned(),
    };
    let Some((name, labels)) = series.split_once('{') else { return format!("{series} {value}") };
    let mut labels: Vec<_> = labels
        .trim_end_matches('}')
        .split_inclusive("\",")
        .map(|it| it.trim_end_matches(','))
        .collect();
    labels.sort_unstable();
    format!("{name}{{{}}} {value}", labels.join(","))
}

/// Everything in which the server at `addr` differs, by step. A page may take `patience` to be right: a real
/// Pushgateway answers a deletion before it is done.
fn replay(
    case: &Case,
    addr: SocketAddr,
    patience: Duration,
) -> Vec<(usize, Option<Response>, Vec<String>)> {
    let steps = case.steps.iter().enumerate();
    let answers = steps.map(|(at, step)| {
        let started = Instant::now();
        loop {
            let response = step.send(addr);
            let found = match &response {
                Some(it) => step.differences(it),
                None => vec!["no answer".to_owned()],
            };
            let again = step.page.is_some() && started.elapsed() < patience;
            if found.is_empty() || !again {
                return (at + 1, response, found);
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
    answers.filter(|it| !it.2.is_empty()).collect()
}

/// Whether `response` is what `OURS` says.
fn is_ours(response: &Response, expected: &str) -> bool {
    let (status, rest) = expected.split_at(3);
    if response.status.to_string() != status {
        return false;
    }
    let lines: Vec<_> = rest.split(" | ").skip(1).map(canonical).collect();
    let page = page(response);
    let text = rest.split(" | ").next().unwrap().trim_start();
    lines.iter().all(|it| page.contains(it)) && response.text().starts_with(text)
}

#[test]
fn ours_answers_as_a_pushgateway_but_for_what_is_meant() {
    let mut by_flags: BTreeMap<Vec<String>, Vec<Case>> = BTreeMap::new();
    for case in cases() {
        by_flags.entry(case.flags.clone()).or_default().push(case);
    }
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for (flags, cases) in by_flags {
        let settings = flags.iter().fold(Settings::new(), |acc, it| acc.flag(it));
        let server = Server::start_with_rules("version: 1\n", settings);
        for case in cases {
            delete_all(server.addr);
            for (step, response, found) in replay(&case, server.addr, Duration::ZERO) {
                let meant = OURS.iter().position(|it| it.0 == case.id && it.1 == step);
                let good = meant.zip(response.as_ref()).filter(|(at, it)| is_ours(it, OURS[*at].2));
                match good {
                    Some((at, _)) => {
                        seen.insert(at);
                    }
                    None => {
                        let text = response.map(|it| it.text()).unwrap_or_default();
                        wrong.push(format!("{} step {step}: {found:#?}\n{text}", case.id));
                    }
                }
            }
        }
    }
    let unseen = OURS.iter().enumerate().filter(|(at, _)| !seen.contains(at));
    let unseen: Vec<_> = unseen.map(|(_, it)| (it.0, it.1)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(unseen.is_empty(), "these are as with a Pushgateway: {unseen:?}");
}

/// Removes every group, as the Pushgateway's own page does.
fn delete_all(addr: SocketAddr) {
    use base64::Engine;
    let encode = |it: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(it) + "=";
    let mut client = Client::new(addr);
    let list = client.get("/api/v1/metrics").expect(200).json();
    for group in list["data"].as_array().unwrap() {
        let labels = group["labels"].as_object().unwrap();
        let mut path = format!("/metrics/job@base64/{}", encode(labels["job"].as_str().unwrap()));
        for (name, value) in labels.iter().filter(|(name, _)| *name != "job") {
            path += &format!("/{name}@base64/{}", encode(value.as_str().unwrap()));
        }
        client.request("DELETE", &path, &[], b"").expect(202);
    }
    assert_eq!(client.get("/api/v1/metrics").json()["data"].as_array().unwrap().len(), 0);
}

#[test]
fn a_current_pushgateway_answers_as_the_cases_say() {
    check_real(Peer::Current, CURRENT);
}

#[test]
fn the_pushgateway_of_the_system_answers_as_the_cases_say_but_for_its_age() {
    check_real(Peer::System, OLD);
}

#[track_caller]
fn check_real(peer: Peer, different: &[(&str, &str)]) {
    let Some(program) = peer.program() else { return };
    let (mut wrong, mut same) = (Vec::new(), Vec::new());
    // It dies of F15, but takes all memory first; which help text it shows in G02 is a matter of luck.
    for case in cases().iter().filter(|it| !["F15", "G02"].contains(&it.id.as_str())) {
        // A flag that it does not know is of a later version.
        let Some(gateway) = Pushgateway::start(&program, &case.flags) else { continue };
        let found = replay(case, gateway.addr, Duration::from_secs(2));
        let meant = different.iter().any(|it| it.0 == case.id);
        if meant && found.is_empty() {
            same.push(case.id.clone());
        }
        for (step, _, found) in found.into_iter().filter(|_| !meant) {
            wrong.push(format!("{} step {step}: {found:#?}", case.id));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(same.is_empty(), "these are as the cases say: {same:?}");
}
