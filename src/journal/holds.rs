//! Whether events come back: ids that this server made are recognised for as long as their events are kept.

use super::Journal;
use super::header::Header;
use super::query::{Query, QueryError};
use crate::event::{Event, EventId};
use std::{collections::HashMap, ops::ControlFlow};

impl Journal {
    /// Which of `ids`, each one that a server made and the source of its event, are those of events that
    /// are stored, by position. The window of deduplication does not know them: a sender cannot give such
    /// an id before the server has answered. An id tells when its event arrived, so that few blocks are read.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a block that may hold one is damaged.
    pub fn holds(&self, ids: &[(EventId<'_>, &str)]) -> Result<Vec<bool>, QueryError> {
        let mut held = vec![false; ids.len()];
        let mut wanted = HashMap::new();
        let mut times = Vec::new();
        for (at, (id, _)) in ids.iter().enumerate() {
            if let (EventId::Generated(number), Some(time)) = (id, id.generated_at()) {
                wanted.entry(*number).or_insert_with(Vec::new).push(at);
                times.push(time.as_millis());
            }
        }
        times.sort_unstable();
        let may_hold = |header: &Header| {
            let (oldest, newest) = header.received;
            let after = times.partition_point(|it| *it < oldest.as_millis());
            times.get(after).is_some_and(|it| *it <= newest.as_millis())
        };
        let mut visitor = |_: u64, event: &Event<'_>| {
            if let EventId::Generated(number) = &event.id {
                for at in wanted.get(number).into_iter().flatten() {
                    if let (Some(held), Some((_, source))) = (held.get_mut(*at), ids.get(*at)) {
                        *held |= *source == event.source;
                    }
                }
            }
            ControlFlow::Continue(())
        };
        for header in self.index.from(0).into_iter().filter(|it| may_hold(it)) {
            self.in_order(&Query::default(), header.first..header.end(), &mut visitor)?;
        }
        Ok(held)
    }
}
