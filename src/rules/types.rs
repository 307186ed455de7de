//! Which rules an event type concerns: worked out once per type.

use hashbrown::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Types that are remembered. Senders choose the types: beyond this many, each event is looked up anew.
const MAX_TYPES: usize = 1024;

/// A bounded cache from type to the indices of rules.
#[derive(Debug, Default)]
pub(super) struct TypeCache(RwLock<HashMap<Box<str>, Arc<[u32]>>>);

impl TypeCache {
    /// The rules of a type.
    pub(super) fn get(&self, event_type: &str, find: impl FnOnce() -> Arc<[u32]>) -> Arc<[u32]> {
        // Nothing panics while the lock is held, and half-made entries do not exist.
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(it) = known.get(event_type) {
            return Arc::clone(it);
        }
        let full = known.len() >= MAX_TYPES;
        drop(known);
        let found = find();
        if !full {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() < MAX_TYPES {
                known.insert(event_type.into(), Arc::clone(&found));
            }
        }
        found
    }
}
