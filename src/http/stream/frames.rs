//! Events as they are sent: written once, and shared by whoever wants them.

use crate::event::Event;
use crate::http::error::ApiError;
use crate::http::events;
use crate::journal;
use axum::extract::ws::Utf8Bytes;
use bytes::{Bytes, BytesMut};
use std::{ops::Range, sync::OnceLock};

/// A step is full when it has so much text, or so many events. Small enough that a reader who stops reading keeps
/// little from being freed.
const STEP_BYTES: usize = 32 << 10;
const STEP_EVENTS: usize = 256;

/// Consecutive events, written for event streams: `id`, `event` and `data` of each.
#[derive(Debug)]
pub(super) struct Step {
    /// The sequence numbers that this is about. Not every one has an event: some were not asked for, or are gone.
    pub(super) range: Range<u64>,
    frames: Vec<Frame>,
    text: Bytes,
}

/// One event of a step.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) seq: u64,
    /// To see who wants it; `None` if everyone who has the step does.
    event: Option<Event<'static>>,
    /// Where in the text it is, and its JSON.
    place: Range<usize>,
    json: Range<usize>,
    /// The WebSocket message, written when the first reader wants it.
    message: OnceLock<Utf8Bytes>,
}

/// The events of a step that one reader wants.
#[derive(Debug)]
pub(super) struct Picked<'s> {
    step: &'s Step,
    /// Runs of neighbours.
    runs: Vec<Range<usize>>,
}

/// A step that is being written.
#[derive(Debug)]
pub(super) struct Builder {
    first: u64,
    frames: Vec<Frame>,
    text: Vec<u8>,
    /// Whether readers will choose among the events.
    choosable: bool,
}

// === impl Builder ===

impl Builder {
    pub(super) fn new(first: u64, choosable: bool) -> Self {
        Self { first, frames: Vec::new(), text: Vec::new(), choosable }
    }

    pub(super) fn is_full(&self) -> bool {
        self.text.len() >= STEP_BYTES || self.frames.len() >= STEP_EVENTS
    }

    pub(super) fn push(&mut self, seq: u64, event: &Event<'_>) -> Result<(), ApiError> {
        let start = self.text.len();
        self.text.extend_from_slice(format!("id: {seq}\nevent: event\ndata: ").as_bytes());
        let json = self.text.len();
        self.text.extend_from_slice(&events::shown(seq, event)?);
        // The data is as it was sent. Line breaks in it are white space: within strings they are escaped.
        for it in self.text.iter_mut().skip(json).filter(|it| matches!(it, b'\n' | b'\r')) {
            *it = b' ';
        }
        let json = json..self.text.len();
        self.text.extend_from_slice(b"\n\n");
        let event = self.choosable.then(|| journal::owned_event(event.clone()));
        let place = start..self.text.len();
        self.frames.push(Frame { seq, event, place, json, message: OnceLock::new() });
        Ok(())
    }

    /// The step, which goes up to `end`; the builder goes on from there.
    pub(super) fn take(&mut self, end: u64) -> Step {
        let next = Self::new(end, self.choosable);
        let Self { first, frames, text, .. } = std::mem::replace(self, next);
        Step { range: first..end, frames, text: text.into() }
    }
}

// === impl Step ===

impl Step {
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Bytes it takes in memory, about: the events are there twice if readers may choose.
    pub(super) fn size_bytes(&self) -> usize {
        let event = |it: &Frame| it.event.as_ref().map_or(0, |it| it.data.len() + 256);
        self.text.len() + self.frames.iter().map(event).sum::<usize>()
    }

    /// The events from `from` on that `wants` says yes to; nothing if there is none.
    pub(super) fn pick(&self, from: u64, wants: impl Fn(&Event<'_>) -> bool) -> Option<Picked<'_>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (at, frame) in self.frames.iter().enumerate() {
            if frame.seq < from || !frame.event.as_ref().is_none_or(&wants) {
                continue;
            }
            match runs.last_mut().filter(|it| it.end == at) {
                Some(last) => last.end = at + 1,
                None => runs.push(at..at + 1),
            }
        }
        (!runs.is_empty()).then_some(Picked { step: self, runs })
    }

    /// The JSON of an event, as the query API shows it.
    pub(super) fn json(&self, frame: &Frame) -> Bytes {
        self.text.slice(frame.json.clone())
    }

    /// The message of an event: `{"seq":7,"event":{...}}`.
    pub(super) fn message(&self, frame: &Frame) -> Utf8Bytes {
        let message = frame.message.get_or_init(|| {
            let json = self.text.get(frame.json.clone()).unwrap_or_default();
            let json = std::str::from_utf8(json).unwrap_or("null");
            format!("{{\"seq\":{},\"event\":{json}}}", frame.seq).into()
        });
        message.clone()
    }
}

// === impl Picked ===

impl<'s> Picked<'s> {
    pub(super) fn len(&self) -> usize {
        self.runs.iter().map(Range::len).sum()
    }

    /// Their text for an event stream: a part of the step's, unless some in between are not wanted.
    pub(super) fn text(&self) -> Bytes {
        let slice = |run: &Range<usize>| {
            let frame = |at: usize| self.step.frames.get(at).map(|it| it.place.clone());
            let start = frame(run.start).map_or(0, |it| it.start);
            let end = frame(run.end.saturating_sub(1)).map_or(start, |it| it.end);
            self.step.text.slice(start..end)
        };
        if let [run] = self.runs.as_slice() {
            return slice(run);
        }
        let mut res = BytesMut::new();
        self.runs.iter().for_each(|run| res.extend_from_slice(&slice(run)));
        res.freeze()
    }

    pub(super) fn frames(&self) -> impl Iterator<Item = &'s Frame> {
        let step = self.step;
        self.runs.iter().flat_map(move |run| step.frames.get(run.clone()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, Time};

    pub(in crate::http::stream) fn event(kind: &'static str, data: &'static str) -> Event<'static> {
        Event {
            id: EventId::Given("e".into()),
            event_type: kind.into(),
            source: "s".into(),
            time: Time::from_millis(1_767_607_200_000),
            received: Time::from_millis(1_767_607_200_000),
            time_clamped: false,
            subject: None,
            trace: None,
            data: data.into(),
        }
    }

    fn step(kinds: &[&'static str]) -> Step {
        let mut builder = Builder::new(5, true);
        for (seq, kind) in (5..).zip(kinds) {
            builder.push(seq, &event(kind, "{}")).unwrap();
        }
        builder.take(5 + kinds.len() as u64)
    }

    fn ids(text: &Bytes) -> Vec<u64> {
        let text = std::str::from_utf8(text).unwrap();
        text.lines().filter_map(|it| it.strip_prefix("id: ")?.parse().ok()).collect()
    }

    #[test]
    fn who_wants_all_shares_the_text() {
        let step = step(&["a", "b", "a"]);
        let all = step.pick(0, |_| true).unwrap();
        assert_eq!((all.len(), ids(&all.text())), (3, vec![5, 6, 7]));
        assert_eq!(all.text().as_ptr(), step.text.as_ptr());
        assert_eq!(ids(&step.pick(6, |_| true).unwrap().text()), [6, 7]);
        let some = step.pick(0, |it| it.event_type == "a").unwrap();
        assert_eq!((some.len(), ids(&some.text())), (2, vec![5, 7]));
        assert_eq!(some.frames().map(|it| it.seq).collect::<Vec<_>>(), [5, 7]);
        assert!(step.pick(8, |_| true).is_none() && step.pick(0, |_| false).is_none());
    }

    #[test]
    fn an_event_is_one_line_whatever_was_sent() {
        let mut builder = Builder::new(1, false);
        builder.push(1, &event("a", "{\n  \"x\": \"a\\nb\",\r\n  \"y\": 1}")).unwrap();
        let step = builder.take(2);
        let picked = step.pick(0, |_| false).unwrap();
        let text = String::from_utf8(picked.text().to_vec()).unwrap();
        assert_eq!(text.lines().count(), 4, "{text}");
        let frame = picked.frames().next().unwrap();
        let message: serde_json::Value = serde_json::from_str(&step.message(frame)).unwrap();
        assert_eq!((&message["seq"], &message["event"]["data"]["x"]), (&1.into(), &"a\nb".into()));
        let json: serde_json::Value = serde_json::from_slice(&step.json(frame)).unwrap();
        assert_eq!(json, message["event"]);
        assert_eq!(step.message(frame).as_ptr(), step.message(frame).as_ptr());
    }

    #[test]
    fn steps_are_bounded() {
        let mut builder = Builder::new(1, true);
        let mut seq = 0;
        while !builder.is_full() {
            seq += 1;
            builder.push(seq, &event("a", "{}")).unwrap();
        }
        assert!(seq <= STEP_EVENTS as u64);
        let step = builder.take(seq + 1);
        assert!(step.text.len() < 2 * STEP_BYTES && step.size_bytes() > step.text.len());
        assert_eq!(
            (step.range.clone(), builder.take(seq + 5).range),
            (1..seq + 1, seq + 1..seq + 5)
        );
    }
}
