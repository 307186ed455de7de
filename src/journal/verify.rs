//! Checking every block, and going on without what is damaged.

use super::block;
use super::block::{Header, Small};
use super::segment;
use super::segment::Stats;
use crate::codec;
use crate::codec::{DecodeError, Reader};
use crate::event::EventId;
use crate::store::verify::Verdict;
use std::collections::BTreeMap;

/// A check of the table of the journal: tell it every entry, and then [`Verify::finish`].
#[derive(Debug, Default)]
pub struct Verify {
    blocks: BTreeMap<u64, Block>,
    /// What is wrong with keys that belong to no block.
    verdict: Verdict,
}

/// What was found of one block.
#[derive(Debug, Default)]
struct Block {
    keys: Vec<Vec<u8>>,
    /// What the header says, and how many sequence numbers it covers.
    header: Option<(u64, Summary)>,
    /// What the events say.
    rows: Option<Summary>,
    /// Events whose sender gave an id, and how many of them the list has.
    ids: Option<u32>,
    wrong: Vec<String>,
}

/// What is compared of a header and the events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Summary {
    stats: Stats,
    given: u32,
}

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
    /// Checks an entry.
    pub fn entry(&mut self, key: &[u8], value: &[u8]) {
        let kind = key.first().copied().unwrap_or_default();
        let known = [block::SMALL, block::ROWS, block::HEADER, block::IDS, block::EMPTY];
        match block::first(key) {
            Some(first) if known.contains(&kind) => {
                let block = self.blocks.entry(first).or_default();
                block.keys.push(key.to_vec());
                if let Err(error) = block.read(first, kind, value) {
                    block.wrong.push(format!("{}: {error}", name(kind)));
                }
            }
            _ if key == super::KEY_OF_IDS => {
                if let Err(error) = read_key(value) {
                    self.bad(
                        "the key of the ids",
                        error,
                        "which ids are known: an event that is sent again may count again",
                        key,
                    );
                }
            }
            _ => self.bad(
                &format!("the key {}", key.escape_ascii()),
                "it is not known",
                "nothing",
                key,
            ),
        }
    }

    fn bad(&mut self, place: &str, what: impl ToString, lost: &str, key: &[u8]) {
        let place = format!("journal: {place}");
        self.verdict.add(place, what.to_string(), lost.to_owned(), vec![key.to_vec()]);
    }

    /// Checks the order of the blocks, with the records of the commit log, and up to what the metrics contain.
    #[must_use]
    pub fn finish(mut self, records: &[Vec<u8>], snapshot_next: u64) -> Checked {
        let mut whole: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let mut damaged = BTreeMap::new();
        for (first, block) in std::mem::take(&mut self.blocks) {
            match block.check() {
                Ok((span, events)) => {
                    whole.insert(first, (span, events));
                }
                Err(what) => {
                    damaged.insert(first, (block.keys, what));
                }
            }
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
        let last = damaged.keys().next_back().map_or(0, |it| it + 1);
        if snapshot_next.max(last) > checked.end {
            checked.hole(snapshot_next.max(last), &mut damaged);
        }
        // What another block covers as well.
        for (first, (keys, what)) in damaged {
            let place = format!("journal: the block at sequence {first}");
            checked.verdict.add(place, what, "nothing".to_owned(), keys);
        }
        checked
    }

    /// The commits that only the log has, and those that are damaged in the table.
    fn fill_from(&mut self, records: &[Vec<u8>], whole: &mut BTreeMap<u64, (u64, u64)>) {
        for (at, record) in records.iter().enumerate() {
            let mut reader = Reader::new(record);
            let Ok(first) = reader.u64() else {
                let place = format!("commit log: record {at}");
                self.verdict.add(
                    place,
                    "malformed".to_owned(),
                    "its events".to_owned(),
                    Vec::new(),
                );
                continue;
            };
            let value = reader.rest();
            let mut block = Block::default();
            let read = block.read(first, block::SMALL, value).map_err(|it| it.to_string());
            match read.and_then(|()| block.check()) {
                Ok((span, events)) => {
                    let before = whole.range(..first + span).next_back();
                    if before.is_none_or(|(at, (span, _))| at + span <= first) {
                        whole.insert(first, (span, events));
                        self.verdict
                            .put
                            .push((block::key(block::SMALL, first).to_vec(), value.to_vec()));
                    }
                }
                Err(what) => {
                    let place = format!("commit log: record {at}, sequence {first}");
                    self.verdict.add(
                        place,
                        what,
                        "its events, unless the journal has them".to_owned(),
                        Vec::new(),
                    );
                }
            }
        }
    }
}

impl Checked {
    /// Nothing that can be used lies between the end so far and `until`.
    fn hole(&mut self, until: u64, damaged: &mut BTreeMap<u64, (Vec<Vec<u8>>, String)>) {
        let (from, span) = (self.end, until - self.end);
        let rest = damaged.split_off(&until);
        let (mut keys, mut what) = (Vec::new(), Vec::new());
        for (first, (mut of_block, wrong)) in std::mem::replace(damaged, rest) {
            keys.append(&mut of_block);
            what.push(format!("block at {first}: {wrong}"));
        }
        if what.is_empty() {
            what.push("nothing is stored for it".to_owned());
        }
        let place = format!("journal: sequence {from} to {}", until - 1);
        self.verdict.add(place, what.join("; "), format!("{span} events"), keys);
        let header =
            Header { first: from, stored_bytes: 0, small: false, span, stats: Stats::default() };
        self.verdict.put.push((block::key(block::EMPTY, from).to_vec(), header.encode()));
        (self.end, self.whole) = (until, false);
    }
}

impl Block {
    fn read(&mut self, first: u64, kind: u8, value: &[u8]) -> Result<(), DecodeError> {
        match kind {
            block::SMALL => {
                let small = Small::decode(value)?;
                self.read_header(first, small.header)?;
                self.ids = Some(count(block::decode_ids(small.ids)?.len()));
                self.rows = Some(summary(small.rows)?);
            }
            block::ROWS => self.rows = Some(summary(value)?),
            block::IDS => self.ids = Some(count(block::decode_ids(value)?.len())),
            _ => self.read_header(first, value)?,
        }
        Ok(())
    }

    fn read_header(&mut self, first: u64, value: &[u8]) -> Result<(), DecodeError> {
        let mut header = Header::decode(first, value, |it| it.into())?;
        header
            .stats
            .pairs
            .sort_by(|a, b| (&a.event_type, &a.source).cmp(&(&b.event_type, &b.source)));
        self.header = Some((header.span, Summary { stats: header.stats, given: 0 }));
        Ok(())
    }

    /// The sequence numbers and events of the block, if its parts agree.
    fn check(&self) -> Result<(u64, u64), String> {
        if !self.wrong.is_empty() {
            return Err(self.wrong.join(", "));
        }
        let (span, header) = self.header.as_ref().ok_or("it has no header")?;
        if header.stats.count == 0 && self.rows.is_none() {
            return Ok((*span, 0));
        }
        let rows = self.rows.as_ref().ok_or("it has no events")?;
        if rows.stats != header.stats {
            return Err("its header says something else than its events".to_owned());
        }
        if rows.given != self.ids.unwrap_or(0) {
            return Err("its list of ids is of other events".to_owned());
        }
        Ok((*span, u64::from(rows.stats.count)))
    }
}

fn read_key(value: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(codec::unseal(1, value)?);
    reader.u64().and_then(|_| reader.u64()).map(|_| ())
}

/// What the events of stored rows say.
fn summary(value: &[u8]) -> Result<Summary, DecodeError> {
    let (n, rows) = block::decode_rows(value)?;
    let mut res = Summary::default();
    for event in segment::events(&rows) {
        let event = event?;
        res.given += u32::from(matches!(event.id, EventId::Given(_)));
        res.stats.add(&event);
    }
    res.stats.pairs.sort_by(|a, b| (&a.event_type, &a.source).cmp(&(&b.event_type, &b.source)));
    if res.stats.count == n { Ok(res) } else { Err(DecodeError::Malformed) }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn name(kind: u8) -> &'static str {
    match kind {
        block::ROWS => "events",
        block::IDS => "ids",
        block::HEADER | block::EMPTY => "header",
        _ => "block",
    }
}
