//! How groups are stored: one value per group, and one for the time of its last failure, so that a push that
//! is rejected costs the same whatever the group holds.

use super::Write;
use super::group;
use super::group::{Content, Group, Part, Traits};
use super::index;
use super::index::Index;
use super::life::Life;
use super::retries;
use super::retries::{Id, Known, RETRY};
use super::series::Samples;
use crate::codec;
use crate::codec::DecodeError;
use crate::codec::Reader;
use crate::codec::Writer;
use crate::event::Time;
use crate::store::{StoreError, Table};
use hashbrown::HashMap;
use std::sync::Arc;

/// A group, by its key.
pub(super) const GROUP: u8 = b'g';
/// The time of its last failure.
pub(super) const FAILURE: u8 = b'f';
/// The version of the last removal.
pub(super) const REMOVED: &[u8] = b"m";

const VERSION: u8 = 1;
/// Of groups. Those of version 1 do not expire.
const GROUP_VERSION: u8 = 2;

/// Why the groups cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value is not what was written.
    #[error(
        "the pushed group {labels} is damaged: {reason}; nothing was changed: restore a backup of the data directory"
    )]
    Damaged {
        /// The group's labels.
        labels: String,
        /// What is wrong.
        reason: DecodeError,
    },
    /// What is remembered of an `Idempotency-Key` is not what was written.
    #[error(
        "what is remembered of a push with an Idempotency-Key is damaged: {reason}; nothing was changed: restore a backup of the data directory"
    )]
    DamagedRetry {
        /// What is wrong.
        reason: DecodeError,
    },
    /// A record of the commit log is not what was written.
    #[error(
        "a record of pushes in the commit log is damaged: {0}; nothing was changed: restore a backup of the data directory"
    )]
    Record(DecodeError),
}

/// The group after a push.
pub(super) fn group(it: &Group) -> Write {
    let mut out = Writer::new(Vec::with_capacity(it.content.data.len() + 256));
    out.u64(it.version);
    time(&mut out, it.pushed);
    time(&mut out, it.failed);
    out.text(&it.block);
    out.u8(it.quoted.into());
    it.life.write(&mut out);
    out.varint(it.content.parts.len() as u64);
    for part in &it.content.parts {
        out.text(&part.name.text);
        out.text(&part.help);
        out.u8(index::number(part.kind));
        let Traits { quoted, rich, odd } = part.traits;
        out.u8(u8::from(quoted) | u8::from(rich) << 1 | u8::from(odd) << 2);
        out.varint(part.start.into());
        out.varint(part.series.into());
        out.varint(part.since);
        out.i64(part.received.as_nanos());
    }
    out.bytes(&it.content.data);
    Write { key: key(GROUP, &it.key), value: Some(codec::seal(GROUP_VERSION, &out.into_inner())) }
}

/// The group after a push that was rejected.
pub(super) fn failure(it: &Group) -> Write {
    let mut out = Writer::default();
    out.u64(it.version);
    time(&mut out, it.failed);
    Write { key: key(FAILURE, &it.key), value: Some(codec::seal(VERSION, &out.into_inner())) }
}

/// No group any more; [`removed`] goes with it.
pub(super) fn removal(it: &Group) -> [Write; 2] {
    [GROUP, FAILURE].map(|prefix| Write { key: key(prefix, &it.key), value: None })
}

/// Groups were removed, as of `version`.
pub(super) fn removed(version: u64) -> Write {
    let version = codec::seal(VERSION, &version.to_le_bytes());
    Write { key: REMOVED.to_vec(), value: Some(version) }
}

/// The version of an after-image, which is larger in a later one. `None` if it is none.
#[must_use]
pub fn version(value: &[u8]) -> Option<u64> {
    let payload = codec::unseal(VERSION, value).or_else(|_| codec::unseal(GROUP_VERSION, value));
    Reader::new(payload.ok()?).u64().ok()
}

fn key(prefix: u8, key: &[u8]) -> Vec<u8> {
    let mut res = Vec::with_capacity(1 + key.len());
    res.push(prefix);
    res.extend_from_slice(key);
    res
}

fn time(out: &mut Writer, it: Option<Time>) {
    out.i64(it.map_or(i64::MIN, Time::as_nanos));
}

fn read_time(reader: &mut Reader<'_>) -> Result<Option<Time>, DecodeError> {
    Ok(Some(reader.i64()?).filter(|it| *it != i64::MIN).map(Time::from_nanos))
}

/// What the table holds.
pub(super) struct Loaded {
    pub(super) groups: Vec<Group>,
    pub(super) retries: Vec<(Id, Known)>,
    /// The last version.
    pub(super) version: u64,
}

/// What `table` holds. The names are taken from `index`.
pub(super) fn load(table: &Table, index: &mut Index, now: Time) -> Result<Loaded, LoadError> {
    let mut last = 0;
    if let Some(value) = table.get(REMOVED)? {
        last = version(&value).ok_or_else(|| damaged(&[], DecodeError::Checksum))?;
    }
    let mut failures = HashMap::new();
    for entry in table.prefix(&[FAILURE]) {
        let (key, value) = entry?;
        let key = key.get(1..).unwrap_or_default();
        let failure = read_failure(&value).map_err(|it| damaged(key, it))?;
        failures.insert(key.to_vec(), failure);
    }
    let mut groups = Vec::new();
    for entry in table.prefix(&[GROUP]) {
        let (key, value) = entry?;
        let key = key.get(1..).unwrap_or_default();
        let mut group = read_group(key, &value, (index, now)).map_err(|it| damaged(key, it))?;
        if let Some((version, failed)) = failures.remove(key)
            && version > group.version
        {
            (group.version, group.failed) = (version, failed);
        }
        last = last.max(group.version);
        groups.push(group);
    }
    let mut retries = Vec::new();
    for entry in table.prefix(&[RETRY]) {
        let (key, value) = entry?;
        let retry = retries::read(key.get(1..).unwrap_or_default(), &value);
        let (id, known) = retry.map_err(|reason| LoadError::DamagedRetry { reason })?;
        last = last.max(known.version);
        retries.push((id, known));
    }
    Ok(Loaded { groups, retries, version: last })
}

fn damaged(key: &[u8], reason: DecodeError) -> LoadError {
    LoadError::Damaged { labels: labels(key), reason }
}

pub(super) fn labels(key: &[u8]) -> String {
    let labels = group::labels_of(key).map(|(name, value)| format!("{name}={value:?}"));
    format!("{{{}}}", labels.collect::<Vec<_>>().join(","))
}

pub(super) fn read_failure(value: &[u8]) -> Result<(u64, Option<Time>), DecodeError> {
    let mut reader = Reader::new(codec::unseal(VERSION, value)?);
    Ok((reader.u64()?, read_time(&mut reader)?))
}

pub(super) fn read_group(
    key: &[u8],
    value: &[u8],
    (index, now): (&mut Index, Time),
) -> Result<Group, DecodeError> {
    let mortal = value.first() != Some(&VERSION);
    let payload = codec::unseal(if mortal { GROUP_VERSION } else { VERSION }, value)?;
    let reader = &mut Reader::new(payload);
    let version = reader.u64()?;
    let (pushed, failed) = (read_time(reader)?, read_time(reader)?);
    let block = reader.text()?.into();
    let quoted = reader.u8()? != 0;
    let life = if mortal { Life::read(reader, now)? } else { Life::Endless };
    let n = reader.size()?;
    let mut parts = Vec::with_capacity(n.min(1024));
    for _ in 0..n {
        let name = index.name(reader.text()?);
        let help = index.help(&name.text, reader.text()?);
        let kind = index::kind(reader.u8()?).ok_or(DecodeError::Malformed)?;
        let traits = reader.u8()?;
        let traits =
            Traits { quoted: traits & 1 != 0, rich: traits & 2 != 0, odd: traits & 4 != 0 };
        let mut small = || u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed);
        let (start, series) = (small()?, small()?);
        let since = reader.varint()?;
        let received = Time::from_nanos(reader.i64()?);
        parts.push(Part { name, help, start, series, since, received, kind, traits });
    }
    let content = Content { parts: parts.into(), data: reader.rest().into() };
    for (at, part) in content.parts.iter().enumerate() {
        let mut samples = Samples::new(content.bytes(at), part.kind, part.traits.rich);
        while samples.read()?.is_some() {}
    }
    let content = Arc::new(content);
    Ok(Group { key: key.into(), block, quoted, version, pushed, failed, life, content })
}
