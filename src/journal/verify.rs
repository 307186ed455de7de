//! Checking every block, and going on without what is damaged.
//!
//! Everything is read to the last event, and the parts of a block are compared with one another. What a header
//! says can be found out again from the events, so that a damaged header alone loses nothing.

mod facts;
mod overlap;

use super::block;
use super::deleted;
use super::deleted::Deleted;
use super::forgotten;
use super::header::{Form, Sealed, SealedPart};
use super::ids;
use super::segment::IdKey;
use crate::codec::Reader;
use crate::store::Table;
use crate::store::verify::Verdict;
use facts::{ChunkFacts, Rows};
use overlap::Usable;
use std::collections::BTreeMap;

/// A check of the table of the journal: tell it every entry, and then [`Verify::finish`].
#[derive(Debug)]
pub struct Verify {
    /// What ids are hashed with; `None` if that cannot be read.
    key: Option<IdKey>,
    /// By the first sequence number; one of each form may be left there.
    blocks: BTreeMap<(u64, Form), Block>,
    verdict: Verdict,
}

/// What was found of one block.
#[derive(Debug, Default)]
struct Block {
    /// What is wrong with parts of it, by their keys.
    wrong: Vec<(Vec<u8>, String)>,
    keys: Vec<Vec<u8>>,
    /// Of a block that is not sealed: what its header says, its events, and how many ids its list has.
    header: Option<Rows>,
    rows: Option<Rows>,
    ids: u32,
    sealed: Option<Sealed>,
    chunks: BTreeMap<u16, ChunkFacts>,
    filter: Option<Vec<u8>>,
}

/// The keys of blocks that cannot be used, and what is wrong with them.
type Damaged = BTreeMap<(u64, Form), (Vec<Vec<u8>>, String)>;

/// How many sequence numbers are free for a block that has at least so many; `None`: it is the last one.
type Room<'a> = &'a dyn Fn(u64) -> Option<u64>;

/// What was found, and what is left.
#[derive(Debug)]
pub struct Checked {
    /// What is wrong, and how to go on.
    pub verdict: Verdict,
    /// Events that can be read.
    pub events: u64,
    /// The sequence number after the last event.
    pub end: u64,
    /// Whether nothing is missing from the first event on.
    pub whole: bool,
}

impl Verify {
    /// A check of `table`, which says how ids are hashed.
    #[must_use]
    pub fn new(table: &Table) -> Self {
        let key = table.try_read(super::KEY_OF_IDS);
        let key = key.and_then(|it| facts::id_key(&it).ok());
        Self { key, blocks: BTreeMap::new(), verdict: Verdict::default() }
    }

    /// Checks an entry.
    pub fn entry(&mut self, key: &[u8], value: &[u8]) {
        let kind = key.first().copied().unwrap_or_default();
        let first = key.get(1..9).and_then(<[u8]>::first_chunk).map(|it| u64::from_be_bytes(*it));
        let known = match kind {
            block::CHUNK => key.len() == 11,
            block::SMALL
            | block::ROWS
            | block::HEADER
            | block::IDS
            | block::SEALED
            | block::FILTER => key.len() == 9,
            _ => false,
        };
        match first.filter(|_| known) {
            Some(first) => {
                let block = self.blocks.entry((first, form_of(kind))).or_default();
                block.keys.push(key.to_vec());
                if let Err(error) = block.read(kind, key, value, self.key.as_ref()) {
                    let what = format!("{}: {error}", facts::name(kind));
                    block.wrong.push((key.to_vec(), what));
                }
            }
            None if key == super::KEY_OF_IDS => {
                if let Err(error) = facts::id_key(value) {
                    let lost = "which ids are known: an event that is sent again may count again";
                    self.bad("the key of the ids", &error.to_string(), lost, key);
                }
            }
            None if key == deleted::KEY => {
                if let Err(error) = Deleted::decode(value) {
                    let lost = "of what types the pruned events were: replays that begin before them may be refused";
                    self.bad("what was pruned of each type", &error.to_string(), lost, key);
                }
            }
            None if kind == forgotten::FORGOTTEN && key.len() == forgotten::KEY_BYTES => {
                if let Err(error) = forgotten::decode(value) {
                    let lost =
                        "ids of events that were pruned: one that is sent again may count again";
                    self.bad("a list of the ids of pruned events", &error.to_string(), lost, key);
                }
            }
            None => {
                let place = format!("the key {}", key.escape_ascii());
                self.bad(&place, "it is not known", "nothing", key);
            }
        }
    }

    fn bad(&mut self, place: &str, what: &str, lost: &str, key: &[u8]) {
        let place = format!("journal: {place}");
        self.verdict.add(place, what.to_owned(), lost.to_owned(), vec![key.to_vec()]);
    }

    /// Checks the order of the blocks, with the records of the commit log, and up to what the metrics contain.
    #[must_use]
    pub fn finish(mut self, records: &[Vec<u8>], snapshot_next: u64) -> Checked {
        let firsts: Vec<_> = self.blocks.keys().map(|it| it.0).collect();
        let mut usable = Vec::new();
        let mut damaged = BTreeMap::new();
        for ((first, form), block) in std::mem::take(&mut self.blocks) {
            // Where the next one begins, this one ends.
            let room = |end: u64| {
                let next = firsts.partition_point(|it| *it < first + end.max(1));
                firsts.get(next).map(|it| it - first)
            };
            let mut verdict = Verdict::default();
            match block.check(first, &room, &mut verdict) {
                Ok(Some((span, events))) => {
                    let keys = block.keys;
                    usable.push(Usable { first, span, events, form, keys, verdict });
                }
                Ok(None) => {}
                Err(what) => {
                    damaged.insert((first, form), (block.keys, what));
                }
            }
        }
        let (used, others) = overlap::choose(usable);
        for it in others {
            let place = format!("journal: the block at sequence {}", it.first);
            let what = "it overlaps with other blocks".to_owned();
            self.verdict.add(place, what, it.lost_beside(&used).to_owned(), it.keys);
        }
        let mut whole = BTreeMap::new();
        for it in used {
            self.verdict.append(it.verdict);
            whole.insert(it.first, (it.span, it.events));
        }
        self.fill_from(records, &mut whole);
        let mut checked = Checked { verdict: self.verdict, events: 0, end: 1, whole: true };
        for (first, (span, events)) in whole {
            if first > checked.end {
                checked.hole(first, &mut damaged);
            }
            checked.whole &= events == span;
            checked.events += events;
            checked.end = checked.end.max(first + span);
        }
        let last = damaged.keys().next_back().map_or(0, |it| it.0 + 1);
        if snapshot_next.max(last) > checked.end {
            checked.hole(snapshot_next.max(last), &mut damaged);
        }
        // What another block or the log has as well.
        for ((first, _), (keys, what)) in damaged {
            let place = format!("journal: the block at sequence {first}");
            checked.verdict.add(place, what, "nothing".to_owned(), keys);
        }
        if !checked.verdict.findings.is_empty() {
            // It says nothing of what is left out now.
            checked.verdict.remove.insert(deleted::KEY.to_vec());
        }
        checked
    }

    /// The commits that only the log has, and those that are damaged in the table.
    fn fill_from(&mut self, records: &[Vec<u8>], whole: &mut BTreeMap<u64, (u64, u64)>) {
        let events = |it: &(usize, &Vec<u8>)| super::beside(it.1).is_none();
        for (at, record) in records.iter().enumerate().filter(events) {
            let mut reader = Reader::new(record);
            let first = reader.u64().unwrap_or_default();
            let value = reader.rest();
            let mut block = Block::default();
            let read = block.read(block::SMALL, &[], value, self.key.as_ref());
            let read = read.map_err(|it| it.to_string());
            match read.and_then(|()| block.check(first, &|_| None, &mut self.verdict)) {
                Ok(Some((span, events))) if first > 0 => {
                    let before = whole.range(..first + span).next_back();
                    if before.is_none_or(|(at, (span, _))| at + span <= first) {
                        whole.insert(first, (span, events));
                        let key = block::key(block::SMALL, first).to_vec();
                        self.verdict.put.push((key, value.to_vec()));
                    }
                }
                Ok(_) => {}
                Err(what) => {
                    let place = format!("commit log: record {at}, sequence {first}");
                    let lost = "its events, unless the journal has them".to_owned();
                    self.verdict.add(place, what, lost, Vec::new());
                }
            }
        }
    }
}

impl Checked {
    /// Nothing that can be used lies between the end so far and `until`.
    fn hole(&mut self, until: u64, damaged: &mut Damaged) {
        let (from, span) = (self.end, until - self.end);
        let rest = damaged.split_off(&(until, Form::Small));
        let (mut keys, mut what) = (Vec::new(), Vec::new());
        for ((first, _), (mut of_block, wrong)) in std::mem::replace(damaged, rest) {
            keys.append(&mut of_block);
            what.push(format!("block at {first}: {wrong}"));
        }
        if what.is_empty() {
            what.push("nothing is stored for it".to_owned());
        }
        let place = format!("journal: sequence {from} to {}", until - 1);
        self.verdict.add(place, what.join("; "), format!("{span} events"), keys);
        self.put_header(from, &Sealed::empty(span));
        (self.end, self.whole) = (until, false);
    }

    fn put_header(&mut self, first: u64, sealed: &Sealed) {
        put_header(&mut self.verdict, first, sealed);
    }
}

/// The form of a block that has a key of `kind`.
fn form_of(kind: u8) -> Form {
    match kind {
        block::SMALL => Form::Small,
        block::ROWS | block::HEADER | block::IDS => Form::Rows,
        _ => Form::Sealed,
    }
}

fn put_header(verdict: &mut Verdict, first: u64, sealed: &Sealed) {
    let key = block::key(block::SEALED, first).to_vec();
    verdict.put.push((key, sealed.encode()));
}

impl Block {
    /// The sequence numbers that it covers and its events, if it can be used, whole or in part; `None` if it is
    /// what a merge left that a crash ended.
    fn check(
        &self,
        first: u64,
        room: Room<'_>,
        verdict: &mut Verdict,
    ) -> Result<Option<(u64, u64)>, String> {
        let wrong = || self.wrong.iter().map(|it| it.1.as_str()).collect::<Vec<_>>().join(", ");
        if self.sealed.is_some() || self.has_damaged(block::SEALED) {
            return self.check_sealed(first, room, verdict).map(Some);
        }
        let unsealed = |it: &Vec<u8>| it.first() != Some(&block::CHUNK);
        if !self.keys.iter().any(unsealed) && !self.keys.is_empty() {
            return Ok(None);
        }
        if self.wrong.iter().any(|it| unsealed(&it.0)) {
            return Err(wrong());
        }
        let header = self.header.as_ref().ok_or("it has no header")?;
        let rows = self.rows.as_ref().ok_or("it has no events")?;
        if !rows.is_as(header) {
            return Err("its header says something else than its events".to_owned());
        }
        if rows.given != self.ids {
            return Err("its list of ids is of other events".to_owned());
        }
        Ok(Some((u64::from(rows.count), u64::from(rows.count))))
    }

    fn has_damaged(&self, kind: u8) -> bool {
        self.wrong.iter().any(|it| it.0.first() == Some(&kind))
    }

    fn check_sealed(
        &self,
        first: u64,
        room: Room<'_>,
        verdict: &mut Verdict,
    ) -> Result<(u64, u64), String> {
        let Some(sealed) = &self.sealed else { return self.new_header(first, room, verdict) };
        let mut left = Sealed { span: sealed.span, received: sealed.received, parts: Vec::new() };
        for it in &sealed.parts {
            let key = block::chunk_key(first, it.part.chunk).to_vec();
            let wrong = self.wrong.iter().find(|(of, _)| *of == key);
            let what = match (self.chunks.get(&it.part.chunk), wrong) {
                (_, Some((_, what))) => what.clone(),
                (None, None) => "it is missing".to_owned(),
                (Some(chunk), None) if !chunk.is_as(it, sealed.span) => {
                    "its header says something else than its events".to_owned()
                }
                _ => {
                    left.parts
                        .push(SealedPart { part: it.part.clone(), sources: it.sources.clone() });
                    continue;
                }
            };
            let last = first + sealed.span - 1;
            let kind = if it.part.is_mixed() { "several types" } else { &it.part.event_type };
            let place = format!("journal: {kind} in sequence {first} to {last}");
            verdict.add(place, what, format!("{} events", it.part.count), vec![key]);
        }
        if left.parts.len() < sealed.parts.len() {
            verdict.remove.insert(block::key(block::SEALED, first).to_vec());
            put_header(verdict, first, &left);
        }
        self.check_filter(first, &left, verdict);
        Ok((sealed.span, left.parts.iter().map(|it| u64::from(it.part.count)).sum()))
    }

    /// Makes a header from the chunks, if they are all there.
    fn new_header(
        &self,
        first: u64,
        room: Room<'_>,
        verdict: &mut Verdict,
    ) -> Result<(u64, u64), String> {
        let end = self.chunks.values().map(|it| it.end).max().unwrap_or(0);
        let span = room(end).unwrap_or(end);
        let wrong = self.wrong.iter().map(|it| it.1.as_str()).collect::<Vec<_>>().join(", ");
        if self.chunks.is_empty() || self.has_damaged(block::CHUNK) {
            return Err(wrong);
        }
        let received = self.chunks.values().map(|it| it.received);
        let received = received.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or_default();
        let parts = self.chunks.iter().map(|(number, it)| it.part(*number)).collect();
        let events = self.chunks.values().map(|it| u64::from(it.count)).sum();
        let key = block::key(block::SEALED, first).to_vec();
        let place = format!("journal: the header of the block at sequence {first}");
        let lost = match span - events {
            0 => "nothing: it is found out again from the events".to_owned(),
            it => format!(
                "nothing, unless there were more than the {events} events: {it} numbers are free"
            ),
        };
        verdict.add(place, wrong, lost, vec![key]);
        let sealed = Sealed { span, received, parts };
        put_header(verdict, first, &sealed);
        self.check_filter(first, &sealed, verdict);
        Ok((span, events))
    }

    /// The filter must let every id through that a sender gave; one that does not is made anew.
    fn check_filter(&self, first: u64, sealed: &Sealed, verdict: &mut Verdict) {
        let chunks = sealed.parts.iter().filter_map(|it| self.chunks.get(&it.part.chunk));
        let hashes: Vec<u64> = chunks.flat_map(|it| it.hashes.iter().copied()).collect();
        let good = match &self.filter {
            Some(filter) => hashes.iter().all(|it| ids::may_have(filter, *it).unwrap_or(false)),
            None => hashes.is_empty(),
        };
        if good && !self.has_damaged(block::FILTER) {
            return;
        }
        let key = block::key(block::FILTER, first).to_vec();
        let place = format!("journal: the filter of ids of the block at sequence {first}");
        let lost = "nothing: it is made anew from the events".to_owned();
        verdict.add(place, "it is damaged or missing".to_owned(), lost, vec![key.clone()]);
        if let Some(it) = ids::encode(&hashes) {
            verdict.put.push((key, it));
        }
    }
}
