//! Answers in plain text, as Go's HTTP server and the Pushgateway's router have them.

use super::super::reply;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

/// Paths that a Pushgateway has, whose clients expect its words; and how it calls them when it counts.
const PATHS: [(&str, &str); 9] = [
    ("/metrics/job/{grouping}", "push"),
    ("/metrics/job@base64/{grouping}", "push"),
    ("/metrics", ""),
    ("/-/healthy", "healthy"),
    ("/-/ready", "ready"),
    ("/-/quit", ""),
    ("/api/v1/metrics", "api/v1/metrics"),
    ("/api/v1/status", "api/v1/status"),
    ("/api/v1/admin/wipe", "wipe"),
];

const NOSNIFF: (HeaderName, HeaderValue) =
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));

/// What the Pushgateway's JSON API says to browsers of other sites.
const CORS: [(HeaderName, HeaderValue); 5] = [
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Accept, Authorization, Content-Type, Origin"),
    ),
    (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE, OPTIONS")),
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Date")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate")),
];

/// Whether errors at this path of the route table are plain text.
pub(in super::super) fn answers_plainly(path: &str) -> bool {
    PATHS.iter().any(|(it, _)| *it == path)
}

/// What `pushgateway_http_requests_total` calls a request, if it counts it.
pub(in super::super) fn handler_name(path: &str, method: &Method) -> Option<&'static str> {
    let (_, name) = PATHS.iter().find(|(it, name)| *it == path && !name.is_empty())?;
    Some(if *name == "push" && *method == Method::DELETE { "delete" } else { *name })
}

/// Adds the headers of the JSON API.
pub(in super::super) fn allow_other_sites(headers: &mut HeaderMap) {
    headers.extend(CORS);
}

/// There is nothing at this path.
pub(in super::super) fn not_found() -> Response<Body> {
    with(reply::text(StatusCode::NOT_FOUND, "404 page not found\n"), [NOSNIFF])
}

/// The path is there, the method is not.
pub(in super::super) fn not_allowed(
    path: &str,
    method: &Method,
    allow: &HeaderValue,
) -> Response<Body> {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    if path == "/-/quit" && *method == Method::GET {
        return reply::text(status, "Only POST or PUT requests allowed.");
    }
    let response = reply::text(status, "Method Not Allowed\n");
    with(response, [NOSNIFF, (header::ALLOW, allow.clone())])
}

/// What is asked for is at another path.
pub(in super::super) fn moved(method: &Method, path: &str, query: Option<&str>) -> Response<Body> {
    let location = query.map_or_else(|| path.to_owned(), |it| format!("{path}?{it}"));
    let get = matches!(*method, Method::GET | Method::HEAD);
    let status = if get { StatusCode::MOVED_PERMANENTLY } else { StatusCode::TEMPORARY_REDIRECT };
    let mut response = super::empty(status);
    if *method == Method::GET {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        // The path is one of the table or of the configuration, which needs no escapes.
        let body = format!("<a href=\"{path}\">Moved Permanently</a>.\n\n");
        response = reply::with_type(status, html, body.into());
    }
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// What there is at this path.
pub(in super::super) fn options(path: &str, allow: &HeaderValue) -> Response<Body> {
    let mut response = with(super::empty(StatusCode::OK), [(header::ALLOW, allow.clone())]);
    if path.starts_with("/api/v1/") {
        allow_other_sites(response.headers_mut());
    }
    response
}

fn with<const N: usize>(
    mut response: Response<Body>,
    headers: [(HeaderName, HeaderValue); N],
) -> Response<Body> {
    response.headers_mut().extend(headers);
    response
}
