//! A push as far as it can be judged alone: labels merged, blocks written, series hashed. Pure, so that it
//! is done on the caller's thread.

use super::Op;
use super::add;
use super::blends::Blends;
use super::group;
use super::group::Traits;
use super::reject;
use super::series;
use super::terms::{Mode, Terms};
use crate::codec::Writer;
use crate::exposition::Kind;
use crate::labels;
use crate::push::{Family, Grouping, Metric, Value};
use hashbrown::HashSet;
use siphasher::sip::SipHasher13;
use std::{hash::Hasher as _, ops::Range, sync::Arc, time::Duration};

/// The two families that every group has, and that no push can change.
pub(super) const PUSHED: &str = "push_time_seconds";
pub(super) const FAILED: &str = "push_failure_time_seconds";

const INSTANCE: &str = "instance";

/// Families that are the server's own, beyond those whose names begin with [`OWN_PREFIX`].
const OWN: [&str; 4] = [
    "pushgateway_build_info",
    "pushgateway_http_push_duration_seconds",
    "pushgateway_http_push_size_bytes",
    "pushgateway_http_requests_total",
];
const OWN_PREFIX: &str = "observatory_";

/// The key of the hashes of series: a sender cannot aim a collision.
pub(super) type HashKey = (u64, u64);

/// A push that waits to be applied.
#[derive(Debug)]
pub struct Push {
    pub(super) op: Op,
    pub(super) mode: Mode,
    /// How long its group is to live.
    pub(super) ttl: Option<Duration>,
    /// The identity of its `Idempotency-Key` within the group, and a fingerprint of the push.
    pub(super) retry: Option<([u8; 16], u64)>,
    pub(super) key: Arc<[u8]>,
    pub(super) block: Box<str>,
    pub(super) quoted: bool,
    /// The hash of its `push_time_seconds`.
    pub(super) hash: u64,
    /// Sorted by name.
    pub(super) parts: Vec<NewPart>,
    pub(super) data: Vec<u8>,
    /// The hash of every series, in the order of the data.
    pub(super) hashes: Vec<u64>,
    /// What is wrong with it whatever the other groups are.
    pub(super) errors: Vec<String>,
}

impl Push {
    /// The labels that name its group, sorted.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        super::group::labels_of(&self.key)
    }

    /// How many series it brings.
    #[must_use]
    pub fn series(&self) -> usize {
        self.hashes.len()
    }

    /// Whether it removes its group.
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        self.op == Op::Delete
    }
}

/// A family of a push.
#[derive(Debug)]
pub(super) struct NewPart {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) kind: Kind,
    pub(super) traits: Traits,
    /// What becomes of its metrics and those that are there; nothing if it takes the place of the family.
    pub(super) blends: Option<Blends>,
    /// Its metrics in the data.
    pub(super) bytes: Range<usize>,
    /// Its hashes.
    pub(super) hashes: Range<usize>,
}

/// Whether the server shows a family of this name itself.
pub(super) fn is_own(name: &str) -> bool {
    let base = |suffix| name.strip_suffix(suffix).is_some_and(|it| OWN.contains(&it));
    name.starts_with(OWN_PREFIX) || OWN.contains(&name) || base("_sum") || base("_count")
}

impl Push {
    pub(super) fn new(
        hash_key: HashKey,
        terms: Terms,
        grouping: &Grouping,
        mut families: Vec<Family>,
    ) -> Self {
        let Terms { op, mode, ttl, retry } = terms;
        let key = group::key(grouping.iter());
        // What adds up to a group does not replace it.
        let adds = op == Op::Put && mode != Mode::Replace;
        let mut scratch = Scratch { hash_key, ..Scratch::default() };
        scratch.merge(&[], grouping);
        let hash = scratch.hash(PUSHED);
        let mut res = Self {
            op: if adds { Op::Post } else { op },
            mode,
            ttl,
            retry: retry.map(|it| (it.within(&key), it.fingerprint)),
            key,
            block: scratch.block.as_str().into(),
            quoted: scratch.quoted,
            hash,
            parts: Vec::with_capacity(families.len()),
            data: Vec::new(),
            hashes: Vec::new(),
            errors: Vec::new(),
        };
        let stamped = families.iter().find_map(|family| {
            let timestamp = family.metrics.iter().find_map(|it| it.timestamp)?;
            Some(reject::timestamp(&family.name, timestamp))
        });
        if let Some(error) = stamped {
            res.errors.push(error);
            return res;
        }
        // Stable, so that the last one of a name is the one to keep.
        families.sort_by(|a, b| a.name.cmp(&b.name));
        let mut families = families.into_iter().peekable();
        let mut writer = Writer::default();
        while let Some(mut family) = families.next() {
            let again = families.peek().is_some_and(|next| next.name == family.name);
            let shadowed = family.name == PUSHED || family.name == FAILED;
            if again || shadowed || family.metrics.is_empty() {
                continue;
            }
            res.family(&mut family, grouping, &mut scratch, &mut writer);
        }
        res.data = writer.into_inner();
        res
    }

    fn family(
        &mut self,
        family: &mut Family,
        grouping: &Grouping,
        scratch: &mut Scratch,
        writer: &mut Writer,
    ) {
        if family.name.is_empty() {
            self.error("a metric family has no name".to_owned());
            return;
        }
        if is_own(&family.name) {
            self.error(reject::own(&family.name));
            return;
        }
        let blends = match Blends::take(self.mode, family) {
            Ok(it) => it,
            Err(reason) => return self.error(reason),
        };
        let rich = family.metrics.iter().any(series::is_rich);
        let mut traits = Traits { rich, ..Traits::default() };
        let (start, first) = (writer.len(), self.hashes.len());
        let several = family.metrics.len() > 1;
        let mut seen = HashSet::with_capacity(if several { family.metrics.len() } else { 0 });
        for metric in &mut family.metrics {
            if !metric.labels.is_sorted_by(|a, b| a.0 <= b.0) {
                metric.labels.sort_by(|a, b| a.0.cmp(&b.0));
            }
            scratch.merge(&metric.labels, grouping);
            let hash = scratch.hash(&family.name);
            let wrong = scratch.wrong(family.kind, metric);
            let again = several && !seen.insert(hash);
            if let Some(wrong) = wrong.or_else(|| again.then(|| reject::TWICE.to_owned())) {
                let it = reject::metric(&family.name, &scratch.block, &metric.value, family.kind);
                self.error(format!("{it} {wrong}"));
                continue;
            }
            if let Some(how) = blends.as_ref().map(|it| it.of(self.hashes.len() - first))
                && let Err(reason) = add::prepare(family.kind, how, metric)
            {
                let it = reject::metric(&family.name, &scratch.block, &metric.value, family.kind);
                self.error(reject::not_added(&it, &reason));
                continue;
            }
            traits.quoted |= scratch.quoted;
            traits.odd |= family.kind == Kind::Counter
                && matches!(metric.value, Value::Number(it) if it.is_nan() || it < 0.0);
            series::write(writer, &scratch.block, metric, rich);
            self.hashes.push(hash);
        }
        self.parts.push(NewPart {
            name: std::mem::take(&mut family.name),
            help: std::mem::take(&mut family.help),
            kind: family.kind,
            traits,
            blends,
            bytes: start..writer.len(),
            hashes: first..self.hashes.len(),
        });
    }

    fn error(&mut self, error: String) {
        if self.errors.len() < reject::MAX_ERRORS {
            self.errors.push(error);
        }
    }

    /// Bytes that it holds, about.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.data.len() + self.key.len() + 8 * self.hashes.len()
    }

    /// Its families by name.
    pub(super) fn find(&self, name: &str) -> Option<&NewPart> {
        let at = self.parts.binary_search_by(|it| it.name.as_str().cmp(name)).ok()?;
        self.parts.get(at)
    }
}

/// Room for the labels of one metric after the other.
#[derive(Default)]
struct Scratch {
    hash_key: HashKey,
    block: String,
    quoted: bool,
    /// Whether a name stands twice, or none that a label may have.
    twice: Option<String>,
    improper: Option<String>,
    le: bool,
    quantile: bool,
    canonical: Vec<u8>,
}

impl Scratch {
    /// Takes the labels of a metric: its own (sorted), overridden by those of the grouping, and an empty
    /// `instance` if there is none.
    fn merge(&mut self, own: &[(String, String)], grouping: &Grouping) {
        self.block.clear();
        self.canonical.clear();
        (self.quoted, self.le, self.quantile) = (false, false, false);
        (self.twice, self.improper) = (None, None);
        let mut own = own.iter().map(|(name, value)| (name.as_str(), value.as_str())).peekable();
        let mut group = grouping.iter().peekable();
        let mut last = None;
        loop {
            let (name, value) = match (own.peek(), group.peek()) {
                (None, None) => break,
                (Some(a), Some(b)) if a.0 == b.0 => {
                    let it = *b;
                    own.next();
                    group.next();
                    it
                }
                (Some(a), b) if b.is_none_or(|b| a.0 < b.0) => {
                    let it = *a;
                    own.next();
                    it
                }
                (_, Some(b)) => {
                    let it = *b;
                    group.next();
                    it
                }
                (Some(_), None) => break,
            };
            if last.is_none_or(|it| it < INSTANCE) && name > INSTANCE {
                self.label(INSTANCE, "");
            }
            if last == Some(name) {
                self.twice = Some(name.to_owned());
            }
            last = Some(name);
            self.label(name, value);
        }
        if last.is_none_or(|it| it < INSTANCE) {
            self.label(INSTANCE, "");
        }
        labels::close(&mut self.block, 0);
    }

    fn label(&mut self, name: &str, value: &str) {
        if name.is_empty() || name.starts_with("__") {
            self.improper = Some(name.to_owned());
        }
        self.le |= name == "le";
        self.quantile |= name == "quantile";
        if labels::is_label_name(name) {
            labels::push(&mut self.block, 0, name, value);
        } else {
            self.quoted = true;
            let mut quoted = String::from("\"");
            labels::escape_value(&mut quoted, name);
            quoted.push('"');
            labels::push(&mut self.block, 0, &quoted, value);
        }
        canonical(&mut self.canonical, name, value);
    }

    fn hash(&self, family: &str) -> u64 {
        hash(self.hash_key, family, &self.canonical)
    }

    /// What is wrong with a metric of these labels.
    fn wrong(&self, kind: Kind, metric: &Metric) -> Option<String> {
        if !fits(kind, &metric.value) {
            return Some(format!("is not a {}", reject::kind(kind)));
        }
        if let Some(name) = &self.twice {
            return Some(format!("has two or more labels with the same name: {name}"));
        }
        if let Some(name) = &self.improper {
            return Some(format!("has a label with an invalid name: {name}"));
        }
        let special = match kind {
            Kind::Summary => self.quantile.then_some("quantile"),
            Kind::Histogram | Kind::GaugeHistogram => self.le.then_some("le"),
            _ => None,
        };
        special.map(|it| format!("must not have an explicit {it:?} label"))
    }
}

/// Appends a label to what tells series apart: for Prometheus an empty label is none.
fn canonical(out: &mut Vec<u8>, name: &str, value: &str) {
    if !value.is_empty() {
        out.extend_from_slice(name.as_bytes());
        out.push(0xff);
        out.extend_from_slice(value.as_bytes());
        out.push(0xff);
    }
}

fn hash(key: HashKey, family: &str, canonical: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
    hasher.write(family.as_bytes());
    hasher.write_u8(0xff);
    hasher.write(canonical);
    hasher.finish()
}

/// The hash of the series of `family` with the labels of `block`, as [`Push`] has it.
pub(super) fn hash_of_block(key: HashKey, family: &str, block: &str, scratch: &mut Vec<u8>) -> u64 {
    scratch.clear();
    for (name, value) in crate::exposition::label_pairs(block) {
        canonical(scratch, &name, &labels::unescape_value(value));
    }
    hash(key, family, scratch)
}

fn fits(kind: Kind, value: &Value) -> bool {
    match value {
        Value::Number(_) => !matches!(kind, Kind::Summary | Kind::Histogram | Kind::GaugeHistogram),
        Value::Summary(_) => kind == Kind::Summary,
        Value::Histogram(_) => matches!(kind, Kind::Histogram | Kind::GaugeHistogram),
        Value::Mismatch => false,
    }
}
