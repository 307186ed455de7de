//! Changes that wait for the next flush.

use super::StoreError;
use hashbrown::HashMap;
use std::sync::{Mutex, PoisonError};

/// What the tables get with the next flush.
#[derive(Debug, Default)]
pub(super) struct Deferred(Mutex<Vec<OfTable>>);

/// A table, and the last value of each key that changed; `None` if it is removed.
#[derive(Debug)]
struct OfTable {
    tree: sled::Tree,
    changes: HashMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Deferred {
    pub(super) fn add(
        &self,
        tree: &sled::Tree,
        changes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    ) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.iter_mut().find(|it| it.tree.name() == tree.name()) {
            Some(it) => it.changes.extend(changes),
            None => {
                let changes = changes.into_iter().collect();
                all.push(OfTable { tree: tree.clone(), changes });
            }
        }
    }

    /// Makes the changes, those of a table together. The lock is held meanwhile, so that later ones come later.
    pub(super) fn apply(&self) -> Result<(), StoreError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for it in &mut *all {
            if it.changes.is_empty() {
                continue;
            }
            let mut batch = sled::Batch::default();
            for (key, value) in it.changes.drain() {
                match value {
                    Some(value) => batch.insert(key, value),
                    None => batch.remove(key),
                }
            }
            it.tree.apply_batch(batch)?;
        }
        Ok(())
    }
}
