//! One question over HTTP/1.0, whose answer ends with the connection: enough for health checks and for the API of a
//! container engine, without a runtime.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// The most of an answer that is read.
const MOST_BYTES: u64 = 64 << 20;

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Whether `path` at `address` is answered with 200 within `timeout`.
///
/// # Errors
///
/// It is not; why.
pub fn healthy(address: SocketAddr, path: &str, timeout: Duration) -> Result<(), String> {
    match get_tcp(address, path, timeout) {
        Ok(it) if it.status == 200 => Ok(()),
        Ok(it) => Err(format!("answers {}", it.status)),
        Err(err) if err.kind() == io::ErrorKind::ConnectionRefused => {
            Err("does not listen".to_owned())
        }
        Err(err) if matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err("does not answer".to_owned())
        }
        Err(err) => Err(err.to_string()),
    }
}

/// Asks the server at `address` for `path`.
///
/// # Errors
///
/// There is none, it is silent for longer than `timeout`, or what it says is no HTTP.
pub fn get_tcp(address: SocketAddr, path: &str, timeout: Duration) -> io::Result<Answer> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    ask(stream, &address.to_string(), path)
}

/// Asks the server at the socket `socket` for `path`.
///
/// # Errors
///
/// There is none, it is silent for longer than `timeout`, or what it says is no HTTP.
pub fn get_unix(socket: &Path, path: &str, timeout: Duration) -> io::Result<Answer> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    ask(stream, "localhost", path)
}

fn ask(mut stream: impl Read + Write, host: &str, path: &str) -> io::Result<Answer> {
    let head = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    parse(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP"))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let header = |name: &str| {
        let mut found = lines.clone().filter_map(|it| it.split_once(':'));
        found.find(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1.trim())
    };
    let body = bytes.get(end + 4..)?;
    let whole = header("content-length").and_then(|it| it.parse::<usize>().ok());
    if whole.is_some_and(|it| it > body.len()) {
        return None;
    }
    let chunked = header("transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked"));
    let body = if chunked { unchunked(body)? } else { body.to_vec() };
    Some(Answer { status, body })
}

/// Some engines cut an answer into chunks whatever was asked.
fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = memchr::memmem::find(bytes, b"\r\n")?;
        let size = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let start = end + 2;
        body.extend_from_slice(bytes.get(start..start.checked_add(size)?)?);
        bytes = bytes.get(start + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpListener, thread};

    #[test]
    fn answers_are_read_whole_or_refused() {
        let check = |text: &str, expected: Option<(u16, &str)>| {
            let expected = expected.map(|(status, body)| Answer { status, body: body.into() });
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        };
        check("HTTP/1.0 200 OK\r\nA: b\r\n\r\nhello", Some((200, "hello")));
        check("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno", Some((503, "no")));
        check("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno", None);
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n",
            Some((200, "abcd")),
        );
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\na", None);
        check("SSH-2.0-OpenSSH\r\n\r\n", None);
        check("", None);
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let silent = thread::spawn(move || listener.accept());
        let short = Duration::from_millis(100);
        assert_eq!(healthy(address, "/", short), Err("does not answer".to_owned()));
        silent.join().unwrap().unwrap();
        assert_eq!(healthy(address, "/", short), Err("does not listen".to_owned()));
    }
}
