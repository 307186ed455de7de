//! Clients of the gravel gateway and of prom-aggregation-gateway, who find what they know: the examples of their
//! documentation.

use crate::support::{Server, Settings};

fn start(compat: &str) -> Server {
    let settings = Settings::new().env("OBSERVATORY_PUSH_COMPAT", compat);
    Server::start_with_rules("version: 1\n", settings)
}

fn send(server: &Server, method: &str, path: &str, body: &str, status: u16) -> String {
    server.client().request(method, path, &[], body.as_bytes()).expect(status).text()
}

fn pushed(server: &Server) -> Vec<String> {
    let page = server.client().get("/metrics").expect(200).text();
    let own = ["#", "observatory_", "push_", "pushgateway_", "process_"];
    let pushed = page.lines().filter(|it| !own.iter().any(|own| it.starts_with(own)));
    pushed.map(str::to_owned).collect()
}

#[test]
fn a_gravel_gateway_adds_up_as_its_labels_say() {
    let server = start("gravel");
    for n in [1, 3] {
        let body = format!(
            "# TYPE value_total counter\nvalue_total {n}\n# TYPE value2 gauge\n\
             value2{{clearmode=\"aggregate\"}} 1\n# TYPE version gauge\n\
             version{{version=\"0.0.{n}\",clearmode=\"family\"}} 1\n# TYPE plain gauge\nplain {n}\n\
             # TYPE last counter\nlast{{clearmode=\"replace\",x=\"1\"}} {n}\nlast{{x=\"2\"}} {n}\n"
        );
        send(&server, "POST", "/metrics", &body, 200);
    }
    let expected = [
        "last{instance=\"\",x=\"1\"} 3",
        "last{instance=\"\",x=\"2\"} 4",
        "plain{instance=\"\"} 3",
        "value2{instance=\"\"} 2",
        "value_total{instance=\"\"} 4",
        "version{instance=\"\",version=\"0.0.3\"} 1",
    ];
    assert_eq!(pushed(&server), expected);
}

#[test]
fn a_clear_mode_may_stand_in_the_path() {
    let server = start("gravel");
    let body = |n| format!("# TYPE c counter\nc{{n=\"{n}\"}} {n}\nc {n}\n# TYPE g gauge\ng {n}\n");
    let job = |mode: &str| format!("/metrics/job/{mode}/clearmode/{mode}");
    for mode in ["aggregate", "replace", "family"] {
        for n in [1, 2] {
            send(&server, "POST", &job(mode), &body(n), 200);
        }
    }
    let page = server.metrics();
    for (mode, c, g) in [("aggregate", 3.0, 3.0), ("replace", 2.0, 2.0), ("family", 2.0, 2.0)] {
        page.check(&format!("c{{instance=\"\",job=\"{mode}\"}}"), c);
        page.check(&format!("g{{instance=\"\",job=\"{mode}\"}}"), g);
        let first = page.get(&format!("c{{instance=\"\",job=\"{mode}\",n=\"1\"}}"));
        assert_eq!(first, Some(1.0).filter(|_| mode != "family"), "{mode}");
    }
    let said = send(&server, "POST", "/metrics/job/j/clearmode/mean5m", &body(1), 400);
    assert!(said.contains("clearmode must be aggregate, replace or family"), "{said}");
    assert!(said.contains("over a window are not kept"), "{said}");
    let said = send(&server, "POST", "/metrics", "c{clearmode=\"add\"} 1\n", 400);
    assert!(said.contains("metric family \"c\": clearmode must be aggregate"), "{said}");
    // A PUT, which theirs has not, is a PUT; and what a push says itself is stronger.
    send(&server, "PUT", "/metrics/job/aggregate", &body(5), 200);
    send(&server, "POST", "/metrics/job/aggregate?mode=replace", &body(6), 200);
    server.metrics().check("c{instance=\"\",job=\"aggregate\"}", 6.0);
    send(&server, "DELETE", "/metrics/job/aggregate", "", 202);
}

#[test]
fn a_prom_aggregation_gateway_adds_everything_up() {
    let server = start("prom-aggregation-gateway");
    let body = "# TYPE some_counter counter\nsome_counter 1\n# TYPE g gauge\ng 2\nu 3\n# TYPE h histogram\n\
        h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    let wider = body.replace("le=\"1\"", "le=\"2\"");
    let labels = [
        ("/metrics", ""),
        (
            "/metrics/domain/sometest.com/instance/nginx-1",
            "domain=\"sometest.com\",instance=\"nginx-1\"",
        ),
        ("/metrics/job/someJob", "job=\"someJob\""),
    ];
    for (path, _) in labels {
        send(&server, "PUT", path, body, 202);
        send(&server, "POST", &format!("{path}/"), &wider, 202);
    }
    let page = server.metrics();
    for (_, labels) in labels {
        let instance = if labels.contains("instance") { "" } else { ",instance=\"\"" };
        let series = |name: &str, more: &str| {
            let all = format!("{labels}{instance}{more}");
            format!("{name}{{{}}}", all.trim_start_matches(','))
        };
        page.check(&series("some_counter", ""), 2.0);
        page.check(&series("g", ""), 4.0);
        page.check(&series("u", ""), 6.0);
        for (le, n) in [("1", 1.0), ("2", 2.0), ("+Inf", 4.0)] {
            page.check(&series("h_bucket", &format!(",le=\"{le}\"")), n);
        }
    }
    send(&server, "POST", "/metrics/domain", body, 400);
    let answer = server.client().request("POST", "/metrics/", &[], body.as_bytes()).expect(202);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}

/// A pushed series without a job may be one of the rules' own, which the page shows once.
#[test]
fn a_push_without_a_job_keeps_clear_of_the_rules() {
    let rules = "version: 1\nmetrics:\n  runs:\n    help: Runs.\n    match: run\n    set: $v\n    labels: {x: $x}\n";
    let settings = Settings::new().env("OBSERVATORY_PUSH_COMPAT", "gravel");
    let server = Server::start_with_rules(rules, settings);
    let said = send(&server, "POST", "/metrics", "# TYPE runs gauge\nruns{x=\"1\"} 1\n", 400);
    assert!(said.contains("has only labels that the rules give"), "{said}");
    send(&server, "POST", "/metrics", "# TYPE runs gauge\nruns{x=\"1\",y=\"1\"} 1\n", 200);
    send(&server, "POST", "/metrics/job/j", "# TYPE runs gauge\nruns{x=\"1\"} 1\n", 200);
    let said = send(
        &server,
        "POST",
        "/metrics",
        "# TYPE process_open_fds gauge\nprocess_open_fds 1\n",
        400,
    );
    assert!(said.contains("process_open_fds"), "{said}");
}

#[test]
fn without_the_setting_nothing_of_it_is_there() {
    let server = start("pushgateway");
    for (method, path) in [("POST", "/metrics"), ("PUT", "/metrics"), ("POST", "/metrics/a/1")] {
        let response = server.client().request(method, path, &[], b"m 1\n");
        assert!([404, 405].contains(&response.status), "{method} {path}: {}", response.status);
    }
    let counter = "# TYPE c counter\nc 1\n";
    for _ in 0..2 {
        send(&server, "POST", "/metrics/job/j/clearmode/aggregate", counter, 200);
    }
    assert_eq!(pushed(&server), ["c{clearmode=\"aggregate\",instance=\"\",job=\"j\"} 1"]);
}
