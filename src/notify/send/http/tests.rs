use super::*;
use std::{
    net::IpAddr,
    sync::atomic::{AtomicU16, AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// How often a name was asked for, and the port where all that it may mean listen.
static LOOKS: AtomicUsize = AtomicUsize::new(0);
static PORT: AtomicU16 = AtomicU16::new(0);

/// What a name means at each look, one after the other; only the first may be connected to.
const MEANINGS: &[&[&str]] = &[
    &["127.0.0.1"],
    &["0.0.0.0"],
    &["127.0.0.2", "0.0.0.0"],
    &["169.254.169.254"],
    &["127.0.0.2", "169.254.169.254"],
    &["::"],
    &["::ffff:0.0.0.0"],
    &["64:ff9b::7f00:1"],
    &["2002:7f00:1::"],
    &["fe80::1"],
    &["224.0.0.1"],
    &["255.255.255.255"],
    &[],
];

fn changing(_: String, _: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
    let look = LOOKS.fetch_add(1, Ordering::SeqCst);
    let port = PORT.load(Ordering::SeqCst);
    let all = MEANINGS[look].iter().map(|it| (it.parse::<IpAddr>().unwrap(), port).into());
    let all = all.collect();
    Box::pin(async move { Ok(all) })
}

/// Answers whoever comes and counts them. Each is a connection of its own, so that each is looked up.
async fn listen(at: SocketAddr) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(at).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let came = Arc::new(AtomicUsize::new(0));
    let count = came.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    (port, came)
}

/// The connection goes to what the one look that was judged said, and the next look is judged anew.
#[tokio::test]
async fn a_name_that_means_something_else_at_the_next_look_leads_nowhere() {
    let (port, good) = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await;
    let (_, other) = listen(SocketAddr::from(([127, 0, 0, 2], port))).await;
    PORT.store(port, Ordering::SeqCst);
    let guard = Guard { allow_private: true };
    let timeout = Duration::from_secs(5);
    let client = Client::with_lookup(guard, timeout, Time::default, changing).unwrap();
    client.check_name("rebinding.example.org", port).await.unwrap();
    assert_eq!((LOOKS.load(Ordering::SeqCst), good.load(Ordering::SeqCst)), (1, 1));
    for meaning in &MEANINGS[1..] {
        let error = client.check_name("rebinding.example.org", port).await.unwrap_err();
        let known = error.contains("never connected to") || error.contains("has no address");
        assert!(known, "{meaning:?}: {error}");
    }
    assert_eq!(LOOKS.load(Ordering::SeqCst), MEANINGS.len());
    assert_eq!((good.load(Ordering::SeqCst), other.load(Ordering::SeqCst)), (1, 0));
}
