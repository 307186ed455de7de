//! Reading the values of one family in the process, for whoever compares them.

use super::Metrics;
use super::family::millis;
use super::has_series;
use super::series::Extra;
use crate::rules::FamilyKind;

/// The value of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading<'a> {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram.
    Histogram {
        /// Observations.
        count: f64,
        /// Their sum.
        sum: f64,
        /// The upper bounds of the classic buckets, ascending, without `+Inf`.
        bounds: &'a [f64],
        /// Observations per bucket, not cumulative; the last is `+Inf`.
        counts: &'a [u64],
    },
}

impl Metrics {
    /// Gives `each` the label block and the value of every series of the family `name` that a page at `now_ms` would show
    /// to a person. Holds the lock of some hundred series at a time. Whether there is such a family.
    pub fn read(&self, name: &str, now_ms: i64, each: &mut dyn FnMut(&str, Reading<'_>)) -> bool {
        let view = self.shared.view.load();
        let at = view.families.binary_search_by(|it| it.spec.name.as_str().cmp(name));
        let Some(family) = at.ok().and_then(|at| view.families.get(at)) else { return false };
        if family.data.is_hidden() {
            return true;
        }
        let spec = &family.spec;
        if let FamilyKind::SpanGauge(at, gauge) = spec.kind {
            if let Some(state) = view.spans.get(at) {
                let spans = state.lock();
                for (labels, value) in spans.gauge(&state.spec, gauge, now_ms) {
                    each(labels, Reading::Number(value));
                }
            }
            return true;
        }
        let ttl_ms = spec.ttl.map(millis);
        family.data.for_each(|series| {
            if !has_series(&spec.kind) || series.is_hidden(ttl_ms, now_ms) {
                return;
            }
            match (&spec.kind, series.extra.as_deref()) {
                (FamilyKind::Histogram(spec), Some(Extra::Histogram(it))) => {
                    #[expect(clippy::cast_precision_loss, reason = "a metric value is a double")]
                    let count = it.count as f64;
                    let (bounds, counts) = (&spec.bounds, &it.counts);
                    each(&series.labels, Reading::Histogram { count, sum: it.sum, bounds, counts });
                }
                _ => each(&series.labels, Reading::Number(series.value)),
            }
        });
        true
    }
}
