use super::*;
use crate::event::{EventId, IdGenerator, NewEvent, Time};
use crate::exposition::negotiate;
use crate::store;
use crate::store::Store;
use proptest::prelude::*;

mod shadow;

const START_MS: i64 = 1_767_225_600_000;

struct Fixture {
    projection: Projection,
    rules: Arc<RuleSet>,
    ids: IdGenerator,
    now_ms: i64,
}

impl Fixture {
    fn new(metrics: &str) -> Self {
        Self::with(metrics, Config { zero_first: false, ..Config::default() }, None)
    }

    fn with(text: &str, config: Config, dormant: Option<Table>) -> Self {
        let rules = Arc::new(RuleSet::parse(&format!("version: 1\n{text}")).unwrap());
        Self::of(rules, config, dormant)
    }

    fn of(rules: Arc<RuleSet>, config: Config, dormant: Option<Table>) -> Self {
        let mut projection = Projection::new(Arc::clone(&rules), config, dormant, i64::MIN);
        projection.use_rules(Arc::clone(&rules), 1, START_MS);
        Self { projection, rules, ids: IdGenerator::new(1), now_ms: START_MS }
    }

    fn event<'a>(&self, event_type: &'a str, data: &'a str) -> crate::event::Event<'a> {
        let now = Time::from_millis(self.now_ms);
        let event = NewEvent {
            id: None,
            event_type: event_type.into(),
            source: "s".into(),
            time: None,
            subject: None,
            trace: None,
            data: data.into(),
        };
        event.accept(now, || -> EventId<'_> { self.ids.next(now) })
    }

    fn send(&mut self, event_type: &str, data: &str) {
        let event = self.event(event_type, data);
        let mut updates = Updates::default();
        let part = Part::evaluate(&self.rules, &event, &mut updates);
        self.projection.apply(&updates, &part, self.now_ms);
    }

    fn wait(&mut self, seconds: i64) {
        self.now_ms += seconds * 1000;
    }

    fn page_for(&self, held: bool) -> String {
        let page = self.projection.metrics().render(
            (negotiate(None), false),
            held,
            self.now_ms,
            (&[], &crate::exposition::no_others),
        );
        String::from_utf8(page.chunks.concat()).unwrap()
    }

    /// The samples of the page, without comments, sorted.
    fn samples(&self) -> Vec<String> {
        let page = self.page_for(false);
        let mut res: Vec<_> =
            page.lines().filter(|it| !it.starts_with('#')).map(str::to_owned).collect();
        res.sort();
        res
    }

    fn scrape(&self) -> String {
        let metrics = self.projection.metrics();
        if let Some(mark) = metrics.scraped(Scraper { id: 1, timeout_ms: 10_000 }, self.now_ms) {
            metrics.release(mark);
        }
        self.page_for(true)
    }
}

fn table() -> (tempfile::TempDir, Store, Table) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&store::Config::new(dir.path().to_owned())).unwrap();
    let table = store.table("metrics").unwrap();
    (dir, store, table)
}

const COUNT_BY_X: &str =
    "metrics:\n  a_total: {help: A., match: a, count: 1, labels: {x: $x}, limit: 3}";

#[test]
fn series_beyond_the_limit_overflow_and_the_sum_stays_exact() {
    let mut it = Fixture::new(COUNT_BY_X);
    for i in 0..50 {
        it.send("a", &format!("{{\"x\":\"{}\"}}", i % 10));
    }
    assert_eq!(
        it.samples(),
        [
            "a_total{x=\"0\"} 5",
            "a_total{x=\"1\"} 5",
            "a_total{x=\"2\"} 5",
            "a_total{x=\"_overflow\"} 35",
        ]
    );
}

#[test]
fn a_label_limit_comes_before_the_limit_of_the_metric() {
    let rules = "metrics:\n  a_total: {help: A., match: a, count: 1, labels: {x: '${x | limit(2)}', y: $y}}";
    let mut it = Fixture::new(rules);
    for i in 0..6 {
        it.send("a", &format!("{{\"x\":\"{i}\",\"y\":\"{}\"}}", i % 2));
    }
    assert_eq!(
        it.samples(),
        [
            "a_total{x=\"0\",y=\"0\"} 1",
            "a_total{x=\"1\",y=\"1\"} 1",
            "a_total{x=\"_overflow\",y=\"0\"} 2",
            "a_total{x=\"_overflow\",y=\"1\"} 2",
        ]
    );
}

#[test]
fn a_unique_series_replaces_the_one_before() {
    let rules = "metrics:\n  a_info: {help: A., match: a, set: 1, labels: {agent: $agent, version: $version}, unique_by: [agent]}";
    let mut it = Fixture::new(rules);
    for (agent, version) in [("a", 1), ("b", 1), ("a", 2), ("a", 1), ("a", 3)] {
        it.send("a", &format!("{{\"agent\":\"{agent}\",\"version\":{version}}}"));
    }
    assert_eq!(
        it.samples(),
        ["a_info{agent=\"a\",version=\"3\"} 1", "a_info{agent=\"b\",version=\"1\"} 1",]
    );
}

#[test]
fn a_hidden_series_resumes_where_it_was_also_after_it_was_put_away() {
    let (_dir, store, table) = table();
    let rules = "metrics:\n  a_total: {help: A., match: a, count: 1, labels: {x: $x}, ttl: 1m}";
    let config = Config { zero_first: false, ..Config::default() };
    let mut it = Fixture::with(rules, config, Some(table.clone()));
    it.send("a", "{\"x\":\"1\"}");
    it.wait(61);
    assert!(it.samples().is_empty());
    it.send("a", "{\"x\":\"1\"}");
    assert_eq!(it.samples(), ["a_total{x=\"1\"} 2"]);
    for expected in 3..5 {
        it.wait(61);
        it.projection.snapshot((&store, &table), 1, it.now_ms).unwrap();
        assert_eq!(it.projection.families[0].shared.data.live(), 0);
        it.send("a", "{\"x\":\"1\"}");
        assert_eq!(it.samples(), [format!("a_total{{x=\"1\"}} {expected}")]);
    }
    // Ten times as long, and it is forgotten.
    it.wait(601);
    it.projection.snapshot((&store, &table), 1, it.now_ms).unwrap();
    it.send("a", "{\"x\":\"1\"}");
    assert_eq!(it.samples(), ["a_total{x=\"1\"} 1"]);
}

#[test]
fn what_was_put_away_fits_the_snapshot_in_force() {
    let (_dir, store, table) = table();
    let rules = "metrics:\n  a_total: {help: A., match: a, count: 1, labels: {x: $x}, ttl: 1m}";
    let config = Config { zero_first: false, ..Config::default() };
    let mut it = Fixture::with(rules, config, Some(table.clone()));
    it.send("a", "{\"x\":\"1\"}");
    it.wait(61);
    it.projection.snapshot((&store, &table), 2, it.now_ms).unwrap();
    // Comes back after the snapshot; then the process dies, and the event is replayed.
    it.send("a", "{\"x\":\"1\"}");
    let mut again = Fixture::with(rules, config, Some(table.clone()));
    again.now_ms = it.now_ms;
    assert_eq!(again.projection.restore(&table).unwrap(), 2);
    again.send("a", "{\"x\":\"1\"}");
    assert_eq!(again.samples(), it.samples());
    assert_eq!(again.samples(), ["a_total{x=\"1\"} 2"]);
}

#[test]
fn a_new_series_shows_zero_once_and_then_its_value() {
    let config = Config::default();
    let mut it = Fixture::with(COUNT_BY_X, config, None);
    it.send("a", "{\"x\":\"1\"}");
    assert!(it.samples().contains(&"a_total{x=\"1\"} 1".to_owned()), "a person sees the truth");
    assert!(it.scrape().contains("a_total{x=\"1\"} 0"));
    it.wait(15);
    assert!(it.scrape().contains("a_total{x=\"1\"} 1"));
    it.send("a", "{\"x\":\"1\"}");
    assert!(it.scrape().contains("a_total{x=\"1\"} 2"), "a value is never taken back");
}

#[test]
fn both_of_a_pair_see_the_zero() {
    let mut it = Fixture::with(COUNT_BY_X, Config::default(), None);
    let scrape = |it: &Fixture, id| {
        let metrics = it.projection.metrics();
        if let Some(mark) = metrics.scraped(Scraper { id, timeout_ms: 1_000 }, it.now_ms) {
            metrics.release(mark);
        }
        it.page_for(true).contains("a_total{x=\"1\"} 0")
    };
    for id in [1, 2, 1, 2] {
        scrape(&it, id);
        it.wait(if id == 1 { 7 } else { 8 });
    }
    it.send("a", "{\"x\":\"1\"}");
    assert!(scrape(&it, 1));
    it.wait(7);
    assert!(scrape(&it, 2), "the other one has not seen it yet");
    it.wait(8);
    assert!(!scrape(&it, 1));
    it.wait(7);
    assert!(!scrape(&it, 2));
}

#[test]
fn what_nobody_scraped_for_long_is_shown_as_it_is() {
    let mut it = Fixture::with(COUNT_BY_X, Config::default(), None);
    it.send("a", "{\"x\":\"1\"}");
    it.wait(3600);
    assert!(it.scrape().contains("a_total{x=\"1\"} 1"));
}

const SPAN: &str = r"spans:
  job: {help: Job, key: $k, start: s, end: e, labels: {p: $p}, end_labels: {r: $r}, stuck_after: 1m, give_up_after: 1h}";

#[track_caller]
fn check_span(it: &Fixture, expected: &[&str]) {
    let page = it.samples();
    for line in expected {
        assert!(page.contains(&(*line).to_owned()), "{line} is not in {page:#?}");
    }
}

#[test]
fn a_span_is_timed_and_its_gauges_follow() {
    let mut it = Fixture::new(SPAN);
    it.send("s", r#"{"k":1,"p":"x"}"#);
    it.send("s", r#"{"k":2,"p":"x"}"#);
    check_span(&it, &["job_in_flight{p=\"x\"} 2", "job_stuck{p=\"x\"} 0"]);
    it.wait(61);
    check_span(
        &it,
        &["job_stuck{p=\"x\"} 2", "job_oldest_start_timestamp_seconds{p=\"x\"} 1767225600"],
    );
    it.send("e", r#"{"k":1,"r":"ok"}"#);
    check_span(&it, &["job_in_flight{p=\"x\"} 1", "job_duration_seconds_sum{p=\"x\",r=\"ok\"} 61"]);
    it.wait(3600);
    it.projection.tick(it.now_ms);
    check_span(&it, &["job_in_flight{p=\"x\"} 0", "job_abandoned_total 1"]);
    it.send("e", r#"{"k":2,"r":"ok"}"#);
    it.wait(61);
    it.projection.tick(it.now_ms);
    check_span(
        &it,
        &["job_unmatched_ends_total 1", "job_duration_seconds_count{p=\"x\",r=\"ok\"} 1"],
    );
}

#[test]
fn an_end_that_overtook_its_start_is_paired() {
    let mut it = Fixture::new(SPAN);
    it.send("e", r#"{"k":1,"p":"x","r":"ok"}"#);
    it.wait(5);
    it.send("s", r#"{"k":1,"p":"x"}"#);
    check_span(
        &it,
        &["job_in_flight{p=\"x\"} 0", "job_duration_seconds_count{p=\"x\",r=\"ok\"} 1"],
    );
    it.wait(100);
    it.projection.tick(it.now_ms);
    check_span(&it, &["job_unmatched_ends_total 0"]);
}

#[test]
fn a_reload_keeps_what_means_the_same() {
    let metric = |name: &str, event: &str| {
        format!("  {name}: {{help: A., match: {event}, count: 1, labels: {{x: $x}}}}\n")
    };
    let mut it =
        Fixture::new(&format!("metrics:\n{}{}", metric("a_total", "a"), metric("c_total", "a")));
    it.send("a", "{\"x\":\"1\"}");
    let text =
        format!("version: 1\nmetrics:\n{}{}", metric("c_total", "z"), metric("a_total", "a"));
    it.rules = Arc::new(RuleSet::parse(&text).unwrap());
    it.projection.use_rules(Arc::clone(&it.rules), 1, it.now_ms);
    assert_eq!(it.samples(), ["a_total{x=\"1\"} 1"]);
    it.send("a", "{\"x\":\"1\"}");
    it.send("z", "{\"x\":\"1\"}");
    assert_eq!(it.samples(), ["a_total{x=\"1\"} 2", "c_total{x=\"1\"} 1"]);
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let (_dir, store, table) = table();
    let mut it = Fixture::new(COUNT_BY_X);
    it.send("a", "{\"x\":\"1\"}");
    it.projection.snapshot((&store, &table), 2, it.now_ms).unwrap();
    let (key, mut value) = table.prefix(b"s").next().unwrap().unwrap();
    *value.last_mut().unwrap() ^= 1;
    let mut batch = store::Batch::default();
    batch.put(&key, &value);
    table.apply(batch).unwrap();
    let err = Fixture::new(COUNT_BY_X).projection.restore(&table).unwrap_err().to_string();
    assert!(err.contains("piece 0: checksum mismatch"), "{err}");
}

/// An event of the built-in rules: kind, project, key, status, seconds since the one before.
type Step = (usize, u8, u8, usize, i64);

fn apply_step(it: &mut Fixture, (kind, project, key, status, wait): Step) {
    const KINDS: [&str; 8] = [
        "ci_build_started",
        "ci_build_completed",
        "deployment_completed",
        "agent_registered",
        "agent_error",
        "coverage_updated",
        "agent_request_started",
        "agent_request_completed",
    ];
    let status = ["success", "failed", "odd"][status % 3];
    it.wait(wait);
    let data = format!(
        r#"{{"project":"p{project}","build_id":{key},"service":"p{project}","environment":"production","status":"{status}","agent_id":"a{project}","agent_type":"t","version":"{key}","request_id":{key},"coverage":{key},"duration_seconds":{key}}}"#
    );
    it.send(KINDS[kind % KINDS.len()], &data);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Promise 3: a snapshot plus a replay of the rest is the live state.
    #[test]
    fn snapshot_and_replay_equal_the_live_state(
        steps in prop::collection::vec((0..8usize, 0..3u8, 0..4u8, 0..3usize, 0..40_000i64), 1..40),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let (_dir, store, table) = table();
        let config = Config { zero_first: false, ..Config::default() };
        let rules = Arc::new(RuleSet::builtin());
        let mut live = Fixture::of(Arc::clone(&rules), config, Some(table.clone()));
        let mut cuts: Vec<_> = at.iter().map(|it| it.index(steps.len())).collect();
        cuts.sort_unstable();
        let mut next = 0;
        for (i, step) in steps.iter().enumerate() {
            apply_step(&mut live, *step);
            if cuts.contains(&i) {
                next = i + 1;
                live.projection.snapshot((&store, &table), next as u64, live.now_ms).unwrap();
            }
        }
        live.projection.tick(live.now_ms);
        let mut again = Fixture::of(rules, config, Some(table.clone()));
        prop_assert_eq!(again.projection.restore(&table).unwrap(), next as u64);
        again.now_ms += steps[..next].iter().map(|it| it.4 * 1000).sum::<i64>();
        for step in &steps[next..] {
            apply_step(&mut again, *step);
        }
        again.projection.tick(again.now_ms);
        prop_assert_eq!(live.samples(), again.samples());
    }

    /// Promise 8: no string of an event spoils the page.
    #[test]
    fn any_string_leaves_a_page_that_reads_back(values in prop::collection::vec(any::<String>(), 1..6)) {
        let mut it = Fixture::new("metrics:\n  a_total: {help: A., match: a, count: 1, labels: {x: $x}}");
        for value in &values {
            it.send("a", &serde_json::json!({ "x": value }).to_string());
        }
        let page = it.page_for(false);
        let families = crate::exposition::parse::text(page.as_bytes(), Default::default()).unwrap();
        let total: f64 = families[0].samples.iter().map(|it| it.value).sum();
        prop_assert_eq!(total, values.len() as f64);
    }
}
