//! Server-sent events, read as they come.

use super::stream::Stream;
use crate::cli::Error;

/// What a stream of events says.
#[derive(Debug)]
pub(in crate::cli) struct ServerEvents {
    stream: Stream,
    lines: Lines,
}

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct ServerEvent {
    pub(in crate::cli) id: String,
    pub(in crate::cli) name: String,
    pub(in crate::cli) data: String,
}

/// Bytes that become events.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Up to where they are known to have no line break.
    seen: usize,
    event: ServerEvent,
}

impl ServerEvents {
    pub(in crate::cli) fn new(stream: Stream) -> Self {
        Self { stream, lines: Lines::default() }
    }

    /// How long the server may be silent.
    pub(in crate::cli) fn set_patience(&mut self, patience: std::time::Duration) {
        self.stream.set_patience(patience);
    }

    /// The next event; `None` after the last one.
    pub(in crate::cli) async fn next(&mut self) -> Result<Option<ServerEvent>, Error> {
        loop {
            if let Some(it) = self.lines.next() {
                return Ok(Some(it));
            }
            match self.stream.chunk().await? {
                Some(chunk) => self.lines.bytes.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

impl Lines {
    fn next(&mut self) -> Option<ServerEvent> {
        let mut start = 0;
        let mut res = None;
        while let Some(at) = memchr::memchr(b'\n', self.bytes.get(self.seen..)?) {
            let end = self.seen + at;
            let line = String::from_utf8_lossy(self.bytes.get(start..end)?).into_owned();
            (start, self.seen) = (end + 1, end + 1);
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.name.is_empty() || !event.data.is_empty() {
                    res = Some(event);
                    break;
                }
            }
            self.field(line);
        }
        self.bytes.drain(..start);
        self.seen = if res.is_some() { 0 } else { self.bytes.len() };
        res
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => value.clone_into(&mut self.event.id),
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // A comment, or how long to wait: tail has its own mind about that.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_the_bytes_come() {
        let text = "retry: 5\nid: 1\nevent: hello\ndata: {}\n\n: comment\r\n\r\nid: 2\r\ndata: a\r\ndata: b\r\n\r\nid: 3\nevent: x\n\n\nid: 4";
        let event = |id: &str, name: &str, data: &str| ServerEvent {
            id: id.to_owned(),
            name: name.to_owned(),
            data: data.to_owned(),
        };
        let expected = [event("1", "hello", "{}"), event("2", "", "a\nb"), event("3", "x", "")];
        for size in [1, 2, 3, 7, text.len()] {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for chunk in text.as_bytes().chunks(size) {
                lines.bytes.extend_from_slice(chunk);
                while let Some(it) = lines.next() {
                    found.push(it);
                }
            }
            assert_eq!(found, expected, "chunks of {size}");
        }
    }
}
