//! The values of a query, tick by tick: what the series are now, and what was kept of them to look back.
//!
//! What a window needs is kept in memory, at sixty places per window. After a start it is incomplete until the window has
//! passed: what is found to be true until then counts, and what is not is unknown.

use crate::alerts::{Function, Query};
use crate::exposition;
use crate::groups;
use crate::labels;
use crate::metrics::{Metrics, Reading};
use crate::push;
use hashbrown::{HashMap, HashSet};
use std::{collections::VecDeque, hash::BuildHasher};

/// Places that are kept per window.
const PLACES: i64 = 60;
/// Series that one query may look at; further ones are left out.
const MAX_SERIES: usize = 100_000;

/// Where values are read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sources<'a> {
    pub(super) metrics: &'a Metrics,
    /// `None` for the past, of which no pushes are known.
    pub(super) groups: Option<&'a groups::View>,
}

/// The samples of one query.
#[derive(Debug)]
pub(super) struct Sampler {
    query: Query,
    window_ms: i64,
    series: HashMap<Box<str>, Track>,
    /// Hashes, under a key of its own, of the labels of the series of the metric that are not asked for: with many rules
    /// over one metric they are nearly all that a rule sees.
    others: HashSet<u64>,
    combinations: Vec<Combination>,
    index: HashMap<Box<str>, usize>,
    /// When it was first asked; what is there then was there before.
    began_ms: Option<i64>,
    ticks: u64,
}

/// One series.
#[derive(Debug)]
struct Track {
    combination: usize,
    seen: u64,
    past: Option<Box<Past>>,
}

/// What is kept of a series: of a histogram, its buckets, of all others one number.
#[derive(Debug)]
struct Past {
    last: Box<[f64]>,
    /// What it grew in all since it is looked at, resets not counted.
    grown: Box<[f64]>,
    /// How it was at earlier ticks, oldest first.
    places: VecDeque<(i64, Box<[f64]>)>,
    /// Whether its first value was its beginning.
    born: bool,
}

/// One combination of the labels of `group_by`, or one series.
#[derive(Debug)]
struct Combination {
    block: Box<str>,
    sum: Vec<f64>,
    bounds: Box<[f64]>,
    n: u64,
    partial: bool,
}

/// The value of a combination.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampled<'a> {
    /// Its labels.
    pub(super) block: &'a str,
    pub(super) value: f64,
    /// Whether a part of the window is not known.
    pub(super) partial: bool,
}

impl Sampler {
    pub(super) fn new(query: Query) -> Self {
        let window_ms = i64::try_from(query.window.as_millis()).unwrap_or(i64::MAX);
        Self {
            query,
            window_ms,
            series: HashMap::new(),
            others: HashSet::new(),
            combinations: Vec::new(),
            index: HashMap::new(),
            began_ms: None,
            ticks: 0,
        }
    }

    /// Looks at all series at `now_ms`, and gives `each` the value of every combination that has one.
    pub(super) fn tick(
        &mut self,
        sources: Sources<'_>,
        now_ms: i64,
        each: &mut dyn FnMut(Sampled<'_>),
    ) {
        self.ticks += 1;
        for it in &mut self.combinations {
            it.sum.clear();
            (it.n, it.partial) = (0, false);
        }
        let metric = std::mem::take(&mut self.query.metric);
        self.read(sources, &metric, now_ms);
        self.query.metric = metric;
        self.began_ms.get_or_insert(now_ms);
        self.forget();
        for it in self.combinations.iter().filter(|it| it.n > 0) {
            let value = match self.query.function {
                Function::Quantile => quantile(self.query.quantile, &it.bounds, &it.sum),
                _ => it.sum.first().copied(),
            };
            if let Some(value) = value {
                each(Sampled { block: &it.block, value, partial: it.partial });
            }
        }
    }

    fn read(&mut self, sources: Sources<'_>, metric: &str, now_ms: i64) {
        // `x_count` is a part of the histogram `x`, unless there is such a metric.
        let part = |it: &'static str| metric.strip_suffix(it).map(|name| (name, it));
        if !self.read_family(sources, metric, "", now_ms)
            && let Some((name, part)) = part("_count").or_else(|| part("_sum"))
        {
            self.read_family(sources, name, part, now_ms);
        }
    }

    fn read_family(&mut self, sources: Sources<'_>, name: &str, part: &str, now_ms: i64) -> bool {
        let mut values = Vec::new();
        let mut found = sources.metrics.read(name, now_ms, &mut |block, reading| {
            values.clear();
            let mut upper: &[f64] = &[];
            match reading {
                Reading::Number(it) => values.push(it),
                Reading::Histogram { sum, .. } if part == "_sum" => values.push(sum),
                Reading::Histogram { bounds, counts, .. }
                    if self.query.function == Function::Quantile =>
                {
                    #[expect(clippy::cast_precision_loss, reason = "a metric value is a double")]
                    values.extend(counts.iter().map(|it| *it as f64));
                    upper = bounds;
                }
                Reading::Histogram { count, .. } => values.push(count),
            }
            self.take(block, &values, upper, now_ms);
        });
        for group in sources.groups.map(groups::View::groups).unwrap_or_default() {
            let Some(family) = group.family(name) else { continue };
            found = true;
            for sample in family.samples() {
                values.clear();
                let mut upper = Vec::new();
                match &sample.value {
                    push::Value::Number(it) => values.push(*it),
                    push::Value::Summary(it) if part == "_sum" => values.push(it.sum),
                    #[expect(clippy::cast_precision_loss, reason = "a metric value is a double")]
                    push::Value::Summary(it) => values.push(it.count as f64),
                    push::Value::Histogram(it) if part == "_sum" => values.push(it.sum),
                    push::Value::Histogram(it) if self.query.function == Function::Quantile => {
                        let finite = it.buckets.iter().filter(|it| it.bound.is_finite());
                        let mut before = 0.0;
                        for bucket in finite {
                            upper.push(bucket.bound);
                            values.push(bucket.cumulative - before);
                            before = bucket.cumulative;
                        }
                        values.push(it.count - before);
                    }
                    push::Value::Histogram(it) => values.push(it.count),
                    push::Value::Mismatch => continue,
                }
                self.take(sample.labels, &values, &upper, now_ms);
            }
        }
        found
    }

    /// Notes the values of the series with the labels of `block`.
    fn take(&mut self, block: &str, values: &[f64], bounds: &[f64], now_ms: i64) {
        let ticks = self.ticks;
        let hash = || self.others.hasher().hash_one(block);
        if !self.others.is_empty() && self.others.contains(&hash()) {
            return;
        }
        if !self.series.contains_key(block) {
            if self.series.len() + self.others.len() >= MAX_SERIES {
                return;
            }
            let Some(combination) = self.combination_of(block) else {
                let hash = self.others.hasher().hash_one(block);
                self.others.insert(hash);
                return;
            };
            let track = Track { combination, seen: ticks, past: None };
            self.series.insert(block.into(), track);
        }
        let Some(track) = self.series.get_mut(block) else { return };
        track.seen = ticks;
        let Some(it) = self.combinations.get_mut(track.combination) else { return };
        if it.bounds.len() != bounds.len() {
            it.bounds = bounds.into();
        }
        let function = self.query.function;
        match function {
            Function::Value => it.add(function, values, false),
            Function::Count => it.add(function, &[1.0], false),
            _ => {
                let born = self.began_ms.is_some();
                let past = track.past.get_or_insert_with(|| Box::new(Past::new(values, born)));
                past.note(function, values, now_ms, self.window_ms);
                let (made, partial) = past.over(function, now_ms, self.window_ms);
                it.add(function, &made, partial);
            }
        }
    }

    /// The combination that a series belongs to; `None` if the query does not ask for it.
    fn combination_of(&mut self, block: &str) -> Option<usize> {
        let pairs: Vec<_> = exposition::label_pairs(block).collect();
        let value = |name: &str| {
            let found = pairs.iter().find(|it| it.0 == name);
            found.map(|it| labels::unescape_value(it.1))
        };
        if let Some(selector) = &self.query.selector {
            let known: Vec<_> =
                pairs.iter().map(|it| (it.0.as_ref(), labels::unescape_value(it.1))).collect();
            let label = |name: &str| known.iter().find(|it| it.0 == name).map(|it| it.1.as_ref());
            if !selector.matches(label) {
                return None;
            }
        }
        let key: Box<str> = match &self.query.group_by {
            None => block.into(),
            Some(names) => {
                let values: Vec<_> =
                    names.iter().map(|it| (it, value(it).unwrap_or_default())).collect();
                labels::block(values.iter().map(|(name, it)| (name.as_str(), it.as_ref()))).into()
            }
        };
        if let Some(at) = self.index.get(&key) {
            return Some(*at);
        }
        let at = self.combinations.len();
        self.index.insert(key.clone(), at);
        let (sum, bounds) = (Vec::new(), Box::default());
        self.combinations.push(Combination { block: key, sum, bounds, n: 0, partial: false });
        Some(at)
    }

    /// Forgets the series that are gone, once they are many.
    fn forget(&mut self) {
        let ticks = self.ticks;
        if !ticks.is_multiple_of(512) {
            return;
        }
        // Those that are still there come again.
        self.others.clear();
        let before = self.series.len();
        self.series.retain(|_, it| it.seen == ticks);
        if self.series.len() < before && self.query.group_by.is_none() {
            // A series is its own combination.
            let mut kept = HashMap::new();
            let mut combinations = Vec::new();
            for it in std::mem::take(&mut self.combinations) {
                if self.series.contains_key(&it.block) {
                    kept.insert(it.block.clone(), combinations.len());
                    combinations.push(it);
                }
            }
            for (block, track) in &mut self.series {
                // Its combination has the same labels.
                track.combination = kept.get(block).copied().unwrap_or_default();
            }
            (self.index, self.combinations) = (kept, combinations);
        }
    }
}

impl Combination {
    fn add(&mut self, function: Function, values: &[f64], partial: bool) {
        self.n += 1;
        self.partial |= partial;
        if self.sum.len() < values.len() {
            let start = if self.n == 1 { None } else { Some(0.0) };
            self.sum.extend(values.iter().skip(self.sum.len()).map(|it| start.unwrap_or(*it)));
            if self.n == 1 {
                return;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "so many series there are not")]
        let n = self.n as f64;
        for (sum, value) in self.sum.iter_mut().zip(values) {
            *sum = match function {
                Function::Min => sum.min(*value),
                Function::Max => sum.max(*value),
                Function::Avg => *sum + (value - *sum) / n,
                _ => *sum + value,
            };
        }
    }
}

impl Past {
    fn new(values: &[f64], born: bool) -> Self {
        // What is new began at 0: a counter that appears at 3 grew by 3.
        let last = if born { values.iter().map(|_| 0.0).collect() } else { values.into() };
        let grown = values.iter().map(|_| 0.0).collect();
        Self { last, grown, places: VecDeque::new(), born }
    }

    fn note(&mut self, function: Function, values: &[f64], now_ms: i64, window_ms: i64) {
        if values.len() != self.last.len() {
            *self = Self::new(values, false);
        }
        let kept: Box<[f64]> = match function {
            Function::Avg | Function::Min | Function::Max => values.into(),
            _ => {
                for ((grown, last), value) in self.grown.iter_mut().zip(&self.last).zip(values) {
                    // A counter that is smaller than before began anew.
                    *grown += if value >= last { value - last } else { *value };
                }
                self.grown.clone()
            }
        };
        self.last = values.into();
        // The first of a born series is its beginning, which is one place before.
        if self.places.is_empty()
            && self.born
            && !matches!(function, Function::Avg | Function::Min | Function::Max)
        {
            self.places.push_back((now_ms - 1, values.iter().map(|_| 0.0).collect()));
        }
        let step = (window_ms / PLACES).max(1);
        let several = self.places.len() > 1;
        match self.places.back_mut() {
            // Within a step the newest counts; the place keeps its time, so that it is left some day.
            Some((at, place)) if several && now_ms - *at < step => match function {
                Function::Min => fold(place, values, f64::min),
                Function::Max => fold(place, values, f64::max),
                _ => *place = kept,
            },
            _ => self.places.push_back((now_ms, kept)),
        }
        // The newest place before the window is what the window is compared with.
        while self.places.get(1).is_some_and(|it| it.0 <= now_ms - window_ms) {
            self.places.pop_front();
        }
    }

    /// What the function makes of the window, and whether a part of the window is not known.
    fn over(&self, function: Function, now_ms: i64, window_ms: i64) -> (Box<[f64]>, bool) {
        let Some((first_ms, first)) = self.places.front() else { return (Box::default(), true) };
        let covered = *first_ms <= now_ms - window_ms;
        let within = self.places.iter().filter(|it| it.0 > now_ms - window_ms).map(|it| &it.1);
        let made = match function {
            Function::Min => within.flatten().copied().reduce(f64::min),
            Function::Max => within.flatten().copied().reduce(f64::max),
            Function::Avg => {
                let (n, sum) =
                    within.flatten().fold((0.0, 0.0), |(n, sum), it| (n + 1.0, sum + it));
                (n > 0.0).then(|| sum / n)
            }
            _ => {
                let grown = self.grown.iter().zip(first).map(|(now, then)| now - then);
                let per = match function {
                    #[expect(clippy::cast_precision_loss, reason = "a window is some days at most")]
                    Function::Rate => window_ms as f64 / 1e3,
                    _ => 1.0,
                };
                return (grown.map(|it| it / per).collect(), !covered && !self.born);
            }
        };
        (made.into_iter().collect(), !covered && !self.born)
    }
}

fn fold(place: &mut [f64], values: &[f64], with: fn(f64, f64) -> f64) {
    place.iter_mut().zip(values).for_each(|(place, value)| *place = with(*place, *value));
}

/// The quantile of what a histogram observed, interpolated within the bucket as Prometheus' `histogram_quantile` does.
fn quantile(q: f64, bounds: &[f64], counts: &[f64]) -> Option<f64> {
    let total: f64 = counts.iter().sum();
    if total <= 0.0 || bounds.is_empty() {
        return None;
    }
    let rank = q * total;
    let (mut before, mut lower) = (0.0, 0.0_f64);
    for (bound, count) in bounds.iter().zip(counts) {
        if before + count >= rank {
            if *count <= 0.0 || (lower == 0.0 && *bound <= 0.0) {
                return Some(*bound);
            }
            return Some(lower + (bound - lower) * (rank - before) / count);
        }
        before += count;
        lower = *bound;
    }
    bounds.last().copied()
}
