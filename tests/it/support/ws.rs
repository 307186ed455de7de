//! A client of web sockets of the plainest kind: text, and no mask to speak of.

use super::http::{self, Response};
use serde_json::Value;
use std::{
    io::{self, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct Ws(BufReader<TcpStream>);

/// What the server says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Text(String),
    Ping,
    Pong,
    Close(u16, String),
}

impl Ws {
    /// Connects, or hands back why it may not.
    pub(crate) fn open(
        addr: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Response> {
        let mut stream = http::connect(addr).unwrap();
        let mut head = format!(
            "GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all((head + "\r\n").as_bytes()).unwrap();
        let mut connection = BufReader::new(stream);
        let switched = connection.get_ref().try_clone().unwrap();
        let mut first = [0; 12];
        switched.peek(&mut first).unwrap();
        let bodiless = first.ends_with(b"101");
        let response = Response::read(&mut connection, bodiless).unwrap();
        if response.status == 101 { Ok(Self(connection)) } else { Err(response) }
    }

    pub(crate) fn say(&mut self, text: &str) {
        let len = u8::try_from(text.len()).unwrap();
        assert!(len < 126);
        let frame = [&[0x81, 0x80 | len, 0, 0, 0, 0], text.as_bytes()].concat();
        self.0.get_mut().write_all(&frame).unwrap();
    }

    pub(crate) fn hear(&mut self) -> io::Result<Said> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head)?;
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let len = match head[1] {
            126 => {
                let mut len = [0; 2];
                self.0.read_exact(&mut len)?;
                usize::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                self.0.read_exact(&mut len)?;
                usize::try_from(u64::from_be_bytes(len)).unwrap()
            }
            it => usize::from(it),
        };
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok(match head[0] & 0x0f {
            1 => Said::Text(text(&payload)),
            8 => Said::Close(u16::from_be_bytes([payload[0], payload[1]]), text(&payload[2..])),
            9 => Said::Ping,
            10 => Said::Pong,
            other => panic!("opcode {other}"),
        })
    }

    /// The next message, as JSON.
    #[track_caller]
    pub(crate) fn json(&mut self) -> Value {
        loop {
            match self.hear().unwrap() {
                Said::Text(it) => return serde_json::from_str(&it).unwrap(),
                Said::Ping | Said::Pong => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code and the reason with which the server closes.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> (u16, Value) {
        loop {
            if let Said::Close(code, reason) = self.hear().unwrap() {
                return (code, serde_json::from_str(&reason).unwrap());
            }
        }
    }
}
