//! An HTTP server that people's webhooks lead to.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    /// What it was answered; 0: nothing.
    pub(crate) status: u16,
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
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
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

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

/// Serves one connection until its end.
fn serve(stream: TcpStream, got: &Mutex<Vec<Got>>, answer: &dyn Fn(usize) -> Answer) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
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
        let (status, more) = {
            let mut got = got.lock().unwrap();
            let answer = answer(got.len());
            got.push(Got { headers, body, status: answer.0 });
            answer
        };
        if status == 0 {
            thread::sleep(Duration::from_secs(3));
            return None;
        }
        let head = format!("HTTP/1.1 {status} X\r\n{more}content-length: 2\r\n\r\nok");
        stream.write_all(head.as_bytes()).ok()?;
    }
}
