//! What a replay makes of the past, held against what would have been.

use super::super::shadow::{Difference, Example, Shadow};
use super::*;
use crate::rules::Unit;

/// One metric of every kind, with everything that depends on what came before.
const RULES: &str = r#"
maps:
  result: {ok: [ok], bad: [bad]}
metrics:
  jobs_total: {help: J., match: done, count: 1, labels: {x: $x, result: "${result | result}"}, siblings: [result], limit: 5}
  labels_total: {help: L., match: done, count: $n, labels: {x: "${x | limit(2)}"}, init: [{x: first}]}
  size_bytes: {help: S., match: done, observe: $n, buckets: [1, 5], native: {schema: 3, max_buckets: 3}, labels: {x: $x}}
  last_bytes: {help: L., match: [done, start], set: $n, labels: {x: $x}}
  level_bytes: {help: L., updates: [{match: start, add: $n}, {match: done, sub: $n}, {match: clear, set: 0}]}
  version_info: {help: V., match: start, set: 1, labels: {x: $x, n: $n}, unique_by: [x], ttl: 1h, forget: 1000d}
  seen_total: {help: S., match: start, count: 1, labels: {x: $x}, ttl: 30m, forget: 1000d}
spans:
  run: {help: R, key: $x, start: start, end: done, labels: {x: $x}, end_labels: {n: $n}, stuck_after: 1h, give_up_after: 5h, max_open: 3}
"#;

type Step = (usize, u8, u8, bool, i64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..7usize, 0..5u8, 0..8u8, any::<bool>(), 0..4000i64), 1..60)
}

fn rules() -> Arc<RuleSet> {
    Arc::new(RuleSet::parse(&format!("version: 1\n{RULES}")).unwrap())
}

fn config() -> Config {
    Config { zero_first: false, ..Config::default() }
}

fn body((_, x, n, ok, _): Step) -> String {
    let result = if ok { "ok" } else { "bad" };
    format!(r#"{{"x":"{x}","n":{n},"result":"{result}"}}"#)
}

fn kind(step: Step) -> &'static str {
    ["start", "done", "start", "done", "start", "done", "clear"][step.0]
}

fn send(it: &mut Fixture, step: Step) {
    it.wait(step.4);
    it.send(kind(step), &body(step));
}

/// Shows `shadow` the steps from `first` on, which the fixture `clock` dates.
fn count(shadow: &mut Shadow, clock: &mut Fixture, steps: &[Step], first: usize) {
    let rules = Arc::clone(shadow.rules());
    for (at, step) in steps.iter().enumerate() {
        clock.wait(step.4);
        if at < first {
            continue;
        }
        let data = body(*step);
        let event = clock.event(kind(*step), &data);
        let mut updates = Updates::default();
        let part = Part::evaluate(&rules, &event, &mut updates);
        shadow.apply(&updates, &part, clock.now_ms).unwrap();
        shadow.seen(at as u64 + 2);
    }
}

fn shadow(of: &Fixture, units: &[Unit], from: u64, table: &Table) -> Shadow {
    let metrics = of.projection.metrics();
    Shadow::new(&of.rules, units, (from, START_MS), (&metrics, Some(table.clone()))).unwrap()
}

/// The samples of the families of `units`.
fn of(it: &Fixture, units: &[Unit]) -> Vec<String> {
    let members = units.iter().flat_map(|unit| it.rules.members(*unit));
    let names: Vec<_> = members.map(|at| it.rules.families()[at].name.clone()).collect();
    let is_of = |name: &str, family: &String| {
        let suffix = name.strip_prefix(family.as_str());
        suffix.is_some_and(|it| ["", "_bucket", "_sum", "_count"].contains(&it))
    };
    let named = |sample: &String| {
        let name = sample.split(['{', ' ']).next().unwrap();
        names.iter().any(|it| is_of(name, it))
    };
    it.samples().into_iter().filter(named).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A replay from `from` on makes of the chosen metrics what they would be if their rules had been in
    /// force since then, and leaves the others alone; so does a restart after it.
    #[test]
    fn a_replay_equals_rules_that_were_there_from_the_start(
        steps in steps(),
        chosen in prop::collection::vec(any::<bool>(), 8),
        (began, from, cut) in any::<(prop::sample::Index, prop::sample::Index, prop::sample::Index)>(),
        after in steps(),
    ) {
        let rules = rules();
        let began = began.index(steps.len());
        // What counts before it begins cannot be lost: a replay begins there at the latest.
        let from = from.index(began + 1);
        let cut = cut.index(after.len());
        let units: Vec<_> =
            rules.units().into_iter().zip(&chosen).filter(|it| *it.1).map(|it| it.0).collect();
        let others: Vec<_> = rules.units().into_iter().filter(|it| !units.contains(it)).collect();

        // As it would be: one that saw everything from `from` on, and one that began late.
        let dirs = [table(), table()];
        let starting_at = |first: usize, table: &Table| {
            let mut it = Fixture::of(Arc::clone(&rules), config(), None);
            it.projection =
                Projection::new(Arc::clone(&rules), config(), Some(table.clone()), i64::MIN);
            it.projection.use_rules(Arc::clone(&rules), first as u64 + 1, START_MS);
            for (at, step) in steps.iter().enumerate() {
                if at >= first {
                    send(&mut it, *step);
                } else {
                    it.wait(step.4);
                }
            }
            it
        };
        let mut ideal = starting_at(from, &dirs[0].2);
        let mut late = starting_at(began, &dirs[1].2);
        let mut shadow = shadow(&late, &units, from as u64 + 1, &dirs[1].2);
        let mut clock = Fixture::of(Arc::clone(&rules), config(), None);
        count(&mut shadow, &mut clock, &steps, from);
        let before = of(&late, &others);
        prop_assert!(late.projection.swap(&mut shadow));
        prop_assert_eq!(of(&late, &others), before);
        for it in [&mut ideal, &mut late] {
            it.projection.tick(it.now_ms);
        }
        prop_assert_eq!(of(&late, &units), of(&ideal, &units));

        // What comes later comes out the same, also after a restart.
        late.projection.snapshot((&dirs[1].1, &dirs[1].2), 1, late.now_ms).unwrap();
        let mut again = Fixture::of(Arc::clone(&rules), config(), Some(dirs[1].2.clone()));
        again.projection.restore(&dirs[1].2).unwrap();
        again.now_ms = late.now_ms;
        for (at, step) in after.iter().enumerate() {
            send(&mut ideal, *step);
            send(&mut again, *step);
            if at == cut {
                let (_, store, table) = &dirs[0];
                ideal.projection.snapshot((store, table), 1, ideal.now_ms).unwrap();
            }
        }
        prop_assert_eq!(of(&again, &units), of(&ideal, &units));
        for family in units.iter().flat_map(|it| rules.members(*it)) {
            let origin = again.projection.metrics().origin(&rules.families()[family].name).unwrap();
            let expected = Origin { epoch: 1, ..Origin::at(from as u64 + 1) };
            prop_assert_eq!(origin, expected);
        }
    }
}

#[test]
fn what_was_swapped_can_be_swapped_back() {
    let (_dir, _store, table) = table();
    let mut it = Fixture::of(rules(), config(), Some(table.clone()));
    let steps: [Step; 3] = [(0, 1, 4, true, 10), (1, 1, 4, true, 10), (0, 2, 7, false, 10)];
    for step in steps {
        send(&mut it, step);
    }
    let before = it.samples();
    let units = it.rules.units();
    let mut shadow = shadow(&it, &units, 1, &table);
    assert!(it.projection.swap(&mut shadow));
    assert_ne!(it.samples(), before);
    assert!(it.projection.swap(&mut shadow));
    assert_eq!(it.samples(), before);
    // Other rules: nothing is swapped.
    it.projection.use_rules(rules(), 4, it.now_ms);
    assert!(!it.projection.swap(&mut shadow));
    assert_eq!(it.samples(), before);
}

#[test]
fn what_would_change_is_told() {
    let (_dir, _store, table) = table();
    let mut it = Fixture::with(COUNT_BY_X, config(), Some(table.clone()));
    it.send("a", "{\"x\":\"1\"}");
    it.send("a", "{\"x\":\"2\"}");
    let mut shadow = shadow(&it, &[Unit::Metric(0)], 1, &table);
    let mut updates = Updates::default();
    let event = it.event("a", "{\"x\":\"2\"}");
    let part = Part::evaluate(&it.rules, &event, &mut updates);
    for _ in 0..5 {
        shadow.apply(&updates, &part, it.now_ms).unwrap();
    }
    let example =
        |x: &str, before, after| Example { labels: format!("{{x=\"{x}\"}}"), before, after };
    let expected = Difference {
        metric: "a_total".to_owned(),
        before: 2,
        after: 1,
        examples: vec![example("2", Some(1.0), Some(5.0)), example("1", Some(1.0), None)],
    };
    assert_eq!(shadow.differences(&it.projection.metrics(), it.now_ms), [expected]);
}

/// What Prometheus has seen is not taken back, what it has not seen shows 0 first, what is old is no news.
#[test]
fn a_swap_holds_only_what_is_new() {
    let (_dir, _store, table) = table();
    let mut it = Fixture::with(COUNT_BY_X, Config::default(), Some(table.clone()));
    let old = it.now_ms - 3_600_000;
    it.send("a", "{\"x\":\"1\"}");
    it.scrape();
    it.wait(15);
    assert!(it.scrape().contains("a_total{x=\"1\"} 1"));
    it.wait(1);
    let mut shadow = shadow(&it, &[Unit::Metric(0)], 1, &table);
    for (x, at) in [("old", old), ("1", it.now_ms), ("new", it.now_ms)] {
        let mut updates = Updates::default();
        let data = format!("{{\"x\":\"{x}\"}}");
        let part = Part::evaluate(&it.rules, &it.event("a", &data), &mut updates);
        for _ in 0..3 {
            shadow.apply(&updates, &part, at).unwrap();
        }
    }
    assert!(it.projection.swap(&mut shadow));
    let page = it.scrape();
    for line in ["a_total{x=\"1\"} 3", "a_total{x=\"old\"} 3", "a_total{x=\"new\"} 0"] {
        assert!(page.contains(line), "{line} is not in:\n{page}");
    }
    it.wait(15);
    assert!(it.scrape().contains("a_total{x=\"new\"} 3"));
}

#[test]
fn a_family_that_waits_for_its_past_is_not_shown() {
    let (_dir, store, table) = table();
    let with =
        |backfill: &str| format!("metrics:\n  a_total: {{help: A., match: a, count: 1{backfill}}}");
    let fixture = |text: &str| Fixture::with(text, config(), Some(table.clone()));
    // A store without events has no past.
    let mut it = fixture(&with(", backfill: true"));
    it.send("a", "{}");
    assert_eq!(it.samples(), ["a_total 1"]);
    let changed = with(", backfill: 7d").replace("match: a", "match: [a, b]");
    it.rules = Arc::new(RuleSet::parse(&format!("version: 1\n{changed}")).unwrap());
    it.projection.use_rules(Arc::clone(&it.rules), 2, it.now_ms);
    it.send("a", "{}");
    assert!(it.samples().is_empty());
    assert!(it.projection.metrics().origin("a_total").unwrap().pending);
    // Nor after a restart in the middle.
    it.projection.snapshot((&store, &table), 3, it.now_ms).unwrap();
    let mut again = Fixture::of(Arc::clone(&it.rules), config(), Some(table.clone()));
    again.projection.restore(&table).unwrap();
    assert!(again.samples().is_empty());
    assert!(again.projection.metrics().origin("a_total").unwrap().pending);
    // It is, if its past cannot be counted.
    again.projection.metrics().reveal("a_total");
    assert_eq!(again.samples(), ["a_total 1"]);
    // One that the snapshot does not have is new, unless the file says nothing of the past.
    for (backfill, pending) in [(", backfill: true", true), ("", false)] {
        let mut other = fixture(&with(backfill));
        other.projection.restore(&table).unwrap();
        let origin = other.projection.metrics().origin("a_total").unwrap();
        assert_eq!((origin.from, origin.pending), (3, pending));
    }
}

/// The manifest as it was written before it said since when each family counts.
#[test]
fn a_snapshot_of_the_first_version_is_read() {
    let (_dir, store, table) = table();
    let mut it = Fixture::with(COUNT_BY_X, config(), Some(table.clone()));
    it.send("a", "{\"x\":\"1\"}");
    it.projection.snapshot((&store, &table), 2, it.now_ms).unwrap();
    let value = table.get(b"m").unwrap().unwrap();
    assert_eq!(value[0], 2, "the version");
    let first = crate::codec::seal(1, &value[9..9 + 24]);
    table.put(b"m", &first).unwrap();
    let mut again = Fixture::with(COUNT_BY_X, config(), Some(table.clone()));
    assert_eq!(again.projection.restore(&table).unwrap(), 2);
    assert_eq!(again.samples(), ["a_total{x=\"1\"} 1"]);
    // It may have counted from the first event on.
    assert_eq!(again.projection.metrics().origin("a_total").unwrap(), Origin::at(1));
    let unknown = crate::codec::seal(3, &value[9..]);
    table.put(b"m", &unknown).unwrap();
    let err = again.projection.restore(&table).unwrap_err().to_string();
    assert!(err.contains("unknown version 3"), "{err}");
}

#[test]
fn what_an_unfinished_replay_left_is_deleted() {
    let (_dir, store, table) = table();
    let rules = "metrics:\n  a_total: {help: A., match: a, count: 1, labels: {x: $x}, ttl: 1m}";
    let mut it = Fixture::with(rules, config(), Some(table.clone()));
    it.send("a", "{\"x\":\"1\"}");
    it.wait(300);
    it.projection.snapshot((&store, &table), 2, it.now_ms).unwrap();
    let stored = |prefix: &[u8]| table.prefix(prefix).count();
    assert_eq!((stored(b"d"), stored(b"e")), (1, 0));
    let fill = |shadow: &mut Shadow, it: &Fixture| {
        for (x, at) in [("1", 0), ("1", 301_000), ("2", 602_000)] {
            let mut updates = Updates::default();
            let data = format!("{{\"x\":\"{x}\"}}");
            let part = Part::evaluate(&it.rules, &it.event("a", &data), &mut updates);
            shadow.apply(&updates, &part, START_MS + at).unwrap();
        }
    };
    // Given up, crashed, begun again.
    let mut given_up = shadow(&it, &[Unit::Metric(0)], 1, &table);
    fill(&mut given_up, &it);
    assert_eq!(stored(b"e"), 1);
    given_up.discard().unwrap();
    assert_eq!(stored(b"e"), 0);
    let mut crashed = shadow(&it, &[Unit::Metric(0)], 1, &table);
    fill(&mut crashed, &it);
    drop(crashed);
    let mut again = Fixture::with(rules, config(), Some(table.clone()));
    again.projection.restore(&table).unwrap();
    assert_eq!((stored(b"d"), stored(b"e")), (1, 0));
    // Finished: what it replaced goes, at the next start at the latest.
    let mut done = shadow(&it, &[Unit::Metric(0)], 1, &table);
    fill(&mut done, &it);
    assert!(it.projection.swap(&mut done));
    it.wait(310);
    it.projection.snapshot((&store, &table), 2, it.now_ms).unwrap();
    let mut again = Fixture::with(rules, config(), Some(table.clone()));
    again.projection.restore(&table).unwrap();
    assert_eq!((stored(b"d"), stored(b"e")), (0, 1));
    again.now_ms = it.now_ms;
    again.send("a", "{\"x\":\"1\"}");
    assert_eq!(again.samples(), ["a_total{x=\"1\"} 3", "a_total{x=\"2\"} 1"]);
}
