//! Since when a family has counted.

use super::Metrics;
use super::family::Data;
use std::sync::{PoisonError, atomic::Ordering};

/// Where a family stands in the journal. Kept in the snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Every event with this sequence number or a higher one is counted.
    pub from: u64,
    /// How often the family was replaced by a replay: tells its series that were put away from those of
    /// before.
    pub(super) epoch: u64,
    /// Whether its past is still to be counted, as its `backfill` asks for.
    pub pending: bool,
}

impl Origin {
    /// That of a family that counts from `from` on.
    pub(super) fn at(from: u64) -> Self {
        Self { from, ..Self::default() }
    }
}

impl Data {
    pub(super) fn origin(&self) -> Origin {
        *self.origin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_origin(&self, origin: Origin) {
        *self.origin.lock().unwrap_or_else(PoisonError::into_inner) = origin;
    }

    /// Whether it is left out of pages: what it shows now would be taken for all there is, and what the
    /// past adds later for news.
    pub(super) fn is_hidden(&self) -> bool {
        self.hidden.load(Ordering::Relaxed)
    }

    pub(super) fn hide(&self, hidden: bool) {
        self.hidden.store(hidden, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Since when the family called `name` counts.
    #[must_use]
    pub fn origin(&self, name: &str) -> Option<Origin> {
        self.with_data(name, Data::origin)
    }

    /// Shows the family called `name` although its past is not counted yet.
    pub fn reveal(&self, name: &str) {
        self.with_data(name, |it| it.hide(false));
        self.shared.version.fetch_add(1, Ordering::Release);
    }

    pub(super) fn with_data<R>(&self, name: &str, with: impl FnOnce(&Data) -> R) -> Option<R> {
        let view = self.shared.view.load();
        let family = view.families.iter().find(|it| it.spec.name == name)?;
        Some(with(&family.data))
    }
}
