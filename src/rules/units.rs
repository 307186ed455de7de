//! Parts of a rule set that can be evaluated without the others.

use super::RuleSet;
use super::program::{Action, Rule};
use super::types::TypeCache;
use super::{SpanSpec, report::Diagnostics};
use crate::selector::Selector;

/// What is counted together: a metric, or a span with all of its metrics. The number is its index in
/// [`RuleSet::families`] or [`RuleSet::spans`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// A metric.
    Metric(usize),
    /// A span.
    Span(usize),
}

impl RuleSet {
    /// All units, in the order of the families.
    #[must_use]
    pub fn units(&self) -> Vec<Unit> {
        let of_spans: Vec<usize> = self.spans.iter().flat_map(SpanSpec::families).collect();
        let metrics = (0..self.families.len()).filter(|it| !of_spans.contains(it));
        metrics.map(Unit::Metric).chain((0..self.spans.len()).map(Unit::Span)).collect()
    }

    /// The unit that a metric belongs to, or the span of that name.
    #[must_use]
    pub fn unit(&self, name: &str) -> Option<Unit> {
        if let Some(at) = self.spans.iter().position(|it| it.name == name) {
            return Some(Unit::Span(at));
        }
        let at = self.families.iter().position(|it| it.name == name)?;
        let span = self.spans.iter().position(|it| it.families().contains(&at));
        Some(span.map_or(Unit::Metric(at), Unit::Span))
    }

    /// The indices of the families of a unit.
    #[must_use]
    pub fn members(&self, unit: Unit) -> Vec<usize> {
        match unit {
            Unit::Metric(at) => vec![at],
            Unit::Span(at) => self.spans.get(at).map_or(vec![], SpanSpec::families),
        }
    }

    /// The same families and spans, with the same indices, of which only those of `units` are moved by
    /// events. No tests.
    #[must_use]
    pub fn only(&self, units: &[Unit]) -> Self {
        let wanted = |rule: &&Rule| units.contains(&rule.unit());
        let set = Self {
            defaults: self.defaults.clone(),
            aliases: self.aliases.clone(),
            families: self.families.clone(),
            spans: self.spans.clone(),
            rules: self.rules.iter().filter(wanted).cloned().collect(),
            tests: Vec::new(),
            warnings: Diagnostics::default(),
            fingerprint: self.fingerprint,
            types: TypeCache::default(),
        };
        set.seed();
        set
    }

    /// Selectors of the types that could move anything: what they do not match needs no evaluation.
    #[must_use]
    pub fn type_selectors(&self) -> Vec<Selector> {
        let mut res: Vec<Selector> = Vec::new();
        for it in self.rules.iter().flat_map(|it| &it.selectors) {
            if !res.iter().any(|known| known.type_glob() == it.type_glob()) {
                res.push(it.without_matchers());
            }
        }
        res
    }
}

impl SpanSpec {
    /// The indices of its families.
    #[must_use]
    pub fn families(&self) -> Vec<usize> {
        let some = [Some(self.duration), Some(self.in_flight), self.stuck, Some(self.oldest_start)];
        let others = [self.unmatched_ends, Some(self.abandoned)];
        some.into_iter().chain(others).flatten().collect()
    }
}

impl Rule {
    fn unit(&self) -> Unit {
        match &self.action {
            Action::Update(it) => Unit::Metric(it.family as usize),
            Action::Span(it) => Unit::Span(it.span as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, NewEvent, Time};
    use crate::rules::Updates;

    const RULES: &str = "version: 1
metrics:
  a_total: {help: A., match: [a, 'b*{x=\"1\"}'], count: 1}
  c_total: {help: C., match: ['c{x=\"1\"}', 'c{x=\"2\"}'], count: 1}
spans:
  job: {help: S, key: $id, start: a, end: z}
";

    #[test]
    fn a_metric_of_a_span_stands_for_the_span() {
        let set = RuleSet::parse(RULES).unwrap();
        assert_eq!(set.units(), [Unit::Metric(0), Unit::Metric(1), Unit::Span(0)]);
        assert_eq!(set.unit("c_total"), Some(Unit::Metric(1)));
        for name in ["job", "job_duration_seconds", "job_abandoned_total", "job_in_flight"] {
            assert_eq!(set.unit(name), Some(Unit::Span(0)), "{name}");
        }
        assert_eq!(set.unit("job_stuck"), None);
        let members = set.members(Unit::Span(0));
        assert_eq!(members, (2..set.families().len()).collect::<Vec<_>>());
    }

    #[test]
    fn only_what_was_chosen_moves() {
        let set = RuleSet::parse(RULES).unwrap();
        let event = NewEvent {
            id: None,
            event_type: "a".into(),
            source: "s".into(),
            time: None,
            subject: None,
            trace: None,
            data: "{\"id\":\"1\"}".into(),
        };
        let event = event.accept(Time::from_millis(0), || EventId::Generated(1));
        let moved = |units: &[Unit]| {
            let mut updates = Updates::default();
            set.only(units).evaluate(&event, &mut updates);
            (updates.ops.iter().map(|it| it.family).collect::<Vec<_>>(), updates.spans.len())
        };
        assert_eq!(moved(&[Unit::Metric(0)]), (vec![0], 0));
        assert_eq!(moved(&[Unit::Metric(1)]), (vec![], 0));
        assert_eq!(moved(&[Unit::Span(0)]), (vec![], 1));
        let globs = |units: &[Unit]| {
            let selectors = set.only(units).type_selectors();
            selectors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(globs(&[Unit::Metric(1)]), ["c"]);
        assert_eq!(globs(&[Unit::Metric(0), Unit::Span(0)]), ["a", "b*", "z"]);
    }

    #[test]
    fn how_far_back_a_new_metric_counts() {
        use crate::rules::Backfill;
        let parse = |value: &str| {
            let text = format!(
                "version: 1\nmetrics:\n  a_total: {{help: A., match: a, count: 1, backfill: {value}}}\n"
            );
            RuleSet::parse(&text)
                .map(|it| (it.families()[0].backfill, it.families()[0].fingerprint))
        };
        let day = std::time::Duration::from_secs(86_400);
        let (all, fingerprint) = parse("true").unwrap();
        assert_eq!(all, Some(Backfill::All));
        assert_eq!(parse("false").unwrap(), (None, fingerprint), "it decides no meaning");
        assert_eq!(parse("1d").unwrap().0, Some(Backfill::Within(day)));
        let err = parse("soon").unwrap_err().to_string();
        assert!(err.contains("`30d`") && err.contains('^'), "{err}");
        let spans =
            "version: 1\nspans:\n  job: {help: S, key: $id, start: a, end: z, backfill: true}\n";
        let set = RuleSet::parse(spans).unwrap();
        assert!(set.families().iter().all(|it| it.backfill == Some(Backfill::All)));
    }
}
