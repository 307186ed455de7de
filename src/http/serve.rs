//! The accept loop: bounded connections, timeouts, and an end.

mod watch;

use super::Config;
use super::endpoint::{Connection, Endless, Surface};
use super::instruments::Metrics;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    fmt, io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use watch::{Busy, Phase, Timeouts, Watched};

/// How long to wait after an accept that failed for want of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a stream may take to end when the server stops.
const GOODBYE: Duration = Duration::from_secs(1);
/// An answer up to this size fits into the socket's buffer.
const SHORT_BYTES: u64 = 64 << 10;

/// Serves one surface on any number of listeners. A handle: clones share the bound on connections.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    http: http1::Builder,
    surface: Surface,
    timeouts: Timeouts,
    slots: Arc<Semaphore>,
    accepted: AtomicU64,
    metrics: Metrics,
}

impl Server {
    /// A server of `surface` within the bounds of `config`.
    #[must_use]
    pub fn new(surface: Surface, config: &Config, metrics: Metrics) -> Self {
        let mut http = http1::Builder::new();
        // Connections are watched by ours.
        http.header_read_timeout(None);
        let timeouts = Timeouts {
            head: config.header_timeout,
            idle: config.idle_timeout,
            write: config.write_timeout,
        };
        let shared = Shared {
            http,
            surface,
            timeouts,
            slots: Arc::new(Semaphore::new(config.max_connections)),
            accepted: AtomicU64::new(0),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Accepts connections on `listener` until `stopping` is cancelled, and then returns. The
    /// connections run on `tasks`: each answers what it has begun and closes. When
    /// [`Config::max_connections`] are open, more wait in the system's backlog.
    pub async fn run(self, listener: TcpListener, stopping: CancellationToken, tasks: TaskTracker) {
        let accept = async {
            loop {
                // The semaphore is never closed.
                let slots = self.shared.slots.clone();
                let Ok(slot) = slots.acquire_owned().await else { return };
                let Some((stream, peer)) = accept(&listener).await else { continue };
                let (shared, stopping) = (self.shared.clone(), stopping.clone());
                tasks.spawn(async move {
                    shared.connection((stream, peer), &stopping).await;
                    drop(slot);
                });
            }
        };
        let _ = stopping.run_until_cancelled(accept).await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.shared.slots.available_permits();
        f.debug_struct("Server").field("free_connections", &free).finish_non_exhaustive()
    }
}

async fn accept(listener: &TcpListener) -> Option<(TcpStream, IpAddr)> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Fails only on a socket that is closed already.
            stream.set_nodelay(true).ok();
            Some((stream, peer.ip()))
        }
        Err(error) => {
            if !is_of_the_peer(&error) {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl Shared {
    async fn connection(&self, (stream, peer): (TcpStream, IpAddr), stopping: &CancellationToken) {
        let _open = self.metrics.connection();
        let phase = Phase::default();
        let io = TokioIo::new(Watched::new(stream, self.timeouts, phase.clone()));
        let number = self.accepted.fetch_add(1, Ordering::Relaxed);
        let from = Connection { number, peer: Some(peer) };
        let service = service_fn(|request| answer(&self.surface, request, from, phase.begin()));
        let connection = self.http.serve_connection(io, service).with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let res = tokio::select! {
            res = connection.as_mut() => res,
            () = stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                if phase.is_endless() {
                    // A stream has told its client by now, unless the client does not read.
                    let _ = tokio::time::timeout(GOODBYE, connection).await;
                    return;
                }
                connection.await
            }
        };
        if let Err(error) = res {
            // Timeouts and clients that go away: their affair, and often.
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// Answers one request. The connection is busy until the answer is under way, or has ended if it is
/// long: a stream may be silent for any time.
async fn answer(
    surface: &Surface,
    request: Request<Incoming>,
    connection: Connection,
    busy: Busy,
) -> Result<Response<Body>, Infallible> {
    let response = surface.answer(request, connection).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        busy.for_ever();
        return Ok(response);
    }
    busy.endless(response.extensions().get::<Endless>().is_some());
    let short = response.body().size_hint().exact().is_some_and(|it| it <= SHORT_BYTES);
    if short {
        return Ok(response);
    }
    Ok(response.map(|body| Body::new(BusyBody { body, _busy: busy })))
}

/// A body that keeps its connection busy.
struct BusyBody {
    body: Body,
    _busy: Busy,
}

impl hyper::body::Body for BusyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
