//! What becomes of each metric of a family that meets those that are there.

use super::add;
use super::terms::{Blend, CLEAR_MODE, ClearMode, Mode};
use crate::exposition::Kind;
use crate::push::{Family, Metric};

/// What becomes of the metrics of a family, in the order in which they were sent.
#[derive(Debug)]
pub(super) enum Blends {
    /// The same of all.
    All(Blend),
    /// Of each something of its own.
    Each(Vec<Blend>),
}

impl Blends {
    /// What `mode` says about `family`; nothing if it takes the place of what is there. The labels that say it are
    /// taken off.
    ///
    /// # Errors
    ///
    /// A label that says it is wrong.
    pub(super) fn take(mode: Mode, family: &mut Family) -> Result<Option<Self>, String> {
        let all = match mode {
            Mode::Replace => return Ok(None),
            Mode::Sum(gauges) => return Ok(Some(Self::All(add::how(family.kind, gauges)))),
            Mode::Labelled(all) => all,
        };
        let mut each = Vec::with_capacity(family.metrics.len());
        let mut whole = false;
        for metric in &mut family.metrics {
            let own = take_label(metric)
                .map(|it| it.parse::<ClearMode>())
                .transpose()
                .map_err(|reason| format!("metric family {:?}: {reason}", family.name))?;
            each.push(match all.or(own) {
                Some(ClearMode::Aggregate) => Blend::Sum,
                Some(ClearMode::Replace) => Blend::Last,
                Some(ClearMode::Family) => {
                    whole = true;
                    Blend::Last
                }
                None if family.kind == Kind::Gauge => Blend::Last,
                None => Blend::Sum,
            });
        }
        Ok(match each.first() {
            _ if whole => None,
            Some(first) if each.iter().all(|it| it == first) => Some(Self::All(*first)),
            _ => Some(Self::Each(each)),
        })
    }

    /// What becomes of the metric at `at`.
    pub(super) fn of(&self, at: usize) -> Blend {
        match self {
            Self::All(it) => *it,
            Self::Each(it) => it.get(at).copied().unwrap_or_default(),
        }
    }
}

fn take_label(metric: &mut Metric) -> Option<String> {
    let at = metric.labels.iter().position(|it| it.0 == CLEAR_MODE)?;
    Some(metric.labels.remove(at).1)
}
