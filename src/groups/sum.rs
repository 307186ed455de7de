//! A push that adds up: its families become the sums of what it brings and what its group has, and replace those.

use super::add;
use super::group::{Content, Part};
use super::index::Index;
use super::prepare::{NewPart, Push};
use super::reject;
use super::series;
use super::series::{Sample, Samples};
use super::terms::{Blend, Mode};
use crate::codec::Writer;
use crate::push::{Metric, Value};
use hashbrown::HashMap;

/// Makes the families of `push` those that its group is to have. Costs what they hold, before and after.
///
/// # Errors
///
/// What cannot be added.
pub(super) fn apply(
    index: &mut Index,
    push: &mut Push,
    before: &Content,
) -> Result<(), Vec<String>> {
    if push.mode == Mode::Replace {
        return Ok(());
    }
    let mut sum = Sum::default();
    for part in &mut push.parts {
        let bytes = push.data.get(part.bytes.clone()).unwrap_or_default();
        let hashes = push.hashes.get(part.hashes.clone()).unwrap_or_default();
        let (start, first) = (sum.out.len(), sum.hashes.len());
        match before.find(&part.name).filter(|_| part.blends.is_some()) {
            Some(at) => sum.family(index, (before, at), part, (bytes, hashes)),
            None => {
                sum.out.bytes(bytes);
                sum.hashes.extend_from_slice(hashes);
            }
        }
        part.bytes = start..sum.out.len();
        part.hashes = first..sum.hashes.len();
        if sum.errors.len() >= reject::MAX_ERRORS {
            break;
        }
    }
    if !sum.errors.is_empty() {
        return Err(sum.errors);
    }
    push.data = sum.out.into_inner();
    push.hashes = sum.hashes;
    Ok(())
}

/// The families of a group on their way.
#[derive(Default)]
struct Sum {
    out: Writer,
    hashes: Vec<u64>,
    errors: Vec<String>,
}

impl Sum {
    /// The family at `at` of `before`, and what `part` adds.
    fn family(
        &mut self,
        index: &mut Index,
        (before, at): (&Content, usize),
        part: &mut NewPart,
        (bytes, hashes): (&[u8], &[u64]),
    ) {
        let Some(old) = before.parts.get(at) else { return };
        let new: Vec<Sample<'_>> = Samples::new(bytes, part.kind, part.traits.rich).collect();
        if old.kind != part.kind {
            let shown = new.first().map_or("", |it| it.labels);
            let value = new.first().map_or(&Value::Mismatch, |it| &it.value);
            let metric = reject::metric(&part.name, shown, value, part.kind);
            let kind = reject::kind(old.kind);
            self.errors.push(format!(
                "{metric} is not a {kind}, as the group has it: remove the group, or push it without mode=sum"
            ));
            return;
        }
        inherit(part, old);
        if before.samples(at).map(|it| it.labels).eq(new.iter().map(|it| it.labels)) {
            for (n, (old, new)) in before.samples(at).zip(new).enumerate() {
                self.add(part, n, (old, new));
            }
            self.hashes.extend_from_slice(hashes);
            return;
        }
        // A label that is empty is none, so that series are told apart by their hashes.
        let of_old = index.hashes(before, at);
        let mut places: HashMap<u64, usize> = hashes.iter().copied().zip(0..).collect();
        let mut new: Vec<Option<Sample<'_>>> = new.into_iter().map(Some).collect();
        for (sample, hash) in before.samples(at).zip(&of_old) {
            let added = places.remove(hash).and_then(|at| Some((at, new.get_mut(at)?.take()?)));
            match added {
                Some((at, it)) => self.add(part, at, (sample, it)),
                None => self.keep(part, sample),
            }
        }
        self.hashes.extend_from_slice(&of_old);
        for (sample, hash) in new.into_iter().zip(hashes) {
            if let Some(it) = sample {
                self.keep(part, it);
                self.hashes.push(*hash);
            }
        }
    }

    /// Adds `new`, the metric at `at` of the push, to `old`.
    fn add(&mut self, part: &NewPart, at: usize, (old, new): (Sample<'_>, Sample<'_>)) {
        let how = part.blends.as_ref().map_or(Blend::Last, |it| it.of(at));
        let stored = add::check(part.kind, how, &old.value);
        let stored =
            stored.map_err(|it| format!("what is stored does not add up, {it}: replace it first"));
        let value = stored.and_then(|()| add::values(how, old.value, new.value));
        match value {
            Ok(value) => {
                let created_ms = match (old.created_ms, new.created_ms) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                let exemplar = new.exemplar.or(old.exemplar);
                self.keep(part, Sample { labels: old.labels, value, created_ms, exemplar });
            }
            Err(reason) => {
                let metric = reject::metric(&part.name, new.labels, &Value::Mismatch, part.kind);
                self.errors.push(reject::not_added(&metric, &reason));
            }
        }
    }

    fn keep(&mut self, part: &NewPart, it: Sample<'_>) {
        let Sample { labels, value, created_ms, exemplar } = it;
        let metric = Metric { labels: Vec::new(), value, timestamp: None, created_ms, exemplar };
        series::write(&mut self.out, labels, &metric, part.traits.rich);
    }
}

/// What a family that is added to keeps.
fn inherit(part: &mut NewPart, old: &Part) {
    part.traits.quoted |= old.traits.quoted;
    part.traits.rich |= old.traits.rich;
    part.traits.odd |= old.traits.odd;
    if part.help.is_empty() {
        old.help.as_ref().clone_into(&mut part.help);
    }
}
