//! `/metrics`: the scrape.

use super::encoding;
use super::encoding::Coding;
use super::endpoint::Call;
use super::error::ApiError;
use crate::exposition;
use crate::metrics::{Audience, Rendered, Scraper};
use crate::pipeline::ScrapeFormat;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, header};
use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use std::convert::Infallible;
use xxhash_rust::xxh3::xxh3_64;

/// `GET /metrics`: everything, in the format that the client asks for.
pub(super) async fn scrape(call: Call) -> Result<Response<Body>, ApiError> {
    let format = exposition::negotiate(accept(&call.headers).as_deref());
    let gzip = encoding::accepts(&call.headers, Coding::Gzip);
    let audience = audience(&call.headers, call.connection);
    let rendered = call.state.pipeline.scrape(ScrapeFormat { format, gzip }, audience).await;
    let length = rendered.len;
    let body = if call.method == Method::HEAD { Body::empty() } else { body(rendered) };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

fn body(rendered: Rendered) -> Body {
    let Rendered { chunks, .. } = rendered;
    let frames = (0..chunks.len()).map(move |i| {
        let chunk = chunks.get(i).cloned().unwrap_or_default();
        Ok::<Frame<Bytes>, Infallible>(Frame::data(chunk))
    });
    Body::new(StreamBody::new(futures_util::stream::iter(frames)))
}

/// The `Accept` headers as one.
fn accept(headers: &HeaderMap) -> Option<String> {
    let parts: Vec<_> =
        headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok()).collect();
    if parts.is_empty() { None } else { Some(parts.join(",")) }
}

/// The scrape timeout of a Prometheus that does not say.
const DEFAULT_TIMEOUT_MS: u32 = 10_000;

/// Whether it is a Prometheus that asks: it says how long it will wait, and what it is.
fn audience(headers: &HeaderMap, connection: u64) -> Audience {
    let agent = headers.get(header::USER_AGENT).map_or(&[][..], HeaderValue::as_bytes);
    let timeout = headers.get("x-prometheus-scrape-timeout-seconds");
    if timeout.is_none() && !agent.starts_with(b"Prometheus/") {
        return Audience::Person;
    }
    // A proxy has one connection for many: there its word tells them apart.
    let id = headers.get("x-forwarded-for").map_or(connection, |it| xxh3_64(it.as_bytes()));
    let timeout = timeout.and_then(|it| it.to_str().ok()).and_then(|it| it.parse::<f64>().ok());
    Audience::Prometheus(Scraper { id, timeout_ms: timeout.map_or(DEFAULT_TIMEOUT_MS, millis) })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn millis(seconds: f64) -> u32 {
    (seconds * 1e3) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks() {
        let check = |pairs: &[(&'static str, &str)], expected: Audience| {
            let pair = |(name, value): &(&'static str, &str)| {
                (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            };
            assert_eq!(audience(&pairs.iter().map(pair).collect(), 7), expected, "{pairs:?}");
        };
        let scraper = |id, timeout_ms| Audience::Prometheus(Scraper { id, timeout_ms });
        check(&[("user-agent", "curl/8.0")], Audience::Person);
        check(&[("user-agent", "Prometheus/3.5.3")], scraper(7, 10_000));
        let timeout = ("x-prometheus-scrape-timeout-seconds", "2.5");
        check(&[timeout], scraper(7, 2_500));
        check(&[timeout, ("x-forwarded-for", "10.0.0.1")], scraper(xxh3_64(b"10.0.0.1"), 2_500));
        check(&[("x-prometheus-scrape-timeout-seconds", "-1")], scraper(7, 0));
        check(&[("x-prometheus-scrape-timeout-seconds", "soon")], scraper(7, 10_000));
    }
}
