//! Checking what the metrics have stored, and going on without what is damaged.

use super::series::Series;
use super::snapshot::{
    DORMANT, DORMANT_OF_EPOCH, KIND_SERIES, KIND_SPANS, MANIFEST, Manifest, PIECE, VERSION,
    decode_dormant, decode_manifest, encode_manifest, piece_key,
};
use super::spans::Spans;
use crate::codec;
use crate::codec::{DecodeError, Reader};
use crate::store::verify::Verdict;
use std::collections::BTreeMap;

/// The mark of zero-first; the pipeline keeps it in this table.
const MARK: &[u8] = b"z";

/// A check of the table of the metrics: tell it every entry, and then [`Verify::finish`].
#[derive(Debug, Default)]
pub struct Verify {
    manifest: Option<Manifest>,
    manifest_damage: Option<DecodeError>,
    /// Generation and number of each piece, and what is wrong with it.
    pieces: BTreeMap<(u64, u64), Option<DecodeError>>,
    dormant: Vec<Vec<u8>>,
    verdict: Verdict,
}

/// What the rest of the store knows that decides how to go on.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Whether the journal has every event that there ever was.
    pub whole_journal: bool,
    /// The sequence number after the last event.
    pub journal_end: u64,
}

impl Verify {
    /// Checks an entry.
    pub fn entry(&mut self, key: &[u8], value: &[u8]) {
        match key.first() {
            _ if key == MANIFEST => match decode_manifest(value) {
                Ok(it) => self.manifest = Some(it),
                Err(error) => self.manifest_damage = Some(error),
            },
            _ if key == MARK => {
                let read = codec::unseal(VERSION, value).and_then(|it| Reader::new(it).i64());
                if let Err(error) = read {
                    let lost = "nothing: new series are shown at once".to_owned();
                    self.bad("the mark of the last scrape", error.to_string(), lost, key);
                }
            }
            Some(&PIECE) if key.len() == 17 => {
                let number = |at: usize| {
                    let bytes = key.get(at..).and_then(<[u8]>::first_chunk);
                    bytes.map_or(0, |it| u64::from_be_bytes(*it))
                };
                self.pieces.insert((number(1), number(9)), check_piece(value).err());
            }
            Some(&DORMANT | &DORMANT_OF_EPOCH) => match decode_dormant(value) {
                Ok(_) => self.dormant.push(key.to_vec()),
                Err(error) => {
                    let name = key.get(1..).and_then(|it| it.split(|it| *it == 0).next());
                    let name = String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
                    let place = format!("a series of {name} that was put away");
                    let lost = "it starts anew when it comes back".to_owned();
                    self.bad(&place, error.to_string(), lost, key);
                }
            },
            _ => {
                let place = format!("the key {}", key.escape_ascii());
                self.bad(&place, "it is not known".to_owned(), "nothing".to_owned(), key);
            }
        }
    }

    fn bad(&mut self, place: &str, what: String, lost: String, key: &[u8]) {
        self.verdict.add(format!("metrics: {place}"), what, lost, vec![key.to_vec()]);
    }

    /// The sequence number from which a start replays the journal; 0 if there is no snapshot.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.manifest.as_ref().map_or(0, |it| it.next)
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self, context: Context) -> Verdict {
        let generation = match (&self.manifest, self.manifest_damage) {
            (Some(it), _) => it.generation,
            (None, Some(_)) => self.pieces.keys().next_back().map_or(0, |it| it.0),
            (None, None) => return self.verdict,
        };
        let ours = self.pieces.range((generation, 0)..=(generation, u64::MAX));
        let n = self.manifest.as_ref().map_or(ours.clone().count() as u64, |it| it.pieces);
        let state = |number| match self.pieces.get(&(generation, number)) {
            Some(None) => None,
            Some(Some(error)) => Some(error.to_string()),
            None => Some("it is missing".to_owned()),
        };
        let damaged: Vec<_> = (0..n).filter_map(|it| Some((it, state(it)?))).collect();
        if damaged.is_empty() && self.manifest_damage.is_none() {
            return self.verdict;
        }
        let mut keys = vec![MANIFEST.to_vec()];
        keys.extend(self.pieces.keys().map(|(generation, number)| piece_key(*generation, *number)));
        let origins = self.manifest.as_ref().and_then(|it| it.origins.as_ref());
        let since_start = origins.is_none_or(|it| it.values().all(|it| it.from <= 1));
        let lost = if context.whole_journal && since_start {
            // A series that was put away would be counted twice.
            keys.append(&mut self.dormant);
            let lost = match self.manifest_damage {
                Some(_) => "since when each metric counts: all",
                None => "nothing: the metrics",
            };
            format!("{lost} are counted anew from the whole journal at the next start")
        } else {
            self.keep_what_is_whole(generation, n, &damaged, context);
            match self.manifest_damage {
                Some(_) => "what was counted since the last snapshot".to_owned(),
                None => "the series in it, which start anew".to_owned(),
            }
        };
        for (number, what) in damaged {
            let place = format!("metrics: piece {number} of {n} of the snapshot");
            self.verdict.add(place, what, lost.clone(), vec![piece_key(generation, number)]);
        }
        if let Some(error) = self.manifest_damage {
            let place = "metrics: the manifest of the snapshot".to_owned();
            self.verdict.add(place, error.to_string(), lost, vec![MANIFEST.to_vec()]);
        }
        self.verdict.remove.extend(keys);
        self.verdict
    }

    /// Says that the pieces which can be read, under new numbers, are the snapshot.
    fn keep_what_is_whole(
        &mut self,
        generation: u64,
        n: u64,
        damaged: &[(u64, String)],
        context: Context,
    ) {
        let next = self.manifest.as_ref().map_or(context.journal_end, |it| it.next);
        let whole = (0..n).filter(|it| !damaged.iter().any(|(bad, _)| bad == it));
        let mut pieces = 0;
        for number in whole {
            let (from, to) = (piece_key(generation, number), piece_key(generation + 1, pieces));
            self.verdict.moved.push((from, to));
            pieces += 1;
        }
        let origins = self.manifest.take().and_then(|it| it.origins);
        let manifest = Manifest { generation: generation + 1, next, pieces, origins };
        let manifest = encode_manifest(&manifest);
        self.verdict.put.push((MANIFEST.to_vec(), manifest));
    }
}

fn check_piece(value: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(codec::unseal(VERSION, value)?);
    let kind = reader.u8()?;
    reader.text()?;
    reader.u64()?;
    match kind {
        KIND_SERIES => {
            while !reader.is_empty() {
                Series::decode(&mut reader)?;
            }
            Ok(())
        }
        KIND_SPANS => Spans::decode(&mut reader).map(|_| ()),
        _ => Err(DecodeError::Malformed),
    }
}
