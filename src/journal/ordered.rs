//! Going through many events in their order on all cores, and what is known about sequence numbers.

use super::Journal;
use super::query::{Ask, Order, Query, QueryError};
use crate::event::{Event, Time};
use crate::telemetry;
use std::{
    ops::{ControlFlow, Range},
    sync::mpsc,
    thread,
};

/// Events that one step of an ordered walk takes, about.
const STEP_EVENTS: u64 = 2000;

/// Steps that a thread may be ahead.
const AHEAD: usize = 2;

type Step<T> = (u64, Result<T, QueryError>);

impl Journal {
    /// The sequence number of the oldest event that is stored, or the one that the next will get.
    #[must_use]
    pub fn first(&self) -> u64 {
        let headers = self.index.from(0);
        headers.iter().find(|it| it.count > 0).map_or(self.end(), |it| it.first)
    }

    /// How many events with sequence numbers from `from` on were deleted. Counts a block that `from` lies in
    /// as a whole.
    #[must_use]
    pub fn missing(&self, from: u64) -> u64 {
        let headers = self.index.from(from);
        let before = headers.first().map_or(0, |it| it.first.saturating_sub(from.max(1)));
        let deleted = headers.iter().map(|it| it.span.saturating_sub(u64::from(it.count)));
        before + deleted.sum::<u64>()
    }

    /// The sequence number of the first event that arrived at or after `time`, or the one that the next
    /// will get.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the block that holds the event is damaged.
    pub fn arrived_since(&self, time: Time) -> Result<u64, QueryError> {
        let mut found = None;
        for header in self.index.from(0).iter().filter(|it| it.received.1 >= time) {
            let range = header.first..header.end();
            self.in_order(&Query::default(), range, |seq, event| {
                if event.received < time {
                    return ControlFlow::Continue(());
                }
                found = Some(seq);
                ControlFlow::Break(())
            })?;
            if found.is_some() {
                break;
            }
        }
        Ok(found.unwrap_or_else(|| self.end()))
    }

    /// Goes through every event in `range` that `query` wants (its types, sources, matches, since and until;
    /// not its limit, order and cursor), in the order of the journal and in steps of some thousand events:
    /// `visit` collects a step, on as many threads of low priority as there are cores; `each` gets the
    /// steps in order on this thread, with the sequence number up to which they go, until it breaks.
    /// Memory is bounded by some steps per thread.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a block that may hold an answer is damaged.
    pub fn ordered<T: Default + Send>(
        &self,
        query: &Query,
        range: Range<u64>,
        visit: impl Fn(&mut T, u64, &Event<'_>) + Sync,
        mut each: impl FnMut(u64, T) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        let steps = self.steps(query, range);
        let collect = |step: &Range<u64>| {
            let mut res = T::default();
            let walked = self.in_order(query, step.clone(), |seq, event| {
                visit(&mut res, seq, event);
                ControlFlow::Continue(())
            });
            (step.end, walked.map(|()| res))
        };
        let cores = thread::available_parallelism().map_or(1, usize::from).min(steps.len());
        if cores <= 1 {
            return deliver(steps.iter().map(collect), &mut each);
        }
        thread::scope(|scope| {
            let (steps, collect) = (&steps, &collect);
            let work = |first: usize, to: mpsc::SyncSender<Step<T>>| {
                telemetry::lower_priority();
                for step in steps.iter().skip(first).step_by(cores) {
                    // Nobody waits for the rest.
                    if to.send(collect(step)).is_err() {
                        return;
                    }
                }
            };
            let start = |first| {
                let (to, from) = mpsc::sync_channel(AHEAD);
                scope.spawn(move || work(first, to));
                from
            };
            let running: Vec<_> = (0..cores).map(start).collect();
            let results = running.iter().cycle().map_while(|it| it.recv().ok());
            deliver(results.take(steps.len()), &mut each)
        })
    }

    /// Runs of sequence numbers that together hold what `query` wants in `range`. Runs and not blocks: those
    /// may be merged before they are read.
    fn steps(&self, query: &Query, range: Range<u64>) -> Vec<Range<u64>> {
        let mut res: Vec<Range<u64>> = Vec::new();
        let mut events = 0;
        let ask = Ask::new(query, Order::Ascending);
        for header in self.index.from(range.start) {
            if header.first >= range.end {
                break;
            }
            if !ask.wants_block(&header) {
                continue;
            }
            let end = header.end().min(range.end);
            match res.last_mut().filter(|_| events < STEP_EVENTS) {
                Some(last) => last.end = end,
                None => {
                    events = 0;
                    res.push(header.first.max(range.start)..end);
                }
            }
            events += u64::from(header.count);
        }
        res
    }
}

fn deliver<T>(
    steps: impl Iterator<Item = Step<T>>,
    each: &mut impl FnMut(u64, T) -> ControlFlow<()>,
) -> Result<(), QueryError> {
    for (end, step) in steps {
        if each(end, step?).is_break() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventId;
    use crate::journal;
    use crate::journal::{DedupConfig, Segment, Writer};
    use crate::store;
    use crate::store::Store;

    /// A journal in which event `n` of `n` (from 1) arrived at `n` seconds, in commits of `commit`.
    fn filled(events: i64, commit: i64) -> (tempfile::TempDir, Journal, Writer) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&store::Config::new(dir.path().to_owned())).unwrap();
        let now = Time::from_millis(1_000_000);
        let opened = journal::open(&store, DedupConfig::default(), now, (1, 2)).unwrap();
        let (journal, mut writer, _merger) = opened;
        let mut segment = Segment::default();
        for n in 1..=events {
            let time = Time::from_millis(n * 1000);
            let event = Event {
                id: EventId::Generated(u128::from(n.unsigned_abs())),
                event_type: if n % 3 == 0 { "third" } else { "other" }.into(),
                source: "s".into(),
                time,
                received: time,
                time_clamped: false,
                subject: None,
                trace: None,
                data: "{}".into(),
            };
            segment.push(&event, journal.id_key());
            if n % commit == 0 || n == events {
                writer.append(vec![std::mem::take(&mut segment)]).unwrap();
            }
        }
        (dir, journal, writer)
    }

    fn seqs(journal: &Journal, query: &Query, range: Range<u64>) -> (Vec<u64>, Vec<u64>) {
        let (mut res, mut ends) = (Vec::new(), Vec::new());
        let visit = |acc: &mut Vec<u64>, seq, _: &Event<'_>| acc.push(seq);
        let each = |end, step| {
            res.extend::<Vec<u64>>(step);
            ends.push(end);
            ControlFlow::Continue(())
        };
        journal.ordered(query, range, visit, each).unwrap();
        (res, ends)
    }

    #[test]
    fn every_event_comes_once_and_in_order() {
        for commit in [1, 7, 900] {
            let (_dir, journal, _writer) = filled(9000, commit);
            let all = Query::default();
            let (found, ends) = seqs(&journal, &all, 0..u64::MAX);
            assert_eq!(found, (1..=9000).collect::<Vec<_>>());
            assert!(ends.len() > 2 && ends.is_sorted(), "{ends:?}");
            assert_eq!(seqs(&journal, &all, 100..8100).0, (100..8100).collect::<Vec<_>>());
            let third = Query { types: vec!["third".to_owned()], ..Query::default() };
            let expected: Vec<_> = (1..=9000).filter(|it| it % 3 == 0).collect();
            assert_eq!(seqs(&journal, &third, 0..u64::MAX).0, expected);
            assert!(seqs(&journal, &all, 9001..u64::MAX).0.is_empty());
        }
    }

    #[test]
    fn it_ends_when_it_is_told_to() {
        let (_dir, journal, _writer) = filled(20_000, 1000);
        let mut steps = 0;
        let each = |_, _: u64| {
            steps += 1;
            if steps == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        journal.ordered(&Query::default(), 0..u64::MAX, |_, _, _| {}, each).unwrap();
        assert_eq!(steps, 2);
    }

    #[test]
    fn where_a_time_is_in_the_journal() {
        let (_dir, journal, _writer) = filled(3000, 1000);
        let since = |millis| journal.arrived_since(Time::from_millis(millis)).unwrap();
        assert_eq!((since(0), since(1000), since(1001), since(1_500_000)), (1, 1, 2, 1500));
        assert_eq!((since(3_000_000), since(3_000_001)), (3000, 3001));
        assert_eq!((journal.first(), journal.missing(1)), (1, 0));
    }

    #[test]
    fn what_was_deleted_is_missing() {
        let (_dir, journal, _writer) = filled(3000, 1000);
        let retention = journal::Retention {
            classes: Vec::new(),
            default_age: Some(std::time::Duration::from_secs(1999)),
            max_bytes: None,
            ..journal::Retention::default()
        };
        journal.prune(&retention, Time::from_millis(3_000_000), u64::MAX).unwrap();
        let kept = journal.len();
        assert!((1000..3000).contains(&kept), "{kept}");
        assert_eq!(journal.first(), 3001 - kept);
        assert_eq!(journal.missing(1), 3000 - kept);
        assert_eq!(journal.missing(3001 - kept), 0);
        assert_eq!(seqs(&journal, &Query::default(), 0..u64::MAX).0.len() as u64, kept);
    }
}
