//! What a job has, counted as it changes, and pushes that would make it more than it may have.

use super::group;
use super::group::Group;
use super::jobs::{JobLimit, Limit};
use super::prepare::Push;
use super::{Groups, Op, View};
use hashbrown::HashMap;

const JOB: &str = "job";

/// Groups and series of each job.
#[derive(Debug, Default)]
pub(super) struct Counts(HashMap<String, Count>);

/// Groups and series of one job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) groups: usize,
    pub(super) series: u64,
}

/// A push that would go beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("job {job:?} {what}, and {setting} is {max}: {advice}")]
pub struct Exceeded {
    /// The limit.
    pub limit: Limit,
    /// Its value.
    pub max: usize,
    job: String,
    what: String,
    setting: String,
    advice: &'static str,
}

// === impl Counts ===

impl Counts {
    /// Follows a group from `old` to `new`. Looks nothing up if their series are as many.
    pub(super) fn replace(&mut self, old: Option<&Group>, new: Option<&Group>) {
        let series = |it: Option<&Group>| it.map_or(0, Group::series);
        let (before, after) = (series(old), series(new));
        if old.is_some() == new.is_some() && before == after {
            return;
        }
        let Some(job) = old.or(new).and_then(|it| it.label(JOB)) else { return };
        let count = self.0.entry_ref(job).or_default();
        count.groups += usize::from(new.is_some());
        count.groups = count.groups.saturating_sub(old.is_some().into());
        count.series = (count.series + after).saturating_sub(before);
        if count.groups == 0 {
            self.0.remove(job);
        }
    }

    pub(super) fn of(&self, job: &str) -> Count {
        self.0.get(job).copied().unwrap_or_default()
    }
}

// === impl Exceeded ===

impl Exceeded {
    fn new(it: JobLimit<'_>, job: &str, what: String) -> Self {
        let advice = match it.limit {
            Limit::Groups => "delete groups that are not needed any more, or raise it",
            Limit::Series => "push fewer series, delete groups, or raise it",
            Limit::BodyBytes => "push less at once, or raise it",
        };
        let (job, setting) = (job.to_owned(), it.to_string());
        Self { limit: it.limit, max: it.max, job, what, setting, advice }
    }
}

impl Groups {
    /// The limit that `push` would exceed. What makes a job smaller, or leaves it as it is, never does.
    pub(super) fn exceeded(&self, push: &Push, old: Option<&Group>) -> Option<Exceeded> {
        let jobs = &self.view.shared.config.jobs;
        let job = group::labels_of(&push.key).find(|it| it.0 == JOB)?.1;
        let [groups, series] = [Limit::Groups, Limit::Series].map(|it| jobs.limit(it, job));
        if groups.is_none() && series.is_none() {
            return None;
        }
        let count = self.index.jobs.of(job);
        if let Some(it) = groups.filter(|it| old.is_none() && count.groups >= it.max) {
            return Some(Exceeded::new(it, job, format!("has {} groups", count.groups)));
        }
        let before = old.map_or(0, Group::series);
        let kept = old.filter(|_| push.op == Op::Post).map_or(0, |it| kept(push, it));
        let after = kept + push.hashes.len() as u64;
        let total = (count.series + after).saturating_sub(before);
        let it = series.filter(|it| after > before && total > it.max as u64)?;
        Some(Exceeded::new(it, job, format!("would have {total} series")))
    }
}

/// Series of the families of `group` that `push`, a POST, does not replace.
fn kept(push: &Push, group: &Group) -> u64 {
    let kept = group.families().filter(|it| push.find(it.name()).is_none());
    kept.map(|it| u64::from(it.series())).sum()
}

impl View {
    /// How many bytes the body of a push to `job` may have.
    #[must_use]
    pub fn body_limit(&self, job: &str) -> Option<usize> {
        self.shared.config.jobs.limit(Limit::BodyBytes, job).map(|it| it.max)
    }

    /// Counts a push to `job` whose body is larger than [`Self::body_limit`], and says so.
    #[must_use]
    pub fn body_exceeds(&self, job: &str) -> Option<Exceeded> {
        let it = self.shared.config.jobs.limit(Limit::BodyBytes, job)?;
        self.shared.own.limited(it.limit);
        let what = format!("was pushed more than {} bytes at once", it.max);
        Some(Exceeded::new(it, job, what))
    }
}
