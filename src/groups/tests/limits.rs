use super::*;
use crate::groups::jobs::{JobLimits, JobRule, Jobs};
use crate::selector::{Glob, LabelSelector};

fn world(groups: usize, series: usize) -> World {
    let limits = JobLimits { groups: Some(groups), series: Some(series), ..JobLimits::default() };
    let rules =
        vec![JobRule { pattern: Glob::parse("ci-*").unwrap(), limits, terms: JobTerms::default() }];
    let jobs = Jobs { rules, ..Jobs::default() };
    World::with(Config { jobs, ..Config::default() })
}

#[track_caller]
fn refused(result: Result<(), String>, words: &str) {
    let error = result.unwrap_err();
    assert!(error.contains(words), "{error}");
}

#[test]
fn a_job_has_so_many_groups_and_no_more() {
    let mut world = world(2, 100);
    world.put("job/ci-a/i/1", "m 1\n").unwrap();
    world.put("job/ci-a/i/2", "m 1\n").unwrap();
    for op in [Op::Put, Op::Post] {
        refused(
            world.push(op, "job/ci-a/i/3", "m 1\n"),
            "job \"ci-a\" has 2 groups, and max_groups of \"ci-*\" in push.jobs is 2: ",
        );
    }
    // A push that is wrong leaves no group to show that either.
    refused(world.put("job/ci-a/i/3", "m 1 1\n"), "has 2 groups");
    assert_eq!(world.groups.view().len(), 2);
    // Those that are there go on, other jobs have their own, and a place that becomes free is free.
    world.put("job/ci-a/i/2", "m 2\n").unwrap();
    world.put("job/ci-b/i/3", "m 1\n").unwrap();
    for i in 0..5 {
        world.put(&format!("job/other/i/{i}"), "m 1\n").unwrap();
    }
    world.push(Op::Delete, "job/ci-a/i/1", "").unwrap();
    world.put("job/ci-a/i/3", "m 1\n").unwrap();
    refused(world.put("job/ci-a/i/1", "m 1\n"), "has 2 groups");
    world.reload();
    refused(world.put("job/ci-a/i/1", "m 1\n"), "has 2 groups");
}

#[test]
fn a_job_has_so_many_series_and_no_more() {
    let mut world = world(100, 5);
    world.put("job/ci-a/i/1", "a 1\nb 1\nc 1\n").unwrap();
    refused(
        world.put("job/ci-a/i/2", "a 1\nb 1\nc 1\n"),
        "job \"ci-a\" would have 6 series, and max_series of \"ci-*\" in push.jobs is 5: ",
    );
    assert_eq!(world.groups.view().len(), 1);
    world.put("job/ci-a/i/2", "a 1\nb 1\n").unwrap();
    // A POST adds to what it does not replace, and a PUT does not.
    world.post("job/ci-a/i/2", "a 2\nb 2\n").unwrap();
    refused(world.post("job/ci-a/i/2", "c 1\n"), "would have 6 series");
    world.put("job/ci-a/i/2", "c 1\nd 1\n").unwrap();
    // The group that is there tells of the failure, and keeps what it has.
    let group = world.groups.view().select(&selection(&["{i=\"2\"}"])).remove(0);
    assert!(group.failed().is_some() && group.series() == 2, "{group:?}");
    assert!(world.page().contains("c{i=\"2\",instance=\"\",job=\"ci-a\"} 1"), "{}", world.page());
}

#[test]
fn what_makes_a_job_smaller_is_always_taken() {
    let mut world = world(100, 100);
    world.put("job/ci-a", "a 1\nb 1\nc 1\nd 1\n").unwrap();
    // As with a limit that was lowered since.
    let limits = JobLimits { groups: Some(1), series: Some(2), ..JobLimits::default() };
    let config = Config { jobs: Jobs { limits, ..Jobs::default() }, ..Config::default() };
    world.groups = Groups::load(&world.table, config, (5, 6), Time::default()).unwrap();
    world.put("job/ci-a", "a 2\nb 2\nc 2\nd 2\n").unwrap();
    world.put("job/ci-a", "a 1\nb 1\nc 1\n").unwrap();
    refused(world.put("job/ci-a", "a 1\nb 1\nc 1\nd 1\n"), "would have 4 series");
}

/// After any changes, each job is counted as a walk over its groups counts it.
#[test]
fn counts_follow_every_change() {
    let mut world = World::new();
    let mut state = 7_u64;
    for _ in 0..600 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let bits = (state >> 33) as usize;
        let path = format!("job/j{}/i/{}", bits % 3, bits / 3 % 4);
        let body: String = (0..bits / 12 % 4).map(|it| format!("m{it}{{job=\"x\"}} 1\n")).collect();
        match bits / 48 % 8 {
            0 => world.push(Op::Delete, &path, "").unwrap(),
            1 => drop(world.put(&path, "m 1 1\n")),
            2..5 => world.post(&path, &body).unwrap(),
            5 => {
                let outcome = world.groups.remove_selected(&selection(&["{i=~\"[12]\"}"]));
                world.groups.undo(outcome.undo);
            }
            _ => world.put(&path, &body).unwrap(),
        }
        for job in ["j0", "j1", "j2"] {
            let groups = world.groups.view().groups();
            let of_job: Vec<_> = groups.iter().filter(|it| it.label("job") == Some(job)).collect();
            let count = world.groups.index.jobs.of(job);
            let series: u64 = of_job.iter().map(|it| it.series()).sum();
            assert_eq!((count.groups, count.series), (of_job.len(), series), "{job}");
        }
    }
}

fn selection(selectors: &[&str]) -> Selection {
    Selection::new(selectors.iter().map(|it| LabelSelector::parse(it).unwrap()).collect())
}

#[test]
fn groups_that_match_go_at_once_and_stay_away() {
    let mut world = World::new();
    for (path, value) in [("job/ci-a/b/1", 1), ("job/ci-a/b/2", 2), ("job/ci-c", 3), ("job/x", 4)] {
        world.put(path, &format!("m {value}\n")).unwrap();
    }
    let chosen = selection(&["{job=~\"ci-.*\",b!=\"2\"}", "{job=\"nobody\"}"]);
    let expected = ["ci-a 1", "ci-c "];
    let named =
        |it: &Group| format!("{} {}", it.label("job").unwrap(), it.label("b").unwrap_or_default());
    let found: Vec<_> = world.groups.view().select(&chosen).iter().map(|it| named(it)).collect();
    assert_eq!(found, expected);
    let (before, changes) = (world.page(), world.groups.view().changes());
    let outcome = world.groups.remove_selected(&chosen);
    let gone: Vec<_> = outcome.undo.before().map(|it| named(it)).collect();
    assert_eq!(gone, expected);
    assert_ne!(world.groups.view().changes(), changes);
    // One version for the lot, whatever was pushed since to the same labels is newer.
    let versions = outcome.writes.iter().filter(|it| it.value.is_some()).count();
    assert_eq!((outcome.writes.len(), versions), (5, 1));
    assert_eq!(world.groups.view().len(), 2);
    world.groups.undo(outcome.undo);
    assert_eq!(world.page(), before);
    let outcome = world.groups.remove_selected(&chosen);
    world.keep(outcome.writes);
    world.reload();
    let page = world.page();
    assert!(
        !page.contains("ci-c") && !page.contains("b=\"1\"") && page.contains("b=\"2\""),
        "{page}"
    );
    // What is gone does not stand in the way.
    world.put("job/ci-c", "# TYPE n counter\nn 3\n").unwrap();
    let nothing = world.groups.remove_selected(&selection(&["{job=\"nobody\"}"]));
    assert!(nothing.writes.is_empty());
}
