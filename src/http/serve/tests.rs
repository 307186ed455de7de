use super::*;
use axum::Router;
use axum::routing::get;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

const MAX_WAIT: Duration = Duration::from_secs(5);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

struct Running {
    address: SocketAddr,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

async fn run(config: Config) -> Running {
    let slow = || async {
        sleep(Duration::from_millis(200)).await;
        "slow"
    };
    let router = Router::new().route("/", get(async || "fast")).route("/slow", get(slow));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
    let metrics = Metrics::register(&mut Registry::default());
    let server = Server::new(router.into(), &config, metrics);
    tasks.spawn(server.run(listener, stopping.clone(), tasks.clone()));
    Running { address, stopping, tasks }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Stops, and waits until the last connection has ended.
    async fn stop(self) {
        self.stopping.cancel();
        self.tasks.close();
        timeout(MAX_WAIT, self.tasks.wait()).await.unwrap();
    }
}

/// Reads until `end`, or until the peer closes.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut res = Vec::new();
    while !String::from_utf8_lossy(&res).ends_with(end) || end.is_empty() {
        match timeout(MAX_WAIT, stream.read_buf(&mut res)).await.unwrap() {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    String::from_utf8(res).unwrap()
}

#[tokio::test]
async fn a_stop_answers_what_has_begun_and_closes_the_rest() {
    let running = run(Config::default()).await;
    let mut idle = running.connect().await;
    idle.write_all(REQUEST).await.unwrap();
    assert!(read_until(&mut idle, "fast").await.starts_with("HTTP/1.1 200"));
    let mut busy = running.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let half = running.connect().await;
    sleep(Duration::from_millis(50)).await;

    let address = running.address;
    let (answer, ()) = tokio::join!(read_until(&mut busy, ""), running.stop());
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("slow"), "{answer}");
    assert_eq!(read_until(&mut idle, "").await, "");
    drop(half);
    assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let config = Config { header_timeout: Duration::from_millis(100), ..Config::default() };
    let running = run(config).await;
    let mut silent = running.connect().await;
    let mut slow = running.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    for stream in [&mut silent, &mut slow] {
        let text = read_until(stream, "").await;
        assert!(!text.contains("200"), "{text}");
    }
    running.stop().await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait() {
    let running = run(Config { max_connections: 1, ..Config::default() }).await;
    let mut first = running.connect().await;
    first.write_all(REQUEST).await.unwrap();
    read_until(&mut first, "fast").await;
    let mut second = running.connect().await;
    second.write_all(REQUEST).await.unwrap();
    let early = timeout(Duration::from_millis(100), second.read_u8()).await;
    assert!(early.is_err(), "the second was served beside the first");
    drop(first);
    assert!(read_until(&mut second, "fast").await.starts_with("HTTP/1.1 200"));
    running.stop().await;
}
