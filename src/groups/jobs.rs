//! What is said about jobs: the settings for all of them, and those for jobs whose names match a pattern.

use super::terms::{Blend, Mode};
use crate::selector::Glob;
use std::{fmt, time::Duration};

/// What a job may have. `None` where nobody says; [`usize::MAX`] is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobLimits {
    /// Groups of the job.
    pub groups: Option<usize>,
    /// Series of all groups of the job, a histogram or summary being one.
    pub series: Option<usize>,
    /// Bytes of the body of one push, after decompression.
    pub body_bytes: Option<usize>,
}

/// What is said about the jobs of a pattern.
#[derive(Clone, Debug)]
pub struct JobRule {
    /// Which jobs: all of the name.
    pub pattern: Glob,
    /// What they may have.
    pub limits: JobLimits,
    /// On which terms their pushes are taken.
    pub terms: JobTerms,
}

/// On which terms the pushes of a job are taken, unless a push says otherwise. `None` where nobody says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobTerms {
    /// Whether what is pushed is added to what is there.
    pub sum: Option<bool>,
    /// What becomes of gauges when pushes add up.
    pub gauges: Option<Blend>,
    /// How long groups live after a push; `Some(None)` for until they are removed.
    pub ttl: Option<Option<Duration>>,
}

/// The settings about jobs. The default says nothing.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    /// By pattern: of those that match a job and say something, the first counts.
    pub rules: Vec<JobRule>,
    /// What holds where no rule says something else.
    pub limits: JobLimits,
    /// How long groups live where no rule says something else.
    pub ttl: Option<Duration>,
}

/// Something that is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`JobLimits::groups`].
    Groups,
    /// [`JobLimits::series`].
    Series,
    /// [`JobLimits::body_bytes`].
    BodyBytes,
}

/// A limit that holds for a job.
#[derive(Clone, Copy, Debug)]
pub struct JobLimit<'a> {
    /// What it is about.
    pub limit: Limit,
    /// How much there may be.
    pub max: usize,
    /// The pattern of the rule that says so; `None` if it holds for all jobs.
    pattern: Option<&'a Glob>,
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

    /// How long groups of the job live after a push.
    #[must_use]
    pub fn ttl(&self, job: &str) -> Option<Duration> {
        self.said(job, |it| it.ttl).unwrap_or(self.ttl)
    }

    fn said<T>(&self, job: &str, what: impl Fn(&JobTerms) -> Option<T>) -> Option<T> {
        let rules = self.rules.iter().filter(|it| it.pattern.matches(job));
        rules.map(|it| &it.terms).find_map(what)
    }

    /// How much of `limit` the job may have, unless it is as much as there is.
    #[must_use]
    pub fn limit(&self, limit: Limit, job: &str) -> Option<JobLimit<'_>> {
        let said = |rule: &JobRule| rule.limits.get(limit).is_some() && rule.pattern.matches(job);
        let (max, pattern) = match self.rules.iter().find(|it| said(it)) {
            Some(it) => (it.limits.get(limit)?, Some(&it.pattern)),
            None => (self.limits.get(limit)?, None),
        };
        (max < usize::MAX).then_some(JobLimit { limit, max, pattern })
    }
}

// === impl JobLimits ===

impl JobLimits {
    fn get(&self, limit: Limit) -> Option<usize> {
        match limit {
            Limit::Groups => self.groups,
            Limit::Series => self.series,
            Limit::BodyBytes => self.body_bytes,
        }
    }
}

// === impl Limit ===

impl Limit {
    /// All limits.
    pub const ALL: [Self; 3] = [Self::Groups, Self::Series, Self::BodyBytes];

    /// Its name as a label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::Series => "series",
            Self::BodyBytes => "body_bytes",
        }
    }
}

impl fmt::Display for JobLimit<'_> {
    /// The setting that says so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (self.limit, self.pattern) {
            (Limit::Groups, None) => "push.max_groups_per_job",
            (Limit::Series, None) => "push.max_series_per_job",
            (Limit::BodyBytes, None) => "push.max_body_bytes",
            (Limit::Groups, Some(_)) => "max_groups",
            (Limit::Series, Some(_)) => "max_series",
            (Limit::BodyBytes, Some(_)) => "max_body_bytes",
        };
        match self.pattern {
            Some(it) => write!(f, "{name} of {:?} in push.jobs", it.as_str()),
            None => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs() -> Jobs {
        let rule = |pattern: &str, limits| {
            let pattern = Glob::parse(pattern).unwrap();
            JobRule { pattern, limits, terms: JobTerms::default() }
        };
        let groups = |it| JobLimits { groups: Some(it), ..JobLimits::default() };
        let series = JobLimits { series: Some(7), ..JobLimits::default() };
        let rules =
            vec![rule("ci-*", series), rule("ci-big", groups(usize::MAX)), rule("ci-*", groups(3))];
        Jobs { rules, limits: groups(5), ttl: None }
    }

    #[track_caller]
    fn check(limit: Limit, job: &str, expected: Option<(usize, &str)>) {
        let jobs = jobs();
        let found = jobs.limit(limit, job).map(|it| (it.max, it.to_string()));
        assert_eq!(found.as_ref().map(|it| (it.0, it.1.as_str())), expected, "{job}");
    }

    #[test]
    fn the_first_rule_that_says_something_counts() {
        check(Limit::Groups, "backup", Some((5, "push.max_groups_per_job")));
        check(Limit::Groups, "ci-x", Some((3, "max_groups of \"ci-*\" in push.jobs")));
        check(Limit::Groups, "ci-big", None);
        check(Limit::Groups, "my-ci-x", Some((5, "push.max_groups_per_job")));
        check(Limit::Series, "ci-big", Some((7, "max_series of \"ci-*\" in push.jobs")));
        check(Limit::Series, "backup", None);
        check(Limit::BodyBytes, "ci-x", None);
        assert!(Jobs::default().limit(Limit::Groups, "x").is_none());
    }

    #[test]
    fn terms_too() {
        let rule = |pattern: &str, sum, gauges, ttl: Option<u64>| {
            let pattern = Glob::parse(pattern).unwrap();
            let ttl = ttl.map(|it| Some(Duration::from_secs(it)).filter(|it| !it.is_zero()));
            JobRule { pattern, limits: JobLimits::default(), terms: JobTerms { sum, gauges, ttl } }
        };
        let rules = vec![
            rule("ci-*", None, Some(Blend::Max), None),
            rule("ci-one", Some(false), Some(Blend::Min), Some(0)),
            rule("ci-*", Some(true), None, Some(60)),
        ];
        let hour = Duration::from_secs(3600);
        let jobs = Jobs { rules, ttl: Some(hour), ..Jobs::default() };
        assert_eq!(jobs.mode("ci-two"), Some(Mode::Sum(Blend::Max)));
        assert_eq!(jobs.ttl("ci-two"), Some(Duration::from_secs(60)));
        assert_eq!((jobs.mode("ci-one"), jobs.gauges("ci-one")), (Some(Mode::Replace), Blend::Max));
        assert_eq!(jobs.ttl("ci-one"), None);
        assert_eq!((jobs.mode("backup"), jobs.gauges("backup")), (None, Blend::Last));
        assert_eq!(jobs.ttl("backup"), Some(hour));
    }
}
