//! Pushes that add up, over HTTP: all of them count, each of them once.

use crate::support::{Client, Random, Server, Settings};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

const BODY: &[u8] = b"# TYPE runs_total counter\nruns_total 1\n# TYPE seconds histogram\n\
    seconds_bucket{le=\"1\"} 1\nseconds_bucket{le=\"+Inf\"} 2\nseconds_sum 3\nseconds_count 2\n\
    # TYPE last gauge\nlast 7\n";
const SUM: &str = "/metrics/job/j?mode=sum";

fn start(settings: Settings) -> Server {
    Server::start_with_rules("version: 1\n", settings)
}

#[test]
fn pushes_of_eight_clients_add_up_exactly() {
    let server = start(Settings::new());
    thread::scope(|scope| {
        for n in 0..8 {
            let mut client = server.client();
            scope.spawn(move || {
                for _ in 0..100 {
                    let method = if n % 2 == 0 { "PUT" } else { "POST" };
                    client.request(method, SUM, &[], BODY).expect(200);
                }
            });
        }
    });
    let page = server.metrics();
    page.check("runs_total{instance=\"\",job=\"j\"}", 800.0);
    page.check("seconds_bucket{instance=\"\",job=\"j\",le=\"1\"}", 800.0);
    page.check("seconds_bucket{instance=\"\",job=\"j\",le=\"+Inf\"}", 1600.0);
    page.check("seconds_count{instance=\"\",job=\"j\"}", 1600.0);
    page.check("seconds_sum{instance=\"\",job=\"j\"}", 2400.0);
    page.check("last{instance=\"\",job=\"j\"}", 7.0);
}

#[test]
fn terms_come_from_the_query_then_the_headers_then_the_job() {
    let jobs = "[{match: 'ci-*', mode: sum, gauges: max}]";
    let server = start(Settings::new().env("OBSERVATORY_PUSH_JOBS", jobs));
    let push = |path: &str, headers: &[(&str, &str)], gauge: u32| {
        let body = format!("# TYPE c counter\nc 1\n# TYPE g gauge\ng {gauge}\n");
        server.client().request("PUT", path, headers, body.as_bytes()).expect(200);
    };
    let check = |job: &str, counter: f64, gauge: f64| {
        let page = server.metrics();
        page.check(&format!("c{{instance=\"\",job=\"{job}\"}}"), counter);
        page.check(&format!("g{{instance=\"\",job=\"{job}\"}}"), gauge);
    };
    for gauge in [5, 9, 2] {
        push("/metrics/job/ci-x", &[], gauge);
        push("/metrics/job/other", &[], gauge);
        push("/metrics/job/asked?mode=sum&gauges=sum", &[], gauge);
        let headers = [("x-observatory-mode", "sum"), ("X-Observatory-Gauges", "min")];
        push("/metrics/job/said", &headers, gauge);
        push("/metrics/job/ci-not?mode=replace", &[("x-observatory-mode", "sum")], gauge);
        push("/metrics/job/ci-min?gauges=min", &[], gauge);
    }
    check("ci-x", 3.0, 9.0);
    check("other", 1.0, 2.0);
    check("asked", 3.0, 16.0);
    check("said", 3.0, 2.0);
    check("ci-not", 1.0, 2.0);
    check("ci-min", 3.0, 2.0);
}

#[test]
fn what_is_wrong_is_said_in_a_line() {
    let server = start(Settings::new());
    let check = |query: &str, key: Option<&str>, body: &str, status: u16, words: &str| {
        let path = format!("/metrics/job/j?{query}");
        let headers: Vec<_> = key.iter().map(|it| ("idempotency-key", *it)).collect();
        let response = server.client().request("POST", &path, &headers, body.as_bytes());
        let said = response.text();
        assert!(response.status == status && said.contains(words), "{}: {said}", response.status);
        assert_eq!(said.lines().count(), usize::from(status != 200), "{said}");
    };
    let counter = "# TYPE c counter\nc 1\n";
    check("mode=add", None, counter, 400, "mode must be replace or sum, not \"add\"");
    check("mode=sum&gauges=mean", None, counter, 400, "gauges must be last, sum, min or max");
    check("gauges=max", None, counter, 400, "gauges goes with mode=sum");
    check("", Some("\"a"), counter, 400, "Idempotency-Key must be 1 to 255 visible ASCII");
    check("mode=sum", Some("\"one\""), counter, 200, "");
    check("mode=sum", Some("\"one\""), counter, 200, "");
    check("mode=sum", Some("one"), counter, 200, "");
    check("mode=sum", Some("one"), "# TYPE c counter\nc 2\n", 422, "was used for another push");
    check("mode=replace", Some("one"), counter, 422, "was used for another push");
    check("mode=sum", None, "# TYPE c counter\nc NaN\n", 400, "cannot be added up: it is NaN");
    check("mode=sum", None, "# TYPE c gauge\nc 1\n", 400, "is not a COUNTER, as the group has it");
    // What a Pushgateway would not read is not read here either.
    check("x=y&modes=add", None, counter, 200, "");
    server.metrics().check("c{instance=\"\",job=\"j\"}", 1.0);
    server.metrics().check("observatory_push_requests_total{result=\"repeated\"}", 2.0);
    server.metrics().check("observatory_push_idempotency_keys", 1.0);
}

/// Sends pushes, each with a key of its own and until it is answered, whoever dies meanwhile.
fn send(
    connect: impl Fn() -> Client,
    (sender, until): (u64, &AtomicBool),
    (acknowledged, repeated): (&AtomicU64, &AtomicU64),
) -> u64 {
    let mut client = connect();
    let mut n = 0;
    while !until.load(Ordering::Relaxed) {
        n += 1;
        let key = format!("\"{sender}-{n}\"");
        let path = format!("/metrics/job/kill/group/{}?mode=sum", n % 3);
        loop {
            match client.try_request("POST", &path, &[("idempotency-key", &key)], BODY) {
                Ok(it) if it.status == 200 => break,
                Ok(it) => assert_eq!(it.status, 503, "{}", it.text()),
                Err(_) => {
                    repeated.fetch_add(1, Ordering::Relaxed);
                    client = connect();
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    n
}

/// kill -9 in the middle: what got no answer is sent again with its key, and counts once all the same.
#[test]
fn retries_across_kill_9_count_once() {
    let mut server = start(Settings::new());
    let mut random = Random::new(7);
    let address = std::sync::Mutex::new(server.addr);
    let (stop, acknowledged, repeated) =
        (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let total: u64 = thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let (address, stop) = (&address, &stop);
                let counts = (&acknowledged, &repeated);
                let connect = || Client::new(*address.lock().unwrap());
                scope.spawn(move || send(connect, (sender, stop), counts))
            })
            .collect();
        for _ in 0..8 {
            let next = acknowledged.load(Ordering::Relaxed) + 20 + random.below(20);
            let until = Instant::now() + Duration::from_secs(30);
            while acknowledged.load(Ordering::Relaxed) < next && Instant::now() < until {
                thread::sleep(Duration::from_millis(1));
            }
            server.kill9();
            server.restart();
            *address.lock().unwrap() = server.addr;
        }
        stop.store(true, Ordering::Relaxed);
        senders.into_iter().map(|it| it.join().unwrap()).sum()
    });
    let page = server.metrics();
    #[expect(clippy::cast_precision_loss, reason = "few")]
    let total = total as f64;
    assert_eq!(page.sum("runs_total"), total);
    assert_eq!(page.sum("seconds_count"), 2.0 * total);
    assert_eq!(page.sum("seconds_sum"), 3.0 * total);
    assert!(repeated.load(Ordering::Relaxed) > 0 && total > 100.0, "{total} {repeated:?}");
}
