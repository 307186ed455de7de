use super::*;

const NO_PACE: Pace = Pace { gap: Duration::ZERO, gathers: false };
const GATHERS: Pace = Pace { gap: Duration::ZERO, gathers: true };
const INTERVAL: Duration = Duration::from_secs(30);

fn at(seconds: i64) -> Time {
    Time::from_millis(1_767_607_200_000 + seconds * 1000)
}

fn row(alert: &str, kind: Kind) -> Waiting {
    Waiting {
        alert: alert.into(),
        group: None,
        kind,
        created: at(0),
        due: at(0),
        attempts: 0,
        message: None,
    }
}

fn queue(rows: impl IntoIterator<Item = (&'static str, Waiting)>) -> Queue {
    let mut res = Queue::default();
    for (id, row) in rows {
        res.add(id.into(), row);
    }
    res
}

#[track_caller]
fn check(queue: &Queue, now: Time, pace: Pace, expected: &str) {
    let shown = match queue.next(now, Instant::now(), pace) {
        Next::Nothing => "nothing".to_owned(),
        Next::Wait(it) => format!("wait {}", it.as_secs()),
        Next::Send(ids) => ids.join(" "),
    };
    assert_eq!(shown, expected);
}

#[test]
fn the_oldest_goes_first_and_alone() {
    let queue = queue([("2", row("b", Kind::Firing)), ("1", row("a", Kind::Firing))]);
    check(&queue, at(0), NO_PACE, "1");
    check(&Queue::default(), at(0), NO_PACE, "nothing");
}

#[test]
fn what_is_over_before_it_was_told_is_told_once() {
    let rows = [
        ("1", row("a", Kind::Firing)),
        ("2", row("b", Kind::Firing)),
        ("3", row("a", Kind::Resolved)),
    ];
    check(&queue(rows), at(0), NO_PACE, "1 3");
}

#[test]
fn a_resolve_never_passes_its_firing() {
    let failed = Waiting { attempts: 9, due: at(100), ..row("a", Kind::Firing) };
    // The firing has been made a message of its own, so that nothing joins it any more.
    let fixed = Waiting { message: Some("1".into()), ..failed };
    let queue =
        queue([("1", fixed), ("2", row("a", Kind::Resolved)), ("3", row("b", Kind::Firing))]);
    check(&queue, at(0), NO_PACE, "3");
    check(&queue, at(100), NO_PACE, "1");
}

#[test]
fn what_fails_is_waited_for_until_it_may_be_the_messages_fault() {
    let rows = |attempts| {
        let failed = Waiting { attempts, due: at(10), ..row("a", Kind::Firing) };
        queue([("1", failed), ("2", row("b", Kind::Firing))])
    };
    check(&rows(1), at(0), NO_PACE, "wait 10");
    check(&rows(5), at(0), NO_PACE, "wait 10");
    check(&rows(6), at(0), NO_PACE, "2");
    check(&rows(1), at(10), NO_PACE, "1");
}

#[test]
fn a_group_goes_out_together_and_not_too_often() {
    let grouped = |alert, created, due| Waiting {
        group: Some("g".into()),
        created,
        due,
        ..row(alert, Kind::Firing)
    };
    let mut queue = Queue::default();
    let due = |queue: &Queue, now| queue.due(Some("g"), now, Duration::from_secs(2), INTERVAL);
    assert_eq!(due(&queue, at(0)), at(2));
    queue.add("1".into(), grouped("a", at(0), at(2)));
    queue.add("2".into(), grouped("b", at(1), due(&queue, at(1))));
    check(&queue, at(1), NO_PACE, "wait 1");
    check(&queue, at(2), NO_PACE, "1 2");
    queue.settled(&["1".into(), "2".into()], at(3), Instant::now());
    assert_eq!(due(&queue, at(4)), at(33));
    assert_eq!(due(&queue, at(40)), at(42));
    assert_eq!(queue.due(None, at(4), Duration::from_secs(2), INTERVAL), at(4));
}

#[test]
fn a_storm_becomes_one_message_where_that_is_wanted() {
    let names = ["1", "2", "3", "4", "5", "6", "7"];
    let storm = queue(names.map(|it| (it, row(it, Kind::Firing))));
    check(&storm, at(0), GATHERS, "1 2 3 4 5 6 7");
    check(&storm, at(0), NO_PACE, "1");
    let few = queue(["1", "2"].map(|it| (it, row(it, Kind::Firing))));
    check(&few, at(0), GATHERS, "1");
    let tests = queue(names.map(|it| (it, row(it, Kind::Test))));
    check(&tests, at(0), GATHERS, "1");
}

#[test]
fn a_message_is_not_larger_than_people_read() {
    let mut storm = Queue::default();
    for n in 0..2 * MAX_ENTRIES {
        storm.add(format!("{n:03}").into(), row(&n.to_string(), Kind::Firing));
    }
    let Next::Send(ids) = storm.next(at(0), Instant::now(), GATHERS) else { panic!() };
    assert_eq!(ids.len(), MAX_ENTRIES);
}

#[test]
fn a_message_stays_what_it_was() {
    let part =
        |alert| Waiting { message: Some("2".into()), attempts: 1, ..row(alert, Kind::Firing) };
    let queue = queue([("1", part("a")), ("2", part("b")), ("3", row("a", Kind::Resolved))]);
    check(&queue, at(0), GATHERS, "1 2");
}

#[test]
fn a_channel_rests() {
    let mut queue = queue([("1", row("a", Kind::Firing)), ("2", row("b", Kind::Firing))]);
    let now = Instant::now();
    queue.settled(&["1".into()], at(0), now);
    let slow = Pace { gap: Duration::from_secs(60), gathers: false };
    assert!(matches!(queue.next(at(0), now, slow), Next::Wait(it) if it.as_secs() == 60));
    queue.busy = true;
    check(&queue, at(0), NO_PACE, "nothing");
    queue.failed(&["2".into()], None, at(5), (now, now + Duration::from_secs(7)));
    assert!(matches!(queue.next(at(9), now, NO_PACE), Next::Wait(it) if it.as_secs() == 7));
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_up() {
    let queue = queue([("1", Waiting { due: at(86_400), ..row("a", Kind::Firing) })]);
    check(&queue, at(0), NO_PACE, "1");
}
