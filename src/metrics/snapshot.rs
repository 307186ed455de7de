//! Snapshots: the projection as of one sequence number, so that a start replays only what came after.
//!
//! Keys: `m` the manifest; `s`, generation, number: a piece; `d`, family, labels: a series that was put
//! away because its time was over. A snapshot writes its pieces under a new generation and then, in one
//! batch, the manifest and the series put away; so a crash finds the old snapshot or the new one, and the
//! series that were put away always fit the snapshot that is in force.

use super::Projection;
use super::family::{Family, millis};
use super::series::Series;
use super::spans::Spans;
use crate::codec;
use crate::codec::{DecodeError, Reader, Writer};
use crate::store::{Batch, Store, StoreError, Table};
use std::collections::HashSet;

pub(super) const VERSION: u8 = 1;
pub(super) const MANIFEST: &[u8] = b"m";
pub(super) const PIECE: u8 = b's';
pub(super) const DORMANT: u8 = b'd';
pub(super) const KIND_SERIES: u8 = 0;
pub(super) const KIND_SPANS: u8 = 1;

/// Small enough to be written without a blob file, large enough to be few.
const PIECE_BYTES: usize = 48 << 10;
const SWEEP_MS: i64 = 3_600_000;

/// Where a snapshot stands in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) generation: u64,
    /// The first sequence number that it does not contain.
    pub(super) next: u64,
    pub(super) pieces: u64,
}

/// A snapshot that cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it holds is not what was written.
    #[error(
        "the snapshot of the metrics is damaged ({what}: {source}); nothing was changed: run `observatory verify` on the data directory to see what is lost, or restore a backup"
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
        for number in 0..manifest.pieces {
            let damaged =
                |source| RestoreError::Damaged { what: format!("piece {number}"), source };
            let value = table.get(&piece_key(manifest.generation, number))?;
            let value = value.ok_or(damaged(DecodeError::Malformed))?;
            let piece = codec::unseal(VERSION, &value).map_err(damaged)?;
            self.restore_piece(Reader::new(piece)).map_err(damaged)?;
        }
        self.families.iter_mut().for_each(Family::admit_what_lives);
        self.generation = manifest.generation;
        self.changed();
        Ok(manifest.next)
    }

    fn restore_piece(&mut self, mut reader: Reader<'_>) -> Result<(), DecodeError> {
        let kind = reader.u8()?;
        let name = reader.text()?;
        let fingerprint = reader.u64()?;
        match kind {
            KIND_SERIES => {
                let same = |it: &&mut Family| {
                    it.shared.spec.name == name && it.shared.spec.fingerprint == fingerprint
                };
                let Some(family) = self.families.iter_mut().find(same) else { return Ok(()) };
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
                batch.put(&dormant_key(&family.shared.spec, &it.labels), &encode_dormant(it));
            }
            for it in forgotten {
                batch.remove(&dormant_key(&family.shared.spec, &it.labels));
            }
        }
        batch.put(MANIFEST, &encode_manifest(Manifest { generation, next, pieces }));
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
            for entry in table.prefix(&dormant_key(spec, "")) {
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
    let mut reader = Reader::new(codec::unseal(VERSION, value)?);
    let mut number = || reader.u64();
    Ok(Manifest { generation: number()?, next: number()?, pieces: number()? })
}

pub(super) fn encode_manifest(it: Manifest) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.u64(it.generation);
    writer.u64(it.next);
    writer.u64(it.pieces);
    codec::seal(VERSION, &writer.into_inner())
}

/// Where a series that was put away is kept. The fingerprint keeps apart what means something else.
pub(super) fn dormant_key(spec: &crate::rules::FamilySpec, labels: &str) -> Vec<u8> {
    let fingerprint = spec.fingerprint.to_be_bytes();
    [&[DORMANT][..], spec.name.as_bytes(), &[0], &fingerprint, labels.as_bytes()].concat()
}

fn encode_dormant(series: &Series) -> Vec<u8> {
    let mut writer = Writer::default();
    series.encode(&mut writer);
    codec::seal(VERSION, &writer.into_inner())
}

pub(super) fn decode_dormant(value: &[u8]) -> Result<Series, DecodeError> {
    Series::decode(&mut Reader::new(codec::unseal(VERSION, value)?))
}
