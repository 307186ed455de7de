//! An HTTP server that people's webhooks lead to.

use serde_json::Value;
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    /// When it was there whole.
    pub(crate) at: Instant,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    /// What it was answered; 0: nothing.
    pub(crate) status: u16,
}

/// What a request is answered, by those who look at it.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// 0 leaves it without an answer.
    pub(crate) status: u16,
    /// Further header lines.
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// A running sink.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    pub(crate) addr: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

/// What a request is answered: a status and further header lines; 0 leaves it without an answer.
pub(crate) type Answer = (u16, &'static str);

impl Sink {
    /// Answers the nth request, of all, as `answer` says.
    pub(crate) fn start(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with(move |n, _| {
            let (status, headers) = answer(n);
            Reply { status, headers: headers.to_owned(), body: "ok".to_owned() }
        })
    }

    /// Answers the nth request as `answer` says of it. Its status is not known then.
    pub(crate) fn start_with(
        answer: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answer)
    }

    /// The same at an address that was free.
    pub(crate) fn start_at(
        addr: SocketAddr,
        answer: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(addr).unwrap();
        let res = Self { addr: listener.local_addr().unwrap(), got: Arc::default() };
        let (got, answer) = (res.got.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (got, answer) = (got.clone(), answer.clone());
                thread::spawn(move || serve(stream.unwrap(), &got, &*answer));
            }
        });
        res
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    /// What was answered with a 2xx, and the JSON of its body.
    pub(crate) fn taken(&self) -> Vec<(Got, Value)> {
        let taken = self.got().into_iter().filter(|it| (200..300).contains(&it.status));
        taken.map(|it| (it.clone(), serde_json::from_str(&it.body).unwrap())).collect()
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

/// Serves one connection until its end.
fn serve(
    stream: TcpStream,
    got: &Mutex<Vec<Got>>,
    answer: &dyn Fn(usize, &Got) -> Reply,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let path = line.split(' ').nth(1)?.to_owned();
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let len = headers.get("content-length")?.parse().ok()?;
        let mut body = vec![0; len];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).unwrap();
        let reply = {
            let mut got = got.lock().unwrap();
            let mut new = Got { at: Instant::now(), path, headers, body, status: 0 };
            let reply = answer(got.len(), &new);
            new.status = reply.status;
            got.push(new);
            reply
        };
        let Reply { status, headers, body } = reply;
        if status == 0 {
            thread::sleep(Duration::from_secs(3));
            return None;
        }
        let answer =
            format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).ok()?;
    }
}
