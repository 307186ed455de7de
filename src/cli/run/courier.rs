//! Brings the events of a run to the server while the command runs.

use crate::cli::client::{self, Client};
use crate::cli::deliver::{self, Report, deliver};
use crate::cli::spool::Spool;
use crate::cli::{Error, Session};
use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

/// Takes events at once and sends them beside the command, on a thread of its own.
pub(super) struct Courier {
    spool: Option<Spool>,
    jobs: Sender<Job>,
    /// For the thread, until it is started.
    waiting_jobs: Option<Receiver<Job>>,
    words: (Sender<Word>, Receiver<Word>),
    /// How long the end of the run may take.
    patience: Duration,
    /// Why nothing is sent at all.
    given_up: Option<Error>,
}

enum Job {
    /// Send what waits in the spool.
    Deliver,
    /// Send an event that could not be written there.
    Send(String),
}

/// What the end of a run waits for.
enum Word {
    /// Everything was tried.
    Done(Report),
    /// A person or a system wants the end now.
    Impatient,
}

impl Courier {
    pub(super) fn new(spool: Option<Spool>) -> Self {
        let (jobs, waiting_jobs) = mpsc::channel();
        Self {
            spool,
            jobs,
            waiting_jobs: Some(waiting_jobs),
            words: mpsc::channel(),
            patience: Duration::ZERO,
            given_up: None,
        }
    }

    /// Takes an event, one line of JSON.
    pub(super) fn take(&self, line: String, session: &mut Session) {
        let job = match self.spool.as_ref().map(|it| (it, it.put(&line, session.now()))) {
            None => Job::Send(line),
            Some((_, Ok(dropped))) => {
                if dropped > 0 {
                    session.note(&format!(
                        "observatory: the spool is full; the oldest {dropped} of its events are lost"
                    ));
                }
                Job::Deliver
            }
            Some((spool, Err(err))) => {
                session.note(&format!("observatory: {}", deliver::unusable(spool, &err)));
                Job::Send(line)
            }
        };
        // Without a thread nobody listens; then the spool has it.
        let _ = self.jobs.send(job);
    }

    /// Begins to send to the server of `client`.
    pub(super) fn start(&mut self, client: Client) {
        self.patience = client.timeout();
        let (spool, words) = (self.spool.clone(), self.words.0.clone());
        let Some(jobs) = self.waiting_jobs.take() else { return };
        thread::spawn(move || {
            let report = match client::block_on(work(&client, spool.as_ref(), &jobs)) {
                Ok(it) => it,
                Err(err) => Report { problem: Some(err), ..Report::default() },
            };
            // Who does not wait any more knows enough.
            let _ = words.send(Word::Done(report));
        });
    }

    /// Nothing is sent, because of `err`; what is taken waits in the spool.
    pub(super) fn give_up(&mut self, err: Error) {
        self.given_up = Some(err);
    }

    /// What to call when the end of the run shall not wait for the server.
    pub(super) fn impatience(&self) -> impl Fn() + Send + 'static {
        let words = self.words.0.clone();
        move || {
            let _ = words.send(Word::Impatient);
        }
    }

    /// Waits for the server, though not for long, and says what was not delivered.
    pub(super) fn finish(self, session: &mut Session) {
        let Self { spool, jobs, words: (_, words), patience, given_up, .. } = self;
        drop(jobs);
        let problem = match given_up {
            Some(it) => Some(it),
            None => match words.recv_timeout(patience) {
                Ok(Word::Done(report)) => {
                    report.tell(session);
                    report.problem
                }
                Ok(Word::Impatient) | Err(RecvTimeoutError::Disconnected) => {
                    Some(Error::Unavailable("interrupted".to_owned()))
                }
                Err(RecvTimeoutError::Timeout) => Some(Error::Unavailable(format!(
                    "the server did not answer within {}s",
                    patience.as_secs_f64()
                ))),
            },
        };
        let Some(problem) = problem else { return };
        let waiting = spool.as_ref().and_then(deliver::waiting).map_or_else(
            || "its events are lost, for there is no spool; name one with --spool or OBSERVATORY_SPOOL".to_owned(),
            |it| format!("{it} for the next `observatory run` or `observatory send`"),
        );
        session.note(&format!("observatory: {problem}; {waiting}"));
    }
}

async fn work(
    client: &Client,
    spool: Option<&Spool>,
    jobs: &Receiver<Job>,
) -> Result<Report, Error> {
    let mut report = Report::default();
    while let Ok(job) = jobs.recv() {
        let done = match (job, spool) {
            (Job::Deliver, None) => continue,
            (Job::Deliver, Some(spool)) => deliver(client, spool, &mut |_| {}).await,
            (Job::Send(line), _) => {
                let sent = client.post_lines(line + "\n", client.timeout(), &mut |_| {}).await;
                Report { problem: sent.err().map(Error::from), ..Report::default() }
            }
        };
        report.aside.extend(done.aside);
        report.delivered += done.delivered;
        // An earlier problem is none any more if everything is delivered now.
        report.problem = done.problem;
    }
    Ok(report)
}
