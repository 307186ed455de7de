//! When events arrived, and whether the clock that said so may be believed.

use super::Journal;
use super::query::{Cursor, Query, QueryError};
use crate::event::Time;
use std::{ops::ControlFlow, time::Duration};

/// Looks for a gap, going back from now.
struct Search {
    now: Time,
    gap: Duration,
    span: Duration,
    /// The earliest arrival that was seen.
    later: Time,
    found: Option<Time>,
}

impl Journal {
    /// The last arrival before the newest gap of more than `gap` between two arrivals, `now` counting as
    /// one. `None` if there is no gap, or if arrivals have gone on for `span` since.
    ///
    /// A clock that was set ahead leaves such a gap, as does a server that was off or had nothing to do;
    /// what came before it is not certain to be as old as the clock makes it.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a block is damaged.
    pub fn arrival_before_gap(
        &self,
        now: Time,
        gap: Duration,
        span: Duration,
    ) -> Result<Option<Time>, QueryError> {
        let mut search = Search { now, gap, span, later: now, found: None };
        let mut at = u64::MAX;
        while let Some(header) = self.index.before(at) {
            at = header.first;
            if header.count == 0 {
                continue;
            }
            let (oldest, newest) = header.received;
            let step = if search.is_gap(oldest, newest) {
                // There may be a gap inside.
                let cursor = Some(Cursor(header.end()));
                self.each(&Query { cursor, ..Query::default() }, |seq, event| {
                    if seq < header.first {
                        ControlFlow::Break(())
                    } else {
                        search.back_to(event.received)
                    }
                })?;
                search.state()
            } else if search.back_to(newest).is_continue() {
                search.back_to(oldest)
            } else {
                ControlFlow::Break(())
            };
            if step.is_break() {
                break;
            }
        }
        Ok(search.found)
    }
}

impl Search {
    fn is_gap(&self, earlier: Time, later: Time) -> bool {
        later.saturating_sub(self.gap) > earlier
    }

    /// Something arrived at `at`, before all that was seen.
    fn back_to(&mut self, at: Time) -> ControlFlow<()> {
        if self.is_gap(at, self.later) {
            self.found = Some(at);
        }
        self.later = self.later.min(at);
        self.state()
    }

    fn state(&self) -> ControlFlow<()> {
        let long = self.now.saturating_sub(self.span) >= self.later;
        if self.found.is_some() || long {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventId};
    use crate::journal;
    use crate::journal::{DedupConfig, Segment};
    use crate::store;
    use crate::store::Store;

    const HOUR: i64 = 3_600_000;

    /// What is found in a journal of events that arrived at these hours, before and after they are merged.
    #[track_caller]
    fn check(hours: &[i64], now: i64, expected: Option<i64>) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&store::Config::new(dir.path().to_owned())).unwrap();
        let now = Time::from_millis(now * HOUR);
        let opened = journal::open(&store, DedupConfig::default(), now, (1, 2)).unwrap();
        let (journal, mut writer, merger) = opened;
        for hour in hours {
            let received = Time::from_millis(hour * HOUR);
            let mut segment = Segment::default();
            let event = Event {
                id: EventId::Generated(0),
                event_type: "t".into(),
                source: "s".into(),
                time: Time::default(),
                received,
                time_clamped: false,
                subject: None,
                trace: None,
                data: "{}".into(),
            };
            segment.push(&event, journal.id_key());
            writer.append(vec![segment]).unwrap();
        }
        let expected = expected.map(|it| Time::from_millis(it * HOUR));
        let day = Duration::from_hours(24);
        for merged in [false, true] {
            let found = journal.arrival_before_gap(now, day, day).unwrap();
            assert_eq!(found, expected, "{hours:?}, merged: {merged}");
            merger.merge_all().unwrap();
        }
    }

    #[test]
    fn a_gap_is_found_until_a_day_has_passed() {
        check(&[], 1000, None);
        check(&[990, 999], 1000, None);
        // The server was off, or the clock jumps, before anything arrives.
        check(&[1, 2], 1000, Some(2));
        // A few hours later, and a day later.
        check(&[1, 2, 980, 999], 1000, Some(2));
        check(&[1, 2, 976, 999], 1000, None);
        check(&[1, 2, 975, 999], 1000, None);
        // A clock that went wrong and was set right again.
        check(&[1, 2, 5000, 3, 4], 5, None);
        check(&[1, 2, 5000, 3, 4], 6000, Some(4));
    }

    #[test]
    fn a_gap_is_found_within_a_block() {
        // Enough for a merge of what lies before and after.
        let mut hours = vec![1; 40];
        hours.extend([990; 40]);
        check(&hours, 1000, Some(1));
        let mut trickle: Vec<i64> = (0..80).map(|it| it * 30).collect();
        check(&trickle, 79 * 30 + 1, Some(78 * 30));
        trickle = (0..80).map(|it| it * 20).collect();
        check(&trickle, 79 * 20 + 1, None);
    }
}
