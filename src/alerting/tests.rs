use super::sample::Sources;
use super::*;
use crate::alerts::{Change, Matcher, Status};
use crate::event::{Event, EventId, NewEvent};
use crate::metrics::{Metrics, Part, Projection};
use crate::notify;
use crate::rules::{RuleSet, Updates};
use crate::store;
use serde_json::json;

const START: Time = Time::from_millis(1_767_225_600_000);

fn at(seconds: u64) -> Time {
    START.saturating_add(Duration::from_secs(seconds))
}

fn event(event_type: &str, seconds: u64, data: &serde_json::Value) -> Event<'static> {
    let new = NewEvent {
        id: None,
        event_type: event_type.to_owned().into(),
        source: "test".into(),
        time: None,
        subject: None,
        trace: None,
        data: data.to_string().into(),
    };
    new.accept(at(seconds), || EventId::Generated(1))
}

fn rule(value: &serde_json::Value) -> Rule {
    Rule::from_json(value).unwrap()
}

/// Alerting on a directory, and metrics of two rules.
struct World {
    alerting: Alerting,
    projection: Projection,
}

impl World {
    fn new(dir: &std::path::Path, rules: Vec<Rule>) -> Self {
        let store = Store::open(&store::Config::new(dir.to_owned())).unwrap();
        let outbox = Outbox::open(store.clone(), notify::Config::new(|| START)).unwrap();
        let config = Config { shipped: false, rules, ..Config::default() };
        let alerting = Alerting::open(store, config, outbox, 1, START).unwrap();
        let text = "version: 1\nmetrics:\n  cpu:\n    help: C.\n    match: cpu\n    set: $value\n    labels: {host: $host}\n    limit: 20000\n  requests_total:\n    help: R.\n    match: request\n    count: 1\n    labels: {result: $result}\n";
        let rules = Arc::new(RuleSet::parse(text).unwrap());
        let config = crate::metrics::Config { zero_first: false, created_series: false };
        let mut projection = Projection::new(Arc::clone(&rules), config, None, i64::MIN);
        projection.use_rules(rules, 1, START.as_millis());
        Self { alerting, projection }
    }

    fn metrics(&self) -> Metrics {
        self.projection.metrics()
    }

    fn send(&mut self, event: &Event<'_>) {
        let mut updates = Updates::default();
        let rules = Arc::clone(self.projection.rules());
        let part = Part::evaluate(&rules, event, &mut updates);
        self.projection.apply(&updates, &part, event.received.as_millis());
        let mut engine = self.alerting.lock();
        engine.event(event);
        engine.mark += 1;
    }

    fn tick(&self, seconds: u64) {
        let metrics = self.metrics();
        self.alerting.lock().tick(Sources { metrics: &metrics, groups: None }, at(seconds));
    }

    /// The changes since the last call, as `second:change labels`.
    fn changes(&self) -> Vec<String> {
        let mut engine = self.alerting.lock();
        let entries = engine.round.history.clone();
        self.alerting.write(&mut engine, START).unwrap();
        let said = |it: &Entry| {
            let second = it.at.seconds_since(START);
            let who: Vec<_> = it
                .alert
                .labels
                .iter()
                .filter(|it| !matches!(it.0.as_str(), "alertname" | "severity"))
                .map(|(_, it)| it.as_str())
                .collect();
            format!("{second}:{:?} {}", it.change.unwrap_or(Change::Dropped), who.join(","))
        };
        entries.iter().map(said).collect()
    }
}

fn high_cpu() -> Rule {
    rule(
        &json!({"id": "cpu", "name": "High CPU", "metric_name": "cpu", "operator": "gt", "threshold": 80,
        "recovery_threshold": 70, "for": "10s", "annotations": {"summary": "$host: $value"}}),
    )
}

fn failed() -> Rule {
    rule(
        &json!({"id": "failed", "name": "Failed", "kind": "event", "match": "build{status=\"failed\"}",
        "resolve": "build{status=\"ok\"}", "group_by": ["project"], "annotations": {"summary": "$project: $status"}}),
    )
}

#[test]
fn a_value_above_its_threshold_fires_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path(), vec![high_cpu()]);
    for (second, value) in [(0, 80), (5, 81), (16, 75), (20, 70)] {
        world.send(&event("cpu", second, &json!({"host": "a", "value": value})));
        world.send(&event("cpu", second, &json!({"host": "b", "value": 10})));
        world.tick(second);
    }
    // 81 for ten seconds, but 75 at the sixteenth: not above, and not pending any more.
    assert_eq!(world.changes(), Vec::<String>::new());
    world.send(&event("cpu", 30, &json!({"host": "a", "value": 90})));
    for second in 30..=41 {
        world.tick(second);
    }
    assert_eq!(world.changes(), ["40:Firing a"]);
    let alert = world.alerting.alerts(at(41)).remove(0);
    assert_eq!((alert.annotations["summary"].as_str(), alert.value), ("a: 90", Some(90.0)));
    // 75 is not above 80, and not at 70 either: it goes on.
    for (second, value) in [(42, 75), (43, 70)] {
        world.send(&event("cpu", second, &json!({"host": "a", "value": value})));
        world.tick(second);
    }
    assert_eq!(world.changes(), ["43:Resolved a"]);
}

#[test]
fn an_event_fires_and_its_counterpart_resolves() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path(), vec![failed()]);
    for (second, project, status) in [
        (1, "web", "failed"),
        (2, "api", "failed"),
        (3, "web", "failed"),
        (4, "web", "ok"),
        (5, "db", "ok"),
    ] {
        world.send(&event("build", second, &json!({"project": project, "status": status})));
    }
    assert_eq!(world.changes(), ["1:Firing web", "2:Firing api", "4:Resolved web"]);
    // Resolved by hand, it fires with the next event.
    let id = world.alerting.alerts(at(6)).remove(0).id;
    let resolved = world.alerting.resolve(&id, ("ann", "known"), at(6)).unwrap();
    assert_eq!(resolved.status, Status::Resolved);
    assert_eq!(
        world.alerting.resolve(&id, ("ann", "again"), at(7)).unwrap().status,
        Status::Resolved
    );
    world.send(&event("build", 8, &json!({"project": "api", "status": "failed"})));
    assert_eq!(world.changes(), ["8:Firing api"]);
    assert!(matches!(
        world.alerting.resolve("nothing", ("a", ""), at(9)),
        Err(AlertingError::NotFound { .. })
    ));
}

#[test]
fn increases_ratios_and_what_is_absent() {
    let dir = tempfile::tempdir().unwrap();
    let rules = vec![
        rule(
            &json!({"id": "inc", "name": "Inc", "metric_name": "requests_total{result=\"bad\"}", "function": "increase", "window": "60s", "threshold": 2, "operator": "gte"}),
        ),
        rule(
            &json!({"id": "ratio", "name": "Ratio", "kind": "ratio", "numerator": "requests_total{result=\"bad\"}", "denominator": "requests_total", "window": "60s", "threshold": 0.5, "min_denominator": 3}),
        ),
        rule(
            &json!({"id": "gone", "name": "Gone", "kind": "absence", "match": "beat", "group_by": ["host"], "every": "20s", "grace": "10s", "resolve": "bye"}),
        ),
    ];
    let mut world = World::new(dir.path(), rules);
    world.tick(0);
    world.send(&event("beat", 1, &json!({"host": "a"})));
    world.send(&event("request", 1, &json!({"result": "bad"})));
    world.tick(1);
    // The first one counts too: the series began at 0.
    world.send(&event("request", 2, &json!({"result": "bad"})));
    world.tick(2);
    assert_eq!(world.changes(), ["2:Firing bad"]);
    world.send(&event("request", 3, &json!({"result": "bad"})));
    world.tick(3);
    assert_eq!(world.changes(), ["3:Firing "]);
    for second in 4..=31 {
        world.tick(second);
    }
    assert_eq!(world.changes(), Vec::<String>::new());
    world.tick(32);
    assert_eq!(world.changes(), ["32:Firing a"]);
    world.send(&event("beat", 33, &json!({"host": "a"})));
    assert_eq!(world.changes(), ["33:Resolved a"]);
    world.send(&event("bye", 34, &json!({"host": "a"})));
    for second in 35..=70 {
        world.tick(second);
    }
    assert_eq!(world.changes(), ["61:Resolved ", "62:Resolved bad"]);
    for second in 71..=120 {
        world.tick(second);
    }
    assert_eq!(world.changes(), Vec::<String>::new());
}

#[test]
fn timers_alerts_and_silences_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let fire = |world: &mut World, second| {
        world.send(&event("cpu", second, &json!({"host": "a", "value": 90})));
        world.tick(second);
    };
    {
        let mut world = World::new(dir.path(), vec![high_cpu(), failed()]);
        fire(&mut world, 0);
        world.send(&event("build", 1, &json!({"project": "web", "status": "failed"})));
        assert_eq!(world.changes(), ["1:Firing web"]);
        let id =
            world.alerting.alerts(at(2)).into_iter().find(|it| it.rule_id == "failed").unwrap().id;
        world.alerting.acknowledge(&id, ("ann", "mine"), at(2)).unwrap();
        world.alerting.silence_alert(&id, Duration::from_secs(60), ("ann", ""), at(2)).unwrap();
    }
    let mut world = World::new(dir.path(), vec![high_cpu(), failed()]);
    assert_eq!(world.alerting.lock().mark, 1, "no event beyond the end is passed over");
    for second in 5..=10 {
        fire(&mut world, second);
    }
    // Pending since 0, not since the restart; and what fired is not told again.
    assert_eq!(world.changes(), ["10:Firing a"]);
    let alerts = world.alerting.alerts(at(11));
    let failed = alerts.iter().find(|it| it.rule_id == "failed").unwrap();
    let acknowledged = failed.acknowledged.as_ref().unwrap();
    assert_eq!((acknowledged.by.as_str(), acknowledged.comment.as_str()), ("ann", "mine"));
    assert_eq!(failed.silenced_by.len(), 1);
    assert_eq!(world.alerting.silences()[0].matchers.len(), 3);
    // A rule that means something else begins anew.
    drop(world);
    let other = Rule { matches: "other".to_owned(), ..super::tests::failed() };
    let world = World::new(dir.path(), vec![high_cpu(), other]);
    assert!(world.alerting.alerts(at(12)).iter().all(|it| it.rule_id == "cpu"));
}

#[test]
fn rules_are_made_changed_and_removed_for_good() {
    let dir = tempfile::tempdir().unwrap();
    {
        let world = World::new(dir.path(), vec![failed()]);
        let made = world.alerting.create_rule(high_cpu(), at(1)).unwrap();
        assert!(made.rule.id.starts_with("rule-"));
        let twice = world.alerting.create_rule(high_cpu(), at(1));
        assert!(matches!(twice, Err(AlertingError::Exists(_))));
        let off =
            world.alerting.update_rule(&made.rule.id, &json!({"enabled": false}), at(2)).unwrap();
        assert!(!off.rule.enabled && off.rule.threshold == Some(80.0));
        let wrong = world.alerting.update_rule(&made.rule.id, &json!({"threshold": null}), at(2));
        assert!(matches!(wrong, Err(AlertingError::Invalid(_))));
        world.alerting.remove_rule("failed", at(3)).unwrap();
        assert!(matches!(world.alerting.rule("failed"), Err(AlertingError::NotFound { .. })));
    }
    let world = World::new(dir.path(), vec![failed()]);
    let rules = world.alerting.rules();
    assert_eq!(rules.len(), 1);
    assert_eq!(
        (rules[0].rule.name.as_str(), rules[0].rule.enabled, rules[0].created),
        ("High CPU", false, at(1))
    );
    world.alerting.remove_rule("High CPU", at(4)).unwrap();
    assert!(world.alerting.rules().is_empty());
}

#[test]
fn removing_a_rule_ends_its_alerts() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path(), vec![failed()]);
    world.send(&event("build", 1, &json!({"project": "web", "status": "failed"})));
    assert_eq!(world.changes(), ["1:Firing web"]);
    world.alerting.remove_rule("failed", at(2)).unwrap();
    assert!(world.alerting.alerts(at(3)).is_empty());
    let (entries, next) = world.alerting.history(None, 10, |_| true).unwrap();
    assert_eq!(
        entries.iter().map(|it| it.change).collect::<Vec<_>>(),
        [Some(Change::Resolved), Some(Change::Firing)]
    );
    assert!(next.is_none());
}

#[test]
fn silences_change_as_in_alertmanager() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), Vec::new());
    let silence = |id: &str, value: &str, ends: u64| Silence {
        id: id.to_owned(),
        matchers: vec![Matcher::equal("a", value)],
        starts_at: at(0),
        ends_at: at(ends),
        created_by: "ann".to_owned(),
        comment: String::new(),
        updated_at: at(0),
    };
    let put = |it: Silence, now: u64| world.alerting.put_silence(it, at(now));
    let first = put(silence("", "b", 100), 1).unwrap();
    assert_eq!((first.id.len(), first.starts_at), (36, at(1)));
    // Another end: the same silence. Other matchers: a new one, and the old one ends.
    assert_eq!(put(silence(&first.id, "b", 200), 2).unwrap().id, first.id);
    let second = put(silence(&first.id, "c", 200), 3).unwrap();
    assert_ne!(second.id, first.id);
    let state = |id: &str| {
        world.alerting.silences().iter().find(|it| it.id == id).map(|it| it.state(at(4)))
    };
    assert_eq!((state(&first.id), state(&second.id)), (Some("expired"), Some("active")));
    world.alerting.expire_silence(&second.id, at(5)).unwrap();
    assert!(put(silence("gone", "b", 100), 6).is_err());
    assert!(put(silence("", "b", 5), 6).is_err());
    // Five days after its end it is forgotten.
    world.alerting.sweep(at(5 + 5 * 86_400)).unwrap();
    assert!(world.alerting.silences().is_empty());
}

#[test]
fn alerts_of_others_come_go_and_time_out() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), Vec::new());
    let sent = |ends: Option<u64>| ExternalAlert {
        labels: [("alertname", "Up"), ("severity", "error")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .into(),
        annotations: std::collections::BTreeMap::new(),
        starts: Some(at(0)),
        ends: ends.map(at),
        generator: "http://p/graph".to_owned(),
    };
    let firing = |now| world.alerting.alerts(at(now)).len();
    // An end of what never began says nothing.
    world.alerting.take(vec![sent(Some(1))], at(2)).unwrap();
    assert_eq!(firing(2), 0);
    world.alerting.take(vec![sent(None)], at(10)).unwrap();
    let alert = world.alerting.alerts(at(10)).remove(0);
    assert_eq!(
        (alert.rule_name.as_str(), alert.severity, alert.starts_at),
        ("Up", crate::alerts::Severity::High, at(0))
    );
    world.tick(309);
    assert_eq!(firing(309), 1);
    world.tick(310);
    assert_eq!(firing(310), 0);
    world.alerting.take(vec![sent(Some(400))], at(320)).unwrap();
    world.alerting.take(vec![sent(Some(330))], at(330)).unwrap();
    assert_eq!(firing(331), 0);
}

/// 10,000 label sets of one rule, of which one in ten fires.
#[test]
fn ten_thousand_label_sets_are_evaluated_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path(), vec![Rule { hold: None, ..high_cpu() }]);
    for n in 0..10_000 {
        let value = if n % 10 == 0 { 90 } else { 10 };
        world.send(&event("cpu", 0, &json!({"host": format!("host-{n}"), "value": value})));
    }
    world.tick(1);
    assert_eq!(world.changes().len(), 1000);
    let begun = std::time::Instant::now();
    for second in 2..12 {
        world.tick(second);
    }
    let each = begun.elapsed() / 10;
    assert!(world.changes().is_empty());
    // Unoptimised, and on a busy machine.
    assert!(each < Duration::from_millis(500), "{each:?}");
}
