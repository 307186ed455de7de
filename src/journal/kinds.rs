//! How many events there are of each type and source, kept as blocks come and go.

use super::segment::Pair;
use hashbrown::HashMap;
use std::{collections::BTreeMap, sync::Arc};

/// Kinds that are told apart. Beyond, the sources of a type are counted together: who sends a new source
/// with every event must not fill the memory.
const MAX_KINDS: usize = 10_000;

/// How many events of one type came from one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What happened. Empty: rare types that are counted together.
    pub event_type: Arc<str>,
    /// Who said so. Empty: many that are counted together, as there are more than ten thousand kinds.
    pub source: Arc<str>,
    /// How many.
    pub events: u64,
}

#[derive(Debug, Default)]
pub(super) struct Kinds {
    counts: HashMap<Arc<str>, HashMap<Arc<str>, u64>>,
    len: usize,
}

impl Kinds {
    pub(super) fn add<'p>(&mut self, pairs: impl Iterator<Item = &'p Pair>) {
        for it in pairs {
            let sources = self.counts.entry_ref(&it.event_type).or_default();
            let n = u64::from(it.count);
            if let Some(count) = sources.get_mut(&it.source) {
                *count += n;
            } else if self.len < MAX_KINDS {
                sources.insert(Arc::clone(&it.source), n);
                self.len += 1;
            } else {
                *sources.entry(Arc::from("")).or_default() += n;
            }
        }
    }

    pub(super) fn remove<'p>(&mut self, pairs: impl Iterator<Item = &'p Pair>) {
        for it in pairs {
            let Some(sources) = self.counts.get_mut(&it.event_type) else { continue };
            let known = if sources.contains_key(&it.source) { &*it.source } else { "" };
            let Some(count) = sources.get_mut(known) else { continue };
            *count = count.saturating_sub(u64::from(it.count));
            if *count == 0 {
                sources.remove(known);
                self.len = self.len.saturating_sub(usize::from(!known.is_empty()));
            }
            if sources.is_empty() {
                self.counts.remove(&it.event_type);
            }
        }
    }

    /// All, ordered by type and source.
    pub(super) fn list(&self) -> Vec<Kind> {
        let mut res = BTreeMap::new();
        for (event_type, sources) in &self.counts {
            for (source, events) in sources {
                res.insert((Arc::clone(event_type), Arc::clone(source)), *events);
            }
        }
        let kind = |((event_type, source), events)| Kind { event_type, source, events };
        res.into_iter().map(kind).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(event_type: &str, source: &str, count: u32) -> Pair {
        Pair { event_type: event_type.into(), source: source.into(), count }
    }

    #[test]
    fn what_goes_is_not_counted_any_more() {
        let mut kinds = Kinds::default();
        kinds.add([pair("t", "a", 3), pair("t", "b", 4), pair("u", "a", 1)].iter());
        kinds.add([pair("t", "a", 2)].iter());
        kinds.remove([pair("t", "b", 4), pair("u", "a", 1), pair("t", "a", 1)].iter());
        assert_eq!(kinds.list(), [Kind { event_type: "t".into(), source: "a".into(), events: 4 }]);
    }

    #[test]
    fn many_sources_count_together() {
        let mut kinds = Kinds::default();
        let pairs: Vec<_> = (0..20_000).map(|it| pair("t", &it.to_string(), 1)).collect();
        kinds.add(pairs.iter());
        let list = kinds.list();
        assert_eq!(list.len(), MAX_KINDS + 1);
        assert_eq!((list[0].source.as_ref(), list[0].events), ("", 10_000));
        kinds.remove(pairs.iter());
        assert_eq!(kinds.list(), []);
    }
}
