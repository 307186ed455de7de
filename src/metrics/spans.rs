//! Open spans: what started and did not end yet.
//!
//! Everything that time decides - giving a span up, dropping an end that came before its start - is decided
//! against the time of arrival of the event at hand, and again by [`Spans::tick`]; so that a replay, which
//! has only the events, comes to the same state.

use super::family::millis;
use crate::codec::DecodeError;
use crate::codec::Reader;
use crate::codec::Writer;
use crate::event::Time;
use crate::labels;
use crate::rules::{Edge, Keep, SpanGauge, SpanOp, SpanSpec, Updates};
use std::collections::{BTreeMap, HashMap};

/// How long an end waits for a start that was overtaken.
const ORPHAN_MS: i64 = 60_000;

/// Label blocks for which gauges are kept.
const MAX_GROUPS: usize = 1000;

/// The open spans of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans {
    open: HashMap<String, Open>,
    orphans: HashMap<String, Orphan>,
    /// Open spans per label block; a block stays at 0 once it was seen.
    groups: BTreeMap<String, usize>,
}

#[derive(Clone, Debug, PartialEq)]
struct Open {
    labels: String,
    started: Time,
    received_ms: i64,
}

#[derive(Clone, Debug, PartialEq)]
struct Orphan {
    ended: Time,
    end_labels: String,
    received_ms: i64,
    /// Whether the end knew its own duration, which was counted at once.
    counted: bool,
}

/// What an edge does beyond the open spans.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    /// A span took so many seconds; its label block.
    Ended(String, f64),
    /// An end had no start.
    Unmatched,
    /// A span was given up.
    Abandoned,
    /// A start was not taken because too many are open.
    TooMany,
}

// === impl Spans ===

impl Spans {
    /// Open spans.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Applies an edge that arrived at `received_ms`.
    pub(super) fn apply(
        &mut self,
        spec: &SpanSpec,
        updates: &Updates,
        op: &SpanOp,
        received_ms: i64,
    ) -> Vec<Effect> {
        let key = updates.text(op.key);
        let mut res = Vec::new();
        self.give_up(spec, key, received_ms, &mut res);
        let labels = updates.text(op.labels);
        match op.edge {
            Edge::Start => self.start(spec, (key, labels), (op.time, received_ms), &mut res),
            Edge::End { end_labels, duration } => {
                let end_labels = updates.text(end_labels);
                if let Some(open) = self.close(key) {
                    let seconds =
                        duration.unwrap_or_else(|| op.time.seconds_since(open.started).max(0.0));
                    res.push(Effect::Ended(labels::join(&open.labels, end_labels), seconds));
                    return res;
                }
                if let Some(own) = duration {
                    res.push(Effect::Ended(labels::join(labels, end_labels), own));
                }
                let (counted, end_labels) = (duration.is_some(), end_labels.to_owned());
                let orphan = Orphan { ended: op.time, end_labels, received_ms, counted };
                self.keep_orphan(spec, key, orphan, &mut res);
            }
        }
        res
    }

    fn start(
        &mut self,
        spec: &SpanSpec,
        (key, labels): (&str, &str),
        (started, received_ms): (Time, i64),
        res: &mut Vec<Effect>,
    ) {
        if let Some(orphan) = self.orphans.remove(key) {
            if received_ms - orphan.received_ms <= ORPHAN_MS {
                self.group(labels);
                if !orphan.counted {
                    let seconds = orphan.ended.seconds_since(started).max(0.0);
                    res.push(Effect::Ended(labels::join(labels, &orphan.end_labels), seconds));
                }
                return;
            }
            res.push(Effect::Unmatched);
        }
        if self.open.contains_key(key) {
            if spec.keep == Keep::First {
                return;
            }
            self.close(key);
        } else if self.open.len() >= spec.max_open {
            res.push(Effect::TooMany);
            return;
        }
        let labels = self.group(labels);
        *self.groups.entry(labels.clone()).or_default() += 1;
        self.open.insert(key.to_owned(), Open { labels, started, received_ms });
    }

    /// The label block under which the gauges of a span are kept: its own, while there are not too many.
    fn group(&mut self, labels: &str) -> String {
        if self.groups.contains_key(labels) || self.groups.len() < MAX_GROUPS {
            self.groups.entry(labels.to_owned()).or_default();
            return labels.to_owned();
        }
        let overflow = labels::escaped_pairs(labels).map(|it| (it.0, super::family::OVERFLOW));
        let overflow = labels::block(overflow);
        self.groups.entry(overflow.clone()).or_default();
        overflow
    }

    fn close(&mut self, key: &str) -> Option<Open> {
        let open = self.open.remove(key)?;
        if let Some(it) = self.groups.get_mut(&open.labels) {
            *it = it.saturating_sub(1);
        }
        Some(open)
    }

    /// An end without a start waits a moment, unless so many wait that it had better not.
    fn keep_orphan(&mut self, spec: &SpanSpec, key: &str, orphan: Orphan, res: &mut Vec<Effect>) {
        if spec.unmatched_ends.is_none() && spec.keep == Keep::First {
            // Every success is an end then, and almost none has a failure to end.
            return;
        }
        if self.orphans.len() >= spec.max_open
            || self.orphans.insert(key.to_owned(), orphan).is_some()
        {
            res.push(Effect::Unmatched);
        }
    }

    fn give_up(&mut self, spec: &SpanSpec, key: &str, now_ms: i64, res: &mut Vec<Effect>) {
        let limit_ms = millis(spec.give_up_after);
        if self.open.get(key).is_some_and(|it| now_ms - it.received_ms > limit_ms) {
            self.close(key);
            res.push(Effect::Abandoned);
        }
    }

    /// Gives up what is too old at `now_ms`.
    pub(super) fn tick(&mut self, spec: &SpanSpec, now_ms: i64) -> Vec<Effect> {
        let mut res = Vec::new();
        let limit_ms = millis(spec.give_up_after);
        let old = |it: &Open| now_ms - it.received_ms > limit_ms;
        let keys: Vec<_> = self.open.iter().filter(|it| old(it.1)).map(|it| it.0.clone()).collect();
        for key in keys {
            self.close(&key);
            res.push(Effect::Abandoned);
        }
        let before = self.orphans.len();
        self.orphans.retain(|_, it| now_ms - it.received_ms <= ORPHAN_MS);
        res.extend((self.orphans.len()..before).map(|_| Effect::Unmatched));
        res
    }

    /// The samples of a gauge at `now_ms`, per label block.
    pub(super) fn gauge(
        &self,
        spec: &SpanSpec,
        gauge: SpanGauge,
        now_ms: i64,
    ) -> BTreeMap<&str, f64> {
        let mut res = BTreeMap::new();
        match gauge {
            SpanGauge::InFlight => {
                res.extend(self.groups.iter().map(|it| (it.0.as_str(), count(*it.1))));
            }
            SpanGauge::Stuck => {
                res.extend(self.groups.keys().map(|it| (it.as_str(), 0.0)));
                let limit_ms = spec.stuck_after.map_or(i64::MAX, millis);
                for open in
                    self.open.values().filter(|it| now_ms - it.started.as_millis() > limit_ms)
                {
                    *res.entry(open.labels.as_str()).or_default() += 1.0;
                }
            }
            SpanGauge::OldestStart => {
                for open in self.open.values() {
                    let started = open.started.as_seconds();
                    let oldest = res.entry(open.labels.as_str()).or_insert(started);
                    *oldest = oldest.min(started);
                }
            }
        }
        res
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        let sorted: BTreeMap<_, _> = self.open.iter().collect();
        writer.varint(sorted.len() as u64);
        for (key, it) in sorted {
            writer.text(key);
            writer.text(&it.labels);
            writer.i64(it.started.as_nanos());
            writer.signed(it.received_ms);
        }
        let sorted: BTreeMap<_, _> = self.orphans.iter().collect();
        writer.varint(sorted.len() as u64);
        for (key, it) in sorted {
            writer.text(key);
            writer.text(&it.end_labels);
            writer.i64(it.ended.as_nanos());
            writer.signed(it.received_ms);
            writer.u8(u8::from(it.counted));
        }
        writer.varint(self.groups.len() as u64);
        self.groups.keys().for_each(|it| writer.text(it));
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut res = Self::default();
        for _ in 0..reader.size()? {
            let (key, labels) = (reader.text()?.to_owned(), reader.text()?.to_owned());
            let started = Time::from_nanos(reader.i64()?);
            *res.groups.entry(labels.clone()).or_default() += 1;
            res.open.insert(key, Open { labels, started, received_ms: reader.signed()? });
        }
        for _ in 0..reader.size()? {
            let (key, end_labels) = (reader.text()?.to_owned(), reader.text()?.to_owned());
            let ended = Time::from_nanos(reader.i64()?);
            let (received_ms, counted) = (reader.signed()?, reader.u8()? != 0);
            res.orphans.insert(key, Orphan { ended, end_labels, received_ms, counted });
        }
        for _ in 0..reader.size()? {
            res.groups.entry(reader.text()?.to_owned()).or_default();
        }
        Ok(res)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric value is a double")]
fn count(it: usize) -> f64 {
    it as f64
}
