//! Real Prometheus servers, the system's 2.42 and a current 3.x, scrape the real server.

use crate::support::{Peer, Prometheus, Samples, Server, Settings, cli, promtool, python};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use std::{
    io::Write,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

const RULES: &str = r#"
version: 1
metrics:
  shop_orders_total:
    help: Orders, by who sent them.
    match: order
    count: 1
    labels: {shop: $shop}
  shop_order_size_bytes:
    help: Sizes of orders.
    match: order
    observe: $size
    buckets: [100, 200, 400, 800]
    native: true
  shop_temperature_celsius:
    help: The last temperature.
    match: weather
    set: $degrees
"#;

/// What makes a Prometheus ask for each format first.
const FORMATS: &[(Peer, &[&str])] = &[
    (Peer::System, &[]),
    (Peer::System, &["native-histograms"]),
    (Peer::Current, &[]),
    (Peer::Current, &["native-histograms"]),
    (Peer::Current, &["created-timestamp-zero-ingestion"]),
];

fn order(shop: &str, size: u64) -> Value {
    json!({"event_type": "order", "source": "s", "data": {"shop": shop, "size": size}})
}

#[test]
fn every_format_is_scraped_by_both_versions() {
    let server = Server::start_with_rules(RULES, Settings::new());
    let mut client = server.client();
    let peers: Vec<_> =
        FORMATS.iter().filter_map(|(peer, it)| Prometheus::start(*peer, server.addr, it)).collect();
    for size in 1..=1000 {
        client.event(&order("a", size)).expect(202);
    }
    client
        .event(&json!({"event_type": "weather", "source": "s", "data": {"degrees": -3.5}}))
        .expect(202);
    for peer in &peers {
        peer.eventually("up{job=\"observatory\"}", |it| it == 1.0);
        peer.eventually("shop_orders_total{shop=\"a\"}", |it| it == 1000.0);
        peer.eventually("shop_temperature_celsius", |it| it == -3.5);
        peer.eventually("observatory_build_info", |it| it == 1.0);
        peer.scrapes(2);
        assert_eq!(peer.target()["lastError"], "", "{}", peer.log());
        assert!(!peer.log().contains("level=warn"), "{}", peer.log());
    }
}

#[test]
fn the_first_event_ever_is_seen_by_increase() {
    let server = Server::start_with_rules(RULES, Settings::new());
    // Two of the current one: a pair for high availability, each of which must see the zero.
    let setups: [(Peer, &[&str]); 4] = [
        (Peer::System, &[]),
        (Peer::Current, &[]),
        (Peer::Current, &[]),
        (Peer::Current, &["created-timestamp-zero-ingestion"]),
    ];
    let peers: Vec<_> =
        setups.iter().filter_map(|(peer, it)| Prometheus::start(*peer, server.addr, it)).collect();
    for peer in &peers {
        peer.scrapes(1);
    }
    server.client().event(&order("first", 150)).expect(202);
    // A person sees the truth at once.
    server.metrics().check("shop_orders_total{shop=\"first\"}", 1.0);
    for peer in &peers {
        let increase = |metric: &str, good: fn(f64) -> bool| {
            peer.eventually(&format!("increase({metric}[5m])"), good)
        };
        // Extrapolation may add a little; one event may never look like two.
        increase("shop_orders_total{shop=\"first\"}", |it| (1.0..1.9).contains(&it));
        peer.eventually("shop_orders_total{shop=\"first\"}", |it| it == 1.0);
    }
}

#[test]
fn a_native_histogram_answers_quantiles() {
    let server = Server::start_with_rules(RULES, Settings::new());
    let Some(peer) = Prometheus::start(Peer::Current, server.addr, &["native-histograms"]) else {
        return;
    };
    peer.scrapes(1);
    let mut client = server.client();
    for size in 1..=1000 {
        client.event(&order("n", size)).expect(202);
    }
    peer.eventually("histogram_count(shop_order_size_bytes)", |it| it == 1000.0);
    peer.eventually("histogram_sum(shop_order_size_bytes)", |it| it == 500_500.0);
    // The resolution of schema 3 is 9 %.
    for (quantile, value) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
        let promql = format!("histogram_quantile({quantile}, shop_order_size_bytes)");
        peer.eventually(&promql, |it| (it / value - 1.0_f64).abs() < 0.10);
    }
}

#[test]
fn classic_buckets_answer_quantiles_on_both() {
    let server = Server::start_with_rules(RULES, Settings::new());
    let mut client = server.client();
    for size in 1..=400 {
        client.event(&order("c", size)).expect(202);
    }
    for peer in Peer::ALL.iter().filter_map(|it| Prometheus::start(*it, server.addr, &[])) {
        let promql = "histogram_quantile(0.5, sum by (le) (shop_order_size_bytes_bucket))";
        peer.eventually(promql, |it| (it - 200.0).abs() < 1.0);
    }
}

/// Any text in any string of an event leaves the target up and arrives as it was.
#[test]
fn hostile_text_leaves_the_target_up() {
    let server = Server::start_with_rules(RULES, Settings::new());
    let features: [(Peer, &[&str]); 3] =
        [(Peer::System, &[]), (Peer::Current, &[]), (Peer::Current, &["native-histograms"])];
    let peers: Vec<_> = features
        .iter()
        .filter_map(|(peer, it)| Prometheus::start(*peer, server.addr, it))
        .collect();
    let mut client = server.client();
    let fixed = [
        "\"",
        "\\",
        "\n",
        "\r\n",
        "\0",
        "a\\\"b",
        "}",
        "{le=\"1\"} 5\n",
        "# EOF\n",
        "\u{feff}",
        "\u{202e}",
        "🦀",
        "é",
        " ",
        "\u{85}",
        "\u{2028}",
        "\\n",
        "'",
        "`",
        "\t",
        "\u{7f}",
        "\u{10ffff}",
    ];
    for text in fixed {
        client.event(&hostile(text)).expect(202);
    }
    let sent = std::cell::RefCell::new(client);
    TestRunner::new(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })
        .run(&any::<String>(), |text| {
            let status = sent.borrow_mut().event(&hostile(&text)).status;
            // An empty type or one that is too long is refused; nothing else may be.
            prop_assert!(
                status == 202 || text.is_empty() || text.len() > 200,
                "{status}: {text:?}"
            );
            Ok(())
        })
        .unwrap();
    for peer in &peers {
        peer.scrapes(3);
        for text in fixed.iter().filter(|it| !it.trim().is_empty()) {
            let quoted = serde_json::to_string(text).unwrap().replace("\\u0000", "\\x00");
            let quoted = quoted.replace("\\u007f", "\\x7f");
            let found = peer.query(&format!("shop_orders_total{{shop={quoted}}}"));
            assert!(!found.is_empty(), "{text:?} did not arrive: {}", peer.target());
        }
    }
}

/// `text` at every place where an event has text.
fn hostile(text: &str) -> Value {
    json!([
        {"event_type": "order", "source": "s", "data": {"shop": text, "size": 1}},
        {"event_type": "order", "source": format!("s{text}"), "subject": text,
         "data": {"shop": "x", "size": text, text: text}},
        {"event_type": format!("t{text}"), "source": "s", "data": {"a": text}},
    ])
}

/// `/metrics` of a server that has seen every kind of event passes promlint and the old parser.
#[test]
fn promtool_finds_nothing_to_complain_about() {
    let server = Server::start();
    let url = format!("http://{}", server.addr);
    let demo = ["demo", "--url", &url, "--duration", "2s", "--rate", "200/s", "--seed", "7"];
    let output = cli(&demo, &Settings::new(), "");
    assert!(output.status.success(), "{output:?}");
    let page = server.client().get("/metrics").expect(200).text();
    assert!(Samples::parse(&page).names().len() > 50, "the demo fills the page: {page}");
    for program in Peer::ALL.iter().filter_map(|it| promtool(*it)) {
        let mut check = Command::new(&program);
        check.args(["check", "metrics"]).stdin(Stdio::piped());
        let mut check = check.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        check.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
        let output = check.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{program:?}: {output:?}");
    }
}

/// What is asked for is what is answered, and every answer says the same.
#[test]
fn the_formats_agree() {
    let server = Server::start_with_rules(RULES, Settings::new());
    for size in 1..=10 {
        server.client().event(&order("f", size)).expect(202);
    }
    thread::sleep(Duration::from_millis(1100));
    let get = |headers: &[(&str, &str)]| {
        server.client().request("GET", "/metrics", headers, b"").expect(200)
    };
    let text = get(&[]);
    assert!(text.header("content-type").starts_with("text/plain; version=0.0.4"), "{text:?}");
    let open = get(&[("accept", "application/openmetrics-text;version=1.0.0")]);
    assert!(open.header("content-type").starts_with("application/openmetrics-text"));
    assert!(open.text().ends_with("# EOF\n"));
    assert!(open.text().contains("\n# TYPE shop_orders counter\n"));
    let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let protobuf = get(&[("accept", accept)]);
    assert!(protobuf.header("content-type").starts_with("application/vnd.google.protobuf"));
    let gzip = get(&[("accept-encoding", "gzip")]);
    assert_eq!(gzip.header("content-encoding"), "gzip");
    let mut plain = String::new();
    std::io::Read::read_to_string(
        &mut flate2::read::GzDecoder::new(gzip.body.as_slice()),
        &mut plain,
    )
    .unwrap();
    let of_rules = |it: &str| Samples::parse(it).of_rules();
    assert_eq!(of_rules(&plain), of_rules(&text.text()));
    let head = server.client().request("HEAD", "/metrics", &[], b"").expect(200);
    assert!(head.body.is_empty());
    let nothing_fits = get(&[("accept", "image/png")]);
    assert!(nothing_fits.header("content-type").starts_with("text/plain"));
}

/// The official parser reads what it does not know the author of, and finds every sample.
#[test]
fn the_official_python_parser_reads_every_byte() {
    let Some(python) = python() else { return };
    let server = Server::start_with_rules(RULES, Settings::new());
    let mut client = server.client();
    for text in ["plain", "\"quoted\"", "back\\slash", "new\nline", "🦀", "{}", "#"] {
        client.event(&order(text, 150)).expect(202);
    }
    let accept = "application/openmetrics-text;version=1.0.0";
    for (module, accept) in [("parser", "text/plain"), ("openmetrics.parser", accept)] {
        let page = client.request("GET", "/metrics", &[("accept", accept)], b"").expect(200);
        let script = format!(
            "import sys\n\
             from prometheus_client.{module} import text_string_to_metric_families as parse\n\
             page = sys.stdin.buffer.read().decode()\n\
             samples = [s for f in parse(page) for s in f.samples]\n\
             orders = {{s.labels['shop']: s.value for s in samples if s.name == 'shop_orders_total'}}\n\
             assert len(orders) == 7 and set(orders.values()) == {{1.0}}, orders\n\
             assert 'new\\nline' in orders and 'back\\\\slash' in orders, orders\n"
        );
        let mut run = Command::new(&python);
        run.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut run = run.stderr(Stdio::piped()).spawn().unwrap();
        run.stdin.take().unwrap().write_all(&page.body).unwrap();
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{module}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
