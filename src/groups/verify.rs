//! What `observatory verify` checks of the groups.

use super::index::Index;
use super::record;
use super::retries;
use super::retries::RETRY;
use super::stored::{FAILURE, GROUP, REMOVED, labels, read_failure, read_group, version};
use crate::codec::DecodeError;
use crate::event::Time;
use crate::store::verify::Verdict;
use std::collections::BTreeMap;

/// A check of the table of groups.
#[derive(Debug, Default)]
pub struct Verify {
    verdict: Verdict,
    /// The largest version in the table.
    version: u64,
}

impl Verify {
    /// Checks what is stored under `key`.
    pub fn entry(&mut self, key: &[u8], value: &[u8]) {
        match check(key, value) {
            Ok(it) => self.version = self.version.max(it),
            Err(reason) => self.bad(key, &reason),
        }
    }

    /// Takes over what only `records`, those of the commit log that were put beside the events, have.
    #[must_use]
    pub fn finish<'a>(mut self, records: impl Iterator<Item = &'a [u8]>) -> Verdict {
        let mut put = BTreeMap::new();
        for (at, record) in records.enumerate() {
            let writes = match record::decode(record) {
                Ok((version, writes)) if version > self.version => writes,
                Ok(_) => continue,
                Err(reason) => {
                    let place = format!("commit log: record {at} of pushes");
                    let lost = "what was pushed last, unless the table has it".to_owned();
                    self.verdict.add(place, reason.to_string(), lost, Vec::new());
                    continue;
                }
            };
            for it in writes {
                put.remove(&it.key);
                match it.value {
                    Some(value) => drop(put.insert(it.key, value)),
                    None => drop(self.verdict.remove.insert(it.key)),
                }
            }
        }
        for (key, value) in &put {
            if let Err(reason) = check(key, value) {
                self.bad(key, &reason);
            }
        }
        self.verdict.put.extend(put);
        self.verdict
    }

    fn bad(&mut self, key: &[u8], reason: &DecodeError) {
        let (prefix, labels) =
            key.split_first().map_or((0, String::new()), |(prefix, key)| (*prefix, labels(key)));
        let place = match prefix {
            RETRY => "groups: an Idempotency-Key".to_owned(),
            _ => format!("groups: {labels}"),
        };
        let lost = match prefix {
            GROUP => "what was pushed to this group, until it is pushed again",
            FAILURE => "when a push to this group was last rejected",
            RETRY => "that a push was taken: a retry of it would count again",
            _ => "nothing that is shown",
        };
        self.verdict.add(place, reason.to_string(), lost.to_owned(), vec![key.to_vec()]);
    }
}

/// The version of a value.
fn check(key: &[u8], value: &[u8]) -> Result<u64, DecodeError> {
    match key.split_first() {
        Some((&GROUP, key)) => {
            drop(read_group(key, value, (&mut Index::new((0, 0)), Time::default()))?)
        }
        Some((&FAILURE, _)) => drop(read_failure(value)?),
        Some((&RETRY, key)) => drop(retries::read(key, value)?),
        _ if key == REMOVED => {}
        _ => return Err(DecodeError::Malformed),
    }
    version(value).ok_or(DecodeError::Malformed)
}
