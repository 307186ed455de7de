//! What a commit of pushes puts into the commit log: the after-images, with the version of the last.
//!
//! The table gets them later, several commits at once, but always all up to some version: so what a record
//! says is in the table if the table knows its version, or a later one.

use super::Write;
use crate::codec::{DecodeError, Reader, Writer};

const FORMAT: u8 = 1;

/// The record of `writes`, the last of which has `version`.
#[must_use]
pub fn encode(version: u64, writes: &[Write]) -> Vec<u8> {
    let size = |it: &Write| it.key.len() + it.value.as_ref().map_or(0, Vec::len) + 16;
    let mut out = Writer::new(Vec::with_capacity(16 + writes.iter().map(size).sum::<usize>()));
    out.u8(FORMAT);
    out.u64(version);
    for it in writes {
        out.varint(it.key.len() as u64);
        out.bytes(&it.key);
        // One more than the length; nothing is 0.
        out.varint(it.value.as_ref().map_or(0, |it| it.len() as u64 + 1));
        out.bytes(it.value.as_deref().unwrap_or_default());
    }
    out.into_inner()
}

/// The version and the writes of a record.
///
/// # Errors
///
/// It is none, or was written by a later version.
pub fn decode(record: &[u8]) -> Result<(u64, Vec<Write>), DecodeError> {
    let mut reader = Reader::new(record);
    if reader.u8()? != FORMAT {
        return Err(DecodeError::Malformed);
    }
    let version = reader.u64()?;
    let mut writes = Vec::new();
    while !reader.is_empty() {
        let n = reader.size()?;
        let key = reader.bytes(n)?.to_vec();
        let value = match reader.size()?.checked_sub(1) {
            Some(n) => Some(reader.bytes(n)?.to_vec()),
            None => None,
        };
        writes.push(Write { key, value });
    }
    Ok((version, writes))
}
