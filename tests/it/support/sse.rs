//! A client of event streams of the plainest kind.

use super::http::{self, Response};
use serde_json::Value;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

/// A stream that is being read.
#[derive(Debug)]
pub(crate) struct Sse {
    connection: BufReader<TcpStream>,
    text: String,
}

/// One event of a stream.
#[derive(Clone, Debug)]
pub(crate) struct SseEvent {
    /// 0 if it has none.
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Sse {
    /// Opens `path`, which must be answered 200.
    pub(crate) fn open(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> io::Result<Self> {
        Self::open_over(http::connect(addr)?, addr, path, headers)
    }

    /// The same over a connection that the test made.
    pub(crate) fn open_over(
        mut stream: TcpStream,
        addr: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<Self> {
        let mut head = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        let mut connection = BufReader::new(stream);
        let response = Response::read(&mut connection, true)?;
        if response.status != 200 || response.header("content-type") != "text/event-stream" {
            return Err(io::Error::other(format!("{response:?}")));
        }
        Ok(Self { connection, text: String::new() })
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> io::Result<Option<SseEvent>> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let start = format!("{name}: ");
                    event.lines().find_map(|it| it.strip_prefix(&start)).unwrap_or_default()
                };
                let res = SseEvent {
                    id: match field("id") {
                        "" => 0,
                        it => it.parse().map_err(io::Error::other)?,
                    },
                    name: field("event").to_owned(),
                    data: serde_json::from_str(field("data")).map_err(io::Error::other)?,
                };
                self.text = rest.to_owned();
                return Ok(Some(res));
            }
            let mut line = String::new();
            if self.connection.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            let mut chunk = vec![0; size + 2];
            self.connection.read_exact(&mut chunk)?;
            chunk.truncate(size);
            if size == 0 {
                return Ok(None);
            }
            self.text.push_str(std::str::from_utf8(&chunk).map_err(io::Error::other)?);
        }
    }

    /// The next event with this name; others are passed over.
    #[track_caller]
    pub(crate) fn until(&mut self, name: &str) -> SseEvent {
        loop {
            let event = self.next().unwrap().unwrap_or_else(|| panic!("no {name} came"));
            if event.name == name {
                return event;
            }
        }
    }

    /// The numbers `n` of the next `count` events.
    #[track_caller]
    pub(crate) fn numbers(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.until("event").data["data"]["n"].as_u64().unwrap()).collect()
    }
}
