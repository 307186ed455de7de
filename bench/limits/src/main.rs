//! What a server of this kind cannot beat: it does the unavoidable part of the work and nothing else.
//!
//! `limits bare PORT` reads the body of every request and answers 202.
//! `limits parse PORT` also parses the body as a batch of events, and stores nothing.
//! `limits expose PORT SERIES` answers GET with that many series: label blocks are copied, numbers are
//! formatted, and the page is compressed with gzip level 1 if the client takes that.
//!
//! `limits watch PORT CLIENTS RATE SECONDS` is no server but a load: it posts events to one and watches its stream.

mod watch;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::net::TcpListener;

#[derive(Clone)]
enum Work {
    Bare,
    Parse,
    Expose(Arc<[Series]>),
}

struct Series {
    /// `name{label="value",...} `, ready to be copied.
    prefix: Box<str>,
    /// The bits of an `f64`.
    value: AtomicU64,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|it| it.parse::<usize>().ok());
    if let (Some("watch"), Some(port), Some(clients), Some(rate), Some(seconds)) =
        (arguments.first().map(String::as_str), number(1), number(2), number(3), number(4))
    {
        let port = u16::try_from(port).expect("a port");
        return watch::run(port, clients, rate, seconds);
    }
    let work = match (arguments.first().map(String::as_str), number(2)) {
        (Some("bare"), _) => Work::Bare,
        (Some("parse"), _) => Work::Parse,
        (Some("expose"), Some(series)) => Work::Expose((0..series).map(Series::new).collect()),
        _ => panic!(
            "usage: limits bare|parse PORT | limits expose PORT SERIES | limits watch PORT CLIENTS RATE SECONDS"
        ),
    };
    let port = number(1).and_then(|it| u16::try_from(it).ok()).expect("a port");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(serve(port, work));
}

async fn serve(port: u16, work: Work) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let work = work.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, work.clone()));
            let connection = hyper::server::conn::http1::Builder::new();
            // A client that goes away is the client's business.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    work: Work,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    if let Work::Expose(series) = work {
        return Ok(page(&request, &series));
    }
    let body = request.into_body().collect().await?.to_bytes();
    let good = match work {
        Work::Parse => parse(&body) > 0,
        Work::Bare | Work::Expose(_) => true,
    };
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = if good { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST };
    Ok(response)
}

/// The number of events in a batch; each is read as far as a store would have to.
fn parse(body: &[u8]) -> usize {
    let events: Vec<Event<'_>> = serde_json::from_slice(body).unwrap_or_default();
    let whole = |it: &&Event<'_>| {
        !it.event_type.is_empty() && !it.source.is_empty() && it.data.get().starts_with('{')
    };
    events.iter().filter(whole).count()
}

fn page(request: &Request<Incoming>, series: &[Series]) -> Response<Full<Bytes>> {
    let mut page = Vec::new();
    page.extend_from_slice(
        b"# HELP bench_builds_total Builds.\n# TYPE bench_builds_total counter\n",
    );
    let mut buffer = zmij::Buffer::new();
    for it in series {
        page.extend_from_slice(it.prefix.as_bytes());
        let value = f64::from_bits(it.value.load(Ordering::Relaxed));
        page.extend_from_slice(buffer.format(value).as_bytes());
        page.push(b'\n');
    }
    let accepted = request.headers().get(header::ACCEPT_ENCODING);
    let gzip = accepted.and_then(|it| it.to_str().ok()).is_some_and(|it| it.contains("gzip"));
    let mut response =
        Response::builder().header(header::CONTENT_TYPE, "text/plain; version=0.0.4");
    if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(1));
        encoder.write_all(&page).unwrap();
        page = encoder.finish().unwrap();
        response = response.header(header::CONTENT_ENCODING, "gzip");
    }
    response.body(Full::new(page.into())).unwrap()
}

impl Series {
    /// The series that event number `at` of bench/run.py makes, with a value of as many digits.
    fn new(at: usize) -> Self {
        let status = ["success", "failure", "cancelled", "other"][at % 4];
        let prefix = format!(
            "bench_builds_total{{repository=\"org-{}/service-{}\",branch=\"release-{}\",status=\"{status}\",runner=\"r-{:03}\"}} ",
            at / 400 % 40,
            at / 400,
            at / 200 % 2,
            at / 4 % 50,
        );
        let value = (at % 100_000) as f64 + 0.25;
        Self { prefix: prefix.into(), value: AtomicU64::new(value.to_bits()) }
    }
}
