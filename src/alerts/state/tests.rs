use super::*;
use proptest::prelude::*;

impl State {
    /// What is told; what is held back is left out.
    fn announce(
        &mut self,
        timing: &Timing,
        now: Time,
        quiet: impl FnOnce() -> bool,
    ) -> Option<Tell> {
        match self.news(timing, now, quiet) {
            Some(News::Tell(it)) => Some(it),
            _ => None,
        }
    }
}

fn at(seconds: i64) -> Time {
    Time::from_millis(1_767_225_600_000 + seconds * 1000)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Drives a state through `script`: `T`rue, `F`alse, `?` unknown, `R`esolve by hand, `A`cknowledge, `Q`uiet from here on,
/// `L`oud again; a step each second. The result has what happened and what was told: `1:Firing!Firing`.
#[track_caller]
fn check(timing: &Timing, script: &str, expected: &str) {
    let mut state = State::default();
    let mut quiet = false;
    let mut res = Vec::new();
    for (second, c) in (0..).zip(script.chars()) {
        let now = at(second);
        let change = match c {
            'T' => state.step(timing, Verdict::True, now),
            'F' => state.step(timing, Verdict::False, now),
            'R' => state.resolve(timing, now),
            'A' => {
                state.acknowledged =
                    Some(Acknowledgement { by: "a".to_owned(), at: now, comment: String::new() });
                None
            }
            'Q' | 'L' => {
                quiet = c == 'Q';
                None
            }
            _ => state.step(timing, Verdict::Unknown, now),
        };
        let tell = state.announce(timing, now, || quiet);
        if change.is_some() || tell.is_some() {
            let change = change.map(|it| format!("{it:?}")).unwrap_or_default();
            let tell = tell.map(|it| format!("!{it:?}")).unwrap_or_default();
            res.push(format!("{second}:{change}{tell}"));
        }
    }
    assert_eq!(res.join(" "), expected, "{script}");
}

#[test]
fn it_fires_and_is_resolved() {
    check(&Timing::default(), "FTTFF", "1:Firing!Firing 3:Resolved!Resolved");
    check(&Timing::default(), "T??T?F", "0:Firing!Firing 5:Resolved!Resolved");
}

#[test]
fn it_waits_before_it_fires_and_before_it_is_over() {
    let timing = Timing { hold: seconds(3), ..Timing::default() };
    check(&timing, "TTTFTTTT", "0:Pending 3:Dropped 4:Pending 7:Firing!Firing");
    check(&timing, "T?????T", "0:Pending 6:Firing!Firing");
    let timing = Timing { keep_firing: seconds(2), ..Timing::default() };
    check(&timing, "TFTFFF", "0:Firing!Firing 5:Resolved!Resolved");
}

#[test]
fn what_was_resolved_by_hand_fires_again_only_after_it_was_over() {
    let timing = Timing::default();
    check(&timing, "TRTTTFTT", "0:Firing!Firing 1:Resolved!Resolved 6:Firing!Firing");
    check(&timing, "RT", "1:Firing!Firing");
    let timing = Timing { hold: seconds(5), ..timing };
    check(&timing, "TRTF", "0:Pending 1:Dropped");
}

#[test]
fn it_is_told_again_until_it_is_acknowledged() {
    let timing = Timing {
        repeat: seconds(2),
        escalation: vec![seconds(3), seconds(5)],
        ..Timing::default()
    };
    check(
        &timing,
        "TTTTTTTTT",
        "0:Firing!Firing 2:!Repeat 3:!Escalation(0) 5:!Escalation(1) 7:!Repeat",
    );
    check(&timing, "TATTTTTFT", "0:Firing!Firing 7:Resolved!Resolved 8:Firing!Firing");
}

#[test]
fn nothing_is_told_while_it_is_quiet() {
    let timing = Timing::default();
    // It fires while it is quiet, and still does afterwards.
    check(&timing, "QTTLT", "1:Firing 3:!Firing");
    // It was known, and is told again.
    check(&timing, "TQTLT", "0:Firing!Firing 3:!Repeat");
    // Nobody was told, so nobody hears of the end.
    check(&timing, "QTFLF", "1:Firing 2:Resolved");
    // Who was told hears of the end when it is loud again.
    check(&timing, "TQFLF", "0:Firing!Firing 2:Resolved 3:!Resolved");
}

/// What is held back is said once per phase and reason: `Q`uiet and `L`oud, `A`cknowledged.
#[test]
fn what_is_held_back_is_said_once() {
    let check = |timing: &Timing, script: &str, expected: &str| {
        let (mut state, mut quiet, mut res) = (State::default(), false, Vec::new());
        for (second, c) in (0..).zip(script.chars()) {
            match c {
                'T' => _ = state.step(timing, Verdict::True, at(second)),
                'F' => _ = state.step(timing, Verdict::False, at(second)),
                'A' => {
                    let (by, comment) = ("a".to_owned(), String::new());
                    state.acknowledged = Some(Acknowledgement { by, at: at(second), comment });
                }
                _ => quiet = c == 'Q',
            }
            if let Some(News::Held(tell, why)) = state.news(timing, at(second), || quiet) {
                res.push(format!("{second}:{tell:?} {why:?}"));
            }
        }
        assert_eq!(res.join(", "), expected, "{script}");
    };
    let timing = Timing { repeat: seconds(3), escalation: vec![seconds(8)], ..Timing::default() };
    check(&timing, "QTTTLT", "1:Firing Quiet");
    check(&timing, "TQTTTTTFFL", "3:Repeat Quiet, 7:Resolved Quiet");
    check(&timing, "TATTTTTTTTTF", "3:Repeat Acknowledged");
    check(&timing, "QTFTFT", "1:Firing Quiet, 3:Firing Quiet, 5:Firing Quiet");
    let timing = Timing { flap: seconds(600), ..Timing::default() };
    check(&timing, "TFTFTF", "3:Resolved Flapping, 4:Flapping Flapping, 5:Resolved Flapping");
}

#[test]
fn a_storm_of_flips_is_told_three_times() {
    let timing = Timing { flap: seconds(600), ..Timing::default() };
    check(
        &timing,
        "TFTFTFTF",
        "0:Firing!Firing 1:Resolved!Resolved 2:Firing!Flapping 3:Resolved 4:Firing 5:Resolved 6:Firing 7:Resolved",
    );
    let timing = Timing { flap: seconds(4), ..Timing::default() };
    check(
        &timing,
        "TFTFTFFFFFFTF",
        "0:Firing!Firing 1:Resolved!Resolved 2:Firing!Flapping 3:Resolved 4:Firing 5:Resolved 9:!Resolved 11:Firing!Firing 12:Resolved!Resolved",
    );
    // It ends firing: they know.
    check(
        &timing,
        "TFTFTTTTTTTT",
        "0:Firing!Firing 1:Resolved!Resolved 2:Firing!Flapping 3:Resolved 4:Firing 8:!Firing",
    );
}

#[derive(Clone, Copy, Debug)]
enum Input {
    Verdict(Verdict),
    Resolve,
    Acknowledge,
}

fn inputs() -> impl Strategy<Value = Vec<(u64, Input, bool)>> {
    let input = prop_oneof![
        6 => Just(Input::Verdict(Verdict::True)),
        6 => Just(Input::Verdict(Verdict::False)),
        2 => Just(Input::Verdict(Verdict::Unknown)),
        1 => Just(Input::Resolve),
        1 => Just(Input::Acknowledge),
    ];
    proptest::collection::vec((0..40_u64, input, prop::bool::weighted(0.2)), 1..80)
}

fn timings() -> impl Strategy<Value = Timing> {
    (0..60_u64, 0..60_u64, 0..120_u64, 0..120_u64, proptest::collection::vec(1..90_u64, 0..3))
        .prop_map(|(hold, keep, repeat, flap, mut escalation)| {
            escalation.sort_unstable();
            Timing {
                hold: seconds(hold),
                keep_firing: seconds(keep),
                repeat: seconds(repeat),
                flap: seconds(flap),
                escalation: escalation.into_iter().map(seconds).collect(),
            }
        })
}

type Said = Vec<(Time, Option<Change>, Option<Tell>, Phase)>;

/// Runs `inputs`, stored and read back before those for which `restart` says so.
fn run(timing: &Timing, inputs: &[(u64, Input, bool)], restart: impl Fn(usize) -> bool) -> Said {
    let mut state = State::default();
    let mut now = at(0);
    let mut said = Vec::new();
    for (n, (later, input, quiet)) in inputs.iter().enumerate() {
        now = now.saturating_add(seconds(*later));
        if restart(n) {
            state = serde_json::from_slice(&serde_json::to_vec(&state).unwrap()).unwrap();
        }
        let change = match input {
            Input::Verdict(it) => state.step(timing, *it, now),
            Input::Resolve => state.resolve(timing, now),
            Input::Acknowledge => {
                if state.phase == Phase::Firing {
                    state.acknowledged = Some(Acknowledgement {
                        by: "a".to_owned(),
                        at: now,
                        comment: String::new(),
                    });
                }
                None
            }
        };
        let tell = state.announce(timing, now, || *quiet);
        said.push((now, change, tell, state.phase));
    }
    said
}

proptest! {
    /// Whenever it is stored and read back, the same happens and the same is told.
    #[test]
    fn a_restart_at_any_moment_changes_nothing(
        timing in timings(),
        inputs in inputs(),
        restarts in proptest::collection::vec(any::<bool>(), 80),
    ) {
        let whole = run(&timing, &inputs, |_| false);
        prop_assert_eq!(&whole, &run(&timing, &inputs, |n| restarts[n]));
        prop_assert_eq!(&whole, &run(&timing, &inputs, |_| true));
    }

    /// Changes are those of the phase, one after the other, and what is told fits them: nobody hears of an end without
    /// having heard of a beginning, and none of both twice.
    #[test]
    fn no_transition_is_lost_or_doubled(timing in timings(), inputs in inputs()) {
        let said = run(&timing, &inputs, |_| false);
        let (mut before, mut pending_since, mut known) = (Phase::Inactive, None, false);
        for (now, change, tell, phase) in said {
            let expected = match (before, phase) {
                (Phase::Inactive, Phase::Pending) => Some(Change::Pending),
                (Phase::Pending, Phase::Inactive) => Some(Change::Dropped),
                (Phase::Inactive | Phase::Pending, Phase::Firing) => Some(Change::Firing),
                (Phase::Firing, Phase::Inactive) => Some(Change::Resolved),
                (Phase::Firing, Phase::Pending) => return Err(TestCaseError::fail("firing to pending")),
                _ => None,
            };
            prop_assert_eq!(change, expected);
            match change {
                Some(Change::Pending) => pending_since = Some(now),
                Some(Change::Firing) if before == Phase::Pending => {
                    prop_assert!(now >= pending_since.unwrap().saturating_add(timing.hold));
                }
                Some(Change::Firing) => prop_assert!(timing.hold.is_zero()),
                _ => {}
            }
            match tell {
                Some(Tell::Firing | Tell::Flapping) => {
                    prop_assert_eq!(phase, Phase::Firing);
                    known = true;
                }
                Some(Tell::Repeat | Tell::Escalation(_)) => {
                    prop_assert!(known && phase == Phase::Firing);
                }
                Some(Tell::Resolved) => {
                    prop_assert!(known && phase != Phase::Firing);
                    known = false;
                }
                None => {}
            }
            before = phase;
        }
    }

    /// However often it flips, within the window it is told three times at most.
    #[test]
    fn flips_are_bounded(flips in proptest::collection::vec(1..6_u64, 10..100)) {
        let timing = Timing { flap: seconds(600), ..Timing::default() };
        let verdict = |n: usize| if n.is_multiple_of(2) { Verdict::True } else { Verdict::False };
        let inputs: Vec<_> =
            flips.iter().enumerate().map(|(n, it)| (*it, Input::Verdict(verdict(n)), false)).collect();
        let told = run(&timing, &inputs, |_| false).iter().filter(|it| it.2.is_some()).count();
        prop_assert_eq!(told, 3);
    }
}
