//! kill -9 while groups are pushed: each is there whole, as some push left it that nobody was told had failed.

use crate::support::{Client, Random, Server};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

const ROUNDS: u64 = 25;
const SENDERS: u64 = 3;
/// Of each sender.
const GROUPS: u64 = 4;
const FAMILIES: u64 = 5;

/// What one sender knows about one of its groups.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Known {
    /// The number of the last push that was acknowledged; 0 for a group that was deleted, or never was.
    acknowledged: u64,
    /// The number of a push that got no answer: it may have happened, or not.
    lost: Option<u64>,
}

/// Every family carries the number of the push. A number that can be divided by seven is a deletion.
fn body(n: u64) -> String {
    (0..FAMILIES).map(|it| format!("# TYPE kill_{it} gauge\nkill_{it} {n}\n")).collect()
}

fn what(n: u64) -> u64 {
    if n.is_multiple_of(7) { 0 } else { n }
}

/// Pushes until the server is gone.
fn send(
    mut client: Client,
    (sender, seed): (u64, u64),
    known: &mut [Known],
    next: &mut u64,
    answered: &AtomicU64,
) {
    let mut random = Random::new(seed);
    loop {
        let group = random.below(GROUPS);
        let path = format!("/metrics/job/kill/sender/{sender}/group/{group}");
        let n = *next;
        *next += 1;
        let (method, body) = match what(n) {
            0 => ("DELETE", String::new()),
            _ => ("PUT", body(n)),
        };
        let known = &mut known[usize::try_from(group).unwrap()];
        match client.try_request(method, &path, &[], body.as_bytes()) {
            Ok(it) if it.status == 200 || it.status == 202 => {
                *known = Known { acknowledged: what(n), lost: None };
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(it) => panic!("{}", it.status),
            Err(_) => {
                known.lost = Some(what(n));
                return;
            }
        }
    }
}

/// The number that a group shows; all its families show the same.
fn shown(page: &str, sender: u64, group: u64) -> u64 {
    let values: BTreeMap<u64, u64> = (0..FAMILIES)
        .filter_map(|it| {
            let start = format!(
                "kill_{it}{{group=\"{group}\",instance=\"\",job=\"kill\",sender=\"{sender}\"}} "
            );
            Some((it, page.lines().find_map(|it| it.strip_prefix(&start))?.parse().unwrap()))
        })
        .collect();
    let first = values.get(&0).copied().unwrap_or(0);
    let whole = if first == 0 { 0 } else { FAMILIES };
    assert_eq!(values.len() as u64, whole, "group {group} of {sender} in {page}");
    assert!(values.values().all(|it| *it == first), "{values:?}");
    first
}

#[test]
fn every_acknowledged_push_survives_kill_9() {
    let mut server = Server::start();
    let mut known = vec![vec![Known::default(); usize::try_from(GROUPS).unwrap()]; 3];
    let mut next = vec![1u64; 3];
    let mut total = 0;
    for round in 0..ROUNDS {
        let answered = AtomicU64::new(0);
        thread::scope(|scope| {
            for (sender, (known, next)) in (0..SENDERS).zip(known.iter_mut().zip(&mut next)) {
                let client = server.client();
                let answered = &answered;
                let seed = round * SENDERS + sender;
                scope.spawn(move || send(client, (sender, seed), known, next, answered));
            }
            // At some moment after some answers.
            let until = Instant::now() + Duration::from_secs(30);
            while answered.load(Ordering::Relaxed) < 5 + round % 10 && Instant::now() < until {
                thread::sleep(Duration::from_millis(1));
            }
            server.kill9();
        });
        total += answered.load(Ordering::Relaxed);
        server.restart();
        let page = server.client().get("/metrics").expect(200).text();
        for (sender, known) in (0..SENDERS).zip(&mut known) {
            for (group, known) in (0..GROUPS).zip(known) {
                let found = shown(&page, sender, group);
                let expected = [Some(known.acknowledged), known.lost];
                assert!(expected.contains(&Some(found)), "{found} is not among {known:?}");
                *known = Known { acknowledged: found, lost: None };
            }
        }
    }
    assert!(total >= 5 * ROUNDS, "{total} pushes were acknowledged");
}
