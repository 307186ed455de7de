//! A blocking HTTP/1.1 client of the plainest kind: it says what it was told to say, right or wrong.

use serde_json::Value;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// One kept-alive connection, reopened when the server closed it.
#[derive(Debug)]
pub(crate) struct Client {
    addr: SocketAddr,
    headers: Vec<(String, String)>,
    connection: Option<BufReader<TcpStream>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

const TIMEOUT: Duration = Duration::from_secs(60);

impl Client {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, headers: Vec::new(), connection: None }
    }

    /// Sends this header with every request from now on.
    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.request("GET", path, &[], b"")
    }

    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> Response {
        self.request("POST", path, &[("content-type", content_type)], body)
    }

    /// Posts `event` to the canonical route.
    #[track_caller]
    pub(crate) fn event(&mut self, event: &Value) -> Response {
        self.post("/api/v1/events", "application/json", event.to_string().as_bytes())
    }

    #[track_caller]
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        match self.try_request(method, path, headers, body) {
            Ok(it) => it,
            Err(it) => panic!("{method} {path}: {it}"),
        }
    }

    /// As [`Client::request`], for a server that may be killed in the middle.
    pub(crate) fn try_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let head = self.head(method, path, headers, body.len());
        let reused = self.connection.is_some();
        match self.exchange(&head, body, method == "HEAD") {
            // A kept connection may have been closed by the server between two requests.
            Err(_) if reused => self.exchange(&head, body, method == "HEAD"),
            other => other,
        }
    }

    /// As [`Client::try_request`], for a path of any bytes, over a connection of its own.
    pub(crate) fn try_raw_path(
        &mut self,
        method: &str,
        path: &[u8],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let head = self.head(method, "\0", headers, body.len());
        let (before, after) = head.split_once('\0').unwrap_or((&head, ""));
        let mut connection = BufReader::new(connect(self.addr)?);
        let request = [before.as_bytes(), path, after.as_bytes(), body].concat();
        connection.get_mut().write_all(&request)?;
        Response::read(&mut connection, method == "HEAD")
    }

    fn head(&self, method: &str, path: &str, headers: &[(&str, &str)], len: usize) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.addr);
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(headers.iter().copied()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if len > 0 || method == "POST" || method == "PUT" {
            head.push_str(&format!("content-length: {len}\r\n"));
        }
        head.push_str("\r\n");
        head
    }

    fn exchange(&mut self, head: &str, body: &[u8], bodiless: bool) -> io::Result<Response> {
        let mut connection = match self.connection.take() {
            Some(it) => it,
            None => BufReader::new(connect(self.addr)?),
        };
        let stream = connection.get_mut();
        stream.write_all(head.as_bytes())?;
        // A server that refuses a large body early may close before all of it is written; its answer
        // is read all the same.
        let written = stream.write_all(body);
        let response = Response::read(&mut connection, bodiless);
        if response.is_ok() && written.is_ok() && !response.as_ref().is_ok_and(Response::closes) {
            self.connection = Some(connection);
        }
        response
    }
}

/// A raw connection for a test that misbehaves.
pub(crate) fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Response {
    /// Reads one response.
    pub(crate) fn read(from: &mut impl BufRead, bodiless: bool) -> io::Result<Self> {
        let status_line = line(from)?;
        let status = status_line.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status =
            status.ok_or_else(|| io::Error::other(format!("no status: {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = line(from)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut response = Self { status, headers, body: Vec::new() };
        if status == 100 {
            return Self::read(from, bodiless);
        }
        if !bodiless && status != 204 && status != 304 {
            response.body = response.read_body(from)?;
        }
        Ok(response)
    }

    fn read_body(&self, from: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if self.header("transfer-encoding") == "chunked" {
            loop {
                let size =
                    usize::from_str_radix(line(from)?.trim(), 16).map_err(io::Error::other)?;
                let mut chunk = vec![0; size];
                from.read_exact(&mut chunk)?;
                body.append(&mut chunk);
                line(from)?;
                if size == 0 {
                    return Ok(body);
                }
            }
        }
        match self.header("content-length").parse() {
            Ok(len) => from.take(len).read_to_end(&mut body)?,
            Err(_) => from.read_to_end(&mut body)?,
        };
        Ok(body)
    }

    /// The value of header `name` (lower case), empty if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(it, _)| it == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(it) => it,
            Err(it) => panic!("{it} in the answer {}: {}", self.status, self.text()),
        }
    }

    /// Asserts the status; hands itself on.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    fn closes(&self) -> bool {
        self.header("connection").eq_ignore_ascii_case("close")
    }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}
