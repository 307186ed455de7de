//! `observatory demo`.

mod random;
mod world;

use super::client::{self, Client};
use super::{Error, Session, send};
use crate::config;
use crate::event::Time;
use serde_json::Value;
use std::{
    future::Future,
    ops::Range,
    time::{Duration, Instant},
};
use world::{Happening, World};

/// Send a believable stream of events to a server, to see it alive.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Four projects are built, tested and deployed, and five agents work for one another. Builds fail in streaks, coverage drifts, what was built is deployed. The same seed tells the same story.

Examples:
  observatory demo
  observatory demo --rate 50/s --duration 10m
  observatory demo --seed 42 --url http://127.0.0.1:9091")]
pub(super) struct Args {
    /// Events per second (5/s) or minute (30/m)
    #[arg(long, default_value = "5/s", value_parser = rate)]
    rate: f64,
    /// How long, such as 30s or 10m [default: until Ctrl-C]
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// Which story is told
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    server: client::Args,
}

/// How far the demo is.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    sent: u64,
    accepted: u64,
    refused: u64,
}

/// Events are sent together at most this often, however high the rate.
const TICK: Duration = Duration::from_millis(50);
const MOST_AT_ONCE: u64 = 5000;

/// Sends events until the time is over or the person has seen enough.
pub(super) fn run(args: &Args, session: &mut Session) -> Result<(), Error> {
    let client = Client::new(&args.server, session)?;
    client::block_on(async {
        let interrupted = tokio::signal::ctrl_c();
        play(args, &client, session, async {
            // Without the handler Ctrl-C ends the program the hard way, which does as well.
            if interrupted.await.is_err() {
                std::future::pending::<()>().await;
            }
        })
        .await
    })
}

async fn play(
    args: &Args,
    client: &Client,
    session: &mut Session,
    interrupted: impl Future<Output = ()>,
) -> Result<(), Error> {
    // A second run with the same seed tells the same story, but its events are new ones.
    let run = send::random_id()?;
    let mut world = World::new(args.seed);
    let mut progress = Progress::default();
    let started = Instant::now();
    let total = args.duration.map(|it| due(it, args.rate).max(1));
    tokio::pin!(interrupted);
    session.note(&format!(
        "observatory: sending {} events per second to {}{}",
        args.rate,
        client.base(),
        if args.duration.is_none() { "; Ctrl-C ends" } else { "" }
    ));
    while total.is_none_or(|it| progress.sent < it) {
        // The first event is sent at once.
        let wanted = due(started.elapsed(), args.rate) + 1;
        let now = total.map_or(wanted, |it| it.min(wanted)).saturating_sub(progress.sent);
        if now > 0 {
            let numbers = progress.sent..progress.sent + now.min(MOST_AT_ONCE);
            let body = lines(&mut world, &run, numbers, session.now());
            tokio::select! {
                sent = deliver(client, session, body, &mut progress) => sent?,
                () = &mut interrupted => break,
            }
            progress.sent += now.min(MOST_AT_ONCE);
            show(session, progress, started.elapsed());
        }
        let next = Duration::from_secs_f64(1.0 / args.rate).clamp(TICK, Duration::from_secs(1));
        tokio::select! {
            () = tokio::time::sleep(next.min(Duration::from_millis(200))) => {}
            () = &mut interrupted => break,
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let Progress { accepted, refused, .. } = progress;
    session.print(&format!("accepted {accepted}, refused {refused} in {seconds:.1}s"))?;
    if refused > 0 { Err(Error::Refused(String::new())) } else { Ok(()) }
}

/// Events that are due after `elapsed`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "both factors are positive, and a float that is too large saturates"
)]
fn due(elapsed: Duration, rate: f64) -> u64 {
    (elapsed.as_secs_f64() * rate) as u64
}

/// The next `count` events as NDJSON.
fn lines(world: &mut World, run: &str, numbers: Range<u64>, now: Time) -> String {
    let mut body = String::new();
    // The story is asked second: what it told would be lost if there was no number left for it.
    for (number, it) in numbers.zip(std::iter::from_fn(|| world.next())) {
        let event = outgoing(it, format!("{run}-{number}"), now);
        // A map with text keys is always JSON.
        body.push_str(&serde_json::to_string(&event).unwrap_or_default());
        body.push('\n');
    }
    body
}

fn outgoing(it: Happening, id: String, now: Time) -> send::Outgoing {
    let mut data = it.data;
    if let Some(age) = it.commit_age {
        let committed = now.saturating_sub(age).to_string();
        data.insert("commit_time".to_owned(), Value::String(committed));
    }
    send::Outgoing {
        id,
        event_type: it.event_type.to_owned(),
        source: it.source.to_owned(),
        timestamp: None,
        data,
    }
}

async fn deliver(
    client: &Client,
    session: &mut Session,
    body: String,
    progress: &mut Progress,
) -> Result<(), Error> {
    let batch = client.send_lines(body, session).await?;
    progress.accepted += batch.accepted + batch.duplicates;
    for it in batch.rejected {
        progress.refused += 1;
        session.note(&format!("event {}: {}", it.index, it.error));
    }
    Ok(())
}

fn show(session: &mut Session, progress: Progress, elapsed: Duration) {
    if session.is_watched() {
        let Progress { accepted, refused, .. } = progress;
        let seconds = elapsed.as_secs();
        session.progress(&format!("{accepted} events accepted, {refused} refused, {seconds}s"));
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let expected = || "expected a rate above 0 such as 5/s or 30/m".to_owned();
    let (number, per) = text.split_once('/').unwrap_or((text, "s"));
    let per = match per {
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(expected()),
    };
    let number: f64 = number.parse().map_err(|_| expected())?;
    if number.is_finite() && number > 0.0 { Ok(number / per) } else { Err(expected()) }
}

fn duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text)
        .ok_or_else(|| "expected a duration such as 30s, 10m or 1h30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::client::tests::{http, serve};
    use super::*;
    use crate::sources;
    use std::collections::BTreeSet;

    #[test]
    fn rates() {
        assert_eq!(rate("5/s"), Ok(5.0));
        assert_eq!(rate("30/m"), Ok(0.5));
        assert_eq!(rate("7"), Ok(7.0));
        for bad in ["0/s", "-1/s", "5/h", "fast", "NaN", "inf/s", ""] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_lost_between_two_batches() {
        let now = Time::default();
        let mut world = World::new(3);
        let parts = [lines(&mut world, "r", 0..3, now), lines(&mut world, "r", 3..7, now)].concat();
        assert_eq!(parts, lines(&mut World::new(3), "r", 0..7, now));
    }

    #[test]
    fn the_commit_is_as_old_as_told() {
        let it = Happening {
            event_type: "deployment_completed",
            source: "cd",
            data: serde_json::Map::new(),
            commit_age: Some(Duration::from_secs(3600)),
        };
        let now = Time::parse("2026-01-05T10:00:00Z").unwrap();
        let event = outgoing(it, "x".to_owned(), now);
        assert_eq!(event.data["commit_time"], "2026-01-05T09:00:00Z");
    }

    #[test]
    fn the_builtin_rules_understand_every_event() {
        let rules = crate::rules::RuleSet::builtin();
        let mut updates = crate::rules::Updates::default();
        let mut world = World::new(9);
        let now = Time::parse("2026-01-05T10:00:00Z").unwrap();
        let body = lines(&mut world, "run", 0..5000, now);
        let meta = sources::RequestMeta {
            content_type: Some("application/x-ndjson"),
            ..sources::RequestMeta::default()
        };
        let parsed = sources::parse(body.as_bytes(), &meta, &sources::Limits::default()).unwrap();
        assert_eq!(parsed.events.len(), 5000);
        for event in parsed.events {
            let event = event.unwrap().accept(now, || unreachable!("every event has an id"));
            rules.evaluate(&event, &mut updates);
            assert!(updates.errors.is_empty(), "{event:?}: {:?}", updates.errors);
            assert!(updates.unmatched.is_empty(), "{event:?}");
        }
        let moved: BTreeSet<_> = updates.ops.iter().map(|it| it.family).collect();
        let of_span = |name: &str| rules.spans().iter().any(|it| name.starts_with(&it.name));
        for (index, family) in (0..).zip(rules.families()) {
            let other = of_span(&family.name) || family.name.starts_with("health_");
            assert!(other || moved.contains(&index), "{} never moves", family.name);
        }
        let spans: BTreeSet<_> = updates.spans.iter().map(|it| it.span).collect();
        for (index, span) in (0..).zip(rules.spans()) {
            assert!(span.name == "ci_workflow" || spans.contains(&index), "{} is idle", span.name);
        }
    }

    fn demo(duration: f64, answers: Vec<String>) -> (Result<(), Error>, String, Vec<String>) {
        let (url, server) = serve(answers);
        let args = Args {
            rate: 1.0,
            duration: Some(Duration::from_secs_f64(duration)),
            seed: 1,
            server: client::Args {
                url: Some(url),
                timeout: Some(Duration::from_secs(5)),
                token: None,
            },
        };
        let (mut session, out, _) = Session::recorded(&[], "");
        let result = run(&args, &mut session);
        (result, out.text(), server.join().unwrap())
    }

    #[test]
    fn events_are_sent_as_lines_and_counted() {
        let answer = r#"{"accepted":1,"duplicates":0,"rejected":[],"event_ids":["x"]}"#;
        let (result, out, requests) = demo(1.0, vec![http("202 Accepted", "", answer)]);
        result.unwrap();
        assert!(out.starts_with("accepted 1, refused 0 in "), "{out}");
        let body = requests[0].split_once("\r\n\r\n").unwrap().1;
        let event: Value = serde_json::from_str(body).unwrap();
        assert_eq!(event["event_type"], "agent_registered");
    }

    #[test]
    fn a_refusal_is_a_failure() {
        let answer = r#"{"accepted":0,"duplicates":0,"rejected":[{"index":0,"error":"no"}]}"#;
        let (result, out, _) = demo(1.0, vec![http("202 Accepted", "", answer)]);
        assert_eq!(result.unwrap_err().exit_code(), 1);
        assert!(out.starts_with("accepted 0, refused 1 in "), "{out}");
    }
}
