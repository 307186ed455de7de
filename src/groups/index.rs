//! What all groups together say about a name or a series, kept up to date with every change, so that a push
//! is checked by looking up what it holds.

use super::group::{Content, Group, Name, Part};
use super::life::Due;
use super::limits::Counts;
use super::prepare;
use super::prepare::{HashKey, PUSHED};
use crate::exposition::Kind;
use hashbrown::{HashMap, HashSet};
use std::{
    cmp,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The index over all groups. The writer's alone.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) hash_key: HashKey,
    names: HashMap<Arc<str>, Entry>,
    /// Places in lists of names that are free again.
    free: Vec<u32>,
    n_ids: u32,
    /// The hashes of all series, the `push_time_seconds` of every group among them.
    series: HashSet<u64, BuildHasherDefault<Hashed>>,
    /// What each job has.
    pub(super) jobs: Counts,
    /// Which groups expire when.
    pub(super) due: Due,
    /// Whether two groups may differ in nothing but empty labels.
    pub(super) twins: Arc<AtomicBool>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    name: Arc<Name>,
    /// The help text that a group sent first: most groups send the same, and share it.
    help: Arc<str>,
    /// Groups that have it, by type.
    groups: [u32; KINDS],
}

const KINDS: usize = 6;

const ALL_KINDS: [Kind; KINDS] = [
    Kind::Counter,
    Kind::Gauge,
    Kind::Summary,
    Kind::Untyped,
    Kind::Histogram,
    Kind::GaugeHistogram,
];

/// Passes on what is a hash already.
#[derive(Debug, Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, it: u64) {
        self.0 = it;
    }
}

/// The number of a type, as protobuf counts them.
pub(super) fn number(kind: Kind) -> u8 {
    match kind {
        Kind::Counter => 0,
        Kind::Gauge | Kind::Info | Kind::StateSet => 1,
        Kind::Summary => 2,
        Kind::Untyped => 3,
        Kind::Histogram => 4,
        Kind::GaugeHistogram => 5,
    }
}

/// The type of a number.
pub(super) fn kind(number: u8) -> Option<Kind> {
    ALL_KINDS.get(usize::from(number)).copied()
}

// === impl Index ===

impl Index {
    pub(super) fn new(hash_key: HashKey) -> Self {
        Self {
            hash_key,
            names: HashMap::new(),
            free: Vec::new(),
            n_ids: 0,
            series: HashSet::default(),
            jobs: Counts::default(),
            due: Due::default(),
            twins: Arc::default(),
            scratch: Vec::new(),
        }
    }

    /// The name, with its place in lists of names. It stays as long as a group has it, or until
    /// [`Self::replace`] sees that none does.
    pub(super) fn name(&mut self, text: &str) -> Arc<Name> {
        if let Some(it) = self.names.get(text) {
            return Arc::clone(&it.name);
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.n_ids += 1;
            self.n_ids - 1
        });
        let text: Arc<str> = text.into();
        let name = Arc::new(Name { id, text: Arc::clone(&text), suspect: false.into() });
        let entry = Entry { name: Arc::clone(&name), help: "".into(), groups: [0; KINDS] };
        self.names.insert(text, entry);
        name
    }

    /// A help text of the family `name`, shared with other groups if they have the same.
    pub(super) fn help(&mut self, name: &str, help: &str) -> Arc<str> {
        let Some(entry) = self.names.get_mut(name) else { return help.into() };
        if entry.help.is_empty() && !help.is_empty() {
            entry.help = help.into();
        }
        if *entry.help == *help { Arc::clone(&entry.help) } else { help.into() }
    }

    /// The type that groups other than `except` give the family `name`.
    pub(super) fn kind(&self, name: &str, except: Option<&Content>) -> Option<Kind> {
        let entry = self.names.get(name)?;
        let own = except.and_then(|it| it.parts.get(it.find(name)?)).map(|it| number(it.kind));
        let others = entry.groups.iter().enumerate().find(|(at, n)| {
            let own = u32::from(own.map(usize::from) == Some(*at));
            **n > own
        });
        others.and_then(|(at, _)| ALL_KINDS.get(at)).copied()
    }

    /// Whether a group has a series of this hash.
    pub(super) fn has(&self, series: u64) -> bool {
        self.series.contains(&series)
    }

    /// Series of all groups, one `push_time_seconds` per group among them.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// The hashes of the family at `at`.
    pub(super) fn hashes(&mut self, content: &Content, at: usize) -> Vec<u64> {
        let Some(part) = content.parts.get(at) else { return Vec::new() };
        let (key, scratch) = (self.hash_key, &mut self.scratch);
        let hash = |block: &str| prepare::hash_of_block(key, &part.name.text, block, scratch);
        blocks(content, at).map(hash).collect()
    }

    fn hash_of(&mut self, group: &Group) -> u64 {
        prepare::hash_of_block(self.hash_key, PUSHED, &group.block, &mut self.scratch)
    }

    /// Follows a group from `old` to `new`. What disagrees with other groups is marked as suspect. Cheap where
    /// the series stay the same.
    pub(super) fn replace(&mut self, old: Option<&Group>, new: Option<&Group>) {
        self.jobs.replace(old, new);
        self.due.replace(old, new);
        match (old, new) {
            (None, Some(new)) => {
                let hash = self.hash_of(new);
                if !self.series.insert(hash) {
                    self.twins.store(true, Ordering::Relaxed);
                }
            }
            (Some(old), None) => {
                let hash = self.hash_of(old);
                self.series.remove(&hash);
            }
            _ => {}
        }
        let empty = Content::default();
        let old = old.map_or(&empty, |it| &*it.content);
        let new = new.map_or(&empty, |it| &*it.content);
        if std::ptr::eq(old, new) {
            return;
        }
        for (before, after) in pairs(old, new) {
            let (gone, come) = (before.map(|it| (old, it)), after.map(|it| (new, it)));
            let parts = (
                gone.and_then(|it| it.0.parts.get(it.1)),
                come.and_then(|it| it.0.parts.get(it.1)),
            );
            if parts.0.map(|it| it.kind) != parts.1.map(|it| it.kind) {
                if let Some(part) = parts.1 {
                    self.count(part, u32::saturating_add);
                }
                if let Some(part) = parts.0 {
                    self.count(part, u32::saturating_sub);
                    self.release(&part.name.text);
                }
            }
            if gone.zip(come).is_none_or(|(a, b)| !same_series(a, b)) {
                self.exchange(gone, come);
            }
        }
    }

    /// Follows a family from the series of `old` to those of `new`.
    fn exchange(&mut self, old: Option<(&Content, usize)>, new: Option<(&Content, usize)>) {
        if let Some((content, at)) = old {
            for it in self.hashes(content, at) {
                self.series.remove(&it);
            }
        }
        let Some((content, at)) = new else { return };
        let mut twice = false;
        for it in self.hashes(content, at) {
            twice |= !self.series.insert(it);
        }
        if let Some(part) = content.parts.get(at).filter(|_| twice) {
            part.name.suspect.store(true, Ordering::Relaxed);
        }
    }

    fn count(&mut self, part: &Part, change: fn(u32, u32) -> u32) {
        let Some(entry) = self.names.get_mut(&part.name.text) else { return };
        if let Some(it) = entry.groups.get_mut(usize::from(number(part.kind))) {
            *it = change(*it, 1);
        }
        if entry.groups.iter().filter(|it| **it > 0).count() > 1 {
            entry.name.suspect.store(true, Ordering::Relaxed);
        }
    }

    /// Lets go of a name that no group has any more.
    fn release(&mut self, name: &str) {
        if self.names.get(name).is_some_and(|it| it.groups == [0; KINDS])
            && let Some(it) = self.names.remove(name)
        {
            self.free.push(it.name.id);
        }
    }
}

/// The families of two contents by name: where they stand in each.
fn pairs(a: &Content, b: &Content) -> impl Iterator<Item = (Option<usize>, Option<usize>)> {
    let (mut i, mut j) = (0, 0);
    std::iter::from_fn(move || {
        let order = match (a.parts.get(i), b.parts.get(j)) {
            (None, None) => return None,
            (Some(_), None) => cmp::Ordering::Less,
            (None, Some(_)) => cmp::Ordering::Greater,
            (Some(a), Some(b)) if Arc::ptr_eq(&a.name, &b.name) => cmp::Ordering::Equal,
            (Some(a), Some(b)) => a.name.text.cmp(&b.name.text),
        };
        let res = (order.is_le().then_some(i), order.is_ge().then_some(j));
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
        Some(res)
    })
}

fn blocks(content: &Content, at: usize) -> impl Iterator<Item = &str> {
    content.samples(at).map(|it| it.labels)
}

/// Whether two families of one name have the same series in the same order.
fn same_series(a: (&Content, usize), b: (&Content, usize)) -> bool {
    a.0.bytes(a.1) == b.0.bytes(b.1) || blocks(a.0, a.1).eq(blocks(b.0, b.1))
}
