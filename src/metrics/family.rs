//! The series of one family.
//!
//! Series stand in chunks behind short locks: a scrape reads one chunk after the other, and an update
//! waits for a chunk's worth of formatting at most. The index from label block to place is the writer's
//! alone and needs no lock; it holds places, not copies of the labels.

use super::histogram::Histogram;
use super::origin::Origin;
use super::series::{Exemplar, Extra, Series};
use super::zero::Holds;
use crate::labels;
use crate::rules::{Change, FamilyKind, FamilySpec};
use hashbrown::{HashMap, HashSet, HashTable};
use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use xxhash_rust::xxh3::xxh3_64;

/// The value that every label of an overflow series has.
pub(super) const OVERFLOW: &str = "_overflow";

/// Series per lock: about 15 µs of formatting.
const CHUNK: usize = 512;

type Chunk = RwLock<Vec<Series>>;

/// The series, shared with readers.
#[derive(Debug, Default)]
pub(super) struct Data {
    chunks: RwLock<Vec<Arc<Chunk>>>,
    live: AtomicUsize,
    overflowed: AtomicU64,
    pub(super) origin: Mutex<Origin>,
    /// Whether it is left out of pages.
    pub(super) hidden: AtomicBool,
}

/// A family as readers see it. A reload may change the spec and keep the data.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) spec: FamilySpec,
    pub(super) data: Arc<Data>,
}

/// A family as the writer sees it.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) shared: Arc<Shared>,
    /// The chunks of the data, at hand without its lock.
    chunks: Vec<Arc<Chunk>>,
    index: HashTable<u32>,
    free: Vec<u32>,
    /// With `unique_by`: those labels' block to the place of the one series that has them.
    unique: HashMap<String, u32>,
    /// Per entry of the spec's `label_limits`: the values that were let in.
    admitted: Vec<HashSet<String>>,
}

/// What the family needs to know about an update.
pub(super) struct Context<'a> {
    /// When the event arrived, in milliseconds since the epoch.
    pub(super) received_ms: i64,
    pub(super) exemplar: Option<Exemplar>,
    pub(super) holds: &'a Holds,
    /// Finds a series that was put away when its time was over.
    pub(super) dormant: &'a dyn Fn(&FamilySpec, u64, &str) -> Option<Series>,
}

// === impl Data ===

impl Data {
    /// Series that are in memory.
    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Updates that went to the overflow series.
    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Calls `each` for every series, holding the lock of one chunk at a time.
    pub(super) fn for_each(&self, mut each: impl FnMut(&Series)) {
        let chunks = read(&self.chunks).clone();
        for chunk in chunks {
            read(&chunk).iter().filter(|it| it.used).for_each(&mut each);
        }
    }

    /// Calls `with` on the series at `place`.
    pub(super) fn with<R>(&self, place: u32, with: impl FnOnce(&mut Series) -> R) -> Option<R> {
        let chunk = self.chunk(place)?;
        let mut chunk = write(&chunk);
        chunk.get_mut(place as usize % CHUNK).map(with)
    }

    fn chunk(&self, place: u32) -> Option<Arc<Chunk>> {
        read(&self.chunks).get(place as usize / CHUNK).cloned()
    }

    /// A further chunk.
    fn grow(&self) -> Arc<Chunk> {
        let chunk = Arc::<Chunk>::default();
        write(&self.chunks).push(Arc::clone(&chunk));
        chunk
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

// === impl Family ===

impl Family {
    /// A family without series, but for those of `init`, that counts from `origin` on.
    pub(super) fn new(spec: FamilySpec, origin: Origin, now_ms: i64, holds: &Holds) -> Self {
        let admitted = spec.label_limits.iter().map(|_| HashSet::new()).collect();
        let init = spec.init.clone();
        let mut res = Self {
            shared: Arc::new(Shared { spec, data: Arc::default() }),
            chunks: Vec::new(),
            index: HashTable::new(),
            free: Vec::new(),
            unique: HashMap::new(),
            admitted,
        };
        res.shared.data.set_origin(origin);
        res.shared.data.hide(origin.pending);
        for labels in init {
            let series = res.blank(&labels, now_ms);
            res.insert(series, holds);
        }
        res
    }

    /// The same series under a spec that means the same.
    pub(super) fn with_spec(mut self, spec: FamilySpec) -> Self {
        let admitted = spec.label_limits.iter().map(|_| HashSet::new()).collect();
        self.shared = Arc::new(Shared { spec, data: Arc::clone(&self.shared.data) });
        self.admitted = admitted;
        self.admit_what_lives();
        self
    }

    /// Applies `change` to the series with `labels`, making it if it is new.
    pub(super) fn apply(&mut self, labels: &str, change: Change, context: &Context<'_>) {
        let place = match self.find(labels) {
            Some(it) => it,
            None => self.admit(labels, context),
        };
        self.with(place, |series| update(series, &self.shared.spec, change, context));
    }

    pub(super) fn find(&self, labels: &str) -> Option<u32> {
        let is_at = |place: &u32| {
            let chunk = self.chunks.get(*place as usize / CHUNK).map(|it| read(it));
            let series = chunk.as_ref().and_then(|it| it.get(*place as usize % CHUNK));
            series.is_some_and(|it| it.used && *it.labels == *labels)
        };
        self.index.find(hash(labels), is_at).copied()
    }

    pub(super) fn with<R>(&self, place: u32, with: impl FnOnce(&mut Series) -> R) -> Option<R> {
        let mut chunk = write(self.chunks.get(place as usize / CHUNK)?);
        chunk.get_mut(place as usize % CHUNK).map(with)
    }

    fn put(&mut self, place: u32, series: Series) {
        if self.chunks.len() <= place as usize / CHUNK {
            self.chunks.push(self.shared.data.grow());
        }
        let Some(chunk) = self.chunks.get(place as usize / CHUNK) else { return };
        let mut chunk = write(chunk);
        match chunk.get_mut(place as usize % CHUNK) {
            Some(slot) => *slot = series,
            None => chunk.push(series),
        }
    }

    /// Makes the series with `labels`, or finds the one that stands in for it beyond a limit.
    fn admit(&mut self, labels: &str, context: &Context<'_>) -> u32 {
        let limited = self.limit_labels(labels);
        if limited != labels {
            self.shared.data.overflowed.fetch_add(1, Ordering::Relaxed);
            if let Some(it) = self.find(&limited) {
                return it;
            }
        }
        let spec = &self.shared.spec;
        let wanted = if self.index.len() >= spec.limit {
            let overflow = labels::block(spec.labels.iter().map(|it| (it.as_str(), OVERFLOW)));
            if limited != overflow && limited == labels {
                self.shared.data.overflowed.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(it) = self.find(&overflow) {
                return it;
            }
            overflow
        } else {
            limited
        };
        let epoch = self.shared.data.origin().epoch;
        let found = if spec.ttl.is_some() { (context.dormant)(spec, epoch, &wanted) } else { None };
        let series = found.unwrap_or_else(|| self.blank(&wanted, context.received_ms));
        let place = self.insert(series, context.holds);
        self.make_siblings(&wanted, context);
        place
    }

    /// The labels with the values beyond a label's limit replaced.
    fn limit_labels(&mut self, labels: &str) -> String {
        if self.shared.spec.label_limits.is_empty() {
            return labels.to_owned();
        }
        let mut values: Vec<(&str, &str)> = labels::escaped_pairs(labels).collect();
        for ((at, limit), admitted) in self.shared.spec.label_limits.iter().zip(&mut self.admitted)
        {
            let Some((_, value)) = values.get_mut(*at) else { continue };
            if admitted.contains(*value) {
                continue;
            }
            if admitted.len() >= *limit {
                *value = OVERFLOW;
            } else {
                admitted.insert((*value).to_owned());
            }
        }
        escaped_block(&values)
    }

    /// Makes the series of the same group at 0, as far as the limit allows.
    fn make_siblings(&mut self, labels: &str, context: &Context<'_>) {
        let mut group = vec![labels.to_owned()];
        for (at, outputs) in &self.shared.spec.siblings {
            let with = |block: &String, output: &String| {
                let mut escaped = String::new();
                labels::escape_value(&mut escaped, output);
                let mut values: Vec<(&str, &str)> = labels::escaped_pairs(block).collect();
                if let Some(it) = values.get_mut(*at) {
                    it.1 = &escaped;
                }
                escaped_block(&values)
            };
            group = group
                .iter()
                .flat_map(|it| outputs.iter().map(move |output| with(it, output)))
                .collect();
        }
        for it in group {
            if self.index.len() < self.shared.spec.limit && self.find(&it).is_none() {
                let series = self.blank(&it, context.received_ms);
                self.insert(series, context.holds);
            }
        }
    }

    fn blank(&self, labels: &str, now_ms: i64) -> Series {
        let extra = match &self.shared.spec.kind {
            FamilyKind::Histogram(spec) => Some(Box::new(Extra::Histogram(Histogram::new(spec)))),
            _ => None,
        };
        let (updated_ms, created_ms) = (now_ms, now_ms);
        Series {
            labels: labels.into(),
            updated_ms,
            created_ms,
            used: true,
            extra,
            ..Series::default()
        }
    }

    /// Puts a series back as it was stored, in the place of one with the same labels if there is one.
    pub(super) fn restore(&mut self, series: Series, holds: &Holds) {
        if let Some(old) = self.find(&series.labels) {
            self.remove(old);
        }
        self.insert(series, holds);
    }

    /// Puts a series in its place. One with the same `unique_by` labels goes.
    fn insert(&mut self, mut series: Series, holds: &Holds) -> u32 {
        let spec = &self.shared.spec;
        let counts = matches!(spec.kind, FamilyKind::Counter | FamilyKind::Histogram(_));
        series.held = counts && spec.zero_first && holds.wants(series.created_ms);
        let (held, created_ms) = (series.held, series.created_ms);
        let unique = unique_key(spec, &series.labels);
        if let Some(old) = unique.as_ref().and_then(|it| self.unique.get(it).copied()) {
            self.remove(old);
        }
        let place =
            self.free.pop().unwrap_or_else(|| u32::try_from(self.index.len()).unwrap_or(u32::MAX));
        let hash_of_new = hash(&series.labels);
        self.admit_values(&series.labels);
        self.put(place, series);
        let chunks = &self.chunks;
        let hash_at = |place: &u32| {
            let chunk = chunks.get(*place as usize / CHUNK).map(|it| read(it));
            chunk
                .as_ref()
                .and_then(|it| it.get(*place as usize % CHUNK))
                .map_or(0, |it| hash(&it.labels))
        };
        self.index.insert_unique(hash_of_new, place, hash_at);
        let data = &self.shared.data;
        data.live.store(self.index.len(), Ordering::Relaxed);
        if let Some(key) = unique {
            self.unique.insert(key, place);
        }
        if held {
            holds.add(data, place, created_ms);
        }
        place
    }

    fn remove(&mut self, place: u32) -> Option<Series> {
        let series = self.with(place, std::mem::take)?;
        if let Ok(entry) = self.index.find_entry(hash(&series.labels), |it| *it == place) {
            entry.remove();
        }
        if let Some(key) = unique_key(&self.shared.spec, &series.labels) {
            self.unique.remove(&key);
        }
        self.free.push(place);
        self.shared.data.live.store(self.index.len(), Ordering::Relaxed);
        Some(series)
    }

    /// Takes out the series that are hidden at `now_ms`: those to put away, and those to forget.
    pub(super) fn evict(&mut self, now_ms: i64) -> (Vec<Series>, Vec<Series>) {
        let spec = &self.shared.spec;
        let Some(ttl_ms) = spec.ttl.map(millis) else { return Default::default() };
        let forget_ms = spec.forget.map_or(ttl_ms.saturating_mul(10), millis);
        let mut places = Vec::new();
        for place in &self.index {
            let hidden = self.with(*place, |it| it.is_hidden(Some(ttl_ms), now_ms));
            if hidden == Some(true) {
                places.push(*place);
            }
        }
        places.sort_unstable();
        let gone: Vec<Series> = places.into_iter().filter_map(|it| self.remove(it)).collect();
        if !gone.is_empty() {
            self.admit_what_lives();
        }
        gone.into_iter().partition(|it| !it.is_hidden(Some(forget_ms), now_ms))
    }

    /// The places of the series that a Prometheus may not have seen yet, and when they were made.
    pub(super) fn places_made_since(&self, holds: &Holds) -> Vec<(u32, i64)> {
        let made = |place: &u32| self.with(*place, |it| it.created_ms).map(|it| (*place, it));
        self.index.iter().filter_map(made).filter(|it| holds.wants(it.1)).collect()
    }

    /// Recomputes which label values are let in from the series there are, so that it is the same after a
    /// restart.
    pub(super) fn admit_what_lives(&mut self) {
        if self.shared.spec.label_limits.is_empty() {
            return;
        }
        self.admitted.iter_mut().for_each(HashSet::clear);
        let data = Arc::clone(&self.shared.data);
        data.for_each(|series| self.admit_values(&series.labels));
    }

    /// Lets in the values of a series that lives, whatever made it: `init` and siblings count too, so that
    /// it is the same after a restart.
    fn admit_values(&mut self, block: &str) {
        let limits = &self.shared.spec.label_limits;
        if limits.is_empty() {
            return;
        }
        let values: Vec<&str> = labels::escaped_pairs(block).map(|it| it.1).collect();
        for ((at, _), admitted) in limits.iter().zip(&mut self.admitted) {
            if let Some(it) = values.get(*at).filter(|it| **it != OVERFLOW) {
                admitted.insert((*it).to_owned());
            }
        }
    }
}

fn hash(labels: &str) -> u64 {
    xxh3_64(labels.as_bytes())
}

fn update(series: &mut Series, spec: &FamilySpec, change: Change, context: &Context<'_>) {
    series.updated_ms = series.updated_ms.max(context.received_ms);
    match (change, series.extra.as_deref_mut()) {
        (Change::Observe(value), Some(Extra::Histogram(it))) => {
            if let FamilyKind::Histogram(spec) = &spec.kind {
                it.observe(spec, value, context.exemplar);
            }
        }
        (Change::Count(value), extra) => {
            series.value += value;
            match (extra, context.exemplar) {
                (Some(Extra::Exemplar(it)), Some(exemplar)) => *it = exemplar,
                (None, Some(exemplar)) => series.extra = Some(Box::new(Extra::Exemplar(exemplar))),
                _ => {}
            }
        }
        (Change::Add(value), _) => series.value += value,
        (Change::Set(value), _) => series.value = value,
        (Change::Observe(_), _) => {}
    }
}

/// The block of the labels that `unique_by` names.
fn unique_key(spec: &FamilySpec, block: &str) -> Option<String> {
    if spec.unique_by.is_empty() {
        return None;
    }
    let values: Vec<_> = labels::escaped_pairs(block).collect();
    Some(escaped_block(
        &spec.unique_by.iter().filter_map(|it| values.get(*it).copied()).collect::<Vec<_>>(),
    ))
}

/// A block of values that are escaped already.
fn escaped_block(values: &[(&str, &str)]) -> String {
    let mut res = String::new();
    for (name, value) in values {
        res.push(if res.is_empty() { '{' } else { ',' });
        res.push_str(name);
        res.push_str("=\"");
        res.push_str(value);
        res.push('"');
    }
    labels::close(&mut res, 0);
    res
}

/// A duration in milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
