//! From the values of a rule to a verdict on each label set.

use super::sample::{Sampled, Sampler, Sources};
use crate::alerts::{BurnRate, Condition, Judge, Query, Ratio};
use hashbrown::HashMap;
use std::time::Duration;

/// What a rule keeps between two ticks.
#[derive(Debug)]
pub(super) enum Evaluator {
    /// It is evaluated by events and the clock.
    Nothing,
    Threshold(Box<Sampler>, Judge),
    Ratio(Box<Quotient>, Judge),
    BurnRate(Vec<Pair>),
}

/// Two samplers of which one is divided by the other.
#[derive(Debug)]
pub(super) struct Quotient {
    numerator: Sampler,
    denominator: Sampler,
    min_denominator: f64,
    /// The denominators of this tick.
    by: HashMap<Box<str>, (f64, bool)>,
}

/// A pair of windows, and the quotient above which both are too fast.
#[derive(Debug)]
pub(super) struct Pair {
    long: Quotient,
    short: Quotient,
    limit: f64,
}

/// One label set of a rule at one tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found<'a> {
    /// Its labels and its value. If that is of a part of the window, what does not hold may hold.
    pub(super) of: Sampled<'a>,
    /// Whether it begins to fire, and whether it goes on if it does.
    pub(super) fires: bool,
    pub(super) stays: bool,
}

impl Found<'_> {
    /// Whether the condition holds for what fires, or does not.
    pub(super) fn holds(&self, firing: bool) -> bool {
        if firing { self.stays } else { self.fires }
    }
}

impl Evaluator {
    pub(super) fn new(condition: &Condition) -> Self {
        match condition {
            Condition::Threshold(query, judge) => {
                Self::Threshold(Box::new(Sampler::new(query.clone())), *judge)
            }
            Condition::Ratio(ratio, judge) => {
                Self::Ratio(Box::new(Quotient::new(ratio, None)), *judge)
            }
            Condition::BurnRate(BurnRate { ratio, budget, windows }) => {
                let pair = |it: &crate::alerts::BurnWindow| Pair {
                    long: Quotient::new(ratio, Some(it.long.0)),
                    short: Quotient::new(ratio, Some(it.short.0)),
                    limit: it.factor * budget,
                };
                Self::BurnRate(windows.iter().map(pair).collect())
            }
            Condition::Event { .. } | Condition::Absence(_) => Self::Nothing,
        }
    }

    /// Gives `each` every label set that has a value at `now_ms`.
    pub(super) fn tick(
        &mut self,
        sources: Sources<'_>,
        now_ms: i64,
        each: &mut dyn FnMut(Found<'_>),
    ) {
        match self {
            Self::Nothing => {}
            Self::Threshold(sampler, judge) => sampler.tick(sources, now_ms, &mut |it| {
                each(judged(it, *judge));
            }),
            Self::Ratio(quotient, judge) => {
                quotient.tick(sources, now_ms, &mut |it| each(judged(it, *judge)))
            }
            Self::BurnRate(pairs) => burn(pairs, sources, now_ms, each),
        }
    }
}

fn judged(of: Sampled<'_>, judge: Judge) -> Found<'_> {
    Found { of, fires: judge.holds(of.value, false), stays: judge.holds(of.value, true) }
}

fn burn(pairs: &mut [Pair], sources: Sources<'_>, now_ms: i64, each: &mut dyn FnMut(Found<'_>)) {
    let mut burning: HashMap<Box<str>, (f64, bool, bool)> = HashMap::new();
    for pair in pairs {
        let limit = pair.limit;
        let mut short: HashMap<Box<str>, (f64, bool)> = HashMap::new();
        pair.short.tick(sources, now_ms, &mut |it| {
            short.insert(it.block.into(), (it.value, it.partial));
        });
        pair.long.tick(sources, now_ms, &mut |it| {
            let Some((recent, recent_partial)) = short.get(it.block) else { return };
            let found = burning.entry(it.block.into()).or_insert((it.value, false, false));
            found.0 = found.0.max(it.value);
            found.1 |= it.value > limit && *recent > limit;
            found.2 |= it.partial || *recent_partial;
        });
    }
    for (block, (value, holds, partial)) in &burning {
        let of = Sampled { block, value: *value, partial: *partial };
        each(Found { of, fires: *holds, stays: *holds });
    }
}

impl Quotient {
    fn new(ratio: &Ratio, window: Option<Duration>) -> Self {
        let sampler =
            |it: &Query| Sampler::new(Query { window: window.unwrap_or(it.window), ..it.clone() });
        Self {
            numerator: sampler(&ratio.numerator),
            denominator: sampler(&ratio.denominator),
            min_denominator: ratio.min_denominator,
            by: HashMap::new(),
        }
    }

    /// A numerator that is not there is 0; without enough of a denominator there is no quotient.
    fn tick(&mut self, sources: Sources<'_>, now_ms: i64, each: &mut dyn FnMut(Sampled<'_>)) {
        let (by, least) = (&mut self.by, self.min_denominator);
        by.clear();
        self.denominator.tick(sources, now_ms, &mut |it| {
            if it.value >= least {
                by.insert(it.block.into(), (it.value, it.partial));
            }
        });
        self.numerator.tick(sources, now_ms, &mut |it| {
            if let Some((value, partial)) = by.remove(it.block) {
                let (value, partial) = (it.value / value, partial || it.partial);
                each(Sampled { value, partial, ..it });
            }
        });
        for (block, (_, partial)) in by.drain() {
            each(Sampled { block: &block, value: 0.0, partial });
        }
    }
}
