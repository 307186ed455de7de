//! Snapshots: the projection as of one sequence number, so that a start replays only what came after.
//!
//! Keys: `m` the manifest; `s`, generation, number: a piece; `d`, family, labels: a series that was put
//! away because its time was over, and `e`, family, epoch, labels, if a replay has replaced the family since. A snapshot writes its pieces under a new generation and then, in one
//! batch, the manifest and the series put away; so a crash finds the old snapshot or the new one, and the
//! series that were put away always fit the snapshot that is in force.

use super::family::{Family, millis};
use super::origin::Origin;
use super::series::Series;
use super::spans::Spans;
use super::{Projection, wants_past};
use crate::codec;
use crate::codec::{DecodeError, Reader, Writer};
use crate::store::{Batch, Store, StoreError, Table};
use std::collections::{BTreeMap, HashMap, HashSet};

pub(super) const VERSION: u8 = 1;
/// The manifest says since when each family counts; in version 1 it did not.
const MANIFEST_VERSION: u8 = 2;
pub(super) const MANIFEST: &[u8] = b"m";
pub(super) const PIECE: u8 = b's';
pub(super) const DORMANT: u8 = b'd';
pub(super) const DORMANT_OF_EPOCH: u8 = b'e';
pub(super) const KIND_SERIES: u8 = 0;
pub(super) const KIND_SPANS: u8 = 1;

/// Small enough to be written without a blob file, large enough to be few.
const PIECE_BYTES: usize = 48 << 10;
const SWEEP_MS: i64 = 3_600_000;

/// Entries that are deleted at once.
const BATCH: usize = 1000;

/// Where a snapshot stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) generation: u64,
    /// The first sequence number that it does not contain.
    pub(super) next: u64,
    pub(super) pieces: u64,
    /// Per family, by name and fingerprint. `None` in a manifest of version 1.
    pub(super) origins: Option<HashMap<(String, u64), Origin>>,
}

/// Which snapshot is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Grows with every snapshot.
    pub generation: u64,
    /// The first sequence number that it does not contain: from here on a restart replays.
    pub next: u64,
}

/// The snapshot in `table` that is in force; `None` if there is none yet.
///
/// # Errors
///
/// The store cannot be read, or the manifest is damaged.
pub fn reach(table: &Table) -> Result<Option<Reach>, RestoreError> {
    let reach = |it: Manifest| Reach { generation: it.generation, next: it.next };
    Ok(read_manifest(table)?.map(reach))
}

/// A snapshot that cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it holds is not what was written.
    #[error(
        "the snapshot of the metrics is damaged ({what}: {source}); nothing that was stored was changed: run `observatory verify` on the data directory to see what is lost, or restore a backup"
    )]
    Damaged {
        /// Which part.
        what: String,
        /// What is wrong.
        source: DecodeError,
    },
}

impl Projection {
    /// Restores the snapshot in `table`, as far as the rules in force know its families and spans, and
    /// returns the sequence number from which to replay.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the snapshot is damaged. Nothing was changed in it then.
    pub fn restore(&mut self, table: &Table) -> Result<u64, RestoreError> {
        let Some(manifest) = read_manifest(table)? else { return Ok(0) };
        let mut known = HashSet::new();
        for number in 0..manifest.pieces {
            let damaged =
                |source| RestoreError::Damaged { what: format!("piece {number}"), source };
            let value = table.get(&piece_key(manifest.generation, number))?;
            let value = value.ok_or(damaged(DecodeError::Malformed))?;
            let piece = codec::unseal(VERSION, &value).map_err(damaged)?;
            self.restore_piece(Reader::new(piece), &mut known).map_err(damaged)?;
        }
        self.families.iter_mut().for_each(Family::admit_what_lives);
        self.restore_origins(&manifest, &known);
        remove_other_epochs(table, &self.families)?;
        self.generation = manifest.generation;
        self.changed();
        Ok(manifest.next)
    }

    /// Sets since when each family counts. One that the snapshot does not have counts what is replayed
    /// after it; of one that the snapshot has, but not since when, it is not known what it has not counted.
    fn restore_origins(&self, manifest: &Manifest, known: &HashSet<String>) {
        for family in &self.families {
            let spec = &family.shared.spec;
            let key = (spec.name.clone(), spec.fingerprint);
            let origin = match &manifest.origins {
                Some(it) => it.get(&key).copied(),
                None => known.contains(&spec.name).then_some(Origin::at(1)),
            };
            let next = manifest.next;
            let pending = wants_past(spec, next);
            let origin = origin.unwrap_or(Origin { pending, ..Origin::at(next) });
            family.shared.data.set_origin(origin);
            family.shared.data.hide(origin.pending);
        }
    }

    fn restore_piece(
        &mut self,
        mut reader: Reader<'_>,
        known: &mut HashSet<String>,
    ) -> Result<(), DecodeError> {
        let kind = reader.u8()?;
        let name = reader.text()?;
        let fingerprint = reader.u64()?;
        match kind {
            KIND_SERIES => {
                let same = |it: &&mut Family| {
                    it.shared.spec.name == name && it.shared.spec.fingerprint == fingerprint
                };
                let Some(family) = self.families.iter_mut().find(same) else { return Ok(()) };
                known.insert(name.to_owned());
                while !reader.is_empty() {
                    family.restore(Series::decode(&mut reader)?, &self.shared.holds);
                }
            }
            KIND_SPANS => {
                let same = |it: &&super::SpanState| {
                    it.spec.name == name && it.spec.fingerprint == fingerprint
                };
                if let Some(state) = self.spans.iter().find(same) {
                    *state.lock() = Spans::decode(&mut reader)?;
                }
            }
            _ => return Err(DecodeError::Malformed),
        }
        Ok(())
    }

    /// Stores a snapshot that contains every event before sequence number `next`, and puts away the
    /// series whose time was over at `now_ms`. On disk when it returns.
    ///
    /// # Errors
    ///
    /// The store cannot be written; the snapshot before stays in force, and no series is lost.
    pub fn snapshot(
        &mut self,
        (store, table): (&Store, &Table),
        next: u64,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let evicted: Vec<_> = self.families.iter_mut().map(|it| it.evict(now_ms)).collect();
        let res = self.write_snapshot((store, table), next, now_ms, &evicted);
        match res {
            Ok(()) => {
                self.resumed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear()
            }
            Err(_) => {
                for (family, (kept, forgotten)) in self.families.iter_mut().zip(evicted) {
                    for it in kept.into_iter().chain(forgotten) {
                        family.restore(it, &self.shared.holds);
                    }
                }
            }
        }
        self.shared.holds.sweep();
        self.changed();
        res
    }

    fn write_snapshot(
        &mut self,
        (store, table): (&Store, &Table),
        next: u64,
        now_ms: i64,
        evicted: &[(Vec<Series>, Vec<Series>)],
    ) -> Result<(), StoreError> {
        let generation = self.generation + 1;
        let pieces = self.write_pieces(table, generation)?;
        let mut batch = Batch::default();
        for key in self.resumed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
            batch.remove(key);
        }
        if now_ms - self.swept_ms > SWEEP_MS {
            self.sweep_dormant(table, now_ms, &mut batch)?;
        }
        for (family, (kept, forgotten)) in self.families.iter().zip(evicted) {
            for it in kept {
                batch.put(&dormant_key_of(family, &it.labels), &encode_dormant(it));
            }
            for it in forgotten {
                batch.remove(&dormant_key_of(family, &it.labels));
            }
        }
        let origin = |it: &Family| {
            let spec = &it.shared.spec;
            ((spec.name.clone(), spec.fingerprint), it.shared.data.origin())
        };
        let origins = Some(self.families.iter().map(origin).collect());
        batch.put(MANIFEST, &encode_manifest(&Manifest { generation, next, pieces, origins }));
        store.flush()?;
        table.apply(batch)?;
        store.flush()?;
        self.generation = generation;
        remove_other_pieces(table, generation)
    }

    /// Writes all pieces and returns their number.
    fn write_pieces(&self, table: &Table, generation: u64) -> Result<u64, StoreError> {
        let mut pieces = Pieces { table, generation, written: 0, piece: Writer::default() };
        let mut res = Ok(());
        for family in &self.families {
            let spec = &family.shared.spec;
            pieces.begin(KIND_SERIES, &spec.name, spec.fingerprint);
            family.shared.data.for_each(|series| {
                series.encode(&mut pieces.piece);
                if pieces.piece.len() >= PIECE_BYTES && res.is_ok() {
                    res = pieces.end();
                    pieces.begin(KIND_SERIES, &spec.name, spec.fingerprint);
                }
            });
            res = res.and_then(|()| pieces.end());
        }
        for state in &self.spans {
            pieces.begin(KIND_SPANS, &state.spec.name, state.spec.fingerprint);
            state.lock().encode(&mut pieces.piece);
            res = res.and_then(|()| pieces.end());
        }
        res.map(|()| pieces.written)
    }

    /// Forgets the series that were put away too long ago.
    fn sweep_dormant(
        &mut self,
        table: &Table,
        now_ms: i64,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        self.swept_ms = now_ms;
        for family in &self.families {
            let spec = &family.shared.spec;
            let Some(ttl_ms) = spec.ttl.map(millis) else { continue };
            let forget_ms = spec.forget.map_or(ttl_ms.saturating_mul(10), millis);
            for entry in table.prefix(&dormant_key_of(family, "")) {
                let (key, value) = entry?;
                let series = decode_dormant(&value);
                if series.map_or(true, |it| it.is_hidden(Some(forget_ms), now_ms)) {
                    batch.remove(&key);
                }
            }
        }
        Ok(())
    }
}

/// Writes pieces one after the other.
struct Pieces<'a> {
    table: &'a Table,
    generation: u64,
    written: u64,
    piece: Writer,
}

impl Pieces<'_> {
    fn begin(&mut self, kind: u8, name: &str, fingerprint: u64) {
        self.piece = Writer::default();
        self.piece.u8(kind);
        self.piece.text(name);
        self.piece.u64(fingerprint);
    }

    fn end(&mut self) -> Result<(), StoreError> {
        let piece = std::mem::take(&mut self.piece).into_inner();
        let mut batch = Batch::default();
        batch.put(&piece_key(self.generation, self.written), &codec::seal(VERSION, &piece));
        self.table.apply(batch)?;
        self.written += 1;
        Ok(())
    }
}

pub(super) fn piece_key(generation: u64, number: u64) -> Vec<u8> {
    [&[PIECE][..], &generation.to_be_bytes(), &number.to_be_bytes()].concat()
}

fn remove_other_pieces(table: &Table, generation: u64) -> Result<(), StoreError> {
    let ours = [&[PIECE][..], &generation.to_be_bytes()].concat();
    let keys: Result<HashSet<_>, _> = table.prefix(&[PIECE]).map(|it| it.map(|it| it.0)).collect();
    let mut batch = Batch::default();
    for key in keys?.iter().filter(|it| !it.starts_with(&ours)) {
        batch.remove(key);
    }
    table.apply(batch)
}

fn read_manifest(table: &Table) -> Result<Option<Manifest>, RestoreError> {
    let damaged = |source| RestoreError::Damaged { what: "manifest".to_owned(), source };
    let Some(value) = table.get(MANIFEST)? else { return Ok(None) };
    decode_manifest(&value).map(Some).map_err(damaged)
}

pub(super) fn decode_manifest(value: &[u8]) -> Result<Manifest, DecodeError> {
    let version = match value.first() {
        Some(&VERSION) => VERSION,
        _ => MANIFEST_VERSION,
    };
    let mut reader = Reader::new(codec::unseal(version, value)?);
    let (generation, next, pieces) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let mut res = Manifest { generation, next, pieces, origins: None };
    if version == MANIFEST_VERSION {
        let mut origins = HashMap::new();
        for _ in 0..reader.size()? {
            let key = (reader.text()?.to_owned(), reader.u64()?);
            let (from, epoch) = (reader.varint()?, reader.varint()?);
            origins.insert(key, Origin { from, epoch, pending: reader.u8()? != 0 });
        }
        res.origins = Some(origins);
    }
    Ok(res)
}

pub(super) fn encode_manifest(it: &Manifest) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.u64(it.generation);
    writer.u64(it.next);
    writer.u64(it.pieces);
    let origins: BTreeMap<_, _> = it.origins.iter().flatten().collect();
    writer.varint(origins.len() as u64);
    for ((name, fingerprint), origin) in origins {
        writer.text(name);
        writer.u64(*fingerprint);
        writer.varint(origin.from);
        writer.varint(origin.epoch);
        writer.u8(u8::from(origin.pending));
    }
    codec::seal(MANIFEST_VERSION, &writer.into_inner())
}

/// Where a series that was put away is kept. The fingerprint keeps apart what means something else, the
/// epoch what a replay has replaced.
pub(super) fn dormant_key(spec: &crate::rules::FamilySpec, epoch: u64, labels: &str) -> Vec<u8> {
    let fingerprint = spec.fingerprint.to_be_bytes();
    let name = spec.name.as_bytes();
    match epoch {
        0 => [&[DORMANT][..], name, &[0], &fingerprint, labels.as_bytes()].concat(),
        _ => {
            let epoch = epoch.to_be_bytes();
            [&[DORMANT_OF_EPOCH][..], name, &[0], &fingerprint, &epoch, labels.as_bytes()].concat()
        }
    }
}

fn dormant_key_of(family: &Family, labels: &str) -> Vec<u8> {
    dormant_key(&family.shared.spec, family.shared.data.origin().epoch, labels)
}

/// Deletes the series that a replay put away and that are in force no more, or never were. Only before
/// there can be a replay.
fn remove_other_epochs(table: &Table, families: &[Family]) -> Result<(), StoreError> {
    let later = |it: &&Family| it.shared.data.origin().epoch > 0;
    let ours: Vec<_> = families.iter().filter(later).map(|it| dormant_key_of(it, "")).collect();
    remove(table, &[DORMANT_OF_EPOCH], |key| ours.iter().any(|it| key.starts_with(it)))?;
    for family in families.iter().filter(later) {
        remove(table, &dormant_key(&family.shared.spec, 0, ""), |_| false)?;
    }
    Ok(())
}

/// Deletes the series that were put away under `epoch`.
pub(super) fn remove_epoch(
    table: &Table,
    spec: &crate::rules::FamilySpec,
    epoch: u64,
) -> Result<(), StoreError> {
    remove(table, &dormant_key(spec, epoch, ""), |_| false)
}

/// Deletes what begins with `prefix`, but for what `keep` wants.
fn remove(table: &Table, prefix: &[u8], keep: impl Fn(&[u8]) -> bool) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    let mut entries = table.prefix(prefix);
    loop {
        let mut n = 0;
        for entry in entries.by_ref().take(BATCH) {
            n += 1;
            let key = entry?.0;
            if !keep(&key) {
                batch.remove(&key);
            }
        }
        table.apply(std::mem::take(&mut batch))?;
        if n < BATCH {
            return Ok(());
        }
    }
}

pub(super) fn encode_dormant(series: &Series) -> Vec<u8> {
    let mut writer = Writer::default();
    series.encode(&mut writer);
    codec::seal(VERSION, &writer.into_inner())
}

pub(super) fn decode_dormant(value: &[u8]) -> Result<Series, DecodeError> {
    Series::decode(&mut Reader::new(codec::unseal(VERSION, value)?))
}
