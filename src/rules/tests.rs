use super::*;

fn builtin() -> RuleSet {
    RuleSet::parse(BUILTIN).unwrap_or_else(|it| panic!("{it}"))
}

#[test]
fn the_builtin_rules_pass_their_own_tests() {
    let set = builtin();
    assert_eq!(set.warnings().to_string(), "");
    fold::run_tests(&set);
}

#[test]
fn the_events_of_the_builtin_tests_make_no_errors() {
    let set = builtin();
    for test in set.tests() {
        let mut model = fold::Model::new(&set);
        for event in &test.events {
            let out = model.apply(&set, event.to_new_event());
            let names =
                out.errors.iter().map(|(at, error)| (&set.families()[*at as usize].name, error));
            assert_eq!(names.collect::<Vec<_>>(), [], "{}: {event:?}", test.name);
            assert_eq!(out.unmatched, [], "{}: {event:?}", test.name);
        }
    }
}
/// The file that the language was designed with: every feature, every event type.
#[test]
fn the_example_passes_its_tests() {
    let set = RuleSet::parse(include_str!("testdata/example.yaml"));
    fold::run_tests(&set.unwrap_or_else(|it| panic!("{it}")));
}
