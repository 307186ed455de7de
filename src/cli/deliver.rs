//! From the spool to the server.

use super::client::{Client, Failure};
use super::spool::{Content, Spool, Waiting};
use super::{Error, Session};
use std::{io, path::PathBuf, time::Instant};

/// Where events wait for their server.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    #[arg(
        long,
        value_name = "DIR",
        help = "Directory of events that wait for the server [env: OBSERVATORY_SPOOL] [default: observatory/spool in $XDG_STATE_HOME or ~/.local/state]"
    )]
    spool: Option<PathBuf>,
}

/// What became of the events that waited.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// How many the server has now.
    pub(super) delivered: u64,
    /// What was put aside because it will never be taken: where it lies, and why.
    pub(super) aside: Vec<(PathBuf, String)>,
    /// Why some still wait.
    pub(super) problem: Option<Error>,
}

/// One request carries at most so many events and bytes: little enough for any server.
const MOST_EVENTS: usize = 500;
const MOST_BYTES: usize = 1 << 20;

impl Args {
    /// The spool that is meant; none if there is no place for one.
    pub(super) fn spool(&self, session: &Session) -> Option<Spool> {
        let named = self.spool.clone();
        let named = named.or_else(|| session.variable("OBSERVATORY_SPOOL").map(PathBuf::from));
        let of_state = |it: &str| PathBuf::from(it).join("observatory/spool");
        let dir = named
            .or_else(|| session.variable("XDG_STATE_HOME").map(of_state))
            .or_else(|| Some(PathBuf::from(session.variable("HOME")?).join(STATE)))?;
        Some(Spool::new(dir))
    }
}

const STATE: &str = ".local/state/observatory/spool";

impl Report {
    /// Tells what a person should know of what could not be delivered.
    pub(super) fn tell(&self, session: &mut Session) {
        for (path, reason) in &self.aside {
            let path = path.display();
            session.note(&format!(
                "observatory: an event is not sent, and put aside: {path}: {reason}"
            ));
        }
    }
}

/// Sends what waits in `spool`, oldest first, in requests that may each take as long as the client's time-out.
/// Another process that does the same is waited for as long.
pub(super) async fn deliver(
    client: &Client,
    spool: &Spool,
    tell: &mut dyn FnMut(String),
) -> Report {
    let mut report = Report::default();
    if let Err(err) = deliver_to(client, spool, tell, &mut report).await {
        report.problem = Some(err);
    }
    report
}

async fn deliver_to(
    client: &Client,
    spool: &Spool,
    tell: &mut dyn FnMut(String),
    report: &mut Report,
) -> Result<(), Error> {
    let broken = |err: io::Error| unusable(spool, &err);
    // There may be no directory to hold a lock.
    if spool.list().map_err(broken)?.is_empty() {
        return Ok(());
    }
    let _right = spool.delivery(Instant::now() + client.timeout()).map_err(broken)?;
    let mut most = MOST_EVENTS;
    loop {
        // Asked anew each time: what was added meanwhile is sent as well.
        let waiting = spool.list().map_err(broken)?;
        if waiting.is_empty() {
            return Ok(());
        }
        let (batch, lines) = collect(spool, &waiting, most, report).map_err(broken)?;
        if batch.is_empty() {
            continue;
        }
        match client.post_lines(lines, client.timeout(), tell).await {
            Ok(answer) => {
                answer.check(batch.len())?;
                for (index, it) in batch.iter().enumerate() {
                    match answer.rejected.iter().find(|it| it.index == index) {
                        Some(why) => put_aside(spool, it, &why.error, report).map_err(broken)?,
                        None => spool.remove(it).map_err(broken)?,
                    }
                }
                report.delivered += answer.accepted + answer.duplicates;
                most = MOST_EVENTS;
            }
            Err(Failure::Bad(why)) => match batch.as_slice() {
                [it] => put_aside(spool, it, &why, report).map_err(broken)?,
                // One of them spoils the others, or they are too many for this server.
                several => most = (several.len() / 2).max(1),
            },
            Err(Failure::Other(err)) => return Err(err),
        }
    }
}

/// The oldest events, as many as one request may carry, and their lines.
fn collect(
    spool: &Spool,
    waiting: &[Waiting],
    most: usize,
    report: &mut Report,
) -> io::Result<(Vec<Waiting>, String)> {
    let mut batch = Vec::new();
    let mut lines = String::new();
    for it in waiting {
        match spool.read(it)? {
            Content::Gone => {}
            Content::Damaged(why) => put_aside(spool, it, &format!("the file {why}"), report)?,
            Content::Event(line) => {
                if !batch.is_empty() && lines.len() + line.len() > MOST_BYTES {
                    break;
                }
                lines.push_str(&line);
                lines.push('\n');
                batch.push(it.clone());
            }
        }
        if batch.len() == most {
            break;
        }
    }
    Ok((batch, lines))
}

fn put_aside(spool: &Spool, it: &Waiting, why: &str, report: &mut Report) -> io::Result<()> {
    let path = spool.put_aside(it, why)?;
    report.aside.push((path, why.to_owned()));
    Ok(())
}

/// What to say of a spool that cannot be used.
pub(super) fn unusable(spool: &Spool, err: &io::Error) -> Error {
    let dir = spool.dir().display();
    Error::System(format!(
        "the spool {dir} cannot be used: {err}; name another with --spool or OBSERVATORY_SPOOL"
    ))
}

/// `2 events wait in /home/me/.local/state/observatory/spool`.
pub(super) fn waiting(spool: &Spool) -> Option<String> {
    let left = spool.list().map_or(0, |it| it.len());
    let dir = spool.dir().display();
    match left {
        0 => None,
        1 => Some(format!("1 event waits in {dir}")),
        n => Some(format!("{n} events wait in {dir}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::client;
    use super::super::client::tests::{http, serve};
    use super::*;
    use crate::event::Time;
    use std::time::Duration;
    use tempfile::TempDir;

    fn spool(ids: &[&str]) -> (TempDir, Spool) {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path().join("spool"));
        for id in ids {
            spool.put(&format!(r#"{{"id":"{id}"}}"#), Time::from_millis(1)).unwrap();
        }
        (dir, spool)
    }

    fn run(spool: &Spool, answers: Vec<String>) -> (Report, Vec<String>) {
        let (url, server) = serve(answers);
        let timeout = Some(Duration::from_millis(300));
        let args = client::Args { url: Some(url), token: None, timeout };
        let client = Client::new(&args, &Session::recorded(&[], "").0).unwrap();
        let report = client::block_on(async { Ok(deliver(&client, spool, &mut |_| {}).await) });
        let bodies = server.join().unwrap();
        let body = |it: &String| it.split_once("\r\n\r\n").unwrap().1.to_owned();
        (report.unwrap(), bodies.iter().map(body).collect())
    }

    fn accepted(count: usize, rejected: &str) -> String {
        http("202 Accepted", "", &format!(r#"{{"accepted":{count},"rejected":[{rejected}]}}"#))
    }

    #[test]
    fn all_that_waits_is_sent_in_order_and_gone() {
        let (_dir, spool) = spool(&["a", "b"]);
        let (report, bodies) = run(&spool, vec![accepted(2, "")]);
        assert_eq!((report.delivered, report.problem.is_none()), (2, true));
        assert_eq!(bodies, ["{\"id\":\"a\"}\n{\"id\":\"b\"}\n"]);
        assert_eq!(waiting(&spool), None);
        let (report, bodies) = run(&spool, Vec::new());
        assert_eq!((report.delivered, bodies.len()), (0, 0));
    }

    #[test]
    fn what_is_refused_for_good_is_put_aside_and_the_rest_goes_on() {
        let (_dir, spool) = spool(&["a", "b", "c"]);
        let (report, _) = run(&spool, vec![accepted(2, r#"{"index":1,"error":"no type"}"#)]);
        assert_eq!(report.delivered, 2);
        let [(path, why)] = report.aside.as_slice() else { panic!("{report:?}") };
        assert_eq!(why, "no type");
        assert!(std::fs::read_to_string(path).unwrap().contains("\"b\""));
        assert_eq!(waiting(&spool), None);
    }

    #[test]
    fn a_request_that_is_too_large_is_cut() {
        let (_dir, spool) = spool(&["a", "b", "c"]);
        let large = || http("413 Payload Too Large", "", "{}");
        // Three, then one, then two together, then one of these, which is too large by itself.
        let answers = vec![large(), accepted(1, ""), large(), large(), accepted(1, "")];
        let (report, bodies) = run(&spool, answers);
        assert_eq!(bodies.iter().map(|it| it.lines().count()).collect::<Vec<_>>(), [3, 1, 2, 1, 1]);
        assert_eq!((report.delivered, report.aside.len()), (2, 1));
        assert_eq!(waiting(&spool), None);
    }

    #[test]
    fn what_may_be_taken_later_stays() {
        for (status, code) in
            [("503 Service Unavailable", 69), ("401 Unauthorized", 77), ("404 Not Found", 1)]
        {
            let (_dir, spool) = spool(&["a"]);
            let (report, _) = run(&spool, vec![http(status, "retry-after: 9\r\n", "{}")]);
            assert_eq!(report.problem.unwrap().exit_code(), code, "{status}");
            assert!(waiting(&spool).unwrap().starts_with("1 event waits in "));
        }
    }

    #[test]
    fn an_answer_of_something_else_removes_nothing() {
        for answer in ["{}", "ok", "[]"] {
            let (_dir, spool) = spool(&["a"]);
            let (report, _) = run(&spool, vec![http("200 OK", "", answer)]);
            assert_eq!(report.problem.unwrap().exit_code(), 69, "{answer}");
            assert!(waiting(&spool).is_some());
        }
    }

    #[test]
    fn a_damaged_file_does_not_stick() {
        let (_dir, spool) = spool(&["a", "b"]);
        let path = spool.dir().join("00000000000000000001.json");
        std::fs::write(&path, "{\"id\":").unwrap();
        let (report, bodies) = run(&spool, vec![accepted(1, "")]);
        assert_eq!(bodies, ["{\"id\":\"b\"}\n"]);
        assert_eq!((report.delivered, report.aside.len()), (1, 1));
        assert!(!path.exists());
    }

    #[test]
    fn where_events_wait() {
        let dir = |args: Option<&str>, environment: &[(&str, &str)]| {
            let args = Args { spool: args.map(PathBuf::from) };
            let spool = args.spool(&Session::recorded(environment, "").0);
            spool.map(|it| it.dir().display().to_string())
        };
        let all = [("OBSERVATORY_SPOOL", "/o"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(dir(Some("/f"), &all).unwrap(), "/f");
        assert_eq!(dir(None, &all).unwrap(), "/o");
        assert_eq!(dir(None, &all[1..]).unwrap(), "/x/observatory/spool");
        assert_eq!(dir(None, &all[2..]).unwrap(), "/h/.local/state/observatory/spool");
        assert_eq!(dir(None, &[]), None);
    }
}
