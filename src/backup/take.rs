//! Taking a backup.

use super::Header;
use super::archive::{Kind, Packed, Writer};
use crate::alerting;
use crate::codec;
use crate::event::{Event, Time};
use crate::journal;
use crate::journal::{Query, QueryError};
use crate::metrics::RestoreError;
use crate::pipeline::{Hold, Pipeline, PruneError};
use crate::store::StoreError;
use crate::telemetry;
use std::{io, ops::ControlFlow};

/// A part is closed when it has so many bytes.
const PART_BYTES: usize = 1 << 20;
/// How often the tables are copied anew if a snapshot is stored meanwhile.
const ATTEMPTS: usize = 5;

/// Why a backup could not be taken, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The pipeline cannot now.
    #[error(transparent)]
    Pipeline(#[from] PruneError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored of alerts is damaged.
    #[error(transparent)]
    Alerting(#[from] alerting::AlertingError),
    /// The snapshot of the metrics is damaged.
    #[error(transparent)]
    Snapshot(#[from] RestoreError),
    /// An event cannot be read.
    #[error(transparent)]
    Journal(#[from] QueryError),
    /// Snapshots come too often.
    #[error("snapshots are stored faster than they can be copied: raise snapshot.interval")]
    Unquiet,
    /// Whoever takes it does not take it any more.
    #[error("writing the backup: {0}")]
    Output(#[from] io::Error),
}

/// Everything but the events, as of one moment. Nothing is forgotten while it lives.
#[derive(Debug)]
pub struct Frozen<'p> {
    pipeline: &'p Pipeline,
    next: u64,
    tables: Vec<Packed>,
    _hold: Hold<'p>,
}

/// Holds the pipeline to one moment, which is not before [`Pipeline::snapshot`] returned if that was called
/// before. Blocking.
///
/// # Errors
///
/// Another backup is being taken, events are being forgotten, or the store cannot be read.
pub fn freeze(pipeline: &Pipeline) -> Result<Frozen<'_>, BackupError> {
    let hold = pipeline.hold()?;
    for _ in 0..ATTEMPTS {
        let Some(reach) = pipeline.reach()? else { break };
        let (tables, alerts) = tables(pipeline)?;
        // They belong together, and to this sequence number, if no snapshot came in between.
        if pipeline.reach()? == Some(reach) {
            // Alerts know of the events before theirs: these are told as well, and counted when they are read back.
            let next = alerts.map_or(reach.next, |it| it.max(reach.next));
            return Ok(Frozen { pipeline, next, tables, _hold: hold });
        }
    }
    Err(BackupError::Unquiet)
}

impl Frozen<'_> {
    /// Writes the backup and returns the number of its events. Blocking; goes at the pace of `out`.
    ///
    /// # Errors
    ///
    /// The journal cannot be read, or `out` not be written. What was written then is no backup: its end is
    /// missing.
    pub fn write(&self, out: impl io::Write, now: Time) -> Result<u64, BackupError> {
        let header = Header {
            program: telemetry::BUILD.version.to_owned(),
            created: now.to_string(),
            next: self.next,
            events: self.pipeline.journal().len(),
        };
        let header = serde_json::to_vec(&header).map_err(io::Error::other)?;
        let mut writer = Writer::begin(out)?;
        writer.part(Kind::Header, &Packed::new(&header)?, 0)?;
        for it in &self.tables {
            writer.part(Kind::Table, it, 0)?;
        }
        let events = self.events(&mut writer)?;
        writer.finish()?;
        Ok(events)
    }

    fn events(&self, writer: &mut Writer<impl io::Write>) -> Result<u64, BackupError> {
        let mut part = EventsPart::default();
        let (mut events, mut result) = (0, Ok(()));
        let query = Query { ascending: true, ..Query::default() };
        self.pipeline.journal().each(&query, |seq, event| {
            if seq >= self.next {
                return ControlFlow::Break(());
            }
            part.push(seq, event);
            events += 1;
            if part.payload.len() >= PART_BYTES {
                result = std::mem::take(&mut part).write(writer);
            }
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        result?;
        if part.events > 0 {
            part.write(writer)?;
        }
        Ok(events)
    }
}

/// All tables of the store but the journal, and of that what is no event; and up to which event alerts were evaluated.
fn tables(pipeline: &Pipeline) -> Result<(Vec<Packed>, Option<u64>), BackupError> {
    let (mut res, mut alerts) = (Vec::new(), None);
    let store = pipeline.store();
    for name in store.tables() {
        let table = store.table(&name)?;
        let mut payload = TablePart::new(&name);
        // An alert, its history and who is told of it are one batch: none of it is copied without the others.
        let _still = (name == alerting::TABLE).then(|| table.still());
        if name == alerting::TABLE {
            alerts = alerting::mark(&table)?;
        }
        for entry in table.prefix(b"") {
            let (key, value) = entry?;
            if name == journal::TABLE && journal::is_of_events(&key) {
                continue;
            }
            payload.push(&key, &value);
            if payload.0.len() >= PART_BYTES {
                res.push(std::mem::replace(&mut payload, TablePart::new(&name)).pack()?);
            }
        }
        res.push(payload.pack()?);
    }
    Ok((res, alerts))
}

/// Entries of one table.
struct TablePart(codec::Writer);

impl TablePart {
    fn new(name: &str) -> Self {
        let mut payload = codec::Writer::default();
        payload.text(name);
        Self(payload)
    }

    fn push(&mut self, key: &[u8], value: &[u8]) {
        for it in [key, value] {
            self.0.varint(it.len() as u64);
            self.0.bytes(it);
        }
    }

    fn pack(self) -> io::Result<Packed> {
        Packed::new(&self.0.into_inner())
    }
}

/// Some events, with their sequence numbers.
#[derive(Default)]
struct EventsPart {
    payload: Vec<u8>,
    events: u64,
    /// The sequence number after the last event; 0 at the beginning of a part.
    next: u64,
}

impl EventsPart {
    fn push(&mut self, seq: u64, event: &Event<'_>) {
        let mut distance = codec::Writer::new(std::mem::take(&mut self.payload));
        distance.varint(seq - self.next);
        self.payload = distance.into_inner();
        journal::encode_event(&mut self.payload, event);
        self.events += 1;
        self.next = seq + 1;
    }

    fn write(self, writer: &mut Writer<impl io::Write>) -> Result<(), BackupError> {
        Ok(writer.part(Kind::Events, &Packed::new(&self.payload)?, self.events)?)
    }
}
