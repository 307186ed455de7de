//! What is said about jobs: the settings for those whose names match a pattern.

use super::terms::{Gauges, Mode};
use crate::selector::Glob;

/// What is said about the jobs of a pattern. `None` where nothing is.
#[derive(Clone, Debug)]
pub struct JobRule {
    /// Which jobs: all of the name.
    pub pattern: Glob,
    /// Whether what is pushed is added to what is there, unless a push says otherwise.
    pub sum: Option<bool>,
    /// What becomes of gauges when pushes add up, unless a push says otherwise.
    pub gauges: Option<Gauges>,
}

/// The settings about jobs. The default says nothing.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    /// By pattern: of those that match a job and say something, the first counts.
    pub rules: Vec<JobRule>,
}

// === impl Jobs ===

impl Jobs {
    /// How pushes of the job meet what is there.
    #[must_use]
    pub fn mode(&self, job: &str) -> Mode {
        match self.said(job, |it| it.sum) {
            Some(true) => Mode::Sum(self.gauges(job)),
            Some(false) | None => Mode::Replace,
        }
    }

    /// What becomes of the job's gauges when pushes add up.
    #[must_use]
    pub fn gauges(&self, job: &str) -> Gauges {
        self.said(job, |it| it.gauges).unwrap_or_default()
    }

    fn said<T>(&self, job: &str, what: impl Fn(&JobRule) -> Option<T>) -> Option<T> {
        self.rules.iter().filter(|it| it.pattern.matches(job)).find_map(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_says_something_counts() {
        let rule = |pattern: &str, sum, gauges| {
            let pattern = Glob::parse(pattern).unwrap();
            JobRule { pattern, sum, gauges }
        };
        let rules = vec![
            rule("ci-*", None, Some(Gauges::Max)),
            rule("ci-one", Some(false), Some(Gauges::Min)),
            rule("ci-*", Some(true), None),
        ];
        let jobs = Jobs { rules };
        assert_eq!(jobs.mode("ci-two"), Mode::Sum(Gauges::Max));
        assert_eq!((jobs.mode("ci-one"), jobs.gauges("ci-one")), (Mode::Replace, Gauges::Max));
        assert_eq!((jobs.mode("backup"), jobs.gauges("backup")), (Mode::Replace, Gauges::Last));
    }
}
