//! `/metrics`: the scrape.

use super::endpoint::Call;
use super::error::ApiError;
use crate::exposition;
use crate::metrics::{Audience, Rendered};
use crate::pipeline::ScrapeFormat;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, header};
use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use std::convert::Infallible;

/// `GET /metrics`: everything, in the format that the client asks for.
pub(super) async fn scrape(call: Call) -> Result<Response<Body>, ApiError> {
    let format = exposition::negotiate(accept(&call.headers).as_deref());
    let gzip = accepts_gzip(&call.headers);
    let audience = audience(&call.headers);
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

/// Whether gzip is among the codings that the client takes (RFC 9110, 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|it| it.to_str().ok());
    let mut any = None;
    for coding in values.flat_map(|it| it.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let refused = parts
            .filter_map(|it| it.strip_prefix("q="))
            .any(|it| it.trim().parse::<f32>().is_ok_and(|it| it <= 0.0));
        match name {
            "gzip" | "x-gzip" => return !refused,
            "*" => any = Some(!refused),
            _ => {}
        }
    }
    any.unwrap_or(false)
}

/// Whether it is a Prometheus that asks: it says how long it will wait, and what it is.
fn audience(headers: &HeaderMap) -> Audience {
    let agent = headers.get(header::USER_AGENT).map_or(&[][..], HeaderValue::as_bytes);
    let scrapes = headers.contains_key("x-prometheus-scrape-timeout-seconds");
    if scrapes || agent.starts_with(b"Prometheus/") {
        Audience::Prometheus
    } else {
        Audience::Person
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &header::HeaderName, values: &[&str]) -> HeaderMap {
        let value = |it: &&str| (name.clone(), HeaderValue::from_str(it).unwrap());
        values.iter().map(value).collect()
    }

    #[test]
    fn gzip_only_for_who_takes_it() {
        let check = |values: &[&str], expected: bool| {
            let headers = headers(&header::ACCEPT_ENCODING, values);
            assert_eq!(accepts_gzip(&headers), expected, "{values:?}");
        };
        check(&[], false);
        check(&["gzip"], true);
        check(&["deflate, gzip;q=1.0, *;q=0.5"], true);
        check(&["gzip;q=0"], false);
        check(&["gzip;q=0.0, *"], false);
        check(&["br", "gzip"], true);
        check(&["*"], true);
        check(&["*;q=0"], false);
        check(&["identity"], false);
    }

    #[test]
    fn who_asks() {
        let check = |name: &'static str, value: &str, expected: Audience| {
            let name = header::HeaderName::from_static(name);
            assert_eq!(audience(&headers(&name, &[value])), expected, "{value}");
        };
        check("user-agent", "Prometheus/3.5.3", Audience::Prometheus);
        check("user-agent", "curl/8.0", Audience::Person);
        check("x-prometheus-scrape-timeout-seconds", "10", Audience::Prometheus);
    }
}
