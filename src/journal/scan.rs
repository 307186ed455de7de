//! Going through many events: folds on all cores, walks in order.

use super::Journal;
use super::block;
use super::chunk::{Chunk, Scratch};
use super::filter;
use super::filter::Wanted;
use super::header::{Form, Header, Part};
use super::pack::Unpacker;
use super::query::{Ask, Order, Query, QueryError};
use super::segment;
use crate::codec::DecodeError;
use crate::event::{Event, Time};
use crate::telemetry;
use std::{
    ops::{ControlFlow, Range},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// What became of a visit to a block.
enum Visit {
    /// It was seen to its end.
    Done,
    /// Whom it was shown to had enough.
    Stopped,
    /// The block is gone: it was merged or pruned since its header was read.
    Moved,
}

/// Whom events are shown to.
pub(super) trait Sink {
    /// An event that is wanted, with its sequence number.
    fn event(&mut self, seq: u64, event: &Event<'_>) -> ControlFlow<()>;

    /// If only type and time of an event matter, it may be shown so instead, without being put together.
    fn tally(&mut self) -> Option<&mut Tally<'_>> {
        None
    }
}

/// Takes the type and the time of an event.
pub(super) type Tally<'t> = dyn FnMut(&str, Time) + 't;

/// A sink that takes whole events.
struct Each<F>(F);

impl<F: FnMut(u64, &Event<'_>) -> ControlFlow<()>> Sink for Each<F> {
    fn event(&mut self, seq: u64, event: &Event<'_>) -> ControlFlow<()> {
        (self.0)(seq, event)
    }
}

/// What a thread that reads blocks uses again and again.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) unpacker: Unpacker,
    pub(super) scratch: Scratch,
}

impl Tools {
    pub(super) fn new() -> Self {
        Self { unpacker: Unpacker::new(), scratch: Scratch::default() }
    }
}

impl Journal {
    /// Folds every event that `query` wants (its types, sources, matches, since and until; not its limit,
    /// order and cursor), on as many threads as there are cores: `new` makes an accumulator per thread,
    /// and `each` gets every event once, with its sequence number, in no order. Events that arrive
    /// meanwhile are left out. Memory is bounded by a block per thread.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a block that may hold an answer is damaged.
    pub fn fold<T: Send>(
        &self,
        query: &Query,
        new: impl Fn() -> T + Sync,
        each: impl Fn(&mut T, u64, &Event<'_>) + Sync,
    ) -> Result<Vec<T>, QueryError> {
        let ask = Ask::new(query, Order::Any);
        let todo = Todo { journal: self, ask, end: self.end(), at: Mutex::new(0) };
        in_parallel(|| {
            let (mut acc, mut tools) = (new(), Tools::new());
            let mut sink = Each(|seq: u64, event: &Event<'_>| {
                each(&mut acc, seq, event);
                ControlFlow::Continue(())
            });
            while let Some(range) = todo.next() {
                if let Err(error) = self.walk(ask, range, &mut sink, &mut tools) {
                    todo.give_up();
                    return Err(error);
                }
            }
            Ok(acc)
        })
    }

    /// Calls `each` for every event that `query` wants, in its order, from its cursor on, until `each`
    /// breaks; the limits of the query do not apply. Memory is bounded by a block. Descending, events that
    /// arrive meanwhile are left out; ascending, they are seen.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a block that may hold an answer is damaged.
    pub fn each(
        &self,
        query: &Query,
        each: impl FnMut(u64, &Event<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        let range = match (query.cursor, query.ascending) {
            (None, _) => 0..u64::MAX,
            (Some(it), true) => it.0..u64::MAX,
            (Some(it), false) => 0..it.0,
        };
        let order = if query.ascending { Order::Ascending } else { Order::Descending };
        self.walk(Ask::new(query, order), range, &mut Each(each), &mut Tools::new())
    }

    /// Calls `each` for every event in `range` that `query` wants (its types, sources, matches, since and until),
    /// in the order of the journal, until it breaks. Memory is bounded by a block. Safe while events arrive.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a block that may hold an answer is damaged.
    pub fn in_order(
        &self,
        query: &Query,
        range: Range<u64>,
        each: impl FnMut(u64, &Event<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        let ask = Ask::new(query, Order::Ascending);
        self.walk(ask, range, &mut Each(each), &mut Tools::new())
    }

    /// Shows `sink` what `ask` wants of the events in `range`, whatever is merged or pruned meanwhile.
    pub(super) fn walk(
        &self,
        ask: Ask<'_>,
        mut range: Range<u64>,
        sink: &mut dyn Sink,
        tools: &mut Tools,
    ) -> Result<(), QueryError> {
        while !range.is_empty() {
            let moves = self.index.moves();
            let header = match ask.order {
                Order::Descending => self.index.before(range.end),
                _ => self.index.at_or_after(range.start),
            };
            let overlaps = |it: &Arc<Header>| it.first < range.end && it.end() > range.start;
            let Some(header) = header.filter(overlaps) else { return Ok(()) };
            if ask.wants_block(&header) {
                let part = range.start.max(header.first)..range.end.min(header.end());
                let visit = Block { journal: self, header: &header, ask, range: part };
                match visit.show(sink, tools)? {
                    Visit::Done => {}
                    Visit::Stopped => return Ok(()),
                    // Nothing was shown yet: ask the index again.
                    Visit::Moved if self.index.has_moved(moves) => {
                        thread::yield_now();
                        continue;
                    }
                    Visit::Moved => return Err(QueryError::Damaged(header.first)),
                }
            }
            match ask.order {
                Order::Descending => range.end = range.end.min(header.first),
                _ => range.start = range.start.max(header.end()),
            }
        }
        Ok(())
    }

    /// The chunk of a part of a sealed block; `None` if it was pruned since its header was read.
    pub(super) fn chunk(&self, header: &Header, part: &Part) -> Result<Option<Chunk>, QueryError> {
        loop {
            let moves = self.index.moves();
            if let Some(value) = self.table.get(&block::chunk_key(header.first, part.chunk))? {
                let chunk = Chunk::open(value).map_err(|_| QueryError::Damaged(header.first))?;
                let same = chunk.len() == part.count as usize
                    && chunk.event_type() == part.event_type.as_ref();
                return if same { Ok(Some(chunk)) } else { Err(QueryError::Damaged(header.first)) };
            }
            if !self.index.has_moved(moves) {
                let has = |it: &Arc<Header>| it.parts.iter().any(|it| it.chunk == part.chunk);
                return match self.index.at_or_after(header.first).filter(has) {
                    Some(_) => Err(QueryError::Damaged(header.first)),
                    None => Ok(None),
                };
            }
            thread::yield_now();
        }
    }
}

/// Runs `work` on as many threads as there are cores, of low priority.
pub(super) fn in_parallel<T: Send>(
    work: impl Fn() -> Result<T, QueryError> + Sync,
) -> Result<Vec<T>, QueryError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        telemetry::lower_priority();
        work()
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |it: thread::ScopedJoinHandle<'_, Result<T, QueryError>>| {
            it.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().map(join).collect()
    })
}

/// The blocks of a fold that no thread has taken yet.
struct Todo<'f> {
    journal: &'f Journal,
    ask: Ask<'f>,
    /// Where the fold ends.
    end: u64,
    /// Up to where blocks were taken.
    at: Mutex<u64>,
}

impl Todo<'_> {
    /// The next run of sequence numbers to look at. A run and not a block: the blocks may be merged
    /// before they are read.
    fn next(&self) -> Option<Range<u64>> {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let header = self.journal.index.at_or_after(*at).filter(|it| it.first < self.end)?;
            let range = header.first.max(*at)..header.end().min(self.end);
            *at = header.end();
            if self.ask.wants_block(&header) {
                return Some(range);
            }
        }
    }

    fn give_up(&self) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = u64::MAX;
    }
}

/// A visit to one block.
struct Block<'v> {
    journal: &'v Journal,
    header: &'v Header,
    ask: Ask<'v>,
    /// The sequence numbers that matter, all of the block.
    range: Range<u64>,
}

impl Block<'_> {
    fn show(&self, sink: &mut dyn Sink, tools: &mut Tools) -> Result<Visit, QueryError> {
        match (self.header.form, self.ask.order) {
            (Form::Small | Form::Rows, _) => self.show_rows(sink),
            (Form::Sealed, Order::Any) => self.show_chunks(sink, tools),
            (Form::Sealed, _) => self.show_in_order(sink, tools),
        }
    }

    fn damaged(&self, _: DecodeError) -> QueryError {
        QueryError::Damaged(self.header.first)
    }

    fn show_rows(&self, sink: &mut dyn Sink) -> Result<Visit, QueryError> {
        let Some(rows) = self.journal.rows(self.header)? else { return Ok(Visit::Moved) };
        let mut later = Vec::new();
        for (seq, event) in (self.header.first..).zip(segment::events(&rows)) {
            let event = event.map_err(|it| self.damaged(it))?;
            if !self.range.contains(&seq) || !self.ask.wants(&event) {
                continue;
            }
            if self.ask.order == Order::Descending {
                later.push((seq, event));
            } else if sink.event(seq, &event).is_break() {
                return Ok(Visit::Stopped);
            }
        }
        for (seq, event) in later.into_iter().rev() {
            if sink.event(seq, &event).is_break() {
                return Ok(Visit::Stopped);
            }
        }
        Ok(Visit::Done)
    }

    /// The chunks that are wanted, and which of their events are.
    fn chunks(&self) -> impl Iterator<Item = Result<Chunk, QueryError>> {
        let wanted = self.header.parts.iter().filter(|it| self.ask.wants_part(it));
        wanted.filter_map(|it| self.journal.chunk(self.header, it).transpose())
    }

    /// Shows a chunk after the other: one is in memory at a time.
    fn show_chunks(&self, sink: &mut dyn Sink, tools: &mut Tools) -> Result<Visit, QueryError> {
        let Tools { unpacker, scratch } = tools;
        let damaged = |it| self.damaged(it);
        for chunk in self.chunks() {
            let chunk = chunk?;
            let mut wanted = filter::select(&chunk, self.header, &self.ask, &self.range, unpacker)
                .map_err(damaged)?;
            if let Some(tally) = sink.tally().filter(|_| !chunk.is_mixed()) {
                let times = chunk.times(unpacker).map_err(damaged)?;
                for (it, time) in wanted.iter_mut().zip(times) {
                    if *it == Wanted::Yes {
                        tally(chunk.event_type(), Time::from_nanos(*time));
                        *it = Wanted::No;
                    }
                }
            }
            if !filter::any(&wanted) {
                continue;
            }
            let events = chunk.events(unpacker).map_err(damaged)?;
            for (i, wanted) in wanted.into_iter().enumerate() {
                if wanted == Wanted::No {
                    continue;
                }
                let event = events.get(i, scratch).map_err(damaged)?;
                let position = events.positions.get(i).copied().unwrap_or_default();
                let seq = self.header.first.saturating_add_signed(position);
                if (wanted == Wanted::Yes || self.ask.wants(&event))
                    && sink.event(seq, &event).is_break()
                {
                    return Ok(Visit::Stopped);
                }
            }
        }
        Ok(Visit::Done)
    }

    /// Shows the events in order: all chunks that are wanted are in memory.
    fn show_in_order(&self, sink: &mut dyn Sink, tools: &mut Tools) -> Result<Visit, QueryError> {
        let Tools { unpacker, scratch } = tools;
        let damaged = |it| self.damaged(it);
        let mut chunks = Vec::new();
        let mut found = Vec::new();
        for chunk in self.chunks() {
            let chunk = chunk?;
            let wanted = filter::select(&chunk, self.header, &self.ask, &self.range, unpacker)
                .map_err(damaged)?;
            if filter::any(&wanted) {
                let positions = chunk.positions(unpacker).map_err(damaged)?;
                let events = wanted.into_iter().zip(positions).enumerate();
                let events = events.filter(|(_, (wanted, _))| *wanted != Wanted::No);
                found.extend(events.map(|(i, (wanted, at))| (*at, chunks.len(), i, wanted)));
                chunks.push(chunk);
            }
        }
        found.sort_unstable();
        if self.ask.order == Order::Descending {
            found.reverse();
        }
        let events = chunks.iter().map(|it| it.events(unpacker)).collect::<Result<Vec<_>, _>>();
        let events = events.map_err(damaged)?;
        for (position, chunk, i, wanted) in found {
            let Some(chunk) = events.get(chunk) else { continue };
            let event = chunk.get(i, scratch).map_err(damaged)?;
            let seq = self.header.first.saturating_add_signed(position);
            if (wanted == Wanted::Yes || self.ask.wants(&event))
                && sink.event(seq, &event).is_break()
            {
                return Ok(Visit::Stopped);
            }
        }
        Ok(Visit::Done)
    }
}
