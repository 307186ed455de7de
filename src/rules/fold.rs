//! A small model of the series projection, to run the tests of rule files with.

use super::*;
use crate::event::{EventId, NewEvent, Time};
use crate::labels;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The state after some events.
#[derive(Default)]
pub(super) struct Model {
    /// By family and label block: the values of a histogram's observations, or one value.
    series: BTreeMap<(usize, String), Vec<f64>>,
    open: HashMap<(u32, String), (Time, String)>,
    seen: HashSet<(String, String)>,
}

impl Model {
    pub(super) fn new(set: &RuleSet) -> Self {
        let mut res = Self::default();
        for (at, family) in set.families().iter().enumerate() {
            for block in &family.init {
                res.touch(set, at, block);
            }
        }
        res
    }

    /// Applies one event unless it was there before.
    pub(super) fn apply(&mut self, set: &RuleSet, new: NewEvent<'_>) -> Updates {
        let mut out = Updates::default();
        if let Some(id) = &new.id
            && !self.seen.insert((new.source.to_string(), id.to_string()))
        {
            return out;
        }
        let received = Time::parse("2026-01-05T12:00:00Z").unwrap();
        let event = new.accept(received, || EventId::Generated(7));
        set.evaluate(&event, &mut out);
        for op in &out.ops {
            self.op(set, op.family as usize, out.text(op.labels), op.change);
        }
        for op in &out.spans {
            self.span(set, &out, op);
        }
        out
    }

    fn op(&mut self, set: &RuleSet, family: usize, block: &str, change: Change) {
        let spec = &set.families()[family];
        let kept = |it: &str| -> Vec<String> {
            let values: Vec<_> = labels::pairs(it).map(|(_, it)| it.into_owned()).collect();
            spec.unique_by.iter().map(|at| values[*at].clone()).collect()
        };
        if !spec.unique_by.is_empty() {
            self.series.retain(|(f, it), _| *f != family || it == block || kept(it) != kept(block));
        }
        self.touch(set, family, block);
        let cell = self.series.get_mut(&(family, block.to_owned())).unwrap();
        match change {
            Change::Count(it) | Change::Add(it) => cell[0] += it,
            Change::Set(it) => cell[0] = it,
            Change::Observe(it) => cell.push(it),
        }
    }

    /// Makes sure that a series and its siblings exist.
    fn touch(&mut self, set: &RuleSet, family: usize, block: &str) {
        let spec = &set.families()[family];
        let zero = match spec.kind {
            FamilyKind::Histogram(_) => vec![],
            _ => vec![0.0],
        };
        let mut blocks = vec![block.to_owned()];
        for (at, values) in &spec.siblings {
            for base in blocks.clone() {
                let with = |value: &str| {
                    let pairs = labels::pairs(&base).enumerate().map(|(i, (name, old))| {
                        (
                            name.to_owned(),
                            if i == *at { value.to_owned() } else { old.into_owned() },
                        )
                    });
                    let pairs: Vec<_> = pairs.collect();
                    labels::block(pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())))
                };
                blocks.extend(values.iter().map(|it| with(it)));
            }
        }
        for it in blocks {
            self.series.entry((family, it)).or_insert_with(|| zero.clone());
        }
    }

    fn span(&mut self, set: &RuleSet, out: &Updates, op: &SpanOp) {
        let spec = &set.spans()[op.span as usize];
        let key = (op.span, out.text(op.key).to_owned());
        let labels = out.text(op.labels).to_owned();
        match op.edge {
            Edge::Start => {
                if spec.keep == Keep::Last || !self.open.contains_key(&key) {
                    self.open.insert(key, (op.time, labels));
                }
            }
            Edge::End { end_labels, duration } => {
                let start = self.open.remove(&key);
                if start.is_none()
                    && let Some(it) = spec.unmatched_ends
                {
                    self.op(set, it, "", Change::Count(1.0));
                }
                let measured = start.as_ref().map(|(at, _)| op.time.seconds_since(*at));
                let labels = start.map_or(labels, |(_, it)| it);
                if let Some(seconds) = duration.or(measured) {
                    let block = labels::join(&labels, out.text(end_labels));
                    self.op(set, spec.duration, &block, Change::Observe(seconds));
                }
                self.op(set, spec.in_flight, &labels, Change::Set(0.0));
            }
        }
        for family in [Some(spec.in_flight), spec.stuck].into_iter().flatten() {
            let blocks: Vec<_> = self.open.iter().filter(|(it, _)| it.0 == op.span).collect();
            let blocks: Vec<_> = blocks.into_iter().map(|(_, (_, it))| it.clone()).collect();
            for block in &blocks {
                let open = blocks.iter().filter(|it| *it == block).count();
                self.op(set, family, block, Change::Set(open as f64));
            }
        }
    }

    /// All samples but the buckets, as `name{labels}` and value.
    pub(super) fn samples(&self, set: &RuleSet) -> Vec<(String, String, f64)> {
        let mut res = Vec::new();
        for ((family, block), values) in &self.series {
            let spec = &set.families()[*family];
            match spec.kind {
                FamilyKind::Histogram(_) => {
                    let sum = values.iter().sum();
                    res.push((format!("{}_sum", spec.name), block.clone(), sum));
                    let count = values.len() as f64;
                    res.push((format!("{}_count", spec.name), block.clone(), count));
                }
                _ => res.push((spec.name.clone(), block.clone(), values[0])),
            }
        }
        res
    }
}

/// Runs the tests of a rule file.
#[track_caller]
pub(super) fn run_tests(set: &RuleSet) {
    for test in set.tests() {
        let mut model = Model::new(set);
        for event in &test.events {
            model.apply(set, event.to_new_event());
        }
        let samples = model.samples(set);
        for expected in &test.expected {
            let found = samples.iter().find(|(name, block, _)| expected.is_about(name, block));
            let found = found.map(|it| it.2);
            assert_eq!(found, expected.value, "{}: {expected:?}\n{samples:#?}", test.name);
        }
    }
}
