//! Many readers of a live stream, and whoever makes the events: how long from the request to the frame?

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::{sleep_until, timeout},
};

/// Connections that post: enough that none waits for a disk.
const POSTERS: usize = 8;
const MARK: &[u8] = b"\"bench_n\":";
/// How long a reader waits for the last events.
const PATIENCE: Duration = Duration::from_secs(30);

/// When each event was sent, in microseconds since the start.
type Sent = Arc<[AtomicU64]>;

/// Prints one line of JSON: events, frames, frames that did not come, and percentiles of the latency in milliseconds.
pub fn run(port: u16, clients: usize, rate: usize, seconds: usize) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(load(port, clients, rate, seconds));
}

async fn load(port: u16, clients: usize, rate: usize, seconds: usize) {
    let events = rate * seconds;
    let start = Instant::now();
    let sent: Sent = (0..events).map(|_| AtomicU64::new(0)).collect();
    let (ready, mut all_ready) = mpsc::channel(clients);
    let readers: Vec<_> = (0..clients)
        .map(|_| tokio::spawn(watch(port, start, sent.clone(), ready.clone())))
        .collect();
    for _ in 0..clients {
        all_ready.recv().await.expect("every stream is answered 200");
    }
    let began = Instant::now();
    let posters: Vec<_> = (0..POSTERS)
        .map(|first| tokio::spawn(post(port, (first, rate), (start, began), sent.clone())))
        .collect();
    for it in posters {
        it.await.unwrap();
    }
    let mut latencies: Vec<u32> = Vec::with_capacity(clients * events);
    for it in readers {
        latencies.extend(it.await.unwrap());
    }
    let missing = clients * events - latencies.len();
    latencies.sort_unstable();
    let ms = |share: f64| {
        let at = (latencies.len() as f64 * share) as usize;
        f64::from(latencies.get(at.min(latencies.len().saturating_sub(1))).copied().unwrap_or(0))
            / 1e3
    };
    println!(
        "{{\"events\":{events},\"frames\":{},\"missing\":{missing},\"p50_ms\":{},\"p99_ms\":{},\"max_ms\":{}}}",
        latencies.len(),
        ms(0.5),
        ms(0.99),
        ms(1.0)
    );
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap()
}

/// Reads a stream until every event has come; the latencies in microseconds.
async fn watch(port: u16, start: Instant, sent: Sent, ready: mpsc::Sender<()>) -> Vec<u32> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = "GET /api/v1/stream?type=bench_live HTTP/1.1\r\nhost: bench\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut latencies = Vec::with_capacity(sent.len());
    let mut text: Vec<u8> = Vec::with_capacity(64 << 10);
    let mut is_ready = false;
    while latencies.len() < sent.len() {
        match timeout(PATIENCE, stream.read_buf(&mut text)).await {
            Ok(Ok(1..)) => {}
            _ => break,
        }
        if !is_ready && find(&text, b"event: hello").is_some() {
            assert!(text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&text));
            is_ready = true;
            ready.send(()).await.unwrap();
        }
        let whole = text.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
        let mut rest = &text[..whole];
        while let Some(at) = find(rest, MARK) {
            rest = &rest[at + MARK.len()..];
            let digits = rest.iter().take_while(|it| it.is_ascii_digit());
            let n = digits.fold(0, |acc, it| acc * 10 + usize::from(it - b'0'));
            let at = sent[n].load(Ordering::Relaxed);
            latencies.push(u32::try_from(micros(start) - at).unwrap());
        }
        text.drain(..whole);
    }
    latencies
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|it| it == what)
}

/// Posts every `POSTERS`th event from `first` on, each at its time.
async fn post(
    port: u16,
    (first, rate): (usize, usize),
    (start, began): (Instant, Instant),
    sent: Sent,
) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answer = vec![0; 4096];
    for n in (first..sent.len()).step_by(POSTERS) {
        let due = began + Duration::from_secs_f64(n as f64 / rate as f64);
        sleep_until(due.into()).await;
        let body = format!(
            "{{\"event_type\":\"bench_live\",\"source\":\"bench\",\"data\":{{\"bench_n\":{n},\"repository\":\"acme/web\",\"branch\":\"main\",\"status\":\"success\",\"duration_seconds\":31.5}}}}"
        );
        let request = format!(
            "POST /api/v1/events HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        sent[n].store(micros(start), Ordering::Relaxed);
        stream.write_all(request.as_bytes()).await.unwrap();
        let count = stream.read(&mut answer).await.unwrap();
        assert!(
            answer[..count].starts_with(b"HTTP/1.1 202"),
            "{}",
            String::from_utf8_lossy(&answer[..count])
        );
    }
}
