//! What is said about jobs: the settings for those whose names match a pattern.

use super::terms::{Blend, Mode};
use crate::selector::Glob;

/// What is said about the jobs of a pattern. `None` where nothing is.
#[derive(Clone, Debug)]
pub struct JobRule {
    /// Which jobs: all of the name.
    pub pattern: Glob,
    /// Whether what is pushed is added to what is there, unless a push says otherwise.
    pub sum: Option<bool>,
    /// What becomes of gauges when pushes add up, unless a push says otherwise.
    pub gauges: Option<Blend>,
}

/// The settings about jobs. The default says nothing.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    /// By pattern: of those that match a job and say something, the first counts.
    pub rules: Vec<JobRule>,
}

// === impl Jobs ===

impl Jobs {
    /// How pushes of the job meet what is there, if a rule says it.
    #[must_use]
    pub fn mode(&self, job: &str) -> Option<Mode> {
        let sum = self.said(job, |it| it.sum)?;
        Some(if sum { Mode::Sum(self.gauges(job)) } else { Mode::Replace })
    }

    /// What becomes of the job's gauges when pushes add up.
    #[must_use]
    pub fn gauges(&self, job: &str) -> Blend {
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
            rule("ci-*", None, Some(Blend::Max)),
            rule("ci-one", Some(false), Some(Blend::Min)),
            rule("ci-*", Some(true), None),
        ];
        let jobs = Jobs { rules };
        assert_eq!(jobs.mode("ci-two"), Some(Mode::Sum(Blend::Max)));
        assert_eq!((jobs.mode("ci-one"), jobs.gauges("ci-one")), (Some(Mode::Replace), Blend::Max));
        assert_eq!((jobs.mode("backup"), jobs.gauges("backup")), (None, Blend::Last));
    }
}
