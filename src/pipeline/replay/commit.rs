//! The end of a replay, on the writer's thread.

use super::super::writer::Writer;
use super::{LAST_EVENTS, ReplayError, Swap, Swapped};
use crate::journal::{Cursor, Query};
use crate::metrics::{Part, Shadow};
use crate::rules::Updates;
use std::{ops::ControlFlow, sync::Arc};

impl Writer {
    /// Between two commits: applies what the shadow has not seen, puts it in force, and stores a snapshot. A
    /// crash before that is stored finds what was in force before; a crash after it, what is now.
    pub(in crate::pipeline) fn swap(&mut self, swap: Swap) {
        let Swap { mut shadow, finally, reply } = swap;
        if self.next.saturating_sub(shadow.next()) > LAST_EVENTS && !finally {
            let _ = reply.send(Swapped::Behind(shadow));
            return;
        }
        let answer = match self.catch_up(&mut shadow) {
            Err(error) => Swapped::Failed(error, shadow),
            Ok(()) if !self.projection.swap(&mut shadow) => Swapped::RulesChanged(shadow),
            Ok(()) => match self.try_snapshot() {
                Ok(()) => Swapped::Done,
                Err(error) => {
                    self.projection.swap(&mut shadow);
                    Swapped::Failed(error.into(), shadow)
                }
            },
        };
        // Whoever waits for it hears of it; that it is in force does not depend on that.
        let _ = reply.send(answer);
    }

    /// Applies the events that `shadow` has not seen. All that were committed can be read.
    fn catch_up(&self, shadow: &mut Shadow) -> Result<(), ReplayError> {
        let rules = Arc::clone(shadow.rules());
        let query = Query {
            matches: rules.type_selectors(),
            ascending: true,
            cursor: Some(Cursor(shadow.next())),
            ..Query::default()
        };
        let mut updates = Updates::default();
        let mut failure = None;
        self.journal.reader().each(&query, |_, event| {
            updates.clear();
            let part = Part::evaluate(&rules, event, &mut updates);
            match shadow.apply(&updates, &part, event.received.as_millis()) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        shadow.seen(self.next);
        failure.map_or(Ok(()), |it| Err(it.into()))
    }
}
