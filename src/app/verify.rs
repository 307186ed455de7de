//! Checking a data directory while no server runs in it, and taking out of use what is damaged.

use crate::alerting;
use crate::groups;
use crate::journal;
use crate::metrics;
use crate::notify;
use crate::services;
use crate::store;
use crate::store::verify::{Closed, Finding, Quarantine, Read, Unreadable, Verdict};
use crate::store::{Batch, OpenError, Store, StoreError, Table};
use crate::tokens;
use std::{io, path::PathBuf, sync::mpsc, thread, time::Duration};

const JOURNAL: &str = "journal";
const METRICS: &str = "metrics";
const TOKENS: &str = "tokens";
const SERVICES: &str = "services";
const GROUPS: &str = "groups";
const ALERTS: &str = notify::TABLE;

/// Bytes that one batch of a repair puts into the new store.
const BATCH_BYTES: usize = 1 << 20;

/// How long sled may take for one step before it is taken to go round in circles.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a check found.
#[derive(Debug, Default, serde::Serialize)]
pub struct Report {
    /// What is wrong; empty if all is well.
    pub findings: Vec<Finding>,
    /// Events that can be read.
    pub events: u64,
    /// Values that were checked.
    pub values: u64,
    /// Where a repair put what it took out of use.
    pub quarantine: Option<PathBuf>,
}

/// Why a check could not be done.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The directory is in use, or cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A table cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files fit together so badly that nothing can be read.
    #[error(
        "the pages of the store do not fit together, and it cannot be read any more; nothing was changed: restore a backup"
    )]
    Circle,
    /// There is something that this version does not know.
    #[error(
        "there is a table that this version does not know ({0}); nothing was changed: repair it with the version that wrote it"
    )]
    UnknownTable(String),
}

/// What is checked at the moment: `each` is told its name, how much is done, and of how much if that is known.
pub type Each<'a> = &'a mut dyn FnMut(&'static str, u64, Option<u64>);

/// Checks everything in the directory of `config`. With `repair`, what cannot be used is moved to a quarantine,
/// and the rest can be opened again.
///
/// # Errors
///
/// There is no store, it is in use, or it cannot be read or written at all.
pub fn verify(config: &store::Config, repair: bool, each: Each<'_>) -> Result<Report, VerifyError> {
    let closed = Closed::lock(config)?;
    let size = closed.size_bytes();
    let damaged = closed.check_files(|bytes| each("files", bytes, Some(size)))?;
    let mut report = Report::default();
    for it in &damaged {
        let lost = "what else is reported".to_owned();
        let (place, what) =
            (it.file.display().to_string(), format!("byte {}: {}", it.offset, it.what));
        report.findings.push(Finding { place, what, lost, kept: Vec::new(), keys: Vec::new() });
    }
    let records = closed.log_records()?;
    let store = closed.open(&damaged)?;
    let checked = patiently(each, {
        let (store, mut report) = (store.clone(), std::mem::take(&mut report));
        move |each| {
            let checked = check_tables(&store, &records, &mut report, each);
            checked.map(|it| (it, report))
        }
    })?;
    let (checked, found) = checked;
    report = found;
    if repair && !report.findings.is_empty() {
        let quarantine = Quarantine::create(&config.path)?;
        report = patiently(each, {
            let config = config.clone();
            move |each| rebuild(&config, (store, &checked), quarantine, report, each)
        })?;
    }
    closed.forget_copy()?;
    Ok(report)
}

/// Does `work` on a thread of its own, and gives up if it does not get on: where pages do not fit together, sled
/// may go round in circles.
fn patiently<T: Send + 'static>(
    each: Each<'_>,
    work: impl FnOnce(Each<'_>) -> Result<T, VerifyError> + Send + 'static,
) -> Result<T, VerifyError> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("verify".to_owned()).spawn(move || {
        let progress = sender.clone();
        let res = work(&mut |what, done, total| {
            // Whoever does not wait any more has given up.
            let _ = progress.send(Step::Done(what, done, total));
        });
        let _ = sender.send(Step::Finished(res));
    })?;
    loop {
        match receiver.recv_timeout(PATIENCE) {
            Ok(Step::Done(what, done, total)) => each(what, done, total),
            Ok(Step::Finished(res)) => return res,
            Err(_) => return Err(VerifyError::Circle),
        }
    }
}

enum Step<T> {
    Done(&'static str, u64, Option<u64>),
    Finished(Result<T, VerifyError>),
}

/// What is to be done with each table.
struct Checked {
    journal: Verdict,
    metrics: Verdict,
    tokens: Verdict,
    services: Verdict,
    groups: Verdict,
    alerts: Verdict,
}

fn check_tables(
    store: &Store,
    records: &[Vec<u8>],
    report: &mut Report,
    each: Each<'_>,
) -> Result<Checked, VerifyError> {
    let known = [JOURNAL, METRICS, TOKENS, SERVICES, GROUPS, ALERTS];
    if let Some(other) = store.tables().into_iter().find(|it| !known.contains(&it.as_str())) {
        return Err(VerifyError::UnknownTable(other));
    }
    let mut values = 0;
    let mut read = |name: &'static str, each_read: &mut dyn FnMut(Read)| {
        let table = store.table(name)?;
        table.read_all(&mut |read| {
            values += 1;
            if values % 16 == 0 {
                each("values", values, None);
            }
            each_read(read);
        });
        Ok::<(), StoreError>(())
    };
    let mut in_metrics = metrics::verify::Verify::default();
    let mut hidden = Vec::new();
    read(METRICS, &mut |it| match it {
        Read::Entry(key, value) => in_metrics.entry(&key, &value),
        Read::Unreadable(it) => hidden.push((METRICS, it)),
    })?;
    let mut each_alone = |name, check: fn(&[u8], &[u8], &mut Verdict)| {
        let mut verdict = Verdict::default();
        read(name, &mut |it| match it {
            Read::Entry(key, value) => check(&key, &value, &mut verdict),
            Read::Unreadable(it) => hidden.push((name, it)),
        })?;
        Ok::<Verdict, StoreError>(verdict)
    };
    let tokens = each_alone(TOKENS, tokens::verify::check)?;
    let services = each_alone(SERVICES, services::check)?;
    let alerts = each_alone(ALERTS, check_alert)?;
    let mut in_groups = groups::Verify::default();
    read(GROUPS, &mut |it| match it {
        Read::Entry(key, value) => in_groups.entry(&key, &value),
        Read::Unreadable(it) => hidden.push((GROUPS, it)),
    })?;
    let mut in_journal = journal::Verify::new(&store.table(JOURNAL)?);
    read(JOURNAL, &mut |it| match it {
        Read::Entry(key, value) => in_journal.entry(&key, &value),
        Read::Unreadable(it) => hidden.push((JOURNAL, it)),
    })?;
    for (table, it) in &hidden {
        report.findings.push(unreadable(table, it));
    }
    let journal = in_journal.finish(records, in_metrics.next());
    let context =
        metrics::verify::Context { whole_journal: journal.whole, journal_end: journal.end };
    let metrics = in_metrics.finish(context);
    let groups = in_groups.finish(records.iter().filter_map(|it| journal::beside(it)));
    report.values = values;
    report.events = journal.events;
    let journal = journal.verdict;
    for it in [&journal, &metrics, &tokens, &services, &groups, &alerts] {
        report.findings.extend(it.findings.iter().cloned());
    }
    Ok(Checked { journal, metrics, tokens, services, groups, alerts })
}

/// Checks what is stored of alerts, or of notifications.
fn check_alert(key: &[u8], value: &[u8], verdict: &mut Verdict) {
    if alerting::is_ours(key) {
        alerting::check(key, value, verdict);
    } else {
        notify::verify::check(key, value, verdict);
    }
}

fn unreadable(table: &str, it: &Unreadable) -> Finding {
    let key = |it: &Option<Vec<u8>>, none: &str| match it {
        Some(it) => format!("the key {}", it.escape_ascii()),
        None => none.to_owned(),
    };
    Finding {
        place: format!(
            "{table}: from {} to {}",
            key(&it.after, "the start"),
            key(&it.until, "the end")
        ),
        what: it.error.clone(),
        lost: match table {
            SERVICES => "who owns the services in it".to_owned(),
            ALERTS => "alert rules, silences, channels and notifications in it".to_owned(),
            GROUPS => "the pushed groups in it".to_owned(),
            TOKENS => "the tokens in it: nobody is let in with them any more".to_owned(),
            METRICS => {
                "what is reported as missing, and series in it that were put away".to_owned()
            }
            _ => "what is reported as missing".to_owned(),
        },
        kept: Vec::new(),
        keys: Vec::new(),
    }
}

/// Puts everything that is whole into a new store, which takes the place of the old one.
fn rebuild(
    config: &store::Config,
    (store, checked): (Store, &Checked),
    mut quarantine: Quarantine,
    mut report: Report,
    each: Each<'_>,
) -> Result<Report, VerifyError> {
    let new = quarantine.new_store(config)?;
    let mut done = 0;
    let verdicts = [
        (JOURNAL, &checked.journal),
        (METRICS, &checked.metrics),
        (TOKENS, &checked.tokens),
        (SERVICES, &checked.services),
        (ALERTS, &checked.alerts),
        (GROUPS, &checked.groups),
    ];
    for (name, verdict) in verdicts {
        let mut copied = |n| {
            done += n;
            each("repairing", done, Some(report.values));
        };
        copy(&store.table(name)?, &new.table(name)?, verdict, &mut copied)?;
        let table = store.table(name)?;
        for finding in &verdict.findings {
            let mut kept = Vec::new();
            for key in &finding.keys {
                if let Ok(Some(value)) = table.get(key) {
                    kept.push(quarantine.keep_value(&value)?);
                }
            }
            if let Some(it) = report.findings.iter_mut().find(|it| *it == finding) {
                it.kept = kept;
            }
        }
    }
    new.flush()?;
    drop((new, store));
    report.quarantine = Some(quarantine.path().to_owned());
    let list = serde_json::to_string_pretty(&report).map_err(io::Error::other)?;
    quarantine.write_list(&list)?;
    quarantine.exchange()?;
    Ok(report)
}

/// Copies what `verdict` leaves of a table, moves what it moves, and puts what it adds.
fn copy(
    from: &Table,
    to: &Table,
    verdict: &Verdict,
    each: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    let mut out = Out { to, batch: Batch::default(), bytes: 0, failed: Ok(()) };
    from.read_all(&mut |read| {
        if let Read::Entry(key, value) = read {
            each(1);
            if !verdict.remove.contains(&key) {
                out.put(&key, &value);
            }
        }
    });
    for (old, new) in &verdict.moved {
        if let Some(value) = from.get(old)? {
            out.put(new, &value);
        }
    }
    for (key, value) in &verdict.put {
        out.put(key, value);
    }
    out.flush();
    out.failed
}

/// Batches on their way into a table.
struct Out<'a> {
    to: &'a Table,
    batch: Batch,
    bytes: usize,
    failed: Result<(), StoreError>,
}

impl Out<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.batch.put(key, value);
        self.bytes += key.len() + value.len();
        if self.bytes >= BATCH_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if self.failed.is_ok() {
            self.failed = self.to.apply(batch);
        }
    }
}

#[cfg(test)]
mod tests;
