//! A connection whose peer must keep at it: send a head that it has begun, send another request or hang
//! up, and read the answer.
//!
//! hyper's own timeout for heads makes and registers a timer per request, and cannot tell a head that has
//! begun from a connection that rests. Here one timer serves a connection for its life: a deadline is a
//! number, and the timer is moved only when it goes off too early.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// From the connection or the first byte of a head to its last.
    pub(super) head: Duration,
    /// Between an answer and the next request.
    pub(super) idle: Duration,
    /// Without reading anything of an answer that waits.
    pub(super) write: Duration,
}

/// What a connection is at.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase(Arc<Work>);

#[derive(Debug, Default)]
struct Work {
    /// How often it began and ended to work on a request: odd while it does.
    turns: AtomicU32,
    /// Whether the answer under way ends only with the server.
    endless: AtomicBool,
}

/// A request is being worked on until this is dropped.
#[derive(Debug)]
pub(super) struct Busy(Phase);

/// A stream that fails when its peer takes too long.
pub(super) struct Watched<T> {
    inner: T,
    timeouts: Timeouts,
    phase: Phase,
    /// The phase at the last look.
    seen: u32,
    /// Whether a byte has come since that phase began.
    begun: bool,
    /// When the peer must have sent what is waited for; set when the wait begins.
    deadline: Option<Instant>,
    reading: Option<Pin<Box<Sleep>>>,
    /// Set while a write is pending.
    writing: Option<Pin<Box<Sleep>>>,
}

impl Phase {
    pub(super) fn begin(&self) -> Busy {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    pub(super) fn is_endless(&self) -> bool {
        self.0.endless.load(Ordering::Relaxed)
    }
}

impl Busy {
    /// Whether the answer ends only with the server.
    pub(super) fn endless(&self, yes: bool) {
        self.0.0.endless.store(yes, Ordering::Relaxed);
    }

    /// Leaves the connection to somebody who watches it differently: the peer may be silent for any time.
    pub(super) fn for_ever(self) {
        // The turn that ends when this is dropped is followed by another one.
        self.0.0.turns.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.turns.fetch_add(1, Ordering::Relaxed);
    }
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T, timeouts: Timeouts, phase: Phase) -> Self {
        let (seen, begun, deadline, reading, writing) = (0, false, None, None, None);
        Self { inner, timeouts, phase, seen, begun, deadline, reading, writing }
    }

    fn look(&mut self) {
        let phase = self.phase.0.turns.load(Ordering::Relaxed);
        if phase != self.seen {
            (self.seen, self.begun, self.deadline) = (phase, false, None);
        }
    }

    /// Fails when nothing has come for too long.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.seen % 2 == 1 {
            return Poll::Pending;
        }
        let Timeouts { head, idle, .. } = self.timeouts;
        let timeout = if self.begun || self.seen == 0 { head } else { idle };
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + timeout);
        let timer = self.reading.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// Fails when a write makes no progress for too long: what is kept for a peer that does not read
    /// would be kept for good.
    fn poll_stall<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if poll.is_ready() {
            self.writing = None;
            return poll;
        }
        let timeout = self.timeouts.write;
        let timer =
            self.writing.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + timeout)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.look();
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.inner).poll_read(cx, buf);
        if poll.is_pending() {
            return self.poll_deadline(cx).map(Err);
        }
        if !self.begun && buf.filled().len() > before {
            self.begun = true;
            self.deadline = None;
        }
        poll
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.poll_stall(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.poll_stall(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_flush(cx);
        self.poll_stall(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.poll_stall(cx, poll)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    const SHORT: Duration = Duration::from_millis(40);
    const LONG: Duration = Duration::from_secs(60);

    fn watched(head: Duration, idle: Duration) -> (Watched<DuplexStream>, DuplexStream, Phase) {
        let (near, far) = duplex(8);
        let phase = Phase::default();
        let timeouts = Timeouts { head, idle, write: SHORT };
        (Watched::new(near, timeouts, phase.clone()), far, phase)
    }

    /// Whether a read gives up within five times the short timeout.
    async fn gives_up(near: &mut Watched<DuplexStream>) -> bool {
        match timeout(5 * SHORT, near.read_u8()).await {
            Ok(res) => res.unwrap_err().kind() == io::ErrorKind::TimedOut,
            Err(_) => false,
        }
    }

    #[tokio::test]
    async fn a_reader_that_stops_is_given_up() {
        let (mut near, mut far, _) = watched(LONG, LONG);
        near.write_all(b"12345678").await.unwrap();
        far.read_exact(&mut [0; 8]).await.unwrap();
        near.write_all(b"12345678").await.unwrap();
        let error = near.write_all(b"9").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_new_connection_must_speak() {
        let (mut near, _far, _) = watched(SHORT, LONG);
        assert!(gives_up(&mut near).await);
    }

    #[tokio::test]
    async fn a_connection_may_rest_but_not_within_a_head() {
        let (mut near, mut far, phase) = watched(SHORT, LONG);
        drop(phase.begin());
        assert!(!gives_up(&mut near).await);
        far.write_all(b"G").await.unwrap();
        near.read_u8().await.unwrap();
        assert!(gives_up(&mut near).await);
    }

    #[tokio::test]
    async fn a_rest_ends() {
        let (mut near, _far, phase) = watched(LONG, SHORT);
        drop(phase.begin());
        assert!(gives_up(&mut near).await);
    }

    #[tokio::test]
    async fn work_may_take_its_time() {
        let (mut near, _far, phase) = watched(SHORT, SHORT);
        let busy = phase.begin();
        assert!(!gives_up(&mut near).await);
        drop(busy);
        assert!(gives_up(&mut near).await);
    }
}
