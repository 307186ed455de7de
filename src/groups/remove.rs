//! Groups are removed: one, those that selectors choose, or all.

use super::apply::{Outcome, Undo};
use super::group::Group;
use super::stored;
use super::{Groups, View};
use crate::selector::LabelSelector;
use std::sync::Arc;

/// Which groups are meant: those whose labels one of the selectors matches.
#[derive(Clone, Debug)]
pub struct Selection(Vec<LabelSelector>);

impl Selection {
    /// The groups that one of `selectors` matches.
    #[must_use]
    pub fn new(selectors: Vec<LabelSelector>) -> Self {
        Self(selectors)
    }

    /// Whether no group can be meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn has(&self, group: &Group) -> bool {
        self.0.iter().any(|it| it.matches(|name| group.label(name)))
    }
}

impl View {
    /// The groups of `selection`, sorted by labels.
    #[must_use]
    pub fn select(&self, selection: &Selection) -> Vec<Arc<Group>> {
        self.groups().into_iter().filter(|it| selection.has(it)).collect()
    }
}

impl Groups {
    /// Removes all groups.
    pub fn wipe(&mut self) -> Outcome {
        let all = self.view.groups();
        self.delete(all)
    }

    /// Removes the groups of `selection`. A page has all of them or none.
    pub fn remove_selected(&mut self, selection: &Selection) -> Outcome {
        let selected = self.view.select(selection);
        self.delete(selected)
    }

    /// Removes groups as somebody wants it.
    pub(super) fn delete(&mut self, groups: Vec<Arc<Group>>) -> Outcome {
        self.view.shared.own.deleted();
        self.remove(groups)
    }

    pub(super) fn remove(&mut self, groups: Vec<Arc<Group>>) -> Outcome {
        let mut shown = self.view.lock();
        for it in &groups {
            shown.remove(&*it.key);
        }
        drop(shown);
        let mut writes = Vec::with_capacity(2 * groups.len() + 1);
        for it in &groups {
            self.index.replace(Some(it), None);
            writes.extend(stored::removal(it));
        }
        if !groups.is_empty() {
            self.version += 1;
            writes.push(stored::removed(self.version));
        }
        self.changed();
        let before = groups.into_iter().map(|it| (Arc::clone(&it.key), Some(it)));
        let undo = Undo { groups: before.collect(), ..Undo::default() };
        Outcome { result: Ok(()), writes, undo }
    }
}
