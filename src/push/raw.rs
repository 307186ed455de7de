//! Protobuf pages as bytes: which metrics there are, so that they can be handed on without loss.

use super::wire::{Field, Wire, WireError};
use std::collections::BTreeMap;

/// A family of a page.
#[derive(Clone, Debug)]
pub struct RawFamily<'a> {
    /// Its name.
    pub name: String,
    /// Its metrics.
    pub metrics: Vec<RawMetric<'a>>,
    /// Everything but the metrics, as it came.
    head: Vec<u8>,
}

/// A metric of a page.
#[derive(Clone, Debug)]
pub struct RawMetric<'a> {
    /// Names and values.
    pub labels: BTreeMap<String, String>,
    /// Its message.
    pub bytes: &'a [u8],
}

/// A page that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RawError(WireError);

/// The families of a page of delimited protobuf.
///
/// # Errors
///
/// The page is malformed or cut off.
pub fn raw_families(page: &[u8]) -> Result<Vec<RawFamily<'_>>, RawError> {
    let mut wire = Wire::new(page);
    let mut res = Vec::new();
    while !wire.is_empty() {
        res.push(family(wire.delimited(usize::MAX).map_err(RawError)?).map_err(RawError)?);
    }
    Ok(res)
}

fn family(bytes: &[u8]) -> Result<RawFamily<'_>, WireError> {
    let mut wire = Wire::new(bytes);
    let mut res = RawFamily { name: String::new(), metrics: Vec::new(), head: Vec::new() };
    while !wire.is_empty() {
        let before = wire;
        match wire.field()? {
            (4, Field::Bytes(it)) => {
                res.metrics.push(RawMetric { labels: labels(it)?, bytes: it });
                continue;
            }
            (1, Field::Bytes(it)) => res.name = String::from_utf8_lossy(it).into_owned(),
            _ => {}
        }
        res.head.extend_from_slice(before.until(&wire));
    }
    Ok(res)
}

fn labels(metric: &[u8]) -> Result<BTreeMap<String, String>, WireError> {
    let mut wire = Wire::new(metric);
    let mut res = BTreeMap::new();
    while !wire.is_empty() {
        let (1, Field::Bytes(pair)) = wire.field()? else { continue };
        let mut pair = Wire::new(pair);
        let (mut name, mut value) = (String::new(), String::new());
        while !pair.is_empty() {
            match pair.field()? {
                (1, Field::Bytes(it)) => name = String::from_utf8_lossy(it).into_owned(),
                (2, Field::Bytes(it)) => value = String::from_utf8_lossy(it).into_owned(),
                _ => {}
            }
        }
        res.insert(name, value);
    }
    Ok(res)
}

impl RawFamily<'_> {
    /// Appends the family with only the metrics given, with its length before it.
    pub fn write(&self, out: &mut Vec<u8>, metrics: &[&[u8]]) {
        let mut family = self.head.clone();
        for metric in metrics {
            family.push(4 << 3 | 2);
            varint(&mut family, metric.len());
            family.extend_from_slice(metric);
        }
        varint(out, family.len());
        out.extend_from_slice(&family);
    }
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}
